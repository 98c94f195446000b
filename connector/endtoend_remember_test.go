package connector_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
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

func TestRememberedRows(t *testing.T) {
	run := func(name string, f func(t *testing.T)) { t.Run(name, func(t *testing.T) { synctest.Test(t, f) }) }
	run("a rule that time makes false or true is sent without a record, and nothing else", func(t *testing.T) {
		r := newTopicRig(t, visitorModel(nil))
		r.start("visitors/0", "visitors/1")
		now := time.Now()
		r.put("visitors/0", connector.Insert, visitor("u1", "free", now.Add(-lately+10*time.Hour)))
		r.put("visitors/1", connector.Insert, visitor("u2", "pro", now.Add(20*time.Hour)))
		r.put("visitors/1", connector.Insert, visitor("u3", "pro", now.Add(40*time.Hour)))
		r.put("visitors/1", connector.Insert, visitor("u4", "pro", time.Time{})) // NULL: nobody knows
		r.settle()
		r.want(`track u1 plan="free" active=true`, `track u2 plan="pro" active=true`, `track u3 plan="pro" active=true`, `track u4 plan="pro"`)
		r.hours(9)
		r.want()
		r.hours(2)
		r.want(`track u1 update-only active=false`)
		r.hours(2)
		r.want()
		r.put("visitors/0", connector.Update, visitor("u1", "free", time.Now()))
		r.settle()
		r.want(`track u1 active=true`)
		r.stop()
		time.Sleep(8 * time.Hour) // what was missed is made up for once
		r.start("visitors/0", "visitors/1")
		time.Sleep(time.Minute)
		r.settle()
		r.want()
		r.hours(24)
		r.want(`track u1 update-only active=false`, `track u2 update-only active=false`)
		r.stop()
	})
	run("what was missed while nothing ran is made up for once the partitions are there", func(t *testing.T) {
		r := newTopicRig(t, visitorModel(nil))
		r.start("visitors/0")
		r.put("visitors/0", connector.Insert, visitor("u1", "free", time.Now()))
		r.settle()
		r.stop()
		r.sink.took()
		time.Sleep(2 * lately)
		r.start()
		time.Sleep(20 * time.Second) // the group takes its time
		r.want()
		r.take("visitors/0", false)
		time.Sleep(20 * time.Second)
		r.settle()
		r.want(`track u1 update-only active=false`)
		r.stop()
	})
	run("a partition that is away is not gone over, and what was known of it goes with a gap", func(t *testing.T) {
		r := newTopicRig(t, visitorModel(nil))
		r.start("visitors/0", "visitors/1", "visitors/2")
		for i := range 3 {
			r.put(fmt.Sprintf("visitors/%d", i), connector.Insert, visitor(fmt.Sprintf("u%d", i), "free", time.Now()))
		}
		r.settle()
		r.sink.took()
		r.away("visitors/1")
		r.away("visitors/2")
		time.Sleep(lately)
		r.hours(1)
		r.want(`track u0 update-only active=false`)
		r.take("visitors/1", false)
		r.take("visitors/2", true)
		time.Sleep(2 * time.Minute) // the run that it missed
		r.settle()
		r.want(`track u1 update-only active=false`)
		r.hours(2)
		r.want()
		r.stop()
	})
	run("deleted, erased and unknown users are left alone", func(t *testing.T) {
		r := newTopicRig(t, visitorModel(nil))
		r.only = []string{"u1", "u2", "u3"}
		r.start("visitors/0")
		for _, id := range []string{"u1", "u2", "u3", "u4"} {
			r.put("visitors/0", connector.Insert, visitor(id, "free", time.Now()))
		}
		r.settle()
		r.remove("visitors/0", "u2")
		r.settle()
		if _, err := r.p.Forget(t.Context(), connector.User{ID: "u3"}); err != nil {
			t.Fatal(err)
		}
		r.sink.took()
		if n, err := r.cache.CountRemembered(t.Context(), "visitors"); n != 1 || err != nil {
			t.Errorf("%d rows are remembered (%v), want 1", n, err)
		}
		time.Sleep(lately)
		r.hours(1)
		r.want(`track u1 update-only active=false`)
		r.stop()
	})
	run("a row that Braze refused is not sent in parts", func(t *testing.T) {
		r := newTopicRig(t, visitorModel(nil))
		r.sink.refuse = "u1"
		r.start("visitors/0")
		r.put("visitors/0", connector.Insert, visitor("u1", "free", time.Now()))
		r.put("visitors/0", connector.Insert, visitor("u2", "free", time.Now()))
		r.settle()
		r.sink.refuse = ""
		r.sink.took()
		time.Sleep(lately)
		r.hours(1)
		r.want(`track u2 update-only active=false`)
		if n := r.p.Status().Quarantine; n != 1 {
			t.Errorf("%d entries are open, want the refused row's", n)
		}
		r.stop()
	})
	run("another model's row does not bring a deleted user back", func(t *testing.T) {
		owner := visitorModel(func(m *connector.Model) { m.Audiences, m.Schedule = nil, nil })
		other := visitorModel(func(m *connector.Model) {
			m.Name, m.Topic, m.OwnsUsers, m.Path, m.Custom = "visits", "visits", false, "models[1]", nil
		})
		r := newTopicRig(t, owner, other)
		r.start("visitors/0", "visits/0")
		visit := func(id string) connector.Row {
			row := visitor(id, "free", time.Now())
			row.Table = visits
			return row
		}
		for _, id := range []string{"u1", "u2", "u3"} {
			r.put("visitors/0", connector.Insert, visitor(id, "free", time.Time{}))
			r.put("visits/0", connector.Insert, visit(id))
		}
		r.settle()
		r.remove("visitors/0", "u1")
		r.remove("visitors/0", "u2")
		r.settle()
		r.put("visitors/0", connector.Insert, visitor("u2", "back", time.Time{}))
		r.settle()
		time.Sleep(time.Minute)
		r.sink.took()
		time.Sleep(lately)
		r.hours(1)
		r.want(`track u3 update-only active=false`)
		r.put("visits/0", connector.Update, visit("u2")) // in full at its next change
		r.settle()
		r.want(`track u2 active=true`)
		time.Sleep(lately)
		r.hours(1)
		r.want(`track u2 update-only active=false`)
		r.stop()
	})
	run("a group says subscribed by time only with resubscribe: always", func(t *testing.T) {
		r := newTopicRig(t, visitorModel(func(m *connector.Model) {
			m.Audiences = nil
			m.Groups = []connector.GroupMap{
				{Group: "sleepy", ID: "g-1", When: `seen < now() - duration("12h")`, Resubscribe: "always", Path: "models[0].subscription_groups[0]"},
				{Group: "awake", ID: "g-2", When: `seen > now() - duration("12h")`, OnLeave: "unsubscribe", Path: "models[0].subscription_groups[1]"},
				{Group: "asleep", ID: "g-3", When: `seen < now() - duration("12h")`, Path: "models[0].subscription_groups[2]"},
			}
		}))
		r.start("visitors/0")
		r.put("visitors/0", connector.Insert, visitor("u1", "free", time.Now()))
		r.settle()
		r.want(`track u1 plan="free" subscription_groups.awake="subscribed"`)
		time.Sleep(lately)
		r.hours(1)
		r.want(`track u1 update-only subscription_groups.sleepy="subscribed" subscription_groups.awake="unsubscribed"`)
		r.hours(1)
		r.want()
		r.stop()
	})
	run("a row that the filter lets in by time goes whole, and leaves by nothing but a change", func(t *testing.T) {
		r := newTopicRig(t, visitorModel(func(m *connector.Model) {
			m.Filter, m.OnLeave = `seen < now()`, "unset"
		}))
		r.start("visitors/0")
		r.put("visitors/0", connector.Insert, visitor("u1", "free", time.Now().Add(90*time.Minute)))
		r.settle()
		r.want()
		r.hours(1)
		r.want()
		r.hours(1)
		r.want(`track u1 plan="free" active=true`)
		time.Sleep(lately)
		r.hours(1)
		r.want(`track u1 update-only active=false`)
		r.put("visitors/0", connector.Update, visitor("u1", "free", time.Now().Add(time.Hour)))
		r.settle()
		r.want(`track u1 update-only plan=null active=null`)
		r.hours(2)
		r.want(`track u1 plan="free" active=true`)
		r.stop()
	})
	run("a partition that goes away in the middle of a run: its rows are done unsent, and come with the run after it is back", func(t *testing.T) {
		r := newTopicRig(t, visitorModel(nil))
		r.start("visitors/0", "visitors/1")
		const many = 300
		for i := range many {
			r.put("visitors/0", connector.Insert, visitor(fmt.Sprintf("a%03d", i), "free", time.Now().Add(-time.Minute)))
			r.put("visitors/1", connector.Insert, visitor(fmt.Sprintf("b%03d", i), "free", time.Now().Add(-time.Minute)))
		}
		r.settle()
		r.sink.took()
		r.sink.slow(time.Minute)
		time.Sleep(lately - time.Hour)
		time.Sleep(time.Until(hourly(time.Now()).Add(time.Second)))
		r.away("visitors/1")
		r.sink.slow(0)
		time.Sleep(10 * time.Minute)
		r.settle()
		sent := r.sink.took()
		if n := r.beginning(sent, "track a"); n != many {
			t.Errorf("%d of the other partition's rows were sent", n)
		}
		gone := r.beginning(sent, "track b") // those that were in a call then
		if gone == many {
			t.Error("all rows of the partition were sent, though it went away")
		}
		for _, l := range r.p.Status().Loads {
			if l.Finished.IsZero() {
				t.Errorf("the run does not end: %+v", l)
			}
		}
		r.take("visitors/1", false) // what was left out is made up for
		time.Sleep(2 * time.Minute)
		r.settle()
		if n := len(r.sink.took()); n != many-gone {
			t.Errorf("%d were sent, want %d", n, many-gone)
		}
		r.stop()
	})
	run("a record that comes while a run's rows wait is what counts, and takes them along", func(t *testing.T) {
		r := newTopicRig(t, visitorModel(nil))
		r.start("visitors/0")
		const many = 400
		for i := range many {
			r.put("visitors/0", connector.Insert, visitor(fmt.Sprintf("u%03d", i), "free", time.Now().Add(-time.Minute)))
		}
		r.settle()
		r.sink.took()
		r.sink.slow(time.Minute)
		time.Sleep(lately - time.Hour)
		time.Sleep(time.Until(hourly(time.Now()).Add(time.Second)))
		r.put("visitors/0", connector.Update, visitor("u399", "pro", time.Now()))
		r.remove("visitors/0", "u398")
		r.sink.slow(0)
		time.Sleep(10 * time.Minute)
		r.settle()
		sent := r.sink.took()
		for _, want := range []string{`track u399 plan="pro"`, "delete u398"} {
			if !slices.Contains(sent, want) {
				t.Errorf("%s is not among %d calls", want, len(sent))
			}
		}
		for _, line := range sent {
			if strings.Contains(line, "u399") && line != `track u399 plan="pro"` || strings.HasPrefix(line, "track u398") {
				t.Errorf("sent %s", line)
			}
		}
		r.stop()
	})
	run("a stop in the middle of a run, and what was not remembered under these settings", func(t *testing.T) {
		r := newTopicRig(t, visitorModel(func(m *connector.Model) { m.Audiences, m.Schedule = nil, nil }))
		r.start("visitors/0")
		r.put("visitors/0", connector.Insert, visitor("u0", "free", time.Now()))
		r.settle()
		r.stop()
		r.models = []connector.Model{visitorModel(nil)}
		r.start("visitors/0")
		const many = 5000 // more than may be open of a run at once
		for i := range many {
			r.put("visitors/0", connector.Insert, visitor(fmt.Sprintf("v%04d", i), "free", time.Now().Add(-time.Minute)))
		}
		r.settle()
		r.sink.took()
		r.sink.slow(time.Second)
		time.Sleep(lately - time.Hour)
		time.Sleep(time.Until(hourly(time.Now()).Add(4 * time.Second)))
		r.stop()
		first := r.sink.took()
		r.sink.slow(0)
		r.start("visitors/0")
		time.Sleep(time.Minute)
		r.settle()
		all := append(first, r.sink.took()...)
		slices.Sort(all)
		if len(all) != many || len(slices.Compact(all)) != many || len(first) == 0 || len(first) == many {
			t.Errorf("%d sent before the stop, %d in all", len(first), len(all))
		}
		if !strings.Contains(r.log.String(), "count=5000 users=5001") {
			t.Error("nobody was told that one row is not known")
		}
		r.stop()
	})
}

