package postgres

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"brazecdc/connector"
	"brazecdc/connector/sourcetest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// builtins are texts to write for each built-in type, by its name in pg_type.
var builtins = map[string][]string{
	"aclitem":        {"postgres=r/postgres"},
	"bit":            {"101", ""},
	"bool":           {"t", "f"},
	"box":            {"(1,2),(0,-0.5)"},
	"bpchar":         {"ab ", ""},
	"bytea":          {`\x00ff5c`, ""},
	"char":           {"x", ""},
	"cid":            {"4294967295"},
	"cidr":           {"10.0.0.0/8", "2001:db8::/32", "192.168.1.1"},
	"circle":         {"<(1,2.5),3>"},
	"date":           {"2024-02-29", "0044-03-15 BC", "infinity"},
	"datemultirange": {"{[2024-01-01,2024-02-01),[2024-03-01,)}", "{}"},
	"daterange":      {"[2024-01-01,2024-01-31]", "empty"},
	"float4":         {"0.1", "-0", "NaN"},
	"float8":         {"0.1", "1e300", "-Infinity"},
	"inet":           {"192.168.0.1", "192.168.0.1/24", "::ffff:1.2.3.4/96", "2001:DB8::1", "10.0.0.1/32"},
	"int2":           {"-32768"},
	"int2vector":     {"1 -2", ""},
	"int4":           {"2147483647"},
	"int4multirange": {"{[1,3),[5,8]}"},
	"int4range":      {"[1,5]", "(,5)", "empty"},
	"int8":           {"-9223372036854775808"},
	"int8multirange": {"{(,3),[5,8]}"},
	"int8range":      {"[1,9223372036854775806]"},
	"interval":       {"1 year 2 months -3 days 04:05:06.789", "0", "-1.5 seconds"},
	"json":           {`{"b": 1,  "a": "\u00e9"}`, "null"},
	"jsonb":          {`{"b": 1.50,  "a": "\u00e9"}`, "null"},
	"jsonpath":       {`$.a[*] ? (@ > 1)`},
	"line":           {"{1,-1,2.5}"},
	"lseg":           {"[(1,2),(3,4)]"},
	"macaddr":        {"08002B010203"},
	"macaddr8":       {"08:00:2b:01:02:03", "08:00:2b:01:02:03:04:05"},
	"money":          {"-1234.5", "0"},
	"name":           {"a name"},
	"numeric":        {"12.50", "1e10", "-0", "NaN", "Infinity"},
	"nummultirange":  {"{[1.50,2),(3,]}"},
	"numrange":       {"[1.50,2)", "(,)"},
	"oid":            {"4294967295"},
	"oidvector":      {"1 4294967295"},
	"path":           {"[(1,2),(3,4)]", "((1,2),(3,4))"},
	"pg_lsn":         {"16/B374D848"},
	"pg_snapshot":    {"10:20:10,14,15"},
	"point":          {"(1.5,-2)"},
	"polygon":        {"((1,2),(3,4),(5,6))"},
	"refcursor":      {"a cursor"},
	"regclass":       {"pg_class", "12"},
	"regcollation":   {`"C"`},
	"regconfig":      {"simple"},
	"regdictionary":  {"simple"},
	"regnamespace":   {"pg_catalog"},
	"regoper":        {"pg_catalog.||/"},
	"regoperator":    {"+(integer,integer)"},
	"regproc":        {"now"},
	"regprocedure":   {"abs(numeric)"},
	"regrole":        {"postgres"},
	"regtype":        {"int4", "text[]"},
	"text":           {"", `a "b" \ 日本語`, "NULL"},
	"tid":            {"(1,2)"},
	"time":           {"09:30:00.5", "24:00:00"},
	"timestamp":      {"2024-02-29 12:34:56.789012", "0044-03-15 12:00:00 BC", "-infinity"},
	"timestamptz":    {"2024-02-29 12:34:56.789012+05:30", "12345-01-01 00:00:00+00"},
	"timetz":         {"09:30:00.5+05:30", "00:00:00-00:00:01"},
	"tsmultirange":   {"{[2024-01-01,2024-01-02),[2024-02-01,)}"},
	"tsquery":        {"fat & (rat | !cat:AB) <-> dog:*"},
	"tsrange":        {"[2024-01-01 00:00,2024-01-02 00:00:00.5)", "(,2024-01-01]", "[2024-01-01,infinity]", "empty"},
	"tstzmultirange": {"{[2024-01-01 00:00+02,2024-01-02 00:00+00)}"},
	"tstzrange":      {"[2024-01-01 00:00+02,)"},
	"tsvector":       {"a fat cat", "fat:2B,4C cat:5A 'it''s'", `'a b' '\\'`},
	"txid_snapshot":  {"10:20:10,14,15"},
	"uuid":           {"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"},
	"varbit":         {"1", ""},
	"varchar":        {"ab ", ""},
	"xid":            {"4294967295"},
	"xid8":           {"18446744073709551615"},
	"xml":            {`<a b="1">t</a>`},
}

