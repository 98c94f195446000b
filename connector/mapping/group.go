package mapping

import (
	"fmt"
	"strings"

	"brazecdc/connector"
)

// drive says what a field does with the truth of a rule.
type drive uint8

const (
	noRule       drive = iota // its value comes from elsewhere
	driveGroup                // a subscription group: true subscribes
	driveLeaving              // the same, and false unsubscribes
	driveFlag                 // a boolean attribute
)

const noteRuleNull = "the rule is NULL for this row: the state stays as it is"

// appendGroupState appends the state of a subscription group, which knows no opt-in beyond subscribed (Braze docs, "User attributes object",
// subscription_groups).
func (s *settings) appendGroupState(dst []byte, v connector.Value) ([]byte, string, bool) {
	out, note, ok := s.appendConsent(dst, v)
	if !ok {
		return dst, "not one of subscribed, unsubscribed, nor a boolean", false
	}
	if string(out[len(dst):]) == `"`+stateOptedIn+`"` {
		out = append(append(append(dst, '"'), stateSubscribed...), '"')
	}
	return out, note, ok
}

// groups compiles the subscription groups of a model of users or of subscriptions.
func (c *compiler) groups(mo *model) {
	for i := range mo.conf.Groups {
		g := &mo.conf.Groups[i]
		f := &field{path: g.Path, consent: true, convert: (*settings).appendGroupState, set: settings{zone: c.cfg.TimeZone}}
		faults := len(c.faults)
		switch {
		case (g.Subscribed == "") == (g.When == ""):
			c.fault(g.Path, "a subscription group takes either a column of consent or a rule", "name a column under subscribed, or write a rule under when")
		case g.Subscribed != "":
			f.column = g.Subscribed
			f.set.never = c.sentColumn(mo, g.Subscribed, g.Path+".subscribed")
		default:
			f.drive = driveGroup
			f.prog = c.rule(mo, g.When, g.Path+".when")
		}
		switch g.OnLeave {
		case "", "keep":
		case "unsubscribe":
			if f.drive == noRule && g.When == "" {
				c.fault(g.Path+".on_leave", "on_leave is for a rule; a column says unsubscribed itself", "remove it")
			}
			f.drive = driveLeaving
		default:
			c.fault(g.Path+".on_leave", fmt.Sprintf("on_leave cannot be %q", g.OnLeave), "use keep or unsubscribe")
		}
		if g.ID == "" {
			c.fault(g.Path+".group", fmt.Sprintf("%q is the name of no subscription group", g.Group), "give it its id under braze.subscription_groups")
		}
		c.resubscribe(mo, f, g.Resubscribe, g.Path, false)
		if c.failedSince(faults) {
			continue
		}
		name := "subscription_groups." + g.Group
		f.def = &connector.FieldDef{Name: name, JSON: keyJSON(name), Model: mo.index, Order: c.order, Free: true, NoNull: true, Group: g.ID,
			Hash: hashOf("group", g.ID, g.Subscribed, g.When, g.OnLeave, g.Resubscribe, c.cfg.TimeZone.String())}
		c.order++
		mo.fields = append(mo.fields, f)
		mo.hasGroups = true
	}
	switch mo.conf.OnDeleteGroups {
	case "", "keep":
	case "unsubscribe":
		if !mo.hasGroups && len(mo.conf.Groups) == 0 {
			c.warn(mo.conf.Path+".on_delete_groups", "the model has no subscription groups", "remove it, or add subscription_groups")
		}
	default:
		c.fault(mo.conf.Path+".on_delete_groups", fmt.Sprintf("on_delete_groups cannot be %q", mo.conf.OnDeleteGroups), "use keep or unsubscribe")
	}
}

// audiences compiles the boolean attributes that a rule drives.
func (c *compiler) audiences(mo *model) {
	for i := range mo.conf.Audiences {
		a := &mo.conf.Audiences[i]
		f := &field{path: a.Path, drive: driveFlag, set: settings{zone: c.cfg.TimeZone}}
		faults := len(c.faults)
		name := strings.TrimSpace(a.Attribute)
		c.customName(a.Attribute, name, a.Path)
		f.prog = c.rule(mo, a.When, a.Path+".when")
		if c.failedSince(faults) {
			continue
		}
		f.declared, f.attr = "bool", c.attribute(name)
		f.def = &connector.FieldDef{Name: name, JSON: keyJSON(name), Model: mo.index, Order: c.order, Type: connector.BoolType,
			Hash: hashOf("audience", name, a.When, c.cfg.TimeZone.String())}
		c.order++
		if fault, bad := f.typeFault(); bad {
			c.faults = append(c.faults, fault)
		}
		mo.fields = append(mo.fields, f)
	}
}

// rule compiles a rule whose truth leaves.
func (c *compiler) rule(mo *model, source, path string) *program {
	p := c.expr(mo, source, path, useRule)
	if p != nil {
		c.sentExpr(mo, p, path)
	}
	return p
}

// encodeRule appends what a rule says of a row: the state of a group or an attribute's value.
func (j *job) encodeRule(fp *fieldPlan, r connector.Row, dst []byte, quiet bool) (out []byte, oc outcome, column string) {
	is, err := fp.prog.test(r, fp.cols)
	if column = absentColumn(err); column != "" {
		return dst, notThere, column
	}
	word := ""
	switch {
	case err != nil:
		j.note(fp, err.Error(), quiet)
	case is == unknown:
		j.note(fp, noteRuleNull, quiet)
	case fp.drive == driveFlag:
		word = map[truth]string{yes: "true", no: "false"}[is]
	case is == yes:
		word = `"` + stateSubscribed + `"`
	case fp.drive == driveLeaving:
		word = `"` + stateUnsubscribed + `"`
	}
	if word == "" {
		return dst, skipped, ""
	}
	out = append(dst, word...)
	if note := fp.drifts(out[len(dst):]); note != "" {
		j.note(fp, note, quiet)
		return dst, skipped, ""
	}
	return out, encoded, ""
}

// newcomer tells whether a rule's unsubscribed need not be sent, as a NULL need not: a new row of the stream leaves no group. Where an earlier row of the user is known to have subscribed it, the diff sends it nevertheless.
func (j *job) newcomer(fp *fieldPlan, value []byte, w whole) bool {
	return fp.drive == driveLeaving && w.omit && j.live() && string(value) == `"`+stateUnsubscribed+`"`
}
