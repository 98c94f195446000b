package config

import (
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// remove takes a key or an item out, and what would be empty around it.
func (e *editor) remove(steps []step) error {
	steps = pruned(e.root, steps)
	holder, last := steps[:len(steps)-1], steps[len(steps)-1]
	at, err := e.locate(holder)
	if err != nil {
		return err
	}
	n := bare(at.value)
	if last.item {
		list, ok := n.(*ast.SequenceNode)
		switch {
		case !ok || last.index >= len(list.Values):
			return errShared
		case list.IsFlowStyle:
			return e.removeFlow(e.flowItems(list), last.index)
		case len(list.Values) == 1:
			return e.replace(holder, &node{kind: sequence})
		}
		return e.removeItem(list, last.index)
	}
	values, flow := entriesOf(n)
	i := keyIndex(values, last.key)
	switch {
	case i < 0:
		return errShared
	case flow:
		items := make([]span, len(values))
		for j, v := range values {
			items[j] = span{e.spans[v.Key.GetToken()].from, e.entryEnd(v)}
		}
		return e.removeFlow(items, i)
	case len(values) == 1 && len(holder) > 0:
		return e.replace(holder, &node{kind: mapping})
	}
	from, next := e.spans[values[i].Key.GetToken()].from, -1
	if i+1 < len(values) {
		next = e.spans[values[i+1].Key.GetToken()].from
	}
	return e.removeLines(from, e.entryEnd(values[i]), next)
}

func (e *editor) removeItem(list *ast.SequenceNode, i int) error {
	from, next := e.spans[list.Entries[i].Start].from, -1
	if i+1 < len(list.Entries) {
		next = e.spans[list.Entries[i+1].Start].from
	}
	return e.removeLines(from, e.itemEnd(list, i), next)
}

// removeLines takes a block's entry out: its lines and the comment above it. One that begins behind a dash gives its place to the next.
func (e *editor) removeLines(from, to, next int) error {
	end := e.lineEnd(to)
	if !e.first(from) {
		if next >= 0 && blank(e.src[end:next]) {
			return e.splice(splice{from, next, ""})
		}
		return e.splice(splice{from, end, ""})
	}
	start := e.withComments(from)
	switch {
	case end < len(e.src):
		end++
	case start > 0:
		start-- // the last line goes with the newline before it
	}
	above := start > 0 && blank(e.src[e.lineStart(start-1):start-1]) || start == 0
	if above && end < len(e.src) && blank(e.src[end:e.lineEnd(end)]) && e.lineEnd(end) < len(e.src) {
		end = e.lineEnd(end) + 1 // no two blank lines where the entry stood between them
	}
	return e.splice(splice{start, end, ""})
}

func (e *editor) flowItems(list *ast.SequenceNode) []span {
	items := make([]span, len(list.Values))
	for i, v := range list.Values {
		items[i], _ = e.of(v)
	}
	return items
}

// removeFlow takes an item out of brackets or braces, with one comma.
func (e *editor) removeFlow(items []span, i int) error {
	gone := items[i]
	if gone.to == 0 {
		return errPlace
	}
	var comma span
	switch {
	case len(items) == 1:
		if comma = e.comma(gone.to, e.nextClose(gone.to)); comma.to > 0 {
			return e.splice(splice{gone.from, gone.to, ""}, splice{comma.from, comma.to, ""})
		}
		return e.splice(splice{gone.from, gone.to, ""})
	case i+1 < len(items):
		comma = e.comma(gone.to, items[i+1].from)
	default:
		comma = e.comma(items[i-1].to, gone.from)
	}
	if comma.to == 0 {
		return errPlace
	}
	if i+1 < len(items) {
		if blank(e.src[comma.to:items[i+1].from]) && comma.from == gone.to {
			return e.splice(splice{gone.from, items[i+1].from, ""})
		}
		return e.splice(splice{gone.from, gone.to, ""}, splice{comma.from, comma.to, ""})
	}
	if blank(e.src[comma.to:gone.from]) {
		return e.splice(splice{comma.from, gone.to, ""})
	}
	return e.splice(splice{comma.from, comma.to, ""}, splice{gone.from, gone.to, ""})
}

// comma is the first comma token from one place up to another.
func (e *editor) comma(from, to int) span { return e.token(token.CollectEntryType, from, to) }

// nextClose is where the next bracket or brace closes.
func (e *editor) nextClose(from int) int {
	end := len(e.src)
	for _, t := range []token.Type{token.MappingEndType, token.SequenceEndType} {
		if s := e.token(t, from, end); s.to > 0 {
			end = s.from
		}
	}
	return end
}

func (e *editor) token(kind token.Type, from, to int) span {
	var found span
	for t, s := range e.spans {
		if t.Type == kind && s.from >= from && s.to <= to && (found.to == 0 || s.from < found.from) && strings.TrimSpace(e.src[s.from:s.to]) != "" {
			found = s
		}
	}
	return found
}
