package envelope

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/linkedin/goavro/v2"

	"brazecdc/connector"
)

// akind is how a value is laid out in Avro's binary encoding.
type akind uint8

const (
	aNull akind = iota
	aBool
	aInt
	aLong
	aFloat
	aDouble
	aBytes
	aString
	aFixed
	aEnum
	aArray
	aMap
	aUnion
	aRecord
)

var akinds = map[string]akind{"null": aNull, "boolean": aBool, "int": aInt, "long": aLong, "float": aFloat, "double": aDouble, "bytes": aBytes, "string": aString}

// node is a part of a writer's schema: enough to walk over a value, and to read it. Nodes are immutable once a schema is parsed; a recursive schema makes a cycle.
type node struct {
	kind     akind
	name     string // full name of a record, enum or fixed
	typ      *typ   // what a value becomes; nil for a union
	fields   []nodeField
	items    *node // of an array or map
	branches []*node
	null     int // the branch that is null, where a union has two; else -1
	size     int // of a fixed
	symbols  []string
	empty    bool // a value may take no bytes at all
}

type nodeField struct {
	name string
	node *node
	in   *node // node, or what is beside null in it
	null int8  // the branch that is null, of a union of two; else -1
}

// maxNodes bounds the size of a schema.
const maxNodes = 100000

// parseAvro reads a writer's schema, after those of the types that it takes from elsewhere. goavro decides whether it is valid: to it they are the fields of one
// record, of which each may name the types of those before.
func parseAvro(schema string, references []string) (n *node, err error) {
	parts, whole := append(slices.Clip(references), schema), schema
	if len(references) > 0 {
		fields := make([]string, len(parts))
		for i, part := range parts {
			fields[i] = fmt.Sprintf(`{"name":"_%d","type":%s}`, i, part)
		}
		whole = `{"type":"record","name":"_brazecdc","fields":[` + strings.Join(fields, ",") + `]}`
	}
	if _, err := goavro.NewCodec(whole); err != nil {
		return nil, fmt.Errorf("the Avro schema is not valid: %w", err)
	}
	p := schemaParser{names: map[string]*node{}}
	for _, part := range parts {
		d := json.NewDecoder(strings.NewReader(part))
		d.UseNumber()
		var raw any
		if err := d.Decode(&raw); err != nil {
			return nil, fmt.Errorf("the Avro schema is not valid: %w", err)
		}
		if n, err = p.node(raw, "", 0); err != nil {
			return nil, fmt.Errorf("the Avro schema is not valid: %w", err)
		}
	}
	return n, nil
}

type schemaParser struct {
	names map[string]*node
	count int
}

func (p *schemaParser) node(raw any, space string, depth int) (*node, error) {
	if p.count++; p.count > maxNodes || depth > maxDepth {
		return nil, errors.New("it is too large or too deep")
	}
	switch s := raw.(type) {
	case string:
		if k, ok := akinds[s]; ok {
			return p.scalar(k, s, nil), nil
		}
		for _, name := range []string{full(s, space), s} {
			if n := p.names[name]; n != nil {
				return n, nil
			}
		}
		return nil, fmt.Errorf("type %q is not defined", s)
	case []any:
		return p.union(s, space, depth)
	case map[string]any:
		return p.complex(s, space, depth)
	}
	return nil, errors.New("a type is neither a name, a list nor an object")
}

func full(name, space string) string {
	if space == "" || strings.Contains(name, ".") {
		return name
	}
	return space + "." + name
}

func (p *schemaParser) union(s []any, space string, depth int) (*node, error) {
	n := &node{kind: aUnion, null: -1}
	for i, b := range s {
		c, err := p.node(b, space, depth+1)
		if err != nil {
			return nil, err
		}
		if c.kind == aNull && len(s) == 2 {
			n.null = i
		}
		n.branches = append(n.branches, c)
	}
	return n, nil
}

// inner is what a value of the node is when it is not null; ok is false for a union of several types.
func (n *node) inner() (in *node, ok bool) {
	switch {
	case n.kind != aUnion:
		return n, true
	case n.null >= 0:
		return n.branches[1-n.null], true
	}
	return nil, false
}

func (p *schemaParser) complex(s map[string]any, space string, depth int) (*node, error) {
	kind, isName := s["type"].(string)
	if !isName {
		return p.node(s["type"], space, depth+1)
	}
	if k, ok := akinds[kind]; ok {
		return p.scalar(k, kind, s), nil
	}
	var err error
	switch kind {
	case "array", "map":
		n := &node{kind: aArray, null: -1}
		of := s["items"]
		if kind == "map" {
			n.kind, of = aMap, s["values"]
		}
		if n.items, err = p.node(of, space, depth+1); err != nil {
			return nil, err
		}
		n.typ = simple(connector.KindJSON, kind)
		if kind == "array" {
			n.typ = &typ{kind: connector.KindArray, name: "array", scale: -1, unit: micros}
		}
		return n, nil
	case "record", "error", "enum", "fixed":
		return p.defined(kind, s, space, depth)
	}
	return p.node(kind, space, depth+1)
}

