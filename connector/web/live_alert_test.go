package web

import (
	"context"
	"strings"
	"testing"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/control"
)

// fakeAlerts notes what is told.
type fakeAlerts struct {
	told []*Alert
	off  bool
	fail error
}

func (f *fakeAlerts) Changed(a *Alert)      { f.told = append(f.told, a) }
func (f *fakeAlerts) Flush(context.Context) {}
func (f *fakeAlerts) Last() AlertSent       { return AlertSent{On: !f.off, Host: "hooks.example.com"} }
func (f *fakeAlerts) Told() *Alert {
	if len(f.told) == 0 {
		return nil
	}
	return f.told[len(f.told)-1]
}
func (f *fakeAlerts) Test(context.Context, []byte, *Alert) error { return f.fail }

// watched is a feed that tells a fake, and whose process a test changes.
func watched(t *testing.T) (f *fakeAlerts, run func(seconds int, change func(*control.Status))) {
	t.Helper()
	c, live := newClock(), &fakeLive{}
	f = &fakeAlerts{}
	s := newSite(t, Config{Live: live, Now: c.now, Alerts: f})
	started, at := c.now(), 0
	return f, func(seconds int, change func(*control.Status)) {
		for range seconds {
			st := running(started, at)
			if change != nil {
				change(st)
			}
			s.server.live.take(c.now(), st, nil)
			s.server.live.alert()
			at++
			c.add(time.Second)
		}
	}
}

func heldDeletes(st *control.Status) {
	st.Pending = []connector.Confirmation{{Model: "customers", Kind: connector.PauseBrake, Count: 1240, Since: st.Started}}
}

func TestAlerts(t *testing.T) {
	seconds := int(alertHolds/time.Second) + 2
	t.Run("a process that is well says nothing", func(t *testing.T) {
		f, run := watched(t)
		run(2*seconds, nil)
		if len(f.told) != 0 {
			t.Errorf("told %+v", f.told)
		}
	})
	t.Run("a state that lasts is told once, and so is its end", func(t *testing.T) {
		f, run := watched(t)
		run(seconds, nil)
		run(3*seconds, heldDeletes)
		if len(f.told) != 1 {
			t.Fatalf("told %d times", len(f.told))
		}
		a := f.told[0]
		if a.State != AlertWarn || a.Was != AlertWell || len(a.Reasons) != 1 || a.Reasons[0].Kind != "deletes_held" || a.Reasons[0].Model != "customers" || !strings.Contains(a.Reasons[0].What, "1,240 deletes") {
			t.Errorf("told %+v", a)
		}
		run(seconds, nil)
		if len(f.told) != 2 || f.told[1].State != AlertWell || f.told[1].Was != AlertWarn || len(f.told[1].Over) != 1 || f.told[1].Over[0] != "deletes_held" {
			t.Errorf("the end is told as %+v", f.told[len(f.told)-1])
		}
	})
	t.Run("what mends itself is not told", func(t *testing.T) {
		f, run := watched(t)
		for range 5 {
			run(seconds/2, heldDeletes)
			run(seconds/2, nil)
		}
		if len(f.told) != 0 {
			t.Errorf("told %+v", f.told[0])
		}
	})
	t.Run("another number is no other state, another reason is", func(t *testing.T) {
		f, run := watched(t)
		run(seconds, heldDeletes)
		run(seconds, func(st *control.Status) { heldDeletes(st); st.Pending[0].Count = 5000 })
		if len(f.told) != 1 {
			t.Errorf("told %d times", len(f.told))
		}
		run(seconds, func(st *control.Status) { heldDeletes(st); st.LagSeconds = 900 })
		if len(f.told) != 2 || f.told[1].State != AlertUrgent || len(f.told[1].Reasons) != 2 || f.told[1].Reasons[0].Kind != "late" {
			t.Errorf("told %+v", f.told[len(f.told)-1])
		}
	})
	t.Run("a stop of which only the pages stay is told", func(t *testing.T) {
		f, run := watched(t)
		run(seconds, nil)
		run(seconds, func(st *control.Status) { st.State = "stopped" })
		if len(f.told) != 1 || f.told[0].State != AlertStopped {
			t.Errorf("told %+v", f.told)
		}
	})
	t.Run("while nobody is told, nothing is", func(t *testing.T) {
		f, run := watched(t)
		f.off = true
		run(seconds, heldDeletes)
		f.off = false
		run(seconds, heldDeletes)
		if len(f.told) != 1 {
			t.Errorf("told %d times", len(f.told))
		}
	})
	t.Run("the end of a process is told with its reason, once", func(t *testing.T) {
		f := &fakeAlerts{}
		s := newSite(t, Config{Alerts: f})
		s.server.TellStopped(t.Context(), connector.ExitKeyRefused)
		s.server.TellStopped(t.Context(), connector.ExitKeyRefused)
		if len(f.told) != 1 || f.told[0].State != AlertStopped || f.told[0].Reasons[0].Kind != "stop_key" || !strings.Contains(f.told[0].Sentence(), "exit code 20). Braze refused the key.") {
			t.Errorf("told %+v", f.told)
		}
	})
}
