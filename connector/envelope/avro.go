package envelope

import (
	"context"
	"slices"
	"strings"

	"brazecdc/connector"
)

// recordKind is what a record turned out to be.
type recordKind uint8

const (
	kindRow recordKind = iota // a row as it is, perhaps unwrapped by Debezium
	kindEnvelope
	kindRowChange
	kindMessage
	kindTransaction
	kindHeartbeat
	kindSchemaChange
	kindNothing // a null in the record's own format
)

var skips = map[recordKind]Skip{kindMessage: SkipMessage, kindTransaction: SkipTransaction, kindHeartbeat: SkipHeartbeat, kindSchemaChange: SkipSchema}

// kindOf tells from the names of a record's fields what it is.
func kindOf(has func(string) bool) recordKind {
	switch {
	case has("op") && has("source") && (has("after") || has("before")):
		return kindEnvelope
	case has("op") && has("message") && has("source"):
		return kindMessage
	case has("status") && has("id") && has("event_count") && has("data_collections"):
		return kindTransaction
	case has("ddl") && has("source") && (has("databaseName") || has("tableChanges")):
		return kindSchemaChange
	}
	return kindRow
}

// event is what a record says, whatever its format.
type event struct {
	kind   recordKind
	op     connector.Op // zero: the row is there now, new or not
	micros int64        // when the change was committed; 0 where the record does not say
	marked bool         // it came through Debezium, though unwrapped
	before image
	after  image
	source any // what describes the columns: *avroSchema, *connectShape, or the word for columns that are found as they come
	key    image
}

// image is a row inside a record: members of a JSON object, or an Avro record's fields in their order.
type image struct {
	exists bool
	fields []field
	cells  []connector.Cell
}

// avroSchema is a writer's schema compiled for what the record is: which field holds what.
type avroSchema struct {
	root    *node
	kind    recordKind
	row     *node // whose fields are the row's columns
	members []member
	column  []int // by field of row: index in members, or -1 for what Debezium added

	// fields of root (of row, for an unwrapped one), or -1
	before, after, op, source, tsUS, tsMS, deleted int
	sourceUS, sourceMS                             int // of the source record
}

func newAvroSchema(text string, references ...string) (*avroSchema, error) {
	root, err := parseAvro(text, references)
	if err != nil {
		return nil, err
	}
	s := &avroSchema{root: root, row: root}
	if root.kind != aRecord {
		return s, nil // of a key
	}
	s.kind = kindOf(func(name string) bool { return root.field(name) >= 0 })
	if len(root.fields) == 1 && root.fields[0].name == "ts_ms" && strings.HasSuffix(root.name, "Heartbeat") {
		s.kind = kindHeartbeat
	}
	if root.name == rowChangeName {
		s.kind = kindRowChange
		return s, nil
	}
	s.before, s.after, s.source = root.field("before"), root.field("after"), root.field("source")
	s.op, s.tsUS, s.tsMS, s.deleted, s.sourceUS, s.sourceMS = root.field("op"), root.field("ts_us"), root.field("ts_ms"), -1, -1, -1
	if s.kind == kindEnvelope {
		if s.row = rowNode(root, s.after); s.row == nil {
			if s.row = rowNode(root, s.before); s.row == nil {
				return nil, poison("neither before nor after is a record")
			}
		}
		if src, ok := root.fields[s.source].node.inner(); ok && src.kind == aRecord {
			s.sourceUS, s.sourceMS = src.field("ts_us"), src.field("ts_ms")
		}
	} else {
		s.op, s.deleted = root.field("__op"), root.field("__deleted")
		s.tsUS, s.tsMS = root.field("__source_ts_us"), root.field("__source_ts_ms")
	}
	members := s.row.members()
	unwrapped := s.kind == kindRow && isUnwrapped(members)
	for _, m := range members {
		if unwrapped && isMeta(m.name) {
			s.column = append(s.column, -1)
			continue
		}
		s.column = append(s.column, len(s.members))
		s.members = append(s.members, m)
	}
	return s, nil
}

func (n *node) field(name string) int {
	for i := range n.fields {
		if n.fields[i].name == name {
			return i
		}
	}
	return -1
}

