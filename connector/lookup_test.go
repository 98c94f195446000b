package connector

import (
	"errors"
	"testing"
	"time"
)

func TestLookup(t *testing.T) {
	t.Run("rows that cannot be read hold a delete back and use up none of its attempts", func(t *testing.T) {
		failing := 3
		r := newRig(t, func(c *Config, r *rig) {
			c.Attempts = 1
			c.Mapper = &verifying{newPlainMapper()}
			r.src.rows = func(Query) ([]Row, error) {
				if failing--; failing >= 0 {
					return nil, errors.New("the database does not answer")
				}
				return nil, nil
			}
		})
		r.commit(insert(row("1", "u1", "x", "-")))
		r.quiet()
		began := time.Now()
		r.commit(remove(row("1", "u1", "x", "-")))
		r.quiet()
		want(t, r.sink.bodies("u1"), `track{"a":"x",}`, `delete{}`)
		if len(r.journal.quar.entries) != 0 {
			t.Errorf("held back: %+v", r.journal.quar.entries)
		}
		if d := time.Since(began); d < 2*time.Second {
			t.Errorf("three failed look-ups took %v: nothing waited between them", d)
		}
	})
}
