package connector

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"time"
)

// Replay brings what rows were at some time in the past of their topic under whatever the live stream brings, into the queues of their users. It never
// overwrites anything newer. That holds for three reasons:
//
//   - What was handed out before BeginReplay is done before the first Push: Settled waits for it. What the live stream brings of a scanned partition up to the
//     scan's end is done as well; the caller waits for that, and a row that is not among the later ones (Scanned, and the caller's own scan) has its newest
//     value of all that lies before that end.
//   - Every live change from then on is noted, by its row and by its users, before anything of it enters a queue, under the lock that Push holds from its
//     look at the notes until its rows lie in the queues. So a live change was noted before Push looked, and the row is left out; or it enters the queue
//     behind the row, folds over it, and is sent with it or after it. A change that was noted, sent and forgotten before Push looked is still in the notes.
//   - A user who waits with a delete or a rename, who settles after a delete, or whose name was renamed away is left out as a whole.
//
// One Replay is open at a time. Push belongs to one goroutine; the other methods may be called by any.
type Replay struct {
	p      *Pipeline
	stream string
	all    bool      // also what Braze is known to have
	before []*ticket // what was open at the beginning

	mu      sync.Mutex
	ends    map[string]uint64 // by partition, where the scan ended; nil until Scanned
	early   []liveTouch       // noted before that was known
	touched map[uint64]struct{}
	lost    error // why nothing may be pushed any more
	pushed  uint64
	done    uint64
}

// liveTouch is one note of a live change: the row or user it touched.
type liveTouch struct {
	part   string
	offset uint64
	hash   uint64
}

// ReplayRow is one row of a Push.
type ReplayRow struct {
	Effect *StoredEffect
	// Stream is the one its partition's live changes have, see PartOf.
	Stream string
	// Columns are those to be remembered of the row; none: nothing is.
	Columns []byte
}

// Why a row of a replay is left out.
const (
	LeftChanged = "changed meanwhile"
	LeftDeleted = "its user is being deleted or renamed, or was"
	LeftHeld    = "a delete of its user waits for a confirmation"
	LeftPaused  = "its model is paused"
	LeftModel   = "the mapping has changed"
)

// ErrReplayRuns: another replay is open.
var ErrReplayRuns = errors.New("another replay is under way in this process; wait for its end, or cancel it")

// maxTouched bounds the memory that the notes of live changes take.
const maxTouched = 1 << 21

// replayOpen is the part of the caps that a replay may fill, so that the live stream has room.
const replayOpen = 4

const replayStream = "replay/"

// BeginReplay opens a Replay: from now on the pipeline notes what live changes touch. Ends of the log that are to be scanned must be asked for afterwards. With
// all, values are sent too that Braze is known to have.
func (p *Pipeline) BeginReplay(id string, all bool) (*Replay, error) {
	r := &Replay{p: p, all: all, stream: fmt.Sprintf("%s%s-%d", replayStream, id, p.replays.Add(1)), touched: map[uint64]struct{}{}}
	if !p.replay.CompareAndSwap(nil, r) {
		return nil, ErrReplayRuns
	}
	r.before = p.tracker.openTickets()
	return r, nil
}

var touchSeed = maphash.MakeSeed()

type touchedRow Key

type touchedUser struct {
	model int // -1: by whatever model
	user  User
}

// note remembers what a live change touches. It is called by the reader before anything of the change is pushed: with no effects before it is mapped, since
// it counts whatever comes of it, and with its effects after.
func (r *Replay) note(c *Change, stream string, effects []Effect) {
	part := PartOf(stream)
	r.mu.Lock()
	defer r.mu.Unlock()
	end, scanned := r.ends[part]
	if r.ends == nil || scanned && c.ID.Commit >= end {
		at := liveTouch{part: part, offset: c.ID.Commit}
		if len(effects) == 0 {
			r.touch(at, maphash.Comparable(touchSeed, touchedRow(c.Key)))
			if c.OldKey != (Key{}) {
				r.touch(at, maphash.Comparable(touchSeed, touchedRow(c.OldKey)))
			}
		}
		for i := range effects {
			r.touch(at, maphash.Comparable(touchSeed, touchedUser{effects[i].Model, effects[i].User}))
		}
	}
	for i := range effects {
		if e := &effects[i]; e.Kind == DeleteUser || e.Kind == Rename {
			r.keep(maphash.Comparable(touchSeed, touchedUser{-1, e.User}))
			r.keep(maphash.Comparable(touchSeed, touchedUser{-1, e.To}))
		}
	}
}

