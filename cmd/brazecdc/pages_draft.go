package main

import (
	"context"

	"brazecdc/connector/web"
)

// draftPages hands what the pages of the draft ask and do over.
func (p *program) draftPages(x *pageParts, c *web.Config) { c.Drafts = &draftViews{p, x} }

// draftViews is web.DraftViews.
type draftViews struct {
	p *program
	x *pageParts
}

// levels are the groups of check as the pages mark them.
var levels = map[string]string{mustFix: "bad", mayHurt: "warn", fine: "ok"}

// Check implements web.DraftViews: it is the command check for a text that the file does not hold yet.
func (d *draftViews) Check(ctx context.Context, text []byte) ([]web.Finding, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	c := &checker{p: d.p, text: text}
	c.run(ctx)
	var out []web.Finding
	for _, group := range []string{mustFix, mayHurt, fine} {
		for _, f := range c.found {
			if f.Group == group {
				out = append(out, web.Finding{Level: levels[group], Area: f.Area, What: f.What, Fix: f.Fix, Line: f.Line})
			}
		}
	}
	return out, nil
}

// Apply implements web.DraftViews.
func (d *draftViews) Apply(ctx context.Context, text []byte) error {
	return d.p.applier(d.x).Apply(ctx, text)
}
