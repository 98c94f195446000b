package main

import (
	"testing"
)

// TestBackfillInBrowser applies a draft with a new field, and has it brought for rows that do not change.
func TestBackfillInBrowser(t *testing.T) {
	t.Parallel()
	for _, lang := range []string{"en", "de"} {
		t.Run(lang, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, plainModel)
			b.exec(`INSERT INTO users SELECT 'u-' || i, 'u' || i || '@example.com', 'Ada', 'free', i, 'note ' || i FROM generate_series(1, 30) i; ANALYZE users`)
			b.run()
			b.arrives("u-30", "plan", `"free"`)
			w := newBrowser(t, "http://"+b.listen, lang)
			word := func(en, de string) string { return map[string]string{"en": en, "de": de}[lang] }
			w.open("/models/users")
			w.click(`button[name="add"][value="=note"]`)
			w.see(word("Saved in the draft", "Im Entwurf gespeichert"))
			w.open("/draft")
			w.see(word("users: note is new or changed", "users: note ist neu oder geändert"), word("About 30 users, at most 30 values.", "Etwa 30 Profile, höchstens 30 Werte."),
				word("unknown until a day has passed", "unbekannt, bis ein Tag vergangen ist"), "brazecdc resync --model users --field note")
			w.sound()
			w.picture("backfill_" + lang)
			w.click(`input[name="backfill.users"][value="all"]`)
			w.submit(".apply form button.primary", "/loads")
			w.see(word("The back-fill of users has begun.", "Der Nachtrag von users hat begonnen."))
			w.sound()
			w.picture("backfill_begun_" + lang)
			b.arrives("u-1", "note", `"note 1"`)
			b.arrives("u-30", "note", `"note 30"`)

			// Only from now on: nothing is brought.
			w.open("/models/users")
			w.click(`details.add-custom > summary`)
			w.fill("#new-name", "via")
			w.choose("#new-from", "value")
			w.fill("#new-text", "pages")
			w.click(`button[name="add"][value="custom"]`)
			w.see(word("Saved in the draft", "Im Entwurf gespeichert"))
			w.open("/draft")
			w.click(".apply form button.primary")
			w.see(word("Applied.", "Angewendet."))
			b.exec(`UPDATE users SET plan = 'pro' WHERE id = 'u-2'`)
			b.arrives("u-2", "via", `"pages"`)
			if got := b.profile("u-3", "via"); got != "" {
				t.Errorf("a row that did not change has %s", got)
			}
		})
	}
}
