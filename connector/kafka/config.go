package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"brazecdc/connector"
)

// Where a partition starts for which neither the group nor data/ has a position.
const (
	StartCommitted = "committed" // by Config.Load: the log's start, or its end
	StartEarliest  = "earliest"
	StartLatest    = "latest"
	StartTimestamp = "timestamp" // the first record at or after Config.StartTime
)

// Config is what a Source needs. Zero members take the defaults named here.
type Config struct {
	// Brokers are the addresses to begin with, host:port.
	Brokers []string
	// Group is the consumer group; default brazecdc.
	Group string
	// Topics are read by name; Pattern is a regular expression that more topics match, also those created later. Without either, Start.Tables are read.
	Topics  []string
	Pattern string
	// Exclude are topics that Pattern never means, such as those that the connector writes. The brokers' own it never means either.
	Exclude []string
	// Start is one of the Start constants; default StartCommitted.
	Start     string
	StartTime time.Time
	TLS       TLS
	SASL      SASL
	// ClientID names the process to the brokers; default brazecdc.
	ClientID string

	// Decode makes changes of a record. Skip says in a word why a record without changes is passed over ("tombstone"). A *PoisonError puts the record into
	// quarantine, a *WaitError holds its partition until it can be decoded, any other error ends the source. It is called by one goroutine per partition; the
	// Record is reused after it returns, its Key, Value and Headers are not.
	Decode func(ctx context.Context, r *Record) (changes []connector.Change, skip string, err error)
	// Traces asks for the traceparents of records in Batch.Traces.
	Traces bool
	// Load tells whether what a topic holds already is loaded (true) or the group starts behind it; nil loads all. Only StartCommitted asks.
	Load func(topic string) bool
	// Quarantine keeps a record that cannot be decoded, durably, before it returns. Nil: such a record ends the source.
	Quarantine func(ctx context.Context, p Poison) error
	// Assigned is told of a partition before its first batch, so that shared state can be read; an error ends the source. Nil: nobody.
	Assigned func(ctx context.Context, a Assignment) error
	// Recorded gives what the processes of the group recorded together of a partition ("TOPIC/NUMBER"), which may be newer than the group's offset; it is asked before
	// the partition starts. Nil: nothing.
	Recorded func(ctx context.Context, part string) (r connector.Recorded, ok bool, err error)
	// Revoke is told of streams that go to another member. It takes what is unsent of them out of the queues, waits for the rest, and returns when all that
	// can be was committed with Commit, or when ctx ends. Nothing of these streams is handed out any more. Nil: the source waits for the commits itself.
	Revoke func(ctx context.Context, streams []string)

	// Drain bounds Revoke; default 30 s.
	Drain time.Duration
	// CommitEvery is how often offsets are committed to the group; default 1 s.
	CommitEvery time.Duration
	// StartTimeout is how long Open goes on trying to reach a broker; default 60 s.
	StartTimeout time.Duration
	// SessionTimeout is after how long without heartbeat the group gives a member's partitions away; default 45 s.
	SessionTimeout time.Duration
	// MetadataEvery is how soon new topics and partitions are noticed; default 30 s.
	MetadataEvery time.Duration
	// BufferBytes bounds records that were fetched and not yet handed out, beside one fetch on its way; default 8 MiB.
	BufferBytes int64
	// BatchChanges is how many changes a Batch has at most; default 500. One record's changes are never split.
	BatchChanges int
	// Logger gets one line per start, assignment, revocation and stop, and no values of records; default slog.Default().
	Logger *slog.Logger
}

// TLS holds files in PEM form. All empty: no TLS, unless On is set, which trusts the system's certificates.
type TLS struct {
	On            bool
	CA, Cert, Key string
}

// SASL is a login: plain, scram-sha-256 or scram-sha-512. An empty Mechanism means none.
type SASL struct {
	Mechanism, User, Password string
}

// Record is one record of a topic, as Decode gets it.
type Record struct {
	Topic     string
	Partition int32
	Offset    int64
	Time      time.Time
	Key       []byte // nil for a null key
	Value     []byte // nil for a tombstone
	Headers   []Header
	// Room is empty. Decode may append its changes to it instead of making a slice for them.
	Room []connector.Change
}

