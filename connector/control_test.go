package connector

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestControl(t *testing.T) {
	t.Run("rows of the load that confirm begins are not passed over by the pause", func(t *testing.T) {
		r := newRig(t, func(c *Config, r *rig) { c.Source = &eager{script: r.src, t: t} })
		r.commit(insert(row("1", "u1", "x", "y")), Change{Op: Truncate, Key: Key{Table: shopTable.Name}, Time: time.Now()})
		r.quiet()
		if _, err := r.p.Confirm(t.Context(), "users", false); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the load is done", func() bool { return r.p.proven[0].Load() })
		want(t, r.sink.bodies("u1"), `track{"a":"x","b":"y",}`, `track{"a":"new","b":null,}`)
	})
	t.Run("a confirmed delete that was not sent yet survives a restart", func(t *testing.T) {
		down := true
		r := &rig{t: t, src: newScript(), sink: newMemSink(t), journal: &memJournal{state: State{New: true}}, ended: make(chan error, 1)}
		r.src.fresh = false
		r.sink.answer = func(k Kind, _ []Effect) error {
			if down && k == DeleteUser {
				return &RetryableError{Err: errors.New("down"), After: time.Millisecond}
			}
			return nil
		}
		r.start(nil)
		r.commit(insert(row("1", "u1", "x", "-")), remove(row("9", "u2", "x", "-")))
		r.quiet()
		r.commit(remove(row("1", "u1", "x", "-")))
		r.quiet()
		if _, err := r.p.Confirm(t.Context(), "users", false); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the delete was tried", func() bool { n, _ := r.p.metrics.Retries(); return n > 1 })
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		r.sink.mu.Lock()
		down = false
		r.sink.mu.Unlock()
		r.src = newScript()
		r.src.fresh = false
		r.start(nil)
		eventually(t, "the delete is sent", func() bool { return r.sink.profile("u1") == nil })
		eventually(t, "data/ forgets it", func() bool { return len(r.journal.State().Held) == 0 })
	})
}

func (m *memSink) profile(id string) map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.profiles[id]
}

// eager hands out the whole load before StartLoad returns.
type eager struct {
	*script
	t *testing.T
}

func (e *eager) StartLoad(ctx context.Context, l Load) error {
	e.feed <- Batch{Position: Position{"load/" + l.ID, 1}, Load: &LoadProgress{Load: l.ID, Rows: 1, Done: true},
		Changes: []Change{{Op: Snapshot, After: row("1", "u1", "new", "-"), Key: Key{shopTable.Name, "1"}}}}
	eventually(e.t, "the load is recorded", func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.committed["load/"+l.ID] == 1
	})
	return e.script.StartLoad(ctx, l)
}
