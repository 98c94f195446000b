package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ErrRecordGone is what RecordAt gives for a record that its topic no longer holds: retention, compaction or deletion took it away.
var ErrRecordGone = errors.New("the topic no longer holds this record")

// fetchPatience bounds how long one record is asked for while its partition has no leader.
const fetchPatience = 20 * time.Second

// RecordAt gives one record of a topic as it lies there. It asks the partition's leader directly, never through the group, so that nothing moves; it may be
// called without Open, and concurrently. A record that is not there any more is an ErrRecordGone.
func (s *Source) RecordAt(ctx context.Context, topic string, partition int32, offset int64) (*Record, error) {
	limit, cancel := context.WithTimeout(ctx, fetchPatience)
	defer cancel()
	var rec *Record
	retry := backoff.NewExponentialBackOff(backoff.WithInitialInterval(50*time.Millisecond), backoff.WithMaxInterval(time.Second), backoff.WithMaxElapsedTime(0))
	err := backoff.Retry(func() (err error) {
		rec, err = s.recordAt(limit, topic, partition, offset)
		if err != nil && (errors.Is(err, ErrRecordGone) || !kerr.IsRetriable(err)) {
			return backoff.Permanent(err)
		}
		return err
	}, backoff.WithContext(retry, limit))
	if err != nil {
		return nil, fmt.Errorf("read the record at offset %d of partition %d of topic %s: %w", offset, partition, topic, err)
	}
	return rec, nil
}

func (s *Source) recordAt(ctx context.Context, topic string, partition int32, offset int64) (*Record, error) {
	all, err := s.adm.ListTopics(ctx, topic)
	if err != nil {
		if stop := refused(err, "read topic "+topic); stop != nil {
			return nil, stop
		}
		return nil, err
	}
	d := all[topic]
	switch p, ok := d.Partitions[partition]; {
	case errors.Is(d.Err, kerr.UnknownTopicOrPartition), d.Err == nil && !ok:
		return nil, ErrRecordGone
	case d.Err != nil:
		if stop := refused(d.Err, "read topic "+topic); stop != nil {
			return nil, stop
		}
		return nil, d.Err
	case p.Leader < 0:
		return nil, kerr.LeaderNotAvailable
	default:
		found, err := fetchOne(ctx, s.admin, place{topic, d.ID, partition, p.Leader}, offset)
		if errors.Is(err, kerr.OffsetOutOfRange) || err == nil && found == nil {
			return nil, ErrRecordGone
		}
		return found, err
	}
}

// place is a partition and who leads it.
type place struct {
	topic  string
	id     [16]byte
	num    int32
	leader int32
}

// fetchFrom asks a partition's leader for what lies there from an offset on, committed transactions only. It gives the raw answer: one batch at least, where
// there is one, whatever its size. The topic is named by both name and id, since the versions of the request differ in which they carry (KIP-516).
func fetchFrom(ctx context.Context, cl *kgo.Client, at place, from int64) (*kmsg.FetchResponseTopicPartition, error) {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch, req.IsolationLevel = 500, 1, 1<<20, -1, 1
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = at.topic, at.id
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch = at.num, from, 1<<20, -1
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	resp, err := cl.Broker(int(at.leader)).RetriableRequest(ctx, req)
	if err != nil {
		return nil, err
	}
	answer := resp.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
		return nil, err
	}
	for _, t := range answer.Topics {
		for i := range t.Partitions {
			return &t.Partitions[i], kerr.ErrorForCode(t.Partitions[i].ErrorCode)
		}
	}
	return nil, kerr.UnknownTopicOrPartition
}

// fetchOne gives the record of an offset, nil where the log has none there.
func fetchOne(ctx context.Context, cl *kgo.Client, at place, offset int64) (*Record, error) {
	raw, err := fetchFrom(ctx, cl, at, offset)
	if err != nil {
		return nil, err
	}
	got, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Offset: offset, IsolationLevel: kgo.ReadCommitted(), Topic: at.topic, Partition: at.num},
		raw, kgo.DefaultDecompressor(), nil)
	for _, r := range got.Records {
		if r.Offset == offset {
			var rec Record
			rec.fill(r)
			return &rec, nil
		}
	}
	return nil, got.Err
}

// Later calls yield for every record of a partition from an offset up to the log's end as it is now, in order, outside the group, and tells that end. It may
// be called without Open. The Record is reused after yield returns, its Key, Value and Headers are not.
func (s *Source) Later(ctx context.Context, topic string, partition int32, from int64, yield func(*Record) error) (end int64, err error) {
	spans, err := s.ends(ctx, topic)
	if err != nil {
		return 0, err
	}
	p := spans[partition]
	if p == nil {
		return 0, fmt.Errorf("read topic %s: it has no partition %d", topic, partition)
	}
	p.next = min(max(p.first, from), p.end)
	sc, err := s.newScan(topic, map[int32]*span{partition: p})
	if err != nil {
		return 0, err
	}
	defer sc.close()
	var rec Record
	for {
		r, err := sc.next(ctx)
		if errors.Is(err, io.EOF) {
			return p.end, nil
		}
		if err != nil {
			return 0, err
		}
		rec.fill(r)
		if err := yield(&rec); err != nil {
			return 0, err
		}
	}
}
