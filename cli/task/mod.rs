//! `contextcore task`: reports work from a shell. Writes one line to the spool, and starts the helper that sends it.

use contextcore_core::model::operation::{
    Attributes, Operation, Scalar, TaskBlock, TaskComment, TaskEvent, TaskFields, TaskLink, TaskOnly, TaskProgress,
    TaskReason, TaskStatus,
};
use contextcore_core::model::printable;
use serde_json::json;

use crate::app::Context;
use crate::args::{self, Given, TaskOperation};
use crate::failure::{Exit, Failure, Outcome};
use crate::record::record;
use crate::{lanes, output, project};

pub(crate) fn run(context: &Context, arguments: args::Task) -> Outcome {
    let json = context.is_json("task")?;
    let operation = operation(arguments.operation);
    let task = operation.task().unwrap_or_default().trim().to_owned();
    if task.is_empty() {
        return Err(Failure::usage("the task's key is empty"));
    }
    let (mut place, name) = (arguments.place, operation.name());
    let state = lanes::state_dir(place.state.as_deref())?;
    let project = project::find(context, place.project.as_deref(), &state)?;
    let actor = place.actor.take();
    let operations = match lanes::variable("CONTEXTCORE_AGENT") {
        Some(agent) => operation.with_evidence_of(&agent),
        None => vec![operation],
    };
    let operations = operations.into_iter().map(|operation| (operation, actor.clone()));
    let recorded = record(&state, &project, &place, operations.collect())?;
    let view = json!({
        "project": project.name, "task": task, "op": name, "lane": recorded.lane.name(),
        "writer": recorded.writer, "seq": recorded.seq,
    });
    output::print_compact(json, &view, |_| {
        format!("{name} {} ({})\n", printable::one_line(&task), project.described())
    })?;
    Ok(Exit::Done)
}

/// The operation of a command.
fn operation(of: TaskOperation) -> Operation {
    match of {
        TaskOperation::Start(given) => Operation::Start(fields(given, &[])),
        TaskOperation::Update { fields: given, clear } => Operation::Update(fields(given, &clear)),
        TaskOperation::Status { key, status, reason } => Operation::Status(TaskStatus { task: key, status, reason }),
        TaskOperation::Block { key, reason, by } => Operation::Block(TaskBlock { task: key, reason, blocked_by: by }),
        TaskOperation::Unblock { key } => Operation::Unblock(TaskOnly { task: key }),
        TaskOperation::Complete { key } => Operation::Complete(TaskOnly { task: key }),
        TaskOperation::Cancel { key, reason } => Operation::Cancel(TaskReason { task: key, reason }),
        TaskOperation::Reopen { key } => Operation::Reopen(TaskOnly { task: key }),
        TaskOperation::Progress { key, percent } => Operation::Progress(TaskProgress { task: key, percent }),
        TaskOperation::Comment { key, text, author } => Operation::Comment(TaskComment { task: key, text, author }),
        TaskOperation::Event { key, name, attributes } => {
            Operation::Event(TaskEvent { task: key, name, attributes: texts(attributes, MOST_OF_EVENT) })
        }
        TaskOperation::Link { key, kind, reference, url } => {
            Operation::Link(TaskLink { task: key, kind, reference, url })
        }
    }
}

/// Attributes that an event may have.
const MOST_OF_EVENT: usize = 16;

fn texts(pairs: Vec<(String, String)>, most: usize) -> Attributes {
    Attributes(pairs.into_iter().take(most).map(|(name, value)| (name, Some(Scalar::Text(value)))).collect())
}

