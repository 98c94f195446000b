package connector

import (
	"container/heap"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// queue holds, for every user with something to send or to wait for, the steps in order. A user is at rest (not in the map), ready (stands in a ready
// list), busy (a request with it is open) or parked (waits for the gap, for a delete to settle, or for a retry). Nothing but this file moves a user
// between these. All methods lock mu; none calls out while holding it.
type queue struct {
	mu        sync.Mutex
	wake      [Kinds]*sync.Cond // senders of a kind: something is ready, or the queue closed
	users     map[User]*user
	ready     [Kinds][2]ring // by kind; live before loads
	gaps      ring           // users in their gap, in the order it ends
	parked    parkHeap
	renamed   map[string]bool // deprecated external_ids that still point at a living profile
	gap       time.Duration
	models    []ModelInfo
	notBefore moment        // nothing leaves earlier (after a start)
	timer     chan struct{} // pokes the clock when something earlier than it knows was parked
	closed    bool
	spare     []*user
	waits     [waits]int // users that have something to send and wait, by reason
	steps     int        // waiting or in flight
	coalesced func(model int)
	settleFor time.Duration
	dirty     map[User]bool   // settling users whose waiting step is not in data/ as it is now
	unsettled []User          // ended settling with nothing stored
	dropped   []*step         // that need no sending any more; done with the next record
	gone      map[string]bool // streams that another process has now
	anyGone   atomic.Bool
	roomy     chan struct{} // closed when few users are ready again; nil while nobody waits for that
	changed   func()        // dirty, unsettled or dropped got something
}

// user is one user's place in the queue. Tens of thousands stand in their gap at full speed, so it is kept small.
type user struct {
	id     User
	steps  []*step  // waiting, in order; those in flight are not here
	first  [1]*step // room for steps: most users have one
	gapEnd moment
	settle moment // end of settling after a delete; 0 if none
	retry  moment
	parkAt moment   // entry in the heap, 0 if none
	from   *settled // what it settles after
	index  int32    // in the heap
	inGap  int32    // entries in gaps
	reason wait     // why it is not ready
	busy   bool
	queued bool // stands in a ready list
	low    bool // in that of loads only
	again  bool // was deleted: the next track starts the profile anew
}

// settled is the delete that a user settles after.
type settled struct {
	part  string // where it came from
	early bool   // settling ends once Braze does not know the user
}

// wait is why a user with something to send is not ready.
type wait uint8

const (
	noWait wait = iota
	waitGap
	waitRetry
	waitSettle
	waitStart
	waitRename
	waits
)

var waitNames = [waits]string{waitGap: "gap", waitRetry: "retry", waitSettle: "settle", waitStart: "start", waitRename: "rename"}

func newQueue(models []ModelInfo, gap time.Duration) *queue {
	q := &queue{users: map[User]*user{}, renamed: map[string]bool{}, dirty: map[User]bool{}, changed: func() {}, gap: gap, models: models, timer: make(chan struct{}, 1), coalesced: func(int) {}}
	for k := range q.wake {
		q.wake[k] = sync.NewCond(&q.mu)
	}
	return q
}

func (q *queue) user(id User) *user {
	u := q.users[id]
	if u == nil {
		if n := len(q.spare); n > 0 {
			u = q.spare[n-1]
			q.spare = q.spare[:n-1]
			*u = user{}
		} else {
			u = &user{}
		}
		u.id = id
		u.steps = u.first[:0]
		q.users[id] = u
	}
	return u
}

// push adds steps in the order given and wakes the senders once. It gives back the steps that are already done because nothing is left to do for them.
func (q *queue) push(steps []*step) (done []*step) {
	now := time.Now()
	q.mu.Lock()
	for _, s := range steps {
		if s.kind == Rename {
			q.steps++
			from, to := q.user(s.user), q.user(s.to)
			from.steps = append(from.steps, s)
			to.steps = append(to.steps, s)
			q.schedule(from, now)
			q.schedule(to, now)
			continue
		}
		u := q.user(s.user)
		if d := q.append(u, s); d != nil {
			done = append(done, d)
		}
		q.schedule(u, now)
		q.raise(u)
	}
	q.signal()
	q.mu.Unlock()
	return done
}

// signal wakes as many senders as have work. The lock is held.
func (q *queue) signal() {
	for k := range q.ready {
		if n := q.ready[k][0].len() + q.ready[k][1].len(); n > 0 {
			for range min(1+n/64, 16) {
				q.wake[k].Signal()
			}
		}
	}
}

// append puts a step behind a user's waiting ones and folds where it may. A step it returns needs nothing to be sent.
func (q *queue) append(u *user, s *step) (done *step) {
	if q.lost(s) {
		return s
	}
	if u.settling() && len(u.steps) == 0 && !u.busy {
		switch {
		case s.kind == DeleteUser:
			return s // deleted already, and nothing was sent since
		case s.kind == Track && s.updateOnly && !s.creates:
			return s // there is no profile that it could update
		}
	}
	if s.load {
		if t := u.stepOf(s.rows[0]); t != nil {
			foldOlder(t, s)
			q.note(s)
			q.touched(u)
			return nil
		}
	}
	n := len(u.steps)
	if n == 0 {
		u.steps = append(u.steps, s)
		q.steps++
		q.touched(u)
		return nil
	}
	switch tail := u.steps[n-1]; {
	case s.event != nil || tail.event != nil: // events never fold, and nothing folds past them
		u.steps = append(u.steps, s)
		q.steps++
		q.touched(u)
		return nil
	case tail.user.Kind == Item && s.user.Kind == Item:
		u.steps[n-1] = foldItem(tail, s)
	case tail.kind == Subscribe && s.kind == Subscribe:
		fold(tail, s)
	case tail.kind == Track && s.kind == Track:
		fold(tail, s)
		if n > 1 && tail.owner && tail.creates && u.steps[n-2].kind == DeleteUser && !u.steps[n-2].maybeSent {
			q.undelete(u, n-2)
		}
	case tail.kind == Track && s.kind == DeleteUser:
		sent := s.maybeSent
		absorbOlder(s, tail)
		s.fields = q.others(tail.fields)
		s.maybeSent, s.unsent = sent, s.unsent || tail.creates
		u.steps[n-1] = s
		if n > 1 && u.steps[n-2].kind == DeleteUser {
			u.steps[n-2].fields = foldFields(u.steps[n-2].fields, s.fields, true)
			absorb(u.steps[n-2], s)
			u.steps = u.steps[:n-1]
			q.steps--
		}
	case tail.kind == DeleteUser && s.kind == DeleteUser:
		absorb(tail, s)
	case tail.kind == DeleteUser && s.kind == Track && s.owner && s.creates && !tail.maybeSent:
		u.steps = append(u.steps, s)
		q.steps++
		q.undelete(u, n-1)
	default:
		u.steps = append(u.steps, s)
		q.steps++
		q.touched(u)
		return nil
	}
	q.note(s)
	q.touched(u)
	return nil
}

// undelete removes the waiting delete at i, whose row came again at i+1.
func (q *queue) undelete(u *user, i int) {
	d, t := u.steps[i], u.steps[i+1]
	q.beneath(t, d)
	undelete(t, q.models)
	t.answerFor(d)
	u.steps = append(u.steps[:i], u.steps[i+1:]...)
	q.steps--
}

// others gives the fields of other models than the owner: a delete keeps those that waited before it, in case it is dropped.
func (q *queue) others(fields []Field) []Field {
	var out []Field
	for _, f := range fields {
		if !q.models[f.Def.Model].Owner {
			out = append(out, f)
		}
	}
	return out
}

// beneath puts what other models' changes waited with before a dropped delete under the row that stands in for it.
func (q *queue) beneath(t, dropped *step) {
	t.fields = foldFields(dropped.fields, t.fields, true)
	for _, r := range dropped.rows {
		if !q.models[r.model].Owner && !slices.ContainsFunc(t.rows, func(o rowRef) bool { return o.model == r.model && o.key == r.key }) {
			t.rows = append(t.rows, r)
		}
	}
}

func (q *queue) note(s *step) {
	for _, r := range s.rows {
		q.coalesced(r.model)
	}
}

func (q *queue) touched(u *user) {
	if u.settling() {
		q.dirty[u.id] = true
		q.changed()
	}
}

// stepOf finds the waiting Track that a load's row folds under: one that holds the same row.
func (u *user) stepOf(r rowRef) *step {
	for _, t := range u.steps {
		if t.kind != Track || t.event != nil {
			continue
		}
		for _, o := range t.rows {
			if o.model == r.model && o.key == r.key {
				return t
			}
		}
	}
	return nil
}

// because notes what a user with something to send waits for, and keeps the counts of it, so that status need not look at every user.
func (q *queue) because(u *user, reason wait) {
	if u.reason == reason {
		return
	}
	if u.reason != noWait {
		q.waits[u.reason]--
	}
	if reason != noWait {
		q.waits[reason]++
	}
	u.reason = reason
}

func (u *user) settling() bool { return u.settle != 0 }

// schedule puts a user where it belongs: into a ready list, among the parked, or out of the map. The lock is held.
func (q *queue) schedule(u *user, now time.Time) {
	if u.busy || u.queued {
		return
	}
	if len(u.steps) == 0 {
		q.because(u, noWait)
		if u.parkAt == 0 && u.inGap == 0 && !u.settling() {
			q.forget(u)
		}
		return
	}
	s := u.steps[0]
	until, reason := u.gapEnd, waitGap
	if u.retry > until {
		until, reason = u.retry, waitRetry
	}
	if u.settle > until && s.kind != DeleteUser {
		until, reason = u.settle, waitSettle
	}
	if q.notBefore > until {
		until, reason = q.notBefore, waitStart
	}
	if until > at(now) {
		q.because(u, reason)
		q.park(u, until)
		return
	}
	q.because(u, noWait)
	if s.kind == Rename {
		other := q.users[s.to]
		if other == u {
			other = q.users[s.user]
		}
		if other == nil || other.busy || other.queued || len(other.steps) == 0 || other.steps[0] != s {
			q.because(u, waitRename)
			return
		}
		if w := other.waits(s.kind); w > at(now) {
			q.because(u, waitRename) // the other one's turn ends later and schedules both
			q.park(other, w)
			return
		}
		u = q.users[s.user]
	}
	kind := s.kind
	if q.needsFree(u, s) {
		kind = Free
	}
	prio := 0
	if s.load || s.initial {
		prio = 1
	}
	u.queued, u.low = true, prio == 1
	q.ready[kind][prio].push(u, 0)
}

// raise moves a user who waits with a row of a load before all others of that kind once a live change came along. Its place among the loads stays behind and
// is skipped. The lock is held.
func (q *queue) raise(u *user) {
	if !u.queued || !u.low || u.steps[0].load || u.steps[0].initial {
		return
	}
	u.low = false
	kind := u.steps[0].kind
	if q.needsFree(u, u.steps[0]) {
		kind = Free
	}
	q.ready[kind][0].push(u, 0)
}

func (u *user) waits(k Kind) moment {
	w := u.gapEnd
	if u.retry > w {
		w = u.retry
	}
	if k != DeleteUser && u.settle > w {
		w = u.settle
	}
	return w
}

func (q *queue) needsFree(u *user, s *step) bool {
	if len(q.renamed) == 0 || s.kind == Free {
		return false
	}
	return u.id.Kind == ExternalID && q.renamed[u.id.ID] || s.kind == Rename && (q.renamed[s.to.ID] || q.renamed[s.user.ID])
}

// spareUsers is how many users' places are kept for the next ones. At full speed so many go and come within a gap that making each anew shows.
const spareUsers = 1 << 14

func (q *queue) forget(u *user) {
	delete(q.users, u.id)
	if len(q.spare) < spareUsers {
		u.id = User{}
		q.spare = append(q.spare, u)
	}
}

// park makes the clock look at u again at until.
func (q *queue) park(u *user, until moment) {
	if u.inGap > 0 && until <= u.gapEnd {
		return // the end of the gap comes by anyway
	}
	if u.parkAt != 0 {
		if until >= u.parkAt {
			return
		}
		u.parkAt = until
		heap.Fix(&q.parked, int(u.index))
	} else {
		u.parkAt = until
		heap.Push(&q.parked, u)
	}
	if u.index == 0 {
		q.poke()
	}
}

func (q *queue) poke() {
	select {
	case q.timer <- struct{}{}:
	default:
	}
}

// flight is a user whose step is being sent.
type flight struct {
	u, to *user // to: the other user of a rename
	s     *step
	more  []*step // events of the user behind s, in order
	calls int     // objects of the call that are its own: s (unless nothing of it is sent) and more
	free  bool    // not the step itself but the removal of a deprecated id before it
	id    User    // whom Free is for
}

// take marks up to n ready users of a kind busy and gives their first steps. It never waits.
func (q *queue) take(dst []flight, k Kind, n int) []flight {
	q.mu.Lock()
	defer q.mu.Unlock()
	for prio := range q.ready[k] {
		r := &q.ready[k][prio]
		for n > 0 && r.len() > 0 {
			u := r.pop()
			if !u.queued {
				continue // it left by the other list
			}
			u.queued = false
			if u.busy || len(u.steps) == 0 {
				continue
			}
			s := u.steps[0]
			need := s.kind
			if q.needsFree(u, s) {
				need = Free
			}
			if need != k { // folding changed what is first
				q.schedule(u, time.Now())
				q.signal()
				continue
			}
			if u.settling() && k != DeleteUser && k != Free {
				if now := time.Now(); u.settle > at(now) { // it began while the user stood here: a partition was taken over
					q.schedule(u, now)
					continue
				}
				q.endOf(u) // the clock has only not come by yet
			}
			f := flight{u: u, s: s, id: u.id}
			if s.kind == Rename {
				f.u, f.to = q.users[s.user], q.users[s.to]
				if f.to == nil || f.to.busy || f.to.queued || len(f.to.steps) == 0 || f.to.steps[0] != s {
					q.schedule(u, time.Now())
					continue
				}
				f.to.busy = true
				q.because(f.to, noWait)
			}
			f.u.busy = true
			f.u.shift()
			if f.to != nil {
				f.to.shift()
			}
			f.free = k == Free && s.kind != Free
			switch {
			case f.free && s.kind == Rename && q.renamed[s.to.ID]:
				f.id = s.to
			case f.free && s.kind == Rename:
				f.id = s.user
			case !f.free && s.kind == Track && u.again && !s.updateOnly && s.event == nil:
				s.again, s.nulls, u.again = true, true, false
			}
			n -= f.takeEvents(n - 1)
			dst = append(dst, f)
			n--
		}
	}
	q.wakeReader()
	return dst
}

// putBack puts a flight's step at the head of its users' queues again. The lock is held.
func (q *queue) putBack(f *flight) {
	kept := f.all()[:0:0]
	for _, s := range f.all() {
		if q.lost(s) {
			q.dropped = append(q.dropped, s)
			q.steps--
			q.changed()
			continue
		}
		if len(q.gone) > 0 {
			s.strip(q.gone, q.models)
		}
		kept = append(kept, s)
	}
	f.u.steps = append(kept, f.u.steps...)
	f.more = nil
	if f.to != nil && len(kept) > 0 {
		f.to.steps = append([]*step{f.s}, f.to.steps...)
	}
	q.refold(f.u)
}

func (u *user) shift() {
	copy(u.steps, u.steps[1:])
	u.steps[len(u.steps)-1] = nil
	u.steps = u.steps[:len(u.steps)-1]
}

// wait blocks until a user of that kind is ready; false when the queue closed.
func (q *queue) wait(k Kind) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.closed && q.ready[k][0].len() == 0 && q.ready[k][1].len() == 0 {
		q.wake[k].Wait()
	}
	return !q.closed
}

