package state

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"brazecdc/connector"
)

// Standing is what became of a row that a Spool was told of.
type Standing uint8

// The standings. Kept: there is something to send of it. Gone: its last state is nothing for its model (deleted, filtered out). Later: it changed behind what
// was asked for. Unread: the consumer group has not come to its last change yet. Ahead: it changed behind what was asked for, and what was asked for has
// nothing of it so far. Unmapped: its last state could not be mapped.
const (
	Unknown Standing = iota
	Kept
	Gone
	Later
	Unread
	Ahead
	Unmapped
	standings
)

// SpoolRow is one row of a model as a Spool holds it.
type SpoolRow struct {
	Standing  Standing
	Effect    *connector.StoredEffect // what is to be sent; only where it is Kept
	At        time.Time               // of the row's last change
	Partition int32
	Offset    int64 // of an event: which of two of the same time came first
	// Columns are those to be remembered of the row, see connector.RememberedRow.
	Columns []byte
}

// Spool is a store on disk that outlives a kill, for as long as a replay works: the last state of every row, in the order of users. It belongs to one
// goroutine. Memory is bounded by what is put between two calls of Flush.
type Spool struct {
	folder  string
	db      *pebble.DB
	failure *failure
	note    []byte
	rows    map[spoolHash]*spooled
	marks   map[spoolHash]bool
	bytes   int
	value   encoder
}

// spooled is a row that was read or put since the last Flush.
type spooled struct {
	SpoolRow
	old    spoolHash // under which user the stored value lies
	stored bool      // there is one
	dirty  bool
}

type spoolHash [16]byte

// The keys of a spool: its note; a row's standing, by the row; a kept row's effect, by its user and then the row; users of a model that changed later.
const (
	spoolNote   = 'n'
	spoolState  = 'r'
	spoolEffect = 'u'
	spoolMark   = 'x'
)

// OpenSpool opens what an earlier run left in a folder, or makes it. What cannot be read is begun anew: a spool only saves work. The folder's parents are
// made. No other process may use the folder: it lies in one that the caller has locked, as cache/ is. An error is that of the disk.
func OpenSpool(folder string, log *slog.Logger) (*Spool, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Spool{folder: folder, rows: map[spoolHash]*spooled{}, marks: map[spoolHash]bool{}}
	if err := os.MkdirAll(filepath.Dir(folder), 0o700); err != nil {
		return nil, s.explain(err)
	}
	err := s.open(log)
	if err != nil && !full(err) {
		log.Warn("what an earlier replay had collected cannot be read and is begun anew", "folder", folder, "err", err)
		if err = os.RemoveAll(folder); err == nil {
			err = s.open(log)
		}
	}
	if err != nil {
		return nil, s.explain(err)
	}
	return s, nil
}

func (s *Spool) open(log *slog.Logger) error {
	s.failure = &failure{}
	db, err := openPebble(s.folder, tolerantFS{vfs.Default, s.failure}, log)
	if failed := s.failure.get(); failed != nil {
		err = failed
	}
	if err == nil {
		s.note, err = read(db, []byte{spoolNote})
	}
	if err != nil && db != nil {
		_ = closePebble(db) // the error above is the one that matters
	}
	if err == nil {
		s.db = db
	}
	return err
}

// explain prefers the write that did not succeed to what followed from it.
func (s *Spool) explain(err error) error {
	if failed := s.failure; failed != nil && failed.get() != nil {
		err = failed.get()
	}
	switch {
	case err == nil:
		return nil
	case full(err):
		return diskFull(s.folder, err)
	}
	return fmt.Errorf("use the replay's folder %s: %w", s.folder, err)
}

// Note gives what the last Flush noted; nil for a new spool.
func (s *Spool) Note() []byte { return s.note }

func hashOf(parts ...string) (h spoolHash) {
	var e encoder = make([]byte, 0, 128)
	for _, p := range parts {
		e.str(p)
	}
	sum := sha256.Sum256(e)
	copy(h[:], sum[:])
	return h
}

