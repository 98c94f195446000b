package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"brazecdc/connector"
	"brazecdc/connector/control"
)

func newQuarantine(p *program) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "quarantine",
		Short: "List, show, retry and discard changes that could not be delivered",
		Long: `A change that Braze refuses, or that can't be mapped, and a record that can't be decoded, is kept in data/ with its reason instead of holding up all
others. It stays until it is retried, discarded, replaced by a later change of the same row that Braze accepts, or until quarantine.retention (default 30
days). With a Kafka source and quarantine.to: {topic: NAME} the records themselves lie in that topic, with their bytes, headers and the reason.

list, show and discard work through the running process, or on the files where none runs; retry needs the process.`,
		Example: `  brazecdc quarantine list
  brazecdc quarantine show 17
  brazecdc quarantine retry 17 18
  brazecdc quarantine retry --all --model customers
  brazecdc quarantine discard 17 --why "test account"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return usagef("say which: list, show, retry or discard") },
	}
	cmd.AddCommand(newQuarantineList(p), newQuarantineShow(p), newQuarantineRetry(p), newQuarantineDiscard(p))
	return cmd
}

// entryFlags are the filter that list, retry --all and discard --all share.
type entryFlags struct {
	model, class, user string
	limit              int
	closed             bool
}

func (f *entryFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.model, "model", "", "only this `model`")
	cmd.Flags().StringVar(&f.class, "class", "", "only this `class`: rejected, attempts, mapping, undecodable, identity, rename, unknown")
	cmd.Flags().StringVar(&f.user, "user", "", "only this `external_id`")
}

func (f *entryFlags) filter() connector.EntryFilter {
	return connector.EntryFilter{Model: f.model, Class: f.class, User: connector.User{ID: f.user}, Limit: f.limit, Closed: f.closed}
}

func newQuarantineList(p *program) *cobra.Command {
	var f entryFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List entries, oldest first",
		Long: `list prints the entries, oldest first: number, age, model, operation, user, class and reason. It prints no values of rows; show does.

With --json it is a list of objects:
  id, at, model, op          number, when it was put there, model, insert | update | delete | snapshot | record
  key, user                  {table, id} of the row; {kind, id, label} of the user, kind being external_id | alias | email | phone
  class, reason, field       why it could not be delivered; field where one is at fault
  stream, offset, position   where it came from: offset is a number; position is what the source calls it, the LSN of a database's log
  change                     {commit, n} tells it from other changes of that place
  original                   {topic, partition, offset, time, size, kept, kept_at, gone, cut} of the record, kept being the quarantine topic
  attempts, closed, closed_at
