package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/mapping"
	"brazecdc/connector/postgres"
	"brazecdc/connector/web"
)

// Preview implements web.ModelsViews. It is what "brazecdc preview" shows, of the draft.
func (v *modelViews) Preview(ctx context.Context, draft []byte, ask web.PreviewAsk) (*web.ModelPreview, error) {
	at, err := v.seeModel(ctx, draft, ask.Model)
	if err != nil {
		return nil, err
	}
	defer at.close()
	s, m, name, t := at.sight, at.m, at.name, at.t
	out := &web.ModelPreview{Op: ask.Op, Topic: s.topics != nil}
	one := *s.cfg
	one.Models = []connector.Model{*m}
	shape := t
	if ask.Op == "leaves" {
		shape = withMembership(t)
		one.Models[0].Filter = "$env[\"" + memberColumn + "\"]" // of any row it can be told that it matched, and does not any more
	}
	r := &reader{cfg: &one, topics: s.topics, tables: map[string]*connector.Table{name: shape}}
	var faults []connector.Fault
	r.mapper, faults = s.alone(r.tables, one.Models[0], func(c *mapping.Config) {
		c.Note = func(_ int, field, reason string) { r.remarks = append(r.remarks, remark{field, reason}) }
		c.Passed = func(_ int, why string) { r.passed = why }
	})
	for _, f := range s.cfg.Resolve(faults) {
		if !f.Warn {
			out.Faults = append(out.Faults, f)
		}
	}
	if r.mapper == nil {
		return out, nil
	}
	sh := &showing{s: s, m: m, t: t, r: r, out: out}
	if s.topics != nil {
		return out, sh.change(ctx, name, ask)
	}
	row, err := sh.pick(ctx, name, ask)
	if err != nil || !row.Exists() {
		return out, err
	}
	return out, sh.show(row, ask.Op)
}

// showing is one preview being made.
type showing struct {
	s   *sight
	m   *connector.Model
	t   *connector.Table
	r   *reader
	out *web.ModelPreview
}

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

// columns are those that are read: what never_send names only where a rule of the model needs it.
func (sh *showing) columns() []string {
	var out []string
	rules := wordsIn(strings.Join([]string{sh.m.Filter, sh.m.DeleteWhen, sh.m.Event.When}, " "))(sh.t)
	for i := range sh.t.Columns {
		name := sh.t.Columns[i].Name
		if mapping.MayLeave(sh.s.cfg.NeverSend, sh.t.Name, name) || slices.Contains(rules, name) {
			out = append(out, name)
		}
	}
	return out
}

// pick finds the row; the zero Row where there is none.
func (sh *showing) pick(ctx context.Context, name string, ask web.PreviewAsk) (connector.Row, error) {
	q := postgres.LookQuery{Columns: sh.columns(), Limit: 1}
	switch ask.Row {
	case "random":
		q.Order = postgres.Random
	case "key":
		id, err := keyOf(sh.t, ask.Key)
		if err != nil {
			return connector.Row{}, err
		}
		if q.Where, err = connector.SplitKey(sh.t, id); err != nil {
			return connector.Row{}, err
		}
	case "fails":
		q.Order, q.Limit = postgres.Random, looked
	case "noemail":
		for _, f := range sh.m.Fields {
			if f.Name == "email" {
				q.Null = f.Column
			}
		}
		if q.Null == "" {
			return connector.Row{}, nil
		}
	default:
		q.Order, q.By = postgres.Last, sh.byNewest()
	}
	rows, err := sh.s.rows(ctx, name, q)
	if err != nil || len(rows) == 0 {
		return connector.Row{}, err
	}
	if ask.Row != "fails" {
		return rows[0], nil
	}
	for _, row := range rows {
		if m, err := sh.r.as(connector.Insert, 0, row); err == nil && (m.held != "" || len(m.remarks) > 0) {
			return row, nil
		}
	}
	return connector.Row{}, nil
}

// show fills in what a row means as an operation.
func (sh *showing) show(row connector.Row, op string) error {
	var m mapped
	var err error
	switch op {
	case "update":
		m, err = sh.r.as(connector.Update, 0, row)
	case "delete":
		m, err = sh.r.as(connector.Delete, 0, row)
	case "leaves":
		m, err = sh.leaving(row)
	default:
		m, err = sh.r.as(connector.Insert, 0, row)
	}
	if err != nil {
		return err
	}
	sh.fill(row, typedKey(row), op, m)
	return nil
}

