package connector

import (
	"context"
	"slices"
	"time"
)

// accepted settles a call: refused lists the flights Braze will not have; all others are done. What must not be lost is in quarantine, and what must not
// happen twice is on its way into data/, before a user's next step can leave.
func (p *Pipeline) accepted(ctx context.Context, k Kind, batch []flight, calls []Effect, refused []Rejection, l *learned) {
	var bad map[int]Rejection
	for _, r := range refused {
		if bad == nil {
			bad = make(map[int]Rejection, len(refused))
		}
		bad[r.Index] = r
	}
	taken := make([]bool, len(batch)) // any of the flight's objects was accepted
	shares := make([]share, 0, len(calls))
	l.begin(len(calls))
	now := time.Now()
	known := make([]*step, 0, len(calls))
	at := 0
	for i := range batch {
		f := &batch[i]
		for j := range f.calls {
			s := f.step(j)
			r, isBad := bad[at]
			if isBad = isBad && !(r.Done && (f.free || s.maybeSent)); isBad { // else an attempt with unknown outcome did it
				s.offered = &calls[at]
				p.refused(ctx, s, f.free, r, &shares)
				s.offered = nil
				at++
				continue
			}
			taken[i] = true
			p.remember(ctx, f, s, now, l)
			if !f.free {
				p.metrics.Points.count(s, &calls[at])
			}
			p.seen(s, &calls[at], "accepted", "")
			if s.from != nil && !f.free {
				s.from.sent.Add(1)
			}
			if !f.free {
				shares = append(shares, s.shares...)
				known = append(known, s)
			}
			at++
		}
	}
	p.putRows(l.rows, l.prints)
	// Only now: a record of what is done that is durable before the cache has forgotten the user would, after a kill, leave the fingerprints of a profile that is no more.
	for _, note := range l.done {
		p.pend.add(note)
	}
	l.end()
	for _, s := range known {
		p.ids.release(s) // after the cache knows
	}
	q := p.queue
	q.mu.Lock()
	for i := range batch {
		q.land(&batch[i], now, taken[i])
	}
	q.signal()
	q.mu.Unlock()
	p.tracker.done(shares)
}

// remember notes what an accepted flight changed: rows now known, deletes and renames done, quarantine entries closed.
func (p *Pipeline) remember(ctx context.Context, f *flight, s *step, now time.Time, l *learned) {
	if f.free {
		p.pend.add(func(r *Record) {
			r.Renamed = slices.DeleteFunc(r.Renamed, func(id string) bool { return id == f.id.ID }) // a record puts what is renamed after what is freed
			r.Freed = append(r.Freed, f.id.ID)
		})
		return
	}
	p.metrics.sent(s, now)
	switch {
	case s.event != nil:
		p.happened(s)
		p.care.joinEvent(s)
		p.delivered(ctx, s)
	case s.kind == PutItem || s.kind == Subscribe:
		p.knowPrints(s, l)
		p.delivered(ctx, s)
	case s.kind == DeleteItem:
		p.forgetPrints(s.user, l)
		p.delivered(ctx, s)
	case s.kind == Track:
		for i := range s.rows {
			p.knowRow(s, &s.rows[i], l)
		}
		p.knowPrints(s, l)
		if s.revived {
			l.rows = append(l.rows, RowPut{Model: deletedUsers, Key: Key{ID: s.user.ID}, Gone: true, Part: s.part()})
		}
		p.delivered(ctx, s)
	case s.kind == DeleteUser || s.kind == Rename:
		if s.kind == DeleteUser {
			p.forgetPrints(s.user, l)
		} else {
			p.movePrints(s, l)
		}
		if m := s.rows[0].model; s.kind == DeleteUser && !s.maybeSent && !s.unsent {
			s.existed = p.proven[m].Load() || p.knows(s, m)
		}
		settling := Settling{User: s.user, Until: now.Add(p.cfg.Settle), Part: s.part()}
		l.done = append(l.done, func(r *Record) {
			p.noteDone(r, s, false)
			switch {
			case s.erase: // its mark says until when it settles
			case s.kind == DeleteUser:
				r.Settling = append(r.Settling, settling)
			default:
				r.Renamed = append(r.Renamed, s.user.ID)
			}
		})
		if p.others && !s.erase { // a name that was renamed away starts anew too
			l.rows = append(l.rows, RowPut{Model: deletedUsers, Key: Key{ID: s.user.ID}, User: s.user, Part: s.part()})
		}
		for _, r := range s.rows {
			name := p.models[r.model].Name
			part := PartOf(r.stream)
			if r.oldKey != (Key{}) {
				p.ids.put(&l.rows, s, RowPut{Model: name, Key: r.oldKey, Gone: true, Part: part}, r.model)
			}
			if s.kind == DeleteUser {
				// Another model's row that waited before the delete lives on.
				p.ids.put(&l.rows, s, RowPut{Model: name, Key: r.key, User: s.user, Gone: r.ends || p.models[r.model].Owner, Part: part}, r.model)
			} else if p.proven[r.model].Load() || !r.change.provesMuch() || p.knows(s, r.model) {
				// A row that was never sent is put down once it was accepted whole: what is put down makes before-images proof. Without
				// those it is put down at once, since it is the only place that tells whose row it is.
				p.ids.put(&l.rows, s, RowPut{Model: name, Key: r.key, User: s.to, Part: part}, r.model)
			}
		}
		p.delivered(ctx, s)
	}
	p.ended(s)
}