// TestRememberedProperty brings random rows, deletes, steps of the clock, restarts and moves of partitions, and holds what the sink has after each run against
// the rule over the last rows.
func TestRememberedProperty(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { rememberedProperty(t, rand.New(rand.NewPCG(seed, 7))) })
		})
	}
}

func rememberedProperty(t *testing.T, rnd *rand.Rand) {
	type last struct {
		seen  time.Time
		known bool   // a change came since its partition had a gap
		said  string // what Braze has to have
	}
	r := newTopicRig(t, visitorModel(nil))
	parts := []string{"visitors/0", "visitors/1", "visitors/2"}
	r.start(parts...)
	rows, away, ran := map[string]*last{}, map[string]bool{}, map[string]bool{} // ran: a run while the partition was away
	partOf := func(id string) string {
		n, err := strconv.Atoi(id[1:])
		if err != nil {
			t.Fatal(err)
		}
		return parts[n%len(parts)]
	}
	judge := func(l *last, at time.Time) {
		if !l.seen.IsZero() { // else the rule is NULL, and what was said stays
			l.said = strconv.FormatBool(l.seen.After(at.Add(-lately)))
		}
	}
	swept := func(at time.Time) {
		for part := range away {
			ran[part] = true
		}
		for id, l := range rows {
			if l.known && !away[partOf(id)] {
				judge(l, at)
			}
		}
	}
	for step := range 40 {
		switch n := rnd.IntN(20); {
		case n < 12:
			id := fmt.Sprintf("u%d", rnd.IntN(12))
			if away[partOf(id)] {
				continue
			}
			if rows[id] != nil && rnd.IntN(6) == 0 {
				delete(rows, id)
				r.remove(partOf(id), id)
				r.settle()
				time.Sleep(20 * time.Second) // the settling ends
				continue
			}
			op := connector.Update
			if rows[id] == nil {
				rows[id], op = &last{}, connector.Insert
			}
			l := rows[id]
			l.known = true
			if l.seen = (time.Time{}); rnd.IntN(6) > 0 {
				l.seen = time.Now().Add(-time.Duration(rnd.Int64N(int64(lately + 3*time.Hour))))
			}
			r.put(partOf(id), op, visitor(id, "free", l.seen))
			judge(l, time.Now())
		case n < 17:
			r.hours(1 + rnd.IntN(5))
			swept(time.Now().Truncate(time.Hour))
		case n == 17:
			r.settle()
			r.stop()
			slept := time.Duration(rnd.IntN(6)) * time.Hour
			time.Sleep(slept)
			clear(ran)
			r.start()
			for _, part := range parts {
				if !away[part] {
					r.take(part, false)
				}
			}
			if time.Sleep(2 * time.Minute); slept > 0 || time.Now().Minute() < 2 {
				swept(time.Now().Add(-time.Minute))
			}
		default:
			part := parts[rnd.IntN(len(parts))]
			if !away[part] {
				r.away(part)
				away[part] = true
				continue
			}
			gap := rnd.IntN(2) == 0
			r.take(part, gap)
			delete(away, part)
			again := ran[part] && !gap
			delete(ran, part)
			if again { // a run that it missed is made up for
				time.Sleep(2 * time.Minute)
				r.settle()
				for id, l := range rows {
					if l.known && partOf(id) == part {
						judge(l, time.Now().Add(-time.Minute))
					}
				}
			}
			for id, l := range rows {
				l.known = l.known && !(gap && partOf(id) == part)
			}
		}
		r.settle()
		for _, id := range slices.Sorted(maps.Keys(rows)) {
			if l := rows[id]; r.sink.has(id, "active") != l.said {
				t.Fatalf("step %d: active of %s is %q, want %q (seen %s ago, %s)", step, id, r.sink.has(id, "active"), l.said, time.Since(l.seen), partOf(id))
			}
		}
	}
	r.stop()
}
