package connector

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// pending collects what the next record must hold beside positions, and the shares that are done once it is durable.
type pending struct {
	mu    sync.Mutex
	rec   Record
	any   bool
	after []share
	then  []func()
	busy  bool
	poke  func()
}

func (d *pending) add(f func(*Record)) {
	d.mu.Lock()
	f(&d.rec)
	d.any = true
	d.mu.Unlock()
	d.poke()
}

// addThen adds to the record and completes shares, then calls fn (which may be nil), once it is durable.
func (d *pending) addThen(f func(*Record), shares []share, fn func()) {
	d.mu.Lock()
	f(&d.rec)
	d.any = true
	d.after = append(d.after, shares...)
	if fn != nil {
		d.then = append(d.then, fn)
	}
	d.mu.Unlock()
	d.poke()
}

func (d *pending) take() (Record, bool, []share, []func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r, any, after, then := d.rec, d.any, d.after, d.then
	d.rec, d.any, d.after, d.then = Record{}, false, nil, nil
	return r, any, after, then
}

// begin says that a record is being made, so that nobody takes the gap between two steps of it for quiet.
func (d *pending) begin() {
	d.mu.Lock()
	d.busy = true
	d.mu.Unlock()
}

func (d *pending) taken() {
	d.mu.Lock()
	d.busy = false
	d.mu.Unlock()
}

func (d *pending) empty() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.any && !d.busy
}

// durable adds to the record and waits until it is written, or for ctx.
func (d *pending) durable(ctx context.Context, f func(*Record)) error {
	done := make(chan struct{})
	d.addThen(f, nil, func() { close(done) })
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// commitEvery is how often the committer records at most: many completions share one write to disk.
const commitEvery = 20 * time.Millisecond

// lastRecord is how long the record under way at the end of a drain may take.
const lastRecord = 10 * time.Second

// committer records what became confirmable, then confirms it. It is the only writer of the journal while the pipeline runs.
func (p *Pipeline) committer(ctx context.Context) {
	var expired time.Time
	// A record that waits for others (the brokers, for the state topic) may not keep the process from ending.
	recording, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		if sleep(recording, lastRecord) == nil {
			cancel()
		}
	})()
	for {
		if now := time.Now(); p.cfg.Retention > 0 && now.Sub(expired) > time.Hour {
			expired = now
			p.expire(ctx, now.Add(-p.cfg.Retention))
		}
		p.beats[1].Store(time.Now().UnixNano())
		select {
		case <-p.commit:
		case <-time.After(10 * time.Second):
		case <-ctx.Done():
			return
		}
		if err := p.record(recording, false); err != nil {
			if recording.Err() != nil {
				err = &StopError{Code: ExitDeadline, What: fmt.Sprintf("the last record could not be written within %s", lastRecord), Err: err,
					Fix: "nothing; what it would have told is done again at the next start"}
			}
			p.stop(err)
			return
		}
		if sleep(ctx, commitEvery) != nil {
			return
		}
	}
}

// record writes one Record: first the cache is synced, then the journal, then the source may confirm, then what waited for the record is done. clean
// marks a drained end.
func (p *Pipeline) record(ctx context.Context, clean bool) error {
	// The positions come first: whatever one stands on was added to the pending record before it was done, so it is in this record or an earlier one.
	p.pend.begin()
	defer p.pend.taken()
	positions, loads := p.tracker.advance()
	positions = p.takeReplayed(positions)
	rec, any, after, then := p.pend.take()
	positions = p.takeUnmarked(&rec, positions)
	dirty := p.takeDirty(&rec, &after)
	any = any || dirty
	rec.Clean = clean
	rec.Positions = append(rec.Positions, positions...)
	p.loadsAdvanced(&rec, loads)
	p.care.takeLoads(&rec)
	p.care.takeStale(&rec)
	p.care.takeBrakes(&rec)
	if !any && !clean && len(positions) == 0 && len(loads) == 0 {
		return nil
	}
	began := p.traceTime()
	if len(positions) > 0 {
		if err := p.syncLoads(); err != nil {
			return &StopError{Code: ExitCode(err), What: "write what loads noted of users", Err: err, Fix: "see the error; nothing was confirmed to the source"}
		}
	}
	// What is remembered as done must not outlive what the cache forgot because of it: else a row that comes again after its delete is taken for the old one.
	if c := p.cache(); c != nil && (len(positions) > 0 || len(rec.Done) > 0) {
		covers := make([]Position, len(positions))
		for i, x := range positions {
			covers[i] = x.Position
		}
		if err := c.Sync(covers); err != nil {
			p.cacheFailed(err)
		}
	}
	if err := p.journal.Apply(ctx, &rec); err != nil {
		var s *StopError
		if errors.As(err, &s) {
			return err
		}
		return &StopError{Code: 1, What: "write the record of what is done to data/", Err: err, Fix: "see the error; nothing was confirmed to the source"}
	}
	if p.care.forgetDone(positions) {
		p.ids.forget()
	}
	for _, x := range positions {
		p.source.Commit(x.Position)
	}
	p.traceConfirmed(positions, began)
	for _, fn := range then {
		fn()
	}
	p.tracker.done(after)
	return nil
}

// droppedUnsent is told to who waits for a step that was dropped.
const droppedUnsent = "not sent: the user was deleted meanwhile, or another process has the partition now"

// takeDirty stores the waiting steps of settling users, whose tickets are done once they lie in data/.
func (p *Pipeline) takeDirty(rec *Record, after *[]share) bool {
	q := p.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	any := len(q.dropped) > 0
	for _, s := range q.dropped {
		s.answer(droppedUnsent)
		*after = append(*after, s.shares...)
		p.ids.release(s)
	}
	q.dropped = nil
	later := q.unsettled[:0]
	for _, id := range q.unsettled {
		switch u := q.users[id]; {
		case u != nil && u.busy: // what is being sent may be a delete, after which it settles anew
			later = append(later, id)
		case u == nil || !u.settling():
			rec.settled(id)
			any = true
		}
	}
	q.unsettled = later
	for id := range q.dirty {
		delete(q.dirty, id)
		u := q.users[id]
		if u == nil || !u.settling() || len(u.steps) != 1 || u.steps[0].kind != Track || u.steps[0].event != nil {
			continue
		}
		s := u.steps[0]
		rec.Settling = append(rec.Settling, Settling{User: id, Until: u.settle.time(), Waits: p.store(s), Part: u.from.part})
		*after = append(*after, s.shares...)
		s.shares, s.stored = nil, true
		any = true
	}
	return any
}

// expire ends quarantine entries that are older than the retention.
func (p *Pipeline) expire(ctx context.Context, before time.Time) {
	n, err := p.journal.Quarantine().Expire(ctx, before)
	switch {
	case err != nil:
		p.log.Warn("end quarantine entries that are past their retention", "err", err)
	case n > 0:
		p.log.Warn("quarantine entries ended undelivered: they were older than the retention", "count", n)
	}
}
