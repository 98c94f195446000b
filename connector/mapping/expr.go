package mapping

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/checker"
	exprcompiler "github.com/expr-lang/expr/compiler"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/types"
	"github.com/expr-lang/expr/vm"

	"brazecdc/connector"
)

// maxNodes bounds the size of one expression.
const maxNodes = 1000

// program is one compiled expression. It may be run concurrently.
type program struct {
	code     *vm.Program
	columns  []string // it reads, each once
	keys     []string // their names in the environment
	olds     []string // columns whose old value it reads
	volatile bool     // it reads the clock
	zone     *time.Location
}

// exprFault is what is wrong with an expression, at a byte of it.
type exprFault struct {
	offset int
	what   string
	fix    string
}

func (f *exprFault) Error() string { return f.what }

// exprUse is where an expression stands.
type exprUse uint8

const (
	useValue exprUse = iota
	useRule          // it has to be true or false
	useWhen          // a rule about a change, which may ask what becomes of a column
)

// compileExpr compiles an expression twice: once as written against the columns' types, so that typos and type errors are found, and once with every
// operator replaced by one that knows NULL. Without a table names and types stay unchecked.
func compileExpr(source string, table *connector.Table, use exprUse, zone *time.Location, now func() time.Time) (*program, error) {
	if strings.TrimSpace(source) == "" {
		return nil, &exprFault{what: "the expression is empty"}
	}
	plain := conf.CreateNew()
	plain.MaxNodes = maxNodes
	tree, err := parser.ParseWithConfig(source, plain)
	if err != nil {
		return nil, faultOf(err, source, nil)
	}
	if table != nil {
		if err := checkTypes(tree, source, table, use != useValue); err != nil {
			return nil, err
		}
		if tree, err = parser.ParseWithConfig(source, plain); err != nil {
			return nil, faultOf(err, source, nil)
		}
	}
	t := &nullLogic{source: source, table: table, use: use, funcs: functions(zone, now), bound: map[string]int{}, seen: map[string]bool{}}
	tree.Node = t.node(tree.Node)
	if t.err != nil {
		return nil, t.err
	}
	loose := conf.New(map[string]any{})
	loose.Strict = false
	loose.Functions = t.funcs
	if _, err := checker.Check(tree, loose); err != nil {
		return nil, faultOf(err, source, nil)
	}
	code, err := exprcompiler.Compile(tree, loose)
	if err != nil {
		return nil, faultOf(err, source, nil)
	}
	p := &program{code: code, columns: t.columns, olds: t.olds, volatile: t.volatile, zone: zone}
	for _, c := range t.columns {
		p.keys = append(p.keys, columnPrefix+c)
	}
	return p, nil
}

// checkTypes runs expr's own checker with the columns as variables of their Go types.
func checkTypes(tree *parser.Tree, source string, table *connector.Table, wantBool bool) error {
	env := make(types.Map, len(table.Columns))
	for _, c := range table.Columns {
		env[c.Name] = typeOf(c.Kind)
	}
	strict := conf.New(env)
	strict.Strict = true
	strict.Functions = conf.FunctionsTable{becomesName: {Name: becomesName, Types: []reflect.Type{reflect.TypeFor[func(any, any) bool]()}}}
	typ, err := checker.Check(tree, strict)
	if err != nil {
		return faultOf(err, source, table)
	}
	if wantBool && typ != nil && typ.Kind() != reflect.Bool && typ.Kind() != reflect.Interface {
		return &exprFault{what: fmt.Sprintf("the rule gives %s, not true or false", typ), fix: "compare it with something"}
	}
	return nil
}

// typeOf is the Go type a kind has inside expressions; Any for what can be anything.
func typeOf(k connector.ValueKind) types.Type {
	switch k {
	case connector.KindBool:
		return types.Bool
	case connector.KindInt:
		return types.Int
	case connector.KindFloat, connector.KindDecimal:
		return types.Float64
	case connector.KindDate, connector.KindTimestamp, connector.KindTimestampTZ:
		return types.TypeOf(time.Time{})
	case connector.KindArray:
		return types.Array(types.Any)
	case connector.KindJSON, connector.KindNull:
		return types.Any
	}
	return types.String
}

