package contextcore

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
)

// Emitter reports what an agent decides, learns, asks and hands over. Like a [Tracker], each call appends one line to a file and returns.
// The insight is kept by the service for as long as it holds, also when traces have expired.
type Emitter struct {
	client *client
	agent  string
}

// NewEmitter makes an emitter for an agent in a project; see [NewTracker]. An empty agent is CONTEXTCORE_AGENT.
func NewEmitter(project, agent string, options ...Option) (*Emitter, error) {
	client, err := newClient(project, options)
	if err != nil {
		return nil, err
	}
	return &Emitter{client, cmp.Or(agent, os.Getenv("CONTEXTCORE_AGENT"))}, nil
}

// Emitter reports what an agent finds and decides in the same project, to the same destination.
func (t *Tracker) Emitter(agent string) *Emitter {
	return &Emitter{t.client, cmp.Or(agent, os.Getenv("CONTEXTCORE_AGENT"))}
}

// Emit reports an insight of any type, and returns it with its id. A type that is not ours is an analysis, of that category.
func (e *Emitter) Emit(ctx context.Context, insightType, summary string, options ...InsightOption) (Insight, error) {
	kind := trimmed(insightType)
	given := call{}
	for _, option := range options {
		if option != nil {
			option.applyInsight(&given)
		}
	}
	if kind != "" && !slices.Contains(InsightTypes, kind) {
		message := fmt.Sprintf("the insight type %s is none of %s; it is an analysis of that category", kind, strings.Join(InsightTypes, ", "))
		if e.client.strict {
			e.client.dropped.Add(1)
			return Insight{}, fmt.Errorf("%w: %s", ErrInvalid, message)
		}
		e.client.log.once(message, message)
		if _, ok := given.given.get("category"); !ok {
			given.set("category", kind)
		}
		kind = "analysis"
	}
	return e.emit(ctx, kind, summary, given)
}

func (e *Emitter) emit(ctx context.Context, kind, summary string, given call) (Insight, error) {
	task := givenText(given, "task")
	project, task := e.client.subject(ctx, cmp.Or(task, e.client.agent.task))
	appliesTo := splitContext(&given)
	id := insightID(project, kind, plain(summary), appliesTo, givenText(given, "key"))
	who := e.client.agent
	for _, each := range []field{
		{"id", id}, {"type", kind}, {"summary", summary}, {"agent", e.agent}, {"agent_name", who.name}, {"session", who.session},
		{"on_behalf_of", who.onBehalfOf}, {"task", task}, {"applies_to", appliesTo},
	} {
		given.set(each.name, each.value)
	}
	if givenText(given, "audience") == "both" {
		given.set("audience", "")
	}
	_, err := e.client.record(ctx, "insight.emit", project, "", given)
	return Insight{id, kind, project, summary, appliesTo, cmp.Or(firstStatus[kind], "active")}, err
}

// splitContext takes the files of a context out of it: they are what the insight applies to.
func splitContext(given *call) []string {
	value, _ := given.given.get("applies_to")
	list, _ := value.([]string)
	found := writeTexts(list, nil).([]string)
	value, _ = given.given.get("context")
	rest := object{}
	for _, each := range toObject(value) {
		if !slices.Contains(fileFields, each.name) {
			rest = append(rest, each)
			continue
		}
		for _, file := range textsOf(each.value) {
			if !slices.Contains(found, file) {
				found = append(found, file)
			}
		}
	}
	given.set("context", rest)
	return found
}

func toObject(value any) object {
	found, _ := value.(object)
	return found
}

// textsOf is a list of texts, also from a single one.
func textsOf(value any) []string {
	if list := reflect.ValueOf(value); list.Kind() == reflect.Slice || list.Kind() == reflect.Array {
		found := []string{}
		for index := range list.Len() {
			if text := scalar(list.Index(index).Interface()); text != nil {
				found = append(found, textOf(text))
			}
		}
		return found
	}
	if text := scalar(value); text != nil {
		return []string{textOf(text)}
	}
	return nil
}

// withFirst puts an option before others, which go before it.
func withFirst(options []InsightOption, first InsightOption) []InsightOption {
	return append([]InsightOption{first}, options...)
}

// Decision is a choice that others should know of and keep to.
func (e *Emitter) Decision(ctx context.Context, summary string, options ...InsightOption) (Insight, error) {
	return e.Emit(ctx, "decision", summary, options...)
}

// Recommendation is what should be done.
func (e *Emitter) Recommendation(ctx context.Context, summary string, options ...InsightOption) (Insight, error) {
	return e.Emit(ctx, "recommendation", summary, options...)
}

