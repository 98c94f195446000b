package connector_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"brazecdc/connector"
	"brazecdc/connector/braze"
	"brazecdc/connector/braze/brazesim"
	"brazecdc/connector/mapping"
	"brazecdc/connector/postgres"
	"brazecdc/connector/postgres/throwaway"
	"brazecdc/connector/sourcetest"
	"brazecdc/connector/state"
)

// Times of the rig: the simulator applies a request inside applyDelay after its answer and a delete inside deleteDelay, both below what the pipeline waits.
const (
	applyDelay  = 18 * time.Millisecond
	deleteDelay = 45 * time.Millisecond
	userGap     = 30 * time.Millisecond
	settleTime  = 60 * time.Millisecond
	rigKey      = "rig-key"
	rigWait     = 40 * time.Second // for anything that has to come
)

// rigConfig is what tests choose of a rig.
type rigConfig struct {
	mark    string // load_mark
	plans   []connector.Schedule
	models  []connector.Model
	noCache bool
	sim     brazesim.Config
	gap     time.Duration
	settle  time.Duration
	chunk   int
	trace   io.Writer
	never   []string          // never_send
	only    []string          // only_users
	server  *throwaway.Server // nil: the one that all tests share
	zone    *time.Location
	tune    func(*connector.Config, *braze.Config) // the settings that a test is about; nil: none
}

// rig is the whole path: a database, a connector and a simulated Braze. What the connector keeps outlives its restarts.
type rig struct {
	t     testing.TB
	cfg   rigConfig
	db    *pgx.Conn
	url   string
	sim   *brazesim.Server
	braze string // URL of sim
	dir   string
	asked []string // refusals that the test is about
	log   lockedBuffer
	notes lockedBuffer

	run *rigRun
}

// rigRun is one run of the connector.
type rigRun struct {
	p      *connector.Pipeline
	data   *state.Data
	cache  *state.Cache
	cancel context.CancelFunc
	ended  chan struct{}
	err    error
}

// lockedBuffer is a writer that may be used concurrently.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newRig(t testing.TB, cfg rigConfig, ddl ...string) *rig {
	t.Helper()
	r := &rig{t: t, cfg: cfg, dir: t.TempDir()}
	server := cfg.server
	if server == nil {
		server = throwaway.Shared(t)
	}
	r.url = server.TestDatabase(t)
	r.connect()
	for _, s := range ddl {
		r.exec(s)
	}
	sim := cfg.sim
	sim.APIKey = rigKey
	r.sim = brazesim.New(sim)
	var err error
	if r.braze, err = r.sim.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.sim.Close() })
	t.Cleanup(func() { sourcetest.NothingRefused(t, r.sim.Unasked(), r.asked...) })
	t.Cleanup(func() {
		r.kill()
		if t.Failed() && os.Getenv("RIG_LOG") != "" {
			t.Logf("log:\n%s\nnotes:\n%s", r.log.String(), r.notes.String())
		}
	})
	return r
}

func (r *rig) connect() {
	r.t.Helper()
	c, err := pgx.Connect(r.t.Context(), r.url)
	if err != nil {
		r.t.Fatal(err)
	}
	r.db = c
	r.t.Cleanup(func() { _ = c.Close(context.Background()) })
}

func (r *rig) exec(sql string, args ...any) {
	r.t.Helper()
	if _, err := r.db.Exec(r.t.Context(), sql, args...); err != nil {
		r.t.Fatalf("%s: %v", sql, err)
	}
}

// start begins a run of the connector on what earlier ones kept.
func (r *rig) start() {
	r.t.Helper()
	if r.run != nil {
		r.t.Fatal("the connector runs already")
	}
	run, err := r.open()
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	run.cancel, run.ended = cancel, make(chan struct{})
	r.run = run
	go func() {
		defer close(run.ended)
		run.err = run.p.Run(ctx)
	}()
	r.wait("the connector to run", func() bool {
		select {
		case <-run.ended:
			r.t.Fatalf("the connector ended: %v", run.err)
		default:
		}
		return run.p.Status().State != "starting"
	})
}

