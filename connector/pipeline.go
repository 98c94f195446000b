package connector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Config is what a Pipeline is made of. Source, Sink, Mapper and Journal are required; zero numbers take the defaults named.
type Config struct {
	Source  Source
	Sink    Sink
	Mapper  Mapper
	Journal Journal
	Eraser  Eraser       // nil: the Journal, where it is one
	Prints  Fingerprints // nil: nothing is known of what Braze has

	OpenChanges int           // changes read and not yet done; reading waits above. 50,000
	OpenBytes   int64         // the same in bytes. 64 MiB
	Drain       time.Duration // how long a stop waits for open changes. 30 s
	UserGap     time.Duration // between two requests of one user
	Settle      time.Duration // between a delete and a new start of the same user
	Retention   time.Duration // after which quarantine entries end undelivered. 0: never
	HoldUnknown bool          // events whose outcome is unknown go to quarantine instead of being sent again
	Attempts    int           // of a row while others get through. 8
	Senders     int           // most calls of one kind at once. 0: grows to 64 as full calls wait
	LoadMark    string        // a boolean attribute that users have while a load sends them; empty: none
	Schedules   []Schedule    // when models are synced again
	// Remember names models of a Source without loads whose rows are remembered, so that rules which read the clock can be looked at again.
	Remember []string

	// Redact takes out of a row what must not be kept or shown; nil: nothing must not. It may be called concurrently.
	Redact func(Row) Row

	Log   *slog.Logger
	Watch func(Seen) // nil: nobody watches. Called by several goroutines; it must return quickly
	// Watching tells whether somebody watches at this moment, so that nothing is made for Watch else; nil: always, where there is a Watch.
	Watching func() bool
	// Ended hears of each step's end, for a history; nil: nobody keeps one. Called by several goroutines, for each row: it must not wait for anything.
	Ended func(*Ending)
	// Tracer makes traces; nil: nobody traces.
	Tracer Tracer
}

// Pipeline moves changes from its Source to its Sink: one reader maps them and puts them into the users' queues, senders take them out, one committer
// records and confirms. See doc.go for what holds.
type Pipeline struct {
	cfg     Config
	source  Source
	sink    Sink
	mapper  Mapper
	journal Journal
	log     *slog.Logger

	models   []ModelInfo
	modelAt  map[string]int
	cacheOff atomic.Bool // it failed in this run
	// cacheLost: at the start the cache covered less than the record.
	cacheLost bool
	others    bool   // models beside the owner feed the same users
	owned     bool   // a model owns its users
	eraser    Eraser // the journal, where it can forget users
	topics    bool   // the source's partitions are shared among processes, and it has no living rows
	tracker   *tracker
	queue     *queue
	ids       *idTable
	pend      *pending
	care      *care
	loads     *loadRuns
	memory    *memory // nil: no row is remembered
	metrics   *Metrics
	ends      [Kinds]*endpoint
	senders   sync.WaitGroup

	proven   []atomic.Bool                        // by model
	unproven []atomic.Pointer[map[*FieldDef]bool] // fields whose settings changed since they were proven
	planned  []atomic.Pointer[planned]            // by model, what its schedule says
	recalled []atomic.Pointer[Recalled]           // by model, of how much a schedule of a topic knows
	began    time.Time
	missed   []atomic.Bool          // by model, whether a run of its schedule left out what is back now
	told     []atomic.Int64         // by model, how much was missing when the log said so last
	replay   atomic.Pointer[Replay] // the one that is open
	replays  atomic.Uint64          // how many there were
	stopErr  atomic.Pointer[error]
	cancel   context.CancelFunc
	commit   chan struct{}
	opened   chan struct{} // closed when reading begins
	over     chan struct{} // closed behind the last record
	state    atomic.Value  // string
	since    atomic.Int64
	beats    [2]atomic.Int64 // reader, committer: last sign of life
	inNext   atomic.Bool
}

