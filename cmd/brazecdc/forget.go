package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"brazecdc/connector"
	"brazecdc/connector/config"
	"brazecdc/connector/control"
)

func newForget(p *program) *cobra.Command {
	var u connector.User
	var yes, asJSON bool
	cmd := &cobra.Command{
		Use:   "forget --user ID",
		Short: "Erase one user: delete the profile in Braze and all that is kept of it here",
		Long: `forget deletes the user's profile in Braze, waits until Braze has accepted that, and then takes the user out of data/ and cache/: what waits for it, its
quarantine entries, also those that have ended, fingerprints, and which rows were its own with what is remembered of them. The files are written anew, so
that none holds the identifier any more.

What is left is a hash of the identifier under a random key that never leaves data/. By it loads, replays, retries and late changes of the user's rows are told
and left out: they don't bring the profile back. A new row of the model that owns its users, committed after this, does; the log then says that the user was
erased before. So delete the rows at the source too.

It works through the running process, where the delete keeps its place among the user's other changes, or alone, under the lock of data/. An error leaves the
hash in place; the same command then goes on. A load that is under way keeps the key that it has come to until it goes on, and a resync of single rows their
keys until its end. Logs, the database, Kafka topics and what other tools write to Braze are not touched: what lies in topics of brazecdc is told with its
position.`,
		Example: "  brazecdc forget --user u-1042\n  brazecdc forget --user 1042 --label crm      # the alias 1042 of label crm",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if u.ID == "" {
				return usagef("say whom: --user ID")
			}
			if u.Label != "" {
				u.Kind = connector.Alias
			}
			return p.forget(cmd.Context(), u, yes, asJSON)
		},
	}
	cmd.Flags().StringVar(&u.ID, "user", "", "the user's external_id, or with --label the `name` of its alias")
	cmd.Flags().StringVar(&u.Label, "label", "", "the alias' `label`")
	cmd.Flags().BoolVar(&yes, "yes", false, "don't ask")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what was done as JSON")
	return cmd
}

func (p *program) forget(ctx context.Context, u connector.User, yes, asJSON bool) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	client, err := control.Dial(ctx, p.beside(p.glance().Data.Path))
	live := err == nil
	if err != nil && !errors.Is(err, control.ErrNotRunning) {
		return err
	}
	workspace := ""
	var cfg *config.Config
	if live {
		defer client.Close()
		s, err := client.Status(ctx)
		if err != nil {
			return err
		}
		workspace = s.Workspace
	} else {
		if cfg, err = p.load(); err != nil {
			return err
		}
		workspace = cfg.Braze.Workspace
	}
	if !yes {
		if err := p.confirm(fmt.Sprintf("User %q is erased: 1 profile with its history is deleted in Braze (workspace %s), and what is kept of it here. This can't be undone.", u.ID, workspace)); err != nil {
			return err
		}
	}
	var report *control.ForgetReport
	if live {
		report, err = client.Forget(ctx, u)
	} else {
		report, err = p.forgetAlone(ctx, cfg, u)
	}
	if err != nil {
		return fmt.Errorf("forget: %w", p.explainLocked(ctx, err))
	}
	if asJSON {
		return p.printJSON(report)
	}
	p.printForgotten(report)
	return nil
}

func (p *program) printForgotten(r *control.ForgetReport) {
	if r.Unsent {
		p.printf("The profile had been deleted a moment ago.\n")
	} else {
		p.printf("Braze accepted the delete.\n")
	}
	p.printf("Taken out here: %s, %s, %s known as the user's.\n", countOf(int64(len(r.Entries)), "quarantine entry", "quarantine entries"), plural(r.Waiting, "waiting delete"), plural(r.Rows, "row"))
	if r.Spools > 0 {
		p.printf("%s with what it had collected; the same replay begins anew.\n", plural(r.Spools, "stopped replay"))
	}
	for _, k := range r.Kept {
		p.printf("%s a record of the user lies in topic %s at offset %d; only the topic's retention, or kafka-delete-records, ends it.\n", p.yellow("left:"), k.Topic, k.Offset)
	}
	for _, id := range r.Doubtful {
		p.printf("%s quarantine entry %d is a record that could not be decoded and holds the identifier; look at it: brazecdc quarantine show %d\n", p.yellow("left:"), id, id)
	}
	if r.Shared {
		p.printf("%s the state topic holds older values until Kafka compacts it.\n", p.yellow("left:"))
	}
	p.printf("Rows of the user at the source are not touched: delete them there too.\n")
}

