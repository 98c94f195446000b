package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"brazecdc/connector/braze/brazesim"
	"brazecdc/connector/sourcetest"
)

const (
	latencyEvery = 5 * time.Millisecond // between two changes on average, that is 200 a second
	latencyWarm  = 200                  // changes before those that count
	latencyBase  = 1_000_000_000        // of the numbers that name the changes
)

// arrivals notes when each change reaches Braze: at a call's arrival, before its body is read.
type arrivals struct {
	sim *brazesim.Server

	mu  sync.Mutex
	at  []time.Time
	got int
}

// ServeHTTP implements http.Handler.
func (a *arrivals) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a.note(now, body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	a.sim.ServeHTTP(w, r)
}

func (a *arrivals) note(now time.Time, body []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for {
		_, rest, ok := bytes.Cut(body, []byte(`"visits":`))
		if !ok {
			return
		}
		body = rest
		n, err := strconv.Atoi(string(rest[:bytes.IndexAny(rest, ",}")]))
		if i := n - latencyBase; err == nil && i >= 0 && i < len(a.at) && a.at[i].IsZero() {
			a.at[i] = now
			a.got++
		}
	}
}

func (a *arrivals) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.got
}

// latency times single changes of different users, from the moment COMMIT is sent to the arrival of the call, at random distances of 5 ms on average.
func (f *figures) latency() {
	n := latencyWarm + int(f.n.latency/latencyEvery)
	a := &arrivals{sim: brazesim.New(brazesim.Config{APIKey: figureKey}), at: make([]time.Time, n)}
	defer f.replaceSimulator(a)()
	p := f.run(f.main)
	committed := make([]time.Time, n)
	random := rand.New(rand.NewPCG(1, 2))
	// The first change shows that it streams; the pace of the others begins after it.
	next := time.Now()
	var idle time.Duration // processor time of the start
	for i := range n {
		if i == latencyWarm {
			idle = p.cpu()
		}
		if i > 0 {
			<-time.After(time.Until(next)) // the pace of the load
		}
		committed[i] = f.change(i)
		if i == 0 {
			f.await(p, func() bool { return a.count() > 0 })
			next = time.Now()
		}
		next = next.Add(time.Duration(random.ExpFloat64() * float64(latencyEvery)))
	}
	f.await(p, func() bool { return a.count() == n })
	cpu := p.cpu() - idle
	f.stop(p)
	sourcetest.NothingRefused(f.t, a.sim.Unasked())
	took := make([]float64, 0, n)
	for i := latencyWarm; i < n; i++ {
		took = append(took, a.at[i].Sub(committed[i]).Seconds()*1000)
	}
	slices.Sort(took)
	f.print("latency_changes", float64(len(took)), "changes")
	f.print("latency_p50_ms", took[len(took)/2], "ms")
	f.print("latency_p99_ms", took[len(took)*99/100], "ms")
	f.print("latency_max_ms", took[len(took)-1], "ms")
	f.print("latency_cpu_us_per_change", float64(cpu.Microseconds())/float64(len(took)), "us")
}

