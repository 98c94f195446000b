package connector

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
)

// rememberedRows is a Source without loads, whose models' schedules go over the rows that the store remembers: chunks of them come out of Next among the
// batches of the stream, as those of a table's load do. A chunk is looked for only when the reader asks for the next batch, and its rows are read when it maps
// them: all that was handed out before is in the queues then, so nothing older overtakes anything newer. Of a run that a stop cut off all rows are looked at
// again: what was sent of them is known.
type rememberedRows struct {
	Source
	p *Pipeline

	mu   sync.Mutex
	runs []*rememberedRun // in the order they began
	from map[string]uint64
	turn bool // a chunk came last, so that the stream comes first
	live context.Context
	stop context.CancelFunc // ends a Next of the stream that waits, since a run begins
}

// rememberedRun is one run over the rows of a model. But for the reader's own members they are guarded by rememberedRows.mu.
type rememberedRun struct {
	load  Load
	model int
	held  bool
	share int
	over  bool

	chunk  uint64
	rows   int64
	ready  []Batch           // of a chunk that came from several partitions
	pass   map[string]string // the streams of this pass, by partition; nil between passes
	passed map[string]string // those that were gone over while they were ours
	place  []byte
	given  time.Time // when the last chunk was handed out
	next   time.Time // not before
}

const (
	rememberedChunk = 500
	// rememberedOpen is how many rows of a run may be open at once: fewer than those at which reading waits for the senders.
	rememberedOpen = enoughReady / 2
	// rememberedPause is how often a run looks whether there is room again.
	rememberedPause = 10 * time.Millisecond
	// rememberedStream is how long the stream is asked between two chunks.
	rememberedStream = time.Millisecond
	// joinPatience is how long a run waits for the first partitions of its process.
	joinPatience = time.Minute
	// joinSettles is how long after the last one more may come.
	joinSettles = 3 * time.Second
)

var _ LoadControl = (*rememberedRows)(nil)

func newRememberedRows(s Source, p *Pipeline) *rememberedRows {
	return &rememberedRows{Source: s, p: p, from: map[string]uint64{}}
}

// Open implements Source: the loads that an earlier run left begin again.
func (s *rememberedRows) Open(ctx context.Context, start Start) (Opened, error) {
	loads := start.Loads
	start.Loads = nil
	s.mu.Lock()
	for _, r := range start.Recorded {
		s.from[r.Position.Stream] = r.Position.Offset
	}
	s.mu.Unlock()
	o, err := s.Source.Open(ctx, start)
	if err != nil {
		return o, err
	}
	for _, l := range loads {
		l.Cursor, l.Rows = nil, 0
		if err := s.StartLoad(ctx, l); err != nil {
			return o, err
		}
	}
	return o, nil
}

