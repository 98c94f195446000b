package main

import (
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"brazecdc/connector"
	"brazecdc/connector/config"
	"brazecdc/connector/mapping"
	"brazecdc/connector/web"
)

// quarantineViews answers what the pages of the held back changes ask beside the process.
type quarantineViews struct {
	settings func() (*config.Config, error)
}

var _ web.QuarantineViews = quarantineViews{}

// quarantinePages hands what the pages of the held back changes ask over.
func (p *program) quarantinePages(x *pageParts, c *web.Config) {
	v := quarantineViews{p.load}
	if x.face != nil {
		v.settings = func() (*config.Config, error) { return x.face.config(), nil }
	}
	c.Quarantine = v
}

// Redact implements web.QuarantineViews. An entry may be older than the settings: what never_send names now, and fields that no model sends any more, go too.
func (v quarantineViews) Redact(_ context.Context, e *connector.Entry) error {
	cfg, err := v.settings()
	if err != nil {
		return err
	}
	e.Before, e.After = redactImage(cfg.NeverSend, e.Key.Table, e.Before), redactImage(cfg.NeverSend, e.Key.Table, e.After)
	if len(cfg.NeverSend) > 0 {
		e.Original = e.Original.WithoutBytes()
	}
	if e.Effect != nil {
		effect := *e.Effect
		effect.Fields = slices.DeleteFunc(slices.Clone(effect.Fields), func(f connector.StoredField) bool { return len(cfg.NeverSend) > 0 && !sends(cfg, f.Model, f.Name) })
		e.Effect = &effect
	}
	return nil
}

// Private implements web.QuarantineViews. A field is private by its own name, and by the columns it is made of.
func (v quarantineViews) Private(context.Context) func(model, name string) bool {
	type field struct{ model, name string }
	private := map[field]bool{}
	if cfg, err := v.settings(); err == nil {
		for i := range cfg.Models {
			m := &cfg.Models[i]
			for _, name := range privateFields(m) {
				private[field{m.Name, name}] = true
			}
		}
	}
	return func(model, name string) bool { return looksPrivate(name) || private[field{model, name}] }
}

// privateFields are the fields of a model, and the properties of its events, whose name, or a column that they are made of, looks private.
func privateFields(m *connector.Model) (out []string) {
	look := func(name string, from connector.ValueFrom) {
		if looksPrivate(name) || looksPrivate(from.Column) || slices.ContainsFunc(exprNames.FindAllString(from.Expr, -1), looksPrivate) {
			out = append(out, strings.TrimSpace(name))
		}
	}
	for _, f := range slices.Concat(m.Fields, m.Custom) {
		look(f.Name, f.ValueFrom)
	}
	var properties func(list []connector.PropertyMap)
	properties = func(list []connector.PropertyMap) {
		for _, p := range list {
			look(p.Name, p.ValueFrom)
			properties(p.Fields)
		}
	}
	properties(m.Event.Properties)
	return out
}

// exprNames are what may be columns in an expression.
var exprNames = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*`)

// redactImage is an image of a row without what must not be shown. One that can't be read is not shown at all.
func redactImage(never []string, table string, image json.RawMessage) json.RawMessage {
	if len(never) == 0 || len(image) == 0 {
		return image
	}
	var columns map[string]*string
	if json.Unmarshal(image, &columns) != nil {
		return nil
	}
	r := connector.Row{Table: &connector.Table{Name: table}}
	for name, text := range columns {
		c := connector.Cell{State: connector.Null}
		if text != nil {
			c = connector.Cell{State: connector.Set, Raw: *text}
		}
		r.Table.Columns, r.Cells = append(r.Table.Columns, connector.Column{Name: name}), append(r.Cells, c)
	}
	r = mapping.Redact(never, r)
	out := map[string]any{}
	for i, c := range r.Cells {
		switch c.State {
		case connector.Set:
			out[r.Table.Columns[i].Name] = c.Raw
		case connector.Null:
			out[r.Table.Columns[i].Name] = nil
		}
	}
	b, err := json.Marshal(out)
	if err != nil {
		return nil
	}
	return b
}

// sends tells whether a model still sends a field.
func sends(cfg *config.Config, model, field string) bool {
	for i := range cfg.Models {
		m := &cfg.Models[i]
		if m.Name != model {
			continue
		}
		named := func(f connector.FieldMap) bool { return f.Name == field }
		return slices.ContainsFunc(m.Fields, named) || slices.ContainsFunc(m.Custom, named) ||
			slices.ContainsFunc(m.Audiences, func(a connector.AudienceMap) bool { return a.Attribute == field })
	}
	return false
}
