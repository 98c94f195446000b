package main

import (
	"context"
	"errors"

	"brazecdc/connector/config"
	"brazecdc/connector/control"
)

// applier judges a configuration and makes the process work with it.
type applier interface {
	// Check tells what Apply would find wrong, each fault at its line, and as warnings what counts at the next start only. The error is that of a source
	// which can't be asked. Nothing is changed.
	Check(ctx context.Context, text []byte) (config.Faults, error)
	// Apply works with the configuration from then on, or gives the fault for which the one before goes on. It does not write the file, and goes on without whoever
	// asked once it has begun.
	Apply(ctx context.Context, text []byte) error
}

var (
	_ applier = (*runner)(nil)
	_ applier = beside{}
)

// applier is what the pages apply with: in run the process itself, in ui the one that answers beside it.
func (p *program) applier(x *pageParts) applier {
	if x.face != nil {
		return x.face.runner
	}
	return beside{p}
}

// beside applies to the process that runs on the same file, where one does.
type beside struct{ p *program }

// Check implements applier.
func (b beside) Check(ctx context.Context, text []byte) (config.Faults, error) {
	cfg, err := b.p.parse(text)
	var faults config.Faults
	switch {
	case errors.As(err, &faults):
		return faults, nil
	case err != nil:
		return nil, err
	}
	found, err := b.p.compiles(ctx, cfg)
	return append(append(config.Faults{}, cfg.Warnings...), found...), err
}

// Apply implements applier. The file holds the text already; without a process it counts at the next start.
func (b beside) Apply(ctx context.Context, _ []byte) error {
	client, err := control.Dial(ctx, b.p.beside(b.p.glance().Data.Path))
	if errors.Is(err, control.ErrNotRunning) {
		return nil
	}
	if err != nil {
		return err
	}
	defer client.Close()
	return client.Reload(ctx)
}
