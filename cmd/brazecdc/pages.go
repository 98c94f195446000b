package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"brazecdc/connector"
	"brazecdc/connector/config"
	"brazecdc/connector/control"
	"brazecdc/connector/draft"
	"brazecdc/connector/web"
)

// pageParts is what the pages are made from: in run the parts of the process itself, in ui only the file, and whatever process answers beside it.
type pageParts struct {
	log *slog.Logger
	// face is the process' own, nil in ui.
	face *face
}

// app is the wired connector of this process: nil in ui, and in run until its parts are wired.
func (x *pageParts) app() *app {
	if x.face == nil {
		return nil
	}
	return x.face.app.Load()
}

// pages makes the server of the pages.
func (p *program) pages(x *pageParts) (*web.Server, error) {
	v, _ := buildVersion()
	c := web.Config{
		File: p.config, Version: v, Log: x.log,
		Workspace: func() string { return p.glance().Braze.Workspace },
		API:       func(ctx context.Context) (control.API, func(), error) { return p.pagesAPI(ctx, x, forReading) },
		Change:    func(ctx context.Context) (control.API, func(), error) { return p.pagesAPI(ctx, x, forWriting) },
		Parse: func(text []byte) (*config.Config, error) {
			return config.ParseText(p.config, text, os.LookupEnv)
		},
	}
	if x.face != nil {
		c.Workspace = func() string { return x.face.cfg.Braze.Workspace }
	}
	store, err := draft.Open(p.config, filepath.Join(p.beside(p.glance().Data.Path), "pages"))
	if err != nil {
		return nil, err
	}
	store.Log = x.log
	c.Draft = store
	p.livePages(x, &c)
	p.connectionsPages(x, &c)
	p.modelsPages(x, &c)
	p.draftPages(x, &c)
	p.usersPages(x, &c)
	p.quarantinePages(x, &c)
	p.loadsPages(x, &c)
	s, err := web.New(c)
	if err != nil {
		return nil, fmt.Errorf("make the pages: %w", err)
	}
	return s, nil
}

// pagesAPI is the process itself in run, and in ui what the other commands ask: the running process, or the files.
func (p *program) pagesAPI(ctx context.Context, x *pageParts, want purpose) (control.API, func(), error) {
	if x.face == nil {
		return p.api(ctx, want)
	}
	if a := x.app(); a != nil {
		return a, func() {}, nil
	}
	return starting{x.face}, func() {}, nil
}

// starting is the process before its parts are wired: it has a status and can't do anything yet.
type starting struct{ f *face }

var errStarting = &connector.StopError{Code: 1, What: "the process is starting and can't do this yet", Fix: "try again in a moment"}

// Status implements control.API.
func (s starting) Status(ctx context.Context) (*control.Status, error) { return s.f.Status(ctx) }

// Pending implements control.API.
func (s starting) Pending(context.Context) ([]connector.Confirmation, error) { return nil, errStarting }

// Confirm implements control.API.
func (s starting) Confirm(context.Context, string, bool) (string, error) { return "", errStarting }

// Entries implements control.API.
func (s starting) Entries(context.Context, connector.EntryFilter) ([]connector.Entry, error) {
	return nil, errStarting
}

// Entry implements control.API.
func (s starting) Entry(context.Context, uint64) (*connector.Entry, error) { return nil, errStarting }

// Retry implements control.API.
func (s starting) Retry(context.Context, uint64) (string, error) { return "", errStarting }

// Discard implements control.API.
func (s starting) Discard(context.Context, uint64, string) error { return errStarting }

// Send implements control.API.
func (s starting) Send(context.Context, string, string) (string, error) { return "", errStarting }

// listen serves the pages on web.listen, and health and metrics on ops.listen or, without one, beside the pages. stop ends both.
func (p *program) listen(cfg *config.Config, f *face, log *slog.Logger) (stop func(context.Context), err error) {
	var stops []func(context.Context)
	stop = func(ctx context.Context) {
		for _, s := range stops {
			s(ctx)
		}
	}
	if cfg.Ops.Listen != "" {
		l, err := listenOn("ops.listen", cfg.Ops.Listen)
		if err != nil {
			return nil, err
		}
		f.listen = l.Addr().String()
		stops = append(stops, serveOps(l, f, log))
		log.Info("listening", "component", "ops", "address", f.listen)
	}
	if cfg.Web.Listen == "" {
		return stop, nil
	}
	var l net.Listener
	if l, err = listenOn("web.listen", cfg.Web.Listen); err != nil {
		stop(context.Background())
		return nil, err
	}
	beside := f
	if cfg.Ops.Listen != "" {
		beside = nil
	} else {
		f.listen = l.Addr().String()
	}
	pages, err := p.pages(&pageParts{log: log, face: f})
	if err != nil {
		_ = l.Close()
		stop(context.Background())
		return nil, err
	}
	stops = append(stops, servePages(l, pages, beside, log))
	log.Info("listening", "component", "web", "address", l.Addr().String())
	return stop, nil
}
