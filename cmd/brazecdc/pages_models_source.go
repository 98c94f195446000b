package main

import (
	"context"
	"slices"
	"sort"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"

	"brazecdc/connector"
	"brazecdc/connector/mapping"
	"brazecdc/connector/postgres"
	"brazecdc/connector/web"
)

// identities words pg_class.relreplident.
var identities = map[string]string{"d": "default", "f": "full", "i": "index", "n": "nothing"}

// Relations implements web.ModelsViews.
func (v *modelViews) Relations(ctx context.Context, draft []byte) ([]web.Relation, error) {
	s, err := v.see(draft)
	if err != nil {
		return nil, err
	}
	defer s.close()
	if s.gone != nil {
		return nil, s.gone
	}
	if s.topics != nil {
		return s.topicList(ctx)
	}
	tables, err := s.catalog(ctx)
	if err != nil {
		return nil, err
	}
	sort.SliceStable(tables, func(i, j int) bool { return userScore(&tables[i]) > userScore(&tables[j]) })
	out := make([]web.Relation, 0, len(tables))
	for i := range tables {
		out = append(out, s.describe(&tables[i]))
	}
	return out, nil
}

// topicList lists the topics; their columns are looked at when one is chosen.
func (s *sight) topicList(ctx context.Context) ([]web.Relation, error) {
	infos, err := s.topics.Topics(ctx)
	if err != nil {
		return nil, err
	}
	var out []web.Relation
	for _, info := range infos {
		if !slices.Contains(s.topics.own, info.Name) {
			out = append(out, web.Relation{Name: info.Name, Topic: true, Rows: info.Offsets, Readable: true})
		}
	}
	return out, nil
}

// catalog lists the database's tables.
func (s *sight) catalog(ctx context.Context) (tables []initTable, err error) {
	err = s.look.With(ctx, func(c *pgconn.PgConn) error {
		tables, err = readTables(ctx, c)
		return err
	})
	return tables, err
}

// describe words a table as the pages show it, without values.
func (s *sight) describe(t *initTable) web.Relation {
	out := web.Relation{Name: t.full(), Rows: t.rows, Readable: t.readable, Identity: identities[t.identity], ExternalID: externalID(t)}
	for _, c := range t.columns {
		out.Columns = append(out.Columns, web.RelationColumn{
			Name: c.name, Type: c.typ, Key: c.partOfKey, Unique: c.unique || c.key, NotNull: c.notNull, Private: looksPrivate(c.name), Consent: isConsent(c.name),
			Never: !mapping.MayLeave(s.cfg.NeverSend, t.full(), c.name),
		})
	}
	for _, x := range suggest(t.names(), nil) {
		out.Email = out.Email || x.field == "email"
	}
	return out
}

// Relation implements web.ModelsViews.
func (v *modelViews) Relation(ctx context.Context, draft []byte, name string) (*web.Relation, error) {
	s, err := v.see(draft)
	if err != nil {
		return nil, err
	}
	defer s.close()
	rel, _, err := s.relation(ctx, name, nil)
	if err == nil && rel.Topic {
		s.sizeTopic(ctx, rel)
	}
	return rel, err
}

