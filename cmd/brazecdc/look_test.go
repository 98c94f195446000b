package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"brazecdc/connector"
	"brazecdc/connector/braze/brazesim"
)

func (b *bench) check() []finding {
	b.t.Helper()
	var list []finding
	if err := json.Unmarshal([]byte(b.brazecdc("check", "--json").out), &list); err != nil {
		b.t.Fatal(err)
	}
	return list
}

// found tells whether a finding of a group has all the words.
func found(list []finding, group string, words ...string) bool {
	for _, f := range list {
		all := f.Group == group
		for _, w := range words {
			all = all && strings.Contains(f.What+" "+f.Fix, w)
		}
		if all {
			return true
		}
	}
	return false
}

func wantFinding(t *testing.T, list []finding, group string, words ...string) {
	t.Helper()
	if !found(list, group, words...) {
		t.Errorf("no finding in %q has %q:", group, words)
		for _, f := range list {
			t.Logf("  %s | %s | %s | %s", f.Group, f.Area, f.What, f.Fix)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	b := newBench(t, plainModel)
	text := b.text
	t.Run("finds nothing to fix where all is well, and creates nothing", func(t *testing.T) {
		b.t = t
		list := b.check()
		for _, f := range list {
			if f.Group == mustFix {
				t.Errorf("must fix: %s (%s)", f.What, f.Fix)
			}
		}
		wantFinding(t, list, fine, "users.track", "granted")
		wantFinding(t, list, fine, "1 model fit")
		var n int
		if err := b.db.QueryRow(t.Context(), "SELECT count(*) FROM pg_publication").Scan(&n); err != nil || n != 0 {
			t.Errorf("%d publications, %v", n, err)
		}
		if _, err := os.Stat(filepath.Join(b.dir, "data")); !os.IsNotExist(err) {
			t.Errorf("data/ was made: %v", err)
		}
		wantIn(t, b.must("check"), "fine", "ok  ")
	})
	t.Run("warns of what would be left out without a word, with its line", func(t *testing.T) {
		b.t = t
		defer b.write(text)
		clock := `custom: { fresh: { expr: 'date("2026-01-31") > now() && plan == "pro"' }, plan: plan`
		b.edit("custom: { plan: plan", clock)
		b.edit("email: email, ", "")
		b.edit("identify: { external_id: id }", "identify: { external_id: id, phone: plan }")
		list := b.check()
		wantFinding(t, list, mayHurt, "brazecdc.yaml:", "identify.phone: no country is named", "phone: {column: plan, country: DE}")
		wantFinding(t, list, mayHurt, "brazecdc.yaml:", "there is no schedule, and fresh reads the clock", "add schedule:")
		b.edit("identify: { external_id: id, phone: plan }", "schedule: { cron: \"0 3 * * *\" }\n    identify: { external_id: id, phone: {column: plan, country: DE} }")
		if list := b.check(); found(list, mayHurt, "country") || found(list, mayHurt, "clock") {
			t.Errorf("it warns still: %+v", list)
		}
	})
	t.Run("finds faults of mapping, table and key at once", func(t *testing.T) {
		b.t = t
		b.exec("CREATE TABLE keyless (id text, email text)")
		b.write(strings.Replace(text, "custom: { plan: plan", "owns_users: true\n    custom: { plan: plann, full: { expr: 'first_name + \" \" + lastname' }", 1) +
			"  - { name: more, kind: users, table: public.keyless, mode: sync, load: all, owns_users: false, identify: { external_id: id }, custom: { k: email } }\n" +
			"  - { name: gone, kind: users, table: public.gone, mode: sync, load: none, owns_users: false, identify: { external_id: id }, custom: { g: x } }\n")
		if err := b.sim.Faults(brazesim.Fault{Endpoint: "/users/delete", Status: 401}); err != nil {
			t.Fatal(err)
		}
		defer b.sim.ClearFaults("")
		list := b.check()
		wantFinding(t, list, mustFix, "brazecdc.yaml:", `"plann"`, "plan")
		wantFinding(t, list, mustFix, "brazecdc.yaml:", "lastname")
		wantFinding(t, list, mustFix, "public.gone")
		wantFinding(t, list, mustFix, "keyless")
		wantFinding(t, list, mustFix, "users.delete", "refused")
		if r := b.brazecdc("check"); r.code != connector.ExitFaults || !strings.HasPrefix(r.out, mustFix) {
			t.Errorf("exit code %d, %s", r.code, r.out)
		}
	})
	t.Run("names every fault of the file with its line", func(t *testing.T) {
		b.t = t
		b.write(strings.NewReplacer("mode: sync", "mode: synk", "user_gap: 20ms", "user_gap: soon", "load: all", "lod: all").Replace(text))
		list := b.check()
		for _, f := range [][]string{{":6:", "user_gap", "soon"}, {":17:", "mode", "synk"}, {":18:", "lod"}} {
			wantFinding(t, list, mustFix, append(f, "brazecdc.yaml")...)
		}
	})
	t.Run("goes on where the database does not answer", func(t *testing.T) {
		b.t = t
		b.write(strings.Replace(text, `url: "${DATABASE_URL}"`, "url: postgres://postgres@127.0.0.1:1/none", 1))
		list := b.check()
		wantFinding(t, list, mustFix, "not reachable")
		wantFinding(t, list, fine, "users.track", "granted")
	})
	t.Run("works while a run is live", func(t *testing.T) {
		b.t = t
		b.write(text)
		b.run()
		for _, f := range b.check() {
			if f.Group == mustFix {
				t.Errorf("must fix: %s (%s)", f.What, f.Fix)
			}
		}
	})
}

func TestPreview(t *testing.T) {
	t.Parallel()
	b := newBench(t, strings.Replace(plainModel, "load: all", "load: all\nfilter: plan != \"internal\"\non_leave: keep", 1))
	b.exec(`INSERT INTO users VALUES ('u-1', 'ada@example.com', 'Ada', 'pro', 12.5), ('u-2', 'no address', NULL, 'it''s', NULL), ('u-3', NULL, NULL, 'internal', 1)`)

	t.Run("case 63: shows the exact calls of an insert and an update", func(t *testing.T) {
		out := b.must("preview", "--model", "users", "--key", "u-1")
		wantIn(t, out, "users u-1, as an insert", "POST /users/track   4 data points", `{"attributes":[{"external_id":"u-1","email":"ada@example.com","first_name":"Ada","plan":"pro","credits":12.5}]}`,
			"users u-1, as an update", "$BRAZE_API_KEY", "Nothing was sent.")
		if strings.Contains(out, testKey) {
			t.Error("the key is in the output")
		}
	})
	t.Run("case 63: says what is left out and why", func(t *testing.T) {
		out := b.must("preview", "--model", "users", "--key", "u-2")
		wantIn(t, out, "left out: email:", `{"attributes":[{"external_id":"u-2","plan":"it's"}]}`, `"first_name":null`, `it'\''s`)
	})
	t.Run("says why there is no call", func(t *testing.T) {
		wantIn(t, b.must("preview", "--model", "users", "--key", "u-3"), "no call: filter")
	})
	t.Run("prints JSON", func(t *testing.T) {
		var list []previewed
		if err := json.Unmarshal([]byte(b.must("preview", "--model", "users", "--limit", "2", "--json")), &list); err != nil {
			t.Fatal(err)
		}
		if len(list) != 4 || list[0].Operation != "insert" || list[1].Operation != "update" || len(list[0].Calls) != 1 || list[0].Calls[0].Path != "/users/track" {
			t.Errorf("%+v", list)
		}
	})
	t.Run("names a row that is not there", func(t *testing.T) {
		if r := b.brazecdc("preview", "--model", "users", "--key", "u-9"); r.code != 1 || !strings.Contains(r.err, "u-9") {
			t.Errorf("exit code %d, %s", r.code, r.err)
		}
	})
	if n := b.sim.Stats().Requests; n > 0 {
		t.Errorf("preview made %d requests", n)
	}
}

func TestSendAlone(t *testing.T) {
	t.Parallel()
	b := newBench(t, plainModel)
	b.exec(`INSERT INTO users VALUES ('u-1', 'ada@example.com', NULL, 'pro', 12.5)`)
	t.Run("needs a yes", func(t *testing.T) {
		if r := b.brazecdc("send", "--model", "users", "--key", "u-1"); r.code != exitUsage || b.sim.Stats().Requests > 0 {
			t.Errorf("exit code %d, %d requests", r.code, b.sim.Stats().Requests)
		}
	})
	t.Run("sends the row whole and waits for the answer", func(t *testing.T) {
		wantIn(t, b.must("send", "--model", "users", "--key", "u-1", "--yes"), `"first_name":null`, "Braze accepted user u-1.")
		if got := b.profile("u-1", "plan"); got != `"pro"` {
			t.Errorf("plan is %q", got)
		}
	})
	t.Run("tries again and tells a refusal in Braze's words", func(t *testing.T) {
		err := b.sim.Faults(brazesim.Fault{Endpoint: "/users/track", Count: 1, Status: 503},
			brazesim.Fault{Endpoint: "/users/track", Count: 1, Items: []brazesim.ItemFault{{Type: "the user is on a list"}}})
		if err != nil {
			t.Fatal(err)
		}
		if r := b.brazecdc("send", "--model", "users", "--key", "u-1", "--yes"); r.code != 1 || !strings.Contains(r.err, "the user is on a list") {
			t.Errorf("exit code %d, %s", r.code, r.err)
		}
	})
	var n int
	if err := b.db.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM pg_publication) + (SELECT count(*) FROM pg_replication_slots WHERE database = current_database())").Scan(&n); err != nil || n != 0 {
		t.Errorf("%d slots and publications were created, %v", n, err)
	}
}