func (r *Replay) touch(at liveTouch, hash uint64) {
	if r.ends != nil {
		r.keep(hash)
		return
	}
	at.hash = hash
	if r.early = append(r.early, at); len(r.early) > maxTouched {
		r.full()
	}
}

func (r *Replay) keep(hash uint64) {
	if r.touched[hash] = struct{}{}; len(r.touched) > maxTouched {
		r.full()
	}
}

// full gives the replay up before its notes take more memory than the process has. The lock is held.
func (r *Replay) full() {
	r.fail(fmt.Errorf("more than %d rows and users changed while the replay worked; start it again: it goes on where it was, and looks at these changes then", maxTouched))
	clear(r.touched)
	r.early = nil
}

func (r *Replay) fail(err error) {
	if r.lost == nil {
		r.lost = err
	}
}

// Scanned says which partitions were scanned ("TOPIC/NUMBER", as PartOf gives them), and the offset behind the last record that was seen of each: live changes
// from there on are newer than what the scan knows.
func (r *Replay) Scanned(ends map[string]uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ends = ends
	for _, t := range r.early {
		if end, ok := ends[t.part]; ok && t.offset >= end {
			r.keep(t.hash)
		}
	}
	r.early = nil
}

// Settled waits until everything is done that was handed out before BeginReplay.
func (r *Replay) Settled(ctx context.Context) error {
	return r.until(ctx, func() bool {
		r.p.tracker.mu.Lock()
		defer r.p.tracker.mu.Unlock()
		return !slices.ContainsFunc(r.before, func(t *ticket) bool { return !t.stream.dead && t.left > 0 })
	})
}

// Passed waits until a live stream is done and recorded up to an offset.
func (r *Replay) Passed(ctx context.Context, stream string, offset uint64) error {
	return r.until(ctx, func() bool { return r.p.tracker.doneOf(stream) >= offset })
}

func (r *Replay) until(ctx context.Context, holds func() bool) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		if err := r.Err(); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return r.Err()
}

// Err tells why nothing more can be pushed, nil while something can.
func (r *Replay) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lost
}

// Push puts rows into the queues of their users, as older than all that waits there, behind all live changes of other users. Rows of one user stand together,
// the newest last; they go as one. It waits while a quarter of the pipeline's caps is taken by this replay, and while the caps are reached. It gives the
// number of the push, for Done, and how many rows were left out, by reason.
func (r *Replay) Push(ctx context.Context, rows []ReplayRow) (n uint64, left map[string]int, err error) {
	p, t := r.p, r.p.tracker
	err = r.until(ctx, func() bool {
		open, bytes := t.openOf(r.stream)
		return open == 0 || open+len(rows) <= p.cfg.OpenChanges/replayOpen && bytes <= p.cfg.OpenBytes/replayOpen
	})
	if err != nil {
		return 0, nil, err
	}
	b := Batch{Position: Position{Stream: r.stream, Offset: r.pushed + 1}, Changes: make([]Change, len(rows))}
	size := int64(0)
	for i := range rows {
		size += stepBytes(rows[i].Effect)
	}
	k, err := t.addSized(ctx, &b, size)
	if err != nil {
		return 0, nil, r.because(err)
	}
	r.mu.Lock()
	if err := r.lost; err != nil {
		r.mu.Unlock()
		t.drop(map[string]bool{r.stream: true})
		return 0, nil, err
	}
	r.pushed++
	left = map[string]int{}
	var users []*step
	var over []share // of rows that are left out
	var kept []*ReplayRow
	for i := range rows {
		s, why := r.step(&rows[i], k)
		switch {
		case why != "":
			left[why]++
			over = append(over, share{k, 1})
			continue
		case !foldReplayed(users, s):
			users = append(users, s)
		}
		if len(rows[i].Columns) > 0 {
			kept = append(kept, &rows[i])
		}
	}
	out := p.queue.pushOlder(users)
	r.remember(kept, out)
	n = r.pushed
	r.mu.Unlock()
	for _, s := range out {
		left[LeftDeleted] += len(s.rows)
		p.ids.release(s)
		over = append(over, s.shares...)
	}
	t.done(over)
	t.finish(k)
	return n, left, nil
}

