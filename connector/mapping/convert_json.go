package mapping

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The limits of nested attributes (Braze docs, "Nested custom attributes").
const (
	maxNested   = 100 * 1024
	maxDepth    = 200
	maxElements = 500 // of an array of scalars (Braze docs, "Custom attribute data types")
)

const (
	noteBigNested  = "larger than 100 KB"
	noteBadJSON    = "not valid JSON"
	noteDeep       = "nested too deeply"
	noteNestedText = "a nested string or key longer than 255 characters is left out"
	noteNestedKey  = `a nested key that is empty or has a character that Braze does not take there (a blank, "." or "$") is left out`
	noteMixed      = "an array that mixes objects with other values, or holds arrays"
	noteOperator   = "an object that Braze would read as an operation (inc, add, remove)"
	noteManyItems  = "an array of more than 500 elements, of which Braze keeps the last 500"
	noteNestedInt  = "a nested number with more digits than a double holds is sent as text"
)

// jsonText gives the text of a JSON string.
func jsonText(s string) (text string, ok bool) {
	s = strings.TrimSpace(s)
	if len(s) < 2 || s[0] != '"' {
		return "", false
	}
	if json.Unmarshal([]byte(s), &text) != nil {
		return "", false
	}
	return text, true
}

// jsonWriter rewrites one JSON text: white space goes, nested nulls and keys that Braze does not take go (one of them makes Braze drop all nested updates of
// a request), what is no UTF-8, NUL and unpaired surrogates become U+FFFD, paths that must never leave are cut.
type jsonWriter struct {
	src   string
	pos   int
	dst   []byte
	level int // of nesting
	note  string
	bad   string // why the value cannot be sent
	free  bool   // the JSON becomes a string, so Braze does not look inside
	*bounds
}

// appendJSON appends a JSON text rewritten; asText says that it becomes a string. first is the first byte of the value: '{', '[', '"', 'n', 't', 'f' or that of a number.
func (s *settings) appendJSON(dst []byte, src string, asText bool) (out []byte, first byte, note string, ok bool) {
	w := jsonWriter{src: src, dst: dst, free: asText, bounds: s.limits()}
	w.space()
	if w.pos < len(w.src) {
		first = w.src[w.pos]
	}
	if !w.value(s.never) {
		return dst, first, w.bad, false
	}
	w.space()
	if w.pos != len(w.src) {
		return dst, first, noteBadJSON, false
	}
	if len(w.dst)-len(dst) > w.bytes {
		return dst, first, noteBigNested, false
	}
	if !asText && w.attribute && operator(w.dst[len(dst):]) {
		return dst, first, noteOperator, false
	}
	return w.dst, first, w.note, true
}

func (w *jsonWriter) fail(why string) bool {
	if w.bad == "" {
		w.bad = why
	}
	return false
}

func (w *jsonWriter) space() {
	for w.pos < len(w.src) {
		switch w.src[w.pos] {
		case ' ', '\t', '\n', '\r':
			w.pos++
		default:
			return
		}
	}
}

func (w *jsonWriter) value(never [][]string) bool {
	w.space()
	if w.pos >= len(w.src) {
		return w.fail(noteBadJSON)
	}
	switch w.src[w.pos] {
	case '{':
		return w.object(never)
	case '[':
		return w.array(never)
	case '"':
		from := len(w.dst)
		if !w.copyText() {
			return false
		}
		if w.level == 0 && encodedTooLong(w.dst[from+1:len(w.dst)-1], w.text) {
			return w.fail(w.tooLong)
		}
		return true
	case 't':
		return w.literal("true")
	case 'f':
		return w.literal("false")
	case 'n':
		return w.literal("null")
	}
	return w.number()
}

func (w *jsonWriter) literal(word string) bool {
	if !strings.HasPrefix(w.src[w.pos:], word) {
		return w.fail(noteBadJSON)
	}
	w.pos += len(word)
	w.dst = append(w.dst, word...)
	return true
}

