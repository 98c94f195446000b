package control

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Watches is an API that shows changes as they pass. Only a running process can: Offline does not implement it.
type Watches interface {
	// Passed gives the newest changes that passed, the oldest first, of those with a higher number than after. Asking is what makes the process look, for a
	// minute; it looks at a sample and never waits.
	Passed(ctx context.Context, after uint64) ([]Passed, error)
}

// Passed is how one change ended, in words and without values.
type Passed struct {
	N      uint64        `json:"n"` // 1 is the first that was seen
	At     time.Time     `json:"at"`
	Model  string        `json:"model"`
	Op     string        `json:"op,omitempty"`     // insert, update, delete, truncate, snapshot; empty: sent on request
	Kind   string        `json:"kind,omitempty"`   // of what was sent
	Fields []string      `json:"fields,omitempty"` // that were sent, by name
	Result string        `json:"result"`           // accepted, suppressed, quarantined, retry, held
	Reason string        `json:"reason,omitempty"`
	Took   time.Duration `json:"took,omitempty"` // commit to this end; 0 unknown
}

const pathPassed = "/v1/passed"

func watchRoutes(mux *http.ServeMux, api Watches) {
	mux.HandleFunc("GET "+pathPassed, func(w http.ResponseWriter, r *http.Request) {
		after, err := strconv.ParseUint(r.URL.Query().Get("after"), 10, 64)
		if err != nil {
			refuse(w, http.StatusBadRequest, fmt.Errorf("read the number %q behind which changes are asked for: not a number", r.URL.Query().Get("after")))
			return
		}
		answer(w)(api.Passed(r.Context(), after))
	})
}

var _ Watches = (*Client)(nil)

// Passed implements Watches.
func (c *Client) Passed(ctx context.Context, after uint64) ([]Passed, error) {
	var out []Passed
	err := c.call(ctx, http.MethodGet, pathPassed+"?after="+strconv.FormatUint(after, 10), nil, &out)
	return out, err
}
