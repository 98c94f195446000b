package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// applied waits until the process works with what the file holds, and gives that.
func (b *bench) applied() string {
	b.t.Helper()
	var text []byte
	b.until("the process works with the file", func() bool {
		var err error
		text, err = os.ReadFile(b.config())
		return err == nil && b.status().ConfigHash == hashOf(text)
	})
	return string(text)
}

func TestDraftInBrowser(t *testing.T) {
	t.Parallel()
	b := newBench(t, plainModel)
	b.exec("INSERT INTO users (id, email, plan) VALUES ('u-1', 'u1@example.com', 'free')")
	b.run()
	b.arrives("u-1", "plan", `"free"`)
	before := b.text
	page := newBrowser(t, "http://"+b.listen, "en")
	good := func(name string) {
		t.Helper()
		for _, width := range []int64{320, 1280} {
			page.size(width, 900)
			page.fits()
			page.axe()
		}
		page.quiet()
		page.shot(name)
	}

	page.open("/draft")
	page.see("No changes wait")
	page.open("/draft/settings")
	page.click("#part-limits summary")
	page.fill("#s-limits-drain", "20s")
	good("draft_settings")
	page.click(".save button")
	page.see("One change is in the draft")
	page.open("/draft")
	page.see("Wait for what is under way at a stop: 10s → 20s")
	good("draft_words")
	page.open("/draft?tab=file")
	page.see("From line", "drain: 20s")
	good("draft_file")
	page.fill("#reason", "a shorter stop")
	page.click(".apply button.primary")
	page.see("Applied.")
	if got := b.applied(); !strings.Contains(got, "drain: 20s") || !strings.Contains(got, strings.TrimSpace(before[strings.Index(before, "models:"):])) {
		t.Errorf("the file holds\n%s", got)
	}

	t.Run("a mapping is changed by hand and applied to the stream", func(t *testing.T) {
		page.open("/draft?tab=hand")
		text := strings.Replace(string(b.read()), "plan: plan", "tariff: plan", 1)
		page.set("#text", text)
		good("draft_hand")
		page.click("main .actions button.primary")
		page.see("Your text is the draft now")
		page.open("/draft")
		page.see("tariff is new, from plan", "plan is no longer sent")
		page.click(".apply button.primary")
		page.see("Applied.")
		b.applied()
		b.exec("UPDATE users SET plan = 'gold' WHERE id = 'u-1'")
		b.arrives("u-1", "tariff", `"gold"`)
	})
	t.Run("what can't start is refused, and the stream goes on", func(t *testing.T) {
		good := b.read()
		page.open("/draft?tab=hand")
		page.set("#text", strings.Replace(string(good), "tariff: plan", "tariff: plann", 1))
		page.click("main .actions button.primary")
		page.see("Your text is the draft now")
		page.open("/draft")
		page.click(".apply button.primary")
		page.see("The check found something", "plann")
		page.shot("draft_refused")
		if string(b.read()) != string(good) {
			t.Error("the file was changed")
		}
		page.click(".drop summary")
		page.click(".drop button")
		page.see("The draft is gone")
	})
	t.Run("an earlier version comes back", func(t *testing.T) {
		page.open("/versions")
		page.see("Version 3", "a shorter stop")
		good("draft_versions")
		page.open("/versions/3?with=1")
		page.see("Changes since version 1")
		good("draft_version")
		page.open("/versions/1")
		page.click("main form[action$=back] button")
		page.see("Version 1 is the draft now")
		page.click(".apply button.primary")
		page.see("Applied.")
		if got := b.applied(); got != before {
			t.Errorf("the file holds\n%s\nnot\n%s", got, before)
		}
	})
	t.Run("a file that was edited meanwhile is not overwritten", func(t *testing.T) {
		page.open("/draft/settings")
		page.click("#part-limits summary")
		page.fill("#s-limits-drain", "25s")
		page.click(".save button")
		page.see("Draft waits") // the button speaks of the draft too
		b.write(before + "# theirs\n")
		page.open("/draft")
		page.see("The file was changed meanwhile")
		good("draft_stale")
		page.click("form[action='/draft/top'] button")
		page.see("on top of the new file")
		page.click(".apply button.primary")
		page.see("Applied.")
		if got := b.applied(); !strings.Contains(got, "# theirs") || !strings.Contains(got, "drain: 25s") {
			t.Errorf("the file holds\n%s", got)
		}
	})
	page.open("/activity")
	page.see("Applied a draft", "a shorter stop", "Dropped the draft", "Made version 1 the draft")
	good("draft_activity")
}

// read is the configuration as the file holds it.
func (b *bench) read() []byte {
	b.t.Helper()
	text, err := os.ReadFile(b.config())
	if err != nil {
		b.t.Fatal(err)
	}
	return text
}

// set puts a text into a field at once.
func (b *browser) set(css, value string) {
	b.t.Helper()
	eval[bool](b, `(() => { document.querySelector('`+css+`').value = `+quotedJSON(value)+`; return true; })()`)
}

func quotedJSON(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return `""` // a string always encodes
	}
	return string(b)
}
