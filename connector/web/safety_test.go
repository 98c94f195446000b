package web

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/control"
)

func TestReasonsShowNoValueToAViewer(t *testing.T) {
	const said = `email "ada@example.com" is refused for 4711-0815`
	u := testUser()
	u.Held[0].Reason = said
	u.Rows = append(u.Rows, UserRow{Model: "customers", Table: "public.users", Key: "1", Fault: said}, UserRow{Model: "customers", Table: "public.users", Key: "2",
		Left: []connector.FieldNote{{Field: "phone", Reason: said}}})
	u.Past = append(u.Past, UserEvent{Outcome: "quarantined", Reason: said, Kind: connector.Track, Left: []connector.FieldNote{{Field: "phone", Reason: said}}})
	s := newSite(t, Config{Users: &fakeUsers{view: u}, Access: func() Access { return Access{SignIn: true, Users: twoUsers()} }})
	signIn(t, s, "jo").get("/users/"+testRef).lacks(t, "ada@example.com", "4711-0815")
	signIn(t, s, "kim").get("/users/"+testRef).wants(t, http.StatusOK, "4711-0815")
}

func TestAFaultShowsNoValueToAViewer(t *testing.T) {
	s := newSite(t, Config{Access: func() Access { return Access{SignIn: true, Users: twoUsers()} },
		API: func(context.Context) (control.API, func(), error) {
			return nil, nil, errors.New(`row "ada@example.com" of 4711-0815`)
		}})
	signIn(t, s, "jo").get("/quarantine").lacks(t, "ada@example.com", "4711-0815")
	signIn(t, s, "kim").get("/quarantine").wants(t, http.StatusServiceUnavailable, "4711-0815")
}

func TestAModelsConstantTellsNoSecret(t *testing.T) {
	t.Setenv("SAFETY_KEY", "s3cr3t-key")
	text := strings.Replace(modelsFile, "custom: { plan: plan,", "custom: { plan: plan, key: { value: \"${SAFETY_KEY}\" },", 1)
	s, _, _ := modelsSite(t, text, &fakeModels{})
	a := s.get("/models/customers?tab=fields")
	a.wants(t, http.StatusOK, "${SAFETY_KEY}")
	a.lacks(t, "s3cr3t-key")
}

func TestAStatusThatTakesLongHoldsNobodyUpTwice(t *testing.T) {
	clock, asked := newHands(), 0
	s, err := New(Config{Now: clock.now, API: func(context.Context) (control.API, func(), error) {
		asked++
		clock.pass(2 * time.Second) // it does not answer
		return nil, nil, errors.New("no answer")
	}})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 { // who came meanwhile
		_, _ = s.status(t.Context())
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

func TestAPasswordThatNobodyWaitsForIsNotChanged(t *testing.T) {
	d := newDraftDesk(t, draftSample+"web: { users: [{ name: kim, role: editor, password: "+hashOf()+" }] }\n")
	for range cap(tries) { // others are being tried
		tries <- struct{}{}
	}
	defer func() {
		for range cap(tries) {
			<-tries
		}
	}()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	hr := httptest.NewRequest(http.MethodPost, "/settings/users/password", strings.NewReader(url.Values{"name": {"kim"}, "password": {secret}}.Encode())).WithContext(ctx)
	hr.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r := d.server.request(httptest.NewRecorder(), hr, route{Role: Editor})
	if err := d.server.setPassword(r); err == nil {
		t.Error("it went on")
	}
	if v, err := d.store.View(); err != nil || v.Pending {
		t.Errorf("the draft changed: %v\n%s", err, v.Text)
	}
}

func TestWhoHasNotSignedInSendsLittle(t *testing.T) {
	s := newSite(t, Config{Access: func() Access { return Access{SignIn: true, Users: twoUsers()} }})
	s.postRaw("/login", "csrf="+strings.Repeat("x", maxPublicForm)).wants(t, http.StatusRequestEntityTooLarge)
}

func TestADatabasesPasswordDoesNotFollowToAnotherHost(t *testing.T) {
	for _, c := range []struct {
		old, now string
		along    bool
	}{
		{"postgres://me:${PW}@db/shop", "postgres://me:${PW}@elsewhere/shop", true},
		{"postgres://me:${PW}@db/shop", "postgres://me:${PW}@db:5433/shop", true},
		{"postgres://me:${PW}@db/shop", "postgres://me:${PW}@db/shop?host=elsewhere", true},
		{"postgres://me:${PW}@db/shop", "postgres://me:${PW}@db:5432/other", false},
		{"postgres://me:${PW}@db/shop", "postgres://me:${OTHER}@elsewhere/shop", false},
		{"${DATABASE_URL}", "postgres://me:${PW}@db/shop", false},
	} {
		if got := takesPasswordAlong(c.old, c.now); got != c.along {
			t.Errorf("%s to %s: %v", c.old, c.now, got)
		}
	}
	d := newDraftDesk(t, strings.Replace(draftSample, "geheim-5678", "${PW}", 1))
	form := url.Values{fieldID("source.postgres.url"): {"postgres://me:${PW}@elsewhere/shop"}}
	d.post("/draft/settings", form).wants(t, http.StatusUnprocessableEntity, "entered again")
	if v, err := d.store.View(); err != nil || v.Pending {
		t.Errorf("%v\n%s", err, v.Text)
	}
}

func TestWhatTheProcessSaysShowsNoValueToAViewer(t *testing.T) {
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	needs := []need{{Kind: "unheard", Detail: `"ada@example.com" is refused for 4711-0815`}}
	for role, want := range map[Role]bool{Viewer: false, Editor: true} {
		r := &request{s: s, User: User{Role: role}, Lang: "en", Zone: time.UTC}
		if got := r.shownNeeds(needs); len(got) != 1 || strings.Contains(got[0].Detail, "ada@") != want || strings.Contains(got[0].Detail, "4711") != want {
			t.Errorf("as %s: %+v", role, got)
		}
	}
}
