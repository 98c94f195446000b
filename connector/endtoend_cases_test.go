package connector_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/braze"
	"brazecdc/connector/braze/brazesim"
)

func TestCasesOfValues(t *testing.T) {
	t.Run("base check: a whole row", func(t *testing.T) {
		t.Parallel()
		c := newCase(t, rigConfig{models: []connector.Model{baseModel()}}, baseFull)
		c.exec(row(1))
		c.want("base")
	})
	t.Run("case 14: only the changed field, after a load with complete before-images", func(t *testing.T) {
		t.Parallel()
		c := full(t, baseModel(), 1)
		before := c.run.p.Status().Models[0].Points.Start
		c.update("plan = 'pro'")
		c.want("case_14_full")
		if p := c.run.p.Status().Models[0].Points.Start; p.Spent-before.Spent != 1 || p.Saved-before.Saved != 10 {
			t.Errorf("%d points spent, %d saved; want 1 and 10", p.Spent-before.Spent, p.Saved-before.Saved)
		}
	})
	t.Run("case 14: the whole row where nothing proves the rest", func(t *testing.T) {
		t.Parallel()
		c := newCase(t, rigConfig{models: []connector.Model{baseModel()}, noCache: true}, row(1))
		c.update("plan = 'pro'")
		c.want("case_14_default")
	})
	t.Run("case 15: nothing changed, nothing sent", func(t *testing.T) {
		t.Parallel()
		c := full(t, baseModel(), 1)
		c.update("id = 1")
		c.update("newsletter = false")
		c.none()
		if m := c.run.p.Status().Models[0]; m.Suppressed+m.Coalesced != 2 {
			t.Errorf("%d counted as unchanged, %d folded; want 2 in all", m.Suppressed, m.Coalesced)
		}
	})
	t.Run("case 16: null only where it is new", func(t *testing.T) {
		t.Parallel()
		c := full(t, baseModel(), 1, 2)
		c.update("first_name = NULL")
		c.want("case_16_cleared")
		c.update("plan = 'pro'")
		c.want("case_16_stays")
	})
	t.Run("case 19: what becomes of NULL", func(t *testing.T) {
		t.Parallel()
		for policy, def := range map[string]string{"clear": "", "keep": "", "value": `"friend"`} {
			c := full(t, baseModel(func(m *connector.Model) { field(m, "first_name").OnNull, field(m, "first_name").Default = policy, def }), 1)
			c.update("first_name = NULL")
			if policy == "keep" {
				c.none()
			} else {
				c.want("case_19_" + policy)
			}
		}
	})
	t.Run("case 20: null clears a preset field", func(t *testing.T) {
		t.Parallel()
		c := full(t, baseModel(), 1)
		c.update("phone = NULL")
		c.want("case_20")
		if strings.Contains(c.notes.String(), "phone") {
			t.Errorf("null is noted as a number that is none: %s", c.notes.String())
		}
	})
	t.Run("case 22: blank text", func(t *testing.T) {
		t.Parallel()
		for _, blank := range []string{"keep", "null_like"} {
			c := full(t, baseModel(func(m *connector.Model) { field(m, "first_name").Blank = blank }), 1)
			c.update("first_name = ''")
			c.quiet()
			c.update("first_name = '  '")
			c.quiet()
			c.update("first_name = NULL")
			c.want("case_22_" + blank)
		}
	})
	t.Run("case 34: a row of the load and one of the stream give the same bytes", func(t *testing.T) {
		t.Parallel()
		loaded := newCase(t, rigConfig{models: []connector.Model{baseModel(loadAll)}}, row(1), row(2), `UPDATE users SET prefs = NULL, tags = '{}', first_name = '' WHERE id = 2`)
		streamed := newCase(t, rigConfig{models: []connector.Model{baseModel()}})
		streamed.sql(row(1), `INSERT INTO users SELECT 2, 'u2', 'a2@x.io', phone, '', plan, credits, is_vip, '{}', NULL, born, seen_at, newsletter FROM users WHERE id = 1`)
		streamed.quiet()
		a, b := loaded.requests(), streamed.requests()
		if len(a) != 1 || len(b) != 1 || !bytes.Equal(a[0].Body, b[0].Body) {
			t.Errorf("load: %v\nstream: %v", bodies(a), bodies(b))
		}
	})
	t.Run("case 47: an unchanged large value stays out", func(t *testing.T) {
		t.Parallel()
		c := newCase(t, rigConfig{models: []connector.Model{baseModel(loadAll)}}, `ALTER TABLE users ALTER COLUMN prefs SET STORAGE EXTERNAL`, row(1),
			`UPDATE users SET prefs = jsonb_build_object('lang', 'ja', 'list', (SELECT jsonb_agg(i) FROM generate_series(1000, 4000) i))`)
		c.calls()
		c.update("plan = 'pro'")
		c.want("case_47")
	})
	t.Run("case 52: case and blanks of an external_id", func(t *testing.T) {
		t.Parallel()
		c := newCase(t, rigConfig{models: []connector.Model{baseModel()}}, baseFull)
		c.sql(`INSERT INTO users(id, external_id, plan) VALUES (1, 'User_A1', 'free'), (2, ' u1 ', 'free'), (3, E'u2\n', 'free')`)
		c.want("case_52")
		if !strings.Contains(c.notes.String(), "blanks around the identifier are dropped") {
			t.Errorf("no note of the blanks: %s", c.notes.String())
		}
	})
	t.Run("case 52: of two rows that are equal after trimming the second is noted, also in another run", func(t *testing.T) {
		t.Parallel()
		const note = "another row has the same identifier"
		c := newCase(t, rigConfig{models: []connector.Model{baseModel()}}, baseFull)
		c.sql(`INSERT INTO users(id, external_id, plan) VALUES (1, 'u1 ', 'free')`)
		c.quiet()
		c.sql(`DELETE FROM users WHERE id = 1`, `INSERT INTO users(id, external_id, plan) VALUES (2, 'u1', 'free')`, `UPDATE users SET plan = 'pro'`)
		c.quiet()
		if strings.Contains(c.notes.String(), note) {
			t.Fatalf("no row beside the other was there: %s", c.notes.String())
		}
		c.stop()
		c.start()
		c.sql(`INSERT INTO users(id, external_id, plan) VALUES (3, 'u1 ', 'free'), (4, 'u4 ', 'free')`)
		c.quiet()
		if n := strings.Count(c.notes.String(), note); n != 1 {
			t.Errorf("%d notes, want 1: %s", n, c.notes.String())
		}
	})
	t.Run("case 68: a row with only an external_id", func(t *testing.T) {
		t.Parallel()
		c := newCase(t, rigConfig{models: []connector.Model{baseModel()}}, baseFull)
		c.exec(`INSERT INTO users(id, external_id) VALUES (1, 'u1')`)
		c.want("case_68_sync")
		e := newCase(t, rigConfig{models: []connector.Model{baseModel(enrich)}}, baseFull)
		e.exec(`INSERT INTO users(id, external_id) VALUES (1, 'u1')`)
		e.none()
	})
	t.Run("case 80: one odd profile among fifty", func(t *testing.T) {
		t.Parallel()
		c := newCase(t, rigConfig{models: []connector.Model{baseModel(grouped("newsletter", sideGroup))}}, baseFull)
		rows := []string{`INSERT INTO users(id, external_id) VALUES (1, 'u1')`}
		for i := 2; i <= 50; i++ {
			rows = append(rows, row(i))
		}
		c.sql(rows...)
		if have := c.calls(); len(have) != 50 || c.sim.Stats().Profiles != 50 {
			t.Errorf("%d objects, %d profiles, want 50", len(have), c.sim.Stats().Profiles)
		}
	})
}

