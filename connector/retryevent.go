package connector

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// eventKey is the key under which an event is kept in quarantine. A row may stand for many events, and another one of it neither replaces nor ends an entry.
func eventKey(k Key, id ChangeID) Key {
	k.ID = fmt.Sprintf("%s@%d.%d", k.ID, id.Commit, id.N)
	return k
}

// Row is the key of the row that an entry is of.
func (e *Entry) Row() Key {
	k := e.Key
	k.ID = strings.TrimSuffix(k.ID, fmt.Sprintf("@%d.%d", e.Change.Commit, e.Change.N))
	return k
}

// entryOf is the key under which a step's row has its quarantine entry.
func (s *step) entryOf(r *rowRef) Key {
	if s.event != nil && r.change != nil {
		return eventKey(r.key, r.change.ID)
	}
	return r.key
}

// RetryEvents sends the events of a quarantine entry, each as it was when it happened and once: with its own time, and closed with the entry when Braze accepted
// it. events are what the entry's change is mapped to now; nil stands for what the entry holds, which Braze refused or did not answer. An event that is older than its
// model's max_age by now is sent only if late is set: it may start campaigns about what is long past.
func (p *Pipeline) RetryEvents(ctx context.Context, id uint64, events []Effect, late bool) (string, error) {
	e, _, err := p.retried(id)
	if err != nil {
		return "", err
	}
	steps, err := p.eventSteps(e, events)
	if err != nil {
		return "", err
	}
	for _, s := range steps {
		m := &p.models[s.rows[0].model]
		if age := time.Since(s.event.Time); !late && m.MaxAge > 0 && age > m.MaxAge {
			return "", fmt.Errorf("entry %d is an event of %s, older than the %s that max_age of model %q allows: it could start campaigns about what is long past; "+
				"brazecdc quarantine retry --late %[1]d sends it all the same, with its own time", id, s.event.Time.UTC().Format(time.RFC3339), m.MaxAge, m.Name)
		}
	}
	if !p.care.begin(id) {
		return "", fmt.Errorf("entry %d is being sent; look again when Braze has answered", id)
	}
	ended := listen(steps)
	if err := p.sendAndWait(ctx, steps, ended); err != nil {
		if ctx.Err() == nil {
			p.care.end(id)
		} else { // it still waits, and must not be sent a second time
			go func() {
				if how := p.outcomes(len(steps), ended); how {
					p.care.end(id)
				}
			}()
		}
		return "", fmt.Errorf("entry %d, event of row %s of %s: %w", id, e.Row().ID, e.Key.Table, err)
	}
	p.care.end(id)
	first := steps[0].event
	return fmt.Sprintf("event %q of %s was accepted by Braze, as user %q", first.Name, first.Time.UTC().Format(time.RFC3339), steps[0].user.ID), nil
}

// eventSteps makes the steps of an entry's events. They name the change that they are of, so that it is not sent again where an earlier position is read once more.
func (p *Pipeline) eventSteps(e *Entry, events []Effect) ([]*step, error) {
	var steps []*step
	if events == nil && e.Effect != nil && e.Effect.Event != nil {
		s := p.restore(e.Effect)
		if len(s.rows) == 0 || s.event == nil {
			return nil, fmt.Errorf("entry %d holds nothing of a model that the configuration still has; discard it", e.ID)
		}
		s.rows[0].change = &Change{Key: s.rows[0].key, ID: e.Change}
		steps = append(steps, s)
	}
	for i := range events {
		steps = append(steps, newStep(&events[i]))
	}
	if len(steps) == 0 {
		return nil, fmt.Errorf("entry %d holds no event: %w", e.ID, ErrNotReadable)
	}
	for _, s := range steps {
		s.maybeSent = true
		s.rows[0].stream = e.Stream
		s.load = strings.HasPrefix(e.Stream, loadStream)
		if s.entryOf(&s.rows[0]) == e.Key || s.rows[0].key == e.Key {
			s.entries, s.retried, s.asked = []uint64{e.ID}, e.ID, true
		}
	}
	return steps, nil
}

// outcomes waits until n steps ended, or the pipeline is over: then it is false.
func (p *Pipeline) outcomes(n int, ended <-chan string) bool {
	for range n {
		select {
		case <-ended:
		case <-p.over:
			return false
		}
	}
	return true
}

// begin notes that the events of an entry are being sent; it is false where they are already.
func (c *care) begin(id uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.retrying[id] {
		return false
	}
	c.retrying[id] = true
	return true
}

func (c *care) end(id uint64) {
	c.mu.Lock()
	delete(c.retrying, id)
	c.mu.Unlock()
}

// joinEvent lets an accepted event end the entry that an earlier delivery of the same change left.
func (c *care) joinEvent(s *step) {
	if !c.anyEntries.Load() || len(s.entries) > 0 {
		return
	}
	r := &s.rows[0]
	if r.change == nil {
		return
	}
	c.mu.Lock()
	if id, open := c.entries[rowKey{r.model, s.entryOf(r)}]; open {
		s.entries = append(s.entries, id)
	}
	c.mu.Unlock()
}
