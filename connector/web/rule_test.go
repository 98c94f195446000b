package web

import (
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// randomRow is a row that the builder can make.
func randomRow(rng *rand.Rand) RuleRow {
	kinds := []string{"text", "number", "bool", "date", "list", "object"}
	kind := kinds[rng.IntN(len(kinds))]
	ops := ruleOps[kind]
	columns := []string{"plan", "born", "last order", "in", "größe", "a.b", "_x1"}
	texts := []string{"pro", "it's", `say "hi"`, "a, b", "", " blank ", "ÄÖ", "50%", `back\slash`, "line\nbreak"}
	w := RuleRow{Column: columns[rng.IntN(len(columns))], Op: ops[rng.IntN(len(ops))]}
	number := func() string {
		s := strconv.Itoa(rng.IntN(2000) - 1000)
		if rng.IntN(3) == 0 {
			s += "." + strconv.Itoa(1+2*rng.IntN(5))
		}
		return s
	}
	date := func() string {
		return "20" + strconv.Itoa(10+rng.IntN(20)) + "-0" + strconv.Itoa(1+rng.IntN(9)) + "-1" + strconv.Itoa(rng.IntN(10))
	}
	switch w.Op {
	case "is", "is_not", "contains", "starts", "ends":
		w.Value, w.IgnoreCase = texts[rng.IntN(len(texts))], rng.IntN(3) == 0
		if w.IgnoreCase {
			w.Value = strings.ToLower(w.Value)
		}
	case "has":
		w.Value = texts[rng.IntN(len(texts))]
	case "one_of":
		w.Value = listText([]string{texts[rng.IntN(len(texts))], "x"})
	case "eq", "ne", "lt", "le", "gt", "ge":
		w.Value = number()
	case "between":
		w.Value, w.Value2 = number(), number()
	case "before", "after":
		w.Value = date()
	case "during":
		w.Value, w.Value2 = date(), date()
	case "last", "next":
		w.Value = strconv.Itoa(1 + rng.IntN(400))
	}
	return w
}

func TestRule(t *testing.T) {
	t.Run("every rule of the builder comes back from its expression", func(t *testing.T) {
		rng := rand.New(rand.NewPCG(7, 7))
		brackets := strings.NewReplacer("(", "", ")", "")
		for range 20_000 {
			r := Rule{Any: rng.IntN(2) == 0}
			for range 1 + rng.IntN(4) {
				r.Rows = append(r.Rows, randomRow(rng))
			}
			if rng.IntN(2) == 0 {
				r.Block = &Rule{Any: !r.Any, Rows: []RuleRow{randomRow(rng), randomRow(rng)}}
			}
			text, err := r.Expression()
			if err != nil {
				t.Fatalf("%+v: %v", r, err)
			}
			back, ok := ParseRule(text)
			if !ok {
				t.Fatalf("%s is taken for richer than the builder", text)
			}
			again, err := back.Expression()
			// Two rows that say what "between" says may come back as one, in brackets.
			if err != nil || brackets.Replace(again) != brackets.Replace(text) {
				t.Fatalf("%s comes back as %s (%v)", text, again, err)
			}
		}
	})
	for _, c := range []struct {
		name, expr string
		want       Rule
	}{
		{"reads what a person writes", `credits > 1000 and last_order > now() - duration("720h")`,
			Rule{Rows: []RuleRow{{Column: "credits", Op: "gt", Value: "1000"}, {Column: "last_order", Op: "last", Value: "30"}}}},
		{"reads a block", `plan == "pro" && (land == "DE" or land == "AT")`,
			Rule{Rows: []RuleRow{{Column: "plan", Op: "is", Value: "pro"}}, Block: &Rule{Any: true, Rows: []RuleRow{{Column: "land", Op: "is", Value: "DE"}, {Column: "land", Op: "is", Value: "AT"}}}}},
		{"reads between", `credits >= 10 && credits <= 20.5`, Rule{Rows: []RuleRow{{Column: "credits", Op: "between", Value: "10", Value2: "20.5"}}}},
		{"reads lists", `lower(plan) in ["pro", "team"]`, Rule{Rows: []RuleRow{{Column: "plan", Op: "one_of", Value: "pro, team", IgnoreCase: true}}}},
		{"reads columns that are no words", `$env["last order"] != nil`, Rule{Rows: []RuleRow{{Column: "last order", Op: "some"}}}},
		{"reads negative numbers", `x == -5`, Rule{Rows: []RuleRow{{Column: "x", Op: "eq", Value: "-5"}}}},
		{"reads nothing", ` `, Rule{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := ParseRule(c.expr)
			if !ok || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%v %+v\nwant %+v", ok, got, c.want)
			}
		})
	}
	t.Run("leaves alone what is richer than the builder", func(t *testing.T) {
		for _, expr := range []string{`a + 1 > 2`, `not (a == 1)`, `len(name) > 3`, `a == b`, `(a == 1 || b == 2) && (c == 3 || d == 4)`, `a ==`, `true`, `a matches "x.*"`,
			`at > now() - duration("90m")`, `lower(plan) == "Pro"`, `upper(plan) == "PRO"`, `a in [1, 2]`, `becomes(status, "paid")`, `any(tags, # == "x")`} {
			if r, ok := ParseRule(expr); ok {
				t.Errorf("%s became %+v", expr, r)
			}
		}
	})
	t.Run("refuses values that do not fit", func(t *testing.T) {
		for _, w := range []RuleRow{{Column: "a", Op: "gt", Value: "1; drop"}, {Column: "a", Op: "gt"}, {Column: "a", Op: "before", Value: "tomorrow"}, {Column: "a", Op: "last", Value: "-3"},
			{Column: "a", Op: "nonsense"}, {Column: "a", Op: "one_of", Value: " , "}} {
			if s, err := (Rule{Rows: []RuleRow{w}}).Expression(); err == nil {
				t.Errorf("%+v became %s", w, s)
			}
		}
	})
}
