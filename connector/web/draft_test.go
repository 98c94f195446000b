package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"brazecdc/connector/config"
	"brazecdc/connector/draft"
)

const draftSample = `# of the shop
version: 1
braze:
  workspace: staging # not production
  endpoint: https://rest.fra-01.braze.eu
  api_key: geheim-1234
source:
  postgres:
    url: postgres://me:geheim-5678@db/shop

models:
  # people
  - name: customers
    table: public.users
    mode: additive
    load: all
    identify: { external_id: id }
    fields:
      email: email # checked
`

// draftDesk is a site over a file, with a fake of what the process does.
type draftDesk struct {
	*site
	file    string
	store   *draft.Store
	found   []Finding
	applied []string
	fault   error
}

func (d *draftDesk) Check(context.Context, []byte) ([]Finding, error) { return d.found, nil }

func (d *draftDesk) Apply(_ context.Context, text []byte) error {
	if d.fault == nil {
		d.applied = append(d.applied, string(text))
	}
	return d.fault
}

func newDraftDesk(t *testing.T, text string) *draftDesk {
	t.Helper()
	d := &draftDesk{file: filepath.Join(t.TempDir(), "brazecdc.yaml")}
	if text != "" {
		d.write(t, text)
	}
	var err error
	if d.store, err = draft.Open(d.file, filepath.Join(filepath.Dir(d.file), "data", "pages")); err != nil {
		t.Fatal(err)
	}
	parse := func(text []byte) (*config.Config, error) { return config.Parse(d.file, text, nil, nil) }
	d.site = newSite(t, Config{File: d.file, Draft: d.store, Parse: parse, Drafts: d})
	return d
}

