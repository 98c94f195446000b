package envelope

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"brazecdc/connector"
)

var (
	errNotText = errors.New("the value is no text")
	errNotUTF8 = errors.New("the text is not valid UTF-8")
	errBinary  = errors.New("the binary value is malformed")
)

// form is how a string stands for bytes.
type form uint8

const (
	asText form = iota // the string is the value
	asBase64
	asHex
	asEither // of a decimal with digits behind the point: base64 of its unscaled value, or the decimal itself, which always has a point
)

// shape is what a struct with a meaning of its own holds.
type shape uint8

const (
	plain      shape = iota // JSON
	varDecimal              // {scale, value}
	pointXY                 // {x, y, wkb, srid}
	geometry                // {wkb, srid}
)

// typ is a column's type as any of the encodings describes it, and what it becomes. A typ is immutable.
type typ struct {
	kind  connector.ValueKind
	name  string // for messages
	unit  unit   // of times and timestamps as numbers
	scale int    // of decimals; -1 where the value has its own
	form  form   // of a string that stands for bytes
	bits  int    // digits of a bit string
	bit   bool   // bytes are a bit string
	short bool   // a single-precision float
	shape shape
	elem  *typ // of an array
}

func simple(k connector.ValueKind, name string) *typ {
	return &typ{kind: k, name: name, unit: micros, scale: -1}
}

func (t *typ) wrong(what string) (connector.Value, error) {
	return connector.Value{}, fmt.Errorf("%s is no %s", what, t.name)
}

// show names a bad value by its form only: values of rows stay out of messages.
func show(s string) string { return fmt.Sprintf("a text of %d bytes", len(s)) }

func (t *typ) ofInt(n int64) (connector.Value, error) {
	v := connector.Value{Kind: t.kind, Int: n}
	ok := true
	switch t.kind {
	case connector.KindInt:
	case connector.KindBool:
		ok = n == 0 || n == 1
	case connector.KindDate:
		v.Int = dateOf(n)
	case connector.KindTime:
		if v.Int, ok = t.unit.microsOf(n); v.Int < 0 || v.Int > microsPerDay {
			ok = false
		}
	case connector.KindTimestamp, connector.KindTimestampTZ:
		v.Int, ok = t.unit.timestampOf(n)
	case connector.KindInterval:
		v.Int, ok = t.unit.microsOf(n)
		v.Str, v.Int = durationText(v.Int), 0
	case connector.KindFloat:
		v.Float, v.Int = float64(n), 0
	case connector.KindDecimal:
		v.Str, v.Int = strconv.FormatInt(n, 10), 0
		if t.scale > 0 {
			v.Str = rescale(v.Str, t.scale)
		}
	case connector.KindText, connector.KindJSON:
		v.Str, v.Int = strconv.FormatInt(n, 10), 0
	default:
		ok = false
	}
	if !ok {
		return t.wrong("the integer")
	}
	return v, nil
}

func (t *typ) ofBool(b bool) (connector.Value, error) {
	n := int64(0)
	if b {
		n = 1
	}
	switch t.kind {
	case connector.KindBool:
		return connector.Value{Kind: t.kind, Int: n}, nil
	case connector.KindText, connector.KindJSON:
		s := strconv.FormatBool(b)
		if t.bit { // Debezium makes bit(1) a boolean
			s = strconv.FormatInt(n, 10)
		}
		return connector.Value{Kind: t.kind, Str: s}, nil
	}
	return t.wrong("the boolean")
}

// ofNumber reads a number's text, which JSON's grammar allows.
func (t *typ) ofNumber(s string) (connector.Value, error) {
	switch t.kind {
	case connector.KindFloat:
		return t.floatText(s)
	case connector.KindDecimal:
		if d, ok := decimalText(s, t.scale); ok {
			return connector.Value{Kind: t.kind, Str: d}, nil
		}
		return t.wrong("the number")
	case connector.KindJSON:
		return connector.Value{Kind: t.kind, Str: s}, nil
	case connector.KindText:
		return connector.Value{Kind: t.kind, Str: s}, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		d, _ := plainDecimal(s)
		d, ok := strings.CutSuffix(d, ".0")
		if !ok {
			return t.wrong("the number")
		}
		if n, err = strconv.ParseInt(d, 10, 64); err != nil {
			return t.wrong("the number")
		}
	}
	return t.ofInt(n)
}

func (t *typ) floatText(s string) (connector.Value, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && !math.IsInf(f, 0) || err == nil && (strings.HasPrefix(s, "0x") || strings.Contains(s, "_")) {
		return t.wrong(show(s))
	}
	if t.short {
		f32, _ := strconv.ParseFloat(s, 32)
		return t.ofFloat32(float32(f32))
	}
	return connector.Value{Kind: connector.KindFloat, Float: f}, nil
}

func (t *typ) ofFloat64(f float64) (connector.Value, error) {
	switch t.kind {
	case connector.KindFloat:
		return connector.Value{Kind: t.kind, Float: f}, nil
	case connector.KindDecimal:
		if d, ok := decimalText(strconv.FormatFloat(f, 'g', -1, 64), t.scale); ok {
			return connector.Value{Kind: t.kind, Str: d}, nil
		}
		switch {
		case math.IsNaN(f):
			return connector.Value{Kind: t.kind, Str: "NaN"}, nil
		case math.IsInf(f, 0):
			return connector.Value{Kind: t.kind, Str: map[bool]string{true: "Infinity", false: "-Infinity"}[f > 0]}, nil
		}
	case connector.KindText, connector.KindJSON:
		if t.kind == connector.KindText || !math.IsNaN(f) && !math.IsInf(f, 0) {
			return connector.Value{Kind: t.kind, Str: floatDigits(f, 64)}, nil
		}
	}
	return t.wrong("the float")
}

