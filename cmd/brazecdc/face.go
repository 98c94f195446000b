package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"brazecdc/connector"
	"brazecdc/connector/config"
	"brazecdc/connector/control"
	"brazecdc/connector/web"
)

// face is what the web listener and the control socket show of a process: also before its parts are wired, and while they are exchanged.
type face struct {
	file    string
	started time.Time
	listen  string
	seat    *seat
	pages   atomic.Pointer[web.Server] // once they are served
	first   *config.Config             // that the process was started with: what needs a restart is as it says
	runner  *runner                    // keeps an app working
	levels  *leveler                   // of the log
	usage   []prometheus.Collector     // of the machine by the process

	mu      sync.Mutex
	cfg     *config.Config // that works, or worked last
	text    []byte         // its file
	applied time.Time
	last    *control.Reload // the last change of the configuration that was tried
	restart []string        // settings of the file that wait for a restart
	changes bool            // a configuration is being exchanged
}

func newFace(cfg *config.Config, file string, text []byte) *face {
	now := time.Now()
	return &face{
		file: file, started: now, seat: newSeat(vacancy{state: "starting", reason: "starting, looks at the source"}), first: cfg, levels: newLeveler(cfg.Log.Level),
		usage: newUsage(), cfg: cfg, text: text, applied: now,
	}
}

// config is the configuration that works, or worked last.
func (f *face) config() *config.Config {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cfg
}

// content is the text of the configuration's file, as it works.
func (f *face) content() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.text
}

// adopt notes that another configuration works now.
func (f *face) adopt(cfg *config.Config, text []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cfg, f.text, f.applied = cfg, text, time.Now()
	f.levels.setBase(cfg.Log.Level)
}

// tried notes how a change of the configuration ended, and which settings wait for a restart.
func (f *face) tried(err error, restart []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last = &control.Reload{At: time.Now(), OK: err == nil}
	if err != nil {
		f.last.Error = err.Error()
		return
	}
	f.restart = slices.Clone(restart)
}

// reloads tells when a configuration was last applied, and whether the last try to change it went well.
func (f *face) reloads() (hash string, applied time.Time, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return hashOf(f.text), f.applied, f.last == nil || f.last.OK
}

// hashOf names a configuration in logs, metrics and status.
func hashOf(text []byte) string {
	h := sha256.Sum256(text)
	return hex.EncodeToString(h[:6])
}

// exchanging notes that a configuration is being exchanged, or no longer.
func (f *face) exchanging(is bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes = is
}

// Live is the pipeline's own, and true where there is none: its start has a deadline.
func (f *face) Live() (ok bool, reasons []string) {
	a, done, _ := f.seat.lend()
	defer done()
	if a != nil {
		return a.pipeline.Live()
	}
	return true, nil
}

// Checks are the pipeline's own, and one that fails where there is none.
func (f *face) Checks() []connector.Check {
	a, done, v := f.seat.lend()
	defer done()
	if a != nil {
		return a.pipeline.Checks()
	}
	return []connector.Check{{Name: "process", Text: v.reason}}
}

// Status is the process' own, in short where no app works.
func (f *face) Status(ctx context.Context) (*control.Status, error) {
	a, done, v := f.seat.lend()
	defer done()
	if a != nil {
		return served{a, f}.Status(ctx)
	}
	version, _ := buildVersion()
	s := &control.Status{Version: version, Workspace: f.config().Braze.Workspace, Config: f.file, PID: os.Getpid(), Started: f.started, Listen: f.listen}
	s.State, s.Since = v.state, f.started
	s.NotReady = []string{"process: " + v.reason}
	f.complete(s)
	return s, nil
}

// complete adds to a status what the process knows beside its app.
func (f *face) complete(s *control.Status) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.changes && s.State != "stopped" {
		s.State = "reloading"
	}
	s.ConfigHash, s.Applied, s.LastReload, s.NeedsRestart = hashOf(f.text), f.applied, f.last, f.restart
}

// ServeHTTP answers /metrics.
func (f *face) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a, done, v := f.seat.lend()
	defer done()
	metricsHandler(f, a, v).ServeHTTP(w, r)
}

// lendWithin is how long a request waits while the configuration is exchanged.
const lendWithin = 5 * time.Second

// stoppedError: no app works, and none will before somebody mends what stopped it.
type stoppedError struct{ reason string }

func (e *stoppedError) Error() string {
	return "the process has stopped and only its pages stay: " + e.reason + "\n  fix: mend it, then reload"
}

// lend gives the running app as others may ask it, and waits for it shortly while another comes. Where none comes it gives the process itself, which tells
// its status, and says why.
func (f *face) lend(ctx context.Context, wait bool) (api control.API, done func(), why error) {
	a, done, v := f.seat.lend()
	if a == nil && wait && !v.final {
		ctx, cancel := context.WithTimeout(ctx, lendWithin)
		defer cancel()
		a, done, v = f.seat.await(ctx)
	}
	switch {
	case a != nil:
		return served{a, f}, done, nil
	case v.final:
		why = &stoppedError{v.reason}
		return away{f, why}, done, why
	}
	return away{f, control.ErrAway}, done, control.ErrAway
}

// served is the running app with what the process adds.
type served struct {
	*app
	f *face
}

var _ interface {
	control.API
	control.Reloads
	control.Logs
	control.Resyncs
	control.Replays
	control.Forgets
	control.Comparisons
} = served{}

// Status implements control.API.
func (s served) Status(ctx context.Context) (*control.Status, error) {
	st, err := s.app.Status(ctx)
	if err != nil {
		return nil, err
	}
	s.f.complete(st)
	return st, nil
}

// Reload implements control.Reloads.
func (s served) Reload(ctx context.Context) error { return s.f.runner.Reload(ctx) }

// SetLogLevel implements control.Logs.
func (s served) SetLogLevel(ctx context.Context, q control.LogLevel) (string, error) {
	return s.f.levels.SetLogLevel(ctx, q)
}
