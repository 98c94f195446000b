package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/braze"
	"brazecdc/connector/config"
	"brazecdc/connector/mapping"
)

// keyOf reads what a person wrote as a key: the value of the one key column, or column=value,column=value of several.
func keyOf(t *connector.Table, text string) (string, error) {
	var names []string
	for i := range t.Columns {
		if t.Columns[i].Key {
			names = append(names, t.Columns[i].Name)
		}
	}
	if len(names) < 2 {
		return text, nil
	}
	values := map[string]string{}
	for _, pair := range strings.Split(text, ",") {
		name, value, ok := strings.Cut(pair, "=")
		if ok {
			values[strings.TrimSpace(name)] = value
		}
	}
	parts := make([]string, 0, len(names))
	for _, n := range names {
		v, ok := values[n]
		if !ok {
			return "", usagef("--key %s: %s has the key columns %s; write them as column=value,column=value", text, t.Name, strings.Join(names, ", "))
		}
		parts = append(parts, v)
	}
	return connector.JoinKey(parts), nil
}

// keyAsked writes a key as a person would name it, which keyOf reads; empty where the table has none.
func keyAsked(t *connector.Table, id string) string {
	where, err := connector.SplitKey(t, id)
	if err != nil {
		return ""
	}
	if len(where) == 1 {
		return where[0].Text
	}
	parts := make([]string, len(where))
	for i, w := range where {
		parts[i] = w.Column + "=" + w.Text
	}
	return strings.Join(parts, ",")
}

// readRow reads the living row of a key.
func readRow(ctx context.Context, r connector.Reader, t *connector.Table, key string) (connector.Row, error) {
	id, err := keyOf(t, key)
	if err != nil {
		return connector.Row{}, err
	}
	where, err := connector.SplitKey(t, id)
	if err != nil {
		return connector.Row{}, err
	}
	rows, err := r.Rows(ctx, connector.Query{Table: t.Name, Where: where, Limit: 1})
	if err != nil {
		return connector.Row{}, err
	}
	if len(rows) == 0 {
		return connector.Row{}, fmt.Errorf("read the row: %s has no row with the key %s", t.Name, key)
	}
	return rows[0], nil
}

// rowOf reads the living row of a key: of a table as it is now, of a topic as its newest messages tell.
func (r *reader) rowOf(ctx context.Context, model int, key string) (connector.Row, error) {
	if r.topics != nil {
		return r.newestOf(ctx, model, key)
	}
	return readRow(ctx, r.source, r.tables[r.cfg.Models[model].Relation()], key)
}

// sentAs knows the users that a row was sent as, by model; nil knows nobody, as at a first start.
type sentAs map[int]connector.User

// User implements connector.IDs.
func (s sentAs) User(model int, _ connector.Key) (connector.User, bool) {
	u, ok := s[model]
	return u, ok
}

// remark is a field left out or changed in kind, and why.
type remark struct {
	Field  string `json:"field"`
	Reason string `json:"reason"`
}

// reader is a configuration's tables and mapping, for looking at rows beside a pipeline or without one.
type reader struct {
	cfg     *config.Config
	source  connector.Reader
	topics  *topics // the source, where it is Kafka
	tables  map[string]*connector.Table
	mapper  *mapping.Mapper
	remarks []remark // of the row being mapped
	passed  string   // why nothing would be sent of it
	close   func(context.Context)
}

