package connector

import (
	"context"
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