func TestCasesOfModes(t *testing.T) {
	t.Run("case 40: a delete that carries only the key", func(t *testing.T) {
		t.Parallel()
		c := newCase(t, rigConfig{models: []connector.Model{baseModel(loadAll)}}, row(1))
		c.calls()
		c.exec(`DELETE FROM users`)
		c.want("case_40")
		lost := newCase(t, rigConfig{models: []connector.Model{baseModel(loadAll)}, noCache: true}, row(1))
		lost.calls()
		lost.exec(`DELETE FROM users`)
		lost.none()
		if q := lost.quarantined(); len(q) != 1 || !strings.Contains(q[0], "delete without external_id") || !strings.Contains(q[0], "ALTER TABLE public.users REPLICA IDENTITY FULL") {
			t.Errorf("quarantine holds %q", q)
		}
	})
	t.Run("case 41: a changed external_id renames the user", func(t *testing.T) {
		t.Parallel()
		c := full(t, baseModel(), 1)
		c.update("external_id = 'u9', plan = 'pro'")
		c.want("case_41_rename")
		if p, ok := c.sim.Profile("u9"); !ok || p.ExternalID != "u9" || string(p.Attributes["email"]) != `"a1@x.io"` {
			t.Errorf("profile u9: %v %+v", ok, p)
		}
	})
	t.Run("case 41: a new id that Braze knows already goes to quarantine", func(t *testing.T) {
		t.Parallel()
		c := full(t, baseModel(), 1)
		c.seed(map[string]any{"external_id": "u9"})
		c.calls()
		c.update("external_id = 'u9'")
		c.quiet()
		if q := c.quarantined(); len(q) != 1 || !strings.Contains(q[0], "in use") {
			t.Errorf("quarantine holds %q", q)
		}
		if _, ok := c.sim.Profile("u1"); !ok {
			t.Error("u1 is gone")
		}
	})
	t.Run("case 41: on_id_change create leaves the old profile", func(t *testing.T) {
		t.Parallel()
		c := full(t, baseModel(func(m *connector.Model) { m.OnIDChange = "create" }), 1)
		c.update("external_id = 'u9'")
		c.want("case_41_create")
	})
	t.Run("case 41: on_id_change stop ends the run with the row's change unconfirmed", func(t *testing.T) {
		t.Parallel()
		c := full(t, baseModel(func(m *connector.Model) { m.OnIDChange = "stop" }), 1)
		c.update("external_id = 'u9'")
		run := c.run
		<-run.ended
		if !strings.Contains(fmt.Sprint(run.err), "set on_id_change: rename or create") || len(c.requests()) > 0 {
			t.Errorf("it ended with %v", run.err)
		}
		c.kill()
		c.cfg.models[0].OnIDChange = "rename"
		c.start()
		if sent := c.calls(); len(sent) != 1 || sent[0].Path != "/users/external_ids/rename" {
			t.Errorf("calls %s", sent)
		}
	})
	// As a delete it would end a profile for a cell that somebody emptied.
	t.Run("case 41: an external_id that becomes NULL is held back, and nobody is deleted", func(t *testing.T) {
		t.Parallel()
		c := full(t, baseModel(), 1)
		c.update("external_id = NULL")
		c.none()
		if q := c.quarantined(); len(q) != 1 || !strings.Contains(q[0], "u1") {
			t.Errorf("quarantine holds %q", q)
		}
	})
	t.Run("case 41: additive and enrich rename, and delete nobody", func(t *testing.T) {
		t.Parallel()
		for _, mode := range []string{"additive", "enrich"} {
			c := full(t, baseModel(func(m *connector.Model) { m.Mode = mode }), 1)
			c.seed(map[string]any{"external_id": "u1"}) // enrich makes nobody
			c.calls()
			c.update("external_id = 'u9'")
			if sent := c.calls(); len(sent) == 0 || sent[0].Path != "/users/external_ids/rename" {
				t.Errorf("%s: calls %s", mode, sent)
			}
			c.exec(`DELETE FROM users`)
			c.none()
		}
	})
	t.Run("case 45: all endpoints are those of the configured host", func(t *testing.T) {
		t.Parallel()
		var hosts hostLog
		c := newCase(t, rigConfig{models: []connector.Model{baseModel(), optinModel(1)}, tune: func(_ *connector.Config, b *braze.Config) { b.Transport = &hosts }}, baseFull, optinTable)
		c.sql(row(1), `INSERT INTO optins VALUES ('u1', true)`)
		c.quiet()
		c.update("external_id = 'u9'")
		c.quiet()
		c.exec(`DELETE FROM users`)
		c.quiet()
		for _, path := range []string{"/users/track", "/v2/subscription/status/set", "/users/external_ids/rename", "/users/delete"} {
			if n := c.sim.Stats().Endpoints[path].Requests; n == 0 {
				t.Errorf("no call of %s", path)
			}
		}
		if all := hosts.all(); len(all) != 1 || "http://"+all[0] != c.braze {
			t.Errorf("hosts %v, want that of %s alone", all, c.braze)
		}
	})
	t.Run("case 46: deletes fifty to a call, and only in sync", func(t *testing.T) {
		t.Parallel()
		for _, mode := range []string{"sync", "additive", "enrich"} {
			var rows []int
			for i := range 51 {
				rows = append(rows, i+1)
			}
			c := full(t, baseModel(func(m *connector.Model) { m.Mode = mode }), rows...)
			c.exec(`DELETE FROM users`)
			c.quiet()
			var sizes []int
			for _, r := range c.requests() {
				if r.Path != "/users/delete" {
					t.Errorf("%s: %s %s", mode, r.Path, r.Body)
					continue
				}
				sizes = append(sizes, strings.Count(string(r.Body), `"u`))
			}
			slices.Sort(sizes)
			if want := map[string][]int{"sync": {1, 50}}[mode]; !slices.Equal(sizes, want) {
				t.Errorf("%s: deletes of %v users, want %v", mode, sizes, want)
			}
		}
	})
	t.Run("case 49: added, deleted, added", func(t *testing.T) {
		t.Parallel()
		c := newCase(t, rigConfig{models: []connector.Model{baseModel()}}, baseFull)
		c.sql(row(1), `DELETE FROM users`, `INSERT INTO users(id, external_id, plan) VALUES (1, 'u1', 'pro')`)
		c.want("case_49_folded")
		c.exec(`DELETE FROM users`)
		c.quiet()
		c.exec(`INSERT INTO users(id, external_id, plan, first_name) VALUES (1, 'u1', 'team', 'Bo')`)
		c.want("case_49_apart")
		if p, ok := c.sim.Profile("u1"); !ok || len(p.Attributes)+len(p.Custom) != 2 {
			t.Errorf("profile u1: %v %+v", ok, p)
		}
	})
	t.Run("case 64: leaving and entering the filter", func(t *testing.T) {
		t.Parallel()
		for _, leave := range []string{"keep", "unset", "delete"} {
			c := full(t, baseModel(func(m *connector.Model) { m.Filter, m.OnLeave = `plan != "internal"`, leave }), 1, 2)
			c.update("plan = 'internal', first_name = NULL")
			if leave == "keep" {
				c.none()
			} else {
				c.want("case_64_left_" + leave)
			}
			c.update("credits = 5") // outside
			c.none()
			c.update("plan = 'pro'")
			c.want("case_64_entered_" + leave)
			c.exec("UPDATE users SET plan = 'internal' WHERE id = 2")
			c.calls()
			c.exec("DELETE FROM users WHERE id = 2") // outside
			c.none()
		}
	})
	t.Run("case 79: deletes and inserts of one transaction are told apart", func(t *testing.T) {
		t.Parallel()
		c := full(t, baseModel(), 1)
		c.sql(`DELETE FROM users WHERE id = 1`, row(2))
		c.calls()
		c.sql(row(3), `DELETE FROM users WHERE id = 2`)
		c.calls()
		var have []string
		for _, p := range c.sim.Profiles() {
			have = append(have, p.ExternalID)
		}
		if !slices.Equal(have, []string{"u3"}) {
			t.Errorf("profiles %v, want u3 alone", have)
		}
	})
	t.Run("case 84: enrich updates without a look-up and creates nothing", func(t *testing.T) {
		t.Parallel()
		c := newCase(t, rigConfig{models: []connector.Model{baseModel(enrich)}}, baseFull)
		c.exec(`INSERT INTO users(id, external_id, plan) VALUES (1, 'User_A1', 'free')`)
		c.quiet()
		c.update("plan = 'pro'")
		c.want("case_84")
		if st := c.sim.Stats(); st.Profiles != 0 || st.Endpoints["/users/export/ids"].Requests != 0 {
			t.Errorf("%d profiles, %d look-ups, want none", st.Profiles, st.Endpoints["/users/export/ids"].Requests)
		}
	})
}

