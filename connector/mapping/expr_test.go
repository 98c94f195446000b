package mapping

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"brazecdc/connector"
)

var testNow = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// exprTable holds one column of each kind; its raw cells are Go values kept aside.
type exprRow struct {
	table *connector.Table
	cells []connector.Cell
}

func newExprRow(values map[string]connector.Value) *exprRow {
	r := &exprRow{table: &connector.Table{Name: "public.t"}}
	for _, c := range []struct {
		name string
		kind connector.ValueKind
	}{
		{"i", connector.KindInt}, {"j", connector.KindInt}, {"f", connector.KindFloat}, {"d", connector.KindDecimal}, {"s", connector.KindText},
		{"t", connector.KindText}, {"b", connector.KindBool}, {"c", connector.KindBool}, {"day", connector.KindDate},
		{"at", connector.KindTimestampTZ}, {"local", connector.KindTimestamp}, {"js", connector.KindJSON}, {"list", connector.KindArray},
		{"count", connector.KindInt}, {"date", connector.KindText}, {"first name", connector.KindText}, {"gone", connector.KindText},
	} {
		v := values[c.name]
		cell := connector.Cell{State: connector.Null}
		if v.Kind != connector.KindNull {
			cell = connector.Cell{State: connector.Set, Raw: c.name}
		}
		if c.name == "gone" {
			cell = connector.Cell{}
		}
		r.table.Columns = append(r.table.Columns, connector.Column{Name: c.name, Kind: c.kind,
			Decode: func(string) (connector.Value, error) { return v, nil }})
		r.cells = append(r.cells, cell)
	}
	return r
}

func vInt(n int64) connector.Value   { return connector.Value{Kind: connector.KindInt, Int: n} }
func vText(s string) connector.Value { return connector.Value{Kind: connector.KindText, Str: s} }
func vJSON(s string) connector.Value { return connector.Value{Kind: connector.KindJSON, Str: s} }
func vDec(s string) connector.Value  { return connector.Value{Kind: connector.KindDecimal, Str: s} }
func vAt(t time.Time) connector.Value {
	return connector.Value{Kind: connector.KindTimestampTZ, Int: t.UnixMicro()}
}
func vList(vs ...connector.Value) connector.Value {
	return connector.Value{Kind: connector.KindArray, List: vs}
}
func vBool(b bool) connector.Value {
	v := connector.Value{Kind: connector.KindBool}
	if b {
		v.Int = 1
	}
	return v
}

func (r *exprRow) eval(t testing.TB, source string) (any, error) {
	t.Helper()
	p, err := compileExpr(source, r.table, useValue, time.UTC, func() time.Time { return testNow })
	if err != nil {
		t.Fatalf("compile %q: %v", source, err)
	}
	var cols []int
	for _, c := range p.columns {
		cols = append(cols, r.table.Column(c))
	}
	return p.run(connector.Row{Table: r.table, Cells: r.cells}, cols)
}

func TestExprTruthTables(t *testing.T) {
	words := []string{"true", "false", "nil"}
	values := map[string]connector.Value{"true": vBool(true), "false": vBool(false), "nil": {}}
	tables := map[string]map[string]string{ // result by "left right"
		"and": {"true true": "true", "true false": "false", "true nil": "nil", "false true": "false", "false false": "false", "false nil": "false",
			"nil true": "nil", "nil false": "false", "nil nil": "nil"},
		"or": {"true true": "true", "true false": "true", "true nil": "true", "false true": "true", "false false": "false", "false nil": "nil",
			"nil true": "true", "nil false": "nil", "nil nil": "nil"},
		"==": {"true true": "true", "true false": "false", "true nil": "nil", "false true": "false", "false false": "true", "false nil": "nil",
			"nil true": "nil", "nil false": "nil", "nil nil": "nil"},
		"!=": {"true true": "false", "true false": "true", "true nil": "nil", "false true": "true", "false false": "false", "false nil": "nil",
			"nil true": "nil", "nil false": "nil", "nil nil": "nil"},
	}
	for op, results := range tables {
		for _, l := range words {
			for _, r := range words {
				got, err := newExprRow(map[string]connector.Value{"b": values[l], "c": values[r]}).eval(t, "b "+op+" c")
				if w := results[l+" "+r]; err != nil || word(got) != w {
					t.Errorf("%s %s %s: got %v, %v; want %s", l, op, r, got, err, w)
				}
			}
		}
	}
	for in, w := range map[string]string{"true": "false", "false": "true", "nil": "nil"} {
		got, err := newExprRow(map[string]connector.Value{"b": values[in]}).eval(t, "not b")
		if err != nil || word(got) != w {
			t.Errorf("not %s: got %v, %v; want %s", in, got, err, w)
		}
	}
}

