package contextcore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Tracker reports tasks. Each call appends one line to a file and returns; a helper process sends the lines. A call without an id is about
// the task of the context's baggage, and a tracker without a project reports to the project of it.
type Tracker struct {
	client *client
	mutex  sync.Mutex
	active map[activeTask]bool
}

type activeTask struct{ project, id string }

// NewTracker makes a tracker for a project. An empty project is that of the baggage of each call's context, else CONTEXTCORE_PROJECT,
// else what the file `.contextcore/project` here or above says, else `default`. The error is nil unless [WithStrict].
func NewTracker(project string, options ...Option) (*Tracker, error) {
	client, err := newClient(project, options)
	if err != nil {
		return nil, err
	}
	return &Tracker{client: client, active: map[activeTask]bool{}}, nil
}

// Task is a task of the tracker by its id, whoever started it. Nothing is reported.
func (t *Tracker) Task(ctx context.Context, id string) *Task {
	project, task := t.client.subject(ctx, id)
	return &Task{tracker: t, project: project, id: task}
}

// Start creates a task. If it exists, what is given is updated and its creation stays the earliest. The task is never nil.
func (t *Tracker) Start(ctx context.Context, id, title string, options ...TaskOption) (*Task, error) {
	task := t.Task(ctx, id)
	given := call{given: object{{"title", title}}}
	err := task.report(ctx, "task.start", given, options, func(given call) (string, bool) { return givenText(given, "status"), true })
	return task, err
}

// Update changes fields of a task; [Clear] clears some.
func (t *Tracker) Update(ctx context.Context, id string, changes ...TaskOption) error {
	return t.Task(ctx, id).Update(ctx, changes...)
}

// SetStatus moves a task to another status: one of [Statuses], or any word of your workflow.
func (t *Tracker) SetStatus(ctx context.Context, id, status string, options ...TaskOption) error {
	return t.Task(ctx, id).SetStatus(ctx, status, options...)
}

// Block says that a task cannot go on, and why; [WithBlockedBy] names the task it waits for.
func (t *Tracker) Block(ctx context.Context, id, reason string, options ...TaskOption) error {
	return t.Task(ctx, id).Block(ctx, reason, options...)
}

// Unblock says that a task can go on: in the status it had, or in that of [WithStatus].
func (t *Tracker) Unblock(ctx context.Context, id string, options ...TaskOption) error {
	return t.Task(ctx, id).Unblock(ctx, options...)
}

// Complete finishes a task. The process that started it need not be this one.
func (t *Tracker) Complete(ctx context.Context, id string, options ...TaskOption) error {
	return t.Task(ctx, id).Complete(ctx, options...)
}

// Cancel gives a task up; [WithReason] says why.
func (t *Tracker) Cancel(ctx context.Context, id string, options ...TaskOption) error {
	return t.Task(ctx, id).Cancel(ctx, options...)
}

// Reopen opens a finished task again.
func (t *Tracker) Reopen(ctx context.Context, id string, options ...TaskOption) error {
	return t.Task(ctx, id).Reopen(ctx, options...)
}

// Assign gives a task to somebody; to nobody if assignee is empty.
func (t *Tracker) Assign(ctx context.Context, id, assignee string, options ...TaskOption) error {
	return t.Task(ctx, id).Assign(ctx, assignee, options...)
}

// Progress reports how much of a task is done, 0 to 100. Sub-tasks count more than this where there are any.
func (t *Tracker) Progress(ctx context.Context, id string, percent float64, options ...TaskOption) error {
	return t.Task(ctx, id).Progress(ctx, percent, options...)
}

// Comment adds a comment. What of it leaves the service is set by `privacy.comments`.
func (t *Tracker) Comment(ctx context.Context, id, author, text string, options ...TaskOption) error {
	return t.Task(ctx, id).Comment(ctx, author, text, options...)
}

