package main

import (
	"context"
	"fmt"
	"strings"

	"brazecdc/connector"
	"brazecdc/connector/braze"
	"brazecdc/connector/history"
	"brazecdc/connector/web"
)

const (
	eventsShown = 40 // of a timeline at once
	heldShown   = 20
)

// User implements web.UsersViews.
func (v *userViews) User(ctx context.Context, ref, before string) (*web.UserView, error) {
	a, done, err := v.lend()
	if err != nil {
		return nil, err
	}
	defer done()
	u, err := v.resolve(a, ref)
	if err != nil {
		return nil, err
	}
	out := &web.UserView{Ref: ref, User: u, Kept: a.cfg.Web.History.Keep, Topics: a.topics != nil, Waiting: a.pipeline.Waiting(u)}
	var named []connector.Key
	if a.history != nil {
		l, err := a.history.Timeline(history.Query{User: u, Before: before, Limit: eventsShown})
		if err != nil {
			return nil, err
		}
		out.Since, out.More, out.Watched, named = l.Since, l.More, a.history.Watched(u), l.Rows
		told := teller{a: a, confirmed: map[string]uint64{}, user: u}
		for _, s := range a.pipeline.Status().Streams {
			told.confirmed[connector.Lasting(s.Stream)] = s.Confirmed
		}
		for i := range l.Entries {
			out.Past = append(out.Past, told.event(&l.Entries[i]))
		}
	}
	if out.Held, err = a.journal.Quarantine().List(connector.EntryFilter{User: u, Limit: heldShown}); err != nil {
		return nil, fmt.Errorf("look for what is held back of the user: %w", err)
	}
	if before != "" || a.topics != nil {
		return out, nil
	}
	live, err := v.living(a)
	if err != nil {
		return nil, err
	}
	out.Rows = live.rowsOf(ctx, a, u, named)
	return out, nil
}

// teller makes a page's entries of the history's.
type teller struct {
	a         *app
	user      connector.User
	confirmed map[string]uint64 // by stream
}

func (t *teller) event(e *history.Entry) web.UserEvent {
	out := web.UserEvent{
		At: e.At, First: e.First, Gap: e.Gap, Counted: e.Counted, Count: e.Count, Outcome: e.Outcome, Reason: e.Reason, Kind: e.Kind, UpdateOnly: e.UpdateOnly, Load: e.Load,
		Event: e.Event, Purchase: e.Purchase, Changes: e.Changes, Tries: e.Tries, Queued: e.Queued, Waited: e.Waited.Names(), Call: e.Call, Left: e.Left,
		Payload: string(e.Payload), HadPayload: e.HadPayload,
	}
	if e.Kind == connector.Rename {
		out.To = e.To.ID
	}
	if e.Call != nil {
		effect := &connector.Effect{Kind: e.Kind, User: t.user}
		if e.IsEvent {
			effect.Event = &connector.Event{Name: e.Event, Purchase: e.Purchase}
		}
		out.Method, out.Path = braze.Request(effect)
	}
	for i := range e.Rows {
		out.Rows = append(out.Rows, t.change(&e.Rows[i]))
	}
	for _, f := range e.Fields {
		switch f.How {
		case history.Sent:
			out.Sent = append(out.Sent, f.Name)
		case history.Empty:
			out.Empty = append(out.Empty, f.Name)
		default:
			out.Same = append(out.Same, f.Name)
		}
	}
	return out
}

func (t *teller) change(r *history.Row) web.UserChange {
	c := web.UserChange{Model: r.Model, Table: r.Key.Table, Key: r.Key.ID, Committed: r.Committed, Known: r.Known}
	if table := t.a.tables[r.Key.Table]; table != nil {
		c.Key = keyFlag(table, r.Key.ID)
	}
	if r.Op == 0 {
		return c
	}
	c.Op = r.Op.String()
	for _, name := range r.Columns {
		if mayShow(t.a, r.Key.Table, name) {
			c.Columns = append(c.Columns, name)
		}
	}
	if strings.HasPrefix(r.Stream, "load/") || r.Stream == "" {
		return c
	}
	lasting := connector.Lasting(r.Stream)
	at := connector.Place{Stream: r.Stream, Commit: r.ID.Commit}
	if c.Position = at.String(); !at.OfSlot() {
		c.Position = lasting + " " + c.Position
	}
	if at, ok := t.confirmed[lasting]; ok {
		c.Confirmed = "no"
		if at > r.ID.Commit {
			c.Confirmed = "yes"
		}
	}
	return c
}
