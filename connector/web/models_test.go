package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"brazecdc/connector/config"
	"brazecdc/connector/control"
	"brazecdc/connector/draft"
)

const modelsFile = `version: 1
braze:
  workspace: staging
  endpoint: http://127.0.0.1:9
  api_key: secret-4711
  subscription_groups: { news: 5d0f6f8c-0c9b-4a44-8a0e-6e0f3f0f9f1e }
source:
  time_zone: UTC
  postgres: { url: "postgres://127.0.0.1:9/x" }
models:
  # the people
  - name: customers
    kind: users
    table: public.customers
    mode: additive
    load: none
    identify: { external_id: id }
    fields:
      email: mail   # checked
    custom: { plan: plan, "a.b": { column: x, type: number } }
    subscription_groups: [{ group: news, when: credits > 10 }]
`

// fakeModels is a source with one table, without a database.
type fakeModels struct {
	preview *ModelPreview
	gone    error
	plan    *ModelPlan
	asked   []CountAsk
}

func (f *fakeModels) relation() *Relation {
	value := func(s string) []SampleValue { return []SampleValue{{Text: s}} }
	return &Relation{Name: "public.customers", Rows: 1200, Readable: true, Identity: "default", Email: true, ExternalID: "id", Sampled: 200, Columns: []RelationColumn{
		{Name: "id", Type: "bigint", Kind: "number", Key: true, Unique: true, Samples: value("7")}, {Name: "mail", Type: "text", Kind: "text", Samples: value("ada@example.com")},
		{Name: "born", Type: "date", Kind: "date", Samples: value("1990-02-01")}, {Name: "credits", Type: "numeric", Kind: "number", Samples: value("12")},
		{Name: "plan", Type: "text", Kind: "text"}, {Name: "secret", Type: "text", Kind: "text", Never: true}, {Name: "iban", Type: "text", Kind: "text", Private: true},
	}, Suggestions: []Suggestion{{Field: "email", Column: "mail", Sampled: 200, Misfits: 12}, {Field: "dob", Column: "born", Sampled: 200, Likely: true}}}
}

func (f *fakeModels) Relations(context.Context, []byte) ([]Relation, error) {
	if f.gone != nil {
		return nil, f.gone
	}
	return []Relation{*f.relation(), {Name: "public.log", Rows: -1, Readable: true, Columns: []RelationColumn{{Name: "what"}}, Identity: "default"}}, nil
}

func (f *fakeModels) Relation(context.Context, []byte, string) (*Relation, error) {
	return f.relation(), f.gone
}

func (f *fakeModels) Plan(_ context.Context, text []byte, _ string) (*ModelPlan, error) {
	if f.plan != nil || f.gone != nil {
		return f.plan, f.gone
	}
	_, faults := config.Partial("x", text, os.LookupEnv, nil)
	return &ModelPlan{Path: "models[0]", Faults: faults, Source: f.relation(), Rows: 200, Lines: map[string]*LinePlan{
		"models[0].fields.email": {Type: "text", Sent: 188, Left: 12, Samples: []LineSample{{From: SampleValue{Text: "ada@example.com"}, To: `"ada@example.com"`}},
			Reasons: []LineReason{{Reason: "not an e-mail address", Rows: 12, Left: true, Sample: SampleValue{Text: "nobody"}}}}}}, nil
}

func (f *fakeModels) Preview(_ context.Context, _ []byte, ask PreviewAsk) (*ModelPreview, error) {
	if f.gone != nil {
		return nil, f.gone
	}
	if f.preview != nil {
		return f.preview, nil
	}
	return &ModelPreview{Found: true, Key: "7", Op: ask.Op, Columns: []PreviewCell{{Column: "mail", Value: "ada@example.com"}, {Column: "secret", Hidden: true}},
		Fields: []PreviewField{{Name: "email", State: FieldSent, Value: `"ada@example.com"`}, {Name: "plan", State: FieldLeft, Reason: "too long"}},
		Calls:  []PreviewCall{{Method: "POST", Path: "/users/track", Body: `{"email":"ada@example.com"}`, Pretty: `{"email":"ada@example.com"}`, Points: 1, Curl: "curl $BRAZE_API_KEY"}}}, nil
}

