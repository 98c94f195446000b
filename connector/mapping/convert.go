package mapping

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"brazecdc/connector"
)

// settings are what the conversion of a field's values depends on.
type settings struct {
	zone    *time.Location
	country string     // of a phone, ISO 3166-1 alpha-2
	optedIn bool       // true is opted_in, of a consent
	never   [][]string // paths in a JSON column that may not leave
	bounds  *bounds    // nil: those of profile attributes
}

// bounds are what Braze takes of text and JSON in one place.
type bounds struct {
	text    int // characters of a string
	bytes   int // of an object or array
	depth   int
	tooLong string // the notes for text and nested text beyond it
	within  string
	barred  string // characters that a nested key may not have
	// attribute: the rules of profile attributes hold beside, by which some objects are operations, and arrays hold scalars or objects alone.
	attribute bool
}

// Braze docs, "Custom attribute data types" and "Nested custom attributes"; "Event object" and "Custom events"; "Replace catalog items". No depth is given for
// the first two; maxDepth only keeps a hostile value from exhausting the stack.
var (
	attributeBounds = bounds{text: maxString, bytes: maxNested, depth: maxDepth, tooLong: noteTooLong, within: noteNestedText, barred: ".$ ", attribute: true}
	propertyBounds  = bounds{text: maxString, bytes: maxNested, depth: maxDepth, tooLong: noteTooLong, within: noteNestedText, barred: "$"}
	itemBounds      = bounds{text: 5000, bytes: 1 << 20, depth: 50, tooLong: "longer than 5,000 characters", within: "a nested string or key longer than 5,000 characters is left out", barred: ".$"}
)

func (s *settings) limits() *bounds {
	if s.bounds == nil {
		return &attributeBounds
	}
	return s.bounds
}

// appendText appends a string, refusing what is too long.
func (s *settings) appendText(dst []byte, text string) ([]byte, string, bool) {
	if b := s.limits(); len(text) > b.text && utf8.RuneCountInString(text) > b.text {
		return dst, b.tooLong, false
	}
	return appendString(dst, text), "", true
}

// converter appends a value that is not NULL as JSON. ok is false where the value cannot be sent, with the reason in note; a note beside ok says
// that it went in another form. It must not keep dst.
type converter func(s *settings, dst []byte, v connector.Value) (out []byte, note string, ok bool)

// converters are those of declared types; "" follows the column's own.
var converters = map[string]converter{
	"":       (*settings).appendAuto,
	"string": (*settings).appendAsText,
	"number": func(_ *settings, dst []byte, v connector.Value) ([]byte, string, bool) { return appendNumber(dst, v) },
	"bool":   func(_ *settings, dst []byte, v connector.Value) ([]byte, string, bool) { return appendBool(dst, v) },
	"time":   (*settings).appendTime,
	"array": func(s *settings, dst []byte, v connector.Value) ([]byte, string, bool) {
		return s.appendNested(dst, v, '[')
	},
	"object": func(s *settings, dst []byte, v connector.Value) ([]byte, string, bool) {
		return s.appendNested(dst, v, '{')
	},
}

// appendAuto appends a value in the type that its column has.
func (s *settings) appendAuto(dst []byte, v connector.Value) ([]byte, string, bool) {
	switch v.Kind {
	case connector.KindText:
		return s.appendText(dst, v.Str)
	case connector.KindInt:
		return appendInt(dst, v.Int)
	case connector.KindBool:
		return strconv.AppendBool(dst, v.Int != 0), "", true
	case connector.KindDecimal:
		return appendDecimal(dst, v.Str, false)
	case connector.KindFloat:
		return appendNumber(dst, v)
	case connector.KindDate:
		out, ok := appendDate(append(dst, '"'), v.Int)
		if !ok {
			return dst, "an infinite date, or one outside the years 0 to 9999", false
		}
		return append(out, '"'), "", true
	case connector.KindTime:
		dst = appendClock(append(dst, '"'), v.Int)
		return append(dst, '"'), "", true
	case connector.KindTimestamp, connector.KindTimestampTZ:
		return s.appendTime(dst, v)
	case connector.KindTimeTZ, connector.KindInterval:
		return s.appendText(dst, v.Str)
	case connector.KindJSON:
		out, _, note, ok := s.appendJSON(dst, v.Str, false)
		return out, note, ok
	case connector.KindArray:
		return s.appendArray(dst, v.List, false)
	case connector.KindNull:
		return append(dst, "null"...), "", true
	}
	return dst, "bytes have no JSON form", false
}

// appendAsText appends a value for a field declared as a string: bytes in base64, lists and objects as JSON text.
func (s *settings) appendAsText(dst []byte, v connector.Value) ([]byte, string, bool) {
	switch v.Kind {
	case connector.KindText:
		return s.appendText(dst, v.Str)
	case connector.KindBytes:
		return s.appendText(dst, base64.StdEncoding.EncodeToString([]byte(v.Str)))
	case connector.KindJSON:
		if t, ok := jsonText(v.Str); ok {
			return s.appendText(dst, t)
		}
		out, _, note, ok := s.appendJSON(nil, v.Str, true)
		if !ok {
			return dst, note, false
		}
		return s.appendText(dst, string(out))
	case connector.KindArray:
		out, note, ok := s.appendArray(nil, v.List, true)
		if !ok {
			return dst, note, false
		}
		return s.appendText(dst, string(out))
	}
	t, ok := scalarText(v, s.zone)
	if !ok {
		return dst, "infinity and NaN have no text that Braze reads", false
	}
	return s.appendText(dst, t)
}

// appendNested appends a value for a field declared as an array or object; text is parsed.
func (s *settings) appendNested(dst []byte, v connector.Value, first byte) ([]byte, string, bool) {
	want := "not an array"
	if first == '{' {
		want = "not an object"
	}
	switch v.Kind {
	case connector.KindArray:
		if first == '[' {
			return s.appendArray(dst, v.List, false)
		}
	case connector.KindJSON, connector.KindText:
		src := v.Str
		if t, ok := jsonText(src); ok && v.Kind == connector.KindJSON {
			src = t // JSON inside a JSON string
		}
		if t := strings.TrimSpace(src); t == "" || t[0] != first {
			return dst, want, false
		}
		out, _, note, ok := s.appendJSON(dst, src, false)
		return out, note, ok
	}
	return dst, want, false
}
