//! The timeline as people see it: each stored fact with the value before it, and the turns that follow from them
//! (`completed`, `cancelled`, `reopened`, and `blocked` or `unblocked` by a status) right after the fact that brought them about.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::model::error::Result;
use crate::model::inference;
use crate::model::time::Millis;
use crate::model::timeline::State;
use crate::model::transitions::{Course, Turn};
use crate::model::{Artifact, Facts, Kept, ParentRef, SmolStr, TaskRecord, What, string_enum};

string_enum! {
    /// What an entry of a timeline is about.
    EntryKind {
        /// It came to be; `to` is its first status.
        Created = "created",
        /// Its workflow status changed.
        StatusChanged = "status_changed",
        /// An impediment was raised; `to` is the reason, if one was given.
        Blocked = "blocked",
        /// The impediment was lifted; `from` is the reason it had.
        Unblocked = "unblocked",
        /// It was given to somebody, or to nobody.
        Assigned = "assigned",
        /// Its estimate changed.
        EstimateChanged = "estimate_changed",
        /// It entered or left sprints; both sides are lists of native ids.
        SprintChanged = "sprint_changed",
        /// It got another parent; both sides are keys.
        ParentChanged = "parent_changed",
        /// It was renamed.
        TitleChanged = "title_changed",
        /// Its type changed.
        TypeChanged = "type_changed",
        /// Its priority changed.
        PriorityChanged = "priority_changed",
        /// Its labels changed.
        LabelsChanged = "labels_changed",
        /// Its due date changed.
        DueChanged = "due_changed",
        /// It got another key, and perhaps another project; both sides are keys.
        Moved = "moved",
        /// Somebody commented; `to` is the text where it is kept.
        Commented = "commented",
        /// A link was made (`to` says what) or removed (`from` says what).
        Linked = "linked",
        /// Somebody did something that names it; `to` is the artifact.
        Artifact = "artifact",
        /// It entered a done status; both sides are statuses.
        Completed = "completed",
        /// It entered a cancelled status; both sides are statuses.
        Cancelled = "cancelled",
        /// It left a finished status; both sides are statuses.
        Reopened = "reopened",
        /// It vanished from the tool.
        Deleted = "deleted",
        /// It came back after it had vanished.
        Restored = "restored",
    }
}

/// One entry of a timeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EntryView {
    /// When it happened, or was seen.
    pub at: Millis,
    /// What it is about.
    pub kind: EntryKind,
    /// The value before: a word, number, list or null, as [`EntryKind`] tells.
    pub from: Value,
    /// The value after.
    pub to: Value,
    /// Who did it.
    pub actor: Option<String>,
    /// The tool keeps no history of this: it is dated when we saw it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub observed: bool,
    /// The tool did not say so: it follows from what people did, or from the status it is in, which is named here, e.g.
    /// `merged acme/checkout#12` or `status On Hold`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub derived: Option<String>,
}

/// The entries of a task. `parent_id` gives the key people say for a parent.
pub(super) fn entries(
    record: &TaskRecord,
    parent_id: &dyn Fn(&ParentRef) -> Result<SmolStr>,
) -> Result<Vec<EntryView>> {
    let Some(mut state) = State::first(&record.timeline) else { return Ok(Vec::new()) };
    let mut entries = Vec::with_capacity(record.timeline.len() + 2);
    let mut course = Course::default();
    for (place, kept) in record.timeline.iter().enumerate() {
        let (fact, step) = told(&mut state, kept, parent_id)?;
        let cause = step.clone().unwrap_or_else(|| fact.clone());
        entries.push(fact);
        entries.extend(step);
        entries.extend(course.turns(&record.timeline, place, &state.facts).map(|turn| shown(turn, &cause)));
    }
    Ok(entries)
}

/// A fact as an entry, and as another what it came to when it is evidence that moves the task.
fn told(
    state: &mut State,
    kept: &Kept,
    parent_id: &dyn Fn(&ParentRef) -> Result<SmolStr>,
) -> Result<(EntryView, Option<EntryView>)> {
    let (before, entry) = (state.facts.clone(), &kept.entry);
    let step = state.apply(entry);
    let (kind, from, to) = change(&before, &entry.what, parent_id)?;
    let (actor, observed) = (entry.actor.clone(), entry.observed);
    let fact = EntryView { at: entry.at, kind, from, to, actor, observed, derived: None };
    let Some(step) = step else { return Ok((fact, None)) };
    let (kind, from, to) = change(&before, &step, parent_id)?;
    let step = EntryView { kind, from, to, derived: entry.what.artifact().map(inference::said), ..fact.clone() };
    Ok((fact, Some(step)))
}

