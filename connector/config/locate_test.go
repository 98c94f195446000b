package config

import (
	"strings"
	"testing"

	"brazecdc/connector"
)

// TestLocate marks the searched byte of an expression with § in the source; the mark itself is taken out before parsing.
func TestLocate(t *testing.T) {
	for name, c := range map[string]struct{ yaml, value string }{
		"plain":                  {"{ expr: a + §b }", "a + b"},
		"single quotes":          {`{ expr: 'x == "it''s" + §b' }`, `x == "it's" + b`},
		"double quotes":          {`{ expr: "x == \"\u00e9\" + §b" }`, `x == "é" + b`},
		"characters, not bytes":  {`{ expr: '"éü" + §b' }`, `"éü" + b`},
		"start":                  {"{ expr: §b }", "b"},
		"literal block":          {"\n        expr: |-\n          a +\n            c +\n\n          §b", "a +\n  c +\n\nb"},
		"literal block, line 1":  {"\n        expr: |\n          §b +\n          c", "b +\nc\n"},
		"folded block":           {"\n        expr: >-\n          a +\n          c +\n          §b", "a + c + b"},
		"plain over lines":       {"\n        expr: a +\n          c +\n          §b", "a + c + b"},
		"quoted over lines":      {"\n        expr: 'a +\n          c +\n\n          §b'", "a + c +\nb"},
		"behind a variable":      {`{ expr: '"${N}${N}" + "$$" + §b' }`, `"1212" + "$" + b`},
		"the variable's own":     {`{ expr: 'a + §${B}' }`, `a + b`},
		"double quotes, escaped": {"\n        expr: \"a + \\\n          §b\"", "a + b"},
	} {
		t.Run(name, func(t *testing.T) {
			src := minimal + "    custom:\n      full: " + c.yaml + "\n"
			before, _, ok := strings.Cut(src, "§")
			if !ok {
				t.Fatal("no mark")
			}
			line := 1 + strings.Count(before, "\n")
			column := 1 + len([]rune(before[strings.LastIndexByte(before, '\n')+1:]))
			env := func(n string) (string, bool) {
				if n == "B" {
					return "b", true
				}
				return testEnv(n)
			}
			cfg, err := Parse("f", []byte(strings.Replace(src, "§", "", 1)), env, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := cfg.Models[0].Custom[0].Expr; got != c.value {
				t.Fatalf("value is %q, want %q", got, c.value)
			}
			gotLine, gotColumn := cfg.Locate("models[0].custom.full.expr", strings.LastIndexByte(c.value, 'b'))
			if c.value == "b +\nc\n" {
				gotLine, gotColumn = cfg.Locate("models[0].custom.full.expr", 0)
			}
			if gotLine != line || gotColumn != column {
				t.Errorf("found at %d:%d, want %d:%d", gotLine, gotColumn, line, column)
			}
		})
	}
}

func TestResolve(t *testing.T) {
	cfg := parse(t, strings.ReplaceAll(minimal, "\n", "\r\n")+"    custom:\r\n      plan: plna\r\n      \"a.b\": { column: x }\r\n")
	got := cfg.Resolve([]connector.Fault{
		{Path: cfg.Models[0].Custom[1].Path + ".column", What: `there is no column "x"`},
		{Path: "models[0].custom.plan.column", What: `there is no column "plna"`, Fix: "did you mean plan?"},
		{Path: "models[0].mode", What: "models[0].mode does not fit", Warn: true},
		{Path: "models[0].filter", What: "is missing"},
		{Path: "nowhere", What: "is lost"},
	})
	want := `brazecdc.yaml:1:1: nowhere: is lost
brazecdc.yaml:5:5: models[0].filter: is missing
brazecdc.yaml:8:11: warning: models[0].mode does not fit
brazecdc.yaml:12:13: models[0].custom.plan.column: there is no column "plna"; did you mean plan?
brazecdc.yaml:13:24: models[0].custom["a.b"].column: there is no column "x"`
	if got.Error() != want {
		t.Errorf("got\n%s\nwant\n%s", got.Error(), want)
	}
	if got[2:3].Err() != nil || got.Err() == nil {
		t.Error("a warning alone must be no error, a fault must")
	}
	if line, column := new(Config).Locate("models[0]", 3); line != 0 || column != 0 {
		t.Error("a Config that was not parsed has places")
	}
}
