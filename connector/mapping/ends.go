package mapping

import (
	"brazecdc/connector"
)

// left maps a row that the filter no longer lets in.
func (j *job) left(dst []connector.Effect, after, before connector.Row, old *plan) ([]connector.Effect, error) {
	switch j.p.m.conf.OnLeave {
	case "unset":
		u, err := j.lastUser(after, before, old)
		if err != nil {
			return dst, err
		}
		return j.ended(dst, u, after, before, taking{fields: true, groups: j.p.m.kind == subscriptions})
	case "delete":
		return j.gone(dst, after, before, old)
	}
	return j.forget(dst, "filter")
}

// lastUser is the user that a row which is gone belonged to: the before-image's, else the stored one, else that of the row as it is.
func (j *job) lastUser(after, before connector.Row, old *plan) (connector.User, error) {
	if before.Exists() && old != nil {
		if id := old.identity(before); id.state == idKnown {
			return id.user, nil
		}
	}
	if u, ok := j.stored(); ok {
		return u, nil
	}
	if after.Exists() {
		return j.userOf(after)
	}
	return connector.User{}, nil
}

// takes says what a row that is gone takes along: in sync its fields, and in all modes the subscription groups where on_delete_groups says so. The groups of a
// model of subscriptions are its fields.
func (mo *model) takes() taking {
	return taking{fields: mo.sync, groups: mo.hasGroups && (mo.conf.OnDeleteGroups == "unsubscribe" || mo.sync && mo.kind == subscriptions)}
}

// gone maps the end of a row. Only the owner in sync deletes; another model in sync takes its fields back; additive and enrich end subscriptions at most.
func (j *job) gone(dst []connector.Effect, after, before connector.Row, old *plan) ([]connector.Effect, error) {
	if j.p.m.takes() == (taking{}) {
		return j.forget(dst, "mode")
	}
	u, err := j.lastUser(after, before, old)
	if err != nil {
		return dst, err
	}
	return j.finish(dst, u, after, before)
}

// finish ends what a row stood for.
func (j *job) finish(dst []connector.Effect, u connector.User, after, before connector.Row) ([]connector.Effect, error) {
	j.unnamed(u)
	if mo := j.p.m; mo.sync && (mo.owner || mo.kind == catalogs) {
		n := len(dst)
		dst, err := j.remove(dst, u)
		if len(dst) > n && mo.kind == catalogs {
			dst[n].Ends = true
		}
		return dst, err
	}
	return j.ended(dst, u, after, before, j.p.m.takes())
}

// ended takes back what a row gave that is nothing for the model any more.
func (j *job) ended(dst []connector.Effect, u connector.User, after, before connector.Row, what taking) ([]connector.Effect, error) {
	n := len(dst)
	dst, err := j.unset(dst, u, after, before, what)
	if len(dst) > n {
		dst[n].Ends = true
	}
	return dst, err
}

// forget is for a row that is nothing for the model any more while its user keeps all: there is no call to make, but where the store knows the row an
// effect without fields lets it go, or a later row of that key would be taken for one that was sent.
func (j *job) forget(dst []connector.Effect, why string) ([]connector.Effect, error) {
	if u, ok := j.stored(); ok {
		e := j.effect(connector.Track, u)
		e.UpdateOnly, e.Ends = true, true
		dst = append(dst, e)
	}
	return j.pass(dst, why)
}

// deleted maps the delete of a row.
func (j *job) deleted(dst []connector.Effect) ([]connector.Effect, error) {
	before := j.c.Before
	if j.p.m.takes() == (taking{}) {
		return j.forget(dst, "mode")
	}
	was, past := j.before(j.p, before)
	switch {
	case was == wasOut && past.dead == yes:
		return j.pass(dst, "delete_when")
	case was == wasOut:
		return j.pass(dst, "filter")
	case was == unsure && past.match == unknown:
		return dst, j.identityLost("the delete's image does not tell whether the filter let the row in, and it is not known to have been sent")
	}
	var id identity
	if before.Exists() {
		id = j.p.identity(before)
	} else {
		id.state = idAbsent
	}
	if id.state != idKnown {
		stored, ok := j.stored()
		switch {
		case ok:
			id.user = stored
		case id.state == idAbsent:
			return dst, j.identityLost("delete without " + j.idName() + ": the old image carries only the key, and the row is not known to have been sent")
		default:
			return j.pass(dst, "no user")
		}
	}
	return j.finish(dst, id.user, connector.Row{}, before)
}

// identityLost is a delete whose user nobody knows, with the statement that keeps the next ones from it.
func (j *job) identityLost(what string) error {
	return &connector.RowError{
		Model: j.p.m.index, Field: j.idName(),
		Identity: true,
		Reason:   what + "; ALTER TABLE " + j.p.table.Name + " REPLICA IDENTITY FULL lets deletes carry it",
	}
}
