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
