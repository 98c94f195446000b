package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"brazecdc/connector"
	"brazecdc/connector/config"
	"brazecdc/connector/control"
	"brazecdc/connector/kafka"
	"brazecdc/connector/tracing"
)

func newRun(p *program) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Move changes into Braze until stopped",
		Long: `run follows the row changes of the models' tables and sends what comes of them to Braze.

It creates the replication slot and the publication where they are missing (source.postgres.create), reads the tables of models with "load: all" once
beside the stream, and keeps what must survive in data/ and what may be lost in cache/, beside the configuration file. The first start prints
what it will create, how many users and calls a load means, and that a load can start campaigns in Braze.

While it runs it answers on
  data/control.sock   status, confirm, quarantine, send, replay, resync, forget: the other commands, for the same account only
  web.listen          /livez, /readyz (?verbose, ?exclude=braze), /metrics (Prometheus), /status (JSON)

With source.kafka it reads the models' topics as a member of a consumer group; a topic that is created later and matches a model's pattern is noticed within
seconds and read from its beginning. Several processes share the partitions when they name the same group; each needs its own data/ and cache/.

SIGTERM or SIGINT: it stops reading, delivers what is open within limits.drain (30s), records and confirms it, and ends. A second signal ends it at once;
what was open comes again at the next start. Nothing is confirmed to the database before it was delivered, or kept in data/, and recorded.

SIGHUP: it reads the configuration file again, delivers what is open, and goes on with what the file says now. Where that is at fault, or does not start within
10 s, the configuration before goes on, and the log and "brazecdc status" say why. braze.workspace, data.path and cache.path can't change so; web, ops and
log.format count from the next start on. With web.stay: true a stop with exit code 11 to 21 keeps the pages up, not ready, until SIGHUP finds it mended.

With log.level: debug each change's end is a line of its own on standard error, as JSON where that is no terminal: time, table, operation, position, endpoint,
fields, outcome, reason, and the user as a keyed hash.

A process that finds its slot in use stands by and takes over when the other one ends; with --no-wait it ends with exit code 14 instead, and so it does where
the Kafka group has members.

How the last run ended is shown by "brazecdc status". Exit codes: see "brazecdc --help".`,
		Example: "  brazecdc run\n  brazecdc run --config /etc/brazecdc/shop.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.run(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&p.noWait, "no-wait", false, "end with exit code 14 where another process uses the slot, or is a member of the group")
	return cmd
}

func (p *program) run(ctx context.Context) error {
	cfg, text, err := p.loadText()
	if err != nil {
		return err
	}
	log, err := p.configuredLog(cfg)
	if err != nil {
		return err
	}
	for _, w := range cfg.Warnings {
		log.Warn(w.Error())
	}
	data := p.beside(cfg.Data.Path)
	ctx, stop := stoppable(ctx,
		func(s os.Signal) {
			log.Info("stopping: delivering what is open; a second signal ends at once", "signal", s.String(), "drain", cfg.Limits.Drain.String())
		},
		func(s os.Signal) {
			noteStop(data, &connector.StopError{Code: connector.ExitDeadline, What: "ended at once by a second signal; what was open comes again at the next start"}, log)
			p.exit(connector.ExitDeadline)
		})
	defer stop()
	return p.follow(ctx, cfg, text, log)
}

// besideOpen is what the process needs beside the open changes and what it keeps of the cache: stores, buffers, code, and the heap's room to breathe. With 80 MiB
// less the garbage collector took four times the processor time where that memory is full: a fifth of all.
const besideOpen = 176 << 20

// limitMemory makes the garbage collector work harder before the process grows past what limits.open_bytes and cache.memory, with a sixth for its index, call for.
// GOMEMLIMIT, where it is set, counts instead.
func limitMemory(cfg *config.Config) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(cfg.Limits.OpenBytes + cfg.Cache.Memory + cfg.Cache.Memory/6 + besideOpen)
	}
}

