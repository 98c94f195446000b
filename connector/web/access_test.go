package web

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"brazecdc/connector/config"
	"brazecdc/connector/control"
)

const secret = "correct horse battery"

// hashOf is made once: it is slow on purpose.
var hashOf = sync.OnceValue(func() string {
	h, err := HashPassword(secret)
	if err != nil {
		panic(err)
	}
	return h
})

// twoUsers are an editor kim and a viewer jo.
func twoUsers() []config.WebUser {
	return []config.WebUser{{Name: "kim", Role: "editor", Password: config.Secret(hashOf())}, {Name: "jo", Role: "viewer", Password: config.Secret(hashOf())}}
}

// hands are those of a clock that tests move.
type hands struct {
	mu sync.Mutex
	at time.Time
}

func newHands() *hands { return &hands{at: time.Date(2026, 11, 3, 10, 0, 0, 0, time.UTC)} }

func (c *hands) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *hands) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// signIn gives a site where a user has signed in.
func signIn(t *testing.T, s *site, name string) *site {
	t.Helper()
	as := *s
	as.client = newBrowser(t)
	page := as.get("/login")
	m := tokenInPage.FindStringSubmatch(page.Body)
	if m == nil {
		t.Fatalf("the sign-in has no token: %d %s", page.Code, page.Body)
	}
	a := as.postRaw("/login", url.Values{"csrf": {m[1]}, "name": {name}, "password": {secret}}.Encode())
	if a.Code != http.StatusSeeOther {
		t.Fatalf("sign in as %s: %d %s", name, a.Code, a.Body)
	}
	return &as
}

// example is a path that a pattern takes.
func examplePath(pattern string) string {
	return parameterOf.ReplaceAllString(strings.ReplaceAll(pattern, "{$}", ""), "1")
}

func TestEveryRoute(t *testing.T) {
	var asked []string // of the process, to change something
	cfg := Config{
		Access: func() Access { return Access{SignIn: true, Users: twoUsers()} },
		Change: func(context.Context) (control.API, func(), error) {
			asked = append(asked, "change")
			return nil, nil, errUnavailable()
		},
	}
	s := newSite(t, cfg)
	viewer, editor := signIn(t, s, "jo"), signIn(t, s, "kim")
	viewerToken := viewer.token()
	for _, r := range s.server.routes() {
		path := examplePath(r.Pattern)
		name := r.Method + " " + r.Pattern
		t.Run(name, func(t *testing.T) {
			if r.Method != http.MethodGet && r.Method != http.MethodPost {
				t.Fatal("a route is GET or POST")
			}
			if r.Method == http.MethodPost && r.Role == Public && !slices.Contains([]string{"/login", "/look"}, r.Pattern) {
				t.Error("changes something and is open to everybody")
			}
			if r.Role == Public {
				return
			}
			bare := *s
			bare.client = newBrowser(t)
			if r.Method == http.MethodGet {
				if a := bare.get(path); a.Code != http.StatusUnauthorized {
					t.Errorf("without a session: %d", a.Code)
				}
				if r.Role == Editor {
					if a := viewer.get(path); a.Code != http.StatusForbidden {
						t.Errorf("for a viewer: %d", a.Code)
					}
				}
				return
			}
			if a := bare.postRaw(path, "csrf="+viewerToken); a.Code != http.StatusUnauthorized {
				t.Errorf("without a session: %d", a.Code)
			}
			if a := editor.postRaw(path, ""); a.Code != http.StatusForbidden || !strings.Contains(a.Body, "too long") {
				t.Errorf("without a token: %d", a.Code)
			}
			if a := editor.postRaw(path, "csrf="+viewerToken); a.Code != http.StatusForbidden {
				t.Errorf("with another session's token: %d", a.Code)
			}
			if r.Role == Editor {
				if a := viewer.postRaw(path, "csrf="+viewerToken); a.Code != http.StatusForbidden || !strings.Contains(a.Body, "editor") {
					t.Errorf("for a viewer: %d", a.Code)
				}
			}
		})
	}
	if len(asked) > 0 {
		t.Errorf("refused requests reached the process %d times", len(asked))
	}
}

