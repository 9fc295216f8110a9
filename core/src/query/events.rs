//! The timeline in a view: each stored event with the value before it, and right after it the status transitions that follow
//! from it (`completed`, `cancelled`, `reopened`, and `blocked` or `unblocked` by a status).

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::model::error::Result;
use crate::model::inference;
use crate::model::time::Millis;
use crate::model::timeline::State;
use crate::model::transitions::{StatusTracker, StatusTransition};
use crate::model::{Artifact, Change, Facts, ParentRef, SmolStr, StoredEvent, TaskRecord, string_enum};

string_enum! {
    /// What an event of a timeline is about.
    EventKind {
        /// The task was created; `to` is its first status.
        Created = "created",
        /// Its workflow status changed.
        StatusChanged = "status_changed",
        /// An impediment began; `to` is the reason, if there is one.
        Blocked = "blocked",
        /// The impediment ended; `from` is its reason.
        Unblocked = "unblocked",
        /// Its assignee changed.
        Assigned = "assigned",
        /// Its estimate changed.
        EstimateChanged = "estimate_changed",
        /// It entered or left sprints; both sides are lists of native ids.
        SprintChanged = "sprint_changed",
        /// Its parent changed; both sides are keys.
        ParentChanged = "parent_changed",
        /// Its title changed.
        TitleChanged = "title_changed",
        /// Its type changed.
        TypeChanged = "type_changed",
        /// Its priority changed.
        PriorityChanged = "priority_changed",
        /// Its labels changed.
        LabelsChanged = "labels_changed",
        /// Its due date changed.
        DueChanged = "due_changed",
        /// Its key changed, or its project; both sides are keys, or projects when the key stayed.
        Moved = "moved",
        /// A comment was written; `to` is its text where comments are kept.
        Commented = "commented",
        /// A link was made (`to` is its text) or removed (`from` is its text).
        Linked = "linked",
        /// An artifact names the task; `to` is the artifact.
        Artifact = "artifact",
        /// How much of it is done, in percent, was reported.
        ProgressUpdated = "progress_updated",
        /// Attributes of its own changed; `to` has those that did.
        AttributesChanged = "attributes_changed",
        /// It entered a done status; both sides are statuses.
        Completed = "completed",
        /// It entered a cancelled status; both sides are statuses.
        Cancelled = "cancelled",
        /// It left a finished status; both sides are statuses.
        Reopened = "reopened",
        /// The tool no longer has it.
        Deleted = "deleted",
        /// The tool has it again.
        Restored = "restored",
    }
}

/// One event of a timeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventView {
    /// When it happened, or was observed.
    pub at: Millis,
    /// What it is about.
    pub kind: EventKind,
    /// The value before: a string, number, list or null, as [`EventKind`] says.
    pub from: Value,
    /// The value after.
    pub to: Value,
    /// Who did it.
    pub actor: Option<String>,
    /// The tool keeps no history of this, so it is dated when the change was first seen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub observed: bool,
    /// Why it happened, when the tool did not record it itself: an artifact (`merged acme/checkout#12`) or the status the task
    /// is in (`status On Hold`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub derived: Option<String>,
}

/// The events of a task. `parent_id` gives the key people use for a parent.
pub(super) fn events(record: &TaskRecord, parent_id: &dyn Fn(&ParentRef) -> Result<SmolStr>) -> Result<Vec<EventView>> {
    let Some(mut state) = State::first(&record.timeline) else { return Ok(Vec::new()) };
    let mut events = Vec::with_capacity(record.timeline.len() + 2);
    let mut tracker = StatusTracker::default();
    for (place, stored) in record.timeline.iter().enumerate() {
        let (event, derived) = stored_event(&mut state, stored, parent_id)?;
        let cause = derived.clone().unwrap_or_else(|| event.clone());
        events.push(event);
        events.extend(derived);
        let transitions = tracker.transitions(&record.timeline, place, &state.facts);
        events.extend(transitions.map(|transition| transition_event(transition, &cause)));
    }
    Ok(events)
}

/// The view of a stored event, and of the change that follows from it when it is an artifact that moves the task.
fn stored_event(
    state: &mut State,
    stored: &StoredEvent,
    parent_id: &dyn Fn(&ParentRef) -> Result<SmolStr>,
) -> Result<(EventView, Option<EventView>)> {
    let (before, event) = (state.facts.clone(), &stored.event);
    let inferred = state.apply(event);
    let (kind, from, to) = change(&before, &event.change, parent_id)?;
    let (actor, observed) = (event.actor.clone(), event.observed);
    let view = EventView { at: event.at, kind, from, to, actor, observed, derived: None };
    let Some(inferred) = inferred else { return Ok((view, None)) };
    let (kind, from, to) = change(&before, &inferred, parent_id)?;
    let derived = EventView { kind, from, to, derived: event.change.artifact().map(inference::label), ..view.clone() };
    Ok((view, Some(derived)))
}

/// The view of a status transition, which stands right after the event that caused it.
fn transition_event(transition: StatusTransition, cause: &EventView) -> EventView {
    let like = |kind| EventView { kind, ..cause.clone() };
    let impediment = |kind, from, to| EventView { kind, from, to, ..cause.clone() };
    // Readers must not mistake what follows from a status for an impediment of its own.
    let by_status = |native: &str| cause.derived.clone().or_else(|| Some(format!("status {native}")));
    match transition {
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

/// What an event changed: its kind, the value before and the value after.
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
        Change::Blocked(reason) => (Kind::Blocked, Value::Null, text_or_null(reason.as_deref())),
        Change::BlockedByLinks(reason) => (Kind::Blocked, Value::Null, json!(reason)),
        Change::UnblockedByLinks => (Kind::Unblocked, json!(before.blocked_by_links), Value::Null),
        Change::Unblocked => (Kind::Unblocked, text_or_null(before.flag.as_deref()), Value::Null),
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
        Change::Commented(text) => (Kind::Commented, Value::Null, text_or_null(text.as_deref())),
        Change::Linked { text, added: true, .. } => (Kind::Linked, Value::Null, json!(text)),
        Change::Linked { text, added: false, .. } => (Kind::Linked, json!(text), Value::Null),
        Change::Artifact(artifact) | Change::StatusArtifact(artifact) => {
            (Kind::Artifact, Value::Null, artifact_json(artifact))
        }
        Change::Progress(to) => (Kind::ProgressUpdated, json!(before.progress), json!(to)),
        Change::Attributes(to) => (Kind::AttributesChanged, Value::Null, attributes_json(to)),
        Change::Deleted => (Kind::Deleted, Value::Null, Value::Null),
        Change::Restored => (Kind::Restored, Value::Null, Value::Null),
    })
}

/// A text, or null when it is missing or empty.
fn text_or_null(text: Option<&str>) -> Value {
    json!(text.filter(|text| !text.is_empty()))
}

fn attributes_json(attributes: &[(SmolStr, Option<SmolStr>)]) -> Value {
    attributes.iter().map(|(name, value)| (name.to_string(), json!(value))).collect()
}

fn artifact_json(artifact: &Artifact) -> Value {
    let Artifact { kind, reference, url, summary } = artifact;
    json!({"kind": kind, "reference": reference, "url": url, "summary": summary})
}
