package mapping

import (
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

// field is one compiled line of fields or custom. Exactly one of column, pair, prog and constant says where its value comes from.
type field struct {
	def      *connector.FieldDef // nil for a property of an event, which label names
	label    string
	path     string
	column   string
	pair     [2]string // latitude and longitude
	prog     *program
	constant []byte // encoded
	convert  converter
	declared string // type
	set      settings
	null     nullPolicy
	standin  []byte // encoded value of on_null: {value: x}
	nullLike bool   // blank text is NULL

	consent     bool
	resubscribe resubscribe
	drive       drive      // what prog, which is a rule, decides
	collect     bool       // the rows of a user make up an array
	attr        *attribute // nil for what is no custom attribute
}

// name is what people know the field by.
func (f *field) name() string {
	if f.def == nil {
		return f.label
	}
	return f.def.Name
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
	p := preset{}
	if isPreset {
		c.preset(f, fm)
		p = presets[fm.Name]
	} else {
		name = strings.TrimSpace(name)
		c.custom(f, name, fm)
	}
	c.country(f, fm, isPreset)
	c.consent(mo, f, fm, isPreset)
	c.policies(f, fm)
	if isPreset && (fm.Collect || fm.Array != "" && fm.Array != "replace") {
		c.fault(fm.Path, "collect and array are for custom attributes", "remove them")
	}
	c.collects(mo, f, fm)
	c.origin(mo, f, fm)
	if f.convert != nil {
		c.standin(f, fm)
	}
	if len(c.faults) > faults && c.failedSince(faults) {
		return nil
	}
	f.def = &connector.FieldDef{Name: name, JSON: keyJSON(name), Model: mo.index, Order: c.order, Hash: fieldHash(fm, c.cfg.TimeZone.String()),
		Free: p.free, NoNull: p.noNull || f.collect, By: fm.ArrayBy}
	if !isPreset {
		f.def.Type = c.attrType(mo, f, fm, name)
		c.partly(f, fm)
		if fault, bad := f.typeFault(); bad {
			c.faults = append(c.faults, fault)
		}
	}
	c.order++
	return f
}

// keyJSON is a name as it stands in an object, with its colon.
func keyJSON(name string) []byte { return append(appendString(nil, name), ':') }

// partly says how a changed object or array is sent.
func (c *compiler) partly(f *field, fm *connector.FieldMap) {
	d := f.def
	switch {
	case f.collect:
		d.Array, d.Type = connector.ArrayCollect, connector.ArrayType
	case fm.Array == "add_remove":
		d.Array = connector.ArrayAddRemove
	case fm.Array == "by":
		d.Array = connector.ArrayBy
	default:
		d.Merge = fm.Nested != "replace" && f.constant == nil && (fm.Type == "" || fm.Type == "object") && (d.Type == connector.AnyType || d.Type == connector.ObjectType)
		return
	}
	scalar := d.Type != connector.AnyType && d.Type != connector.ArrayType && d.Type != connector.ObjectsType
	switch {
	case f.collect:
	case scalar:
		c.fault(fm.Path+".array", fmt.Sprintf("the values are of the type %s, and no arrays", d.Type), "remove array")
	case f.constant != nil:
		c.fault(fm.Path+".array", "a constant array does not change", "remove array")
	}
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
		c.fault(fm.Path, fmt.Sprintf("%q is no profile field", fm.Name), fmt.Sprintf("it is set by %s", reserved[fm.Name]))
	case !ok:
		fix := meant(fm.Name, presetNames())
		if fix == "" {
			fix = "put it under custom"
		}
		c.fault(fm.Path, fmt.Sprintf("Braze has no profile field %q", fm.Name), fix)
	case fm.Type != "":
		c.fault(fm.Path, fmt.Sprintf("the profile field %q has a type of its own", fm.Name), "remove type")
	}
	f.convert = p.convert
}

func (c *compiler) custom(f *field, name string, fm *connector.FieldMap) {
	c.customName(fm.Name, name, fm.Path)
	conv, ok := converters[fm.Type]
	if !ok {
		c.fault(fm.Path, fmt.Sprintf("there is no type %q", fm.Type), "use string, number, bool, time, array or object")
	}
	f.convert = conv
}

