package history

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
)

// A segment is a file of entries in the order they came:
//
//	magic(8) names(8) { length(4) crc(4) type(1) ... }*  { key(8) offset(4) }*  first(8) last(8) entries(4) crc(4) magic(8)
//
// The index behind the entries is sorted by key and offset and makes it a sealed one. A segment without it was being written when its process ended: what can
// be read of it is indexed anew. Names is the number of the file of names that it was written with.
type segment struct {
	file    *os.File
	number  uint64
	names   uint64
	size    int64 // of header and entries, what is in buf included
	length  int64 // of the file
	first   int64 // microseconds; 0: no entry yet
	last    int64
	count   int     // of the index
	entries []place // while it is being written
	buf     []byte  // not yet in the file
	seen    []id    // whose name was written lately
}

// place is where an entry of a key is.
type place struct {
	key uint64
	at  uint32
}

const (
	segmentHead  = 16
	segmentTail  = 32
	entryHead    = 8
	placeSize    = 12
	maxEntry     = 1 << 20
	seenSlots    = 1 << 15
	beginMagic   = "bcdchis1"
	sealedMagic  = "bcdcidx1"
	writeAtLeast = 64 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errDamaged = errors.New("what it holds does not match its checksums")

func keyOf(of *id) uint64 { return binary.BigEndian.Uint64(of[:8]) }

func createSegment(path string, number, names uint64) (*segment, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	g := &segment{file: f, number: number, names: names, size: segmentHead, seen: make([]id, seenSlots)}
	g.buf = binary.LittleEndian.AppendUint64(append(g.buf, beginMagic...), names)
	return g, nil
}

// openSegment opens a file of before. One that is not sealed is read through and sealed.
func openSegment(path string, number uint64) (*segment, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	g := &segment{file: f, number: number}
	if err := g.open(); err != nil {
		_ = f.Close() // it is given up
		return nil, err
	}
	return g, nil
}

func (g *segment) open() error {
	info, err := g.file.Stat()
	if err != nil {
		return err
	}
	g.length = info.Size()
	var head [segmentHead]byte
	if _, err := g.file.ReadAt(head[:], 0); err != nil || string(head[:8]) != beginMagic {
		return errors.Join(err, errDamaged)
	}
	g.names = binary.LittleEndian.Uint64(head[8:])
	if g.readTail() {
		return nil
	}
	return g.recover()
}

// readTail reads the end of a sealed segment; false where there is none that holds.
func (g *segment) readTail() bool {
	if g.length < segmentHead+segmentTail {
		return false
	}
	var t [segmentTail]byte
	if _, err := g.file.ReadAt(t[:], g.length-segmentTail); err != nil || string(t[24:]) != sealedMagic {
		return false
	}
	g.first, g.last = int64(binary.LittleEndian.Uint64(t[0:])), int64(binary.LittleEndian.Uint64(t[8:]))
	g.count = int(binary.LittleEndian.Uint32(t[16:]))
	g.size = g.length - segmentTail - int64(g.count)*placeSize
	if g.size < segmentHead {
		return false
	}
	index := make([]byte, g.count*placeSize)
	if _, err := g.file.ReadAt(index, g.size); err != nil {
		return false
	}
	sum := crc32.Update(crc32.Checksum(index, castagnoli), castagnoli, t[:20])
	return sum == binary.LittleEndian.Uint32(t[20:])
}

// recover indexes what can be read, and seals.
func (g *segment) recover() error {
	all := make([]byte, g.length)
	if _, err := io.ReadFull(io.NewSectionReader(g.file, 0, g.length), all); err != nil {
		return err
	}
	g.size, g.first, g.last, g.count = segmentHead, 0, 0, 0
	for {
		body, ok := entryIn(all[g.size:])
		if !ok {
			break
		}
		g.index(body, uint32(g.size))
		g.size += entryHead + int64(len(body))
	}
	if len(g.entries) == 0 {
		return errDamaged
	}
	return g.seal()
}

// entryIn gives the entry at the start of b.
func entryIn(b []byte) (body []byte, ok bool) {
	if len(b) < entryHead {
		return nil, false
	}
	n := binary.LittleEndian.Uint32(b)
	if n == 0 || n > maxEntry || uint64(n) > uint64(len(b)-entryHead) {
		return nil, false
	}
	body = b[entryHead : entryHead+n]
	return body, crc32.Checksum(body, castagnoli) == binary.LittleEndian.Uint32(b[4:])
}

// index notes where an entry is, by all that it is found by.
func (g *segment) index(body []byte, at uint32) {
	var room [8]id
	for _, of := range idsOf(room[:0], body) {
		g.entries = append(g.entries, place{keyOf(&of), at})
	}
	if t := timeOf(body); t != 0 {
		if g.first == 0 || t < g.first {
			g.first = t
		}
		g.last = max(g.last, t)
	}
}

// put appends an entry: the body without its head.
func (g *segment) put(body []byte) {
	g.index(body, uint32(g.size))
	g.buf = binary.LittleEndian.AppendUint32(g.buf, uint32(len(body)))
	g.buf = binary.LittleEndian.AppendUint32(g.buf, crc32.Checksum(body, castagnoli))
	g.buf = append(g.buf, body...)
	g.size += entryHead + int64(len(body))
}

// new tells whether nobody knows in this segment yet what an id stands for, and that it is known from now on.
func (g *segment) new(of *id) bool {
	slot := &g.seen[binary.BigEndian.Uint16(of[6:])&(seenSlots-1)]
	if *slot == *of {
		return false
	}
	*slot = *of
	return true
}

func (g *segment) flush() error {
	if len(g.buf) == 0 {
		return nil
	}
	if _, err := g.file.WriteAt(g.buf, g.length); err != nil {
		return err
	}
	g.length += int64(len(g.buf))
	g.buf = g.buf[:0]
	return nil
}

// seal writes the index behind the entries.
func (g *segment) seal() error {
	if err := g.flush(); err != nil {
		return err
	}
	slices.SortFunc(g.entries, func(a, b place) int { return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.at, b.at)) })
	g.entries = slices.Compact(g.entries)
	b := make([]byte, 0, len(g.entries)*placeSize+segmentTail)
	for _, p := range g.entries {
		b = binary.LittleEndian.AppendUint32(binary.BigEndian.AppendUint64(b, p.key), p.at)
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(g.first))
	b = binary.LittleEndian.AppendUint64(b, uint64(g.last))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(g.entries)))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	b = append(b, sealedMagic...)
	if err := g.file.Truncate(g.size); err != nil {
		return err
	}
	if _, err := g.file.WriteAt(b, g.size); err != nil {
		return err
	}
	g.length, g.count = g.size+int64(len(b)), len(g.entries)
	g.entries, g.buf, g.seen = nil, nil, nil
	return nil
}

