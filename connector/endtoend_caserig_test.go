package connector_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"brazecdc/connector"
	"brazecdc/connector/braze/brazesim"
	"brazecdc/connector/sourcetest"
)

// baseTable and baseRow are the table and row that the cases share.
const (
	baseTable = `CREATE TABLE users(id int PRIMARY KEY, external_id text, email text, phone text, first_name text, plan text, credits numeric(12,2),
		is_vip bool, tags text[], prefs jsonb, born date, seen_at timestamptz, newsletter bool)`
	baseFull = `ALTER TABLE users REPLICA IDENTITY FULL`
	baseRow  = `INSERT INTO users VALUES (%d, 'u%[1]d', 'a%[1]d@x.io', '+819012345678', 'Aya', 'free', 12.50, true, '{a,b}', '{"lang":"ja","mail":{"freq":2}}',
		'1990-05-04', '2026-11-01 09:00+09', true)`
)

// baseModel is the cases' mapping.
func baseModel(change ...func(*connector.Model)) connector.Model {
	column := func(name, column string) connector.FieldMap {
		return connector.FieldMap{Name: name, ValueFrom: connector.ValueFrom{Column: column}, OnNull: "clear", Blank: "keep"}
	}
	m := connector.Model{Name: "users", Kind: "users", Table: "public.users", Mode: "sync", Load: "none", OwnsUsers: true, OnIDChange: "rename",
		ReplicaIdentity: "auto", Identify: connector.Identify{ExternalID: connector.ValueFrom{Column: "external_id"}}, Path: "models[0]",
		Fields: []connector.FieldMap{column("email", "email"), column("phone", "phone"), column("first_name", "first_name"), column("dob", "born")},
		Custom: []connector.FieldMap{column("plan", "plan"), column("credits", "credits"), column("is_vip", "is_vip"), column("tags", "tags"), column("prefs", "prefs"), column("last_seen", "seen_at")}}
	for _, c := range change {
		c(&m)
	}
	for i := range m.Fields {
		m.Fields[i].Path = "models[0].fields." + m.Fields[i].Name
	}
	for i := range m.Custom {
		m.Custom[i].Path = "models[0].custom." + m.Custom[i].Name
	}
	return m
}

// field gives the named field of a model.
func field(m *connector.Model, name string) *connector.FieldMap {
	for _, list := range [][]connector.FieldMap{m.Fields, m.Custom} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return nil
}

func loadAll(m *connector.Model)  { m.Load = "all" }
func additive(m *connector.Model) { m.Mode = "additive" }
func enrich(m *connector.Model)   { m.Mode = "enrich" }

// caseRig is a rig with the cases' table and a look at the requests since the last look.
type caseRig struct {
	*rig
	seen uint64
}

func newCase(t *testing.T, cfg rigConfig, sql ...string) *caseRig {
	t.Helper()
	c := &caseRig{rig: newRig(t, cfg, append([]string{baseTable}, sql...)...)}
	c.start()
	c.quiet()
	return c
}

// full is a rig whose table has complete before-images and the given rows, loaded.
func full(t *testing.T, m connector.Model, rows ...int) *caseRig {
	t.Helper()
	sql := []string{baseFull}
	for _, r := range rows {
		sql = append(sql, fmt.Sprintf(baseRow, r))
	}
	loadAll(&m)
	c := newCase(t, rigConfig{models: []connector.Model{m}}, sql...)
	c.calls()
	return c
}

// call is one object of a request.
type call struct {
	Path string          `json:"path"`
	Body json.RawMessage `json:"body"`
}

// calls waits until all is quiet and gives the objects that were accepted since the last look, in order, users of one request by name.
func (c *caseRig) calls() []call {
	c.t.Helper()
	c.quiet()
	var out []call
	for _, r := range c.requests() {
		objects, err := sourcetest.Objects(r.Body)
		if err != nil {
			c.t.Fatal(err)
		}
		for _, o := range objects {
			out = append(out, call{r.Path, o})
		}
	}
	return out
}

