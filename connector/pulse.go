package connector

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

// phase is what a sender does. Only its own work has to end within stallAfter: whoever waits for Braze, the source or a rate limit is alive.
type phase int64

const (
	phaseIdle   phase = iota // nobody is ready, or calls may not leave yet
	phaseCall                // Braze is to answer
	phaseLookup              // the source is to give rows, or Braze to say who lives
	phaseWork                // its own: folding, comparing, keeping
)

// pulse tells others what a sender does and since when. It may be read concurrently; a nil one tells nothing.
type pulse struct{ at atomic.Int64 } // microseconds, and the phase in the lowest two bits

func (p *pulse) beat(what phase) {
	if p != nil {
		p.at.Store(time.Now().UnixMicro()<<2 | int64(what))
	}
}

func (p *pulse) read() (what phase, since time.Time) {
	v := p.at.Load()
	return phase(v & 3), time.UnixMicro(v >> 2)
}

// pulses gives what the endpoint's senders do.
func (e *endpoint) pulses() []*pulse {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]*pulse(nil), e.beats...)
}

// senderLoop tells how the senders do.
func (p *Pipeline) senderLoop(now time.Time) Loop {
	l := Loop{Name: "senders", OK: true}
	for _, e := range p.ends {
		for _, x := range e.pulses() {
			what, since := x.read()
			if since.After(l.Beat) && l.OK {
				l.Beat = since
			}
			if what == phaseWork && now.Sub(since) > stallAfter && (l.OK || since.Before(l.Beat)) {
				l.OK, l.Beat = false, since
			}
		}
	}
	return l
}

// endpointNamer is a Sink that tells the path of a kind.
type endpointNamer interface{ EndpointOf(k Kind) string }

// holdups are sentences on what keeps objects from being delivered, for a position that does not move.
func (p *Pipeline) holdups(now time.Time) (all []string) {
	for _, e := range p.ends {
		where := p.endpointName(e.kind)
		calls, lookups := 0, 0
		var first, asked time.Time
		for _, x := range e.pulses() {
			switch what, since := x.read(); what {
			case phaseCall:
				if calls++; first.IsZero() || since.Before(first) {
					first = since
				}
			case phaseLookup:
				if lookups++; asked.IsZero() || since.Before(asked) {
					asked = since
				}
			}
		}
		if calls > 0 {
			all = append(all, fmt.Sprintf("%s on %s since %d s", waiters(calls), where, int(now.Sub(first).Seconds())))
		}
		if lookups > 0 {
			all = append(all, fmt.Sprintf("%s for rows of the source since %d s", waiters(lookups), int(now.Sub(asked).Seconds())))
		}
		if fails, _ := e.state(); fails >= failingAfter {
			all = append(all, fmt.Sprintf("the last %d calls to %s failed", fails, where))
		}
	}
	return all
}

func waiters(n int) string {
	if n == 1 {
		return "a sender waits"
	}
	return fmt.Sprintf("%d senders wait", n)
}

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// inBytes words a size for people.
func inBytes(n int64) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%d MB", n>>20)
	case n >= 1<<10:
		return fmt.Sprintf("%d kB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}

// moves tells whether the position moves where there is something to move.
func (p *Pipeline) moves(now time.Time) Check {
	open, bytes, _, streams := p.tracker.state()
	var stuck []string
	for _, s := range streams {
		if !s.Open.IsZero() && now.Sub(s.Moved) > stuckAfter && now.Sub(s.Open) > stuckAfter {
			stuck = append(stuck, fmt.Sprintf("%s has not moved for %d s while %s, %s, wait", s.Stream, int(now.Sub(s.Moved).Seconds()), plural(open, "change"), inBytes(bytes)))
		}
	}
	if len(stuck) > 0 {
		return Check{"position", false, strings.Join(append(stuck, p.holdups(now)...), "; ")}
	}
	return Check{"position", true, "moves, or there is nothing to move"}
}
