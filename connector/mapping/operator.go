package mapping

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/conf"
)

// operatorError is an error of an operator; its text holds no value.
type operatorError struct{ what string }

func (e *operatorError) Error() string { return e.what }

func opErr(format string, args ...any) error { return &operatorError{fmt.Sprintf(format, args...)} }

// strict makes a function of two values that gives NULL where either is NULL.
func strict(f func(a, b any) (any, error)) func(...any) (any, error) {
	return func(args ...any) (any, error) {
		if isNull(args[0]) || isNull(args[1]) {
			return nil, nil
		}
		return f(args[0], args[1])
	}
}

func one(f func(a any) (any, error)) func(...any) (any, error) {
	return func(args ...any) (any, error) { return f(args[0]) }
}

// functions is the table of everything the rewritten trees call: the operators, and expr's own functions made NULL-aware, each under "_" and its name.
func functions(zone *time.Location, now func() time.Time) conf.FunctionsTable {
	t := conf.FunctionsTable{}
	add := func(name string, f func(...any) (any, error)) { t[name] = &builtin.Function{Name: name, Func: f} }
	for _, b := range builtin.Builtins {
		if f := builtinFunc(b); f != nil && !b.Predicate {
			add("_"+b.Name, nullAware(b.Name, f))
		}
	}
	date := builtinFunc(builtin.Builtins[builtin.Index["date"]])
	add("_date", nullAware("date", func(args ...any) (any, error) {
		if len(args) == 1 {
			if d, ok := args[0].(time.Time); ok {
				return d, nil
			}
		}
		return date(append([]any{zone}, args...)...)
	}))
	repeat := builtinFunc(builtin.Builtins[builtin.Index["repeat"]])
	add("_repeat", nullAware("repeat", func(args ...any) (any, error) {
		s, _ := args[0].(string)
		if n, ok := floatOf(args[len(args)-1]); !ok || n < 0 || n*float64(len(s)+1) > maxNested {
			return nil, opErr("repeat makes a text that is too long")
		}
		return repeat(args...)
	}))
	add("_now", func(...any) (any, error) { return now().In(zone), nil })
	add("_isnull", one(func(a any) (any, error) { return isNull(a), nil }))
	add("_true", one(func(a any) (any, error) { b, err := boolOf(a); return b == yes, err }))
	add("_isfalse", one(func(a any) (any, error) { b, err := boolOf(a); return b == no, err }))
	add("_not", one(not))
	add("_and", func(a ...any) (any, error) { return and(a[0], a[1]) })
	add("_or", func(a ...any) (any, error) { return or(a[0], a[1]) })
	add("_eq", strict(func(a, b any) (any, error) { return equal(a, b), nil }))
	add("_ne", strict(func(a, b any) (any, error) { return !equal(a, b), nil }))
	add("_lt", strict(func(a, b any) (any, error) { c, ok, err := order(a, b); return ok && c < 0, err }))
	add("_le", strict(func(a, b any) (any, error) { c, ok, err := order(a, b); return ok && c <= 0, err }))
	add("_gt", strict(func(a, b any) (any, error) { c, ok, err := order(a, b); return ok && c > 0, err }))
	add("_ge", strict(func(a, b any) (any, error) { c, ok, err := order(a, b); return ok && c >= 0, err }))
	for _, op := range []string{"add", "sub", "mul", "div", "mod", "pow"} {
		add("_"+op, strict(func(a, b any) (any, error) { return arithmetic(op, a, b) }))
	}
	add("_neg", one(func(a any) (any, error) {
		if isNull(a) {
			return nil, nil
		}
		return arithmetic("sub", 0, a)
	}))
	add("_in", strict(in))
	add("_contains", strict(text(func(a, b string) bool { return strings.Contains(a, b) })))
	add("_startsWith", strict(text(strings.HasPrefix)))
	add("_endsWith", strict(text(strings.HasSuffix)))
	add("_matches", strict(matches))
	add("_range", strict(rangeOf))
	add("_get", strict(member))
	add("_becomes", func(a ...any) (any, error) { return becomes(a[0], a[1], a[2]) })
	return t
}

