package connector

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Assigned is what a source tells of a partition that this process was given.
type Assigned struct {
	Stream string
	// From is the first offset that will be handed out.
	From uint64
	// First: nobody has read the partition before.
	First bool
	// Gap: others went on with it since this process had it, if ever.
	Gap bool
	// Fresh: its topic was deleted and made again, so that what was done before was done of other records.
	Fresh bool
}

// TakeOver prepares for a partition that was given to this process, and must be called before its first batch is handed out: what the cache knew of it is
// dropped where others went on with it, what the processes share of it is put into place, and requests of its last owner get their gap. It may be called by
// any goroutine while Run works.
func (p *Pipeline) TakeOver(ctx context.Context, a Assigned) error {
	part := PartOf(a.Stream)
	c := p.care
	c.takes(1)
	defer c.takes(-1)
	if a.Gap || a.Fresh {
		p.log.Info("others went on with this partition; what the cache knew of it is dropped", "stream", a.Stream)
		if p.cfg.Prints != nil {
			p.metrics.dropped[DropPartition].Add(1)
			if err := p.cfg.Prints.DropPart(part); err != nil {
				p.cacheFailed(err)
			}
		}
	}
	if a.Fresh {
		c.mu.Lock()
		c.undo(part)
		c.refresh()
		c.mu.Unlock()
		p.pend.add(func(r *Record) { r.Undone = append(r.Undone, part) })
	}
	if shared, ok := p.journal.(SharedJournal); ok {
		st, err := shared.Adopt(ctx, part, a.From, a.Fresh)
		if err != nil {
			return fmt.Errorf("read what the other processes left of %s: %w", part, err)
		}
		p.queue.mu.Lock()
		delete(p.queue.gone, heldStream(part))
		p.queue.mu.Unlock()
		if err := p.install(ctx, st); err != nil {
			return err
		}
	} else if a.Gap {
		p.log.Warn("another process went on with this partition, and what it held back or had already deleted is not known here; name a source.kafka.state_topic for all processes of the group",
			"stream", a.Stream)
	}
	c.mu.Lock()
	if ctx.Err() == nil {
		c.owned[part] = a.Stream
		left, was := c.leftAt[part]
		delete(c.leftAt, part)
		if !a.Gap && !a.Fresh && !a.First {
			p.missedAway(part, left, was)
		}
	}
	c.mu.Unlock()
	if a.First {
		return nil
	}
	return sleep(ctx, p.cfg.UserGap)
}

// install puts what was adopted into place, all at once, unless the partition was taken away meanwhile: then its ctx has ended before leave looks.
func (p *Pipeline) install(ctx context.Context, st *State) error {
	c := p.care
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	c.install(st)
	for i := range st.Entries {
		c.installEntry(&st.Entries[i])
	}
	p.resumeHeld(st.Held)
	c.refresh()
	p.restoreUsers(st)
	return nil
}

// owns tells whether this process has a partition.
func (p *Pipeline) owns(part string) bool {
	p.care.mu.Lock()
	defer p.care.mu.Unlock()
	return p.care.owned[part] != ""
}

// takes notes that a partition is being taken over, or was.
func (c *care) takes(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.takingOver += n
	c.tookOver = time.Now()
}

// How long Revoke waits for the last record, which the next owner reads, and for what is ours to be put away.
const (
	revokeFlush = 5 * time.Second
	revokeLeave = 20 * time.Second
)

// Revoke gives streams up that go to another process: it waits until what is open of them is done and confirmed, and when ctx ends takes what is unsent out
// of the queues. What is being sent then may be sent once more by the other process; its late acknowledgement counts for nothing here. The source must
// hand out nothing of these streams any more. It may be called by any goroutine while Run works.
func (p *Pipeline) Revoke(ctx context.Context, streams []string) {
	set, parts := map[string]bool{}, map[string]bool{}
	for _, s := range streams {
		set[s], parts[PartOf(s)] = true, true
		if _, ok := p.journal.(SharedJournal); ok {
			set[heldStream(PartOf(s))] = true
		}
	}
	if replay, ok := p.revokeReplay(streams); ok {
		set[replay] = true
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !p.tracker.idleOf(set) {
		select {
		case <-tick.C:
			continue
		case <-ctx.Done():
		}
		break
	}
	withdrawn := p.queue.withdraw(set)
	for _, s := range withdrawn {
		s.answer(droppedUnsent)
		p.ids.release(s)
		p.tracker.done(s.ownRuns())
	}
	if n := len(withdrawn); n > 0 {
		p.log.Info("took unsent changes of revoked partitions out of the queues; their new owner sends them", "count", n)
	}
	flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), revokeFlush)
	defer cancel()
	if err := p.flush(flush); err != nil {
		p.log.Warn("the last record before partitions go away was not written in time; their new owner may repeat what it would have told", "streams", streams, "err", err)
	}
	p.tracker.drop(set)
	leaving, end := context.WithTimeout(context.WithoutCancel(ctx), revokeLeave)
	defer end()
	p.leave(leaving, parts)
}

