package mapping

import (
	"errors"
	"time"

	"brazecdc/connector"
)

// Rule is one compiled rule or expression, for whoever looks at what it gives. It may be used concurrently.
type Rule struct {
	p    *program
	rule bool
}

// RuleFault is what is wrong with an expression, at a byte of it.
type RuleFault struct {
	Offset int
	What   string
	Fix    string
}

// Error is the fault in one line.
func (f *RuleFault) Error() string {
	if f.Fix == "" {
		return f.What
	}
	return f.What + "; " + f.Fix
}

// CompileRule compiles an expression as the models' rules are (rule), or as those of fields. Without a table its names stay unchecked. The error is a *RuleFault.
func CompileRule(source string, table *connector.Table, rule bool, zone *time.Location, now func() time.Time) (*Rule, error) {
	if zone == nil {
		zone = time.UTC
	}
	if now == nil {
		now = time.Now
	}
	use := useValue
	if rule {
		use = useRule
	}
	p, err := compileExpr(source, table, use, zone, now)
	if err != nil {
		f := &RuleFault{What: err.Error()}
		var ef *exprFault
		if errors.As(err, &ef) {
			f.Offset, f.Fix = ef.offset, ef.fix
		}
		return nil, f
	}
	return &Rule{p: p, rule: rule}, nil
}

// Columns are those that the expression reads.
func (r *Rule) Columns() []string { return r.p.columns }

// Clock tells whether the expression reads the clock, so that what it gives changes without the row.
func (r *Rule) Clock() bool { return r.p.volatile }

// Test tells whether a row matches the rule; known is false where the rule is neither true nor false of it.
func (r *Rule) Test(row connector.Row) (is, known bool) {
	cols, ok := r.cols(row)
	if !ok {
		return false, false
	}
	t, err := r.p.test(row, cols)
	return t == yes, err == nil && t != unknown
}

// Value gives the JSON of an expression for a row, "null" where it gives none, or why it gives nothing that can be sent.
func (r *Rule) Value(row connector.Row) (json, why string) {
	cols, ok := r.cols(row)
	if !ok {
		return "", "the row lacks a column that the expression reads"
	}
	g, err := r.p.run(row, cols)
	if err != nil {
		return "", err.Error()
	}
	v, err := fromGo(g)
	if err != nil {
		return "", err.Error()
	}
	if v.Kind == connector.KindNull {
		return "null", ""
	}
	s := settings{zone: r.p.zone}
	out, note, ok := converters[""](&s, nil, v)
	if !ok {
		return "", note
	}
	return string(out), note
}

func (r *Rule) cols(row connector.Row) ([]int, bool) {
	cols := make([]int, 0, len(r.p.columns))
	for _, name := range r.p.columns {
		i := row.Table.Column(name)
		if i < 0 {
			return nil, false
		}
		cols = append(cols, i)
	}
	return cols, true
}

// MayLeave tells whether never_send lets a column of a table, or of a topic, be read by a person or a field.
func MayLeave(neverSend []string, table, column string) bool {
	whole, below := banned(neverSend, func(word string) bool { return called(word, table) }, column, func(int) {})
	return !whole && below == nil
}

// PresetNames are Braze's own profile fields that a row may set.
func PresetNames() []string { return presetNames() }

// PresetConsent tells whether a profile field says what a person agreed to.
func PresetConsent(name string) bool { return presets[name].consent }

// LooksLikeTime tells whether Braze reads an encoded text as a time by itself.
func LooksLikeTime(js string) bool {
	return len(js) > 2 && js[0] == '"' && encodedType([]byte(js)) == connector.TimeType
}