// Header is one header of a record.
type Header struct {
	Key   string
	Value []byte
}

// Poison is a record that cannot be decoded, with the reason and its original bytes.
type Poison struct {
	Stream     string // the assignment that read it
	Topic      string
	Partition  int32
	Offset     int64
	Time       time.Time
	Key, Value []byte
	Headers    []Header
	Reason     string
}

// Assignment is one partition as it was given to this process.
type Assignment struct {
	Stream    string
	Topic     string
	TopicID   [16]byte // zero where the broker has none (before Kafka 2.8)
	Partition int32
	From      int64 // first offset to be read
	End       int64 // the log's end at that moment
	// First: neither the group nor data/ had a position.
	First bool
	// Gap: the group's position is ahead of the one recorded here, since another process, or another data/, has gone on.
	Gap bool
	// Fresh: what was recorded of the partition belongs to an earlier topic of its name.
	Fresh bool
}

// PoisonError is Decode's word that a record will never decode.
type PoisonError struct {
	Reason string
}

func (e *PoisonError) Error() string { return e.Reason }

// WaitError is Decode's word that a record cannot be decoded now (the schema registry is down), through no fault of its own.
type WaitError struct {
	Err error
}

func (e *WaitError) Error() string { return e.Err.Error() }

// Unwrap gives what is being waited for.
func (e *WaitError) Unwrap() error { return e.Err }

// ErrNotReadable is what Rows gives: a topic holds changes, not living rows.
var ErrNotReadable = connector.ErrNotReadable

// ErrNoLoads is what StartLoad gives: what a topic holds is loaded by reading it from its start, and again by a replay.
var ErrNoLoads = connector.ErrNoLoads

func (c Config) withDefaults() Config {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	if c.Group == "" {
		c.Group = "brazecdc"
	}
	if c.ClientID == "" {
		c.ClientID = "brazecdc"
	}
	if c.Start == "" {
		c.Start = StartCommitted
	}
	if c.Load == nil {
		c.Load = func(string) bool { return true }
	}
	def(&c.Drain, 30*time.Second)
	def(&c.CommitEvery, time.Second)
	def(&c.StartTimeout, time.Minute)
	def(&c.SessionTimeout, 45*time.Second)
	def(&c.MetadataEvery, 30*time.Second)
	if c.BufferBytes == 0 {
		c.BufferBytes = 8 << 20
	}
	if c.BatchChanges == 0 {
		c.BatchChanges = 500
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

func (c Config) validate() error {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if len(c.Brokers) == 0 {
		bad("brokers: there is none; write host:port of one at least")
	}
	if _, err := regexp.Compile(c.Pattern); err != nil {
		bad("pattern of topics %q: %w", c.Pattern, err)
	}
	switch c.Start {
	case StartCommitted, StartEarliest, StartLatest:
	case StartTimestamp:
		if c.StartTime.IsZero() {
			bad("start: a timestamp is needed, such as 2026-11-01T00:00:00Z")
		}
	default:
		bad("start %q is none of committed, earliest, latest, timestamp", c.Start)
	}
	switch c.SASL.Mechanism {
	case "":
		if c.SASL.User != "" {
			bad("sasl has a user and no mechanism; it is one of plain, scram-sha-256, scram-sha-512")
		}
	case "plain", "scram-sha-256", "scram-sha-512":
		if c.SASL.User == "" || c.SASL.Password == "" {
			bad("sasl %s needs user and password", c.SASL.Mechanism)
		}
	default:
		bad("sasl mechanism %q is none of plain, scram-sha-256, scram-sha-512", c.SASL.Mechanism)
	}
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		bad("tls has one of cert and key; give both, or neither")
	}
	if c.Decode == nil {
		bad("there is no decoder")
	}
	for _, d := range []time.Duration{c.Drain, c.CommitEvery, c.StartTimeout, c.SessionTimeout, c.MetadataEvery} {
		if d < 0 {
			bad("a time of %s: times cannot be negative", d)
		}
	}
	return errors.Join(faults...)
}
