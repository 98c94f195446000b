package main

import (
	"context"
	"regexp"
	"slices"

	"brazecdc/connector"
	"brazecdc/connector/config"
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
	tables, reachable := c.tables(ctx, cfg)
	pgc := postgresConfig(pg, c.p.quietLog())
	pgc.StartTimeout = checkTimeout
	groups := map[postgres.Level]string{postgres.Fail: mustFix, postgres.Warn: mayHurt, postgres.OK: fine}
	for _, f := range postgres.Check(ctx, pgc, needs(cfg, tables)) {
		c.add(groups[f.Level], "source", f.What, f.Fix)
	}
	// Without a database the expressions are still checked, as far as that goes without columns.
	c.mapping(cfg, tables, reachable)
}

// tables reads the shapes of those tables that can be read; why others can't is told by the source's own check.
func (c *checker) tables(ctx context.Context, cfg *config.Config) (tables map[string]*connector.Table, all bool) {
	tables, all = map[string]*connector.Table{}, true
	src, err := postgres.New(postgresConfig(cfg.Source.Postgres, c.p.quietLog()))
	if err != nil {
		return tables, false
	}
	defer func() { _ = src.Close(context.WithoutCancel(ctx)) }()
	for i := range cfg.Models {
		t, err := src.Describe(ctx, cfg.Models[i].Table)
		if err != nil {
			all = false
			if connector.ExitCode(err) == connector.ExitUnreachable {
				return tables, false
			}
			continue
		}
		tables[cfg.Models[i].Table] = t
	}
	return tables, all
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
