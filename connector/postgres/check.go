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

// Level is how bad a Finding is.
type Level string

// The levels of a Finding, as `brazecdc check` prints them: must fix, may hurt, fine.
const (
	Fail Level = "fail"
	Warn Level = "warn"
	OK   Level = "ok"
)

// What a Finding is about, in the order of a check.
const (
	AboutReach       = "reachable"
	AboutVersion     = "version"
	AboutRole        = "role"
	AboutWAL         = "wal_level"
	AboutRight       = "replication"
	AboutSlots       = "slots"
	AboutSenders     = "senders"
	AboutSlot        = "slot"
	AboutRetention   = "retention"
	AboutPublication = "publication"
	AboutTable       = "table"
	AboutStream      = "stream"
	AboutReplica     = "snapshot_url"
)

// Finding is one line of a check. Fix is the SQL line or step that mends it; Code is the exit code `run` would end with, 0 where it would not.
type Finding struct {
	About string // one of the About words
	Level Level
	What  string
	Fix   string
	Code  int
	New   bool // it is not there, and run creates it
}

// Need is what a check must know of a table beyond its name.
type Need struct {
	Table string
	// Deletes: the mode acts on deletes.
	Deletes bool
	// UserColumns are what the user's id is made of; where they are not in old images, a delete or a change of the id cannot be told.
	UserColumns []string
	// Before: a rule needs whole before-images (a filter with deletes, events on updates).
	Before bool
	// Load: the table is to be read by chunks.
	Load bool
}

// Check looks for everything that would stop or hurt a run, and changes nothing. It works while a run holds the slot, and reads what catalogs
// of other versions lack as missing.
func Check(ctx context.Context, cfg Config, needs []Need) []Finding {
	s, err := New(cfg)
	if err != nil {
		return []Finding{{About: AboutReach, Level: Fail, What: err.Error(), Code: connector.ExitCode(err)}}
	}
	defer s.main.close(ctx)
	defer s.read.close(ctx)
	k := &checker{s: s, about: AboutReach}
	k.run(ctx, needs)
	return k.found
}

type checker struct {
	s     *Source
	about string // what is looked at
	found []Finding
}

func (k *checker) add(l Level, what, fix string, code int) {
	k.found = append(k.found, Finding{About: k.about, Level: l, What: what, Fix: fix, Code: code})
}

// made adds what run creates.
func (k *checker) made(what string) {
	k.add(OK, what, "", 0)
	k.found[len(k.found)-1].New = true
}

func (k *checker) fault(err error) {
	var stop *connector.StopError
	if errors.As(err, &stop) {
		what := stop.What
		if stop.Err != nil {
			what += ": " + stop.Err.Error()
		}
		k.add(Fail, what, stop.Fix, stop.Code)
		return
	}
	k.add(Fail, err.Error(), "", connector.ExitUnreachable)
}

func (k *checker) run(ctx context.Context, needs []Need) {
	s := k.s
	f, err := s.facts(ctx)
	if err != nil {
		k.fault(err)
		return
	}
	k.about = AboutRole
	if f.super {
		k.add(Warn, fmt.Sprintf("role %q is a superuser", f.role), "a role of its own with less: CREATE ROLE brazecdc LOGIN REPLICATION PASSWORD '…'; GRANT SELECT ON … TO brazecdc;", 0)
	}
	err = s.main.with(ctx, func(c *pgconn.PgConn) error {
		slot, err := readSlot(ctx, c, s.cfg.Slot)
		if err != nil {
			return err
		}
		for _, j := range f.judge(slot == nil) {
			if k.about = j.about; j.stop != nil {
				k.fault(j.stop)
				continue
			}
			k.add(OK, j.well, "", 0)
		}
		k.about = AboutSlot
		k.slot(slot, f)
		k.about = AboutRetention
		k.retention(ctx, c)
		k.about = AboutPublication
		return k.tables(ctx, c, f, needs)
	})
	if err != nil {
		k.fault(s.explain(err, f))
	}
	k.about = AboutSenders
	k.replication(ctx, f)
	k.about = AboutReplica
	if s.cfg.SnapshotURL != s.cfg.URL {
		if _, err := s.read.query(ctx, "SELECT 1"); err != nil {
			k.fault(fmt.Errorf("snapshot_url: %w", s.explain(err, nil)))
		}
	}
}

