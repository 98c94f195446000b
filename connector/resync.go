package connector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Resync says what a load brings again of a table whose rows were brought before.
type Resync struct {
	Where  string   `json:"where,omitempty"`  // a rule in the language of the mapping; a row that it is not true for is left out
	Fields []string `json:"fields,omitempty"` // only these; empty: all
	All    bool     `json:"all_values"`       // also what Braze is known to have; else only what differs from it
	// Scheduled: nobody asked for it but the model's schedule.
	Scheduled bool `json:"scheduled"`
}

// ResyncRequest asks for a resync of a model.
type ResyncRequest struct {
	Model string
	Keys  []string // Key.ID of the only rows; empty: all
	// ClearNulls sends the NULLs of all rows. Without it only those go of which Braze is known to hold a value.
	ClearNulls bool
	Resync
}

// ResyncPlan is what a resync means at most.
type ResyncPlan struct {
	Rows  int64 // about how many are read; -1 where the source cannot tell
	Calls int64 // to Braze, if all of them were sent; -1 likewise
	// Whole: whole rows go, since nothing is known of what Braze has.
	Whole bool
	// Counts: users that are gone at the source are named at its end.
	Counts bool
}

// RowPicker is a Mapper that also picks rows by an expression and names their users. Its methods, and the functions they give, may be called concurrently.
type RowPicker interface {
	// RowFilter compiles a rule over the rows of a model. What it gives tells whether the rule is true for a row; an error says that it could not be told.
	// A row that lacks a column which the rule reads is picked.
	RowFilter(model int, rule string) (func(Row) (bool, error), error)
	// RowUser gives the user of a living row, whatever filter and delete_when say of it; ok is false where it names none.
	RowUser(model int, r Row) (u User, ok bool)
}

var errNoLoad = errors.New("no load of this model is under way")

// PlanResync checks a request and tells what it means. Nothing is begun.
func (p *Pipeline) PlanResync(ctx context.Context, q ResyncRequest) (ResyncPlan, error) {
	st, err := p.resyncState(q)
	if err != nil {
		return ResyncPlan{}, err
	}
	m := &p.models[p.modelAt[q.Model]]
	plan := ResyncPlan{Rows: p.rowsToLoad(ctx, &st), Calls: -1, Whole: q.All || !m.PrintsAllowed, Counts: st.Counts(m)}
	if plan.Rows >= 0 {
		n := int64(max(1, p.sink.Limits(m.Rows).Objects))
		plan.Calls = (plan.Rows + n - 1) / n
	}
	return plan, nil
}

// resyncState checks a request and makes the load that it asks for.
func (p *Pipeline) resyncState(q ResyncRequest) (st LoadState, err error) {
	i, ok := p.modelAt[q.Model]
	if !ok {
		var names []string
		for _, m := range p.models {
			names = append(names, m.Name)
		}
		return st, fmt.Errorf("no model %q in the configuration; it has %v", q.Model, names)
	}
	m := &p.models[i]
	if m.Happens {
		return st, fmt.Errorf("model %q cannot be synced again: its rows are events, and what happened once is sent once", m.Name)
	}
	if _, ok := p.source.(LoadControl); !ok {
		return st, fmt.Errorf("resync %s: %w", m.Name, ErrNoLoads)
	}
	if m.Rows == PutItem && len(q.Fields) > 0 {
		return st, fmt.Errorf("model %q: an item of a catalog is replaced as a whole, so that single fields of it can't be sent", m.Name)
	}
	q.Keys = slices.Compact(slices.Sorted(slices.Values(q.Keys)))
	st = LoadState{Load: Load{ID: loadID(m.Name), Model: m.Name, Table: m.Table, Keys: q.Keys}, Started: time.Now(), Estimate: -1, Nulls: q.ClearNulls, Resync: &q.Resync}
	run := &loadRun{model: i}
	return st, p.pickRows(run, st.Resync)
}

// Resync begins to bring the rows of a model again, beside the stream. It goes on after a restart.
func (p *Pipeline) Resync(ctx context.Context, q ResyncRequest) (LoadState, error) {
	return p.resync(ctx, q, nil)
}

func (p *Pipeline) resync(ctx context.Context, q ResyncRequest, and func(*Record)) (LoadState, error) {
	st, err := p.resyncState(q)
	if err != nil {
		return st, err
	}
	c := p.care
	c.mu.Lock()
	paused := c.paused[p.modelAt[q.Model]]
	c.mu.Unlock()
	if paused != nil {
		return st, fmt.Errorf("model %q is paused (%s); `brazecdc confirm %s` goes on and loads it again", q.Model, paused.Reason, q.Model)
	}
	if st, err = p.beginLoad(ctx, st, and); err != nil {
		return st, err
	}
	p.log.Info("resync begins; changed attributes, new e-mail addresses and new users can start campaigns in Braze", "model", st.Model, "load", st.ID, "count", st.Estimate,
		"where", st.Resync.Where != "", "keys", len(st.Keys), "fields", strings.Join(st.Resync.Fields, ","), "all_values", st.Resync.All, "scheduled", st.Resync.Scheduled)
	return st, p.pend.durable(ctx, func(*Record) {})
}

