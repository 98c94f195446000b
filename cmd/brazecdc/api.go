package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/goccy/go-yaml"

	"brazecdc/connector"
	"brazecdc/connector/config"
	"brazecdc/connector/control"
	"brazecdc/connector/kafka"
	"brazecdc/connector/state"
)

// purpose is what a command wants of data/ where no process runs.
type purpose bool

const (
	forReading purpose = false
	forWriting purpose = true
)

// glance is what can be told of a configuration file without its secrets, so that a shell without them can ask the running process.
type glance struct {
	Braze struct {
		Workspace string `yaml:"workspace"`
	} `yaml:"braze"`
	Data struct {
		Path string `yaml:"path"`
	} `yaml:"data"`
	Web struct {
		Listen *string `yaml:"listen"`
		TLS    struct {
			Cert string `yaml:"cert"`
		} `yaml:"tls"`
	} `yaml:"web"`
	Ops struct {
		Listen string `yaml:"listen"`
	} `yaml:"ops"`
}

// glance reads the few settings that a client needs. Faults are left to load, which is strict: then the defaults stand.
func (p *program) glance() glance {
	var g glance
	if text, err := os.ReadFile(p.config); err == nil && yaml.Unmarshal(text, &g) != nil {
		g = glance{}
	}
	if g.Data.Path == "" {
		g.Data.Path = "./data"
	}
	return g
}

// api gives the running process, or the files where none runs. done ends the use.
func (p *program) api(ctx context.Context, want purpose) (_ control.API, done func(), err error) {
	client, err := control.Dial(ctx, p.beside(p.glance().Data.Path))
	switch {
	case err == nil:
		return client, client.Close, nil
	case !errors.Is(err, control.ErrNotRunning):
		return nil, nil, err
	}
	whole := true
	var cfg *config.Config
	if want == forReading {
		cfg, whole, err = p.loadReading()
	} else {
		cfg, err = p.load()
	}
	if err != nil {
		return nil, nil, err
	}
	o, done, err := p.offline(cfg, want, whole)
	if err != nil {
		return nil, nil, p.explainLocked(ctx, err)
	}
	return o, done, nil
}

// explainLocked tells of a store in use that its process is up and only cannot be asked yet, as while it waits for a database that is down: then nothing is to
// be stopped. Any other error stays.
func (p *program) explainLocked(ctx context.Context, err error) error {
	var stop *connector.StopError
	if errors.As(err, &stop) && stop.Code == connector.ExitStoreLocked {
		if coming := p.coming(ctx); coming != nil {
			return coming
		}
	}
	return err
}

// coming is the error of a command for a process that is up and has not opened its control socket yet; nil where none is.
func (p *program) coming(ctx context.Context) error {
	listen, err := p.webListen()
	if err != nil {
		return nil
	}
	address := p.webScheme() + "://" + dialable(listen)
	text, ok, err := askHealth(ctx, address+"/readyz", stayWithin)
	if err != nil || ok || !strings.HasPrefix(text, notReadyProcess+comingUp) {
		return nil
	}
	return &connector.StopError{Code: connector.ExitStoreLocked, What: "brazecdc run is starting and looks at its source; it cannot be asked before that has answered",
		Fix: "leave it running; its log says what it waits for, and \"brazecdc check\" says what is wrong with the source"}
}

// offline opens the files. For writing it takes the lock. A configuration that is not whole lacks secrets: then the brokers of a quarantine topic aren't asked.
func (p *program) offline(cfg *config.Config, want purpose, whole bool) (control.API, func(), error) {
	path := p.beside(cfg.Data.Path)
	data, err := state.OpenData(path, state.DataConfig{Workspace: cfg.Braze.Workspace, Endpoint: cfg.Braze.Endpoint, ReadOnly: want == forReading})
	if err != nil {
		return nil, nil, err
	}
	v, _ := buildVersion()
	o := &control.Offline{Version: v, Workspace: cfg.Braze.Workspace, Config: p.config, Journal: data, LastStop: control.ReadStop(path)}
	for _, m := range cfg.Models {
		o.Models = append(o.Models, control.Model{Name: m.Name, Table: m.Relation(), Load: m.Load == "all"})
	}
	closeTopics := func() {}
	if whole {
		if closeTopics, err = keptInTopic(cfg, o, p.quietLog()); err != nil {
			return nil, nil, errors.Join(err, data.Close())
		}
	}
	if want == forWriting {
		o.SendRow = func(ctx context.Context, model, key string, only []string) (string, error) {
			return p.sendAlone(ctx, cfg, data, model, key, only)
		}
	}
	done := func() {
		closeTopics()
		if err := data.Close(); err != nil {
			p.warnf("%s: close %s: %v\n", p.red("brazecdc"), path, err)
		}
	}
	return o, done, nil
}

// quietLog is the log of commands that print for a person: only what needs attention.
func (p *program) quietLog() *slog.Logger {
	return slog.New(quiet{slog.NewTextHandler(p.err, &slog.HandlerOptions{Level: slog.LevelWarn})})
}

// quiet leaves out what Kafka's client says by itself while it tries again: how it ended is the command's own word.
type quiet struct{ slog.Handler }

// Handle implements slog.Handler.
func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelError && strings.HasPrefix(r.Message, kafka.ClientLine) {
		return nil
	}
	return q.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(attrs)} }

// WithGroup implements slog.Handler.
func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name)} }

// webListen gives the address of /livez and its neighbours.
func (p *program) webListen() (string, error) {
	g := p.glance()
	switch {
	case g.Ops.Listen != "":
		return g.Ops.Listen, nil
	case g.Web.Listen == nil:
		return "127.0.0.1:8080", nil
	case *g.Web.Listen != "":
		return *g.Web.Listen, nil
	}
	return "", fmt.Errorf("ask the running process: web.listen of %s is empty, so nobody answers; set it, or use --url", p.config)
}

// webScheme is how /livez and its neighbours are reached.
func (p *program) webScheme() string {
	if g := p.glance(); g.Ops.Listen == "" && g.Web.TLS.Cert != "" {
		return "https"
	}
	return "http"
}
