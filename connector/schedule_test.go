package connector

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// tables is a Source whose loads a test ends, with the means to hold them.
type tables struct {
	*script
	mu    sync.Mutex
	begun []Load
	at    []time.Time
	held  map[string]bool
}

func (s *tables) StartLoad(_ context.Context, l Load) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun, s.at = append(s.begun, l), append(s.at, time.Now())
	return nil
}

func (s *tables) HoldLoad(id string, hold bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[id] = hold
	return true
}

func (s *tables) PaceLoad(string, int) bool { return true }

func (s *tables) StopLoad(string) {}

// end makes the last chunk of the newest load.
func (s *tables) end() {
	s.mu.Lock()
	id := s.begun[len(s.begun)-1].ID
	s.mu.Unlock()
	s.feed <- Batch{Position: Position{Stream: "load/" + id, Offset: 1}, Load: &LoadProgress{Load: id, Done: true}}
}

func (s *tables) times() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, at := range s.at {
		out = append(out, at.UTC().Format("15:04"))
	}
	return out
}

// often is every ten minutes, at the third: a pipeline looks at its clock so often that days of it take their time.
func often(after time.Time) time.Time {
	return after.Truncate(10 * time.Minute).Add(3 * time.Minute).Add(func() time.Duration {
		if after.Minute()%10 >= 3 {
			return 10 * time.Minute
		}
		return 0
	}())
}

func TestSchedule(t *testing.T) {
	// The clock of a bubble begins at midnight UTC on 2000-01-01.
	begin := func(t *testing.T, journal *memJournal, name string) (*rig, *tables) {
		r := &rig{t: t, src: newScript(), sink: newMemSink(t), journal: journal, ended: make(chan error, 1)}
		src := &tables{script: r.src, held: map[string]bool{}}
		src.fresh = journal.state.New
		r.start(func(c *Config, _ *rig) {
			c.Source = src
			c.Schedules = []Schedule{{Model: "users", Name: name, Next: often}}
		})
		return r, src
	}
	until := func(tens, minute int) {
		time.Sleep(time.Until(time.Date(2000, 1, 1, 0, 10*(tens-1)+minute, 0, 0, time.UTC)))
		synctest.Wait()
	}
	end := func(t *testing.T, r *rig) {
		t.Helper()
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
	}
	want := func(t *testing.T, src *tables, times ...string) {
		t.Helper()
		if got := src.times(); !slices.Equal(got, times) {
			t.Errorf("it ran at %v, want %v", got, times)
		}
	}
	t.Run("runs at its times, and what is under way is waited for", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, src := begin(t, &memJournal{state: State{New: true}}, "often")
			until(1, 2)
			want(t, src)
			until(1, 4)
			want(t, src, "00:03")
			src.end()
			until(2, 4)
			want(t, src, "00:03", "00:13")
			until(5, 9) // the second one takes half an hour
			want(t, src, "00:03", "00:13")
			src.end()
			until(6, 0)
			want(t, src, "00:03", "00:13", "00:49")
			if l := src.begun[2]; l.Model != "users" || l.Table != shopTable.Name || len(l.Cursor) > 0 {
				t.Errorf("begun: %+v", l)
			}
			src.end()
			until(6, 4)
			want(t, src, "00:03", "00:13", "00:49", "00:53")
			end(t, r)
		})
	})
	t.Run("a run that was missed while nothing ran is made up for once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			journal := &memJournal{state: State{New: true}}
			r, src := begin(t, journal, "often")
			until(1, 4)
			want(t, src, "00:03")
			src.end()
			until(1, 5)
			end(t, r)
			until(4, 9)
			r, src = begin(t, journal, "often")
			until(5, 0)
			want(t, src, "00:39")
			src.end()
			until(5, 4)
			want(t, src, "00:39", "00:43")
			end(t, r)
		})
	})
	t.Run("a schedule that was changed makes up for nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			journal := &memJournal{state: State{New: true}}
			r, _ := begin(t, journal, "often")
			until(1, 1)
			end(t, r)
			until(4, 9)
			r, src := begin(t, journal, "another")
			until(5, 0)
			want(t, src)
			if at := r.p.Status().Models[0].NextResync; !at.Equal(time.Date(2000, 1, 1, 0, 43, 0, 0, time.UTC)) {
				t.Errorf("the next run is due %s", at)
			}
			end(t, r)
		})
	})
	t.Run("a paused model is passed over", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, src := begin(t, &memJournal{state: State{New: true}}, "often")
			r.commit(Change{Op: Truncate, Key: Key{Table: shopTable.Name}, Time: time.Now()})
			until(1, 4)
			want(t, src)
			end(t, r)
		})
	})
}
