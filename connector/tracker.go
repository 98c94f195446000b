package connector

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"
)

// tracker answers which position of each stream may be recorded and confirmed: the last one of the unbroken run of batches that are done. Completions
// come in any order; "highest seen" is never an answer. It also bounds what is open, by changes and by bytes, which holds reading back.
type tracker struct {
	mu       sync.Mutex
	streams  map[string]*stream
	order    []*stream
	open     int
	bytes    int64
	maxOpen  int
	maxBytes int64
	room     chan struct{} // closed and replaced when something was released while somebody waits
	waiting  bool
	held     time.Duration
	// heldSince is since when reading waits for senders to catch up.
	heldSince time.Time
	moved     func() // something became confirmable
}

// stream is the open batches of one Stream, in order.
type stream struct {
	name    string
	open    []*ticket
	done    Position // last position given out for recording
	memo    []byte
	load    bool
	dead    bool // given up: nothing of it counts any more
	changed time.Time
}

// errRevoked: a batch came of a stream that was given up meanwhile.
var errRevoked = errors.New("the stream belongs to another process")

// ticket stands for one Batch. It is done when all its changes are, and the reader has finished with it.
type ticket struct {
	stream   *stream
	position Position
	memo     []byte
	load     *LoadProgress
	left     int   // changes not yet done, plus one while the reader works on it; guarded by tracker.mu
	reading  bool  // the reader works on it
	each     int64 // bytes that one change stands for
	changes  int
	oldest   time.Time
	replayed bool
	of       string   // Batch.Of
	trace    TraceRef // nil: nobody traces
}

// origin is the stream that a batch's rows belong to: when that goes to another process, they do.
func (k *ticket) origin() string {
	if k.of != "" {
		return k.of
	}
	return k.position.Stream
}

// share is how many changes of a ticket an effect answers for.
type share struct {
	t *ticket
	n int
}

func newTracker(maxOpen int, maxBytes int64, moved func()) *tracker {
	return &tracker{streams: map[string]*stream{}, maxOpen: maxOpen, maxBytes: maxBytes, room: make(chan struct{}), moved: moved}
}

// add registers a batch. It waits while the caps are reached, unless nothing is open: a batch larger than the caps must pass too. The caller holds one
// share of its own until finish.
func (t *tracker) add(ctx context.Context, b *Batch) (*ticket, error) {
	return t.addSized(ctx, b, batchBytes(b))
}

// addSized is add for a batch whose size in memory is not that of its changes.
func (t *tracker) addSized(ctx context.Context, b *Batch, bytes int64) (*ticket, error) {
	t.mu.Lock()
	var since time.Time
	for t.open > 0 && (t.open+len(b.Changes) > t.maxOpen || t.bytes+bytes > t.maxBytes) {
		if since.IsZero() {
			since = time.Now()
		}
		t.waiting = true
		room := t.room
		t.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		t.mu.Lock()
	}
	defer t.mu.Unlock()
	if !since.IsZero() {
		t.held += time.Since(since)
	}
	s := t.streams[b.Position.Stream]
	if s == nil {
		s = &stream{name: b.Position.Stream, load: b.Load != nil, changed: time.Now()}
		t.streams[s.name] = s
		t.order = append(t.order, s)
	}
	if s.dead {
		return nil, errRevoked
	}
	k := &ticket{stream: s, position: b.Position, memo: b.Memo, load: b.Load, left: len(b.Changes) + 1, reading: true, changes: len(b.Changes), replayed: b.Replayed, of: b.Of}
	if k.changes > 0 {
		k.each = bytes / int64(k.changes)
		k.oldest = b.Changes[0].Time
	}
	t.open += k.changes
	t.bytes += k.each * int64(k.changes)
	s.open = append(s.open, k)
	return k, nil
}

// holds notes that reading waits for another reason than the caps, and how long it did.
func (t *tracker) holds(yes bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if yes {
		t.heldSince = time.Now()
	} else {
		t.held += time.Since(t.heldSince)
		t.heldSince = time.Time{}
	}
}

// finish says that the reader has handed over all changes of the batch.
func (t *tracker) finish(k *ticket) {
	t.mu.Lock()
	ready := false
	k.reading = false
	if !k.stream.dead {
		k.left--
		ready = k.left == 0 && k.stream.open[0] == k
	}
	t.mu.Unlock()
	if ready {
		t.moved()
	}
}

// abandon gives up the newest batch of its stream, of which the reader handed over only a part: reading has ended, and the batch comes again.
func (t *tracker) abandon(k *ticket) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(k.stream.open); n > 0 && k.stream.open[n-1] == k {
		k.stream.open[n-1] = nil
		k.stream.open = k.stream.open[:n-1]
	}
}

// drop gives up streams that belong to another process from now on: what is open of them counts for nothing, and late completions are ignored.
func (t *tracker) drop(streams map[string]bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.order = slices.DeleteFunc(t.order, func(s *stream) bool {
		if !streams[s.name] {
			return false
		}
		for _, k := range s.open {
			n := k.left
			if n > 0 && k == s.open[len(s.open)-1] && k.reading {
				n-- // the reader's own
			}
			t.open -= n
			t.bytes -= k.each * int64(n)
		}
		s.dead, s.open = true, nil
		return true
	})
	for name := range streams { // its first batch may be waiting for room
		if t.streams[name] == nil {
			t.streams[name] = &stream{name: name, dead: true}
		}
	}
	t.release()
}

