package config

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// trapWords are plain words that a YAML 1.1 reader takes for a boolean or for nothing.
var trapWords = []string{"y", "n", "yes", "no", "on", "off", "true", "false", "null", "~"}

var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

func isTrap(word string) bool { return slices.Contains(trapWords, strings.ToLower(word)) }

func (c *converter) scalar(out *node, n ast.Node, at place) {
	out.place = at
	tk := n.GetToken()
	out.raw = tk.Value
	switch v := n.(type) {
	case *ast.StringNode:
		out.kind = text
		out.raw = v.Value
		switch tk.Type {
		case token.SingleQuoteType:
			out.style = '\''
		case token.DoubleQuoteType:
			out.style = '"'
		default:
			// The library takes -3e4 for text, YAML 1.2 for a number.
			if jsonNumber.MatchString(out.raw) {
				out.kind = number
			}
		}
	case *ast.LiteralNode:
		out.kind = text
		if v.Value != nil {
			out.raw = v.Value.Value
		}
		out.style = '|'
		if tk.Type == token.FoldedType {
			out.style = '>'
		}
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		out.kind = number
	case *ast.BoolNode:
		out.kind = boolean
		out.raw = strings.ToLower(out.raw)
	default:
		c.d.addAt(at, out.path, "this kind of YAML value is not used here", "write a plain value")
		out.broken = true
		return
	}
	out.value = out.raw
	if out.kind != text {
		return
	}
	var problems []problem
	out.value, out.segs, out.expanded, problems = c.x.expand(out.raw)
	for _, p := range problems {
		out.broken = true
		c.d.bad(out, p.what, p.fix)
		c.d.faults[len(c.d.faults)-1].Unset = p.unset
	}
}

// entries fills a mapping: written keys first in their order, merged ones (<<) where the merge stands, unless written too.
func (c *converter) entries(out *node, values []*ast.MappingValueNode, path string, depth int) {
	written := map[string]place{}
	for _, v := range values {
		if v != nil && v.Key != nil && v.Key.Type() != ast.MergeKeyType {
			if _, ok := written[keyText(v.Key)]; !ok {
				written[keyText(v.Key)] = tokenPlace(v.Key.GetToken())
			}
		}
	}
	for _, v := range values {
		if v == nil || v.Key == nil {
			continue
		}
		at := tokenPlace(v.Key.GetToken())
		switch v.Key.Type() {
		case ast.MergeKeyType:
			c.merge(out, c.node(v.Value, path, at, depth+1), written)
			continue
		case ast.MappingKeyType, ast.MappingType, ast.SequenceType, ast.AliasType, ast.AnchorType, ast.TagType, ast.LiteralType:
			c.d.addAt(at, path, "a key must be a plain word", "write key: value")
			continue
		}
		key := keyText(v.Key)
		if first := written[key]; first != at {
			c.d.addAt(at, join(path, key), fmt.Sprintf("%s is given twice, first on line %d", join(path, key), first.line), "keep one")
			continue
		}
		t := v.Key.GetToken().Type
		out.entries = append(out.entries, entry{
			key: key, quoted: t == token.SingleQuoteType || t == token.DoubleQuoteType, place: at,
			node: c.node(v.Value, join(path, key), at, depth+1),
		})
	}
}

func keyText(k ast.MapKeyNode) string {
	if s, ok := k.(*ast.StringNode); ok {
		return s.Value
	}
	if t := k.GetToken(); t != nil {
		return t.Value
	}
	return ""
}

func (c *converter) merge(out, from *node, written map[string]place) {
	switch from.kind {
	case mapping:
		for _, e := range from.entries {
			if _, ok := written[e.key]; !ok && out.child(e.key) == nil {
				out.entries = append(out.entries, e)
			}
		}
	case sequence:
		for _, item := range from.items {
			c.merge(out, item, written)
		}
	default:
		if !from.broken {
			c.d.addAt(from.place, out.path, "<< merges a mapping, and this is "+from.describe(), "name an anchor of a mapping")
		}
	}
}

// join is the path of a key below path. Keys that would read as several steps are quoted.
func join(path, key string) string {
	if key == "" || strings.ContainsAny(key, ".[]\" \n\t") {
		return path + "[" + strconv.Quote(key) + "]"
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// describe says what a value is, for "is X; write Y".
func (n *node) describe() string {
	switch n.kind {
	case null:
		return "empty"
	case sequence:
		return "a list"
	case mapping:
		return "a mapping"
	}
	return n.shown()
}

// shown is the scalar as the file has it. What a variable held is not shown: it may be a secret under the wrong name.
func (n *node) shown() string {
	s := n.raw
	if r := []rune(s); len(r) > 60 {
		s = string(r[:60]) + "…"
	}
	if n.kind == text && !n.expanded {
		return strconv.Quote(s)
	}
	return s
}
