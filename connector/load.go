package connector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrLoadRuns: another load of the same model is under way. Two would send each row twice.
var ErrLoadRuns = errors.New("a load of this model is under way")

// loadStream begins the names of the streams of loads.
const loadStream = "load/"

// LoadControl is what a Source also does whose loads can be held and given up. Its methods may be called concurrently, at any time after Open.
type LoadControl interface {
	// HoldLoad makes a running load read no further chunks, or goes on with it; what was read comes out of Next. It is false where no such load runs.
	HoldLoad(id string, hold bool) bool
	// PaceLoad has a running load work that share of the time, as Load.Share says. It is false where no such load runs.
	PaceLoad(id string, share int) bool
	// StopLoad gives a load up. A chunk that was read may still come out of Next.
	StopLoad(id string)
}

// running gives the load of a model that is under way or whose end is still to be made. The lock of care is held.
func (c *care) running(model string) *LoadState {
	for _, l := range c.loads {
		if l.Model == model && l.Running() {
			return l
		}
	}
	return nil
}

// Running tells whether something of the load is still to come: its rows, or what its end brings.
func (l *LoadState) Running() bool { return l.Finished.IsZero() || l.Closing }

// runLoad makes what the reader and the senders need of a load. It opens the load's files, and goes on with them where an earlier run left them.
func (p *Pipeline) runLoad(st *LoadState) (*loadRun, error) {
	i, ok := p.modelAt[st.Model]
	if !ok {
		return nil, fmt.Errorf("no model %q in the configuration", st.Model)
	}
	run := &loadRun{id: st.ID, model: i, nulls: st.Nulls}
	_, run.remembered = p.source.(*rememberedRows)
	run.restart(st.Rows)
	run.sent.Store(st.Sent)
	run.same.Store(st.Same)
	if q := st.Resync; q != nil {
		run.again, run.all = true, q.All
		if err := p.pickRows(run, q); err != nil {
			return nil, err
		}
	}
	if err := p.openMarks(run, st); err != nil {
		return nil, err
	}
	p.openCensus(run, st)
	return run, nil
}

// pickRows compiles what a resync says of rows and fields.
func (p *Pipeline) pickRows(run *loadRun, q *Resync) error {
	m := &p.models[run.model]
	if len(q.Fields) > 0 {
		run.keep = map[*FieldDef]bool{}
		var names []string
		for _, d := range m.Fields {
			names = append(names, d.Name)
			if slices.Contains(q.Fields, d.Name) {
				run.keep[d] = true
			}
		}
		for _, name := range q.Fields {
			if !slices.Contains(names, name) {
				return fmt.Errorf("model %q has no field %q; it has %v", m.Name, name, names)
			}
		}
	}
	if q.Where == "" {
		return nil
	}
	picker, ok := p.mapper.(RowPicker)
	if !ok {
		return errors.New("this mapping cannot pick rows by an expression")
	}
	match, err := picker.RowFilter(run.model, q.Where)
	if err != nil {
		return fmt.Errorf("the expression %q: %w", q.Where, err)
	}
	run.match = match
	return nil
}

