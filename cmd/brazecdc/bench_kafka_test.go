//go:build unix

package main

import (
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/config"
	"brazecdc/connector/mapping"
)

// BenchmarkTopic is a record's way from a broker in memory to the pipeline's hand (read), and on to its effects (map), as the program wires them: ten of 15
// columns are mapped. An operation is a record. Its processor time holds the broker's share too, which stays the same; on a busy machine it says more
// than the clock.
func BenchmarkTopic(b *testing.B) {
	reg := &registryServer{schemas: map[string]string{"1": keySchema, "2": valueSchema}}
	reg.up.Store(true)
	srv := httptest.NewServer(reg)
	defer srv.Close()
	broker := startCluster(b)
	for _, format := range []string{"json", "avro"} {
		task := topicTask{Broker: broker, Topic: "bench_" + format, Rows: 100_000}
		task.Endpoint = "http://127.0.0.1:1"
		if format == "avro" {
			task.Registry = srv.URL
		}
		task.fill(b)
		a := benchTopicApp(b, &task)
		b.Run(format+"/read", func(b *testing.B) { benchTopic(b, a, &task, nil) })
		mapper, err := a.compile()
		if err != nil {
			b.Fatal(err)
		}
		b.Run(format+"/map", func(b *testing.B) { benchTopic(b, a, &task, mapper) })
	}
}

func benchTopicApp(b *testing.B, task *topicTask) *app {
	b.Helper()
	file := filepath.Join(b.TempDir(), "brazecdc.yaml")
	if err := os.WriteFile(file, []byte(task.config("bench", "127.0.0.1:0")), 0o600); err != nil {
		b.Fatal(err)
	}
	cfg, err := config.Load(file, os.LookupEnv)
	if err != nil {
		b.Fatal(err)
	}
	return &app{cfg: cfg, log: slog.New(slog.DiscardHandler)}
}

func benchTopic(b *testing.B, a *app, task *topicTask, m *mapping.Mapper) {
	b.ReportAllocs()
	began := processorTime(b)
	b.ResetTimer()
	for left := b.N; left > 0; left -= task.Rows {
		a.cfg.Source.Kafka.Group = fmt.Sprintf("%s-%d-%d", b.Name(), b.N, left)
		src, err := newTopics(a.cfg, a.log, hooks{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := src.Open(b.Context(), connector.Start{}); err != nil {
			b.Fatal(err)
		}
		var effects []connector.Effect
		for got := 0; got < min(left, task.Rows); {
			batch, err := src.Next(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			got += len(batch.Changes)
			for i := range batch.Changes {
				if m == nil {
					break
				}
				if effects, err = m.Map(effects[:0], &batch.Changes[i], noIDs{}); err != nil || len(effects) != 1 {
					b.Fatalf("%d effects, %v", len(effects), err)
				}
			}
			src.Commit(batch.Position)
		}
		if err := src.Close(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(processorTime(b)-began)/float64(b.N), "cpu-ns/op")
}

// noIDs knows no row.
type noIDs struct{}

// User implements connector.IDs.
func (noIDs) User(int, connector.Key) (connector.User, bool) { return connector.User{}, false }

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
