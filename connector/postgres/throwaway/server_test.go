package throwaway_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"brazecdc/connector/postgres/throwaway"
)

func TestMain(m *testing.M) {
	if os.Getenv(helperEnv) != "" {
		helper()
		return
	}
	code := m.Run()
	throwaway.StopShared()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			_, _ = os.Stderr.WriteString(err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}

func query(t *testing.T, url, sql string, args ...any) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var out string
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&out); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return out
}

func exec(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// until waits for something that another process does.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("waited 20 s in vain until %s", what)
		case <-tick.C:
		}
	}
}

// running tells whether a process runs; one that ended and was not reaped does not count.
func running(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(rest, "Z")
}

func absent(path string) bool {
	_, err := os.Lstat(path)
	return os.IsNotExist(err)
}

func TestServer(t *testing.T) {
	var said []string
	began := time.Now()
	s := throwaway.ForTestConfig(t, throwaway.Config{
		Settings: map[string]string{"work_mem": "5MB", "application_name": `it's a \ path`},
		Progress: func(line string) { said = append(said, line) },
	})
	t.Logf("started PostgreSQL %s in %s: %s", s.Version(), time.Since(began), strings.Join(said, "; "))

	t.Run("is ready for logical replication", func(t *testing.T) {
		for name, want := range map[string]string{
			"wal_level": "logical", "max_wal_senders": "20", "max_replication_slots": "20", "listen_addresses": "127.0.0.1",
			"TimeZone": "UTC", "fsync": "off", "full_page_writes": "off", "server_encoding": "UTF8",
			"work_mem": "5MB",
		} {
			if got := query(t, s.URL(""), "SELECT current_setting($1)", name); got != want {
				t.Errorf("%s = %q, want %q", name, got, want)
			}
		}
		if got := query(t, s.URL(""), "SELECT setting FROM pg_file_settings WHERE name = 'application_name'"); got != `it's a \ path` {
			t.Errorf("a value with quote and backslash arrived as %q", got)
		}
		if got := query(t, s.URL(""), "SELECT slot_name::text FROM pg_create_logical_replication_slot('s', 'pgoutput', true)"); got != "s" {
			t.Errorf("slot %q", got)
		}
	})
	t.Run("says who it is", func(t *testing.T) {
		if got := query(t, s.URL(""), "SHOW server_version"); !strings.HasPrefix(got, s.Version()) {
			t.Errorf("Version() = %q, the server says %q", s.Version(), got)
		}
		if !strings.HasPrefix(s.Version(), strconv.Itoa(s.Major())) {
			t.Errorf("Major() = %d of version %s", s.Major(), s.Version())
		}
		if got := query(t, s.URL(""), "SHOW data_directory"); got != s.Dir() {
			t.Errorf("Dir() = %q, the server says %q", s.Dir(), got)
		}
		if !running(s.PID()) {
			t.Errorf("PID() = %d does not run", s.PID())
		}
		if _, port, _ := net.SplitHostPort(s.Addr()); port != strconv.Itoa(s.Port()) || port == "0" {
			t.Errorf("Addr() = %q, Port() = %d", s.Addr(), s.Port())
		}
		if len(said) == 0 || !strings.Contains(said[len(said)-1], s.Version()) {
			t.Errorf("Progress was told %q", said)
		}
	})
	t.Run("creates a database of any name", func(t *testing.T) {
		const name = `Ünit "1" /a?b#c%`
		if err := s.CreateDatabase(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		if got := query(t, s.URL(name), "SELECT current_database()"); got != name {
			t.Errorf("URL leads to %q", got)
		}
		if err := s.CreateDatabase(t.Context(), name); err == nil || !strings.Contains(err.Error(), "create database") {
			t.Errorf("creating it again: %v", err)
		}
	})
	t.Run("keeps data over a restart, a crash and a kill", func(t *testing.T) {
		exec(t, s.URL(""), "CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)")
		addr := s.Addr()
		ends := map[string]func() error{
			"running":      func() error { return nil },
			"fast":         func() error { return s.StopMode("fast") },
			"smart":        func() error { return s.StopMode("smart") },
			"immediate":    func() error { return s.StopMode("immediate") },
			"kill -9":      func() error { return syscall.Kill(s.PID(), syscall.SIGKILL) },
			"fast, again":  func() error { return s.StopMode("fast") },
			"stopped once": func() error { _ = s.StopMode("fast"); return s.StopMode("fast") },
		}
		for how, end := range ends {
			exec(t, s.URL(""), "UPDATE kept SET n = n + 1")
			was := query(t, s.URL(""), "SELECT n::text FROM kept")
			if err := end(); err != nil {
				t.Fatalf("%s: %v", how, err)
			}
			if err := s.Restart(t.Context()); err != nil {
				t.Fatalf("%s: %v", how, err)
			}
			if got := query(t, s.URL(""), "SELECT n::text FROM kept"); got != was || s.Addr() != addr {
				t.Errorf("%s: n is %s, want %s, at %s", how, got, was, s.Addr())
			}
		}
	})
	t.Run("ALTER SYSTEM goes over its settings", func(t *testing.T) {
		exec(t, s.URL(""), "ALTER SYSTEM SET max_wal_senders = 7")
		if err := s.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := query(t, s.URL(""), "SHOW max_wal_senders"); got != "7" {
			t.Errorf("max_wal_senders = %s", got)
		}
	})
	t.Run("refuses an unknown mode", func(t *testing.T) {
		if err := s.StopMode("gently"); err == nil || !strings.Contains(err.Error(), "smart, fast, immediate") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a stopped server has no process", func(t *testing.T) {
		if err := s.StopMode("fast"); err != nil {
			t.Fatal(err)
		}
		if s.PID() != 0 || absent(s.Dir()) {
			t.Errorf("PID() = %d, directory gone: %v", s.PID(), absent(s.Dir()))
		}
	})
	t.Run("leaves nothing behind", func(t *testing.T) {
		if err := s.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		pid, guard := s.PID(), s.GuardPID()
		s.Stop()
		s.Stop()
		if running(pid) || running(guard) || !absent(s.Root()) {
			t.Errorf("server runs: %v, guard runs: %v, directory gone: %v", running(pid), running(guard), absent(s.Root()))
		}
		if err := s.Restart(t.Context()); err == nil {
			t.Error("a server that was stopped for good restarted")
		}
	})
}

func TestStartFaults(t *testing.T) {
	needServer(t)
	t.Run("a taken port", func(t *testing.T) {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		faulty(t, throwaway.Config{Port: l.Addr().(*net.TCPAddr).Port}, "the port is taken")
	})
	t.Run("a setting the server refuses", func(t *testing.T) {
		faulty(t, throwaway.Config{Settings: map[string]string{"wal_level": "loud"}}, `invalid value for parameter "wal_level"`)
	})
	t.Run("a name that is none", func(t *testing.T) {
		faulty(t, throwaway.Config{Settings: map[string]string{"a b": "1"}}, `"a b" is no name of a setting`)
	})
	t.Run("an unknown version", func(t *testing.T) {
		faulty(t, throwaway.Config{Version: "9.6"}, "14, 15, 16, 17, 18")
	})
	t.Run("a folder without the programs", func(t *testing.T) {
		t.Setenv("BRAZECDC_PG_BIN", t.TempDir())
		faulty(t, throwaway.Config{}, "BRAZECDC_PG_BIN")
	})
	t.Run("a context that ended", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if s, err := throwaway.Start(ctx, throwaway.Config{}); err == nil {
			s.Stop()
			t.Error("started")
		}
	})
}

