//! A task as agents see it: short, and under the key that people use. Its history is in [`super::history`].

use contextcore_core::Millis;
use contextcore_core::model::agents::AgentAssisted;
use contextcore_core::query::{ShowView, TaskView, blocked};
use serde_json::{Map, Value, json};

/// The fields that a list of tasks can have. `key` leads, whatever is chosen.
pub(crate) const FIELDS: [&str; 24] = [
    "key",
    "title",
    "status",
    "assignee",
    "points",
    "blocked",
    "type",
    "priority",
    "labels",
    "sprint",
    "epic",
    "parent",
    "project",
    "due",
    "created",
    "started",
    "updated",
    "completed",
    "percent",
    "waiting_on",
    "native_status",
    "reporter",
    "url",
    "source",
];
/// Those that it has without a choice.
pub(crate) const DEFAULT: [&str; 6] = ["key", "title", "status", "assignee", "points", "blocked"];

/// One field of a task.
pub(crate) fn field(task: &TaskView, name: &str, now: Millis) -> Value {
    match name {
        "key" => json!(task.id),
        "title" => json!(task.title),
        "status" => json!(task.status),
        "assignee" => json!(task.assignee),
        "points" => json!(task.estimate),
        "blocked" => json!(blocked(task, now).map(|blocked| blocked.reason)),
        "type" => json!(task.task_type),
        "priority" => json!(task.priority),
        "labels" => json!(task.labels),
        "sprint" => json!(task.sprint),
        "epic" => json!(Some(&task.root).filter(|root| **root != task.id)),
        "parent" => json!(task.parent),
        "project" => json!(task.project_id),
        "due" => json!(task.due),
        "created" => json!(task.created),
        "started" => json!(task.started),
        "updated" => json!(task.updated),
        "completed" => json!(task.completed),
        "percent" => json!(task.percent_complete.round()),
        "waiting_on" => json!(task.waiting_on),
        "native_status" => json!(task.native_status),
        "reporter" => json!(task.reporter),
        "url" => json!(task.url),
        "source" => json!(task.source),
        _ => Value::Null,
    }
}

/// These fields of a task.
pub(crate) fn row(task: &TaskView, fields: &[&str], now: Millis) -> Value {
    Value::Object(fields.iter().map(|name| ((*name).to_owned(), field(task, name, now))).collect())
}

/// A task in full, without its history.
pub(crate) fn whole(view: &ShowView, now: Millis) -> Value {
    let task = &view.task;
    let mut fields: Map<String, Value> =
        FIELDS.iter().map(|name| ((*name).to_owned(), field(task, name, now))).collect();
    let sprint = task.sprint.as_ref().and_then(|id| view.sprint_names.get(id));
    if let Some(name) = sprint {
        fields.insert("sprint".to_owned(), json!(name));
    }
    let hours = |seconds: f64| Some((seconds / 360.0).round() / 10.0).filter(|hours| *hours > 0.0);
    let more = json!({
        "blocked_since": blocked(task, now).map(|blocked| blocked.since),
        "blocked_by": task.blocked_by,
        "blocked_hours": hours(task.blocked_time),
        "waiting_hours": hours(task.waiting_time),
        "cycle_hours": task.cycle_time.and_then(hours),
        "lead_hours": task.lead_time.and_then(hours),
        "cancelled": task.cancelled,
        "deleted": task.deleted,
        "subtasks": (task.subtasks.total > 0).then_some(task.subtasks),
        "links": view.links,
        "attributes": task.attributes,
        "agent_assisted": (task.agent_assisted != AgentAssisted::Unknown).then_some(task.agent_assisted),
        "trace_id": task.trace_id,
        "span_id": task.span_id,
    });
    fields.extend(more.as_object().cloned().unwrap_or_default());
    Value::Object(fields)
}
