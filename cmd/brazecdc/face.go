package main

import (
	"context"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"brazecdc/connector/config"
	"brazecdc/connector/control"
)

// face is what the web listener shows of a process: also before its parts are wired, while it waits for the database.
type face struct {
	cfg     *config.Config
	file    string
	started time.Time
	listen  string
	app     atomic.Pointer[app]
}

// Live is the pipeline's own, and true before there is one: its start has a deadline.
func (f *face) Live() (ok bool, reasons []string) {
	if a := f.app.Load(); a != nil {
		return a.pipeline.Live()
	}
	return true, nil
}

// Ready is the pipeline's own, and false before there is one.
func (f *face) Ready() (ok bool, reasons []string) {
	if a := f.app.Load(); a != nil {
		return a.pipeline.Ready()
	}
	return false, []string{"process: starting, looks at the database"}
}

// Status is the process' own, in short before there is a pipeline.
func (f *face) Status(ctx context.Context) (*control.Status, error) {
	if a := f.app.Load(); a != nil {
		return a.Status(ctx)
	}
	v, _ := buildVersion()
	s := &control.Status{Version: v, Workspace: f.cfg.Braze.Workspace, Config: f.file, PID: os.Getpid(), Started: f.started, Listen: f.listen}
	s.State, s.Since = "starting", f.started
	_, s.NotReady = f.Ready()
	return s, nil
}

// ServeHTTP answers /metrics.
func (f *face) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	metricsHandler(f.app.Load()).ServeHTTP(w, r)
}
