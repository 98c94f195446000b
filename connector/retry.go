package connector

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// recall gives what is put under a step when it leaves its queue, while its user is busy: nothing newer can slip in between.
type recall func(ctx context.Context) ([]*step, error)

// RowReader gives the present state of one row; found is false where it is no more, or where something newer brings it anyway.
type RowReader func(ctx context.Context) (row Row, found bool, err error)

// Retry sends what a quarantine entry stands for as it is now: the living row of the source where it can be read, whole and with its NULLs; a delete only
// if no row of the owner came after. Where the source has no living rows, what the entry holds is sent as older than all that waits for its user; an entry
// without that is an ErrNotReadable, and RetryRow and RetryDelete do it. The entry closes when Braze accepts it and is replaced if it refuses again.
func (p *Pipeline) Retry(ctx context.Context, id uint64) (string, error) {
	e, i, err := p.retried(id)
	if err != nil {
		return "", err
	}
	if p.models[i].Happens {
		return p.RetryEvents(ctx, id, nil, false)
	}
	row, found, err := p.rowByKey(ctx, i, e.Key)
	if errors.Is(err, ErrNotReadable) {
		return p.retryStored(ctx, e)
	}
	if err != nil {
		return "", err
	}
	deletes := e.Effect != nil && e.Effect.Kind == DeleteUser
	if found && !deletes {
		return p.sendRow(ctx, i, row, e.Key, id, nil)
	}
	if !found && e.Effect != nil && deletes {
		s := p.restore(e.Effect)
		s.verify, s.maybeSent, s.asked, s.entries = true, false, true, []uint64{id}
		p.queue.push([]*step{s})
		return fmt.Sprintf("delete of %s is being sent again", e.Key.Table), nil
	}
	return "", fmt.Errorf("entry %d can't be retried: its row %s of %s %s; discard it", id, e.Key.ID, e.Key.Table,
		map[bool]string{true: "lives again", false: "is gone, and its delete was, or will be, a change of its own"}[found])
}

// retried gives an open entry that this process may retry, with its model.
func (p *Pipeline) retried(id uint64) (*Entry, int, error) {
	e, err := p.journal.Quarantine().Entry(id)
	if err != nil {
		return nil, 0, err
	}
	if e.Closed != "" {
		return nil, 0, fmt.Errorf("entry %d is closed: %s", id, e.Closed)
	}
	i, ok := p.modelAt[e.Model]
	if !ok {
		return nil, 0, fmt.Errorf("entry %d belongs to model %q, which the configuration has no more; discard it, or bring the model back", id, e.Model)
	}
	if part := PartOf(e.Stream); part != "" && !p.owns(part) {
		return nil, 0, fmt.Errorf("entry %d belongs to partition %s, which another process of the group has now; retry it there", id, part)
	}
	return e, i, nil
}

// retryStored sends an entry's stored effect. That is right although rows may have changed since: a later change of the same row takes the entry along (join)
// and closes it when it is accepted, so an entry that is still open when its turn has come has nothing newer of its row in Braze. What waits newer in the
// queue folds over it.
func (p *Pipeline) retryStored(ctx context.Context, e *Entry) (string, error) {
	if e.Effect == nil || e.Effect.Kind != Track && e.Effect.Kind != DeleteUser {
		return "", fmt.Errorf("entry %d holds nothing that could be sent as it is: %w", e.ID, ErrNotReadable)
	}
	if e.Effect.Kind == DeleteUser {
		return p.retryDelete(ctx, e, []StoredEffect{*e.Effect})
	}
	old := p.restore(e.Effect)
	if len(old.rows) == 0 {
		return "", fmt.Errorf("entry %d holds nothing of a row that the mapping still has; discard it", e.ID)
	}
	s := &step{kind: Track, user: old.user, rows: old.rows, updateOnly: old.updateOnly, owner: old.owner, noProof: true, maybeSent: true, asked: true}
	s.entries, s.retried = []uint64{e.ID}, e.ID
	for i := range s.rows {
		s.rows[i].stream = e.Stream
	}
	s.recalls = []recall{func(context.Context) ([]*step, error) {
		if open, err := p.isOpen(e.ID); err != nil || !open {
			return nil, err
		}
		return []*step{p.restore(e.Effect)}, nil
	}}
	if err := p.sendOlder(ctx, []*step{s}); err != nil {
		return "", fmt.Errorf("entry %d, row %s of %s: %w", e.ID, e.Key.ID, e.Key.Table, err)
	}
	return fmt.Sprintf("what row %s of %s still lacked was accepted by Braze, as user %q", e.Key.ID, e.Key.Table, e.User.ID), nil
}

