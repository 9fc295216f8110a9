//! `contextcore show KEY`: one task with its neighbourhood, and where to find it in the backends.

use std::collections::BTreeSet;

use contextcore_core::model::agents::{AGENT, AgentAssisted};
use contextcore_core::model::printable;
use contextcore_core::query::{ChildView, EventKind, ShowView, Subtasks, TaskSelector, TaskView};
use serde_json::Value;

use crate::app::Context;
use crate::args;
use crate::failure::{Exit, Failure, Outcome};
use crate::reader::Reader;
use crate::table::{Cell, Column, Facts, Table};
use crate::tone::Tone;
use crate::{humanize, output, terminal};

pub(crate) async fn run(context: &Context, arguments: &args::Show) -> Outcome {
    let json = context.is_json("show")?;
    let args::Show { key, source, project } = arguments;
    let selector = TaskSelector { key: key.clone(), source: source.clone(), project: project.clone() };
    let about = |failure: Failure| failure.about(&selector.key);
    let view = Reader::open(context.config()?).await.map_err(about)?.show(&selector).await?;
    output::print(json, &view, |view| render(view, terminal::width()))?;
    Ok(Exit::Done)
}

fn render(view: &ShowView, width: Option<usize>) -> String {
    let task = &view.task;
    let head = [&task.id, &task.title, &task.url].map(|text| printable::one_line(text));
    let mut text = format!("{}  {}\n{}\n\n", head[0], head[1], head[2]);
    text.push_str(&facts(view).render(width));
    let children = children(&view.children);
    for (heading, table) in [("Children", children), ("Links", list(&view.links)), ("Timeline", timeline(view))] {
        if !table.is_empty() {
            text.push_str(&format!("\n{heading}\n{}", table.render(width)));
        }
    }
    text.push_str(&format!("\nTrace {}, span {}\n", task.trace_id, task.span_id));
    text
}

fn facts(view: &ShowView) -> Facts {
    let mut facts = Facts::new();
    identity(view, &mut facts);
    times(&view.task, &mut facts);
    let task = &view.task;
    facts.row("blocked by", task.blocked_by.join(", "));
    facts.row("waiting on", task.waiting_on.join(", "));
    let Subtasks { total, completed } = task.subtasks;
    let complete = || format!("{:.0}%, {completed} of {total} children", task.percent_complete);
    facts.row("complete", (total > 0).then(complete));
    facts
}

/// What a task is, and to whom and what it belongs.
fn identity(view: &ShowView, facts: &mut Facts) {
    let task = &view.task;
    let tool = task.tool.as_deref().unwrap_or("unknown");
    facts.row("source", format!("{} ({tool}), id {}", task.source, task.native_id));
    facts.row("project", with_native(&task.project_id, &task.project));
    facts.row("type", with_native(task.task_type.as_str(), &task.native_type));
    facts.toned("status", with_native(task.status.as_str(), &task.native_status), Tone::of_status(task.status));
    facts.row("priority", task.priority.clone());
    facts.row("assignee", task.assignee.clone());
    facts.row("reporter", task.reporter.clone());
    facts.row("labels", task.labels.join(", "));
    facts.row("estimate", task.estimate.map(humanize::points));
    facts.row("parent", task.parent.clone());
    facts.row("root", task.root.clone());
    let all = task.sprints.iter().map(|id| sprint_name(view, id)).collect::<Vec<_>>().join(", ");
    facts.row("sprint", task.sprint.as_ref().map(|now| with_native(sprint_name(view, now), &all)));
    facts.row("due", task.due.clone());
    facts.row("agents", agents(view));
}

/// When what happened to a task, and how long it took.
fn times(task: &TaskView, facts: &mut Facts) {
    facts.row("created", humanize::moment(task.created));
    for (name, at) in [
        ("started", task.started),
        ("completed", task.completed),
        ("cancelled", task.cancelled),
        ("deleted", task.deleted),
    ] {
        facts.row(name, at.map(humanize::moment));
    }
    facts.row("lead time", task.lead_time.map(humanize::duration));
    facts.row("cycle time", task.cycle_time.map(humanize::duration));
    for (name, seconds) in [("blocked for", task.blocked_time), ("waited for", task.waiting_time)] {
        facts.row(name, (seconds > 0.0).then(|| humanize::duration(seconds)));
    }
    let times = task.status_time.iter().map(|(status, seconds)| format!("{status} {}", humanize::duration(*seconds)));
    facts.row("time in", times.collect::<Vec<_>>().join(", "));
}

/// Whether agents took part, and which; nothing where that is not known.
fn agents(view: &ShowView) -> String {
    let artifacts = view.task.timeline.iter().filter(|event| event.kind == EventKind::Artifact).map(|event| &event.to);
    let evidence = artifacts.filter(|artifact| artifact["kind"] == AGENT && artifact["reference"] != "none");
    let names: BTreeSet<&str> = evidence.filter_map(|artifact| artifact["summary"].as_str()).collect();
    let names: Vec<&str> = names.into_iter().filter(|name| !name.is_empty()).collect();
    match view.task.agent_assisted {
        AgentAssisted::Unknown => String::new(),
        assisted => with_native(assisted.as_str(), &names.join(", ")),
    }
}

