package braze

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"brazecdc/connector"
)

// Profile is what Braze holds of one user, as far as it was asked for.
type Profile struct {
	// User is the user as it was asked for; where several of a call cannot be told apart (ids that were renamed), by its present external_id.
	User connector.User
	// ExternalID is its present one, "" for a profile without.
	ExternalID string
	// Fields are Braze's own fields by the names that /users/track has for them, Custom the custom attributes. Values are JSON as it came. What Braze has no
	// value of is absent, which also stands for null, false and empty (Braze docs, "Export user profile by identifier").
	Fields map[string]json.RawMessage
	Custom map[string]json.RawMessage
}

const exportedCustom = "custom_attributes"

// exported maps Braze's own fields to the names they have in an export. Others are not exported at all, or not as they were sent (push_tokens).
var exported = map[string]string{
	"email": "email", "phone": "phone", "first_name": "first_name", "last_name": "last_name", "dob": "dob", "gender": "gender", "country": "country",
	"language": "language", "home_city": "home_city", "time_zone": "time_zone", "email_subscribe": "email_subscribe", "push_subscribe": "push_subscribe",
	"current_location": "last_coordinates",
}

// Exported tells whether Export can give one of Braze's own fields.
func Exported(field string) bool { return exported[field] != "" }

// Export fetches profiles (Braze docs, "Export user profile by identifier"), and tells which of the users Braze does not know. fields are names as
// /users/track has them; for each that Exported does not know, and for "custom_attributes", all custom attributes come, since single ones cannot be asked
// for. External_ids and aliases go by 50 a request; an email or phone costs a request each, and gives every profile that has it.
//
// It waits for the rate budget of exports itself, which it shares with Gone. Errors are those of Send; there is none for single users.
func (c *Client) Export(ctx context.Context, users []connector.User, fields []string) (profiles []Profile, unknown []connector.User, err error) {
	names := exportNames(fields)
	err = c.inExports(users, func(kind connector.IDKind, part []connector.User) error {
		buf := newBuffer()
		buf.b = appendExport(buf.b, kind, part, names)
		r, err := c.export(ctx, buf, len(part), "export users")
		if err != nil {
			return err
		}
		found, gone, err := parseExport(r.body, kind, part)
		if err != nil {
			return c.notBraze(exportUsers, &r)
		}
		profiles, unknown = append(profiles, found...), append(unknown, gone...)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return profiles, unknown, nil
}

func exportNames(fields []string) []string {
	names := []string{"external_id", "user_aliases"}
	for _, f := range fields {
		n, ok := exported[f]
		if !ok {
			n = exportedCustom
		}
		if !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names
}

// inExports calls ask for as many users of a kind as one request takes, until all were asked for.
func (c *Client) inExports(users []connector.User, ask func(connector.IDKind, []connector.User) error) error {
	var byKind [connector.Phone + 1][]connector.User
	for i := range users {
		if err := unfitUser(&users[i]); err != nil {
			return fmt.Errorf("ask for a user: %w", err)
		}
		byKind[users[i].Kind] = append(byKind[users[i].Kind], users[i])
	}
	for kind, list := range byKind {
		step := otherObjects
		if connector.IDKind(kind) >= connector.Email {
			step = 1
		}
		for part := range slices.Chunk(list, step) {
			if err := ask(connector.IDKind(kind), part); err != nil {
				return err
			}
		}
	}
	return nil
}

type exportedUser map[string]json.RawMessage

// parseExport reads the profiles of an answer and finds whom each belongs to.
func parseExport(body []byte, kind connector.IDKind, asked []connector.User) (found []Profile, gone []connector.User, err error) {
	var raw struct {
		Users   *[]exportedUser   `json:"users"`
		Invalid []json.RawMessage `json:"invalid_user_ids"`
	}
	if err := json.Unmarshal(body, &raw); err != nil {
		return nil, nil, err
	}
	if raw.Users == nil {
		return nil, nil, errNoObject
	}
	answered := make([]bool, len(asked))
	for i, u := range asked {
		if slices.ContainsFunc(raw.Invalid, func(id json.RawMessage) bool { return names(id, u) }) {
			answered[i], gone = true, append(gone, u)
		}
	}
	var strangers []int
	for _, o := range *raw.Users {
		p := o.profile()
		i := slices.IndexFunc(asked, func(u connector.User) bool { return kind >= connector.Email || o.is(u) })
		if i < 0 {
			strangers = append(strangers, len(found))
			p.User = connector.User{ID: p.ExternalID}
		} else {
			answered[i], p.User = true, asked[i]
		}
		found = append(found, p)
	}
	var silent []connector.User
	for i, u := range asked {
		if !answered[i] {
			silent = append(silent, u)
		}
	}
	switch {
	case len(strangers) == 0: // nobody else can be meant: a user without a profile is unknown
		gone = append(gone, silent...)
	case len(strangers) == 1 && len(silent) == 1: // by an id that was renamed
		found[strangers[0]].User = silent[0]
	}
	return found, gone, nil
}

// is tells whether a profile is the user's, named by external_id or alias.
func (o exportedUser) is(u connector.User) bool {
	if u.Kind == connector.ExternalID {
		return plain(o["external_id"]) == u.ID
	}
	return slices.ContainsFunc(elements(o["user_aliases"]), func(a json.RawMessage) bool { return names(a, u) })
}

func (o exportedUser) profile() Profile {
	p := Profile{ExternalID: plain(o["external_id"]), Fields: map[string]json.RawMessage{}, Custom: map[string]json.RawMessage{}}
	for field, name := range exported {
		if v := o[name]; len(v) > 0 && string(v) != "null" {
			if field == "current_location" {
				v = location(v)
			}
			p.Fields[field] = v
		}
	}
	var custom map[string]json.RawMessage
	if json.Unmarshal(o[exportedCustom], &custom) == nil && custom != nil { // what is no object says nothing of any attribute
		p.Custom = custom
	}
	return p
}

// location makes of the pair [longitude, latitude] of an export the object that current_location was set to; what is no pair stays what it is.
func location(v json.RawMessage) json.RawMessage {
	pair := elements(v)
	if len(pair) != 2 {
		return v
	}
	var b strings.Builder
	fmt.Fprintf(&b, `{"longitude":%s,"latitude":%s}`, pair[0], pair[1])
	return json.RawMessage(b.String())
}
