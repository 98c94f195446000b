package web

import (
	"errors"
	"math"
	"testing"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/control"
)

func near(t *testing.T, what string, got float32, want float64) {
	t.Helper()
	if math.Abs(float64(got)-want) > .01*math.Max(1, want) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func TestRing(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(1000+s), 0) }
	one := func(v float32) point { p := noPoint(); p[mIn] = v; return p }
	t.Run("gives what it was told, the oldest first, and gaps as unknown", func(t *testing.T) {
		r := newRing(time.Second, 5)
		r.put(at(0), one(1))
		r.put(at(1), one(2))
		r.put(at(3), one(4))
		w := r.window(at(3), 5)
		if known(w[0][mIn]) || w[1][mIn] != 1 || w[2][mIn] != 2 || known(w[3][mIn]) || w[4][mIn] != 4 {
			t.Errorf("%v", w)
		}
	})
	t.Run("forgets what is too old", func(t *testing.T) {
		r := newRing(time.Second, 5)
		for s := range 12 {
			r.put(at(s), one(float32(s)))
		}
		r.put(at(40), one(40))
		for i, p := range r.window(at(40), 5) {
			if known(p[mIn]) != (i == 4) {
				t.Errorf("point %d is %v", i, p[mIn])
			}
		}
	})
	t.Run("does not run backwards with the clock", func(t *testing.T) {
		r := newRing(time.Second, 5)
		r.put(at(3), one(3))
		r.put(at(1), one(7))
		if w := r.window(at(3), 2); known(w[0][mIn]) || w[1][mIn] != 7 {
			t.Errorf("%v", w)
		}
	})
	t.Run("shows as unknown what a silent process did since", func(t *testing.T) {
		r := newRing(time.Second, 5)
		r.put(at(0), one(1))
		if w := r.window(at(3), 5); w[1][mIn] != 1 || known(w[2][mIn]) || known(w[4][mIn]) {
			t.Errorf("%v", w)
		}
	})
}

func TestFeed(t *testing.T) {
	t.Run("makes rates of counters, by second and by minute", func(t *testing.T) {
		s, _, _ := livePast(t, 150, nil)
		v := s.server.live.view()
		last := v.seconds[len(v.seconds)-1]
		near(t, "changes in", last[mIn], 10)
		if out := last[mOut]; out < 7 || out > 8 {
			t.Errorf("objects out: %v", out)
		}
		near(t, "values sent", last[mSpent], 10)
		near(t, "values saved", last[mSaved], 50)
		if calls := last[mCallsOK]; calls < 2 || calls > 3 {
			t.Errorf("calls: %v", calls)
		}
		near(t, "lag", last[mLag], .4)
		near(t, "budget", last[mBudget], 181204./250000)
		near(t, "half within", last[mP50], .075)
		if p99 := last[mP99]; p99 < .25 || p99 > .5 {
			t.Errorf("99 of 100 within %v", p99)
		}
		near(t, "changes in of the minute before", v.minutes[len(v.minutes)-1][mIn], 10)
		if rate, ok := v.rate(func(c *counts) uint64 { return c.in }); !ok || math.Abs(rate-10) > .1 {
			t.Errorf("the rate told is %v, %v", rate, ok)
		}
	})
	t.Run("knows no rate before the second sample, and none over a restart", func(t *testing.T) {
		c, f := newClock(), &fakeLive{}
		feed := newFeed(f, c.now)
		feed.take(c.now(), running(c.now(), 500), nil)
		if p := feed.view().seconds[secondsKept-1]; known(p[mIn]) || !known(p[mLag]) {
			t.Errorf("%v", p)
		}
		again := running(c.add(time.Second), 0)
		again.PID = 5000
		feed.take(c.now(), again, nil)
		v := feed.view()
		if p := v.seconds[secondsKept-1]; known(p[mIn]) {
			t.Errorf("a rate of %v over a restart", p[mIn])
		}
		if len(v.marks) != 1 || v.marks[0].Kind != markStart {
			t.Errorf("%+v", v.marks)
		}
	})
	t.Run("marks what happened", func(t *testing.T) {
		s, _, c := livePast(t, 30, func(s int, st *control.Status) {
			if s >= 10 {
				st.Source.Reconnects = 1
			}
			if s >= 15 {
				st.Sink.Endpoints[0].Throttled = time.Duration(s-14) * time.Second
			}
			if s >= 20 {
				st.Pending = []connector.Confirmation{{Model: "customers", Kind: connector.PauseTruncate, Since: st.Started}}
			}
		})
		gone := running(c.now(), 0)
		gone.PID, gone.State = 0, "stopped"
		s.server.live.take(c.add(time.Second), gone, nil)
		var kinds []string
		for _, m := range s.server.live.view().marks {
			kinds = append(kinds, m.Kind)
		}
		want := []string{markReconnect, markBrake, markPause, markStop}
		for i, k := range want {
			if i >= len(kinds) || kinds[i] != k {
				t.Fatalf("marks %v, want %v", kinds, want)
			}
		}
	})
	t.Run("remembers when a model was accepted last", func(t *testing.T) {
		s, _, c := livePast(t, 20, nil)
		v := s.server.live.view()
		if at := v.accepted["customers"]; !at.Equal(c.now()) {
			t.Errorf("customers: %s", at)
		}
		if at, ok := v.accepted["newsletter"]; ok {
			t.Errorf("newsletter: %s", at)
		}
	})
	t.Run("has gaps while the process does not answer, and keeps what it knew", func(t *testing.T) {
		s, _, c := livePast(t, 20, nil)
		for range 5 {
			s.server.live.take(c.add(time.Second), nil, errors.New("no answer"))
		}
		v := s.server.live.view()
		if !v.shaky() || v.status == nil || known(v.seconds[secondsKept-1][mIn]) || !known(v.seconds[secondsKept-6][mIn]) {
			t.Errorf("shaky %v, %v", v.shaky(), v.seconds[secondsKept-7:])
		}
	})
	t.Run("stays bounded", func(t *testing.T) {
		s, _, _ := livePast(t, 2000, func(s int, st *control.Status) { st.Source.Reconnects = uint64(s) })
		f := s.server.live
		if len(f.recent) > rateOver+1 || len(f.hourly) > notesKept || len(f.marks) > marksKept || len(f.minute) > 61 {
			t.Errorf("%d recent, %d hourly, %d marks, %d of the minute", len(f.recent), len(f.hourly), len(f.marks), len(f.minute))
		}
	})
	t.Run("tells a budget as full when its reset has passed", func(t *testing.T) {
		now := time.Now()
		e := connector.EndpointHealth{Limit: 100, Remaining: 7, Reset: now.Add(-time.Second)}
		if v := budgetOf(&e, now); v != 1 {
			t.Errorf("%v", v)
		}
		e.Reset = now.Add(time.Second)
		near(t, "the budget", budgetOf(&e, now), .07)
		e.Limit = 0
		if known(budgetOf(&e, now)) {
			t.Error("a budget without a limit is known")
		}
	})
}

