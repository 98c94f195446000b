package main

import (
	"fmt"
	"strings"
	"testing"

	"brazecdc/connector/braze/brazesim"
)

// TestPagesHeld does in a browser what a person does with what is held back, over the real program.
func TestPagesHeld(t *testing.T) {
	t.Parallel()
	b := newBench(t, plainModel+"\ndeletes: { max: 3, window: 10m }")
	b.exec(`INSERT INTO users SELECT 'u-' || i, 'u' || i || '@example.com', 'Ada', 'free', i FROM generate_series(1, 150) i; ANALYZE users`)
	b.run()
	b.arrives("u-150", "plan", `"free"`)
	b.until("the load is recorded", func() bool { l := b.status().Loads; return len(l) == 1 && !l[0].Running() })
	refuse := func(users ...string) {
		t.Helper()
		b.sim.ClearFaults("")
		if len(users) > 0 {
			b.fault(brazesim.Fault{Endpoint: "/users/track", Items: []brazesim.ItemFault{{ExternalIDs: users, Type: "the plan is not liked"}}})
		}
	}
	refuse("u-1", "u-2", "u-3", "u-4", "u-5")
	b.exec(`UPDATE users SET plan = 'pro' WHERE id IN ('u-1', 'u-2', 'u-3', 'u-4', 'u-5')`)
	b.until("five are held back", func() bool { return b.status().Quarantine == 5 })
	w, de := newBrowser(t, "http://"+b.listen, "en"), newBrowser(t, "http://"+b.listen, "de")
	look := func(name, path string) {
		t.Helper()
		for lang, v := range map[string]*browser{"en": w, "de": de} {
			for _, width := range []int64{360, 1280} {
				v.size(width, 900)
				v.open(path)
				v.fits()
				v.axe()
				v.quiet()
				v.shot(fmt.Sprintf("held_%s_%s_%d", name, lang, width))
			}
		}
	}
	entry := func(user string) string {
		t.Helper()
		for _, e := range b.entries() {
			if e.User.ID == user {
				return fmt.Sprintf("/quarantine/e/%d", e.ID)
			}
		}
		t.Fatalf("nothing of %s is held back", user)
		return ""
	}
	t.Run("one is retried from its page, refused again, and arrives", func(t *testing.T) {
		look("overview", "/quarantine")
		w.see("5 changes are held back", "Braze did not accept it", "the plan is not liked", "5 in the last hour")
		w.click(".groups th a")
		w.see("What to do", "u-1")
		look("group", w.path())
		look("entry", entry("u-1"))
		w.see("Held back change", "pro")
		w.click("main button.primary")
		w.see("It was not accepted", "the plan is not liked")
		refuse("u-2", "u-3")
		w.open(entry("u-1"))
		w.click("main button.primary")
		w.see("Braze accepted it.", "Ended")
		b.arrives("u-1", "plan", `"pro"`)
	})
	t.Run("all are retried in the background, and the page tells which did not go through", func(t *testing.T) {
		w.open("/quarantine")
		w.click(".groups th a")
		w.see("All 4 changes that match")
		w.click(".held-all button.primary")
		w.see("4 changes", "Retry 4 changes")
		w.shot("held_confirm_en_1280")
		w.click("main button.primary")
		w.see("not all went through", "the plan is not liked")
		look("job", w.path())
		b.arrives("u-4", "plan", `"pro"`)
		b.arrives("u-5", "plan", `"pro"`)
		if n := b.status().Quarantine; n != 2 {
			t.Errorf("%d are held back", n)
		}
		refuse()
		w.open("/quarantine")
		w.click(".groups th a")
		w.click("[data-tick-all]")
		w.click(".held-form button[value=discard]")
		w.fill("#why", "a test")
		w.click("main button.danger")
		w.see("Discarded", "Done")
		b.until("nothing is held back", func() bool { return b.status().Quarantine == 0 })
	})
	t.Run("held deletes wait for a person", func(t *testing.T) {
		b.exec(`DELETE FROM users WHERE id IN ('u-10', 'u-11', 'u-12', 'u-13', 'u-14', 'u-15')`)
		b.until("three are held", func() bool { return b.status().Held == 3 })
		look("decide", "/quarantine/decide/users")
		w.see("3 users of users would be deleted within 10 min; your limit is 3", "Drop the deletes")
		w.open("/quarantine/decide/users?do=send")
		w.see("3 profiles are deleted in Braze", "for good")
		w.click("#ask button.danger")
		w.see("3 deletes of users are being sent.")
		b.until("they are gone in Braze", func() bool {
			return b.profile("u-13", "plan") == "" && b.profile("u-14", "plan") == "" && b.profile("u-15", "plan") == ""
		})
	})
	t.Run("a load begins after its estimate and shows how far it is", func(t *testing.T) {
		look("new", "/loads/new")
		w.click("#field")
		w.click(`input[name=field][value=plan]`)
		w.click("input[name=all_values]")
		w.click("main button.primary")
		w.see("can start campaigns in Braze", "Only plan.")
		w.shot("held_sure_en_1280")
		b.fault(brazesim.Fault{Endpoint: "/users/track", Delay: 300 * 1e6})
		w.click("main button.primary")
		w.see("Back-fill of users")
		b.until("it is done", func() bool {
			for _, l := range b.status().Loads {
				if l.Resync != nil {
					return !l.Running()
				}
			}
			return false
		})
		w.see("Done")
		refuse()
		look("loads", "/loads")
	})
	t.Run("an emptied table goes on by a re-sync that names who is gone", func(t *testing.T) {
		b.exec(`TRUNCATE users; INSERT INTO users SELECT 'u-' || i, 'u' || i || '@example.com', 'Ada', 'free', i FROM generate_series(100, 150) i`)
		b.until("the model is paused", func() bool { return b.status().Models[0].Paused != "" })
		look("truncate", "/quarantine/decide/users")
		w.see("public.users was emptied (TRUNCATE) at", "Nothing was deleted in Braze. The model is paused.", "Continue without deleting")
		w.click("button[value=resync]")
		w.see("users goes on and is re-synced")
		b.until("who is gone is named", func() bool { return b.status().Held > 50 })
		w.open("/quarantine")
		w.see("gone from public.users")
		if b.profile("u-50", "plan") == "" {
			t.Error("somebody was deleted")
		}
	})
	t.Run("a schedule goes into the draft", func(t *testing.T) {
		look("schedule", "/loads/schedule/users")
		w.click(`input[value=daily]`)
		w.fill("#zone", "Europe/Berlin")
		w.click("button[name=show]")
		w.see("The next times")
		w.click("main button.primary")
		w.see("is in the draft", "changed in the draft")
		w.quiet()
		if w.path() != "/loads" || strings.Contains(b.must("status"), "next resync") {
			t.Error("the schedule took effect before it was applied")
		}
	})
}
