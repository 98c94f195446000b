package main

import (
	"context"
	"errors"
	"fmt"
	"net"

	"brazecdc/connector/config"
	"brazecdc/connector/control"
	"brazecdc/connector/state"
)

// host checks what a start needs of this machine: the files in data/ and the port of web.listen.
func (c *checker) host(ctx context.Context, cfg *config.Config) {
	path := c.p.beside(cfg.Data.Path)
	client, err := control.Dial(ctx, path)
	switch {
	case err == nil:
		defer client.Close()
		c.running(ctx, client)
		return // it holds the lock and the port
	case !errors.Is(err, control.ErrNotRunning):
		c.fault("host", err)
		return
	}
	if cfg.Braze.Workspace != "" && cfg.Braze.Endpoint != "" {
		c.files(cfg, path)
	}
	addr := opsAddress(cfg)
	if addr == "" {
		return
	}
	l, err := listenOn("web.listen", addr)
	if err != nil {
		c.fault("host", err)
		return
	}
	if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		c.fault("host", fmt.Errorf("close web.listen %s: %w", addr, err))
		return
	}
	c.add(fine, "host", fmt.Sprintf("web.listen %s is free", addr), "")
}

func (c *checker) running(ctx context.Context, client *control.Client) {
	s, err := client.Status(ctx)
	if err != nil {
		c.fault("host", err)
		return
	}
	c.add(fine, "host", fmt.Sprintf("\"brazecdc run\" is live: process %d, %s", s.PID, s.State), "")
	for _, p := range s.Pending {
		c.add(mayHurt, "host", p.Text, "brazecdc confirm "+p.Model)
	}
	if s.Quarantine > 0 {
		c.add(mayHurt, "host", fmt.Sprintf("%d changes are held back", s.Quarantine), "brazecdc quarantine list")
	}
}

// files looks whether data/ can be read by this version.
func (c *checker) files(cfg *config.Config, path string) {
	data, err := state.OpenData(path, state.DataConfig{Workspace: cfg.Braze.Workspace, Endpoint: cfg.Braze.Endpoint, ReadOnly: true})
	if err != nil {
		c.fault("host", err)
		return
	}
	defer func() { _ = data.Close() }()
	st := data.State()
	if st.New {
		c.add(fine, "host", fmt.Sprintf("%s holds nothing yet of workspace %q: run begins with a first start", path, cfg.Braze.Workspace), "")
		return
	}
	c.add(fine, "host", fmt.Sprintf("%s can be read", path), "")
	for _, p := range st.Paused {
		c.add(mayHurt, "host", fmt.Sprintf("model %s waits for a confirmation (%s)", p.Model, p.Reason), "brazecdc confirm "+p.Model)
	}
}