/// Our name, and the tool's own in brackets unless they are equal.
fn with_native(ours: &str, native: &str) -> String {
    let same = ours.to_lowercase().replace('_', " ") == native.to_lowercase();
    if same || native.is_empty() { ours.to_owned() } else { format!("{ours} ({native})") }
}

/// People know a sprint by its name. Its id is in JSON.
fn sprint_name<'a>(view: &'a ShowView, id: &str) -> &'a str {
    view.sprint_names.get(id).map_or("a sprint that is gone", String::as_str)
}

fn children(children: &[ChildView]) -> Table {
    let columns = [Column::Left, Column::Left, Column::Left, Column::Left, Column::Right, Column::Flexible];
    let mut table = Table::new(&columns.map(|column| ("", column)));
    for child in children {
        let percent = format!("{:.0}%", child.percent_complete);
        let assignee = child.assignee.clone().unwrap_or_default();
        let start = format!("  {}", child.id);
        table.row([
            Cell::from(start),
            Cell::from(child.task_type.to_string()),
            Cell::new(child.status.as_str(), Tone::of_status(child.status)),
            Cell::from(assignee),
            Cell::from(percent),
            Cell::from(child.title.clone()),
        ]);
    }
    table
}

fn list(lines: &[String]) -> Table {
    let mut table = Table::new(&[("", Column::Flexible)]);
    lines.iter().for_each(|line| table.row([format!("  {line}")]));
    table
}

fn timeline(view: &ShowView) -> Table {
    let mut table = Table::new(&[("", Column::Left), ("", Column::Left), ("", Column::Wrapped), ("", Column::Wrapped)]);
    for event in &view.task.timeline {
        let side = |side: &Value| match event.kind {
            EventKind::SprintChanged => sprints(view, side),
            _ => plain(side),
        };
        let actor = event.actor.as_ref().map(|actor| format!("by {actor}"));
        let origin = match &event.derived {
            Some(cause) => Some(format!("derived: {cause}")),
            None => actor.or_else(|| event.observed.then(|| "observed".to_owned())),
        };
        table.row([
            format!("  {}", humanize::moment(event.at)),
            event.kind.to_string(),
            change(side(&event.from), side(&event.to)),
            origin.unwrap_or_default(),
        ]);
    }
    table
}

/// `old → new`, or one side alone when the other is absent.
fn change(from: Option<String>, to: Option<String>) -> String {
    match (from, to) {
        (None, None) => String::new(),
        (None, Some(to)) => to,
        (Some(from), None) => format!("{from} →"),
        (Some(from), Some(to)) => format!("{from} → {to}"),
    }
}

/// The names of the sprints in a list of ids; `None` when it is empty.
fn sprints(view: &ShowView, ids: &Value) -> Option<String> {
    let names: Vec<&str> = ids.as_array()?.iter().filter_map(|id| Some(sprint_name(view, id.as_str()?))).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// A value as text; `None` when it is absent or empty.
fn plain(value: &Value) -> Option<String> {
    let text = match value {
        Value::Null => return None,
        Value::String(text) => text.clone(),
        Value::Number(number) => number.as_f64().map_or_else(|| number.to_string(), humanize::points),
        Value::Array(items) => items.iter().filter_map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            let parts = ["kind", "reference", "summary"].iter().filter_map(|name| fields.get(*name).and_then(plain));
            parts.collect::<Vec<_>>().join(" ")
        }
        Value::Bool(yes) => yes.to_string(),
    };
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn select(key: &str) -> TaskSelector {
        TaskSelector::of(key)
    }

    #[tokio::test]
    async fn a_task_reads_well() {
        let (reader, _dir) = fixture::reader();
        let view = reader.show(&select("PROJ-7")).await.unwrap();
        insta::assert_snapshot!("show", render(&view, None));
        insta::assert_snapshot!("show_leaf", render(&reader.show(&select("proj-12")).await.unwrap(), Some(80)));
    }

    #[tokio::test]
    async fn json_is_the_task_with_children_and_links() {
        let (reader, _dir) = fixture::reader();
        let view = reader.show(&select("PROJ-7")).await.unwrap();
        let value = serde_json::to_value(&view).unwrap();
        assert_eq!(value["id"], "PROJ-7");
        assert_eq!(value["children"][0]["id"], "PROJ-9");
        assert_eq!(serde_json::from_value::<ShowView>(value).unwrap(), view);
    }

    #[tokio::test]
    async fn an_unknown_key_is_a_usage_error_that_says_what_to_do() {
        let (reader, _dir) = fixture::reader();
        let failure = reader.show(&select("NONE-1")).await.unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.lines[0].contains("contextcore sync"));
    }
}
