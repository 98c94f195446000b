package connector

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestOutcome(t *testing.T) {
	t.Run("after a suppressed track the delete that came meanwhile leaves", func(t *testing.T) {
		inDiff, goOn := make(chan struct{}), make(chan struct{})
		r := newRig(t, func(c *Config, r *rig) {
			var once sync.Once
			c.Watch = func(s Seen) {
				if s.Outcome == "suppressed" {
					once.Do(func() { close(inDiff); <-goOn })
				}
			}
		})
		r.p.proven[0].Store(true)
		r.commit(insert(row("1", "u1", "x", "y")))
		r.quiet()
		r.commit(update(row("1", "u1", "x", "y"), row("1", "u1", "x", "y")))
		<-inDiff
		r.commit(remove(row("1", "u1", "x", "y")))
		eventually(t, "the delete waits", func() bool {
			r.p.queue.mu.Lock()
			defer r.p.queue.mu.Unlock()
			return r.p.queue.steps == 2
		})
		close(goOn)
		r.quiet()
		want(t, r.sink.bodies("u1"), `track{"a":"x","b":"y",}`, `delete{}`)
	})
	t.Run("what the cache will know of a row is never unknown in between", func(t *testing.T) {
		prints := newMemPrints()
		r := newRig(t, func(c *Config, r *rig) { c.Prints = prints })
		ok := false
		prints.onWrite = func(puts []RowPut) {
			_, ok = r.p.ids.User(0, puts[0].Key)
		}
		r.commit(insert(row("1", "u1", "x", "y")))
		r.quiet()
		if !ok {
			t.Error("while the row was written to the cache, nobody knew its user")
		}
	})
	t.Run("rows of a model with a filter are known also when their user follows from the key", func(t *testing.T) {
		prints := newMemPrints()
		r := newRig(t, func(c *Config, r *rig) {
			m := newPlainMapper()
			m.info[0].IDFromKey, m.info[0].Filter = true, true
			c.Prints, c.Mapper = prints, m
		})
		r.p.proven[0].Store(true)
		r.commit(insert(row("1", "u1", "x", "y")))
		r.quiet()
		if _, ok := r.p.ids.User(0, Key{shopTable.Name, "1"}); !ok {
			t.Error("nobody knows that the row was sent")
		}
	})
	t.Run("a dropped delete is done only when the living row in its place is accepted", func(t *testing.T) {
		fail := true
		r := newRig(t, func(c *Config, r *rig) {
			m := newPlainMapper()
			m.info[0].IDUnique = false
			c.Mapper = &verifying{m}
			r.src.rows = func(Query) ([]Row, error) { return []Row{row("2", "u1", "z", "-")}, nil }
			r.sink.answer = func(k Kind, _ []Effect) error {
				if fail && k == Track {
					return &RetryableError{Err: errors.New("down"), After: time.Millisecond}
				}
				return nil
			}
		})
		r.commit(remove(row("1", "u1", "x", "y")))
		eventually(t, "the row was tried", func() bool { n, _ := r.p.metrics.Retries(); return n > 2 })
		if r.p.tracker.idle() {
			t.Error("the delete is done, and the row in its place was not accepted")
		}
		r.sink.mu.Lock()
		fail = false
		r.sink.mu.Unlock()
		r.quiet()
		want(t, r.sink.bodies("u1"), `track{"a":"z","b":null,}`)
	})
	t.Run("what comes while a deprecated id is being freed is not lost when that is refused", func(t *testing.T) {
		inFree, goOn := make(chan struct{}), make(chan struct{})
		r := newRig(t, func(c *Config, r *rig) {
			r.journal.state.New = false
			r.journal.state.Renamed = []string{"u1"}
			r.sink.answer = func(k Kind, _ []Effect) error {
				if k == Free {
					return &RejectedError{Items: []Rejection{{Index: 0, Reason: "no"}}}
				}
				return nil
			}
			var once sync.Once
			r.sink.delay = func() time.Duration {
				once.Do(func() { close(inFree); <-goOn })
				return 0
			}
		})
		r.commit(insert(row("1", "u1", "x", "y")))
		<-inFree
		r.commit(remove(row("1", "u1", "x", "y")))
		eventually(t, "the delete was pushed", func() bool {
			r.p.tracker.mu.Lock()
			defer r.p.tracker.mu.Unlock()
			return r.p.tracker.open == 2 && len(r.p.tracker.streams["slot"].open) == 2 && r.p.tracker.streams["slot"].open[1].left == 1
		})
		close(goOn)
		r.quiet()
	})
	t.Run("a change that waited behind a refused one goes whole and closes its entry", func(t *testing.T) {
		inSend, goOn := make(chan struct{}), make(chan struct{})
		r := newRig(t, nil)
		r.p.proven[0].Store(true)
		r.commit(insert(row("1", "u1", "x", "y")))
		r.quiet()
		var once sync.Once
		r.sink.mu.Lock()
		r.sink.delay = func() time.Duration { once.Do(func() { close(inSend); <-goOn }); return 0 }
		r.sink.answer = func(k Kind, b []Effect) error {
			if string(b[0].Fields[0].JSON) == `"bad"` && len(b[0].Fields) == 1 {
				return &RejectedError{Items: []Rejection{{Index: 0, Reason: "no"}}}
			}
			return nil
		}
		r.sink.mu.Unlock()
		r.commit(update(row("1", "u1", "x", "y"), row("1", "u1", "bad", "y")))
		<-inSend
		r.commit(update(row("1", "u1", "bad", "y"), row("1", "u1", "bad", "z")))
		eventually(t, "the second waits", func() bool {
			r.p.queue.mu.Lock()
			defer r.p.queue.mu.Unlock()
			return r.p.queue.steps == 2
		})
		close(goOn)
		r.quiet()
		want(t, r.sink.bodies("u1"), `track{"a":"x","b":"y",}`, `track{"a":"bad","b":"z",}`)
		if e := r.journal.quar.entries; len(e) != 1 || e[0].Closed == "" {
			t.Errorf("entries %+v", e)
		}
	})
	t.Run("a rename that is given up sends the new user in full", func(t *testing.T) {
		r := newRig(t, func(c *Config, r *rig) {
			c.Attempts = 1
			r.sink.answer = func(k Kind, b []Effect) error {
				if k == Rename {
					return &RetryableError{Err: errors.New("500"), After: time.Millisecond}
				}
				return nil
			}
		})
		r.p.proven[0].Store(true)
		r.commit(insert(row("1", "u1", "x", "y")))
		r.quiet()
		r.commit(update(row("1", "u1", "x", "y"), row("1", "u9", "x", "n")))
		r.quiet()
		want(t, r.sink.bodies("u9"), `track{"a":"x","b":"n",}`)
	})
	t.Run("the cache knows an accepted row also while a newer change of it waits, and never goes back", func(t *testing.T) {
		table := newIDTable([]ModelInfo{{Name: "users"}}, func() Fingerprints { return nil })
		key := Key{"t", "1"}
		held := func(e *Effect) *step {
			e.Key = key
			s := newStep(e)
			table.hold(s, e)
			return s
		}
		older, newer := held(&Effect{User: User{ID: "u1"}}), held(&Effect{User: User{ID: "u2"}})
		var puts []RowPut
		table.put(&puts, older, RowPut{Key: key, User: older.user}, 0)
		if len(puts) != 1 {
			t.Error("if the process ends now, the newer change is mapped again and nobody knows the row's user before")
		}
		table.put(&puts, newer, RowPut{Key: key, User: newer.user}, 0)
		table.put(&puts, older, RowPut{Key: key, User: older.user}, 0)
		if len(puts) != 2 || puts[1].User != newer.user {
			t.Errorf("puts %+v", puts)
		}
		table.release(older)
		table.release(newer)
		if len(table.rows) != 0 {
			t.Errorf("%d rows are held for ever", len(table.rows))
		}
	})
	t.Run("updates dropped by a delete leave nothing behind", func(t *testing.T) {
		q := newQueue([]ModelInfo{{Name: "users"}}, 0)
		u := q.user(User{ID: "u"})
		s := trackOf("u", "1", false, false)
		s.updateOnly = true
		s.held = []holding{{row: rowKey{0, Key{"t", "1"}}, n: 1}}
		u.steps = append(u.steps, s)
		q.steps++
		q.dropUpdates(u)
		if q.steps != 0 || len(q.dropped) != 1 {
			t.Errorf("steps %d dropped %d", q.steps, len(q.dropped))
		}
	})
}

