package connector

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// retryRig is a pipeline over a source like a topic, whose Braze refuses what refuse says.
type retryRig struct {
	*rig
	refuse atomic.Pointer[func(e *Effect) bool]
	block  chan struct{} // a call waits for one token, where set
	at     chan struct{} // told when a call waits
}

func newRetryRig(t *testing.T) *retryRig {
	r := &retryRig{}
	r.rig = newRig(t, func(c *Config, rig *rig) {
		c.Source = topicLike{rig.src}
		rig.sink.answer = func(_ Kind, batch []Effect) error {
			if r.block != nil {
				r.at <- struct{}{}
				<-r.block
			}
			refuse := r.refuse.Load()
			if refuse == nil {
				return nil
			}
			var bad []Rejection
			for i := range batch {
				if (*refuse)(&batch[i]) {
					bad = append(bad, Rejection{Index: i, Reason: "not liked"})
				}
			}
			if bad == nil {
				return nil
			}
			return &RejectedError{Items: bad}
		}
	})
	return r
}

func (r *retryRig) refuses(is func(e *Effect) bool) { r.refuse.Store(&is) }

func refuseAll(*Effect) bool  { return true }
func refuseNone(*Effect) bool { return false }

// held gives the one open entry.
func (r *retryRig) held() *Entry {
	r.t.Helper()
	list, _ := r.journal.Quarantine().List(EntryFilter{})
	if len(list) != 1 {
		r.t.Fatalf("%d open entries", len(list))
	}
	return &list[0]
}

func (r *retryRig) ended(id uint64) string {
	r.t.Helper()
	e, err := r.journal.Quarantine().Entry(id)
	if err != nil {
		r.t.Fatal(err)
	}
	return e.Closed
}

