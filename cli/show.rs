//! `contextcore show KEY`: one task with its neighbourhood, and where to find it in the backends.

use std::io::{self, Write};

use contextcore_core::config::Config;
use contextcore_core::model::{Status, TaskType};
use contextcore_core::query::{EventKind, EventView, TaskView, Viewer};
use contextcore_core::store::Store;
use contextcore_core::{Error, ErrorKind, Millis};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::app::Context;
use crate::args;
use crate::failure::{Exit, Outcome};
use crate::reader::{Reader, Which};
use crate::table::{Column, Table};
use crate::{humanize, terminal};

/// A task, its children and its links.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ShowView {
    /// The task, as `tasks` lists it.
    #[serde(flatten)]
    pub(crate) task: TaskView,
    /// Its direct children.
    pub(crate) children: Vec<Child>,
    /// The links it has now, in the tool's words.
    pub(crate) links: Vec<String>,
}

/// What there is to say of a child in one line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Child {
    id: String,
    #[serde(rename = "type")]
    task_type: TaskType,
    status: Status,
    assignee: Option<String>,
    percent_complete: f64,
    title: String,
}

/// Looks a task up.
///
/// # Errors
/// [`ErrorKind::NotFound`] when there is none, [`ErrorKind::Config`] when two sources have one.
pub(crate) fn look(store: &Store, config: &Config, now: Millis, which: &Which) -> Result<ShowView, Error> {
    let viewer = Viewer::new(store, config, now);
    let mut found = viewer.find(&which.key, which.source.as_deref())?;
    if found.len() > 1 {
        let sources: Vec<&str> = found.iter().map(|task| task.source.as_str()).collect();
        let message =
            format!("`{}` means a task in each of {}: choose one with --source", which.key, sources.join(", "));
        return Err(Error::new(ErrorKind::Config, message));
    }
    let Some(task) = found.pop() else {
        let message = format!("there is no task `{}` in the store; `contextcore sync` fetches what is new", which.key);
        return Err(Error::new(ErrorKind::NotFound, message));
    };
    let key = contextcore_core::model::TaskKey::new(&*task.source, &*task.native_id);
    let children = viewer.children(&key)?.into_iter().map(child).collect();
    Ok(ShowView { links: links(&task.timeline), children, task })
}

fn child(task: TaskView) -> Child {
    let TaskView { id, task_type, status, assignee, percent_complete, title, .. } = task;
    Child { id, task_type, status, assignee, percent_complete, title }
}

/// The links that were made and not removed since.
fn links(timeline: &[EventView]) -> Vec<String> {
    let mut links: Vec<String> = Vec::new();
    for entry in timeline.iter().filter(|entry| entry.kind == EventKind::Linked) {
        if let Some(gone) = entry.from.as_str() {
            links.retain(|link| link != gone);
        }
        links.extend(entry.to.as_str().filter(|made| !links.iter().any(|link| link == made)).map(str::to_owned));
    }
    links
}

pub(crate) async fn run(context: &Context, arguments: &args::Show) -> Outcome {
    let json = context.is_json("show")?;
    let which = Which { key: arguments.key.clone(), source: arguments.source.clone() };
    let view = Reader::open(context.config()?).await?.show(&which).await?;
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, &view)?;
        out.write_all(b"\n")?;
    } else {
        out.write_all(render(&view, terminal::width()).as_bytes())?;
    }
    Ok(Exit::Done)
}

fn render(view: &ShowView, width: Option<usize>) -> String {
    let task = &view.task;
    let mut text = format!("{}  {}\n{}\n\n", task.id, task.title, task.url);
    text.push_str(&facts(task).render(width));
    let children = children(&view.children);
    for (heading, table) in
        [("Children", children), ("Links", list(&view.links)), ("Timeline", timeline(&task.timeline))]
    {
        if !table.is_empty() {
            text.push_str(&format!("\n{heading}\n{}", table.render(width)));
        }
    }
    text.push_str(&format!("\nTrace {}, span {}\n", task.trace_id, task.span_id));
    text
}

