package web

import (
	"net/netip"
	"sync"
	"time"
)

const (
	freeTries   = 5           // failures that cost nothing
	triesWithin = time.Minute // that they may lie apart
	firstDelay  = 5 * time.Second
	longestWait = 5 * time.Minute
	maxWatched  = 20_000 // names and addresses
)

// throttle slows down who tries passwords: after five failures within a minute, by name or by address, each further one makes the wait twice as long.
// It may be used concurrently.
type throttle struct {
	mu      sync.Mutex
	watched map[string]*failures
}

type failures struct {
	n           int
	last, until time.Time
}

// begin counts a try as failed before it is made, so that many at once count each; succeeded takes that back. It gives how long to wait instead, where
// that is the answer.
func (t *throttle) begin(now time.Time, keys ...string) (wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, key := range keys {
		if f := t.watched[key]; f != nil {
			wait = max(wait, f.until.Sub(now))
		}
	}
	if wait > 0 {
		return wait
	}
	t.shrink(now)
	for _, key := range keys {
		f := t.watched[key]
		if f == nil || f.over(now) {
			f = &failures{}
			t.watched[key] = f
		}
		f.n++
		f.last = now
		if f.n >= freeTries {
			f.until = now.Add(min(firstDelay<<min(f.n-freeTries, 10), longestWait))
		}
	}
	return 0
}

// over tells whether failures lie so far back that they count no more.
func (f *failures) over(now time.Time) bool {
	return now.Sub(f.last) > triesWithin && now.Sub(f.until) > f.until.Sub(f.last)
}

// succeeded takes a try back: the name's failures are forgotten, and the address has one less.
func (t *throttle) succeeded(name, address string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.watched, name)
	if f := t.watched[address]; f != nil {
		f.until = time.Time{}
		if f.n--; f.n <= 0 {
			delete(t.watched, address)
		}
	}
}

// shrink makes room: what counts no more goes, and where all still counts, anything.
func (t *throttle) shrink(now time.Time) {
	if t.watched == nil {
		t.watched = map[string]*failures{}
	}
	if len(t.watched) < maxWatched {
		return
	}
	for key, f := range t.watched {
		if f.over(now) {
			delete(t.watched, key)
		}
	}
	for key := range t.watched {
		if len(t.watched) < maxWatched {
			return
		}
		delete(t.watched, key)
	}
}

// addressKey is what stands for an address: of IPv6 the network, since a host has all of it.
func addressKey(ip netip.Addr) string {
	if ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return "address " + p.String()
		}
	}
	return "address " + ip.String()
}
