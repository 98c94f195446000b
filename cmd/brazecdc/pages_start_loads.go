package main

import (
	"context"
	"errors"

	"brazecdc/connector/config"
	"brazecdc/connector/postgres"
	"brazecdc/connector/web"
)

// Loads implements web.ConnectionsViews.
func (v *connectionsViews) Loads(ctx context.Context, text []byte) ([]web.LoadPlan, error) {
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	cfg, done, err := v.rows(ctx, text)
	if err != nil {
		return nil, err
	}
	defer done()
	for i := range cfg.Models {
		cfg.Models[i].Load = "all"
	}
	if cfg.Source.Kafka != nil {
		return v.topicLoads(ctx, cfg)
	}
	c := &checker{p: v.p}
	tables, rows, ok := c.tables(ctx, cfg)
	if !ok {
		return nil, errors.New("not every table can be read now")
	}
	m := c.mapping(cfg, tables, true)
	if m == nil {
		return nil, errors.New("the fields do not fit the tables")
	}
	costs := map[int]loadCost{}
	for _, l := range loadCosts(cfg, m, rows) {
		costs[l.model] = l
	}
	out := make([]web.LoadPlan, 0, len(cfg.Models))
	for i := range cfg.Models {
		plan := web.LoadPlan{Model: cfg.Models[i].Name, Table: cfg.Models[i].Table, Rows: -1, Values: -1, About: true}
		if t := tables[plan.Table]; t != nil {
			plan.Rows = t.Rows
		}
		if plan.Rows < 0 {
			plan.Rows = v.counted(ctx, cfg, plan.Table)
		}
		price(&plan, cfg, costs[i].points)
		out = append(out, plan)
	}
	return out, nil
}

// price fills in what so many rows mean.
func price(plan *web.LoadPlan, cfg *config.Config, points int) {
	if plan.Rows < 0 {
		return
	}
	plan.Values = plan.Rows * int64(points)
	plan.Calls = (plan.Rows + int64(cfg.Braze.ObjectsPerRequest) - 1) / int64(cfg.Braze.ObjectsPerRequest)
	plan.Minutes = float64(plan.Calls) / callsPerSecond(cfg) / 60
}

// topicLoads tells what reading the topics from their beginning means. Of a long one the newest messages stand for all: somebody who changed more than once
// counts as often there, so that it is a little too many rather than too few.
func (v *connectionsViews) topicLoads(ctx context.Context, cfg *config.Config) ([]web.LoadPlan, error) {
	r, err := v.p.openReader(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer r.close(context.WithoutCancel(ctx))
	costs, err := r.topicCosts(ctx, cfg)
	if err != nil {
		return nil, err
	}
	out := make([]web.LoadPlan, 0, len(cfg.Models))
	for i, c := range costs {
		plan := web.LoadPlan{Model: cfg.Models[i].Name, Table: cfg.Models[i].Relation(), Rows: c.rows, Messages: c.total, Newest: c.looked}
		if plan.About = c.total > newestRecords && c.looked > 0; plan.About {
			plan.Rows = int64(float64(c.rows) * float64(c.total) / float64(c.looked))
		}
		price(&plan, cfg, c.points)
		out = append(out, plan)
	}
	return out, nil
}

// mostCounted is up to how many rows are counted where the server has no estimate yet.
const mostCounted = 1_000_000

// counted counts a table that the server has no estimate of; negative where that takes too long.
func (v *connectionsViews) counted(ctx context.Context, cfg *config.Config, table string) int64 {
	look, err := postgres.NewLook(postgresConfig(cfg.Source.Postgres, v.p.quietLog()))
	if err != nil {
		return -1
	}
	defer look.Close(context.WithoutCancel(ctx))
	n, err := look.Count(ctx, table, mostCounted)
	if err != nil || n == mostCounted {
		return -1
	}
	return n
}