func rowNode(root *node, field int) *node {
	if field < 0 {
		return nil
	}
	in, ok := root.fields[field].node.inner()
	if !ok || in.kind != aRecord {
		return nil
	}
	return in
}

// isUnwrapped tells whether Debezium's unwrapping made a row with these columns. Otherwise a column that begins with underscores is the user's.
func isUnwrapped(members []member) bool {
	return slices.ContainsFunc(members, func(m member) bool { return m.name == "__op" || m.name == "__deleted" })
}

// isMeta tells the fields that Debezium's unwrapping adds (ExtractNewRecordState, add.fields), which are not the table's.
func isMeta(name string) bool {
	rest, ok := strings.CutPrefix(name, "__")
	if !ok {
		return false
	}
	switch rest {
	case "op", "deleted", "table", "schema", "db", "name", "lsn", "txId", "connector", "version", "snapshot", "sequence", "xmin", "ts_ms", "ts_us", "ts_ns", "before", "after":
		return true
	}
	return strings.HasPrefix(rest, "source_") || strings.HasPrefix(rest, "transaction_") || strings.HasPrefix(rest, "debezium_")
}

// avroValue tells whether a record's value is Avro, with which schema, and gives its bytes.
func (d *Decoder) avroValue(ctx context.Context, rec *Record) (s *avroSchema, raw string, ok bool, err error) {
	format := d.cfg.Format
	if format == DebeziumJSON || format == RowsJSON {
		return nil, "", false, nil
	}
	if body, own := rowChangeBody(rec.Value); own && (format == Auto || format == RowChange) {
		return rowChange, view(body), true, nil
	}
	id, rest, ok, err := schemaID(rec, rec.Value, &valueHeaders)
	switch {
	case err != nil:
		return nil, "", false, err
	case ok:
		s, err = d.schemas.get(ctx, id)
		return s, view(rest), true, err
	case format == DebeziumAvro || format == RowsAvro:
		return nil, "", false, poison("it is not Avro with a schema id before it (a zero byte and four bytes) or in its headers")
	}
	return nil, "", false, nil
}

// walk notes the fields of the record at i as cells and gives the place behind it, or -1.
func (n *node) walk(s string, i int, out []connector.Cell) ([]connector.Cell, int) {
	for f := range n.fields {
		from, end, null := n.fields[f].next(s, i, 2)
		switch {
		case end < 0:
			return out, -1
		case null || n.fields[f].in.kind == aUnion && n.fields[f].in.isNull(s, from):
			out = append(out, connector.Cell{State: connector.Null})
		default:
			out = append(out, connector.Cell{State: connector.Set, Raw: s[from:end]})
		}
		i = end
	}
	return out, i
}

// isNull tells whether the union's value at i is null.
func (n *node) isNull(s string, i int) bool {
	b, _ := n.branch(s, i)
	return b.kind == aNull
}

// avroEvent reads what an Avro record says.
func (d *Decoder) avroEvent(w *worker, ev *event, s *avroSchema, raw string) error {
	w.text = raw
	ev.kind, ev.source = s.kind, s
	var end int
	switch {
	case s.root.kind != aRecord:
		return poison("its Avro value is not a record")
	case s.kind == kindRowChange:
		return rowChangeEvent(w, ev, s, raw)
	case s.kind == kindEnvelope:
		end = s.envelope(w, ev, raw)
	case s.kind == kindRow:
		w.afterCells, end = s.root.walk(raw, 0, w.afterCells[:0])
		ev.after = image{exists: true, cells: w.afterCells}
		if end >= 0 {
			s.unwrapped(ev)
		}
	default:
		end = s.root.skip(raw, 0, 0)
	}
	if end != len(raw) {
		return poison(errAvro.Error())
	}
	if s.kind == kindEnvelope && ev.op == 0 {
		return poison("its op is none of c, u, d, r, t, m")
	}
	return nil
}

