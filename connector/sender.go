package connector

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// endpoint is what the senders of one kind share: how calls fare, and until when nobody calls after failures.
type endpoint struct {
	kind Kind

	mu        sync.Mutex
	running   int
	idle      int
	max       int
	fails     int // calls in a row that ended in a retry
	successes uint64
	hold      time.Time
	retry     *backoff.ExponentialBackOff
	probing   bool
	beats     []*pulse      // of its senders
	epoch     atomic.Uint64 // grows when the endpoint works again after failing for all
}

const failingAfter = 3 // calls in a row: from then on one probe at a time

func newEndpoint(k Kind, maxSenders int) *endpoint {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.MaxElapsedTime = 100*time.Millisecond, 30*time.Second, 0
	b.Reset()
	return &endpoint{kind: k, max: maxSenders, retry: b}
}

// enter waits out a hold; while the endpoint fails for all, only one sender passes at a time.
func (e *endpoint) enter(ctx context.Context) (probe bool, err error) {
	for {
		e.mu.Lock()
		wait := time.Until(e.hold)
		if wait <= 0 {
			if e.fails < failingAfter {
				e.mu.Unlock()
				return false, nil
			}
			if !e.probing {
				e.probing = true
				e.mu.Unlock()
				return true, nil
			}
			wait = 50 * time.Millisecond
		}
		e.mu.Unlock()
		if err := sleep(ctx, wait); err != nil {
			return false, err
		}
	}
}

// result notes how a call ended. probe is what enter gave.
func (e *endpoint) result(ok bool, after time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.probing = false
	if ok {
		if e.fails >= failingAfter {
			e.epoch.Add(1)
		}
		e.fails = 0
		e.successes++
		e.retry.Reset()
		return
	}
	e.fails++
	if after == 0 {
		after = e.retry.NextBackOff()
	}
	if until := time.Now().Add(after); until.After(e.hold) {
		e.hold = until
	}
}

func (e *endpoint) leave(probe bool) {
	if probe {
		e.mu.Lock()
		e.probing = false
		e.mu.Unlock()
	}
}

