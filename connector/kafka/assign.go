package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"brazecdc/connector"
)

// survey is what the brokers say of some topics at one moment.
type survey struct {
	topics      kadm.TopicDetails
	commits     kadm.OffsetResponses
	first, last kadm.ListedOffsets
	stable      kadm.ListedOffsets // the logs' ends, but before the first transaction that is still open
	at          kadm.ListedOffsets // of Config.StartTime
}

// survey asks for the group's offsets first and for the log's ends last, so that no offset can seem to be behind the end by the passing of time.
func (s *Source) survey(ctx context.Context, topics []string) (*survey, error) {
	var v survey
	var err error
	if v.commits, err = s.offsets(ctx); err != nil {
		return nil, err
	}
	if v.topics, err = s.adm.ListTopics(ctx, topics...); err != nil {
		return nil, fmt.Errorf("ask for topics: %w", err)
	}
	if v.first, err = s.adm.ListStartOffsets(ctx, topics...); err != nil {
		return nil, fmt.Errorf("ask where the logs begin: %w", err)
	}
	if s.cfg.Start == StartTimestamp {
		if v.at, err = s.adm.ListOffsetsAfterMilli(ctx, s.cfg.StartTime.UnixMilli(), topics...); err != nil {
			return nil, fmt.Errorf("ask for offsets at %s: %w", s.cfg.StartTime.Format(time.RFC3339), err)
		}
	}
	if v.stable, err = s.adm.ListCommittedOffsets(ctx, topics...); err != nil {
		return nil, fmt.Errorf("ask where the logs' open transactions begin: %w", err)
	}
	if v.last, err = s.adm.ListEndOffsets(ctx, topics...); err != nil {
		return nil, fmt.Errorf("ask where the logs end: %w", err)
	}
	return &v, nil
}

