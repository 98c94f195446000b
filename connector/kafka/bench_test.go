package kafka

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"brazecdc/connector"
)

// BenchmarkRead measures records of 700 bytes through the source, beside a straight loop of polls over the same log: what assignments, batches and
// workers cost. Both make one change of each record without decoding it.
func BenchmarkRead(b *testing.B) {
	const n = 100_000
	bed := newBed(b)
	bed.topic("users", 4)
	pad := bytes.Repeat([]byte("x"), 700)
	for at := 0; at < n; at += 5000 {
		recs := make([]*kgo.Record, 5000)
		for i := range recs {
			recs[i] = &kgo.Record{Topic: "users", Partition: int32(i % 4), Key: fmt.Append(nil, at+i), Value: pad}
		}
		bed.produce(recs...)
	}
	table := rows("users")
	change := func(room []connector.Change, key, value []byte) []connector.Change {
		row := connector.Row{Table: table, Cells: []connector.Cell{{State: connector.Set, Raw: string(key)}, {State: connector.Set, Raw: string(value)}}}
		return append(room, connector.Change{Key: connector.Key{Table: "users", ID: string(key)}, Op: connector.Insert, After: row})
	}
	b.Run("straight", func(b *testing.B) {
		for b.Loop() {
			cl, err := kgo.NewClient(kgo.SeedBrokers(bed.brokers...), kgo.ConsumeTopics("users"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
			if err != nil {
				b.Fatal(err)
			}
			for got := 0; got < n; {
				cl.PollFetches(b.Context()).EachRecord(func(r *kgo.Record) { got += len(change(nil, r.Key, r.Value)) })
			}
			cl.Close()
		}
		b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "rows/s")
	})
	var run atomic.Int64
	b.Run("source", func(b *testing.B) {
		var peak uint64
		for b.Loop() {
			cfg := bed.config("users")
			cfg.Group = fmt.Sprint("bench", run.Add(1))
			cfg.Decode = func(_ context.Context, r *Record) ([]connector.Change, string, error) {
				return change(r.Room, r.Key, r.Value), "", nil
			}
			src, err := New(cfg)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := src.Open(b.Context(), connector.Start{}); err != nil {
				b.Fatal(err)
			}
			for got, i := 0, 0; got < n; i++ {
				batch, err := src.Next(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				got += len(batch.Changes)
				src.Commit(batch.Position)
				if i%64 == 0 {
					var m runtime.MemStats
					runtime.ReadMemStats(&m)
					peak = max(peak, m.HeapInuse)
				}
			}
			if err := src.Close(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "rows/s")
		b.ReportMetric(float64(peak)/(1<<20), "heap-MB") // the cluster in memory included
	})
}
