package connector

import "sync"

// idTable answers which user a row was last mapped to: first from the changes under way, then from the cache.
type idTable struct {
	mu     sync.RWMutex
	rows   map[rowKey]underWay
	passed map[rowKey]User // rows of changes that an earlier run delivered before it deleted or renamed their user, as these changes come again
	holds  uint64          // how many there were
	needed []bool          // by model
	models []ModelInfo
	cache  func() Fingerprints
}

type rowKey struct {
	model int
	key   Key
}

type underWay struct {
	user    User
	n       int
	gone    bool
	last    uint64 // number of the newest hold
	written uint64 // of the newest one whose effect is in the cache
}

func newIDTable(models []ModelInfo, cache func() Fingerprints) *idTable {
	t := &idTable{rows: map[rowKey]underWay{}, passed: map[rowKey]User{}, needed: make([]bool, len(models)), models: models, cache: cache}
	for i, m := range models {
		t.needed[i] = !m.IDFromKey || m.Filter
	}
	return t
}

// User implements IDs. A row that a change under way ended is not known.
func (t *idTable) User(model int, key Key) (User, bool) {
	t.mu.RLock()
	w, ok := t.rows[rowKey{model, key}]
	u, passed := t.passed[rowKey{model, key}]
	t.mu.RUnlock()
	if ok {
		return w.user, !w.gone
	}
	if passed {
		return u, true
	}
	c := t.cache()
	if c == nil {
		return User{}, false
	}
	u, ok, err := c.RowUser(t.models[model].Name, key)
	return u, ok && err == nil
}

// Other tells whether a user is known to have been sent by a model as another row than that of the key. Where the row key determines the user, nobody knows.
func (t *idTable) Other(model int, key Key, u User) bool {
	if !t.needed[model] || !t.models[model].PrintsAllowed {
		return false
	}
	if own, ok := t.User(model, key); ok && own == u {
		return false
	}
	c := t.cache()
	if c == nil {
		return false
	}
	_, ok, err := c.Prints(nil, u, t.models[model].Name)
	return ok && err == nil
}

// hold notes what an effect that was just mapped makes of its row, and that its step holds it.
func (t *idTable) hold(s *step, e *Effect) {
	if !t.needed[e.Model] {
		return
	}
	w := underWay{user: e.User, gone: e.Ends || e.Kind == DeleteUser}
	if e.Kind == Rename {
		w.user = e.To
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.note(s, rowKey{e.Model, e.Key}, w)
	if e.Change != nil && e.Change.OldKey != (Key{}) {
		t.note(s, rowKey{e.Model, e.Change.OldKey}, underWay{gone: true})
	}
}

// pass notes the row of a change that comes again and was delivered before: the cache knows only what became of it later, and the delete that comes next
// may name the row by its key alone.
func (t *idTable) pass(e *Effect) {
	if !t.needed[e.Model] {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.Change != nil && e.Change.OldKey != (Key{}) {
		delete(t.passed, rowKey{e.Model, e.Change.OldKey})
	}
	switch k := (rowKey{e.Model, e.Key}); {
	case e.Ends || e.Kind == DeleteUser:
		delete(t.passed, k)
	case e.Kind == Rename:
		t.passed[k] = e.To
	default:
		t.passed[k] = e.User
	}
}

// forget drops what pass noted, once all such changes are past.
func (t *idTable) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.passed)
}

// note makes w what is known of a row. The lock is held.
func (t *idTable) note(s *step, k rowKey, w underWay) {
	old := t.rows[k]
	t.holds++
	w.n, w.last, w.written = old.n+1, t.holds, old.written
	t.rows[k] = w
	s.addHold(holding{row: k, n: 1, last: t.holds})
}

// put appends what the cache shall know of a row after an accepted step, unless a newer change of the row was accepted before: users wait for themselves
// alone. A newer change that still waits does not count, since a stop may come before it is accepted, and then it is mapped again by what the cache knows.
func (t *idTable) put(puts *[]RowPut, s *step, put RowPut, model int) {
	k := rowKey{model, put.Key}
	var last uint64
	for i := range s.held {
		if s.held[i].row == k {
			last = s.held[i].last
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if w, ok := t.rows[k]; ok {
		if w.written > last {
			return
		}
		w.written = last
		t.rows[k] = w
	}
	*puts = append(*puts, put)
}

// release ends what hold began, for all effects of a step.
func (t *idTable) release(s *step) {
	for i := range s.held {
		h := &s.held[i]
		t.mu.Lock()
		if w := t.rows[h.row]; w.n <= h.n {
			delete(t.rows, h.row)
		} else {
			w.n -= h.n
			t.rows[h.row] = w
		}
		t.mu.Unlock()
	}
}

// holding is how many effects of a row a step holds in the idTable, and the number of the newest.
type holding struct {
	row  rowKey
	n    int
	last uint64
}

func (s *step) addHold(h holding) {
	for i := range s.held {
		if s.held[i].row == h.row {
			s.held[i].n += h.n
			s.held[i].last = max(s.held[i].last, h.last)
			return
		}
	}
	s.held = append(s.held, h)
}
