package connector_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/mapping"
	"brazecdc/connector/state"
)

// visitors is a topic whose rules read the clock.
var visitors = &connector.Table{Name: "visitors", Columns: []connector.Column{
	{Name: "id", Kind: connector.KindText, Key: true, Decode: text},
	{Name: "plan", Kind: connector.KindText, Decode: text},
	{Name: "seen", Kind: connector.KindTimestampTZ, Decode: func(raw string) (connector.Value, error) {
		n, err := strconv.ParseInt(raw, 10, 64)
		return connector.Value{Kind: connector.KindTimestampTZ, Int: n}, err
	}},
}, Unique: [][]int{{0}}}

// visits is a topic beside it, with the same columns.
var visits = &connector.Table{Name: "visits", Columns: visitors.Columns, Unique: visitors.Unique}

func text(raw string) (connector.Value, error) {
	return connector.Value{Kind: connector.KindText, Str: raw}, nil
}

func visitor(id, plan string, seen time.Time) connector.Row {
	cells := []connector.Cell{{State: connector.Set, Raw: id}, {State: connector.Set, Raw: plan}, {State: connector.Null}}
	if !seen.IsZero() {
		cells[2] = connector.Cell{State: connector.Set, Raw: strconv.FormatInt(seen.UnixMicro(), 10)}
	}
	return connector.Row{Table: visitors, Cells: cells}
}

// partitions is a source that hands out what a test feeds it, as topics do: it has no loads and no living rows.
type partitions struct {
	feed chan connector.Batch
	mu   sync.Mutex
	last map[string]uint64 // committed
}

func (s *partitions) Open(context.Context, connector.Start) (connector.Opened, error) {
	return connector.Opened{Shared: true}, nil
}

func (s *partitions) Next(ctx context.Context) (connector.Batch, error) {
	select {
	case b := <-s.feed:
		return b, nil
	case <-ctx.Done():
		return connector.Batch{}, ctx.Err()
	}
}

func (s *partitions) Commit(p connector.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last[p.Stream] = p.Offset
}

func (s *partitions) StartLoad(context.Context, connector.Load) error { return connector.ErrNoLoads }
func (s *partitions) Health() connector.SourceHealth                  { return connector.SourceHealth{Connected: true} }
func (s *partitions) Close(context.Context) error                     { return nil }
func (s *partitions) Rows(context.Context, connector.Query) ([]connector.Row, error) {
	return nil, connector.ErrNotReadable
}
func (s *partitions) Describe(context.Context, string) (*connector.Table, error) {
	return nil, connector.ErrNotReadable
}

// profileSink is a Sink that keeps what it was sent.
type profileSink struct {
	mu    sync.Mutex
	of    map[string]map[string]string
	sent  []string // one line an object
	delay time.Duration
	// refuse is a user whom Braze will not have.
	refuse string
}

func (s *profileSink) Limits(connector.Kind) connector.Limits {
	return connector.Limits{Objects: 75, Bytes: 1 << 20}
}
func (s *profileSink) Wait(ctx context.Context, _ connector.Kind) error { return ctx.Err() }
func (s *profileSink) Size(*connector.Effect) int                       { return 100 }
func (s *profileSink) Health() connector.SinkHealth                     { return connector.SinkHealth{} }
func (s *profileSink) Gone(_ context.Context, users []connector.User) ([]connector.User, error) {
	return users, nil
}

func (s *profileSink) Send(ctx context.Context, k connector.Kind, batch []connector.Effect) error {
	s.mu.Lock()
	delay := s.delay
	s.mu.Unlock()
	time.Sleep(delay)
	s.mu.Lock()
	defer s.mu.Unlock()
	var refused []connector.Rejection
	for i := range batch {
		e := &batch[i]
		if e.User.ID == s.refuse {
			refused = append(refused, connector.Rejection{Index: i, Reason: "no"})
			continue
		}
		line := fmt.Sprintf("%s %s", k, e.User.ID)
		if e.UpdateOnly {
			line += " update-only"
		}
		for _, f := range e.Fields {
			line += fmt.Sprintf(" %s=%s", f.Def.Name, f.JSON)
		}
		s.sent = append(s.sent, line)
		if k == connector.DeleteUser {
			delete(s.of, e.User.ID)
			continue
		}
		if s.of[e.User.ID] == nil {
			if e.UpdateOnly {
				continue
			}
			s.of[e.User.ID] = map[string]string{}
		}
		for _, f := range e.Fields {
			s.of[e.User.ID][f.Def.Name] = string(f.JSON)
		}
	}
	if refused != nil {
		return &connector.RejectedError{Items: refused}
	}
	return ctx.Err()
}

