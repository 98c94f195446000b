package state

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
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

// Purge implements connector.Eraser. Both files are written anew, since bbolt leaves what was deleted in pages that it has not used again.
func (d *Data) Purge(ctx context.Context, u connector.User, rows []connector.ModelRow) (*connector.Purged, error) {
	out := &connector.Purged{}
	d.mu.Lock()
	err := d.journal.update(func(tx *bbolt.Tx) error { return purgeJournal(tx, u, out) })
	d.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("take an erased user out of the journal: %w", err)
	}
	if err := d.quarantine.purgeUser(ctx, u, rows, out); err != nil {
		return nil, fmt.Errorf("take an erased user out of the quarantine: %w", err)
	}
	if err := d.journal.rewrite(); err != nil {
		return nil, fmt.Errorf("write the journal anew: %w", err)
	}
	if err := d.quarantine.rewrite(); err != nil {
		return nil, fmt.Errorf("write the quarantine anew: %w", err)
	}
	return out, nil
}

// purgeJournal takes a user out of what waits and what was done.
func purgeJournal(tx *bbolt.Tx, u connector.User, out *connector.Purged) error {
	for _, b := range []bucket{bucketSettling, bucketHeld} {
		v, err := b.get(tx, userKey(u))
		if err != nil {
			return err
		}
		if v == nil {
			continue
		}
		out.Waiting++
		if err := b.delete(tx, userKey(u)); err != nil {
			return err
		}
	}
	var done [][]byte
	err := bucketDone.each(tx, func(key, value []byte) error {
		i, err := decodeDone(value)
		if err == nil && i.User == u {
			done = append(done, bytes.Clone(key))
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, key := range done {
		if err := bucketDone.delete(tx, key); err != nil {
			return err
		}
	}
	return nil
}

// purgeUser removes all entries of a user, those that have ended too, and tells which others may hold the identifier in a record that could not be decoded.
func (q *Quarantine) purgeUser(ctx context.Context, u connector.User, rows []connector.ModelRow, out *connector.Purged) error {
	of := map[connector.ModelRow]bool{}
	for _, r := range rows {
		of[r] = true
	}
	f := connector.EntryFilter{Limit: dumpPage, Closed: true}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		list, err := q.List(f)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			break
		}
		for i := range list {
			e := &list[i]
			f.After = e.ID
			switch {
			case entryOf(e, u) || of[connector.ModelRow{Model: e.Model, Key: e.Key}]:
				if err := q.erase(e); err != nil {
					return err
				}
				out.Entries = append(out.Entries, e.ID)
				if o := e.Original; o != nil && o.Kept != "" {
					out.Kept = append(out.Kept, connector.KeptRecord{Topic: o.Kept, Offset: o.KeptAt})
				}
			case e.Original != nil && (holds(e.Original.Key, u.ID) || holds(e.Original.Value, u.ID)):
				out.Doubtful = append(out.Doubtful, e.ID)
			}
		}
	}
	return q.clear(ctx, hash("user", string(userKey(u))))
}

// erase removes one entry, open or not, without a mark.
func (q *Quarantine) erase(e *connector.Entry) error {
	return q.group.do(&operation{
		bytes: 512,
		write: func(tx *bbolt.Tx) error {
			err := firstError(dropPostings(tx.Bucket([]byte(bucketPosting)), e), bucketEntry.delete(tx, entryKey(e.ID)))
			if err == nil && e.Closed == "" {
				err = addCount(tx, e, -1)
			}
			return err
		},
		committed: func() {
			if e.Closed == "" {
				q.count(e, -1)
			}
		},
	})
}

// entryOf tells whether an entry is of a user: by what was mapped, or by a column that holds just the identifier.
func entryOf(e *connector.Entry, u connector.User) bool {
	if e.User == u || e.Effect != nil && (e.Effect.User == u || e.Effect.To == u) {
		return true
	}
	return columnIs(e.Before, u.ID) || columnIs(e.After, u.ID)
}

func columnIs(image json.RawMessage, id string) bool {
	text, _, err := Columns(image)
	if err != nil {
		return false
	}
	for _, v := range text {
		if v != nil && *v == id {
			return true
		}
	}
	return false
}

// holds tells whether a record's bytes hold an identifier as a word of its own.
func holds(b []byte, id string) bool {
	if id == "" {
		return false
	}
	for {
		i := bytes.Index(b, []byte(id))
		if i < 0 {
			return false
		}
		if (i == 0 || !wordByte(b[i-1])) && (i+len(id) == len(b) || !wordByte(b[i+len(id)])) {
			return true
		}
		b = b[i+1:]
	}
}

func wordByte(c byte) bool {
	return c == '_' || c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// rewrite waits for what is being written, so that the group does not write into a file that is gone.
func (q *Quarantine) rewrite() error { return q.file.rewrite() }

// erasedPrefix begins the names of marks in a store that processes share.
const erasedPrefix = "erased/"

// MarkErased implements connector.Eraser: all processes of the group know of it.
func (s *Shared) MarkErased(ctx context.Context, u connector.User, rows []connector.ModelRow, at time.Time) error {
	marks, err := s.markErased(u, rows, at)
	if err != nil {
		return err
	}
	return s.shareErased(ctx, marks)
}

// CameBack implements connector.Eraser.
func (s *Shared) CameBack(ctx context.Context, u connector.User, r connector.ModelRow) error {
	marks, err := s.cameBack(u, r)
	if err != nil || len(marks) == 0 {
		return err
	}
	return s.shareErased(ctx, marks)
}

// Purge implements connector.Eraser.
func (s *Shared) Purge(ctx context.Context, u connector.User, rows []connector.ModelRow) (*connector.Purged, error) {
	out, err := s.Data.Purge(ctx, u, rows)
	if err != nil {
		return nil, err
	}
	if err := s.q.ended(ctx, out.Entries...); err != nil {
		return nil, err
	}
	s.mu.Lock()
	ends := s.endOne(s.endOne(nil, "settling", userKey(u)), "held", userKey(u))
	s.mu.Unlock()
	out.Shared = true
	if len(ends) == 0 {
		return out, nil
	}
	return out, s.store.Put(ctx, ends...)
}

func (s *Shared) shareErased(ctx context.Context, marks []erasedMark) error {
	var put []connector.SharedEntry
	for i := range marks {
		put = append(put, connector.SharedEntry{Key: erasedPrefix + hex.EncodeToString(marks[i].id()), Value: marks[i].encode()})
	}
	return s.store.Put(ctx, put...)
}

// beginErased takes in whom the group has erased, and tells it of whom this process has.
func (s *Shared) beginErased(ctx context.Context) error {
	known, err := s.store.Read(ctx, erasedPrefix)
	if err != nil {
		return err
	}
	var theirs []erasedMark
	for key, v := range known {
		m, err := decodeErased(v)
		if err != nil {
			return fmt.Errorf("%s of the state topic: %w", key, err)
		}
		theirs = append(theirs, m)
	}
	var ours []erasedMark
	s.erased.mu.RLock()
	for _, m := range s.erased.marks {
		if _, ok := known[erasedPrefix+hex.EncodeToString(m.id())]; !ok {
			ours = append(ours, m)
		}
	}
	for _, key := range s.erased.keys {
		ours = append(ours, erasedMark{kind: erasedKey, key: key})
	}
	s.erased.mu.RUnlock()
	slices.SortFunc(theirs, func(a, b erasedMark) int { return strings.Compare(string(a.id()), string(b.id())) })
	if len(theirs) > 0 {
		if err := s.putErased(theirs); err != nil {
			return err
		}
	}
	if len(ours) == 0 {
		return nil
	}
	return s.shareErased(ctx, ours)
}

// heardErased takes in a mark that another process made.
func (s *Shared) heardErased(value []byte) {
	m, err := decodeErased(value)
	if err == nil && !s.erased.has(m) {
		err = s.putErased([]erasedMark{m})
	}
	if err != nil {
		s.log.Warn("read whom another process erased", "err", err)
	}
}