func (f *fakeModels) Count(_ context.Context, _ []byte, ask CountAsk) (*RuleCount, error) {
	f.asked = append(f.asked, ask)
	if strings.Contains(ask.Rule, "nowhere") {
		return &RuleCount{Fault: &RuleFault{What: "there is no column", Fix: "look again"}}, nil
	}
	return &RuleCount{Matching: 42, Rows: 1200, Compared: true, Joins: 12, Leaves: 3, Columns: []string{"mail"}, Samples: [][]SampleValue{{{Text: "ada@example.com"}}}}, f.gone
}

func (f *fakeModels) Try(context.Context, []byte, string, string, bool) (*Tried, error) {
	return &Tried{Columns: []string{"plan"}, Rows: []TriedRow{{From: []SampleValue{{Text: "pro"}}, Value: `"PRO"`}}}, f.gone
}

func (f *fakeModels) Frequent(context.Context, []byte, string, string) ([]string, error) {
	return []string{"pro"}, f.gone
}

// rowSender is a process that sends single rows.
type rowSender struct {
	control.API
	sent []string
	err  error
}

func (s *rowSender) Send(_ context.Context, model, key string, _ ...string) (string, error) {
	s.sent = append(s.sent, model+" "+key)
	return "Braze accepted user 7.", s.err
}

func (s *rowSender) Status(context.Context) (*control.Status, error) {
	return nil, errors.New("no status here")
}

// modelsSite is the pages over a file and a fake source.
func modelsSite(t *testing.T, text string, f *fakeModels) (*site, *draft.Store, *rowSender) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "brazecdc.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	store, err := draft.Open(file, filepath.Join(dir, "pages"))
	if err != nil {
		t.Fatal(err)
	}
	api := &rowSender{}
	s := newSite(t, Config{File: file, Draft: store, Models: f, API: func(context.Context) (control.API, func(), error) { return api, func() {}, nil }})
	return s, store, api
}

func modelsDraft(t *testing.T, store *draft.Store) string {
	t.Helper()
	v, err := store.View()
	if err != nil {
		t.Fatal(err)
	}
	return string(v.Text)
}

