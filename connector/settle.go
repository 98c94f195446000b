package connector

import (
	"context"
	"time"
)

// settler ends the settling of deleted users early: it asks Braze for those that something waits for, and lets them go when Braze does not know the id any
// more. That proves the delete only where it met a living profile: a delete of one that was never there, or was deleted twice, may still take effect, and
// would take the new profile with it. It ends with ctx.
func (p *Pipeline) settler(ctx context.Context) {
	wait := time.Second
	if p.cfg.Settle < 4*time.Second {
		wait = max(p.cfg.Settle/4, 5*time.Millisecond)
	}
	for sleep(ctx, wait) == nil {
		users := p.queue.settlingWaiters(p.sink.Limits(DeleteUser).Objects)
		if len(users) == 0 {
			continue
		}
		gone, err := p.sink.Gone(ctx, users)
		if err != nil {
			if ctx.Err() == nil {
				p.log.Debug("ask Braze for deleted users; they wait for the end of settle", "err", err)
			}
			if sleep(ctx, 10*time.Second) != nil {
				return
			}
			continue
		}
		p.queue.endSettle(gone)
	}
}

// settleSingles is how many addresses and phone numbers are asked for at once: each is a request of its own, and Braze grants few of these.
const settleSingles = 3

// settlingWaiters gives up to n settling users that have something to send and are out of their gap.
func (q *queue) settlingWaiters(n int) []User {
	now := time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	var users []User
	singles := 0 // asked by a request each
	for _, u := range q.parked {
		if len(users) == n {
			break
		}
		if u.settling() && u.from.early && len(u.steps) > 0 && !u.busy && u.gapEnd < at(now) {
			switch u.id.Kind {
			case ExternalID:
			case Email, Phone:
				if singles++; singles > settleSingles {
					continue
				}
			default:
				continue
			}
			users = append(users, u.id)
		}
	}
	return users
}

func (q *queue) endSettle(gone []User) {
	now := time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, id := range gone {
		u := q.users[id]
		if u == nil || !u.settling() {
			continue
		}
		q.endOf(u)
		q.schedule(u, now)
	}
	q.signal()
}
