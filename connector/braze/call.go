package braze

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"brazecdc/connector"
)

// endpoint is one of the REST endpoints the client calls. The first ones are numbered like the kinds of effects they carry.
type endpoint uint8

const (
	trackUsers     = endpoint(connector.Track)
	deleteUsers    = endpoint(connector.DeleteUser)
	renameIDs      = endpoint(connector.Rename)
	removeIDs      = endpoint(connector.Free)
	subscribeUsers = endpoint(connector.Subscribe)
	putItems       = endpoint(connector.PutItem)
	deleteItems    = endpoint(connector.DeleteItem)
	exportUsers    = endpoint(connector.Kinds)
	listAttributes = exportUsers + 1
	endpoints      = listAttributes + 1 // how many there are
)

// route is how an endpoint is reached, and the permission it needs (Braze docs, "API overview", permissions).
type route struct {
	method, path, permission string
	pool                     endpoint // whose rate limit it counts against
	keep                     int      // bytes read of an answer
}

var routes = [endpoints]route{
	trackUsers:     {http.MethodPost, "/users/track", "users.track", trackUsers, keepOfBody},
	deleteUsers:    {http.MethodPost, "/users/delete", "users.delete", deleteUsers, keepOfBody},
	renameIDs:      {http.MethodPost, "/users/external_ids/rename", "users.external_ids.rename", renameIDs, keepOfBody},
	removeIDs:      {http.MethodPost, "/users/external_ids/remove", "users.external_ids.remove", removeIDs, keepOfBody},
	subscribeUsers: {http.MethodPost, "/v2/subscription/status/set", "subscription.status.set", subscribeUsers, keepOfBody},
	putItems:       {http.MethodPut, "/catalogs/{catalog}/items", "catalogs.replace_items", putItems, keepOfBody},
	deleteItems:    {http.MethodDelete, "/catalogs/{catalog}/items", "catalogs.delete_items", putItems, keepOfBody},
	exportUsers:    {http.MethodPost, "/users/export/ids", "users.export.ids", exportUsers, keepOfExport},
	listAttributes: {http.MethodGet, "/custom_attributes", "custom_attributes.get", listAttributes, keepOfBody},
}

// String names the endpoint in messages and metrics: its path, with the method before it where the path has more than one.
func (e endpoint) String() string {
	if e.ofCatalog() {
		return routes[e].method + " " + routes[e].path
	}
	return routes[e].path
}

func (e endpoint) ofCatalog() bool { return e == putItems || e == deleteItems }

// Endpoint gives the path that effects of a kind are sent to, with {catalog} in the place of an item's catalog; "" for a kind that does not exist.
func Endpoint(k connector.Kind) string {
	if k >= connector.Kinds {
		return ""
	}
	return routes[k].path
}

// EndpointOf is EndpointName, for a pipeline that words where its senders wait.
func (c *Client) EndpointOf(k connector.Kind) string { return EndpointName(k) }

// EndpointName gives the endpoint that effects of a kind are sent to as EndpointHealth names it.
func EndpointName(k connector.Kind) string {
	if k >= connector.Kinds {
		return ""
	}
	return endpoint(k).String()
}

// Request gives method and path of the call that carries an effect, for showing them to a person: "PUT", "/catalogs/shops/items".
func Request(e *connector.Effect) (method, path string) {
	if e.Kind >= connector.Kinds {
		return "", ""
	}
	r := &routes[e.Kind]
	return r.method, strings.Replace(r.path, "{catalog}", url.PathEscape(e.User.Label), 1)
}

// Body gives the request body of a batch of one kind exactly as Send would send it, for showing it to a person.
func Body(k connector.Kind, batch []connector.Effect) []byte {
	return appendBody(nil, k, batch)
}

// appendBody appends the request body. It only appends, so that with a used buffer it allocates nothing.
func appendBody(b []byte, k connector.Kind, batch []connector.Effect) []byte {
	switch k {
	case connector.Track:
		return appendTrack(b, batch)
	case connector.Subscribe:
		return appendSubscribe(b, batch)
	case connector.PutItem, connector.DeleteItem:
		return appendItems(b, k, batch)
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

// apart tells why the effects of a kind for two users cannot share a call, "" where they can. Who can share one with one user of a batch can with all.
func apart(k connector.Kind, a, b *connector.User) string {
	switch {
	case k == connector.DeleteUser && a.Kind != b.Kind:
		return "a delete call takes one kind of identifier only, and this batch has several"
	case k == connector.Subscribe && a.Kind != b.Kind:
		return "a subscription call is made with one kind of identifier only, and this batch has several"
	case (k == connector.PutItem || k == connector.DeleteItem) && a.Label != b.Label:
		return "a call is about the items of one catalog only, and this batch has several"
	}
	return ""
}

// unfit tells why a batch cannot be put into one valid request. It is found before anything is sent; splitting the batch singles out what is
// at fault, and separates what cannot share a call.
func unfit(k connector.Kind, batch []connector.Effect) error {
	for i := range batch {
		if err := unfitEffect(k, &batch[i]); err != nil {
			return err
		}
		if why := apart(k, &batch[0].User, &batch[i].User); why != "" {
			return errors.New(why)
		}
	}
	if k == connector.Subscribe && len(batch) > 1 && states(batch) > subscriptionUsers {
		return fmt.Errorf("a subscription call names at most %d users, and this batch would name %d", subscriptionUsers, states(batch))
	}
	return nil
}

// unfitEffect tells why an effect cannot be sent at all.
func unfitEffect(k connector.Kind, e *connector.Effect) error {
	if k == connector.PutItem || k == connector.DeleteItem {
		return unfitItem(&e.User)
	}
	if err := unfitUser(&e.User); err != nil {
		return err
	}
	switch k {
	case connector.Track:
		return unfitTrack(e)
	case connector.Subscribe:
		return unfitSubscribe(e)
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
