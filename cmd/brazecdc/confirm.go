package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"brazecdc/connector"
)

// askNumber is above how many profiles their number has to be typed.
const askNumber = 100

func newConfirm(p *program) *cobra.Command {
	var drop, yes, asJSON bool
	cmd := &cobra.Command{
		Use:   "confirm [MODEL]",
		Short: "Go on with what the connector does not do by itself: a truncated table, lost data/, held deletes",
		Long: `Without a model, confirm lists what waits, and what confirming would do. With one, it goes on with that model:

  truncate   the table was emptied, nothing was deleted in Braze, and the model is paused: its changes count as done. Confirming loads the table
             again and goes on with the stream. Loading can start campaigns in Braze.
  lost data  data/ held nothing of an existing slot, so deletes are held back. Confirming sends them: these profiles are deleted in Braze and can't be
             brought back. With --drop they are forgotten and the profiles stay. A model with "load: all" is loaded.
  brake      more deletes than the model's "deletes" allow came within its window: the first went out, the rest is held, all else goes on. Confirming sends
             the rest and begins a new count; with --drop the profiles stay. A row that comes again ends its held delete by itself.
  gone at the source
             a whole resync did not find these users at the source. Confirming deletes their profiles; with --drop they stay.

It asks for a yes on a terminal; elsewhere --yes is needed. It needs the running process, except for --drop, which also works on the files.`,
		Example: "  brazecdc confirm\n  brazecdc confirm customers\n  brazecdc confirm customers --drop --yes",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				if drop {
					return usagef("--drop needs a model: brazecdc confirm MODEL --drop")
				}
				return p.listPending(cmd.Context(), asJSON)
			}
			return p.decide(cmd.Context(), args[0], drop, yes)
		},
	}
	cmd.Flags().BoolVar(&drop, "drop", false, "forget held deletes instead of sending them")
	cmd.Flags().BoolVar(&yes, "yes", false, "don't ask")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the list as JSON")
	return cmd
}

func (p *program) listPending(ctx context.Context, asJSON bool) error {
	api, done, err := p.api(ctx, forReading)
	if err != nil {
		return err
	}
	defer done()
	list, err := api.Pending(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		if list == nil {
			list = []connector.Confirmation{}
		}
		return p.printJSON(list)
	}
	if len(list) == 0 {
		p.printf("Nothing waits for a confirmation.\n")
		return nil
	}
	for _, c := range list {
		p.printf("%s (%s, since %s)\n  %s\n  confirm: %s\n", p.bold(c.Model), c.Kind, since(c.Since), c.Text, c.Answer)
	}
	p.printf("\nGo on with one: brazecdc confirm MODEL\n")
	return nil
}

func (p *program) decide(ctx context.Context, model string, drop, yes bool) error {
	api, done, err := p.api(ctx, forWriting)
	if err != nil {
		return err
	}
	defer done()
	list, err := api.Pending(ctx)
	if err != nil {
		return err
	}
	found, deletes := false, 0
	for _, c := range list {
		if c.Model == model {
			found = true
			p.printf("%s\n  confirm: %s\n", c.Text, c.Answer)
			if c.Kind != connector.PauseTruncate && !drop {
				deletes += c.Count
			}
		}
	}
	if !found {
		return fmt.Errorf("confirm %s: nothing of that model waits; see \"brazecdc confirm\"", model)
	}
	if !yes {
		ask := func() error { return p.confirm("This can't be undone.") }
		if deletes > askNumber {
			ask = func() error {
				return p.ask(fmt.Sprintf("%d profiles are deleted in Braze; this can't be undone.", deletes), strconv.Itoa(deletes))
			}
		}
		if err := ask(); err != nil {
			return err
		}
	}
	said, err := api.Confirm(ctx, model, drop)
	if err != nil {
		return fmt.Errorf("confirm %s: %w", model, err)
	}
	p.printf("%s\n", said)
	return nil
}
