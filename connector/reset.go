package connector

import (
	"context"
	"slices"
)

// A new e-mail address starts in Braze as subscribed (Braze docs, "Managing email subscriptions"), so that an unsubscribe goes along with it: withReset adds what
// the row says, or what Braze is known to hold. Here it is looked for where another model maps the state and nobody knows what was sent of it.

// unknownConsent gives the state of consent that an address about to be sent resets, where another model maps it and neither the step nor the store says what
// it is; nil where there is none. A row that is new, or one of a load, resets nothing: the other model's row comes by itself.
func (p *Pipeline) unknownConsent(s *step, sent []Field) *FieldDef {
	for i := range sent {
		state := sent[i].Def.Resets
		if state == nil || isNull(sent[i].JSON) || state.Model == sent[i].Def.Model {
			continue
		}
		if s.load || s.begins(sent[i].Def.Model) || slices.ContainsFunc(s.fields, func(f Field) bool { return f.Def == state }) {
			return nil
		}
		if known, ok := p.prints(s, state.Model); ok {
			if _, ok := printFor(known, fieldLeaf(state)); ok {
				return nil
			}
		}
		return state
	}
	return nil
}

// begins tells whether a step's row of a model is new.
func (s *step) begins(model int) bool {
	return slices.ContainsFunc(s.rows, func(r rowRef) bool {
		return r.model == model && r.change != nil && (r.change.Op == Insert || r.change.Op == Snapshot)
	})
}

const noteConsentUnknown = "the address is new, and Braze starts it as subscribed; what the other model's row says of it cannot be read again and goes with its next change"

// readConsent puts an unsubscribe that a living row of another model holds under a step. It tells whether there is one. A row that says anything else changes
// nothing: only a person renews a consent.
func (p *Pipeline) readConsent(ctx context.Context, s *step, state *FieldDef) (found bool, err error) {
	steps, known, err := p.rowsOf(ctx, state.Model, s.user)
	if err != nil {
		return false, err
	}
	if !known {
		p.log.Info("a user's address is new, and the row that says whether it is unsubscribed cannot be read again; it goes with its next change", "model", p.models[state.Model].Name)
		if len(s.left) < maxLeft {
			s.left = append(slices.Clip(s.left), FieldNote{Field: state.Name, Reason: noteConsentUnknown})
		}
		return false, nil
	}
	for _, read := range steps {
		i := slices.IndexFunc(read.fields, func(f Field) bool { return f.Def == state && string(f.JSON) == string(jsonUnsubscribed) })
		if i < 0 {
			continue
		}
		read.fields, read.creates, read.noProof = read.fields[i:i+1:i+1], false, s.noProof
		read.owner, read.updateOnly = s.owner, s.updateOnly
		for k := range read.rows {
			read.rows[k].partial, read.rows[k].whole = true, false
		}
		foldOlder(s, read)
		return true, nil
	}
	return false, nil
}
