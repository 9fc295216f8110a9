package contextcore

// What calls do for a program, and what they never do to it.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/trace"
)

func TestWhatCannotBeWrittenIsCountedAndReturnedIfStrict(t *testing.T) {
	ctx, file := context.Background(), filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tracker := must(NewTracker("p", WithStateDir(filepath.Join(file, "x")), quiet()))
	for range 2 {
		if err := tracker.Complete(ctx, "T-1"); err != nil {
			t.Error(err)
		}
	}
	same(t, tracker.Dropped(), uint64(2))
	strict := must(NewTracker("p", WithStateDir(filepath.Join(file, "y")), WithStrict()))
	if err := strict.Complete(ctx, "T-1"); !errors.Is(err, ErrSpoolUnavailable) {
		t.Errorf("%v", err)
	}
	state := t.TempDir()
	strict = must(NewTracker("p", WithStateDir(state), WithStrict()))
	if err := strict.Progress(ctx, "T-1", 140); !errors.Is(err, ErrInvalid) {
		t.Errorf("%v", err)
	}
	if _, err := strict.Start(ctx, "", "x"); !errors.Is(err, ErrInvalid) {
		t.Errorf("%v", err)
	}
	if _, err := strict.Emitter("a").Emit(ctx, "hunch", "x"); !errors.Is(err, ErrInvalid) {
		t.Errorf("%v", err)
	}
	same(t, strict.Dropped(), uint64(3))
	same(t, len(lines(t, state)), 0)
	for _, option := range []Option{WithEndpoint("nonsense"), WithMode("somehow")} {
		if _, err := NewTracker("p", option, WithStrict()); !errors.Is(err, ErrInvalid) {
			t.Errorf("%v", err)
		}
		if _, err := NewTracker("p", option, quiet()); err != nil {
			t.Error(err)
		}
	}
}

type hostile struct{}

func (hostile) String() string               { panic("no text") }
func (hostile) MarshalJSON() ([]byte, error) { panic("no JSON") }

func TestNothingThatIsGivenPanics(t *testing.T) {
	state := t.TempDir()
	var nothing context.Context
	var pointer *hostile
	var stringer fmt.Stringer
	cycle := map[string]any{}
	cycle["self"] = cycle
	list := []any{nil}
	list[0] = list
	type loop *loop
	var itself loop
	itself = &itself
	tracker := must(NewTracker("p", nil, WithStateDir(state), quiet()))
	for _, value := range []any{
		nil, "", 0, math.NaN(), math.Inf(1), []any{}, map[string]any{}, uint64(math.MaxUint64), "\xff", hostile{}, []any{hostile{}}, pointer,
		stringer, errors.New("x"), func() {}, make(chan int), cycle, list, itself, time.Time{}, complex(1, 2), []byte("x"), struct{ A any }{hostile{}},
	} {
		text := fmt.Sprintf("%T", value)
		if given, isText := value.(string); isText {
			text = given
		}
		if _, err := tracker.Start(nothing, text, text, WithAttr("a", value), WithType(text), WithDue(text), nil); err != nil {
			t.Error(err)
		}
		if err := tracker.Event(nothing, "T-1", text, WithAttr("a", value), WithAttr("", value)); err != nil {
			t.Error(err)
		}
		if _, err := tracker.Emitter("a").Decision(nothing, "x", WithContext("file", value), WithInput("y", value), nil); err != nil {
			t.Error(err)
		}
	}
	_ = tracker.Progress(nothing, "T-1", math.NaN())
	same(t, tracker.Dropped() > 0, true)
	same(t, tracker.Close(nothing) != nil, true)
}

func TestHooksAndHandlersThatFailCostOnlyTheCall(t *testing.T) {
	ctx, state := context.Background(), t.TempDir()
	tracker := must(NewTracker("p", WithStateDir(state), WithLogger(slog.New(failing{})),
		WithBeforeSend(func(*Operation) bool { panic("not today") })))
	_ = tracker.Complete(ctx, "T-1")
	_ = tracker.Progress(ctx, "T-1", 140)
	same(t, tracker.Dropped(), uint64(2))
	same(t, len(lines(t, state)), 0)
}

type failing struct{ slog.Handler }

func (failing) Enabled(context.Context, slog.Level) bool { panic("no log") }

func TestAHandlerThatReportsItselfIsNoLoop(t *testing.T) {
	forgetLogged()
	handler := &reporting{}
	tracker := must(NewTracker("p", WithStateDir(t.TempDir()), WithLogger(slog.New(handler))))
	handler.tracker = tracker
	_ = tracker.Progress(context.Background(), "", 5)
	_ = tracker.Progress(context.Background(), "T-1", 140)
	_ = tracker.Flush(context.Background())
	// The call that was dropped, the percentage, the report of that, which is cut, and what is not yet accepted.
	same(t, handler.count > 2 && handler.count < 10, true)
}

type reporting struct {
	slog.Handler
	tracker *Tracker
	count   int
}

