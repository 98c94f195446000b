package connector_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/braze/brazesim"
)

// What the property test found, each as the shortest history that shows it.

const (
	shopTables = `CREATE TABLE customers(id int PRIMARY KEY, external_id text NOT NULL, plan text, note text, flag bool);
		CREATE TABLE addresses(id int PRIMARY KEY, user_id text NOT NULL, city text, zip text);
		CREATE TABLE scores(id int PRIMARY KEY, user_id text NOT NULL, points int)`
	shopFull = `ALTER TABLE customers REPLICA IDENTITY FULL; ALTER TABLE addresses REPLICA IDENTITY FULL; ALTER TABLE scores REPLICA IDENTITY FULL`
	shopRows = `INSERT INTO customers VALUES (1, 'u1', 'free', 'n', true); INSERT INTO addresses VALUES (1, 'u1', 'Rome', '00100'); INSERT INTO scores VALUES (1, 'u1', 7)`
)

// shopModels are an owner and two other models of the same users, all loaded.
func shopModels(change ...func(m []connector.Model)) []connector.Model {
	model := func(name, id string, owner bool, fields ...string) connector.Model {
		m := connector.Model{Name: name, Kind: "users", Table: "public." + name, Mode: "sync", Load: "all", OwnsUsers: owner, OnIDChange: "rename", OnLeave: "keep",
			Identify: connector.Identify{ExternalID: connector.ValueFrom{Column: id}}, Path: name}
		for _, f := range fields {
			m.Custom = append(m.Custom, connector.FieldMap{Name: f, ValueFrom: connector.ValueFrom{Column: f}, OnNull: "clear", Path: name + ".custom." + f})
		}
		return m
	}
	out := []connector.Model{model("customers", "external_id", true, "plan", "note", "flag"), model("addresses", "user_id", false, "city", "zip"), model("scores", "user_id", false, "points")}
	for _, c := range change {
		c(out)
	}
	return out
}

func newShop(t *testing.T, cfg rigConfig, sql ...string) *rig {
	t.Helper()
	r := newRig(t, cfg, append([]string{shopTables}, sql...)...)
	r.start()
	r.quiet()
	return r
}

// holds wants exactly these custom attributes at a user, as "name=value" sorted; none at all where want is nil.
func (r *rig) holds(user string, want ...string) {
	r.t.Helper()
	r.quiet()
	p, ok := r.sim.Profile(user)
	if ok && p.ExternalID != user {
		ok = false
	}
	var have []string
	for f, v := range p.Custom {
		have = append(have, f+"="+string(v))
	}
	slices.Sort(have)
	if ok != (want != nil) || ok && !slices.Equal(have, want) {
		r.t.Errorf("user %s: profile %v %q, want %q", user, ok, have, want)
	}
	if q := r.quarantined(); len(q) > 0 {
		r.t.Errorf("quarantine holds %q", q)
	}
	r.together()
}

