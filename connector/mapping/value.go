package mapping

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"brazecdc/connector"
)

// goValue is a column's value as expressions see it. Decimals become floats here, and only here; dates and timestamps without zone are read in
// zone; times of day, intervals and bytes are text.
func goValue(v connector.Value, zone *time.Location) (any, error) {
	switch v.Kind {
	case connector.KindNull:
		return nil, nil
	case connector.KindBool:
		return v.Int != 0, nil
	case connector.KindInt:
		return int(v.Int), nil
	case connector.KindFloat:
		return v.Float, nil
	case connector.KindDecimal:
		f, err := strconv.ParseFloat(v.Str, 64)
		if err != nil && !math.IsInf(f, 0) {
			return nil, errors.New("the number is not understood")
		}
		return f, nil
	case connector.KindDate:
		return dateTime(v.Int, zone), nil
	case connector.KindTime:
		return string(appendClock(nil, v.Int)), nil
	case connector.KindTimestamp:
		return microTime(localMicros(v.Int, zone)).In(zone), nil
	case connector.KindTimestampTZ:
		return microTime(v.Int).UTC(), nil
	case connector.KindJSON:
		return decodeJSON(v.Str)
	case connector.KindBytes:
		return `\x` + hex.EncodeToString([]byte(v.Str)), nil
	case connector.KindArray:
		list := make([]any, len(v.List))
		for i := range v.List {
			e, err := goValue(v.List[i], zone)
			if err != nil {
				return nil, err
			}
			list[i] = e
		}
		return list, nil
	}
	return v.Str, nil
}

// farFuture and farPast stand for the infinities of dates and timestamps in comparisons; no field can carry them.
var (
	farFuture = time.Date(300000, 1, 1, 0, 0, 0, 0, time.UTC)
	farPast   = time.Date(-300000, 1, 1, 0, 0, 0, 0, time.UTC)
)

func microTime(us int64) time.Time {
	switch us {
	case connector.PosInfinity:
		return farFuture
	case connector.NegInfinity:
		return farPast
	}
	return time.UnixMicro(us)
}

func dateTime(days int64, zone *time.Location) time.Time {
	switch {
	case days == connector.PosInfinity || days > 1<<30:
		return farFuture
	case days == connector.NegInfinity || days < -1<<30:
		return farPast
	}
	return microTime(localMicros(days*dayMicros, zone)).In(zone)
}

// decodeJSON reads a JSON column for expressions: whole numbers as int, others as float.
func decodeJSON(s string) (any, error) {
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, errors.New("the JSON is not valid")
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("the JSON is not valid")
	}
	return plainNumbers(v), nil
}

func plainNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := strconv.Atoi(string(v)); err == nil {
			return i
		}
		f, _ := v.Float64()
		return f
	case []any:
		for i := range v {
			v[i] = plainNumbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = plainNumbers(v[k])
		}
	}
	return v
}

// fromGo is the result of an expression as a value, so that it goes through the same conversion as a column.
func fromGo(a any) (connector.Value, error) {
	switch x := a.(type) {
	case nil:
		return connector.Value{}, nil
	case bool:
		v := connector.Value{Kind: connector.KindBool}
		if x {
			v.Int = 1
		}
		return v, nil
	case int:
		return connector.Value{Kind: connector.KindInt, Int: int64(x)}, nil
	case float64:
		return connector.Value{Kind: connector.KindFloat, Float: x}, nil
	case string:
		return connector.Value{Kind: connector.KindText, Str: x}, nil
	case time.Time:
		if y := x.Year(); y < -9999 || y > 99999 {
			return connector.Value{Kind: connector.KindTimestampTZ, Int: connector.PosInfinity}, nil
		}
		return connector.Value{Kind: connector.KindTimestampTZ, Int: x.UnixMicro()}, nil
	case time.Duration:
		return connector.Value{Kind: connector.KindText, Str: x.String()}, nil
	}
	if f, ok := floatOf(a); ok {
		return connector.Value{Kind: connector.KindFloat, Float: f}, nil
	}
	b, err := json.Marshal(a)
	if err != nil {
		return connector.Value{}, errors.New("the expression's result has no JSON form")
	}
	return connector.Value{Kind: connector.KindJSON, Str: string(b)}, nil
}

// constantValue is a constant of the configuration, given as JSON text.
func constantValue(text string) (connector.Value, error) {
	a, err := decodeJSON(text)
	if err != nil {
		return connector.Value{}, err
	}
	switch a.(type) {
	case map[string]any, []any:
		return connector.Value{Kind: connector.KindJSON, Str: text}, nil
	case int, float64:
		return connector.Value{Kind: connector.KindDecimal, Str: strings.TrimSpace(text)}, nil
	}
	return fromGo(a)
}

// scalarText is a scalar as text: integers as their digits, decimals without trailing zeros, times as ISO 8601. ok is false for bytes, lists,
// JSON and what has no finite form.
func scalarText(v connector.Value, zone *time.Location) (s string, ok bool) {
	switch v.Kind {
	case connector.KindBool:
		return strconv.FormatBool(v.Int != 0), true
	case connector.KindInt:
		return strconv.FormatInt(v.Int, 10), true
	case connector.KindFloat:
		if math.IsNaN(v.Float) || math.IsInf(v.Float, 0) {
			return "", false
		}
		return string(appendFloat(nil, v.Float)), true
	case connector.KindDecimal:
		d, ok := trimDecimal(v.Str)
		return d, ok
	case connector.KindText, connector.KindTimeTZ, connector.KindInterval:
		return v.Str, true
	case connector.KindDate:
		b, ok := appendDate(nil, v.Int)
		return string(b), ok
	case connector.KindTime:
		return string(appendClock(nil, v.Int)), true
	case connector.KindTimestamp:
		b, ok := appendInstant(nil, localMicros(v.Int, zone))
		return string(b), ok
	case connector.KindTimestampTZ:
		b, ok := appendInstant(nil, v.Int)
		return string(b), ok
	}
	return "", false
}
