package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/braze/brazesim"
	"brazecdc/connector/history"
	"brazecdc/connector/sourcetest"
)

// worldModel has what the pages of a busy process show: a private column, a brake that few deletes reach, a schedule.
const worldModel = `mode: sync
load: all
identify: { external_id: id }
fields: { email: email, first_name: first_name }
custom: { plan: plan, credits: { column: credits, type: number }, iban: iban }
deletes: { max: 3, window: 10m }
schedule: { cron: "0 3 * * *", time_zone: Europe/Berlin }`

// pagesWorld is a process with changes held back, deletes that wait, a user with a past, and so many rows that a load takes a while.
func pagesWorld(t *testing.T) *bench {
	t.Helper()
	b := newBench(t, worldModel)
	b.exec(`ALTER TABLE users ADD iban text`)
	b.exec(`INSERT INTO users SELECT 'u-' || i, 'u' || i || '@example.com', 'Ada', 'free', i, NULL, 'DE' || i FROM generate_series(1, 40000) i; ANALYZE users`)
	b.run()
	b.arrives("u-40000", "plan", `"free"`)
	b.until("the load is recorded", func() bool { l := b.status().Loads; return len(l) == 1 && !l[0].Running() })
	b.fault(worldFault(0))
	b.exec(`UPDATE users SET plan = 'pro', iban = 'DE' || id WHERE id IN ('u-1', 'u-2', 'u-3')`)
	b.until("three are held back", func() bool { return b.status().Quarantine == 3 })
	b.exec(`DELETE FROM users WHERE id IN ('u-10', 'u-11', 'u-12', 'u-13', 'u-14', 'u-15')`)
	b.until("three deletes wait", func() bool { return b.status().Held == 3 })
	b.exec(`UPDATE users SET plan = 'gold' WHERE id = 'u-20'`)
	b.arrives("u-20", "plan", `"gold"`)
	return b
}

// worldFault has Braze refuse three users, and take so long for each call.
func worldFault(delay time.Duration) brazesim.Fault {
	return brazesim.Fault{Endpoint: "/users/track", Delay: delay, Items: []brazesim.ItemFault{{ExternalIDs: []string{"u-1", "u-2", "u-3"}, Type: "the plan is not liked"}}}
}

// TestPagesOfABusyProcess walks what a person does while a load takes its time, then looks at every page in both languages, light and dark, on a desk and a
// phone.
func TestPagesOfABusyProcess(t *testing.T) {
	t.Parallel()
	b := pagesWorld(t)
	base := "http://" + b.listen
	w := newBrowser(t, base, "en")
	t.Run("a load tells its rate and what is left, and is slowed, paused and gone on with", func(t *testing.T) {
		b.sim.ClearFaults("")
		b.fault(worldFault(time.Second))
		w.open("/loads/new")
		w.click("input[name=all_values]")
		w.click("main button.primary")
		w.see("about", "can start campaigns in Braze")
		w.click("main button.primary")
		w.see("Re-sync of users")
		if got := eval[string](w, `document.activeElement.id`); got != "flash" {
			t.Errorf("the focus is on %q, not on what was done", got)
		}
		figure := func(name string) string {
			return eval[string](w, fmt.Sprintf(`[...document.querySelectorAll('section.load dt')].find(d => d.textContent === %q)?.nextElementSibling.textContent ?? ''`, name))
		}
		b.until("rate and time left are told", func() bool {
			w.open("/loads")
			rate, left := figure("Rows a second"), figure("Time left")
			return rate != "" && rate != "–" && left != "" && left != "–"
		})
		press := func(do string) {
			t.Helper()
			// At once: the part of the page is exchanged every two seconds.
			eval[bool](w, fmt.Sprintf(`(document.querySelector('section.load form:has(input[name=do][value=%s]) button').click(), true)`, do))
		}
		press("slower")
		w.see("is slower now", "works 50 % of the time")
		press("slower")
		w.see("works 25 % of the time")
		press("pause")
		w.see("Paused")
		at := b.status().Loads
		press("faster")
		w.see("is faster now")
		press("resume")
		w.see("goes on")
		press("slower")
		w.see("works 25 % of the time")
		b.until("it goes on", func() bool {
			for _, l := range b.status().Loads {
				for _, before := range at {
					if l.ID == before.ID && l.Running() && l.Rows > before.Rows {
						return true
					}
				}
			}
			return false
		})
		w.quiet()
	})
	t.Run("private values are hidden from an editor who did not ask", func(t *testing.T) {
		shown := false
		b.until("an entry that lives for so long shows its private values", func() bool { // a load replaces entries
			w.open(fmt.Sprintf("/quarantine/e/%d", b.entries()[0].ID))
			if !strings.Contains(w.text(), "looks private") {
				return false
			}
			if strings.Contains(w.text(), "DEu-") {
				t.Error("the bank account is shown")
			}
			w.click("form.note button")
			sourcetest.Poll(patience, 50*time.Millisecond, func() bool {
				text := w.text()
				shown = strings.Contains(text, "DEu-") && strings.Contains(text, "Hide them")
				return shown || strings.Contains(text, "This entry is gone")
			})
			return shown
		})
		w.open("/activity")
		w.see("Showed the private values of held back change")
	})
	w.open("/quarantine")
	group := eval[string](w, `document.querySelector('.groups th a').getAttribute('href')`)
	pages := append(append([]string(nil), plainPages...), "/models/users", "/models/users?tab=groups", "/models/users?tab=options", "/models/users?tab=preview", "/models/-/add",
		"/users/"+history.Ref([]byte(testKey), connector.User{ID: "u-20"}), group, "/quarantine/e/", "/quarantine/decide/users", "/quarantine/decide/users?do=send", "/loads/new", "/loads/schedule/users",
		"/versions/1", "/?span=day&watch=on")
	for _, lang := range []string{"en", "de"} {
		t.Run("every page is fit for everyone in "+lang, func(t *testing.T) {
			t.Parallel()
			v := newBrowser(t, base, lang)
			for _, path := range pages {
				for _, width := range []int64{1280, 360} {
					path := path
					v.size(width, 900)
					v.dark(false)
					if path == "/quarantine/e/" { // a load replaces entries
						path += fmt.Sprint(b.entries()[0].ID)
					}
					v.open(path)
					if got := eval[int](v, `performance.getEntriesByType('navigation')[0].responseStatus`); got != 200 {
						t.Errorf("%s answers %d", path, got)
					}
					v.fits()
					for _, dark := range []bool{false, true} {
						v.dark(dark)
						v.axe()
						v.shot(fmt.Sprintf("world_%s_%s_%d_%s", strings.NewReplacer("?", "-", "=", "-", "&", "-", ":", "").Replace(strings.Trim(path, "/")), lang, width, map[bool]string{false: "light", true: "dark"}[dark]))
					}
					v.quiet()
				}
			}
		})
	}
}

