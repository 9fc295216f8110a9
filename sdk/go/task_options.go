package contextcore

import "time"

// Moment is a day or a point in time: a text (`2026-12-24`, `2026-12-24T10:00:00Z`; without a zone it is local time), or a time.
type Moment interface{ string | time.Time }

// TaskOption is a field of a task, or of a call about one. A call ignores fields that it does not know.
type TaskOption interface{ applyTask(*call) }

// SprintOption is a field of a sprint.
type SprintOption interface{ applySprint(*call) }

// InsightOption is a field of an insight.
type InsightOption interface{ applyInsight(*call) }

type taskOption func(*call)

func (o taskOption) applyTask(c *call) { o(c) }

type sprintOption func(*call)

func (o sprintOption) applySprint(c *call) { o(c) }

type insightOption func(*call)

func (o insightOption) applyInsight(c *call) { o(c) }

// TimeOption is when something happened; every call takes it.
type TimeOption struct{ at time.Time }

func (o TimeOption) applyTask(c *call)    { c.at = o.at }
func (o TimeOption) applySprint(c *call)  { c.at = o.at }
func (o TimeOption) applyInsight(c *call) { c.at = o.at }

// WithTime is when it happened, if not now.
func WithTime(at time.Time) TimeOption { return TimeOption{at} }

func taskField(name string, value any) TaskOption {
	return taskOption(func(c *call) { c.set(name, value) })
}

// WithTitle changes the title, in Update.
func WithTitle(title string) TaskOption { return taskField("title", title) }

// WithType is `epic`, `story`, `task`, `subtask`, `bug`, `spike`, `incident`, or a word of your own.
func WithType(taskType string) TaskOption { return taskField("type", taskType) }

// WithStatus is the status in which a task begins, in Start; which it enters, in Update; in which it goes on, in Unblock.
func WithStatus(status string) TaskOption { return taskField("status", status) }

// WithPriority is `highest` to `lowest`, or a word of your own.
func WithPriority(priority string) TaskOption { return taskField("priority", priority) }

// WithAssignee is who works on it.
func WithAssignee(assignee string) TaskOption { return taskField("assignee", assignee) }

// WithStoryPoints is its estimate.
func WithStoryPoints(points float64) TaskOption { return taskField("estimate", points) }

// WithLabels are its labels. Without any, Update removes them all.
func WithLabels(labels ...string) TaskOption { return taskField("labels", labels) }

// WithParent is the task above it, in the same project.
func WithParent(id string) TaskOption { return taskField("parent", id) }

// WithDependsOn are tasks that must be done first.
func WithDependsOn(ids ...string) TaskOption { return taskField("depends_on", ids) }

// WithURL is where people find it.
func WithURL(url string) TaskOption { return taskField("url", url) }

// WithDue is the day when it is due.
func WithDue[T Moment](day T) TaskOption { return taskField("due", any(day)) }

// WithSprint is the sprint it is in.
func WithSprint(id string) TaskOption { return taskField("sprint", id) }

// WithAttr is an attribute of your own: of a task (it becomes `task.attr.NAME`) or an event. A text, number or boolean stays what it is;
// lists, maps and structures are JSON; nil clears it in Update.
func WithAttr(name string, value any) TaskOption {
	return taskOption(func(c *call) { c.attribute("attributes", name, value) })
}

// WithReason says why, in SetStatus and Cancel.
func WithReason(reason string) TaskOption { return taskField("reason", reason) }

// WithBlockedBy is the task that a blocked one waits for.
func WithBlockedBy(id string) TaskOption { return taskField("blocked_by", id) }

// Clearable is a field of a task that Update can clear.
type Clearable string

// What [Clear] clears.
const (
	Parent      Clearable = "parent"
	Priority    Clearable = "priority"
	Assignee    Clearable = "assignee"
	StoryPoints Clearable = "estimate"
	Labels      Clearable = "labels"
	InSprint    Clearable = "sprint"
	Due         Clearable = "due"
	URL         Clearable = "url"
	DependsOn   Clearable = "depends_on"
)

// Clear removes what fields say, in Update.
func Clear(fields ...Clearable) TaskOption {
	return taskOption(func(c *call) {
		for _, each := range fields {
			c.set(string(each), null{})
		}
	})
}

func sprintField(name string, value any) SprintOption {
	return sprintOption(func(c *call) { c.set(name, value) })
}

// WithName is the name of a sprint.
func WithName(name string) SprintOption { return sprintField("name", name) }

// WithGoal is what a sprint is for.
func WithGoal(goal string) SprintOption { return sprintField("goal", goal) }

// WithStart is when a sprint is planned to begin.
func WithStart[T Moment](when T) SprintOption { return sprintField("start", any(when)) }

// WithEnd is when a sprint is planned to end.
func WithEnd[T Moment](when T) SprintOption { return sprintField("end", any(when)) }
