package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"brazecdc/connector"
	"brazecdc/connector/braze/brazesim"
)

var slotNamed = regexp.MustCompile(`slot: ([a-z0-9_]+)`)

// TestExitOfRun ends processes by what each code stands for. 13, 18, 19 and 31 need a damaged record, another server, a promoted one and a full disk: the tests of
// connector/postgres and connector/state bring those about. TestExitCodes, TestStopping, TestRun and the tests of Kafka hold the others.
func TestExitOfRun(t *testing.T) {
	t.Parallel()
	ends := func(t *testing.T, b *bench, code int, says ...string) {
		t.Helper()
		r := b.brazecdc("run")
		if r.code != code {
			t.Errorf("exit code %d, want %d\n%s", r.code, code, r.err)
		}
		wantIn(t, r.err, says...)
		s := b.status()
		if s.State != "stopped" || s.LastStop == nil || s.LastStop.Code != code {
			t.Errorf("status tells %s, %+v", s.State, s.LastStop)
		}
	}
	t.Run("11: the login is refused", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, plainModel)
		b.env = append(b.env, "DATABASE_URL="+regexp.MustCompile(`/[^/?]+(\?|$)`).ReplaceAllString(b.db.Config().ConnString(), "/no_such_database$1"))
		ends(t, b, connector.ExitRights, "no_such_database", "fix:")
	})
	t.Run("12: the slot is gone", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, plainModel)
		b.exec(`INSERT INTO users (id, plan) VALUES ('u-1', 'pro')`)
		p := b.run()
		b.arrives("u-1", "plan", `"pro"`)
		p.stop()
		b.exec(fmt.Sprintf(`SELECT pg_drop_replication_slot('%s')`, slotNamed.FindStringSubmatch(b.text)[1]))
		ends(t, b, connector.ExitSlotLost, "fix:")
	})
	t.Run("14: the slot is in use, and nobody is to wait", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, plainModel)
		p := b.run()
		second := *b
		second.dir = shortDir(t)
		second.write(b.text)
		r := second.brazecdc("run", "--no-wait")
		if r.code != connector.ExitSlotInUse {
			t.Errorf("exit code %d", r.code)
		}
		wantIn(t, r.err, "is used by process")
		b.edit("drain: 10s", "drain: 11s")
		b.reload(p, true)
		if code := p.stop(); code != 0 {
			t.Errorf("the first process: exit code %d", code)
		}
		free := start(t, second.env, "run", "--no-wait", "--config", second.config())
		second.until("it works once the slot is free", func() bool { return strings.Contains(free.err.String(), "replication started") })
		second.edit("drain: 10s", "drain: 11s")
		second.reload(free, true) // its own slot is no other process'
		if code := free.stop(); code != 0 {
			t.Errorf("alone: exit code %d", code)
		}
	})
	t.Run("14: the group has members, and nobody is to join them", func(t *testing.T) {
		t.Parallel()
		b, _ := newTopicBench(t, 1, topicModel)
		p := b.run()
		second := *b
		second.dir = shortDir(t)
		second.write(b.text)
		r := second.brazecdc("run", "--no-wait")
		if r.code != connector.ExitSlotInUse {
			t.Errorf("exit code %d", r.code)
		}
		wantIn(t, r.err, `group "shop" has live members`)
		if code := p.stop(); code != 0 {
			t.Errorf("the first process: exit code %d", code)
		}
	})
	t.Run("17: the slot is another plugin's", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, plainModel)
		b.exec(fmt.Sprintf(`SELECT pg_create_logical_replication_slot('%s', 'test_decoding')`, slotNamed.FindStringSubmatch(b.text)[1]))
		ends(t, b, connector.ExitForeignSlot, "test_decoding", "fix:")
	})
	t.Run("21: the endpoint is none of Braze's", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, plainModel)
		other := httptest.NewServer(http.NotFoundHandler())
		t.Cleanup(other.Close)
		b.write(regexp.MustCompile(`endpoint: \S+`).ReplaceAllString(b.text, "endpoint: "+other.URL))
		b.exec(`INSERT INTO users (id, plan) VALUES ('u-1', 'pro')`)
		ends(t, b, connector.ExitEndpointWrong, "is not a Braze REST endpoint", "fix:")
	})
	t.Run("40: a second SIGTERM ends it at once, and what was open comes again", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, plainModel)
		p := b.run()
		b.fault(brazesim.Fault{Endpoint: "/users/track", Status: 503})
		b.exec(`INSERT INTO users (id, plan) VALUES ('u-1', 'pro')`)
		b.until("Braze was asked", func() bool { return b.sim.Stats().Endpoints["/users/track"].Requests > 0 })
		p.signal(syscall.SIGTERM)
		b.until("it drains", func() bool { return b.status().State == "draining" })
		b.until("it ends", func() bool {
			_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
			return p.ended()
		})
		if code := p.wait(); code != connector.ExitDeadline {
			t.Errorf("exit code %d", code)
		}
		b.sim.ClearFaults("")
		b.run()
		b.arrives("u-1", "plan", `"pro"`)
	})
	t.Run("40: the deadline passes", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, plainModel)
		b.edit("drain: 10s", "drain: 1s")
		p := b.run()
		b.fault(brazesim.Fault{Endpoint: "/users/track", Status: 503})
		b.exec(`INSERT INTO users (id, plan) VALUES ('u-1', 'pro')`)
		b.until("Braze was asked", func() bool { return b.sim.Stats().Endpoints["/users/track"].Requests > 0 })
		if code := p.stop(); code != connector.ExitDeadline {
			t.Errorf("exit code %d", code)
		}
		wantIn(t, p.err.String(), "stopped with 1 change not yet accepted")
	})
}

func TestCheckJSON(t *testing.T) {
	t.Parallel()
	b := newBench(t, plainModel)
	type found struct{ Group, Area, What, Fix string }
	look := func(code int) (all []found) {
		t.Helper()
		r := b.brazecdc("check", "--json")
		if err := json.Unmarshal([]byte(r.out), &all); err != nil || r.code != code || len(all) == 0 {
			t.Fatalf("exit code %d, want %d; %v\n%s%s", r.code, code, err, r.out, r.err)
		}
		return all
	}
	for _, f := range look(0) {
		if f.Group == mustFix || f.Area == "" || f.What == "" {
			t.Errorf("%+v", f)
		}
	}
	b.edit("plan: plan", "plan: plann")
	bad := 0
	for _, f := range look(connector.ExitFaults) {
		if f.Group == mustFix {
			bad++
			if f.Fix == "" || !strings.Contains(f.What, "plann") {
				t.Errorf("%+v", f)
			}
		}
	}
	if bad != 1 {
		t.Errorf("%d faults", bad)
	}
}
