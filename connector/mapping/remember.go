package mapping

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"brazecdc/connector"
)

var _ connector.RowRememberer = (*Mapper)(nil)

// remembered is what has to be known of a row so that what changes by time alone can be told without it.
type remembered struct {
	columns []string // sorted; none: nothing of the model reads the clock
	// whole: the filter reads the clock, so that a row may come in which was never sent; or an item is replaced as a whole.
	whole bool
}

// byTime tells whether a field changes by time alone. What a row gave to an array that rows make up together is not known without the row.
func (f *field) byTime() bool { return f.prog != nil && f.prog.volatile && !f.collect }

// columns are those that a field reads.
func (f *field) columns() []string {
	switch {
	case f.prog != nil:
		return f.prog.columns
	case f.pair[0] != "":
		return f.pair[:]
	case f.column != "":
		return []string{f.column}
	}
	return nil
}

// remembers finds what is to be remembered of the rows of a model.
func (mo *model) remembers() (r remembered) {
	if mo.event != nil {
		return r
	}
	any := mo.filter != nil && mo.filter.volatile
	r.whole = any
	for _, f := range mo.fields {
		if f.byTime() {
			any = true
			r.whole = r.whole || mo.kind == catalogs
		}
	}
	if !any {
		return r
	}
	for _, f := range mo.fields {
		if r.whole || f.byTime() {
			r.columns = append(r.columns, f.columns()...)
		}
	}
	if r.whole {
		r.columns = append(r.columns, mo.ruleColumns()...)
	}
	slices.Sort(r.columns)
	r.columns = slices.Compact(r.columns)
	return r
}

// ruleColumns are what filter and delete_when read.
func (mo *model) ruleColumns() (out []string) {
	for _, p := range []*program{mo.filter, mo.deleteWhen} {
		if p != nil {
			out = append(out, p.columns...)
		}
	}
	return out
}

// scheduled checks the schedule of a model whose rows come from a topic: it goes over what is remembered of them.
func (c *compiler) scheduled(mo *model) {
	if mo.conf.Schedule == nil || mo.conf.Table != "" || mo.event != nil {
		return
	}
	path := mo.conf.Schedule.Path
	if !mo.readsClock() {
		c.warn(path, "no rule or expression of the model reads the clock, and by time alone nothing else changes: the schedule has nothing to do", `remove it; "brazecdc replay" brings a topic again`)
		return
	}
	for _, f := range mo.fields {
		if f.collect && f.prog != nil && f.prog.volatile {
			c.warn(f.path, "the schedule passes the field over: what a row gave to an array that rows make up together is not known without the row", "")
		}
	}
	if mo.enrich {
		c.warn(path, "in enrich nobody knows what a profile holds: each run sends what the rules give for all rows that are known", "")
	}
	if !mo.keeps.whole {
		return
	}
	for _, name := range mo.ruleColumns() {
		if whole, below := c.neverSent(mo, name); whole || below != nil {
			c.fault(path, fmt.Sprintf("column %q, which filter or delete_when reads, is in never_send, so it is not remembered and the schedule cannot tell which rows the filter lets in by now", name),
				"remove the schedule, or use another column in the rule")
			return
		}
	}
}

// readsClock tells whether anything of the model changes by time alone.
func (mo *model) readsClock() bool {
	return len(mo.keeps.columns) > 0 || mo.keeps.whole || slices.ContainsFunc(mo.fields, (*field).byTime)
}

// ByTime names what of a model changes by time alone: its fields, and "filter" where that reads the clock; and the columns that are remembered for it.
func (m *Mapper) ByTime(model int) (what, columns []string) {
	mo := m.models[model]
	if mo.filter != nil && mo.filter.volatile {
		what = append(what, "filter")
	}
	for _, f := range mo.fields {
		if f.byTime() {
			what = append(what, f.name())
		}
	}
	return what, mo.keeps.columns
}

// Remembers implements connector.RowRememberer.
func (m *Mapper) Remembers(model int) bool {
	return model >= 0 && model < len(m.models) && m.models[model].readsClock()
}

