package connector

import "time"

// Status is what /status, `brazecdc status` and the pages show of a pipeline: figures and words, never row values.
type Status struct {
	State       string         `json:"state"`             // starting | standby | running | degraded | draining | stopped; reloading while a configuration is exchanged
	Reasons     []string       `json:"reasons,omitempty"` // why not simply running, one sentence each
	Since       time.Time      `json:"since"`
	LagSeconds  float64        `json:"lag_seconds"` // age of the oldest change not yet done; 0 when none is open
	Source      SourceHealth   `json:"source"`
	Sink        SinkHealth     `json:"sink"`
	Streams     []StreamState  `json:"streams"`
	Models      []ModelStatus  `json:"models"`
	Loads       []LoadState    `json:"loads,omitempty"`
	OpenChanges int            `json:"open_changes"`
	OpenBytes   int64          `json:"open_bytes"`
	Waiting     int            `json:"users_waiting"`
	Parked      map[string]int `json:"users_parked,omitempty"` // by reason: gap, settle, retry, rename
	Held        int            `json:"deletes_held"`
	Quarantine  int64          `json:"quarantine_entries"`
}

// StreamState is the confirmed position of one stream.
type StreamState struct {
	Stream    string    `json:"stream"`
	Confirmed uint64    `json:"confirmed"`
	Moved     time.Time `json:"moved"`
	Open      time.Time `json:"oldest_open,omitzero"` // commit time of the oldest change not yet done
	Behind    int64     `json:"behind,omitempty"`     // records beyond in the log, where whoever asks the source fills it in
}

// ModelStatus is one model's counters since the process started.
type ModelStatus struct {
	Name       string            `json:"name"`
	Table      string            `json:"table"`            // or topic, or the pattern of topics
	Topics     []string          `json:"topics,omitempty"` // that match the pattern, as far as this process knows, where whoever asks the source fills them in
	Changes    map[string]uint64 `json:"changes"`          // by op
	Filtered   uint64            `json:"filtered"`
	Suppressed uint64            `json:"suppressed"`            // effects of which nothing had to be sent
	Coalesced  uint64            `json:"coalesced"`             // effects folded into another
	Sent       map[string]uint64 `json:"sent"`                  // accepted objects by kind
	Notes      map[string]uint64 `json:"field_notes,omitempty"` // "field: reason" -> times
	Quarantine int64             `json:"quarantine_entries"`
	Late       uint64            `json:"events_late,omitempty"` // events held back, since they are older than max_age
	Points     ModelPoints       `json:"data_points"`
	Held       int               `json:"deletes_held"`         // that wait for confirm
	Braked     bool              `json:"brake_engaged"`        // another delete would be held: too many came within the brake's window
	Paused     string            `json:"paused,omitempty"`     // reason
	Proven     bool              `json:"proven"`               // before-images are proof
	NextResync time.Time         `json:"next_resync,omitzero"` // by the model's schedule
	// MissedResync is the last time of the schedule at which no resync could begin, and why.
	MissedResync time.Time `json:"missed_resync,omitzero"`
	MissedWhy    string    `json:"missed_why,omitempty"`
	// Remembered is of how many rows of a topic the schedule knows what its rules read; nil where it goes over a table, or is not counted yet.
	Remembered *Recalled `json:"remembered,omitempty"`
}

// Seen is one observation for a watcher (demo, `run --verbose`): a change that came, or a call's part for one user that ended. It is made only while
// somebody watches.
type Seen struct {
	At      time.Time
	Change  *Change // of the effect, or the change itself
	Effect  *Effect // nil: the change as it came in
	Stream  string  // that the change came from
	Outcome string  // accepted, suppressed, quarantined, retry, held
	Reason  string
	Latency time.Duration // commit to outcome
}
