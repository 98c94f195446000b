package connector

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Erasure is the mark of a user whom a person asked to forget: loads, replays, retries and changes of before At do not bring the profile back.
type Erasure struct {
	At time.Time
	// Back: a row that was committed after At started a new profile under the identifier. What came before At is still left out.
	Back bool
}

// ModelRow names a row of a model.
type ModelRow struct {
	Model string
	Key   Key
}

// Eraser is a Journal that can forget users, and remember without their identifiers that it did. Its methods may be called concurrently.
type Eraser interface {
	// AnyErased tells whether anybody was erased. It takes nanoseconds.
	AnyErased() bool
	// Erased gives the mark of a user.
	Erased(u User) (Erasure, bool)
	// ErasedRow tells whether a row was one of an erased user who has not come back.
	ErasedRow(r ModelRow) bool
	// MarkErased remembers by keyed hashes, durably, that a user and rows of it were erased.
	MarkErased(ctx context.Context, u User, rows []ModelRow, at time.Time) error
	// CameBack notes that a new row started a new profile of an erased user.
	CameBack(ctx context.Context, u User, r ModelRow) error
	// Purge takes out all else that is kept of a user: what waits, what was done, quarantine entries of it and of rows, those that ended included. Afterwards
	// no file holds the identifier, except in marks of other users, and where Purged says so.
	Purge(ctx context.Context, u User, rows []ModelRow) (*Purged, error)
}

// Purged is what a Purge found.
type Purged struct {
	Waiting int      // held deletes and settling users
	Entries []uint64 // quarantine entries that are no more
	// Kept are records of these entries that lie in a topic, where only its retention ends them.
	Kept []KeptRecord
	// Doubtful are entries of nobody known whose undecoded record holds the identifier as a word; they were left.
	Doubtful []uint64
	// Shared: what the processes of the group share was changed too; the topic holds old values until it is compacted.
	Shared bool
}

// KeptRecord is a record of a topic with one partition.
type KeptRecord struct {
	Topic  string `json:"topic"`
	Offset int64  `json:"offset"`
}

// UserForgetter is a Fingerprints that can forget users.
type UserForgetter interface {
	// RowsOf gives the rows that were last accepted under a user.
	RowsOf(ctx context.Context, u User) ([]ModelRow, error)
	// Forget removes all of a user and of its rows, so that no file holds the identifier any more, and gives how many rows there were.
	Forget(ctx context.Context, u User) (rows int, err error)
}

// Forgotten tells what erasing a user did.
type Forgotten struct {
	Purged
	Rows int // whose user the cache knew
	// Known are these rows, as far as their keys are known.
	Known []ModelRow
	// Unsent: the profile had been deleted a moment ago, so no delete was sent.
	Unsent bool
}

// Forget erases a user: a delete goes through its queue, and when Braze has accepted it, all that data/ and cache/ hold of the user is removed. Before that a
// mark is set, so that nothing that is not newer brings the profile back; after an error it stands, and the same call goes on.
func (p *Pipeline) Forget(ctx context.Context, u User) (*Forgotten, error) {
	eraser := p.eraser
	if eraser == nil {
		return nil, errors.New("erase a user: this journal cannot")
	}
	if len(p.models) == 0 {
		return nil, errors.New("erase a user: the configuration has no model")
	}
	p.queue.mu.Lock()
	renamed := u.Kind == ExternalID && p.queue.renamed[u.ID]
	p.queue.mu.Unlock()
	if renamed {
		return nil, errors.New("erase a user: the external_id was renamed to another one, under which the profile goes on; erase that one")
	}
	rows, err := RowsToForget(ctx, p.cache(), u)
	if err != nil {
		return nil, err
	}
	if err := eraser.MarkErased(ctx, u, rows, time.Now()); err != nil {
		return nil, fmt.Errorf("remember that a user is erased: %w", err)
	}
	sent, err := p.eraseInBraze(ctx, u)
	if err != nil {
		return nil, fmt.Errorf("delete the profile of an erased user: %w; what data/ and cache/ hold of it is still there: do it again", err)
	}
	p.forgetUser(u)
	// What the delete and all before it left for the next record is written, and goes with the rest.
	if err := p.pend.durable(ctx, func(*Record) {}); err != nil {
		return nil, fmt.Errorf("wait for the record before a user is erased: %w", err)
	}
	out, err := PurgeUser(ctx, eraser, p.cache(), u, rows)
	if err != nil {
		return nil, err
	}
	p.forgetEntries(out.Entries)
	out.Unsent = !sent
	return out, nil
}

// RowsToForget gives the rows of a user that the cache, which may be nil, knows.
func RowsToForget(ctx context.Context, cache Fingerprints, u User) ([]ModelRow, error) {
	c, ok := cache.(UserForgetter)
	if !ok {
		return nil, nil
	}
	rows, err := c.RowsOf(ctx, u)
	if err != nil {
		return nil, fmt.Errorf("look for the rows of a user in the cache: %w", err)
	}
	return rows, nil
}

