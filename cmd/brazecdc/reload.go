package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"reflect"
	"slices"
	"syscall"

	"brazecdc/connector"
	"brazecdc/connector/config"
)

// errEnding: the process is about to end, so its configuration does not change any more.
var errEnding = errors.New("the process is ending; the configuration counts at its next start")

// order asks a runner for another configuration.
type order struct {
	cfg  *config.Config
	text []byte
	done chan error // takes one answer
}

func (o *order) answer(err error) { o.done <- err }

// Reload reads the file again and applies it, as SIGHUP does.
func (r *runner) Reload(ctx context.Context) error {
	text, err := config.ReadFile(r.p.config)
	if err != nil {
		err = r.p.loadError(err)
		r.told(err, nil)
		return err
	}
	return r.Apply(ctx, text)
}

// Apply checks a configuration and works with it from then on: what is open is delivered first, as at a stop, and where the new one can't start, the old one goes on
// and the fault is given. It is all or nothing. One change is under way at a time, others wait. Once it has begun it goes on without whoever asked.
func (r *runner) Apply(ctx context.Context, text []byte) error {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return ctx.Err()
	case <-r.over:
		return errEnding
	}
	cfg, notes, err := r.read(text)
	if err != nil {
		err = r.p.loadError(err)
		r.told(err, nil)
		return err
	}
	for _, n := range notes {
		r.log.Warn(n.Error(), "component", "reload")
	}
	var restart []string
	for _, n := range r.fixed(cfg) {
		restart = append(restart, n.Path)
	}
	if sameConfig(cfg, r.f.config()) && r.working() {
		r.f.adopt(cfg, text)
		r.told(nil, restart)
		r.log.Info("the configuration says what it said before; nothing is changed", "component", "reload", "config_hash", hashOf(text))
		return nil
	}
	o := &order{cfg: cfg, text: text, done: make(chan error, 1)}
	select {
	case r.orders <- o:
	case <-ctx.Done():
		return ctx.Err()
	case <-r.over:
		return errEnding
	}
	if err = <-o.done; errors.Is(err, errEnding) {
		return err
	}
	r.told(err, restart)
	return err
}

// told leaves how a change ended in log and status.
func (r *runner) told(err error, restart []string) {
	r.f.tried(err, restart)
	if err == nil {
		return
	}
	what := "the configuration was not applied; the one before goes on"
	if !r.working() {
		what = "the configuration was not applied"
	}
	r.log.Error(what, "component", "reload", "err", err)
}

// working tells whether an app works, so that one and the same configuration needs no new start.
func (r *runner) working() bool {
	a, done, _ := r.f.seat.lend()
	defer done()
	return a != nil
}

// Check tells what Apply would find wrong, and what would count at the next start only, as warnings. Nothing is changed.
func (r *runner) Check(ctx context.Context, text []byte) (config.Faults, error) {
	cfg, notes, err := r.read(text)
	var faults config.Faults
	switch {
	case errors.As(err, &faults):
		return faults, nil
	case err != nil:
		return nil, err
	}
	found, err := r.p.compiles(ctx, cfg)
	return append(notes, found...), err
}

// read parses a configuration and refuses what can't be applied while the process runs. notes may hurt, or wait for a restart.
func (r *runner) read(text []byte) (cfg *config.Config, notes config.Faults, err error) {
	if cfg, err = r.p.parse(text); err != nil {
		return nil, nil, err
	}
	if faults := r.bound(cfg); len(faults) > 0 {
		return nil, nil, faults
	}
	return cfg, append(slices.Clone(cfg.Warnings), r.fixed(cfg)...), nil
}

// bound are the settings that a process can't leave: what was recorded belongs to them.
func (r *runner) bound(cfg *config.Config) config.Faults {
	was := r.f.config()
	var faults []connector.Fault
	for _, s := range []struct{ path, now, was string }{
		{"braze.workspace", cfg.Braze.Workspace, was.Braze.Workspace}, {"data.path", cfg.Data.Path, was.Data.Path}, {"cache.path", cfg.Cache.Path, was.Cache.Path},
	} {
		if s.now != s.was {
			faults = append(faults, connector.Fault{Path: s.path, What: s.path + " changes from " + s.was + ", which a running process can't do", Fix: "stop the process and start it with this file, or put it back"})
		}
	}
	return cfg.Resolve(faults)
}

// fixed are the settings that differ from those the process was started with and count at its next start only.
func (r *runner) fixed(cfg *config.Config) config.Faults {
	was := r.f.first
	var faults []connector.Fault
	for _, s := range []struct {
		path     string
		now, was any
	}{
		{"web", webBinding(cfg.Web), webBinding(was.Web)}, {"ops", opsBinding(cfg.Ops), opsBinding(was.Ops)}, {"log.format", cfg.Log.Format, was.Log.Format},
	} {
		if !reflect.DeepEqual(s.now, s.was) {
			faults = append(faults, connector.Fault{Path: s.path, What: s.path + " differs from what the process was started with; that counts from its next start on", Fix: "restart it when that suits", Warn: true})
		}
	}
	return cfg.Resolve(faults)
}

// webBinding are the settings of web without those that count at once.
func webBinding(w config.Web) config.Web {
	w.Stay, w.History = false, config.WebHistory{}
	return w
}

// opsBinding are the settings of ops without those that count at once.
func opsBinding(o config.Ops) config.Ops {
	o.Webhook = config.Webhook{}
	return o
}

// sameConfig tells whether two configurations say the same; secrets that were read from files or variables are part of them.
func sameConfig(a, b *config.Config) bool {
	x, y := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	for i := range x.NumField() {
		f := x.Type().Field(i)
		if !f.IsExported() || slices.Contains([]string{"File", "Warnings"}, f.Name) {
			continue
		}
		if !reflect.DeepEqual(x.Field(i).Interface(), y.Field(i).Interface()) {
			return false
		}
	}
	return true
}

// hangups reloads the configuration at each SIGHUP until stop is called. One that comes while another is handled is handled after it.
func (r *runner) hangups(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-signals:
				r.log.Info("reloading the configuration", "component", "reload", "signal", "hangup", "config", r.p.config)
				_ = r.Reload(ctx) // told in the log
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		cancel()
		<-done
	}
}

// compiles checks a configuration beside its source: do tables and columns exist, do the expressions fit them. A source that does not answer is an error.
func (p *program) compiles(ctx context.Context, cfg *config.Config) (config.Faults, error) {
	ctx, cancel := context.WithTimeout(ctx, applyWithin)
	defer cancel()
	a := &app{cfg: cfg, log: p.quietLog()}
	defer func() { _ = a.close() }() // it only looked
	err := a.look(ctx)
	var stop *connector.StopError
	if errors.As(err, &stop) && stop.Code == connector.ExitTableUnfit {
		return config.Faults{{File: cfg.File, What: stop.What, Fix: stop.Fix}}, nil
	}
	if err != nil {
		return nil, err
	}
	_, faults := newMapping(a.mappingConfig(), cfg.Source.Kafka != nil)
	return cfg.Resolve(faults), nil
}
