package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"brazecdc/connector"
)

const (
	// sampleChunks is in how many places of a key's order Sample reads.
	sampleChunks = 10
	// sampleKeys is about how many keys those places are chosen from; rowBytes is a guess at a row's size where the server has counted none.
	sampleKeys = 2000
	rowBytes   = 100
)

// Sample gives at most n rows of a table that are spread over the order of its key: runs of neighbours at sampleChunks places, the first of them at the
// beginning. Those places are chosen anew each time, from random blocks of the table (TABLESAMPLE), so that large tables are not read whole. A table without a key
// gives its first rows. Its rows are not older than any change that Next has handed out.
func (s *Source) Sample(ctx context.Context, table string, n int) ([]connector.Row, error) {
	need, upTo := s.seen.copy(), s.received.Load()
	var out []connector.Row
	err := s.read.with(ctx, func(c *pgconn.PgConn) error {
		rel, sh, err := s.tables.find(ctx, c, table)
		if err != nil {
			return err
		}
		if err := s.beginVisible(ctx, c, need, upTo); err != nil {
			return err
		}
		out, err = sample(ctx, c, rel, sh, n)
		if _, end := query(ctx, c, "COMMIT"); err == nil {
			err = end
		}
		if err != nil {
			s.tables.forget(table) // its shape may have changed
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read a sample of %s: %w", table, err)
	}
	return out, nil
}

func sample(ctx context.Context, c *pgconn.PgConn, rel *relation, sh *shape, n int) ([]connector.Row, error) {
	starts := [][]string{nil}
	if rel.keyed() {
		var err error
		if starts, err = sampleStarts(ctx, c, rel, sh, n); err != nil {
			return nil, err
		}
	}
	var out []connector.Row
	had := map[string]bool{}
	for i, after := range starts {
		left := len(starts) - i
		r := rowReader{rel: rel, now: time.Now().UTC()}
		if _, err := r.read(ctx, c, chunkSQL(sh, rel, job{after: after}, (n-len(out)+left-1)/left)); err != nil {
			return nil, err
		}
		for _, ch := range r.changes {
			if !had[ch.Key.ID] {
				had[ch.Key.ID] = true
				out = append(out, ch.After)
			}
		}
	}
	return out, nil
}

// keyed tells whether the key is a unique one that an index keeps in order, and not the whole row.
func (r *relation) keyed() bool {
	return slices.ContainsFunc(r.table.Unique, func(u []int) bool { return sameSet(u, r.key) })
}

// aboutRows is about how many rows a table has: what the server has counted, else a guess by its size.
func aboutRows(ctx context.Context, c *pgconn.PgConn, rel *relation, sh *shape) (int64, error) {
	if rel.table.Rows > 0 {
		return rel.table.Rows, nil
	}
	size, err := query(ctx, c, "SELECT coalesce(sum(pg_catalog.pg_relation_size(relid)), 0) FROM pg_catalog.pg_partition_tree("+literal(sh.sql())+")")
	if err != nil {
		return 0, err
	}
	bytes, err := strconv.ParseInt(string(size[0][0]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read the table's size: %w", err)
	}
	return bytes / rowBytes, nil
}

// sampleStarts gives the keys behind which the runs begin, nil for the first.
func sampleStarts(ctx context.Context, c *pgconn.PgConn, rel *relation, sh *shape, n int) ([][]string, error) {
	rows, err := aboutRows(ctx, c, rel, sh)
	if err != nil {
		return nil, err
	}
	percent := 100.0
	if rows > sampleKeys {
		percent = max(0.0001, 100*sampleKeys/float64(rows))
	}
	var keys []string
	for _, k := range rel.key {
		keys = append(keys, ident(rel.table.Columns[k].Name))
	}
	list := strings.Join(keys, ", ")
	found, err := query(ctx, c, fmt.Sprintf("SELECT %s FROM (SELECT %s FROM %s TABLESAMPLE SYSTEM (%s) LIMIT %d) s ORDER BY %s", list, list, sh.from(),
		strconv.FormatFloat(percent, 'f', 6, 64), 10*sampleKeys, list))
	if err != nil {
		return nil, err
	}
	starts := [][]string{nil}
	if len(found) <= n {
		return starts, nil
	}
	chunks := min(sampleChunks, n)
	for i := 1; i < chunks; i++ {
		var key []string
		for _, v := range found[i*len(found)/chunks] {
			key = append(key, string(v))
		}
		starts = append(starts, key)
	}
	return starts, nil
}
