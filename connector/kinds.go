package connector

import "slices"

// What belongs to the kinds beside profiles: events ride in a Track, items of a catalog stand in the queue like users.

// takeEvents takes up to n events that wait right behind a flight's step, so that they go in the same request: Braze applies a request's attributes before
// its events (Braze docs, "Race conditions"). It gives how many it took. The queue's lock is held.
func (f *flight) takeEvents(n int) int {
	if f.s.kind != Track || f.free {
		return 0
	}
	took := 0
	for took < n && len(f.u.steps) > 0 && f.u.steps[0].event != nil && f.u.steps[0].fails < 2 && f.s.fails < 2 {
		f.more = append(f.more, f.u.steps[0])
		f.u.shift()
		took++
	}
	return took
}

// withoutFirst settles a flight's first step, of which nothing has to be sent. What is left are its events; nil where there are none, and the user goes on.
func (f *flight) withoutFirst(p *Pipeline) *flight {
	if len(f.more) == 0 {
		p.suppressed(f)
		return nil
	}
	p.unsent(f.s)
	p.queue.mu.Lock()
	p.queue.steps--
	p.queue.mu.Unlock()
	f.s, f.more = f.more[0], f.more[1:]
	return f
}

// happened notes that Braze accepted an event, so that it is not sent again.
func (p *Pipeline) happened(s *step) {
	r := s.rows[0]
	if r.change == nil || r.stream == "" {
		return
	}
	done := DoneID{Stream: Lasting(r.stream), Table: r.key.Table, ID: r.change.ID, Kind: Track, User: s.user, Model: p.models[r.model].Name}
	if s.load {
		done.Row = rowHash(r.key)
	}
	p.pend.add(func(rec *Record) { rec.Done = append(rec.Done, done) })
}

// rowHash stands for a row in the memory of what was done; it is never 0.
func rowHash(k Key) uint64 { return hash64([]byte(k.Table), []byte{0}, []byte(k.ID)) | 1 }

// step gives the step of a flight's n-th object of the call.
func (f *flight) step(n int) *step {
	if n == 0 {
		return f.s
	}
	return f.more[n-1]
}

// all gives a flight's steps in order.
func (f *flight) all() []*step {
	return append([]*step{f.s}, f.more...)
}

// giveEvents puts the last n events of a flight back: they do not fit.
func (q *queue) giveEvents(f *flight, n int) {
	if n == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	at := len(f.more) - n
	f.u.steps = append(slices.Clone(f.more[at:]), f.u.steps...)
	f.more = f.more[:at]
}

// foldItem gives what is left of two waiting changes of a catalog's item: the newer one, which says all of it, with what the older one answers for.
func foldItem(older, newer *step) *step {
	sent := newer.maybeSent || older.maybeSent
	newer.noProof = newer.noProof || older.noProof || older.kind == DeleteItem && sent // the item may be gone
	for i := range newer.rows {
		r := &newer.rows[i]
		if j := slices.IndexFunc(older.rows, func(o rowRef) bool { return o.model == r.model && o.key == r.key }); j >= 0 {
			r.proven = r.proven && older.rows[j].proven
		}
	}
	if older.kind == PutItem && newer.kind == PutItem {
		newer.fields = foldFields(older.fields, newer.fields, sent)
	}
	absorbOlder(newer, older)
	newer.maybeSent = sent
	return newer
}
