package envelope

import (
	"strconv"
	"strings"
	"time"

	"brazecdc/connector"
	"brazecdc/schemas"
)

const rowChangeName = "brazecdc.RowChange"

// rowChange is the connector's own schema, compiled; cellNode is the union of values inside it.
var (
	rowChange = func() *avroSchema {
		s, err := newAvroSchema(schemas.RowChangeAvro)
		if err != nil {
			panic(err) // the schema is part of the program
		}
		return s
	}()
	cellNode = rowChange.root.fields[rowChange.root.field("key")].node.items.fields[0].node
)

// changeClasses are the classes of the union's branches, in its order.
var changeClasses = [...]class{classNone, classBool, classInt, classFloat, classText, classBytes, classDecimal, classDate, classTime, classTimestamp, classTimestampTZ,
	classInterval, classJSON, classList}

// branchNull is NULL as a value of the union.
const branchNull = "\x00"

func changeClass(raw string) class {
	b, end := long(raw, 0)
	if end < 0 || b < 0 || b >= int64(len(changeClasses)) {
		return classNone
	}
	return changeClasses[b]
}

// ofCell reads a value of a row_change record, whose branch tells its type, as the column's type.
func (t *typ) ofCell(raw string) (connector.Value, error) {
	v, _, err := cellValue(raw, 0, 0)
	if err != nil || v.Kind == connector.KindNull {
		return v, err
	}
	if t.name == mixedName {
		return connector.Value{Kind: connector.KindJSON, Str: string(appendValue(nil, v))}, nil
	}
	if v.Kind == t.kind {
		return v, nil
	}
	switch v.Kind {
	case connector.KindInt:
		return t.ofInt(v.Int)
	case connector.KindFloat:
		return t.ofFloat64(v.Float)
	case connector.KindBool:
		return t.ofBool(v.Int != 0)
	case connector.KindBytes:
		return t.ofBytes(v.Str)
	}
	return t.ofText(valueText(v))
}

// cellValue reads one value of the union at i.
func cellValue(s string, i, depth int) (v connector.Value, end int, err error) {
	b, at := cellNode.branch(s, i)
	if at < 0 || depth > maxDepth {
		return v, 0, errAvro
	}
	n, _ := long(s, i)
	c := changeClasses[n]
	switch {
	case c == classList:
		v = connector.Value{Kind: connector.KindArray, List: []connector.Value{}}
		end = b.fields[0].node.each(s, at, depth, func(_ string, at int) int {
			var e connector.Value
			var behind int
			if len(v.List) == maxItems {
				err = errItems
				return -1
			}
			if e, behind, err = cellValue(s, at, depth+1); err != nil {
				return -1
			}
			v.List = append(v.List, e)
			return behind
		})
		if end < 0 && err == nil {
			err = errAvro
		}
		return v, end, err
	case b.kind == aRecord:
		field := b.fields[0].node
		t := c.typ()
		if end = field.skip(s, at, depth); end < 0 {
			return v, 0, errAvro
		}
		if field.kind == aString {
			from, _ := sized(s, at)
			v, err = t.ofText(s[from:end])
		} else {
			n, _ := long(s, at)
			v, err = t.ofInt(n)
		}
		return v, end, err
	}
	return b.value(s, at, depth+1)
}

// rowChangeBody takes off the header of Avro's single-object encoding, if it is the one of this schema.
func rowChangeBody(b []byte) ([]byte, bool) {
	if len(b) < len(schemas.RowChangeHeader) || string(b[:len(schemas.RowChangeHeader)]) != schemas.RowChangeHeader {
		return nil, false
	}
	return b[len(schemas.RowChangeHeader):], true
}

