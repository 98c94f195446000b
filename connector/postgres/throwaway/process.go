package throwaway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// process is a postmaster that was started. err may be read once exited is closed.
type process struct {
	pid    int
	os     *os.Process
	exited chan struct{}
	err    error
}

var errExited = errors.New("the process ended")

// startProcess starts cmd and tells the guard its process id, and its end.
//
// The kernel sends the parent-death signal when the *thread* that forked ends, and the runtime ends idle threads
// of goroutines that end while locked. So the fork happens on a goroutine that stays locked to its thread for as long
// as the server runs.
func startProcess(cmd *exec.Cmd, output *os.File, g *guard) (*process, error) {
	cmd.Stdout, cmd.Stderr = output, output // a file is handed over as it is: no pipe, no goroutine
	p := &process{exited: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		p.pid, p.os = cmd.Process.Pid, cmd.Process
		g.watch(p.pid)
		started <- nil
		p.err = cmd.Wait()
		g.watch(0)
		close(p.exited)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// fault says how an ended process ended.
func (p *process) fault() error {
	if p.err == nil {
		return errExited
	}
	return fmt.Errorf("%w: %w", errExited, p.err)
}

func (p *process) ended() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// signalAndWait reports whether the process ended in time. One that ended before is a success.
func (p *process) signalAndWait(sig syscall.Signal, limit time.Duration) bool {
	_ = p.os.Signal(sig) // an error means that it ended
	select {
	case <-p.exited:
		return true
	case <-time.After(limit):
		return false
	}
}

// end stops the process, with SIGKILL if it does not obey.
func (p *process) end(sig syscall.Signal, limit time.Duration) {
	if !p.signalAndWait(sig, limit) {
		_ = p.os.Kill()
		<-p.exited
	}
}

// poll waits until ok holds, the context ends or the process does.
func poll(ctx context.Context, exited <-chan struct{}, ok func() bool) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if ok() {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-exited:
			return errExited
		case <-tick.C:
		}
	}
}

// guardScript outlives its starter: when the pipe on its input closes it ends the server it was told of last and
// removes the directory. It waits for the lock file to vanish rather than for the process id alone, since an ended
// process keeps its id until someone reaps it, and in a container that may be never.
const guardScript = `trap '' INT TERM HUP
pid=0
while read -r line; do pid=$line; done
running() { kill -0 "$pid" 2>/dev/null && [ -e "$1/data/postmaster.pid" ]; }
if [ "$pid" -gt 0 ]; then
  kill -QUIT "$pid" 2>/dev/null
  n=0
  while running "$1" && [ $n -lt 100 ]; do sleep 0.1; n=$((n+1)); done
  if running "$1"; then kill -KILL "$pid" 2>/dev/null; fi
fi
rm -rf -- "$1"
`

type guard struct {
	cmd  *exec.Cmd
	pipe io.WriteCloser
}

func startGuard(dir string) (*guard, error) {
	cmd := exec.Command("sh", "-c", guardScript, "sh", dir)
	cmd.Dir = "/"
	cmd.SysProcAttr = ownGroup() // Ctrl-C is for the starter, which then stops us in its order
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the guard: %w", err)
	}
	return &guard{cmd: cmd, pipe: pipe}, nil
}

// watch names the process to end; 0 means none. A guard that someone killed is no reason to fail: the kernel's
// parent-death signal is still there.
func (g *guard) watch(pid int) { _, _ = fmt.Fprintln(g.pipe, pid) }

// close lets the guard do its work and waits for its end.
func (g *guard) close() {
	if g == nil {
		return
	}
	_ = g.pipe.Close()
	_ = g.cmd.Wait()
}
