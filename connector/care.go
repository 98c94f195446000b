package connector

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// care is what keeps changes from going out by themselves: paused models, deletes that wait for a person, deletes and renames that were done already; and
// what loads and quarantine know of rows. Maps are guarded by mu; the counters let the row path pass without it.
type care struct {
	models []ModelInfo

	mu      sync.Mutex
	paused  map[int]*Pause // models whose changes count as done
	holding map[int]*Pause // models whose deletes wait for confirm, since data/ was lost
	held    map[User]HeldDelete
	done    map[User][]DoneID     // deletes and renames that an earlier run delivered, and the record's position has not passed yet
	last    map[string]uint64     // by stream, the newest of them
	loads   map[string]*LoadState // running or finished, by ID
	entries map[rowKey]uint64     // open quarantine entries
	// entryPart is the partition of entries that have one.
	entryPart map[uint64]string
	owned     map[string]bool // partitions of this process
	noProof   map[User]bool
	stale     bool

	anyPaused, anyHeld, anyDone, anyEntries, anyNoProof atomic.Bool
}

const (
	pauseTruncate = "truncate"
	pauseLost     = "lost data"
)

func newCare(models []ModelInfo) *care {
	return &care{models: models, paused: map[int]*Pause{}, holding: map[int]*Pause{}, held: map[User]HeldDelete{}, done: map[User][]DoneID{}, last: map[string]uint64{},
		loads: map[string]*LoadState{}, entries: map[rowKey]uint64{}, entryPart: map[uint64]string{}, owned: map[string]bool{}, noProof: map[User]bool{}}
}

// refresh sets the flags of what there is. The lock is held.
func (c *care) refresh() {
	c.anyPaused.Store(len(c.paused) > 0)
	c.anyHeld.Store(len(c.held) > 0 || len(c.holding) > 0)
	c.anyDone.Store(len(c.done) > 0)
	c.anyEntries.Store(len(c.entries) > 0)
	c.anyNoProof.Store(len(c.noProof) > 0)
}

// loadModel gives the model of a load, -1 for one that was given up, and whether it sends NULLs.
func (c *care) loadModel(id string) (model int, nulls bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.loads[id]
	if l == nil {
		return -1, false
	}
	for i, m := range c.models {
		if m.Name == l.Model {
			return i, l.Nulls
		}
	}
	return -1, false
}

// pass takes out the effects of paused models, which count as done and make the model stale.
func (c *care) pass(effects []Effect, p *Pipeline) []Effect {
	if !c.anyPaused.Load() {
		return effects
	}
	c.mu.Lock()
	kept := effects[:0]
	for i := range effects {
		if pause := c.paused[effects[i].Model]; pause != nil {
			pause.Stale++
			c.stale = true
			continue
		}
		kept = append(kept, effects[i])
	}
	c.mu.Unlock()
	return kept
}

// takeStale puts the counts of passed-over changes into a record that is written anyway.
func (c *care) takeStale(rec *Record) {
	if !c.anyPaused.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stale {
		return
	}
	c.stale = false
	for _, pause := range c.paused {
		rec.Paused = append(rec.Paused, *pause)
	}
}

// alreadyDone tells whether an earlier run delivered this effect: a delete or rename that it remembers, or anything that came before one of the same
// user. To send such an older change again would bring a deleted profile back, or make one under the old name.
func (c *care) alreadyDone(s *step) bool {
	if !c.anyDone.Load() {
		return false
	}
	r := s.rows[0]
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.done[s.user] {
		if d.Stream == Lasting(r.stream) && d.covers(r, s, c.models[r.model].Name) {
			return true
		}
	}
	return false
}

