package mapping

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"brazecdc/connector"
)

// rules is what a row image says of the model's filter and delete_when. A column that the image lacks leaves its rule unknown and is named.
type rules struct {
	match, dead             truth
	matchAbsent, deadAbsent string
	deadErr                 bool // delete_when could not be evaluated
}

// rulesOf evaluates filter and delete_when; a rule that is unknown is noted unless quiet.
func (j *job) rulesOf(p *plan, r connector.Row, quiet bool) rules {
	out := rules{match: yes, dead: no}
	if p.m.filter != nil {
		var err error
		out.match, err = p.m.filter.test(r, p.filterCols)
		out.matchAbsent = absentColumn(err)
		if out.match == unknown && !quiet && out.matchAbsent == "" {
			j.noteRule("filter", err)
		}
	}
	if p.m.deleteWhen != nil {
		var err error
		out.dead, err = p.m.deleteWhen.test(r, p.deadCols)
		out.deadAbsent = absentColumn(err)
		out.deadErr = err != nil
		if out.dead == unknown && !quiet && out.deadAbsent == "" {
			j.noteRule("delete_when", err)
		}
	}
	return out
}

func absentColumn(err error) string {
	var ae *absentError
	if errors.As(err, &ae) {
		return ae.column
	}
	return ""
}

func (j *job) noteRule(rule string, err error) {
	reason := "the rule is NULL for this row, which is no match"
	if err != nil {
		reason = err.Error()
	}
	j.m.cfg.Note(j.p.m.index, rule, reason)
}

// change maps one change by the model's mode; the README's table of modes says what each may do.
func (j *job) change(dst []connector.Effect) ([]connector.Effect, error) {
	if j.p.event != nil && j.c.Op == connector.Delete {
		return j.pass(dst, "ops") // what happened stays so
	}
	if j.p.broken != nil {
		return dst, j.oldShape()
	}
	if j.p.event != nil {
		return j.happened(dst)
	}
	switch j.c.Op {
	case connector.Insert:
		return j.appeared(dst, j.c.After, false)
	case connector.Snapshot:
		return j.appeared(dst, j.c.After, true)
	case connector.Update:
		return j.updated(dst)
	case connector.Delete:
		return j.deleted(dst)
	}
	return dst, nil
}

// oldShape is for a change of a table's shape that lacks a column which identify or a rule reads. Where the table has the column now, the change is only older
// than the column's name, and the living row tells what it cannot.
func (j *job) oldShape() error {
	mo := j.p.m
	switch {
	case j.c.Op == connector.Delete && j.m.cfg.NoReread && onlyKey(j.p.table):
		// A tombstone before any row of its topic: that the columns are not known yet does not mean that they are gone.
		if j.p.event != nil {
			return nil // deletes are none of its business
		}
		return &connector.RowError{Model: mo.index, Identity: true,
			Reason: fmt.Sprintf("the record holds nothing but its key, and column %q is not part of it", j.p.lacks)}
	case mo.table == nil || mo.table.Column(j.p.lacks) < 0 || j.c.Op == connector.Snapshot:
		return j.p.broken
	case j.c.Op == connector.Delete || j.m.cfg.NoReread:
		return &connector.RowError{Model: mo.index, Identity: true,
			Reason: fmt.Sprintf("the change was made when %s had no column %q, and its row cannot be read any more", j.p.table.Name, j.p.lacks)}
	}
	return &connector.NeedRowError{Model: mo.index, Column: j.p.lacks, Stop: j.p.broken}
}

// onlyKey tells whether nothing is known of a table but its key.
func onlyKey(t *connector.Table) bool {
	return !slices.ContainsFunc(t.Columns, func(c connector.Column) bool { return !c.Key })
}

// appeared maps a new row, or a row of a load; what the filter or delete_when excludes counts as absent.
func (j *job) appeared(dst []connector.Effect, row connector.Row, load bool) ([]connector.Effect, error) {
	if j.p.broken != nil {
		return dst, j.p.broken
	}
	ru := j.rulesOf(j.p, row, false)
	switch {
	case ru.dead == yes:
		return j.pass(dst, "delete_when")
	case ru.match == no:
		return j.pass(dst, "filter")
	case ru.deadAbsent != "":
		return dst, j.needs(ru.deadAbsent)
	case ru.matchAbsent != "":
		return dst, j.needs(ru.matchAbsent)
	case ru.match == unknown:
		return j.pass(dst, "filter")
	}
	u, err := j.userOf(row)
	if err != nil {
		return dst, err
	}
	return j.track(dst, u, row, connector.Row{}, whole{omit: true, creates: true, lenient: load})
}

