package connector

import (
	"context"
	"time"
)

// Sink delivers effects to Braze. All methods may be called concurrently. It never retries; the sender does.
type Sink interface {
	// Limits tells how much one call of a kind may carry.
	Limits(k Kind) Limits
	// Wait blocks until a call of that kind may leave by the rate budget, and reserves it. It ends with ctx.
	Wait(ctx context.Context, k Kind) error
	// Send makes one request of effects of one kind, no user twice. Its four ends:
	// nil: all accepted; *RetryableError: resend all; *RejectedError: the listed ones will never be accepted, the others are accepted; any other:
	// stop, nothing was accepted.
	Send(ctx context.Context, k Kind, batch []Effect) error
	// Gone tells which of the users Braze does not know (/users/export/ids, invalid_user_ids). At most Limits(DeleteUser).Objects users.
	Gone(ctx context.Context, users []User) ([]User, error)
	// Size is about how many bytes the effect takes in a request body.
	Size(e *Effect) int
	// Health is the sink's view of itself, for /readyz, /metrics and status.
	Health() SinkHealth
}

// Limits bounds one call.
type Limits struct {
	Objects int
	Bytes   int
	// Apart tells that effects for two users cannot share a call (kinds of identifiers, catalogs); nil where all can. Who can share one with one user of a
	// call can with all of them.
	Apart func(a, b User) bool
}

// SinkHealth is a Sink's view of itself at one moment.
type SinkHealth struct {
	LastSuccess time.Time        `json:"last_success,omitzero"`
	LastError   string           `json:"last_error,omitempty"` // redacted
	LastErrorAt time.Time        `json:"last_error_at,omitzero"`
	Endpoints   []EndpointHealth `json:"endpoints"`
}

// EndpointHealth counts what happened at one endpoint since the process started.
type EndpointHealth struct {
	Endpoint  string            `json:"endpoint,omitempty"`
	Codes     map[string]uint64 `json:"codes,omitempty"` // by status, or "network"
	Objects   uint64            `json:"objects"`
	Limit     int64             `json:"limit"` // last X-RateLimit-Limit, 0 unknown
	Remaining int64             `json:"remaining"`
	Reset     time.Time         `json:"reset,omitzero"`
	Throttled time.Duration     `json:"throttled"`
	ItemErrs  map[string]uint64 `json:"item_errs,omitempty"` // by reason
	// Durations is a histogram of request durations; Buckets are its upper bounds in seconds.
	Buckets   []float64 `json:"buckets"`
	Durations []uint64  `json:"durations"`
	Sum       float64   `json:"sum"`
	// Sizes is a histogram of objects in a request; SizeBuckets are its upper bounds, and Carried is the sum.
	SizeBuckets []float64 `json:"size_buckets"`
	Sizes       []uint64  `json:"sizes"`
	Carried     uint64    `json:"carried"`
}