func word(v any) string {
	if v == nil {
		return "nil"
	}
	return fmt.Sprint(v)
}

func TestExprValues(t *testing.T) {
	full := newExprRow(map[string]connector.Value{
		"i": vInt(7), "j": vInt(2), "f": {Kind: connector.KindFloat, Float: 0.5}, "d": vDec("12.50"), "s": vText("Aya"), "t": vText("Ito"),
		"b": vBool(true), "c": vBool(false), "day": {Kind: connector.KindDate, Int: 7429}, "at": vAt(testNow.Add(-time.Hour)),
		"local": {Kind: connector.KindTimestamp, Int: testNow.UnixMicro()}, "js": vJSON(`{"lang":"ja","n":[1,2.5,null],"x":null}`),
		"list": vList(vText("a"), connector.Value{}, vText("b")), "count": vInt(3), "date": vText("x"), "first name": vText("Q"),
	})
	empty := newExprRow(nil)
	for _, c := range []struct {
		row    *exprRow
		source string
		want   string
	}{
		{full, `s + " " + t`, "Aya Ito"}, {empty, `s + " " + t`, "nil"}, {full, `s != "internal"`, "true"}, {empty, `s != "internal"`, "nil"},
		{full, `s != nil`, "true"}, {empty, `s != nil`, "false"}, {empty, `s == nil`, "true"}, {empty, `nil == s`, "true"}, {full, `at == nil`, "false"},
		{empty, `s ?? "none"`, "none"}, {full, `s ?? "none"`, "Aya"}, {empty, `(s ?? t) ?? "x"`, "x"}, {empty, `upper(s) ?? "?"`, "?"},
		{full, `i + j`, "9"}, {empty, `i + 1`, "nil"}, {full, `i / j`, "3.5"}, {full, `i % j`, "1"}, {full, `i ** 2`, "49"}, {full, `-i`, "-7"},
		{empty, `-i`, "nil"}, {full, `-5 < i`, "true"}, {full, `d > 12`, "true"}, {full, `d == 12.5`, "true"}, {full, `i > f`, "true"}, {empty, `d > 12`, "nil"},
		{full, `upper(s)`, "AYA"}, {empty, `upper(s)`, "nil"}, {full, `len(s)`, "3"}, {empty, `len(s)`, "nil"}, {empty, `type(s)`, "nil"},
		{full, `s contains "y"`, "true"}, {empty, `s contains "y"`, "nil"}, {full, `s startsWith "A"`, "true"}, {full, `not (s endsWith "A")`, "true"},
		{full, `s matches "^A.a$"`, "true"}, {empty, `s matches "^A"`, "nil"}, {full, `s in ["Aya", "Bo"]`, "true"}, {empty, `s in ["Aya"]`, "nil"},
		{full, `s in ["Bo", nil]`, "nil"}, {full, `s in ["Aya", nil]`, "true"}, {full, `s not in ["Bo"]`, "true"}, {empty, `s not in ["Bo"]`, "nil"},
		{full, `"a" in list`, "true"}, {full, `"z" in list`, "nil"}, {full, `i in 1..9`, "true"}, {empty, `i in 1..9`, "nil"},
		{full, `b ? "y" : "n"`, "y"}, {empty, `b ? "y" : "n"`, "n"}, {empty, `i > 1 ? "y" : "n"`, "n"}, {full, `if i > 5 { "big" } else { "small" }`, "big"},
		{full, `at > now() - duration("720h")`, "true"}, {full, `now() - at > duration("30m")`, "true"}, {empty, `at > now() - duration("720h")`, "nil"},
		{full, `day < date("2000-01-01")`, "true"}, {full, `day < now()`, "true"}, {full, `at.Year()`, "2026"}, {empty, `at.Year()`, "nil"}, {full, `local > at`, "true"},
		{full, `js.lang`, "ja"}, {full, `js.nothing`, "nil"}, {full, `js.nothing.deeper`, "nil"}, {full, `js.n[1]`, "2.5"}, {full, `js.n[9]`, "nil"},
		{empty, `js.lang`, "nil"}, {full, `js?.lang`, "ja"}, {full, `js["lang"] == "ja"`, "true"}, {full, `js.x == nil`, "true"}, {full, `js.n[0] + 1`, "2"},
		{full, `list[0]`, "a"}, {full, `list[-1]`, "b"}, {empty, `list[0]`, "nil"}, {full, `list[0:1][0]`, "a"}, {empty, `list[0:1]`, "nil"},
		{full, `any(list, # == "a")`, "true"}, {empty, `any(list, # == "a")`, "nil"}, {full, `count(list, # startsWith "b")`, "1"},
		{full, `len(filter(list, # != nil))`, "2"}, {full, `all(list, # == "a")`, "false"}, {full, `map(list, # ?? "-")[1]`, "-"},
		{full, `join(map(list, # ?? "-"), ",")`, "a,-,b"},
		{full, `count + 1`, "4"}, {full, `date == "x"`, "true"}, {full, `$env["first name"]`, "Q"}, {full, `let n = i * 2; n + n`, "28"}, {empty, `let n = i; n == nil`, "true"},
		{full, `s == "Aya" and i > 5 or b`, "true"}, {full, `i != nil && i > 5`, "true"}, {empty, `i != nil && 10 / i > 5`, "false"},
		{full, `i - j`, "5"}, {full, `i * j`, "14"}, {full, `-j * i`, "-14"}, {full, `i * 4611686018427387904`, "error"}, {full, `-9223372036854775807 - i`, "error"},
		{full, `d - f`, "12"}, {full, `d * f`, "6.25"}, {full, `d / f`, "25"}, {full, `d / 0`, "error"}, {full, `d ** 2`, "156.25"}, {full, `i % 0`, "error"},
		{full, `duration("1h") + duration("30m")`, "1h30m0s"}, {full, `duration("1h") - duration("30m")`, "30m0s"},
		{full, `duration("1h") * 2`, "2h0m0s"}, {full, `2 * duration("1h")`, "2h0m0s"},
		{full, `duration("1h") > duration("30m")`, "true"}, {full, `duration("1h") + at > at`, "true"}, {full, `at + duration("1h") == now()`, "true"},
		{full, `at < now() and at <= now() and not (at >= now())`, "true"}, {full, `s < t and s <= t and not (s > t) and not (s >= t)`, "true"}, {full, `b == true`, "true"},
		{full, `js == js`, "true"}, {full, `js.n == [1, 2.5, nil]`, "true"}, {full, `js.n == [1, 2.5]`, "false"}, {full, `js.n == [1, 2.5, 3]`, "false"}, {full, `js.lang == 5`, "false"},
		{full, `js.lang > 5`, "error"}, {full, `js.lang + 1`, "error"}, {full, `js.n + 1`, "error"}, {full, `js.lang in js`, "false"}, {full, `"lang" in js`, "true"}, {full, `1 in js.lang`, "error"},
		{full, `s matches t`, "false"}, {full, `s matches js.lang`, "false"}, {full, `js.n contains "x"`, "error"}, {full, `js.n matches "x"`, "error"}, {full, `js.n["x"]`, "error"},
		{full, `js.lang.x`, "error"}, {full, `js[1]`, "nil"}, {full, `(1..3)[0]`, "1"}, {full, `(1..3)[-1]`, "3"}, {full, `(1..3)[7]`, "nil"}, {full, `len(3..1)`, "0"}, {full, `1..1000000`, "error"},
		{full, `+i`, "7"}, {full, `-0.5 < f`, "true"}, {full, `js.n[0] ? 1 : 2`, "error"}, {full, `split(s, "y")[1]`, "a"}, {full, `first(list)`, "a"}, {full, `sum(1..3)`, "6"},
		{full, `string(i) + s`, "7Aya"}, {full, `round(d)`, "13"}, {full, `s | lower()`, "aya"}, {full, `i == 7.0`, "true"}, {full, `{"a": s}.a`, "Aya"},
		{full, `trim("  x ")`, "x"}, {full, `repeat(s, 2)`, "AyaAya"}, {full, `repeat(s, 1000000000)`, "error"}, {full, `now().Hour()`, "12"}, {full, `i / 0`, "error"}, {full, `9223372036854775807 + i`, "error"}, {full, `int(s)`, "error"},
		{full, `gone == "x"`, "error"}, {full, `b and js.lang`, "error"}, {full, `false and js.lang`, "false"}, {full, `max(i, j)`, "7"}, {empty, `max(i, 1)`, "nil"},
	} {
		t.Run(c.source, func(t *testing.T) {
			got, err := c.row.eval(t, c.source)
			s := word(got)
			if err != nil {
				s = "error"
				if strings.Contains(err.Error(), "Aya") || strings.Contains(err.Error(), "7") {
					t.Errorf("the error holds a value: %v", err)
				}
			}
			if s != c.want {
				t.Errorf("got %s (%v), want %s", s, err, c.want)
			}
		})
	}
}

