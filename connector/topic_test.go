package connector

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// topicLike is a source that has neither loads nor living rows, as a topic has none.
type topicLike struct{ *script }

func (topicLike) StartLoad(context.Context, Load) error      { return ErrNoLoads }
func (topicLike) Rows(context.Context, Query) ([]Row, error) { return nil, ErrNotReadable }
func (s topicLike) Open(ctx context.Context, st Start) (Opened, error) {
	o, err := s.script.Open(ctx, st)
	o.Shared = true
	return o, err
}

func TestTopicLike(t *testing.T) {
	topic := func(m Mapper) func(*Config, *rig) {
		return func(c *Config, r *rig) {
			c.Source = topicLike{r.src}
			if m != nil {
				c.Mapper = m
			}
		}
	}
	t.Run("a look-up before a delete that nobody can answer does not hold it", func(t *testing.T) {
		r := newRig(t, topic(&verifying{newPlainMapper()}))
		r.commit(insert(row("1", "u1", "x", "-")))
		r.quiet()
		r.commit(remove(row("1", "u1", "x", "-")))
		r.quiet()
		want(t, r.sink.bodies("u1"), `track{"a":"x",}`, `delete{}`)
	})
	t.Run("confirm after a TRUNCATE lets the model go on without a load, also after a restart", func(t *testing.T) {
		r := newRig(t, topic(nil))
		r.commit(insert(row("1", "u1", "x", "-")), Change{Op: Truncate, Key: Key{Table: shopTable.Name}, Time: time.Now()})
		r.quiet()
		said, err := r.p.Confirm(t.Context(), "users", false)
		if err != nil || !strings.Contains(said, "not loaded again") {
			t.Fatalf("%q, %v", said, err)
		}
		r.commit(insert(row("2", "u2", "y", "-")))
		r.quiet()
		want(t, r.sink.bodies("u2"), `track{"a":"y",}`)
		st := r.journal.State()
		for _, l := range st.Loads {
			if l.Finished.IsZero() {
				t.Errorf("data/ holds a load that will never end: %+v", l)
			}
		}
		if len(st.Paused) > 0 {
			t.Errorf("data/ holds %+v", st.Paused)
		}
	})
	t.Run("one row can't be asked for, and the error says so", func(t *testing.T) {
		r := newRig(t, topic(nil))
		if _, err := r.p.SendRow(t.Context(), "users", "1", nil); !errors.Is(err, ErrNotReadable) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("an empty data/ beside a group that has read is a new member: nothing waits", func(t *testing.T) {
		r := &rig{t: t, src: newScript(), sink: newMemSink(t), journal: &memJournal{state: State{New: true}}, ended: make(chan error, 1)}
		r.src.fresh = false
		r.start(topic(nil))
		r.commit(remove(row("1", "u1", "x", "-")))
		r.quiet()
		want(t, r.sink.bodies("u1"), `delete{}`)
		if waits := r.p.Pending(); len(waits) > 0 {
			t.Errorf("waits: %+v", waits)
		}
	})
}