show --json adds before, after (column to text or null), effect {kind, user, to, model, rows, fields, update_only, owner, creates}, and in original key,
value (base64, or null) and headers. Members that are empty may be missing; others may be added.`,
		Example: "  brazecdc quarantine list\n  brazecdc quarantine list --model customers --class rejected\n  brazecdc quarantine list --closed --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.limit < 0 {
				return usagef("--limit %d: want a number of entries, or 0 for all", f.limit)
			}
			return p.listEntries(cmd.Context(), f.filter(), asJSON)
		},
	}
	f.add(cmd)
	cmd.Flags().IntVar(&f.limit, "limit", 100, "at most so many; 0 for all")
	cmd.Flags().BoolVar(&f.closed, "closed", false, "also those that ended")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (p *program) listEntries(ctx context.Context, f connector.EntryFilter, asJSON bool) error {
	api, done, err := p.api(ctx, forReading)
	if err != nil {
		return err
	}
	defer done()
	list, err := api.Entries(ctx, f)
	if err != nil {
		return err
	}
	if asJSON {
		out := make([]listedEntry, len(list))
		for i := range list {
			out[i] = asListed(&list[i])
		}
		return p.printJSON(out)
	}
	if len(list) == 0 {
		p.printf("Nothing is held back.\n")
		return nil
	}
	w := tabwriter.NewWriter(p.out, 0, 4, 2, ' ', 0)
	if _, err := fmt.Fprintln(w, "number\tsince\tmodel\tchange\tuser\tclass\treason"); err != nil {
		return fmt.Errorf("print the list: %w", err)
	}
	for _, e := range list {
		reason := e.Reason
		if e.Field != "" {
			reason = e.Field + ": " + reason
		}
		if e.Closed != "" {
			reason += " (" + e.Closed + ")"
		}
		if _, err := fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", e.ID, since(e.At), e.Model, e.Op, e.User.ID, e.Class, reason); err != nil {
			return fmt.Errorf("print the list: %w", err)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print the list: %w", err)
	}
	if f.Limit > 0 && len(list) == f.Limit {
		p.printf("There may be more: --limit 0 shows all.\n")
	}
	return nil
}

func newQuarantineShow(p *program) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "show NUMBER",
		Short:   "Show one entry whole, values of the row included",
		Long:    "show prints everything that is kept of one entry: the change with its row's values, what would have been sent, the reason, and the position.",
		Example: "  brazecdc quarantine show 17",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := entryNumbers(args)
			if err != nil {
				return err
			}
			api, done, err := p.api(cmd.Context(), forReading)
			if err != nil {
				return err
			}
			defer done()
			e, err := api.Entry(cmd.Context(), ids[0])
			if err != nil {
				return err
			}
			if asJSON {
				return p.printJSON(asListed(e))
			}
			return p.printEntry(e)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func entryPlace(e *connector.Entry) connector.Place {
	return connector.Place{Stream: e.Stream, Commit: e.Offset}
}

// listedEntry is an entry as --json prints it.
type listedEntry struct {
	*connector.Entry
	Position string `json:"position"`
}

func asListed(e *connector.Entry) listedEntry { return listedEntry{e, entryPlace(e).String()} }

func (p *program) printEntry(e *connector.Entry) error {
	p.printf("entry %d, %s\n", e.ID, e.At.Local().Format(time.DateTime))
	p.printf("  change:   %s of %s %s in %s\n", e.Op, e.Key.Table, e.Key.ID, e.Model)
	p.printf("  user:     %s\n", orElse(e.User.ID, "not known"))
	p.printf("  class:    %s, after %d attempts\n", e.Class, e.Attempts)
	if e.Field != "" {
		p.printf("  field:    %s\n", e.Field)
	}
	p.printf("  reason:   %s\n", e.Reason)
	switch at, part := entryPlace(e), connector.PartOf(e.Stream); {
	case at.OfSlot():
		p.printf("  position: %s %s, change %d of its transaction\n", e.Stream, at, e.Change.N)
	case strings.HasPrefix(e.Stream, "load/"):
		p.printf("  position: %s, chunk %s, row %d\n", e.Stream, at, e.Change.N+1)
	default:
		p.printf("  position: %s, offset %s\n", orElse(part, e.Stream), at)
	}
	if o := e.Original; o != nil && o.Kept != "" {
		p.printf("  kept in:  topic %s, partition 0, offset %d\n", o.Kept, o.KeptAt)
	}
	if e.Closed != "" {
		p.printf("  ended:    %s, %s\n", e.Closed, e.ClosedAt.Local().Format(time.DateTime))
	}
	for _, part := range []struct {
		name string
		v    any
		show bool
	}{
		{"row before", e.Before, len(e.Before) > 0},
		{"row after", e.After, len(e.After) > 0},
		{"what it asks of Braze", e.Effect, e.Effect != nil},
	} {
		if !part.show {
			continue
		}
		p.printf("%s:\n", part.name)
		if err := p.printJSON(part.v); err != nil {
			return err
		}
	}
	p.printOriginal(e.Original)
	return nil
}

// printOriginal prints the record's bytes: as text where they are text, else in base64.
func (p *program) printOriginal(o *connector.Original) {
	if o == nil {
		return
	}
	if o.Gone || o.Key == nil && o.Value == nil && o.Cut {
		p.printf("the record is not here\n")
		return
	}
	cut := ""
	if o.Cut {
		cut = ", of which this is the beginning"
	}
	p.printf("record of topic %s, partition %d, offset %d, of %s:\n", o.Topic, o.Partition, o.Offset, o.Time.UTC().Format(time.RFC3339))
	p.printf("  key,   %s\n", readable(o.Key, len(o.Key), ""))
	p.printf("  value, %s\n", readable(o.Value, o.Size, cut))
	for _, h := range o.Headers {
		p.printf("  header %q, %s\n", h.Key, readable(h.Value, len(h.Value), ""))
	}
}

// readable gives bytes for a person, with their size.
func readable(b []byte, size int, cut string) string {
	switch {
	case b == nil:
		return "null"
	case utf8.Valid(b) && !bytes.ContainsFunc(b, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' && r != '\r' || r == 0x7f }):
		return fmt.Sprintf("%s%s: %s", plural(size, "byte"), cut, b)
	}
	return fmt.Sprintf("%s%s, in base64: %s", plural(size, "byte"), cut, base64.StdEncoding.EncodeToString(b))
}

func newQuarantineRetry(p *program) *cobra.Command {
	var f entryFlags
	var all, late bool
	cmd := &cobra.Command{
		Use:   "retry NUMBER... | --all",
		Short: "Send entries again, never over what is newer",
		Long: `retry reads the row again and sends its present state. A topic has no living rows: there retry sends what the entry holds, as older than all that waits for
