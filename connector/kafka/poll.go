package kafka

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	pollRecords = 2000
	// slow is how long a worker may take over one record before its partition is no longer fetched, so that the others go on.
	slow = 200 * time.Millisecond
)

// read is the reader: it polls, and gives each partition's records to its worker. It never waits for one worker: a partition that cannot be decoded now is
// paused, and while all are held back by the pipeline it does not poll.
func (s *Source) read(ctx context.Context) {
	for s.waitRoom(ctx) {
		poll, cancel := context.WithCancel(ctx)
		round := make(chan struct{})
		s.mu.Lock()
		s.polling, s.round = cancel, round
		s.mu.Unlock()

		fetches := s.group.PollRecords(poll, pollRecords)
		if fetches.IsClientClosed() {
			cancel()
			close(round)
			return
		}
		s.take(fetches)
		s.mu.Lock()
		s.polling = nil
		s.mu.Unlock()
		cancel()
		close(round)
	}
}

// take gives fetched records to the workers.
func (s *Source) take(fetches kgo.Fetches) {
	fetches.EachError(func(topic string, num int32, err error) {
		if !errors.Is(err, context.Canceled) {
			s.fetchError(partition{topic, num}, err)
		}
	})
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if len(p.Records) == 0 {
			return
		}
		s.mu.Lock()
		a := s.assigned[partition{p.Topic, p.Partition}]
		s.mu.Unlock()
		if a != nil {
			a.push(p.Records, p.HighWatermark)
		}
	})
}

// quiesce waits until all that was fetched so far has reached the workers. What is fetched later was fetched for the present assignments only.
func (s *Source) quiesce(ctx context.Context) error {
	s.mu.Lock()
	cancel, round := s.polling, s.round
	s.mu.Unlock()
	if cancel == nil {
		return nil
	}
	cancel()
	select {
	case <-round:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// waitRoom waits until the buffer has room. Partitions that hold up the buffer because their records cannot be decoded now are paused and no longer count.
func (s *Source) waitRoom(ctx context.Context) bool {
	tick := time.NewTicker(slow)
	defer tick.Stop()
	for ctx.Err() == nil {
		if s.buffered() < s.cfg.BufferBytes {
			return true
		}
		select {
		case <-s.room:
		case <-tick.C:
			s.pauseSlow()
		case <-ctx.Done():
		}
	}
	return false
}

func (s *Source) buffered() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var n int64
	for _, a := range s.assigned {
		a.mu.Lock()
		if !a.paused {
			n += a.bytes
		}
		a.mu.Unlock()
	}
	return n
}

func (s *Source) pauseSlow() {
	stuck := map[string][]int32{}
	s.mu.Lock()
	for p, a := range s.assigned {
		a.mu.Lock()
		if a.phase == live && !a.paused && !a.busy.IsZero() && time.Since(a.busy) > slow {
			a.paused = true
			stuck[p.topic] = append(stuck[p.topic], p.num)
		}
		a.mu.Unlock()
	}
	s.mu.Unlock()
	if len(stuck) > 0 {
		s.group.PauseFetchPartitions(stuck)
	}
}

// resume lets a partition be fetched again once its worker has come through what was fetched before.
func (s *Source) resume(a *assignment) {
	a.mu.Lock()
	paused := a.paused
	a.paused = false
	a.mu.Unlock()
	if paused {
		s.group.ResumeFetchPartitions(map[string][]int32{a.topic: {a.num}})
	}
}

// fetchError sorts what a poll reports. The client tries again by itself whatever may pass; what is reported of a partition's offset is final.
func (s *Source) fetchError(p partition, err error) {
	var lost *kgo.ErrDataLoss
	switch {
	case errors.As(err, &lost):
		s.fail(s.lostError(lost))
	case errors.Is(err, kerr.OffsetOutOfRange):
		s.background(func(ctx context.Context) { s.outOfRange(ctx, p) })
	case errors.Is(err, kerr.UnknownTopicID), errors.Is(err, kerr.UnknownTopicOrPartition):
		s.background(func(ctx context.Context) { s.checkTopic(ctx, p.topic) })
	default:
		if stop := refused(err, "read the topics of group "+s.cfg.Group); stop != nil {
			s.fail(stop)
			return
		}
		s.health.trouble(err)
		s.log.Warn("fetch from Kafka; trying again", "topic", p.topic, "partition", p.num, "err", err)
	}
}

// background runs a question to the broker beside the reader.
func (s *Source) background(fn func(context.Context)) {
	s.wg.Go(func() {
		ctx, cancel := context.WithTimeout(s.ctx, 20*time.Second)
		defer cancel()
		fn(ctx)
	})
}