// userOf names the user of a row that has to have one.
func (j *job) userOf(row connector.Row) (connector.User, error) {
	id := j.p.identity(row)
	switch id.state {
	case idKnown:
		j.named(id, row, true)
		return id.user, nil
	case idAbsent:
		return id.user, j.needs(id.column)
	}
	return id.user, j.refusedID(id, connector.User{})
}

func (j *job) refusedID(id identity, old connector.User) error {
	e := &connector.RowError{Model: j.p.m.index, User: old, Field: j.p.idNameOf(id.by), Reason: id.reason}
	if id.state == idMissing {
		e.Reason = "the row has no identifier: it is empty or NULL"
		if len(j.p.ids) > 1 {
			e.Field, e.Reason = j.p.idNames(), "the row has no identifier: all of these are empty or NULL"
		}
		if old != (connector.User{}) {
			e.Reason = "the identifier became empty or NULL; the user is neither deleted nor changed"
		}
	}
	return e
}

// idName is the identifier that comes first.
func (j *job) idName() string { return j.p.idNameOf(0) }

// idNames are all of them in their order of preference.
func (p *plan) idNames() string {
	names := make([]string, len(p.ids))
	for i := range p.ids {
		names[i] = p.idNameOf(i)
	}
	return strings.Join(names, ", ")
}

// idNameOf is what identify calls one of its sources.
func (p *plan) idNameOf(i int) string {
	switch p.ids[i].kind {
	case connector.Alias:
		return "alias"
	case connector.Email:
		return "email"
	case connector.Phone:
		return "phone"
	case connector.Item:
		return "item_id"
	}
	return "external_id"
}

// presence tells whether a row counted for the model before its change.
type presence uint8

const (
	wasOut presence = iota
	wasIn
	unsure // neither the before-image nor the store knows
)

// before says whether the row was in before an update: by the before-image, else by whether the store knows that it was sent. A rule that is unknown
// keeps a row where it was. A filter that reads the clock may have let a row go by time passing, which is no leave, so there the store is heard too.
func (j *job) before(p *plan, before connector.Row) (presence, rules) {
	mo := j.p.m
	if mo.filter == nil && mo.deleteWhen == nil {
		return wasIn, rules{match: yes, dead: no}
	}
	ru := rules{match: yes, dead: no}
	if before.Exists() && p != nil {
		ru = j.rulesOf(p, before, true)
	} else {
		if mo.filter != nil {
			ru.match, ru.matchAbsent = unknown, "all"
		}
		if mo.deleteWhen != nil {
			ru.dead, ru.deadAbsent = unknown, "all"
		}
	}
	switch {
	case ru.dead == yes:
		return wasOut, ru
	case ru.match == no && !mo.filter.volatile:
		return wasOut, ru
	case ru.match == yes && ru.deadAbsent == "":
		return wasIn, ru
	}
	if _, known := j.stored(); known {
		return wasIn, ru
	}
	if ru.match == no || (ru.match == unknown && ru.matchAbsent == "") {
		return wasOut, ru
	}
	return unsure, ru
}

// stored is the user that the row was last mapped to.
func (j *job) stored() (connector.User, bool) {
	if j.ids == nil {
		return connector.User{}, false
	}
	key := j.key
	if j.c != nil && j.c.OldKey != (connector.Key{}) {
		key = j.c.OldKey
	}
	return j.ids.User(j.p.m.index, key)
}

// updated maps an update: entering, leaving, dying, or staying.
func (j *job) updated(dst []connector.Effect) ([]connector.Effect, error) {
	before := j.c.Before
	after, old := j.c.After, j.p
	if before.Exists() {
		if before.Table != after.Table {
			old = j.m.planFor(j.p.m, before.Table)
			if old != nil && old.broken != nil {
				old = nil
			}
		} else {
			after = j.a.fill(after, before, j.p.needed)
		}
	}
	mo := j.p.m
	if mo.filter == nil && mo.deleteWhen == nil {
		return j.stayed(dst, after, before, old)
	}
	now := j.rulesOf(j.p, after, false)
	if now.deadAbsent != "" {
		return dst, j.needs(now.deadAbsent)
	}
	if now.matchAbsent != "" && now.dead != yes {
		return dst, j.needs(now.matchAbsent)
	}
	was, past := j.before(old, before)
	switch {
	case now.dead == yes:
		if was == wasOut || (was == unsure && now.match == no) {
			return j.pass(dst, "delete_when")
		}
		if was == unsure && mo.filter != nil && mo.takes() != (taking{}) {
			// Unknown is never a delete. An update of a row that was dead all along looks the same, so it is a note and no quarantine entry.
			j.m.cfg.Note(mo.index, "delete_when", "the row counts as deleted, but nothing tells that the filter let it in before; REPLICA IDENTITY FULL would")
			return j.pass(dst, "delete_when")
		}
		return j.gone(dst, after, before, old)
	case now.deadErr && past.dead == yes:
		return j.pass(dst, "delete_when")
	case now.match == no:
		if was != wasIn {
			return j.pass(dst, "filter")
		}
		return j.left(dst, after, before, old)
	case was == wasIn:
		return j.stayed(dst, after, before, old)
	case now.match == unknown:
		return j.pass(dst, "filter")
	}
	return j.entered(dst, after)
}

