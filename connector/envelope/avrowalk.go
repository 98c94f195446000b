package envelope

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"math"
	"strconv"

	"brazecdc/connector"
)

var errAvro = errors.New("the Avro data is cut off or does not fit its schema")

// long reads a zig-zag varint at i and gives the place behind it, or -1.
func long(s string, i int) (int64, int) {
	if i < len(s) && s[i] < 0x80 {
		b := uint64(s[i])
		return int64(b>>1) ^ -int64(b&1), i + 1
	}
	var u uint64
	for shift := uint(0); i < len(s) && shift < 64; shift += 7 {
		b := s[i]
		i++
		u |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return int64(u>>1) ^ -int64(u&1), i
		}
	}
	return 0, -1
}

// sized reads a length at i and gives where what it counts begins and ends, or -1.
func sized(s string, i int) (from, to int) {
	n, i := long(s, i)
	if i < 0 || n < 0 || n > int64(len(s)-i) {
		return 0, -1
	}
	return i, i + int(n)
}

// skip gives the place behind the value of n at i, or -1.
func (n *node) skip(s string, i, depth int) int {
	switch n.kind {
	case aNull:
		return i
	case aBool:
		if i < len(s) && s[i] <= 1 {
			return i + 1
		}
		return -1
	case aInt:
		v, end := long(s, i)
		if v < math.MinInt32 || v > math.MaxInt32 {
			return -1
		}
		return end
	case aLong:
		_, end := long(s, i)
		return end
	case aFloat, aDouble, aFixed:
		size := n.width()
		if size > len(s)-i {
			return -1
		}
		return i + size
	case aBytes, aString:
		_, end := sized(s, i)
		return end
	case aEnum:
		v, end := long(s, i)
		if v < 0 || v >= int64(len(n.symbols)) {
			return -1
		}
		return end
	}
	if depth >= maxDepth {
		return -1
	}
	switch n.kind {
	case aUnion:
		b, end := n.branch(s, i)
		if end < 0 {
			return -1
		}
		return b.skip(s, end, depth+1)
	case aRecord:
		for f := range n.fields {
			if _, i, _ = n.fields[f].next(s, i, depth+1); i < 0 {
				return -1
			}
		}
		return i
	}
	return n.each(s, i, depth, nil)
}

// next gives where a field's value begins, behind the branch of a union with null, and the place behind it, or -1. It is skip for the layouts that rows are made of.
func (f *nodeField) next(s string, i, depth int) (from, end int, null bool) {
	if i >= len(s) {
		return i, f.node.skip(s, i, depth), false
	}
	if f.null >= 0 {
		switch b := s[i]; b {
		case 0, 2:
			i++
			if int8(b>>1) == f.null {
				return i, i, true
			}
		default:
			b, at := f.node.branch(s, i)
			if at < 0 {
				return i, -1, false
			}
			if i = at; b.kind == aNull {
				return i, i, true
			}
		}
	}
	switch f.in.kind {
	case aLong:
		for k := i; k < len(s) && k < i+9; k++ {
			if s[k] < 0x80 {
				return i, k + 1, false
			}
		}
	case aString, aBytes:
		if i < len(s) && s[i] < 0x80 {
			if end = i + 1 + int(s[i]>>1); s[i]&1 == 0 && end <= len(s) {
				return i, end, false
			}
			return i, -1, false
		}
	case aBool:
		if i < len(s) && s[i] <= 1 {
			return i, i + 1, false
		}
	}
	return i, f.in.skip(s, i, depth), false
}

func (n *node) width() int {
	switch n.kind {
	case aFloat:
		return 4
	case aDouble:
		return 8
	}
	return n.size
}

// branch reads which branch of a union follows.
func (n *node) branch(s string, i int) (*node, int) {
	b, end := long(s, i)
	if end < 0 || b < 0 || b >= int64(len(n.branches)) {
		return nil, -1
	}
	return n.branches[b], end
}

// each walks over the items of an array or map and gives the place behind them, or -1. visit, if there is one, gets the item's key (of a map) and place, and gives the
// place behind it, or -1.
func (n *node) each(s string, i, depth int, visit func(key string, i int) int) int {
	for {
		count, end := long(s, i)
		if end < 0 {
			return -1
		}
		if i = end; count == 0 {
			return i
		}
		if count < 0 {
			if count == math.MinInt64 {
				return -1
			}
			count = -count
			if _, i = long(s, i); i < 0 { // the block's size in bytes
				return -1
			}
		}
		// Every item takes at least a byte. An array of what takes none could claim any number of items, so there must not be one.
		if count > int64(len(s)-i) || (n.kind == aArray && n.items.empty) {
			return -1
		}
		for ; count > 0; count-- {
			key := ""
			if n.kind == aMap {
				from, to := sized(s, i)
				if to < 0 {
					return -1
				}
				key, i = s[from:to], to
			}
			if visit != nil {
				i = visit(key, i)
			} else {
				i = n.items.skip(s, i, depth+1)
			}
			if i < 0 {
				return -1
			}
		}
	}
}

// decode reads a value's bytes, where a cell holds them: behind the branch of a union with null.
func (n *node) decode(raw string) (connector.Value, error) {
	v, end, err := n.value(raw, 0, 0)
	if err == nil && end != len(raw) {
		err = errAvro
	}
	if err != nil {
		return connector.Value{}, err
	}
	return v, nil
}

