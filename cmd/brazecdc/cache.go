package main

import (
	"log/slog"

	"brazecdc/connector/config"
	"brazecdc/connector/state"
)

// openCache opens the folder cache/, which may have been lost: then it begins empty.
func (p *program) openCache(cfg *config.Config, log *slog.Logger) (*state.Cache, error) {
	return state.OpenCache(p.beside(cfg.Cache.Path), state.CacheConfig{
		MaxSize: cfg.Cache.MaxSize, Memory: cfg.Cache.Memory, Workspace: cfg.Braze.Workspace, Endpoint: cfg.Braze.Endpoint, Logger: log.With("component", "state"),
	})
}
