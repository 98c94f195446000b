package main

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"brazecdc/connector"
	"brazecdc/connector/mapping"
	"brazecdc/connector/postgres"
	"brazecdc/connector/web"
)

const (
	// exactRows is up to how many rows a rule is counted exactly; of larger tables sampledRows are read.
	exactRows   = 200_000
	sampledRows = 50_000
	// countSamples is how many rows that match are shown.
	countSamples = 10
	// frequentRows is over how many rows, from all over the table, the most frequent values are found, and frequentMost how many are told.
	frequentRows, frequentMost = 2000, 20
)

// count is a rule that is being counted.
type count struct {
	out                  *web.RuleCount
	rule, before, filter *mapping.Rule
	parts                []*mapping.Rule // nil for one that cannot be used
	show                 []string        // columns of the samples
}

// Count implements web.ModelsViews. The rule is the one that the stream would run, over the rows themselves.
func (v *modelViews) Count(ctx context.Context, draft []byte, ask web.CountAsk) (_ *web.RuleCount, err error) {
	defer func() { err = v.p.namedError(draft, err) }()
	at, err := v.seeModel(ctx, draft, ask.Model)
	if err != nil {
		return nil, err
	}
	defer at.close()
	s, m, name, t := at.sight, at.m, at.name, at.t
	c := &count{out: &web.RuleCount{Topic: s.topics != nil}}
	if c.rule, c.out.Fault = s.rule(ask.Rule, t, true); c.out.Fault != nil {
		return c.out, nil
	}
	c.out.Clock = c.rule.Clock()
	if ask.Before != "" {
		c.before, _ = s.rule(ask.Before, t, true) // a rule of the file that does not compile has no members
		c.out.Compared = c.before != nil
	}
	if m.Filter != "" {
		c.filter, _ = s.rule(m.Filter, t, true) // its fault is told elsewhere
	}
	c.out.Parts = make([]int64, len(ask.Parts))
	for i, text := range ask.Parts {
		rule, _ := s.rule(text, t, true) // what is wrong with it is told of the whole
		if c.parts = append(c.parts, rule); rule == nil {
			c.out.Parts[i] = -1
		}
	}
	columns := c.columns(t, s.cfg.NeverSend)
	q := postgres.LookQuery{Columns: columns, Limit: exactRows + 1}
	share := 1.0
	switch {
	case s.topics != nil:
		q.Limit = newestRecords
	case t.Rows > exactRows:
		share = float64(sampledRows) / float64(t.Rows)
		q.Order, q.Percent, q.Limit = postgres.Spread, 100*share, 2*sampledRows
	}
	if err := c.over(ctx, s, name, q); err != nil {
		return nil, err
	}
	c.estimate(t.Rows, share < 1)
	return c.out, nil
}

// columns are those that are read: of the rules, and of the samples.
func (c *count) columns(t *connector.Table, never []string) []string {
	var out []string
	for i := range t.Columns {
		if t.Columns[i].Key {
			c.show = append(c.show, t.Columns[i].Name)
		}
	}
	for _, name := range c.rule.Columns() {
		if !slices.Contains(c.show, name) {
			c.show = append(c.show, name)
		}
	}
	c.show = slices.DeleteFunc(c.show, func(name string) bool { return !mapping.MayLeave(never, t.Name, name) })
	c.out.Columns = c.show
	out = append(out, c.show...)
	for _, r := range append([]*mapping.Rule{c.rule, c.before, c.filter}, c.parts...) {
		if r != nil {
			out = append(out, r.Columns()...)
		}
	}
	slices.Sort(out)
	if out = slices.Compact(out); len(out) == 0 && len(t.Columns) > 0 { // a rule that reads nothing
		out = []string{t.Columns[0].Name}
	}
	return out
}

// over counts the rows of a query. What was counted when the database's patience ended counts as a part.
func (c *count) over(ctx context.Context, s *sight, name string, q postgres.LookQuery) error {
	if s.topics != nil {
		rows, err := s.rows(ctx, name, q)
		for _, r := range rows {
			c.add(r)
		}
		return err
	}
	q.Table = name
	err := s.look.Rows(ctx, q, func(r connector.Row) bool {
		c.add(r)
		return ctx.Err() == nil
	})
	if errors.Is(err, postgres.ErrLookTooLong) && c.out.Rows > 0 {
		c.out.About = true
		return nil
	}
	return cmp.Or(ctx.Err(), err)
}

func (c *count) add(r connector.Row) {
	if c.filter != nil {
		if is, known := c.filter.Test(r); !is || !known {
			return
		}
	}
	c.out.Rows++
	is, known := c.rule.Test(r)
	if !known {
		c.out.Neither++
	}
	for i, part := range c.parts {
		if part == nil {
			continue
		}
		if matches, _ := part.Test(r); matches {
			c.out.Parts[i]++
		}
	}
	was := false
	if c.before != nil {
		was, _ = c.before.Test(r)
	}
	switch {
	case is && !was:
		c.out.Joins++
	case !is && was:
		c.out.Leaves++
	}
	if !is {
		return
	}
	if c.out.Matching++; len(c.out.Samples) < countSamples {
		var cells []web.SampleValue
		for _, name := range c.show {
			cells = append(cells, sampleOf(r, r.Table.Column(name)))
		}
		c.out.Samples = append(c.out.Samples, cells)
	}
}

// estimate makes counts of a part of the rows those of all of them.
func (c *count) estimate(rows int64, part bool) {
	o := c.out
	o.About = o.About || part
	if !part && o.Rows > exactRows {
		o.About = true // the server had counted fewer
	}
	if !o.About || o.Rows == 0 || rows <= o.Rows || o.Topic {
		return
	}
	factor := float64(rows) / float64(o.Rows)
	for _, n := range []*int64{&o.Matching, &o.Neither, &o.Joins, &o.Leaves} {
		*n = int64(float64(*n)*factor + 0.5)
	}
	for i, n := range o.Parts {
		if n > 0 {
			o.Parts[i] = int64(float64(n)*factor + 0.5)
		}
	}
	o.Rows = rows
}

// Frequent implements web.ModelsViews.
func (v *modelViews) Frequent(ctx context.Context, draft []byte, model, column string) ([]string, error) {
	at, err := v.seeModel(ctx, draft, model)
	if err != nil {
		return nil, err
	}
	defer at.close()
	s, name, t := at.sight, at.name, at.t
	if t.Column(column) < 0 || !mapping.MayLeave(s.cfg.NeverSend, t.Name, column) || looksPrivate(column) {
		return nil, nil
	}
	limit := frequentRows
	if s.topics != nil {
		limit = looked
	}
	rows, err := s.rows(ctx, name, postgres.LookQuery{Columns: []string{column}, Order: postgres.Across, Limit: limit})
	if err != nil {
		return nil, err
	}
	seen := map[string]int{}
	for _, r := range rows {
		if x := sampleOf(r, r.Table.Column(column)); !x.Null && len(x.Text) <= 80 {
			seen[x.Text]++
		}
	}
	values := make([]string, 0, len(seen))
	for v := range seen {
		values = append(values, v)
	}
	slices.SortFunc(values, func(a, b string) int { return cmp.Or(cmp.Compare(seen[b], seen[a]), cmp.Compare(a, b)) })
	return values[:min(frequentMost, len(values))], nil
}