fn facts(task: &TaskView) -> Table {
    let mut table = Table::new(&[("", Column::Left), ("", Column::Flexible)]);
    let mut row = |name: &str, value: String| {
        if !value.is_empty() {
            table.row([format!("  {name}"), value]);
        }
    };
    let word = |text: &Option<String>| text.clone().unwrap_or_default();
    let time = |at: Option<Millis>| at.map(humanize::moment).unwrap_or_default();
    let length = |seconds: f64| if seconds > 0.0 { humanize::duration(seconds) } else { String::new() };
    row("source", format!("{} ({}), id {}", task.source, task.tool.as_deref().unwrap_or("unknown"), task.native_id));
    row("project", with_native(&task.project_id, &task.project));
    row("type", with_native(task.task_type.as_str(), &task.native_type));
    row("status", with_native(task.status.as_str(), &task.native_status));
    row("priority", word(&task.priority));
    row("assignee", word(&task.assignee));
    row("reporter", word(&task.reporter));
    row("labels", task.labels.join(", "));
    row("estimate", task.estimate.map(humanize::points).unwrap_or_default());
    row("parent", word(&task.parent));
    row("root", task.root.clone());
    row("sprint", task.sprint.as_ref().map(|now| with_native(now, &task.sprints.join(", "))).unwrap_or_default());
    row("due", word(&task.due));
    row("created", time(Some(task.created)));
    row("started", time(task.started));
    row("completed", time(task.completed));
    row("cancelled", time(task.cancelled));
    row("deleted", time(task.deleted));
    row("lead time", task.lead_time.map(humanize::duration).unwrap_or_default());
    row("cycle time", task.cycle_time.map(humanize::duration).unwrap_or_default());
    row("blocked for", length(task.blocked_time));
    row("waited for", length(task.waiting_time));
    let times = task.status_time.iter().map(|(status, seconds)| format!("{status} {}", humanize::duration(*seconds)));
    row("time in", times.collect::<Vec<_>>().join(", "));
    row("blocked by", task.blocked_by.join(", "));
    row("waiting on", task.waiting_on.join(", "));
    let subtasks = task.subtasks;
    if subtasks.total > 0 {
        row(
            "complete",
            format!("{:.0}%, {} of {} children", task.percent_complete, subtasks.completed, subtasks.total),
        );
    }
    table
}

/// Our word, and the tool's own in brackets unless it says the same.
fn with_native(ours: &str, native: &str) -> String {
    let same = ours.to_lowercase().replace('_', " ") == native.to_lowercase();
    if same || native.is_empty() { ours.to_owned() } else { format!("{ours} ({native})") }
}

fn children(children: &[Child]) -> Table {
    let columns = [Column::Left, Column::Left, Column::Left, Column::Left, Column::Right, Column::Flexible];
    let mut table = Table::new(&columns.map(|column| ("", column)));
    for child in children {
        let percent = format!("{:.0}%", child.percent_complete);
        let assignee = child.assignee.clone().unwrap_or_default();
        let start = format!("  {}", child.id);
        table.row([
            start,
            child.task_type.to_string(),
            child.status.to_string(),
            assignee,
            percent,
            child.title.clone(),
        ]);
    }
    table
}

fn list(lines: &[String]) -> Table {
    let mut table = Table::new(&[("", Column::Flexible)]);
    lines.iter().for_each(|line| table.row([format!("  {line}")]));
    table
}

fn timeline(entries: &[EventView]) -> Table {
    let mut table = Table::new(&[("", Column::Left), ("", Column::Left), ("", Column::Flexible), ("", Column::Left)]);
    for entry in entries {
        let who = entry.actor.as_ref().map(|actor| format!("by {actor}"));
        let who = match &entry.derived {
            Some(from) => Some(format!("derived: {from}")),
            None => who.or_else(|| entry.observed.then(|| "observed".to_owned())),
        };
        let who = who.unwrap_or_default();
        table.row([
            format!("  {}", humanize::moment(entry.at)),
            entry.kind.to_string(),
            change(&entry.from, &entry.to),
            who,
        ]);
    }
    table
}

/// `old → new`, or the side there is.
fn change(from: &Value, to: &Value) -> String {
    match (plain(from), plain(to)) {
        (None, None) => String::new(),
        (None, Some(to)) => to,
        (Some(from), None) => format!("{from} →"),
        (Some(from), Some(to)) => format!("{from} → {to}"),
    }
}

/// A value as people write it; nothing for what is absent or empty.
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

    fn which(key: &str) -> Which {
        Which { key: key.into(), source: None }
    }

    #[tokio::test]
    async fn a_task_reads_well() {
        let (reader, _dir) = fixture::reader();
        let view = reader.show(&which("PROJ-7")).await.unwrap();
        insta::assert_snapshot!("show", render(&view, None));
        insta::assert_snapshot!("show_leaf", render(&reader.show(&which("proj-12")).await.unwrap(), Some(80)));
    }

    #[tokio::test]
    async fn json_is_the_task_with_children_and_links() {
        let (reader, _dir) = fixture::reader();
        let view = reader.show(&which("PROJ-7")).await.unwrap();
        let value = serde_json::to_value(&view).unwrap();
        assert_eq!(value["id"], "PROJ-7");
        assert_eq!(value["children"][0]["id"], "PROJ-9");
        assert_eq!(serde_json::from_value::<ShowView>(value).unwrap(), view);
    }

    #[tokio::test]
    async fn an_unknown_key_is_wrong_usage_that_says_what_to_do() {
        let (reader, _dir) = fixture::reader();
        let failure = reader.show(&which("NONE-1")).await.unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.lines[0].contains("contextcore sync"));
    }

    #[test]
    fn a_removed_link_is_no_link() {
        let entry = |from: Value, to: Value| EventView {
            at: Millis(0),
            kind: EventKind::Linked,
            from,
            to,
            actor: None,
            observed: false,
            derived: None,
        };
        let made = |text: &str| entry(Value::Null, text.into());
        let gone = |text: &str| entry(text.into(), Value::Null);
        assert_eq!(links(&[made("blocks A"), made("clones B"), gone("blocks A"), made("clones B")]), ["clones B"]);
    }
}
