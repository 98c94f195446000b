package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"brazecdc/connector"
	"brazecdc/connector/braze"
)

// post sends a call to the simulator past the connector, as marketing's own tools do.
func (b *bench) post(path, body string) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, simEndpoint(b.t, b)+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+testKey)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	if answer, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusCreated {
		b.t.Fatalf("%s answers %d %s, %v", path, resp.StatusCode, answer, err)
	}
}

// verify runs the command and gives its report.
func (b *bench) verify(code int, args ...string) (r verifyReport) {
	b.t.Helper()
	res := b.brazecdc(append([]string{"verify", "--model", "users", "--wait", "50ms", "--json"}, args...)...)
	if res.code != code {
		b.t.Fatalf("exit code %d, want %d\n%s%s", res.code, code, res.out, res.err)
	}
	if err := json.Unmarshal([]byte(res.out), &r); err != nil {
		b.t.Fatalf("%v\n%s", err, res.out)
	}
	return r
}

// field finds one field of a report.
func (r *verifyReport) field(t *testing.T, name string) verifyField {
	t.Helper()
	for _, f := range r.Fields {
		if f.Field == name {
			return f
		}
	}
	t.Fatalf("the report has no field %s: %+v", name, r.Fields)
	return verifyField{}
}

const verifyModel = `mode: sync
load: all
delete_when: note == "dead"
identify: { external_id: id }
fields: { email: email, first_name: first_name, image_url: image }
custom:
  plan: plan
  credits: { column: credits, type: number }
  prefs: prefs
  tags: tags
  seen: { column: seen, type: time }`

func newVerifyBench(t *testing.T) *bench {
	t.Helper()
	b := newBench(t, verifyModel)
	b.exec(`ALTER TABLE users ADD prefs jsonb, ADD tags text[], ADD seen timestamptz, ADD image text;
		INSERT INTO users SELECT 'u-' || i, 'a' || i || '@example.com', 'Ada', 'pro', 12.50, NULL, '{"lang":"ja","mail":{"freq":2}}', '{a,b}', '2026-11-01 10:00+09', NULL
		FROM generate_series(1, 40) i;
		UPDATE users SET first_name = NULL, tags = '{}' WHERE id = 'u-2'`)
	p := b.run()
	b.until("the load has ended", func() bool { return len(b.sim.Profiles()) == 40 })
	if code := p.stop(); code != 0 {
		t.Fatalf("run ended with exit code %d", code)
	}
	return b
}

