package state

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"brazecdc/connector"
)

func at(stream string, offset uint64) []connector.Recorded {
	return []connector.Recorded{{Position: connector.Position{Stream: stream, Offset: offset}}}
}

func TestApply(t *testing.T) {
	t.Run("positions never go back, and nothing of such a record is kept", func(t *testing.T) {
		dir := t.TempDir()
		d := openData(t, dir)
		apply(t, d, connector.Record{Positions: at("slot", 10)})
		err := d.Apply(context.Background(), &connector.Record{Positions: append(at("topic", 1), at("slot", 9)...), Renamed: []string{"a"}})
		if err == nil || !strings.Contains(err.Error(), `"slot"`) {
			t.Fatalf("got %v", err)
		}
		apply(t, d, connector.Record{Positions: at("slot", 10)})
		d = reopen(t, d, dir)
		wantState(t, d.State(), &connector.State{Positions: at("slot", 10)})
		if d.Apply(context.Background(), &connector.Record{Positions: at("slot", 9)}) == nil {
			t.Error("the position went back after a restart")
		}
	})
	t.Run("a position without a memo keeps the last one", func(t *testing.T) {
		dir := t.TempDir()
		d := openData(t, dir)
		first := at("slot", 1)
		first[0].Memo = []byte("xids")
		apply(t, d, connector.Record{Positions: first})
		apply(t, d, connector.Record{Positions: at("slot", 2)})
		d = reopen(t, d, dir)
		first[0].Position.Offset = 2
		wantState(t, d.State(), &connector.State{Positions: first})
	})
	t.Run("changes done are remembered until the position has passed them", func(t *testing.T) {
		dir := t.TempDir()
		d := openData(t, dir)
		done := func(stream string, commit uint64) connector.DoneID {
			return connector.DoneID{Stream: stream, Table: "public.users", ID: connector.ChangeID{Commit: commit}, Kind: connector.DeleteUser, User: user(1)}
		}
		apply(t, d, connector.Record{Done: []connector.DoneID{done("slot", 5), done("slot", 7), done("slot", 9), done("slot2", 5)}})
		apply(t, d, connector.Record{Positions: at("slot", 7)})
		apply(t, d, connector.Record{Done: []connector.DoneID{done("slot", 6)}}) // passed already
		d = reopen(t, d, dir)
		wantState(t, d.State(), &connector.State{
			Positions: at("slot", 7), Done: []connector.DoneID{done("slot", 7), done("slot", 9), done("slot2", 5)},
		})
	})
	t.Run("what is ended and put in one record is put", func(t *testing.T) {
		dir := t.TempDir()
		d := openData(t, dir)
		r := fullRecord()
		r.Settled, r.Released = []connector.User{r.Settling[0].User}, []connector.User{user(2)}
		r.Resumed, r.Freed, r.DropLoads = []string{"customers"}, []string{"b"}, []string{"a"}
		apply(t, d, r)
		apply(t, d, r)
		d = reopen(t, d, dir)
		if s := d.State(); len(s.Settling) != 2 || len(s.Held) != 1 || len(s.Paused) != 1 || len(s.Renamed) != 2 || len(s.Loads) != 2 {
			t.Errorf("got %+v", s)
		}
	})
	t.Run("a context that ended writes nothing", func(t *testing.T) {
		dir := t.TempDir()
		d := openData(t, dir)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if d.Apply(ctx, &connector.Record{}) == nil {
			t.Error("no error")
		}
		if !reopen(t, d, dir).State().New {
			t.Error("something was written")
		}
	})
	t.Run("an idle system's records do not let the file grow", func(t *testing.T) {
		d := openData(t, t.TempDir())
		r := fullRecord()
		apply(t, d, r)
		for range 20 {
			apply(t, d, r)
		}
		size := d.Size()
		for range 300 {
			apply(t, d, r)
		}
		if d.Size() != size {
			t.Errorf("the files grew from %d to %d bytes", size, d.Size())
		}
	})
	t.Run("cdc 120: a position is on disk before Apply returns", func(t *testing.T) {
		// A copy of the files taken right after the return is what a kill would leave.
		dir := t.TempDir()
		d := openData(t, dir)
		apply(t, d, connector.Record{Positions: at("slot", 42)})
		copied := copyFolder(t, dir)
		wantState(t, openData(t, copied).State(), &connector.State{Positions: at("slot", 42)})
	})
	t.Run("cdc 11, 18: a folder that was lost or put back says what it holds, no more", func(t *testing.T) {
		dir := t.TempDir()
		d := openData(t, dir)
		apply(t, d, connector.Record{Positions: at("slot", 1)})
		old := copyFolder(t, dir)
		apply(t, d, connector.Record{Positions: at("slot", 2)})
		wantState(t, openData(t, old).State(), &connector.State{Positions: at("slot", 1)})
		wantState(t, openData(t, t.TempDir()).State(), &connector.State{New: true})
	})
}

