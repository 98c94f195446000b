package connector

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// What waits for a person: Confirmation.Kind. PauseTruncate is a Pause.Reason, the others are a HeldDelete.Reason.
const (
	PauseTruncate = "truncate"           // the model's table was emptied
	PauseBrake    = "brake"              // too many deletes came at once
	PauseLost     = "lost data"          // data/ held nothing of an existing slot
	PauseGone     = "gone at the source" // a whole resync did not find the users
)

// What a person said of a held delete: HeldDelete.Answer.
const (
	// AnswerSend: it is on its way, and lies in data/ until it was delivered.
	AnswerSend = "send"
	// AnswerDrop: the profile stays. That is remembered, since a row that comes again under that external_id goes whole, with its NULLs.
	AnswerDrop = "drop"
)

// heldSet is the deletes that were not sent, with the counts of those that wait for an answer. It is guarded by care.mu.
type heldSet struct {
	of    map[User]HeldDelete
	waits map[heldKind]heldTally
	n     int // of them
}

// heldKind is why a model's deletes are held.
type heldKind struct{ model, reason string }

type heldTally struct {
	n     int
	since time.Time
}

func newHeldSet() heldSet {
	return heldSet{of: map[User]HeldDelete{}, waits: map[heldKind]heldTally{}}
}

func (s *heldSet) put(h HeldDelete) {
	s.take(h.User)
	s.of[h.User] = h
	if h.Answer == "" {
		s.n++
		k := heldKind{h.Model, h.Reason}
		t := s.waits[k]
		if t.n++; t.since.IsZero() || h.At.Before(t.since) {
			t.since = h.At
		}
		s.waits[k] = t
	}
}

func (s *heldSet) take(u User) (h HeldDelete, ok bool) {
	if h, ok = s.of[u]; !ok {
		return h, false
	}
	delete(s.of, u)
	if h.Answer == "" {
		s.n--
		k := heldKind{h.Model, h.Reason}
		t := s.waits[k]
		if t.n--; t.n == 0 {
			delete(s.waits, k)
		} else {
			s.waits[k] = t
		}
	}
	return h, true
}

// waiting tells whether a user's delete waits for an answer.
func (s *heldSet) waiting(u User) bool {
	h, ok := s.of[u]
	return ok && h.Answer == ""
}

// count gives how many deletes of a model wait for an answer, for whatever reason.
func (s *heldSet) count(model string) (n int) {
	for k, t := range s.waits {
		if k.model == model {
			n += t.n
		}
	}
	return n
}

// ofModel gives the deletes of a model that wait for an answer.
func (s *heldSet) ofModel(model string) (out []HeldDelete) {
	for _, h := range s.of {
		if h.Model == model && h.Answer == "" {
			out = append(out, h)
		}
	}
	return out
}

// hold keeps a delete in data/ instead of sending it, where the model waits for a person. It tells whether it did. What a person asked for is not held, nor
// what was counted and may have been sent.
func (p *Pipeline) hold(ctx context.Context, f *flight) bool {
	s := f.s
	if s.kind != DeleteUser || f.free || s.release || s.erase || s.retried != 0 {
		return false
	}
	c, model := p.care, s.rows[0].model
	c.mu.Lock()
	pause := c.holding[model]
	c.mu.Unlock()
	switch {
	case pause != nil:
		return p.holdBack(f, pause.Reason)
	case !s.counted && p.braked(ctx, model, s.user):
		return p.holdBack(f, PauseBrake)
	}
	return false
}

// countDelete counts a delete that is about to leave, and holds it where there were too many. It tells whether it did.
func (p *Pipeline) countDelete(f *flight) (held bool) {
	s := f.s
	if s.kind != DeleteUser || f.free || s.release || s.erase || s.retried != 0 || s.counted {
		return false
	}
	c := p.care
	c.mu.Lock()
	b := c.brakes[s.rows[0].model]
	s.counted = b == nil || b.admit(s.user, time.Now())
	c.mu.Unlock()
	return !s.counted && p.holdBack(f, PauseBrake)
}