func (*reporting) Enabled(context.Context, slog.Level) bool { return true }
func (r *reporting) Handle(ctx context.Context, record slog.Record) error {
	r.count++
	return r.tracker.Comment(ctx, "LOG", "program", record.Message+strings.Repeat("x", 70_000))
}

func TestBeforeSendChangesAndDrops(t *testing.T) {
	ctx, recorder := context.Background(), &Recorder{}
	tracker := must(NewTracker("p", WithRecorder(recorder), WithBeforeSend(func(operation *Operation) bool {
		operation.Set("title", "removed")
		operation.Set("op", "nonsense")
		operation.Delete("attributes")
		return operation.Name() != "task.comment"
	})))
	_ = tracker.Comment(ctx, "T-1", "ada", "secret")
	_, _ = tracker.Start(ctx, "T-1", "secret", WithAttr("a", "secret"))
	same(t, len(recorder.Operations()), 1)
	found := recorder.Operations()[0]
	same(t, string(must(found.MarshalJSON())), `{"op":"task.start","task":"T-1","title":"removed"}`)
	same(t, []any{found.Name(), found.Text("task"), found.Has("attributes")}, []any{"task.start", "T-1", false})
}

func TestDisabledDoesNothing(t *testing.T) {
	ctx, state := context.Background(), filepath.Join(t.TempDir(), "state")
	t.Setenv("OTEL_SDK_DISABLED", "true")
	for _, options := range [][]Option{nil, {WithMode(Disabled)}} {
		tracker := must(NewTracker("p", append(options, WithStateDir(state))...))
		_ = tracker.Complete(ctx, "T-1")
		same(t, tracker.Close(ctx), nil)
		same(t, tracker.Dropped(), uint64(0))
	}
	if _, err := os.Stat(state); !os.IsNotExist(err) {
		t.Error("something was written")
	}
}

func TestAContextGivesWhatACallLeavesOut(t *testing.T) {
	ctx, state := context.Background(), t.TempDir()
	id := must(trace.TraceIDFromHex("0af7651916cd43dd8448eb211c80319c"))
	span := must(trace.SpanIDFromHex("b7ad6b7169203331"))
	within := trace.ContextWithSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: span, TraceFlags: 1}))
	bag := must(baggage.Parse("project.id=team%20a,task.id=T-9"))
	tracker := must(NewTracker("", WithStateDir(state), WithActor("ada"), quiet()))
	_ = tracker.Complete(baggage.ContextWithBaggage(within, bag), "")
	_ = tracker.Complete(baggage.ContextWithBaggage(within, bag), "T-1")
	_, _ = tracker.Emitter("claude").Decision(baggage.ContextWithBaggage(ctx, bag), "Use an index")
	_ = tracker.Sprints().AddTask(baggage.ContextWithBaggage(ctx, bag), "S-1", "")
	_ = tracker.Complete(ctx, "T-2")
	_ = tracker.Complete(ctx, "")
	same(t, tracker.Dropped(), uint64(1))
	redact := func(path string) []string {
		found := []string{}
		for _, line := range lines(t, path) {
			found = append(found, redacted(t, line))
		}
		return found
	}
	same(t, redact(filepath.Join(state, "lanes", "none", "spool", "team%20a")), []string{
		`{"v":1,"seq":1,"t":"<t>","op":"task.complete","task":"T-9","actor":"ada","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}`,
		`{"v":1,"seq":2,"t":"<t>","op":"task.complete","task":"T-1","actor":"ada","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}`,
		`{"v":1,"seq":3,"t":"<t>","op":"insight.emit","id":"` + insightID("team a", "decision", "Use an index", nil, "") +
			`","type":"decision","summary":"Use an index","agent":"claude","task":"T-9","actor":"ada"}`,
		`{"v":1,"seq":4,"t":"<t>","op":"task.update","task":"T-9","sprint":"S-1","actor":"ada"}`,
	})
	same(t, redact(filepath.Join(state, "lanes", "none", "spool", "default")), []string{
		`{"v":1,"seq":1,"t":"<t>","op":"task.complete","task":"T-2","actor":"ada"}`,
	})
	// A project that was given goes before that of the baggage.
	named := must(NewTracker("shop", WithStateDir(state), quiet()))
	_ = named.Complete(baggage.ContextWithBaggage(ctx, bag), "")
	same(t, len(lines(t, filepath.Join(state, "lanes", "none", "spool", "shop"))), 1)
}

func TestATaskKeepsTheProjectItWasStartedIn(t *testing.T) {
	state := t.TempDir()
	tracker := must(NewTracker("", WithStateDir(state), quiet()))
	inside := baggage.ContextWithBaggage(context.Background(), must(baggage.Parse("project.id=one")))
	task, _ := tracker.Start(inside, "T-1", "x")
	other := baggage.ContextWithBaggage(context.Background(), must(baggage.Parse("project.id=two")))
	_ = task.Complete(other)
	same(t, names(operations(t, filepath.Join(state, "lanes", "none", "spool", "one"))), []string{"task.start", "task.complete"})
	same(t, []string{task.ID(), task.Project()}, []string{"T-1", "one"})
	same(t, tracker.ActiveTasks(), []string{})
	found := baggage.FromContext(task.Context(other))
	same(t, []string{found.Member(ProjectID).Value(), found.Member(TaskID).Value()}, []string{"one", "T-1"})
	// What baggage names goes through any text.
	strange := tracker.Context(context.Background(), "Größe, 1;x=%")
	same(t, baggage.FromContext(strange).Member(TaskID).Value(), "Größe, 1;x=%")
}

