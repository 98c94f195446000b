package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"brazecdc/connector/sourcetest"
)

// proc is a child process that is measured through /proc, from outside.
type proc struct {
	t    *testing.T
	cmd  *exec.Cmd
	job  *job
	out  logBuffer
	done chan struct{}
	err  error
	hwm  float64
	// mallocsAt is where a measured process tells its allocations.
	mallocsAt string
}

func startProc(t *testing.T, cmd *exec.Cmd, j *job) *proc {
	t.Helper()
	p := &proc{t: t, cmd: cmd, job: j, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.out, &p.out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-p.done
	})
	return p
}

// run starts the built brazecdc.
func (f *figures) run(j *job) *proc {
	f.t.Helper()
	return startProc(f.t, exec.Command(filepath.Join(f.bin, "brazecdc"), "run", "--config", j.config()), j)
}

// stop asks brazecdc to end and wants to hear that everything was confirmed.
func (f *figures) stop(p *proc) {
	f.t.Helper()
	p.peakRSS()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		f.t.Fatalf("brazecdc does not stop\n%s", p.tail())
	}
	if p.err != nil {
		f.t.Fatalf("brazecdc: %v\n%s", p.err, p.tail())
	}
	if st := f.sim.stats(); st.Refused > 0 || st.Overlaps > 0 {
		f.t.Errorf("the simulator refused %d objects and saw %d overlaps of one user", st.Refused, st.Overlaps)
	}
}

func (p *proc) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("%s: %v\n%s", filepath.Base(p.cmd.Path), err, p.tail())
	}
}

func (p *proc) mustLive() {
	p.t.Helper()
	select {
	case <-p.done:
		p.t.Fatalf("%s ended: %v\n%s", filepath.Base(p.cmd.Path), p.err, p.tail())
	default:
	}
}

// poll is sourcetest.Poll on a process that has to live all the while.
func (p *proc) poll(within, every time.Duration, holds func() bool) bool {
	p.t.Helper()
	return sourcetest.Poll(within, every, func() bool {
		p.t.Helper()
		if holds() {
			return true
		}
		p.mustLive()
		return false
	})
}

func (p *proc) tail() string { return p.out.String() }

// peakRSS is the most memory the process had in RAM so far, in MB; after its end what was last seen.
func (p *proc) peakRSS() float64 {
	if mb, ok := p.status("VmHWM:"); ok {
		p.hwm = mb
	}
	return p.hwm
}

// rss is the memory it has in RAM now, in MB.
func (p *proc) rss() float64 {
	mb, _ := p.status("VmRSS:")
	return mb
}

func (p *proc) status(line string) (float64, bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, false
	}
	_, rest, ok := strings.Cut(string(b), line)
	if !ok {
		return 0, false
	}
	kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	return kb / 1024, err == nil
}

// cpu is the processor time used so far. The kernel counts it in hundredths of a second.
func (p *proc) cpu() time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond
}

// logBuffer keeps the last part of what a process says.
type logBuffer struct {
	mu sync.Mutex
	b  []byte
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b = append(l.b, p...)
	if len(l.b) > 16<<10 {
		l.b = append([]byte(nil), l.b[len(l.b)-8<<10:]...)
	}
	return len(p), nil
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.b)
}

// window is what was measured while a process was at full work.
type window struct {
	rate       float64 // rows/s
	cpu        float64 // µs a row, of the process
	allocs     float64
	allocBytes float64
}

// sample is one look at a process and the simulator.
type sample struct {
	at      time.Time
	read    int // changes taken from the source
	objects int // arrived at the simulator
	cpu     time.Duration
	mallocs float64
	bytes   float64
}

// lookEvery is the time between two samples: each costs both processes some work.
const lookEvery = 25 * time.Millisecond

// watch follows a process until n objects arrived, and gives what it did in the second half. stream: what counts is how many changes brazecdc took from
// the source, for after a restart it reads ahead, up to its bounds, for a user_gap before the first call leaves, and these must not count as
// fast ones; without, what counts is the objects that arrived.
func (f *figures) watch(p *proc, n int, stream bool) window {
	f.t.Helper()
	var first, last, s sample
	if !p.poll(figurePatience, lookEvery, func() bool {
		s = sample{at: time.Now(), objects: f.sim.stats().Objects, cpu: p.cpu()}
		s.read = s.objects
		if stream {
			p.metrics(&s)
		}
		if first.at.IsZero() && s.objects > 0 && s.read >= n*45/100 {
			first = s
		}
		if s.read < n && !first.at.IsZero() {
			last = s
		}
		return s.objects >= n
	}) {
		f.t.Fatalf("%d of %d objects arrived in %s\n%s", s.objects, n, figurePatience, p.tail())
	}
	if last.at.Equal(first.at) { // all within one look
		last = s
	}
	return between(first, last)
}

func between(a, b sample) window {
	rows, secs := float64(b.read-a.read), b.at.Sub(a.at).Seconds()
	return window{rate: rows / secs, cpu: float64((b.cpu - a.cpu).Microseconds()) / rows, allocs: (b.mallocs - a.mallocs) / rows, allocBytes: (b.bytes - a.bytes) / rows}
}

// metrics fills in what the process tells of itself.
func (p *proc) metrics(s *sample) {
	res, err := http.Get("http://" + p.job.web + "/metrics")
	if err != nil {
		s.read = 0
		return // it is starting
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return
	}
	s.read = 0
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if strings.HasPrefix(name, "brazecdc_changes_total{") && !strings.Contains(name, `op="snapshot"`) {
			v, _ := strconv.ParseFloat(value, 64)
			s.read += int(v)
		}
	}
	s.mallocs, s.bytes = p.allocations()
}
