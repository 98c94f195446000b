package web

import (
	"cmp"
	"slices"

	"brazecdc/connector/control"
)

// planLooks is how many entries are looked at before a retry of many.
const planLooks = 200

// retryPlan is what a retry of many would meet.
type retryPlan struct {
	Looked, Can int
	All         bool // every entry was looked at
	Not         []retryNot
}

// retryNot are entries that can't be retried, for one reason.
type retryNot struct {
	Why  string // a RetryNot constant, and a key of the catalogue below quarantine.not.
	N    int
	Some []uint64
	More bool
}

// retryPlan looks at what is to be retried; nil where the process can't tell.
func (r *request) retryPlan(api heldAPI, a *heldAct) (*retryPlan, error) {
	plans, ok := api.(control.RetryPlans)
	if !ok {
		return nil, nil
	}
	ids := a.Scope.IDs
	if ids == nil {
		f := a.Scope.entryFilter()
		f.Limit = planLooks
		list, err := api.Entries(r.Context(), f)
		if err != nil && len(list) == 0 {
			return nil, err
		}
		for i := range list {
			ids = append(ids, list[i].ID)
		}
	}
	plan, err := plans.PlanRetry(r.Context(), ids[:min(len(ids), planLooks)])
	if err != nil {
		return nil, err
	}
	out := &retryPlan{Looked: plan.Looked, Can: plan.Looked, All: int64(plan.Looked) >= a.Count}
	const some = 5
	for why, list := range plan.Cannot {
		out.Can -= len(list)
		out.Not = append(out.Not, retryNot{why, len(list), list[:min(len(list), some)], len(list) > some})
	}
	slices.SortFunc(out.Not, func(a, b retryNot) int { return cmp.Or(b.N-a.N, cmp.Compare(a.Why, b.Why)) })
	return out, nil
}