func TestModelsPages(t *testing.T) {
	t.Run("the list shows mode, fields and faults, and what to do where there is nothing", func(t *testing.T) {
		s, _, _ := modelsSite(t, modelsFile, &fakeModels{})
		s.get("/models").wants(t, http.StatusOK, "customers", "public.customers", "create and change")
		s, _, _ = modelsSite(t, strings.Replace(modelsFile, "mode: additive", "mode: sunk", 1), &fakeModels{})
		s.get("/models").wants(t, http.StatusOK, "Needs mending", "One error")
		s, _, _ = modelsSite(t, modelsFile[:strings.Index(modelsFile, "models:")], &fakeModels{})
		s.get("/models").wants(t, http.StatusOK, "No models yet. Add your first table.", `href="/models/-/add"`)
		s, _, _ = modelsSite(t, "version: 1\n", &fakeModels{})
		s.get("/models").wants(t, http.StatusOK, `href="/connections"`)
		s, _, _ = modelsSite(t, "{{{", &fakeModels{})
		s.get("/models").wants(t, http.StatusOK, "can&#39;t be read")
	})
	t.Run("a table becomes a model of the draft, once everything is chosen", func(t *testing.T) {
		s, store, _ := modelsSite(t, modelsFile, &fakeModels{})
		s.get("/models/-/add").wants(t, http.StatusOK, "public.customers", "About 1,200 rows", "Is the model customers", "no primary key")
		s.get("/models/-/add?q=log").lacks(t, "public.customers")
		a := s.get("/models/-/add?table=public.customers")
		a.wants(t, http.StatusOK, "ada@example.com", "More than 60 deletes in 10 min wait for your yes", `value="customers_2"`)
		a.lacks(t, `name="mode" value="sync" checked`, "secret")
		s.post("/models/-/add", url.Values{"table": {"public.customers"}, "name": {"customers"}}).wants(t, http.StatusUnprocessableEntity, "There is a model “customers” already", "Choose what brazecdc may do", "Choose what happens", "Choose the column")
		form := url.Values{"table": {"public.customers"}, "name": {"people"}, "mode": {"sync"}, "load": {"all"}, "id": {"id"}, "field": {"born", "mail"}}
		if a := s.post("/models/-/add", form); a.Code != http.StatusSeeOther || a.Header.Get("Location") != "/models/people" {
			t.Fatalf("%d %s", a.Code, a.Body)
		}
		text := modelsDraft(t, store)
		for _, want := range []string{"# the people", "owns_users: true", "name: people", "owns_users: false", "dob: born", "email: mail   # checked"} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is missing in\n%s", want, text)
			}
		}
		if strings.Count(text, "email: mail") != 1 {
			t.Errorf("two models write one field:\n%s", text)
		}
	})
	t.Run("fields are changed, renamed, added and removed in the draft, comments stay", func(t *testing.T) {
		s, store, _ := modelsSite(t, modelsFile, &fakeModels{})
		a := s.get("/models/customers")
		a.wants(t, http.StatusOK, "12 of 200 left out", "not an e-mail address", "POST /users/track", "Looks private", "Never sent", "Add as Date of birth")
		line := func(index, section, was, name, column string) url.Values {
			return url.Values{"line": {index}, index + ".section": {section}, index + ".was": {was}, index + ".name": {name}, index + ".from": {"column"}, index + ".column": {column}}
		}
		form := line("0", "fields", "email", "email", "mail")
		form.Set("0.null", "keep")
		form.Set("add", "dob=born")
		if a := s.post("/models/customers/fields", form); a.Code != http.StatusSeeOther {
			t.Fatalf("%d %s", a.Code, a.Body)
		}
		form = line("2", "custom", "a.b", "a.c", "x")
		form.Set("2.type", "number")
		s.post("/models/customers/fields", form)
		form = line("1", "custom", "plan", "plan", "plan")
		form.Set("remove", "1")
		s.post("/models/customers/fields", form)
		form = url.Values{"add": {"custom"}, "new.name": {"shop"}, "new.from": {"value"}, "new.text": {"berlin"}}
		s.post("/models/customers/fields", form)
		text := modelsDraft(t, store)
		for _, want := range []string{"# checked", "on_null: keep", "dob: born", "a.c", "shop: { value: berlin }"} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is missing in\n%s", want, text)
			}
		}
		if strings.Contains(text, "a.b") || strings.Contains(text, "plan: plan") {
			t.Errorf("still there:\n%s", text)
		}
		s.post("/models/customers/fields", url.Values{"add": {"custom"}, "new.name": {"shop"}, "new.from": {"value"}}).wants(t, http.StatusUnprocessableEntity, "“shop” is there already")
		if a := s.post("/models/customers/fields", nil); a.Code != http.StatusSeeOther {
			t.Errorf("nothing changed: %d", a.Code)
		}
	})
	t.Run("a check answers with parts for the page, and keeps nothing", func(t *testing.T) {
		s, store, _ := modelsSite(t, modelsFile, &fakeModels{})
		form := url.Values{"line": {"1"}, "1.section": {"custom"}, "1.was": {"plan"}, "1.name": {"Email"}, "1.from": {"column"}, "1.column": {"plan"}}
		s.post("/models/customers/fields/check", form).wants(t, http.StatusOK, `data-to="checks-box"`, `data-to="at-custom-plan-state"`, "differs from Braze&#39;s profile field email only in case", `data-to="preview-box"`, `plan</span> left out: too long`)
		s.get("/models/customers").wants(t, http.StatusOK, `plan</span> left out: too long`)
		if modelsDraft(t, store) != modelsFile {
			t.Error("the draft was changed")
		}
		s.post("/models/customers/try", url.Values{"expr": {"upper(plan)"}}).wants(t, http.StatusOK, "PRO")
	})
	t.Run("a source that does not answer leaves the mapping editable", func(t *testing.T) {
		s, _, _ := modelsSite(t, modelsFile, &fakeModels{gone: errors.New("the database is not reachable")})
		s.get("/models/customers").wants(t, http.StatusOK, "the database is not reachable", `value="plan"`)
		s.get("/models/-/add").wants(t, http.StatusOK, "The source does not answer")
		s.get("/models/customers?tab=preview").wants(t, http.StatusOK, "the database is not reachable")
		s.get("/models/customers?tab=groups").wants(t, http.StatusOK, "news")
	})
}

