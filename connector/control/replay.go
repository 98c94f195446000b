package control

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"
)

// Replays is what an API also answers that can bring a range of a topic again. One replay is under way at a time. All methods may be called concurrently.
type Replays interface {
	// StartReplay begins a replay, goes on with one that stopped, or gives the one that is under way where it asks for the same.
	StartReplay(ctx context.Context, q ReplayRequest) (*ReplayStatus, error)
	// Replay tells how far a replay is. Who asks last is taken to be watching: a question that nobody answers ends the replay.
	Replay(ctx context.Context, id string) (*ReplayStatus, error)
	// AnswerReplay answers the question whether what was found is to be sent; no ends the replay.
	AnswerReplay(ctx context.Context, id string, yes bool) error
	// StopReplay ends a replay so that the same request goes on with it.
	StopReplay(ctx context.Context, id string) error
}

// ReplayRequest is the range of a topic that is to be brought again, and what of it.
type ReplayRequest struct {
	Topic      string   `json:"topic"`
	From       string   `json:"from,omitempty"` // a time or an offset, as the command line writes it; empty: the log's beginning
	To         string   `json:"to,omitempty"`   // likewise; empty: the log's end
	Keys       []string `json:"keys,omitempty"` // of rows; empty: all
	Models     []string `json:"models,omitempty"`
	Partitions []int32  `json:"partitions,omitempty"` // empty: all that there are here
	Deletes    bool     `json:"deletes,omitempty"`    // send deletes too
	Events     bool     `json:"events,omitempty"`     // send events and purchases, a second time
	AllValues  bool     `json:"all_values,omitempty"` // send also what Braze is known to have
	DryRun     bool     `json:"dry_run,omitempty"`    // end with the question
	Restart    bool     `json:"restart,omitempty"`    // forget what an earlier run of the same had done
}

// ReplayPhase is what a replay does just now.
type ReplayPhase string

// The phases of a replay in their order; the last three are ends.
const (
	ReplayScans   ReplayPhase = "scan"
	ReplayWaits   ReplayPhase = "wait" // for the live stream
	ReplayCounts  ReplayPhase = "count"
	ReplayAsks    ReplayPhase = "ask"
	ReplaySends   ReplayPhase = "send"
	ReplayDone    ReplayPhase = "done"
	ReplayStopped ReplayPhase = "stopped" // on request: the same request goes on
	ReplayFailed  ReplayPhase = "failed"
)

// Ended tells whether nothing more happens.
func (p ReplayPhase) Ended() bool {
	return p == ReplayDone || p == ReplayStopped || p == ReplayFailed
}

// ReplayStatus is how far a replay is.
type ReplayStatus struct {
	ID    string      `json:"id"`
	Phase ReplayPhase `json:"phase"`
	// Done of Total: records while it scans, rows while it sends.
	Done  int64         `json:"done"`
	Total int64         `json:"total"`
	Rate  float64       `json:"rate"`           // a second, in this phase
	ETA   time.Duration `json:"eta,omitempty"`  // of this phase; 0 until it can be told
	Text  string        `json:"text,omitempty"` // what it waits for
	// Resumed: an earlier run had come some way.
	Resumed bool           `json:"resumed,omitempty"`
	Plan    *ReplayPlan    `json:"plan,omitempty"` // from ReplayAsks on
	Sent    int64          `json:"sent"`           // rows handed over and done
	Left    map[string]int `json:"left,omitempty"` // rows left out while it sent, by reason
	Error   string         `json:"error,omitempty"`
	Fix     string         `json:"fix,omitempty"`
	Code    int            `json:"code,omitempty"` // exit code of the error
}

// ReplayPlan is what a replay found.
type ReplayPlan struct {
	Records    int64            `json:"records"` // that carried a change, those behind the range included
	Users      int64            `json:"users"`   // that are to be sent
	Rows       int64            `json:"rows"`
	Deletes    int64            `json:"deletes"`
	Items      int64            `json:"items,omitempty"`  // of catalogs, that are to be written or deleted
	Events     int64            `json:"events,omitempty"` // and purchases, that happen a second time
	DataPoints int64            `json:"data_points"`
	Left       map[string]int64 `json:"left,omitempty"`    // rows left out, by reason; records, where they cannot be decoded
	Others     []int32          `json:"others,omitempty"`  // partitions that other members of the group have
	Samples    []ReplaySample   `json:"samples,omitempty"` // the first calls, of a dry run
}

// Total is how much is to be sent.
func (p *ReplayPlan) Total() int64 { return p.Rows + p.Deletes + p.Events }

// ReplaySample is a call that would be made.
type ReplaySample struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	Body   []byte `json:"body"`
}

const pathReplay = "/v1/replay"

type answerRequest struct {
	Yes bool `json:"yes"`
}

func replayRoutes(mux *http.ServeMux, api Replays) {
	mux.HandleFunc("POST "+pathReplay, func(w http.ResponseWriter, r *http.Request) {
		var q ReplayRequest
		if err := readRequest(w, r, &q); err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		answer(w)(api.StartReplay(r.Context(), q))
	})
	mux.HandleFunc("GET "+pathReplay+"/{id}", func(w http.ResponseWriter, r *http.Request) {
		answer(w)(api.Replay(r.Context(), r.PathValue("id")))
	})
	mux.HandleFunc("POST "+pathReplay+"/{id}/answer", func(w http.ResponseWriter, r *http.Request) {
		var q answerRequest
		if err := readRequest(w, r, &q); err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		answer(w)(struct{}{}, api.AnswerReplay(r.Context(), r.PathValue("id"), q.Yes))
	})
	mux.HandleFunc("POST "+pathReplay+"/{id}/stop", func(w http.ResponseWriter, r *http.Request) {
		answer(w)(struct{}{}, api.StopReplay(r.Context(), r.PathValue("id")))
	})
}

var _ Replays = (*Client)(nil)

// StartReplay implements Replays.
func (c *Client) StartReplay(ctx context.Context, q ReplayRequest) (*ReplayStatus, error) {
	return c.replay(ctx, http.MethodPost, pathReplay, q)
}

// Replay implements Replays.
func (c *Client) Replay(ctx context.Context, id string) (*ReplayStatus, error) {
	return c.replay(ctx, http.MethodGet, replayPath(id), nil)
}

func (c *Client) replay(ctx context.Context, method, path string, body any) (*ReplayStatus, error) {
	var s ReplayStatus
	if err := c.call(ctx, method, path, body, &s); err != nil {
		return nil, err
	}
	if s.ID == "" {
		return nil, errors.New("read the process' answer: it names no replay")
	}
	return &s, nil
}

// AnswerReplay implements Replays.
func (c *Client) AnswerReplay(ctx context.Context, id string, yes bool) error {
	return c.call(ctx, http.MethodPost, replayPath(id)+"/answer", answerRequest{yes}, nil)
}

// StopReplay implements Replays.
func (c *Client) StopReplay(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodPost, replayPath(id)+"/stop", nil, nil)
}

func replayPath(id string) string { return pathReplay + "/" + url.PathEscape(id) }
