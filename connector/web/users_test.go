package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/control"
	"brazecdc/connector/draft"
)

// fakeUsers is one user with everything that a page can show.
type fakeUsers struct {
	view     *UserView
	away     string
	found    *UserFound
	compared *UserCompared
	asked    UserAsk
	watched  string
	err      error
}

func (f *fakeUsers) Elsewhere(context.Context) string { return f.away }

func (f *fakeUsers) Ways(context.Context) (*UserWays, error) {
	return &UserWays{Models: []UserModel{{Name: "customers", Keys: []string{"id"}}}, Labels: []string{"crm"}, Email: true, Phone: true}, nil
}

func (f *fakeUsers) Find(_ context.Context, ask UserAsk) (*UserFound, error) {
	f.asked = ask
	return f.found, f.err
}

func (f *fakeUsers) User(_ context.Context, ref, _ string) (*UserView, error) {
	if f.view == nil || ref != f.view.Ref {
		return nil, ErrNoUser
	}
	return f.view, nil
}

func (f *fakeUsers) Watch(_ context.Context, ref string, on bool) error {
	if on {
		f.watched = ref
	}
	return f.err
}

func (f *fakeUsers) Compare(context.Context, string, int) (*UserCompared, error) {
	return f.compared, f.err
}

// sender is a process that sends.
type sender struct {
	control.API
	control.Resyncs
	sent  []string
	field control.ResyncRequest
	err   error
}

func (s *sender) Status(context.Context) (*control.Status, error) {
	return &control.Status{Workspace: "shop"}, nil
}

func (s *sender) Send(_ context.Context, model, key string, _ ...string) (string, error) {
	s.sent = append(s.sent, model+" "+key)
	return "done", s.err
}

func (s *sender) StartResync(_ context.Context, q control.ResyncRequest) (*connector.LoadState, error) {
	s.field = q
	return &connector.LoadState{}, s.err
}

const testRef = "h:3f2a91c0d4e5"

func testUser() *UserView {
	at := time.Date(2026, 11, 3, 10, 31, 4, 0, time.UTC)
	return &UserView{
		Ref: testRef, User: connector.User{ID: "u-1042"}, Since: at.AddDate(0, 0, -3),
		Rows: []UserRow{{Model: "customers", Table: "public.users", Key: "1042", Fields: []UserField{
			{Name: "email", Value: `"ada@example.com"`, State: FieldAgrees}, {Name: "plan", Value: `"pro"`, State: FieldDiffers}, {Name: "nick", Value: "null", State: FieldNever},
		}, Groups: []UserField{{Name: "newsletter", Label: "newsletter", Value: `"subscribed"`}}, Left: []connector.FieldNote{{Field: "phone", Reason: "not a phone number"}}}},
		Waiting: connector.Waiting{Busy: true, Reason: "gap", Steps: []connector.WaitingStep{{Kind: connector.Track, Changes: 2, Models: []string{"customers"}, Fields: []string{"plan"}}}},
		Held:    []connector.Entry{{ID: 17, Model: "customers", Reason: "the email is not valid", At: at}},
		More:    "7-99",
		Past: []UserEvent{
			{At: at, First: at, Outcome: "accepted", Kind: connector.Track, Changes: 3, Tries: 1, Queued: at.Add(-3 * time.Second), Waited: []string{"gap", "busy"},
				Call:   &connector.Called{At: at.Add(-500 * time.Millisecond), Took: 400 * time.Millisecond, Objects: 75, Status: 201, RequestID: "req-77", Budget: time.Second},
				Method: "POST", Path: "/users/track", Sent: []string{"plan"}, Same: []string{"email"}, Empty: []string{"nick"}, Left: []connector.FieldNote{{Field: "phone", Reason: "not a phone number"}},
				Rows: []UserChange{{Model: "customers", Table: "public.users", Key: "1042", Op: "update", Position: "0/16B3748 · 2", Committed: at.Add(-4 * time.Second),
					Columns: []string{"plan", "phone_no"}, Known: true, Confirmed: "yes"}},
				Payload: `{"plan":"pro"}`, HadPayload: true},
			{At: at.Add(-time.Hour), First: at.Add(-24 * time.Hour), Counted: true, Count: 37, Outcome: "suppressed", Rows: []UserChange{{Model: "customers"}}},
			{At: at.Add(-2 * time.Hour), First: at.Add(-2 * time.Hour), Counted: true, Count: 1, Outcome: "passed", Reason: "filter", Rows: []UserChange{{Model: "customers"}}},
			{At: at.Add(-3 * time.Hour), First: at.Add(-3 * time.Hour), Gap: true, Count: 12},
			{At: at.Add(-4 * time.Hour), First: at.Add(-4 * time.Hour), Outcome: "quarantined", Reason: "the email is not valid", Kind: connector.Track, Same: []string{"email"},
				Call: &connector.Called{At: at.Add(-4 * time.Hour), Objects: 1, Status: 201}, Method: "POST", Path: "/users/track",
				Rows: []UserChange{{Model: "customers", Table: "public.users", Op: "insert", Confirmed: "no"}}},
			{At: at.Add(-5 * time.Hour), First: at.Add(-5 * time.Hour), Outcome: "retry", Reason: "no answer", Kind: connector.DeleteUser, Call: &connector.Called{}, HadPayload: true, Rows: []UserChange{{Model: "customers"}}},
		},
	}
}

