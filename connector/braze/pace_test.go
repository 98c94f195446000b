package braze

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"brazecdc/connector"
)

// window is a server's limit: so many requests in each window, windows beginning at multiples of their length.
type window struct {
	mu     sync.Mutex
	limit  int
	length time.Duration
	others int // requests of other tools at the beginning of each window
	start  time.Time
	used   int
	over   int // requests above the limit
	times  []time.Time
}

// take counts a request and tells what headers would.
func (w *window) take() (ok bool, remaining int, reset time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if start := now.Truncate(w.length); !start.Equal(w.start) {
		w.start, w.used = start, w.others
	}
	w.times = append(w.times, now)
	w.used++
	if w.used > w.limit {
		w.over++
	}
	return w.used <= w.limit, max(w.limit-w.used, 0), w.start.Add(w.length)
}

// answerWith makes a transport without a network, so that time in it can be virtual.
func answerWith(latency time.Duration, f func() (int, http.Header)) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return nil, err
		}
		r.Body.Close()
		time.Sleep(latency)
		status, h := f()
		return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(`{"message":"success"}`))}, nil
	})
}

func (w *window) transport(style string) http.RoundTripper {
	return answerWith(5*time.Millisecond, func() (int, http.Header) {
		ok, remaining, reset := w.take()
		left := max(int(time.Until(reset).Seconds()), 0)
		h := http.Header{}
		set := func(reset string) {
			h.Set("X-RateLimit-Limit", strconv.Itoa(w.limit))
			h.Set("X-RateLimit-Remaining", strconv.Itoa(remaining))
			h.Set("X-RateLimit-Reset", reset)
		}
		switch style {
		case "epoch":
			set(strconv.FormatInt(reset.Unix(), 10))
		case "seconds":
			set(strconv.Itoa(left))
		}
		if ok {
			return 201, h
		}
		return 429, h
	})
}

// drive lets senders call as fast as Wait lets them, for a time, and gives how many calls were accepted.
func drive(t *testing.T, c *Client, senders int, d time.Duration) (accepted int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for c.Wait(ctx, connector.Track) == nil {
				if err := c.Send(ctx, connector.Track, batchOf(1)); err == nil {
					mu.Lock()
					accepted++
					mu.Unlock()
				} else if o := outcomeOf(err); o.end != "retry" {
					t.Errorf("got %v", err)
				}
			}
		})
	}
	wg.Wait()
	return accepted
}

