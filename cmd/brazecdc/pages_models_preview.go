package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"brazecdc/connector"
	"brazecdc/connector/mapping"
	"brazecdc/connector/web"
)

// Preview implements web.ModelsViews. It is what "brazecdc preview" shows, of the draft.
func (v *modelViews) Preview(ctx context.Context, draft []byte, ask web.PreviewAsk) (_ *web.ModelPreview, err error) {
	defer func() { err = v.p.namedError(draft, err) }()
	at, err := v.seeModel(ctx, draft, ask.Model)
	if err != nil {
		return nil, err
	}
	defer at.close()
	v.knowTypes(ctx, at.sight)
	s, m, name, t := at.sight, at.m, at.name, at.t
	out := &web.ModelPreview{Op: ask.Op, Topic: s.topics != nil, AsIs: s.topics != nil && ask.Op == "asis"}
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
	sh := &showing{v: v, s: s, m: m, t: t, r: r, out: out, leaves: ask.Op == "leaves"}
	if out.AsIs {
		return out, sh.change(ctx, name, ask)
	}
	pick := sh.pick
	if out.Topic {
		pick = sh.pickTopic
	}
	row, key, err := pick(ctx, name, ask)
	if err != nil || !row.Exists() {
		return out, err
	}
	return out, sh.show(ctx, row, key, ask.Op)
}

// showing is one preview being made.
type showing struct {
	v      *modelViews
	s      *sight
	m      *connector.Model
	t      *connector.Table
	r      *reader
	out    *web.ModelPreview
	leaves bool // the row is shown as one that leaves the filter
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

// show fills in what a row means as an operation.
func (sh *showing) show(ctx context.Context, row connector.Row, key, op string) error {
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
	sh.fill(ctx, row, key, op, m)
	return nil
}

// fill words what was mapped.
func (sh *showing) fill(ctx context.Context, row connector.Row, key, op string, m mapped) {
	o := sh.out
	o.Found, o.Key, o.Op, o.HeldBack = true, key, op, m.held
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
	all := sh.fields(m)
	if op == "update" || o.AsIs { // of a new row nothing can be known
		sh.unchanged(ctx, &m, all)
	}
	o.Nothing = m.none
	shown := sh.r.shown(sh.m.Name, key, connector.Insert, m)
	for _, c := range shown.Calls {
		o.Calls = append(o.Calls, web.PreviewCall{
			Method: c.Method, Path: c.Path, Body: string(c.Body), Pretty: pretty(c.Body), Points: c.DataPoints, Late: c.Late, Curl: c.Curl,
		})
	}
	o.Fields, o.Private = all, privateFields(sh.m)
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