// covers tells whether an effect is the remembered one or older. Within one transaction only changes of one table have an order; of another table's, what
// starts a profile counts as newer.
func (d DoneID) covers(r rowRef, s *step, model string) bool {
	id := r.change.ID
	switch {
	case d.Kind == Track: // an event, which says nothing of others
		return s.event != nil && id == d.ID && r.key.Table == d.Table && d.Model == model
	case id.Commit != d.ID.Commit:
		return id.Commit < d.ID.Commit
	case r.key.Table == d.Table:
		return id.N < d.ID.N || id.N == d.ID.N && (s.kind == d.Kind || d.Kind == DeleteUser)
	}
	return !s.creates
}

// forgetDone drops what a stream's recorded position has passed: it does not come again. It tells whether that was the last of it.
func (c *care) forgetDone(positions []Recorded) (all bool) {
	if !c.anyDone.Load() {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range positions {
		name := Lasting(p.Position.Stream)
		if last, ok := c.last[name]; ok && p.Position.Offset > last {
			c.undo(name)
		}
	}
	c.refresh()
	return len(c.done) == 0
}

// undo forgets what was done of a stream. The lock is held.
func (c *care) undo(name string) {
	if _, ok := c.last[name]; !ok {
		return
	}
	delete(c.last, name)
	for u, ds := range c.done {
		ds = slices.DeleteFunc(ds, func(d DoneID) bool { return d.Stream == name })
		if c.done[u] = ds; len(ds) == 0 {
			delete(c.done, u)
		}
	}
}

// join prepares a new step by what is known of its row and user: it takes along what a quarantined change of the row left undelivered, and trusts no
// before-image where nobody knows what Braze holds. A held delete of the user ends with a row of the owner that comes again.
func (c *care) join(s *step, p *Pipeline) {
	if !c.anyEntries.Load() && !c.anyNoProof.Load() && !c.anyHeld.Load() {
		return
	}
	if s.event != nil || s.user.Kind == Item {
		return // an entry of its row is of another event, and items go whole
	}
	r := s.rows[0]
	c.mu.Lock()
	id, open := c.entries[rowKey{r.model, r.key}]
	s.noProof = s.noProof || c.noProof[s.user]
	_, held := c.held[s.user]
	if held && s.owner && s.kind == Track && s.creates {
		delete(c.held, s.user)
		c.refresh()
	} else {
		held = false
	}
	c.mu.Unlock()
	if held {
		undelete(s, p.models)
		p.pend.add(func(rec *Record) { rec.released(s.user) })
	}
	if open && s.kind != Rename {
		s.noProof = true
		s.entries = append(s.entries, id)
		if s.kind == Track {
			p.takeAlong(s, id)
		}
	}
}

// joinLate is join for entries that an earlier step of the same user became while this one waited.
func (c *care) joinLate(s *step, p *Pipeline) {
	if !c.anyEntries.Load() || s.event != nil {
		return
	}
	var ids []uint64
	c.mu.Lock()
	for _, r := range s.rows {
		if id, open := c.entries[rowKey{r.model, r.key}]; open && !slices.Contains(s.entries, id) {
			ids = append(ids, id)
		}
	}
	c.mu.Unlock()
	for _, id := range ids {
		// An entry without an effect is of a change that could not be mapped, which may be newer than what waits here.
		if e, err := p.journal.Quarantine().Entry(id); err == nil && e.Effect != nil && e.Effect.User == s.user {
			s.noProof = true
			s.entries = append(s.entries, id)
			p.takeAlong(s, id)
		}
	}
}

// takeAlong folds the fields of a quarantined change of the same row and user under a newer one.
func (p *Pipeline) takeAlong(s *step, id uint64) {
	e, err := p.journal.Quarantine().Entry(id)
	if err != nil || e.Closed != "" || e.Effect == nil || e.Effect.Kind != Track || e.Effect.User != s.user {
		return
	}
	old := p.restore(e.Effect)
	s.fields = foldFields(old.fields, s.fields, true)
	s.creates = s.creates || old.creates
}

// hold keeps a delete in data/ instead of sending it, where the model waits for a person. It tells whether it did.
func (p *Pipeline) hold(f *flight) bool {
	c := p.care
	if f.s.kind != DeleteUser || !c.anyHeld.Load() {
		return false
	}
	r := f.s.rows[0]
	c.mu.Lock()
	pause := c.holding[r.model]
	if pause == nil {
		c.mu.Unlock()
		return false
	}
	h := HeldDelete{User: f.s.user, Model: c.models[r.model].Name, Key: r.key, Reason: pause.Reason, At: time.Now(), Part: PartOf(r.stream)}
	c.held[f.s.user] = h
	c.refresh()
	c.mu.Unlock()
	p.pend.addThen(func(rec *Record) { rec.Held = append(rec.Held, h) }, f.s.shares, nil)
	p.seen(f.s, nil, "held", pause.Reason)
	p.ids.release(f.s)
	q := p.queue
	q.mu.Lock()
	f.u.busy = false
	q.steps--
	q.schedule(f.u, time.Now())
	q.signal()
	q.mu.Unlock()
	return true
}

// truncated pauses every model of an emptied table. The change is done once the pause is durable.
func (p *Pipeline) truncated(ch *Change, t *ticket) {
	c := p.care
	var pauses []Pause
	c.mu.Lock()
	for i := range c.models {
		m := &c.models[i]
		if m.On(ch.Key.Table) && c.paused[i] == nil {
			pause := &Pause{Model: m.Name, Reason: pauseTruncate, At: ch.Time}
			c.paused[i] = pause
			pauses = append(pauses, *pause)
		}
	}
	c.refresh()
	c.mu.Unlock()
	for _, x := range pauses {
		p.log.Warn("model paused: its table was emptied (TRUNCATE); nothing is deleted in Braze. `brazecdc confirm` loads it again", "model", x.Model, "table", ch.Key.Table)
		p.metrics.Models[p.modelAt[x.Model]].Changes[Truncate].Add(1)
	}
	p.pend.addThen(func(rec *Record) { rec.Paused = append(rec.Paused, pauses...) }, []share{{t, 1}}, nil)
}

// Heard takes in that another process of the group paused a model, or with nil that its pause ended. It may be called at any time by any goroutine.
func (p *Pipeline) Heard(model string, pause *Pause) {
	i, ok := p.modelAt[model]
	if !ok {
		return
	}
	c := p.care
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case pause == nil:
		delete(c.paused, i)
	case c.paused[i] == nil:
		c.paused[i] = pause
		p.log.Warn("model paused: another process met a TRUNCATE of its table; `brazecdc confirm` goes on, in any of them", "model", model)
	}
	c.refresh()
}

