package braze

import (
	"bytes"
	"errors"
	"fmt"

	"brazecdc/connector"
)

// subscriptionUsers is how many users one entry of a call takes (Braze docs, "Update user's subscription group status (V2)"). Whether they count by entry or
// by call is not documented, so a batch of several effects keeps to it in all.
const subscriptionUsers = 50

// subscriptionLists names the list of users of an entry by kind of identifier.
var subscriptionLists = [...]string{
	connector.ExternalID: "external_ids",
	connector.Email:      "emails",
	connector.Phone:      "phones",
}

// appendSubscribe appends an entry for each group and state, and a further one where its list of users is full. All users of a call are named by the same
// kind of identifier.
func appendSubscribe(b []byte, batch []connector.Effect) []byte {
	b = append(b, `{"subscription_groups":[`...)
	for i := range batch {
		for k := range batch[i].Fields {
			f := &batch[i].Fields[k]
			if f.Def.Group != "" && !mentioned(batch[:i], batch[i].Fields[:k], f) {
				b = appendStates(b, batch[i:], f)
			}
		}
	}
	return append(b, `]}`...)
}

// mentioned tells whether group and state of a field came before it.
func mentioned(batch []connector.Effect, fields []connector.Field, f *connector.Field) bool {
	for k := range fields {
		if sameState(&fields[k], f) {
			return true
		}
	}
	for i := range batch {
		for k := range batch[i].Fields {
			if sameState(&batch[i].Fields[k], f) {
				return true
			}
		}
	}
	return false
}

func sameState(a, b *connector.Field) bool {
	return a.Def.Group == b.Def.Group && bytes.Equal(a.JSON, b.JSON)
}

// appendStates appends the entries of a group and state, of at most 50 users each.
func appendStates(b []byte, batch []connector.Effect, f *connector.Field) []byte {
	users := 0
	for i := range batch {
		for k := range batch[i].Fields {
			if !sameState(&batch[i].Fields[k], f) {
				continue
			}
			switch {
			case users%subscriptionUsers != 0:
				b = append(b, ',')
			case users > 0:
				b = append(b, `]},`...)
			case b[len(b)-1] != '[':
				b = append(b, ',')
			}
			if users%subscriptionUsers == 0 {
				b = append(b, `{"subscription_group_id":`...)
				b = appendString(b, f.Def.Group)
				b = append(b, `,"subscription_state":`...)
				b = append(b, f.JSON...)
				b = append(b, `,"`...)
				b = append(b, subscriptionLists[batch[i].User.Kind]...)
				b = append(b, `":[`...)
			}
			b = appendString(b, batch[i].User.ID)
			users++
			break
		}
	}
	return append(b, `]}`...)
}

func unfitSubscribe(e *connector.Effect) error {
	if e.User.Kind == connector.Alias {
		return errors.New("the state of a subscription group is set by external_id, email or phone, not by alias")
	}
	states := 0
	for i := range e.Fields {
		f := &e.Fields[i]
		if f.Def.Group == "" {
			continue
		}
		states++
		if s := string(f.JSON); s != `"subscribed"` && s != `"unsubscribed"` {
			return fmt.Errorf("the state of subscription group %s is neither subscribed nor unsubscribed", f.Def.Group)
		}
	}
	if states == 0 {
		return errors.New("no state of a subscription group is given")
	}
	return nil
}

// states counts the users that the lists of a call would hold together.
func states(batch []connector.Effect) int {
	n := 0
	for i := range batch {
		for k := range batch[i].Fields {
			if batch[i].Fields[k].Def.Group != "" {
				n++
			}
		}
	}
	return n
}
