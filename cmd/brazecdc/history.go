package main

import (
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"path/filepath"

	"brazecdc/connector"
	"brazecdc/connector/config"
	"brazecdc/connector/history"
)

// openHistory opens what is kept of each user's changes, in the folder of the cache. Without it all else works, so that it cannot be opened is a warning.
func (p *program) openHistory(cfg *config.Config, log *slog.Logger) *history.Store {
	sum := sha256.Sum256([]byte(cfg.Braze.Workspace + "\x00" + cfg.Braze.Endpoint))
	s, err := history.Open(history.Config{
		Keep: cfg.Web.History.Keep, MaxSize: cfg.Web.History.MaxSize, Values: cfg.Web.History.Values == "disk",
		Path: filepath.Join(p.beside(cfg.Cache.Path), "history", hex.EncodeToString(sum[:6])), Key: []byte(cfg.Braze.APIKey.Reveal()), Logger: log.With("component", "history"),
	})
	if err != nil {
		log.Warn("no history of users is kept", "component", "history", "err", err)
		return nil
	}
	return s
}

// ended is the pipeline's Ended: the history, where there is one.
func (a *app) ended() func(*connector.Ending) {
	if a.history == nil {
		return nil
	}
	a.history.SetModels(a.mapper.Models())
	return a.history.Ended
}