// loadsAdvanced notes how far loads have come. A finished one makes the before-images of its model proof.
func (p *Pipeline) loadsAdvanced(rec *Record, loads []LoadProgress) {
	if len(loads) == 0 {
		return
	}
	c := p.care
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range loads {
		st := c.loads[l.Load]
		if st == nil || !st.Finished.IsZero() {
			continue
		}
		st.Cursor, st.Rows = l.Cursor, l.Rows
		if l.Done {
			st.Finished = time.Now()
			i := p.modelAt[st.Model]
			p.unproven[i].Store(nil)
			p.proven[i].Store(true)
			p.log.Info("load finished", "model", st.Model, "rows", l.Rows, "duration", time.Since(st.Started).Round(time.Millisecond).String())
			rec.Models = append(rec.Models, p.modelState(i))
		}
		rec.Loads = append(rec.Loads, *st)
	}
}

// modelState is what data/ keeps of a model.
func (p *Pipeline) modelState(i int) ModelState {
	m := &p.models[i]
	st := ModelState{Name: m.Name, Hash: m.Hash, Proven: p.proven[i].Load(), Fields: map[string]uint64{}}
	for _, f := range m.Fields {
		st.Fields[f.Name] = f.Hash
		if p.fieldUnproven(i, f) {
			st.Unproven = append(st.Unproven, f.Name)
		}
	}
	return st
}
