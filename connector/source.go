package connector

import (
	"context"
	"strings"
	"time"
)

// Position is a place in a Stream: for a slot, a commit's end LSN; for a topic's partition, the offset after the last record; for a load, the number
// of the chunk. Positions are ordered within one Stream only. A Stream is a slot, one assignment of a partition, or one load, so that a late
// acknowledgement for a revoked assignment is recognised and ignored.
type Position struct {
	Stream string
	Offset uint64
}

// PartOf gives what stays the same over all assignments of a partition: "TOPIC/PARTITION" of the Stream "TOPIC/PARTITION@N". Streams that are no assignments
// belong to the whole process and give "".
func PartOf(stream string) string {
	at := strings.LastIndexByte(stream, '@')
	if at < 1 || at == len(stream)-1 {
		return ""
	}
	for _, c := range stream[at+1:] {
		if c < '0' || c > '9' {
			return ""
		}
	}
	return stream[:at]
}

// Lasting is the name under which is remembered what was done on a stream: the partition of an assignment, since a later one hands the same changes out
// again; else the stream itself.
func Lasting(stream string) string {
	if part := PartOf(stream); part != "" {
		return part
	}
	return stream
}

// Batch is what a Source hands over and the pipeline acknowledges: Position may be committed once every change of this batch and of all earlier
// batches of its Stream is done. Parts of one large transaction repeat the last committable Position; only the last part advances it. A batch without
// changes (keep-alive, an empty transaction) advances it too.
type Batch struct {
	Position Position
	Changes  []Change
	// Replayed: an earlier run may already have sent these changes (their position is at or below the log's end at start or assignment).
	Replayed bool
	// Memo is the source's own note, recorded with Position and handed back in Start. Nil keeps the last one.
	Memo []byte
	// Traces are the W3C traceparents that its records carry, where somebody traces; empty ones are left out.
	Traces []string
	// Load is set on a chunk of a load: recorded with the chunk's Position once its rows are done.
	Load *LoadProgress
	// Of is the stream of the partition that the rows of a load's chunk came from; empty: they belong to no partition.
	Of string
}

// LoadProgress is how far a load has come after a chunk.
type LoadProgress struct {
	Load   string // Load.ID
	Cursor []byte // opaque to all but the source; empty before the first chunk
	Rows   int64  // read so far
	Done   bool
}

// Load asks a Source to read a whole table by chunks beside the stream.
type Load struct {
	ID    string `json:"id"` // unique; chunk batches have the Stream "load/ID"
	Model string `json:"model"`
	Table string `json:"table"`
	// Keys are the Key.ID of the only rows to read; empty: all of the table. Keys are values, and no status has any.
	Keys   []string `json:"-"`
	Cursor []byte   `json:"-"` // where an earlier run stopped
	Rows   int64    `json:"rows"`
	// Share of the time, in percent, in which chunks of it are read and delivered; 0: all of it.
	Share int `json:"share"`
}

// Recorded is a position as the Journal holds it.
type Recorded struct {
	Position Position
	Memo     []byte
}

// Start is what a Source needs to begin: what was recorded, which tables to read, which loads are unfinished.
type Start struct {
	Recorded []Recorded
	Tables   []string
	Loads    []Load
	// Creating is called before a slot is made, with its Stream, and notes that durably as a recorded Offset of 0: a start that finds the slot and that
	// note knows that its own earlier attempt made it. Nil: nobody notes it.
	Creating func(ctx context.Context, stream string) error
}

// Opened is what a Source found when it started.
type Opened struct {
	// Fresh: the slot (or group) was made by this start, or by an earlier one that never recorded a position.
	Fresh bool
	// Shared: positions are kept by the group, so that an empty data/ is that of a new member and no loss.
	Shared bool
	// Gaps names streams whose server position is ahead of the record: changes between were never seen here.
	Gaps []string
	// From is where reading starts, by stream.
	From []Position
	// Note is one sentence for the operator: slot, publication, server version.
	Note string
}

// Source reads row changes. Open, Next and Close are called by one goroutine; Commit, Loads, Rows, Describe and Health by any, at any time after Open.
// A Source reconnects by itself; an error of Next other than the context's is final and tells the operator what to do (see ExitCoder).
type Source interface {
	// Open connects, checks, creates what is missing and may be created, and starts reading behind what was recorded.
	Open(ctx context.Context, start Start) (Opened, error)
	// Next waits for the next batch. Batches of one Stream come in order. Its data stays valid after the next call.
	Next(ctx context.Context) (Batch, error)
	// Commit says that everything up to p is recorded as done. It only stores a number and returns at once; the connection's owner
	// sends it. Positions never go back.
	Commit(p Position)
	// StartLoad begins or continues a load; its chunks come out of Next among the others. A source without loads gives ErrNoLoads.
	StartLoad(ctx context.Context, l Load) error
	// Health tells connection, lag and retained log, for /readyz, /metrics and status.
	Health() SourceHealth
	// Close sends the last committed positions and ends the connection.
	Close(ctx context.Context) error

	Reader
}

// Reader reads living rows, outside the stream. All methods may be called concurrently.
type Reader interface {
	// Rows gives rows of q.Table as a snapshot sees them in which every transaction that Next has handed out so far is visible. Its values are
	// therefore not older than any change handed out before the call. A source that has no living rows gives ErrNotReadable.
	Rows(ctx context.Context, q Query) ([]Row, error)
	// Describe gives a table's present shape, or an error that names the nearest table.
	Describe(ctx context.Context, table string) (*Table, error)
}

// Query picks rows of one table.
type Query struct {
	Table string
	Where []Equal // all must hold; none means any row
	Limit int     // 0: no limit
}

// Equal compares a column's text form with a value.
type Equal struct {
	Column string
	Text   string
	// Fold: blanks around the column's text, and small or capital letters, make no difference, as in an e-mail address.
	Fold bool
}

// SourceHealth is a Source's view of itself at one moment.
type SourceHealth struct {
	Connected     bool      `json:"connected"`
	Since         time.Time `json:"since,omitzero"`       // of the present state
	Err           string    `json:"error,omitempty"`      // why it is not connected
	Waiting       string    `json:"waiting,omitempty"`    // what it waits for, in a sentence ("the slot is used by process 4711"), else empty
	Standby       bool      `json:"standby,omitempty"`    // it waits because another process works, and takes over when that ends
	LastChange    time.Time `json:"last_change,omitzero"` // commit time of the newest change handed out
	LastHeartbeat time.Time `json:"last_heartbeat,omitzero"`
	LagBytes      int64     `json:"lag_bytes"`      // log not yet handed out; negative when unknown
	RetainedBytes int64     `json:"retained_bytes"` // log the server keeps for us; negative when unknown
	SafeBytes     int64     `json:"safe_bytes"`     // until the slot is lost; negative when unlimited or unknown
	SlotStatus    string    `json:"slot_status,omitempty"`
	Reconnects    uint64    `json:"reconnects"`
	// ReconnectsBy counts them by why the connection before ended, from a closed list of the source.
	ReconnectsBy map[string]uint64 `json:"reconnects_by,omitempty"`
	Bytes        uint64            `json:"bytes"` // received
	// Members is how many processes share the work, as in a group of consumers, and Member which of them this one is, from 1; 0: not known, or it works alone.
	Members int `json:"members,omitempty"`
	Member  int `json:"member,omitempty"`
	// PassedOver counts records that carried no change, by why, from a closed list of their decoder.
	PassedOver map[string]uint64 `json:"passed_over,omitempty"`
	Skipped    uint64            `json:"skipped_replays"` // changes the server sent again after a reconnect, which were not handed out twice
}
