package config

import (
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// slot is where a value stands.
type slot struct {
	value ast.Node
	// mark is the colon or the dash before it; key is its key's. Both are nil in a flow list.
	mark, key *token.Token
	flow      bool // inside of { } or [ ]
}

// locate finds the slot of a value that the text has.
func (e *editor) locate(steps []step) (slot, error) {
	at := slot{value: e.body}
	for _, s := range steps {
		n := bare(at.value)
		if s.item {
			list, ok := n.(*ast.SequenceNode)
			if !ok || s.index >= len(list.Values) {
				return slot{}, errShared
			}
			at = slot{value: list.Values[s.index], flow: at.flow || list.IsFlowStyle}
			if !list.IsFlowStyle {
				at.mark = list.Entries[s.index].Start
			}
			continue
		}
		values, flow := entriesOf(n)
		i := keyIndex(values, s.key)
		if i < 0 {
			return slot{}, errShared
		}
		at = slot{value: values[i].Value, mark: values[i].Start, key: values[i].Key.GetToken(), flow: at.flow || flow}
	}
	return at, nil
}

// bare is a value without the anchor that names it.
func bare(n ast.Node) ast.Node {
	for {
		a, ok := n.(*ast.AnchorNode)
		if !ok {
			return n
		}
		n = a.Value
	}
}

func entriesOf(n ast.Node) (values []*ast.MappingValueNode, flow bool) {
	switch v := n.(type) {
	case *ast.MappingNode:
		return v.Values, v.IsFlowStyle
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{v}, v.IsFlowStyle
	}
	return nil, false
}

func keyIndex(values []*ast.MappingValueNode, key string) int {
	for i, v := range values {
		if v != nil && v.Key != nil && v.Key.Type() != ast.MergeKeyType && keyText(v.Key) == key {
			return i
		}
	}
	return -1
}

// spreads tells whether a value is a collection over several lines, without brackets.
func spreads(n ast.Node) bool {
	switch v := bare(n).(type) {
	case *ast.MappingNode:
		return !v.IsFlowStyle
	case *ast.MappingValueNode:
		return !v.IsFlowStyle
	case *ast.SequenceNode:
		return !v.IsFlowStyle
	}
	return false
}

// replace writes another value where one stands.
func (e *editor) replace(steps []step, v *node) error {
	at, err := e.locate(steps)
	if err != nil {
		return err
	}
	style := byte(0)
	if old := e.root.at(steps); old.kind == text && (old.style == '"' || old.style == '\'') {
		style = old.style
	}
	key := ""
	if last := steps[len(steps)-1]; !last.item {
		key = last.key
	}
	if s, ok := inline(v, key, at.flow, style); ok {
		return e.replaceInline(at, s)
	}
	if v.kind != text {
		return e.replaceBlock(at, v)
	}
	if !spreads(at.value) && at.mark != nil {
		indent := e.indent(at) + 2
		head, body, _ := strings.Cut(literalText(v.raw, indent), "\n")
		old, ok := e.of(at.value)
		if !ok {
			old = span{e.spans[at.mark].to, e.spans[at.mark].to}
			head = " " + head
		}
		end := e.lineEnd(old.to)
		if err := e.splice(splice{old.from, old.to, head}, splice{end, end, "\n" + body}); err == nil {
			return nil
		}
	}
	return e.replaceInline(at, doubleQuoted(v.raw))
}

// indent is the indentation of the key or dash of a value.
func (e *editor) indent(at slot) int {
	if at.key != nil {
		return e.column(e.spans[at.key].from)
	}
	return e.column(e.spans[at.mark].from)
}

func (e *editor) replaceInline(at slot, s string) error {
	old, ok := e.of(at.value)
	mark, marked := e.spans[at.mark]
	switch {
	case !ok && marked:
		return e.splice(splice{mark.to, mark.to, " " + s})
	case !ok && at.key != nil:
		end := e.spans[at.key].to
		return e.splice(splice{end, end, ": " + s})
	case !ok:
		return errPlace
	case !spreads(at.value):
		return e.splice(splice{old.from, old.to, s})
	case !marked:
		return errPlace
	case e.lineStart(mark.from) == e.lineStart(old.from):
		return e.splice(splice{old.from, e.lineEnd(old.to), s})
	}
	return e.splice(splice{mark.to, mark.to, " " + s}, splice{e.lineEnd(mark.to), e.lineEnd(old.to), ""})
}

// replaceBlock writes a map or list over several lines. A comment behind the old value stays behind the key.
func (e *editor) replaceBlock(at slot, v *node) error {
	mark, ok := e.spans[at.mark]
	if !ok {
		return errPlace
	}
	indent := e.indent(at) + 2
	text := blockText(v, indent)
	old, has := e.of(at.value)
	if !has {
		old = span{mark.to, mark.to}
	}
	if at.key == nil {
		if !has {
			text = " " + text
		}
		return e.splice(splice{old.from, old.to, text})
	}
	text = "\n" + strings.Repeat(" ", indent) + text
	end := e.lineEnd(old.to)
	if has && spreads(at.value) {
		return e.splice(splice{e.lineEnd(mark.to), end, text})
	}
	return e.splice(splice{mark.to, old.to, ""}, splice{end, end, text})
}

// add writes a value that the text does not have, with what is missing on the way.
func (e *editor) add(steps []step, v *node) error {
	have := len(steps)
	for have > 0 && e.root.at(steps[:have]) == nil {
		have--
	}
	holder := e.root.at(steps[:have])
	wrapped := &node{}
	if err := put(wrapped, steps[have+1:], v); err != nil {
		return err
	}
	next := steps[have]
	switch {
	case holder.kind == null:
		whole := &node{}
		if err := put(whole, steps[have:], v); err != nil {
			return err
		}
		return e.replace(steps[:have], whole)
	case next.item:
		return e.insert(steps[:have], next.index, wrapped)
	}
	return e.addKey(steps[:have], next.key, wrapped)
}

func (e *editor) addKey(steps []step, key string, v *node) error {
	if e.body == nil {
		text := entryText(key, v, 0) + "\n"
		if e.src != "" && !strings.HasSuffix(e.src, "\n") {
			text = "\n" + text
		}
		return e.splice(splice{len(e.src), len(e.src), text})
	}
	at, err := e.locate(steps)
	if err != nil {
		return err
	}
	values, flow := entriesOf(bare(at.value))
	if flow {
		return e.addFlow(steps, at, key, v)
	}
	if len(values) == 0 {
		return errShared
	}
	indent := e.column(e.spans[values[0].Key.GetToken()].from)
	last := values[len(values)-1]
	if len(steps) == 0 && len(values) > 1 && keyText(last.Key) == "models" {
		last = values[len(values)-2] // settings of all models stand before them
	}
	end := e.lineEnd(e.entryEnd(last))
	return e.splice(splice{end, end, "\n" + strings.Repeat(" ", indent) + entryText(key, v, indent)})
}

// addFlow adds to a map in braces; one that is empty and stands in no other becomes a map of lines where its value needs them.
func (e *editor) addFlow(steps []step, at slot, key string, v *node) error {
	m, ok := bare(at.value).(*ast.MappingNode)
	if !ok {
		return errPlace
	}
	if len(m.Values) == 0 && !at.flow && len(steps) > 0 {
		return e.replace(steps, &node{kind: mapping, entries: []entry{{key: key, node: v}}})
	}
	text := quotedKey(key, true) + ": " + inlineAll(v)
	if len(m.Values) == 0 {
		start := e.spans[m.Start].to
		return e.splice(splice{start, start, text})
	}
	end := e.entryEnd(m.Values[len(m.Values)-1])
	return e.splice(splice{end, end, ", " + text})
}

// insert writes an item before that at place i of a list, or behind the last.
func (e *editor) insert(steps []step, i int, v *node) error {
	at, err := e.locate(steps)
	if err != nil {
		return err
	}
	list, ok := bare(at.value).(*ast.SequenceNode)
	if !ok {
		return errShared
	}
	if list.IsFlowStyle {
		return e.insertFlow(steps, at, list, i, v)
	}
	if len(list.Entries) == 0 {
		return errPlace
	}
	indent := e.column(e.spans[list.Entries[0].Start].from)
	pad := strings.Repeat(" ", indent)
	if i >= len(list.Entries) {
		end := e.lineEnd(e.itemEnd(list, len(list.Entries)-1))
		return e.splice(splice{end, end, "\n" + pad + itemText(v, indent)})
	}
	dash := e.spans[list.Entries[i].Start].from
	if !e.first(dash) {
		return errPlace
	}
	start := e.withComments(dash)
	return e.splice(splice{start, start, pad + itemText(v, indent) + "\n"})
}

func (e *editor) insertFlow(steps []step, at slot, list *ast.SequenceNode, i int, v *node) error {
	text := inlineAll(v)
	switch {
	case len(list.Values) == 0 && !at.flow && at.mark != nil:
		return e.replace(steps, &node{kind: sequence, items: []*node{v}})
	case len(list.Values) == 0:
		start := e.spans[list.Start].to
		return e.splice(splice{start, start, text})
	case i >= len(list.Values):
		last, ok := e.of(list.Values[len(list.Values)-1])
		if !ok {
			return errPlace
		}
		return e.splice(splice{last.to, last.to, ", " + text})
	}
	next, ok := e.of(list.Values[i])
	if !ok {
		return errPlace
	}
	return e.splice(splice{next.from, next.from, text + ", "})
}
