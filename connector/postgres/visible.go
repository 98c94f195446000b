package postgres

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// maxSpan bounds the bit set of delivered transactions: 2^20 transactions are 128 KiB.
const maxSpan = 1 << 20

// snapshot is what pg_current_snapshot() prints, with 64-bit transaction numbers. A standby's says nothing of what is running (its list is
// always empty); there the replayed position tells what is visible.
type snapshot struct {
	xmin, xmax uint64
	running    map[uint64]struct{}
}

func parseSnapshot(text string) (*snapshot, error) {
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return nil, fmt.Errorf("snapshot %q is malformed", text)
	}
	s := &snapshot{}
	var err error
	if s.xmin, err = strconv.ParseUint(parts[0], 10, 64); err != nil {
		return nil, fmt.Errorf("snapshot %q is malformed: %w", text, err)
	}
	if s.xmax, err = strconv.ParseUint(parts[1], 10, 64); err != nil {
		return nil, fmt.Errorf("snapshot %q is malformed: %w", text, err)
	}
	if parts[2] == "" {
		return s, nil
	}
	s.running = map[uint64]struct{}{}
	for _, x := range strings.Split(parts[2], ",") {
		n, err := strconv.ParseUint(x, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("snapshot %q is malformed: %w", text, err)
		}
		s.running[n] = struct{}{}
	}
	return s, nil
}

// sees tells whether a transaction that committed is visible in the snapshot.
func (s *snapshot) sees(xid uint64) bool {
	if xid < s.xmin {
		return true
	}
	if xid >= s.xmax {
		return false
	}
	_, running := s.running[xid]
	return !running
}

// delivered is the set of transactions that were received and not yet seen visible by any snapshot: a commit is in the log, and may be
// streamed, before other sessions see it. It is a bit set over 64-bit transaction numbers from base on, with stragglers below. Past maxSpan only
// the highest number is kept, and everything up to it counts as delivered, which can only make a reader wait longer. Methods may be
// called concurrently.
type delivered struct {
	mu     sync.Mutex
	ref    uint64 // a recent 64-bit number, to widen the 32 bits of the stream
	base   uint64
	words  []uint64
	low    map[uint64]struct{}
	upTo   uint64 // overflow: all numbers up to this count as delivered
	count  int
	change uint64    // grows with every change, so that a copy can be told to be current
	latest *snapshot // the newest one seen: what it sees need not be noted at all
}

// setRef tells a recent 64-bit transaction number, around which the 32 bits of the stream are taken.
func (d *delivered) setRef(x uint64) {
	d.mu.Lock()
	d.ref = max(d.ref, x)
	d.mu.Unlock()
}

// add notes a transaction of the stream by its 32-bit number.
func (d *delivered) add(xid uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	x := uint64(int64(d.ref) + int64(int32(xid-uint32(d.ref))))
	d.ref = max(d.ref, x)
	if d.latest == nil || !d.latest.sees(x) {
		d.put(x)
	}
}

func (d *delivered) put(x uint64) {
	d.change++
	if x <= d.upTo {
		return
	}
	if d.count == 0 {
		d.base, d.words, d.low = x&^63, d.words[:0], nil
	}
	if x < d.base {
		if _, ok := d.low[x]; ok {
			return
		}
		if d.low == nil {
			d.low = map[uint64]struct{}{}
		}
		d.low[x] = struct{}{}
		d.count++
		return
	}
	i := x - d.base
	if i >= maxSpan {
		d.upTo = max(d.upTo, x)
		d.words, d.low, d.count = nil, nil, 0
		return
	}
	for uint64(len(d.words))*64 <= i {
		d.words = append(d.words, 0)
	}
	if bit := uint64(1) << (i & 63); d.words[i/64]&bit == 0 {
		d.words[i/64] |= bit
		d.count++
	}
}

