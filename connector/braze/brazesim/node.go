package brazesim

import (
	"bytes"
	"unicode/utf8"
)

const (
	maxKey    = 479        // bytes of an attribute's name (braze-docs issue 11804)
	maxText   = 255        // characters of a string or of an attribute's name (Braze docs, Custom attribute data types)
	maxNested = 100 * 1024 // bytes of an object or array (Braze docs, Nested custom attributes; Array of objects)
	maxArray  = 500        // items of an array of scalars (Braze docs, Custom attribute data types)
)

// node is one parsed JSON value, used where values are merged or looked into. The hot path does without.
type node struct {
	kind kind
	text []byte // scalars as canonical JSON
	keys []string
	kids []*node
}

// parseNode reads a checked JSON value. Of a key that occurs twice the last value counts.
func parseNode(raw []byte) *node {
	s := scanner{buf: raw}
	return s.node()
}

func (s *scanner) node() *node {
	switch s.peek() {
	case '{':
		s.pos++
		n := &node{kind: kindObject}
		for !s.byte('}') {
			s.byte(',')
			s.byte('"')
			from := s.pos
			s.str()
			key := string(unquote(s.buf[from : s.pos-1]))
			s.byte(':')
			n.set(key, s.node())
		}
		return n
	case '[':
		s.pos++
		n := &node{kind: kindArray}
		for !s.byte(']') {
			s.byte(',')
			n.kids = append(n.kids, s.node())
		}
		return n
	}
	from, to, k := s.value()
	raw := s.buf[from:to]
	if k == kindString && bytes.IndexByte(raw, '\\') >= 0 {
		raw = appendQuoted(nil, text(raw))
	}
	return &node{kind: k, text: raw}
}

func (n *node) set(key string, v *node) {
	for i, k := range n.keys {
		if k == key {
			n.kids[i] = v
			return
		}
	}
	n.keys = append(n.keys, key)
	n.kids = append(n.kids, v)
}

// get returns the value of a key, or nil.
func (n *node) get(key string) *node {
	if n == nil || n.kind != kindObject {
		return nil
	}
	for i, k := range n.keys {
		if k == key {
			return n.kids[i]
		}
	}
	return nil
}

// str returns a string's value and whether the node is a string at all.
func (n *node) str() (string, bool) {
	if n == nil || n.kind != kindString {
		return "", false
	}
	return string(text(n.text)), true
}

// strings returns the values of an array of strings.
func (n *node) strings() ([]string, bool) {
	if n == nil || n.kind != kindArray {
		return nil, false
	}
	out := make([]string, 0, len(n.kids))
	for _, k := range n.kids {
		v, ok := k.str()
		if !ok {
			return nil, false
		}
		out = append(out, v)
	}
	return out, true
}

// only reports whether an object has keys, all of them among the given ones.
func (n *node) only(keys ...string) bool {
	for _, k := range n.keys {
		found := false
		for _, want := range keys {
			found = found || k == want
		}
		if !found {
			return false
		}
	}
	return len(n.keys) > 0
}

// append writes the node as compact JSON.
func (n *node) append(dst []byte) []byte {
	switch n.kind {
	case kindObject:
		dst = append(dst, '{')
		for i, k := range n.keys {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendQuoted(dst, []byte(k)), ':')
			dst = n.kids[i].append(dst)
		}
		return append(dst, '}')
	case kindArray:
		dst = append(dst, '[')
		for i, k := range n.kids {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = k.append(dst)
		}
		return append(dst, ']')
	}
	return append(dst, n.text...)
}

// leaves counts the keys that hold something other than an object: what a nested update costs (Braze docs, Data points).
func (n *node) leaves() int {
	switch n.kind {
	case kindObject:
		sum := 0
		for _, k := range n.kids {
			if k.kind == kindObject && k.get("$time") == nil {
				sum += k.leaves()
			} else {
				sum++
			}
		}
		return sum
	case kindArray:
		sum := 0
		for _, k := range n.kids {
			sum += k.leaves()
		}
		return sum
	}
	return 0
}

// sound reports whether a nested value may be stored: no null, keys of up to 255 characters without blanks, dots and dollar signs, strings of up
// to 255 characters, dates as {"$time": ...} (Braze docs, Nested custom attributes).
func (n *node) sound() bool {
	switch n.kind {
	case kindNull:
		return false
	case kindString:
		return !tooLong(n.text)
	case kindObject:
		if t := n.get("$time"); t != nil {
			v, ok := t.str()
			_, isTime := parseTime([]byte(v))
			return ok && isTime && len(n.keys) == 1
		}
		for _, k := range n.keys {
			if !soundKey(k) {
				return false
			}
		}
	}
	for _, k := range n.kids {
		if !k.sound() {
			return false
		}
	}
	return true
}

func soundKey(k string) bool {
	if k == "" || utf8.RuneCountInString(k) > maxText {
		return false
	}
	for i := 0; i < len(k); i++ {
		if k[i] == ' ' || k[i] == '.' || k[i] == '$' {
			return false
		}
	}
	return true
}

// tooLong reports whether a raw string value has more than 255 characters.
func tooLong(raw []byte) bool {
	return len(raw) > maxText+2 && utf8.RuneCount(text(raw)) > maxText
}

// merge lays src over dst: objects key by key, everything else replaced (Braze docs, Nested custom attributes, _merge_objects).
func merge(dst, src *node) *node {
	if dst == nil || dst.kind != kindObject || src.kind != kindObject || src.get("$time") != nil {
		return src
	}
	for i, k := range src.keys {
		dst.set(k, merge(dst.get(k), src.kids[i]))
	}
	return dst
}

// same compares two scalars by their canonical bytes.
func (n *node) same(o *node) bool {
	return n != nil && o != nil && n.kind == o.kind && bytes.Equal(n.append(nil), o.append(nil))
}
