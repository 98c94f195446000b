package mapping

import (
	"fmt"
	"strings"

	"brazecdc/connector"
)

// Braze's states of email_subscribe and push_subscribe (Braze docs, "User attributes object").
const (
	stateSubscribed   = "subscribed"
	stateOptedIn      = "opted_in"
	stateUnsubscribed = "unsubscribed"
)

// appendConsent appends a subscription state: Braze's own words whatever their case, or a boolean, where true is subscribed or what when_true says.
// Another word would cost the whole row.
func (s *settings) appendConsent(dst []byte, v connector.Value) ([]byte, string, bool) {
	if t, ok := textOf(v); ok {
		word := strings.NewReplacer("-", "_", " ", "_").Replace(strings.ToLower(strings.TrimSpace(t)))
		switch word {
		case stateSubscribed, stateOptedIn, stateUnsubscribed:
			return append(append(append(dst, '"'), word...), '"'), "", true
		}
	}
	b, _, ok := appendBool(nil, v)
	if !ok {
		return dst, "not one of opted_in, subscribed, unsubscribed, nor a boolean", false
	}
	state := stateUnsubscribed
	if b[0] == 't' {
		state = stateSubscribed
		if s.optedIn {
			state = stateOptedIn
		}
	}
	return append(append(append(dst, '"'), state...), '"'), "", true
}

// resubscribe says when a field of consent may send subscribed or opted_in.
type resubscribe uint8

const (
	whenGiven  resubscribe = iota // a new row, or a live change that makes the column say so
	whenNew                       // a new row only
	whenMapped                    // always
)

const (
	noteLoadConsent = "subscribed and opted_in are sent for new rows and live changes only, not for rows that are read"
	noteNoEvidence  = "subscribed or opted_in is not sent, since the change does not show that it was made so just now; REPLICA IDENTITY FULL would"
)

// consent compiles when_true and resubscribe.
func (c *compiler) consent(mo *model, f *field, fm *connector.FieldMap, isPreset bool) {
	p := presets[fm.Name]
	f.consent = isPreset && p.consent
	if !f.consent {
		for _, s := range [][2]string{{"when_true", fm.WhenTrue}, {"resubscribe", fm.Resubscribe}} {
			if s[1] != "" {
				c.fault(fm.Path, s[0]+" belongs to the profile fields email_subscribe and push_subscribe", "remove it")
			}
		}
		return
	}
	switch fm.WhenTrue {
	case "", stateSubscribed:
	case stateOptedIn:
		f.set.optedIn = true
	default:
		c.fault(fm.Path, fmt.Sprintf("when_true cannot be %q", fm.WhenTrue), "use subscribed or opted_in")
	}
	c.resubscribe(mo, f, fm.Resubscribe, fm.Path, fm.HasValue)
	if fm.OnNull == "value" && strings.Contains(fm.Default, "sub") && !strings.Contains(fm.Default, stateUnsubscribed) {
		c.warn(fm.Path, "a row without an answer would count as a consent", "leave NULL out: on_null: keep")
	}
}

// resubscribe compiles when a field may send subscribed or opted_in.
func (c *compiler) resubscribe(mo *model, f *field, word, path string, constant bool) {
	switch word {
	case "", "on_change":
	case "never":
		f.resubscribe = whenNew
	case "always":
		f.resubscribe = whenMapped
	default:
		c.fault(path, fmt.Sprintf("resubscribe cannot be %q", word), "use on_change, never or always")
	}
	if t := mo.table; t != nil && !c.cfg.NoReread && t.Identity != connector.IdentityFull && f.resubscribe == whenGiven && !constant {
		c.warn(path, "updates do not carry the old value, so nothing shows that a person has just agreed: subscribed and opted_in go for new rows only",
			"ALTER TABLE "+t.Name+" REPLICA IDENTITY FULL")
	}
}

// mayConsent tells whether a state of consent may be sent for this change: unsubscribed always; subscribed and opted_in for a new row of the live stream, or
// where a live change made the column or the rule say so. A person who unsubscribed in Braze is not subscribed again by a row that has said the same all along,
// by a load that was not told to, by a row that is read again, or because a store was lost. again tells that the state goes although Braze may hold it: what was
// before was not sent, so that Braze was not told of it, and the person may have unsubscribed there since.
func (j *job) mayConsent(fp *fieldPlan, value []byte) (may, again bool) {
	if string(value) == `"`+stateUnsubscribed+`"` || fp.resubscribe == whenMapped {
		return true, false
	}
	if !j.live() {
		if j.loading() && j.p.m.conf.LoadConsent {
			return true, false
		}
		j.note(fp, noteLoadConsent, false)
		return false, false
	}
	if j.c.Op == connector.Insert {
		return true, false
	}
	if fp.resubscribe == whenNew {
		return false, false
	}
	before := j.c.Before
	if before.Table != j.p.table {
		j.note(fp, noteNoEvidence, false)
		return false, false
	}
	old, oc, _ := j.encode(fp, before, j.a.old[:0], true)
	j.a.old = old[:0]
	if oc == notThere {
		j.note(fp, noteNoEvidence, false)
		return false, false
	}
	return oc != encoded || string(old) != string(value), oc != encoded
}

// live tells whether the row was changed just now, in the stream.
func (j *job) live() bool { return j.c != nil && j.c.Op != connector.Snapshot && !j.c.Initial }

// loading tells whether the row is one of a load, and not one that is read again.
func (j *job) loading() bool { return j.load || j.c != nil && !j.live() }

// resets tells the pipeline which field Braze forgets when a user's address is new: it starts a new address as subscribed (Braze docs, "Managing email
// subscriptions"). Another model may write the state, where consent has a table of its own.
func resets(models []*model) {
	var state *connector.FieldDef
	for _, mo := range models {
		if mo.emailState != nil {
			state = mo.emailState.def
		}
	}
	for _, mo := range models {
		switch {
		case mo.email == nil:
		case mo.emailState != nil:
			mo.email.def.Resets = mo.emailState.def
		default:
			mo.email.def.Resets = state
		}
	}
}
