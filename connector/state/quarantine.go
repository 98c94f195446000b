package state

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"brazecdc/connector"
)

// The parts of the quarantine besides bucketPosting.
const (
	bucketEntry   bucket = "entry"   // by number
	bucketCount   bucket = "count"   // open entries by model and class
	bucketNoProof bucket = "noproof" // users, or tables where the user is not known
)

var quarantineBuckets = []bucket{bucketEntry, bucketCount, bucketNoProof, bucketPosting, bucketGroup}

// The ends of an entry whose user got what it held begin with one of these words ("delivered with a later change"); every other end leaves a mark that what
// Braze holds of the user is not known.
const (
	Delivered = "delivered" // a later change of the row was accepted
	Retried   = "retried"   // it was sent again and accepted
)

// gotThrough tells whether an entry that ended so reached its user.
func gotThrough(how string) bool {
	return strings.HasPrefix(how, Delivered) || strings.HasPrefix(how, Retried)
}

// expired is how Expire ends an entry.
const expired = "expired"

// expireStep is how many entries Expire ends in one transaction, so that others get their turn.
const expireStep = 500

// Quarantine keeps what cannot be delivered in a file of its own beside the journal. It implements connector.Quarantine; all methods may be called
// concurrently.
type Quarantine struct {
	file  *file
	group group
	now   func() time.Time

	grouped bool // set once

	mu     sync.Mutex
	counts map[[2]string]int64
}

var _ connector.Quarantine = (*Quarantine)(nil)

func newQuarantine(f *file, now func() time.Time) (*Quarantine, error) {
	q := &Quarantine{file: f, now: now, counts: map[[2]string]int64{}}
	q.group.file = f
	err := f.view(func(tx *bbolt.Tx) error {
		return bucketCount.each(tx, func(_, value []byte) error {
			d := decoder{b: value}
			by := [2]string{d.str(), d.str()}
			q.counts[by] = int64(d.uint())
			return d.end()
		})
	})
	if err == nil {
		err = q.openGroups()
	}
	return q, err
}

func entryKey(id uint64) []byte { return binary.BigEndian.AppendUint64(nil, id) }

// Put stores e before it returns and gives its number. e itself is not changed. An open entry of the same Model and Key, or, where Key is empty, of the same
// change, is replaced: its number ends, so that whoever still works on it cannot close the new one. A zero At becomes the present. Values and effects
// beyond the bounds of Bound are cut. Calls of many goroutines share a commit. A full disk gives a *connector.StopError with ExitDiskFull.
func (q *Quarantine) Put(ctx context.Context, e *connector.Entry) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("put into quarantine: %w", err)
	}
	n := Bound(e)
	n.Closed, n.ClosedAt = "", time.Time{}
	if n.At.IsZero() {
		n.At = q.now()
	}
	var replaced []*connector.Entry
	o := &operation{bytes: len(n.Before) + len(n.After) + 512}
	if n.Original != nil {
		o.bytes += len(n.Original.Key) + len(n.Original.Value)
	}
	o.write = func(tx *bbolt.Tx) (err error) {
		replaced, err = q.put(tx, n)
		return err
	}
	o.committed = func() {
		for _, r := range replaced {
			q.count(r, -1)
		}
		q.count(n, 1)
	}
	if err := q.group.do(o); err != nil {
		return 0, err
	}
	return n.ID, nil
}

func (q *Quarantine) put(tx *bbolt.Tx, n *connector.Entry) (replaced []*connector.Entry, err error) {
	postings := tx.Bucket([]byte(bucketPosting))
	entries, err := bucketEntry.in(tx)
	if err != nil {
		return nil, err
	}
	var ids []uint64
	walk(postings, rowList(n), 0, false, func(id uint64) bool { ids = append(ids, id); return true })
	for _, id := range ids {
		old, err := readEntry(tx, id)
		if err != nil {
			// A damaged entry stays and is named by List; it must not keep the row's newer change out.
			if _, ok := errors.AsType[*DamageError](err); ok {
				continue
			}
			return nil, err
		}
		if old == nil || old.Model != n.Model || old.Key != n.Key {
			continue
		}
		if err = firstError(dropPostings(postings, old), bucketEntry.delete(tx, entryKey(id)), addCount(tx, old, -1)); err != nil {
			return nil, err
		}
		replaced = append(replaced, old)
	}
	if n.ID, err = entries.NextSequence(); err != nil {
		return nil, err
	}
	return replaced, firstError(bucketEntry.put(tx, entryKey(n.ID), encodeEntry(n)), addPostings(postings, n), addCount(tx, n, 1))
}

// Close ends an entry and keeps it, no longer open, until Expire purges it. Ends that begin with neither Delivered nor Retried leave a mark that NoProof lists. An entry
// that ended before, or was replaced, stays as it is without an error; a number that was never given is an fs.ErrNotExist.
func (q *Quarantine) Close(ctx context.Context, id uint64, how string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("close quarantine entry %d: %w", id, err)
	}
	_, err := q.end([]uint64{id}, how)
	return err
}

// end closes entries in one transaction and tells how many were open.
func (q *Quarantine) end(ids []uint64, how string) (int, error) {
	if how == "" {
		return 0, errors.New("close a quarantine entry: how it ended is missing")
	}
	var ended []*connector.Entry
	o := &operation{bytes: 512 * len(ids)}
	o.write = func(tx *bbolt.Tx) error {
		ended = ended[:0]
		for _, id := range ids {
			e, err := q.endOne(tx, id, how)
			if err != nil {
				return err
			}
			if e != nil {
				ended = append(ended, e)
			}
		}
		return nil
	}
	o.committed = func() {
		for _, e := range ended {
			q.count(e, -1)
		}
	}
	err := q.group.do(o)
	if err != nil {
		return 0, err
	}
	return len(ended), nil
}

