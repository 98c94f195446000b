package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"brazecdc/connector"
)

// mostExamples is how many rows are named of one kind of drift.
const mostExamples = 5

// verifyReport is what verify found.
type verifyReport struct {
	Model    string `json:"model"`
	Table    string `json:"table"`
	Rows     int    `json:"rows"`     // read at the source
	Requests int    `json:"requests"` // for profiles
	Equal    int    `json:"equal"`
	// Drifting are rows of which fields differ, Missing those whose user Braze does not know, Living those whose user it should not know any more.
	Drifting int `json:"drifting"`
	Missing  int `json:"missing"`
	Living   int `json:"deleted_but_living"`
	// Moving are rows that differed at one look only; Excluded those of which nothing is sent; HeldBack those that cannot be mapped.
	Moving   int     `json:"moving"`
	Excluded int     `json:"excluded"`
	HeldBack int     `json:"held_back"`
	Behind   float64 `json:"process_behind_seconds,omitempty"`

	Fields        []verifyField   `json:"fields"`
	MissingUsers  []verifyExample `json:"missing_users,omitempty"`
	LivingUsers   []verifyExample `json:"living_users,omitempty"`
	HeldBackRows  []remark        `json:"held_back_rows,omitempty"` // field is the row's key
	NotComparable []remark        `json:"not_comparable,omitempty"`
	LeftOut       []leftOut       `json:"left_out,omitempty"`
	Repaired      int             `json:"repaired"`
	Unrepaired    []remark        `json:"unrepaired,omitempty"` // field is the row's key

	values  bool
	repair  bool
	repairs []verifyRepair
	hint    string // what repairs where nothing can be sent from here
	byDef   map[*connector.FieldDef]int
}

// verifyRepair is a row to send, whole or only these fields.
type verifyRepair struct {
	key  string
	only []string
}

// verifyField is one field over all rows.
type verifyField struct {
	Field    string          `json:"field"`
	Compared int             `json:"compared"`
	Missing  int             `json:"missing"` // in Braze
	Differs  int             `json:"differs"`
	Extra    int             `json:"extra"` // NULL at the source
	Examples []verifyExample `json:"examples,omitempty"`
}

func (f *verifyField) drift() int { return f.Missing + f.Differs + f.Extra }

// verifyExample names a row; values only where they were asked for.
type verifyExample struct {
	Key    string          `json:"key"`
	User   string          `json:"user"`
	How    string          `json:"how,omitempty"`
	Source json.RawMessage `json:"source,omitempty"`
	Braze  json.RawMessage `json:"braze,omitempty"`
}

// leftOut counts values that a row's mapping leaves out.
type leftOut struct {
	remark
	Count int `json:"count"`
}

func (r *verifyReport) drift() int { return r.Drifting + r.Missing + r.Living }

func example(list []verifyExample, w *sourceRow) []verifyExample {
	if len(list) < mostExamples {
		list = append(list, verifyExample{Key: w.key, User: w.user.ID})
	}
	return list
}

// newVerifyReport counts what the rows alone tell.
func newVerifyReport(v *verifier, rows []sourceRow) *verifyReport {
	r := &verifyReport{Model: v.q.model, Table: v.m.Relation(), Rows: len(rows), Fields: []verifyField{}, values: v.q.values, repair: v.q.repair,
		byDef: map[*connector.FieldDef]int{}}
	for _, d := range v.mapper.Models()[v.at].Fields {
		if why := incomparable(d); why != "" {
			r.NotComparable = append(r.NotComparable, remark{d.Name, why})
			continue
		}
		r.byDef[d] = len(r.Fields)
		r.Fields = append(r.Fields, verifyField{Field: d.Name})
	}
	counts := map[remark]int{}
	for i := range rows {
		w := &rows[i]
		switch {
		case w.held != "":
			r.HeldBack++
			if len(r.HeldBackRows) < mostExamples {
				r.HeldBackRows = append(r.HeldBackRows, remark{w.key, w.held})
			}
		case w.none:
			r.Excluded++
		}
		for _, left := range w.left {
			counts[left]++
		}
	}
	for left, n := range counts {
		r.LeftOut = append(r.LeftOut, leftOut{left, n})
	}
	slices.SortFunc(r.LeftOut, func(a, b leftOut) int {
		return cmp.Or(strings.Compare(a.Field, b.Field), strings.Compare(a.Reason, b.Reason))
	})
	return r
}