// openReader connects and compiles the mapping.
func (p *program) openReader(ctx context.Context, cfg *config.Config) (*reader, error) {
	r, err := p.connectReader(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if err := p.compileReader(r); err != nil {
		r.close(ctx)
		return nil, err
	}
	return r, nil
}

// compileReader compiles the mapping of a reader.
func (p *program) compileReader(r *reader) error {
	a := &app{cfg: r.cfg, tables: r.tables, log: p.quietLog()}
	mc := a.mappingConfig()
	mc.Note = func(_ int, field, reason string) { r.remarks = append(r.remarks, remark{field, reason}) }
	mc.Passed = func(_ int, why string) { r.passed = why }
	m, faults := newMapping(mc, r.topics != nil)
	if m == nil {
		return configFaults(r.cfg.Resolve(faults))
	}
	r.mapper = m
	return nil
}

// connectReader connects to the source and reads the shapes of the models' tables or topics.
func (p *program) connectReader(ctx context.Context, cfg *config.Config) (*reader, error) {
	a := &app{cfg: cfg, log: p.quietLog()}
	r := &reader{cfg: cfg}
	var err error
	if cfg.Source.Kafka != nil {
		if r.topics, err = newTopics(cfg, a.log, hooks{}); err != nil {
			return nil, err
		}
		r.source, r.close = r.topics, func(ctx context.Context) { _ = r.topics.Close(ctx) }
		if r.tables, err = r.topics.shapes(ctx, cfg, topicsAtLook); err != nil {
			r.close(ctx)
			return nil, err
		}
		return r, nil
	}
	if err = a.openSource(ctx); err != nil {
		if a.source != nil {
			_ = a.source.Close(context.WithoutCancel(ctx))
		}
		return nil, err
	}
	r.source, r.tables, r.close = a.source, a.tables, func(ctx context.Context) { _ = a.source.Close(ctx) }
	return r, nil
}

// oneRow says that a single row of a topic cannot be asked for beside a running process.
func oneRow(what, key string) error {
	return &connector.StopError{Code: exitUsage, What: fmt.Sprintf("%s row %s: %v", what, key, connector.ErrNotReadable),
		Fix: `"brazecdc replay --topic TOPIC --key KEY" brings it again; "brazecdc preview --model NAME --key KEY" shows it`}
}

// model finds a model by name.
func (r *reader) model(name string) (int, *connector.Table, error) {
	for i := range r.cfg.Models {
		if r.cfg.Models[i].Name == name {
			return i, r.tables[r.cfg.Models[i].Relation()], nil
		}
	}
	return 0, nil, unknownModel(r.cfg.Models, name)
}

// mapped is what a row would ask for as one operation.
type mapped struct {
	effects []connector.Effect
	whole   []int // by effect, the data points of all its fields, NULLs that need not be sent included
	remarks []remark
	none    string // why there are no effects
	held    string // why it would go to quarantine
}

// as maps a row as if it were inserted, updated or deleted now, after it had been sent. Nulls that need not be sent are taken out, as they are when an effect
// leaves its queue.
func (r *reader) as(op connector.Op, model int, row connector.Row) (mapped, error) {
	c := &connector.Change{Key: connector.KeyOf(row), Op: op, After: row, Time: time.Now()}
	if op == connector.Insert {
		return r.change(c, model, nil)
	}
	kind := r.cfg.Models[model].Kind
	if op == connector.Update && (kind == "events" || kind == "purchases") && row.Table.Identity == connector.IdentityFull {
		c.Before = row // of an event it tells that nothing became what it is
	}
	if op == connector.Delete {
		c.Before, c.After = row, connector.Row{}
	}
	before, err := r.as(connector.Insert, model, row)
	if err != nil {
		return mapped{}, err
	}
	sent := sentAs{}
	for i := range before.effects {
		sent[model] = before.effects[i].User
	}
	return r.change(c, model, sent)
}

// change maps one change for a model.
func (r *reader) change(c *connector.Change, model int, sent sentAs) (mapped, error) {
	r.remarks, r.passed = nil, ""
	effects, err := r.mapper.Map(nil, c, sent)
	m := mapped{remarks: r.remarks}
	var bad *connector.RowError
	switch {
	case errors.As(err, &bad):
		m.held = bad.Error()
		return m, nil
	case err != nil:
		return m, fmt.Errorf("map the row: %w", err)
	}
	for _, e := range effects {
		if e.Model == model {
			m.whole = append(m.whole, points(&e))
			e.Fields = withoutOmitted(e.Fields)
			m.effects = append(m.effects, e)
		}
	}
	if len(m.effects) == 0 {
		m.none = orElse(r.passed, "mode")
	}
	return m, nil
}

func withoutOmitted(fields []connector.Field) []connector.Field {
	var out []connector.Field
	for _, f := range fields {
		if !f.Omit || !bytes.Equal(f.JSON, []byte("null")) {
			out = append(out, f)
		}
	}
	return out
}

// points counts the data points of an effect that is sent as it is: an event or purchase is one, an item of a catalog none, of a profile each field's own
// (Braze docs, "Data points").
func points(e *connector.Effect) int {
	switch {
	case e.Event != nil:
		return 1
	case e.Kind != connector.Track:
		return 0
	}
	n := 0
	for i := range e.Fields {
		n += e.Fields[i].Points()
	}
	return n
}

// curl is the call as a command line, the key by its variable.
func curl(endpoint string, e *connector.Effect) string {
	method, path := braze.Request(e)
	body := braze.Body(e.Kind, []connector.Effect{*e})
	quoted := strings.ReplaceAll(string(body), "'", `'\''`)
	return fmt.Sprintf("curl -X %s '%s%s' -H 'Content-Type: application/json' -H \"Authorization: Bearer $BRAZE_API_KEY\" -d '%s'", method,
		strings.TrimRight(endpoint, "/"), path, quoted)
}
