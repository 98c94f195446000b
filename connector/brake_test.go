package connector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// counted is a source that tells how many rows its table has.
type countedRows struct {
	*script
	mu   sync.Mutex
	rows int64
}

func (s *countedRows) Describe(context.Context, string) (*Table, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := *shopTable
	t.Rows = s.rows
	return &t, nil
}

// withBrake gives the fake model a brake.
func withBrake(b Brake) func(*Config, *rig) {
	return func(c *Config, _ *rig) {
		m := newPlainMapper()
		m.info[0].Brake = b
		c.Mapper = m
	}
}

// brakeRig has a brake, and users u1 to uN.
func brakeRig(t *testing.T, n int, tune func(*Config, *rig)) *rig {
	t.Helper()
	r := newRig(t, tune)
	r.people(1, n)
	r.quiet()
	return r
}

func (r *rig) people(from, to int) {
	var changes []Change
	for i := from; i <= to; i++ {
		changes = append(changes, insert(person(i)))
	}
	r.commit(changes...)
}

func person(i int) Row { return row(fmt.Sprint(i), fmt.Sprintf("u%d", i), "x", "y") }

func (r *rig) removePeople(from, to int) {
	var changes []Change
	for i := from; i <= to; i++ {
		changes = append(changes, remove(person(i)))
	}
	r.commit(changes...)
	r.quiet()
}

// profiles is how many there are.
func (m *memSink) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.profiles)
}

func (r *rig) left(want int) {
	r.t.Helper()
	if have := r.sink.count(); have != want {
		r.t.Errorf("%d profiles are left, want %d", have, want)
	}
}

// waits wants so many deletes to wait for a person because of the brake.
func (r *rig) waits(want int) {
	r.t.Helper()
	have := 0
	for _, c := range r.p.Pending() {
		if c.Kind == PauseBrake {
			have += c.Count
		}
	}
	if st := r.p.Status(); have != want || st.Held != want || st.Models[0].Held != want {
		r.t.Errorf("%d deletes wait, status says %d and %d; want %d: %+v", have, st.Held, st.Models[0].Held, want, r.p.Pending())
	}
}

