package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"brazecdc/connector"
)

const (
	// lookSessions is how many sessions a Look has at most, lookLimit how long one of its statements may take.
	lookSessions = 2
	lookLimit    = 2 * time.Second
)

// Look reads tables for a person: over at most two sessions that can write nothing, and whose statements end after two seconds. It neither knows nor slows a
// stream. Its methods may be called concurrently.
type Look struct {
	s    *Source // for the words of its errors
	pool *pool
}

// NewLook makes a Look without connecting.
func NewLook(cfg Config) (*Look, error) {
	s, err := New(cfg)
	if err != nil {
		return nil, err
	}
	c, err := settings(s.cfg.SnapshotURL)
	if err != nil {
		return nil, &connector.StopError{Code: connector.ExitConfig, What: "source.postgres.url", Err: err}
	}
	c.RuntimeParams["application_name"] = "brazecdc pages"
	c.RuntimeParams["statement_timeout"] = strconv.FormatInt(lookLimit.Milliseconds(), 10)
	c.RuntimeParams["default_transaction_read_only"] = "on"
	c.RuntimeParams["idle_session_timeout"] = "60000"
	c.ConnectTimeout = 5 * time.Second
	return &Look{s: s, pool: newPool(c, lookSessions)}, nil
}

// Close ends the sessions.
func (l *Look) Close(ctx context.Context) {
	l.pool.close(ctx)
	_ = l.s.Close(ctx) // it never connected
}

// Describe gives a table's present shape, or an error that names the nearest table.
func (l *Look) Describe(ctx context.Context, table string) (t *connector.Table, err error) {
	err = l.With(ctx, func(c *pgconn.PgConn) error {
		rel, _, err := l.s.tables.find(ctx, c, table)
		if err == nil {
			t = rel.table
		}
		return err
	})
	return t, err
}

// Forget makes the next call read the tables' shapes anew.
func (l *Look) Forget(table string) { l.s.tables.forget(table) }

// With runs fn on one of the sessions. A session that the server ended meanwhile is replaced; it may have ended all of them.
func (l *Look) With(ctx context.Context, fn func(c *pgconn.PgConn) error) error {
	err := l.pool.with(ctx, fn)
	for i := 0; i < lookSessions && err != nil && ctx.Err() == nil && stale(err); i++ {
		err = l.pool.with(ctx, fn)
	}
	if err == nil || ctx.Err() != nil {
		return err
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "57014" {
		return fmt.Errorf("%w: the database took longer than %s", ErrLookTooLong, lookLimit)
	}
	return l.s.explain(err, nil)
}

// ErrLookTooLong is what a Look gives where a statement was cut off.
var ErrLookTooLong = errors.New("look at the table")

// stale tells whether an error says that an idle session was ended.
func stale(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "57P05" || pg.Code == "57P01"
	}
	return pgconn.SafeToRetry(err)
}

// LookOrder is the order in which a Look reads rows.
type LookOrder uint8

// Found is as the server finds them; Last goes down the key; Random is at random, of large tables in a few places; Spread is by blocks at random, for a share of
// LookQuery.Percent.
const (
	Found LookOrder = iota
	Last
	Random
	Spread
)

// smallTable is up to how many rows a table is put in a random order as a whole.
const smallTable = 20_000

// LookQuery says which rows a Look reads. Columns are those to read, all if empty; the cells of others are absent.
type LookQuery struct {
	Table   string
	Columns []string
	Where   []connector.Equal
	Null    string // a column that must have no value
	Order   LookOrder
	By      string  // with Last: the column that says what is newest, else the key
	Percent float64 // with Spread
	Limit   int
}

// Rows reads rows and gives each to fn until that gives false.
func (l *Look) Rows(ctx context.Context, q LookQuery, fn func(connector.Row) bool) error {
	return l.With(ctx, func(c *pgconn.PgConn) error {
		rel, sh, err := l.s.tables.find(ctx, c, q.Table)
		if err != nil {
			return err
		}
		sql, cols, err := l.sql(rel, sh, &q)
		if err != nil {
			return err
		}
		err = lookRows(ctx, c, rel.table, cols, sql, fn)
		if err != nil {
			l.s.tables.forget(q.Table) // its shape may have changed
		}
		switch sqlState(err) {
		case "22P02", "22007", "22008", "22003", "22P03": // no value of the column's type
			return nil
		}
		return err
	})
}

