package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"brazecdc/connector"
	"brazecdc/connector/control"
)

func newLogLevel(p *program) *cobra.Command {
	var during time.Duration
	cmd := &cobra.Command{
		Use:   "log-level [COMPONENT=]LEVEL",
		Short: "Let the running process log more, or less, for a while",
		Long: `log-level sets the level of the running process' log for a while, without a restart: debug, info, warn or error, of one component or of all. Afterwards
log.level of the configuration counts again.

Components: ` + strings.Join(logComponents, ", ") + `.
With outcome=debug each change's end is a line: table, operation, position, endpoint, fields, outcome, and the user as a keyed hash; no values.`,
		Example: "  brazecdc log-level braze=debug --for 10m\n  brazecdc log-level outcome=debug --for 1m\n  brazecdc log-level warn --for 1h",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			component, level, ok := strings.Cut(args[0], "=")
			if !ok {
				component, level = "", args[0]
			}
			return p.logLevel(cmd.Context(), control.LogLevel{Component: component, Level: level, For: during})
		},
	}
	cmd.Flags().DurationVar(&during, "for", 10*time.Minute, "go back to log.level after so long")
	return cmd
}

func (p *program) logLevel(ctx context.Context, q control.LogLevel) error {
	// What is wrong with the request itself is told by its own exit code, also where nothing runs.
	if _, err := newLeveler(0).SetLogLevel(ctx, q); err != nil {
		return err
	}
	client, err := control.Dial(ctx, p.beside(p.glance().Data.Path))
	if errors.Is(err, control.ErrNotRunning) {
		if coming := p.coming(ctx); coming != nil {
			return coming
		}
		return &connector.StopError{Code: 1, What: "no process runs on this configuration, so none logs", Err: err, Fix: `start "brazecdc run"; log.level sets the level from the start on`}
	}
	if err != nil {
		return err
	}
	defer client.Close()
	said, err := client.SetLogLevel(ctx, q)
	if err != nil {
		return err
	}
	p.printf("%s\n", said)
	return nil
}
