package mapping

import (
	"bytes"
	"errors"
	"fmt"

	"time"

	"brazecdc/connector"
)

// plan is one model compiled against one version of its table: names are indexes. Plans are immutable.
type plan struct {
	m          *model
	table      *connector.Table
	ids        []idPlan
	filterCols []int
	deadCols   []int
	fields     []fieldPlan
	event      *eventPlan
	needed     []int // columns that any part reads
	keep       []int // columns that are remembered, as model.keeps names them; -1: it has none of that name
	broken     *connector.StopError
	lacks      string // the column that broken is about
}

// fieldPlan is a field with the index of its column, or those of its expression.
type fieldPlan struct {
	*field
	col     int // -1: none
	cols    []int
	stopped bool // its column is gone, or cannot be sent
}

// fieldPlan is the plan of a field, nil where the table version has none.
func (p *plan) fieldPlan(f *field) *fieldPlan {
	for i := range p.fields {
		if p.fields[i].field == f {
			return &p.fields[i]
		}
	}
	return nil
}

func (mo *model) zone() *time.Location { return mo.tz }

// compilePlan compiles a model against a table version. A mapped column that is gone stops its field with one note and an error in the log: the field
// keeps what Braze has. Without the columns of its identity or its rules a model cannot tell what to do with a row, so its rows stop the process.
func (m *Mapper) compilePlan(mo *model, t *connector.Table) *plan {
	p := &plan{m: mo, table: t}
	seen := map[int]bool{}
	resolve := func(names []string) (cols []int, gone []string) {
		for _, n := range names {
			i := t.Column(n)
			if i < 0 {
				gone = append(gone, n)
			}
			if i >= 0 && !seen[i] {
				seen[i] = true
				p.needed = append(p.needed, i)
			}
			cols = append(cols, i)
		}
		return cols, gone
	}
	must := func(names []string, what string) []int {
		cols, gone := resolve(names)
		if gone != nil && p.broken == nil {
			p.lacks = gone[0]
			p.broken = &connector.StopError{
				Code: connector.ExitTableUnfit,
				What: fmt.Sprintf("column %q, which %s of model %q reads, is gone from %s", gone[0], what, mo.conf.Name, t.Name),
				Fix:  "bring the column back, or change the model",
			}
		}
		return cols
	}
	for i := range mo.ids {
		s := &mo.ids[i]
		p.ids = append(p.ids, idPlan{idSource: s, cols: must(s.columns(), "identify")})
	}
	if mo.filter != nil {
		p.filterCols = must(mo.filter.columns, "the filter")
	}
	if mo.deleteWhen != nil {
		p.deadCols = must(mo.deleteWhen.columns, "delete_when")
	}
	if mo.event != nil {
		p.event = m.planEvent(mo, t, must, resolve)
	}
	for _, f := range mo.fields {
		p.fields = append(p.fields, m.planField(mo, f, t, resolve))
	}
	for _, name := range mo.keeps.columns {
		p.keep = append(p.keep, t.Column(name))
	}
	return p
}

// planField finds a field's columns.
func (m *Mapper) planField(mo *model, f *field, t *connector.Table, resolve func(names []string) (cols []int, gone []string)) fieldPlan {
	fp := fieldPlan{field: f, col: -1}
	var gone []string
	switch {
	case f.prog != nil:
		fp.cols, gone = resolve(f.prog.columns)
	case f.pair[0] != "":
		fp.cols, gone = resolve(f.pair[:])
	case f.constant == nil:
		fp.cols, gone = resolve([]string{f.column})
		fp.col = fp.cols[0]
	}
	switch {
	case gone == nil && m.forbidden(mo, f, t):
		fp.stopped = true
		m.cfg.Note(mo.index, f.name(), "never_send forbids its column in this topic")
	case gone != nil && m.cfg.NoReread && onlyKey(t): // a tombstone before any row of its topic
		fp.stopped = true
	case gone != nil:
		fp.stopped = true
		m.cfg.Note(mo.index, f.name(), fmt.Sprintf("column %q is gone from %s: the field stops", gone[0], t.Name))
		m.cfg.Logger.Error("a mapped column is gone; its field stops, no nulls are sent", "table", t.Name, "column", gone[0],
			"model", mo.conf.Name, "field", f.name())
	case fp.col >= 0 && t.Columns[fp.col].Kind == connector.KindBytes && f.declared != "string":
		fp.stopped = true
		m.cfg.Note(mo.index, f.name(), "bytes have no JSON form: declare type: string to send them in base64")
	}
	return fp
}

// forbidden tells whether never_send names a field's column, or something inside it, by a topic that was not known when the model was compiled.
func (m *Mapper) forbidden(mo *model, f *field, t *connector.Table) bool {
	if mo.feeds == nil || len(m.cfg.NeverSend) == 0 || mo.table == t {
		return false
	}
	columns := []string{f.column}
	if f.prog != nil {
		columns = f.prog.columns
	}
	for _, name := range columns {
		_, known := banned(m.cfg.NeverSend, mo.named, name, func(int) {})
		whole, below := banned(m.cfg.NeverSend, func(word string) bool { return called(word, t.Name) }, name, func(int) {})
		if whole || len(below) > len(known) {
			return true
		}
	}
	return false
}

// outcome is what became of a field of one row image.
type outcome uint8

const (
	encoded  outcome = iota
	encNull          // NULL, to be cleared
	skipped          // left out by policy or because it cannot be sent
	notThere         // the image does not carry it
)

var jsonNull = []byte("null")