// Remember implements connector.RowRememberer. Of a model whose filter does not read the clock only rows that it lets in are remembered: the others stay out
// until they change.
func (m *Mapper) Remember(dst []byte, model int, c *connector.Change, older func() []byte) (columns []byte, u connector.User, ok bool) {
	mo := m.models[model]
	if c.After.Table == nil || !fits(c.After) || !fits(c.Before) {
		return dst, u, false
	}
	p := m.planFor(mo, c.After.Table)
	if p == nil || p.broken != nil {
		return dst, u, false
	}
	a := m.rows.Get().(*arena)
	defer m.rows.Put(a)
	row := a.fill(c.After, c.Before, p.needed)
	j := job{m: m, p: p, c: c, a: a, key: c.Key}
	ru := j.rulesOf(p, row, true)
	if ru.dead == yes || ru.deadAbsent != "" {
		return dst, u, false
	}
	var was []byte
	if mo.filter != nil && !mo.filter.volatile && ru.match != yes {
		if ru.match == no || ru.matchAbsent != "" {
			return dst, u, false
		}
		if was = older(); was == nil { // a rule that became unknown leaves the row where it was
			return dst, u, false
		}
	}
	id := p.identity(row)
	if id.state != idKnown || mo.kind != catalogs && !j.admitted(id.user) {
		return dst, u, false
	}
	return m.appendColumns(dst, mo, p, row, was, older), id.user, true
}

// appendColumns appends the columns that are to be remembered: each by its name and value. What the row does not carry is what it was.
func (m *Mapper) appendColumns(dst []byte, mo *model, p *plan, row connector.Row, was []byte, older func() []byte) []byte {
	var before *rememberedRow
	all := row
	row = m.Redact(all)
	for n, i := range p.keep {
		if i < 0 {
			continue
		}
		name := mo.keeps.columns[n]
		switch row.Cells[i].State {
		case connector.Absent:
			if all.Cells[i].State != connector.Absent {
				continue // never_send took it out
			}
			if before == nil {
				if was == nil {
					was = older()
				}
				before, _ = readRemembered(was) // nothing is known where there is none
			}
			if at := slices.Index(before.names, name); at >= 0 {
				dst = m.appendOlder(dst, row.Table.Name, name, before.values[at])
			}
		case connector.Null:
			dst = append(appendText(dst, name), byte(connector.KindNull))
		default:
			v, _, err := row.Value(i)
			if err != nil {
				continue // not known, then, and no rule that needs it says anything
			}
			dst = appendValue(appendText(dst, name), &v)
		}
	}
	return dst
}

// appendOlder appends a column as it was remembered, without what never_send names by now.
func (m *Mapper) appendOlder(dst []byte, table, name, value string) []byte {
	if len(m.cfg.NeverSend) == 0 || value[0] == byte(connector.KindNull) {
		return append(appendText(dst, name), value...)
	}
	v, _, err := cutValue(value, 0)
	if err != nil {
		return dst
	}
	t := &connector.Table{Name: table, Columns: []connector.Column{{Name: name}}}
	left := m.Redact(connector.Row{Table: t, Cells: []connector.Cell{{State: connector.Set, Raw: v.Str}}}).Cells[0]
	if left.State == connector.Absent {
		return dst
	}
	v.Str = left.Raw
	return appendValue(appendText(dst, name), &v)
}

// rememberedRow is a row as it was remembered: names of columns, and their encoded values.
type rememberedRow struct{ names, values []string }

func readRemembered(b []byte) (*rememberedRow, error) {
	r := &rememberedRow{}
	for s := string(b); s != ""; {
		name, rest, ok := cutText(s)
		if !ok {
			return &rememberedRow{}, errRemembered
		}
		_, after, err := cutValue(rest, 0)
		if err != nil {
			return &rememberedRow{}, err
		}
		r.names, r.values = append(r.names, name), append(r.values, rest[:len(rest)-len(after)])
		s = after
	}
	return r, nil
}