// remember puts down what is to be remembered of rows that were pushed, but of those that were left out after all. The lock is held: a live change of such a row
// is noted behind it, so that what it leaves of the row comes later.
func (r *Replay) remember(rows []*ReplayRow, out []*step) {
	p := r.p
	k := p.keeper()
	if k == nil || p.memory == nil {
		return
	}
	var puts []RememberPut
	for _, row := range rows {
		e := row.Effect
		if !p.memory.has(p.modelAt[e.Model]) || p.erased(e.User) != "" || slices.ContainsFunc(out, func(s *step) bool { return s.user == e.User }) {
			continue
		}
		puts = append(puts, RememberPut{Model: e.Model, RememberedRow: RememberedRow{Key: e.Rows[0].Key, User: e.User, Part: PartOf(row.Stream), Columns: row.Columns}})
	}
	if len(puts) > 0 {
		if err := k.Remember(puts); err != nil {
			p.cacheFailed(err)
		}
	}
}

// foldReplayed folds a row of a replay into an older one of its user, if one stands at the end of the list. Of each kind a user has one step then, so that their order
// in the queue, where each goes in front, says nothing; events stay what they are.
func foldReplayed(steps []*step, s *step) bool {
	if s.event != nil {
		return false
	}
	for i := len(steps) - 1; i >= 0 && steps[i].user == s.user; i-- {
		switch old := steps[i]; {
		case old.event != nil:
		case s.user.Kind == Item:
			steps[i] = foldItem(old, s)
			return true
		case old.kind == s.kind && (s.kind == Track || s.kind == Subscribe):
			fold(old, s)
			return true
		}
	}
	return false
}

// because prefers why the replay was given up to what followed from it.
func (r *Replay) because(err error) error {
	if lost := r.Err(); lost != nil {
		return lost
	}
	return err
}

// stepBytes is about what a row of a replay keeps in memory until it is done.
func stepBytes(e *StoredEffect) int64 {
	n := changeBytes
	for i := range e.Fields {
		n += fieldBytes + len(e.Fields[i].JSON)
	}
	if e.Event != nil {
		n += fieldBytes + len(e.Event.JSON)
	}
	return int64(n)
}

// step makes a step of a row, or tells why it is left out. The lock is held.
func (r *Replay) step(row *ReplayRow, t *ticket) (s *step, why string) {
	p, e := r.p, row.Effect
	model, ok := p.modelAt[e.Model]
	if !ok || len(e.Rows) == 0 {
		return nil, LeftModel
	}
	for _, at := range e.Rows {
		if e.Event == nil && r.has(maphash.Comparable(touchSeed, touchedRow(at.Key))) {
			return nil, LeftChanged
		}
	}
	if e.Event == nil && r.has(maphash.Comparable(touchSeed, touchedUser{model, e.User})) {
		return nil, LeftChanged
	}
	if r.has(maphash.Comparable(touchSeed, touchedUser{-1, e.User})) || p.deletedBefore(model, e.User) {
		return nil, LeftDeleted
	}
	if why = p.care.keepsOut(model, e.User); why != "" {
		return nil, why
	}
	s = p.restore(e)
	if len(s.rows) == 0 {
		return nil, LeftModel
	}
	// Nothing is left out by a before-image, since there is none.
	s.load, s.nulls, s.maybeSent, s.noProof = true, true, false, r.all
	s.verify = s.kind == DeleteUser && !p.models[model].IDUnique
	s.share1[0] = share{t, 1}
	s.shares = s.share1[:1]
	for i := range s.rows {
		s.rows[i].stream, s.rows[i].ends = row.Stream, s.kind == DeleteUser || s.kind == DeleteItem
		p.ids.hold(s, &Effect{Kind: s.kind, User: s.user, Model: s.rows[i].model, Key: s.rows[i].key})
	}
	p.care.join(s, p)
	return s, ""
}

