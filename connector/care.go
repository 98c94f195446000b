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
	held    heldSet
	brakes  []*brake              // by model; nil where nothing holds its deletes back
	done    map[User][]DoneID     // deletes and renames that an earlier run delivered, and the record's position has not passed yet
	last    map[string]uint64     // by stream, the newest of them
	loads   map[string]*LoadState // running or finished, by ID
	steered map[string]bool       // of them, those that somebody paused or gave up since the last record
	entries map[rowKey]uint64     // open quarantine entries
	// entryPart is the partition of entries that have one.
	entryPart map[uint64]string
	owned     map[string]string    // partitions of this process, with the stream of each
	leftAt    map[string]time.Time // those that went away, and when
	// takingOver is how many are being taken over, tookOver when the last one was.
	takingOver int
	tookOver   time.Time
	noProof    map[User]bool
	retrying   map[uint64]bool // entries whose events are being sent
	stale      bool

	anyPaused, anyHeld, anyDone, anyEntries, anyNoProof atomic.Bool
	anyBrakes                                           bool // set once
}

func newCare(models []ModelInfo) *care {
	c := &care{models: models, paused: map[int]*Pause{}, holding: map[int]*Pause{}, held: newHeldSet(), done: map[User][]DoneID{}, last: map[string]uint64{},
		loads: map[string]*LoadState{}, steered: map[string]bool{}, entries: map[rowKey]uint64{}, entryPart: map[uint64]string{}, owned: map[string]string{}, leftAt: map[string]time.Time{}, noProof: map[User]bool{}, retrying: map[uint64]bool{},
		brakes: make([]*brake, len(models))}
	for i := range models {
		c.brakes[i] = newBrake(&models[i])
		c.anyBrakes = c.anyBrakes || c.brakes[i] != nil
	}
	return c
}

// refresh sets the flags of what there is. The lock is held.
func (c *care) refresh() {
	c.anyPaused.Store(len(c.paused) > 0)
	c.anyHeld.Store(len(c.held.of) > 0)
	c.anyDone.Store(len(c.done) > 0)
	c.anyEntries.Store(len(c.entries) > 0)
	c.anyNoProof.Store(len(c.noProof) > 0)
}

// dropEntry forgets an open quarantine entry of a row, unless another one took its place. The lock is held.
func (c *care) dropEntry(k rowKey, id uint64) {
	if c.entries[k] == id {
		delete(c.entries, k)
	}
	delete(c.entryPart, id)
}

// loadRun gives a load whose rows count, nil for one that was given up.
func (c *care) loadRun(id string, p *Pipeline) *loadRun {
	c.mu.Lock()
	l := c.loads[id]
	over := l == nil || !l.Finished.IsZero()
	c.mu.Unlock()
	if over {
		return nil
	}
	return p.loads.get(id)
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
// user. To send such an older change again would bring a deleted profile back, or make one under the old name. Of a rename, refused tells that Braze did not
// take it then, and that nothing has come after it yet.
func (c *care) alreadyDone(s *step) (done, refused bool) {
	if !c.anyDone.Load() {
		return false, false
	}
	r := s.rows[0]
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.done[s.user] {
		switch {
		case d.Stream != Lasting(r.stream) || !d.covers(r, s, c.models[r.model].Name):
		case d.Refused && s.kind == Rename && d.ID == r.change.ID:
			refused = true
		default:
			return true, false
		}
	}
	if s.kind != Rename {
		return false, false
	}
	// Whoever got the name has been deleted or renamed since, so that this had ended before, though it may have been refused: Braze may have had nobody of the old
	// name. It may have somebody now, who would be renamed to what is no row's name any more.
	for _, d := range c.done[s.to] {
		if d.Stream == Lasting(r.stream) && d.Kind != Track && d.after(r) {
			return true, false
		}
	}
	return false, refused
}

// after tells whether what is remembered came after a change, for sure.
func (d DoneID) after(r rowRef) bool {
	id := r.change.ID
	return id.Commit < d.ID.Commit || id.Commit == d.ID.Commit && r.key.Table == d.Table && id.N < d.ID.N
}

// covers tells whether an effect is the remembered one or older. Within one transaction only changes of one table have an order; of another table's, what
// starts a profile counts as newer.
func (d DoneID) covers(r rowRef, s *step, model string) bool {
	id := r.change.ID
	switch {
	case d.Kind == Track: // an event, which says nothing of others
		return s.event != nil && r.key.Table == d.Table && d.Model == model && (d.Row == 0 && id == d.ID || d.Row != 0 && d.Row == rowHash(r.key))
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
	if s.kind == Rename && c.noProof[s.user] { // nobody knows either what Braze holds under the new name
		c.noProof[s.to] = true
	}
	id, open := c.entries[rowKey{r.model, r.key}]
	s.noProof = s.noProof || c.noProof[s.user]
	held := false
	if s.owner && s.kind == Track && s.creates {
		_, held = c.held.take(s.user)
		c.refresh()
	}
	c.mu.Unlock()
	if held {
		undelete(s, p.models)
		s.release = true // data/ keeps it until the row was accepted: after a stop before that the row comes again
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

// truncated pauses every model of an emptied table. The change is done once the pause is durable.
func (p *Pipeline) truncated(ch *Change, t *ticket) {
	c := p.care
	var pauses []Pause
	c.mu.Lock()
	for i := range c.models {
		m := &c.models[i]
		if m.On(ch.Key.Table) && c.paused[i] == nil {
			pause := &Pause{Model: m.Name, Reason: PauseTruncate, At: ch.Time}
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
	if pause != nil {
		p.memory.forget(i)
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
	if next := p.planned[i].Load(); next != nil {
		st.Next, st.Schedule = next.at, next.name
	}
	return st
}
