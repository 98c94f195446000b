package config

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// Errors of edits that only a person can make.
var (
	errShared  = errors.New("the value is shared with another place by an anchor or a merge; edit the file by hand")
	errPlace   = errors.New("its place in the file could not be told; edit the file by hand")
	errComment = errors.New("a comment of the file would be lost; edit the file by hand")
)

// span is a range of bytes.
type span struct{ from, to int }

// editor holds a text and what is known of it. Offsets are into src; the text itself may have a byte order mark and lines that end with \r\n.
type editor struct {
	text     []byte
	src      string
	root     *node
	body     ast.Node // nil where the text has no values yet
	spans    map[*token.Token]span
	comments []*token.Token
}

// read parses the text.
func (e *editor) read() error {
	d := &decoder{}
	if f := d.unreadable(e.text); f != nil {
		return *f
	}
	e.src, e.body, e.spans, e.comments = unified(e.text), nil, map[*token.Token]span{}, nil
	file, fault := parseTokens(e.src, e.place)
	if fault != nil {
		return *fault
	}
	for _, doc := range file.Docs {
		if doc == nil || doc.Body == nil {
			continue
		}
		if e.body != nil {
			return errors.New("the file holds a second YAML document; keep one")
		}
		e.body = doc.Body
	}
	if _, null := e.body.(*ast.NullNode); null {
		e.body = nil
	}
	if e.body == nil {
		e.root = &node{kind: mapping}
		return nil
	}
	none := expander{env: func(string) (string, bool) { return "", true }, readFile: func(string) ([]byte, error) { return nil, nil }}
	c := &converter{d: d, x: none, anchors: map[string]ast.Node{}, left: maxNodes}
	e.root = c.node(e.body, "", place{}, 0)
	if c.left <= 0 {
		return errors.New("the values are nested too deeply or repeated too often; use fewer anchors")
	}
	if e.root.kind != mapping {
		return errors.New("the file holds no settings but " + e.root.describe() + "; write keys and values, such as version: 1")
	}
	return nil
}

// place finds the bytes of each token: what it was made from follows what the one before was made from. Lines and columns are not used, since the library
// miscounts them behind tabs. A token that is not found ends it, and what stands behind has no place.
func (e *editor) place(tokens token.Tokens) {
	const white = " \t\n"
	at := 0
	for _, t := range tokens {
		for at < len(e.src) && strings.IndexByte(white, e.src[at]) >= 0 {
			at++
		}
		origin := strings.Trim(t.Origin, white)
		if t.Type == token.SingleQuoteType || t.Type == token.DoubleQuoteType {
			origin = quotedPrefix(e.src[at:]) // the library keeps some escapes decoded
		}
		if !strings.HasPrefix(e.src[at:], origin) {
			return
		}
		e.spans[t] = span{at, at + len(origin)}
		at += len(origin)
		if t.Type == token.CommentType {
			e.comments = append(e.comments, t)
		}
	}
}

// quotedPrefix is the quoted text that s begins with, with its quotes.
func quotedPrefix(s string) string {
	if s == "" {
		return s
	}
	quote := s[0]
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quote == '"':
			i++
		case s[i] != quote:
		case quote == '\'' && i+1 < len(s) && s[i+1] == quote:
			i++
		default:
			return s[:i+1]
		}
	}
	return s
}

// splice replaces the bytes from from up to to.
type splice struct {
	from, to int
	text     string
}

// splice changes the text and reads it again. Comments outside the bytes that go away must still be there, in their order; else nothing is changed.
func (e *editor) splice(parts ...splice) error {
	slices.SortStableFunc(parts, func(a, b splice) int { return cmp.Compare(a.from, b.from) })
	var keep []string
	for _, t := range e.comments {
		s := e.spans[t]
		if !slices.ContainsFunc(parts, func(p splice) bool { return s.from >= p.from && s.from < p.to }) {
			keep = append(keep, t.Value)
		}
	}
	before := *e
	e.text = e.spliced(parts)
	if err := e.read(); err != nil {
		*e = before
		return errors.Join(errPlace, err)
	}
	left := make([]string, len(e.comments))
	for i, t := range e.comments {
		left[i] = t.Value
	}
	if !slices.Equal(left, keep) {
		*e = before
		return errComment
	}
	return nil
}