func TestBrake(t *testing.T) {
	limits := Brake{Max: 20, Share: 0.05, AtLeast: 5, Window: time.Hour}
	t.Run("sends up to the limit and holds the rest, while all else flows", func(t *testing.T) {
		var log bytes.Buffer
		r := brakeRig(t, 30, func(c *Config, r *rig) {
			withBrake(limits)(c, r)
			c.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
		})
		r.removePeople(1, 30)
		r.left(10)
		r.waits(10)
		if st := r.p.Status(); !st.Models[0].Braked || st.State != "degraded" {
			t.Errorf("status: %+v", st)
		}
		r.people(31, 32)
		r.quiet()
		r.left(12)
		if len(r.journal.State().Held) != 10 {
			t.Errorf("data/ holds %d deletes", len(r.journal.State().Held))
		}
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(log.String(), "deletes are held"); n != 1 {
			t.Errorf("warned %d times: %s", n, log.String())
		}
		if strings.Contains(log.String(), "u1") {
			t.Errorf("the log names users: %s", log.String())
		}
	})
	t.Run("confirm sends what is held, and counts anew", func(t *testing.T) {
		r := brakeRig(t, 40, withBrake(limits))
		r.removePeople(1, 30)
		said, err := r.p.Confirm(t.Context(), "users", false)
		if err != nil || !strings.Contains(said, "10 deletes of model users are being sent") {
			t.Fatal(said, err)
		}
		eventually(t, "all are deleted", func() bool { return r.sink.count() == 10 })
		eventually(t, "data/ holds none", func() bool { return len(r.journal.State().Held) == 0 })
		r.waits(0)
		r.removePeople(31, 40)
		r.left(0)
		r.waits(0)
		if _, err := r.p.Confirm(t.Context(), "users", false); err == nil {
			t.Error("a second confirmation of nothing")
		}
	})
	t.Run("drop leaves the profiles, and a row that comes again goes whole", func(t *testing.T) {
		r := brakeRig(t, 30, withBrake(limits))
		r.removePeople(1, 30)
		if _, err := r.p.Confirm(t.Context(), "users", true); err != nil {
			t.Fatal(err)
		}
		r.waits(0)
		r.left(10)
		stayed := r.someProfile()
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		// It is remembered over a restart.
		r.src = newScript()
		r.start(withBrake(limits))
		r.src.mu.Lock()
		r.src.committed["slot"] = r.lsn + 5
		r.src.mu.Unlock()
		r.waits(0)
		r.commit(insert(row("99", stayed, "new", "-")))
		r.quiet()
		bodies := r.sink.bodies(stayed)
		want(t, bodies[len(bodies)-1:], `track{"a":"new","b":null,}`)
		eventually(t, "data/ forgets that it was dropped", func() bool { return len(r.journal.State().Held) == 9 })
	})
	t.Run("a row that comes again ends a held delete and goes whole", func(t *testing.T) {
		r := brakeRig(t, 30, withBrake(limits))
		r.removePeople(1, 30)
		again := r.someProfile()
		r.commit(insert(row("99", again, "new", "-")))
		r.quiet()
		r.waits(9)
		bodies := r.sink.bodies(again)
		want(t, bodies[len(bodies)-1:], `track{"a":"new","b":null,}`)
		eventually(t, "data/ forgets the delete", func() bool { return len(r.journal.State().Held) == 9 })
		if _, err := r.p.Confirm(t.Context(), "users", false); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the others are deleted", func() bool { return r.sink.count() == 1 })
		if r.sink.profile(again) == nil {
			t.Error("the user who came again is gone")
		}
	})
	t.Run("a restart goes on with the count", func(t *testing.T) {
		r := brakeRig(t, 40, withBrake(limits))
		r.removePeople(1, 15)
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		r.src = newScript()
		r.start(withBrake(limits))
		r.removePeople(16, 30)
		r.left(20)
		r.waits(10)
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		r.src = newScript()
		r.start(withBrake(limits))
		eventually(t, "it runs", func() bool { return r.p.Status().State != "starting" })
		r.waits(10) // not sent by themselves
		r.left(20)
	})
	t.Run("a delete that is tried again counts once", func(t *testing.T) {
		r := brakeRig(t, 20, withBrake(limits))
		tries := 0
		r.sink.mu.Lock()
		r.sink.answer = func(k Kind, _ []Effect) error {
			if k == DeleteUser && tries < 4 {
				tries++
				return &RetryableError{Err: errors.New("down"), Unknown: tries%2 == 0, After: time.Millisecond}
			}
			return nil
		}
		r.sink.mu.Unlock()
		r.removePeople(1, 20)
		r.left(0)
		r.waits(0)
		if n, _ := r.p.metrics.Retries(); n == 0 {
			t.Error("nothing was tried again")
		}
	})
	t.Run("a share of the estimated rows holds earlier, but not below at_least", func(t *testing.T) {
		for rows, limit := range map[int64]int{-1: 20, 0: 20, 10: 5, 200: 10, 100_000: 20} {
			var src *countedRows
			r := brakeRig(t, 30, func(c *Config, r *rig) {
				src = &countedRows{script: r.src, rows: rows}
				withBrake(limits)(c, r)
				c.Source = src
			})
			r.removePeople(1, 30)
			r.waits(30 - limit)
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// someProfile is the name of a profile that is there.
func (r *rig) someProfile() string {
	r.sink.mu.Lock()
	defer r.sink.mu.Unlock()
	for id := range r.sink.profiles {
		return id
	}
	r.t.Fatal("there is no profile")
	return ""
}

func TestBrakeCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBrake(&ModelInfo{Name: "users", Brake: Brake{Max: 10, Share: 1, AtLeast: 1, Window: 10 * time.Minute}})
		leave := func(n int) (left int) {
			for i := range n {
				if b.admit(User{ID: fmt.Sprint(t.Name(), time.Now(), i)}, time.Now()) {
					left++
				}
			}
			return left
		}
		if n := leave(6); n != 6 {
			t.Errorf("%d of 6 left", n)
		}
		time.Sleep(5 * time.Minute)
		if n := leave(10); n != 4 {
			t.Errorf("%d left beside the 6 of five minutes ago, want 4", n)
		}
		if !b.admit(User{ID: fmt.Sprint(t.Name(), time.Now(), 0)}, time.Now()) {
			t.Error("a user who was counted is held")
		}
		time.Sleep(5 * time.Minute)
		if n := leave(10); n != 6 {
			t.Errorf("%d left after the first six went out of the window, want 6", n)
		}
		time.Sleep(10 * time.Minute)
		if n := b.count(time.Now()); n != 0 || !b.dirty {
			t.Errorf("%d deletes are still counted", n)
		}
		b.rows, b.Share = 8, 0.5
		if n := leave(10); n != 4 {
			t.Errorf("%d left of a table of 8 rows with a share of half", n)
		}
		b.reset()
		b.rows, b.Share = 4, 1
		if n := leave(10); n != 10 {
			t.Errorf("%d left of a table of 4 rows with a share of all, which is no bound", n)
		}
		b.reset()
		if n := leave(1); n != 1 {
			t.Error("held after a person has looked")
		}
	})
}
