package web

import (
	"strconv"

	"brazecdc/connector"
)

// countData is the count of a rule, or why there is none.
type countData struct {
	*RuleCount
	Off      bool   // counting is turned off
	Wrong    string // a row of the builder
	Unfilled bool   // a row of the builder has no value yet
	Gone     string // the source
	Schedule bool
}

func (r *request) count(d *drafted, m *connector.Model, ask CountAsk) (*RuleCount, string) {
	v, ctx, cancel, err := r.views()
	if err != nil {
		return nil, r.t("models.unavailable")
	}
	defer cancel()
	c, err := v.Count(ctx, d.text, ask)
	if err != nil {
		return nil, err.Error()
	}
	return c, ""
}

// builderText draws the rows of a rule again, with the values that complete what an editor writes.
func (r *request) builderText(d *drafted, m *connector.Model, v builderView) (string, error) {
	if r.editor() && d.cfg.Web.Counts != "none" {
		r.complete(d, m, &v)
	}
	return r.partialText("models_builder", v)
}

// complete gives the rows that compare a text the most frequent values of their column. Without them the rows do as well, so what fails here is left out.
func (r *request) complete(d *drafted, m *connector.Model, b *builderView) {
	views, ctx, cancel, err := r.views()
	if err != nil {
		return
	}
	defer cancel()
	known := map[string][]string{}
	for _, v := range []*builderView{b, b.Block} {
		if v == nil {
			continue
		}
		for i := range v.Rows {
			row := &v.Rows[i]
			if row.Column == "" || row.Kind != "text" {
				continue
			}
			if _, ok := known[row.Column]; !ok {
				if known[row.Column], err = views.Frequent(ctx, d.text, m.Name, row.Column); err != nil {
					return
				}
			}
			row.Values = known[row.Column]
		}
	}
}

// ruleParts are the rows of a rule as rules of their own, and the index of each in the builder. There are none where one row is all of it, or where the builder
// can't show the rule.
func ruleParts(expr, prefix string) (parts, at []string) {
	rule, ok := ParseRule(expr)
	if !ok {
		return nil, nil
	}
	add := func(rows []RuleRow, part string) {
		for i, row := range rows {
			if text, err := row.expression(); err == nil {
				parts, at = append(parts, text), append(at, prefix+part+strconv.Itoa(i))
			}
		}
	}
	add(rule.Rows, ".r")
	if rule.Block != nil {
		add(rule.Block.Rows, ".b")
	}
	if len(parts) < 2 {
		return nil, nil
	}
	return parts, at
}

// rowCounts words how many rows match each row of the builder alone.
func (r *request) rowCounts(c *RuleCount, at []string) map[string]string {
	out := map[string]string{}
	if c == nil || c.Fault != nil || len(c.Parts) != len(at) {
		return out
	}
	for i, n := range c.Parts {
		switch {
		case n < 0:
		case c.About:
			out[at[i]] = r.t("models.count.row_about", n)
		default:
			out[at[i]] = r.t("models.count.row", n)
		}
	}
	return out
}