// replication tries a replication connection, which a pooler or pg_hba.conf may refuse.
func (k *checker) replication(ctx context.Context, f *facts) {
	if !f.mayReplicate {
		return
	}
	if f.senders >= f.maxSenders {
		k.add(Fail, fmt.Sprintf("all %d WAL senders of the server are used", f.maxSenders), "raise max_wal_senders and restart", connector.ExitUnreachable)
		return
	}
	k.add(OK, fmt.Sprintf("%d of %d WAL senders are free", f.maxSenders-f.senders, f.maxSenders), "", 0)
	k.about = AboutStream
	c, err := k.s.connectReplication(ctx, f)
	if err != nil {
		k.fault(err)
		return
	}
	defer closeConn(c)
	if err := k.s.sameServer(ctx, c, 0); err != nil {
		k.fault(k.s.explain(err, f))
		return
	}
	k.add(OK, "a replication connection works", "", 0)
}

func (k *checker) slot(st *slotState, f *facts) {
	name := k.s.cfg.Slot
	switch {
	case st == nil && k.s.cfg.Create:
		k.made(fmt.Sprintf("slot %q does not exist yet; run creates it", name))
	case st == nil:
		k.add(Fail, fmt.Sprintf("slot %q does not exist, and create is off", name), fmt.Sprintf("SELECT pg_create_logical_replication_slot(%s, 'pgoutput');", literal(name)), connector.ExitSlotLost)
	default:
		if err := k.s.checkSlot(st, f.database); err != nil {
			k.fault(err)
			return
		}
		switch {
		case st.Confirmed == "":
			k.add(Warn, fmt.Sprintf("slot %q is being created by process %d", name, st.PID), "wait for it", 0)
		case st.Status == "unreserved":
			k.add(Warn, fmt.Sprintf("slot %q is about to be lost (wal_status=unreserved)", name), "let run catch up now, and raise max_slot_wal_keep_size", 0)
		case st.Active:
			k.add(OK, fmt.Sprintf("slot %q is read by process %d, at %s", name, st.PID, st.Confirmed), "", 0)
		default:
			k.add(OK, fmt.Sprintf("slot %q stands at %s", name, st.Confirmed), "", 0)
		}
		if k.s.failover(f) && !st.Failover {
			k.add(Warn, fmt.Sprintf("slot %q does not survive a failover", name), fmt.Sprintf("ALTER_REPLICATION_SLOT %s (FAILOVER); on a replication connection, with sync_replication_slots on the standby", name), 0)
		}
	}
}

func (k *checker) retention(ctx context.Context, c *pgconn.PgConn) {
	rows, err := query(ctx, c, "SELECT current_setting('max_slot_wal_keep_size', true), current_setting('logical_decoding_work_mem', true)")
	if err != nil || len(rows) == 0 {
		return
	}
	if v := string(rows[0][0]); v == "-1" {
		k.add(Warn, "max_slot_wal_keep_size is not set: while run is stopped, the log grows until the disk is full", "ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT pg_reload_conf();  -- what the disk can spare", 0)
	}
}

func (k *checker) tables(ctx context.Context, c *pgconn.PgConn, f *facts, needs []Need) error {
	p, err := readPublication(ctx, c, k.s.cfg.Publication)
	if err != nil {
		return err
	}
	name := k.s.cfg.Publication
	switch {
	case p == nil && !k.s.cfg.Create:
		k.add(Fail, fmt.Sprintf("publication %q does not exist, and create is off", name), k.createLine(needs), connector.ExitTableUnfit)
	case p == nil && !f.mayCreate:
		k.add(Fail, fmt.Sprintf("publication %q does not exist, and role %q may not create one", name, f.role), k.createLine(needs)+"  -- as the owner of the tables", connector.ExitTableUnfit)
	case p == nil:
		k.made(fmt.Sprintf("publication %q does not exist yet; run creates it", name))
	default:
		if !p.insert || !p.update || !p.delete || !p.truncate {
			k.add(Warn, fmt.Sprintf("publication %q does not send all of insert, update, delete, truncate", name), "ALTER PUBLICATION "+ident(name)+" SET (publish = 'insert, update, delete, truncate');", 0)
		}
		k.add(OK, fmt.Sprintf("publication %q exists", name), "", 0)
	}
	k.about = AboutTable
	for _, n := range needs {
		sh, err := findTable(ctx, c, n.Table)
		if err == nil {
			err = fitTable(sh, n.Table)
		}
		if err != nil {
			if !k.ours(err) {
				return err
			}
			continue
		}
		if err := k.table(ctx, c, f, p, sh, n); err != nil {
			return err
		}
	}
	return nil
}

