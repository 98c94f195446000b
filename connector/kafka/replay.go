package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"brazecdc/connector"
)

// Place is a place in a topic: a time, or an offset, which then means the same number in every partition that is read. The zero Place is open.
type Place struct {
	Time   time.Time
	Offset int64
	exact  bool
}

// At is the place of an offset.
func At(offset int64) Place { return Place{Offset: offset, exact: true} }

// ParsePlace reads a place as the command line writes it: "2026-11-01T00:00:00Z", a date, or an offset. Empty is the open end.
func ParsePlace(text string) (Place, error) {
	if text == "" {
		return Place{}, nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 {
		return At(n), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02"} {
		if t, err := time.Parse(layout, text); err == nil {
			return Place{Time: t}, nil
		}
	}
	return Place{}, fmt.Errorf("%q is neither a time such as 2026-11-01T00:00:00Z nor an offset", text)
}

// ErrRange begins the errors of a range that holds nothing because of how it was asked for.
var ErrRange = errors.New("replay a range")

// Range is what a replay reads.
type Range struct {
	Topic string
	// From is the first record; open means the log's start. To is behind the last; open means the log's end. Where records are not in the order of their
	// times, the first one of each partition at or after a time counts.
	From, To Place
	// Partitions to read; empty means all.
	Partitions []int32
	// Cut are offsets from which on records are Beyond, whatever To says: those that the group has not come to.
	Cut map[int32]int64
	// Resume is Progress.Next of an earlier run of the same range: reading goes on there.
	Resume map[int32]int64
}

// Replayed is one record's changes out of a replay, in order within its partition.
type Replayed struct {
	Partition int32
	Offset    int64
	Time      time.Time
	Changes   []connector.Change // valid until the next one is asked for
	// Beyond: the record lies behind Range.To. It is not to be sent; its user has changed since, which the replay has to know. Unread: it lies behind
	// Range.Cut, and is Beyond therefore.
	Beyond, Unread bool
}

// Progress is how far a replay is, in offsets; compaction and transactions make some of them empty.
type Progress struct {
	Done, Total int64
	Poison      int64 // records that cannot be decoded, passed over: the live process has them in quarantine
	Elapsed     time.Duration
	ETA         time.Duration // zero until it can be told
	Next        map[int32]int64
	// Seen is the offset behind the last record that this run read of each partition; 0 where it read none.
	Seen map[int32]int64
	// End is where each partition is read to.
	End map[int32]int64
}

// Replay reads a range of a topic, and on to the log's end as it was at the beginning, without touching the group's offsets. It is used by one
// goroutine; Close ends it.
type Replay struct {
	s      *Source
	scan   *scan
	to     map[int32]int64
	cut    map[int32]int64
	total  int64
	before int64 // done by earlier runs
	began  time.Time
	poison int64
	rec    Record
	room   []connector.Change
}

// Replay prepares to read a range. It may be called without Open, and beside a running source.
func (s *Source) Replay(ctx context.Context, r Range) (*Replay, error) {
	spans, err := s.ends(ctx, r.Topic)
	if err != nil {
		return nil, err
	}
	if len(r.Partitions) > 0 {
		wanted := map[int32]*span{}
		for _, num := range r.Partitions {
			if spans[num] == nil {
				return nil, fmt.Errorf("%w of topic %s: it has no partition %d", ErrRange, r.Topic, num)
			}
			wanted[num] = spans[num]
		}
		spans = wanted
	}
	from, err := s.offsetsAt(ctx, r.Topic, r.From, spans, func(p *span) int64 { return p.first })
	if err != nil {
		return nil, err
	}
	to, err := s.offsetsAt(ctx, r.Topic, r.To, spans, func(p *span) int64 { return p.end })
	if err != nil {
		return nil, err
	}
	if err := checkRange(r, from, to, spans); err != nil {
		return nil, err
	}
	p := &Replay{s: s, to: to, cut: r.Cut, began: time.Now()}
	if err := p.plan(r, from, spans); err != nil {
		return nil, err
	}
	if p.scan, err = s.newScan(r.Topic, spans); err != nil {
		return nil, err
	}
	return p, nil
}

// checkRange refuses a range that cannot hold anything.
func checkRange(r Range, from, to map[int32]int64, spans map[int32]*span) error {
	if r.From.exact {
		inside := len(spans) == 0
		for num, sp := range spans {
			if from[num] < sp.first {
				return fmt.Errorf("%w of topic %s: partition %d begins at offset %d; records before it were deleted", ErrRange, r.Topic, num, sp.first)
			}
			inside = inside || from[num] <= sp.end
		}
		if !inside {
			return fmt.Errorf("%w of topic %s: offset %d lies behind the end of every partition", ErrRange, r.Topic, r.From.Offset)
		}
	}
	reversed := len(spans) > 0
	for num := range spans {
		reversed = reversed && from[num] > to[num]
	}
	if reversed || !r.From.Time.IsZero() && !r.To.Time.IsZero() && r.From.Time.After(r.To.Time) {
		return fmt.Errorf("%w of topic %s: it begins behind its end", ErrRange, r.Topic)
	}
	return nil
}

// plan sets where reading begins in each partition. Where nothing of any is in the range, nothing is read; else all are read to their ends, since a row whose
// key changed goes on in another partition.
func (p *Replay) plan(r Range, from map[int32]int64, spans map[int32]*span) error {
	any := false
	for num, sp := range spans {
		any = any || min(p.to[num], sp.end) > max(from[num], sp.first)
	}
	for num, sp := range spans {
		at := min(max(from[num], sp.first), sp.end)
		if !any {
			at = sp.end
		}
		p.total += sp.end - at
		sp.next = at
		if n, ok := r.Resume[num]; ok && any {
			if n < sp.first {
				return fmt.Errorf("resume the replay of topic %s: partition %d begins at offset %d now, and the replay had come to %d", r.Topic, num, sp.first, n)
			}
			sp.next = min(max(n, at), sp.end)
			p.before += sp.next - at
		}
	}
	return nil
}

// offsetsAt turns a place into an offset for each partition.
func (s *Source) offsetsAt(ctx context.Context, topic string, at Place, spans map[int32]*span, open func(*span) int64) (map[int32]int64, error) {
	m := make(map[int32]int64, len(spans))
	for num, p := range spans {
		switch {
		case at.exact:
			m[num] = at.Offset
		default:
			m[num] = open(p)
		}
	}
	if at.exact || at.Time.IsZero() {
		return m, nil
	}
	listed, err := s.adm.ListOffsetsAfterMilli(ctx, at.Time.UnixMilli(), topic)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("ask topic %s for its offsets at %s: %w", topic, at.Time.Format(time.RFC3339), err)
	}
	listed.Each(func(o kadm.ListedOffset) {
		if p := spans[o.Partition]; p != nil {
			m[o.Partition] = o.Offset
			if o.Offset < 0 { // no record is that young
				m[o.Partition] = p.end
			}
		}
	})
	return m, nil
}

