package main

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// figure is a number of the page Live, by the name under which it moves; -1 where it is not known.
func (b *browser) figure(name string) int {
	b.t.Helper()
	text := eval[string](b, `document.querySelector('[data-live="`+name+`"]')?.textContent ?? ''`)
	n, err := strconv.Atoi(regexp.MustCompile(`[.,\s]`).ReplaceAllString(text, ""))
	if err != nil {
		return -1
	}
	return n
}

// visible tells whether an element is shown.
func (b *browser) visible(css string) bool {
	b.t.Helper()
	return eval[bool](b, `(e => !!e && !e.hidden)(document.querySelector('`+css+`'))`)
}

func TestLiveInBrowser(t *testing.T) {
	t.Parallel()
	b := newBench(t, plainModel)
	b.exec(`INSERT INTO users SELECT 'u-' || i, 'u' || i || '@example.com', 'Ada', 'free', i FROM generate_series(1, 150) i`)
	p := b.run()
	b.arrives("u-150", "plan", `"free"`)
	tab := newBrowser(t, "http://"+b.listen, "en")
	tab.open("/?watch=on")
	tab.see("Running, on time.", "Nothing needs you.", "public.users")

	t.Run("a number moves when changes come", func(t *testing.T) {
		eventually(t, "the rows of the load are counted", func() bool { return tab.figure("m.users.changes") >= 150 })
		before := tab.figure("m.users.changes")
		b.exec(`UPDATE users SET plan = 'pro' WHERE id <> 'u-1'`)
		b.arrives("u-150", "plan", `"pro"`)
		eventually(t, "the page counts the changes", func() bool { return tab.figure("m.users.changes") == before+149 })
		if tab.path() != "/?watch=on" {
			t.Errorf("the browser went to %s", tab.path())
		}
	})
	t.Run("changes are seen as they pass, without values", func(t *testing.T) {
		eventually(t, "a change passes", func() bool {
			b.exec(`UPDATE users SET credits = credits + 1 WHERE id = 'u-1'`)
			return strings.Contains(tab.text(), "changed row")
		})
		tab.see("accepted by Braze", "credits")
		if text := tab.text(); strings.Contains(text, "u-1@") || strings.Contains(text, "Ada") {
			t.Error("the page shows values")
		}
	})
	t.Run("charts are drawn, and are a table for who wants one", func(t *testing.T) {
		eventually(t, "a line is drawn", func() bool { return eval[bool](tab, `document.querySelectorAll('.plot .line').length > 0`) })
		tab.click(".chart summary")
		eventually(t, "the table has rows", func() bool {
			return eval[int](tab, `document.querySelectorAll('.chart details[open] tbody tr').length`) > 0
		})
	})
	t.Run("pause holds everything still", func(t *testing.T) {
		tab.click("#live-pause")
		tab.see("Updates are paused.", "Go on updating")
		eventually(t, "the stream is closed", func() bool {
			_, text := b.get("/metrics")
			return strings.Contains(text, "brazecdc_web_event_streams 0")
		})
		before := tab.figure("m.users.changes")
		b.exec(`UPDATE users SET plan = 'team' WHERE id <> 'u-1'`)
		b.arrives("u-150", "plan", `"team"`)
		eval[bool](tab, `new Promise(r => setTimeout(() => r(true), 2500))`) // nothing may come in that time
		if now := tab.figure("m.users.changes"); now != before {
			t.Errorf("%d became %d", before, now)
		}
		tab.click("#live-pause")
		eventually(t, "the page goes on", func() bool { return tab.figure("m.users.changes") >= before+149 })
		tab.gone("Updates are paused.")
	})
	t.Run("the pages of ui beside the process show the same", func(t *testing.T) {
		_, base := startUI(t, b.env, b.dir+"/brazecdc.yaml")
		beside := &bench{t: t, listen: strings.TrimPrefix(base, "http://")}
		eventually(t, "the process is shown, and changes as they pass", func() bool {
			b.exec(`UPDATE users SET credits = credits + 1 WHERE id = 'u-1'`)
			_, text := beside.get("/events/now?topics=live,watch")
			return strings.Contains(text, "Running, on time.") && strings.Contains(text, "changed row")
		})
	})
	t.Run("it is fit for everyone", func(t *testing.T) {
		tab.axe()
		tab.quiet()
		tab.shot("live_en_desk")
		tab.size(320, 900)
		tab.fits()
		tab.axe()
		tab.shot("live_en_phone")
		tab.dark(true)
		eventually(t, "the colours have changed", func() bool { return eval[int](tab, `document.getAnimations().length`) == 0 })
		tab.axe()
		tab.shot("live_en_phone_dark")
		tab.dark(false)
		tab.size(1280, 900)
	})
	t.Run("an emptied table needs someone", func(t *testing.T) {
		b.exec(`TRUNCATE users`)
		tab.see("One thing needs you.", "public.users was emptied (TRUNCATE)", "Nothing was deleted in Braze.", "brazecdc confirm users", "Paused")
		tab.shot("live_en_needs")
		tab.click(".need .button")
		eventually(t, "the page to decide on opens", func() bool { return tab.path() == "/quarantine/decide/users" })
		tab.open("/?watch=on")
		tab.see("One thing needs you.")
	})
	t.Run("an open page does not hold a stop up, and says since when it is not live", func(t *testing.T) {
		if code := p.stop(); code != 0 {
			t.Fatalf("exit code %d", code)
		}
		tab.see("Not live since")
		if !eval[bool](tab, `document.getElementById('live').classList.contains('stale')`) || !tab.visible("#live-banner") {
			t.Error("the numbers are not greyed")
		}
		tab.shot("live_en_lost")
	})
}
