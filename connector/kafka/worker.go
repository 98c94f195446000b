package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/twmb/franz-go/pkg/kgo"

	"brazecdc/connector"
)

// work is the worker of one assignment: it decodes its records in order and offers batches to Next until the assignment ends.
func (s *Source) work(a *assignment) {
	defer close(a.done)
	if !s.prepare(a) {
		return
	}
	retry := backoff.NewExponentialBackOff(backoff.WithInitialInterval(100*time.Millisecond), backoff.WithMaxInterval(10*time.Second), backoff.WithMaxElapsedTime(0))
	for recs := a.take(); recs != nil; recs = a.take() {
		for len(recs) > 0 {
			it, n, err := s.decode(a, recs)
			if n > 0 {
				select {
				case s.out <- it:
				case <-a.ctx.Done():
					return
				}
				recs = recs[n:]
				retry.Reset()
			}
			var wait *WaitError
			switch {
			case err == nil:
			case a.ctx.Err() != nil:
				return
			case errors.As(err, &wait):
				if !s.hold(a, recs[0].Offset, wait, retry.NextBackOff()) {
					return
				}
				continue
			default:
				s.fail(err)
				return
			}
			a.setWaiting("")
		}
		s.resume(a)
	}
}

// prepare does what must be done before the first batch: shared state is read, and a first start is committed, so that it does not move if we end
// before anything was delivered.
func (s *Source) prepare(a *assignment) bool {
	if s.cfg.Assigned != nil {
		err := s.cfg.Assigned(a.ctx, Assignment{Stream: a.stream, Topic: a.topic, TopicID: a.begin.note.topicID, Partition: a.num,
			From: a.begin.offset, End: a.end, First: a.begin.first, Gap: a.begin.gap, Fresh: a.begin.fresh})
		if err != nil {
			if a.ctx.Err() == nil {
				s.fail(fmt.Errorf("take over partition %d of topic %s: %w", a.num, a.topic, err))
			}
			return false
		}
	}
	retry := backoff.NewExponentialBackOff(backoff.WithInitialInterval(50*time.Millisecond), backoff.WithMaxInterval(5*time.Second), backoff.WithMaxElapsedTime(0))
	for a.begin.first {
		err := s.commit(a.ctx, []*assignment{a})
		if err == nil || a.ctx.Err() != nil {
			break
		}
		s.log.Debug("commit the start of a partition", "stream", a.stream, "err", err)
		if !sleep(a.ctx, retry.NextBackOff()) {
			break
		}
	}
	return a.ctx.Err() == nil
}

// hold waits before a record is tried again. Meanwhile the partition is not fetched, and its records do not count against the buffer.
func (s *Source) hold(a *assignment, offset int64, why *WaitError, pause time.Duration) bool {
	if a.setWaiting(fmt.Sprintf("partition %d of topic %s waits at offset %d: %v", a.num, a.topic, offset, why.Err)) {
		s.log.Warn("a record cannot be decoded now; its partition waits", "stream", a.stream, "offset", offset, "err", why.Err)
	}
	a.mu.Lock()
	pausing := !a.paused && a.phase == live
	a.paused = a.paused || pausing
	a.mu.Unlock()
	if pausing {
		s.group.PauseFetchPartitions(map[string][]int32{a.topic: {a.num}})
		s.left(a, 0)
	}
	return sleep(a.ctx, pause)
}

// setWaiting notes what the partition waits for; it tells whether that is news.
func (a *assignment) setWaiting(what string) (news bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	news = a.waiting == "" && what != ""
	a.waiting = what
	return news
}

func (a *assignment) setBusy(since time.Time) {
	a.mu.Lock()
	a.busy = since
	a.mu.Unlock()
}

// replayed tells whether an earlier run may have sent what the record of an offset holds.
func (a *assignment) replayed(offset int64) bool { return offset < a.end && !a.begin.first }