// ours adds a stop that was found and tells whether err was one.
func (k *checker) ours(err error) bool {
	var stop *connector.StopError
	if !errors.As(err, &stop) {
		return false
	}
	k.fault(stop)
	return true
}

func (k *checker) createLine(needs []Need) string {
	var names []string
	for _, n := range needs {
		parts := strings.Split(n.Table, ".")
		for i := range parts {
			parts[i] = ident(parts[i])
		}
		names = append(names, strings.Join(parts, "."))
	}
	return "CREATE PUBLICATION " + ident(k.s.cfg.Publication) + " FOR TABLE " + strings.Join(names, ", ") + " WITH (publish_via_partition_root = true);"
}

func (k *checker) table(ctx context.Context, c *pgconn.PgConn, f *facts, p *publication, sh *shape, n Need) error {
	listed := false
	if p != nil {
		if sh.kind == 'p' && !p.viaRoot {
			k.add(Fail, fmt.Sprintf("publication %q sends the rows of partitioned table %s under its partitions' names", k.s.cfg.Publication, sh.full()),
				viaRootFix(k.s.cfg.Publication), connector.ExitTableUnfit)
		}
		var err error
		if listed, err = readPublished(ctx, c, sh, k.s.cfg.Publication); err != nil {
			return err
		}
		k.published(p, sh, listed)
	}
	if err := k.access(ctx, c, sh, p != nil, listed); err != nil {
		return err
	}
	k.identity(sh, n, listed)
	if sh.kind == 'p' {
		if err := k.leaves(ctx, c, sh); err != nil {
			return err
		}
	}
	if sh.children {
		k.add(Warn, fmt.Sprintf("%s has inheritance children that are not partitions; their rows are not taken for its own", sh.full()), "add a model for each child whose rows matter", 0)
	}
	if n.Load && len(sh.unique()) == 0 {
		k.add(Fail, fmt.Sprintf("table %s has no key to load it by", sh.full()), "ALTER TABLE "+sh.sql()+" ADD PRIMARY KEY (…);  -- or load: none", connector.ExitTableUnfit)
	}
	return nil
}

func (k *checker) published(p *publication, sh *shape, listed bool) {
	name := k.s.cfg.Publication
	if !listed {
		if line := "ALTER PUBLICATION " + ident(name) + " ADD TABLE " + sh.sql() + ";"; !k.s.cfg.Create || !p.owner {
			k.add(Fail, fmt.Sprintf("publication %q lacks %s", name, sh.full()), line+"  -- as its owner", connector.ExitTableUnfit)
		} else {
			k.add(OK, fmt.Sprintf("publication %q lacks %s; run adds it", name, sh.full()), "", 0)
		}
		return
	}
	if sh.filter != "" {
		k.add(Warn, fmt.Sprintf("publication %q filters the rows of %s: %s", name, sh.full(), sh.filter), "rows outside the filter are not seen; remove it, or map with it in mind", 0)
	}
	for _, c := range sh.columns {
		switch {
		case c.generated && (sh.published == nil || !sh.published[c.name]):
			k.add(Warn, fmt.Sprintf("%s.%s is a generated column and not in the stream", sh.full(), c.name), "use an expression over the columns it is made of", 0)
		case sh.published != nil && !sh.published[c.name]:
			k.add(Warn, fmt.Sprintf("publication %q leaves out %s.%s", name, sh.full(), c.name), "it cannot be mapped", 0)
		}
	}
}

