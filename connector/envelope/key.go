package envelope

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"brazecdc/connector"
)

// keyPart is one column of a record's key: its name, its value as the key holds it, and that value's text.
type keyPart struct {
	name string
	cell connector.Cell
	text string
	json bool  // the cell is JSON
	node *node // of a cell in Avro
	typ  *typ  // what the cell becomes where no column of the row says it
}

// nullText stands for NULL in a row key; no text of a database contains it.
const nullText = "\x00"

// keyColumn is the column of a key that is no structure.
const keyColumn = "_key"

// parseKey takes a record's key apart. No parts: the record has no key.
func (d *Decoder) parseKey(ctx context.Context, w *worker, t *topic, rec *Record) ([]keyPart, error) {
	w.parts = w.parts[:0]
	if rec.Key == nil {
		return nil, nil
	}
	switch t.keyFormat {
	case KeyInteger:
		return w.integerKey(t, rec.Key)
	case KeyText:
		return w.single(t, string(appendText(nil, printable(string(rec.Key)))))
	}
	if id, rest, ok, err := schemaID(rec, rec.Key, &keyHeaders); err != nil {
		return nil, err
	} else if ok && (d.cfg.Schemas != nil || len(rest) == len(rec.Key)) { // without a registry five bytes that begin with a zero are a key as any other
		s, err := d.schemas.get(ctx, id)
		if err != nil {
			return nil, mayBeNumber(rec.Key, err)
		}
		return w.avroKey(t, s.root, string(rest))
	}
	return w.textKey(t, string(rec.Key))
}

// mayBeNumber adds to the reason why a key in Avro was not read what else eight bytes that begin with a zero may be. It is not guessed: a key read wrongly would
// be another row.
func mayBeNumber(key []byte, err error) error {
	var p poison
	if len(key) != 8 || key[0] != 0 || !errors.As(err, &p) {
		return err
	}
	return poison(string(p) + "; if the producer writes its keys as numbers of eight bytes, set key_format: integer at the model")
}

// integerKey reads a key that is a number as Kafka's serializers write it.
func (w *worker) integerKey(t *topic, b []byte) ([]keyPart, error) {
	var n int64
	switch len(b) {
	case 2:
		n = int64(int16(binary.BigEndian.Uint16(b)))
	case 4:
		n = int64(int32(binary.BigEndian.Uint32(b)))
	case 8:
		n = int64(binary.BigEndian.Uint64(b))
	default:
		return nil, poisonf("its key has %d bytes; with key_format: integer it has 2, 4 or 8", len(b))
	}
	return w.single(t, strconv.FormatInt(n, 10))
}

// printable is the key itself where it is text, else its bytes as Postgres prints them.
func printable(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return `\x` + hex.EncodeToString([]byte(s))
}

// textKey reads a key that is JSON, or plain text.
func (w *worker) textKey(t *topic, s string) ([]keyPart, error) {
	w.parts = w.parts[:0]
	i := space(s, 0)
	if i < len(s) && s[i] == '{' {
		w.keys = w.keys[:0]
		if end, err := object(s, i, 0, &w.keys); err != nil || space(s, end) != len(s) {
			return nil, poison("its key is JSON that is cut off or malformed")
		}
		if payload := get(w.keys, "payload"); payload != "" && len(w.keys) == 2 && get(w.keys, "schema") != "" {
			if payload[0] != '{' {
				return w.single(t, payload)
			}
			w.keys = w.keys[:0]
			if _, err := object(payload, 0, 0, &w.keys); err != nil {
				return nil, poison(err.Error())
			}
		}
		for _, f := range w.keys {
			p, err := jsonPart(f.key, f.val)
			if err != nil {
				return nil, err
			}
			w.parts = append(w.parts, p)
		}
		return w.parts, nil
	}
	if t := s[i:]; t != "" && (t[0] == '"' || t[0] == '-' || t[0] >= '0' && t[0] <= '9' || t == "null") && validJSON(t) {
		s = strings.TrimRight(t, " \t\r\n")
	} else {
		s = string(appendText(nil, printable(s)))
	}
	return w.single(t, s)
}

// single is a key of one value without a name.
func (w *worker) single(t *topic, raw string) ([]keyPart, error) {
	if raw == "null" {
		return nil, nil
	}
	p, err := jsonPart(t.keyName, raw)
	if err != nil {
		return nil, err
	}
	w.parts = append(w.parts[:0], p)
	return w.parts, nil
}

