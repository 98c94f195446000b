package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/postgres"
)

// Environment of the test binary when it is started again as one of the children below.
const (
	straightEnv = "BRAZECDC_FIGURES_STRAIGHT" // straightTask as JSON
	measuredEnv = "BRAZECDC_FIGURES_MEASURED" // address for /mallocs
	configEnv   = "BRAZECDC_FIGURES_CONFIG"
	profileEnv  = "BRAZECDC_FIGURES_PROFILE" // folder for profiles of both children; they are written where it is set
)

// childOfFigures tells whether this process is one of the children.
func childOfFigures() bool {
	return os.Getenv(straightEnv) != "" || os.Getenv(topicEnv) != "" || os.Getenv(measuredEnv) != "" || os.Getenv(printsEnv) != ""
}

// straightTask tells the child what to do.
type straightTask struct {
	Database, Slot, Endpoint string
	Rows                     int
	Fields                   []string
}

// straight lets the straight loop drain n changes.
func (f *figures) straight(slot string, n int) window {
	f.t.Helper()
	f.sim.reset()
	task, err := json.Marshal(straightTask{Database: f.pg.URL("figures"), Slot: slot, Endpoint: f.sim.url, Rows: n,
		Fields: figureFields})
	if err != nil {
		f.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestFiguresStraightLoop$", "-test.v")
	cmd.Env = append(os.Environ(), straightEnv+"="+string(task))
	p := startProc(f.t, cmd, nil)
	w := f.watch(p, n, false)
	<-p.done
	if p.err != nil {
		f.t.Fatalf("straight loop: %v\n%s", p.err, p.tail())
	}
	return w
}

// TestFiguresStraightLoop is the straight loop, as a process of its own.
func TestFiguresStraightLoop(t *testing.T) {
	env := os.Getenv(straightEnv)
	if env == "" {
		return // nothing to test: TestFigures starts this binary once more with the variable set
	}
	var task straightTask
	if err := json.Unmarshal([]byte(env), &task); err != nil {
		t.Fatal(err)
	}
	stop := profile(t)
	defer stop()
	if err := straightLoop(t.Context(), task); err != nil {
		t.Fatal(err)
	}
}

// straightLoop is what one would write without a care: it takes changes from the same decoder, writes the same fields as JSON, 75 objects a call, and posts
// them by the same number of senders over the same kind of transport. No rules, no order of one user's calls, no acknowledgement, no retry.
func straightLoop(ctx context.Context, task straightTask) error {
	source, err := postgres.New(postgres.Config{URL: task.Database, Slot: task.Slot, Publication: "figures"})
	if err != nil {
		return err
	}
	if _, err := source.Open(ctx, connector.Start{Tables: []string{figureTable}}); err != nil {
		return err
	}
	defer func() { _ = source.Close(context.WithoutCancel(ctx)) }()

	poster := newStraightPoster(task.Endpoint)
	w := &straightWriter{task: task, bodies: poster.bodies, spare: poster.spare}
	for w.rows < task.Rows {
		b, err := source.Next(ctx)
		if err != nil {
			return err
		}
		for i := range b.Changes {
			if err := w.add(b.Changes[i].Key.ID, &b.Changes[i].After); err != nil {
				return err
			}
		}
		if len(b.Changes) > 0 {
			source.Commit(b.Position)
		}
	}
	w.flush()
	return poster.close()
}

// straightPoster posts bodies by the number of senders that brazecdc has.
type straightPoster struct {
	bodies, spare chan []byte
	senders       sync.WaitGroup
	fault         chan error // the first one
}

func newStraightPoster(endpoint string) *straightPoster {
	p := &straightPoster{bodies: make(chan []byte, figureSenders), spare: make(chan []byte, 4*figureSenders), fault: make(chan error, 1)}
	client := &http.Client{Transport: straightTransport()}
	for range figureSenders {
		p.senders.Go(func() {
			for b := range p.bodies {
				if err := post(client, endpoint+"/users/track", b); err != nil {
					select {
					case p.fault <- err:
					default:
					}
				}
				select {
				case p.spare <- b[:0]:
				default:
				}
			}
		})
	}
	return p
}

// close waits for what is under way.
func (p *straightPoster) close() error {
	close(p.bodies)
	p.senders.Wait()
	select {
	case err := <-p.fault:
		return err
	default:
		return nil
	}
}

// straightTransport has the settings of connector/braze.
func straightTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{DialContext: dialer.DialContext, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 256, IdleConnTimeout: 90 * time.Second,
		ExpectContinueTimeout: time.Second, WriteBufferSize: 32 << 10, DisableCompression: true}
}

func post(client *http.Client, url string, body []byte) error {
	req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+figureKey)
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode != http.StatusCreated {
		return fmt.Errorf("status %d", res.StatusCode)
	}
	return nil
}

// straightWriter makes bodies of rows.
type straightWriter struct {
	task   straightTask
	bodies chan<- []byte
	spare  <-chan []byte
	table  *connector.Table
	cols   []int
	names  [][]byte
	body   []byte
	n      int
	rows   int
}