// Forget implements control.Forgets.
func (a *app) Forget(ctx context.Context, u connector.User) (*control.ForgetReport, error) {
	if a.replays.underWay() {
		return nil, errors.New("a replay is under way, and holds what it collected: stop it or wait for its end, then do it again")
	}
	f, err := a.pipeline.Forget(ctx, u)
	if err != nil {
		return nil, err
	}
	a.log.Info("a user was erased", "component", "control", "quarantine_entries", len(f.Entries), "count", f.Rows)
	report := control.ReportOf(f)
	if a.history != nil {
		if err := a.history.Forget(u, f.Known); err != nil {
			return nil, err
		}
	}
	report.Spools, err = forgetSpools(a.replays.cache)
	return report, err
}

var _ control.Forgets = (*app)(nil)

// forgetSpools removes what stopped replays have collected: rows of anybody.
func forgetSpools(cache string) (n int, err error) {
	old, err := filepath.Glob(filepath.Join(cache, replayPrefix+"*"))
	if err != nil {
		return 0, err
	}
	for _, folder := range old {
		if err := os.RemoveAll(folder); err != nil {
			return n, fmt.Errorf("remove what a replay collected: %w", err)
		}
		n++
	}
	return n, nil
}

// forgetAlone erases a user without a running process, under the lock of data/. What the processes of a group share is reached through the state topic.
func (p *program) forgetAlone(ctx context.Context, cfg *config.Config, u connector.User) (_ *control.ForgetReport, err error) {
	a, done, err := p.openStores(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, done()) }()
	eraser := a.eraser()
	for _, id := range a.data.State().Renamed {
		if u.Kind == connector.ExternalID && id == u.ID {
			return nil, errors.New("the external_id was renamed to another one, under which the profile goes on; erase that one")
		}
	}
	rows, err := connector.RowsToForget(ctx, a.cache, u)
	if err != nil {
		return nil, err
	}
	if err := eraser.MarkErased(ctx, u, rows, time.Now()); err != nil {
		return nil, err
	}
	if err := deliver(ctx, a.sink, connector.Effect{Kind: connector.DeleteUser, User: u}); err != nil {
		return nil, fmt.Errorf("%w; what data/ and cache/ hold of the user is still there: do it again", err)
	}
	f, err := connector.PurgeUser(ctx, eraser, a.cache, u, rows)
	if err != nil {
		return nil, err
	}
	report := control.ReportOf(f)
	if h := p.openHistory(cfg, p.quietLog()); h != nil {
		if err := errors.Join(h.Forget(u, f.Known), h.Close()); err != nil {
			return nil, err
		}
	}
	report.Spools, err = forgetSpools(p.beside(cfg.Cache.Path))
	return report, err
}

// openStores opens data/, cache/ and the sink, and where the processes of a group share a state topic that too.
func (p *program) openStores(ctx context.Context, cfg *config.Config) (_ *app, done func() error, err error) {
	log := p.quietLog()
	if cfg.Source.Kafka != nil && strings.TrimSpace(cfg.Source.Kafka.StateTopic) != "" {
		a, err := p.openAs(ctx, cfg, log, watcher{}, true)
		if err != nil {
			return nil, nil, err
		}
		return a, func() error { return errors.Join(a.topics.Close(context.WithoutCancel(ctx)), a.close()) }, nil
	}
	a := &app{cfg: cfg, file: p.config, dataPath: p.beside(cfg.Data.Path), log: log}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close())
		}
	}()
	if a.data, err = openData(a.dataPath, cfg, log); err != nil {
		return nil, nil, err
	}
	a.journal = a.data
	if a.cache, err = p.openCache(cfg, log); err != nil {
		return nil, nil, err
	}
	if a.sink, err = newSink(cfg, log); err != nil {
		return nil, nil, err
	}
	return a, a.close, nil
}
