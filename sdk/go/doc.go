// Package contextcore reports tasks of programs, and insights of agents. They become OpenTelemetry traces, logs and metrics that
// outlive the process.
//
//	tracker, err := contextcore.NewTracker("commerce-platform", contextcore.WithEndpoint("http://tempo:4317"))
//	if err != nil {
//		return err // only with WithStrict
//	}
//	defer tracker.Close(ctx)
//	tracker.Start(ctx, "PROJ-123", "Implement checkout flow", contextcore.WithType("story"))
//	tracker.SetStatus(ctx, "PROJ-123", "in_progress")
//	tracker.Complete(ctx, "PROJ-123")
//
// Each call appends one line to a file and returns: there is no queue to lose and nothing to wait for. A task belongs to its id: another
// process can complete, a day later, what this one starts. The binary of ContextCore, named by CONTEXTCORE_BIN, is started to send the
// lines; without it they wait for `contextcore drain`.
//
// The error of a call is nil unless the client was made [WithStrict]: what cannot be written counts in Dropped and is logged with
// log/slog. A context gives what a call leaves out: the span that it is made in, and, from its baggage, the project (`project.id`) and
// the task (`task.id`). All clients may be used from many goroutines.
//
// Read [Tracker] first, then [Emitter] for agents. docs/SDK.md in the repository is the guide, docs/SPOOL.md the format of the lines.
package contextcore
