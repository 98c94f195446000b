package main

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/config"
	"brazecdc/connector/mapping"
	"brazecdc/connector/postgres"
)

// source checks the database or the brokers and, with the tables or topics it finds, the mapping.
func (c *checker) source(ctx context.Context, cfg *config.Config) {
	pg := cfg.Source.Postgres
	if (pg == nil || pg.URL == "") && cfg.Source.Kafka == nil {
		return // told as a fault of the configuration
	}
	if !cfg.Given("source.time_zone") {
		c.add(mayHurt, "source", "source.time_zone is not set: timestamps without a zone are read as UTC", "set it to the zone your application writes them in")
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	if cfg.Source.Kafka != nil {
		c.topics(ctx, cfg)
		return
	}
	tables, rows, reachable := c.tables(ctx, cfg)
	c.database(ctx, cfg, tables)
	// Without a database the expressions are still checked, as far as that goes without columns.
	m := c.mapping(cfg, tables, reachable)
	c.cost(cfg, m, rows)
	if reachable {
		c.alike(ctx, cfg, m, tables)
	}
}

// database checks the server, its settings and rights, and what the models need of the tables.
func (c *checker) database(ctx context.Context, cfg *config.Config, tables map[string]*connector.Table) {
	pgc := postgresConfig(cfg.Source.Postgres, c.p.quietLog())
	pgc.StartTimeout = checkTimeout
	groups := map[postgres.Level]string{postgres.Fail: mustFix, postgres.Warn: mayHurt, postgres.OK: fine}
	for _, f := range postgres.Check(ctx, pgc, needs(cfg, tables)) {
		c.found = append(c.found, finding{Group: groups[f.Level], Area: "source", About: f.About, What: f.What, Fix: f.Fix, made: f.New})
	}
}

// tables reads the shapes of those tables that can be read, and some rows of those that are to be loaded; why others can't is told by the source's own check.
func (c *checker) tables(ctx context.Context, cfg *config.Config) (tables map[string]*connector.Table, rows map[string][]connector.Row, all bool) {
	tables, rows, all = map[string]*connector.Table{}, map[string][]connector.Row{}, true
	src, err := postgres.New(postgresConfig(cfg.Source.Postgres, c.p.quietLog()))
	if err != nil {
		return tables, rows, false
	}
	defer func() { _ = src.Close(context.WithoutCancel(ctx)) }()
	for i := range cfg.Models {
		t, err := src.Describe(ctx, cfg.Models[i].Table)
		if err != nil {
			all = false
			if connector.ExitCode(err) == connector.ExitUnreachable {
				return tables, rows, false
			}
			continue
		}
		name := cfg.Models[i].Table
		tables[name] = t
		if cfg.Models[i].Load == "all" && rows[name] == nil {
			rows[name], _ = src.Rows(ctx, connector.Query{Table: name, Limit: costRows}) // what keeps them from being read is told elsewhere
		}
	}
	return tables, rows, all
}

// costRows is how many rows of a table tell what a row costs.
const costRows = 20

// loadCost is what a model's load costs.
type loadCost struct {
	model  int
	points int   // of a row, at most
	rows   int64 // the server's estimate, negative where it has none
}

// loadCosts looks at some rows of the tables that are to be loaded, where objects count as in these.
func loadCosts(cfg *config.Config, m *mapping.Mapper, rows map[string][]connector.Row) []loadCost {
	var out []loadCost
	for i, info := range m.Models() {
		sample := rows[cfg.Models[i].Table]
		if !info.Load || len(sample) == 0 {
			continue
		}
		c := loadCost{model: i, rows: sample[0].Table.Rows}
		for _, row := range sample {
			effects, err := m.MapLoad(nil, i, row, time.Now())
			if err != nil {
				continue // told when it is sent
			}
			n := 0
			for j := range effects {
				n += points(&effects[j])
			}
			c.points = max(c.points, n)
		}
		out = append(out, c)
	}
	return out
}

// cost tells how many data points the loads can cost: the server's estimate of the rows, times the fields of a row.
func (c *checker) cost(cfg *config.Config, m *mapping.Mapper, rows map[string][]connector.Row) {
	if m == nil {
		return
	}
	for _, l := range loadCosts(cfg, m, rows) {
		total := "as many rows as the server has not counted yet"
		if l.rows >= 0 {
			total = fmt.Sprintf("about %d rows, %d data points at most", l.rows, l.rows*int64(l.points))
		}
		c.add(fine, "mapping", fmt.Sprintf("the load of %s: %s a row, %s (Braze's legacy contracts bill them)", cfg.Models[l.model].Name, plural(l.points, "data point"), total), "")
	}
}

var word = regexp.MustCompile(`[\pL_][\pL\pN_]*`)

// needs tells what the models ask of their tables.
func needs(cfg *config.Config, tables map[string]*connector.Table) []postgres.Need {
	out := make([]postgres.Need, 0, len(cfg.Models))
	for i := range cfg.Models {
		m := &cfg.Models[i]
		if m.Table == "" {
			continue
		}
		out = append(out, postgres.Need{
			Table: m.Table, Deletes: m.Mode == "sync", UserColumns: userColumns(m, tables[m.Table]), Load: m.Load == "all",
			Before: m.Mode == "sync" && m.Filter != "",
		})
	}
	return out
}

// userColumns are the columns that a row's user is made of.
func userColumns(m *connector.Model, t *connector.Table) []string {
	var out []string
	for _, name := range []string{m.Identify.ExternalID.Column, m.Identify.AliasName, m.Identify.Email, m.Identify.Phone} {
		if name != "" {
			out = append(out, name)
		}
	}
	if t == nil {
		return out
	}
	for _, w := range word.FindAllString(m.Identify.ExternalID.Expr, -1) {
		if t.Column(w) >= 0 && !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out
}