// idleOf tells whether nothing is open of the streams.
func (t *tracker) idleOf(streams map[string]bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.order {
		if streams[s.name] && len(s.open) > 0 {
			return false
		}
	}
	return true
}

// openTickets gives the batches that are not done.
func (t *tracker) openTickets() (open []*ticket) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.order {
		open = append(open, s.open...)
	}
	return open
}

// openOf gives how many changes of a stream are not done, and about how many bytes they take.
func (t *tracker) openOf(name string) (changes int, bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.streams[name]; s != nil {
		for _, k := range s.open {
			changes += k.left
			bytes += k.each * int64(k.left)
		}
	}
	return changes, bytes
}

// doneOf gives the last position of a stream that was given out for recording.
func (t *tracker) doneOf(name string) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.streams[name]; s != nil {
		return s.done.Offset
	}
	return 0
}

// done completes shares. It may be called in any order and from any goroutine.
func (t *tracker) done(shares []share) {
	if len(shares) == 0 {
		return
	}
	t.mu.Lock()
	ready := false
	for _, s := range shares {
		if s.t.stream.dead {
			continue
		}
		s.t.left -= s.n
		t.open -= s.n
		t.bytes -= s.t.each * int64(s.n)
		if s.t.left == 0 && len(s.t.stream.open) > 0 && s.t.stream.open[0] == s.t {
			ready = true
		}
	}
	t.release()
	t.mu.Unlock()
	if ready {
		t.moved()
	}
}

// doneOne completes one change.
func (t *tracker) doneOne(k *ticket) {
	t.mu.Lock()
	if k.stream.dead {
		t.mu.Unlock()
		return
	}
	k.left--
	t.open--
	t.bytes -= k.each
	ready := k.left == 0 && k.stream.open[0] == k
	t.release()
	t.mu.Unlock()
	if ready {
		t.moved()
	}
}

func (t *tracker) release() {
	// Waking the reader for each change would cost a switch per change; it is let on when a part of the room is free.
	if t.waiting && (t.open <= t.maxOpen*7/8 && t.bytes <= t.maxBytes*7/8) {
		t.waiting = false
		close(t.room)
		t.room = make(chan struct{})
	}
}

// advance takes the done batches off the head of every stream and gives the positions that may now be recorded, in the order of the streams'
// first appearance. A stream whose position did not move gives nothing.
func (t *tracker) advance() (positions []Recorded, loads []LoadProgress) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.order {
		n := 0
		for n < len(s.open) && s.open[n].left == 0 {
			k := s.open[n]
			if k.position.Offset > s.done.Offset {
				s.done = k.position
			}
			if k.memo != nil {
				s.memo = k.memo
			}
			if k.load != nil {
				loads = append(loads, *k.load)
			}
			n++
		}
		if n == 0 {
			continue
		}
		clear(s.open[:n])
		s.open = s.open[n:]
		if len(s.open) == 0 {
			s.open = nil
		}
		s.changed = time.Now()
		positions = append(positions, Recorded{Position: s.done, Memo: s.memo})
	}
	return positions, loads
}

// state gives the figures for status: open changes and bytes, seconds held, and each stream.
func (t *tracker) state() (open int, bytes int64, held time.Duration, streams []StreamState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.order {
		if strings.HasPrefix(s.name, replayStream) || strings.HasPrefix(s.name, unmarkStream) {
			continue // it is nobody's position
		}
		st := StreamState{Stream: s.name, Confirmed: s.done.Offset, Moved: s.changed}
		for _, k := range s.open {
			if k.left > 0 && k.changes > 0 {
				st.Open = k.oldest
				break
			}
		}
		streams = append(streams, st)
	}
	return t.open, t.bytes, t.held, streams
}

// idle tells whether nothing at all is open.
func (t *tracker) idle() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.order {
		if len(s.open) > 0 {
			return false
		}
	}
	return true
}

// What an open change keeps in memory beside its row (measured with the sizes of Go 1.26): itself, its step, its user's place; a cell with the field
// that is made of it.
const (
	changeBytes = 1000
	cellBytes   = 24
	fieldBytes  = 48
)

// batchBytes is about what the changes of a batch keep in memory until they are done: the rows as they came, and what is made of them.
func batchBytes(b *Batch) int64 {
	n := 0
	for i := range b.Changes {
		c := &b.Changes[i]
		n += changeBytes + cellBytes*(len(c.Before.Cells)+len(c.After.Cells)) + fieldBytes*len(c.After.Cells)
		for j := range c.After.Cells {
			n += 2 * len(c.After.Cells[j].Raw)
		}
		for j := range c.Before.Cells {
			n += len(c.Before.Cells[j].Raw)
		}
	}
	return int64(n)
}

// more adds n effects to a change that has several: the change is done when all are.
func (t *tracker) more(k *ticket, n int) {
	t.mu.Lock()
	if k.stream.dead {
		t.mu.Unlock()
		return
	}
	k.left += n
	t.open += n
	t.bytes += k.each * int64(n)
	t.mu.Unlock()
}
