package kafka

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// partition names one partition of a topic.
type partition struct {
	topic string
	num   int32
}

// phase is how far an assignment has come in its life.
type phase uint8

const (
	live     phase = iota
	draining       // revoked: nothing is handed out, commits still count
	ended          // commits are ignored
)

// assignment is one Stream: a partition from the moment it was given to us until it was taken away.
type assignment struct {
	partition
	stream string
	begin  begin
	memo   []byte // begin.note, as every batch carries it
	end    int64  // the log's end at the assignment
	ctx    context.Context
	cancel context.CancelFunc
	more   chan struct{} // records came
	moved  chan struct{} // a commit came; for those who wait for the last one
	done   chan struct{} // closed when the worker ended

	mu        sync.Mutex
	phase     phase
	pending   []*kgo.Record
	bytes     int64     // of pending, and of what the worker holds
	busy      time.Time // since when the worker decodes the present record; zero when it does not
	waiting   string
	paused    bool
	handed    int64 // the offset behind what Next gave out
	acked     int64 // the offset that the pipeline committed
	committed int64 // the offset that the group has from us; -1 before the first
	top       int64 // the log's end as last seen
	marks     []epochMark
}

// epochMark says that records from offset on were written under a leader's epoch.
type epochMark struct {
	offset int64
	epoch  int32
}

// recordBytes is what a waiting record keeps beside its bytes.
const recordBytes = 250

func sizeOf(r *kgo.Record) int64 {
	n := int64(recordBytes + len(r.Key) + len(r.Value))
	for i := range r.Headers {
		n += int64(len(r.Headers[i].Key) + len(r.Headers[i].Value))
	}
	return n
}

// push appends fetched records. It tells whether they were taken.
func (a *assignment) push(recs []*kgo.Record, top int64) bool {
	a.mu.Lock()
	if a.phase != live {
		a.mu.Unlock()
		return false
	}
	for _, r := range recs {
		a.bytes += sizeOf(r)
	}
	a.pending = append(a.pending, recs...)
	a.top = max(a.top, top)
	a.mu.Unlock()
	select {
	case a.more <- struct{}{}:
	default:
	}
	return true
}

// take gives all waiting records, or waits for some. It gives none when the assignment ended.
func (a *assignment) take() []*kgo.Record {
	for {
		a.mu.Lock()
		recs := a.pending
		a.pending = nil
		a.mu.Unlock()
		if len(recs) > 0 {
			return recs
		}
		select {
		case <-a.more:
		case <-a.ctx.Done():
			return nil
		}
	}
}

// release says that bytes left the buffer.
func (a *assignment) release(n int64) {
	if a == nil || n == 0 {
		return
	}
	a.mu.Lock()
	a.bytes -= n
	a.mu.Unlock()
}

// hand notes that a batch up to position is being given out. It is false for an assignment that was revoked meanwhile: the batch must not go out.
func (a *assignment) hand(position int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.phase != live {
		return false
	}
	a.handed = max(a.handed, position)
	return true
}

// mark notes the epoch of a record, before its batch is handed out.
func (a *assignment) mark(offset int64, epoch int32) {
	a.mu.Lock()
	if n := len(a.marks); n == 0 || a.marks[n-1].epoch != epoch {
		a.marks = append(a.marks, epochMark{offset, epoch})
	}
	a.mu.Unlock()
}

// ack takes the pipeline's commit. It never goes back, and never beyond what was handed out.
func (a *assignment) ack(offset int64) bool {
	a.mu.Lock()
	if a.phase == ended || offset <= a.acked || offset > a.handed {
		a.mu.Unlock()
		return false
	}
	a.acked = offset
	a.mu.Unlock()
	select {
	case a.moved <- struct{}{}:
	default:
	}
	return true
}

// idle tells whether all that was handed out is committed by the pipeline.
func (a *assignment) idle() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.acked >= a.handed
}

// due gives what the group is to be told, with the epoch of the last record before it; ok is false when it has it already.
func (a *assignment) due() (eo kgo.EpochOffset, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.phase == ended || a.acked == a.committed {
		return eo, false
	}
	eo = kgo.EpochOffset{Offset: a.acked, Epoch: a.begin.epoch}
	n := 0
	for i, m := range a.marks {
		if m.offset < a.acked {
			eo.Epoch, n = m.epoch, i
		}
	}
	a.marks = slices.Delete(a.marks, 0, n) // the last one before the position is needed again
	return eo, true
}

// told says that the group has an offset.
func (a *assignment) told(offset int64) {
	a.mu.Lock()
	a.committed = max(a.committed, offset)
	a.mu.Unlock()
}

// retire moves the assignment on to a later phase, stops its worker, and drops what waits.
func (a *assignment) retire(to phase) {
	a.mu.Lock()
	if a.phase < to {
		a.phase = to
	}
	a.bytes, a.pending = 0, nil
	a.mu.Unlock()
	a.cancel()
}

// record is what the pipeline has recorded of this assignment, as far as it told.
func (a *assignment) record() recorded {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, _, n, _ := ParseStream(a.stream)
	return recorded{known: known{offset: a.acked, epoch: -1, note: a.begin.note, noted: true}, stream: a.stream, n: n}
}
