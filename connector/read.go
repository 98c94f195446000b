package connector

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// read is the reader: it takes batches from the source, waits for room, maps every change and pushes what comes of it. It ends with ctx, or with an error
// that stops the pipeline.
func (p *Pipeline) read(ctx context.Context, grow func()) error {
	r := &reader{p: p, grow: grow}
	for {
		p.beats[0].Store(time.Now().UnixNano())
		p.inNext.Store(true)
		b, err := p.source.Next(ctx)
		p.inNext.Store(false)
		var came time.Time
		if p.cfg.Tracer != nil {
			came = time.Now()
		}
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if len(b.Changes) > 0 {
			if p.queue.room(ctx, p.tracker.holds) != nil {
				return nil // stopped while waiting: the batch was not taken
			}
		}
		t, err := p.tracker.add(ctx, &b)
		if errors.Is(err, errRevoked) {
			continue
		}
		if err != nil {
			return nil // stopped while waiting for room: the batch was not taken
		}
		if p.cfg.Tracer != nil {
			t.trace = p.cfg.Tracer.Read(&b, came)
			came = time.Now()
		}
		if err := r.batch(ctx, &b, t); err != nil {
			p.tracker.abandon(t)
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if p.cfg.Tracer != nil {
			p.cfg.Tracer.Mapped(t.trace, came)
		}
		p.tracker.finish(t)
	}
}

// reader keeps what one batch's work reuses.
type reader struct {
	p       *Pipeline
	effects []Effect
	steps   []*step
	grow    func() // starts another sender where full calls wait
}

func (r *reader) batch(ctx context.Context, b *Batch, t *ticket) error {
	p := r.p
	var run *loadRun
	load := -1
	if b.Load != nil {
		if run = p.care.loadRun(b.Load.Load, p); run != nil {
			load = run.model
		}
	}
	r.steps = r.steps[:0]
	for i := range b.Changes {
		c := &b.Changes[i]
		r.effects = r.effects[:0]
		var err error
		replay := p.replay.Load()
		if replay != nil {
			replay.note(c, t.position.Stream, nil)
		}
		switch {
		case c.Op == Truncate:
			r.flush()
			if p.memory != nil {
				p.memory.emptied(c.Key.Table)
			}
			p.truncated(c, t)
			continue
		case b.Load != nil && run == nil: // of a load that was given up
		case b.Load != nil:
			r.effects, err = p.loadRow(r.effects, run, c)
		default:
			if r.effects, err = p.mapper.Map(r.effects, c, p.ids); err != nil {
				err = r.reread(ctx, c, err)
			}
			p.sawLive(c, r.effects)
		}
		failed := err
		if err != nil {
			if err := r.refuse(ctx, c, t, err); err != nil {
				return err
			}
		} else {
			p.countChange(c, load)
		}
		r.effects = p.care.pass(r.effects, p)
		if replay != nil && len(r.effects) > 0 {
			replay.note(c, t.position.Stream, r.effects)
		}
		r.add(ctx, c, t, run)
		if p.memory != nil && b.Load == nil {
			p.memory.note(c, t.position.Stream, failed)
		}
	}
	if p.memory != nil {
		p.memory.flush()
	}
	r.flush()
	r.grow()
	return nil
}

// refuse puts a change into quarantine for each model that cannot map it; what the others made of it goes on. Other errors it gives back: they stop the
// pipeline.
func (r *reader) refuse(ctx context.Context, c *Change, t *ticket, err error) error {
	errs := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		errs = joined.Unwrap()
	}
	r.flush()
	for _, e := range errs {
		var bad *RowError
		if !errors.As(e, &bad) {
			return err
		}
		if err := r.p.quarantineRow(ctx, c, t, bad); err != nil {
			return err
		}
	}
	return nil
}

// reread maps a change again after filling the columns it lacks from the living row. A row that is gone drops the change: its delete follows.
func (r *reader) reread(ctx context.Context, c *Change, err error) error {
	var need *NeedRowError
	if !errors.As(err, &need) {
		return err
	}
	where := keyOf(c.After)
	if len(where) == 0 {
		return &RowError{Model: need.Model, Reason: fmt.Sprintf("column %q is not in the change, and without a key its row cannot be read again", need.Column)}
	}
	rows, rerr := r.p.source.Rows(ctx, Query{Table: c.Key.Table, Where: where, Limit: 1})
	if errors.Is(rerr, ErrNotReadable) {
		return &RowError{Model: need.Model, Reason: fmt.Sprintf("column %q is not in the change, and its row cannot be read again: %s", need.Column, rerr)}
	}
	if rerr != nil {
		return fmt.Errorf("read row of %s again for column %q: %w", c.Key.Table, need.Column, rerr)
	}
	r.effects = r.effects[:0]
	if len(rows) == 0 {
		return nil
	}
	full := *c
	full.After = fill(c.After, rows[0])
	if need.Stop != nil {
		full.Before, full.After = Row{}, rows[0]
	}
	r.effects, err = r.p.mapper.Map(r.effects, &full, r.p.ids)
	if errors.As(err, &need) {
		r.effects = r.effects[:0]
		if need.Stop != nil {
			return need.Stop
		}
		return &RowError{Model: need.Model, Reason: fmt.Sprintf("column %q is neither in the change nor in the living row", need.Column)}
	}
	return err
}