func TestCasesOfOrder(t *testing.T) {
	t.Run("case 50: one user's requests never overlap, others' do", func(t *testing.T) {
		t.Parallel()
		c := full(t, baseModel(), 1, 2)
		c.fault(brazesim.Fault{Endpoint: "/users/track", Count: 1, Delay: 400 * time.Millisecond, ExternalIDs: []string{"u1"}})
		c.update("plan = 'b'")
		c.wait("the delayed call", func() bool { return c.sim.Stats().Open > 0 })
		c.update("plan = 'c'")
		c.exec("UPDATE users SET plan = 'z' WHERE id = 2")
		var between bool
		c.wait("the other user", func() bool {
			p, ok := c.sim.Profile("u2")
			between = c.sim.Stats().Open > 0
			return ok && string(p.Custom["plan"]) == `"z"`
		})
		if !between {
			t.Error("the other user waited for the delayed call")
		}
		c.quiet()
		if p, _ := c.sim.Profile("u1"); string(p.Custom["plan"]) != `"c"` {
			t.Errorf("plan is %s, want c", p.Custom["plan"])
		}
		c.together()
	})
	t.Run("case 51: a hundred changes are one, and there and back is none", func(t *testing.T) {
		t.Parallel()
		c := full(t, baseModel(), 1)
		var changes []string
		for i := range 100 {
			changes = append(changes, fmt.Sprintf("UPDATE users SET plan = 'p%d' WHERE id = 1", i))
		}
		c.sql(changes...)
		c.want("case_51")
		c.sql("UPDATE users SET plan = 'b' WHERE id = 1", "UPDATE users SET plan = 'p99' WHERE id = 1")
		c.none()
	})
	t.Run("case 73: a restart sends nothing again", func(t *testing.T) {
		t.Parallel()
		c := newCase(t, rigConfig{models: []connector.Model{baseModel(loadAll, additive)}}, `INSERT INTO users(id, external_id, plan) SELECT i, 'u' || i, 'free' FROM generate_series(1, 1000) i`)
		c.exec(`UPDATE users SET plan = 'pro'`)
		c.calls()
		c.stop()
		c.start()
		c.none()
		c.update("plan = 'team'")
		c.want("case_73")
	})
}
