package envelope

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"brazecdc/connector"
)

// CheckType tells what is wrong with a column's type as a person writes it where the records do not tell; nil is nothing. A type is written as in Postgres, with
// a word behind it for how the value is encoded where that is not Debezium's default: "numeric(10,2)", "timestamp(3)", "timestamptz", "bytea hex", "time ns",
// "text[]". The words are ms, us, ns for times, and base64, hex, text for binary values and decimals.
func CheckType(s string) error {
	_, err := hint(s)
	return err
}

// TypeNames lists the types that CheckType knows, in the order of the alphabet.
func TypeNames() []string { return slices.Sorted(maps.Keys(typeNames)) }

// hint reads a type as CheckType takes it.
//
// As in Debezium's adaptive mode a time or timestamp of up to three digits is in milliseconds, any other in microseconds.
func hint(s string) (*typ, error) {
	body, list := strings.CutSuffix(strings.TrimSpace(strings.ToLower(s)), "[]")
	name, args, rest, err := splitType(body)
	if err != nil {
		return nil, fmt.Errorf("type %q: %w", s, err)
	}
	t, ok := hinted(name, args)
	if !ok {
		return nil, fmt.Errorf("type %q is not known; write it as Postgres does, for example numeric(10,2), timestamp(3), bytea hex, text[]", s)
	}
	for _, word := range strings.Fields(rest) {
		if !t.encode(word) {
			return nil, fmt.Errorf("type %q: %q does not go with %s", s, word, name)
		}
	}
	t.name = s
	if list {
		t = &typ{kind: connector.KindArray, name: s, elem: t, scale: -1, unit: micros}
	}
	return t, nil
}

// splitType takes a type apart into its name, the numbers in parentheses and the words behind.
func splitType(s string) (name string, args []int, rest string, err error) {
	open := strings.IndexByte(s, '(')
	if open >= 0 {
		inside, behind, ok := strings.Cut(s[open+1:], ")")
		if !ok {
			return "", nil, "", fmt.Errorf("a parenthesis is missing")
		}
		for _, p := range strings.Split(inside, ",") {
			n, err := strconv.Atoi(strings.TrimSpace(p))
			if err != nil || n < 0 || n > maxDigits {
				return "", nil, "", fmt.Errorf("%q is no length", p)
			}
			args = append(args, n)
		}
		s = s[:open] + behind
	}
	words := strings.Fields(s)
	for n := len(words); n > 0; n-- {
		if name = strings.Join(words[:n], " "); typeNames[name] != 0 {
			return name, args, strings.Join(words[n:], " "), nil
		}
	}
	return s, args, "", nil
}

var typeNames = map[string]connector.ValueKind{
	"bool": connector.KindBool, "boolean": connector.KindBool,
	"smallint": connector.KindInt, "int2": connector.KindInt, "int": connector.KindInt, "integer": connector.KindInt, "int4": connector.KindInt,
	"bigint": connector.KindInt, "int8": connector.KindInt, "oid": connector.KindInt, "serial": connector.KindInt, "bigserial": connector.KindInt,
	"real": connector.KindFloat, "float4": connector.KindFloat, "double precision": connector.KindFloat, "float8": connector.KindFloat, "float": connector.KindFloat,
	"double": connector.KindFloat, "numeric": connector.KindDecimal, "decimal": connector.KindDecimal, "money": connector.KindDecimal,
	"text": connector.KindText, "varchar": connector.KindText, "character varying": connector.KindText, "char": connector.KindText, "character": connector.KindText,
	"bpchar": connector.KindText, "citext": connector.KindText, "uuid": connector.KindText, "inet": connector.KindText, "cidr": connector.KindText,
	`"char"`: connector.KindText, "name": connector.KindText, "macaddr": connector.KindText, "macaddr8": connector.KindText, "ltree": connector.KindText,
	"tsvector": connector.KindText, "tsquery": connector.KindText, "pg_lsn": connector.KindText, "box": connector.KindText, "circle": connector.KindText,
	"line": connector.KindText, "lseg": connector.KindText, "path": connector.KindText, "polygon": connector.KindText,
	"int4range": connector.KindText, "int8range": connector.KindText, "numrange": connector.KindText, "tsrange": connector.KindText,
	"tstzrange": connector.KindText, "daterange": connector.KindText, "xml": connector.KindText, "enum": connector.KindText,
	"point": connector.KindText, "geometry": connector.KindText, "geography": connector.KindText,
	"bit": connector.KindText, "bit varying": connector.KindText, "varbit": connector.KindText,
	"date": connector.KindDate, "time": connector.KindTime, "time without time zone": connector.KindTime,
	"timetz": connector.KindTimeTZ, "time with time zone": connector.KindTimeTZ,
	"timestamp": connector.KindTimestamp, "timestamp without time zone": connector.KindTimestamp,
	"timestamptz": connector.KindTimestampTZ, "timestamp with time zone": connector.KindTimestampTZ,
	"interval": connector.KindInterval, "json": connector.KindJSON, "jsonb": connector.KindJSON, "hstore": connector.KindJSON, "bytea": connector.KindBytes,
}

func hinted(name string, args []int) (*typ, bool) {
	kind, ok := typeNames[name]
	t := simple(kind, name)
	switch name {
	case "real", "float4":
		t.short = true
	case "money":
		t.scale, t.form = 2, asEither
	case "bit", "bit varying", "varbit":
		t.bit, t.form, t.bits = true, asBase64, 1
		if len(args) > 0 {
			t.bits = args[0]
		}
	case "point":
		t.shape = pointXY
	case "geometry", "geography":
		t.shape = geometry
	case "bytea":
		t.form = asBase64
	}
	switch {
	case kind == connector.KindDecimal && len(args) > 0:
		t.scale = 0
		if len(args) > 1 {
			t.scale = args[1]
		}
		if t.scale > 0 {
			t.form = asEither
		}
	case (kind == connector.KindTime || kind == connector.KindTimestamp || kind == connector.KindTimestampTZ) && len(args) > 0 && args[0] <= 3:
		t.unit = millis
	}
	return t, ok
}

// encode applies a word for an encoding.
func (t *typ) encode(word string) bool {
	times := t.kind == connector.KindTime || t.kind == connector.KindTimestamp || t.kind == connector.KindTimestampTZ || t.kind == connector.KindInterval
	binary := t.kind == connector.KindBytes || t.kind == connector.KindDecimal && t.scale >= 0
	switch {
	case word == "ms" && times:
		t.unit = millis
	case word == "us" && times:
		t.unit = micros
	case word == "ns" && times:
		t.unit = nanos
	case word == "base64" && binary:
		t.form = asBase64
	case word == "hex" && binary:
		t.form = asHex
	case word == "text" && binary:
		t.form = asText
	default:
		return false
	}
	return true
}