// spliced maps the offsets to those of the text as it is, and ends new lines as the file does.
func (e *editor) spliced(parts []splice) []byte {
	text, mark := bytes.CutPrefix(e.text, byteOrderMark)
	var out []byte
	if mark {
		out = append(out, byteOrderMark...)
	}
	windows := bytes.Contains(text, []byte("\r\n"))
	at, lf := 0, 0 // the same place in text and in src
	move := func(to int) int {
		for lf < to {
			if text[at] == '\r' && at+1 < len(text) && text[at+1] == '\n' {
				at++
			}
			at++
			lf++
		}
		return at
	}
	last := 0
	for _, p := range parts {
		out = append(out, text[last:move(p.from)]...)
		if windows {
			p.text = strings.ReplaceAll(p.text, "\n", "\r\n")
		}
		out = append(out, p.text...)
		last = move(p.to)
	}
	return append(out, text[last:]...)
}

func (e *editor) lineStart(at int) int { return strings.LastIndexByte(e.src[:at], '\n') + 1 }

// lineEnd is where the line's newline stands, or the end of the text.
func (e *editor) lineEnd(at int) int {
	if i := strings.IndexByte(e.src[at:], '\n'); i >= 0 {
		return at + i
	}
	return len(e.src)
}

// column is how far from the beginning of its line a place is.
func (e *editor) column(at int) int { return at - e.lineStart(at) }

// first tells whether nothing but blanks stands before it on its line.
func (e *editor) first(at int) bool { return blank(e.src[e.lineStart(at):at]) }

// withComments is the start of the comment lines right above the line of at, with the same indentation; those at the file's top belong to the file.
func (e *editor) withComments(at int) int {
	column, start := e.column(at), e.lineStart(at)
	top := start
	for top > 0 {
		above := e.lineStart(top - 1)
		line := e.src[above : top-1]
		if trimmed := strings.TrimLeft(line, " "); len(line)-len(trimmed) != column || !strings.HasPrefix(trimmed, "#") {
			break
		}
		top = above
	}
	if top == 0 {
		return start
	}
	return top
}

// of is the bytes of a node; false where it has none, as a value that is left out.
func (e *editor) of(n ast.Node) (span, bool) {
	switch v := n.(type) {
	case nil:
		return span{}, false
	case *ast.NullNode:
		s, ok := e.spans[v.GetToken()]
		return s, ok && v.GetToken().Type != token.ImplicitNullType
	case *ast.MappingValueNode:
		return e.ofEntries([]*ast.MappingValueNode{v})
	case *ast.MappingNode:
		if v.IsFlowStyle {
			return e.between(v.Start, v.End)
		}
		return e.ofEntries(v.Values)
	case *ast.SequenceNode:
		if v.IsFlowStyle {
			return e.between(v.Start, v.End)
		}
		if len(v.Entries) == 0 {
			return span{}, false
		}
		first, ok := e.spans[v.Entries[0].Start]
		return span{first.from, e.itemEnd(v, len(v.Entries)-1)}, ok
	case *ast.AnchorNode:
		return e.led(v.Start, v.Name, v.Value)
	case *ast.AliasNode:
		return e.led(v.Start, v.Value)
	case *ast.TagNode:
		return e.led(v.Start, v.Value)
	case *ast.LiteralNode:
		s, ok := e.spans[v.Start]
		if v.Value != nil {
			if text, has := e.spans[v.Value.GetToken()]; has && text.to > text.from {
				s.to = text.to
			}
		}
		return s, ok
	}
	s, ok := e.spans[n.GetToken()]
	return s, ok
}

func (e *editor) between(start, end *token.Token) (span, bool) {
	a, ok := e.spans[start]
	b, has := e.spans[end]
	return span{a.from, b.to}, ok && has
}

// led is a token and the nodes behind it.
func (e *editor) led(start *token.Token, behind ...ast.Node) (span, bool) {
	s, ok := e.spans[start]
	for _, n := range behind {
		if b, has := e.of(n); has {
			s.to = b.to
		}
	}
	return s, ok
}

func (e *editor) ofEntries(values []*ast.MappingValueNode) (span, bool) {
	if len(values) == 0 {
		return span{}, false
	}
	first, ok := e.spans[values[0].Key.GetToken()]
	return span{first.from, e.entryEnd(values[len(values)-1])}, ok
}

// entryEnd is the end of a key's value, or of its colon.
func (e *editor) entryEnd(v *ast.MappingValueNode) int {
	end := max(e.spans[v.Key.GetToken()].to, e.spans[v.Start].to)
	if s, ok := e.of(v.Value); ok {
		end = max(end, s.to)
	}
	return end
}

// itemEnd is the end of an item, or of its dash.
func (e *editor) itemEnd(list *ast.SequenceNode, i int) int {
	end := e.spans[list.Entries[i].Start].to
	if s, ok := e.of(list.Values[i]); ok {
		end = max(end, s.to)
	}
	return end
}