func keyOf(r Row) []Equal {
	if !r.Exists() {
		return nil
	}
	var where []Equal
	for i := range r.Table.Columns {
		if c := &r.Table.Columns[i]; c.Key && r.Cells[i].State == Set {
			where = append(where, Equal{Column: c.Name, Text: r.Cells[i].Raw})
		}
	}
	return where
}

// fill gives a copy of r whose absent cells come from the living row, by column name.
func fill(r, living Row) Row {
	out := Row{Table: r.Table, Cells: append([]Cell(nil), r.Cells...)}
	for i := range out.Cells {
		if out.Cells[i].State != Absent {
			continue
		}
		if j := living.Table.Column(r.Table.Columns[i].Name); j >= 0 {
			out.Cells[i] = living.Cells[j]
		}
	}
	return out
}

// add makes steps of the effects of one change. The change is done when all of them are; without any it is done now.
func (r *reader) add(ctx context.Context, c *Change, t *ticket, run *loadRun) {
	p := r.p
	if len(r.effects) == 0 {
		p.tracker.doneOne(t)
		return
	}
	if n := len(r.effects) - 1; n > 0 {
		p.tracker.more(t, n)
	}
	for i := range r.effects {
		e := &r.effects[i]
		if e.Change == nil {
			e.Change = c
		}
		if e.Event != nil && e.Event.Old {
			p.metrics.Models[e.Model].Late.Add(1)
			p.tell(newStep(e), nil, "not sent", "the event is older than max_age")
			r.flush()
			p.tracker.doneOne(t)
			continue
		}
		s := newStep(e)
		s.maybeSent, s.at, s.initial = t.replayed, c.Time, c.Initial || c.Op == Snapshot
		if run != nil {
			s.load, s.from, s.nulls, s.noProof = true, run, run.nulls, run.all
			s.rows[0].partial = run.keep != nil || run.remembered && s.updateOnly
		}
		s.share1[0] = share{t, 1}
		s.shares = s.share1[:1]
		s.rows[0].stream, s.rows[0].proven = t.origin(), p.proven[e.Model].Load()
		var done bool
		if done, s.refused = p.care.alreadyDone(s); done {
			p.metrics.skipped.Add(1)
			p.ids.pass(e)
			r.flush()
			p.tracker.done(s.shares)
			continue
		}
		out, back, err := p.judgeErased(ctx, e, c, run != nil)
		if err != nil {
			p.stop(err) // the change stays open
			continue
		}
		if out {
			p.metrics.skipped.Add(1)
			r.flush()
			p.tracker.done(s.shares)
			continue
		}
		if back != nil {
			r.flush()
			p.queue.settleErased(s, back)
			s.nulls, s.again = true, true
		}
		p.ids.hold(s, e)
		p.care.join(s, p)
		r.steps = append(r.steps, s)
	}
}

// flush hands over what was mapped of a batch, all of it under one lock: what one batch brings for a user folds before a sender can take it.
func (r *reader) flush() {
	if len(r.steps) == 0 {
		return
	}
	for _, s := range r.p.queue.push(r.steps) {
		r.p.ids.release(s)
		r.p.tracker.done(s.shares)
	}
	clear(r.steps)
	r.steps = r.steps[:0]
}

// newStep makes a step of one effect, without shares.
func newStep(e *Effect) *step {
	s := &step{kind: e.Kind, user: e.User, to: e.To, event: e.Event, left: e.Left, fields: e.Fields, updateOnly: e.UpdateOnly, owner: e.Owner, creates: e.Creates, verify: e.Verify}
	ref := rowRef{model: e.Model, key: e.Key, whole: e.Whole, ends: e.Ends, change: e.Change}
	if e.Change != nil {
		ref.oldKey = e.Change.OldKey
	}
	s.row1[0] = ref
	s.rows = s.row1[:1]
	return s
}
