package web

import (
	"context"
	"errors"

	"brazecdc/connector/config"
)

// ModelsViews is what the pages of models ask of the source. draft is the text of the configuration as it is being edited; it may have faults, and as much is
// answered as can be told. All methods may be called concurrently, read only, and end with ctx.
type ModelsViews interface {
	// Relations lists the tables or topics that models can be made of, those that look most like users first, without values of rows.
	Relations(ctx context.Context, draft []byte) ([]Relation, error)
	// Relation looks at one table or topic: its columns with five rows, and what its columns look like in Braze.
	Relation(ctx context.Context, draft []byte, name string) (*Relation, error)
	// Plan judges one model: the faults that "check" would tell, and what each of its lines makes of some rows.
	Plan(ctx context.Context, draft []byte, model string) (*ModelPlan, error)
	// Preview shows the exact calls for one row.
	Preview(ctx context.Context, draft []byte, ask PreviewAsk) (*ModelPreview, error)
	// Count counts the rows that match a rule.
	Count(ctx context.Context, draft []byte, ask CountAsk) (*RuleCount, error)
	// Try shows what an expression gives for some rows.
	Try(ctx context.Context, draft []byte, model, expr string, rule bool) (*Tried, error)
	// Frequent gives the most frequent values of a column, to complete what a person writes; none where never_send names it.
	Frequent(ctx context.Context, draft []byte, model, column string) ([]string, error)
}

// Relation is one table, or one topic.
type Relation struct {
	Name     string // "public.users", or the topic
	Topic    bool
	Rows     int64  // an estimate, of a topic the number of its messages at most; negative: not known
	Format   string // of a topic's newest message, as it looks; empty where that is not known
	Readable bool   // the login may read it
	Columns  []RelationColumn
	Identity string // replica identity: default, full, index, nothing; empty of a topic
	Email    bool   // a column looks like an e-mail address
	// ExternalID is the column that looks most like what names a user; empty where none is unique.
	ExternalID  string
	Suggestions []Suggestion
	Sampled     int // rows that Columns[].Samples are from
}

// Column gives a column by name, nil where there is none.
func (r *Relation) Column(name string) *RelationColumn {
	if r == nil {
		return nil
	}
	for i := range r.Columns {
		if r.Columns[i].Name == name {
			return &r.Columns[i]
		}
	}
	return nil
}

// Key lists the columns of the key.
func (r *Relation) Key() []string {
	var out []string
	for i := range r.Columns {
		if r.Columns[i].Key {
			out = append(out, r.Columns[i].Name)
		}
	}
	return out
}

// RelationColumn is one column.
type RelationColumn struct {
	Name, Type string
	Kind       string // text, number, bool, date, time, list, object, bytes: what rules and fields make of it
	Key        bool   // part of the key
	Unique     bool   // alone a unique key without NULLs
	NotNull    bool
	Private    bool // its name says that it should stay where it is
	Consent    bool // its name says that it holds a consent
	Never      bool // never_send names it
	// Samples are values as the source writes them, one of each row that was looked at; none of private and never columns.
	Samples []SampleValue
}

// SampleValue is one value of a row.
type SampleValue struct {
	Text string
	Null bool
}

// Suggestion is a profile field that a column looks like.
type Suggestion struct {
	Field, Column string
	Sampled       int // values that were looked at
	Misfits       int // of them
	Likely        bool
}

// ModelPlan is what is wrong with a model and what it makes of some rows.
type ModelPlan struct {
	// Faults are those of the whole text, each with its path as in the file ("models[0].fields.email").
	Faults []config.Fault
	// Path is where the model stands ("models[0]").
	Path string
	// Source is the table or topic, nil where it cannot be looked at; Unreachable says why.
	Source      *Relation
	Unreachable string
	// Lines are what became of each line of identify, fields, custom, groups and audiences, by its path in the file.
	Lines map[string]*LinePlan
	Rows  int // that were looked at
	// NoID counts rows without an identifier, Doubles those whose identifier another row has too; negative where that is not known.
	NoID, Doubles int64
	Checked       int64 // rows that NoID and Doubles are from
}

