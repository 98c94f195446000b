package connector

import "time"

// Tracer makes traces of batches and calls. It is nil where nobody traces: the pipeline asks for that once a batch and once a call, never for a row. Its methods
// may be called concurrently and must not wait.
type Tracer interface {
	// Read tells of a batch that came at a time and has room now; what it gives stands for the batch from then on.
	Read(b *Batch, came time.Time) TraceRef
	// Mapped tells that the batch's changes wait for their calls.
	Mapped(of TraceRef, began time.Time)
	// Called tells of a call that carried changes of some batches, each once.
	Called(c TracedCall)
	// Confirmed tells that everything up to these positions was recorded, which began at a time, and confirmed.
	Confirmed(positions []Position, began time.Time)
}

// TraceRef stands for a batch in its traces.
type TraceRef any

// TracedCall is one call and how it ended.
type TracedCall struct {
	Endpoint string
	Objects  int
	Began    time.Time
	From     []TraceRef
	Err      error // nil where all objects were accepted
}

// traced tells of a call of some flights.
func (s *sender) traced(batch []flight, objects int, began time.Time, err error) {
	tr := s.p.cfg.Tracer
	if tr == nil {
		return
	}
	c := TracedCall{Endpoint: s.p.endpointName(s.e.kind), Objects: objects, Began: began, Err: err}
	met := map[*ticket]bool{}
	for i := range batch {
		for _, st := range batch[i].all() {
			for _, h := range st.shares {
				if h.t.trace != nil && !met[h.t] {
					met[h.t] = true
					c.From = append(c.From, h.t.trace)
				}
			}
		}
	}
	tr.Called(c)
}

// traceConfirmed tells of positions that were confirmed.
func (p *Pipeline) traceConfirmed(positions []Recorded, began time.Time) {
	if p.cfg.Tracer == nil || len(positions) == 0 {
		return
	}
	all := make([]Position, len(positions))
	for i := range positions {
		all[i] = positions[i].Position
	}
	p.cfg.Tracer.Confirmed(all, began)
}

// endpointName names where effects of a kind go, as far as the sink tells.
func (p *Pipeline) endpointName(k Kind) string {
	if named, ok := p.sink.(endpointNamer); ok {
		return named.EndpointOf(k)
	}
	return k.String()
}

// traceTime is the time where somebody traces.
func (p *Pipeline) traceTime() (now time.Time) {
	if p.cfg.Tracer != nil {
		now = time.Now()
	}
	return now
}
