package postgres

import (
	"sync"
	"time"

	"brazecdc/connector"
)

// health collects what the goroutines of a Source know of it.
type health struct {
	mu sync.Mutex
	h  connector.SourceHealth
}

func (h *health) set(fn func(*connector.SourceHealth)) {
	h.mu.Lock()
	fn(&h.h)
	h.mu.Unlock()
}

func (h *health) get() connector.SourceHealth {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.h
}

func (h *health) connected(is bool, err string) {
	h.set(func(s *connector.SourceHealth) {
		if s.Connected != is || s.Since.IsZero() {
			s.Since = time.Now()
		}
		s.Connected, s.Err = is, err
		if is {
			s.Waiting = ""
		}
	})
}

func (h *health) reconnected() {
	h.connected(true, "")
	h.set(func(s *connector.SourceHealth) { s.Reconnects++ })
}

func (h *health) waiting(what string) { h.set(func(s *connector.SourceHealth) { s.Waiting = what }) }
func (h *health) standby(is bool)     { h.set(func(s *connector.SourceHealth) { s.Standby = is }) }
func (h *health) change(t time.Time)  { h.set(func(s *connector.SourceHealth) { s.LastChange = t }) }
func (h *health) heartbeat(t time.Time) {
	h.set(func(s *connector.SourceHealth) { s.LastHeartbeat = t })
}
func (h *health) bytes(n int) { h.set(func(s *connector.SourceHealth) { s.Bytes += uint64(n) }) }