// entered maps a row that the filter lets in, or that is no longer deleted: it goes whole, nulls included, since the profile may exist.
func (j *job) entered(dst []connector.Effect, after connector.Row) ([]connector.Effect, error) {
	u, err := j.userOf(after)
	if err != nil {
		return dst, err
	}
	return j.track(dst, u, after, connector.Row{}, whole{creates: true, require: true})
}

// stayed maps an update of a row that was in and is in.
func (j *job) stayed(dst []connector.Effect, after, before connector.Row, old *plan) ([]connector.Effect, error) {
	id := j.p.identity(after)
	if id.state == idAbsent {
		return dst, j.needs(id.column)
	}
	was, known, fresh := j.formerUser(after, before, old, id)
	if id.state != idKnown {
		return dst, j.refusedID(id, was)
	}
	moved := known && was != id.user
	if moved {
		j.unnamed(was)
	}
	j.named(id, after, fresh || moved)
	switch {
	case fresh:
		return j.track(dst, id.user, after, connector.Row{}, whole{creates: true, require: true})
	case moved:
		return j.moved(dst, was, id.user, after, before)
	}
	return j.track(dst, id.user, after, before, whole{proof: before.Exists()})
}

// formerUser is the user of the row before an update. fresh: the row had no usable identifier and was never sent, so it starts its profile now.
func (j *job) formerUser(after, before connector.Row, old *plan, id identity) (u connector.User, known, fresh bool) {
	if before.Exists() && before.Table == after.Table && j.sameID(after, before) {
		if id.state == idKnown {
			return id.user, true, false
		}
		u, known = j.stored()
		return u, known, false
	}
	if before.Exists() && old != nil {
		switch was := old.identity(before); was.state {
		case idKnown:
			return was.user, true, false
		case idMissing, idRefused:
			u, known = j.stored()
			return u, known, !known
		}
	}
	if j.p.m.info.IDFromKey && j.c.OldKey == (connector.Key{}) && id.state == idKnown {
		return id.user, true, false
	}
	u, known = j.stored()
	return u, known, false
}

// sameID tells whether all columns of the identity are known to be untouched.
func (j *job) sameID(after, before connector.Row) bool {
	for i := range j.p.ids {
		for _, c := range j.p.ids[i].cols {
			if b := &before.Cells[c]; b.State == connector.Absent || *b != after.Cells[c] {
				return false
			}
		}
	}
	return true
}

// moved maps a changed identifier. The owner renames the user, or does what on_id_change says; another model's row takes its fields along.
func (j *job) moved(dst []connector.Effect, from, to connector.User, after, before connector.Row) ([]connector.Effect, error) {
	mo := j.p.m
	fresh := whole{creates: true, require: true}
	if !mo.owner {
		if mo.sync {
			var err error
			if mo.kind == catalogs {
				dst, err = j.remove(dst, from)
			} else {
				dst, err = j.unset(dst, from, after, before, mo.takes())
			}
			if err != nil {
				return dst, err
			}
		}
		return j.track(dst, to, after, connector.Row{}, fresh)
	}
	switch {
	case mo.conf.OnIDChange == "stop":
		return dst, &connector.StopError{
			Code: connector.ExitFaults,
			What: fmt.Sprintf("the %s of a row of %s changed (model %q, on_id_change: stop)", j.idName(), j.p.table.Name, mo.conf.Name),
			Fix:  "set on_id_change: rename or create, or mend the row",
		}
	case mo.conf.OnIDChange != "create" && j.admitted(from) && (from.Kind != connector.ExternalID || to.Kind != connector.ExternalID):
		j.m.cfg.Note(mo.index, from.Kind.String(), noteNoRename)
		return j.track(dst, to, after, connector.Row{}, fresh)
	case mo.conf.OnIDChange == "create", from.Kind != connector.ExternalID, to.Kind != connector.ExternalID, !j.admitted(from):
		return j.track(dst, to, after, connector.Row{}, fresh)
	}
	e := j.effect(connector.Rename, from)
	e.To, e.Verify = to, !mo.info.IDUnique
	dst = append(dst, e)
	return j.track(dst, to, after, before, whole{proof: before.Exists()})
}

// noteNoRename is the note of a changed identifier that Braze cannot change: only an external_id can be renamed.
const noteNoRename = "the identifier changed, and Braze renames only external_ids: the profile under the old one stays there, the new one gets the whole row"
