package brazesim_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"brazecdc/connector/braze/brazesim"
)

// start serves on a free port and returns a function that sends one request.
func start(t *testing.T, cfg brazesim.Config) (*brazesim.Server, func(method, path, body string) (int, string, http.Header, error)) {
	t.Helper()
	s := brazesim.New(cfg)
	url, err := s.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(func() {
		client.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, func(method, path, body string) (int, string, http.Header, error) {
		req, err := http.NewRequestWithContext(t.Context(), method, url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer key")
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			return 0, "", nil, err
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		return resp.StatusCode, strings.TrimSpace(string(answer)), resp.Header, err
	}
}

const oneUser = `{"attributes":[{"external_id":"u","x":1}]}`

func TestRefusedCalls(t *testing.T) {
	s := brazesim.New(brazesim.Config{APIKey: "secret", MaxBody: 1000})
	for _, c := range []struct {
		name, method, path, auth, media, body string
		status                                int
		want                                  string
	}{
		{"no key", "POST", "/users/track", "", "application/json", oneUser, 401, "authenticating"},
		{"wrong key is echoed", "POST", "/users/track", "Bearer wrong", "application/json", oneUser, 401, "Invalid API key: wrong"},
		{"key without Bearer", "POST", "/users/track", "secret", "application/json", oneUser, 401, "authenticating"},
		{"trailing slash", "POST", "/users/track/", "Bearer secret", "application/json", oneUser, 404, "Not found"},
		{"other method", "GET", "/users/track", "Bearer secret", "", "", 404, "Not found"},
		{"other content type", "POST", "/users/track", "Bearer secret", "text/plain", oneUser, 415, "application/json"},
		{"no content type", "POST", "/users/track", "Bearer secret", "", oneUser, 415, "application/json"},
		{"charset is fine", "POST", "/users/track", "Bearer secret", "application/json; charset=utf-8", oneUser, 201, "success"},
		{"body too large", "POST", "/users/track", "Bearer secret", "application/json", strings.Repeat(" ", 1001), 413, "larger than 1000"},
		{"empty body", "POST", "/users/track", "Bearer secret", "application/json", "", 400, "Invalid JSON"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
			r.Header.Set("Authorization", c.auth)
			if c.media != "" {
				r.Header.Set("Content-Type", c.media)
			}
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) || !json.Valid(w.Body.Bytes()) {
				t.Errorf("answer %d %s, want %d with %q", w.Code, w.Body, c.status, c.want)
			}
		})
	}
	for _, r := range s.Requests(0) {
		if b, _ := json.Marshal(r); bytes.Contains(b, []byte("secret")) {
			t.Errorf("the log shows the key: %s", b)
		}
	}
}

func TestRateLimits(t *testing.T) {
	now := time.Date(2026, 11, 25, 10, 0, 1, 500e6, time.UTC)
	for _, c := range []struct {
		style  brazesim.RateStyle
		second map[string]string // of the last call that passes
		third  map[string]string // of the 429
	}{
		{brazesim.RateEpoch, map[string]string{"X-RateLimit-Limit": "2", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1795600803"},
			map[string]string{"X-RateLimit-Limit": "2", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1795600803", "Retry-After": "", "X-Ratelimit-Retry-After": ""}},
		{brazesim.RateSeconds, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "2"}, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "2"}},
		{brazesim.RateMAU, map[string]string{"X-RateLimit-Reset": "2"}, map[string]string{"X-RateLimit-Reset": "", "X-RateLimit-Limit": "", "X-Ratelimit-Retry-After": "2"}},
		{brazesim.RateDate, map[string]string{"X-RateLimit-Reset": "1795600803", "Retry-After": ""}, map[string]string{"Retry-After": "Wed, 25 Nov 2026 10:00:03 GMT"}},
		{brazesim.RateNone, map[string]string{"X-RateLimit-Limit": ""}, map[string]string{"X-RateLimit-Limit": "", "Retry-After": ""}},
	} {
		t.Run(string(c.style), func(t *testing.T) {
			clock := now
			s := brazesim.New(brazesim.Config{RateStyle: c.style, Limit: brazesim.Limit{Requests: 2}, Now: func() time.Time { return clock }})
			check := func(n, status int, want map[string]string) {
				t.Helper()
				w := post(s, "/users/track", []byte(oneUser))
				if w.Code != status {
					t.Errorf("call %d answered %d, want %d", n, w.Code, status)
				}
				for k, v := range want {
					if got := w.Header().Get(k); got != v {
						t.Errorf("call %d: %s is %q, want %q", n, k, got, v)
					}
				}
			}
			check(1, 201, nil)
			check(2, 201, c.second)
			check(3, 429, c.third)
			clock = clock.Add(1500 * time.Millisecond)
			check(4, 201, nil)
		})
	}
}

func TestSharedPool(t *testing.T) {
	s := brazesim.New(brazesim.Config{Limits: map[string]brazesim.Limit{"/users/delete": {Requests: 1, Window: time.Hour}}})
	if w := post(s, "/users/alias/new", []byte(`{"user_aliases":[{"alias_name":"a","alias_label":"b"}]}`)); w.Code != 201 {
		t.Fatalf("answer %d %s", w.Code, w.Body)
	}
	if w := post(s, "/users/delete", []byte(`{"external_ids":["u"]}`)); w.Code != 429 {
		t.Errorf("answer %d, want 429: delete and alias share a pool", w.Code)
	}
	if w := post(s, "/users/track", []byte(oneUser)); w.Code != 201 {
		t.Errorf("answer %d, the track pool is another one", w.Code)
	}
}

func TestFaults(t *testing.T) {
	s, send := start(t, brazesim.Config{APIKey: "key"})
	arm := func(body string) {
		t.Helper()
		if status, answer, _, err := send("POST", "/_sim/faults", body); status != 200 || err != nil {
			t.Fatalf("faults answered %d %s %v", status, answer, err)
		}
	}
	exists := func(want bool) {
		t.Helper()
		if _, ok := s.Profile("u"); ok != want {
			t.Errorf("u exists: %v, want %v", ok, want)
		}
	}
	t.Run("status, headers, body, count", func(t *testing.T) {
		arm(`{"endpoint":"/users/track","count":2,"status":503,"headers":{"Retry-After":"7"},"body":"<html>"}`)
		for range 2 {
			status, answer, h, err := send("POST", "/users/track", oneUser)
			if status != 503 || answer != "<html>" || h.Get("Retry-After") != "7" || err != nil {
				t.Errorf("answer %d %s %v %v", status, answer, h, err)
			}
		}
		exists(false)
		if status, _, _, _ := send("POST", "/users/track", oneUser); status != 201 {
			t.Errorf("the third call answered %d", status)
		}
	})
	t.Run("status with effect", func(t *testing.T) {
		s.Reset()
		arm(`{"count":1,"status":504,"effect":true}`)
		if status, _, _, _ := send("POST", "/users/track", oneUser); status != 504 {
			t.Errorf("answer %d", status)
		}
		exists(true)
	})
	t.Run("cut before and after", func(t *testing.T) {
		for cut, effect := range map[string]bool{"before": false, "after": true} {
			s.Reset()
			arm(`{"count":1,"cut":"` + cut + `"}`)
			if _, _, _, err := send("POST", "/users/track", oneUser); err == nil {
				t.Errorf("cut %s gave an answer", cut)
			}
			if err := s.Quiet(t.Context()); err != nil {
				t.Fatal(err)
			}
			exists(effect)
			if r := s.Requests(1); r[0].Status != 0 || !strings.Contains(r[0].Note, cut) {
				t.Errorf("logged %+v", r[0])
			}
		}
	})
	t.Run("item errors", func(t *testing.T) {
		s.Reset()
		arm(`{"items":[{"external_ids":["u"],"type":"no \"u\" today"}]}`)
		for range 3 {
			_, answer, _, _ := send("POST", "/users/track", `{"attributes":[{"external_id":"v"},{"external_id":"u"}]}`)
			if want := `{"message":"success","attributes_processed":1,"errors":[{"type":"no \"u\" today","input_array":"attributes","index":1}]}`; answer != want {
				t.Errorf("answer %s\nwant   %s", answer, want)
			}
		}
		exists(false)
		arm(`{"clear":true}`)
		_, _, _, _ = send("POST", "/users/track", oneUser)
		exists(true)
	})
	t.Run("only calls with certain users", func(t *testing.T) {
		s.Reset()
		arm(`{"endpoint":"/users/track","status":400,"external_ids":["bad"]}`)
		if status, _, _, _ := send("POST", "/users/track", oneUser); status != 201 {
			t.Errorf("a call without the user answered %d", status)
		}
		if status, _, _, _ := send("POST", "/users/track", `{"attributes":[{"external_id":"b\u0061d"}]}`); status != 400 {
			t.Errorf("a call with the user answered %d", status)
		}
	})
	t.Run("what makes no sense is refused", func(t *testing.T) {
		for body, want := range map[string]string{
			`{"endpoint":"/users/trakc"}`: "not served", `{"cut":"maybe"}`: "cut", `{"status":99}`: "status 99", `{"delay":"soon"}`: "duration", `{"stats":1}`: "unknown field", `[`: "read faults",
		} {
			if status, answer, _, _ := send("POST", "/_sim/faults", body); status != 400 || !strings.Contains(answer, want) {
				t.Errorf("%s: %d %s, want 400 with %q", body, status, answer, want)
			}
		}
	})
}

func TestControl(t *testing.T) {
	_, send := start(t, brazesim.Config{APIKey: "key"})
	get := func(path string, status int) string {
		t.Helper()
		got, answer, _, err := send("GET", path, "")
		if got != status || err != nil {
			t.Errorf("%s answered %d %s %v, want %d", path, got, answer, err, status)
		}
		return answer
	}
	_, _, _, _ = send("POST", "/users/track", `{"attributes":[{"external_id":"a/b c","x":1}]}`)
	_, _, _, _ = send("POST", "/users/track", `not json`)
	if got := get("/_sim/users/a%2Fb%20c", 200); !strings.Contains(got, `"custom_attributes":{"x":1}`) {
		t.Errorf("profile %s", got)
	}
	get("/_sim/users/nobody", 404)
	get("/_sim/nothing", 404)
	get("/_sim/reset", 405)
	get("/_sim/requests?limit=x", 400)
	get("/_sim/quiet?timeout=1s", 200)
	get("/_sim/livez", 200)
	var st brazesim.Stats
	if err := json.Unmarshal([]byte(get("/_sim/stats", 200)), &st); err != nil {
		t.Fatal(err)
	}
	if e := st.Endpoints["/users/track"]; st.Requests != 2 || st.Objects != 1 || e.Statuses[400] != 1 || e.Statuses[201] != 1 || st.Profiles != 1 || st.DataPoints != 1 {
		t.Errorf("stats %+v", st)
	}
	var log []struct {
		Seq    int
		Path   string
		Status int
		Body   any
	}
	if err := json.Unmarshal([]byte(get("/_sim/requests?limit=2", 200)), &log); err != nil {
		t.Fatal(err)
	}
	if len(log) != 2 || log[0].Status != 201 || log[1].Status != 400 || log[1].Body != "not json" || log[0].Seq >= log[1].Seq {
		t.Errorf("log %+v, want both requests, newest last", log)
	}
	_, _, _, _ = send("POST", "/_sim/reset", "")
	get("/_sim/users/a%2Fb%20c", 404)
}

func TestLargeBodyGetsItsAnswer(t *testing.T) {
	_, send := start(t, brazesim.Config{})
	if status, answer, _, err := send("POST", "/users/track", strings.Repeat(" ", 5<<20)); status != 413 || err != nil {
		t.Errorf("answer %d %s %v, want 413", status, answer, err)
	}
}

func TestSchema(t *testing.T) {
	s := brazesim.New(brazesim.Config{Types: map[string]string{"age": "number"}})
	attributes(t, s, `"age":"old","tags":["x"],"born":"1990-05-04","o":{"x":1},"email":"a@x.io"`)
	r := httptest.NewRequest(http.MethodGet, "/custom_attributes", nil)
	r.Header.Set("Authorization", "Bearer key")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	want := `{"attributes":[{"name":"age","data_type":"number","array_length":null,"status":"Active"},{"name":"born","data_type":"date","array_length":null,"status":"Active"},` +
		`{"name":"o","data_type":"object","array_length":null,"status":"Active"},{"name":"tags","data_type":"array","array_length":500,"status":"Active"}],"message":"success"}`
	if w.Code != 200 || w.Body.String() != want {
		t.Errorf("answer %d %s\nwant   200 %s", w.Code, w.Body, want)
	}
	if n := s.Stats().Ignored["type_mismatch"]; n != 1 {
		t.Errorf("%d type mismatches, want 1 for age", n)
	}
}

func TestBadSettings(t *testing.T) {
	for _, cfg := range []brazesim.Config{{Objects: 60}, {ApplyDelay: -1}, {RateStyle: "often"}, {Limits: map[string]brazesim.Limit{"/x": {Requests: 1, Window: 1}}}, {Types: map[string]string{"a": "int"}}} {
		if cfg.Validate() == nil {
			t.Errorf("%+v passed", cfg)
		}
		s := brazesim.New(cfg)
		if _, err := s.Start("127.0.0.1:0"); err == nil {
			t.Errorf("Start accepted %+v", cfg)
		}
		if w := post(s, "/users/track", []byte(oneUser)); w.Code != 500 {
			t.Errorf("answer %d, want 500", w.Code)
		}
	}
}

func TestConcurrentClients(t *testing.T) {
	s := brazesim.New(brazesim.Config{ApplyDelay: time.Millisecond, DeleteDelay: 2 * time.Millisecond})
	bodies := benchBodies(300, 40)
	done := make(chan struct{})
	for w := range 4 {
		go func() {
			for i := range bodies {
				post(s, "/users/track", bodies[(i*7+w)%len(bodies)])
				if i%10 == w {
					post(s, "/users/delete", []byte(`{"external_ids":["user-1","user-2"]}`))
					s.Profiles()
					s.Stats()
				}
			}
			done <- struct{}{}
		}()
	}
	for range 4 {
		<-done
	}
	if err := s.Quiet(t.Context()); err != nil {
		t.Fatal(err)
	}
	st := s.Stats()
	if st.Endpoints["/users/track"].Objects != 4*40*75 || st.Pending != 0 || st.Open != 0 {
		t.Errorf("stats %+v", st)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
