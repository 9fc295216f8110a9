//! The timeline as people see it: each stored fact with the value before it, and the turns that follow from them
//! (`completed`, `cancelled`, `reopened`, and `blocked` or `unblocked` by a status) right after the fact that brought them about.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::model::error::Result;
use crate::model::inference;
use crate::model::time::Millis;
use crate::model::timeline::State;
use crate::model::transitions::{StatusTracker, StatusTransition};
use crate::model::{Artifact, Change, Facts, ParentRef, SmolStr, StoredEvent, TaskRecord, string_enum};

string_enum! {
    /// What an entry of a timeline is about.
    EventKind {
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
pub struct EventView {
    /// When it happened, or was seen.
    pub at: Millis,
    /// What it is about.
    pub kind: EventKind,
    /// The value before: a word, number, list or null, as [`EventKind`] tells.
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
pub(super) fn events(record: &TaskRecord, parent_id: &dyn Fn(&ParentRef) -> Result<SmolStr>) -> Result<Vec<EventView>> {
    let Some(mut state) = State::first(&record.timeline) else { return Ok(Vec::new()) };
    let mut events = Vec::with_capacity(record.timeline.len() + 2);
    let mut tracker = StatusTracker::default();
    for (place, stored) in record.timeline.iter().enumerate() {
        let (fact, step) = told(&mut state, stored, parent_id)?;
        let cause = step.clone().unwrap_or_else(|| fact.clone());
        events.push(fact);
        events.extend(step);
        events
            .extend(tracker.transitions(&record.timeline, place, &state.facts).map(|snapshot| shown(snapshot, &cause)));
    }
    Ok(events)
}

/// A fact as an entry, and as another what it came to when it is evidence that moves the task.
fn told(
    state: &mut State,
    stored: &StoredEvent,
    parent_id: &dyn Fn(&ParentRef) -> Result<SmolStr>,
) -> Result<(EventView, Option<EventView>)> {
    let (before, event) = (state.facts.clone(), &stored.event);
    let step = state.apply(event);
    let (kind, from, to) = change(&before, &event.change, parent_id)?;
    let (actor, observed) = (event.actor.clone(), event.observed);
    let fact = EventView { at: event.at, kind, from, to, actor, observed, derived: None };
    let Some(step) = step else { return Ok((fact, None)) };
    let (kind, from, to) = change(&before, &step, parent_id)?;
    let step = EventView { kind, from, to, derived: event.change.artifact().map(inference::label), ..fact.clone() };
    Ok((fact, Some(step)))
}

/// A turn as an entry, right after the one that caused it.
fn shown(snapshot: StatusTransition, cause: &EventView) -> EventView {
    let like = |kind| EventView { kind, ..cause.clone() };
    let impediment = |kind, from, to| EventView { kind, from, to, ..cause.clone() };
    // Who reads entries back must not take what follows from a status for an impediment of its own.
    let by_status = |native: &str| cause.derived.clone().or_else(|| Some(format!("status {native}")));
    match snapshot {
        StatusTransition::Completed => like(EventKind::Completed),
        StatusTransition::Cancelled => like(EventKind::Cancelled),
        StatusTransition::Reopened => like(EventKind::Reopened),
        StatusTransition::Flagged(reason) => impediment(EventKind::Blocked, Value::Null, json!(reason)),
        StatusTransition::Blocked(native) => {
            EventView { derived: by_status(&native), ..impediment(EventKind::Blocked, Value::Null, json!(native)) }
        }
        StatusTransition::Unblocked(native) => {
            EventView { derived: by_status(&native), ..impediment(EventKind::Unblocked, json!(native), Value::Null) }
        }
    }
}

/// What a fact changed: its kind, the value before it and the value after it.
fn change(
    before: &Facts,
    change: &Change,
    parent_id: &dyn Fn(&ParentRef) -> Result<SmolStr>,
) -> Result<(EventKind, Value, Value)> {
    use EventKind as Kind;
    let parent = |parent: Option<&ParentRef>| Ok::<_, crate::Error>(json!(parent.map(parent_id).transpose()?));
    Ok(match change {
        Change::Created(facts) => (Kind::Created, Value::Null, json!(facts.status)),
        Change::Status { status, .. } => (Kind::StatusChanged, json!(before.status), json!(status)),
        Change::Blocked(reason) => (Kind::Blocked, Value::Null, said(reason.as_deref())),
        Change::BlockedByLinks(reason) => (Kind::Blocked, Value::Null, json!(reason)),
        Change::UnblockedByLinks => (Kind::Unblocked, json!(before.blocked_by_links), Value::Null),
        Change::Unblocked => (Kind::Unblocked, said(before.flag.as_deref()), Value::Null),
        Change::Assigned(to) => (Kind::Assigned, json!(before.assignee), json!(to)),
        Change::Estimated(to) => (Kind::EstimateChanged, json!(before.estimate), json!(to)),
        Change::Sprints(to) => (Kind::SprintChanged, json!(before.sprints), json!(to)),
        Change::Parent(to) => (Kind::ParentChanged, parent(before.parent.as_ref())?, parent(to.as_ref())?),
        Change::Titled(to) => (Kind::TitleChanged, json!(before.title), json!(to)),
        Change::Typed { task_type, .. } => (Kind::TypeChanged, json!(before.task_type), json!(task_type)),
        Change::Prioritised(to) => (Kind::PriorityChanged, json!(before.priority), json!(to)),
        Change::Labelled(to) => (Kind::LabelsChanged, json!(before.labels), json!(to)),
        Change::Due(to) => (Kind::DueChanged, json!(before.due), json!(to)),
        Change::Moved { key, project } => {
            let (from, to) = before.moved(key, project);
            (Kind::Moved, json!(from), json!(to))
        }
        Change::Commented(text) => (Kind::Commented, Value::Null, said(text.as_deref())),
        Change::Linked { text, added: true, .. } => (Kind::Linked, Value::Null, json!(text)),
        Change::Linked { text, added: false, .. } => (Kind::Linked, json!(text), Value::Null),
        Change::Artifact(artifact) | Change::StatusArtifact(artifact) => {
            (Kind::Artifact, Value::Null, artifact_json(artifact))
        }
        Change::Deleted => (Kind::Deleted, Value::Null, Value::Null),
        Change::Restored => (Kind::Restored, Value::Null, Value::Null),
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
