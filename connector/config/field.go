package config

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"brazecdc/connector"
)

// presets are the profile fields Braze gives a meaning to and a row may set (Braze docs, "User attributes object"). Names are case-sensitive there.
var presets = []string{
	"email", "email_subscribe", "email_open_tracking_disabled", "email_click_tracking_disabled", "marked_email_as_spam_at",
	"phone", "push_subscribe", "push_tokens", "first_name", "last_name", "home_city", "image_url", "dob", "gender", "country", "language", "time_zone",
	"current_location", "date_of_first_session", "date_of_last_session", "facebook", "twitter",
}

// taken are names that are no attribute at all, with what to write in their place.
var taken = map[string]string{
	"external_id":           "write it under identify",
	"user_alias":            "write alias under identify",
	"alias_name":            "write alias under identify",
	"alias_label":           "write alias under identify",
	"braze_id":              "remove it, since Braze assigns it",
	"subscription_groups":   "use the model's subscription_groups",
	"_update_existing_only": "remove it, since the mode decides",
	"_merge_objects":        "use nested: merge or replace",
	"push_token_import":     "remove it, since it is a control key of Braze",
}

// Limits of an attribute's name. Braze documents 255 characters; longer than 479 bytes was seen refused (braze-docs issue 11804).
const (
	maxNameRunes = 255
	maxNameBytes = 479
)

// customName checks the name of a custom attribute.
func (d *decoder) customName(path, name string, at place) bool {
	bad := func(what, fix string) bool {
		d.addAt(at, path, path+" "+what, fix)
		return false
	}
	if r := []rune(name); len(r) > 40 && len(path) > len(name) {
		path = strings.TrimSuffix(path, name) + string(r[:40]) + "…" // for reading; the place is known
	}
	switch {
	case name == "":
		return bad("has an empty name", "give the attribute a name")
	case strings.TrimSpace(name) != name:
		return bad("has a name with white space at its end or beginning", "write it without, as Braze would trim it")
	case strings.ContainsFunc(name, unicode.IsControl):
		return bad("has a name with control characters", "write it without")
	case utf8.RuneCountInString(name) > maxNameRunes:
		return bad("has a name longer than 255 characters", "shorten it")
	case len(name) > maxNameBytes:
		return bad("has a name longer than 479 bytes in UTF-8", "shorten it")
	case taken[name] != "":
		return bad("has the name "+name+", which Braze keeps for itself", taken[name])
	case slices.Contains(presets, name):
		return bad("is one of Braze's own profile fields", "move it to fields")
	}
	warn := func(what, fix string) {
		bad(what, fix)
		d.faults[len(d.faults)-1].Warn = true
	}
	lower := strings.ToLower(name)
	switch {
	case slices.Contains(presets, lower):
		warn("differs from Braze's profile field "+lower+" only in case, and would be another attribute", "move it to fields as "+lower+" if that is meant")
	case strings.HasPrefix(name, "_") || strings.HasPrefix(name, "$"):
		warn("begins with "+name[:1]+", as Braze's control keys and operators do", "choose another name if you can")
	}
	return true
}

func (d *decoder) presetName(path, name string, at place) bool {
	if slices.Contains(presets, name) {
		return true
	}
	fix := "move it to custom"
	if near := nearest(name, presets); near != "" {
		fix = "write " + near + ", or move it to custom"
	}
	if instead := taken[name]; instead != "" {
		fix = instead
	}
	d.addAt(at, path, path+" is not one of Braze's profile fields", fix)
	return false
}

const (
	fromKeys     = "column expr value"
	propertyKeys = fromKeys + " type on_null blank"
	fieldKeys    = propertyKeys + " nested array collect"
)

// valueTypes are the types that a line may declare.
var valueTypes = []string{"string", "number", "bool", "time", "array", "object"}

// keysOfPreset are settings that only some profile fields have.
var keysOfPreset = map[string]string{
	"phone": " country", "email_subscribe": " when_true resubscribe", "push_subscribe": " when_true resubscribe", "current_location": " latitude longitude",
}