func TestPrivateValuesOfAUser(t *testing.T) {
	f := &fakeUsers{view: testUser()}
	f.view.Rows[0].Fields = append(f.view.Rows[0].Fields, UserField{Name: "iban", Value: `"DE89 3704"`, State: FieldAgrees})
	f.view.Past[0].Payload = `{"iban":"DE89 3704"}`
	f.compared = &UserCompared{Row: f.view.Rows[0], Fields: []UserDiff{{Name: "iban", Source: `"DE89 3704"`, Held: `"DE89 3704"`, Equal: true}}}
	s, store := usersSite(t, f, nil)
	s.server.cfg.Quarantine, s.server.cfg.Access = redacting{}, func() Access { return Access{SignIn: true, Users: twoUsers()} }
	const path = "/users/" + testRef
	kim := signIn(t, s, "kim")
	kim.get(path).wants(t, http.StatusOK, "•••", "pro", "Show them", "looks private")
	for _, a := range []answer{kim.get(path), kim.post(path+"/compare", url.Values{"row": {"0"}})} {
		a.lacks(t, "DE89")
	}
	kim.post(path+"/reveal", nil).wants(t, http.StatusOK, "DE89 3704", "Hide them")
	kim.get(path).lacks(t, "DE89")
	if got := activity(t, store); !strings.Contains(got, "users.did.revealed "+testRef) {
		t.Errorf("the activity is %s", got)
	}
	jo := signIn(t, s, "jo")
	jo.post(path+"/reveal", nil).wants(t, http.StatusForbidden)
	jo.get(path).lacks(t, "DE89", "Show them")
}

// usersSite serves the pages of a user, with an activity log.
func usersSite(t *testing.T, f *fakeUsers, api control.API) (*site, *draft.Store) {
	t.Helper()
	dir := t.TempDir()
	store, err := draft.Open(dir+"/brazecdc.yaml", dir+"/pages")
	if err != nil {
		t.Fatal(err)
	}
	return newSite(t, Config{Users: f, Draft: store, API: func(context.Context) (control.API, func(), error) {
		if api == nil {
			return nil, nil, errors.New("nothing runs")
		}
		return api, func() {}, nil
	}}), store
}