func (p *Pipeline) isOpen(id uint64) (bool, error) {
	e, err := p.journal.Quarantine().Entry(id)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // replaced
	}
	return err == nil && e.Closed == "", err
}

// stillOpen is isOpen for a step that is about to leave: where the entry can't be read, it is taken as open.
func (p *Pipeline) stillOpen(id uint64) bool {
	open, err := p.isOpen(id)
	return open || err != nil
}

// RetryRow sends a row that was read again for an entry, whole and with its NULLs, as older than all that waits for its user. read is asked once more when the
// row's turn has come. The entry closes with it where it is of that row; where it is of a record (a key other than the row's), CloseEntry ends it.
func (p *Pipeline) RetryRow(ctx context.Context, id uint64, model string, key Key, row Row, read RowReader) (string, error) {
	e, i, err := p.retriedFor(id, model)
	if err != nil {
		return "", err
	}
	effects, err := p.mapper.MapRow(nil, i, row, e.At)
	if err != nil {
		return "", fmt.Errorf("entry %d can't be mapped: %w", id, err)
	}
	if len(effects) == 0 {
		return "the row is not sent: the filter or the mode excludes it", nil
	}
	known, ok := p.ids.User(i, key)
	var steps []*step
	for j := range effects {
		f := &effects[j]
		if ok && f.Kind == Track && known != f.User {
			return "", fmt.Errorf("entry %d would move its row from user %q to %q, which can't be done late; change the row at its source, or discard the entry", id, known.ID, f.User.ID)
		}
		f.Key, f.Fields, f.Creates = key, nil, false
		s := newStep(f)
		s.noProof, s.nulls, s.maybeSent, s.rows[0].stream = true, true, true, e.Stream
		if e.Key == key && e.Model == model {
			s.entries, s.retried, s.asked = []uint64{id}, id, true
		}
		s.recalls = []recall{p.recallRow(i, key, f.User, id, read)}
		steps = append(steps, s)
	}
	if err := p.sendOlder(ctx, steps); err != nil {
		return "", fmt.Errorf("row %s of %s, user %q: %w", key.ID, key.Table, effects[0].User.ID, err)
	}
	return fmt.Sprintf("row %s of %s was accepted by Braze, whole, as user %q", key.ID, key.Table, effects[0].User.ID), nil
}

func (p *Pipeline) recallRow(model int, key Key, u User, id uint64, read RowReader) recall {
	return func(ctx context.Context) (steps []*step, err error) {
		if open, err := p.isOpen(id); err != nil || !open {
			return nil, err
		}
		row, found, err := read(ctx)
		if err != nil || !found {
			return nil, err
		}
		steps, err = p.rowSteps(model, key, u, row)
		if _, bad := errors.AsType[*RowError](err); bad {
			return nil, nil // what made the row so can't be mapped either, and is in quarantine itself
		}
		return steps, err
	}
}

// RetryDelete sends the effects of a delete that could not be mapped when it came. The caller knows that no row of the user came after; nothing is sent while
// something waits for the user.
func (p *Pipeline) RetryDelete(ctx context.Context, id uint64, effects []StoredEffect) (string, error) {
	e, _, err := p.retried(id)
	if err != nil {
		return "", err
	}
	return p.retryDelete(ctx, e, effects)
}

func (p *Pipeline) retryDelete(ctx context.Context, e *Entry, effects []StoredEffect) (string, error) {
	var steps []*step
	for i := range effects {
		s := p.restore(&effects[i])
		if len(s.rows) == 0 {
			return "", fmt.Errorf("entry %d holds nothing of a row that the mapping still has; discard it", e.ID)
		}
		for j := range s.rows {
			s.rows[j].stream, s.rows[j].ends = e.Stream, true
		}
		s.verify, s.maybeSent = s.kind == DeleteUser, false
		if e.Key == s.rows[0].key {
			s.entries, s.retried, s.asked = []uint64{e.ID}, e.ID, true
		}
		steps = append(steps, s)
	}
	ended := listen(steps)
	done, alone := p.queue.pushAlone(steps)
	if !alone {
		return "", fmt.Errorf("entry %d: another change of user %q is on its way; look again when it has arrived", e.ID, steps[0].user.ID)
	}
	if err := p.wait(ctx, len(steps), done, ended); err != nil {
		return "", fmt.Errorf("entry %d, delete of row %s of %s: %w", e.ID, e.Key.ID, e.Key.Table, err)
	}
	return fmt.Sprintf("the delete of row %s of %s was accepted by Braze", e.Key.ID, e.Key.Table), nil
}