// envelope walks over a Debezium envelope once and gives the place behind it, or -1.
func (s *avroSchema) envelope(w *worker, ev *event, raw string) int {
	var outer int64
	i := 0
	for f := range s.root.fields {
		fd := &s.root.fields[f]
		n := fd.in
		if f != s.after && f != s.before && f != s.source {
			from, end, null := fd.next(raw, i, 1)
			if end < 0 {
				return -1
			}
			if i = end; !null {
				s.outer(ev, f, raw, from, end, &outer)
			}
			continue
		}
		if fd.null >= 0 { // into the branch that is not null
			b, at := fd.node.branch(raw, i)
			if at < 0 {
				return -1
			}
			if i = at; b.kind == aNull {
				continue
			}
		}
		switch {
		case f == s.after && n == s.row:
			w.afterCells, i = n.walk(raw, i, w.afterCells[:0])
			ev.after = image{exists: true, cells: w.afterCells}
		case f == s.before && n == s.row:
			w.beforeCells, i = n.walk(raw, i, w.beforeCells[:0])
			ev.before = image{exists: true, cells: w.beforeCells}
		case f == s.source && n.kind == aRecord:
			i = s.sourceTime(ev, n, raw, i)
		default:
			i = n.skip(raw, i, 1)
		}
		if i < 0 {
			return -1
		}
	}
	if ev.micros == 0 {
		ev.micros = outer
	}
	return i
}

// outer reads a field of the envelope itself.
func (s *avroSchema) outer(ev *event, f int, raw string, from, end int, micros *int64) {
	switch f {
	case s.op:
		if at, to := sized(raw[:end], from); to == end {
			ev.op, ev.kind = debeziumOp(raw[at:to])
		}
	case s.tsUS:
		*micros, _ = long(raw, from)
	case s.tsMS:
		if *micros == 0 {
			*micros, _ = long(raw, from)
			*micros *= 1000
		}
	}
}

// sourceTime walks over the source record and takes the commit's time from it.
func (s *avroSchema) sourceTime(ev *event, n *node, raw string, i int) int {
	for f := range n.fields {
		from, end, null := n.fields[f].next(raw, i, 2)
		if end < 0 {
			return -1
		}
		if i = end; null || (f != s.sourceUS && f != s.sourceMS) {
			continue
		}
		if t, _ := long(raw, from); f == s.sourceUS {
			ev.micros = t
		} else if ev.micros == 0 {
			ev.micros = t * 1000
		}
	}
	return i
}

// debeziumOp reads an envelope's op.
func debeziumOp(op string) (connector.Op, recordKind) {
	switch op {
	case "c":
		return connector.Insert, kindEnvelope
	case "u":
		return connector.Update, kindEnvelope
	case "d":
		return connector.Delete, kindEnvelope
	case "r":
		return connector.Snapshot, kindEnvelope
	case "t":
		return connector.Truncate, kindEnvelope
	case "m":
		return 0, kindMessage
	}
	return 0, kindEnvelope
}

// unwrapped reads what Debezium's unwrapping added to a row.
func (s *avroSchema) unwrapped(ev *event) {
	get := func(f int) (connector.Value, bool) {
		if f < 0 || ev.after.cells[f].State != connector.Set {
			return connector.Value{}, false
		}
		n := s.root.fields[f].node
		if in, ok := n.inner(); ok {
			n = in
		}
		v, err := n.decode(ev.after.cells[f].Raw)
		return v, err == nil
	}
	op, hasOp := get(s.op)
	del, hasDel := get(s.deleted)
	ev.unwrap(op.Str, hasOp, del.Str == "true" || del.Kind == connector.KindBool && del.Int == 1, hasDel)
	if t, ok := get(s.tsUS); ok {
		ev.micros = t.Int
	} else if t, ok := get(s.tsMS); ok {
		ev.micros = t.Int * 1000
	}
}

// unwrap turns a row with Debezium's marks into what it says: a row marked as deleted is an old row.
func (ev *event) unwrap(op string, hasOp, deleted, hasDeleted bool) {
	if !hasOp && !hasDeleted {
		return
	}
	ev.marked = true
	if hasOp {
		ev.op, _ = debeziumOp(op)
	}
	if deleted || ev.op == connector.Delete {
		ev.op = connector.Delete
		ev.before, ev.after = ev.after, image{}
	}
}
