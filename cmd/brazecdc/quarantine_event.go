package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"brazecdc/connector"
)

// RetryLate implements control.API.
func (a *app) RetryLate(ctx context.Context, id uint64) (string, error) {
	return a.retryAs(ctx, id, true)
}

// happens gives the model of an entry if it is one of events or purchases.
func (a *app) happens(e *connector.Entry) (model int, ok bool) {
	i := slices.IndexFunc(a.mapper.Models(), func(m connector.ModelInfo) bool { return m.Name == e.Model && m.Happens })
	return i, i >= 0
}

// retryHappened sends an entry's event: as Braze was offered it, or, where it could not be mapped, as the row's change that the entry keeps is mapped now.
func (a *app) retryHappened(ctx context.Context, e *connector.Entry, model int, late bool) (string, error) {
	if e.Effect != nil && e.Effect.Event != nil {
		return a.pipeline.RetryEvents(ctx, e.ID, nil, late)
	}
	c, err := a.keptChange(e)
	if err != nil {
		return "", err
	}
	mapper, err := a.ownMapper()
	if err != nil {
		return "", err
	}
	events, err := mapEvents(mapper, c, usersOf{a.pipeline}, model)
	if err != nil {
		return "", fmt.Errorf("entry %d still can't be mapped: %w; it stays", e.ID, err)
	}
	if len(events) > 0 {
		return a.pipeline.RetryEvents(ctx, e.ID, events, late)
	}
	const nothing = "the filter or the rule has nothing to send for this change"
	a.countRetried(e.Model, connector.RetryNeedless)
	return nothing, a.pipeline.CloseEntry(ctx, e.ID, "delivered: "+nothing)
}

// mapEvents gives the events that a change becomes by one model.
func mapEvents(m connector.Mapper, c *connector.Change, ids connector.IDs, model int) ([]connector.Effect, error) {
	all, err := m.Map(nil, c, ids)
	if err := faultOf(err, model); err != nil {
		return nil, err
	}
	events := slices.DeleteFunc(all, func(e connector.Effect) bool { return e.Model != model || e.Event == nil })
	for i := range events {
		events[i].Change = c
	}
	return events, nil
}

// faultOf is what of a mapping's error concerns one model.
func faultOf(err error, model int) error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			if err := faultOf(e, model); err != nil {
				return err
			}
		}
		return nil
	}
	var bad *connector.RowError
	if errors.As(err, &bad) && bad.Model != model {
		return nil
	}
	return err
}

// keptChange makes the change of an entry again from the images of its row, in the shape that the table has now.
func (a *app) keptChange(e *connector.Entry) (*connector.Change, error) {
	t := a.tables[e.Key.Table]
	if t == nil || len(e.After) == 0 {
		return nil, fmt.Errorf("entry %d keeps no row of %s that could be mapped again; discard it", e.ID, e.Key.Table)
	}
	c := &connector.Change{Key: e.Row(), ID: e.Change, Time: e.Time}
	if c.Time.IsZero() {
		c.Time = e.At // of an entry that was kept before the change's time was
	}
	for _, op := range []connector.Op{connector.Insert, connector.Update, connector.Snapshot} {
		if op.String() == e.Op {
			c.Op = op
		}
	}
	var err error
	if c.After, err = keptRow(t, e.After); err == nil && len(e.Before) > 0 {
		c.Before, err = keptRow(t, e.Before)
	}
	if err != nil {
		return nil, fmt.Errorf("entry %d can't be read: %w", e.ID, err)
	}
	return c, nil
}

// keptRow is the row of an image; columns that the image lacks are absent.
func keptRow(t *connector.Table, image json.RawMessage) (connector.Row, error) {
	var columns map[string]*string
	if err := json.Unmarshal(image, &columns); err != nil {
		return connector.Row{}, fmt.Errorf("read the image of a row of %s: %w", t.Name, err)
	}
	r := connector.Row{Table: t, Cells: make([]connector.Cell, len(t.Columns))}
	for i := range t.Columns {
		switch text, there := columns[t.Columns[i].Name]; {
		case there && text == nil:
			r.Cells[i].State = connector.Null
		case there:
			r.Cells[i] = connector.Cell{State: connector.Set, Raw: *text}
		}
	}
	return r, nil
}

// events sends what a record's change stands for by a model of events.
func (r *retrier) events(ctx context.Context, c *connector.Change, model int) (string, error) {
	if err := r.compile(); err != nil {
		return "", err
	}
	events, err := mapEvents(r.mapper, c, usersOf{r.a.pipeline}, model)
	if err != nil {
		return "", fmt.Errorf("entry %d still can't be mapped: %w; it stays", r.e.ID, err)
	}
	if len(events) == 0 {
		return "the filter or the rule has nothing to send for this change", nil
	}
	r.sent = true
	return r.a.pipeline.RetryEvents(ctx, r.e.ID, events, r.late)
}
