package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// interruptible gives a context that ends with the first SIGINT or SIGTERM.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
}

// sameSignal is the time within which signals count as one: some supervisors signal a process and then its whole group.
const sameSignal = 300 * time.Millisecond

// stoppable gives a context that ends with the first SIGINT or SIGTERM; at the second one abort is called. stop ends the watch.
func stoppable(ctx context.Context, first, abort func(os.Signal)) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		var began time.Time
		for {
			select {
			case s := <-signals:
				switch {
				case began.IsZero():
					began = time.Now()
					first(s)
					cancel()
				case time.Since(began) > sameSignal:
					abort(s)
				}
			case <-quit:
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(quit)
		<-done
		cancel()
	}
}
