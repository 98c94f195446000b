package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"

	"brazecdc/connector"
)

var slotName = regexp.MustCompile(`^[a-z0-9_]+$`)

// minVersion is the oldest server: protocol 2 with logical messages.
const minVersion = 140000

// slotState is a row of pg_replication_slots, read through JSON so that columns of other versions may be missing.
type slotState struct {
	Plugin       string `json:"plugin"`
	Type         string `json:"slot_type"`
	Database     string `json:"database"`
	Temporary    bool   `json:"temporary"`
	Active       bool   `json:"active"`
	PID          int    `json:"active_pid"`
	RestartLSN   string `json:"restart_lsn"`
	Confirmed    string `json:"confirmed_flush_lsn"`
	Status       string `json:"wal_status"`          // 13
	SafeBytes    *int64 `json:"safe_wal_size"`       // 13
	Invalidation string `json:"invalidation_reason"` // 17
	Conflicting  *bool  `json:"conflicting"`         // 16
	Failover     bool   `json:"failover"`            // 17
}

// lost tells whether the slot can never be read again, and why in the server's words.
func (s *slotState) lost() (why string, lost bool) {
	switch {
	case s.Invalidation != "":
		return "wal_status=" + s.Status + ", invalidation_reason=" + s.Invalidation, true
	case s.Status == "lost":
		return "wal_status=lost", true
	case s.Conflicting != nil && *s.Conflicting:
		return "conflicting=true", true
	}
	return "", false
}

func parseLSN(s string) uint64 {
	l, err := pglogrepl.ParseLSN(s)
	if err != nil {
		return 0
	}
	return uint64(l)
}

// readSlot reads a slot's state; nil means that there is none.
func readSlot(ctx context.Context, c *pgconn.PgConn, name string) (*slotState, error) {
	rows, err := query(ctx, c, "SELECT pg_catalog.to_jsonb(s) FROM pg_catalog.pg_replication_slots s WHERE slot_name = "+literal(name))
	if err != nil {
		return nil, fmt.Errorf("read the state of slot %q: %w", name, err)
	}
	if len(rows) == 0 {
		return nil, nil
	}
	var s slotState
	if err := json.Unmarshal(rows[0][0], &s); err != nil {
		return nil, fmt.Errorf("read the state of slot %q: %w", name, err)
	}
	return &s, nil
}

// lostError is the stop for a slot that cannot be read any more.
func (s *Source) lostError(why string) error {
	return &connector.StopError{Code: connector.ExitSlotLost,
		What: fmt.Sprintf("slot %q is lost (%s): the server removed log that was not read yet", s.cfg.Slot, why),
		Fix: fmt.Sprintf("SELECT pg_drop_replication_slot(%s); then start again and re-sync the models, which also finds what changed and what was deleted meanwhile; raise max_slot_wal_keep_size against a repetition",
			literal(s.cfg.Slot))}
}

// checkSlot finds what makes an existing slot unfit, other than its position and its user.
func (s *Source) checkSlot(st *slotState, database string) error {
	foreign := func(what, fix string) error {
		return &connector.StopError{Code: connector.ExitForeignSlot, What: fmt.Sprintf("slot %q %s", s.cfg.Slot, what), Fix: fix}
	}
	other := "choose another name for source.postgres.slot"
	switch {
	case st.Type != "logical":
		return foreign("is a physical slot", other)
	case st.Plugin != "pgoutput":
		return foreign(fmt.Sprintf("uses the plugin %q, not pgoutput", st.Plugin), other)
	case st.Database != database:
		return foreign(fmt.Sprintf("belongs to database %q, the connection is to %q", st.Database, database), other+", or the other database in source.postgres.url")
	}
	if why, lost := st.lost(); lost {
		return s.lostError(why)
	}
	return nil
}

