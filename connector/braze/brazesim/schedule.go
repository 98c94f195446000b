package brazesim

import (
	"container/heap"
	"context"
	"time"
)

// class says how a request's effect is timed.
type class uint8

const (
	classRead class = iota
	classWrite
	classDelete
)

// effect is a parsed request. All methods but class run under Server.mu.
type effect interface {
	class() class
	// register opens the identifiers that the request holds.
	register(s *Server, c *call)
	// answer is asked once, at the moment of the answer.
	answer(s *Server, c *call) *reply
	// apply changes the profiles and returns the data points spent.
	apply(s *Server, at time.Time) int
}

func (t *track) class() class { return classWrite }

// pending is an answered request whose effect is still to come.
type pending struct {
	due    time.Time
	seq    uint64
	key    string
	recs   []*record
	effect effect
}

type pendingHeap []*pending

func (h pendingHeap) Len() int           { return len(h) }
func (h pendingHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h pendingHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *pendingHeap) Push(x any)        { *h = append(*h, x.(*pending)) }
func (h *pendingHeap) Pop() any {
	old := *h
	p := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return p
}

// register notes which users a request holds from here to its answer.
func (s *Server) register(c *call, eff effect, f *Fault) {
	if eff == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(time.Now())
	if t, ok := eff.(*track); ok && len(f.Items) > 0 {
		t.inject(f.Items)
	}
	eff.register(s, c)
}

// open adds an identifier to a request and counts it as an overlap if another request that holds it was open when this one arrived.
func (s *Server) open(c *call, r *record) {
	if r == nil || r.openedBy == c.seq {
		return
	}
	if r.open > 0 || r.closedAt > c.seq {
		s.counters.Overlaps++
		s.endpoint(keyOf(c.method, c.path)).Overlaps++
		s.violate(Violation{Kind: KindOverlap, ExternalID: r.id, Earlier: r.openedBy, Later: c.seq, Time: c.began})
	}
	r.open++
	r.openedBy = c.seq
	c.recs = append(c.recs, r)
	// The removal of a deprecated id changes nothing of the profile that it reached.
	if c.path != "/users/external_ids/remove" && r.deprecated && r.prof != nil {
		s.open(c, r.prof.rec)
	}
}

// take accepts a request: its effect happens now, or at a random moment that starts to run now, just before the answer leaves.
func (s *Server) take(c *call, eff effect) *reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.settle(now)
	r := eff.answer(s, c)
	if eff.class() == classRead || c.epoch != s.epoch {
		return r
	}
	p := &pending{seq: c.seq, key: keyOf(c.method, c.path), recs: c.recs, effect: eff}
	delay := s.cfg.ApplyDelay
	if eff.class() == classDelete {
		delay = s.cfg.DeleteDelay
	}
	if delay == 0 {
		s.run(p)
		return r
	}
	p.due = now.Add(1 + time.Duration(s.random.Int64N(int64(delay))))
	heap.Push(&s.queue, p)
	if s.queue[0] == p {
		s.arm(now)
	}
	return r
}

// settle applies what is due. It also runs before each request is looked at, so that a late timer never makes an effect late: a request
// that arrives after a moment sees everything due by then.
func (s *Server) settle(now time.Time) {
	ran := false
	for len(s.queue) > 0 && !s.queue[0].due.After(now) {
		s.run(heap.Pop(&s.queue).(*pending))
		ran = true
	}
	if ran {
		s.arm(now)
		s.wakeIdle()
	}
}

// arm sets the timer to the next effect.
func (s *Server) arm(now time.Time) {
	if len(s.queue) == 0 {
		return
	}
	wait := s.queue[0].due.Sub(now)
	if s.timer == nil {
		s.timer = time.AfterFunc(wait, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			now := time.Now()
			s.settle(now)
			s.arm(now)
		})
		return
	}
	s.timer.Reset(wait)
}

// run applies one request and notes the users for whom a later one was applied before.
func (s *Server) run(p *pending) {
	refused, _ := p.effect.(*rename)
	for _, r := range p.recs {
		if refused != nil && !refused.touches(r) {
			continue
		}
		if r.applied > p.seq {
			s.counters.Reordered++
			s.endpoint(p.key).Reordered++
			s.violate(Violation{Kind: KindReordered, ExternalID: r.id, Earlier: p.seq, Later: r.applied, Time: s.cfg.Now()})
		}
		r.applied = max(r.applied, p.seq)
	}
	points := p.effect.apply(s, s.cfg.Now())
	s.counters.DataPoints += points
	s.endpoint(p.key).DataPoints += points
	if t, ok := p.effect.(*track); ok {
		t.free()
	}
}

// close ends a request: its users are free from here on, just before the answer leaves.
func (s *Server) close(c *call, status int, answer []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock++
	for _, r := range c.recs {
		r.open--
		r.closedAt = s.clock
	}
	if c.epoch != s.epoch {
		return
	}
	s.count(c, status)
	s.log.add(Request{Seq: c.seq, Time: c.began, Method: c.method, Path: c.path, Status: status, Body: c.body, Answer: answer, Note: c.note},
		s.cfg.LogRequests, s.cfg.LogBytes)
}

func (s *Server) violate(v Violation) {
	const most = 1000
	if len(s.violations) < most {
		s.violations = append(s.violations, v)
	}
}

// wakeIdle tells those who wait for quiet.
func (s *Server) wakeIdle() {
	if s.inflight > 0 || len(s.queue) > 0 {
		return
	}
	for _, ch := range s.idle {
		close(ch)
	}
	s.idle = nil
}

// Quiet waits until no request is open and every accepted one has been applied. It returns ctx's error if that ends first.
func (s *Server) Quiet(ctx context.Context) error {
	s.mu.Lock()
	s.settle(time.Now())
	if s.inflight == 0 && len(s.queue) == 0 {
		s.mu.Unlock()
		return nil
	}
	ch := make(chan struct{})
	s.idle = append(s.idle, ch)
	s.mu.Unlock()
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