func TestVerify(t *testing.T) {
	t.Parallel()
	b := newVerifyBench(t)

	t.Run("finds nothing where Braze has all", func(t *testing.T) {
		b.t = t
		r := b.verify(0, "--sample", "40")
		if r.Rows != 40 || r.Equal != 40 || r.drift() != 0 || r.Requests != 1 {
			t.Errorf("%+v", r)
		}
		if f := r.field(t, "credits"); f.Compared != 40 {
			t.Errorf("%+v", f)
		}
		want := []remark{{"image_url", "an export does not give this field, or not as it was sent"}}
		if diff := cmp.Diff(want, r.NotComparable); diff != "" {
			t.Errorf("not comparable (-want +got):\n%s", diff)
		}
		wantIn(t, b.must("verify", "--model", "users", "--sample", "10"), "10 rows read, 1 request to Braze", "equal 10")
	})
	t.Run("knows the same value in another form", func(t *testing.T) {
		b.t = t
		b.post("/users/track", `{"attributes":[{"external_id":"u-1","credits":12.5000,"seen":"2026-11-01T01:00:00.000Z","email":"A1@example.com","_merge_objects":true,"prefs":{"theirs":1}}]}`)
		if r := b.verify(0, "--key", "u-1"); r.Equal != 1 {
			t.Errorf("%+v", r)
		}
	})
	t.Run("finds what differs, by field", func(t *testing.T) {
		b.t = t
		b.post("/users/track", `{"attributes":[{"external_id":"u-3","plan":"secret-plan"},{"external_id":"u-4","credits":null,"plan":"x"},{"external_id":"u-5","tags":["b","a"]},`+
			`{"external_id":"u-6","_merge_objects":true,"prefs":{"mail":{"freq":3}}},{"external_id":"u-2","first_name":"Bob"}]}`)
		b.post("/users/delete", `{"external_ids":["u-7","u-8"]}`)
		r := b.verify(connector.ExitFaults, "--sample", "40")
		if r.Drifting != 5 || r.Missing != 2 || r.Equal != 33 || r.Living != 0 || r.Repaired != 0 {
			t.Errorf("%+v", r)
		}
		for name, want := range map[string]verifyField{"plan": {Differs: 2}, "credits": {Missing: 1}, "tags": {Differs: 1}, "prefs": {Differs: 1}, "first_name": {Extra: 1}, "email": {}} {
			if diff := cmp.Diff(want, r.field(t, name), cmpopts.IgnoreFields(verifyField{}, "Field", "Compared", "Examples")); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
		out := b.brazecdc("verify", "--model", "users", "--sample", "40", "--wait", "50ms")
		wantIn(t, out.out, "drift: plan: of 38 2 differ", "row u-3, user u-3", "missing in Braze: u-7, u-8", "1 without a value in Braze", "1 NULL at the source and not in Braze", "--repair")
		if strings.Contains(out.out, "secret-plan") || strings.Contains(out.out, `"pro"`) {
			t.Errorf("values are shown:\n%s", out.out)
		}
		wantIn(t, b.brazecdc("verify", "--model", "users", "--key", "u-3", "--wait", "50ms", "--values").out, `source "pro", Braze "secret-plan"`)
	})
	last := func(id string) string {
		sent := b.bodies("/users/track", `"external_id":"`+id+`"`)
		return sent[len(sent)-1]
	}
	t.Run("repairs alone", func(t *testing.T) {
		b.t = t
		if r := b.verify(0, "--sample", "40", "--repair"); r.Repaired != 7 || len(r.Unrepaired) != 0 {
			t.Errorf("%+v", r)
		}
		if r := b.verify(0, "--sample", "40"); r.Equal != 40 {
			t.Errorf("%+v", r)
		}
		if got := last("u-3"); got != `{"attributes":[{"external_id":"u-3","plan":"pro"}]}` {
			t.Errorf("more than what differs was sent: %s", got)
		}
		if got := b.profile("u-2", "first_name"); got != "" && got != "null" {
			t.Errorf("u-2 is %s", got)
		}
	})
	t.Run("finds users that live on although their row is gone or dead", func(t *testing.T) {
		b.t = t
		b.exec("DELETE FROM users WHERE id = 'u-9'; UPDATE users SET note = 'dead' WHERE id = 'u-10'")
		r := b.verify(connector.ExitFaults, "--key", "u-9", "--key", "u-10", "--key", "u-11", "--repair")
		if r.Living != 2 || r.Equal != 1 || r.Repaired != 0 || len(r.LivingUsers) != 2 {
			t.Errorf("%+v", r)
		}
		if _, ok := b.sim.Profile("u-9"); !ok {
			t.Error("verify deleted a user")
		}
	})
	t.Run("does not count a change that arrives before the second look", func(t *testing.T) {
		b.t = t
		b.post("/users/track", `{"attributes":[{"external_id":"u-12","plan":"old"}]}`)
		asked := b.sim.Stats().Endpoints["/users/export/ids"].Requests
		p := start(t, b.env, "verify", "--model", "users", "--key", "u-12", "--wait", "2s", "--json", "--config", b.config())
		b.until("it has looked once", func() bool { return b.sim.Stats().Endpoints["/users/export/ids"].Requests > asked })
		b.post("/users/track", `{"attributes":[{"external_id":"u-12","plan":"pro"}]}`)
		code := p.wait()
		var r verifyReport
		if err := json.Unmarshal([]byte(p.out.String()), &r); err != nil || code != 0 || r.Moving != 1 || r.Equal != 1 || r.drift() != 0 {
			t.Errorf("exit code %d, %v, %+v", code, err, r)
		}
	})
	t.Run("repairs through the running process", func(t *testing.T) {
		b.t = t
		p := b.run()
		b.until("the deletes have come", func() bool { _, nine := b.sim.Profile("u-9"); _, ten := b.sim.Profile("u-10"); return !nine && !ten })
		b.post("/users/track", `{"attributes":[{"external_id":"u-13","plan":"old"}]}`)
		if r := b.verify(0, "--key", "u-13", "--repair"); r.Repaired != 1 {
			t.Errorf("%+v", r)
		}
		b.arrives("u-13", "plan", `"pro"`)
		if got := last("u-13"); got != `{"attributes":[{"external_id":"u-13","plan":"pro"}]}` {
			t.Errorf("more than what differs was sent: %s", got)
		}
		// Braze forgets with a new address who unsubscribed, so that the row goes whole.
		b.post("/users/track", `{"attributes":[{"external_id":"u-13","email":"someone@else.example"}]}`)
		if r := b.verify(0, "--key", "u-13", "--repair"); r.Repaired != 1 {
			t.Errorf("%+v", r)
		}
		wantIn(t, last("u-13"), `"email"`, `"plan":"pro"`)
		p.stop()
	})
	t.Run("refuses what it cannot do, and says why", func(t *testing.T) {
		b.t = t
		for _, c := range []struct {
			args []string
			says string
		}{{[]string{"verify"}, "--model"}, {[]string{"verify", "--model", "users", "--rate", "0"}, "--rate 0"}, {[]string{"verify", "--model", "others"}, "no such model"},
			{[]string{"verify", "--model", "users", "--key", "u-1", "--sample", "3"}, "--sample has no place"}} {
			if r := b.brazecdc(c.args...); r.code != exitUsage || !strings.Contains(r.err, c.says) {
				t.Errorf("%v: exit code %d, %s", c.args, r.code, r.err)
			}
		}
	})
}

func TestVerifyEnrich(t *testing.T) {
	t.Parallel()
	b := newBench(t, strings.Replace(plainModel, "mode: sync", "mode: enrich", 1))
	b.exec(`INSERT INTO users VALUES ('u-1', NULL, NULL, 'pro', 1), ('u-2', NULL, NULL, 'pro', 1)`)
	b.post("/users/track", `{"attributes":[{"external_id":"u-1","plan":"pro","credits":1}]}`)
	if r := b.verify(0); r.Missing != 0 || r.Equal != 2 {
		t.Errorf("a user that enrich would not create counts as missing: %+v", r)
	}
}

func TestVerifyTopic(t *testing.T) {
	t.Parallel()
	b, cl := newTopicBench(t, 1, topicModel)
	b.env = append(b.env, "TEST_ENDPOINT="+endpointOf(b.text))
	produce(t, cl, debezium("c", "u-1", "old", 1), debezium("c", "u-2", "free", 2), debezium("c", "u-3", "free", 3), debezium("u", "u-1", "pro", 1), debezium("d", "u-3", "free", 3))
	b.post("/users/track", `{"attributes":[{"external_id":"u-1","plan":"pro","credits":1},{"external_id":"u-2","plan":"pro","credits":2},{"external_id":"u-3","plan":"free","credits":3}]}`)
	r := b.verify(connector.ExitFaults)
	if r.Rows != 3 || r.Equal != 1 || r.Drifting != 1 || r.Living != 1 || r.field(t, "plan").Differs != 1 || r.LivingUsers[0].User != "u-3" {
		t.Errorf("%+v", r)
	}
	wantIn(t, b.brazecdc("verify", "--model", "users", "--wait", "50ms").out, "brazecdc replay --topic shop.users --model users --all-values --key u-2")
	if r := b.verify(0, "--key", "u-1"); r.Rows != 1 || r.Equal != 1 {
		t.Errorf("%+v", r)
	}
	if res := b.brazecdc("verify", "--model", "users", "--key", "u-9"); res.code != exitUsage || !strings.Contains(res.err, "u-9") {
		t.Errorf("exit code %d, %s", res.code, res.err)
	}
}

func TestCompareField(t *testing.T) {
	plain, merged := &connector.FieldDef{Name: "x"}, &connector.FieldDef{Name: "x", Merge: true}
	email, place, state := &connector.FieldDef{Name: "email"}, &connector.FieldDef{Name: "current_location"}, &connector.FieldDef{Name: "email_subscribe"}
	collect := &connector.FieldDef{Name: "x", Array: connector.ArrayCollect}
	for _, c := range []struct {
		def       *connector.FieldDef
		want, got string
		how       string
	}{
		{plain, `12.50`, `12.5`, ""}, {plain, `9007199254740993`, `9007199254740992`, ""}, {plain, `1`, `"1"`, driftDiffers}, {plain, `1`, `2`, driftDiffers}, {plain, `1e400`, `1`, driftDiffers},
		{plain, `false`, ``, ""}, {plain, `""`, ``, ""}, {plain, `[]`, ``, ""}, {plain, `{"a":null,"b":{}}`, ``, ""}, {plain, `0`, ``, driftMissing}, {plain, `true`, ``, driftMissing},
		{plain, `null`, ``, ""}, {plain, `null`, `""`, ""}, {plain, `null`, `"x"`, driftExtra}, {plain, `null`, `0`, driftExtra},
		{plain, `"2026-11-01T10:00:00+09:00"`, `"2026-11-01T01:00:00.000Z"`, ""}, {plain, `"2026-11-01T01:00:00.123456Z"`, `"2026-11-01T01:00:00.123Z"`, ""},
		{plain, `"2026-11-01T01:00:01Z"`, `"2026-11-01T01:00:00Z"`, driftDiffers}, {plain, `"1990-05-04"`, `"1990-05-04T00:00:00Z"`, ""}, {plain, `"a"`, `"A"`, driftDiffers},
		{plain, `["a","b"]`, `["a","b"]`, ""}, {plain, `["a","b"]`, `["b","a"]`, driftDiffers}, {plain, `["a"]`, `["a","b"]`, driftDiffers},
		{plain, `{"a":1}`, `{"a":1,"b":2}`, driftDiffers}, {merged, `{"a":1}`, `{"a":1,"b":2}`, ""}, {merged, `{"a":{"b":1}}`, `{"a":{"b":1,"c":2}}`, ""}, {merged, `{"a":1,"c":2}`, `{"a":1}`, driftDiffers},
		{merged, `{"a":1,"c":null}`, `{"a":1}`, ""}, {plain, `[{"id":1,"n":2.0}]`, `[{"n":2,"id":1}]`, ""},
		{email, `"a@x.io"`, `"A@X.io"`, ""}, {state, `"subscribed"`, ``, ""}, {state, `"unsubscribed"`, ``, driftMissing},
		{place, `{"longitude":1.5,"latitude":2}`, `{"longitude":1.50000001,"latitude":2.0}`, ""}, {place, `{"longitude":1.5,"latitude":2}`, `{"longitude":1.6,"latitude":2.0}`, driftDiffers},
		{collect, `{"add":["x"]}`, `["y","x"]`, ""}, {collect, `{"add":["x"]}`, `["y"]`, driftMissing}, {collect, `{"add":["x"]}`, ``, driftMissing},
	} {
		if how := compareField(&connector.Field{Def: c.def, JSON: []byte(c.want)}, []byte(c.got)); how != c.how {
			t.Errorf("%s of %q against %q is %q, want %q", c.def.Name, c.want, c.got, how, c.how)
		}
	}
}

func TestCompareFieldWithItself(t *testing.T) {
	for _, v := range []string{`null`, `"x"`, `""`, `[1,{"a":2},[]]`, `{"a":[true,null]}`, `1e5`, `-0.1`, `"2026-11-01"`, `{}`, `{"a":{"b":{}}}`, `12345678901234567890.12`, `1e999`} {
		for _, def := range []*connector.FieldDef{{Name: "x"}, {Name: "x", Merge: true}, {Name: "email"}, {Name: "current_location"}} {
			if how := compareField(&connector.Field{Def: def, JSON: []byte(v)}, []byte(v)); how != "" {
				t.Errorf("%s of %s differs from itself: %s", def.Name, v, how)
			}
		}
	}
}

func TestPickProfile(t *testing.T) {
	def := &connector.FieldDef{Name: "plan"}
	fields := []connector.Field{{Def: def, JSON: []byte(`"pro"`)}}
	profiles := []braze.Profile{{Custom: map[string]json.RawMessage{"plan": json.RawMessage(`"x"`)}}, {Custom: map[string]json.RawMessage{"plan": json.RawMessage(`"pro"`)}}}
	if got := leastDrift(fields, profiles); len(got) != 0 {
		t.Errorf("of two profiles with an email the nearest counts: %+v", got)
	}
	table := &connector.Table{Columns: []connector.Column{{Name: "a", Key: true}, {Name: "b"}, {Name: "c", Key: true}}}
	if got := keyFlag(table, connector.JoinKey([]string{"1", "x"})); got != "a=1,c=x" {
		t.Error(got)
	}
}