// Event records that something happened to a task: a name like `tests.passed`, and up to 16 attributes by [WithAttr].
func (t *Tracker) Event(ctx context.Context, id, name string, options ...TaskOption) error {
	return t.Task(ctx, id).Event(ctx, name, options...)
}

// Link connects a task with a `commit`, `pr`, `build`, `deployment`, `trace` or `url`; [WithURL] is where people find it.
func (t *Tracker) Link(ctx context.Context, id, kind, ref string, options ...TaskOption) error {
	return t.Task(ctx, id).Link(ctx, kind, ref, options...)
}

// Run runs a function as a task: in progress while it runs, done at its end, blocked with the kind of its error (being cancelled does not
// block it) or its panic until it runs again. The context that the function gets has the task in its baggage. The error is that of the function.
func (t *Tracker) Run(
	ctx context.Context, id, title string, work func(context.Context, *Task) error, options ...TaskOption,
) error {
	task, failed := t.Start(ctx, id, title, options...)
	if failed == nil {
		failed = task.SetStatus(ctx, "in_progress")
	}
	if failed != nil {
		// Only if strict.
		return failed
	}
	isOver := false
	defer func() {
		if !isOver {
			t.failed(ctx, task, "panic")
		}
	}()
	err := work(task.Context(ctx), task)
	isOver = true
	switch {
	case errors.Is(err, context.Canceled):
	case err != nil:
		t.failed(ctx, task, kindOf(err))
	case t.isActive(task.project, task.id):
		// Otherwise the function itself has completed or cancelled it.
		return task.Complete(ctx)
	}
	return err
}

// failed says why a run ended, as a status, which the next run ends; unless the function itself has completed or cancelled the task.
func (t *Tracker) failed(ctx context.Context, task *Task, reason string) {
	if t.isActive(task.project, task.id) {
		_ = task.SetStatus(ctx, "blocked", WithReason(reason))
	}
}

// kindOf is the type of an error that says most: its text may have secrets.
func kindOf(err error) string {
	for ; err != nil; err = errors.Unwrap(err) {
		name := strings.TrimPrefix(fmt.Sprintf("%T", err), "*")
		if !strings.HasPrefix(name, "fmt.") && !strings.HasPrefix(name, "errors.") {
			return name
		}
	}
	return "error"
}

// Context puts a task and its project into the baggage of a context, and on its current span, so that calls with it need no id.
func (t *Tracker) Context(ctx context.Context, id string) context.Context {
	return t.Task(ctx, id).Context(ctx)
}

// Sprints reports the sprints of the same project, to the same destination.
func (t *Tracker) Sprints() *SprintTracker { return &SprintTracker{t.client} }

// ActiveTasks are the ids of the tasks that this tracker started and has not finished.
func (t *Tracker) ActiveTasks() []string {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	found := []string{}
	for each := range t.active {
		found = append(found, each.id)
	}
	slices.Sort(found)
	return found
}

func (t *Tracker) isActive(project, id string) bool {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return t.active[activeTask{project, id}]
}

func (t *Tracker) note(project, id, status string) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if status == "done" || status == "cancelled" {
		delete(t.active, activeTask{project, id})
	} else {
		t.active[activeTask{project, id}] = true
	}
}

// Project is the project of calls whose context names no other.
func (t *Tracker) Project() string { return t.client.fallback }

// Dropped counts calls that could not be written.
func (t *Tracker) Dropped() uint64 { return t.client.dropped.Load() }

// Flush makes everything durable and waits until the backend has accepted it: until the context ends, or for five seconds where it has no
// deadline. [ErrNotAccepted] says that it has not; then everything is on disk and is sent later.
func (t *Tracker) Flush(ctx context.Context) error { return t.client.flush(ctx) }

// Close is Flush, and gives up the files. A later call opens others. Nothing else runs at the end of a Go program, so defer it.
func (t *Tracker) Close(ctx context.Context) error { return t.client.close(ctx) }
