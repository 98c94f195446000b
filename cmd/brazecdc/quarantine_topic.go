package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"

	"brazecdc/connector"
	"brazecdc/connector/config"
	"brazecdc/connector/control"
	"brazecdc/connector/kafka"
)

// topicQuarantine is a quarantine whose records lie in a topic, with the bytes they came with. What later changes need of an entry (what was to be sent, to
// whom, why not) stays in data/, without a copy of the record. The topic is written first, so that data/ never names what is not there.
type topicQuarantine struct {
	connector.Quarantine
	name   string
	source *kafka.Source
	log    *slog.Logger
	make   func(ctx context.Context) (*kafka.QuarantineTopic, error)

	mu    sync.Mutex
	topic *kafka.QuarantineTopic
}

func newTopicQuarantine(q connector.Quarantine, source *kafka.Source, cfg *config.Config, log *slog.Logger) *topicQuarantine {
	name, keep := cfg.Quarantine.Topic, cfg.Quarantine.Retention
	return &topicQuarantine{Quarantine: q, name: name, source: source, log: log,
		make: func(ctx context.Context) (*kafka.QuarantineTopic, error) {
			return source.OpenQuarantine(ctx, name, keep)
		}}
}

// open gives the topic, which it makes where it is missing.
func (q *topicQuarantine) open(ctx context.Context) (*kafka.QuarantineTopic, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.topic != nil {
		return q.topic, nil
	}
	t, err := q.make(ctx)
	if err != nil {
		return nil, err
	}
	q.topic = t
	return t, nil
}

func (q *topicQuarantine) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.topic != nil {
		q.topic.Close()
		q.topic = nil
	}
}

// Put implements connector.Quarantine. What came of no record of a topic, and what the topic takes not for its size, is kept on disk alone.
func (q *topicQuarantine) Put(ctx context.Context, e *connector.Entry) (uint64, error) {
	h, err := q.held(ctx, e)
	if err != nil || h == nil {
		if err != nil {
			return 0, err
		}
		return q.Quarantine.Put(ctx, e)
	}
	topic, err := q.open(ctx)
	if err != nil {
		return 0, err
	}
	n := *e
	at, err := topic.Put(ctx, h)
	switch {
	case errors.Is(err, kafka.ErrTooLarge):
		q.log.Warn("a record is kept on disk: the quarantine topic takes it not for its size; raise the topic's max.message.bytes", "topic", q.name, "bytes", len(h.Value))
		n.Reason += fmt.Sprintf("; its record is too large for topic %s and is not kept there", q.name)
		return q.Quarantine.Put(ctx, &n)
	case err != nil:
		return 0, err
	}
	n.Original = &connector.Original{Topic: h.Topic, Partition: h.Partition, Offset: h.Offset, Time: h.Time, Size: len(h.Value), Kept: q.name, KeptAt: at, Gone: h.Gone}
	if h.Gone {
		n.Original.Size = 0
		n.Reason += "; its topic no longer holds the record"
	} else {
		n.Before, n.After = nil, nil
	}
	if err := q.endReplaced(ctx, topic, &n); err != nil {
		return 0, err
	}
	return q.Quarantine.Put(ctx, &n)
}

// held is the topic's record of an entry: the original with its bytes, or, where its topic no longer holds it, the row's images. It is nil for an entry that
// came of no record.
func (q *topicQuarantine) held(ctx context.Context, e *connector.Entry) (*kafka.Held, error) {
	h := &kafka.Held{Model: e.Model, Class: e.Class}
	if o := e.Original; o != nil && o.Kept == "" && !o.Cut {
		h.Poison = kafka.Poison{Topic: o.Topic, Partition: o.Partition, Offset: o.Offset, Time: o.Time, Key: o.Key, Value: o.Value, Reason: e.Reason}
		for _, x := range o.Headers {
			h.Headers = append(h.Headers, kafka.Header(x))
		}
		return h, nil
	}
	topic, partition, ok := streamPlace(e.Stream)
	if !ok {
		return nil, nil
	}
	h.Topic, h.Partition, h.Offset, h.Time, h.Reason = topic, partition, int64(e.Offset), e.At, e.Reason
	r, err := q.record(ctx, topic, partition, h.Offset)
	switch {
	case errors.Is(err, kafka.ErrRecordGone):
		h.Gone = true
		h.Value, err = json.Marshal(map[string]json.RawMessage{"before": orNull(e.Before), "after": orNull(e.After)})
	case err == nil:
		h.Time, h.Key, h.Value, h.Headers = r.Time, r.Key, r.Value, r.Headers
	}
	return h, err
}

