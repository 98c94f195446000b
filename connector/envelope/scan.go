package envelope

import (
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// The JSON reader of the hot path. It walks a string once, checks the grammar of all of it, and hands out parts of that string: no tree, no map, no
// copy of a value. What it accepts is what encoding/json accepts, but for nesting beyond maxDepth and bytes that are not UTF-8, which are found when a
// column is decoded (FuzzScan compares the two).

// maxDepth bounds nesting in JSON and in Avro, and with it the recursion.
const maxDepth = 128

// field is one member of an object: its name, and its value's text as it stands.
type field struct {
	key, val string
}

var (
	errJSON  = errors.New("the JSON is cut off or malformed")
	errDepth = fmt.Errorf("the JSON is nested deeper than %d", maxDepth)
)

func space(s string, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\n' || s[i] == '\t' || s[i] == '\r') {
		i++
	}
	return i
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// quoted gives the place behind the string whose opening quote is at i, or -1, and whether it has escapes.
func quoted(s string, i int) (end int, escaped bool) {
	i++
	for {
		for i+8 <= len(s) { // eight bytes at a time until a quote, a backslash or a control character
			x := uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
				uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
			q, b := x^(ones*'"'), x^(ones*'\\')
			if found := ((q-ones)&^q | (b-ones)&^b | (x-ones*0x20)&^x) & highs; found != 0 {
				i += bits.TrailingZeros64(found) / 8 // the lowest mark is true, the others may be a borrow
				break
			}
			i += 8
		}
		for i < len(s) && s[i] != '"' && s[i] != '\\' && s[i] >= 0x20 {
			i++
		}
		if i >= len(s) || s[i] < 0x20 {
			return -1, escaped
		}
		if s[i] == '"' {
			return i + 1, escaped
		}
		escaped = true
		if i++; i >= len(s) {
			return -1, escaped
		}
		switch s[i] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			i++
		case 'u':
			if _, ok := hex4(s, i+1); !ok {
				return -1, escaped
			}
			i += 5
		default:
			return -1, escaped
		}
	}
}

func hex4(s string, i int) (rune, bool) {
	if i+4 > len(s) {
		return 0, false
	}
	var r rune
	for _, c := range []byte(s[i : i+4]) {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

func digits(s string, i int) int {
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	return i
}

// number gives the place behind the number at i, or -1.
func number(s string, i int) int {
	if s[i] == '-' {
		i++
	}
	start := i
	if i = digits(s, i); i == start || (s[start] == '0' && i > start+1) {
		return -1
	}
	if i < len(s) && s[i] == '.' {
		start = i + 1
		if i = digits(s, start); i == start {
			return -1
		}
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		if i++; i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		start = i
		if i = digits(s, i); i == start {
			return -1
		}
	}
	return i
}

// value gives the place behind the value at i.
func value(s string, i, depth int) (int, error) {
	if i >= len(s) {
		return 0, errJSON
	}
	end := -1
	switch c := s[i]; c {
	case '"':
		end, _ = quoted(s, i)
	case '{':
		return object(s, i, depth, nil)
	case '[':
		return array(s, i, depth, nil)
	case 't':
		end = literal(s, i, "true")
	case 'f':
		end = literal(s, i, "false")
	case 'n':
		end = literal(s, i, "null")
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		end = number(s, i)
	}
	if end < 0 {
		return 0, errJSON
	}
	return end, nil
}

func literal(s string, i int, word string) int {
	if strings.HasPrefix(s[i:], word) {
		return i + len(word)
	}
	return -1
}

// object walks the object at i. With out, its members are appended there.
func object(s string, i, depth int, out *[]field) (int, error) {
	if depth >= maxDepth {
		return 0, errDepth
	}
	if i = space(s, i+1); i < len(s) && s[i] == '}' {
		return i + 1, nil
	}
	for {
		if i >= len(s) || s[i] != '"' {
			return 0, errJSON
		}
		start := i
		end, escaped := quoted(s, i)
		if end < 0 {
			return 0, errJSON
		}
		if i = space(s, end); i >= len(s) || s[i] != ':' {
			return 0, errJSON
		}
		from := space(s, i+1)
		to, err := value(s, from, depth+1)
		if err != nil {
			return 0, err
		}
		if out != nil {
			key := s[start+1 : end-1]
			if escaped {
				key = unescape(key)
			}
			*out = append(*out, field{key, s[from:to]})
		}
		if i = space(s, to); i >= len(s) {
			return 0, errJSON
		}
		switch s[i] {
		case '}':
			return i + 1, nil
		case ',':
			i = space(s, i+1)
		default:
			return 0, errJSON
		}
	}
}

// array walks the array at i. With out, its elements' texts are appended there.
func array(s string, i, depth int, out *[]string) (int, error) {
	if depth >= maxDepth {
		return 0, errDepth
	}
	if i = space(s, i+1); i < len(s) && s[i] == ']' {
		return i + 1, nil
	}
	for {
		to, err := value(s, i, depth+1)
		if err != nil {
			return 0, err
		}
		if out != nil {
			*out = append(*out, s[i:to])
		}
		if i = space(s, to); i >= len(s) {
			return 0, errJSON
		}
		switch s[i] {
		case ']':
			return i + 1, nil
		case ',':
			i = space(s, i+1)
		default:
			return 0, errJSON
		}
	}
}

// validJSON tells whether s is one JSON text.
func validJSON(s string) bool {
	end, err := value(s, space(s, 0), 0)
	return err == nil && space(s, end) == len(s)
}

// text gives what a JSON string's text stands for. Half a surrogate pair becomes U+FFFD, as in encoding/json.
func text(raw string) (string, error) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", errNotText
	}
	raw = raw[1 : len(raw)-1]
	if strings.IndexByte(raw, '\\') >= 0 {
		raw = unescape(raw)
	}
	if !utf8.ValidString(raw) {
		return "", errNotUTF8
	}
	return raw, nil
}

// unescape reads the escapes of a string whose grammar was checked.
func unescape(s string) string {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 >= len(s) {
			b = append(b, s[i])
			continue
		}
		i++
		switch s[i] {
		case 'b':
			b = append(b, '\b')
		case 'f':
			b = append(b, '\f')
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 't':
			b = append(b, '\t')
		case 'u':
			r, _ := hex4(s, i+1)
			i += 4
			if utf16.IsSurrogate(r) {
				low, ok := rune(0), false
				if i+2 < len(s) && s[i+1] == '\\' && s[i+2] == 'u' {
					low, ok = hex4(s, i+3)
				}
				if pair := utf16.DecodeRune(r, low); ok && pair != utf8.RuneError {
					r = pair
					i += 6
				} else {
					r = utf8.RuneError
				}
			}
			b = utf8.AppendRune(b, r)
		default:
			b = append(b, s[i])
		}
	}
	return string(b)
}

// appendText appends t as a JSON string.
func appendText(dst []byte, t string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(t); i++ {
		switch c := t[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < 0x20:
			dst = append(dst, `\u00`...)
			if c < 0x10 {
				dst = append(dst, '0')
			}
			dst = strconv.AppendUint(dst, uint64(c), 16)
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