// slow makes calls take their time.
func (s *profileSink) slow(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay = d
}

// took gives what was sent since the last call, sorted.
func (s *profileSink) took() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.sent
	s.sent = nil
	slices.Sort(out)
	return out
}

func (s *profileSink) has(user, field string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.of[user][field]
}

// topicRig runs a pipeline over partitions inside a bubble of virtual time.
type topicRig struct {
	t      *testing.T
	dir    string
	models []connector.Model
	only   []string
	never  []string
	sink   *profileSink
	src    *partitions
	p      *connector.Pipeline
	cache  *state.Cache
	data   *state.Data
	cancel context.CancelFunc
	ended  chan error
	offset map[string]uint64 // by partition
	stream map[string]string // by partition
	count  int               // of assignments
	log    lockedBuffer
}

// lately is how long a visit counts. It is short, since a pipeline looks at its clock every second.
const lately = 12 * time.Hour

func visitorModel(change func(*connector.Model)) connector.Model {
	m := connector.Model{Name: "visitors", Kind: "users", Topic: "visitors", Mode: "sync", Load: "all", OwnsUsers: true, Path: "models[0]",
		Identify:  connector.Identify{ExternalID: connector.ValueFrom{Column: "id"}},
		Custom:    []connector.FieldMap{{Name: "plan", ValueFrom: connector.ValueFrom{Column: "plan"}, Path: "models[0].custom.plan"}},
		Audiences: []connector.AudienceMap{{Attribute: "active", When: `seen > now() - duration("12h")`, Path: "models[0].audiences[0]"}},
		Schedule:  &connector.ScheduleMap{Cron: "0 * * * *", Zone: "UTC", Resync: "differences", Path: "models[0].schedule"}}
	if change != nil {
		change(&m)
	}
	return m
}

func newTopicRig(t *testing.T, models ...connector.Model) *topicRig {
	r := &topicRig{t: t, dir: t.TempDir(), models: models, sink: &profileSink{of: map[string]map[string]string{}}, offset: map[string]uint64{}, stream: map[string]string{}}
	t.Cleanup(func() {
		if r.cancel != nil {
			r.cancel()
			_ = errors.Join(<-r.ended, r.cache.Close(), r.data.Close())
		}
		if t.Failed() {
			t.Log(r.log.String())
		}
	})
	return r
}

func hourly(after time.Time) time.Time { return after.Truncate(time.Hour).Add(time.Hour) }

func (r *topicRig) start(parts ...string) {
	r.t.Helper()
	log := slog.New(slog.NewTextHandler(io.Writer(&r.log), nil))
	var err error
	if r.data, err = state.OpenData(filepath.Join(r.dir, "data"), state.DataConfig{Workspace: "rig", Endpoint: "https://rig", Logger: log}); err != nil {
		r.t.Fatal(err)
	}
	if r.cache, err = state.OpenCache(filepath.Join(r.dir, "cache"), state.CacheConfig{Workspace: "rig", Endpoint: "https://rig", Logger: log}); err != nil {
		r.t.Fatal(err)
	}
	mapper, faults := mapping.New(mapping.Config{Models: r.models, Tables: map[string]*connector.Table{"visitors": visitors, "visits": visits}, NoReread: true, Logger: log, OnlyUsers: r.only, NeverSend: r.never})
	if mapper == nil {
		r.t.Fatal(faults)
	}
	r.src = &partitions{feed: make(chan connector.Batch), last: map[string]uint64{}}
	cfg := connector.Config{Source: r.src, Sink: r.sink, Mapper: asTopic{mapper, mapper}, Journal: r.data, Prints: r.cache, UserGap: 20 * time.Millisecond, Settle: 10 * time.Second, Log: log, Senders: 2}
	for _, m := range r.models {
		if m.Schedule != nil {
			cfg.Remember = append(cfg.Remember, m.Name)
			cfg.Schedules = append(cfg.Schedules, connector.Schedule{Model: m.Name, Name: "hourly", Next: hourly})
		}
	}
	if r.p, err = connector.New(cfg); err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel, r.ended = cancel, make(chan error, 1)
	go func() { r.ended <- r.p.Run(ctx) }()
	<-r.p.Opened()
	for _, part := range parts {
		r.take(part, false)
	}
}

