package connector

import "slices"

// proof tells which before-images may be trusted for a step: those of a model whose load completed on this slot's unbroken stream, or of a row that the
// cache knows Braze accepted under this very user; never in enrich, never for a field whose settings changed since. Of a model that does not own its users only
// the cache tells that a profile was deleted under its rows, so without one nothing of it is proof.
func (p *Pipeline) proof(s *step) func(*Field) bool {
	return func(f *Field) bool {
		m := f.Def.Model
		if !p.models[m].ProofAllowed || p.fieldUnproven(m, f.Def) {
			return false
		}
		return s.proven(m) && (p.models[m].Owner || p.cache() != nil) || p.knows(s, m)
	}
}

// proven tells whether all changes of a model in the step were read after the model's load was done. One that was read before may stand for a chunk row that
// was dropped for its sake, and nothing of the row was delivered then.
func (s *step) proven(model int) bool {
	any := false
	for i := range s.rows {
		if r := &s.rows[i]; r.model == model {
			if !r.proven {
				return false
			}
			any = true
		}
	}
	return any
}

func (p *Pipeline) fieldUnproven(model int, f *FieldDef) bool {
	changed := p.unproven[model].Load()
	return changed != nil && (*changed)[f]
}

// knows asks the cache once per step and model.
func (p *Pipeline) knows(s *step, model int) bool {
	c := p.cache()
	if c == nil {
		return false
	}
	all := false // rows of the model that there are
	for i := range s.rows {
		r := &s.rows[i]
		if r.model != model {
			continue
		}
		if r.known == 0 {
			r.known = -1
			key := r.key
			if r.oldKey != (Key{}) {
				key = r.oldKey
			}
			if u, ok, err := c.RowUser(p.models[model].Name, key); err == nil && ok && u == s.user {
				r.known = 1
			}
		}
		if r.known < 0 {
			return false
		}
		all = true
	}
	return all
}

// cache gives the fingerprints, or nil where there are none or they failed in this run. What a failed cache misses costs calls; the next start finds that it
// covers less than the record, and drops it.
func (p *Pipeline) cache() Fingerprints {
	if p.cacheOff.Load() {
		return nil
	}
	return p.cfg.Prints
}

func (p *Pipeline) cacheFailed(err error) {
	if p.cacheOff.CompareAndSwap(false, true) {
		p.metrics.dropped[DropFailed].Add(1)
		p.log.Warn("the cache failed and is not used any more until the next start; that costs calls, and deletes or renames that need it are held back", "err", err)
	}
}

func (p *Pipeline) putRows(rows []RowPut, prints []PrintPut) {
	c := p.cache()
	if c == nil || len(rows) == 0 && len(prints) == 0 {
		return
	}
	if err := c.Write(rows, prints); err != nil {
		p.cacheFailed(err)
	}
}

// learned is what answered calls let be known, in memory that a sender uses again for its next call.
type learned struct {
	rows   []RowPut
	prints []PrintPut
	room   []Print         // of prints
	done   []func(*Record) // what is remembered of deletes and renames
}

// begin makes room for a call of so many objects.
func (l *learned) begin(calls int) {
	l.rows, l.prints = slices.Grow(l.rows, calls), slices.Grow(l.prints, calls)
	if l.room == nil {
		l.room = []Print{} // as nil its first would be nothing known
	}
}

// end forgets what a call taught, so that nothing of it is held until the next one.
func (l *learned) end() {
	clear(l.rows)
	clear(l.prints)
	clear(l.done)
	l.rows, l.prints, l.room, l.done = l.rows[:0], l.prints[:0], l.room[:0], l.done[:0]
}

// knownPrints is what the cache said of a step's user by one model.
type knownPrints struct {
	model  int
	prints []Print
	ok     bool
}

// prefetch asks the cache for all flights of a call at once, as far as their fields say that diff will ask.
func (p *Pipeline) prefetch(batch []flight, f *fetch) {
	for i := range batch {
		batch[i].s.fetched = false
	}
	c := p.cache()
	if c == nil {
		return
	}
	for model := range p.models {
		if !p.models[model].PrintsAllowed {
			continue
		}
		f.users, f.steps = f.users[:0], f.steps[:0]
		for i := range batch {
			s := batch[i].s
			if s.event != nil || s.noProof || !s.asks(model) {
				continue
			}
			if !s.fetched {
				s.known, s.fetched = s.known[:0], true
			}
			s.known = append(s.known, knownPrints{model: model})
			f.users, f.steps = append(f.users, s.user), append(f.steps, s)
		}
		if len(f.users) == 0 {
			continue
		}
		found := 0
		err := c.PrintsOf(p.models[model].Name, f.users, func(i int, prints []Print) {
			k := &f.steps[i].known[len(f.steps[i].known)-1]
			k.prints, k.ok = prints, true
			found++
		})
		if err != nil {
			p.cacheFailed(err)
			return
		}
		p.metrics.looked(found, len(f.users)-found)
	}
}