// each calls fn with every number of the set until it gives false.
func (d *delivered) each(fn func(uint64) bool) bool {
	for x := range d.low {
		if !fn(x) {
			return false
		}
	}
	for i, w := range d.words {
		for ; w != 0; w &= w - 1 {
			if !fn(d.base + uint64(i)*64 + uint64(bits.TrailingZeros64(w))) {
				return false
			}
		}
	}
	return true
}

// prune forgets what a snapshot sees, and tells whether it sees all of it.
func (d *delivered) prune(s *snapshot) (all bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ref = max(d.ref, s.xmax)
	if d.latest == nil || s.xmax > d.latest.xmax {
		d.latest = s
	}
	if d.upTo != 0 && d.upTo < s.xmin {
		d.upTo = 0
		d.change++
	}
	if d.count == 0 {
		return d.upTo == 0
	}
	var left []uint64
	d.each(func(x uint64) bool {
		if !s.sees(x) {
			left = append(left, x)
		}
		return true
	})
	if len(left) == d.count {
		return false
	}
	d.words, d.low, d.count = d.words[:0], nil, 0
	d.change++
	slices.Sort(left)
	for _, x := range left {
		d.put(x)
	}
	return d.count == 0 && d.upTo == 0
}

// clear forgets everything: a server in recovery decodes only what it has replayed, so all of it is visible there.
func (d *delivered) clear() {
	d.mu.Lock()
	d.words, d.low, d.count, d.upTo = nil, nil, 0, 0
	d.change++
	d.mu.Unlock()
}

// copy gives the set as it is now.
func (d *delivered) copy() *delivered {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := &delivered{ref: d.ref, base: d.base, words: append([]uint64(nil), d.words...), upTo: d.upTo, count: d.count}
	if len(d.low) > 0 {
		c.low = make(map[uint64]struct{}, len(d.low))
		for x := range d.low {
			c.low[x] = struct{}{}
		}
	}
	return c
}

// size is how many transactions are in the set, and the version of its content.
func (d *delivered) size() (n int, change uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.count, d.change
}

var errMemo = errors.New("the recorded note of the source is malformed")

const memoVersion = 1

// memo is the source's own note beside a recorded position.
type memo struct {
	system   string // system identifier of the server
	timeline int32
	unseen   *delivered
}

func (m *memo) append(b []byte) []byte {
	b = append(b, memoVersion)
	b = binary.AppendUvarint(b, uint64(len(m.system)))
	b = append(b, m.system...)
	b = binary.AppendUvarint(b, uint64(m.timeline))
	d := m.unseen
	d.mu.Lock()
	defer d.mu.Unlock()
	b = binary.AppendUvarint(b, d.ref)
	b = binary.AppendUvarint(b, d.upTo)
	b = binary.AppendUvarint(b, uint64(len(d.low)))
	for x := range d.low {
		b = binary.AppendUvarint(b, x)
	}
	b = binary.AppendUvarint(b, d.base)
	b = binary.AppendUvarint(b, uint64(len(d.words)))
	for _, w := range d.words {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	return b
}

func parseMemo(b []byte) (m memo, err error) {
	if len(b) == 0 || b[0] != memoVersion {
		return m, errMemo
	}
	b = b[1:]
	uv := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			err = errMemo
			return 0
		}
		b = b[n:]
		return v
	}
	n := uv()
	if n > uint64(len(b)) {
		return m, errMemo
	}
	m.system, b = string(b[:n]), b[n:]
	m.timeline = int32(uv())
	d := &delivered{ref: uv(), upTo: uv()}
	m.unseen = d
	var low []uint64
	lows := uv()
	if lows > uint64(len(b)) {
		return m, errMemo
	}
	for range lows {
		low = append(low, uv())
	}
	base := uv()
	words := uv()
	if words > uint64(len(b))/8 {
		return m, errMemo
	}
	for i := range words {
		for w := binary.LittleEndian.Uint64(b[i*8:]); w != 0; w &= w - 1 {
			d.put(base + i*64 + uint64(bits.TrailingZeros64(w)))
		}
	}
	for _, x := range low {
		d.put(x)
	}
	return m, err
}
