package connector

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"time"
)

// IDKind is how a user is named in Braze.
type IDKind uint8

// The identifiers of Braze's user objects (Braze docs, "User attributes object").
const (
	ExternalID IDKind = iota
	Alias             // Label is the alias label
	Email
	Phone
	// Item is no user: an item of a catalog, which Label names. It has a place in the queue like a user.
	Item
)

var idKindNames = []string{ExternalID: "external_id", Alias: "alias", Email: "email", Phone: "phone", Item: "item"}

// String gives the identifier's name, as JSON and messages show it.
func (k IDKind) String() string { return nameOf(idKindNames, k) }

// MarshalText implements encoding.TextMarshaler.
func (k IDKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *IDKind) UnmarshalText(text []byte) (err error) {
	*k, err = named[IDKind](idKindNames, text)
	return err
}

func nameOf[K ~uint8](names []string, k K) string {
	if int(k) < len(names) {
		return names[k]
	}
	return "unknown"
}

// named is the reverse of nameOf.
func named[K ~uint8](names []string, text []byte) (K, error) {
	if i := slices.Index(names, string(text)); i >= 0 {
		return K(i), nil
	}
	return 0, fmt.Errorf("%q is none of %s", text, strings.Join(names, ", "))
}

// User names one Braze user. It is comparable; the case of ID is kept exactly.
type User struct {
	Kind  IDKind `json:"kind"`
	ID    string `json:"id"`
	Label string `json:"label,omitempty"` // of an alias; the catalog of an item
}

// Kind is what an Effect asks of Braze; each kind belongs to one endpoint.
type Kind uint8

// The kinds of Effects. Free takes a deprecated external_id away (/users/external_ids/remove); the pipeline makes it, no mapping does.
const (
	Track Kind = iota
	DeleteUser
	Rename
	Free
	Subscribe  // states of subscription groups alone (/v2/subscription/status/set)
	PutItem    // /catalogs/NAME/items by PUT, which creates and replaces
	DeleteItem // the same by DELETE
	Kinds      // how many there are
)

var kindNames = []string{Track: "track", DeleteUser: "delete", Rename: "rename", Free: "free", Subscribe: "subscribe", PutItem: "put_item", DeleteItem: "delete_item"}

// String gives the kind's name in logs, metrics and quarantine.
func (k Kind) String() string { return nameOf(kindNames, k) }

// MarshalText implements encoding.TextMarshaler.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *Kind) UnmarshalText(text []byte) (err error) {
	*k, err = named[Kind](kindNames, text)
	return err
}

// AttrType is the type that Braze gives a custom attribute by its first value, or that its dashboard forces; other values are ignored without an error
// (Braze docs, "Custom attribute data types").
type AttrType uint8

// The types of custom attributes.
const (
	AnyType AttrType = iota
	StringType
	NumberType
	BoolType
	TimeType
	ArrayType   // of scalars
	ObjectType  // nested
	ObjectsType // an array of objects
)

var attrTypes = [...]string{"any", "string", "number", "boolean", "date", "array", "object", "object_array"}

// String gives the type's name as GET /custom_attributes writes it in data_type.
func (t AttrType) String() string {
	if int(t) < len(attrTypes) {
		return attrTypes[t]
	}
	return "unknown"
}

// AttrTypeOf reads a data_type of GET /custom_attributes; AnyType where it is not known.
func AttrTypeOf(name string) AttrType {
	for i, n := range attrTypes {
		if n == name {
			return AttrType(i)
		}
	}
	return AnyType
}

// ArrayMode is how a changed array is sent.
type ArrayMode uint8

// The ways to send a changed array (Braze docs, "Array custom attributes", "Array of objects"). Where the old value is not known all of them send it whole,
// but for ArrayCollect, whose values are never whole: each row adds or takes out one.
const (
	ArrayWhole     ArrayMode = iota
	ArrayAddRemove           // {"add": [...]} or {"remove": [...]}
	ArrayBy                  // {"$add": ..., "$update": ..., "$remove": ...} by an identifier key
	ArrayCollect             // Field.JSON is {"add": [...], "remove": [...]} itself
)

// FieldDef is one field a mapping writes. There is one FieldDef per model and field for as long as a mapping lives; fields are told apart by pointer.
type FieldDef struct {
	Name  string // the profile field or custom attribute
	JSON  []byte // `"name":`, ready to append to an object
	Model int    // index of the model in the configuration
	Order int    // unique over all models; fields of an Effect are sorted by it
	Free  bool   // costs no data point
	// NoNull: Braze has no empty state for the field, so it is never set to null (email_subscribe, push_subscribe, push_tokens).
	NoNull bool
	// Merge: an object of which only the changed leaves are sent (_merge_objects); else it is replaced as a whole.
	Merge bool
	// Array says how an array is sent of which the old value is known; By is the key that tells objects apart with ArrayBy.
	Array ArrayMode
	By    string
	// Group makes the field the state of that subscription group, "subscribed" or "unsubscribed", inside the profile's object.
	Group string
	// Resets is the state of consent that Braze forgets when this field, the address, is new; nil where no model writes it, and in all other fields.
	Resets *FieldDef
	// Type is what the field's settings and its column say of its values; AnyType where each row decides, and for Braze's own fields.
	Type AttrType
	// Hash is a stable fingerprint of the field's settings; it changes when the configuration of the field does.
	Hash uint64

	place uint32 // where fingerprints are looked for, see prints.go
}

// Proof says what a before-image proves about a field.
type Proof uint8

// NoProof: the old value is unknown. Changed: Field.Was is the old value's hash. Unchanged: old and new value are equal.
const (
	NoProof Proof = iota
	Changed
	Unchanged
)