// PurgeUser takes a user whose profile was deleted out of the stores.
func PurgeUser(ctx context.Context, eraser Eraser, cache Fingerprints, u User, rows []ModelRow) (*Forgotten, error) {
	purged, err := eraser.Purge(ctx, u, rows)
	if err != nil {
		return nil, err
	}
	out := &Forgotten{Purged: *purged, Known: rows}
	if c, ok := cache.(UserForgetter); ok {
		if out.Rows, err = c.Forget(ctx, u); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// eraseInBraze sends the delete through the user's queue and waits until Braze accepted it. sent is false where the user was deleted a moment ago.
func (p *Pipeline) eraseInBraze(ctx context.Context, u User) (sent bool, err error) {
	owner := 0
	for i := range p.models {
		if p.models[i].Owner {
			owner = i
			break
		}
	}
	// It counts as sent: a row that comes again behind it starts a new profile.
	s := &step{kind: DeleteUser, user: u, owner: true, erase: true, maybeSent: true, rows: []rowRef{{model: owner, ends: true}}}
	steps := []*step{s}
	ended := listen(steps)
	if done := p.queue.push(steps); len(done) > 0 {
		return false, nil
	}
	return true, p.wait(ctx, 1, nil, ended)
}

// forgetUser takes a user out of memory.
func (p *Pipeline) forgetUser(u User) {
	c := p.care
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held.take(u)
	delete(c.done, u)
	delete(c.noProof, u)
	c.refresh()
}

// forgetEntries takes purged quarantine entries out of memory.
func (p *Pipeline) forgetEntries(ids []uint64) {
	gone := map[uint64]bool{}
	for _, id := range ids {
		gone[id] = true
	}
	c := p.care
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, id := range c.entries {
		if gone[id] {
			c.dropEntry(k, id)
		}
	}
	c.refresh()
}

// erased tells why nothing of a user is sent, "" where nothing is against it.
func (p *Pipeline) erased(u User) string {
	if p.eraser == nil || !p.eraser.AnyErased() || u.Kind == Item {
		return ""
	}
	if mark, ok := p.eraser.Erased(u); !ok || mark.Back {
		return ""
	}
	return "the user was erased (brazecdc forget); only a new row brings it back"
}

// erasedBefore tells whether a change is of a user who was erased after it was committed, or who has not come back since.
func (p *Pipeline) erasedBefore(u User, c *Change) bool {
	if p.eraser == nil || !p.eraser.AnyErased() || u.Kind == Item {
		return false
	}
	mark, ok := p.eraser.Erased(u)
	return ok && (!mark.Back || c.Op != Snapshot && !c.Time.After(mark.At))
}

// erasedRow tells whether a change that cannot be mapped is of an erased user's row: then it is nothing that anybody has to look at, and nothing to keep.
func (p *Pipeline) erasedRow(model int, key Key) bool {
	return p.eraser != nil && p.eraser.AnyErased() && p.eraser.ErasedRow(ModelRow{p.models[model].Name, key})
}

// judgeErased decides on a change of a user who was erased. What was committed before stays out for good; behind it a new row of the owner (or of any model,
// where none owns its users) starts a new profile, for which back gives the mark. load: the change is a row of a load.
func (p *Pipeline) judgeErased(ctx context.Context, e *Effect, c *Change, load bool) (out bool, back *Erasure, err error) {
	if p.eraser == nil || e.User.Kind == Item || e.Kind != Track && e.Kind != Subscribe || !p.eraser.AnyErased() {
		return false, nil, nil
	}
	mark, ok := p.eraser.Erased(e.User)
	if !ok {
		return false, nil, nil
	}
	living := load || c.Op == Snapshot // a row as it is now, whenever it was committed
	if !living && !c.Time.After(mark.At) {
		return true, nil, nil
	}
	if mark.Back {
		return false, nil, nil
	}
	if living || c.Initial || c.Op != Insert || !e.Owner && p.owned {
		return true, nil, nil
	}
	if err := p.eraser.CameBack(ctx, e.User, ModelRow{p.models[e.Model].Name, e.Key}); err != nil {
		return false, nil, fmt.Errorf("note that an erased user came back: %w", err)
	}
	p.log.Warn("a new row starts a profile for a user who was erased before", "model", p.models[e.Model].Name, "table", e.Key.Table, "erased", mark.At.Format(time.RFC3339))
	return false, &mark, nil
}

// settleErased makes a user who came back wait until the delete of its erasure has taken effect, also where that was in an earlier run.
func (q *queue) settleErased(s *step, mark *Erasure) {
	until := mark.At.Add(q.settleFor)
	if !time.Now().Before(until) {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	u := q.user(s.user)
	if u.settling() || u.busy || len(u.steps) > 0 {
		return // the delete is known here
	}
	u.settle, u.again, u.from = at(until), true, &settled{part: s.part()}
	q.park(u, u.settle)
}

// leaveOut ends a flight of which nothing is sent, for a reason that its watchers are told.
func (p *Pipeline) leaveOut(f *flight, why string) {
	for _, s := range f.all() {
		p.seen(s, nil, "not sent", why)
		p.ended(s)
		p.ids.release(s)
		p.tracker.done(s.shares)
	}
	q := p.queue
	q.mu.Lock()
	f.u.busy = false
	q.steps -= 1 + len(f.more)
	q.schedule(f.u, time.Now())
	q.signal()
	q.mu.Unlock()
}
