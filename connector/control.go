package connector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Confirmation is something that waits for a person.
type Confirmation struct {
	Model  string    `json:"model"`
	Kind   string    `json:"kind"`  // truncate | lost data
	Count  int       `json:"count"` // deletes held, or changes passed over
	Since  time.Time `json:"since"`
	Text   string    `json:"text"`
	Answer string    `json:"answer"` // what confirming does
}

// Pending lists what waits for `confirm`.
func (p *Pipeline) Pending() []Confirmation {
	c := p.care
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []Confirmation
	for i, m := range c.models {
		if x := c.paused[i]; x != nil {
			out = append(out, Confirmation{Model: m.Name, Kind: pauseTruncate, Count: int(x.Stale), Since: x.At,
				Text:   fmt.Sprintf("model %s is paused: %s was emptied (TRUNCATE); nothing was deleted in Braze; %d changes were passed over since", m.Name, m.Table, x.Stale),
				Answer: "the table is loaded again, which can start campaigns in Braze, and the model goes on; nobody is deleted"})
		}
		if x := c.holding[i]; x != nil {
			n := 0
			for _, h := range c.held {
				if h.Model == m.Name {
					n++
				}
			}
			out = append(out, Confirmation{Model: m.Name, Kind: pauseLost, Count: n, Since: x.At,
				Text:   fmt.Sprintf("model %s: data/ held nothing of an existing slot; %d deletes wait", m.Name, n),
				Answer: "the waiting deletes are sent (or dropped with --drop), and with load: all the table is loaded, which can start campaigns in Braze"})
		}
	}
	return out
}

// Confirm answers what waits for a model: a truncated one is loaded again; after a loss of data/ the held deletes are sent, or dropped with drop, and
// the table is loaded where the model says load: all. It gives a sentence about what was begun.
func (p *Pipeline) Confirm(ctx context.Context, model string, drop bool) (string, error) {
	i, ok := p.modelAt[model]
	if !ok {
		return "", fmt.Errorf("no model %q in the configuration", model)
	}
	c := p.care
	// The pause ends first: rows of the load may come before StartLoad returns, and must not be passed over.
	c.mu.Lock()
	paused, holding := c.paused[i], c.holding[i]
	delete(c.paused, i)
	c.refresh()
	c.mu.Unlock()
	if paused == nil && holding == nil {
		return "", fmt.Errorf("nothing waits for a confirmation of model %q", model)
	}
	unloaded := false
	if paused != nil || p.models[i].Load {
		err := p.loadAgain(ctx, i)
		unloaded = errors.Is(err, ErrNoLoads)
		if err != nil && !unloaded {
			if paused != nil {
				c.mu.Lock()
				c.paused[i] = paused
				c.refresh()
				c.mu.Unlock()
			}
			return "", err
		}
	}
	c.mu.Lock()
	delete(c.holding, i)
	held := p.releaseHeld(i, drop)
	c.mu.Unlock()
	err := p.pend.durable(ctx, func(r *Record) {
		r.Resumed = append(r.Resumed, model)
		for _, h := range held {
			if drop {
				r.released(h.User)
			}
		}
	})
	if err != nil {
		return "", err
	}
	switch {
	case paused != nil && unloaded:
		return fmt.Sprintf("model %s goes on with what comes next; %s is not loaded again: to bring all of it, stop, set the group's offsets back, and start", model, p.models[i].Table), nil
	case paused != nil:
		return fmt.Sprintf("model %s goes on, and %s is loaded again", model, p.models[i].Table), nil
	case drop:
		return fmt.Sprintf("%d deletes of model %s were dropped; those profiles stay in Braze", len(held), model), nil
	}
	load := ""
	if p.models[i].Load {
		load = fmt.Sprintf(", and %s is loaded", p.models[i].Table)
	}
	return fmt.Sprintf("%d deletes of model %s are being sent%s", len(held), model, load), nil
}

// releaseHeld takes the held deletes of a model out of memory and, unless they are dropped, queues them. data/ keeps each until it was delivered, or its user
// came again. The lock of care is held, so that a row that comes again is queued behind its delete.
func (p *Pipeline) releaseHeld(model int, drop bool) (held []HeldDelete) {
	c := p.care
	var steps []*step
	for _, h := range c.held {
		if h.Model != p.models[model].Name {
			continue
		}
		held = append(held, h)
		steps = append(steps, &step{kind: DeleteUser, user: h.User, owner: true, verify: true, release: true, rows: []rowRef{{model: model, key: h.Key}}})
		delete(c.held, h.User)
	}
	c.refresh()
	if drop {
		return held
	}
	for _, s := range p.queue.push(steps) {
		p.ended(s)
	}
	return held
}

