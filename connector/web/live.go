package web

import (
	"context"
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
