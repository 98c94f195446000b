package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/jackc/pgx/v5/pgconn"

	"brazecdc/connector"
)

// Config is what a Source needs. Zero members take the defaults named here.
type Config struct {
	// URL is a connection string as libpq takes it, of the server that holds the slot.
	URL string
	// SnapshotURL is where loads and look-ups read; default URL. It may be a physical replica.
	SnapshotURL string
	// Slot and Publication are names; default brazecdc.
	Slot, Publication string
	// Create allows to create a missing slot and publication, and to add tables to the publication.
	Create bool
	// StartTimeout is how long Open goes on trying to reach the server; default 60 s.
	StartTimeout time.Duration
	// FailoverSlot makes a new slot one that standbys copy: "auto" (default: on version 17 and later), "yes" or "no".
	FailoverSlot string
	// Heartbeat is how often a message is written to the log so that idle tables do not hold it; default 30 s, negative: never.
	Heartbeat time.Duration
	// StatusInterval is how often the server is told our positions at least, and asked for a sign of life; default 10 s.
	StatusInterval time.Duration
	// ChunkRows is how many rows a chunk of a load has at most; default 5000.
	ChunkRows int
	// NoWait ends Open with connector.ExitSlotInUse when another process uses the slot; else it waits.
	NoWait bool
	// Logger gets one line per start, reconnect and stop, and no values of rows; default slog.Default().
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.SnapshotURL == "" {
		c.SnapshotURL = c.URL
	}
	if c.Slot == "" {
		c.Slot = "brazecdc"
	}
	if c.Publication == "" {
		c.Publication = "brazecdc"
	}
	if c.StartTimeout == 0 {
		c.StartTimeout = time.Minute
	}
	if c.FailoverSlot == "" {
		c.FailoverSlot = "auto"
	}
	if c.Heartbeat == 0 {
		c.Heartbeat = 30 * time.Second
	}
	if c.StatusInterval == 0 {
		c.StatusInterval = 10 * time.Second
	}
	if c.ChunkRows == 0 {
		c.ChunkRows = 5000
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

func (c Config) validate() error {
	if len(c.Slot) > 63 || !slotName.MatchString(c.Slot) {
		return fmt.Errorf("slot name %q: only lower-case letters, digits and _ are possible, at most 63", c.Slot)
	}
	if c.ChunkRows < 0 || c.StatusInterval < 0 || c.StartTimeout < 0 {
		return errors.New("chunk rows, status interval and start timeout cannot be negative")
	}
	switch c.FailoverSlot {
	case "auto", "yes", "no", "true", "false":
		return nil
	}
	return fmt.Errorf("failover_slot %q is none of auto, yes, no", c.FailoverSlot)
}

// Source is a connector.Source over one replication slot. Its Stream is "slot/NAME".
type Source struct {
	cfg    Config
	log    *slog.Logger
	stream string
	main   *pool // the server with the slot: catalog, marks, heartbeat
	read   *pool // loads and look-ups
	repl   *pgconn.Config

	tables *tables
	seen   *delivered
	loads  *loads

	out       chan connector.Batch
	committed atomic.Uint64 // what the pipeline recorded and committed
	received  atomic.Uint64 // what the server sent
	wake      chan struct{} // the committed position moved
	skipped   atomic.Uint64
	others    atomic.Uint64
	prune     chan struct{} // many delivered transactions wait to be seen visible
	wire      atomic.Pointer[wire]

	// What follows is written by Open, then by the owner goroutine only.
	memo     memo
	walStart uint64 // the log's end at Open: what committed before may have been sent by an earlier run
	fresh    bool
	done     progress

	health health
	cancel context.CancelFunc
	spawn  func(func(context.Context)) // runs a goroutine of the source
	wg     sync.WaitGroup
	failed chan struct{} // closed after err was set
	once   sync.Once
	err    error
}

var _ connector.Source = (*Source)(nil)

// New makes a Source without connecting. An error is a fault of cfg.
func New(cfg Config) (*Source, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, &connector.StopError{Code: connector.ExitConfig, What: "source.postgres", Err: err}
	}
	s := &Source{cfg: cfg, log: cfg.Logger, stream: "slot/" + cfg.Slot, out: make(chan connector.Batch, 1), wake: make(chan struct{}, 1), prune: make(chan struct{}, 1),
		failed: make(chan struct{}), seen: &delivered{}}
	s.tables = newTables(cfg.Publication)
	s.health.h = connector.SourceHealth{LagBytes: -1, RetainedBytes: -1, SafeBytes: -1}
	s.loads = newLoads(s)
	if err := s.pools(); err != nil {
		return nil, &connector.StopError{Code: connector.ExitConfig, What: "source.postgres.url", Err: err}
	}
	return s, nil
}

// pools prepares the connections' settings.
func (s *Source) pools() error {
	main, err := settings(s.cfg.URL)
	if err != nil {
		return err
	}
	// Marks and heartbeats must not wait for a synchronous standby.
	main.RuntimeParams["synchronous_commit"] = "local"
	read, err := settings(s.cfg.SnapshotURL)
	if err != nil {
		return err
	}
	read.RuntimeParams["statement_timeout"] = "5min"
	repl, err := settings(s.cfg.URL)
	if err != nil {
		return err
	}
	repl.RuntimeParams["replication"] = "database"
	repl.RuntimeParams["wal_sender_timeout"] = fmt.Sprintf("%dms", max(time.Minute, 6*s.cfg.StatusInterval).Milliseconds())
	s.main, s.read, s.repl = newPool(main, 2), newPool(read, 2), repl
	return nil
}

// Open implements connector.Source. Its errors are *connector.StopError, except that of ctx.
func (s *Source) Open(ctx context.Context, start connector.Start) (connector.Opened, error) {
	o, err := s.open(ctx, start)
	if err != nil {
		if s.cancel != nil {
			s.cancel()
		}
		s.main.close(ctx)
		s.read.close(ctx)
	}
	return o, err
}

func (s *Source) open(ctx context.Context, start connector.Start) (connector.Opened, error) {
	g := &starter{s: s, start: start}
	w, err := g.run(ctx)
	if err != nil {
		return connector.Opened{}, err
	}
	var run context.Context
	run, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.spawn = func(fn func(context.Context)) { s.wg.Go(func() { fn(run) }) }
	for _, l := range start.Loads {
		if err := s.StartLoad(run, l); err != nil {
			w.close()
			return connector.Opened{}, err
		}
	}
	s.health.connected(true, "")
	s.log.Info("replication started", "stream", s.stream, "offset", lsn(s.done.pos), "note", g.opened.Note)
	s.spawn(func(ctx context.Context) { s.own(ctx, w) })
	s.spawn(s.watch)
	return g.opened, nil
}

// Next implements connector.Source.
func (s *Source) Next(ctx context.Context) (connector.Batch, error) {
	select {
	case b := <-s.out:
		return b, nil
	default:
	}
	select {
	case b := <-s.out:
		return b, nil
	case <-ctx.Done():
		return connector.Batch{}, ctx.Err()
	case <-s.failed:
		return connector.Batch{}, s.err
	}
}

// Commit implements connector.Source.
func (s *Source) Commit(p connector.Position) {
	if p.Stream != s.stream {
		s.loads.committed(p) // a chunk: its progress is in the record, nothing of it is told to the server
		return
	}
	for {
		old := s.committed.Load()
		if p.Offset <= old {
			return
		}
		if s.committed.CompareAndSwap(old, p.Offset) {
			break
		}
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Health implements connector.Source.
func (s *Source) Health() connector.SourceHealth {
	h := s.health.get()
	h.Skipped = s.skipped.Load()
	return h
}

// Skipped counts changes the server sent again after a reconnect, which were not handed out a second time.
func (s *Source) Skipped() uint64 { return s.skipped.Load() }

// Others counts changes of tables that the publication sends and no model reads.
func (s *Source) Others() uint64 { return s.others.Load() }

// Close implements connector.Source. It may be called more than once, and without Open.
func (s *Source) Close(ctx context.Context) error {
	if s.cancel != nil {
		s.cancel()
	}
	ended := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		return fmt.Errorf("close the replication connection: %w", ctx.Err())
	}
	s.main.close(ctx)
	s.read.close(ctx)
	return nil
}

// fail ends the source: Next gives err once what was handed over before is taken.
func (s *Source) fail(err error) {
	s.health.connected(false, err.Error())
	s.once.Do(func() {
		s.err = err
		close(s.failed)
	})
}

// own is the goroutine that owns the replication connection: it reads until the connection breaks, and connects again.
func (s *Source) own(ctx context.Context, w *wire) {
	fruitless := 0
	for {
		before := s.done
		err := s.readStream(ctx, w)
		if ctx.Err() != nil {
			return
		}
		if fruitless++; s.done != before {
			fruitless = 0
		}
		var stop *connector.StopError
		if errors.As(s.explain(err, nil), &stop) && !passing(stop) {
			s.fail(stop)
			return
		}
		why := endOf(w, err)
		s.health.connected(false, err.Error())
		s.log.Warn("replication connection lost; connecting again", "stream", s.stream, "offset", lsn(s.done.pos), "reason", why, "err", err)
		s.loads.restart()
		// A stream that breaks again and again at the same place must not be a hot loop.
		if fruitless > 1 {
			select {
			case <-time.After(min(time.Second<<min(fruitless, 5), maxReconnect)):
			case <-ctx.Done():
				return
			}
		}
		if w, err = s.reconnect(ctx); err != nil {
			if ctx.Err() == nil {
				s.fail(err)
			}
			return
		}
		s.health.reconnected(why)
		s.log.Info("replication goes on", "stream", s.stream, "offset", lsn(s.done.pos))
	}
}

// maxReconnect is the longest pause between two attempts to connect again.
const maxReconnect = 15 * time.Second

// reconnect tries until it succeeds, ctx ends, or the fault is one that trying does not mend.
func (s *Source) reconnect(ctx context.Context) (*wire, error) {
	b := backoff.NewExponentialBackOff(backoff.WithInitialInterval(200*time.Millisecond), backoff.WithMaxInterval(maxReconnect), backoff.WithMaxElapsedTime(0))
	var w *wire
	err := backoff.Retry(func() error {
		var err error
		w, err = s.attach(ctx, s.done.pos)
		var stop *connector.StopError
		if errors.As(err, &stop) && !passing(stop) {
			return backoff.Permanent(err)
		}
		if err != nil {
			s.health.connected(false, err.Error())
		}
		return err
	}, backoff.WithContext(b, ctx))
	return w, err
}

// passing tells whether waiting may mend a fault.
func passing(e *connector.StopError) bool {
	return e.Code == connector.ExitUnreachable || e.Code == connector.ExitSlotInUse
}

// readStream reads one connection to its end, with a writer of status updates beside it, and always closes it.
func (s *Source) readStream(ctx context.Context, w *wire) error {
	stopWriter := make(chan struct{})
	var writer sync.WaitGroup
	st := newStream(s, w)
	s.wire.Store(w)
	writer.Go(func() { s.writeStatus(w, st.ask, stopWriter) })
	interrupt := context.AfterFunc(ctx, func() { _ = w.conn.SetReadDeadline(time.Now()) })
	err := st.run(ctx)
	interrupt()
	close(stopWriter)
	writer.Wait()
	if ctx.Err() != nil {
		s.goodbye(w)
	}
	w.close()
	return err
}

// silentIntervals is for how many status intervals, each with a request to reply, a server may say nothing: before version 16 a walsender is
// silent while it decodes a large transaction of tables that are not published.
const silentIntervals = 6

// patience is how long a server may say nothing where an answer is due.
func (s *Source) patience() time.Duration {
	return max(silentIntervals*s.cfg.StatusInterval, 3*time.Second)
}

// minStatusGap keeps a busy pipeline's commits from becoming a status update each.
const minStatusGap = 50 * time.Millisecond

// writeStatus is the only writer of a replication connection: by its own timer, when the committed position moved, and at once when the
// server asked. It runs however long the reader is held back.
func (s *Source) writeStatus(w *wire, ask <-chan struct{}, stop <-chan struct{}) {
	tick := time.NewTicker(s.cfg.StatusInterval)
	defer tick.Stop()
	var gap <-chan time.Time
	var last time.Time
	for {
		reply := false
		select {
		case <-stop:
			return
		case <-ask:
		case <-tick.C:
			reply = true
		case <-gap:
			gap = nil
		case <-s.wake:
			if gap != nil {
				continue
			}
			if since := time.Since(last); since < minStatusGap {
				gap = time.After(minStatusGap - since)
				continue
			}
		}
		now := time.Now()
		if w.silent(now) > s.patience() {
			s.log.Warn("the server gave no sign of life; closing the connection", "stream", s.stream, "duration_ms", w.silent(now).Milliseconds())
			w.gaveUp.Store(true)
			w.close()
			return
		}
		if err := s.sendStatus(w, now, reply); err != nil {
			s.log.Warn("send a status update", "stream", s.stream, "err", err)
			w.close()
			return
		}
		last = now
	}
}

func (s *Source) sendStatus(w *wire, now time.Time, reply bool) error {
	msg, err := statusUpdate(s.received.Load(), s.committed.Load(), now, reply)
	if err != nil {
		return err
	}
	return w.send(msg)
}

// goodbye sends the last committed position and ends the stream in good order, so that the server has taken it when Close returns.
func (s *Source) goodbye(w *wire) {
	if s.sendStatus(w, time.Now(), false) != nil || w.send(copyDone()) != nil {
		return
	}
	if w.conn.SetReadDeadline(time.Now().Add(3*time.Second)) != nil {
		return
	}
	for {
		kind, _, err := w.next()
		if err != nil || kind == 'Z' || kind == 'E' {
			_ = w.send([]byte{'X', 0, 0, 0, 4}) // the connection ends either way
			return
		}
	}
}
