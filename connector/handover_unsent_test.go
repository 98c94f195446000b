package connector

import (
	"context"
	"errors"
	"testing"
	"time"
)

// What is dropped because its partition goes away is not done: nobody may confirm it, since only its new owner sends it.
func TestWhatIsDroppedIsNotConfirmed(t *testing.T) {
	feed := func(r *rig, stream string, c Change) {
		c.ID = ChangeID{Commit: 5}
		r.src.feed <- Batch{Position: Position{stream, 6}, Changes: []Change{c}}
	}
	given := func(t *testing.T, r *rig) {
		t.Helper()
		r.src.mu.Lock()
		defer r.src.mu.Unlock()
		if at := r.src.committed["users/0@1"]; at != 0 {
			t.Errorf("confirmed up to %d, and sent to Braze: %q", at, r.sink.bodies("u1"))
		}
	}
	t.Run("a change that comes out of the mapping behind the revocation, while a record is being written", func(t *testing.T) {
		j := &heldJournal{came: make(chan struct{}, 9), goOn: make(chan struct{})}
		m := &slowMapper{newPlainMapper(), make(chan struct{}, 9), make(chan struct{})}
		r := newRig(t, func(c *Config, r *rig) { c.Mapper = m; j.memJournal = r.journal; c.Journal = j })
		feed(r, "users/1@1", insert(row("9", "other", "x", "-")))
		<-m.in
		m.goOn <- struct{}{}
		<-j.came
		feed(r, "users/0@1", insert(row("1", "u1", "x", "-")))
		<-m.in
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
			defer cancel()
			r.p.Revoke(ctx, []string{"users/0@1"})
		}()
		eventually(t, "what is unsent is withdrawn", func() bool { return r.p.queue.anyGone.Load() })
		m.goOn <- struct{}{}
		r.src.feed <- Batch{Position: Position{"users/1@1", 7}, Changes: []Change{insert(row("9", "other", "y", "-"))}}
		<-m.in // so the one before it has gone to the queue
		close(j.goOn)
		<-ended
		close(m.goOn)
		given(t, r)
		want(t, r.sink.bodies("u1"))
	})
	t.Run("a call that fails between the revocation's steps", func(t *testing.T) {
		release := make(chan struct{})
		r := newRig(t, func(c *Config, r *rig) {
			holdCalls(r, release, func(_ Kind, b []Effect) bool { return b[0].User.ID == "u1" }, &RetryableError{Err: errors.New("503")})
		})
		feed(r, "users/0@1", insert(row("1", "u1", "x", "-")))
		eventually(t, "the call is open", func() bool { r.sink.mu.Lock(); defer r.sink.mu.Unlock(); return r.sink.open[User{ID: "u1"}] })
		set := map[string]bool{"users/0@1": true}
		r.p.queue.withdraw(set)
		close(release)
		eventually(t, "the call came back", func() bool { return r.p.Status().Waiting == 0 })
		if err := r.p.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.p.tracker.drop(set)
		given(t, r)
	})
}

