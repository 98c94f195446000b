package postgres

import (
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"brazecdc/connector"
)

// OIDs of the built-in types that are not simply text (src/include/catalog/pg_type.dat).
const (
	oidBool        = 16
	oidBytea       = 17
	oidInt8        = 20
	oidInt2        = 21
	oidInt2Vector  = 22
	oidInt4        = 23
	oidOID         = 26
	oidOIDVector   = 30
	oidJSON        = 114
	oidXML         = 142
	oidFloat4      = 700
	oidFloat8      = 701
	oidMoney       = 790
	oidBpchar      = 1042
	oidDate        = 1082
	oidTime        = 1083
	oidTimestamp   = 1114
	oidTimestampTZ = 1184
	oidInterval    = 1186
	oidTimeTZ      = 1266
	oidNumeric     = 1700
	oidJSONB       = 3802
)

type decodeFunc = func(string) (connector.Value, error)

// scalar gives the kind and decoder of a type that is no domain and no array. Types without a kind of their own are text.
func scalar(oid uint32) (connector.ValueKind, decodeFunc) {
	switch oid {
	case oidBool:
		return connector.KindBool, decodeBool
	case oidInt2, oidInt4, oidInt8, oidOID:
		return connector.KindInt, decodeInt
	case oidFloat4, oidFloat8:
		return connector.KindFloat, decodeFloat
	case oidNumeric:
		return connector.KindDecimal, decodeNumeric
	case oidMoney:
		return connector.KindDecimal, decodeMoney
	case oidDate:
		return connector.KindDate, decodeDate
	case oidTime:
		return connector.KindTime, decodeTime
	case oidTimeTZ:
		return connector.KindTimeTZ, str(connector.KindTimeTZ)
	case oidTimestamp:
		return connector.KindTimestamp, func(s string) (connector.Value, error) { return decodeTimestamp(connector.KindTimestamp, s) }
	case oidTimestampTZ:
		return connector.KindTimestampTZ, func(s string) (connector.Value, error) { return decodeTimestamp(connector.KindTimestampTZ, s) }
	case oidInterval:
		return connector.KindInterval, str(connector.KindInterval) // the session's IntervalStyle is iso_8601
	case oidJSON, oidJSONB:
		return connector.KindJSON, str(connector.KindJSON)
	case oidBytea:
		return connector.KindBytes, decodeBytes
	}
	return connector.KindText, str(connector.KindText)
}

// hasEquality tells whether values of a type can be compared with =.
func hasEquality(oid uint32) bool {
	switch oid {
	case oidJSON, oidXML, 600, 601, 602, 603, 604, 628, 718: // and the geometric types, whose = compares areas
		return false
	}
	return true
}

var errNotUTF8 = errors.New("value is not valid UTF-8")

func str(k connector.ValueKind) decodeFunc {
	return func(s string) (connector.Value, error) {
		if !utf8.ValidString(s) { // only a database in SQL_ASCII can send it
			return connector.Value{}, errNotUTF8
		}
		return connector.Value{Kind: k, Str: s}, nil
	}
}

func wrong(what, s string) (connector.Value, error) {
	if len(s) > 40 {
		s = s[:40] + "…"
	}
	return connector.Value{}, fmt.Errorf("%q is no %s as Postgres prints it", s, what)
}

func decodeBool(s string) (connector.Value, error) {
	switch s {
	case "t":
		return connector.Value{Kind: connector.KindBool, Int: 1}, nil
	case "f":
		return connector.Value{Kind: connector.KindBool}, nil
	}
	return wrong("boolean", s)
}

func decodeInt(s string) (connector.Value, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return wrong("integer", s)
	}
	return connector.Value{Kind: connector.KindInt, Int: n}, nil
}

func decodeFloat(s string) (connector.Value, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return wrong("float", s)
	}
	return connector.Value{Kind: connector.KindFloat, Float: f}, nil
}

// isDecimal tells whether s is digits with at most one point and a minus before them.
func isDecimal(s string) bool {
	s = strings.TrimPrefix(s, "-")
	digits, point := 0, false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] >= '0' && s[i] <= '9':
			digits++
		case s[i] == '.' && !point:
			point = true
		default:
			return false
		}
	}
	return digits > 0
}

