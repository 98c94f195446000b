package web

import (
	"context"
	"math"
	"sync"
	"testing"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/control"
)

// fakeLive is a process that does what a test says.
type fakeLive struct {
	mu     sync.Mutex
	st     *control.Status
	err    error
	oldest time.Time
	passed []control.Passed
	asked  int
}

func (f *fakeLive) Status(context.Context) (*control.Status, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	return f.st, f.err
}

func (f *fakeLive) OldestHeld(context.Context) (time.Time, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.oldest, nil
}

func (f *fakeLive) Passed(_ context.Context, after uint64) ([]control.Passed, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.st == nil || f.st.PID == 0 {
		return nil, control.ErrNotRunning
	}
	for i := range f.passed {
		if f.passed[i].N > after {
			return f.passed[i:], nil
		}
	}
	return nil, nil
}

// clock is a clock that a test sets.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 11, 3, 10, 30, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
	return c.t
}

// running is the status of a process that is fine, s seconds after its start: ten changes a second came and were sent.
func running(started time.Time, s int) *control.Status {
	n := uint64(s) * 10
	hist := make([]uint64, len(connector.DeliveryBuckets)+1)
	hist[6], hist[8] = n-n/20, n/20 // within 0.1 s and 0.5 s
	st := &control.Status{
		Version: "test", Workspace: "Shop", PID: 4711, Started: started, Ready: true, Figures: &control.Figures{Deliveries: hist},
		Status: connector.Status{
			State: "running", Since: started, LagSeconds: .4, OpenChanges: 3, Waiting: 2,
			Source: connector.SourceHealth{Connected: true, Since: started, LastChange: started.Add(time.Duration(s) * time.Second), LagBytes: 2048, RetainedBytes: 3 << 20,
				SafeBytes: 900 << 20, SlotStatus: "reserved"},
			Sink: connector.SinkHealth{LastSuccess: started.Add(time.Duration(s) * time.Second), Endpoints: []connector.EndpointHealth{
				{Endpoint: "/users/track", Codes: map[string]uint64{"201": n / 5}, Objects: n, Limit: 250000, Remaining: 181204, Reset: started.Add(time.Hour)},
				{Endpoint: "/users/delete", Codes: map[string]uint64{"201": n / 500}, Limit: 20000, Remaining: 19870, Reset: started.Add(time.Hour)},
			}},
			Streams: []connector.StreamState{{Stream: "slot/brazecdc", Confirmed: 1 << 33, Moved: started.Add(time.Duration(s) * time.Second)}},
			Models: []connector.ModelStatus{
				{Name: "customers", Table: "public.users", Changes: map[string]uint64{"insert": n / 10, "update": n - n/10 - n/100, "delete": n / 100},
					Sent: map[string]uint64{connector.Track.String(): n - n/4, connector.DeleteUser.String(): n / 100}, Suppressed: n / 4, Proven: true,
					Points: connector.ModelPoints{Today: connector.Spent{Spent: n, Saved: 5 * n}, Start: connector.Spent{Spent: n, Saved: 5 * n}}},
				{Name: "newsletter", Table: "public.newsletter_optins", Changes: map[string]uint64{}, Sent: map[string]uint64{}},
			},
		},
	}
	return st
}

// livePast makes a server whose feed has watched a process for some seconds. change is applied to each status.
func livePast(t *testing.T, seconds int, change func(s int, st *control.Status)) (*site, *fakeLive, *clock) {
	t.Helper()
	l := newLiveSite(t)
	l.past(seconds, change)
	return l.site, l.fake, l.clock
}

// liveSite is a site whose process and clock a test sets.
type liveSite struct {
	*site
	fake  *fakeLive
	clock *clock
}

func newLiveSite(t *testing.T) *liveSite {
	t.Helper()
	c, f := newClock(), &fakeLive{}
	return &liveSite{newSite(t, Config{Live: f, Now: c.now}), f, c}
}

// past has the site begin anew with a process that it has watched for some seconds.
func (l *liveSite) past(seconds int, change func(s int, st *control.Status)) {
	s, f, c := l.site, l.fake, l.clock
	c.t = newClock().t
	s.server.live = newFeed(f, c.now)
	s.server.board.forget()
	started := c.now()
	for i := range seconds + 1 {
		st := running(started, i)
		if change != nil {
			change(i, st)
		}
		f.st = st
		s.server.live.take(c.now(), st, nil)
		if i < seconds {
			c.add(time.Second)
		}
	}
}

// wave makes rates that a person can look at.
func wave(s int) float64 {
	x := float64(s)
	return 60 + 40*math.Sin(x/70) + 18*math.Sin(x/11) + 8*math.Sin(x/3)
}
