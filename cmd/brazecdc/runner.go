package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/config"
	"brazecdc/connector/control"
)

const (
	// applyWithin is how long a new configuration may take to start before the old one goes on.
	applyWithin = 10 * time.Second
	// lendPatience is how long an app that is to close waits for requests under way.
	lendPatience = 2 * time.Second
)

// runner keeps an app working: it starts it, exchanges it for one with another configuration, and ends it. What outlives an app is here: the control
// socket, the seat that others find the app in, and how the last change of the configuration ended.
type runner struct {
	p        *program
	log      *slog.Logger
	f        *face
	data     string
	orders   chan *order   // of Apply
	turn     chan struct{} // held by who changes the configuration: one at a time
	over     chan struct{} // closed when run has ended
	sock     *control.Server
	lastStop *control.Stop                // how the process before ended
	within   time.Duration                // applyWithin, shorter in tests
	moved    *movedReplay                 // to go on with in the app that is begun
	watching func(*config.Config) watcher // of each app
	begun    func(*app)                   // is told of each app that has begun, before anything moves in it; nil: the first start is announced
}

// work is an app whose pipeline runs.
type work struct {
	a      *app
	text   []byte
	cancel context.CancelFunc
	ended  chan struct{}
	err    error // how the pipeline ended, once it has
}

// opened tells whether the source was opened.
func (w *work) opened() bool {
	select {
	case <-w.a.pipeline.Opened():
		return true
	default:
		return false
	}
}

func newRunner(p *program, log *slog.Logger, f *face) *runner {
	r := &runner{p: p, log: log, f: f, data: p.beside(f.config().Data.Path), orders: make(chan *order), turn: make(chan struct{}, 1), over: make(chan struct{}), within: applyWithin}
	f.runner, f.levels = r, levelsOf(log)
	r.watching = func(cfg *config.Config) watcher { return outcomes(cfg, log) }
	return r
}

// run works until ctx ends or something stops it that nobody mends. How it ended is left in data/.
func (r *runner) run(ctx context.Context) (err error) {
	defer close(r.over)
	defer func() {
		r.closeSocket(ctx)
		if err == nil {
			r.log.Info("stopped; everything read was delivered and confirmed")
		}
	}()
	w, err := r.begin(ctx, r.f.config(), r.f.content(), false)
	r.p.noWait = false // of the start alone: a slot that this process gave up a moment ago may still count as used
	for {
		if err == nil {
			var o *order
			if o, err = r.watch(ctx, w); o == nil && err == nil {
				return nil
			} else if o != nil {
				w, err = r.exchange(ctx, w, o)
				continue
			}
		}
		if err = stoppedOnRequest(ctx, err); ctx.Err() != nil || !r.stays(err) {
			return err
		}
		if w, err = r.mended(ctx, err); w == nil {
			return err
		}
	}
}

// watch waits for the end of the work, which it cleans up, or for an order.
func (r *runner) watch(ctx context.Context, w *work) (*order, error) {
	if w == nil { // a change of the configuration was cut off by the request to stop
		return nil, nil
	}
	select {
	case <-w.ended:
		r.finish(ctx, w, stoppedBy(w.err))
		return nil, w.err
	case o := <-r.orders:
		return o, nil
	}
}

// begin opens an app and starts its pipeline. A strict one must have opened its source in time, else it is given up.
func (r *runner) begin(ctx context.Context, cfg *config.Config, text []byte, strict bool) (*work, error) {
	running, cancel := context.WithCancel(ctx)
	var late atomic.Bool
	if strict {
		timer := time.AfterFunc(r.within, func() { late.Store(true); cancel() })
		defer timer.Stop()
	}
	explain := func(err error, waits string) error {
		if late.Load() {
			return fmt.Errorf("it did not start within %s%s: %w", r.within, waits, err)
		}
		return err
	}
	limitMemory(cfg)
	a, err := r.p.open(running, cfg, r.log, r.watching(cfg))
	if err != nil {
		cancel()
		return nil, explain(err, "")
	}
	if r.lastStop == nil { // what is noted later is of a try of this process
		r.lastStop = a.lastStop
	}
	a.listen, a.started, a.lastStop = r.f.listen, r.f.started, r.lastStop
	w := &work{a: a, text: text, cancel: cancel, ended: make(chan struct{})}
	if err := r.serve(a); err != nil {
		cancel()
		return nil, errors.Join(err, a.close())
	}
	a.replays.open(running)
	if r.moved != nil {
		a.replays.goOn(r.moved)
	}
	if r.begun != nil {
		r.begun(a)
	}
	if !strict {
		r.f.seat.take(a)
		if a.data.State().New && r.begun == nil {
			r.p.announce(a)
		}
	}
	go func() {
		defer close(w.ended)
		w.err = a.pipeline.Run(running)
	}()
	if !strict {
		return w, nil
	}
	select {
	case <-a.pipeline.Opened():
		r.f.seat.take(a)
		return w, nil
	case <-w.ended:
		err := w.err
		if err == nil { // the request to stop came first
			err = context.Canceled
		}
		waits := ""
		if h := a.source.Health(); h.Waiting != "" {
			waits = " (" + h.Waiting + ")"
		}
		r.finish(ctx, w, vacancy{state: "reloading", reason: "applies a configuration"})
		return nil, explain(err, waits)
	}
}

