package postgres

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"brazecdc/connector"
	"brazecdc/connector/sourcetest"
)

// threeWays writes rows whose ids count from 1 and gives them as the stream, a load and a look-up give them alike.
func threeWays(t *testing.T, d *db, table string, inserts ...string) []connector.Row {
	t.Helper()
	r := start(t, d.config(), connector.Start{Tables: []string{table}})
	for _, sql := range inserts {
		d.exec(sql)
	}
	streamed := r.changes(len(inserts))
	loaded := map[string]connector.Row{}
	for _, c := range r.loadAll("l", table) {
		loaded[c.Key.ID] = c.After
	}
	var out []connector.Row
	for i, c := range streamed {
		id := fmt.Sprint(i + 1)
		found, err := r.s.Rows(testContext(t), connector.Query{Table: table, Where: []connector.Equal{{Column: "id", Text: id}}})
		if err != nil || len(found) != 1 || c.Key.ID != id || !loaded[id].Exists() {
			t.Fatalf("row %s: streamed as %s, loaded %v, %d looked up (%v)", id, c.Key.ID, loaded[id].Exists(), len(found), err)
		}
		sameCells(t, c.After, loaded[id], found[0])
		out = append(out, c.After)
	}
	return out
}

// wantText compares one value of a row, as sourcetest.Text shows it.
func wantText(t *testing.T, row connector.Row, column, want string) {
	t.Helper()
	i := row.Table.Column(column)
	v, ok, err := row.Value(i)
	if got := sourcetest.Text(v); err != nil || !ok || got != want {
		t.Errorf("%s: got %.80s (known %v, error %v), want %.80s", column, got, ok, err, want)
	}
}

// TestLimitsOfTypes has what the table of values cannot hold.
func TestLimitsOfTypes(t *testing.T) {
	t.Run("cdc 67: a numeric with the most digits there can be keeps them all", func(t *testing.T) {
		d := newDB(t, `CREATE TABLE n(id int PRIMARY KEY, whole numeric, parted numeric)`)
		nines := strings.Repeat("9", 131072)
		row := threeWays(t, d, "public.n", `INSERT INTO n VALUES (1, '1e131071', '-`+nines+"."+nines[:16382]+`7')`)[0]
		wantText(t, row, "whole", `decimal "1`+strings.Repeat("0", 131071)+`"`)
		wantText(t, row, "parted", `decimal "-`+nines+"."+nines[:16382]+`7"`)
	})
	t.Run("cdc 69: a time beyond microseconds since 1970 is an error of its value alone, not another year", func(t *testing.T) {
		d := newDB(t, `CREATE TABLE far(id int PRIMARY KEY, ts timestamp, tz timestamptz, d date)`)
		row := threeWays(t, d, "public.far", `INSERT INTO far VALUES (1, '294276-12-31 23:59:59.999999', '294276-12-31 00:00:00+00', '294276-12-31')`)[0]
		for column, raw := range map[string]string{"ts": "294276-12-31 23:59:59.999999", "tz": "294276-12-31 00:00:00+00"} {
			v, _, err := row.Value(row.Table.Column(column))
			if err == nil || !strings.Contains(err.Error(), raw) || !strings.Contains(err.Error(), "microseconds since 1970") {
				t.Errorf("%s: got %s, error %v", raw, sourcetest.Text(v), err)
			}
		}
		wantText(t, row, "d", "date 106762939")
	})
	t.Run("cdc 108: types of an extension outside the search_path, beside others of their names", func(t *testing.T) {
		d := newDB(t, `CREATE SCHEMA ext`, `CREATE EXTENSION hstore SCHEMA ext`, `CREATE EXTENSION citext SCHEMA ext`, `CREATE TYPE hstore AS ENUM ('"a"=>NULL')`,
			`CREATE DOMAIN citext AS int`, `CREATE SCHEMA two`, `CREATE DOMAIN two.hstore AS jsonb`, `CREATE DOMAIN two."numeric" AS text`, `CREATE DOMAIN labels AS ext.hstore`,
			`CREATE DOMAIN tagged AS labels CHECK (ext.exist(VALUE, 'a'))`,
			`CREATE TABLE ty(id int PRIMARY KEY, h ext.hstore, e hstore, j two.hstore, l labels, ta tagged, las labels[], c ext.citext, i citext, n two."numeric")`)
		row := threeWays(t, d, "public.ty", `INSERT INTO ty VALUES (1, 'a=>NULL', '"a"=>NULL', '{"a":1}', 'a=>1', 'a=>NULL', ARRAY['a=>NULL'::labels, NULL], 'Abc', 7, '1.50x')`)[0]
		for column, want := range map[string]string{
			"h": `json "{\"a\":null}"`, "e": `text "\"a\"=>NULL"`, "j": `json "{\"a\": 1}"`, "l": `json "{\"a\":\"1\"}"`, "ta": `json "{\"a\":null}"`,
			"las": `[json "{\"a\":null}", null]`, "c": `text "Abc"`, "i": "int 7", "n": `text "1.50x"`,
		} {
			wantText(t, row, column, want)
		}
		var names []string
		for _, c := range row.Table.Columns {
			names = append(names, c.TypeName)
		}
		if diff := cmp.Diff([]string{"integer", "ext.hstore", "hstore", "two.hstore", "labels", "tagged", "labels[]", "ext.citext", "citext", `two."numeric"`}, names); diff != "" {
			t.Error(diff)
		}
	})
}

