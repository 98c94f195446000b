package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"

	"brazecdc/connector"
	"brazecdc/connector/braze"
	"brazecdc/connector/config"
	"brazecdc/connector/history"
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
			attrs = append(attrs, slog.String("table", c.Key.Table), slog.String("op", c.Op.String()), slog.String("stream", s.Stream),
				slog.Any("offset", connector.Place{Stream: s.Stream, Commit: c.ID.Commit}), slog.Uint64("change", uint64(c.ID.N)))
		}
		if e := s.Effect; e != nil {
			fields := make([]string, 0, len(e.Fields))
			for i := range e.Fields {
				if f := &e.Fields[i]; !f.Omit || !bytes.Equal(f.JSON, []byte("null")) {
					fields = append(fields, f.Def.Name)
				}
			}
			attrs = append(attrs, slog.String("user", history.Ref(key, e.User)), slog.String("endpoint", braze.Endpoint(e.Kind)), slog.Any("fields", fields))
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

// calls logs the requests to Braze, a line each with debug. One that failed and is made again is a warning in any case: what Braze refuses of a call is told by
// what is held back, what stops everything by the stop.
func calls(log *slog.Logger) func(braze.CallInfo) {
	return func(c braze.CallInfo) {
		level, what := slog.LevelDebug, "call"
		var again *connector.RetryableError
		if errors.As(c.Err, &again) && !again.Throttled && !errors.Is(c.Err, context.Canceled) {
			level, what = slog.LevelWarn, "a call failed; its objects are sent again"
		}
		if !log.Enabled(context.Background(), level) {
			return
		}
		attrs := []slog.Attr{slog.String("endpoint", c.Endpoint), slog.Int("status", c.Status), slog.Int("count", c.Objects), slog.Int("bytes", c.Bytes),
			slog.Int64("duration_ms", c.Took.Milliseconds())}
		if c.RequestID != "" {
			attrs = append(attrs, slog.String("request_id", c.RequestID))
		}
		if again != nil {
			attrs = append(attrs, slog.String("reason", again.Why.String()))
		}
		if c.Err != nil {
			attrs = append(attrs, slog.Any("err", c.Err))
		}
		log.LogAttrs(context.Background(), level, what, attrs...)
	}
}
