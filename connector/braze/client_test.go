package braze

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"brazecdc/connector"
)

const testKey = "3fa9c1d2-77b0-4e6a-9c55-0d8e12ab34cd"

func newTestClient(t testing.TB, endpoint string, cfg Config) *Client {
	t.Helper()
	cfg.Endpoint = endpoint
	if cfg.APIKey == "" {
		cfg.APIKey = testKey
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// request is what a test server saw.
type request struct {
	method, path, auth, contentType, encoding string
	body                                      []byte
}

// fakeBraze answers each request with what answer says and keeps them all.
type fakeBraze struct {
	*httptest.Server
	mu   sync.Mutex
	seen []request
}

func (f *fakeBraze) requests() []request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]request(nil), f.seen...)
}

func serve(t testing.TB, answer http.HandlerFunc) *fakeBraze {
	f := &fakeBraze{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		f.mu.Lock()
		f.seen = append(f.seen, request{r.Method, r.URL.RequestURI(), r.Header.Get("Authorization"), r.Header.Get("Content-Type"), r.Header.Get("Content-Encoding"), body})
		f.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(f.Close)
	return f
}

// respond answers with a status, a body, and header lines "Name: value".
func respond(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body) // some clients of the tests are gone by now
	}
}

func batchOf(n int) []connector.Effect {
	out := make([]connector.Effect, n)
	for i := range out {
		out[i] = track("u"+strconv.Itoa(i+1), field("plan", `"pro"`))
	}
	return out
}

func send(t *testing.T, c *Client, k connector.Kind, batch []connector.Effect) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return c.Send(ctx, k, batch)
}

