//! `report_task`: work that an agent reports, as `contextcore task` does. No tracker is written to.

use contextcore_core::config::nearest_known;
use contextcore_core::model::TaskType;
use contextcore_core::model::operation::{
    Attributes, Operation, Scalar, TaskBlock, TaskFields, TaskLink, TaskOnly, TaskProgress, TaskStatus,
};
use contextcore_core::query::{EventKind, EventView, ShowView};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Call, task};
use crate::answer::{Answer, Problem};
use crate::clean;

/// The longest title or reason, and the longest name, in characters.
const LONGEST_TITLE: usize = 500;
const LONGEST_NAME: usize = 300;

#[derive(Default, Deserialize)]
struct Arguments {
    key: String,
    op: String,
    title: Option<String>,
    #[serde(rename = "type")]
    task_type: Option<String>,
    status: Option<String>,
    parent: Option<String>,
    priority: Option<String>,
    assignee: Option<String>,
    estimate: Option<f64>,
    labels: Option<Vec<String>>,
    sprint: Option<String>,
    due: Option<String>,
    url: Option<String>,
    depends_on: Option<Vec<String>>,
    attributes: Option<Map<String, Value>>,
    reason: Option<String>,
    blocked_by: Option<String>,
    percent: Option<f64>,
    kind: Option<String>,
    #[serde(rename = "ref")]
    reference: Option<String>,
    project: Option<String>,
}

/// Which arguments an operation takes besides `key`, `op` and `project`.
fn allowed(op: &str) -> &'static [&'static str] {
    match op {
        "start" => &[
            "title",
            "type",
            "status",
            "parent",
            "priority",
            "assignee",
            "estimate",
            "labels",
            "sprint",
            "due",
            "url",
            "depends_on",
            "attributes",
        ],
        "status" => &["status", "reason"],
        "block" => &["reason", "blocked_by"],
        "progress" => &["percent"],
        "link" => &["kind", "ref", "url"],
        _ => &[],
    }
}

pub(super) fn answer(call: &Call<'_>, arguments: &Map<String, Value>) -> Result<Answer, Problem> {
    let given: Arguments = crate::arguments::read(arguments)?;
    check_arguments(&given.op, arguments)?;
    check_values(&given)?;
    let project = call.project(given.project.as_deref())?;
    let key = clean::one_line(&given.key);
    if key.is_empty() {
        return Err(Problem::usage("`key` is empty"));
    }
    let operation = operation(Arguments { key: key.clone(), ..given })?;
    let written = call.write(&project, operation)?;
    // What is read was opened before the operation was written.
    let after = if written.is_visible { after(call, &key, &project)? } else { None };
    let task = after.filter(|view| call.caller.sees(&view.task.project_id) || call.caller.sees(&view.task.project));
    let task = task.map(|view| task::whole(&view, call.now));
    Ok(Answer::new(json!({"key": key, "accepted": true, "visible": task.is_some(), "task": task}), &[]))
}

/// The task as it is now, if it shows what was just reported: that of a tool does once the report became work on it.
fn after(call: &Call<'_>, key: &str, project: &str) -> Result<Option<ShowView>, Problem> {
    let reads = call.backend.open()?;
    let shows = |view: &ShowView| {
        let is_ours = |event: &EventView| event.kind == EventKind::Artifact && event.at >= call.now;
        reads.is_reported(&view.task.source) || view.task.timeline.iter().any(is_ours)
    };
    Ok(call.task_after(key, project)?.filter(shows))
}

fn check_arguments(op: &str, arguments: &Map<String, Value>) -> Result<(), Problem> {
    let allowed = allowed(op);
    let fixed = ["key", "op", "project"];
    let given = arguments.iter().filter(|(_, value)| !value.is_null()).map(|(name, _)| name.as_str());
    match given.into_iter().find(|name| !fixed.contains(name) && !allowed.contains(name)) {
        Some(name) if allowed.is_empty() => Err(Problem::usage(format!("`{op}` takes no `{name}`, only the key"))),
        Some(name) => Err(Problem::usage(format!("`{op}` takes no `{name}`; it takes {}", allowed.join(", ")))),
        None => Ok(()),
    }
}

