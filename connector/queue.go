package connector

import (
	"container/heap"
	"sync"
	"sync/atomic"
	"time"
)

// queue holds, for every user with something to send or to wait for, the steps in order. A user is at rest (not in the map), ready (stands in a ready
// list), busy (a request with it is open) or parked (waits for the gap, for a delete to settle, or for a retry). Only schedule and take (take.go) move a user
// between these, the clock (clock.go) when its time comes. All methods lock mu; none calls out while holding it.
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
		s.queued = at(now)
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
		if u.busy {
			s.waited |= waitedBusy
		}
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

// because notes what a user with something to send waits for, and keeps the counts of it, so that status need not look at every user.
func (q *queue) because(u *user, reason wait) {
	if reason != noWait && len(u.steps) > 0 {
		u.steps[0].waited |= 1 << reason
	}
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
