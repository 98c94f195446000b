package connector

import (
	"errors"
	"fmt"
	"time"
)

// What a Source answers that cannot do what a database can; see Source.StartLoad and Reader.Rows.
var (
	ErrNoLoads     = errors.New("a Kafka topic is not loaded by chunks: what it holds is loaded by reading it from its start")
	ErrNotReadable = errors.New("a Kafka topic holds changes of rows and cannot be asked for the living row")
)

// ErrEnding is the answer to what waits for Braze when the pipeline ends, as it does in a reload: what was asked for may have been done or not.
var ErrEnding = errors.New("the process is ending")

// RetryableError is an attempt of which nothing can be said to have been refused.
type RetryableError struct {
	// After is how long to wait at least; 0 leaves it to the backoff.
	After time.Duration
	// Unknown: the request may have been accepted (timeout, cut connection, 5xx after sending).
	Unknown bool
	// Throttled: Braze asked to slow down; it does not count as an attempt of a row.
	Throttled bool
	Why       RetryReason
	Err       error
}

// RetryReason is why an attempt is made again, as metrics name it.
type RetryReason uint8

// The reasons of a RetryableError.
const (
	RetryOther     RetryReason = iota
	RetryThrottled             // Braze asked to slow down
	RetryServer                // it answered 5xx, or that the request took too long
	RetryNetwork               // no answer came, or one that was cut
	RetryUnclear               // the answer does not tell which objects were accepted
	RetryLookup                // a row that the call needs could not be read
	retryReasons
)

// RetryReasons is how many reasons there are.
const RetryReasons = retryReasons

// String names the reason in metrics.
func (r RetryReason) String() string {
	return [...]string{"other", "throttled", "server", "network", "unclear", "lookup"}[r]
}

// EndedError is what was sent on request and ended in another way than accepted.
type EndedError struct{ How string }

func (e *EndedError) Error() string { return e.How }

func (e *RetryableError) Error() string { return e.Err.Error() }
func (e *RetryableError) Unwrap() error { return e.Err }

// Rejection is one effect that Braze will never accept as it is.
type Rejection struct {
	Index  int    // in the batch given to Send
	Reason string // Braze's own words, redacted
	// CurrentUnknown: a rename whose old id Braze does not know.
	CurrentUnknown bool
	// Done: the refusal says that what was asked for is so already: the old id of a rename is deprecated, the id to remove is unknown.
	Done bool
}

// RejectedError lists the effects of a call that were refused; all others of the call were accepted. If Whole is set, the call as a whole was
// refused and nobody can say which effect is at fault: split it until the culprits stand alone.
type RejectedError struct {
	Items []Rejection
	Whole bool
	Err   error
}

func (e *RejectedError) Error() string {
	if e.Whole {
		return e.Err.Error()
	}
	return fmt.Sprintf("%d of the call's objects were refused", len(e.Items))
}

// Unwrap gives the HTTP error behind a refused call.
func (e *RejectedError) Unwrap() error { return e.Err }

// NeedRowError asks the pipeline for the living row, because a column the mapping needs is absent from the change.
type NeedRowError struct {
	Model  int
	Column string
	// Stop is set where the change was made under another shape of the table, which lacks the column: the living row takes the change's place whole, and
	// if it lacks the column too, this is what stops the pipeline.
	Stop *StopError
}

func (e *NeedRowError) Error() string {
	return fmt.Sprintf("column %q is not in the change and has to be read", e.Column)
}

// RowError is a row that cannot be mapped; its change goes to quarantine with this reason.
type RowError struct {
	Model  int
	User   User // zero where it is not known
	Field  string
	Reason string
	// Identity: the row's user cannot be told from what the change carries (replica identity).
	Identity bool
}

func (e *RowError) Error() string {
	if e.Field != "" {
		return fmt.Sprintf("field %q: %s", e.Field, e.Reason)
	}
	return e.Reason
}

// StopError ends the process: the position is kept, and the operator is told what is wrong and what mends it.
type StopError struct {
	Code int    // exit code, see the README
	What string // what happened, and where
	Fix  string // the line or step that mends it
	Err  error
}

func (e *StopError) Error() string {
	s := e.What
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if e.Fix != "" {
		s += "\n  fix: " + e.Fix
	}
	return s
}

// Unwrap gives the error behind the stop.
func (e *StopError) Unwrap() error { return e.Err }

// ExitCode is the process' exit code for an error: a StopError's own, 0 for nil, else 1.
func ExitCode(err error) int {
	var s *StopError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &s):
		return s.Code
	}
	return 1
}

// Exit codes that a StopError carries; the README lists what each means.
const (
	ExitConfig        = 3
	ExitFaults        = 4
	ExitUnreachable   = 10
	ExitRights        = 11
	ExitSlotLost      = 12
	ExitSlotMismatch  = 13
	ExitSlotInUse     = 14
	ExitOffsetRange   = 15
	ExitTableUnfit    = 16
	ExitForeignSlot   = 17
	ExitOtherServer   = 18
	ExitOtherTimeline = 19
	ExitKeyRefused    = 20
	ExitEndpointWrong = 21
	ExitStoreLocked   = 30
	ExitDiskFull      = 31
	ExitDeadline      = 40
)