func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.wakeReader()
	q.mu.Unlock()
	for _, w := range q.wake {
		w.Broadcast()
	}
	q.poke()
}

// enoughReady is how many users may stand ready for a sender before reading waits: many full calls for all senders. More would only fill the heap, and the
// garbage collector would work for them.
const enoughReady = 8000

// room waits while enough users are ready, or for ctx. waits is told of it.
func (q *queue) room(ctx context.Context, waits func(bool)) error {
	for {
		q.mu.Lock()
		if q.closed || q.ready[Track][0].len()+q.ready[Track][1].len() < enoughReady {
			q.mu.Unlock()
			return nil
		}
		if q.roomy == nil {
			q.roomy = make(chan struct{})
		}
		roomy := q.roomy
		q.mu.Unlock()
		waits(true)
		select {
		case <-roomy:
			waits(false)
		case <-ctx.Done():
			waits(false)
			return ctx.Err()
		}
	}
}

// wakeReader lets the reader go on once fewer users are ready. The lock is held.
func (q *queue) wakeReader() {
	if q.roomy != nil && (q.closed || q.ready[Track][0].len()+q.ready[Track][1].len() < enoughReady*3/4) {
		close(q.roomy)
		q.roomy = nil
	}
}

// readyOf is how many users of a kind wait for a sender.
func (q *queue) readyOf(k Kind) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.ready[k][0].len() + q.ready[k][1].len()
}
