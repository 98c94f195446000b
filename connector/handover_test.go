package connector

import (
	"context"
	"slices"
	"testing"
	"time"
)

func TestRevoke(t *testing.T) {
	feed := func(r *rig, stream string, offset uint64, c Change) {
		c.ID = ChangeID{Commit: offset}
		r.src.feed <- Batch{Position: Position{stream, offset + 1}, Changes: []Change{c}}
	}
	t.Run("waits until what is open is done and confirmed", func(t *testing.T) {
		r := newRig(t, func(c *Config, r *rig) { r.sink.delay = func() time.Duration { return 20 * time.Millisecond } })
		feed(r, "users/0@1", 5, insert(row("1", "u1", "x", "-")))
		eventually(t, "the change is open", func() bool { open, _, _, _ := r.p.tracker.state(); return open == 1 })
		r.p.Revoke(t.Context(), []string{"users/0@1"})
		r.src.mu.Lock()
		defer r.src.mu.Unlock()
		if r.src.committed["users/0@1"] != 6 {
			t.Errorf("committed %d, want 6", r.src.committed["users/0@1"])
		}
	})
	t.Run("cdc 82: past the deadline unsent changes are taken out, late answers count for nothing, other streams go on", func(t *testing.T) {
		release := make(chan struct{})
		r := newRig(t, func(c *Config, r *rig) {
			c.Senders = 1
			r.sink.answer = func(_ Kind, b []Effect) error {
				if b[0].User.ID == "u1" {
					r.sink.mu.Unlock()
					<-release
					r.sink.mu.Lock()
				}
				return nil
			}
		})
		feed(r, "users/0@1", 5, insert(row("1", "u1", "x", "-")))
		eventually(t, "the call is open", func() bool { r.sink.mu.Lock(); defer r.sink.mu.Unlock(); return r.sink.open[User{ID: "u1"}] })
		feed(r, "users/0@1", 6, update(row("1", "u1", "x", "-"), row("1", "u1", "y", "-")))
		feed(r, "users/0@1", 7, insert(row("2", "u2", "x", "-")))
		eventually(t, "three changes are open", func() bool { open, _, _, _ := r.p.tracker.state(); return open == 3 })
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		r.p.Revoke(ctx, []string{"users/0@1"})
		if open, bytes, _, _ := r.p.tracker.state(); open != 0 || bytes != 0 {
			t.Errorf("%d changes, %d bytes are still open", open, bytes)
		}
		close(release)
		feed(r, "users/1@1", 9, insert(row("3", "u3", "x", "-")))
		eventually(t, "the other partition is confirmed", func() bool { r.src.mu.Lock(); defer r.src.mu.Unlock(); return r.src.committed["users/1@1"] == 10 })
		if n := r.src.committed["users/0@1"]; n != 0 {
			t.Errorf("the revoked assignment was committed at %d", n)
		}
		want(t, r.sink.bodies("u1"), `track{"a":"x",}`)
		want(t, r.sink.bodies("u2"))
		if open, bytes, _, _ := r.p.tracker.state(); open != 0 || bytes != 0 {
			t.Errorf("%d changes, %d bytes are open in the end", open, bytes)
		}
	})
	t.Run("a Snapshot record of a stream is a row like an insert", func(t *testing.T) {
		r := newRig(t, nil)
		c := insert(row("1", "u1", "x", "-"))
		c.Op = Snapshot
		feed(r, "users/0@1", 5, c)
		eventually(t, "it is confirmed", func() bool { r.src.mu.Lock(); defer r.src.mu.Unlock(); return r.src.committed["users/0@1"] == 6 })
		want(t, r.sink.bodies("u1"), `track{"a":"x",}`)
	})
}

// sharingJournal is one process' view of a journal that several share: what it was told to adopt, and what it left.
type sharingJournal struct {
	*memJournal
	of   map[string]*State
	left []string
}