// asTopic is a mapping as cmd/brazecdc gives one for topics.
type asTopic struct {
	connector.Mapper
	connector.RowRememberer
}

func (m asTopic) Models() []connector.ModelInfo {
	out := slices.Clone(m.Mapper.Models())
	for i := range out {
		out[i].Load, out[i].ProofAllowed = false, false
	}
	return out
}

func (r *topicRig) stop() {
	r.t.Helper()
	r.cancel()
	r.cancel = nil
	if err := <-r.ended; err != nil {
		r.t.Fatal(err)
	}
	if err := errors.Join(r.cache.Close(), r.data.Close()); err != nil {
		r.t.Fatal(err)
	}
}

// take gives a partition to the process. gap: another one went on with it meanwhile.
func (r *topicRig) take(part string, gap bool) {
	r.t.Helper()
	r.count++
	r.stream[part] = fmt.Sprintf("%s@%d", part, r.count)
	if err := r.p.TakeOver(r.t.Context(), connector.Assigned{Stream: r.stream[part], From: r.offset[part], Gap: gap}); err != nil {
		r.t.Fatal(err)
	}
}

func (r *topicRig) away(part string) {
	ctx, cancel := context.WithTimeout(r.t.Context(), 100*time.Millisecond)
	defer cancel()
	r.p.Revoke(ctx, []string{r.stream[part]})
	delete(r.stream, part)
}

// put hands one change of a row over.
func (r *topicRig) put(part string, op connector.Op, row connector.Row) {
	r.change(part, connector.Change{Op: op, After: row, Key: connector.Key{Table: row.Table.Name, ID: row.Cells[0].Raw}})
}

func (r *topicRig) remove(part, id string) {
	r.change(part, connector.Change{Op: connector.Delete, Before: visitor(id, "", time.Time{}), Key: connector.Key{Table: "visitors", ID: id}})
}

func (r *topicRig) change(part string, c connector.Change) {
	c.Time, c.ID = time.Now(), connector.ChangeID{Commit: r.offset[part]}
	r.offset[part]++
	r.src.feed <- connector.Batch{Position: connector.Position{Stream: r.stream[part], Offset: r.offset[part]}, Changes: []connector.Change{c}}
}

// settle waits until all is done; quiet means that nothing of a run waits either.
func (r *topicRig) settle() {
	r.t.Helper()
	synctest.Wait() // the reader has taken what was handed over
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Minute)
	defer cancel()
	if err := r.p.Quiet(ctx); err != nil {
		r.t.Fatalf("it does not come to rest: %v", err)
	}
}

// hours lets time pass, to a minute past an hour so that the run of the schedule is over.
func (r *topicRig) hours(n int) {
	r.t.Helper()
	time.Sleep(time.Until(time.Now().Truncate(time.Hour).Add(time.Duration(n)*time.Hour + 5*time.Minute)))
	r.settle()
}

// beginning counts the lines that begin with a text.
func (r *topicRig) beginning(lines []string, begin string) (n int) {
	for _, l := range lines {
		if strings.HasPrefix(l, begin) {
			n++
		}
	}
	return n
}

func (r *topicRig) want(lines ...string) {
	r.t.Helper()
	if got := r.sink.took(); !slices.Equal(got, lines) {
		r.t.Errorf("sent:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(lines, "\n"))
	}
}
