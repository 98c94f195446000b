package connector

import "time"

// Model is one entry of `models` in the configuration file, as written, defaults filled in. connector/config reads and checks what can be checked
// without a database; connector/mapping compiles it against the table's columns. It is plain data.
type Model struct {
	Name            string   `yaml:"name"`
	Kind            string   `yaml:"kind"` // users | events | purchases | subscriptions | catalog
	Table           string   `yaml:"table"`
	Topic           string   `yaml:"topic"`
	Mode            string   `yaml:"mode"` // sync | additive | enrich
	Load            string   `yaml:"load"` // all | none
	LoadConsent     bool     `yaml:"load_consent"`
	OwnsUsers       bool     `yaml:"owns_users"`
	Identify        Identify `yaml:"identify"`
	OnIDChange      string   `yaml:"on_id_change"`     // rename | create | stop
	ReplicaIdentity string   `yaml:"replica_identity"` // auto | full
	Filter          string   `yaml:"filter"`
	OnLeave         string   `yaml:"on_leave"` // keep | unset | delete
	DeleteWhen      string   `yaml:"delete_when"`
	OnDeleteGroups  string   `yaml:"on_delete_groups"` // keep | unsubscribe
	Deletes         Brake    `yaml:"deletes"`

	// Fields and Custom keep the file's order.
	Fields []FieldMap `yaml:"fields"`
	Custom []FieldMap `yaml:"custom"`

	// Later lists settings the file uses that this version reads and checks but does not run yet, by their key ("subscription_groups").
	Later []string `yaml:"-"`
	// Path is where the model stands in the file ("models[0]"), for faults.
	Path string `yaml:"-"`
}

// Identify names the user a row belongs to; the members that are set count, in the order external_id, alias, email, phone.
type Identify struct {
	ExternalID ValueFrom `yaml:"external_id"`
	AliasLabel string    `yaml:"alias.label"`
	AliasName  string    `yaml:"alias.name"` // column
	Email      string    `yaml:"email"`      // column
	Phone      string    `yaml:"phone"`      // column
}

// ValueFrom is where a value comes from: exactly one of a column, an expression, a constant.
type ValueFrom struct {
	Column string `yaml:"column"`
	Expr   string `yaml:"expr"`
	// Value is a constant as JSON text; HasValue tells it from none.
	Value    string `yaml:"value"`
	HasValue bool   `yaml:"-"`
}

// FieldMap is one line under fields or custom.
type FieldMap struct {
	Name string `yaml:"-"` // of the profile field or custom attribute
	ValueFrom
	Type    string `yaml:"type"`    // "", string | number | bool | time | array | object
	OnNull  string `yaml:"on_null"` // clear | keep | value
	Default string `yaml:"-"`       // JSON text of on_null: {value: x}
	Blank   string `yaml:"blank"`   // keep | null_like
	Country string `yaml:"country"` // default country of a phone, ISO 3166-1 alpha-2
	Nested  string `yaml:"nested"`  // merge | replace
	Array   string `yaml:"array"`   // replace | add_remove | by
	ArrayBy string `yaml:"-"`       // identifier key of array: {by: id}
	Collect bool   `yaml:"collect"`
	Path    string `yaml:"-"` // where it stands in the file ("models[0].custom.plan")
}

// Brake is the mass-delete brake of a model.
type Brake struct {
	Max     int64         `yaml:"max"`
	Share   float64       `yaml:"share"` // 0.05 is 5 %
	AtLeast int64         `yaml:"at_least"`
	Window  time.Duration `yaml:"window"`
}

// Fault is something wrong in the configuration, its expressions, or their fit to the database.
type Fault struct {
	Path   string // "models[0].custom.full_name.expr"; config turns it into file, line and column
	Offset int    // bytes into the value at Path, for expressions
	What   string // what is wrong
	Fix    string // what to do, may be empty
	Warn   bool   // may hurt, need not be mended
}

func (f Fault) Error() string {
	if f.Fix == "" {
		return f.Path + ": " + f.What
	}
	return f.Path + ": " + f.What + "; " + f.Fix
}