// A held delete that was answered, and waits in its user's queue, goes with its partition.
func TestHeldDeleteGoesWithItsPartition(t *testing.T) {
	held := HeldDelete{User: User{ID: "u4"}, Model: "users", Key: Key{shopTable.Name, "4"}, Part: "users/0", Answer: AnswerSend}
	j := &sharingJournal{of: map[string]*State{"users/0": {Held: []HeldDelete{held}}}}
	r := newRig(t, func(c *Config, r *rig) { j.memJournal, c.Journal = r.journal, j })
	eventually(t, "it runs", func() bool { return r.p.Status().State == "running" })
	hold := func(until moment) {
		q := r.p.queue
		q.mu.Lock()
		defer q.mu.Unlock()
		q.notBefore = until
		for _, u := range q.users {
			q.schedule(u, time.Now())
		}
		q.signal()
	}
	hold(at(time.Now().Add(time.Hour))) // a gap, an outage, the limit of calls: the delete waits
	if err := r.p.TakeOver(t.Context(), Assigned{Stream: "users/0@7", From: 8}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	r.p.Revoke(ctx, []string{"users/0@7"})
	hold(0)
	c := insert(row("9", "later", "x", "-"))
	c.ID = ChangeID{Commit: 5}
	r.src.feed <- Batch{Position: Position{"users/1@1", 6}, Changes: []Change{c}}
	eventually(t, "what came after is confirmed", func() bool { r.src.mu.Lock(); defer r.src.mu.Unlock(); return r.src.committed["users/1@1"] == 6 })
	want(t, r.sink.bodies("u4"))

	// The partition comes back, and with it the delete.
	if err := r.p.TakeOver(t.Context(), Assigned{Stream: "users/0@8", From: 8}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the delete is sent", func() bool { return len(r.sink.bodies("u4")) == 1 })
}

func TestEventsBehindALostPartition(t *testing.T) {
	m := newPlainMapper()
	p, err := New(Config{Source: newScript(), Sink: newMemSink(t), Mapper: m, Journal: &memJournal{}})
	if err != nil {
		t.Fatal(err)
	}
	ticketOf := func(stream string) *ticket {
		tk, _ := p.tracker.add(t.Context(), &Batch{Position: Position{stream, 6}, Changes: make([]Change, 1)})
		return tk
	}
	row := &step{kind: Track, user: User{ID: "u"}, owner: true, creates: true, rows: []rowRef{{key: Key{"t", "2"}, stream: "users/1@1"}},
		fields: []Field{{Def: m.info[0].Fields[0], JSON: []byte(`"x"`)}}, shares: []share{{ticketOf("users/1@1"), 1}}}
	event := &step{kind: Track, user: User{ID: "u"}, event: &Event{Name: "e", JSON: []byte(`"name":"e"`)}, rows: []rowRef{{key: Key{"t", "1"}, stream: "events/0@1"}},
		shares: []share{{ticketOf("events/0@1"), 1}}}
	p.queue.push([]*step{row, event})
	s := &sender{p: p, e: p.ends[Track], limits: p.sink.Limits(Track)}
	flights := p.queue.take(nil, Track, 50)
	p.queue.withdraw(map[string]bool{"events/0@1": true})
	if sent := s.prepare(t.Context(), &flights[0]); sent || len(s.calls) > 0 {
		t.Errorf("%d objects leave, an event of a lost partition among them", len(s.calls))
	}
	again := p.queue.take(nil, Track, 50)
	if len(again) != 1 || !s.prepare(t.Context(), &again[0]) || len(s.calls) != 1 || s.calls[0].Event != nil {
		t.Errorf("the row beside it does not leave: %d flights, %d objects", len(again), len(s.calls))
	}
}

func TestReplayedRowBeforeAWaitingEvent(t *testing.T) {
	m := newPlainMapper()
	q := newQueue(m.info, 0)
	u := q.user(User{ID: "u"})
	u.busy = true
	q.push([]*step{{kind: Track, user: u.id, event: &Event{Name: "e", JSON: []byte(`"name":"e"`)}, rows: []rowRef{{key: Key{"t", "1"}}}}})
	q.pushOlder([]*step{{kind: Track, user: u.id, load: true, rows: []rowRef{{key: Key{"t", "2"}}}, fields: []Field{{Def: m.info[0].Fields[0], JSON: []byte(`"x"`)}}}})
	if len(u.steps) != 2 || u.steps[0].event != nil || len(u.steps[0].fields) != 1 || u.steps[1].event == nil {
		t.Errorf("%d steps wait; a row that folds into an event is never sent", len(u.steps))
	}
}

func TestDiscardOfAReplacedEntry(t *testing.T) {
	r := newRig(t, nil)
	eventually(t, "it runs", func() bool { return r.p.Status().State == "running" })
	k := Key{shopTable.Name, "1"}
	for range 2 {
		if err := r.p.putEntry(t.Context(), &Entry{Model: "users", Key: k, Class: "rejected", User: User{ID: "u1"}}, 0); err != nil {
			t.Fatal(err)
		}
	}
	// The first may be closed by now or not; in both cases the row path goes on with the second.
	if err := r.p.Discard(t.Context(), 1, "old"); err != nil {
		t.Log("refused:", err)
	}
	r.p.care.mu.Lock()
	defer r.p.care.mu.Unlock()
	if id := r.p.care.entries[rowKey{0, k}]; id != 2 {
		t.Errorf("the row path knows entry %d, and entry 2 is open", id)
	}
}

// Who waits for a row that is sent by hand is told when it goes away unsent.
func TestWaitersOfWhatIsWithdrawn(t *testing.T) {
	r := newRig(t, nil)
	eventually(t, "it runs", func() bool { return r.p.Status().State == "running" })
	q := r.p.queue
	q.mu.Lock()
	q.notBefore = at(time.Now().Add(time.Hour))
	q.mu.Unlock()
	told := make(chan string, 1)
	q.push([]*step{{kind: Track, user: User{ID: "u1"}, rows: []rowRef{{key: Key{shopTable.Name, "1"}, stream: "users/0@1"}}, waiters: []chan<- string{told}}})
	r.p.Revoke(t.Context(), []string{"users/0@1"})
	if got := <-told; got != droppedUnsent {
		t.Errorf("told %q", got)
	}
}
