package connector_test

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/braze"
	"brazecdc/connector/braze/brazesim"
)

// TestCasesOfRates goes from real rows to when their calls leave, and how much is in each.
func TestCasesOfRates(t *testing.T) {
	t.Parallel()
	t.Run("case 11: 429 is not counted as a failure", func(t *testing.T) {
		t.Parallel()
		var tries, ended atomic.Int64
		c := newCase(t, rigConfig{models: []connector.Model{baseModel()}, tune: func(c *connector.Config, _ *braze.Config) {
			c.Attempts = 1
			c.Ended = func(e *connector.Ending) {
				tries.Add(int64(e.Tries))
				if e.Outcome == "accepted" {
					ended.Add(1)
				}
			}
		}}, baseFull)
		c.fault(brazesim.Fault{Endpoint: "/users/track", Count: 3, Status: 429, Headers: map[string]string{"X-RateLimit-Retry-After": "1"}})
		var rows []string
		for n := range 50 {
			rows = append(rows, row(n+1))
		}
		c.sql(rows...)
		c.quiet()
		if n := c.sizes(0); !slices.Equal(n, []int{50, 50, 50, 50}) {
			t.Errorf("calls of %v objects", n)
		}
		m := c.run.p.Metrics()
		if given := m.Models[0].GivenUp[connector.Track].Load(); tries.Load() != 0 || ended.Load() != 50 || given != 0 || len(c.quarantined()) != 0 {
			t.Errorf("%d failed attempts, %d accepted, %d given up, quarantine %q", tries.Load(), ended.Load(), given, c.quarantined())
		}
		if e := c.track(); e.Throttled < 3*time.Second || e.Codes["429"] != 3 {
			t.Errorf("throttled for %v, answers %v", e.Throttled, e.Codes)
		}
	})
	t.Run("case 12: wait time from headers, and no sender calls before", func(t *testing.T) {
		t.Parallel()
		in2s := func(form string) string {
			at := time.Now().Add(2 * time.Second)
			return map[string]string{"seconds": "2", "epoch": strconv.FormatInt(at.Unix(), 10), "date": at.UTC().Format(http.TimeFormat)}[form]
		}
		const clock = time.Second - 100*time.Millisecond // what whole seconds of a clock leave of two
		var waits []func()
		for _, one := range []struct {
			header, form string
			least        time.Duration
		}{
			{"X-RateLimit-Retry-After", "seconds", 2 * time.Second}, {"X-RateLimit-Reset", "seconds", 2 * time.Second}, {"X-RateLimit-Reset", "epoch", clock},
			{"Retry-After", "date", clock}, {"X-Other", "seconds", 500 * time.Millisecond}, // by itself
		} {
			c := newCase(t, rigConfig{models: []connector.Model{baseModel()}}, baseFull)
			c.fault(brazesim.Fault{Endpoint: "/users/track", Count: 1, Status: 429, Headers: map[string]string{one.header: in2s(one.form)}})
			c.exec(row(1))
			c.wait("the client has heard the refusal", func() bool { return c.track().Codes["429"] == 1 })
			for n := range 5 { // more senders want to
				c.exec(row(n + 2))
			}
			waits = append(waits, func() { // all of them at once
				c.quiet()
				sent := c.tracks("")
				if waited := sent[1].Time.Sub(sent[0].Time); waited < one.least {
					t.Errorf("%s in %s: the next call came after %v, want at least %v", one.header, one.form, waited, one.least)
				}
				if len(c.sizes(429)) != 1 || c.sim.Stats().Profiles != 6 {
					t.Errorf("%s in %s: %d refused, %d profiles", one.header, one.form, len(c.sizes(429)), c.sim.Stats().Profiles)
				}
			})
		}
		c := newCase(t, rigConfig{models: []connector.Model{baseModel()}}, baseFull)
		c.fault(brazesim.Fault{Endpoint: "/users/track", Count: 1, Headers: map[string]string{"X-RateLimit-Limit": "3000", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "2"}})
		c.exec(row(1))
		c.quiet()
		c.exec(row(2))
		for _, wait := range waits {
			wait()
		}
		c.quiet()
		if sent := c.tracks(""); len(sent) != 2 || sent[1].Time.Sub(sent[0].Time) < 2*time.Second {
			t.Errorf("Remaining 0 on a 201: calls %q", bodies(sent))
		}
	})
	// A row is one purchase: an order with 76 products is the 76 rows of its products, in one transaction. An order that is one row carries them in one event.
	t.Run("case 13: the limit counts objects: 76 products of one order, and of the two calls only the failed one again", func(t *testing.T) {
		t.Parallel()
		for limit, want := range map[int][]int{75: {75, 1, 1}, 50: {50, 26, 26}} {
			c := newCase(t, rigConfig{models: []connector.Model{purchaseModel(0, "items")}, tune: func(_ *connector.Config, b *braze.Config) { b.ObjectsPerRequest = limit }}, itemsTable)
			c.fault(brazesim.Fault{Endpoint: "/users/track", Count: 1, Status: 500, ExternalIDs: []string{"sku-76"}})
			c.exec(`INSERT INTO items SELECT i, 'u1', 'shoe', 'EUR', 9.5, 1, 'sku-' || i FROM generate_series(1, 76) i`)
			c.quiet()
			if n := c.sizes(0); !slices.Equal(n, want) {
				t.Errorf("limit %d: calls of %v objects, want %v", limit, n, want)
			}
			if p, _ := c.sim.Profile("u1"); len(p.Purchases) != 76 {
				t.Errorf("limit %d: %d purchases", limit, len(p.Purchases))
			}
		}
	})
	t.Run("case 13: the limit counts objects: forty profiles and forty events", func(t *testing.T) {
		t.Parallel()
		for limit, want := range map[int][]int{75: {75, 5}, 50: {50, 30}} {
			c := newCase(t, rigConfig{models: []connector.Model{baseModel(), eventModel(1, "visits", "visited", "id")}, tune: func(_ *connector.Config, b *braze.Config) { b.ObjectsPerRequest = limit }},
				baseFull, `CREATE TABLE visits(id int PRIMARY KEY, user_id text)`)
			c.sql(`INSERT INTO users(id, external_id, plan) SELECT i, 'u' || i, 'free' FROM generate_series(1, 40) i`, `INSERT INTO visits SELECT i, 'v' || i FROM generate_series(1, 40) i`)
			c.quiet()
			n := c.sizes(0)
			slices.SortFunc(n, func(a, b int) int { return b - a })
			if !slices.Equal(n, want) {
				t.Errorf("limit %d: calls of %v objects, want %v", limit, n, want)
			}
		}
	})
	t.Run("case 71: sizes: 75 rows of 80 KB are split below 4 MB and below 75", func(t *testing.T) {
		t.Parallel()
		c := newCase(t, rigConfig{models: []connector.Model{baseModel()}, sim: brazesim.Config{LogBytes: 64 << 20}}, baseFull)
		c.exec(`INSERT INTO users(id, external_id, prefs) SELECT i, 'u' || i, jsonb_build_object('a', (SELECT jsonb_agg(repeat('x', 200)) FROM generate_series(1, 395))) FROM generate_series(1, 75) i`)
		c.quiet()
		sum := 0
		for _, r := range c.tracks("") {
			if len(r.Body) >= 4<<20 || len(r.Body) < 60<<10 {
				t.Errorf("a body of %d bytes", len(r.Body))
			}
		}
		for _, n := range c.sizes(201) {
			sum += n
			if n >= 75 {
				t.Errorf("a call of %d objects", n)
			}
		}
		if sum != 75 || c.sim.Stats().Profiles != 75 {
			t.Errorf("%d objects, %d profiles", sum, c.sim.Stats().Profiles)
		}
	})
}

// track gives what the client tells of /users/track.
func (c *caseRig) track() connector.EndpointHealth {
	c.t.Helper()
	for _, e := range c.run.p.Status().Sink.Endpoints {
		if strings.HasSuffix(e.Endpoint, "/users/track") {
			return e
		}
	}
	c.t.Fatal("nothing is told of /users/track")
	return connector.EndpointHealth{}
}

const itemsTable = `CREATE TABLE items(id int PRIMARY KEY, user_id text, product text, currency text, price numeric(10,2), qty int, sku text)`

// purchaseModel sends each row of itemsTable as a purchase.
func purchaseModel(n int, table string) connector.Model {
	m := eventModel(n, table, "", "sku")
	m.Kind = "purchases"
	m.Event.Path = m.Path + ".purchase"
	m.Event.Name = connector.NameFrom{Column: "product", OneOf: []string{"shoe", "sock"}}
	for from, column := range map[*connector.ValueFrom]string{&m.Event.Currency: "currency", &m.Event.Price: "price", &m.Event.Quantity: "qty"} {
		from.Column = column
	}
	return m
}
