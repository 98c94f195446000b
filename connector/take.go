package connector

import (
	"context"
	"time"
)

// flight is a user whose step is being sent.
type flight struct {
	u, to *user // to: the other user of a rename
	s     *step
	more  []*step // events of the user behind s, in order
	calls int     // objects of the call that are its own: s (unless nothing of it is sent) and more
	free  bool    // not the step itself but the removal of a deprecated id before it
	gone  bool    // the user was deleted, and no row started the profile anew
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
			if u.busy {
				continue
			}
			if len(u.steps) == 0 { // what waited was withdrawn
				q.schedule(u, time.Now())
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
			f := flight{u: u, s: s, id: u.id, gone: u.again}
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
			s.shares = s.ownRuns() // its new owner sends it, so it is not done
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
const enoughReady = 4000

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
