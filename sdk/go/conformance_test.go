package contextcore

// The same calls give the same lines in every language: sdk/conformance.

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf16"
)

type conformanceCase struct {
	Name    string            `json:"name"`
	Client  string            `json:"client"`
	Options map[string]string `json:"options"`
	Calls   []conformanceCall `json:"calls"`
	Lines   []string          `json:"lines"`
}

type conformanceCall struct {
	Method  string                     `json:"method"`
	Args    []json.RawMessage          `json:"args"`
	Options map[string]json.RawMessage `json:"options"`
}

func readConformance(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "conformance", name))
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// value is a value of the file; `$` marks what JSON cannot say.
func value(t *testing.T, raw json.RawMessage) any {
	t.Helper()
	var given any
	if err := json.Unmarshal(raw, &given); err != nil {
		t.Fatal(err)
	}
	marked, _ := given.(map[string]any)
	for mark, of := range marked {
		list, _ := of.([]any)
		switch mark {
		case "$time":
			when, err := time.Parse(time.RFC3339, of.(string))
			if err != nil {
				t.Fatal(err)
			}
			return when
		case "$number":
			number, _ := strconv.ParseFloat(of.(string), 64)
			return number
		case "$repeat":
			return strings.Repeat(list[0].(string), int(list[1].(float64)))
		case "$repeat_list":
			return slices.Repeat([]any{list[0]}, int(list[1].(float64)))
		case "$units":
			// What is no pair is a byte that is no UTF-8 in a text of Go.
			text := ""
			units := make([]uint16, len(list))
			for index, unit := range list {
				units[index] = uint16(unit.(float64))
			}
			for _, c := range utf16.Decode(units) {
				text += strings.ReplaceAll(string(c), "\uFFFD", "\xff")
			}
			return text
		}
	}
	return given
}

// pairs are the entries of an object, in the order of the file.
func pairs(t *testing.T, raw json.RawMessage, each func(name string, value any)) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(raw))
	if _, err := decoder.Token(); err != nil {
		t.Fatal(err)
	}
	for decoder.More() {
		name, err := decoder.Token()
		var given json.RawMessage
		if err == nil {
			err = decoder.Decode(&given)
		}
		if err != nil {
			t.Fatal(err)
		}
		each(name.(string), value(t, given))
	}
}

func strs(given any) []string {
	if one, ok := given.(string); ok {
		return []string{one}
	}
	found := []string{}
	for _, each := range given.([]any) {
		found = append(found, each.(string))
	}
	return found
}

func taskOptions(t *testing.T, call conformanceCall) []TaskOption {
	cleared := map[string]Clearable{
		"assignee": Assignee, "labels": Labels, "due_date": Due, "story_points": StoryPoints, "parent_id": Parent, "url": URL,
		"title": "title", "task_type": "type",
	}
	var found []TaskOption
	for name, raw := range call.Options {
		given := value(t, raw)
		text, _ := given.(string)
		switch {
		case given == nil:
			found = append(found, Clear(cleared[name]))
		case name == "at":
			found = append(found, WithTime(given.(time.Time)))
		case name == "labels":
			found = append(found, WithLabels(strs(given)...))
		case name == "depends_on":
			found = append(found, WithDependsOn(strs(given)...))
		case name == "story_points":
			found = append(found, WithStoryPoints(given.(float64)))
		case name == "attributes":
			pairs(t, raw, func(name string, value any) { found = append(found, WithAttr(name, value)) })
		default:
			texts := map[string]func(string) TaskOption{
				"title": WithTitle, "task_type": WithType, "status": WithStatus, "new_status": WithStatus, "priority": WithPriority,
				"assignee": WithAssignee, "parent_id": WithParent, "url": WithURL, "sprint_id": WithSprint, "due_date": WithDue[string],
				"reason": WithReason, "blocked_by": WithBlockedBy,
			}
			if texts[name] == nil {
				t.Fatalf("no option %s", name)
			}
			found = append(found, texts[name](text))
		}
	}
	return found
}