// location reads a place out of two columns.
func (d *decoder) location(n *node, f *connector.FieldMap, keys string) bool {
	o := d.object(n, keys)
	o.missing("latitude", "name the column of the other coordinate")
	o.missing("longitude", "name the column of the other coordinate")
	good := true
	for key, dst := range map[string]*string{"latitude": &f.Latitude, "longitude": &f.Longitude} {
		c := o.get(key)
		good = c != nil && d.column(c, dst) && good
	}
	return good
}

// line begins a field with what holds where the file is silent.
func line(e entry) connector.FieldMap {
	return connector.FieldMap{Name: e.key, OnNull: "clear", Blank: "keep", Nested: "merge", Array: "replace", Path: e.node.path}
}

// hasPlace tells whether a line names a column of latitude or of longitude.
func hasPlace(n *node) bool {
	return n.kind == mapping && (n.child("latitude") != nil || n.child("longitude") != nil)
}

// field reads one line under fields (preset) or custom.
func (d *decoder) field(e entry, preset bool) (connector.FieldMap, bool) {
	n, f := e.node, line(e)
	good := false
	if preset {
		good = d.presetName(n.path, e.key, e.place)
	} else {
		good = d.customName(n.path, e.key, e.place)
	}
	keys := fieldKeys
	if preset {
		keys += keysOfPreset[e.key]
	}
	if preset && e.key == "current_location" && hasPlace(n) {
		good = d.location(n, &f, "latitude longitude on_null blank") && good
	} else if !d.from(n, &f.ValueFrom, keys) {
		return f, false
	}
	if n.kind != mapping {
		return f, good
	}
	o := object{d, n}
	o.enum("when_true", &f.WhenTrue, "subscribed", "opted_in")
	o.enum("resubscribe", &f.Resubscribe, "on_change", "never", "always")
	if t := d.policies(o, &f, valueTypes); t != nil && preset {
		d.bad(t, "stands at a profile field that has a type of its own", "remove type")
	}
	d.country(o, &f.Country)
	o.enum("nested", &f.Nested, "merge", "replace")
	d.array(o, &f)
	if c := o.boolean("collect", &f.Collect); c != nil && f.Collect && preset {
		d.bad(c, "collects rows into a field that is no array", "move it to custom")
	}
	return f, good
}

// policies reads what every kind of line may say of its value.
func (d *decoder) policies(o object, f *connector.FieldMap, types []string) (typ *node) {
	typ = o.enum("type", &f.Type, types...)
	d.onNull(o, f)
	o.enum("blank", &f.Blank, "keep", "null_like")
	return typ
}

// array reads how a changed array is sent.
func (d *decoder) array(o object, f *connector.FieldMap) {
	a := o.get("array")
	switch {
	case a == nil:
	case a.kind == mapping:
		f.Array = "by"
		by := d.object(a, "by")
		by.missing("by", "name the key that tells the objects apart")
		if k := by.str("by", &f.ArrayBy); k != nil && f.ArrayBy == "" {
			d.bad(k, "is empty", "name the key that tells the objects apart")
		}
	case a.kind != text || a.value != "replace" && a.value != "add_remove":
		d.bad(a, "is "+a.describe(), "choose replace, add_remove or {by: key}")
	default:
		f.Array = a.value
	}
}

// country reads the country that phone numbers without + are from.
func (d *decoder) country(o object, dst *string) {
	c := o.str("country", dst)
	switch {
	case c == nil:
	case !countryCode.MatchString(*dst):
		d.bad(c, "is "+c.describe(), "write a country of two capital letters, such as DE")
	case c.style == 0 && isTrap(*dst):
		d.warn(c, "is read as a boolean by some YAML readers", `write "`+*dst+`" in quotes`)
	}
}

var countryCode = regexp.MustCompile(`^[A-Z]{2}$`)