// beginLoad puts a load down durably and starts it. Finished loads of the model that came before are forgotten.
func (p *Pipeline) beginLoad(ctx context.Context, st LoadState, and func(*Record)) (_ LoadState, err error) {
	i := p.modelAt[st.Model]
	st.Mark = p.markName(i)
	if st.Estimate <= 0 {
		st.Estimate = p.rowsToLoad(ctx, &st)
	}
	run, err := p.runLoad(&st)
	if err != nil {
		return st, err
	}
	c := p.care
	c.mu.Lock()
	if other := c.running(st.Model); other != nil {
		c.mu.Unlock()
		run.discard()
		return st, fmt.Errorf("%w: %s, begun %s, %d rows read; wait for its end, or cancel it", ErrLoadRuns, other.ID, other.Started.Format(time.RFC3339), other.Rows)
	}
	old := c.oldLoads(st.Model)
	for _, id := range old {
		delete(c.loads, id)
	}
	mine := st
	c.loads[st.ID] = &mine
	c.mu.Unlock()
	p.loads.put(run)
	p.pend.add(func(r *Record) {
		r.DropLoads = append(r.DropLoads, old...)
		r.Loads = append(slices.DeleteFunc(r.Loads, func(o LoadState) bool { return slices.Contains(old, o.ID) }), st)
		r.Models = append(r.Models, p.modelState(i))
		if and != nil {
			and(r)
		}
	})
	if err := p.source.StartLoad(ctx, st.Load); err != nil {
		c.mu.Lock()
		delete(c.loads, st.ID)
		c.mu.Unlock()
		p.loads.drop(st.ID)
		run.discard()
		p.pend.add(func(r *Record) {
			r.Loads = slices.DeleteFunc(r.Loads, func(o LoadState) bool { return o.ID == st.ID })
			r.DropLoads = append(r.DropLoads, st.ID)
		})
		return st, fmt.Errorf("start the load of model %q: %w", st.Model, err)
	}
	return st, nil
}

// oldLoads gives the loads of a model that ended, but for the last one that succeeded. The lock of care is held.
func (c *care) oldLoads(model string) (old []string) {
	var last *LoadState
	for _, l := range c.loads {
		if l.Model == model && !l.Cancelled && (last == nil || l.Finished.After(last.Finished)) {
			last = l
		}
	}
	for id, l := range c.loads {
		if l.Model == model && l != last {
			old = append(old, id)
		}
	}
	return old
}

// discard takes the files of a load away that is over, or did not begin.
func (run *loadRun) discard() {
	if run.census != nil {
		_ = run.census.Remove() // what stays is swept at the next start
	}
	if run.list != nil {
		_ = run.list.Remove()
	}
}

// rowsToLoad is about how many rows a load reads; -1 where the source cannot tell.
func (p *Pipeline) rowsToLoad(ctx context.Context, st *LoadState) int64 {
	if len(st.Keys) > 0 {
		return int64(len(st.Keys))
	}
	if _, ok := p.source.(*rememberedRows); ok {
		return p.countRemembered(ctx, p.modelAt[st.Model]).Rows
	}
	if _, ok := p.source.(LoadControl); !ok {
		return -1
	}
	t, err := p.source.Describe(ctx, st.Table)
	if err != nil || t == nil || t.Rows < 0 {
		return -1
	}
	return t.Rows
}

// loadID names a new load.
func loadID(model string) string { return fmt.Sprintf("%s-%d", model, time.Now().UnixNano()/1000) }

// loadAgain begins a new load of a model, also where one was done before; one that runs ends. The users' profiles may exist, so it sends NULLs too.
// again says what is to be brought by a resync; nil: all, as a first load does.
func (p *Pipeline) loadAgain(ctx context.Context, i int, again *Resync) error {
	m := &p.models[i]
	p.proven[i].Store(false)
	if _, err := p.CancelLoad(ctx, m.Name); err != nil && !errors.Is(err, errNoLoad) {
		return err
	}
	if err := p.loadClosed(ctx, m.Name); err != nil {
		return err
	}
	_, err := p.beginLoad(ctx, LoadState{Load: Load{ID: loadID(m.Name), Model: m.Name, Table: m.Table}, Started: time.Now(), Estimate: -1, Nulls: true, Resync: again}, nil)
	return err
}

