package connector

import (
	"context"
	"errors"
	"slices"
	"time"
)

// rowsOf reads the living rows that belong to a user by one model and maps them whole, as steps without shares. Where the model names its users by an
// expression, or the source has no living rows, they cannot be looked up, and known is false. What it reads is not older than any change handed out so far, and older than any that waits.
func (p *Pipeline) rowsOf(ctx context.Context, model int, u User) (steps []*step, known bool, err error) {
	m := &p.models[model]
	where := Equal{Column: m.IDColumn, Text: u.ID}
	if u.Kind == Email {
		where.Column, where.Fold = m.EmailColumn, true
	}
	if where.Column == "" || u.Kind != ExternalID && u.Kind != Email {
		return nil, false, nil
	}
	rows, err := p.source.Rows(ctx, Query{Table: m.Table, Where: []Equal{where}, Limit: 100})
	if errors.Is(err, ErrNotReadable) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	var effects []Effect
	for _, r := range rows {
		from := len(effects)
		if effects, err = p.mapper.MapRow(effects, model, r, time.Now()); err != nil {
			return nil, false, err
		}
		for i := from; i < len(effects); i++ {
			effects[i].Key = KeyOf(r)
		}
	}
	for i := range effects {
		if e := &effects[i]; e.User == u && e.Kind == Track {
			s := newStep(e)
			s.noProof = true
			steps = append(steps, s)
		}
	}
	return steps, true, nil
}

// living looks, before a delete or rename leaves, whether a living row of the owner has the id. If so the delete is dropped and that row goes whole, nulls
// included; a rename is dropped and the new id goes in full. It tells whether the flight is settled.
func (p *Pipeline) living(ctx context.Context, f *flight) (settled bool, err error) {
	s := f.s
	steps, known, err := p.rowsOf(ctx, s.rows[0].model, s.user)
	if err != nil || !known || len(steps) == 0 {
		return false, err
	}
	if s.kind == Rename {
		p.inFull(ctx, s)
	}
	p.seen(s, nil, "suppressed", "another living row has this external_id")
	// The change is done when the row in its place is.
	steps[0].shares, steps[0].entries, steps[0].release, steps[0].at = s.shares, s.entries, s.release, s.at
	steps[0].held = s.held // until then the cache may not know the row
	now := time.Now()
	q := p.queue
	if s.kind == DeleteUser {
		q.beneath(steps[0], s)
		undelete(steps[0], p.models) // nothing of the row that is gone stays, also where a NULL would be kept
	}
	q.mu.Lock()
	for _, u := range []*user{f.u, f.to} {
		if u == nil {
			continue
		}
		u.busy = false
		if u == f.u {
			q.steps--
			for _, row := range steps {
				row.nulls = true
				q.insertOlder(u, row)
			}
		}
		q.schedule(u, now)
	}
	q.signal()
	q.mu.Unlock()
	return true, nil
}

// insertOlder puts what was read of a user under its first waiting Track, or in front of all. The lock is held.
func (q *queue) insertOlder(u *user, read *step) {
	if len(u.steps) > 0 && u.steps[0].kind == Track && u.steps[0].event == nil {
		s := u.steps[0]
		s.noProof = s.noProof || read.noProof
		foldOlder(s, read)
		q.note(read)
		return
	}
	u.steps = append([]*step{read}, u.steps...)
	q.steps++
}

// inFull makes the new user of a rename that did not happen go whole: nothing is known of what Braze holds under that id.
func (p *Pipeline) inFull(ctx context.Context, rename *step) {
	steps, _, err := p.rowsOf(ctx, rename.rows[0].model, rename.to)
	if err != nil {
		p.log.Warn("read the row of a renamed user again; only what its change carries is sent", "err", err)
	}
	q := p.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	u := q.users[rename.to]
	if u == nil {
		return // Run holds the rename's second user in the map until it landed
	}
	if len(u.steps) > 0 && u.steps[0].kind == Track && u.steps[0].event == nil {
		u.steps[0].noProof = true
	}
	for _, row := range steps {
		q.insertOlder(u, row)
	}
}

// deletedUsers is the name under which the cache remembers users whose profile was deleted, where other models than the owner feed them.
const deletedUsers = "(deleted users)"

// wasDeleted tells whether a row starts the profile of a user that was deleted some time ago: a new one of the owner, or any of another model.
func (p *Pipeline) wasDeleted(s *step) bool {
	if !p.others || s.event != nil || s.user.Kind == Item || s.owner && !s.creates || s.updateOnly || s.load || s.revived {
		return false
	}
	c := p.cache()
	if c == nil {
		return false
	}
	_, ok, err := c.RowUser(deletedUsers, Key{ID: s.user.ID})
	return ok && err == nil
}

// readAgain brings the other models' rows of a user whose profile starts anew after a delete under the owner's row.
func (p *Pipeline) readAgain(ctx context.Context, s *step) error {
	s.noProof, s.nulls = true, true
	for i := range p.models {
		if p.models[i].Owner && s.owner {
			continue // it is this one
		}
		steps, known, err := p.rowsOf(ctx, i, s.user)
		if err != nil {
			return err
		}
		if !known {
			p.log.Info("rows of this model cannot be read again for a user that comes again; they go in full at their next change", "model", p.models[i].Name)
		}
		for _, row := range steps {
			foldOlder(s, row)
		}
	}
	s.again, s.revived = false, true
	return nil
}

// refetch reads the rows of a step that asks for it and puts them under what came for its user meanwhile. A row that is gone, or that belongs to somebody
// else by now, adds nothing: the change that did it follows.
func (p *Pipeline) refetch(ctx context.Context, s *step) error {
	for _, r := range append([]rowRef(nil), s.rows...) {
		row, found, err := p.rowByKey(ctx, r.model, r.key)
		if err != nil {
			return err
		}
		if !found {
			continue
		}
		steps, err := p.rowSteps(r.model, r.key, s.user, row)
		if err != nil {
			return err
		}
		for _, read := range steps {
			if len(s.only) > 0 {
				read.fields = slices.DeleteFunc(read.fields, func(f Field) bool { return !slices.Contains(s.only, f.Def.Name) })
				for i := range read.fields {
					read.fields[i].Again = true // what is known of the others stays
				}
				read.rows[0].partial, read.rows[0].whole = true, false
			}
			foldOlder(s, read)
		}
	}
	s.reread = false
	return nil
}

// rowSteps maps a row that was read whole, as steps of its user; what it makes of other users is left out.
func (p *Pipeline) rowSteps(model int, key Key, u User, row Row) (steps []*step, err error) {
	effects, err := p.mapper.MapRow(nil, model, row, time.Now())
	if err != nil {
		return nil, err
	}
	for i := range effects {
		if e := &effects[i]; e.User == u && e.Kind == Track {
			e.Key = key
			steps = append(steps, newStep(e))
		}
	}
	return steps, nil
}
