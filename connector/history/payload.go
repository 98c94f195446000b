package history

import (
	"errors"
	"time"

	"brazecdc/connector"
)

// What is kept of payloads, in memory alone.
const (
	Payloads   = 1000 // the newest of all users
	MaxWatched = 20   // users at once
	WatchFor   = time.Hour
)

const (
	maxPayload = 16 << 10 // bytes; a longer one is not kept
	ofWatched  = 200      // payloads of one watched user
)

// ErrWatched says that no other user can be watched now.
var ErrWatched = errors.New("20 users are watched already; one is let go an hour after it was begun, or by hand")

// payloads are the values that went to Braze last. A number names each; the ring begins anew with each start, at a number that no start before had.
type payloads struct {
	base    uint64
	n       uint64
	ring    [Payloads]payload
	watched map[connector.User]*watched
}

type payload struct {
	number uint64
	user   connector.User
	b      []byte
}

// watched is a user whose payloads are all kept.
type watched struct {
	until time.Time
	kept  []payload // oldest first
}

func (p *payloads) begin(now time.Time) { p.base = uint64(now.UnixMicro()) }

// keep keeps what an entry sent, or would have, and gives its number; 0 where nothing was to be sent.
func (p *payloads) keep(e *connector.Ending) uint64 {
	if e.Call == nil || len(e.Sent) == 0 && e.Event == nil {
		return 0
	}
	p.n++
	slot := &p.ring[p.n%Payloads]
	slot.number, slot.user = p.base+p.n, e.User
	slot.b = appendPayload(slot.b[:0], e)
	if len(slot.b) > maxPayload {
		slot.b = nil
	}
	if len(p.watched) > 0 {
		if w := p.watched[e.User]; w != nil && e.At.Before(w.until) && slot.b != nil {
			if len(w.kept) >= ofWatched {
				w.kept = append(w.kept[:0], w.kept[1:]...)
			}
			w.kept = append(w.kept, payload{number: slot.number, b: append([]byte(nil), slot.b...)})
		}
	}
	return slot.number
}

func appendPayload(b []byte, e *connector.Ending) []byte {
	b = append(b, '{')
	if e.Event != nil {
		return append(append(b, e.Event.JSON...), '}')
	}
	for i := range e.Sent {
		f := &e.Sent[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, f.Def.JSON...), f.JSON...)
	}
	return append(b, '}')
}

// find gives a copy of a payload, nil where it is no more.
func (p *payloads) find(u connector.User, number uint64) []byte {
	if number <= p.base {
		return nil
	}
	if slot := &p.ring[(number-p.base)%Payloads]; slot.number == number && slot.b != nil {
		return append([]byte(nil), slot.b...)
	}
	if w := p.watched[u]; w != nil {
		for i := range w.kept {
			if w.kept[i].number == number {
				return append([]byte(nil), w.kept[i].b...)
			}
		}
	}
	return nil
}

// forget takes a user's payloads out.
func (p *payloads) forget(u connector.User) {
	delete(p.watched, u)
	for i := range p.ring {
		if p.ring[i].user == u {
			clear(p.ring[i].b[:cap(p.ring[i].b)])
			p.ring[i] = payload{}
		}
	}
}

// watches tells whether a user's payloads are all kept.
func (p *payloads) watches(u connector.User) bool { return len(p.watched) > 0 && p.watched[u] != nil }

// sweep lets go who has been watched long enough.
func (p *payloads) sweep(now time.Time) {
	for u, w := range p.watched {
		if !now.Before(w.until) {
			delete(p.watched, u)
		}
	}
}

// Watch keeps all payloads of a user from now on, for an hour.
func (s *Store) Watch(u connector.User) error {
	now := s.cfg.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.payload.sweep(now)
	if w := s.payload.watched[u]; w != nil {
		w.until = now.Add(WatchFor)
		return nil
	}
	if len(s.payload.watched) >= MaxWatched {
		return ErrWatched
	}
	if s.payload.watched == nil {
		s.payload.watched = map[connector.User]*watched{}
	}
	s.payload.watched[u] = &watched{until: now.Add(WatchFor)}
	return nil
}

// Unwatch ends that, and drops what was kept for it.
func (s *Store) Unwatch(u connector.User) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.payload.watched, u)
}

// Watched tells until when a user is watched, zero where it is not.
func (s *Store) Watched(u connector.User) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.payload.sweep(s.cfg.Now())
	if w := s.payload.watched[u]; w != nil {
		return w.until
	}
	return time.Time{}
}
