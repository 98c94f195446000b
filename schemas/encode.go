package schemas

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"
)

// Op is what happened to a row, in the order of the schema's symbols.
type Op int

// The operations of a RowChange.
const (
	Insert Op = iota
	Update
	Delete
	Snapshot
	Truncate
)

// RowChange is one change of one row, as row_change.avsc describes it. The maps go from column to value; a value is nil, a bool, an int, int32 or int64, a float64, a
// string, []byte, json.RawMessage, a time.Time (a moment), a Decimal, Date, Time, Timestamp or Interval, or a slice of these ([]any).
type RowChange struct {
	Op     Op
	Time   time.Time
	Key    map[string]any
	OldKey map[string]any // nil unless an update changed the key
	Before map[string]any // nil when nothing is known of the old row
	After  map[string]any // nil in a delete and a truncate
}

// The types of values that Go has no type of its own for.
type (
	// Decimal is exact digits: "-12.50", "NaN", "Infinity", "-Infinity".
	Decimal string
	// Date is in days since 1970-01-01.
	Date int32
	// Time is in microseconds since midnight.
	Time int64
	// Timestamp is in microseconds since 1970-01-01 00:00 on a clock without zone.
	Timestamp int64
	// Interval is an ISO 8601 duration.
	Interval string
)

// The branches of the schema's union of values.
const (
	branchNull = iota
	branchBool
	branchLong
	branchDouble
	branchString
	branchBytes
	branchDecimal
	branchDate
	branchTime
	branchTimestamp
	branchTimestampTZ
	branchInterval
	branchJSON
	branchList
)

// Append appends the change in Avro's single-object encoding, which needs no schema registry: a record's value, ready to be written to a topic.
func (c RowChange) Append(dst []byte) ([]byte, error) {
	return c.AppendBinary(append(dst, RowChangeHeader...))
}

// AppendBinary appends the change in Avro without anything before it, for those who put a schema registry's prefix there themselves.
func (c RowChange) AppendBinary(dst []byte) ([]byte, error) {
	if c.Op < Insert || c.Op > Truncate {
		return dst, fmt.Errorf("encode a row change: operation %d is not known", c.Op)
	}
	if len(c.Key) == 0 && c.Op != Truncate {
		return dst, fmt.Errorf("encode a row change: it has no key")
	}
	dst = binary.AppendVarint(dst, int64(c.Op))
	dst = binary.AppendVarint(dst, c.Time.UnixMicro())
	dst, err := appendMap(dst, c.Key)
	for _, m := range []map[string]any{c.OldKey, c.Before, c.After} {
		switch {
		case err != nil:
			return dst, err
		case m == nil:
			dst = append(dst, 0)
		default:
			dst, err = appendMap(append(dst, 2), m)
		}
	}
	return dst, err
}

// appendMap appends columns in the order of their names, so that equal changes are equal bytes.
func appendMap(dst []byte, m map[string]any) ([]byte, error) {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	if len(names) > 0 {
		dst = binary.AppendVarint(dst, int64(len(names)))
	}
	for _, name := range names {
		dst = appendString(dst, name)
		var err error
		if dst, err = appendValue(dst, m[name], 0); err != nil {
			return dst, fmt.Errorf("encode column %q: %w", name, err)
		}
	}
	return append(dst, 0), nil
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendVarint(dst, int64(len(s))), s...)
}

func branch(dst []byte, n int64) []byte { return binary.AppendVarint(dst, n) }

// maxDepth bounds lists in lists, as the decoder does.
const maxDepth = 32

func appendValue(dst []byte, v any, depth int) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return branch(dst, branchNull), nil
	case bool:
		return append(branch(dst, branchBool), map[bool]byte{true: 1}[v]), nil
	case int:
		return binary.AppendVarint(branch(dst, branchLong), int64(v)), nil
	case int32:
		return binary.AppendVarint(branch(dst, branchLong), int64(v)), nil
	case int64:
		return binary.AppendVarint(branch(dst, branchLong), v), nil
	case float64:
		return binary.LittleEndian.AppendUint64(branch(dst, branchDouble), math.Float64bits(v)), nil
	case string:
		return appendString(branch(dst, branchString), v), nil
	case []byte:
		return appendString(branch(dst, branchBytes), string(v)), nil
	case Decimal:
		return appendString(branch(dst, branchDecimal), string(v)), nil
	case Date:
		return binary.AppendVarint(branch(dst, branchDate), int64(v)), nil
	case Time:
		return binary.AppendVarint(branch(dst, branchTime), int64(v)), nil
	case Timestamp:
		return binary.AppendVarint(branch(dst, branchTimestamp), int64(v)), nil
	case time.Time:
		return binary.AppendVarint(branch(dst, branchTimestampTZ), v.UnixMicro()), nil
	case Interval:
		return appendString(branch(dst, branchInterval), string(v)), nil
	case json.RawMessage:
		if !json.Valid(v) {
			return dst, fmt.Errorf("the JSON is not valid")
		}
		return appendString(branch(dst, branchJSON), string(v)), nil
	case []any:
		if depth >= maxDepth {
			return dst, fmt.Errorf("lists are nested deeper than %d", maxDepth)
		}
		dst = branch(dst, branchList)
		if len(v) > 0 {
			dst = binary.AppendVarint(dst, int64(len(v)))
		}
		for _, e := range v {
			var err error
			if dst, err = appendValue(dst, e, depth+1); err != nil {
				return dst, err
			}
		}
		return append(dst, 0), nil
	}
	return dst, fmt.Errorf("a %T is none of the types a row change carries", v)
}
