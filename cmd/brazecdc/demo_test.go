package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	kafkas "brazecdc/connector/kafka/throwaway"

	"brazecdc/connector/sourcetest"
)

func demoEnv(t *testing.T) ([]string, string) {
	t.Helper()
	// Of its own, so that what is left behind shows. The server of root runs under another account, which must be able to enter it.
	dir, err := os.MkdirTemp("", "demo")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return append(os.Environ(), "TMPDIR="+dir, "NO_COLOR=1"), dir
}

// eventually polls a state of another process.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	if !sourcetest.Poll(patience, 10*time.Millisecond, holds) {
		t.Fatalf("waited %s in vain until %s", patience, what)
	}
}

func nothingLeft(t *testing.T, dir, out string) {
	t.Helper()
	addr := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(out)
	if addr == "" {
		t.Fatalf("no address in\n%s", out)
	}
	eventually(t, "the server is gone", func() bool {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	eventually(t, "the folders are gone", func() bool {
		left, err := os.ReadDir(dir)
		return err == nil && len(left) == 0
	})
}

func TestDemo(t *testing.T) {
	t.Parallel()
	needServer(t)
	for _, seed := range []int{1, 2} {
		t.Run(fmt.Sprintf("delivers everything, seed %d", seed), func(t *testing.T) {
			env, dir := demoEnv(t)
			begin := time.Now()
			r := runCommand(t, env, "demo", "--changes", "200", "--exit", "--seed", fmt.Sprint(seed))
			if r.code != 0 {
				t.Fatalf("exit code %d\n%s%s", r.code, r.out, r.err)
			}
			wantIn(t, r.out, "profiles, all equal to the tables")
			// What folds with what depends on the moment; these are there in any case.
			for _, line := range []string{
				`(?m)^(customers|addresses) \d+ load  ->  POST /users/track u-1\d\d\d \{.+\}  201  \d+ ms$`,
				`(?m)^customers 1\d\d\d update \w+ .*→.*  ->  POST /users/track u-1\d\d\d \{.+\}  201  \d+ ms$`,
				`(?m)^customers 1\d\d\d delete  ->  POST /users/delete u-1\d\d\d  20\d  \d+ ms$`,
			} {
				if !regexp.MustCompile(line).MatchString(r.out) {
					t.Errorf("no line matches %s in\n%s", line, r.out)
				}
			}
			nothingLeft(t, dir, r.out)
			t.Logf("took %s", time.Since(begin))
		})
	}
	t.Run("delivers everything over Kafka in memory, where there is no Java", func(t *testing.T) {
		env, dir := demoEnv(t)
		env = append(env, "PATH="+withoutJava(t))
		overKafka(t, env, dir, "Kafka itself is left out: start a Kafka broker: run java", "Kafka, in this process")
	})
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		t.Run(fmt.Sprintf("leaves nothing behind after %s", sig), func(t *testing.T) {
			env, dir := demoEnv(t)
			p := start(t, env, "demo", "--rate", "50")
			eventually(t, "a change was delivered", func() bool { return strings.Contains(p.out.String(), " update ") })
			p.signal(sig)
			code := p.wait()
			if sig == syscall.SIGINT && code != 0 {
				t.Errorf("exit code %d\n%s", code, p.err.String())
			}
			if sig == syscall.SIGKILL {
				// A killed demo can't remove its own folder, which holds files only; the server and its folder must go.
				left, err := os.ReadDir(dir)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range left {
					if strings.HasPrefix(e.Name(), "brazecdc-demo-") {
						if err := os.RemoveAll(dir + "/" + e.Name()); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			nothingLeft(t, dir, p.out.String())
		})
	}
}

// overKafka runs a bounded demo and sees that it says so.
func overKafka(t *testing.T, env []string, dir string, says ...string) {
	t.Helper()
	p := start(t, env, "demo", "--kafka", "--changes", "150", "--exit", "--seed", "1")
	select {
	case <-p.done:
	case <-time.After(4 * time.Minute): // two JVMs on a loaded machine
		t.Fatalf("it does not end\n%s%s", p.out.String(), p.err.String())
	}
	out := p.out.String()
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	wantIn(t, out, append(says, "profiles, all equal to the tables")...)
	for _, line := range []string{
		`(?m)^(customers|addresses) \d+ load  ->  POST /users/track u-1\d\d\d \{.+\}  201  \d+ ms$`,
		`(?m)^customers 1\d\d\d update \w+ .*→.*  ->  POST /users/track u-1\d\d\d \{.+\}  201  \d+ ms$`,
	} {
		if !regexp.MustCompile(line).MatchString(out) {
			t.Errorf("no line matches %s in\n%s", line, out)
		}
	}
	nothingLeft(t, dir, out)
}

// TestDemoDebezium is TestDemo with Debezium and a broker, as processes of their own.
func TestDemoDebezium(t *testing.T) {
	t.Parallel()
	needServer(t)
	kafkas.Shared(t) // skips where there is no Java
	env, dir := demoEnv(t)
	overKafka(t, env, dir, "written by Debezium")
}

// withoutJava is a PATH with everything that PATH has, but Java.
func withoutJava(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "path")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // for the account that the server runs under
		t.Fatal(err)
	}
	for _, from := range filepath.SplitList(os.Getenv("PATH")) {
		entries, err := os.ReadDir(from)
		if err != nil {
			continue // a PATH may name what is not there
		}
		for _, e := range entries {
			if e.Name() != "java" {
				_ = os.Symlink(filepath.Join(from, e.Name()), filepath.Join(dir, e.Name())) // the first of a name counts
			}
		}
	}
	return dir
}