func TestExprFaults(t *testing.T) {
	r := newExprRow(nil)
	for _, c := range []struct {
		source string
		rule   bool
		offset int
		what   string
		fix    string
	}{
		{`s + frist`, false, 4, `no column or function "frist" in public.t`, `"first"`},
		{`lst[0] == "a"`, true, 0, `"lst"`, `"list"`},
		{`"ü" + lst`, false, 7, `"lst"`, `"list"`},
		{`s > 5`, true, 2, "mismatched types", "convert"},
		{`at > "2026-01-01"`, true, 3, "mismatched types", "date("},
		{`i + `, false, 3, "unexpected token", ""},
		{`i + 1`, true, 0, "not true or false", ""},
		{`uper(s)`, false, 0, `"uper"`, `"upper"`},
		{`s matches "("`, true, 10, "", ""},
		{``, false, 0, "empty", ""},
		{`$env["frist name"]`, false, 4, "", ""},
		{`s.foo`, false, 2, "", ""},
		{strings.Repeat("i + ", maxNodes) + "i", false, 0, "", ""},
	} {
		_, err := compileExpr(c.source, r.table, map[bool]exprUse{true: useRule}[c.rule], time.UTC, time.Now)
		f, ok := errors.AsType[*exprFault](err)
		name := c.source[:min(len(c.source), 30)]
		if !ok {
			t.Errorf("%s: got %v, want a fault", name, err)
			continue
		}
		if !strings.Contains(f.what, c.what) || !strings.Contains(f.fix, c.fix) || (c.what != "" && f.offset != c.offset) {
			t.Errorf("%s: got %q, fix %q, at %d", name, f.what, f.fix, f.offset)
		}
	}
	t.Run("without a table only the grammar is checked", func(t *testing.T) {
		if _, err := compileExpr(`anything > 5 and other == "x"`, nil, useRule, time.UTC, time.Now); err != nil {
			t.Error(err)
		}
		if _, err := compileExpr(`nosuch(anything)`, nil, useRule, time.UTC, time.Now); err == nil {
			t.Error("an unknown function compiled")
		}
	})
}