func TestModelsGroups(t *testing.T) {
	f := &fakeModels{}
	s, store, _ := modelsSite(t, modelsFile, f)
	t.Run("a group is added with its id, and refused without", func(t *testing.T) {
		s.get("/models/customers?tab=groups").wants(t, http.StatusOK, "news", "credits &gt; 10", "only when your data changes subscribed again")
		form := url.Values{"at": {"new"}, "what": {"group"}, "name": {"loyal"}, "uuid": {"nonsense"}, "from": {"rule"}, "rule": {""}}
		s.post("/models/customers/groups", form).wants(t, http.StatusUnprocessableEntity, "This is no ID of a group", "Build or write a rule")
		form.Set("name", "our fans") // all that is wrong is told at once
		s.post("/models/customers/groups", form).wants(t, http.StatusUnprocessableEntity, "Write a name of letters", "This is no ID of a group", "Build or write a rule")
		form = url.Values{"at": {"new"}, "what": {"group"}, "name": {"loyal"}, "uuid": {"6D0F6F8C-0c9b-4a44-8a0e-6e0f3f0f9f1e"}, "from": {"rule"}, "rule": {""}, "source": {"builder"},
			"gnew.any": {"any"}, "gnew.r0.column": {"credits"}, "gnew.r0.op": {"ge"}, "gnew.r0.value": {"50"}, "gnew.r1.column": {"plan"}, "gnew.r1.op": {"is"}, "gnew.r1.value": {"pro"}, "on_leave": {"unsubscribe"}, "resubscribe": {"never"}}
		if a := s.post("/models/customers/groups", form); a.Code != http.StatusSeeOther {
			t.Fatalf("%d %s", a.Code, a.Body)
		}
		text := modelsDraft(t, store)
		for _, want := range []string{"loyal: 6d0f6f8c-0c9b-4a44-8a0e-6e0f3f0f9f1e", `credits >= 50 || plan == "pro"`, "on_leave: unsubscribe", "resubscribe: never"} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is missing in\n%s", want, text)
			}
		}
	})
	t.Run("builder and text are kept in step, and counted", func(t *testing.T) {
		form := url.Values{"at": {"0"}, "what": {"group"}, "source": {"text"}, "rule": {`plan == "pro"`}, "before": {"credits > 10"}}
		s.post("/models/customers/rule", form).wants(t, http.StatusOK, "42", "of 1,200 rows match", "12 join", `g0.r0.column`)
		if len(f.asked) != 1 || f.asked[0].Before != "credits > 10" {
			t.Errorf("asked %+v", f.asked)
		}
		form = url.Values{"at": {"0"}, "source": {"builder"}, "redraw": {"1"}, "g0.r0.column": {"born"}, "g0.r0.op": {"is"}, "g0.r0.value": {"x"}}
		s.post("/models/customers/rule", form).wants(t, http.StatusOK, "write a date", `value=\"before\"`)
		form = url.Values{"at": {"0"}, "source": {"builder"}, "redraw": {"1"}, "g0.r0.column": {"plan"}, "g0.r0.op": {"is"}, "g0.r0.value": {"p"}}
		s.post("/models/customers/rule", form).wants(t, http.StatusOK, `list=\"g0.r0-l\"`, `option value=\"pro\"`)
		s.post("/models/customers/rule", url.Values{"at": {"0"}, "source": {"text"}, "rule": {"nowhere + 1"}}).wants(t, http.StatusOK, "there is no column", "richer than the builder")
	})
	t.Run("audiences and removal", func(t *testing.T) {
		form := url.Values{"at": {"new"}, "what": {"audience"}, "name": {"is_pro"}, "rule": {`plan == "pro"`}, "source": {"text"}}
		if a := s.post("/models/customers/groups", form); a.Code != http.StatusSeeOther || !strings.Contains(modelsDraft(t, store), "attribute: is_pro") {
			t.Errorf("%d\n%s", a.Code, modelsDraft(t, store))
		}
		s.post("/models/customers/groups/remove", url.Values{"at": {"0"}, "what": {"audience"}})
		if strings.Contains(modelsDraft(t, store), "is_pro") {
			t.Errorf("still there:\n%s", modelsDraft(t, store))
		}
		s.post("/models/customers/groups/remove", url.Values{"at": {"99"}}).wants(t, http.StatusNotFound)
	})
}

