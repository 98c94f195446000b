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
	needed     []int // columns that any part reads
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
	for _, f := range mo.fields {
		fp := fieldPlan{field: f, col: -1}
		var gone []string
		switch {
		case f.prog != nil:
			fp.cols, gone = resolve(f.prog.columns)
		case f.constant == nil:
			fp.cols, gone = resolve([]string{f.column})
			fp.col = fp.cols[0]
		}
		switch {
		case gone != nil:
			fp.stopped = true
			m.cfg.Note(mo.index, f.def.Name, fmt.Sprintf("column %q is gone from %s: the field stops", gone[0], t.Name))
			m.cfg.Logger.Error("a mapped column is gone; its field stops, no nulls are sent", "table", t.Name, "column", gone[0],
				"model", mo.conf.Name, "field", f.def.Name)
		case fp.col >= 0 && t.Columns[fp.col].Kind == connector.KindBytes && f.declared != "string":
			fp.stopped = true
			m.cfg.Note(mo.index, f.def.Name, "bytes have no JSON form: declare type: string to send them in base64")
		}
		p.fields = append(p.fields, fp)
	}
	return p
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
			return dst, encNull, ""
		}
		return append(dst, fp.constant...), encoded, ""
	}
	if v.Kind == connector.KindNull || (fp.nullLike && v.Kind == connector.KindText && isBlank(v.Str)) {
		return fp.encodeNull(dst)
	}
	out, note, ok := fp.convert(&fp.set, dst, v)
	if note != "" {
		j.note(fp, note, quiet)
	}
	if !ok {
		return dst, skipped, ""
	}
	if len(out)-len(dst) == 4 && string(out[len(dst):]) == "null" { // JSON's own null
		return fp.encodeNull(dst)
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
	return dst, encNull, ""
}

func (j *job) note(fp *fieldPlan, reason string, quiet bool) {
	if !quiet {
		j.m.cfg.Note(j.p.m.index, fp.def.Name, reason)
	}
}

// prove says what the before-image proves about a field whose new encoding is known. Cells with equal raw bytes hold equal values; two that differ
// may still encode alike.
func (j *job) prove(fp *fieldPlan, after, before connector.Row, f *connector.Field) {
	if fp.col < 0 && fp.prog == nil {
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
}