func TestHeaders(t *testing.T) {
	s := newSite(t, Config{})
	page := s.get("/help")
	style := regexp.MustCompile(`href="(/assets/[^"]+\.css)"`).FindStringSubmatch(page.Body)
	if style == nil {
		t.Fatal("the page has no style sheet")
	}
	for _, path := range []string{"/", "/help", "/nowhere", style[1], "/assets/0/css/base.css"} {
		a := s.get(path)
		for name, want := range map[string]string{"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"} {
			if got := a.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
		want := "no-store"
		if path == style[1] {
			want = "public, max-age=31536000, immutable"
		}
		if got := a.Header.Get("Cache-Control"); got != want {
			t.Errorf("%s: Cache-Control is %q", path, got)
		}
	}
	for _, inline := range []string{"<script>", "style=", "onclick=", "javascript:"} {
		page.lacks(t, inline)
	}
}

func TestHosts(t *testing.T) {
	s, err := New(Config{Access: func() Access { return Access{Hosts: []string{"brazecdc.example.com", "192.0.2.7"}} }})
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]int{
		"localhost:8080": 200, "127.0.0.1": 200, "[::1]:8080": 200, "LOCALHOST": 200, "brazecdc.example.com": 200, "BRAZECDC.example.com:8443": 200, "192.0.2.7:8080": 200,
		"evil.example.com": 421, "127.0.0.1.evil.example.com": 421, "localhost.evil": 421, "": 421, "192.0.2.8": 421, "0.0.0.0": 421,
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			req := httptest.NewRequestWithContext(t.Context(), method, "/help", nil)
			req.Host = host
			w := httptest.NewRecorder()
			s.ServeHTTP(w, req)
			if (w.Code == 421) != (want == 421) {
				t.Errorf("%s of host %q: %d", method, host, w.Code)
			}
		}
	}
}

func TestForeignForms(t *testing.T) {
	s := newSite(t, Config{})
	for name, header := range map[string][2]string{"another site": {"Sec-Fetch-Site", "cross-site"}, "another origin": {"Origin", "https://evil.example.com"}, "another port": {"Sec-Fetch-Site", "same-site"}} {
		t.Run("a form of "+name+" is refused, whatever token it has", func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/logout", strings.NewReader("csrf="+s.token()))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set(header[0], header[1])
			if a := s.do(req); a.Code != http.StatusForbidden {
				t.Errorf("status %d", a.Code)
			}
		})
	}
}

