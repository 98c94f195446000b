package main

import (
	"context"

	"brazecdc/connector"
	"brazecdc/connector/config"
)

// source checks the database and, with the tables it finds, the mapping.
func (c *checker) source(ctx context.Context, cfg *config.Config) {
	if cfg.Source.Postgres == nil || cfg.Source.Postgres.URL == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	src, err := newSource(cfg, c.p.quietLog())
	if err != nil {
		c.fault("source", err)
		return
	}
	defer func() { _ = src.Close(context.WithoutCancel(ctx)) }()
	tables := map[string]*connector.Table{}
	for i := range cfg.Models {
		name := cfg.Models[i].Table
		if t, err := src.Describe(ctx, name); err == nil {
			tables[name] = t
		}
	}
	c.mapping(cfg, tables)
}
