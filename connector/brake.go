package connector

import (
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"time"
)

// brake counts the deletes of one model that left for Braze within its window, and tells when there were so many that a person has to look: somebody emptied a
// table by mistake, or a job went wrong. It is guarded by care.mu.
type brake struct {
	Brake
	model string
	rows  int64     // the model's, by the last estimate; 0 where nobody knows
	asked time.Time // when that was
	slots []brakeSlot
	seed  maphash.Seed
	dirty bool // the record does not hold the count as it is now
}

// brakeSlot counts the deletes of a part of the window. A restart leaves the count, and not the users.
type brakeSlot struct {
	at    time.Time
	n     int64
	users map[uint64]struct{}
}

// brakeSlots is into how many parts a window is divided: so much later than a part's first delete its last one leaves the window.
const brakeSlots = 20

// newBrake gives nil for a model whose deletes nothing holds back.
func newBrake(m *ModelInfo) *brake {
	if m.Brake.Window <= 0 {
		return nil
	}
	return &brake{Brake: m.Brake, model: m.Name, seed: maphash.MakeSeed()}
}

// limit is how many deletes may leave within the window.
func (b *brake) limit() int64 { return b.Limit(b.rows) }

// Limit is how many deletes of a model with so many rows may leave within the window: a share of the rows, but at least so many, and never more than the
// maximum. All of the rows is no bound: a user may be deleted, come again and be deleted within a window, and of a topic fewer rows may be known than there are.
func (b Brake) Limit(rows int64) int64 {
	if rows <= 0 || b.Share >= 1 {
		return b.Max
	}
	return min(b.Max, max(b.AtLeast, int64(b.Share*float64(rows))))
}

// count forgets what left the window and gives how many deletes are in it.
func (b *brake) count(now time.Time) (n int64) {
	b.slots = slices.DeleteFunc(b.slots, func(s brakeSlot) bool {
		gone := now.Sub(s.at) >= b.Window
		b.dirty = b.dirty || gone
		return gone
	})
	for i := range b.slots {
		n += b.slots[i].n
	}
	return n
}

// counted tells whether a user's delete is in the window already: then another one of it is none more.
func (b *brake) counted(u User) bool {
	h := maphash.Comparable(b.seed, u)
	return slices.ContainsFunc(b.slots, func(s brakeSlot) bool { _, ok := s.users[h]; return ok })
}

// admit counts a delete that is about to leave. False: there were too many, and it has to be held.
func (b *brake) admit(u User, now time.Time) bool {
	n := b.count(now)
	if b.counted(u) {
		return true
	}
	if n >= b.limit() {
		return false
	}
	if last := len(b.slots) - 1; last < 0 || now.Sub(b.slots[last].at) >= b.Window/brakeSlots {
		b.slots = append(b.slots, brakeSlot{at: now})
	}
	s := &b.slots[len(b.slots)-1]
	if s.users == nil {
		s.users = map[uint64]struct{}{}
	}
	s.users[maphash.Comparable(b.seed, u)] = struct{}{}
	s.n++
	b.dirty = true
	return true
}

// full tells whether another user's delete would be held.
func (b *brake) full(u User, now time.Time) bool { return b.count(now) >= b.limit() && !b.counted(u) }

// reset begins a new count: a person has looked.
func (b *brake) reset() { b.slots, b.dirty = nil, true }

// why says in words which limit was reached.
func (b *brake) why() string {
	n := b.limit()
	if b.rows > 0 && n < b.Max {
		return fmt.Sprintf("more than %d deletes (deletes: share %g %% of about %d rows, at_least %d) came within %s", n, b.Share*100, b.rows, b.AtLeast, b.Window)
	}
	return fmt.Sprintf("more than %d deletes (deletes: max) came within %s", n, b.Window)
}

// BrakeState is what data/ keeps of a model's mass-delete brake, so that a restart does not begin a new count.
type BrakeState struct {
	Model string
	Slots []BrakeSlot // oldest first; none: nothing left within the window
}

// BrakeSlot is how many deletes left for Braze from At on, for a part of the window.
type BrakeSlot struct {
	At time.Time
	N  int64
}

// takeBrakes puts the counts that changed into a record that is written anyway.
func (c *care) takeBrakes(rec *Record) {
	if !c.anyBrakes {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.brakes {
		if b == nil || !b.dirty {
			continue
		}
		b.dirty = false
		st := BrakeState{Model: b.model}
		for _, s := range b.slots {
			st.Slots = append(st.Slots, BrakeSlot{s.at, s.n})
		}
		rec.Brakes = append(rec.Brakes, st)
	}
}

// installBrakes goes on with the counts of an earlier run. The lock is held.
func (c *care) installBrakes(states []BrakeState) {
	for _, st := range states {
		for _, b := range c.brakes {
			if b == nil || b.model != st.Model {
				continue
			}
			for _, s := range st.Slots {
				b.slots = append(b.slots, brakeSlot{at: s.At, n: s.N})
			}
		}
	}
}

// UserCounter is a Fingerprints that can count. Users gives of how many users something is known by a model, counting up to limit.
type UserCounter interface {
	Users(model string, limit int64) (int64, error)
}

const (
	rowsEvery  = 24 * time.Hour // a server's estimate of a table is asked for so often
	usersEvery = time.Hour      // and the store for its users
	rowsAgain  = time.Minute    // before a share of an estimate holds deletes back, it is not older than that
)

// estimates keeps the brakes' estimates of their models' rows up to date. It ends with ctx.
func (p *Pipeline) estimates(ctx context.Context) {
	if !p.care.anyBrakes {
		return
	}
	every := rowsEvery
	if p.topics {
		every = usersEvery
	}
	for sleep(ctx, every) == nil {
		for i := range p.models {
			p.estimate(ctx, i, false)
		}
	}
}

// estimate asks how many rows a model has: the server of its table, or of a topic the store, which counts the users that it knows. raise: only a larger number
// counts, since a table that is being emptied is not to be measured by what is left of it.
func (p *Pipeline) estimate(ctx context.Context, model int, raise bool) {
	b := p.care.brakes[model]
	if b == nil {
		return
	}
	var rows int64
	if p.topics {
		if c, ok := p.cache().(UserCounter); ok {
			// More than that make no difference.
			n, err := c.Users(p.models[model].Name, int64(float64(b.Max)/max(b.Share, 1e-6))+1)
			if err != nil {
				p.log.Debug("count the known users of a model; its deletes are held back by deletes.max alone", "model", p.models[model].Name, "err", err)
			}
			rows = n
		}
	} else if t, err := p.source.Describe(ctx, p.models[model].Table); err == nil {
		rows = t.Rows
	} else if ctx.Err() == nil {
		p.log.Debug("estimate the rows of a table; its deletes are held back by the last estimate, or by deletes.max alone", "table", p.models[model].Table, "err", err)
	}
	p.care.mu.Lock()
	defer p.care.mu.Unlock()
	b.asked = time.Now()
	if rows > b.rows || rows > 0 && !raise {
		b.rows = rows
	}
}

// braked tells whether a delete has to be held, after looking again at an estimate that would hold it.
func (p *Pipeline) braked(ctx context.Context, model int, u User) bool {
	c := p.care
	c.mu.Lock()
	b, now := c.brakes[model], time.Now()
	full := b != nil && b.full(u, now)
	ask := full && b.limit() < b.Max && now.Sub(b.asked) > rowsAgain
	c.mu.Unlock()
	if !ask {
		return full
	}
	p.estimate(ctx, model, true)
	c.mu.Lock()
	defer c.mu.Unlock()
	return b.full(u, now)
}