// find gives where the entries of keys from lo to hi are, in the order they came.
func (g *segment) find(lo, hi uint64) ([]uint32, error) {
	var out []uint32
	if g.entries != nil || g.seen != nil {
		for _, p := range g.entries {
			if p.key >= lo && p.key <= hi {
				out = append(out, p.at)
			}
		}
		return out, nil
	}
	var b [placeSize]byte
	var failed error
	from, to := 0, g.count
	for from < to {
		mid := int(uint(from+to) >> 1)
		if _, err := g.file.ReadAt(b[:], g.size+int64(mid)*placeSize); err != nil {
			failed = err
			break
		}
		if binary.BigEndian.Uint64(b[:]) < lo {
			from = mid + 1
		} else {
			to = mid
		}
	}
	r := io.NewSectionReader(g.file, g.size+int64(from)*placeSize, int64(g.count-from)*placeSize)
	chunk := make([]byte, 64*placeSize)
	for failed == nil {
		n, err := io.ReadFull(r, chunk)
		more := true
		full := n - n%placeSize
		for i := 0; i < full; i += placeSize {
			if binary.BigEndian.Uint64(chunk[i:]) > hi {
				more = false
				break
			}
			out = append(out, binary.LittleEndian.Uint32(chunk[i+8:]))
		}
		if err != nil || !more {
			if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				failed = err
			}
			break
		}
	}
	slices.Sort(out)
	return slices.Compact(out), failed
}

// read gives the entry at a place.
func (g *segment) read(at uint32) ([]byte, error) {
	if int64(at) >= g.length { // in what is not written yet
		if body, ok := entryIn(g.buf[int64(at)-g.length:]); ok {
			return slices.Clone(body), nil
		}
		return nil, errDamaged
	}
	b := make([]byte, min(512, g.size-int64(at)))
	n, err := g.file.ReadAt(b, int64(at))
	b = b[:n]
	if n < entryHead {
		return nil, errors.Join(err, errDamaged)
	}
	if need := entryHead + int64(binary.LittleEndian.Uint32(b)); need > int64(n) && need <= maxEntry {
		b = make([]byte, need)
		if n, err = g.file.ReadAt(b, int64(at)); int64(n) < need {
			return nil, errors.Join(err, errDamaged)
		}
	}
	body, ok := entryIn(b)
	if !ok {
		return nil, errDamaged
	}
	return body, nil
}

// each calls f with every entry.
func (g *segment) each(f func(body []byte) error) error {
	if err := g.flush(); err != nil {
		return err
	}
	all := make([]byte, g.size)
	if _, err := g.file.ReadAt(all, 0); err != nil {
		return err
	}
	for at := int64(segmentHead); at < g.size; {
		body, ok := entryIn(all[at:])
		if !ok {
			return fmt.Errorf("at %d: %w", at, errDamaged)
		}
		if err := f(body); err != nil {
			return err
		}
		at += entryHead + int64(len(body))
	}
	return nil
}

func (g *segment) close() error { return g.file.Close() }