// noteDone puts into a record that a delete or rename has ended.
func (p *Pipeline) noteDone(r *Record, s *step, refused bool) {
	for _, row := range s.rows {
		if c := row.change; c != nil && c.ID != (ChangeID{}) && (s.kind == Rename || p.models[row.model].Owner) {
			r.Done = append(r.Done, DoneID{Stream: Lasting(row.stream), Table: row.key.Table, ID: c.ID, Kind: s.kind, User: s.user, Refused: refused})
		}
	}
}

// knowRow puts down which user a row of a Track is known under from now on.
func (p *Pipeline) knowRow(s *step, r *rowRef, l *learned) {
	m := &p.models[r.model]
	if r.partial && !r.ends && r.oldKey == (Key{}) {
		return
	}
	if m.IDFromKey && !m.Filter && (p.proven[r.model].Load() || !m.ProofAllowed) && !r.ends { // with a filter, what was sent tells whether a row was in
		return
	}
	part := PartOf(r.stream)
	if r.oldKey != (Key{}) {
		p.ids.put(&l.rows, s, RowPut{Model: m.Name, Key: r.oldKey, Gone: true, Part: part}, r.model)
	}
	p.ids.put(&l.rows, s, RowPut{Model: m.Name, Key: r.key, User: s.user, Gone: r.ends, Part: part}, r.model)
}

// provesMuch tells whether a change carries its row as it was before, whole.
func (c *Change) provesMuch() bool {
	return c != nil && len(c.Before.Cells) > 0 && !slices.ContainsFunc(c.Before.Cells, func(x Cell) bool { return x.State == Absent })
}

// ended takes out of data/ what was kept there until the end of a step.
func (p *Pipeline) ended(s *step) {
	if !s.stored && !s.release {
		return
	}
	p.pend.add(func(r *Record) {
		if s.stored {
			r.settled(s.user)
		}
		if s.release {
			r.released(s.user)
		}
	})
}

// land ends a flight in the queue. The lock is held.
func (q *queue) land(f *flight, now time.Time, ok bool) {
	u := f.u
	u.busy = false
	if ok {
		q.startGap(u, now)
	}
	if f.to != nil {
		f.to.busy = false
		if ok {
			q.startGap(f.to, now)
		}
	}
	switch {
	case f.free && ok:
		delete(q.renamed, f.id.ID)
		q.putBack(f)
	case f.free: // the step that needed it was quarantined
		q.steps--
	default:
		q.steps -= 1 + len(f.more)
		if ok && f.s.kind == DeleteUser {
			u.settle = at(now.Add(q.settleFor))
			u.again, u.from = true, &settled{f.s.part(), f.s.existed}
			q.park(u, u.settle)
			q.dropUpdates(u)
			if len(u.steps) > 0 {
				q.touched(u)
			}
		}
		if ok && f.s.kind == Rename {
			q.renamed[f.s.user.ID] = true
			u.again = true
		}
	}
	q.schedule(u, now)
	if f.to != nil {
		q.schedule(f.to, now)
	}
}

// dropUpdates takes away what could only update a profile that was just deleted, or would begin it anew by time alone. The shares are done with the next commit.
func (q *queue) dropUpdates(u *user) {
	for len(u.steps) > 0 && u.steps[0].kind == Track && (u.steps[0].updateOnly || u.steps[0].byTime()) {
		q.dropped = append(q.dropped, u.steps[0])
		u.shift()
		q.steps--
		q.changed()
	}
}

// again puts flights back at the head of their users' queues after an attempt that accepted nothing for sure. A step whose attempts are used up while
// others got through goes to quarantine.
func (p *Pipeline) again(ctx context.Context, batch []flight, e *endpoint, err *RetryableError) {
	fails, successes := e.state()
	epoch := e.epoch.Load()
	now := time.Now()
	var shares []share
	why := err.Error()
	gone := map[int]int{} // steps of a flight that were given up
	for i := range batch {
		f := &batch[i]
		if err.Throttled {
			continue
		}
		left := f.all()[:0:0]
		for _, s := range f.all() {
			s.tries++
			p.tell(s, nil, "retry", why)
			if class := p.failed(s, epoch, successes, err); class != "" && p.quarantine(context.Background(), s, class, err.Error()) == nil {
				p.metrics.lost(s, s.kind, false)
				shares = append(shares, s.shares...)
				p.gaveUp(ctx, s)
				continue
			}
			left = append(left, s)
		}
		gone[i] = len(f.more) + 1 - len(left)
		f.s, f.more = nil, nil
		if len(left) > 0 {
			f.s, f.more = left[0], left[1:]
		}
	}
	p.metrics.retries[e.kind][err.Why].Add(uint64(len(batch)))
	if err.Unknown {
		p.metrics.unknown.Add(uint64(len(batch)))
	}
	q := p.queue
	q.mu.Lock()
	for i := range batch {
		q.returned(&batch[i], now, err, gone[i], fails < failingAfter)
	}
	q.signal()
	q.mu.Unlock()
	p.tracker.done(shares)
}

