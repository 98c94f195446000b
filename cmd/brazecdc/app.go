package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"

	"brazecdc/connector"
	"brazecdc/connector/braze"
	"brazecdc/connector/config"
	"brazecdc/connector/control"
	"brazecdc/connector/history"
	"brazecdc/connector/kafka"
	"brazecdc/connector/mapping"
	"brazecdc/connector/postgres"
	"brazecdc/connector/state"
)

// app is the parts of a connector, wired.
type app struct {
	cfg      *config.Config
	file     string // of the configuration
	dataPath string
	log      *slog.Logger
	data     *state.Data
	journal  connector.Journal // data, shared with the other processes where there is a state topic
	shared   *state.Shared     // the journal, where there is one
	left     *kafka.StateTopic // what the processes leave to each other
	held     *topicQuarantine  // the journal's quarantine, where it is a topic
	cache    *state.Cache
	history  *history.Store // nil: none is kept
	source   connector.Source
	topics   *topics  // the source, where it is Kafka
	seen     []string // its topics at the start
	tables   map[string]*connector.Table
	mapper   *mapping.Mapper
	types    map[string]connector.AttrType // of custom attributes, as Braze told them to check
	asked    *typeAnswer                   // as Braze tells them to a run, sooner or later
	sent     *sentTypes                    // the same as they were accepted
	sink     *braze.Client
	tally    *tally
	passing  *passing // who looks at changes as they pass
	pipeline *connector.Pipeline
	heard    atomic.Pointer[connector.Pipeline] // who is told of what other processes put
	replays  *replays
	lost     untilLost
	started  time.Time
	listen   string        // where health and metrics are served, once they are
	lastStop *control.Stop // how the run before ended, nil where that is not known
	closing  sync.Once
	noWait   bool             // another process that works is a fault
	tracer   connector.Tracer // nil: nobody traces
}

// open takes the lock on data/, reads the tables' shapes, compiles the mapping and makes the pipeline. Nothing is created in the database yet and nothing is
// sent. Close undoes it.
func (p *program) open(ctx context.Context, cfg *config.Config, log *slog.Logger, watch watcher) (_ *app, err error) {
	return p.openAs(ctx, cfg, log, watch, false)
}

// openAs is open; idle makes an app whose pipeline reads nothing: its topics are not joined, and how it ends is no end of a run.
func (p *program) openAs(ctx context.Context, cfg *config.Config, log *slog.Logger, watch watcher, idle bool) (_ *app, err error) {
	a := &app{cfg: cfg, file: p.config, dataPath: p.beside(cfg.Data.Path), log: log, started: time.Now(), noWait: p.noWait, tracer: p.tracer}
	defer func() {
		if err == nil {
			return
		}
		if a.data != nil && ctx.Err() == nil && !idle { // the folder is ours, so the note is too
			noteStop(a.dataPath, err, log)
		}
		if cerr := a.close(); cerr != nil {
			log.Warn("close the stores", "err", cerr)
		}
	}()
	if a.data, err = openData(a.dataPath, cfg, log); err != nil {
		return nil, err
	}
	a.lastStop = control.ReadStop(a.dataPath)
	if a.cache, err = p.openCache(cfg, log); err != nil {
		return nil, err
	}
	a.asked = askTypes(ctx, cfg, log)
	if err = a.openSource(ctx); err != nil {
		return nil, err
	}
	if idle {
		a.source = idleTopics{a.topics}
	}
	if !idle {
		a.history = p.openHistory(cfg, log)
	}
	a.tally, a.passing = newTally(cfg.Models), newPassing(cfg.Models)
	if err = a.typed(ctx, a.asked); err != nil {
		return nil, err
	}
	if a.sink, err = newSink(cfg, log); err != nil {
		return nil, err
	}
	if err = a.share(ctx); err != nil {
		return nil, err
	}
	if err = a.keepInTopic(ctx); err != nil {
		return nil, err
	}
	plans, err := schedules(cfg.Models)
	if err != nil {
		return nil, err
	}
	parts := a.parts(plans)
	if idle {
		parts.Schedules = nil // the process that runs keeps them
	}
	parts.Watch, parts.Watching = joined(watch, a.passing.watch), watching(watch, a.passing)
	if a.pipeline, err = connector.New(parts); err != nil {
		return nil, fmt.Errorf("make the pipeline: %w", err)
	}
	a.heard.Store(a.pipeline)
	a.replays = &replays{a: a, cache: p.beside(cfg.Cache.Path), alone: idle}
	return a, nil
}

// parts is what the pipeline is made of.
func (a *app) parts(plans []connector.Schedule) connector.Config {
	cfg := a.cfg
	return connector.Config{
		Source: a.source, Sink: learningSink{a.sink, a.mapper.Accepted}, Mapper: a.mapping(), Journal: a.journal, Eraser: a.eraser(), Prints: a.cache, Redact: a.mapper.Redact,
		OpenChanges: cfg.Limits.OpenChanges, OpenBytes: cfg.Limits.OpenBytes, Drain: cfg.Limits.Drain, Retention: cfg.Quarantine.Retention,
		UserGap: cfg.Braze.UserGap, Settle: cfg.Braze.Settle, Attempts: cfg.Braze.Attempts, Senders: cfg.Braze.Senders,
		LoadMark: cfg.LoadMark, Tracer: a.tracer, Schedules: plans, Remember: rememberedModels(cfg), Log: a.log.With("component", "pipeline"), Ended: a.ended(),
	}
}