func (q *Quarantine) endOne(tx *bbolt.Tx, id uint64, how string) (*connector.Entry, error) {
	e, err := readEntry(tx, id)
	if err != nil {
		return nil, err
	}
	if e == nil {
		if bk, err := bucketEntry.in(tx); err != nil || id != 0 && id <= bk.Sequence() {
			return nil, err
		}
		return nil, noEntry(id)
	}
	if e.Closed != "" {
		return nil, nil
	}
	e.Closed, e.ClosedAt = how, q.now()
	err = firstError(
		bucketEntry.put(tx, entryKey(id), encodeEntry(e)),
		closePostings(tx.Bucket([]byte(bucketPosting)), e),
		addCount(tx, e, -1),
	)
	if err == nil && !gotThrough(how) {
		err = markNoProof(tx, e)
	}
	return e, err
}

func noEntry(id uint64) error {
	return fmt.Errorf("there is no quarantine entry %d: %w", id, fs.ErrNotExist)
}

// Counts gives the open entries by model and class, out of memory. Pairs without any are left out.
func (q *Quarantine) Counts() map[[2]string]int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return maps.Clone(q.counts)
}

// count keeps the counts in memory beside those on disk.
func (q *Quarantine) count(e *connector.Entry, by int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	k := [2]string{e.Model, e.Class}
	if q.counts[k] += by; q.counts[k] <= 0 {
		delete(q.counts, k)
	}
}

// addCount counts an entry that opens (1) or ends (-1), also in its group.
func addCount(tx *bbolt.Tx, e *connector.Entry, by int64) error {
	group := enterGroup
	if by < 0 {
		group = leaveGroup
	}
	return firstError(group(tx, e), countClass(tx, e, by))
}

func countClass(tx *bbolt.Tx, e *connector.Entry, by int64) error {
	key := hash(e.Model, e.Class)
	b, err := bucketCount.get(tx, key)
	if err != nil {
		return err
	}
	if b != nil {
		d := decoder{b: b}
		_, _ = d.str(), d.str()
		by += int64(d.uint())
		if d.end() != nil {
			return bucketCount.damage(key, d.err.Error())
		}
	}
	if by <= 0 {
		return bucketCount.delete(tx, key)
	}
	var v encoder
	v.str(e.Model)
	v.str(e.Class)
	v.uint(uint64(by))
	return bucketCount.put(tx, key, v)
}

// Expire closes the open entries whose At lies before that time, as "expired", and tells how many; those that had ended before it are purged. It goes on
// in steps, so that what it did stays done when it gives an error. Damaged entries are passed over, and named once by the error that then comes at the end.
func (q *Quarantine) Expire(ctx context.Context, before time.Time) (int, error) {
	total := 0
	var bad error
	for {
		if err := ctx.Err(); err != nil {
			return total, errors.Join(fmt.Errorf("expire the quarantine: %w", err), bad)
		}
		var old, ended [][]byte
		err := q.file.view(func(tx *bbolt.Tx) error {
			bk := tx.Bucket([]byte(bucketPosting))
			old = walkOlder(bk, listAge, before, expireStep)
			ended = walkOlder(bk, listClosed, before, expireStep)
			return nil
		})
		if err != nil || len(old) == 0 && len(ended) == 0 {
			return total, errors.Join(err, bad)
		}
		_, err = q.step(ended, &bad, func(ids []uint64) (int, error) { return len(ids), q.purge(ids) })
		if err == nil {
			var n int
			n, err = q.step(old, &bad, func(ids []uint64) (int, error) { return q.end(ids, expired) })
			total += n
		}
		if err != nil {
			return total, errors.Join(err, bad)
		}
	}
}

// step does the entries that postings point to in one transaction, or, where one of them is damaged, one by one. A damaged one loses its posting, so that
// the next step does not meet it again, and is added to bad.
func (q *Quarantine) step(postings [][]byte, bad *error, do func(ids []uint64) (int, error)) (int, error) {
	if len(postings) == 0 {
		return 0, nil
	}
	ids := make([]uint64, len(postings))
	for i, k := range postings {
		ids[i] = postingID(k)
	}
	n, err := do(ids)
	if _, damage := errors.AsType[*DamageError](err); !damage {
		return n, err
	}
	if len(postings) > 1 {
		total := 0
		for i := range postings {
			n, err := q.step(postings[i:i+1], bad, do)
			if total += n; err != nil {
				return total, err
			}
		}
		return total, nil
	}
	*bad = errors.Join(*bad, err)
	return 0, q.group.do(&operation{bytes: 64, write: func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucketPosting)).Delete(postings[0])
	}})
}

// purge removes entries that have ended.
func (q *Quarantine) purge(ids []uint64) error {
	return q.group.do(&operation{bytes: 512 * len(ids), write: func(tx *bbolt.Tx) error {
		for _, id := range ids {
			e, err := readEntry(tx, id)
			if err != nil {
				return err
			}
			if e == nil || e.Closed == "" {
				continue
			}
			if err = firstError(dropPostings(tx.Bucket([]byte(bucketPosting)), e), bucketEntry.delete(tx, entryKey(id))); err != nil {
				return err
			}
		}
		return nil
	}})
}

func (q *Quarantine) close() error {
	q.group.wait()
	return q.file.close()
}
