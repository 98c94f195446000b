package postgres

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"brazecdc/connector"
)

// newestShare is which part of the rows of a look across a table are its newest: some, to see what comes in now, and not so many that what they are like is taken
// for what the table is like.
const newestShare = 10

// across reads rows from all over a table: its newest by key, then some of blocks that are chosen by a fixed lot, so that who looks again sees the same, and where
// those are too few the first that the server finds. Where that takes too long or can't be done to the table, it reads the first rows. The first rows alone would
// say of a table what holds of its oldest rows.
func (l *Look) across(ctx context.Context, c *pgconn.PgConn, rel *relation, sh *shape, q LookQuery, fn func(connector.Row) bool) error {
	rows, err := l.acrossRows(ctx, c, rel, sh, &q)
	if refused := (*pgconn.PgError)(nil); errors.As(err, &refused) && ctx.Err() == nil && !c.IsClosed() {
		q.Order = Found
		return l.plain(ctx, c, rel, sh, &q, fn)
	}
	for _, row := range rows {
		if err != nil || !fn(row) {
			break
		}
	}
	return err
}

func (l *Look) acrossRows(ctx context.Context, c *pgconn.PgConn, rel *relation, sh *shape, q *LookQuery) (out []connector.Row, err error) {
	cols, names, err := q.columns(rel)
	if err != nil {
		return nil, err
	}
	where, err := l.where(rel, sh, q)
	if err != nil {
		return nil, err
	}
	count, err := aboutRows(ctx, c, rel, sh)
	if err != nil {
		return nil, err
	}
	part := func(sample, order string, n int) string {
		return "(SELECT " + names + ", tableoid::text || ctid::text FROM " + sh.from() + sample + where + order + " LIMIT " + strconv.Itoa(n) + ")"
	}
	lot := ""
	if count > sampleKeys {
		lot = tableSample(100*sampleKeys/float64(count)) + " REPEATABLE (1)"
	}
	parts := []string{part(lot, " ORDER BY pg_catalog.hashtext(ctid::text)", q.Limit)}
	if q.NotNull == "" { // else each of these two could read the whole table for a column that has no values
		if rel.keyed() {
			parts = append([]string{part("", downTheKey(rel), max(1, q.Limit/newestShare))}, parts...)
		}
		parts = append(parts, part("", "", q.Limit))
	}
	had := map[string]bool{}
	err = lookRows(ctx, c, rel.table, cols, strings.Join(parts, " UNION ALL "), func(row connector.Row, at []byte) bool {
		if !had[string(at)] {
			had[string(at)] = true
			out = append(out, row)
		}
		return len(out) < q.Limit
	})
	return out, err
}
