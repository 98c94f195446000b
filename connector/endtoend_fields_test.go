package connector_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"brazecdc/connector"
)

// fieldColumns are what the cases of fields have beside the base table's columns.
const fieldColumns = `CREATE TYPE mood AS ENUM ('glad', 'sad'); CREATE DOMAIN short AS varchar(10) CHECK (VALUE <> 'x'); ALTER TABLE users
	ADD zip text, ADD opt text, ADD flag text, ADD f float8, ADD at timestamp, ADD country text, ADD lang text, ADD tz text, ADD sex text,
	ADD lat numeric(9,6), ADD lon float8, ADD spot point, ADD fb jsonb, ADD big bigint, ADD many numeric, ADD photo bytea, ADD ip inet, ADD span interval, ADD nums int[], ADD grid int[][],
	ADD mood mood, ADD short short, ADD ids uuid[], ADD born_at timestamp`

// fieldModel maps them.
func fieldModel(change ...func(*connector.Model)) connector.Model {
	column := func(name, column string) connector.FieldMap {
		return connector.FieldMap{Name: name, ValueFrom: connector.ValueFrom{Column: column}, OnNull: "clear", Blank: "keep"}
	}
	return baseModel(append([]func(*connector.Model){func(m *connector.Model) {
		m.Fields = append(m.Fields, column("email_subscribe", "opt"), column("country", "country"), column("language", "lang"), column("time_zone", "tz"), column("gender", "sex"),
			connector.FieldMap{Name: "current_location", Latitude: "lat", Longitude: "lon", OnNull: "clear", Blank: "keep"}, column("facebook", "fb"))
		field(m, "phone").Country = "JP"
		flag := column("flag", "flag")
		flag.Type = "bool"
		m.Custom = append(m.Custom, column("zip", "zip"), flag, column("f", "f"), column("at", "at"), column("big", "big"), column("many", "many"), column("photo", "photo"),
			column("ip", "ip"), column("span", "span"), column("nums", "nums"), column("grid", "grid"),
			column("mood", "mood"), column("short", "short"), column("ids", "ids"), column("born_at", "born_at"))
	}}, change...)...)
}

// TestCasesOfFields goes from real rows to request bodies.
func TestCasesOfFields(t *testing.T) {
	t.Parallel()
	c := newCase(t, rigConfig{models: []connector.Model{fieldModel()}}, fieldColumns, baseFull)
	n := 0
	insert := func(columns, values string) {
		t.Helper()
		n++
		c.exec(fmt.Sprintf(`INSERT INTO users(id, external_id, %s) VALUES (%d, 'u%[2]d', %[3]s)`, columns, n, values))
	}
	for _, one := range []struct{ name, golden, columns, values string }{
		{"case 29: numerics keep their digits", "case_29", "credits, many, big", "12.50, 12345678901234567890.12, 9007199254740993"},
		{"case 33: columns of odd types", "case_33", "photo, ip, span, nums, grid", `'\x00ff', '10.0.0.1', '1 day 2 hours', '{1,NULL,2}', '{{1,2},{3,4}}'`},
		{"case 35: what JSON has no word for is left out", "case_35", "credits, f, born, seen_at, plan", "'NaN', 'Infinity', 'infinity', '-infinity', 'free'"},
		{"case 36: leading zeros, case and blanks", "case_36", "zip, opt", "'0130', ' Opted_In '"},
		{"case 36: a state that is none", "case_36_none", "zip, opt", "'0130', 'maybe'"},
		{"case 37: booleans as text", "case_37", "flag, plan", "'TRUE', 't'"},
		{"case 37: an impossible cast", "case_37_none", "flag, plan", "'maybe', 't'"},
		{"case 38: dates and zones", "case_38", "born, seen_at, at", "'1990-05-04', '2026-11-01 09:00:00.123456+09', '2026-03-29 02:30'"},
		{"case 53: an address in lower case without blanks", "case_53", "email", "'A@X.io '"},
		{"case 56: an e-mail address that is none", "case_56_email", "email, plan", "'foo@', 'free'"},
		{"case 56: a national phone number", "case_56_phone", "phone, plan", "'090-1234-5678', 'free'"},
		{"case 56: a phone number that is none", "case_56_none", "phone, plan", "'12', 'free'"},
		{"case 71: an object beyond 100 KB", "case_71", "prefs, plan", `jsonb_build_object('a', (SELECT jsonb_agg(repeat('x', 200)) FROM generate_series(1, 510))), 'free'`},
		{"case 83: countries and languages", "case_83", "country, lang, tz, sex", "'Japan', 'Deutsch', 'europe/berlin', 'female'"},
		{"case 83: a country that is none", "case_83_none", "country, plan", "'Narnia', 'free'"},
		{"a location and an object of Braze's own", "fields_objects", "lat, lon, fb", `40.753824, -73.991443, '{"id": 7, "other": 1}'`},
		{"case 29: trailing zeros", "case_29_short", "credits, f", "0.10, 0.1"},
		{"case 33: a second row with the same odd types", "case_33_more", "photo, grid, mood, short, ids", `'\x00ff', '{{1,2},{3,4}}', 'glad', 'ab', '{0b7c6a0e-6f2a-4c3f-9d0a-0a5f8d2f1c11,NULL}'`},
		{"case 35: years that no calendar of Braze has", "case_35_years", "born, seen_at, born_at, plan", "'4000-01-01 BC', '0044-03-15 12:00+00 BC', '20000-01-01', 'free'"},
		{"case 83: a country by two letters", "case_83_two", "country", "'jp'"},
		{"case 83: a country by three letters", "case_83_three", "country", "'JPN'"},
	} {
		t.Run(one.name, func(t *testing.T) {
			insert(one.columns, one.values)
			c.want(one.golden)
		})
	}
	for _, note := range []string{"users.many: a number with more digits", "users.photo: bytes have no JSON form", "users.credits: NaN", "users.email_subscribe: not one of", "users.flag: not a boolean",
		"users.email: not an e-mail", "users.phone: not a", "users.prefs: larger than 100 KB", "users.country: not a country", "users.facebook: members", "users.dob: ", "users.born_at: "} {
		if !strings.Contains(c.notes.String(), note) {
			t.Errorf("no note %q", note)
		}
	}
	if q := c.quarantined(); len(q) > 0 {
		t.Errorf("quarantine holds %q", q)
	}
}

