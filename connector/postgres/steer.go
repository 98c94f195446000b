package postgres

import "time"

// HoldLoad implements connector.LoadControl.
func (s *Source) HoldLoad(id string, hold bool) bool {
	return s.steer(id, func(l *load) { l.held = hold })
}

// PaceLoad implements connector.LoadControl.
func (s *Source) PaceLoad(id string, share int) bool {
	return s.steer(id, func(l *load) { l.pace.share = share })
}

// steer changes a load that runs; false where none of that id does.
func (s *Source) steer(id string, change func(*load)) bool {
	s.loads.mu.Lock()
	l := s.loads.by[id]
	s.loads.mu.Unlock()
	if l == nil {
		return false
	}
	l.mu.Lock()
	change(l)
	l.signal()
	l.mu.Unlock()
	return true
}

// StopLoad implements connector.LoadControl. Marks of the load that are still in the stream are passed over.
func (s *Source) StopLoad(id string) {
	s.loads.mu.Lock()
	l := s.loads.by[id]
	delete(s.loads.by, id)
	s.loads.mu.Unlock()
	if l != nil {
		l.stop()
	}
}

// pace is how much of the time a load works: somebody slowed it, so that live changes find more of Braze's limit. A slowed load has one chunk open at a time,
// a smaller one, and rests after it in proportion to how long that took until Braze had it.
type pace struct {
	share int // of the time, in percent; 0: all of it
	began time.Time
	took  time.Duration // of the last chunk, from its beginning until it was done
	ended time.Time
}

func (p *pace) slowed() bool { return p.share > 0 && p.share < 100 }

// works notes that a chunk begins.
func (p *pace) works(now time.Time) { p.began = now }

// rests notes that nothing of the load is open any more.
func (p *pace) rests(now time.Time) {
	if !p.began.IsZero() {
		p.took, p.ended, p.began = now.Sub(p.began), now, time.Time{}
	}
}

// before is how long the next chunk waits, with so many that are not done: 0 not at all, less than 0 until something changes.
func (p *pace) before(now time.Time, open uint64) time.Duration {
	switch {
	case !p.slowed():
		return 0
	case open > 0:
		return -1
	}
	rest := p.took * time.Duration(100-p.share) / time.Duration(p.share)
	return max(0, rest-now.Sub(p.ended))
}

// limit is how many rows a chunk has at most.
func (l *load) limit() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.s.cfg.ChunkRows
	if l.pace.slowed() {
		n = max(1, n*l.pace.share/100)
	}
	return n
}
