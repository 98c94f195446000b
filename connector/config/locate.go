package config

import (
	"strings"
	"unicode/utf8"

	"brazecdc/connector"
)

// locator finds places of the file by path. It holds the file's text and so prints as nothing.
type locator struct {
	lines []string
	nodes map[string]*node
}

// String keeps the file's text, which may hold secrets, out of prints.
func (l *locator) String() string { return "locator" }

// GoString does the same for %#v.
func (l *locator) GoString() string { return "locator" }

func (l *locator) index(n *node) {
	if n == nil {
		return
	}
	l.nodes[n.path] = n
	for _, e := range n.entries {
		l.index(e.node)
	}
	for _, item := range n.items {
		l.index(item)
	}
}

// find is the node at path, else at the longest part of path that the file has: "models[0].custom.plan.column" is found at
// models[0].custom.plan where the column stands there as a bare word.
func (l *locator) find(path string) (n *node, exact bool) {
	exact = true
	for path != "" {
		if n, ok := l.nodes[path]; ok {
			return n, exact
		}
		exact = false
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return l.nodes[""], exact
}

// Given tells whether the file sets the value at path ("source.time_zone") rather than leaving its default.
func (c *Config) Given(path string) bool {
	if c.loc == nil {
		return false
	}
	_, ok := c.loc.nodes[path]
	return ok
}

// Locate is the line and column of the byte at offset in the value at path, both from 1, the column in characters. Where the file has no such path
// it is the nearest mapping around it; 0, 0 for a Config that was not parsed.
func (c *Config) Locate(path string, offset int) (line, column int) {
	if c.loc == nil {
		return 0, 0
	}
	n, exact := c.loc.find(path)
	if n == nil {
		return 1, 1
	}
	if !exact && n.kind != text {
		offset = 0
	}
	p := c.loc.position(n, offset)
	return p.line, p.column
}

// Resolve puts faults found outside this package at their lines, sorted.
func (c *Config) Resolve(faults []connector.Fault) Faults {
	out := make(Faults, 0, len(faults))
	for _, f := range faults {
		line, column := c.Locate(f.Path, f.Offset)
		out = append(out, Fault{File: c.File, Line: line, Column: column, Path: f.Path, What: f.What, Fix: f.Fix, Warn: f.Warn})
	}
	return out.sorted()
}

// position walks a scalar's source beside its value, so that quotes, escapes, folded lines and variables in between do not shift the place.
func (l *locator) position(n *node, offset int) place {
	if n.kind != text || offset <= 0 && n.style != '|' && n.style != '>' {
		return n.place
	}
	w := &walker{l: l, raw: n.raw, style: n.style}
	if !w.begin(n.start) || !w.advance(rawOffset(n, offset)) {
		return n.place
	}
	return place{w.line + 1, utf8.RuneCountInString(w.text[:min(w.at, len(w.text))]) + 1}
}

// rawOffset is the offset before variables were put in; inside a variable's value it is the variable's start.
func rawOffset(n *node, offset int) int {
	shift := 0
	for _, s := range n.segs {
		switch {
		case offset >= s.to && s.to > s.from || offset > s.to:
			shift = s.rawTo - s.to
		case offset >= s.from:
			return s.rawFrom
		}
	}
	return min(offset+shift, len(n.raw))
}

type walker struct {
	l      *locator
	raw    string
	style  byte
	line   int // from 0
	text   string
	at     int // byte in text
	indent int
}

func (w *walker) load(line int) bool {
	if line >= len(w.l.lines) {
		return false
	}
	w.line, w.text = line, strings.TrimSuffix(w.l.lines[line], "\r")
	if line == 0 {
		w.text = strings.TrimPrefix(w.text, "\ufeff")
	}
	return true
}

func blank(s string) bool { return strings.TrimSpace(s) == "" }

// begin goes to the first character of the value.
func (w *walker) begin(p place) bool {
	if !w.load(p.line - 1) {
		return false
	}
	if w.style == '|' || w.style == '>' {
		for next := w.line + 1; w.load(next) && blank(w.text); next++ {
			if w.line+1 >= len(w.l.lines) {
				return false
			}
		}
		w.indent = len(w.text) - len(strings.TrimLeft(w.text, " "))
		w.at = w.indent
		return true
	}
	for range p.column - 1 {
		_, size := utf8.DecodeRuneInString(w.text[w.at:])
		w.at += size
	}
	if w.style != 0 {
		w.at++ // the quote
	}
	return w.at <= len(w.text)
}

// advance goes to the byte at offset of the raw value; false where source and value part ways.
func (w *walker) advance(offset int) bool {
	for i := 0; i < offset; {
		if w.at >= len(w.text) {
			read, ok := w.nextLine()
			if !ok {
				return false
			}
			i += read
			continue
		}
		c := w.text[w.at]
		switch {
		case w.style == '\'' && strings.HasPrefix(w.text[w.at:], "''"):
			w.at += 2
			i++
		case w.style == '"' && c == '\\':
			if w.at+1 >= len(w.text) { // a line joined to the next
				if _, ok := w.nextLine(); !ok {
					return false
				}
				continue
			}
			w.at += escapeLength(w.text[w.at+1])
			_, size := utf8.DecodeRuneInString(w.raw[i:])
			i += size
		case c == w.raw[i]:
			w.at++
			i++
		case c == ' ' || c == '\t':
			w.at++ // white space before a fold
		default:
			return false
		}
	}
	if w.style == '"' && w.at < len(w.text) && w.text[w.at:] == `\` {
		_, ok := w.nextLine()
		return ok
	}
	return true
}

func escapeLength(c byte) int {
	switch c {
	case 'x':
		return 4
	case 'u':
		return 6
	case 'U':
		return 10
	}
	return 2
}

// nextLine goes to the next line with text and says how many bytes of the value the line ends were: one for a fold or a literal line's end, else one
// for each blank line between.
func (w *walker) nextLine() (int, bool) {
	blanks := 0
	for {
		if !w.load(w.line + 1) {
			return 0, false
		}
		if !blank(w.text) {
			break
		}
		blanks++
	}
	trimmed := len(w.text) - len(strings.TrimLeft(w.text, " \t"))
	switch w.style {
	case '|':
		w.at = min(w.indent, len(w.text))
		return blanks + 1, true
	case '>':
		w.at = min(w.indent, len(w.text))
	default:
		w.at = trimmed
	}
	return max(1, blanks), true
}
