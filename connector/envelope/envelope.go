// Package envelope turns the bytes of a Kafka topic's record into a row change: Debezium's JSON and Avro, its unwrapped forms, plain JSON and Avro rows, and the
// connector's own row_change records. The same row gives the same values here as the Postgres source gives.
//
// A record goes
//
//	Decode (envelope.go) -> json.go | avro.go | rowchange.go: an event -> change.go: a connector.Change
//
// and its columns are decoded later, and only those that are mapped: a cell holds a part of the record's text, and its column knows what it means (typ.go, with
// connect.go, avroschema.go and hint.go for where types come from). Tables, one per topic and schema, are in table.go, record keys in key.go.
package envelope

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
	"unsafe"

	"brazecdc/connector"
)

// Formats that Config.Format takes.
const (
	Auto         = "auto"
	DebeziumJSON = "debezium-json"
	DebeziumAvro = "debezium-avro"
	RowsJSON     = "rows-json" // plain rows and Debezium's unwrapped ones
	RowsAvro     = "rows-avro"
	RowChange    = "row-change"
)

// What Config.Envelope takes. With Append every record with a row is an insert of its own, whatever its key; deletes, tombstones and truncates carry nothing.
const (
	Changes = "changes"
	Append  = "append"
)

// What Columns.KeyFormat takes.
const (
	KeyAuto    = "auto"    // Avro with a schema's number, JSON, or text
	KeyText    = "text"    // text as it is, also where it looks like a number or like JSON
	KeyInteger = "integer" // big-endian in 2, 4 or 8 bytes, as Kafka's own serializers write a number
)

// ErrUnknownSchema is what a SchemaLookup answers, wrapped or not, for an id that the registry does not have. Any other error means that nobody could be asked.
var ErrUnknownSchema = errors.New("the schema registry does not know this id")

// SchemaLookup gives the schema registered under an id. It is asked once per id as long as it answers; it may be called concurrently.
type SchemaLookup interface {
	Schema(ctx context.Context, id uint32) (Schema, error)
}

// Schema is a registered Avro schema.
type Schema struct {
	Text string // JSON
	// References define the named types that Text takes from other subjects of the registry. What they take themselves stands before them.
	References []string
}

// UnusableSchemaError is what a SchemaLookup answers for an id under which the registry has something that can't be read.
type UnusableSchemaError struct{ Reason string }

// Error says why.
func (e *UnusableSchemaError) Error() string { return e.Reason }

// Config is what a Decoder is made of.
type Config struct {
	Format   string // default Auto
	Envelope string // default Changes
	// Schemas answers for Avro; without it an Avro record is undecodable.
	Schemas SchemaLookup
	// ReplicaIdentityFull tells for a topic that the old rows of its deletes are whole. Without it only their key is believed until an update brought an old row.
	ReplicaIdentityFull func(topic string) bool
	// Placeholder is Debezium's unavailable.value.placeholder, also as "hex:…"; default "__debezium_unavailable_value".
	Placeholder string
	// Columns tells what the records of some topics do not tell of their columns. Where several are of one topic, all count; the last one counts for a column
	// that two name.
	Columns []Columns
	// MaxValue is the largest record value or key that is decoded, in bytes; default 16 MiB.
	MaxValue int
	// Logger gets what happens to tables: new columns, a changed replica identity. Default discards.
	Logger *slog.Logger
}

// Columns is what a person knows of the columns of some topics, and their records do not say: schemaless JSON, and what Debezium turned into plain strings or
// doubles.
type Columns struct {
	// Topics tells which topics are meant. It is asked once a topic.
	Topics func(topic string) bool
	// Types by column, each as CheckType takes it.
	Types map[string]string
	// KeyColumn is the column that a record key without a name of its own stands for. Without it that key is the column "_key".
	KeyColumn string
	// KeyFormat is one of the constants Key…; default KeyAuto.
	KeyFormat string
}

// Header is a header of a record.
type Header struct {
	Key   string
	Value []byte
}

// Record is one record of a topic. Decode keeps nothing of it: Key and Value are copied.
type Record struct {
	Topic      string
	Partition  int32
	Offset     int64
	Key, Value []byte // nil is Kafka's null
	Headers    []Header
	Timestamp  time.Time
}

