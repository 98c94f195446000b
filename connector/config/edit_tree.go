package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
)

// identities are the keys that name an item of a list.
var identities = []string{"name", "group", "attribute"}

// bracketPart reads [name], [0], [+] or ["any text"].
func bracketPart(s string) (p part, rest string, ok bool) {
	p.bracket = true
	if strings.HasPrefix(s, `["`) {
		quoted, err := strconv.QuotedPrefix(s[1:])
		if err != nil || !strings.HasPrefix(s[1+len(quoted):], "]") {
			return p, "", false
		}
		p.text, err = strconv.Unquote(quoted)
		p.quoted = true
		return p, s[len(quoted)+2:], err == nil
	}
	end := strings.IndexByte(s, ']')
	if end < 2 {
		return p, "", false
	}
	p.text = s[1:end]
	return p, s[end+1:], true
}

// identity is the name of an item of a list, "" where it has none.
func (n *node) identity() string {
	switch n.kind {
	case mapping:
		for _, key := range identities {
			if c := n.child(key); c != nil && c.kind == text {
				return c.raw
			}
		}
	case text, number, boolean:
		return n.raw
	}
	return ""
}

// find is the place of an item, -1 where there is none.
func (n *node) find(p part) int {
	if i, err := strconv.Atoi(p.text); err == nil && !p.quoted && p.text == strconv.Itoa(i) {
		if i >= 0 && i < len(n.items) {
			return i
		}
		return -1
	}
	return slices.IndexFunc(n.items, func(item *node) bool { return item.identity() == p.text })
}

// at is the value below n, nil where there is none.
func (n *node) at(steps []step) *node {
	for _, s := range steps {
		switch {
		case n == nil:
			return nil
		case !s.item:
			n = n.child(s.key)
		case s.index < len(n.items):
			n = n.items[s.index]
		default:
			return nil
		}
	}
	return n
}

// copied is the value without the places where it stands.
func (n *node) copied() *node {
	out := &node{kind: n.kind, raw: n.raw, path: n.path, style: n.style}
	for _, e := range n.entries {
		out.entries = append(out.entries, entry{key: e.key, node: e.node.copied()})
	}
	for _, item := range n.items {
		out.items = append(out.items, item.copied())
	}
	return out
}

// quote asks for quotes around texts of several lines.
func (n *node) quote() {
	if n.kind == text && strings.Contains(n.raw, "\n") {
		n.style = '"'
	}
	for _, e := range n.entries {
		e.node.quote()
	}
	for _, item := range n.items {
		item.quote()
	}
}

// equal compares values, not how they are written. The order of a map's keys is no value.
func equal(a, b *node) bool {
	if a == nil || b == nil {
		return a == b
	}
	if a.kind != b.kind || a.raw != b.raw || len(a.entries) != len(b.entries) || len(a.items) != len(b.items) {
		return false
	}
	for _, e := range a.entries {
		if !equal(e.node, b.child(e.key)) {
			return false
		}
	}
	for i := range a.items {
		if !equal(a.items[i], b.items[i]) {
			return false
		}
	}
	return true
}

// put makes the value at steps the given one, with maps and lists on the way where they are missing.
func put(n *node, steps []step, value *node) error {
	for _, s := range steps {
		if n.kind == null {
			n.kind = mapping
			if s.item {
				n.kind = sequence
			}
		}
		switch {
		case s.item && n.kind == sequence:
			if s.index == len(n.items) {
				n.items = append(n.items, &node{})
			}
			n = n.items[s.index]
		case !s.item && n.kind == mapping:
			if n.child(s.key) == nil {
				n.entries = append(n.entries, entry{key: s.key, node: &node{}})
			}
			n = n.child(s.key)
		default:
			return errors.New("it is neither a map nor a list")
		}
	}
	*n = *value.copied()
	return nil
}

// prune takes the value at steps out, and the map or list around it when that is empty then. An item of a list stays as an empty map.
func prune(n *node, steps []step) {
	steps = pruned(n, steps)
	parent, last := n.at(steps[:len(steps)-1]), steps[len(steps)-1]
	if last.item {
		parent.items = slices.Delete(parent.items, last.index, last.index+1)
		return
	}
	parent.entries = slices.DeleteFunc(parent.entries, func(e entry) bool { return e.key == last.key })
}

// pruned is the place to remove so that no empty map or list stays behind.
func pruned(n *node, steps []step) []step {
	for len(steps) > 1 && !steps[len(steps)-2].item {
		parent := n.at(steps[:len(steps)-1])
		if len(parent.entries)+len(parent.items) > 1 {
			break
		}
		steps = steps[:len(steps)-1]
	}
	return steps
}

// valueNode makes a node of the value of an Edit.
func valueNode(v any, depth int) (*node, error) {
	if depth > maxDepth {
		return nil, errors.New("the value is nested too deeply")
	}
	switch v := v.(type) {
	case nil:
		return &node{}, nil
	case string:
		if !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
			return nil, errors.New("the value is not text in UTF-8")
		}
		return &node{kind: text, raw: v}, nil
	case bool:
		return &node{kind: boolean, raw: strconv.FormatBool(v)}, nil
	case int:
		return &node{kind: number, raw: strconv.Itoa(v)}, nil
	case int64:
		return &node{kind: number, raw: strconv.FormatInt(v, 10)}, nil
	case uint64:
		return &node{kind: number, raw: strconv.FormatUint(v, 10)}, nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, errors.New("the value is no number that can be written")
		}
		data, err := json.Marshal(v)
		return &node{kind: number, raw: string(data)}, err
	case json.Number:
		if !jsonNumber.MatchString(v.String()) {
			return nil, fmt.Errorf("the value %.40q is no number", v.String())
		}
		return &node{kind: number, raw: v.String()}, nil
	case []string:
		out := &node{kind: sequence}
		for _, s := range v {
			out.items = append(out.items, &node{kind: text, raw: s})
		}
		return out, nil
	case []any:
		out := &node{kind: sequence}
		for _, item := range v {
			n, err := valueNode(item, depth+1)
			if err != nil {
				return nil, err
			}
			out.items = append(out.items, n)
		}
		return out, nil
	case yaml.MapSlice:
		return mapNode(v, depth)
	}
	return nil, fmt.Errorf("a value of type %T cannot be written", v)
}

func mapNode(v yaml.MapSlice, depth int) (*node, error) {
	out := &node{kind: mapping}
	for _, item := range v {
		key, ok := item.Key.(string)
		if !ok || !utf8.ValidString(key) || strings.ContainsRune(key, 0) {
			return nil, fmt.Errorf("a key of type %T cannot be written", item.Key)
		}
		if out.child(key) != nil {
			return nil, fmt.Errorf("the key %.60q is given twice", key)
		}
		n, err := valueNode(item.Value, depth+1)
		if err != nil {
			return nil, err
		}
		out.entries = append(out.entries, entry{key: key, node: n})
	}
	return out, nil
}

// plainValue is the node as the value of an Edit.
func (n *node) plainValue() any {
	switch n.kind {
	case null:
		return nil
	case boolean:
		return n.raw == "true"
	case number:
		return json.Number(n.raw)
	case sequence:
		out := make([]any, len(n.items))
		for i, item := range n.items {
			out[i] = item.plainValue()
		}
		return out
	case mapping:
		out := make(yaml.MapSlice, len(n.entries))
		for i, e := range n.entries {
			out[i] = yaml.MapItem{Key: e.key, Value: e.node.plainValue()}
		}
		return out
	}
	return n.raw
}