// faulty starts a server that cannot start, and sees that nothing of it remains.
func faulty(t *testing.T, cfg throwaway.Config, want string) {
	t.Helper()
	cfg.Dir = openDir(t)
	s, err := throwaway.Start(t.Context(), cfg)
	if err == nil {
		s.Stop()
		t.Fatal("started")
	}
	if !strings.Contains(err.Error(), want) {
		t.Errorf("error lacks %q: %v", want, err)
	}
	if left, _ := os.ReadDir(cfg.Dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// openDir is a temporary folder that the server's account may enter, unlike t.TempDir.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "throwaway-test-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// needServer skips (or with CI=true fails) where no server can be had.
func needServer(t *testing.T) { t.Helper(); throwaway.Shared(t) }

func TestRootNeedsAnOpenFolder(t *testing.T) {
	needServer(t)
	if os.Geteuid() != 0 {
		t.Log("not root: the server runs as ourselves and may enter any folder of ours")
		return
	}
	dir := filepath.Join(openDir(t), "closed")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := throwaway.Start(t.Context(), throwaway.Config{Dir: dir})
	if err == nil {
		s.Stop()
		t.Fatal("started")
	}
	if !strings.Contains(err.Error(), "may not enter that folder") {
		t.Errorf("got %v", err)
	}
}

func TestOwnIdentifier(t *testing.T) {
	const sql = "SELECT system_identifier::text FROM pg_control_system()"
	first := query(t, throwaway.Shared(t).URL(""), sql)
	began := time.Now()
	s := throwaway.ForTestConfig(t, throwaway.Config{OwnIdentifier: true})
	t.Logf("started with initdb in %s", time.Since(began))
	if second := query(t, s.URL(""), sql); second == first {
		t.Errorf("both clusters are %s", first)
	}
}

func TestVersions(t *testing.T) {
	if os.Getenv("BRAZECDC_PG_MATRIX") == "" {
		t.Log("set BRAZECDC_PG_MATRIX=14,15,16,17,18 to fetch and start each of them")
		return
	}
	for _, version := range strings.Split(os.Getenv("BRAZECDC_PG_MATRIX"), ",") {
		t.Run(version, func(t *testing.T) {
			began := time.Now()
			s := throwaway.ForTestConfig(t, throwaway.Config{Version: version, Progress: func(l string) { t.Log(l) }})
			t.Logf("started PostgreSQL %s in %s", s.Version(), time.Since(began))
			if strconv.Itoa(s.Major()) != version {
				t.Errorf("got version %s", s.Version())
			}
			if got := query(t, s.TestDatabase(t), "SHOW wal_level"); got != "logical" {
				t.Errorf("wal_level = %s", got)
			}
		})
	}
}
