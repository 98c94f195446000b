package state

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"

	"go.etcd.io/bbolt"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// bucket is one named part of a file. Its values carry a CRC32C over the bucket's name, the key and the value, so that a flipped bit and a value that
// stands at another's place are both noticed. Keys are numbers and hashes, never what a row holds, so that errors may name them.
type bucket string

// maxKey is longer than all keys. A damaged page can give a key that reaches far beyond it.
const maxKey = 64

func (b bucket) sum(key, value []byte) uint32 {
	s := crc32.Update(0, castagnoli, []byte(b))
	s = crc32.Update(s, castagnoli, key)
	return crc32.Update(s, castagnoli, value)
}

func (b bucket) in(tx *bbolt.Tx) (*bbolt.Bucket, error) {
	if bk := tx.Bucket([]byte(b)); bk != nil {
		return bk, nil
	}
	return nil, &DamageError{Bucket: string(b), What: "it is missing"}
}

// put stores a value, and delete removes one; both keep the bucket's tally.
func (b bucket) put(tx *bbolt.Tx, key, value []byte) error {
	bk, err := b.in(tx)
	if err != nil {
		return err
	}
	v := make([]byte, 4, 4+len(value))
	binary.LittleEndian.PutUint32(v, b.sum(key, value))
	v = append(v, value...)
	if err = b.count(tx, bk.Get(key), v); err != nil {
		return err
	}
	return bk.Put(key, v)
}

func (b bucket) delete(tx *bbolt.Tx, key []byte) error {
	bk, err := b.in(tx)
	if err != nil {
		return err
	}
	if err = b.count(tx, bk.Get(key), nil); err != nil {
		return err
	}
	return bk.Delete(key)
}

// tally is how many values a bucket has and the sum of their checksums. It tells when values are missing, which no checksum of a value can.
type tally struct{ values, sums uint64 }

func (t *tally) add(v []byte) {
	if len(v) >= 4 {
		t.values++
		t.sums += uint64(binary.LittleEndian.Uint32(v))
	}
}

// tallied are the buckets that are read whole when they are opened, so that their tallies can be compared.
var tallied = map[bucket]bool{
	bucketPosition: true, bucketLoad: true, bucketDone: true, bucketSettling: true, bucketHeld: true, bucketPaused: true, bucketRenamed: true,
	bucketModel: true, bucketCount: true, bucketBrake: true, bucketErased: true,
}

func (b bucket) tallyKey() []byte { return []byte("tally of " + string(b)) }

func (b bucket) count(tx *bbolt.Tx, before, after []byte) error {
	if !tallied[b] {
		return nil
	}
	t, err := b.tally(tx)
	if err != nil {
		return err
	}
	var minus tally
	minus.add(before)
	t.add(after)
	var e encoder
	e.uint(t.values - minus.values)
	e.uint(t.sums - minus.sums)
	return bucketHead.put(tx, b.tallyKey(), e)
}

func (b bucket) tally(tx *bbolt.Tx) (t tally, err error) {
	v, err := bucketHead.get(tx, b.tallyKey())
	if v == nil || err != nil {
		return t, err
	}
	d := decoder{b: v}
	t = tally{d.uint(), d.uint()}
	if d.end() != nil {
		return t, bucketHead.damage(b.tallyKey(), d.err.Error())
	}
	return t, nil
}

// open checks a stored value and gives what was put; it is valid only inside the transaction.
func (b bucket) open(key, v []byte) ([]byte, error) {
	if len(key) > maxKey {
		return nil, b.damage(nil, "a key is too long")
	}
	if len(v) < 4 {
		return nil, b.damage(key, "the value is cut off")
	}
	if b.sum(key, v[4:]) != binary.LittleEndian.Uint32(v) {
		return nil, b.damage(key, "the checksum does not match")
	}
	return v[4:], nil
}

func (b bucket) damage(key []byte, what string) error {
	return &DamageError{Bucket: string(b), Key: hex.EncodeToString(key), What: what}
}

// get gives the value of a key, or nil where there is none.
func (b bucket) get(tx *bbolt.Tx, key []byte) ([]byte, error) {
	bk, err := b.in(tx)
	if err != nil {
		return nil, err
	}
	v := bk.Get(key)
	if v == nil {
		return nil, nil
	}
	return b.open(key, v)
}

// each calls fn for all values of a bucket, and names the damaged one at which it stops.
func (b bucket) each(tx *bbolt.Tx, fn func(key, value []byte) error) error {
	bk, err := b.in(tx)
	if err != nil {
		return err
	}
	var got tally
	err = bk.ForEach(func(k, v []byte) error {
		value, err := b.open(k, v)
		if err != nil {
			return err
		}
		got.add(v)
		if err = fn(k, value); errors.Is(err, errShort) {
			return b.damage(k, err.Error())
		}
		return err
	})
	if err != nil || !tallied[b] {
		return err
	}
	if want, err := b.tally(tx); err != nil {
		return err
	} else if got != want {
		return &DamageError{Bucket: string(b), What: fmt.Sprintf("it has %d values, written were %d, or others", got.values, want.values)}
	}
	return nil
}
