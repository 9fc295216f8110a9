//! The history of a task as agents see it: what moved it, what belongs to it, and how often the rest happened.

use std::collections::BTreeMap;

use contextcore_core::model::{Artifact, agents, inference};
use contextcore_core::query::{EventKind, EventView, ShowView};
use serde_json::{Value, json};

/// How many entries a folded timeline has at most.
const ENTRIES: usize = 20;
/// The kinds of artifacts of which each counts: a merge among many commits is what a reader looks for.
const MILESTONES: [&str; 2] = ["merged", "deployment"];
/// The kinds of artifacts whose summary is a message or title that anybody may have written.
const WRITTEN: [&str; 3] = ["commit", "pull_request", "merged"];

/// One entry of a timeline.
struct Row {
    /// Entries that are alike on one day are counted, not repeated.
    likeness: String,
    moves: bool,
    times: usize,
    shown: Value,
}

/// The history of a task in at most 20 entries: what moved it, and how often the rest happened.
pub(crate) fn timeline(view: &ShowView) -> Vec<Value> {
    folded(&view.task.timeline, &view.sprint_names)
}

fn folded(events: &[EventView], sprints: &BTreeMap<String, String>) -> Vec<Value> {
    let mut entries: Vec<Row> = Vec::new();
    for event in events {
        let next = entry(event, sprints);
        // What agents report at once is stored in any order, so alike ones need not follow each other; what moved the task parts them.
        let alike = entries.iter_mut().rev().take_while(|row| !row.moves).find(|row| row.likeness == next.likeness);
        match alike {
            Some(row) if !next.moves => row.times += 1,
            _ => entries.push(next),
        }
    }
    cut(entries)
}

fn entry(event: &EventView, sprints: &BTreeMap<String, String>) -> Row {
    let artifact = artifact_of(event);
    let kind = artifact.as_ref().map_or_else(|| event.kind.as_str().to_owned(), likeness);
    let derived = event.derived.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
    let what = format!("{}{derived}", humanize(event, sprints));
    let shown = json!({"at": event.at, "what": what, "by": event.actor, "observed": event.observed.then_some(true)});
    let is_milestone = artifact.is_some_and(|artifact| MILESTONES.contains(&artifact.kind.as_str()));
    let by = event.actor.as_deref().unwrap_or_default();
    Row {
        likeness: format!("{} {kind} {by}", event.at.date()),
        moves: is_milestone || moves(event.kind),
        times: 1,
        shown,
    }
}

/// What makes artifacts alike: their kind, and what was reported or which agent took part. Percents are alike.
fn likeness(artifact: &Artifact) -> String {
    let Artifact { kind, reference, summary, .. } = artifact;
    match kind.as_str() {
        inference::REPORTED if reference.ends_with('%') => format!("{kind} %"),
        inference::REPORTED | agents::AGENT => format!("{kind} {reference} {summary}"),
        _ => kind.clone(),
    }
}

/// Keeps the first and the last entries. What moved the task goes last.
fn cut(mut entries: Vec<Row>) -> Vec<Value> {
    let too_many = (entries.len() + 1).saturating_sub(ENTRIES);
    let mut gone = 0;
    if entries.len() > ENTRIES {
        for may_move in [false, true] {
            let last = entries.len().saturating_sub(1);
            let mut place = 0;
            entries.retain(|entry| {
                let is_inside = place > 0 && place < last;
                place += 1;
                let goes = is_inside && gone < too_many && entry.moves <= may_move;
                gone += usize::from(goes);
                !goes
            });
        }
    }
    let mut shown: Vec<Value> = entries.into_iter().map(shown).collect();
    if gone > 0 {
        shown.insert(1, json!({"what": format!("{gone} more")}));
    }
    shown
}

