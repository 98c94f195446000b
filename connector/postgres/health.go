package postgres

import (
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

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
	out := h.h
	out.ReconnectsBy = maps.Clone(h.h.ReconnectsBy)
	return out
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

// Why a connection ended, as ReconnectsBy names it.
const (
	endedNetwork = "network" // it broke
	endedSilent  = "silent"  // the server gave no sign of life
	endedServer  = "server"  // the server ended it with an error: a shutdown, a fail-over, an administrator
	endedSlot    = "slot"    // another process took the slot
)

// ReconnectReasons are the reasons of ReconnectsBy.
var ReconnectReasons = []string{endedNetwork, endedSilent, endedServer, endedSlot}

// endOf says why a connection ended with an error.
func endOf(w *wire, err error) string {
	var pg *pgconn.PgError
	switch {
	case w.gaveUp.Load():
		return endedSilent
	case !errors.As(err, &pg):
		return endedNetwork
	case pg.Code == "55006": // object_in_use
		return endedSlot
	}
	return endedServer
}

// reconnected notes a new connection, and why the one before had ended.
func (h *health) reconnected(why string) {
	h.connected(true, "")
	h.set(func(s *connector.SourceHealth) {
		s.Reconnects++
		if s.ReconnectsBy == nil {
			s.ReconnectsBy = map[string]uint64{}
		}
		s.ReconnectsBy[why]++
	})
}

func (h *health) waiting(what string) { h.set(func(s *connector.SourceHealth) { s.Waiting = what }) }
func (h *health) standby(is bool)     { h.set(func(s *connector.SourceHealth) { s.Standby = is }) }
func (h *health) change(t time.Time)  { h.set(func(s *connector.SourceHealth) { s.LastChange = t }) }
func (h *health) heartbeat(t time.Time) {
	h.set(func(s *connector.SourceHealth) { s.LastHeartbeat = t })
}
func (h *health) bytes(n int) { h.set(func(s *connector.SourceHealth) { s.Bytes += uint64(n) }) }
