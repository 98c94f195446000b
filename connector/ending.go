package connector

import (
	"context"
	"sync"
	"time"
)

// Ending tells how something that a user waited for ended, or that an attempt at it did not succeed, for those who keep a history. It and all it points to
// belong to the pipeline: whoever hears of it copies what it wants to keep before it returns.
type Ending struct {
	At         time.Time
	User, To   User // User is zero where a row could not be mapped to one; To is the new name of a rename
	Kind       Kind
	UpdateOnly bool
	Load       bool   // only rows of a load
	Outcome    string // as in Seen, and retry: it will be sent again
	Reason     string
	// Rows are the rows behind it; Changes is how many changes were folded into it, which may be more.
	Rows    []EndedRow
	Changes int
	// Mapped are all fields that it asked for, Sent those of the call; Event is in their place where it is one. Left are the fields that were left out.
	Mapped []Field
	Sent   []Field
	Event  *Event
	Left   []FieldNote
	// Queued is when it came into its user's queue; Waited says what it waited for there.
	Queued time.Time
	Waited Waits
	Tries  int     // failed attempts before
	Call   *Called // nil: there was no call
}

// EndedRow is one row behind an Ending.
type EndedRow struct {
	Model  int
	Key    Key
	Change *Change // nil: it was not a change that brought it
	Stream string
}

// FieldNote is a field that was left out of an effect, and why, without a value.
type FieldNote struct {
	Field  string
	Reason string
}

// Called is one request, seen from an object in it.
type Called struct {
	At        time.Time
	Objects   int
	Budget    time.Duration // how long its sender waited for the rate budget before
	Took      time.Duration
	Status    int // 0 where no answer came, or the sink does not tell
	RequestID string
}

// Waits is what a step waited for in its queue, one bit each.
type Waits uint8

// waitedBusy is the bit for another call of the user that was open.
const waitedBusy Waits = 1 << 7

// Names lists the reasons, by the names that Status.Parked has, and "busy" for a call of the same user that was open.
func (w Waits) Names() []string {
	var out []string
	for reason, name := range waitNames {
		if name != "" && w&(1<<reason) != 0 {
			out = append(out, name)
		}
	}
	if w&waitedBusy != 0 {
		out = append(out, "busy")
	}
	return out
}

type calledKey struct{}

// CallNote gives where a Sink may note what it learns of the call that ctx is of, nil where nobody asks.
func CallNote(ctx context.Context) *Called {
	c, _ := ctx.Value(calledKey{}).(*Called)
	return c
}

// calling begins the note of a call for all steps in it.
func (s *sender) calling(ctx context.Context, batch []flight, objects int) (context.Context, *Called) {
	if s.p.cfg.Ended == nil {
		return ctx, nil
	}
	c := &Called{At: time.Now(), Objects: objects, Budget: s.budget}
	for i := range batch {
		batch[i].s.call = c
		for _, more := range batch[i].more {
			more.call = c
		}
	}
	return context.WithValue(ctx, calledKey{}, c), c
}

// answered ends the note of a call.
func (c *Called) answered() {
	if c != nil {
		c.Took = time.Since(c.At)
	}
}

// endings are kept for reuse: there is one for each row that moves.
var endings = sync.Pool{New: func() any { return new(Ending) }}

// tell tells how a step ended, or an attempt at it. call is what was sent of it.
func (p *Pipeline) tell(s *step, call *Effect, outcome, reason string) {
	if p.cfg.Ended == nil || p.erased(s.user) != "" {
		return // of who was erased nothing is kept
	}
	e := endings.Get().(*Ending)
	rows := e.Rows[:0]
	for i := range s.rows {
		r := &s.rows[i]
		stream := r.stream
		if c := r.change; c != nil && c.Op == Snapshot && s.from != nil && s.from.remembered && s.load {
			stream = loadStream + s.from.id // the partition is not read for it
		}
		rows = append(rows, EndedRow{Model: r.model, Key: r.key, Change: r.change, Stream: stream})
	}
	*e = Ending{At: time.Now(), User: s.user, To: s.to, Kind: s.kind, UpdateOnly: s.updateOnly, Load: s.load, Outcome: outcome, Reason: reason, Rows: rows,
		Mapped: s.fields, Event: s.event, Left: s.left, Waited: s.waited, Tries: int(s.tries), Call: s.call}
	if s.queued != 0 {
		e.Queued = s.queued.time()
	}
	for i := range s.shares {
		e.Changes += s.shares[i].n
	}
	if call == nil {
		call = s.offered
	}
	if call != nil {
		e.User, e.To, e.Kind, e.UpdateOnly, e.Sent = call.User, call.To, call.Kind, call.UpdateOnly, call.Fields
	}
	p.cfg.Ended(e)
	clear(e.Rows)
	*e = Ending{Rows: e.Rows[:0]}
	endings.Put(e)
}

// tellRow tells that a change could not be mapped.
func (p *Pipeline) tellRow(c *Change, stream string, bad *RowError) {
	if p.cfg.Ended == nil || p.erased(bad.User) != "" {
		return
	}
	p.cfg.Ended(&Ending{At: time.Now(), User: bad.User, Outcome: "quarantined", Reason: bad.Error(), Changes: 1,
		Rows: []EndedRow{{Model: bad.Model, Key: c.Key, Change: c, Stream: stream}}})
}
