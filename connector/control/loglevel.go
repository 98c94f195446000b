package control

import (
	"context"
	"net/http"
	"time"
)

// Logs is what an API also answers whose process logs.
type Logs interface {
	// SetLogLevel sets a level for a while; the sentence tells which.
	SetLogLevel(ctx context.Context, q LogLevel) (string, error)
}

// LogLevel is a level of a log for a while.
type LogLevel struct {
	Component string        `json:"component,omitempty"` // empty: all
	Level     string        `json:"level"`               // debug, info, warn or error
	For       time.Duration `json:"for"`
}

const pathLogLevel = "/v1/log-level"

func logRoutes(mux *http.ServeMux, api Logs) {
	mux.HandleFunc("POST "+pathLogLevel, func(w http.ResponseWriter, r *http.Request) {
		var q LogLevel
		if err := readRequest(w, r, &q); err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		said, err := api.SetLogLevel(r.Context(), q)
		answer(w)(sentence{said}, err)
	})
}

var _ Logs = (*Client)(nil)

// SetLogLevel implements Logs.
func (c *Client) SetLogLevel(ctx context.Context, q LogLevel) (string, error) {
	var s sentence
	err := c.call(ctx, http.MethodPost, pathLogLevel, q, &s)
	return s.Result, err
}