func (r *Record) header(key string) ([]byte, bool) {
	for i := range r.Headers {
		if r.Headers[i].Key == key {
			return r.Headers[i].Value, true
		}
	}
	return nil, false
}

// Skip says why a record carries no change; NoSkip where it carries one.
type Skip uint8

// The reasons to pass over a record, as counters show them.
const (
	NoSkip          Skip = iota
	SkipTombstone        // it follows the delete of its key
	SkipKeyChange        // first half of a key change; the second half carries it
	SkipHeartbeat        // Debezium's heartbeat
	SkipTransaction      // Debezium's transaction metadata
	SkipMessage          // a logical decoding message
	SkipSchema           // a record of a schema change topic
	SkipAppend           // no new row, where every row is an event
	SkipEmpty            // neither a key nor a value: it says nothing about any row
)

var skipWords = [...]string{"", "tombstone", "key change", "heartbeat", "transaction metadata", "message", "schema change", "no new row", "neither key nor value"}

// String gives the reason in lower case.
func (s Skip) String() string { return skipWords[s] }

// SkipReasons are the reasons to pass over a record, as their String gives them.
func SkipReasons() []string { return skipWords[1:] }

// Poison is a record that can never be decoded: it belongs in quarantine, and its neighbours are unaffected. Its text holds no value of a row.
type Poison struct {
	Topic     string
	Partition int32
	Offset    int64
	Reason    string
}

// Error says what is wrong with which record.
func (e *Poison) Error() string {
	return fmt.Sprintf("undecodable: %s (topic %s, partition %d, offset %d)", e.Reason, e.Topic, e.Partition, e.Offset)
}

// Wait means that a record cannot be decoded yet, since the schema registry does not answer: try the same record again later.
type Wait struct {
	ID  uint32 // of the schema
	Err error
}

// Error says which schema is missing, and why.
func (e *Wait) Error() string { return fmt.Sprintf("ask for schema %d: %v", e.ID, e.Err) }

// Unwrap gives what the registry's client said.
func (e *Wait) Unwrap() error { return e.Err }

// poison is a Poison before it knows its record.
type poison string

func (p poison) Error() string { return string(p) }

func poisonf(format string, args ...any) error { return poison(fmt.Sprintf(format, args...)) }

// Decoder decodes records. It may be used by several goroutines at once, as long as the records of one partition come in order.
type Decoder struct {
	cfg     Config
	log     *slog.Logger
	hold    *placeholder
	columns []map[string]*typ // beside Config.Columns
	topics  sync.Map          // string -> *topic
	schemas registry
	workers sync.Pool
}

