package throwaway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

var errEnded = errors.New("the process ended")

// process is a running Java program with its directory and its guard.
type process struct {
	dir    string
	name   string
	guard  *guard
	exited chan struct{}
	os     *os.Process
	once   sync.Once
}

// newProcess makes the directory of a part and its guard.
func newProcess(name string) (*process, error) {
	dir, err := os.MkdirTemp("", dirPrefix+name+"-")
	if err != nil {
		return nil, fmt.Errorf("create a directory for %s: %w", name, err)
	}
	g, err := startGuard(dir)
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	return &process{dir: dir, name: name, guard: g}, nil
}

func (p *process) path(name string) string { return filepath.Join(p.dir, name) }

// java is a Java command with a plain environment: what a user's KAFKA_* or JAVA_TOOL_OPTIONS say must not change it.
func (p *process) java(heapMB int, args ...string) *exec.Cmd {
	cmd := exec.Command("java", append([]string{fmt.Sprintf("-Xmx%dm", heapMB), "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"}, args...)...)
	cmd.Dir = p.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.dir, "JAVA_HOME=" + os.Getenv("JAVA_HOME"), "LC_ALL=C.UTF-8", "TZ=UTC"}
	return cmd
}

// start starts cmd; its output goes to the log. The kernel sends the parent-death signal when the *thread* that forked ends, so the fork happens on a
// goroutine that stays locked to its thread for as long as the process runs.
func (p *process) start(cmd *exec.Cmd) error {
	out, err := os.OpenFile(p.path("log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = out, out, procAttr()
	exited := make(chan struct{})
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		p.guard.watch(cmd.Process.Pid)
		started <- nil
		_ = cmd.Wait() // how it ended is in the log
		p.guard.watch(0)
		close(exited)
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.os, p.exited = cmd.Process, exited
	return nil
}

// run runs a short command to its end.
func (p *process) run(ctx context.Context, cmd *exec.Cmd) error {
	if err := p.start(cmd); err != nil {
		return err
	}
	select {
	case <-p.exited:
	case <-ctx.Done():
		_ = p.os.Kill()
		<-p.exited
		return ctx.Err()
	}
	if !cmd.ProcessState.Success() {
		return fmt.Errorf("%s: %s; it said:\n%s", cmd.Args[len(cmd.Args)-1], cmd.ProcessState, p.tail())
	}
	return nil
}

// wait waits until ok holds.
func (p *process) wait(ctx context.Context, ok func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-p.exited:
			return fmt.Errorf("wait for %s: %w; it said:\n%s", p.name, errEnded, p.tail())
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w; it said:\n%s", p.name, ctx.Err(), p.tail())
		}
	}
	return nil
}

// logHas tells whether the log holds a text from an offset on.
func (p *process) logHas(text string, from int64) bool {
	f, err := os.Open(p.path("log"))
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return false
	}
	b, err := io.ReadAll(f)
	return err == nil && strings.Contains(string(b), text)
}

func (p *process) logSize() int64 {
	info, err := os.Stat(p.path("log"))
	if err != nil {
		return 0
	}
	return info.Size()
}

// tail is the end of the log.
func (p *process) tail() string {
	b, err := os.ReadFile(p.path("log"))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}

// end ends the process: with a signal, and with SIGKILL if it does not obey.
func (p *process) end(sig syscall.Signal) {
	if p.os == nil {
		return
	}
	_ = p.os.Signal(sig) // an error means that it ended
	select {
	case <-p.exited:
	case <-time.After(stopTimeout):
		_ = p.os.Kill()
		<-p.exited
	}
}

// close ends the process and removes its directory. It may be called more than once.
func (p *process) close() {
	p.once.Do(func() {
		p.end(syscall.SIGKILL) // nothing of it is needed any more
		p.guard.close()
		_ = os.RemoveAll(p.dir)
	})
}

// guardScript outlives its starter: when the pipe on its input closes, it ends the process it was told of last and removes the directory.
const guardScript = `trap '' INT TERM HUP
pid=0
while read -r line; do pid=$line; done
if [ "$pid" -gt 0 ]; then
  kill -KILL "$pid" 2>/dev/null
  n=0
  while kill -0 "$pid" 2>/dev/null && [ $n -lt 50 ]; do sleep 0.1; n=$((n+1)); done
fi
rm -rf -- "$1"
`

type guard struct {
	cmd  *exec.Cmd
	pipe io.WriteCloser
}

func startGuard(dir string) (*guard, error) {
	cmd := exec.Command("sh", "-c", guardScript, "sh", dir)
	cmd.Dir, cmd.SysProcAttr = "/", guardAttr()
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the guard: %w", err)
	}
	return &guard{cmd, pipe}, nil
}

// watch names the process to end; 0 means none. A guard that is gone is no reason to fail.
func (g *guard) watch(pid int) { _, _ = fmt.Fprintln(g.pipe, pid) }

func (g *guard) close() {
	_ = g.pipe.Close()
	_ = g.cmd.Wait()
}