// retriedFor is retried for a model that need not be the entry's own: a record's changes may be of several.
func (p *Pipeline) retriedFor(id uint64, model string) (*Entry, int, error) {
	e, _, err := p.retried(id)
	if err != nil {
		return nil, 0, err
	}
	i, ok := p.modelAt[model]
	if !ok {
		return nil, 0, fmt.Errorf("no model %q in the configuration", model)
	}
	return e, i, nil
}

// CloseEntry ends an entry whose content reached Braze, or needs to no more; how begins with "delivered" or "retried".
func (p *Pipeline) CloseEntry(ctx context.Context, id uint64, how string) error {
	e, err := p.journal.Quarantine().Entry(id)
	if err != nil {
		return err
	}
	if err := p.journal.Quarantine().Close(ctx, id, how); err != nil {
		return err
	}
	c := p.care
	c.mu.Lock()
	defer c.mu.Unlock()
	if i, ok := p.modelAt[e.Model]; ok {
		c.dropEntry(rowKey{i, e.Key}, id)
	}
	c.refresh()
	return nil
}

// UserOf tells which user a row of a model was last mapped to, for those who map beside the pipeline.
func (p *Pipeline) UserOf(model int, key Key) (User, bool) { return p.ids.User(model, key) }

// sendOlder queues retried steps and waits until each was accepted.
func (p *Pipeline) sendOlder(ctx context.Context, steps []*step) error {
	return p.sendAndWait(ctx, steps, listen(steps))
}

// listen gives where it is told how each of some steps ended.
func listen(steps []*step) <-chan string {
	ended := make(chan string, len(steps))
	for _, s := range steps {
		s.waiters = []chan<- string{ended}
	}
	return ended
}

// sendAndWait queues steps whose waiters is ended and waits until each was accepted, or ctx ends.
func (p *Pipeline) sendAndWait(ctx context.Context, steps []*step, ended <-chan string) error {
	return p.wait(ctx, len(steps), p.queue.push(steps), ended)
}

// wait waits until n steps were accepted, or the pipeline is over; done are those of them that the queue has nothing to send of.
func (p *Pipeline) wait(ctx context.Context, n int, done []*step, ended <-chan string) error {
	for _, s := range done {
		p.seen(s, nil, "not sent", "its user was deleted a moment ago")
	}
	for range n {
		how := ""
		select {
		case how = <-ended:
		case <-p.over: // nobody sends what still waits
			select {
			case how = <-ended:
			default:
				return ErrEnding
			}
		case <-ctx.Done():
			return fmt.Errorf("it waits to be sent, and Braze has not answered yet: %w", ctx.Err())
		}
		if how != "accepted" {
			return &EndedError{How: how}
		}
	}
	return nil
}

// remembered puts what a retried step stands for under what came for its user meanwhile.
func (p *Pipeline) remembered(ctx context.Context, s *step) error {
	for len(s.recalls) > 0 {
		steps, err := s.recalls[0](ctx)
		if err != nil {
			return err
		}
		for _, old := range steps {
			foldOlder(s, old)
		}
		s.recalls = s.recalls[1:]
	}
	return nil
}

// pushAlone is push for steps whose users must have nothing else: alone is false, and nothing was queued, where something waits or is being sent.
func (q *queue) pushAlone(steps []*step) (done []*step, alone bool) {
	now := time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, s := range steps {
		if u := q.users[s.user]; u != nil && (u.busy || len(u.steps) > 0) {
			return nil, false
		}
	}
	for _, s := range steps {
		u := q.user(s.user)
		if d := q.append(u, s); d != nil {
			done = append(done, d)
		}
		q.schedule(u, now)
	}
	q.signal()
	return done, true
}
