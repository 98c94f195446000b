package envelope

import (
	"slices"

	"brazecdc/connector"
)

// Columns that no schema describes: their names and kinds are found in the records. A column's kind only ever widens, so that a table has few versions.

// class is what the values of such a column have been so far.
type class uint8

const (
	classNone class = iota // only NULL
	classInt
	classDecimal
	classBool
	classText
	classJSON
	classMixed // of several kinds: each is its own JSON
	classFloat // those below come in row_change records only
	classBytes
	classDate
	classTime
	classTimestamp
	classTimestampTZ
	classInterval
	classList
)

// mixedName marks the type whose strings are JSON texts themselves.
const mixedName = "mixed"

var classTypes = func() (t [classList + 1]*typ) {
	for c, k := range [...]connector.ValueKind{connector.KindText, connector.KindInt, connector.KindDecimal, connector.KindBool, connector.KindText, connector.KindJSON,
		connector.KindJSON, connector.KindFloat, connector.KindBytes, connector.KindDate, connector.KindTime, connector.KindTimestamp, connector.KindTimestampTZ,
		connector.KindInterval, connector.KindArray} {
		name := [...]string{"null", "integer", "number", "boolean", "string", "json", mixedName, "float", "bytes", "date", "time", "timestamp", "timestamptz", "interval", "list"}[c]
		t[c] = simple(k, name)
	}
	return t
}()

func (c class) typ() *typ { return classTypes[c] }

// classOf gives the class of a JSON value's text.
func classOf(raw string) class {
	switch raw[0] {
	case 'n':
		return classNone
	case 't', 'f':
		return classBool
	case '"':
		return classText
	case '{', '[':
		return classJSON
	}
	for i := range len(raw) {
		if c := raw[i]; c == '.' || c == 'e' || c == 'E' {
			return classDecimal
		}
	}
	if len(raw) > 18 {
		if n := len(raw); n > 20 || !fits64(raw) {
			return classDecimal
		}
	}
	return classInt
}

// fits64 tells whether an integer's text is within 64 bits with a sign.
func fits64(s string) bool {
	limit := "9223372036854775807"
	if s[0] == '-' {
		s, limit = s[1:], "9223372036854775808"
	}
	return len(s) < len(limit) || len(s) == len(limit) && s <= limit
}

// join gives the class that holds the values of both.
func join(a, b class) class {
	switch {
	case a == b || b == classNone:
		return a
	case a == classNone:
		return b
	case a == classInt && b == classDecimal || a == classDecimal && b == classInt:
		return classDecimal
	}
	return classMixed
}

// grow widens a table by what a row brings: new columns, other kinds of values.
func (d *Decoder) grow(t *topic, v *version, key []keyPart, images ...image) (*version, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := t.versions[versionKey{v.source, signature(key), v.full}]; now != nil {
		v = now // another goroutine may have grown it
	}
	columns := slices.Clone(v.columns[:v.inRow])
	index := make(map[string]int, len(columns))
	for i := range columns {
		index[columns[i].name] = i
	}
	found := false
	for _, im := range images {
		for _, f := range im.fields {
			i, ok := index[f.key]
			if !ok {
				if i = len(columns); i >= maxColumns {
					return nil, poisonf("the topic has more than %d columns", maxColumns)
				}
				c := column{name: string([]byte(f.key)), typ: classNone.typ()}
				if v.source == foundChange {
					c.node = cellNode
				}
				columns = append(columns, c)
				index[c.name] = i
				found = true
			}
			c := &columns[i]
			switch {
			case v.source == foundChange:
				c.class = join(c.class, changeClass(f.val))
			case !d.hold.json(f.val):
				c.class = join(c.class, classOf(f.val))
			}
			c.typ = c.class.typ()
			if h := t.hints[c.name]; h != nil {
				c.typ = h
			}
		}
	}
	full := v.full
	if found && len(v.columns) > 0 && !t.always {
		full = false // another shape of the table has to prove again that its old rows are whole
		delete(t.full, v.source)
	}
	grown := t.build(v.source, columns, key, full)
	t.keep(grown)
	d.log.Info("columns of a topic changed", "topic", t.name, "columns", len(columns))
	return grown, nil
}