// configuredLog makes the log that the configuration asks for.
func (p *program) configuredLog(cfg *config.Config) (*slog.Logger, error) {
	format := cfg.Log.Format
	if (format == "" || format == "auto") && isTerminal(p.err) {
		format = "text" // the log is written by way of its tail, which is no terminal
	}
	tail := &logTail{to: p.err}
	h, err := terminal{err: tail}.logHandler(slog.LevelDebug, format)
	if err != nil {
		return nil, &connector.StopError{Code: connector.ExitConfig, What: "the settings under log can't be used", Err: err}
	}
	l := newLeveler(cfg.Log.Level)
	l.tail = tail
	return slog.New(leveled{l: l, next: h}), nil
}

// levelsOf gives the levels of a log made by configuredLog, and for another log some that nobody asks.
func levelsOf(log *slog.Logger) *leveler {
	if h, ok := log.Handler().(leveled); ok {
		return h.l
	}
	return newLeveler(slog.LevelInfo)
}

// follow opens the listeners and keeps a connector working until ctx ends.
func (p *program) follow(ctx context.Context, cfg *config.Config, text []byte, log *slog.Logger) (err error) {
	v, revision := buildVersion()
	log.Info("starting", "version", v, "revision", revision, "config", p.config, "config_hash", hashOf(text), "workspace", cfg.Braze.Workspace)
	f := newFace(cfg, p.config, text)
	r := newRunner(p, log, f)
	defer r.hangups(ctx)()
	defer f.levels.fold.flush(context.WithoutCancel(ctx))
	endTraces, err := p.trace(ctx, v, log.With("component", "trace"))
	if err != nil {
		return err
	}
	defer endTraces()
	stopListeners, err := p.listen(cfg, f, log)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		stopListeners(ctx)
	}()
	err = r.run(ctx)
	if pages := f.pages.Load(); pages != nil && connector.ExitCode(err) != 0 {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), webhookTimeout/2)
		defer cancel()
		pages.TellStopped(ctx, connector.ExitCode(err))
	}
	return err
}

// tracesLeft is how long the end of a process waits until its last traces are sent.
const tracesLeft = 2 * time.Second

// trace begins traces where the environment asks for them.
func (p *program) trace(ctx context.Context, version string, log *slog.Logger) (end func(), err error) {
	t, stop, err := tracing.Start(ctx, version, log)
	if err != nil {
		return nil, &connector.StopError{Code: connector.ExitConfig, What: "the OTEL_ variables can't be used", Err: err, Fix: "correct them, or set OTEL_SDK_DISABLED=true"}
	}
	if t != nil {
		p.tracer = t
		log.Info("traces are sent")
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tracesLeft)
		defer cancel()
		if err := stop(ctx); err != nil {
			log.Warn("the last traces were not sent", "err", err)
		}
	}, nil
}

