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
	headerClass     = "brazecdc.class"
	headerModel     = "brazecdc.model"
	headerTopic     = "brazecdc.topic"
	headerPartition = "brazecdc.partition"
	headerOffset    = "brazecdc.offset"
	headerTime      = "brazecdc.time"
	headerGone      = "brazecdc.gone"   // "true": the original was no longer in its topic: the value is the row's images as JSON
	headerClosed    = "brazecdc.closed" // how an entry ended; such a record names its entry by topic, partition, offset and model, and carries nothing else
)

// maxHeld is how large a record may be with its headers; what the source's brokers let in goes in here too.
const maxHeld = 64 << 20

// HoldPatience is how long Put and Done go on trying while brokers do not answer. Whoever waits for them holds a position, so that nothing is lost by an
// error at its end.
const HoldPatience = 2 * time.Minute

// ErrTooLarge is what Put gives for a record that the quarantine topic does not take for its size.
var ErrTooLarge = errors.New("it is larger than the topic's max.message.bytes")

// QuarantineTopic keeps in a topic of their own the records that could not be delivered. All of it lies in partition 0, so that an entry and its end keep
// their order. Its methods may be called concurrently.
type QuarantineTopic struct {
	src   *Source
	topic string
	cl    *kgo.Client
}

// Held is a record in quarantine: the original, and what is the matter with it.
type Held struct {
	Poison
	// Model and Class are the entry's. Records are told apart by topic, partition, offset and model.
	Model, Class string
	// Gone: the original was no longer in its topic when it was to be kept. Value is then the JSON object {"before", "after"} of the row's images.
	Gone bool
	At   time.Time // when it was put there; Put sets it
}

// Record is the original, for the decoder.
func (h *Held) Record() *Record {
	return &Record{Topic: h.Topic, Partition: h.Partition, Offset: h.Offset, Time: h.Time, Key: h.Key, Value: h.Value, Headers: h.Headers}
}

type heldID struct {
	topic     string
	partition int32
	offset    int64
	model     string
}

func (h *Held) id() heldID { return heldID{h.Topic, h.Partition, h.Offset, h.Model} }

// OpenQuarantine makes the topic if it is missing (one partition, the brokers' default replication, records kept for as long as keep says), and a producer for
// it. It uses the source's connection settings and may be called without Open.
func (s *Source) OpenQuarantine(ctx context.Context, topic string, keep time.Duration) (*QuarantineTopic, error) {
	resp, err := s.adm.CreateTopic(ctx, 1, -1, quarantineSettings(keep), topic)
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
	cl, err := kgo.NewClient(append(slices.Clone(s.opts), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytes(maxHeld), kgo.BrokerMaxWriteBytes(100<<20), kgo.RecordDeliveryTimeout(HoldPatience))...)
	if err != nil {
		return nil, fmt.Errorf("open the quarantine topic %s: %w", topic, err)
	}
	return &QuarantineTopic{src: s, topic: topic, cl: cl}, nil
}

func quarantineSettings(keep time.Duration) map[string]*string {
	size, ms, policy := strconv.Itoa(maxHeld), strconv.FormatInt(keep.Milliseconds(), 10), "delete"
	return map[string]*string{"max.message.bytes": &size, "retention.ms": &ms, "cleanup.policy": &policy}
}

// Put stores an entry and gives the offset in partition 0 where it lies; it is durable on all in-sync replicas when Put returns. One put twice, after a crash,
// is one entry. A record that is too large for the topic is an ErrTooLarge.
func (q *QuarantineTopic) Put(ctx context.Context, h *Held) (offset int64, err error) {
	r := &kgo.Record{Topic: q.topic, Key: h.Key, Value: h.Value, Headers: append(marks(h.id()), mark(headerReason, h.Reason), mark(headerClass, h.Class),
		mark(headerGone, strconv.FormatBool(h.Gone)), mark(headerTime, h.Time.UTC().Format(time.RFC3339Nano)))}
	for _, x := range h.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: x.Key, Value: x.Value})
	}
	if err := q.produce(ctx, r); err != nil {
		return 0, err
	}
	return r.Offset, nil
}