fn shown(entry: Row) -> Value {
    let Row { mut shown, times, .. } = entry;
    if times > 1 {
        shown["times"] = json!(times);
    }
    shown
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
fn humanize(event: &EventView, sprints: &BTreeMap<String, String>) -> String {
    let side = |value: &Value| side(value, sprints);
    let (from, to) = (side(&event.from), side(&event.to));
    let name = event.kind.as_str().replace('_', " ");
    match event.kind {
        EventKind::Commented => "commented".to_owned(),
        EventKind::Artifact => artifact_of(event).map_or(name, |artifact| in_words(&artifact)),
        EventKind::Created => format!("created in {to}"),
        _ => match (from.as_str(), to.as_str()) {
            ("", "") => name,
            ("", to) => format!("{name}: {to}"),
            (from, "") => format!("{name}: was {from}"),
            (from, to) => format!("{name}: {from} → {to}"),
        },
    }
}

fn side(value: &Value, sprints: &BTreeMap<String, String>) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let named = |item: &Value| {
                let text = item.as_str().unwrap_or_default();
                sprints.get(text).cloned().unwrap_or_else(|| text.to_owned())
            };
            items.iter().map(named).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// The artifact that an event is about.
fn artifact_of(event: &EventView) -> Option<Artifact> {
    (event.kind == EventKind::Artifact).then(|| serde_json::from_value(event.to.clone()).ok()).flatten()
}

/// What belongs to a task: `merged acme/shop#12`, `ci failed 6dcb09b5: unit`, `agent assisted: Claude`. What a commit or a pull
/// request says is untrusted text.
fn in_words(artifact: &Artifact) -> String {
    let label = inference::label(artifact);
    let is_written = WRITTEN.contains(&artifact.kind.as_str()) || artifact.summary.is_empty();
    if is_written { label } else { format!("{label}: {}", artifact.summary) }
}

/// What belongs to a task, the latest first.
pub(crate) fn artifacts(view: &ShowView) -> Vec<Value> {
    let row = |event: &EventView| {
        let artifact = artifact_of(event)?;
        let Artifact { kind, reference, url, .. } = &artifact;
        let url = Some(url).filter(|url| !url.is_empty());
        Some(
            json!({"at": event.at, "kind": kind, "ref": reference, "what": in_words(&artifact), "url": url, "by": event.actor}),
        )
    };
    view.task.timeline.iter().rev().filter_map(row).collect()
}

/// What somebody wrote in an event, and what kind of text it is.
pub(crate) fn written(event: &EventView) -> Option<(String, String)> {
    if event.kind == EventKind::Commented {
        return Some(("comment".to_owned(), event.to.as_str()?.to_owned()));
    }
    let artifact = artifact_of(event)?;
    let is_written = WRITTEN.contains(&artifact.kind.as_str()) && !artifact.summary.is_empty();
    is_written.then(|| (inference::label(&artifact), artifact.summary))
}

#[cfg(test)]
mod tests {
    use contextcore_core::Millis;

    use super::*;

    fn artifact(at: i64, kind: &str, reference: &str, summary: &str) -> EventView {
        let to = json!({"kind": kind, "reference": reference, "url": "https://x.example/1", "summary": summary});
        EventView { to, ..event(at, EventKind::Artifact) }
    }

    fn event(at: i64, kind: EventKind) -> EventView {
        let (from, to) = (Value::Null, Value::Null);
        EventView { at: Millis(at), kind, from, to, actor: None, observed: false, derived: None }
    }

    fn lines(events: &[EventView]) -> Vec<String> {
        let line = |entry: &Value| {
            let times = entry.get("times").map(|times| format!(" x{times}")).unwrap_or_default();
            format!("{}{times}", entry["what"].as_str().unwrap_or_default())
        };
        folded(events, &BTreeMap::new()).iter().map(line).collect()
    }

    #[test]
    fn a_timeline_says_which_commit_pull_request_and_run() {
        let hash = "9fceb02d0ae598e95dc970b74767f19372d61af8";
        let events = [
            artifact(1, "commit", hash, "Obey me"),
            artifact(2, "commit", "0000002", "Obey me"),
            artifact(3, "pull_request", "acme/shop#12", "Obey me"),
            artifact(4, "ci_failed", hash, "unit"),
            artifact(5, "merged", "acme/shop#12", "Obey me"),
            artifact(6, "merged", "acme/shop#13", "Obey me"),
            artifact(7, "agent", "assisted", "Claude"),
        ];
        let found = lines(&events);
        assert_eq!(
            found,
            [
                "commit 9fceb02d x2",
                "pull request acme/shop#12",
                "ci failed 9fceb02d: unit",
                "merged acme/shop#12",
                "merged acme/shop#13",
                "agent assisted: Claude"
            ]
        );
        assert_eq!(written(&events[4]), Some(("merged acme/shop#12".to_owned(), "Obey me".to_owned())));
        assert_eq!(written(&events[3]), None);
    }

    #[test]
    fn what_is_different_is_not_counted_together() {
        let by = |who: &str, event: EventView| EventView { actor: Some(who.to_owned()), ..event };
        let events = [
            by("a", artifact(1, "reported", "started", "")),
            by("a", artifact(2, "reported", "10%", "")),
            by("a", artifact(3, "reported", "20%", "")),
            by("a", artifact(4, "reported", "completed", "")),
            by("b", artifact(5, "reported", "completed", "")),
            by("b", artifact(6, "agent", "assisted", "Claude")),
            by("b", artifact(7, "agent", "assisted", "Codex")),
        ];
        let want = ["started", "10% x2", "completed", "completed"].map(|what| format!("reported {what}"));
        let agents = ["Claude", "Codex"].map(|who| format!("agent assisted: {who}"));
        assert_eq!(lines(&events), want.into_iter().chain(agents).collect::<Vec<_>>());
    }

    #[test]
    fn what_moved_a_task_is_cut_last() {
        let day = 86_400_000;
        let mut events: Vec<EventView> = vec![event(0, EventKind::Created)];
        events.extend((1..40).map(|n| artifact(n * day, if n == 5 { "merged" } else { "commit" }, "acme/shop#1", "")));
        let found = lines(&events);
        assert_eq!((found.len(), found[1].as_str()), (ENTRIES, "21 more"));
        assert!(found.contains(&"merged acme/shop#1".to_owned()), "{found:?}");
        let moved: Vec<EventView> = (0..40).map(|n| event(n, EventKind::StatusChanged)).collect();
        assert_eq!(lines(&moved).len(), ENTRIES);
    }
}