// verifying asks for a look-up before every delete.
type verifying struct{ *plainMapper }

func (v *verifying) Map(dst []Effect, c *Change, ids IDs) ([]Effect, error) {
	dst, err := v.plainMapper.Map(dst, c, ids)
	for i := range dst {
		dst[i].Verify = dst[i].Kind != Track
	}
	return dst, err
}

// moving makes deletes of rows whose key changed along with them.
type moving struct{ *plainMapper }

func (v *moving) Map(dst []Effect, c *Change, ids IDs) ([]Effect, error) {
	if c.Op == Update && c.OldKey != (Key{}) {
		return append(dst, Effect{Kind: DeleteUser, User: User{ID: c.After.Cells[1].Raw}, Key: c.Key, Owner: true, Ends: true, Change: c}), nil
	}
	return v.plainMapper.Map(dst, c, ids)
}

func TestForgottenKeys(t *testing.T) {
	t.Run("a delete that comes with a changed key forgets the old key too", func(t *testing.T) {
		prints := newMemPrints()
		r := newRig(t, func(c *Config, _ *rig) { c.Mapper, c.Prints = &moving{newPlainMapper()}, prints })
		r.commit(insert(row("1", "u1", "x", "-")))
		r.quiet()
		if _, ok, _ := prints.RowUser("users", Key{shopTable.Name, "1"}); !ok {
			t.Fatal("the row is not known")
		}
		c := update(row("1", "u1", "x", "-"), row("2", "u1", "x", "-"))
		c.OldKey = Key{shopTable.Name, "1"}
		r.commit(c)
		r.quiet()
		for _, id := range []string{"1", "2"} {
			if u, ok, _ := prints.RowUser("users", Key{shopTable.Name, id}); ok {
				t.Errorf("row %s is still known as %v", id, u)
			}
		}
	})
}

