package state

import (
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// How much is read between two looks at whether others wait for the files: records, those that are not kept too, and bytes of those that are.
const (
	fillStep  = 4096
	fillBytes = 1 << 20
)

// refill begins to read what the files hold into memory, until that is full: else after a start each user would be looked up in the files once, which takes
// several times as long as to read them one behind the other. Nobody waits for it.
func (c *Cache) refill() {
	w := c.warm
	if w == nil {
		return
	}
	var numbers []uint16
	for p, n := range c.pairs {
		if p.table == "" {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	w.begin()
	c.fills.Go(func() {
		defer w.stop()
		for _, n := range numbers {
			for from, end := printKeys(n); from != nil; {
				var on bool
				if from, on = c.fillFrom(w, from, end); !on {
					return
				}
			}
		}
	})
}

// fillFrom reads the records from one key to before another, not more than one step takes, and gives where to go on, nil where there are no more; on is false
// where all is over: the memory is full, or no longer the cache's.
func (c *Cache) fillFrom(w *warm, from, end []byte) (next []byte, on bool) {
	db, err := c.use()
	if err != nil {
		return nil, false
	}
	defer c.mu.RUnlock()
	if c.warm != w {
		return nil, false
	}
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: end})
	if err != nil {
		return nil, false
	}
	s := scratches.Get().(*scratch)
	defer s.release()
	s.value = s.value[:0]
	seen := 0
	for it.First(); it.Valid(); it.Next() {
		if seen++; seen > fillStep || len(s.value) >= fillBytes {
			next = append([]byte{}, it.Key()...)
			break
		}
		v, err := it.ValueAndErr()
		if err != nil {
			break // it.Error has it too
		}
		k := it.Key()
		if _, tag, _, err := readHead(v); err != nil || !c.alive(tag) || w.tooLong(k, v) {
			continue // what cannot be read is told to who looks it up
		}
		s.records = append(s.records, warmRecord{at: uint32(len(k))})
		s.value = append(append(s.value, k...), v...)
		s.ends = append(s.ends, len(s.value))
	}
	if errors.Join(it.Error(), it.Close()) != nil {
		return nil, false // who needs the record meets the error again
	}
	at := 0
	for i := range s.records {
		r := &s.records[i]
		r.key, r.value = s.value[at:at+int(r.at)], s.value[at+int(r.at):s.ends[i]]
		at = s.ends[i]
	}
	return next, w.fill(s.records)
}

// begin lets fill keep records.
func (w *warm) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.filling, w.passed = true, map[string]bool{}
}

// stop ends that for good.
func (w *warm) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.filled()
}

func (w *warm) filled() { w.filling, w.passed = false, nil }

// fill keeps records that were read from the files, but those of keys that a call has kept, or not kept, since filling began: that was later. It gives false,
// and keeps nothing more, where records would have to make room, or have had to since, or all was forgotten.
func (w *warm) fill(records []warmRecord) bool {
	w.locate(records)
	defer w.mu.Unlock()
	for i := range records {
		r := &records[i]
		if !w.filling {
			return false
		}
		if _, ok := w.find(r.hash, r.key); ok || w.passed[string(r.key)] || w.tooLong(r.key, r.value) {
			continue
		}
		if !w.hasRoom(recordSize(r.key, r.value)) {
			w.filled()
			return false
		}
		w.add(r)
	}
	return w.filling
}