func hashUser(u *connector.User) spoolHash {
	return hashOf(string(rune(u.Kind)), u.Label, u.ID)
}

func stateKey(row spoolHash) []byte { return append([]byte{spoolState}, row[:]...) }

func effectKey(user, row spoolHash) []byte {
	return append(append([]byte{spoolEffect}, user[:]...), row[:]...)
}

// Row gives what is known of a row of a model; Standing is Unknown where nothing is. It is to be changed in place and handed to Put, and is valid until the
// next Flush.
func (s *Spool) Row(model string, key connector.Key) (*SpoolRow, error) {
	p, err := s.row(hashOf(model, key.Table, key.ID))
	if err != nil {
		return nil, err
	}
	return &p.SpoolRow, nil
}

func (s *Spool) row(id spoolHash) (*spooled, error) {
	if p := s.rows[id]; p != nil {
		return p, nil
	}
	p := &spooled{}
	v, err := read(s.db, stateKey(id))
	if err != nil {
		return nil, s.explain(err)
	}
	if v != nil {
		d := decoder{b: v}
		p.Standing, p.At, p.Partition, p.stored = Standing(d.byte()), d.time(), int32(d.uint()), true
		copy(p.old[:], d.take(uint64(len(p.old))))
		if err := d.end(); err != nil {
			return nil, s.explain(err)
		}
		if p.Standing == Kept {
			if v, err = read(s.db, effectKey(p.old, id)); err != nil {
				return nil, s.explain(err)
			}
			d = decoder{b: v}
			kept := readKept(&d)
			if p.Effect, p.Columns = kept.Effect, kept.Columns; d.err != nil || p.Effect == nil {
				return nil, s.explain(errors.New("a row of it cannot be read"))
			}
		}
	}
	s.rows[id] = p
	s.bytes += 150
	return p, nil
}

// Put keeps what Row gave and the caller changed.
func (s *Spool) Put(model string, key connector.Key, r *SpoolRow) error {
	p, err := s.row(hashOf(model, key.Table, key.ID))
	if err != nil {
		return err
	}
	p.SpoolRow, p.dirty = *r, true
	if r.Effect != nil {
		s.bytes += 100 + effectSize(r.Effect) + len(r.Columns)
	}
	return nil
}

func effectSize(e *connector.StoredEffect) int {
	n := 0
	for i := range e.Fields {
		n += 80 + len(e.Fields[i].JSON)
	}
	if e.Event != nil {
		n += 80 + len(e.Event.JSON)
	}
	return n
}

// readKept reads what Flush wrote of a kept row.
func readKept(d *decoder) SpoolRow {
	r := SpoolRow{Standing: Kept, Effect: d.effect(), At: d.time(), Partition: int32(d.uint()), Offset: int64(d.lastUint())}
	if len(d.b) > 0 && d.err == nil {
		r.Columns = []byte(d.str())
	}
	return r
}

// Mark says that something else of a user changed later, by a row of that model.
func (s *Spool) Mark(model string, u connector.User) {
	h := hashUser(&u)
	s.marks[hashOf(model, string(h[:]))] = true
	s.bytes += 50
}

// Marked tells whether Mark was called for a user and model.
func (s *Spool) Marked(model string, u connector.User) (bool, error) {
	h := hashUser(&u)
	id := hashOf(model, string(h[:]))
	if s.marks[id] {
		return true, nil
	}
	v, err := read(s.db, append([]byte{spoolMark}, id[:]...))
	return v != nil, s.explain(err)
}

// Pending is about how many bytes wait in memory for Flush.
func (s *Spool) Pending() int { return s.bytes }