// createSlot makes the slot by the replication command, which waits for every transaction that writes now; who is waited for is said.
func (s *Source) createSlot(ctx context.Context, f *facts) (consistent uint64, err error) {
	conn, err := s.connectReplication(ctx, f)
	if err != nil {
		return 0, err
	}
	defer closeConn(conn)
	sql := "CREATE_REPLICATION_SLOT " + ident(s.cfg.Slot) + " LOGICAL pgoutput NOEXPORT_SNAPSHOT"
	if s.failover(f) {
		sql = "CREATE_REPLICATION_SLOT " + ident(s.cfg.Slot) + " LOGICAL pgoutput (SNAPSHOT 'nothing', FAILOVER)"
	}
	watch, stop := context.WithCancel(ctx)
	defer stop()
	go s.sayBlockers(watch, fmt.Sprintf("slot %q is being created", s.cfg.Slot), int(conn.PID()))
	res, err := pglogrepl.ParseCreateReplicationSlot(conn.Exec(ctx, sql))
	if err != nil {
		return 0, s.explain(fmt.Errorf("create slot %q: %w", s.cfg.Slot, err), f)
	}
	return parseLSN(res.ConsistentPoint), nil
}

func (s *Source) failover(f *facts) bool {
	switch s.cfg.FailoverSlot {
	case "auto":
		return f.version >= 170000 && !f.recovery
	case "yes", "true":
		return true
	}
	return false
}

// sayBlockers tells every few seconds whose transactions hold the creation of a slot up.
func (s *Source) sayBlockers(ctx context.Context, what string, self int) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	said := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		rows, err := s.main.query(ctx, `SELECT pid, backend_xid, coalesce(usename, ''), coalesce(application_name, '') FROM pg_catalog.pg_stat_activity
WHERE backend_xid IS NOT NULL AND pid NOT IN (pg_catalog.pg_backend_pid(), `+strconv.Itoa(self)+`) ORDER BY pg_catalog.age(backend_xid) DESC LIMIT 3`)
		if err != nil || len(rows) == 0 {
			continue
		}
		var who []string
		for _, r := range rows {
			who = append(who, fmt.Sprintf("process %s (transaction %s, role %s, %s)", r[0], r[1], r[2], r[3]))
		}
		text := what + " and waits for the end of open transactions: " + strings.Join(who, ", ")
		s.health.waiting(text)
		if text != said {
			s.log.Warn(text, "stream", s.stream)
			said = text
		}
	}
}

