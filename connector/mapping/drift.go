package mapping

import (
	"bytes"
	"fmt"
	"time"

	"brazecdc/connector"
)

// declaredTypes are the types that a field's `type` gives its attribute. An array may hold scalars or objects.
var declaredTypes = map[string]connector.AttrType{
	"string": connector.StringType, "number": connector.NumberType, "bool": connector.BoolType, "time": connector.TimeType, "object": connector.ObjectType,
}

// typeOfKind is the type that a column's values have in Braze where no type is declared; AnyType where each row decides.
func typeOfKind(k connector.ValueKind) connector.AttrType {
	switch k {
	case connector.KindBool:
		return connector.BoolType
	case connector.KindInt, connector.KindFloat, connector.KindDecimal:
		return connector.NumberType
	case connector.KindText, connector.KindTime, connector.KindTimeTZ, connector.KindInterval:
		return connector.StringType
	case connector.KindDate, connector.KindTimestamp, connector.KindTimestampTZ:
		return connector.TimeType
	case connector.KindArray:
		return connector.ArrayType
	}
	return connector.AnyType
}

// attrType says what is known of an attribute's type before a row is seen, and warns where Braze has another.
func (c *compiler) attrType(mo *model, f *field, fm *connector.FieldMap, name string) connector.AttrType {
	t := declaredTypes[fm.Type]
	if t == connector.AnyType && fm.Type == "" && fm.Column != "" && mo.table != nil {
		if i := mo.table.Column(fm.Column); i >= 0 {
			t = typeOfKind(mo.table.Columns[i].Kind)
		}
	}
	if fm.HasValue && f.constant != nil {
		t = encodedType(f.constant)
	}
	f.brazeType = c.cfg.Types[name]
	if t != connector.AnyType && !accepts(f.brazeType, t) {
		c.warn(fm.Path, fmt.Sprintf("%q has the type %s in Braze, and the values here are of the type %s: Braze would ignore them, so they are left out", name, f.brazeType, t),
			"declare the type that Braze has, or change it in Braze's dashboard")
	}
	return t
}

// encodedType is the type that Braze gives an encoded value; AnyType for null and for an empty array.
func encodedType(b []byte) connector.AttrType {
	switch b[0] {
	case '"':
		if timeLike(b[1 : len(b)-1]) {
			return connector.TimeType
		}
		return connector.StringType
	case 't', 'f':
		return connector.BoolType
	case '{':
		return connector.ObjectType
	case '[':
		switch {
		case len(b) == 2:
			return connector.AnyType
		case b[1] == '{':
			return connector.ObjectsType
		}
		return connector.ArrayType
	case 'n':
		return connector.AnyType
	}
	return connector.NumberType
}

// accepts tells whether an attribute of a type takes values of another. Text that looks like a time is a time only where the attribute is one.
func accepts(attribute, value connector.AttrType) bool {
	return attribute == connector.AnyType || value == connector.AnyType || attribute == value ||
		attribute == connector.StringType && value == connector.TimeType
}

// timeLike tells whether Braze reads text as a time by itself: it begins like a date and has a year up to 3000 (Braze docs, "Custom attribute data types").
func timeLike(s []byte) bool {
	if len(s) < 10 || len(s) > 40 || bytes.IndexByte(s, '\\') >= 0 || s[0] < '0' || s[0] > '9' {
		return false
	}
	us, ok := parseTime(string(s), time.UTC)
	return ok && time.UnixMicro(us).UTC().Year() <= 3000
}

// drifts gives the note for a value that Braze would ignore for its type, "" for any other.
func (f *field) drifts(value []byte) string {
	if f.brazeType == connector.AnyType {
		return ""
	}
	if t := encodedType(value); !accepts(f.brazeType, t) {
		return fmt.Sprintf("Braze has the attribute as %s and would ignore a value of the type %s", f.brazeType, t)
	}
	return ""
}
