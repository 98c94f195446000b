package connector

import (
	"context"
	"fmt"
	"slices"
	"time"
)

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
			run.passed(time.Now(), l.Rows)
		}
		if l.Done {
			st.Finished, st.Cursor = time.Now(), nil
			p.prove(st, run)
			p.log.Info("load finished", "model", st.Model, "count", l.Rows, "sent", st.Sent, "unchanged", st.Same, "duration_ms", time.Since(st.Started).Milliseconds())
			rec.Models = append(rec.Models, p.modelState(p.modelAt[st.Model]))
			st.Closing = run != nil && (run.mark != nil || run.census != nil)
			if st.Closing {
				p.loads.ends(st.ID)
			} else {
				over = append(over, st.ID)
				st.bare()
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
	case !st.Whole(), run != nil && run.remembered:
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

// bare drops the keys of rows that a load which is over does not need any more: nobody has to erase them then.
func (l *LoadState) bare() {
	l.Keys, l.Cursor = nil, nil
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
	st.Gone = now.Gone
	now = *st
	c.mu.Unlock()
	now.Closing = false
	now.bare()
	if err := p.pend.durable(ctx, func(r *Record) { r.Loads = append(r.Loads, now) }); err != nil {
		return err
	}
	c.mu.Lock()
	st.Closing = false
	st.bare()
	c.mu.Unlock()
	p.endLoad(id)
	run.discard()
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
			if err != nil && p.loads.get(run.id) != run {
				continue // it ended meanwhile, and nobody asks for its notes any more
			}
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
			if err := run.list.Sync(); err != nil && p.loads.get(run.id) == run {
				return fmt.Errorf("note whom the load of model %q marked: %w", p.models[run.model].Name, err)
			}
		}
	}
	return nil
}

// loadStatus gives a load as status shows it: without keys of rows, with its speed. The lock of care is held.
func (p *Pipeline) loadStatus(l *LoadState) LoadState {
	out := *l
	out.Cursor, out.Keys = nil, nil
	run := p.loads.get(l.ID)
	if run == nil {
		return out
	}
	out.Sent, out.Same, out.Unsure, out.Held = run.sent.Load(), run.same.Load(), run.unsure.Load(), run.held.Load()
	rate, ok := run.pace(time.Now(), l.Rows)
	if l.Paused || !l.Finished.IsZero() || !ok {
		return out
	}
	out.Rate = rate
	if left := l.Estimate - l.Rows; left > 0 && out.Rate > 0 {
		out.ETA = time.Duration(float64(left) / out.Rate * float64(time.Second)).Round(time.Second)
	}
	return out
}
