package connector

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
