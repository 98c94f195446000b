package web

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// send asks a handler without a network, with a header where given.
func send(t *testing.T, s *Server, method, path, body string, header http.Header) *httptest.ResponseRecorder {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://localhost/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	// As it would come over the wire: what is no path at all is answered before any handler.
	if req.URL, err = url.ParseRequestURI(path); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return w
	}
	req.Host, req.RequestURI, req.RemoteAddr = "localhost", path, "127.0.0.1:1"
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, values := range header {
		req.Header[name] = values
	}
	s.ServeHTTP(w, req)
	return w
}

// FuzzForms sends every form of the route table with whatever fields: the answer is never a fault of the program, and what is sent back is text.
func FuzzForms(f *testing.F) {
	s, err := New(Config{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("1", "name=a&value=b")
	f.Add("a%2fb", "name=&name=&model=x&field=%00&page=-1&count=9999999999999999999999")
	f.Add("<i>", "csrf=x&q=%3Cscript%3Ealert(1)%3C/script%3E&key=%ff%fe&lang=de&zone=../../etc&theme=%22")
	f.Add("..", "%zz")
	f.Add("é", "password="+strings.Repeat("x", 3000)+"&next=//evil.example.com&text=%0a%0d%0a")
	f.Fuzz(func(t *testing.T, parameter, fields string) {
		// The first answer gives the cookie, and its page the token.
		first := send(t, s, http.MethodGet, "/help", "", nil)
		cookie := strings.SplitN(first.Header().Get("Set-Cookie"), ";", 2)[0]
		m := tokenInPage.FindStringSubmatch(first.Body.String())
		if m == nil {
			t.Fatalf("no token: %d", first.Code)
		}
		header := http.Header{"Cookie": {cookie}, "X-Csrf-Token": {m[1]}}
		for _, r := range s.routes() {
			path := parameterOf.ReplaceAllString(strings.ReplaceAll(r.Pattern, "{$}", ""), strings.ReplaceAll(url.PathEscape(parameter), "$", "%24"))
			target, body := path, fields
			if r.Method == http.MethodGet {
				target, body = path+"?"+strings.Map(wireSafe, fields), ""
			}
			if strings.Contains(target, "/events") {
				continue // a stream ends with its reader only
			}
			w := send(t, s, r.Method, target, body, header)
			if w.Code >= 500 && w.Code != http.StatusServiceUnavailable {
				t.Errorf("%s %s with %q: %d\n%s", r.Method, target, body, w.Code, w.Body)
			}
			if strings.Contains(w.Body.String(), "<script>alert") {
				t.Errorf("%s %s sends a script back", r.Method, target)
			}
			if to := w.Header().Get("Location"); to != "" && ownPath(to) != to {
				t.Errorf("%s %s leads to %q", r.Method, target, to)
			}
		}
	})
}

var parameterOf = regexp.MustCompile(`\{[^}]*\}`)

// wireSafe leaves out what can't stand in the first line of a request.
func wireSafe(r rune) rune {
	if r <= ' ' || r == 0x7f || r == '#' {
		return -1
	}
	return r
}

// packed is the size over the wire.
func packed(t *testing.T, b []byte) int {
	t.Helper()
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return z.Len()
}

func TestWeight(t *testing.T) {
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	asset := regexp.MustCompile(`(?:href|src)="(/assets/[^"]+)"`)
	imported := regexp.MustCompile(`(?m)^import .* from '\./([^']+)'`)
	for _, r := range s.routes() {
		if r.Method != http.MethodGet || strings.Contains(r.Pattern, "/events") {
			continue
		}
		w := send(t, s, http.MethodGet, examplePath(r.Pattern), "", http.Header{"Accept": {"text/html"}})
		if !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
			continue
		}
		html := packed(t, w.Body.Bytes())
		var css, js, other int
		seen := map[string]bool{}
		var add func(path string)
		add = func(path string) {
			if seen[path] {
				return
			}
			seen[path] = true
			b := send(t, s, http.MethodGet, path, "", nil).Body.Bytes()
			switch {
			case strings.HasSuffix(path, ".css"):
				css += packed(t, b)
			case strings.HasSuffix(path, ".js"):
				js += packed(t, b)
				for _, m := range imported.FindAllSubmatch(b, -1) {
					add(path[:strings.LastIndex(path, "/")+1] + string(m[1]))
				}
			default:
				other += packed(t, b)
			}
		}
		for _, m := range asset.FindAllStringSubmatch(w.Body.String(), -1) {
			add(m[1])
		}
		if html > 30<<10 || css > 20<<10 || js > 45<<10 || html+css+js+other > 100<<10 {
			t.Errorf("%s weighs HTML %d, CSS %d, JS %d, other %d bytes", r.Pattern, html, css, js, other)
		}
	}
}
