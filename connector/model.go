package connector

import (
	"regexp"
	"time"
)

// Model is one entry of `models` in the configuration file, as written, defaults filled in. connector/config reads and checks what can be checked
// without a database; connector/mapping compiles it against the table's columns. It is plain data.
type Model struct {
	Name            string   `yaml:"name"`
	Kind            string   `yaml:"kind"` // users | events | purchases | subscriptions | catalog
	Table           string   `yaml:"table"`
	Topic           string   `yaml:"topic"`
	TopicPattern    string   `yaml:"topic.pattern"` // of whole names, in the place of Topic; all topics it matches feed the model
	Mode            string   `yaml:"mode"`          // sync | additive | enrich
	Load            string   `yaml:"load"`          // all | none
	LoadConsent     bool     `yaml:"load_consent"`
	OwnsUsers       bool     `yaml:"owns_users"`
	Identify        Identify `yaml:"identify"`
	OnIDChange      string   `yaml:"on_id_change"`     // rename | create | stop
	ReplicaIdentity string   `yaml:"replica_identity"` // auto | full
	// ColumnTypes are the types of columns whose records do not tell them, as envelope.CheckType takes them; KeyColumn is the column that a record key without
	// a name stands for, and KeyFormat how that key is written. All are of a topic.
	ColumnTypes    map[string]string `yaml:"columns"`
	KeyColumn      string            `yaml:"key_column"`
	KeyFormat      string            `yaml:"key_format"` // auto | text | integer; "" is auto
	Filter         string            `yaml:"filter"`
	OnLeave        string            `yaml:"on_leave"` // keep | unset | delete
	DeleteWhen     string            `yaml:"delete_when"`
	OnDeleteGroups string            `yaml:"on_delete_groups"` // keep | unsubscribe
	Deletes        Brake             `yaml:"deletes"`

	// Fields and Custom keep the file's order.
	Fields []FieldMap `yaml:"fields"`
	Custom []FieldMap `yaml:"custom"`
	// Groups are the subscription groups of a model of users (subscription_groups) or of subscriptions (groups).
	Groups    []GroupMap    `yaml:"subscription_groups"`
	Audiences []AudienceMap `yaml:"audiences"`
	// Event is what a row of events or purchases becomes.
	Event EventMap `yaml:"-"`
	// Schedule is when the rows are synced again by themselves; nil: never.
	Schedule *ScheduleMap `yaml:"schedule"`
	// Catalog is the catalog whose items the rows are; Fields are its fields.
	Catalog string `yaml:"catalog"`

	// Path is where the model stands in the file ("models[0]"), for faults.
	Path string `yaml:"-"`
}

// Relation is the table, the topic, or the pattern of topics whose rows are the model's.
func (m *Model) Relation() string {
	switch {
	case m.Table != "":
		return m.Table
	case m.Topic != "":
		return m.Topic
	}
	return m.TopicPattern
}

// Reads gives a function that tells whether a topic's rows are the model's. It compiles the pattern, so it is made once and kept; a pattern that is no regular
// expression matches nothing.
func (m *Model) Reads() func(topic string) bool {
	if m.TopicPattern == "" {
		return func(topic string) bool { return m.Topic != "" && topic == m.Topic }
	}
	whole, err := regexp.Compile(Whole(m.TopicPattern))
	if err != nil {
		return func(string) bool { return false }
	}
	return whole.MatchString
}

// Whole makes a regular expression of one that is meant to match whole names.
func Whole(pattern string) string { return "^(?:" + pattern + ")$" }

