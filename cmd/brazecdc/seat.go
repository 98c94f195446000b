package main

import (
	"context"
	"sync"
	"time"
)

// vacancy is why no app sits.
type vacancy struct {
	state  string // of the process: starting, reloading, stopped
	reason string
	final  bool // nobody comes by itself
	code   int  // exit code of the stop after which nobody comes
}

// seat holds the app that works and lends it to whoever asks. It is empty while one goes and another comes, so that nobody asks an app that is closing.
// It may be used concurrently.
type seat struct {
	mu      sync.Mutex
	app     *app
	lent    int
	back    chan struct{} // closed when the last one that was lent came back; nil while nobody waits for that
	changed chan struct{} // closed when somebody sits down, or the vacancy changes
	empty   vacancy
}

func newSeat(v vacancy) *seat { return &seat{changed: make(chan struct{}), empty: v} }

// lend gives the app, nil where none sits. done gives it back; it may be called once.
func (s *seat) lend() (a *app, done func(), v vacancy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.app == nil {
		return nil, func() {}, s.empty
	}
	s.lent++
	return s.app, s.giveBack, vacancy{}
}

func (s *seat) giveBack() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lent--; s.lent == 0 && s.back != nil {
		close(s.back)
		s.back = nil
	}
}

// await is lend that waits for an app where one will come, until ctx ends.
func (s *seat) await(ctx context.Context) (a *app, done func(), v vacancy) {
	for {
		changed := s.change()
		if a, done, v = s.lend(); a != nil || v.final {
			return a, done, v
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, func() {}, v
		}
	}
}

// change is closed when somebody sits down, gets up, or the vacancy changes.
func (s *seat) change() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// take seats an app.
func (s *seat) take(a *app) { s.set(a, vacancy{}) }

// vacate empties the seat and waits until whoever was lent the app gave it back, or for patience: then they meet closed parts, which answer with errors.
func (s *seat) vacate(v vacancy, patience time.Duration) {
	back := s.set(nil, v)
	if back == nil {
		return
	}
	wait := time.NewTimer(patience)
	defer wait.Stop()
	select {
	case <-back:
	case <-wait.C:
	}
}

func (s *seat) set(a *app, v vacancy) (back chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a == nil && s.lent > 0 {
		if s.back == nil {
			s.back = make(chan struct{})
		}
		back = s.back
	}
	s.app, s.empty = a, v
	close(s.changed)
	s.changed = make(chan struct{})
	return back
}
