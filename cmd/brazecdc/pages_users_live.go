package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/mapping"
	"brazecdc/connector/postgres"
	"brazecdc/connector/web"
)

// livingRows reads rows of the models' tables and maps them as they are now, for one request.
type livingRows struct {
	look *postgres.Look
	r    *reader
}

// living makes it, without connecting.
func (v *userViews) living(a *app) (*livingRows, error) {
	if a.topics != nil {
		return nil, connector.ErrNotReadable
	}
	look, err := v.models.lookAt(a.cfg.Source.Postgres)
	if err != nil {
		return nil, err
	}
	r := &reader{cfg: a.cfg, tables: a.tables}
	if err := v.p.compileReader(r); err != nil {
		return nil, err
	}
	return &livingRows{look, r}, nil
}

// mostRows is how many rows of one table are looked at for one user.
const mostRows = 5

func (l *livingRows) rows(ctx context.Context, table string, where []connector.Equal) (rows []connector.Row, err error) {
	err = l.look.Rows(ctx, postgres.LookQuery{Table: table, Where: where, Limit: mostRows}, func(r connector.Row) bool {
		rows = append(rows, r)
		return true
	})
	return rows, err
}

// mapped maps a row as a whole one.
func (l *livingRows) mapped(model int, row connector.Row) ([]connector.Effect, error) {
	l.r.remarks, l.r.passed = nil, ""
	return l.r.mapper.MapRow(nil, model, row, time.Now())
}

// userOf tells whose a row is, also where the filter keeps it out: then its columns say it.
func (l *livingRows) userOf(model int, row connector.Row) (connector.User, bool) {
	effects, err := l.mapped(model, row)
	if err == nil && len(effects) > 0 {
		return effects[0].User, true
	}
	var bad *connector.RowError
	if errors.As(err, &bad) && bad.User != (connector.User{}) {
		return bad.User, true
	}
	return plainUser(&l.r.cfg.Models[model], row)
}

// plainUser reads the identifier out of its column.
func plainUser(m *connector.Model, row connector.Row) (connector.User, bool) {
	id := &m.Identify
	for _, way := range []struct {
		column string
		user   connector.User
	}{
		{id.ExternalID.Column, connector.User{}}, {id.AliasName, connector.User{Kind: connector.Alias, Label: id.AliasLabel}}, {id.Email, connector.User{Kind: connector.Email}},
	} {
		if i := row.Table.Column(way.column); way.column != "" && i >= 0 && row.Cells[i].State == connector.Set {
			way.user.ID = plainCell(row, i)
			return way.user, way.user.ID != ""
		}
	}
	return connector.User{}, false
}

// rowsOf finds the living rows of a user: those that its history names, and those whose column names it.
func (l *livingRows) rowsOf(ctx context.Context, a *app, u connector.User, named []connector.Key) []web.UserRow {
	var out []web.UserRow
	for i := range a.cfg.Models {
		m := &a.cfg.Models[i]
		table := a.tables[m.Relation()]
		if table == nil || m.Kind == "events" || m.Kind == "purchases" {
			continue
		}
		var keys []string
		found := false
		column := ""
		switch u.Kind {
		case connector.ExternalID:
			column = m.Identify.ExternalID.Column
		case connector.Alias:
			if m.Identify.AliasLabel == u.Label {
				column = m.Identify.AliasName
			}
		case connector.Email:
			column = m.Identify.Email
		case connector.Phone:
			column = m.Identify.Phone
		}
		if column != "" && table.Column(column) >= 0 {
			rows, err := l.rows(ctx, table.Name, []connector.Equal{{Column: column, Text: u.ID}})
			if err != nil {
				out = append(out, web.UserRow{Model: m.Name, Table: table.Name, Fault: err.Error()})
				continue
			}
			for _, row := range rows {
				keys = append(keys, connector.KeyOf(row).ID)
				found = true
				out = append(out, l.row(a, i, u, row))
			}
		}
		for _, k := range named {
			if k.Table != table.Name || slices.Contains(keys, k.ID) || len(keys) >= 2*mostRows {
				continue
			}
			keys = append(keys, k.ID)
			if w, ok := l.named(ctx, a, i, u, table, k); ok && (!w.Gone || !found) {
				out = append(out, w)
			}
		}
	}
	return out
}

// named looks at a row that the history names.
func (l *livingRows) named(ctx context.Context, a *app, model int, u connector.User, table *connector.Table, k connector.Key) (web.UserRow, bool) {
	w := web.UserRow{Model: a.cfg.Models[model].Name, Table: table.Name, Key: keyFlag(table, k.ID)}
	where, err := connector.SplitKey(table, k.ID)
	if err != nil {
		return w, false
	}
	rows, err := l.rows(ctx, table.Name, where)
	switch {
	case err != nil:
		w.Fault = err.Error()
	case len(rows) == 0:
		w.Gone = true
	default:
		return l.row(a, model, u, rows[0]), true
	}
	return w, true
}