its user, or decodes and maps its record anew and looks in the topic for later ones of the same row. A delete is sent only if no row of its user came
after. It prints one line for each entry, and ends with exit code 1 when one was not delivered.

An event or purchase is sent as it was when it happened, with its time, and once. One that is older than its model's max_age by now stays; --late sends it all
the same, which can start campaigns in Braze about what is long past.`,
		Example: "  brazecdc quarantine retry 17 18\n  brazecdc quarantine retry --all --model customers",
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.eachEntry(cmd.Context(), args, all, f, func(ctx context.Context, api control.API, id uint64) (string, error) {
				if late {
					return api.RetryLate(ctx, id)
				}
				return api.Retry(ctx, id)
			})
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "all entries that match --model, --class and --user")
	cmd.Flags().BoolVar(&late, "late", false, "also events older than max_age: campaigns can start about what is long past")
	return cmd
}

func newQuarantineDiscard(p *program) *cobra.Command {
	var f entryFlags
	var all, yes bool
	var why string
	cmd := &cobra.Command{
		Use:   "discard NUMBER... | --all",
		Short: "End entries without delivering them",
		Long: `discard ends entries without delivery. Braze then lacks these changes; the next change of such a row is sent whole. What is discarded stays visible
with --closed until quarantine.retention. It asks for a yes on a terminal; elsewhere --yes is needed.`,
		Example: `  brazecdc quarantine discard 17 --why "test account"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if why == "" {
				return usagef("say why with --why: it is kept with the entry")
			}
			if !yes {
				if err := p.confirm("What is discarded will not be delivered."); err != nil {
					return err
				}
			}
			return p.eachEntry(cmd.Context(), args, all, f, func(ctx context.Context, api control.API, id uint64) (string, error) {
				return "discarded", api.Discard(ctx, id, why)
			})
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "all entries that match --model, --class and --user")
	cmd.Flags().BoolVar(&yes, "yes", false, "don't ask")
	cmd.Flags().StringVar(&why, "why", "", "the `reason`, kept with the entry")
	return cmd
}

func (p *program) eachEntry(ctx context.Context, args []string, all bool, f entryFlags, do func(context.Context, control.API, uint64) (string, error)) error {
	if all == (len(args) > 0) {
		return usagef("give entry numbers, or --all, which --model, --class and --user narrow")
	}
	ids, err := entryNumbers(args)
	if err != nil {
		return err
	}
	api, done, err := p.api(ctx, forWriting)
	if err != nil {
		return err
	}
	defer done()
	if all {
		list, err := api.Entries(ctx, f.filter())
		if err != nil {
			return err
		}
		for _, e := range list {
			ids = append(ids, e.ID)
		}
		if len(ids) == 0 {
			p.printf("Nothing matches.\n")
		}
	}
	failed := false
	for _, id := range ids {
		said, err := do(ctx, api, id)
		if errors.Is(err, context.Canceled) {
			return err
		}
		if err != nil {
			failed = true
			said = p.red("not done: ") + err.Error()
		}
		p.printf("%d: %s\n", id, said)
	}
	if failed {
		return &silentError{code: 1}
	}
	return nil
}

func entryNumbers(args []string) ([]uint64, error) {
	out := make([]uint64, 0, len(args))
	for _, a := range args {
		n, err := strconv.ParseUint(a, 10, 64)
		if err != nil {
			return nil, usagef("%q is no number of an entry; see \"brazecdc quarantine list\"", a)
		}
		out = append(out, n)
	}
	return out, nil
}
