package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/control"
	"brazecdc/connector/postgres"
	"brazecdc/connector/web"
)

// newestColumns are what columns that tell when a row changed are often called.
var newestColumns = []string{"updatedat", "updated", "modifiedat", "modified", "changedat", "lastmodified", "updatedon", "geaendertam", "createdat", "created"}

// byNewest is the column that tells which row is newest, where sorting by it is cheap; else the key has to do.
func (sh *showing) byNewest() string {
	if sh.t.Rows > 20_000 {
		return ""
	}
	for _, want := range newestColumns {
		for i := range sh.t.Columns {
			if c := &sh.t.Columns[i]; plainName(c.Name) == want && kindWord(c.Kind) == "date" {
				return c.Name
			}
		}
	}
	return ""
}

// pick finds the row; the zero Row where there is none.
func (sh *showing) pick(ctx context.Context, name string, ask web.PreviewAsk) (row connector.Row, key string, err error) {
	q := postgres.LookQuery{Columns: sh.columns(), Limit: 1}
	switch ask.Row {
	case "random":
		q.Order = postgres.Random
	case "key":
		id, err := keyOf(sh.t, ask.Key)
		if err != nil {
			return row, "", err
		}
		if q.Where, err = connector.SplitKey(sh.t, id); err != nil {
			return row, "", err
		}
	case "fails":
		q.Order, q.Limit = postgres.Random, looked
	case "noemail":
		if q.Null = sh.emailColumn(); q.Null == "" {
			return row, "", nil
		}
	default:
		q.Order, q.By = postgres.Last, sh.byNewest()
	}
	rows, err := sh.s.rows(ctx, name, q)
	for _, row := range rows {
		if ask.Row != "fails" || sh.fails(row) {
			return row, keyAsked(row.Table, connector.KeyOf(row).ID), nil
		}
	}
	return row, "", err
}

// emailColumn is the column that the e-mail address comes from, empty where none does.
func (sh *showing) emailColumn() string {
	for _, f := range sh.m.Fields {
		if f.Name == "email" {
			return f.Column
		}
	}
	return ""
}

// fails tells whether a row would be held back, or lose a field.
func (sh *showing) fails(row connector.Row) bool {
	if sh.leaves {
		row = withMember(withMembership(row.Table), row, "t")
	}
	m, err := sh.r.as(connector.Insert, 0, row)
	return err == nil && (m.held != "" || len(m.remarks) > 0)
}

// pickTopic finds a row that lives at the end of a topic.
func (sh *showing) pickTopic(ctx context.Context, _ string, ask web.PreviewAsk) (connector.Row, string, error) {
	n := looked
	if ask.Row == "key" {
		n = newestRecords
	}
	l, err := sh.s.topics.living(ctx, sh.m, n)
	if err != nil {
		return connector.Row{}, "", err
	}
	if i := sh.chosen(l.rows, ask); i >= 0 {
		return l.rows[i].After, keyAsked(l.rows[i].After.Table, l.rows[i].Key.ID), nil
	}
	return connector.Row{}, "", nil
}

// chosen is the place of the change that was asked for, negative where there is none. A change without a row after it is judged by the one before.
func (sh *showing) chosen(changes []connector.Change, ask web.PreviewAsk) int {
	var fit []int
	for i := range changes {
		row := rowAfter(&changes[i])
		if !row.Exists() {
			continue
		}
		is := true
		switch ask.Row {
		case "key":
			id, err := keyOf(row.Table, ask.Key)
			is = err == nil && id == changes[i].Key.ID
		case "noemail":
			at := row.Table.Column(sh.emailColumn())
			is = at >= 0 && row.Cells[at].State == connector.Null
		case "fails":
			if ask.Op == "asis" {
				m, err := sh.r.change(&changes[i], 0, nil)
				is = err == nil && (m.held != "" || len(m.remarks) > 0)
			} else {
				is = sh.fails(row)
			}
		}
		if is && ask.Row != "random" {
			return i
		}
		if is {
			fit = append(fit, i)
		}
	}
	if len(fit) == 0 {
		return -1
	}
	return fit[rand.IntN(len(fit))]
}

// rowAfter is the row that a change left, or of a delete the one that it took.
func rowAfter(c *connector.Change) connector.Row {
	if c.After.Exists() {
		return c.After
	}
	return c.Before
}

// memberColumn is a column that no table has: whether a row matches the filter.
const memberColumn = "matches the filter"

// withMembership gives a table that column.
func withMembership(t *connector.Table) *connector.Table {
	out := *t
	out.Columns = append(slices.Clone(t.Columns), connector.Column{Name: memberColumn, TypeName: "boolean", Kind: connector.KindBool, NotNull: true,
		Decode: func(raw string) (connector.Value, error) {
			v := connector.Value{Kind: connector.KindBool}
			if raw == "t" {
				v.Int = 1
			}
			return v, nil
		}})
	return &out
}

// withMember adds the column's value to a row.
func withMember(t *connector.Table, row connector.Row, is string) connector.Row {
	return connector.Row{Table: t, Cells: append(slices.Clone(row.Cells), connector.Cell{State: connector.Set, Raw: is})}
}

