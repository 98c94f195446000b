package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// Edit is one change of the YAML text.
//
// Path is written as in faults: "braze.endpoint", "models[customers].fields.email". An item of a list is named by its name, group or attribute, by the
// text it is ("never_send[ssn]"), or by its place from 0 ("models[0]"); [+] appends one. A key that holds a dot or a bracket stands in quotes:
// models[customers].custom["a.b"]. What is missing on the way is made.
//
// Value is nil, a string, bool, integer, float, json.Number, []string, []any, or yaml.MapSlice of these. A map or list takes the place of the old one, and what both have
// in common stays as it is written. Remove takes the key or the item out, and the map or list around it when that was its last.
type Edit struct {
	Path   string
	Value  any
	Remove bool
}

// Map is a short way to write an ordered map: keys and values by turns.
func Map(pairs ...any) yaml.MapSlice {
	out := make(yaml.MapSlice, 0, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		out = append(out, yaml.MapItem{Key: pairs[i], Value: pairs[i+1]})
	}
	return out
}

// Key writes a key so that it is one step of a path, whatever it holds: Key("models[a].custom", "x.y").
func Key(path, key string) string { return join(path, key) }

// Apply makes the edits, in their order, in the text. It moves only the bytes of what changes: comments, order and the writing of all else stay. The
// result is read again and must hold what was meant; else the error says why, and the text is to be edited by hand.
func Apply(text []byte, edits ...Edit) ([]byte, error) {
	e := &editor{text: slices.Clone(text)}
	if err := e.read(); err != nil {
		return nil, err
	}
	for _, edit := range edits {
		next, err := e.try(edit)
		if err != nil {
			return nil, fmt.Errorf("change %s: %w", edit.Path, err)
		}
		e = next
	}
	return e.text, nil
}

// try makes one edit. Texts of several lines are written as they are; where a deeper comment behind them, or a newline that the file lacks at its end, makes
// another text of them, they are written in quotes, or the newline is added.
func (e *editor) try(edit Edit) (*editor, error) {
	var first error
	for _, quoted := range []bool{false, true} {
		for _, ended := range []bool{false, true} {
			next := *e
			if ended {
				if e.src == "" || strings.HasSuffix(e.src, "\n") {
					continue
				}
				next = editor{text: append(slices.Clone(e.text), '\n')}
				if next.read() != nil || !equal(next.root, e.root) {
					continue
				}
			}
			err := next.apply(edit, quoted)
			if err == nil {
				return &next, nil
			}
			if first == nil {
				first = err
			}
		}
	}
	return nil, first
}

// step is one part of a path: a key of a map, or an item of a list.
type step struct {
	key   string // of a map; for an item found by name, that name
	index int    // of a list, where item is true
	item  bool
}

func (s step) String() string {
	if s.item {
		return fmt.Sprintf("[%d]", s.index)
	}
	return s.key
}

// apply makes one edit and checks that nothing but what it says has changed.
func (e *editor) apply(edit Edit, quoted bool) error {
	steps, err := e.steps(edit.Path)
	if err != nil {
		return err
	}
	meant := e.root.copied()
	if edit.Remove {
		if meant.at(steps) == nil {
			return nil
		}
		prune(meant, steps)
		if err := e.remove(steps); err != nil {
			return err
		}
	} else {
		value, err := valueNode(edit.Value, 0)
		if err != nil {
			return err
		}
		if err := put(meant, steps, value); err != nil {
			return err
		}
		if quoted {
			value.quote()
		}
		if err := e.set(steps, value); err != nil {
			return err
		}
	}
	if !equal(meant, e.root) {
		return errShared
	}
	return nil
}

// set makes the value at steps the given one, by the smallest changes.
func (e *editor) set(steps []step, value *node) error {
	old := e.root.at(steps)
	switch {
	case old == nil:
		return e.add(steps, value)
	case equal(old, value):
		return nil
	case old.kind == mapping && value.kind == mapping && len(old.entries) > 0 && len(value.entries) > 0:
		return e.setMap(steps, old, value)
	case old.kind == sequence && value.kind == sequence && len(old.items) > 0 && len(value.items) > 0:
		return e.setList(steps, old, value)
	}
	return e.replace(steps, value)
}

