package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"brazecdc/connector"
	"brazecdc/connector/config"
	"brazecdc/connector/draft"
)

// fakeConnections answers as it is told to and notes what was asked of it.
type fakeConnections struct {
	kept    map[string]string // secrets by reference
	keepErr error
	source  *SourceProbe
	braze   *BrazeProbe
	rows    []FirstRow
	sent    *FirstSent
	sendErr error
	started []byte
	fault   error
}

func (f *fakeConnections) Look(text []byte) (*config.Config, config.Faults) {
	return config.Partial("brazecdc.yaml", text, func(string) (string, bool) { return "from-a-variable", true }, func(name string) ([]byte, error) {
		if v, ok := f.kept["${file:"+name+"}"]; ok {
			return []byte(v), nil
		}
		return nil, os.ErrNotExist
	})
}

func (f *fakeConnections) ProbeSource(context.Context, []byte) *SourceProbe { return f.source }
func (f *fakeConnections) LastSource([]byte) *SourceProbe                   { return f.source }
func (f *fakeConnections) ProbeBraze(context.Context, []byte) *BrazeProbe   { return f.braze }
func (f *fakeConnections) LastBraze([]byte) *BrazeProbe                     { return f.braze }

func (f *fakeConnections) KeepSecret(name, value string) (string, error) {
	if f.keepErr != nil {
		return "", f.keepErr
	}
	ref := "${file:secrets/" + name + "}"
	f.kept[ref] = value
	return ref, nil
}

func (f *fakeConnections) ForgetSecrets([][]byte) {}

func (f *fakeConnections) Secret(ref string) SecretState {
	_, ok := f.kept[ref]
	return SecretState{Set: true, Missing: !ok}
}

func (f *fakeConnections) FirstRows(context.Context, []byte, string) ([]FirstRow, error) {
	return f.rows, nil
}

func (f *fakeConnections) SendFirst(_ context.Context, _ []byte, model, key string) (*FirstSent, error) {
	if f.sendErr != nil {
		return nil, f.sendErr
	}
	f.sent = &FirstSent{Model: model, User: key, Calls: []FirstCall{{Method: "POST", Path: "/users/track", Body: `{"attributes":[]}`}}}
	return f.sent, nil
}
func (f *fakeConnections) FirstSent() *FirstSent { return f.sent }
func (f *fakeConnections) Loads(context.Context, []byte) ([]LoadPlan, error) {
	return []LoadPlan{{Model: "users", Table: "public.users", Rows: 12400, About: true, Values: 24800, Calls: 166}}, nil
}

func (f *fakeConnections) Start(_ context.Context, text []byte) error {
	f.started = text
	return f.fault
}

