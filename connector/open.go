package connector

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// open puts what an earlier run left into place, opens the source, and begins or continues loads.
func (p *Pipeline) open(ctx context.Context) error {
	st := p.journal.State()
	if !st.New {
		// Requests of the last run may still be on their way inside Braze.
		p.queue.notBefore = at(time.Now().Add(p.cfg.UserGap))
	}
	p.restoreState(st)
	start := Start{Recorded: st.Positions, Creating: p.creating}
	tables := map[string]bool{}
	for _, m := range p.models {
		if !tables[m.Table] {
			tables[m.Table] = true
			start.Tables = append(start.Tables, m.Table)
		}
	}
	if err := p.dropStaleCache(st); err != nil {
		return err
	}
	start.Loads = p.resumeLoads(st)
	opened, err := p.source.Open(ctx, start)
	if err != nil {
		return err
	}
	p.log.Info("source opened", "note", opened.Note, "fresh", opened.Fresh)
	p.topics = opened.Shared
	for i := range p.models {
		p.estimate(ctx, i, false)
	}
	rec := &Record{}
	p.checkModels(ctx, st, opened, rec)
	if err := p.journal.Apply(ctx, rec); err != nil {
		return err
	}
	p.care.mu.Lock()
	p.care.refresh()
	var begin []LoadState // those of start.Loads were begun by Open
	for _, l := range p.care.loads {
		if l.Finished.IsZero() && !l.Paused && !slices.ContainsFunc(start.Loads, func(o Load) bool { return o.ID == l.ID }) {
			begin = append(begin, *l)
		}
	}
	p.care.mu.Unlock()
	for _, l := range begin {
		p.log.Info("load begins; changed attributes, new e-mail addresses and new users can start campaigns in Braze", "model", l.Model, "table", l.Table, "count", l.Rows)
		run, err := p.runLoad(&l)
		if err != nil {
			return err
		}
		p.loads.put(run)
		if err := p.source.StartLoad(ctx, l.Load); err != nil {
			return fmt.Errorf("start the load of model %q: %w", l.Model, err)
		}
	}
	return nil
}

// creating notes that a slot is about to be made. Without the note a stop between the making and the first record would look like a loss of data/.
func (p *Pipeline) creating(ctx context.Context, stream string) error {
	return p.journal.Apply(ctx, &Record{Positions: []Recorded{{Position: Position{Stream: stream}}}})
}

// dropStaleCache forgets a cache that covers less than what was recorded: it may be an old copy, or its last writes were lost. Beside a data/ that has no record
// at all nothing tells whether it is one.
func (p *Pipeline) dropStaleCache(st *State) error {
	if p.cfg.Prints == nil {
		return nil
	}
	covered := map[string]uint64{}
	for _, c := range p.cfg.Prints.Covered() {
		covered[c.Stream] = c.Offset
	}
	if st.New && len(covered) > 0 {
		return p.dropCache("data/ is new, and nothing tells how old cache/ is: it is dropped; that costs calls")
	}
	for _, r := range st.Positions {
		if covered[r.Position.Stream] >= r.Position.Offset {
			continue
		}
		return p.dropCache("cache/ covers less than the record and is dropped; that costs calls", "stream", r.Position.Stream)
	}
	return nil
}

func (p *Pipeline) dropCache(why string, about ...any) error {
	p.log.Warn(why, about...)
	if err := p.cfg.Prints.Drop(""); err != nil {
		return fmt.Errorf("drop the cache: %w", err)
	}
	p.metrics.dropped[DropStale].Add(1)
	p.cacheLost = true
	return nil
}

// restoreState fills the pipeline's memory from data/.
func (p *Pipeline) restoreState(st *State) {
	c := p.care
	c.mu.Lock()
	c.install(st)
	for _, x := range st.Paused {
		if i, ok := p.modelAt[x.Model]; ok {
			if x.Reason == PauseLost {
				c.holding[i] = &x
			} else {
				c.paused[i] = &x
			}
		}
	}
	for _, l := range st.Loads {
		if _, ok := p.modelAt[l.Model]; ok {
			c.loads[l.ID] = &l
		}
	}
	if users, err := p.journal.Quarantine().NoProof(); err == nil {
		for _, u := range users {
			c.noProof[u] = true
		}
	}
	if len(p.journal.Quarantine().Counts()) > 0 {
		f := EntryFilter{Limit: 1000}
		for {
			entries, err := p.journal.Quarantine().List(f)
			if err != nil || len(entries) == 0 {
				break
			}
			for i := range entries {
				e := &entries[i]
				if _, shared := p.journal.(SharedJournal); !shared || PartOf(e.Stream) == "" {
					c.installEntry(e)
				}
				f.After = e.ID
			}
		}
	}
	c.installBrakes(st.Brakes)
	p.resumeHeld(st.Held)
	c.mu.Unlock()

	p.restoreUsers(st)
}

// install adds what was done and what is held back. The lock is held.
func (c *care) install(st *State) {
	for _, d := range st.Done {
		c.done[d.User] = append(c.done[d.User], d)
		c.last[d.Stream] = max(c.last[d.Stream], d.ID.Commit)
	}
	for _, h := range st.Held {
		c.held.put(h)
	}
}