// record reads a record, for as long as the topic would be written to while brokers are away.
func (q *topicQuarantine) record(ctx context.Context, topic string, partition int32, offset int64) (r *kafka.Record, err error) {
	b := backoff.NewExponentialBackOff(backoff.WithInitialInterval(200*time.Millisecond), backoff.WithMaxInterval(5*time.Second), backoff.WithMaxElapsedTime(kafka.HoldPatience))
	err = backoff.Retry(func() error {
		var stop *connector.StopError
		r, err = q.source.RecordAt(ctx, topic, partition, offset)
		if errors.Is(err, kafka.ErrRecordGone) || errors.As(err, &stop) {
			return backoff.Permanent(err)
		}
		return err
	}, backoff.WithContext(b, ctx))
	return r, err
}

func orNull(b json.RawMessage) json.RawMessage {
	if len(b) == 0 {
		return json.RawMessage("null")
	}
	return b
}

// endReplaced ends in the topic the entries of the same row that a new one takes the place of. One of the very same record needs no end: a second entry
// of a record is the first one.
func (q *topicQuarantine) endReplaced(ctx context.Context, topic *kafka.QuarantineTopic, n *connector.Entry) error {
	if n.Key.ID == "" {
		return nil
	}
	olds, err := q.Quarantine.List(connector.EntryFilter{Model: n.Model, Row: n.Key})
	if err != nil {
		return fmt.Errorf("look for an older entry of the row: %w", err)
	}
	for i := range olds {
		o := olds[i].Original
		if o == nil || o.Kept == "" || o.Topic == n.Original.Topic && o.Partition == n.Original.Partition && o.Offset == n.Original.Offset {
			continue
		}
		if err := topic.Done(ctx, heldOf(&olds[i]), fmt.Sprintf("replaced by offset %d of partition %d", n.Original.Offset, n.Original.Partition)); err != nil {
			return err
		}
	}
	return nil
}

// heldOf names an entry in the topic.
func heldOf(e *connector.Entry) *kafka.Held {
	return &kafka.Held{Poison: kafka.Poison{Topic: e.Original.Topic, Partition: e.Original.Partition, Offset: e.Original.Offset}, Model: e.Model}
}

// Close implements connector.Quarantine. The topic is told first: an entry that is open here and ended there ends again at the next attempt.
func (q *topicQuarantine) Close(ctx context.Context, id uint64, how string) error {
	e, err := q.Entry(id)
	if err == nil && e.Closed == "" {
		err = q.done(ctx, e, how)
		if err != nil {
			return err
		}
	}
	return q.Quarantine.Close(ctx, id, how)
}

func (q *topicQuarantine) done(ctx context.Context, e *connector.Entry, how string) error {
	if e.Original == nil || e.Original.Kept != q.name {
		return nil
	}
	topic, err := q.open(ctx)
	if err != nil {
		return err
	}
	return topic.Done(ctx, heldOf(e), how)
}

// expirePage is how many entries Expire looks at in one step.
const expirePage = 500

// Expire implements connector.Quarantine.
func (q *topicQuarantine) Expire(ctx context.Context, before time.Time) (int, error) {
	f := connector.EntryFilter{Limit: expirePage}
	for {
		list, err := q.List(f)
		for i := range list {
			if e := &list[i]; e.At.Before(before) {
				if err := q.done(ctx, e, "expired"); err != nil {
					return 0, err
				}
			}
			f.After = list[i].ID
		}
		// Entries are numbered in the order of their times, so nothing behind a young one is old.
		if len(list) < expirePage || !list[len(list)-1].At.Before(before) {
			n, xerr := q.Quarantine.Expire(ctx, before)
			return n, errors.Join(err, xerr)
		}
	}
}

// Groups implements connector.GroupedQuarantine.
func (q *topicQuarantine) Groups(since time.Time) ([]connector.EntryGroup, error) {
	return connector.Groups(q.Quarantine, since)
}

// Count implements connector.GroupedQuarantine.
func (q *topicQuarantine) Count(f connector.EntryFilter) (int64, error) {
	return connector.CountEntries(q.Quarantine, f)
}

// original fills an entry with the bytes of its record; where they can't be read, its reason says so.
func (q *topicQuarantine) original(ctx context.Context, e *connector.Entry) {
	o := e.Original
	if o == nil || o.Kept == "" || o.Gone {
		return
	}
	full := *o
	h, err := q.source.HeldAt(ctx, o.Kept, o.KeptAt)
	if err != nil {
		full.Cut = true
		e.Original, e.Reason = &full, fmt.Sprintf("%s; its record can't be read now: %v", e.Reason, err)
		return
	}
	full.Key, full.Value = h.Key, h.Value
	for _, x := range h.Headers {
		full.Headers = append(full.Headers, connector.OriginalHeader(x))
	}
	e.Original = &full
}

