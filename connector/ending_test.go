package connector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// heard keeps what a pipeline told of endings, in words.
type heard struct {
	mu    sync.Mutex
	lines []string
}

func (h *heard) ended(e *Ending) {
	names := func(fields []Field) string {
		var out []string
		for i := range fields {
			out = append(out, fields[i].Def.Name)
		}
		return strings.Join(out, ",")
	}
	line := fmt.Sprintf("%s %s %s: %d changes of %d rows, mapped %s, sent %s", e.User.ID, e.Kind, e.Outcome, e.Changes, len(e.Rows), names(e.Mapped), names(e.Sent))
	if e.Call != nil {
		line += fmt.Sprintf(", call %s of %d", e.Call.RequestID, e.Call.Objects)
	}
	if e.Tries > 0 {
		line += fmt.Sprintf(", %d tries before", e.Tries)
	}
	if e.Reason != "" {
		line += " (" + e.Reason + ")"
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines = append(h.lines, line)
}

func (h *heard) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.lines...)
}

// notingSink notes calls as a client does.
type notingSink struct{ *memSink }

func (s notingSink) Send(ctx context.Context, k Kind, batch []Effect) error {
	if note := CallNote(ctx); note != nil {
		note.Status, note.RequestID = 201, "req-1"
	}
	return s.memSink.Send(ctx, k, batch)
}

// keptPrints keeps fingerprints, of one model.
type keptPrints struct {
	*memPrints
	mu   sync.Mutex
	kept map[User][]Print
}

func (k *keptPrints) Prints(dst []Print, u User, _ string) ([]Print, bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p, ok := k.kept[u]
	return append(dst, p...), ok, nil
}

func (k *keptPrints) Write(rows []RowPut, prints []PrintPut) error {
	k.mu.Lock()
	for _, p := range prints {
		k.kept[p.User] = slices.Clone(p.Prints)
	}
	k.mu.Unlock()
	return k.memPrints.Write(rows, prints)
}

func TestEnding(t *testing.T) {
	t.Run("tells what was sent, tried again, refused and left out", func(t *testing.T) {
		var h heard
		prints := newMemPrints()
		r := newRig(t, func(c *Config, r *rig) { c.Ended, c.Sink, c.Prints = h.ended, notingSink{r.sink}, prints })
		r.p.proven[0].Store(true)
		r.commit(insert(row("1", "u1", "x", "y")))
		r.quiet()
		r.commit(update(row("1", "u1", "x", "y"), row("1", "u1", "x", "y")))
		r.quiet()
		failed := false
		r.sink.mu.Lock()
		r.sink.answer = func(Kind, []Effect) error {
			if failed {
				return &RejectedError{Items: []Rejection{{Index: 0, Reason: "bad email"}}}
			}
			failed = true
			return &RetryableError{Err: errors.New("503")}
		}
		r.sink.mu.Unlock()
		r.commit(update(row("1", "u1", "x", "y"), row("1", "u1", "x", "z")))
		r.quiet()
		want(t, h.all(), "u1 track accepted: 1 changes of 1 rows, mapped a,b, sent a,b, call req-1 of 1",
			"u1 track suppressed: 1 changes of 1 rows, mapped a,b, sent  (nothing changed for Braze)",
			"u1 track retry: 1 changes of 1 rows, mapped a,b, sent , call req-1 of 1, 1 tries before (503)",
			"u1 track quarantined: 1 changes of 1 rows, mapped a,b, sent b, call req-1 of 1, 1 tries before (bad email)")
	})
	t.Run("a queue tells what waits in it and why", func(t *testing.T) {
		calls, goOn := make(chan struct{}, 1), make(chan struct{})
		r := newRig(t, func(c *Config, r *rig) {
			r.sink.delay = func() time.Duration {
				select {
				case calls <- struct{}{}:
				default:
				}
				<-goOn
				return 0
			}
		})
		u := User{ID: "u1"}
		if w := r.p.Waiting(u); w.Busy || len(w.Steps) > 0 {
			t.Errorf("before anything: %+v", w)
		}
		r.commit(insert(row("1", "u1", "x", "y")))
		<-calls
		r.commit(update(row("1", "u1", "x", "y"), row("1", "u1", "x", "z")))
		r.commit(update(row("1", "u1", "x", "z"), row("1", "u1", "x", "w")))
		eventually(t, "both changes wait behind the call", func() bool {
			w := r.p.Waiting(u)
			return w.Busy && len(w.Steps) == 1 && w.Steps[0].Changes == 2
		})
		w := r.p.Waiting(u)
		if s := w.Steps[0]; s.Kind != Track || strings.Join(s.Fields, ",") != "a,b" || len(s.Models) != 1 || s.Queued.IsZero() {
			t.Errorf("waits: %+v", s)
		}
		close(goOn)
		r.quiet()
	})
	t.Run("what Braze accepted last is compared field by field", func(t *testing.T) {
		prints := &keptPrints{memPrints: newMemPrints(), kept: map[User][]Print{}}
		r := newRig(t, func(c *Config, r *rig) {
			m := newPlainMapper()
			m.info[0].PrintsAllowed = true
			c.Prints, c.Mapper = prints, m
		})
		r.commit(insert(row("1", "u1", "x", "y")))
		r.quiet()
		fields := r.p.models[0].Fields
		of := func(a, b string) []Agreement {
			how, err := r.p.Agreements(User{ID: "u1"}, 0, []Field{{Def: fields[0], JSON: []byte(a)}, {Def: fields[1], JSON: []byte(b)}, {Def: &FieldDef{Name: "new"}}})
			if err != nil {
				t.Fatal(err)
			}
			return how
		}
		if got, want := of(`"x"`, `"other"`), []Agreement{AgreesSame, AgreesDiffers, AgreesUnknown}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		how, err := r.p.Agreements(User{ID: "u2"}, 0, []Field{{Def: fields[0], JSON: []byte(`"x"`)}})
		if err != nil || how[0] != AgreesNever {
			t.Errorf("a user who was never sent: %v %v", how, err)
		}
	})
}
