package state

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"sync"
)

const (
	warmChunk  = 1 << 20 // bytes that are taken from memory, and given up, at once
	warmLength = 2       // bytes that tell the length of a key or of a value
	warmMost   = 4 << 10 // a longer record is not kept: it would take the place of many
	warmSlots  = 1 << 10 // that the index begins with
)

// warm keeps in memory what the cache wrote last, since who has just changed is the likeliest to change again, and to find a record in the files takes longer than all
// else that is done for a change. It takes memory as records come, up to its bound; then those of the oldest chunk make room. Nothing enters it by being read, so
// that it never holds what a later write replaced. All methods may be called concurrently; those of nil keep nothing.
type warm struct {
	mu     sync.Mutex
	seed   maphash.Seed
	size   int        // of a chunk
	limit  int        // chunks
	chunks [][]byte   // of records, one behind the other: the lengths of key and value, the key, the value
	last   int        // the chunk that is written
	slots  []warmSlot // by hash, a power of two of them, the next free one where it is taken
	count  int        // of slots in use
}

// warmSlot leads to a record.
type warmSlot struct{ hash, at uint32 } // at: 1 + where it begins, over all chunks; 0 where the slot is free

// newWarm keeps up to so many bytes of records; their index takes up to a sixth more. Less than a chunk is none.
func newWarm(most int64) *warm {
	if most < warmChunk {
		return nil
	}
	return warmOf(int(min(most/warmChunk, 1<<32/warmChunk-1)), warmChunk)
}

func warmOf(chunks, size int) *warm {
	return &warm{seed: maphash.MakeSeed(), limit: chunks, size: size, slots: make([]warmSlot, warmSlots)}
}

// get appends a key's value to dst.
func (w *warm) get(dst, key []byte) ([]byte, bool) {
	if w == nil {
		return dst, false
	}
	hash := uint32(maphash.Bytes(w.seed, key))
	w.mu.Lock()
	defer w.mu.Unlock()
	i, ok := w.find(hash, key)
	if !ok {
		return dst, false
	}
	_, v, _ := w.record(w.slots[i].at)
	return append(dst, v...), true
}

// put keeps a key's value, in place of one there was.
func (w *warm) put(key, value []byte) {
	if w == nil {
		return
	}
	hash := uint32(maphash.Bytes(w.seed, key))
	size := 2*warmLength + len(key) + len(value)
	w.mu.Lock()
	defer w.mu.Unlock()
	i, ok := w.find(hash, key)
	if ok {
		if _, v, _ := w.record(w.slots[i].at); len(v) == len(value) {
			copy(v, value)
			return
		}
		w.free(i)
	}
	if size > min(warmMost, w.size) {
		return
	}
	at := w.room(size)
	c := &w.chunks[w.last]
	*c = binary.LittleEndian.AppendUint16(*c, uint16(len(key)))
	*c = binary.LittleEndian.AppendUint16(*c, uint16(len(value)))
	*c = append(append(*c, key...), value...)
	if 4*(w.count+1) > 3*len(w.slots) {
		w.grow()
	}
	w.take(warmSlot{hash, at})
}

// remove forgets a key.
func (w *warm) remove(key []byte) {
	if w == nil {
		return
	}
	hash := uint32(maphash.Bytes(w.seed, key))
	w.mu.Lock()
	defer w.mu.Unlock()
	if i, ok := w.find(hash, key); ok {
		w.free(i)
	}
}

// clear forgets all, and gives the memory back.
func (w *warm) clear() {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.chunks, w.last, w.slots, w.count = nil, 0, make([]warmSlot, warmSlots), 0
}

// room gives where a record of that size may begin, in the chunk that is written or the next one.
func (w *warm) room(size int) uint32 {
	switch {
	case len(w.chunks) > 0 && len(w.chunks[w.last])+size <= w.size:
	case len(w.chunks) < w.limit:
		w.chunks = append(w.chunks, make([]byte, 0, w.size))
		w.last = len(w.chunks) - 1
	default:
		w.last = (w.last + 1) % len(w.chunks)
		w.empty(w.last)
	}
	return uint32(w.last*w.size+len(w.chunks[w.last])) + 1
}

// empty forgets the records of a chunk. A record that was replaced has no slot any more.
func (w *warm) empty(n int) {
	c := &w.chunks[n]
	for from := 0; from < len(*c); {
		at := uint32(n*w.size+from) + 1
		key, _, size := w.record(at)
		for i, mask := w.slot(uint32(maphash.Bytes(w.seed, key))); w.slots[i].at != 0; i = (i + 1) & mask {
			if w.slots[i].at == at {
				w.free(i)
				break
			}
		}
		from += size
	}
	*c = (*c)[:0]
}

// record gives what begins at a slot's at, and its length.
func (w *warm) record(at uint32) (key, value []byte, size int) {
	b := w.chunks[int(at-1)/w.size][int(at-1)%w.size:]
	k, v := int(binary.LittleEndian.Uint16(b)), int(binary.LittleEndian.Uint16(b[warmLength:]))
	b = b[2*warmLength:]
	return b[:k], b[k : k+v], 2*warmLength + k + v
}

// slot gives where a hash's slots begin.
func (w *warm) slot(hash uint32) (i, mask int) {
	mask = len(w.slots) - 1
	return int(hash) & mask, mask
}

func (w *warm) find(hash uint32, key []byte) (int, bool) {
	for i, mask := w.slot(hash); w.slots[i].at != 0; i = (i + 1) & mask {
		if w.slots[i].hash != hash {
			continue
		}
		if k, _, _ := w.record(w.slots[i].at); bytes.Equal(k, key) {
			return i, true
		}
	}
	return 0, false
}

// take fills a free slot; there is one.
func (w *warm) take(s warmSlot) {
	i, mask := w.slot(s.hash)
	for w.slots[i].at != 0 {
		i = (i + 1) & mask
	}
	w.slots[i] = s
	w.count++
}

// free empties a slot, and moves up those behind it that would not be found past an empty one.
func (w *warm) free(hole int) {
	mask := len(w.slots) - 1
	for i := (hole + 1) & mask; w.slots[i].at != 0; i = (i + 1) & mask {
		home, _ := w.slot(w.slots[i].hash)
		if (i-home)&mask >= (i-hole)&mask {
			w.slots[hole] = w.slots[i]
			hole = i
		}
	}
	w.slots[hole] = warmSlot{}
	w.count--
}

func (w *warm) grow() {
	old := w.slots
	w.slots, w.count = make([]warmSlot, 2*len(old)), 0
	for _, s := range old {
		if s.at != 0 {
			w.take(s)
		}
	}
}
