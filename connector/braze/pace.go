package braze

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Facts of Braze's rate limits (Braze docs, "Rate limits").
const (
	epochFrom = 365 * 24 * 3600 // a Reset above so many seconds is an epoch, below it seconds left
	longest   = time.Hour       // the longest window Braze has; no hold is longer
	reserve   = 100             // 1/100 of a budget may leave at once, the rest is spread
	onTheWay  = 400             // 1/400 of a limit stays unused
)

// defaults are the limits until headers tell others, in requests per window. Export has 250 a minute for customers since 2024-08-22, more for others.
var defaults = [endpoints]budget{
	trackUsers:     {3000, 3 * time.Second},
	deleteUsers:    {20000, time.Minute}, // shared with aliases, identify and merge
	renameIDs:      {1000, time.Minute},
	removeIDs:      {1000, time.Minute},
	exportUsers:    {250, time.Minute},
	subscribeUsers: {5000, time.Minute},  // both versions share it
	putItems:       {16000, time.Minute}, // of all calls for several items
	listAttributes: {1000, time.Hour},    // shared with the lists of events and products
}

type budget struct {
	limit  float64
	window time.Duration
}

// pool paces the requests that share one rate limit. Calls leave by a virtual clock: next is when the coming one may leave at the earliest, and it
// never lags more than a small burst behind the present, so that a steady stream is spread evenly over the window, and a rare call never waits.
type pool struct {
	mu      sync.Mutex
	share   float64 // of the limit, 0 < share <= 1
	base    budget
	next    time.Time
	hold    time.Time     // nothing leaves before
	woken   chan struct{} // closed and replaced when reservations became void
	backoff *backoff.ExponentialBackOff
	open    atomic.Int64 // calls on their way

	// What headers told, or a contract's hourly limit.
	told      bool
	header    bool // by a header
	limit     float64
	remaining float64
	used      float64   // by us in this window
	rolled    time.Time // when we entered it; zero for the first
	reset     time.Time
	window    time.Duration

	sharing   sharing
	throttled time.Duration // that holds lasted
}

// newPool starts with the default budget, or an hourly one: its windows restart on the clock hour, and what of the present hour is already used is not
// known, so the rest of it gets its even part.
func newPool(b budget, share float64, perHour int64) *pool {
	p := &pool{share: share, base: b, sharing: sharing{part: 1}, woken: make(chan struct{}), backoff: backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(time.Second), backoff.WithMultiplier(2), backoff.WithRandomizationFactor(0.3),
		backoff.WithMaxInterval(time.Minute), backoff.WithMaxElapsedTime(0))}
	if perHour > 0 {
		now := time.Now()
		p.told, p.window, p.limit = true, time.Hour, float64(perHour)
		p.reset = now.Truncate(time.Hour).Add(time.Hour)
		p.remaining = p.limit * share * float64(p.reset.Sub(now)) / float64(time.Hour)
	}
	return p
}

// wait blocks until a call may leave. A reservation becomes void when the pool learns something new, and is made again.
func (p *pool) wait(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for {
		p.mu.Lock()
		now := time.Now()
		at, mine := p.take(now)
		woken := p.woken
		p.mu.Unlock()
		if mine && !at.After(now) {
			return nil
		}
		timer := time.NewTimer(at.Sub(now))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-woken:
			timer.Stop()
			continue
		case <-timer.C:
		}
		select {
		case <-woken:
		default:
			if mine {
				return nil
			}
		}
	}
}

// take reserves the next place and says when it is; mine is false where there is none before at and it must be tried again then.
func (p *pool) take(now time.Time) (at time.Time, mine bool) {
	if p.hold.After(now) {
		return p.hold, false
	}
	p.roll(now)
	every, burst := p.speed(now)
	if every <= 0 {
		return p.reset, false
	}
	if first := now.Add(-time.Duration(burst) * every); p.next.Before(first) {
		p.next = first
	}
	at = p.next
	p.next = at.Add(every)
	p.used++
	p.remaining--
	return at, true
}

// roll enters the next window when the present one is over.
func (p *pool) roll(now time.Time) {
	if !p.told || now.Before(p.reset) {
		return
	}
	passed := now.Sub(p.reset)/p.window + 1
	p.reset = p.reset.Add(passed * p.window)
	p.used, p.remaining, p.rolled = 0, p.limit, now
	p.sharing.begin(time.Time{}, 0)
}

// speed gives the time between two calls and how many may leave at once; 0 where the window has none left.
func (p *pool) speed(now time.Time) (every time.Duration, burst int) {
	budget := p.share * p.base.limit
	burst = int(budget / reserve)
	// Burst and spread calls together stay inside the budget of each window.
	every = max(time.Duration(float64(p.base.window)/max(budget-float64(burst), 1)), 1)
	if !p.told {
		return every, burst
	}
	// Calls on their way when a window ends are counted in the next one, and the last ones are not for all who share it.
	late := float64(int(p.limit / onTheWay))
	ours, all := p.share*p.limit-p.used-late, p.remaining-late-p.sharing.kept(p.limit)
	if min(ours, all) < 1 {
		return 0, 0
	}
	left := min(ours, all*p.sharing.part)
	from := now
	if p.next.After(from) {
		from = p.next
	}
	spread := time.Duration(float64(p.reset.Sub(from)) / left)
	// Near the end of a window much may be left of it; it must not all leave in its last second.
	fastest := min(every, p.fastest(p.share))
	return max(spread, fastest, 1), min(burst, int(left/reserve))
}

// fastest is the time between two calls where a part of the limit, 1 for all of it, is used evenly over a window.
func (p *pool) fastest(part float64) time.Duration {
	return time.Duration(float64(p.window) / (part * p.limit))
}

