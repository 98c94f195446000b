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
