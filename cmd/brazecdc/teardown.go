package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"brazecdc/connector"
	"brazecdc/connector/config"
	"brazecdc/connector/control"
	"brazecdc/connector/postgres"
)

func newTeardown(p *program) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "teardown",
		Short: "Drop the replication slot and the publication",
		Long: `teardown drops what "brazecdc run" created in the database: the replication slot and the publication of the configuration. It names both, and asks for a
yes on a terminal; elsewhere --yes is needed. It refuses while a process uses the slot.

Do this when brazecdc is not to run again: a slot that nobody reads keeps the server's log until its disk is full. What changes afterwards is not seen. A
later run refuses to start while data/ remembers the dropped slot; with an emptied data/ it makes a new slot and loads again. Braze, data/ and cache/ stay as
they are.`,
		Example: "  brazecdc teardown\n  brazecdc teardown --yes",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.teardown(cmd.Context(), yes)
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "don't ask")
	return cmd
}

// remains is what teardown would drop.
type remains struct {
	database          string
	slot, publication bool // exist
	plugin, slotOf    string
	active            bool
	tables            int
}

func (p *program) teardown(ctx context.Context, yes bool) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	cfg, err := p.load()
	if err != nil {
		return err
	}
	pg := cfg.Source.Postgres
	if pg == nil {
		p.printf("With source.kafka there is nothing to drop here. At the brokers brazecdc makes %s. They forget the offsets of group %q by themselves; a topic stays until it is deleted there.\n",
			madeAtBrokers(cfg), cfg.Source.Kafka.Group)
		return nil
	}
	if client, err := control.Dial(ctx, p.beside(cfg.Data.Path)); err == nil {
		client.Close()
		return &connector.StopError{Code: connector.ExitSlotInUse, What: "\"brazecdc run\" is live on this configuration", Fix: "stop it first"}
	}
	db, err := connectSource(ctx, pg)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close(context.WithoutCancel(ctx)) }()
	found, err := findRemains(ctx, db, pg)
	if err != nil {
		return err
	}
	if !found.slot && !found.publication {
		p.printf("Database %s has neither slot %q nor publication %q. Nothing to do.\n", found.database, pg.Slot, pg.Publication)
		return nil
	}
	if err := found.droppable(pg); err != nil {
		return err
	}
	p.printf("In database %s this drops:\n", found.database)
	if found.slot {
		p.printf("  replication slot %q\n", pg.Slot)
	}
	if found.publication {
		p.printf("  publication %q (%s)\n", pg.Publication, plural(found.tables, "table"))
	}
	if !yes {
		if err := p.confirm("Changes from now on are not seen by anyone."); err != nil {
			return err
		}
	}
	if err := postgres.Teardown(ctx, postgresConfig(pg, p.quietLog())); err != nil {
		return err
	}
	p.printf("Dropped. %s and %s are still there.\n", p.beside(cfg.Data.Path), p.beside(cfg.Cache.Path))
	return nil
}

func connectSource(ctx context.Context, pg *config.Postgres) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, pg.StartTimeout)
	defer cancel()
	db, err := pgx.Connect(ctx, pg.URL.Reveal())
	if err != nil {
		return nil, &connector.StopError{Code: connector.ExitUnreachable, What: "connect to source.postgres.url", Err: err, Fix: "mend host, port, login or network"}
	}
	return db, nil
}

func findRemains(ctx context.Context, db *pgx.Conn, pg *config.Postgres) (remains, error) {
	var r remains
	err := db.QueryRow(ctx, `SELECT current_database(),
		EXISTS (SELECT FROM pg_publication WHERE pubname = $1), (SELECT count(*) FROM pg_publication_tables WHERE pubname = $1)`,
		pg.Publication).Scan(&r.database, &r.publication, &r.tables)
	if err != nil {
		return r, fmt.Errorf("look for publication %q: %w", pg.Publication, err)
	}
	err = db.QueryRow(ctx, "SELECT COALESCE(plugin, ''), COALESCE(database, ''), active FROM pg_replication_slots WHERE slot_name = $1", pg.Slot).
		Scan(&r.plugin, &r.slotOf, &r.active)
	switch {
	case err == nil:
		r.slot = true
	case !errors.Is(err, pgx.ErrNoRows):
		return r, fmt.Errorf("look for slot %q: %w", pg.Slot, err)
	}
	return r, nil
}

// droppable refuses a slot that is not ours or in use.
func (r remains) droppable(pg *config.Postgres) error {
	switch {
	case r.slot && (r.plugin != "pgoutput" || r.slotOf != r.database):
		return &connector.StopError{
			Code: connector.ExitForeignSlot, What: fmt.Sprintf("slot %q belongs to plugin %q and database %q, so it is not brazecdc's", pg.Slot, r.plugin, r.slotOf),
			Fix: "correct source.postgres.slot",
		}
	case r.active:
		return &connector.StopError{Code: connector.ExitSlotInUse, What: fmt.Sprintf("slot %q is in use", pg.Slot), Fix: "stop the process that reads it"}
	}
	return nil
}