// model is what a journal should hold, in memory.
type model struct {
	state     connector.State
	positions map[string]connector.Recorded
	loads     map[string]connector.LoadState
	done      map[connector.DoneID]bool
	settling  map[connector.User]connector.Settling
	held      map[connector.User]connector.HeldDelete
	paused    map[string]connector.Pause
	renamed   map[string]bool
	models    map[string]connector.ModelState
}

func newModel() *model {
	return &model{
		connector.State{New: true}, map[string]connector.Recorded{}, map[string]connector.LoadState{}, map[connector.DoneID]bool{},
		map[connector.User]connector.Settling{}, map[connector.User]connector.HeldDelete{}, map[string]connector.Pause{}, map[string]bool{},
		map[string]connector.ModelState{},
	}
}

func (m *model) apply(r *connector.Record) bool {
	for _, p := range r.Positions {
		if p.Position.Offset < m.positions[p.Position.Stream].Position.Offset {
			return false
		}
	}
	m.state.New, m.state.Clean = false, r.Clean
	for _, id := range r.DropLoads {
		delete(m.loads, id)
		delete(m.positions, "load/"+id)
		maps.DeleteFunc(m.done, func(d connector.DoneID, _ bool) bool { return d.Stream == "load/"+id })
	}
	for _, u := range r.Settled {
		delete(m.settling, u)
	}
	for _, u := range r.Released {
		delete(m.held, u)
	}
	for _, n := range r.Resumed {
		delete(m.paused, n)
	}
	for _, n := range r.Freed {
		delete(m.renamed, n)
	}
	for _, p := range r.Positions {
		if p.Memo == nil {
			p.Memo = m.positions[p.Position.Stream].Memo
		}
		m.positions[p.Position.Stream] = p
	}
	for _, l := range r.Loads {
		m.loads[l.ID] = l
	}
	for _, d := range r.Done {
		m.done[d] = true
	}
	for _, s := range r.Settling {
		m.settling[s.User] = s
	}
	for _, h := range r.Held {
		m.held[h.User] = h
	}
	for _, p := range r.Paused {
		m.paused[p.Model] = p
	}
	for _, n := range r.Renamed {
		m.renamed[n] = true
	}
	for _, s := range r.Models {
		m.models[s.Name] = s
	}
	maps.DeleteFunc(m.done, func(d connector.DoneID, _ bool) bool { return d.ID.Commit < m.positions[d.Stream].Position.Offset })
	return true
}

func (m *model) want() *connector.State {
	s := m.state
	s.Positions = slices.Collect(maps.Values(m.positions))
	s.Loads = slices.Collect(maps.Values(m.loads))
	s.Done = slices.Collect(maps.Keys(m.done))
	s.Settling = slices.Collect(maps.Values(m.settling))
	s.Held = slices.Collect(maps.Values(m.held))
	s.Paused = slices.Collect(maps.Values(m.paused))
	s.Renamed = slices.Collect(maps.Keys(m.renamed))
	s.Models = slices.Collect(maps.Values(m.models))
	return &s
}