// encode appends a field's value in a row image. quiet keeps notes back, for old images. column names what is absent, for notThere.
func (j *job) encode(fp *fieldPlan, r connector.Row, dst []byte, quiet bool) (out []byte, oc outcome, column string) {
	var v connector.Value
	switch {
	case fp.col >= 0:
		c := &r.Cells[fp.col]
		switch c.State {
		case connector.Absent:
			return dst, notThere, fp.column
		case connector.Set:
			var err error
			if v, err = r.Table.Columns[fp.col].Decode(c.Raw); err != nil {
				j.note(fp, "its column cannot be decoded", quiet)
				return dst, skipped, ""
			}
		}
	case fp.pair[0] != "":
		return j.encodePair(fp, r, dst, quiet)
	case fp.drive != noRule:
		return j.encodeRule(fp, r, dst, quiet)
	case fp.prog != nil:
		g, err := fp.prog.run(r, fp.cols)
		if err == nil {
			v, err = fromGo(g)
		}
		var ae *absentError
		if errors.As(err, &ae) {
			return dst, notThere, ae.column
		}
		if err != nil {
			j.note(fp, err.Error(), quiet)
			return dst, skipped, ""
		}
	default:
		if bytes.Equal(fp.constant, jsonNull) {
			return fp.encodeNull(dst)
		}
		return append(dst, fp.constant...), encoded, ""
	}
	return j.encodeValue(fp.field, v, dst, quiet)
}

// encodeValue appends a value as a field carries it.
func (j *job) encodeValue(f *field, v connector.Value, dst []byte, quiet bool) (out []byte, oc outcome, column string) {
	if v.Kind == connector.KindNull || (f.nullLike && v.Kind == connector.KindText && isBlank(v.Str)) {
		return f.encodeNull(dst)
	}
	out, note, ok := f.convert(&f.set, dst, v)
	if !ok && v.Kind == connector.KindText && isBlank(v.Str) {
		note += "; it is blank, which blank: null_like would take for NULL"
	}
	if note != "" {
		j.noteField(f, note, quiet)
	}
	if !ok {
		return dst, skipped, ""
	}
	if len(out)-len(dst) == 4 && string(out[len(dst):]) == "null" { // JSON's own null
		return f.encodeNull(dst)
	}
	if note := f.drifts(out[len(dst):]); note != "" {
		j.noteField(f, note, quiet)
		return dst, skipped, ""
	}
	return out, encoded, ""
}

// encodePair appends a location out of two columns. It is NULL where both are; one alone is no location.
func (j *job) encodePair(fp *fieldPlan, r connector.Row, dst []byte, quiet bool) (out []byte, oc outcome, column string) {
	var at [2]float64
	nulls := 0
	for k, i := range fp.cols {
		v, there, err := r.Value(i)
		if !there {
			return dst, notThere, fp.pair[k]
		}
		switch {
		case err != nil:
			j.note(fp, "its column cannot be decoded", quiet)
			return dst, skipped, ""
		case v.Kind == connector.KindNull, v.Kind == connector.KindText && isBlank(v.Str) && fp.nullLike:
			nulls++
			continue
		}
		var ok bool
		if at[k], ok = degreesOf(v); !ok {
			j.note(fp, "latitude or longitude is not a number", quiet)
			return dst, skipped, ""
		}
	}
	switch nulls {
	case 1:
		j.note(fp, noteHalf, quiet)
		return dst, skipped, ""
	case 2:
		return fp.encodeNull(dst)
	}
	form := place.appendObject
	if fp.declared == geo {
		form = place.appendPair
	}
	out, note, ok := form(place{lon: at[1], lat: at[0]}, dst)
	if !ok {
		j.note(fp, note, quiet)
		return dst, skipped, ""
	}
	return out, encoded, ""
}

func (f *field) encodeNull(dst []byte) ([]byte, outcome, string) {
	switch f.null {
	case nullKeep:
		return dst, skipped, ""
	case nullValue:
		return append(dst, f.standin...), encoded, ""
	}
	if f.def != nil && f.def.NoNull {
		return dst, skipped, ""
	}
	return dst, encNull, ""
}

func (j *job) note(fp *fieldPlan, reason string, quiet bool) { j.noteField(fp.field, reason, quiet) }

func (j *job) noteField(f *field, reason string, quiet bool) {
	switch {
	case quiet:
	case j.said != nil:
		*j.said = reason
	default:
		j.m.cfg.Note(j.p.m.index, f.name(), reason)
		j.missed = append(j.missed, connector.FieldNote{Field: f.name(), Reason: reason})
	}
}

// prove says what the before-image proves about a field whose new encoding is known. Cells with equal raw bytes hold equal values; two that differ
// may still encode alike.
func (j *job) prove(fp *fieldPlan, after, before connector.Row, f *connector.Field) {
	if fp.constant != nil {
		f.Proof = connector.Unchanged // a constant
		return
	}
	if fp.prog != nil && fp.prog.volatile {
		return
	}
	same := true
	for _, i := range fp.cols {
		b := &before.Cells[i]
		if b.State == connector.Absent {
			return
		}
		same = same && *b == after.Cells[i]
	}
	if same {
		f.Proof = connector.Unchanged
		return
	}
	old, oc, _ := j.encode(fp, before, j.a.old[:0], true)
	j.a.old = old[:0]
	switch oc {
	case encNull:
		old = jsonNull
	case encoded:
	default:
		return
	}
	if bytes.Equal(old, f.JSON) {
		f.Proof = connector.Unchanged
		return
	}
	f.Proof, f.Was = connector.Changed, connector.HashJSON(old)
	if d := fp.def; oc == encoded && (d.Merge || d.Array != connector.ArrayWhole) {
		kept := j.a.kept(append(j.a.room(), old...))
		f.Old = &kept
	}
}
