package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/spf13/cobra"

	"brazecdc/connector"
	"brazecdc/connector/braze"
	"brazecdc/connector/config"
	"brazecdc/connector/control"
	"brazecdc/connector/state"
)

// sendPatience is how long a single send goes on trying.
const sendPatience = time.Minute

func newSend(p *program) *cobra.Command {
	var model, key string
	var yes bool
	cmd := &cobra.Command{
		Use:   "send --model MODEL --key KEY",
		Short: "Send one row to Braze now, whole",
		Long: `send reads one row and sends it to Braze whole, NULLs included, whatever Braze may have of it: the first user before a first start, or one that looks
wrong. It shows the call and asks for a yes on a terminal; elsewhere --yes is needed. It may start campaigns for that user.

Where "brazecdc run" is live, the row goes through its user's queue there, so that it keeps its place among the user's other changes. Else it goes alone,
under the lock of data/, and send waits for Braze's answer. Nothing is created in the database.

With Kafka it is for the first user only, before the group has begun to read: the row is as the newest message of its key left it, looked for among the
topic's newest 20,000. Later "brazecdc replay --key" brings a row again.`,
		Example: "  brazecdc send --model customers --key 1042\n  brazecdc send --model customers --key 1042 --yes",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if model == "" || key == "" {
				return usagef("say which row: --model MODEL --key KEY")
			}
			return p.send(cmd.Context(), model, key, yes)
		},
	}
	cmd.Flags().StringVar(&model, "model", "", "`name` of the model")
	cmd.Flags().StringVar(&key, "key", "", "`key` of the row; of several key columns column=value,column=value")
	cmd.Flags().BoolVar(&yes, "yes", false, "don't ask")
	p.draftFlag(cmd)
	return cmd
}

func (p *program) send(ctx context.Context, model, key string, yes bool) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	cfg, err := p.load()
	if err != nil {
		return err
	}
	if err := p.showRow(ctx, cfg, model, key); err != nil {
		return err
	}
	if !yes {
		if err := p.confirm(fmt.Sprintf("This is sent to workspace %s (%s).", cfg.Braze.Workspace, cfg.Braze.Endpoint)); err != nil {
			return err
		}
	}
	api, done, err := p.api(ctx, forWriting)
	if err != nil {
		return err
	}
	defer done()
	if _, live := api.(*control.Client); live && p.draft {
		return usagef("a process runs with the file, and would map the row as that says; apply the draft first, or leave --draft out")
	}
	said, err := api.Send(ctx, model, key)
	if err != nil {
		return fmt.Errorf("send %s %s: %w", model, key, err)
	}
	if _, live := api.(*control.Client); live {
		said = "Through the running process: " + said
	}
	p.printf("%s\n", said)
	return nil
}

// showRow prints the call that a row means.
func (p *program) showRow(ctx context.Context, cfg *config.Config, model, key string) error {
	r, err := p.openReader(ctx, cfg)
	if err != nil {
		return err
	}
	defer r.close(context.WithoutCancel(ctx))
	effects, err := r.living(ctx, model, key)
	if err != nil {
		return err
	}
	for i := range effects {
		e := &effects[i]
		method, path := braze.Request(e)
		p.printf("%s %s   %s\n%s\n", method, path, p.faint(plural(points(e), "data point")), braze.Body(e.Kind, []connector.Effect{*e}))
	}
	for _, left := range r.remarks {
		p.printf("%s %s: %s\n", p.yellow("left out:"), left.Field, left.Reason)
	}
	return nil
}

