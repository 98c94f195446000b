package tracing

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"brazecdc/connector"
)

// recorded makes a tracer and gives the spans that ended.
func recorded(t *testing.T, sampler, share string) (*Tracer, func() tracetest.SpanStubs) {
	t.Helper()
	s, err := samplerOf(sampler, share)
	if err != nil {
		t.Fatal(err)
	}
	kept := tracetest.NewInMemoryExporter()
	return New(sdktrace.NewTracerProvider(sdktrace.WithSyncer(kept), sdktrace.WithSampler(s))), kept.GetSpans
}

func batchAt(stream string, offset uint64, traces ...string) *connector.Batch {
	return &connector.Batch{Position: connector.Position{Stream: stream, Offset: offset}, Changes: make([]connector.Change, 2), Traces: traces}
}

func named(spans tracetest.SpanStubs, name string) (out tracetest.SpanStubs) {
	for _, s := range spans {
		if s.Name == name {
			out = append(out, s)
		}
	}
	return out
}

func TestSpans(t *testing.T) {
	tr, spans := recorded(t, "", "")
	came := time.Now().Add(-time.Second)
	a := tr.Read(batchAt("shop/0@1", 10), came)
	tr.Mapped(a, came)
	b := tr.Read(batchAt("shop/0@1", 20), came)
	tr.Mapped(b, came)
	tr.Called(connector.TracedCall{Endpoint: "/users/track", Objects: 4, Began: time.Now(), From: []connector.TraceRef{a, b}})
	tr.Confirmed([]connector.Position{{Stream: "shop/0@1", Offset: 10}}, time.Now())
	if n := len(named(spans(), "batch")); n != 1 {
		t.Fatalf("%d batches have ended, though one is confirmed", n)
	}
	tr.Confirmed([]connector.Position{{Stream: "shop/0@1", Offset: 25}}, time.Now())
	all := spans()
	for _, name := range []string{"batch", "read", "map", "wait", "confirm"} {
		if n := len(named(all, name)); n != 2 {
			t.Errorf("%d spans %s, want 2", n, name)
		}
	}
	root := named(all, "batch")
	for _, s := range all {
		if s.Name != "batch" && !slices.ContainsFunc(root, func(r tracetest.SpanStub) bool { return r.SpanContext.SpanID() == s.Parent.SpanID() }) {
			t.Errorf("%s is of no batch", s.Name)
		}
	}
	call := named(all, "call /users/track")
	if len(call) != 1 || len(call[0].Links) != 1 || call[0].Links[0].SpanContext.SpanID() == call[0].Parent.SpanID() {
		t.Errorf("the call is of one batch and links the other: %+v", call)
	}
	if !root[0].StartTime.Equal(came) || !slices.Contains(root[0].Attributes, attribute.String("brazecdc.stream", "shop/0@1")) {
		t.Errorf("%+v", root[0])
	}
	if len(tr.open) != 0 {
		t.Errorf("%d streams are remembered", len(tr.open))
	}
}

func TestChunks(t *testing.T) {
	tr, spans := recorded(t, "", "")
	came := time.Now().Add(-time.Second)
	chunk := batchAt("load/users-1", 3)
	chunk.Load = &connector.LoadProgress{Load: "users-1"}
	ref := tr.Read(chunk, came)
	tr.Mapped(ref, came)
	live := tr.Read(batchAt("slot/x", 10), came)
	tr.Mapped(live, came)
	tr.Called(connector.TracedCall{Endpoint: "/users/track", Objects: 2, Began: time.Now(), From: []connector.TraceRef{live, ref}})
	tr.Confirmed([]connector.Position{{Stream: "load/users-1", Offset: 3}}, time.Now())
	got := named(spans(), "chunk")
	if len(got) != 1 || len(named(spans(), "batch")) != 0 || !slices.Contains(got[0].Attributes, attribute.Int("brazecdc.offset", 3)) {
		t.Fatalf("%+v", spans())
	}
	for _, name := range []string{"read", "map", "wait", "confirm"} {
		if !slices.ContainsFunc(named(spans(), name), func(s tracetest.SpanStub) bool { return s.Parent.SpanID() == got[0].SpanContext.SpanID() }) {
			t.Errorf("the chunk has no part %s", name)
		}
	}
	if call := named(spans(), "call /users/track"); len(call) != 1 || len(call[0].Links) != 1 || call[0].Links[0].SpanContext.SpanID() != got[0].SpanContext.SpanID() {
		t.Errorf("the call links its chunk: %+v", call)
	}
	if len(tr.open) != 1 {
		t.Errorf("%d streams are remembered, want the live one", len(tr.open))
	}
}