// defined reads a type with a name, which later parts of the schema may refer to.
func (p *schemaParser) defined(kind string, s map[string]any, space string, depth int) (*node, error) {
	name, _ := s["name"].(string)
	if ns, ok := s["namespace"].(string); ok && !strings.Contains(name, ".") {
		space = ns
	}
	n := &node{name: full(name, space), null: -1}
	if i := strings.LastIndexByte(n.name, '.'); i >= 0 {
		space = n.name[:i]
	}
	p.names[n.name] = n
	switch kind {
	case "fixed":
		size, _ := s["size"].(json.Number)
		long, err := size.Int64()
		if err != nil || long < 0 || long > 1<<24 {
			return nil, fmt.Errorf("fixed %q has no usable size", name)
		}
		n.kind, n.size, n.empty = aFixed, int(long), long == 0
		n.typ = logical(aFixed, "fixed", s)
	case "enum":
		n.kind, n.typ = aEnum, simple(connector.KindText, "enum")
		list, _ := s["symbols"].([]any)
		for _, sym := range list {
			t, _ := sym.(string)
			n.symbols = append(n.symbols, t)
		}
	default:
		n.kind, n.empty = aRecord, true
		if n.typ = named(asString(s["connect.name"]), params(s)); n.typ == nil {
			n.typ = simple(connector.KindJSON, "record")
		}
		list, _ := s["fields"].([]any)
		for _, f := range list {
			m, _ := f.(map[string]any)
			c, err := p.node(m["type"], space, depth+1)
			if err != nil {
				return nil, err
			}
			if !c.empty {
				n.empty = false
			}
			nf := nodeField{name: asString(m["name"]), node: c, in: c, null: -1}
			if c.kind == aUnion && c.null >= 0 {
				nf.in, nf.null = c.branches[1-c.null], int8(c.null)
			}
			n.fields = append(n.fields, nf)
		}
	}
	return n, nil
}

func asString(v any) string {
	s, _ := v.(string)
	return s
}

func params(s map[string]any) map[string]string {
	m, _ := s["connect.parameters"].(map[string]any)
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[k] = asString(v)
	}
	return out
}

func (p *schemaParser) scalar(k akind, name string, s map[string]any) *node {
	return &node{kind: k, null: -1, typ: logical(k, name, s), empty: k == aNull}
}

// logical gives a type's meaning: by Connect's name where there is one (its converter also writes logical types of Avro that fit less well), then by Avro's logical
// type, else by its layout.
func logical(k akind, name string, s map[string]any) *typ {
	if t := named(asString(s["connect.name"]), params(s)); t != nil {
		return t
	}
	var t *typ
	word := asString(s["logicalType"])
	switch word {
	case "decimal":
		if k == aBytes || k == aFixed {
			t = simple(connector.KindDecimal, "decimal")
			t.scale = 0
			if n, ok := s["scale"].(json.Number); ok {
				if i, err := n.Int64(); err == nil && i >= 0 && i <= maxDigits {
					t.scale = int(i)
				}
			}
		}
	case "date":
		if k == aInt {
			t = simple(connector.KindDate, word)
		}
	case "time-millis", "time-micros", "time-nanos":
		t = simple(connector.KindTime, word)
	case "timestamp-millis", "timestamp-micros", "timestamp-nanos":
		t = simple(connector.KindTimestampTZ, word) // an instant (Avro specification)
	case "local-timestamp-millis", "local-timestamp-micros", "local-timestamp-nanos":
		t = simple(connector.KindTimestamp, word)
	}
	if t == nil || (t.kind != connector.KindDecimal && k != aInt && k != aLong) {
		return primitive(name, params(s))
	}
	switch {
	case strings.HasSuffix(word, "-millis"):
		t.unit = millis
	case strings.HasSuffix(word, "-nanos"):
		t.unit = nanos
	}
	return t
}

// members gives a record's fields as columns.
func (n *node) members() []member {
	out := make([]member, len(n.fields))
	for i, f := range n.fields {
		in, ok := f.node.inner()
		m := member{name: f.name, notNull: f.node.kind != aUnion, typ: simple(connector.KindJSON, mixedName)}
		if ok && in.kind != aNull {
			m.typ = in.typ
			if in.kind == aArray {
				m.typ = &typ{kind: connector.KindArray, name: in.typeName(0), scale: -1, unit: micros}
			}
		}
		out[i] = m
	}
	return out
}

func (n *node) typeName(depth int) string {
	in, ok := n.inner()
	switch {
	case !ok || depth > 8:
		return "mixed"
	case in.kind == aArray:
		return in.items.typeName(depth+1) + "[]"
	}
	return in.typ.name
}
