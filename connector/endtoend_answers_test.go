package connector_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/braze"
	"brazecdc/connector/braze/brazesim"
)

// eventModel sends each row of a table (id, user_id, …) as an event, whatever its time.
func eventModel(n int, table, name string, columns ...string) connector.Model {
	path := fmt.Sprintf("models[%d]", n)
	m := connector.Model{Name: table, Kind: "events", Table: "public." + table, Mode: "additive", Load: "none", Path: path,
		Identify: connector.Identify{ExternalID: connector.ValueFrom{Column: "user_id"}},
		Event:    connector.EventMap{Name: connector.NameFrom{Value: name}, MaxAge: 100 * 365 * 24 * time.Hour, Path: path + ".event"}}
	for _, c := range columns {
		m.Event.Properties = append(m.Event.Properties, property(path, c, c))
	}
	return m
}

func property(path, name, column string) connector.PropertyMap {
	return connector.PropertyMap{FieldMap: connector.FieldMap{Name: name, ValueFrom: connector.ValueFrom{Column: column}, Path: path + ".properties." + name}}
}

// entry gives the only quarantine entry of a user.
func (c *caseRig) entry(user string) (out connector.Entry) {
	c.t.Helper()
	all, err := c.run.data.Quarantine().List(connector.EntryFilter{})
	if err != nil {
		c.t.Fatal(err)
	}
	all = slices.DeleteFunc(all, func(e connector.Entry) bool { return e.User.ID != user })
	if len(all) != 1 {
		c.t.Fatalf("%d entries of %s in %q", len(all), user, c.quarantined())
	}
	return all[0]
}

