package connector_test

import (
	"fmt"
	"maps"
	"slices"
)

// A small model of what Braze holds after a row change, written from the tables and sentences of the design and nothing else. Where the outcome depends on
// what happened to wait together, a field has several values that are right.

type refKey struct{ model, uid int }

type refLiving struct {
	row   refRow
	in    bool
	known bool // it was sent
	noted bool // with its note
}

// reference is Braze by the design.
type reference struct {
	models   []*refModel
	profiles map[string]refProfile
	stale    map[string]refProfile     // what a deleted user had: it stays where its delete folds away
	gone     map[string]bool           // was deleted
	lost     map[string]bool           // was deleted, which only the lost cache knew: whether other models' rows are read when it comes again is open
	revived  map[string]bool           // came again: what rows were read then may be newer than the change that stands for them here
	ghosts   map[string]map[string]alt // update-only values for a user that was not there: they count where they fold with its start
	rows     map[refKey]*refLiving
}

func newReference(models []*refModel) *reference {
	return &reference{models: models, profiles: map[string]refProfile{}, stale: map[string]refProfile{}, gone: map[string]bool{}, lost: map[string]bool{}, revived: map[string]bool{},
		ghosts: map[string]map[string]alt{}, rows: map[refKey]*refLiving{}}
}

// refChange is one change of one row; old is nil for an insert, now for a delete.
type refChange struct {
	model    int
	uid      int
	old, now *refRow
}

// present is a row that was there before the connector.
func (ref *reference) present(model, uid int, r refRow) {
	m := ref.models[model]
	l := &refLiving{row: r, in: m.in(&r, false)}
	if !m.full && (m.filter != "" || m.dead) {
		l.in = false // nobody knows that it is, until it is sent
	}
	ref.rows[refKey{model, uid}] = l
}

// loaded is a finished load of all models that have one. NULLs are left out; what the filter or delete_when excludes is absent.
func (ref *reference) loaded() {
	for _, enrich := range []bool{false, true} {
		for _, k := range ref.keys() {
			m, l := ref.models[k.model], ref.rows[k]
			if !m.load || (m.mode == "enrich") != enrich {
				continue
			}
			if l.in = m.in(&l.row, false); !l.in {
				continue
			}
			l.known, l.noted = true, true
			if p := ref.profiles[l.row.user]; enrich && p != nil {
				// Its chunk may have come before the user was there.
				for _, f := range m.fields {
					if v := f.value(&l.row); v != "" {
						p[f.name] = p.get(f.name).with(v)
					} else if f.onNull != "clear" && f.onNull != "keep" {
						p[f.name] = p.get(f.name).with(asJSON(f.onNull))
					}
				}
				continue
			}
			ref.track(k.model, &l.row, nil, refTrack{omit: true, creates: true})
		}
	}
}

func (ref *reference) keys() []refKey {
	return slices.SortedFunc(maps.Keys(ref.rows), func(a, b refKey) int {
		if a.model != b.model {
			return a.model - b.model
		}
		return a.uid - b.uid
	})
}

// apply is one committed change.
func (ref *reference) apply(c refChange) {
	m, k := ref.models[c.model], refKey{c.model, c.uid}
	switch {
	case c.old == nil:
		l := &refLiving{row: *c.now, in: m.in(c.now, false)}
		ref.rows[k] = l
		if l.in {
			l.known, l.noted = true, true
			ref.track(c.model, c.now, nil, refTrack{omit: true, creates: true})
		}
	case c.now == nil:
		l := ref.rows[k]
		delete(ref.rows, k)
		if l.in {
			ref.ended(c.model, c.old)
		}
	default:
		ref.updated(c, m, ref.rows[k])
	}
}

