package connector

import (
	"context"
	"time"
)

// maxGone bounds how many users that are gone are held at once. The rest of them is named by the next resync.
const maxGone = 50_000

// Census notes which of the users that the store knows by one model a load met. Saw may be called concurrently with all else.
type Census interface {
	// Saw notes users, in memory until Sync.
	Saw(users ...User)
	// Sync makes durable what was noted and gives how much there is of it.
	Sync() (noted int64, err error)
	// Gone calls fn for every known user that was not noted until it gives false.
	Gone(ctx context.Context, fn func(User) bool) error
	// Close ends the use and leaves the notes; Remove takes them away.
	Close() error
	Remove() error
}

// CensusTaker is a Fingerprints that can tell which of its users a load did not meet. Census opens the notes of a load by its name, or begins them;
// SweepCensuses removes those of other names.
type CensusTaker interface {
	Census(name, model string) (c Census, noted int64, err error)
	SweepCensuses(keep []string) error
}

// openCensus begins to note whom a load meets, where users that it does not meet are to be deleted: in a whole resync of a model that owns its users and
// deletes them.
func (p *Pipeline) openCensus(run *loadRun, st *LoadState) {
	m := &p.models[run.model]
	if run.remembered || !st.Counts(m) || st.Cancelled || !st.Finished.IsZero() && !st.Closing {
		return
	}
	taker, ok := p.cache().(CensusTaker)
	if _, names := p.mapper.(RowPicker); !ok || !names {
		return
	}
	census, noted, err := taker.Census(st.ID, m.Name)
	switch {
	case err != nil:
		p.log.Warn("who is gone at the source can't be told after this load", "model", m.Name, "err", err)
		return
	case noted < st.Met: // the store was lost, or is an old copy: everybody would seem gone
		p.log.Warn("what this load had noted of the users it met is lost, so who is gone at the source can't be told after it", "model", m.Name, "load", st.ID)
		_ = census.Remove() // what stays is swept at the next start
		return
	}
	run.census = census
}

// Counts tells whether the users that a load does not meet are gone at the source.
func (l *LoadState) Counts(m *ModelInfo) bool {
	return l.Resync != nil && l.Whole() && m.Deletes && m.PrintsAllowed
}

// saw notes the user of a row, whatever the model's rules say of the row.
func (p *Pipeline) saw(run *loadRun, r Row) {
	if run.census == nil || !r.Exists() {
		return
	}
	if u, ok := p.mapper.(RowPicker).RowUser(run.model, r); ok {
		run.census.Saw(u)
	}
}

// sawLive notes the users of a live change while a load counts them.
func (p *Pipeline) sawLive(c *Change, effects []Effect) {
	if p.loads.counted.Load() == 0 {
		return
	}
	for _, run := range p.loads.all() {
		if run.census == nil || !p.models[run.model].On(c.Key.Table) {
			continue
		}
		p.saw(run, c.After)
		for i := range effects {
			switch e := &effects[i]; {
			case e.Model != run.model:
			case e.Kind == Track:
				run.census.Saw(e.User)
			case e.Kind == Rename:
				run.census.Saw(e.User, e.To)
			}
		}
	}
}

// holdGone holds the deletes of users that the store knows and a load did not meet.
func (p *Pipeline) holdGone(ctx context.Context, run *loadRun, st *LoadState) error {
	m := &p.models[run.model]
	p.care.mu.Lock()
	paused := p.care.paused[run.model] != nil
	p.care.mu.Unlock()
	if paused { // the table was emptied meanwhile, and nobody is deleted for that
		p.log.Warn("who is gone at the source is not told: the model is paused", "model", m.Name)
		return nil
	}
	var gone []User
	st.Gone = 0
	err := run.census.Gone(ctx, func(u User) bool {
		gone = append(gone, u)
		return len(gone) < maxGone
	})
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p.log.Warn("who is gone at the source can't be told", "model", m.Name, "err", err)
		return nil
	}
	held := p.putGone(run.model, gone)
	st.Gone = int64(len(held))
	if len(held) > 0 {
		if err := p.pend.durable(ctx, func(r *Record) {
			for _, h := range held {
				r.held(h)
			}
		}); err != nil {
			return err
		}
	}
	if st.Gone > 0 {
		p.log.Warn("users that Braze was sent are gone at the source; nobody is deleted before `brazecdc confirm`", "model", m.Name, "held", st.Gone)
	}
	return nil
}

// putGone holds the deletes of users, but of those who have something on its way and those whose delete is held or was answered already.
func (p *Pipeline) putGone(model int, gone []User) (held []HeldDelete) {
	m := &p.models[model]
	c, q := p.care, p.queue
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, u := range gone {
		if w := q.users[u]; w != nil && (w.busy || len(w.steps) > 0 || w.settling()) {
			continue
		}
		if _, ok := c.held.of[u]; ok {
			continue
		}
		h := HeldDelete{User: u, Model: m.Name, Key: Key{Table: m.Table}, Reason: PauseGone, At: now}
		c.held.put(h)
		held = append(held, h)
	}
	c.refresh()
	return held
}