func (j *sharingJournal) Adopt(_ context.Context, part string, from uint64, fresh bool) (*State, error) {
	if st := j.of[part]; st != nil && !fresh {
		return st, nil
	}
	return &State{}, nil
}

func (j *sharingJournal) Leave(_ context.Context, parts []string) error {
	j.left = append(j.left, parts...)
	return nil
}

func TestTakeOver(t *testing.T) {
	feed := func(r *rig, stream string, offset uint64, changes ...Change) {
		for i := range changes {
			changes[i].ID = ChangeID{Commit: offset, N: uint32(i)}
		}
		r.src.feed <- Batch{Position: Position{stream, offset + 1}, Changes: changes, Replayed: true}
	}
	confirmed := func(r *rig, stream string, offset uint64) {
		t.Helper()
		eventually(t, stream+" is confirmed", func() bool {
			r.src.mu.Lock()
			defer r.src.mu.Unlock()
			return r.src.committed[stream] == offset
		})
	}
	rest := State{Models: []ModelState{{Name: "users"}}}
	start := func(st State, tune func(*Config, *rig)) *rig {
		r := &rig{t: t, src: newScript(), sink: newMemSink(t), journal: &memJournal{state: st}, ended: make(chan error, 1)}
		r.src.fresh = false
		r.start(tune)
		eventually(t, "it runs", func() bool { return r.p.Status().State == "running" })
		return r
	}
	takeOver := func(r *rig, a Assigned) {
		t.Helper()
		if err := r.p.TakeOver(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	deleted := DoneID{Kind: DeleteUser, User: User{ID: "u1"}, Stream: "users/0", ID: ChangeID{Commit: 10}, Table: shopTable.Name}

	t.Run("what was done on an assignment is not done again on the partition's next one", func(t *testing.T) {
		st := rest
		st.Done = []DoneID{deleted}
		r := start(st, nil)
		takeOver(r, Assigned{Stream: "users/0@7", From: 8})
		feed(r, "users/0@7", 9, insert(row("1", "u1", "x", "-"))) // to send it again would bring the profile back
		feed(r, "users/0@7", 10, remove(row("1", "u1", "x", "-")))
		feed(r, "users/0@7", 11, remove(row("2", "u2", "x", "-")))
		confirmed(r, "users/0@7", 12)
		want(t, r.sink.bodies("u1"))
		want(t, r.sink.bodies("u2"), `delete{}`)
		feed(r, "users/0@7", 12, insert(row("1", "u1", "z", "-")))
		confirmed(r, "users/0@7", 13)
		want(t, r.sink.bodies("u1"), `track{"a":"z",}`)
	})
	t.Run("cdc 84: of a topic that was made anew nothing was done", func(t *testing.T) {
		st := rest
		st.Done = []DoneID{deleted}
		r := start(st, nil)
		takeOver(r, Assigned{Stream: "users/0@7", Gap: true, Fresh: true})
		feed(r, "users/0@7", 10, remove(row("1", "u1", "x", "-")))
		confirmed(r, "users/0@7", 11)
		want(t, r.sink.bodies("u1"), `delete{}`)
	})
	t.Run("the next owner knows what is settling, held, done and quarantined, and the last one forgets it", func(t *testing.T) {
		j := &sharingJournal{of: map[string]*State{"users/0": {
			Done:     []DoneID{deleted},
			Settling: []Settling{{User: User{ID: "u3"}, Until: time.Now().Add(time.Hour), Part: "users/0", Waits: &StoredEffect{Kind: Track, User: User{ID: "u3"}, Model: "users", Creates: true, Owner: true, Rows: []StoredRow{{Model: "users", Key: Key{shopTable.Name, "3"}}}, Fields: []StoredField{{Model: "users", Name: "a", JSON: []byte(`"w"`)}}}}},
			Held:     []HeldDelete{{User: User{ID: "u4"}, Model: "users", Key: Key{shopTable.Name, "4"}, Part: "users/0"}},
		}}}
		r := start(rest, func(c *Config, r *rig) {
			j.memJournal = r.journal
			id, err := j.Quarantine().Put(t.Context(), &Entry{Stream: "users/0@3", Model: "users", Key: Key{shopTable.Name, "5"}, User: User{ID: "u5"}, Class: "rejected",
				Effect: &StoredEffect{Kind: Track, User: User{ID: "u5"}, Model: "users", Rows: []StoredRow{{Model: "users", Key: Key{shopTable.Name, "5"}}}, Fields: []StoredField{{Model: "users", Name: "b", JSON: []byte(`"kept"`)}}}})
			if err != nil {
				t.Fatal(err)
			}
			e, _ := j.Quarantine().Entry(id)
			j.of["users/0"].Entries = []Entry{*e}
			c.Journal = j
			c.Settle = time.Hour
		})
		if n := r.p.Status().Held; n != 0 {
			t.Errorf("%d held deletes before the partition came", n)
		}
		takeOver(r, Assigned{Stream: "users/0@7", From: 8})
		feed(r, "users/0@7", 10, remove(row("1", "u1", "x", "-")))
		feed(r, "users/0@7", 11, insert(row("3", "u3", "x", "-"))) // it settles
		feed(r, "users/0@7", 12, insert(row("4", "u4", "x", "-"))) // and ends the held delete
		feed(r, "users/0@7", 13, insert(row("5", "u5", "x", "-"))) // and goes along with what the entry holds
		confirmed(r, "users/0@7", 14)
		want(t, r.sink.bodies("u1"))
		want(t, r.sink.bodies("u3"))
		want(t, r.sink.bodies("u4"), `track{"a":"x","b":null,}`)
		want(t, r.sink.bodies("u5"), `track{"a":"x","b":null,}`)
		if e, err := j.Quarantine().Entry(1); err != nil || e.Closed == "" {
			t.Errorf("the entry is still open: %+v %v", e, err)
		}
		if _, err := r.p.Retry(t.Context(), 1); err == nil {
			t.Error("an entry that was closed is sent again")
		}
		r.p.Revoke(t.Context(), []string{"users/0@7"})
		if !slices.Equal(j.left, []string{"users/0"}) {
			t.Errorf("left %v", j.left)
		}
		if st := r.p.Status(); st.Held != 0 || st.Waiting != 0 || len(st.Parked) != 0 {
			t.Errorf("after it left: %d held, %d waiting, parked %v", st.Held, st.Waiting, st.Parked)
		}
		if r.p.owns("users/0") {
			t.Error("it still owns the partition")
		}
	})
	t.Run("the last record is written before Revoke returns", func(t *testing.T) {
		slow := &slowJournal{}
		r := start(rest, func(c *Config, r *rig) {
			slow.memJournal = r.journal
			c.Journal = slow
		})
		takeOver(r, Assigned{Stream: "users/0@7", First: true})
		slow.wait.Store(int64(50 * time.Millisecond))
		feed(r, "users/0@7", 10, remove(row("1", "u1", "x", "-")))
		eventually(t, "the delete was sent", func() bool { return len(r.sink.bodies("u1")) == 1 })
		r.p.Revoke(t.Context(), []string{"users/0@7"})
		if n := r.journal.recorded("users/0@7"); n != 11 {
			t.Errorf("recorded %d when Revoke returned, want 11", n)
		}
	})
	t.Run("another process pauses a model, and ends the pause", func(t *testing.T) {
		r := start(rest, nil)
		r.p.Heard("users", &Pause{Model: "users", Reason: PauseTruncate})
		takeOver(r, Assigned{Stream: "users/0@7", First: true})
		feed(r, "users/0@7", 10, insert(row("1", "u1", "x", "-")))
		confirmed(r, "users/0@7", 11)
		r.p.Heard("users", nil)
		feed(r, "users/0@7", 11, insert(row("2", "u2", "x", "-")))
		confirmed(r, "users/0@7", 12)
		want(t, r.sink.bodies("u1"))
		want(t, r.sink.bodies("u2"), `track{"a":"x",}`)
	})
}