func (e *editor) setMap(steps []step, old, value *node) error {
	for _, v := range value.entries {
		if err := e.set(under(steps, step{key: v.key}), v.node); err != nil {
			return err
		}
	}
	for _, v := range old.entries {
		if value.child(v.key) == nil {
			if err := e.remove(under(steps, step{key: v.key})); err != nil {
				return err
			}
		}
	}
	return nil
}

// setList keeps the items that both begin and end with, and sets, adds or removes those between.
func (e *editor) setList(steps []step, old, value *node) error {
	was, is := old.items, value.items
	head := 0
	for head < len(was) && head < len(is) && equal(was[head], is[head]) {
		head++
	}
	tail := 0
	for tail < len(was)-head && tail < len(is)-head && equal(was[len(was)-1-tail], is[len(is)-1-tail]) {
		tail++
	}
	both := min(len(was), len(is)) - head - tail
	for i := head; i < head+both; i++ {
		if err := e.set(under(steps, step{index: i, item: true}), is[i]); err != nil {
			return err
		}
	}
	for i := head + both; i < len(is)-tail; i++ {
		if err := e.insert(steps, i, is[i]); err != nil {
			return err
		}
	}
	for i := len(was) - tail - 1; i >= head+both; i-- {
		if err := e.remove(under(steps, step{index: i, item: true})); err != nil {
			return err
		}
	}
	return nil
}

func under(steps []step, s step) []step { return append(slices.Clip(slices.Clone(steps)), s) }

// steps resolves a path against the values: names of items become their places.
func (e *editor) steps(path string) ([]step, error) {
	parts, err := splitPath(path)
	if err != nil {
		return nil, err
	}
	out := make([]step, 0, len(parts))
	at := e.root
	for _, p := range parts {
		s := step{key: p.text}
		list := at != nil && at.kind == sequence
		missing := at == nil || at.kind == null
		switch {
		case !p.bracket || !list && (!missing || p.quoted):
		case p.text == "+" && !p.quoted:
			s.item = true
			if list {
				s.index = len(at.items)
			}
		case list:
			s.item = true
			if s.index = at.find(p); s.index < 0 {
				return nil, fmt.Errorf("%s has no item %s", at.path, p.text)
			}
		default:
			return nil, fmt.Errorf("there is no list that has an item %s", p.text)
		}
		if at != nil && at.kind != null && (s.item != (at.kind == sequence) || at.kind != sequence && at.kind != mapping) {
			return nil, fmt.Errorf("%s is %s and has nothing called %s", at.path, at.describe(), p.text)
		}
		out = append(out, s)
		at = at.at([]step{s})
	}
	return out, nil
}

// part is one step of a path as it is written.
type part struct {
	text            string
	bracket, quoted bool
}

func splitPath(path string) ([]part, error) {
	var out []part
	for rest := path; rest != ""; {
		if len(out) > maxDepth {
			return nil, fmt.Errorf("the path %.60q is too deep", path)
		}
		if rest[0] == '[' {
			p, after, ok := bracketPart(rest)
			if !ok {
				return nil, fmt.Errorf("the path %.60q has a bracket that does not close", path)
			}
			out, rest = append(out, p), after
			continue
		}
		if len(out) > 0 {
			if rest[0] != '.' {
				return nil, fmt.Errorf("the path %.60q has no dot after a bracket", path)
			}
			rest = rest[1:]
		}
		end := strings.IndexAny(rest, ".[")
		if end < 0 {
			end = len(rest)
		}
		if end == 0 {
			return nil, fmt.Errorf("the path %.60q has an empty step", path)
		}
		out, rest = append(out, part{text: rest[:end]}), rest[end:]
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("the path is empty")
	}
	return out, nil
}
