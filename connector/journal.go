package connector

import (
	"context"
	"encoding/json"
	"slices"
	"time"
)

// Journal is what must survive: the `data/` folder. Apply is atomic and durable when it returns; it is called by one goroutine. State is the
// content at opening and may be read once at start. Quarantine methods may be called by any goroutine.
type Journal interface {
	State() *State
	// Apply writes all of r or nothing.
	Apply(ctx context.Context, r *Record) error
	// Quarantine is where what cannot be delivered is kept.
	Quarantine() Quarantine
}

// State is what a Journal held when it was opened.
type State struct {
	// New: nothing was ever recorded here.
	New bool
	// Clean: the last run drained and said so.
	Clean     bool
	Positions []Recorded
	Loads     []LoadState
	Done      []DoneID
	Settling  []Settling
	Held      []HeldDelete
	Brakes    []BrakeState
	Paused    []Pause
	Renamed   []string // deprecated external_ids that still point at a living profile
	Models    []ModelState
	// Entries are open quarantine entries. Only Adopt gives them; those of Quarantine are listed by it.
	Entries []Entry
}

// Record is one atomic step of a Journal. Empty members change nothing.
type Record struct {
	Positions []Recorded
	Loads     []LoadState // put by ID
	DropLoads []string
	Done      []DoneID // remembered until their Stream's recorded position passes them; the Journal prunes
	Settling  []Settling
	Settled   []User
	Held      []HeldDelete
	Released  []User       // held deletes that ended
	Brakes    []BrakeState // put by Model
	Paused    []Pause
	Resumed   []string // models
	Renamed   []string
	Freed     []string
	Models    []ModelState // put by Name
	// Undone are names as in DoneID.Stream of which nothing is remembered as done any more: their topic was replaced by another.
	Undone []string
	// Clean is written as given with every record: true only in the last one of a drained run.
	Clean bool
}

// settled says that a user's settling ended; an earlier word of the same record on it no longer counts.
func (r *Record) settled(u User) {
	r.Settling = slices.DeleteFunc(r.Settling, func(s Settling) bool { return s.User == u })
	r.Settled = append(r.Settled, u)
}

// released says that a held delete ended, likewise.
func (r *Record) released(u User) {
	r.Held = slices.DeleteFunc(r.Held, func(h HeldDelete) bool { return h.User == u })
	r.Released = append(r.Released, u)
}

// LoadState is a load's progress and end.
type LoadState struct {
	Load
	Started  time.Time `json:"started,omitzero"`
	Finished time.Time `json:"finished,omitzero"` // zero while it runs
	Estimate int64     `json:"estimate"`          // of the rows; negative where nobody knows
	// Nulls: the users' profiles may exist already, so NULLs are sent too.
	Nulls bool `json:"nulls"`
	// Resync is set where it brings rows again; nil: the first load, or that after a TRUNCATE.
	Resync *Resync `json:"resync,omitempty"`
	// Paused: nothing of it is read until somebody goes on with it.
	Paused bool `json:"paused"`
	// Cancelled: somebody gave it up, so that Finished is no success.
	Cancelled bool `json:"cancelled"`
	// Closing: its rows are done; who is gone is being told, and marks are being taken away.
	Closing bool  `json:"closing"`
	Sent    int64 `json:"sent"`      // objects that Braze accepted of it
	Same    int64 `json:"unchanged"` // of which nothing had to be sent
	// Mark is the attribute that its users have meanwhile, and Unmarked up to where in their list it was taken away again.
	Mark     string `json:"mark,omitempty"`
	Unmarked int64  `json:"unmarked"`
	// Met is how much its Census had noted; Gone are the deletes held at its end.
	Met  int64 `json:"met"`
	Gone int64 `json:"gone"`

	// For status alone: rows a second, what is left at that speed (0: not known), and rows of which Resync.Where could not be told.
	Rate   float64       `json:"rate"`
	ETA    time.Duration `json:"eta"`
	Unsure int64         `json:"unsure"`
	// Held is how many rows of it this process held back in quarantine.
	Held int64 `json:"held_back"`
}

// DoneID names a change whose delete or rename Braze answered for good.
type DoneID struct {
	Stream string // Lasting
	Table  string
	ID     ChangeID
	Kind   Kind
	User   User
	Model  string // of an event, whose Kind is Track; several models can make one of a change
	// Row stands for the row of an event that a load made: its place in a chunk is another when the chunk is read again. 0: ID names the change.
	Row uint64
	// Refused: it is a rename that Braze refused. It is not sent again, since somebody else may have the old name by then; the new user goes in full.
	Refused bool
}

