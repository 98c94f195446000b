package main

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"brazecdc/connector/config"
	"brazecdc/connector/web"
)

// shopModel is a model of shopSchema with what the pages have to judge.
const shopModel = `models:
  - name: customers
    kind: users
    table: public.customers
    mode: sync
    load: none
    filter: credits >= 0
    on_leave: unset
    identify: { external_id: id }
    fields: { email: email, first_name: vorname, dob: born }
    custom: { plan: plan, credits: { column: credits, type: number }, shout: { expr: upper(plan) } }
    subscription_groups: [{ group: loyal, when: credits > 2000, on_leave: unsubscribe }]
`

// modelsBench is the pages' view of a database of customers, and a draft with a model of them.
func modelsBench(t *testing.T) (v *modelViews, draft string, b *bench) {
	t.Helper()
	b = shopBench(t)
	draft = strings.Replace(b.text, "models: []\n", shopModel, 1)
	draft = strings.Replace(draft, "${DATABASE_URL}", b.url, 1)
	draft = strings.Replace(draft, "user_gap: 20ms", "user_gap: 20ms\n  subscription_groups: { loyal: 5d0f6f8c-0c9b-4a44-8a0e-6e0f3f0f9f1e }", 1)
	draft = strings.Replace(draft, "${BRAZE_API_KEY}", testKey, 1)
	return newModelsViews(&program{config: b.config()}), draft, b
}