// living maps the living row of a key as a whole row. No effect is an error that says why.
func (r *reader) living(ctx context.Context, model, key string) ([]connector.Effect, error) {
	i, _, err := r.model(model)
	if err != nil {
		return nil, err
	}
	if r.topics != nil {
		if err := r.beforeGroup(ctx, i); err != nil {
			return nil, err
		}
	}
	row, err := r.rowOf(ctx, i, key)
	if err != nil {
		return nil, err
	}
	r.remarks, r.passed = nil, ""
	effects, err := r.mapper.MapRow(nil, i, row, time.Now())
	if err != nil {
		return nil, fmt.Errorf("map the row: %w", err)
	}
	if len(effects) == 0 {
		return nil, fmt.Errorf("nothing would be sent of this row: %s", orElse(r.passed, "the filter or the mode excludes it"))
	}
	return effects, nil
}

// sendAlone sends one row without a running process, under data/'s lock.
func (p *program) sendAlone(ctx context.Context, cfg *config.Config, data *state.Data, model, key string, only []string) (string, error) {
	r, err := p.openReader(ctx, cfg)
	if err != nil {
		return "", err
	}
	defer r.close(context.WithoutCancel(ctx))
	effects, err := r.living(ctx, model, key)
	if err != nil {
		return "", err
	}
	if len(only) > 0 {
		for i := range effects {
			e := &effects[i]
			e.Fields = slices.DeleteFunc(e.Fields, func(f connector.Field) bool { return !slices.Contains(only, f.Def.Name) })
		}
	}
	if err := p.deliverAlone(ctx, cfg, data, effects); err != nil {
		return "", err
	}
	return fmt.Sprintf("Braze accepted user %s.", effects[0].User.ID), nil
}

// deliverAlone sends the effects of one row without a running process, under data/'s lock.
func (p *program) deliverAlone(ctx context.Context, cfg *config.Config, data *state.Data, effects []connector.Effect) error {
	sink, err := newSink(cfg, p.quietLog())
	if err != nil {
		return err
	}
	defer sink.Close()
	for i := range effects {
		if err := mayGoAlone(data.State(), effects[i].User); err != nil {
			return err
		}
		if mark, ok := data.Erased(effects[i].User); ok && !mark.Back {
			return fmt.Errorf("user %s was erased on %s; only a new row brings it back, with \"brazecdc run\"", effects[i].User.ID, mark.At.Format(time.DateOnly))
		}
		if err := deliver(ctx, sink, effects[i]); err != nil {
			return err
		}
	}
	return nil
}

// mayGoAlone refuses a user about whom data/ holds something that only a running process can put in order.
func mayGoAlone(st *connector.State, u connector.User) error {
	why := ""
	switch {
	case slices.ContainsFunc(st.Settling, func(s connector.Settling) bool { return s.User == u && s.Until.After(time.Now()) }):
		why = "it was deleted a moment ago, and Braze may apply the delete after this"
	case slices.ContainsFunc(st.Held, func(h connector.HeldDelete) bool { return h.User == u && h.Answer != connector.AnswerDrop }):
		why = "a delete of it waits for a confirmation"
	case u.Kind == connector.ExternalID && slices.Contains(st.Renamed, u.ID):
		why = "its external_id still points at a profile that was renamed"
	default:
		return nil
	}
	return fmt.Errorf("user %s can't be sent alone: %s; start \"brazecdc run\" and send it then", u.ID, why)
}

// deliver sends one effect until Braze has answered for good.
func deliver(ctx context.Context, sink *braze.Client, e connector.Effect) error {
	try := func() error {
		if err := sink.Wait(ctx, e.Kind); err != nil {
			return backoff.Permanent(err)
		}
		err := sink.Send(ctx, e.Kind, []connector.Effect{e})
		var again *connector.RetryableError
		var refused *connector.RejectedError
		switch {
		case err == nil || errors.As(err, &again):
			return err
		case errors.As(err, &refused) && len(refused.Items) > 0:
			return backoff.Permanent(fmt.Errorf("refused by Braze: %s", refused.Items[0].Reason))
		}
		return backoff.Permanent(err)
	}
	b := backoff.NewExponentialBackOff(backoff.WithInitialInterval(200*time.Millisecond), backoff.WithMaxElapsedTime(sendPatience))
	return backoff.Retry(try, backoff.WithContext(b, ctx))
}
