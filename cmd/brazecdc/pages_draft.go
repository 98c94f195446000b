package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"brazecdc/connector/config"
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

// Check implements web.DraftViews: it is the command check for a text that the file does not hold yet, and what a running process can't change.
func (d *draftViews) Check(ctx context.Context, text []byte) ([]web.Finding, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	c := &checker{p: d.p, text: text}
	c.run(ctx)
	if d.x.face != nil {
		d.running(c, text)
	}
	named := d.p.named(text)
	var out []web.Finding
	for _, group := range []string{mustFix, mayHurt, fine} {
		for _, f := range c.found {
			if f.Group == group {
				what := strings.TrimPrefix(f.What, "warning: ")
				if rest, ok := strings.CutPrefix(what, fmt.Sprintf("%s:%d:", d.p.config, f.Line)); ok {
					_, what, _ = strings.Cut(rest, ": ") // the column; the line stands apart
				}
				out = append(out, web.Finding{Level: levels[group], Area: f.Area, What: named(what), Fix: named(f.Fix), Line: f.Line})
			}
		}
	}
	return out, nil
}

// named has pages tell a reference of a text in place of what it stands for: that may be a secret, and a setting that shows its value can be given any.
func (p *program) named(text []byte) func(string) string {
	return config.Named(text, p.env, config.SecretFiles(p.config))
}

// namedError is named of an error, which stays what it is.
func (p *program) namedError(text []byte, err error) error {
	if err == nil {
		return nil
	}
	if told := p.named(text)(err.Error()); told != err.Error() {
		return toldError{told, err}
	}
	return err
}

// toldError is an error with another text.
type toldError struct {
	text string
	error
}

// Error implements error.
func (e toldError) Error() string { return e.text }

// Unwrap gives the error itself.
func (e toldError) Unwrap() error { return e.error }

// running adds what stands between this process and the text: settings that count from the next start on, or that it can't leave.
func (d *draftViews) running(c *checker, text []byte) {
	_, notes, err := d.x.face.runner.read(text)
	var faults config.Faults
	if errors.As(err, &faults) {
		notes = append(notes, faults...)
	}
	for _, f := range notes {
		known := false
		for _, x := range c.found {
			known = known || x.Line == f.Line && strings.Contains(x.What, f.What)
		}
		if !known {
			c.withFixes("config", config.Faults{f})
		}
	}
}

// Apply implements web.DraftViews.
func (d *draftViews) Apply(ctx context.Context, text []byte) error {
	return d.p.applier(d.x).Apply(ctx, text)
}
