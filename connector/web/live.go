package web

import (
	"context"
	"net/http"
	"time"

	"brazecdc/connector/control"
)

// LiveViews is what the page Live asks of the program, once a second and for all who look. All methods may be called concurrently and answer at once.
type LiveViews interface {
	// Status is the running process' own, or what the files tell where none runs (its PID is then 0).
	Status(ctx context.Context) (*control.Status, error)
	// OldestHeld is when the oldest change was held back, zero where none is.
	OldestHeld(ctx context.Context) (time.Time, error)
	// Passed gives the newest of the changes that pass, sampled, those behind a number only and the oldest first. Asking is what makes the process look for some
	// time. It gives control.ErrNotRunning where nothing passes.
	Passed(ctx context.Context, after uint64) ([]control.Passed, error)
}

// liveRoutes are the pages of this family.
func (s *Server) liveRoutes() []route {
	return []route{
		{http.MethodGet, "/{$}", Viewer, s.livePage, ""},
	}
}

func (s *Server) livePage(r *request) error {
	return r.render(http.StatusOK, "live", "core.nav.live", nil)
}