func decodeNumeric(s string) (connector.Value, error) {
	if s != "NaN" && s != "Infinity" && s != "-Infinity" && !isDecimal(s) {
		return wrong("numeric", s)
	}
	return connector.Value{Kind: connector.KindDecimal, Str: s}, nil
}

// money is how Postgres prints it under lc_monetary C. Other locales mean other things with the same signs: "$1.234,50" is written in Chile.
var money = regexp.MustCompile(`^-?\$[0-9]{1,3}(,[0-9]{3})*\.[0-9]{2}$`)

// decodeMoney reads money under lc_monetary C, which all our sessions set: "-$1,234.50".
func decodeMoney(s string) (connector.Value, error) {
	if !money.MatchString(s) {
		return wrong("money", s)
	}
	return connector.Value{Kind: connector.KindDecimal, Str: strings.NewReplacer("$", "", ",", "").Replace(s)}, nil
}

func decodeBytes(s string) (connector.Value, error) {
	if !strings.HasPrefix(s, `\x`) {
		return wrong("bytea", s)
	}
	b, err := hex.DecodeString(s[2:])
	if err != nil {
		return wrong("bytea", s)
	}
	return connector.Value{Kind: connector.KindBytes, Str: string(b)}, nil
}

// decodeArray reads an array's text: {1,NULL,"a b"}, with bounds before it ([0:1]={…}), with dimensions inside.
func decodeArray(elem decodeFunc, delim byte) decodeFunc {
	return func(s string) (connector.Value, error) {
		t := s
		if strings.HasPrefix(t, "[") {
			i := strings.Index(t, "]={")
			if i < 0 {
				return wrong("array", s)
			}
			t = t[i+2:]
		}
		p := arrayParser{s: t, elem: elem, delim: delim}
		v, err := p.array(0)
		if err != nil {
			return connector.Value{}, err
		}
		if p.i != len(t) {
			return wrong("array", s)
		}
		return v, nil
	}
}

type arrayParser struct {
	s     string
	i     int
	elem  decodeFunc
	delim byte
}

var errArray = errors.New("array's text is malformed")

// maxDimensions is Postgres' MAXDIM; it bounds the recursion.
const maxDimensions = 6

func (p *arrayParser) array(depth int) (connector.Value, error) {
	v := connector.Value{Kind: connector.KindArray, List: []connector.Value{}}
	if depth >= maxDimensions || p.i >= len(p.s) || p.s[p.i] != '{' {
		return v, errArray
	}
	p.i++
	if p.i < len(p.s) && p.s[p.i] == '}' {
		p.i++
		return v, nil
	}
	for {
		e, err := p.element(depth)
		if err != nil {
			return v, err
		}
		v.List = append(v.List, e)
		if p.i >= len(p.s) {
			return v, errArray
		}
		c := p.s[p.i]
		p.i++
		if c == '}' {
			return v, nil
		}
		if c != p.delim {
			return v, errArray
		}
	}
}

func (p *arrayParser) element(depth int) (connector.Value, error) {
	if p.i >= len(p.s) {
		return connector.Value{}, errArray
	}
	switch p.s[p.i] {
	case '{':
		return p.array(depth + 1)
	case '"':
		text, ok := p.quoted()
		if !ok {
			return connector.Value{}, errArray
		}
		return p.elem(text)
	}
	start := p.i
	for p.i < len(p.s) && p.s[p.i] != p.delim && p.s[p.i] != '}' {
		p.i++
	}
	text := p.s[start:p.i]
	if text == "NULL" {
		return connector.Value{}, nil
	}
	if text == "" {
		return connector.Value{}, errArray
	}
	return p.elem(text)
}

func (p *arrayParser) quoted() (string, bool) {
	p.i++
	start, escaped := p.i, false
	for ; p.i < len(p.s); p.i++ {
		switch p.s[p.i] {
		case '\\':
			escaped = true
			p.i++
		case '"':
			text := p.s[start:p.i]
			p.i++
			if escaped {
				text = unescape(text)
			}
			return text, true
		}
	}
	return "", false
}

func unescape(s string) string {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}