// Settling is a user whose delete was accepted: nothing is sent before Until. Fields are what came for the user meanwhile, as
// one folded effect whose ticket is already done; nil when nothing did.
type Settling struct {
	User  User
	Until time.Time
	Waits *StoredEffect
	// Part is the partition the delete came from, see PartOf.
	Part string
}

// StoredEffect is an Effect as data/ and quarantine keep it: fields by name, so that it survives a change of the mapping.
type StoredEffect struct {
	Kind       Kind          `json:"kind"`
	User       User          `json:"user"`
	To         User          `json:"to,omitzero"`
	Model      string        `json:"model"`
	Rows       []StoredRow   `json:"rows,omitempty"`
	Fields     []StoredField `json:"fields,omitempty"`
	UpdateOnly bool          `json:"update_only,omitempty"`
	Owner      bool          `json:"owner,omitempty"`
	Creates    bool          `json:"creates,omitempty"`
	Event      *StoredEvent  `json:"event,omitempty"`
}

// StoredEvent is an Event as quarantine keeps it.
type StoredEvent struct {
	Purchase bool            `json:"purchase,omitempty"`
	Name     string          `json:"name"`
	Time     time.Time       `json:"time"`
	JSON     json.RawMessage `json:"json"` // an object
}

// StoredRow names a row behind a StoredEffect.
type StoredRow struct {
	Model string `json:"model"`
	Key   Key    `json:"key"`
	Whole bool   `json:"whole,omitempty"`
}

// StoredField is one field of a StoredEffect.
type StoredField struct {
	Model string          `json:"model"`
	Name  string          `json:"name"`
	JSON  json.RawMessage `json:"json"`
	Omit  bool            `json:"omit,omitempty"`
}

// HeldDelete waits for `confirm`: a delete that must not go out by itself.
type HeldDelete struct {
	User   User
	Model  string
	Key    Key
	Reason string // "brake", "lost data", "gone at the source"
	At     time.Time
	// Part is the partition the delete came from, see PartOf.
	Part string
	// Answer is what a person said: "" nothing yet, AnswerSend, AnswerDrop.
	Answer string
}

// Pause stops a model: its changes count as done and mark it stale, until `confirm` loads it again.
type Pause struct {
	Model  string
	Reason string // "truncate"
	At     time.Time
	Stale  uint64 // changes passed over since
}

// ModelState is what was recorded of a model: whether its before-images are proof, and under which settings.
type ModelState struct {
	Name string
	Hash uint64
	// Proven: a load completed on this slot's unbroken stream.
	Proven bool
	// Unproven names fields whose settings changed since; they have no proof until the next whole row.
	Unproven []string
	// Fields holds each field's FieldDef.Hash by name.
	Fields map[string]uint64
	// Next is when the model's schedule syncs it again, as Schedule (Schedule.Name) says; zero without one.
	Next     time.Time
	Schedule string
}

// SharedJournal is a Journal of which several processes keep a part together, by partition. What belongs to a partition (done changes, settling users, held
// deletes, quarantine entries) is not in State: Adopt gives it to the partition's owner. Its methods may be called concurrently.
type SharedJournal interface {
	Journal
	// Adopt gives what the processes know of a partition that this one was given and reads from an offset on. fresh: the partition's topic was replaced by
	// another of its name, so that nothing was done of it.
	Adopt(ctx context.Context, part string, from uint64, fresh bool) (*State, error)
	// Leave forgets partitions that were taken away.
	Leave(ctx context.Context, parts []string) error
}

// SharedStore is where the processes of a group keep what they share: a compacted topic. Its methods may be called concurrently.
type SharedStore interface {
	// Put stores entries in their order, durably when it returns. After an error some of them may be stored.
	Put(ctx context.Context, entries ...SharedEntry) error
	// Read gives the values whose key begins with prefix. Everything that was put before the call is in it, whoever put it.
	Read(ctx context.Context, prefix string) (map[string][]byte, error)
}

// SharedEntry is a key with its value; a nil Value takes the key away.
type SharedEntry struct {
	Key   string
	Value []byte
}

