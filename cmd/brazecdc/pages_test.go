package main

import (
	"regexp"
	"strings"
	"testing"
)

// plainPages are the pages without parameters.
var plainPages = []string{"/", "/setup", "/connections", "/models", "/draft", "/versions", "/users", "/quarantine", "/loads", "/activity", "/settings", "/help"}

// startUI serves the pages of a configuration that need not exist, without running the stream, and gives their address.
func startUI(t *testing.T, env []string, config string) (*process, string) {
	t.Helper()
	p := start(t, env, "ui", "--listen", "127.0.0.1:0", "--config", config)
	var address string
	eventually(t, "the pages are served", func() bool {
		if p.ended() {
			t.Fatalf("brazecdc ui ended\n%s", p.err.String())
		}
		if m := regexp.MustCompile(`http://[0-9.:]+`).FindString(p.out.String()); m != "" {
			address = m
		}
		return address != ""
	})
	return p, address
}

// look sees that every page without parameters is fit for everyone: on a desk and a phone, in both languages, in light and dark.
func look(t *testing.T, base, name string) {
	for _, lang := range []string{"en", "de"} {
		t.Run(name+" in "+lang, func(t *testing.T) {
			b := newBrowser(t, base, lang)
			for _, path := range plainPages {
				for _, width := range []int64{1280, 320} {
					b.size(width, 900)
					b.open(path)
					if got := eval[int](b, `performance.getEntriesByType('navigation')[0].responseStatus`); got != 200 {
						t.Errorf("%s answers %d", path, got)
					}
					if got := eval[string](b, `document.documentElement.lang`); got != lang {
						t.Errorf("%s speaks %q", path, got)
					}
					b.fits()
					b.dark(false)
					b.axe()
					if width == 1280 {
						b.dark(true)
						b.axe()
						b.dark(false)
					}
					b.quiet()
					b.shot(strings.Join([]string{name, strings.Trim(path, "/"), lang, map[int64]string{1280: "desk", 320: "phone"}[width]}, "_"))
				}
			}
		})
	}
}

func TestPagesInBrowser(t *testing.T) {
	t.Parallel()
	t.Run("without a configuration", func(t *testing.T) {
		t.Parallel()
		dir := shortDir(t)
		_, base := startUI(t, newBench(t, plainModel).env, dir+"/brazecdc.yaml")
		look(t, base, "empty")
	})
	t.Run("of a running process", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, plainModel)
		b.exec(`INSERT INTO users SELECT 'u-' || i, 'u' || i || '@example.com', 'Ada', 'free', i FROM generate_series(1, 150) i`)
		b.run()
		b.arrives("u-150", "plan", `"free"`)
		look(t, "http://"+b.listen, "running")
	})
}

func TestSignInInBrowser(t *testing.T) {
	t.Parallel()
	bench := newBench(t, plainModel)
	for _, args := range [][]string{{"add", "kim", "--role", "editor"}, {"add", "jo", "--role", "viewer"}} {
		if out, code := userCommand(t, bench.config(), "a long password\n", args...); code != 0 {
			t.Fatalf("exit code %d\n%s", code, out)
		}
	}
	_, base := startUI(t, bench.env, bench.config())
	signIn := func(b *browser, name, password string) {
		b.fill("#name", name)
		b.fill("#password", password)
		b.press("\r")
	}
	t.Run("an editor comes to where she wanted to go, and changes things", func(t *testing.T) {
		b := newBrowser(t, base, "en")
		b.open("/settings")
		b.axe()
		b.shot("login_en_desk")
		signIn(b, "kim", "not the password")
		b.see("Name or password is wrong")
		if got := eval[string](b, `document.activeElement.id`); got != "problems" {
			t.Errorf("the focus is on %q, not on what is wrong", got)
		}
		signIn(b, "kim", "a long password")
		b.see("How the pages look", "kim", "Add a user")
		b.axe()
		b.shot("settings_editor_en_desk")
		b.choose("#lang", "de")
		b.click(".settings form[action='/look'] button.primary")
		b.see("Wie die Seiten aussehen", "Für diesen Browser gemerkt")
		b.submit("form[action='/logout'] button", "/login")
		b.open("/models")
		b.see("Anmelden")
		b.quiet()
	})
	t.Run("a viewer sees no button that changes anything", func(t *testing.T) {
		b := newBrowser(t, base, "de")
		b.size(360, 800)
		b.open("/")
		b.fits()
		b.shot("login_de_phone")
		signIn(b, "jo", "a long password")
		b.see("jo", "Abmelden")
		for _, path := range plainPages {
			b.open(path)
			forms := eval[[]string](b, `[...document.querySelectorAll('form[method=post]')].filter(f => [...f.elements].some(e => e.type === 'submit')).map(f => new URL(f.action).pathname)`)
			for _, f := range forms {
				if f != "/logout" && f != "/look" && f != "/users/find" && f != "/users" {
					t.Errorf("%s has a button to %s", path, f)
				}
			}
		}
		b.open("/settings")
		if strings.Contains(b.text(), "kim") {
			t.Error("a viewer sees who may sign in")
		}
		b.quiet()
	})
}