func callTracker(t *testing.T, tracker *Tracker, call conformanceCall) {
	ctx, options := context.Background(), taskOptions(t, call)
	arg := func(index int) string { return value(t, call.Args[index]).(string) }
	var err error
	switch call.Method {
	case "start_task":
		_, err = tracker.Start(ctx, arg(0), arg(1), options...)
	case "update_task":
		err = tracker.Update(ctx, arg(0), options...)
	case "update_status":
		err = tracker.SetStatus(ctx, arg(0), arg(1), options...)
	case "block_task":
		err = tracker.Block(ctx, arg(0), arg(1), options...)
	case "unblock_task":
		err = tracker.Unblock(ctx, arg(0), options...)
	case "complete_task":
		err = tracker.Complete(ctx, arg(0), options...)
	case "cancel_task":
		err = tracker.Cancel(ctx, arg(0), options...)
	case "reopen_task":
		err = tracker.Reopen(ctx, arg(0), options...)
	case "assign_task":
		err = tracker.Assign(ctx, arg(0), arg(1), options...)
	case "set_progress":
		err = tracker.Progress(ctx, arg(0), value(t, call.Args[1]).(float64), options...)
	case "add_comment":
		err = tracker.Comment(ctx, arg(0), arg(1), arg(2), options...)
	case "add_event":
		err = tracker.Event(ctx, arg(0), arg(1), options...)
	case "link":
		err = tracker.Link(ctx, arg(0), arg(1), arg(2), options...)
	case "run":
		_ = tracker.Run(ctx, arg(0), arg(1), func(context.Context, *Task) error {
			if arg(2) == "fails" {
				return caseFailed{}
			}
			return nil
		})
	default:
		t.Fatalf("no method %s", call.Method)
	}
	if err != nil {
		t.Error(err)
	}
}

// caseFailed is why a run of a case fails.
type caseFailed struct{}

func (caseFailed) Error() string { return "hunter2" }

func callSprints(t *testing.T, sprints *SprintTracker, call conformanceCall) {
	ctx := context.Background()
	arg := func(index int) string { return value(t, call.Args[index]).(string) }
	var options []SprintOption
	for name, raw := range call.Options {
		given := value(t, raw)
		text, _ := given.(string)
		when, isTime := given.(time.Time)
		switch {
		case name == "name":
			options = append(options, WithName(text))
		case name == "goal":
			options = append(options, WithGoal(text))
		case name == "start_date" && isTime:
			options = append(options, WithStart(when))
		case name == "start_date":
			options = append(options, WithStart(text))
		case name == "end_date" && isTime:
			options = append(options, WithEnd(when))
		case name == "end_date":
			options = append(options, WithEnd(text))
		default:
			t.Fatalf("no option %s", name)
		}
	}
	var err error
	switch call.Method {
	case "start_sprint":
		err = sprints.Start(ctx, arg(0), options...)
	case "end_sprint":
		err = sprints.End(ctx, arg(0), options...)
	case "add_task":
		err = sprints.AddTask(ctx, arg(0), arg(1))
	case "remove_task":
		err = sprints.RemoveTask(ctx, arg(0))
	default:
		t.Fatalf("no method %s", call.Method)
	}
	if err != nil {
		t.Error(err)
	}
}

func evidence(given any) []Evidence {
	found := []Evidence{}
	list, _ := given.([]any)
	for _, each := range list {
		one, _ := each.(map[string]any)
		text := func(name string) string { found, _ := one[name].(string); return found }
		if reference, ok := each.(string); ok {
			found = append(found, Evidence{Ref: reference})
		} else {
			found = append(found, Evidence{text("kind"), text("ref"), text("description")})
		}
	}
	return found
}

func insightOptions(t *testing.T, call conformanceCall) []InsightOption {
	var found []InsightOption
	for name, raw := range call.Options {
		given := value(t, raw)
		text, _ := given.(string)
		number, _ := given.(float64)
		lists := map[string]func(...string) InsightOption{
			"applies_to": AppliesTo, "tags": WithTags, "supersedes": WithSupersedes, "options": WithOptions, "done": WithDone,
			"remaining": WithRemaining,
		}
		texts := map[string]func(string) InsightOption{
			"rationale": WithRationale, "category": WithCategory, "audience": WithAudience, "severity": WithSeverity, "task_id": ForTask,
			"key": WithKey, "to": To,
		}
		switch {
		case lists[name] != nil:
			found = append(found, lists[name](strs(given)...))
		case texts[name] != nil:
			found = append(found, texts[name](text))
		case name == "confidence":
			found = append(found, WithConfidence(number))
		case name == "percent":
			found = append(found, WithPercent(number))
		case name == "blocking":
			found = append(found, Blocking())
		case name == "expires_at":
			found = append(found, WithExpiry(given.(time.Time)))
		case name == "evidence":
			found = append(found, WithEvidence(evidence(given)...))
		case name == "context":
			pairs(t, raw, func(name string, value any) { found = append(found, WithContext(name, value)) })
		case name == "inputs":
			pairs(t, raw, func(name string, value any) { found = append(found, WithInput(name, value)) })
		default:
			t.Fatalf("no option %s", name)
		}
	}
	return found
}

