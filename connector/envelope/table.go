package envelope

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"brazecdc/connector"
)

// Columns that no schema describes are found as the records bring them. These words stand for where.
const (
	foundJSON   = "json"
	foundChange = "row-change"
)

// topic is what the Decoder knows of one topic.
type topic struct {
	name      string
	keyName   string
	keyFormat string // one of Key…, "" for KeyAuto
	always    bool   // its old rows are whole, says the configuration
	hints     map[string]*typ
	append    bool

	current atomic.Pointer[version]      // the last one that was used
	connect atomic.Pointer[connectShape] // the last one that was used
	deleted deletions

	mu       sync.Mutex
	shapes   map[string]*connectShape
	shaped   int // bytes of shapes' keys
	versions map[versionKey]*version
	full     map[any]bool // schemas whose old rows proved whole
}

// connectShape is a Connect schema that came with a record.
type connectShape struct {
	raw     string
	members []member
}

type versionKey struct {
	source any
	key    string
	full   bool
}

// version is a table's shape together with how its cells are laid out in the records it came with.
type version struct {
	table    *connector.Table
	source   any
	full     bool
	columns  []column
	index    map[string]int
	keyNames []string // of the record key's parts
	key      []int    // key columns, in the order of the columns
	part     []int    // by entry of key: which part of the record's key it is
	inRow    int      // columns before this one come from the row, the others from its key
}

type column struct {
	name    string
	typ     *typ
	node    *node // in Avro; nil in JSON
	class   class // where no schema describes it
	notNull bool  // says its schema
}

// Bounds on what hostile or mistaken topics can make this process remember.
const (
	maxColumns  = 4096
	maxVersions = 256
	maxShapes   = 16 << 20 // bytes of Connect schemas
)

func (d *Decoder) topic(name string) *topic {
	if t, ok := d.topics.Load(name); ok {
		return t.(*topic)
	}
	t := &topic{name: name, keyName: keyColumn, hints: map[string]*typ{}, append: d.cfg.Envelope == Append,
		shapes: map[string]*connectShape{}, versions: map[versionKey]*version{}, full: map[any]bool{}}
	for i, c := range d.cfg.Columns {
		if !c.Topics(name) {
			continue
		}
		maps.Copy(t.hints, d.columns[i])
		if c.KeyColumn != "" {
			t.keyName = c.KeyColumn
		}
		if c.KeyFormat != "" {
			t.keyFormat = c.KeyFormat
		}
	}
	if d.cfg.ReplicaIdentityFull != nil {
		t.always = d.cfg.ReplicaIdentityFull(name)
	}
	got, _ := d.topics.LoadOrStore(name, t)
	return got.(*topic)
}

// shape gives the columns that a Connect schema describes.
func (t *topic) shape(raw string, envelope bool) (*connectShape, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.shapes[raw]
	if s == nil {
		parsed, err := parseConnect(raw)
		if err != nil {
			return nil, poison(err.Error())
		}
		members, err := parsed.row(envelope)
		if err != nil {
			return nil, poison(err.Error())
		}
		if !envelope && isUnwrapped(members) {
			members = slices.DeleteFunc(members, func(m member) bool { return isMeta(m.name) })
		}
		if len(members) > maxColumns {
			return nil, poisonf("its schema has more than %d columns", maxColumns)
		}
		if t.shaped += len(raw); len(t.shapes) >= maxVersions || t.shaped > maxShapes {
			t.shapes, t.shaped = map[string]*connectShape{}, len(raw)
		}
		raw = strings.Clone(raw) // not the whole record
		s = &connectShape{raw: raw, members: members}
		t.shapes[raw] = s
	}
	t.connect.Store(s)
	return s, nil
}

func sameKey(names []string, key []keyPart) bool {
	if len(names) != len(key) {
		return false
	}
	for i := range key {
		if names[i] != key[i].name {
			return false
		}
	}
	return true
}