func TestModelsViews(t *testing.T) {
	t.Parallel()
	v, draft, b := modelsBench(t)
	ctx := t.Context()

	t.Run("tables come with their columns, those of people first, without values", func(t *testing.T) {
		list, err := v.Relations(ctx, []byte(draft))
		if err != nil || len(list) != 3 || list[2].Name != "public.notes" {
			t.Fatalf("%v %+v", err, list)
		}
		i := slices.IndexFunc(list, func(r web.Relation) bool { return r.Name == "public.customers" })
		c := &list[i]
		if !c.Email || c.ExternalID != "id" || c.Rows != 300 || !slices.Equal(c.Key(), []string{"id"}) || c.Identity != "default" || !c.Readable {
			t.Errorf("%+v", c)
		}
		for _, col := range c.Columns {
			if len(col.Samples) > 0 {
				t.Errorf("values of %s are there", col.Name)
			}
		}
		if list[2].Key() != nil {
			t.Errorf("notes has the key %v", list[2].Key())
		}
	})
	t.Run("a table has suggestions with their misfits, and no values of what is private or forbidden", func(t *testing.T) {
		r, err := v.Relation(ctx, []byte(draft), "public.customers")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range r.Suggestions {
			got = append(got, s.Field+"="+s.Column)
			if s.Field == "email" && (s.Misfits < 4 || s.Misfits > 9 || s.Sampled != 200 || !s.Likely) {
				t.Errorf("email: %+v", s)
			}
		}
		if want := []string{"email=email", "first_name=vorname", "phone=mobile", "dob=born"}; !slices.Equal(got, want) {
			t.Errorf("suggested %v, want %v", got, want)
		}
		if c := r.Column("password_hash"); !c.Never || c.Samples != nil {
			t.Errorf("%+v", c)
		}
		if c := r.Column("iban"); !c.Private || c.Samples != nil {
			t.Errorf("%+v", c)
		}
		if c := r.Column("email"); len(c.Samples) != shownRows || c.Kind != "text" {
			t.Errorf("%+v", c)
		}
		if c := r.Column("newsletter"); !c.Consent || c.Kind != "bool" {
			t.Errorf("%+v", c)
		}
	})
	t.Run("a preview tells no value of a variable or a file, which may be a secret", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(file, []byte("s3cr3t-value"), 0o600); err != nil {
			t.Fatal(err)
		}
		text := strings.Replace(draft, "custom: { plan: plan,", "custom: { plan: plan, key: { value: \"${file:"+file+"}\" }, same: { expr: '\"${file:"+file+"}\"' },", 1)
		p, err := v.Preview(ctx, []byte(text), web.PreviewAsk{Model: "customers", Row: "newest", Op: "insert"})
		if err != nil || !p.Found || len(p.Calls) == 0 {
			t.Fatalf("%v %+v", err, p)
		}
		if body := p.Calls[0].Body; strings.Contains(body, "s3cr3t") || !strings.Contains(body, "${file:"+file+"}") {
			t.Errorf("%s", body)
		}
	})
	t.Run("a plan tells what each line makes of the rows, and its faults by path", func(t *testing.T) {
		p, err := v.Plan(ctx, []byte(draft), "customers")
		if err != nil || p.Unreachable != "" || p.Rows != 200 {
			t.Fatalf("%v %+v", err, p)
		}
		if l := p.Lines["models[0].fields.email"]; l == nil || l.Left < 4 || l.Left+l.Sent != 200 || l.Type != "text" || len(l.Samples) != 3 || l.Samples[1].To != `"kundin299@beispiel.de"` || l.Reasons[0].Reason != "not an e-mail address" || l.Reasons[0].Sample.Text != "keine Adresse" {
			t.Errorf("email: %+v", l)
		}
		for path, typ := range map[string]string{"fields.dob": "date", "custom.credits": "number", "custom.shout": "text"} {
			if l := p.Lines["models[0]."+path]; l == nil || l.Type != typ || l.Sent != 200 {
				t.Errorf("%s: %+v", path, l)
			}
		}
		if l := p.Lines["models[0].identify.external_id"]; l == nil || l.Sent != 200 || p.NoID != 0 || p.Doubles != 0 {
			t.Errorf("identity: %+v, %d without, %d twice", l, p.NoID, p.Doubles)
		}
		bad := strings.NewReplacer("vorname, dob", "vornam, dob", "credits > 2000", "credit > 2000", "external_id: id", "external_id: plan").Replace(draft)
		if p, err = v.Plan(ctx, []byte(bad), "customers"); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"models[0].fields.first_name": `did you mean "vorname"?`, "models[0].subscription_groups[0].when": `did you mean "credits"?`}
		for _, f := range p.Faults {
			if fix, ok := want[f.Path]; ok && f.Fix == fix && f.Line > 0 {
				delete(want, f.Path)
			}
		}
		if len(want) > 0 {
			t.Errorf("not found: %v in %v", want, p.Faults)
		}
		if p.Doubles != 297 || p.NoID != 0 || p.Checked != 300 {
			t.Errorf("%d twice, %d without, of %d", p.Doubles, p.NoID, p.Checked)
		}
		if l := p.Lines["models[0].fields.email"]; l == nil || l.Left < 4 {
			t.Errorf("lines without faults are not looked at beside those with: %+v", p.Lines)
		}
	})
	t.Run("a preview shows the exact calls of a row as each operation", func(t *testing.T) {
		see := func(row, key, op string) *web.ModelPreview {
			t.Helper()
			p, err := v.Preview(ctx, []byte(draft), web.PreviewAsk{Model: "customers", Row: row, Key: key, Op: op})
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		p := see("newest", "", "insert")
		if !p.Found || p.Key != "1" || len(p.Calls) != 1 || p.Calls[0].Method+p.Calls[0].Path != "POST/users/track" || !strings.Contains(p.Calls[0].Body, `"email":"kundin1@beispiel.de"`) ||
			!strings.Contains(p.Calls[0].Curl, "$BRAZE_API_KEY") || strings.Contains(p.Calls[0].Curl, testKey) {
			t.Errorf("%+v", p)
		}
		for _, c := range p.Columns {
			if c.Column == "password_hash" && (!c.Hidden || c.Value != "") {
				t.Errorf("%+v", c)
			}
		}
		if p = see("fails", "", "insert"); !p.Found || p.Fields[0].State != web.FieldLeft || p.Fields[0].Reason != "not an e-mail address" {
			t.Errorf("%+v", p)
		}
		if p = see("key", "300", "insert"); !strings.Contains(p.Calls[0].Body, `"subscribed"`) {
			t.Errorf("%+v", p)
		}
		if p = see("key", "7", "delete"); p.Calls[0].Path != "/users/delete" {
			t.Errorf("%+v", p)
		}
		if p = see("key", "7", "leaves"); len(p.Calls) != 1 || !strings.Contains(p.Calls[0].Body, `"email":null`) {
			t.Errorf("%+v", p)
		}
		if p = see("key", "7777", "insert"); p.Found {
			t.Errorf("%+v", p)
		}
		if p = see("noemail", "", "insert"); p.Found {
			t.Errorf("%+v", p)
		}
		if p = see("random", "", "update"); !p.Found {
			t.Errorf("%+v", p)
		}
	})
	t.Run("a rule is counted over the rows, beside the one before", func(t *testing.T) {
		c, err := v.Count(ctx, []byte(draft), web.CountAsk{Model: "customers", Rule: `credits > 2000 && plan == "pro"`, Before: "credits > 2500", Parts: []string{"credits > 2000", `plan == "pro"`, "credit > 1"}})
		if err == nil && !slices.Equal(c.Parts, []int64{100, 100, -1}) {
			t.Errorf("the rows alone match %v", c.Parts)
		}
		if err != nil || c.Fault != nil || c.Matching != 33 || c.Rows != 300 || c.About || !c.Compared || c.Joins != 17 || c.Leaves != 34 || len(c.Samples) != 10 || !slices.Equal(c.Columns, []string{"id", "credits", "plan"}) {
			t.Errorf("%v %+v", err, c)
		}
		if c, err = v.Count(ctx, []byte(draft), web.CountAsk{Model: "customers", Rule: `credit > 1`}); err != nil || c.Fault == nil || c.Fault.Fix != `did you mean "credits"?` {
			t.Errorf("%v %+v", err, c)
		}
		if c, err = v.Count(ctx, []byte(draft), web.CountAsk{Model: "customers", Rule: `last_order > now() - duration("720h")`}); err != nil || !c.Clock || c.Matching == 0 {
			t.Errorf("%v %+v", err, c)
		}
		b.exec(`CREATE TABLE crowd AS SELECT i AS id, i % 10 AS n FROM generate_series(1, 250000) i; ALTER TABLE crowd ADD PRIMARY KEY (id); ANALYZE crowd`)
		crowd := strings.Replace(draft, "public.customers", "public.crowd", 1)
		crowd = crowd[:strings.Index(crowd, "    filter:")] + "    identify: { external_id: id }\n"
		if c, err = v.Count(ctx, []byte(crowd), web.CountAsk{Model: "customers", Rule: `n == 3`}); err != nil || !c.About || c.Matching < 20_000 || c.Matching > 30_000 {
			t.Errorf("%v %+v", err, c)
		}
	})
	t.Run("an expression is tried, and frequent values are told", func(t *testing.T) {
		x, err := v.Try(ctx, []byte(draft), "customers", `upper(plan) + "!"`, false)
		if err != nil || x.Fault != nil || len(x.Rows) != shownRows || x.Rows[0].Value != `"PRO!"` {
			t.Errorf("%v %+v", err, x)
		}
		if x, err = v.Try(ctx, []byte(draft), "customers", `upper(password_hash)`, false); err != nil || len(x.Rows) != 0 {
			t.Errorf("%v %+v", err, x)
		}
		if list, err := v.Frequent(ctx, []byte(draft), "customers", "plan"); err != nil || len(list) != 3 {
			t.Errorf("%v %v", err, list)
		}
		b.exec(`CREATE TABLE ages (id int PRIMARY KEY, plan text); INSERT INTO ages SELECT i, CASE WHEN i <= 30000 THEN 'old' ELSE 'gold' END FROM generate_series(1, 100000) i; ANALYZE ages`)
		ages := strings.Replace(draft, "public.customers", "public.ages", 1)
		if list, err := v.Frequent(ctx, []byte(ages), "customers", "plan"); err != nil || len(list) != 2 || list[0] != "gold" {
			t.Errorf("of a table whose first rows are of one kind: %v %v", err, list)
		}
		for _, hidden := range []string{"password_hash", "iban"} {
			if list, err := v.Frequent(ctx, []byte(draft), "customers", hidden); err != nil || list != nil {
				t.Errorf("%s: %v %v", hidden, err, list)
			}
		}
	})
	t.Run("attributes are compared with those of Braze, and text that would become a time is told", func(t *testing.T) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.endpoint()+"/users/track", strings.NewReader(`{"attributes":[{"external_id":"x","credits":"many","day":"free text"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+testKey)
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(req)
		if err != nil || res.StatusCode != http.StatusCreated {
			t.Fatal(err, res)
		}
		_ = res.Body.Close()
		b.exec(`CREATE TABLE days (id text PRIMARY KEY, credits numeric, due text, day text); INSERT INTO days VALUES ('a', 7, '2026-11-01', '2026-11-01'), ('b', 8, 'soon', 'soon')`)
		text := draft[:strings.Index(draft, "models:")] + "models: [{ name: days, kind: users, table: public.days, mode: additive, load: none, identify: { external_id: id }, custom: { credits: credits, due: due, day: day } }]\n"
		fresh := newModelsViews(&program{config: b.config()})
		p, err := fresh.Plan(ctx, []byte(text), "days")
		if err != nil || p.Unreachable != "" {
			t.Fatalf("%v %+v", err, p)
		}
		if !slices.ContainsFunc(p.Faults, func(f config.Fault) bool {
			return f.Path == "models[0].custom.credits" && f.Warn && f.Line > 0 && strings.Contains(f.What, "in Braze")
		}) {
			t.Errorf("the type is not compared: %v", p.Faults)
		}
		if l := p.Lines["models[0].custom.credits"]; l == nil || l.Left != 2 {
			t.Errorf("values of another type are taken for sent: %+v", l)
		}
		if l := p.Lines["models[0].custom.due"]; l == nil || len(l.Reasons) != 1 || l.Reasons[0].Rows != 1 || l.Reasons[0].Left || !strings.Contains(l.Reasons[0].Reason, "looks like a date") {
			t.Errorf("a text that becomes a time is not told: %+v", l)
		}
		if l := p.Lines["models[0].custom.day"]; l == nil || len(l.Reasons) != 0 {
			t.Errorf("an attribute that is text keeps text: %+v", l)
		}
	})
	t.Run("a source that does not answer leaves the faults of the text", func(t *testing.T) {
		away := strings.Replace(draft, b.url, "postgres://nobody@127.0.0.1:1/x", 1)
		p, err := v.Plan(ctx, []byte(strings.Replace(away, "mode: sync", "mode: sink", 1)), "customers")
		if err != nil || p.Unreachable == "" || !slices.ContainsFunc(p.Faults, func(f config.Fault) bool { return f.Path == "models[0].mode" }) {
			t.Errorf("%v %+v", err, p)
		}
	})
	t.Run("nothing can be written", func(t *testing.T) {
		s, err := v.see([]byte(draft))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.table(ctx, "public.customers"); err != nil {
			t.Fatal(err)
		}
		err = s.look.With(ctx, func(c *pgconn.PgConn) error {
			_, err := c.Exec(context.WithoutCancel(ctx), "DELETE FROM customers").ReadAll()
			return err
		})
		if err == nil || !strings.Contains(err.Error(), "read-only") {
			t.Errorf("a write gave %v", err)
		}
	})
	t.Run("a table of which nothing may be read is not read", func(t *testing.T) {
		b.exec(`CREATE TABLE logins (token text PRIMARY KEY, password text); INSERT INTO logins VALUES ('a', 'b'), ('c', 'd')`)
		r, err := v.Relation(ctx, []byte(draft), "public.logins")
		if err != nil || r.Sampled != 0 || len(r.Columns) != 2 || !r.Columns[0].Private {
			t.Errorf("%v %+v", err, r)
		}
	})
}