func callEmitter(t *testing.T, emitter *Emitter, call conformanceCall) {
	ctx := context.Background()
	arg := func(index int) string { return value(t, call.Args[index]).(string) }
	given := func(name string) any {
		if raw, ok := call.Options[name]; ok {
			return value(t, raw)
		}
		return ""
	}
	text := func(name string) string { return given(name).(string) }
	emit := map[string]func(context.Context, string, ...InsightOption) (Insight, error){
		"emit_decision": emitter.Decision, "emit_lesson": emitter.Lesson, "emit_question": emitter.Question, "emit_blocker": emitter.Blocker,
		"emit_progress": emitter.Progress, "emit_analysis": emitter.Analysis, "emit_recommendation": emitter.Recommendation,
		"emit_discovery": emitter.Discovery,
	}[call.Method]
	var err error
	switch call.Method {
	case "emit":
		_, err = emitter.Emit(ctx, arg(0), arg(1), insightOptions(t, call)...)
	case "emit_risk":
		_, err = emitter.Risk(ctx, arg(0), arg(1), insightOptions(t, call)...)
	case "emit_handoff":
		_, err = emitter.Handoff(ctx, arg(0), arg(1), insightOptions(t, call)...)
	case "answer":
		err = emitter.Answer(ctx, arg(0), arg(1), text("by"))
	case "retract":
		err = emitter.Retract(ctx, arg(0), text("reason"))
	case "accept_handoff":
		err = emitter.AcceptHandoff(ctx, arg(0), text("text"))
	case "complete_handoff":
		err = emitter.CompleteHandoff(ctx, arg(0), text("text"))
	case "reject_handoff":
		err = emitter.RejectHandoff(ctx, arg(0), text("reason"))
	case "confirm":
		err = emitter.Confirm(ctx, arg(0), evidence(given("evidence"))...)
	case "contradict":
		err = emitter.Contradict(ctx, arg(0), arg(1), evidence(given("evidence"))...)
	case "resolve":
		err = emitter.Resolve(ctx, arg(0), text("text"))
	default:
		if emit == nil {
			t.Fatalf("no method %s", call.Method)
		}
		_, err = emit(ctx, arg(0), insightOptions(t, call)...)
	}
	if err != nil {
		t.Error(err)
	}
}

var (
	lineTime = regexp.MustCompile(`("seq":\d+,"t":)"[^"]*"`)
	byEvent  = []string{"question", "handoff", "blocker", "progress", "analysis"}
)

// redacted is a line without what differs from run to run: its time, and ids that are random. Runs of one letter are `<N x>`.
func redacted(t *testing.T, line string) string {
	var operation struct{ Op, Type, ID, Key string }
	if err := json.Unmarshal([]byte(line), &operation); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	line = lineTime.ReplaceAllString(line, `$1"<t>"`)
	// Types of Go have the name of their package.
	line = strings.Replace(line, `"reason":"contextcore.caseFailed"`, `"reason":"Refused"`, 1)
	if operation.Op == "insight.emit" && slices.Contains(byEvent, operation.Type) && operation.Key == "" {
		line = strings.Replace(line, operation.ID, "<id>", 1)
	}
	var found strings.Builder
	letters := []rune(line)
	for start := 0; start < len(letters); {
		end := start
		for end < len(letters) && letters[end] == letters[start] {
			end++
		}
		if end-start >= 100 && unicode.IsLetter(letters[start]) {
			fmt.Fprintf(&found, "<%d %c>", end-start, letters[start])
		} else {
			found.WriteString(string(letters[start:end]))
		}
		start = end
	}
	return found.String()
}

