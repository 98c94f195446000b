package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"brazecdc/connector"
	"brazecdc/connector/config"
	"brazecdc/connector/mapping"
	"brazecdc/connector/postgres"
	"brazecdc/connector/web"
)

// Plan implements web.ModelsViews.
func (v *modelViews) Plan(ctx context.Context, draft []byte, name string) (*web.ModelPlan, error) {
	s, err := v.see(draft)
	if err != nil {
		return nil, err
	}
	defer s.close()
	m, err := s.model(name)
	if err != nil {
		return nil, err
	}
	v.knowTypes(ctx, s)
	out := &web.ModelPlan{Path: m.Path, Lines: map[string]*web.LinePlan{}, NoID: -1, Doubles: -1}
	tables, err := s.tables(ctx)
	if err != nil {
		out.Unreachable = v.p.named(draft)(err.Error())
	}
	_, faults := newMapping(s.mappingConfig(tables), s.topics != nil)
	out.Faults = slices.Clone(s.faults)
	for _, f := range s.cfg.Resolve(faults) {
		if !slices.ContainsFunc(out.Faults, func(o config.Fault) bool { return o.Path == f.Path && (!o.Warn || sameCase(o, f)) }) {
			out.Faults = append(out.Faults, f)
		}
	}
	table := tables[m.Relation()]
	if table == nil && m.TopicPattern != "" {
		reads := m.Reads()
		for topic, t := range tables {
			if reads(topic) {
				table = t
			}
		}
	}
	if table == nil {
		return out, nil
	}
	rel, rows, err := s.relation(ctx, table.Name, usedColumns(m, table))
	if err != nil {
		out.Unreachable = v.p.named(draft)(err.Error())
		return out, nil
	}
	out.Source, out.Rows = rel, len(rows)
	s.lines(out, tables, m, rows)
	s.identifiers(ctx, out, m, table)
	return out, nil
}

// sameCase tells whether reading the file and compiling it warn of one and the same thing: a name that differs from a profile field's only in case.
func sameCase(read, compiled config.Fault) bool {
	return compiled.Warn && strings.Contains(read.What, "only in case") && strings.Contains(compiled.What, "is written like the profile field")
}

// lines maps the rows and tells what became of each line.
func (s *sight) lines(out *web.ModelPlan, tables map[string]*connector.Table, conf *connector.Model, rows []connector.Row) {
	m := *conf // every row counts, whatever the rules say of it
	m.Filter, m.OnLeave, m.DeleteWhen, m.Schedule = "", "", "", nil
	var said []remark
	mapper, _ := s.alone(tables, m, func(c *mapping.Config) {
		c.OnlyUsers = nil
		c.Note = func(_ int, field, reason string) { said = append(said, remark{field, reason}) }
	})
	if mapper == nil {
		return
	}
	info := mapper.Models()[0]
	if info.Happens {
		return // of what happens, the preview shows the whole
	}
	id := idLine(conf)
	for _, row := range rows {
		said = said[:0]
		effects, err := mapper.MapRow(nil, 0, row, time.Now())
		notes := map[string]string{}
		for _, x := range said {
			notes[x.Field] = x.Reason
		}
		var bad *connector.RowError
		switch {
		case errors.As(err, &bad):
			tallyLine(out, id.path, fromOf(row, id), "", bad.Reason, true)
			continue
		case err != nil || len(effects) == 0:
			continue
		}
		tallyLine(out, id.path, fromOf(row, id), strconv.Quote(effects[0].User.ID), notes["external_id"], false)
		sent := map[string]string{}
		for i := range effects {
			for _, f := range effects[i].Fields {
				sent[f.Def.Name] = string(f.JSON)
			}
		}
		for _, l := range linesOf(conf) {
			to, ok := sent[l.name]
			why := notes[l.name]
			if why == "" && ok && s.becomesTime(conf, info, l, to) {
				why = noteBecomesTime
			}
			tallyLine(out, l.path, fromOf(row, l), to, why, !ok && why != "")
		}
	}
	private := privateFields(conf)
	for _, l := range linesOf(conf) {
		if p := out.Lines[l.path]; p != nil {
			p.Type = typeWord(info, l, p)
			if slices.Contains(private, l.name) {
				hideLine(p)
			}
		}
	}
}

// hideLine leaves of a line whose values look private only how many there are of which kind.
func hideLine(p *web.LinePlan) {
	p.Private, p.Samples = true, nil
	for i := range p.Reasons {
		p.Reasons[i].Reason, p.Reasons[i].Sample = connector.ReasonKind(p.Reasons[i].Reason), web.SampleValue{Null: true}
	}
}

// noteBecomesTime is of text that Braze reads as a time by itself.
const noteBecomesTime = "text that looks like a date, which Braze would make a time"