// typedKey is a row's key as a person writes it: see keyOf.
func typedKey(row connector.Row) string {
	var parts []string
	one := ""
	for i := range row.Table.Columns {
		if c := &row.Table.Columns[i]; c.Key {
			one = row.Cells[i].Raw
			parts = append(parts, c.Name+"="+one)
		}
	}
	if len(parts) == 1 {
		return one
	}
	return strings.Join(parts, ",")
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

// leaving maps a row that was sent before as one that the filter does not include any more.
func (sh *showing) leaving(row connector.Row) (mapped, error) {
	as := func(is string) connector.Row {
		return connector.Row{Table: sh.r.tables[sh.t.Name], Cells: append(slices.Clone(row.Cells), connector.Cell{State: connector.Set, Raw: is})}
	}
	in, out := as("t"), as("f")
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
	changes, err := sh.s.newest(ctx, name, looked)
	if err != nil {
		return err
	}
	for i := range changes {
		c := &changes[i]
		row := c.After
		if !row.Exists() {
			row = c.Before
		}
		if !row.Exists() || ask.Row == "key" && c.Key.ID != ask.Key {
			continue
		}
		m, err := sh.r.change(c, 0, nil)
		if err != nil {
			return err
		}
		if ask.Row == "fails" && m.held == "" && len(m.remarks) == 0 {
			continue
		}
		sh.fill(row, c.Key.ID, c.Op.String(), m)
		return nil
	}
	return nil
}

// fill words what was mapped.
func (sh *showing) fill(row connector.Row, key, op string, m mapped) {
	o := sh.out
	o.Found, o.Key, o.Op, o.HeldBack, o.Nothing = true, key, op, m.held, m.none
	for i := range row.Table.Columns {
		c := &row.Table.Columns[i]
		cell := web.PreviewCell{Column: c.Name, Type: c.TypeName}
		if !mapping.MayLeave(sh.s.cfg.NeverSend, row.Table.Name, c.Name) || looksPrivate(c.Name) {
			cell.Hidden = true
		} else {
			v := sampleOf(row, i)
			cell.Value, cell.Null = v.Text, v.Null
		}
		o.Columns = append(o.Columns, cell)
	}
	shown := sh.r.shown(sh.m.Name, key, connector.Insert, m)
	for _, c := range shown.Calls {
		o.Calls = append(o.Calls, web.PreviewCall{
			Method: c.Method, Path: c.Path, Body: string(c.Body), Pretty: pretty(c.Body), Points: c.DataPoints, Late: c.Late, Curl: c.Curl,
		})
	}
	o.Fields = sh.fields(m)
}

// fields tells what becomes of each line.
func (sh *showing) fields(m mapped) []web.PreviewField {
	sent := map[string]string{}
	for i := range m.effects {
		for _, f := range m.effects[i].Fields {
			sent[f.Def.Name] = string(f.JSON)
		}
	}
	var out []web.PreviewField
	told := map[string]bool{}
	for _, l := range linesOf(sh.m) {
		f := web.PreviewField{Name: l.name, State: web.FieldEmpty}
		for _, x := range m.remarks {
			if x.Field == l.name {
				f.Reason, told[l.name] = x.Reason, true
			}
		}
		switch js, ok := sent[l.name]; {
		case ok:
			f.State, f.Value = web.FieldSent, js
		case f.Reason != "":
			f.State = web.FieldLeft
		}
		out = append(out, f)
	}
	for i := range m.effects {
		if e := m.effects[i].Event; e != nil {
			out = append(out, eventFields(e.JSON)...)
		}
	}
	for _, x := range m.remarks {
		if !told[x.Field] {
			out = append(out, web.PreviewField{Name: x.Field, State: web.FieldLeft, Reason: x.Reason})
		}
	}
	return out
}

// eventFields are the members of an event.
func eventFields(members []byte) (out []web.PreviewField) {
	d := json.NewDecoder(bytes.NewReader(slices.Concat([]byte("{"), members, []byte("}"))))
	if _, err := d.Token(); err != nil {
		return nil
	}
	for d.More() {
		name, err := d.Token()
		var value json.RawMessage
		if err != nil || d.Decode(&value) != nil {
			return out
		}
		out = append(out, web.PreviewField{Name: fmt.Sprint(name), State: web.FieldSent, Value: string(value)})
	}
	return out
}

// pretty indents a call's body.
func pretty(body []byte) string {
	var b bytes.Buffer
	if json.Indent(&b, body, "", "  ") != nil {
		return string(body)
	}
	return b.String()
}