func (d *draftDesk) write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(d.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (d *draftDesk) holds(t *testing.T, text string) {
	t.Helper()
	got, err := os.ReadFile(d.file)
	if err != nil || string(got) != text {
		t.Errorf("the file holds\n%s\n%v", got, err)
	}
}

func (d *draftDesk) edit(t *testing.T, edits ...config.Edit) {
	t.Helper()
	if err := d.store.Edit("ada", edits...); err != nil {
		t.Fatal(err)
	}
}

var seenInPage = regexp.MustCompile(`name="seen" value="([0-9a-f]+)"`)

// seen is what the page sends back of the text it shows.
func (d *draftDesk) seen(t *testing.T, page string) string {
	t.Helper()
	m := seenInPage.FindStringSubmatch(d.get(page).Body)
	if m == nil {
		t.Fatalf("%s does not say what it shows", page)
	}
	return m[1]
}

func toSync(text string) string { return strings.Replace(text, "additive", "sync", 1) }

var syncMode = config.Edit{Path: "models[customers].mode", Value: "sync"}

func TestADraftIsShownAndApplied(t *testing.T) {
	d := newDraftDesk(t, draftSample)
	d.get("/draft").wants(t, http.StatusOK, "No changes wait")
	d.edit(t, syncMode)
	a := d.get("/draft")
	a.wants(t, http.StatusOK, "Last changed by ada", "deletes start to be sent", "From the next change on, deleted rows delete profiles")
	a.lacks(t, "geheim")
	a = d.get("/draft?tab=file")
	a.wants(t, http.StatusOK, `<tr class="old">`, "mode: additive", `<tr class="new">`, "mode: sync")
	a.lacks(t, "geheim")
	a = d.post("/draft/apply", url.Values{"seen": {d.seen(t, "/draft")}, "reason": {"we want it"}})
	if a.Code != http.StatusSeeOther {
		t.Fatalf("%d %s", a.Code, a.Body)
	}
	d.holds(t, toSync(draftSample))
	if len(d.applied) != 1 {
		t.Errorf("applied %d times", len(d.applied))
	}
	d.get("/draft").wants(t, http.StatusOK, "Applied.")
	d.get("/versions").wants(t, http.StatusOK, "Version 2", "we want it", "deletes start to be sent")
	d.get("/versions/2").wants(t, http.StatusOK, "Changes since version 1", `<tr class="new">`)
	d.get("/versions/2?with=1").lacks(t, "geheim")
	d.get("/activity").wants(t, http.StatusOK, "Applied a draft; it is version 2 (we want it)")
	d.get("/activity?about=loads&from=cli&who=x").wants(t, http.StatusOK, "Nothing matches")
	if a := d.post("/versions/1/back", nil); a.Code != http.StatusSeeOther {
		t.Fatalf("%d %s", a.Code, a.Body)
	}
	d.get("/draft").wants(t, http.StatusOK, "Version 1 is the draft now", "deletes are no longer sent")
	d.post("/draft/drop", nil)
	d.get("/draft").wants(t, http.StatusOK, "The draft is gone", "No changes wait")
	d.get("/activity?about=draft").wants(t, http.StatusOK, "Dropped the draft")
}

func TestAnApplyIsRefused(t *testing.T) {
	t.Run("where the draft is not the one that was looked at", func(t *testing.T) {
		d := newDraftDesk(t, draftSample)
		d.edit(t, syncMode)
		seen := d.seen(t, "/draft")
		d.edit(t, config.Edit{Path: "braze.attempts", Value: 3})
		d.post("/draft/apply", url.Values{"seen": {seen}}).wants(t, http.StatusConflict, "changed since you loaded this page")
		d.holds(t, draftSample)
	})
	t.Run("where the check finds something", func(t *testing.T) {
		d := newDraftDesk(t, draftSample)
		d.edit(t, syncMode)
		d.found = []Finding{{Level: "bad", What: "the table is gone", Fix: "make it", Line: 13}}
		a := d.post("/draft/apply", url.Values{"seen": {d.seen(t, "/draft")}, "reason": {"because"}})
		a.wants(t, http.StatusUnprocessableEntity, "Nothing was applied", "The table is gone", "make it", "Line 13:", `value="because"`)
		d.holds(t, draftSample)
		d.post("/draft/check", nil).wants(t, http.StatusOK, "What the check found", "The table is gone")
		d.found = nil
		d.post("/draft/check", nil).wants(t, http.StatusOK, "found nothing that stands in the way")
	})
	t.Run("unless what was found is outside of the file and a person says so", func(t *testing.T) {
		d := newDraftDesk(t, draftSample)
		d.edit(t, syncMode)
		d.found = []Finding{{Level: "bad", Area: "source", What: "the server is away"}}
		d.post("/draft/apply", url.Values{"seen": {d.seen(t, "/draft")}}).wants(t, http.StatusUnprocessableEntity, "The server is away", "Apply all the same")
		d.found[0].Area = "mapping"
		d.post("/draft/apply", url.Values{"seen": {d.seen(t, "/draft")}, "despite": {"yes"}}).lacks(t, "Apply all the same")
		d.holds(t, draftSample)
		d.found[0].Area = "source"
		d.post("/draft/apply", url.Values{"seen": {d.seen(t, "/draft")}, "despite": {"yes"}}).wants(t, http.StatusSeeOther)
		d.holds(t, toSync(draftSample))
	})
	t.Run("where the process can't start with it", func(t *testing.T) {
		d := newDraftDesk(t, draftSample)
		d.edit(t, syncMode)
		d.fault = errors.New("the slot is used by another")
		d.post("/draft/apply", url.Values{"seen": {d.seen(t, "/draft")}}).wants(t, http.StatusUnprocessableEntity, "the slot is used by another")
		d.holds(t, draftSample)
	})
	t.Run("where the file was changed meanwhile", func(t *testing.T) {
		d := newDraftDesk(t, draftSample)
		d.edit(t, syncMode)
		seen := d.seen(t, "/draft")
		theirs := draftSample + "log: { level: debug }\n"
		d.write(t, theirs)
		d.get("/draft").wants(t, http.StatusOK, "The file was changed meanwhile", "level: debug")
		d.post("/draft/apply", url.Values{"seen": {seen}}).wants(t, http.StatusConflict, "changed since the draft began")
		d.holds(t, theirs)
		d.post("/draft/top", nil)
		d.get("/draft").lacks(t, "The file was changed meanwhile")
		d.post("/draft/apply", url.Values{"seen": {d.seen(t, "/draft")}})
		d.holds(t, toSync(theirs))
	})
	t.Run("where there is none", func(t *testing.T) {
		d := newDraftDesk(t, draftSample)
		d.post("/draft/apply", url.Values{"seen": {draft.Hash([]byte(draftSample))}}).wants(t, http.StatusConflict, "no draft")
	})
}

func TestTheFileByHand(t *testing.T) {
	d := newDraftDesk(t, draftSample)
	a := d.get("/draft?tab=hand")
	a.wants(t, http.StatusOK, "# people", config.Hidden)
	a.lacks(t, "geheim")
	shown := string(config.HideSecrets([]byte(draftSample)))
	seen := d.seen(t, "/draft?tab=hand")
	bad := d.post("/draft/text", url.Values{"seen": {seen}, "text": {"a: {\n"}})
	bad.wants(t, http.StatusUnprocessableEntity, "a: {", `href="#text"`)
	elsewhere := strings.Replace(shown, "rest.fra-01.braze.eu", "rest.fra-02.braze.eu", 1)
	d.post("/draft/text", url.Values{"seen": {seen}, "text": {elsewhere}}).wants(t, http.StatusUnprocessableEntity, "enter it again")
	if a := d.post("/draft/text", url.Values{"seen": {seen}, "text": {strings.ReplaceAll(toSync(shown), "\n", "\r\n")}}); a.Code != http.StatusSeeOther {
		t.Fatalf("%d %s", a.Code, a.Body)
	}
	v, err := d.store.View()
	if err != nil || string(v.Text) != toSync(draftSample) {
		t.Errorf("%s %v", v.Text, err)
	}
	d.post("/draft/text", url.Values{"seen": {seen}, "text": {shown}}).wants(t, http.StatusConflict, "changed since you loaded this page")
	a = d.get("/draft/brazecdc.yaml")
	a.wants(t, http.StatusOK, "mode: sync")
	a.lacks(t, "geheim")
	a = d.get("/draft/brazecdc.diff")
	a.wants(t, http.StatusOK, "-    mode: additive\n+    mode: sync\n")
	a.lacks(t, "geheim")
}

func TestAllSettingsAreAForm(t *testing.T) {
	d := newDraftDesk(t, draftSample)
	a := d.get("/draft/settings")
	a.wants(t, http.StatusOK, "braze.endpoint", "source.postgres.slot", "web.proxy.from", "Default: 50000")
	a.lacks(t, "geheim", "source.kafka.brokers")
	form := func(pairs ...string) url.Values {
		v := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			v.Set(fieldID(pairs[i]), pairs[i+1])
		}
		return v
	}
	a = d.post("/draft/settings", form("braze.attempts", "5", "braze.rate.share", "50%", "never_send", "ssn\r\n\r\nsalary", "log.level", "debug",
		"braze.subscription_groups", "news = 5d0f6f8c-0c9b-4a44-8a0e-6e0f3f0f9f1e", "quarantine.to", "held", "source.postgres.create", "false",
		"braze.endpoint", "https://rest.fra-01.braze.eu", "source.postgres.url", "postgres://me:(hidden)@db/shop", "braze.api_key", ""))
	if a.Code != http.StatusSeeOther {
		t.Fatalf("%d %s", a.Code, a.Body)
	}
	v, err := d.store.View()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"attempts: 5\n", "rate: { share: 50% }\n", "never_send: [ssn, salary]\n", "log: { level: debug }\n", "news: 5d0f6f8c", "to: { topic: held }", "create: false\n", "api_key: geheim-1234\n", "geheim-5678"} {
		if !strings.Contains(string(v.Text), want) {
			t.Errorf("%q is missing in\n%s", want, v.Text)
		}
	}
	d.post("/draft/settings", form("braze.attempts", "5")).wants(t, http.StatusSeeOther)
	d.get("/draft/settings").wants(t, http.StatusOK, "Nothing was changed")
	d.post("/draft/settings", form("braze.attempts", "")).wants(t, http.StatusSeeOther)
	if v, err = d.store.View(); err != nil || strings.Contains(string(v.Text), "attempts") {
		t.Errorf("%s %v", v.Text, err)
	}
	t.Run("a new address wants its secret again", func(t *testing.T) {
		d.post("/draft/settings", form("braze.endpoint", "https://rest.fra-02.braze.eu")).wants(t, http.StatusUnprocessableEntity, "entered again", `href="#s-braze-api_key"`)
		d.post("/draft/settings", form("source.postgres.url", "postgres://me:(hidden)@elsewhere/shop")).wants(t, http.StatusUnprocessableEntity, "written anew")
		d.post("/draft/settings", form("braze.endpoint", "https://rest.fra-02.braze.eu", "braze.api_key", "${KEY}")).wants(t, http.StatusSeeOther)
	})
	t.Run("a value that does not fit stands in the draft with its fault beside it", func(t *testing.T) {
		d.post("/draft/settings", form("limits.open_changes", "many")).wants(t, http.StatusSeeOther)
		d.get("/draft/settings").wants(t, http.StatusOK, `value="many"`, "write a whole number")
	})
	t.Run("a secret is removed by its tick alone", func(t *testing.T) {
		d.post("/draft/settings", url.Values{"s-braze-api_key": {""}, "s-braze-api_key-remove": {"yes"}}).wants(t, http.StatusSeeOther)
		if v, err := d.store.View(); err != nil || strings.Contains(string(v.Text), "api_key") {
			t.Errorf("%s %v", v.Text, err)
		}
	})
	d.post("/draft/settings", form("braze.subscription_groups", "news")).wants(t, http.StatusUnprocessableEntity, "name = value")
}

