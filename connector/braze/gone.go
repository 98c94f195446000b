package braze

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"brazecdc/connector"
)

// Gone tells which of the users Braze does not know (Braze docs, "Export user profile by identifier"): those it lists in invalid_user_ids; for an email
// or phone, where the answer has no profile. It waits for the rate budget of exports itself. An email or phone costs a request each. Errors are those
// of Send; there is none for single users.
func (c *Client) Gone(ctx context.Context, users []connector.User) ([]connector.User, error) {
	var byKind [connector.Phone + 1][]connector.User
	for _, u := range users {
		if err := unfitUser(&u); err != nil {
			return nil, fmt.Errorf("ask for a user: %w", err)
		}
		byKind[u.Kind] = append(byKind[u.Kind], u)
	}
	var gone []connector.User
	for kind, list := range byKind {
		step := otherObjects
		if connector.IDKind(kind) >= connector.Email {
			step = 1
		}
		for len(list) > 0 {
			n := min(step, len(list))
			found, err := c.ask(ctx, connector.IDKind(kind), list[:n])
			if err != nil {
				return nil, err
			}
			gone = append(gone, found...)
			list = list[n:]
		}
	}
	return gone, nil
}

// ask makes one export of users of one kind and gives those that are gone.
func (c *Client) ask(ctx context.Context, kind connector.IDKind, users []connector.User) ([]connector.User, error) {
	buf := newBuffer()
	buf.b = appendExport(buf.b, kind, users)
	r, err := c.export(ctx, buf, len(users))
	if err != nil {
		return nil, err
	}
	a, err := parseAnswer(r.body)
	if err != nil {
		return nil, &connector.RetryableError{Err: &Error{Endpoint: exportUsers.String(), Status: r.status, RequestID: r.requestID,
			Text: "the answer is not Braze's: " + c.text(r.body)}}
	}
	if kind >= connector.Email {
		if a.users == 0 {
			return users, nil
		}
		return nil, nil
	}
	var gone []connector.User
	for _, u := range users {
		for _, raw := range a.gone {
			if names(raw, u) {
				gone = append(gone, u)
				break
			}
		}
	}
	return gone, nil
}

func (c *Client) export(ctx context.Context, buf *buffer, objects int) (reply, error) {
	if err := c.pools[exportUsers].wait(ctx); err != nil {
		buf.release()
		return reply{}, err
	}
	size := len(buf.b)
	r := c.exchange(ctx, exportUsers, buf)
	err := c.judge(exportUsers, nil, &r)
	var whole *connector.RejectedError
	if errors.As(err, &whole) {
		// Nothing of a batch is at fault here, the question is.
		err = fmt.Errorf("ask which users exist: %w", whole.Err)
	}
	c.finish(exportUsers, &r, objects, size, err)
	return r, err
}

func appendExport(b []byte, kind connector.IDKind, users []connector.User) []byte {
	switch kind {
	case connector.Email:
		b = append(b, `{"email_address":`...)
		b = appendString(b, users[0].ID)
	case connector.Phone:
		b = append(b, `{"phone":`...)
		b = appendString(b, users[0].ID)
	default:
		b = append(b, `{"`...)
		b = append(b, identifierLists[kind]...)
		b = append(b, `":[`...)
		for i := range users {
			if i > 0 {
				b = append(b, ',')
			}
			if kind == connector.Alias {
				b = appendAlias(b, &users[i])
			} else {
				b = appendString(b, users[i].ID)
			}
		}
		b = append(b, ']')
	}
	return append(b, `,"fields_to_export":["external_id"]}`...)
}

// names tells whether an entry of invalid_user_ids is the user. How an alias is written there is not documented: only one that names both of its parts
// is believed.
func names(raw json.RawMessage, u connector.User) bool {
	if u.Kind == connector.ExternalID {
		return plain(raw) == u.ID
	}
	var alias struct {
		Name  string `json:"alias_name"`
		Label string `json:"alias_label"`
	}
	return json.Unmarshal(raw, &alias) == nil && alias.Name == u.ID && alias.Label == u.Label
}
