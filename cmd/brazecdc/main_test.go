package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"brazecdc/connector/braze/brazesim"
	kafkas "brazecdc/connector/kafka/throwaway"
	"brazecdc/connector/postgres/throwaway"
	"brazecdc/connector/sourcetest"
)

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if childOfFigures() {
			return m.Run()
		}
		dir, err := os.MkdirTemp("", "brazecdc-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }()
		defer throwaway.StopShared()
		defer kafkas.StopShared()
		binary = filepath.Join(dir, "brazecdc")
		if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build the program: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

const (
	testKey  = "test-key-4711"
	patience = 30 * time.Second // of a test for something that should happen at once
)

// usersSchema is the tables of the tests.
const usersSchema = `
CREATE TABLE users (id text PRIMARY KEY, email text, first_name text, plan text, credits numeric, note text);
ALTER TABLE users REPLICA IDENTITY FULL;`

// checkProbes are what Braze answers to the calls without content by which check learns what a key may do.
var checkProbes = []string{"Valid data must be provided", "At least one identifier must be given", "must be a non-empty array", "brazecdc-check-no-such-catalog"}

// bench is one test's own database, simulator, folder and configuration.
type bench struct {
	t      *testing.T
	dir    string
	url    string
	db     *pgx.Conn
	sim    *brazesim.Server
	env    []string
	listen string
	text   string   // of the configuration
	asked  []string // refusals that the test is about
}

// newBench sets up the tables of usersSchema and a configuration with the given model lines beside name, kind and table.
func newBench(t *testing.T, model string) *bench {
	t.Helper()
	b := &bench{t: t, dir: shortDir(t)}
	b.url = throwaway.Shared(t).TestDatabase(t)
	var err error
	if b.db, err = pgx.Connect(t.Context(), b.url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.db.Close(context.Background()) })
	b.exec(usersSchema)
	b.sim = brazesim.New(brazesim.Config{APIKey: testKey})
	endpoint, err := b.sim.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.sim.Close() })
	t.Cleanup(func() { sourcetest.NothingRefused(t, b.sim.Unasked(), append(checkProbes, b.asked...)...) })
	b.env = append(os.Environ(), "DATABASE_URL="+b.url, "BRAZE_API_KEY="+testKey, "TEST_ENDPOINT="+endpoint, "NO_COLOR=1")
	slot := "t_" + regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(filepath.Base(b.url)), "_")
	slot = strings.TrimSuffix(slot[:min(len(slot), 50)], "_")
	b.write(fmt.Sprintf(`version: 1
braze:
  workspace: test
  endpoint: %s
  api_key: ${BRAZE_API_KEY}
  user_gap: 20ms
  settle: 100ms
source:
  time_zone: UTC
  postgres: { url: "${DATABASE_URL}", slot: %s, publication: brazecdc, heartbeat: 1s, start_timeout: 5s }
web: { listen: "127.0.0.1:0" }
limits: { drain: 10s }
models:
  - name: users
    kind: users
    table: public.users
%s
`, endpoint, slot, indent(model)))
	return b
}

const plainModel = `mode: sync
load: all
identify: { external_id: id }
fields: { email: email, first_name: first_name }
custom: { plan: plan, credits: { column: credits, type: number } }`

func indent(s string) string { return "    " + strings.ReplaceAll(s, "\n", "\n    ") }

// shortDir is a folder whose path leaves room for a socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bcdc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (b *bench) config() string { return filepath.Join(b.dir, "brazecdc.yaml") }

func (b *bench) write(text string) {
	b.t.Helper()
	b.text = text
	if err := os.WriteFile(b.config(), []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// edit replaces one part of the configuration.
func (b *bench) edit(old, with string) {
	b.t.Helper()
	if !strings.Contains(b.text, old) {
		b.t.Fatalf("the configuration has no %q:\n%s", old, b.text)
	}
	b.write(strings.Replace(b.text, old, with, 1))
}

func (b *bench) exec(sql string) {
	b.t.Helper()
	if _, err := b.db.Exec(b.t.Context(), sql); err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
}

// result is how a command ended.
type result struct {
	out, err string
	code     int
}

// brazecdc runs one command to its end.
func (b *bench) brazecdc(args ...string) result {
	b.t.Helper()
	return runCommand(b.t, b.env, append(args, "--config", b.config())...)
}

// must runs a command that has to succeed and gives what it printed.
func (b *bench) must(args ...string) string {
	b.t.Helper()
	r := b.brazecdc(args...)
	if r.code != 0 {
		b.t.Fatalf("brazecdc %s: exit code %d\n%s%s", strings.Join(args, " "), r.code, r.out, r.err)
	}
	return r.out
}

func runCommand(t *testing.T, env []string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = env
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("brazecdc %v: %v", args, err)
	}
	return result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// output collects what a process prints, while it does.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// process is a command that keeps running.
type process struct {
	t        *testing.T
	cmd      *exec.Cmd
	out, err output
	done     chan struct{}
}

func start(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(binary, args...), done: make(chan struct{})}
	p.cmd.Env = env
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.err
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // the exit code tells
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
		if t.Failed() {
			t.Logf("brazecdc %v printed\n%s%s", args, p.out.String(), p.err.String())
		}
	})
	return p
}

// run starts `brazecdc run` and waits until it is ready.
func (b *bench) run() *process {
	b.t.Helper()
	p := b.runUnready()
	b.until("the process is ready", func() bool {
		if p.ended() {
			b.t.Fatalf("brazecdc run ended with exit code %d\n%s%s", p.cmd.ProcessState.ExitCode(), p.out.String(), p.err.String())
		}
		if m := listening.FindStringSubmatch(p.err.String()); m != nil {
			b.listen = m[1]
		}
		return b.listen != "" && runCommand(b.t, b.env, "healthcheck", "--url", "http://"+b.listen).code == 0
	})
	return p
}

var listening = regexp.MustCompile(`"component":"web","address":"([^"]+)"`)

func (b *bench) runUnready() *process {
	b.t.Helper()
	return start(b.t, b.env, "run", "--config", b.config())
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// wait gives the exit code.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("the process did not end\n%s%s", p.out.String(), p.err.String())
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) stop() int {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	return p.wait()
}

// until polls a state that nobody announces across processes.
func (b *bench) until(what string, holds func() bool) {
	b.t.Helper()
	eventually(b.t, what, holds)
}

// profile gives a custom attribute or profile field as JSON, "" where there is none.
func (b *bench) profile(user, field string) string {
	p, ok := b.sim.Profile(user)
	if !ok {
		return ""
	}
	if v, ok := p.Custom[field]; ok {
		return string(v)
	}
	return string(p.Attributes[field])
}

func (b *bench) arrives(user, field, want string) {
	b.t.Helper()
	b.until(fmt.Sprintf("%s of %s is %s (it is %q)", field, user, want, b.profile(user, field)), func() bool { return b.profile(user, field) == want })
}

func wantIn(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q is not in\n%s", p, text)
		}
	}
}

// needServer skips a test that starts a server of its own where there is none, or fails it with CI=true.
func needServer(t *testing.T) {
	t.Helper()
	throwaway.Shared(t)
}

// needsProgram gives the path of a program that a package of Debian has. The test is skipped where it is missing, and fails with CI=true.
func needsProgram(t *testing.T, name, debian string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatalf("%s is not on the PATH (Debian: %s)", name, debian)
	default:
		t.Skipf("%s is not on the PATH (Debian: %s)", name, debian)
	}
	return path
}
