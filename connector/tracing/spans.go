package tracing

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"brazecdc/connector"
)

// Names of attributes. Those that begin with messaging follow version 1.37.0 of OpenTelemetry's semantic conventions.
const (
	errorType  = attribute.Key("error.type")
	batchCount = attribute.Key("messaging.batch.message_count")
	operation  = attribute.Key("messaging.operation.name")
	stream     = attribute.Key("brazecdc.stream")
	offset     = attribute.Key("brazecdc.offset")
	endpoint   = attribute.Key("brazecdc.endpoint")
	objects    = attribute.Key("brazecdc.objects")
)

// Tracer implements connector.Tracer.
type Tracer struct {
	spans trace.Tracer

	mu   sync.Mutex
	open map[string][]*batch // of a stream, in its order
}

var _ connector.Tracer = (*Tracer)(nil)

// New makes a tracer whose spans come of a provider.
func New(p trace.TracerProvider) *Tracer {
	return &Tracer{spans: p.Tracer("brazecdc"), open: map[string][]*batch{}}
}

// batch is a span that has begun. It is kept only where it is sampled.
type batch struct {
	ctx    context.Context
	span   trace.Span
	offset uint64

	mu     sync.Mutex
	mapped time.Time // since when its changes wait; zero before and after
}

// begin starts a span at a time.
func (t *Tracer) begin(ctx context.Context, name string, at time.Time, o ...trace.SpanStartOption) (context.Context, trace.Span) {
	return t.spans.Start(ctx, name, append(o, trace.WithTimestamp(at))...)
}

// part makes a span of a batch that is over.
func (t *Tracer) part(b *batch, name string, from, to time.Time) {
	_, s := t.begin(b.ctx, name, from)
	s.End(trace.WithTimestamp(to))
}

// Read implements connector.Tracer.
func (t *Tracer) Read(b *connector.Batch, came time.Time) connector.TraceRef {
	if len(b.Changes) == 0 {
		return nil
	}
	ctx, links := taken(b.Traces)
	name, kind := "batch", trace.SpanKindConsumer
	if b.Load != nil {
		name, kind = "chunk", trace.SpanKindInternal // it was asked for; its offset is its number
	}
	attrs := trace.WithAttributes(stream.String(b.Position.Stream), offset.Int64(int64(b.Position.Offset)), batchCount.Int(len(b.Changes)), operation.String("process")) //nolint:gosec // positions are below 2^63
	ctx, span := t.begin(ctx, name, came, attrs, trace.WithLinks(links...), trace.WithSpanKind(kind))
	if !span.SpanContext().IsSampled() {
		return nil
	}
	x := &batch{ctx: ctx, span: span, offset: b.Position.Offset}
	t.part(x, "read", came, time.Now())
	t.mu.Lock()
	if len(t.open[b.Position.Stream]) == 0 {
		t.forget(b.Position.Stream)
	}
	t.open[b.Position.Stream] = append(t.open[b.Position.Stream], x)
	t.mu.Unlock()
	return x
}

// forget drops the batches of earlier assignments of a stream's partition, which nobody confirms any more. The lock is held.
func (t *Tracer) forget(now string) {
	part := connector.PartOf(now)
	for s := range t.open {
		if s != now && part != "" && connector.PartOf(s) == part {
			delete(t.open, s)
		}
	}
}

// taken gives the context of the one trace that a batch's records are of, else links to all of them.
func taken(parents []string) (ctx context.Context, links []trace.Link) {
	ctx = context.Background()
	seen := map[string]bool{}
	for _, p := range parents {
		if seen[p] {
			continue
		}
		seen[p] = true
		c := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": p})
		if s := trace.SpanContextFromContext(c); s.IsValid() {
			ctx = c
			links = append(links, trace.Link{SpanContext: s})
		}
	}
	if len(links) > 1 {
		return context.Background(), links
	}
	return ctx, nil
}

// Mapped implements connector.Tracer.
func (t *Tracer) Mapped(of connector.TraceRef, began time.Time) {
	b, ok := of.(*batch)
	if !ok {
		return
	}
	now := time.Now()
	t.part(b, "map", began, now)
	b.mu.Lock()
	b.mapped = now
	b.mu.Unlock()
}

// Called implements connector.Tracer.
func (t *Tracer) Called(c connector.TracedCall) {
	ctx := context.Background()
	var links []trace.Link
	for i, ref := range c.From {
		b, ok := ref.(*batch)
		if !ok {
			continue
		}
		t.waited(b, c.Began)
		if i == 0 {
			ctx = b.ctx
		} else {
			links = append(links, trace.Link{SpanContext: b.span.SpanContext()})
		}
	}
	attrs := []attribute.KeyValue{endpoint.String(c.Endpoint), objects.Int(c.Objects)}
	if c.Err != nil {
		attrs = append(attrs, errorType.String(typeOf(c.Err)))
	}
	_, span := t.begin(ctx, "call "+c.Endpoint, c.Began, trace.WithAttributes(attrs...), trace.WithLinks(links...), trace.WithSpanKind(trace.SpanKindClient))
	if c.Err != nil {
		span.SetStatus(codes.Error, typeOf(c.Err))
	}
	span.End()
}

// waited ends a batch's wait with its first call.
func (t *Tracer) waited(b *batch, until time.Time) {
	b.mu.Lock()
	since := b.mapped
	b.mapped = time.Time{}
	b.mu.Unlock()
	if !since.IsZero() && since.Before(until) {
		t.part(b, "wait", since, until)
	}
}

// typeOf names the kind of a call's end from a closed list; the error's own words may quote what was sent.
func typeOf(err error) string {
	var again *connector.RetryableError
	var refused *connector.RejectedError
	switch {
	case errors.As(err, &again):
		return again.Why.String()
	case errors.As(err, &refused):
		return "refused"
	case errors.Is(err, context.Canceled):
		return "cancelled"
	}
	return "stop"
}

// Confirmed implements connector.Tracer.
func (t *Tracer) Confirmed(positions []connector.Position, began time.Time) {
	now := time.Now()
	for _, p := range positions {
		for _, b := range t.take(p) {
			t.part(b, "confirm", began, now)
			b.span.End(trace.WithTimestamp(now))
		}
	}
}

// take gives the batches that a position ends.
func (t *Tracer) take(p connector.Position) []*batch {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := t.open[p.Stream]
	n := 0
	for n < len(all) && all[n].offset <= p.Offset {
		n++
	}
	if n == len(all) {
		delete(t.open, p.Stream)
	} else {
		t.open[p.Stream] = all[n:]
	}
	return all[:n]
}
