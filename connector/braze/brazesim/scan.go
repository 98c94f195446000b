package brazesim

import (
	"bytes"
	"unicode/utf8"
)

// kind is the type of a JSON value.
type kind uint8

const (
	kindNone kind = iota
	kindNull
	kindBool
	kindNumber
	kindString
	kindObject
	kindArray
)

// maxDepth is how deep values may nest; encoding/json has the same bound.
const maxDepth = 10000

// scanner walks JSON text once, checks it and leaves the values where they are: callers get positions, not copies. It accepts exactly what
// encoding/json.Valid accepts (the fuzz test holds it to that).
type scanner struct {
	buf   []byte
	pos   int
	depth int
}

// plain marks the bytes that may stand inside a string as they are.
var plain = func() (t [256]bool) {
	for c := 0x20; c < 256; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

func (s *scanner) space() {
	for s.pos < len(s.buf) {
		switch s.buf[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// byte skips blanks and consumes c if it comes next.
func (s *scanner) byte(c byte) bool {
	if s.pos < len(s.buf) && s.buf[s.pos] == c {
		s.pos++
		return true
	}
	s.space()
	if s.pos < len(s.buf) && s.buf[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

// peek skips blanks and tells the next byte, or 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.pos < len(s.buf) {
		return s.buf[s.pos]
	}
	return 0
}

// end reports whether only blanks are left.
func (s *scanner) end() bool {
	s.space()
	return s.pos == len(s.buf)
}

// value skips one value and returns its span and kind; kindNone means the text is not JSON.
func (s *scanner) value() (start, stop int, k kind) {
	c := s.peek()
	start = s.pos
	switch {
	case c == '"':
		s.pos++
		if _, ok := s.str(); ok {
			return start, s.pos, kindString
		}
	case c == '-' || c >= '0' && c <= '9':
		if s.number() {
			return start, s.pos, kindNumber
		}
	case c == '{':
		if s.object() {
			return start, s.pos, kindObject
		}
	case c == '[':
		if s.array() {
			return start, s.pos, kindArray
		}
	case c == 't':
		if s.word("true") {
			return start, s.pos, kindBool
		}
	case c == 'f':
		if s.word("false") {
			return start, s.pos, kindBool
		}
	case c == 'n':
		if s.word("null") {
			return start, s.pos, kindNull
		}
	}
	return start, s.pos, kindNone
}

func (s *scanner) word(w string) bool {
	if len(s.buf)-s.pos >= len(w) && string(s.buf[s.pos:s.pos+len(w)]) == w {
		s.pos += len(w)
		return true
	}
	return false
}

// str skips the rest of a string whose opening quote is consumed.
func (s *scanner) str() (escaped, ok bool) {
	buf, i := s.buf, s.pos
	for i < len(buf) {
		c := buf[i]
		if plain[c] {
			i++
			continue
		}
		if c == '"' {
			s.pos = i + 1
			return escaped, true
		}
		if c != '\\' || i+1 >= len(buf) {
			break
		}
		escaped = true
		switch buf[i+1] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			i += 2
		case 'u':
			if _, ok := hex4(buf, i+2); !ok {
				s.pos = i
				return escaped, false
			}
			i += 6
		default:
			s.pos = i
			return escaped, false
		}
	}
	s.pos = i
	return escaped, false
}

func digits(b []byte, i int) int {
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	return i
}

func (s *scanner) number() bool {
	b, i := s.buf, s.pos
	if b[i] == '-' {
		i++
	}
	switch {
	case i < len(b) && b[i] == '0':
		i++
	case i < len(b) && b[i] >= '1' && b[i] <= '9':
		i = digits(b, i)
	default:
		s.pos = i
		return false
	}
	if i < len(b) && b[i] == '.' {
		j := digits(b, i+1)
		if j == i+1 {
			s.pos = j
			return false
		}
		i = j
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		j := digits(b, i)
		if j == i {
			s.pos = j
			return false
		}
		i = j
	}
	s.pos = i
	return true
}

func (s *scanner) object() bool {
	s.pos++
	if s.depth++; s.depth > maxDepth {
		return false
	}
	if s.byte('}') {
		s.depth--
		return true
	}
	for {
		if !s.byte('"') {
			return false
		}
		if _, ok := s.str(); !ok || !s.byte(':') {
			return false
		}
		if _, _, k := s.value(); k == kindNone {
			return false
		}
		if s.byte(',') {
			continue
		}
		s.depth--
		return s.byte('}')
	}
}

func (s *scanner) array() bool {
	s.pos++
	if s.depth++; s.depth > maxDepth {
		return false
	}
	if s.byte(']') {
		s.depth--
		return true
	}
	for {
		if _, _, k := s.value(); k == kindNone {
			return false
		}
		if s.byte(',') {
			continue
		}
		s.depth--
		return s.byte(']')
	}
}

// validJSON reports whether b is one JSON value.
func validJSON(b []byte) bool {
	s := scanner{buf: b}
	_, _, k := s.value()
	return k != kindNone && s.end()
}

func hex4(b []byte, i int) (rune, bool) {
	if i+4 > len(b) {
		return 0, false
	}
	var r rune
	for _, c := range b[i : i+4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// unquote decodes the inside of a checked JSON string. Without escapes it returns b itself.
func unquote(b []byte) []byte {
	i := bytes.IndexByte(b, '\\')
	if i < 0 {
		return b
	}
	out := append(make([]byte, 0, len(b)), b[:i]...)
	for i < len(b) {
		if b[i] != '\\' {
			out = append(out, b[i])
			i++
			continue
		}
		switch c := b[i+1]; c {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r, _ := hex4(b, i+2)
			i += 4
			if r >= 0xD800 && r < 0xDC00 && i+4 < len(b) && b[i+2] == '\\' && b[i+3] == 'u' {
				if low, ok := hex4(b, i+4); ok && low >= 0xDC00 && low < 0xE000 {
					r = (r-0xD800)<<10 | (low - 0xDC00) + 0x10000
					i += 6
				}
			}
			out = utf8.AppendRune(out, r)
		default:
			out = append(out, c)
		}
		i += 2
	}
	return out
}

// text decodes a whole string value, quotes included.
func text(raw []byte) []byte { return unquote(raw[1 : len(raw)-1]) }

// appendQuoted appends s as JSON with the shortest escapes, so that equal strings have equal bytes.
func appendQuoted(dst []byte, s []byte) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
