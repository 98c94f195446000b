package connector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
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
	// StopLoad gives a load up. A chunk that was read may still come out of Next.
	StopLoad(id string)
}

// loadRun is a load under way, as the reader, the senders and its end see it. Its members do not change but for the counters.
type loadRun struct {
	id     string
	model  int
	nulls  bool               // the profiles may exist, so NULLs are sent
	all    bool               // also what Braze is known to have
	again  bool               // it brings again what was brought before: no events, nobody's consent
	keep   map[*FieldDef]bool // only these fields; nil: all
	match  func(Row) (bool, error)
	mark   *FieldDef // nil: users are not marked
	list   UserList  // whom it marked; nil without mark
	census Census    // whom it met; nil: nobody is counted

	sent, same, unsure atomic.Int64

	began atomic.Int64 // when this process began with it, in nanoseconds, with so many rows
	from  atomic.Int64
}

// restart begins to measure its speed.
func (run *loadRun) restart(rows int64) {
	run.began.Store(time.Now().UnixNano())
	run.from.Store(rows)
}

// loadRuns are the loads under way by their id. It may be used concurrently.
type loadRuns struct {
	mu      sync.Mutex
	by      map[string]*loadRun
	closing []string      // whose rows are done, and whose end is still to be made
	wake    chan struct{} // there are more of them
	over    chan struct{} // closed and replaced when one is over
	counted atomic.Int32  // how many of by take a census
}

func newLoadRuns() *loadRuns {
	return &loadRuns{by: map[string]*loadRun{}, wake: make(chan struct{}, 1), over: make(chan struct{})}
}

// ended gives what is closed when the next load is over.
func (l *loadRuns) ended() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over
}

func (l *loadRuns) get(id string) *loadRun {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.by[id]
}

func (l *loadRuns) put(run *loadRun) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.by[run.id] = run
	if run.census != nil {
		l.counted.Add(1)
	}
}

// drop forgets a load and closes its files.
func (l *loadRuns) drop(id string) {
	l.mu.Lock()
	run := l.by[id]
	delete(l.by, id)
	close(l.over)
	l.over = make(chan struct{})
	l.mu.Unlock()
	if run == nil {
		return
	}
	if run.census != nil {
		l.counted.Add(-1)
	}
	run.close()
}

func (run *loadRun) close() {
	if run.census != nil {
		_ = run.census.Close() // what was synced counts; the rest is noted again
	}
	if run.list != nil {
		_ = run.list.Close()
	}
}

func (l *loadRuns) all() []*loadRun {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]*loadRun, 0, len(l.by))
	for _, run := range l.by {
		out = append(out, run)
	}
	return out
}

