// Package benches measures what a call costs, beside a span of the OpenTelemetry SDK in the same run:
//
//	cd benches && go test -bench .
//
// It is a module of its own, so that users of the SDK do not depend on what it is compared with.
package benches

import (
	"context"
	"testing"

	contextcore "contextcore.io/sdk/go"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

func tracker(b *testing.B) *contextcore.Tracker {
	b.Helper()
	b.ReportAllocs()
	found, err := contextcore.NewTracker("p", contextcore.WithStateDir(b.TempDir()), contextcore.WithoutDrain())
	if err != nil {
		b.Fatal(err)
	}
	return found
}

func BenchmarkStart(b *testing.B) {
	tracker, ctx := tracker(b), context.Background()
	for b.Loop() {
		_, _ = tracker.Start(ctx, "PROJ-123", "Implement checkout flow", contextcore.WithType("story"), contextcore.WithParent("EPIC-42"))
	}
}

func BenchmarkStartInASpan(b *testing.B) {
	tracker := tracker(b)
	provider := sdktrace.NewTracerProvider()
	ctx, span := provider.Tracer("benches").Start(context.Background(), "work")
	defer span.End()
	for b.Loop() {
		_, _ = tracker.Start(ctx, "PROJ-123", "Implement checkout flow", contextcore.WithType("story"), contextcore.WithParent("EPIC-42"))
	}
}

func BenchmarkComplete(b *testing.B) {
	tracker, ctx := tracker(b), context.Background()
	for b.Loop() {
		_ = tracker.Complete(ctx, "PROJ-123")
	}
}

func BenchmarkCompleteFromGoroutines(b *testing.B) {
	tracker, ctx := tracker(b), context.Background()
	b.RunParallel(func(each *testing.PB) {
		for each.Next() {
			_ = tracker.Complete(ctx, "PROJ-123")
		}
	})
}

func BenchmarkDecision(b *testing.B) {
	emitter, ctx := tracker(b).Emitter("claude"), context.Background()
	for b.Loop() {
		_, _ = emitter.Decision(ctx, "Selected event-driven architecture", contextcore.WithConfidence(0.92))
	}
}

// A span that is sampled and goes to a batch processor, as a program of OpenTelemetry has it.
func BenchmarkSpanOfOpenTelemetry(b *testing.B) {
	b.ReportAllocs()
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(nowhere{}))
	tracer, ctx := provider.Tracer("benches"), context.Background()
	for b.Loop() {
		_, span := tracer.Start(ctx, "Implement checkout flow")
		span.End()
	}
}

type nowhere struct{}

func (nowhere) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (nowhere) Shutdown(context.Context) error                             { return nil }
