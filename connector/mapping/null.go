package mapping

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/conf"

	"brazecdc/connector"
)

// columnPrefix keeps columns apart from functions of the same name (date, count, last): no identifier can hold a blank.
const columnPrefix = "column "

// nullLogic rewrites an expression's tree so that it has SQL's NULL logic: operators become functions that know NULL, functions of a NULL give
// NULL, a comparison with the literal nil is IS [NOT] NULL, a condition that is NULL takes the else branch, a member of NULL is NULL. It also finds
// the columns that are read.
type nullLogic struct {
	source   string
	table    *connector.Table
	funcs    conf.FunctionsTable
	bound    map[string]int // names declared by let, by how many times
	seen     map[string]bool
	columns  []string
	olds     []string
	use      exprUse
	volatile bool
	fresh    int
	err      error
}

var binaryFunctions = map[string]string{
	"==": "_eq", "!=": "_ne", "<": "_lt", "<=": "_le", ">": "_gt", ">=": "_ge",
	"+": "_add", "-": "_sub", "*": "_mul", "/": "_div", "%": "_mod", "**": "_pow", "^": "_pow",
	"in": "_in", "contains": "_contains", "startsWith": "_startsWith", "endsWith": "_endsWith", "matches": "_matches", "..": "_range",
}

// becomesName is the function that is true where a column has a value now and had another before.
const becomesName = "becomes"

// oldPrefix is columnPrefix for what stood in a column before.
const oldPrefix = "old "

// predicates are the functions whose argument is a condition on each element; the others that take a predicate use its value.
var predicates = map[string]bool{
	"all": true, "none": true, "any": true, "one": true, "filter": true, "find": true, "findIndex": true, "findLast": true,
	"findLastIndex": true, "count": true,
}

func call(name string, args ...ast.Node) ast.Node {
	return &ast.CallNode{Callee: &ast.IdentifierNode{Value: name}, Arguments: args}
}

func (t *nullLogic) fail(n ast.Node, what, fix string) {
	if t.err == nil {
		t.err = &exprFault{offset: byteOffset(t.source, n.Location().From), what: what, fix: fix}
	}
}

// with evaluates value once and gives body, which may use it any number of times.
func (t *nullLogic) with(value ast.Node, body func(v func() ast.Node) ast.Node) ast.Node {
	t.fresh++
	name := fmt.Sprintf("_v%d", t.fresh)
	v := func() ast.Node { return &ast.IdentifierNode{Value: name} }
	return &ast.VariableDeclaratorNode{Name: name, Value: value, Expr: body(v)}
}

// unlessNull is body, or NULL where value is.
func (t *nullLogic) unlessNull(value ast.Node, body func(v func() ast.Node) ast.Node) ast.Node {
	return t.with(value, func(v func() ast.Node) ast.Node {
		return &ast.ConditionalNode{Cond: call("_isnull", v()), Exp1: &ast.NilNode{}, Exp2: body(v)}
	})
}

func (t *nullLogic) nodes(ns []ast.Node) []ast.Node {
	for i := range ns {
		ns[i] = t.node(ns[i])
	}
	return ns
}

// node gives the tree that stands for n.
func (t *nullLogic) node(n ast.Node) ast.Node {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return t.identifier(n)
	case *ast.UnaryNode:
		return t.unary(n)
	case *ast.BinaryNode:
		return t.binary(n)
	case *ast.ChainNode:
		return t.node(n.Node)
	case *ast.MemberNode:
		if id, ok := n.Node.(*ast.IdentifierNode); ok && id.Value == "$env" {
			if name, ok := n.Property.(*ast.StringNode); ok {
				return t.column(n, name.Value)
			}
			t.fail(n, "$env takes a column's name in quotes", "")
			return n
		}
		return call("_get", t.node(n.Node), t.node(n.Property))
	case *ast.SliceNode:
		return t.unlessNull(t.node(n.Node), func(v func() ast.Node) ast.Node {
			s := &ast.SliceNode{Node: v()}
			if n.From != nil {
				s.From = t.node(n.From)
			}
			if n.To != nil {
				s.To = t.node(n.To)
			}
			return s
		})
	case *ast.CallNode:
		return t.call(n)
	case *ast.BuiltinNode:
		return t.builtin(n)
	case *ast.PredicateNode:
		n.Node = t.node(n.Node)
	case *ast.ConditionalNode:
		n.Cond, n.Exp1, n.Exp2 = call("_true", t.node(n.Cond)), t.node(n.Exp1), t.node(n.Exp2)
	case *ast.VariableDeclaratorNode:
		n.Value = t.node(n.Value)
		t.bound[n.Name]++
		n.Expr = t.node(n.Expr)
		t.bound[n.Name]--
	case *ast.SequenceNode:
		n.Nodes = t.nodes(n.Nodes)
	case *ast.ArrayNode:
		n.Nodes = t.nodes(n.Nodes)
	case *ast.MapNode:
		n.Pairs = t.nodes(n.Pairs)
	case *ast.PairNode:
		n.Key, n.Value = t.node(n.Key), t.node(n.Value)
	}
	return n
}

func (t *nullLogic) identifier(n *ast.IdentifierNode) ast.Node {
	if t.bound[n.Value] > 0 {
		return n
	}
	if n.Value == "$env" {
		t.fail(n, "$env alone is the whole row, which no field can be", `write $env["column name"]`)
		return n
	}
	return t.column(n, n.Value)
}

