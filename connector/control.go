package connector

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Confirmation is something that waits for a person.
type Confirmation struct {
	Model  string    `json:"model"`
	Kind   string    `json:"kind"`  // one of the Pause constants
	Count  int       `json:"count"` // deletes held, or changes passed over
	Since  time.Time `json:"since"`
	Text   string    `json:"text"`
	Answer string    `json:"answer"` // what confirming does
	// Limit and Window are those of the brake that holds deletes, where they are known.
	Limit  int64         `json:"limit,omitempty"`
	Window time.Duration `json:"window,omitempty"`
}

// WaitsTruncated words a pause after a TRUNCATE.
func WaitsTruncated(x *Pause, table string) Confirmation {
	return Confirmation{Model: x.Model, Kind: PauseTruncate, Count: int(x.Stale), Since: x.At,
		Text:   fmt.Sprintf("model %s is paused: %s was emptied (TRUNCATE); nothing was deleted in Braze; %d changes were passed over since", x.Model, table, x.Stale),
		Answer: "the table is loaded again, which can start campaigns in Braze, and the model goes on; nobody is deleted"}
}

// WaitsLost words the deletes that are held since data/ was lost.
func WaitsLost(x *Pause, held int) Confirmation {
	return Confirmation{Model: x.Model, Kind: PauseLost, Count: held, Since: x.At,
		Text:   fmt.Sprintf("model %s: data/ held nothing of an existing slot; %d deletes wait", x.Model, held),
		Answer: "the waiting deletes are sent (or dropped with --drop), and with load: all the table is loaded, which can start campaigns in Braze"}
}

// WaitsBraked words the deletes that a mass-delete brake holds; why says which limit was reached, "" where that is not known.
func WaitsBraked(model, why string, held int, since time.Time) Confirmation {
	if why == "" {
		why = "too many deletes came at once"
	}
	return Confirmation{Model: model, Kind: PauseBrake, Count: held, Since: since,
		Text:   fmt.Sprintf("model %s: %d deletes are held, since %s; the first of them went out, all else goes on, and a row that comes again ends its delete", model, held, why),
		Answer: fmt.Sprintf("the held deletes are sent: these %d profiles and their history are deleted in Braze, for good (or dropped with --drop: they stay)", held)}
}

// WaitsGone words the deletes of users whom a resync did not find at the source.
func WaitsGone(model, table string, held int, since time.Time) Confirmation {
	return Confirmation{Model: model, Kind: PauseGone, Count: held, Since: since,
		Text:   fmt.Sprintf("model %s: %d users that Braze was sent are gone from %s", model, held, table),
		Answer: fmt.Sprintf("these %d profiles and their history are deleted in Braze, for good (or the deletes are dropped with --drop: they stay)", held)}
}

// Pending lists what waits for `confirm`. Several reasons of one model are several of them; Confirm answers all of a model.
func (p *Pipeline) Pending() []Confirmation {
	c := p.care
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []Confirmation
	for i, m := range c.models {
		if x := c.paused[i]; x != nil {
			out = append(out, WaitsTruncated(x, m.Table))
		}
		if x := c.holding[i]; x != nil {
			out = append(out, WaitsLost(x, c.held.waits[heldKind{m.Name, PauseLost}].n))
		}
		if t := c.held.waits[heldKind{m.Name, PauseBrake}]; t.n > 0 {
			x := WaitsBraked(m.Name, "", t.n, t.since)
			if b := c.brakes[i]; b != nil {
				x = WaitsBraked(m.Name, b.why(), t.n, t.since)
				x.Limit, x.Window = b.limit(), b.Window
			}
			out = append(out, x)
		}
		if t := c.held.waits[heldKind{m.Name, PauseGone}]; t.n > 0 {
			out = append(out, WaitsGone(m.Name, m.Table, t.n, t.since))
		}
	}
	return out
}

// Confirm answers what waits for a model: a truncated one is loaded again; held deletes are sent, or dropped with drop, and the brake counts anew; after a
// loss of data/ the table is loaded where the model says load: all. It gives a sentence about what was begun.
func (p *Pipeline) Confirm(ctx context.Context, model string, drop bool) (string, error) {
	return p.confirm(ctx, model, drop, nil)
}

// Resume goes on with a model whose table was emptied and loads it again, like Confirm, but deletes that are held keep waiting. With resync the rows are brought by
// a resync, which at its end names the users that are gone at the source.
func (p *Pipeline) Resume(ctx context.Context, model string, resync bool) (string, error) {
	how := &resumption{}
	if resync {
		how.again = &Resync{All: true}
	}
	return p.confirm(ctx, model, false, how)
}

// resumption is how a model goes on whose deletes keep waiting; again nil: by a load.
type resumption struct{ again *Resync }