// compared counts the fields that were compared of a row.
func (r *verifyReport) compared(d *verdict) {
	if d.missing || d.living || d.row.gone {
		return
	}
	for i := range d.row.fields {
		if at, ok := r.byDef[d.row.fields[i].Def]; ok {
			r.Fields[at].Compared++
		}
	}
}

// finish notes what is known only at the end.
func (r *verifyReport) finish(v *verifier) {
	r.Requests = v.asked
	if v.topics == nil || len(r.repairs) == 0 {
		return
	}
	topic := v.m.Topic
	if topic == "" {
		topic = "TOPIC"
	}
	var keys []string
	for _, w := range r.repairs[:min(len(r.repairs), mostExamples)] {
		keys = append(keys, w.key)
	}
	r.hint = fmt.Sprintf("brazecdc replay --topic %s --model %s --all-values --key %s", topic, v.m.Name, strings.Join(keys, " --key "))
}

func (p *program) printVerify(r *verifyReport) {
	p.printf("%s, %s: %s read, %s to Braze\n", p.bold(r.Model), r.Table, plural(r.Rows, "row"), plural(r.Requests, "request"))
	p.printf("  equal %d, %s %d, missing in Braze %d, deleted at the source but living in Braze %d\n", r.Equal, p.driftWord("drifting", r.Drifting), r.Drifting, r.Missing, r.Living)
	for _, n := range []struct {
		n    int
		text string
	}{{r.Moving, "differed at one of two looks only: a change was on its way"}, {r.Excluded, "of which nothing is sent: filter, delete_when or mode"}, {r.HeldBack, "that cannot be mapped"}} {
		if n.n > 0 {
			p.printf("  %s %s\n", plural(n.n, "row"), n.text)
		}
	}
	if r.Behind > 5 {
		p.printf("  %s the running process is %.0f s behind, so that some of it may be on its way\n", p.yellow("note:"), r.Behind)
	}
	for i := range r.Fields {
		p.printFieldDrift(&r.Fields[i])
	}
	p.printExamples("missing in Braze:", r.Missing, r.MissingUsers)
	p.printExamples("deleted at the source but living:", r.Living, r.LivingUsers)
	for _, h := range r.HeldBackRows {
		p.printf("  %s row %s: %s\n", p.yellow("held back:"), h.Field, h.Reason)
	}
	for _, left := range r.LeftOut {
		p.printf("  left out: %s: %s (%s)\n", left.Field, left.Reason, plural(left.Count, "row"))
	}
	for _, n := range r.NotComparable {
		p.printf("  not comparable: %s: %s\n", n.Field, n.Reason)
	}
	p.printRepair(r)
}

func (p *program) driftWord(word string, n int) string {
	if n == 0 {
		return word
	}
	return p.yellow(word)
}

func (p *program) printFieldDrift(f *verifyField) {
	if f.drift() == 0 {
		return
	}
	var parts []string
	for _, k := range []struct {
		n    int
		text string
	}{{f.Differs, "differ"}, {f.Missing, "without a value in Braze"}, {f.Extra, "NULL at the source and not in Braze"}} {
		if k.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", k.n, k.text))
		}
	}
	p.printf("  %s %s: of %d %s\n", p.yellow("drift:"), f.Field, f.Compared, strings.Join(parts, ", "))
	for _, e := range f.Examples {
		p.printf("    row %s, user %s", e.Key, e.User)
		if e.Source != nil {
			p.printf(": source %s, Braze %s", e.Source, orElse(string(e.Braze), "none"))
		}
		p.printf("\n")
	}
}

func (p *program) printExamples(what string, n int, list []verifyExample) {
	if n == 0 {
		return
	}
	names := make([]string, len(list))
	for i, e := range list {
		names[i] = e.User
	}
	more := ""
	if n > len(list) {
		more = fmt.Sprintf(" and %d more", n-len(list))
	}
	p.printf("  %s %s%s\n", p.yellow(what), strings.Join(names, ", "), more)
}

func (p *program) printRepair(r *verifyReport) {
	for _, u := range r.Unrepaired {
		p.printf("  %s row %s: %s\n", p.yellow("not sent:"), u.Field, u.Reason)
	}
	switch {
	case r.Repaired > 0:
		p.printf("What differed of %s was sent.\n", plural(r.Repaired, "row"))
	case r.hint != "":
		p.printf("To send them again: %s\n", r.hint)
	case r.repair:
	case r.Drifting+r.Missing > 0:
		p.printf("Nothing was sent; --repair sends what differs.\n")
	}
	if r.Living > 0 {
		p.printf("Nobody is deleted by verify: delete those users in Braze, if they are meant to be.\n")
	}
}
