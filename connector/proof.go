package connector

// proof tells which before-images may be trusted for a step: those of a model whose load completed on this slot's unbroken stream, or of a row that the
// cache knows Braze accepted under this very user; never in enrich, never for a field whose settings changed since.
func (p *Pipeline) proof(s *step) func(*Field) bool {
	return func(f *Field) bool {
		m := f.Def.Model
		if !p.models[m].ProofAllowed || p.fieldUnproven(m, f.Def) {
			return false
		}
		return s.proven(m) || p.knows(s, m)
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
		return r.known > 0
	}
	return false
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
		p.log.Warn("the cache failed and is not used any more until the next start; that costs calls, and deletes or renames that need it are held back", "err", err)
	}
}

func (p *Pipeline) putRows(puts []RowPut) {
	c := p.cache()
	if c == nil || len(puts) == 0 {
		return
	}
	if err := c.Write(puts); err != nil {
		p.cacheFailed(err)
	}
}
