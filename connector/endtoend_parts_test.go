package connector_test

import (
	"fmt"
	"strings"
	"testing"

	"brazecdc/connector"
)

// grouped adds a subscription group out of a boolean column.
func grouped(column, id string) func(*connector.Model) {
	return func(m *connector.Model) {
		m.Groups = append(m.Groups, connector.GroupMap{Group: column, ID: id, Subscribed: column, OnLeave: "keep", Resubscribe: "on_change", Path: "models[0].groups." + column})
	}
}

// TestCasesOfParts goes from real rows to request bodies that hold less than a whole value.
func TestCasesOfParts(t *testing.T) {
	t.Run("case 17: only a free field changed", func(t *testing.T) {
		t.Parallel()
		c := newCase(t, rigConfig{models: []connector.Model{fieldModel(loadAll)}}, fieldColumns, baseFull, row(1))
		c.update("opt = 'subscribed'")
		c.calls()
		before := fmt.Sprintf("%+v", c.run.p.Status().Models[0].Points.Start.Spent)
		c.update("opt = 'unsubscribed'")
		c.want("case_17")
		if after := fmt.Sprintf("%+v", c.run.p.Status().Models[0].Points.Start.Spent); before != after {
			t.Errorf("%s points before it, %s after", before, after)
		}
	})
	t.Run("case 18: an array of objects by its key, and a leaf of an object", func(t *testing.T) {
		t.Parallel()
		m := baseModel(func(m *connector.Model) {
			field(m, "prefs").Nested = "merge"
			m.Custom = append(m.Custom, connector.FieldMap{Name: "pets", ValueFrom: connector.ValueFrom{Column: "pets"}, OnNull: "clear", Blank: "keep", Array: "by", ArrayBy: "id"})
		}, loadAll)
		c := newCase(t, rigConfig{models: []connector.Model{m}}, `ALTER TABLE users ADD pets jsonb`, baseFull, row(1), `UPDATE users SET pets = '[{"id":1,"n":"a"},{"id":2,"n":"b"}]'`)
		c.calls()
		c.update(`pets = '[{"id":1,"n":"a"},{"id":2,"n":"c"}]'`)
		c.want("case_18_update")
		c.update(`pets = '[{"id":2,"n":"c"},{"id":3,"n":"d"}]'`)
		c.want("case_18_add_remove")
		c.update(`pets = '[{"id":3,"n":"d"},{"id":2,"n":"c"}]'`)
		c.want("case_18_order")
		c.update(`prefs = '{"lang":"ja","mail":{"freq":3}}'`)
		c.want("case_18_leaf")
		c.update(`prefs = '{"lang":"ja","mail":{"freq":3,"day":1}}'`)
		c.calls()
		c.update(`prefs = '{"lang":"ja","mail":{"freq":3}}'`)
		c.want("case_18_key_removed") // the object whole: what is gone needs no word of its own then
		p, _ := c.sim.Profile("u1")
		if pets, prefs := canonical(p.Custom["pets"]), canonical(p.Custom["prefs"]); pets != `[{"id":3,"n":"d"},{"id":2,"n":"c"}]` || prefs != `{"lang":"ja","mail":{"freq":3}}` {
			t.Errorf("the profile holds %s and %s", pets, prefs)
		}
	})
	t.Run("case 23 27: removed, then added again, and no other group with it", func(t *testing.T) {
		t.Parallel()
		c := full(t, baseModel(grouped("newsletter", sideGroup), grouped("is_vip", ruleGroup)), 1)
		c.update("newsletter = false")
		c.want("case_27")
		c.update("newsletter = true")
		c.want("case_23")
	})
	t.Run("case 27: an update wipes no other newsletter, and two dropped together are one object without a profile update", func(t *testing.T) {
		t.Parallel()
		c := newCase(t, rigConfig{models: []connector.Model{baseModel(loadAll, grouped("newsletter", sideGroup), grouped("offers", ruleGroup))}},
			`ALTER TABLE users ADD offers bool`, baseFull, row(1), `UPDATE users SET offers = true`)
		c.seed(map[string]any{"external_id": "u1", "subscription_groups": []map[string]string{{"subscription_group_id": optGroup, "subscription_state": "subscribed"}}})
		c.calls()
		c.update("newsletter = false, offers = false")
		c.want("case_27_both")
		if p, _ := c.sim.Profile("u1"); p.Groups[optGroup] != "subscribed" {
			t.Errorf("the group that no model has is %q", p.Groups[optGroup])
		}
	})
	t.Run("case 28: a service opt-out does not become global", func(t *testing.T) {
		t.Parallel()
		m := fieldModel(loadAll, grouped("newsletter", sideGroup), func(m *connector.Model) {
			field(m, "tags").Array = "add_remove"
			m.Custom = append(m.Custom, connector.FieldMap{Name: "services", ValueFrom: connector.ValueFrom{Column: "tags"}, OnNull: "clear", Array: "replace"})
		})
		c := newCase(t, rigConfig{models: []connector.Model{m}}, fieldColumns, baseFull, row(1), `UPDATE users SET opt = 'subscribed'`)
		c.calls()
		c.update("newsletter = false")
		c.want("case_27") // the group's state alone
		c.update(`tags = '{a,b,svc}'`)
		c.want("case_28_added")
		c.update(`tags = '{b,svc}'`)
		c.want("case_28_removed")
		if p, _ := c.sim.Profile("u1"); canonical(p.Custom["tags"]) != `["b","svc"]` || canonical(p.Custom["services"]) != `["b","svc"]` {
			t.Errorf("tags %s, services %s", p.Custom["tags"], p.Custom["services"])
		}
	})
	t.Run("case 28: with resubscribe never, no change subscribes again whom an earlier one unsubscribed", func(t *testing.T) {
		t.Parallel()
		c := full(t, baseModel(grouped("newsletter", sideGroup), func(m *connector.Model) { m.Groups[0].Resubscribe = "never" }), 1)
		c.update("newsletter = false")
		c.want("case_27")
		c.update("newsletter = true")
		c.none()
	})
	t.Run("case 25: e-mail addresses and phone numbers never stand in one entry", func(t *testing.T) {
		t.Parallel()
		m := baseModel(grouped("newsletter", sideGroup))
		m.Kind, m.Fields, m.Custom, m.OwnsUsers, m.OnIDChange, m.Identify = "subscriptions", nil, nil, false, "", connector.Identify{Email: "email", Phone: "phone", PhoneCountry: "JP"}
		c := newCase(t, rigConfig{models: []connector.Model{m}}, baseFull)
		c.sql(`INSERT INTO users(id, email, phone, newsletter) VALUES (1, 'A@x.io', NULL, true), (2, NULL, '090-1234-5678', true), (3, 'b@x.io', '+819012345679', true), (4, NULL, '+819012345670', true)`)
		c.want("case_25")
	})
	t.Run("case 24 25 26: states by group, fifty users a call, and no call without a user", func(t *testing.T) {
		t.Parallel()
		m := baseModel(grouped("newsletter", sideGroup))
		m.Kind, m.Fields, m.Custom, m.OwnsUsers, m.OnIDChange = "subscriptions", nil, nil, false, ""
		c := newCase(t, rigConfig{models: []connector.Model{m}}, baseFull)
		c.sql(`INSERT INTO users(id, external_id, newsletter) VALUES (1, 'u1', true), (2, 'u2', true), (3, 'u3', false), (4, NULL, true)`)
		c.want("case_24")
		if q := c.quarantined(); len(q) != 1 {
			t.Errorf("quarantine holds %q, want the row without a user", q)
		}
		c.exec(`INSERT INTO users(id, external_id, newsletter) SELECT i, 'x' || i, true FROM generate_series(101, 220) i`)
		c.quiet()
		users, most := 0, 0
		for _, r := range c.requests() {
			n := strings.Count(string(r.Body), `"x`)
			users, most = users+n, max(most, n)
		}
		if users != 120 || most != 50 {
			t.Errorf("%d users, at most %d a call; want 120 and 50", users, most)
		}
	})
}
