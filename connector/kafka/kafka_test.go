package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"brazecdc/connector"
	"brazecdc/connector/sourcetest"
)

// within bounds everything that must happen soon.
const within = 20 * time.Second

// bed is a cluster in memory with a producer.
type bed struct {
	t       testing.TB
	cluster *kfake.Cluster
	brokers []string
	cl      *kgo.Client
	adm     *kadm.Client
}

func newBed(t testing.TB, opts ...kfake.Opt) *bed {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"})}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	b := &bed{t: t, cluster: c, brokers: c.ListenAddrs()}
	b.cl, err = kgo.NewClient(kgo.SeedBrokers(b.brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(50*time.Millisecond),
		kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.cl.Close)
	b.adm = kadm.NewClient(b.cl)
	return b
}

func (b *bed) topic(name string, parts int32) {
	b.t.Helper()
	if err := b.cluster.CreateTopic(name, parts, nil); err != nil {
		b.t.Fatal(err)
	}
}

// write produces values "p:i" for i in [from, from+n) to a partition, each with the key of its number.
func (b *bed) write(topic string, part int32, from, n int) {
	b.t.Helper()
	var recs []*kgo.Record
	for i := from; i < from+n; i++ {
		recs = append(recs, &kgo.Record{Topic: topic, Partition: part, Key: fmt.Append(nil, i), Value: fmt.Appendf(nil, "%d:%d", part, i)})
	}
	b.produce(recs...)
}

func (b *bed) produce(recs ...*kgo.Record) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	if err := b.cl.ProduceSync(ctx, recs...).FirstErr(); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bed) committed(group, topic string, part int32) (kfake.GroupCommit, bool) {
	g := b.cluster.GroupInfo(group)
	if g == nil {
		return kfake.GroupCommit{}, false
	}
	c, ok := g.Commits[topic][part]
	return c, ok
}

// rows is the shape of what the tests' decoder makes of a record.
func rows(topic string) *connector.Table {
	text := func(raw string) (connector.Value, error) {
		return connector.Value{Kind: connector.KindText, Str: raw}, nil
	}
	return &connector.Table{Name: topic, Rows: -1, Unique: [][]int{{0}}, Columns: []connector.Column{
		{Name: "id", Kind: connector.KindText, Key: true, Decode: text}, {Name: "v", Kind: connector.KindText, Decode: text}}}
}

// decoder decodes a record's key as id and its value as v. A tombstone is skipped, "bad" is poison, "wait" waits until down is false.
type decoder struct {
	mu     sync.Mutex
	tables map[string]*connector.Table
	down   atomic.Bool
	asked  atomic.Int64
}

func (d *decoder) decode(_ context.Context, r *Record) ([]connector.Change, string, error) {
	d.asked.Add(1)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tables == nil {
		d.tables = map[string]*connector.Table{}
	}
	t := d.tables[r.Topic]
	if t == nil {
		t = rows(r.Topic)
		d.tables[r.Topic] = t
	}
	switch {
	case r.Value == nil:
		return nil, "tombstone", nil
	case string(r.Value) == "bad":
		return nil, "", &PoisonError{Reason: "it is bad"}
	case string(r.Value) == "fatal":
		return nil, "", errors.New("the decoder broke")
	case string(r.Value) == "wait" && d.down.Load():
		return nil, "", &WaitError{Err: errors.New("the registry is down")}
	}
	row := connector.Row{Table: t, Cells: []connector.Cell{{State: connector.Set, Raw: string(r.Key)}, {State: connector.Set, Raw: string(r.Value)}}}
	return []connector.Change{{Key: connector.Key{Table: r.Topic, ID: string(r.Key)}, Op: connector.Insert, After: row}}, "", nil
}