/// Checks what would be left out where it is taken in, or stored however long it is.
fn check_values(given: &Arguments) -> Result<(), Problem> {
    let wrong = |text: String| Err(Problem::usage(text));
    if let Some(due) = &given.due
        && (due.trim().len() != 10 || super::moment("due", due).is_err())
    {
        return wrong("`due` is no date: write it like 2026-11-26".to_owned());
    }
    if let Some(word) = &given.task_type
        && word.trim().to_lowercase().parse::<TaskType>().is_err()
    {
        let known: Vec<&str> = TaskType::ALL.iter().map(|kind| kind.as_str()).collect();
        let near = nearest_known(word, &known).map(|near| format!("did you mean `{near}`?"));
        let hint = near.unwrap_or_else(|| format!("known: {}", known.join(", ")));
        return wrong(format!("`type` has no `{}`; {hint}", clean::cut(word, LONGEST_NAME)));
    }
    if given.estimate.is_some_and(|points| points < 0.0) {
        return wrong("`estimate` is a number, at least 0".to_owned());
    }
    let titles = [("title", &given.title), ("reason", &given.reason)].map(|(name, text)| (name, text, LONGEST_TITLE));
    let names = [
        ("status", &given.status),
        ("parent", &given.parent),
        ("priority", &given.priority),
        ("assignee", &given.assignee),
        ("sprint", &given.sprint),
        ("blocked_by", &given.blocked_by),
    ];
    let names = names.map(|(name, text)| (name, text, LONGEST_NAME));
    let texts = titles.into_iter().chain(names).filter_map(|(name, text, most)| Some((name, text.as_ref()?, most)));
    let lists = [("labels", &given.labels), ("depends_on", &given.depends_on)];
    let entries =
        lists.into_iter().flat_map(|(name, list)| list.iter().flatten().map(move |one| (name, one, LONGEST_NAME)));
    for (name, text, most) in texts.chain(entries).chain([("key", &given.key, LONGEST_NAME)]) {
        let length = text.chars().count();
        if length > most {
            return wrong(format!("`{name}`: {length} characters are more than {most}"));
        }
    }
    Ok(())
}

fn needed<T>(value: Option<T>, op: &str, name: &str) -> Result<T, Problem> {
    value.ok_or_else(|| Problem::usage(format!("`{op}` needs `{name}`")))
}

fn operation(given: Arguments) -> Result<Operation, Problem> {
    let task = given.key.clone();
    let line = |text: Option<String>| text.map(|text| clean::one_line(&text)).filter(|text| !text.is_empty());
    Ok(match given.op.as_str() {
        "start" => Operation::Start(fields(given)),
        "status" => {
            let status = needed(line(given.status), "status", "status")?;
            Operation::Status(TaskStatus { task, status, reason: line(given.reason) })
        }
        "block" => Operation::Block(TaskBlock { task, reason: line(given.reason), blocked_by: line(given.blocked_by) }),
        "unblock" => Operation::Unblock(TaskOnly { task }),
        "complete" => Operation::Complete(TaskOnly { task }),
        "progress" => {
            Operation::Progress(TaskProgress { task, percent: needed(given.percent, "progress", "percent")? })
        }
        _ => {
            let kind = needed(given.kind, "link", "kind")?;
            let reference = needed(line(given.reference), "link", "ref")?;
            Operation::Link(TaskLink { task, kind, reference, url: line(given.url) })
        }
    })
}

fn fields(given: Arguments) -> TaskFields {
    let line = |text: Option<String>| text.map(|text| clean::one_line(&text)).filter(|text| !text.is_empty());
    let list =
        |list: Option<Vec<String>>| list.map(|list| Some(list.iter().map(|text| clean::one_line(text)).collect()));
    TaskFields {
        task: given.key,
        title: line(given.title),
        task_type: line(given.task_type),
        status: line(given.status),
        parent: line(given.parent).map(Some),
        priority: line(given.priority).map(Some),
        assignee: line(given.assignee).map(Some),
        estimate: given.estimate.map(Some),
        labels: list(given.labels),
        sprint: line(given.sprint).map(Some),
        due: line(given.due).map(Some),
        url: line(given.url).map(Some),
        depends_on: list(given.depends_on),
        attributes: attributes(given.attributes.unwrap_or_default()),
    }
}

fn attributes(given: Map<String, Value>) -> Attributes {
    let text = |value: Value| match value {
        Value::String(text) => clean::one_line(&text),
        other => other.to_string(),
    };
    Attributes(
        given.into_iter().map(|(name, value)| (clean::one_line(&name), Some(Scalar::Text(text(value))))).collect(),
    )
}
