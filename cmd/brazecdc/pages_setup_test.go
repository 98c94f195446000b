package main

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// picture takes the page as it is on a desk and on a phone.
func (b *browser) picture(name string) {
	b.t.Helper()
	if os.Getenv("BRAZECDC_SCREENSHOTS") == "" {
		return
	}
	for _, w := range []struct {
		width int64
		name  string
	}{{1280, "desk"}, {360, "phone"}} {
		b.size(w.width, 900)
		b.shot(name + "_" + w.name)
	}
	b.size(1280, 900)
}

// sound sees that the page is fit for everyone.
func (b *browser) sound() {
	b.t.Helper()
	for _, width := range []int64{320, 1280} {
		b.size(width, 900)
		b.fits()
	}
	b.axe()
	b.quiet()
}

// submit presses the form's button and waits for the page after it.
func (b *browser) submit(css, then string) {
	b.t.Helper()
	b.click(css)
	eventually(b.t, "the page after "+css+" is "+then+"; it is "+b.path()+" and shows\n"+b.text(), func() bool { return strings.HasPrefix(b.path(), then) })
}

// TestFirstRunInBrowser walks from nothing to the first user in the simulator.
func TestFirstRunInBrowser(t *testing.T) {
	t.Parallel()
	for _, lang := range []string{"en", "de"} {
		t.Run(lang, func(t *testing.T) {
			t.Parallel()
			firstRun(t, lang)
		})
	}
}

// loyalGroup is the id of a subscription group.
const loyalGroup = "5d0f6f8c-0c9b-4a44-8a0e-6e0f3f0f9f1e"

func firstRun(t *testing.T, lang string) {
	world := newBench(t, plainModel)
	world.exec(`INSERT INTO users SELECT 'u-' || i, 'u' || i || '@example.com', 'Ada', 'free', i FROM generate_series(1, 150) i`)
	dir := shortDir(t)
	file := filepath.Join(dir, "brazecdc.yaml")
	p, base := startUI(t, os.Environ(), file)
	if !strings.Contains(p.out.String(), base+"/setup") {
		t.Errorf("the address of the first run is not told: %s", p.out.String())
	}
	b := newBrowser(t, base, lang)
	begun := time.Now()
	name := "setup_" + lang + "_"

	b.open("/setup")
	b.sound()
	b.picture(name + "0_welcome")
	b.submit("a.button.primary", "/setup/source")

	// Source: a wrong port first, then what is right.
	u, err := url.Parse(world.url)
	if err != nil {
		t.Fatal(err)
	}
	b.sound()
	b.picture(name + "1_source")
	b.fill("#paste", "postgres://nobody@127.0.0.1:1/shop")
	b.click(".source-form button.primary")
	b.see("127.0.0.1:1")
	b.sound()
	b.picture(name + "1_source_bad")
	b.fill("#paste", u.String())
	b.submit(".source-form .actions button", "/setup/source")
	b.see("PostgreSQL ")
	b.sound()
	b.picture(name + "1_source_good")
	b.submit("#source-result .actions a.button", "/setup/braze")

	// Braze: a wrong key first.
	endpoint := world.endpoint()
	b.choose("#instance", "other")
	b.fill("#endpoint", endpoint)
	b.fill("#key", "not-the-key")
	b.fill("#workspace", "staging")
	b.click("form .actions button")
	b.see(map[string]string{"en": "Wrong key or wrong instance", "de": "Falscher Schlüssel oder falsche Instanz"}[lang])
	b.sound()
	b.picture(name + "2_braze_refused")
	b.fill("#key", testKey)
	b.submit("form .actions button", "/setup/braze")
	b.see("users.track")
	b.sound()
	b.picture(name + "2_braze_good")
	b.submit("#braze-result .actions a.button", "/models/-/add")

	// Table and mode.
	b.picture(name + "3_tables")
	b.open("/models/-/add?table=public.users")
	b.picture(name + "3_table")
	b.click("label[for=mode-additive]")
	b.click("label[for=load-none]")
	b.submit(".add-form button.primary", "/models/users")
	b.picture(name + "5_fields")

	// A group by the rule builder.
	b.submit(".setup-go a:last-child", "/models/users?tab=groups")
	b.click("details.new-group > summary")
	b.fill("#gnew-name", "loyal")
	b.fill("#gnew-uuid", loyalGroup)
	b.choose(`[id="gnew.r0-c"]`, "credits")
	eventually(t, "a number is compared as one", func() bool {
		return eval[bool](b, `!!document.querySelector('[id="gnew.r0-o"] option[value=gt]')`)
	})
	b.choose(`[id="gnew.r0-o"]`, "lt")
	b.fill(`[id="gnew.r0-v"]`, "2")
	eventually(t, "the text follows the builder", func() bool { return eval[string](b, `document.getElementById('gnew-rule').value`) == "credits < 2" })
	b.see(map[string]string{"en": "of 150 rows match", "de": "von 150 Zeilen"}[lang])
	b.picture(name + "6_groups")
	b.click("details.new-group[open] .actions button.primary")
	b.see("credits < 2", map[string]string{"en": "Saved in the draft", "de": "Im Entwurf gespeichert"}[lang])
	b.submit(".setup-go a:last-child", "/models/users?tab=preview")
	b.see("loyal")
	b.picture(name + "7_preview")

	// Start: one user, then from now on.
	b.open("/setup/start")
	b.sound()
	b.picture(name + "8_start")
	b.submit(".for-one-button", "/setup/done")
	world.until("the first user is in Braze", func() bool { _, ok := world.sim.Profile("u-1"); return ok })
	t.Logf("the first user was in Braze after %s", time.Since(begun).Round(time.Millisecond))
	if took := time.Since(begun); took > 5*time.Minute {
		t.Errorf("the first user took %s", took)
	}
	b.sound()
	b.picture(name + "9_first")
	b.open("/setup/start")
	b.click("#how-load")
	b.picture(name + "8_load")
	b.click("#how-now")
	b.submit(".for-stream-button", "/setup/done")
	b.sound()
	b.picture(name + "9_running")
	world.exec(`UPDATE users SET plan = 'gold' WHERE id = 'u-2'`)
	world.until("a change reaches Braze", func() bool { _, ok := world.sim.Profile("u-2"); return ok })
	world.exec(`INSERT INTO users VALUES ('u-200', 'new@example.com', 'Eva', 'free', 1), ('u-201', 'old@example.com', 'Eva', 'free', 9)`)
	world.until("who meets the rule is in the group, and who does not is not", func() bool {
		in, _ := world.sim.Profile("u-200")
		out, ok := world.sim.Profile("u-201")
		return ok && strings.EqualFold(in.Groups[loyalGroup], "subscribed") && !strings.EqualFold(out.Groups[loyalGroup], "subscribed")
	})
	b.open("/users")
	b.fill("#value", "u-2")
	b.press("\r")
	b.see(`"u2@example.com"`)
	b.open("/connections")
	b.sound()
	b.picture(name + "connections")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), testKey) || !strings.Contains(string(text), "${file:brazecdc.secrets/braze-api-key-") {
		t.Errorf("the file holds the key, or does not name its file:\n%s", text)
	}
	if code := p.stop(); code != 0 {
		t.Errorf("brazecdc ui ended with %d", code)
	}
}

// endpoint is the simulator's address.
func (b *bench) endpoint() string {
	for _, v := range b.env {
		if after, ok := strings.CutPrefix(v, "TEST_ENDPOINT="); ok {
			return after
		}
	}
	return ""
}
