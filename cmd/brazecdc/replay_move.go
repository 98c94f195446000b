package main

import (
	"context"
	"slices"
	"time"

	"brazecdc/connector/control"
)

// movedReplay is a replay that was under way when the configuration was exchanged, to go on in the app that comes.
type movedReplay struct {
	q          control.ReplayRequest
	id         string
	partitions []int32 // that it read
	sends      bool    // somebody had said yes
}

// rejoinWithin is how long a replay that goes on waits for the partitions that it read before; another process of the group may have them now.
const rejoinWithin = 30 * time.Second

// leave gives the replay that is under way, for the app that comes next, nil for none. From then on its end is no end for those who watch it.
func (r *replays) leave() *movedReplay {
	r.mu.Lock()
	j := r.job
	r.mu.Unlock()
	if j == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.now.Phase.Ended() {
		return nil
	}
	j.moves = true
	return &movedReplay{q: j.q, id: j.id, partitions: slices.Clone(j.reads), sends: j.now.Phase == control.ReplaySends}
}

// goOn goes on with a replay of the app before, where the configuration makes the same of its rows.
func (r *replays) goOn(m *movedReplay) {
	q := m.q
	q.Restart = false
	j, err := r.prepare(q)
	if err == nil && j.id != m.id {
		r.a.log.Warn("the replay that was under way ended: another configuration makes other things of its rows", "component", "replay", "topic", q.Topic, "id", m.id,
			"hint", "start it again")
		return
	}
	if err != nil {
		r.a.log.Warn("the replay that was under way ended with the configuration that was applied", "component", "replay", "topic", q.Topic, "id", m.id, "err", err)
		return
	}
	j.reads, j.rejoins = m.partitions, true
	if m.sends {
		j.answers <- true
	}
	j.askedAt = time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begin(j)
}

// rejoin waits until the pipeline reads again, the partitions of before among what it reads.
func (j *replayJob) rejoin(ctx context.Context) error {
	j.phase(control.ReplayWaits, 0)
	j.progress(func(s *control.ReplayStatus) {
		s.Text = "a configuration was applied; the live stream takes its partitions up again"
	})
	select {
	case <-j.r.a.pipeline.Opened():
	case <-ctx.Done():
		return ctx.Err()
	}
	patience := time.NewTimer(rejoinWithin)
	defer patience.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for waits := true; waits && !j.rejoined(); {
		select {
		case <-tick.C:
		case <-patience.C:
			waits = false // what other processes have now is theirs
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	j.phase(control.ReplayScans, 0)
	return nil
}

// rejoined tells whether this process has all partitions again that the replay read before.
func (j *replayJob) rejoined() bool {
	left := slices.Clone(j.reads)
	for _, l := range j.r.a.topics.Lags() {
		if l.Topic == j.q.Topic {
			left = slices.DeleteFunc(left, func(num int32) bool { return num == l.Partition })
		}
	}
	return len(left) == 0
}
