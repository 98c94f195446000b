package state

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"brazecdc/connector"
)

// memStore is a compacted topic in memory that several processes follow.
type memStore struct {
	mu     sync.Mutex
	values map[string][]byte
	others []func(key string, value []byte)
}

// as gives the store to one process: what it puts is heard by the others.
func (m *memStore) as(heard func(string, []byte)) connector.SharedStore {
	m.others = append(m.others, heard)
	return &follower{m, len(m.others) - 1}
}

type follower struct {
	*memStore
	n int
}

func (m *follower) Put(_ context.Context, entries ...connector.SharedEntry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range entries {
		if e.Value == nil {
			delete(m.values, e.Key)
		} else {
			m.values[e.Key] = e.Value
		}
		for i, heard := range m.others {
			if i != m.n {
				heard(e.Key, e.Value)
			}
		}
	}
	return nil
}

func (m *follower) Read(_ context.Context, prefix string) (map[string][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := maps.Clone(m.values)
	maps.DeleteFunc(out, func(k string, _ []byte) bool { return !strings.HasPrefix(k, prefix) })
	return out, nil
}

// keys gives what is in the store by kind.
func (m *memStore) keys() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []string
	for k := range m.values {
		if kind, id, ok := cutLast(k); ok && len(id) == 32 {
			k = kind
		}
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '/')
	if i < 0 {
		return "", "", false
	}
	return s[:i], s[i+1:], true
}

// process is one of several with a data/ of its own.
type process struct {
	*Shared
	dir    string
	paused map[string]bool
}

func (m *memStore) process(t *testing.T) *process {
	p := &process{dir: t.TempDir(), paused: map[string]bool{}}
	p.begin(t, m, openData(t, p.dir))
	return p
}

func (p *process) begin(t *testing.T, m *memStore, d *Data) {
	t.Helper()
	p.Shared = NewShared(d, slog.New(slog.DiscardHandler), func(model string, x *connector.Pause) { p.paused[model] = x != nil })
	if err := p.Begin(t.Context(), m.as(p.Heard), "state"); err != nil {
		t.Fatal(err)
	}
}

func (p *process) apply(t *testing.T, r connector.Record) {
	t.Helper()
	if err := p.Apply(t.Context(), &r); err != nil {
		t.Fatal(err)
	}
}

