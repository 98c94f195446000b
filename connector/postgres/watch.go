package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"brazecdc/connector"
)

const (
	// messagePrefix is the prefix of the logical messages we write ourselves.
	messagePrefix = "brazecdc"
	// watchEvery is how often the slot's state is read; a lost slot is noticed within this time.
	watchEvery = 2 * time.Second
	// unpublishedEvery is at how many looks the publication is looked at too.
	unpublishedEvery = 15
	// silentBeats is how many heartbeats may stay out before it is said.
	silentBeats = 3
)

// mark is one of our own messages in the stream: a heartbeat (load is empty) or the edge of a chunk's window.
type mark struct {
	load string
	id   uint64
	high bool
}

func (m mark) content(slot string) string {
	if m.load == "" {
		return slot + " beat"
	}
	edge := "low"
	if m.high {
		edge = "high"
	}
	return fmt.Sprintf("%s %s %d %s", slot, edge, m.id, m.load)
}

// parseMark reads the content of a message with our prefix; ok is false for those of another slot.
func parseMark(content, slot string) (m mark, ok bool) {
	rest, ok := strings.CutPrefix(content, slot+" ")
	if !ok {
		return m, false
	}
	if rest == "beat" {
		return m, true
	}
	var edge string
	edge, rest, _ = strings.Cut(rest, " ")
	id, load, found := strings.Cut(rest, " ")
	if _, err := fmt.Sscanf(id, "%d", &m.id); err != nil || !found || load == "" || edge != "low" && edge != "high" {
		return m, false
	}
	m.load, m.high = load, edge == "high"
	return m, true
}

// emit writes a message in a transaction of its own. It is transactional: others appear in the stream only with the next flush of the log.
func (s *Source) emit(ctx context.Context, m mark) error {
	_, err := s.main.query(ctx, "SELECT pg_catalog.pg_logical_emit_message(true, "+literal(messagePrefix)+", "+literal(m.content(s.cfg.Slot))+")")
	if err != nil {
		return fmt.Errorf("write a mark to the log: %w", err)
	}
	return nil
}

// watch reads the slot's state and writes heartbeats until ctx ends.
func (s *Source) watch(ctx context.Context) {
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	var beatTimer <-chan time.Time
	if s.cfg.Heartbeat > 0 {
		bt := time.NewTicker(s.cfg.Heartbeat)
		defer bt.Stop()
		beatTimer = bt.C
	}
	warned := ""
	warn := func(text string, err error) {
		if text != warned && ctx.Err() == nil {
			log := s.log
			if err != nil {
				log = log.With("err", err)
			}
			log.Warn(text, "stream", s.stream)
		}
		warned = text
	}
	started := time.Now()
	for n := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-beatTimer:
			beat, cancel := context.WithTimeout(ctx, s.cfg.Heartbeat+10*time.Second)
			err := s.emit(beat, mark{})
			cancel()
			last := s.health.get().LastHeartbeat
			if last.Before(started) {
				last = started
			}
			switch {
			case err != nil:
				warn("no heartbeat can be written: tables at rest may hold the log", err)
			case time.Since(last) > silentBeats*s.cfg.Heartbeat && s.health.get().Connected:
				warn("no heartbeat came back through the stream", nil)
			default:
				warned = ""
			}
		case <-s.prune:
			look, cancel := context.WithTimeout(ctx, 10*time.Second)
			s.look(look)
			cancel()
		case <-t.C:
			if n++; n%unpublishedEvery == 0 {
				s.lookForTables(ctx, warn)
			}
			look, cancel := context.WithTimeout(ctx, 10*time.Second)
			s.look(look)
			cancel()
		}
	}
}

// lookForTables says it when the publication no longer sends a table, for example one that was dropped and created again.
func (s *Source) lookForTables(ctx context.Context, warn func(string, error)) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	rows, err := s.main.query(ctx, "SELECT schemaname, tablename FROM pg_catalog.pg_publication_tables WHERE pubname = "+literal(s.cfg.Publication))
	if err != nil {
		return // the owner of the stream notices by itself
	}
	listed := map[[2]string]bool{}
	for _, r := range rows {
		listed[[2]string{string(r[0]), string(r[1])}] = true
	}
	if missing := s.tables.missing(listed); len(missing) > 0 {
		text := fmt.Sprintf("publication %q does not send %s any more: changes are not seen", s.cfg.Publication, strings.Join(missing, ", "))
		s.health.waiting(text + "; add the table to the publication and re-sync its models")
		warn(text, nil)
	}
}

// look reads the slot's state once. Where the server does not answer, the owner of the stream notices by itself.
func (s *Source) look(ctx context.Context) {
	var st *slotState
	var end uint64
	err := s.main.with(ctx, func(c *pgconn.PgConn) (err error) {
		if st, err = readSlot(ctx, c, s.cfg.Slot); err != nil {
			return err
		}
		rows, err := query(ctx, c, `SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_lsn() END,
  pg_catalog.pg_current_snapshot(), pg_catalog.pg_is_in_recovery()`)
		if err != nil {
			return err
		}
		end = parseLSN(string(rows[0][0]))
		snap, err := parseSnapshot(string(rows[0][1]))
		if err != nil {
			return err
		}
		if char(rows[0][2]) == 't' {
			s.seen.clear()
		} else {
			s.seen.prune(snap) // a replica is judged by its replayed position instead
		}
		return nil
	})
	if err != nil || st == nil {
		if err == nil {
			s.dropWire()
		}
		return
	}
	s.health.set(func(h *connector.SourceHealth) {
		h.SlotStatus = st.Status
		h.LagBytes = max(0, int64(end)-int64(s.received.Load()))
		h.RetainedBytes = -1
		if r := parseLSN(st.RestartLSN); r != 0 {
			h.RetainedBytes = int64(end - min(r, end))
		}
		h.SafeBytes = -1
		if st.SafeBytes != nil {
			h.SafeBytes = *st.SafeBytes
		}
	})
	if _, lost := st.lost(); lost {
		s.dropWire() // connecting again finds the reason and stops
	}
}

// dropWire closes the present replication connection.
func (s *Source) dropWire() {
	if w := s.wire.Load(); w != nil {
		w.close()
	}
}
