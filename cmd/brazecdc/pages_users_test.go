package main

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"brazecdc/connector"
	"brazecdc/connector/braze/brazesim"
	"brazecdc/connector/history"
)

// visitor is a browser without JavaScript.
type visitor struct {
	t    *testing.T
	base string
	c    *http.Client
}

func newVisitor(t *testing.T, base string) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t, base, &http.Client{Jar: jar}}
}

var (
	csrfToken = regexp.MustCompile(`name="csrf" content="([^"]+)"`)
	anyTag    = regexp.MustCompile(`<[^>]*>`)
	blanks    = regexp.MustCompile(`\s+`)
)

// page gives the words of a page, and where the browser ended up.
func (v *visitor) page(path string) (words, at string) {
	v.t.Helper()
	return v.answer(v.c.Get(v.base + path))
}

func (v *visitor) answer(resp *http.Response, err error) (words, at string) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return strings.TrimSpace(blanks.ReplaceAllString(html.UnescapeString(anyTag.ReplaceAllString(string(b), " ")), " ")), resp.Request.URL.Path
}

// submit sends a form.
func (v *visitor) submit(path string, pairs ...string) (words, at string) {
	v.t.Helper()
	resp, err := v.c.Get(v.base + "/help")
	if err != nil {
		v.t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	m := csrfToken.FindSubmatch(b)
	if err != nil || m == nil {
		v.t.Fatalf("no token on the page: %v", err)
	}
	form := url.Values{"csrf": {string(m[1])}}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return v.answer(v.c.PostForm(v.base+path, form))
}

// usersModel maps a column that may hold no phone number, and leaves rows out.
const usersModel = `mode: sync
load: all
identify: { external_id: id }
filter: plan != "internal"
on_leave: keep
fields: { email: email, first_name: first_name, phone: { column: note, country: DE } }
custom: { plan: plan, credits: { column: credits, type: number } }`

func TestUsersPages(t *testing.T) {
	t.Parallel()
	b := newBench(t, usersModel)
	b.exec(`INSERT INTO users VALUES ('u-1', 'ada@example.com', 'Ada', 'free', 5, NULL), ('u-2', 'bob@example.com', 'Bob', 'free', 1, NULL)`)
	p := b.run()
	b.arrives("u-1", "plan", `"free"`)
	b.arrives("u-2", "plan", `"free"`)
	v := newVisitor(t, "http://"+b.listen)
	ref := history.Ref([]byte(testKey), connector.User{ID: "u-1"})
	past := func(what string, parts ...string) string {
		t.Helper()
		var words string
		b.until(what, func() bool {
			words, _ = v.page("/users/" + ref)
			for _, part := range parts {
				if !strings.Contains(words, part) {
					return false
				}
			}
			return true
		})
		return words
	}
	t.Run("a user is found by each of its names, and the address has none of them", func(t *testing.T) {
		for _, form := range [][]string{{"by", "external_id", "value", "u-1"}, {"by", "email", "value", "ada@example.com"}, {"by", "row", "model", "users", "value", "u-1"}} {
			words, at := v.submit("/users/find", form...)
			if at != "/users/"+ref {
				t.Errorf("%v led to %s: %s", form, at, words)
			}
		}
		words, at := v.submit("/users/find", "by", "email", "value", "nobody@example.com")
		if at != "/users/find" {
			t.Errorf("nobody led to %s", at)
		}
		wantIn(t, words, "Nobody was found", "public.users.email")
		log := past("the load stands there", "Row of a load")
		wantIn(t, log, "User u-1", "Accepted by Braze", "Same", "Nothing waits for this user")
	})
	t.Run("a change with a field that is left out", func(t *testing.T) {
		b.exec(`UPDATE users SET plan = 'pro', note = 'no number' WHERE id = 'u-1'`)
		words := past("the change stands there", "Changed columns: plan note", "201: accepted by Braze", "phone was left out")
		wantIn(t, words, "Changed row in public.users, key u-1", "Sent: plan", "Unchanged, not sent", "POST /users/track", `"plan": "pro"`)
		past("its position is confirmed", "Confirmed at the source")
	})
	t.Run("changes of which nothing is sent are counted", func(t *testing.T) {
		b.exec(`ALTER TABLE users ADD COLUMN unmapped int`)
		for i := range 3 {
			b.exec(fmt.Sprintf(`UPDATE users SET unmapped = %d WHERE id = 'u-1'`, i))
		}
		past("they are counted", "changes of users: nothing new for Braze")
		b.exec(`UPDATE users SET plan = 'internal' WHERE id = 'u-1'`)
		b.exec(`UPDATE users SET unmapped = 9 WHERE id = 'u-1'`)
		past("the filter is named", "the filter does not include the row", "Nothing would be sent")
		b.exec(`UPDATE users SET plan = 'pro' WHERE id = 'u-1'`)
	})
	t.Run("an item that Braze refuses", func(t *testing.T) {
		if err := b.sim.Faults(brazesim.Fault{Endpoint: "/users/track", Items: []brazesim.ItemFault{{ExternalIDs: []string{"u-1"}, Type: "this user is not liked"}}}); err != nil {
			t.Fatal(err)
		}
		b.exec(`UPDATE users SET first_name = 'Augusta' WHERE id = 'u-1'`)
		words := past("the refusal stands there", "this object was refused", "this user is not liked")
		wantIn(t, words, "Held back", "No. 1, model users", "Differs")
		b.sim.ClearFaults("")
	})
	t.Run("send again in full, one field, and the comparison with Braze", func(t *testing.T) {
		words, at := v.submit("/users/"+ref+"/send", "row", "0")
		if at != "/users/"+ref {
			t.Fatalf("led to %s: %s", at, words)
		}
		wantIn(t, words, "Braze accepted the row in full")
		b.arrives("u-1", "first_name", `"Augusta"`)
		past("it stands there", "Row read on request")
		words, _ = v.submit("/users/"+ref+"/send", "row", "0", "field", "plan")
		wantIn(t, words, "The field plan was handed over")
		words, _ = v.submit("/users/"+ref+"/compare", "row", "0")
		wantIn(t, words, "Compared with Braze, model users", "Equal")
	})
	t.Run("who looked and sent stands in the activity, without names of users", func(t *testing.T) {
		text, err := os.ReadFile(filepath.Join(b.dir, "data", "pages", "activity.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		wantIn(t, string(text), "users.did.found", "users.did.sought", "users.did.sent", "users.did.compared", ref)
		for _, name := range []string{"u-1", "ada@", "nobody@"} {
			if strings.Contains(string(text), name) {
				t.Errorf("%q is in\n%s", name, text)
			}
		}
	})
	t.Run("ui leads to the running process", func(t *testing.T) {
		_, base := startUI(t, b.env, b.config())
		words, _ := newVisitor(t, base).page("/users")
		wantIn(t, words, "Another process can tell")
	})
	t.Run("nothing is left of who was erased", func(t *testing.T) {
		b.exec(`DELETE FROM users WHERE id = 'u-1'`)
		b.must("forget", "--user", "u-1", "--yes")
		words, _ := v.page("/users/" + ref)
		wantIn(t, words, "Nothing is known of this user")
		if code := p.stop(); code != 0 {
			t.Fatalf("exit code %d", code)
		}
		store := openHistoryOf(t, b)
		if u, ok := store.Find(ref); ok {
			t.Errorf("the history still knows %v", u)
		}
		if _, ok := store.Find(history.Ref([]byte(testKey), connector.User{ID: "u-2"})); !ok {
			t.Error("the history does not know another user any more")
		}
	})
}

// openHistoryOf opens the history of a process that has ended.
func openHistoryOf(t *testing.T, b *bench) *history.Store {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(b.dir, "cache", "history", "*"))
	if err != nil || len(dirs) != 1 {
		t.Fatalf("histories: %v %v", dirs, err)
	}
	s, err := history.Open(history.Config{Path: dirs[0], Key: []byte(testKey)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestUsersInBrowser(t *testing.T) {
	t.Parallel()
	b := newBench(t, usersModel+`
subscription_groups:
  - { group: big_spenders, when: credits > 2 }`)
	b.edit("  user_gap: 20ms", "  user_gap: 20ms\n  subscription_groups: { big_spenders: 5d0f6f8c-0c9b-4a44-8a0e-6e0f3f0f9f1e }")
	b.exec(`INSERT INTO users VALUES ('u-1', 'ada@example.com', 'Ada', 'free', 5, NULL), ('u-2', 'bob@example.com', 'Bob', 'free', 1, NULL)`)
	b.run()
	b.arrives("u-1", "plan", `"free"`)
	b.exec(`UPDATE users SET plan = 'pro', note = 'no number' WHERE id = 'u-1'`)
	b.arrives("u-1", "plan", `"pro"`)
	b.exec(`UPDATE users SET plan = 'internal' WHERE id = 'u-1'`)
	b.exec(`UPDATE users SET plan = 'pro' WHERE id = 'u-1'`)
	if err := b.sim.Faults(brazesim.Fault{Endpoint: "/users/track", Items: []brazesim.ItemFault{{ExternalIDs: []string{"u-1"}, Type: "this user is not liked"}}}); err != nil {
		t.Fatal(err)
	}
	b.exec(`UPDATE users SET first_name = 'Augusta' WHERE id = 'u-1'`)
	v := newVisitor(t, "http://"+b.listen)
	ref := history.Ref([]byte(testKey), connector.User{ID: "u-1"})
	b.until("the refusal stands there", func() bool {
		words, _ := v.page("/users/" + ref)
		return strings.Contains(words, "this user is not liked")
	})
	b.sim.ClearFaults("")
	for _, lang := range []string{"en", "de"} {
		t.Run("in "+lang, func(t *testing.T) {
			w := newBrowser(t, "http://"+b.listen, lang)
			w.open("/users")
			w.click(`input[name="by"][value="email"]`)
			if eval[bool](w, `document.getElementById('model').offsetParent !== null`) {
				t.Error("a search by e-mail address asks for a model")
			}
			w.fill("#value", "nobody@example.com")
			w.click(".users-find button.primary")
			w.see(map[string]string{"en": "Nobody was found", "de": "Niemand gefunden"}[lang])
			w.fits()
			w.axe()
			w.shot("users_nobody_" + lang)
			w.fill("#value", "ada@example.com")
			w.click(".users-find button.primary")
			w.see("u-1", "this user is not liked")
			if at := w.path(); at != "/users/"+ref {
				t.Errorf("the search led to %s", at)
			}
			w.click(".users-past li.ok summary")
			for _, width := range []int64{1280, 360} {
				w.size(width, 900)
				w.fits()
				w.axe()
				w.shot(fmt.Sprintf("users_one_%s_%d", lang, width))
			}
			w.size(1280, 900)
			w.click(".users-actions form:nth-of-type(2) button")
			w.see(map[string]string{"en": "Compared with Braze", "de": "Vergleich mit Braze"}[lang])
			w.axe()
			w.shot("users_compare_" + lang)
			w.quiet()
		})
	}
}
