package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"brazecdc/connector"
	"brazecdc/connector/control"
	"brazecdc/connector/kafka"
)

func newReplay(p *program) *cobra.Command {
	var q control.ReplayRequest
	var yes bool
	cmd := &cobra.Command{
		Use:   "replay --topic TOPIC",
		Short: "Bring a range of a Kafka topic to Braze again",
		Long: `replay reads a range of a topic again, and on to the end of its log, and brings the last value of each field of each row to Braze: after a mistake in a
workspace, for a field that was added, or for what was in quarantine too long. The offsets of the consumer group stay as they are.

It never puts an older value over a newer one. Rows that changed behind --to are left out, and rows that change while it works; users that are deleted or
renamed meanwhile stay away. A row that is deleted, or that the filter keeps out, at the end of the range is not sent. What subscribed or opted in is not
renewed. NULLs are sent. What Braze is known to have is sent again with --all-values only. Deletes are sent with --deletes only, for rows that the
model's mode deletes, and not where the user has another row; they also delete items of catalogs and end subscriptions of rows that are gone. Events and
purchases are sent with --events only, all of the range that are not older than max_age: each happens in Braze a second time, and what is under way when the
replay is stopped may happen a third time. They make no profile of a user whom Braze does not know any more. Subscriptions are renewed only by groups with
resubscribe: always.

First it scans and says how many users and data points it means, what is left out and why, and that it can start campaigns in Braze; then it asks. With
--dry-run it ends there and shows the first calls.

Where "brazecdc run" is live on this data/, the replay works inside it, for the partitions that it has, behind its live changes; with several processes run
the same command at each. Else it works alone under the lock of data/, and refuses while the group has live members; records that the group has not come
to are left to the next run.

Of a model with a schedule it also fills what the schedule goes over: the columns that rules with now() read.

--from is the first record, --to the one behind the last, as a time (2026-11-01T00:00:00Z, 2026-11-01) or an offset; by default the log's beginning and end.
What it collects lies in cache/. Ctrl-C stops it, and the same command goes on where it was; --restart begins anew.`,
		Example: `  brazecdc replay --topic shop.public.users --from 2026-11-01 --to 2026-11-02T06:00:00Z --dry-run
  brazecdc replay --topic shop.public.users --model customers
  brazecdc replay --topic shop.public.users --key 1042 --key 1043 --yes
  brazecdc replay --topic shop.public.users --from 120000 --partition 3 --deletes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if q.Topic == "" {
				return usagef("say which topic: --topic TOPIC")
			}
			for flag, text := range map[string]string{"from": q.From, "to": q.To} {
				if _, err := kafka.ParsePlace(text); err != nil {
					return usagef("--%s: %w", flag, err)
				}
			}
			return p.replay(cmd.Context(), q, yes)
		},
	}
	f := cmd.Flags()
	f.StringVar(&q.Topic, "topic", "", "`name` of the topic")
	f.StringVar(&q.From, "from", "", "first record: `time or offset`; default the log's beginning")
	f.StringVar(&q.To, "to", "", "behind the last record: `time or offset`; default the log's end")
	f.StringArrayVar(&q.Keys, "key", nil, "only the row with this `key`, as quarantine shows it; of several key columns column=value,column=value; may be repeated")
	f.StringArrayVar(&q.Models, "model", nil, "only this `model`; may be repeated")
	f.Int32SliceVar(&q.Partitions, "partition", nil, "only this `number`; may be repeated")
	f.BoolVar(&q.Deletes, "deletes", false, "delete the users of rows that are deleted at the end of the range; can't be undone in Braze")
	f.BoolVar(&q.Events, "events", false, "send events and purchases too: they happen a second time in Braze")
	f.BoolVar(&q.AllValues, "all-values", false, "send also what Braze is known to have: after somebody changed or archived profiles there")
	f.BoolVar(&q.DryRun, "dry-run", false, "send nothing; show what would be sent")
	f.BoolVar(&q.Restart, "restart", false, "begin anew instead of going on with an earlier run")
	f.BoolVar(&yes, "yes", false, "don't ask")
	return cmd
}

func (p *program) replay(ctx context.Context, q control.ReplayRequest, yes bool) error {
	if !yes && !q.DryRun && !isTerminal(p.in) {
		return usagef("a replay asks before it sends, and there is no terminal to ask on; look at --dry-run, then add --yes")
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	client, err := control.Dial(ctx, p.beside(p.glance().Data.Path))
	switch {
	case err == nil:
		defer client.Close()
		return p.followReplay(ctx, client, q, yes)
	case !errors.Is(err, control.ErrNotRunning):
		return err
	}
	return p.replayAlone(ctx, q, yes)
}

// followReplay starts a replay, shows how far it is, and answers its question.
func (p *program) followReplay(ctx context.Context, api control.Replays, q control.ReplayRequest, yes bool) error {
	s, err := api.StartReplay(ctx, q)
	if err != nil {
		return err
	}
	line := progressLine{p: p}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	told, resumed := false, false
	for {
		if s.Resumed && !resumed {
			line.end()
			p.printf("An earlier run is gone on with; --restart begins anew.\n")
			resumed = true
		}
		if s.Plan != nil && !told {
			line.end()
			p.showPlan(s.Plan, q)
			told = true
		}
		switch {
		case s.Phase.Ended():
			line.end()
			return p.replayEnded(s, q)
		case s.Phase == control.ReplayAsks:
			if err := p.answerReplay(ctx, api, s.ID, yes); err != nil {
				return err
			}
		default:
			line.show(s)
		}
		select {
		case <-tick.C:
			next, err := api.Replay(ctx, s.ID)
			if errors.Is(err, control.ErrAway) { // a configuration is being applied, and the replay goes on with it
				continue
			}
			if err != nil && ctx.Err() == nil {
				line.end()
				return fmt.Errorf("the replay can't be watched any more; it goes on where it is, or with the same command: %w", err)
			}
			if err == nil {
				s = next
			}
		case <-ctx.Done():
			line.end()
			return p.stopReplay(context.WithoutCancel(ctx), api, s.ID, q)
		}
	}
}

// answerReplay asks the person and hands the answer on. Meanwhile it keeps asking for the state, which says that somebody is there.
func (p *program) answerReplay(ctx context.Context, api control.Replays, id string, yes bool) error {
	if yes {
		return api.AnswerReplay(ctx, id, true)
	}
	said := make(chan error, 1)
	go func() { said <- p.confirm("This is sent to Braze and can start campaigns there.") }()
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		select {
		case no := <-said:
			return errors.Join(no, api.AnswerReplay(ctx, id, no == nil))
		case <-tick.C:
			if _, err := api.Replay(ctx, id); err != nil {
				return err
			}
		case <-ctx.Done():
			p.printf("\n")
			return nil // followReplay stops it
		}
	}
}

// replayStopPatience is how long the end of a replay is waited for that was asked to stop.
const replayStopPatience = 15 * time.Second

func (p *program) stopReplay(ctx context.Context, api control.Replays, id string, q control.ReplayRequest) error {
	ctx, cancel := context.WithTimeout(ctx, replayStopPatience)
	defer cancel()
	if err := api.StopReplay(ctx, id); err != nil {
		return err
	}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		s, err := api.Replay(ctx, id)
		if err != nil {
			return err
		}
		if s.Phase.Ended() {
			return p.replayEnded(s, q)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.New("the replay was told to stop and has not ended yet; see \"brazecdc status\"")
		}
	}
}

// showPlan prints what a replay found.
func (p *program) showPlan(plan *control.ReplayPlan, q control.ReplayRequest) {
	p.printf("%s of topic %s say:\n", plural(int(plan.Records), "record"), q.Topic)
	who := plural(int(plan.Users), "user")
	if items := plural(int(plan.Items), "item"); plan.Items > 0 && plan.Users == 0 {
		who = items
	} else if plan.Items > 0 {
		who += ", " + items
	}
	p.printf("  to be sent: %s, %s, at most %s", who, plural(int(plan.Rows), "row"), plural(int(plan.DataPoints), "data point"))
	if q.Events {
		p.printf(", %s", plural(int(plan.Events), "event"))
	}
	if q.Deletes {
		p.printf(", %s", plural(int(plan.Deletes), "delete"))
	}
	p.printf("\n")
	for _, why := range slices.Sorted(maps.Keys(plan.Left)) {
		p.printf("  left out: %d, %s\n", plan.Left[why], why)
	}
	if len(plan.Others) > 0 {
		p.printf("  not here: partitions %v; run the same command at the processes of the group that have them\n", plan.Others)
	}
	for _, s := range plan.Samples {
		p.printf("%s %s\n  %s\n", s.Method, s.Path, s.Body)
	}
	switch {
	case q.DryRun:
		p.printf("Nothing was sent.\n")
	case plan.Total() == 0:
		p.printf("There is nothing to send.\n")
	default:
		p.printf("Braze starts campaigns on changed attributes, new e-mail addresses and new users.\n")
		if plan.Events > 0 {
			p.printf("%s\n", p.fail("Events and purchases happen a second time: campaigns, counts and revenue take them twice."))
		}
		if plan.Deletes > 0 {
			p.printf("%s\n", p.fail("Deletes can't be undone: profiles go with their history."))
		}
	}
}

// replayEnded prints how a replay ended and gives what the command ends with.
func (p *program) replayEnded(s *control.ReplayStatus, q control.ReplayRequest) error {
	for _, why := range slices.Sorted(maps.Keys(s.Left)) {
		p.printf("left out while sending: %d, %s\n", s.Left[why], why)
	}
	again := "the same command goes on where it was; --restart begins anew"
	switch {
	case s.Phase == control.ReplayDone:
		if !q.DryRun && s.Plan != nil && s.Plan.Total() > 0 {
			known := ", or known to be at Braze already"
			if q.AllValues {
				known = ""
			}
			p.printf("Done: %s delivered%s.\n", plural(int(s.Sent), "row"), known)
		}
		return nil
	case s.Phase == control.ReplayStopped:
		p.printf("Stopped after %s; %s.\n", plural(int(s.Sent), "row"), again)
		return &silentError{code: connector.ExitDeadline}
	case s.Code == exitUsage || s.Code == connector.ExitConfig:
		return &connector.StopError{Code: s.Code, What: s.Error, Fix: s.Fix}
	}
	fix := again
	if s.Fix != "" {
		fix = s.Fix + "; then " + again
	}
	return &connector.StopError{Code: s.Code, What: s.Error, Fix: fix}
}

// progressLine shows how far a replay is: a line that is written over on a terminal, a line a second elsewhere.
type progressLine struct {
	p     *program
	last  time.Time
	phase control.ReplayPhase
	wide  int
}

var replayPhases = map[control.ReplayPhase]string{
	control.ReplayScans: "reading", control.ReplayWaits: "waiting", control.ReplayCounts: "counting", control.ReplaySends: "sending",
}

func (l *progressLine) show(s *control.ReplayStatus) { l.put(s.Phase, progressText(s)) }

// put shows a text, unless the last one of the same phase was shown a moment ago.
func (l *progressLine) put(phase control.ReplayPhase, text string) {
	if time.Since(l.last) < time.Second && phase == l.phase {
		return
	}
	l.last, l.phase = time.Now(), phase
	if !isTerminal(l.p.out) {
		l.p.printf("%s\n", text)
		return
	}
	l.p.printf("\r%s%s", text, strings.Repeat(" ", max(0, l.wide-len(text))))
	l.wide = len(text)
}

func progressText(s *control.ReplayStatus) string {
	text := replayPhases[s.Phase]
	if s.Phase == control.ReplayWaits {
		return text + ": " + s.Text
	}
	if s.Total == 0 {
		return text
	}
	text = fmt.Sprintf("%-8s %3d %%  %d of %d", text, 100*s.Done/s.Total, s.Done, s.Total)
	if s.Rate > 0 {
		text += fmt.Sprintf("  %.0f/s", s.Rate)
	}
	if s.ETA > 0 {
		text += fmt.Sprintf("  %s left", s.ETA)
	}
	return text
}

// end leaves the line as it is.
func (l *progressLine) end() {
	if l.wide > 0 {
		l.p.printf("\n")
		l.wide = 0
	}
}
