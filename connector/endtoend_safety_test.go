package connector_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/braze/brazesim"
)

// braked gives models the brake of the configuration's default, with a limit that a small table reaches.
func braked(m *connector.Model) {
	m.Deletes = connector.Brake{Max: 1000, Share: 0.05, AtLeast: 50, Window: 10 * time.Minute}
}

func rowsUpTo(n int) []int {
	var rows []int
	for i := range n {
		rows = append(rows, i+1)
	}
	return rows
}

// deletes gives how many users each delete request named.
func deletes(t *testing.T, requests []brazesim.Request) (sizes []int) {
	t.Helper()
	for _, r := range requests {
		if r.Path == "/users/delete" {
			sizes = append(sizes, strings.Count(string(r.Body), `"u`))
		}
	}
	slices.Sort(sizes)
	return sizes
}

func (r *rig) pending(kind string) (count int) {
	for _, c := range r.run.p.Pending() {
		if c.Kind == kind {
			count += c.Count
		}
	}
	return count
}

func TestCasesOfSafety(t *testing.T) {
	t.Run("case 44: an emptied table deletes nobody, and waits for a person", func(t *testing.T) {
		t.Parallel()
		c := full(t, baseModel(), 1, 2)
		c.exec(`TRUNCATE users`)
		c.sql(row(1)) // of the paused model
		c.none()
		list := c.run.p.Pending()
		if len(list) != 1 || list[0].Kind != "truncate" || list[0].Count != 1 || !strings.Contains(list[0].Text, "TRUNCATE") {
			t.Errorf("waits: %+v", list)
		}
		if _, err := c.run.p.Confirm(t.Context(), "users", false); err != nil {
			t.Fatal(err)
		}
		c.wait("the load", func() bool { return len(c.run.p.Status().Loads) == 2 })
		c.loaded()
		for _, call := range c.calls() {
			if call.Path != "/users/track" {
				t.Errorf("%s %s", call.Path, call.Body)
			}
		}
		if _, ok := c.sim.Profile("u2"); !ok {
			t.Error("u2, who is not in the table any more, is gone")
		}
	})
	t.Run("case 46: the brake holds the excess of a mass delete", func(t *testing.T) {
		t.Parallel()
		c := full(t, baseModel(braked), rowsUpTo(200)...)
		c.stop()
		c.exec(`ANALYZE users`)
		c.start()
		c.exec(`DELETE FROM users`)
		c.exec(row(300))
		c.quiet()
		requests := c.requests()
		left := 0
		for _, n := range deletes(t, requests) {
			left += n
		}
		if left != 50 {
			t.Errorf("deletes of %d users, want 50", left)
		}
		if n := c.pending("brake"); n != 150 {
			t.Errorf("%d deletes wait, want 150", n)
		}
		if _, ok := c.sim.Profile("u300"); !ok {
			t.Error("a new row waits with the deletes")
		}
		// A row that comes again ends its delete, and goes whole.
		again := c.sim.Profiles()[0].ExternalID
		if again == "u300" {
			again = c.sim.Profiles()[1].ExternalID
		}
		c.exec(`INSERT INTO users(id, external_id, plan) VALUES (400, $1, 'again')`, again)
		c.quiet()
		if p, _ := c.sim.Profile(again); string(p.Custom["plan"]) != `"again"` || p.Custom["credits"] != nil || p.Attributes["email"] != nil {
			t.Errorf("the row that came again: %+v", p)
		}
		if n := c.pending("brake"); n != 149 {
			t.Errorf("%d deletes wait, want 149", n)
		}
		// A kill and a start send nothing of it.
		c.kill()
		c.start()
		c.quiet()
		if sizes := deletes(t, c.requests()); len(sizes) != 0 {
			t.Errorf("deletes of %v users after a start", sizes)
		}
		if _, err := c.run.p.Confirm(t.Context(), "users", false); err != nil {
			t.Fatal(err)
		}
		c.wait("the rest is deleted", func() bool { return c.sim.Stats().Profiles == 2 })
		c.quiet()
		if n := len(c.run.p.Pending()); n != 0 {
			t.Errorf("%d confirmations still wait", n)
		}
		c.together()
	})
	t.Run("case 46: in additive and enrich nothing is deleted, so nothing is held", func(t *testing.T) {
		t.Parallel()
		for _, mode := range []string{"additive", "enrich"} {
			c := full(t, baseModel(braked, func(m *connector.Model) { m.Mode = mode }), rowsUpTo(120)...)
			c.exec(`DELETE FROM users`)
			c.none()
			if n := len(c.run.p.Pending()); n != 0 {
				t.Errorf("%s: %d confirmations wait", mode, n)
			}
		}
	})
	t.Run("case 46: what other models' changes waited with before a held delete arrives", func(t *testing.T) {
		t.Parallel()
		r := newShop(t, rigConfig{gap: 300 * time.Millisecond, models: shopModels(func(m []connector.Model) {
			m[0].Deletes = connector.Brake{Max: 0, Window: time.Hour}
		})}, shopFull, shopRows)
		// The first change leaves at once; the next ones wait for the gap, where the address folds into the delete.
		r.exec(`UPDATE customers SET plan = 'pro'`)
		r.wait("the first change is sent", func() bool { return r.run.p.Status().Models[0].Sent["track"] == 2 })
		r.exec(`UPDATE addresses SET city = 'Paris'; DELETE FROM customers`)
		r.holds("u1", `city="Paris"`, `flag=true`, `note="n"`, `plan="pro"`, `points=7`, `zip="00100"`)
		if n := r.pending("brake"); n != 1 {
			t.Errorf("%d deletes wait", n)
		}
		r.exec(`UPDATE scores SET points = 8`) // other models go on
		r.holds("u1", `city="Paris"`, `flag=true`, `note="n"`, `plan="pro"`, `points=8`, `zip="00100"`)
	})
	t.Run("case 76: what must never leave is in no call, log, note or entry", func(t *testing.T) {
		t.Parallel()
		c := newCase(t, rigConfig{models: []connector.Model{baseModel()}, never: []string{"users.ssn", "prefs.secret", "prefs.mail.pin"}},
			`ALTER TABLE users ADD ssn text`, baseFull)
		c.exec(row(1))
		c.exec(`UPDATE users SET ssn = 'ssn-hush', prefs = '{"lang": "ja", "secret": "hush-1", "mail": {"pin": "hush-2", "freq": 3}}'`)
		c.quiet()
		if err := c.sim.Faults(brazesim.Fault{Endpoint: "/users/track", Items: []brazesim.ItemFault{{ExternalIDs: []string{"u2"}, Type: "not liked"}}}); err != nil {
			t.Fatal(err)
		}
		c.exec(`INSERT INTO users(id, external_id, ssn, prefs) VALUES (2, 'u2', 'ssn-hush', '{"secret": "hush-1", "list": [{"secret": "stays"}], "mail": {"pin": "hush-2"}}'), (3, NULL, 'ssn-hush', '{"secret": "hush-1"}')`)
		c.quiet()
		if q := c.quarantined(); len(q) != 2 {
			t.Fatalf("quarantine holds %q", q)
		}
		for _, r := range c.sim.Requests(0) {
			if bytes.Contains(r.Body, []byte("hush")) {
				t.Errorf("%s %s", r.Path, r.Body)
			}
		}
		if text := c.log.String() + c.notes.String(); strings.Contains(text, "hush") {
			t.Errorf("logged: %s", text)
		}
		entries, err := c.run.data.Quarantine().List(connector.EntryFilter{})
		if err != nil || !slices.ContainsFunc(entries, func(e connector.Entry) bool {
			return strings.Contains(string(e.After), `{\"list\":[{\"secret\":\"stays\"}],\"mail\":{}}`)
		}) {
			t.Errorf("entries: %v %+v", err, entries)
		}
		c.stop()
		wantNoBytes(t, c.dir, "hush")
	})
	t.Run("only_users holds for events, groups and deletes too", func(t *testing.T) {
		t.Parallel()
		users := baseModel(func(m *connector.Model) {
			m.Groups = []connector.GroupMap{{Group: "newsletter", ID: "5d0f6f8c-0c9b-4a44-8a0e-6e0f3f0f9f1e", Subscribed: "newsletter", Resubscribe: "on_change", OnLeave: "keep", Path: "models[0].subscription_groups[0]"}}
		})
		events := connector.Model{Name: "orders", Kind: "events", Table: "public.orders", Mode: "additive", Load: "none", Path: "models[1]",
			Identify: connector.Identify{ExternalID: connector.ValueFrom{Column: "user_id"}},
			Event:    connector.EventMap{Ops: []string{"insert"}, Name: connector.NameFrom{Value: "ordered"}, MaxAge: time.Hour, Path: "models[1].event"}}
		states := connector.Model{Name: "optins", Kind: "subscriptions", Table: "public.optins", Mode: "sync", Load: "none", Path: "models[2]",
			Identify: connector.Identify{ExternalID: connector.ValueFrom{Column: "user_id"}},
			Groups:   []connector.GroupMap{{Group: "newsletter", ID: "6d0f6f8c-0c9b-4a44-8a0e-6e0f3f0f9f1e", Subscribed: "ok", Resubscribe: "on_change", Path: "models[2].groups[0]"}}}
		c := newCase(t, rigConfig{models: []connector.Model{users, events, states}, only: []string{"u1"}}, baseFull,
			`CREATE TABLE orders(id int PRIMARY KEY, user_id text)`, `CREATE TABLE optins(id int PRIMARY KEY, user_id text, ok bool)`, `ALTER TABLE optins REPLICA IDENTITY FULL`)
		c.sql(row(1), row(2), `INSERT INTO orders VALUES (1, 'u1'), (2, 'u2')`, `INSERT INTO optins VALUES (1, 'u1', true), (2, 'u2', true)`)
		c.quiet()
		c.sql(`UPDATE users SET newsletter = false`, `UPDATE optins SET ok = false`)
		c.quiet()
		c.sql(`UPDATE users SET external_id = 'u3' WHERE id = 2`, `DELETE FROM users`, `DELETE FROM optins`)
		calls := c.calls()
		kinds := map[string]int{}
		for _, call := range calls {
			kinds[call.Path]++
			if !strings.Contains(string(call.Body), "u1") || strings.Contains(string(call.Body), "u2") || strings.Contains(string(call.Body), "u3") {
				t.Errorf("%s %s", call.Path, call.Body)
			}
		}
		if kinds["/users/track"] < 3 || kinds["/users/delete"] != 1 || kinds["/v2/subscription/status/set"] == 0 {
			t.Errorf("calls: %v", kinds)
		}
		if q := c.quarantined(); len(q) > 0 {
			t.Errorf("quarantine holds %q", q)
		}
	})
}

