package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"brazecdc/connector"
	"brazecdc/connector/braze/brazesim"
	"brazecdc/connector/postgres/throwaway"
	"brazecdc/connector/state"
)

var slotNamed = regexp.MustCompile(`slot: ([a-z0-9_]+)`)

// TestExitOfRun ends processes by what each code stands for. TestExitCodes holds 1, 2, 3, 10 and 16, TestStopping 0 and 20, TestRun 30, TestCheckJSON 4, and
// TestKafkaForeseen and TestKafkaStateLost 15. That a server was promoted, which 19 stands for as well, is a matter of the tests of connector/postgres.
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
	t.Run("13: the record of the slot is damaged, and 19: it is ahead of the server", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, plainModel)
		if code := b.run().stop(); code != 0 {
			t.Fatalf("exit code %d", code)
		}
		stream := "slot/" + slotNamed.FindStringSubmatch(b.text)[1]
		b.record(connector.Recorded{Position: connector.Position{Stream: stream, Offset: 1 << 50}})
		ends(t, b, connector.ExitOtherTimeline, "the server's log ends at", "fix:")
		b.record(connector.Recorded{Position: connector.Position{Stream: stream, Offset: 1 << 50}, Memo: []byte{1, 200}})
		ends(t, b, connector.ExitSlotMismatch, "the record of stream "+stream, "fix:")
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
	t.Run("18: the server is another one", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, plainModel)
		if code := b.run().stop(); code != 0 {
			t.Fatalf("exit code %d", code)
		}
		other := throwaway.ForTestConfig(t, throwaway.Config{OwnIdentifier: true})
		db, err := pgx.Connect(t.Context(), other.URL("postgres"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close(t.Context()) }()
		for _, sql := range []string{usersSchema, fmt.Sprintf(`SELECT pg_create_logical_replication_slot('%s', 'pgoutput')`, slotNamed.FindStringSubmatch(b.text)[1])} {
			if _, err := db.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
		b.env = append(b.env, "DATABASE_URL="+other.URL("postgres"))
		ends(t, b, connector.ExitOtherServer, "this is another server", "fix:")
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
	t.Run("31: data/ can't grow", func(t *testing.T) {
		t.Parallel()
		prlimit := needsProgram(t, "prlimit", "util-linux")
		b := newBench(t, plainModel)
		p := b.run()
		b.fault(brazesim.Fault{Endpoint: "/users/track", Items: []brazesim.ItemFault{{Type: "not liked"}}})
		if out, err := exec.CommandContext(t.Context(), prlimit, "--pid", strconv.Itoa(p.cmd.Process.Pid), "--fsize=300000").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		b.exec(`INSERT INTO users (id, plan) SELECT 'u-' || n, repeat('p', 200) FROM generate_series(1, 3000) n`)
		if code := p.wait(); code != connector.ExitDiskFull {
			t.Errorf("exit code %d", code)
		}
		wantIn(t, p.err.String(), "fix:")
		b.sim.ClearFaults("")
		b.run() // a restart helps, once there is room
		b.arrives("u-3000", "plan", `"`+strings.Repeat("p", 200)+`"`)
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

// record writes a position into data/ as if it had been recorded.
func (b *bench) record(at connector.Recorded) {
	b.t.Helper()
	data, err := state.OpenData(filepath.Join(b.dir, "data"), state.DataConfig{Workspace: "test", Endpoint: b.endpoint()})
	if err != nil {
		b.t.Fatal(err)
	}
	if err := errors.Join(data.Apply(b.t.Context(), &connector.Record{Positions: []connector.Recorded{at}}), data.Close()); err != nil {
		b.t.Fatal(err)
	}
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

// TestStartWaits asks a process that waits for its database: it is up, so nothing tells to stop or to start it, and its log says what it waits for.
func TestStartWaits(t *testing.T) {
	t.Parallel()
	b := newBench(t, plainModel)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.listen = l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	b.edit("127.0.0.1:0", b.listen)
	b.env = append(b.env, "DATABASE_URL=postgres://u:hunter2@127.0.0.1:1/x")
	p := b.runUnready()
	b.until("it says what it waits for", func() bool { return strings.Contains(p.err.String(), "waiting for the database") })
	for _, args := range [][]string{
		{"status"}, {"quarantine", "list"}, {"confirm"}, {"resync", "--model", "users", "--yes"}, {"forget", "--user", "u-1", "--yes"},
		{"log-level", "braze=debug", "--for", "1m"},
	} {
		r := b.brazecdc(args...)
		if r.code != connector.ExitStoreLocked {
			t.Errorf("%q: exit code %d\n%s", args, r.code, r.err)
		}
		wantIn(t, r.err, "is starting and looks at its source", "leave it running")
	}
	if strings.Contains(p.err.String(), "hunter2") {
		t.Error("the password is in the log")
	}
	p.stop()
}
