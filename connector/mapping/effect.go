package mapping

import (
	"fmt"

	"brazecdc/connector"
)

// job is one change, or one row, for one model.
type job struct {
	m      *Mapper
	p      *plan
	c      *connector.Change // nil in MapRow
	ids    connector.IDs     // nil in MapRow
	a      *arena
	key    connector.Key
	load   bool                  // MapLoad: the row is one of a load
	said   *string               // takes the next note, where it is the reason of a refusal
	missed []connector.FieldNote // what was noted so far, for the effects
}

// whole says how a row is carried.
type whole struct {
	omit    bool // nulls need not be sent: the profile is new
	creates bool // the row starts the profile or is new
	require bool // a column that is absent has to be read first
	lenient bool // an expression's absent column leaves only its field out
	proof   bool // the before-image may prove fields
}

func (j *job) pass(dst []connector.Effect, why string) ([]connector.Effect, error) {
	j.m.cfg.Passed(j.p.m.index, why)
	if j.m.cfg.PassedChange != nil && j.c != nil {
		j.m.cfg.PassedChange(j.p.m.index, j.c, why)
	}
	return dst, nil
}

// needs asks for the living row, or refuses the row where nobody can read it.
func (j *job) needs(column string) error {
	if j.m.cfg.NoReread {
		return &connector.RowError{Model: j.p.m.index, Reason: fmt.Sprintf("column %q is needed, is not in the change, and cannot be read again", column)}
	}
	return &connector.NeedRowError{Model: j.p.m.index, Column: column}
}

// admitted tells whether a pilot's list lets the user through.
func (j *job) admitted(u connector.User) bool {
	return j.m.only == nil || (u.Kind == connector.ExternalID && j.m.only[u.ID])
}

func (j *job) effect(kind connector.Kind, u connector.User) connector.Effect {
	return connector.Effect{User: u, Kind: kind, Model: j.p.m.index, Key: j.key, Owner: j.p.m.owner, Change: j.c, Left: j.missed}
}

// track appends an effect that carries the mapped row: of a user's profile, of its subscription groups alone, or of an item.
func (j *job) track(dst []connector.Effect, u connector.User, after, before connector.Row, w whole) ([]connector.Effect, error) {
	mo := j.p.m
	if mo.kind != catalogs && !j.admitted(u) {
		return j.pass(dst, "only_users")
	}
	run, complete, err := j.fields(after, before, w)
	if err != nil {
		return dst, err
	}
	switch mo.kind {
	case subscriptions:
		if len(run) == 0 && (j.c == nil || j.c.OldKey == connector.Key{}) {
			return j.pass(dst, "no fields")
		}
		e := j.effect(connector.Subscribe, u)
		e.Fields, e.Whole = j.a.keepFields(run), complete
		return append(dst, e), nil
	case catalogs:
		e := j.effect(connector.PutItem, u)
		e.Fields, e.Creates, e.Whole = j.a.keepFields(run), true, complete
		return append(dst, e), nil
	}
	creates := w.creates && !mo.enrich
	if len(run) == 0 && !creates && (j.c == nil || j.c.OldKey == connector.Key{}) {
		return j.pass(dst, "no fields")
	}
	e := j.effect(connector.Track, u)
	e.Fields = j.a.keepFields(run)
	e.UpdateOnly, e.Creates, e.Whole = mo.enrich, creates, complete
	return append(dst, e), nil
}

// fields maps the fields of a row. complete tells whether the image carries them all.
func (j *job) fields(after, before connector.Row, w whole) (run []connector.Field, complete bool, err error) {
	mo := j.p.m
	proof := w.proof && !mo.enrich && before.Table == after.Table
	run, complete = j.a.fieldRun(len(j.p.fields)), true
	for i := range j.p.fields {
		fp := &j.p.fields[i]
		if fp.stopped {
			continue
		}
		if fp.collect {
			f, oc, column := j.collected(fp, after, before)
			switch oc {
			case encoded:
				run = append(run, f)
			case notThere:
				if complete = false; !w.lenient || !j.m.cfg.NoReread {
					return run, false, j.needs(column)
				}
			}
			continue
		}
		out, oc, column := j.encode(fp, after, j.a.room(), false)
		var value []byte
		may, again := true, false
		switch oc {
		case encoded:
			if fp.consent {
				may, again = j.mayConsent(fp, out[len(j.a.json):])
			}
			if !may {
				continue
			}
			value = j.a.kept(out)
		case encNull:
			value = jsonNull
		case skipped:
			continue
		case notThere:
			complete = false
			switch {
			case fp.prog != nil && !w.lenient, w.require && !j.m.cfg.NoReread, mo.kind == catalogs:
				return run, false, j.needs(column)
			case w.require || fp.prog != nil:
				j.note(fp, fmt.Sprintf("column %q is not in the change and cannot be read again", column), false)
			}
			continue
		}
		run = run[:len(run)+1] // filled in place: copying fields costs more than encoding most of them
		f := &run[len(run)-1]
		*f = connector.Field{Def: fp.def, JSON: value, Again: again, Omit: oc == encNull && w.omit && mo.kind != catalogs || j.newcomer(fp, value, w)}
		if proof {
			j.prove(fp, after, before, f)
		}
	}
	return run, complete, nil
}

// taking says what a row that is nothing for its model any more takes along.
type taking struct {
	fields bool // they become null
	groups bool // its user leaves them
}

// unset appends an effect that takes a row's fields away from a user, and never creates one. after and before are the row's last images.
func (j *job) unset(dst []connector.Effect, u connector.User, after, before connector.Row, what taking) ([]connector.Effect, error) {
	if !j.admitted(u) {
		return j.pass(dst, "only_users")
	}
	run := j.a.fieldRun(len(j.p.fields))
	for i := range j.p.fields {
		fp := &j.p.fields[i]
		f := connector.Field{Def: fp.def, JSON: jsonNull}
		switch {
		case fp.def.Group != "":
			if !what.groups {
				continue
			}
			f.JSON = []byte(`"` + stateUnsubscribed + `"`)
		case fp.stopped || !what.fields:
			continue
		case fp.collect:
			old, known := j.lastElement(fp, after, before)
			if !known {
				return dst, j.identityLost("the change does not tell the value that has to be taken out of the array of " + fp.name())
			}
			if old == nil {
				continue
			}
			f.JSON = collection(nil, old)
		case fp.def.NoNull:
			continue
		}
		run = append(run, f)
	}
	if len(run) == 0 {
		return j.pass(dst, "no fields")
	}
	kind := connector.Track
	if j.p.m.kind == subscriptions {
		kind = connector.Subscribe
	}
	e := j.effect(kind, u)
	e.Fields, e.UpdateOnly = j.a.keepFields(run), kind == connector.Track
	return append(dst, e), nil
}

// remove appends the delete of a user or an item.
func (j *job) remove(dst []connector.Effect, u connector.User) ([]connector.Effect, error) {
	if j.p.m.kind == catalogs {
		return append(dst, j.effect(connector.DeleteItem, u)), nil
	}
	if !j.admitted(u) {
		return j.pass(dst, "only_users")
	}
	e := j.effect(connector.DeleteUser, u)
	e.Verify = !j.p.m.info.IDUnique
	return append(dst, e), nil
}