// Field is one mapped value, encoded once. JSON is never modified in place.
type Field struct {
	Def  *FieldDef
	JSON []byte
	Was  uint64 // HashJSON of the value before, where Proof is Changed
	// Old is the value before, where Proof is Changed and the field is sent by what differs (Merge, Array); nil elsewhere. Few fields have one, and every
	// open change has its fields, so it stands apart.
	Old   *[]byte
	Proof Proof
	// Omit: a NULL that need not be sent because the profile is new (insert, load). A null that must be sent has Omit false.
	Omit bool
	// Again: it goes although Braze may hold it, since what was before was not sent.
	Again bool
	// Varied: values that differ were folded into it, one of which may have been sent.
	Varied bool
}

var hashSeed = maphash.MakeSeed()

// HashJSON is a process-local 64-bit hash of an encoded value, for comparing values inside one run.
func HashJSON(b []byte) uint64 { return maphash.Bytes(hashSeed, b) }

// Effect is what one Change asks for one user. It carries the whole mapped row and, per field, what is proved about it; what is left out
// because Braze has it is decided when it leaves its queue, not before.
type Effect struct {
	User   User
	To     User // Rename: the new name
	Kind   Kind
	Model  int     // index in the configuration
	Key    Key     // of the row
	Fields []Field // sorted by Def.Order
	// UpdateOnly: never create a profile for it (enrich, unsets).
	UpdateOnly bool
	// Merge: objects among the fields hold only what changed of them, and are merged into what Braze has (_merge_objects).
	Merge bool
	// Owner: its model owns the user's existence.
	Owner bool
	// Creates: the row is new or starts the profile, so the user is sent even when no field is.
	Creates bool
	// Whole: every mapped field of the model is present, so that accepting it makes the row known.
	Whole bool
	// Ends: after this effect the row is nothing for its model any more (it left the filter, or was deleted): its user is forgotten.
	Ends bool
	// Verify: before this delete or rename leaves, look whether a living row of the owner has the id (no unique key covers it).
	Verify bool
	// Event makes a Track an event or purchase of the user in the place of attributes: it has no Fields, never folds, and may not be sent twice.
	Event  *Event
	Change *Change
	Left   []FieldNote // fields that were left out of it
}

// Event is one event or purchase. It is not modified once it was made.
type Event struct {
	Purchase bool
	// JSON are the object's members but for the identifier: `"name":"x","time":"2026-11-01T00:00:00Z"`.
	JSON []byte
	Name string // the event's name, or the product_id, for people
	// Time is when it happened; Old means that it is older than the model's max_age, so that it is kept back.
	Time time.Time
	Old  bool
}

// ModelInfo is what the pipeline must know of a model.
type ModelInfo struct {
	Name string
	// Table is the table or topic of the model's rows; where Feeds is set, what its topics are called by, for people.
	Table string
	// Feeds tells, where several topics feed the model, whether a topic's rows are its own. It may be called concurrently. Nil: those of Table alone.
	Feeds func(table string) bool
	Owner bool // owns its users' existence
	// ProofAllowed: before-images may be used at all (not in enrich).
	ProofAllowed bool
	// PrintsAllowed: what was accepted may be remembered and left out next time (not in enrich, where nobody knows whether the profile is there).
	PrintsAllowed bool
	// IDFromKey: the row key determines the user, so key -> external_id need not be stored.
	IDFromKey bool
	// IDColumn is the column that is the external_id, "" where it is an expression: then rows of a user cannot be looked up.
	IDColumn string
	// EmailColumn is the column of the addresses that name users, where the model names some of them so.
	EmailColumn string
	// IDUnique: a unique key of the table covers the external_id, so two living rows never share it.
	IDUnique bool
	Load     bool // load: all
	// Rows is the Kind that a living row becomes. Happens: it is an event, of which none may be sent again.
	Rows    Kind
	Happens bool
	MaxAge  time.Duration // of its events
	// Deletes: a row that is gone at the source deletes its user.
	Deletes bool
	Filter  bool // has a filter or delete_when, so whether a row was sent matters
	// Brake holds mass deletes back; without a Window nothing does.
	Brake Brake
	// Hash changes with anything of the model that decides what is sent, but for its fields, which have hashes of their own.
	Hash uint64
	// Fields are the model's fields, sorted by Order.
	Fields []*FieldDef
}

// On tells whether the rows of a table or topic are the model's.
func (m *ModelInfo) On(table string) bool {
	if m.Feeds != nil {
		return m.Feeds(table)
	}
	return m.Table == table
}

// Mapper turns a Change into Effects. Map is called by one goroutine; the other methods by any.
type Mapper interface {
	// Models lists the models in the order of the configuration; Effect.Model indexes it.
	Models() []ModelInfo
	// Map appends the effects of c. A *NeedRowError asks for the living row; a *RowError is for quarantine: the row's change is kept with its
	// reason, while the effects of the table's other models count (several models' RowErrors come as errors.Join gives them). Anything else stops the
	// pipeline, and the effects appended so far are dropped.
	Map(dst []Effect, c *Change, ids IDs) ([]Effect, error)
	// MapRow maps a living row of a model that is read again as a whole row. It sends no events, and nobody's consent.
	MapRow(dst []Effect, model int, r Row, at time.Time) ([]Effect, error)
	// MapLoad is MapRow for the rows of a load, which may send events, and consent where the model's load_consent says so.
	MapLoad(dst []Effect, model int, r Row, at time.Time) ([]Effect, error)
}

// IDs answers which user a row was last mapped to in this pipeline.
type IDs interface {
	// User gives the user of a row of a model; ok is false where it is not known.
	User(model int, key Key) (u User, ok bool)
}