var errRemembered = errors.New("what was remembered of a row cannot be read")

// maxDeep is how deep an array may hold arrays.
const maxDeep = 32

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func cutText(s string) (text, rest string, ok bool) {
	n, size := binary.Uvarint([]byte(s[:min(len(s), binary.MaxVarintLen64)]))
	if size <= 0 || n > uint64(len(s)-size) {
		return "", "", false
	}
	return s[size : size+int(n)], s[size+int(n):], true
}

// appendValue appends a value with its kind, so that it is read again as it was, whatever its source calls its type.
func appendValue(dst []byte, v *connector.Value) []byte {
	dst = append(dst, byte(v.Kind))
	switch v.Kind {
	case connector.KindNull:
	case connector.KindBool, connector.KindInt, connector.KindDate, connector.KindTime, connector.KindTimestamp, connector.KindTimestampTZ:
		dst = binary.AppendVarint(dst, v.Int)
	case connector.KindFloat:
		dst = binary.BigEndian.AppendUint64(dst, math.Float64bits(v.Float))
	case connector.KindArray:
		dst = binary.AppendUvarint(dst, uint64(len(v.List)))
		for i := range v.List {
			dst = appendValue(dst, &v.List[i])
		}
	default:
		dst = appendText(dst, v.Str)
	}
	return dst
}

// cutValue takes a value of appendValue off the front.
func cutValue(s string, deep int) (v connector.Value, rest string, err error) {
	if s == "" || deep > maxDeep {
		return v, "", errRemembered
	}
	v.Kind, rest = connector.ValueKind(s[0]), s[1:]
	switch v.Kind {
	case connector.KindNull:
	case connector.KindBool, connector.KindInt, connector.KindDate, connector.KindTime, connector.KindTimestamp, connector.KindTimestampTZ:
		n, size := binary.Varint([]byte(rest[:min(len(rest), binary.MaxVarintLen64)]))
		if size <= 0 {
			return v, "", errRemembered
		}
		v.Int, rest = n, rest[size:]
	case connector.KindFloat:
		if len(rest) < 8 {
			return v, "", errRemembered
		}
		v.Float, rest = math.Float64frombits(binary.BigEndian.Uint64([]byte(rest[:8]))), rest[8:]
	case connector.KindArray:
		n, size := binary.Uvarint([]byte(rest[:min(len(rest), binary.MaxVarintLen64)]))
		if size <= 0 || n > uint64(len(rest)-size) {
			return v, "", errRemembered
		}
		rest = rest[size:]
		v.List = make([]connector.Value, n)
		for i := range v.List {
			if v.List[i], rest, err = cutValue(rest, deep+1); err != nil {
				return v, "", err
			}
		}
	case connector.KindDecimal, connector.KindText, connector.KindTimeTZ, connector.KindInterval, connector.KindJSON, connector.KindBytes:
		var ok bool
		if v.Str, rest, ok = cutText(rest); !ok {
			return v, "", errRemembered
		}
	default:
		return v, "", errRemembered
	}
	return v, rest, nil
}

// tablesKept are the tables that remembered rows are read as: one for each list of columns, since what is remembered may have been so by another configuration.
type tablesKept struct {
	mu sync.Mutex
	of map[string]*tableKept
}

// tableKept is such a table with its plans.
type tableKept struct {
	table *connector.Table
	timed *plan // the fields that change by time alone
	whole *plan // all of them; nil where they are not all remembered
}

// maxTablesKept bounds the tables kept: more come of a configuration that was changed often.
const maxTablesKept = 256

