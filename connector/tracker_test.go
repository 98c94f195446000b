package connector

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func batchOf(stream string, offset uint64, changes int) *Batch {
	return &Batch{Position: Position{stream, offset}, Changes: make([]Change, changes)}
}

func TestTracker(t *testing.T) {
	add := func(t *testing.T, k *tracker, b *Batch) *ticket {
		t.Helper()
		c, err := k.add(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		k.finish(c)
		return c
	}
	t.Run("cdc 81: holds a later position until the earlier batch is done", func(t *testing.T) {
		k := newTracker(100, 1<<20, func() {})
		a, b := add(t, k, batchOf("s", 10, 2)), add(t, k, batchOf("s", 20, 1))
		k.done([]share{{b, 1}})
		if p, _ := k.advance(); p != nil {
			t.Errorf("positions %v before the first batch is done", p)
		}
		k.doneOne(a)
		if p, _ := k.advance(); p != nil {
			t.Errorf("positions %v while one change is open", p)
		}
		k.doneOne(a)
		if p, _ := k.advance(); len(p) != 1 || p[0].Position.Offset != 20 {
			t.Errorf("positions %v, want 20", p)
		}
	})
	t.Run("cdc 9: an empty batch joins the queue and never overtakes an open one", func(t *testing.T) {
		k := newTracker(100, 1<<20, func() {})
		a := add(t, k, batchOf("s", 10, 1))
		add(t, k, batchOf("s", 30, 0))
		if p, _ := k.advance(); p != nil {
			t.Errorf("an empty batch moved the position to %v past an open change", p)
		}
		k.doneOne(a)
		if p, _ := k.advance(); len(p) != 1 || p[0].Position.Offset != 30 {
			t.Errorf("positions %v, want 30", p)
		}
	})
	t.Run("cdc 10: parts of a transaction repeat the last committable position", func(t *testing.T) {
		k := newTracker(100, 1<<20, func() {})
		add(t, k, batchOf("s", 10, 0))
		a, b := add(t, k, batchOf("s", 10, 5)), add(t, k, batchOf("s", 20, 5))
		k.done([]share{{a, 5}})
		if p, _ := k.advance(); len(p) != 1 || p[0].Position.Offset != 10 {
			t.Errorf("positions %v, want 10: the transaction is not complete", p)
		}
		k.done([]share{{b, 5}})
		if p, _ := k.advance(); p[0].Position.Offset != 20 {
			t.Errorf("positions %v, want 20", p)
		}
	})
	t.Run("a batch larger than the cap passes when nothing is open, and holds the next one back", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			k := newTracker(10, 1<<20, func() {})
			a := add(t, k, batchOf("s", 10, 50))
			passed := make(chan struct{})
			go func() {
				add(t, k, batchOf("s", 20, 1))
				close(passed)
			}()
			synctest.Wait()
			select {
			case <-passed:
				t.Error("read on above the cap")
			default:
			}
			time.Sleep(time.Second) // virtual
			k.done([]share{{a, 50}})
			<-passed
			if _, _, held, _ := k.state(); held != time.Second {
				t.Errorf("held %v, want 1 s", held)
			}
		})
	})
	t.Run("waiting for room ends with the context", func(t *testing.T) {
		k := newTracker(1, 1<<20, func() {})
		add(t, k, batchOf("s", 10, 1))
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := k.add(ctx, batchOf("s", 20, 1)); err == nil {
			t.Error("no error")
		}
	})
	t.Run("in any order of completion only the unbroken prefix is given out, once, and in the end all of it", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			k := newTracker(1<<20, 1<<30, func() {})
			n := rapid.IntRange(1, 30).Draw(t, "batches")
			var open []share
			left := make([]int, n)
			for i := range n {
				left[i] = rapid.IntRange(0, 4).Draw(t, "changes")
				c, err := k.add(context.Background(), batchOf("s", uint64(i+1), left[i]))
				if err != nil {
					t.Fatal(err)
				}
				k.finish(c)
				for range left[i] {
					open = append(open, share{c, 1})
				}
			}
			var last uint64
			check := func() {
				want := 0
				for want < n && left[want] == 0 {
					want++
				}
				for _, p := range first(k.advance()) {
					if p.Position.Offset <= last {
						t.Fatalf("position %d after %d", p.Position.Offset, last)
					}
					last = p.Position.Offset
				}
				if last != uint64(want) {
					t.Fatalf("position %d, want %d", last, want)
				}
			}
			check()
			for _, i := range rapid.Permutation(indexes(len(open))).Draw(t, "order") {
				left[open[i].t.position.Offset-1]--
				k.done([]share{open[i]})
				check()
			}
			if !k.idle() {
				t.Fatal("not idle at the end")
			}
		})
	})
}

func first(p []Recorded, _ []LoadProgress) []Recorded { return p }

func indexes(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}