// openData opens the configuration's content of data/.
func openData(path string, cfg *config.Config, log *slog.Logger) (*state.Data, error) {
	return state.OpenData(path, state.DataConfig{Workspace: cfg.Braze.Workspace, Endpoint: cfg.Braze.Endpoint, Logger: log.With("component", "state")})
}

// eraser is what forgets users: data/, together with the other processes of the group where they share.
func (a *app) eraser() connector.Eraser {
	if a.shared != nil {
		return a.shared
	}
	return a.data
}

// share makes the journal, which with a state topic is kept together with the other processes of the group.
func (a *app) share(ctx context.Context) error {
	a.journal = a.data
	if a.topics == nil || a.cfg.Source.Kafka.StateTopic == "" {
		return nil
	}
	a.shared = state.NewShared(a.data, a.log.With("component", "state"), func(model string, p *connector.Pause) {
		if pipeline := a.heard.Load(); pipeline != nil {
			pipeline.Heard(model, p)
		}
	})
	ctx, cancel := context.WithTimeout(ctx, a.cfg.Source.Kafka.StartTimeout)
	defer cancel()
	topic := a.cfg.Source.Kafka.StateTopic
	var err error
	if a.left, err = a.topics.OpenState(ctx, topic, a.shared.Heard); err != nil {
		return err
	}
	if err = a.shared.Begin(ctx, a.left, a.left.Identity()); err != nil {
		return fmt.Errorf("share state through topic %s: %w", topic, err)
	}
	a.journal = a.shared
	return nil
}

// close gives up the source, data/ and cache/. What is asked of the app afterwards gives errors.
func (a *app) close() error {
	var err error
	a.closing.Do(func() { err = a.closeParts() })
	return err
}

func (a *app) closeParts() (err error) {
	if a.asked != nil {
		a.asked.stop()
	}
	if a.sent != nil {
		a.sent.close()
	}
	if a.held != nil {
		a.held.close()
	}
	if a.left != nil {
		a.left.Close()
	}
	if a.source != nil { // the pipeline closes what it opened; what never ran is left
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if cerr := a.source.Close(ctx); cerr != nil {
			a.log.Warn("close source", "err", cerr)
		}
	}
	if a.sink != nil {
		a.sink.Close()
	}
	if a.cache != nil {
		err = a.cache.Close()
	}
	if a.history != nil {
		err = errors.Join(err, a.history.Close())
	}
	if a.data != nil {
		err = errors.Join(err, a.data.Close())
	}
	return err
}

// openSource makes the source without connecting it, and reads the shapes of the models' tables or topics.
func (a *app) openSource(ctx context.Context) (err error) {
	if err = a.look(ctx); err != nil || a.cfg.Source.Kafka == nil {
		return err
	}
	if a.topics, err = a.openTopics(); err != nil {
		return err
	}
	a.source = a.topics
	if !a.noWait {
		return nil
	}
	members, err := a.topics.Members(ctx)
	if err == nil && len(members) > 0 {
		err = &connector.StopError{Code: connector.ExitSlotInUse, What: fmt.Sprintf("group %q has live members: %v", a.cfg.Source.Kafka.Group, members),
			Fix: "stop them, or start without --no-wait to share the partitions"}
	}
	return err
}

// look reads the shapes of the models' tables or topics. A database's source is the one that the pipeline uses; of topics another one looks: its decoder
// sees the newest records first, and a stream's must come in order.
func (a *app) look(ctx context.Context) (err error) {
	if a.cfg.Source.Kafka == nil {
		c := postgresConfig(a.cfg.Source.Postgres, a.log)
		c.NoWait = a.noWait
		pg, err := postgres.New(c)
		if err != nil {
			return err
		}
		a.source = pg
		a.tables, err = describe(ctx, a.source, a.cfg, a.log)
		return err
	}
	look, err := newTopics(a.cfg, a.log, hooks{})
	if err != nil {
		return err
	}
	a.tables, err = look.shapes(ctx, a.cfg, a.cfg.Source.Kafka.StartTimeout)
	a.seen = look.seen
	if cerr := look.Close(context.WithoutCancel(ctx)); err == nil {
		err = cerr
	}
	return err
}

// mapping is the mapper as the pipeline uses it.
func (a *app) mapping() connector.Mapper {
	if a.topics != nil {
		return newTopicMapper(a.mapper)
	}
	return a.mapper
}

