package control

import (
	"context"
	"encoding/json"
	"net/http"

	"brazecdc/connector"
)

// Comparisons is what an API also answers that knows what Braze accepted last. Only a running process can: Offline does not implement it.
type Comparisons interface {
	// Compare compares values with what Braze accepted last of a user by a model.
	Compare(ctx context.Context, q Comparison) (*Compared, error)
}

// Comparison asks about mapped fields of one user. Its values go to the process, none come back.
type Comparison struct {
	Model  string          `json:"model"`
	User   connector.User  `json:"user"`
	Fields []ComparedField `json:"fields"`
}

// ComparedField is one field and the value that would be sent.
type ComparedField struct {
	Name  string          `json:"name"`
	Group string          `json:"group,omitempty"`
	Hash  uint64          `json:"hash"` // of its settings: with others it is sent again
	Value json.RawMessage `json:"value"`
}

// Compared tells of each field of a Comparison, in its order, whether Braze has the value already.
type Compared struct {
	Known bool   `json:"known"` // it can be told of at least one
	Same  []bool `json:"same"`
}

const pathCompare = "/v1/compare"

func compareRoutes(mux *http.ServeMux, api Comparisons) {
	mux.HandleFunc("POST "+pathCompare, func(w http.ResponseWriter, r *http.Request) {
		var q Comparison
		if err := readRequest(w, r, &q); err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		answer(w)(api.Compare(r.Context(), q))
	})
}

var _ Comparisons = (*Client)(nil)

// Compare implements Comparisons.
func (c *Client) Compare(ctx context.Context, q Comparison) (*Compared, error) {
	var out Compared
	if err := c.call(ctx, http.MethodPost, pathCompare, q, &out); err != nil {
		return nil, err
	}
	return &out, nil
}