func (ref *reference) updated(c refChange, m *refModel, l *refLiving) {
	was := l.in
	l.row, l.in = *c.now, m.in(c.now, was)
	switch {
	case !was && !l.in:
	case !was:
		l.known, l.noted = true, true
		ref.track(c.model, c.now, nil, refTrack{creates: true})
	case !l.in && m.dead && c.now.gone:
		ref.ended(c.model, c.old)
	case !l.in:
		switch m.onLeave {
		case "keep":
			ref.maybeUnread(m, c.old.user)
		case "unset":
			ref.unset(m, c.old.user)
		case "delete":
			ref.ended(c.model, c.old)
		}
	case c.old.user != c.now.user:
		known := l.known
		l.known = true
		ref.moved(c, m, l, known)
	default:
		proven := m.full && l.known && m.mode != "enrich"
		// An unchanged large value is not in the change: it arrives only where the row has to be read again.
		l.noted = l.noted || c.old.note != c.now.note
		apart := !m.full && (!l.noted || m.mode == "enrich") && c.old.note == c.now.note
		l.known = true
		if proven {
			ref.track(c.model, c.now, c.old, refTrack{})
		} else {
			ref.track(c.model, c.now, nil, refTrack{apart: apart})
		}
	}
}

// ended is a deleted row, or delete_when that became true.
func (ref *reference) ended(model int, r *refRow) {
	m := ref.models[model]
	switch {
	case m.mode != "sync":
		ref.maybeUnread(m, r.user)
	case m.owner:
		ref.deleted(model, r.user)
	default:
		ref.unset(m, r.user)
	}
}

// moved is a changed external_id.
func (ref *reference) moved(c refChange, m *refModel, l *refLiving, known bool) {
	from, to := c.old.user, c.now.user
	noted := l.noted || c.old.note != c.now.note
	l.noted = true
	if !m.owner {
		if m.mode == "sync" {
			ref.unset(m, from)
		} else {
			ref.maybeUnread(m, from)
		}
		ref.track(c.model, c.now, nil, refTrack{creates: true})
		return
	}
	if m.change == "create" {
		ref.track(c.model, c.now, nil, refTrack{creates: true})
		return
	}
	p := ref.profiles[from]
	if p == nil || ref.livingOwner(from) != nil {
		ref.track(c.model, c.now, nil, refTrack{creates: m.mode != "enrich"})
		return
	}
	delete(ref.profiles, from)
	ref.profiles[to] = p
	ref.gone[from] = true
	delete(ref.lost, from)
	delete(ref.gone, to)
	delete(ref.stale, to)
	delete(ref.ghosts, from)
	old := c.old
	if !m.full || m.mode == "enrich" || !known {
		old = nil
	}
	l.noted = noted
	ref.track(c.model, c.now, old, refTrack{apart: !m.full && !noted})
}

// livingOwner is a row of the owner that lives under an external_id.
func (ref *reference) livingOwner(user string) *refLiving {
	for _, k := range ref.keys() {
		if l := ref.rows[k]; ref.models[k.model].owner && l.in && l.row.user == user {
			return l
		}
	}
	return nil
}

// deleted ends a profile, unless another row of the owner has its id: that row then goes whole.
func (ref *reference) deleted(model int, user string) {
	if l := ref.livingOwner(user); l != nil {
		ref.track(model, &l.row, nil, refTrack{creates: true})
		return
	}
	if p := ref.profiles[user]; p != nil {
		ref.stale[user] = p
	} else if ref.stale[user] == nil {
		ref.stale[user] = refProfile{}
	}
	ref.gone[user] = true
	delete(ref.lost, user)
	delete(ref.profiles, user)
	delete(ref.ghosts, user)
}

// forget is a lost cache.
func (ref *reference) forget() {
	maps.Copy(ref.lost, ref.gone)
}

// unset takes a model's fields from a user, and never creates one.
func (ref *reference) unset(m *refModel, user string) {
	p := ref.profiles[user]
	for _, f := range m.fields {
		if p != nil {
			p.set(f.name, "")
		} else if g := ref.ghosts[user]; g != nil {
			delete(g, f.name)
		}
	}
}

// maybeUnread is for a row that ends without a call: where its user came again, the row may have been gone when it was to be read.
func (ref *reference) maybeUnread(m *refModel, user string) {
	if p := ref.profiles[user]; p != nil && ref.revived[user] && !m.owner {
		for _, f := range m.fields {
			p[f.name] = p.get(f.name).with("")
		}
	}
}

// refTrack says how a row goes out.
type refTrack struct {
	omit    bool // NULLs need not be sent
	apart   bool // the note may not be in the change
	creates bool
}

