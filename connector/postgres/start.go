package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/jackc/pgx/v5/pgconn"

	"brazecdc/connector"
)

// slotPoll is how often a slot that another process uses is looked at.
const slotPoll = 500 * time.Millisecond

// starter is one Open: it repeats its steps until the stream runs, the fault is one that waiting does not mend, or time is up.
type starter struct {
	s        *Source
	start    connector.Start
	recorded uint64
	noted    bool // an earlier start was about to create the slot, and recorded no position since
	opened   connector.Opened
}

func (g *starter) run(ctx context.Context) (*wire, error) {
	if err := g.readRecord(); err != nil {
		return nil, err
	}
	s := g.s
	b := backoff.NewExponentialBackOff(backoff.WithInitialInterval(100*time.Millisecond), backoff.WithMaxInterval(5*time.Second), backoff.WithMaxElapsedTime(s.cfg.StartTimeout))
	said := ""
	for {
		w, err := g.attempt(ctx)
		if err == nil {
			s.health.waiting("")
			s.health.standby(false)
			return w, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		var stop *connector.StopError
		if !errors.As(err, &stop) {
			stop = &connector.StopError{Code: connector.ExitUnreachable, What: "the database does not answer", Err: err}
		}
		wait := slotPoll
		switch {
		case stop.Code == connector.ExitSlotInUse && !s.cfg.NoWait:
			b.Reset()
		case stop.Code == connector.ExitUnreachable:
			if wait = b.NextBackOff(); wait == backoff.Stop {
				return nil, stop
			}
		default:
			return nil, stop
		}
		s.health.waiting(stop.What)
		s.health.standby(stop.Code == connector.ExitSlotInUse)
		if stop.What != said {
			s.log.Warn("waiting: "+stop.What, "stream", s.stream, "err", stop.Err)
			said = stop.What
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// readRecord takes over what was recorded for the slot.
func (g *starter) readRecord() error {
	for _, r := range g.start.Recorded {
		if r.Position.Stream != g.s.stream {
			continue
		}
		g.recorded = r.Position.Offset
		g.noted = g.recorded == 0
		if r.Memo == nil {
			continue
		}
		m, err := parseMemo(r.Memo)
		if err != nil {
			return &connector.StopError{Code: connector.ExitSlotMismatch, What: "the record of stream " + g.s.stream, Err: err,
				Fix: "restore the data folder, or start with an emptied one and re-sync the models"}
		}
		g.s.memo = m
		if m.unseen != nil {
			g.s.seen = m.unseen
		}
	}
	g.s.memo.unseen = g.s.seen
	return nil
}

// attempt makes every step once. Each finds done what an earlier attempt did.
func (g *starter) attempt(ctx context.Context) (*wire, error) {
	s := g.s
	f, err := s.facts(ctx)
	if err != nil {
		return nil, err
	}
	if faults := f.faults(false); len(faults) > 0 {
		return nil, faults[0]
	}
	// The slot is looked at before anything is created, so that a start that cannot succeed leaves nothing behind.
	st, err := g.slot(ctx, f)
	if err != nil {
		return nil, err
	}
	if err := g.prepareTables(ctx, f); err != nil {
		return nil, s.explain(err, f)
	}
	from, err := g.prepareSlot(ctx, f, st)
	if err != nil {
		return nil, err
	}
	s.done.pos = from
	w, err := s.attach(ctx, from)
	if err != nil {
		return nil, err
	}
	if err := g.readEnd(ctx); err != nil {
		w.close()
		return nil, err
	}
	s.committed.Store(from)
	s.received.Store(from)
	g.opened.Fresh = s.fresh || g.noted
	g.opened.From = []connector.Position{{Stream: s.stream, Offset: from}}
	g.opened.Note = fmt.Sprintf("slot %q and publication %q on PostgreSQL %s, from %s", s.cfg.Slot, s.cfg.Publication, versionName(f.version), lsn(from))
	return w, nil
}

func versionName(v int) string { return fmt.Sprintf("%d.%d", v/10000, v%10000) }

// readEnd reads where the log ends once the slot is ours, so that what an earlier process sent until then lies before it.
func (g *starter) readEnd(ctx context.Context) error {
	return g.s.main.with(ctx, func(c *pgconn.PgConn) error {
		rows, err := query(ctx, c, `SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_insert_lsn() END,
  pg_catalog.pg_current_snapshot(), pg_catalog.pg_is_in_recovery()`)
		if err != nil {
			return fmt.Errorf("read the end of the log: %w", err)
		}
		g.s.walStart = parseLSN(string(rows[0][0]))
		snap, err := parseSnapshot(string(rows[0][1]))
		if err != nil {
			return err
		}
		if char(rows[0][2]) == 't' {
			g.s.seen.setRef(snap.xmax) // a standby's snapshot says nothing of what is visible
		} else {
			g.s.seen.prune(snap)
		}
		return nil
	})
}

// slot reads the slot and refuses one that does not fit; nil means that it has to be created, and may be.
func (g *starter) slot(ctx context.Context, f *facts) (*slotState, error) {
	s := g.s
	var st *slotState
	err := s.main.with(ctx, func(c *pgconn.PgConn) (err error) {
		st, err = readSlot(ctx, c, s.cfg.Slot)
		return err
	})
	if err != nil {
		return nil, err
	}
	if st != nil {
		return st, s.checkSlot(st, f.database)
	}
	if g.recorded != 0 {
		return nil, &connector.StopError{Code: connector.ExitSlotLost, What: fmt.Sprintf("slot %q is missing, but changes up to %s were read from it: what came since is lost", s.cfg.Slot, lsn(g.recorded)),
			Fix: "was it dropped, or is this another server? To begin anew, use another source.postgres.slot or an emptied data folder, then re-sync the models"}
	}
	if faults := f.faults(true); s.cfg.Create && len(faults) > 0 {
		return nil, faults[0]
	}
	return nil, nil
}

// prepareSlot creates the slot where that is due, and decides where to read from.
func (g *starter) prepareSlot(ctx context.Context, f *facts, st *slotState) (from uint64, err error) {
	s := g.s
	if st == nil {
		return g.newSlot(ctx, f)
	}
	confirmed := parseLSN(st.Confirmed)
	if confirmed == 0 {
		return 0, &connector.StopError{Code: connector.ExitSlotInUse, What: fmt.Sprintf("slot %q is being created by process %d of the server", s.cfg.Slot, st.PID),
			Fix: "wait, or end that process"}
	}
	g.opened.Gaps = nil
	if g.recorded != 0 && g.recorded < confirmed {
		g.opened.Gaps = []string{s.stream}
		s.log.Warn("the slot is ahead of the record: changes between were never seen here", "stream", s.stream, "offset", lsn(g.recorded), "confirmed", lsn(confirmed),
			"hint", "re-sync the models")
	}
	if g.recorded == 0 {
		s.log.Info("nothing is recorded for the slot; reading from where it stands", "stream", s.stream, "offset", lsn(confirmed))
	}
	return max(g.recorded, confirmed), nil
}

func (g *starter) newSlot(ctx context.Context, f *facts) (from uint64, err error) {
	s := g.s
	if !s.cfg.Create {
		return 0, &connector.StopError{Code: connector.ExitSlotLost, What: fmt.Sprintf("slot %q does not exist, and create is off", s.cfg.Slot),
			Fix: fmt.Sprintf("SELECT pg_create_logical_replication_slot(%s, 'pgoutput');", literal(s.cfg.Slot))}
	}
	if g.start.Creating != nil {
		if err := g.start.Creating(ctx, s.stream); err != nil {
			return 0, err
		}
	}
	from, err = s.createSlot(ctx, f)
	if err != nil {
		return 0, err
	}
	s.fresh = true
	s.log.Info("slot created", "stream", s.stream, "offset", lsn(from))
	return from, nil
}

// prepareTables resolves Start.Tables and sees that the publication sends them.
func (g *starter) prepareTables(ctx context.Context, f *facts) error {
	return g.s.main.with(ctx, func(c *pgconn.PgConn) error {
		var shapes []*shape
		for _, name := range g.start.Tables {
			sh, err := findTable(ctx, c, name)
			if err != nil {
				return err
			}
			if err := fitTable(sh, name); err != nil {
				return err
			}
			g.s.tables.want(sh, name)
			shapes = append(shapes, sh)
		}
		return g.publish(ctx, c, f, shapes)
	})
}

func unfit(what, fix string) error {
	return &connector.StopError{Code: connector.ExitTableUnfit, What: what, Fix: fix}
}

// findTable reads the shape of a table by its configured name; an unknown name gives the nearest one.
func findTable(ctx context.Context, c *pgconn.PgConn, name string) (*shape, error) {
	o, err := regclass(ctx, c, name)
	if err != nil {
		return nil, fmt.Errorf("look up table %s: %w", name, err)
	}
	if o != 0 {
		sh, err := readShape(ctx, c, o)
		if err != nil || sh != nil {
			return sh, err
		}
	}
	rows, err := query(ctx, c, `SELECT n.nspname || '.' || c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_toast'`)
	if err != nil {
		return nil, fmt.Errorf("look up table %s: %w", name, err)
	}
	var names []string
	for _, r := range rows {
		names = append(names, string(r[0]))
	}
	full := name
	if !strings.Contains(full, ".") {
		full = "public." + full
	}
	fix := "correct the name of the table"
	if near := nearest(full, names); near != "" {
		fix = fmt.Sprintf("did you mean %q?", near)
	}
	return nil, unfit(fmt.Sprintf("table %q does not exist", name), fix)
}

// fitTable refuses what has no row changes of its own.
func fitTable(sh *shape, name string) error {
	switch {
	case sh.kind == 'v' || sh.kind == 'm':
		return unfit(fmt.Sprintf("%s is a view; only tables have a stream of changes", name), "name the table behind it")
	case sh.kind == 'f':
		return unfit(fmt.Sprintf("%s is a foreign table; its changes are not in this server's log", name), "connect to the server that holds it")
	case sh.kind != 'r' && sh.kind != 'p':
		return unfit(fmt.Sprintf("%s is no table", name), "name a table")
	}
	return nil
}

// publication is a row of pg_publication.
type publication struct {
	owner, all, insert, update, delete, truncate, viaRoot bool
}

func readPublication(ctx context.Context, c *pgconn.PgConn, name string) (*publication, error) {
	rows, err := query(ctx, c, `SELECT pg_catalog.pg_has_role(pubowner, 'USAGE'), puballtables, pubinsert, pubupdate, pubdelete, coalesce((pg_catalog.to_jsonb(p)->>'pubtruncate')::bool, false),
  coalesce((pg_catalog.to_jsonb(p)->>'pubviaroot')::bool, false) FROM pg_catalog.pg_publication p WHERE pubname = `+literal(name))
	if err != nil {
		return nil, fmt.Errorf("read publication %q: %w", name, err)
	}
	if len(rows) == 0 {
		return nil, nil
	}
	t := func(i int) bool { return char(rows[0][i]) == 't' }
	return &publication{owner: t(0), all: t(1), insert: t(2), update: t(3), delete: t(4), truncate: t(5), viaRoot: t(6)}, nil
}

// publish creates the publication or adds tables to it.
func (g *starter) publish(ctx context.Context, c *pgconn.PgConn, f *facts, shapes []*shape) error {
	s := g.s
	p, err := readPublication(ctx, c, s.cfg.Publication)
	if err != nil {
		return err
	}
	var missing []*shape
	for _, sh := range shapes {
		listed := false
		if p != nil {
			if sh.kind == 'p' && !p.viaRoot {
				return unfit(fmt.Sprintf("publication %q sends the rows of partitioned table %s under its partitions' names", s.cfg.Publication, sh.full()), viaRootFix(s.cfg.Publication))
			}
			if listed, err = readPublished(ctx, c, sh, s.cfg.Publication); err != nil {
				return err
			}
			s.warnPublished(sh, listed)
		}
		if sh.partition && (p == nil || p.viaRoot) && !listed {
			return unfit(fmt.Sprintf("%s is a partition; its rows come under the name of its parent", sh.full()), "name the partitioned table")
		}
		if !listed {
			if err := fitIdentity(sh); err != nil {
				return err
			}
			missing = append(missing, sh)
		}
	}
	if p == nil || len(missing) > 0 {
		return s.writePublication(ctx, c, p != nil, missing)
	}
	return nil
}

func viaRootFix(publication string) string {
	return "ALTER PUBLICATION " + ident(publication) + " SET (publish_via_partition_root = true);"
}

// fitIdentity refuses to publish a table whose updates and deletes the server would refuse from then on.
func fitIdentity(sh *shape) error {
	if sh.replident == 'f' || len(sh.identityColumns()) > 0 {
		return nil
	}
	return unfit(fmt.Sprintf("table %s has no replica identity: once published, the server would refuse its updates and deletes", sh.full()), identityFix(sh))
}

func identityFix(sh *shape) string {
	if len(sh.primary()) > 0 {
		return "ALTER TABLE " + sh.sql() + " REPLICA IDENTITY DEFAULT;"
	}
	return "ALTER TABLE " + sh.sql() + " REPLICA IDENTITY FULL;  -- better: a primary key"
}

func (s *Source) warnPublished(sh *shape, listed bool) {
	if !listed {
		return
	}
	if sh.filter != "" {
		s.log.Warn("the publication has a row filter: rows outside it are not seen", "table", sh.full(), "publication", s.cfg.Publication)
	}
	for _, c := range sh.columns {
		if sh.published != nil && !sh.published[c.name] && !c.generated {
			s.log.Warn("the publication leaves columns out: they cannot be mapped", "table", sh.full(), "publication", s.cfg.Publication, "column", c.name)
		}
	}
	if sh.replident == 'n' {
		s.log.Warn("the table's replica identity is NOTHING: updates and deletes are not sent", "table", sh.full())
	}
}

func (s *Source) writePublication(ctx context.Context, c *pgconn.PgConn, exists bool, tables []*shape) error {
	var names []string
	for _, sh := range tables {
		names = append(names, sh.sql())
	}
	sql := "ALTER PUBLICATION " + ident(s.cfg.Publication) + " ADD TABLE " + strings.Join(names, ", ")
	what := fmt.Sprintf("publication %q lacks %s", s.cfg.Publication, strings.Join(names, ", "))
	if !exists {
		what = fmt.Sprintf("publication %q does not exist", s.cfg.Publication)
		sql = "CREATE PUBLICATION " + ident(s.cfg.Publication)
		if len(names) > 0 {
			sql += " FOR TABLE " + strings.Join(names, ", ")
		}
		sql += " WITH (publish_via_partition_root = true)"
	}
	if !s.cfg.Create {
		return unfit(what+", and create is off", sql+";")
	}
	// A table locked by someone else must not queue everybody behind us.
	_, err := query(ctx, c, "SET lock_timeout = '5s'; "+sql+"; RESET lock_timeout")
	if _, reset := query(ctx, c, "RESET lock_timeout"); err == nil {
		err = reset
	}
	switch sqlState(err) {
	case "":
		if err != nil {
			return fmt.Errorf("publish tables: %w", err)
		}
		s.log.Info("publication written", "publication", s.cfg.Publication, "tables", names)
		return nil
	case "42710": // someone else was faster
		return nil
	case "55P03":
		return &connector.StopError{Code: connector.ExitUnreachable, What: what + ", and a table is locked by another transaction", Fix: "end that transaction, or run: " + sql + ";", Err: err}
	}
	return &connector.StopError{Code: connector.ExitTableUnfit, What: what + ", and this role may not change that", Err: err,
		Fix: "as owner of the tables (and with CREATE on the database): " + sql + ";"}
}
