package main

import (
	"bytes"
	"context"
	"log/slog"
	"time"

	"brazecdc/connector/config"
)

// run starts the connector, makes the changes, and stops it again.
func (d *demo) run(ctx context.Context) error {
	d.show = newStage(d.p.terminal)
	defer d.show.close()
	log, err := d.p.logger("warn", "text")
	if err != nil {
		return err
	}
	d.face = newFace(d.cfg, d.p.config, d.text)
	r := newRunner(d.p, log, d.face)
	r.watching = func(*config.Config) watcher { return watcher{see: d.show.watch} }
	r.begun = func(a *app) { d.show.start(a.mapper.Models()) }
	stopPages, err := d.servePages(log)
	if err != nil {
		return err
	}
	defer stopPages()
	running, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	working, cancel := context.WithCancelCause(ctx)
	go func() {
		err := r.run(running)
		if err != nil {
			cancel(err)
		}
		ended <- err
	}()
	err = d.play(working)
	if cause := context.Cause(working); cause != nil && ctx.Err() == nil {
		err = cause
	}
	cancel(nil)
	stop()
	if stopped := <-ended; err == nil && ctx.Err() == nil {
		err = stopped
	}
	return err
}

// servePages serves the pages on a port of their own, marked as a demo.
func (d *demo) servePages(log *slog.Logger) (stop func(), err error) {
	l, err := listenOn("the pages' port", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	pages, err := d.p.pages(&pageParts{log: log, face: d.face, demo: true, access: newPageAccess(d.p.config, l.Addr().String(), log)})
	if err != nil {
		_ = l.Close()
		return nil, err
	}
	d.face.listen = l.Addr().String()
	d.face.pages.Store(pages)
	end := servePages(l, nil, pages, "", d.face, log)
	d.p.printf("The pages  http://%s/\n\n", l.Addr())
	return func() {
		closing, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		end(closing)
	}, nil
}

// with does something with the app that works. Where another one takes its place meanwhile, since somebody applied a configuration, it is done again with that.
func (d *demo) with(ctx context.Context, do func(ctx context.Context, a *app) error) error {
	for {
		changed := d.face.seat.change()
		a, done, v := d.face.seat.await(ctx)
		if a == nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return &stoppedError{v.reason}
		}
		one, cancel := context.WithCancel(ctx)
		go func() {
			select {
			case <-changed:
				cancel()
			case <-one.Done():
			}
		}()
		err := do(one, a)
		moved := one.Err() != nil
		cancel()
		done()
		if err == nil || !moved || ctx.Err() != nil {
			return err
		}
	}
}

// asItBegan tells whether nobody applied another configuration: then the profiles are to be as the demo knows them.
func (d *demo) asItBegan() bool { return bytes.Equal(d.face.content(), d.text) }
