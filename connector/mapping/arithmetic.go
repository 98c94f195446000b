package mapping

import (
	"math"
	"math/bits"
	"time"
)

// arithmetic is +, -, *, /, % and ** of two values that are not NULL. Integers stay integers but for / and **; an overflow and a division by zero
// are errors, as in SQL, so the rule or field is unknown for that row.
func arithmetic(op string, a, b any) (any, error) {
	switch x := a.(type) {
	case string:
		if y, ok := b.(string); ok && op == "add" {
			return x + y, nil
		}
		return nil, opErr("text can only be joined with text")
	case time.Time:
		return timeArithmetic(op, x, b)
	case time.Duration:
		return durationArithmetic(op, x, b)
	case int:
		switch y := b.(type) {
		case int:
			return intArithmetic(op, x, y)
		case time.Duration:
			if op == "mul" {
				return durationArithmetic(op, y, x)
			}
		}
	}
	x, ok1 := floatOf(a)
	y, ok2 := floatOf(b)
	if !ok1 || !ok2 {
		return nil, opErr("values of these kinds cannot be calculated with")
	}
	return floatArithmetic(op, x, y)
}

func intArithmetic(op string, x, y int) (any, error) {
	switch op {
	case "add":
		if s := x + y; (s > x) == (y > 0) {
			return s, nil
		}
	case "sub":
		if d := x - y; (d < x) == (y > 0) {
			return d, nil
		}
	case "mul":
		hi, lo := bits.Mul64(magnitude(x), magnitude(y))
		if hi == 0 && lo <= math.MaxInt64 {
			return x * y, nil
		}
	case "mod":
		if y == 0 {
			return nil, opErr("division by zero")
		}
		return x % y, nil
	default:
		return floatArithmetic(op, float64(x), float64(y))
	}
	return nil, opErr("an integer result is out of range")
}

func magnitude(x int) uint64 {
	if x < 0 {
		return uint64(-(x + 1)) + 1
	}
	return uint64(x)
}

func floatArithmetic(op string, x, y float64) (any, error) {
	switch op {
	case "add":
		return x + y, nil
	case "sub":
		return x - y, nil
	case "mul":
		return x * y, nil
	case "div":
		if y == 0 {
			return nil, opErr("division by zero")
		}
		return x / y, nil
	case "pow":
		return math.Pow(x, y), nil
	}
	return nil, opErr("%% takes integers")
}

func timeArithmetic(op string, x time.Time, b any) (any, error) {
	switch y := b.(type) {
	case time.Duration:
		switch op {
		case "add":
			return x.Add(y), nil
		case "sub":
			return x.Add(-y), nil
		}
	case time.Time:
		if op == "sub" {
			return x.Sub(y), nil
		}
	}
	return nil, opErr("a time takes a duration")
}

func durationArithmetic(op string, x time.Duration, b any) (any, error) {
	switch y := b.(type) {
	case time.Duration:
		switch op {
		case "add":
			return x + y, nil
		case "sub":
			return x - y, nil
		}
	case time.Time:
		if op == "add" {
			return y.Add(x), nil
		}
	default:
		if n, ok := floatOf(b); ok && op == "mul" {
			return time.Duration(float64(x) * n), nil
		}
	}
	return nil, opErr("a duration cannot be calculated with that")
}