// The decoder tells the settings that it knows in each section; the form has all of them.
func TestTheDraftFormHasEverySettingThatTheFileKnows(t *testing.T) {
	known := map[string]bool{"version": true, "models": true, "web.users": true}
	holds := func(path string) bool {
		for _, p := range settingsParts {
			for _, x := range p.List {
				if x.Path == path || strings.HasPrefix(x.Path, path+".") {
					return true
				}
			}
		}
		return known[path]
	}
	sections := []string{"", "braze", "braze.rate", "source", "source.postgres", "source.kafka", "source.kafka.registry", "source.kafka.registry.tls", "source.kafka.tls", "source.kafka.sasl", "data", "cache", "limits", "quarantine", "log", "web", "web.history", "web.proxy", "web.tls", "ops", "ops.webhook"}
	for _, section := range sections {
		path := "zzzzzzzz"
		if section != "" {
			path = section + "." + path
		}
		text, err := config.Apply([]byte("version: 1\n"), config.Edit{Path: path, Value: "x"})
		if err != nil {
			t.Fatal(err)
		}
		_, err = config.Parse("f", text, nil, nil)
		var faults config.Faults
		if !errors.As(err, &faults) {
			t.Fatalf("%s: %v", path, err)
		}
		found := false
		for _, f := range faults {
			list, ok := strings.CutPrefix(f.Fix, "known here: ")
			if !ok || f.Path != path {
				continue
			}
			found = true
			for key := range strings.SplitSeq(list, ", ") {
				if full := strings.TrimPrefix(section+"."+key, "."); !holds(full) {
					t.Errorf("the form lacks %s", full)
				}
			}
		}
		if !found {
			t.Errorf("%s: what is known there is not told: %v", section, faults)
		}
	}
}

