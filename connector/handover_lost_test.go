package connector

import (
	"context"
	"errors"
	"testing"
	"time"
)

// heldSink answers the calls that hold names only once release is closed.
func holdCalls(r *rig, release <-chan struct{}, held func(Kind, []Effect) bool, answer error) {
	first := true
	r.sink.answer = func(k Kind, b []Effect) error {
		if !first || !held(k, b) {
			return nil
		}
		first = false
		r.sink.mu.Unlock()
		<-release
		r.sink.mu.Lock()
		return answer
	}
}

// What was taken of a partition and comes late, or comes back, after the partition was given away goes nowhere: its new owner sends it.
func TestNothingIsSentOfWhatWasGivenAway(t *testing.T) {
	feed := func(r *rig, stream string, offset uint64, changes ...Change) {
		for i := range changes {
			changes[i].ID = ChangeID{Commit: offset, N: uint32(i)}
		}
		r.src.feed <- Batch{Position: Position{stream, offset + 1}, Changes: changes}
	}
	open := func(r *rig, user string) {
		t.Helper()
		eventually(t, "the call of "+user+" is open", func() bool { r.sink.mu.Lock(); defer r.sink.mu.Unlock(); return r.sink.open[User{ID: user}] })
	}
	revoke := func(r *rig, stream string) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		r.p.Revoke(ctx, []string{stream})
	}
	// passed waits until a change of another partition that came after was confirmed, and nothing waits any more.
	passed := func(r *rig, stream string, offset uint64) {
		t.Helper()
		feed(r, stream, offset, insert(row("99", "later", "x", "-")))
		eventually(t, "what came after is confirmed", func() bool { r.src.mu.Lock(); defer r.src.mu.Unlock(); return r.src.committed[stream] == offset+1 })
		eventually(t, "nothing waits", func() bool { return r.p.Status().Waiting == 0 })
		if n, bytes, _, _ := r.p.tracker.state(); n != 0 || bytes != 0 {
			t.Errorf("%d changes and %d bytes are open in the end", n, bytes)
		}
	}
	for name, c := range map[string]Change{"a track": insert(row("1", "u1", "old", "-")), "a delete": remove(row("1", "u1", "old", "-"))} {
		t.Run("cdc 82: "+name+" in flight that fails after the partition went away", func(t *testing.T) {
			release := make(chan struct{})
			r := newRig(t, func(c *Config, r *rig) {
				holdCalls(r, release, func(_ Kind, b []Effect) bool { return b[0].User.ID == "u1" }, &RetryableError{Err: errors.New("503")})
			})
			feed(r, "users/0@1", 5, c)
			open(r, "u1")
			revoke(r, "users/0@1")
			close(release)
			passed(r, "users/1@1", 5)
			want(t, r.sink.bodies("u1"))
		})
	}
	t.Run("the first batch of an assignment, which waits for room", func(t *testing.T) {
		release := make(chan struct{})
		r := newRig(t, func(c *Config, r *rig) {
			c.OpenChanges = 1
			holdCalls(r, release, func(_ Kind, b []Effect) bool { return b[0].User.ID == "other" }, nil)
		})
		feed(r, "users/1@1", 5, insert(row("9", "other", "x", "-")))
		open(r, "other")
		feed(r, "users/0@2", 5, remove(row("1", "u1", "old", "-")))
		eventually(t, "the reader waits for room", func() bool { r.p.tracker.mu.Lock(); defer r.p.tracker.mu.Unlock(); return r.p.tracker.waiting })
		revoke(r, "users/0@2")
		close(release)
		passed(r, "users/1@1", 6)
		want(t, r.sink.bodies("u1"))
	})
	t.Run("a batch that is being mapped when the partition is lost", func(t *testing.T) {
		m := &slowMapper{newPlainMapper(), make(chan struct{}, 9), make(chan struct{})}
		r := newRig(t, func(c *Config, r *rig) { c.Mapper = m })
		feed(r, "users/0@1", 5, remove(row("1", "u1", "old", "-")))
		<-m.in
		revoke(r, "users/0@1")
		close(m.goOn)
		passed(r, "users/1@1", 6)
		want(t, r.sink.bodies("u1"))
	})
	t.Run("what folded with another partition's change of the user stays, without what was given away", func(t *testing.T) {
		release := make(chan struct{})
		r := newRig(t, func(c *Config, r *rig) {
			c.Senders = 1
			holdCalls(r, release, func(_ Kind, b []Effect) bool { return b[0].User.ID == "other" }, nil)
			m := newPlainMapper()
			m.info = append(m.info, ModelInfo{Name: "more", Table: "more", Fields: []*FieldDef{{Name: "c", JSON: []byte(`"c":`), Model: 1, Order: 9}}})
			c.Mapper = &twoModels{m}
		})
		feed(r, "users/1@1", 5, insert(row("9", "other", "x", "-")))
		open(r, "other")
		feed(r, "users/0@1", 5, insert(row("1", "u1", "old", "-")))
		kept := insert(row("2", "u1", "new", "-"))
		kept.Key.Table = "more"
		feed(r, "users/1@1", 6, kept)
		eventually(t, "three changes are open", func() bool { n, _, _, _ := r.p.tracker.state(); return n == 3 })
		revoke(r, "users/0@1")
		close(release)
		passed(r, "users/1@1", 7)
		want(t, r.sink.bodies("u1"), `track{"c":"new",}`)
	})
	t.Run("a partition that goes away while it is being taken over leaves nothing behind", func(t *testing.T) {
		j := &slowAdopt{in: make(chan struct{}), goOn: make(chan struct{})}
		r := newRig(t, func(c *Config, r *rig) { j.memJournal, c.Journal = r.journal, j })
		eventually(t, "it runs", func() bool { return r.p.Status().State == "running" })
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- r.p.TakeOver(ctx, Assigned{Stream: "users/0@7", From: 8}) }()
		<-j.in
		cancel() // the source ends the assignment
		r.p.Revoke(t.Context(), []string{"users/0@7"})
		close(j.goOn)
		if err := <-ended; !errors.Is(err, context.Canceled) || r.p.owns("users/0") || r.p.Status().Held != 0 {
			t.Errorf("%v, owned %v, %d held", err, r.p.owns("users/0"), r.p.Status().Held)
		}
	})
}

