// Package tracing makes traces of what a pipeline does and sends them over OTLP/HTTP, where the standard OTEL_* variables ask for that.
//
// A batch that the source hands over is a span from its reading to its confirmation, with a child each for reading (the wait for room), mapping, the wait for its
// first call, and the record that confirms it. A call is a child of the first sampled batch that it carries changes of, and links to the others. A batch of Kafka
// goes on with the trace whose traceparent its one record carries, and links to those of several. Nothing in a span is a row's value or a user.
package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// On tells whether the standard variables ask for traces: an endpoint, or otlp as the exporter, and nothing that turns them off.
func On(env func(string) string) bool {
	switch exporter := env("OTEL_TRACES_EXPORTER"); {
	case strings.EqualFold(env("OTEL_SDK_DISABLED"), "true"), exporter == "none":
		return false
	case exporter == "otlp":
		return true
	default:
		return exporter == "" && (env("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "")
	}
}

// Start makes a tracer that exports as the variables say, nil where they ask for none. stop sends what is left.
func Start(ctx context.Context, version string, log *slog.Logger) (t *Tracer, stop func(context.Context) error, err error) {
	if !On(os.Getenv) {
		return nil, func(context.Context) error { return nil }, nil
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if p := os.Getenv(name); p != "" && p != "http/protobuf" {
			return nil, nil, fmt.Errorf("%s is %q: traces are sent as http/protobuf only", name, p)
		}
	}
	sampler, err := samplerOf(os.Getenv("OTEL_TRACES_SAMPLER"), os.Getenv("OTEL_TRACES_SAMPLER_ARG"))
	if err != nil {
		return nil, nil, err
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("make the exporter of traces: %w", err)
	}
	from, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "brazecdc"), attribute.String("service.version", version)), resource.WithFromEnv(),
		resource.WithTelemetrySDK())
	if err != nil {
		return nil, nil, fmt.Errorf("read the resource attributes of traces: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("traces are lost", "err", err) }))
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(from), sdktrace.WithSampler(sampler))
	return New(provider), provider.Shutdown, nil
}

// samplerOf gives the sampler of the standard variables, which samples what failed in any case.
func samplerOf(name, arg string) (sdktrace.Sampler, error) {
	share := 1.0
	if arg != "" {
		var err error
		if share, err = strconv.ParseFloat(arg, 64); err != nil || share < 0 || share > 1 {
			return nil, fmt.Errorf("OTEL_TRACES_SAMPLER_ARG is %q, not a share from 0 to 1", arg)
		}
	}
	var s sdktrace.Sampler
	switch name {
	case "", "parentbased_always_on":
		s = sdktrace.ParentBased(sdktrace.AlwaysSample())
	case "always_on":
		s = sdktrace.AlwaysSample()
	case "always_off":
		s = sdktrace.NeverSample()
	case "traceidratio":
		s = sdktrace.TraceIDRatioBased(share)
	case "parentbased_always_off":
		s = sdktrace.ParentBased(sdktrace.NeverSample())
	case "parentbased_traceidratio":
		s = sdktrace.ParentBased(sdktrace.TraceIDRatioBased(share))
	default:
		return nil, fmt.Errorf("OTEL_TRACES_SAMPLER is %q, which is none of always_on, always_off, traceidratio and these with parentbased_ before", name)
	}
	return failures{s}, nil
}

// failures samples spans that are made with an error type, and leaves the others to the next sampler.
type failures struct{ sdktrace.Sampler }

// ShouldSample implements sdktrace.Sampler.
func (f failures) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	r := f.Sampler.ShouldSample(p)
	for _, a := range p.Attributes {
		if a.Key == errorType {
			r.Decision = sdktrace.RecordAndSample
		}
	}
	return r
}
