package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"brazecdc/connector"
)

// Source is a connector.Source over the topics of a consumer group.
type Source struct {
	cfg   Config
	log   *slog.Logger
	opts  []kgo.Opt
	match *regexp.Regexp // of Config.Pattern; nil without
	admin *kgo.Client    // for questions and for reading outside the group; it never joins
	adm   *kadm.Client
	group *kgo.Client

	out chan item

	mu       sync.Mutex
	assigned map[partition]*assignment
	streams  map[string]*assignment // those whose commits still count
	recorded map[partition]recorded
	count    uint64              // of assignments, over all runs that share data/
	atOpen   map[string]int32    // the topics, and their partitions, that existed at Open
	ids      map[string][16]byte // of the topics as they were first seen
	missing  map[string]bool     // topics that the broker says are gone
	polling  context.CancelFunc  // ends the poll under way
	round    chan struct{}       // closed when the reader comes round

	room   chan struct{}
	ready  chan struct{} // closed when group is set: its callbacks may come before
	health health

	ctx    context.Context // of the goroutines; it ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup
	failed chan struct{}
	once   sync.Once
	err    error
	closed sync.Once
}

// recorded is what data/ holds of a partition.
type recorded struct {
	known
	stream string
	n      uint64
}

// item is a batch on its way to Next.
type item struct {
	a     *assignment
	batch connector.Batch
	bytes int64
}

var _ connector.Source = (*Source)(nil)

// New makes a Source without connecting. An error is a fault of cfg.
func New(cfg Config) (*Source, error) {
	cfg = cfg.withDefaults()
	fault := func(err error) error {
		return &connector.StopError{Code: connector.ExitConfig, What: "source.kafka", Err: err}
	}
	if err := cfg.validate(); err != nil {
		return nil, fault(err)
	}
	opts, err := cfg.options()
	if err != nil {
		return nil, fault(err)
	}
	s := &Source{cfg: cfg, log: cfg.Logger, opts: opts, out: make(chan item), failed: make(chan struct{}), room: make(chan struct{}, 1), ready: make(chan struct{}),
		assigned: map[partition]*assignment{}, streams: map[string]*assignment{}, recorded: map[partition]recorded{},
		ids: map[string][16]byte{}, missing: map[string]bool{}}
	// Questions are answered from a cache of this age: topics that were just made must not be missing.
	if s.admin, err = kgo.NewClient(append(slices.Clone(opts), kgo.MetadataMinAge(100*time.Millisecond))...); err != nil {
		return nil, fault(err)
	}
	if cfg.Pattern != "" {
		s.match = regexp.MustCompile(cfg.Pattern) // validate has tried it
	}
	s.adm = kadm.NewClient(s.admin)
	s.adm.SetTimeoutMillis(10_000)
	return s, nil
}

// Next implements connector.Source.
func (s *Source) Next(ctx context.Context) (connector.Batch, error) {
	for {
		if err := ctx.Err(); err != nil {
			return connector.Batch{}, err
		}
		select {
		case it := <-s.out:
			s.left(it.a, it.bytes)
			if !it.a.hand(int64(it.batch.Position.Offset)) {
				continue // revoked on the way here: its next owner reads it
			}
			s.health.gave(it.batch.Changes)
			return it.batch, nil
		case <-ctx.Done():
			return connector.Batch{}, ctx.Err()
		case <-s.failed:
			return connector.Batch{}, s.err
		}
	}
}

// left says that bytes left the buffer, so that the reader may go on.
func (s *Source) left(a *assignment, n int64) {
	a.release(n)
	select {
	case s.room <- struct{}{}:
	default:
	}
}

// Commit implements connector.Source. The offset goes to the group within Config.CommitEvery. Positions of an assignment that ended are ignored.
func (s *Source) Commit(p connector.Position) {
	s.mu.Lock()
	a := s.streams[p.Stream]
	s.mu.Unlock()
	if a == nil || p.Offset > 1<<62 {
		return
	}
	a.ack(int64(p.Offset))
}

// StartLoad implements connector.Source; it gives ErrNoLoads. What a topic holds is loaded by a partition's first assignment.
func (s *Source) StartLoad(context.Context, connector.Load) error { return ErrNoLoads }

// Rows implements connector.Reader; it gives ErrNotReadable.
func (s *Source) Rows(context.Context, connector.Query) ([]connector.Row, error) {
	return nil, ErrNotReadable
}

// fail ends the source: Next gives err from now on.
func (s *Source) fail(err error) {
	s.once.Do(func() {
		s.health.connected(false, err.Error())
		s.err = err
		close(s.failed)
	})
}

// Close implements connector.Source: it commits what the pipeline committed, leaves the group, and ends all connections. It may be called more than
// once, and without Open.
func (s *Source) Close(ctx context.Context) error {
	var err error
	s.closed.Do(func() { err = s.close(ctx) })
	return err
}

func (s *Source) close(ctx context.Context) error {
	defer s.admin.Close()
	if s.group == nil {
		return nil
	}
	list := s.all()
	err := s.commit(ctx, list)
	s.mu.Lock()
	clear(s.assigned) // leaving the group revokes nothing: the pipeline has ended
	clear(s.streams)
	s.mu.Unlock()
	for _, a := range list {
		a.retire(ended)
	}
	s.cancel()
	left := make(chan struct{})
	go func() {
		defer close(left)
		leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if lerr := s.group.LeaveGroupContext(leave); lerr != nil && !errors.Is(lerr, kgo.ErrClientClosed) {
			s.log.Warn("leave the consumer group; its other members take over after the session timeout", "group", s.cfg.Group, "err", lerr)
		}
		s.group.Close()
		s.wg.Wait()
	}()
	select {
	case <-left:
	case <-ctx.Done():
		return fmt.Errorf("close the consumer of group %q: %w", s.cfg.Group, ctx.Err())
	}
	if err != nil && !errors.Is(err, kerr.UnknownTopicID) { // a topic that is gone takes its offsets along
		return fmt.Errorf("commit the last offsets of group %q: %w", s.cfg.Group, err)
	}
	return nil
}

// all gives the assignments whose commits count.
func (s *Source) all() []*assignment {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*assignment
	for _, a := range s.streams {
		list = append(list, a)
	}
	return list
}