// Lesson is what was learned the hard way.
func (e *Emitter) Lesson(ctx context.Context, summary string, options ...InsightOption) (Insight, error) {
	return e.Emit(ctx, "lesson", summary, withFirst(options, WithConfidence(0.9))...)
}

// Question is something that a person (or whom [To] names) must answer.
func (e *Emitter) Question(ctx context.Context, summary string, options ...InsightOption) (Insight, error) {
	return e.Emit(ctx, "question", summary, withFirst(options, To("human"))...)
}

// Blocker is what stops the work.
func (e *Emitter) Blocker(ctx context.Context, summary string, options ...InsightOption) (Insight, error) {
	return e.Emit(ctx, "blocker", summary, withFirst(options, WithConfidence(1))...)
}

// Discovery is a fact that was not known.
func (e *Emitter) Discovery(ctx context.Context, summary string, options ...InsightOption) (Insight, error) {
	return e.Emit(ctx, "discovery", summary, options...)
}

// Risk is what may go wrong, and how bad it would be.
func (e *Emitter) Risk(ctx context.Context, summary, severity string, options ...InsightOption) (Insight, error) {
	return e.Emit(ctx, "risk", summary, withFirst(options, WithSeverity(severity))...)
}

// Progress is how far the work is.
func (e *Emitter) Progress(ctx context.Context, summary string, options ...InsightOption) (Insight, error) {
	return e.Emit(ctx, "progress", summary, options...)
}

// Analysis is what was found by looking into something.
func (e *Emitter) Analysis(ctx context.Context, summary string, options ...InsightOption) (Insight, error) {
	return e.Emit(ctx, "analysis", summary, options...)
}

// Handoff offers work to another agent, to `human` or to `any`.
func (e *Emitter) Handoff(ctx context.Context, to, summary string, options ...InsightOption) (Insight, error) {
	return e.Emit(ctx, "handoff", summary, withFirst(options, To(to))...)
}

// Answer answers a question; by is empty where the agent itself does. An agent's answer is a suggestion until a person confirms it.
func (e *Emitter) Answer(ctx context.Context, id, text, by string) error {
	return e.change(ctx, id, "answer", text, field{"by", by})
}

// Retract takes an insight back. The reason may be empty, here and below.
func (e *Emitter) Retract(ctx context.Context, id, reason string) error {
	return e.change(ctx, id, "retract", reason)
}

// AcceptHandoff takes over the work that was offered.
func (e *Emitter) AcceptHandoff(ctx context.Context, id, text string) error {
	return e.change(ctx, id, "accept", text)
}

// CompleteHandoff finishes the work that was taken over.
func (e *Emitter) CompleteHandoff(ctx context.Context, id, text string) error {
	return e.change(ctx, id, "complete", text)
}

// RejectHandoff declines the work that was offered.
func (e *Emitter) RejectHandoff(ctx context.Context, id, reason string) error {
	return e.change(ctx, id, "reject", reason)
}

// Confirm says that an insight held in this agent's own work.
func (e *Emitter) Confirm(ctx context.Context, id string, evidence ...Evidence) error {
	return e.change(ctx, id, "confirm", "", field{"evidence", evidence})
}

// Contradict says that an insight did not hold.
func (e *Emitter) Contradict(ctx context.Context, id, reason string, evidence ...Evidence) error {
	return e.change(ctx, id, "contradict", reason, field{"evidence", evidence})
}

// Resolve says that a blocker or a risk is over.
func (e *Emitter) Resolve(ctx context.Context, id, text string) error {
	return e.change(ctx, id, "resolve", text)
}

func (e *Emitter) change(ctx context.Context, id, action, text string, more ...field) error {
	given := object{{"id", id}, {"action", action}, {"text", text}, {"agent", e.agent}, {"session", e.client.agent.session}}
	project, _ := e.client.subject(ctx, "")
	_, err := e.client.record(ctx, "insight.update", project, "", call{given: append(given, more...)})
	return err
}

// Agent is who reports; empty if that is not known.
func (e *Emitter) Agent() string { return e.agent }

// Project is the project of calls whose context names no other.
func (e *Emitter) Project() string { return e.client.fallback }

// Dropped counts calls that could not be written.
func (e *Emitter) Dropped() uint64 { return e.client.dropped.Load() }

// Flush is [Tracker.Flush].
func (e *Emitter) Flush(ctx context.Context) error { return e.client.flush(ctx) }

// Close is [Tracker.Close].
func (e *Emitter) Close(ctx context.Context) error { return e.client.close(ctx) }
