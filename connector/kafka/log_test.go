package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"brazecdc/connector"
)

func TestTopics(t *testing.T) {
	t.Run("cdc 84: a topic deleted and created again while it is read stops the source, and no old offset is committed to it", func(t *testing.T) {
		b := newBed(t)
		b.topic("users", 1)
		m := start(t, b.config("users"), nil, false)
		b.write("users", 0, 0, 50)
		m.wait(50)
		b.recreate("users")
		b.write("users", 0, 0, 100)
		stops(t, m.fails(), connector.ExitOffsetRange, "topic users was deleted and created again", "--reset-offsets")
		m.close()
		if c, ok := b.committed("g", "users", 0); ok && c.Offset > 0 {
			t.Errorf("committed to the new topic: %+v", c)
		}
	})
	t.Run("cdc 84: created again while nobody ran: noticed by data/, and reading begins where the operator says", func(t *testing.T) {
		b := newBed(t)
		b.topic("users", 1)
		m := start(t, b.config("users"), nil, false)
		b.write("users", 0, 0, 50)
		m.wait(50)
		m.close()
		b.recreate("users")
		b.write("users", 0, 0, 100)
		_, err := tryStart(t, b.config("users"), m.positions(), false)
		stops(t, err, connector.ExitOffsetRange, "deleted and created again", "offsets belong to the old one")
		b.setOffset("g", "users", 0, 0)
		m = start(t, b.config("users"), m.positions(), false)
		m.wait(100)
	})
	t.Run("created again while nobody ran, with the offset kept: noticed by the note beside the offset", func(t *testing.T) {
		f := facts{topic: "users", topicID: [16]byte{2}, first: 0, last: 100, committed: &known{offset: 50, note: note{topicID: [16]byte{1}}, noted: true}}
		_, err := f.decide()
		stops(t, err, connector.ExitOffsetRange, "users", "created again")
	})
	t.Run("cdc 88: new partitions and new matching topics are read from their start, and are no load", func(t *testing.T) {
		b := newBed(t)
		b.topic("shop.users", 1)
		b.topic("other", 1)
		cfg := b.config()
		cfg.Pattern = `^shop\.`
		cfg.Load = func(string) bool { return false }
		m := start(t, cfg, nil, false)
		assigned(t, 1, m)
		b.write("shop.users", 0, 0, 1)
		m.wait(1)
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		if _, err := b.adm.UpdatePartitions(ctx, 2, "shop.users"); err != nil {
			t.Fatal(err)
		}
		b.cl.PurgeTopicsFromClient("shop.users") // the producer must see the new partition
		b.write("shop.users", 1, 0, 3)           // before it is noticed
		began := time.Now()
		m.wait(4)
		t.Logf("a new partition was read after %s", time.Since(began))
		b.topic("shop.orders", 1)
		b.topic("shopping", 1)
		b.write("shop.orders", 0, 0, 3)
		b.write("shopping", 0, 0, 3)
		m.wait(7)
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, batch := range m.batches {
			if batch.Replayed || len(batch.Changes) > 0 && batch.Changes[0].Initial {
				t.Errorf("batch %+v passes for old", batch.Position)
			}
		}
		if len(m.values) != 7 {
			t.Errorf("values %q", m.values)
		}
	})
	t.Run("a partition added while nobody ran is read from its start, whatever load says", func(t *testing.T) {
		b := newBed(t)
		b.topic("users", 1)
		b.write("users", 0, 0, 5)
		cfg := b.config("users")
		cfg.Load = func(string) bool { return false }
		m := start(t, cfg, nil, false)
		assigned(t, 1, m)
		b.write("users", 0, 5, 1)
		m.wait(1)
		m.close()
		if _, err := b.adm.UpdatePartitions(t.Context(), 2, "users"); err != nil {
			t.Fatal(err)
		}
		b.cl.PurgeTopicsFromClient("users")
		b.write("users", 1, 0, 2)
		m = start(t, cfg, m.positions(), false)
		if got := m.wait(2); got[0] != "1:0" {
			t.Errorf("values %q", got)
		}
	})
	t.Run("a topic that matches and was created while nobody ran is read from its start; one that a new pattern takes in goes by load", func(t *testing.T) {
		b := newBed(t)
		b.topic("shop.users", 1)
		b.topic("old.users", 1)
		b.write("old.users", 0, 0, 5)
		cfg := b.config()
		cfg.Pattern = `^shop\.`
		cfg.Load = func(string) bool { return false }
		m := start(t, cfg, nil, false)
		assigned(t, 1, m)
		b.write("shop.users", 0, 0, 1)
		m.wait(1)
		m.close()
		b.topic("shop.orders", 1)
		b.write("shop.orders", 0, 1, 2)
		m = start(t, cfg, m.positions(), false)
		assigned(t, 2, m)
		m.wait(2)
		m.close()
		cfg.Pattern = `^(shop|old)\.`
		m = start(t, cfg, m.positions(), false)
		assigned(t, 3, m)
		b.write("shop.users", 0, 3, 1)
		if got := m.wait(1); len(got) != 1 {
			t.Errorf("values %q: what lay in old.users was read", got)
		}
	})
	t.Run("a pattern means neither the brokers' own topics nor the excluded ones, and named topics beside it are read", func(t *testing.T) {
		b := newBed(t)
		for _, name := range []string{"shop.users", "shop.state", "shop.state.users", "other"} {
			b.topic(name, 1)
		}
		cfg := b.config("other")
		cfg.Pattern, cfg.Exclude = `^(shop\..*|__.*)$`, []string{"shop.state"}
		m := start(t, cfg, nil, false)
		assigned(t, 3, m)
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		infos, err := m.src.Matching(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, i := range infos {
			names = append(names, i.Name)
		}
		if want := []string{"shop.state.users", "shop.users"}; !slices.Equal(names, want) {
			t.Errorf("the pattern means %q, want %q", names, want)
		}
		b.write("shop.state", 0, 0, 1)
		b.write("other", 0, 1, 1)
		b.write("shop.users", 0, 2, 1)
		if got := m.wait(2); slices.Contains(got, "0:0") {
			t.Errorf("values %q: the excluded topic was read", got)
		}
		for _, l := range m.src.Lags() {
			if l.Topic == "shop.state" || strings.HasPrefix(l.Topic, "__") {
				t.Errorf("topic %s is read", l.Topic)
			}
		}
	})
	t.Run("a missing topic is named, with the nearest", func(t *testing.T) {
		b := newBed(t)
		b.topic("shop.users", 1)
		_, err := tryStart(t, b.config("shop.usres"), nil, false)
		stops(t, err, connector.ExitTableUnfit, `"shop.usres"`, `"shop.users"`)
	})
}

// recreate deletes a topic and creates it anew. The producer forgets the old one.
func (b *bed) recreate(topic string) {
	b.t.Helper()
	if err := b.cluster.DeleteTopic(topic); err != nil {
		b.t.Fatal(err)
	}
	b.topic(topic, 1)
	b.cl.PurgeTopicsFromClient(topic)
}

// setOffset does what kafka-consumer-groups --reset-offsets does.
func (b *bed) setOffset(group, topic string, part int32, at int64) {
	b.t.Helper()
	var os kadm.Offsets
	os.AddOffset(topic, part, at, -1)
	if err := b.adm.CommitAllOffsets(b.t.Context(), group, os); err != nil {
		b.t.Fatal(err)
	}
}

func TestRange(t *testing.T) {
	t.Run("retention deleted what was not read: stop, not skip", func(t *testing.T) {
		b := newBed(t)
		b.topic("users", 1)
		m := start(t, b.config("users"), nil, false)
		b.write("users", 0, 0, 50)
		m.wait(50)
		m.close()
		b.write("users", 0, 50, 50)
		if err := b.cluster.DeleteRecords("users", 0, 80); err != nil {
			t.Fatal(err)
		}
		_, err := tryStart(t, b.config("users"), m.positions(), false)
		stops(t, err, connector.ExitOffsetRange, "begins at offset 80", "position 50", "30 records were deleted", "--bootstrap-server "+b.brokers[0]+" --group g ", "--topic users:0 --to-offset N --execute")
	})
	t.Run("retention overtakes a reader that is held back: stop, not skip", func(t *testing.T) {
		b := newBed(t)
		b.topic("users", 1)
		cfg := b.config("users")
		cfg.BufferBytes = 64 << 10
		for i := range 40 {
			var recs []*kgo.Record
			for j := range 250 { // with large keys, so that the log is many fetches long
				recs = append(recs, &kgo.Record{Topic: "users", Key: bytes.Repeat([]byte("k"), 200), Value: fmt.Appendf(nil, "0:%d", i*250+j)})
			}
			b.produce(recs...)
		}
		src := reader(t, cfg)
		if _, err := src.Open(t.Context(), connector.Start{}); err != nil {
			t.Fatal(err)
		}
		if _, err := src.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := b.cluster.DeleteRecords("users", 0, 9999); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		next := uint64(0)
		for {
			batch, err := src.Next(ctx)
			if err != nil {
				stops(t, err, connector.ExitOffsetRange, "users", "begins at offset 9999", "--group g ", "--to-offset N --execute")
				break
			}
			for _, c := range batch.Changes {
				if next != 0 && c.ID.Commit != next {
					t.Fatalf("offset %d comes after %d: something was skipped", c.ID.Commit, next-1)
				}
				next = c.ID.Commit + 1
			}
		}
	})
	t.Run("a truncated log: stop", func(t *testing.T) {
		b := newBed(t)
		b.topic("users", 1)
		b.write("users", 0, 0, 10)
		m := start(t, b.config("users"), nil, false)
		m.wait(10)
		m.close()
		rec := m.positions()
		for k, r := range rec {
			r.Position.Offset = 4000
			rec[k] = r
		}
		_, err := tryStart(t, b.config("users"), rec, false)
		stops(t, err, connector.ExitOffsetRange, "ends at offset 10", "4000", "truncated")
	})
}

func TestStart(t *testing.T) {
	t.Run("load all: what lies in the log at the first assignment is load rows, also after a restart", func(t *testing.T) {
		b := newBed(t)
		b.topic("users", 1)
		b.write("users", 0, 0, 10)
		m := start(t, b.config("users"), nil, true)
		m.wait(10)
		stream := m.src.Lags()[0].Stream
		m.src.Commit(connector.Position{Stream: stream, Offset: 4})
		eventually(t, "the commit", func() bool { c, _ := b.committed("g", "users", 0); return c.Offset == 4 })
		b.write("users", 0, 10, 2)
		m.wait(12)
		m.classes(t, []class{{10, true, false}, {12, false, false}})
		m.kill()
		m = start(t, b.config("users"), nil, false)
		m.wait(8)
		b.write("users", 0, 12, 1)
		m.wait(9)
		m.classes(t, []class{{10, true, true}, {12, false, true}, {13, false, false}})
	})
	t.Run("load none: starts behind what lies there, and a stop before the first record does not move that", func(t *testing.T) {
		b := newBed(t)
		b.topic("users", 1)
		b.write("users", 0, 0, 10)
		cfg := b.config("users")
		cfg.Load = func(string) bool { return false }
		cfg.CommitEvery = time.Hour // the first commit does not wait for its turn
		m := start(t, cfg, nil, false)
		eventually(t, "the first commit", func() bool { c, ok := b.committed("g", "users", 0); return ok && c.Offset == 10 })
		m.kill()
		b.write("users", 0, 10, 2)
		m = start(t, cfg, nil, false)
		if got := m.wait(2); got[0] != "0:10" {
			t.Errorf("begins with %s", got[0])
		}
	})
	t.Run("load none: what a transaction wrote that is still open comes when it ends", func(t *testing.T) {
		b := newBed(t)
		b.topic("users", 1)
		b.write("users", 0, 0, 3)
		tx, err := kgo.NewClient(kgo.SeedBrokers(b.brokers...), kgo.TransactionalID("tx"), kgo.DefaultProduceTopic("users"))
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Close()
		if err := tx.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := tx.ProduceSync(t.Context(), &kgo.Record{Key: []byte("k"), Value: []byte("of the transaction")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		cfg := b.config("users")
		cfg.Load = func(string) bool { return false }
		m := start(t, cfg, nil, false)
		assigned(t, 1, m)
		if err := tx.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
		m.wait(1)
		m.classes(t, []class{{4, false, false}})
	})
	t.Run("earliest, latest and timestamp decide where nothing is committed", func(t *testing.T) {
		b := newBed(t)
		b.topic("users", 1)
		at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
		for i := range 4 {
			b.produce(&kgo.Record{Topic: "users", Key: []byte("k"), Value: fmt.Append(nil, i), Timestamp: at.Add(time.Duration(i) * time.Hour)})
		}
		for group, c := range map[string]struct {
			start string
			want  string
		}{"a": {StartEarliest, "0"}, "b": {StartLatest, "new"}, "c": {StartTimestamp, "2"}} {
			cfg := b.config("users")
			cfg.Group, cfg.Start, cfg.StartTime = group, c.start, at.Add(90*time.Minute)
			cfg.Load = func(string) bool { return c.start != StartEarliest } // what is said of start goes before
			m := start(t, cfg, nil, false)
			assigned(t, 1, m)
			if c.start == StartLatest {
				b.produce(&kgo.Record{Topic: "users", Key: []byte("k"), Value: []byte("new")})
			}
			if got := m.wait(1); got[0] != c.want {
				t.Errorf("%s begins with %s, want %s", c.start, got[0], c.want)
			}
			m.close()
		}
	})
}

type class struct {
	to                uint64 // offset behind
	initial, replayed bool
}

// classes checks what the changes were said to be: runs of equal classes and where each ends.
func (m *member) classes(t *testing.T, want []class) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	var got []class
	for _, b := range m.batches {
		for _, x := range b.Changes {
			c := class{x.ID.Commit + 1, x.Initial, b.Replayed}
			if n := len(got); n > 0 && got[n-1].initial == c.initial && got[n-1].replayed == c.replayed {
				got[n-1].to = c.to
			} else {
				got = append(got, c)
			}
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("classes %+v, want %+v", got, want)
	}
}

// heard is a log that is read while others may still write it.
type heard struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.b.Write(p)
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.b.String()
}

func TestReach(t *testing.T) {
	t.Run("no broker: stop after start_timeout", func(t *testing.T) {
		b := newBed(t)
		b.topic("users", 1)
		cfg := b.config("users")
		cfg.Brokers = []string{"127.0.0.1:1"}
		cfg.StartTimeout = 300 * time.Millisecond
		began := time.Now()
		_, err := tryStart(t, cfg, nil, false)
		stops(t, err, connector.ExitUnreachable, "127.0.0.1:1", "300ms")
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("took %s", took)
		}
	})
	t.Run("why the topics are looked at again is said once, and until when", func(t *testing.T) {
		b := newBed(t)
		cfg := b.config("users")
		var said heard
		cfg.Logger = slog.New(slog.NewTextHandler(&said, nil))
		_, err := tryStart(t, cfg, nil, false)
		stops(t, err, connector.ExitTableUnfit, "users")
		if n := strings.Count(said.String(), "this tries again"); n != 1 || !strings.Contains(said.String(), "until=") || !strings.Contains(said.String(), "users") {
			t.Errorf("said %d times:\n%s", n, said.String())
		}
	})
	for _, mech := range []string{"plain", "scram-sha-256", "scram-sha-512"} {
		t.Run("login by "+mech, func(t *testing.T) {
			name := map[string]string{"plain": "PLAIN", "scram-sha-256": "SCRAM-SHA-256", "scram-sha-512": "SCRAM-SHA-512"}[mech]
			c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser(name, "alice", "right"), kfake.SeedTopics(1, "users"))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			b := &bed{t: t, cluster: c, brokers: c.ListenAddrs()}
			cfg := b.config("users")
			cfg.SASL = SASL{Mechanism: mech, User: "alice", Password: "wrong"}
			// This cluster cuts the connection where a broker says why.
			right := false
			c.ControlKey(int16(kmsg.SASLAuthenticate), func(req kmsg.Request) (kmsg.Response, error, bool) {
				c.KeepControl()
				resp := req.ResponseKind().(*kmsg.SASLAuthenticateResponse)
				resp.ErrorCode = kerr.SaslAuthenticationFailed.Code
				return resp, nil, !right
			})
			_, err = tryStart(t, cfg, nil, false)
			stops(t, err, connector.ExitRights, "refused the login", "source.kafka.sasl")
			if regexp.MustCompile("wrong").MatchString(err.Error()) {
				t.Error("the password is in the text")
			}
			cfg.SASL.Password, right = "right", true
			m := start(t, cfg, nil, false)
			assigned(t, 1, m)
			m.close()
		})
	}
	t.Run("Health and Lags tell where it stands", func(t *testing.T) {
		b := newBed(t)
		b.topic("users", 1)
		m := start(t, b.config("users"), nil, false)
		b.write("users", 0, 0, 1)
		m.wait(1)
		h := m.src.Health()
		if !h.Connected || h.Waiting != "" || h.LastChange.IsZero() {
			t.Errorf("health %+v", h)
		}
		eventually(t, "no lag", func() bool { l := m.src.Lags(); return len(l) == 1 && l[0].Records() == 0 && l[0].Committed == 1 })
	})
	t.Run("an outage while running is told by Health, and reading goes on after it", func(t *testing.T) {
		b := newBed(t)
		b.topic("users", 1)
		m := start(t, b.config("users"), nil, false)
		b.write("users", 0, 0, 1)
		m.wait(1)
		var down atomic.Bool
		down.Store(true)
		b.cluster.Control(func(kmsg.Request) (kmsg.Response, error, bool) {
			b.cluster.KeepControl()
			if down.Load() {
				return nil, errors.New("the broker is down"), true // cuts the connection
			}
			return nil, nil, false
		})
		eventually(t, "the outage is told", func() bool { h := m.src.Health(); return !h.Connected && h.Err != "" })
		down.Store(false)
		b.write("users", 0, 1, 1)
		m.wait(2)
		eventually(t, "the end is told", func() bool { return m.src.Health().Connected })
	})
}
