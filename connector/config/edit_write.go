package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// inlineWidth is how long a map or list on one line may be.
const inlineWidth = 100

// spread are settings whose entries stand on lines of their own, however short they are: people look for them and add to them.
var spread = []string{"braze", "source", "postgres", "kafka", "fields", "custom", "properties", "columns", "models", "subscription_groups", "audiences", "groups"}

// numberLike is plain text that some YAML readers take for a number, a time or a date.
var numberLike = regexp.MustCompile(`^[-+]?[0-9][0-9_,.]*$|^[-+]?[0-9][0-9_]*(:[0-9]+)+(\.[0-9]*)?$|^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}|^[-+]?0[xob]|^[-+]?\.[0-9]|^[-+]?[0-9.]+[eE]`)

// inline is the value on one line; false where it is better written on several. key is what it stands under, "" for an item.
func inline(v *node, key string, flow bool, style byte) (string, bool) {
	switch v.kind {
	case sequence, mapping:
		if !flow && slices.Contains(spread, key) && len(v.entries)+len(v.items) > 0 {
			return "", false
		}
		if !flow && (v.kind == sequence && slices.ContainsFunc(v.items, (*node).isCollection) ||
			slices.ContainsFunc(v.entries, func(e entry) bool { return e.node.isCollection() })) {
			return "", false
		}
		s := inlineAll(v)
		return s, flow || len(s) <= inlineWidth
	case text:
		if !flow && v.style != '"' && literal(v.raw) {
			return "", false
		}
	}
	return scalarText(v, flow, style), true
}

func (n *node) isCollection() bool { return len(n.items)+len(n.entries) > 0 }

func inlineAll(v *node) string {
	var parts []string
	switch v.kind {
	case sequence:
		for _, item := range v.items {
			parts = append(parts, inlineAll(item))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case mapping:
		if len(v.entries) == 0 {
			return "{}"
		}
		for _, e := range v.entries {
			parts = append(parts, quotedKey(e.key, true)+": "+inlineAll(e.node))
		}
		return "{ " + strings.Join(parts, ", ") + " }"
	}
	return scalarText(v, true, 0)
}

// entryText is "key: value", on several lines where it must be, each indented but the first.
func entryText(key string, v *node, indent int) string {
	name := quotedKey(key, false) + ":"
	if s, ok := inline(v, key, false, 0); ok {
		return name + " " + s
	}
	if v.kind == text {
		return name + " " + literalText(v.raw, indent+2)
	}
	return name + "\n" + strings.Repeat(" ", indent+2) + blockText(v, indent+2)
}

// blockText is a map or list on several lines, each indented but the first.
func blockText(v *node, indent int) string {
	pad := "\n" + strings.Repeat(" ", indent)
	var lines []string
	for _, e := range v.entries {
		lines = append(lines, entryText(e.key, e.node, indent))
	}
	for _, item := range v.items {
		lines = append(lines, itemText(item, indent))
	}
	return strings.Join(lines, pad)
}

// itemText is "- value". A map with a name of its own is spread, as models are.
func itemText(v *node, indent int) string {
	if s, ok := inline(v, "", false, 0); ok && (v.kind != mapping || v.child("name") == nil) {
		return "- " + s
	}
	if v.kind == text {
		return "- " + literalText(v.raw, indent+2)
	}
	return "- " + blockText(v, indent+2)
}

// literal tells whether a text of several lines can stand as it is behind a |.
func literal(s string) bool {
	body := strings.TrimSuffix(s, "\n")
	if !strings.Contains(body, "\n") || strings.HasSuffix(body, "\n") || strings.HasPrefix(body, "\n") || strings.HasPrefix(body, " ") {
		return false
	}
	for _, r := range body {
		if r != '\n' && (!unicode.IsPrint(r) || r == '\ufeff') {
			return false
		}
	}
	for line := range strings.SplitSeq(body, "\n") {
		if strings.HasSuffix(line, " ") {
			return false
		}
	}
	return true
}

func literalText(s string, indent int) string {
	body, ends := strings.CutSuffix(s, "\n")
	head := "|-"
	if ends {
		head = "|"
	}
	for line := range strings.SplitSeq(body, "\n") {
		head += "\n"
		if line != "" {
			head += strings.Repeat(" ", indent) + line
		}
	}
	return head
}

func quotedKey(key string, flow bool) string {
	return scalarText(&node{kind: text, raw: key}, flow, 0)
}

// scalarText writes a scalar, with the quotes that style had where they do.
func scalarText(v *node, flow bool, style byte) string {
	switch v.kind {
	case text:
	case null:
		return "null"
	default:
		return v.raw
	}
	plainOnly := !strings.ContainsFunc(v.raw, func(r rune) bool { return !unicode.IsPrint(r) || r == '\ufeff' })
	switch {
	case style == '"' || !plainOnly:
		return doubleQuoted(v.raw)
	case style == '\'' || !plain(v.raw, flow):
		return "'" + strings.ReplaceAll(v.raw, "'", "''") + "'"
	}
	return v.raw
}

// plain tells whether a text can stand without quotes and is the same text to every reader.
func plain(s string, flow bool) bool {
	if s == "" || isTrap(s) || numberLike.MatchString(s) || strings.ContainsAny(s[:1], "-?:,[]{}#&*!|>'\"%@`=<") || s[0] == ' ' || s[len(s)-1] == ' ' {
		return false
	}
	if strings.Contains(s, ": ") || strings.Contains(s, " #") || strings.HasSuffix(s, ":") || strings.HasPrefix(s, "...") {
		return false
	}
	if flow && strings.ContainsAny(s, ",[]{}:'\"") {
		return false
	}
	e := &editor{text: []byte("k: " + s + "\n")}
	if e.read() != nil {
		return false
	}
	n := e.root.child("k")
	return n != nil && n.kind == text && n.raw == s && n.style == 0 && len(e.comments) == 0
}

func doubleQuoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case unicode.IsPrint(r) && r != '\ufeff':
			b.WriteRune(r)
		case r <= 0xff:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