// builtinFunc gives a builtin in its general form, nil where it has none.
func builtinFunc(b *builtin.Function) func(...any) (any, error) {
	switch {
	case b.Func != nil:
		return b.Func
	case b.Fast != nil:
		return func(args ...any) (any, error) { return b.Fast(args[0]), nil }
	case b.Safe != nil:
		return func(args ...any) (any, error) { v, _, err := b.Safe(args...); return v, err }
	}
	return nil
}

// nullAware makes a function give NULL where an argument is NULL; only type() sees it.
func nullAware(name string, f func(...any) (any, error)) func(...any) (any, error) {
	if name == "type" {
		return f
	}
	return func(args ...any) (any, error) {
		for _, a := range args {
			if isNull(a) {
				return nil, nil
			}
		}
		return f(args...)
	}
}

// What stands for an old value where there is none: noOld in a row that is new, an oldError where it is not known.
type noOld struct{}

// oldError says that a change does not tell what stood in a column before.
type oldError struct{ column string }

func (e *oldError) Error() string {
	return fmt.Sprintf("the change does not tell what column %q was before", e.column)
}

// becomes tells whether a column has a value now that it had not before.
func becomes(now, wanted, old any) (any, error) {
	if isNull(now) || isNull(wanted) {
		return nil, nil
	}
	if !equal(now, wanted) {
		return false, nil
	}
	switch old := old.(type) {
	case noOld:
		return true, nil
	case *oldError:
		return nil, old
	}
	return isNull(old) || !equal(old, wanted), nil
}

func isNull(a any) bool { return a == nil }

func boolOf(a any) (truth, error) {
	switch a := a.(type) {
	case nil:
		return unknown, nil
	case bool:
		if a {
			return yes, nil
		}
		return no, nil
	}
	return unknown, opErr("a condition is neither true nor false")
}

func not(a any) (any, error) {
	t, err := boolOf(a)
	switch t {
	case yes:
		return false, err
	case no:
		return true, err
	}
	return nil, err
}

func and(a, b any) (any, error) {
	x, err := boolOf(a)
	y, err2 := boolOf(b)
	if err = errors.Join(err, err2); err != nil {
		return nil, opErr("a condition is neither true nor false")
	}
	switch {
	case x == no || y == no:
		return false, nil
	case x == yes && y == yes:
		return true, nil
	}
	return nil, nil
}

func or(a, b any) (any, error) {
	x, err := boolOf(a)
	y, err2 := boolOf(b)
	if err = errors.Join(err, err2); err != nil {
		return nil, opErr("a condition is neither true nor false")
	}
	switch {
	case x == yes || y == yes:
		return true, nil
	case x == no && y == no:
		return false, nil
	}
	return nil, nil
}

func floatOf(a any) (float64, bool) {
	switch a := a.(type) {
	case int:
		return float64(a), true
	case float64:
		return a, true
	}
	v := reflect.ValueOf(a)
	switch {
	case !v.IsValid() || v.Type() == reflect.TypeOf(time.Duration(0)):
		return 0, false
	case v.CanInt():
		return float64(v.Int()), true
	case v.CanUint():
		return float64(v.Uint()), true
	case v.CanFloat():
		return v.Float(), true
	}
	return 0, false
}

