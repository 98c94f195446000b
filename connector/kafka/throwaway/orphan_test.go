//go:build unix

package throwaway_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"brazecdc/connector/kafka/throwaway"
	"brazecdc/connector/sourcetest"
)

const orphanEnv = "BRAZECDC_TEST_ORPHAN"

// TestOrphan kills a process that has a broker with SIGKILL: broker and directory must go too.
func TestOrphan(t *testing.T) {
	if os.Getenv(orphanEnv) != "" { // the process to be killed
		b := throwaway.ForTest(t, throwaway.Config{})
		fmt.Printf("broker %d in %s\n", b.PID(), b.Dir())
		select {}
	}
	throwaway.Shared(t) // skips where there is none
	t.Cleanup(throwaway.StopShared)
	cmd := exec.Command(os.Args[0], "-test.run=^TestOrphan$")
	cmd.Env = append(os.Environ(), orphanEnv+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	var dir string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "broker ") {
			if _, err := fmt.Sscanf(lines.Text(), "broker %d in %s", &pid, &dir); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	if pid == 0 {
		t.Fatal("the other process started no broker")
	}
	gone := func() bool {
		_, err := os.Stat(dir)
		return syscall.Kill(pid, 0) != nil && os.IsNotExist(err)
	}
	if !sourcetest.Poll(20*time.Second, 20*time.Millisecond, gone) {
		t.Fatalf("process %d or %s is still there", pid, dir)
	}
}
