package main

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// TestDemoAppliesADraftInBrowser changes the demo's own configuration in its pages, and sees what comes of it.
func TestDemoAppliesADraftInBrowser(t *testing.T) {
	t.Parallel()
	needServer(t)
	env, dir := demoEnv(t)
	p := start(t, env, "demo", "--rate", "10")
	var pages, sim string
	eventually(t, "the demo runs", func() bool {
		out := p.out.String()
		if m := regexp.MustCompile(`The pages {2}(http://\S+)/`).FindStringSubmatch(out); m != nil {
			pages = m[1]
		}
		if m := regexp.MustCompile(`Braze's stand-in {2}(http://\S+)`).FindStringSubmatch(out); m != nil {
			sim = m[1]
		}
		return pages != "" && sim != "" && strings.Contains(out, " update ")
	})
	b := newBrowser(t, pages, "en")
	b.open("/models/customers")
	b.see("What Braze would get")
	b.click(`details.add-custom > summary`)
	b.fill("#new-name", "via")
	b.choose("#new-from", "value")
	b.fill("#new-text", "the demo")
	b.click(`button[name="add"][value="custom"]`)
	b.see("Saved in the draft")
	b.open("/draft")
	b.see("via")
	b.picture("demo_draft")
	b.click(".apply button.primary")
	b.see("Applied.")
	b.picture("demo_applied")
	eventually(t, "the shop goes on with the new field", func() bool {
		res, err := http.Get(sim + "/_sim/users") //nolint:noctx // a test that ends with its server
		if err != nil {
			return false
		}
		defer func() { _ = res.Body.Close() }()
		text, err := io.ReadAll(res.Body)
		return err == nil && strings.Contains(string(text), `"via":"the demo"`)
	})
	eventually(t, "the changes are told on after it", func() bool { return strings.Contains(p.out.String(), `via:"the demo"`) })
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d\n%s", code, p.err.String())
	}
	nothingLeft(t, dir, p.out.String())
}
