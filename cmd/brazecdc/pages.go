package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"regexp"
	"sync"
	"time"

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
	// access is who may use the pages.
	access *pageAccess
	// starter makes the stream run beside the pages; nil in run, where it does, and in the demo.
	starter *starter
	demo    bool
	// webhook tells people who look at no page.
	webhook *webhook
	// changing is held by who changes the files while no process runs.
	changing sync.Mutex
}

// inside is the face of the stream that runs within this process: in run and in the demo always, in ui once its pages have started one; else nil.
func (x *pageParts) inside() *face {
	if x.face == nil && x.starter != nil {
		return x.starter.face.Load()
	}
	return x.face
}

// pages makes the server of the pages.
func (p *program) pages(x *pageParts) (*web.Server, error) {
	v, _ := buildVersion()
	c := web.Config{
		Access: x.access.now,
		File:   p.config, Version: v, Log: x.log, Demo: x.demo,
		Workspace: func() string { return p.shownWorkspace("") },
		API:       func(ctx context.Context) (control.API, func(), error) { return p.pagesAPI(ctx, x, forReading) },
		Change:    func(ctx context.Context) (control.API, func(), error) { return p.pagesAPI(ctx, x, forWriting) },
		Parse: func(text []byte) (*config.Config, error) {
			return config.ParseText(p.config, text, p.env)
		},
	}
	if x.face != nil {
		c.Workspace = func() string { return p.shownWorkspace(x.face.config().Braze.Workspace) }
	}
	store, err := draft.Open(p.config, p.draftFolder())
	if err != nil {
		return nil, err
	}
	store.Log = x.log
	c.Charts = filepath.Join(p.draftFolder(), "charts")
	store.Check = func(text []byte) error {
		_, err := p.parse(text)
		return err
	}
	c.Draft = store
	p.livePages(x, &c)
	p.connectionsPages(x, &c)
	p.modelsPages(x, &c)
	p.draftPages(x, &c)
	p.usersPages(x, &c)
	p.quarantinePages(x, &c)
	x.webhook = p.webhook(x, x.log)
	c.Alerts, c.Support = x.webhook, supportViews{p, x}
	s, err := web.New(c)
	if err != nil {
		return nil, fmt.Errorf("make the pages: %w", err)
	}
	return s, nil
}

// named is a reference to a variable or a file, and labelled one to a variable whose name says that a workspace's label is in it.
var (
	named    = regexp.MustCompile(`\$\{[^}]*\}`)
	labelled = regexp.MustCompile(`^\$\{[A-Za-z0-9_]*(?i:workspace)[A-Za-z0-9_]*\}$`)
)

// shownWorkspace is the label as the pages show it; works is that of the configuration that runs, where one does. With a variable in it one file serves two
// workspaces, and then its value has to be seen. Any other reference stands as it is written: what is behind it may be a secret, which an editor could read so.
func (p *program) shownWorkspace(works string) string {
	written := p.glance().Braze.Workspace
	for _, reference := range named.FindAllString(written, -1) {
		if !labelled.MatchString(reference) {
			return written
		}
	}
	if works != "" {
		return works
	}
	return named.ReplaceAllStringFunc(written, func(reference string) string {
		value, ok := p.env(reference[2 : len(reference)-1])
		if !ok {
			return reference
		}
		return value
	})
}

// pagesAPI is the process itself in run, and in ui what the other commands ask: the running process, or the files. The files also answer where the process
// has stopped and only the pages stay.
func (p *program) pagesAPI(ctx context.Context, x *pageParts, want purpose) (control.API, func(), error) {
	open := func() (control.API, func(), error) { return p.api(ctx, want) }
	if x.face != nil {
		api, done, why := x.face.lend(ctx, true)
		if _, stopped := errors.AsType[*stoppedError](why); !stopped {
			return api, done, nil
		}
		open = func() (control.API, func(), error) { return p.offline(x.face.config(), want, true) }
	}
	if want == forReading {
		return open()
	}
	return x.change(ctx, open)
}