// loadAgain begins a new load of a model, also where one was done before. The users' profiles may exist, so it sends NULLs too.
func (p *Pipeline) loadAgain(ctx context.Context, i int) error {
	m := &p.models[i]
	l := LoadState{Load: Load{ID: fmt.Sprintf("%s-%d", m.Name, time.Now().UnixMilli()), Model: m.Name, Table: m.Table}, Started: time.Now(), Estimate: -1, Nulls: true}
	p.proven[i].Store(false)
	p.pend.add(func(r *Record) {
		r.Loads = append(r.Loads, l)
		r.Models = append(r.Models, p.modelState(i))
	})
	p.care.mu.Lock()
	p.care.loads[l.ID] = &l
	p.care.mu.Unlock()
	err := p.source.StartLoad(ctx, l.Load)
	if errors.Is(err, ErrNoLoads) {
		p.care.mu.Lock()
		delete(p.care.loads, l.ID)
		p.care.mu.Unlock()
		p.pend.add(func(r *Record) {
			r.Loads = slices.DeleteFunc(r.Loads, func(o LoadState) bool { return o.ID == l.ID })
			r.DropLoads = append(r.DropLoads, l.ID)
		})
	}
	if err != nil {
		return fmt.Errorf("start the load of model %q: %w", m.Name, err)
	}
	return nil
}

// Discard ends an entry without sending it. What Braze holds of its user counts as unknown from then on.
func (p *Pipeline) Discard(ctx context.Context, id uint64, why string) error {
	e, err := p.journal.Quarantine().Entry(id)
	if err != nil {
		return err
	}
	if err := p.journal.Quarantine().Close(ctx, id, "discarded: "+why); err != nil {
		return err
	}
	c := p.care
	c.mu.Lock()
	defer c.mu.Unlock()
	if i, ok := p.modelAt[e.Model]; ok {
		delete(c.entries, rowKey{i, e.Key})
		delete(c.entryPart, id)
	}
	if e.User != (User{}) {
		c.noProof[e.User] = true
	}
	c.refresh()
	return nil
}

// SendRow sends one living row whole, through its user's queue, and waits until Braze answered or ctx ends.
func (p *Pipeline) SendRow(ctx context.Context, model, key string) (string, error) {
	i, ok := p.modelAt[model]
	if !ok {
		return "", fmt.Errorf("no model %q in the configuration", model)
	}
	k := Key{Table: p.models[i].Table, ID: key}
	row, found, err := p.rowByKey(ctx, i, k)
	if errors.Is(err, ErrNotReadable) {
		return "", fmt.Errorf("row %q of %s can't be sent by itself: %w", key, k.Table, err)
	}
	if err != nil {
		return "", err
	}
	if !found {
		return "", fmt.Errorf("no row %q in %s", key, k.Table)
	}
	return p.sendRow(ctx, i, row, k, 0)
}

// sendRow queues a row that was read to learn its user; it is read once more when its user's turn has come.
func (p *Pipeline) sendRow(ctx context.Context, model int, row Row, key Key, entry uint64) (string, error) {
	effects, err := p.mapper.MapRow(nil, model, row, time.Now())
	if err != nil {
		return "", fmt.Errorf("map the row: %w", err)
	}
	if len(effects) == 0 {
		return "the row is not sent: the filter or the mode excludes it", nil
	}
	var steps []*step
	ended := make(chan string, len(effects))
	for i := range effects {
		e := &effects[i]
		e.Key, e.Fields = key, nil
		s := newStep(e)
		s.noProof, s.nulls, s.reread, s.waiters = true, true, true, []chan<- string{ended}
		if entry != 0 {
			s.entries = []uint64{entry}
		}
		steps = append(steps, s)
	}
	if err := p.sendAndWait(ctx, steps, ended); err != nil {
		return "", err
	}
	return fmt.Sprintf("row %s of %s was accepted by Braze, whole, as user %q", key.ID, key.Table, effects[0].User.ID), nil
}

// rowByKey reads the living row of a key.
func (p *Pipeline) rowByKey(ctx context.Context, model int, key Key) (Row, bool, error) {
	t, err := p.source.Describe(ctx, p.models[model].Table)
	if err != nil {
		return Row{}, false, err
	}
	where, err := SplitKey(t, key.ID)
	if err != nil {
		return Row{}, false, err
	}
	rows, err := p.source.Rows(ctx, Query{Table: t.Name, Where: where, Limit: 1})
	if err != nil || len(rows) == 0 {
		return Row{}, false, err
	}
	return rows[0], true, nil
}
