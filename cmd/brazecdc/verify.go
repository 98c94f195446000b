package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"brazecdc/connector"
	"brazecdc/connector/braze"
	"brazecdc/connector/config"
	"brazecdc/connector/control"
)

// typesAtLook is how long a command that looks waits for the types of custom attributes.
const typesAtLook = 5 * time.Second

// verifyAsk is what verify was asked.
type verifyAsk struct {
	model  string
	sample int
	keys   []string
	repair bool
	values bool
	asJSON bool
	rate   int
	wait   time.Duration
}

func newVerify(p *program) *cobra.Command {
	var q verifyAsk
	cmd := &cobra.Command{
		Use:   "verify --model MODEL",
		Short: "Compare rows at the source with what Braze holds",
		Long: `verify reads rows of a model's table, maps them whole, asks Braze for their users (/users/export/ids), and compares field by field: numbers as the 64-bit
floats that Braze keeps, times as moments, arrays in order, of merged objects the members that the row has. It prints what differs by field, which users are
missing in Braze, and which live on there although their row is deleted at the source. The model must be one of users.

With Postgres it takes a sample that is spread over the key (--sample), or the rows of --key; a key whose row is gone shows whether its user lives on. With Kafka
the newest records of the topic say which rows, and --key picks among them.

What differs is looked at a second time after user_gap and --wait, row and profile: only what is still there counts, so that a change on its way is none. Values
that Braze's export leaves out (null, false, empty) are equal to a missing one. Where a NULL at the source stands against a value in Braze, that is drift, also
if a load, which leaves NULLs out, was the last to send the row. Fields that no export gives are listed as not comparable.

--repair sends the fields that differ, and whole rows where the user is missing, or the e-mail address differs, which Braze's subscription state follows: through
the running process where there is one, else alone under the lock of data/. It never deletes. With Kafka there is nothing to send again from here: it names the
replay that does.

It prints ids, and values only with --values. It asks at most --rate times a minute, with 50 users each (an email or phone as identifier costs a request of its
own). Exit code 0 if all is equal or was repaired, 4 if something differs.`,
		Example: "  brazecdc verify --model customers\n  brazecdc verify --model customers --sample 2000 --json\n  brazecdc verify --model customers --key 1042 --key 1043 --values --repair",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case q.model == "":
				return usagef("say which model: --model MODEL")
			case len(q.keys) > 0 && cmd.Flags().Changed("sample"):
				return usagef("--key names rows, so --sample has no place beside it")
			case q.sample < 1:
				return usagef("--sample %d: want a number of rows from 1 on", q.sample)
			case q.rate < 1:
				return usagef("--rate %d: want a number of requests a minute from 1 on", q.rate)
			case q.wait < 0:
				return usagef("--wait %s: want no negative time", q.wait)
			}
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			return p.verify(ctx, &q)
		},
	}
	f := cmd.Flags()
	f.StringVar(&q.model, "model", "", "`name` of the model")
	f.IntVar(&q.sample, "sample", 500, "so many rows, or with Kafka records")
	f.StringArrayVar(&q.keys, "key", nil, "`key` of one row, several times for several; of several key columns column=value,column=value")
	f.BoolVar(&q.repair, "repair", false, "send what differs")
	f.BoolVar(&q.values, "values", false, "print values too")
	f.BoolVar(&q.asJSON, "json", false, "print JSON")
	f.IntVar(&q.rate, "rate", 250, "requests a minute at most")
	f.DurationVar(&q.wait, "wait", 5*time.Second, "how long after user_gap the second look comes")
	return cmd
}

