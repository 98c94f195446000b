package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	figuresWanted = flag.Bool("figures", false, "measure, and print one line a figure")
	figuresOf     = flag.String("figures-of", "", "only these steps of TestFigures, comma-separated; the load always")
)

// figureCounts is how much of everything is measured.
type figureCounts struct {
	users   int           // rows of the table, and of the load
	backlog int           // changes in transactions of some thousand rows, each user once
	single  int           // changes in transactions of one row, each user once
	folding int           // changes over foldingUsers
	alloc   int           // changes for counting allocations
	txn     int           // rows of one transaction
	down    time.Duration // for which Braze is away
	latency time.Duration // for which single changes are timed

	foldingUsers int

	prints, printsChanges int // users and changes for what fingerprints cost
}

func chooseCounts(quick bool) figureCounts {
	if quick {
		return figureCounts{prints: 100_000, printsChanges: 100_000, users: 100_000, backlog: 100_000, single: 40_000, folding: 60_000, foldingUsers: 5_000, alloc: 50_000, txn: 100_000,
			down: 30 * time.Second, latency: 5 * time.Second}
	}
	return figureCounts{prints: 1_000_000, printsChanges: 300_000, users: 2_000_000, backlog: 2_000_000, single: 300_000, folding: 2_000_000, foldingUsers: 100_000, alloc: 300_000, txn: 1_000_000,
		down: 10 * time.Minute, latency: 30 * time.Second}
}

// TestFigures measures the program as it is shipped: the built binary as a process of its own, a real Postgres, and brazesim on one core, all over
// loopback on this machine. Its counterpart is a straight loop over the same data in the same run, see straightLoop. QUICK=1 makes everything smaller;
// the counts used are printed among the figures.
func TestFigures(t *testing.T) {
	if !*figuresWanted {
		t.Log("run make bench to measure")
		return
	}
	f := newFigures(t, chooseCounts(os.Getenv("QUICK") != ""))
	steps := []struct {
		name string
		do   func()
	}{
		{"simulator", f.simulator}, {"load", f.load}, {"down", f.startDown}, {"backlog", f.backlog}, {"singles", f.singles}, {"folding", f.folding},
		{"prints", f.prints}, {"allocations", f.allocations}, {"transaction", f.transaction}, {"latency", f.latency}, {"down", f.endDown},
	}
	for _, s := range steps {
		// The load is what the other steps stand on.
		if s.name == "load" || wanted(s.name) {
			s.do()
		}
	}
	f.print("peak_rss_mb", slices.Max(f.peaks), "MB")
}

// wanted tells whether a step is to be done. A name with an underscore stands under its first part: kafka_json under kafka.
func wanted(step string) bool {
	whole, _, _ := strings.Cut(step, "_")
	list := strings.Split(*figuresOf, ",")
	return *figuresOf == "" || slices.Contains(list, step) || slices.Contains(list, whole)
}

// print prints one figure. Whole numbers stay whole; others get as many digits as they deserve.
func (f *figures) print(name string, v float64, unit string) {
	digits := 0
	switch {
	case v == float64(int64(v)):
	case v < 10:
		digits = 3
	case v < 1000:
		digits = 1
	}
	fmt.Printf("figure %s %.*f %s\n", name, digits, v, unit)
}

func (f *figures) peak(name string, p *proc) {
	mb := p.peakRSS()
	f.peaks = append(f.peaks, mb)
	f.print("peak_rss_mb_"+name, mb, "MB")
}

// load times the load of the whole table, from the first object that arrives to the last.
func (f *figures) load() {
	n := f.n.users
	f.print("load_rows", float64(n), "rows")
	f.sim.reset()
	p := f.run(f.main)
	w := f.watch(p, n, false)
	f.stop(p)
	f.print("load_rows_per_s", w.rate, "rows/s")
	f.print("load_cpu_us_per_row", w.cpu, "us")
	f.peak("load", p)
}

// backlog lets both drain changes that were written before they start, each user once, so that nothing folds.
func (f *figures) backlog() {
	n := f.n.backlog
	f.print("backlog_changes", float64(n), "rows")
	straight := f.newSlot()
	f.write(n, n, 5000)
	loop := f.straight(straight, n)
	f.print("straight_loop_rows_per_s", loop.rate, "rows/s")
	f.print("straight_loop_cpu_us_per_change", loop.cpu, "us")

	f.sim.reset()
	p := f.run(f.main)
	w := f.watch(p, n, true)
	f.stop(p)
	f.print("postgres_stream_rows_per_s", w.rate, "rows/s")
	f.print("postgres_stream_ratio", w.rate/loop.rate, "of_straight_loop")
	f.print("cpu_us_per_change", w.cpu, "us")
	f.peak("backlog", p)
}

// singles is backlog with a transaction for each change.
func (f *figures) singles() {
	n := f.n.single
	f.print("single_row_changes", float64(n), "rows")
	straight := f.newSlot()
	f.write(n, n, 1)
	loop := f.straight(straight, n)
	f.print("straight_loop_single_rows_per_s", loop.rate, "rows/s")

	f.sim.reset()
	p := f.run(f.main)
	w := f.watch(p, n, true)
	calls := f.sim.stats().Requests
	f.stop(p)
	f.print("postgres_stream_single_rows_per_s", w.rate, "rows/s")
	f.print("postgres_stream_single_objects_per_call", float64(n)/float64(calls), "objects")
	f.print("postgres_stream_single_ratio", w.rate/loop.rate, "of_straight_loop")
	f.print("cpu_us_per_single_change", w.cpu, "us")
}

// folding changes each user several times. The straight loop sends every row; brazecdc waits user_gap (1 s) between two calls of a user and folds what
// comes meanwhile, and the time counted includes the gap that it keeps after its start.
func (f *figures) folding() {
	n := f.n.folding
	f.print("folding_changes", float64(n), "rows")
	f.print("folding_users", float64(f.n.foldingUsers), "users")
	straight := f.newSlot()
	f.write(n, f.n.foldingUsers, 5000)
	loop := f.straight(straight, n)

	f.sim.reset()
	target := f.currentLSN()
	start := time.Now()
	p := f.run(f.main)
	f.waitConfirmed(p, target)
	took := time.Since(start)
	objects := f.sim.stats().Objects
	f.stop(p)
	f.print("postgres_stream_folding_rows_per_s", float64(n)/took.Seconds(), "rows/s")
	f.print("postgres_stream_folding_ratio", float64(n)/took.Seconds()/loop.rate, "of_straight_loop")
	f.print("postgres_stream_folding_objects", float64(objects), "objects")
	f.peak("backlog_folding", p)
}

// allocations repeats the backlog with brazecdc inside a process that tells its allocations.
func (f *figures) allocations() {
	n := f.n.alloc
	f.write(n, n, 5000)
	f.sim.reset()
	p := f.runMeasured(f.main)
	w := f.watch(p, n, true)
	f.stop(p)
	f.print("allocs_per_change", w.allocs, "allocs")
	f.print("alloc_bytes_per_change", w.allocBytes, "B")
}

// transaction lets brazecdc take one large transaction.
func (f *figures) transaction() {
	n := f.n.txn
	f.print("transaction_rows", float64(n), "rows")
	f.write(n, n, n)
	f.sim.reset()
	p := f.run(f.main)
	w := f.watch(p, n, true)
	f.stop(p)
	f.print("transaction_rows_per_s", w.rate, "rows/s")
	f.peak("transaction", p)
}