// reference is a tree whose value under SQL's logic is computed the plain way, beside its expr source.
type reference struct {
	source string
	bools  func(env map[string]*bool) *bool
}

func genRule(depth int) *rapid.Generator[reference] {
	return rapid.Custom(func(t *rapid.T) reference {
		kind := rapid.IntRange(0, 5).Draw(t, "kind")
		if depth == 0 || kind == 0 {
			name := rapid.SampledFrom([]string{"b", "c"}).Draw(t, "leaf")
			return reference{name, func(env map[string]*bool) *bool { return env[name] }}
		}
		l := genRule(depth-1).Draw(t, "left")
		if kind == 1 {
			return reference{"not (" + l.source + ")", func(env map[string]*bool) *bool {
				if v := l.bools(env); v != nil {
					n := !*v
					return &n
				}
				return nil
			}}
		}
		r := genRule(depth-1).Draw(t, "right")
		op := []string{"and", "or", "==", "?"}[kind-2]
		if op == "?" {
			return reference{"((" + l.source + ") ? (" + r.source + ") : (b == nil))", func(env map[string]*bool) *bool {
				if v := l.bools(env); v != nil && *v {
					return r.bools(env)
				}
				n := env["b"] == nil
				return &n
			}}
		}
		return reference{"((" + l.source + ") " + op + " (" + r.source + "))", func(env map[string]*bool) *bool {
			x, y := l.bools(env), r.bools(env)
			result := func(v bool) *bool { return &v }
			switch {
			case op == "and" && ((x != nil && !*x) || (y != nil && !*y)):
				return result(false)
			case op == "or" && ((x != nil && *x) || (y != nil && *y)):
				return result(true)
			case x == nil || y == nil:
				return nil
			case op == "==":
				return result(*x == *y)
			}
			return result(op == "and")
		}}
	})
}

func TestExprAgainstReference(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ref := genRule(4).Draw(rt, "rule")
		env := map[string]*bool{}
		values := map[string]connector.Value{}
		for _, n := range []string{"b", "c"} {
			switch rapid.IntRange(0, 2).Draw(rt, n) {
			case 0:
				v := false
				env[n], values[n] = &v, vBool(false)
			case 1:
				v := true
				env[n], values[n] = &v, vBool(true)
			}
		}
		got, err := newExprRow(values).eval(t, ref.source)
		if err != nil {
			rt.Fatalf("%s: %v", ref.source, err)
		}
		wanted := "nil"
		if v := ref.bools(env); v != nil {
			wanted = fmt.Sprint(*v)
		}
		if word(got) != wanted {
			rt.Fatalf("%s: got %s, want %s", ref.source, word(got), wanted)
		}
	})
}
