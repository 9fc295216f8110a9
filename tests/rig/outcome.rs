//! What an installation knows and has exported, in a form that can be compared.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use contextcore_fakes::otlp::{Attributes, Handle, Log, Point, Span};
use serde_json::Value;

/// What an installation knows and has exported for good, by identity: two that are equal exported the same, each thing once.
/// The tool's address is masked, so that installations of different fakes of the same world compare.
#[derive(PartialEq)]
pub(crate) struct Outcome {
    /// `tasks --output json`, by native id.
    pub(crate) tasks: BTreeMap<String, String>,
    /// Every span but snapshots, by trace and span id.
    pub(crate) history: BTreeMap<String, String>,
    /// Every log record.
    pub(crate) lines: BTreeMap<String, String>,
    /// Every value of every series at every moment, except the program's own metrics.
    pub(crate) values: BTreeMap<String, String>,
}

impl Outcome {
    /// Gathers it: `tasks` is what the command of that name prints.
    pub(super) fn of(tasks: &[Value], collector: &Handle, url: &str) -> Self {
        let text = |task: &Value| masked(task.to_string(), url);
        Self {
            tasks: tasks.iter().map(|task| (task["native_id"].to_string(), text(task))).collect(),
            history: history(collector, url),
            lines: lines(collector, url),
            values: values(collector, url),
        }
    }

    /// Fails with what differs, if anything does.
    #[track_caller]
    pub(crate) fn assert_same(&self, other: &Self) {
        assert!(!other.tasks.is_empty() && !other.history.is_empty() && !other.lines.is_empty());
        assert_same("tasks", &self.tasks, &other.tasks);
        assert_same("history spans", &self.history, &other.history);
        assert_same("log records", &self.lines, &other.lines);
        assert_same("metric values", &self.values, &other.values);
    }
}

/// A text without the address of the tool; nothing is masked where none is given.
fn masked(text: String, url: &str) -> String {
    // Most texts do not have it, and there are tens of thousands.
    if url.is_empty() || !text.contains(url) { text } else { text.replace(url, "JIRA") }
}

/// Compares two maps and fails with the first few differences.
#[track_caller]
pub(crate) fn assert_same(what: &str, ours: &BTreeMap<String, String>, theirs: &BTreeMap<String, String>) {
    let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let differing: Vec<_> = names.into_iter().filter(|name| ours.get(*name) != theirs.get(*name)).collect();
    let shown =
        differing.iter().take(3).map(|name| format!("{name}\n  {:?}\n  {:?}", ours.get(*name), theirs.get(*name)));
    assert!(
        differing.is_empty(),
        "{} {what} differ, such as\n{}",
        differing.len(),
        shown.collect::<Vec<_>>().join("\n")
    );
}

fn text<'a>(attributes: &'a Attributes, name: &str) -> &'a str {
    attributes.get(name).and_then(Value::as_str).unwrap_or_default()
}

pub(crate) fn role(span: &Span) -> &str {
    text(&span.attributes, "contextcore.role")
}

/// Keeps one thing under its identity; the same identity with another content is a contradiction.
#[track_caller]
fn keep(into: &mut BTreeMap<String, String>, identity: String, content: String) {
    match into.entry(identity) {
        Entry::Vacant(place) => _ = place.insert(content),
        Entry::Occupied(kept) => assert_eq!(kept.get(), &content, "exported twice, and differently"),
    }
}

fn history(collector: &Handle, url: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for span in collector.spans().iter().filter(|span| !role(span).ends_with("snapshot")) {
        keep(&mut all, format!("{} {}", span.trace_id, span.span_id), masked(format!("{span:?}"), url));
    }
    all
}

/// Without the resource: whether a record is a backfill depends on when it was sent.
pub(super) fn lines(collector: &Handle, url: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for Log { time, event_name, body, attributes, trace_id, span_id, .. } in &collector.logs() {
        let identity = format!("{time} {event_name} {} {body}", text(attributes, "task.id"));
        keep(&mut all, identity, masked(format!("{attributes:?} {trace_id} {span_id}"), url));
    }
    all
}

pub(super) fn points(collector: &Handle) -> Vec<Point> {
    let about_itself = |point: &Point| point.name.starts_with("contextcore.");
    collector.points().into_iter().filter(|point| !about_itself(point)).collect()
}

fn values(collector: &Handle, url: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for point in &points(collector) {
        let Point { time, name, resource, attributes, start, value, .. } = point;
        let series = format!("{time} {name} {} {attributes:?}", text(resource, "project.id"));
        keep(&mut all, masked(series, url), format!("{start} {value:?}"));
    }
    all
}