// rowChangeEvent reads a row_change record in Avro. It must have been written with the schema as it is here.
func rowChangeEvent(w *worker, ev *event, s *avroSchema, raw string) error {
	if len(s.root.fields) != len(rowChange.root.fields) {
		return poison("it was written with another version of row_change.avsc")
	}
	ev.source = foundChange
	w.top, w.before, w.after, w.source = w.top[:0], w.before[:0], w.after[:0], w.source[:0]
	i := 0
	for f := range rowChange.root.fields {
		n, start := rowChange.root.fields[f].node, i
		if i = n.skip(raw, i, 0); i < 0 {
			return poison(errAvro.Error())
		}
		switch rowChange.root.fields[f].name {
		case "op":
			sym, _ := long(raw, start)
			ev.op, _ = changeOp(n.symbols[sym])
		case "time":
			ev.micros, _ = long(raw, start)
		case "key":
			ev.key = image{exists: true, fields: cellsOf(n, raw, start, &w.top)}
		case "old_key":
			cellsOf(n, raw, start, &w.source)
		case "before":
			ev.before = image{fields: cellsOf(n, raw, start, &w.before)}
			ev.before.exists = ev.before.fields != nil
		case "after":
			ev.after = image{fields: cellsOf(n, raw, start, &w.after)}
			ev.after.exists = ev.after.fields != nil
		}
	}
	if i != len(raw) {
		return poison(errAvro.Error())
	}
	return nil
}

// cellsOf lists the columns of a map at i, which may be null.
func cellsOf(n *node, raw string, i int, into *[]field) []field {
	if n.kind == aUnion {
		b, at := n.branch(raw, i)
		if b.kind == aNull {
			return nil
		}
		n, i = b, at
	}
	*into = (*into)[:0]
	n.each(raw, i, 0, func(key string, at int) int {
		end := n.items.skip(raw, at, 2)
		if end >= 0 {
			*into = append(*into, field{key, raw[at:end]})
		}
		return end
	})
	if *into == nil {
		*into = []field{}
	}
	return *into
}

func changeOp(word string) (connector.Op, bool) {
	for op := connector.Insert; op <= connector.Snapshot; op++ {
		if op.String() == word {
			return op, true
		}
	}
	return 0, false
}

// isRowChange tells whether the object in w.top is a row_change record in JSON.
func isRowChange(w *worker) bool {
	op, err := text(get(w.top, "op"))
	_, ok := changeOp(op)
	isObject := func(name string) bool { v := get(w.top, name); return v != "" && v[0] == '{' }
	return err == nil && ok && (op == "truncate" || isObject("after") || isObject("key"))
}

// rowChangeJSON reads a row_change record in JSON: the same fields, with plain values.
func rowChangeJSON(w *worker, ev *event) error {
	op, err := text(get(w.top, "op"))
	if ev.op, _ = changeOp(op); err != nil || ev.op == 0 {
		return poison("its op is none of insert, update, delete, snapshot, truncate")
	}
	w.images(ev)
	if raw := get(w.top, "time"); raw != "" && raw != "null" {
		ev.micros, err = strconv.ParseInt(raw, 10, 64)
		if err != nil {
			s, _ := text(raw)
			at, err := time.Parse(time.RFC3339Nano, s)
			if err != nil {
				return poison("its time is neither RFC 3339 nor microseconds since 1970")
			}
			ev.micros = at.UnixMicro()
		}
	}
	key, old := get(w.top, "key"), get(w.top, "old_key")
	w.keys, w.source = w.keys[:0], w.source[:0]
	if old != "" && old[0] == '{' {
		_, _ = object(old, 0, 0, &w.source) // its grammar was checked
	}
	if key != "" && key[0] == '{' {
		_, _ = object(key, 0, 0, &w.keys)
		ev.key = image{exists: true, fields: w.keys}
	}
	return nil
}

// changeKey makes key parts of the record's own key.
func (w *worker) changeKey(ev *event) []keyPart {
	w.parts = changeParts(ev, ev.key.fields, w.parts[:0])
	return w.parts
}

func (w *worker) oldKey(ev *event) []keyPart { return changeParts(ev, w.source, nil) }

func changeParts(ev *event, fields []field, parts []keyPart) []keyPart {
	for _, f := range fields {
		f.val = strings.Clone(f.val) // a key outlives the record
		if ev.source == foundJSON {
			if p, err := jsonPart(f.key, f.val); err == nil {
				parts = append(parts, p)
			}
			continue
		}
		p := keyPart{name: f.key, node: cellNode, typ: changeClass(f.val).typ(), cell: connector.Cell{State: connector.Set, Raw: f.val}}
		v, _, err := cellValue(f.val, 0, 0)
		if err != nil {
			continue
		}
		if p.text = valueText(v); v.Kind == connector.KindNull {
			p.cell = connector.Cell{State: connector.Null}
		}
		parts = append(parts, p)
	}
	return parts
}