func TestPace(t *testing.T) {
	run := func(name string, f func(t *testing.T)) {
		t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
	}
	run("keeps to 3,000 requests in each 3 s from the first one on, and uses them", func(t *testing.T) {
		for _, style := range []string{"none", "epoch", "seconds"} {
			w := &window{limit: 3000, length: 3 * time.Second}
			got := drive(t, newTestClient(t, "http://127.0.0.1:1", Config{Transport: w.transport(style)}), 32, 12*time.Second)
			if w.over > 0 || got < 11000 {
				t.Errorf("headers %s: %d accepted in 12 s, %d over the limit", style, got, w.over)
			}
		}
	})
	run("leaves the rest of the budget to others", func(t *testing.T) {
		for _, style := range []string{"none", "epoch", "seconds"} {
			w := &window{limit: 3000, length: 3 * time.Second}
			got := drive(t, newTestClient(t, "http://127.0.0.1:1", Config{Transport: w.transport(style), RateShare: 0.2}), 16, 30*time.Second)
			if got < 5000 || got > 6100 {
				t.Errorf("headers %s: %d accepted in 30 s with a fifth of 30,000", style, got)
			}
		}
	})
	run("spreads an hourly contract over the hour, though others use half of it", func(t *testing.T) {
		for _, style := range []string{"epoch", "seconds"} {
			w := &window{limit: 36000, length: time.Hour, others: 18000}
			time.Sleep(time.Until(time.Now().Truncate(time.Hour).Add(time.Hour)))
			c := newTestClient(t, "http://127.0.0.1:1", Config{Transport: w.transport(style)})
			got := drive(t, c, 8, 2*time.Hour)
			if w.over > 0 || got < 35000 {
				t.Errorf("headers %s: %d accepted in two hours, %d over the limit", style, got, w.over)
			}
			worst := time.Duration(0)
			for i := 1; i < len(w.times); i++ {
				worst = max(worst, w.times[i].Sub(w.times[i-1]))
			}
			if worst > 5*time.Second {
				t.Errorf("headers %s: nothing left for %s", style, worst)
			}
		}
	})
	run("a configured hourly limit holds without any header, also from the middle of an hour", func(t *testing.T) {
		time.Sleep(40 * time.Minute)
		w := &window{limit: 3600, length: time.Hour, others: 2400}
		c := newTestClient(t, "http://127.0.0.1:1", Config{Transport: w.transport("none"), PerHour: 3600})
		got := drive(t, c, 4, 20*time.Minute)
		if w.over > 0 || got < 1150 {
			t.Errorf("%d accepted in a third of an hour, %d over the limit", got, w.over)
		}
	})
	run("does not space calls that the budget lasts for", func(t *testing.T) {
		w := &window{limit: 36000, length: time.Hour}
		c := newTestClient(t, "http://127.0.0.1:1", Config{Transport: w.transport("epoch")})
		waited := time.Duration(0)
		for range 500 {
			start := time.Now()
			if err := c.Wait(t.Context(), connector.Track); err != nil {
				t.Fatal(err)
			}
			waited += time.Since(start)
			if err := c.Send(t.Context(), connector.Track, batchOf(1)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(100+rand.IntN(200)) * time.Millisecond)
		}
		if waited > time.Second {
			t.Errorf("500 calls, five in a second, waited %s", waited)
		}
	})
	run("wakes those who wait for the old budget when a new one is told", func(t *testing.T) {
		c := newTestClient(t, "http://127.0.0.1:1", Config{PerHour: 10})
		if err := c.Wait(t.Context(), connector.Track); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		done := make(chan error)
		go func() { done <- c.Wait(t.Context(), connector.Track) }()
		synctest.Wait()
		c.pools[trackUsers].observe(201, header("X-RateLimit-Limit", "3000", "X-RateLimit-Remaining", "2999", "X-RateLimit-Reset", "3"), time.Now())
		if err := <-done; err != nil || time.Since(start) > time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
	})
	run("ends with its context", func(t *testing.T) {
		c := newTestClient(t, "http://127.0.0.1:1", Config{})
		c.pools[renameIDs].observe(429, header("Retry-After", "60"), time.Now())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Wait(ctx, connector.Rename); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if err := c.Wait(t.Context(), connector.Track); err != nil { // another pool
			t.Error(err)
		}
	})
}

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