func TestTheDraftOfAFirstFile(t *testing.T) {
	d := newDraftDesk(t, "")
	d.get("/draft").wants(t, http.StatusOK, "No changes wait")
	d.get("/versions").wants(t, http.StatusOK, "No versions yet")
	d.get("/draft/settings").wants(t, http.StatusOK, "source.kafka.brokers", "source.postgres.url")
	d.edit(t, config.Edit{Path: "version", Value: 1})
	d.get("/draft").wants(t, http.StatusOK, "version is set: 1", "is missing")
}

func TestADraftOfAFileThatCannotBeWrittenIsDownloaded(t *testing.T) {
	d := newDraftDesk(t, draftSample)
	d.edit(t, syncMode)
	if err := os.Chmod(d.file, 0o400); err != nil {
		t.Fatal(err)
	}
	a := d.get("/draft")
	a.wants(t, http.StatusOK, "managed elsewhere", "Download YAML")
	a.lacks(t, `action="/draft/apply"`)
}

func TestPagesOfTheDraftRefuseWhatIsNot(t *testing.T) {
	d := newDraftDesk(t, draftSample)
	for _, path := range []string{"/versions/0", "/versions/99", "/versions/x", "/versions/99999999999999999999"} {
		d.get(path).wants(t, http.StatusNotFound)
	}
	d.post("/versions/99/back", nil).wants(t, http.StatusNotFound)
	d.post("/versions/x/back", nil).wants(t, http.StatusNotFound)
	d.get("/activity?before=x&limit=-1&from=%00").wants(t, http.StatusOK)
	d.get("/draft?tab=nothing").wants(t, http.StatusOK)
	d.lang = "de"
	d.edit(t, syncMode)
	d.get("/draft").wants(t, http.StatusOK, "Löschungen werden ab jetzt gesendet")
	d.get("/draft/settings").wants(t, http.StatusOK, "Alle Einstellungen")
}