/// The fields that are given, and `null` for those to clear.
fn fields(given: Given, clear: &[String]) -> TaskFields {
    let cleared = |name: &str| clear.iter().any(|field| field == name);
    fn or_null<T>(value: Option<T>, clear: bool) -> Option<Option<T>> {
        value.map(Some).or(clear.then_some(None))
    }
    let list = |list: Vec<String>, clear: bool| or_null((!list.is_empty()).then_some(list), clear);
    TaskFields {
        task: given.key,
        title: given.title,
        task_type: given.task_type,
        status: given.status,
        parent: or_null(given.parent, cleared("parent")),
        priority: or_null(given.priority, cleared("priority")),
        assignee: or_null(given.assignee, cleared("assignee")),
        estimate: or_null(given.points, cleared("points")),
        labels: list(given.labels, cleared("labels")),
        sprint: or_null(given.sprint, cleared("sprint")),
        due: or_null(given.due, cleared("due")),
        url: or_null(given.url, cleared("url")),
        depends_on: list(given.depends_on, cleared("depends-on")),
        attributes: texts(given.attributes, usize::MAX),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command, Place};

    fn written(arguments: &[&str]) -> String {
        let line = ["contextcore", "task"].iter().chain(arguments);
        let Command::Task(task) = Cli::try_parse_from(line).unwrap().command else { panic!("no task") };
        serde_json::to_string(&operation(task.operation)).unwrap()
    }

    #[test]
    fn commands_become_operations() {
        let table = [
            (
                &[
                    "start", "A-1", "--title", "T", "--type", "story", "--points", "3", "--label", "web", "--attr",
                    "x=1",
                ][..],
                r#"{"op":"task.start","task":"A-1","title":"T","type":"story","estimate":3,"labels":["web"],"attributes":{"x":"1"}}"#,
            ),
            (
                &["update", "A-1", "--clear", "parent", "--clear", "labels", "--assignee", "ada"],
                r#"{"op":"task.update","task":"A-1","parent":null,"assignee":"ada","labels":null}"#,
            ),
            (&["status", "A-1", "in_progress"], r#"{"op":"task.status","task":"A-1","status":"in_progress"}"#),
            (
                &["block", "A-1", "--reason", "vendor", "--by", "B-2"],
                r#"{"op":"task.block","task":"A-1","reason":"vendor","blocked_by":"B-2"}"#,
            ),
            (&["complete", "A-1", "--project", "p"], r#"{"op":"task.complete","task":"A-1"}"#),
            (&["progress", "A-1", "62.5"], r#"{"op":"task.progress","task":"A-1","percent":62.5}"#),
            (
                &["link", "A-1", "pr", "acme/x#1", "--url", "https://x"],
                r#"{"op":"task.link","task":"A-1","kind":"pr","ref":"acme/x#1","url":"https://x"}"#,
            ),
        ];
        for (arguments, want) in table {
            assert_eq!(written(arguments), want);
        }
    }

    #[test]
    fn what_no_reader_takes_is_refused_with_what_to_write() {
        let table = [
            (&["progress", "A-1", "140"][..], "between 0 and 100"),
            (&["event", "A-1", "Bad Name"], "a letter first"),
            (&["link", "A-1", "mail", "x"], "commit"),
            (&["link", "A-1", "commit", " "], "a commit's hash"),
            (&["status", "A-1", ""], "in_progress"),
            (&["comment", "A-1", ""], "the text"),
            (&["start", "A-1", "--due", "tomorrow"], "2026-11-30"),
            (&["update", "A-1", "--due", "2026-13-01"], "--clear due"),
            (&["update", "A-1", "--due", ""], "--clear due"),
        ];
        for (wrong, why) in table {
            let line = ["contextcore", "task"].iter().chain(wrong);
            let error = Cli::try_parse_from(line).unwrap_err();
            assert!(error.exit_code() == 2 && error.to_string().contains(why), "{wrong:?}: {error}");
        }
        assert_eq!(
            written(&["update", "A-1", "--due", "2026-11-30T09:00:00Z"]),
            r#"{"op":"task.update","task":"A-1","due":"2026-11-30"}"#
        );
    }

    #[test]
    fn what_is_reported_is_in_the_spool_of_its_lane() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place {
            project: Some("shop".into()),
            actor: Some("ada".into()),
            at: None,
            state: Some(dir.path().join("state")),
            endpoint: Some("http://tempo:4317".into()),
            protocol: None,
            no_drain: true,
        };
        let state = lanes::state_dir(place.state.as_deref()).unwrap();
        let project = project::named(place.project.as_deref()).unwrap().unwrap();
        let complete = Operation::Complete(TaskOnly { task: "A-1".into() });
        let reported = record(&state, &project, &place, vec![(complete, place.actor.clone())]).unwrap();
        let lane = state.lane(&reported.lane.name());
        let name = format!("{}.1.jsonl", reported.writer);
        let text = std::fs::read_to_string(lane.spool().join("shop").join(name)).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(
            lines[0].contains(r#""lang":"shell""#)
                && lines[1].ends_with(r#""op":"task.complete","task":"A-1","actor":"ada"}"#)
        );
        assert!(lane.path().join("lane.json").exists());
    }
}
