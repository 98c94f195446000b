package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/braze"
	"brazecdc/connector/config"
	"brazecdc/connector/control"
	"brazecdc/connector/mapping"
	"brazecdc/connector/postgres"
	"brazecdc/connector/web"
)

// firstRows is how many rows are offered to choose the first user from.
const firstRows = 5

// whole reads a text that must be complete but for what a person decides last: whether tables are loaded.
func (v *connectionsViews) whole(text []byte) (*config.Config, error) {
	cfg, faults := v.Look(text)
	var open config.Faults
	for _, f := range faults {
		if !f.Warn && !strings.HasSuffix(f.Path, ".load") {
			open = append(open, f)
		}
	}
	if len(open) > 0 {
		return nil, open
	}
	return cfg, nil
}

// oneReads is held by the one question that reads the source: each opens sessions of its own, and pages must not use up what the database has.
var oneReads = make(chan struct{}, 1)

// read waits for the turn to read the source.
func (v *connectionsViews) read(ctx context.Context) (done func(), err error) {
	select {
	case oneReads <- struct{}{}:
		return func() { <-oneReads }, nil
	case <-ctx.Done():
		return nil, errors.New("the source is being read for another page; try again in a moment")
	}
}

// rows waits for its turn to read rows of the source that a draft names. done ends it.
func (v *connectionsViews) rows(ctx context.Context, text []byte) (cfg *config.Config, done func(), err error) {
	if done, err = v.read(ctx); err != nil {
		return nil, nil, err
	}
	if cfg, err = v.whole(text); err == nil && cfg.Source.Kafka != nil {
		err = connector.ErrNotReadable
	}
	if err != nil {
		done()
		return nil, nil, err
	}
	return cfg, done, nil
}

// FirstRows implements web.ConnectionsViews.
func (v *connectionsViews) FirstRows(ctx context.Context, text []byte, model string) ([]web.FirstRow, error) {
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	cfg, done, err := v.rows(ctx, text)
	if err != nil {
		return nil, err
	}
	defer done()
	r, err := v.p.openReader(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer r.close(context.WithoutCancel(ctx))
	_, table, err := r.model(model)
	if err != nil {
		return nil, err
	}
	rows, err := r.source.Rows(ctx, connector.Query{Table: table.Name, Limit: firstRows})
	if err != nil {
		return nil, err
	}
	var out []web.FirstRow
	for _, row := range rows {
		key := keyAsked(row)
		if key == "" {
			continue
		}
		first := web.FirstRow{Key: key}
		for i := range row.Table.Columns {
			if name := row.Table.Columns[i].Name; row.Cells[i].State == connector.Set && mapping.MayLeave(cfg.NeverSend, table.Name, name) && !looksPrivate(name) {
				first.Values = append(first.Values, web.FirstValue{Column: name, Value: row.Cells[i].Raw})
			}
		}
		out = append(out, first)
	}
	return out, nil
}

// keyAsked writes a row's key as a person would name it, which keyOf reads; empty where the row has none.
func keyAsked(r connector.Row) string {
	var names, values []string
	for i := range r.Table.Columns {
		if r.Table.Columns[i].Key {
			names, values = append(names, r.Table.Columns[i].Name), append(values, r.Cells[i].Raw)
		}
	}
	if len(names) == 1 {
		return values[0]
	}
	for i := range values {
		values[i] = names[i] + "=" + values[i]
	}
	return strings.Join(values, ",")
}

// SendFirst implements web.ConnectionsViews.
func (v *connectionsViews) SendFirst(ctx context.Context, text []byte, model, key string) (*web.FirstSent, error) {
	ctx, cancel := context.WithTimeout(ctx, sendPatience)
	defer cancel()
	cfg, err := v.whole(text)
	if err != nil {
		return nil, err
	}
	if cfg.Source.Kafka != nil {
		return nil, oneRow("send", key)
	}
	r, err := v.p.openReader(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer r.close(context.WithoutCancel(ctx))
	effects, err := r.living(ctx, model, key)
	if err != nil {
		return nil, err
	}
	out := &web.FirstSent{Model: model, User: effects[0].User.ID}
	for i := range effects {
		method, path := braze.Request(&effects[i])
		out.Calls = append(out.Calls, web.FirstCall{Method: method, Path: path, Body: string(braze.Body(effects[i].Kind, []connector.Effect{effects[i]}))})
	}
	if err := v.deliverFirst(ctx, cfg, model, key, effects); err != nil {
		return nil, err
	}
	out.At = time.Now()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.first = out
	return out, nil
}

// FirstSent implements web.ConnectionsViews.
func (v *connectionsViews) FirstSent() *web.FirstSent {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.first
}

// deliverFirst sends the effects through the running process, where the user keeps its place among its other changes, or alone.
func (v *connectionsViews) deliverFirst(ctx context.Context, cfg *config.Config, model, key string, effects []connector.Effect) error {
	path := v.p.beside(cfg.Data.Path)
	client, err := control.Dial(ctx, path)
	switch {
	case err == nil:
		defer client.Close()
		_, err = client.Send(ctx, model, key)
		return err
	case !errors.Is(err, control.ErrNotRunning):
		return err
	}
	data, err := openData(path, cfg, v.p.quietLog())
	if err != nil {
		return err
	}
	return errors.Join(v.p.deliverAlone(ctx, cfg, data, effects), data.Close())
}

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
		plan := web.LoadPlan{Model: cfg.Models[i].Name, Table: cfg.Models[i].Table, Rows: -1, Values: -1}
		if t := tables[plan.Table]; t != nil {
			plan.Rows = t.Rows
		}
		if plan.Rows < 0 {
			plan.Rows = v.counted(ctx, cfg, plan.Table)
		}
		if plan.Rows >= 0 {
			plan.Values = plan.Rows * int64(costs[i].points)
			plan.Calls = (plan.Rows + int64(cfg.Braze.ObjectsPerRequest) - 1) / int64(cfg.Braze.ObjectsPerRequest)
			plan.Minutes = float64(plan.Calls) / callsPerSecond(cfg) / 60
		}
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

// Start implements web.ConnectionsViews. The text stands in the file already.
func (v *connectionsViews) Start(ctx context.Context, text []byte) error {
	if v.x.starter == nil {
		return v.p.applier(v.x).Apply(ctx, text)
	}
	if err := v.x.starter.start(ctx, text); err != nil {
		return err
	}
	v.ProbeSource(ctx, text) // what was to be created is there now
	return nil
}