// access checks the least privileges: SELECT for loads and look-ups, ownership where the publication has to be changed.
func (k *checker) access(ctx context.Context, c *pgconn.PgConn, sh *shape, exists, listed bool) error {
	o := strconv.FormatUint(uint64(sh.oid), 10)
	rows, err := query(ctx, c, `SELECT pg_catalog.has_table_privilege(`+o+`::oid, 'SELECT'), pg_catalog.has_schema_privilege(relnamespace, 'USAGE'), pg_catalog.pg_has_role(relowner, 'USAGE'), current_user
FROM pg_catalog.pg_class WHERE oid = `+o)
	if err != nil || len(rows) == 0 {
		return err
	}
	role := ident(string(rows[0][3]))
	if char(rows[0][1]) != 't' {
		k.add(Fail, fmt.Sprintf("role %s may not use schema %s", role, sh.schema), "GRANT USAGE ON SCHEMA "+ident(sh.schema)+" TO "+role+";", connector.ExitRights)
	}
	if char(rows[0][0]) != 't' {
		k.add(Fail, fmt.Sprintf("role %s may not read %s, which loads and look-ups need", role, sh.full()), "GRANT SELECT ON "+sh.sql()+" TO "+role+";", connector.ExitRights)
	}
	if !listed && k.s.cfg.Create && char(rows[0][2]) != 't' {
		line := k.createLine([]Need{{Table: sh.full()}})
		if exists {
			line = "ALTER PUBLICATION " + ident(k.s.cfg.Publication) + " ADD TABLE " + sh.sql() + ";"
		}
		k.add(Fail, fmt.Sprintf("only the owner of %s may publish it, role %s is not", sh.full(), role), line+"  -- as the owner", connector.ExitTableUnfit)
	}
	return nil
}

// identity checks what old images carry against what the mode needs.
func (k *checker) identity(sh *shape, n Need, listed bool) {
	full := "ALTER TABLE " + sh.sql() + " REPLICA IDENTITY FULL;"
	ids := sh.identityColumns()
	switch {
	case sh.replident == 'f':
		if len(sh.unique()) == 0 {
			k.add(Warn, fmt.Sprintf("table %s has no key: rows are told apart by all their columns, equal rows not at all", sh.full()), "ALTER TABLE "+sh.sql()+" ADD PRIMARY KEY (…);", 0)
		}
		k.add(OK, fmt.Sprintf("%s: whole before-images (REPLICA IDENTITY FULL)", sh.full()), "", 0)
		return
	case len(ids) == 0:
		level, code := Fail, connector.ExitTableUnfit
		if listed {
			level, code = Warn, 0
		}
		k.add(level, fmt.Sprintf("table %s has no replica identity: once published, the server refuses or hides its updates and deletes", sh.full()), identityFix(sh), code)
		return
	}
	for _, u := range n.UserColumns {
		if !contains(ids, u) {
			k.add(Warn, fmt.Sprintf("%s: a delete or a change of %q does not tell the old %q, only %s; what the store does not know goes to quarantine", sh.full(), u, u, strings.Join(ids, ", ")), full, 0)
			return
		}
	}
	if n.Before {
		k.add(Warn, fmt.Sprintf("%s: a rule needs the old row, of which only %s is in the stream", sh.full(), strings.Join(ids, ", ")), full, 0)
		return
	}
	k.add(OK, fmt.Sprintf("%s: before-images carry %s", sh.full(), strings.Join(ids, ", ")), "", 0)
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// leaves reports partitions whose replica identity differs from their root's: it is the leaf's that counts.
func (k *checker) leaves(ctx context.Context, c *pgconn.PgConn, sh *shape) error {
	rows, err := query(ctx, c, `SELECT n.nspname, l.relname, l.relreplident FROM pg_catalog.pg_partition_tree(`+strconv.FormatUint(uint64(sh.oid), 10)+`) t
JOIN pg_catalog.pg_class l ON l.oid = t.relid JOIN pg_catalog.pg_namespace n ON n.oid = l.relnamespace WHERE t.isleaf AND l.relreplident <> `+literal(string(sh.replident)))
	if err != nil {
		return err
	}
	for _, r := range rows {
		want := map[byte]string{'f': "FULL", 'd': "DEFAULT", 'n': "NOTHING"}[sh.replident]
		if want == "" {
			want = "USING INDEX …"
		}
		k.add(Warn, fmt.Sprintf("partition %s.%s has another replica identity than %s; its own decides what its changes carry", r[0], r[1], sh.full()),
			"ALTER TABLE "+ident(string(r[0]))+"."+ident(string(r[1]))+" REPLICA IDENTITY "+want+";", 0)
	}
	return nil
}