// Next gives the next record that carries changes, or io.EOF behind the last. While a record cannot be decoded through no fault of its own, it waits.
func (p *Replay) Next(ctx context.Context) (Replayed, error) {
	for {
		r, err := p.scan.next(ctx)
		if err != nil {
			return Replayed{}, err
		}
		p.rec.fill(r)
		p.rec.Room = p.room[:0]
		changes, err := p.decode(ctx)
		var bad *PoisonError
		switch {
		case errors.As(err, &bad):
			p.poison++
		case err != nil:
			return Replayed{}, fmt.Errorf("decode the record at offset %d of partition %d of topic %s: %w", r.Offset, r.Partition, r.Topic, err)
		case len(changes) > 0:
			stamp(changes, r)
			p.room = changes
			cut, ok := p.cut[r.Partition]
			unread := ok && r.Offset >= cut
			return Replayed{Partition: r.Partition, Offset: r.Offset, Time: r.Timestamp, Changes: changes, Beyond: unread || r.Offset >= p.to[r.Partition], Unread: unread}, nil
		}
	}
}

func (p *Replay) decode(ctx context.Context) ([]connector.Change, error) {
	retry := backoff.NewExponentialBackOff(backoff.WithInitialInterval(100*time.Millisecond), backoff.WithMaxInterval(10*time.Second), backoff.WithMaxElapsedTime(0))
	for {
		changes, _, err := p.s.cfg.Decode(ctx, &p.rec)
		var wait *WaitError
		if !errors.As(err, &wait) {
			return changes, err
		}
		if !sleep(ctx, retry.NextBackOff()) {
			return nil, ctx.Err()
		}
	}
}

// Progress tells how far the replay is.
func (p *Replay) Progress() Progress {
	v := Progress{Total: p.total, Done: p.total - p.scan.left(), Poison: p.poison, Elapsed: time.Since(p.began),
		Next: map[int32]int64{}, Seen: map[int32]int64{}, End: map[int32]int64{}}
	for num, sp := range p.scan.spans {
		v.Next[num], v.Seen[num], v.End[num] = sp.next, sp.seen, sp.end
	}
	if now := v.Done - p.before; now > 0 && v.Elapsed > 0 {
		v.ETA = time.Duration(float64(v.Elapsed) / float64(now) * float64(v.Total-v.Done)).Round(time.Second)
	}
	return v
}

// Close ends the replay.
func (p *Replay) Close() { p.scan.close() }

// stamp gives changes their identity and, where the envelope has none, their time.
func stamp(changes []connector.Change, r *kgo.Record) {
	for i := range changes {
		c := &changes[i]
		c.ID = connector.ChangeID{Commit: uint64(r.Offset), N: uint32(i)}
		if c.Time.IsZero() {
			c.Time = r.Timestamp
		}
	}
}
