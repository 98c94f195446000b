package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"brazecdc/connector"
)

// beginVisible begins a read-only transaction whose snapshot sees every transaction of need. A commit is in the log, and may have been
// streamed, before other sessions see it: with synchronous replication for as long as the standby takes. On a replica upTo must have been replayed
// before the snapshot was taken. It tries until ctx ends.
func (s *Source) beginVisible(ctx context.Context, c *pgconn.PgConn, need *delivered, upTo uint64) error {
	began, said := time.Now(), false
	for wait := 2 * time.Millisecond; ; wait = min(2*wait, 250*time.Millisecond) {
		ok, err := s.tryVisible(ctx, c, need, upTo)
		if err != nil {
			return fmt.Errorf("begin a snapshot: %w", err)
		}
		if ok {
			return nil
		}
		if !said && time.Since(began) > visibleWait {
			said = true
			s.log.Warn("reading waits: transactions of the stream are not visible to other sessions yet", "stream", s.stream,
				"hint", "does a synchronous standby (synchronous_standby_names) or the replica of snapshot_url lag?")
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *Source) tryVisible(ctx context.Context, c *pgconn.PgConn, need *delivered, upTo uint64) (bool, error) {
	rows, err := query(ctx, c, "SELECT pg_catalog.pg_is_in_recovery(), CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() END")
	if err != nil {
		return false, err
	}
	replica, replayed := char(rows[0][0]) == 't', parseLSN(string(rows[0][1]))
	if replica && replayed < upTo {
		return false, nil
	}
	rows, err = query(ctx, c, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT pg_catalog.pg_current_snapshot()")
	if err != nil {
		return false, err
	}
	if replica {
		return true, nil
	}
	snap, err := parseSnapshot(string(rows[0][0]))
	if err != nil {
		return false, err
	}
	s.seen.prune(snap)
	if need.prune(snap) {
		return true, nil
	}
	_, err = query(ctx, c, "ROLLBACK")
	return false, err
}

// rowReader turns text results into snapshot changes.
type rowReader struct {
	rel     *relation
	now     time.Time
	dec     decoder
	changes []connector.Change
	bytes   int
}

// read runs a statement of the simple protocol, whose results are text as the stream's, and appends its rows.
func (r *rowReader) read(ctx context.Context, c *pgconn.PgConn, sql string) (n int, err error) {
	mrr := c.Exec(ctx, sql)
	for mrr.NextResult() {
		rr := mrr.ResultReader()
		for rr.NextRow() {
			r.add(rr.Values())
			n++
		}
	}
	return n, mrr.Close()
}

func (r *rowReader) add(values [][]byte) {
	total := 0
	for _, v := range values {
		total += len(v)
	}
	r.bytes += total
	var all strings.Builder
	all.Grow(total)
	for _, v := range values {
		all.Write(v)
	}
	s := all.String()
	cells := r.dec.cells(len(values))
	for i, v := range values {
		if v == nil {
			cells[i] = connector.Cell{State: connector.Null}
			continue
		}
		cells[i] = connector.Cell{State: connector.Set, Raw: s[:len(v)]}
		s = s[len(v):]
	}
	t := r.rel.table
	r.changes = append(r.changes, connector.Change{Key: connector.Key{Table: t.Name, ID: r.rel.keyID(cells)}, Op: connector.Snapshot,
		After: connector.Row{Table: t, Cells: cells}, Time: r.now})
}

// Describe implements connector.Reader. Its errors are explained, so that a refused login is told from a server that is away.
func (s *Source) Describe(ctx context.Context, table string) (*connector.Table, error) {
	var rel *relation
	err := s.main.with(ctx, func(c *pgconn.PgConn) error {
		s.tables.forget(table)
		r, _, err := s.tables.find(ctx, c, table)
		rel = r
		return err
	})
	if err != nil {
		return nil, s.explain(fmt.Errorf("describe table %s: %w", table, err), nil)
	}
	return rel.table, nil
}

// Rows implements connector.Reader. A value that is none of its column's type matches no row. With a Limit and no Where it reads the first
// rows as the server finds them.
func (s *Source) Rows(ctx context.Context, q connector.Query) ([]connector.Row, error) {
	need, upTo := s.seen.copy(), s.received.Load()
	var out []connector.Row
	err := s.read.with(ctx, func(c *pgconn.PgConn) error {
		rel, sh, err := s.tables.find(ctx, c, q.Table)
		if err != nil {
			return err
		}
		sql, err := s.rowsSQL(rel, sh, q)
		if err != nil {
			return err
		}
		if err := s.beginVisible(ctx, c, need, upTo); err != nil {
			return err
		}
		r := rowReader{rel: rel, now: time.Now().UTC()}
		_, err = r.read(ctx, c, sql)
		if _, end := query(ctx, c, "COMMIT"); err == nil {
			err = end
		}
		switch sqlState(err) {
		case "22P02", "22007", "22008", "22003", "22P03": // no value of the column's type
			return nil
		}
		if err != nil {
			s.tables.forget(q.Table) // its shape may have changed
			return err
		}
		for _, ch := range r.changes {
			if matches(ch.After, q.Where) {
				out = append(out, ch.After)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read rows of %s: %w", q.Table, err)
	}
	return out, nil
}

// rowsSQL compares by the column's type, so that an index can be used, and by text, which is what Equal means: 007 is not 7, and A is not a
// in a citext column.
func (s *Source) rowsSQL(rel *relation, sh *shape, q connector.Query) (string, error) {
	var cols, where []string
	for _, c := range rel.table.Columns {
		cols = append(cols, ident(c.Name))
	}
	if sh.filter != "" {
		where = append(where, "("+sh.filter+")")
	}
	for _, e := range q.Where {
		col := sh.column(e.Column)
		if col == nil || rel.table.Column(e.Column) < 0 {
			return "", unfit(fmt.Sprintf("table %s has no column %q in the stream", q.Table, e.Column), "")
		}
		base, typ := s.tables.types.resolve(col.typeOID)
		name, value := ident(e.Column), literal(e.Text)
		switch {
		case e.Fold:
			where = append(where, alikeText(name, true)+" = lower("+value+")")
		case !hasEquality(base):
			where = append(where, name+"::text = "+value)
		case base == oidNumeric || typ.category == 'S' && base != oidBpchar: // equal values may have more than one text
			where = append(where, name+" = "+value+" AND "+name+"::text = "+value)
		default: // casts to text differ from what the server prints (true for t, inet with its mask, no padding)
			where = append(where, name+" = "+value)
		}
	}
	sql := "SELECT " + strings.Join(cols, ", ") + " FROM " + sh.from()
	if len(where) > 0 {
		sql += " WHERE " + strings.Join(where, " AND ")
	}
	if q.Limit > 0 {
		sql += " LIMIT " + strconv.Itoa(q.Limit)
	}
	return sql, nil
}

func matches(r connector.Row, where []connector.Equal) bool {
	for _, e := range where {
		c := r.Cells[r.Table.Column(e.Column)]
		if c.State != connector.Set || c.Raw != e.Text && !(e.Fold && strings.EqualFold(strings.TrimSpace(c.Raw), e.Text)) {
			return false
		}
	}
	return true
}