// version gives the table for rows with this schema and key. For columns that are found as they come it may lack some; see grow.
func (t *topic) version(source any, key []keyPart) (*version, error) {
	if v := t.current.Load(); v != nil && v.source == source && sameKey(v.keyNames, key) {
		return v, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	full := t.always || t.full[source]
	v := t.versions[versionKey{source, signature(key), full}]
	if v == nil {
		var columns []column
		switch s := source.(type) {
		case *avroSchema:
			columns = s.columns(t.hints)
		case *connectShape:
			columns = typed(s.members, t.hints)
		}
		v = t.build(source, columns, key, full)
		t.keep(v)
	}
	t.current.Store(v)
	return v, nil
}

// keep remembers a version; t.mu is held.
func (t *topic) keep(v *version) {
	if len(t.versions) >= maxVersions {
		t.versions = map[versionKey]*version{}
	}
	t.versions[versionKey{v.source, strings.Join(v.keyNames, nullText), v.full}] = v
	t.current.Store(v)
}

func signature(key []keyPart) string {
	if len(key) == 1 {
		return key[0].name
	}
	names := make([]string, len(key))
	for i := range key {
		names[i] = key[i].name
	}
	return strings.Join(names, nullText)
}

func typed(members []member, hints map[string]*typ) []column {
	out := make([]column, len(members))
	for i, m := range members {
		out[i] = column{name: m.name, typ: m.typ, notNull: m.notNull}
		if h := hints[m.name]; h != nil {
			out[i].typ = h
		}
	}
	return out
}

func (s *avroSchema) columns(hints map[string]*typ) []column {
	out := typed(s.members, hints)
	for f, i := range s.column {
		if i < 0 {
			continue
		}
		n := s.row.fields[f].node
		if in, ok := n.inner(); ok {
			n = in
		}
		if h := hints[out[i].name]; h != nil && n.kind < aEnum {
			other := *n
			other.typ = h
			n = &other
		} else {
			out[i].typ = s.members[i].typ
		}
		out[i].node = n
	}
	return out
}

// build makes a version of columns and the key's parts. A part that no column has the name of becomes a column of its own.
func (t *topic) build(source any, columns []column, key []keyPart, full bool) *version {
	v := &version{source: source, full: full, inRow: len(columns), index: make(map[string]int, len(columns))}
	v.columns = slices.Clone(columns)
	for i := range v.columns {
		v.index[v.columns[i].name] = i
	}
	parts := map[int]int{}
	for p := range key {
		name := strings.Clone(key[p].name)
		v.keyNames = append(v.keyNames, name)
		i, ok := v.index[name]
		if !ok {
			i = len(v.columns)
			c := column{name: name, typ: key[p].typ, node: key[p].node}
			if h := t.hints[name]; h != nil && c.node == nil {
				c.typ = h
			}
			v.columns = append(v.columns, c)
			v.index[name] = i
		}
		parts[i] = p
	}
	for i := range v.columns {
		p, isKey := parts[i]
		if isKey {
			v.key, v.part = append(v.key, i), append(v.part, p)
		}
	}
	v.table = &connector.Table{Name: t.name, Columns: make([]connector.Column, len(v.columns)), Rows: -1}
	if full {
		v.table.Identity = connector.IdentityFull
	}
	for i := range v.columns {
		_, isKey := parts[i]
		v.table.Columns[i] = v.columns[i].describe(isKey && !t.append)
	}
	if len(v.key) > 0 && !t.append {
		v.table.Unique = [][]int{v.key}
	}
	return v
}

func (c *column) describe(key bool) connector.Column {
	decode := c.typ.ofJSON
	switch {
	case c.node == cellNode:
		decode = c.typ.ofCell
	case c.node != nil:
		decode = c.node.decode
	}
	return connector.Column{Name: c.name, TypeName: c.typ.name, Kind: c.typ.kind, Key: key, NotNull: c.notNull, Decode: decode}
}

// whole notes whether a schema's old rows are whole, and gives the version that says so.
func (t *topic) whole(v *version, full bool, key []keyPart) *version {
	if v.full == full || t.always {
		return v
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.full[v.source] = full
	if v.source != foundJSON && v.source != foundChange { // else the other one's columns may have been others
		if other := t.versions[versionKey{v.source, signature(key), full}]; other != nil {
			t.current.Store(other)
			return other
		}
	}
	other := t.build(v.source, v.columns[:v.inRow], key, full)
	t.keep(other)
	return other
}

// encode writes a text as the Avro value of a key column.
func (n *node) encode(s string) (string, bool) {
	switch n.kind {
	case aString, aBytes:
		return string(binary.AppendVarint(nil, int64(len(s)))) + s, n.kind == aString || n.typ.kind == connector.KindBytes
	case aInt, aLong:
		i, err := strconv.ParseInt(s, 10, 64)
		return string(binary.AppendVarint(nil, i)), err == nil
	case aDouble:
		f, err := strconv.ParseFloat(s, 64)
		return string(binary.LittleEndian.AppendUint64(nil, math.Float64bits(f))), err == nil
	case aBool:
		return map[bool]string{true: "\x01", false: "\x00"}[s == "true"], s == "true" || s == "false"
	case aEnum:
		i := slices.Index(n.symbols, s)
		return string(binary.AppendVarint(nil, int64(i))), i >= 0
	}
	return "", false
}