// Keys of sentences are put together, so that the test of all words does not see them.
func TestEverySentenceOfTheDraftHasItsText(t *testing.T) {
	w, err := loadWords()
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("../draft/words.go")
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, m := range regexp.MustCompile(`say\("([a-z_.]+)"`).FindAllStringSubmatch(string(source), -1) {
		keys = append(keys, "word."+m[1])
	}
	for _, m := range regexp.MustCompile(`change\(d, "([a-z_]+)"`).FindAllStringSubmatch(string(source), -1) {
		keys = append(keys, "word."+m[1]+".set", "word."+m[1]+".gone", "word."+m[1]+".changed")
	}
	for _, key := range []string{"filter", "delete_when", "on_leave", "when", "load", "table", "topic"} {
		keys = append(keys, "word."+key+".set", "word."+key+".gone", "word."+key+".changed")
	}
	for _, end := range []string{"items", "subscriptions"} {
		keys = append(keys, "word.deletes.start."+end, "word.deletes.end."+end)
	}
	for _, part := range settingsParts {
		keys = append(keys, "part."+part.Name, "part."+part.Name+".text")
		for _, x := range part.List {
			keys = append(keys, "set."+x.Path)
		}
	}
	for _, about := range activityAbouts[1:] {
		keys = append(keys, "about."+about)
	}
	known := map[string]bool{}
	for _, key := range keys {
		known["draft."+key] = true
		if w.texts["en"]["draft."+key] == "" {
			t.Errorf("draft.%s has no text", key)
		}
	}
	for key := range w.texts["en"] {
		if (strings.HasPrefix(key, "draft.word.") || strings.HasPrefix(key, "draft.set.")) && !known[key] && key != "draft.word.unreadable" {
			t.Errorf("%s is used nowhere", key)
		}
	}
}
