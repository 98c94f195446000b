package kafka

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// commitTimeout bounds one commit to the group.
const commitTimeout = 10 * time.Second

// committer tells the group by its own timer, whatever the pipeline does.
func (s *Source) committer(ctx context.Context) {
	tick := time.NewTicker(s.cfg.CommitEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if err := s.commit(ctx, s.all()); err != nil && ctx.Err() == nil {
			s.log.Warn("commit offsets; trying again", "group", s.cfg.Group, "err", err)
		}
	}
}

// commit tells the group what is due of these assignments. Each offset goes with the leader's epoch and the assignment's note. The client refuses by itself
// to commit offsets of a topic that was deleted and created again.
func (s *Source) commit(ctx context.Context, list []*assignment) error {
	offsets := map[string]map[int32]kgo.EpochOffset{}
	of := map[partition]*assignment{}
	for _, a := range list {
		eo, ok := a.due()
		if !ok {
			continue
		}
		if offsets[a.topic] == nil {
			offsets[a.topic] = map[int32]kgo.EpochOffset{}
		}
		offsets[a.topic][a.num] = eo
		of[a.partition] = a
	}
	if len(of) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	ctx = kgo.PreCommitFnContext(ctx, func(req *kmsg.OffsetCommitRequest) error {
		for i := range req.Topics {
			t := &req.Topics[i]
			for j := range t.Partitions {
				if a := of[partition{t.Topic, t.Partitions[j].Partition}]; a != nil {
					text := string(a.memo)
					t.Partitions[j].Metadata = &text
				}
			}
		}
		return nil
	})
	var failed error
	s.group.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		if err != nil {
			failed = err
			return
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					failed = errors.Join(failed, s.commitError(t.Topic, err))
				} else if a := of[partition{t.Topic, p.Partition}]; a != nil {
					a.told(offsets[t.Topic][p.Partition].Offset)
				}
			}
		}
	})
	return failed
}

// commitError sorts what the broker says of a partition. A member that lost its place gets new assignments, and the old commits end with the old ones.
func (s *Source) commitError(topic string, err error) error {
	switch {
	case errors.Is(err, kerr.UnknownTopicID), errors.Is(err, kerr.UnknownTopicOrPartition):
		s.background(func(ctx context.Context) { s.checkTopic(ctx, topic) })
	case errors.Is(err, kerr.IllegalGeneration), errors.Is(err, kerr.UnknownMemberID), errors.Is(err, kerr.RebalanceInProgress):
		s.log.Debug("the group is being balanced; offsets are committed later", "topic", topic, "err", err)
	default:
		if stop := refused(err, "commit offsets to group "+s.cfg.Group); stop != nil {
			s.fail(stop)
		}
	}
	return err
}

// revoked is the group's word that partitions go to another member. Nothing of them is handed out from here on. It returns when the pipeline has
// committed what it had taken, or gave up, and when the group was told.
func (s *Source) revoked(ctx context.Context, _ *kgo.Client, parts map[string][]int32) {
	list := s.withdraw(parts, draining)
	if len(list) == 0 {
		return
	}
	names := streams(list)
	s.log.Info("partitions revoked; what was taken of them is being finished", "streams", names)
	began := time.Now()
	drain, cancel := context.WithTimeout(s.ctx, s.cfg.Drain)
	if s.cfg.Revoke != nil {
		s.cfg.Revoke(drain, names)
	} else {
		waitIdle(drain, list)
	}
	cancel()
	if err := s.commit(ctx, list); err != nil {
		s.log.Warn("commit the last offsets of revoked partitions; their next owner repeats what was not committed", "streams", names, "err", err)
	}
	open := 0
	for _, a := range list {
		if !a.idle() {
			open++
		}
	}
	s.finish(list)
	s.log.Info("partitions given away", "streams", names, "unfinished", open, "duration_ms", time.Since(began).Milliseconds())
}

// lost is the group's word that partitions belong to somebody else already: nothing can be committed for them any more.
func (s *Source) lost(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
	list := s.withdraw(parts, ended)
	if len(list) == 0 {
		return
	}
	names := streams(list)
	s.log.Warn("partitions lost: the group gave them away without asking; what was not committed is read again", "streams", names)
	s.finish(list)
	if s.cfg.Revoke != nil {
		over, cancel := context.WithCancel(s.ctx)
		cancel()
		s.cfg.Revoke(over, names)
	}
}

func streams(list []*assignment) []string {
	var names []string
	for _, a := range list {
		names = append(names, a.stream)
	}
	slices.Sort(names)
	return names
}

// withdraw takes assignments out of the reader's hands.
func (s *Source) withdraw(parts map[string][]int32, to phase) []*assignment {
	var list []*assignment
	s.mu.Lock()
	for topic, nums := range parts {
		for _, num := range nums {
			p := partition{topic, num}
			if a := s.assigned[p]; a != nil {
				delete(s.assigned, p)
				list = append(list, a)
			}
		}
	}
	s.mu.Unlock()
	for _, a := range list {
		a.retire(to)
		s.resume(a) // the client remembers a pause beyond the assignment
	}
	s.left(nil, 0)
	return list
}

// finish ends assignments: their commits are ignored from here on. What the pipeline committed is remembered, in case they come back.
func (s *Source) finish(list []*assignment) {
	for _, a := range list {
		a.retire(ended)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range list {
		delete(s.streams, a.stream)
		s.recorded[a.partition] = a.record()
	}
}

// waitIdle waits until what was handed out is committed.
func waitIdle(ctx context.Context, list []*assignment) {
	for _, a := range list {
		for !a.idle() {
			select {
			case <-a.moved:
			case <-ctx.Done():
				return
			}
		}
	}
}