func TestBaggageNamesALimitedNumberOfProjects(t *testing.T) {
	tracker := must(NewTracker("", WithStateDir(t.TempDir()), quiet()))
	for n := range mostProjects + 5 {
		member := must(baggage.NewMemberRaw(ProjectID, fmt.Sprint("p", n)))
		_ = tracker.Complete(baggage.ContextWithBaggage(context.Background(), must(baggage.New(member))), "T-1")
	}
	same(t, tracker.Dropped(), uint64(5))
	_ = tracker.Complete(context.Background(), "T-1")
	same(t, tracker.Dropped(), uint64(5))
	_ = tracker.Close(context.Background())
}

type vendorError struct{}

func (*vendorError) Error() string { return "secret" }

func TestATimeThatNoReaderTakesIsRefused(t *testing.T) {
	ctx, latest := context.Background(), time.Date(9999, 12, 30, 22, 0, 0, 0, time.UTC)
	recorder := &Recorder{}
	tracker := must(NewTracker("p", WithRecorder(recorder), quiet()))
	for _, when := range []time.Time{latest, latest.Add(time.Second), latest.AddDate(0, 0, 1)} {
		same(t, tracker.Complete(ctx, "T-1", WithTime(when)), nil)
	}
	found := []string{}
	for _, each := range recorder.Operations() {
		found = append(found, each.Text("at"))
	}
	same(t, found, []string{"9999-12-30T22:00:00Z", "", ""})
	strict := must(NewTracker("p", WithRecorder(recorder), WithStrict(), quiet()))
	same(t, strict.Complete(ctx, "T-1", WithTime(latest.AddDate(0, 0, 1))) != nil, true)
}

func TestAFunctionAsATask(t *testing.T) {
	ctx, recorder := context.Background(), &Recorder{}
	tracker := must(NewTracker("p", WithRecorder(recorder)))
	shown := func() []string {
		found := []string{}
		for _, each := range recorder.Operations() {
			found = append(found, strings.TrimSpace(each.Name()+" "+each.Text("reason")))
		}
		*recorder = Recorder{}
		return found
	}
	err := tracker.Run(ctx, "T-1", "x", func(ctx context.Context, task *Task) error {
		same(t, baggage.FromContext(ctx).Member(TaskID).Value(), "T-1")
		return tracker.Progress(ctx, "", 50)
	})
	same(t, err, nil)
	same(t, shown(), []string{"task.start", "task.status", "task.progress", "task.complete"})
	failure := fmt.Errorf("because: %w", &vendorError{})
	same(t, tracker.Run(ctx, "T-2", "x", func(context.Context, *Task) error { return failure }), failure)
	same(t, shown(), []string{"task.start", "task.status", "task.status contextcore.vendorError"})
	same(t, kindOf(errors.New("secret")), "error")
	stopped := tracker.Run(ctx, "T-3", "x", func(context.Context, *Task) error { return context.Canceled })
	same(t, errors.Is(stopped, context.Canceled), true)
	same(t, shown(), []string{"task.start", "task.status"})
	_ = tracker.Run(ctx, "T-4", "x", func(ctx context.Context, task *Task) error { return task.Cancel(ctx) })
	same(t, shown(), []string{"task.start", "task.status", "task.cancel"})
	func() {
		defer func() { same(t, recover(), "oh") }()
		_ = tracker.Run(ctx, "T-5", "x", func(context.Context, *Task) error { panic("oh") })
	}()
	same(t, shown(), []string{"task.start", "task.status", "task.status panic"})
	same(t, tracker.ActiveTasks(), []string{"T-2", "T-3", "T-5"})
}

func TestWarningsOfAProgram(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	_, stderr := run(t, "warnings", "", state, nil)
	same(t, strings.Count(stderr, "contextcore: "), 1)
	same(t, strings.Contains(stderr, "OTEL_EXPORTER_OTLP_ENDPOINT"), true)
	_, stderr = run(t, "warnings", "", state, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://tempo:4317"})
	same(t, strings.Count(stderr, "contextcore: "), 1)
	same(t, strings.Contains(stderr, "contextcore drain"), true)
}

func TestBadValuesAreLoggedOnce(t *testing.T) {
	var text bytes.Buffer
	tracker := must(NewTracker("p", WithStateDir(t.TempDir()), WithLogger(slog.New(slog.NewTextHandler(&text, nil)))))
	for range 3 {
		_, _ = tracker.Start(context.Background(), "T-1", "x", WithType("kind-of-"+t.Name()))
	}
	same(t, strings.Count(text.String(), "the task type kind-of-"), 1)
}
