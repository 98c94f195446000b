package connector

import (
	"context"
	"errors"
	"time"
)

// Schedule says when a model is synced again by itself.
type Schedule struct {
	Model string
	// Name tells it from another one of the model: where it changed, what was missed before does not count.
	Name string
	// Next gives the first time after a moment; zero: none. It must not keep state.
	Next func(after time.Time) time.Time
	// All sends whole rows, else differences go.
	All bool
}

// planned is when a model is synced again by its schedule.
type planned struct {
	at   time.Time
	name string
	// missed is when the last time passed without a resync, and why; both are known to this process alone.
	missed time.Time
	why    string
}

// wallStep bounds a wait for a time of the wall clock, which may be set meanwhile, or go on while the machine sleeps.
const wallStep = time.Minute

// keepSchedule syncs a model again at the times of its schedule, until ctx ends. A time that passed while nothing ran, or while another load of the model did, is
// made up for once.
func (p *Pipeline) keepSchedule(ctx context.Context, s *Schedule) {
	i, ok := p.modelAt[s.Model]
	if !ok {
		return
	}
	at := p.plannedAt(i, s)
	for !at.IsZero() && p.waitDue(ctx, i, at) {
		err := p.runScheduled(ctx, i, s)
		for errors.Is(err, ErrLoadRuns) {
			p.log.Info("a scheduled resync waits for the end of a load that is under way", "model", s.Model)
			if p.loadClosed(ctx, s.Model) != nil {
				return
			}
			err = p.runScheduled(ctx, i, s)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			p.plan(i, s)
			next := *p.planned[i].Load()
			next.missed, next.why = at, err.Error()
			p.planned[i].Store(&next)
			p.log.Warn("a scheduled resync could not begin; the next one is tried at its time", "model", s.Model, "err", err)
		}
		at = p.planned[i].Load().at
	}
}

// runScheduled begins a resync, and notes with it when the next one is due: until then a restart makes up for this one.
func (p *Pipeline) runScheduled(ctx context.Context, i int, s *Schedule) error {
	st, err := p.resync(ctx, ResyncRequest{Model: s.Model, Resync: Resync{All: s.All, Scheduled: true}}, func(r *Record) {
		p.planned[i].Store(&planned{at: s.Next(time.Now().Round(0)), name: s.Name})
		r.Models = append(r.Models, p.modelState(i))
	})
	if err == nil {
		p.tellRemembered(&st)
	}
	return err
}

// plannedAt gives when the next run of a schedule is due: the one that was noted, or a new one.
func (p *Pipeline) plannedAt(i int, s *Schedule) time.Time {
	if was := p.planned[i].Load(); was != nil && was.name == s.Name && !was.at.IsZero() {
		return was.at
	}
	return p.plan(i, s)
}

// plan notes the next run.
func (p *Pipeline) plan(i int, s *Schedule) time.Time {
	at := s.Next(time.Now().Round(0))
	p.planned[i].Store(&planned{at: at, name: s.Name})
	p.pend.add(func(r *Record) { r.Models = append(r.Models, p.modelState(i)) })
	return at
}

// waitDue waits for a time of the wall clock, or until a run is to be made up for; false: ctx ended.
func (p *Pipeline) waitDue(ctx context.Context, model int, at time.Time) bool {
	for {
		if p.missed[model].Swap(false) {
			return ctx.Err() == nil
		}
		left := at.Sub(time.Now().Round(0))
		if left <= 0 {
			return ctx.Err() == nil
		}
		if sleep(ctx, min(left, wallStep)) != nil {
			return false
		}
	}
}
