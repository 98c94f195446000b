package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/braze/brazesim"
	"brazecdc/connector/control"
)

func (b *bench) get(path string, header ...string) (int, string) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, "http://"+b.listen+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	if len(header) > 0 {
		req.Host = header[0]
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func (b *bench) status() *control.Status {
	b.t.Helper()
	var s control.Status
	if err := json.Unmarshal([]byte(b.must("status", "--json")), &s); err != nil {
		b.t.Fatal(err)
	}
	return &s
}

func TestRun(t *testing.T) {
	t.Parallel()
	b := newBench(t, plainModel)
	b.exec(`INSERT INTO users SELECT 'u-' || i, 'u' || i || '@example.com', 'Ada', 'free', i FROM generate_series(1, 150) i; ANALYZE users`)
	p := b.run()

	t.Run("says at the first start what it will do", func(t *testing.T) {
		wantIn(t, p.out.String(), `First start of workspace "test"`, `publication "brazecdc"`, `replication slot "t_`, "users: load all: about 150 users, 2 calls, under a minute",
			"can start campaigns")
	})
	t.Run("loads what is there and follows what changes", func(t *testing.T) {
		b.arrives("u-150", "plan", `"free"`)
		b.exec(`UPDATE users SET plan = 'pro', credits = 7.5 WHERE id = 'u-7'; DELETE FROM users WHERE id = 'u-8'`)
		b.arrives("u-7", "plan", `"pro"`)
		b.arrives("u-7", "credits", `7.5`)
		b.until("u-8 is deleted", func() bool { _, ok := b.sim.Profile("u-8"); return !ok })
	})
	t.Run("answers on its listener", func(t *testing.T) {
		for path, want := range map[string]string{"/livez": "ok\n", "/readyz": "ok\n", "/readyz?verbose": "[+] source: connected", "/status": `"state": "running"`, "/metrics": "brazecdc_"} {
			if code, body := b.get(path); code != 200 || !strings.Contains(body, want) {
				t.Errorf("%s: %d %s", path, code, body)
			}
		}
	})
	t.Run("does not answer a foreign host name on loopback", func(t *testing.T) {
		if code, _ := b.get("/status", "evil.example.com"); code != http.StatusMisdirectedRequest {
			t.Errorf("status %d", code)
		}
	})
	t.Run("tells its status without row values or secrets", func(t *testing.T) {
		s := b.status()
		if s.State != "running" || !s.Ready || s.PID != p.cmd.Process.Pid || len(s.Models) != 1 || s.Models[0].Changes["snapshot"] != 150 {
			t.Errorf("%+v", s)
		}
		text := b.must("status") + b.must("status", "--json")
		for _, secret := range []string{testKey, "example.com", "Ada"} {
			if strings.Contains(text, secret) {
				t.Errorf("status shows %q", secret)
			}
		}
		wantIn(t, b.must("status"), "running", "users", "public.users", "150 snapshot", "load of users: 150 rows, done", "confirmed")
	})
	t.Run("sends one row on request", func(t *testing.T) {
		b.sim.Reset()
		wantIn(t, b.must("send", "--model", "users", "--key", "u-9", "--yes"), "POST /users/track", "Through the running process")
		b.arrives("u-9", "first_name", `"Ada"`)
	})
	t.Run("keeps a second process away", func(t *testing.T) {
		if r := b.brazecdc("run"); r.code != connector.ExitStoreLocked {
			t.Errorf("exit code %d, %s", r.code, r.err)
		}
		if b.status().PID != p.cmd.Process.Pid {
			t.Error("the second process took the socket away")
		}
	})
	t.Run("keeps its slot while it runs", func(t *testing.T) {
		if r := b.brazecdc("teardown", "--yes"); r.code != connector.ExitSlotInUse {
			t.Errorf("exit code %d, %s", r.code, r.err)
		}
	})
	t.Run("ends on SIGTERM with everything confirmed", func(t *testing.T) {
		if code := p.stop(); code != 0 {
			t.Fatalf("exit code %d", code)
		}
		s := b.status()
		if s.State != "stopped" || s.PID != 0 || s.LastStop == nil || s.LastStop.Code != 0 || len(s.Streams) == 0 {
			t.Errorf("%+v", s)
		}
		wantIn(t, b.must("status"), "stopped", "stopped on request, everything confirmed")
		if left, err := os.ReadDir(filepath.Join(b.dir, "data")); err != nil || strings.Contains(strings.Join(names(left), " "), ".sock") {
			t.Errorf("data/ holds %v, %v", names(left), err)
		}
	})
	t.Run("goes on where it stopped and says nothing of a first start", func(t *testing.T) {
		b.exec(`UPDATE users SET plan = 'team' WHERE id = 'u-10'`)
		p = b.run()
		b.arrives("u-10", "plan", `"team"`)
		if strings.Contains(p.out.String(), "First start") {
			t.Errorf("it printed %s", p.out.String())
		}
		if code := p.stop(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
	t.Run("drops slot and publication after naming them", func(t *testing.T) {
		if r := b.brazecdc("teardown"); r.code != exitUsage {
			t.Errorf("without a terminal and --yes: exit code %d", r.code)
		}
		wantIn(t, b.must("teardown", "--yes"), `replication slot "t_`, `publication "brazecdc"`, "Dropped")
		wantIn(t, b.must("teardown", "--yes"), "Nothing to do")
	})
}

func names(entries []os.DirEntry) []string {
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestStopping(t *testing.T) {
	t.Parallel()
	t.Run("delivers what is open before it ends", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, plainModel)
		p := b.run()
		if err := b.sim.Faults(brazesim.Fault{Endpoint: "/users/track", Count: 1, Delay: 700 * time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		b.exec(`INSERT INTO users (id, plan) VALUES ('u-1', 'pro')`)
		b.until("the call is under way", func() bool { return b.sim.Stats().Open > 0 })
		p.signal(syscall.SIGTERM)
		if code := p.wait(); code != 0 || b.profile("u-1", "plan") != `"pro"` {
			t.Errorf("exit code %d, profile %q", code, b.profile("u-1", "plan"))
		}
	})
	t.Run("ends at once at a second signal and repeats what was open", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, plainModel)
		p := b.run()
		if err := b.sim.Faults(brazesim.Fault{Endpoint: "/users/track", Status: 503}); err != nil {
			t.Fatal(err)
		}
		b.exec(`INSERT INTO users (id, plan) VALUES ('u-1', 'pro')`)
		b.until("Braze was asked", func() bool { return b.sim.Stats().Endpoints["/users/track"].Requests > 0 })
		p.signal(syscall.SIGINT)
		b.until("it drains", func() bool { return strings.Contains(p.err.String(), "a second signal ends at once") })
		// Signals in quick succession count as one, so that it takes a while until one is the second.
		b.until("it ends", func() bool {
			_ = p.cmd.Process.Signal(syscall.SIGINT) // it may have ended
			return p.ended()
		})
		if code := p.wait(); code != connector.ExitDeadline {
			t.Fatalf("exit code %d", code)
		}
		if s := b.status(); s.LastStop == nil || s.LastStop.Code != connector.ExitDeadline {
			t.Errorf("%+v", s.LastStop)
		}
		b.sim.ClearFaults("")
		b.run()
		b.arrives("u-1", "plan", `"pro"`)
	})
	t.Run("stops and says why when Braze refuses the key", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, plainModel)
		b.exec(`INSERT INTO users (id, plan) VALUES ('u-1', 'pro')`)
		if err := b.sim.Faults(brazesim.Fault{Status: 401}); err != nil {
			t.Fatal(err)
		}
		p := b.runUnready()
		if code := p.wait(); code != connector.ExitKeyRefused {
			t.Fatalf("exit code %d", code)
		}
		wantIn(t, p.err.String(), "fix:", "braze.api_key")
		if strings.Contains(p.err.String(), testKey) {
			t.Error("the key is in the output")
		}
		wantIn(t, b.must("status"), "last stop", "exit code 20")
		b.env = slices.DeleteFunc(slices.Clone(b.env), func(v string) bool {
			return strings.HasPrefix(v, "DATABASE_URL=") || strings.HasPrefix(v, "BRAZE_API_KEY=")
		})
		wantIn(t, b.must("status"), "last stop", "exit code 20", "position slot/", "users  public.users")
		b.write(regexp.MustCompile(`endpoint: \S+`).ReplaceAllLiteralString(b.text, "endpoint: ${NOT_SET_HERE}")) // as init writes it
		wantIn(t, b.must("status"), "last stop", "position slot/")
		if r := b.brazecdc("check"); r.code != 4 && r.code != 3 {
			t.Errorf("exit code %d of a check without the variables", r.code)
		}
		b.write(strings.Replace(b.text, "mode: sync", "mode: synk", 1))
		r := b.brazecdc("status")
		if r.code != 3 {
			t.Errorf("exit code %d of a status with a configuration that is not whole", r.code)
		}
		wantIn(t, r.out, "last stop", "exit code 20")
	})
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	b := newBench(t, plainModel)
	text := b.text
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	for _, c := range []struct {
		name     string
		args     []string
		old, new string
		code     int
		want     string
	}{
		{"an unknown command", []string{"runn"}, "", "", 2, "unknown command"},
		{"an unknown flag", []string{"run", "--fast"}, "", "", 2, "unknown flag"},
		{"too many arguments", []string{"status", "now"}, "", "", 2, "now"},
		{"a flag that is missing", []string{"preview"}, "", "", 2, "--model"},
		{"a model that does not exist", []string{"preview", "--model", "nobody"}, "", "", 2, "users"},
		{"a bad entry number", []string{"quarantine", "show", "x"}, "", "", 2, "no number"},
		{"an invalid configuration", []string{"run"}, "mode: sync", "mode: synk", 3, "brazecdc.yaml:17:"},
		{"a setting with a word it does not know", []string{"run"}, "web: {", "web: { counts: full,", 3, "web.counts"},
		{"a column that does not exist", []string{"run"}, "plan: plan", "plan: plann", 3, "plan"},
		{"a database that does not answer", []string{"run"}, `url: "${DATABASE_URL}"`, "url: postgres://postgres@127.0.0.1:1/none", 10, "127.0.0.1"},
		{"a port that is taken", []string{"run"}, `listen: "127.0.0.1:0"`, `listen: "` + taken.Addr().String() + `"`, 1, "another process uses this port"},
		{"a table that does not exist", []string{"run"}, "table: public.users", "table: public.user", 16, "public.user"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b.t = t
			b.write(strings.Replace(text, c.old, c.new, 1))
			if c.name == "a database that does not answer" {
				b.edit("start_timeout: 5s", "start_timeout: 1s")
			}
			r := b.brazecdc(c.args...)
			if r.code != c.code || !strings.Contains(r.err, c.want) {
				t.Errorf("exit code %d, want %d; %q is to be in\n%s", r.code, c.code, c.want, r.err)
			}
		})
	}
	t.Run("leaves the reason of a failed start for status", func(t *testing.T) {
		b.t = t
		b.write(text)
		wantIn(t, b.must("status"), "stopped", "exit code 16", "public.user")
	})
	t.Run("a configuration that is missing", func(t *testing.T) {
		r := runCommand(t, b.env, "run", "--config", filepath.Join(b.dir, "none.yaml"))
		if r.code != 3 {
			t.Errorf("exit code %d", r.code)
		}
		wantIn(t, r.err, "none.yaml", "brazecdc init")
	})
}
