package envelope

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"brazecdc/connector"
)

// valueTable is testdata/values.json, the table of values that both sources go through.
type valueTable struct {
	Rows []struct {
		Table, Key string
		Columns    []valueColumn
	}
}

type valueColumn struct {
	Name, Type, SQL, Want string
	Lossy                 map[string]string
}

func readValues(t *testing.T) valueTable {
	t.Helper()
	b, err := os.ReadFile("testdata/values.json")
	if err != nil {
		t.Fatal(err)
	}
	var out valueTable
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// mode is a folder of samples, how its connector was set, and what that loses.
type mode struct {
	folder string
	schema bool     // the records tell types
	words  []string // "name suffix": what has to be said behind a hinted type
	lossy  string
}

var modes = []mode{
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

// hinted gives the type as a user would write it for a topic of this mode; "" where none is needed.
func (m mode) hinted(typ string) string {
	base, list := strings.CutSuffix(typ, "[]")
	switch base {
	case "mood", `"char"`, "ltree", "tsvector", "macaddr", "macaddr8", "int4range", "int8range", "numrange", "tsrange", "tstzrange", "daterange":
		base = "text"
	case "posint":
		base = "integer"
	}
	for _, w := range m.words {
		if name, suffix, _ := strings.Cut(w, " "); name == base {
			base += " " + suffix
		}
	}
	if list {
		base += "[]"
	}
	return base
}

func TestValues(t *testing.T) {
	table := readValues(t)
	hints := map[string]map[string]string{}
	for _, m := range modes {
		if m.schema {
			continue
		}
		for _, r := range table.Rows {
			topic := m.folder + ".public." + r.Table
			if hints[topic] == nil {
				hints[topic] = map[string]string{}
			}
			for _, c := range r.Columns {
				hints[topic][c.Name] = m.hinted(c.Type)
			}
		}
	}
	for _, m := range modes {
		t.Run(m.folder, func(t *testing.T) {
			d := decoder(t, Config{Schemas: registered(t, m.folder), Types: hints})
			seen := 0
			for _, r := range table.Rows {
				if _, err := os.Stat("testdata/debezium/" + m.folder + "/public." + r.Table + ".jsonl"); err != nil {
					continue
				}
				seen++
				row := firstRow(t, d, sample(t, m.folder, "public."+r.Table), r.Key)
				for _, c := range r.Columns {
					t.Run(valueCase(c)+": "+c.Name+" "+c.Type+" "+c.SQL, func(t *testing.T) { m.check(t, row, c) })
				}
			}
			if seen == 0 {
				t.Fatal("no sample has a row of the table")
			}
		})
	}
}

func (m mode) check(t *testing.T, row connector.Row, c valueColumn) {
	i := row.Table.Column(c.Name)
	if i < 0 {
		if m.folder == "json_2_7" && c.Type == "tsvector" {
			return // Debezium 2.7 leaves tsvector out
		}
		t.Fatal("the row lacks the column")
	}
	want := c.Want
	for name, left := range c.Lossy {
		if strings.Contains(" "+m.lossy+" ", " "+name+" ") {
			want = left
		}
	}
	got, ok, err := row.Value(i)
	if err != nil || !ok {
		t.Fatalf("raw %q: ok %v, %v", row.Cells[i].Raw, ok, err)
	}
	if plainValue(got) != want {
		t.Errorf("got %s, want %s (raw %q)", plainValue(got), want, row.Cells[i].Raw)
	}
	if k := row.Table.Columns[i].Kind; got.Kind != connector.KindNull && got.Kind != k {
		t.Errorf("kind %d, the column promises %d", got.Kind, k)
	}
}

// valueCase names the case that a type belongs to.
func valueCase(c valueColumn) string {
	switch {
	case strings.HasPrefix(c.Type, "numeric"):
		return "case 31 cdc 92"
	case strings.HasPrefix(c.Type, "json"):
		return "case 32 cdc 106 107"
	case strings.HasPrefix(c.Type, "date"), strings.HasPrefix(c.Type, "time"):
		return "case 38"
	case c.Type == "money":
		return "cdc 111"
	case c.Type == "hstore", c.Type == "posint":
		return "cdc 108"
	case strings.Contains(c.Type, "mood"):
		return "cdc 109"
	case c.Type == "bytea":
		return "cdc 107"
	}
	return "cdc 112"
}

// firstRow decodes records until one brings the row with that key for the first time.
func firstRow(t *testing.T, d *Decoder, records []*Record, key string) connector.Row {
	t.Helper()
	for _, r := range records {
		out, _, err := d.Decode(context.Background(), nil, r)
		if err != nil {
			t.Fatal(err)
		}
		if len(out) == 1 && out[0].Key.ID == key && out[0].After.Exists() {
			return out[0].After
		}
	}
	t.Fatalf("no record has the row %s", key)
	return connector.Row{}
}