// PauseLoad holds the load of a model that is under way, also over restarts, or goes on with it. What was read of it is delivered.
func (p *Pipeline) PauseLoad(ctx context.Context, model string, pause bool) (LoadState, error) {
	control, ok := p.source.(LoadControl)
	if !ok {
		return LoadState{}, fmt.Errorf("the loads of model %q can't be paused: %w", model, ErrNoLoads)
	}
	c := p.care
	c.mu.Lock()
	st, err := c.underWay(model)
	if err != nil {
		c.mu.Unlock()
		return LoadState{}, err
	}
	was := st.Paused
	st.Paused = pause
	now := *st
	c.mu.Unlock()
	if !control.HoldLoad(now.ID, pause) && !pause {
		// An earlier run paused it, and this one has not begun it.
		if run := p.loads.get(now.ID); run != nil {
			run.restart(now.Rows)
		}
		if err := p.source.StartLoad(ctx, now.Load); err != nil {
			c.mu.Lock()
			st.Paused = was
			c.mu.Unlock()
			return now, fmt.Errorf("go on with the load of model %q: %w", model, err)
		}
	}
	return now, p.keepLoad(ctx, now.ID)
}

// loadShares are the speeds of a load in percent of what Braze and live changes leave, the slowest first.
var loadShares = []int{10, 25, 50, 100}

// PaceLoad makes the load of a model that is under way a step slower, or faster, also over restarts.
func (p *Pipeline) PaceLoad(ctx context.Context, model string, faster bool) (LoadState, error) {
	control, ok := p.source.(LoadControl)
	if !ok {
		return LoadState{}, fmt.Errorf("the loads of model %q have no speed of their own: %w", model, ErrNoLoads)
	}
	c := p.care
	c.mu.Lock()
	st, err := c.underWay(model)
	if err != nil {
		c.mu.Unlock()
		return LoadState{}, err
	}
	step := slices.Index(loadShares, cmp.Or(st.Share, 100))
	if faster {
		step++
	} else {
		step--
	}
	share := loadShares[min(max(step, 0), len(loadShares)-1)]
	if share == 100 {
		share = 0
	}
	if st.Share != share {
		st.Share = share
		if run := p.loads.get(st.ID); run != nil {
			run.restart(st.Rows) // what is left is told from the new speed
		}
	}
	now := *st
	c.mu.Unlock()
	control.PaceLoad(now.ID, share) // where it is paused, its share counts once it goes on
	return now, p.keepLoad(ctx, now.ID)
}

// underWay gives the load of a model that can still be steered. The lock is held.
func (c *care) underWay(model string) (*LoadState, error) {
	if st := c.running(model); st != nil && !st.Closing {
		return st, nil
	}
	return nil, fmt.Errorf("model %q: %w", model, errNoLoad)
}

// keepLoad puts a load into the next record as it is then, and waits for that: a record that came before may know more of it than who asks.
func (p *Pipeline) keepLoad(ctx context.Context, id string) error {
	p.care.mu.Lock()
	p.care.steered[id] = true
	p.care.mu.Unlock()
	return p.pend.durable(ctx, func(*Record) {})
}

// takeLoads puts the loads that somebody steered into a record.
func (c *care) takeLoads(rec *Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := range c.steered {
		delete(c.steered, id)
		if st := c.loads[id]; st != nil {
			rec.Loads = append(rec.Loads, *st)
		}
	}
}

// CancelLoad gives up the load of a model that is under way. What was read of it is delivered, and marks are taken away.
func (p *Pipeline) CancelLoad(ctx context.Context, model string) (LoadState, error) {
	c := p.care
	c.mu.Lock()
	st, err := c.underWay(model)
	if err != nil {
		c.mu.Unlock()
		return LoadState{}, err
	}
	run := p.loads.get(st.ID)
	st.giveUp(time.Now())
	if run != nil {
		st.Sent, st.Same = run.sent.Load(), run.same.Load()
		st.Closing = run.mark != nil
	}
	now := *st
	c.mu.Unlock()
	if control, ok := p.source.(LoadControl); ok {
		control.StopLoad(now.ID)
	}
	switch {
	case now.Closing:
		p.loads.ends(now.ID)
	case run != nil:
		p.loads.drop(now.ID)
		run.discard()
	}
	p.log.Info("load cancelled", "model", model, "load", now.ID, "count", now.Rows)
	return now, p.keepLoad(ctx, now.ID)
}

// overdue tells whether what need not be sent has to be after all, since Braze is known to hold something else: a NULL in a resync, and a rule's
// unsubscribed, whose user may have been subscribed by an earlier row.
func (s *step) overdue(f *Field, know knowledge) bool {
	resynced := s.from != nil && s.from.again && isNull(f.JSON)
	if !resynced && (f.Def.Group == "" || isNull(f.JSON)) {
		return false
	}
	known, ok := know.prints(f.Def.Model)
	return ok && len(printsIn(known, f.Def)) > 0 && !samePrints(known, f)
}
