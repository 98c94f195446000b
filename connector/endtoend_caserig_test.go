package connector_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"brazecdc/connector"
	"brazecdc/connector/braze/brazesim"
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
		var body map[string]json.RawMessage
		if err := json.Unmarshal(r.Body, &body); err != nil {
			c.t.Fatalf("body of %s: %v", r.Path, err)
		}
		for _, member := range body {
			var objects []json.RawMessage
			if err := json.Unmarshal(member, &objects); err != nil {
				c.t.Fatalf("body of %s: %v", r.Path, err)
			}
			for i := range objects {
				objects[i] = json.RawMessage(canonical(objects[i]))
			}
			slices.SortFunc(objects, func(a, b json.RawMessage) int { return strings.Compare(idOf(a), idOf(b)) })
			for _, o := range objects {
				out = append(out, call{r.Path, o})
			}
		}
	}
	return out
}

func idOf(object json.RawMessage) string {
	var o struct {
		ID string `json:"external_id"`
	}
	if json.Unmarshal(object, &o) != nil {
		return string(object)
	}
	return o.ID
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
	var have bytes.Buffer
	enc := json.NewEncoder(&have)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(c.calls()); err != nil {
		c.t.Fatal(err)
	}
	path := filepath.Join("testdata", "endtoend", name+".json")
	if os.Getenv("UPDATE") == "1" {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			c.t.Fatal(err)
		}
		if err := os.WriteFile(path, have.Bytes(), 0o644); err != nil {
			c.t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		c.t.Fatal(err)
	}
	if !bytes.Equal(want, have.Bytes()) {
		c.t.Errorf("calls differ from %s; have:\n%s", path, have.String())
	}
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

func row(n int) string { return fmt.Sprintf(baseRow, n) }

func bodies(requests []brazesim.Request) []string {
	var out []string
	for _, r := range requests {
		out = append(out, string(r.Body))
	}
	return out
}
