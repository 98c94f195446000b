package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"brazecdc/connector"
	"brazecdc/connector/braze/brazesim"
)

// traceSink takes traces as an OpenTelemetry collector does.
type traceSink struct {
	mu   sync.Mutex
	body bytes.Buffer
}

func (s *traceSink) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = io.Copy(&s.body, r.Body) // what is cut is missed by the test
}

func (s *traceSink) has(parts ...string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range parts {
		if !bytes.Contains(s.body.Bytes(), []byte(p)) {
			return false
		}
	}
	return true
}

func TestTraces(t *testing.T) {
	t.Parallel()
	to := &traceSink{}
	srv := httptest.NewServer(to)
	t.Cleanup(srv.Close)
	on := []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + srv.URL, "OTEL_BSP_SCHEDULE_DELAY=100"}
	t.Run("of a database: batches, calls, and what failed; no values and no users", func(t *testing.T) {
		b := newBench(t, plainModel)
		b.env = append(b.env, on...)
		b.exec(`INSERT INTO users (id, email, plan) VALUES ('u-before', 'secret@example.com', 'pro')`)
		p := b.run()
		b.exec(`INSERT INTO users (id, email, plan) VALUES ('u-secret', 'secret@example.com', 'pro')`)
		b.until("the traces come", func() bool {
			return to.has("batch", "read", "map", "wait", "confirm", "call /users/track", "brazecdc.stream", "service.name", "brazecdc")
		})
		b.until("those of the load's chunk come", func() bool { return to.has("chunk", "load/users-") })
		b.fault(brazesim.Fault{Endpoint: "/users/track", Status: 503, Count: 1})
		b.exec(`UPDATE users SET plan = 'free'`)
		b.until("what failed comes", func() bool { return to.has("error.type", "server") })
		if to.has("u-secret") || to.has("secret@example.com") {
			t.Error("a row is in the traces")
		}
		if code := p.stop(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
	t.Run("of topics: a record's trace is gone on with", func(t *testing.T) {
		b, cl := newTopicBench(t, 1, topicModel)
		b.env = append(b.env, on...)
		p := b.run()
		r := debezium("c", "u-1", "pro", 1)
		id := []byte{0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6, 0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36}
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: "traceparent", Value: []byte("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")})
		produce(t, cl, r)
		b.until("its trace comes", func() bool { return to.has(string(id), "shop.users/0@") })
		if code := p.stop(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
	t.Run("are off by default, and what can't be used is said", func(t *testing.T) {
		b := newBench(t, plainModel)
		p := b.run()
		if strings.Contains(p.err.String(), "traces are sent") {
			t.Error("traces are on")
		}
		p.stop()
		b.env = append(b.env, "OTEL_TRACES_EXPORTER=otlp", "OTEL_TRACES_SAMPLER=sometimes")
		r := b.brazecdc("run")
		if r.code != connector.ExitConfig {
			t.Errorf("exit code %d", r.code)
		}
		wantIn(t, r.err, "OTEL_TRACES_SAMPLER", "sometimes", "fix:")
	})
}
