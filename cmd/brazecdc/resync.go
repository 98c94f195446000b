package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"brazecdc/connector"
	"brazecdc/connector/control"
)

// resyncOptions are the flags of resync.
type resyncOptions struct {
	q                     control.ResyncRequest
	yes                   bool
	pause, resume, cancel bool
	slower, faster        bool
}

func newResync(p *program) *cobra.Command {
	var o resyncOptions
	cmd := &cobra.Command{
		Use:   "resync --model MODEL",
		Short: "Bring a table's rows to Braze again, beside the live changes",
		Long: `resync reads the rows of a model's table again, by chunks beside the stream, and sends what differs from what Braze is known to have; rows that are equal make
no call. A live change of a row always wins over the row that was read. What Braze is known to have is what it last accepted: what somebody changed in Braze,
or what Braze archived, comes back only with --all-values. In mode enrich nothing is known, and whole rows go.

It is for what the stream does not bring: a field that is new in the configuration (--field NAME sends that one alone), a filter that changed, a rule with
now() that became true by time, a gap. Groups and consents that say "subscribed" are not renewed. NULLs go where Braze is known to hold a value; with
--clear-nulls all of them do.

--where takes an expression in the language of filter, over the row; a row for which it is not true, NULL included, is left out. --key names rows, as "send"
does.

Before it starts it says how many rows it reads and how many calls that means at most, and that it can start campaigns in Braze; then it asks. While it works,
users that it sends have the attribute load_mark names, if one is set; it is set to null when all is done.

After a whole resync of a model that owns its users in mode sync, users that Braze was sent and that are gone at the source are listed; they are deleted when
"brazecdc confirm MODEL" says so, and stay with --drop.

It runs inside the live process and goes on over restarts. This command follows it; Ctrl-C leaves it running. One load of a model is under way at a time.
With Kafka, "brazecdc replay" does the same for a topic, and a model's schedule looks again at its rules with now().`,
		Example: `  brazecdc resync --model customers
  brazecdc resync --model customers --field loyalty_tier --yes
  brazecdc resync --model customers --where 'plan == "pro" && country == "DE"' --all-values
  brazecdc resync --model customers --key 1042 --key 1043
  brazecdc resync --model customers --pause`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			return p.resync(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.q.Model, "model", "", "`name` of the model")
	f.StringVar(&o.q.Where, "where", "", "only rows for which this `expression` is true")
	f.StringArrayVar(&o.q.Fields, "field", nil, "only this `field`; may be repeated")
	f.StringArrayVar(&o.q.Keys, "key", nil, "only the row with this `key`; of several key columns column=value,column=value; may be repeated")
	f.BoolVar(&o.q.AllValues, "all-values", false, "send also what Braze is known to have")
	f.BoolVar(&o.q.ClearNulls, "clear-nulls", false, "send the NULLs of all rows: what Braze has in their place is taken away")
	f.BoolVar(&o.yes, "yes", false, "don't ask")
	f.BoolVar(&o.pause, "pause", false, "pause the load of the model that is under way, also over restarts")
	f.BoolVar(&o.resume, "resume", false, "go on with the load that was paused")
	f.BoolVar(&o.slower, "slower", false, "have the load that is under way work a smaller share of the time, by a step: 100, 50, 25, 10 %; also over restarts")
	f.BoolVar(&o.faster, "faster", false, "the same the other way")
	f.BoolVar(&o.cancel, "cancel", false, "give up the load that is under way")
	return cmd
}

// action is what is to be done to a load that is under way, "" for a new one.
func (o *resyncOptions) action() control.LoadAction {
	switch {
	case o.pause:
		return control.PauseLoad
	case o.resume:
		return control.ResumeLoad
	case o.cancel:
		return control.CancelLoad
	case o.slower:
		return control.SlowerLoad
	case o.faster:
		return control.FasterLoad
	}
	return ""
}

func (o *resyncOptions) check() error {
	n := 0
	for _, set := range []bool{o.pause, o.resume, o.cancel, o.slower, o.faster} {
		if set {
			n++
		}
	}
	switch {
	case o.q.Model == "":
		return usagef("say which model: --model MODEL")
	case n > 1:
		return usagef("--pause, --resume, --slower, --faster and --cancel exclude each other")
	case n == 1 && (o.q.Where != "" || len(o.q.Fields) > 0 || len(o.q.Keys) > 0 || o.q.AllValues || o.q.ClearNulls):
		return usagef("--%s is about the load that is under way; the other flags are for a new one", o.action())
	case len(o.q.Keys) > 0 && o.q.Where != "":
		return usagef("--key names rows, --where picks them: give one of the two")
	}
	return nil
}

func (p *program) resync(ctx context.Context, o resyncOptions) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	api, err := p.resyncs(ctx)
	if err != nil {
		return err
	}
	defer api.Close()
	if do := o.action(); do != "" {
		return p.steer(ctx, api, o.q.Model, do)
	}
	plan, err := api.PlanResync(ctx, o.q)
	if err != nil {
		return err
	}
	p.showResync(plan, o.q)
	if !o.yes {
		if err := p.confirm("This is sent to Braze and can start campaigns there."); err != nil {
			return err
		}
	}
	st, err := api.StartResync(ctx, o.q)
	if err != nil {
		return err
	}
	return p.followLoad(ctx, api, st)
}

