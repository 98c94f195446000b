package sourcetest

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"brazecdc/connector"
)

//go:embed testdata/values.json
var valuesText []byte

// Values is the table of values that every source must give alike, whatever its encoding.
type Values struct {
	Setup []string // SQL that makes the types in Postgres
	Rows  []ValueRow
}

// ValueRow is one row of one table. Its key column is "id", an integer, which the row may have among its columns or not.
type ValueRow struct {
	Table   string
	Key     string // of the row, as Change.Key.ID gives it
	Columns []Value
}

// Value is one column of a row.
type Value struct {
	Name string
	Type string // in Postgres
	SQL  string // the literal
	Want string // as Text shows it
	// Lossy is what is left where an encoding loses something, by the name of the loss.
	Lossy map[string]string
}

// ReadValues gives the table of values.
func ReadValues(t testing.TB) Values {
	t.Helper()
	var v Values
	if err := json.Unmarshal(valuesText, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// Create gives the statements that make the tables in Postgres.
func (v Values) Create() []string {
	out := slices.Clone(v.Setup)
	var tables []string
	columns := map[string][]string{}
	for _, r := range v.Rows {
		if !slices.Contains(tables, r.Table) {
			tables = append(tables, r.Table)
			columns[r.Table] = []string{"id bigint PRIMARY KEY"}
		}
		for _, c := range r.Columns {
			if def := c.Name + " " + c.Type; c.Name != "id" && !slices.Contains(columns[r.Table], def) {
				columns[r.Table] = append(columns[r.Table], def)
			}
		}
	}
	for _, t := range tables {
		out = append(out, "CREATE TABLE "+t+" ("+strings.Join(columns[t], ", ")+")")
	}
	return out
}

// Tables are the names of the tables, each once.
func (v Values) Tables() []string {
	var out []string
	for _, r := range v.Rows {
		if !slices.Contains(out, r.Table) {
			out = append(out, r.Table)
		}
	}
	return out
}

// Insert gives the statement that writes the row in Postgres.
func (r ValueRow) Insert() string {
	names, literals := []string{"id"}, []string{r.Key}
	for _, c := range r.Columns {
		if c.Name != "id" {
			names, literals = append(names, c.Name), append(literals, c.SQL)
		}
	}
	return "INSERT INTO " + r.Table + " (" + strings.Join(names, ", ") + ") VALUES (" + strings.Join(literals, ", ") + ")"
}

// titles say what each case asks of its values.
var titles = map[string]string{
	"cdc 67":  "numerics keep every digit and their scale",
	"cdc 68":  "NaN and the infinities of floats stay what they are",
	"cdc 69":  "infinities, years before 1 and beyond 9999 are the days they are",
	"cdc 105": "arrays keep their elements, NULLs and dimensions",
	"cdc 106": "JSON stays as it is written",
	"cdc 107": "bytes, also none",
	"cdc 108": "domains and hstore are what they are made of",
	"cdc 109": "enums, also of one name and without a label",
	"cdc 111": "money is exact, and NULL is not zero",
	"cdc 112": "other built-in types",
}

// Check compares a row that a source gave with what it must be, case by case. loses names what the source's encoding loses, with spaces between.
func (r ValueRow) Check(t *testing.T, got connector.Row, loses string) {
	t.Helper()
	var cases []string
	columns := map[string][]Value{}
	for _, c := range r.Columns {
		_, numbers, _ := strings.Cut(c.Case(), "cdc ")
		number := "cdc " + strings.Fields(numbers)[0]
		if columns[number] == nil {
			cases = append(cases, number)
		}
		columns[number] = append(columns[number], c)
	}
	for _, number := range cases {
		t.Run(number+": "+titles[number], func(t *testing.T) {
			for _, c := range columns[number] {
				t.Run(c.Case()+": "+c.Name+" "+c.Type+" "+c.SQL, func(t *testing.T) { c.check(t, got, loses) })
			}
		})
	}
}

func (c Value) check(t *testing.T, row connector.Row, loses string) {
	i := row.Table.Column(c.Name)
	if i < 0 {
		t.Fatal("the row lacks the column")
	}
	got, ok, err := row.Value(i)
	if err != nil || !ok {
		t.Fatalf("raw %q: known %v, error %v", row.Cells[i].Raw, ok, err)
	}
	if want := c.Left(loses); Text(got) != want {
		t.Errorf("got %s, want %s (raw %q)", Text(got), want, row.Cells[i].Raw)
	}
	if k := row.Table.Columns[i].Kind; got.Kind != connector.KindNull && got.Kind != k {
		t.Errorf("kind %d, the column promises %d", got.Kind, k)
	}
}

// Left is what the value must be where an encoding loses something.
func (c Value) Left(loses string) string {
	for _, name := range strings.Fields(loses) {
		if left, ok := c.Lossy[name]; ok {
			return left
		}
	}
	return c.Want
}

// Case names the case that the column's type belongs to.
func (c Value) Case() string {
	base := strings.TrimSuffix(c.Type, "[]")
	switch {
	case slices.Contains([]string{"price", "document", "labels"}, base):
		return "cdc 108"
	case base != c.Type && !strings.Contains(c.Type, "mood"):
		return "cdc 105"
	case strings.HasPrefix(c.Type, "numeric"):
		return "case 31 cdc 67 92"
	case strings.HasPrefix(c.Type, "json"):
		return "case 32 cdc 106 107"
	case strings.HasPrefix(c.Type, "date"), strings.HasPrefix(c.Type, "time"):
		return "case 38 cdc 69"
	case c.Type == "money":
		return "cdc 111"
	case c.Type == "hstore", c.Type == "posint", c.Type == "positive", c.Type == "twice", c.Type == "list":
		return "cdc 108"
	case strings.Contains(c.Type, "mood"), c.Type == "nothing":
		return "cdc 109"
	case c.Type == "bytea":
		return "cdc 107"
	case strings.HasPrefix(c.Type, "double"):
		return "cdc 68"
	}
	return "case 33 cdc 112"
}

// kindNames are the kinds of values, in their order.
var kindNames = [...]string{"null", "bool", "int", "float", "decimal", "text", "date", "time", "timetz", "timestamp", "timestamptz", "interval", "json", "bytes", "array"}

// Text shows a value: its kind and content, an infinity as ±inf.
func Text(v connector.Value) string {
	kind := kindNames[v.Kind]
	switch v.Kind {
	case connector.KindNull:
		return kind
	case connector.KindBool, connector.KindInt:
		return fmt.Sprintf("%s %d", kind, v.Int)
	case connector.KindDate, connector.KindTime, connector.KindTimestamp, connector.KindTimestampTZ:
		switch v.Int {
		case connector.PosInfinity:
			return kind + " +inf"
		case connector.NegInfinity:
			return kind + " -inf"
		}
		return fmt.Sprintf("%s %d", kind, v.Int)
	case connector.KindFloat:
		return fmt.Sprintf("float %v", v.Float)
	case connector.KindArray:
		var parts []string
		for _, e := range v.List {
			parts = append(parts, Text(e))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return fmt.Sprintf("%s %q", kind, v.Str)
}

// values reads the whole table through the source and compares every column.
func values(t *testing.T, s Subject) {
	if s.WriteValues == nil {
		t.Skip("this source writes no values")
	}
	all := ReadValues(t)
	tables := []string{s.Table}
	for _, name := range all.Tables() {
		tables = append(tables, s.ValueTable(name))
	}
	r := open(t, s, nil, tables...)
	s.WriteValues(t, all)
	wanted := map[connector.Key]bool{}
	for _, row := range all.Rows {
		wanted[connector.Key{Table: s.ValueTable(row.Table), ID: row.Key}] = true
	}
	found := map[connector.Key]connector.Row{} // as each row came first
	for at := 0; len(found) < len(wanted); at++ {
		c := r.until(at + 1)[at]
		if _, again := found[c.Key]; wanted[c.Key] && !again && c.After.Exists() {
			found[c.Key] = c.After
		}
	}
	for _, row := range all.Rows {
		t.Run(row.Table+" "+row.Key, func(t *testing.T) {
			loses := ""
			if s.Loses != nil {
				loses = s.Loses(row.Table)
			}
			row.Check(t, found[connector.Key{Table: s.ValueTable(row.Table), ID: row.Key}], loses)
		})
	}
}
