package connector

import (
	"hash/maphash"
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
)

// User names one Braze user. It is comparable; the case of ID is kept exactly.
type User struct {
	Kind  IDKind
	ID    string
	Label string // of an alias
}

// Kind is what an Effect asks of Braze; each kind belongs to one endpoint.
type Kind uint8

// The kinds of Effects. Free takes a deprecated external_id away (/users/external_ids/remove); the pipeline makes it, no mapping does.
const (
	Track Kind = iota
	DeleteUser
	Rename
	Free
	Kinds // how many there are
)

// String gives the kind's name in logs, metrics and quarantine.
func (k Kind) String() string {
	switch k {
	case Track:
		return "track"
	case DeleteUser:
		return "delete"
	case Rename:
		return "rename"
	case Free:
		return "free"
	}
	return "unknown"
}

// FieldDef is one field a mapping writes. There is one FieldDef per model and field for as long as a mapping lives; fields are told apart by pointer.
type FieldDef struct {
	Name  string // the profile field or custom attribute
	JSON  []byte // `"name":`, ready to append to an object
	Model int    // index of the model in the configuration
	Order int    // unique over all models; fields of an Effect are sorted by it
	Free  bool   // costs no data point
	// Hash is a stable fingerprint of the field's settings; it changes when the configuration of the field does.
	Hash uint64
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
	Def   *FieldDef
	JSON  []byte
	Was   uint64 // HashJSON of the value before, where Proof is Changed
	Proof Proof
	// Omit: a NULL that need not be sent because the profile is new (insert, load). A null that must be sent has Omit false.
	Omit bool
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
	Change *Change
}

// ModelInfo is what the pipeline must know of a model.
type ModelInfo struct {
	Name  string
	Table string
	Owner bool // owns its users' existence
	// ProofAllowed: before-images may be used at all (not in enrich).
	ProofAllowed bool
	// IDFromKey: the row key determines the user, so key -> external_id need not be stored.
	IDFromKey bool
	// IDColumn is the column that is the external_id, "" where it is an expression: then rows of a user cannot be looked up.
	IDColumn string
	// IDUnique: a unique key of the table covers the external_id, so two living rows never share it.
	IDUnique bool
	Load     bool // load: all
	Filter   bool // has a filter or delete_when, so whether a row was sent matters
	// Hash changes with anything of the model that decides what is sent, but for its fields, which have hashes of their own.
	Hash uint64
	// Fields are the model's fields, sorted by Order.
	Fields []*FieldDef
}

// Mapper turns a Change into Effects. Map is called by one goroutine; the other methods by any.
type Mapper interface {
	// Models lists the models in the order of the configuration; Effect.Model indexes it.
	Models() []ModelInfo
	// Map appends the effects of c. A *NeedRowError asks for the living row; a *RowError is for quarantine: the row's change is kept with its
	// reason, while the effects of the table's other models count (several models' RowErrors come as errors.Join gives them). Anything else stops the
	// pipeline, and the effects appended so far are dropped.
	Map(dst []Effect, c *Change, ids IDs) ([]Effect, error)
	// MapRow maps a living row of a model as a whole row; op is Snapshot for loads and re-reads.
	MapRow(dst []Effect, model int, r Row, at time.Time) ([]Effect, error)
}

// IDs answers which user a row was last mapped to in this pipeline.
type IDs interface {
	// User gives the user of a row of a model; ok is false where it is not known.
	User(model int, key Key) (u User, ok bool)
}
