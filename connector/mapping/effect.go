package mapping

import (
	"fmt"

	"brazecdc/connector"
)

// job is one change, or one row, for one model.
type job struct {
	m   *Mapper
	p   *plan
	c   *connector.Change // nil in MapRow
	ids connector.IDs     // nil in MapRow
	a   *arena
	key connector.Key
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
	return connector.Effect{User: u, Kind: kind, Model: j.p.m.index, Key: j.key, Owner: j.p.m.owner, Change: j.c}
}

// track appends an effect that carries the mapped row.
func (j *job) track(dst []connector.Effect, u connector.User, after, before connector.Row, w whole) ([]connector.Effect, error) {
	if !j.admitted(u) {
		return j.pass(dst, "only_users")
	}
	mo := j.p.m
	proof := w.proof && !mo.enrich && before.Table == after.Table
	run := j.a.fieldRun(len(j.p.fields))
	complete := true
	for i := range j.p.fields {
		fp := &j.p.fields[i]
		if fp.stopped {
			continue
		}
		out, oc, column := j.encode(fp, after, j.a.room(), false)
		var value []byte
		switch oc {
		case encoded:
			value = j.a.kept(out)
		case encNull:
			value = jsonNull
		case skipped:
			continue
		case notThere:
			complete = false
			switch {
			case fp.prog != nil && !w.lenient, w.require && !j.m.cfg.NoReread:
				return dst, j.needs(column)
			case w.require || fp.prog != nil:
				j.note(fp, fmt.Sprintf("column %q is not in the change and cannot be read again", column), false)
			}
			continue
		}
		run = run[:len(run)+1] // filled in place: copying fields costs more than encoding most of them
		f := &run[len(run)-1]
		f.Def, f.JSON, f.Was, f.Proof, f.Omit = fp.def, value, 0, connector.NoProof, oc == encNull && w.omit
		if proof {
			j.prove(fp, after, before, f)
		}
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

// unset appends an effect that takes the model's fields away from a user, and never creates one.
func (j *job) unset(dst []connector.Effect, u connector.User) ([]connector.Effect, error) {
	if !j.admitted(u) {
		return j.pass(dst, "only_users")
	}
	run := j.a.fieldRun(len(j.p.fields))
	for i := range j.p.fields {
		if fp := &j.p.fields[i]; !fp.stopped {
			run = append(run, connector.Field{Def: fp.def, JSON: jsonNull})
		}
	}
	if len(run) == 0 {
		return j.pass(dst, "no fields")
	}
	e := j.effect(connector.Track, u)
	e.Fields, e.UpdateOnly = j.a.keepFields(run), true
	return append(dst, e), nil
}

// remove appends the delete of a user.
func (j *job) remove(dst []connector.Effect, u connector.User) ([]connector.Effect, error) {
	if !j.admitted(u) {
		return j.pass(dst, "only_users")
	}
	e := j.effect(connector.DeleteUser, u)
	e.Verify = !j.p.m.info.IDUnique
	return append(dst, e), nil
}