// StartLoad implements Source. It knows the runs of a schedule alone.
func (s *rememberedRows) StartLoad(ctx context.Context, l Load) error {
	c := s.p.care
	c.mu.Lock()
	st := c.loads[l.ID]
	scheduled := st != nil && st.Resync != nil && st.Resync.Scheduled
	c.mu.Unlock()
	model, ok := s.p.modelAt[l.Model]
	if !scheduled || !ok {
		return s.Source.StartLoad(ctx, l)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs = append(s.runs, &rememberedRun{load: l, model: model, share: l.Share, chunk: s.from[loadStream+l.ID], passed: map[string]string{}, given: time.Now()})
	if s.stop != nil {
		s.stop()
	}
	return nil
}

// HoldLoad implements LoadControl.
func (s *rememberedRows) HoldLoad(id string, hold bool) bool {
	return s.with(id, func(r *rememberedRun) { r.held = hold })
}

// PaceLoad implements LoadControl.
func (s *rememberedRows) PaceLoad(id string, share int) bool {
	return s.with(id, func(r *rememberedRun) { r.share = share })
}

// StopLoad implements LoadControl.
func (s *rememberedRows) StopLoad(id string) { s.with(id, func(r *rememberedRun) { r.over = true }) }

func (s *rememberedRows) with(id string, do func(*rememberedRun)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.runs {
		if r.load.ID == id {
			do(r)
			return true
		}
	}
	return false
}

// Next implements Source.
func (s *rememberedRows) Next(ctx context.Context) (Batch, error) {
	for {
		due, runs := s.due()
		if due != nil {
			b, ok, err := s.chunkOf(ctx, due)
			if err != nil {
				return Batch{}, err
			}
			if ok {
				return b, nil
			}
		}
		b, err, again := s.stream(ctx, runs)
		if !again {
			return b, err
		}
	}
}

// due gives a run whose turn it is; runs tells whether there is any.
func (s *rememberedRows) due() (due *rememberedRun, runs bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs = slices.DeleteFunc(s.runs, func(r *rememberedRun) bool { return r.over })
	if len(s.runs) == 0 {
		return nil, false
	}
	for _, r := range s.runs {
		if len(r.ready) > 0 { // nothing of the stream comes between the parts of a chunk
			return r, true
		}
	}
	if s.turn {
		s.turn = false
		return nil, true
	}
	now := time.Now()
	for i, r := range s.runs {
		if !r.held && !now.Before(r.next) && s.room(r) {
			s.runs = append(slices.Delete(s.runs, i, i+1), r) // the next one's turn comes
			return r, true
		}
	}
	return nil, true
}

// room tells whether what is open of a run leaves room for a chunk.
func (s *rememberedRows) room(r *rememberedRun) bool {
	open, bytes := s.p.tracker.openOf(loadStream + r.load.ID)
	return open == 0 || open+rememberedChunk <= min(rememberedOpen, s.p.cfg.OpenChanges/replayOpen) && bytes <= s.p.cfg.OpenBytes/replayOpen
}

// stream asks the source for the next batch: until a run begins, or where one is under way for a moment. again: that ended first.
func (s *rememberedRows) stream(ctx context.Context, runs bool) (b Batch, err error, again bool) {
	var asked context.Context
	if runs {
		wait := rememberedPause
		if s.waiting() {
			wait = rememberedStream
		}
		var cancel context.CancelFunc
		asked, cancel = context.WithTimeout(ctx, wait)
		defer cancel()
	} else {
		s.mu.Lock()
		if s.live == nil || s.live.Err() != nil {
			s.live, s.stop = context.WithCancel(ctx)
		}
		asked = s.live
		begun := len(s.runs) > 0
		s.mu.Unlock()
		if begun {
			return b, nil, true
		}
	}
	b, err = s.Source.Next(asked)
	return b, err, err != nil && ctx.Err() == nil && asked.Err() != nil
}

// waiting tells whether a run could go on at once.
func (s *rememberedRows) waiting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	return slices.ContainsFunc(s.runs, func(r *rememberedRun) bool { return !r.held && !now.Before(r.next) && s.room(r) })
}

// chunkOf gives the next batch of a run; ok is false where there is none yet.
func (s *rememberedRows) chunkOf(ctx context.Context, r *rememberedRun) (b Batch, ok bool, err error) {
	if len(r.ready) == 0 && !s.fill(r) {
		return b, false, nil
	}
	b, r.ready = r.ready[0], r.ready[1:]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn = true
	if b.Load.Done {
		r.over = true
	}
	return b, true, ctx.Err()
}

// fill reads the next chunk, one batch for each partition its rows came from. False: there is nothing to hand out now.
func (s *rememberedRows) fill(r *rememberedRun) bool {
	began := time.Now()
	m := &s.p.models[r.model]
	k := s.p.keeper()
	if k == nil || !s.p.memory.has(r.model) {
		s.batch(r, "", nil, true)
		return true
	}
	if r.pass == nil && !s.begin(r) {
		return len(r.ready) > 0
	}
	parts := map[string]bool{}
	for part := range r.pass {
		parts[part] = true
	}
	rows, next, err := k.RememberedRows(m.Name, r.place, parts, rememberedChunk)
	if err != nil {
		s.p.cacheFailed(err)
		s.batch(r, "", nil, true)
		return true
	}
	slices.SortStableFunc(rows, func(a, b RememberedRow) int { return cmp.Compare(a.Part, b.Part) })
	for len(rows) > 0 {
		n := 1
		for n < len(rows) && rows[n].Part == rows[0].Part {
			n++
		}
		s.batch(r, r.pass[rows[0].Part], rows[:n], false)
		rows = rows[n:]
	}
	if r.place = next; next == nil {
		s.end(r)
	}
	s.pace(r, began)
	return len(r.ready) > 0
}

// begin begins a pass over the partitions of this process that the run has not gone over. Where there is none the run is done, but at a start its partitions
// are still to come.
func (s *rememberedRows) begin(r *rememberedRun) bool {
	owned, quiet := s.p.ownedStreams()
	if !quiet || len(owned) == 0 && len(r.passed) == 0 && time.Since(r.given) < joinPatience {
		return false
	}
	r.pass = map[string]string{}
	for part, stream := range owned {
		if r.passed[part] != stream {
			r.pass[part] = stream
		}
	}
	if len(r.pass) == 0 {
		s.batch(r, "", nil, true)
		return false
	}
	return true
}

// end ends a pass. What was taken away meanwhile, even if it is back, is not gone over.
func (s *rememberedRows) end(r *rememberedRun) {
	owned, _ := s.p.ownedStreams()
	for part, stream := range r.pass {
		if owned[part] == stream {
			r.passed[part] = stream
		}
	}
	r.pass = nil
}

