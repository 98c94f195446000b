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
// LookQuery.Percent; Across is for judging a table by some of its rows, which lie all over it and are the same at each look (see across).
const (
	Found LookOrder = iota
	Last
	Random
	Spread
	Across
)

// smallTable is up to how many rows a table is put in a random order as a whole.
const smallTable = 20_000

// LookQuery says which rows a Look reads. Columns are those to read, all if empty; the cells of others are absent.
type LookQuery struct {
	Table   string
	Columns []string
	Where   []connector.Equal
	Null    string // a column that must have no value
	NotNull string // a column that must have one
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
		if q.Order == Across {
			err = l.across(ctx, c, rel, sh, q, fn)
		} else {
			err = l.plain(ctx, c, rel, sh, &q, fn)
		}
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

// plain reads the rows of a query by one simple statement.
func (l *Look) plain(ctx context.Context, c *pgconn.PgConn, rel *relation, sh *shape, q *LookQuery, fn func(connector.Row) bool) error {
	cols, names, err := q.columns(rel)
	if err != nil {
		return err
	}
	where, err := l.where(rel, sh, q)
	if err != nil {
		return err
	}
	sql := "SELECT " + names + " FROM " + sh.from() + q.sample(rel.table.Rows) + where + q.order(rel)
	if q.Limit > 0 {
		sql += " LIMIT " + strconv.Itoa(q.Limit)
	}
	return lookRows(ctx, c, rel.table, cols, sql, func(row connector.Row, _ []byte) bool { return fn(row) })
}

// lookRows reads the rows of one statement; cols are the columns of its result. fn gets the value behind them too, nil where there is none.
func lookRows(ctx context.Context, c *pgconn.PgConn, t *connector.Table, cols []int, sql string, fn func(row connector.Row, rest []byte) bool) error {
	mrr := c.Exec(ctx, sql)
	enough := false
	for mrr.NextResult() {
		rr := mrr.ResultReader()
		for rr.NextRow() {
			if enough {
				continue // what the server has sent already
			}
			row := connector.Row{Table: t, Cells: make([]connector.Cell, len(t.Columns))}
			var rest []byte
			for i, v := range rr.Values() {
				if i == len(cols) {
					rest = v
				} else if v == nil {
					row.Cells[cols[i]] = connector.Cell{State: connector.Null}
				} else {
					row.Cells[cols[i]] = connector.Cell{State: connector.Set, Raw: string(v)}
				}
			}
			enough = !fn(row, rest)
		}
	}
	return mrr.Close()
}

// columns are the columns of a query's result, as places in the table and as SQL.
func (q *LookQuery) columns(rel *relation) (cols []int, names string, err error) {
	var list []string
	for i := range rel.table.Columns {
		name := rel.table.Columns[i].Name
		if len(q.Columns) == 0 || slices.Contains(q.Columns, name) {
			cols = append(cols, i)
			list = append(list, ident(name))
		}
	}
	if len(cols) == 0 {
		return nil, "", unfit(fmt.Sprintf("table %s has none of the columns %s", q.Table, strings.Join(q.Columns, ", ")), "")
	}
	return cols, strings.Join(list, ", "), nil
}

// where is the condition of a query with the word WHERE, empty without one.
func (l *Look) where(rel *relation, sh *shape, q *LookQuery) (string, error) {
	all, err := l.s.rowsSQL(rel, sh, connector.Query{Table: q.Table, Where: q.Where})
	if err != nil {
		return "", err
	}
	_, where, _ := strings.Cut(all, " FROM "+sh.from())
	for _, x := range []struct{ column, is string }{{q.Null, " IS NULL"}, {q.NotNull, " IS NOT NULL"}} {
		if x.column == "" || rel.table.Column(x.column) < 0 {
			continue
		}
		word := " AND "
		if where == "" {
			word = " WHERE "
		}
		where += word + ident(x.column) + x.is
	}
	return where, nil
}

// sample is the part of a statement that has it read some blocks of a table of so many rows; empty where it reads all.
func (q *LookQuery) sample(rows int64) string {
	switch {
	case q.Order == Spread:
		return tableSample(q.Percent)
	case q.Order == Random && rows > smallTable:
		return tableSample(100 * sampleKeys / float64(rows))
	}
	return ""
}

// tableSample reads so many percent of a table's blocks.
func tableSample(percent float64) string {
	if percent >= 100 {
		return ""
	}
	return " TABLESAMPLE SYSTEM (" + strconv.FormatFloat(max(percent, 0.000001), 'f', 6, 64) + ")"
}

// order is the part of a statement that puts its rows in order.
func (q *LookQuery) order(rel *relation) string {
	switch {
	case q.Order == Random:
		return " ORDER BY random()"
	case q.Order == Last && q.By != "" && rel.table.Column(q.By) >= 0:
		return " ORDER BY " + ident(q.By) + " DESC NULLS LAST"
	case q.Order == Last && len(rel.key) > 0:
		return downTheKey(rel)
	}
	return ""
}

func downTheKey(rel *relation) string {
	var keys []string
	for _, k := range rel.key {
		keys = append(keys, ident(rel.table.Columns[k].Name)+" DESC")
	}
	return " ORDER BY " + strings.Join(keys, ", ")
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
