package main

import (
	"sync"
	"sync/atomic"

	"brazecdc/connector"
)

const (
	stageRoom = 10_000 // observations waiting to be printed; more are counted, never waited for
	loadLines = 5      // of a load that are printed one by one
)

// stage prints what a narrator makes of a pipeline's observations, beside the pipeline and never holding it up.
type stage struct {
	t       terminal
	in      chan connector.Seen
	missed  atomic.Int64
	closing sync.Once
	done    chan struct{}
	flushed chan waitFor
	n       *narrator
	loaded  int // rows of loads seen
	quiet   int // of them not printed
}

func newStage(t terminal) *stage {
	return &stage{t: t, in: make(chan connector.Seen, stageRoom), done: make(chan struct{}), flushed: make(chan waitFor)}
}

// watch is a pipeline's Watch.
func (s *stage) watch(seen connector.Seen) {
	if seen.Effect == nil {
		return
	}
	select {
	case s.in <- seen:
	default:
		s.missed.Add(1)
	}
}

// waitFor asks for what was seen so far to be printed.
type waitFor struct {
	models []connector.ModelInfo // that count from then on; nil for the same
	done   chan struct{}
}

// start begins to print. Where it prints already, the models of another pipeline count for what is seen from then on.
func (s *stage) start(models []connector.ModelInfo) {
	if s.n != nil {
		s.printed(models)
		return
	}
	s.n = &narrator{models: models, t: s.t}
	go func() {
		defer close(s.done)
		for {
			select {
			case seen, ok := <-s.in:
				if !ok {
					s.loadEnd()
					return
				}
				s.print(seen)
			case ack := <-s.flushed:
				for len(s.in) > 0 {
					s.print(<-s.in)
				}
				s.loadEnd()
				if ack.models != nil {
					s.n.models = ack.models
				}
				close(ack.done)
			}
		}
	}()
}

// flush waits until what was seen so far is printed.
func (s *stage) flush() { s.printed(nil) }

func (s *stage) printed(models []connector.ModelInfo) {
	ask := waitFor{models, make(chan struct{})}
	s.flushed <- ask
	<-ask.done
}

// close prints the rest and ends. The pipeline must have ended before.
func (s *stage) close() {
	s.closing.Do(func() {
		close(s.in)
		if s.n != nil {
			<-s.done
		}
	})
}

func (s *stage) print(seen connector.Seen) {
	if seen.Change != nil && seen.Change.Op == connector.Snapshot {
		if s.loaded++; s.loaded > loadLines {
			s.quiet++
			return
		}
	} else {
		s.loadEnd()
	}
	if line := s.n.line(seen); line != "" {
		s.t.printf("%s\n", line)
	}
	if n := s.missed.Swap(0); n > 0 {
		s.t.printf("%s\n", s.t.faint("… and more of the same"))
	}
}

func (s *stage) loadEnd() {
	if s.quiet > 0 {
		s.t.printf("%s\n", s.t.faint("… and the rest of the load, without lines of its own"))
		s.quiet = 0
	}
}