func TestInit(t *testing.T) {
	t.Parallel()
	b := newBench(t, plainModel)
	b.exec(`DROP TABLE users;
		CREATE TABLE kunden (kunde_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), "E-Mail" text, vorname text, geburtsdatum date, land text, "no" int, password_hash text, newsletter bool);
		INSERT INTO kunden ("E-Mail", vorname, land, password_hash) SELECT 'k' || i || '@example.com', 'Ada', CASE WHEN i % 4 = 0 THEN 'Deutschland' ELSE 'DE' END, 'x' FROM generate_series(1, 50) i;
		CREATE TABLE orders (id int PRIMARY KEY, user_id uuid);
		CREATE SCHEMA "Odd name"; CREATE TABLE "Odd name"."a: b #" (id int);
		ANALYZE`)
	path := filepath.Join(b.dir, "new.yaml")
	out := runCommand(t, b.env, "init", "--database", b.url, "--output", path)
	if out.code != 0 {
		t.Fatalf("exit code %d, %s", out.code, out.err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("suggests by name and value, and nothing private", func(t *testing.T) {
		wantIn(t, string(text), "table: public.kunden", "about 50 rows", "external_id: kunde_id", "email: 'E-Mail'   # fits 100 % of 50 values", "first_name: vorname", "dob: geburtsdatum",
			"# country: land   # fits 76 % of 50 values", "'no': 'no'", "Looks private, so it is not suggested: password_hash", "subscription group: newsletter", "public.orders",
			"has user_id", "${DATABASE_URL}")
		if strings.Contains(string(text), "postgres://") {
			t.Error("the database's URL is in the file")
		}
	})
	t.Run("tells editors of the schema, which lies beside", func(t *testing.T) {
		if !strings.HasPrefix(string(text), "# yaml-language-server: $schema=./brazecdc.schema.json\n") {
			t.Errorf("the file begins with %.80s", text)
		}
		schema, err := os.ReadFile(filepath.Join(b.dir, "brazecdc.schema.json"))
		if err != nil || string(schema) != b.must("schema") {
			t.Errorf("the schema is another than the command prints (%v)", err)
		}
	})
	t.Run("leaves two choices, which check names by line", func(t *testing.T) {
		b.t = t
		b.write(string(text))
		b.env = append(b.env, "BRAZE_ENDPOINT="+simEndpoint(t, b))
		list := b.check()
		wantFinding(t, list, mustFix, "mode")
		wantFinding(t, list, mustFix, "load")
		for _, f := range list {
			if f.Group == mustFix && f.Line == 0 {
				t.Errorf("without a line: %+v", f)
			}
		}
	})
	t.Run("is good once they are made", func(t *testing.T) {
		b.t = t
		b.edit("mode:                        #", "mode: sync                   #")
		b.edit("load:                        #", "load: all                    #")
		for _, f := range b.check() {
			if f.Group == mustFix {
				t.Errorf("must fix: %s (%s)", f.What, f.Fix)
			}
		}
		wantIn(t, b.must("preview", "--model", "kunden", "--limit", "1"), `"email":"k1@example.com"`)
	})
	t.Run("is good with all comments of fields taken away", func(t *testing.T) {
		b.t = t
		for _, line := range []string{"    # custom:", "    #   'no'", "      # country:"} {
			b.edit(line, strings.Replace(line, "# ", "", 1))
		}
		if list := b.check(); found(list, mustFix, "") {
			t.Errorf("%+v", list)
		}
	})
	t.Run("overwrites nothing", func(t *testing.T) {
		r := runCommand(t, b.env, "init", "--database", b.url, "--output", path)
		if again, err := os.ReadFile(path); r.code != 1 || err != nil || string(again) != string(text) {
			t.Errorf("exit code %d, %v", r.code, err)
		}
	})
	t.Run("knows tables by name", func(t *testing.T) {
		r := runCommand(t, b.env, "init", "--database", b.url, "--output", path+"2", "--table", "order")
		if r.code != exitUsage || !strings.Contains(r.err, "public.orders") {
			t.Errorf("exit code %d, %s", r.code, r.err)
		}
	})
	t.Run("says when there is no database", func(t *testing.T) {
		r := runCommand(t, b.env, "init", "--database", "postgres://u:hunter2@127.0.0.1:1/x", "--output", path+"3")
		if r.code != connector.ExitUnreachable || strings.Contains(r.err, "hunter2") {
			t.Errorf("exit code %d, %s", r.code, r.err)
		}
	})
	var n int
	if err := b.db.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM pg_publication) + (SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace)").Scan(&n); err != nil || n != 2 {
		t.Errorf("the database has %d tables and publications, %v", n, err)
	}
}

func simEndpoint(t *testing.T, b *bench) string {
	t.Helper()
	for _, e := range b.env {
		if v, ok := strings.CutPrefix(e, "TEST_ENDPOINT="); ok {
			return v
		}
	}
	t.Fatal("no endpoint")
	return ""
}
