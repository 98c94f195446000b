package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"brazecdc/connector/postgres/throwaway"
)

const (
	figureTable    = "public.customers"
	figureKey      = "figures-key"
	figureSenders  = 16 // of both, so that neither wins by concurrency
	figurePatience = 10 * time.Minute
)

// figures is what the measurements share.
type figures struct {
	t     *testing.T
	ctx   context.Context
	n     figureCounts
	pg    *throwaway.Server
	db    *pgx.Conn
	dir   string
	bin   string
	sim   *simulator
	main  *job
	down  *downRun
	round int // of writes; makes the values of each differ
	slots int
	peaks []float64
}

// newFigures builds both programs, starts Postgres with a table of 15 columns, and brazesim on one core.
func newFigures(t *testing.T, n figureCounts) *figures {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	t.Cleanup(cancel)
	f := &figures{t: t, ctx: ctx, n: n, dir: t.TempDir()}
	f.bin = f.build()
	f.pg = throwaway.ForTestConfig(t, throwaway.Config{Dir: roomyDir(), Settings: map[string]string{
		"shared_buffers": "512MB", "max_wal_size": "32GB", "checkpoint_timeout": "1h", "autovacuum": "off",
	}})
	if err := f.pg.CreateDatabase(ctx, "figures"); err != nil {
		t.Fatal(err)
	}
	db, err := pgx.Connect(ctx, f.pg.URL("figures"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close(context.WithoutCancel(ctx)) })
	f.db = db
	f.exec(`CREATE TABLE customers (id bigint PRIMARY KEY, email text NOT NULL, first_name text, last_name text, country text, plan text,
		credits numeric(12,2), visits int, is_vip boolean, last_seen timestamptz, note text, token text, score double precision, changed_by text,
		prefs jsonb) WITH (fillfactor = 50)`)
	f.exec(`INSERT INTO customers SELECT g, 'user' || g || '@example.com', 'Ada' || g % 1000, 'Lovelace ' || g, (ARRAY['DE','GB','FR'])[1 + g % 3],
		(ARRAY['free','pro'])[1 + g % 2], g % 10000 / 4.0, g % 100, g % 7 = 0, timestamptz '2026-01-01' + g * interval '1 second',
		'some words of text that nobody reads ' || g, md5(g::text), g / 3.0, 'import', '{"theme": "dark"}' FROM generate_series(1, ` + strconv.Itoa(n.users) + `) g`)
	f.exec(`ANALYZE customers`)
	f.sim = f.startSimulator(freeAddress(t))
	f.main = f.newJob("main", "all", f.sim.url)
	return f
}

// roomyDir is a folder for the server's files; the system's own may be slow or kept in memory.
func roomyDir() string {
	if info, err := os.Stat("/var/tmp"); err == nil && info.IsDir() {
		return "/var/tmp"
	}
	return ""
}

func (f *figures) build() string {
	f.t.Helper()
	dir := filepath.Join(f.dir, "bin")
	build := exec.CommandContext(f.ctx, "go", "build", "-o", dir+string(filepath.Separator), "brazecdc/cmd/brazecdc", "brazecdc/cmd/brazesim")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as "make build" and the image do: the stores' memory is then the collector's too
	out, err := build.CombinedOutput()
	if err != nil {
		f.t.Fatalf("build both programs: %v\n%s", err, out)
	}
	return dir
}

func (f *figures) exec(sql string, args ...any) {
	f.t.Helper()
	if _, err := f.db.Exec(f.ctx, sql, args...); err != nil {
		f.t.Fatalf("%.80s: %v", sql, err)
	}
}

func (f *figures) scan(dst any, sql string, args ...any) {
	f.t.Helper()
	if err := f.db.QueryRow(f.ctx, sql, args...).Scan(dst); err != nil {
		f.t.Fatalf("%.80s: %v", sql, err)
	}
}

// write makes n updates over the first so many users, in turn, per to a transaction.
func (f *figures) write(n, users, per int) {
	f.t.Helper()
	f.round++
	// A commit that waits for no flush is written faster; the one that is timed must be flushed, since only flushed log is streamed.
	f.exec("SET synchronous_commit = off")
	defer f.exec("SET synchronous_commit = on")
	set := fmt.Sprintf("UPDATE customers SET visits = id %% 1000 + %d, credits = id %% 5000 + 0.25, plan = 'plan %d', last_seen = now(), changed_by = 'round %d'",
		f.round*1000, f.round, f.round)
	if per == 1 {
		f.exec(fmt.Sprintf("DO $$ BEGIN FOR i IN 0..%d LOOP %s WHERE id = i %% %d + 1; COMMIT; END LOOP; END $$", n-1, set, users))
		return
	}
	for done := 0; done < n; {
		first := done % users
		m := min(per, n-done, users-first)
		f.exec(fmt.Sprintf("%s WHERE id BETWEEN %d AND %d", set, first+1, first+m))
		done += m
	}
}

