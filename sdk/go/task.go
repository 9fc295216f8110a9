package contextcore

import "context"

// Task is a task of a tracker: the same calls without the id.
type Task struct {
	tracker *Tracker
	project string
	id      string
}

// ID is its id.
func (t *Task) ID() string { return t.id }

// Project is its project.
func (t *Task) Project() string { return t.project }

// Context puts the task and its project into the baggage of a context, and on its current span.
func (t *Task) Context(ctx context.Context) context.Context {
	if ctx == nil {
		ctx = context.Background()
	}
	return within(ctx, t.project, t.id)
}

// entered gives the status in which a call leaves a task; false if it leaves it in the one it had.
type entered func(given call) (status string, ok bool)

func into(status string) entered {
	return func(call) (string, bool) { return status, true }
}

func givenText(given call, name string) string {
	value, _ := given.given.get(name)
	text, _ := value.(string)
	return trimmed(text)
}

// report writes an operation, and remembers whether the task is active.
func (t *Task) report(ctx context.Context, op string, given call, options []TaskOption, entered entered) error {
	for _, option := range options {
		if option != nil {
			option.applyTask(&given)
		}
	}
	isWritten, err := t.tracker.client.record(ctx, op, t.project, t.id, given)
	if isWritten && entered != nil {
		if status, ok := entered(given); ok {
			t.tracker.note(t.project, t.id, status)
		}
	}
	return err
}

// Update changes fields of a task; [Clear] clears some.
func (t *Task) Update(ctx context.Context, changes ...TaskOption) error {
	return t.report(ctx, "task.update", call{}, changes, func(given call) (string, bool) {
		status := givenText(given, "status")
		return status, status != ""
	})
}

// SetStatus moves a task to another status: one of [Statuses], or any word of your workflow.
func (t *Task) SetStatus(ctx context.Context, status string, options ...TaskOption) error {
	return t.report(ctx, "task.status", call{given: object{{"status", status}}}, options, into(trimmed(status)))
}

// Block says that a task cannot go on, and why; [WithBlockedBy] names the task it waits for.
func (t *Task) Block(ctx context.Context, reason string, options ...TaskOption) error {
	return t.report(ctx, "task.block", call{given: object{{"reason", reason}}}, options, nil)
}

// Unblock says that a task can go on: in the status it had, or in that of [WithStatus].
func (t *Task) Unblock(ctx context.Context, options ...TaskOption) error {
	status := ""
	var when TimeOption
	err := t.report(ctx, "task.unblock", call{}, options, func(given call) (string, bool) {
		status, when = givenText(given, "status"), TimeOption{given.at}
		return "", false
	})
	if err != nil || status == "" {
		return err
	}
	return t.SetStatus(ctx, status, when)
}

// Complete finishes a task. The process that started it need not be this one.
func (t *Task) Complete(ctx context.Context, options ...TaskOption) error {
	return t.report(ctx, "task.complete", call{}, options, into("done"))
}

// Cancel gives a task up; [WithReason] says why.
func (t *Task) Cancel(ctx context.Context, options ...TaskOption) error {
	return t.report(ctx, "task.cancel", call{}, options, into("cancelled"))
}

// Reopen opens a finished task again.
func (t *Task) Reopen(ctx context.Context, options ...TaskOption) error {
	return t.report(ctx, "task.reopen", call{}, options, into(""))
}

// Assign gives a task to somebody; to nobody if assignee is empty.
func (t *Task) Assign(ctx context.Context, assignee string, options ...TaskOption) error {
	given := call{given: object{{"assignee", assignee}}}
	if assignee == "" {
		given.set("assignee", null{})
	}
	return t.report(ctx, "task.update", given, options, nil)
}

// Progress reports how much of a task is done, 0 to 100. Sub-tasks count more than this where there are any.
func (t *Task) Progress(ctx context.Context, percent float64, options ...TaskOption) error {
	return t.report(ctx, "task.progress", call{given: object{{"percent", percent}}}, options, nil)
}

// Comment adds a comment. What of it leaves the service is set by `privacy.comments`.
func (t *Task) Comment(ctx context.Context, author, text string, options ...TaskOption) error {
	return t.report(ctx, "task.comment", call{given: object{{"text", text}, {"author", author}}}, options, nil)
}

// Event records that something happened to a task: a name like `tests.passed`, and up to 16 attributes by [WithAttr].
func (t *Task) Event(ctx context.Context, name string, options ...TaskOption) error {
	return t.report(ctx, "task.event", call{given: object{{"name", name}}}, options, nil)
}

// Link connects a task with a `commit`, `pr`, `build`, `deployment`, `trace` or `url`; [WithURL] is where people find it.
func (t *Task) Link(ctx context.Context, kind, ref string, options ...TaskOption) error {
	return t.report(ctx, "task.link", call{given: object{{"kind", kind}, {"ref", ref}}}, options, nil)
}
