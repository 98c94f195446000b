package envelope

import (
	"strconv"
	"strings"
	"time"
)

// names are the fields that tell one kind of JSON record from another, as bits.
type names uint32

const (
	hasOp names = 1 << iota
	hasBefore
	hasAfter
	hasSource
	hasMessage
	hasStatus
	hasID
	hasEventCount
	hasCollections
	hasDDL
	hasDatabase
	hasPayload
	hasSchema
	hasSpec
	hasData
	hasMeta
	hasTsMS
)

func bitOf(key string) names {
	switch key {
	case "op":
		return hasOp
	case "before":
		return hasBefore
	case "after":
		return hasAfter
	case "source":
		return hasSource
	case "message":
		return hasMessage
	case "status":
		return hasStatus
	case "id":
		return hasID
	case "event_count":
		return hasEventCount
	case "data_collections":
		return hasCollections
	case "ddl":
		return hasDDL
	case "databaseName", "tableChanges":
		return hasDatabase
	case "payload":
		return hasPayload
	case "schema":
		return hasSchema
	case "specversion":
		return hasSpec
	case "data":
		return hasData
	case "ts_ms":
		return hasTsMS
	case "__op", "__deleted":
		return hasMeta
	}
	return 0
}

// document is the outermost object of a JSON record, taken apart in one pass. Its parts are those of the record's text.
type document struct {
	has    names
	count  int // members
	schema string
	body   int       // where data, of a cloud event, begins
	inner  *document // payload, where schema stood before it
	flat   bool      // schema and payload are columns like others
}

// members walks the object at i: all its members go to w.top, those of the rows inside it to lists of their own.
func (w *worker) members(s string, i, depth int, known string, doc *document) (int, error) {
	w.top, w.before, w.after = w.top[:0], w.before[:0], w.after[:0]
	if i = space(s, i+1); i < len(s) && s[i] == '}' {
		return i + 1, nil
	}
	for {
		if i >= len(s) || s[i] != '"' {
			return 0, errJSON
		}
		start := i
		end, escaped := quoted(s, i)
		if end < 0 {
			return 0, errJSON
		}
		key := s[start+1 : end-1]
		if escaped {
			key = unescape(key)
		}
		if i = space(s, end); i >= len(s) || s[i] != ':' {
			return 0, errJSON
		}
		from := space(s, i+1)
		if from >= len(s) {
			return 0, errJSON
		}
		bit := bitOf(key)
		var into *[]field
		if s[from] == '{' {
			switch bit {
			case hasBefore:
				into = &w.before
			case hasAfter:
				into = &w.after
			case hasData:
				doc.body = from
			case hasPayload:
				if doc.has&hasSchema != 0 && depth == 0 && !doc.flat {
					doc.inner = new(document)
				}
			}
		}
		var to int
		var err error
		switch {
		case bit == hasPayload && doc.inner != nil && s[from] == '{' && doc.has&hasPayload == 0:
			to, err = w.members(s, from, depth+1, "", doc.inner) // w.top is the payload's from here on
		case into != nil:
			*into = (*into)[:0]
			to, err = object(s, from, depth+1, into)
		case bit == hasSchema && known != "" && strings.HasPrefix(s[from:], known):
			to = from + len(known) // the schema of the record before it, whose end is known
		default:
			to, err = value(s, from, depth+1)
		}
		if err != nil {
			return 0, err
		}
		doc.has |= bit
		doc.count++
		if bit == hasSchema {
			doc.schema = s[from:to]
		}
		if doc.inner == nil {
			w.top = append(w.top, field{key, s[from:to]})
		}
		if i = space(s, to); i >= len(s) {
			return 0, errJSON
		}
		switch s[i] {
		case '}':
			return i + 1, nil
		case ',':
			i = space(s, i+1)
		default:
			return 0, errJSON
		}
	}
}

// get gives the text of the last member of that name, "" where there is none.
func get(fields []field, key string) string {
	for i := len(fields) - 1; i >= 0; i-- {
		if fields[i].key == key {
			return fields[i].val
		}
	}
	return ""
}