// attach opens a replication connection, starts the stream behind pos and gives it. With an active slot it fails with
// connector.ExitSlotInUse.
func (s *Source) attach(ctx context.Context, pos uint64) (*wire, error) {
	// A network that swallows everything would hold these questions until the kernel gives up, which takes it a quarter of an hour.
	ctx, cancel := context.WithTimeout(ctx, s.patience())
	defer cancel()
	f, err := s.facts(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := s.connectReplication(ctx, f)
	if err != nil {
		return nil, err
	}
	keep := false
	defer func() {
		if !keep {
			closeConn(conn)
		}
	}()
	if err := s.sameServer(ctx, conn, pos); err != nil {
		return nil, err
	}
	if err := s.slotReady(ctx, f); err != nil {
		return nil, err
	}
	w, err := newWire(conn, s.health.bytes)
	if err != nil {
		return nil, err
	}
	keep = true
	sql := fmt.Sprintf("START_REPLICATION SLOT %s LOGICAL %s (proto_version '2', publication_names %s, messages 'true')",
		ident(s.cfg.Slot), lsn(pos), literal(ident(s.cfg.Publication)))
	if err := w.start(ctx, sql); err != nil {
		w.close()
		return nil, s.explain(fmt.Errorf("start replication of slot %q at %s: %w", s.cfg.Slot, lsn(pos), err), f)
	}
	return w, nil
}

// slotReady looks at the slot before each start of the stream.
func (s *Source) slotReady(ctx context.Context, f *facts) error {
	var st *slotState
	err := s.main.with(ctx, func(c *pgconn.PgConn) (err error) {
		st, err = readSlot(ctx, c, s.cfg.Slot)
		return err
	})
	if err != nil {
		return err
	}
	if st == nil {
		return &connector.StopError{Code: connector.ExitSlotLost, What: fmt.Sprintf("slot %q is gone: changes since %s cannot be read any more", s.cfg.Slot, lsn(s.done.pos)),
			Fix: "start again with another source.postgres.slot or an emptied data folder, then re-sync the models"}
	}
	if err := s.checkSlot(st, f.database); err != nil {
		return err
	}
	if st.Active {
		return s.inUse(st.PID)
	}
	return nil
}

func (s *Source) inUse(pid int) error {
	return &connector.StopError{Code: connector.ExitSlotInUse, What: fmt.Sprintf("slot %q is used by process %d of the server", s.cfg.Slot, pid),
		Fix: fmt.Sprintf("stop the other brazecdc, or end a dead connection: SELECT pg_terminate_backend(%d);", pid)}
}

// connectReplication opens a replication connection.
func (s *Source) connectReplication(ctx context.Context, f *facts) (*pgconn.PgConn, error) {
	c, err := connect(ctx, s.repl)
	if err != nil {
		return nil, s.explain(fmt.Errorf("open a replication connection: %w", err), f)
	}
	return c, nil
}

// sameServer compares the server with the one the position belongs to.
func (s *Source) sameServer(ctx context.Context, c *pgconn.PgConn, pos uint64) error {
	sys, err := pglogrepl.IdentifySystem(ctx, c)
	if err != nil {
		if sqlState(err) == "42601" {
			return s.pooled(err)
		}
		return fmt.Errorf("identify the server: %w", err)
	}
	if s.memo.system != "" && s.memo.system != sys.SystemID {
		return &connector.StopError{Code: connector.ExitOtherServer,
			What: fmt.Sprintf("this is another server: system identifier %s, the recorded position belongs to %s", sys.SystemID, s.memo.system),
			Fix:  "correct source.postgres.url; for a restored or migrated database use another data folder and re-sync the models"}
	}
	if uint64(sys.XLogPos) < pos {
		return &connector.StopError{Code: connector.ExitOtherTimeline,
			What: fmt.Sprintf("the server's log ends at %s, before the recorded position %s: it was restored from a backup, or a standby without the last changes was promoted", sys.XLogPos, lsn(pos)),
			Fix:  "use another source.postgres.slot with an emptied data folder, then re-sync the models"}
	}
	if s.memo.timeline != 0 && s.memo.timeline != sys.Timeline && pos != 0 {
		if err := s.onTimeline(ctx, c, sys.Timeline, pos); err != nil {
			return err
		}
	}
	s.memo.system, s.memo.timeline, s.memo.unseen = sys.SystemID, sys.Timeline, s.seen
	return nil
}

// onTimeline checks that pos lies before the point where the server left the timeline that pos belongs to.
func (s *Source) onTimeline(ctx context.Context, c *pgconn.PgConn, now int32, pos uint64) error {
	h, err := pglogrepl.TimelineHistory(ctx, c, now)
	if err != nil {
		return fmt.Errorf("read the history of timeline %d: %w", now, err)
	}
	for _, line := range strings.Split(string(h.Content), "\n") {
		parts := strings.Fields(line)
		if len(parts) < 2 || parts[0] != strconv.Itoa(int(s.memo.timeline)) {
			continue
		}
		if end := parseLSN(parts[1]); end < pos {
			return &connector.StopError{Code: connector.ExitOtherTimeline,
				What: fmt.Sprintf("the server left timeline %d at %s, before the recorded position %s: changes that were sent are not in it", s.memo.timeline, parts[1], lsn(pos)),
				Fix:  "use another source.postgres.slot with an emptied data folder, then re-sync the models"}
		}
		s.log.Warn("the server was promoted; going on", "stream", s.stream, "offset", lsn(pos), "timeline", now)
		return nil
	}
	return nil
}
