// Package config reads the YAML file of settings: strictly, with every default filled in, and with every fault at once, each at its line and column.
//
// Load and Parse give a *Config of plain structs, or Faults. What can be judged only beside a database (do the columns exist, does the expression
// compile) is judged elsewhere and comes back through Config.Resolve, which turns a path into a line and column of the file.
package config

import (
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"time"

	"brazecdc/connector"
)

// Version is the only value of the file's version setting that this package reads.
const Version = 1

// Config is the whole file, defaults filled in. Nothing changes it after Parse, so it may be read concurrently.
type Config struct {
	// File is the name the file was read under, as it stands in faults.
	File string

	Braze      Braze
	Source     Source
	Data       Data
	Cache      Cache
	Limits     Limits
	Quarantine Quarantine
	// NeverSend names columns, or paths into JSON columns, that must not leave the database. A column that names users, or is part of a table's key, cannot
	// be among them: its values are in calls, in data/, in the log and on the pages. Default: none.
	NeverSend []string
	// OnlyUsers restricts everything to these external_ids. Default: empty, which means all users.
	OnlyUsers []string
	// LoadMark is a boolean custom attribute set while a load runs. Default: empty, none.
	LoadMark string
	Log      Log
	Web      Web
	Ops      Ops
	Models   []connector.Model

	// Warnings may hurt but need no mending before a start.
	Warnings Faults

	loc *locator
}

// Braze says where calls go and how they are paced.
type Braze struct {
	// Workspace is the operator's label of the Braze workspace; stored state is bound to it. Required.
	Workspace string
	// Endpoint is the REST address without a trailing slash; https, or http on loopback. Required.
	Endpoint string
	// APIKey is the REST API key. Required.
	APIKey Secret
	// RateShare is the part of the rate limit to use, above 0 and at most 1. Default 1 (100%).
	RateShare float64
	// RatePerHour is the contract's calls an hour; 0 (auto) goes by the headers of Braze's answers. Default 0.
	RatePerHour int
	// ObjectsPerRequest is how many objects one /users/track may carry: 50, 75 or 225 by contract. Default 75.
	ObjectsPerRequest int
	// MaxBody bounds a request body, in bytes. Default 3 MiB; Braze takes 4 MB (Braze docs, "API overview").
	MaxBody int64
	// Senders is the number of calls in flight; 0 (auto) grows with need. Default 0.
	Senders int
	// MaxLinger is how long a call may wait for more objects when calls are scarce. Default 1 s.
	MaxLinger time.Duration
	// UserGap is the pause between two requests of one user, because Braze may apply them in either order. Default 1 s.
	UserGap time.Duration
	// Settle is the pause between a delete and the same user's new start. Default 5 min.
	Settle time.Duration
	// Timeout bounds one request. Default 30 s.
	Timeout time.Duration
	// Attempts is how often a row is tried before it goes to quarantine. Default 8.
	Attempts int
	// OnUnknown says what happens to an event whose request ended without an answer: retry or quarantine. Default retry.
	OnUnknown string
	// SubscriptionGroups gives each group's id by the name the models use. Default: none.
	SubscriptionGroups map[string]string
}

// Source is where rows come from; exactly one of Postgres and Kafka is set.
type Source struct {
	// TimeZone is the IANA zone for timestamps without one. Default UTC; Config.Given("source.time_zone") tells whether it was chosen.
	TimeZone string
	// Location is TimeZone, loaded.
	Location *time.Location
	Postgres *Postgres
	Kafka    *Kafka
}

// Postgres is logical replication from one database.
type Postgres struct {
	// URL is a postgres:// address or a libpq keyword string. Required.
	URL Secret
	// Slot is the replication slot's name. Default brazecdc.
	Slot string
	// Publication is the publication's name. Default brazecdc.
	Publication string
	// StartTimeout is how long a start waits for the server. Default 60 s.
	StartTimeout time.Duration
	// Create lets a start make slot and publication where they are missing. Default true.
	Create bool
	// FailoverSlot is auto, true or false. Default auto: yes on PostgreSQL 17 and later.
	FailoverSlot string
	// Heartbeat is the interval of the messages that move an idle slot on. Default 30 s.
	Heartbeat time.Duration
	// SnapshotURL is the server that loads read from. Default: the same as URL.
	SnapshotURL Secret
}

// Kafka is a consumer group over topics.
type Kafka struct {
	// Brokers are host:port addresses. Required.
	Brokers []string
	// Group is the consumer group. Default brazecdc.
	Group string
	// Start is where a partition begins that nobody has read: committed (by the models' load), earliest, latest or timestamp. Default committed.
	Start string
	// StartTime is the time with Start timestamp.
	StartTime time.Time
	// StartTimeout is how long a start waits for the brokers. Default 60 s.
	StartTimeout time.Duration
	// StateTopic is a compacted topic for state shared by several processes. Default: none.
	StateTopic string
	// Format is auto, debezium-json, debezium-avro, rows-json, rows-avro or row-change. Default auto.
	Format string
	// Envelope is changes, or append where every record is a new row. Default changes.
	Envelope string
	Registry Registry
	TLS      TLS
	SASL     SASL
}

