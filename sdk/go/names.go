// Code generated from core/model/src/semconv.rs; DO NOT EDIT.

package contextcore

// ProjectID is the attribute, and the entry of the baggage, that names a project.
const ProjectID = "project.id"

// TaskID is the attribute, and the entry of the baggage, that names a task.
const TaskID = "task.id"

// TaskTypes are the kinds of work that a task can be. Other words are passed on as they are.
var TaskTypes = []string{
	"epic",
	"story",
	"task",
	"subtask",
	"bug",
	"spike",
	"incident",
}

// Statuses are the states of a task. Other words are kept, and mapped by the service's `statuses:`.
var Statuses = []string{
	"backlog",
	"todo",
	"in_progress",
	"in_review",
	"blocked",
	"done",
	"cancelled",
}

// InsightTypes are the types of insights.
var InsightTypes = []string{
	"decision",
	"lesson",
	"question",
	"blocker",
	"risk",
	"handoff",
	"recommendation",
	"discovery",
	"analysis",
	"progress",
}