func (t *nullLogic) column(n ast.Node, name string) ast.Node {
	if t.table != nil && t.table.Column(name) < 0 {
		t.fail(n, fmt.Sprintf("there is no column %q in %s", name, t.table.Name), meant(name, columnNames(t.table)))
	}
	if !t.seen[name] {
		t.seen[name] = true
		t.columns = append(t.columns, name)
	}
	return &ast.IdentifierNode{Value: columnPrefix + name}
}

func (t *nullLogic) unary(n *ast.UnaryNode) ast.Node {
	switch x := t.node(n.Node); n.Operator {
	case "not", "!":
		return call("_not", x)
	case "-":
		switch c := x.(type) { // keeps -5 a constant
		case *ast.IntegerNode:
			return &ast.IntegerNode{Value: -c.Value}
		case *ast.FloatNode:
			return &ast.FloatNode{Value: -c.Value}
		}
		return call("_neg", x)
	default:
		return x
	}
}

func (t *nullLogic) binary(n *ast.BinaryNode) ast.Node {
	_, leftNil := n.Left.(*ast.NilNode)
	_, rightNil := n.Right.(*ast.NilNode)
	if (leftNil || rightNil) && (n.Operator == "==" || n.Operator == "!=") {
		x := n.Left
		if leftNil {
			x = n.Right
		}
		test := call("_isnull", t.node(x))
		if n.Operator == "!=" {
			test = call("_not", test)
		}
		return test
	}
	left, right := t.node(n.Left), t.node(n.Right)
	switch n.Operator {
	case "??":
		n.Left, n.Right = left, right
		return n
	case "and", "&&":
		return t.with(left, func(v func() ast.Node) ast.Node {
			return &ast.ConditionalNode{Cond: call("_isfalse", v()), Exp1: &ast.BoolNode{Value: false}, Exp2: call("_and", v(), right)}
		})
	case "or", "||":
		return t.with(left, func(v func() ast.Node) ast.Node {
			return &ast.ConditionalNode{Cond: call("_true", v()), Exp1: &ast.BoolNode{Value: true}, Exp2: call("_or", v(), right)}
		})
	case "matches":
		if s, ok := right.(*ast.StringNode); ok {
			re, err := regexp.Compile(s.Value)
			if err != nil {
				t.fail(n, "the pattern is no regular expression: "+err.Error(), "")
				return n
			}
			right = &ast.ConstantNode{Value: re}
		}
	}
	if f, ok := binaryFunctions[n.Operator]; ok {
		return call(f, left, right)
	}
	t.fail(n, fmt.Sprintf("the operator %q is not known here", n.Operator), "")
	return n
}

// call handles methods (created_at.Year()); functions that expr does not have itself are unknown.
func (t *nullLogic) call(n *ast.CallNode) ast.Node {
	switch callee := n.Callee.(type) {
	case *ast.MemberNode:
		object := t.node(callee.Node)
		args := t.nodes(n.Arguments)
		return t.unlessNull(object, func(v func() ast.Node) ast.Node {
			return &ast.CallNode{Callee: &ast.MemberNode{Node: v(), Property: callee.Property, Method: callee.Method}, Arguments: args}
		})
	case *ast.IdentifierNode:
		if callee.Value == becomesName {
			return t.becomes(n)
		}
		t.fail(n, fmt.Sprintf("there is no function %q", callee.Value), meant(callee.Value, builtin.Names))
	default:
		t.fail(n, "only functions can be called", "")
	}
	return n
}

// becomes rewrites becomes(column, value).
func (t *nullLogic) becomes(n *ast.CallNode) ast.Node {
	var id *ast.IdentifierNode
	if len(n.Arguments) == 2 {
		id, _ = n.Arguments[0].(*ast.IdentifierNode)
	}
	switch {
	case t.use != useWhen:
		t.fail(n, "becomes() is about a change, and this is about a row", "it belongs to when of events and purchases")
		return n
	case id == nil || t.bound[id.Value] > 0:
		t.fail(n, "becomes() takes a column and a value", `write becomes(status, "paid")`)
		return n
	}
	if !slices.Contains(t.olds, id.Value) {
		t.olds = append(t.olds, id.Value)
	}
	return call("_becomes", t.node(id), t.node(n.Arguments[1]), &ast.IdentifierNode{Value: oldPrefix + id.Value})
}

func (t *nullLogic) builtin(n *ast.BuiltinNode) ast.Node {
	if _, ok := t.funcs["_"+n.Name]; ok && !isPredicate(n) {
		if n.Name == "now" {
			t.volatile = true
		}
		return call("_"+n.Name, t.nodes(n.Arguments)...)
	}
	collection := t.node(n.Arguments[0])
	rest := t.nodes(n.Arguments[1:])
	if predicates[n.Name] && len(rest) > 0 {
		if p, ok := rest[0].(*ast.PredicateNode); ok {
			p.Node = call("_true", p.Node)
		}
	}
	return t.unlessNull(collection, func(v func() ast.Node) ast.Node {
		return &ast.BuiltinNode{Name: n.Name, Arguments: append([]ast.Node{v()}, rest...)}
	})
}

// isPredicate tells whether a builtin is one that the virtual machine runs as a loop.
func isPredicate(n *ast.BuiltinNode) bool {
	i, ok := builtin.Index[n.Name]
	return ok && builtin.Builtins[i].Predicate && len(n.Arguments) > 0
}