// TestPagesByKeyboard goes through the main pages with the Tab key alone.
func TestPagesByKeyboard(t *testing.T) {
	t.Parallel()
	b := pagesWorld(t)
	w := newBrowser(t, "http://"+b.listen, "en")
	for _, path := range []string{"/", "/models/users", "/users", "/quarantine", "/loads", "/loads/new", "/activity", "/settings", "/connections"} {
		t.Run(path, func(t *testing.T) {
			w.open(path)
			w.press("\t")
			if got := eval[string](w, `document.activeElement.className`); got != "skip" {
				t.Fatalf("the first stop is %q, not the way past the navigation", got)
			}
			w.press("\r")
			if got := eval[string](w, `document.activeElement.id`); got != "main" {
				t.Fatalf("it leads to %q", got)
			}
			// From there on every stop comes later on the page than the one before, can be seen, and shows that it has the focus.
			stops := 0
			for last := -1; ; stops++ {
				w.press("\t")
				stop := eval[struct {
					At   int
					What string
					Seen bool
					Mark bool
				}](w, `(() => {
					const e = document.activeElement;
					const s = getComputedStyle(e);
					const box = e.getBoundingClientRect();
					return {
						At: e === document.body ? -1 : [...document.querySelectorAll('*')].indexOf(e),
						What: e.outerHTML.slice(0, 120),
						Seen: box.width > 0 && box.height > 0 && box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
						Mark: s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 1 || s.boxShadow !== 'none',
					};
				})()`)
				if stop.At < 0 {
					break
				}
				if stop.At <= last {
					t.Errorf("after element %d comes element %d: %s", last, stop.At, stop.What)
					break
				}
				if !stop.Seen || !stop.Mark {
					t.Errorf("a stop can't be seen (%v) or does not show the focus (%v): %s", stop.Seen, stop.Mark, stop.What)
				}
				last = stop.At
			}
			if stops < 4 {
				t.Errorf("there are %d stops behind the navigation", stops)
			}
			w.quiet()
		})
	}
	t.Run("a form that is refused leads to what is wrong, one that is taken to what was done", func(t *testing.T) {
		w.open("/loads/new")
		w.click("#some")
		w.click("main button.primary")
		w.see("One thing needs your attention")
		if got := eval[string](w, `document.activeElement.id`); got != "problems" {
			t.Errorf("the focus is on %q", got)
		}
		w.click("#problems a")
		if got := eval[string](w, `document.activeElement.id`); got != "keys" {
			t.Errorf("the link leads to %q, not to the field", got)
		}
		w.open("/settings")
		w.click("form[action='/look'] button.primary")
		w.see("Kept for this browser")
		if got := eval[string](w, `document.activeElement.id`); got != "flash" {
			t.Errorf("the focus is on %q", got)
		}
	})
	t.Run("deletes that wait are answered without a mouse", func(t *testing.T) {
		w.open("/quarantine/decide/users?do=drop")
		eval[bool](w, `document.querySelector('#ask button.primary').focus() ?? true`)
		w.press("\r")
		b.until("nothing waits", func() bool { return b.status().Held == 0 })
		w.see("Held back")
	})
}
