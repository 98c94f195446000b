package kafka

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"brazecdc/connector"
	"brazecdc/connector/kafka/throwaway"
)

func TestMain(m *testing.M) {
	code := m.Run()
	throwaway.StopShared()
	os.Exit(code)
}

// realBed is a bed over a real broker; its cluster is nil.
func realBed(t testing.TB, addr string) *bed {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return &bed{t: t, brokers: []string{addr}, cl: cl, adm: kadm.NewClient(cl)}
}

// make creates a topic of the test's own.
func (b *bed) make(topic string, parts int32) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	if _, err := b.adm.CreateTopic(ctx, parts, 1, nil, topic); err != nil {
		b.t.Fatal(err)
	}
	eventually(b.t, "the topic is known", func() bool {
		d, err := b.adm.ListTopics(ctx)
		return err == nil && d.Has(topic) && d[topic].Err == nil && len(d[topic].Partitions) == int(parts)
	})
}

func (b *bed) offsets(group string) kadm.OffsetResponses {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	os, err := b.adm.FetchOffsets(ctx, group)
	if err != nil {
		b.t.Fatal(err)
	}
	return os
}

func TestRealBroker(t *testing.T) {
	broker := throwaway.Shared(t)
	b := realBed(t, broker.Addr())
	config := func(group string, topics ...string) Config {
		cfg := b.config(topics...)
		cfg.Group = group
		return cfg
	}
	t.Run("cdc 77, 83: members join, leave and are killed; nothing is lost, and the group has it all", func(t *testing.T) {
		b.make("many", 12)
		var members []*member
		total := 0
		write := func(n int) {
			for p := range int32(12) {
				b.write("many", p, total, n)
			}
			total += n
		}
		write(200)
		members = append(members, start(t, config("many", "many"), nil, false))
		members = append(members, start(t, config("many", "many"), nil, false))
		write(200)
		members = append(members, start(t, config("many", "many"), nil, false))
		write(200)
		members[0].kill()
		write(200)
		members = append(members, start(t, config("many", "many"), nil, false))
		members[1].close()
		write(200)
		var all []string
		eventually(t, "all values", func() bool {
			all = all[:0]
			for _, m := range members {
				m.mu.Lock()
				all = append(all, m.values...)
				m.mu.Unlock()
			}
			return len(unique(all)) == 12*total
		})
		for _, m := range members {
			m.close()
		}
		os := b.offsets("many")
		for p := range int32(12) {
			if o, _ := os.Lookup("many", p); o.At != int64(total) {
				t.Errorf("partition %d: committed %d of %d", p, o.At, total)
			}
		}
		t.Logf("%d values came %d times", 12*total, len(all))
	})
	t.Run("cdc 84: a topic created again", func(t *testing.T) {
		b.make("again", 1)
		m := start(t, config("again", "again"), nil, false)
		b.write("again", 0, 0, 50)
		m.wait(50)
		recreate := func() {
			t.Helper()
			if _, err := b.adm.DeleteTopic(t.Context(), "again"); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the topic is gone", func() bool {
				d, err := b.adm.ListTopics(t.Context())
				return err == nil && !d.Has("again")
			})
			b.make("again", 1)
			b.cl.PurgeTopicsFromClient("again")
			b.write("again", 0, 0, 100)
		}
		recreate()
		stops(t, m.fails(), connector.ExitOffsetRange, "created again")
		m.close()
		if o, ok := b.offsets("again").Lookup("again", 0); ok && o.At > 0 {
			t.Errorf("committed to the new topic: %+v", o)
		}
		_, err := tryStart(t, config("again", "again"), m.positions(), false)
		stops(t, err, connector.ExitOffsetRange, "created again")
		var os kadm.Offsets
		os.AddOffset("again", 0, 0, -1)
		if err := b.adm.CommitAllOffsets(t.Context(), "again", os); err != nil {
			t.Fatal(err)
		}
		start(t, config("again", "again"), m.positions(), false).wait(100)
	})
	t.Run("transactions, deleted records, a new partition, a replay", func(t *testing.T) {
		b.make("mixed", 1)
		cfg := config("mixed")
		cfg.Pattern = "^mix"
		cfg.Load = func(string) bool { return false }
		m := start(t, cfg, nil, false)
		assigned(t, 1, m)
		tx, err := kgo.NewClient(kgo.SeedBrokers(b.brokers...), kgo.TransactionalID("tx"), kgo.DefaultProduceTopic("mixed"))
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Close()
		for i, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort} {
			if err := tx.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			if err := tx.ProduceSync(t.Context(), &kgo.Record{Key: []byte("k"), Value: fmt.Append(nil, i)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
			if err := tx.EndTransaction(t.Context(), end); err != nil {
				t.Fatal(err)
			}
		}
		if got := m.wait(1); !slices.Equal(got, []string{"0"}) {
			t.Errorf("came %q", got)
		}
		eventually(t, "the position stands behind the marks", func() bool { o, _ := b.offsets("mixed").Lookup("mixed", 0); return o.At == 4 })
		if _, err := b.adm.UpdatePartitions(t.Context(), 2, "mixed"); err != nil {
			t.Fatal(err)
		}
		b.make("mix-new", 1)
		eventually(t, "the producer sees the partition", func() bool {
			b.cl.PurgeTopicsFromClient("mixed")
			return b.cl.ProduceSync(t.Context(), value("mixed", 1, "in a new partition")).FirstErr() == nil
		})
		b.produce(value("mix-new", 0, "in a new topic"))
		m.wait(3)
		rep, err := m.src.Replay(t.Context(), Range{Topic: "mixed"})
		if err != nil {
			t.Fatal(err)
		}
		defer rep.Close()
		if got := drain(t, rep, -1); len(got) != 2 {
			t.Errorf("the replay gave %q", got)
		}
		m.close()
		b.write("mixed", 0, 0, 10)
		if _, err := b.adm.DeleteRecords(t.Context(), kadm.Offsets{"mixed": {0: {Topic: "mixed", Partition: 0, At: 9}}}); err != nil {
			t.Fatal(err)
		}
		_, err = tryStart(t, cfg, m.positions(), false)
		stops(t, err, connector.ExitOffsetRange, "begins at offset 9", "5 records were deleted")
	})
	t.Run("logins and certificates", func(t *testing.T) {
		b.make("secure", 1)
		b.write("secure", 0, 0, 1)
		ca, cert, key := broker.TLSFiles()
		for i, c := range []struct {
			name string
			addr string
			sasl SASL
			tls  TLS
			stop string
		}{
			{"plain", broker.SASLAddr(), SASL{"plain", "alice", "alice-secret"}, TLS{}, ""},
			{"scram-sha-256", broker.SASLAddr(), SASL{"scram-sha-256", "bob", "bob-secret"}, TLS{}, ""},
			{"scram-sha-512", broker.SASLAddr(), SASL{"scram-sha-512", "bob", "bob-secret"}, TLS{}, ""},
			{"wrong password", broker.SASLAddr(), SASL{"plain", "alice", "guess"}, TLS{}, "refused the login"},
			{"wrong password by scram", broker.SASLAddr(), SASL{"scram-sha-512", "bob", "guess"}, TLS{}, "refused the login"},
			{"no login", broker.SASLAddr(), SASL{}, TLS{}, "source.kafka.sasl"},
			{"certificates", broker.TLSAddr(), SASL{}, TLS{CA: ca, Cert: cert, Key: key}, ""},
			{"an authority that is not known", broker.TLSAddr(), SASL{}, TLS{On: true}, "certificate is not trusted"},
			{"no client certificate", broker.TLSAddr(), SASL{}, TLS{CA: ca}, "tls.cert"},
		} {
			t.Run(c.name, func(t *testing.T) {
				cfg := config(fmt.Sprint("secure", i), "secure")
				cfg.Brokers, cfg.SASL, cfg.TLS = []string{c.addr}, c.sasl, c.tls
				if c.name == "no login" { // the broker may as well be on its way down, so this is tried for a while
					cfg.StartTimeout = time.Second
				}
				m, err := tryStart(t, cfg, nil, false)
				if c.stop != "" {
					stops(t, err, connector.ExitRights, c.stop)
					if strings.Contains(err.Error(), "guess") {
						t.Error("the password is in the text")
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				// Behind the login the broker names its plain listener's host, so reading proves the whole way.
				m.wait(1)
				m.close()
			})
		}
	})
}

func TestRealOutage(t *testing.T) {
	broker := throwaway.ForTest(t, throwaway.Config{})
	b := realBed(t, broker.Addr())
	b.make("users", 2)
	m := start(t, b.config("users"), nil, false)
	b.write("users", 0, 0, 10)
	m.wait(10)
	broker.Kill()
	eventually(t, "the outage is told", func() bool { h := m.src.Health(); return !h.Connected && h.Err != "" })
	if err := broker.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.write("users", 1, 0, 10)
	m.wait(20)
	eventually(t, "the end is told", func() bool { return m.src.Health().Connected })
	m.close()
	if o, _ := b.offsets("g").Lookup("users", 1); o.At != 10 {
		t.Errorf("committed %+v", o)
	}
}
