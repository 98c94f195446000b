package control

import (
	"context"
	"net/http"
	"time"
)

// Reloads is what an API also answers whose process can change its configuration while it runs.
type Reloads interface {
	// Reload reads the configuration file again and works with it from then on; where it can't, the configuration before goes on and the error says why.
	Reload(ctx context.Context) error
}

// Reload is how a try to change the configuration ended.
type Reload struct {
	At    time.Time `json:"at"`
	OK    bool      `json:"ok"`
	Error string    `json:"error,omitempty"`
}

const pathReload = "/v1/reload"

func reloadRoutes(mux *http.ServeMux, api Reloads) {
	mux.HandleFunc("POST "+pathReload, func(w http.ResponseWriter, r *http.Request) {
		answer(w)(struct{}{}, api.Reload(r.Context()))
	})
}

var _ Reloads = (*Client)(nil)

// Reload implements Reloads.
func (c *Client) Reload(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, pathReload, nil, nil)
}