// finish closes an app whose pipeline has ended.
func (r *runner) finish(ctx context.Context, w *work, v vacancy) {
	w.cancel()
	w.a.replays.close()
	r.f.seat.vacate(v, lendPatience)
	w.err = stoppedOnRequest(ctx, w.err)
	if v.final {
		noteStop(r.data, w.err, r.log)
		r.closeSocket(ctx) // before the lock goes: the next process may open its own
	}
	if err := w.a.close(); err != nil {
		r.log.Warn("close the stores", "err", err)
		w.err = errors.Join(w.err, err)
	}
}

// serve opens the control socket, where it is not open yet.
func (r *runner) serve(a *app) (err error) {
	if err = control.ClearStop(a.dataPath); err != nil || r.sock != nil {
		return err
	}
	r.sock, err = control.ServeEach(a.dataPath, r.f.lend, r.log)
	return err
}

func (r *runner) closeSocket(ctx context.Context) {
	if r.sock == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lendPatience)
	defer cancel()
	if err := r.sock.Close(ctx); err != nil {
		r.log.Warn("close the control socket", "err", err)
	}
	r.sock = nil
}

// exchange ends the work and begins that of an order. Where this can't start, the old configuration goes on. Without work and error the request to stop came.
func (r *runner) exchange(ctx context.Context, w *work, o *order) (*work, error) {
	r.log.Info("applying a configuration: delivering what is open", "component", "reload", "config_hash", hashOf(o.text), "drain", w.a.cfg.Limits.Drain.String())
	begun := time.Now()
	r.f.exchanging(true)
	defer r.f.exchanging(false)
	strict := w.opened()
	r.moved = w.a.replays.leave()
	defer func() { r.moved = nil }()
	w.cancel()
	<-w.ended
	r.finish(context.WithoutCancel(ctx), w, vacancy{state: "reloading", reason: "applies a configuration"})
	left := ignoreCanceled(w.err)
	if ctx.Err() != nil {
		o.answer(errEnding)
		noteStop(r.data, left, r.log)
		return nil, left
	}
	if left != nil {
		r.log.Warn("not all was delivered before the change; it comes again", "component", "reload", "err", left)
	}
	next, err := r.begin(ctx, o.cfg, o.text, strict)
	if err == nil {
		r.f.adopt(o.cfg, o.text)
		r.log.Info("configuration applied", "component", "reload", "config_hash", hashOf(o.text), "duration_ms", time.Since(begun).Milliseconds(), "models", len(o.cfg.Models))
		o.answer(nil)
		return next, nil
	}
	if ctx.Err() != nil {
		o.answer(errEnding)
		left = errors.Join(left, ignoreCanceled(err))
		noteStop(r.data, left, r.log)
		return nil, left
	}
	old, oerr := r.begin(ctx, w.a.cfg, w.text, false)
	o.answer(err)
	if ctx.Err() != nil && old == nil {
		oerr = errors.Join(left, ignoreCanceled(oerr))
	}
	return old, oerr
}

// ignoreCanceled makes nothing of an error that only tells of an end that was asked for.
func ignoreCanceled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// stays tells whether the process waits, not ready, until the reason of its stop is mended: what a restart does not mend, with web.stay.
func (r *runner) stays(err error) bool {
	code := connector.ExitCode(err)
	return err != nil && r.f.config().Web.Stay && code >= connector.ExitRights && code <= connector.ExitEndpointWrong
}

// mended waits with open pages for a configuration that starts, from then on without a deadline of its own. Without work the request to stop came, and stop tells why it was not mended.
func (r *runner) mended(ctx context.Context, stop error) (*work, error) {
	for {
		r.f.seat.vacate(stoppedBy(stop), 0)
		r.closeSocket(ctx)
		r.log.Error("stopped; the pages stay until it is mended: mend it, then reload (SIGHUP)", "err", stop, "code", connector.ExitCode(stop))
		select {
		case <-ctx.Done():
			return nil, stop
		case o := <-r.orders:
			r.f.seat.vacate(vacancy{state: "starting", reason: "tries again"}, 0)
			w, err := r.begin(ctx, o.cfg, o.text, true)
			if err == nil {
				r.f.adopt(o.cfg, o.text)
				r.log.Info("mended; the configuration is applied", "component", "reload", "config_hash", hashOf(o.text))
				o.answer(nil)
				return w, nil
			}
			o.answer(err)
			if ctx.Err() != nil {
				return nil, stop
			}
			stop = err
		}
	}
}

func stoppedBy(err error) vacancy {
	v := vacancy{state: "stopped", reason: "stopped on request", final: true, code: connector.ExitCode(err)}
	if err != nil {
		v.reason = err.Error()
	}
	return v
}
