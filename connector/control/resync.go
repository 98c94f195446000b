package control

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"brazecdc/connector"
)

// Resyncs is what an API also answers that can bring the rows of a model again. It needs a running process. All methods may be called concurrently.
type Resyncs interface {
	// PlanResync checks a request and tells what it means at most. Nothing is begun.
	PlanResync(ctx context.Context, q ResyncRequest) (*connector.ResyncPlan, error)
	// StartResync begins a resync, which goes on without whoever asked, and over restarts.
	StartResync(ctx context.Context, q ResyncRequest) (*connector.LoadState, error)
	// Load tells how far a load is, a resync or another.
	Load(ctx context.Context, id string) (*connector.LoadState, error)
	// SteerLoad pauses the load of a model that is under way, goes on with it, makes it slower or faster, or gives it up.
	SteerLoad(ctx context.Context, model string, do LoadAction) (*connector.LoadState, error)
}

// LoadAction is what SteerLoad does.
type LoadAction string

// The actions of SteerLoad.
const (
	PauseLoad  LoadAction = "pause"
	ResumeLoad LoadAction = "resume"
	CancelLoad LoadAction = "cancel"
	SlowerLoad LoadAction = "slower" // by a step
	FasterLoad LoadAction = "faster"
)

// ResyncRequest says which rows of a model are to be brought again, and what of them.
type ResyncRequest struct {
	Model      string   `json:"model"`
	Where      string   `json:"where,omitempty"`  // a rule over the row; empty: all rows
	Keys       []string `json:"keys,omitempty"`   // only these rows, as a person writes their keys; empty: all
	Fields     []string `json:"fields,omitempty"` // only these; empty: all
	AllValues  bool     `json:"all_values,omitempty"`
	ClearNulls bool     `json:"clear_nulls,omitempty"`
}

const (
	pathResync = "/v1/resync"
	pathLoads  = "/v1/loads"
)

type steerRequest struct {
	Model string     `json:"model"`
	Do    LoadAction `json:"do"`
}

func resyncRoutes(mux *http.ServeMux, api Resyncs) {
	mux.HandleFunc("POST "+pathResync, func(w http.ResponseWriter, r *http.Request) {
		var q ResyncRequest
		if err := readRequest(w, r, &q); err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		answer(w)(api.StartResync(r.Context(), q))
	})
	mux.HandleFunc("POST "+pathResync+"/plan", func(w http.ResponseWriter, r *http.Request) {
		var q ResyncRequest
		if err := readRequest(w, r, &q); err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		answer(w)(api.PlanResync(r.Context(), q))
	})
	mux.HandleFunc("GET "+pathLoads+"/{id}", func(w http.ResponseWriter, r *http.Request) {
		answer(w)(api.Load(r.Context(), r.PathValue("id")))
	})
	mux.HandleFunc("POST "+pathLoads+"/steer", func(w http.ResponseWriter, r *http.Request) {
		var q steerRequest
		if err := readRequest(w, r, &q); err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		answer(w)(api.SteerLoad(r.Context(), q.Model, q.Do))
	})
}

var _ Resyncs = (*Client)(nil)

// PlanResync implements Resyncs.
func (c *Client) PlanResync(ctx context.Context, q ResyncRequest) (*connector.ResyncPlan, error) {
	var p connector.ResyncPlan
	if err := c.call(ctx, http.MethodPost, pathResync+"/plan", q, &p); err != nil {
		return nil, err
	}
	return &p, nil
}

// StartResync implements Resyncs.
func (c *Client) StartResync(ctx context.Context, q ResyncRequest) (*connector.LoadState, error) {
	return c.load(ctx, http.MethodPost, pathResync, q)
}

// Load implements Resyncs.
func (c *Client) Load(ctx context.Context, id string) (*connector.LoadState, error) {
	return c.load(ctx, http.MethodGet, pathLoads+"/"+url.PathEscape(id), nil)
}

// SteerLoad implements Resyncs.
func (c *Client) SteerLoad(ctx context.Context, model string, do LoadAction) (*connector.LoadState, error) {
	return c.load(ctx, http.MethodPost, pathLoads+"/steer", steerRequest{model, do})
}

func (c *Client) load(ctx context.Context, method, path string, body any) (*connector.LoadState, error) {
	var l connector.LoadState
	if err := c.call(ctx, method, path, body, &l); err != nil {
		return nil, err
	}
	if l.ID == "" {
		return nil, errors.New("read the process' answer: it names no load")
	}
	return &l, nil
}