func postgresConfig(pg *config.Postgres, log *slog.Logger) postgres.Config {
	return postgres.Config{
		URL: pg.URL.Reveal(), SnapshotURL: pg.SnapshotURL.Reveal(), Slot: pg.Slot, Publication: pg.Publication, Create: pg.Create,
		StartTimeout: pg.StartTimeout, FailoverSlot: pg.FailoverSlot, Heartbeat: pg.Heartbeat, Logger: log.With("component", "postgres"),
	}
}

func newSink(cfg *config.Config, log *slog.Logger) (*braze.Client, error) {
	b := &cfg.Braze
	v, _ := buildVersion()
	log = log.With("component", "braze")
	sink, err := braze.New(braze.Config{
		Endpoint: b.Endpoint, APIKey: b.APIKey.Reveal(), ObjectsPerRequest: b.ObjectsPerRequest, MaxBody: int(b.MaxBody), Timeout: b.Timeout,
		RateShare: b.RateShare, PerHour: int64(b.RatePerHour), Logger: log, UserAgent: "brazecdc/" + v, OnCall: calls(log),
	})
	if err != nil {
		return nil, &connector.StopError{Code: connector.ExitConfig, What: "the settings under braze can't be used", Err: err}
	}
	return sink, nil
}

// describe reads the present shape of the models' tables. It goes on trying for start_timeout where the database does not answer.
func describe(ctx context.Context, r connector.Reader, cfg *config.Config, log *slog.Logger) (map[string]*connector.Table, error) {
	out := map[string]*connector.Table{}
	said := false
	b := backoff.NewExponentialBackOff(backoff.WithInitialInterval(200*time.Millisecond), backoff.WithMaxInterval(3*time.Second),
		backoff.WithMaxElapsedTime(cfg.Source.Postgres.StartTimeout))
	err := backoff.RetryNotify(func() error {
		for i := range cfg.Models {
			name := cfg.Models[i].Table
			if _, ok := out[name]; ok {
				continue
			}
			t, err := r.Describe(ctx, name)
			if err != nil {
				return describeFault(err)
			}
			out[name] = t
		}
		return nil
	}, backoff.WithContext(b, ctx), func(err error, _ time.Duration) {
		if !said { // else a start says nothing until it gives up
			log.Warn("waiting for the database", "err", err, "component", "postgres", "timeout", cfg.Source.Postgres.StartTimeout.String())
			said = true
		}
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// describeFault tells a fault that waiting may mend from one that it does not.
func describeFault(err error) error {
	var stop *connector.StopError
	switch {
	case !errors.As(err, &stop):
		return &connector.StopError{
			Code: connector.ExitUnreachable, What: "the database is not reachable", Err: err,
			Fix: "is the server up, and are host, port, login and TLS of source.postgres.url right?",
		}
	case stop.Code == connector.ExitUnreachable:
		return err
	}
	return backoff.Permanent(err)
}

// compile compiles the mapping against the tables; faults of it are faults of the configuration.
func (a *app) compile() (*mapping.Mapper, error) {
	c := a.mappingConfig()
	m, faults := newMapping(c, a.cfg.Source.Kafka != nil)
	if m == nil {
		return nil, configFaults(a.cfg.Resolve(faults))
	}
	for _, f := range a.cfg.Resolve(faults) {
		a.log.Warn(f.Error())
	}
	return m, nil
}

// ownMapper makes a mapper beside the pipeline's, whose changes come in the order of the stream.
func (a *app) ownMapper() (*mapping.Mapper, error) {
	c := a.mappingConfig()
	c.Note, c.Passed, c.PassedChange = nil, nil, nil
	m, faults := newMapping(c, a.cfg.Source.Kafka != nil)
	if m == nil {
		return nil, configFaults(a.cfg.Resolve(faults))
	}
	return m, nil
}

// newMapping compiles the models. What the newest records of topics lack is no fault of the configuration, since others may have it: it becomes a warning.
func newMapping(c mapping.Config, topics bool) (*mapping.Mapper, []connector.Fault) {
	m, faults := mapping.New(c)
	if m != nil || !topics {
		return m, faults
	}
	found := faults
	c.Tables = nil
	if m, faults = mapping.New(c); m == nil {
		return nil, faults
	}
	for i := range found {
		found[i].Warn = true
	}
	return m, found
}

func (a *app) mappingConfig() mapping.Config {
	c := mapping.Config{
		Models: a.cfg.Models, Tables: a.tables, TimeZone: a.cfg.Source.Location, NeverSend: a.cfg.NeverSend, OnlyUsers: a.cfg.OnlyUsers,
		NoReread: a.cfg.Source.Kafka != nil, Logger: a.log.With("component", "mapping"),
	}
	if a.tally != nil {
		c.Note, c.Passed = a.tally.note, a.tally.passed
	}
	if a.history != nil {
		c.PassedChange = a.history.Passed
	}
	c.Types = a.types
	if a.asked != nil {
		select {
		case <-a.asked.ready: // in time for the start or not
			c.Types = a.asked.types
		default:
		}
	}
	if a.sent != nil {
		c.Sent, c.Learned = a.sent.known(), a.sent.learned
	}
	return c
}
