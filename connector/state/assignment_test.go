package state

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"brazecdc/connector"
)

func TestAssignments(t *testing.T) {
	done := func(stream string, commit uint64) connector.DoneID {
		return connector.DoneID{Stream: stream, Table: "shop.users", ID: connector.ChangeID{Commit: commit}, Kind: connector.DeleteUser, User: user(1)}
	}
	t.Run("the position of a later assignment replaces those of the partition's earlier ones", func(t *testing.T) {
		dir := t.TempDir()
		d := openData(t, dir)
		apply(t, d, connector.Record{Positions: append(append(at("users/0@9", 5), at("users/1@2", 7)...), at("slot/a", 3)...), Done: []connector.DoneID{done("users/0", 8)}})
		apply(t, d, connector.Record{Positions: at("users/0@10", 4)}) // 10 is later than 9, and may begin before it
		want := &connector.State{Positions: append(append(at("users/0@10", 4), at("users/1@2", 7)...), at("slot/a", 3)...), Done: []connector.DoneID{done("users/0", 8)}}
		d = reopen(t, d, dir)
		wantState(t, d.State(), want)
		apply(t, d, connector.Record{Positions: at("users/0@9", 6)}) // a late word of the earlier one
		d = reopen(t, d, dir)
		wantState(t, d.State(), want)
		if _, kept := d.positions["users/0@9"]; kept {
			t.Error("the earlier assignment is remembered")
		}
	})
	t.Run("what was done of a partition is remembered until any of its assignments has passed it, or its topic was replaced", func(t *testing.T) {
		dir := t.TempDir()
		d := openData(t, dir)
		apply(t, d, connector.Record{Positions: at("users/0@1", 5), Done: []connector.DoneID{done("users/0", 8), done("users/0", 12), done("users/1", 3), done("users/0", 4)}})
		apply(t, d, connector.Record{Positions: at("users/0@2", 9)})
		d = reopen(t, d, dir)
		wantState(t, d.State(), &connector.State{Positions: at("users/0@2", 9), Done: []connector.DoneID{done("users/0", 12), done("users/1", 3)}})
		apply(t, d, connector.Record{Undone: []string{"users/0"}})
		d = reopen(t, d, dir)
		wantState(t, d.State(), &connector.State{Positions: at("users/0@2", 9), Done: []connector.DoneID{done("users/1", 3)}})
	})
	t.Run("assignments of one record are told apart", func(t *testing.T) {
		dir := t.TempDir()
		d := openData(t, dir)
		apply(t, d, connector.Record{Positions: append(at("users/0@1", 5), at("users/0@2", 9)...)})
		d = reopen(t, d, dir)
		wantState(t, d.State(), &connector.State{Positions: at("users/0@2", 9)})
	})
	t.Run("the cache covers the latest assignment alone", func(t *testing.T) {
		dir := t.TempDir()
		c := openCache(t, dir)
		for _, p := range []connector.Position{{Stream: "users/0@1", Offset: 5}, {Stream: "slot/a", Offset: 3}, {Stream: "users/0@2", Offset: 4}} {
			if err := c.Sync([]connector.Position{p}); err != nil {
				t.Fatal(err)
			}
		}
		check := func() {
			t.Helper()
			got := map[string]uint64{}
			for _, p := range c.Covered() {
				got[p.Stream] = p.Offset
			}
			if diff := cmp.Diff(map[string]uint64{"users/0@2": 4, "slot/a": 3}, got); diff != "" {
				t.Errorf("covered (-want +got):\n%s", diff)
			}
		}
		check()
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		c = openCache(t, dir)
		check()
	})
	t.Run("only a number behind the last @ makes an assignment", func(t *testing.T) {
		got := superseded(map[string]uint64{"load/a@b-2": 1, "load/a@2-7": 1, "slot/x": 1, "t/0@3": 1}, map[string]uint64{"load/a@b-1": 1, "load/a@1-7": 1, "t/0@1": 1, "t/1@1": 1})
		if want := []string{"t/0@1"}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}
