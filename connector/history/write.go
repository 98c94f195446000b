package history

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"brazecdc/connector"
)

const (
	segmentSuffix = ".seg"
	namesSuffix   = ".names"
	maxCounts     = 4096 // users whose changes are being counted at once
	careEvery     = time.Minute
)

// countKey is what changes are counted by of which nothing was sent.
type countKey struct {
	user                connector.User
	row                 connector.Key
	model, outcome, why uint32
}

type count struct {
	n           uint64
	first, last int64
}

// write is the goroutine that takes slabs to the files.
func (s *Store) write() {
	defer close(s.done)
	t := time.NewTicker(tick)
	defer t.Stop()
	cared := s.cfg.Now()
	for {
		select {
		case sl := <-s.full:
			s.store(sl)
		case <-t.C:
			s.drain()
			if now := s.cfg.Now(); now.Sub(cared) >= careEvery {
				cared = now
				s.care()
			}
		case ack := <-s.ask:
			s.drain()
			close(ack)
		case <-s.closing:
			s.drain()
			s.care()
			s.disk.Lock()
			s.sealLive()
			s.disk.Unlock()
			return
		}
	}
}

// drain stores what was told so far.
func (s *Store) drain() {
	for {
		select {
		case sl := <-s.full:
			s.store(sl)
			continue
		default:
		}
		break
	}
	s.mu.Lock()
	sl := s.slab
	s.slab = nil
	s.mu.Unlock()
	if sl != nil {
		s.store(sl)
	}
	s.disk.Lock()
	defer s.disk.Unlock()
	if s.live != nil {
		s.check(s.live.flush())
	}
}

// store writes a slab's entries and gives it back.
func (s *Store) store(sl *slab) {
	s.mu.Lock()
	fresh := slices.Clone(s.names.list[s.saved:])
	lost := s.gap
	s.gap = gap{}
	s.mu.Unlock()
	s.disk.Lock()
	if s.ready(fresh) {
		if lost.n > 0 {
			s.put(appendGap(nil, lost))
		}
		for b := sl.b; len(b) > 4; {
			n := int(binary.LittleEndian.Uint32(b))
			if n > len(b)-4 {
				break
			}
			s.entry(b[4 : 4+n])
			b = b[4+n:]
		}
	} else {
		s.dropped.Add(uint64(sl.n))
	}
	if s.live != nil && len(s.live.buf) >= writeAtLeast {
		s.check(s.live.flush())
	}
	s.disk.Unlock()
	sl.b, sl.n = sl.b[:0], 0
	if cap(sl.b) > 4*slabSize {
		sl.b = nil
	}
	s.mu.Lock()
	s.free = append(s.free, sl)
	s.mu.Unlock()
}

func appendGap(b []byte, g gap) []byte {
	b = append(b, typeGap)
	b = appendUint(b, g.from.UnixMicro())
	b = appendUint(b, g.to.UnixMicro())
	return appendUint(b, g.n)
}

// ready makes a segment that can be written to, and puts new names down; false where nothing can be written now. s.disk is held.
func (s *Store) ready(fresh []string) bool {
	if s.cfg.Now().Before(s.blind) {
		return false
	}
	if s.live != nil && (s.live.size >= s.size || s.live.first != 0 && s.cfg.Now().Sub(time.UnixMicro(s.live.first)) > s.cfg.Keep/14) {
		s.sealLive()
		s.bound()
	}
	if s.live == nil {
		g, err := createSegment(s.path(s.next, segmentSuffix), s.next, s.generation)
		if !s.check(err) {
			return false
		}
		s.live = g
		s.next++
	}
	return s.saveNames(fresh)
}

// check notes a write that did not succeed: for a minute nothing more is tried.
func (s *Store) check(err error) bool {
	if err == nil {
		return true
	}
	if s.live != nil {
		_ = s.live.close() // what it holds is read at the next start
		s.live = nil
	}
	s.blind = s.cfg.Now().Add(time.Minute)
	s.cfg.Logger.Warn("the history cannot be written; what happens in the next minute is not in it", "folder", s.cfg.Path, "err", err)
	return false
}

