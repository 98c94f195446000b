package braze

import "time"

// How processes that share a key find their parts, see sharing.
const (
	looksPerWindow = 200                   // a look at what all used
	shortestLook   = 50 * time.Millisecond // above what answers take, so that they count in the look they belong to
	longestLook    = 10 * time.Second
	callsPerLook   = 8
	growth         = 0.03 // of the budget, a look
	smallestPart   = 0.01
	keptForEach    = 200 // 1/200 of a limit
)

// sharing finds which part of a budget is this process' own when others use the same key, from nothing but what the answers tell. Remaining falls by
// everybody's calls. Where it falls faster than evenly over the window, all who share it shrink in proportion; where it falls slower, all grow by the
// same amount. So large parts shrink more than small ones and grow no more, and the parts become equal (the rule by which TCP connections share a
// link); what one does not use goes to the others.
type sharing struct {
	part    float64   // of what remains, above 0 and up to 1
	since   time.Time // of the present look; zero where none has begun
	first   float64   // what remained then
	last    float64   // the least that was told since
	answers float64   // to us since
}

// begin starts a look at what is used from now on. A zero time: with the next answer.
func (s *sharing) begin(now time.Time, remaining float64) {
	s.since, s.first, s.last, s.answers = now, remaining, remaining, 0
}

// kept is what stays unused of a limit, since what others have on their way is not in what was told last.
func (s *sharing) kept(limit float64) float64 {
	others := 1/s.part - 1 // that use about as much as we do
	return min(others*max(1, limit/keptForEach), limit/10)
}

// told takes what an answer tells to be left. Where that ends a look, it learns from it.
func (s *sharing) told(now time.Time, remaining float64, p *pool) {
	if s.since.IsZero() {
		s.begin(now, remaining)
		return
	}
	s.last = min(s.last, remaining)
	s.answers++
	length, left := now.Sub(s.since), p.reset.Sub(s.since)
	// Calls that have their place already will leave at the speed of before.
	if length < max(min(p.window/looksPerWindow, longestLook), shortestLook, 2*p.next.Sub(now)) {
		return
	}
	all := s.first - s.last
	even := min(s.first*float64(length)/float64(left), 2*float64(length)/float64(p.fastest(1)))
	if left <= 0 || max(all, even) < callsPerLook {
		return
	}
	switch {
	case all <= even:
		s.part = min(s.part+growth, 1)
	case s.answers < all*9/10: // else nobody else is there, and what is too much is a burst of our own
		s.part = max(s.part*max(even/all, 0.5), smallestPart)
	}
	s.begin(now, s.last)
}