// twoModels maps the rows of the table "more" to a field of the second model.
type twoModels struct{ *plainMapper }

func (m *twoModels) Map(dst []Effect, c *Change, ids IDs) ([]Effect, error) {
	if c.Key.Table != "more" {
		return m.plainMapper.Map(dst, c, ids)
	}
	return append(dst, Effect{Kind: Track, User: User{ID: c.After.Cells[1].Raw}, Model: 1, Key: c.Key, Change: c,
		Fields: []Field{{Def: m.info[1].Fields[0], JSON: []byte(`"` + c.After.Cells[2].Raw + `"`)}}}), nil
}

// slowMapper tells that it maps, and waits.
type slowMapper struct {
	*plainMapper
	in, goOn chan struct{}
}

func (m *slowMapper) Map(dst []Effect, c *Change, ids IDs) ([]Effect, error) {
	m.in <- struct{}{}
	<-m.goOn
	return m.plainMapper.Map(dst, c, ids)
}

// slowAdopt is a shared journal that takes its time.
type slowAdopt struct {
	*memJournal
	in, goOn chan struct{}
}

func (j *slowAdopt) Adopt(context.Context, string, uint64, bool) (*State, error) {
	close(j.in)
	<-j.goOn
	return &State{Held: []HeldDelete{{User: User{ID: "u4"}, Model: "users", Key: Key{shopTable.Name, "4"}, Part: "users/0"}}}, nil
}

func (j *slowAdopt) Leave(context.Context, []string) error { return nil }
