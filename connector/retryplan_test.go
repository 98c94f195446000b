package connector

import (
	"fmt"
	"testing"
)

func TestRetryPlan(t *testing.T) {
	living := map[string]bool{"1": true, "2": true, "3": true}
	r := newRig(t, func(_ *Config, r *rig) {
		r.src.rows = func(q Query) ([]Row, error) {
			for id := range living {
				if living[id] && len(q.Where) == 1 && q.Where[0].Text == id {
					return []Row{row(id, "u"+id, "x", "1")}, nil
				}
			}
			return nil, nil
		}
		r.sink.answer = func(_ Kind, batch []Effect) error {
			e := &RejectedError{}
			for i := range batch {
				e.Items = append(e.Items, Rejection{Index: i, Reason: "not liked"})
			}
			return e
		}
	})
	for _, id := range []string{"1", "2", "3"} {
		r.commit(insert(row(id, "u"+id, "x", "1")))
	}
	r.quiet()
	living["3"] = false
	r.commit(remove(row("3", "u3", "x", "1")))
	r.quiet()
	living["2"], living["3"] = false, true // one went away unseen, one is there again
	list, err := r.journal.Quarantine().List(EntryFilter{})
	if err != nil {
		t.Fatal(err)
	}
	var ids []uint64
	want := map[string][]uint64{}
	for i := range list {
		e := &list[i]
		ids = append(ids, e.ID)
		switch {
		case e.Key.ID == "2":
			want[RetryNotRowGone] = append(want[RetryNotRowGone], e.ID)
		case e.Key.ID == "3" && e.Op == "delete":
			want[RetryNotRowLives] = append(want[RetryNotRowLives], e.ID)
		}
	}
	want[RetryNotClosed] = []uint64{999}
	plan, err := r.p.RetryPlan(t.Context(), append(ids, 999))
	if err != nil || plan.Looked != len(ids)+1 || fmt.Sprint(plan.Cannot) != fmt.Sprint(want) || len(want) != 3 {
		t.Errorf("%+v, want %v: %v", plan, want, err)
	}
	if n := len(r.sink.bodies("u1")); n != 0 {
		t.Errorf("looking sent %d effects", n)
	}
	many := make([]uint64, 1000)
	if plan, err := r.p.RetryPlan(t.Context(), many); err != nil || plan.Looked > retryPlanMost {
		t.Errorf("%d were looked at: %v", plan.Looked, err)
	}
}