// pace keeps a run to its share of the time.
func (s *rememberedRows) pace(r *rememberedRun, began time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if r.share > 0 && r.share < 100 {
		took := max(now.Sub(r.given), now.Sub(began)) // with what its rows waited for
		r.next = now.Add(min(took, time.Minute) * time.Duration(100-r.share) / time.Duration(r.share))
	}
	r.given = now
}

// batch adds a batch of rows of one partition's stream.
func (s *rememberedRows) batch(r *rememberedRun, of string, rows []RememberedRow, done bool) {
	r.chunk++
	r.rows += int64(len(rows))
	b := Batch{Position: Position{Stream: loadStream + r.load.ID, Offset: r.chunk}, Of: of, Load: &LoadProgress{Load: r.load.ID, Rows: r.rows, Done: done}}
	b.Changes = make([]Change, len(rows))
	now := time.Now()
	for i := range rows {
		b.Changes[i] = Change{Key: rows[i].Key, Op: Snapshot, Time: now}
	}
	r.ready = append(r.ready, b)
}

// ownedStreams gives the streams of this process' partitions by partition. quiet is false where one was given to it a moment ago, so that more may come.
func (p *Pipeline) ownedStreams() (owned map[string]string, quiet bool) {
	c := p.care
	c.mu.Lock()
	defer c.mu.Unlock()
	owned = make(map[string]string, len(c.owned))
	for part, stream := range c.owned {
		owned[part] = stream
	}
	return owned, c.takingOver == 0 && time.Since(c.tookOver) > joinSettles
}

// missedAway has the schedules run again that ran, in part or as a whole, while a partition was away whose rows are still remembered: since it left, or where
// this process never had it, since that began. The lock of care is held.
func (p *Pipeline) missedAway(part string, left time.Time, was bool) {
	if p.memory == nil {
		return
	}
	if !was {
		left = p.began
	}
	topic := part[:max(strings.LastIndexByte(part, '/'), 0)]
	for _, i := range p.memory.models {
		m := &p.models[i]
		if !m.On(topic) {
			continue
		}
		for _, l := range p.care.loads {
			if l.Model == m.Name && l.Resync != nil && l.Resync.Scheduled && (l.Finished.After(left) || was && l.Finished.IsZero()) {
				p.missed[i].Store(true)
			}
		}
	}
}

// Recalled is how much a schedule of a topic can go over.
type Recalled struct {
	// Rows are remembered; Users are those that Braze was sent by the model. Where a user has one row, the others do not change by time before their next record.
	Rows  int64     `json:"rows"`
	Users int64     `json:"users"`
	At    time.Time `json:"counted_at,omitzero"`
}

// countRemembered counts what is remembered of a model's rows.
func (p *Pipeline) countRemembered(ctx context.Context, model int) Recalled {
	out := Recalled{At: time.Now()}
	k := p.keeper()
	if k == nil || !p.memory.has(model) {
		return out
	}
	name := p.models[model].Name
	var err error
	if out.Rows, err = k.CountRemembered(ctx, name); err == nil {
		if c, ok := p.cache().(UserCounter); ok {
			out.Users, err = c.Users(name, math.MaxInt64)
		}
	}
	if err != nil {
		if ctx.Err() == nil {
			p.log.Debug("count the rows that are remembered of a model", "model", name, "err", err)
		}
		return out
	}
	p.recalled[model].Store(&out)
	return out
}

// recallFirst is the pause before the second count of what is remembered, which grows to recallEvery: a start counts before it reads, and rows come fast then. Whoever
// was told that a replay fills what is missing looks again soon after it.
const recallFirst, recallEvery = 5 * time.Second, 10 * time.Minute

// countAllRemembered counts for status, until ctx ends.
func (p *Pipeline) countAllRemembered(ctx context.Context) {
	for wait := recallFirst; ; wait = min(4*wait, recallEvery) {
		for _, i := range p.memory.models {
			p.countRemembered(ctx, i)
		}
		if sleep(ctx, wait) != nil {
			return
		}
	}
}

// tellRemembered says what a scheduled run that begins cannot go over, once for as long as that stays the same.
func (p *Pipeline) tellRemembered(st *LoadState) {
	i := p.modelAt[st.Model]
	r := p.recalled[i].Load()
	if r == nil || p.told[i].Swap(r.Users-r.Rows) == r.Users-r.Rows || r.Users <= r.Rows {
		return
	}
	topic := "TOPIC"
	if p.models[i].Feeds == nil {
		topic = p.models[i].Table
	}
	p.log.Warn("the columns that the rules read are remembered of fewer rows than Braze was sent users: the others do not change by time before their next record; a replay of the topic fills what is missing",
		"model", st.Model, "count", r.Rows, "users", r.Users, "hint", "brazecdc replay --topic "+topic)
}
