package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"
)

// Rule is what the rule builder shows: rows that all hold, or of which any does, and at most one block of rows inside.
type Rule struct {
	Any   bool
	Rows  []RuleRow
	Block *Rule // without a Block of its own
}

// RuleRow is one row of a rule: a column, an operator, and its values. Values are texts as a person writes them.
type RuleRow struct {
	Column        string
	Op            string
	Value, Value2 string
	IgnoreCase    bool
}

// The operators by the kind of a column, as the builder offers them.
var ruleOps = map[string][]string{
	"text":   {"is", "is_not", "contains", "starts", "ends", "one_of", "empty", "some"},
	"number": {"eq", "ne", "lt", "le", "gt", "ge", "between", "empty", "some"},
	"bool":   {"true", "false", "empty", "some"},
	"date":   {"before", "after", "during", "last", "next", "empty", "some"},
	"list":   {"has", "empty", "some"},
	"object": {"empty", "some"},
	"bytes":  {"empty", "some"},
}

var (
	compares  = map[string]string{"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
	textTests = map[string]string{"is": "==", "is_not": "!=", "contains": "contains", "starts": "startsWith", "ends": "endsWith"}

	plainColumn = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	ruleNumber  = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)
	ruleWords   = []string{"in", "not", "and", "or", "let", "true", "false", "nil", "matches", "contains", "startsWith", "endsWith", "if", "else"}
)

// ruleError is what is wrong with a row of the builder.
type ruleError struct {
	Column string
	Key    string // of the catalogue
	Empty  bool   // what is wrong is only that a value is missing
}

// Error implements error.
func (e *ruleError) Error() string { return e.Column + ": " + e.Key }

// Expression writes the rule as an expression; empty where it has no rows. The error is a *ruleError.
func (r Rule) Expression() (string, error) {
	var parts []string
	for _, row := range r.Rows {
		s, err := row.expression()
		if err != nil {
			return "", err
		}
		parts = append(parts, s)
	}
	if r.Block != nil {
		inner := *r.Block
		inner.Block = nil
		s, err := inner.Expression()
		switch {
		case err != nil:
			return "", err
		case len(inner.Rows) > 1:
			parts = append(parts, "("+s+")")
		case s != "":
			parts = append(parts, s)
		}
	}
	if r.Any {
		return strings.Join(parts, " || "), nil
	}
	return strings.Join(parts, " && "), nil
}

func (w RuleRow) expression() (string, error) {
	col := columnWord(w.Column)
	bad := func(key string) (string, error) {
		return "", &ruleError{w.Column, key, w.Value == "" || w.Value2 == "" && (w.Op == "between" || w.Op == "during")}
	}
	switch w.Op {
	case "empty":
		return col + " == nil", nil
	case "some":
		return col + " != nil", nil
	case "true", "false":
		return col + " == " + w.Op, nil
	case "has":
		return quote(w.Value) + " in " + col, nil
	case "one_of":
		return w.oneOf(col)
	}
	if op, ok := textTests[w.Op]; ok {
		v := w.Value
		if w.IgnoreCase {
			col, v = "lower("+col+")", strings.ToLower(v)
		}
		return col + " " + op + " " + quote(v), nil
	}
	if op, ok := compares[w.Op]; ok {
		if !ruleNumber.MatchString(w.Value) {
			return bad("models.rule.number")
		}
		return col + " " + op + " " + w.Value, nil
	}
	switch w.Op {
	case "between":
		if !ruleNumber.MatchString(w.Value) || !ruleNumber.MatchString(w.Value2) {
			return bad("models.rule.number")
		}
		return "(" + col + " >= " + w.Value + " && " + col + " <= " + w.Value2 + ")", nil
	case "before", "after":
		if !isDay(w.Value) {
			return bad("models.rule.date")
		}
		return col + map[string]string{"before": " < ", "after": " > "}[w.Op] + day(w.Value), nil
	case "during":
		if !isDay(w.Value) || !isDay(w.Value2) {
			return bad("models.rule.date")
		}
		return "(" + col + " >= " + day(w.Value) + " && " + col + " <= " + day(w.Value2) + ")", nil
	case "last", "next":
		n, err := strconv.Atoi(w.Value)
		if err != nil || n < 1 || n > 36_500 {
			return bad("models.rule.days")
		}
		span := fmt.Sprintf(`duration("%dh")`, 24*n)
		if w.Op == "last" {
			return col + " > now() - " + span, nil
		}
		return "(" + col + " > now() && " + col + " < now() + " + span + ")", nil
	}
	return bad("models.rule.op")
}

// oneOf writes a list; its values are one a line, or with commas between.
func (w RuleRow) oneOf(col string) (string, error) {
	var list []string
	for _, v := range listValues(w.Value) {
		if w.IgnoreCase {
			v = strings.ToLower(v)
		}
		list = append(list, quote(v))
	}
	if len(list) == 0 {
		return "", &ruleError{w.Column, "models.rule.list", true}
	}
	if w.IgnoreCase {
		col = "lower(" + col + ")"
	}
	return col + " in [" + strings.Join(list, ", ") + "]", nil
}

