package connector

import (
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
)

// Op is what happened to a row.
type Op uint8

// The operations a Change can carry. Snapshot is a row read by a load or re-sync, not a change of the stream.
const (
	Insert Op = iota + 1
	Update
	Delete
	Truncate
	Snapshot
)

// String gives the operation in lower case, as logs, metrics and quarantine show it.
func (o Op) String() string {
	switch o {
	case Insert:
		return "insert"
	case Update:
		return "update"
	case Delete:
		return "delete"
	case Truncate:
		return "truncate"
	case Snapshot:
		return "snapshot"
	}
	return "unknown"
}

// CellState tells whether a row image knows a column's value.
type CellState uint8

// The states of a Cell. Absent: this image does not carry the column (unchanged TOAST, a key-only image); it says nothing about the
// column's value and must never be read as NULL.
const (
	Absent CellState = iota
	Null
	Set
)

// Cell is one column of one row image, not yet decoded. Raw is in the source's own encoding and is meaningful only together with the
// Column it belongs to; two Set cells of one Table with equal Raw hold equal values.
type Cell struct {
	State CellState
	Raw   string
}

// Column describes one column of a Table.
type Column struct {
	Name     string
	TypeName string                          // as the source names it, "numeric(12,2)"; for messages
	Kind     ValueKind                       // what Decode yields for a set value
	Key      bool                            // part of the key that Change.Key is made of
	NotNull  bool                            // declared NOT NULL
	Decode   func(raw string) (Value, error) // from Cell.Raw; may be called concurrently; never panics
}

// Identity is a table's replica identity: which columns the old image of an update or delete carries.
type Identity uint8

// The replica identities of Postgres. A Kafka topic is IdentityDefault unless its before-images proved complete.
const (
	IdentityDefault Identity = iota
	IdentityFull
	IdentityIndex
	IdentityNothing
)

// Table is one version of a table's shape, shared by all rows read under it. It is immutable once it was handed out; another shape is
// another Table, so that a *Table can key caches of compiled plans.
type Table struct {
	Name     string // "public.users", or the topic
	Columns  []Column
	Identity Identity
	Unique   [][]int // column indexes of unique keys without NULLs or expressions, primary key first
	Rows     int64   // the source's estimate; negative when unknown
}

// Column gives the index of the named column, or -1.
func (t *Table) Column(name string) int {
	for i := range t.Columns {
		if t.Columns[i].Name == name {
			return i
		}
	}
	return -1
}

// Row is one image of a row: cells beside its table's columns, in the same order. The zero Row is "no image".
type Row struct {
	Table *Table
	Cells []Cell
}

// Exists tells whether there is an image at all.
func (r Row) Exists() bool { return r.Table != nil }

// Value decodes column i. A NULL cell gives KindNull; an absent one gives ok == false.
func (r Row) Value(i int) (v Value, ok bool, err error) {
	switch c := r.Cells[i]; c.State {
	case Absent:
		return Value{}, false, nil
	case Null:
		return Value{}, true, nil
	default:
		v, err = r.Table.Columns[i].Decode(c.Raw)
		return v, true, err
	}
}

// Key identifies a row: its table and its key columns' values, joined so that different keys give different IDs. It is comparable.
type Key struct {
	Table string `json:"table"`
	ID    string `json:"id"`
}

// ChangeID tells one row change from all others of its Stream: the commit's LSN as the transaction's begin names it (the end LSN is known
// only at its last message), and the n-th change of that table in the committed transaction, counted before any filter. For Kafka, Commit is the
// offset and N is 0. An LSN alone is no identity: BEGIN, COPY and commits share theirs with others.
type ChangeID struct {
	Commit uint64 `json:"commit"`
	N      uint32 `json:"n"`
}

// Place is where a change is found at its source, for logs and people.
type Place struct {
	Stream string
	Commit uint64 // of its ChangeID, or a position of the stream
}

// OfSlot tells whether it is a place in a database's log.
func (p Place) OfSlot() bool { return strings.HasPrefix(p.Stream, "slot/") }

// String is the LSN as Postgres prints it, the offset in a topic's partition, or the number of a load's chunk.
func (p Place) String() string {
	if p.OfSlot() {
		return fmt.Sprintf("%X/%X", p.Commit>>32, uint32(p.Commit))
	}
	return strconv.FormatUint(p.Commit, 10)
}

// LogValue is String for a database's log, else the number.
func (p Place) LogValue() slog.Value {
	if p.OfSlot() {
		return slog.StringValue(p.String())
	}
	return slog.Uint64Value(p.Commit)
}

// Change is one row of one committed transaction, or one row of a load (Op Snapshot). Before is what the source proves of the old row, possibly
// only its key; After is absent in a Delete. A Truncate carries only Key.Table. It is not modified after the source handed it out.
type Change struct {
	Key    Key
	OldKey Key // the key before an update that changed it, else zero
	Op     Op
	Before Row
	After  Row
	Time   time.Time // of the commit
	ID     ChangeID
	// Initial: the change lay in the log when its source was first read, as a load's rows lie in their table. It is in order with those that follow, and goes
	// behind other users' live changes.
	Initial bool
}