// track sends a row; old is the before-image where it proves what is unchanged.
func (ref *reference) track(model int, r, old *refRow, how refTrack) {
	m := ref.models[model]
	p := ref.profiles[r.user]
	if p == nil && m.mode == "enrich" {
		g := ref.ghosts[r.user]
		if g == nil {
			g = map[string]alt{}
			ref.ghosts[r.user] = g
		}
		m.write(func(f string) alt { return alt{"": true} }, func(f string, a alt) { g[f] = a.with("") }, r, nil, how)
		return
	}
	again := false
	if p == nil {
		p = refProfile{}
		ref.profiles[r.user] = p
		for f, a := range ref.ghosts[r.user] {
			p[f] = a
		}
		delete(ref.ghosts, r.user)
		again = ref.gone[r.user]
		delete(ref.gone, r.user)
		if again {
			how.omit, how.apart, old = false, false, nil
		}
	}
	stale := ref.stale[r.user]
	if stale != nil && m.owner {
		ref.undeleted(r.user, p, stale)
		delete(ref.stale, r.user)
		again, how.omit, old = true, false, nil
	}
	if ref.revived[r.user] && !m.owner {
		for _, f := range m.fields {
			if f.onNull == "keep" && f.value(r) == "" {
				p[f.name] = p.get(f.name).with("")
			}
		}
	}
	m.write(p.get, func(f string, a alt) { p[f] = a }, r, old, how)
	if again {
		ref.revived[r.user] = true
		ref.readAgain(p, r.user, model, stale)
	}
}

// undeleted allows for what a delete that folded away leaves: fields that no model maps, those of models that take nothing back, and those that came with the
// name of a user whose rows of that model stayed behind.
func (ref *reference) undeleted(user string, p, stale refProfile) {
	mapped := map[string]*refModel{}
	for _, m := range ref.models {
		for _, f := range m.fields {
			mapped[f.name] = m
		}
	}
	for f, a := range stale {
		if m := mapped[f]; m == nil || !m.owner && (m.mode != "sync" || !ref.has(m, user)) {
			p[f] = p.get(f).with(slices.Collect(maps.Keys(a))...)
		}
	}
}

// has tells whether a row of the model belongs to a user.
func (ref *reference) has(m *refModel, user string) bool {
	for k, l := range ref.rows {
		if ref.models[k.model] == m && l.row.user == user {
			return true
		}
	}
	return false
}

// readAgain brings the other models' rows of a user that comes again. stale is what the user had: where the delete folded away nothing is read, and what models
// left there that take nothing back stays.
func (ref *reference) readAgain(p refProfile, user string, but int, stale refProfile) {
	for _, k := range ref.keys() {
		l := ref.rows[k]
		if k.model == but || l.row.user != user {
			continue
		}
		m := ref.models[k.model]
		if !m.in(&l.row, l.in) {
			continue
		}
		never := !l.known || ref.lost[user] // it was there before, and is read only where the delete did not fold away
		if !never {
			l.in, l.noted = true, true
		}
		m.write(p.get, func(f string, a alt) {
			if never {
				a = p.get(f).with(slices.Collect(maps.Keys(a))...)
			}
			if m.mode != "sync" {
				a = a.with(slices.Collect(maps.Keys(stale[f]))...)
			}
			p[f] = a
		}, &l.row, nil, refTrack{creates: true})
	}
}

// differences compares profiles with what is right.
func (ref *reference) differences(have map[string]map[string]string) []string {
	var out []string
	for _, user := range slices.Sorted(maps.Keys(ref.profiles)) {
		p, h := ref.profiles[user], have[user]
		if h == nil {
			out = append(out, fmt.Sprintf("%s: no profile, want %v", user, p))
			continue
		}
		names := map[string]bool{}
		for f := range p {
			names[f] = true
		}
		for f := range h {
			names[f] = true
		}
		for _, f := range slices.Sorted(maps.Keys(names)) {
			if a := p.get(f); !a[h[f]] {
				out = append(out, fmt.Sprintf("%s.%s: %s, want %s", user, f, brief(h[f]), brief(a.String())))
			}
		}
	}
	for _, user := range slices.Sorted(maps.Keys(have)) {
		if ref.profiles[user] == nil {
			out = append(out, fmt.Sprintf("%s: there is a profile, want none: %v", user, have[user]))
		}
	}
	return out
}

func brief(s string) string {
	if len(s) > 60 {
		return fmt.Sprintf("%s… (%d bytes)", s[:50], len(s))
	}
	if s == "" {
		return "absent"
	}
	return s
}