// assign is called by the client between getting partitions and reading them. It puts an assignment in place for each, and tells the client where to read.
func (s *Source) assign(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	var topics []string
	for t := range offsets {
		topics = append(topics, t)
	}
	select {
	case <-s.ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if len(topics) == 0 {
		return offsets, nil
	}
	v, err := s.survey(ctx, topics)
	if err != nil {
		if stop := refused(err, "take over partitions"); stop != nil {
			s.fail(stop)
		}
		return nil, err // the client joins the group again
	}
	if err := s.quiesce(ctx); err != nil {
		return nil, err
	}
	var fresh []*assignment
	for topic, parts := range offsets {
		for num := range parts {
			p := partition{topic, num}
			b, err := s.begin(ctx, v, p)
			if err != nil {
				var stop *connector.StopError
				if errors.As(err, &stop) {
					s.fail(stop)
				}
				for _, a := range fresh {
					a.cancel()
				}
				return nil, err
			}
			parts[num] = kgo.NewOffset().At(b.offset).WithEpoch(b.epoch)
			end, _ := v.last.Lookup(topic, num)
			fresh = append(fresh, s.newAssignment(p, b, end.Offset))
		}
	}
	s.install(fresh)
	return offsets, nil
}

// begin collects what is known of a partition and decides where it starts.
func (s *Source) begin(ctx context.Context, v *survey, p partition) (begin, error) {
	detail, ok := v.topics[p.topic]
	if !ok || detail.Err != nil {
		return begin{}, fmt.Errorf("topic %s is not there yet: %w", p.topic, detail.Err)
	}
	first, ok1 := v.first.Lookup(p.topic, p.num)
	last, ok2 := v.last.Lookup(p.topic, p.num)
	if err := errors.Join(first.Err, last.Err); err != nil || !ok1 || !ok2 {
		return begin{}, fmt.Errorf("the log of partition %d of topic %s cannot be asked for its ends yet: %w", p.num, p.topic, err)
	}
	f := facts{topic: p.topic, partition: p.num, topicID: detail.ID, parts: int32(len(detail.Partitions)), first: first.Offset, last: last.Offset,
		stable: last.Offset, start: s.cfg.Start, load: s.cfg.Load(p.topic), at: last.Offset, resets: s.cfg.resets()}
	if o, ok := v.stable.Lookup(p.topic, p.num); ok && o.Err == nil {
		f.stable = o.Offset
	}
	if at, ok := v.at.Lookup(p.topic, p.num); ok && at.Err == nil && at.Offset >= 0 {
		f.at = at.Offset
	}
	if c, ok := v.commits.Lookup(p.topic, p.num); ok && c.At >= 0 {
		if c.Err != nil {
			return begin{}, fmt.Errorf("fetch the offset of partition %d of topic %s: %w", p.num, p.topic, c.Err)
		}
		k := known{offset: c.At, epoch: c.LeaderEpoch}
		k.note, k.noted = parseNote(c.Metadata)
		f.committed = &k
	}
	if s.cfg.Recorded != nil {
		r, ok, err := s.cfg.Recorded(ctx, partOf(p))
		if err != nil {
			return begin{}, fmt.Errorf("read what was recorded of partition %d of topic %s: %w", p.num, p.topic, err)
		}
		if ok && r.Position.Offset < 1<<62 {
			k := known{offset: int64(r.Position.Offset), epoch: -1}
			k.note, k.noted = parseNote(string(r.Memo))
			f.shared = &k
		}
	}
	s.mu.Lock()
	if r, ok := s.recorded[p]; ok {
		f.recorded = &r.known
	}
	_, old := s.atOpen[p.topic]
	s.mu.Unlock()
	f.added = !old || addedLater(v.commits, p, f.topicID) || s.matchedLater(v.commits, p.topic)
	b, err := f.decide()
	if err == nil && b.first && b.offset == f.stable && f.stable > f.first {
		s.log.Warn("nothing was read of this partition before; what it holds is passed over", "topic", p.topic, "partition", p.num, "start", s.cfg.Start,
			"load", f.load, "offset", b.offset, "records", f.stable-f.first)
	}
	return b, err
}

// partOf is connector.PartOf of the partition's streams.
func partOf(p partition) string { return connector.PartOf(StreamOf(p.topic, p.num, 0)) }

// addedLater tells whether a partition came to its topic after the group began to read it.
func addedLater(commits kadm.OffsetResponses, p partition, id [16]byte) bool {
	for _, c := range commits[p.topic] {
		if n, ok := parseNote(c.Metadata); ok && n.topicID == id && n.parts > 0 && p.num >= n.parts {
			return true
		}
	}
	return false
}

func (s *Source) newAssignment(p partition, b begin, end int64) *assignment {
	b.note.match = s.patternMark()
	a := &assignment{partition: p, begin: b, end: end, memo: []byte(b.note.String()), more: make(chan struct{}, 1), moved: make(chan struct{}, 1),
		done: make(chan struct{}), handed: b.offset, acked: b.offset, committed: -1, top: end}
	a.ctx, a.cancel = context.WithCancel(s.ctx)
	return a
}

// fetchable takes away what may be left of an earlier assignment's pause: one that came as the partition was being taken away outlives it in the client.
func (s *Source) fetchable(fresh []*assignment) {
	paused := map[string][]int32{}
	for _, a := range fresh {
		paused[a.topic] = append(paused[a.topic], a.num)
	}
	s.group.ResumeFetchPartitions(paused)
}

// install puts assignments in place and starts their workers. One that is still there for the same partition ends: the group gave it to us anew.
func (s *Source) install(fresh []*assignment) {
	var old []*assignment
	s.mu.Lock()
	if s.ctx.Err() != nil {
		s.mu.Unlock()
		return
	}
	for _, a := range fresh {
		if o := s.assigned[a.partition]; o != nil {
			old = append(old, o)
		}
		s.count++
		a.stream = StreamOf(a.topic, a.num, s.count)
		s.assigned[a.partition] = a
		s.streams[a.stream] = a
		if _, ok := s.ids[a.topic]; !ok {
			s.ids[a.topic] = a.begin.note.topicID
		}
		delete(s.missing, a.topic)
	}
	s.mu.Unlock()
	if len(old) > 0 {
		s.finish(old)
	}
	s.fetchable(fresh)
	for _, a := range fresh {
		s.log.Info("partition assigned", "stream", a.stream, "offset", a.begin.offset, "end", a.end, "first", a.begin.first, "gap", a.begin.gap)
		s.wg.Go(func() { s.work(a) })
	}
}
