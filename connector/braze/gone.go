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
	var gone []connector.User
	err := c.inExports(users, func(kind connector.IDKind, part []connector.User) error {
		found, err := c.ask(ctx, kind, part)
		gone = append(gone, found...)
		return err
	})
	if err != nil {
		return nil, err
	}
	return gone, nil
}

// ask makes one export of users of one kind and gives those that are gone.
func (c *Client) ask(ctx context.Context, kind connector.IDKind, users []connector.User) ([]connector.User, error) {
	buf := newBuffer()
	buf.b = appendExport(buf.b, kind, users, []string{"external_id"})
	r, err := c.export(ctx, buf, len(users), "ask which users exist")
	if err != nil {
		return nil, err
	}
	a, err := parseAnswer(r.body)
	if err != nil {
		return nil, c.notBraze(exportUsers, &r)
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

// export makes one request; what says, for an error, what it was for.
func (c *Client) export(ctx context.Context, buf *buffer, objects int, what string) (reply, error) {
	if err := c.pools[exportUsers].wait(ctx); err != nil {
		buf.release()
		return reply{}, err
	}
	size := len(buf.b)
	r := c.exchange(ctx, exportUsers, c.urls[exportUsers], buf)
	err := c.judgeQuestion(exportUsers, &r, what)
	c.finish(exportUsers, &r, objects, size, err)
	return r, err
}

// judgeQuestion is judge for a request that asks and changes nothing: nothing of a batch is at fault there, the question is.
func (c *Client) judgeQuestion(ep endpoint, r *reply, what string) error {
	err := c.judge(ep, nil, r)
	var whole *connector.RejectedError
	if errors.As(err, &whole) {
		return fmt.Errorf("%s: %w", what, whole.Err)
	}
	return err
}

// notBraze is the end of a question whose answer is none.
func (c *Client) notBraze(ep endpoint, r *reply) error {
	e := errorOf(ep, r)
	e.Text = "the answer is not Braze's: " + c.text(r.body)
	return &connector.RetryableError{Err: e}
}

func appendExport(b []byte, kind connector.IDKind, users []connector.User, fields []string) []byte {
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
	b = append(b, `,"fields_to_export":[`...)
	for i, f := range fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, f)
	}
	return append(b, `]}`...)
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
