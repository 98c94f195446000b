package connector

import "sync"

// idTable answers which user a row was last mapped to: first from the changes under way, then from the cache.
type idTable struct {
	mu     sync.RWMutex
	rows   map[rowKey]underWay
	needed []bool // by model
	models []ModelInfo
	cache  func() Fingerprints
}

type rowKey struct {
	model int
	key   Key
}

type underWay struct {
	user User
	n    int
	gone bool
}

func newIDTable(models []ModelInfo, cache func() Fingerprints) *idTable {
	t := &idTable{rows: map[rowKey]underWay{}, needed: make([]bool, len(models)), models: models, cache: cache}
	for i, m := range models {
		t.needed[i] = !m.IDFromKey || m.Filter
	}
	return t
}

// User implements IDs. A row that a change under way ended is not known.
func (t *idTable) User(model int, key Key) (User, bool) {
	t.mu.RLock()
	w, ok := t.rows[rowKey{model, key}]
	t.mu.RUnlock()
	if ok {
		return w.user, !w.gone
	}
	c := t.cache()
	if c == nil {
		return User{}, false
	}
	u, ok, err := c.RowUser(t.models[model].Name, key)
	return u, ok && err == nil
}

// hold notes what an effect that was just mapped makes of its row.
func (t *idTable) hold(e *Effect) {
	if !t.needed[e.Model] {
		return
	}
	w := underWay{user: e.User, gone: e.Ends || e.Kind == DeleteUser}
	if e.Kind == Rename {
		w.user = e.To
	}
	t.mu.Lock()
	k := rowKey{e.Model, e.Key}
	w.n = t.rows[k].n + 1
	t.rows[k] = w
	if e.Change != nil && e.Change.OldKey != (Key{}) {
		old := rowKey{e.Model, e.Change.OldKey}
		t.rows[old] = underWay{n: t.rows[old].n + 1, gone: true}
	}
	t.mu.Unlock()
}

// put appends what the cache shall know of a row, unless a newer change of the row is under way that says something else: users wait for themselves alone,
// so that the acceptance of an older change may come after that of a newer one. A row that moved is so told by its new user's change, not by the unset.
func (t *idTable) put(puts *[]RowPut, put RowPut, model int) {
	t.mu.RLock()
	w, ok := t.rows[rowKey{model, put.Key}]
	t.mu.RUnlock()
	if ok && (w.gone != put.Gone || !w.gone && w.user != put.User) {
		return
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

// holding is how many effects of a row a step holds in the idTable.
type holding struct {
	row rowKey
	n   int
}

func (s *step) addHold(h holding) {
	for i := range s.held {
		if s.held[i].row == h.row {
			s.held[i].n += h.n
			return
		}
	}
	s.held = append(s.held, h)
}