// open wires the parts as cmd/brazecdc does.
func (r *rig) open() (_ *rigRun, err error) {
	run := &rigRun{}
	log := slog.New(slog.NewTextHandler(&r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if run.data, err = state.OpenData(filepath.Join(r.dir, "data"), state.DataConfig{Workspace: "rig", Endpoint: r.braze, Logger: log}); err != nil {
		return nil, err
	}
	cfg := connector.Config{Journal: run.data, UserGap: userGap, Settle: settleTime, Drain: 30 * time.Second, Log: log,
		LoadMark: r.cfg.mark, Schedules: r.cfg.plans}
	if !r.cfg.noCache {
		if run.cache, err = state.OpenCache(filepath.Join(r.dir, "cache"), state.CacheConfig{Workspace: "rig", Endpoint: r.braze, Logger: log}); err != nil {
			return nil, errors.Join(err, run.data.Close())
		}
		cfg.Prints = run.cache
	}
	if r.cfg.gap != 0 {
		cfg.UserGap = r.cfg.gap
	}
	if r.cfg.settle != 0 {
		cfg.Settle = r.cfg.settle
	}
	source, err := postgres.New(postgres.Config{URL: r.url, Slot: r.slot(), Publication: "rig", Create: true, Heartbeat: 100 * time.Millisecond,
		StatusInterval: 200 * time.Millisecond, ChunkRows: r.cfg.chunk, Logger: log.With("component", "postgres")})
	if err != nil {
		return nil, err
	}
	cfg.Source = source
	tables := map[string]*connector.Table{}
	for _, m := range r.cfg.models {
		if tables[m.Table], err = source.Describe(r.t.Context(), m.Table); err != nil {
			return nil, err
		}
	}
	mapper, faults := mapping.New(mapping.Config{Models: r.cfg.models, Tables: tables, TimeZone: r.cfg.zone, NeverSend: r.cfg.never, OnlyUsers: r.cfg.only,
		Logger: log.With("component", "mapping"),
		Note:   func(m int, field, why string) { fmt.Fprintf(&r.notes, "%s.%s: %s\n", r.cfg.models[m].Name, field, why) },
		Passed: func(m int, why string) { fmt.Fprintf(&r.notes, "%s passed over: %s\n", r.cfg.models[m].Name, why) }})
	if mapper == nil {
		return nil, fmt.Errorf("compile the mapping: %v", faults)
	}
	cfg.Mapper, cfg.Redact = mapper, mapper.Redact
	calls := braze.Config{Endpoint: r.braze, APIKey: rigKey, Timeout: 5 * time.Second, Logger: log.With("component", "braze")}
	if r.cfg.tune != nil {
		r.cfg.tune(&cfg, &calls)
	}
	if cfg.Sink, err = braze.New(calls); err != nil {
		return nil, err
	}
	if r.cfg.trace != nil {
		cfg.Watch = func(s connector.Seen) { traceSeen(r.cfg.trace, s) }
	}
	run.p, err = connector.New(cfg)
	return run, err
}

func traceSeen(w io.Writer, s connector.Seen) {
	switch {
	case s.Effect != nil && s.Change != nil:
		fmt.Fprintf(w, "%s seen %s %s %s %s: %s %s\n", s.At.Format("05.000"), s.Change.Op, s.Change.Key, s.Effect.Kind, s.Effect.User.ID, s.Outcome, s.Reason)
	case s.Effect != nil:
		fmt.Fprintf(w, "%s seen %s %s: %s %s\n", s.At.Format("05.000"), s.Effect.Kind, s.Effect.User.ID, s.Outcome, s.Reason)
	case s.Change != nil:
		fmt.Fprintf(w, "%s seen %s %s: %s %s\n", s.At.Format("05.000"), s.Change.Op, s.Change.Key, s.Outcome, s.Reason)
	}
}

// slot is a name of this test's own: slots are the server's, not the database's.
func (r *rig) slot() string {
	cfg, err := pgx.ParseConfig(r.url)
	if err != nil {
		r.t.Fatal(err)
	}
	return "s_" + cfg.Database[:min(len(cfg.Database), 60)]
}

// stop drains the connector and ends the run.
func (r *rig) stop() {
	r.t.Helper()
	run := r.run
	if run == nil {
		return
	}
	r.run = nil
	run.cancel()
	<-run.ended
	if err := run.close(); err != nil {
		r.t.Errorf("close the connector's folders: %v", err)
	}
	if run.err != nil {
		r.t.Fatalf("the connector ended with %v", run.err)
	}
}

// kill ends a run without asking how it went.
func (r *rig) kill() {
	if run := r.run; run != nil {
		r.run = nil
		run.cancel()
		<-run.ended
		_ = run.close()
	}
}

func (run *rigRun) close() error {
	err := run.data.Close()
	if run.cache != nil {
		err = errors.Join(err, run.cache.Close())
	}
	return err
}

// wait polls a condition until it holds.
func (r *rig) wait(what string, ok func() bool) {
	r.t.Helper()
	if !sourcetest.Poll(rigWait, 2*time.Millisecond, ok) {
		r.t.Fatalf("waited %v for %s\nstatus: %s", rigWait, what, r.status())
	}
}

func (r *rig) status() string {
	if r.run == nil {
		return "not running"
	}
	b, err := json.MarshalIndent(r.run.p.Status(), "", " ")
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// alive fails the test where the run ended.
func (r *rig) alive() {
	r.t.Helper()
	select {
	case <-r.run.ended:
		r.t.Fatalf("the connector ended: %v", r.run.err)
	default:
	}
}

// loaded waits for the end of all loads.
func (r *rig) loaded() {
	r.t.Helper()
	r.wait("the loads", func() bool {
		r.alive()
		for _, l := range r.run.p.Status().Loads {
			if l.Finished.IsZero() {
				return false
			}
		}
		return true
	})
}

// quiet waits until everything committed so far has reached the simulator and taken effect.
func (r *rig) quiet() {
	r.t.Helper()
	var lsn uint64
	if err := r.db.QueryRow(r.t.Context(), `SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint`).Scan(&lsn); err != nil {
		r.t.Fatal(err)
	}
	r.loaded()
	r.wait("quiet", func() bool {
		r.alive()
		st := r.run.p.Status()
		if st.OpenChanges > 0 || st.Waiting > 0 {
			return false
		}
		for _, s := range st.Streams {
			if strings.HasPrefix(s.Stream, "slot/") && s.Confirmed >= lsn {
				return true
			}
		}
		return false
	})
	ctx, cancel := context.WithTimeout(r.t.Context(), rigWait)
	defer cancel()
	if err := r.sim.Quiet(ctx); err != nil {
		r.t.Fatalf("wait for the simulator: %v", err)
	}
}

// seed makes a profile that the connector knows nothing of.
func (r *rig) seed(attributes ...map[string]any) {
	r.t.Helper()
	b, err := json.Marshal(map[string]any{"attributes": attributes})
	if err != nil {
		r.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.braze+"/users/track", bytes.NewReader(b))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+rigKey)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusCreated {
		r.t.Fatalf("seed profiles: status %d", res.StatusCode)
	}
	if err := r.sim.Quiet(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

// cutReplication ends the connector's replication connection on the server.
func (r *rig) cutReplication() {
	r.t.Helper()
	r.exec(`SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active_pid IS NOT NULL`, r.slot())
}

// fault has the simulator fail on demand.
func (r *rig) fault(faults ...brazesim.Fault) {
	r.t.Helper()
	if err := r.sim.Faults(faults...); err != nil {
		r.t.Fatal(err)
	}
}

// quarantined lists what lies in quarantine, a line an entry.
func (r *rig) quarantined() []string {
	r.t.Helper()
	entries, err := r.run.data.Quarantine().List(connector.EntryFilter{})
	if err != nil {
		r.t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, fmt.Sprintf("%s %s %s %s: %s: %s", e.Model, e.Op, e.Key.ID, e.User.ID, e.Class, e.Reason))
	}
	return out
}

// together fails the test where two requests of one user were open at once, or took effect in another order than they were sent.
func (r *rig) together() {
	r.t.Helper()
	if v := r.sim.Violations(); len(v) > 0 {
		r.t.Errorf("%d violations, first: %+v", len(v), v[0])
	}
}
