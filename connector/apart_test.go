package connector

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// apartSink lets users share a call who are named by the same kind of identifier.
type apartSink struct{ *memSink }

func (s apartSink) Limits(k Kind) Limits {
	l := s.memSink.Limits(k)
	l.Apart = func(a, b User) bool { return a.Kind != b.Kind }
	return l
}

// kindMapper names every other row's user by email.
type kindMapper struct{ *plainMapper }

func (m *kindMapper) Map(dst []Effect, c *Change, ids IDs) ([]Effect, error) {
	n := len(dst)
	dst, err := m.plainMapper.Map(dst, c, ids)
	for i := n; i < len(dst); i++ {
		if strings.Contains(dst[i].User.ID, "@") {
			dst[i].User.Kind = Email
		}
	}
	return dst, err
}

// TestApart: what cannot share a call leaves in few calls all the same, and nothing of it is refused for it.
func TestApart(t *testing.T) {
	var log callLog
	mixed, single := 0, 0
	r := newRig(t, func(c *Config, r *rig) {
		c.Mapper, c.Sink = &kindMapper{newPlainMapper()}, apartSink{r.sink}
		r.sink.delay = func() time.Duration { return 20 * time.Millisecond } // so that others gather behind a call
		r.sink.answer = func(k Kind, b []Effect) error {
			log.note(k, b)
			for _, e := range b {
				if e.User.Kind != b[0].User.Kind {
					mixed++
				}
			}
			if len(b) == 1 {
				single++
			}
			return nil
		}
	})
	var changes []Change
	for i := range 400 {
		id := fmt.Sprint(i)
		ext := "u" + id
		if i%2 == 1 {
			ext += "@x.io"
		}
		changes = append(changes, insert(row(id, ext, "x", "-")))
	}
	r.commit(changes...)
	r.quiet()
	users := 0
	for _, call := range log.all() {
		users += len(strings.Fields(call)) - 1
	}
	if mixed > 0 || users != 400 || len(log.all()) > 60 || single > 10 {
		t.Errorf("%d calls for %d users, %d of a single one; %d objects in a call of another kind", len(log.all()), users, single, mixed)
	}
}
