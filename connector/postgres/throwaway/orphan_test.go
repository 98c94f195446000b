package throwaway_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"brazecdc/connector/postgres/throwaway"
)

const helperEnv = "THROWAWAY_TEST_HELPER"

// helper is this test binary started again: it starts a server, says what there is, and waits to be killed.
func helper() {
	s, err := throwaway.Start(context.Background(), throwaway.Config{Dir: os.Getenv(helperEnv)})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// A client and its WAL sender must not hold up the end.
	if conn, err := pgx.Connect(context.Background(), s.URL("")); err == nil {
		_, _ = conn.Exec(context.Background(), "CREATE TABLE t (n int)")
	}
	for range 100 { // the threads that forked must live on: give the runtime reason to end idle ones
		done := make(chan struct{})
		go func() { runtime.LockOSThread(); close(done) }()
		<-done
	}
	fmt.Println(s.PID(), s.GuardPID(), s.Root(), s.URL(""))
	select {}
}

type orphan struct {
	cmd        *osexec.Cmd
	pid, guard int
	root, url  string
}

func startHelper(t *testing.T) orphan {
	t.Helper()
	needServer(t)
	o := orphan{cmd: osexec.Command(os.Args[0])}
	o.cmd.Env = append(os.Environ(), helperEnv+"="+openDir(t))
	o.cmd.Stderr = os.Stderr
	out, err := o.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := o.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.cmd.Process.Kill(); _ = o.cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("read what the helper says: %v", err)
	}
	if _, err := fmt.Sscan(line, &o.pid, &o.guard, &o.root, &o.url); err != nil {
		t.Fatalf("read %q: %v", line, err)
	}
	if !running(o.pid) || !running(o.guard) {
		t.Fatalf("server or guard do not run: %q", line)
	}
	return o
}

func TestKilledStarter(t *testing.T) {
	t.Run("server and directory are gone", func(t *testing.T) {
		o := startHelper(t)
		conn, err := pgx.Connect(t.Context(), o.url) // a session of a third process is open
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background())
		if err := o.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		until(t, "the server ends", func() bool { return !running(o.pid) })
		until(t, "the directory is gone", func() bool { return absent(o.root) })
		until(t, "the guard ends", func() bool { return !running(o.guard) })
	})
	t.Run("the kernel ends the server when the guard is gone too", func(t *testing.T) {
		if runtime.GOOS != "linux" {
			t.Log("only Linux sends a signal when a parent dies")
			return
		}
		o := startHelper(t)
		if err := syscall.Kill(o.guard, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if err := o.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		until(t, "the server ends", func() bool { return !running(o.pid) })
		if absent(o.root) {
			t.Error("the directory is gone without a guard: this test proves nothing")
		}
	})
	t.Run("a signal from the terminal reaches neither", func(t *testing.T) {
		o := startHelper(t)
		for _, pid := range []int{o.pid, o.guard} {
			group, err := syscall.Getpgid(pid)
			if err != nil || group != pid {
				t.Errorf("process %d is in group %d, %v; want a group of its own", pid, group, err)
			}
		}
	})
}

func TestSweep(t *testing.T) {
	base := openDir(t)
	old := time.Now().Add(-time.Hour)
	make := func(name string, age time.Time) string {
		dir := filepath.Join(base, throwaway.DirPrefix+name)
		if err := os.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(dir, age, age); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	dead, young, living := make("dead", old), make("young", time.Now()), make("living", old)
	lock, err := throwaway.LockOwner(living)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := os.Chtimes(living, old, old); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(base, "other")
	if err := os.Mkdir(other, 0o700); err != nil {
		t.Fatal(err)
	}
	orphaned := make("orphaned", old)
	pidFile := filepath.Join(orphaned, "data", "postmaster.pid")
	if err := os.WriteFile(pidFile, []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	throwaway.Sweep(base)

	for dir, gone := range map[string]bool{dead: true, young: false, living: false, other: false, orphaned: false} {
		if absent(dir) != gone {
			t.Errorf("%s: gone is %v, want %v", filepath.Base(dir), absent(dir), gone)
		}
	}
	if !absent(pidFile) {
		t.Error("the lock file of a server without owner is still there")
	}
	if err := os.Chtimes(orphaned, old, old); err != nil {
		t.Fatal(err)
	}
	throwaway.Sweep(base)
	if !absent(orphaned) {
		t.Error("the second sweep left the directory")
	}
}