// steer pauses a load, goes on with it, changes its speed, or gives it up.
func (p *program) steer(ctx context.Context, api control.Resyncs, model string, do control.LoadAction) error {
	st, err := api.SteerLoad(ctx, model, do)
	if err != nil {
		return err
	}
	switch do {
	case control.PauseLoad:
		p.printf("Paused after %s; --resume goes on.\n", plural(int(st.Rows), "row"))
		return nil
	case control.SlowerLoad, control.FasterLoad:
		p.printf("It works %d %% of the time from now on.\n", cmp.Or(st.Share, 100))
		return nil
	case control.CancelLoad:
		p.printf("Given up after %s; what was read is delivered.\n", plural(int(st.Rows), "row"))
		return nil
	}
	return p.followLoad(ctx, api, st)
}

// showResync prints what a resync means.
func (p *program) showResync(plan *connector.ResyncPlan, q control.ResyncRequest) {
	rows := "rows are read (the server has no estimate of how many; ANALYZE makes one)"
	if plan.Rows >= 0 {
		rows = fmt.Sprintf("about %s read, at most %s to Braze", countOf(plan.Rows, "row is", "rows are"), countOf(plan.Calls, "call", "calls"))
	}
	p.printf("Resync of %s: %s.\n", q.Model, rows)
	switch {
	case q.AllValues:
		p.printf("  All values go, whatever Braze is known to have.\n")
	case plan.Whole:
		p.printf("  Whole rows go, since nothing is known of what Braze has in mode enrich.\n")
	default:
		p.printf("  What differs from what Braze is known to have goes.\n")
	}
	if len(q.Fields) > 0 {
		p.printf("  Only %s.\n", strings.Join(q.Fields, ", "))
	}
	if q.Where != "" {
		p.printf("  Only rows for which this is true: %s\n", q.Where)
	}
	if q.ClearNulls {
		p.printf("  NULLs take away what Braze has in their place.\n")
	}
	if plan.Counts {
		p.printf("  Users that are gone at the source are listed at the end; deleting them waits for \"brazecdc confirm %s\".\n", q.Model)
	}
	p.printf("Braze starts campaigns on changed attributes, new e-mail addresses and new users.\n")
}

func countOf(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// followLoad shows how far a load is until it ends, is paused, or somebody wants to go.
func (p *program) followLoad(ctx context.Context, api control.Resyncs, st *connector.LoadState) error {
	line := progressLine{p: p}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		switch {
		case !st.Running():
			line.end()
			return p.loadEnded(st)
		case st.Paused:
			line.end()
			p.printf("Paused after %s; \"brazecdc resync --model %s --resume\" goes on.\n", plural(int(st.Rows), "row"), st.Model)
			return nil
		}
		line.put(control.ReplayPhase("load"), loadState(*st))
		select {
		case <-tick.C:
			next, err := api.Load(ctx, st.ID)
			if err != nil && ctx.Err() == nil {
				line.end()
				return fmt.Errorf("the resync can't be watched any more; it goes on where it is, also at the next start: %w", err)
			}
			if err == nil {
				st = next
			}
		case <-ctx.Done():
			line.end()
			p.printf("It goes on in the running process: \"brazecdc status\" shows it, --pause and --cancel hold it.\n")
			return nil
		}
	}
}

// loadEnded prints what a load did.
func (p *program) loadEnded(st *connector.LoadState) error {
	if st.Cancelled {
		p.printf("Given up after %s.\n", plural(int(st.Rows), "row"))
		return &silentError{code: 1}
	}
	p.printf("Done: %s read, %d sent, %d unchanged.\n", plural(int(st.Rows), "row"), st.Sent, st.Same)
	if st.Unsure > 0 {
		p.printf("%s left out: the expression could not be told for them.\n", plural(int(st.Unsure), "row"))
	}
	if st.Gone > 0 {
		p.printf("%s %s gone at the source: \"brazecdc confirm %s\" deletes them in Braze, with --drop they stay.\n", p.yellow("held:"),
			countOf(st.Gone, "user is", "users are"), st.Model)
	}
	return nil
}