// connectionsSite serves the pages over a draft in a folder of its own.
func connectionsSite(t *testing.T, text string) (*site, *fakeConnections, *draft.Store) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "brazecdc.yaml")
	store, err := draft.Open(file, filepath.Join(dir, "data", "pages"))
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeConnections{kept: map[string]string{}}
	store.Check = func(text []byte) error {
		_, faults := f.Look(text)
		return faults.Err()
	}
	if text != "" {
		if err := store.SetText("", []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	return newSite(t, Config{File: "brazecdc.yaml", Connections: f, Draft: store}), f, store
}

func draftText(t *testing.T, store *draft.Store) string {
	t.Helper()
	v, err := store.View()
	if err != nil {
		t.Fatal(err)
	}
	return string(v.Text)
}

func fields(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v
}

func TestConnectionsSource(t *testing.T) {
	t.Run("a pasted address is taken apart, and its password is kept outside of the text", func(t *testing.T) {
		s, f, store := connectionsSite(t, "")
		s.post("/setup/source", fields("kind", "postgres", "time_zone", "UTC", "slot", "brazecdc", "publication", "brazecdc", "create", "1",
			"paste", "postgres://shop:p%40ss$$w+rd@db.example.org:6432/shop?sslmode=require")).wants(t, http.StatusSeeOther)
		text := draftText(t, store)
		if want := "postgres://shop:${file:secrets/database-password}@db.example.org:6432/shop?sslmode=require"; !strings.Contains(text, want) {
			t.Errorf("%s is not in\n%s", want, text)
		}
		cfg, _ := f.Look([]byte(text))
		u, err := url.Parse(cfg.Source.Postgres.URL.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		if p, _ := u.User.Password(); p != "p@ss$$w+rd" {
			t.Errorf("the password that arrives is %q", p)
		}
		a := s.get("/setup/source")
		a.wants(t, http.StatusOK, `value="db.example.org"`, `value="6432"`, "Leave blank to keep it")
		a.lacks(t, "p@ss", "p%40ss")
	})
	t.Run("what is wrong is told at its field, and nothing is kept", func(t *testing.T) {
		s, f, store := connectionsSite(t, "")
		for _, c := range []struct{ field, value, want string }{
			{"paste", "mysql://db.example.org/shop", "It begins with postgres://"}, {"paste", "postgres://[::1/shop", "It begins with postgres://"},
			{"host", "db example", "Enter the host"}, {"host", "db/x", "Enter the host"}, {"port", "99999", "A port is a number"}, {"database", "", "name of the database"},
			{"user", "", "Enter the user"}, {"slot", "No Slot", "lower case letters"}, {"time_zone", "Mars", "IANA name"}, {"password", "a\nb", "characters"},
		} {
			form := fields("kind", "postgres", "host", "db.example.org", "port", "5432", "database", "shop", "user", "shop", "password", "geheim", "slot", "brazecdc",
				"publication", "brazecdc", "create", "1", "time_zone", "UTC")
			form.Set(c.field, c.value)
			a := s.post("/setup/source", form)
			a.wants(t, http.StatusUnprocessableEntity, c.want)
			a.lacks(t, "geheim")
		}
		s.post("/setup/source", fields("kind", "oracle")).wants(t, http.StatusUnprocessableEntity, "Choose Postgres or Kafka")
		if len(f.kept) > 0 || draftText(t, store) != "" {
			t.Errorf("kept %v and\n%s", f.kept, draftText(t, store))
		}
	})
	t.Run("another host asks for the password again, the same one keeps it", func(t *testing.T) {
		s, f, store := connectionsSite(t, "version: 1\nsource:\n  time_zone: UTC\n  postgres: {url: \"postgres://shop:${file:secrets/database-password}@db.example.org:5432/shop\"}\n")
		f.kept["${file:secrets/database-password}"] = "geheim"
		form := fields("kind", "postgres", "host", "evil.example.org", "port", "5432", "database", "shop", "user", "shop", "slot", "brazecdc", "publication", "brazecdc",
			"create", "1", "time_zone", "UTC")
		s.post("/connections/source", form).wants(t, http.StatusUnprocessableEntity, "enter the secret again")
		form.Set("host", "DB.example.org")
		form.Set("database", "other")
		s.post("/connections/source", form).wants(t, http.StatusSeeOther)
		if text := draftText(t, store); !strings.Contains(text, "${file:secrets/database-password}@DB.example.org:5432/other") {
			t.Error(text)
		}
		form.Set("password_remove", "1")
		s.post("/connections/source", form).wants(t, http.StatusSeeOther)
		if text := draftText(t, store); strings.Contains(text, "file:") {
			t.Errorf("the password is still there:\n%s", text)
		}
	})
	t.Run("a variable is taken as it is", func(t *testing.T) {
		s, _, store := connectionsSite(t, "")
		s.post("/setup/source", fields("kind", "postgres", "time_zone", "UTC", "slot", "brazecdc", "publication", "brazecdc", "create", "1", "paste", "${DATABASE_URL}"))
		if text := draftText(t, store); !strings.Contains(text, "${DATABASE_URL}") {
			t.Error(text)
		}
		s.get("/setup/source").wants(t, http.StatusOK, "comes from ${DATABASE_URL}")
	})
	t.Run("brokers, login and registry", func(t *testing.T) {
		s, _, store := connectionsSite(t, "")
		form := fields("kind", "kafka", "brokers", "k1.example.org, k2.example.org:9093", "group", "g", "format", "debezium-json", "mechanism", "scram-sha-512", "sasl_user", "u",
			"sasl_password", "geheim", "registry", "https://registry.example.org", "registry_password", "auch", "kafka_tls", "1", "time_zone", "UTC")
		s.post("/setup/source", form).wants(t, http.StatusSeeOther)
		text := draftText(t, store)
		for _, want := range []string{"k1.example.org:9092", "k2.example.org:9093", "scram-sha-512", "${file:secrets/kafka-password}", "${file:secrets/registry-password}", "tls"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s is not in\n%s", want, text)
			}
		}
		form.Del("sasl_password")
		form.Del("registry_password")
		form.Set("brokers", "evil.example.org:9092")
		form.Set("registry", "https://evil.example.org")
		a := s.post("/setup/source", form)
		a.wants(t, http.StatusUnprocessableEntity, `href="#sasl_password"`, `href="#registry_password"`)
	})
	t.Run("a folder that can't be written is told, and what else was typed stays", func(t *testing.T) {
		s, f, _ := connectionsSite(t, "")
		f.keepErr = os.ErrPermission
		s.post("/setup/source", fields("kind", "postgres", "host", "db.example.org", "database", "shop", "user", "shop", "password", "geheim", "slot", "brazecdc",
			"publication", "brazecdc", "create", "1", "time_zone", "UTC")).wants(t, http.StatusUnprocessableEntity, "could not be kept: permission denied", `value="db.example.org"`)
	})
	t.Run("each check has its SQL to copy", func(t *testing.T) {
		s, f, _ := connectionsSite(t, "")
		f.source = &SourceProbe{Checks: []Check{{About: "replication", Level: CheckFail, Text: "role may not replicate", Fix: "ALTER ROLE shop WITH REPLICATION;"}},
			Creates: []Creation{{Kind: "slot", Name: "brazecdc"}}}
		s.get("/setup/source").wants(t, http.StatusOK, "ALTER ROLE shop WITH REPLICATION;", "Something must be mended first", "created at the start", "Go on anyway")
	})
}

func TestConnectionsBraze(t *testing.T) {
	const before = "version: 1\nbraze:\n  workspace: staging\n  endpoint: https://rest.fra-01.braze.eu\n  api_key: ${file:secrets/braze-api-key}\n"
	t.Run("instance and key", func(t *testing.T) {
		s, f, store := connectionsSite(t, "")
		s.post("/setup/braze", fields("instance", "EU-01", "key", "ein-schluessel", "workspace", "staging")).wants(t, http.StatusSeeOther)
		if text := draftText(t, store); strings.Contains(text, "ein-schluessel") || !strings.Contains(text, "https://rest.fra-01.braze.eu") ||
			f.kept["${file:secrets/braze-api-key}"] != "ein-schluessel" {
			t.Errorf("%v\n%s", f.kept, text)
		}
		a := s.get("/setup/braze")
		a.wants(t, http.StatusOK, `<option value="EU-01" selected>`, "https://dashboard-01.braze.eu")
		a.lacks(t, "ein-schluessel")
	})
	t.Run("another address asks for the key again", func(t *testing.T) {
		s, f, store := connectionsSite(t, before)
		f.kept["${file:secrets/braze-api-key}"] = "alt"
		s.post("/connections/braze", fields("instance", "US-01", "workspace", "staging")).wants(t, http.StatusUnprocessableEntity, "enter the secret again")
		s.post("/connections/braze", fields("instance", "other", "endpoint", "https://rest.example.org", "workspace", "staging")).wants(t, http.StatusUnprocessableEntity, "enter the secret again")
		s.post("/connections/braze", fields("instance", "EU-01", "workspace", "production")).wants(t, http.StatusSeeOther)
		if text := draftText(t, store); !strings.Contains(text, "production") || !strings.Contains(text, "${file:secrets/braze-api-key}") {
			t.Error(text)
		}
	})
	t.Run("only https, but for this machine", func(t *testing.T) {
		s, _, store := connectionsSite(t, "")
		for value, want := range map[string]string{
			"http://rest.fra-01.braze.eu": "Use https", "https://user:pw@rest.fra-01.braze.eu": "only scheme and host", "https://rest.fra-01.braze.eu/users": "only scheme and host",
			"ftp://rest.fra-01.braze.eu": "only scheme and host", "": "only scheme and host", "${X}": "only scheme and host", "https://dashboard-99.braze.com": "address of a dashboard",
		} {
			a := s.post("/setup/braze", fields("instance", "other", "endpoint", value, "key", "k", "workspace", "w"))
			a.wants(t, http.StatusUnprocessableEntity, want)
		}
		if text := draftText(t, store); text != "" {
			t.Error(text)
		}
		s.post("/setup/braze", fields("instance", "other", "endpoint", "https://dashboard-01.braze.eu", "key", "k", "workspace", "w")).wants(t, http.StatusSeeOther)
		if text := draftText(t, store); !strings.Contains(text, "https://rest.fra-01.braze.eu") {
			t.Error(text)
		}
		s.post("/setup/braze", fields("instance", "other", "endpoint", "http://127.0.0.1:8081", "key", "k", "workspace", "w")).wants(t, http.StatusSeeOther)
	})
	t.Run("what is missing is told", func(t *testing.T) {
		s, _, _ := connectionsSite(t, "")
		s.post("/setup/braze", fields("instance", "EU-77")).wants(t, http.StatusUnprocessableEntity, "Choose your instance.", "Enter the key.", "Give the workspace a name")
	})
	t.Run("a refused key, a silent address, and permissions by mode", func(t *testing.T) {
		s, f, _ := connectionsSite(t, before)
		f.braze = &BrazeProbe{Refused: true}
		s.get("/setup/braze").wants(t, http.StatusOK, "Wrong key or wrong instance", "works on one instance only")
		f.braze = &BrazeProbe{Fault: "dial tcp: connection refused"}
		s.get("/setup/braze").wants(t, http.StatusOK, "No useful answer", "connection refused")
		f.braze = &BrazeProbe{Permissions: []Permission{{Name: "users.track", Grant: GrantOK, Modes: []string{"sync", "additive", "enrich"}},
			{Name: "users.delete", Grant: GrantRefused, Modes: []string{"sync"}}, {Name: "users.export.ids", Grant: GrantUntested}}}
		s.get("/setup/braze").wants(t, http.StatusOK, "not in every mode", "Can&#39;t be tested without sending", "On to the table")
	})
}

const readyText = `version: 1
braze:
  workspace: staging
  endpoint: https://rest.fra-01.braze.eu
  api_key: ${BRAZE_API_KEY}
source:
  time_zone: UTC
  postgres: {url: "postgres://shop@db.example.org/shop"}
models:
  - name: users
    kind: users
    table: public.users
    mode: additive
    identify: {external_id: id}
    fields: {email: email}
`

func TestFailedTestTakesTheTick(t *testing.T) {
	steps := func() []setupStep {
		return []setupStep{{Key: "source", Done: true}, {Key: "braze", Done: true}, {Key: "table", Done: true}}
	}
	for _, c := range []struct {
		name          string
		source        *SourceProbe
		braze         *BrazeProbe
		source2, want bool
	}{
		{"not tested", nil, nil, true, true},
		{"both work", &SourceProbe{Checks: []Check{{Level: CheckWarn}}}, &BrazeProbe{}, true, true},
		{"a wrong key", nil, &BrazeProbe{Refused: true}, true, false},
		{"no answer", &SourceProbe{Checks: []Check{{Level: CheckFail}}}, &BrazeProbe{Fault: "refused"}, false, false},
	} {
		s := steps()
		failedTests(s, c.source, c.braze)
		if s[0].Done != c.source2 || s[1].Done != c.want || !s[2].Done {
			t.Errorf("%s: %+v", c.name, s)
		}
	}
}

func TestSetup(t *testing.T) {
	t.Run("who comes first is welcomed, who comes back goes on at the first open step", func(t *testing.T) {
		s, _, store := connectionsSite(t, "")
		s.get("/setup").wants(t, http.StatusOK, "in five minutes", `href="/setup/source"`)
		s.post("/setup/braze", fields("instance", "EU-01", "key", "k", "workspace", "w"))
		if a := s.get("/setup"); a.Code != http.StatusSeeOther || a.Header.Get("Location") != "/setup/source" {
			t.Errorf("%d to %s", a.Code, a.Header.Get("Location"))
		}
		if err := store.SetText("", []byte(readyText)); err != nil {
			t.Fatal(err)
		}
		if a := s.get("/setup"); a.Header.Get("Location") != "/setup/start" {
			t.Errorf("to %s", a.Header.Get("Location"))
		}
	})
	t.Run("a start with open settings names them", func(t *testing.T) {
		s, _, _ := connectionsSite(t, strings.Replace(readyText, "    mode: additive\n", "", 1))
		s.get("/setup/start").wants(t, http.StatusOK, "still open", ".mode")
		s.post("/setup/start", fields("how", "now")).wants(t, http.StatusUnprocessableEntity, "still open")
	})
	t.Run("one user first", func(t *testing.T) {
		s, f, _ := connectionsSite(t, readyText)
		f.rows = []FirstRow{{Key: "1", Values: []FirstValue{{"email", "a@example.com"}}}}
		s.get("/setup/start").wants(t, http.StatusOK, "a@example.com", "12,400", "24,800", "can start campaigns")
		s.post("/setup/start", fields("how", "one")).wants(t, http.StatusUnprocessableEntity, "Choose a row.")
		s.post("/setup/start", fields("how", "one", "key", "1")).wants(t, http.StatusSeeOther)
		s.get("/setup/done").wants(t, http.StatusOK, "Accepted by Braze", "/users/track", "dashboard-01.braze.eu", "external_id 1")
		f.sendErr = &connector.StopError{What: "Braze refuses the key", Fix: "enter another one"}
		s.post("/setup/start", fields("how", "one", "key", "1")).wants(t, http.StatusUnprocessableEntity, "Braze refuses the key", "enter another one")
	})
	t.Run("a load needs to be known, and a start writes the file", func(t *testing.T) {
		s, f, store := connectionsSite(t, readyText)
		s.post("/setup/start", fields("how", "load")).wants(t, http.StatusUnprocessableEntity, "Confirm that this load can start campaigns.")
		f.fault = errors.New("the database is gone")
		s.post("/setup/start", fields("how", "load", "sure", "1")).wants(t, http.StatusUnprocessableEntity, "The database is gone", "Everything you entered is kept")
		if v, err := store.View(); err != nil || v.Exists || !v.Pending {
			t.Errorf("after a failed start: %+v, %v", v, err)
		}
		f.fault = nil
		s.post("/setup/start", fields("how", "now")).wants(t, http.StatusSeeOther)
		v, err := store.View()
		if err != nil || v.Pending || !strings.Contains(string(v.File), "load: none") || string(f.started) != string(v.File) {
			t.Errorf("after a start: %v\n%s\n%s", err, v.File, f.started)
		}
		s.post("/setup/start", fields("how", "maybe")).wants(t, http.StatusUnprocessableEntity, "Choose how to start.")
	})
	t.Run("without anything to ask the pages say so", func(t *testing.T) {
		s := newSite(t, Config{})
		for _, path := range []string{"/setup", "/setup/source", "/setup/braze", "/setup/start", "/setup/done", "/connections/source"} {
			s.get(path).wants(t, http.StatusServiceUnavailable)
		}
		s.get("/connections").wants(t, http.StatusOK)
	})
}

func TestConnectionsOfViewers(t *testing.T) {
	all, f, store := connectionsSite(t, readyText)
	f.rows = []FirstRow{{Key: "1", Values: []FirstValue{{"email", "ada@example.com"}}}}
	f.sent = &FirstSent{Model: "users", User: "4711", Calls: []FirstCall{{Method: "POST", Path: "/users/track", Body: `{"email":"ada@example.com"}`}}}
	f.source = &SourceProbe{Checks: []Check{{About: "version", Level: CheckOK, Text: "PostgreSQL 15.1"}}}
	cfg := all.server.cfg
	cfg.Access = func() Access { return Access{SignIn: true, Users: twoUsers()} }
	s := newSite(t, cfg)
	jo := signIn(t, s, "jo")
	t.Run("they see everything but values of rows and what changes something", func(t *testing.T) {
		for _, path := range []string{"/connections", "/connections/source", "/connections/braze", "/setup/source", "/setup/braze", "/setup/start", "/setup/done", "/setup?all=1"} {
			a := jo.get(path)
			if a.Code != http.StatusOK {
				t.Errorf("%s: %d", path, a.Code)
			}
			a.lacks(t, "ada@example.com", "4711", "Save and test", "Test again", "Write the file and start", "Let&#39;s begin")
		}
		jo.get("/connections").wants(t, http.StatusOK, "db.example.org", "PostgreSQL 15.1")
	})
	t.Run("what they send is refused", func(t *testing.T) {
		before := draftText(t, store)
		for _, path := range []string{"/connections/test", "/connections/source", "/connections/braze", "/setup/source", "/setup/braze", "/setup/start"} {
			if a := jo.post(path, fields("how", "now", "kind", "postgres", "paste", "${X}", "instance", "EU-01", "workspace", "mine")); a.Code != http.StatusForbidden {
				t.Errorf("%s: %d", path, a.Code)
			}
		}
		if draftText(t, store) != before || f.started != nil {
			t.Error("a viewer changed something")
		}
	})
	t.Run("an editor sees them", func(t *testing.T) {
		signIn(t, s, "kim").get("/setup/start").wants(t, http.StatusOK, "ada@example.com", "Write the file and start")
	})
}

func TestAddress(t *testing.T) {
	for _, c := range []struct{ in, out string }{
		{"postgres://shop@db.example.org/shop", "postgres://shop@db.example.org/shop"},
		{"postgresql://shop:${PW}@db.example.org:5433/shop?sslmode=require&application_name=x", "postgres://shop:${PW}@db.example.org:5433/shop?application_name=x&sslmode=require"},
		{"host=db.example.org user=shop dbname='my shop' sslmode=disable", "postgres://shop@db.example.org/my%20shop?sslmode=disable"},
		{"postgres://a%20b@[::1]:5432/x", "postgres://a%20b@[::1]:5432/x"},
		{"${DATABASE_URL}", "${DATABASE_URL}"},
		{"postgres://$user@h/d$$b", "postgres://%24user@h/d%24%24b"},
	} {
		a, err := parseAddress(c.in)
		if err != nil || a.String() != c.out {
			t.Errorf("%s: %s, %v", c.in, a.String(), err)
		}
	}
	for _, bad := range []string{"", "db.example.org", "http://x/y", "postgres://", "postgres://a:1,b:2/x", "host='x", "=", "postgres:///shop"} {
		if a, err := parseAddress(bad); err == nil {
			t.Errorf("%q is taken as %+v", bad, a)
		}
	}
}

func FuzzAddress(f *testing.F) {
	for _, s := range []string{"postgres://u:p@h:1/d?x=y", "host=a user='b\\'c'", "${X}", "postgres://${A}:${file:/b}@h/d", "postgres://%zz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := parseAddress(s)
		if err != nil || a.Whole != "" {
			return
		}
		a.Password = ""
		if _, key := a.fault(); key != "" {
			return
		}
		if strings.ContainsAny(a.User+a.Database, "{}") {
			return // a reference stands there: it stays as it is, escaped
		}
		b, err := parseAddress(a.String())
		if err != nil || b.User != a.User || b.Database != a.Database || !strings.EqualFold(b.Host, a.Host) || b.Port != a.Port {
			t.Errorf("%q became %q, which reads as %+v, %v; it was %+v", s, a.String(), b, err, a)
		}
	})
}
