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
// else that is done for a change. It takes memory as records come, up to its bound; then those of the oldest chunk make room. It never holds what a later write
// replaced: a look-up keeps nothing, and what fill reads at a start gives way to what was written meanwhile. All methods may be called concurrently; those of nil
// keep nothing.
type warm struct {
	mu     sync.Mutex
	seed   maphash.Seed
	size   int        // of a chunk
	limit  int        // chunks
	chunks [][]byte   // of records, one behind the other: the lengths of key and value, the key, the value
	last   int        // the chunk that is written
	slots  []warmSlot // by hash, a power of two of them, the next free one where it is taken
	count  int        // of slots in use
	read   byte       // what locate read

	filling bool            // see fill
	passed  map[string]bool // what of it was removed, or not kept, since filling began
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

// warmRecord is a key with its value, or one that is gone.
type warmRecord struct {
	key, value []byte
	gone       bool
	hash, at   uint32
}

// get gives the records whose keys are kept their values, which it appends to room.
func (w *warm) get(room []byte, records []warmRecord) []byte {
	if w == nil {
		return room
	}
	from := len(room)
	w.locate(records)
	defer w.mu.Unlock()
	for i := range records {
		r := &records[i]
		r.at = 0
		if i, ok := w.find(r.hash, r.key); ok {
			_, v, _ := w.record(w.slots[i].at)
			room = append(room, v...)
			r.at = 1 + uint32(len(v))
		}
	}
	for at, i := from, 0; i < len(records); i++ { // only now: room may have moved
		if r := &records[i]; r.at > 0 {
			r.value = room[at : at+int(r.at)-1]
			at += int(r.at) - 1
		}
	}
	return room
}

// apply keeps values in place of those there were, and forgets what is gone; of two records of a key the later counts.
func (w *warm) apply(records []warmRecord) {
	if w == nil {
		return
	}
	w.locate(records)
	defer w.mu.Unlock()
	for i := range records {
		if r := &records[i]; r.gone {
			w.remove(r)
		} else {
			w.put(r)
		}
	}
}

// locate hashes the records' keys, takes the lock, and reads where they are likely to stand, for no other purpose than that the processor fetches these places
// side by side: one after the other, as they are then used, each would be waited for.
func (w *warm) locate(records []warmRecord) {
	for i := range records {
		records[i].hash = uint32(maphash.Bytes(w.seed, records[i].key))
	}
	w.mu.Lock()
	mask := uint32(len(w.slots) - 1)
	for i := range records {
		records[i].at = w.slots[records[i].hash&mask].at
	}
	read := byte(0)
	for i := range records {
		if at := records[i].at; at != 0 {
			read |= w.chunks[int(at-1)/w.size][int(at-1)%w.size]
		}
	}
	w.read = read
}

func (w *warm) put(r *warmRecord) {
	i, ok := w.find(r.hash, r.key)
	if ok {
		if _, v, _ := w.record(w.slots[i].at); len(v) == len(r.value) {
			copy(v, r.value)
			return
		}
		w.free(i)
	}
	if w.tooLong(r.key, r.value) {
		w.pass(r)
		return
	}
	w.add(r)
}

func recordSize(key, value []byte) int { return 2*warmLength + len(key) + len(value) }

func (w *warm) tooLong(key, value []byte) bool { return recordSize(key, value) > min(warmMost, w.size) }

// add keeps a record of which there is none.
func (w *warm) add(r *warmRecord) {
	at := w.room(recordSize(r.key, r.value))
	c := &w.chunks[w.last]
	*c = binary.LittleEndian.AppendUint16(*c, uint16(len(r.key)))
	*c = binary.LittleEndian.AppendUint16(*c, uint16(len(r.value)))
	*c = append(append(*c, r.key...), r.value...)
	if 4*(w.count+1) > 3*len(w.slots) {
		w.grow()
	}
	w.take(warmSlot{r.hash, at})
}

// pass notes that the files may have something older of a key that is not kept.
func (w *warm) pass(r *warmRecord) {
	if w.filling {
		w.passed[string(r.key)] = true
	}
}

func (w *warm) remove(r *warmRecord) {
	w.pass(r)
	if i, ok := w.find(r.hash, r.key); ok {
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
	w.filled()
}

// hasRoom tells whether a record of that size fits without another one making room.
func (w *warm) hasRoom(size int) bool {
	return len(w.chunks) < w.limit || len(w.chunks[w.last])+size <= w.size
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
		w.filled()
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