// New checks the configuration and makes a Decoder.
func New(cfg Config) (*Decoder, error) {
	if cfg.Format == "" {
		cfg.Format = Auto
	}
	if cfg.Envelope == "" {
		cfg.Envelope = Changes
	}
	if cfg.Placeholder == "" {
		cfg.Placeholder = "__debezium_unavailable_value"
	}
	if cfg.MaxValue == 0 {
		cfg.MaxValue = 16 << 20
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	switch cfg.Format {
	case Auto, DebeziumJSON, DebeziumAvro, RowsJSON, RowsAvro, RowChange:
	default:
		return nil, fmt.Errorf("format %q is none of auto, debezium-json, debezium-avro, rows-json, rows-avro, row-change", cfg.Format)
	}
	if cfg.Envelope != Changes && cfg.Envelope != Append {
		return nil, fmt.Errorf("envelope %q is neither changes nor append", cfg.Envelope)
	}
	d := &Decoder{cfg: cfg, log: cfg.Logger}
	var err error
	if d.hold, err = newPlaceholder(cfg.Placeholder); err != nil {
		return nil, err
	}
	for _, c := range cfg.Columns {
		if c.KeyFormat != "" && c.KeyFormat != KeyAuto && c.KeyFormat != KeyText && c.KeyFormat != KeyInteger {
			return nil, fmt.Errorf("key format %q is none of auto, text, integer", c.KeyFormat)
		}
		types := make(map[string]*typ, len(c.Types))
		for column, text := range c.Types {
			if types[column], err = hint(text); err != nil {
				return nil, fmt.Errorf("column %q: %w", column, err)
			}
		}
		d.columns = append(d.columns, types)
	}
	d.schemas.lookup = cfg.Schemas
	d.schemas.now = time.Now
	d.workers.New = func() any { return new(worker) }
	return d, nil
}

// worker is what one call of Decode works with; its buffers are used again, its cells are not.
type worker struct {
	top, before, after, source []field
	beforeCells, afterCells    []connector.Cell
	keys                       []field
	parts                      []keyPart
	cells                      []connector.Cell // not handed out yet
	text                       string           // what cells are parts of until keep; it is the record's own bytes
}

// maxScratch is how many members of a record the buffers keep room for between records.
const maxScratch = 2 * maxColumns

// trim lets go of buffers that one large record made large.
func (w *worker) trim() {
	for _, b := range []*[]field{&w.top, &w.before, &w.after, &w.source, &w.keys} {
		if cap(*b) > maxScratch {
			*b = nil
		}
	}
}

// view gives bytes as a string without copying them. What is kept beyond the call of Decode must be a copy: the caller may use the bytes again, and they may be
// a small part of a large buffer.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// keep gives the cells that are parts of w.text a text of their own: nothing of the record but its rows stays in memory.
func (w *worker) keep(cells []connector.Cell) {
	base, size := address(w.text), uintptr(len(w.text))
	n := 0
	for i := range cells {
		if address(cells[i].Raw)-base < size {
			n += len(cells[i].Raw)
		}
	}
	b := make([]byte, 0, n)
	for i := range cells {
		if c := &cells[i]; address(c.Raw)-base < size {
			from := len(b)
			b = append(b, c.Raw...)
			c.Raw = view(b[from:])
		}
	}
}

func address(s string) uintptr { return uintptr(unsafe.Pointer(unsafe.StringData(s))) }

// row gives n empty cells. They come from a larger piece of memory, which lives as long as any of its rows.
func (w *worker) row(n int) []connector.Cell {
	if n > len(w.cells) {
		w.cells = make([]connector.Cell, max(512, n))
	}
	c := w.cells[:n:n]
	w.cells = w.cells[n:]
	return c
}

// Decode appends the change that a record carries, if it carries one; skip tells why not. The error is a *Poison, a *Wait, or the context's.
func (d *Decoder) Decode(ctx context.Context, dst []connector.Change, rec *Record) (out []connector.Change, skip Skip, err error) {
	w := d.workers.Get().(*worker)
	out, skip, err = d.decode(ctx, w, dst, rec)
	w.text = ""
	w.trim()
	d.workers.Put(w)
	if err != nil {
		err = rec.name(err)
	}
	return out, skip, err
}

// name puts the record's place into a poison.
func (r *Record) name(err error) error {
	var p poison
	if errors.As(err, &p) {
		return &Poison{r.Topic, r.Partition, r.Offset, string(p)}
	}
	return err
}

func (d *Decoder) decode(ctx context.Context, w *worker, dst []connector.Change, rec *Record) ([]connector.Change, Skip, error) {
	if n := max(len(rec.Value), len(rec.Key)); n > d.cfg.MaxValue {
		return dst, NoSkip, poisonf("a value of %d bytes is larger than the %d that are decoded", n, d.cfg.MaxValue)
	}
	t := d.topic(rec.Topic)
	key, err := d.parseKey(ctx, w, t, rec)
	if err != nil {
		return dst, NoSkip, err
	}
	if rec.Value == nil {
		return d.tombstone(w, dst, t, rec, key)
	}
	var ev event
	if root, raw, isAvro, err := d.avroValue(ctx, rec); err != nil {
		return dst, NoSkip, err
	} else if isAvro {
		err = d.avroEvent(w, &ev, root, raw)
		if err != nil {
			return dst, NoSkip, err
		}
	} else if err := d.jsonEvent(w, t, &ev, view(rec.Value)); err != nil {
		return dst, NoSkip, err
	}
	if ev.kind == kindRow && ev.op == 0 {
		if op, ok := rec.header("__op"); ok { // ExtractNewRecordState with add.headers
			ev.unwrap(string(op), true, false, false)
		}
	}
	return d.change(w, dst, t, rec, key, &ev)
}
