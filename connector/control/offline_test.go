package control_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/control"
)

// files is a Journal and its Quarantine in memory.
type files struct {
	state   connector.State
	applied []connector.Record
	entries map[uint64]*connector.Entry
}

func (f *files) State() *connector.State          { return &f.state }
func (f *files) Quarantine() connector.Quarantine { return quarantine{f} }
func (f *files) Apply(_ context.Context, r *connector.Record) error {
	f.applied = append(f.applied, *r)
	return nil
}

type quarantine struct{ f *files }

func (q quarantine) Put(context.Context, *connector.Entry) (uint64, error) { return 0, nil }
func (q quarantine) Close(_ context.Context, id uint64, how string) error {
	q.f.entries[id].Closed = how
	return nil
}
func (q quarantine) List(connector.EntryFilter) ([]connector.Entry, error) {
	var out []connector.Entry
	for _, e := range q.f.entries {
		out = append(out, *e)
	}
	return out, nil
}
func (q quarantine) Entry(id uint64) (*connector.Entry, error) { return q.f.entries[id], nil }
func (q quarantine) Counts() map[[2]string]int64 {
	return map[[2]string]int64{{"customers", "rejected"}: 2, {"gone", "mapping"}: 1}
}
func (q quarantine) NoProof() ([]connector.User, error)               { return nil, nil }
func (q quarantine) ClearProof(context.Context, connector.User) error { return nil }
func (q quarantine) Expire(context.Context, time.Time) (int, error)   { return 0, nil }

func stopped(st connector.State) (*control.Offline, *files) {
	f := &files{state: st, entries: map[uint64]*connector.Entry{
		3: {ID: 3, Model: "customers", After: []byte(`{"ssn":"1"}`), Reason: "bad"}, 4: {ID: 4, Closed: "delivered"},
	}}
	return &control.Offline{Version: "1", Workspace: "demo", Journal: f, Models: []control.Model{
		{Name: "customers", Table: "public.customers", Load: true}, {Name: "addresses", Table: "public.addresses"},
	}}, f
}