// flush waits until what is done by now is recorded and confirmed. The record of positions that are no longer open may still be on its way. Behind the last
// record of a run there is nothing to wait for: a source that closes may be asked for partitions even then.
func (p *Pipeline) flush(ctx context.Context) error {
	done := make(chan struct{})
	p.pend.addThen(func(*Record) {}, nil, func() { close(done) })
	select {
	case <-done:
	case <-p.over:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// leave forgets what the next owners of partitions know from the shared journal. Without one it stays, in case the partitions come back.
func (p *Pipeline) leave(ctx context.Context, parts map[string]bool) {
	c := p.care
	shared, ok := p.journal.(SharedJournal)
	c.mu.Lock()
	for part := range parts {
		delete(c.owned, part)
		c.leftAt[part] = time.Now()
		if ok {
			c.undo(part)
		}
	}
	if ok {
		for u, h := range c.held.of {
			if parts[h.Part] {
				c.held.take(u)
			}
		}
		for k, id := range c.entries {
			if parts[c.entryPart[id]] {
				c.dropEntry(k, id)
			}
		}
	}
	c.refresh()
	c.mu.Unlock()
	if !ok {
		return
	}
	for _, s := range p.queue.unsettle(parts) {
		p.ids.release(s)
	}
	names := make([]string, 0, len(parts))
	for part := range parts {
		names = append(names, part)
	}
	if err := shared.Leave(ctx, names); err != nil {
		p.log.Warn("forget partitions that were given away", "parts", names, "err", err)
	}
}

// unsettle takes settling users of partitions out, with what lies in data/ for them.
func (q *queue) unsettle(parts map[string]bool) (out []*step) {
	now := time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	for id, u := range q.users {
		if !u.settling() || u.from == nil || !parts[u.from.part] {
			continue
		}
		u.settle = 0
		delete(q.dirty, id)
		kept := u.steps[:0]
		for _, s := range u.steps {
			if s.stored && len(s.shares) == 0 {
				out = append(out, s)
				q.steps--
				continue
			}
			kept = append(kept, s)
		}
		clear(u.steps[len(kept):])
		u.steps = kept
		q.schedule(u, now)
	}
	q.signal()
	return out
}

// withdraw takes waiting steps out whose changes all belong to the given streams, and refuses what comes back of them, or comes late. Of a step that folds
// changes of other streams too, what is of these goes out, so that nothing old is sent after what the new owner sends.
func (q *queue) withdraw(streams map[string]bool) (out []*step) {
	now := time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.gone == nil {
		q.gone = map[string]bool{}
	}
	maps.Copy(q.gone, streams)
	q.anyGone.Store(true)
	seen := map[*step]bool{}
	for _, u := range q.users {
		kept := u.steps[:0]
		for _, s := range u.steps {
			if !s.onlyOf(streams) {
				s.strip(streams, q.models)
				kept = append(kept, s)
				continue
			}
			if !seen[s] {
				seen[s] = true
				out = append(out, s)
				q.steps--
			}
		}
		clear(u.steps[len(kept):])
		u.steps = kept
	}
	for _, u := range q.users {
		q.schedule(u, now)
	}
	q.signal()
	return out
}

// lost tells whether a step is of partitions that another process has now. The lock is held.
func (q *queue) lost(s *step) bool { return len(q.gone) > 0 && s.onlyOf(q.gone) }

// isLost is lost for those who do not hold the lock. What is not lost is without what was given away when it returns.
func (q *queue) isLost(s *step) bool {
	if !q.anyGone.Load() {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.lost(s) {
		return true
	}
	s.strip(q.gone, q.models)
	return false
}

// onlyOf tells whether all of a step is of the given streams: its changes, or where it has none (a retry) its rows.
func (s *step) onlyOf(streams map[string]bool) bool {
	if s.stored { // it lies in data/ for a user of its own partition, with changes of others that are confirmed
		return false
	}
	for _, h := range s.shares {
		if !streams[h.t.origin()] {
			return false
		}
	}
	if len(s.shares) > 0 {
		return true
	}
	for i := range s.rows {
		if !streams[s.rows[i].stream] {
			return false
		}
	}
	return len(s.rows) > 0
}

// ownRuns gives the shares of a step in runs of this process over what it remembers of a partition. When that goes away nobody else does them: its next owner has
// runs of its own.
func (s *step) ownRuns() (out []share) {
	for _, h := range s.shares {
		if h.t.of != "" {
			out = append(out, h)
		}
	}
	return out
}

// strip takes out of a folded step what is of the given streams: shares, rows, and the fields of models that have no row left in it. A delete whose own row is
// gone becomes what other models' changes waited with before it. Of what lies in data/ only shares go: its changes are confirmed, so nobody else sends them.
func (s *step) strip(streams map[string]bool, models []ModelInfo) {
	if !slices.ContainsFunc(s.rows, func(r rowRef) bool { return streams[r.stream] }) {
		return
	}
	shares := slices.DeleteFunc(slices.Clone(s.shares), func(h share) bool { return streams[h.t.stream.name] })
	if s.stored {
		s.shares = shares
		return
	}
	rows := slices.DeleteFunc(slices.Clone(s.rows), func(r rowRef) bool { return streams[r.stream] })
	if len(rows) == 0 {
		return // one row under both: what is newer counts
	}
	s.shares, s.rows, s.noProof = shares, rows, true
	s.fields = slices.DeleteFunc(slices.Clone(s.fields), func(f Field) bool {
		return !slices.ContainsFunc(s.rows, func(r rowRef) bool { return r.model == f.Def.Model })
	})
	owned := slices.ContainsFunc(rows, func(r rowRef) bool { return models[r.model].Owner })
	if s.kind == DeleteUser && !owned {
		s.kind, s.updateOnly, s.nulls, s.verify, s.release = Track, !s.unsent, true, false, false
	}
	s.owner = s.owner && owned
}