// drop tells whether the nested value written from mark on must not be sent.
func (w *jsonWriter) drop(mark int) bool {
	switch v := w.dst[mark:]; {
	case len(v) == 4 && string(v) == "null":
		return true
	case v[0] == '"' && encodedTooLong(v[1:len(v)-1], w.text):
		w.note = w.within
		return true
	}
	return false
}

// encodedTooLong is tooLong for text that is encoded already: an escape is one character.
func encodedTooLong(b []byte, limit int) bool {
	if len(b) <= limit {
		return false
	}
	n := 0
	for i := 0; i < len(b) && n <= limit; n++ {
		switch {
		case b[i] == '\\' && b[i+1] == 'u':
			i += 6
		case b[i] == '\\':
			i += 2
		default:
			_, size := utf8.DecodeRune(b[i:])
			i += size
		}
	}
	return n > limit
}

func (w *jsonWriter) enter() bool {
	w.level++
	w.pos++
	return w.level <= w.depth || w.fail(noteDeep)
}

func (w *jsonWriter) object(never [][]string) bool {
	if !w.enter() {
		return false
	}
	w.dst = append(w.dst, '{')
	begin := len(w.dst)
	w.space()
	for more := !w.next('}'); more; {
		mark := len(w.dst)
		if mark > begin {
			w.dst = append(w.dst, ',')
		}
		w.space()
		if w.pos >= len(w.src) || w.src[w.pos] != '"' {
			return w.fail(noteBadJSON)
		}
		keyAt := len(w.dst)
		if !w.copyText() {
			return false
		}
		key := w.dst[keyAt+1 : len(w.dst)-1]
		if !w.next(':') {
			return w.fail(noteBadJSON)
		}
		w.dst = append(w.dst, ':')
		var below [][]string
		cut := false
		if len(never) > 0 {
			below, cut = nested(never, string(key))
		}
		at := len(w.dst)
		if !w.value(below) {
			return false
		}
		switch {
		case cut || w.drop(at):
			w.dst = w.dst[:mark]
		case encodedTooLong(key, w.text):
			w.note, w.dst = w.within, w.dst[:mark]
		case w.attribute && string(key) == "$time" && mark == begin && w.timeAlone(at):
		case !w.free && (len(key) == 0 || bytes.ContainsAny(key, w.barred)):
			w.note, w.dst = noteNestedKey, w.dst[:mark]
		}
		if more = w.next(','); !more && !w.next('}') {
			return w.fail(noteBadJSON)
		}
	}
	w.level--
	w.dst = append(w.dst, '}')
	return true
}

// timeAlone tells whether the value written from at on is a time and ends its object: the form in which Braze takes times inside nested attributes (Braze
// docs, "Nested custom attributes").
func (w *jsonWriter) timeAlone(at int) bool {
	w.space()
	if w.pos >= len(w.src) || w.src[w.pos] != '}' {
		return false
	}
	v := w.dst[at:]
	return v[0] == '"' && timeLike(v[1:len(v)-1])
}

// array writes an array. One that is an attribute's whole value holds either scalars or objects, since Braze knows only these two kinds; inside of objects
// anything goes.
func (w *jsonWriter) array(never [][]string) bool {
	if !w.enter() {
		return false
	}
	objects, items := 0, 0
	w.dst = append(w.dst, '[')
	begin := len(w.dst)
	w.space()
	for more := !w.next(']'); more; {
		mark := len(w.dst)
		if mark > begin {
			w.dst = append(w.dst, ',')
		}
		at := len(w.dst)
		if !w.value(never) {
			return false
		}
		if w.drop(at) {
			w.dst = w.dst[:mark]
		} else if items++; w.level == 1 && w.attribute && !w.free {
			switch w.dst[at] {
			case '[':
				return w.fail(noteMixed)
			case '{':
				objects++
			}
		}
		if more = w.next(','); !more && !w.next(']') {
			return w.fail(noteBadJSON)
		}
	}
	if w.level == 1 && w.attribute && objects > 0 && objects < items {
		return w.fail(noteMixed)
	}
	if w.level == 1 && w.attribute && objects == 0 && items > maxElements && !w.free && w.note == "" {
		w.note = noteManyItems
	}
	w.level--
	w.dst = append(w.dst, ']')
	return true
}

