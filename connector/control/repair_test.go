package control_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"brazecdc/connector"
	"brazecdc/connector/control"
)

// repairing is a process that also tells what is held back by reason.
type repairing struct {
	process
	filter connector.EntryFilter
	query  control.HeldQuery
	since  time.Time
}

func (p *repairing) Groups(_ context.Context, since time.Time) ([]connector.EntryGroup, error) {
	p.since = since
	return []connector.EntryGroup{{ID: "00ff", Count: 5}}, p.note("groups")
}

func (p *repairing) CountEntries(_ context.Context, f connector.EntryFilter) (int64, error) {
	p.filter = f
	return 5, p.note("count")
}

func (p *repairing) HeldDeletes(_ context.Context, q control.HeldQuery) ([]connector.HeldDelete, error) {
	p.query = q
	return []connector.HeldDelete{{User: connector.User{ID: "u-1"}}}, p.note("held")
}

func (p *repairing) Resume(_ context.Context, model string, resync bool) (string, error) {
	return "goes on", p.note("resume %s %v", model, resync)
}

func TestRepairs(t *testing.T) {
	p, data := &repairing{}, shortDir(t)
	serve(t, data, p)
	c, ctx := dial(t, data), t.Context()
	since := time.Unix(100, 7).UTC()
	if gs, err := c.Groups(ctx, since); err != nil || len(gs) != 1 || gs[0].ID != "00ff" || !p.since.Equal(since) {
		t.Errorf("groups: %+v, %v, since %s", gs, err, p.since)
	}
	f := connector.EntryFilter{Group: "00ff", Since: since, UpTo: 3}
	if n, err := c.CountEntries(ctx, f); err != nil || n != 5 || !cmp.Equal(f, p.filter) {
		t.Errorf("count: %d, %v, of %+v", n, err, p.filter)
	}
	q := control.HeldQuery{Model: "a b", Reason: connector.PauseGone, Skip: 10, Limit: 5}
	if l, err := c.HeldDeletes(ctx, q); err != nil || len(l) != 1 || l[0].User.ID != "u-1" || p.query != q {
		t.Errorf("held: %+v, %v, of %+v", l, err, p.query)
	}
	if said, err := c.Resume(ctx, "customers", true); err != nil || said != "goes on" {
		t.Errorf("resync: %q, %v", said, err)
	}
	if d := cmp.Diff([]string{"groups", "count", "held", "resume customers true"}, p.asked); d != "" {
		t.Error(d)
	}
}

func TestPickHeld(t *testing.T) {
	at := func(n int) time.Time { return time.Unix(int64(n), 0) }
	all := func() []connector.HeldDelete {
		return []connector.HeldDelete{
			{User: connector.User{ID: "c"}, Model: "m", Reason: connector.PauseGone, At: at(3)},
			{User: connector.User{ID: "b"}, Model: "m", Reason: connector.PauseBrake, At: at(1)},
			{User: connector.User{ID: "a"}, Model: "m", Reason: connector.PauseGone, At: at(1)},
			{User: connector.User{ID: "d"}, Model: "m", Reason: connector.PauseGone, At: at(0), Answer: connector.AnswerDrop},
			{User: connector.User{ID: "e"}, Model: "n", Reason: connector.PauseGone, At: at(0)},
		}
	}
	for _, c := range []struct {
		q    control.HeldQuery
		want string
	}{
		{control.HeldQuery{}, "eabc"},
		{control.HeldQuery{Model: "m"}, "abc"},
		{control.HeldQuery{Model: "m", Reason: connector.PauseGone}, "ac"},
		{control.HeldQuery{Skip: 1, Limit: 2}, "ab"},
		{control.HeldQuery{Skip: 9, Limit: 2}, ""},
	} {
		got := ""
		for _, h := range control.PickHeld(all(), c.q) {
			got += h.User.ID
		}
		if got != c.want {
			t.Errorf("%+v gives %q, want %q", c.q, got, c.want)
		}
	}
}