// TestCasesOfAnswers goes from real rows to what becomes of them when Braze says no.
func TestCasesOfAnswers(t *testing.T) {
	// A run has no state "partial": it goes on, and the model's figures and the quarantine say what is missing.
	t.Run("case 1: 2xx with errors inside: the listed user is held back, the others are done", func(t *testing.T) {
		t.Parallel()
		c := newCase(t, rigConfig{models: []connector.Model{baseModel()}}, baseFull)
		c.fault(brazesim.Fault{Endpoint: "/users/track", Items: []brazesim.ItemFault{{ExternalIDs: []string{"u2"}, Type: "bad email"}}})
		c.sql(row(1), row(2), row(3))
		c.want("case_01") // which waits until the position has moved
		if e := c.entry("u2"); e.Class != "rejected" || e.Reason != "bad email" {
			t.Errorf("%+v", e)
		}
		st := c.run.p.Status()
		if st.State != "running" || st.Quarantine != 1 || st.Models[0].Sent["track"] != 2 || st.OpenChanges != 0 {
			t.Errorf("%+v", st)
		}
		c.exec(row(4)) // the next call has nobody of the first
		c.want("case_01_after")
		if n := c.sizes(201); !slices.Equal(n, []int{3, 1}) {
			t.Errorf("calls of %v objects", n)
		}
	})
	t.Run("case 2: an index belongs to an array, not to the batch", func(t *testing.T) {
		t.Parallel()
		c := newCase(t, rigConfig{models: []connector.Model{baseModel(), eventModel(1, "visits", "visited", "id")}}, baseFull, `CREATE TABLE visits(id int PRIMARY KEY, user_id text)`)
		c.fault(brazesim.Fault{Endpoint: "/users/track", Count: 1, Items: []brazesim.ItemFault{{ExternalIDs: []string{"u2", "u3"}, Type: "no"}}})
		c.sql(row(1), row(2), `INSERT INTO visits VALUES (1, 'u3'), (2, 'u4')`)
		c.quiet()
		sent := c.tracks("")
		if len(sent) != 1 {
			t.Fatalf("calls %q", bodies(sent))
		}
		for _, part := range []string{`"input_array":"events","index":0`, `"input_array":"attributes","index":1`} {
			if !strings.Contains(string(sent[0].Answer), part) {
				t.Errorf("the answer is not the case's: %s", sent[0].Answer)
			}
		}
		if a, b := c.entry("u3"), c.entry("u2"); a.Model != "visits" || !strings.HasPrefix(a.Key.ID, "1@") || b.Model != "users" || b.Key.ID != "2" {
			t.Errorf("entries %q", c.quarantined())
		}
		if p, ok := c.sim.Profile("u4"); !ok || len(p.Events) != 1 {
			t.Errorf("the second event's user: %+v", p)
		}
		if _, ok := c.sim.Profile("u1"); !ok {
			t.Error("the first user did not arrive")
		}
	})
	t.Run("case 4: one row without an identifier does not sink the batch", func(t *testing.T) {
		t.Parallel()
		c := newCase(t, rigConfig{models: []connector.Model{baseModel()}}, baseFull)
		c.exec(`INSERT INTO users(id, external_id, plan) SELECT i, CASE i WHEN 40 THEN '' ELSE 'u' || i END, 'free' FROM generate_series(1, 75) i`)
		c.quiet()
		// One call, or two: what stands before the row may leave while that one is written down.
		sum, n := 0, c.sizes(0)
		for _, objects := range n {
			sum += objects
		}
		if sum != 74 || len(n) > 2 || c.sim.Stats().Profiles != 74 {
			t.Errorf("calls of %v objects, %d profiles; want 74 in one call or two", n, c.sim.Stats().Profiles)
		}
		if e := c.entry(""); e.Class != "mapping" || e.Key.ID != "40" {
			t.Errorf("%+v", e)
		}
	})
	t.Run("case 6: failed without why: each cause with status, endpoint, request id and next step", func(t *testing.T) {
		t.Parallel()
		id := map[string]string{"X-Request-Id": "r-17"}
		c := newCase(t, rigConfig{models: []connector.Model{baseModel()}, tune: func(c *connector.Config, _ *braze.Config) { c.Drain = 100 * time.Millisecond }}, baseFull)
		last := func(what string, parts ...string) {
			t.Helper()
			c.wait(what, func() bool { return strings.Contains(c.run.p.Status().Sink.LastError, parts[0]) })
			for _, p := range parts {
				if have := c.run.p.Status().Sink.LastError; !strings.Contains(have, p) {
					t.Errorf("%s: %q is not in %q", what, p, have)
				}
			}
		}
		c.fault(brazesim.Fault{Count: 1, Status: 429, Headers: map[string]string{"X-Request-Id": "r-17", "Retry-After": "1"}})
		c.exec(row(1))
		last("the throttled call", "429 Too Many Requests", "POST /users/track", "r-17")
		c.quiet()
		c.fault(brazesim.Fault{Items: []brazesim.ItemFault{{ExternalIDs: []string{"u2"}, Type: "bad email"}, {ExternalIDs: []string{"u3"}, Type: "bad phone"}}})
		c.sql(row(2), row(3))
		c.quiet()
		if a, b := c.entry("u2").Reason, c.entry("u3").Reason; a != "bad email" || b != "bad phone" {
			t.Errorf("two errors of one answer are told as %q and %q", a, b)
		}
		c.sim.ClearFaults("")
		c.fault(brazesim.Fault{Status: 401, Headers: id, Body: `{"message":"Invalid API key"}`})
		c.exec(row(4))
		run := c.run
		<-run.ended
		for _, part := range []string{"401 Unauthorized", "POST /users/track", "r-17", "the key lacks users.track", "fix: make a key with the permission users.track"} {
			if !strings.Contains(fmt.Sprint(run.err), part) {
				t.Errorf("%q is not in %v", part, run.err)
			}
		}
		c.kill()
		c.sim.ClearFaults("")
		c.start()
		c.quiet()
		if err := c.sim.Close(); err != nil {
			t.Fatal(err)
		}
		c.exec(row(5))
		last("the call that nobody took", "connection refused", "POST /users/track")
	})
	t.Run("case 7: permanent refusal of a whole call: it is split until the culprit stands alone", func(t *testing.T) {
		t.Parallel()
		c := newCase(t, rigConfig{models: []connector.Model{baseModel()}}, baseFull)
		c.fault(brazesim.Fault{Endpoint: "/users/track", Status: 400, Body: `{"message":"no"}`, ExternalIDs: []string{"u3"}})
		c.sql(row(1), row(2), row(3), row(4), `UPDATE users SET plan = 'pro'`)
		c.quiet()
		if n := len(c.tracks("")); n > 8 { // 2·log2 n + n
			t.Errorf("%d calls: %v", n, c.sizes(0))
		}
		if e := c.entry("u3"); e.Class != "rejected" || !strings.Contains(e.Reason, "400") {
			t.Errorf("%+v", e)
		}
		for _, user := range []string{"u1", "u2", "u4"} {
			done := slices.DeleteFunc(c.tracks(`"`+user+`"`), func(r brazesim.Request) bool { return r.Status != 201 })
			if p, _ := c.sim.Profile(user); len(done) != 1 || string(p.Custom["plan"]) != `"pro"` {
				t.Errorf("%s was accepted %d times, plan %s", user, len(done), p.Custom["plan"])
			}
		}
		c.together()
	})
	t.Run("case 82: permanent 4xx retried for ever: a row that is refused alone has one try", func(t *testing.T) {
		t.Parallel()
		c := newCase(t, rigConfig{models: []connector.Model{baseModel()}}, baseFull)
		c.fault(brazesim.Fault{Endpoint: "/users/track", Status: 400})
		c.exec(row(1))
		c.quiet()
		if e := c.entry("u1"); e.Class != "rejected" || len(c.tracks("")) != 1 {
			t.Errorf("%d calls, entry %+v", len(c.tracks("")), e)
		}
	})
	t.Run("case 8: retries used up on one message: it is given up, others are delivered", func(t *testing.T) {
		t.Parallel()
		c := newCase(t, rigConfig{models: []connector.Model{baseModel()}, tune: func(c *connector.Config, _ *braze.Config) { c.Attempts = 3 }}, baseFull)
		c.fault(brazesim.Fault{Endpoint: "/users/track", Status: 500, ExternalIDs: []string{"u1"}})
		c.exec(row(1))
		n := 1
		c.wait("u1 to be given up", func() bool {
			n++ // attempts count only while other calls succeed
			c.exec(row(n))
			return len(c.quarantined()) > 0
		})
		c.quiet()
		if e := c.entry("u1"); e.Class != "attempts" || e.Attempts != 3 || !strings.Contains(e.Reason, "500") {
			t.Errorf("%+v", e)
		}
		if have := c.sim.Stats().Profiles; have != n-1 {
			t.Errorf("%d profiles of %d", have, n-1)
		}
	})
	t.Run("case 8: where every call fails nothing is given up, reading stops and the position stays", func(t *testing.T) {
		t.Parallel()
		c := newCase(t, rigConfig{models: []connector.Model{baseModel()}, tune: func(c *connector.Config, _ *braze.Config) { c.Attempts, c.OpenChanges = 3, 1 }}, baseFull)
		c.fault(brazesim.Fault{Status: 503})
		c.exec(row(1))
		c.wait("the first attempt", func() bool { return len(c.tracks("")) > 0 })
		for n := range 29 {
			c.exec(row(n + 2))
		}
		c.wait("more attempts than a row has", func() bool { return len(c.tracks(`"u1"`)) > 4 })
		st := c.run.p.Status()
		if st.Quarantine != 0 || st.OpenChanges != 1 || st.LagSeconds <= 0 || st.Models[0].Changes["insert"] > 1 {
			t.Errorf("%d open changes, %d read, %v s behind, quarantine %q", st.OpenChanges, st.Models[0].Changes["insert"], st.LagSeconds, c.quarantined())
		}
		c.sim.ClearFaults("")
		c.quiet()
		if have := c.sim.Stats().Profiles; have != 30 || len(c.quarantined()) != 0 {
			t.Errorf("%d profiles, quarantine %q", have, c.quarantined())
		}
	})
	t.Run("case 10: an error page in HTML is retried, and its first 500 characters are kept", func(t *testing.T) {
		t.Parallel()
		c := newCase(t, rigConfig{models: []connector.Model{baseModel()}}, baseFull)
		page := "<html><h1>Bad Gateway</h1>" + strings.Repeat("x", 600) + "</html>"
		c.fault(brazesim.Fault{Endpoint: "/users/track", Count: 1, Status: 502, Body: page, Headers: map[string]string{"Content-Type": "text/html"}})
		c.exec(row(1))
		c.want("base")
		if have := c.run.p.Status().Sink.LastError; !strings.Contains(have, page[:499]) || strings.Contains(have, page[:501]) {
			t.Errorf("kept of the page: %q", have)
		}
	})
	t.Run("case 74: timeout, result unknown: attributes and groups go again", func(t *testing.T) {
		t.Parallel()
		c := full(t, baseModel(grouped("newsletter", sideGroup)), 1)
		c.fault(brazesim.Fault{Endpoint: "/users/track", Count: 1, Cut: brazesim.CutAfter})
		c.update("plan = 'pro', newsletter = false")
		c.want("case_74")
		if sent := c.tracks(`"pro"`); len(sent) != 2 || string(sent[0].Body) != string(sent[1].Body) {
			t.Errorf("calls %q", bodies(sent))
		}
	})
	t.Run("case 74: timeout, result unknown: an event goes again, or is held where the setting says so", func(t *testing.T) {
		t.Parallel()
		for _, hold := range []bool{false, true} {
			c := newCase(t, rigConfig{models: []connector.Model{baseModel(), eventModel(1, "visits", "visited", "id")}, tune: func(c *connector.Config, b *braze.Config) {
				c.HoldUnknown, b.Timeout = hold, 300*time.Millisecond
			}}, baseFull, `CREATE TABLE visits(id int PRIMARY KEY, user_id text)`)
			c.fault(brazesim.Fault{Endpoint: "/users/track", Count: 1, Delay: time.Minute}) // the reply never comes
			c.sql(row(1), `INSERT INTO visits VALUES (1, 'u1')`)
			c.quiet()
			sent, held := c.tracks(`"visited"`), c.quarantined()
			if hold && (len(sent) != 1 || len(held) != 1 || c.entry("u1").Class != "unknown" || c.entry("u1").Model != "visits") || !hold && (len(sent) != 2 || len(held) != 0) {
				t.Errorf("hold %v: %d calls with the event, quarantine %q", hold, len(sent), held)
			}
			if _, ok := c.sim.Profile("u1"); !ok {
				t.Errorf("hold %v: the attributes did not arrive", hold)
			}
		}
	})
	t.Run("case 75: 202 queued counts as success, and is told", func(t *testing.T) {
		t.Parallel()
		var queued atomic.Int64
		c := newCase(t, rigConfig{models: []connector.Model{baseModel()}, tune: func(_ *connector.Config, b *braze.Config) {
			b.OnCall = func(i braze.CallInfo) {
				if i.Queued {
					queued.Add(1)
				}
			}
		}}, baseFull)
		c.fault(brazesim.Fault{Endpoint: "/users/track", Count: 1, Status: 202, Effect: true, Body: `{"message":"queued"}`})
		c.exec(row(1))
		c.quiet()
		st := c.run.p.Status()
		if st.Models[0].Sent["track"] != 1 || queued.Load() != 1 || len(c.tracks("")) != 1 || len(c.quarantined()) != 0 {
			t.Errorf("%d queued, %d calls, %+v", queued.Load(), len(c.tracks("")), st)
		}
		if n := slices.MaxFunc(st.Sink.Endpoints, func(a, b connector.EndpointHealth) int { return cmp.Compare(a.Codes["202"], b.Codes["202"]) }).Codes["202"]; n != 1 {
			t.Errorf("%d answers of 202 are shown", n)
		}
		c.update("plan = 'pro'") // it is known by now
		if sent := c.calls(); len(sent) != 1 || strings.Contains(string(sent[0].Body), "Aya") {
			t.Errorf("calls %s", sent)
		}
	})
}
