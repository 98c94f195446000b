package web

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"brazecdc/connector/control"
)

func TestChartsKeepTheirPast(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pages", "charts")
	at := time.Date(2026, 11, 25, 12, 0, 30, 0, time.UTC)
	now := at
	clock := func() time.Time { return now }
	begin := func() *feed {
		f := newFeed(nil, clock)
		f.past.file = file
		f.recall()
		return f
	}
	f := begin()
	for i := range 20 * 60 { // 20 minutes
		p := noPoint()
		p[mIn], p[mHeldBack] = float32(i/60), 0
		f.mu.Lock()
		f.add(now, p)
		f.mu.Unlock()
		f.keep()
		now = now.Add(time.Second)
	}
	now = now.Add(2 * time.Minute) // the restart takes so long
	again := begin()
	t.Run("over a restart, the day and the quarter of an hour, with a gap", func(t *testing.T) {
		minutes := again.minutes.window(now, 30)
		if v := minutes[len(minutes)-1][mIn]; known(v) {
			t.Errorf("the minute of the restart has %v", v)
		}
		found := 0
		for _, p := range minutes {
			if known(p[mIn]) {
				found++
			}
		}
		if found < 19 || found > 20 {
			t.Errorf("%d minutes are known", found)
		}
		seconds := again.seconds.window(now, secondsKept)
		known15 := 0
		for i := range seconds {
			if known(seconds[i][mIn]) {
				known15++
			}
		}
		if known15 < 12*60 || known15 > 14*60 {
			t.Errorf("%d of the last 15 minutes' seconds are known", known15)
		}
	})
	t.Run("a file of another version, cut short or damaged is as none", func(t *testing.T) {
		whole, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"", "x", "brazecdc charts 2\n" + string(whole), string(whole[:20]), string(whole[:len(whole)-3])} {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			begin().minutes.window(now, minutesKept)
		}
	})
	t.Run("one of several writes it", func(t *testing.T) {
		a, b := past{file: file}, past{file: file}
		r := newRing(time.Minute, 10)
		r.put(now, noPoint())
		wall := time.Now()
		for _, p := range []*past{&a, &b, &a} {
			if err := p.keep(wall, r, nil); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(file, wall, wall); err != nil { // the file system's own steps are coarser
				t.Fatal(err)
			}
			if p == &b {
				b.own = wall
			}
			wall = wall.Add(time.Second)
		}
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if !a.own.Before(b.own) {
			t.Errorf("both write: %s, %s, %s", a.own, b.own, info.ModTime())
		}
	})
}

func TestMarksOfTheChartsSurviveARestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "charts")
	c := newClock()
	begin := func(applied ...time.Time) *feed {
		f := newFeed(nil, c.now)
		f.past.file = file
		f.applied = func() []time.Time { return applied }
		f.recall()
		return f
	}
	kinds := func(f *feed) (out []string) {
		for _, m := range f.marks {
			out = append(out, m.Kind+m.What)
		}
		return out
	}
	same := func(t *testing.T, f *feed, want ...string) {
		t.Helper()
		if got := kinds(f); !slices.Equal(got, want) {
			t.Errorf("marks %v, want %v", got, want)
		}
	}
	started := c.now()
	first := begin()
	for i := range 130 {
		st := running(started, i)
		if i >= 30 {
			st.ConfigHash = "another"
		}
		if i >= 60 {
			heldDeletes(st)
		}
		first.take(c.add(time.Second), st, nil)
		first.keep()
	}
	same(t, first, "apply", "pausecustomers")
	applied, stopped := first.marks[0].At, c.add(time.Minute)
	c.add(time.Minute)
	t.Run("with the end of the process before, which nobody saw, and what only the versions know", func(t *testing.T) {
		again := begin(started.Add(-48*time.Hour), applied.Add(2*time.Second), stopped.Add(-20*time.Second))
		st := running(c.now(), 0)
		st.LastStop = &control.Stop{At: stopped, Code: 20}
		again.take(c.add(time.Second), st, nil)
		same(t, again, "apply", "pausecustomers", "apply", "stop", "start")
		again.take(c.add(time.Second), running(st.Started, 1), nil)
		same(t, again, "apply", "pausecustomers", "apply", "stop", "start")
	})
	t.Run("for a day", func(t *testing.T) {
		c.add(25 * time.Hour)
		same(t, begin())
	})
}
