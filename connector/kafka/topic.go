package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Headers of a record in a quarantine topic. Its key, its value and its other headers are the original's, byte for byte; a null value stays null.
const (
	headerReason    = "brazecdc.reason"
	headerTopic     = "brazecdc.topic"
	headerPartition = "brazecdc.partition"
	headerOffset    = "brazecdc.offset"
	headerTime      = "brazecdc.time"
	headerClosed    = "brazecdc.closed" // how an entry ended; such a record names its entry by topic, partition and offset, and carries nothing else
)

// maxHeld is how large a record may be with its headers; what the source's brokers let in goes in here too.
const maxHeld = 64 << 20

// QuarantineTopic keeps records that cannot be decoded in a topic of their own. Its methods may be called concurrently.
type QuarantineTopic struct {
	src   *Source
	topic string
	cl    *kgo.Client
}

// Held is a record in quarantine.
type Held struct {
	Poison
	At time.Time // when it was put there
}

// Record is the original, for the decoder.
func (h *Held) Record() *Record {
	return &Record{Topic: h.Topic, Partition: h.Partition, Offset: h.Offset, Time: h.Time, Key: h.Key, Value: h.Value, Headers: h.Headers}
}

type heldID struct {
	topic     string
	partition int32
	offset    int64
}

// OpenQuarantine makes the topic if it is missing (one partition, the brokers' default replication and retention), and a producer for it. It uses the
// source's connection settings and may be called without Open.
func (s *Source) OpenQuarantine(ctx context.Context, topic string) (*QuarantineTopic, error) {
	size := strconv.Itoa(maxHeld)
	resp, err := s.adm.CreateTopic(ctx, 1, -1, map[string]*string{"max.message.bytes": &size}, topic)
	if err == nil {
		err = resp.Err
	}
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		// Without the right to create it, it may be there all the same.
		if _, ferr := s.ends(ctx, topic); ferr != nil {
			if stop := refused(err, "create the quarantine topic "+topic); stop != nil {
				return nil, stop
			}
			return nil, fmt.Errorf("create the quarantine topic %s: %w", topic, err)
		}
	}
	cl, err := kgo.NewClient(append(slices.Clone(s.opts), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerBatchMaxBytes(maxHeld), kgo.BrokerMaxWriteBytes(100<<20))...)
	if err != nil {
		return nil, fmt.Errorf("open the quarantine topic %s: %w", topic, err)
	}
	return &QuarantineTopic{src: s, topic: topic, cl: cl}, nil
}

// Put stores a record; it is durable on all in-sync replicas when Put returns. It fits Config.Quarantine. A record put twice, after a crash, is one entry.
func (q *QuarantineTopic) Put(ctx context.Context, p Poison) error {
	r := &kgo.Record{Topic: q.topic, Key: p.Key, Value: p.Value, Headers: place(heldID{p.Topic, p.Partition, p.Offset})}
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: headerReason, Value: []byte(p.Reason)},
		kgo.RecordHeader{Key: headerTime, Value: []byte(p.Time.UTC().Format(time.RFC3339Nano))})
	for _, h := range p.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return q.produce(ctx, r)
}

// Done ends an entry; how says why ("delivered", "discarded by ana").
func (q *QuarantineTopic) Done(ctx context.Context, p Poison, how string) error {
	r := &kgo.Record{Topic: q.topic, Headers: append(place(heldID{p.Topic, p.Partition, p.Offset}), kgo.RecordHeader{Key: headerClosed, Value: []byte(how)})}
	return q.produce(ctx, r)
}

func (q *QuarantineTopic) produce(ctx context.Context, r *kgo.Record) error {
	if err := q.cl.ProduceSync(ctx, r).FirstErr(); err != nil {
		if stop := refused(err, "write to the quarantine topic "+q.topic); stop != nil {
			return stop
		}
		if errors.Is(err, kerr.MessageTooLarge) {
			return fmt.Errorf("write a record of %d bytes to the quarantine topic %s: raise that topic's max.message.bytes: %w", len(r.Key)+len(r.Value), q.topic, err)
		}
		return fmt.Errorf("write to the quarantine topic %s: %w", q.topic, err)
	}
	return nil
}

// Open gives the entries that did not end, oldest first. It reads the whole topic, and keeps the open entries in memory.
func (q *QuarantineTopic) Open(ctx context.Context) ([]Held, error) {
	spans, err := q.src.ends(ctx, q.topic)
	if err != nil {
		return nil, err
	}
	sc, err := q.src.newScan(q.topic, spans)
	if err != nil {
		return nil, err
	}
	defer sc.close()
	open := map[heldID]Held{}
	for {
		r, err := sc.next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		id, h, closed, ok := parseHeld(r)
		switch {
		case !ok: // not ours: somebody wrote to the topic by hand
		case closed:
			delete(open, id)
		default:
			open[id] = h
		}
	}
	list := make([]Held, 0, len(open))
	for _, h := range open {
		list = append(list, h)
	}
	slices.SortFunc(list, func(a, b Held) int {
		if c := a.At.Compare(b.At); c != 0 {
			return c
		}
		return int(a.Offset - b.Offset)
	})
	return list, nil
}

// Close ends the producer.
func (q *QuarantineTopic) Close() { q.cl.Close() }

func place(id heldID) []kgo.RecordHeader {
	return []kgo.RecordHeader{{Key: headerTopic, Value: []byte(id.topic)}, {Key: headerPartition, Value: strconv.AppendInt(nil, int64(id.partition), 10)},
		{Key: headerOffset, Value: strconv.AppendInt(nil, id.offset, 10)}}
}

// parseHeld takes a record of the topic apart. The first header of each of our names is ours: those of the original follow.
func parseHeld(r *kgo.Record) (id heldID, h Held, closed, ok bool) {
	seen := map[string]bool{}
	h = Held{At: r.Timestamp, Poison: Poison{Key: r.Key, Value: r.Value}}
	for _, x := range r.Headers {
		if seen[x.Key] {
			h.Headers = append(h.Headers, Header{x.Key, x.Value})
			continue
		}
		var err error
		switch x.Key {
		case headerTopic:
			h.Topic = string(x.Value)
		case headerPartition:
			var n int64
			n, err = strconv.ParseInt(string(x.Value), 10, 32)
			h.Partition = int32(n)
		case headerOffset:
			h.Offset, err = strconv.ParseInt(string(x.Value), 10, 64)
		case headerReason:
			h.Reason = string(x.Value)
		case headerTime:
			h.Time, err = time.Parse(time.RFC3339Nano, string(x.Value))
		case headerClosed:
			if seen[headerReason] { // the original's
				h.Headers = append(h.Headers, Header{x.Key, x.Value})
				continue
			}
			closed = true
		default:
			h.Headers = append(h.Headers, Header{x.Key, x.Value})
			continue
		}
		if err != nil {
			return id, h, closed, false
		}
		seen[x.Key] = true
	}
	return heldID{h.Topic, h.Partition, h.Offset}, h, closed, seen[headerTopic] && seen[headerPartition] && seen[headerOffset]
}
