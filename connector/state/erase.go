package state

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"brazecdc/connector"
)

// bucketErased holds the marks of erased users and of their rows, and the random keys of the hashes that stand for them: nobody who finds the files can tell
// whom a mark is of without the key, and nobody who has the key without trying every identifier.
const bucketErased bucket = "erased"

// What a value of bucketErased is.
const (
	erasedKey  = 'k'
	erasedUser = 'u'
	erasedRow  = 'r'
)

const eraseKeySize = 32

// erasedMark is a value of bucketErased.
type erasedMark struct {
	kind byte
	key  []byte // the random key itself, or the hash of the one that sum was made with
	sum  []byte
	connector.Erasure
}

func (m *erasedMark) encode() []byte {
	var e encoder
	e = append(e, m.kind)
	e.bytes(m.key)
	e.bytes(m.sum)
	e.time(m.At)
	e.bool(m.Back)
	return e
}

func decodeErased(b []byte) (m erasedMark, err error) {
	d := decoder{b: b}
	m = erasedMark{kind: d.byte(), key: d.bytes(), sum: d.bytes(), Erasure: connector.Erasure{At: d.time(), Back: d.bool()}}
	return m, d.end()
}

// id is the mark's place in the bucket and, as hex, in a store that processes share.
func (m *erasedMark) id() []byte { return hash(string(rune(m.kind)), string(m.key), string(m.sum)) }

// erasures is the marks in memory. Its methods may be called concurrently.
type erasures struct {
	any   atomic.Bool
	mu    sync.RWMutex
	own   []byte            // the key that new marks are made with; nil before the first
	keys  map[string][]byte // random keys by their hash: of this process, and of others of its group
	marks map[string]erasedMark
}

func (x *erasures) add(m erasedMark) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if m.kind == erasedKey {
		x.keys[string(hash(string(m.key)))] = m.key
		if x.own == nil {
			x.own = m.key
		}
		return
	}
	x.marks[string(m.id())] = m
	x.any.Store(true)
}

// has tells whether a mark is known as it is.
func (x *erasures) has(m erasedMark) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if m.kind == erasedKey {
		return x.keys[string(hash(string(m.key)))] != nil
	}
	old, ok := x.marks[string(m.id())]
	return ok && (old.Back || !m.Back) && !old.At.Before(m.At)
}

// find gives the mark of what was erased, by any of the keys.
func (x *erasures) find(kind byte, what []byte) (m erasedMark, ok bool) {
	if !x.any.Load() {
		return m, false
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	for id, key := range x.keys {
		m = erasedMark{kind: kind, key: []byte(id), sum: keyed(key, kind, what)}
		if m, ok = x.marks[string(m.id())]; ok {
			return m, true
		}
	}
	return m, false
}

func keyed(key []byte, kind byte, what []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte{kind})
	h.Write(what)
	return h.Sum(nil)[:16]
}

func userBytes(u connector.User) []byte {
	var e encoder
	e.user(u)
	return e
}

func rowBytes(r connector.ModelRow) []byte {
	var e encoder
	e.str(r.Model)
	e.key(r.Key)
	return e
}

// readErased reads the marks when the journal is opened.
func readErased(f *file) (*erasures, error) {
	x := &erasures{keys: map[string][]byte{}, marks: map[string]erasedMark{}}
	err := f.view(func(tx *bbolt.Tx) error {
		return bucketErased.each(tx, func(_, value []byte) error {
			m, err := decodeErased(value)
			if err == nil {
				x.add(m)
			}
			return err
		})
	})
	return x, err
}

var _ connector.Eraser = (*Data)(nil)

// AnyErased implements connector.Eraser.
func (d *Data) AnyErased() bool { return d.erased.any.Load() }

// Erased implements connector.Eraser.
func (d *Data) Erased(u connector.User) (connector.Erasure, bool) {
	m, ok := d.erased.find(erasedUser, userBytes(u))
	return m.Erasure, ok
}

// ErasedRow implements connector.Eraser.
func (d *Data) ErasedRow(r connector.ModelRow) bool {
	m, ok := d.erased.find(erasedRow, rowBytes(r))
	return ok && !m.Back
}

// MarkErased implements connector.Eraser.
func (d *Data) MarkErased(_ context.Context, u connector.User, rows []connector.ModelRow, at time.Time) error {
	_, err := d.markErased(u, rows, at)
	return err
}

func (d *Data) markErased(u connector.User, rows []connector.ModelRow, at time.Time) (marks []erasedMark, err error) {
	d.erased.mu.RLock()
	key := d.erased.own
	d.erased.mu.RUnlock()
	if key == nil {
		key = make([]byte, eraseKeySize)
		if _, err := rand.Read(key); err != nil {
			return nil, fmt.Errorf("make a key for erased users: %w", err)
		}
	}
	id := hash(string(key))
	marks = []erasedMark{
		{kind: erasedKey, key: key},
		{kind: erasedUser, key: id, sum: keyed(key, erasedUser, userBytes(u)), Erasure: connector.Erasure{At: at}},
	}
	for _, r := range rows {
		marks = append(marks, erasedMark{kind: erasedRow, key: id, sum: keyed(key, erasedRow, rowBytes(r)), Erasure: connector.Erasure{At: at}})
	}
	return marks, d.putErased(marks)
}

// putErased makes marks durable, then known.
func (d *Data) putErased(marks []erasedMark) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.journal.update(func(tx *bbolt.Tx) error {
		for i := range marks {
			if err := bucketErased.put(tx, marks[i].id(), marks[i].encode()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, m := range marks {
		d.erased.add(m)
	}
	return nil
}

// CameBack implements connector.Eraser.
func (d *Data) CameBack(_ context.Context, u connector.User, r connector.ModelRow) error {
	_, err := d.cameBack(u, r)
	return err
}

func (d *Data) cameBack(u connector.User, r connector.ModelRow) (marks []erasedMark, err error) {
	if m, ok := d.erased.find(erasedUser, userBytes(u)); ok {
		marks = append(marks, m)
	}
	if m, ok := d.erased.find(erasedRow, rowBytes(r)); ok {
		marks = append(marks, m)
	}
	for i := range marks {
		marks[i].Back = true
	}
	return marks, d.putErased(marks)
}
