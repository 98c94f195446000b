package braze

import (
	"errors"

	"brazecdc/connector"
)

// The arrays of a /users/track, in the order in which Braze applies them (Braze docs, "Race conditions").
const (
	attributes = iota
	events
	purchases
	trackArrays
)

var trackNames = [trackArrays]string{attributes: "attributes", events: "events", purchases: "purchases"}

func arrayOf(e *connector.Effect) int {
	switch {
	case e.Event == nil:
		return attributes
	case e.Event.Purchase:
		return purchases
	}
	return events
}

// appendTrack appends the body of a /users/track: the arrays that are not empty, each in the order of the batch.
func appendTrack(b []byte, batch []connector.Effect) []byte {
	var count [trackArrays]int
	for i := range batch {
		count[arrayOf(&batch[i])]++
	}
	b = append(b, '{')
	for array, n := range count {
		if n == 0 && (array != attributes || len(batch) > 0) {
			continue
		}
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = append(b, trackNames[array]...)
		b = append(b, `":[`...)
		for i := range batch {
			if arrayOf(&batch[i]) != array {
				continue
			}
			if b[len(b)-1] != '[' {
				b = append(b, ',')
			}
			b = appendObject(b, &batch[i])
		}
		b = append(b, ']')
	}
	return append(b, '}')
}

// appendObject appends one object of a /users/track: the identifier, the control keys where they are needed, and exactly what is given.
//
// Without the control key Braze creates users named by external_id, email or phone, but acts as update-only with a user_alias (Braze docs,
// "User attributes object"), so an alias always carries it. For events its page says both; the key says what is meant either way.
func appendObject(b []byte, e *connector.Effect) []byte {
	b = append(b, '{')
	own := ""
	switch e.User.Kind {
	case connector.Alias:
		b = append(b, `"user_alias":`...)
		b = appendAlias(b, &e.User)
	case connector.Email:
		own = "email"
		b = append(b, `"email":`...)
		b = appendString(b, e.User.ID)
	case connector.Phone:
		own = "phone"
		b = append(b, `"phone":`...)
		b = appendString(b, e.User.ID)
	default:
		b = append(b, `"external_id":`...)
		b = appendString(b, e.User.ID)
	}
	switch {
	case e.UpdateOnly:
		b = append(b, `,"_update_existing_only":true`...)
	case e.User.Kind == connector.Alias:
		b = append(b, `,"_update_existing_only":false`...)
	}
	if e.Event != nil {
		b = append(b, ',')
		b = append(b, e.Event.JSON...)
		return append(b, '}')
	}
	if e.Merge {
		b = append(b, `,"_merge_objects":true`...)
	}
	return appendFields(b, e.Fields, own)
}

// appendFields appends the members of an attribute object and closes it.
func appendFields(b []byte, fields []connector.Field, own string) []byte {
	groups := 0
	for i := range fields {
		f := &fields[i]
		if f.Def.Group != "" {
			groups++
			continue
		}
		// An object must not have a key twice; where email or phone names the user, that name is the field's value already.
		if own != "" && f.Def.Name == own {
			continue
		}
		b = append(b, ',')
		b = append(b, f.Def.JSON...)
		b = append(b, f.JSON...)
	}
	if groups > 0 {
		b = appendGroups(b, fields)
	}
	return append(b, '}')
}

// appendGroups appends the states of subscription groups among the fields. Groups that are not in the list keep theirs (Braze docs, "User attributes object",
// subscription_groups).
func appendGroups(b []byte, fields []connector.Field) []byte {
	b = append(b, `,"subscription_groups":[`...)
	first := true
	for i := range fields {
		f := &fields[i]
		if f.Def.Group == "" {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, `{"subscription_group_id":`...)
		b = appendString(b, f.Def.Group)
		b = append(b, `,"subscription_state":`...)
		b = append(b, f.JSON...)
		b = append(b, '}')
	}
	return append(b, ']')
}

func appendAlias(b []byte, u *connector.User) []byte {
	b = append(b, `{"alias_name":`...)
	b = appendString(b, u.ID)
	b = append(b, `,"alias_label":`...)
	b = appendString(b, u.Label)
	return append(b, '}')
}

func unfitTrack(e *connector.Effect) error {
	if e.Event != nil && len(e.Event.JSON) == 0 {
		return errors.New("the event has neither name nor time")
	}
	return nil
}
