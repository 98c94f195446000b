package connector

import (
	"container/heap"
	"context"
	"time"
)

// moment is a point in time as nanoseconds since long ago, by the monotonic clock; 0 is none.
type moment int64

// longAgo keeps the monotonic reading, which Add does and AddDate does not: a clock that is set shall not end a gap early.
var longAgo = time.Now().Add(-100 * 365 * 24 * time.Hour)

func at(t time.Time) moment { return moment(t.Sub(longAgo)) }

// sub is how long after t it is.
func (m moment) sub(t time.Time) time.Duration { return time.Duration(m - at(t)) }

// time is the moment as others know it.
func (m moment) time() time.Time { return longAgo.Add(time.Duration(m)) }

// clock moves users on when their gap, settling or retry time is over. It ends with ctx.
func (q *queue) clock(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(q.tick(time.Now()))
		select {
		case <-timer.C:
		case <-q.timer:
		case <-ctx.Done():
			return
		}
	}
}

// tick schedules every user whose time has come and tells how long nothing else will.
func (q *queue) tick(now time.Time) (next time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	next = time.Hour
	for q.gaps.len() > 0 {
		e := *q.gaps.first()
		if e.end > at(now) {
			next = e.end.sub(now)
			break
		}
		q.gaps.pop()
		e.u.inGap--
		q.due(e.u, now)
	}
	for len(q.parked) > 0 {
		u := q.parked[0]
		if u.parkAt > at(now) {
			next = min(next, u.parkAt.sub(now))
			break
		}
		heap.Pop(&q.parked)
		u.parkAt = 0
		q.due(u, now)
	}
	q.signal()
	return next
}

func (q *queue) due(u *user, now time.Time) {
	if u.settling() && u.settle <= at(now) {
		q.endOf(u)
	} else if u.settling() {
		q.park(u, u.settle) // a settling user is looked at again when it ends, with or without steps
	}
	q.schedule(u, now)
}

// endOf ends a user's settling. What lies in data/ of it stays there until it was sent. The lock is held.
func (q *queue) endOf(u *user) {
	if !u.settling() {
		return
	}
	u.settle = 0
	if len(u.steps) == 0 || !u.steps[0].stored {
		q.unsettled = append(q.unsettled, u.id)
		q.changed()
	}
}

// startGap begins a user's gap: its request was, or may have been, accepted just now.
func (q *queue) startGap(u *user, now time.Time) {
	if q.gap <= 0 {
		return
	}
	u.gapEnd = at(now.Add(q.gap))
	u.inGap++
	q.gaps.push(u, u.gapEnd)
	if q.gaps.len() == 1 {
		q.poke()
	}
}

// ring is a queue of users in a circular buffer; in the one for gaps each entry carries the gap's end, which only grows.
type ring struct {
	buf  []ringEntry
	head int
	n    int
}

type ringEntry struct {
	u   *user
	end moment
}

func (r *ring) len() int          { return r.n }
func (r *ring) first() *ringEntry { return &r.buf[r.head] }

func (r *ring) push(u *user, end moment) {
	if r.n == len(r.buf) {
		bigger := make([]ringEntry, max(64, 2*len(r.buf)))
		for i := range r.n {
			bigger[i] = r.buf[(r.head+i)%len(r.buf)]
		}
		r.buf, r.head = bigger, 0
	}
	r.buf[(r.head+r.n)%len(r.buf)] = ringEntry{u, end}
	r.n++
}

func (r *ring) pop() *user {
	u := r.buf[r.head].u
	r.buf[r.head] = ringEntry{}
	r.head = (r.head + 1) % len(r.buf)
	r.n--
	return u
}

// parkHeap orders parked users by the time they are looked at again.
type parkHeap []*user

func (h parkHeap) Len() int           { return len(h) }
func (h parkHeap) Less(i, j int) bool { return h[i].parkAt < h[j].parkAt }
func (h parkHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = int32(i), int32(j)
}

// Push adds a user; for container/heap only.
func (h *parkHeap) Push(x any) {
	u := x.(*user)
	u.index = int32(len(*h))
	*h = append(*h, u)
}

// Pop takes the last user; for container/heap only.
func (h *parkHeap) Pop() any {
	old := *h
	u := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return u
}
