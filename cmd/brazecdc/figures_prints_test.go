package main

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"brazecdc/connector"
	"brazecdc/connector/config"
)

const (
	printsEnv    = "BRAZECDC_FIGURES_PRINTS" // on or off, in the process that is measured
	printsTable  = "public.people"
	printsRounds = 4 // of each measurement, by turns, of which the mean counts: the store merges its tables in some rounds and not in others

	// What fingerprints may cost: processor time a change where the old row decides, the same where each change reads what Braze has of one of many users, in
	// times of what it is without, and bytes a row on disk.
	maxPrintsCPU, maxPrintsReadCPU, maxPrintsBytes = 1.2, 2, 200
)

// prints measures what fingerprints cost: the same stream with the cache and without, of a model of ten fields; random reads by a process that wrote what it
// reads, and by one that has just been started and finds it in the files. What a row costs more whose external_id is not its key, since then the cache holds
// that too, BenchmarkCache tells.
func (f *figures) prints() {
	n, changes := f.n.prints, f.n.printsChanges
	f.print("prints_users", float64(n), "users")
	f.print("prints_changes", float64(changes), "rows")
	f.exec(`CREATE TABLE people (id bigint PRIMARY KEY, email text, first_name text, last_name text, country text, plan text,
		credits numeric(12,2), visits int, is_vip boolean, last_seen timestamptz, note text) WITH (fillfactor = 50)`)
	f.exec(`INSERT INTO people SELECT g, 'user' || g || '@example.com', 'Ada' || g % 1000, 'Lovelace ' || g, (ARRAY['DE','GB','FR'])[1 + g % 3],
		'free', g % 10000 / 4.0, g % 100, g % 7 = 0, timestamptz '2026-01-01' + g * interval '1 second', 'some words of text that nobody reads ' || g
		FROM generate_series(1, ` + strconv.Itoa(n) + `) g`)
	f.exec(`ANALYZE people`)
	defer f.exec(`DROP TABLE people`)
	jobs := map[string]*job{"on": f.newPrintsJob("on"), "off": f.newPrintsJob("off")}
	procs := map[string]*proc{}
	// Both live all the while, as a process does that has written what it looks up; who is not measured is halted, for as long as the other needs.
	f.exec(`ALTER SYSTEM SET wal_sender_timeout = 0`)
	f.exec(`SELECT pg_reload_conf()`)
	work := func(how string, n int) window {
		f.sim.reset()
		procs[how].signal(syscall.SIGCONT)
		w := f.watch(procs[how], n, false)
		procs[how].signal(syscall.SIGSTOP)
		return w
	}
	start := func(how string) { procs[how] = f.runPrints(jobs[how], how) }
	hows := []string{"on", "off"}
	for _, how := range hows {
		start(how)
		work(how, n)
	}
	f.bound("prints_bytes_per_row", float64(folderSize(f.t, filepath.Join(jobs["on"].dir, "cache")))/float64(n), "B", maxPrintsBytes)
	stop := func() {
		for _, how := range hows {
			procs[how].signal(syscall.SIGCONT)
			f.stop(procs[how])
		}
	}
	measure := func(name string, per func(i int) int, anew bool) (ratio float64) {
		cpu := map[string]float64{}
		for range printsRounds {
			if anew {
				stop()
			}
			f.writePeople(changes, per)
			for _, how := range hows {
				if anew {
					start(how)
				}
				cpu[how] += work(how, changes).cpu / printsRounds
			}
		}
		f.print(name+"_cpu_us_per_change", cpu["on"], "us")
		f.print(name+"_cpu_us_per_change_without", cpu["off"], "us")
		return cpu["on"] / cpu["off"]
	}
	inTurn := func(i int) int { return i%n + 1 }
	atRandom := func(i int) int { return int(uint64(i)*611_953%uint64(n)) + 1 } // a prime: each user once
	f.exec("ALTER TABLE people REPLICA IDENTITY FULL")
	f.bound("prints_before_image_cpu_ratio", measure("prints_before_image", inTurn, false), "of_without", maxPrintsCPU)
	f.exec("ALTER TABLE people REPLICA IDENTITY DEFAULT")
	f.bound("prints_random_read_cpu_ratio", measure("prints_random_read", atRandom, false), "of_without", maxPrintsReadCPU)
	for _, how := range hows {
		f.print("prints_"+how+"_rss_mb", procs[how].rss(), "MB")
	}
	f.print("prints_random_read_after_start_cpu_ratio", measure("prints_random_read_after_start", atRandom, true), "of_without")
	stop()
}

// bound prints a figure and what it may be at most. A machine that others use makes figures worse, so it is said and no failure.
func (f *figures) bound(name string, v float64, unit string, most float64) {
	f.print(name, v, fmt.Sprintf("%s (at most %g)", unit, most))
}

// writePeople changes four of the ten fields of so many users, each once, in the order that id gives.
func (f *figures) writePeople(n int, id func(i int) int) {
	f.t.Helper()
	f.round++
	f.exec("SET synchronous_commit = off")
	defer f.exec("SET synchronous_commit = on")
	const per = 2000
	ids := make([]string, 0, per)
	for i := range n {
		if ids = append(ids, strconv.Itoa(id(i))); len(ids) == per || i == n-1 {
			f.exec(fmt.Sprintf(`DO $$ DECLARE i bigint; BEGIN FOREACH i IN ARRAY '{%s}'::bigint[] LOOP UPDATE people SET visits = i %% 1000 + %d, credits = i %% 5000 + 0.25, plan = 'plan %d',
				last_seen = now() WHERE id = i; END LOOP; END $$`, strings.Join(ids, ","), f.round*1000, f.round))
			ids = ids[:0]
		}
	}
}

func (f *figures) newPrintsJob(how string) *job {
	f.t.Helper()
	j := f.newJob("prints_"+how, "all", f.sim.url)
	b, err := os.ReadFile(j.config())
	if err != nil {
		f.t.Fatal(err)
	}
	// A publication each: of one that the other job's table is in, rows would be read for nothing.
	text := strings.NewReplacer(figureTable, printsTable, "publication: figures", "publication: figures_people").Replace(string(b))
	if err := os.WriteFile(j.config(), []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
	return j
}

// runPrints starts brazecdc inside the test binary, with fingerprints or without.
func (f *figures) runPrints(j *job, how string) *proc {
	f.t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestFiguresPrints$", "-test.v")
	cmd.Env = append(os.Environ(), printsEnv+"="+how, configEnv+"="+j.config())
	return startProc(f.t, cmd, j)
}

// TestFiguresPrints is brazecdc's pipeline in a process of its own, with fingerprints or, as no configuration allows, without.
func TestFiguresPrints(t *testing.T) {
	how := os.Getenv(printsEnv)
	if how == "" {
		return // nothing to test: TestFigures starts this binary once more with the variable set
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	stop := profile(t)
	defer stop()
	p := &program{terminal: terminal{out: os.Stdout, err: os.Stderr}, config: os.Getenv(configEnv), exit: os.Exit}
	cfg, err := config.Load(p.config, os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	limitMemory(cfg)
	a, err := p.open(ctx, cfg, slog.New(slog.NewTextHandler(os.Stderr, nil)), watcher{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.close() }()
	parts := a.parts(nil)
	if how == "off" {
		parts.Prints = nil
	}
	pipeline, err := connector.New(parts)
	if err != nil {
		t.Fatal(err)
	}
	a.heard.Store(pipeline)
	if err := pipeline.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

func folderSize(t *testing.T, folder string) (n int64) {
	t.Helper()
	err := filepath.WalkDir(folder, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