// add writes one row of the user whose id its key is.
func (w *straightWriter) add(id string, r *connector.Row) error {
	if r.Table != w.table {
		w.table, w.cols, w.names = r.Table, w.cols[:0], w.names[:0]
		for _, name := range w.task.Fields {
			w.cols = append(w.cols, r.Table.Column(name))
			w.names = append(w.names, []byte(`,"`+name+`":`))
		}
	}
	if w.n == 0 {
		select {
		case w.body = <-w.spare:
		default:
			w.body = make([]byte, 0, 32<<10)
		}
		w.body = append(w.body, `{"attributes":[`...)
	} else {
		w.body = append(w.body, ',')
	}
	w.body = append(w.body, `{"external_id":"`...)
	w.body = append(append(w.body, id...), '"')
	for i, c := range w.cols {
		w.body = append(w.body, w.names[i]...)
		v, ok, err := r.Value(c)
		if err != nil || !ok {
			return errors.Join(err, fmt.Errorf("column %q has no value", w.task.Fields[i]))
		}
		w.body = appendStraight(w.body, v)
	}
	w.body = append(w.body, '}')
	w.rows++
	if w.n++; w.n == 75 {
		w.flush()
	}
	return nil
}

func appendStraight(b []byte, v connector.Value) []byte {
	switch v.Kind {
	case connector.KindNull:
		return append(b, "null"...)
	case connector.KindBool:
		return strconv.AppendBool(b, v.Int == 1)
	case connector.KindInt:
		return strconv.AppendInt(b, v.Int, 10)
	case connector.KindDecimal:
		return append(b, v.Str...)
	case connector.KindFloat:
		return strconv.AppendFloat(b, v.Float, 'f', -1, 64)
	case connector.KindTimestampTZ:
		b = append(b, '"')
		b = time.UnixMicro(v.Int).UTC().AppendFormat(b, time.RFC3339Nano)
		return append(b, '"')
	}
	return strconv.AppendQuote(b, v.Str) // the texts of this table hold nothing that Go and JSON quote differently
}

func (w *straightWriter) flush() {
	if w.n == 0 {
		return
	}
	w.bodies <- append(w.body, `]}`...)
	w.n = 0
}

// runMeasured starts brazecdc inside the test binary, which tells its allocations.
func (f *figures) runMeasured(j *job) *proc {
	f.t.Helper()
	addr := freeAddress(f.t)
	cmd := exec.Command(os.Args[0], "-test.run=^TestFiguresMeasured$", "-test.v")
	cmd.Env = append(os.Environ(), measuredEnv+"="+addr, configEnv+"="+j.config())
	p := startProc(f.t, cmd, j)
	p.mallocsAt = "http://" + addr + "/mallocs"
	return p
}

// allocations asks a measured process.
func (p *proc) allocations() (mallocs, size float64) {
	if p.mallocsAt == "" {
		return 0, 0
	}
	res, err := http.Get(p.mallocsAt)
	if err != nil {
		return 0, 0
	}
	defer res.Body.Close()
	if _, err := fmt.Fscan(res.Body, &mallocs, &size); err != nil {
		return 0, 0
	}
	return mallocs, size
}

// TestFiguresMeasured is brazecdc in a process that tells its allocations, and writes profiles where profileEnv names a folder.
func TestFiguresMeasured(t *testing.T) {
	addr := os.Getenv(measuredEnv)
	if addr == "" {
		return // nothing to test: TestFigures starts this binary once more with the variable set
	}
	http.HandleFunc("/mallocs", func(w http.ResponseWriter, _ *http.Request) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fmt.Fprintln(w, m.Mallocs, m.TotalAlloc)
	})
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = http.Serve(l, nil) }()
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	stop := profile(t)
	defer stop()
	if code := run(ctx, []string{"run", "--config", os.Getenv(configEnv)}, terminal{out: os.Stdout, err: os.Stderr}, os.Exit); code != 0 {
		t.Fatalf("exit code %d", code)
	}
}

// profile writes profiles of this process' CPU, allocations, waiting and fullest heap, if they are asked for.
func profile(t *testing.T) (stop func()) {
	t.Helper()
	dir := os.Getenv(profileEnv)
	if dir == "" {
		return func() {}
	}
	runtime.MemProfileRate = 64 << 10
	runtime.SetBlockProfileRate(10_000) // ns
	name := func(what string) string { return filepath.Join(dir, t.Name()+"."+what+".pprof") }
	out, err := os.Create(name("cpu"))
	if err != nil {
		t.Fatal(err)
	}
	if err := pprof.StartCPUProfile(out); err != nil {
		t.Fatal(err)
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		fullestHeap(name("heap"), end)
	}()
	return func() {
		close(end)
		<-ended
		pprof.StopCPUProfile()
		_ = out.Close()
		for _, what := range []string{"allocs", "block"} {
			out, err := os.Create(name(what))
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(pprof.Lookup(what).WriteTo(out, 0), out.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// fullestHeap keeps the heap profile of the moment at which most was in use.
func fullestHeap(file string, end <-chan struct{}) {
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	most := uint64(0)
	for {
		select {
		case <-end:
			return
		case <-tick.C:
		}
		var m runtime.MemStats
		if runtime.ReadMemStats(&m); m.HeapInuse <= most {
			continue
		}
		most = m.HeapInuse
		var b bytes.Buffer
		if pprof.WriteHeapProfile(&b) != nil || os.WriteFile(file, b.Bytes(), 0o600) != nil {
			return
		}
	}
}
