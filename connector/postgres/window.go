package postgres

import (
	"slices"

	"brazecdc/connector"
)

// window is a chunk between its two marks.
type window struct {
	id     uint64
	gen    int
	opened bool
	low    chan struct{} // closed when the stream passed the low mark
	need   *delivered    // what must be visible in the chunk's snapshot
	upTo   uint64        // and its position, for a replica

	touched   map[string]*touched
	overflow  bool
	truncated bool

	changes []connector.Change
	after   []string
	last    bool
	again   [][]string
}

// touched is what the window's changes of one key leave to the chunk's row: the columns that all of them left absent.
type touched struct {
	absent []string
	gone   bool
}

// touch notes a change of the stream. It runs in the owner's goroutine.
func (l *load) touch(ch *connector.Change, r *relation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var absent []string
	if ch.Op != connector.Delete {
		for i, c := range ch.After.Cells {
			if c.State == connector.Absent {
				absent = append(absent, r.table.Columns[i].Name)
			}
		}
	}
	moved := ch.OldKey.Table != ""
	if moved && len(absent) > 0 {
		// The row now stands where a chunk may have passed already, and its old key's row will be gone: read it by its new key.
		l.place.again = append(l.place.again, keyTexts(r.key, ch.After.Cells))
		if len(l.place.again) > maxAgain {
			l.s.log.Warn("too many keys changed during the load; it begins anew", "table", l.table)
			l.place = place{chunk: l.place.chunk}
			l.retake()
		}
		l.signal()
	}
	for _, w := range l.windows {
		if !w.opened || w.overflow {
			continue
		}
		if moved {
			w.touch(ch.OldKey.ID, nil, true)
		}
		w.touch(ch.Key.ID, absent, ch.Op == connector.Delete)
		if len(w.touched) > maxTouched {
			w.overflow, w.touched = true, nil
		}
	}
}

func (w *window) touch(key string, absent []string, gone bool) {
	t := w.touched[key]
	if t == nil {
		if w.touched == nil {
			w.touched = map[string]*touched{}
		}
		w.touched[key] = &touched{absent: absent, gone: gone}
		return
	}
	t.gone = t.gone || gone
	t.absent = slices.DeleteFunc(slices.Clone(t.absent), func(n string) bool { return !slices.Contains(absent, n) })
}

func (l *load) truncated() {
	l.mu.Lock()
	for _, w := range l.windows {
		w.truncated = w.truncated || w.opened
	}
	l.mu.Unlock()
}

func keyTexts(key []int, cells []connector.Cell) []string {
	out := make([]string, len(key))
	for i, k := range key {
		out[i] = cells[k].Raw
	}
	return out
}

// open is the low mark: from here on the stream's changes of the table are noted, and what was delivered so far must be visible to the chunk.
func (l *load) open(id, pos uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.windows {
		if w.id == id && !w.opened {
			w.opened, w.need, w.upTo = true, l.s.seen.copy(), pos
			close(w.low)
		}
	}
}

// close is the high mark: it gives the chunk without what the window's changes replaced.
func (l *load) close(id uint64) (connector.Batch, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.windows) == 0 || l.windows[0].id != id {
		return connector.Batch{}, false // a mark of chunks that are taken again
	}
	w := l.windows[0]
	if w.overflow {
		l.s.log.Warn("too many changes during a chunk; it is taken again", "table", l.table)
		l.retake()
		return connector.Batch{}, false
	}
	l.windows = l.windows[1:]
	changes := w.changes
	if w.truncated {
		changes = nil
	} else if len(w.touched) > 0 {
		changes = w.untouched()
	}
	p := &l.place
	p.chunk++
	if w.again != nil {
		p.again = slices.Clone(p.again[len(w.again):])
	} else {
		if w.after != nil {
			p.after = w.after
		}
		p.ended = w.last
	}
	l.rows += int64(len(w.changes))
	for i := range changes {
		changes[i].ID = connector.ChangeID{Commit: p.chunk, N: uint32(i)}
	}
	l.signal()
	return connector.Batch{Position: connector.Position{Stream: "load/" + l.id, Offset: p.chunk}, Changes: changes,
		Load: &connector.LoadProgress{Load: l.id, Cursor: p.encode(), Rows: l.rows, Done: l.done()}}, true
}

// done tells whether nothing is left to read. The caller holds mu.
func (l *load) done() bool { return l.place.ended && len(l.place.again) == 0 }

// untouched drops the rows whose key changed in the window; of a row that is still there, the columns that no change carried remain.
func (w *window) untouched() []connector.Change {
	out := w.changes[:0]
	for _, ch := range w.changes {
		t := w.touched[ch.Key.ID]
		switch {
		case t == nil:
			out = append(out, ch)
		case !t.gone && len(t.absent) > 0:
			cells := make([]connector.Cell, len(ch.After.Cells))
			any := false
			for i, col := range ch.After.Table.Columns {
				supplied := slices.Contains(t.absent, col.Name)
				if supplied || col.Key { // the key is the change's own, so it cannot be stale
					cells[i] = ch.After.Cells[i]
				}
				any = any || supplied
			}
			if any {
				ch.After.Cells = cells
				out = append(out, ch)
			}
		}
	}
	return out
}
