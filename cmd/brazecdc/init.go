package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"

	"brazecdc/connector"
	"brazecdc/connector/config"
	"brazecdc/connector/postgres"
)

func newInit(p *program) *cobra.Command {
	var url, output string
	var tables []string
	var reference bool
	cmd := &cobra.Command{
		Use:   "init --database URL",
		Short: "Write a commented configuration from a live database, with suggested mappings",
		Long: `init looks at the tables of a database and writes a configuration file: which column is the external_id, which columns look like Braze's profile
fields (by name, and by up to 200 values of each from all over the table), and the rest as comments to choose from. Columns that look private
(password, token, iban, …) are named, not suggested, and never read.

It only reads: nothing is created in the database, no password is written (the file says ${DATABASE_URL}), and an existing file is never overwritten.
Two choices stay open, because each can hurt: mode and load. The lines are marked; "brazecdc check" names them until they are made.
Beside the file it writes brazecdc.schema.json, by which editors complete and check it (see "brazecdc schema").

With --reference it only prints every setting with its default, and five typical models: profiles, consent, events, a catalog, memberships.`,
		Example: `  brazecdc init --database "$DATABASE_URL"
  brazecdc init --database postgres://me@db.example.org/shop --table public.users --output shop.yaml
  brazecdc init --reference`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if reference {
				p.printf("%s", config.Reference())
				return nil
			}
			if url == "" {
				url = os.Getenv("DATABASE_URL")
			}
			if url == "" {
				return usagef("say which database: --database URL, or set DATABASE_URL")
			}
			return p.init(cmd.Context(), url, output, tables)
		},
	}
	cmd.Flags().StringVar(&url, "database", "", "`URL` of the database, postgres://…; default $DATABASE_URL")
	cmd.Flags().BoolVar(&reference, "reference", false, "print all settings and typical models, and write nothing")
	cmd.Flags().StringVarP(&output, "output", "o", "brazecdc.yaml", "`file` to write; it must not exist")
	cmd.Flags().StringSliceVar(&tables, "table", nil, "`table` to map, schema.name; may be repeated. Default: the one that looks most like users")
	return cmd
}

func (p *program) init(ctx context.Context, url, output string, only []string) error {
	if _, err := os.Lstat(output); err == nil {
		return fmt.Errorf("write %s: the file exists; init overwrites nothing: name another with --output, or move it away", output)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	db, err := pgx.Connect(ctx, url)
	if err != nil {
		return unreachable(err)
	}
	defer func() { _ = db.Close(context.WithoutCancel(ctx)) }()
	var tables []initTable
	err = pgx.BeginTxFunc(ctx, db, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		tables, err = readTables(ctx, tx.Conn().PgConn())
		if err != nil {
			return err
		}
		tables, err = chooseTables(tables, only)
		return err
	})
	if err != nil {
		return err
	}
	if err := p.lookAtValues(ctx, url, tables); err != nil {
		return err
	}
	f, err := os.OpenFile(output, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	_, err = f.WriteString(writeConfig(tables))
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	if err := config.WriteSchemaBeside(output); err != nil {
		p.warnf("%v; editors find it after: brazecdc schema --output %s\n", err, config.SchemaName)
	}
	p.printf("Wrote %s, and beside it the schema for editors.\n\nNext:\n  1. choose mode and load in it (the lines marked CHOOSE), and look at the suggested fields\n"+
		"  2. set DATABASE_URL, BRAZE_ENDPOINT and BRAZE_API_KEY in the environment\n  3. brazecdc check%s\n", output, configFlag(output))
	return nil
}

// lookAtValues takes values of the chosen tables. Of a table that does not give them in time the names alone count.
func (p *program) lookAtValues(ctx context.Context, url string, tables []initTable) error {
	look, err := postgres.NewLook(postgres.Config{URL: url, Logger: p.quietLog()})
	if err != nil {
		return err
	}
	defer look.Close(context.WithoutCancel(ctx))
	for i := range tables {
		if !tables[i].chosen {
			continue
		}
		if err := tables[i].sample(ctx, look, nil); err != nil {
			if ctx.Err() != nil {
				return err
			}
			p.warnf("%v; its fields are suggested by the names of the columns alone\n", err)
		}
	}
	return nil
}

func configFlag(path string) string {
	if path == "brazecdc.yaml" {
		return ""
	}
	return " --config " + path
}

// unreachable words a failed connection. The driver's message holds no password.
func unreachable(err error) error {
	var parse *pgconn.ParseConfigError
	if errors.As(err, &parse) {
		return usagef("--database: this is no address of a Postgres database; write postgres://user@host:5432/name")
	}
	code := connector.ExitUnreachable
	if refused := (*pgconn.PgError)(nil); errors.As(err, &refused) && (strings.HasPrefix(refused.Code, "28") || refused.Code == "3D000") {
		code = connector.ExitRights
	}
	return &connector.StopError{Code: code, What: "connect to the database", Err: err, Fix: "mend host, port, login or network; then run init again"}
}