const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestTraceparent(t *testing.T) {
	other := strings.Replace(parent, "4bf9", "5bf9", 1)
	for _, c := range []struct {
		name   string
		traces []string
		trace  string
		links  int
	}{
		{"one is gone on with", []string{parent, parent}, parent[3:35], 0},
		{"several are linked", []string{parent, other}, "", 2},
		{"what is none counts for nothing", []string{"00-zz", ""}, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr, spans := recorded(t, "", "")
			tr.Read(batchAt("shop/0@1", 1, c.traces...), time.Now())
			tr.Confirmed([]connector.Position{{Stream: "shop/0@1", Offset: 1}}, time.Now())
			root := named(spans(), "batch")
			if len(root) != 1 || len(root[0].Links) != c.links || c.trace != "" && root[0].SpanContext.TraceID().String() != c.trace {
				t.Errorf("%+v", root)
			}
		})
	}
}

func TestSampling(t *testing.T) {
	for _, sampler := range []string{"always_off", "traceidratio", "parentbased_always_off", "parentbased_traceidratio"} {
		tr, spans := recorded(t, sampler, "0")
		ref := tr.Read(batchAt("slot/x", 1), time.Now())
		if ref != nil {
			t.Errorf("%s: the batch is kept", sampler)
		}
		tr.Mapped(ref, time.Now())
		tr.Called(connector.TracedCall{Endpoint: "/users/track", Began: time.Now()})
		if n := len(spans()); n != 0 {
			t.Errorf("%s: %d spans", sampler, n)
		}
		tr.Called(connector.TracedCall{Endpoint: "/users/track", Began: time.Now(), Err: &connector.RetryableError{Why: connector.RetryServer, Err: errors.New("u-1 said no")}})
		tr.Confirmed([]connector.Position{{Stream: "slot/x", Offset: 1}}, time.Now())
		got := spans()
		if len(got) != 1 || got[0].Status.Code != codes.Error || got[0].Status.Description != "server" || !slices.Contains(got[0].Attributes, attribute.String("error.type", "server")) {
			t.Errorf("%s: a failed call is sampled in any case, without words of Braze: %+v", sampler, got)
		}
	}
	for name, arg := range map[string]string{"sometimes": "", "traceidratio": "2"} {
		if _, err := samplerOf(name, arg); err == nil {
			t.Errorf("%s %s is taken", name, arg)
		}
	}
}

func TestOn(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want bool
	}{
		{nil, false},
		{map[string]string{"OTEL_SERVICE_NAME": "x"}, false},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, true},
		{map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, true},
		{map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, true},
		{map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, false},
		{map[string]string{"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"}, false},
	} {
		if got := On(func(name string) string { return c.env[name] }); got != c.want {
			t.Errorf("%v: %t", c.env, got)
		}
	}
}

func TestLostPartition(t *testing.T) {
	tr, _ := recorded(t, "", "")
	tr.Read(batchAt("shop/0@1", 10), time.Now())
	tr.Read(batchAt("shop/1@1", 10), time.Now())
	tr.Read(batchAt("shop/0@2", 10), time.Now())
	if _, lost := tr.open["shop/0@1"]; lost || len(tr.open) != 2 {
		t.Errorf("%d streams are remembered", len(tr.open))
	}
	if tr.Read(&connector.Batch{}, time.Now()) != nil {
		t.Error("a batch without changes is traced")
	}
}
