package mapping

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strings"
	"unicode/utf8"

	"brazecdc/connector"
)

// nullPolicy is what a field's NULL does.
type nullPolicy uint8

const (
	nullClear nullPolicy = iota
	nullKeep
	nullValue
)

// field is one compiled line of fields or custom. Exactly one of column, prog and constant says where its value comes from.
type field struct {
	def      *connector.FieldDef
	path     string
	column   string
	prog     *program
	constant []byte // encoded
	convert  converter
	declared string // type
	set      settings
	null     nullPolicy
	standin  []byte // encoded value of on_null: {value: x}
	nullLike bool   // blank text is NULL
}

// maxName is how long an attribute's name may be, in characters and in bytes (Braze docs, "Custom attribute data types"; measured for bytes).
const (
	maxName      = 255
	maxNameBytes = 479
)

// field compiles one line; preset tells fields from custom. It gives nil where a fault keeps the line from being used.
func (c *compiler) field(mo *model, fm *connector.FieldMap, isPreset bool) *field {
	faults := len(c.faults)
	f := &field{path: fm.Path, column: fm.Column, declared: fm.Type, set: settings{zone: c.cfg.TimeZone}}
	name := fm.Name
	if isPreset {
		c.preset(f, fm)
	} else {
		name = strings.TrimSpace(name)
		c.custom(f, name, fm)
	}
	c.country(f, fm, isPreset)
	c.policies(f, fm)
	c.origin(mo, f, fm)
	if f.convert != nil {
		c.standin(f, fm)
	}
	if len(c.faults) > faults && c.failedSince(faults) {
		return nil
	}
	key, err := json.Marshal(name)
	if err != nil {
		c.fault(fm.Path, "the name cannot be written as JSON", "")
		return nil
	}
	f.def = &connector.FieldDef{Name: name, JSON: append(key, ':'), Model: mo.index, Order: c.order, Hash: fieldHash(fm, c.cfg.TimeZone.String())}
	c.order++
	return f
}

// failedSince tells whether a fault that is more than a warning was added.
func (c *compiler) failedSince(n int) bool {
	for _, f := range c.faults[n:] {
		if !f.Warn {
			return true
		}
	}
	return false
}

func (c *compiler) preset(f *field, fm *connector.FieldMap) {
	p, ok := presets[fm.Name]
	switch {
	case !ok && reserved[fm.Name] != "":
		c.fault(fm.Path, fmt.Sprintf("%q is no profile field", fm.Name), fmt.Sprintf("it is set under %s", reserved[fm.Name]))
	case !ok:
		fix := meant(fm.Name, presetNames())
		if fix == "" {
			fix = "put it under custom"
		}
		c.fault(fm.Path, fmt.Sprintf("Braze has no profile field %q", fm.Name), fix)
	case p.later:
		c.fault(fm.Path, fmt.Sprintf("the field %q cannot be mapped by this version yet", fm.Name), "remove the line")
	case fm.Type != "":
		c.fault(fm.Path, fmt.Sprintf("the profile field %q has a type of its own", fm.Name), "remove type")
	}
	f.convert = p.convert
}

func (c *compiler) custom(f *field, name string, fm *connector.FieldMap) {
	lower := strings.ToLower(name)
	_, isPreset := presets[name]
	_, isReserved := reserved[name]
	switch {
	case name == "":
		c.fault(fm.Path, "a custom attribute needs a name", "")
	case isPreset:
		c.fault(fm.Path, fmt.Sprintf("%q is one of Braze's own profile fields", name), "put it under fields")
	case isReserved:
		c.fault(fm.Path, fmt.Sprintf("%q is reserved by Braze", name), "choose another name")
	case utf8.RuneCountInString(name) > maxName || len(name) > maxNameBytes:
		c.fault(fm.Path, fmt.Sprintf("the name has %d characters in %d bytes; Braze takes %d characters and %d bytes",
			utf8.RuneCountInString(name), len(name), maxName, maxNameBytes), "choose a shorter name")
	case name[0] == '$':
		c.fault(fm.Path, `a name that begins with "$" is refused by Braze`, "choose another name")
	case name != fm.Name:
		c.warn(fm.Path, "Braze drops blanks around a name", "remove them")
	}
	if _, ok := presets[lower]; ok && !isPreset {
		c.warn(fm.Path, fmt.Sprintf("%q is written like the profile field %q, and would become a custom attribute beside it", name, lower), "put "+lower+" under fields")
	}
	conv, ok := converters[fm.Type]
	if !ok {
		c.fault(fm.Path, fmt.Sprintf("there is no type %q", fm.Type), "use string, number, bool, time, array or object")
	}
	f.convert = conv
}