// leaving maps a row that was sent before as one that the filter does not include any more.
func (sh *showing) leaving(row connector.Row) (mapped, error) {
	t := withMembership(row.Table)
	in, out := withMember(t, row, "t"), withMember(t, row, "f")
	before, err := sh.r.as(connector.Insert, 0, in)
	if err != nil {
		return mapped{}, err
	}
	sent := sentAs{}
	for i := range before.effects {
		sent[0] = before.effects[i].User
	}
	return sh.r.change(&connector.Change{Key: connector.KeyOf(row), Op: connector.Update, Before: in, After: out, Time: time.Now()}, 0, sent)
}

// change shows a message of a topic as the change that it is.
func (sh *showing) change(ctx context.Context, name string, ask web.PreviewAsk) error {
	n := looked
	if ask.Row == "key" {
		n = newestRecords
	}
	changes, err := sh.s.newest(ctx, name, n)
	if err != nil {
		return err
	}
	i := sh.chosen(changes, ask)
	if i < 0 {
		return nil
	}
	c := &changes[i]
	m, err := sh.r.change(c, 0, nil)
	if err != nil {
		return err
	}
	row := rowAfter(c)
	sh.fill(ctx, row, keyAsked(row.Table, c.Key.ID), c.Op.String(), m)
	return nil
}

// unchanged finds the fields that Braze holds already, as far as the process knows, and takes them out of the calls, as they are when they leave their queue.
func (sh *showing) unchanged(ctx context.Context, m *mapped, fields []web.PreviewField) {
	for i := range m.effects {
		e := &m.effects[i]
		same, known := sh.v.held(ctx, sh.m.Name, e)
		sh.out.Known = sh.out.Known || known
		e.Fields = slices.DeleteFunc(slices.Clone(e.Fields), func(f connector.Field) bool {
			at := slices.IndexFunc(fields, func(x web.PreviewField) bool { return x.Name == f.Def.Name && x.State == web.FieldSent })
			if !same[f.Def] {
				return false
			}
			if at >= 0 {
				fields[at].State = web.FieldUnchanged
			}
			return true
		})
	}
	if m.none != "" || m.held != "" || len(m.effects) == 0 {
		return
	}
	left := mapped{remarks: m.remarks}
	for i := range m.effects {
		if e := m.effects[i]; e.Kind != connector.Track || e.Event != nil || len(e.Fields) > 0 {
			left.effects, left.whole = append(left.effects, e), append(left.whole, m.whole[i])
		}
	}
	if *m = left; len(m.effects) == 0 {
		m.none = "unchanged"
	}
}

// held tells which fields of an effect Braze holds already by what the running process sent, this one or the one beside it; known is false where that can't be
// told.
func (v *modelViews) held(ctx context.Context, model string, e *connector.Effect) (same map[*connector.FieldDef]bool, known bool) {
	if v.x == nil || e.Kind != connector.Track || e.Event != nil {
		return nil, false
	}
	api, done, err := v.p.pagesAPI(ctx, v.x, forReading)
	if err != nil {
		return nil, false
	}
	defer done()
	compares, ok := api.(control.Comparisons)
	if !ok {
		return nil, false
	}
	q := control.Comparison{Model: model, User: e.User}
	for i := range e.Fields {
		f := &e.Fields[i]
		q.Fields = append(q.Fields, control.ComparedField{Name: f.Def.Name, Group: f.Def.Group, Hash: f.Def.Hash, Value: f.JSON})
	}
	answer, err := compares.Compare(ctx, q)
	if err != nil || len(answer.Same) != len(e.Fields) {
		return nil, false
	}
	same = map[*connector.FieldDef]bool{}
	for i := range e.Fields {
		same[e.Fields[i].Def] = answer.Same[i]
	}
	return same, answer.Known
}

// Compare implements control.Comparisons.
func (a *app) Compare(_ context.Context, q control.Comparison) (*control.Compared, error) {
	at := slices.IndexFunc(a.cfg.Models, func(m connector.Model) bool { return m.Name == q.Model })
	if at < 0 {
		return nil, fmt.Errorf("tell what Braze holds: the configuration that works has no model %q", q.Model)
	}
	fields := make([]connector.Field, len(q.Fields))
	for i, f := range q.Fields {
		fields[i] = connector.Field{Def: &connector.FieldDef{Name: f.Name, Group: f.Group, Hash: f.Hash}, JSON: f.Value}
	}
	how, err := a.pipeline.Agreements(q.User, at, fields)
	if err != nil {
		return nil, err
	}
	out := &control.Compared{Same: make([]bool, len(how))}
	for i, x := range how {
		out.Known = out.Known || x != connector.AgreesUnknown
		def := fields[i].Def
		out.Same[i] = x == connector.AgreesSame && slices.ContainsFunc(a.mapper.Models()[at].Fields, func(d *connector.FieldDef) bool {
			return d.Name == def.Name && d.Group == def.Group && d.Hash == def.Hash // with other settings it is sent again
		})
	}
	return out, nil
}
