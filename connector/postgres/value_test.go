package postgres

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"brazecdc/connector"
)

// plain shows a value as JSON-like text: kind and content.
func plain(v connector.Value) string {
	switch v.Kind {
	case connector.KindNull:
		return "null"
	case connector.KindBool, connector.KindInt:
		return fmt.Sprintf("%s %d", kindName(v.Kind), v.Int)
	case connector.KindDate, connector.KindTime, connector.KindTimestamp, connector.KindTimestampTZ:
		if v.Int == connector.PosInfinity {
			return kindName(v.Kind) + " +inf"
		}
		if v.Int == connector.NegInfinity {
			return kindName(v.Kind) + " -inf"
		}
		return fmt.Sprintf("%s %d", kindName(v.Kind), v.Int)
	case connector.KindFloat:
		return fmt.Sprintf("float %v", v.Float)
	case connector.KindArray:
		var parts []string
		for _, e := range v.List {
			parts = append(parts, plain(e))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return kindName(v.Kind) + " " + fmt.Sprintf("%q", v.Str)
}

func kindName(k connector.ValueKind) string {
	return map[connector.ValueKind]string{connector.KindBool: "bool", connector.KindInt: "int", connector.KindDecimal: "decimal", connector.KindText: "text",
		connector.KindDate: "date", connector.KindTime: "time", connector.KindTimeTZ: "timetz", connector.KindTimestamp: "timestamp", connector.KindTimestampTZ: "timestamptz",
		connector.KindInterval: "interval", connector.KindJSON: "json", connector.KindBytes: "bytes", connector.KindArray: "array", connector.KindFloat: "float"}[k]
}

// values is one table of types, SQL literals and the values both paths must give.
var values = []struct{ typ, sql, want string }{
	{"smallint", "'-32768'", "int -32768"},
	{"integer", "'2147483647'", "int 2147483647"},
	{"bigint", "'-9223372036854775808'", "int -9223372036854775808"},
	{"oid", "'4294967295'", "int 4294967295"},
	{"numeric(38,20)", "'12345678901234567.12345678901234567890'", `decimal "12345678901234567.12345678901234567890"`},
	{"numeric", "'7000'", `decimal "7000"`},
	{"numeric", "'0.10'", `decimal "0.10"`},
	{"numeric", "'-0'", `decimal "0"`},
	{"numeric", "'NaN'", `decimal "NaN"`},
	{"numeric", "'Infinity'", `decimal "Infinity"`},
	{"numeric", "'-Infinity'", `decimal "-Infinity"`},
	{"real", "'0.1'", "float 0.1"},
	{"double precision", "'1e300'", "float 1e+300"},
	{"double precision", "'NaN'", "float NaN"},
	{"double precision", "'-Infinity'", "float -Inf"},
	{"money", "'-92233720368547758.08'", `decimal "-92233720368547758.08"`},
	{"money", "'0'", `decimal "0.00"`},
	{"boolean", "true", "bool 1"},
	{"boolean", "false", "bool 0"},
	{"text", "''", `text ""`},
	{"text", "'ä 世 🙂 \"q\" \\'", `text "ä 世 🙂 \"q\" \\"`},
	{"varchar(10)", "'abc'", `text "abc"`},
	{"char(5)", "'ab'", `text "ab   "`},
	{`"char"`, "'x'", `text "x"`},
	{"name", "'n'", `text "n"`},
	{"uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", `text "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"`},
	{"date", "'1990-05-04'", "date 7428"},
	{"date", "'0044-03-15 BC'", "date -735160"},
	{"date", "'0001-01-01'", "date -719162"},
	{"date", "'12345-01-01'", "date 3789391"},
	{"date", "'infinity'", "date +inf"},
	{"date", "'-infinity'", "date -inf"},
	{"time", "'24:00:00'", "time 86400000000"},
	{"time", "'09:30:00.5'", "time 34200500000"},
	{"timetz", "'09:30:00+02'", `timetz "09:30:00+02"`},
	{"timestamp", "'1970-01-01 00:00:00.000001'", "timestamp 1"},
	{"timestamp", "'0001-12-31 23:59:59 BC'", "timestamp -62135596801000000"},
	{"timestamp", "'9999-12-31 23:59:59.999999'", "timestamp 253402300799999999"},
	{"timestamp", "'infinity'", "timestamp +inf"},
	{"timestamptz", "'2026-11-01 09:00+09'", "timestamptz 1793491200000000"},
	{"timestamptz", "'12345-01-01 00:00:00+00'", "timestamptz 327403382400000000"},
	{"timestamptz", "'-infinity'", "timestamptz -inf"},
	{"interval", "'1 year 2 months 3 days 4 hours 5 minutes 6.5 seconds'", `interval "P1Y2M3DT4H5M6.5S"`},
	{"interval", "'-1 day'", `interval "P-1D"`},
	{"json", `'{"b":1, "a":  12345678901234567890}'`, `json "{\"b\":1, \"a\":  12345678901234567890}"`},
	{"json", `'"\ud800"'`, `json "\"\\ud800\""`},
	{"jsonb", `'{"b":1,"a":null}'`, `json "{\"a\": null, \"b\": 1}"`},
	{"jsonb", "'null'", `json "null"`},
	{"jsonb", "NULL", "null"},
	{"bytea", `'\x00ff'`, `bytes "\x00\xff"`},
	{"bytea", `''`, `bytes ""`},
	{"inet", "'192.168.0.1'", `text "192.168.0.1"`},
	{"cidr", "'10.0.0.0/8'", `text "10.0.0.0/8"`},
	{"macaddr", "'08:00:2b:01:02:03'", `text "08:00:2b:01:02:03"`},
	{"bit(3)", "B'101'", `text "101"`},
	{"varbit", "B'1'", `text "1"`},
	{"point", "'(1,2)'", `text "(1,2)"`},
	{"box", "'(1,2),(0,0)'", `text "(1,2),(0,0)"`},
	{"box[]", "ARRAY['(1,2),(0,0)'::box, '(3,4),(0,0)'::box]", `[text "(1,2),(0,0)", text "(3,4),(0,0)"]`},
	{"int4range", "'[1,5)'", `text "[1,5)"`},
	{"tsvector", "'a b'", `text "'a' 'b'"`},
	{"xml", "'<a/>'", `text "<a/>"`},
	{"int2vector", "'1 2'", `text "1 2"`},
	{"integer[]", "'{1,NULL,3}'", "[int 1, null, int 3]"},
	{"integer[]", "'{}'", "[]"},
	{"integer[]", "'[0:1]={4,5}'", "[int 4, int 5]"},
	{"integer[]", "'{{1,2},{3,4}}'", "[[int 1, int 2], [int 3, int 4]]"},
	{"text[]", `ARRAY['a b', 'NULL', '', 'c"d\e', 'x,y', '{}', NULL]`, `[text "a b", text "NULL", text "", text "c\"d\\e", text "x,y", text "{}", null]`},
	{"numeric[]", "'{1.50,NaN}'", `[decimal "1.50", decimal "NaN"]`},
	{"uuid[]", "'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'", `[text "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]`},
	{"date[]", "'{1970-01-02,infinity}'", "[date 1, date +inf]"},
	{"timestamptz[]", "'{1970-01-01 00:00:01+00}'", "[timestamptz 1000000]"},
	{"jsonb[]", `ARRAY['{"a": 1}'::jsonb]`, `[json "{\"a\": 1}"]`},
	{"bytea[]", `ARRAY['\x01'::bytea]`, `[bytes "\x01"]`},
	{"boolean[]", "'{t,f}'", "[bool 1, bool 0]"},
	{"interval[]", "'{1 day}'", `[interval "P1D"]`},
	{"mood", "'very sad'", `text "very sad"`},
	{"mood[]", "'{ok,\"very sad\"}'", `[text "ok", text "very sad"]`},
	{"other.mood", "'x'", `text "x"`},
	{"positive", "'5'", "int 5"},
	{"twice", "'6'", "int 6"},
	{"positive[]", "'{5,6}'", "[int 5, int 6]"},
	{"list", "'{1.5}'", `[decimal "1.5"]`},
	{"pair", "ROW(1,'a b')", `text "(1,\"a b\")"`},
	{"nothing", "NULL", "null"},
}

func valuesTable(t *testing.T) (*db, string) {
	d := newDB(t, "CREATE SCHEMA other", "CREATE TYPE mood AS ENUM ('ok', 'very sad')", "CREATE TYPE other.mood AS ENUM ('x')", "CREATE TYPE nothing AS ENUM ()",
		"CREATE DOMAIN positive AS integer CHECK (VALUE > 0)", "CREATE DOMAIN twice AS positive", "CREATE DOMAIN list AS numeric[]", "CREATE TYPE pair AS (a int, b text)")
	var cols, vals []string
	for i, v := range values {
		cols = append(cols, fmt.Sprintf("c%d %s", i, v.typ))
		vals = append(vals, v.sql)
	}
	d.exec("CREATE TABLE vals(id int PRIMARY KEY, " + strings.Join(cols, ", ") + ")")
	return d, "INSERT INTO vals VALUES (%d, " + strings.Join(vals, ", ") + ")"
}

// loadAll runs a load to its end and gives its rows.
func (r *run) loadAll(id, table string) []connector.Change {
	r.t.Helper()
	if err := r.s.StartLoad(testContext(r.t), connector.Load{ID: id, Table: table}); err != nil {
		r.t.Fatal(err)
	}
	return r.loadRest()
}

func (r *run) loadRest() []connector.Change {
	r.t.Helper()
	var out []connector.Change
	for done := false; !done; {
		b, err := r.next(testTime)
		if err != nil {
			r.t.Fatalf("load: %v after %d rows", err, len(out))
		}
		if b.Load != nil {
			out = append(out, b.Changes...)
			done = b.Load.Done
		}
	}
	return out
}

func TestValues(t *testing.T) {
	d, insert := valuesTable(t)
	// Settings of the database must not show in the values.
	d.exec("ALTER DATABASE " + d.text("current_database()") + " SET DateStyle = 'German'")
	d.exec("ALTER DATABASE " + d.text("current_database()") + " SET TimeZone = 'Asia/Tokyo'")
	d.exec("ALTER DATABASE " + d.text("current_database()") + " SET bytea_output = 'escape'")
	d.exec(fmt.Sprintf(insert, 1))
	r := start(t, d.config(), connector.Start{Tables: []string{"public.vals"}})
	loaded := r.loadAll("l", "public.vals")
	d.exec(fmt.Sprintf(insert, 2))
	r.got = nil
	streamed := r.changes(1)[0]
	rows, err := r.s.Rows(testContext(t), connector.Query{Table: "public.vals", Where: []connector.Equal{{Column: "id", Text: "2"}}})
	if err != nil || len(rows) != 1 || len(loaded) != 1 {
		t.Fatalf("%d rows (%v), %d loaded", len(rows), err, len(loaded))
	}
	t.Run("cdc 53: a row has one shape, however it was read", func(t *testing.T) {
		if loaded[0].After.Table != streamed.After.Table || rows[0].Table != streamed.After.Table {
			t.Error("load, look-up and stream do not share the table's shape")
		}
	})
	for i, v := range values {
		name := fmt.Sprintf("%s %s", v.typ, v.sql)
		switch {
		case strings.HasPrefix(v.typ, "numeric"):
			name = "cdc 67: " + name
		case strings.HasPrefix(v.typ, "date"), strings.HasPrefix(v.typ, "timestamp"):
			name = "cdc 69: " + name
		case strings.HasSuffix(v.typ, "[]"):
			name = "cdc 105: " + name
		case strings.HasPrefix(v.typ, "json"):
			name = "cdc 106 107: " + name
		case v.typ == "money":
			name = "cdc 111: " + name
		case strings.Contains(v.typ, "mood") || v.typ == "nothing" || v.typ == "twice" || v.typ == "positive":
			name = "cdc 108 109: " + name
		case strings.HasPrefix(v.typ, "double"):
			name = "cdc 68: " + name
		default:
			name = "cdc 112: " + name
		}
		t.Run(name, func(t *testing.T) {
			got, ok, err := streamed.After.Value(i + 1)
			if err != nil || !ok {
				t.Fatalf("value %q: ok %v, %v", streamed.After.Cells[i+1].Raw, ok, err)
			}
			if plain(got) != v.want {
				t.Errorf("got %s, want %s (text %q)", plain(got), v.want, streamed.After.Cells[i+1].Raw)
			}
			if got.Kind != connector.KindNull && got.Kind != streamed.After.Table.Columns[i+1].Kind {
				t.Errorf("kind %d, the column promises %d", got.Kind, streamed.After.Table.Columns[i+1].Kind)
			}
			if diff := cmp.Diff(streamed.After.Cells[i+1], loaded[0].After.Cells[i+1]); diff != "" {
				t.Errorf("stream and load differ: %s", diff)
			}
			if diff := cmp.Diff(streamed.After.Cells[i+1], rows[0].Cells[i+1]); diff != "" {
				t.Errorf("stream and look-up differ: %s", diff)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, c := range []struct {
		oid  uint32
		text string
	}{{oidBool, "x"}, {oidInt4, ""}, {oidInt8, "9223372036854775808"}, {oidFloat8, "1,5"}, {oidNumeric, "1e5"}, {oidNumeric, "."}, {oidMoney, "12,50 €"}, {oidDate, "04.05.1990"},
		{oidDate, "1990-13-01"}, {oidTime, "24:00:01"}, {oidTimestamp, "1990-05-04T00:00:00"}, {oidTimestamp, "294276-12-31 23:59:59"}, {oidTimestampTZ, "1990-05-04 00:00:00"},
		{oidBytea, "\\xf"}, {25, "\xff"}} {
		_, decode := scalar(c.oid)
		if v, err := decode(c.text); err == nil {
			t.Errorf("type %d: %q was decoded to %s", c.oid, c.text, plain(v))
		}
	}
	_, ints := scalar(oidInt4)
	for _, s := range []string{"", "{", "{1", "{1,", "{1,}", "{,}", "1}", "{1}x", "{{{{{{{1}}}}}}}", `{"1`, "[0:1]", "{x}"} {
		if v, err := decodeArray(ints, ',')(s); err == nil {
			t.Errorf("array %q was decoded to %s", s, plain(v))
		}
	}
}

func TestDays(t *testing.T) {
	for _, c := range []struct{ y, m, d, want int64 }{{1970, 1, 1, 0}, {2000, 3, 1, 11017}, {1969, 12, 31, -1}, {0, 3, 1, -719468}, {-4712, 1, 1, -2440550}} {
		if got := connector.DayNumber(c.y, c.m, c.d); got != c.want {
			t.Errorf("%d-%d-%d: day %d, want %d", c.y, c.m, c.d, got, c.want)
		}
	}
}

func FuzzValue(f *testing.F) {
	for _, v := range values {
		f.Add(uint32(oidTimestampTZ), v.sql)
	}
	f.Fuzz(func(t *testing.T, oid uint32, s string) {
		_, elem := scalar(oid)
		for _, decode := range []decodeFunc{elem, decodeArray(elem, ',')} {
			v, err := decode(s)
			if err == nil && v.Kind == connector.KindFloat && math.IsNaN(v.Float) && s != "NaN" && !strings.EqualFold(strings.TrimLeft(s, "+-"), "nan") {
				t.Errorf("%q became NaN", s)
			}
		}
		_ = json.Valid([]byte(s))
	})
}
