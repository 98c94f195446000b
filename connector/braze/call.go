package braze

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"brazecdc/connector"
)

// endpoint is one of the REST endpoints the client calls. The first ones are numbered like the kinds of effects they carry.
type endpoint uint8

const (
	trackUsers  = endpoint(connector.Track)
	deleteUsers = endpoint(connector.DeleteUser)
	renameIDs   = endpoint(connector.Rename)
	removeIDs   = endpoint(connector.Free)
	exportUsers = endpoint(connector.Kinds)
	endpoints   = exportUsers + 1 // how many there are
)

// routes holds path and needed permission of each endpoint (Braze docs, "API overview", permissions).
var routes = [endpoints]struct{ path, permission string }{
	trackUsers:  {"/users/track", "users.track"},
	deleteUsers: {"/users/delete", "users.delete"},
	renameIDs:   {"/users/external_ids/rename", "users.external_ids.rename"},
	removeIDs:   {"/users/external_ids/remove", "users.external_ids.remove"},
	exportUsers: {"/users/export/ids", "users.export.ids"},
}

func (e endpoint) String() string { return routes[e].path }

// Endpoint gives the path that effects of a kind are posted to, "" for a kind that does not exist.
func Endpoint(k connector.Kind) string {
	if k >= connector.Kinds {
		return ""
	}
	return routes[k].path
}

// Body gives the request body of a batch of one kind exactly as Send would send it, for showing it to a person.
func Body(k connector.Kind, batch []connector.Effect) []byte {
	return appendBody(nil, k, batch)
}

// appendBody appends the request body. It only appends, so that with a used buffer it allocates nothing.
func appendBody(b []byte, k connector.Kind, batch []connector.Effect) []byte {
	switch k {
	case connector.Track:
		b = append(b, `{"attributes":[`...)
		for i := range batch {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendAttributes(b, &batch[i])
		}
	case connector.DeleteUser:
		b = appendDeletes(b, batch)
	case connector.Rename:
		b = append(b, `{"external_id_renames":[`...)
		for i := range batch {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, `{"current_external_id":`...)
			b = appendString(b, batch[i].User.ID)
			b = append(b, `,"new_external_id":`...)
			b = appendString(b, batch[i].To.ID)
			b = append(b, '}')
		}
	case connector.Free:
		b = append(b, `{"external_ids":[`...)
		for i := range batch {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, batch[i].User.ID)
		}
	default:
		return append(b, `{}`...)
	}
	return append(b, `]}`...)
}

// appendAttributes appends one attribute object: the identifier, the control key where it is needed, and exactly the fields given.
//
// Without the control key Braze creates users named by external_id, email or phone, but acts as update-only with a user_alias (Braze docs,
// "User attributes object"), so an alias always carries it.
func appendAttributes(b []byte, e *connector.Effect) []byte {
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
	for i := range e.Fields {
		f := &e.Fields[i]
		// An object must not have a key twice; where email or phone names the user, that name is the field's value already.
		if own != "" && f.Def.Name == own {
			continue
		}
		b = append(b, ',')
		b = append(b, f.Def.JSON...)
		b = append(b, f.JSON...)
	}
	return append(b, '}')
}

func appendAlias(b []byte, u *connector.User) []byte {
	b = append(b, `{"alias_name":`...)
	b = appendString(b, u.ID)
	b = append(b, `,"alias_label":`...)
	b = appendString(b, u.Label)
	return append(b, '}')
}

// identifierLists names the list of a delete by kind of identifier; a request may carry one of them (Braze docs, "Delete users").
var identifierLists = [...]string{
	connector.ExternalID: "external_ids",
	connector.Alias:      "user_aliases",
	connector.Email:      "email_addresses",
	connector.Phone:      "phone_numbers",
}

// prioritization picks among profiles that share an email or phone. A user named by it alone has a profile without external_id; one with an
// external_id belongs to whoever made it under that name, and a delete cannot be undone.
const prioritization = `,"prioritization":["unidentified","most_recently_updated"]}`

func appendDeletes(b []byte, batch []connector.Effect) []byte {
	kind := connector.ExternalID
	if len(batch) > 0 {
		kind = batch[0].User.Kind
	}
	b = append(b, `{"`...)
	b = append(b, identifierLists[kind]...)
	b = append(b, `":[`...)
	for i := range batch {
		if i > 0 {
			b = append(b, ',')
		}
		u := &batch[i].User
		switch kind {
		case connector.Alias:
			b = appendAlias(b, u)
		case connector.Email:
			b = append(b, `{"email":`...)
			b = appendString(b, u.ID)
			b = append(b, prioritization...)
		case connector.Phone:
			b = append(b, `{"phone":`...)
			b = appendString(b, u.ID)
			b = append(b, prioritization...)
		default:
			b = appendString(b, u.ID)
		}
	}
	return b
}

var errMixed = errors.New("a delete call takes one kind of identifier only, and this batch has several")

// unfit tells why a batch cannot be put into one valid request. It is found before anything is sent; splitting the batch singles out what is
// at fault, and separates kinds of identifiers.
func unfit(k connector.Kind, batch []connector.Effect) error {
	for i := range batch {
		e := &batch[i]
		if err := unfitUser(&e.User); err != nil {
			return err
		}
		switch k {
		case connector.DeleteUser:
			if e.User.Kind != batch[0].User.Kind {
				return errMixed
			}
		case connector.Rename:
			if e.User.Kind != connector.ExternalID || e.To.Kind != connector.ExternalID {
				return errors.New("only an external_id can be renamed")
			}
			if err := unfitUser(&e.To); err != nil {
				return fmt.Errorf("new name: %w", err)
			}
			if e.User.ID == e.To.ID {
				return errors.New("the new external_id equals the old one")
			}
		case connector.Free:
			if e.User.Kind != connector.ExternalID {
				return errors.New("only a deprecated external_id can be removed")
			}
		}
	}
	return nil
}

func unfitUser(u *connector.User) error {
	switch {
	case u.Kind > connector.Phone:
		return fmt.Errorf("kind of identifier %d is unknown", u.Kind)
	case u.ID == "":
		return errors.New("the identifier is empty")
	case u.Kind == connector.Alias && u.Label == "":
		return errors.New("the alias has no label")
	case !utf8.ValidString(u.ID) || !utf8.ValidString(u.Label):
		return errors.New("the identifier is not valid UTF-8")
	}
	return nil
}

const hex = "0123456789abcdef"

// appendString appends s as a JSON string. What is not valid UTF-8 becomes U+FFFD.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				b = append(b, s[from:i]...)
				b = append(b, `\ufffd`...)
				from = i + 1
			}
			i += n
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		b = append(b, s[from:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		from = i
	}
	b = append(b, s[from:]...)
	return append(b, '"')
}
