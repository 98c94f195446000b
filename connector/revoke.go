package connector

import (
	"context"
	"time"
)

// Revoke gives streams up that go to another process: it waits until what is open of them is done and confirmed, and when ctx ends takes what is unsent out
// of the queues. What is being sent then may be sent once more by the other process; its late acknowledgement counts for nothing here. The source must
// hand out nothing of these streams any more. It may be called by any goroutine while Run works.
func (p *Pipeline) Revoke(ctx context.Context, streams []string) {
	set := map[string]bool{}
	for _, s := range streams {
		set[s] = true
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
	p.tracker.drop(set)
	for _, s := range withdrawn {
		p.ids.release(s)
	}
	if n := len(withdrawn); n > 0 {
		p.log.Info("took unsent changes of revoked partitions out of the queues; their new owner sends them", "count", n)
	}
}

// withdraw takes waiting steps out whose changes all belong to the given streams. A step that folds changes of other streams too stays: it belongs to them
// as well, and attributes may be sent twice.
func (q *queue) withdraw(streams map[string]bool) (out []*step) {
	now := time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	seen := map[*step]bool{}
	for _, u := range q.users {
		kept := u.steps[:0]
		for _, s := range u.steps {
			if !s.onlyOf(streams) {
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

func (s *step) onlyOf(streams map[string]bool) bool {
	for _, h := range s.shares {
		if !streams[h.t.stream.name] {
			return false
		}
	}
	return len(s.shares) > 0
}