// saveNames appends names to this start's file of them, before an entry is written that may use them.
func (s *Store) saveNames(fresh []string) bool {
	if len(fresh) == 0 {
		return true
	}
	var b []byte
	for _, n := range fresh {
		b = binary.LittleEndian.AppendUint16(b, uint16(len(n)))
		b = binary.LittleEndian.AppendUint32(b, crc32.Checksum([]byte(n), castagnoli))
		b = append(b, n...)
	}
	f, err := os.OpenFile(s.path(s.generation, namesSuffix), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err == nil {
		_, err = f.Write(b)
		err = errors.Join(err, f.Close())
	}
	if !s.check(err) {
		return false
	}
	s.mu.Lock()
	s.saved += len(fresh)
	s.mu.Unlock()
	return true
}

func (s *Store) path(number uint64, suffix string) string {
	return filepath.Join(s.cfg.Path, fmt.Sprintf("%012d%s", number, suffix))
}

func (s *Store) put(body []byte) {
	if s.live != nil {
		s.live.put(body)
	}
}

// entry takes one entry of a slab to the live segment. s.disk is held.
func (s *Store) entry(b []byte) {
	d := decoder{b: b[1:]}
	u := d.user()
	if b[0] == typeValue {
		if number := d.uint(); !d.bad && s.live != nil {
			of := valueID(number)
			body := append(s.appendID([]byte{typeValue}, u), of[:]...)
			s.writer.seal(of, d.b)
			s.put(append(body, d.b...))
		}
		return
	}
	if b[0] == typeCount {
		k := countKey{user: u, row: d.key()}
		at, n := int64(d.uint()), d.uint()
		k.model, k.outcome, k.why = uint32(d.uint()), uint32(d.uint()), uint32(d.uint())
		if d.bad {
			return
		}
		s.tally(k, at, n)
		return
	}
	to := d.user()
	n := int(d.byte())
	rows := s.rowsRoom[:0]
	for range n {
		rows = append(rows, d.key())
	}
	if d.bad || s.live == nil {
		return
	}
	s.rowsRoom = rows
	body := append(s.bodyRoom[:0], typeEnd)
	body = s.appendID(body, u)
	body = s.appendID(body, to)
	body = append(body, byte(n))
	for i := range rows {
		body = s.appendRowID(body, &rows[i])
	}
	s.bodyRoom = append(body, d.b...)
	s.put(s.bodyRoom)
}

// appendID appends a user's id, after putting down what it stands for.
func (s *Store) appendID(b []byte, u connector.User) []byte {
	if u == (connector.User{}) {
		return append(b, make([]byte, hashSize)...)
	}
	of := s.writer.user(&u)
	if s.live.new(&of) {
		s.nameRoom = appendUser(append(append(s.nameRoom[:0], typeUser), of[:]...), &u)
		s.putNamed(of)
	}
	return append(b, of[:]...)
}

func (s *Store) appendRowID(b []byte, k *connector.Key) []byte {
	of := s.writer.row(k)
	if s.live.new(&of) {
		s.nameRoom = appendKey(append(append(s.nameRoom[:0], typeRow), of[:]...), k)
		s.putNamed(of)
	}
	return append(b, of[:]...)
}

// putNamed puts down what an id stands for, sealed: nameRoom behind the id.
func (s *Store) putNamed(of id) {
	s.writer.seal(of, s.nameRoom[1+hashSize:])
	s.put(s.nameRoom)
}

func (s *Store) tally(k countKey, at int64, n uint64) {
	c := s.counts[k]
	if c == nil {
		if len(s.counts) >= maxCounts {
			s.flushCounts()
		}
		k.user.ID, k.user.Label, k.row.ID, k.row.Table = strings.Clone(k.user.ID), strings.Clone(k.user.Label), strings.Clone(k.row.ID), strings.Clone(k.row.Table)
		c = &count{first: at}
		s.counts[k] = c
	}
	c.n += n
	c.last = at
}

// flushCounts writes what was counted. s.disk is held.
func (s *Store) flushCounts() {
	for k, c := range s.counts {
		if s.live != nil {
			body := s.appendID([]byte{typeCount}, k.user)
			body = s.appendRowID(body, &k.row)
			s.put(appendCounted(body, &k, c))
		}
	}
	clear(s.counts)
}

func appendCounted(b []byte, k *countKey, c *count) []byte {
	b = appendUint(b, c.last)
	b = appendUint(b, c.first)
	b = appendUint(b, c.n)
	b = appendUint(b, k.model)
	b = appendUint(b, k.outcome)
	return appendUint(b, k.why)
}

// care does what is due from time to time.
func (s *Store) care() {
	s.mu.Lock()
	s.payload.sweep(s.cfg.Now())
	fresh := slices.Clone(s.names.list[s.saved:])
	s.mu.Unlock()
	s.disk.Lock()
	defer s.disk.Unlock()
	if len(s.counts) > 0 && s.ready(fresh) {
		s.flushCounts()
		if s.live != nil {
			s.check(s.live.flush())
		}
	}
	s.bound()
}

// sealLive ends the segment that is being written.
func (s *Store) sealLive() {
	g := s.live
	s.live = nil
	switch {
	case g == nil:
	case len(g.entries) == 0:
		_ = g.close() // it is empty
		_ = os.Remove(s.path(g.number, segmentSuffix))
	default:
		if err := g.seal(); err != nil {
			_ = g.close()
			s.check(err)
			return
		}
		s.sealed = append(s.sealed, g)
	}
}

func (s *Store) total() (n int64) {
	for _, g := range s.sealed {
		n += g.length
	}
	if s.live != nil {
		n += s.live.size + int64(len(s.live.entries))*placeSize
	}
	return n
}

// bound drops the oldest segments, until the rest is neither too old nor too large. s.disk is held.
func (s *Store) bound() {
	oldest := s.cfg.Now().Add(-s.cfg.Keep).UnixMicro()
	most := max(s.cfg.MaxSize-2*s.size-2*slabSize, s.cfg.MaxSize/2) // the rest is for the segment that is being written
	for len(s.sealed) > 0 && (s.sealed[0].last < oldest || s.total() > most) {
		s.drop(s.sealed[0])
		s.sealed = s.sealed[1:]
	}
	keep := map[uint64]bool{s.generation: true}
	for _, g := range s.sealed {
		keep[g.names] = true
	}
	for n := range s.old {
		if !keep[n] {
			delete(s.old, n)
			_ = os.Remove(s.path(n, namesSuffix)) // tried again at the next start
		}
	}
}

// drop removes a segment.
func (s *Store) drop(g *segment) {
	_ = g.close()
	if err := os.Remove(s.path(g.number, segmentSuffix)); err != nil {
		s.cfg.Logger.Warn("a file of the history cannot be removed", "folder", s.cfg.Path, "err", err)
	}
}

// load opens what is there of earlier starts. What cannot be read is removed.
func (s *Store) load() error {
	list, err := os.ReadDir(s.cfg.Path)
	if err != nil {
		return err
	}
	s.old = map[uint64][]string{}
	var names []uint64
	for _, e := range list {
		base, suffix := strings.TrimSuffix(e.Name(), filepath.Ext(e.Name())), filepath.Ext(e.Name())
		n, err := strconv.ParseUint(base, 10, 64)
		if err != nil || e.IsDir() {
			continue
		}
		s.next = max(s.next, n+1)
		switch suffix {
		case namesSuffix:
			names = append(names, n)
		case segmentSuffix:
			g, err := openSegment(s.path(n, segmentSuffix), n)
			if err != nil {
				s.cfg.Logger.Warn("a file of the history cannot be read and is dropped", "file", e.Name(), "err", err)
				if err := os.Remove(s.path(n, segmentSuffix)); err != nil {
					return err
				}
				continue
			}
			s.sealed = append(s.sealed, g)
		}
	}
	slices.SortFunc(s.sealed, func(a, b *segment) int { return int(a.number) - int(b.number) })
	for _, n := range names {
		s.old[n] = readNames(s.path(n, namesSuffix))
	}
	s.generation = s.next
	s.next++
	s.bound()
	return nil
}

// readNames reads a file of names up to where it is damaged: the numbers behind that name nothing.
func readNames(path string) (out []string) {
	b, err := os.ReadFile(path)
	for err == nil && len(b) >= 6 {
		n := int(binary.LittleEndian.Uint16(b))
		if len(b) < 6+n || crc32.Checksum(b[6:6+n], castagnoli) != binary.LittleEndian.Uint32(b[2:]) {
			break
		}
		out = append(out, string(b[6:6+n]))
		b = b[6+n:]
	}
	return out
}
