package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const usersFile = `version: 1
braze: { workspace: w, endpoint: https://rest.fra-01.braze.eu, api_key: "${BRAZE_API_KEY}" }
web:
  listen: 127.0.0.1:8080 # the pages
models: [] # none yet
`

// userCommand runs brazecdc user with a line on standard input.
func userCommand(t *testing.T, file, input string, args ...string) (out string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, append(append([]string{"user"}, args...), "--config", file)...)
	cmd.Stdin = strings.NewReader(input)
	b, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(b), cmd.ProcessState.ExitCode()
}

func TestUser(t *testing.T) {
	t.Parallel()
	file := filepath.Join(shortDir(t), "brazecdc.yaml")
	if err := os.WriteFile(file, []byte(usersFile), 0o640); err != nil {
		t.Fatal(err)
	}
	read := func() string {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, c := range []struct {
		name, input string
		args        []string
		code        int
		says        string
	}{
		{"lists nobody", "", []string{"list"}, 0, "Nobody"},
		{"refuses a short password", "short\n", []string{"add", "kim"}, exitUsage, "10 to 256 characters"},
		{"refuses no password", "", []string{"add", "kim"}, exitUsage, "no password came"},
		{"refuses a role that is none", "a long password\n", []string{"add", "kim", "--role", "admin"}, exitUsage, "viewer or editor"},
		{"refuses a name that is none", "a long password\n", []string{"add", "a/b"}, exitUsage, "not a name"},
		{"adds an editor", "a long password\n", []string{"add", "kim", "--role", "editor"}, 0, "kim may sign in as editor"},
		{"adds a viewer", "a long password\r\n", []string{"add", "Jo Ann"}, 0, "Jo Ann may sign in as viewer"},
		{"refuses a name twice", "a long password\n", []string{"add", "kim"}, exitUsage, "already"},
		{"lists both", "", []string{"list"}, 0, "kim     editor  password\nJo Ann  viewer  password"},
		{"lists as JSON", "", []string{"list", "--json"}, 0, `"role": "viewer"`},
		{"changes a password", "another password\n", []string{"passwd", "kim"}, 0, "new password"},
		{"knows who is not there", "x\n", []string{"passwd", "lee"}, exitUsage, "kim, Jo Ann"},
		{"refuses a user without password where there is no proxy", "", []string{"add", "lee", "--no-password"}, exitUsage, "web.proxy"},
		{"removes one", "", []string{"remove", "kim"}, 0, "can't sign in any more"},
		{"removes the last one on loopback", "", []string{"remove", "Jo Ann"}, 0, "without a sign-in"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, code := userCommand(t, file, c.input, c.args...)
			if code != c.code || !strings.Contains(out, c.says) {
				t.Errorf("exit code %d, it said\n%s", code, out)
			}
			if strings.Contains(out+read(), "long password") || strings.Contains(out+read(), "another password") {
				t.Error("a password can be read")
			}
		})
	}
	if got := read(); got != usersFile {
		t.Errorf("the file is not as it was:\n%s", got)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	t.Run("keeps the last user of an open listener", func(t *testing.T) {
		if err := os.WriteFile(file, []byte(strings.Replace(usersFile, "127.0.0.1", "0.0.0.0", 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, code := userCommand(t, file, "a long password\n", "add", "kim", "--role", "editor"); code != 0 {
			t.Fatalf("exit code %d\n%s", code, out)
		}
		if out, code := userCommand(t, file, "", "remove", "kim"); code != exitUsage || !strings.Contains(out, "last user") {
			t.Errorf("exit code %d\n%s", code, out)
		}
	})
}

// person is somebody with a browser's memory.
type person struct {
	t      *testing.T
	base   string
	client *http.Client
}

func newPerson(t *testing.T, base string) *person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &person{t, base, &http.Client{Jar: jar, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, //nolint:gosec // the test's own certificate
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func (p *person) get(path string, header ...string) (int, string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.base+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return p.ask(req)
}

func (p *person) ask(req *http.Request) (int, string) {
	p.t.Helper()
	resp, err := p.client.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

var formToken = regexp.MustCompile(`<meta name="csrf" content="([^"]+)">`)

// signIn gives the status of a try.
func (p *person) signIn(name, password string) int {
	p.t.Helper()
	_, page := p.get("/login")
	m := formToken.FindStringSubmatch(page)
	if m == nil {
		p.t.Fatalf("the sign-in has no token:\n%s", page)
	}
	form := url.Values{"csrf": {m[1]}, "name": {name}, "password": {password}}
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.base+"/login", strings.NewReader(form.Encode()))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	code, _ := p.ask(req)
	return code
}

func TestOpenListener(t *testing.T) {
	t.Parallel()
	t.Run("refuses to start without a sign-in", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, plainModel)
		b.edit(`listen: "127.0.0.1:0"`, `listen: "0.0.0.0:0"`)
		if r := b.brazecdc("run"); r.code != 3 || !strings.Contains(r.err, "web.listen is open to other machines without a sign-in") {
			t.Errorf("exit code %d\n%s", r.code, r.err)
		}
		if r := b.brazecdc("ui", "--listen", "0.0.0.0:0"); r.code != exitUsage || !strings.Contains(r.err, "without a sign-in") {
			t.Errorf("exit code %d\n%s", r.code, r.err)
		}
	})
	t.Run("serves its pages over TLS to who signed in, and figures to who has the token", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, plainModel)
		writeCertificate(t, b.dir)
		b.edit(`web: { listen: "127.0.0.1:0" }`, `web: { listen: "0.0.0.0:0", tls: { cert: cert.pem, key: key.pem } }
ops: { token: "${OPS_TOKEN}" }`)
		b.env = append(b.env, "OPS_TOKEN=token-of-the-scraper")
		if out, code := userCommand(t, b.config(), "a long password\n", "add", "kim", "--role", "editor"); code != 0 {
			t.Fatalf("exit code %d\n%s", code, out)
		}
		p := b.runUnready()
		b.until("it listens", func() bool {
			m := listening.FindStringSubmatch(p.err.String())
			if m != nil {
				b.listen = "127.0.0.1" + m[1][strings.LastIndex(m[1], ":"):]
			}
			return m != nil
		})
		kim := newPerson(t, "https://"+b.listen)
		for path, want := range map[string]int{"/livez": 200, "/metrics": 401, "/status": 401, "/": 401, "/users": 401, "/help": 401, "/login": 200} {
			if code, body := kim.get(path); code != want {
				t.Errorf("%s without a sign-in: %d\n%s", path, code, body)
			}
		}
		for _, token := range []string{"token-of-the-scraper", "token-of-the-scrapeR", ""} {
			want := http.StatusUnauthorized
			if token == "token-of-the-scraper" {
				want = http.StatusOK
			}
			if code, _ := kim.get("/metrics", "Authorization", "Bearer "+token); code != want {
				t.Errorf("/metrics with token %q: %d", token, code)
			}
		}
		if code := kim.signIn("kim", "not the password"); code != http.StatusUnauthorized {
			t.Errorf("a wrong password: %d", code)
		}
		if code := kim.signIn("kim", "a long password"); code != http.StatusSeeOther {
			t.Fatalf("the right password: %d", code)
		}
		for _, path := range []string{"/", "/help", "/metrics", "/status"} {
			if code, body := kim.get(path); code != http.StatusOK {
				t.Errorf("%s signed in: %d\n%s", path, code, body)
			}
		}
		if r := b.brazecdc("healthcheck", "--live", "--url", "https://"+b.listen); r.code != 0 {
			t.Errorf("healthcheck: %d %s", r.code, r.err)
		}
		if r := b.brazecdc("healthcheck", "--url", "https://"+b.listen+"/help"); r.code != 1 || r.out != "" || !strings.Contains(r.err, "without a path") {
			t.Errorf("healthcheck of an address with a path: %d %.80s %s", r.code, r.out, r.err)
		}

		if out, code := userCommand(t, b.config(), "another password\n", "passwd", "kim"); code != 0 {
			t.Fatalf("exit code %d\n%s", code, out)
		}
		b.until("the session ended with the old password", func() bool { code, _ := kim.get("/help"); return code == http.StatusUnauthorized })
		if strings.Contains(p.err.String(), "long password") {
			t.Error("the log has a password")
		}
	})
}

func TestOpsBehindLocalProxy(t *testing.T) {
	t.Parallel()
	b := newBench(t, plainModel)
	b.edit(`web: { listen: "127.0.0.1:0" }`, `web: { listen: "127.0.0.1:0", hosts: [pages.example.com] }
ops: { token: "${OPS_TOKEN}" }`)
	b.env = append(b.env, "OPS_TOKEN=token-of-the-scraper")
	b.run()
	t.Run("without users this machine asks freely, and by no other name", func(t *testing.T) {
		for _, path := range []string{"/metrics", "/status", "/livez"} {
			if code, _ := b.get(path); code != http.StatusOK {
				t.Errorf("%s: %d", path, code)
			}
			if code, _ := b.get(path, "pages.example.com"); code != http.StatusMisdirectedRequest {
				t.Errorf("%s by a name: %d", path, code)
			}
		}
	})
	if out, code := userCommand(t, b.config(), "a long password\n", "add", "kim", "--role", "viewer"); code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	b.until("the pages ask for a sign-in", func() bool { code, _ := b.get("/help"); return code == http.StatusUnauthorized })
	t.Run("with users a request that looks local may be one that a proxy passes on: it needs a sign-in or the token", func(t *testing.T) {
		for _, path := range []string{"/metrics", "/status"} {
			for _, host := range []string{b.listen, "localhost", "pages.example.com"} {
				if code, body := b.get(path, host); code != http.StatusUnauthorized || strings.Contains(body, "brazecdc_") {
					t.Errorf("%s for %s: %d", path, host, code)
				}
			}
			if code, _ := b.get(path, "evil.example.com"); code != http.StatusMisdirectedRequest {
				t.Errorf("%s by a strange name: %d", path, code)
			}
		}
		for _, path := range []string{"/livez", "/readyz"} {
			if code, _ := b.get(path); code != http.StatusOK {
				t.Errorf("%s: %d", path, code)
			}
		}
		kim := newPerson(t, "http://"+b.listen)
		if code, _ := kim.get("/metrics", "Authorization", "Bearer token-of-the-scraper"); code != http.StatusOK {
			t.Errorf("with the token: %d", code)
		}
		if code := kim.signIn("kim", "a long password"); code != http.StatusSeeOther {
			t.Fatalf("the password: %d", code)
		}
		if code, _ := kim.get("/status"); code != http.StatusOK {
			t.Errorf("signed in: %d", code)
		}
	})
}

// writeCertificate leaves cert.pem and key.pem of httptest's own certificate.
func writeCertificate(t *testing.T, dir string) {
	t.Helper()
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	defer srv.Close()
	c := srv.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: c.Certificate[0]}, "key.pem": {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
