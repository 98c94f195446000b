package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"brazecdc/connector"
)

// span is what is read of one partition: from next up to end, both known before reading begins.
type span struct {
	first, next, end int64
	seen             int64 // behind the last record, those without changes included; 0 before the first
}

// scan reads spans of one topic's partitions outside any group. It is used by one goroutine.
type scan struct {
	src   *Source
	topic string
	cl    *kgo.Client
	spans map[int32]*span
	ready []*kgo.Record
	pos   int
	quiet time.Time // since when nothing came
}

// scanIdle is after how long without records a partition is asked whether anything is left: compaction leaves batches without records, which the client
// passes over in silence.
const scanIdle = 2 * time.Second

func (s *Source) newScan(topic string, spans map[int32]*span) (*scan, error) {
	parts := map[int32]kgo.Offset{}
	for num, p := range spans {
		if p.next < p.end {
			parts[num] = kgo.NewOffset().At(p.next)
		}
	}
	sc := &scan{src: s, topic: topic, spans: spans, quiet: time.Now()}
	if len(parts) == 0 {
		return sc, nil
	}
	opts := append(slices.Clone(s.opts),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: parts}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		kgo.FetchMaxBytes(2<<20), kgo.FetchMaxPartitionBytes(1<<20), kgo.MaxConcurrentFetches(2), kgo.FetchMaxWait(500*time.Millisecond),
	)
	var err error
	if sc.cl, err = kgo.NewClient(opts...); err != nil {
		return nil, fmt.Errorf("read topic %s: %w", topic, err)
	}
	return sc, nil
}

func (sc *scan) close() {
	if sc.cl != nil {
		sc.cl.Close()
	}
}

// left gives how many offsets are still to be read.
func (sc *scan) left() (n int64) {
	for _, p := range sc.spans {
		n += max(0, p.end-p.next)
	}
	return n
}

// next gives the next record, in order within its partition, or io.EOF behind the last. Transactions' marks are passed over.
func (sc *scan) next(ctx context.Context) (*kgo.Record, error) {
	for {
		for sc.pos < len(sc.ready) {
			r := sc.ready[sc.pos]
			sc.ready[sc.pos] = nil
			sc.pos++
			p := sc.spans[r.Partition]
			if r.Offset >= p.end || r.Offset < p.next {
				p.next = max(p.next, min(r.Offset, p.end))
				continue
			}
			p.next = r.Offset + 1
			p.seen = p.next
			if !r.Attrs.IsControl() {
				return r, nil
			}
		}
		if sc.left() == 0 {
			return nil, io.EOF
		}
		if err := sc.poll(ctx); err != nil {
			return nil, err
		}
	}
}

func (sc *scan) poll(ctx context.Context) error {
	limit, cancel := context.WithTimeout(ctx, scanIdle)
	defer cancel()
	fetches := sc.cl.PollRecords(limit, 2000)
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, e := range fetches.Errors() {
		switch {
		case errors.Is(e.Err, context.DeadlineExceeded):
		case errors.Is(e.Err, kerr.OffsetOutOfRange), errors.Is(e.Err, kerr.UnknownTopicID), errors.Is(e.Err, kgo.ErrClientClosed):
			return fmt.Errorf("read partition %d of topic %s: what was to be read is no longer there: %w", e.Partition, sc.topic, e.Err)
		default:
			if stop := refused(e.Err, "read topic "+sc.topic); stop != nil {
				return stop
			}
		}
	}
	sc.ready, sc.pos = sc.ready[:0], 0
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		sc.ready = append(sc.ready, p.Records...)
		if s := sc.spans[p.Partition]; s != nil && s.next >= s.end {
			sc.cl.PauseFetchPartitions(map[string][]int32{sc.topic: {p.Partition}})
		}
	})
	if len(sc.ready) > 0 {
		sc.quiet = time.Now()
		return nil
	}
	if time.Since(sc.quiet) < scanIdle {
		return nil
	}
	sc.quiet = time.Now()
	return sc.passEmpty(ctx)
}

// passEmpty asks the brokers directly what lies ahead in the partitions that stand still, and ends those where only batches without records are left.
func (sc *scan) passEmpty(ctx context.Context) error {
	all, err := sc.src.adm.ListTopics(ctx, sc.topic)
	if err != nil || ctx.Err() != nil {
		return ctx.Err() // the client goes on trying, and the next round asks again
	}
	for num, p := range sc.spans {
		leader := all[sc.topic].Partitions[num].Leader
		if p.next >= p.end || leader < 0 {
			continue
		}
		limit, cancel := context.WithTimeout(ctx, 5*time.Second)
		raw, err := fetchFrom(limit, sc.cl, place{sc.topic, all[sc.topic].ID, num, leader}, p.next)
		cancel()
		if err == nil {
			p.next = min(afterEmpty(raw.RecordBatches, p.next), p.end)
		}
	}
	return ctx.Err()
}

