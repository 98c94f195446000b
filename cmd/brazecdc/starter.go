package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/control"
)

// startWithin is how long a start from the pages may take before it is given up.
const startWithin = 30 * time.Second

// starter runs the stream within a process that began with the pages alone. The pages find it by its control socket, as they find any other process.
type starter struct {
	p    *program
	life context.Context //nolint:containedctx // the process': the stream outlives the request that starts it
	// stopped tells people who look at no page that a stream that worked ended by a fault.
	stopped func(ctx context.Context, code int)

	mu    sync.Mutex // held during a start
	ended chan error // takes how the stream ended; nil while none was started
	began atomic.Bool
	face  atomic.Pointer[face] // of the stream, while one runs
}

// start makes the stream run with a text, which stands in the file already, and waits until it has opened its source. Where a process runs already, it takes
// the text over.
func (s *starter) start(ctx context.Context, text []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	cfg, err := s.p.parse(text)
	if err != nil {
		return err
	}
	client, err := control.Dial(ctx, s.p.beside(cfg.Data.Path))
	switch {
	case err == nil:
		defer client.Close()
		return client.Reload(ctx)
	case !errors.Is(err, control.ErrNotRunning):
		return err
	}
	log, err := s.p.configuredLog(cfg)
	if err != nil {
		return err
	}
	f := newFace(cfg, s.p.config, text)
	r := newRunner(s.p, log, f)
	life, cancel := context.WithCancel(s.life)
	ended := make(chan error, 1)
	s.face.Store(f)
	go func() {
		defer cancel()
		defer r.hangups(life)()
		err := r.run(life)
		if code := connector.ExitCode(err); code != 0 && s.began.Load() && s.stopped != nil {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(life), webhookTimeout/2)
			s.stopped(ctx, code) // while it is known whose stream it was
			cancel()
		}
		s.face.CompareAndSwap(f, nil)
		ended <- err
	}()
	if err := opens(life, f, ended); err != nil {
		cancel()
		<-r.over
		return err
	}
	s.ended = ended
	s.began.Store(true)
	return nil
}

// opens waits until the stream has opened its source.
func opens(ctx context.Context, f *face, ended chan error) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	opened := make(chan struct{})
	go func() {
		a, done, _ := f.seat.await(ctx)
		defer done()
		if a == nil {
			return
		}
		select {
		case <-a.pipeline.Opened():
			close(opened)
		case <-ctx.Done():
		}
	}()
	select {
	case <-opened:
		return nil
	case err := <-ended:
		return orStopped(err)
	case <-ctx.Done():
	}
	why := ""
	if a, done, _ := f.seat.lend(); a != nil {
		why = a.source.Health().Waiting
		done()
	}
	if why != "" {
		return fmt.Errorf("it did not start within %s: %s", startWithin, why)
	}
	return fmt.Errorf("it did not start within %s", startWithin)
}

func orStopped(err error) error {
	if err == nil {
		return errEnding
	}
	return err
}

// working tells whether a stream was started here.
func (s *starter) working() bool { return s.began.Load() }

// wait gives how the stream ended, once the process' end was asked for.
func (s *starter) wait() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended == nil {
		return nil
	}
	return <-s.ended
}