// decode makes one batch of the first records and tells how many it took. A batch ends where records begin that no earlier run saw, when it is full, or at a record
// that ended with an error.
func (s *Source) decode(a *assignment, recs []*kgo.Record) (item, int, error) {
	replayed := a.replayed(recs[0].Offset)
	it := item{a: a, batch: connector.Batch{Replayed: replayed, Memo: a.memo, Position: connector.Position{Stream: a.stream}}}
	it.batch.Changes = make([]connector.Change, 0, min(len(recs), s.cfg.BatchChanges))
	var rec Record
	n := 0
	defer a.setBusy(time.Time{})
	for _, r := range recs {
		if a.replayed(r.Offset) != replayed || len(it.batch.Changes) >= s.cfg.BatchChanges || n >= 4*s.cfg.BatchChanges {
			break
		}
		if !r.Attrs.IsControl() { // a transaction's end carries no row, but moves the position
			a.setBusy(time.Now())
			if s.cfg.Traces {
				it.batch.Traces = appendTrace(it.batch.Traces, r)
			}
			if err := s.decodeOne(a, &rec, r, &it.batch); err != nil {
				return it, n, err
			}
		}
		a.mark(r.Offset, r.LeaderEpoch)
		it.batch.Position.Offset = uint64(r.Offset + 1)
		it.bytes += sizeOf(r)
		n++
	}
	return it, n, nil
}

// maxTraces bounds the traceparents kept of a batch: a span takes no more links.
const maxTraces = 128

// appendTrace adds a record's traceparent (W3C Trace Context), where it has one.
func appendTrace(to []string, r *kgo.Record) []string {
	for _, h := range r.Headers {
		if h.Key == "traceparent" && len(to) < maxTraces {
			return append(to, string(h.Value))
		}
	}
	return to
}

// decodeOne adds one record's changes to the batch, or puts the record into quarantine.
func (s *Source) decodeOne(a *assignment, rec *Record, r *kgo.Record, b *connector.Batch) error {
	rec.fill(r)
	rec.Room = b.Changes[len(b.Changes):]
	changes, skip, err := s.cfg.Decode(a.ctx, rec)
	switch {
	case err != nil:
		return s.undecoded(a, r, err)
	case len(changes) == 0:
		s.health.skipped(skip)
		return nil
	}
	stamp(changes, r)
	if r.Offset < a.begin.note.load {
		for i := range changes {
			changes[i].Initial = true
		}
	}
	b.Changes = append(b.Changes, changes...) // which copies nothing where they are in the room
	return nil
}

// undecoded puts a record into quarantine that can never be decoded; other errors it gives back.
func (s *Source) undecoded(a *assignment, r *kgo.Record, err error) error {
	var bad *PoisonError
	if errors.As(err, &bad) {
		return s.quarantine(a, r, bad.Reason)
	}
	var wait *WaitError
	if errors.As(err, &wait) || a.ctx.Err() != nil {
		return err
	}
	return &connector.StopError{Code: 1, What: fmt.Sprintf("decode the record at offset %d of partition %d of topic %s", r.Offset, r.Partition, r.Topic), Err: err}
}

func (s *Source) quarantine(a *assignment, r *kgo.Record, reason string) error {
	where := fmt.Sprintf("the record at offset %d of partition %d of topic %s", r.Offset, r.Partition, r.Topic)
	if s.cfg.Quarantine == nil {
		return &connector.StopError{Code: 1, What: where + " cannot be decoded: " + reason, Fix: "there is no quarantine; set one"}
	}
	p := Poison{Stream: a.stream, Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Time: r.Timestamp, Key: r.Key, Value: r.Value, Headers: headers(nil, r), Reason: reason}
	if err := s.cfg.Quarantine(a.ctx, p); err != nil {
		if a.ctx.Err() != nil {
			return err
		}
		return &connector.StopError{Code: 1, What: "store " + where + " in quarantine", Err: err, Fix: "see the error; nothing was passed over"}
	}
	s.health.poisoned()
	s.log.Warn("record held back: it cannot be decoded", "topic", r.Topic, "partition", r.Partition, "offset", r.Offset, "reason", reason)
	return nil
}

// fill makes a Record of the client's.
func (rec *Record) fill(r *kgo.Record) {
	*rec = Record{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Time: r.Timestamp, Key: r.Key, Value: r.Value, Headers: headers(rec.Headers[:0], r)}
}

func headers(to []Header, r *kgo.Record) []Header {
	for _, h := range r.Headers {
		to = append(to, Header{Key: h.Key, Value: h.Value})
	}
	return to
}

// sleep waits; it is false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