// New checks the configuration and prepares a pipeline. Nothing is opened before Run.
func New(cfg Config) (*Pipeline, error) {
	if cfg.Source == nil || cfg.Sink == nil || cfg.Mapper == nil || cfg.Journal == nil {
		return nil, errors.New("a pipeline needs a source, a sink, a mapper and a journal")
	}
	if cfg.OpenChanges <= 0 {
		cfg.OpenChanges = 50_000
	}
	if cfg.OpenBytes <= 0 {
		cfg.OpenBytes = 64 << 20
	}
	if cfg.Drain <= 0 {
		cfg.Drain = 30 * time.Second
	}
	if cfg.Attempts <= 0 {
		cfg.Attempts = 8
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	p := &Pipeline{cfg: cfg, source: cfg.Source, sink: cfg.Sink, mapper: cfg.Mapper, journal: cfg.Journal, log: cfg.Log,
		models: cfg.Mapper.Models(), modelAt: map[string]int{}, commit: make(chan struct{}, 1), opened: make(chan struct{}),
		over: make(chan struct{}), cancel: func() {}, began: time.Now()}
	for i, m := range p.models {
		p.modelAt[m.Name] = i
		placeFields(m.Fields)
		p.others = p.others || !m.Owner
		p.owned = p.owned || m.Owner
	}
	if p.eraser = cfg.Eraser; p.eraser == nil {
		p.eraser, _ = cfg.Journal.(Eraser)
	}
	p.proven = make([]atomic.Bool, len(p.models))
	p.unproven = make([]atomic.Pointer[map[*FieldDef]bool], len(p.models))
	p.planned = make([]atomic.Pointer[planned], len(p.models))
	p.recalled = make([]atomic.Pointer[Recalled], len(p.models))
	p.missed = make([]atomic.Bool, len(p.models))
	p.told = make([]atomic.Int64, len(p.models))
	p.metrics = newMetrics(p.models)
	p.tracker = newTracker(cfg.OpenChanges, cfg.OpenBytes, p.poke)
	p.queue = newQueue(p.models, cfg.UserGap)
	p.queue.settleFor, p.queue.changed = cfg.Settle, p.poke
	p.queue.coalesced = func(m int) { p.metrics.Models[m].Coalesced.Add(1) }
	p.pend = &pending{poke: p.poke}
	p.ids = newIDTable(p.models, p.cache)
	p.care = newCare(p.models)
	p.loads = newLoadRuns()
	if p.memory = newMemory(p); len(cfg.Schedules) > 0 {
		if _, ok := cfg.Source.(LoadControl); !ok {
			p.source = newRememberedRows(cfg.Source, p)
		}
	}
	most := cfg.Senders
	if most <= 0 {
		most = 64
	}
	for k := range p.ends {
		n := most
		if Kind(k) != Track {
			n = min(most, 4)
		}
		p.ends[k] = newEndpoint(Kind(k), n)
	}
	p.setState("starting")
	return p, nil
}

func (p *Pipeline) setState(s string) {
	p.state.Store(s)
	p.since.Store(time.Now().UnixNano())
}

// Opened is closed when Run has opened the source and begins to read.
func (p *Pipeline) Opened() <-chan struct{} { return p.opened }

// poke wakes the committer.
func (p *Pipeline) poke() {
	select {
	case p.commit <- struct{}{}:
	default:
	}
}

// stop ends the pipeline with an error; the first one counts.
func (p *Pipeline) stop(err error) {
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	p.stopErr.CompareAndSwap(nil, &err)
	p.cancel()
}

func (p *Pipeline) stopped() error {
	if e := p.stopErr.Load(); e != nil {
		return *e
	}
	return nil
}

// Run opens the source and works until ctx ends or something stops it. When ctx ends, reading stops, the queues drain up to the deadline, and what is
// done is recorded and confirmed. Nil means that everything read was done and confirmed.
func (p *Pipeline) Run(ctx context.Context) error {
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	p.cancel = cancel
	working, endWork := context.WithCancel(context.WithoutCancel(ctx))
	defer endWork()

	if err := p.open(reading); err != nil {
		p.setState("stopped")
		close(p.over)
		return err
	}
	p.setState("running")
	close(p.opened)
	var loops sync.WaitGroup
	loops.Go(func() { p.queue.clock(working) })
	loops.Go(func() { p.committer(working) })
	loops.Go(func() { p.settler(working) })
	loops.Go(func() { p.closer(working) })
	for i := range p.cfg.Schedules {
		loops.Go(func() { p.keepSchedule(reading, &p.cfg.Schedules[i]) })
	}
	loops.Go(func() { p.estimates(working) })
	if p.memory != nil {
		loops.Go(func() { p.countAllRemembered(working) })
	}
	for k, e := range p.ends {
		n := 1
		if Kind(k) == Track {
			n = min(4, e.max)
		}
		for range n {
			p.startSender(working, e)
		}
	}
	if err := p.read(reading, func() { p.growIfShort(working) }); err != nil {
		p.stop(err)
	}
	cancel()
	p.setState("draining")
	drained := p.drain(working)
	p.queue.close()
	endWork()
	p.senders.Wait()
	loops.Wait()
	err := p.finish(context.WithoutCancel(ctx), drained)
	p.setState("stopped")
	return err
}

// drain waits until nothing is open, or for the deadline; a stop by an error does not wait.
func (p *Pipeline) drain(ctx context.Context) bool {
	if p.stopped() != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Drain)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if p.tracker.idle() && p.pend.empty() {
			return true
		}
		select {
		case <-tick.C:
			if p.stopped() != nil {
				return false
			}
		case <-ctx.Done():
			return false
		}
	}
}

// finish makes the last record, confirms it, and closes the source.
func (p *Pipeline) finish(ctx context.Context, drained bool) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	stop := p.stopped()
	if err := p.record(ctx, drained); err != nil && stop == nil {
		stop = err
	}
	close(p.over)
	for _, run := range p.loads.all() {
		run.close()
	}
	if err := p.source.Close(ctx); err != nil {
		p.log.Warn("close source", "err", err)
	}
	if stop != nil {
		return stop
	}
	if !drained {
		open, _, _, _ := p.tracker.state()
		return &StopError{Code: ExitDeadline, What: fmt.Sprintf("stopped with %s not yet accepted by Braze, for the next start to bring again", plural(open, "change")),
			Fix: "nothing, or raise limits.drain"}
	}
	return nil
}

// Quiet waits until every change read so far is done and recorded, and nobody waits to be sent except users that settle after a delete.
func (p *Pipeline) Quiet(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if p.tracker.idle() && p.pend.empty() {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
