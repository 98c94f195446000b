package connector

import (
	"context"
	"slices"
	"time"
)

// accepted settles a call: refused lists the flights Braze will not have; all others are done. What must not be lost is in quarantine, and what must not
// happen twice is on its way into data/, before a user's next step can leave.
func (p *Pipeline) accepted(ctx context.Context, k Kind, batch []flight, calls []Effect, refused []Rejection) {
	bad := make(map[int]Rejection, len(refused))
	for _, r := range refused {
		if f := &batch[r.Index]; r.Done && (f.free || f.s.maybeSent) {
			continue // an attempt with unknown outcome did it
		}
		bad[r.Index] = r
	}
	var shares []share
	var puts []RowPut
	now := time.Now()
	for i := range batch {
		f := &batch[i]
		if r, ok := bad[i]; ok {
			p.refused(ctx, f, r, &shares)
			continue
		}
		p.remember(ctx, f, now, &puts)
		p.seen(f.s, &calls[i], "accepted", "")
		if !f.free {
			shares = append(shares, f.s.shares...)
		}
	}
	p.putRows(puts)
	for i := range batch {
		if _, isBad := bad[i]; !isBad && !batch[i].free {
			p.ids.release(batch[i].s) // after the cache knows
		}
	}
	q := p.queue
	q.mu.Lock()
	for i := range batch {
		f := &batch[i]
		r, isBad := bad[i]
		q.land(f, now, !isBad, r)
	}
	q.signal()
	q.mu.Unlock()
	p.tracker.done(shares)
}

// remember notes what an accepted flight changed: rows now known, deletes and renames done, quarantine entries closed.
func (p *Pipeline) remember(ctx context.Context, f *flight, now time.Time, puts *[]RowPut) {
	s := f.s
	if f.free {
		p.pend.add(func(r *Record) {
			r.Renamed = slices.DeleteFunc(r.Renamed, func(id string) bool { return id == f.id.ID }) // a record puts what is renamed after what is freed
			r.Freed = append(r.Freed, f.id.ID)
		})
		return
	}
	p.metrics.sent(s, now)
	switch s.kind {
	case Track:
		for i := range s.rows {
			p.knowRow(s, &s.rows[i], puts)
		}
		if s.revived {
			*puts = append(*puts, RowPut{Model: deletedUsers, Key: Key{ID: s.user.ID}, Gone: true})
		}
		p.delivered(ctx, s)
	case DeleteUser, Rename:
		if m := s.rows[0].model; s.kind == DeleteUser && !s.maybeSent && !s.unsent {
			s.existed = p.proven[m].Load() || p.knows(s, m)
		}
		settling := Settling{User: s.user, Until: now.Add(p.cfg.Settle)}
		p.pend.add(func(r *Record) {
			for _, row := range s.rows {
				if c := row.change; c != nil && c.ID != (ChangeID{}) && (s.kind == Rename || p.models[row.model].Owner) {
					r.Done = append(r.Done, DoneID{Stream: row.stream, Table: row.key.Table, ID: c.ID, Kind: s.kind, User: s.user})
				}
			}
			if s.kind == DeleteUser {
				r.Settling = append(r.Settling, settling)
			} else {
				r.Renamed = append(r.Renamed, s.user.ID)
			}
		})
		if p.others { // a name that was renamed away starts anew too
			*puts = append(*puts, RowPut{Model: deletedUsers, Key: Key{ID: s.user.ID}, User: s.user})
		}
		for _, r := range s.rows {
			name := p.models[r.model].Name
			if r.oldKey != (Key{}) {
				p.ids.put(puts, s, RowPut{Model: name, Key: r.oldKey, Gone: true}, r.model)
			}
			if s.kind == DeleteUser {
				// Another model's row that waited before the delete lives on.
				p.ids.put(puts, s, RowPut{Model: name, Key: r.key, User: s.user, Gone: r.ends || p.models[r.model].Owner}, r.model)
			} else {
				p.ids.put(puts, s, RowPut{Model: name, Key: r.key, User: s.to}, r.model)
			}
		}
		p.delivered(ctx, s)
	}
	p.ended(s)
}

// knowRow puts down which user a row of a Track is known under from now on.
func (p *Pipeline) knowRow(s *step, r *rowRef, puts *[]RowPut) {
	m := &p.models[r.model]
	if m.IDFromKey && !m.Filter && p.proven[r.model].Load() && !r.ends { // with a filter, what was sent tells whether a row was in
		return
	}
	if r.oldKey != (Key{}) {
		p.ids.put(puts, s, RowPut{Model: m.Name, Key: r.oldKey, Gone: true}, r.model)
	}
	p.ids.put(puts, s, RowPut{Model: m.Name, Key: r.key, User: s.user, Gone: r.ends}, r.model)
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
func (q *queue) land(f *flight, now time.Time, ok bool, r Rejection) {
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
		q.steps--
		if ok && f.s.kind == DeleteUser {
			u.settle = now.Add(q.settleFor)
			u.again, u.early = true, f.s.existed
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

// dropUpdates takes away what could only update a profile that was just deleted. The shares are done with the next commit.
func (q *queue) dropUpdates(u *user) {
	for len(u.steps) > 0 && u.steps[0].kind == Track && u.steps[0].updateOnly {
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
	gone := map[int]bool{}
	for i := range batch {
		f := &batch[i]
		s := f.s
		if err.Throttled {
			continue
		}
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
		if s.attempts >= p.cfg.Attempts {
			if p.quarantine(context.Background(), s, "attempts", err.Error()) == nil {
				gone[i] = true
				shares = append(shares, s.shares...)
				p.gaveUp(ctx, s)
			}
		}
	}
	p.metrics.retries.Add(uint64(len(batch)))
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

// returned ends a flight whose step has to be sent again, or was given up. own: the fault is the step's own, not the endpoint's, whose senders wait anyway; so
// the user waits by itself. The lock is held.
func (q *queue) returned(f *flight, now time.Time, err *RetryableError, gone, own bool) {
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
			u.retry = now.Add(err.After)
		}
		if !gone && own && !err.Throttled && f.s.fails > 1 {
			u.retry = now.Add(min(30*time.Second, 50*time.Millisecond<<min(f.s.fails, 10)))
		}
	}
	if gone {
		q.steps--
	} else {
		f.s.maybeSent = f.s.maybeSent || err.Unknown && !f.free
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
		q.returned(&batch[i], now, &RetryableError{Throttled: true}, false, false)
	}
	q.signal()
	q.mu.Unlock()
}

// suppressed ends a flight of which nothing had to be sent.
func (p *Pipeline) suppressed(f *flight) {
	p.metrics.suppressed(f.s)
	p.seen(f.s, nil, "suppressed", "nothing changed for Braze")
	p.ended(f.s)
	var puts []RowPut
	for i := range f.s.rows {
		if r := &f.s.rows[i]; r.ends || r.oldKey != (Key{}) {
			p.knowRow(f.s, r, &puts)
		}
	}
	p.putRows(puts)
	p.ids.release(f.s)
	q := p.queue
	q.mu.Lock()
	f.u.busy = false
	q.steps--
	q.schedule(f.u, time.Now())
	q.signal()
	q.mu.Unlock()
	p.tracker.done(f.s.shares)
}