// next skips white space and takes b if it is there.
func (w *jsonWriter) next(b byte) bool {
	w.space()
	if w.pos < len(w.src) && w.src[w.pos] == b {
		w.pos++
		return true
	}
	return false
}

// nested gives the paths that hold below key, and whether key itself is one.
func nested(never [][]string, key string) (below [][]string, cut bool) {
	for _, p := range never {
		if p[0] != key {
			continue
		}
		if len(p) == 1 {
			return nil, true
		}
		below = append(below, p[1:])
	}
	return below, false
}

func (w *jsonWriter) number() bool {
	from := w.pos
	for w.pos < len(w.src) && strings.IndexByte("+-0123456789.eE", w.src[w.pos]) >= 0 {
		w.pos++
	}
	n := w.src[from:w.pos]
	if n == "" || !json.Valid([]byte(n)) {
		return w.fail(noteBadJSON)
	}
	if len(n) > 15 || strings.ContainsAny(n, "eE") {
		f, err := strconv.ParseFloat(n, 64)
		d, plain := trimDecimal(n)
		if err != nil || (plain && !exactDouble(d)) {
			w.note = noteNestedInt
			w.dst = append(append(append(w.dst, '"'), n...), '"')
			return true
		}
		if !plain {
			w.dst = appendFloat(w.dst, f)
			return true
		}
	}
	w.dst = append(w.dst, n...)
	return true
}

// copyText copies one string with its escapes made valid.
func (w *jsonWriter) copyText() bool {
	w.pos++
	w.dst = append(w.dst, '"')
	for w.pos < len(w.src) {
		switch b := w.src[w.pos]; {
		case b == '"':
			w.pos++
			w.dst = append(w.dst, '"')
			return true
		case b == '\\':
			if !w.escape() {
				return false
			}
		case b < ' ':
			return w.fail(noteBadJSON)
		case b < utf8.RuneSelf:
			w.dst = append(w.dst, b)
			w.pos++
		default:
			r, n := utf8.DecodeRuneInString(w.src[w.pos:])
			w.dst = utf8.AppendRune(w.dst, r)
			w.pos += n
		}
	}
	return w.fail(noteBadJSON)
}

// escape rewrites one escape: what needs none is written plainly, so that two spellings of a value encode alike.
func (w *jsonWriter) escape() bool {
	if w.pos+1 >= len(w.src) {
		return w.fail(noteBadJSON)
	}
	switch b := w.src[w.pos+1]; b {
	case '"', '\\', 'n', 'r', 't':
		w.dst = append(w.dst, '\\', b)
		w.pos += 2
		return true
	case '/':
		w.dst = append(w.dst, '/')
		w.pos += 2
		return true
	case 'b', 'f':
		c := byte('\b')
		if b == 'f' {
			c = '\f'
		}
		w.dst = appendEscaped(w.dst, c)
		w.pos += 2
		return true
	case 'u':
	default:
		return w.fail(noteBadJSON)
	}
	r, ok := w.unit(w.pos + 2)
	if !ok {
		return w.fail(noteBadJSON)
	}
	w.pos += 6
	if r >= 0xD800 && r < 0xDC00 && strings.HasPrefix(w.src[w.pos:], `\u`) {
		if low, ok := w.unit(w.pos + 2); ok && low >= 0xDC00 && low < 0xE000 {
			w.pos += 6
			w.dst = utf8.AppendRune(w.dst, 0x10000+(r-0xD800)<<10+(low-0xDC00))
			return true
		}
	}
	switch {
	case r < ' ' || r == '"' || r == '\\':
		w.dst = appendEscaped(w.dst, byte(r))
	case r >= 0xD800 && r < 0xE000:
		w.dst = utf8.AppendRune(w.dst, utf8.RuneError)
	default:
		w.dst = utf8.AppendRune(w.dst, r)
	}
	return true
}

// unit reads four hexadecimal digits.
func (w *jsonWriter) unit(at int) (rune, bool) {
	if at+4 > len(w.src) {
		return 0, false
	}
	n, err := strconv.ParseUint(w.src[at:at+4], 16, 32)
	return rune(n), err == nil
}