func TestCasesOfBooleans(t *testing.T) {
	t.Parallel()
	c := newCase(t, rigConfig{models: []connector.Model{baseModel(func(m *connector.Model) {
		m.Fields, m.Custom = nil, []connector.FieldMap{{Name: "flag", ValueFrom: connector.ValueFrom{Column: "plan"}, Type: "bool"}, {Name: "text", ValueFrom: connector.ValueFrom{Column: "plan"}},
			{Name: "number", ValueFrom: connector.ValueFrom{Column: "credits"}, Type: "bool"}}
	})}}, baseFull)
	t.Run("case 37: booleans as text and as numbers, and an impossible cast; without a declared type text stays text", func(t *testing.T) {
		c.exec(`INSERT INTO users(id, external_id, plan, credits) VALUES (1, 'u1', 't', 1), (2, 'u2', 'TRUE', 0), (3, 'u3', 'yes', NULL), (4, 'u4', '1', NULL), (5, 'u5', '0', NULL), (6, 'u6', 'maybe', 2)`)
		c.want("case_37_words")
		for field, word := range map[string]string{"flag": "maybe", "number": "2"} {
			if n := strings.Count(c.notes.String(), "users."+field+": not a boolean"); n != 1 {
				t.Errorf("%d notes of %s, want one of %s", n, field, word)
			}
		}
	})
}

func TestCasesOfNames(t *testing.T) {
	t.Run("case 65 67: the longest names that Braze takes arrive whole, and time and products may be attributes", func(t *testing.T) {
		t.Parallel()
		c := newCase(t, rigConfig{models: []connector.Model{baseModel(func(m *connector.Model) {
			m.Fields, m.Custom = nil, nil
			for _, name := range []string{strings.Repeat("a", 255), strings.Repeat("名", 159), "time", "products"} {
				m.Custom = append(m.Custom, connector.FieldMap{Name: name, ValueFrom: connector.ValueFrom{Column: "plan"}})
			}
		})}}, baseFull)
		c.exec(`INSERT INTO users(id, external_id, plan) VALUES (1, 'u1', 'free')`)
		c.want("case_65_67")
		if p, _ := c.sim.Profile("u1"); len(p.Custom) != 4 {
			t.Errorf("Braze keeps %v", p.Custom)
		}
	})
	t.Run("case 56: an e-mail address out of a column of numbers is left out, and the rest of the row is sent", func(t *testing.T) {
		t.Parallel()
		c := newCase(t, rigConfig{models: []connector.Model{baseModel(func(m *connector.Model) { field(m, "email").Column = "mail_no" })}}, `ALTER TABLE users ADD mail_no int`, baseFull)
		c.exec(`INSERT INTO users(id, external_id, mail_no, plan) VALUES (1, 'u1', 42, 'free')`)
		c.want("case_56_number")
		if !strings.Contains(c.notes.String(), "users.email: not") {
			t.Errorf("no note of it: %s", c.notes.String())
		}
	})
}