func (r *Replay) has(hash uint64) bool {
	_, ok := r.touched[hash]
	return ok
}

// deletedBefore tells whether a profile was deleted, or renamed away, and not begun anew: a row of another model than the owner does not bring it back.
func (p *Pipeline) deletedBefore(model int, u User) bool {
	c := p.cache()
	if c == nil || !p.others || p.models[model].Owner || u.Kind == Item {
		return false
	}
	_, ok, err := c.RowUser(deletedUsers, Key{ID: u.ID})
	return ok && err == nil
}

// keepsOut tells why a replay sends nothing of a user by a model.
func (c *care) keepsOut(model int, u User) string {
	if !c.anyPaused.Load() && !c.anyHeld.Load() {
		return ""
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paused[model] != nil {
		return LeftPaused
	}
	if c.held.waiting(u) {
		return LeftHeld
	}
	return ""
}

// pushOlder puts steps of a replay under what waits of their users and gives back those whose users are being deleted or renamed, or were. A delete goes only
// where nothing waits.
func (q *queue) pushOlder(steps []*step) (out []*step) {
	now := time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, s := range steps {
		if q.lost(s) {
			out = append(out, s)
			continue
		}
		u := q.users[s.user]
		if u != nil && (u.settling() || u.again || slices.ContainsFunc(u.steps, func(w *step) bool { return w.kind == DeleteUser || w.kind == Rename || w.user.Kind == Item }) ||
			s.kind == DeleteUser && (u.busy || len(u.steps) > 0)) || s.user.Kind == ExternalID && q.renamed[s.user.ID] {
			out = append(out, s)
			continue
		}
		u = q.user(s.user)
		switch {
		case s.event != nil:
			q.behind(u, s)
		case s.kind == Track:
			q.insertOlder(u, s)
		default:
			u.steps = append([]*step{s}, u.steps...)
			q.steps++
		}
		q.schedule(u, now)
	}
	q.signal()
	return out
}

// Done gives the number of the last push of which, and of all before it, every row was accepted by Braze, was found unnecessary, or lies in quarantine.
func (r *Replay) Done() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.done
}

// takeReplayed takes a replay's own positions out of those to record: they belong to nobody but the replay.
func (p *Pipeline) takeReplayed(positions []Recorded) []Recorded {
	return slices.DeleteFunc(positions, func(x Recorded) bool {
		if !strings.HasPrefix(x.Position.Stream, replayStream) {
			return false
		}
		if r := p.replay.Load(); r != nil && r.stream == x.Position.Stream {
			r.mu.Lock()
			r.done = x.Position.Offset
			r.mu.Unlock()
		}
		return true
	})
}

// revokeReplay ends a replay that scanned one of the partitions that go away: their next changes are not seen here. It gives the stream of what is still open
// of it.
func (p *Pipeline) revokeReplay(streams []string) (stream string, ok bool) {
	r := p.replay.Load()
	if r == nil {
		return "", false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range streams {
		if _, scanned := r.ends[PartOf(s)]; scanned || r.ends == nil {
			r.fail(fmt.Errorf("partition %s went to another process of the group; start the replay again there and here", PartOf(s)))
			return r.stream, true
		}
	}
	return "", false
}

// Close ends the replay: what is unsent of it is taken out of the queues.
func (r *Replay) Close() {
	p := r.p
	r.mu.Lock()
	r.fail(errors.New("the replay ended"))
	r.mu.Unlock()
	set := map[string]bool{r.stream: true}
	for _, s := range p.queue.withdraw(set) {
		s.answer("not sent: the replay ended")
		p.ids.release(s)
	}
	p.tracker.drop(set)
	p.replay.CompareAndSwap(r, nil)
}