func TestOffline(t *testing.T) {
	u1, u2 := connector.User{ID: "u-1"}, connector.User{ID: "u-2"}
	lost := connector.State{
		Paused: []connector.Pause{{Model: "addresses", Reason: "lost data"}, {Model: "customers", Reason: "lost data"}},
		Held:   []connector.HeldDelete{{User: u1, Model: "customers", Reason: "lost data"}, {User: u2, Model: "customers", Reason: "lost data"}},
		Models: []connector.ModelState{{Name: "customers", Proven: true, Hash: 9}},
	}
	truncated := connector.State{Paused: []connector.Pause{{Model: "addresses", Reason: "truncate", Stale: 5}}}

	t.Run("tells what the files hold", func(t *testing.T) {
		o, _ := stopped(lost)
		o.LastStop = &control.Stop{Code: 20, Reason: "key refused"}
		s, err := o.Status(t.Context())
		if err != nil || s.State != "stopped" || s.Ready || s.Held != 2 || s.Quarantine != 3 || len(s.Models) != 2 || s.Models[0].Quarantine != 2 ||
			!s.Models[0].Proven || s.Models[0].Paused != "lost data" || len(s.Pending) != 2 || len(s.Reasons) != 0 {
			t.Errorf("%+v, %v", s, err)
		}
	})
	t.Run("says when the last run was killed", func(t *testing.T) {
		o, _ := stopped(connector.State{})
		if s, _ := o.Status(t.Context()); len(s.Reasons) != 1 || !strings.Contains(s.Reasons[0], "killed") {
			t.Errorf("reasons %v", s.Reasons)
		}
		o, _ = stopped(connector.State{Clean: true})
		if s, _ := o.Status(t.Context()); len(s.Reasons) != 0 {
			t.Errorf("reasons after a clean stop: %v", s.Reasons)
		}
	})
	t.Run("drops held deletes and puts the load down for the next run", func(t *testing.T) {
		o, f := stopped(lost)
		if _, err := o.Confirm(t.Context(), "customers", true); err != nil {
			t.Fatal(err)
		}
		r := f.applied[0]
		if len(r.Held) != 2 || r.Held[0].Answer != connector.AnswerDrop || r.Held[1].Answer != connector.AnswerDrop || len(r.Resumed) != 1 || len(r.Loads) != 1 || r.Loads[0].Table != "public.customers" || r.Models[0].Proven || r.Models[0].Hash != 9 {
			t.Errorf("recorded %+v", r)
		}
	})
	t.Run("tells the brake's deletes from others, and drops them without a load", func(t *testing.T) {
		o, f := stopped(connector.State{Held: []connector.HeldDelete{{User: u1, Model: "customers", Reason: "brake"}, {User: u2, Model: "customers", Reason: "brake", Answer: connector.AnswerDrop}}})
		list, err := o.Pending(t.Context())
		if err != nil || len(list) != 1 || list[0].Kind != "brake" || list[0].Count != 1 || !strings.Contains(list[0].Answer, "--drop") {
			t.Errorf("%+v, %v", list, err)
		}
		if s, _ := o.Status(t.Context()); s.Held != 1 || s.Models[0].Held != 1 {
			t.Errorf("%d deletes held", s.Held)
		}
		if _, err := o.Confirm(t.Context(), "customers", false); err == nil {
			t.Error("deletes are sent without a process")
		}
		said, err := o.Confirm(t.Context(), "customers", true)
		if err != nil || !strings.Contains(said, "1 held deletes") || len(f.applied) != 1 || len(f.applied[0].Held) != 1 || len(f.applied[0].Loads) != 0 || len(f.applied[0].Resumed) != 0 {
			t.Errorf("%q, %v, recorded %+v", said, err, f.applied)
		}
	})
	t.Run("sends no delete", func(t *testing.T) {
		o, f := stopped(lost)
		if _, err := o.Confirm(t.Context(), "customers", false); err == nil || !strings.Contains(err.Error(), "brazecdc run") || len(f.applied) > 0 {
			t.Errorf("got %v, recorded %v", err, f.applied)
		}
	})
	t.Run("loads a truncated table at the next run", func(t *testing.T) {
		o, f := stopped(truncated)
		said, err := o.Confirm(t.Context(), "addresses", false)
		if err != nil || !strings.Contains(said, "next start") || len(f.applied[0].Loads) != 1 || f.applied[0].Loads[0].Model != "addresses" {
			t.Errorf("%q, %v, recorded %+v", said, err, f.applied)
		}
	})
	t.Run("refuses what does not wait", func(t *testing.T) {
		o, f := stopped(truncated)
		for _, m := range []string{"customers", "nobody"} {
			if _, err := o.Confirm(t.Context(), m, true); err == nil {
				t.Errorf("%s was confirmed", m)
			}
		}
		if len(f.applied) > 0 {
			t.Errorf("recorded %v", f.applied)
		}
	})
	t.Run("lists entries without their rows", func(t *testing.T) {
		o, _ := stopped(lost)
		list, err := o.Entries(t.Context(), connector.EntryFilter{})
		if err != nil || len(list) != 2 || list[0].After != nil || list[1].After != nil {
			t.Errorf("%+v, %v", list, err)
		}
	})
	t.Run("discards an open entry and no closed one", func(t *testing.T) {
		o, f := stopped(lost)
		if err := o.Discard(t.Context(), 3, "test"); err != nil || f.entries[3].Closed != "discarded: test" {
			t.Errorf("%v, %+v", err, f.entries[3])
		}
		if err := o.Discard(t.Context(), 4, "test"); err == nil {
			t.Error("a closed entry was discarded")
		}
		if _, err := o.Retry(t.Context(), 3); err == nil || !strings.Contains(err.Error(), "brazecdc run") {
			t.Errorf("retry: %v", err)
		}
	})
}