// fetch is what prefetch reuses.
type fetch struct {
	users []User
	steps []*step
}

// asks tells whether diff will want to know what Braze holds by a model: a field of it has no before-image.
func (s *step) asks(model int) bool {
	for i := range s.fields {
		if f := &s.fields[i]; f.Def.Model == model && f.Proof == NoProof && (!f.Omit || s.nulls) {
			return true
		}
	}
	return false
}

// knowledge is what diff may ask about a step. The user is busy, so that what is read holds until the step has landed.
func (p *Pipeline) knowledge(s *step) knowledge {
	if !s.fetched {
		s.known = s.known[:0]
	}
	s.fetched = false
	return knowledge{proven: p.proof(s), prints: func(model int) ([]Print, bool) { return p.prints(s, model) }}
}

// prints asks the cache once for each model of a step.
func (p *Pipeline) prints(s *step, model int) ([]Print, bool) {
	for i := range s.known {
		if k := &s.known[i]; k.model == model {
			return k.prints, k.ok
		}
	}
	k := knownPrints{model: model}
	if c := p.cache(); c != nil && p.models[model].PrintsAllowed {
		var err error
		if k.prints, k.ok, err = c.Prints(nil, s.user, p.models[model].Name); err != nil {
			p.cacheFailed(err)
			k.prints, k.ok = nil, false
		} else if k.ok {
			p.metrics.looked(1, 0)
		} else {
			p.metrics.looked(0, 1)
		}
	}
	s.known = append(s.known, k)
	return k.prints, k.ok
}

// knowPrints puts down what Braze holds of a user after a track was accepted.
func (p *Pipeline) knowPrints(s *step, l *learned) {
	if p.cache() == nil {
		return
	}
	for from := 0; from < len(s.fields); {
		model := s.fields[from].Def.Model
		to := from + 1
		for to < len(s.fields) && s.fields[to].Def.Model == model {
			to++
		}
		if put, ok := p.printsAfter(s, model, s.fields[from:to], l); ok {
			l.prints = append(l.prints, put)
		}
		from = to
	}
}

// printsAfter gives what is known of a user by one model once a step's fields were accepted, those among them that were left out since Braze had them.
func (p *Pipeline) printsAfter(s *step, model int, fields []Field, l *learned) (put PrintPut, ok bool) {
	m := &p.models[model]
	if !m.PrintsAllowed {
		return put, false
	}
	var old []Print
	known := false
	if s.updateOnly || !s.noProof && (len(fields) < len(m.Fields) || collects(fields)) {
		old, known = p.prints(s, model) // of an update without proof too: what it changed must not stay as it was
	}
	if s.updateOnly && !known {
		return put, false // nobody knows whether there is a profile
	}
	if s.updateOnly && !s.remembered() {
		// Of a profile that is not there a null is true all the same; other values may have met nobody.
		fields = nullsOf(fields)
		old = without(old, s.fields, model)
	}
	put = PrintPut{Model: m.Name, User: s.user}
	put.Prints, l.room = overlay(l.room, old, fields, model, s.nulls)
	for i := range s.rows {
		if s.rows[i].model == model {
			put.Part = PartOf(s.rows[i].stream)
		}
	}
	return put, true
}

// collects tells whether a row says of any of the fields only what is its own.
func collects(fields []Field) bool {
	for i := range fields {
		if fields[i].Def.Array == ArrayCollect {
			return true
		}
	}
	return false
}

func nullsOf(fields []Field) []Field {
	var out []Field
	for _, f := range fields {
		if isNull(f.JSON) {
			out = append(out, f)
		}
	}
	return out
}

// forgetPrints puts down that nothing is known of a user any more.
func (p *Pipeline) forgetPrints(u User, l *learned) {
	if p.cache() == nil {
		return
	}
	for i := range p.models {
		if p.models[i].PrintsAllowed {
			l.prints = append(l.prints, PrintPut{Model: p.models[i].Name, User: u})
		}
	}
}

// movePrints puts down that a renamed user's profile has another name.
func (p *Pipeline) movePrints(s *step, l *learned) {
	c := p.cache()
	if c == nil {
		return
	}
	for i := range p.models {
		if !p.models[i].PrintsAllowed {
			continue
		}
		name := p.models[i].Name
		prints, ok, err := c.Prints(nil, s.user, name)
		if err != nil {
			p.cacheFailed(err)
			return
		}
		if ok {
			l.prints = append(l.prints, PrintPut{Model: name, User: s.to, Prints: prints, Part: s.part()})
		} else {
			l.prints = append(l.prints, PrintPut{Model: name, User: s.to})
		}
		l.prints = append(l.prints, PrintPut{Model: name, User: s.user})
	}
}