// row tells what would be sent of a row now, and how that compares with what Braze accepted last.
func (l *livingRows) row(a *app, model int, u connector.User, row connector.Row) web.UserRow {
	w := web.UserRow{Model: a.cfg.Models[model].Name, Table: row.Table.Name, Key: keyAsked(row.Table, connector.KeyOf(row).ID)}
	effects, err := l.mapped(model, row)
	for _, x := range l.r.remarks {
		w.Left = append(w.Left, connector.FieldNote{Field: x.Field, Reason: x.Reason})
	}
	why, err := unmappable(err)
	switch {
	case err != nil:
		w.Fault = err.Error()
	case why != "":
		w.Fault = why
	case len(effects) == 0:
		w.Nothing = orElse(l.r.passed, "mode")
	case effects[0].User != u:
		w.Other = true
	default:
		e := &effects[0]
		how, err := a.pipeline.Agreements(u, model, e.Fields)
		if err != nil {
			how = make([]connector.Agreement, len(e.Fields))
		}
		for i := range e.Fields {
			if f := &e.Fields[i]; f.Def.Group == "" {
				w.Fields = append(w.Fields, web.UserField{Name: f.Def.Name, Value: string(f.JSON), State: agreed(how[i], f)})
			}
		}
	}
	l.groups(model, row, &w)
	return w
}

// groups adds the states of subscription groups: a row that is read sends no consent, a change of it does.
func (l *livingRows) groups(model int, row connector.Row, w *web.UserRow) {
	if w.Other || w.Fault != "" {
		return
	}
	left := w.Left
	m, err := l.r.change(&connector.Change{Key: connector.KeyOf(row), Op: connector.Insert, After: row, Time: time.Now()}, model, nil)
	if err != nil {
		return
	}
	for i := range m.effects {
		for _, f := range m.effects[i].Fields {
			if f.Def.Group == "" {
				continue
			}
			label := f.Def.Name
			if at := strings.LastIndexByte(label, '.'); at >= 0 {
				label = label[at+1:]
			}
			w.Groups = append(w.Groups, web.UserField{Name: f.Def.Name, Label: label, Value: string(f.JSON)})
			left = slices.DeleteFunc(left, func(n connector.FieldNote) bool { return n.Field == f.Def.Name })
		}
	}
	w.Left = left
}

// agreed words how a field compares. That nothing was sent of an empty one is no difference.
func agreed(how connector.Agreement, f *connector.Field) string {
	switch how {
	case connector.AgreesSame:
		return web.FieldAgrees
	case connector.AgreesDiffers:
		return web.FieldDiffers
	case connector.AgreesNever:
		if f.Omit && string(f.JSON) == "null" {
			return web.FieldAgrees
		}
		return web.FieldNever
	}
	return web.FieldUnknown
}

// Compare implements web.UsersViews. It asks Braze once.
func (v *userViews) Compare(ctx context.Context, ref string, at int) (*web.UserCompared, error) {
	view, err := v.User(ctx, ref, "")
	if err != nil {
		return nil, err
	}
	if at < 0 || at >= len(view.Rows) {
		return nil, web.ErrNoUser
	}
	a, done, err := v.lend()
	if err != nil {
		return nil, err
	}
	defer done()
	out := &web.UserCompared{Row: view.Rows[at]}
	model := slices.IndexFunc(a.cfg.Models, func(m connector.Model) bool { return m.Name == out.Row.Model })
	if model < 0 {
		return nil, web.ErrNoUser
	}
	if k := a.cfg.Models[model].Kind; k != "" && k != "users" {
		return nil, errors.New("Braze can be asked for the profiles of users only") //nolint:staticcheck // a sentence of the page
	}
	live, err := v.living(a)
	if err != nil {
		return nil, err
	}
	table := live.r.tables[a.cfg.Models[model].Relation()]
	id, err := keyOf(table, out.Row.Key)
	if err != nil {
		return nil, err
	}
	where, err := connector.SplitKey(table, id)
	if err != nil {
		return nil, err
	}
	rows, err := live.rows(ctx, table.Name, where)
	if err != nil || len(rows) == 0 {
		return nil, errors.Join(err, errors.New("the row is not there any more"))
	}
	effects, err := live.mapped(model, rows[0])
	if err != nil || len(effects) == 0 {
		return nil, errors.Join(err, errors.New("nothing would be sent of the row"))
	}
	return out, v.compare(ctx, a, live, model, &effects[0], out)
}

// compare fills in what Braze holds beside what an effect carries.
func (v *userViews) compare(ctx context.Context, a *app, live *livingRows, model int, e *connector.Effect, out *web.UserCompared) error {
	asking := &verifier{reader: live.r, q: &verifyAsk{rate: 250}, at: model, m: &a.cfg.Models[model], sink: a.sink, pace: pace{per: 250}}
	profiles, err := asking.profiles(ctx, []connector.User{e.User})
	if err != nil {
		return err
	}
	found := profiles[e.User]
	out.Missing = len(found) == 0
	if out.Missing {
		return nil
	}
	for i := range e.Fields {
		f := &e.Fields[i]
		if incomparable(f.Def) != "" {
			out.Left = append(out.Left, f.Def.Name)
			continue
		}
		got := held(&found[0], f.Def)
		d := web.UserDiff{Name: f.Def.Name, Held: string(got), Equal: compareField(f, got) == ""}
		if string(f.JSON) != "null" {
			d.Source = string(f.JSON)
		}
		out.Fields = append(out.Fields, d)
	}
	return nil
}

// mayShow tells whether a column's name may stand on a page.
func mayShow(a *app, table, column string) bool {
	return mapping.MayLeave(a.cfg.NeverSend, table, column)
}
