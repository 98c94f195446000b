package braze

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/braze/brazesim"
)

// inMemory hands requests to the simulator without a network, so that time can be virtual. The way there and the way back take a while each.
func inMemory(s *brazesim.Server, r *rand.Rand, latency time.Duration) http.RoundTripper {
	var mu sync.Mutex
	travel := func() {
		mu.Lock()
		d := latency/2 + time.Duration(r.Int64N(int64(latency)))
		mu.Unlock()
		time.Sleep(d)
	}
	return roundTrip(func(req *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(req.Body)
		req.Body.Close()
		if err != nil {
			return nil, err
		}
		travel()
		in := httptest.NewRequestWithContext(req.Context(), req.Method, req.URL.Path, strings.NewReader(string(body)))
		in.Header = req.Header
		out := httptest.NewRecorder()
		s.ServeHTTP(out, in)
		travel()
		return out.Result(), nil
	})
}

// sharers are the processes that use one key.
type sharers struct {
	t    *testing.T
	sim  *brazesim.Server
	seed uint64
}

// sharer is one of the processes that share a key.
type sharer struct {
	accepted, refused int
	times             []time.Duration // of accepted calls, since the test began
}

// run lets one process with its senders call as fast as its Wait lets it, from one moment to another.
func (b *sharers) run(from, to time.Duration, latency time.Duration, senders int) *sharer {
	b.t.Helper()
	s := &sharer{}
	began := time.Now()
	time.Sleep(from)
	ctx, cancel := context.WithTimeout(b.t.Context(), to-from)
	defer cancel()
	random := rand.New(rand.NewPCG(b.seed, uint64(from)))
	c := newTestClient(b.t, "http://127.0.0.1:1", Config{Transport: inMemory(b.sim, random, latency)})
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for c.Wait(ctx, connector.Track) == nil {
				err := c.Send(ctx, connector.Track, batchOf(1))
				o := outcomeOf(err)
				mu.Lock()
				switch {
				case err == nil:
					s.accepted++
					s.times = append(s.times, time.Since(began))
				case o.slowed:
					s.refused++
				case ctx.Err() == nil:
					b.t.Errorf("got %v", err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return s
}

// runAll lets processes run, each from its own moment on, and gives what the server refused of theirs.
func (b *sharers) runAll(from, to []time.Duration, senders int) (all []*sharer, refused int) {
	all = make([]*sharer, len(from))
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() { all[i] = b.run(from[i], to[i], 20*time.Millisecond, senders) })
	}
	wg.Wait()
	return all, b.sim.Stats().Endpoints["/users/track"].Statuses[http.StatusTooManyRequests]
}

// worst is the longest time between two calls of one process.
func (s *sharer) worst() (gap time.Duration) {
	slices.Sort(s.times)
	for i := 1; i < len(s.times); i++ {
		gap = max(gap, s.times[i]-s.times[i-1])
	}
	return gap.Round(time.Millisecond)
}

// within counts the calls from one moment to another.
func (s *sharer) within(from, to time.Duration) (n int) {
	for _, at := range s.times {
		if at >= from && at < to {
			n++
		}
	}
	return n
}

// TestSharedBudget has several processes use one key: each knows of the others only what the headers tell. A 429 costs the rest of a window, and a process
// that gets no part never gets its rows out.
func TestSharedBudget(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	in := func(t *testing.T, style brazesim.RateStyle, l brazesim.Limit, f func(t *testing.T, b *sharers)) {
		synctest.Test(t, func(t *testing.T) {
			b := &sharers{t: t, seed: seed, sim: brazesim.New(brazesim.Config{APIKey: testKey, RateStyle: style, Limit: l})}
			time.Sleep(l.Window / 3) // they start inside a window
			f(t, b)
		})
	}
	for _, c := range []struct {
		limit   brazesim.Limit
		windows int
		senders int
		part    float64 // of an equal share, that each gets at least
	}{
		{brazesim.Limit{Requests: 3000, Window: 3 * time.Second}, 5, 16, 0.5},
		{brazesim.Limit{Requests: 300, Window: 3 * time.Second}, 15, 8, 0.5},
		{brazesim.Limit{Requests: 600, Window: time.Minute}, 8, 8, 0.5},
		{brazesim.Limit{Requests: 6000, Window: time.Hour}, 2, 4, 0.4}, // the first of them has the first fifth of an hour alone
	} {
		for _, style := range []brazesim.RateStyle{brazesim.RateEpoch, brazesim.RateSeconds, brazesim.RateMAU, brazesim.RateDate} {
			t.Run(fmt.Sprintf("three share %d calls in %s, headers %s", c.limit.Requests, c.limit.Window, style), func(t *testing.T) {
				in(t, style, c.limit, func(t *testing.T, b *sharers) {
					w := c.limit.Window
					end := time.Duration(c.windows) * w
					all, refused := b.runAll([]time.Duration{0, w / 5, 2 * w / 5}, []time.Duration{end, end, end}, c.senders)
					calls, gap, could := 0, time.Duration(0), float64(c.limit.Requests*c.windows)
					for _, s := range all {
						calls += s.accepted
						gap = max(gap, s.worst())
					}
					t.Logf("%d calls (%.0f %% of the limit), %d + %d + %d, none for %s at most, %d times 429", calls, 100*float64(calls)/could,
						all[0].accepted, all[1].accepted, all[2].accepted, gap, refused)
					if float64(calls) < 0.85*could || float64(refused) > 0.03*could {
						t.Error("too few calls, or too many 429s")
					}
					for i, s := range all {
						if float64(s.accepted) < c.part*could/3 {
							t.Errorf("process %d starved", i)
						}
					}
					if gap > max(2500*time.Millisecond, w/100) {
						t.Error("one waited too long for its next call")
					}
				})
			})
		}
	}
	t.Run("who leaves leaves its part to the others, and who comes gets one", func(t *testing.T) {
		in(t, brazesim.RateEpoch, brazesim.Limit{Requests: 1200, Window: time.Minute}, func(t *testing.T, b *sharers) {
			const m = time.Minute
			all, refused := b.runAll([]time.Duration{0, 0, 10 * m}, []time.Duration{15 * m, 5 * m, 15 * m}, 8)
			for _, c := range []struct {
				from, to time.Duration
				parts    [3]float64
			}{{2 * m, 5 * m, [3]float64{0.5, 0.5, 0}}, {7 * m, 10 * m, [3]float64{1, 0, 0}}, {12 * m, 15 * m, [3]float64{0.5, 0, 0.5}}} {
				could := 1200 * c.to.Minutes() // of these minutes
				could -= 1200 * c.from.Minutes()
				for i, part := range c.parts {
					if got := float64(all[i].within(c.from, c.to)) / could; got < 0.7*part || part == 0 && got > 0 {
						t.Errorf("from %s to %s process %d had %.2f of the limit, want about %.2f", c.from, c.to, i, got, part)
					}
				}
			}
			if refused > 200 {
				t.Errorf("%d times 429", refused)
			}
		})
	})
}