func TestSend(t *testing.T) {
	t.Run("case 45: all endpoints use the configured host, with key and content type", func(t *testing.T) {
		f := serve(t, respond(201, `{"message":"success"}`))
		c := newTestClient(t, f.URL+"/", Config{})
		if err := send(t, c, connector.Track, batchOf(1)); err != nil {
			t.Fatal(err)
		}
		if err := send(t, c, connector.DeleteUser, batchOf(1)); err != nil {
			t.Fatal(err)
		}
		if err := send(t, c, connector.Rename, []connector.Effect{rename("u1", "u9")}); err != nil {
			t.Fatal(err)
		}
		if err := send(t, c, connector.Free, batchOf(1)); err != nil {
			t.Fatal(err)
		}
		if err := send(t, c, connector.Subscribe, []connector.Effect{subscribe(byID("u1"), state(newsGroup, "subscribed"))}); err != nil {
			t.Fatal(err)
		}
		for _, k := range []connector.Kind{connector.PutItem, connector.DeleteItem} {
			if err := send(t, c, k, []connector.Effect{item(k, "shops", "1")}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.Gone(t.Context(), []connector.User{byID("u1")}); err != nil {
			t.Fatal(err)
		}
		want := []string{"/users/track", "/users/delete", "/users/external_ids/rename", "/users/external_ids/remove", "/v2/subscription/status/set",
			"/catalogs/shops/items", "/catalogs/shops/items", "/users/export/ids"}
		methods := []string{"POST", "POST", "POST", "POST", "POST", "PUT", "DELETE", "POST"}
		got := f.requests()
		if len(got) != len(want) {
			t.Fatalf("%d requests, want %d", len(got), len(want))
		}
		for i, r := range got {
			if r.method != methods[i] || r.path != want[i] || r.auth != "Bearer "+testKey || r.contentType != "application/json" || r.encoding != "" {
				t.Errorf("request %d: %+v, want path %s", i, r, want[i])
			}
			if i < int(connector.Kinds) && strings.Replace(Endpoint(connector.Kind(i)), "{catalog}", "shops", 1) != want[i] {
				t.Errorf("Endpoint(%d) is %q, want %q", i, Endpoint(connector.Kind(i)), want[i])
			}
		}
	})
	t.Run("sends nothing for a batch that fits no request, and says so of the whole", func(t *testing.T) {
		f := serve(t, respond(201, `{}`))
		c := newTestClient(t, f.URL, Config{})
		mixed := []connector.Effect{track("u1"), {User: connector.User{Kind: connector.Email, ID: "a@x.io"}}}
		var rejected *connector.RejectedError
		if err := send(t, c, connector.DeleteUser, mixed); !errors.As(err, &rejected) || !rejected.Whole {
			t.Errorf("got %v, want a whole refusal", err)
		}
		if err := send(t, c, connector.DeleteUser, mixed[1:]); err != nil {
			t.Errorf("the part alone: %v", err)
		}
		if n := len(f.requests()); n != 1 {
			t.Errorf("%d requests, want 1", n)
		}
	})
	t.Run("case 75: 202 is accepted and marked as queued", func(t *testing.T) {
		var calls []CallInfo
		f := serve(t, respond(202, `{"message":"queued"}`, "X-Request-Id: r-7"))
		c := newTestClient(t, f.URL, Config{OnCall: func(i CallInfo) { calls = append(calls, i) }})
		if err := send(t, c, connector.Track, batchOf(3)); err != nil {
			t.Fatal(err)
		}
		if len(calls) != 1 || !calls[0].Queued || calls[0].Objects != 3 || calls[0].RequestID != "r-7" || calls[0].Bytes != len(f.requests()[0].body) {
			t.Errorf("observed %+v", calls)
		}
	})
	t.Run("reuses connections between concurrent senders", func(t *testing.T) {
		var mu sync.Mutex
		remotes := map[string]bool{}
		f := serve(t, func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			remotes[r.RemoteAddr] = true
			mu.Unlock()
			respond(201, `{"message":"success"}`)(w, r)
		})
		c := newTestClient(t, f.URL, Config{})
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 20 {
					if err := c.Send(t.Context(), connector.Track, batchOf(2)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if len(remotes) > 16 {
			t.Errorf("%d connections for 8 senders", len(remotes))
		}
		for _, r := range f.requests() {
			if !json.Valid(r.body) || string(r.body) != string(Body(connector.Track, batchOf(2))) {
				t.Fatalf("body was changed while it was sent: %s", r.body)
			}
		}
	})
}

func TestGone(t *testing.T) {
	answer := `{"message":"success","users":[]}`
	f := serve(t, func(w http.ResponseWriter, r *http.Request) { respond(201, answer)(w, r) })
	c := newTestClient(t, f.URL, Config{})
	alias := connector.User{Kind: connector.Alias, ID: "7", Label: "crm"}
	mail := connector.User{Kind: connector.Email, ID: "a@x.io"}
	tests := []struct {
		name, answer, body string
		users, want        []connector.User
	}{
		{"names the users that Braze does not know", `{"users":[{"external_id":"u1"}],"invalid_user_ids":["u2","other"],"message":"success"}`,
			`{"external_ids":["u1","u2"],"fields_to_export":["external_id"]}`, []connector.User{byID("u1"), byID("u2")}, []connector.User{byID("u2")}},
		{"believes no answer that names nobody", `{"message":"success","users":[]}`,
			`{"external_ids":["u1"],"fields_to_export":["external_id"]}`, []connector.User{byID("u1")}, nil},
		{"keeps the case of ids", `{"invalid_user_ids":["U1"]}`,
			`{"external_ids":["u1"],"fields_to_export":["external_id"]}`, []connector.User{byID("u1")}, nil},
		{"an alias is gone when both of its parts are named", `{"invalid_user_ids":[{"alias_name":"7","alias_label":"crm"}]}`,
			`{"user_aliases":[{"alias_name":"7","alias_label":"crm"}],"fields_to_export":["external_id"]}`, []connector.User{alias}, []connector.User{alias}},
		{"an alias is not gone by its name alone", `{"invalid_user_ids":["7"]}`,
			`{"user_aliases":[{"alias_name":"7","alias_label":"crm"}],"fields_to_export":["external_id"]}`, []connector.User{alias}, nil},
		{"an email is gone when no profile has it", `{"users":[]}`,
			`{"email_address":"a@x.io","fields_to_export":["external_id"]}`, []connector.User{mail}, []connector.User{mail}},
		{"an email is there when a profile has it", `{"users":[{"external_id":"u1"}]}`,
			`{"email_address":"a@x.io","fields_to_export":["external_id"]}`, []connector.User{mail}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			answer = tt.answer
			got, err := c.Gone(t.Context(), tt.users)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(tt.want) || len(got) > 0 && got[0] != tt.want[0] {
				t.Errorf("gone: %v, want %v", got, tt.want)
			}
			seen := f.requests()
			if b := string(seen[len(seen)-1].body); b != tt.body {
				t.Errorf("asked %s, want %s", b, tt.body)
			}
		})
	}
	t.Run("a refused question is no refused user", func(t *testing.T) {
		f := serve(t, respond(400, `{"message":"bad request"}`))
		_, err := newTestClient(t, f.URL, Config{}).Gone(t.Context(), []connector.User{byID("u1")})
		var rejected *connector.RejectedError
		if err == nil || errors.As(err, &rejected) || !strings.Contains(err.Error(), "bad request") {
			t.Errorf("got %v", err)
		}
	})
}

func TestNew(t *testing.T) {
	ok := Config{Endpoint: "https://rest.fra-01.braze.eu", APIKey: testKey}
	tests := []struct {
		name string
		edit func(*Config)
		want string // "" is accepted
	}{
		{"the least", func(*Config) {}, ""},
		{"http on loopback", func(c *Config) { c.Endpoint = "http://127.0.0.1:8090" }, ""},
		{"no endpoint", func(c *Config) { c.Endpoint = "" }, "braze.endpoint is empty"},
		{"no scheme", func(c *Config) { c.Endpoint = "rest.fra-01.braze.eu" }, "https://"},
		{"http elsewhere", func(c *Config) { c.Endpoint = "http://rest.fra-01.braze.eu" }, "use https"},
		{"an SDK host", func(c *Config) { c.Endpoint = "https://sdk.iad-01.braze.com" }, `begins with "rest."`},
		{"the dashboard", func(c *Config) { c.Endpoint = "https://dashboard-01.braze.com" }, "is the dashboard"},
		{"a user in the address", func(c *Config) { c.Endpoint = "https://a:b@rest.fra-01.braze.eu" }, "more than a host"},
		{"no key", func(c *Config) { c.APIKey = " " }, "api_key is empty"},
		{"a quoted key", func(c *Config) { c.APIKey = `"` + testKey + `"` }, "quotes"},
		{"a share in percent", func(c *Config) { c.RateShare = 50 }, "share"},
		{"too many objects", func(c *Config) { c.ObjectsPerRequest = 500 }, "1 to 225"},
		{"too large a body", func(c *Config) { c.MaxBody = 5 << 20 }, "4 MiB"},
		{"negative limit", func(c *Config) { c.PerHour = -1 }, "per_hour"},
		{"negative timeout", func(c *Config) { c.Timeout = -1 }, "timeout"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := ok
			tt.edit(&cfg)
			_, err := New(cfg)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), testKey) {
				t.Errorf("the key is in the error: %v", err)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	grants := func(results []CheckResult) map[string]Grant {
		out := map[string]Grant{}
		for _, r := range results {
			out[r.Permission] = r.Grant
		}
		return out
	}
	t.Run("tells permissions apart and changes nothing", func(t *testing.T) {
		f := serve(t, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/users/track", "/users/external_ids/rename":
				respond(400, `{"message":"empty"}`)(w, r)
			case "/users/delete":
				respond(401, `{"message":"Invalid API key: `+testKey+`"}`)(w, r)
			case "/users/export/ids":
				respond(201, `{"message":"success","users":[],"invalid_user_ids":["x"]}`)(w, r)
			default:
				respond(503, `busy`)(w, r)
			}
		})
		results := newTestClient(t, f.URL, Config{}).Check(t.Context())
		want := map[string]Grant{"users.track": Granted, "users.delete": Refused, "users.external_ids.rename": Granted,
			"users.external_ids.remove": Untested, "users.export.ids": Granted}
		got := grants(results)
		for p, g := range want {
			if got[p] != g {
				t.Errorf("%s: %v, want %v", p, got[p], g)
			}
		}
		for _, r := range results {
			if r.Grant == Refused && !strings.Contains(r.Fix, "make a key that has users.delete too") {
				t.Errorf("fix: %q", r.Fix)
			}
			if strings.Contains(r.Detail, testKey) {
				t.Errorf("the key is in %q", r.Detail)
			}
		}
		for _, r := range f.requests() {
			if strings.Contains(string(r.body), `"u1"`) || r.path == "/users/track" && string(r.body) != `{}` {
				t.Errorf("%s was asked with %s", r.path, r.body)
			}
		}
	})
	t.Run("case 6: a key refused everywhere points at key and instance", func(t *testing.T) {
		f := serve(t, respond(401, `{"message":"Invalid API key"}`))
		for _, r := range newTestClient(t, f.URL, Config{}).Check(t.Context()) {
			if r.Grant != Refused || !strings.Contains(r.Fix, "one instance only") || !strings.Contains(r.Fix, f.URL) {
				t.Errorf("%+v", r)
			}
		}
	})
	t.Run("a server that is not Braze is untested, with the endpoint to correct", func(t *testing.T) {
		f := serve(t, respond(404, "nothing here"))
		for _, r := range newTestClient(t, f.URL, Config{}).Check(t.Context()) {
			if r.Grant != Untested || !strings.Contains(r.Fix, "braze.endpoint") {
				t.Errorf("%+v", r)
			}
		}
	})
}