// jsonEvent reads what a JSON record says.
func (d *Decoder) jsonEvent(w *worker, t *topic, ev *event, s string) error {
	w.text = s
	i := space(s, 0)
	if i >= len(s) {
		return poison("the value is empty")
	}
	if s[i] != '{' {
		if strings.TrimSpace(s) == "null" {
			ev.kind = kindNothing
			return nil
		}
		if !validJSON(s) {
			return poison("it is neither JSON nor Avro with a schema id (format: tells what it is)")
		}
		return poison("its JSON is no object")
	}
	shape := t.connect.Load()
	known := ""
	if shape != nil {
		known = shape.raw
	}
	var doc document
	end, err := w.members(s, i, 0, known, &doc)
	pair := doc.has == hasSchema|hasPayload && doc.count == 2 && (doc.schema == "null" || doc.schema[0] == '{')
	if err == nil && doc.inner != nil && !pair {
		doc = document{flat: true}
		end, err = w.members(s, i, 0, known, &doc)
	}
	if err == nil && space(s, end) != len(s) {
		err = errJSON
	}
	if err != nil {
		return poison(err.Error())
	}
	if ev.source = foundJSON; pair {
		return d.withSchema(w, t, ev, &doc, shape)
	}
	if doc.has&(hasSpec|hasData) == hasSpec|hasData && doc.body > 0 {
		return d.cloudEvent(w, t, ev, s, &doc)
	}
	return d.classify(w, t, ev, &doc)
}

// withSchema reads a record that JsonConverter wrote with schemas.enable=true.
func (d *Decoder) withSchema(w *worker, t *topic, ev *event, outer *document, shape *connectShape) error {
	if outer.inner == nil {
		return d.payload(w, t, ev)
	}
	if err := d.classify(w, t, ev, outer.inner); err != nil || outer.schema == "null" || (ev.kind != kindRow && ev.kind != kindEnvelope) {
		return err
	}
	if shape == nil || shape.raw != outer.schema {
		var err error
		if shape, err = t.shape(outer.schema, ev.kind == kindEnvelope); err != nil {
			return err
		}
	}
	ev.source = shape
	return nil
}

// payload reads a payload that is no object, or that stands before its schema.
func (d *Decoder) payload(w *worker, t *topic, ev *event) error {
	raw := get(w.top, "payload")
	switch raw[0] {
	case 'n':
		ev.kind = kindNothing
		return nil
	case '{':
		return d.jsonEvent(w, t, ev, `{"schema":`+get(w.top, "schema")+`,"payload":`+raw+`}`)
	}
	return poison("its payload is no object")
}

// cloudEvent reads Debezium's change events in the form of CloudEvents, in JSON.
func (d *Decoder) cloudEvent(w *worker, t *topic, ev *event, s string, outer *document) error {
	op, err := text(get(w.top, "iodebeziumop"))
	if err != nil {
		return d.classify(w, t, ev, outer)
	}
	us, _ := text(get(w.top, "iodebeziumtsus"))
	ms, _ := text(get(w.top, "iodebeziumtsms"))
	var doc document
	if _, err := w.members(s, outer.body, 0, "", &doc); err != nil {
		return poison(err.Error())
	}
	if doc.inner != nil && doc.schema[0] == '{' { // the converter's json.schemas.enable
		shape, err := t.shape(doc.schema, true)
		if err != nil {
			return err
		}
		ev.source = shape
	}
	if ev.op, ev.kind = debeziumOp(op); ev.op == 0 && ev.kind == kindEnvelope {
		return poison("its op is none of c, u, d, r, t, m")
	}
	ev.micros, _ = strconv.ParseInt(us, 10, 64)
	if n, err := strconv.ParseInt(ms, 10, 64); err == nil && ev.micros == 0 {
		ev.micros = n * 1000
	}
	w.images(ev)
	return nil
}

func (w *worker) images(ev *event) {
	isRow := func(key string) bool { v := get(w.top, key); return v != "" && v[0] == '{' }
	ev.before = image{exists: isRow("before"), fields: w.before}
	ev.after = image{exists: isRow("after"), fields: w.after}
}