func quiet() *slog.Logger {
	if os.Getenv("KAFKA_TEST_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(slog.NewTextHandler(io.Discard, nil))
}

func (b *bed) config(topics ...string) Config {
	d := &decoder{}
	return Config{Brokers: b.brokers, Group: "g", Topics: topics, Decode: d.decode, Logger: quiet(), CommitEvery: 50 * time.Millisecond,
		MetadataEvery: 200 * time.Millisecond, Drain: 2 * time.Second, StartTimeout: 5 * time.Second, SessionTimeout: 6 * time.Second,
		Quarantine: func(context.Context, Poison) error { return nil }}
}

// member reads a source as the pipeline does, and remembers what came.
type member struct {
	t        testing.TB
	src      *Source
	opened   connector.Opened
	cancel   context.CancelFunc
	ended    chan struct{}
	mu       sync.Mutex
	cond     chan struct{}
	batches  []connector.Batch
	values   []string
	recorded map[string]connector.Recorded
	hold     bool // commit nothing by itself
	err      error
	closed   bool
}

func start(t testing.TB, cfg Config, recorded map[string]connector.Recorded, hold bool) *member {
	t.Helper()
	m, err := tryStart(t, cfg, recorded, hold)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return m
}

func tryStart(t testing.TB, cfg Config, rec map[string]connector.Recorded, hold bool) (*member, error) {
	t.Helper()
	src, err := New(cfg)
	if err != nil {
		return nil, err
	}
	m := &member{t: t, src: src, ended: make(chan struct{}), cond: make(chan struct{}), recorded: maps.Clone(rec), hold: hold}
	if m.recorded == nil {
		m.recorded = map[string]connector.Recorded{}
	}
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	if m.opened, err = src.Open(ctx, connector.Start{Recorded: slices.Collect(maps.Values(m.recorded))}); err != nil {
		_ = src.Close(ctx)
		return nil, err
	}
	run, stop := context.WithCancel(context.Background())
	m.cancel = stop
	go m.run(run)
	t.Cleanup(m.close)
	return m, nil
}

func (m *member) run(ctx context.Context) {
	defer close(m.ended)
	for {
		b, err := m.src.Next(ctx)
		m.mu.Lock()
		if err != nil {
			if ctx.Err() == nil {
				m.err = err
			}
			m.wake()
			m.mu.Unlock()
			return
		}
		m.batches = append(m.batches, b)
		for _, c := range b.Changes {
			m.values = append(m.values, c.After.Cells[1].Raw)
		}
		commit := !m.hold
		if commit {
			m.recorded[b.Position.Stream] = connector.Recorded{Position: b.Position, Memo: b.Memo}
		}
		m.wake()
		m.mu.Unlock()
		if commit {
			m.src.Commit(b.Position)
		}
	}
}

func (m *member) wake() {
	close(m.cond)
	m.cond = make(chan struct{})
}

// until waits for a condition on what came.
func (m *member) until(what string, ok func() bool) {
	m.t.Helper()
	deadline := time.After(within)
	for {
		m.mu.Lock()
		done, cond := ok(), m.cond
		n, err := len(m.values), m.err
		m.mu.Unlock()
		if done {
			return
		}
		select {
		case <-cond:
		case <-deadline:
			m.t.Fatalf("%s did not come; %d values came, error %v, health %+v", what, n, err, m.src.Health())
		}
	}
}

func (m *member) wait(n int) []string {
	m.t.Helper()
	m.until(fmt.Sprintf("%d values", n), func() bool { return len(m.values) >= n })
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.values)
}

func (m *member) fails() error {
	m.t.Helper()
	m.until("the stop", func() bool { return m.err != nil })
	return m.err
}

func (m *member) positions() map[string]connector.Recorded {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.recorded)
}

// pause stops reading, as when Braze is down; close goes on from there.
func (m *member) stopReading() {
	m.cancel()
	<-m.ended
}

func (m *member) close() {
	if m.closed {
		return
	}
	m.closed = true
	m.stopReading()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	if err := m.src.Close(ctx); err != nil {
		m.t.Errorf("close: %v", err)
	}
}

// kill ends a member as kill -9 does: nothing is committed, nothing said to the group.
func (m *member) kill() {
	m.closed = true
	m.stopReading()
	for _, a := range m.src.all() {
		a.retire(ended)
	}
	m.src.cancel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = m.src.group.LeaveGroupContext(ctx)
	m.src.group.Close()
	m.src.wg.Wait()
	m.src.admin.Close()
}

// eventually polls a condition that nobody announces.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	if !sourcetest.Poll(within, 5*time.Millisecond, ok) {
		t.Fatalf("%s: not within %s", what, within)
	}
}

// stops checks that err is a stop with a code whose text holds all words.
func stops(t testing.TB, err error, code int, words ...string) {
	t.Helper()
	var s *connector.StopError
	if !errors.As(err, &s) || s.Code != code {
		t.Fatalf("got %v, want a stop with code %d", err, code)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the text lacks %q: %v", w, err)
		}
	}
}

func unique(values []string) []string {
	v := slices.Clone(values)
	slices.SortFunc(v, cmp.Compare[string])
	return slices.Compact(v)
}
