package mapping

import (
	"bytes"
	"fmt"
	"sync/atomic"
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

// attribute is what is known of a custom attribute's type. It is shared by all fields that write it, and may be read and set at any time.
type attribute struct {
	name string
	told atomic.Uint32 // by Braze; AnyType where it told none
	sent atomic.Uint32 // of the values that Braze accepted
}

func (a *attribute) inBraze() connector.AttrType { return connector.AttrType(a.told.Load()) }
func (a *attribute) asSent() connector.AttrType  { return connector.AttrType(a.sent.Load()) }

// attribute gives the custom attribute of a name.
func (c *compiler) attribute(name string) *attribute {
	a := c.attrs[name]
	if a == nil {
		a = &attribute{name: name}
		a.told.Store(uint32(c.cfg.Types[name]))
		a.sent.Store(uint32(c.cfg.Sent[name]))
		c.attrs[name] = a
	}
	return a
}

// attrType says what is known of an attribute's type before a row is seen.
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
	f.attr = c.attribute(name)
	return t
}

// typeFault is the warning about an attribute that has another type in Braze than all its values here will have.
func (f *field) typeFault() (connector.Fault, bool) {
	if f == nil || f.attr == nil || f.def == nil || f.def.Type == connector.AnyType || accepts(f.attr.inBraze(), f.def.Type) {
		return connector.Fault{}, false
	}
	return connector.Fault{Path: f.path, Warn: true,
		What: fmt.Sprintf("%q has the type %s in Braze, and the values here are of the type %s: Braze would ignore them, so they are left out", f.attr.name, f.attr.inBraze(), f.def.Type),
		Fix:  "declare the type that Braze has, choose another attribute, or change its type in Braze's dashboard"}, true
}

// SetTypes tells which types Braze's custom attributes have (GET /custom_attributes), and gives a warning for each field whose values have another. It counts
// from then on, in the place of Config.Types, and may be called at any time.
func (m *Mapper) SetTypes(types map[string]connector.AttrType) []connector.Fault {
	for _, a := range m.attrs {
		a.told.Store(uint32(types[a.name]))
	}
	var faults []connector.Fault
	for _, f := range m.fields {
		if fault, bad := f.typeFault(); bad {
			faults = append(faults, fault)
		}
	}
	return faults
}

// Accepted learns the types of what Braze accepted, which may be parts of values; Config.Learned hears of those that are new. It may be called at any time.
func (m *Mapper) Accepted(fields []connector.Field) {
	for i := range fields {
		def := fields[i].Def
		if def.Order >= len(m.fields) || m.fields[def.Order] == nil || m.fields[def.Order].def != def {
			continue
		}
		f := m.fields[def.Order]
		known := f.attr.asSent()
		if known != connector.AnyType && f.declared == "" || f.attr.inBraze() != connector.AnyType {
			continue
		}
		if t := f.typeSent(fields[i].JSON); t != connector.AnyType && t != known && f.attr.sent.CompareAndSwap(uint32(known), uint32(t)) {
			m.cfg.Learned(f.attr.name, t)
		}
	}
}

// typeSent is the type that an attribute has after a value was sent, AnyType where the value does not tell: text that looks like a time is text in an attribute
// that had text before, and a member of an object may be one of an array's operations.
func (f *field) typeSent(b []byte) connector.AttrType {
	t := encodedType(b)
	switch {
	case f.def.Array == connector.ArrayCollect || f.def.Array == connector.ArrayAddRemove && t == connector.ObjectType:
		return connector.ArrayType
	case f.def.Array == connector.ArrayBy && t == connector.ObjectType:
		return connector.ObjectsType
	case t == connector.TimeType && f.def.Type != connector.TimeType:
		return connector.AnyType
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

// drifts gives the note for a value that Braze would ignore for its type, "" for any other. Where Braze told no type, those accepted before stand for it,
// unless the settings declare one.
func (f *field) drifts(value []byte) string {
	if f.attr == nil {
		return ""
	}
	told, sent := f.attr.inBraze(), f.attr.asSent()
	if told == connector.AnyType && (sent == connector.AnyType || f.declared != "") {
		return ""
	}
	t := encodedType(value)
	if f.collect { // one value of the array
		t = connector.ArrayType
	}
	switch {
	case told != connector.AnyType && !accepts(told, t):
		return fmt.Sprintf("Braze has the attribute as %s and would ignore a value of the type %s", told, t)
	case told == connector.AnyType && !accepts(sent, t):
		return fmt.Sprintf("the attribute was sent as %s before, so that Braze would ignore a value of the type %s; declare the type if it is wanted", sent, t)
	}
	return ""
}
