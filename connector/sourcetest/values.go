package sourcetest

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"brazecdc/connector"
)

// Value is one value that every source must give alike.
type Value struct {
	Name    string // of its column
	Type    string // in Postgres
	Literal string // in SQL
	Want    connector.Value
}

// Values are the values both sources are measured by.
var Values = []Value{
	{"v_smallint", "smallint", "-32768", num(connector.KindInt, -32768)},
	{"v_bigint", "bigint", "9223372036854775807", num(connector.KindInt, 9223372036854775807)},
	{"v_numeric", "numeric(12,2)", "12.50", str(connector.KindDecimal, "12.50")},
	{"v_long_numeric", "numeric", "12345678901234567890.12", str(connector.KindDecimal, "12345678901234567890.12")},
	{"v_nan", "numeric", "'NaN'", str(connector.KindDecimal, "NaN")},
	{"v_double", "double precision", "0.1", connector.Value{Kind: connector.KindFloat, Float: 0.1}},
	{"v_true", "boolean", "true", num(connector.KindBool, 1)},
	{"v_text", "text", "'ä 世 🙂'", str(connector.KindText, "ä 世 🙂")},
	{"v_empty", "text", "''", str(connector.KindText, "")},
	{"v_null", "text", "NULL", connector.Value{}},
	{"v_uuid", "uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", str(connector.KindText, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")},
	{"v_date", "date", "'1990-05-04'", num(connector.KindDate, 7428)},
	{"v_time", "time", "'09:30:00.5'", num(connector.KindTime, 34200500000)},
	{"v_timestamp", "timestamp", "'1970-01-01 00:00:00.000001'", num(connector.KindTimestamp, 1)},
	{"v_timestamptz", "timestamptz", "'2026-11-01 09:00+09'", num(connector.KindTimestampTZ, 1793491200000000)},
	{"v_jsonb", "jsonb", `'{"a": [1, null]}'`, str(connector.KindJSON, `{"a": [1, null]}`)},
	{"v_bytes", "bytea", `'\x00ff'`, str(connector.KindBytes, "\x00\xff")},
	{"v_ints", "integer[]", "'{1,NULL,3}'", list(num(connector.KindInt, 1), connector.Value{}, num(connector.KindInt, 3))},
	{"v_texts", "text[]", `ARRAY['a b', '', 'x,y']`, list(str(connector.KindText, "a b"), str(connector.KindText, ""), str(connector.KindText, "x,y"))},
	{"v_no_ints", "integer[]", "'{}'", list()},
}

func num(k connector.ValueKind, n int64) connector.Value  { return connector.Value{Kind: k, Int: n} }
func str(k connector.ValueKind, s string) connector.Value { return connector.Value{Kind: k, Str: s} }
func list(v ...connector.Value) connector.Value {
	if v == nil {
		v = []connector.Value{}
	}
	return connector.Value{Kind: connector.KindArray, List: v}
}

func values(t *testing.T, s Subject) {
	if s.WriteValues == nil {
		t.Skip("this source writes no values")
	}
	table := s.WriteValues(t)
	r := open(t, s, nil, s.Table, table)
	table2 := s.WriteValues(t) // once more, behind the start of the stream
	if table2 != table {
		t.Fatalf("the values are in %q and %q", table, table2)
	}
	c := r.until(1)
	row := c[len(c)-1].After
	for _, v := range Values {
		if slices.Contains(s.Without, v.Name) {
			continue
		}
		i := row.Table.Column(v.Name)
		if i < 0 {
			t.Errorf("there is no column %s", v.Name)
			continue
		}
		got, ok, err := row.Value(i)
		if err != nil || !ok {
			t.Errorf("%s: known %v, error %v", v.Name, ok, err)
			continue
		}
		if diff := cmp.Diff(v.Want, got); diff != "" {
			t.Errorf("%s: %s", v.Name, diff)
		}
		if kind := row.Table.Columns[i].Kind; v.Want.Kind != connector.KindNull && kind != v.Want.Kind {
			t.Errorf("%s: the column promises kind %d, the value has %d", v.Name, kind, v.Want.Kind)
		}
	}
}
