package contextcore

// What a context says: the current span, and the project and task of its baggage.

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/trace"
)

// traceparent is that of the current span, as the W3C writes it; empty without a span.
func traceparent(ctx context.Context) string {
	if ctx == nil {
		return ""
	}
	span := trace.SpanContextFromContext(ctx)
	if !span.IsValid() {
		return ""
	}
	return fmt.Sprintf("00-%s-%s-%02x", span.TraceID(), span.SpanID(), byte(span.TraceFlags()))
}

// fromBaggage is a text of the baggage; empty without it.
func fromBaggage(ctx context.Context, name string) string {
	if ctx == nil {
		return ""
	}
	return trimmed(baggage.FromContext(ctx).Member(name).Value())
}

// subject gives the project and the task of a call: what was given, else what the context says.
func (c *client) subject(ctx context.Context, task string) (project, id string) {
	project, id = c.project, trimmed(task)
	if project == "" {
		project = fromBaggage(ctx, ProjectID)
	}
	if project == "" {
		project = c.fallback
	}
	if id == "" {
		id = fromBaggage(ctx, TaskID)
	}
	return project, id
}

// within puts the project and a task into the baggage and on the current span.
func within(ctx context.Context, project, task string) context.Context {
	trace.SpanFromContext(ctx).SetAttributes(attribute.String(ProjectID, project), attribute.String(TaskID, task))
	bag := baggage.FromContext(ctx)
	for _, each := range []struct{ name, value string }{{ProjectID, project}, {TaskID, task}} {
		member, err := baggage.NewMemberRaw(each.name, each.value)
		if err != nil {
			continue
		}
		if set, err := bag.SetMember(member); err == nil {
			bag = set
		}
	}
	return baggage.ContextWithBaggage(ctx, bag)
}