/// A turn as an entry, right after the one that caused it.
fn shown(turn: Turn, cause: &EntryView) -> EntryView {
    let like = |kind| EntryView { kind, ..cause.clone() };
    let impediment = |kind, from, to| EntryView { kind, from, to, ..cause.clone() };
    // Who reads entries back must not take what follows from a status for an impediment of its own.
    let by_status = |native: &str| cause.derived.clone().or_else(|| Some(format!("status {native}")));
    match turn {
        Turn::Completed => like(EntryKind::Completed),
        Turn::Cancelled => like(EntryKind::Cancelled),
        Turn::Reopened => like(EntryKind::Reopened),
        Turn::Flagged(reason) => impediment(EntryKind::Blocked, Value::Null, json!(reason)),
        Turn::Blocked(native) => {
            EntryView { derived: by_status(&native), ..impediment(EntryKind::Blocked, Value::Null, json!(native)) }
        }
        Turn::Unblocked(native) => {
            EntryView { derived: by_status(&native), ..impediment(EntryKind::Unblocked, json!(native), Value::Null) }
        }
    }
}

/// What a fact changed: its kind, the value before it and the value after it.
fn change(
    before: &Facts,
    what: &What,
    parent_id: &dyn Fn(&ParentRef) -> Result<SmolStr>,
) -> Result<(EntryKind, Value, Value)> {
    use EntryKind as Kind;
    let parent = |parent: Option<&ParentRef>| Ok::<_, crate::Error>(json!(parent.map(parent_id).transpose()?));
    Ok(match what {
        What::Created(facts) => (Kind::Created, Value::Null, json!(facts.status)),
        What::Status { status, .. } => (Kind::StatusChanged, json!(before.status), json!(status)),
        What::Blocked(reason) => (Kind::Blocked, Value::Null, said(reason.as_deref())),
        What::Waits(reason) => (Kind::Blocked, Value::Null, json!(reason)),
        What::Free => (Kind::Unblocked, json!(before.waits), Value::Null),
        What::Unblocked => (Kind::Unblocked, said(before.flag.as_deref()), Value::Null),
        What::Assigned(to) => (Kind::Assigned, json!(before.assignee), json!(to)),
        What::Estimated(to) => (Kind::EstimateChanged, json!(before.estimate), json!(to)),
        What::Sprints(to) => (Kind::SprintChanged, json!(before.sprints), json!(to)),
        What::Parent(to) => (Kind::ParentChanged, parent(before.parent.as_ref())?, parent(to.as_ref())?),
        What::Titled(to) => (Kind::TitleChanged, json!(before.title), json!(to)),
        What::Typed { task_type, .. } => (Kind::TypeChanged, json!(before.task_type), json!(task_type)),
        What::Prioritised(to) => (Kind::PriorityChanged, json!(before.priority), json!(to)),
        What::Labelled(to) => (Kind::LabelsChanged, json!(before.labels), json!(to)),
        What::Due(to) => (Kind::DueChanged, json!(before.due), json!(to)),
        What::Moved { key, project } => {
            let (from, to) = before.moved(key, project);
            (Kind::Moved, json!(from), json!(to))
        }
        What::Commented(text) => (Kind::Commented, Value::Null, said(text.as_deref())),
        What::Linked { text, added: true, .. } => (Kind::Linked, Value::Null, json!(text)),
        What::Linked { text, added: false, .. } => (Kind::Linked, json!(text), Value::Null),
        What::Artifact(artifact) | What::Evidence(artifact) => (Kind::Artifact, Value::Null, artifact_json(artifact)),
        What::Deleted => (Kind::Deleted, Value::Null, Value::Null),
        What::Restored => (Kind::Restored, Value::Null, Value::Null),
    })
}

/// A text that may be missing; an empty one says nothing either.
fn said(text: Option<&str>) -> Value {
    json!(text.filter(|text| !text.is_empty()))
}

fn artifact_json(artifact: &Artifact) -> Value {
    let Artifact { kind, reference, url, summary } = artifact;
    json!({"kind": kind, "reference": reference, "url": url, "summary": summary})
}
