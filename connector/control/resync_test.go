package control_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"brazecdc/connector"
	"brazecdc/connector/control"
)

// syncing is a process that also syncs again.
type syncing struct {
	process
	got []control.ResyncRequest
}

func (p *syncing) PlanResync(_ context.Context, q control.ResyncRequest) (*connector.ResyncPlan, error) {
	p.got = append(p.got, q)
	return &connector.ResyncPlan{Rows: 7, Calls: 1, Whole: true, Counts: true}, p.note("plan")
}

func (p *syncing) StartResync(_ context.Context, q control.ResyncRequest) (*connector.LoadState, error) {
	p.got = append(p.got, q)
	return p.state("a/b"), p.note("start")
}

func (p *syncing) Load(_ context.Context, id string) (*connector.LoadState, error) {
	return p.state(id), p.note("look %s", id)
}

func (p *syncing) SteerLoad(_ context.Context, model string, do control.LoadAction) (*connector.LoadState, error) {
	return p.state("a/b"), p.note("%s %s", do, model)
}

func (p *syncing) state(id string) *connector.LoadState {
	return &connector.LoadState{Load: connector.Load{ID: id, Model: "customers", Rows: 5}, Started: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC),
		Resync: &connector.Resync{Where: `a > "1"`, Fields: []string{"plan"}, All: true}, Sent: 3, Rate: 1.5, ETA: time.Second}
}

func TestResync(t *testing.T) {
	p, data := &syncing{}, shortDir(t)
	serve(t, data, p)
	c, ctx := dial(t, data), t.Context()
	q := control.ResyncRequest{Model: "customers", Where: `a > "1"`, Keys: []string{"1", "b=2,c=3"}, Fields: []string{"plan"}, AllValues: true, ClearNulls: true}
	plan, err := c.PlanResync(ctx, q)
	if err != nil || plan.Rows != 7 || plan.Calls != 1 || !plan.Whole || !plan.Counts {
		t.Errorf("plan: %+v, %v", plan, err)
	}
	begun, err := c.StartResync(ctx, q)
	if err != nil {
		t.Fatal(err)
	}
	looked, err := c.Load(ctx, begun.ID)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(p.state("a/b"), looked); d != "" {
		t.Error(d)
	}
	for _, do := range []control.LoadAction{control.PauseLoad, control.ResumeLoad, control.CancelLoad} {
		if l, err := c.SteerLoad(ctx, "customers", do); err != nil || l.Rows != 5 {
			t.Errorf("%s: %+v, %v", do, l, err)
		}
	}
	if d := cmp.Diff([]string{"plan", "start", "look a/b", "pause customers", "resume customers", "cancel customers"}, p.asked); d != "" {
		t.Errorf("the process was asked (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]control.ResyncRequest{q, q}, p.got); d != "" {
		t.Error(d)
	}
}