// lookRows reads the rows of one statement; cols are the columns of its result.
func lookRows(ctx context.Context, c *pgconn.PgConn, t *connector.Table, cols []int, sql string, fn func(connector.Row) bool) error {
	mrr := c.Exec(ctx, sql)
	enough := false
	for mrr.NextResult() {
		rr := mrr.ResultReader()
		for rr.NextRow() {
			if enough {
				continue // what the server has sent already
			}
			row := connector.Row{Table: t, Cells: make([]connector.Cell, len(t.Columns))}
			for i, v := range rr.Values() {
				if v == nil {
					row.Cells[cols[i]] = connector.Cell{State: connector.Null}
				} else {
					row.Cells[cols[i]] = connector.Cell{State: connector.Set, Raw: string(v)}
				}
			}
			enough = !fn(row)
		}
	}
	return mrr.Close()
}

// sql is the statement of a query, and the columns of its result.
func (l *Look) sql(rel *relation, sh *shape, q *LookQuery) (string, []int, error) {
	var cols []int
	var names []string
	for i := range rel.table.Columns {
		name := rel.table.Columns[i].Name
		if len(q.Columns) == 0 || slices.Contains(q.Columns, name) {
			cols = append(cols, i)
			names = append(names, ident(name))
		}
	}
	if len(cols) == 0 {
		return "", nil, unfit(fmt.Sprintf("table %s has none of the columns %s", q.Table, strings.Join(q.Columns, ", ")), "")
	}
	all, err := l.s.rowsSQL(rel, sh, connector.Query{Table: q.Table, Where: q.Where})
	if err != nil {
		return "", nil, err
	}
	_, from, _ := strings.Cut(all, " FROM "+sh.from())
	sql := "SELECT " + strings.Join(names, ", ") + " FROM " + sh.from()
	rows := rel.table.Rows
	switch {
	case q.Order == Spread && q.Percent < 100:
		sql += " TABLESAMPLE SYSTEM (" + strconv.FormatFloat(max(q.Percent, 0.000001), 'f', 6, 64) + ")"
	case q.Order == Random && rows > smallTable:
		sql += " TABLESAMPLE SYSTEM (" + strconv.FormatFloat(max(0.000001, 100*sampleKeys/float64(rows)), 'f', 6, 64) + ")"
	}
	sql += from
	if q.Null != "" && rel.table.Column(q.Null) >= 0 {
		word := " WHERE "
		if len(q.Where) > 0 || sh.filter != "" {
			word = " AND "
		}
		sql += word + ident(q.Null) + " IS NULL"
	}
	switch {
	case q.Order == Random:
		sql += " ORDER BY random()"
	case q.Order == Last && q.By != "" && rel.table.Column(q.By) >= 0:
		sql += " ORDER BY " + ident(q.By) + " DESC NULLS LAST"
	case q.Order == Last && len(rel.key) > 0:
		var keys []string
		for _, k := range rel.key {
			keys = append(keys, ident(rel.table.Columns[k].Name)+" DESC")
		}
		sql += " ORDER BY " + strings.Join(keys, ", ")
	}
	if q.Limit > 0 {
		sql += " LIMIT " + strconv.Itoa(q.Limit)
	}
	return sql, cols, nil
}

// Count counts a table's rows, but no more than most. It is an error where that takes longer than a statement may.
func (l *Look) Count(ctx context.Context, table string, most int64) (n int64, err error) {
	err = l.With(ctx, func(c *pgconn.PgConn) error {
		_, sh, err := l.s.tables.find(ctx, c, table)
		if err != nil {
			return err
		}
		rows, err := query(ctx, c, "SELECT count(*) FROM (SELECT 1 FROM "+sh.sql()+" LIMIT "+strconv.FormatInt(most, 10)+") t")
		if err != nil {
			return fmt.Errorf("count the rows of %s: %w", table, err)
		}
		n, err = strconv.ParseInt(string(rows[0][0]), 10, 64)
		return err
	})
	return n, err
}