func TestMoney(t *testing.T) {
	t.Run("cdc 111: money is exact to its bounds whatever lc_monetary the database has, and NULL is not zero", func(t *testing.T) {
		d := newDB(t, `CREATE TABLE m(id int PRIMARY KEY, v money, list money[])`)
		name := ident(d.text("current_database()"))
		// Germany's where the server has it. POSIX prints as C does, but shows all the same whether a session took the database's setting.
		for _, locale := range []string{"de_DE.utf8", "de_DE", "POSIX"} {
			if _, err := d.c.Exec(testContext(t), "ALTER DATABASE "+name+" SET lc_monetary = "+literal(locale)); err == nil {
				break
			}
		}
		if got := openDB(t, d.url).text("current_setting('lc_monetary')"); got == "C" {
			t.Fatal("the database's sessions have lc_monetary C already")
		}
		d.exec(`SET lc_monetary = 'C'`) // as the literals are written
		rows := threeWays(t, d, "public.m", `INSERT INTO m VALUES (1, '-92233720368547758.08', '{NULL,"$1,234.50"}')`, `INSERT INTO m VALUES (2, '92233720368547758.07', '{}')`,
			`INSERT INTO m VALUES (3, NULL, NULL)`, `INSERT INTO m VALUES (4, 0, '{0}')`)
		for i, want := range [][2]string{{`decimal "-92233720368547758.08"`, `[null, decimal "1234.50"]`}, {`decimal "92233720368547758.07"`, `[]`},
			{"null", "null"}, {`decimal "0.00"`, `[decimal "0.00"]`}} {
			wantText(t, rows[i], "v", want[0])
			wantText(t, rows[i], "list", want[1])
		}
	})
	t.Run("cdc 111: each kind of session has lc_monetary C", func(t *testing.T) {
		d := newDB(t)
		d.exec("ALTER DATABASE " + ident(d.text("current_database()")) + " SET lc_monetary = 'POSIX'")
		s, err := New(d.config())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close(testContext(t)) })
		stream, err := s.connectReplication(testContext(t), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer closeConn(stream)
		ask := func(sql string) ([][][]byte, error) { return query(testContext(t), stream, sql) }
		for kind, ask := range map[string]func(string) ([][][]byte, error){
			"stream": ask,
			"look":   func(sql string) ([][][]byte, error) { return s.main.query(testContext(t), sql) },
			"load":   func(sql string) ([][][]byte, error) { return s.read.query(testContext(t), sql) },
		} {
			if rows, err := ask("SHOW lc_monetary"); err != nil || string(rows[0][0]) != "C" {
				t.Errorf("%s: %q, error %v", kind, rows, err)
			}
		}
	})
	t.Run("cdc 111: money as other locales print it is refused, never read as another amount", func(t *testing.T) {
		for _, text := range []string{
			"1.234,50 €", "-92.233.720.368.547.758,08 €", "0,00 €", "1.234,50", "$1.234,50", "-$1.234,50", "$5,00", "R$ 1.234,50", "$12,34,567.00", "¥1,234", "1'234.50 CHF",
			"($5.00)", "$-5.00", "$.50", "$5.0", "$5", "5.00", "$1234.50x", "",
		} {
			if v, err := decodeMoney(text); err == nil {
				t.Errorf("%q was decoded to %s", text, sourcetest.Text(v))
			}
		}
	})
}
