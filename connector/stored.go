package connector

import "slices"

// store gives the form in which data/ and quarantine keep a step: models and fields by name.
func (p *Pipeline) store(s *step) *StoredEffect {
	e := &StoredEffect{Kind: s.kind, User: s.user, To: s.to, UpdateOnly: s.updateOnly, Owner: s.owner, Creates: s.creates}
	if s.event != nil {
		e.Event = &StoredEvent{s.event.Purchase, s.event.Name, s.event.Time, append(append([]byte{'{'}, s.event.JSON...), '}')}
	}
	if len(s.rows) > 0 {
		e.Model = p.models[s.rows[0].model].Name
	}
	for _, r := range s.rows {
		e.Rows = append(e.Rows, StoredRow{Model: p.models[r.model].Name, Key: r.key, Whole: r.whole})
	}
	for _, f := range s.fields {
		e.Fields = append(e.Fields, StoredField{Model: p.models[f.Def.Model].Name, Name: f.Def.Name, JSON: f.JSON, Omit: f.Omit && !s.nulls})
	}
	return e
}

// storeRow is store for one row of a step and the fields of its model.
func (p *Pipeline) storeRow(s *step, r rowRef) *StoredEffect {
	e := p.store(s)
	e.Model = p.models[r.model].Name
	e.Rows = []StoredRow{{Model: e.Model, Key: r.key, Whole: r.whole}}
	fields := e.Fields[:0:0]
	for _, f := range e.Fields {
		if f.Model == e.Model {
			fields = append(fields, f)
		}
	}
	e.Fields = fields
	return e
}

// restore makes a step of a stored effect, without proof and without shares. Models and fields that the mapping has no more are left out.
func (p *Pipeline) restore(e *StoredEffect) *step {
	s := &step{kind: e.Kind, user: e.User, to: e.To, updateOnly: e.UpdateOnly, owner: e.Owner, creates: e.Creates, noProof: true, nulls: true, maybeSent: true}
	if v := e.Event; v != nil && len(v.JSON) > 2 {
		s.event = &Event{Purchase: v.Purchase, Name: v.Name, Time: v.Time, JSON: v.JSON[1 : len(v.JSON)-1]}
	}
	for _, r := range e.Rows {
		if i, ok := p.modelAt[r.Model]; ok {
			s.rows = append(s.rows, rowRef{model: i, key: r.Key, whole: r.Whole})
		}
	}
	for _, f := range e.Fields {
		i, ok := p.modelAt[f.Model]
		if !ok {
			continue
		}
		for _, d := range p.models[i].Fields {
			if d.Name == f.Name {
				s.fields = foldFields(s.fields, []Field{{Def: d, JSON: f.JSON}}, true)
				if f.Omit {
					for j := range s.fields {
						if s.fields[j].Def == d {
							s.fields[j].Omit = true
						}
					}
				}
			}
		}
	}
	s.nulls = false
	return s
}

// Stored gives an effect in the form that outlives the process, with values of its own.
func (p *Pipeline) Stored(e *Effect) *StoredEffect {
	out := p.store(newStep(e))
	for i := range out.Fields {
		out.Fields[i].JSON = slices.Clone(out.Fields[i].JSON)
	}
	return out
}

// Shown gives what a stored effect is as a call's part, NULLs included: for showing it to a person.
func (p *Pipeline) Shown(e *StoredEffect) Effect {
	s := p.restore(e)
	out := Effect{Kind: s.kind, User: s.user, To: s.to, Event: s.event, Fields: s.fields, UpdateOnly: s.updateOnly, Owner: s.owner, Creates: s.creates}
	if len(s.rows) > 0 {
		out.Model, out.Key = s.rows[0].model, s.rows[0].key
	}
	return out
}

// FoldStored puts a newer effect of one row over an older one. A newer one that is whole takes the older one's place: what it does not carry is not to be
// sent. Under one that lacks columns the older values stay, but for fields without an empty state: of those a consent may be missing because nobody but a
// person may renew it, and its older value would take it back. Another kind, or another user, replaces the older one too.
func (p *Pipeline) FoldStored(old, newer *StoredEffect) *StoredEffect {
	whole := !slices.ContainsFunc(newer.Rows, func(r StoredRow) bool { return !r.Whole })
	if old == nil || old.Kind != newer.Kind || old.User != newer.User || newer.Kind != Track || whole {
		return newer
	}
	out := *newer
	out.Fields = slices.Clone(newer.Fields)
	for _, f := range old.Fields {
		if d := p.field(f); d == nil || d.NoNull || slices.ContainsFunc(newer.Fields, func(o StoredField) bool { return o.Name == f.Name && o.Model == f.Model }) {
			continue
		}
		out.Fields = append(out.Fields, f)
	}
	out.Creates = out.Creates || old.Creates
	out.UpdateOnly = out.UpdateOnly && old.UpdateOnly
	out.Rows = slices.Clone(newer.Rows)
	for i := range out.Rows {
		for _, r := range old.Rows {
			if out.Rows[i].Model == r.Model && out.Rows[i].Key == r.Key {
				out.Rows[i].Whole = out.Rows[i].Whole || r.Whole
			}
		}
	}
	return &out
}

// field gives the definition of a stored field, nil where the mapping has it no more.
func (p *Pipeline) field(f StoredField) *FieldDef {
	if i, ok := p.modelAt[f.Model]; ok {
		for _, d := range p.models[i].Fields {
			if d.Name == f.Name {
				return d
			}
		}
	}
	return nil
}
