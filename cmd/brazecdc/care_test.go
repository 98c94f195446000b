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

func (b *bench) entries(args ...string) []connector.Entry {
	b.t.Helper()
	var list []connector.Entry
	if err := json.Unmarshal([]byte(b.must(append([]string{"quarantine", "list", "--json"}, args...)...)), &list); err != nil {
		b.t.Fatal(err)
	}
	return list
}

func TestQuarantineCommands(t *testing.T) {
	t.Parallel()
	b := newBench(t, plainModel)
	p := b.run()
	refuse := func(ids ...string) {
		t.Helper()
		b.sim.ClearFaults("")
		if err := b.sim.Faults(brazesim.Fault{Endpoint: "/users/track", Items: []brazesim.ItemFault{{ExternalIDs: ids, Type: "this user is not liked"}}}); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("lists nothing at first", func(t *testing.T) {
		wantIn(t, b.must("quarantine", "list"), "Nothing is held back.")
	})
	t.Run("lists what Braze refuses, without the row's values", func(t *testing.T) {
		refuse("u-1", "u-2", "u-3")
		b.exec(`INSERT INTO users (id, plan) VALUES ('u-1', 'secret1'), ('u-2', 'secret2'), ('u-3', 'secret3'), ('u-4', 'pro')`)
		b.arrives("u-4", "plan", `"pro"`)
		b.until("three are held back", func() bool { return len(b.entries()) == 3 })
		out := b.must("quarantine", "list") + b.must("quarantine", "list", "--json")
		wantIn(t, out, "users", "insert", "rejected", "this user is not liked")
		if strings.Contains(out, "secret") {
			t.Errorf("the list shows values:\n%s", out)
		}
		if n := len(b.entries("--user", "u-2", "--model", "users", "--class", "rejected")); n != 1 {
			t.Errorf("%d entries of u-2", n)
		}
		wantIn(t, b.must("status"), "held back: 3 changes")
	})
	number := func(user string) string {
		t.Helper()
		list := b.entries("--user", user)
		if len(list) != 1 {
			t.Fatalf("entries of %s: %+v", user, list)
		}
		return jsonText(t, list[0].ID)
	}
	t.Run("shows one whole", func(t *testing.T) {
		wantIn(t, b.must("quarantine", "show", number("u-1")), "insert of public.users u-1 in users", "this user is not liked", "secret1", "row after")
	})
	t.Run("retries with the row's present state", func(t *testing.T) {
		refuse("u-2", "u-3")
		id := number("u-1")
		b.must("quarantine", "retry", id)
		b.arrives("u-1", "plan", `"secret1"`)
		b.until("the entry is closed", func() bool { return len(b.entries()) == 2 })
		if r := b.brazecdc("quarantine", "retry", id); r.code != 1 || !strings.Contains(r.out, "not done") {
			t.Errorf("a second retry: exit code %d, %s%s", r.code, r.out, r.err)
		}
		for outcome, want := range map[string]float64{"accepted": 1, "impossible": 1, "held_again": 0} {
			if n := b.metric(`quarantine_retried_total{model="users",outcome="` + outcome + `"}`); n != want {
				t.Errorf("%v retries ended %s, want %v", n, outcome, want)
			}
		}
	})
	t.Run("discards with a reason", func(t *testing.T) {
		if r := b.brazecdc("quarantine", "discard", number("u-2"), "--yes"); r.code != exitUsage {
			t.Errorf("without a reason: exit code %d", r.code)
		}
		wantIn(t, b.must("quarantine", "discard", number("u-2"), "--yes", "--why", "a test"), "discarded")
		if n := len(b.entries()); n != 1 {
			t.Errorf("%d entries", n)
		}
		wantIn(t, b.must("quarantine", "list", "--closed"), "discarded: a test")
	})
	t.Run("works on the files when no process runs", func(t *testing.T) {
		if code := p.stop(); code != 0 {
			t.Fatalf("exit code %d", code)
		}
		id := number("u-3")
		wantIn(t, b.must("quarantine", "show", id), "secret3")
		if r := b.brazecdc("quarantine", "retry", id); r.code != 1 || !strings.Contains(r.out, "brazecdc run") {
			t.Errorf("retry: exit code %d, %s", r.code, r.out)
		}
		wantIn(t, b.must("quarantine", "discard", "--all", "--yes", "--why", "all of them"), "discarded")
		if n := len(b.entries()); n != 0 {
			t.Errorf("%d entries", n)
		}
	})
}

func jsonText(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestConfirmCommand(t *testing.T) {
	t.Parallel()
	b := newBench(t, plainModel)
	b.exec(`INSERT INTO users (id, plan) VALUES ('u-1', 'pro'), ('u-2', 'pro')`)
	p := b.run()
	b.arrives("u-2", "plan", `"pro"`)
	t.Run("has nothing at first", func(t *testing.T) {
		wantIn(t, b.must("confirm"), "Nothing waits")
		if r := b.brazecdc("confirm", "users", "--yes"); r.code != 1 || !strings.Contains(r.err, "nothing of that model waits") {
			t.Errorf("exit code %d, %s", r.code, r.err)
		}
	})
	t.Run("loads a truncated table again and deletes nobody", func(t *testing.T) {
		b.exec(`TRUNCATE users`)
		b.until("the model is paused", func() bool { return b.status().State == "degraded" })
		b.exec(`INSERT INTO users (id, plan) VALUES ('u-3', 'new')`)
		wantIn(t, b.must("confirm"), "users (truncate", "loaded again")
		if code, _ := b.get("/readyz"); code != 200 {
			t.Errorf("a paused model is not ready: %d", code)
		}
		if r := b.brazecdc("confirm", "users"); r.code != exitUsage {
			t.Errorf("without a yes: exit code %d", r.code)
		}
		b.must("confirm", "users", "--yes")
		b.arrives("u-3", "plan", `"new"`)
		if b.profile("u-1", "plan") != `"pro"` {
			t.Error("u-1 was deleted")
		}
		b.until("the model goes on", func() bool { return b.status().State == "running" })
	})
	t.Run("puts a load down for the next run when no process runs", func(t *testing.T) {
		b.exec(`TRUNCATE users`)
		b.until("the model is paused", func() bool { return b.status().State == "degraded" })
		if code := p.stop(); code != 0 {
			t.Fatalf("exit code %d", code)
		}
		b.exec(`INSERT INTO users (id, plan) VALUES ('u-5', 'later')`)
		wantIn(t, b.must("confirm"), "truncate")
		wantIn(t, b.must("confirm", "users", "--yes"), "next start")
		wantIn(t, b.must("confirm"), "Nothing waits")
		b.run()
		b.arrives("u-5", "plan", `"later"`)
	})
}

func TestLostData(t *testing.T) {
	t.Parallel()
	b := newBench(t, strings.Replace(plainModel, "load: all", "load: none", 1))
	p := b.run()
	b.exec(`INSERT INTO users (id, plan) VALUES ('u-1', 'pro'), ('u-2', 'pro')`)
	b.arrives("u-2", "plan", `"pro"`)
	if code := p.stop(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	if err := os.RemoveAll(filepath.Join(b.dir, "data")); err != nil {
		t.Fatal(err)
	}
	b.exec(`DELETE FROM users WHERE id = 'u-1'; UPDATE users SET plan = 'team' WHERE id = 'u-2'`)
	p = b.run()
	t.Run("streams, holds deletes back and says so", func(t *testing.T) {
		b.arrives("u-2", "plan", `"team"`)
		b.until("the delete is held", func() bool { return b.status().Held == 1 })
		wantIn(t, b.must("confirm"), "users (lost data", "1 deletes wait", "--drop")
		wantIn(t, b.must("status"), "degraded", "waits for you")
		if b.profile("u-1", "plan") != `"pro"` {
			t.Error("u-1 was deleted")
		}
	})
	t.Run("sends no held delete without a process", func(t *testing.T) {
		if code := p.stop(); code != 0 {
			t.Fatalf("exit code %d", code)
		}
		wantIn(t, b.must("confirm"), "users (lost data", "1 deletes wait")
		if r := b.brazecdc("confirm", "users", "--yes"); r.code != 1 || !strings.Contains(r.err, "brazecdc run") {
			t.Errorf("exit code %d, %s", r.code, r.err)
		}
	})
	t.Run("sends them when it is confirmed", func(t *testing.T) {
		b.run()
		b.must("confirm", "users", "--yes")
		b.until("u-1 is deleted", func() bool { _, ok := b.sim.Profile("u-1"); return !ok })
		b.until("it runs on", func() bool { return b.status().State == "running" })
	})
}