func TestSignIn(t *testing.T) {
	c := newHands()
	users := twoUsers()
	s := newSite(t, Config{Now: c.now, Access: func() Access { return Access{SignIn: true, Users: users} }})
	t.Run("a browser is sent to the sign-in, and back to where it wanted to go", func(t *testing.T) {
		bare := *s
		bare.client = newBrowser(t)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/quarantine?model=x", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "text/html")
		a := bare.do(req)
		if to := a.Header.Get("Location"); a.Code != http.StatusSeeOther || to != "/login?next=%2Fquarantine%3Fmodel%3Dx" {
			t.Fatalf("%d %s", a.Code, to)
		}
		page := bare.get(a.Header.Get("Location"))
		page.wants(t, http.StatusOK, `value="/quarantine?model=x"`)
		page.lacks(t, `href="/models"`, `aria-current`)
		token := tokenInPage.FindStringSubmatch(page.Body)[1]
		a = bare.postRaw("/login", url.Values{"csrf": {token}, "name": {"kim"}, "password": {secret}, "next": {"/quarantine?model=x"}}.Encode())
		if a.Code != http.StatusSeeOther || a.Header.Get("Location") != "/quarantine?model=x" {
			t.Errorf("%d %s", a.Code, a.Header.Get("Location"))
		}
		set := a.Header.Get("Set-Cookie")
		for _, part := range []string{"session_", "HttpOnly", "SameSite=Lax", "Path=/"} {
			if !strings.Contains(set, part) {
				t.Errorf("the cookie %q lacks %s", set, part)
			}
		}
	})
	t.Run("it never leads to another host", func(t *testing.T) {
		for _, next := range []string{"https://evil.example.com", "//evil.example.com", `/\evil.example.com`, "/\t/evil.example.com", "javascript:alert(1)", "", "evil"} {
			if got := ownPath(next); got != "/" {
				t.Errorf("%q leads to %q", next, got)
			}
		}
	})
	t.Run("a wrong password and an unknown name get the same answer", func(t *testing.T) {
		c.pass(time.Hour)
		s.client = newBrowser(t)
		token := tokenInPage.FindStringSubmatch(s.get("/login").Body)[1]
		try := func(name string) answer {
			return s.postRaw("/login", url.Values{"csrf": {token}, "name": {name}, "password": {"wrong password"}}.Encode())
		}
		known, unknown := try("kim"), try("nobody")
		known.wants(t, http.StatusUnauthorized, "Name or password is wrong")
		if known.Code != unknown.Code || strings.ReplaceAll(known.Body, "kim", "nobody") != unknown.Body {
			t.Errorf("the answers differ:\n%s\n%s", known.Body, unknown.Body)
		}
	})
	t.Run("a session ends after two hours without use", func(t *testing.T) {
		c.pass(time.Hour)
		jo := signIn(t, s, "jo")
		c.pass(2*time.Hour - time.Second)
		jo.get("/help").wants(t, http.StatusOK)
		c.pass(2 * time.Hour)
		jo.get("/help").wants(t, http.StatusUnauthorized)
	})
	t.Run("a page that is only open does not keep a session", func(t *testing.T) {
		a := s.server.access()
		id := s.server.sessions.begin(c.now(), "jo", a.Users[1].Password.Reveal())
		open := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:8080/events", nil)
		open.AddCookie(&http.Cookie{Name: "session_8080", Value: id})
		r := &request{Request: open, s: s.server}
		for range 119 {
			c.pass(time.Minute)
			if !r.stillIn() {
				t.Fatal("it ended early")
			}
		}
		c.pass(time.Minute)
		if r.stillIn() {
			t.Error("it did not end")
		}
	})
	t.Run("what an open page and machines ask by themselves keeps no session", func(t *testing.T) {
		routes := map[string]bool{}
		for _, r := range s.server.routes() {
			routes[r.Pattern] = true
		}
		ask := map[string]func(*site){"/status": func(as *site) {
			hr := httptest.NewRequestWithContext(t.Context(), http.MethodGet, as.url+"/status", nil)
			u, _ := url.Parse(as.url)
			for _, c := range as.client.Jar.Cookies(u) {
				hr.AddCookie(c)
			}
			if !s.server.SignedIn(hr) {
				t.Error("/status is refused")
			}
		}}
		for pattern := range unattended {
			if !routes[pattern] {
				t.Errorf("%s is no route", pattern)
			}
			ask[pattern] = func(as *site) {
				if a := as.get(examplePath(pattern)); a.Code == http.StatusUnauthorized {
					t.Errorf("%s is refused", pattern)
				}
			}
		}
		for name, do := range ask {
			c.pass(13 * time.Hour)
			jo := signIn(t, s, "jo")
			for range 11 {
				c.pass(10 * time.Minute)
				do(jo)
			}
			c.pass(10 * time.Minute)
			if a := jo.get("/help"); a.Code != http.StatusUnauthorized {
				t.Errorf("%s kept the session", name)
			}
		}
	})
	t.Run("whatever a page polls is known to be asked unattended", func(t *testing.T) {
		polled := regexp.MustCompile(`data-poll="([^"]+)"|(?:EventSource|fetch)\([` + "`" + `'](/[a-z/]+)`)
		found := 0
		for _, dir := range []string{"templates", "assets/js"} {
			files, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				b, err := os.ReadFile(filepath.Join(dir, f.Name()))
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range polled.FindAllStringSubmatch(string(b), -1) {
					found++
					pattern := strings.ReplaceAll(m[1]+m[2], "{{.ID}}", "{id}")
					if !unattended[pattern] {
						t.Errorf("%s polls %s", f.Name(), pattern)
					}
				}
			}
		}
		if found < 4 {
			t.Errorf("only %d places poll", found)
		}
	})
	t.Run("a session ends after twelve hours, however it is used", func(t *testing.T) {
		jo := signIn(t, s, "jo")
		for range 11 {
			c.pass(time.Hour)
			jo.get("/help").wants(t, http.StatusOK)
		}
		c.pass(time.Hour)
		jo.get("/help").wants(t, http.StatusUnauthorized)
	})
	t.Run("a session ends when its user signs out, and its token with it", func(t *testing.T) {
		jo := signIn(t, s, "jo")
		jar := jo.client.Jar
		token := jo.token()
		if a := jo.postRaw("/logout", "csrf="+token); a.Code != http.StatusSeeOther {
			t.Fatalf("%d", a.Code)
		}
		jo.client.Jar = jar
		jo.get("/help").wants(t, http.StatusUnauthorized)
	})
	t.Run("a session ends when the password changes, the role with the configuration", func(t *testing.T) {
		jo, kim := signIn(t, s, "jo"), signIn(t, s, "kim")
		other, err := HashPassword("another password")
		if err != nil {
			t.Fatal(err)
		}
		users = []config.WebUser{{Name: "kim", Role: "editor", Password: config.Secret(other)}, {Name: "jo", Role: "editor", Password: config.Secret(hashOf())}}
		kim.get("/help").wants(t, http.StatusUnauthorized)
		jo.get("/settings").wants(t, http.StatusOK)
		users = users[:1]
		jo.get("/help").wants(t, http.StatusUnauthorized)
		users = twoUsers()
		kim.get("/help").wants(t, http.StatusUnauthorized) // it stays ended
	})
}

