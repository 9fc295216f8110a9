package contextcore

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	queryPeriod = 10 * time.Second
	queryLimit  = 20
	// Handoffs of all agents that are asked for at once: the usual limit is too low.
	pendingLimit = 1_000
)

// Answer is an insight, or a line of guidance, as the service gives it.
type Answer map[string]any

// Text is a field that is a text; empty if there is none.
func (a Answer) Text(name string) string {
	text, _ := a[name].(string)
	return text
}

// ID is its id.
func (a Answer) ID() string { return a.Text("id") }

// score is what an insight is ordered by: more is better.
func (a Answer) score() float64 {
	score, _ := a["score"].(float64)
	return score
}

// Query says what to look for. What is empty does not count.
type Query struct {
	// Project is by default that of the querier.
	Project string
	Type    string
	// Text has words to look for.
	Text string
	// Path is a file; insights that apply to it come first.
	Path  string
	Task  string
	Agent string
	// Audience is `human` or `agent`.
	Audience      string
	MinConfidence float64
	// Since says how far back. Default: `90d`.
	Since string
	// Status is `open` (what still holds, the default), `all`, or one status.
	Status string
	// Limit is by default 20.
	Limit int
}

// asked is a question, field by field in their order.
func (q Query) asked(project string) object {
	found := object{}
	for _, each := range []field{
		{"project", cmp.Or(q.Project, project)}, {"type", q.Type}, {"text", q.Text}, {"path", q.Path}, {"task", q.Task}, {"agent", q.Agent},
		{"audience", q.Audience},
	} {
		if each.value != "" {
			found = append(found, each)
		}
	}
	if q.MinConfidence > 0 {
		found = append(found, field{"min_confidence", q.MinConfidence})
	}
	return append(found,
		field{"since", cmp.Or(q.Since, "90d")}, field{"status", cmp.Or(q.Status, "open")}, field{"limit", int64(q.limit())})
}

func (q Query) limit() int { return cmp.Or(max(q.Limit, 0), queryLimit) }

// Querier asks what was reported: the socket of a running helper or service, else the command line. Unlike a report, a question that
// nobody answers is an error.
type Querier struct {
	// Of the caller; empty where the baggage or the environment names one.
	project  string
	fallback string
	stateDir string
	reader   string
}

// NewQuerier asks about a project; see [WithStateDir] and [WithReader]. An empty project is that of the baggage or the environment, as in
// [NewTracker], else all of them.
func NewQuerier(project string, options ...Option) *Querier {
	var given settings
	for _, option := range options {
		if option != nil {
			option(&given)
		}
	}
	fallback := trimmed(namedProject(os.Getenv))
	return &Querier{trimmed(project), fallback, given.stateDir, cmp.Or(given.reader, os.Getenv("CONTEXTCORE_AGENT"))}
}

// Querier asks what was reported in the same project.
func (e *Emitter) Querier() *Querier {
	return &Querier{e.client.project, e.client.fallback, e.client.stateDir, cmp.Or(e.client.reader, e.agent)}
}

// of is the project of a question.
func (q *Querier) of(ctx context.Context) string {
	return cmp.Or(q.project, fromBaggage(ctx, ProjectID), q.fallback)
}

// Query gives insights, best first.
func (q *Querier) Query(ctx context.Context, query Query) ([]Answer, error) {
	return q.answers(ctx, "insight.query", query.asked(q.of(ctx)), "insights", query.limit(), "insight", "query")
}

// Blockers are what stops work at present.
func (q *Querier) Blockers(ctx context.Context) ([]Answer, error) {
	return q.Query(ctx, Query{Type: "blocker"})
}

// RecentDecisions are decisions that hold.
func (q *Querier) RecentDecisions(ctx context.Context) ([]Answer, error) {
	return q.Query(ctx, Query{Type: "decision"})
}

// Lessons are those for a path, or all where it is empty.
func (q *Querier) Lessons(ctx context.Context, path string) ([]Answer, error) {
	return q.Query(ctx, Query{Type: "lesson", Path: path})
}

// OpenQuestions are questions without an answer.
func (q *Querier) OpenQuestions(ctx context.Context) ([]Answer, error) {
	return q.Query(ctx, Query{Type: "question"})
}

// Guidance from people, for a path or where it is empty all of it. Guidance binds; insights inform.
func (q *Querier) Guidance(ctx context.Context, path string) ([]Answer, error) {
	asked := object{}
	for _, each := range []field{{"project", q.of(ctx)}, {"path", path}} {
		if each.value != "" {
			asked = append(asked, each)
		}
	}
	return q.answers(ctx, "guidance.query", asked, "guidance", 0, "guide", "list")
}

// Constraints are the guidance that says what must not be done.
func (q *Querier) Constraints(ctx context.Context, path string) ([]Answer, error) {
	found, err := q.Guidance(ctx, path)
	return kept(found, func(each Answer) bool { return cmp.Or(each.Text("kind"), "constraint") == "constraint" }), err
}

// BlockingConstraints are those that forbid a change.
func (q *Querier) BlockingConstraints(ctx context.Context, path string) ([]Answer, error) {
	found, err := q.Constraints(ctx, path)
	return kept(found, func(each Answer) bool { return each.Text("severity") == "blocking" }), err
}

func kept(of []Answer, isKept func(Answer) bool) []Answer {
	found := []Answer{}
	for _, each := range of {
		if isKept(each) {
			found = append(found, each)
		}
	}
	return found
}

// state is the state directory that would be used, without making anything.
func (q *Querier) state() string {
	places := candidates(q.stateDir, os.Getenv)
	for _, place := range places {
		if _, err := os.Stat(place); err == nil {
			return place
		}
	}
	return places[0]
}