func drawRecord(t *rapid.T) connector.Record {
	few := func(name string) int { return rapid.IntRange(0, 2).Draw(t, name) }
	name := rapid.SampledFrom([]string{"a", "b", "c\xff"})
	stream := rapid.SampledFrom([]string{"slot", "t/0", "load/a", "load/b"})
	aUser := rapid.Custom(func(t *rapid.T) connector.User {
		return connector.User{Kind: connector.IDKind(rapid.IntRange(0, 3).Draw(t, "kind")), ID: name.Draw(t, "id")}
	})
	r := connector.Record{Clean: rapid.Bool().Draw(t, "clean")}
	for range few("positions") {
		p := at(stream.Draw(t, "stream"), rapid.Uint64Range(0, 12).Draw(t, "offset"))[0]
		p.Memo = rapid.SampledFrom([][]byte{nil, {}, []byte("memo")}).Draw(t, "memo")
		if !slices.ContainsFunc(r.Positions, func(x connector.Recorded) bool { return x.Position.Stream == p.Position.Stream }) {
			r.Positions = append(r.Positions, p)
		}
	}
	for range few("loads") {
		r.Loads = append(r.Loads, connector.LoadState{Load: connector.Load{ID: name.Draw(t, "load"), Rows: rapid.Int64().Draw(t, "rows")}})
	}
	for range few("done") {
		r.Done = append(r.Done, connector.DoneID{
			Stream: stream.Draw(t, "stream"), Table: name.Draw(t, "table"), Kind: connector.Kind(rapid.IntRange(1, 2).Draw(t, "kind")), User: aUser.Draw(t, "user"),
			ID: connector.ChangeID{Commit: rapid.Uint64Range(0, 12).Draw(t, "commit"), N: rapid.Uint32Range(0, 2).Draw(t, "n")},
		})
	}
	for range few("settling") {
		s := connector.Settling{User: aUser.Draw(t, "user"), Until: testTime}
		if rapid.Bool().Draw(t, "waits") {
			s.Waits = &connector.StoredEffect{User: s.User, Model: name.Draw(t, "model"), Fields: []connector.StoredField{{Name: "f", JSON: []byte("1")}}}
		}
		r.Settling = append(r.Settling, s)
	}
	for range few("held") {
		r.Held = append(r.Held, connector.HeldDelete{User: aUser.Draw(t, "user"), Reason: name.Draw(t, "reason"), At: testTime})
	}
	for range few("paused") {
		r.Paused = append(r.Paused, connector.Pause{Model: name.Draw(t, "model"), Stale: rapid.Uint64().Draw(t, "stale")})
	}
	for range few("models") {
		r.Models = append(r.Models, connector.ModelState{Name: name.Draw(t, "model"), Fields: map[string]uint64{"x": rapid.Uint64().Draw(t, "hash")}})
	}
	r.DropLoads = rapid.SliceOfN(name, 0, 1).Draw(t, "drop")
	r.Settled = rapid.SliceOfN(aUser, 0, 2).Draw(t, "settled")
	r.Released = rapid.SliceOfN(aUser, 0, 2).Draw(t, "released")
	r.Resumed = rapid.SliceOfN(name, 0, 1).Draw(t, "resumed")
	r.Renamed = rapid.SliceOfN(name, 0, 1).Draw(t, "renamed")
	r.Freed = rapid.SliceOfN(name, 0, 1).Draw(t, "freed")
	return r
}

func TestApplyAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		d := openData(t, dir)
		want := newModel()
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			if rapid.IntRange(0, 3).Draw(rt, "reopen") == 0 {
				d = reopen(t, d, dir)
				wantState(rt, d.State(), want.want())
			}
			r := drawRecord(rt)
			if err := d.Apply(context.Background(), &r); (err == nil) != want.apply(&r) {
				rt.Fatalf("Apply gave %v", err)
			}
		}
		d = reopen(t, d, dir)
		wantState(rt, d.State(), want.want())
		if err := d.Close(); err != nil {
			rt.Fatal(err)
		}
	})
}

func BenchmarkApply(b *testing.B) {
	d := openData(b, b.TempDir())
	n := uint64(0)
	for b.Loop() {
		n++
		r := connector.Record{Positions: at("slot", n*1000)}
		for i := range 99 {
			r.Done = append(r.Done, connector.DoneID{
				Stream: "slot", Table: "public.users", ID: connector.ChangeID{Commit: n*1000 + uint64(i)}, Kind: connector.DeleteUser,
				User: connector.User{ID: fmt.Sprint(n, i)},
			})
		}
		apply(b, d, r)
	}
	b.ReportMetric(float64(d.Size())/1e6, "MB")
}