func (c *compiler) country(f *field, fm *connector.FieldMap, isPreset bool) {
	if fm.Country == "" {
		return
	}
	if fm.Name != "phone" || !isPreset {
		c.fault(fm.Path, "country belongs to the profile field phone", "remove it")
		return
	}
	code := strings.ToUpper(fm.Country)
	if d, ok := dialings[code]; ok {
		f.set.country = &d
		return
	}
	if b, _, ok := appendCountry(nil, code); !ok || string(b) != `"`+code+`"` {
		c.fault(fm.Path, fmt.Sprintf("%q is no country of ISO 3166", fm.Country), `use two letters, "DE"`)
		return
	}
	c.warn(fm.Path, "national phone numbers of "+code+" cannot be made international; only numbers with + are sent", "")
}

func (c *compiler) policies(f *field, fm *connector.FieldMap) {
	switch fm.OnNull {
	case "", "clear":
	case "keep":
		f.null = nullKeep
	case "value":
		f.null = nullValue
	default:
		c.fault(fm.Path, fmt.Sprintf("on_null cannot be %q", fm.OnNull), "use clear, keep or {value: x}")
	}
	switch fm.Blank {
	case "", "keep":
	case "null_like":
		f.nullLike = true
	default:
		c.fault(fm.Path, fmt.Sprintf("blank cannot be %q", fm.Blank), "use keep or null_like")
	}
	if fm.Collect {
		c.fault(fm.Path, "collect is not run by this version yet", "remove it")
	}
	if fm.Array != "" && fm.Array != "replace" {
		c.fault(fm.Path, fmt.Sprintf("array: %s is not run by this version yet", fm.Array), "use replace")
	}
}

// origin compiles where the value comes from.
func (c *compiler) origin(mo *model, f *field, fm *connector.FieldMap) {
	n := 0
	for _, set := range []bool{fm.Column != "", fm.Expr != "", fm.HasValue} {
		if set {
			n++
		}
	}
	if n != 1 {
		c.fault(fm.Path, "a field takes exactly one of a column, an expression, a value", "")
		return
	}
	switch {
	case fm.Column != "":
		f.set.never = c.sentColumn(mo, fm.Column, fm.Path)
	case fm.Expr != "":
		f.prog = c.expr(mo, fm.Expr, fm.Path+".expr", false)
		if f.prog != nil {
			c.sentExpr(mo, f.prog, fm.Path+".expr")
		}
	default:
		if f.convert == nil {
			return
		}
		b, why := encodeConstant(f, fm.Value)
		if why != "" {
			c.fault(fm.Path, "the value cannot be sent: "+why, "")
		}
		f.constant = b
	}
}

func (c *compiler) standin(f *field, fm *connector.FieldMap) {
	if f.null != nullValue {
		return
	}
	b, why := encodeConstant(f, fm.Default)
	if why != "" {
		c.fault(fm.Path, "the value for NULL cannot be sent: "+why, "")
	}
	f.standin = b
}

// encodeConstant converts a constant as the field converts its column's values.
func encodeConstant(f *field, text string) (encoded []byte, why string) {
	v, err := constantValue(text)
	if err != nil {
		return nil, err.Error()
	}
	if v.Kind == connector.KindNull {
		return []byte("null"), ""
	}
	b, note, ok := f.convert(&f.set, nil, v)
	if !ok {
		return nil, note
	}
	return b, ""
}

// fieldHash is the fingerprint of a field's settings, the same in every process.
func fieldHash(fm *connector.FieldMap, zone string) uint64 {
	h := fnv.New64a()
	for _, s := range []string{
		fm.Name, fm.Column, fm.Expr, fm.Value, fmt.Sprint(fm.HasValue), fm.Type, fm.OnNull, fm.Default, fm.Blank, fm.Country, fm.Nested,
		fm.Array, fm.ArrayBy, fmt.Sprint(fm.Collect), zone,
	} {
		fmt.Fprintf(h, "%d:%s;", len(s), s)
	}
	return h.Sum64()
}