// Flush writes what waits together with the caller's note, all of it or nothing. It survives a kill.
func (s *Spool) Flush(note []byte) error {
	b := s.db.NewBatch()
	defer func() { _ = b.Close() }() // after Commit there is nothing left to go wrong
	for id, p := range s.rows {
		if !p.dirty {
			continue
		}
		var user spoolHash
		if p.Effect != nil {
			user = hashUser(&p.Effect.User)
		}
		if p.stored && p.old != user {
			if err := b.Delete(effectKey(p.old, id), nil); err != nil {
				return s.explain(err)
			}
		}
		s.value = append(s.value[:0], byte(p.Standing))
		s.value.time(p.At)
		s.value.uint(uint64(p.Partition))
		s.value = append(s.value, user[:]...)
		if err := b.Set(stateKey(id), s.value, nil); err != nil {
			return s.explain(err)
		}
		if p.Effect == nil {
			continue
		}
		s.value = s.value[:0]
		s.value.effect(p.Effect)
		s.value.time(p.At)
		s.value.uint(uint64(p.Partition))
		s.value.uint(uint64(p.Offset))
		if len(p.Columns) > 0 {
			s.value.str(string(p.Columns))
		}
		if err := b.Set(effectKey(user, id), s.value, nil); err != nil {
			return s.explain(err)
		}
	}
	for id := range s.marks {
		if err := b.Set(append([]byte{spoolMark}, id[:]...), []byte{}, nil); err != nil {
			return s.explain(err)
		}
	}
	if err := b.Set([]byte{spoolNote}, note, nil); err != nil {
		return s.explain(err)
	}
	// Without a sync the end of the log stays in the process' own memory.
	if err := b.Commit(pebble.Sync); err != nil {
		return s.explain(err)
	}
	clear(s.rows)
	clear(s.marks)
	s.bytes, s.note = 0, append([]byte{}, note...)
	return s.explain(nil)
}

// Users calls fn for each user that something is kept for, in a fixed order, from the one after a place on (nil: from the first). The place of each is handed
// along. What was put since the last Flush is not seen. fn must keep neither slice.
func (s *Spool) Users(last []byte, fn func(place []byte, rows []SpoolRow) error) error {
	from := append([]byte{spoolEffect}, last...)
	if last != nil {
		from = after(from)
	}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: []byte{spoolEffect + 1}})
	if err != nil {
		return s.explain(err)
	}
	place := make([]byte, 0, len(spoolHash{}))
	var rows []SpoolRow
	emit := func() error {
		if len(rows) == 0 {
			return nil
		}
		err := fn(place, rows)
		rows = rows[:0]
		return err
	}
	for it.First(); it.Valid() && err == nil; it.Next() {
		user := it.Key()[1 : 1+len(spoolHash{})]
		if !bytes.Equal(user, place) {
			if err = emit(); err != nil {
				break
			}
			place = append(place[:0], user...)
		}
		d := decoder{b: it.Value()}
		r := readKept(&d)
		if derr := d.end(); derr != nil || r.Effect == nil {
			err = s.explain(errors.Join(derr, errors.New("a row of it cannot be read")))
			break
		}
		rows = append(rows, r)
	}
	if err == nil {
		err = emit()
	}
	if ierr := errors.Join(it.Error(), it.Close()); ierr != nil && err == nil {
		err = s.explain(ierr)
	}
	return err
}

// Count gives how many rows have which standing. What was put since the last Flush is not counted.
func (s *Spool) Count() (map[Standing]int64, error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{spoolState}, UpperBound: []byte{spoolState + 1}})
	if err != nil {
		return nil, s.explain(err)
	}
	counts := map[Standing]int64{}
	for it.First(); it.Valid(); it.Next() {
		if v := it.Value(); len(v) > 0 && Standing(v[0]) < standings {
			counts[Standing(v[0])]++
		}
	}
	return counts, s.explain(errors.Join(it.Error(), it.Close()))
}

// Close ends the use of the spool and leaves it on disk. It may be called again.
func (s *Spool) Close() error {
	if s.db == nil {
		return nil
	}
	err := closePebble(s.db)
	s.db = nil
	return s.explain(err)
}

// Remove closes the spool and takes it off the disk.
func (s *Spool) Remove() error {
	err := s.Close()
	return s.explain(errors.Join(err, os.RemoveAll(s.folder)))
}