// unwritable are types of the server's own tables; it takes no text for them.
const unwritable = "gtsvector pg_brin_bloom_summary pg_brin_minmax_multi_summary pg_dependencies pg_mcv_list pg_ndistinct pg_node_tree"

func TestBuiltinTypes(t *testing.T) {
	t.Run("cdc 112: what the text of each built-in type becomes has not changed", func(t *testing.T) {
		names := make([]string, 0, len(builtins))
		columns, inserts := "id int PRIMARY KEY", []string{}
		for name, texts := range builtins {
			names = append(names, name)
			columns += fmt.Sprintf(`, "%s" pg_catalog."%[1]s", "%[1]s[]" pg_catalog."%[1]s"[]`, name)
			for i := range texts {
				if i == len(inserts) {
					inserts = append(inserts, fmt.Sprintf(`INSERT INTO builtin (id) VALUES (%d)`, i+1))
				}
			}
		}
		slices.Sort(names)
		for i := range inserts {
			into, values := "id", fmt.Sprint(i+1)
			for _, name := range names {
				texts := builtins[name]
				if i < len(texts) {
					into, values = into+`, "`+name+`"`, values+", "+literal(texts[i])
				}
				if i == 0 {
					list := ""
					for _, text := range texts {
						list += literal(text) + `::pg_catalog."` + name + `", `
					}
					into, values = into+`, "`+name+`[]"`, values+", ARRAY["+list+"NULL]"
				}
			}
			inserts[i] = "INSERT INTO builtin (" + into + ") VALUES (" + values + ")"
		}
		d := newDB(t, "CREATE TABLE builtin ("+columns+")")
		without := d.text(`SELECT string_agg(typname, ' ' ORDER BY typname) FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype IN ('b', 'r', 'm')
			AND typname NOT LIKE '\_%' AND typname <> ALL ($1) AND typname <> ALL ($2)`, names, strings.Fields(unwritable))
		if without != "" {
			t.Errorf("the server has types that this test knows no text for: %s", without)
		}
		rows := threeWays(t, d, "public.builtin", inserts...)
		var got strings.Builder
		for _, name := range names {
			for i, text := range builtins[name] {
				got.WriteString(goldenLine(t, rows[i], name, text))
			}
			got.WriteString(goldenLine(t, rows[0], name+"[]", "all of them and NULL"))
		}
		file := filepath.Join("testdata", "builtin.golden")
		if *update {
			if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got.String(), "\n")); diff != "" {
			t.Errorf("%s (-want +got; write it anew with -update):\n%s", file, diff)
		}
	})
}

// goldenLine is a type, what was written, what Postgres sends, and the value it becomes.
func goldenLine(t *testing.T, row connector.Row, column, written string) string {
	t.Helper()
	i := row.Table.Column(column)
	v, ok, err := row.Value(i)
	if err != nil || !ok {
		t.Errorf("%s %q: known %v, error %v", column, written, ok, err)
	}
	return fmt.Sprintf("%s\t%s\t%s\t%s\n", column, written, row.Cells[i].Raw, sourcetest.Text(v))
}
