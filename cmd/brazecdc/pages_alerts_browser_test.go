package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestAlertsInBrowser sets alerts up in the pages of a running process, tests them, applies them, and looks at the settings, the support file and the draft.
func TestAlertsInBrowser(t *testing.T) {
	t.Parallel()
	for _, lang := range []string{"en", "de"} {
		t.Run(lang, func(t *testing.T) {
			t.Parallel()
			hook := newReceiver(t)
			b := newBench(t, plainModel)
			b.exec(`INSERT INTO users (id, email, plan) VALUES ('u-1', 'a@example.com', 'pro'), ('u-2', 'b@example.com', 'free')`)
			b.run()
			b.arrives("u-1", "plan", `"pro"`)
			w := newBrowser(t, "http://"+b.listen, lang)
			name := "alerts_" + lang + "_"
			w.open("/settings")
			w.sound()
			w.picture(name + "settings")
			w.open("/settings/alerts")
			w.sound()
			w.picture(name + "none")
			w.fill("#url", "http://hooks.example.com/x")
			w.click("form.card button.primary")
			w.see("https://")
			w.sound()
			w.picture(name + "wrong")
			w.fill("#url", hook.URL+"/services/topsecret")
			w.fill("#secret", "sixteen characters")
			w.fill("#pages", "https://cdc.example.com")
			w.submit("form.card button.primary", "/settings/alerts")
			w.click("form[action='/settings/alerts/test'] button")
			w.see(map[string]string{"en": "The test arrived.", "de": "Die Probe ist angekommen."}[lang])
			if got := hook.got(t); len(got) != 1 || !got[0].Test || got[0].State != "well" || got[0].Workspace != "test" || hook.signed[0] == "" {
				t.Errorf("got %+v", got)
			}
			w.sound()
			w.picture(name + "set")
			w.open("/draft")
			if strings.Contains(w.text(), "topsecret") {
				t.Error("the draft shows the address")
			}
			w.picture(name + "draft")
			w.click("form[action='/draft/apply'] button.primary")
			b.until("the configuration is applied", func() bool {
				return strings.Contains(w.path(), "/draft") && b.status().ConfigHash != "" && !strings.Contains(w.text(), "webhook.url")
			})
			w.open("/settings/alerts")
			w.see(map[string]string{"en": "On", "de": "An"}[lang])
			w.picture(name + "on")
			w.open("/settings/support")
			w.see("==== versions ====", "brazecdc_build_info", "table: public.users")
			if text := w.text(); strings.Contains(text, "topsecret") || strings.Contains(text, testKey) || strings.Contains(text, "a@example.com") {
				t.Error("the support file holds a secret or a value")
			}
			w.sound()
			w.picture(name + "support")
			if out := b.must("ops", "support"); !strings.Contains(out, "brazecdc_build_info") || !strings.Contains(out, `"msg":"starting"`) || strings.Contains(out, "topsecret") {
				t.Errorf("the command prints\n%s", out)
			}
			files, err := filepath.Glob(filepath.Join(b.dir, "brazecdc.secrets", "alerts-*"))
			if err != nil || len(files) != 2 {
				t.Errorf("secrets are kept in %v, %v", files, err)
			}
		})
	}
}