func TestSignInStaysRequired(t *testing.T) {
	a := Access{SignIn: true, Users: twoUsers()}
	s := newSite(t, Config{Access: func() Access { return a }})
	s.get("/help").wants(t, http.StatusUnauthorized)
	a = Access{}
	s.get("/help").wants(t, http.StatusUnauthorized)
}

func TestThrottle(t *testing.T) {
	c := newHands()
	s := newSite(t, Config{Now: c.now, Access: func() Access { return Access{SignIn: true, Users: twoUsers()} }})
	token := tokenInPage.FindStringSubmatch(s.get("/login").Body)[1]
	try := func(name, password string) answer {
		return s.postRaw("/login", url.Values{"csrf": {token}, "name": {name}, "password": {password}}.Encode())
	}
	for i := range 5 {
		if a := try("kim", "wrong password"); a.Code != http.StatusUnauthorized {
			t.Fatalf("try %d: %d", i+1, a.Code)
		}
	}
	a := try("kim", secret)
	a.wants(t, http.StatusTooManyRequests, "too many tries")
	if a.Header.Get("Retry-After") != "5" {
		t.Errorf("Retry-After is %q", a.Header.Get("Retry-After"))
	}
	// By address too: another name from here waits as well.
	try("jo", secret).wants(t, http.StatusTooManyRequests)
	c.pass(5 * time.Second)
	if a := try("kim", "wrong password"); a.Code != http.StatusUnauthorized {
		t.Fatalf("after the wait: %d", a.Code)
	}
	a = try("kim", secret)
	if a.Code != http.StatusTooManyRequests || a.Header.Get("Retry-After") != "10" {
		t.Errorf("the wait grows: %d, Retry-After %q", a.Code, a.Header.Get("Retry-After"))
	}
	c.pass(10 * time.Second)
	if a := try("kim", secret); a.Code != http.StatusSeeOther {
		t.Errorf("the right password after the wait: %d", a.Code)
	}
}

func TestThrottleCounts(t *testing.T) {
	now := newHands().now()
	t.Run("tries at once, before one has failed", func(t *testing.T) {
		var th throttle
		passed := 0
		for range 100 {
			if th.begin(now, "name kim") == 0 {
				passed++
			}
		}
		if passed != freeTries {
			t.Errorf("%d passed", passed)
		}
	})
	t.Run("at most five minutes", func(t *testing.T) {
		var th throttle
		at := now
		for range 60 {
			wait := th.begin(at, "x")
			if wait > longestWait {
				t.Fatalf("a wait of %s", wait)
			}
			at = at.Add(max(wait, time.Millisecond))
		}
	})
	t.Run("failures more than a minute apart as new", func(t *testing.T) {
		var th throttle
		at := now
		for range 20 {
			if wait := th.begin(at, "x"); wait > 0 {
				t.Fatalf("a wait of %s", wait)
			}
			at = at.Add(61 * time.Second)
		}
	})
	t.Run("within bounds, however many names are tried", func(t *testing.T) {
		var th throttle
		for i := range maxWatched + 100 {
			th.begin(now, "name "+time.Duration(i).String())
		}
		if len(th.watched) > maxWatched {
			t.Errorf("%d names are kept", len(th.watched))
		}
	})
	t.Run("an IPv6 network as one address", func(t *testing.T) {
		if a, b := addressKey(netip.MustParseAddr("2001:db8::1")), addressKey(netip.MustParseAddr("2001:db8::ffff:2")); a != b {
			t.Errorf("%s, %s", a, b)
		}
	})
}

