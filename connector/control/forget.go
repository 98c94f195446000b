package control

import (
	"context"
	"net/http"

	"brazecdc/connector"
)

// Forgets is what an API also answers that can erase users.
type Forgets interface {
	// Forget deletes the user's profile in Braze, waits for the answer, and takes the user out of what is kept. After an error the same call goes on.
	Forget(ctx context.Context, u connector.User) (*ForgetReport, error)
}

// ForgetReport is what erasing a user did, and what is left to others.
type ForgetReport struct {
	// Unsent: the profile had been deleted a moment ago.
	Unsent   bool                   `json:"unsent,omitempty"`
	Waiting  int                    `json:"waiting"`            // held deletes and settling users that are no more
	Rows     int                    `json:"rows"`               // of the source whose user the cache no longer knows
	Entries  []uint64               `json:"entries,omitempty"`  // quarantine entries that are no more
	Kept     []connector.KeptRecord `json:"kept,omitempty"`     // records of these that still lie in a topic
	Doubtful []uint64               `json:"doubtful,omitempty"` // entries left, whose undecoded record holds the identifier
	Shared   bool                   `json:"shared,omitempty"`   // the state topic holds old values until it is compacted
	Spools   int                    `json:"spools,omitempty"`   // stopped replays that were forgotten with what they had collected
}

// ReportOf makes a report of what the pipeline, or a purge of the files, gives.
func ReportOf(f *connector.Forgotten) *ForgetReport {
	return &ForgetReport{Unsent: f.Unsent, Waiting: f.Waiting, Rows: f.Rows, Entries: f.Entries, Kept: f.Kept, Doubtful: f.Doubtful, Shared: f.Shared}
}

const pathForget = "/v1/forget"

type forgetRequest struct {
	User connector.User `json:"user"`
}

func forgetRoutes(mux *http.ServeMux, api Forgets) {
	mux.HandleFunc("POST "+pathForget, func(w http.ResponseWriter, r *http.Request) {
		var q forgetRequest
		if err := readRequest(w, r, &q); err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		answer(w)(api.Forget(r.Context(), q.User))
	})
}

var _ Forgets = (*Client)(nil)

// Forget implements Forgets.
func (c *Client) Forget(ctx context.Context, u connector.User) (*ForgetReport, error) {
	var out ForgetReport
	if err := c.call(ctx, http.MethodPost, pathForget, forgetRequest{u}, &out); err != nil {
		return nil, err
	}
	return &out, nil
}
