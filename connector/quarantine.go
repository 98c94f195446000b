package connector

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// quarantine keeps every row of a step, with the fields of that row's model, and returns when they are durable. An error means that they are not, and
// the pipeline stops.
func (p *Pipeline) quarantine(ctx context.Context, s *step, class, reason string) error {
	if s.erase { // whoever asked for it is told, and nothing of the user is kept
		p.seen(s, nil, class, reason)
		return nil
	}
	for _, r := range s.rows {
		e := &Entry{Class: class, Reason: reason, Model: p.models[r.model].Name, Key: r.key, User: s.user, Stream: r.stream, Attempts: int(s.attempts),
			Op: s.kind.String(), Effect: p.storeRow(s, r)}
		if s.kind == DeleteUser && !p.models[r.model].Owner && !r.ends { // it only waited before the delete
			e.Effect.Kind, e.Effect.UpdateOnly, e.Effect.Owner = Track, !s.unsent, false
		}
		e.Key = s.entryOf(&r)
		if c := r.change; c != nil {
			e.Change, e.Offset, e.Op, e.Time = c.ID, c.ID.Commit, c.Op.String(), c.Time
			e.Before, e.After = p.image(c.Before), p.image(c.After)
		}
		if err := p.putEntry(ctx, e, r.model); err != nil {
			return err
		}
		if run := p.loads.get(strings.TrimPrefix(r.stream, loadStream)); run != nil {
			run.held.Add(1)
		} else if s.load && s.from != nil && s.from.remembered {
			s.from.held.Add(1)
		}
	}
	if s.asked {
		s.countRetried(p.metrics, RetryHeldAgain)
	}
	p.seen(s, nil, "quarantined", reason)
	return nil
}

// quarantineRow keeps a change that could not be mapped.
func (p *Pipeline) quarantineRow(ctx context.Context, c *Change, t *ticket, bad *RowError) error {
	if p.erasedRow(bad.Model, c.Key) {
		p.countChange(c, bad.Model)
		return nil
	}
	e := &Entry{Class: "mapping", Reason: bad.Reason, Field: bad.Field, Model: p.models[bad.Model].Name, Key: c.Key, User: bad.User, Stream: t.position.Stream,
		Change: c.ID, Offset: c.ID.Commit, Op: c.Op.String(), Time: c.Time, Before: p.image(c.Before), After: p.image(c.After)}
	if p.models[bad.Model].Happens {
		e.Key = eventKey(c.Key, c.ID)
	}
	if bad.Identity {
		e.Class = "identity"
	}
	p.countChange(c, bad.Model)
	p.tellRow(c, t.position.Stream, bad)
	if p.watched() {
		p.cfg.Watch(Seen{At: time.Now(), Change: c, Stream: t.position.Stream, Outcome: "quarantined", Reason: bad.Error()})
	}
	if run := p.loads.get(strings.TrimPrefix(t.position.Stream, loadStream)); run != nil {
		run.held.Add(1)
	}
	return p.putEntry(ctx, e, bad.Model)
}

func (p *Pipeline) putEntry(ctx context.Context, e *Entry, model int) error {
	e.At = time.Now()
	id, err := p.journal.Quarantine().Put(ctx, e)
	if err != nil {
		err = fmt.Errorf("store a change of %s in quarantine: %w", e.Key.Table, err)
		p.stop(err)
		return err
	}
	p.metrics.Models[model].CountHeld(e.Class)
	p.log.Warn("change held back", "model", e.Model, "table", e.Key.Table, "op", e.Op, "class", e.Class, "reason", e.Reason, "attempt", e.Attempts, "stream", e.Stream, "offset", Place{e.Stream, e.Offset}, "entry", id)
	c := p.care
	c.mu.Lock()
	c.entries[rowKey{model, e.Key}] = id
	if part := PartOf(e.Stream); part != "" {
		c.entryPart[id] = part
	}
	c.refresh()
	c.mu.Unlock()
	return nil
}

// refused handles a step that Braze will not have as it is; free says that it was a deprecated id that could not be taken away before it.
func (p *Pipeline) refused(ctx context.Context, s *step, free bool, r Rejection, shares *[]share) {
	class, kind := "rejected", s.kind
	if free || s.kind == Rename {
		class = "rename"
	}
	if free {
		kind = Free
	}
	p.metrics.lost(s, kind, true)
	if !(s.kind == Rename && !free && r.CurrentUnknown) && p.quarantine(ctx, s, class, r.Reason) != nil {
		return // the pipeline stops; the step's changes stay open and come again
	}
	if s.kind == Rename {
		p.pend.add(func(r *Record) { p.noteDone(r, s, true) })
	}
	p.gaveUp(ctx, s)
	*shares = append(*shares, s.shares...)
}

// gaveUp ends a step that Braze did not take: what it stands for is in quarantine, and a rename's new user goes in full.
func (p *Pipeline) gaveUp(ctx context.Context, s *step) {
	if s.kind == Rename {
		p.inFull(ctx, s)
	}
	p.ended(s)
	p.ids.release(s)
}

// delivered closes the quarantine entries that went along with an accepted step, and forgets that its user had no proof.
func (p *Pipeline) delivered(ctx context.Context, s *step) {
	c := p.care
	if s.asked {
		s.countRetried(p.metrics, RetryAccepted)
	}
	for _, id := range s.entries {
		how := "delivered with a later change"
		if id == s.retried {
			how = "retried: accepted by Braze"
		}
		if err := p.journal.Quarantine().Close(ctx, id, how); err != nil {
			p.log.Error("close quarantine entry", "entry", id, "err", err)
			continue
		}
		c.mu.Lock()
		for i := range s.rows {
			r := &s.rows[i]
			c.dropEntry(rowKey{r.model, s.entryOf(r)}, id)
		}
		c.refresh()
		c.mu.Unlock()
	}
	if s.noProof && c.anyNoProof.Load() && s.kind == Track && s.whole() {
		c.mu.Lock()
		marked := c.noProof[s.user]
		delete(c.noProof, s.user)
		c.refresh()
		c.mu.Unlock()
		if marked {
			if err := p.journal.Quarantine().ClearProof(ctx, s.user); err != nil {
				p.log.Error("forget a no-proof mark", "err", err)
			}
		}
	}
}

// countRetried counts the end of a step that someone asked for; once, whatever still becomes of it.
func (s *step) countRetried(m *Metrics, how RetryEnd) {
	s.asked = false
	if len(s.rows) > 0 {
		m.Models[s.rows[0].model].CountRetried(how)
	}
}

func (s *step) whole() bool {
	for _, r := range s.rows {
		if r.whole {
			return true
		}
	}
	return false
}

// image shows a row image as quarantine keeps it: column to text or null; absent columns, and what must never leave, are left out.
func (p *Pipeline) image(r Row) json.RawMessage {
	if !r.Exists() {
		return nil
	}
	if p.cfg.Redact != nil {
		r = p.cfg.Redact(r)
	}
	m := make(map[string]any, len(r.Cells))
	for i, c := range r.Cells {
		switch c.State {
		case Set:
			m[r.Table.Columns[i].Name] = c.Raw
		case Null:
			m[r.Table.Columns[i].Name] = nil
		}
	}
	b, err := json.Marshal(m)
	if err != nil {
		return nil
	}
	return b
}