func (d *decoder) onNull(o object, f *connector.FieldMap) {
	n := o.get("on_null")
	switch {
	case n == nil:
	case n.kind == mapping:
		v := d.object(n, "value")
		v.missing("value", "write {value: x}")
		if x := v.get("value"); x != nil {
			if js, ok := d.constant(x); ok {
				f.OnNull, f.Default = "value", js
			}
		}
	case n.kind == text && (n.value == "clear" || n.value == "keep"):
		f.OnNull = n.value
	default:
		d.bad(n, "is "+n.describe(), "choose clear, keep or {value: x}")
	}
}

// from reads a value's origin: a bare word is a column, else one of {column}, {expr}, {value}.
func (d *decoder) from(n *node, v *connector.ValueFrom, keys string) bool {
	if n.kind != mapping {
		return d.column(n, &v.Column)
	}
	o := d.object(n, keys)
	given := 0
	for _, k := range strings.Fields(fromKeys) {
		if o.has(k) {
			given++
		}
	}
	if given != 1 {
		what := "names no column"
		if given > 1 {
			what = "has more than one of column, expr and value"
		}
		d.bad(n, what, "give one of column, expr and value")
		return false
	}
	if c := o.get("column"); c != nil {
		return d.column(c, &v.Column)
	}
	if o.has("expr") {
		d.expression(o, "expr", &v.Expr)
		if e := o.n.child("expr"); v.Expr == "" && e.kind == text && e.raw == "" {
			d.bad(e, "is blank", "write an expression")
		}
		return v.Expr != ""
	}
	if c := o.get("value"); c != nil {
		js, ok := d.constant(c)
		v.Value, v.HasValue = js, ok
		return ok
	}
	return false
}

// column reads a column's name.
func (d *decoder) column(n *node, dst *string) bool {
	switch {
	case n.broken:
		return false
	case n.kind == text && n.value == "":
		d.bad(n, "is empty", "name a column")
	case n.kind == text:
		*dst = n.value
		return true
	case n.kind == mapping:
		d.bad(n, "is a mapping", "name a column")
	case n.kind != number && n.kind != boolean:
		d.bad(n, "is "+n.describe()+", not a column", "name a column, or write {value: ...} for a constant")
	default:
		d.bad(n, "is "+n.describe()+", not a column", "put quotes around the column's name, or write {value: "+n.raw+"} for a constant")
	}
	return false
}

// constant is a value of the file as JSON text. Numbers keep their digits; what JSON has no word for is refused rather than guessed.
func (d *decoder) constant(n *node) (string, bool) {
	if n.broken {
		return "", false
	}
	switch n.kind {
	case text:
		if n.style == 0 && isTrap(n.value) && !n.expanded {
			d.warn(n, "is the text "+n.shown()+", and a boolean to some YAML readers", "write true or false, or put quotes around it")
		}
		return encode(n.value), true
	case boolean:
		return n.value, true
	case number:
		if json.Valid([]byte(n.value)) {
			return n.value, true
		}
		d.bad(n, "is "+n.describe()+", a number that is read in more than one way", "write it in plain decimals, or put quotes around it")
		return "", false
	case sequence:
		parts := make([]string, 0, len(n.items))
		for _, item := range n.items {
			js, ok := d.constant(item)
			if !ok {
				return "", false
			}
			parts = append(parts, js)
		}
		return "[" + strings.Join(parts, ",") + "]", true
	case mapping:
		parts := make([]string, 0, len(n.entries))
		for _, e := range n.entries {
			js, ok := d.constant(e.node)
			if !ok {
				return "", false
			}
			parts = append(parts, encode(e.key)+":"+js)
		}
		return "{" + strings.Join(parts, ",") + "}", true
	}
	d.bad(n, "has no value", `give one; "" is the empty text`)
	return "", false
}

func encode(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return `""` // a string always encodes
	}
	return strings.TrimSuffix(b.String(), "\n")
}