// equal compares numbers by value, times by instant, lists and objects by their parts; values of different kinds are not equal.
func equal(a, b any) bool {
	if x, ok := a.(int); ok {
		if y, ok := b.(int); ok {
			return x == y
		}
	}
	if x, ok := floatOf(a); ok {
		y, ok := floatOf(b)
		return ok && x == y
	}
	switch x := a.(type) {
	case string:
		y, ok := b.(string)
		return ok && x == y
	case bool:
		y, ok := b.(bool)
		return ok && x == y
	case time.Time:
		y, ok := b.(time.Time)
		return ok && x.Equal(y)
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !equal(x[i], y[i]) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(a, b)
}

// order compares two values; ok is false where one is NaN.
func order(a, b any) (c int, ok bool, err error) {
	if x, isInt := a.(int); isInt {
		if y, isInt := b.(int); isInt {
			return compare(x, y), true, nil
		}
	}
	if x, isNum := floatOf(a); isNum {
		if y, isNum := floatOf(b); isNum {
			return compare(x, y), !math.IsNaN(x) && !math.IsNaN(y), nil
		}
	}
	switch x := a.(type) {
	case string:
		if y, is := b.(string); is {
			return strings.Compare(x, y), true, nil
		}
	case time.Time:
		if y, is := b.(time.Time); is {
			return x.Compare(y), true, nil
		}
	case time.Duration:
		if y, is := b.(time.Duration); is {
			return compare(x, y), true, nil
		}
	}
	return 0, false, opErr("values of different kinds have no order")
}

func compare[T int | float64 | time.Duration](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func text(f func(a, b string) bool) func(a, b any) (any, error) {
	return func(a, b any) (any, error) {
		x, ok1 := a.(string)
		y, ok2 := b.(string)
		if !ok1 || !ok2 {
			return nil, opErr("the operator takes text")
		}
		return f(x, y), nil
	}
}

func matches(a, b any) (any, error) {
	s, ok := a.(string)
	if !ok {
		return nil, opErr("matches takes text")
	}
	switch p := b.(type) {
	case *regexp.Regexp:
		return p.MatchString(s), nil
	case string:
		re, err := regexp.Compile(p)
		if err != nil {
			return nil, opErr("the pattern is no regular expression")
		}
		return re.MatchString(s), nil
	}
	return nil, opErr("matches takes a pattern")
}

// in is SQL's IN: true where an element is equal, else unknown where one is NULL, else false. Of an object it asks for a key.
func in(a, b any) (any, error) {
	if m, ok := b.(map[string]any); ok {
		k, ok := a.(string)
		_, has := m[k]
		return ok && has, nil
	}
	v := reflect.ValueOf(b)
	if v.Kind() != reflect.Slice && v.Kind() != reflect.Array {
		return nil, opErr("in takes a list")
	}
	var result any = false
	for i := range v.Len() {
		switch e := v.Index(i).Interface(); {
		case isNull(e):
			result = nil
		case equal(a, e):
			return true, nil
		}
	}
	return result, nil
}

// member is a key of an object or an element of a list; one that is not there is NULL, as ->> has it in Postgres.
func member(a, b any) (any, error) {
	switch x := a.(type) {
	case map[string]any:
		if k, ok := b.(string); ok {
			return x[k], nil
		}
		return nil, nil
	case []any:
		i, ok := b.(int)
		if !ok {
			return nil, opErr("a list is read by number")
		}
		if i < 0 {
			i += len(x)
		}
		if i < 0 || i >= len(x) {
			return nil, nil
		}
		return x[i], nil
	}
	v := reflect.ValueOf(a)
	if i, ok := b.(int); ok && v.Kind() == reflect.Slice {
		if i < 0 {
			i += v.Len()
		}
		if i < 0 || i >= v.Len() {
			return nil, nil
		}
		return v.Index(i).Interface(), nil
	}
	if m := reflect.ValueOf(a); m.Kind() == reflect.Map {
		if e := m.MapIndex(reflect.ValueOf(b)); e.IsValid() {
			return e.Interface(), nil
		}
		return nil, nil
	}
	return nil, opErr("only objects and lists have members")
}

// maxRange bounds a..b, so that a value from a row cannot take the memory.
const maxRange = 10000

func rangeOf(a, b any) (any, error) {
	x, ok1 := a.(int)
	y, ok2 := b.(int)
	if !ok1 || !ok2 {
		return nil, opErr("a range goes from one integer to another")
	}
	if y < x {
		return []any{}, nil
	}
	if uint64(y)-uint64(x) >= maxRange {
		return nil, opErr("a range may have %d elements", maxRange)
	}
	out := make([]any, 0, y-x+1)
	for i := x; i <= y; i++ {
		out = append(out, i)
	}
	return out, nil
}
