package postgres

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"brazecdc/connector"
	"brazecdc/connector/sourcetest"
)

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

// TestValues runs the table of values that all sources share through the stream, a load and a look-up.
func TestValues(t *testing.T) {
	all := sourcetest.ReadValues(t)
	d := newDB(t, all.Create()...)
	// Settings of the database must not show in the values.
	for _, set := range []string{"DateStyle = 'German'", "TimeZone = 'Asia/Tokyo'", "bytea_output = 'escape'", "IntervalStyle = 'sql_standard'", "extra_float_digits = -5"} {
		d.exec("ALTER DATABASE " + d.text("current_database()") + " SET " + set)
	}
	tables := all.Tables()
	for i := range tables {
		tables[i] = "public." + tables[i]
	}
	r := start(t, d.config(), connector.Start{Tables: tables})
	streamed, loaded := map[connector.Key]connector.Row{}, map[connector.Key]connector.Row{}
	for _, row := range all.Rows {
		d.exec(row.Insert())
	}
	for _, c := range r.changes(len(all.Rows)) {
		streamed[c.Key] = c.After
	}
	for _, table := range tables {
		for _, c := range r.loadAll("load "+table, table) {
			loaded[c.Key] = c.After
		}
	}
	for _, row := range all.Rows {
		t.Run(row.Table+" "+row.Key, func(t *testing.T) {
			key := connector.Key{Table: "public." + row.Table, ID: row.Key}
			s, l := streamed[key], loaded[key]
			found, err := r.s.Rows(testContext(t), connector.Query{Table: key.Table, Where: []connector.Equal{{Column: "id", Text: row.Key}}})
			if err != nil || len(found) != 1 || !s.Exists() || !l.Exists() {
				t.Fatalf("streamed %v, loaded %v, %d rows looked up (%v)", s.Exists(), l.Exists(), len(found), err)
			}
			t.Run("cdc 53: a row has one shape, however it was read", func(t *testing.T) {
				if l.Table != s.Table || found[0].Table != s.Table {
					t.Error("load, look-up and stream do not share the table's shape")
				}
			})
			sameCells(t, s, l, found[0])
			row.Check(t, s, "")
		})
	}
}

// sameCells finds a row's cells alike, however it was read.
func sameCells(t *testing.T, streamed, loaded, found connector.Row) {
	t.Helper()
	for i := range streamed.Cells {
		if diff := cmp.Diff(streamed.Cells[i], loaded.Cells[i]); diff != "" {
			t.Errorf("column %s: stream and load differ: %s", streamed.Table.Columns[i].Name, diff)
		}
		if diff := cmp.Diff(streamed.Cells[i], found.Cells[i]); diff != "" {
			t.Errorf("column %s: stream and look-up differ: %s", streamed.Table.Columns[i].Name, diff)
		}
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
			t.Errorf("type %d: %q was decoded to %s", c.oid, c.text, sourcetest.Text(v))
		}
	}
	_, ints := scalar(oidInt4)
	for _, s := range []string{"", "{", "{1", "{1,", "{1,}", "{,}", "1}", "{1}x", "{{{{{{{1}}}}}}}", `{"1`, "[0:1]", "{x}"} {
		if v, err := decodeArray(ints, ',')(s); err == nil {
			t.Errorf("array %q was decoded to %s", s, sourcetest.Text(v))
		}
	}
}

func TestHstoreRefuses(t *testing.T) {
	for _, s := range []string{`a=>"1"`, `"a"`, `"a"=>`, `"a"=>x`, `"a"=>"1",`, `"a"=>"1" "b"=>"2"`, `"a"=>"1`, `"a"=>NULLx`, "\"\xff\"=>NULL"} {
		if v, err := decodeHstore(s); err == nil {
			t.Errorf("hstore %q was decoded to %s", s, sourcetest.Text(v))
		}
	}
}

func FuzzHstore(f *testing.F) {
	f.Add(`"a"=>"1", "b\"\\"=>NULL`)
	f.Add("\"\x01\n\"=>\"\"")
	f.Fuzz(func(t *testing.T, s string) {
		if v, err := decodeHstore(s); err == nil && !json.Valid([]byte(v.Str)) {
			t.Errorf("%q became %q", s, v.Str)
		}
	})
}

func TestDays(t *testing.T) {
	for _, c := range []struct{ y, m, d, want int64 }{{1970, 1, 1, 0}, {2000, 3, 1, 11017}, {1969, 12, 31, -1}, {0, 3, 1, -719468}, {-4712, 1, 1, -2440550}} {
		if got := connector.DayNumber(c.y, c.m, c.d); got != c.want {
			t.Errorf("%d-%d-%d: day %d, want %d", c.y, c.m, c.d, got, c.want)
		}
	}
}

func FuzzValue(f *testing.F) {
	for _, row := range sourcetest.ReadValues(f).Rows {
		for _, c := range row.Columns {
			f.Add(uint32(oidTimestampTZ), strings.Trim(c.SQL, "'"))
		}
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
