//! A task as agents see it: short, and under the key that people use.

use contextcore_core::Millis;
use contextcore_core::model::agents::AgentAssisted;
use contextcore_core::query::{EventKind, EventView, ShowView, TaskView, blocked};
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

/// How many entries a folded timeline has at most.
const ENTRIES: usize = 20;

/// The history of a task in at most 20 entries: what moved it, and how often the rest happened.
pub(crate) fn timeline(view: &ShowView) -> Vec<Value> {
    let mut entries: Vec<(String, Value)> = Vec::new();
    let mut repeated = 0;
    for event in &view.task.timeline {
        let what = words(event, view);
        let day = event.at.date();
        match entries.last_mut() {
            // The same thing on the same day is counted, not repeated.
            Some((last, entry)) if *last == format!("{day} {}", event.kind) && !moves(event.kind) => {
                repeated += 1;
                entry["times"] = json!(repeated + 1);
            }
            _ => {
                repeated = 0;
                let derived = event.derived.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
                let entry = json!({"at": event.at, "what": format!("{what}{derived}"), "by": event.actor, "observed": event.observed.then_some(true)});
                entries.push((format!("{day} {}", event.kind), entry));
            }
        }
    }
    fold(entries)
}

/// Keeps the first and the last entries; what moved the task goes last.
fn fold(mut entries: Vec<(String, Value)>) -> Vec<Value> {
    let most = ENTRIES - 1;
    let too_many = entries.len().saturating_sub(ENTRIES);
    if too_many > 0 {
        let cut = entries.len() - most + 1;
        let count = cut - 1;
        entries.splice(1..cut, [(String::new(), json!({"what": format!("{count} more")}))]);
    }
    entries.into_iter().map(|(_, entry)| entry).collect()
}

fn moves(kind: EventKind) -> bool {
    use EventKind as Kind;
    matches!(
        kind,
        Kind::Created
            | Kind::StatusChanged
            | Kind::Blocked
            | Kind::Unblocked
            | Kind::Completed
            | Kind::Cancelled
            | Kind::Reopened
            | Kind::Deleted
            | Kind::Restored
    )
}

/// An event in words. Comments are left out: they are untrusted text.
fn words(event: &EventView, view: &ShowView) -> String {
    let side = |value: &Value| side(value, view);
    let (from, to) = (side(&event.from), side(&event.to));
    let name = event.kind.as_str().replace('_', " ");
    match event.kind {
        EventKind::Commented => "commented".to_owned(),
        EventKind::Artifact => format!("artifact {}", artifact(&event.to)),
        EventKind::Created => format!("created in {to}"),
        _ => match (from.as_str(), to.as_str()) {
            ("", "") => name,
            ("", to) => format!("{name}: {to}"),
            (from, "") => format!("{name}: was {from}"),
            (from, to) => format!("{name}: {from} → {to}"),
        },
    }
}

fn side(value: &Value, view: &ShowView) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let named = |item: &Value| {
                let text = item.as_str().unwrap_or_default();
                view.sprint_names.get(text).cloned().unwrap_or_else(|| text.to_owned())
            };
            items.iter().map(named).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// What belongs to a task: `pull_request acme/shop#12 merged`.
pub(crate) fn artifact(value: &Value) -> String {
    let texts = ["kind", "id", "state", "name"].iter().filter_map(|key| value.get(*key).and_then(Value::as_str));
    let texts: Vec<&str> = texts.collect();
    if texts.is_empty() { value.as_str().map_or_else(|| value.to_string(), str::to_owned) } else { texts.join(" ") }
}