// Quarantine keeps what cannot be delivered, durably, until someone retries or discards it.
type Quarantine interface {
	// Put stores an entry before it returns and gives its ID. Entries of the same Model and Row replace each other.
	Put(ctx context.Context, e *Entry) (id uint64, err error)
	// Close ends an entry: delivered, retried, discarded, expired.
	Close(ctx context.Context, id uint64, how string) error
	// List gives open entries, oldest first, from the one after id; filter fields that are zero match all.
	List(f EntryFilter) ([]Entry, error)
	// Entry gives one, open or not yet purged.
	Entry(id uint64) (*Entry, error)
	// Counts gives the open entries by model and reason class.
	Counts() map[[2]string]int64
	// NoProof tells users whose entry ended without delivery: what Braze holds of them is not known.
	NoProof() ([]User, error)
	// ClearProof forgets such a mark after a whole row was accepted.
	ClearProof(ctx context.Context, u User) error
	// Expire closes entries older than the retention.
	Expire(ctx context.Context, before time.Time) (int, error)
}

// Entry is one quarantined change.
type Entry struct {
	ID       uint64          `json:"id"`
	At       time.Time       `json:"at"`
	Stream   string          `json:"stream"`
	Offset   uint64          `json:"offset"`
	Change   ChangeID        `json:"change"`
	Model    string          `json:"model"`
	Op       string          `json:"op"`
	Time     time.Time       `json:"time,omitzero"` // of the change, where it told one
	Key      Key             `json:"key"`
	User     User            `json:"user"`
	Class    string          `json:"class"`  // from a closed list: rejected, attempts, mapping, undecodable, identity, rename, unknown
	Reason   string          `json:"reason"` // a sentence
	Field    string          `json:"field,omitempty"`
	Before   json.RawMessage `json:"before,omitempty"` // column -> text, null; absent columns left out
	After    json.RawMessage `json:"after,omitempty"`
	Effect   *StoredEffect   `json:"effect,omitempty"`
	Original *Original       `json:"original,omitempty"` // the record, where it could not be decoded or is kept in a topic
	Attempts int             `json:"attempts"`
	Closed   string          `json:"closed,omitempty"` // how it ended
	ClosedAt time.Time       `json:"closed_at,omitzero"`
}

// EntryFilter picks quarantine entries.
type EntryFilter struct {
	Model, Class string
	User         User
	Row          Key
	// Group is the EntryGroup.ID of open entries; Since and Until are when they came, Until not included.
	Group        string
	Since, Until time.Time
	After        uint64
	// UpTo is the number of the last entry; 0: the newest.
	UpTo   uint64
	Limit  int
	Closed bool // also those that ended
}

// Fingerprints is the `cache/` folder: what Braze last accepted, and which user a row was mapped to. It may be lost at any time; then
// everything in it is unknown. Methods may be called concurrently.
type Fingerprints interface {
	// RowUser gives the user a row of a model was last accepted under.
	RowUser(model string, key Key) (User, bool, error)
	// Prints appends the fingerprints of what Braze last accepted of a user by one model, sorted by Leaf, or ok false where nothing is known.
	Prints(dst []Print, u User, model string) (prints []Print, ok bool, err error)
	// PrintsOf is Prints for several users by one look: found is called for each that is known, with prints that the caller may keep.
	PrintsOf(model string, users []User, found func(i int, prints []Print)) error
	// Write stores what was accepted; it is durable only after Sync. Both slices, and the Prints in them, are the caller's again when it returns.
	Write(rows []RowPut, prints []PrintPut) error
	// Sync makes everything written so far durable and notes that it covers these positions.
	Sync(covers []Position) error
	// Covered gives the positions of the last Sync.
	Covered() []Position
	// Drop forgets everything of a model ("" all).
	Drop(model string) error
	// DropPart forgets everything that was written under a Part: another process went on with that partition.
	DropPart(part string) error
}

// RowPut is one row's accepted state, or its end.
type RowPut struct {
	Model string
	Key   Key
	User  User
	Gone  bool
	// Part is the partition that the row came from (PartOf its Stream), "" where the source has none.
	Part string
}

// Print is the fingerprint of one leaf: of a field, or of a member inside a nested object.
type Print struct {
	Leaf uint32 // names the leaf, its field's settings included; unique within a PrintPut
	Sum  uint64 // of the value as it was sent
}

// PrintPut is all that is known of what Braze holds of a user by one model. It replaces what was known.
type PrintPut struct {
	Model  string
	User   User
	Prints []Print // sorted by Leaf; nil: nothing is known any more
	Part   string  // as in RowPut
}
