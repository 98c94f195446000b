package web

import (
	"context"
	"time"

	"brazecdc/connector/config"
)

// ConnectionsViews is what the pages of the connections and of the first run ask and do. Texts are those of the draft, secrets in it as references; what comes
// back holds no secret. All methods may be called concurrently, and each has a deadline of its own.
type ConnectionsViews interface {
	// Look reads a text that may not be finished, secrets expanded. The Config is nil only where it is no YAML.
	Look(text []byte) (*config.Config, config.Faults)
	// ProbeSource tries the source that the text names, and creates nothing there.
	ProbeSource(ctx context.Context, text []byte) *SourceProbe
	// LastSource is what ProbeSource found last, nil where the source was not tried with these settings.
	LastSource(text []byte) *SourceProbe
	// ProbeBraze asks Braze what the key may do, and sends no user.
	ProbeBraze(ctx context.Context, text []byte) *BrazeProbe
	// LastBraze is what ProbeBraze found last, nil where Braze was not asked with these settings.
	LastBraze(text []byte) *BrazeProbe
	// KeepSecret writes a secret into a file of its own, that only this account reads, and gives the reference to it for the text.
	KeepSecret(name, value string) (reference string, err error)
	// ForgetSecrets removes the files that KeepSecret wrote and that none of these texts names any more.
	ForgetSecrets(texts [][]byte)
	// Secret tells of a reference whether there is something behind it, never what.
	Secret(reference string) SecretState
	// FirstRows gives a few rows of a model to choose the first user from.
	FirstRows(ctx context.Context, text []byte, model string) ([]FirstRow, error)
	// SendFirst sends one row to Braze, whole, and waits for the answer.
	SendFirst(ctx context.Context, text []byte, model, key string) (*FirstSent, error)
	// FirstSent is what SendFirst sent last, nil where it sent nothing yet.
	FirstSent() *FirstSent
	// Loads tells what loading the models' tables now would mean.
	Loads(ctx context.Context, text []byte) ([]LoadPlan, error)
	// Start makes the stream run with a text that was just written into the file.
	Start(ctx context.Context, text []byte) error
}

// Levels of a Check.
const (
	CheckOK   = "ok"
	CheckWarn = "warn"
	CheckFail = "fail"
)

// Check is one line of a test.
type Check struct {
	About string // connections.check.<About> names it
	Level string
	Text  string // what was found, in English, as "brazecdc check" prints it
	Fix   string // what to do, in English; what is to be run in the database stands in it
}

// Creation is something that a start makes at the source.
type Creation struct {
	Kind, Name string // slot, publication, state_topic, quarantine_topic, group
	Exists     bool
}

// SourceTopic is a topic that the brokers have.
type SourceTopic struct {
	Name       string
	Partitions int
	Records    int64
	Format     string // guessed from the newest record, empty where there is none
}

// SourceProbe is what a test of the source found.
type SourceProbe struct {
	At      time.Time
	Checks  []Check
	Creates []Creation
	Topics  []SourceTopic
	Seen    int // topics in all
}

// Worst is the worst level among the checks.
func (p *SourceProbe) Worst() string { return worst(p.Checks) }

func worst(checks []Check) string {
	level := CheckOK
	for _, c := range checks {
		switch c.Level {
		case CheckFail:
			return CheckFail
		case CheckWarn:
			level = CheckWarn
		}
	}
	return level
}

// What is known of a permission.
const (
	GrantOK       = "granted"
	GrantRefused  = "refused"
	GrantUntested = "untested" // it can't be told without sending
)

// Permission is one right of a Braze key.
type Permission struct {
	Name   string // as Braze calls it, "users.track"
	Grant  string
	Modes  []string // sync, additive, enrich: what can't work without it
	Kinds  []string // subscriptions, catalog: models that can't work without it
	Detail string   // Braze's words, redacted
}

// BrazeProbe is what a test of Braze found.
type BrazeProbe struct {
	At          time.Time
	Endpoint    string
	Refused     bool   // the key is refused everywhere: wrong key, or wrong instance
	Fault       string // why there was no answer, in English; empty where there was one
	Fix         string
	Permissions []Permission
}

// Grants tells whether everything that a mode needs is granted, or at least not refused.
func (p *BrazeProbe) Grants(mode string) bool {
	if p.Refused || p.Fault != "" {
		return false
	}
	for _, x := range p.Permissions {
		for _, m := range x.Modes {
			if m == mode && x.Grant == GrantRefused {
				return false
			}
		}
	}
	return true
}

// SecretState is what can be told of a secret.
type SecretState struct {
	Set      bool
	Variable string    // its name, where the secret comes from the environment
	Missing  bool      // the file or variable is not there
	Literal  bool      // it stands in the configuration itself
	At       time.Time // when its file was written
}

// FirstRow is a row to choose as the first user.
type FirstRow struct {
	Key    string // as SendFirst takes it
	Values []FirstValue
}

// FirstValue is a column of a FirstRow.
type FirstValue struct{ Column, Value string }

// FirstSent is how the first user was taken.
type FirstSent struct {
	Model string
	User  string // the external_id
	Calls []FirstCall
	At    time.Time
	// Private are fields whose values look private: the page does not show them.
	Private []string
}

// FirstCall is one call that was accepted.
type FirstCall struct {
	Method, Path, Body string
}

// LoadPlan is what loading a model's table, or reading its topic from the beginning, means.
type LoadPlan struct {
	Model, Table string
	Rows         int64 // negative: not known
	About        bool  // Rows, and what follows from it, is an estimate
	Messages     int64 // of a topic: how many it holds at most
	Newest       int64 // of them, how many were looked at; 0 of a table
	Values       int64 // data points at most, or negative
	Calls        int64
	Minutes      float64 // at the rate limit
}
