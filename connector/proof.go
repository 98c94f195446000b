package connector

// proof tells which before-images may be trusted for a step: those of a model whose load completed on this slot's unbroken stream, or of a row that the
// cache knows Braze accepted under this very user; never in enrich, never for a field whose settings changed since.
func (p *Pipeline) proof(s *step) func(*Field) bool {
	return func(f *Field) bool {
		m := f.Def.Model
		if !p.models[m].ProofAllowed || p.fieldUnproven(m, f.Def) {
			return false
		}
		return p.proven[m].Load() || p.knows(s, m)
	}
}

func (p *Pipeline) fieldUnproven(model int, f *FieldDef) bool {
	changed := p.unproven[model].Load()
	return changed != nil && (*changed)[f]
}

// knows asks the cache once per step and model.
func (p *Pipeline) knows(s *step, model int) bool {
	if p.cfg.Prints == nil {
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
			if u, ok, err := p.cfg.Prints.RowUser(p.models[model].Name, key); err == nil && ok && u == s.user {
				r.known = 1
			}
		}
		return r.known > 0
	}
	return false
}

func (p *Pipeline) putRows(puts []RowPut) {
	if p.cfg.Prints == nil || len(puts) == 0 {
		return
	}
	if err := p.cfg.Prints.Write(puts); err != nil {
		p.log.Warn("write cache; what it misses costs calls", "err", err)
	}
}