// faultOf turns expr's error into a fault with a byte offset and, for an unknown name, the nearest known one.
func faultOf(err error, source string, table *connector.Table) error {
	var fe *file.Error
	if !errors.As(err, &fe) {
		return &exprFault{what: err.Error()}
	}
	f := &exprFault{offset: byteOffset(source, fe.From), what: fe.Message}
	if name, ok := strings.CutPrefix(fe.Message, "unknown name "); ok {
		f.what = fmt.Sprintf("there is no column or function %q", name)
		var known []string
		if table != nil {
			f.what += " in " + table.Name
			known = columnNames(table)
		}
		f.fix = meant(name, known, builtin.Names)
	} else if strings.Contains(fe.Message, "mismatched types") {
		switch {
		case strings.Contains(fe.Message, "time.Time"):
			f.fix = `write a date as date("2026-01-31")`
		case strings.Contains(fe.Message, "string"):
			f.fix = "convert one side with int(), float() or string()"
		}
	}
	return f
}

// byteOffset turns expr's offset in characters into bytes.
func byteOffset(s string, runes int) int {
	at := 0
	for ; runes > 0 && at < len(s); runes-- {
		_, n := utf8.DecodeRuneInString(s[at:])
		at += n
	}
	return at
}

func columnNames(t *connector.Table) []string {
	names := make([]string, len(t.Columns))
	for i := range t.Columns {
		names[i] = t.Columns[i].Name
	}
	return names
}

// evaluator is what one run needs; evaluators are pooled because a vm's stack is worth keeping.
type evaluator struct {
	vm  vm.VM
	env map[string]any
}

var evaluators = sync.Pool{New: func() any { return &evaluator{env: make(map[string]any)} }}

// absentError says which column's absence kept an expression from being evaluated.
type absentError struct{ column string }

func (e *absentError) Error() string { return fmt.Sprintf("column %q is not in the change", e.column) }

// run evaluates the program over a row; cols are the row's indexes of the program's columns. A column the row does not know gives an *absentError.
func (p *program) run(r connector.Row, cols []int) (any, error) {
	return p.evaluate(func(n int) (connector.Value, bool, error) { return r.Value(cols[n]) }, nil)
}

// evaluate runs the program over the values that column gives for the n-th of its columns. old puts what stood in the columns before into the environment.
func (p *program) evaluate(column func(n int) (v connector.Value, ok bool, err error), old func(env map[string]any) error) (any, error) {
	e := evaluators.Get().(*evaluator)
	defer func() {
		clear(e.env)
		evaluators.Put(e)
	}()
	for n := range p.columns {
		v, ok, err := column(n)
		if !ok {
			return nil, &absentError{column: p.columns[n]}
		}
		if err != nil {
			return nil, fmt.Errorf("decode column %q", p.columns[n])
		}
		g, err := goValue(v, p.zone)
		if err != nil {
			return nil, fmt.Errorf("read column %q: %w", p.columns[n], err)
		}
		e.env[p.keys[n]] = g
	}
	if old != nil {
		if err := old(e.env); err != nil {
			return nil, err
		}
	}
	out, err := e.vm.Run(p.code, e.env)
	if err != nil {
		var lost *oldError
		if operatorOf(err, &lost) {
			return nil, lost
		}
		return nil, errors.New("the expression cannot be evaluated for this row: " + plainMessage(err))
	}
	return out, nil
}

// operatorOf finds an error of one of the operators in what the virtual machine made of it.
func operatorOf[E error](err error, target *E) bool {
	if errors.As(err, target) {
		return true
	}
	var fe *file.Error
	return errors.As(err, &fe) && fe.Prev != nil && errors.As(fe.Prev, target)
}

// plainMessage is the kind of a run-time error without the values that expr puts into some of its messages: notes and logs never hold row values.
func plainMessage(err error) string {
	var oe *operatorError
	if operatorOf(err, &oe) {
		return oe.what
	}
	return "a function or operator does not accept its value"
}

// truth is the third-valued result of a rule.
type truth uint8

const (
	unknown truth = iota
	no
	yes
)

// test runs a rule. A column that is absent gives unknown and its *absentError; NULL gives unknown without an error.
func (p *program) test(r connector.Row, cols []int) (truth, error) {
	return truthOf(p.run(r, cols))
}

func truthOf(v any, err error) (truth, error) {
	if err != nil {
		return unknown, err
	}
	switch b := v.(type) {
	case bool:
		if b {
			return yes, nil
		}
		return no, nil
	case nil:
		return unknown, nil
	}
	return unknown, errors.New("the rule gave neither true nor false")
}
