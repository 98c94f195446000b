package control_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"brazecdc/connector"
	"brazecdc/connector/control"
)

// replaying is a process that also replays.
type replaying struct {
	process
	got control.ReplayRequest
}

func (p *replaying) StartReplay(_ context.Context, q control.ReplayRequest) (*control.ReplayStatus, error) {
	p.got = q
	return &control.ReplayStatus{ID: "a/b", Phase: control.ReplayScans}, p.note("start")
}

func (p *replaying) Replay(_ context.Context, id string) (*control.ReplayStatus, error) {
	return &control.ReplayStatus{ID: id, Phase: control.ReplayAsks, Done: 3, Total: 4, ETA: time.Second,
		Plan: &control.ReplayPlan{Users: 2, Left: map[string]int64{"gone": 1}, Samples: []control.ReplaySample{{Path: "/users/track", Body: []byte(`{}`)}}}}, p.note("look %s", id)
}

func (p *replaying) AnswerReplay(_ context.Context, id string, yes bool) error {
	return p.note("answer %s %v", id, yes)
}

func (p *replaying) StopReplay(_ context.Context, id string) error { return p.note("stop %s", id) }

func TestReplay(t *testing.T) {
	dial := func(t *testing.T, api control.API) *control.Client {
		t.Helper()
		data := t.TempDir()
		serve(t, data, api)
		c, err := control.Dial(t.Context(), data)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	t.Run("what is asked and answered comes through", func(t *testing.T) {
		p := &replaying{}
		c := dial(t, p)
		q := control.ReplayRequest{Topic: "shop.users", From: "12", Keys: []string{"1", "2"}, Partitions: []int32{0, 3}, Deletes: true}
		s, err := c.StartReplay(t.Context(), q)
		if err != nil || s.ID != "a/b" || s.Phase != control.ReplayScans || s.Phase.Ended() {
			t.Fatalf("%+v, %v", s, err)
		}
		if d := cmp.Diff(q, p.got); d != "" {
			t.Error(d)
		}
		if s, err = c.Replay(t.Context(), s.ID); err != nil || s.Plan == nil || s.Plan.Left["gone"] != 1 || string(s.Plan.Samples[0].Body) != "{}" || s.ETA != time.Second {
			t.Errorf("%+v, %v", s, err)
		}
		if err := errors.Join(c.AnswerReplay(t.Context(), s.ID, true), c.StopReplay(t.Context(), s.ID)); err != nil {
			t.Error(err)
		}
		if d := cmp.Diff([]string{"start", "look a/b", "answer a/b true", "stop a/b"}, p.asked); d != "" {
			t.Error(d)
		}
	})
	t.Run("a fault keeps its exit code", func(t *testing.T) {
		p := &replaying{process: process{fail: &connector.StopError{Code: 2, What: "no such topic", Fix: "name another"}}}
		_, err := dial(t, p).StartReplay(t.Context(), control.ReplayRequest{})
		if connector.ExitCode(err) != 2 || !strings.Contains(err.Error(), "name another") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a process that replays nothing says so", func(t *testing.T) {
		if _, err := dial(t, &process{}).StartReplay(t.Context(), control.ReplayRequest{}); err == nil || !strings.Contains(err.Error(), "not known to this version") {
			t.Errorf("got %v", err)
		}
	})
}
