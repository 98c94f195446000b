package main

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"brazecdc/connector/braze/brazesim"
	"brazecdc/connector/control"
)

func TestMassDelete(t *testing.T) {
	t.Parallel()
	b := newBench(t, plainModel+"\ndeletes: { max: 5, window: 1h }")
	b.exec(`INSERT INTO users (id, plan) SELECT 'u-' || i, 'pro' FROM generate_series(1, 20) i`)
	p := b.run()
	b.until("all are there", func() bool { return b.sim.Stats().Profiles == 20 })
	t.Run("case 46: the excess is held, and told everywhere", func(t *testing.T) {
		b.exec(`DELETE FROM users WHERE id <> 'u-20'; UPDATE users SET plan = 'team'`)
		b.arrives("u-20", "plan", `"team"`)
		b.until("the rest is held", func() bool { return b.status().Held == 14 })
		if n := b.sim.Stats().Profiles; n != 15 {
			t.Errorf("%d profiles", n)
		}
		wantIn(t, b.must("confirm"), "users (brake", "14 deletes are held", "more than 5 deletes (deletes: max) came within 1h", "--drop")
		wantIn(t, b.must("status"), "degraded", "waits for you", "14 deletes are held")
		if b.metric(`deletes_held{model="users"}`) != 14 || b.metric(`brake_engaged{model="users"}`) != 1 || b.metric(`model_paused{model="users",reason="brake"}`) != 1 {
			t.Error("metrics do not say so")
		}
		if code, _ := b.get("/readyz"); code != 200 {
			t.Errorf("not ready: %d", code)
		}
	})
	t.Run("case 46: it waits over a restart, and is told from the files", func(t *testing.T) {
		if code := p.stop(); code != 0 {
			t.Fatalf("exit code %d", code)
		}
		wantIn(t, b.must("confirm"), "users (brake", "14 deletes are held")
		if r := b.brazecdc("confirm", "users", "--yes"); r.code != 1 || !strings.Contains(r.err, "brazecdc run") {
			t.Errorf("exit code %d, %s", r.code, r.err)
		}
		p = b.run()
		if b.status().Held != 14 || b.sim.Stats().Profiles != 15 {
			t.Errorf("%d held, %d profiles", b.status().Held, b.sim.Stats().Profiles)
		}
	})
	t.Run("case 46: confirmed, it is sent", func(t *testing.T) {
		wantIn(t, b.must("confirm", "users", "--yes"), "14 deletes of model users are being sent")
		b.until("they are gone", func() bool { return b.sim.Stats().Profiles == 1 })
		b.until("it runs on", func() bool { return b.status().State == "running" })
	})
	t.Run("case 46: dropped, the profiles stay", func(t *testing.T) {
		b.exec(`INSERT INTO users (id, plan) SELECT 'v-' || i, 'pro' FROM generate_series(1, 10) i`)
		b.until("they are there", func() bool { return b.sim.Stats().Profiles == 11 })
		b.exec(`DELETE FROM users WHERE id LIKE 'v-%'`)
		b.until("the rest is held", func() bool { return b.status().Held == 5 })
		if code := p.stop(); code != 0 {
			t.Fatalf("exit code %d", code)
		}
		wantIn(t, b.must("confirm", "users", "--drop", "--yes"), "5 held deletes of model users were dropped")
		wantIn(t, b.must("confirm"), "Nothing waits")
		p = b.run()
		if n := b.sim.Stats().Profiles; n != 6 || b.status().Held != 0 {
			t.Errorf("%d profiles, %d held", n, b.status().Held)
		}
	})
}

func (b *bench) noBytes(text string) {
	b.t.Helper()
	for _, folder := range []string{"data", "cache"} {
		err := filepath.WalkDir(filepath.Join(b.dir, folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || d.Type()&fs.ModeSocket != 0 {
				return err
			}
			content, err := os.ReadFile(path)
			if err == nil && bytes.Contains(content, []byte(text)) {
				b.t.Errorf("%s still holds %q", path, text)
			}
			return err
		})
		if err != nil {
			b.t.Fatal(err)
		}
	}
}