// LinePlan is what one line makes of the rows.
type LinePlan struct {
	Type    string // in Braze: text, number, bool, time, date, list, object; empty where no row tells
	Private bool   // the field looks private: no value is told
	Samples []LineSample
	Sent    int // rows of which a value would be sent
	Empty   int // rows without a value
	Left    int // rows of which the value would be left out
	Reasons []LineReason
}

// LineSample is one value and what becomes of it.
type LineSample struct {
	From SampleValue
	To   string // JSON; empty where nothing would be sent
	Why  string // why not, or what was changed
}

// LineReason counts rows whose value was left out, or changed in kind, for one reason.
type LineReason struct {
	Reason string
	Rows   int
	Left   bool        // left out, not only changed
	Sample SampleValue // one of them
}

// PreviewAsk says which row a preview shows, as which operation.
type PreviewAsk struct {
	Model string
	Row   string // newest, random, key, fails, noemail
	Key   string // with key; of several key columns column=value,column=value
	Op    string // insert, update, delete, leaves; of a topic also asis
}

// ModelPreview is one row and the calls it means.
type ModelPreview struct {
	Faults   []config.Fault // that keep the model from being compiled; then there is no row
	Found    bool           // there is such a row
	Topic    bool           // the row is of the newest messages
	AsIs     bool           // it is shown as the change that its message is
	Known    bool           // fields that Braze holds already are told; else every value counts as sent
	Key      string         // as "brazecdc preview --key" takes it
	Op       string
	Columns  []PreviewCell
	Fields   []PreviewField
	Calls    []PreviewCall
	Private  []string // fields whose values look private
	Nothing  string   // why there is no call: filter, delete_when, mode, only_users, no user, no fields, ops, when, load, unchanged
	HeldBack string   // why the row would be held back
}

// PreviewCell is one column of the row. Hidden: never_send names it, or its name looks private, so its value is not here.
type PreviewCell struct {
	Column, Type, Value string
	Null, Hidden        bool
}

// The states of a field in a preview.
const (
	FieldSent      = "sent"
	FieldUnchanged = "unchanged" // Braze holds it already
	FieldEmpty     = "empty"     // no value, and nothing to take away
	FieldLeft      = "left"      // left out, for a reason
)

// PreviewField is what becomes of one field.
type PreviewField struct {
	Name   string
	State  string // FieldSent, FieldUnchanged, FieldEmpty, FieldLeft
	Value  string // JSON
	Reason string
}

// PreviewCall is one exact call.
type PreviewCall struct {
	Method, Path string
	Body         string // its bytes
	Pretty       string // the same, indented
	Points       int    // data points if nothing is known of the row
	Late         bool   // an event older than max_age: it would not be sent
	Curl         string
}

// CountAsk says what is counted. Before is the rule as it is in the file, empty where there is none; OnLeave etc. do not matter.
type CountAsk struct {
	Model, Rule, Before string
	Parts               []string // rules that are counted beside it, each by itself
}

// RuleCount is how many rows match a rule.
type RuleCount struct {
	Fault    *RuleFault // the rule cannot be used; nothing else is told
	Matching int64
	Neither  int64 // rows of which the rule is neither true nor false, since a value is missing
	Rows     int64
	About    bool // Matching and what follows are estimated from a part of the rows
	Topic    bool // counted over the newest messages
	Clock    bool // the rule reads the clock
	// Parts are how many rows match each of CountAsk.Parts, negative for one that cannot be used.
	Parts []int64
	// Joins and Leaves compare with Before.
	Compared      bool
	Joins, Leaves int64
	// Columns and Samples are up to ten rows that match: the key and what the rule reads.
	Columns []string
	Samples [][]SampleValue
}

// RuleFault is what is wrong with an expression, at a byte of it.
type RuleFault struct {
	Offset    int
	What, Fix string
}

// Tried is what an expression gives for some rows.
type Tried struct {
	Fault   *RuleFault
	Columns []string // that it reads
	Rows    []TriedRow
}

// TriedRow is one row: the values that the expression reads, and what it gives as JSON, or why nothing.
type TriedRow struct {
	From  []SampleValue
	Value string
	Why   string
}

// ErrNoModel is what ModelsViews gives where the draft has no model of the name.
var ErrNoModel = errors.New("there is no such model")
