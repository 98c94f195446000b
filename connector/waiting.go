package connector

import (
	"fmt"
	"slices"
	"time"
)

// Waiting is what a user's place in the queue holds at one moment, without values.
type Waiting struct {
	Busy     bool      // a call with the user is open
	Reason   string    // what the first step waits for, as in Status.Parked; empty: for a place in a call
	Until    time.Time // when that ends, zero where nobody knows
	Settling time.Time // until when a delete of the user is given time to take effect
	Steps    []WaitingStep
}

// WaitingStep is one thing that a user waits for.
type WaitingStep struct {
	Kind    Kind
	Event   string // name of an event
	Queued  time.Time
	Changes int
	Models  []string
	Fields  []string
}

// Waiting looks at a user's place in the queue.
func (p *Pipeline) Waiting(u User) Waiting {
	q := p.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	x := q.users[u]
	if x == nil {
		return Waiting{}
	}
	out := Waiting{Busy: x.busy, Reason: waitNames[x.reason]}
	if x.settling() {
		out.Settling = x.settle.time()
	}
	switch x.reason {
	case waitGap:
		out.Until = x.gapEnd.time()
	case waitRetry:
		out.Until = x.retry.time()
	case waitSettle:
		out.Until = out.Settling
	case waitStart:
		out.Until = q.notBefore.time()
	}
	for _, s := range x.steps {
		w := WaitingStep{Kind: s.kind}
		if s.event != nil {
			w.Event = s.event.Name
		}
		if s.queued != 0 {
			w.Queued = s.queued.time()
		}
		for i := range s.shares {
			w.Changes += s.shares[i].n
		}
		for i := range s.rows {
			if name := p.models[s.rows[i].model].Name; !slices.Contains(w.Models, name) {
				w.Models = append(w.Models, name)
			}
		}
		for i := range s.fields {
			w.Fields = append(w.Fields, s.fields[i].Def.Name)
		}
		out.Steps = append(out.Steps, w)
	}
	return out
}

// Agreement is how a value compares with what Braze accepted of it last.
type Agreement uint8

// The ways in which it does. Unknown: the mode, or the cache, does not tell what Braze has.
const (
	AgreesUnknown Agreement = iota
	AgreesNever             // no value of the field was accepted
	AgreesSame
	AgreesDiffers
)

// Agreements compares mapped fields of a user with what Braze accepted last by a model, in the order of the fields. A field that the pipeline's own mapping does
// not have is unknown.
func (p *Pipeline) Agreements(u User, model int, fields []Field) ([]Agreement, error) {
	out := make([]Agreement, len(fields))
	c := p.cache()
	if c == nil || model < 0 || model >= len(p.models) || !p.models[model].PrintsAllowed {
		return out, nil
	}
	known, ok, err := c.Prints(nil, u, p.models[model].Name)
	if err != nil {
		return nil, fmt.Errorf("look what Braze accepted last: %w", err)
	}
	for i := range fields {
		at := slices.IndexFunc(p.models[model].Fields, func(d *FieldDef) bool { return d.Name == fields[i].Def.Name && d.Group == fields[i].Def.Group })
		if at < 0 {
			continue
		}
		f := fields[i]
		f.Def = p.models[model].Fields[at]
		out[i] = f.agrees(known, ok)
	}
	return out, nil
}

func (f *Field) agrees(known []Print, ok bool) Agreement {
	if !ok {
		return AgreesNever
	}
	if f.Def.Array == ArrayCollect {
		if _, any := f.news(known); any {
			return AgreesDiffers
		}
		return AgreesSame
	}
	switch {
	case samePrints(known, f):
		return AgreesSame
	case len(printsIn(known, f.Def)) == 0:
		return AgreesNever
	}
	return AgreesDiffers
}
