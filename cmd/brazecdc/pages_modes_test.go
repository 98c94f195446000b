package main

import (
	"os"
	"strings"
	"testing"

	"brazecdc/connector"
	"brazecdc/connector/history"
)

// TestPagesTurnToEnrich changes a model under way to the mode that creates nobody, as a person does on the pages.
func TestPagesTurnToEnrich(t *testing.T) {
	t.Parallel()
	b := newBench(t, strings.Replace(plainModel, "mode: sync", "mode: additive", 1))
	b.exec(`INSERT INTO users (id, email, plan) VALUES ('u-1', 'u1@example.com', 'free')`)
	b.run()
	b.arrives("u-1", "plan", `"free"`)
	w := newBrowser(t, "http://"+b.listen, "en")
	w.open("/models/users?tab=options")
	w.see("Only change profiles that exist.", "Braze doesn't tell us whether it knows someone")
	w.click("#mode-enrich")
	w.axe()
	w.click(".save-bar button.primary")
	w.see("Saved in the draft.", "Draft waits")
	w.open("/draft")
	w.see("users: the mode is Enrich (before: Additive)")
	w.axe()
	w.shot("enrich_draft")
	w.click(".apply button.primary")
	w.see("Applied.")
	b.applied()
	b.exec(`INSERT INTO users (id, email, plan) VALUES ('u-2', 'u2@example.com', 'new')`)
	b.exec(`UPDATE users SET plan = 'gold' WHERE id = 'u-1'`)
	b.arrives("u-1", "plan", `"gold"`)
	b.until("the new row was sent, to change a profile that exists", func() bool {
		sent := b.bodies("/users/track", `"u-2"`)
		return len(sent) > 0 && strings.Contains(sent[len(sent)-1], `"_update_existing_only":true`)
	})
	if got := b.profile("u-2", "plan"); got != "" {
		t.Errorf("a profile was created: plan %s", got)
	}
	b.exec(`DELETE FROM users WHERE id = 'u-1'`)
	b.exec(`INSERT INTO users (id, email, plan) VALUES ('u-3', 'u3@example.com', 'new')`)
	b.until("what came after the delete was sent", func() bool { return len(b.bodies("/users/track", `"u-3"`)) > 0 })
	if b.profile("u-1", "plan") != `"gold"` || len(b.bodies("/users/delete", "u-1")) > 0 {
		t.Error("the profile of a deleted row was deleted")
	}
	w.open("/models")
	w.see("Enrich")
	w.open("/users/" + history.Ref([]byte(testKey), connector.User{ID: "u-2"}))
	w.click(".users-past summary")
	w.see("u-2", "Accepted by Braze", "Only an existing profile is changed.", "Not known")
	w.axe()
	w.shot("enrich_user")
	w.quiet()
}

// TestPagesOfAReadOnlyFile looks and changes where the file is managed elsewhere: a change can be built and taken along, and nothing is written.
func TestPagesOfAReadOnlyFile(t *testing.T) {
	t.Parallel()
	b := newBench(t, plainModel)
	b.exec(`INSERT INTO users (id, email, plan) VALUES ('u-1', 'u1@example.com', 'free')`)
	if err := os.Chmod(b.config(), 0o444); err != nil {
		t.Fatal(err)
	}
	b.run()
	b.arrives("u-1", "plan", `"free"`)
	before := string(b.read())
	w := newBrowser(t, "http://"+b.listen, "en")
	w.open("/models/users?tab=options")
	w.click("#mode-additive")
	w.click(".save-bar button.primary")
	w.see("Saved in the draft.", "Draft waits")
	w.open("/draft")
	w.see("The file can't be written here", "Download YAML", "Copy diff", "users: the mode is Additive (before: Sync)")
	w.axe()
	w.shot("readonly_draft")
	if eval[bool](w, `document.querySelector('form[action="/draft/apply"]') !== null`) {
		t.Error("it can be applied")
	}
	// Whoever sends the form all the same is refused.
	if got := eval[int](w, `fetch('/draft/apply', {method: 'POST', headers: {'X-CSRF-Token': document.querySelector('meta[name=csrf]').content}, body: new URLSearchParams({seen: ''})}).then(r => r.status)`); got < 400 {
		t.Errorf("applying it answers %d", got)
	}
	if got := eval[string](w, `fetch(document.querySelector('a[href="/draft/brazecdc.yaml"]').href).then(r => r.text())`); !strings.Contains(got, "mode: additive") || !strings.Contains(got, "${BRAZE_API_KEY}") {
		t.Errorf("what is downloaded is\n%s", got)
	}
	w.open("/settings")
	w.see("Read-only file")
	w.shot("readonly_settings")
	for _, path := range []string{"/connections", "/models/-/add", "/loads/schedule/users", "/versions", "/draft/settings"} {
		w.open(path)
		w.axe()
	}
	if string(b.read()) != before {
		t.Error("the file was written")
	}
	b.exec(`UPDATE users SET plan = 'gold' WHERE id = 'u-1'`)
	b.arrives("u-1", "plan", `"gold"`)
	w.faults = nil // the refusal above is one, on purpose
}
