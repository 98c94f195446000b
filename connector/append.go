package connector

import "slices"

// append puts a step behind a user's waiting ones and folds where it may. A step it returns needs nothing to be sent.
func (q *queue) append(u *user, s *step) (done *step) {
	if q.lost(s) {
		s.shares = s.ownRuns() // its new owner sends it, so it is not done
		return s
	}
	if u.settling() && len(u.steps) == 0 && !u.busy {
		switch {
		case s.kind == DeleteUser:
			return s // deleted already, and nothing was sent since
		case s.kind == Track && (s.updateOnly && !s.creates || s.byTime()):
			return s // there is no profile that it could update
		case s.kind == Subscribe && s.ended():
			return s // nor one with a state to end
		}
	}
	if s.load {
		if t := u.stepOf(s.rows[0]); t != nil {
			foldOlder(t, s)
			q.note(s)
			q.touched(u)
			return nil
		}
	}
	n := len(u.steps)
	if n == 0 || s.event != nil || u.steps[n-1].event != nil { // events never fold, and nothing folds past them
		q.behind(u, s)
		return nil
	}
	switch tail := u.steps[n-1]; {
	case tail.user.Kind == Item && s.user.Kind == Item:
		u.steps[n-1] = foldItem(tail, s)
	case tail.kind == Subscribe && s.kind == Subscribe:
		fold(tail, s)
	case tail.kind == Track && s.kind == Track:
		fold(tail, s)
		if n > 1 && tail.owner && tail.creates && u.steps[n-2].kind == DeleteUser && !u.steps[n-2].maybeSent {
			q.undelete(u, n-2)
		}
	case tail.kind == Track && s.kind == DeleteUser:
		sent := s.maybeSent
		absorbOlder(s, tail)
		s.fields = q.others(tail.fields)
		s.maybeSent, s.unsent = sent, s.unsent || tail.creates
		u.steps[n-1] = s
		if n > 1 && u.steps[n-2].kind == DeleteUser {
			u.steps[n-2].fields = foldFields(u.steps[n-2].fields, s.fields, true)
			absorb(u.steps[n-2], s)
			u.steps = u.steps[:n-1]
			q.steps--
		}
	case tail.kind == DeleteUser && s.kind == DeleteUser:
		absorb(tail, s)
	case tail.kind == DeleteUser && s.kind == Track && s.owner && s.creates && !tail.maybeSent:
		u.steps = append(u.steps, s)
		q.steps++
		q.undelete(u, n-1)
	default:
		q.behind(u, s)
		return nil
	}
	q.note(s)
	q.touched(u)
	return nil
}

// behind puts a step behind a user's waiting ones as it is.
func (q *queue) behind(u *user, s *step) {
	u.steps = append(u.steps, s)
	q.steps++
	q.touched(u)
}

// undelete removes the waiting delete at i, whose row came again at i+1.
func (q *queue) undelete(u *user, i int) {
	d, t := u.steps[i], u.steps[i+1]
	q.beneath(t, d)
	undelete(t, q.models)
	t.answerFor(d)
	u.steps = append(u.steps[:i], u.steps[i+1:]...)
	q.steps--
}

// others gives the fields of other models than the owner: a delete keeps those that waited before it, in case it is dropped.
func (q *queue) others(fields []Field) []Field {
	var out []Field
	for _, f := range fields {
		if !q.models[f.Def.Model].Owner {
			out = append(out, f)
		}
	}
	return out
}

// beneath puts what other models' changes waited with before a dropped delete under the row that stands in for it.
func (q *queue) beneath(t, dropped *step) {
	t.fields = foldFields(dropped.fields, t.fields, true)
	for _, r := range dropped.rows {
		if !q.models[r.model].Owner && !slices.ContainsFunc(t.rows, func(o rowRef) bool { return o.model == r.model && o.key == r.key }) {
			t.rows = append(t.rows, r)
		}
	}
}

func (q *queue) note(s *step) {
	for _, r := range s.rows {
		q.coalesced(r.model)
	}
}

func (q *queue) touched(u *user) {
	if u.settling() {
		q.dirty[u.id] = true
		q.changed()
	}
}

// stepOf finds the waiting Track that a load's row folds under: one that holds the same row.
func (u *user) stepOf(r rowRef) *step {
	for _, t := range u.steps {
		if t.kind != Track || t.event != nil {
			continue
		}
		for _, o := range t.rows {
			if o.model == r.model && o.key == r.key {
				return t
			}
		}
	}
	return nil
}