// installEntry notes an open quarantine entry. The lock is held.
func (c *care) installEntry(e *Entry) {
	for i := range c.models {
		if c.models[i].Name == e.Model {
			c.entries[rowKey{i, e.Key}] = e.ID
			if part := PartOf(e.Stream); part != "" {
				c.entryPart[e.ID] = part
			}
		}
	}
}

// restoreUsers puts settling users with what waits for them into the queue, and the names that were renamed away.
func (p *Pipeline) restoreUsers(st *State) {
	q := p.queue
	now := time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, id := range st.Renamed {
		q.renamed[id] = true
	}
	for _, s := range st.Settling {
		u := q.user(s.User)
		u.again, u.settle, u.from = true, at(s.Until), &settled{part: s.Part}
		if s.Waits != nil {
			step := p.restore(s.Waits)
			step.stored = true
			q.insertOlder(u, step)
			u.steps[0].stored = true // also where it folded under what another partition brought
		}
		if u.settle <= at(now) {
			u.settle = at(now.Add(time.Millisecond))
		}
		q.park(u, u.settle)
	}
}

// checkModels compares what data/ knows of the models with what they are now: which before-images are proof, which loads begin, and which deletes wait
// because data/ was lost.
func (p *Pipeline) checkModels(ctx context.Context, st *State, opened Opened, rec *Record) {
	known := map[string]ModelState{}
	for _, m := range st.Models {
		known[m.Name] = m
	}
	loaded := map[string]bool{}
	for _, l := range st.Loads {
		loaded[l.Model] = true
	}
	// A new slot: what happened while there was none is unknown. Of partitions, each has its own history: TakeOver sees to it.
	gap := !opened.Shared && (len(opened.Gaps) > 0 || opened.Fresh && !st.New)
	if gap {
		p.log.Warn("the slot is new, or the server's position is ahead of the recorded one: changes were never seen here. Nothing is taken as known; a resync finds what is missing", "streams", opened.Gaps)
		if p.cfg.Prints != nil {
			if err := p.cfg.Prints.Drop(""); err != nil {
				p.log.Warn("drop cache", "err", err)
			}
			p.metrics.dropped[DropGap].Add(1)
		}
	}
	for i := range p.models {
		m := &p.models[i]
		old, ok := known[m.Name]
		lost := st.New && !opened.Fresh && !opened.Shared
		if ok {
			p.sameFields(i, old)
			p.offerResync(i, old)
			if !old.Next.IsZero() {
				p.planned[i].Store(&planned{at: old.Next, name: old.Schedule})
			}
		}
		switch {
		case ok && old.Hash != m.Hash:
			p.log.Warn("the model's filter, mode or identifier changed: rows go whole until its next load; what the change lets in or keeps out comes with a resync", "model", m.Name,
				"hint", "brazecdc resync --model "+m.Name)
		case ok && old.Proven && !gap && p.cacheLost && !m.Owner:
			p.log.Warn("with the cache it is lost which users were deleted under the model's rows: rows go whole until its next resync", "model", m.Name, "hint", "brazecdc resync --model "+m.Name)
		case ok && old.Proven && !gap:
			p.proven[i].Store(true)
		}
		if lost {
			pause := &Pause{Model: m.Name, Reason: PauseLost, At: time.Now()}
			p.care.mu.Lock()
			p.care.holding[i] = pause
			p.care.mu.Unlock()
			rec.Paused = append(rec.Paused, *pause)
			p.log.Warn("the slot existed, and data/ holds nothing of it: changes are streamed, deletes wait, nothing is loaded, until `brazecdc confirm`", "model", m.Name)
		}
		if m.Load && !loaded[m.Name] && !lost && !ok {
			l := LoadState{Load: Load{ID: loadID(m.Name), Model: m.Name, Table: m.Table}, Started: time.Now(), Mark: p.markName(i)}
			l.Estimate = p.rowsToLoad(ctx, &l)
			p.care.mu.Lock()
			p.care.loads[l.ID] = &l
			p.care.mu.Unlock()
			rec.Loads = append(rec.Loads, l)
		}
		rec.Models = append(rec.Models, p.modelState(i))
	}
}

// offerResync says how users whom nothing changes get what the settings of fields say now.
func (p *Pipeline) offerResync(i int, old ModelState) {
	m := &p.models[i]
	var names []string
	for _, f := range m.Fields {
		if h, ok := old.Fields[f.Name]; !ok || h != f.Hash {
			names = append(names, f.Name)
		}
	}
	if len(names) == 0 || old.Hash != m.Hash {
		return
	}
	p.log.Info("fields are new, or their settings changed: a user gets them with the next change of its row; a resync brings them to all", "model", m.Name, "fields", names,
		"hint", "brazecdc resync --model "+m.Name+" --field "+strings.Join(names, " --field "))
}

// sameFields takes the proof from fields whose settings changed.
func (p *Pipeline) sameFields(i int, old ModelState) {
	changed := map[*FieldDef]bool{}
	was := map[string]bool{}
	for _, name := range old.Unproven {
		was[name] = true
	}
	for _, f := range p.models[i].Fields {
		if old.Fields[f.Name] != f.Hash || was[f.Name] {
			changed[f] = true
		}
	}
	p.unproven[i].Store(&changed)
}