// streamPlace tells which partition of which topic a stream is an assignment of.
func streamPlace(stream string) (topic string, partition int32, ok bool) {
	part := connector.PartOf(stream)
	slash := strings.LastIndexByte(part, '/')
	if slash < 1 {
		return "", 0, false
	}
	n, err := strconv.ParseInt(part[slash+1:], 10, 32)
	return part[:slash], int32(n), err == nil
}

// heldJournal is a journal whose quarantine is another one.
type heldJournal struct {
	connector.Journal
	quarantine connector.Quarantine
}

// Quarantine implements connector.Journal.
func (j *heldJournal) Quarantine() connector.Quarantine { return j.quarantine }

// heldShared is a heldJournal that processes share.
type heldShared struct {
	connector.SharedJournal
	quarantine connector.Quarantine
}

// Quarantine implements connector.Journal.
func (j *heldShared) Quarantine() connector.Quarantine { return j.quarantine }

// keepInTopic makes the journal's quarantine keep its records in the topic that the configuration names.
func (a *app) keepInTopic(ctx context.Context) error {
	if a.cfg.Quarantine.To != "topic" || a.topics == nil {
		return nil
	}
	a.held = newTopicQuarantine(a.journal.Quarantine(), a.topics.Source, a.cfg, a.log)
	ctx, cancel := context.WithTimeout(ctx, a.cfg.Source.Kafka.StartTimeout)
	defer cancel()
	if _, err := a.held.open(ctx); err != nil {
		var stop *connector.StopError
		if errors.As(err, &stop) {
			return err
		}
		return &connector.StopError{Code: connector.ExitUnreachable, What: "the quarantine topic " + a.held.name + " can't be used", Err: err,
			Fix: "let the brokers' administrator make it, with one partition, cleanup.policy=delete and a max.message.bytes not below that of the topics that are read"}
	}
	if shared, ok := a.journal.(connector.SharedJournal); ok {
		a.journal = &heldShared{shared, a.held}
	} else {
		a.journal = &heldJournal{a.journal, a.held}
	}
	return nil
}

// keptInTopic lets commands without a running process read and end entries whose records lie in a topic. Nothing is asked of the brokers until an entry is.
func keptInTopic(cfg *config.Config, o *control.Offline, log *slog.Logger) (done func(), err error) {
	if cfg.Quarantine.To != "topic" || cfg.Source.Kafka == nil {
		return func() {}, nil
	}
	src, err := newTopics(cfg, log, hooks{})
	if err != nil {
		return nil, err
	}
	q := newTopicQuarantine(o.Journal.Quarantine(), src.Source, cfg, log)
	o.Journal, o.Original = &heldJournal{o.Journal, q}, q.original
	return func() {
		q.close()
		_ = src.Close(context.Background())
	}, nil
}

// holdRecord puts a record into quarantine that cannot be decoded, under the first model of its topic.
func (a *app) holdRecord(ctx context.Context, p kafka.Poison) error {
	e := connector.Entry{
		At: time.Now(), Stream: p.Stream, Offset: uint64(p.Offset), Op: "record", Class: classUndecodable, Reason: p.Reason,
		Key:      recordKey(p.Topic, p.Partition, p.Offset), // a record that comes again replaces its entry
		Original: &connector.Original{Topic: p.Topic, Partition: p.Partition, Offset: p.Offset, Time: p.Time, Key: p.Key, Value: p.Value, Size: len(p.Value)},
	}
	for _, h := range p.Headers {
		e.Original.Headers = append(e.Original.Headers, connector.OriginalHeader(h))
	}
	i := slices.IndexFunc(a.topics.feeds, func(reads func(string) bool) bool { return reads(p.Topic) })
	if i >= 0 {
		e.Model = a.cfg.Models[i].Name
	}
	if _, err := a.journal.Quarantine().Put(ctx, &e); err != nil {
		return err
	}
	if i >= 0 {
		a.pipeline.Metrics().Models[i].CountHeld(classUndecodable)
	}
	return nil
}

// classUndecodable is the class of records that no change could be read of.
const classUndecodable = "undecodable"

// recordKey is the key of an entry that is of a record and of no row.
func recordKey(topic string, partition int32, offset int64) connector.Key {
	return connector.Key{Table: topic, ID: fmt.Sprintf("%d/%d", partition, offset)}
}