// requests are the accepted requests since the last look that change something.
func (c *caseRig) requests() []brazesim.Request {
	var out []brazesim.Request
	last := c.seen // they are listed in the order of their answers
	for _, r := range c.sim.Requests(0) {
		if r.Seq > last && r.Path != "/users/export/ids" && r.Status == 201 {
			out = append(out, r)
		}
		c.seen = max(c.seen, r.Seq)
	}
	slices.SortFunc(out, func(a, b brazesim.Request) int { return int(int64(a.Seq) - int64(b.Seq)) })
	return out
}

// want compares what was called since the last look with testdata/endtoend/NAME.json; UPDATE=1 writes that file.
func (c *caseRig) want(name string) {
	c.t.Helper()
	sourcetest.Golden(c.t, filepath.Join("testdata", "endtoend", name+".json"), c.calls())
	c.together()
}

// none wants no call since the last look.
func (c *caseRig) none() {
	c.t.Helper()
	if have := c.calls(); len(have) > 0 {
		c.t.Errorf("%d calls, want none; the first: %s %s", len(have), have[0].Path, have[0].Body)
	}
}

// update changes row 1.
func (c *caseRig) update(set string, args ...any) {
	c.t.Helper()
	c.exec("UPDATE users SET "+set+" WHERE id = 1", args...)
}

// sql runs statements in one transaction.
func (c *caseRig) sql(statements ...string) {
	c.t.Helper()
	c.exec(strings.Join(statements, ";"))
}

// sizes counts the objects of the requests to /users/track that were answered so, oldest first; 0 is every status.
func (c *caseRig) sizes(status int) (out []int) {
	c.t.Helper()
	for _, r := range c.sim.Requests(0) {
		if r.Path != "/users/track" || status != 0 && r.Status != status {
			continue
		}
		objects, err := sourcetest.Objects(r.Body)
		if err != nil {
			c.t.Fatal(err)
		}
		out = append(out, len(objects))
	}
	return out
}

// tracks gives the requests to /users/track whose body holds a text, oldest first.
func (c *caseRig) tracks(text string) (out []brazesim.Request) {
	for _, r := range c.sim.Requests(0) {
		if r.Path == "/users/track" && strings.Contains(string(r.Body), text) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b brazesim.Request) int { return int(int64(a.Seq) - int64(b.Seq)) })
	return out
}

// optinTable and optinModel are consent in a table of its own.
const optinTable = `CREATE TABLE optins(user_id text PRIMARY KEY, confirmed bool)`

func optinModel(n int) connector.Model {
	path := fmt.Sprintf("models[%d]", n)
	return connector.Model{Name: "optins", Kind: "subscriptions", Table: "public.optins", Mode: "sync", Load: "none", Path: path,
		Identify: connector.Identify{ExternalID: connector.ValueFrom{Column: "user_id"}},
		Groups:   []connector.GroupMap{{Group: "optins", ID: optGroup, Subscribed: "confirmed", OnLeave: "keep", Resubscribe: "on_change", Path: path + ".groups[0]"}}}
}

// hostLog is a transport that notes which hosts are called.
type hostLog struct {
	mu   sync.Mutex
	seen map[string]bool
}

func (h *hostLog) RoundTrip(r *http.Request) (*http.Response, error) {
	h.mu.Lock()
	if h.seen == nil {
		h.seen = map[string]bool{}
	}
	h.seen[r.URL.Host] = true
	h.mu.Unlock()
	return http.DefaultTransport.RoundTrip(r)
}

func (h *hostLog) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(maps.Keys(h.seen))
}

func row(n int) string { return fmt.Sprintf(baseRow, n) }

func bodies(requests []brazesim.Request) []string {
	var out []string
	for _, r := range requests {
		out = append(out, string(r.Body))
	}
	return out
}
