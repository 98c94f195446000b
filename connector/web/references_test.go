package web

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"brazecdc/connector"
	"brazecdc/connector/draft"
)

const referenceText = `version: 1
models:
  - name: customers
    kind: users
    table: public.users
    mode: additive
    load: none
    identify: { external_id: id }
    custom:
      shop: { value: "${PAGES_TEST_SHOP}" }
      mixed: { expr: 'plan + "${PAGES_TEST_SHOP}"' }
      plan: plan
`

func TestPagesShowNoValueOfAVariable(t *testing.T) {
	const secret = "s3cr3t-shop"
	t.Setenv("PAGES_TEST_SHOP", secret)
	body := `{"attributes":[{"external_id":"1","shop":"` + secret + `","n":1.50,"plan":"pro<b>","mixed":"pro` + secret + `","deep":{"shop":["` + secret + `"]}}]}`
	want := `{"attributes":[{"external_id":"1","shop":"${PAGES_TEST_SHOP}","n":1.50,"plan":"pro<b>","mixed":"plan + \"${PAGES_TEST_SHOP}\"","deep":{"shop":"${PAGES_TEST_SHOP}"}}]}`

	t.Run("in a call", func(t *testing.T) {
		s := newSite(t, Config{})
		if got := s.server.referencesOf([]byte(referenceText)).body(body); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if got := s.server.referencesOf([]byte(referenceText)).body(`{"shop":`); got != "" {
			t.Errorf("what can't be read shows as %s", got)
		}
	})
	t.Run("on a user's page, in what is sent now, was sent, and was compared", func(t *testing.T) {
		view := &UserView{
			Ref: testRef, User: connector.User{ID: "1"},
			Rows: []UserRow{{Model: "customers", Key: "1", Fields: []UserField{{Name: "shop", Value: `"` + secret + `"`, State: FieldAgrees}, {Name: "plan", Value: `"pro"`}}}},
			Past: []UserEvent{{Outcome: "accepted", Kind: connector.Track, Payload: body, HadPayload: true, Call: &connector.Called{}}},
		}
		f := &fakeUsers{view: view, compared: &UserCompared{Row: view.Rows[0], Fields: []UserDiff{{Name: "shop", Source: `"` + secret + `"`, Held: `"` + secret + `"`, Equal: true}}}}
		s, store := usersSite(t, f, nil)
		if err := store.SetText("", []byte(referenceText)); err != nil {
			t.Fatal(err)
		}
		for _, a := range []answer{s.get("/users/" + testRef), s.post("/users/"+testRef+"/compare", nil)} {
			text := a.Body
			if strings.Contains(text, secret) || strings.Count(text, "${PAGES_TEST_SHOP}") < 3 || !strings.Contains(text, "pro") {
				t.Errorf("%d: the page shows\n%s", a.Code, text)
			}
		}
	})
	t.Run("on the page of the first user", func(t *testing.T) {
		s, f, store := connectionsSite(t, readyText)
		if err := store.SetText("", []byte(referenceText)); err != nil {
			t.Fatal(err)
		}
		f.sent = &FirstSent{Model: "customers", User: "1", Calls: []FirstCall{{Method: "POST", Path: "/users/track", Body: body}}}
		a := s.get("/setup/done")
		a.wants(t, http.StatusOK, "${PAGES_TEST_SHOP}", "external_id")
		if strings.Contains(a.Body, secret) || !strings.Contains(f.sent.Calls[0].Body, secret) {
			t.Errorf("the page shows\n%s", a.Body)
		}
	})
	t.Run("of an earlier version either", func(t *testing.T) {
		dir := t.TempDir()
		file := dir + "/brazecdc.yaml"
		if err := os.WriteFile(file, []byte(referenceText), 0o600); err != nil {
			t.Fatal(err)
		}
		store, err := draft.Open(file, dir+"/pages")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(strings.Replace(referenceText, "shop: {", "other: {", 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		view := &UserView{Ref: testRef, Past: []UserEvent{{Outcome: "accepted", Kind: connector.Track, Payload: body, HadPayload: true, Call: &connector.Called{}}}}
		s := newSite(t, Config{Users: &fakeUsers{view: view}, Draft: store})
		if text := s.get("/users/" + testRef).Body; strings.Contains(text, secret) {
			t.Errorf("the page shows\n%s", text)
		}
	})
}