// newSlot makes a slot for the straight loop. It begins where the slot of brazecdc, which has read everything and does not run, stands.
func (f *figures) newSlot() string {
	f.t.Helper()
	if f.slots > 0 {
		f.exec("SELECT pg_drop_replication_slot($1)", fmt.Sprintf("straight_%d", f.slots))
	}
	f.slots++
	name := fmt.Sprintf("straight_%d", f.slots)
	f.exec("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", name)
	return name
}

func (f *figures) currentLSN() string {
	f.t.Helper()
	var at string
	f.scan(&at, "SELECT pg_current_wal_insert_lsn()::text")
	return at
}

// waitConfirmed waits until brazecdc has confirmed everything up to a position.
func (f *figures) waitConfirmed(p *proc, lsn string) {
	f.t.Helper()
	done := false
	if !p.poll(figurePatience, 20*time.Millisecond, func() bool {
		f.scan(&done, "SELECT coalesce(confirmed_flush_lsn >= $1::text::pg_lsn, false) FROM pg_replication_slots WHERE slot_name = $2", lsn, p.job.slot)
		return done
	}) {
		f.t.Fatalf("brazecdc did not confirm %s in %s\n%s", lsn, figurePatience, p.tail())
	}
}

// job is one configuration of brazecdc with its folders.
type job struct {
	name, dir, slot, web string
}

// newJob writes a configuration: ten mapped columns, everything at its default but the number of senders and the pace, which the straight loop does not
// keep either.
func (f *figures) newJob(name, load, endpoint string) *job {
	f.t.Helper()
	j := &job{name: name, dir: filepath.Join(f.dir, name), slot: "figures_" + name, web: freeAddress(f.t)}
	if err := os.MkdirAll(j.dir, 0o755); err != nil {
		f.t.Fatal(err)
	}
	yaml := fmt.Sprintf(`version: 1
braze: { workspace: figures, endpoint: "%s", api_key: %s, senders: %d, rate: { per_hour: 1000000000 } }
source: { time_zone: UTC, postgres: { url: "%s", slot: %s, publication: figures } }
log: { level: info, format: text }
web: { listen: %s }
models:
  - name: customers
    kind: users
    table: %s
    mode: sync
    load: %s
    identify: { external_id: id }
    fields: { email: email, first_name: first_name, last_name: last_name, country: country }
    custom: { plan: plan, credits: credits, visits: visits, is_vip: is_vip, last_seen: last_seen, note: note }
`, endpoint, figureKey, figureSenders, f.pg.URL("figures"), j.slot, j.web, figureTable, load)
	if err := os.WriteFile(j.config(), []byte(yaml), 0o600); err != nil {
		f.t.Fatal(err)
	}
	return j
}

func (j *job) config() string { return filepath.Join(j.dir, "brazecdc.yaml") }

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// simulator is brazesim as a process on one core.
type simulator struct {
	t   *testing.T
	p   *proc
	url string
}

func (f *figures) startSimulator(addr string) *simulator {
	f.t.Helper()
	cmd := exec.Command(filepath.Join(f.bin, "brazesim"), "--listen", addr, "--api-key", figureKey, "--rate-style", "none")
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	s := &simulator{t: f.t, p: startProc(f.t, cmd, nil), url: "http://" + addr}
	var err error
	if !s.p.poll(10*time.Second, 5*time.Millisecond, func() bool {
		var res *http.Response
		if res, err = http.Get(s.url + "/_sim/stats"); err == nil {
			res.Body.Close()
		}
		return err == nil
	}) {
		f.t.Fatalf("brazesim does not answer: %v", err)
	}
	return s
}

// simStats is what is read of GET /_sim/stats.
type simStats struct {
	Objects  int `json:"objects"`
	Requests int `json:"requests"`
	Refused  int `json:"refused"`
	Overlaps int `json:"overlaps"`

	Endpoints map[string]struct {
		Requests int `json:"requests"`
	} `json:"endpoints"`
}

// calls is how often /users/track was called.
func (s simStats) calls() int { return s.Endpoints["/users/track"].Requests }

func (s *simulator) stats() simStats {
	s.t.Helper()
	res, err := http.Get(s.url + "/_sim/stats")
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	var st simStats
	if err := json.NewDecoder(res.Body).Decode(&st); err != nil {
		s.t.Fatal(err)
	}
	return st
}

// reset empties the simulator, so that every run creates the same profiles.
func (s *simulator) reset() {
	s.t.Helper()
	res, err := http.Post(s.url+"/_sim/reset", "application/json", strings.NewReader("{}"))
	if err != nil {
		s.t.Fatal(err)
	}
	res.Body.Close()
}
