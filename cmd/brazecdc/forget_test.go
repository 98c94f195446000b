package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"brazecdc/connector"
	"brazecdc/connector/braze/brazesim"
)

// inFiles gives the files in the configuration's folder that hold a text.
func (b *bench) inFiles(text string) (files []string) {
	b.t.Helper()
	err := filepath.WalkDir(b.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Type()&fs.ModeSocket != 0 {
			return err
		}
		content, err := os.ReadFile(path)
		if err == nil && bytes.Contains(content, []byte(text)) {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return files
}

// TestForgetEverywhere: a user leaves traces wherever something is kept of changes, and after forget no file holds its identifier, a key of its rows, or its address.
func TestForgetEverywhere(t *testing.T) {
	t.Parallel()
	const id, key, home, email = "erase-me-4711", "row-key-8821", "home-key-9932", "erase.me@example.com"
	b := newBench(t, strings.Replace(plainModel, "external_id: id", "external_id: ref", 1)+"\nowns_users: true\ndeletes: { max: 1, at_least: 1, window: 1h }")
	b.exec(`ALTER TABLE users ADD ref text; ALTER TABLE users REPLICA IDENTITY FULL;
		CREATE TABLE homes (id text PRIMARY KEY, ref text, city text); ALTER TABLE homes REPLICA IDENTITY FULL;
		CREATE TABLE log (id text PRIMARY KEY, user_id text, what text);
		INSERT INTO users (id, ref, email, plan) VALUES ('` + key + `', ' ` + id + ` ', 'Erase.Me@example.com', 'a'), ('a-1', 'u-1', 'one@x.io', 'a'), ('a-2', 'u-2', 'two@x.io', 'a');
		INSERT INTO homes VALUES ('` + home + `', '` + id + `', 'Bonn')`)
	b.write(strings.Replace(b.text, "models:\n", "load_mark: loading\nmodels:\n", 1) + `
  - { name: homes, kind: users, table: public.homes, mode: sync, load: all, owns_users: false, identify: { external_id: ref }, fields: { home_city: city } }
  - name: signups
    kind: events
    table: public.log
    mode: additive
    load: none
    identify: { external_id: user_id }
    event: { name: { column: what, one_of: [signed_up] } }
`)
	p := b.run()
	b.arrives(id, "email", `"`+email+`"`)
	b.arrives(id, "home_city", `"Bonn"`)
	loaded := func() {
		t.Helper()
		b.until("the loads are over", func() bool {
			return !slices.ContainsFunc(b.status().Loads, func(l connector.LoadState) bool { return l.Finished.IsZero() || l.Closing })
		})
	}
	loaded()
	b.must("resync", "--model", "users", "--key", key, "--all-values", "--yes")
	loaded()
	b.exec(`INSERT INTO log VALUES ('log-` + key + `', '` + id + `', 'left')`) // can't be mapped
	b.fault(brazesim.Fault{Endpoint: "/users/track", Items: []brazesim.ItemFault{{ExternalIDs: []string{id}, Type: "the user '" + id + "' is not liked"}}})
	b.exec(`UPDATE users SET plan = 'refused' WHERE id = '` + key + `'`)
	b.exec(`INSERT INTO log VALUES ('log2-` + key + `', '` + id + `', 'signed_up')`)
	b.until("three are held back", func() bool { return len(b.entries()) == 3 })
	b.sim.ClearFaults("")
	b.exec(`DELETE FROM users WHERE id = 'a-1'; DELETE FROM users WHERE id = '` + key + `'`)
	b.until("its delete is held", func() bool { return b.status().Held == 1 })
	for _, text := range []string{id, key, home, email} {
		if len(b.inFiles(text)) == 0 {
			t.Errorf("no file holds %q before: this test tells nothing of it", text)
		}
	}
	wantIn(t, b.must("forget", "--user", id, "--yes"), "Braze accepted the delete", "3 quarantine entries")
	gone := func() {
		t.Helper()
		for _, text := range []string{id, key, home, email, strings.ToUpper(email[:1]) + "rase.Me"} {
			if files := b.inFiles(text); len(files) > 0 {
				t.Errorf("%q is in %v", text, files)
			}
		}
	}
	gone()
	if code := p.stop(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	gone()
}
