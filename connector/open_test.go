package connector

import (
	"sync"
	"testing"
	"time"
)

// memPrints is a cache in memory.
type memPrints struct {
	mu      sync.Mutex
	rows    map[string]User // model + key
	onWrite func([]RowPut)
}

func newMemPrints() *memPrints { return &memPrints{rows: map[string]User{}} }

func (m *memPrints) RowUser(model string, key Key) (User, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u, ok := m.rows[model+"/"+key.ID]
	return u, ok, nil
}
func (m *memPrints) Prints(dst []Print, _ User, _ string) ([]Print, bool, error) {
	return dst, false, nil
}
func (m *memPrints) PrintsOf(string, []User, func(int, []Print)) error { return nil }
func (m *memPrints) DropPart(string) error                             { return m.Drop("") }
func (m *memPrints) Write(puts []RowPut, _ []PrintPut) error {
	if m.onWrite != nil {
		m.onWrite(puts)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range puts {
		if p.Gone {
			delete(m.rows, p.Model+"/"+p.Key.ID)
		} else {
			m.rows[p.Model+"/"+p.Key.ID] = p.User
		}
	}
	return nil
}
func (m *memPrints) Sync([]Position) error { return nil }
func (m *memPrints) Covered() []Position   { return nil }
func (m *memPrints) Drop(string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.rows)
	return nil
}

func TestOpen(t *testing.T) {
	// The run before sent row 1 as u1.
	begin := func(t *testing.T, known ModelState, tune func(*Config, *rig)) (*rig, *memPrints) {
		prints := newMemPrints()
		prints.rows["users/1"] = User{ID: "u1"}
		known.Name = "users"
		r := &rig{t: t, src: newScript(), sink: newMemSink(t), journal: &memJournal{state: State{Models: []ModelState{known}}}, ended: make(chan error, 1)}
		r.src.fresh = false
		r.start(func(c *Config, r *rig) {
			c.Prints = prints
			if tune != nil {
				tune(c, r)
			}
		})
		return r, prints
	}
	change := update(row("1", "u1", "x", "y"), row("1", "u1", "z", "y"))
	t.Run("a field that is new has no proof, also for rows that the cache knows", func(t *testing.T) {
		r, _ := begin(t, ModelState{Fields: map[string]uint64{"a": 1}}, nil)
		r.commit(change)
		r.quiet()
		want(t, r.sink.bodies("u1"), `track{"a":"z","b":"y",}`)
	})
	t.Run("a known row goes with what changed", func(t *testing.T) {
		r, _ := begin(t, ModelState{Fields: map[string]uint64{"a": 1, "b": 2}}, nil)
		r.commit(change)
		r.quiet()
		want(t, r.sink.bodies("u1"), `track{"a":"z",}`)
	})
	t.Run("a new slot takes nothing as known", func(t *testing.T) {
		r, _ := begin(t, ModelState{Proven: true, Fields: map[string]uint64{"a": 1, "b": 2}}, func(_ *Config, r *rig) { r.src.fresh = true })
		r.commit(change)
		r.quiet()
		want(t, r.sink.bodies("u1"), `track{"a":"z","b":"y",}`)
	})
	t.Run("after a changed filter the load proves nothing for rows that were never sent", func(t *testing.T) {
		r, _ := begin(t, ModelState{Proven: true, Hash: 7, Fields: map[string]uint64{"a": 1, "b": 2}}, nil)
		r.commit(update(row("2", "u2", "x", "y"), row("2", "u2", "z", "y")))
		r.quiet()
		want(t, r.sink.bodies("u2"), `track{"a":"z","b":"y",}`)
	})
	t.Run("a settling that ended is not taken for the next one", func(t *testing.T) {
		r := newRig(t, func(c *Config, _ *rig) { c.Settle = time.Hour })
		r.commit(insert(row("1", "u1", "x", "y")))
		r.quiet()
		id := User{ID: "u1"}
		q := r.p.queue
		q.mu.Lock()
		u := q.user(id)
		u.settle = at(time.Now().Add(time.Hour))
		q.unsettled = append(q.unsettled, id)
		q.mu.Unlock()
		rec := Record{Settling: []Settling{{User: id}}}
		var after []share
		r.p.takeDirty(&rec, &after)
		if len(rec.Settling) != 1 || len(rec.Settled) != 0 {
			t.Errorf("%+v", rec)
		}
	})
}