// ends hands a load whose rows are done to the closer.
func (l *loadRuns) ends(id string) {
	l.mu.Lock()
	l.closing = append(l.closing, id)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *loadRuns) next() (id string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.closing) == 0 {
		return "", false
	}
	id, l.closing = l.closing[0], l.closing[1:]
	return id, true
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
func (p *Pipeline) loadAgain(ctx context.Context, i int) error {
	m := &p.models[i]
	p.proven[i].Store(false)
	if _, err := p.CancelLoad(ctx, m.Name); err != nil && !errors.Is(err, errNoLoad) {
		return err
	}
	if err := p.loadClosed(ctx, m.Name); err != nil {
		return err
	}
	_, err := p.beginLoad(ctx, LoadState{Load: Load{ID: loadID(m.Name), Model: m.Name, Table: m.Table}, Started: time.Now(), Estimate: -1, Nulls: true}, nil)
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
			return errEnding
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

var errEnding = errors.New("the process is ending")

// poll waits for a state that nobody announces.
func (p *Pipeline) poll(ctx context.Context, holds func() bool) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-p.over:
			return errEnding
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
		run, err := p.runLoad(&l)
		if newer := slices.ContainsFunc(st.Loads, func(o LoadState) bool { return o.Model == l.Model && o.Running() && o.Started.After(l.Started) }); newer && err == nil {
			run.close()
			err = errors.New("another one of the model was begun after it")
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

// loadsAdvanced notes how far loads have come. A finished one that brought whole rows makes the before-images of its model proof.
func (p *Pipeline) loadsAdvanced(rec *Record, loads []LoadProgress) {
	if len(loads) == 0 {
		return
	}
	c := p.care
	var over []string
	c.mu.Lock()
	defer func() {
		c.mu.Unlock()
		for _, id := range over {
			p.endLoad(id)
		}
	}()
	for _, l := range loads {
		st := c.loads[l.Load]
		if st == nil || !st.Finished.IsZero() {
			continue
		}
		st.Cursor, st.Rows = l.Cursor, l.Rows
		run := p.loads.get(st.ID)
		if run != nil {
			st.Sent, st.Same = run.sent.Load(), run.same.Load()
		}
		if l.Done {
			st.Finished = time.Now()
			p.prove(st, run)
			p.log.Info("load finished", "model", st.Model, "rows", l.Rows, "sent", st.Sent, "unchanged", st.Same, "duration", time.Since(st.Started).Round(time.Millisecond).String())
			rec.Models = append(rec.Models, p.modelState(p.modelAt[st.Model]))
			st.Closing = run != nil && (run.mark != nil || run.census != nil)
			if st.Closing {
				p.loads.ends(st.ID)
			} else {
				over = append(over, st.ID)
			}
		}
		rec.Loads = append(rec.Loads, *st)
	}
}

// prove takes in that all rows of a load were delivered: with all their fields they make before-images proof; with some, these fields have the proof again
// that a change of their settings took.
func (p *Pipeline) prove(st *LoadState, run *loadRun) {
	i := p.modelAt[st.Model]
	switch {
	case !st.Whole():
	case run != nil && run.keep != nil:
		left := map[*FieldDef]bool{}
		if was := p.unproven[i].Load(); was != nil {
			for d := range *was {
				if !run.keep[d] {
					left[d] = true
				}
			}
		}
		p.unproven[i].Store(&left)
	default:
		p.unproven[i].Store(nil)
		p.proven[i].Store(true)
	}
}

// Whole tells whether the load brings all rows of its table.
func (l *LoadState) Whole() bool {
	return len(l.Keys) == 0 && (l.Resync == nil || l.Resync.Where == "")
}

// closer makes the ends of loads: it names who is gone at the source, and takes the marks away.
func (p *Pipeline) closer(ctx context.Context) {
	for {
		id, ok := p.loads.next()
		if !ok {
			select {
			case <-p.loads.wake:
			case <-ctx.Done():
				return
			}
			continue
		}
		if err := p.closeLoad(ctx, id); err != nil {
			if ctx.Err() != nil {
				return // the next run goes on
			}
			p.stop(err)
			return
		}
	}
}

func (p *Pipeline) closeLoad(ctx context.Context, id string) error {
	run := p.loads.get(id)
	c := p.care
	c.mu.Lock()
	st := c.loads[id]
	var now LoadState
	if st != nil {
		now = *st
	}
	c.mu.Unlock()
	if run == nil || st == nil {
		return nil
	}
	// What was handed over of it is done first, and what the stream brought meanwhile: both may speak of a user that seems gone.
	if err := p.settled(ctx, p.tracker.openTickets()); err != nil {
		return err
	}
	if run.census != nil && !now.Cancelled {
		if err := p.holdGone(ctx, run, &now); err != nil {
			return err
		}
	}
	if run.list != nil {
		if err := p.unmark(ctx, run, now.Unmarked); err != nil {
			return err
		}
	}
	c.mu.Lock()
	st.Gone, st.Unnamed = now.Gone, now.Unnamed
	now = *st
	c.mu.Unlock()
	now.Closing = false
	if err := p.pend.durable(ctx, func(r *Record) { r.Loads = append(r.Loads, now) }); err != nil {
		return err
	}
	run.discard()
	c.mu.Lock()
	st.Closing = false
	c.mu.Unlock()
	p.endLoad(id)
	return nil
}

// endLoad forgets a load of which nothing is to come.
func (p *Pipeline) endLoad(id string) {
	p.tracker.drop(map[string]bool{loadStream + id: true, unmarkStream + id: true})
	p.loads.drop(id)
}

// settled waits until everything is done of batches that were open.
func (p *Pipeline) settled(ctx context.Context, before []*ticket) error {
	return p.poll(ctx, func() bool {
		p.tracker.mu.Lock()
		defer p.tracker.mu.Unlock()
		return !slices.ContainsFunc(before, func(t *ticket) bool { return !t.stream.dead && t.left > 0 })
	})
}

// syncLoads makes what loads noted of users durable, before a record says that their changes are done.
func (p *Pipeline) syncLoads() error {
	for _, run := range p.loads.all() {
		if run.census != nil {
			n, err := run.census.Sync()
			if err != nil {
				return fmt.Errorf("note whom the load of model %q met: %w", p.models[run.model].Name, err)
			}
			p.care.mu.Lock()
			if st := p.care.loads[run.id]; st != nil {
				st.Met = n
			}
			p.care.mu.Unlock()
		}
		if run.list != nil {
			if err := run.list.Sync(); err != nil {
				return fmt.Errorf("note whom the load of model %q marked: %w", p.models[run.model].Name, err)
			}
		}
	}
	return nil
}

// loadStatus gives a load as status shows it: without keys of rows, with its speed.
func (p *Pipeline) loadStatus(l *LoadState) LoadState {
	out := *l
	out.Cursor, out.Keys = nil, nil
	run := p.loads.get(l.ID)
	if run == nil {
		return out
	}
	out.Sent, out.Same, out.Unsure = run.sent.Load(), run.same.Load(), run.unsure.Load()
	took := time.Since(time.Unix(0, run.began.Load())).Seconds()
	if l.Paused || !l.Finished.IsZero() || took < 0.2 {
		return out
	}
	out.Rate = float64(l.Rows-run.from.Load()) / took
	if left := l.Estimate - l.Rows; left > 0 && out.Rate > 0 {
		out.ETA = time.Duration(float64(left) / out.Rate * float64(time.Second)).Round(time.Second)
	}
	return out
}