func (p *process) adopt(t *testing.T, part string, from uint64, fresh bool) *connector.State {
	t.Helper()
	st, err := p.Adopt(t.Context(), part, from, fresh)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func sameState(t *testing.T, got, want *connector.State) {
	t.Helper()
	byUser := cmpopts.SortSlices(func(a, b connector.DoneID) bool { return a.ID.Commit < b.ID.Commit })
	if diff := cmp.Diff(want, got, byUser, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(connector.Entry{}, "ID", "At")); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
}

func TestShared(t *testing.T) {
	done := func(part string, commit uint64) connector.DoneID {
		return connector.DoneID{Stream: part, Table: "users", ID: connector.ChangeID{Commit: commit}, Kind: connector.DeleteUser, User: user(int(commit))}
	}
	until := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	settling := func(n int, part string) connector.Settling {
		return connector.Settling{User: user(n), Until: until, Part: part}
	}
	held := connector.HeldDelete{User: user(7), Model: "users", Key: connector.Key{Table: "users", ID: "7"}, Reason: "brake", At: until, Part: "users/0"}
	entry := &connector.Entry{Stream: "users/0@1", Offset: 3, Model: "users", Key: connector.Key{Table: "users", ID: "3"}, User: user(3), Class: "rejected", Reason: "no"}

	t.Run("cdc 80: what belongs to a partition goes to its next owner, and what is ended is gone", func(t *testing.T) {
		m := &memStore{values: map[string][]byte{}}
		a := m.process(t)
		a.adopt(t, "users/0", 0, false)
		id, err := a.Quarantine().Put(t.Context(), entry)
		if err != nil {
			t.Fatal(err)
		}
		a.apply(t, connector.Record{Positions: at("users/0@1", 5), Settling: []connector.Settling{settling(9, "users/0"), settling(4, "users/0"), settling(2, "users/1")},
			Done: []connector.DoneID{done("users/0", 4), done("users/0", 9)}, Held: []connector.HeldDelete{held}, Renamed: []string{"old"}})
		a.apply(t, connector.Record{Settled: []connector.User{user(4)}})

		b := m.process(t)
		if r, ok, err := b.Recorded(t.Context(), "users/0"); err != nil || !ok || r.Position.Offset != 5 {
			t.Errorf("recorded together: %+v %v %v", r, ok, err)
		}
		want := *entry
		sameState(t, b.adopt(t, "users/0", 5, false), &connector.State{Done: []connector.DoneID{done("users/0", 9)}, Settling: []connector.Settling{settling(9, "users/0")},
			Held: []connector.HeldDelete{held}, Renamed: []string{"old"}, Entries: []connector.Entry{want}})
		if list, err := b.Quarantine().List(connector.EntryFilter{}); err != nil || len(list) != 1 || list[0].User != user(3) {
			t.Errorf("the next owner's quarantine: %+v %v", list, err)
		}
		if err := a.Leave(t.Context(), []string{"users/0"}); err != nil {
			t.Fatal(err)
		}
		if list, err := a.Quarantine().List(connector.EntryFilter{}); err != nil || len(list) != 0 {
			t.Errorf("the earlier owner still lists %+v %v (was %d)", list, err, id)
		}
		list, _ := b.Quarantine().List(connector.EntryFilter{})
		if err := b.Quarantine().Close(t.Context(), list[0].ID, Delivered); err != nil {
			t.Fatal(err)
		}
		b.apply(t, connector.Record{Positions: at("users/0@1", 10), Settled: []connector.User{user(9)}, Released: []connector.User{user(7)}, Freed: []string{"old"}})
		if got, want := m.keys(), []string{"part/users/0/pos", "part/users/1/settling"}; !slices.Equal(got, want) {
			t.Errorf("left in the store: %v, want %v", got, want)
		}
		sameState(t, a.adopt(t, "users/0", 10, false), &connector.State{})
	})
	t.Run("a process that was killed finds its own again", func(t *testing.T) {
		m := &memStore{values: map[string][]byte{}}
		a := m.process(t)
		a.apply(t, connector.Record{Positions: at("users/0@1", 5), Settling: []connector.Settling{settling(9, "users/0")}, Done: []connector.DoneID{done("users/0", 9)}})
		id, err := a.Quarantine().Put(t.Context(), entry)
		if err != nil {
			t.Fatal(err)
		}
		a.begin(t, m, reopen(t, a.Data, a.dir))
		sameState(t, a.State(), &connector.State{Positions: at("users/0@1", 5)})
		st := a.adopt(t, "users/0", 5, false)
		if len(st.Entries) != 1 || st.Entries[0].ID != id {
			t.Errorf("the entry %d came back as %+v", id, st.Entries)
		}
		st.Entries = nil
		sameState(t, st, &connector.State{Settling: []connector.Settling{settling(9, "users/0")}, Done: []connector.DoneID{done("users/0", 9)}})
	})
	t.Run("what a process held by itself is put into the store once", func(t *testing.T) {
		m := &memStore{values: map[string][]byte{}}
		p := &process{dir: t.TempDir(), paused: map[string]bool{}}
		d := openData(t, p.dir)
		apply(t, d, connector.Record{Positions: at("users/0@1", 5), Settling: []connector.Settling{settling(9, "users/0")}, Done: []connector.DoneID{done("users/0", 9)}, Held: []connector.HeldDelete{held}})
		if _, err := d.Quarantine().Put(t.Context(), entry); err != nil {
			t.Fatal(err)
		}
		d = reopen(t, d, p.dir)
		p.begin(t, m, d)
		want := []string{"part/users/0/done/", "part/users/0/entry", "part/users/0/held", "part/users/0/settling"}
		got := m.keys()
		for i := range got {
			if strings.Contains(got[i], "/done/") {
				got[i] = got[i][:strings.Index(got[i], "/done/")+6]
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("in the store: %v, want %v", got, want)
		}
		clear(m.values) // others ended all of it
		p.begin(t, m, reopen(t, d, p.dir))
		if got := m.keys(); len(got) != 0 {
			t.Errorf("put again: %v", got)
		}
	})
	t.Run("a topic that was made anew has nothing done, and a group that was set back begins there", func(t *testing.T) {
		m := &memStore{values: map[string][]byte{}}
		a := m.process(t)
		a.apply(t, connector.Record{Positions: at("users/0@1", 5), Done: []connector.DoneID{done("users/0", 2), done("users/0", 9)}})
		sameState(t, a.adopt(t, "users/0", 3, false), &connector.State{Done: []connector.DoneID{done("users/0", 9)}})
		if _, ok, _ := a.Recorded(t.Context(), "users/0"); ok {
			t.Error("the position beyond the new beginning is still there")
		}
		sameState(t, a.adopt(t, "users/0", 0, true), &connector.State{})
		if got := m.keys(); len(got) != 0 {
			t.Errorf("left in the store: %v", got)
		}
	})
	t.Run("what a process holds is put into a topic that was made again", func(t *testing.T) {
		m := &memStore{values: map[string][]byte{}}
		a := m.process(t)
		a.adopt(t, "users/0", 0, false)
		a.apply(t, connector.Record{Positions: at("users/0@1", 5), Settling: []connector.Settling{settling(9, "users/0")}, Held: []connector.HeldDelete{held}, Done: []connector.DoneID{done("users/0", 9)}})
		a.begin(t, m, reopen(t, a.Data, a.dir)) // once more in the same topic
		a.adopt(t, "users/0", 5, false)
		clear(m.values)
		d := reopen(t, a.Data, a.dir)
		a.Shared = NewShared(d, slog.New(slog.DiscardHandler), nil)
		if err := a.Begin(t.Context(), m.as(a.Heard), "state, made again"); err != nil {
			t.Fatal(err)
		}
		sameState(t, a.adopt(t, "users/0", 5, false), &connector.State{Settling: []connector.Settling{settling(9, "users/0")}, Held: []connector.HeldDelete{held}, Done: []connector.DoneID{done("users/0", 9)}})
	})
	t.Run("an entry that was replaced takes nothing out, and one that expired does", func(t *testing.T) {
		m := &memStore{values: map[string][]byte{}}
		a, b := m.process(t), m.process(t)
		a.adopt(t, "users/0", 0, false)
		put := func(e connector.Entry) uint64 {
			id, err := a.Quarantine().Put(t.Context(), &e)
			if err != nil {
				t.Fatal(err)
			}
			return id
		}
		first := put(*entry)
		newer := *entry
		newer.Reason, newer.At = "newer", until.Add(time.Hour)
		put(newer)
		if err := a.Quarantine().Close(t.Context(), first, Delivered); err != nil {
			t.Fatal(err)
		}
		if st := b.adopt(t, "users/0", 0, false); len(st.Entries) != 1 || st.Entries[0].Reason != "newer" {
			t.Errorf("the next owner has %+v", st.Entries)
		}
		if n, err := a.Quarantine().Expire(t.Context(), until.Add(2*time.Hour)); n != 1 || err != nil {
			t.Errorf("expired %d %v", n, err)
		}
		if got := m.keys(); len(got) != 0 {
			t.Errorf("left in the store: %v", got)
		}
	})
	t.Run("a held delete of a user that two partitions bring ends for both", func(t *testing.T) {
		m := &memStore{values: map[string][]byte{}}
		a := m.process(t)
		for _, part := range []string{"users/0", "users/1"} {
			h := held
			h.Part = part
			a.apply(t, connector.Record{Held: []connector.HeldDelete{h}})
		}
		a.apply(t, connector.Record{Released: []connector.User{held.User}})
		if got := m.keys(); len(got) != 0 {
			t.Errorf("left in the store: %v", got)
		}
	})
	t.Run("a record that cannot be decoded goes to the partition's next owner, without its bytes", func(t *testing.T) {
		m := &memStore{values: map[string][]byte{}}
		a, b := m.process(t), m.process(t)
		a.adopt(t, "users/0", 0, false)
		e := connector.Entry{Stream: "users/0@1", Offset: 3, Model: "users", Key: connector.Key{Table: "users", ID: "0/3"}, Class: "undecodable", Reason: "cut",
			Original: &connector.Original{Topic: "users", Offset: 3, Value: []byte("{"), Size: 1}}
		if _, err := a.Quarantine().Put(t.Context(), &e); err != nil {
			t.Fatal(err)
		}
		st := b.adopt(t, "users/0", 0, false)
		if len(st.Entries) != 1 || st.Entries[0].Original == nil || st.Entries[0].Original.Offset != 3 || len(st.Entries[0].Original.Value) != 0 {
			t.Errorf("the next owner has %+v", st.Entries)
		}
	})
	t.Run("a pause holds for all, and so does its end", func(t *testing.T) {
		m := &memStore{values: map[string][]byte{}}
		a, b := m.process(t), m.process(t)
		a.apply(t, connector.Record{Paused: []connector.Pause{{Model: "users", Reason: "truncate", At: until}, {Model: "other", Reason: "lost data", At: until}}})
		a.apply(t, connector.Record{Paused: []connector.Pause{{Model: "users", Reason: "truncate", At: until, Stale: 8}}})
		c := m.process(t)
		if !b.paused["users"] || b.paused["other"] || !c.paused["users"] || len(c.State().Paused) != 1 || a.paused["users"] {
			t.Errorf("paused: a %v, b %v, c %v", a.paused, b.paused, c.paused)
		}
		c.apply(t, connector.Record{Resumed: []string{"users"}})
		if a.paused["users"] || b.paused["users"] || len(b.State().Paused) != 0 || len(m.keys()) != 0 {
			t.Errorf("after the end: a %v, b %v, store %v", a.paused, b.paused, m.keys())
		}
	})
}
