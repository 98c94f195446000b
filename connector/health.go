package connector

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	stallAfter = 60 * time.Second // a loop without a sign of life
	stuckAfter = 90 * time.Second // a position that does not move while something is open
)

// Live tells whether the loops tick; it asks neither Postgres nor Braze, since a restart mends neither.
func (p *Pipeline) Live() (ok bool, reasons []string) {
	now := time.Now()
	for i, name := range []string{"reader", "committer"} {
		last := p.beats[i].Load()
		if last == 0 || now.Sub(time.Unix(0, last)) < stallAfter {
			continue
		}
		if i == 0 && (p.inNext.Load() || p.heldBack()) {
			continue
		}
		reasons = append(reasons, fmt.Sprintf("%s: no sign of life for %d s", name, int(now.Sub(time.Unix(0, last)).Seconds())))
	}
	return len(reasons) == 0, reasons
}

func (p *Pipeline) heldBack() bool {
	p.tracker.mu.Lock()
	defer p.tracker.mu.Unlock()
	return p.tracker.waiting || !p.tracker.heldSince.IsZero()
}

// Ready tells whether the pipeline does its work: connected, key accepted, position moving where there is something to move, no stop pending. Paused
// models and rate limits are ready.
func (p *Pipeline) Ready() (ok bool, reasons []string) {
	switch state, _ := p.state.Load().(string); state {
	case "running":
	default:
		reasons = append(reasons, "process: "+state)
	}
	if err := p.stopped(); err != nil {
		reasons = append(reasons, "stop: "+err.Error())
	}
	h := p.source.Health()
	if !h.Connected {
		why := h.Waiting
		if why == "" {
			why = h.Err
		}
		reasons = append(reasons, "source: not connected: "+why)
	}
	now := time.Now()
	_, _, _, streams := p.tracker.state()
	for _, s := range streams {
		if !s.Open.IsZero() && now.Sub(s.Moved) > stuckAfter && now.Sub(s.Open) > stuckAfter {
			reasons = append(reasons, fmt.Sprintf("position: %s has not moved for %d s while changes wait", s.Stream, int(now.Sub(s.Moved).Seconds())))
		}
	}
	return len(reasons) == 0, reasons
}

// Status gives a snapshot of figures and words. It may be called at any time by any goroutine.
func (p *Pipeline) Status() Status {
	state, _ := p.state.Load().(string)
	st := Status{State: state, Since: time.Unix(0, p.since.Load()), Source: p.source.Health(), Sink: p.sink.Health(), Parked: map[string]int{}}
	st.OpenChanges, st.OpenBytes, _, st.Streams = p.tracker.state()
	now := time.Now()
	for _, s := range st.Streams {
		if !s.Open.IsZero() && !p.isLoad(s.Stream) {
			st.LagSeconds = max(st.LagSeconds, now.Sub(s.Open).Seconds())
		}
	}
	p.queue.count(&st)
	counts := p.journal.Quarantine().Counts()
	for i := range p.models {
		st.Models = append(st.Models, p.modelStatus(i, counts))
	}
	p.care.mu.Lock()
	st.Held = p.care.held.n
	for _, l := range p.care.loads {
		st.Loads = append(st.Loads, p.loadStatus(l))
	}
	p.care.mu.Unlock()
	slices.SortFunc(st.Loads, func(a, b LoadState) int { return a.Started.Compare(b.Started) })
	for _, n := range counts {
		st.Quarantine += n
	}
	if _, reasons := p.Ready(); state == "running" && len(reasons) > 0 {
		st.State, st.Reasons = "degraded", reasons
	}
	for _, c := range p.Pending() {
		st.Reasons = append(st.Reasons, c.Text)
		if st.State == "running" {
			st.State = "degraded"
		}
	}
	return st
}

func (p *Pipeline) isLoad(stream string) bool { return strings.HasPrefix(stream, loadStream) }

func (p *Pipeline) modelStatus(i int, counts map[[2]string]int64) ModelStatus {
	m, c := &p.models[i], &p.metrics.Models[i]
	st := ModelStatus{Name: m.Name, Table: m.Table, Changes: map[string]uint64{}, Sent: map[string]uint64{}, Suppressed: c.Suppressed.Load(),
		Coalesced: c.Coalesced.Load(), Late: c.Late.Load(), Points: p.metrics.Points.Of(i), Proven: p.proven[i].Load()}
	for op := Insert; op <= Snapshot; op++ {
		st.Changes[op.String()] = c.Changes[op].Load()
	}
	for k := range c.Sent {
		st.Sent[Kind(k).String()] = c.Sent[k].Load()
	}
	for key, n := range counts {
		if key[0] == m.Name {
			st.Quarantine += n
		}
	}
	if next := p.planned[i].Load(); next != nil {
		st.NextResync, st.MissedResync, st.MissedWhy = next.at, next.missed, next.why
	}
	p.care.mu.Lock()
	if x := p.care.paused[i]; x != nil {
		st.Paused = x.Reason
	}
	st.Held = p.care.held.count(m.Name)
	if b := p.care.brakes[i]; b != nil {
		st.Braked = b.count(time.Now()) >= b.limit() && p.care.held.waits[heldKind{m.Name, PauseBrake}].n > 0
	}
	p.care.mu.Unlock()
	return st
}

// count adds the queue's figures to a status.
func (q *queue) count(st *Status) {
	q.mu.Lock()
	defer q.mu.Unlock()
	st.Waiting = q.steps
	for reason, n := range q.waits {
		if n > 0 {
			st.Parked[waitNames[reason]] = n
		}
	}
}

// Held gives how long reading was held back because the caps were reached.
func (p *Pipeline) Held() time.Duration {
	_, _, held, _ := p.tracker.state()
	return held
}
