package main

import (
	"context"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/control"
	"brazecdc/connector/web"
)

// livePages hands what the live page shows over.
func (p *program) livePages(x *pageParts, c *web.Config) { c.Live = &liveViews{p, x} }

// liveViews is web.LiveViews: of this process in run, else of the process that answers beside it, or of the files.
type liveViews struct {
	p *program
	x *pageParts
}

// Status implements web.LiveViews.
func (l *liveViews) Status(ctx context.Context) (*control.Status, error) {
	api, done, err := l.p.pagesAPI(ctx, l.x, forReading)
	if err != nil {
		return nil, err
	}
	defer done()
	return api.Status(ctx)
}

// OldestHeld implements web.LiveViews.
func (l *liveViews) OldestHeld(ctx context.Context) (time.Time, error) {
	api, done, err := l.p.pagesAPI(ctx, l.x, forReading)
	if err != nil {
		return time.Time{}, err
	}
	defer done()
	list, err := api.Entries(ctx, connector.EntryFilter{Limit: 1})
	if err != nil || len(list) == 0 {
		return time.Time{}, err
	}
	return list[0].At, nil
}

// Passed implements web.LiveViews.
func (l *liveViews) Passed(ctx context.Context, after uint64) ([]control.Passed, error) {
	api, done, err := l.p.pagesAPI(ctx, l.x, forReading)
	if err != nil {
		return nil, err
	}
	defer done()
	if w, ok := api.(control.Watches); ok {
		return w.Passed(ctx, after)
	}
	return nil, control.ErrNotRunning
}
