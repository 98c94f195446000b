package connector

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// filtering passes over rows whose external_id begins with "out", and cannot map those that begin with "bad".
type filtering struct{ *plainMapper }

func (f *filtering) Map(dst []Effect, c *Change, ids IDs) ([]Effect, error) {
	switch row := c.After; {
	case row.Exists() && strings.HasPrefix(row.Cells[1].Raw, "out"):
		return dst, nil
	case row.Exists() && strings.HasPrefix(row.Cells[1].Raw, "bad"):
		return dst, &RowError{Model: 0, Reason: "the expression of this model fails"}
	}
	return f.plainMapper.Map(dst, c, ids)
}

func (r *rig) committed() uint64 {
	r.src.mu.Lock()
	defer r.src.mu.Unlock()
	return r.src.committed["slot"]
}

func TestCasesPipeline(t *testing.T) {
	t.Run("cdc 49: 8193 and 100,000 rows pass a small queue before a slow sink", func(t *testing.T) {
		for _, n := range []int{8193, 100_000} {
			r := newRig(t, func(c *Config, r *rig) {
				c.OpenChanges, c.UserGap = 100, time.Nanosecond
				var calls atomic.Int64
				r.sink.delay = func() time.Duration { // each hundredth call is slow
					if calls.Add(1)%100 == 0 {
						return 2 * time.Millisecond
					}
					return 0
				}
			})
			go func() {
				for i := 0; i < n; i += 50 { // a transaction of fifty rows each
					var tx []Change
					for j := i; j < min(i+50, n); j++ {
						tx = append(tx, insert(row(fmt.Sprint(j), fmt.Sprint("u", j), "x", "-")))
					}
					r.src.feed <- Batch{Position: Position{"slot", uint64(i + 50)}, Changes: tx}
				}
			}()
			last := uint64((n + 49) / 50 * 50)
			deadline := time.Now().Add(time.Minute)
			for r.committed() < last {
				if time.Now().After(deadline) {
					t.Fatalf("%d rows: confirmed %d of %d", n, r.committed(), last)
				}
				<-time.After(5 * time.Millisecond)
			}
			r.sink.mu.Lock()
			if len(r.sink.profiles) != n {
				t.Errorf("%d profiles, want %d", len(r.sink.profiles), n)
			}
			r.sink.mu.Unlock()
			if err := r.stop(); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("cdc 76: half an hour of 429 holds no more than the cap, costs nobody an attempt, and ends by itself", func(t *testing.T) {
		// The half hour is virtual; the process' memory with Braze away is measured by make bench.
		synctest.Test(t, func(t *testing.T) {
			healthy := time.Now().Add(30 * time.Minute)
			r := newRig(t, func(c *Config, r *rig) {
				c.OpenChanges, c.Attempts = 500, 3
				r.sink.answer = func(Kind, []Effect) error {
					if time.Now().Before(healthy) {
						return &RetryableError{Throttled: true, After: 2 * time.Second, Err: errors.New("429")}
					}
					return nil
				}
			})
			const rows = 20_000
			for i := range rows {
				r.commit(insert(row(fmt.Sprint(i), fmt.Sprint("u", i), "x", "-")))
			}
			for time.Until(healthy) > time.Minute {
				<-time.After(time.Minute)
				if open, bytes, _, _ := r.p.tracker.state(); open > 500 || bytes > 1<<20 || r.committed() != 0 {
					t.Fatalf("%d changes open, %d bytes; confirmed %d", open, bytes, r.committed())
				}
			}
			for deadline := time.Now().Add(10 * time.Minute); r.committed() != r.lsn+5; <-time.After(time.Second) {
				if time.Now().After(deadline) {
					t.Fatalf("it does not recover: confirmed %d of %d", r.committed(), r.lsn+5)
				}
			}
			if len(r.sink.profiles) != rows || len(r.journal.quar.entries) != 0 {
				t.Errorf("%d profiles, %d entries", len(r.sink.profiles), len(r.journal.quar.entries))
			}
			if err := r.stop(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("cdc 100: A, B, A keeps A's order; a filtered row does not move the position past what waits; calls stay within 75", func(t *testing.T) {
		gate := make(chan struct{})
		var hold *holdingSink
		r := newRig(t, func(c *Config, r *rig) {
			hold = &holdingSink{memSink: r.sink, user: "B", gate: gate}
			c.Mapper, c.Sink = &filtering{newPlainMapper()}, hold
		})
		r.commit(insert(row("0", "first", "x", "-")))
		r.quiet()
		before := r.committed()
		r.commit(insert(row("2", "B", "b", "-")))
		eventually(t, "B's call is open", func() bool { return hold.waiting.Load() })
		r.commit(insert(row("1", "A", "one", "-")), update(row("2", "B", "b", "-"), row("2", "B", "c", "-")), update(row("1", "A", "one", "-"), row("1", "A", "two", "-")))
		r.commit(insert(row("3", "out", "x", "-")))
		r.commit(update(row("1", "A", "two", "-"), row("1", "A", "three", "-")))
		var many []Change
		for i := range 200 {
			many = append(many, insert(row(fmt.Sprint(100+i), fmt.Sprint("m", i), "x", "-")))
		}
		r.commit(many...)
		eventually(t, "all but B are done", func() bool {
			r.sink.mu.Lock()
			defer r.sink.mu.Unlock()
			return len(r.sink.profiles) == 202 && r.sink.profiles["A"]["a"] == `"three"`
		})
		if c := r.committed(); c != before {
			t.Errorf("confirmed moved from %d to %d while B waits", before, c)
		}
		close(gate)
		r.quiet()
		if p := r.sink.profiles; p["A"]["a"] != `"three"` || p["B"]["a"] != `"c"` || p["out"] != nil {
			t.Errorf("profiles %v %v %v", p["A"], p["B"], p["out"])
		}
		if n := hold.most.Load(); n > 75 {
			t.Errorf("a call of %d objects", n)
		}
	})
	t.Run("cdc 102: a store that takes ten seconds delays the confirmation and nothing else", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			slow := &slowJournal{}
			r := newRig(t, func(c *Config, r *rig) {
				slow.memJournal = r.journal
				c.Journal = slow
			})
			r.commit(insert(row("1", "u1", "x", "-")))
			for r.committed() != r.lsn+5 {
				<-time.After(time.Second)
			}
			slow.wait.Store(int64(10 * time.Second))
			r.commit(insert(row("2", "u2", "x", "-")))
			<-time.After(time.Second)
			if len(r.sink.bodies("u2")) != 1 || r.committed() == r.lsn+5 {
				t.Errorf("u2 was sent %d times, confirmed %d", len(r.sink.bodies("u2")), r.committed())
			}
			<-time.After(15 * time.Second)
			if r.committed() != r.lsn+5 {
				t.Errorf("confirmed %d, want %d", r.committed(), r.lsn+5)
			}
			if ok, why := r.p.Live(); !ok {
				t.Errorf("not live: %v", why)
			}
			slow.wait.Store(0)
			if err := r.stop(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("cdc 103: rows that one model cannot map stop nobody else, and readiness follows the position", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var down atomic.Bool
			r := newRig(t, func(c *Config, r *rig) {
				c.Mapper = &filtering{newPlainMapper()}
				r.sink.answer = func(Kind, []Effect) error {
					if down.Load() {
						return &RetryableError{Unknown: true, Err: errors.New("503")}
					}
					return nil
				}
			})
			confirmed := func() {
				t.Helper()
				for deadline := time.Now().Add(10 * time.Minute); r.committed() != r.lsn+5; <-time.After(100 * time.Millisecond) {
					if time.Now().After(deadline) {
						t.Fatalf("confirmed %d of %d", r.committed(), r.lsn+5)
					}
				}
			}
			for i := range 20 {
				r.commit(insert(row(fmt.Sprint("b", i), fmt.Sprint("bad", i), "x", "-")), insert(row(fmt.Sprint(i), fmt.Sprint("u", i), "x", "-")))
			}
			confirmed()
			if len(r.sink.profiles) != 20 || len(r.journal.quar.entries) != 20 {
				t.Errorf("%d profiles, %d entries, want 20 of each", len(r.sink.profiles), len(r.journal.quar.entries))
			}
			if ok, why := r.p.Ready(); !ok {
				t.Errorf("not ready: %v", why)
			}
			down.Store(true)
			r.commit(insert(row("90", "u90", "x", "-")))
			<-time.After(stuckAfter - 5*time.Second)
			if ok, why := r.p.Ready(); !ok {
				t.Errorf("not ready too early: %v", why)
			}
			<-time.After(10 * time.Second)
			if ok, why := r.p.Ready(); ok || !strings.Contains(strings.Join(why, " "), "position: slot has not moved") {
				t.Errorf("ready %v while the position stands: %v", ok, why)
			}
			down.Store(false)
			confirmed()
			if ok, why := r.p.Ready(); !ok {
				t.Errorf("not ready again: %v", why)
			}
			if err := r.stop(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("cdc 121: an effect that data/ remembers as done is passed over and counted", func(t *testing.T) {
		var mu sync.Mutex
		deletes := 0
		r := &rig{t: t, src: newScript(), sink: newMemSink(t), journal: &memJournal{}, ended: make(chan error, 1)}
		r.src.fresh = false
		r.journal.state = State{Positions: []Recorded{{Position: Position{"slot", 1}}}, Models: []ModelState{{Name: "users"}},
			Done: []DoneID{{Kind: DeleteUser, User: User{ID: "u1"}, Stream: "slot", ID: ChangeID{Commit: 10}, Table: shopTable.Name}}}
		r.start(func(c *Config, r *rig) {
			r.sink.answer = func(k Kind, _ []Effect) error {
				mu.Lock()
				defer mu.Unlock()
				if k == DeleteUser {
					deletes++
				}
				return nil
			}
		})
		r.commit(remove(row("1", "u1", "x", "-")), remove(row("2", "u2", "x", "-")))
		r.quiet()
		mu.Lock()
		defer mu.Unlock()
		if deletes != 1 || len(r.sink.bodies("u1")) != 0 {
			t.Errorf("%d calls of deletes, u1 %v", deletes, r.sink.bodies("u1"))
		}
		if n := r.p.Metrics().Skipped(); n != 1 {
			t.Errorf("%d effects counted as passed over, want 1", n)
		}
	})
	t.Run("a rename comes again whose new name data/ remembers as deleted: nobody is renamed, though somebody has the old name now", func(t *testing.T) {
		r := &rig{t: t, src: newScript(), sink: newMemSink(t), journal: &memJournal{}, ended: make(chan error, 1)}
		r.src.fresh = false
		r.journal.state = State{Positions: []Recorded{{Position: Position{"slot", 1}}}, Models: []ModelState{{Name: "users"}},
			Done: []DoneID{{Kind: DeleteUser, User: User{ID: "u2"}, Stream: "slot", ID: ChangeID{Commit: 20}, Table: shopTable.Name}}}
		var mu sync.Mutex
		var renamed []string
		r.start(func(c *Config, r *rig) {
			r.sink.answer = func(k Kind, batch []Effect) error {
				mu.Lock()
				defer mu.Unlock()
				for i := range batch {
					if k == Rename {
						renamed = append(renamed, batch[i].User.ID+" to "+batch[i].To.ID)
					}
				}
				return nil
			}
		})
		r.commit(update(row("1", "u1", "x", "-"), row("1", "u2", "x", "-")))
		r.commit(remove(row("1", "u2", "x", "-")))
		r.commit(insert(row("2", "u1", "y", "-")), insert(row("3", "u3", "z", "-")))
		r.commit(update(row("3", "u3", "z", "-"), row("3", "u2", "z", "-")))
		r.quiet()
		mu.Lock()
		defer mu.Unlock()
		if got := strings.Join(renamed, ", "); got != "u3 to u2" {
			t.Errorf("renamed: %s", got)
		}
	})
	t.Run("a rename that Braze refused is remembered: the next run sends the new user in full, whoever has the old name now", func(t *testing.T) {
		journal := &memJournal{}
		var mu sync.Mutex
		var renamed []string
		first := func(c *Config, r *rig) {
			r.sink.answer = func(k Kind, batch []Effect) error {
				mu.Lock()
				defer mu.Unlock()
				if k != Rename {
					return nil
				}
				renamed = append(renamed, batch[0].User.ID+" to "+batch[0].To.ID)
				return &RejectedError{Items: []Rejection{{Reason: "current_external_id is unknown", CurrentUnknown: true}}}
			}
		}
		r := &rig{t: t, src: newScript(), sink: newMemSink(t), journal: journal, ended: make(chan error, 1)}
		r.src.fresh = false
		journal.state = State{Positions: []Recorded{{Position: Position{"slot", 1}}}, Models: []ModelState{{Name: "users"}}}
		r.start(first)
		r.commit(update(row("1", "u1", "x", "q"), row("1", "u2", "y", "q")))
		r.quiet()
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		done := journal.State().Done
		if len(done) != 1 || !done[0].Refused || done[0].User.ID != "u1" {
			t.Fatalf("remembered: %+v", done)
		}
		again := &rig{t: t, src: newScript(), sink: newMemSink(t), journal: &memJournal{}, ended: make(chan error, 1)}
		again.src.fresh = false
		again.journal.state = State{Positions: []Recorded{{Position: Position{"slot", 1}}}, Models: []ModelState{{Name: "users"}}, Done: done}
		again.start(first)
		again.commit(update(row("1", "u1", "x", "q"), row("1", "u2", "y", "q")), insert(row("2", "u1", "z", "-")))
		again.quiet()
		mu.Lock()
		defer mu.Unlock()
		if got := strings.Join(renamed, ", "); got != "u1 to u2" {
			t.Errorf("renamed: %s", got)
		}
		if got := again.sink.bodies("u2"); len(got) != 1 || !strings.Contains(fmt.Sprint(got), "q") {
			t.Errorf("the new user went as %v, and not in full", got)
		}
	})
}

// holdingSink is a sink that answers calls with one user only once its gate is open.
type holdingSink struct {
	*memSink
	user    string
	gate    chan struct{}
	waiting atomic.Bool
	most    atomic.Int64 // objects of a call
}

func (h *holdingSink) Send(ctx context.Context, k Kind, batch []Effect) error {
	h.most.Store(max(h.most.Load(), int64(len(batch))))
	for i := range batch {
		if batch[i].User.ID == h.user {
			h.waiting.Store(true)
			<-h.gate
		}
	}
	return h.memSink.Send(ctx, k, batch)
}

// slowJournal waits before it applies a record.
type slowJournal struct {
	*memJournal
	wait atomic.Int64
}

func (j *slowJournal) Apply(ctx context.Context, r *Record) error {
	<-time.After(time.Duration(j.wait.Load()))
	return j.memJournal.Apply(ctx, r)
}
