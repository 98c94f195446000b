package control

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"brazecdc/connector"
)

// Repairs is what an API also answers for whoever looks through much that is held back. All methods may be called concurrently.
type Repairs interface {
	// Groups gives the open quarantine entries by reason, the largest groups first; since is for EntryGroup.Recent.
	Groups(ctx context.Context, since time.Time) ([]connector.EntryGroup, error)
	// CountEntries tells how many entries match a filter, whose After and Limit do not count.
	CountEntries(ctx context.Context, f connector.EntryFilter) (int64, error)
	// HeldDeletes lists the deletes that wait for Confirm, oldest first.
	HeldDeletes(ctx context.Context, q HeldQuery) ([]connector.HeldDelete, error)
}

// Resumes is what a running process also answers. Resume goes on with a model whose table was emptied and loads it again; deletes that are held keep waiting. With
// resync the rows are brought by a resync, which at its end names the users that are gone at the source.
type Resumes interface {
	Resume(ctx context.Context, model string, resync bool) (string, error)
}

// RetryPlans is what a running process also answers.
type RetryPlans interface {
	// PlanRetry tells what a retry of entries would meet. Nothing is sent.
	PlanRetry(ctx context.Context, ids []uint64) (*connector.RetryPlan, error)
}

// HeldQuery picks held deletes.
type HeldQuery struct {
	Model  string
	Reason string // one of the Pause constants; empty: all
	Skip   int
	Limit  int // 0: all
}

// PickHeld sorts held deletes, oldest first, and gives those that a query asks for of them. The list is changed.
func PickHeld(all []connector.HeldDelete, q HeldQuery) []connector.HeldDelete {
	all = slices.DeleteFunc(all, func(h connector.HeldDelete) bool {
		return h.Answer != "" || q.Model != "" && h.Model != q.Model || q.Reason != "" && h.Reason != q.Reason
	})
	connector.SortHeld(all)
	all = all[min(max(q.Skip, 0), len(all)):]
	if q.Limit > 0 && q.Limit < len(all) {
		all = all[:q.Limit]
	}
	return all
}

const (
	pathGroups  = "/v1/quarantine/groups"
	pathCount   = "/v1/quarantine/count"
	pathHeld    = "/v1/held"
	pathResumes = "/v1/resume"
	pathPlan    = "/v1/quarantine/plan"
)

type resumeRequest struct {
	Model  string `json:"model"`
	Resync bool   `json:"resync"`
}

type planRequest struct {
	IDs []uint64 `json:"ids"`
}

type countAnswer struct {
	Count int64 `json:"count"`
}

func repairRoutes(mux *http.ServeMux, api Repairs) {
	mux.HandleFunc("GET "+pathGroups, func(w http.ResponseWriter, r *http.Request) {
		since, err := time.Parse(time.RFC3339Nano, r.URL.Query().Get("since"))
		if err != nil {
			refuse(w, http.StatusBadRequest, fmt.Errorf("read since %q: not a time", r.URL.Query().Get("since")))
			return
		}
		answer(w)(api.Groups(r.Context(), since))
	})
	mux.HandleFunc("GET "+pathCount, func(w http.ResponseWriter, r *http.Request) {
		f, err := parseFilter(r.URL.Query())
		if err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		n, err := api.CountEntries(r.Context(), f)
		answer(w)(countAnswer{n}, err)
	})
	mux.HandleFunc("GET "+pathHeld, func(w http.ResponseWriter, r *http.Request) {
		v := r.URL.Query()
		q := HeldQuery{Model: v.Get("model"), Reason: v.Get("reason")}
		for name, into := range map[string]*int{"skip": &q.Skip, "limit": &q.Limit} {
			n, err := strconv.Atoi(v.Get(name))
			if err != nil || n < 0 {
				refuse(w, http.StatusBadRequest, fmt.Errorf("read %s %q: not a number", name, v.Get(name)))
				return
			}
			*into = n
		}
		answer(w)(api.HeldDeletes(r.Context(), q))
	})
	if plans, ok := api.(RetryPlans); ok {
		mux.HandleFunc("POST "+pathPlan, func(w http.ResponseWriter, r *http.Request) {
			var q planRequest
			if err := readRequest(w, r, &q); err != nil {
				refuse(w, http.StatusBadRequest, err)
				return
			}
			answer(w)(plans.PlanRetry(r.Context(), q.IDs))
		})
	}
	resumes, ok := api.(Resumes)
	if !ok {
		return
	}
	mux.HandleFunc("POST "+pathResumes, func(w http.ResponseWriter, r *http.Request) {
		var q resumeRequest
		if err := readRequest(w, r, &q); err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		said, err := resumes.Resume(r.Context(), q.Model, q.Resync)
		answer(w)(sentence{said}, err)
	})
}

var (
	_ Repairs = (*Client)(nil)
	_ Resumes = (*Client)(nil)

	_ RetryPlans = (*Client)(nil)
	_ Repairs    = (*Offline)(nil)
)

// PlanRetry implements RetryPlans.
func (c *Client) PlanRetry(ctx context.Context, ids []uint64) (*connector.RetryPlan, error) {
	var out connector.RetryPlan
	err := c.call(ctx, http.MethodPost, pathPlan, planRequest{ids}, &out)
	return &out, err
}

// Groups implements Repairs.
func (c *Client) Groups(ctx context.Context, since time.Time) (out []connector.EntryGroup, err error) {
	err = c.call(ctx, http.MethodGet, pathGroups+"?since="+url.QueryEscape(since.Format(time.RFC3339Nano)), nil, &out)
	return out, err
}

// CountEntries implements Repairs.
func (c *Client) CountEntries(ctx context.Context, f connector.EntryFilter) (int64, error) {
	var n countAnswer
	err := c.call(ctx, http.MethodGet, pathCount+"?"+filterQuery(f).Encode(), nil, &n)
	return n.Count, err
}

// HeldDeletes implements Repairs.
func (c *Client) HeldDeletes(ctx context.Context, q HeldQuery) (out []connector.HeldDelete, err error) {
	v := url.Values{"model": {q.Model}, "reason": {q.Reason}, "skip": {strconv.Itoa(q.Skip)}, "limit": {strconv.Itoa(q.Limit)}}
	err = c.call(ctx, http.MethodGet, pathHeld+"?"+v.Encode(), nil, &out)
	return out, err
}

// Resume implements Resumes.
func (c *Client) Resume(ctx context.Context, model string, resync bool) (string, error) {
	var s sentence
	err := c.call(ctx, http.MethodPost, pathResumes, resumeRequest{model, resync}, &s)
	return s.Result, err
}

// Groups implements Repairs.
func (o *Offline) Groups(_ context.Context, since time.Time) ([]connector.EntryGroup, error) {
	return connector.Groups(o.Journal.Quarantine(), since)
}

// CountEntries implements Repairs.
func (o *Offline) CountEntries(_ context.Context, f connector.EntryFilter) (int64, error) {
	return connector.CountEntries(o.Journal.Quarantine(), f)
}

// HeldDeletes implements Repairs.
func (o *Offline) HeldDeletes(_ context.Context, q HeldQuery) ([]connector.HeldDelete, error) {
	return PickHeld(slices.Clone(o.Journal.State().Held), q), nil
}
