package connector

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestPulse(t *testing.T) {
	check := func(r *rig, name string) Check {
		for _, c := range r.p.Checks() {
			if c.Name == name {
				return c
			}
		}
		return Check{}
	}
	t.Run("a call that Braze does not answer is told with figures, and the process lives", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			gate := make(chan struct{})
			r := newRig(t, func(_ *Config, r *rig) {
				r.sink.answer = func(Kind, []Effect) error { <-gate; return nil }
			})
			c := insert(row("1", "u1", "x", "-"))
			c.Time = time.Now()
			r.commit(c)
			time.Sleep(95 * time.Second)
			if ok, why := r.p.Live(); !ok {
				t.Errorf("not live: %v", why)
			}
			got := check(r, "position")
			if got.OK {
				t.Error("ready, though nothing moves")
			}
			for _, part := range []string{"has not moved for ", "while 1 change, ", "wait; a sender waits on track since 9"} {
				if !strings.Contains(got.Text, part) {
					t.Errorf("%q lacks %q", got.Text, part)
				}
			}
			close(gate)
			r.quiet()
			if got := check(r, "position"); !got.OK {
				t.Errorf("afterwards: %+v", got)
			}
			if err := r.stop(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("a sender that stands still in its own work is not alive; one that waits for rows is", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			synctest.Wait()
			x := r.p.ends[Track].pulses()[0]
			x.beat(phaseLookup)
			time.Sleep(2 * stallAfter)
			if ok, why := r.p.Live(); !ok {
				t.Errorf("while it waits for rows: %v", why)
			}
			x.beat(phaseWork)
			time.Sleep(stallAfter + time.Second)
			if ok, why := r.p.Live(); ok || !strings.Contains(strings.Join(why, "\n"), "senders: no sign of life for 61 s") {
				t.Errorf("live %t, %v", ok, why)
			}
			x.beat(phaseIdle)
			if ok, why := r.p.Live(); !ok {
				t.Errorf("afterwards: %v", why)
			}
			if err := r.stop(); err != nil {
				t.Error(err)
			}
		})
	})
}
