package connector

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// heldJournal writes no record before it is let.
type heldJournal struct {
	*memJournal
	came, goOn chan struct{}
}

func (j *heldJournal) Apply(ctx context.Context, r *Record) error {
	if len(r.Positions) > 0 {
		j.came <- struct{}{}
		<-j.goOn
	}
	return j.memJournal.Apply(ctx, r)
}

func TestRevokeRecord(t *testing.T) {
	t.Run("a revocation waits for a record that is being written: what it holds is done, and not yet confirmed", func(t *testing.T) {
		j := &heldJournal{came: make(chan struct{}), goOn: make(chan struct{})}
		r := newRig(t, func(c *Config, r *rig) {
			j.memJournal = r.journal
			c.Journal = j
		})
		c := insert(row("1", "u1", "x", "-"))
		c.ID = ChangeID{Commit: 5}
		r.src.feed <- Batch{Position: Position{"users/0@1", 6}, Changes: []Change{c}}
		<-j.came
		given := make(chan uint64)
		go func() {
			r.p.Revoke(context.Background(), []string{"users/0@1"})
			r.src.mu.Lock()
			defer r.src.mu.Unlock()
			given <- r.src.committed["users/0@1"]
		}()
		select {
		case at := <-given:
			t.Errorf("given away with %d confirmed, while the record of it is being written", at)
		case <-time.After(100 * time.Millisecond): // nothing may happen
			close(j.goOn)
			if at := <-given; at != 6 {
				t.Errorf("given away with %d confirmed, want 6", at)
			}
		}
	})
	t.Run("a revocation behind the last record of a run ends at once", func(t *testing.T) {
		r := newRig(t, nil)
		c := insert(row("1", "u1", "x", "-"))
		c.ID = ChangeID{Commit: 5}
		r.src.feed <- Batch{Position: Position{"users/0@1", 6}, Changes: []Change{c}}
		eventually(t, "it is confirmed", func() bool { r.src.mu.Lock(); defer r.src.mu.Unlock(); return r.src.committed["users/0@1"] == 6 })
		r.cancel()
		if err := <-r.ended; err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		r.p.Revoke(t.Context(), []string{"users/0@1"})
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

func TestARecordThatHangsDoesNotKeepTheProcessFromEnding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &hangingJournal{}
		r := newRig(t, func(c *Config, r *rig) {
			j.memJournal, c.Journal, c.Drain = r.journal, j, 5*time.Second
		})
		eventually(t, "it runs", func() bool { return r.p.Status().State == "running" })
		j.hang.Store(true)
		r.commit(insert(row("1", "u1", "x", "-")))
		eventually(t, "it was sent", func() bool { return len(r.sink.bodies("u1")) == 1 })
		began := time.Now()
		err := r.stop()
		if took := time.Since(began); ExitCode(err) != ExitDeadline || took > 40*time.Second {
			t.Errorf("ended after %s with %v", took, err)
		}
	})
}

// hangingJournal waits with a record until its ctx ends, as one does that waits for brokers.
type hangingJournal struct {
	*memJournal
	hang atomic.Bool
}

func (j *hangingJournal) Apply(ctx context.Context, r *Record) error {
	if j.hang.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return j.memJournal.Apply(ctx, r)
}