// replaceSimulator serves h where brazesim was: data/ belongs to one endpoint.
func (f *figures) replaceSimulator(h http.Handler) (stop func()) {
	f.t.Helper()
	_ = f.sim.p.cmd.Process.Kill()
	<-f.sim.p.done
	l, err := net.Listen("tcp", strings.TrimPrefix(f.sim.url, "http://"))
	if err != nil {
		f.t.Fatal(err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	return func() {
		_ = server.Close()
		<-done
	}
}

// change changes one user and gives the time at which its commit was sent.
func (f *figures) change(i int) time.Time {
	f.t.Helper()
	tx, err := f.db.Begin(f.ctx)
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := tx.Exec(f.ctx, "UPDATE customers SET visits = $1 WHERE id = $2", latencyBase+i, i*7%f.n.users+1); err != nil {
		f.t.Fatal(err)
	}
	at := time.Now()
	if err := tx.Commit(f.ctx); err != nil {
		f.t.Fatal(err)
	}
	return at
}

func (f *figures) await(p *proc, ok func() bool) {
	f.t.Helper()
	if !p.poll(time.Minute, time.Millisecond, ok) {
		f.t.Fatalf("the changes did not arrive in a minute\n%s", p.tail())
	}
}

// simulator measures what brazesim takes on its one core, from full calls that are made beforehand.
func (f *figures) simulator() {
	const clients, calls = 4, 400
	bodies := make([][]byte, calls)
	for c := range bodies {
		var b strings.Builder
		b.WriteString(`{"attributes":[`)
		for i := range 75 {
			if i > 0 {
				b.WriteByte(',')
			}
			u := (c*75 + i) * 7919 % 100_000
			fmt.Fprintf(&b, `{"external_id":"%d","email":"user%d@example.com","first_name":"Ada","last_name":"Lovelace %d","country":"GB","plan":"pro",`+
				`"credits":%d.25,"visits":%d,"is_vip":true,"last_seen":"2026-11-01T00:00:%02dZ","note":"some words of text %d"}`, u, u, c, c, c+i, c%60, c)
		}
		bodies[c] = []byte(b.String() + `]}`)
	}
	var wg sync.WaitGroup
	end := time.Now().Add(2 * time.Second)
	start := time.Now()
	for k := range clients {
		wg.Go(func() {
			client := &http.Client{Transport: straightTransport()}
			defer client.CloseIdleConnections()
			for i := k; time.Now().Before(end); i++ {
				if err := post(client, f.sim.url+"/users/track", bodies[i%calls]); err != nil {
					f.t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	f.print("sim_objects_per_s", float64(f.sim.stats().Objects)/time.Since(start).Seconds(), "objects/s")
}

// downRun is a second brazecdc whose Braze does not answer, with a slot of its own.
type downRun struct {
	job     *job
	p       *proc
	addr    string
	since   time.Time
	stop    chan struct{}
	stopped chan struct{}
	at      []float64 // minutes
	mb      []float64
}

// startDown starts it before the changes of the others are written, so that it fills up to its bounds and then waits beside them, at no cost to them.
func (f *figures) startDown() {
	f.t.Helper()
	d := &downRun{addr: freeAddress(f.t), since: time.Now(), stop: make(chan struct{}), stopped: make(chan struct{})}
	d.job = f.newJob("down", "none", "http://"+d.addr)
	d.p = f.run(d.job)
	f.down = d
	f.await(d.p, func() bool {
		var active bool
		f.scan(&active, "SELECT coalesce(bool_or(active), false) FROM pg_replication_slots WHERE slot_name = $1", d.job.slot)
		return active
	})
	go func() {
		defer close(d.stopped)
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				d.at, d.mb = append(d.at, time.Since(d.since).Minutes()), append(d.mb, d.p.rss())
			case <-d.stop:
				return
			}
		}
	}()
}

// endDown waits until Braze was away for long enough and tells peak and slope of the memory. In the long form Braze then comes back, and everything must arrive.
func (f *figures) endDown() {
	f.t.Helper()
	d := f.down
	<-time.After(f.n.down - time.Since(d.since))
	close(d.stop)
	<-d.stopped
	d.p.mustLive()
	f.print("braze_down_s", time.Since(d.since).Seconds(), "s")
	from := len(d.at) / 2 // by then it is filled
	f.print("rss_slope_mb_per_min", slope(d.at[from:], d.mb[from:]), "MB/min")
	if f.n.down > time.Minute {
		back := f.startSimulator(d.addr)
		f.waitConfirmed(d.p, f.currentLSN())
		f.print("braze_back_objects", float64(back.stats().Objects), "objects")
	}
	f.peak("braze_down", d.p)
}

// slope is that of the straight line with the least squares through the points.
func slope(x, y []float64) float64 {
	n := float64(len(x))
	var sx, sy, sxx, sxy float64
	for i := range x {
		sx, sy, sxx, sxy = sx+x[i], sy+y[i], sxx+x[i]*x[i], sxy+x[i]*y[i]
	}
	if d := n*sxx - sx*sx; d != 0 {
		return (n*sxy - sx*sy) / d
	}
	return 0
}