func TestRetryWithoutLivingRows(t *testing.T) {
	t.Run("sends what the entry holds, and closes it when it is accepted", func(t *testing.T) {
		r := newRetryRig(t)
		r.refuses(refuseAll)
		r.commit(insert(row("1", "u1", "x", "1")))
		r.quiet()
		first := r.held()
		if _, err := r.p.Retry(t.Context(), first.ID); err == nil || !strings.Contains(err.Error(), "not liked") {
			t.Fatalf("a retry that is refused: %v", err)
		}
		second := r.held()
		if second.ID == first.ID {
			t.Error("the refused retry did not replace the entry")
		}
		r.refuses(refuseNone)
		said, err := r.p.Retry(t.Context(), second.ID)
		if err != nil || !strings.Contains(said, "u1") {
			t.Fatalf("%q, %v", said, err)
		}
		want(t, r.sink.bodies("u1"), `track{"a":"x","b":"1",}`)
		if how := r.ended(second.ID); !strings.HasPrefix(how, "retried") {
			t.Errorf("the entry ended as %q", how)
		}
		if _, err := r.p.Retry(t.Context(), second.ID); err == nil || !strings.Contains(err.Error(), "closed") {
			t.Errorf("a retry of a closed entry: %v", err)
		}
	})
	t.Run("is not waited for once the pipeline is over: a reload would keep who asked for ever", func(t *testing.T) {
		r := newRetryRig(t)
		r.refuses(refuseAll)
		r.commit(insert(row("1", "u1", "x", "1")))
		r.quiet()
		e := r.held()
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := r.p.Retry(ctx, e.ID); !errors.Is(err, ErrEnding) {
			t.Errorf("the retry ended with %v", err)
		}
		if how := r.ended(e.ID); how != "" {
			t.Errorf("the entry ended as %q", how)
		}
	})
	t.Run("is older than a change of its row that is being sent: nothing stale follows it", func(t *testing.T) {
		r := newRetryRig(t)
		r.refuses(refuseAll)
		r.commit(insert(row("1", "u1", "x", "1")))
		r.quiet()
		e := r.held()
		r.refuses(refuseNone)
		r.at, r.block = make(chan struct{}), make(chan struct{})
		r.commit(update(row("1", "u1", "x", "1"), row("1", "u1", "y", "1")))
		<-r.at
		ended := make(chan error, 1)
		go func() {
			_, err := r.p.Retry(t.Context(), e.ID)
			ended <- err
		}()
		eventually(t, "the retry waits behind it", func() bool {
			r.p.queue.mu.Lock()
			defer r.p.queue.mu.Unlock()
			u := r.p.queue.users[User{ID: "u1"}]
			return u != nil && len(u.steps) == 1
		})
		close(r.block)
		go func() {
			for range r.at { // later calls are let through
			}
		}()
		if err := <-ended; err == nil || !strings.Contains(err.Error(), "suppressed") {
			t.Errorf("the retry ended with %v", err)
		}
		r.quiet()
		want(t, r.sink.bodies("u1"), `track{"a":"y","b":"1",}`)
		if how := r.ended(e.ID); how != "delivered with a later change" {
			t.Errorf("the entry ended as %q", how)
		}
	})
	t.Run("sends a refused delete only while nothing of its user is on its way", func(t *testing.T) {
		r := newRetryRig(t)
		r.commit(insert(row("1", "u1", "x", "1")))
		r.quiet()
		r.refuses(func(e *Effect) bool { return e.Kind == DeleteUser })
		r.commit(remove(row("1", "u1", "x", "1")))
		r.quiet()
		e := r.held()
		r.refuses(refuseNone)
		r.p.queue.mu.Lock()
		u := r.p.queue.user(User{ID: "u1"})
		u.busy = true
		r.p.queue.mu.Unlock()
		if _, err := r.p.Retry(t.Context(), e.ID); err == nil || !strings.Contains(err.Error(), "on its way") {
			t.Errorf("beside another change: %v", err)
		}
		r.p.queue.mu.Lock()
		u.busy = false
		r.p.queue.mu.Unlock()
		if _, err := r.p.Retry(t.Context(), e.ID); err != nil {
			t.Fatal(err)
		}
		want(t, r.sink.bodies("u1"), `track{"a":"x","b":"1",}`, `delete{}`)
	})
	t.Run("a row that was read again is read once more when its turn has come", func(t *testing.T) {
		r := newRetryRig(t)
		r.commit(insert(row("1", "", "x", "1"))) // cannot be mapped
		r.quiet()
		e := r.held()
		if _, err := r.p.Retry(t.Context(), e.ID); !errors.Is(err, ErrNotReadable) {
			t.Errorf("without its record: %v", err)
		}
		read := func(context.Context) (Row, bool, error) { return row("1", "u1", "z", "-"), true, nil }
		if _, err := r.p.RetryRow(t.Context(), e.ID, "users", e.Key, row("1", "u1", "y", "1"), read); err != nil {
			t.Fatal(err)
		}
		want(t, r.sink.bodies("u1"), `track{"a":"z","b":null,}`)
		if how := r.ended(e.ID); !strings.HasPrefix(how, "retried") {
			t.Errorf("the entry ended as %q", how)
		}
	})
	t.Run("a row that turns out to be gone, or that can't be read, is not sent", func(t *testing.T) {
		r := newRetryRig(t)
		r.commit(insert(row("1", "", "x", "1")))
		r.quiet()
		e := r.held()
		fails := true
		read := func(context.Context) (Row, bool, error) {
			if fails {
				fails = false
				return Row{}, false, fmt.Errorf("the brokers are away")
			}
			return Row{}, false, nil
		}
		if _, err := r.p.RetryRow(t.Context(), e.ID, "users", e.Key, row("1", "u1", "y", "1"), read); err == nil {
			t.Error("it was sent")
		}
		want(t, r.sink.bodies("u1"))
		if r.held().ID != e.ID {
			t.Error("the entry is not open")
		}
	})
	t.Run("does not move a row back to a user that it had", func(t *testing.T) {
		r := newRetryRig(t)
		key := Key{shopTable.Name, "1"}
		r.p.ids.mu.Lock()
		r.p.ids.rows[rowKey{0, key}] = underWay{user: User{ID: "u2"}, n: 1}
		r.p.ids.mu.Unlock()
		id, err := r.journal.Quarantine().Put(t.Context(), &Entry{Model: "users", Class: "undecodable", Key: Key{shopTable.Name, "0/0"}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.p.RetryRow(t.Context(), id, "users", key, row("1", "u1", "y", "1"), nil)
		if err == nil || !strings.Contains(err.Error(), "move its row") {
			t.Errorf("got %v", err)
		}
	})
}