// segments are the files of a spool, by name.
func segments(t *testing.T, state string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(state, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".jsonl") {
			found = append(found, path)
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return found
}

// lines are the whole lines of a spool, without headers.
func lines(t *testing.T, state string) []string {
	t.Helper()
	var found []string
	for _, path := range segments(t, state) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		whole := string(text[:bytes.LastIndexByte(text, '\n')+1])
		for _, line := range strings.Split(whole, "\n")[1:] {
			if line != "" {
				found = append(found, line)
			}
		}
	}
	return found
}

func TestCallsGiveTheseLines(t *testing.T) {
	var cases []conformanceCase
	readConformance(t, "calls.json", &cases)
	if len(cases) < 60 {
		t.Fatalf("%d cases", len(cases))
	}
	for _, each := range cases {
		t.Run(each.Name, func(t *testing.T) {
			state := t.TempDir()
			project := "p"
			if named, ok := each.Options["project_id"]; ok {
				project = named
			}
			options := []Option{
				WithStateDir(state), WithoutDrain(), WithActor(each.Options["actor"]), WithAgentName(each.Options["agent_name"]),
				WithSession(each.Options["session_id"]), WithOnBehalfOf(each.Options["on_behalf_of"]), quiet(),
			}
			switch each.Client {
			case "tracker":
				client := must(NewTracker(project, options...))
				for _, call := range each.Calls {
					callTracker(t, client, call)
				}
			case "sprints":
				client := must(NewSprintTracker(project, options...))
				for _, call := range each.Calls {
					callSprints(t, client, call)
				}
			default:
				client := must(NewEmitter(project, each.Options["agent_id"], options...))
				for _, call := range each.Calls {
					callEmitter(t, client, call)
				}
			}
			found := []string{}
			for _, line := range lines(t, state) {
				found = append(found, redacted(t, line))
			}
			if !reflect.DeepEqual(found, each.Lines) {
				t.Errorf("\n  %s\ninstead of\n  %s", strings.Join(found, "\n  "), strings.Join(each.Lines, "\n  "))
			}
		})
	}
}

type identityFacts struct {
	Insights []struct {
		Project, Type, Summary, Key, ID string
		AppliesTo                       []string `json:"applies_to"`
	}
	Lanes []struct {
		Endpoint, Protocol   string
		Headers, Environment map[string]string
		Gives                *struct{ Endpoint, Protocol, Lane string }
	}
	Directories []struct{ Project, Name string }
	Resources   []struct {
		Environment map[string]string
		Gives       json.RawMessage
	}
}

func TestIdentity(t *testing.T) {
	var facts identityFacts
	readConformance(t, "identity.json", &facts)
	for _, fact := range facts.Insights {
		if found := insightID(fact.Project, fact.Type, fact.Summary, fact.AppliesTo, fact.Key); found != fact.ID {
			t.Errorf("%q is %s instead of %s", fact.Summary, found, fact.ID)
		}
	}
	for _, fact := range facts.Lanes {
		found, _ := resolve(fact.Endpoint, fact.Protocol, fact.Headers, func(name string) string { return fact.Environment[name] })
		switch {
		case (found == nil) != (fact.Gives == nil):
			t.Errorf("%+v gives %+v", fact, found)
		case found != nil && (found.endpoint != fact.Gives.Endpoint || found.protocol != fact.Gives.Protocol || found.lane() != fact.Gives.Lane):
			t.Errorf("%+v gives %+v, lane %s", fact, found, found.lane())
		}
	}
	for _, fact := range facts.Directories {
		if found := directoryName(fact.Project); found != fact.Name {
			t.Errorf("%q is in %s instead of %s", fact.Project, found, fact.Name)
		}
	}
	for _, fact := range facts.Resources {
		found := string(appendObject(nil, resource(func(name string) string { return fact.Environment[name] })))
		want := object{}
		pairs(t, fact.Gives, func(name string, value any) { want = append(want, field{name, value}) })
		if want := string(appendObject(nil, want)); found != want {
			t.Errorf("%v gives %s instead of %s", fact.Environment, found, want)
		}
	}
}

func TestNumbersAreWrittenAsEverywhere(t *testing.T) {
	for number, want := range map[float64]string{
		0: "0", 3: "3", 0.5: "0.5", 1e20: "100000000000000000000", 1e21: "1e+21", 1e-6: "0.000001", 1e-7: "1e-7", -1234567.8912: "-1234567.8912",
		math.Copysign(0, -1): "0",
	} {
		if found := string(appendNumber(nil, number)); found != want {
			t.Errorf("%v is %s", number, found)
		}
	}
}
