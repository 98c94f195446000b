package connector_test

import (
	"strings"
	"testing"
	"time"

	"brazecdc/connector"
)

// byEmail names its users by an external_id or, where a row has none, by an address.
func byEmail(m *connector.Model) {
	m.Identify.Email = "email"
	m.Fields, m.Custom = nil, []connector.FieldMap{*field(m, "plan")}
}

// TestIdentityByEmail: what happens to users whom their address names. Braze knows no way to change that name.
func TestIdentityByEmail(t *testing.T) {
	t.Run("case 55: an address that changes makes a new profile, with a note, and the old one stays", func(t *testing.T) {
		t.Parallel()
		c := newCase(t, rigConfig{models: []connector.Model{baseModel(byEmail)}}, baseFull)
		c.sql(`INSERT INTO users(id, email, plan) VALUES (1, 'Old@x.io', 'free')`)
		c.calls()
		c.update("email = 'new@x.io'")
		c.want("identity_email_changed")
		if !strings.Contains(c.notes.String(), "users.email: the identifier changed, and Braze renames only external_ids") {
			t.Errorf("no note: %s", c.notes.String())
		}
		c.update("external_id = 'u1'")
		c.want("identity_email_to_external_id")
		if n := strings.Count(c.notes.String(), "renames only external_ids"); n != 2 {
			t.Errorf("%d notes", n)
		}
	})
	t.Run("case 55: a delete by address picks a profile without external_id", func(t *testing.T) {
		t.Parallel()
		c := newCase(t, rigConfig{models: []connector.Model{baseModel(byEmail)}}, baseFull)
		c.sql(`INSERT INTO users(id, email, plan) VALUES (1, 'a@x.io', 'free')`)
		c.calls()
		c.exec(`DELETE FROM users`)
		c.want("identity_email_deleted")
		if got := c.sim.Profiles(); len(got) != 0 {
			t.Errorf("left: %+v", got)
		}
	})
	t.Run("case 55: a row that lives under the same address keeps the profile", func(t *testing.T) {
		t.Parallel()
		c := newCase(t, rigConfig{models: []connector.Model{baseModel(byEmail)}}, baseFull)
		c.sql(`INSERT INTO users(id, email, plan) VALUES (1, 'a@x.io', 'free'), (2, ' A@X.io', 'pro')`)
		c.calls()
		c.exec(`DELETE FROM users WHERE id = 1`)
		c.quiet()
		if got := c.sim.Profiles(); len(got) != 1 || string(got[0].Custom["plan"]) != `"pro"` {
			t.Errorf("profiles %+v", got)
		}
		for _, r := range c.requests() {
			if r.Path == "/users/delete" {
				t.Errorf("deleted: %s", r.Body)
			}
		}
	})
	t.Run("case 55: the settling of a deleted address ends when Braze has no profile of it", func(t *testing.T) {
		t.Parallel()
		c := newCase(t, rigConfig{models: []connector.Model{baseModel(byEmail, loadAll)}, settle: time.Hour}, baseFull, `INSERT INTO users(id, email, plan) VALUES (1, 'a@x.io', 'free')`)
		c.loaded()
		c.calls()
		c.exec(`DELETE FROM users`)
		c.wait("the profile is gone", func() bool { return len(c.sim.Profiles()) == 0 })
		c.exec(`INSERT INTO users(id, email, plan) VALUES (2, 'a@x.io', 'again')`)
		c.wait("it comes again long before settle is over", func() bool {
			got := c.sim.Profiles()
			return len(got) == 1 && string(got[0].Custom["plan"]) == `"again"`
		})
	})
}
