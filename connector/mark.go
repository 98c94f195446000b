package connector

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
)

// UserList is a list of users on disk that only grows, in the order of its appends: whom a load marked. Append may be called concurrently, also with Sync;
// Users belongs to one goroutine.
type UserList interface {
	// Append adds users. They outlive a kill of the process when it returns, and a power cut after Sync.
	Append(users []User) error
	// Sync makes durable what was appended.
	Sync() error
	// Users gives at most n users from a place on (0: the first), and the place behind them. None: the end.
	Users(from int64, n int) (users []User, next int64, err error)
	// Close ends the use and leaves the list; Remove takes it away.
	Close() error
	Remove() error
}

// ListKeeper is a Journal that keeps lists of users. UserList opens one by its name, or makes it; SweepLists removes those of other names.
type ListKeeper interface {
	UserList(name string) (UserList, error)
	SweepLists(keep []string) error
}

// unmarkStream begins the names of the streams that the taking away of marks has in the tracker.
const unmarkStream = "unmark/"

// unmarkAtOnce is how many users are pushed at once to have their mark taken away: a few full calls.
const unmarkAtOnce = 300

// markField is the boolean attribute that says of a user that a load is sending it. Nothing of it is remembered.
func markField(name string) *FieldDef {
	key, err := json.Marshal(name)
	if err != nil { // no string is one
		key = nil
	}
	return &FieldDef{Name: name, JSON: append(key, ':'), Order: math.MaxInt, Type: BoolType}
}

// markName is the attribute that a load of a model sets, "" for none: only users can be marked.
func (p *Pipeline) markName(model int) string {
	if p.cfg.LoadMark == "" || p.models[model].Rows != Track || p.models[model].Happens {
		return ""
	}
	if _, ok := p.journal.(ListKeeper); !ok {
		return ""
	}
	return p.cfg.LoadMark
}

func (p *Pipeline) openMarks(run *loadRun, st *LoadState) error {
	keeper, ok := p.journal.(ListKeeper)
	if st.Mark == "" || !ok {
		return nil
	}
	list, err := keeper.UserList(st.ID)
	if err != nil {
		return fmt.Errorf("keep whom the load of model %q marks: %w", st.Model, err)
	}
	run.list, run.mark = list, markField(st.Mark)
	return nil
}

// marks gives the field that a step's object carries beside its own: true while a load sends the user, null to take that away.
func (s *step) marks(send bool) (f Field, ok bool) {
	switch {
	case send && s.from != nil && s.from.mark != nil:
		return Field{Def: s.from.mark, JSON: jsonTrue}, true
	case s.unmark != nil:
		return Field{Def: s.unmark, JSON: jsonNull}, true
	}
	return f, false
}

var jsonTrue = []byte("true")

// noteMarked puts down whom a call is about to mark. A mark that was sent and not noted would stay.
func (p *Pipeline) noteMarked(batch []flight, calls []Effect) error {
	var by map[*loadRun][]User
	at := 0
	for i := range batch {
		f := &batch[i]
		call := &calls[at]
		at += f.calls
		s := f.s
		if f.free || s.noted || s.from == nil || s.from.list == nil || len(call.Fields) == 0 || call.Fields[len(call.Fields)-1].Def != s.from.mark {
			continue
		}
		if by == nil {
			by = map[*loadRun][]User{}
		}
		by[s.from] = append(by[s.from], s.user)
		s.noted = true
	}
	for run, users := range by {
		if err := run.list.Append(users); err != nil {
			return &StopError{Code: ExitCode(err), What: fmt.Sprintf("note in data/ whom the load of model %q marks", p.models[run.model].Name), Err: err,
				Fix: "see the error; nothing of this call was sent"}
		}
	}
	return nil
}

// unmark takes the mark away from all whom a load gave it, from a place in its list on.
func (p *Pipeline) unmark(ctx context.Context, run *loadRun, from int64) error {
	stream := unmarkStream + run.id
	for {
		users, next, err := run.list.Users(from, unmarkAtOnce)
		if err != nil {
			return fmt.Errorf("read whom the load of model %q marked: %w", p.models[run.model].Name, err)
		}
		if len(users) == 0 {
			break
		}
		from = next
		b := Batch{Position: Position{Stream: stream, Offset: uint64(next)}, Changes: make([]Change, len(users))}
		if err := p.poll(ctx, func() bool { n, _ := p.tracker.openOf(stream); return n < 2*unmarkAtOnce }); err != nil {
			return err
		}
		t, err := p.tracker.addSized(ctx, &b, int64(len(users)*changeBytes))
		if err != nil {
			return err
		}
		steps := make([]*step, len(users))
		for i, u := range users {
			s := &step{kind: Track, user: u, updateOnly: true, unmark: run.mark, initial: true}
			s.share1[0] = share{t, 1}
			s.shares = s.share1[:1]
			steps[i] = s
		}
		for _, s := range p.queue.push(steps) {
			p.tracker.done(s.shares)
		}
		p.tracker.finish(t)
	}
	return p.settled(ctx, p.tracker.openTickets())
}

// takeUnmarked takes the places in lists of marked users out of the positions to record: they belong to their loads.
func (p *Pipeline) takeUnmarked(rec *Record, positions []Recorded) []Recorded {
	return slices.DeleteFunc(positions, func(x Recorded) bool {
		id, ok := strings.CutPrefix(x.Position.Stream, unmarkStream)
		if !ok {
			return false
		}
		c := p.care
		c.mu.Lock()
		defer c.mu.Unlock()
		if st := c.loads[id]; st != nil {
			st.Unmarked = int64(x.Position.Offset)
			// What the record says of the load already may be its end.
			if i := slices.IndexFunc(rec.Loads, func(l LoadState) bool { return l.ID == id }); i >= 0 {
				rec.Loads[i].Unmarked = st.Unmarked
			} else {
				rec.Loads = append(rec.Loads, *st)
			}
		}
		return true
	})
}