func TestModelsOptions(t *testing.T) {
	s, store, _ := modelsSite(t, modelsFile, &fakeModels{})
	s.get("/models/customers?tab=options").wants(t, http.StatusOK, "find out", `value="5%"`, "The whole model as text")
	form := url.Values{"mode": {"sync"}, "set.filter": {"credits > 0"}, "set.on_leave": {"unset"}, "set.deletes.max": {"20"}, "set.load_consent": {"true"}, "set.owns_users": {"true"}, "cron_preset": {"custom"}, "cron": {"15 4 * * 1"}, "zone": {"Europe/Berlin"}, "resync": {"all"}}
	if a := s.post("/models/customers/options", form); a.Code != http.StatusSeeOther {
		t.Fatalf("%d %s", a.Code, a.Body)
	}
	text := modelsDraft(t, store)
	for _, want := range []string{"mode: sync", "filter: credits > 0", "on_leave: unset", "max: 20", "load_consent: true", "owns_users: true", "15 4 * * 1", "Europe/Berlin", "resync: all"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	s.get("/models/customers?tab=options").wants(t, http.StatusOK, "deletes will be sent", "The next times:")
	s.post("/models/customers/options", url.Values{"set.deletes.max": {"many"}}).wants(t, http.StatusUnprocessableEntity, "write a whole number")
	s.post("/models/customers/options", url.Values{"set.load_consent": {"false"}, "cron_preset": {""}, "set.deletes.max": {"1000"}})
	if text = modelsDraft(t, store); strings.Contains(text, "load_consent") || strings.Contains(text, "cron") || strings.Contains(text, "deletes") {
		t.Errorf("defaults are still written:\n%s", text)
	}
	s.post("/models/customers/text", url.Values{"text": {"name: [oops"}}).wants(t, http.StatusUnprocessableEntity, "YAML")
	if a := s.post("/models/customers/text", url.Values{"text": {"name: people\nkind: users\ntable: public.customers\nmode: enrich\nload: none\nidentify: { external_id: id }\n"}}); a.Header.Get("Location") != "/models/people?tab=options" {
		t.Errorf("%d %s", a.Code, a.Body)
	}
	s.post("/models/people/delete", url.Values{"confirm": {"customers"}}).wants(t, http.StatusUnprocessableEntity, "Write people to confirm")
	if a := s.post("/models/people/delete", url.Values{"confirm": {"people"}}); a.Code != http.StatusSeeOther || strings.Contains(modelsDraft(t, store), "name: people") {
		t.Errorf("%d\n%s", a.Code, modelsDraft(t, store))
	}
	s.get("/models/people").wants(t, http.StatusNotFound)
}

func TestModelsSend(t *testing.T) {
	s, store, api := modelsSite(t, modelsFile, &fakeModels{})
	s.get("/models/customers?tab=preview&row=random&op=insert").wants(t, http.StatusOK, "Send this one user", "too long", "not shown", "curl $BRAZE_API_KEY")
	s.post("/models/customers/send", url.Values{"key": {"7"}}).wants(t, http.StatusUnprocessableEntity, "Tick that you want to send it")
	if a := s.post("/models/customers/send", url.Values{"key": {"7"}, "yes": {"1"}}); a.Code != http.StatusSeeOther || len(api.sent) != 1 || api.sent[0] != "customers 7" {
		t.Errorf("%d %v", a.Code, api.sent)
	}
	log, _, err := store.Activity(draft.Filter{Key: "models.send"})
	if err != nil || len(log) != 1 || slices.Contains(log[0].What.Args, "7") {
		t.Errorf("%v %+v", err, log)
	}
	api.err = errors.New("refused by Braze")
	s.post("/models/customers/send", url.Values{"key": {"7"}, "yes": {"1"}}).wants(t, http.StatusUnprocessableEntity, "refused by Braze")
}