func TestCasesOfConsent(t *testing.T) {
	t.Run("case 56: a new address takes the unsubscribe along", func(t *testing.T) {
		t.Parallel()
		c := newCase(t, rigConfig{models: []connector.Model{fieldModel(loadAll)}}, fieldColumns, baseFull, row(1), row(2), `UPDATE users SET opt = 'unsubscribed'`)
		c.calls()
		c.update("email = 'b@x.io'")
		c.want("case_56_reset")
		if p, _ := c.sim.Profile("u1"); string(p.Attributes["email_subscribe"]) != `"unsubscribed"` {
			t.Errorf("the profile says %s", p.Attributes["email_subscribe"])
		}
		c.update("plan = 'pro'")
		c.want("case_56_no_reset")
	})
	t.Run("case 56: a new address takes the unsubscribe along where no old row shows that it is new", func(t *testing.T) {
		t.Parallel()
		c := newCase(t, rigConfig{models: []connector.Model{fieldModel(loadAll)}}, fieldColumns, row(1), `UPDATE users SET opt = 'unsubscribed'`)
		c.update("first_name = 'Bo'") // takes the NULLs along that the load left out
		c.calls()
		c.update("email = 'b@x.io'")
		c.want("case_56_reset")
		c.update("plan = 'pro'")
		c.want("case_56_no_reset")
	})
	t.Run("case 56: a new address takes along the unsubscribe of a table of its own", func(t *testing.T) {
		t.Parallel()
		consent := connector.Model{Name: "consent", Kind: "users", Table: "public.consent", Mode: "sync", Load: "all", OnIDChange: "rename", ReplicaIdentity: "auto", Path: "models[1]",
			Identify: connector.Identify{ExternalID: connector.ValueFrom{Column: "user_id"}},
			Fields:   []connector.FieldMap{{Name: "email_subscribe", ValueFrom: connector.ValueFrom{Column: "opt"}, OnNull: "clear", Blank: "keep", Path: "models[1].fields.email_subscribe"}}}
		c := newCase(t, rigConfig{models: []connector.Model{baseModel(loadAll), consent}}, baseFull, row(1), row(2),
			`CREATE TABLE consent(user_id text PRIMARY KEY, opt text)`, `INSERT INTO consent VALUES ('u1', 'unsubscribed'), ('u2', NULL)`)
		c.calls()
		c.sql(`UPDATE users SET email = 'b@x.io' WHERE id = 1`)
		c.want("case_56_reset")
		c.update("plan = 'pro'")
		c.want("case_56_no_reset")
		c.sql(`UPDATE users SET email = 'c@x.io' WHERE id = 2`)
		if got := c.calls(); len(got) != 1 || string(got[0].Body) != `{"email":"c@x.io","external_id":"u2"}` {
			t.Errorf("calls %s", got)
		}
	})
	t.Run("case 56: the unsubscribe of a table of its own is read where nobody knows what was sent of it", func(t *testing.T) {
		t.Parallel()
		consent := connector.Model{Name: "consent", Kind: "users", Table: "public.consent", Mode: "sync", Load: "none", OnIDChange: "rename", ReplicaIdentity: "auto", Path: "models[1]",
			Identify: connector.Identify{ExternalID: connector.ValueFrom{Column: "user_id"}},
			Fields:   []connector.FieldMap{{Name: "email_subscribe", ValueFrom: connector.ValueFrom{Column: "opt"}, OnNull: "clear", Blank: "keep", Path: "models[1].fields.email_subscribe"}},
			Custom:   []connector.FieldMap{{Name: "since", ValueFrom: connector.ValueFrom{Column: "since"}, OnNull: "clear", Blank: "keep", Path: "models[1].custom.since"}}}
		c := newCase(t, rigConfig{models: []connector.Model{baseModel(loadAll), consent}}, baseFull, row(1), row(2), row(3),
			`CREATE TABLE consent(user_id text PRIMARY KEY, opt text, since text)`, `INSERT INTO consent VALUES ('u1', 'unsubscribed', 'May'), ('u2', 'subscribed', 'May')`)
		c.calls()
		for _, want := range []string{`{"email":"new1@x.io","email_subscribe":"unsubscribed","external_id":"u1"}`, `{"email":"new2@x.io","external_id":"u2"}`, `{"email":"new3@x.io","external_id":"u3"}`} {
			id := want[len(want)-3 : len(want)-2]
			c.sql(`UPDATE users SET email = 'new` + id + `@x.io' WHERE id = ` + id)
			if got := c.calls(); len(got) != 1 || string(got[0].Body) != want {
				t.Errorf("calls %s, want %s", got, want)
			}
		}
		c.sql(`UPDATE users SET email = 'again@x.io' WHERE id = 1`)
		if got := c.calls(); len(got) != 1 || string(got[0].Body) != `{"email":"again@x.io","email_subscribe":"unsubscribed","external_id":"u1"}` {
			t.Errorf("calls %s", got)
		}
	})
	t.Run("case 28: a load does not subscribe, a live change does, and the same state again does not", func(t *testing.T) {
		t.Parallel()
		c := newCase(t, rigConfig{models: []connector.Model{fieldModel(loadAll)}}, fieldColumns, baseFull, row(1), `UPDATE users SET opt = 'subscribed'`)
		for _, r := range c.calls() {
			if strings.Contains(string(r.Body), "email_subscribe") {
				t.Errorf("the load sent %s", r.Body)
			}
		}
		c.update("opt = 'unsubscribed'")
		c.quiet()
		c.update("opt = 'subscribed'")
		c.quiet()
		c.update("opt = 'Subscribed', credits = 1")
		c.want("case_28_states")
	})
}