// stoppedOnRequest makes nothing of an error that is only the request to stop.
func stoppedOnRequest(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// noteStop leaves in data/ how a run ended. That it can't is told, and is no reason to end otherwise.
func noteStop(data string, err error, log *slog.Logger) {
	s := control.Stop{At: time.Now(), Code: connector.ExitCode(err)}
	if err != nil {
		s.Reason = err.Error()
	}
	if werr := control.WriteStop(data, s); werr != nil {
		log.Warn("the reason of this stop could not be kept", "err", werr)
	}
}

// announce prints what the first start does.
func (p *program) announce(a *app) {
	cfg, pg := a.cfg, a.cfg.Source.Postgres
	p.printf("First start of workspace %q (%s).\n", cfg.Braze.Workspace, cfg.Braze.Endpoint)
	if a.topics != nil {
		p.announceTopics(a)
		return
	}
	verb := "uses"
	if pg.Create {
		verb = "creates where missing"
	}
	p.printf("  It %s: publication %q, replication slot %q. \"brazecdc teardown\" drops both; a slot that nobody reads fills the server's disk.\n", verb, pg.Publication, pg.Slot)
	loads := false
	for i := range cfg.Models {
		m := &cfg.Models[i]
		if m.Load != "all" {
			p.printf("  %s: load none: only what changes from now on.\n", m.Name)
			continue
		}
		loads = true
		p.printf("  %s: load all: %s.\n", m.Name, estimate(cfg, a.tables[m.Table]))
	}
	if loads {
		p.printf("  Loading can start campaigns in Braze: they react to changed attributes, new e-mail addresses and new users.\n")
	}
	p.printf("\n")
}

// announceTopics prints what the first start does with a Kafka source.
func (p *program) announceTopics(a *app) {
	cfg, k := a.cfg, a.cfg.Source.Kafka
	p.printf("  It reads as a member of consumer group %q, and goes on where the group has committed.\n", k.Group)
	p.printf("  At the brokers it creates %s.\n", madeAtBrokers(cfg))
	loads := false
	for i := range cfg.Models {
		m := &cfg.Models[i]
		where, its := "topic "+m.Topic+" is", "its"
		if m.TopicPattern != "" {
			where, its = fmt.Sprintf("the topics that match %s (now %s) are", m.TopicPattern, matched(a.matching(i))), "their"
		}
		switch {
		case k.Start == kafka.StartEarliest, k.Start == kafka.StartCommitted && m.Load == "all":
			loads = true
			p.printf("  %s: where the group has committed nothing, %s read from %s beginning.\n", m.Name, where, its)
		case k.Start == kafka.StartTimestamp:
			loads = true
			p.printf("  %s: where the group has committed nothing, %s read from %s.\n", m.Name, where, k.StartTime.Format(time.RFC3339))
		default:
			p.printf("  %s: where the group has committed nothing, %s read from %s end: only what changes from now on.\n", m.Name, where, its)
		}
	}
	if loads {
		p.printf("  Records that lie there already can start campaigns in Braze: it reacts to changed attributes, new e-mail addresses and new users.\n")
	}
	p.printf("\n")
}

// madeAtBrokers words what brazecdc makes there.
func madeAtBrokers(cfg *config.Config) string {
	var made []string
	if topic := cfg.Source.Kafka.StateTopic; topic != "" {
		made = append(made, fmt.Sprintf("the state topic %s, compacted, which the processes of the group share", topic))
	}
	if cfg.Quarantine.To == "topic" {
		made = append(made, fmt.Sprintf("the quarantine topic %s, for records that can't be delivered", cfg.Quarantine.Topic))
	}
	if len(made) == 0 {
		return "nothing but the group's committed offsets"
	}
	return "where missing " + strings.Join(made, ", and ") + "; beside them only the group's committed offsets"
}

// estimate words what a load of a table means: users, calls, minutes at the rate.
func estimate(cfg *config.Config, t *connector.Table) string {
	if t == nil || t.Rows < 0 {
		return fmt.Sprintf("the server has no estimate of %s's rows yet (ANALYZE makes one); a call takes up to %d users", tableName(t), cfg.Braze.ObjectsPerRequest)
	}
	calls := (t.Rows + int64(cfg.Braze.ObjectsPerRequest) - 1) / int64(cfg.Braze.ObjectsPerRequest)
	minutes := float64(calls) / callsPerSecond(cfg) / 60
	took := "under a minute"
	if minutes >= 1 {
		took = fmt.Sprintf("%.0f minutes", minutes)
	}
	return fmt.Sprintf("about %d users, %d calls, %s at the rate granted", t.Rows, calls, took)
}

func tableName(t *connector.Table) string {
	if t == nil {
		return "the table"
	}
	return t.Name
}

// callsPerSecond is the pace of /users/track that the settings grant: 3,000 in 3 s where no hourly contract is named (Braze docs, Rate limits).
func callsPerSecond(cfg *config.Config) float64 {
	perSecond := 1000.0
	if cfg.Braze.RatePerHour > 0 {
		perSecond = float64(cfg.Braze.RatePerHour) / 3600
	}
	return perSecond * cfg.Braze.RateShare
}