// syncedPrints tells whether all that was written is on disk.
type syncedPrints struct {
	*memPrints
	written, synced atomic.Int64
	forgets         func() // before a row is forgotten
}

func (p *syncedPrints) Write(puts []RowPut, prints []PrintPut) error {
	defer p.written.Add(1)
	if p.forgets != nil && slices.ContainsFunc(puts, func(put RowPut) bool { return put.Gone }) {
		p.forgets()
	}
	return p.memPrints.Write(puts, prints)
}

func (p *syncedPrints) Sync([]Position) error {
	p.synced.Store(p.written.Load())
	return nil
}

// doneJournal looks at the cache whenever something is remembered as done.
type doneJournal struct {
	*memJournal
	prints *syncedPrints
	done   chan int64 // writes that are not on disk
}

func (j *doneJournal) Apply(ctx context.Context, r *Record) error {
	if len(r.Done) > 0 {
		j.done <- j.prints.written.Load() - j.prints.synced.Load()
	}
	return j.memJournal.Apply(ctx, r)
}

func TestDoneAfterCache(t *testing.T) {
	j := &doneJournal{prints: &syncedPrints{memPrints: newMemPrints()}, done: make(chan int64, 1)}
	h := &holdingSink{user: "u2", gate: make(chan struct{})}
	r := newRig(t, func(c *Config, r *rig) {
		h.memSink, j.memJournal = r.sink, r.journal
		c.Sink, c.Journal, c.Prints = h, j, j.prints
	})
	r.commit(insert(row("1", "u1", "x", "y")))
	r.quiet()
	var early atomic.Int64
	early.Store(-1)
	j.prints.forgets = func() {
		r.p.pend.mu.Lock()
		early.Store(int64(len(r.p.pend.rec.Done)))
		r.p.pend.mu.Unlock()
	}
	// The position waits for u2, so the delete alone makes the record.
	r.commit(insert(row("2", "u2", "x", "y")), remove(row("1", "u1", "x", "y")))
	if n := <-j.done; n != 0 {
		t.Errorf("a delete is remembered as done while %d writes of the cache are not on disk", n)
	}
	if n := early.Load(); n != 0 {
		t.Errorf("a record made before the cache forgets the row remembers %d deletes as done", n)
	}
	close(h.gate)
	r.quiet()
}