func TestConsentOfAUserThatComesAgain(t *testing.T) {
	t.Parallel()
	c := newCase(t, rigConfig{models: []connector.Model{fieldModel(loadAll)}}, fieldColumns, baseFull, row(1), `UPDATE users SET opt = 'unsubscribed'`)
	c.calls()
	c.sql(`DELETE FROM users`, `INSERT INTO users(id, external_id, plan) VALUES (1, 'u1', 'pro')`)
	for _, r := range c.calls() {
		if strings.Contains(string(r.Body), "email_subscribe") {
			t.Errorf("a state that nobody gave is sent: %s", r.Body)
		}
	}
	for _, r := range c.sim.Requests(0) {
		if strings.Contains(string(r.Answer), `"errors"`) {
			t.Errorf("Braze refused %s: %s", r.Body, r.Answer)
		}
	}
}

func TestCasesOfIdentifiers(t *testing.T) {
	t.Run("case 55: external_id, else alias, e-mail, phone", func(t *testing.T) {
		t.Parallel()
		c := newCase(t, rigConfig{models: []connector.Model{baseModel(func(m *connector.Model) {
			m.Identify.AliasLabel, m.Identify.AliasName, m.Identify.Email, m.Identify.Phone, m.Identify.PhoneCountry = "crm", "first_name", "email", "phone", "JP"
			m.Fields = []connector.FieldMap{*field(m, "email"), *field(m, "phone")}
			m.Custom = []connector.FieldMap{*field(m, "plan")}
		})}}, baseFull)
		for _, one := range []struct{ golden, values string }{
			{"external_id", "'u1', 'crm-1', 'A@x.io', '+819012345678', 'free'"},
			{"alias", "'', 'crm-1', 'a2@x.io', NULL, 'free'"},
			{"email", "' ', NULL, 'A3@x.io', '+819012345679', 'free'"},
			{"phone", "NULL, NULL, '', '090-1234-5670', 'free'"},
		} {
			c.exec(`INSERT INTO users(id, external_id, first_name, email, phone, plan) VALUES (1, ` + one.values + `)`)
			c.want("case_55_" + one.golden)
			c.update("plan = 'pro'")
			c.want("case_55_" + one.golden + "_update")
			c.exec(`DELETE FROM users`)
			c.want("case_55_" + one.golden + "_delete")
			if left := c.sim.Profiles(); len(left) > 0 {
				t.Errorf("by %s: left %+v", one.golden, left)
			}
		}
		c.exec(`INSERT INTO users(id, plan) VALUES (9, 'free')`)
		c.none()
		if q := c.quarantined(); len(q) != 1 || !strings.Contains(q[0], "no identifier") {
			t.Errorf("quarantine holds %q", q)
		}
	})
	t.Run("case 55: in enrich no profile is made under any name", func(t *testing.T) {
		t.Parallel()
		c := newCase(t, rigConfig{models: []connector.Model{baseModel(enrich, func(m *connector.Model) {
			m.Identify = connector.Identify{AliasLabel: "crm", AliasName: "external_id", Email: "email"}
			m.Custom, m.Fields = []connector.FieldMap{*field(m, "plan")}, nil
		})}}, baseFull)
		c.sql(`INSERT INTO users(id, external_id, plan) VALUES (1, 'crm-1', 'free')`, `INSERT INTO users(id, email, plan) VALUES (2, 'a@x.io', 'free')`)
		c.quiet()
		if got := c.sim.Profiles(); len(got) > 0 {
			t.Errorf("made %+v", got)
		}
	})
	t.Run("case 52: blanks that belong to an external_id", func(t *testing.T) {
		t.Parallel()
		c := newCase(t, rigConfig{models: []connector.Model{baseModel(func(m *connector.Model) { m.Identify.KeepBlanks = true })}}, baseFull)
		c.sql(`INSERT INTO users(id, external_id, plan) VALUES (1, ' u1 ', 'free'), (2, 'u1', 'free')`)
		c.quiet()
		var have []string
		for _, p := range c.sim.Profiles() {
			have = append(have, p.ExternalID)
		}
		slices.Sort(have)
		if !slices.Equal(have, []string{" u1 ", "u1"}) {
			t.Errorf("profiles %q", have)
		}
	})
}