// loadClosed waits until nothing of a model's loads is under way.
func (p *Pipeline) loadClosed(ctx context.Context, model string) error {
	for {
		ended := p.loads.ended()
		p.care.mu.Lock()
		runs := p.care.running(model) != nil
		p.care.mu.Unlock()
		if !runs {
			return nil
		}
		select {
		case <-ended:
		case <-p.over:
			return ErrEnding
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// poll waits for a state that nobody announces.
func (p *Pipeline) poll(ctx context.Context, holds func() bool) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-p.over:
			return ErrEnding
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// resumeLoads prepares the loads that an earlier run left, and gives those that the source is to go on with.
func (p *Pipeline) resumeLoads(st *State) (resume []Load) {
	for _, l := range st.Loads {
		if _, known := p.modelAt[l.Model]; !known || !l.Running() {
			continue
		}
		if len(l.Cursor) == 0 && l.Mark == "" { // put down while no process ran
			l.Mark = p.markName(p.modelAt[l.Model])
		}
		if _, ok := p.source.(*rememberedRows); ok {
			l.Rows, l.Cursor = 0, nil // it begins anew
		}
		run, err := p.runLoad(&l)
		if newer := slices.ContainsFunc(st.Loads, func(o LoadState) bool { return o.Model == l.Model && o.Running() && o.Started.After(l.Started) }); newer && err == nil {
			run.close()
			err = errors.New("another one of the model was begun after it")
		}
		if _, ok := p.source.(LoadControl); !ok && err == nil && l.Resync != nil && l.Resync.Scheduled {
			run.close()
			err = errors.New("no model of a topic has a schedule any more, which goes over remembered rows")
		}
		p.care.mu.Lock()
		p.care.loads[l.ID] = &l
		p.care.mu.Unlock()
		if err != nil {
			p.log.Warn("a load that an earlier run began can't go on, and is given up", "model", l.Model, "load", l.ID, "err", err)
			if run, l.Closing = p.abandoned(&l); !l.Closing {
				continue
			}
		}
		p.loads.put(run)
		switch {
		case l.Closing:
			p.loads.ends(l.ID)
		case !l.Paused:
			resume = append(resume, l.Load)
		}
	}
	p.sweep()
	return resume
}

// sweep removes the files of loads that are over, which a kill left.
func (p *Pipeline) sweep() {
	var keep []string
	for _, run := range p.loads.all() {
		keep = append(keep, run.id)
	}
	var errs []error
	if keeper, ok := p.journal.(ListKeeper); ok {
		errs = append(errs, keeper.SweepLists(keep))
	}
	if taker, ok := p.cache().(CensusTaker); ok {
		errs = append(errs, taker.SweepCensuses(keep))
	}
	if err := errors.Join(errs...); err != nil {
		p.log.Warn("remove what loads that are over left on disk", "err", err)
	}
}

// abandoned gives up a load whose settings fit the mapping no more. What is left of it are its marks; closing is false where it has none.
func (p *Pipeline) abandoned(l *LoadState) (run *loadRun, closing bool) {
	l.giveUp(time.Now())
	bare := *l
	bare.Resync = nil
	run, err := p.runLoad(&bare)
	l.Closing = err == nil && run.mark != nil
	p.care.mu.Lock()
	p.care.loads[l.ID] = l
	p.care.mu.Unlock()
	now := *l
	p.pend.add(func(r *Record) { r.Loads = append(r.Loads, now) })
	return run, l.Closing
}

// giveUp ends a load before its rows are done.
func (l *LoadState) giveUp(now time.Time) {
	l.Finished, l.Cancelled, l.Paused = now, true, false
}

// loadRow maps a row of a load.
func (p *Pipeline) loadRow(dst []Effect, run *loadRun, c *Change) ([]Effect, error) {
	if run.remembered {
		return p.rememberedRow(dst, run, c)
	}
	from := len(dst)
	p.saw(run, c.After)
	if run.match != nil {
		ok, err := run.match(c.After)
		if err != nil {
			run.unsure.Add(1)
		}
		if !ok {
			return dst, nil
		}
	}
	mapRow := p.mapper.MapLoad
	if run.again {
		mapRow = p.mapper.MapRow
	}
	dst, err := mapRow(dst, run.model, c.After, c.Time)
	if err != nil {
		return dst[:from], err
	}
	for i := from; i < len(dst); i++ {
		e := &dst[i]
		e.Change, e.Key = c, c.Key
		if run.keep != nil {
			e.Fields = slices.DeleteFunc(e.Fields, func(f Field) bool { return !run.keep[f.Def] })
			e.Whole, e.Creates = false, false
		}
	}
	return dst, nil
}