func (p *program) verify(ctx context.Context, q *verifyAsk) error {
	cfg, err := p.load()
	if err != nil {
		return err
	}
	v, err := p.openVerifier(ctx, cfg, q)
	if err != nil {
		return err
	}
	defer v.close(context.WithoutCancel(ctx))
	report, err := v.look(ctx)
	if err != nil {
		return err
	}
	if drift := report.drift(); drift > 0 {
		report.Behind = p.behind(ctx)
	}
	if q.repair {
		if err := p.repair(ctx, v, report); err != nil {
			return err
		}
	}
	if q.asJSON {
		err = p.printJSON(report)
	} else {
		p.printVerify(report)
	}
	if err != nil {
		return err
	}
	if report.drift() > report.Repaired {
		return &silentError{code: connector.ExitFaults}
	}
	return nil
}

// verifier reads rows and profiles and compares them.
type verifier struct {
	*reader
	q     *verifyAsk
	at    int // the model
	m     *connector.Model
	table *connector.Table
	whole *reader // maps rows that the filter or delete_when excludes, to learn their users
	sink  *braze.Client
	pace  pace
	asked int // requests for profiles
}

func (p *program) openVerifier(ctx context.Context, cfg *config.Config, q *verifyAsk) (_ *verifier, err error) {
	r, err := p.openReader(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			r.close(context.WithoutCancel(ctx))
		}
	}()
	v := &verifier{reader: r, q: q, pace: pace{per: q.rate}}
	if v.at, v.table, err = r.model(q.model); err != nil {
		return nil, err
	}
	v.m = &cfg.Models[v.at]
	if v.m.Kind != "" && v.m.Kind != "users" {
		return nil, usagef("--model %s: it is of kind %s, and Braze can be asked for the profiles of users only", q.model, v.m.Kind)
	}
	open := *cfg
	open.Models = append([]connector.Model(nil), cfg.Models...)
	open.Models[v.at].Filter, open.Models[v.at].DeleteWhen, open.Models[v.at].OnLeave = "", "", ""
	v.whole = &reader{cfg: &open, source: r.source, topics: r.topics, tables: r.tables}
	if err = p.compileReader(v.whole); err != nil {
		return nil, err
	}
	if v.sink, err = newSink(cfg, p.quietLog()); err != nil {
		return nil, err
	}
	v.types(ctx)
	return v, nil
}

// types leaves values out that the running process would leave out, since Braze has their attribute with another type. A key that may not ask for the types is
// no fault: then those values differ.
func (v *verifier) types(ctx context.Context) {
	if len(attributeNames(v.cfg)) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, typesAtLook)
	defer cancel()
	if list, err := v.sink.Attributes(ctx); err == nil {
		v.mapper.SetTypes(typesOf(list))
	}
}

// behind is how late the running process is, in seconds; 0 where none runs.
func (p *program) behind(ctx context.Context) float64 {
	client, err := control.Dial(ctx, p.beside(p.glance().Data.Path))
	if err != nil {
		return 0
	}
	defer client.Close()
	if s, err := client.Status(ctx); err == nil {
		return s.LagSeconds
	}
	return 0
}

// repair sends what differs.
func (p *program) repair(ctx context.Context, v *verifier, report *verifyReport) error {
	if v.topics != nil || len(report.repairs) == 0 {
		return nil
	}
	api, done, err := p.api(ctx, forWriting)
	if err != nil {
		return err
	}
	defer done()
	for _, r := range report.repairs {
		key := r.key
		if _, err := api.Send(ctx, v.q.model, key, r.only...); err != nil {
			if ctx.Err() != nil || errors.Is(err, context.Canceled) {
				return err
			}
			report.Unrepaired = append(report.Unrepaired, remark{key, err.Error()})
			continue
		}
		report.Repaired++
	}
	return nil
}

// pace lets at most per requests leave in a minute.
type pace struct {
	per int
	at  []time.Time
}

func (p *pace) wait(ctx context.Context) error {
	if len(p.at) >= p.per {
		t := time.NewTimer(time.Until(p.at[0].Add(time.Minute)))
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for the rate of requests: %w", ctx.Err())
		}
		p.at = p.at[1:]
	}
	p.at = append(p.at, time.Now())
	return nil
}
