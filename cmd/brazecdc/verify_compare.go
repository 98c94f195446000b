package main

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/braze"
	"brazecdc/connector/mapping"
)

// The ways in which a field can differ.
const (
	driftMissing = "missing" // the source has a value, Braze has none
	driftDiffers = "differs"
	driftExtra   = "extra" // NULL at the source, a value in Braze
)

// incomparable says why a field cannot be compared, "" where it can.
func incomparable(d *connector.FieldDef) string {
	switch {
	case d.Group != "":
		return "an export does not give the states of subscription groups"
	case mapping.Preset(d.Name) && !braze.Exported(d.Name):
		return "an export does not give this field, or not as it was sent"
	}
	return ""
}

// held gives what a profile holds of a field.
func held(p *braze.Profile, d *connector.FieldDef) json.RawMessage {
	if mapping.Preset(d.Name) {
		return p.Fields[d.Name]
	}
	return p.Custom[d.Name]
}

// compareField tells how a profile's value differs from what a row maps to, "" where it does not. An absent value stands for null, false and empty (Braze docs,
// "Export user profile by identifier").
func compareField(f *connector.Field, got json.RawMessage) string {
	d := f.Def
	var want, has any
	if !decode(f.JSON, &want) || len(got) > 0 && !decode(got, &has) {
		return driftDiffers
	}
	if d.Array == connector.ArrayCollect {
		return compareCollected(want, has)
	}
	switch {
	case want == nil && hollow(has):
		return ""
	case want == nil:
		return driftExtra
	case has == nil && (hollow(want) || isDefault(d.Name, want)):
		return ""
	case has == nil:
		return driftMissing
	case d.Name == "email" && mapping.Preset("email") && sameFold(want, has), d.Name == "current_location" && samePlace(want, has), sameValue(want, has, d.Merge):
		return ""
	}
	return driftDiffers
}

func decode(b []byte, to *any) bool {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	return dec.Decode(to) == nil
}

// compareCollected looks whether the value that a row adds to an array is there. Those of other rows are theirs.
func compareCollected(want, has any) string {
	ops, _ := want.(map[string]any)
	add, _ := ops["add"].([]any)
	list, _ := has.([]any)
	for _, v := range add {
		if !slices.ContainsFunc(list, func(x any) bool { return sameValue(v, x, false) }) {
			return driftMissing
		}
	}
	return ""
}

// isDefault tells whether a state is the one that Braze has where none was set (Braze docs, "User subscription states").
func isDefault(name string, v any) bool {
	return (name == "email_subscribe" || name == "push_subscribe") && v == "subscribed"
}

// hollow tells whether a value may be absent in an export.
func hollow(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case bool:
		return !v
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		for _, x := range v {
			if !hollow(x) {
				return false
			}
		}
		return true
	}
	return false
}

// sameValue compares numbers as 64-bit floats, which Braze keeps, times as moments, arrays in order. Where objects are merged, members that only Braze has are
// others' own.
func sameValue(want, has any, merged bool) bool {
	switch w := want.(type) {
	case json.Number:
		n, ok := has.(json.Number)
		return ok && sameNumber(w, n)
	case string:
		s, ok := has.(string)
		return ok && (w == s || sameMoment(w, s))
	case []any:
		list, ok := has.([]any)
		return ok && slices.EqualFunc(w, list, func(a, b any) bool { return sameValue(a, b, false) })
	case map[string]any:
		o, ok := has.(map[string]any)
		if !ok {
			return false
		}
		for k, v := range w {
			x, there := o[k]
			if !(there && sameValue(v, x, merged)) && !(hollow(v) && hollow(x)) {
				return false
			}
		}
		for k, x := range o {
			if _, mine := w[k]; !mine && !merged && !hollow(x) {
				return false
			}
		}
		return true
	}
	return want == has
}

func sameNumber(a, b json.Number) bool {
	if a == b {
		return true
	}
	x, errX := a.Float64()
	y, errY := b.Float64()
	return errX == nil && errY == nil && x == y
}

func sameFold(want, has any) bool {
	a, ok := want.(string)
	b, also := has.(string)
	return ok && also && strings.EqualFold(a, b)
}

// placeError is how far two coordinates may be apart, in degrees: a decimetre.
const placeError = 1e-6

// samePlace compares the two coordinates of a location; an export gives no more of it.
func samePlace(want, has any) bool {
	a, ok := want.(map[string]any)
	b, also := has.(map[string]any)
	if !ok || !also {
		return false
	}
	for _, k := range []string{"longitude", "latitude"} {
		x, ok := a[k].(json.Number)
		y, also := b[k].(json.Number)
		if !ok || !also {
			return false
		}
		fx, errX := x.Float64()
		fy, errY := y.Float64()
		if errX != nil || errY != nil || math.Abs(fx-fy) > placeError {
			return false
		}
	}
	return true
}

// momentLayouts are the forms of times in profiles (Braze docs, "Custom attribute data types").
var momentLayouts = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999Z0700", "2006-01-02 15:04:05.999999999 Z0700", "2006-01-02 15:04:05.999999999 MST",
	"2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", time.DateOnly}

// sameMoment compares times to the millisecond, which is what Braze keeps of them.
func sameMoment(a, b string) bool {
	x, ok := moment(a)
	if !ok {
		return false
	}
	y, ok := moment(b)
	return ok && x.Truncate(time.Millisecond).Equal(y.Truncate(time.Millisecond))
}

func moment(s string) (time.Time, bool) {
	if len(s) < len(time.DateOnly) || s[0] < '0' || s[0] > '9' {
		return time.Time{}, false
	}
	for _, layout := range momentLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