const (
	// changeWithin is how long a change of the files waits for who looks at them, and changeAgain how often it tries.
	changeWithin = 5 * time.Second
	changeAgain  = 20 * time.Millisecond
)

// change opens the files for who changes them, one at a time: each takes their lock, for which others here would only be refused. A running process takes many
// at once.
func (x *pageParts) change(ctx context.Context, open func() (control.API, func(), error)) (control.API, func(), error) {
	again := time.NewTicker(changeAgain)
	defer again.Stop()
	for until := (time.Time{}); ; {
		if x.changing.TryLock() {
			if until.IsZero() {
				until = time.Now().Add(changeWithin)
			}
			api, done, err := open()
			if _, files := api.(*control.Offline); err == nil && files {
				return api, sync.OnceFunc(func() { done(); x.changing.Unlock() }), nil
			}
			x.changing.Unlock()
			stop, ok := errors.AsType[*connector.StopError](err)
			if !ok || stop.Code != connector.ExitStoreLocked || time.Now().After(until) {
				return api, done, err
			}
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// away is the process while no app works: it tells its status, takes another configuration, and can't do anything else for the reason given.
type away struct {
	f   *face
	why error
}

var _ interface {
	control.API
	control.Reloads
	control.Logs
} = away{}

// Status implements control.API.
func (s away) Status(ctx context.Context) (*control.Status, error) { return s.f.Status(ctx) }

// Reload implements control.Reloads.
func (s away) Reload(ctx context.Context) error { return s.f.runner.Reload(ctx) }

// SetLogLevel implements control.Logs.
func (s away) SetLogLevel(ctx context.Context, q control.LogLevel) (string, error) {
	return s.f.levels.SetLogLevel(ctx, q)
}

// Pending implements control.API.
func (s away) Pending(context.Context) ([]connector.Confirmation, error) { return nil, s.why }

// Confirm implements control.API.
func (s away) Confirm(context.Context, string, bool) (string, error) { return "", s.why }

// Entries implements control.API.
func (s away) Entries(context.Context, connector.EntryFilter) ([]connector.Entry, error) {
	return nil, s.why
}

// Entry implements control.API.
func (s away) Entry(context.Context, uint64) (*connector.Entry, error) { return nil, s.why }

// Retry implements control.API.
func (s away) Retry(context.Context, uint64) (string, error) { return "", s.why }

// RetryLate implements control.API.
func (s away) RetryLate(context.Context, uint64) (string, error) { return "", s.why }

// Discard implements control.API.
func (s away) Discard(context.Context, uint64, string) error { return s.why }

// Send implements control.API.
func (s away) Send(context.Context, string, string, ...string) (string, error) { return "", s.why }

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
		return stop, p.watchUnseen(cfg, f, log, &stops)
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
	x := &pageParts{log: log, face: f, access: newPageAccess(p.config, cfg.Web.Listen, log)}
	pages, err := p.pages(x)
	var own *tls.Config
	if err == nil {
		own, err = p.serverTLS(cfg.Web.TLS, log)
	}
	if err != nil {
		_ = l.Close()
		stop(context.Background())
		return nil, err
	}
	x.webhook.pages = pagesAt(l.Addr(), own != nil)
	f.pages.Store(pages)
	stops = append(stops, servePages(l, own, pages, cfg.Ops.Token, beside, log), func(context.Context) { x.webhook.close() })
	log.Info("listening", "component", "web", "address", l.Addr().String())
	return stop, nil
}

// watchUnseen watches the process without serving pages, where a webhook wants to know.
func (p *program) watchUnseen(cfg *config.Config, f *face, log *slog.Logger, stops *[]func(context.Context)) error {
	if cfg.Ops.Webhook.URL == "" {
		return nil
	}
	x := &pageParts{log: log, face: f, access: newPageAccess(p.config, "", log)}
	pages, err := p.pages(x)
	if err != nil {
		return err
	}
	f.pages.Store(pages)
	go pages.Sample()
	*stops = append(*stops, func(context.Context) { pages.Stop(); x.webhook.close() })
	return nil
}
