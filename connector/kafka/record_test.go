package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"brazecdc/connector"
)

func value(topic string, part int32, v string) *kgo.Record {
	r := &kgo.Record{Topic: topic, Partition: part, Key: []byte("k"), Value: []byte(v)}
	return r
}

func TestRecords(t *testing.T) {
	t.Run("cdc 89, case 9: poison goes to quarantine with its coordinates, and its neighbours within a second", func(t *testing.T) {
		b := newBed(t)
		b.topic("users", 1)
		cfg := b.config("users")
		var mu sync.Mutex
		var kept []Poison
		cfg.Quarantine = func(_ context.Context, p Poison) error {
			mu.Lock()
			defer mu.Unlock()
			kept = append(kept, p)
			return nil
		}
		m := start(t, cfg, nil, false)
		assigned(t, 1, m)
		bad := value("users", 0, "bad")
		bad.Headers = []kgo.RecordHeader{{Key: "h", Value: []byte("x")}}
		b.produce(value("users", 0, "before"), bad, value("users", 0, "after"))
		got := m.wait(2)
		if !slices.Equal(got, []string{"before", "after"}) { // how soon, TestPoisonHoldsNobody tells, by a clock of its own
			t.Errorf("%q came", got)
		}
		m.close()
		if len(kept) != 1 || kept[0].Topic != "users" || kept[0].Offset != 1 || string(kept[0].Value) != "bad" || string(kept[0].Key) != "k" ||
			kept[0].Reason != "it is bad" || len(kept[0].Headers) != 1 || m.src.Poisoned() != 1 {
			t.Errorf("kept %+v", kept)
		}
		if c, _ := b.committed("g", "users", 0); c.Offset != 3 {
			t.Errorf("committed %+v", c)
		}
	})
	t.Run("cdc 89: a quarantine that cannot store stops the source, and the record comes again", func(t *testing.T) {
		b := newBed(t)
		b.topic("users", 1)
		cfg := b.config("users")
		cfg.Quarantine = func(context.Context, Poison) error { return errors.New("disk full") }
		m := start(t, cfg, nil, false)
		b.produce(value("users", 0, "bad"), value("users", 0, "after"))
		stops(t, m.fails(), 1, "offset 0", "disk full")
		m.close()
		m = start(t, b.config("users"), m.positions(), false)
		m.wait(1)
		if m.src.Poisoned() != 1 {
			t.Error("the record did not come again")
		}
	})
	t.Run("cdc 89: while the registry is down its partition waits, the others go on, and nothing goes to quarantine", func(t *testing.T) {
		b := newBed(t)
		b.topic("users", 2)
		d := &decoder{}
		d.down.Store(true)
		cfg := b.config("users")
		cfg.Decode = d.decode
		cfg.BufferBytes = 256 << 10
		m := start(t, cfg, nil, false)
		assigned(t, 2, m)
		b.produce(value("users", 0, "first"), value("users", 0, "wait"), value("users", 0, "last"))
		m.wait(1)
		eventually(t, "the wait is told", func() bool { return strings.Contains(m.src.Health().Waiting, "the registry is down") })
		big := bytes.Repeat([]byte("x"), 1000)
		for range 8 { // more than the buffer holds, beside and behind the record that waits
			var recs []*kgo.Record
			for range 100 {
				recs = append(recs, &kgo.Record{Topic: "users", Partition: 1, Key: []byte("k"), Value: big}, &kgo.Record{Topic: "users", Partition: 0, Key: []byte("k"), Value: big})
			}
			b.produce(recs...)
		}
		m.wait(801)
		d.down.Store(false)
		m.wait(1603)
		if m.src.Poisoned() != 0 || m.src.Health().Waiting != "" {
			t.Errorf("poisoned %d, health %+v", m.src.Poisoned(), m.src.Health())
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		of := slices.DeleteFunc(slices.Clone(m.values), func(v string) bool { return len(v) > 10 })
		if !slices.Equal(of, []string{"first", "wait", "last"}) {
			t.Errorf("in the order %q", of)
		}
	})
	t.Run("cdc 89: a decoder that hangs holds its own partition only", func(t *testing.T) {
		b := newBed(t)
		b.topic("users", 2)
		cfg := b.config("users")
		cfg.BufferBytes = 128 << 10
		inner, hang := cfg.Decode, make(chan struct{})
		cfg.Decode = func(ctx context.Context, r *Record) ([]connector.Change, string, error) {
			if r.Partition == 0 {
				select {
				case <-hang:
				case <-ctx.Done():
					return nil, "", ctx.Err()
				}
			}
			return inner(ctx, r)
		}
		m := start(t, cfg, nil, false)
		assigned(t, 2, m)
		for i := range 4 {
			b.write("users", 0, i*200, 200)
			b.write("users", 1, i*200, 200)
		}
		m.wait(800)
		close(hang)
		m.wait(1600)
	})
	t.Run("cdc 90: a tombstone is passed over, and its offset committed", func(t *testing.T) {
		b := newBed(t)
		b.topic("users", 1)
		m := start(t, b.config("users"), nil, false)
		b.produce(value("users", 0, "a"), &kgo.Record{Topic: "users", Key: []byte("k")})
		m.wait(1)
		eventually(t, "the commit", func() bool { c, _ := b.committed("g", "users", 0); return c.Offset == 2 })
		if n := m.src.Health().PassedOver["tombstone"]; n != 1 {
			t.Errorf("skipped %d", n)
		}
	})
	t.Run("transactions: aborted records never come, and their marks move the position", func(t *testing.T) {
		b := newBed(t)
		b.topic("users", 1)
		m := start(t, b.config("users"), nil, false)
		tx, err := kgo.NewClient(kgo.SeedBrokers(b.brokers...), kgo.TransactionalID("tx"), kgo.DefaultProduceTopic("users"))
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Close()
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		for i, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit, kgo.TryAbort} {
			if err := tx.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			if err := tx.ProduceSync(ctx, &kgo.Record{Key: []byte("k"), Value: fmt.Append(nil, i)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
			if err := tx.EndTransaction(ctx, end); err != nil {
				t.Fatal(err)
			}
		}
		if got := m.wait(2); !slices.Equal(got, []string{"0", "2"}) {
			t.Errorf("came %q", got)
		}
		end := b.cluster.PartitionInfo("users", 0).HighWatermark
		eventually(t, "the position stands behind the last mark", func() bool { c, _ := b.committed("g", "users", 0); return c.Offset == end })
	})
	t.Run("any other error of the decoder stops the source", func(t *testing.T) {
		b := newBed(t)
		b.topic("users", 1)
		m := start(t, b.config("users"), nil, false)
		b.produce(value("users", 0, "a"), value("users", 0, "fatal"))
		stops(t, m.fails(), 1, "offset 1", "the decoder broke")
	})
	t.Run("a value of 20 MB passes the bounds", func(t *testing.T) {
		b := newBed(t)
		if err := b.cluster.CreateTopic("users", 1, map[string]string{"max.message.bytes": "31457280"}); err != nil {
			t.Fatal(err)
		}
		big, err := kgo.NewClient(kgo.SeedBrokers(b.brokers...), kgo.ProducerBatchMaxBytes(30<<20), kgo.ProducerBatchCompression(kgo.NoCompression()))
		if err != nil {
			t.Fatal(err)
		}
		defer big.Close()
		m := start(t, b.config("users"), nil, false)
		if err := big.ProduceSync(t.Context(), &kgo.Record{Topic: "users", Key: []byte("k"), Value: bytes.Repeat([]byte("x"), 20<<20)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		b.produce(value("users", 0, "after"))
		m.wait(2)
	})
}
