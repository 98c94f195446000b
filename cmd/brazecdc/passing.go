package main

import (
	"bytes"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/control"
)

const (
	passingKept  = 50
	passingFor   = time.Minute           // after the last question
	passingEvery = 40 * time.Millisecond // one of the changes that pass in that time is kept
)

// passing keeps a sample of the changes that pass, while somebody looks. It never holds a sender up: what comes while another is being noted is let go.
type passing struct {
	models []connector.Model
	now    func() time.Time
	until  atomic.Int64 // nanoseconds since 1970
	last   atomic.Int64

	mu   sync.Mutex
	list []control.Passed
	n    uint64
}

func newPassing(models []connector.Model) *passing { return &passing{models: models, now: time.Now} }

// watched tells whether somebody asked of late.
func (p *passing) watched() bool { return p.now().UnixNano() < p.until.Load() }

// watch is a pipeline's Watch.
func (p *passing) watch(s connector.Seen) {
	if !p.watched() {
		return
	}
	now, last := s.At.UnixNano(), p.last.Load()
	if now-last < int64(passingEvery) || !p.last.CompareAndSwap(last, now) || !p.mu.TryLock() {
		return
	}
	defer p.mu.Unlock()
	p.n++
	if p.list = append(p.list, p.entry(s)); len(p.list) > passingKept {
		p.list = p.list[1:]
	}
}

// entry is an observation in words, without values.
func (p *passing) entry(s connector.Seen) control.Passed {
	e := control.Passed{N: p.n, At: s.At, Result: s.Outcome, Reason: s.Reason, Took: s.Latency}
	if s.Change != nil {
		e.Op = s.Change.Op.String()
	}
	if s.Effect == nil {
		e.Model = p.modelOf(s.Change)
		return e
	}
	e.Kind = s.Effect.Kind.String()
	if m := s.Effect.Model; m >= 0 && m < len(p.models) {
		e.Model = p.models[m].Name
	}
	for i := range s.Effect.Fields {
		if f := &s.Effect.Fields[i]; !f.Omit || !bytes.Equal(f.JSON, []byte("null")) {
			e.Fields = append(e.Fields, f.Def.Name)
		}
	}
	return e
}

// modelOf names the model of a change that became no effect, where it is the only one of its table.
func (p *passing) modelOf(c *connector.Change) (name string) {
	if c == nil {
		return ""
	}
	for i := range p.models {
		if p.models[i].Relation() != c.Key.Table {
			continue
		}
		if name != "" {
			return ""
		}
		name = p.models[i].Name
	}
	return name
}

// Passed implements control.Watches.
func (p *passing) Passed(_ context.Context, after uint64) ([]control.Passed, error) {
	p.until.Store(p.now().Add(passingFor).UnixNano())
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.list {
		if p.list[i].N > after {
			return append([]control.Passed(nil), p.list[i:]...), nil
		}
	}
	return nil, nil
}

// watcher sees what a pipeline does.
type watcher struct {
	see func(connector.Seen) // nil: nobody watches
	now func() bool          // tells whether somebody watches at this moment; nil: always
}

// joined makes one Watch of two; a watcher of nothing is left out.
func joined(first watcher, second func(connector.Seen)) func(connector.Seen) {
	if first.see == nil {
		return second
	}
	return func(s connector.Seen) {
		first.see(s)
		second(s)
	}
}

// watching is a pipeline's Watching for both.
func watching(first watcher, p *passing) func() bool {
	switch {
	case first.see == nil:
		return p.watched
	case first.now == nil:
		return nil
	}
	return func() bool { return first.now() || p.watched() }
}