func activity(t *testing.T, store *draft.Store) string {
	t.Helper()
	list, _, err := store.Activity(draft.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, a := range list {
		out = append(out, a.What.Key+" "+strings.Join(a.What.Args, " ")+" "+a.Link)
	}
	return strings.Join(out, "\n")
}

func TestUsersSearch(t *testing.T) {
	t.Run("leads to the user by a reference alone, and is noted without the identifier", func(t *testing.T) {
		f := &fakeUsers{found: &UserFound{Ref: testRef}}
		s, store := usersSite(t, f, nil)
		s.get("/users").wants(t, http.StatusOK, "e-mail address", "customers (id)")
		a := s.post("/users/find", url.Values{"by": {"email"}, "value": {" ada@example.com "}})
		if got := a.Header.Get("Location"); a.Code != http.StatusSeeOther || got != "/users/"+testRef {
			t.Errorf("%d %s", a.Code, got)
		}
		if f.asked.Value != "ada@example.com" || f.asked.By != ByEmail {
			t.Errorf("asked %+v", f.asked)
		}
		if got := activity(t, store); got != "users.did.found email "+testRef+" /users/"+testRef {
			t.Errorf("activity: %s", got)
		}
	})
	t.Run("says where was looked when nobody is found", func(t *testing.T) {
		f := &fakeUsers{found: &UserFound{Looked: []UserPlace{{Where: "history"}, {Where: "source", Name: "public.users.email", Fault: "it does not answer"}}}}
		s, store := usersSite(t, f, nil)
		s.post("/users/find", url.Values{"by": {"email"}, "value": {"x@example.com"}}).wants(t, http.StatusNotFound, "Nobody was found", "as far back as it is kept", "public.users.email", "it does not answer",
			`value="x@example.com"`)
		if got := activity(t, store); strings.Contains(got, "example") {
			t.Errorf("activity: %s", got)
		}
		s.lang = "de"
		s.post("/users/find", url.Values{"value": {"x"}}).wants(t, http.StatusNotFound, "Niemand gefunden")
	})
	t.Run("asks for what is missing", func(t *testing.T) {
		s, _ := usersSite(t, &fakeUsers{}, nil)
		s.post("/users/find", nil).wants(t, http.StatusUnprocessableEntity, "Say whom you look for", `aria-invalid="true"`)
		s.post("/users/find", url.Values{"by": {"row"}, "value": {"1"}, "model": {"nope"}}).wants(t, http.StatusUnprocessableEntity, "Choose the model")
		s.post("/users/find", url.Values{"value": {strings.Repeat("x", 2000)}}).wants(t, http.StatusUnprocessableEntity, "longer than any identifier")
	})
	t.Run("points at the process that knows", func(t *testing.T) {
		s, _ := usersSite(t, &fakeUsers{away: "http://127.0.0.1:8080"}, nil)
		for _, path := range []string{"/users", "/users/" + testRef} {
			s.get(path).wants(t, http.StatusServiceUnavailable, `href="http://127.0.0.1:8080/users"`)
		}
		s, _ = usersSite(t, &fakeUsers{away: "javascript:alert(1)"}, nil)
		s.get("/users").lacks(t, "javascript:")
		newSite(t, Config{}).get("/users").wants(t, http.StatusServiceUnavailable, "brazecdc run")
	})
}

func TestUserPage(t *testing.T) {
	t.Run("tells each step with the time between them, in both languages", func(t *testing.T) {
		s, _ := usersSite(t, &fakeUsers{view: testUser()}, nil)
		a := s.get("/users/" + testRef)
		a.wants(t, http.StatusOK, "User u-1042", "ada@example.com", "Nothing on record", "Differs", "phone was left out: not a phone number", "/quarantine/e/17", "2 changes of customers: plan",
			"Accepted by Braze", "Changed row in public.users, key 1042", "<code>phone_no</code>", "0/16B3748", "stands for 3 changes", "after 2.5 s", "after 400 ms", "together with 74 other objects", "req-77",
			"201: accepted by Braze", "Confirmed at the source", "37 changes of customers: nothing new for Braze", "the filter does not include the row", "12 entries are missing", "this object was refused",
			"The values were not kept", "&#34;plan&#34;: &#34;pro&#34;", "Older entries", "newsletter", "subscribed", "brazecdc preview --model customers --key 1042", "for the rate limit: 1 s", "1 try before")
		for _, word := range []string{"users.step", "users.map", "users.past", "users.now", "users.kind", "users.outcome", "users.wait"} {
			a.lacks(t, word)
		}
		s.lang = "de"
		s.get("/users/"+testRef).wants(t, http.StatusOK, "Von Braze angenommen", "37 Änderungen von customers", "Hier fehlen 12 Einträge", "nach 2,5 Sek.")
	})
	t.Run("shows no value to a viewer, and no button that changes something", func(t *testing.T) {
		f := &fakeUsers{view: testUser(), compared: &UserCompared{}}
		s := newSite(t, Config{Users: f, Access: func() Access { return Access{SignIn: true, Users: twoUsers()} }})
		viewer := signIn(t, s, "jo")
		a := viewer.get("/users/" + testRef)
		a.wants(t, http.StatusOK, "…@…", "•••", "Differs", "The values are shown to editors", "Changed columns", "phone was left out")
		a.lacks(t, "ada@example.com", "u-1042", "&#34;pro&#34;", `action="/users/`)
		for _, path := range []string{"/send", "/watch", "/compare"} {
			viewer.post("/users/"+testRef+path, url.Values{"row": {"0"}}).wants(t, http.StatusForbidden)
		}
		f.found = &UserFound{Ref: testRef}
		viewer.post("/users/find", url.Values{"by": {"external_id"}, "value": {"u-1042"}}).wants(t, http.StatusSeeOther)
	})
	t.Run("does not know whose reference is not known", func(t *testing.T) {
		s, _ := usersSite(t, &fakeUsers{view: testUser()}, nil)
		s.get("/users/h:000000000000").wants(t, http.StatusNotFound, "Nothing is known of this user")
	})
	t.Run("has a word for a user of whom nothing happened", func(t *testing.T) {
		s, _ := usersSite(t, &fakeUsers{view: &UserView{Ref: testRef, User: connector.User{ID: "u"}}}, nil)
		s.get("/users/"+testRef).wants(t, http.StatusOK, "No entry yet", "Nothing waits for this user", "No living row")
	})
}

func TestUserActions(t *testing.T) {
	t.Run("send again in full, and one field", func(t *testing.T) {
		api := &sender{}
		s, store := usersSite(t, &fakeUsers{view: testUser()}, api)
		s.post("/users/"+testRef+"/send", url.Values{"row": {"0"}}).wants(t, http.StatusSeeOther)
		s.post("/users/"+testRef+"/send", url.Values{"row": {"0"}, "field": {"plan"}}).wants(t, http.StatusSeeOther)
		if len(api.sent) != 1 || api.sent[0] != "customers 1042" || api.field.Model != "customers" || api.field.Fields[0] != "plan" || api.field.Keys[0] != "1042" {
			t.Errorf("sent %v %+v", api.sent, api.field)
		}
		if got := activity(t, store); !strings.Contains(got, "users.did.sent "+testRef) || !strings.Contains(got, "users.did.sentfield "+testRef) || strings.Contains(got, "1042") {
			t.Errorf("activity: %s", got)
		}
		for _, bad := range []url.Values{{"row": {"7"}}, {"row": {"-1"}}, {"row": {"99999999999999999999"}}, {"row": {"0"}, "field": {"nope"}}, {"row": {"0"}, "field": {"newsletter"}}} {
			s.post("/users/"+testRef+"/send", bad).wants(t, http.StatusUnprocessableEntity)
		}
		api.err = errors.New("refused by Braze: too old")
		s.post("/users/"+testRef+"/send", url.Values{"row": {"0"}}).wants(t, http.StatusBadGateway, "too old")
	})
	t.Run("watch, and its bound", func(t *testing.T) {
		f := &fakeUsers{view: testUser()}
		s, store := usersSite(t, f, nil)
		s.post("/users/"+testRef+"/watch", url.Values{"on": {"yes"}}).wants(t, http.StatusSeeOther)
		if f.watched != testRef || !strings.Contains(activity(t, store), "users.did.watched") {
			t.Error("not watched, or not noted")
		}
		f.err = ErrWatchFull
		s.post("/users/"+testRef+"/watch", url.Values{"on": {"yes"}}).wants(t, http.StatusConflict, "20 users are watched")
	})
	t.Run("compare with Braze says what it uses, and shows the difference", func(t *testing.T) {
		f := &fakeUsers{view: testUser(), compared: &UserCompared{Row: testUser().Rows[0], Left: []string{"newsletter"},
			Fields: []UserDiff{{Name: "email", Source: `"a"`, Held: `"b"`}, {Name: "plan", Source: `"pro"`, Held: `"pro"`, Equal: true}}}}
		s, store := usersSite(t, f, nil)
		s.get("/users/"+testRef).wants(t, http.StatusOK, "Uses one call of the export limit")
		s.post("/users/"+testRef+"/compare", url.Values{"row": {"0"}}).wants(t, http.StatusOK, "Compared with Braze", "Equal", "Differs", "newsletter")
		if !strings.Contains(activity(t, store), "users.did.compared") {
			t.Error("not noted")
		}
		f.compared = &UserCompared{Row: testUser().Rows[0], Missing: true}
		s.post("/users/"+testRef+"/compare", url.Values{"row": {"0"}}).wants(t, http.StatusOK, "Braze does not know this user")
	})
}