// failed counts an attempt at a step. It gives why the step is given up, "" where it is not.
func (p *Pipeline) failed(s *step, epoch, successes uint64, err *RetryableError) (class string) {
	if s.epoch != epoch {
		s.fails, s.epoch = 0, epoch
	}
	s.fails++
	if s.fails > 1 && successes > s.successes {
		s.attempts++
	} else if s.attempts == 0 {
		s.attempts = 1
	}
	s.successes = successes
	switch {
	case s.event != nil && err.Unknown && p.cfg.HoldUnknown:
		return "unknown"
	case int(s.attempts) >= p.cfg.Attempts:
		return "attempts"
	}
	return ""
}

// returned ends a flight whose step has to be sent again, or was given up. own: the fault is the step's own, not the endpoint's, whose senders wait anyway; so
// the user waits by itself. The lock is held.
func (q *queue) returned(f *flight, now time.Time, err *RetryableError, givenUp int, own bool) {
	gone := f.s == nil // all of it
	users := []*user{f.u}
	if f.to != nil {
		users = append(users, f.to)
	}
	for _, u := range users {
		u.busy = false
		if err.Unknown {
			q.startGap(u, now)
		}
		if !gone && err.Throttled && err.After > 0 {
			u.retry = at(now.Add(err.After))
		}
		if !gone && own && !err.Throttled && f.s.fails > 1 {
			u.retry = at(now.Add(min(30*time.Second, 50*time.Millisecond<<min(f.s.fails, 10))))
		}
	}
	q.steps -= givenUp
	if !gone {
		for _, s := range f.all() {
			s.maybeSent = s.maybeSent || err.Unknown && !f.free
		}
		q.putBack(f)
	}
	for _, u := range users {
		q.schedule(u, now)
	}
}

// refold folds a returned step with what came meanwhile, as if that had come while it waited.
func (q *queue) refold(u *user) {
	if len(u.steps) < 2 || u.steps[0].kind == Rename || u.steps[1].kind == Rename {
		return
	}
	rest := append([]*step(nil), u.steps[1:]...)
	u.steps = u.steps[:1]
	q.steps -= len(rest)
	for _, s := range rest {
		if s.kind == Rename {
			u.steps = append(u.steps, s)
			q.steps++
			continue
		}
		if d := q.append(u, s); d != nil {
			q.dropped = append(q.dropped, d)
		}
	}
}

// giveBack returns flights that were taken and not sent.
func (q *queue) giveBack(batch []flight) {
	now := time.Now()
	q.mu.Lock()
	for i := range batch {
		q.returned(&batch[i], now, &RetryableError{Throttled: true}, 0, false)
	}
	q.signal()
	q.mu.Unlock()
}

// suppressed ends a flight of which nothing had to be sent.
func (p *Pipeline) suppressed(f *flight) {
	p.unsent(f.s)
	q := p.queue
	q.mu.Lock()
	f.u.busy = false
	q.steps--
	q.schedule(f.u, time.Now())
	q.signal()
	q.mu.Unlock()
}

// notRenamed ends a rename that an earlier run heard Braze refuse: what it stands for is in quarantine, or needs no place there.
func (p *Pipeline) notRenamed(ctx context.Context, f *flight) {
	p.metrics.skipped.Add(1)
	p.gaveUp(ctx, f.s)
	q := p.queue
	q.mu.Lock()
	q.land(f, time.Now(), false)
	q.signal()
	q.mu.Unlock()
	p.tracker.done(f.s.shares)
}

// unsent settles a step of which nothing had to be sent.
func (p *Pipeline) unsent(s *step) {
	p.metrics.suppressed(s)
	if s.from != nil {
		s.from.same.Add(1)
	}
	p.metrics.Points.count(s, nil)
	p.seen(s, nil, "suppressed", "nothing changed for Braze")
	p.ended(s)
	var l learned
	for i := range s.rows {
		if r := &s.rows[i]; r.ends || r.oldKey != (Key{}) || p.unmapped(s, r) {
			p.knowRow(s, r, &l)
		}
	}
	p.putRows(l.rows, nil)
	p.ids.release(s)
	p.tracker.done(s.shares)
}

// unmapped tells whether the cache does not know yet whose a row is that needs that.
func (p *Pipeline) unmapped(s *step, r *rowRef) bool {
	c := p.cache()
	if c == nil || !p.ids.needed[r.model] || s.kind != Track {
		return false
	}
	u, ok, err := c.RowUser(p.models[r.model].Name, r.key)
	return err == nil && (!ok || u != s.user)
}