// Registry is a schema registry; an empty URL means none.
type Registry struct {
	URL      string
	User     string
	Password Secret
	// TLS is for an https address; the brokers have their own.
	TLS TLS
}

// TLS names PEM files; all empty means the system's roots and no client certificate.
type TLS struct{ CA, Cert, Key string }

// SASL is a login at the brokers; an empty Mechanism means none.
type SASL struct {
	Mechanism string // plain, scram-sha-256 or scram-sha-512
	User      string
	Password  Secret
}

// Data is the folder that must survive.
type Data struct {
	// Path, relative to the working directory. Default ./data.
	Path string
}

// Cache is the folder that may be lost.
type Cache struct {
	// Path, relative to the working directory. Default ./cache.
	Path string
	// MaxSize in bytes. Default 8 GiB.
	MaxSize int64
	// Memory is how much of it, what was written last and at a start what there is, is held in memory too, in bytes. Default 96 MiB, which are a million users of ten
	// fields; less than 1 MiB is none.
	Memory int64
}

// Limits bound what is in memory; reading waits above them.
type Limits struct {
	// OpenChanges is the number of changes read and not yet done. Default 50,000.
	OpenChanges int
	// OpenBytes is their size. Default 64 MiB.
	OpenBytes int64
	// Drain is how long a stop waits for open changes. Default 30 s.
	Drain time.Duration
}

// Quarantine keeps what Braze or the mapping refused.
type Quarantine struct {
	// To is disk or topic. Default disk.
	To string
	// Topic is the topic's name with To topic.
	Topic string
	// Retention is how long an entry is kept. Default 30 days.
	Retention time.Duration
}

// Log is the process' own log.
type Log struct {
	// Level is the lowest level written. Default info.
	Level slog.Level
	// Format is auto, text or json. Default auto: text on a terminal, else json.
	Format string
}

func defaults() *Config {
	return &Config{
		Braze: Braze{
			RateShare: 1, ObjectsPerRequest: 75, MaxBody: 3 << 20, MaxLinger: time.Second, UserGap: time.Second,
			Settle: 5 * time.Minute, Timeout: 30 * time.Second, Attempts: 8, OnUnknown: "retry",
			SubscriptionGroups: map[string]string{},
		},
		Source:     Source{TimeZone: "UTC", Location: time.UTC},
		Data:       Data{Path: "./data"},
		Cache:      Cache{Path: "./cache", MaxSize: 8 << 30, Memory: 96 << 20},
		Limits:     Limits{OpenChanges: 50_000, OpenBytes: 64 << 20, Drain: 30 * time.Second},
		Quarantine: Quarantine{To: "disk", Retention: 30 * 24 * time.Hour},
		Log:        Log{Level: slog.LevelInfo, Format: "auto"},
		Web:        defaultWeb(),
	}
}

func defaultPostgres() *Postgres {
	return &Postgres{
		Slot: "brazecdc", Publication: "brazecdc", StartTimeout: time.Minute, Create: true,
		FailoverSlot: "auto", Heartbeat: 30 * time.Second,
	}
}

func defaultKafka() *Kafka {
	return &Kafka{Group: "brazecdc", Start: "committed", StartTimeout: time.Minute, Format: "auto", Envelope: "changes"}
}

// DefaultBrake is a model's mass-delete brake where the file sets none.
func DefaultBrake() connector.Brake {
	return connector.Brake{Max: 1000, Share: 0.05, AtLeast: 50, Window: 10 * time.Minute}
}

// String is one line for logs; it holds no secret and no address but Braze's host.
func (c Config) String() string {
	host := ""
	if u, err := url.Parse(c.Braze.Endpoint); err == nil {
		host = u.Host
	}
	return fmt.Sprintf("%s: workspace %s at %s, source %s, %d models", c.File, c.Braze.Workspace, host, c.Source, len(c.Models))
}

// Format is String under every verb. A Formatter on the secrets alone would not do: fmt does not ask it below a verb that does not fit.
func (c Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// String names the source without its address.
func (s Source) String() string {
	switch {
	case s.Postgres != nil:
		return "postgres slot " + s.Postgres.Slot
	case s.Kafka != nil:
		return "kafka group " + s.Kafka.Group
	}
	return "none"
}

// Format is String under every verb, as for Config.
func (s Source) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue is String as log attributes.
func (c Config) LogValue() slog.Value {
	return slog.GroupValue(slog.String("file", c.File), slog.String("workspace", c.Braze.Workspace), slog.Int("models", len(c.Models)))
}