// classify tells what the object in w.top is.
func (d *Decoder) classify(w *worker, t *topic, ev *event, doc *document) error {
	format := d.cfg.Format
	ev.kind = kindRow
	if doc.has&(hasOp|hasStatus|hasDDL) != 0 {
		ev.kind = kindOf(func(name string) bool { return doc.has&bitOf(name) != 0 })
	}
	switch {
	case doc.has == hasTsMS && doc.count == 1 && strings.Contains(t.name, "heartbeat"):
		ev.kind = kindHeartbeat
	case format == RowsJSON && ev.kind != kindMessage, ev.kind == kindEnvelope && !strings.HasPrefix(get(w.top, "source"), "{"):
		ev.kind = kindRow
	case doc.has&hasOp != 0 && ev.kind == kindRow && (format == RowChange || format == Auto && isRowChange(w)):
		ev.kind = kindRowChange
	}
	if format == DebeziumJSON && ev.kind == kindRow || format == RowChange && ev.kind != kindRowChange {
		return poisonf("it is not what format: %s says", format)
	}
	switch ev.kind {
	case kindEnvelope:
		return w.envelope(ev)
	case kindRowChange:
		return rowChangeJSON(w, ev)
	case kindRow:
		ev.after = image{exists: true, fields: w.top}
		if doc.has&hasMeta != 0 {
			w.unwrapped(ev)
		}
	}
	return nil
}

func (w *worker) envelope(ev *event) error {
	op, err := text(get(w.top, "op"))
	if err == nil {
		ev.op, ev.kind = debeziumOp(op)
	}
	if ev.op == 0 && ev.kind == kindEnvelope {
		return poison("its op is none of c, u, d, r, t, m")
	}
	w.images(ev)
	ev.micros = w.sourceTime()
	if ev.micros == 0 {
		ev.micros = timeOf(w.top, "ts_us", "ts_ms")
	}
	return nil
}

// sourceTime reads when the change was committed from source. A key's text with its colon occurs in no string, whose quotes are escaped, so the search finds members only.
func (w *worker) sourceTime() int64 {
	raw := get(w.top, "source")
	if at := strings.Index(raw, `_us":`); at >= 3 && raw[at-3:at] == `"ts` && raw[0] == '{' {
		at += len(`_us":`)
		if n, err := strconv.ParseInt(raw[at:digits(raw, at)], 10, 64); err == nil {
			return n
		}
	}
	if raw == "" || raw[0] != '{' {
		return 0
	}
	w.source = w.source[:0]
	_, _ = object(raw, 0, 0, &w.source) // its grammar was checked
	return timeOf(w.source, "ts_us", "ts_ms")
}

// timeOf reads a time in microseconds, else one in milliseconds; 0 where there is neither.
func timeOf(fields []field, us, ms string) int64 {
	var micros, coarse int64
	for i := range fields {
		switch fields[i].key {
		case us:
			micros, _ = strconv.ParseInt(fields[i].val, 10, 64)
		case ms:
			coarse, _ = strconv.ParseInt(fields[i].val, 10, 64)
		}
	}
	if micros == 0 {
		micros = coarse * 1000
	}
	return micros
}

// unwrapped takes what Debezium's unwrapping added out of the row.
func (w *worker) unwrapped(ev *event) {
	var op, deleted string
	ev.micros = timeOf(w.top, "__source_ts_us", "__source_ts_ms")
	kept := w.top[:0]
	for _, f := range w.top {
		switch {
		case f.key == "__op":
			op, _ = text(f.val)
		case f.key == "__deleted":
			deleted = strings.Trim(f.val, `"`)
		case !isMeta(f.key):
			kept = append(kept, f)
		}
	}
	w.top = kept
	ev.after.fields = kept
	ev.unwrap(op, op != "", deleted == "true", deleted == "true" || deleted == "false")
}

func (ev *event) time(rec *Record) time.Time {
	if ev.micros == 0 {
		return rec.Timestamp
	}
	return time.UnixMicro(ev.micros)
}