func TestFoundByProperty(t *testing.T) {
	t.Run("a row that was never sent goes whole when the first that happens to it is a new external_id", func(t *testing.T) {
		t.Parallel()
		r := newShop(t, rigConfig{models: shopModels(func(m []connector.Model) { m[0].Load = "none" })[:1]}, shopFull, shopRows)
		r.seed(map[string]any{"external_id": "u1", "other": "x"})
		r.exec(`UPDATE customers SET external_id = 'u9'`)
		r.holds("u9", "flag=true", `note="n"`, `other="x"`, `plan="free"`)
	})
	t.Run("a row that comes again outside of a rule unsubscribes whom its forerunner subscribed, and no newcomer", func(t *testing.T) {
		t.Parallel()
		models := shopModels(func(m []connector.Model) {
			m[2].Mode, m[2].Load = "additive", "none"
			m[2].Groups = []connector.GroupMap{{Group: "rule", ID: ruleGroup, When: "points > 50", OnLeave: "unsubscribe", Resubscribe: "on_change", Path: "scores.groups[0]"}}
		})
		r := newShop(t, rigConfig{models: models[2:]})
		r.exec(`INSERT INTO scores VALUES (1, 'u1', 70), (2, 'u2', 7)`)
		r.quiet()
		r.exec(`DELETE FROM scores`)
		r.exec(`INSERT INTO scores VALUES (3, 'u1', 12)`)
		r.quiet()
		for user, want := range map[string]string{"u1": "unsubscribed", "u2": ""} {
			if p, _ := r.sim.Profile(user); p.Groups[ruleGroup] != want {
				t.Errorf("%s is %q, want %q", user, p.Groups[ruleGroup], want)
			}
		}
	})
	t.Run("without the cache nobody knows who was deleted, so another model's row goes whole", func(t *testing.T) {
		t.Parallel()
		r := newShop(t, rigConfig{models: shopModels()}, shopFull, shopRows)
		r.exec(`DELETE FROM customers`)
		r.quiet()
		r.stop()
		if err := os.RemoveAll(filepath.Join(r.dir, "cache")); err != nil {
			t.Fatal(err)
		}
		r.start()
		r.exec(`UPDATE addresses SET city = 'Oslo'`)
		r.holds("u1", `city="Oslo"`, `zip="00100"`)
	})
	t.Run("a row whose filter became unknown is still known when it is deleted", func(t *testing.T) {
		t.Parallel()
		r := newShop(t, rigConfig{models: shopModels(func(m []connector.Model) { m[0].Filter = `plan != "internal"` })[:1]},
			`ALTER TABLE customers DROP CONSTRAINT customers_pkey, ADD PRIMARY KEY (external_id)`, `ALTER TABLE customers REPLICA IDENTITY FULL`, `INSERT INTO customers VALUES (1, 'u1', 'free')`)
		r.exec(`UPDATE customers SET plan = NULL`)
		r.holds("u1", []string{}...)
		r.exec(`DELETE FROM customers`)
		r.quiet()
		if _, ok := r.sim.Profile("u1"); ok {
			t.Error("u1 was not deleted")
		}
	})
	t.Run("a row that moved is known under its new user, whoever's change is accepted last", func(t *testing.T) {
		t.Parallel()
		r := newShop(t, rigConfig{models: shopModels()}, shopRows, `INSERT INTO customers VALUES (2, 'u2')`)
		if err := r.sim.Faults(brazesim.Fault{Endpoint: "/users/track", Count: 1, Status: 429, Headers: map[string]string{"Retry-After": "0"}, ExternalIDs: []string{"u1"}}); err != nil {
			t.Fatal(err)
		}
		r.exec(`UPDATE addresses SET user_id = 'u2'`)
		r.holds("u2", `city="Rome"`, `zip="00100"`)
		r.exec(`DELETE FROM addresses`)
		r.holds("u2", []string{}...)
	})
	t.Run("an id that was renamed and freed at once is not freed again after a restart", func(t *testing.T) {
		t.Parallel()
		r := newShop(t, rigConfig{models: shopModels(), gap: time.Millisecond}, shopFull, shopRows)
		r.exec(`UPDATE customers SET external_id = 'u9'; UPDATE addresses SET user_id = 'u9'; UPDATE scores SET user_id = 'u9'`)
		r.quiet()
		r.stop()
		r.start()
		r.exec(`INSERT INTO customers VALUES (2, 'u1', 'pro')`)
		r.holds("u1", `plan="pro"`)
		if n := r.sim.Stats().Endpoints["/users/external_ids/remove"].Requests; n != 1 {
			t.Errorf("%d removals, want 1", n)
		}
	})
	t.Run("a rename that took effect although its answer was lost is done", func(t *testing.T) {
		t.Parallel()
		r := newShop(t, rigConfig{models: shopModels()[:1]}, shopFull, shopRows)
		if err := r.sim.Faults(brazesim.Fault{Endpoint: "/users/external_ids/rename", Count: 1, Cut: brazesim.CutAfter}); err != nil {
			t.Fatal(err)
		}
		r.exec(`UPDATE customers SET external_id = 'u9'`)
		r.holds("u9", "flag=true", `note="n"`, `plan="free"`)
	})
	t.Run("what another model's row waited with is not lost when the delete over it is dropped", func(t *testing.T) {
		t.Parallel()
		r := newShop(t, rigConfig{models: shopModels()}, shopFull, shopRows)
		r.exec(`UPDATE addresses SET city = 'Oslo'; DELETE FROM scores; DELETE FROM customers; INSERT INTO customers VALUES (2, 'u1', 'pro')`)
		r.holds("u1", `city="Oslo"`, `plan="pro"`, `zip="00100"`)
	})
	t.Run("a user that comes again by another model's row has the other models' rows too", func(t *testing.T) {
		t.Parallel()
		r := newShop(t, rigConfig{models: shopModels()}, shopFull, shopRows)
		r.exec(`DELETE FROM customers`)
		r.quiet()
		r.exec(`UPDATE addresses SET city = 'Oslo'`)
		r.holds("u1", `city="Oslo"`, "points=7", `zip="00100"`)
	})
	t.Run("what still carries the old name of a renamed user starts there anew", func(t *testing.T) {
		t.Parallel()
		r := newShop(t, rigConfig{models: shopModels()}, shopFull, shopRows)
		r.exec(`UPDATE customers SET external_id = 'u9'`)
		r.quiet()
		r.exec(`UPDATE addresses SET city = 'Oslo'`)
		r.holds("u1", `city="Oslo"`, "points=7", `zip="00100"`)
		r.holds("u9", `city="Rome"`, "flag=true", `note="n"`, `plan="free"`, "points=7", `zip="00100"`)
	})
	t.Run("a row that left the filter without a call is not taken for one that is in", func(t *testing.T) {
		t.Parallel()
		r := newShop(t, rigConfig{models: shopModels(func(m []connector.Model) { m[0].Filter = `plan != "internal"` })[:1]}, shopFull, shopRows)
		r.exec(`UPDATE customers SET plan = 'internal'`)
		r.quiet()
		r.exec(`UPDATE customers SET plan = NULL, flag = false`)
		r.quiet()
		r.exec(`UPDATE customers SET plan = 'pro'`)
		r.holds("u1", "flag=false", `note="n"`, `plan="pro"`)
	})
	t.Run("nothing of a deleted row stays where another one took over its user", func(t *testing.T) {
		t.Parallel()
		r := newShop(t, rigConfig{models: shopModels(func(m []connector.Model) { m[0].Custom[1].OnNull = "keep" })[:1]}, shopFull, shopRows)
		r.exec(`INSERT INTO customers VALUES (2, 'u1', 'pro'); DELETE FROM customers WHERE id = 1`)
		r.holds("u1", `plan="pro"`)
	})
	t.Run("the row that took over a user is known", func(t *testing.T) {
		t.Parallel()
		r := newShop(t, rigConfig{models: shopModels()[:1]}, shopRows)
		r.exec(`INSERT INTO customers VALUES (2, 'u1', 'pro'); DELETE FROM customers WHERE id = 1`)
		r.holds("u1", `plan="pro"`)
		r.exec(`DELETE FROM customers`)
		r.quiet()
		if q := r.quarantined(); len(q) > 0 {
			t.Errorf("quarantine holds %s", strings.Join(q, "\n"))
		}
		if _, ok := r.sim.Profile("u1"); ok {
			t.Error("u1 was not deleted")
		}
	})
}
