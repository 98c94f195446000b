package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"brazecdc/connector"
)

// Teardown drops the slot and then the publication of cfg; what is missing already is no error. A slot that is in use gives
// connector.ExitSlotInUse, and nothing is dropped.
func Teardown(ctx context.Context, cfg Config) error {
	s, err := New(cfg)
	if err != nil {
		return err
	}
	defer s.main.close(ctx)
	err = s.main.with(ctx, func(c *pgconn.PgConn) error {
		st, err := readSlot(ctx, c, s.cfg.Slot)
		if err != nil {
			return err
		}
		if st != nil {
			if st.Active {
				return s.inUse(st.PID)
			}
			if st.Plugin != "pgoutput" {
				return &connector.StopError{Code: connector.ExitForeignSlot, What: fmt.Sprintf("slot %q uses the plugin %q: it is not one of ours", s.cfg.Slot, st.Plugin), Fix: "correct source.postgres.slot"}
			}
			if _, err := query(ctx, c, "SELECT pg_catalog.pg_drop_replication_slot("+literal(s.cfg.Slot)+")"); err != nil && sqlState(err) != "42704" {
				return fmt.Errorf("drop slot %q: %w", s.cfg.Slot, err)
			}
		}
		if _, err := query(ctx, c, "DROP PUBLICATION IF EXISTS "+ident(s.cfg.Publication)); err != nil {
			err = fmt.Errorf("drop publication %q: %w", s.cfg.Publication, err)
			if sqlState(err) != "42501" {
				return err
			}
			return &connector.StopError{Code: connector.ExitRights, What: fmt.Sprintf("the slot is dropped; publication %q belongs to another role", s.cfg.Publication), Err: err,
				Fix: "DROP PUBLICATION " + ident(s.cfg.Publication) + ";  -- as its owner"}
		}
		return nil
	})
	if err != nil {
		var stop *connector.StopError
		if errors.As(err, &stop) {
			return err
		}
		return s.explain(err, nil)
	}
	return nil
}

// TableInfo is what `init` shows of a table.
type TableInfo struct {
	Table *connector.Table // Rows is the server's estimate
	// Key names the columns of the row key; empty where the table has none.
	Key []string
	// Partitioned: its rows lie in partitions.
	Partitioned bool
	// Samples are a few living rows, at most as many as asked for; none where the role may not read the table.
	Samples []connector.Row
}

// Tables lists the ordinary and partitioned tables a role can see, outside the system's schemas, by name, with at most samples rows of each. It
// reads with the same session settings as a run and changes nothing.
func Tables(ctx context.Context, url string, samples int) ([]TableInfo, error) {
	s, err := New(Config{URL: url})
	if err != nil {
		return nil, err
	}
	defer s.main.close(ctx)
	var out []TableInfo
	err = s.main.with(ctx, func(c *pgconn.PgConn) error {
		rows, err := query(ctx, c, `SELECT c.oid, pg_catalog.has_table_privilege(c.oid, 'SELECT') FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p' AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_'
AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') ORDER BY n.nspname, c.relname`)
		if err != nil {
			return fmt.Errorf("list the tables: %w", err)
		}
		for _, r := range rows {
			rel, sh, err := s.tables.describe(ctx, c, oid(r[0]))
			if err != nil {
				return err
			}
			if sh == nil {
				continue // dropped meanwhile
			}
			info := TableInfo{Table: rel.table, Partitioned: sh.kind == 'p'}
			if len(sh.unique()) > 0 {
				for _, k := range rel.key {
					info.Key = append(info.Key, rel.table.Columns[k].Name)
				}
			}
			if samples > 0 && char(r[1]) == 't' && len(rel.table.Columns) > 0 {
				sql, err := s.rowsSQL(rel, sh, connector.Query{Limit: samples})
				if err != nil {
					return err
				}
				rr := rowReader{rel: rel}
				if _, err := rr.read(ctx, c, sql); err != nil {
					return fmt.Errorf("read sample rows of %s: %w", sh.full(), err)
				}
				for _, ch := range rr.changes {
					info.Samples = append(info.Samples, ch.After)
				}
			}
			out = append(out, info)
		}
		return nil
	})
	if err != nil {
		return nil, s.explain(err, nil)
	}
	return out, nil
}
