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

	"github.com/goccy/go-yaml"

	"brazecdc/connector"
	"brazecdc/connector/braze/brazesim"
	"brazecdc/connector/draft"
	"brazecdc/connector/history"
)

// germanModel gives the pages much to tell: notes, warnings, rules, a brake, a schedule, identifiers with blanks.
const germanModel = `mode: sync
load: all
identify: { external_id: id }
filter: plan != "internal"
on_leave: keep
fields: { email: email, first_name: first_name, phone: note }
custom: { plan: plan, credits: { column: credits, type: number }, born: { column: note, type: time } }
subscription_groups: [{ group: vip, when: 'credits > 10 && last_seen > now() - duration("720h")' }]
deletes: { max: 1, window: 10m }`

// german reads pages as a browser that speaks German does.
type german struct {
	t      *testing.T
	base   string
	client *http.Client
	token  string
}

func newGerman(t *testing.T, base string) *german {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	g := &german{t: t, base: base, client: &http.Client{Jar: jar}}
	m := regexp.MustCompile(`<meta name="csrf" content="([^"]+)">`).FindStringSubmatch(g.get("/help"))
	if m == nil {
		t.Fatal("the page has no token")
	}
	g.token = m[1]
	return g
}

func (g *german) do(method, path string, form url.Values) string {
	g.t.Helper()
	var body io.Reader
	if form != nil {
		form.Set("csrf", g.token)
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(g.t.Context(), method, g.base+path, body)
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Accept-Language", "de")
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := g.client.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	if resp.StatusCode >= 500 {
		g.t.Errorf("%s %s answers %d", method, path, resp.StatusCode)
	}
	return string(b)
}

func (g *german) get(path string) string { g.t.Helper(); return g.do(http.MethodGet, path, nil) }
func (g *german) post(path string, pairs ...string) string {
	g.t.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return g.do(http.MethodPost, path, form)
}

var (
	notRead = regexp.MustCompile(`(?s)<(pre|code|script|style|textarea|title)\b.*?</(pre|code|script|style|textarea|title)>`)
)

// read is what stands on a page, without code.
func read(page string) string {
	return blanks.ReplaceAllString(html.UnescapeString(anyTag.ReplaceAllString(notRead.ReplaceAllString(page, " "), " ")), " ")
}

// englishParts are the longest parts of the sentences of the catalogue, of those that German has otherwise.
func englishParts(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	files, err := filepath.Glob("../../connector/web/lang/de/said/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var texts map[string]string
		if err := yaml.Unmarshal(b, &texts); err != nil {
			t.Fatal(err)
		}
		for english, german := range texts {
			longest := ""
			for _, part := range regexp.MustCompile(`\{\d+\}`).Split(english, -1) {
				if part = strings.Trim(part, " :;,."); len(part) > len(longest) {
					longest = part
				}
			}
			if strings.Count(longest, " ") >= 2 && !strings.Contains(german, longest) {
				out[longest] = english
			}
		}
	}
	return out
}

// TestGermanPagesSayNothingInEnglish reads pages of a process with warnings, failures, notes and changes held back, and of drafts that are at fault.
func TestGermanPagesSayNothingInEnglish(t *testing.T) {
	t.Parallel()
	b := newBench(t, germanModel)
	b.exec(`ALTER TABLE users ADD last_seen timestamptz; ALTER TABLE users REPLICA IDENTITY DEFAULT`)
	b.exec(`INSERT INTO users SELECT 'u-' || i, CASE WHEN i % 2 = 0 THEN 'u' || i || '@example.com' ELSE 'no address' END, 'Ada', 'free', i, 'call me', now() FROM generate_series(1, 60) i`)
	b.exec(`INSERT INTO users (id, email) VALUES (' u-1', 'u2@example.com')`)
	b.edit("  user_gap: 20ms", "  user_gap: 20ms\n  subscription_groups: { vip: 5d0f6f8c-0c9b-4a44-8a0e-6e0f3f0f9f1e }")
	b.asked = append(b.asked, "not liked")
	b.run()
	b.arrives("u-60", "plan", `"free"`)
	b.until("the load is recorded", func() bool { l := b.status().Loads; return len(l) == 1 && !l[0].Running() })
	b.fault(brazesim.Fault{Endpoint: "/users/track", Items: []brazesim.ItemFault{{ExternalIDs: []string{"u-4", "u-6"}, Type: "the plan is not liked"}}})
	b.exec(`UPDATE users SET plan = 'pro' WHERE id IN ('u-4', 'u-6', 'u-8')`)
	b.until("two are held back", func() bool { return b.status().Quarantine >= 2 })
	b.exec(`DELETE FROM users WHERE id IN ('u-10', 'u-12', 'u-14', 'u-16')`)
	b.until("deletes wait", func() bool { return b.status().Held > 0 })

	g := newGerman(t, "http://"+b.listen)
	parts := englishParts(t)
	if len(parts) < 900 {
		t.Fatalf("only %d sentences are looked for", len(parts))
	}
	seen := 0
	look := func(what, page string) {
		t.Helper()
		text := read(page)
		seen += len(text)
		for part, english := range parts {
			if i := strings.Index(text, part); i >= 0 {
				t.Errorf("%s says in English %q:\n… %s …", what, english, text[max(0, i-80):min(len(text), i+len(part)+80)])
			}
		}
	}
	g.post("/connections/test", "which", "source")
	g.post("/connections/test", "which", "braze")
	pages := append(append([]string(nil), plainPages...), "/connections/source", "/connections/braze", "/models/users", "/models/users?tab=groups", "/models/users?tab=options", "/models/users?tab=preview", "/models/users?tab=preview&op=delete", "/models/-/add",
		"/models/-/add?table=public.users", "/users/"+history.Ref([]byte(testKey), connector.User{ID: "u-4"}), "/quarantine/decide/users", "/quarantine/decide/users?do=send", "/loads/new", "/loads/schedule/users",
		"/versions/1", "/?span=day&watch=on", "/draft/settings", "/settings/alerts", "/settings/support")
	for _, e := range b.entries() {
		pages = append(pages, fmt.Sprintf("/quarantine/e/%d", e.ID))
	}
	quarantine := g.get("/quarantine")
	for _, m := range regexp.MustCompile(`href="(/quarantine/[0-9a-f]{6,})"`).FindAllStringSubmatch(quarantine, -1) {
		pages = append(pages, m[1])
	}
	for _, path := range pages {
		look(path, g.get(path))
	}
	look("a retry", g.post(fmt.Sprintf("/quarantine/e/%d/retry", b.entries()[0].ID)))

	store, err := draft.Open(b.config(), filepath.Join(b.dir, "data", "pages"))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"a setting that does not exist": {"limits:", "limts: { a: 1 }\nlimits:"},
		"a duration without a unit":     {"drain: 10s", "drain: 10"},
		"a column that does not exist":  {"first_name: first_name", "first_name: frist_name"},
		"a rule that is no rule":        {`plan != "internal"`, `plan + 1`},
		"names and types":               {"custom: { plan: plan,", `custom: { Email: email, "$x": plan, external_id: id, plan: { column: plan, type: colour },`},
		"a group that does not exist":   {"group: vip", "group: nobody"},
		"what belongs to other modes":   {"mode: sync", "mode: additive"},
		"a schedule":                    {"deletes: {", "schedule: { cron: \"0 25 * * *\", time_zone: Mars }\n    deletes: {"},
		"another workspace":             {"workspace: test", "workspace: other"},
		"no YAML":                       {"models:", "models: ["},
	} {
		text := strings.Replace(b.text, change[0], change[1], 1)
		if text == b.text {
			t.Fatalf("%s changes nothing", name)
		}
		if err := store.SetText("kim", []byte(text)); err != nil && name != "no YAML" {
			t.Logf("%s: %v", name, err)
		}
		v, err := store.View()
		if err != nil {
			t.Fatal(err)
		}
		look(name+", /draft", g.get("/draft"))
		look(name+", checked", g.post("/draft/check", "seen", draft.Hash(v.Text)))
		look(name+", applied", g.post("/draft/apply", "seen", draft.Hash(v.Text)))
		for _, path := range []string{"/models", "/models/users", "/models/users?tab=groups", "/models/users?tab=options", "/models/users?tab=preview", "/draft/settings", "/loads/schedule/users"} {
			look(name+", "+path, g.get(path))
		}
	}
	if seen < 100_000 {
		t.Errorf("only %d characters were read", seen)
	}
}