func jsonPart(name, raw string) (keyPart, error) {
	p := keyPart{name: name, json: true, cell: connector.Cell{State: connector.Set, Raw: raw}, typ: classText.typ()}
	switch raw[0] {
	case 'n':
		p.cell, p.text = connector.Cell{State: connector.Null}, nullText
		return p, nil
	case '"':
		var err error
		if p.text, err = text(raw); err != nil {
			return p, poison("its key: " + err.Error())
		}
	default:
		p.text = raw
		if c := classOf(raw); name != keyColumn {
			p.typ = c.typ()
		}
	}
	return p, nil
}

// avroKey reads a key in Avro.
func (w *worker) avroKey(t *topic, root *node, raw string) ([]keyPart, error) {
	if root.kind != aRecord {
		in, ok := root.inner()
		if !ok || root.kind == aUnion {
			return nil, poison("its Avro key is a union")
		}
		p, err := avroPart(t.keyName, in, connector.Cell{State: connector.Set, Raw: raw})
		w.parts = append(w.parts, p)
		return w.parts, err
	}
	cells, end := root.walk(raw, 0, w.afterCells[:0])
	if w.afterCells = cells; end != len(raw) {
		return nil, poison("its key: " + errAvro.Error())
	}
	for f := range cells {
		in, ok := root.fields[f].node.inner()
		if !ok {
			in = root.fields[f].node
		}
		p, err := avroPart(root.fields[f].name, in, cells[f])
		if err != nil {
			return nil, err
		}
		w.parts = append(w.parts, p)
	}
	return w.parts, nil
}

func avroPart(name string, n *node, c connector.Cell) (keyPart, error) {
	p := keyPart{name: name, cell: c, node: n, typ: n.typ}
	if p.typ == nil {
		p.typ = simple(connector.KindJSON, mixedName)
	}
	if c.State == connector.Null {
		p.text = nullText
		return p, nil
	}
	if n.kind == aString {
		if from, to := sized(c.Raw, 0); to == len(c.Raw) && utf8.ValidString(c.Raw[from:]) {
			p.text = c.Raw[from:]
			return p, nil
		}
	}
	v, err := n.decode(c.Raw)
	if err != nil {
		return p, poison("its key: " + err.Error())
	}
	p.text = valueText(v)
	return p, nil
}

// valueText writes a value as a key's text, and inside JSON.
func valueText(v connector.Value) string {
	switch v.Kind {
	case connector.KindNull:
		return nullText
	case connector.KindBool:
		return strconv.FormatBool(v.Int != 0)
	case connector.KindInt:
		return strconv.FormatInt(v.Int, 10)
	case connector.KindFloat:
		return floatDigits(v.Float, 64)
	case connector.KindDate:
		if v.Int > -100000000 && v.Int < 100000000 {
			return time.Unix(v.Int*86400, 0).UTC().Format(time.DateOnly)
		}
		return strconv.FormatInt(v.Int, 10)
	case connector.KindTime:
		return time.UnixMicro(v.Int).UTC().Format("15:04:05.999999")
	case connector.KindTimestamp, connector.KindTimestampTZ:
		switch v.Int {
		case connector.PosInfinity:
			return "infinity"
		case connector.NegInfinity:
			return "-infinity"
		}
		layout := "2006-01-02T15:04:05.999999"
		if v.Kind == connector.KindTimestampTZ {
			layout += "Z"
		}
		return time.UnixMicro(v.Int).UTC().Format(layout)
	case connector.KindArray:
		b := []byte{'['}
		for i := range v.List {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendValue(b, v.List[i])
		}
		return string(append(b, ']'))
	}
	return v.Str
}

// cellOf gives a key's value as the column of a row holds it; ok is false where it cannot be written so.
func (c *column) cellOf(p *keyPart) (connector.Cell, bool) {
	switch {
	case p.cell.State != connector.Set:
		return p.cell, true
	case c.node == nil && p.json:
		return p.cell, true
	case c.node == nil:
		if k := p.node.kind; k == aInt || k == aLong || k == aBool {
			return connector.Cell{State: connector.Set, Raw: p.text}, true
		}
		return connector.Cell{State: connector.Set, Raw: string(appendText(nil, p.text))}, p.node.kind == aString
	case p.node != nil && p.node.kind == c.node.kind && p.node.kind != aRecord:
		return p.cell, true
	}
	raw, ok := c.node.encode(p.text)
	return connector.Cell{State: connector.Set, Raw: raw}, ok
}
