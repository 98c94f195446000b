package connector_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// What a model makes of a row, in the small model of reference_test.go: fields, values and the filter.

// refField is one mapped field: what it is made of, and what becomes of a NULL.
type refField struct {
	name   string
	preset bool
	from   string // a column, or one of the expressions that value knows
	onNull string // clear, keep, or a default value's text
	how    string // of prefs: merge or replace; of tags: replace or add_remove; of a rule: audience
}

// refModel is one model of the configuration.
type refModel struct {
	name    string
	owner   bool
	mode    string
	load    bool
	full    bool   // before-images are complete
	filter  string // "", plan or n
	onLeave string
	dead    bool   // delete_when: gone
	change  string // on_id_change
	fields  []refField
}

// refRow is a row as the tests' tables have it; nil is NULL.
type refRow struct {
	id     int64
	user   string
	plan   *string
	n      *int
	flag   *bool
	amount *string
	note   *string
	prefs  *string // an object as canonical JSON
	tags   *string // a set of texts as canonical JSON
	gone   bool
	junk   int
}

// value gives a field's value as JSON, "" for NULL.
func (f *refField) value(r *refRow) string {
	text := func(s *string, then func(string) string) string {
		if s == nil {
			return ""
		}
		return asJSON(then(*s))
	}
	same := func(s string) string { return s }
	switch f.from {
	case "plan":
		return text(r.plan, same)
	case "note":
		return text(r.note, same)
	case "prefs":
		return orNothing(r.prefs)
	case "tags":
		return orNothing(r.tags)
	case "n > 60":
		if r.n != nil {
			return asJSON(*r.n > 60)
		}
	case "upper(plan)":
		return text(r.plan, strings.ToUpper)
	case `note + "!"`:
		return text(r.note, func(s string) string { return s + "!" })
	case `plan ?? "none"`:
		if r.plan == nil {
			return `"none"`
		}
		return asJSON(*r.plan)
	case `flag ? "y" : "n"`: // as SQL's CASE: unknown takes the else branch
		if r.flag != nil && *r.flag {
			return `"y"`
		}
		return `"n"`
	case "n":
		if r.n != nil {
			return asJSON(*r.n)
		}
	case "n + 1":
		if r.n != nil {
			return asJSON(*r.n + 1)
		}
	case "flag":
		if r.flag != nil {
			return asJSON(*r.flag)
		}
	case "amount":
		if r.amount != nil {
			return canonical(json.RawMessage(*r.amount))
		}
	case "const":
		return `"berlin"`
	default:
		panic("no such field source: " + f.from)
	}
	return ""
}

func orNothing(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// canonical makes equal JSON values equal texts.
func canonical(b json.RawMessage) string {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return "not JSON: " + string(b)
	}
	return asJSON(v)
}

// refTruth is SQL's: true, false or unknown.
type refTruth int

const (
	refFalse refTruth = iota
	refTrue
	refUnknown
)

// matches is the filter.
func (m *refModel) matches(r *refRow) refTruth {
	switch m.filter {
	case "plan": // plan != "internal"
		if r.plan == nil {
			return refUnknown
		}
		if *r.plan == "internal" {
			return refFalse
		}
	case "n": // n > 50
		if r.n == nil {
			return refUnknown
		}
		if *r.n <= 50 {
			return refFalse
		}
	}
	return refTrue
}

// in tells whether a row counts for the model; was is what it counted as before, which an unknown filter leaves alone.
func (m *refModel) in(r *refRow, was bool) bool {
	if m.dead && r.gone {
		return false
	}
	switch m.matches(r) {
	case refTrue:
		return true
	case refFalse:
		return false
	}
	return was
}

// alt is the values that are right for a field; "" is absent.
type alt map[string]bool

func (a alt) with(more ...string) alt {
	out := maps.Clone(a)
	for _, m := range more {
		out[m] = true
	}
	return out
}

func (a alt) String() string {
	return strings.Join(slices.Sorted(maps.Keys(a)), " | ")
}

type refProfile map[string]alt

func (p refProfile) get(f string) alt {
	if a, ok := p[f]; ok {
		return a
	}
	return alt{"": true}
}

func (p refProfile) set(f, v string) { p[f] = alt{v: true} }

// write sets a row's fields.
func (m *refModel) write(get func(string) alt, set func(string, alt), r, old *refRow, how refTrack) {
	for i := range m.fields {
		f := &m.fields[i]
		v := f.value(r)
		if v == "" && f.onNull == "keep" {
			continue
		}
		if v == "" && f.onNull != "clear" {
			v = asJSON(f.onNull)
		}
		switch {
		case v == "" && how.omit, how.apart && strings.HasPrefix(f.from, "note"), old != nil && f.value(old) == f.value(r):
			set(f.name, get(f.name).with(v))
		default:
			set(f.name, alt{v: true})
		}
	}
}