func TestAxis(t *testing.T) {
	for _, c := range []struct {
		scale scale
		top   float64
		want  float64
	}{{scaleCount, 0, 1}, {scaleCount, 1.5, 1}, {scaleCount, 130, 100}, {scaleCount, 41, 50}, {scaleBytes, 900, 500}, {scaleBytes, 3 << 20, 2 << 20}, {scaleSeconds, .04, .02}, {scaleSeconds, 100, 60},
		{scaleSeconds, 1e7, 100 * 86400}, {scaleShare, .2, .5}} {
		step, lines := axis(c.scale, c.top)
		if step*float64(lines) < c.top || c.scale != scaleBytes && step != c.want {
			t.Errorf("up to %v: %d steps of %v, want %v", c.top, lines, step, c.want)
		}
	}
}

func TestChart(t *testing.T) {
	nan := math.NaN()
	c := chart{ID: "x", Lines: []chartLine{{Name: "a", Values: []float64{0, 10, nan, nan, 5, nan, 20, 20}, Area: true}, {Name: "b", Values: []float64{nan, nan, nan, nan, nan, nan, nan, nan}}},
		Start: time.Unix(0, 0), Step: time.Second, Label: func(v float64) string { return formatNumber("en", v) }, Clock: func(t time.Time) string { return t.UTC().Format("05") },
		Marks: []chartMark{{time.Unix(3, 0), "here"}, {time.Unix(100, 0), "outside"}}}
	d := c.draw()
	t.Run("breaks a line at what is not known", func(t *testing.T) {
		if want := "M46 128L86.9 70M209.4 99h1M291.1 12L332 12"; d.Lines[0].Path != want {
			t.Errorf("%s, want %s", d.Lines[0].Path, want)
		}
		if d.Lines[1].Path != "" || d.Lines[1].Last != "–" {
			t.Errorf("%+v", d.Lines[1])
		}
	})
	t.Run("has a table with the same values", func(t *testing.T) {
		if len(d.Rows) != 5 || d.Rows[0].Cells[0] != "20" || d.Rows[0].Cells[1] != "–" || d.Rows[2].Clock != "04" || d.Rows[4].Clock != "00" {
			t.Errorf("%+v", d.Rows)
		}
	})
	t.Run("marks what happened within its time", func(t *testing.T) {
		if len(d.Marks) != 1 || d.Marks[0].Text != "here" {
			t.Errorf("%+v", d.Marks)
		}
	})
	t.Run("is empty where nothing is known", func(t *testing.T) {
		c.Lines = c.Lines[1:]
		if d := c.draw(); !d.Empty || len(d.Rows) != 0 {
			t.Errorf("%+v", d)
		}
	})
}

func TestFeedIdle(t *testing.T) {
	c, f := newClock(), &fakeLive{st: running(newClock().t, 0)}
	f.st.PID, f.st.State = 0, "stopped"
	feed := newFeed(f, c.now)
	looks := func(n int) int {
		for range n {
			c.add(time.Second)
			feed.look(t.Context())
		}
		return f.asked
	}
	if looks(1); f.asked != 1 {
		t.Fatalf("asked %d times", f.asked)
	}
	if looks(100); f.asked != 1 {
		t.Errorf("the files were read %d times while nobody looked", f.asked)
	}
	feed.view()
	if looks(20); f.asked != 5 {
		t.Errorf("the files were read %d times for a page that is open, want 4 more", f.asked-1)
	}
	looks(100) // nobody looks any more
	before := f.asked
	feed.wake()
	f.st = running(c.t, 0)
	if looks(20); f.asked < before+15 {
		t.Errorf("a process that was just started was asked %d times in 20 seconds", f.asked-before)
	}
}