// Identify names the user a row belongs to; the members that are set count, in the order external_id, alias, email, phone.
type Identify struct {
	ExternalID ValueFrom `yaml:"external_id"`
	AliasLabel string    `yaml:"alias.label"`
	AliasName  string    `yaml:"alias.name"` // column
	Email      string    `yaml:"email"`      // column
	Phone      string    `yaml:"phone"`      // column
	// PhoneCountry is where phone numbers without + are from, ISO 3166-1 alpha-2; empty: they name nobody.
	PhoneCountry string `yaml:"phone.country"`
	// KeepBlanks sends an external_id with the blanks around it; else they are dropped with a note.
	KeepBlanks bool `yaml:"external_id.blanks"`
	// ItemID are the parts of a catalog item's id, in the place of all others.
	ItemID []ValueFrom `yaml:"item_id"`
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
	// Latitude and Longitude are the two columns of a current_location, in the place of one column, expression or value.
	Latitude  string `yaml:"latitude"`
	Longitude string `yaml:"longitude"`
	// WhenTrue is what true means for email_subscribe and push_subscribe: subscribed (the default) or opted_in.
	WhenTrue string `yaml:"when_true"`
	// Resubscribe says when those fields may send subscribed or opted_in beside new rows: on_change (the default), never, always.
	Resubscribe string `yaml:"resubscribe"`
	Nested      string `yaml:"nested"` // merge | replace
	Array       string `yaml:"array"`  // replace | add_remove | by
	ArrayBy     string `yaml:"-"`      // identifier key of array: {by: id}
	Collect     bool   `yaml:"collect"`
	Path        string `yaml:"-"` // where it stands in the file ("models[0].custom.plan")
}

// GroupMap keeps one subscription group's state, by a column of consent or by a rule: exactly one of Subscribed and When is set.
type GroupMap struct {
	Group      string `yaml:"group"` // the name under braze.subscription_groups
	ID         string `yaml:"-"`     // what it stands for there
	Subscribed string `yaml:"subscribed"`
	When       string `yaml:"when"`
	// OnLeave is what becomes of a user whom the rule no longer includes: keep (the default) or unsubscribe. With unsubscribe the rows of a load that the rule
	// excludes unsubscribe too.
	OnLeave     string `yaml:"on_leave"`
	Resubscribe string `yaml:"resubscribe"` // as for email_subscribe
	Path        string `yaml:"-"`
}

// AudienceMap keeps a boolean attribute by a rule. Where the rule is NULL the attribute stays as it is.
type AudienceMap struct {
	Attribute string `yaml:"attribute"`
	When      string `yaml:"when"`
	Path      string `yaml:"-"`
}

// ScheduleMap is when a model is synced again, and how.
type ScheduleMap struct {
	Cron   string `yaml:"cron"`      // five fields, as in crontab(5)
	Zone   string `yaml:"time_zone"` // IANA name of the zone whose clock counts
	Resync string `yaml:"resync"`    // differences | all
	Path   string `yaml:"-"`
}

// EventMap says what a row of events or purchases becomes (Braze docs, "Event object", "Purchase object").
type EventMap struct {
	Ops  []string `yaml:"ops"`  // insert, update; empty: insert
	When string   `yaml:"when"` // a rule, in which becomes(column, value) may stand
	// Name is the event's name, or the purchase's product_id.
	Name NameFrom `yaml:"name"`
	// Time is when it happened; without it the time of the commit.
	Time ValueFrom `yaml:"time"`
	// MaxAge is how old an event may be to be sent; 0 means DefaultMaxAge.
	MaxAge time.Duration `yaml:"max_age"`
	// DropUnknown lets mode enrich lose the events of users whom Braze does not know.
	DropUnknown bool `yaml:"drop_unknown"`
	// Currency, Price and Quantity are a purchase's; without Quantity it is 1.
	Currency   ValueFrom     `yaml:"currency"`
	Price      ValueFrom     `yaml:"price"`
	Quantity   ValueFrom     `yaml:"quantity"`
	Properties []PropertyMap `yaml:"properties"`
	Path       string        `yaml:"-"` // of event or purchase
}

// DefaultMaxAge is how old an event may be where its model does not say: older ones would start campaigns about what is long past.
const DefaultMaxAge = 24 * time.Hour

// NameFrom is a constant, or a column whose values are held against a closed list: Braze bars users with too many names of events or products.
type NameFrom struct {
	Value  string   `yaml:"value"`
	Column string   `yaml:"column"`
	OneOf  []string `yaml:"one_of"`
}

// PropertyMap is one property of an event. Where Each is set it is an array of objects, made of those that a JSON column holds: then the columns of Fields
// are the members of each of these.
type PropertyMap struct {
	FieldMap
	Each   string        `yaml:"each"`
	Fields []PropertyMap `yaml:"fields"`
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
