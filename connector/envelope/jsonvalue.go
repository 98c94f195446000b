package envelope

import (
	"fmt"
	"strconv"

	"brazecdc/connector"
)

// maxItems bounds the elements of a list that is decoded; each takes some 60 bytes of memory for as little as one of the record.
const maxItems = 1 << 17

var errItems = fmt.Errorf("the list has more than %d elements", maxItems)

// ofJSON reads a value's JSON text, whose grammar was checked. It may be called concurrently and never panics.
func (t *typ) ofJSON(raw string) (connector.Value, error) {
	if raw == "" {
		return t.wrong("nothing")
	}
	if t.kind == connector.KindJSON && t.form == asText && t.elem == nil && raw[0] != '"' {
		return connector.Value{Kind: t.kind, Str: raw}, nil
	}
	switch raw[0] {
	case 'n':
		return connector.Value{}, nil
	case 't':
		return t.ofBool(true)
	case 'f':
		return t.ofBool(false)
	case '"':
		if t.kind == connector.KindJSON && t.name == mixedName {
			return connector.Value{Kind: t.kind, Str: raw}, nil
		}
		s, err := text(raw)
		if err != nil {
			return connector.Value{}, err
		}
		return t.ofText(s)
	case '[':
		return t.list(raw)
	case '{':
		return t.structure(raw)
	}
	return t.ofNumber(raw)
}

func (t *typ) list(raw string) (connector.Value, error) {
	switch {
	case t.kind == connector.KindText:
		return connector.Value{Kind: t.kind, Str: raw}, nil
	case t.kind != connector.KindArray || t.elem == nil:
		return t.wrong("the list")
	}
	var parts []string
	if _, err := array(raw, 0, 0, &parts); err != nil {
		return connector.Value{}, err
	}
	if len(parts) > maxItems {
		return connector.Value{}, errItems
	}
	v := connector.Value{Kind: connector.KindArray, List: make([]connector.Value, len(parts))}
	for i, p := range parts {
		elem := t.elem
		if p[0] == '[' && elem.kind != connector.KindArray && elem.kind != connector.KindJSON {
			elem = t // one more dimension
		}
		var err error
		if v.List[i], err = elem.ofJSON(p); err != nil {
			return connector.Value{}, err
		}
	}
	return v, nil
}

func (t *typ) structure(raw string) (connector.Value, error) {
	if t.kind == connector.KindText && t.shape == plain {
		return connector.Value{Kind: t.kind, Str: raw}, nil
	}
	var fields []field
	if _, err := object(raw, 0, 0, &fields); err != nil {
		return connector.Value{}, err
	}
	get := func(key string) string {
		for i := range fields {
			if fields[i].key == key {
				return fields[i].val
			}
		}
		return ""
	}
	binary := func(key string) (string, error) {
		s, err := text(get(key))
		if err != nil {
			return "", err
		}
		return asBase64.bytes(s)
	}
	switch {
	case t.shape == pointXY:
		x, xErr := strconv.ParseFloat(get("x"), 64)
		y, yErr := strconv.ParseFloat(get("y"), 64)
		if xErr == nil && yErr == nil {
			return pointText(x, y), nil
		}
	case t.shape == geometry:
		b, err := binary("wkb")
		if err == nil {
			return geometryText(b), nil
		}
	case t.kind == connector.KindDecimal: // VariableScaleDecimal, also where a column's type is only hinted at
		scale, err := strconv.ParseInt(get("scale"), 10, 32)
		b, bErr := binary("value")
		if err == nil && bErr == nil {
			return t.varDecimalOf(scale, b)
		}
	}
	return t.wrong("the structure")
}