// becomesTime tells whether a value of an attribute is text here and would be a time in Braze, where the attribute is not known as text.
func (s *sight) becomesTime(m *connector.Model, info connector.ModelInfo, l planLine, to string) bool {
	if !strings.HasPrefix(l.path, m.Path+".custom") || s.types[l.name] == connector.StringType || !mapping.LooksLikeTime(to) {
		return false
	}
	return slices.ContainsFunc(info.Fields, func(d *connector.FieldDef) bool { return d.Name == l.name && d.Type == connector.StringType })
}

// planLine is one line of a model: the name under which effects and notes know it, where it stands, and the columns it reads.
type planLine struct {
	name, path string
	columns    []string
	from       func(t *connector.Table) []string // of an expression
}

// idLine is the first of what names the user, or the item.
func idLine(m *connector.Model) planLine {
	id := &m.Identify
	path := m.Path + ".identify."
	switch {
	case len(id.ItemID) > 0:
		l := planLine{name: "item_id", path: path + "item_id"}
		for _, x := range id.ItemID {
			l.columns = append(l.columns, x.Column)
		}
		return l
	case id.ExternalID.Expr != "":
		return planLine{name: "external_id", path: path + "external_id", from: wordsIn(id.ExternalID.Expr)}
	case id.ExternalID.Column != "":
		return planLine{name: "external_id", path: path + "external_id", columns: []string{id.ExternalID.Column}}
	case id.AliasName != "":
		return planLine{name: "alias", path: path + "alias", columns: []string{id.AliasName}}
	case id.Email != "":
		return planLine{name: "email", path: path + "email", columns: []string{id.Email}}
	}
	return planLine{name: "phone", path: path + "phone", columns: []string{id.Phone}}
}

// linesOf are the lines of fields, custom, groups and audiences.
func linesOf(m *connector.Model) []planLine {
	var out []planLine
	for _, f := range append(slices.Clone(m.Fields), m.Custom...) {
		l := planLine{name: strings.TrimSpace(f.Name), path: f.Path}
		switch {
		case f.Column != "":
			l.columns = []string{f.Column}
		case f.Latitude != "" || f.Longitude != "":
			l.columns = []string{f.Latitude, f.Longitude}
		case f.Expr != "":
			l.from = wordsIn(f.Expr)
		}
		out = append(out, l)
	}
	for _, g := range m.Groups {
		l := planLine{name: "subscription_groups." + g.Group, path: g.Path, columns: []string{g.Subscribed}}
		if g.When != "" {
			l.columns, l.from = nil, wordsIn(g.When)
		}
		out = append(out, l)
	}
	for _, a := range m.Audiences {
		out = append(out, planLine{name: strings.TrimSpace(a.Attribute), path: a.Path, from: wordsIn(a.When)})
	}
	return out
}

// wordsIn gives the columns of a table that an expression names.
func wordsIn(expr string) func(t *connector.Table) []string {
	words := word.FindAllString(expr, -1)
	return func(t *connector.Table) []string {
		var out []string
		for _, w := range words {
			if t.Column(w) >= 0 && !slices.Contains(out, w) {
				out = append(out, w)
			}
		}
		return out
	}
}

// fromOf is what a line reads of a row.
func fromOf(row connector.Row, l planLine) web.SampleValue {
	columns := l.columns
	if l.from != nil {
		columns = l.from(row.Table)
	}
	out := web.SampleValue{Null: true}
	for _, c := range columns {
		v := web.SampleValue{Null: true}
		if i := row.Table.Column(c); i >= 0 {
			v = sampleOf(row, i)
		}
		switch {
		case v.Null:
		case out.Null:
			out = v
		default:
			out.Text += ", " + v.Text
		}
	}
	return out
}

// lineSamples is how many values of a line a page shows.
const lineSamples = 3

// tallyLine counts one row for a line.
func tallyLine(out *web.ModelPlan, path string, from web.SampleValue, to, why string, left bool) {
	p := out.Lines[path]
	if p == nil {
		p = &web.LinePlan{}
		out.Lines[path] = p
	}
	switch {
	case left:
		p.Left++
	case to == "" || to == "null":
		p.Empty++
		to = ""
	default:
		p.Sent++
	}
	if len(p.Samples) < lineSamples && (!from.Null || to != "") {
		p.Samples = append(p.Samples, web.LineSample{From: from, To: sampleText(to), Why: why})
	}
	if why == "" {
		return
	}
	for i := range p.Reasons {
		if p.Reasons[i].Reason == why {
			p.Reasons[i].Rows++
			return
		}
	}
	p.Reasons = append(p.Reasons, web.LineReason{Reason: why, Rows: 1, Left: left, Sample: from})
}