// wantNoBytes wants no file below a folder to hold a text, neither in its bytes nor in its name.
func wantNoBytes(t *testing.T, folder, text string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Type()&fs.ModeSocket != 0 {
			return err
		}
		files++
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if bytes.Contains(b, []byte(text)) || strings.Contains(d.Name(), text) {
			t.Errorf("%s (%d bytes) still holds %q", d.Name(), len(b), text)
		}
		return nil
	})
	if err != nil || files == 0 {
		t.Fatalf("looked at %d files: %v", files, err)
	}
}

func TestForget(t *testing.T) {
	const who = "erase-me-4711"
	u := connector.User{ID: who}
	erase := func(r *rig) *connector.Forgotten {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), rigWait)
		defer cancel()
		f, err := r.run.p.Forget(ctx, u)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	people := []string{
		`INSERT INTO customers VALUES (1, '` + who + `', 'free', 'n', true), (2, 'u2', 'free', 'n', true)`,
		`INSERT INTO addresses VALUES (1, '` + who + `', 'Rome', '00100'), (2, 'u2', 'Oslo', '1')`,
	}
	shop := func(t *testing.T, more ...string) *rig {
		t.Helper()
		return newShop(t, rigConfig{models: shopModels(func(m []connector.Model) { braked(&m[0]) })}, append(slices.Clone(people), more...)...)
	}
	gone := func(r *rig) {
		t.Helper()
		r.quiet()
		if p, ok := r.sim.Profile(who); ok {
			r.t.Errorf("the profile is there: %+v", p)
		}
	}
	t.Run("the profile goes, and no file holds the identifier", func(t *testing.T) {
		t.Parallel()
		r := shop(t)
		if err := r.sim.Faults(brazesim.Fault{Endpoint: "/users/track", Count: 1, Items: []brazesim.ItemFault{{ExternalIDs: []string{who}, Type: "not liked"}}}); err != nil {
			t.Fatal(err)
		}
		r.exec(`UPDATE customers SET note = 'held back' WHERE id = 1`)
		r.quiet()
		r.exec(`UPDATE customers SET note = 'sent' WHERE id = 1`) // closes the entry
		r.quiet()
		f := erase(r)
		if len(f.Entries) != 1 || f.Rows == 0 || f.Unsent {
			t.Errorf("forgotten: %+v", f)
		}
		gone(r)
		if _, ok := r.sim.Profile("u2"); !ok {
			t.Error("another profile is gone")
		}
		if n, err := r.run.data.Quarantine().List(connector.EntryFilter{Closed: true}); err != nil || len(n) != 0 {
			t.Errorf("entries: %v %v", n, err)
		}
		wantNoBytes(t, r.dir, who) // while it runs
		r.stop()
		wantNoBytes(t, r.dir, who)
		if strings.Contains(r.log.String(), who) {
			t.Error("the log names the user")
		}
		r.start()
		r.exec(`UPDATE customers SET note = 'later' WHERE id = 2`)
		r.holds("u2", `city="Oslo"`, `flag=true`, `note="later"`, `plan="free"`, `zip="1"`)
	})
	t.Run("changes of its rows and loads do not bring it back, and its row's end is no entry", func(t *testing.T) {
		t.Parallel()
		r := shop(t)
		erase(r)
		r.exec(`UPDATE customers SET note = 'x' WHERE id = 1; UPDATE addresses SET city = 'Bonn' WHERE id = 1; INSERT INTO scores VALUES (1, '` + who + `', 3)`)
		gone(r)
		r.exec(`TRUNCATE scores`)
		r.quiet()
		if _, err := r.run.p.Confirm(t.Context(), "scores", false); err != nil {
			t.Fatal(err)
		}
		r.exec(`INSERT INTO scores VALUES (2, '` + who + `', 3)`)
		gone(r)
		r.kill()
		r.start() // what comes again after a kill
		gone(r)
		if said, err := r.run.p.SendRow(t.Context(), "customers", "1", nil); err == nil || !strings.Contains(err.Error(), "erased") {
			t.Errorf("a row of an erased user was sent: %q %v", said, err)
		}
		r.exec(`DELETE FROM addresses WHERE id = 1; DELETE FROM customers WHERE id = 1`)
		gone(r)
		if q := r.quarantined(); len(q) > 0 {
			t.Errorf("quarantine holds %q", q)
		}
		r.together()
	})
	t.Run("a new row of the owner starts a new profile, behind the delete", func(t *testing.T) {
		t.Parallel()
		for _, restart := range []bool{false, true} {
			r := shop(t)
			erase(r)
			if restart {
				r.stop()
				r.start()
			}
			r.exec(`DELETE FROM customers WHERE id = 1; INSERT INTO customers(id, external_id, plan) VALUES (9, '` + who + `', 'new')`)
			r.holds(who, `city="Rome"`, `plan="new"`, `zip="00100"`)
			if !strings.Contains(r.log.String(), "erased before") {
				t.Error("the log does not say so")
			}
			r.exec(`UPDATE addresses SET city = 'Bonn' WHERE id = 1`)
			r.holds(who, `city="Bonn"`, `plan="new"`, `zip="00100"`)
		}
	})
	t.Run("held and settling users go too", func(t *testing.T) {
		t.Parallel()
		r := newShop(t, rigConfig{settle: time.Minute, models: shopModels(func(m []connector.Model) { m[0].Deletes = connector.Brake{Max: 0, Window: time.Hour} })}, people...)
		r.exec(`DELETE FROM customers WHERE id = 1`)
		r.quiet()
		if n := r.pending("brake"); n != 1 {
			t.Fatalf("%d deletes are held", n)
		}
		f := erase(r)
		if f.Waiting != 1 || r.pending("brake") != 0 {
			t.Errorf("forgotten: %+v, %d still wait", f, r.pending("brake"))
		}
		gone(r)
		wantNoBytes(t, r.dir, who)
		if f = erase(r); !f.Unsent {
			t.Errorf("a second time: %+v", f)
		}
		r.stop()
		wantNoBytes(t, r.dir, who)
	})
	t.Run("what Braze refuses is told, and goes on with the next try", func(t *testing.T) {
		t.Parallel()
		r := shop(t)
		if err := r.sim.Faults(brazesim.Fault{Endpoint: "/users/delete", Count: 1, Status: 400, Body: `{"message":"no"}`}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.run.p.Forget(t.Context(), u); err == nil || !strings.Contains(err.Error(), "do it again") {
			t.Errorf("error: %v", err)
		}
		if q := r.quarantined(); len(q) > 0 {
			t.Errorf("quarantine holds %q", q)
		}
		erase(r)
		gone(r)
		wantNoBytes(t, r.dir, who)
	})
}

func TestForgetMany(t *testing.T) {
	t.Parallel()
	r := newShop(t, rigConfig{models: shopModels()[:1]}, `INSERT INTO customers SELECT i, 'many-' || i || '-x', 'free', 'n', true FROM generate_series(1, 5000) i`)
	for _, i := range []int{1, 2500, 5000} {
		if _, err := r.run.p.Forget(t.Context(), connector.User{ID: fmt.Sprintf("many-%d-x", i)}); err != nil {
			t.Fatal(err)
		}
		wantNoBytes(t, r.dir, fmt.Sprintf("many-%d-x", i))
	}
	r.quiet()
	if n := r.sim.Stats().Profiles; n != 4997 {
		t.Errorf("%d profiles", n)
	}
	r.exec(`UPDATE customers SET plan = 'pro' WHERE id = 2499`)
	r.holds("many-2499-x", `flag=true`, `note="n"`, `plan="pro"`)
}