// void makes all who wait reserve anew, beginning at start.
func (p *pool) void(start time.Time) {
	p.next = start
	close(p.woken)
	p.woken = make(chan struct{})
}

// held gives how long nothing may leave.
func (p *pool) held() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(time.Until(p.hold), 0)
}

// observe learns from the answer to a request that left at sent. For a 429 it gives how long the pool is held, and for how long that was news.
func (p *pool) observe(status int, h http.Header, sent time.Time) (hold, added time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.roll(now)
	t := readRate(h, now)
	if sent.Before(p.rolled) {
		t.known, t.left = false, 0 // of a window that is over
	}
	before := p.throttled
	switch {
	case status == http.StatusTooManyRequests:
		p.throttle(now, t)
	case t.known:
		p.learn(now, t)
		fallthrough
	default:
		if classOf(status) == accepted {
			p.backoff.Reset()
		}
	}
	return max(p.hold.Sub(now), 0), p.throttled - before
}

// throttle holds the pool as long as a 429 says; where it says nothing, longer each time.
func (p *pool) throttle(now time.Time, t rate) {
	after := t.after
	if after <= 0 {
		after = t.left
	}
	if after <= 0 {
		if p.hold.After(now) {
			return // one of several calls that were on their way when the first was answered
		}
		after = p.backoff.NextBackOff()
		if t.hasReset { // that window is over, unless the clocks differ by a little
			after /= 10
		}
	}
	p.holdFor(now, after)
}

func (p *pool) holdFor(now time.Time, d time.Duration) {
	until := now.Add(min(d, longest))
	if !until.After(p.hold) {
		return
	}
	from := now
	if p.hold.After(from) {
		from = p.hold
	}
	p.throttled += until.Sub(from)
	p.hold = until
	p.void(until)
}

// learn takes over limit, remaining and reset. Answers come in any order, and Remaining does not count calls still on their way, so within a window
// the smaller number holds.
func (p *pool) learn(now time.Time, t rate) {
	left := t.left
	switch {
	case !t.hasReset:
		left = max(p.window, p.base.window)
	case left <= 0 && t.epoch && p.header:
		return // of a window that is over; the answer was on its way
	case left <= 0:
		left = time.Second // told in whole seconds
	}
	left = min(left, longest)
	reset := now.Add(left)
	apart := reset.Sub(p.reset).Abs()
	// Resets are told in whole seconds, so those of one window differ a little.
	if p.header && t.limit == p.limit && apart <= max(1500*time.Millisecond, p.window*3/5) {
		p.remaining = min(p.remaining, t.remaining)
		if reset.Before(p.reset) {
			p.reset = reset
		}
		p.sharing.told(now, t.remaining, p)
	} else {
		if t.limit != p.limit {
			p.window = 0
		}
		p.told, p.header = true, true
		// Calls on their way may not be counted in what is told.
		p.limit, p.remaining, p.reset, p.used = t.limit, t.remaining-float64(p.open.Load()), reset, 0
		p.window = max(p.window, windowOf(left))
		p.sharing.begin(now, t.remaining)
		if p.next.After(now) {
			p.void(now)
		}
	}
	if t.remaining <= p.sharing.kept(p.limit) { // those who have their place already would be too many
		p.holdFor(now, left)
	}
}

// windowOf guesses a window's length from a time left in it: Braze has windows of three seconds, a minute and an hour.
func windowOf(left time.Duration) time.Duration {
	for _, w := range []time.Duration{3 * time.Second, time.Minute} {
		if left <= w {
			return w
		}
	}
	return longest
}

func (p *pool) gauges() (limit, remaining int64, reset time.Time, throttled time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.header {
		limit, remaining, reset = int64(p.limit), max(int64(p.remaining), 0), p.reset
	}
	return limit, remaining, reset, p.throttled
}

// rate is what the headers of an answer tell.
type rate struct {
	known            bool // limit and remaining
	limit, remaining float64
	hasReset         bool
	epoch            bool          // the reset was told as a point of time
	left             time.Duration // until the reset
	after            time.Duration // of X-Ratelimit-Retry-After or Retry-After
}

func readRate(h http.Header, now time.Time) rate {
	var t rate
	limit, ok1 := seconds(h.Get("X-Ratelimit-Limit"))
	remaining, ok2 := seconds(h.Get("X-Ratelimit-Remaining"))
	t.known, t.limit, t.remaining = ok1 && ok2 && limit >= 1, limit, remaining
	if reset, ok := seconds(h.Get("X-Ratelimit-Reset")); ok {
		t.hasReset = true
		if t.epoch = reset > epochFrom; t.epoch {
			t.left = time.Unix(0, int64(min(reset, 1e10)*1e9)).Sub(serverTime(h, now))
		} else {
			t.left = time.Duration(reset * 1e9)
		}
	}
	for _, name := range []string{"X-Ratelimit-Retry-After", "Retry-After"} {
		value := h.Get(name)
		if s, ok := seconds(value); ok {
			t.after = time.Duration(min(s, longest.Seconds()) * 1e9)
		} else if at, err := http.ParseTime(value); err == nil {
			t.after = at.Sub(serverTime(h, now))
		}
		if t.after > 0 {
			break
		}
	}
	return t
}

// serverTime is what the server's clock shows, where it clearly differs from ours: times it names are by its clock.
func serverTime(h http.Header, now time.Time) time.Time {
	if at, err := http.ParseTime(h.Get("Date")); err == nil && at.Sub(now).Abs() > 5*time.Second {
		return at
	}
	return now
}

func seconds(s string) (float64, bool) {
	v, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	return v, err == nil && v >= 0 && v < 1e12
}