func (e *endpoint) state() (fails int, successes uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.fails, e.successes
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sender takes ready users of one kind, up to a full call, sends, and settles each user's outcome. There is one retry loop in the
// pipeline: a step that must be sent again goes back to the head of its user's queue.
type sender struct {
	p       *Pipeline
	e       *endpoint
	limits  Limits
	batch   []flight
	calls   []Effect
	fields  []Field
	fetch   fetch
	learned learned
	pulse   *pulse
	budget  time.Duration // how long it waited for the rate budget last
}

// grow starts another sender where full calls wait and all are busy.
func (p *Pipeline) grow(ctx context.Context, e *endpoint) {
	e.mu.Lock()
	start := e.running < e.max && e.idle == 0 && e.fails == 0
	e.mu.Unlock()
	if start {
		p.startSender(ctx, e)
	}
}

// growIfShort starts another sender where full calls wait. The reader asks too, since senders that are all in slow calls cannot.
func (p *Pipeline) growIfShort(ctx context.Context) {
	if e := p.ends[Track]; p.queue.readyOf(Track) >= 2*p.sink.Limits(Track).Objects {
		p.grow(ctx, e)
	}
}

// startSender starts one in any case, unless there are as many as may be.
func (p *Pipeline) startSender(ctx context.Context, e *endpoint) {
	e.mu.Lock()
	full := e.running >= e.max
	if !full {
		e.running++
	}
	e.mu.Unlock()
	if full {
		return
	}
	p.senders.Add(1)
	s := &sender{p: p, e: e, limits: p.sink.Limits(e.kind), pulse: &pulse{}}
	s.pulse.beat(phaseIdle)
	e.mu.Lock()
	e.beats = append(e.beats, s.pulse)
	e.mu.Unlock()
	go func() {
		defer p.senders.Done()
		s.run(ctx)
		s.pulse.beat(phaseIdle)
	}()
}

func (s *sender) run(ctx context.Context) {
	permit := false
	for {
		s.e.mu.Lock()
		s.e.idle++
		s.e.mu.Unlock()
		open := s.p.queue.wait(s.e.kind)
		s.e.mu.Lock()
		s.e.idle--
		s.e.mu.Unlock()
		if !open {
			return
		}
		if s.p.queue.readyOf(s.e.kind) >= 2*s.limits.Objects {
			s.p.grow(ctx, s.e)
		}
		probe, err := s.e.enter(ctx)
		if err != nil {
			return
		}
		if !permit {
			asked := time.Now()
			if err := s.p.sink.Wait(ctx, s.e.kind); err != nil {
				s.e.leave(probe)
				return
			}
			s.budget = time.Since(asked)
		}
		s.pulse.beat(phaseWork)
		s.collect(ctx)
		permit = len(s.batch) == 0
		if permit {
			s.e.leave(probe)
			s.pulse.beat(phaseIdle)
			continue
		}
		if err := s.deliver(ctx, 0, len(s.batch)); err != nil {
			s.p.stop(err)
			return
		}
		s.pulse.beat(phaseIdle)
	}
}

// collect fills a call: it takes ready users, settles at once what needs no sending, and goes on until the call is full or nobody is ready. A step that
// failed twice goes alone, so that it takes no others down.
func (s *sender) collect(ctx context.Context) {
	clear(s.batch)
	s.batch, s.calls, s.fields = s.batch[:0], s.calls[:0], s.fields[:0]
	bytes, alone := 0, false
	for len(s.calls) < s.limits.Objects && !alone {
		from := len(s.batch)
		s.batch = s.p.queue.take(s.batch, s.e.kind, s.limits.Objects-len(s.calls))
		taken := s.batch[from:]
		if len(taken) == 0 {
			return
		}
		if s.e.kind == Track {
			s.p.prefetch(taken, &s.fetch)
		}
		kept := s.batch[:from]
		var back []flight
		for i := range taken {
			f := taken[i]
			solo := s.solo(f.s)
			apart := len(kept) > 0 && s.limits.Apart != nil && s.limits.Apart(s.calls[0].User, f.s.user)
			if alone || apart || bytes >= s.limits.Bytes || solo && len(kept) > 0 {
				back = append(back, f)
				continue
			}
			first := len(s.calls)
			if !s.prepare(ctx, &f) {
				continue
			}
			size := s.fit(&f, first, s.limits.Bytes-bytes)
			if len(kept) > 0 && bytes+size > s.limits.Bytes {
				s.calls = s.calls[:first]
				back = append(back, f)
				continue
			}
			bytes += size
			alone = solo
			f.calls = len(s.calls) - first
			kept = append(kept, f)
		}
		s.batch = kept
		if len(back) > 0 {
			s.p.queue.giveBack(back)
			return
		}
	}
}

// fit gives the size of what a flight adds to the call, after giving events back that have no room.
func (s *sender) fit(f *flight, first, room int) int {
	size := 0
	for i := first; i < len(s.calls); i++ {
		n := s.p.sink.Size(&s.calls[i])
		if i > first && size+n > room {
			s.p.queue.giveEvents(f, len(s.calls)-i)
			s.calls = s.calls[:i]
			break
		}
		size += n
	}
	return size
}

func (s *sender) solo(st *step) bool { return st.fails >= 2 && st.epoch == s.e.epoch.Load() }

// prepare makes the call's object of a flight. False: nothing is to be sent for it now, and it was settled or put back.
func (s *sender) prepare(ctx context.Context, f *flight) bool {
	st := f.s
	if s.p.queue.anyGone.Load() && slices.ContainsFunc(f.all(), s.p.queue.isLost) {
		s.p.queue.giveBack([]flight{*f})
		return false
	}
	if why := s.p.erased(st.user); why != "" && !f.free && (st.kind == Track || st.kind == Subscribe) {
		s.p.leaveOut(f, why)
		return false
	}
	if !f.free && s.p.overtaken(st) {
		for i := range st.rows {
			st.rows[i].partial = true // what is not sent makes nothing known
		}
		if st.kind == PutItem {
			s.p.suppressed(f)
			return false
		}
		if f = f.withoutFirst(s.p); f == nil {
			return false
		}
		return s.prepare(ctx, f)
	}
	call := Effect{Kind: st.kind, User: st.user, To: st.to}
	switch {
	case f.free:
		call = Effect{Kind: Free, User: f.id}
	case st.refused:
		s.p.notRenamed(ctx, f)
		return false
	case st.event != nil:
		call.Event, call.UpdateOnly = st.event, st.updateOnly
	case st.kind == PutItem:
		if _, _, send := diff(nil, st, s.p.knowledge(st)); !send {
			s.p.suppressed(f)
			return false
		}
		call.Fields = st.fields // PUT replaces the item, so it goes whole
	case st.kind == Subscribe && st.ended() && (f.gone || s.p.wasDeleted(st)):
		s.p.suppressed(f) // the call would begin a profile, only to end a state in it
		return false
	case st.kind == Track || st.kind == Subscribe:
		if st.reread {
			if err := s.asking(func() error { return s.p.refetch(ctx, st) }); err != nil {
				s.p.again(ctx, []flight{*f}, s.e, lookupFailed(err))
				return false
			}
		}
		if len(st.recalls) > 0 {
			if err := s.asking(func() error { return s.p.remembered(ctx, st) }); err != nil {
				s.p.again(ctx, []flight{*f}, s.e, lookupFailed(err))
				return false
			}
		}
		if st.kind == Track && (st.again || s.p.wasDeleted(st)) {
			if err := s.asking(func() error { return s.p.readAgain(ctx, st) }); err != nil {
				s.p.again(ctx, []flight{*f}, s.e, lookupFailed(err))
				return false
			}
		}
		s.p.care.joinLate(st, s.p)
		if need := len(st.fields) + 2; cap(s.fields)-len(s.fields) < need {
			s.fields = make([]Field, 0, max(2*cap(s.fields), 128*need))
		}
		n := len(s.fields)
		fields, merge, send := diff(s.fields[n:], st, s.p.knowledge(st))
		if state := s.p.unknownConsent(st, fields); state != nil {
			var found bool
			err := s.asking(func() (err error) { found, err = s.p.readConsent(ctx, st, state); return err })
			if err != nil {
				s.p.again(ctx, []flight{*f}, s.e, lookupFailed(err))
				return false
			}
			if found {
				fields, merge, send = diff(s.fields[n:], st, s.p.knowledge(st))
			}
		}
		if st.kind == Track {
			if f, ok := st.marks(send); ok {
				fields, send = append(fields, f), true
			}
		}
		if !send {
			if f = f.withoutFirst(s.p); f == nil {
				return false
			}
			return s.prepare(ctx, f)
		}
		s.fields = s.fields[:n+len(fields)]
		call.Fields, call.UpdateOnly, call.Owner, call.Creates = fields, st.updateOnly, st.owner, st.creates
		call.Merge = merge
	case s.p.hold(ctx, f):
		return false
	case st.retried != 0 && !s.p.stillOpen(st.retried):
		s.p.suppressed(f) // a later change took the entry along
		return false
	case st.verify:
		var alive bool
		err := s.asking(func() (err error) { alive, err = s.p.living(ctx, f); return err })
		if err != nil {
			s.p.again(ctx, []flight{*f}, s.e, lookupFailed(err))
		}
		if err != nil || alive {
			return false
		}
	}
	if s.p.countDelete(f) {
		return false
	}
	s.calls = append(s.calls, call)
	for _, e := range f.more {
		s.calls = append(s.calls, Effect{Kind: Track, User: e.user, Event: e.event, UpdateOnly: e.updateOnly})
	}
	return true
}

// asking marks that the sender waits for rows of the source.
func (s *sender) asking(ask func() error) error {
	s.pulse.beat(phaseLookup)
	defer s.pulse.beat(phaseWork)
	return ask()
}

// lookupFailed puts a step back whose rows could not be read. That is no attempt at Braze, and counts as none.
func lookupFailed(err error) *RetryableError {
	return &RetryableError{Err: err, Throttled: true, After: time.Second, Why: RetryLookup}
}

// deliver sends flights lo to hi of the batch and settles each, splitting where Braze refuses the call as a whole. An error ends the pipeline.
func (s *sender) deliver(ctx context.Context, lo, hi int) error {
	batch := s.batch[lo:hi]
	calls := s.callsOf(lo, hi)
	if err := s.p.noteMarked(batch, calls); err != nil {
		s.p.queue.giveBack(batch)
		return err
	}
	sending, note := s.calling(ctx, batch, len(calls))
	s.pulse.beat(phaseCall)
	began := s.p.traceTime()
	err := s.p.sink.Send(sending, s.e.kind, calls)
	s.pulse.beat(phaseWork)
	s.traced(batch, len(calls), began, err)
	note.answered()
	var retry *RetryableError
	var refused *RejectedError
	switch {
	case err == nil:
		s.e.result(true, 0)
		s.p.accepted(ctx, s.e.kind, batch, calls, nil, &s.learned)
	case errors.As(err, &retry):
		if ctx.Err() == nil {
			s.e.result(false, retry.After)
		}
		s.p.again(ctx, batch, s.e, retry)
	case errors.As(err, &refused) && refused.Whole && len(batch) > 1:
		s.e.result(true, 0)
		mid := (lo + hi) / 2
		for _, part := range [2][2]int{{lo, mid}, {mid, hi}} {
			s.pulse.beat(phaseIdle)
			if err := s.p.sink.Wait(ctx, s.e.kind); err != nil {
				s.p.queue.giveBack(s.batch[part[0]:part[1]])
				continue
			}
			if err := s.deliver(ctx, part[0], part[1]); err != nil {
				return err
			}
		}
	case errors.As(err, &refused) && refused.Whole && len(calls) > 1:
		s.e.result(true, 0)
		// One user's object and its events: the object alone, then the others come by themselves.
		// What the batch still holds is sent by who split it, so this is a call of its own.
		f := s.batch[lo]
		s.p.queue.giveEvents(&f, len(f.more))
		f.calls = 1
		alone := &sender{p: s.p, e: s.e, limits: s.limits, pulse: s.pulse, batch: []flight{f}, calls: calls[:1:1]}
		s.pulse.beat(phaseIdle)
		if err := s.p.sink.Wait(ctx, s.e.kind); err != nil {
			s.p.queue.giveBack(alone.batch)
			return nil
		}
		return alone.deliver(ctx, 0, 1)
	case errors.As(err, &refused):
		s.e.result(true, 0)
		items := refused.Items
		if refused.Whole {
			items = []Rejection{{Reason: refused.Error()}}
		}
		s.p.accepted(ctx, s.e.kind, batch, calls, items, &s.learned)
	default:
		s.p.queue.giveBack(batch)
		if ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// callsOf gives the objects of flights lo to hi of the batch.
func (s *sender) callsOf(lo, hi int) []Effect {
	from := 0
	for i := range lo {
		from += s.batch[i].calls
	}
	to := from
	for i := lo; i < hi; i++ {
		to += s.batch[i].calls
	}
	return s.calls[from:to]
}
