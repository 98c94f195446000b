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
	if cfg, err = v.whole(text); err != nil {
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
	i, table, err := r.model(model)
	if err != nil {
		return nil, err
	}
	if r.topics != nil {
		return r.firstOfTopic(ctx, i)
	}
	rows, err := r.source.Rows(ctx, connector.Query{Table: table.Name, Limit: firstRows})
	if err != nil {
		return nil, err
	}
	var out []web.FirstRow
	for _, row := range rows {
		if key := keyAsked(row.Table, connector.KeyOf(row).ID); key != "" {
			out = append(out, r.firstRow(key, row))
		}
	}
	return out, nil
}

// firstOfTopic offers rows that live at the end of a topic.
func (r *reader) firstOfTopic(ctx context.Context, model int) ([]web.FirstRow, error) {
	l, err := r.topics.living(ctx, &r.cfg.Models[model], looked)
	if err != nil {
		return nil, err
	}
	var out []web.FirstRow
	for i := range l.rows {
		if key := keyAsked(l.rows[i].After.Table, l.rows[i].Key.ID); key != "" && len(out) < firstRows {
			out = append(out, r.firstRow(key, l.rows[i].After))
		}
	}
	return out, nil
}

// firstRow is a row to choose, without the values that stay where they are.
func (r *reader) firstRow(key string, row connector.Row) web.FirstRow {
	first := web.FirstRow{Key: key}
	for i := range row.Table.Columns {
		if name := row.Table.Columns[i].Name; row.Cells[i].State == connector.Set && mapping.MayLeave(r.cfg.NeverSend, row.Table.Name, name) && !looksPrivate(name) {
			first.Values = append(first.Values, web.FirstValue{Column: name, Value: plainCell(row, i)})
		}
	}
	return first
}

// SendFirst implements web.ConnectionsViews.
func (v *connectionsViews) SendFirst(ctx context.Context, text []byte, model, key string) (*web.FirstSent, error) {
	ctx, cancel := context.WithTimeout(ctx, sendPatience)
	defer cancel()
	cfg, err := v.whole(text)
	if err != nil {
		return nil, err
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
	for i := range cfg.Models {
		if cfg.Models[i].Name == model {
			out.Private = privateFields(&cfg.Models[i])
		}
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