// afterEmpty gives the offset up to which fetched batches hold no records from an offset on. It looks at the heads of the record batches only (Kafka protocol,
// record batch of magic 2: base offset in bytes 0-7, length in 8-11, last offset delta in 23-26, number of records in 57-60).
func afterEmpty(b []byte, from int64) int64 {
	for len(b) >= 61 && b[16] == 2 {
		base, size := int64(binary.BigEndian.Uint64(b)), int(int32(binary.BigEndian.Uint32(b[8:])))
		last := base + int64(int32(binary.BigEndian.Uint32(b[23:])))
		if last >= from && binary.BigEndian.Uint32(b[57:]) > 0 {
			return from
		}
		from = max(from, last+1)
		if size < 49 || size > len(b)-12 {
			return from
		}
		b = b[12+size:]
	}
	return from
}

// ends gives the partitions of a topic with what a reader outside the group can read of them.
func (s *Source) ends(ctx context.Context, topic string) (map[int32]*span, error) {
	all, err := s.adm.ListTopics(ctx)
	if err != nil {
		if stop := refused(err, "list topics"); stop != nil {
			return nil, stop
		}
		return nil, fmt.Errorf("list topics: %w", err)
	}
	if d, ok := all[topic]; !ok {
		return nil, s.noTopic(topic, all)
	} else if stop := refused(d.Err, "read topic "+topic); stop != nil {
		return nil, stop
	}
	first, err := s.adm.ListStartOffsets(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("ask where topic %s begins: %w", topic, err)
	}
	last, err := s.adm.ListCommittedOffsets(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("ask where topic %s ends: %w", topic, err)
	}
	spans := map[int32]*span{}
	err = last.Error()
	last.Each(func(o kadm.ListedOffset) {
		if f, ok := first.Lookup(topic, o.Partition); ok && f.Err == nil && o.Err == nil {
			spans[o.Partition] = &span{first: f.Offset, next: f.Offset, end: o.Offset}
		} else if ok {
			err = errors.Join(err, f.Err)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("ask for the ends of topic %s: %w", topic, err)
	}
	return spans, nil
}

// sampleWhole is up to how many records Sample reads of each partition, whichever of them the newest are in.
const sampleWhole = 1000

// Sample gives the newest records of a topic, at most n, oldest first, without joining the group. It may be called without Open. A compacted topic, and
// one with transactions, may give fewer, and so may many records of many partitions: of each at most its share is read.
func (s *Source) Sample(ctx context.Context, topic string, n int) ([]Record, error) {
	spans, err := s.ends(ctx, topic)
	if err != nil {
		return nil, err
	}
	each := n
	if n > sampleWhole {
		each = max(sampleWhole, n/max(1, len(spans)))
	}
	for _, p := range spans {
		p.next = max(p.first, p.end-int64(each))
	}
	sc, err := s.newScan(topic, spans)
	if err != nil {
		return nil, err
	}
	defer sc.close()
	var recs []Record
	for {
		r, err := sc.next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		var rec Record
		rec.fill(r)
		recs = append(recs, rec)
	}
	slices.SortStableFunc(recs, func(a, b Record) int { return a.Time.Compare(b.Time) })
	return recs[max(0, len(recs)-n):], nil
}

// describeRecords is how many of the newest records Describe looks at.
const describeRecords = 20

// Describe implements connector.Reader: the shape that the newest records of the topic have. It may be called without Open. A topic whose newest records
// carry no row has no shape yet.
func (s *Source) Describe(ctx context.Context, topic string) (*connector.Table, error) {
	recs, err := s.Sample(ctx, topic, describeRecords)
	if err != nil {
		return nil, err
	}
	var last error
	for i := range slices.Backward(recs) {
		changes, _, err := s.cfg.Decode(ctx, &recs[i])
		if err != nil {
			last = fmt.Errorf("decode the record at offset %d of partition %d: %w", recs[i].Offset, recs[i].Partition, err)
			continue
		}
		for _, c := range slices.Backward(changes) {
			for _, row := range []connector.Row{c.After, c.Before} {
				if row.Exists() {
					return row.Table, nil
				}
			}
		}
	}
	if last != nil {
		return nil, fmt.Errorf("describe topic %s: none of its newest %d records can be read: %w", topic, len(recs), last)
	}
	return nil, fmt.Errorf("describe topic %s: its newest %d records carry no row", topic, len(recs))
}