// listValues takes a list apart: values with a comma in them stand in quotes.
func listValues(text string) []string {
	var out []string
	for rest := strings.TrimSpace(text); rest != ""; {
		if rest[0] == '"' {
			d := json.NewDecoder(strings.NewReader(rest))
			var s string
			if d.Decode(&s) == nil {
				out = append(out, s)
				rest = strings.TrimLeft(rest[d.InputOffset():], " ,")
				continue
			}
		}
		v, after, _ := strings.Cut(rest, ",")
		if v = strings.TrimSpace(v); v != "" {
			out = append(out, v)
		}
		rest = strings.TrimSpace(after)
	}
	return out
}

// listText is the reverse of listValues.
func listText(values []string) string {
	out := make([]string, len(values))
	for i, v := range values {
		if out[i] = v; v == "" || strings.ContainsAny(v, ",\"\n") || strings.TrimSpace(v) != v {
			out[i] = quote(v)
		}
	}
	return strings.Join(out, ", ")
}

// columnWord is a column in an expression.
func columnWord(name string) string {
	if plainColumn.MatchString(name) && !slices.Contains(ruleWords, name) {
		return name
	}
	return "$env[" + quote(name) + "]"
}

func quote(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(s) != nil {
		return `""` // a string always encodes
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func isDay(s string) bool {
	_, err := time.Parse(time.DateOnly, s)
	return err == nil
}

func day(s string) string { return `date("` + s + `")` }

var errRich = errors.New("the rule is richer than the builder")

// ParseRule reads an expression back into rows; false where it is richer than those. An empty expression is a rule without rows.
func ParseRule(expr string) (Rule, bool) {
	if strings.TrimSpace(expr) == "" {
		return Rule{}, true
	}
	if len(expr) > 10_000 {
		return Rule{}, false
	}
	tree, err := parser.Parse(expr)
	if err != nil {
		return Rule{}, false
	}
	r, err := ruleOf(tree.Node, true)
	return r, err == nil
}

// joint is && or ||, whichever joins a node's parts; empty where nothing does.
func joint(n ast.Node) string {
	if b, ok := n.(*ast.BinaryNode); ok {
		switch b.Operator {
		case "&&", "and":
			return "&&"
		case "||", "or":
			return "||"
		}
	}
	return ""
}

// spine takes a chain of one joint apart: what stood in brackets of its own stays together.
func spine(n ast.Node, by string) []ast.Node {
	if joint(n) != by {
		return []ast.Node{n}
	}
	b, _ := n.(*ast.BinaryNode)
	return append(spine(b.Left, by), b.Right)
}

// ruleOf reads the parts of a node as rows; block allows one that is a block of rows.
func ruleOf(n ast.Node, block bool) (Rule, error) {
	if row, ok := rowOf(n); ok {
		return Rule{Rows: []RuleRow{row}}, nil
	}
	by := joint(n)
	if by == "" {
		return Rule{}, errRich
	}
	r := Rule{Any: by == "||"}
	parts := spine(n, by)
	if by == "&&" && len(parts) > 2 { // a pair at the beginning needs no brackets
		if row, ok := pairOf(parts[0], parts[1]); ok {
			r.Rows, parts = append(r.Rows, row), parts[2:]
		}
	}
	for i, p := range parts {
		if row, ok := rowOf(p); ok {
			r.Rows = append(r.Rows, row)
			continue
		}
		if !block || r.Block != nil || i != len(parts)-1 && joint(p) == "" {
			return Rule{}, errRich
		}
		inner, err := ruleOf(p, false)
		if err != nil {
			return Rule{}, err
		}
		r.Block = &inner
	}
	return r, nil
}

// columnOf reads a column, or lower(column).
func columnOf(n ast.Node) (name string, lower, ok bool) {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return n.Value, false, n.Value != "$env"
	case *ast.MemberNode:
		id, isID := n.Node.(*ast.IdentifierNode)
		s, isText := n.Property.(*ast.StringNode)
		if isID && isText && id.Value == "$env" && !n.Optional {
			return s.Value, false, true
		}
	case *ast.BuiltinNode:
		if n.Name == "lower" && len(n.Arguments) == 1 {
			name, inner, ok := columnOf(n.Arguments[0])
			return name, true, ok && !inner
		}
	}
	return "", false, false
}

// rowOf reads one row.
func rowOf(n ast.Node) (RuleRow, bool) {
	b, ok := n.(*ast.BinaryNode)
	if !ok {
		return RuleRow{}, false
	}
	if joint(n) == "&&" {
		return pairOf(b.Left, b.Right)
	}
	if s, isText := b.Left.(*ast.StringNode); isText && b.Operator == "in" {
		name, lower, ok := columnOf(b.Right)
		return RuleRow{Column: name, Op: "has", Value: s.Value}, ok && !lower
	}
	name, lower, ok := columnOf(b.Left)
	if !ok {
		return RuleRow{}, false
	}
	row := RuleRow{Column: name, IgnoreCase: lower}
	switch v := b.Right.(type) {
	case *ast.StringNode:
		row.Op, row.Value = opFor(textTests, b.Operator), v.Value
		return row, row.Op != "" && (!lower || v.Value == strings.ToLower(v.Value))
	case *ast.ArrayNode:
		return row.list(b.Operator, v)
	}
	if lower {
		return RuleRow{}, false
	}
	return row.compared(b.Operator, b.Right)
}

// compared reads what stands on the right of an operator.
func (w RuleRow) compared(op string, right ast.Node) (RuleRow, bool) {
	switch v := right.(type) {
	case *ast.NilNode:
		w.Op = map[string]string{"==": "empty", "!=": "some"}[op]
	case *ast.BoolNode:
		if op == "==" {
			w.Op = strconv.FormatBool(v.Value)
		}
	case *ast.BuiltinNode:
		if d, ok := dayOf(v); ok {
			w.Op, w.Value = map[string]string{"<": "before", ">": "after"}[op], d
		}
	case *ast.BinaryNode:
		if n, ok := daysFrom(v, "-"); ok && op == ">" {
			w.Op, w.Value = "last", n
		}
	default:
		if n, ok := numberOf(right); ok {
			w.Op, w.Value = opFor(compares, op), n
		}
	}
	return w, w.Op != ""
}

func opFor(ops map[string]string, operator string) string {
	for word, op := range ops {
		if op == operator {
			return word
		}
	}
	return ""
}

func (w RuleRow) list(op string, v *ast.ArrayNode) (RuleRow, bool) {
	var values []string
	for _, n := range v.Nodes {
		s, ok := n.(*ast.StringNode)
		if !ok || w.IgnoreCase && s.Value != strings.ToLower(s.Value) {
			return RuleRow{}, false
		}
		values = append(values, s.Value)
	}
	w.Op, w.Value = "one_of", listText(values)
	return w, op == "in" && len(values) > 0
}

// pairOf reads two comparisons of one column that are one row together.
func pairOf(left, right ast.Node) (RuleRow, bool) {
	a, okA := left.(*ast.BinaryNode)
	b, okB := right.(*ast.BinaryNode)
	if !okA || !okB {
		return RuleRow{}, false
	}
	nameA, lowerA, okA := columnOf(a.Left)
	nameB, lowerB, okB := columnOf(b.Left)
	if !okA || !okB || lowerA || lowerB || nameA != nameB {
		return RuleRow{}, false
	}
	row := RuleRow{Column: nameA}
	if a.Operator == ">" && b.Operator == "<" {
		now, isNow := a.Right.(*ast.BuiltinNode)
		n, ok := daysFrom(b.Right, "+")
		row.Op, row.Value = "next", n
		return row, ok && isNow && now.Name == "now" && len(now.Arguments) == 0
	}
	if a.Operator != ">=" || b.Operator != "<=" {
		return RuleRow{}, false
	}
	x, okX := numberOf(a.Right)
	y, okY := numberOf(b.Right)
	if okX && okY {
		row.Op, row.Value, row.Value2 = "between", x, y
		return row, true
	}
	x, okX = dayOf(a.Right)
	y, okY = dayOf(b.Right)
	row.Op, row.Value, row.Value2 = "during", x, y
	return row, okX && okY
}

// numberOf reads a number as it would be written again.
func numberOf(n ast.Node) (string, bool) {
	s := ""
	switch n := n.(type) {
	case *ast.IntegerNode:
		s = strconv.Itoa(n.Value)
	case *ast.FloatNode:
		s = strconv.FormatFloat(n.Value, 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
	case *ast.UnaryNode:
		inner, ok := numberOf(n.Node)
		if !ok || n.Operator != "-" || strings.HasPrefix(inner, "-") {
			return "", false
		}
		s = "-" + inner
	}
	return s, s != ""
}

// dayOf reads date("2026-01-31").
func dayOf(n ast.Node) (string, bool) {
	b, ok := n.(*ast.BuiltinNode)
	if !ok || b.Name != "date" || len(b.Arguments) != 1 {
		return "", false
	}
	s, ok := b.Arguments[0].(*ast.StringNode)
	if !ok {
		return "", false
	}
	return s.Value, isDay(s.Value)
}

// daysFrom reads now() - duration("720h") as whole days.
func daysFrom(n ast.Node, op string) (string, bool) {
	b, ok := n.(*ast.BinaryNode)
	if !ok || b.Operator != op {
		return "", false
	}
	now, ok := b.Left.(*ast.BuiltinNode)
	if !ok || now.Name != "now" || len(now.Arguments) != 0 {
		return "", false
	}
	d, ok := b.Right.(*ast.BuiltinNode)
	if !ok || d.Name != "duration" || len(d.Arguments) != 1 {
		return "", false
	}
	s, ok := d.Arguments[0].(*ast.StringNode)
	if !ok {
		return "", false
	}
	hours, isHours := strings.CutSuffix(s.Value, "h")
	h, err := strconv.Atoi(hours)
	if !isHours || err != nil || h <= 0 || h%24 != 0 {
		return "", false
	}
	return strconv.Itoa(h / 24), true
}