// customName checks an attribute's name; written is what the file has, name what Braze makes of it.
func (c *compiler) customName(written, name, path string) {
	lower := strings.ToLower(name)
	_, isPreset := presets[name]
	_, isReserved := reserved[name]
	switch {
	case name == "":
		c.fault(path, "a custom attribute needs a name", "")
	case isPreset:
		c.fault(path, fmt.Sprintf("%q is one of Braze's own profile fields", name), "put it under fields")
	case isReserved:
		c.fault(path, fmt.Sprintf("%q is reserved by Braze", name), "choose another name")
	case utf8.RuneCountInString(name) > maxName || len(name) > maxNameBytes:
		c.fault(path, fmt.Sprintf("the name has %d characters in %d bytes; Braze takes %d characters and %d bytes",
			utf8.RuneCountInString(name), len(name), maxName, maxNameBytes), "choose a shorter name")
	case name[0] == '$':
		c.fault(path, `a name that begins with "$" is refused by Braze`, "choose another name")
	case name != written:
		c.warn(path, "Braze drops blanks around a name", "remove them")
	}
	if _, ok := presets[lower]; ok && !isPreset {
		c.warn(path, fmt.Sprintf("%q is written like the profile field %q, and would become a custom attribute beside it", name, lower), "put "+lower+" under fields")
	}
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
	if countryCode(code) != code || len(code) != 2 {
		c.fault(fm.Path, fmt.Sprintf("%q is no country of ISO 3166", fm.Country), `use two letters, "DE"`)
		return
	}
	f.set.country = code
	if !knownCountry(code) {
		f.set.country = ""
		c.warn(fm.Path, "national phone numbers of "+code+" cannot be made international; only numbers with + are sent", "")
	}
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
	switch fm.Nested {
	case "", "merge", "replace":
	default:
		c.fault(fm.Path+".nested", fmt.Sprintf("nested cannot be %q", fm.Nested), "use merge or replace")
	}
	switch {
	case fm.Array == "", fm.Array == "replace", fm.Array == "add_remove":
	case fm.Array != "by":
		c.fault(fm.Path+".array", fmt.Sprintf("array cannot be %q", fm.Array), "use replace, add_remove or {by: KEY}")
	case fm.ArrayBy == "":
		c.fault(fm.Path+".array", "by needs the key that tells the objects apart", "write {by: KEY}")
	}
}

// origin compiles where the value comes from.
func (c *compiler) origin(mo *model, f *field, fm *connector.FieldMap) {
	n := 0
	for _, set := range []bool{fm.Column != "", fm.Expr != "", fm.HasValue, fm.Latitude != "" || fm.Longitude != ""} {
		if set {
			n++
		}
	}
	if n != 1 {
		c.fault(fm.Path, "a field takes exactly one of a column, an expression, a value", "")
		return
	}
	switch {
	case fm.Latitude != "" || fm.Longitude != "":
		c.location(mo, f, fm)
	case fm.Column != "":
		f.set.never = c.sentColumn(mo, fm.Column, fm.Path)
	case fm.Expr != "":
		f.prog = c.expr(mo, fm.Expr, fm.Path+".expr", useValue)
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

// location compiles a current_location out of two columns.
func (c *compiler) location(mo *model, f *field, fm *connector.FieldMap) {
	if fm.Name != "current_location" {
		c.fault(fm.Path, "latitude and longitude belong to the profile field current_location", "remove them")
		return
	}
	c.place(mo, f, fm)
}

// place compiles a place out of two columns.
func (c *compiler) place(mo *model, f *field, fm *connector.FieldMap) {
	switch {
	case fm.Latitude == "" || fm.Longitude == "":
		c.fault(fm.Path, "a location needs both latitude and longitude", "name both columns")
	case fm.Latitude == fm.Longitude:
		c.fault(fm.Path, "latitude and longitude are one column", "name two columns, or write column: for a column that holds both")
	default:
		c.sentColumn(mo, fm.Latitude, fm.Path+".latitude")
		c.sentColumn(mo, fm.Longitude, fm.Path+".longitude")
		f.pair = [2]string{fm.Latitude, fm.Longitude}
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
	return hashOf(fm.Name, fm.Column, fm.Expr, fm.Value, fmt.Sprint(fm.HasValue), fm.Type, fm.OnNull, fm.Default, fm.Blank, fm.Country, fm.Nested,
		fm.Array, fm.ArrayBy, fmt.Sprint(fm.Collect), fm.Latitude, fm.Longitude, fm.WhenTrue, fm.Resubscribe, zone)
}

// hashOf is a fingerprint of texts that no other list of texts has.
func hashOf(parts ...string) uint64 {
	h := fnv.New64a()
	for _, s := range parts {
		_, _ = fmt.Fprintf(h, "%d:%s;", len(s), s) // a hash takes everything
	}
	return h.Sum64()
}