// ofFloat32 gives the double whose digits are the shortest of the single, as Postgres prints a real: 0.1, not 0.10000000149011612.
func (t *typ) ofFloat32(f float32) (connector.Value, error) {
	if d := float64(f); math.IsNaN(d) || math.IsInf(d, 0) {
		return t.ofFloat64(d)
	}
	d, _ := strconv.ParseFloat(strconv.FormatFloat(float64(f), 'g', -1, 32), 64)
	return t.ofFloat64(d)
}

// ofText reads a string; s may still be a part of the record.
func (t *typ) ofText(s string) (connector.Value, error) {
	if !utf8.ValidString(s) {
		return connector.Value{}, errNotUTF8
	}
	form := t.form
	if form == asEither {
		if form = asBase64; strings.Contains(s, ".") || strings.Contains(s, "N") && decimalWord(s) {
			form = asText
		}
	}
	if form != asText {
		b, err := form.bytes(s)
		if err != nil {
			return connector.Value{}, err
		}
		return t.ofBytes(b)
	}
	v := connector.Value{Kind: t.kind}
	ok := true
	switch t.kind {
	case connector.KindText:
		v.Str = s
	case connector.KindJSON:
		v.Str, ok = s, validJSON(s)
	case connector.KindDecimal:
		v.Str, ok = decimalText(s, t.scale)
	case connector.KindDate:
		v.Int, ok = parseDate(s)
	case connector.KindTime:
		v.Int, ok = clockText(s)
	case connector.KindTimeTZ:
		v.Str, ok = parseTimeTZ(s)
	case connector.KindTimestamp, connector.KindTimestampTZ:
		v.Int, ok = parseTimestamp(s, t.kind == connector.KindTimestampTZ)
	case connector.KindInterval:
		v.Str, ok = intervalText(s)
	case connector.KindFloat:
		return t.floatText(s)
	case connector.KindInt:
		var err error
		v.Int, err = strconv.ParseInt(s, 10, 64)
		ok = err == nil
	case connector.KindBool:
		switch s {
		case "true", "t":
			v.Int = 1
		case "false", "f":
		default:
			ok = false
		}
	case connector.KindBytes:
		v.Str = s
	default:
		ok = false
	}
	if !ok {
		return t.wrong(show(s))
	}
	return v, nil
}

func clockText(s string) (int64, bool) {
	us, rest, ok := parseClock(s)
	east, _, zone := parseZone(rest)
	return us, ok && zone && east == 0
}

// ofBytes reads raw bytes.
func (t *typ) ofBytes(b string) (connector.Value, error) {
	switch {
	case t.bit:
		return connector.Value{Kind: t.kind, Str: bitText(b, t.bits)}, nil
	case t.kind == connector.KindBytes:
		return connector.Value{Kind: t.kind, Str: b}, nil
	case t.kind == connector.KindDecimal && t.scale >= 0:
		if d, ok := unscaled(b, t.scale); ok {
			return connector.Value{Kind: t.kind, Str: d}, nil
		}
	case t.kind == connector.KindText && utf8.ValidString(b):
		return connector.Value{Kind: t.kind, Str: b}, nil
	}
	return t.wrong("the binary value")
}

func (f form) bytes(s string) (string, error) {
	var b []byte
	var err error
	if f == asHex {
		b, err = hex.DecodeString(s)
	} else {
		enc := base64.StdEncoding
		if strings.ContainsAny(s, "-_") { // binary.handling.mode=base64-url-safe
			enc = base64.URLEncoding
		}
		if len(s)%4 != 0 {
			enc = enc.WithPadding(base64.NoPadding)
		}
		b, err = enc.DecodeString(s)
	}
	if err != nil {
		return "", errBinary
	}
	return string(b), nil
}

// bitText writes Debezium's little-endian bits as Postgres prints them: n digits, the most significant first. (A varbit shorter than its limit cannot be told
// from one with zeros before it.)
func bitText(b string, n int) string {
	if n <= 0 || n > 8*maxDigits {
		n = 8 * len(b)
	}
	out := make([]byte, n)
	for i := range out {
		bit := n - 1 - i
		out[i] = '0'
		if bit/8 < len(b) && b[bit/8]>>(bit%8)&1 == 1 {
			out[i] = '1'
		}
	}
	return string(out)
}

// floatDigits writes a double as Postgres does: the shortest digits, with an exponent from 1e+15 on and below 1e-4.
func floatDigits(f float64, size int) string {
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e15) || math.IsNaN(f) || math.IsInf(f, 0) {
		s := strconv.FormatFloat(f, 'e', -1, size)
		switch s {
		case "+Inf":
			return "Infinity"
		case "-Inf":
			return "-Infinity"
		}
		return s
	}
	return strconv.FormatFloat(f, 'f', -1, size)
}

func pointText(x, y float64) connector.Value {
	return connector.Value{Kind: connector.KindText, Str: "(" + floatDigits(x, 64) + "," + floatDigits(y, 64) + ")"}
}

// geometryText writes well-known binary as PostGIS prints a geometry.
func geometryText(wkb string) connector.Value {
	return connector.Value{Kind: connector.KindText, Str: strings.ToUpper(hex.EncodeToString([]byte(wkb)))}
}

// varDecimalOf reads a decimal that brings its scale along.
func (t *typ) varDecimalOf(scale int64, b string) (connector.Value, error) {
	if scale >= -maxDigits && scale <= maxDigits {
		if d, ok := unscaled(b, int(scale)); ok {
			return connector.Value{Kind: connector.KindDecimal, Str: d}, nil
		}
	}
	return t.wrong("the structure")
}