func TestProxy(t *testing.T) {
	access := Access{SignIn: true, Users: []config.WebUser{{Name: "kim", Role: "editor"}},
		Proxy: config.WebProxy{Header: "X-Forwarded-User", From: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}
	s, err := New(Config{Access: func() Access { return access }})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(from, method, path string, header http.Header) *httptest.ResponseRecorder {
		req := httptest.NewRequestWithContext(t.Context(), method, path, nil)
		req.Host, req.RemoteAddr, req.Header = "localhost", from, header
		w := httptest.NewRecorder()
		s.ServeHTTP(w, req)
		return w
	}
	for _, c := range []struct {
		name, from string
		header     http.Header
		role       Role
	}{
		{"signs in who has a role here", "10.1.2.3:1", http.Header{"X-Forwarded-User": {"kim"}}, Editor},
		{"signs in anybody else as a viewer", "10.1.2.3:1", http.Header{"X-Forwarded-User": {"lee"}}, Viewer},
		{"signs in over IPv4 in IPv6", "[::ffff:10.1.2.3]:1", http.Header{"X-Forwarded-User": {"kim"}}, Editor},
		{"signs in nobody without a name", "10.1.2.3:1", http.Header{}, Public},
		{"signs in nobody with two names", "10.1.2.3:1", http.Header{"X-Forwarded-User": {"kim", "lee"}}, Public},
		{"is not believed from elsewhere", "192.0.2.1:1", http.Header{"X-Forwarded-User": {"kim"}}, Public},
		{"is not believed from loopback unless that is listed", "127.0.0.1:1", http.Header{"X-Forwarded-User": {"kim"}}, Public},
	} {
		t.Run(c.name, func(t *testing.T) {
			req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
			req.RemoteAddr, req.Header = c.from, c.header
			if u, _ := s.who(req, &access, true); u.Role != c.role {
				t.Errorf("role %s", u.Role)
			}
			if w := ask(c.from, http.MethodGet, "/help", c.header); (w.Code == http.StatusOK) != (c.role >= Viewer) {
				t.Errorf("status %d", w.Code)
			}
		})
	}
	t.Run("names the role, where it has a header for that", func(t *testing.T) {
		access.Proxy.RoleHeader = "X-Role"
		for role, want := range map[string]Role{"editor": Editor, "viewer": Viewer, "admin": Viewer, "": Viewer} {
			req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
			req.RemoteAddr, req.Header = "10.0.0.1:1", http.Header{"X-Forwarded-User": {"kim"}, "X-Role": {role}}
			if u, _ := s.who(req, &access, true); u.Role != want {
				t.Errorf("%q gives %s", role, u.Role)
			}
		}
	})
	t.Run("tells who is behind it", func(t *testing.T) {
		for sent, want := range map[string]string{"203.0.113.9": "203.0.113.9", "1.1.1.1, 203.0.113.9, 10.9.9.9": "203.0.113.9", "": "10.0.0.1", "nonsense": "10.0.0.1"} {
			req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
			req.RemoteAddr, req.Header = "10.0.0.1:1", http.Header{"X-Forwarded-For": {sent}}
			if got := access.client(req).String(); got != want {
				t.Errorf("%q gives %s", sent, got)
			}
		}
	})
}

func TestSecureCookies(t *testing.T) {
	s, err := New(Config{Access: func() Access { return Access{SignIn: true, Users: twoUsers()} }})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewTLSServer(s)
	defer srv.Close()
	client := srv.Client()
	browser := newBrowser(t)
	client.Jar, client.CheckRedirect = browser.Jar, browser.CheckRedirect
	as := &site{t: t, server: s, url: srv.URL, client: client, lang: "en"}
	token := tokenInPage.FindStringSubmatch(as.get("/login").Body)[1]
	a := as.postRaw("/login", url.Values{"csrf": {token}, "name": {"kim"}, "password": {secret}}.Encode())
	if set := a.Header.Get("Set-Cookie"); !strings.HasPrefix(set, "__Host-session=") || !strings.Contains(set, "Secure") {
		t.Errorf("the cookie is %q", set)
	}
	as.get("/help").wants(t, http.StatusOK)
}

func TestMask(t *testing.T) {
	viewer, editor := &request{User: User{Role: Viewer}}, &request{User: User{Role: Editor}}
	for value, want := range map[string]string{"ada@example.com": "a…@…", "Ada": "•••", "": "", "42": "•••", "a b@c": "•••", "@x": "•••", `"ada@example.com"`: "a…@…", "ümit@example.com": "ü…@…"} {
		if got := viewer.mask(value); got != want {
			t.Errorf("a viewer sees %q of %q", got, value)
		}
		if got := editor.mask(value); got != value {
			t.Errorf("an editor sees %q of %q", got, value)
		}
	}
}

func TestPassword(t *testing.T) {
	for _, bad := range []string{"", "short", strings.Repeat("x", 257), "not a text \xff\xff"} {
		if _, err := HashPassword(bad); err == nil {
			t.Errorf("%q has a hash", bad)
		}
	}
	for hash, want := range map[string]bool{hashOf(): true, "": false, "$argon2id$v=19$m=19456,t=2,p=1$x$y": false, "$argon2id$v=19$m=0,t=0,p=0$AAAA$AAAA": false, nobodysHash: false, "plain": false} {
		if got, err := passwordFits(t.Context(), hash, secret); err != nil || got != want {
			t.Errorf("%s: %v, %v", hash, got, err)
		}
	}
}