func (p *Pipeline) confirm(ctx context.Context, model string, drop bool, resume *resumption) (string, error) {
	i, ok := p.modelAt[model]
	if !ok {
		return "", fmt.Errorf("no model %q in the configuration", model)
	}
	c := p.care
	// The pause ends first: rows of the load may come before StartLoad returns, and must not be passed over.
	c.mu.Lock()
	paused, holding := c.paused[i], c.holding[i]
	if resume != nil && paused == nil {
		c.mu.Unlock()
		return "", fmt.Errorf("the table of model %q was not emptied, or somebody went on with it already; \"brazecdc resync\" brings its rows again", model)
	}
	braked := c.held.waits[heldKind{model, PauseBrake}].n + c.held.waits[heldKind{model, PauseGone}].n
	delete(c.paused, i)
	c.refresh()
	c.mu.Unlock()
	if paused == nil && holding == nil && braked == 0 {
		return "", fmt.Errorf("nothing waits for a confirmation of model %q", model)
	}
	unloaded := false
	var again *Resync
	if resume != nil {
		again = resume.again
	}
	load := paused != nil || holding != nil && p.models[i].Load
	if load {
		err := p.loadAgain(ctx, i, again)
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
	if resume != nil {
		if err := p.pend.durable(ctx, func(r *Record) { r.Resumed = append(r.Resumed, model) }); err != nil {
			return "", err
		}
		return p.confirmed(i, true, true, unloaded, false, 0), nil
	}
	c.mu.Lock()
	delete(c.holding, i)
	held := p.releaseHeld(i, drop)
	if b := c.brakes[i]; b != nil && !drop {
		b.reset()
	}
	c.mu.Unlock()
	if drop {
		p.putRows(goneRows(held), nil)
	}
	err := p.pend.durable(ctx, func(r *Record) {
		if paused != nil || holding != nil {
			r.Resumed = append(r.Resumed, model)
		}
	})
	if err != nil {
		return "", err
	}
	return p.confirmed(i, paused != nil, load, unloaded, drop, len(held)), nil
}

// goneRows takes the rows of dropped deletes out of the cache: they are no more, and their keys may come again for others.
func goneRows(held []HeldDelete) (puts []RowPut) {
	for _, h := range held {
		puts = append(puts, RowPut{Model: h.Model, Key: h.Key, Gone: true, Part: h.Part})
	}
	return puts
}

// confirmed says what a confirmation began.
func (p *Pipeline) confirmed(i int, paused, load, unloaded, drop bool, held int) string {
	m := &p.models[i]
	var said []string
	switch {
	case paused && unloaded:
		said = append(said, fmt.Sprintf("model %s goes on with what comes next; %s is not loaded again: to bring all of it, stop, set the group's offsets back, and start", m.Name, m.Table))
	case paused:
		said = append(said, fmt.Sprintf("model %s goes on, and %s is loaded again", m.Name, m.Table))
	}
	switch {
	case drop && (held > 0 || !paused):
		said = append(said, fmt.Sprintf("%d deletes of model %s were dropped; those profiles stay in Braze", held, m.Name))
	case held > 0 || !paused:
		said = append(said, fmt.Sprintf("%d deletes of model %s are being sent", held, m.Name))
	}
	if load && !paused && !unloaded {
		said = append(said, m.Table+" is loaded")
	}
	return strings.Join(said, "; ")
}

// Discard ends an entry without sending it. What Braze holds of its user counts as unknown from then on.
func (p *Pipeline) Discard(ctx context.Context, id uint64, why string) error {
	e, err := p.journal.Quarantine().Entry(id)
	if err != nil {
		return err
	}
	if e.Closed != "" {
		return fmt.Errorf("entry %d is closed: %s", id, e.Closed)
	}
	if err := p.journal.Quarantine().Close(ctx, id, "discarded: "+why); err != nil {
		return err
	}
	c := p.care
	c.mu.Lock()
	defer c.mu.Unlock()
	if i, ok := p.modelAt[e.Model]; ok {
		c.dropEntry(rowKey{i, e.Key}, id)
	}
	if e.User != (User{}) {
		c.noProof[e.User] = true
	}
	c.refresh()
	return nil
}

// SendRow sends one living row, whole or only these fields of its profile, through its user's queue, and waits until Braze answered or ctx ends.
func (p *Pipeline) SendRow(ctx context.Context, model, key string, only []string) (string, error) {
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
	return p.sendRow(ctx, i, row, k, 0, only)
}

// sendRow queues a row that was read to learn its user; it is read once more when its user's turn has come.
func (p *Pipeline) sendRow(ctx context.Context, model int, row Row, key Key, entry uint64, only []string) (string, error) {
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
		if len(only) > 0 {
			s.only, s.rows[0].partial, s.rows[0].whole = only, true, false
		}
		s.noProof, s.nulls, s.reread, s.waiters = len(only) == 0, true, true, []chan<- string{ended}
		if entry != 0 {
			s.entries, s.asked = []uint64{entry}, true
		}
		steps = append(steps, s)
	}
	if err := p.sendAndWait(ctx, steps, ended); err != nil {
		return "", err
	}
	if len(only) > 0 {
		return fmt.Sprintf("%s of row %s of %s was accepted by Braze as user %q", strings.Join(only, ", "), key.ID, key.Table, effects[0].User.ID), nil
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