// relation looks at a table or topic with some of its rows. used are columns that are read although their names look private.
func (s *sight) relation(ctx context.Context, name string, used []string) (*web.Relation, []connector.Row, error) {
	t, err := s.table(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	it := initTable{rows: t.Rows, readable: true, identity: [...]string{"d", "f", "i", "n"}[min(int(t.Identity), 3)]}
	it.schema, it.name = splitName(t.Name)
	for i := range t.Columns {
		c := &t.Columns[i]
		alone := slices.ContainsFunc(t.Unique, func(u []int) bool { return len(u) == 1 && u[0] == i })
		it.columns = append(it.columns, initColumn{name: c.Name, typ: c.TypeName, partOfKey: c.Key, key: c.Key && alone, unique: alone, notNull: c.NotNull})
	}
	rel := s.describe(&it)
	rel.Name, rel.Topic = name, s.topics != nil
	if rel.Topic {
		rel.Identity, rel.Rows = "", -1
	}
	for i := range rel.Columns {
		rel.Columns[i].Kind = kindWord(t.Columns[i].Kind)
		rel.Columns[i].Never = !mapping.MayLeave(s.cfg.NeverSend, t.Name, rel.Columns[i].Name)
	}
	var rows []connector.Row
	if columns := mayRead(&rel, used); len(columns) > 0 { // a query for none would read all
		if rows, err = s.rows(ctx, name, postgres.LookQuery{Columns: columns, Order: postgres.Across, Limit: looked}); err != nil {
			return nil, nil, err
		}
	}
	rel.Sampled = len(rows)
	rel.Suggestions = s.suggestions(ctx, &rel, &it, rows)
	for i := range rel.Columns {
		c := &rel.Columns[i]
		for _, r := range rows[:min(shownRows, len(rows))] {
			if x := r.Table.Column(c.Name); x >= 0 && !c.Never && (!c.Private || slices.Contains(used, c.Name)) {
				c.Samples = append(c.Samples, sampleOf(r, x))
			}
		}
	}
	return &rel, rows, nil
}

// sizeTopic tells how many messages a topic has, and what they look like. Without an answer that stays unknown.
func (s *sight) sizeTopic(ctx context.Context, rel *web.Relation) {
	if infos, err := s.topics.Topics(ctx, rel.Name); err == nil && len(infos) == 1 {
		rel.Rows = infos[0].Offsets
	}
	if recs, err := s.topics.Sample(ctx, rel.Name, 1); err == nil && len(recs) > 0 && len(recs[0].Value) > 0 {
		rel.Format = formatOf(recs[0].Value)
	}
}

// mayRead are the columns whose values may be read for a page.
func mayRead(rel *web.Relation, used []string) []string {
	var out []string
	for i := range rel.Columns {
		c := &rel.Columns[i]
		if !c.Never && (!c.Private || slices.Contains(used, c.Name)) {
			out = append(out, c.Name)
		}
	}
	return out
}

// suggestions are the profile fields that columns look like. Where rows have too few values of a column they are looked for.
func (s *sight) suggestions(ctx context.Context, rel *web.Relation, it *initTable, rows []connector.Row) []web.Suggestion {
	it.columns = slices.DeleteFunc(slices.Clone(it.columns), func(c initColumn) bool { return rel.Column(c.name).Never })
	if s.look != nil {
		_ = it.sample(ctx, s.look, rows) // without values the names alone count
	} else {
		it.take(rows)
	}
	var out []web.Suggestion
	for _, x := range suggest(it.names(), it.samples) {
		rest := x.sampled - int(x.share*float64(x.sampled)+0.5)
		out = append(out, web.Suggestion{Field: x.field, Column: x.column, Sampled: x.sampled, Misfits: rest, Likely: x.share >= likely})
	}
	return out
}

// sampleOf is one cell as a page shows it.
func sampleOf(r connector.Row, i int) web.SampleValue {
	if i < 0 || r.Cells[i].State != connector.Set {
		return web.SampleValue{Null: true}
	}
	return web.SampleValue{Text: sampleText(plainCell(r, i))}
}

// plainCell is a value as text: as Postgres prints it, but yes and no as rules write them; of a topic what its encoding means where that is text.
func plainCell(r connector.Row, i int) string {
	v, ok, err := r.Value(i)
	if ok && err == nil && (v.Kind == connector.KindText || v.Kind == connector.KindJSON || v.Kind == connector.KindDecimal) {
		return v.Str
	}
	if ok && err == nil && v.Kind == connector.KindBool {
		return strconv.FormatBool(v.Int != 0)
	}
	return r.Cells[i].Raw
}

// sampleText bounds what a page shows of a value.
func sampleText(s string) string {
	const most = 200
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

// kindWord is a column's kind as rules and fields take it.
func kindWord(k connector.ValueKind) string {
	switch k {
	case connector.KindBool:
		return "bool"
	case connector.KindInt, connector.KindFloat, connector.KindDecimal:
		return "number"
	case connector.KindDate, connector.KindTimestamp, connector.KindTimestampTZ:
		return "date"
	case connector.KindJSON:
		return "object"
	case connector.KindArray:
		return "list"
	case connector.KindBytes:
		return "bytes"
	}
	return "text"
}

func splitName(full string) (schema, name string) {
	for i := range full {
		if full[i] == '.' {
			return full[:i], full[i+1:]
		}
	}
	return "public", full
}

// usedColumns are the columns of a table that a model names, in expressions too.
func usedColumns(m *connector.Model, t *connector.Table) []string {
	var out []string
	add := func(texts ...string) {
		for _, text := range texts {
			for _, w := range append(word.FindAllString(text, -1), text) {
				if t.Column(w) >= 0 && !slices.Contains(out, w) {
					out = append(out, w)
				}
			}
		}
	}
	id, ev := &m.Identify, &m.Event
	add(id.ExternalID.Column, id.ExternalID.Expr, id.AliasName, id.Email, id.Phone, m.Filter, m.DeleteWhen, ev.When, ev.Time.Column, ev.Time.Expr, ev.Name.Column,
		ev.Currency.Column, ev.Currency.Expr, ev.Price.Column, ev.Price.Expr, ev.Quantity.Column, ev.Quantity.Expr)
	for _, x := range id.ItemID {
		add(x.Column, x.Expr)
	}
	for _, f := range append(slices.Clone(m.Fields), m.Custom...) {
		add(f.Column, f.Expr, f.Latitude, f.Longitude)
	}
	for _, g := range m.Groups {
		add(g.Subscribed, g.When)
	}
	for _, a := range m.Audiences {
		add(a.When)
	}
	for _, p := range ev.Properties {
		add(p.Column, p.Expr, p.Each)
	}
	return out
}
