package mapping

import (
	"math"
	"strconv"
	"strings"

	"brazecdc/connector"
)

// maxExactInt is the largest integer up to which every one has a double of its own.
const maxExactInt = 1 << 53

const (
	noteBigInt     = "an integer beyond 2^53 is sent as text"
	noteBigDecimal = "a number with more digits than a double holds is sent as text"
	noteBigNumber  = "a number with more digits than a double holds; Braze may round it"
	noteNotFinite  = "NaN and infinity have no JSON form"
)

func appendInt(dst []byte, n int64) ([]byte, string, bool) {
	if n > maxExactInt || n < -maxExactInt {
		dst = append(dst, '"')
		dst = strconv.AppendInt(dst, n, 10)
		return append(dst, '"'), noteBigInt, true
	}
	return strconv.AppendInt(dst, n, 10), "", true
}

// appendFloat appends the shortest digits that give the same double again, in the forms JSON knows.
func appendFloat(dst []byte, f float64) []byte {
	format := byte('f')
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, f, format, -1, 64)
}

// trimDecimal drops a decimal's trailing zeros ("12.50" is 12.5, "-0.0" is 0) and checks that what remains is plain digits; ok is false for NaN,
// infinities and anything else.
func trimDecimal(s string) (out string, ok bool) {
	digits := strings.TrimPrefix(s, "-")
	if digits == s {
		digits = strings.TrimPrefix(s, "+")
		s = digits
	}
	point, zero := -1, true
	for i := range len(digits) {
		switch b := digits[i]; {
		case b == '.' && point < 0 && i > 0 && i < len(digits)-1:
			point = i
		case b < '0' || b > '9':
			return "", false
		case b != '0':
			zero = false
		}
	}
	if digits == "" {
		return "", false
	}
	if zero {
		return "0", true
	}
	if point >= 0 {
		s = strings.TrimRight(s, "0")
		s = strings.TrimSuffix(s, ".")
	}
	if whole := strings.TrimPrefix(s, "-"); len(whole) > 1 && whole[0] == '0' && whole[1] != '.' {
		whole = strings.TrimLeft(whole, "0")
		if whole == "" || whole[0] == '.' {
			whole = "0" + whole
		}
		if s[0] == '-' {
			whole = "-" + whole
		}
		s = whole
	}
	return s, true
}

// exactDouble tells whether a trimmed decimal survives being read as a double: the shortest digits of the double are the decimal's own.
func exactDouble(s string) bool {
	if len(s) <= 15 {
		return true // 15 significant digits always do
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return false
	}
	var buf [64]byte
	return string(strconv.AppendFloat(buf[:0], f, 'f', -1, 64)) == s
}

// appendDecimal appends an exact decimal as a number where a double holds it. Where none does it goes as text, or, for a field declared as a
// number, with all its digits.
func appendDecimal(dst []byte, s string, number bool) ([]byte, string, bool) {
	d, ok := trimDecimal(s)
	if !ok {
		if f, err := strconv.ParseFloat(s, 64); err == nil && !math.IsNaN(f) && !math.IsInf(f, 0) {
			return appendFloat(dst, f), "", true // exponents occur in constants of the configuration only
		}
		return dst, noteNotFinite, false
	}
	if exactDouble(d) {
		return append(dst, d...), "", true
	}
	if number {
		if f, err := strconv.ParseFloat(d, 64); err != nil || math.IsInf(f, 0) {
			return dst, "a number beyond the range of a double", false
		}
		return append(dst, d...), noteBigNumber, true
	}
	if len(d) > maxString {
		return dst, noteTooLong, false
	}
	dst = append(dst, '"')
	dst = append(dst, d...)
	return append(dst, '"'), noteBigDecimal, true
}

// appendNumber appends a value for a field declared as a number.
func appendNumber(dst []byte, v connector.Value) ([]byte, string, bool) {
	switch v.Kind {
	case connector.KindInt:
		if v.Int > maxExactInt || v.Int < -maxExactInt {
			return strconv.AppendInt(dst, v.Int, 10), noteBigNumber, true
		}
		return strconv.AppendInt(dst, v.Int, 10), "", true
	case connector.KindFloat:
		if math.IsNaN(v.Float) || math.IsInf(v.Float, 0) {
			return dst, noteNotFinite, false
		}
		return appendFloat(dst, v.Float), "", true
	case connector.KindDecimal:
		return appendDecimal(dst, v.Str, true)
	case connector.KindText:
		s := strings.TrimSpace(v.Str)
		if _, ok := trimDecimal(s); ok {
			return appendDecimal(dst, s, true)
		}
		if f, err := strconv.ParseFloat(s, 64); err == nil && !math.IsNaN(f) && !math.IsInf(f, 0) && !strings.ContainsAny(s, "xX_pP") {
			return appendFloat(dst, f), "", true
		}
	case connector.KindJSON:
		s := strings.TrimSpace(v.Str)
		if t, ok := jsonText(s); ok {
			s = t
		}
		if s != "" && s[0] != '{' && s[0] != '[' {
			return appendNumber(dst, connector.Value{Kind: connector.KindText, Str: s})
		}
	}
	return dst, "not a number", false
}

// appendBool appends a value for a field declared as a boolean, reading the words that databases and files write for one.
func appendBool(dst []byte, v connector.Value) ([]byte, string, bool) {
	b, ok := false, false
	switch v.Kind {
	case connector.KindBool, connector.KindInt:
		b, ok = v.Int == 1, v.Int == 0 || v.Int == 1
	case connector.KindFloat:
		b, ok = v.Float == 1, v.Float == 0 || v.Float == 1
	case connector.KindDecimal:
		d, _ := trimDecimal(v.Str)
		b, ok = d == "1", d == "0" || d == "1"
	case connector.KindText, connector.KindJSON:
		s := v.Str
		if t, is := jsonText(s); v.Kind == connector.KindJSON && is {
			s = t
		}
		switch strings.ToLower(strings.TrimSpace(s)) {
		case "t", "true", "yes", "y", "1", "on":
			b, ok = true, true
		case "f", "false", "no", "n", "0", "off":
			ok = true
		}
	}
	if !ok {
		return dst, "not a boolean", false
	}
	return strconv.AppendBool(dst, b), "", true
}
