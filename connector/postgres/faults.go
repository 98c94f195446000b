package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"brazecdc/connector"
)

// facts is what is known of the server before anything is created.
type facts struct {
	version                              int
	walLevel                             string
	recovery                             bool
	database                             string
	role                                 string
	mayReplicate                         bool // by attribute, superuser, or a provider's role
	mayCreate                            bool // CREATE on the database
	super                                bool
	provider                             string // rds, cloudsql, azure, supabase or ""
	slots, maxSlots, senders, maxSenders int
}

const factsSQL = `SELECT current_setting('server_version_num'), current_setting('wal_level'), pg_catalog.pg_is_in_recovery(), current_database(), current_user,
  r.rolsuper OR r.rolreplication OR EXISTS (SELECT 1 FROM pg_catalog.pg_roles g WHERE g.rolname IN ('rds_replication', 'rds_superuser') AND pg_catalog.pg_has_role(r.oid, g.oid, 'member')),
  pg_catalog.has_database_privilege(current_database(), 'CREATE'), r.rolsuper,
  CASE WHEN EXISTS (SELECT 1 FROM pg_catalog.pg_settings WHERE name LIKE 'rds.%') THEN 'rds'
       WHEN EXISTS (SELECT 1 FROM pg_catalog.pg_settings WHERE name LIKE 'cloudsql.%') THEN 'cloudsql'
       WHEN EXISTS (SELECT 1 FROM pg_catalog.pg_settings WHERE name LIKE 'azure.%') THEN 'azure'
       WHEN EXISTS (SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = 'supabase_admin') THEN 'supabase' ELSE '' END,
  (SELECT count(*) FROM pg_catalog.pg_replication_slots), current_setting('max_replication_slots'),
  (SELECT count(*) FROM pg_catalog.pg_stat_replication), current_setting('max_wal_senders')
FROM pg_catalog.pg_roles r WHERE r.rolname = current_user`

// facts asks the server. Its errors are explained.
func (s *Source) facts(ctx context.Context) (*facts, error) {
	var f *facts
	err := s.main.with(ctx, func(c *pgconn.PgConn) (err error) {
		f, err = readFacts(ctx, c)
		return err
	})
	if err != nil {
		return nil, s.explain(err, nil)
	}
	return f, nil
}

func readFacts(ctx context.Context, c *pgconn.PgConn) (*facts, error) {
	rows, err := query(ctx, c, factsSQL)
	if err != nil {
		return nil, fmt.Errorf("read the server's settings: %w", err)
	}
	if len(rows) != 1 {
		return nil, errors.New("read the server's settings: the role is unknown")
	}
	r := rows[0]
	n := func(i int) int { v, _ := strconv.Atoi(string(r[i])); return v } // numbers of the server
	t := func(i int) bool { return string(r[i]) == "t" }
	return &facts{version: n(0), walLevel: string(r[1]), recovery: t(2), database: string(r[3]), role: string(r[4]), mayReplicate: t(5), mayCreate: t(6), super: t(7),
		provider: string(r[8]), slots: n(9), maxSlots: n(10), senders: n(11), maxSenders: n(12)}, nil
}

// provider names the ways of managed services (their documentation, "logical replication").
func (f *facts) providerWay(rds, cloudsql, azure, plain string) string {
	if f == nil {
		return plain
	}
	switch f.provider {
	case "rds":
		return rds
	case "cloudsql":
		return cloudsql
	case "azure":
		return azure
	}
	return plain
}

func (f *facts) walLevelFix() string {
	return f.providerWay(
		"set rds.logical_replication = 1 in the parameter group of the instance (or cluster), then reboot it",
		"set the flag cloudsql.logical_decoding = on; the instance restarts",
		"set wal_level = logical in the portal under Server parameters, then restart",
		"ALTER SYSTEM SET wal_level = 'logical'; then restart the server (managed services: a parameter of the instance)")
}

func (f *facts) replicationFix(role string) string {
	return f.providerWay(
		"GRANT rds_replication TO "+ident(role)+";",
		"ALTER USER "+ident(role)+" WITH REPLICATION; (as a member of cloudsqlsuperuser)",
		"ALTER ROLE "+ident(role)+" WITH REPLICATION; (as the administrator of the server)",
		"ALTER ROLE "+ident(role)+" WITH REPLICATION;")
}

// judgement is one thing a server must have: what is well, or the stop where it is not.
type judgement struct {
	about, well string
	stop        *connector.StopError
}

// judge looks at what keeps a server from being a source at all, and at the slot's limits.
func (f *facts) judge(needSlot bool) []judgement {
	var out []judgement
	add := func(about, well string, bad bool, code int, what, fix string) {
		j := judgement{about: about, well: well}
		if bad {
			j.stop = &connector.StopError{Code: code, What: what, Fix: fix}
		}
		out = append(out, j)
	}
	add(AboutVersion, fmt.Sprintf("PostgreSQL %s, database %q, role %q", versionName(f.version), f.database, f.role), f.version < minVersion, connector.ExitTableUnfit,
		fmt.Sprintf("the server is PostgreSQL %d; 14 is the oldest version supported", f.version/10000), "upgrade the server")
	add(AboutWAL, "wal_level is logical", f.walLevel != "logical", connector.ExitRights,
		fmt.Sprintf("wal_level is %q, logical replication needs \"logical\"", f.walLevel), f.walLevelFix())
	add(AboutRight, fmt.Sprintf("role %q may replicate", f.role), !f.mayReplicate, connector.ExitRights,
		fmt.Sprintf("role %q may not replicate", f.role), f.replicationFix(f.role))
	if needSlot {
		add(AboutSlots, fmt.Sprintf("%d of %d replication slots are free", f.maxSlots-f.slots, f.maxSlots), f.slots >= f.maxSlots, connector.ExitRights,
			fmt.Sprintf("all %d replication slots of the server are used", f.maxSlots),
			"drop an unused one (SELECT slot_name, active FROM pg_replication_slots;) or raise max_replication_slots and restart")
	}
	return out
}

