package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// TestFirstRunWithoutScriptsInBrowser walks the first run in a browser that runs no scripts: every step is a plain form.
func TestFirstRunWithoutScriptsInBrowser(t *testing.T) {
	t.Parallel()
	world := newBench(t, plainModel)
	world.exec(`INSERT INTO users SELECT 'u-' || i, CASE WHEN i % 7 = 0 THEN NULL ELSE 'u' || i || '@example.com' END, 'Ada', 'free', i FROM generate_series(1, 40) i`)
	file := filepath.Join(shortDir(t), "brazecdc.yaml")
	p, base := startUI(t, os.Environ(), file)
	b := newBrowser(t, base, "en")
	if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatal(err)
	}

	b.open("/setup")
	b.submit("a.button.primary", "/setup/source")
	b.fill("#paste", world.url)
	b.submit(".source-form .actions button", "/setup/source")
	b.see("PostgreSQL ")
	b.submit("#source-result .actions a.button", "/setup/braze")
	b.pick("#instance", "other")
	b.fill("#endpoint", world.endpoint())
	b.fill("#key", testKey)
	b.fill("#workspace", "staging")
	b.submit("form .actions button", "/setup/braze")
	b.see("users.track")
	b.submit("#braze-result .actions a.button", "/models/-/add")
	b.fill("#q", "users")
	b.submit("form.search button", "/models/-/add?q=users")
	b.submit(`a[href="/models/-/add?table=public.users"]`, "/models/-/add?table=public.users")
	b.click("label[for=mode-additive]")
	b.click("label[for=load-none]")
	b.submit(".add-form button.primary", "/models/users")
	b.see("What Braze would get", "@example.com")
	if shown := eval[int](b, `[...document.querySelectorAll('.needs-js')].filter(e => e.getClientRects().length > 0).length`); shown != 0 {
		t.Errorf("%d controls are shown that do nothing without scripts", shown)
	}

	// A custom attribute, its settings, and a misfit that the answer tells.
	b.click(`button[name="add"][value="=plan"]`)
	b.see("Saved in the draft")
	b.fill(`#at-custom-plan .line-name`, "Email")
	b.click(".save-bar button.primary")
	b.see("only in case")
	b.picture("noscript_fields")

	// A group, by the rows of the builder alone: a column first, then its operator and value.
	b.open("/models/users?tab=groups")
	b.click(`details.new-group > summary`)
	b.fill(`#gnew-name`, "rich")
	b.fill(`#gnew-uuid`, "5d0f6f8c-0c9b-4a44-8a0e-6e0f3f0f9f1e")
	b.pick(`[id="gnew.r0-c"]`, "credits")
	b.click(`details.new-group[open] .actions button.primary`)
	b.see("write a number")
	b.pick(`[id="gnew.r0-o"]`, "gt")
	b.fill(`[id="gnew.r0-v"]`, "20")
	b.picture("noscript_group")
	b.click(`details.new-group[open] .actions button.primary`)
	b.see("rich", "credits > 20")

	// Preview: rows and operations by plain forms.
	b.open("/models/users?tab=preview")
	b.pick("#row", "noemail")
	b.pick("#op", "update")
	b.click("form.ask button.primary")
	b.see("POST /users/track", `"email": null`)
	b.fill("#key", "u-33")
	b.click("form.ask button.primary")
	b.see("u33@example.com", "subscribed")
	b.picture("noscript_preview")

	// And on to the first user.
	b.open("/setup/start")
	b.submit(".for-one-button", "/setup/done")
	b.see("Accepted by Braze")
	if n := len(world.sim.Profiles()); n != 1 {
		t.Errorf("%d profiles are in Braze", n)
	}
	b.quiet()
	if code := p.stop(); code != 0 {
		t.Errorf("brazecdc ui ended with %d", code)
	}
}

// pick chooses an option of a select by its value, as a person does: the browser alone.
func (b *browser) pick(css, value string) {
	b.t.Helper()
	b.do("choose in "+css, chromedp.WaitVisible(chromedp.CSS(css)), chromedp.SetValue(chromedp.CSS(css), value))
}