// value reads the value at i and gives the place behind it.
func (n *node) value(s string, i, depth int) (v connector.Value, end int, err error) {
	if depth >= maxDepth {
		return v, 0, errAvro
	}
	switch n.kind {
	case aUnion:
		b, at := n.branch(s, i)
		if at < 0 {
			return v, 0, errAvro
		}
		if n.null < 0 && b.kind != aNull {
			return b.jsonValue(s, at, depth+1)
		}
		return b.value(s, at, depth+1)
	case aArray:
		return n.listValue(s, i, depth)
	case aMap:
		return n.jsonValue(s, i, depth)
	case aRecord:
		return n.recordValue(s, i, depth)
	}
	if end = n.skip(s, i, depth); end < 0 {
		return v, 0, errAvro
	}
	switch raw := s[i:end]; n.kind {
	case aNull:
	case aBool:
		v, err = n.typ.ofBool(raw == "\x01")
	case aInt, aLong:
		num, _ := long(raw, 0)
		v, err = n.typ.ofInt(num)
	case aFloat:
		v, err = n.typ.ofFloat32(math.Float32frombits(binary.LittleEndian.Uint32([]byte(raw))))
	case aDouble:
		v, err = n.typ.ofFloat64(math.Float64frombits(binary.LittleEndian.Uint64([]byte(raw))))
	case aBytes, aString:
		from, to := sized(raw, 0)
		if n.kind == aString {
			v, err = n.typ.ofText(raw[from:to])
		} else {
			v, err = n.typ.ofBytes(raw[from:to])
		}
	case aFixed:
		v, err = n.typ.ofBytes(raw)
	case aEnum:
		num, _ := long(raw, 0)
		v, err = n.typ.ofText(n.symbols[num])
	}
	return v, end, err
}

func (n *node) listValue(s string, i, depth int) (connector.Value, int, error) {
	v := connector.Value{Kind: connector.KindArray, List: []connector.Value{}}
	var err error
	end := n.each(s, i, depth, func(_ string, at int) int {
		if len(v.List) == maxItems {
			err = errItems
			return -1
		}
		e, behind, failed := n.items.value(s, at, depth+1)
		if failed != nil {
			err = failed
			return -1
		}
		v.List = append(v.List, e)
		return behind
	})
	if end < 0 && err == nil {
		err = errAvro
	}
	return v, end, err
}

// recordValue reads a record: one that has a meaning of its own, else as JSON.
func (n *node) recordValue(s string, i, depth int) (connector.Value, int, error) {
	if n.typ.shape == plain {
		return n.jsonValue(s, i, depth)
	}
	var x, y float64
	var scale int64
	var binary string
	at := i
	for f := range n.fields {
		v, end, err := n.fields[f].node.value(s, at, depth+1)
		if err != nil {
			return v, 0, err
		}
		switch n.fields[f].name {
		case "x":
			x = v.Float
		case "y":
			y = v.Float
		case "scale":
			scale = v.Int
		case "value", "wkb":
			binary = v.Str
		}
		at = end
	}
	switch n.typ.shape {
	case pointXY:
		return pointText(x, y), at, nil
	case geometry:
		return geometryText(binary), at, nil
	}
	v, err := n.typ.varDecimalOf(scale, binary)
	return v, at, err
}

func (n *node) jsonValue(s string, i, depth int) (connector.Value, int, error) {
	b, end, err := n.appendJSON(nil, s, i, depth)
	return connector.Value{Kind: connector.KindJSON, Str: string(b)}, end, err
}

// appendJSON writes the value at i as JSON text.
func (n *node) appendJSON(dst []byte, s string, i, depth int) (out []byte, end int, err error) {
	if depth >= maxDepth {
		return dst, 0, errAvro
	}
	first := true
	put := func(key string, of *node, at int) int {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		if n.kind != aArray {
			dst = append(appendText(dst, key), ':')
		}
		var behind int
		if dst, behind, err = of.appendJSON(dst, s, at, depth+1); err != nil {
			return -1
		}
		return behind
	}
	switch {
	case n.kind == aRecord && n.typ.shape == plain:
		dst = append(dst, '{')
		for f := range n.fields {
			if i = put(n.fields[f].name, n.fields[f].node, i); i < 0 {
				return dst, 0, err
			}
		}
		return append(dst, '}'), i, nil
	case n.kind == aMap || n.kind == aArray:
		dst = append(dst, "[{"[n.kind-aArray])
		end = n.each(s, i, depth, func(key string, at int) int { return put(key, n.items, at) })
		if end < 0 {
			if err == nil {
				err = errAvro
			}
			return dst, 0, err
		}
		return append(dst, "]}"[n.kind-aArray]), end, nil
	case n.kind == aUnion:
		b, at := n.branch(s, i)
		if at < 0 {
			return dst, 0, errAvro
		}
		return b.appendJSON(dst, s, at, depth+1)
	}
	v, end, err := n.value(s, i, depth)
	if err != nil {
		return dst, 0, err
	}
	return appendValue(dst, v), end, nil
}

// appendValue writes a scalar inside a JSON value.
func appendValue(dst []byte, v connector.Value) []byte {
	switch v.Kind {
	case connector.KindNull:
		return append(dst, "null"...)
	case connector.KindBool:
		return strconv.AppendBool(dst, v.Int != 0)
	case connector.KindInt:
		return strconv.AppendInt(dst, v.Int, 10)
	case connector.KindFloat:
		if math.IsNaN(v.Float) || math.IsInf(v.Float, 0) {
			return appendText(dst, floatDigits(v.Float, 64))
		}
		return append(dst, floatDigits(v.Float, 64)...)
	case connector.KindDecimal:
		if c := v.Str[len(v.Str)-1]; c >= '0' && c <= '9' {
			return append(dst, v.Str...)
		}
	case connector.KindJSON:
		return append(dst, v.Str...)
	case connector.KindBytes:
		return appendText(dst, base64.StdEncoding.EncodeToString([]byte(v.Str)))
	}
	return appendText(dst, valueText(v))
}