// faults are the stops of judge.
func (f *facts) faults(needSlot bool) []*connector.StopError {
	var out []*connector.StopError
	for _, j := range f.judge(needSlot) {
		if j.stop != nil {
			out = append(out, j.stop)
		}
	}
	return out
}

// pooled is the stop for a connection pooler in between.
func (s *Source) pooled(err error) error {
	return &connector.StopError{Code: connector.ExitRights,
		What: "there seems to be a connection pooler (PgBouncer or its like) between; replication commands do not pass it",
		Fix:  "put the server's own host and port into source.postgres.url (Supabase: the direct connection, port 5432, not the pooler's 6543)", Err: err}
}

// explain turns an error of connecting or of a replication command into a stop that says what mends it. What may pass by itself gives
// connector.ExitUnreachable, which Open retries until its timeout and a reconnect for ever. f may be nil.
func (s *Source) explain(err error, f *facts) error {
	var stop *connector.StopError
	if errors.As(err, &stop) {
		return err
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return &connector.StopError{Code: connector.ExitUnreachable, What: "the database is not reachable", Err: err,
			Fix: "is the server up, are host, port and TLS of source.postgres.url right, does a firewall allow the connection?"}
	}
	role := s.repl.User
	rights := func(what, fix string) error {
		return &connector.StopError{Code: connector.ExitRights, What: what, Fix: fix, Err: err}
	}
	msg := pg.Message
	switch {
	case strings.Contains(msg, "unsupported startup parameter"), strings.Contains(msg, "pgbouncer"), strings.Contains(msg, "replication") && pg.Code == "08P01":
		return s.pooled(err)
	case pg.Code == "28P01", pg.Code == "28000" && !strings.Contains(msg, "replication"):
		return rights(fmt.Sprintf("login of role %q refused", role), "correct user and password in source.postgres.url, or the line of pg_hba.conf")
	case pg.Code == "28000": // no pg_hba.conf entry for replication connection
		return rights(fmt.Sprintf("a replication connection of role %q is refused", role), "allow it in pg_hba.conf: host all "+role+" ADDRESS scram-sha-256 (database replication is for physical replication only); then SELECT pg_reload_conf();")
	case pg.Code == "3D000":
		return rights(fmt.Sprintf("database %q does not exist", s.repl.Database), "correct the database in source.postgres.url")
	case pg.Code == "42501":
		return rights(fmt.Sprintf("role %q lacks a right", role), f.replicationFix(role))
	case pg.Code == "55006": // object_in_use
		return s.inUse(pidOf(msg))
	case pg.Code == "53400" && strings.Contains(msg, "replication slots"):
		return rights("all replication slots of the server are used", "drop an unused one (SELECT slot_name, active FROM pg_replication_slots;) or raise max_replication_slots and restart")
	case pg.Code == "53300" && strings.Contains(msg, "max_wal_senders"):
		return &connector.StopError{Code: connector.ExitUnreachable, What: "all WAL senders of the server are used", Err: err, Fix: "end an unused one (SELECT * FROM pg_stat_replication;) or raise max_wal_senders and restart"}
	case pg.Code == "55000" && strings.Contains(msg, "wal_level"):
		return rights("wal_level is not logical", f.walLevelFix())
	case pg.Code == "55000" && (strings.Contains(msg, "can no longer") || strings.Contains(msg, "cannot read from") || strings.Contains(msg, "invalidated")),
		pg.Code == "58P01":
		return s.lostError(msg)
	case pg.Code == "42704" && strings.Contains(msg, "publication"):
		return s.lateError(err)
	case pg.Code == "42601":
		return s.pooled(err)
	}
	return &connector.StopError{Code: connector.ExitUnreachable, What: "the server refuses the connection", Err: err, Fix: "see the server's message"}
}

// lateError: decoding looks the publication up as it was when the row was written.
func (s *Source) lateError(err error) error {
	return &connector.StopError{Code: connector.ExitTableUnfit, Err: err,
		What: fmt.Sprintf("publication %q does not exist, or was made after slot %q: what the slot holds from before cannot be decoded", s.cfg.Publication, s.cfg.Slot),
		Fix:  fmt.Sprintf("SELECT pg_drop_replication_slot(%s); then start again (the publication first, then the slot), and re-sync the models", literal(s.cfg.Slot))}
}

// pidOf finds the process in `replication slot "x" is active for PID 4711`.
func pidOf(msg string) int {
	_, after, _ := strings.Cut(msg, "PID ")
	n, _, _ := number(after)
	return int(n)
}