func TestThrottle(t *testing.T) {
	tests := []struct {
		name    string
		headers func() http.Header
		min     time.Duration // nothing leaves before
		max     time.Duration // something leaves by then
	}{
		{"a: X-RateLimit-Retry-After", func() http.Header { return header("X-RateLimit-Retry-After", "2") }, 2 * time.Second, 2100 * time.Millisecond},
		{"b: X-RateLimit-Reset in seconds", func() http.Header { return header("X-RateLimit-Reset", "2") }, 2 * time.Second, 2100 * time.Millisecond},
		{"c: X-RateLimit-Reset as epoch", func() http.Header {
			return header("X-RateLimit-Reset", strconv.FormatInt(time.Now().Add(2*time.Second).Unix(), 10))
		}, time.Second, 2100 * time.Millisecond},
		{"d: Retry-After as a date", func() http.Header {
			return header("Retry-After", time.Now().Add(2*time.Second).UTC().Format(http.TimeFormat))
		}, time.Second, 2100 * time.Millisecond},
		{"d: Retry-After in seconds", func() http.Header { return header("Retry-After", "2") }, 2 * time.Second, 2100 * time.Millisecond},
		{"e: nothing", func() http.Header { return header() }, 700 * time.Millisecond, 1400 * time.Millisecond},
		{"an epoch by a server whose clock is two hours ahead", func() http.Header {
			at := time.Now().Add(2 * time.Hour)
			return header("Date", at.UTC().Format(http.TimeFormat), "X-RateLimit-Reset", strconv.FormatInt(at.Add(2*time.Second).Unix(), 10))
		}, time.Second, 3 * time.Second},
		{"more than the longest window", func() http.Header { return header("Retry-After", "999999999") }, time.Hour, time.Hour + time.Second},
	}
	for _, tt := range tests {
		t.Run("case 12: "+tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var first, told time.Time
				n := 0
				tr := answerWith(0, func() (int, http.Header) {
					mu.Lock()
					defer mu.Unlock()
					if n++; n == 1 {
						told = time.Now()
						return 429, tt.headers()
					}
					if first.IsZero() {
						first = time.Now()
					}
					return 201, http.Header{}
				})
				c := newTestClient(t, "http://127.0.0.1:1", Config{Transport: tr})
				if err := c.Send(t.Context(), connector.Track, batchOf(1)); outcomeOf(err) != (outcome{end: "retry", slowed: true}) {
					t.Fatalf("got %v", err)
				}
				// No worker calls, whether it asks or not, and other endpoints go on.
				if err := c.Send(t.Context(), connector.Track, batchOf(1)); outcomeOf(err) != (outcome{end: "retry", slowed: true}) || n != 1 {
					t.Errorf("a call without Wait gave %v, %d requests", err, n)
				}
				var wg sync.WaitGroup
				for range 8 {
					wg.Go(func() {
						if err := c.Wait(t.Context(), connector.Track); err != nil {
							t.Error(err)
						}
						if err := c.Send(t.Context(), connector.Track, batchOf(1)); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				if waited := first.Sub(told); waited < tt.min || waited > tt.max {
					t.Errorf("the next call left after %s, want %s to %s", waited, tt.min, tt.max)
				}
				h := c.Health().Endpoints[0]
				if h.Throttled < tt.min || h.Codes["429"] != 1 || h.Codes["201"] != 8 {
					t.Errorf("health: %+v", h)
				}
			})
		})
	}
	t.Run("case 12: Remaining 0 on a 201 holds until the reset", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newTestClient(t, "http://127.0.0.1:1", Config{})
			c.pools[trackUsers].observe(201, header("X-RateLimit-Limit", "3000", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "2"), time.Now())
			start := time.Now()
			if err := c.Wait(t.Context(), connector.Track); err != nil || time.Since(start) < 2*time.Second || time.Since(start) > 2100*time.Millisecond {
				t.Errorf("%v after %s", err, time.Since(start))
			}
		})
	})
	t.Run("case 11: 429s are no failed attempts and one visible throttled time; without headers the wait grows, capped", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			left := 9
			tr := answerWith(0, func() (int, http.Header) {
				if left--; left >= 0 {
					return 429, http.Header{}
				}
				return 201, http.Header{}
			})
			c := newTestClient(t, "http://127.0.0.1:1", Config{Transport: tr})
			var waits []time.Duration
			for {
				start := time.Now()
				if err := c.Wait(t.Context(), connector.Track); err != nil {
					t.Fatal(err)
				}
				waits = append(waits, time.Since(start))
				err := c.Send(t.Context(), connector.Track, batchOf(1))
				if err == nil {
					break
				}
				if outcomeOf(err) != (outcome{end: "retry", slowed: true}) {
					t.Fatal(err)
				}
			}
			total := time.Duration(0)
			for _, w := range waits {
				total += w
			}
			if waits[3] <= waits[1] || waits[9] > 80*time.Second || waits[9] < 40*time.Second {
				t.Errorf("waits: %v", waits)
			}
			if got := c.Health().Endpoints[0].Throttled; (got - total).Abs() > time.Millisecond {
				t.Errorf("throttled %s, waited %s", got, total)
			}
		})
	})
	t.Run("several 429s on their way at once are one backoff", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newTestClient(t, "http://127.0.0.1:1", Config{})
			for range 64 {
				c.pools[trackUsers].observe(429, header(), time.Now())
			}
			if held := c.pools[trackUsers].held(); held > 1400*time.Millisecond {
				t.Errorf("held for %s", held)
			}
		})
	})
}

func TestReadRate(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for _, bad := range []string{"", "x", "-1", "NaN", "1e300", "Wed, 99 Nov 2026 25:00:00 GMT"} {
		r := readRate(header("X-RateLimit-Limit", bad, "X-RateLimit-Remaining", bad, "X-RateLimit-Reset", bad, "Retry-After", bad), now)
		if r.known || r.hasReset || r.after != 0 {
			t.Errorf("%q gives %+v", bad, r)
		}
	}
	r := readRate(header("x-ratelimit-limit", "250000", "x-ratelimit-remaining", " 17 ", "x-ratelimit-reset", "1795608005"), now)
	if !r.known || r.limit != 250000 || r.remaining != 17 || r.left != 5*time.Second {
		t.Errorf("got %+v", r)
	}
	if r := readRate(header("X-Ratelimit-Reset", "1795608005000"), now); r.hasReset {
		t.Logf("milliseconds are read as %s", r.left)
	}
	if r := readRate(header("X-Ratelimit-Retry-After", "0", "Retry-After", "3"), now); r.after != 3*time.Second {
		t.Errorf("got %+v", r)
	}
}