// holdBack puts a delete into data/ and lets its user go on: what other models' changes waited with before the delete goes now. False: a person has just
// confirmed, and nothing is held any more.
func (p *Pipeline) holdBack(f *flight, reason string) bool {
	c, s := p.care, f.s
	r := s.rows[0]
	m := &p.models[r.model]
	h := HeldDelete{User: s.user, Model: m.Name, Key: r.key, Reason: reason, At: time.Now(), Part: PartOf(r.stream)}
	rest := p.besideDelete(s)
	c.mu.Lock()
	if reason == PauseLost && c.holding[r.model] == nil {
		c.mu.Unlock()
		return false
	}
	first := c.held.waits[heldKind{h.Model, reason}].n == 0
	why := ""
	if b := c.brakes[r.model]; b != nil && reason == PauseBrake {
		why = b.why()
	}
	c.held.put(h)
	c.refresh()
	c.mu.Unlock()
	if first && reason == PauseBrake {
		p.log.Warn("deletes are held: "+why+". The rest of them waits in data/ for `brazecdc confirm`, which sends them, or drops them with --drop; all else goes on",
			"model", h.Model, "table", m.Table)
	}
	shares := s.shares
	if rest != nil {
		shares = nil // the change is done when the rest of it is
	}
	p.pend.addThen(func(rec *Record) { rec.held(h) }, shares, nil)
	p.seen(s, nil, "held", reason)
	if rest == nil {
		p.ids.release(s)
	}
	q := p.queue
	q.mu.Lock()
	f.u.busy = false
	q.steps--
	if rest != nil {
		q.insertOlder(f.u, rest)
	}
	q.schedule(f.u, time.Now())
	q.signal()
	q.mu.Unlock()
	return true
}

// besideDelete makes a step of what a delete kept of other models' changes, nil where that is nothing. The profile that stays is there already, unless the very
// changes start it.
func (p *Pipeline) besideDelete(s *step) *step {
	if len(s.fields) == 0 {
		return nil
	}
	rest := &step{kind: Track, user: s.user, fields: s.fields, shares: s.shares, held: s.held, updateOnly: !s.unsent, noProof: true, nulls: true,
		maybeSent: s.maybeSent, at: s.at}
	for _, r := range s.rows {
		if !p.models[r.model].Owner {
			rest.rows = append(rest.rows, r)
		}
	}
	if len(rest.rows) == 0 {
		return nil
	}
	return rest
}

// releaseHeld takes the held deletes of a model out of memory and, unless they are dropped, queues them. data/ keeps each until it was delivered, or its user
// came again. The lock of care is held, so that a row that comes again is queued behind its delete.
func (p *Pipeline) releaseHeld(model int, drop bool) (held []HeldDelete) {
	c := p.care
	held = c.held.ofModel(p.models[model].Name)
	for i := range held {
		h := &held[i]
		c.held.take(h.User)
		h.Answer = AnswerSend
		if drop {
			h.Answer = AnswerDrop
			c.held.put(*h)
		}
	}
	c.refresh()
	// The answer comes into the record before the end of a delete can.
	p.pend.add(func(r *Record) {
		for _, h := range held {
			r.held(h)
		}
	})
	if !drop {
		p.sendHeld(model, held)
	}
	return held
}

// sendHeld queues held deletes that a person confirmed.
func (p *Pipeline) sendHeld(model int, held []HeldDelete) {
	steps := make([]*step, 0, len(held))
	for _, h := range held {
		steps = append(steps, &step{kind: DeleteUser, user: h.User, owner: true, verify: true, release: true, rows: []rowRef{{model: model, key: h.Key, ends: true, stream: heldStream(h.Part)}}})
	}
	for _, s := range p.queue.push(steps) {
		p.ended(s)
	}
}

// resumeHeld queues what was confirmed in an earlier run, or by another process, and not delivered. The lock of care is held.
func (p *Pipeline) resumeHeld(held []HeldDelete) {
	for i := range p.models {
		m := &p.models[i]
		var send []HeldDelete
		for _, h := range held {
			// Before answers were kept, the end of the model's pause was the answer.
			if h.Model == m.Name && (h.Answer == AnswerSend || h.Answer == "" && h.Reason == PauseLost && p.care.holding[i] == nil) {
				p.care.held.take(h.User)
				send = append(send, h)
			}
		}
		if len(send) > 0 {
			p.sendHeld(i, send)
		}
	}
	p.care.refresh()
}

// held says that a delete is held, or what became of it.
func (r *Record) held(h HeldDelete) {
	r.Released = slices.DeleteFunc(r.Released, func(u User) bool { return u == h.User })
	r.Held = append(r.Held, h)
}

// heldStream stands for the partition of a held delete, whose change is confirmed.
func heldStream(part string) string {
	if part == "" {
		return ""
	}
	return part + "@0"
}

// HeldDeletes gives the deletes that wait for Confirm, in no order.
func (p *Pipeline) HeldDeletes() []HeldDelete {
	p.care.mu.Lock()
	defer p.care.mu.Unlock()
	out := make([]HeldDelete, 0, p.care.held.n)
	for _, h := range p.care.held.of {
		if h.Answer == "" {
			out = append(out, h)
		}
	}
	return out
}

// SortHeld puts deletes in the order in which they were held.
func SortHeld(list []HeldDelete) {
	slices.SortFunc(list, func(a, b HeldDelete) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Model, b.Model), cmp.Compare(a.User.Kind, b.User.Kind), cmp.Compare(a.User.ID, b.User.ID), cmp.Compare(a.User.Label, b.User.Label))
	})
}