func (q *Querier) answers(ctx context.Context, cmd string, asked object, name string, limit int, command ...string) ([]Answer, error) {
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, queryPeriod)
	defer cancel()
	found, isAnswered := q.bySocket(ctx, cmd, asked, name)
	if !isAnswered {
		var err error
		if found, err = q.byCommand(ctx, asked, name, command); err != nil {
			return nil, err
		}
	}
	if limit > 0 && len(found) > limit {
		found = found[:limit]
	}
	return found, nil
}

// bySocket is what the helpers of all lanes answer; false if none knows the question.
func (q *Querier) bySocket(ctx context.Context, cmd string, asked object, name string) ([]Answer, bool) {
	if q.reader != "" {
		asked = append(asked[:len(asked):len(asked)], field{"reader", q.reader})
	}
	request := appendObject(nil, object{{"v", int64(1)}, {"cmd", cmd}, {"query", asked}})
	lanes := filepath.Join(q.state(), "lanes")
	entries, _ := os.ReadDir(lanes)
	found, isAnswered := []Answer{}, false
	for _, entry := range entries {
		answer, err := ask(ctx, filepath.Join(lanes, entry.Name()), request)
		if err != nil {
			continue
		}
		rows, err := rowsOf(answer, name)
		if err != nil {
			continue
		}
		isAnswered = true
		found = append(found, rows...)
	}
	return merged(found), isAnswered
}

// merged are the rows of several lanes, each once, in the order in which each lane has them: the best first, as the command has them.
func merged(rows []Answer) []Answer {
	// Guidance has no score, and the order of its source.
	if slices.ContainsFunc(rows, func(each Answer) bool { return each["score"] != nil }) {
		slices.SortStableFunc(rows, func(one, other Answer) int {
			return cmp.Or(
				cmp.Compare(other.score(), one.score()), cmp.Compare(other.Text("updated"), one.Text("updated")),
				cmp.Compare(one.ID(), other.ID()), cmp.Compare(one.Text("project"), other.Text("project")))
		})
	}
	known := map[string]bool{}
	return kept(rows, func(each Answer) bool {
		isNew := each.ID() == "" || !known[each.ID()]
		known[each.ID()] = true
		return isNew
	})
}

func (q *Querier) byCommand(ctx context.Context, asked object, name string, command []string) ([]Answer, error) {
	program := os.Getenv("CONTEXTCORE_BIN")
	if program == "" {
		return nil, errors.New("nobody answers: no helper runs, and CONTEXTCORE_BIN does not name the binary of ContextCore")
	}
	arguments := append(command, "--output", "json", "--state", q.state())
	for _, each := range asked {
		text, isText := each.value.(string)
		if !isText {
			text = string(appendValue(nil, each.value))
		}
		arguments = append(arguments, "--"+strings.ReplaceAll(each.name, "_", "-")+"="+text)
	}
	run := exec.CommandContext(ctx, program, arguments...)
	if q.reader != "" {
		run.Env = append(os.Environ(), "CONTEXTCORE_AGENT="+q.reader)
	}
	var failure bytes.Buffer
	run.Stderr = &failure
	text, err := run.Output()
	if err != nil {
		return nil, fmt.Errorf("`contextcore %s %s` gave no answer: %w: %s", command[0], command[1], err, bytes.TrimSpace(failure.Bytes()))
	}
	return rowsOf(text, name)
}

// rowsOf are the rows of an answer: a list, or an object with one.
func rowsOf(text []byte, name string) ([]Answer, error) {
	var rows []Answer
	if json.Unmarshal(text, &rows) == nil {
		return rows, nil
	}
	var found map[string]json.RawMessage
	err := json.Unmarshal(text, &found)
	if err == nil && found["ok"] != nil && string(found["ok"]) != "true" {
		err = errors.New("it says no")
	}
	if err == nil {
		err = json.Unmarshal(found[name], &rows)
	}
	if err != nil {
		return nil, fmt.Errorf("the answer has no list of %s: %w", name, err)
	}
	return rows, nil
}

// HandoffManager hands work over and takes it over, as one agent.
type HandoffManager struct {
	emitter *Emitter
	querier *Querier
}

// Handoffs hands work over and takes it over, as this agent.
func (e *Emitter) Handoffs() *HandoffManager { return &HandoffManager{e, e.Querier()} }

// Offer is [Emitter.Handoff].
func (h *HandoffManager) Offer(ctx context.Context, to, summary string, options ...InsightOption) (Insight, error) {
	return h.emitter.Handoff(ctx, to, summary, options...)
}

// Accept is [Emitter.AcceptHandoff].
func (h *HandoffManager) Accept(ctx context.Context, id, text string) error {
	return h.emitter.AcceptHandoff(ctx, id, text)
}

// Complete is [Emitter.CompleteHandoff].
func (h *HandoffManager) Complete(ctx context.Context, id, text string) error {
	return h.emitter.CompleteHandoff(ctx, id, text)
}

// Reject is [Emitter.RejectHandoff].
func (h *HandoffManager) Reject(ctx context.Context, id, reason string) error {
	return h.emitter.RejectHandoff(ctx, id, reason)
}

// Pending is work that is offered to this agent, or to any.
func (h *HandoffManager) Pending(ctx context.Context) ([]Answer, error) {
	found, err := h.querier.Query(ctx, Query{Type: "handoff", Status: "offered", Limit: pendingLimit})
	return kept(found, func(each Answer) bool {
		to := each.Text("to")
		return to == "any" || (to != "" && to == h.emitter.agent)
	}), err
}
