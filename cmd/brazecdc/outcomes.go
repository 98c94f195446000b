package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"

	"brazecdc/connector"
	"brazecdc/connector/braze"
	"brazecdc/connector/config"
)

// outcomes logs how each change ended, one line each and no values: a user only as a keyed hash, fields by name. It watches while the log takes such lines:
// with log.level: debug, or "brazecdc log-level outcome=debug".
func outcomes(cfg *config.Config, log *slog.Logger) watcher {
	log = log.With("component", "outcome")
	key := []byte(cfg.Braze.APIKey.Reveal())
	taken := func() bool { return log.Enabled(context.Background(), slog.LevelDebug) }
	return watcher{now: taken, see: func(s connector.Seen) {
		if !taken() {
			return
		}
		attrs := []slog.Attr{slog.String("outcome", s.Outcome)}
		if c := s.Change; c != nil {
			attrs = append(attrs, slog.String("table", c.Key.Table), slog.String("op", c.Op.String()), slog.Uint64("commit", c.ID.Commit), slog.Uint64("change", uint64(c.ID.N)))
		}
		if e := s.Effect; e != nil {
			fields := make([]string, 0, len(e.Fields))
			for i := range e.Fields {
				if f := &e.Fields[i]; !f.Omit || !bytes.Equal(f.JSON, []byte("null")) {
					fields = append(fields, f.Def.Name)
				}
			}
			attrs = append(attrs, slog.String("user", userRef(key, e.User)), slog.String("endpoint", braze.Endpoint(e.Kind)), slog.Any("fields", fields))
			if e.Model >= 0 && e.Model < len(cfg.Models) {
				attrs = append(attrs, slog.String("model", cfg.Models[e.Model].Name))
			}
		}
		if s.Reason != "" {
			attrs = append(attrs, slog.String("reason", s.Reason))
		}
		if s.Latency > 0 {
			attrs = append(attrs, slog.Int64("duration_ms", s.Latency.Milliseconds()))
		}
		log.LogAttrs(context.Background(), slog.LevelDebug, "change ended", attrs...)
	}}
}

// userRef stands for a user in the log: the same user gives the same text, and without the key nobody can go back.
func userRef(key []byte, u connector.User) string {
	h := hmac.New(sha256.New, key)
	_, _ = h.Write([]byte(u.ID)) // a hash takes everything
	return "h:" + hex.EncodeToString(h.Sum(nil)[:6])
}
