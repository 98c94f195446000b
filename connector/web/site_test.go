package web

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// site is a server under test with a browser's memory. The families' tests use it too.
type site struct {
	t      *testing.T
	server *Server
	url    string
	client *http.Client
	lang   string
}

// newSite serves the pages of a configuration until the test ends.
func newSite(t *testing.T, cfg Config) *site {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	t.Cleanup(func() { s.Stop(); srv.Close() })
	return &site{t: t, server: s, url: srv.URL, client: newBrowser(t), lang: "en"}
}

// newBrowser keeps cookies and follows no redirect.
func newBrowser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// answer is what came back.
type answer struct {
	Code   int
	Body   string
	Header http.Header
}

func (s *site) do(req *http.Request) answer {
	s.t.Helper()
	req.Header.Set("Accept-Language", s.lang)
	resp, err := s.client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{resp.StatusCode, string(b), resp.Header}
}

func (s *site) get(path string) answer {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.do(req)
}

var tokenInPage = regexp.MustCompile(`<meta name="csrf" content="([^"]+)">`)

// token is that of the session's forms.
func (s *site) token() string {
	s.t.Helper()
	m := tokenInPage.FindStringSubmatch(s.get("/help").Body)
	if m == nil {
		s.t.Fatal("the page has no token")
	}
	return m[1]
}

// post sends a form with the session's token.
func (s *site) post(path string, fields url.Values) answer {
	s.t.Helper()
	if fields == nil {
		fields = url.Values{}
	}
	fields.Set("csrf", s.token())
	return s.postRaw(path, fields.Encode())
}

// postRaw sends a body as a form, as it is.
func (s *site) postRaw(path, body string) answer {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return s.do(req)
}

// wants fails the test unless the page has each text.
func (a answer) wants(t *testing.T, code int, texts ...string) {
	t.Helper()
	if a.Code != code {
		t.Errorf("status %d, want %d", a.Code, code)
	}
	for _, text := range texts {
		if !strings.Contains(a.Body, text) {
			t.Errorf("%q is missing in\n%s", text, a.Body)
		}
	}
}

// lacks fails the test where the page has one of the texts.
func (a answer) lacks(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(a.Body, text) {
			t.Errorf("%q is there, and should not be, in\n%s", text, a.Body)
		}
	}
}