// attrWords are the types of custom attributes as the pages word them.
var attrWords = map[connector.AttrType]string{
	connector.StringType: "text", connector.NumberType: "number", connector.BoolType: "bool", connector.TimeType: "time", connector.ArrayType: "list",
	connector.ObjectType: "object", connector.ObjectsType: "list",
}

// presetWords are the types of Braze's own fields that are not what their JSON looks like.
var presetWords = map[string]string{"dob": "date", "current_location": "place", "date_of_first_session": "time", "date_of_last_session": "time", "marked_email_as_spam_at": "time"}

// typeWord is the type that a line's values have in Braze.
func typeWord(info connector.ModelInfo, l planLine, p *web.LinePlan) string {
	if w := presetWords[l.name]; w != "" {
		return w
	}
	for _, f := range info.Fields {
		if w := attrWords[f.Type]; f.Name == l.name && w != "" {
			return w
		}
	}
	for _, s := range p.Samples {
		if s.To == "" {
			continue
		}
		switch s.To[0] {
		case '"':
			return "text"
		case 't', 'f':
			return "bool"
		case '[':
			return "list"
		case '{':
			return "object"
		}
		return "number"
	}
	return ""
}

// maxIdentifiers is over how many rows identifiers are compared.
const maxIdentifiers = 100_000

// identifiers counts rows that no user could be told by, and users that have more than one row.
func (s *sight) identifiers(ctx context.Context, out *web.ModelPlan, m *connector.Model, t *connector.Table) {
	column := m.Identify.ExternalID.Column
	if column == "" || s.look == nil || t.Column(column) < 0 || m.Kind != "users" {
		return
	}
	if c := out.Source.Column(column); c != nil && c.Unique {
		out.NoID, out.Doubles = 0, 0
		return
	}
	schema, name := splitName(t.Name)
	sql := fmt.Sprintf("SELECT count(*), count(*) - count(c), count(c) - count(DISTINCT c) FROM (SELECT %s AS c FROM %s LIMIT %d) s",
		pgx.Identifier{column}.Sanitize(), pgx.Identifier{schema, name}.Sanitize(), maxIdentifiers)
	_ = s.look.With(ctx, func(c *pgconn.PgConn) error { // without an answer the two stay unknown
		rows, err := textRows(ctx, c, sql)
		if err != nil || len(rows) != 1 {
			return err
		}
		for i, dst := range []*int64{&out.Checked, &out.NoID, &out.Doubles} {
			if n, err := strconv.ParseInt(rows[0][i], 10, 64); err == nil {
				*dst = n
			}
		}
		return nil
	})
}

// Try implements web.ModelsViews.
func (v *modelViews) Try(ctx context.Context, draft []byte, model, expr string, rule bool) (_ *web.Tried, err error) {
	defer func() { err = v.p.namedError(draft, err) }()
	s, err := v.see(draft)
	if err != nil {
		return nil, err
	}
	defer s.close()
	m, err := s.model(model)
	if err != nil {
		return nil, err
	}
	t, err := s.table(ctx, s.oneOf(ctx, m))
	if err != nil {
		return nil, err
	}
	r, fault := s.rule(expr, t, rule)
	if fault != nil {
		return &web.Tried{Fault: fault}, nil
	}
	columns := slices.DeleteFunc(slices.Clone(r.Columns()), func(c string) bool { return !mapping.MayLeave(s.cfg.NeverSend, t.Name, c) })
	out := &web.Tried{Columns: columns}
	if len(columns) < len(r.Columns()) {
		return out, nil // it reads what is not shown
	}
	rows, err := s.rows(ctx, t.Name, postgres.LookQuery{Columns: columns, Limit: shownRows})
	for _, row := range rows {
		var x web.TriedRow
		for _, c := range columns {
			x.From = append(x.From, sampleOf(row, row.Table.Column(c)))
		}
		x.Value, x.Why = r.Value(row)
		out.Rows = append(out.Rows, x)
	}
	return out, err
}

// oneOf is the table or topic of a model, of a pattern the first topic that it means.
func (s *sight) oneOf(ctx context.Context, m *connector.Model) string {
	if m.TopicPattern == "" || s.topics == nil {
		return m.Relation()
	}
	infos, err := s.topics.Topics(ctx)
	reads := m.Reads()
	for _, info := range infos {
		if err == nil && reads(info.Name) {
			return info.Name
		}
	}
	return m.Relation()
}

// rule compiles an expression against a table.
func (s *sight) rule(source string, t *connector.Table, rule bool) (*mapping.Rule, *web.RuleFault) {
	r, err := mapping.CompileRule(source, t, rule, s.cfg.Source.Location, nil)
	var bad *mapping.RuleFault
	if errors.As(err, &bad) {
		return nil, &web.RuleFault{Offset: bad.Offset, What: bad.What, Fix: bad.Fix}
	}
	return r, nil
}
