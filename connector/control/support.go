package control

import (
	"context"
	"net/http"
)

// Supports is what an API also answers whose process can be handed to who helps, as a text.
type Supports interface {
	// Support gives versions, state, metrics, the last lines of the log, and the configuration without secrets and values.
	Support(ctx context.Context) (string, error)
}

const pathSupport = "/v1/support"

func supportRoutes(mux *http.ServeMux, api Supports) {
	mux.HandleFunc("GET "+pathSupport, func(w http.ResponseWriter, r *http.Request) {
		text, err := api.Support(r.Context())
		answer(w)(sentence{text}, err)
	})
}

var _ Supports = (*Client)(nil)

// Support implements Supports.
func (c *Client) Support(ctx context.Context) (string, error) {
	var s sentence
	err := c.call(ctx, http.MethodGet, pathSupport, nil, &s)
	return s.Result, err
}
