package sourcetest

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"brazecdc/connector"
	"brazecdc/schemas"
)

// Recording is what Debezium made of rows of the table of values with some settings, as it lies in connector/envelope/testdata/debezium.
type Recording struct {
	Folder string
	Typed  bool     // the records tell their columns' types
	Words  []string // "type word": what has to be said behind a column's type, where it is not Debezium's default
	Loses  string   // what the settings lose, as Value.Lossy names it
}

// Recordings are all there are of rows of the table.
var Recordings = []Recording{
	{"json", false, []string{"numeric(38,0) base64", "numeric(5,0) base64"}, "utc average dimensions varbit"},
	{"json_schema", true, nil, "utc average dimensions varbit bool"},
	{"json_strings", false, []string{"time ms", "timestamp ms"}, "utc connect dimensions varbit"},
	{"json_double", false, []string{"time us", "time(3) us", "bytea hex"}, "utc average dimensions varbit double"},
	{"json_iso", false, nil, "utc average dimensions varbit"},
	{"json_nanos", false, []string{"time ns", "timestamp ns"}, "utc average dimensions"},
	{"unwrap_rewrite_schema", true, nil, "utc average dimensions varbit bool"},
	{"cloudevents", false, nil, "utc average dimensions"},
	{"avro_confluent", true, nil, "utc average dimensions varbit bool"},
	{"avro_confluent_unwrap", true, nil, "utc average dimensions varbit bool"},
	{"avro_apicurio", true, nil, "utc average dimensions"},
	{"json_2_7", false, []string{"numeric(38,0) base64", "numeric(5,0) base64"}, "utc average dimensions varbit"},
	{"specials_precise", false, nil, "precise"},
	{"specials_string", false, nil, ""},
	{"specials_double", false, nil, "double"},
	{"specials_iso", false, nil, "precise"},
}

// Types gives the types of a row's columns as a person would write them for the recording; nil where none is needed.
func (m Recording) Types(r ValueRow) map[string]string {
	if m.Typed {
		return nil
	}
	out := map[string]string{}
	for _, c := range r.Columns {
		out[c.Name] = m.typ(c.Type)
	}
	return out
}

func (m Recording) typ(pg string) string {
	base, list := strings.CutSuffix(pg, "[]")
	switch base {
	case "mood":
		base = "enum"
	case "posint":
		base = "integer"
	}
	for _, w := range m.Words {
		if name, word, _ := strings.Cut(w, " "); name == base {
			base += " " + word
		}
	}
	if list {
		base += "[]"
	}
	return base
}

// Has gives a row without the columns that the recording lacks: Debezium 2.7 leaves tsvector out.
func (m Recording) Has(r ValueRow) ValueRow {
	if strings.HasSuffix(m.Folder, "_2_7") {
		r.Columns = slices.DeleteFunc(slices.Clone(r.Columns), func(c Value) bool { return c.Type == "tsvector" })
	}
	return r
}

// Parse reads a value as Text shows it.
func Parse(t testing.TB, text string) connector.Value {
	t.Helper()
	if inside, ok := strings.CutPrefix(text, "["); ok {
		v := connector.Value{Kind: connector.KindArray, List: []connector.Value{}}
		for _, e := range items(strings.TrimSuffix(inside, "]")) {
			v.List = append(v.List, Parse(t, e))
		}
		return v
	}
	name, rest, _ := strings.Cut(text, " ")
	kind := slices.Index(kindNames[:], name)
	if kind < 0 {
		t.Fatalf("%s: there is no kind %q", text, name)
	}
	v := connector.Value{Kind: connector.ValueKind(kind)}
	var err error
	switch v.Kind {
	case connector.KindNull:
	case connector.KindBool, connector.KindInt, connector.KindDate, connector.KindTime, connector.KindTimestamp, connector.KindTimestampTZ:
		switch rest {
		case "+inf":
			v.Int = connector.PosInfinity
		case "-inf":
			v.Int = connector.NegInfinity
		default:
			v.Int, err = strconv.ParseInt(rest, 10, 64)
		}
	case connector.KindFloat:
		v.Float, err = strconv.ParseFloat(rest, 64)
	default:
		v.Str, err = strconv.Unquote(rest)
	}
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// AsGo is a value as Go writes it into a row change.
func AsGo(v connector.Value) any {
	switch v.Kind {
	case connector.KindNull:
		return nil
	case connector.KindBool:
		return v.Int == 1
	case connector.KindInt:
		return v.Int
	case connector.KindFloat:
		return v.Float
	case connector.KindDecimal:
		return schemas.Decimal(v.Str)
	case connector.KindDate:
		return schemas.Date(max(math.MinInt32, min(v.Int, math.MaxInt32)))
	case connector.KindTime:
		return schemas.Time(v.Int)
	case connector.KindTimestamp:
		return schemas.Timestamp(v.Int)
	case connector.KindTimestampTZ:
		return time.UnixMicro(v.Int)
	case connector.KindInterval:
		return schemas.Interval(v.Str)
	case connector.KindJSON:
		return json.RawMessage(v.Str)
	case connector.KindBytes:
		return []byte(v.Str)
	case connector.KindArray:
		list := make([]any, len(v.List))
		for i, e := range v.List {
			list[i] = AsGo(e)
		}
		return list
	}
	return v.Str
}

// items takes a list apart at the commas that are neither in quotes nor in a list inside.
func items(s string) (out []string) {
	depth, quoted, from := 0, false, 0
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case quoted:
		case s[i] == '[':
			depth++
		case s[i] == ']':
			depth--
		case s[i] == ',' && depth == 0:
			out, from = append(out, s[from:i]), i+2
		}
	}
	if from < len(s) {
		out = append(out, s[from:])
	}
	return out
}