// keptAs gives the table of a remembered row.
func (m *Mapper) keptAs(mo *model, topic string, names []string) *tableKept {
	key := fmt.Sprint(mo.index, "\x00", topic, "\x00", strings.Join(names, "\x00"))
	m.kept.mu.Lock()
	defer m.kept.mu.Unlock()
	if s := m.kept.of[key]; s != nil {
		return s
	}
	if m.kept.of == nil || len(m.kept.of) >= maxTablesKept {
		m.kept.of = map[string]*tableKept{}
	}
	s := &tableKept{table: &connector.Table{Name: topic}}
	for _, name := range names {
		s.table.Columns = append(s.table.Columns, connector.Column{Name: name, TypeName: "remembered", Decode: func(raw string) (connector.Value, error) {
			v, rest, err := cutValue(raw, 0)
			if err == nil && rest != "" {
				err = errRemembered
			}
			return v, err
		}})
	}
	s.timed, _ = m.rememberedPlan(mo, s.table, (*field).byTime)
	if whole, complete := m.rememberedPlan(mo, s.table, func(*field) bool { return true }); complete {
		s.whole = whole
	}
	m.kept.of[key] = s
	return s
}

// rememberedPlan is a plan of those fields whose columns are remembered. complete: none lacks any. Where a rule's columns are not, the plan is broken.
func (m *Mapper) rememberedPlan(mo *model, t *connector.Table, want func(*field) bool) (p *plan, complete bool) {
	p, complete = &plan{m: mo, table: t}, true
	resolve := func(names []string) (cols []int, gone []string) {
		for _, n := range names {
			i := t.Column(n)
			if i < 0 {
				gone = append(gone, n)
			}
			cols = append(cols, i)
		}
		return cols, gone
	}
	for _, f := range mo.fields {
		if !want(f) {
			continue
		}
		if _, gone := resolve(f.columns()); gone != nil {
			complete = false
			continue
		}
		p.fields = append(p.fields, m.planField(mo, f, t, resolve))
	}
	if !mo.keeps.whole {
		return p, complete
	}
	var gone []string
	if mo.filter != nil {
		p.filterCols, gone = resolve(mo.filter.columns)
	}
	if mo.deleteWhen != nil && gone == nil {
		p.deadCols, gone = resolve(mo.deleteWhen.columns)
	}
	if gone != nil {
		p.broken = &connector.StopError{What: fmt.Sprintf("column %q is not remembered", gone[0])}
	}
	return p, complete && gone == nil
}

// MapRemembered implements connector.RowRememberer.
func (m *Mapper) MapRemembered(dst []connector.Effect, model int, r *connector.RememberedRow, enters bool) ([]connector.Effect, error) {
	if model < 0 || model >= len(m.models) {
		return dst, fmt.Errorf("map a remembered row: there is no model %d", model)
	}
	mo := m.models[model]
	read, err := readRemembered(r.Columns)
	if err != nil {
		return dst, &connector.RowError{Model: model, Reason: err.Error()}
	}
	s := m.keptAs(mo, r.Key.Table, read.names)
	enters = enters && mo.filter != nil && mo.filter.volatile // else the rows that are remembered were let in before
	all := enters || mo.kind == catalogs
	p := s.timed
	if all {
		p = s.whole
	}
	if p == nil || p.broken != nil {
		return dst, connector.ErrNotRemembered
	}
	row := connector.Row{Table: s.table, Cells: make([]connector.Cell, len(read.values))}
	for i, raw := range read.values {
		row.Cells[i] = connector.Cell{State: connector.Set, Raw: raw}
		if raw[0] == byte(connector.KindNull) {
			row.Cells[i] = connector.Cell{State: connector.Null}
		}
	}
	a := m.rows.Get().(*arena)
	defer m.rows.Put(a)
	j := job{m: m, p: p, a: a, key: r.Key}
	if mo.keeps.whole {
		switch ru := j.rulesOf(p, row, false); {
		case ru.dead == yes:
			return j.pass(dst, "delete_when")
		case ru.match != yes:
			return j.pass(dst, "filter")
		}
	}
	from := len(dst)
	if dst, err = j.track(dst, r.User, row, connector.Row{}, whole{omit: true, creates: enters, lenient: true}); err != nil {
		return dst[:from], err
	}
	for i := from; i < len(dst); i++ {
		if e := &dst[i]; !enters {
			e.UpdateOnly, e.Creates, e.Whole = true, false, false
		}
	}
	return dst, nil
}