func TestForgetCommand(t *testing.T) {
	t.Parallel()
	b := newBench(t, plainModel)
	b.exec(`INSERT INTO users (id, plan) VALUES ('erase-one-77', 'pro'), ('erase-two-88', 'pro'), ('u-3', 'pro')`)
	p := b.run()
	b.until("all are there", func() bool { return b.sim.Stats().Profiles == 3 })
	b.fault(brazesim.Fault{Endpoint: "/users/track", Items: []brazesim.ItemFault{{ExternalIDs: []string{"erase-one-77"}, Type: "not liked"}}})
	b.exec(`UPDATE users SET plan = 'refused' WHERE id = 'erase-one-77'`)
	b.until("it is held back", func() bool { return len(b.entries()) == 1 })
	t.Run("asks first", func(t *testing.T) {
		if r := b.brazecdc("forget", "--user", "u-3"); r.code != exitUsage {
			t.Errorf("without a yes: exit code %d", r.code)
		}
		if r := b.brazecdc("forget"); r.code != exitUsage {
			t.Errorf("without a user: exit code %d", r.code)
		}
	})
	t.Run("works through the running process", func(t *testing.T) {
		wantIn(t, b.must("forget", "--user", "erase-one-77", "--yes"), "Braze accepted the delete", "1 quarantine entry", "at the source")
		if _, ok := b.sim.Profile("erase-one-77"); ok {
			t.Error("the profile is there")
		}
		b.noBytes("erase-one-77")
		b.exec(`UPDATE users SET plan = 'team'`)
		b.arrives("u-3", "plan", `"team"`)
		if _, ok := b.sim.Profile("erase-one-77"); ok {
			t.Error("a late change brought the profile back")
		}
		if r := b.brazecdc("send", "--model", "users", "--key", "erase-one-77", "--yes"); r.code != 1 || !strings.Contains(r.err, "erased") {
			t.Errorf("send: exit code %d, %s", r.code, r.err)
		}
	})
	t.Run("works alone", func(t *testing.T) {
		if code := p.stop(); code != 0 {
			t.Fatalf("exit code %d", code)
		}
		var report control.ForgetReport
		if err := json.Unmarshal([]byte(b.must("forget", "--user", "erase-two-88", "--yes", "--json")), &report); err != nil {
			t.Fatal(err)
		}
		if _, ok := b.sim.Profile("erase-two-88"); ok {
			t.Error("the profile is there")
		}
		b.noBytes("erase-two-88")
		if r := b.brazecdc("send", "--model", "users", "--key", "erase-two-88", "--yes"); r.code != 1 || !strings.Contains(r.err, "erased") {
			t.Errorf("send: exit code %d, %s", r.code, r.err)
		}
		b.exec(`UPDATE users SET plan = 'late'`)
		b.run()
		b.arrives("u-3", "plan", `"late"`)
		for _, id := range []string{"erase-one-77", "erase-two-88"} {
			if _, ok := b.sim.Profile(id); ok {
				t.Errorf("%s is back", id)
			}
		}
		b.noBytes("erase-two-88")
	})
	t.Run("a new row starts anew", func(t *testing.T) {
		b.sim.ClearFaults("")
		b.exec(`DELETE FROM users WHERE id LIKE 'erase%'; INSERT INTO users (id, plan) VALUES ('erase-one-77', 'new')`)
		b.arrives("erase-one-77", "plan", `"new"`)
	})
}

func TestNeverSend(t *testing.T) {
	t.Parallel()
	b := newBench(t, "mode: sync\nload: all\nidentify: { external_id: id }\ncustom: { plan: plan }")
	b.edit("limits:", "never_send: [email, users.first_name]\nlog: { level: debug }\nlimits:")
	b.exec(`INSERT INTO users (id, plan, email, first_name) VALUES ('u-1', 'pro', 'hush@x.io', 'hush-name')`)
	b.fault(brazesim.Fault{Endpoint: "/users/track", Items: []brazesim.ItemFault{{ExternalIDs: []string{"u-2"}, Type: "not liked"}}})
	p := b.run()
	b.arrives("u-1", "plan", `"pro"`)
	t.Run("case 76: what must never leave is in no output and no file", func(t *testing.T) {
		b.exec(`INSERT INTO users (id, plan, email, first_name) VALUES ('u-2', 'pro', 'hush@x.io', 'hush-name')`)
		b.until("it is held back", func() bool { return len(b.entries()) == 1 })
		out := b.must("quarantine", "show", strconv.FormatUint(b.entries()[0].ID, 10)) + b.must("preview", "--model", "users") + b.must("status", "--json") +
			b.must("quarantine", "list", "--json") + b.must("preview", "--model", "users", "--json")
		wantIn(t, out, `"plan"`, "u-2")
		if strings.Contains(out, "hush") {
			t.Errorf("shown: %s", out)
		}
		for _, r := range b.sim.Requests(0) {
			if bytes.Contains(r.Body, []byte("hush")) {
				t.Errorf("%s %s", r.Path, r.Body)
			}
		}
		if code := p.stop(); code != 0 {
			t.Fatalf("exit code %d", code)
		}
		b.noBytes("hush")
		if log := p.err.String(); strings.Contains(log, "hush") || !strings.Contains(log, "held back") {
			t.Errorf("logged: %s", log)
		}
	})
}
