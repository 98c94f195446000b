package connector

import (
	"sync"
	"testing"
	"time"
)

func TestProof(t *testing.T) {
	t.Run("a change that was read before the load ended goes whole, since its chunk row may have been dropped", func(t *testing.T) {
		inSend, goOn := make(chan struct{}), make(chan struct{})
		r := newRig(t, func(c *Config, r *rig) {
			var once sync.Once
			r.sink.delay = func() time.Duration { once.Do(func() { close(inSend); <-goOn }); return 0 }
		})
		r.commit(insert(row("1", "u1", "x", "y")))
		<-inSend
		r.commit(update(row("1", "u1", "x", "y"), row("1", "u1", "z", "y")))
		eventually(t, "the update waits", func() bool {
			r.p.queue.mu.Lock()
			defer r.p.queue.mu.Unlock()
			return r.p.queue.steps == 2
		})
		r.p.proven[0].Store(true)
		close(goOn)
		r.quiet()
		r.commit(update(row("1", "u1", "z", "y"), row("1", "u1", "z", "w")))
		r.quiet()
		want(t, r.sink.bodies("u1"), `track{"a":"x","b":"y",}`, `track{"a":"z","b":"y",}`, `track{"b":"w",}`)
	})
}