// Done ends an entry that is named by topic, partition, offset and model; how says why ("delivered", "discarded: test account").
func (q *QuarantineTopic) Done(ctx context.Context, h *Held, how string) error {
	return q.produce(ctx, &kgo.Record{Topic: q.topic, Headers: append(marks(h.id()), mark(headerClosed, how))})
}

func (q *QuarantineTopic) produce(ctx context.Context, r *kgo.Record) error {
	if err := q.cl.ProduceSync(ctx, r).FirstErr(); err != nil {
		if stop := refused(err, "write to the quarantine topic "+q.topic); stop != nil {
			return stop
		}
		if errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.RecordListTooLarge) {
			err = ErrTooLarge
		}
		return fmt.Errorf("write a record of %d bytes to the quarantine topic %s: %w", len(r.Key)+len(r.Value), q.topic, err)
	}
	return nil
}

// At gives what Put stored at an offset. What the topic no longer holds is an ErrRecordGone.
func (q *QuarantineTopic) At(ctx context.Context, offset int64) (*Held, error) {
	return q.src.HeldAt(ctx, q.topic, offset)
}

// HeldAt is QuarantineTopic.At for a topic that is only read.
func (s *Source) HeldAt(ctx context.Context, topic string, offset int64) (*Held, error) {
	r, err := s.RecordAt(ctx, topic, 0, offset)
	if err != nil {
		return nil, err
	}
	h, closed, ok := parseHeld(r)
	if !ok || closed {
		return nil, fmt.Errorf("read the quarantine topic %s: what lies at offset %d is no entry: %w", topic, offset, ErrRecordGone)
	}
	return &h, nil
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
		var rec Record
		rec.fill(r)
		h, closed, ok := parseHeld(&rec)
		switch {
		case !ok: // not ours: somebody wrote to the topic by hand
		case closed:
			delete(open, h.id())
		default:
			open[h.id()] = h
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

func mark(name, value string) kgo.RecordHeader {
	return kgo.RecordHeader{Key: name, Value: []byte(value)}
}

func marks(id heldID) []kgo.RecordHeader {
	return []kgo.RecordHeader{mark(headerTopic, id.topic), mark(headerPartition, strconv.Itoa(int(id.partition))),
		mark(headerOffset, strconv.FormatInt(id.offset, 10)), mark(headerModel, id.model)}
}

// parseHeld takes a record of the topic apart. The first header of each of our names is ours: those of the original follow.
func parseHeld(r *Record) (h Held, closed, ok bool) {
	seen := map[string]bool{}
	h = Held{At: r.Time, Poison: Poison{Key: r.Key, Value: r.Value}}
	for _, x := range r.Headers {
		// Done writes no time, and Put writes its marks up to the time in front of the original's headers.
		if seen[x.Key] || seen[headerTime] {
			h.Headers = append(h.Headers, x)
			continue
		}
		var err error
		switch text := string(x.Value); x.Key {
		case headerTopic:
			h.Topic = text
		case headerPartition:
			var n int64
			n, err = strconv.ParseInt(text, 10, 32)
			h.Partition = int32(n)
		case headerOffset:
			h.Offset, err = strconv.ParseInt(text, 10, 64)
		case headerModel:
			h.Model = text
		case headerReason:
			h.Reason = text
		case headerClass:
			h.Class = text
		case headerTime:
			h.Time, err = time.Parse(time.RFC3339Nano, text)
		case headerGone:
			h.Gone, err = strconv.ParseBool(text)
		case headerClosed:
			closed = true
		default:
			h.Headers = append(h.Headers, x)
			continue
		}
		if err != nil {
			return h, closed, false
		}
		seen[x.Key] = true
	}
	return h, closed, seen[headerTopic] && seen[headerPartition] && seen[headerOffset] && seen[headerModel]
}
