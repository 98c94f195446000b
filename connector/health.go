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

// Loop is one of the goroutines that the pipeline lives by.
type Loop struct {
	Name string
	Beat time.Time // its last sign of life; zero before the first
	OK   bool
}

// Loops tells how the loops do. One that waits for the source, or at the limits, does well.
func (p *Pipeline) Loops() []Loop {
	now := time.Now()
	out := make([]Loop, 0, len(p.beats))
	for i, name := range []string{"reader", "committer"} {
		l := Loop{Name: name, OK: true}
		if last := p.beats[i].Load(); last != 0 {
			l.Beat = time.Unix(0, last)
			l.OK = now.Sub(l.Beat) < stallAfter || i == 0 && (p.inNext.Load() || p.heldBack())
		}
		out = append(out, l)
	}
	return append(out, p.senderLoop(now))
}

// Live tells whether the loops tick; it asks neither Postgres nor Braze, since a restart mends neither.
func (p *Pipeline) Live() (ok bool, reasons []string) {
	for _, l := range p.Loops() {
		if !l.OK {
			reasons = append(reasons, fmt.Sprintf("%s: no sign of life for %d s", l.Name, int(time.Since(l.Beat).Seconds())))
		}
	}
	return len(reasons) == 0, reasons
}

func (p *Pipeline) heldBack() bool {
	p.tracker.mu.Lock()
	defer p.tracker.mu.Unlock()
	return p.tracker.waiting || !p.tracker.heldSince.IsZero()
}

// Check is one thing that Ready looks at.
type Check struct {
	Name string `json:"name"` // process, stop, source, braze, position, store
	OK   bool   `json:"ok"`
	Text string `json:"text"`
}

// Checks tells each thing that readiness means: connected, key accepted, position moving where there is something to move, store writable, no stop pending.
// Paused models, brakes and rate limits are ready, and so is a process that waits because another one works.
func (p *Pipeline) Checks() []Check {
	h, now := p.source.Health(), time.Now()
	state, _ := p.state.Load().(string)
	standby := h.Standby && state == "starting"
	process, source := Check{"process", state == "running", state}, Check{"source", h.Connected, "connected"}
	switch {
	case standby:
		process = Check{"process", true, "standby"}
		source = Check{"source", true, h.Waiting}
	case !h.Connected:
		source.Text = "not connected: " + h.Waiting
		if h.Waiting == "" {
			source.Text = "not connected: " + h.Err
		}
	case !h.Since.IsZero():
		source.Text = fmt.Sprintf("connected for %s", now.Sub(h.Since).Round(time.Second))
	}
	stop, store := Check{"stop", true, "none pending"}, Check{"store", true, "writable"}
	braze := Check{"braze", true, "no call yet"}
	if last := p.sink.Health().LastSuccess; !last.IsZero() {
		braze.Text = fmt.Sprintf("last accepted call %s ago", now.Sub(last).Round(time.Second))
	}
	if err := p.stopped(); err != nil {
		stop = Check{"stop", false, err.Error()}
		switch ExitCode(err) {
		case ExitKeyRefused, ExitEndpointWrong:
			braze = Check{"braze", false, "it refuses the calls"}
		case ExitStoreLocked, ExitDiskFull:
			store = Check{"store", false, "it can't be written"}
		}
	}
	return []Check{process, stop, source, braze, p.moves(now), store}
}

// Ready tells whether all of Checks are well, and which are not.
func (p *Pipeline) Ready() (ok bool, reasons []string) {
	for _, c := range p.Checks() {
		if !c.OK {
			reasons = append(reasons, c.Name+": "+c.Text)
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
	if st.Source.Standby && state == "starting" {
		st.State, st.Reasons = "standby", []string{st.Source.Waiting}
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
	st.Remembered = p.recalled[i].Load()
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
