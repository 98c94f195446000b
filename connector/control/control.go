// Package control is the local socket through which the command line and the pages speak with a running process: status, confirm, quarantine,
// send. It also answers from the files where no process runs.
package control

import (
	"context"
	"time"

	"brazecdc/connector"
)

// ErrAway is the answer of a process whose parts are not there, and will be shortly.
var ErrAway error = &connector.StopError{Code: 1, What: "the process is starting, or applies a configuration, and can't do this yet", Fix: "try again in a moment"}

// API is what can be asked of a connector. A running process implements it, Client does over its socket, and Offline does from the files. All
// methods may be called concurrently.
type API interface {
	// Status tells the state in figures and words, never row values.
	Status(ctx context.Context) (*Status, error)
	// Pending lists what waits for Confirm.
	Pending(ctx context.Context) ([]connector.Confirmation, error)
	// Confirm goes on with what waits for a model: a truncated table is loaded again, held deletes are sent, or forgotten with drop. The sentence
	// tells what happened.
	Confirm(ctx context.Context, model string, drop bool) (string, error)
	// Entries lists quarantine entries, oldest first, without their payloads.
	Entries(ctx context.Context, f connector.EntryFilter) ([]connector.Entry, error)
	// Entry gives one whole entry, row values included.
	Entry(ctx context.Context, id uint64) (*connector.Entry, error)
	// Retry sends one entry again; the sentence tells what happened.
	Retry(ctx context.Context, id uint64) (string, error)
	// RetryLate is Retry that sends an event although it is older than its model's max_age by now.
	RetryLate(ctx context.Context, id uint64) (string, error)
	// Discard ends one entry without delivery.
	Discard(ctx context.Context, id uint64, why string) error
	// Send sends one living row and waits for Braze's answer, which the sentence tells: whole, or only these fields of its profile, by name.
	Send(ctx context.Context, model, key string, only ...string) (string, error)
}

// Status is what the process says of itself: the pipeline's own status and what surrounds it.
type Status struct {
	Version   string    `json:"version"`
	Workspace string    `json:"workspace"`
	Config    string    `json:"config,omitempty"`
	PID       int       `json:"pid,omitempty"`
	Started   time.Time `json:"started,omitzero"`
	Listen    string    `json:"listen,omitempty"` // address of /metrics and its neighbours
	// Ready and NotReady are /readyz in short.
	Ready    bool     `json:"ready"`
	NotReady []string `json:"not_ready,omitempty"`
	// ConfigHash names the configuration that works, and Applied tells since when.
	ConfigHash string    `json:"config_hash,omitempty"`
	Applied    time.Time `json:"config_applied,omitzero"`
	// LastReload is how the last try to change the configuration ended, nil where none was made.
	LastReload *Reload `json:"last_reload,omitempty"`
	// NeedsRestart are settings of the file that count at the next start only.
	NeedsRestart []string `json:"needs_restart,omitempty"`
	// LastStop is how the run before ended, nil where that is not known.
	LastStop *Stop `json:"last_stop,omitempty"`
	connector.Status
	Pending []connector.Confirmation `json:"pending,omitempty"`
	// Figures are what only a running process counts.
	Figures *Figures `json:"figures,omitempty"`
}

// Figures are counters of a running process that no Status of the pipeline holds, since it started.
type Figures struct {
	// Deliveries counts live changes by how long they took from commit to accepted, by connector.DeliveryBuckets and not cumulated.
	Deliveries         []uint64 `json:"deliveries"`
	Quarantined        uint64   `json:"quarantined"` // entries made
	ReadingHeldSeconds float64  `json:"reading_held_seconds"`
	Retries            uint64   `json:"retries"`
	DuplicatesPossible uint64   `json:"duplicates_possible"` // of the retries: an earlier attempt may have been accepted
}

// Stop is how a run ended; it lies in data/ so that status can tell it when no process runs.
type Stop struct {
	At     time.Time `json:"at"`
	Code   int       `json:"code"`
	Reason string    `json:"reason"` // empty: stopped on request, everything confirmed
}
