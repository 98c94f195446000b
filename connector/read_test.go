package connector

import (
	"context"
	"errors"
	"testing"
	"time"
)

// half refuses a change for one of two models.
type half struct{ *plainMapper }

func (h *half) Map(dst []Effect, c *Change, ids IDs) ([]Effect, error) {
	dst, err := h.plainMapper.Map(dst, c, ids)
	return dst, errors.Join(err, &RowError{Reason: "the other model's expression failed"})
}

func TestRead(t *testing.T) {
	t.Run("a change that one model cannot map goes on for the other models of the table", func(t *testing.T) {
		r := newRig(t, func(c *Config, _ *rig) { c.Mapper = &half{newPlainMapper()} })
		r.commit(insert(row("1", "u1", "x", "y")))
		r.quiet()
		want(t, r.sink.bodies("u1"), `track{"a":"x","b":"y",}`)
		if len(r.journal.quar.entries) != 1 {
			t.Errorf("entries %+v", r.journal.quar.entries)
		}
	})
	t.Run("a stop while a row is read again does not wait for that change", func(t *testing.T) {
		reading := make(chan struct{})
		r := newRig(t, func(c *Config, rr *rig) {
			c.Mapper = &needing{newPlainMapper()}
			c.Source = &hanging{script: rr.src, reading: reading}
		})
		r.commit(insert(row("1", "u1", "x", "y")))
		<-reading
		began := time.Now()
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("took %v", d)
		}
	})
}

// needing asks for the living row at every change.
type needing struct{ *plainMapper }

func (*needing) Map(dst []Effect, _ *Change, _ IDs) ([]Effect, error) {
	return dst, &NeedRowError{Column: "a"}
}

// hanging answers no look-up.
type hanging struct {
	*script
	reading chan struct{}
}

func (h *hanging) Rows(ctx context.Context, _ Query) ([]Row, error) {
	close(h.reading)
	<-ctx.Done()
	return nil, ctx.Err()
}
