package main

import (
	"slices"
	"sync"
	"testing"
	"time"

	"brazecdc/connector"
)

func TestPassing(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 3, 10, 0, 0, 0, time.UTC)
	seen := func(at time.Time) connector.Seen {
		plan, note := connector.FieldDef{Name: "plan"}, connector.FieldDef{Name: "note"}
		return connector.Seen{
			At: at, Change: &connector.Change{Key: connector.Key{Table: "public.users", ID: "7"}, Op: connector.Update}, Outcome: "accepted", Latency: 40 * time.Millisecond,
			Effect: &connector.Effect{User: connector.User{ID: "u-7"}, Kind: connector.Track, Fields: []connector.Field{
				{Def: &plan, JSON: []byte(`"pro"`)}, {Def: &note, JSON: []byte("null"), Omit: true},
			}},
		}
	}
	fresh := func() *passing {
		p := newPassing([]connector.Model{{Name: "customers", Table: "public.users"}})
		p.now = func() time.Time { return now }
		return p
	}
	t.Run("keeps nothing while nobody looks", func(t *testing.T) {
		p := fresh()
		p.watch(seen(now))
		if list, _ := p.Passed(t.Context(), 0); len(list) != 0 {
			t.Errorf("%+v", list)
		}
	})
	t.Run("names model, operation and fields of what passes, and no values", func(t *testing.T) {
		p := fresh()
		_, _ = p.Passed(t.Context(), 0)
		p.watch(seen(now))
		list, err := p.Passed(t.Context(), 0)
		if err != nil || len(list) != 1 {
			t.Fatalf("%+v, %v", list, err)
		}
		if e := list[0]; e.Model != "customers" || e.Op != "update" || !slices.Equal(e.Fields, []string{"plan"}) || e.Result != "accepted" || e.Took != 40*time.Millisecond {
			t.Errorf("%+v", e)
		}
	})
	t.Run("takes a sample of many, the newest fifty, and gives what is new", func(t *testing.T) {
		p := fresh()
		_, _ = p.Passed(t.Context(), 0)
		for i := range 6000 {
			p.watch(seen(now.Add(time.Duration(i) * time.Millisecond)))
		}
		list, _ := p.Passed(t.Context(), 0)
		if len(list) != passingKept || list[passingKept-1].N != 150 {
			t.Errorf("%d of them, up to %d", len(list), list[len(list)-1].N)
		}
		if list, _ = p.Passed(t.Context(), 148); len(list) != 2 {
			t.Errorf("%d are new", len(list))
		}
	})
	t.Run("stops looking when nobody asked for a minute", func(t *testing.T) {
		p := fresh()
		_, _ = p.Passed(t.Context(), 0)
		now = now.Add(passingFor)
		if p.watched() {
			t.Error("still looks")
		}
	})
	t.Run("never waits for who reads", func(t *testing.T) {
		p := fresh()
		_, _ = p.Passed(t.Context(), 0)
		p.mu.Lock()
		var wg sync.WaitGroup
		wg.Go(func() { p.watch(seen(now)) })
		wg.Wait()
		p.mu.Unlock()
		if list, _ := p.Passed(t.Context(), 0); len(list) != 0 {
			t.Errorf("%+v", list)
		}
	})
}
