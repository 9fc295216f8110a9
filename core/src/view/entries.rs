//! The timeline as people see it: each stored fact with the value before it, and the turns that follow from them
//! (`completed`, `cancelled`, `reopened`) right after the fact that brought them about.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::derive;
use crate::error::Result;
use crate::model::{Artifact, Facts, Kept, ParentRef, SmolStr, Status, TaskRecord, What, words};
use crate::time::Millis;
use crate::timeline::{self, State};

words! {
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
    /// The tool did not say so: it follows from what people did, which is named here, e.g. `merged acme/checkout#12`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub derived: Option<String>,
}

/// The entries of a task. `parent_id` gives the key people say for a parent.
pub(super) fn entries(
    record: &TaskRecord,
    parent_id: &dyn Fn(&ParentRef) -> Result<SmolStr>,
) -> Result<Vec<EntryView>> {
    let turns = turns(&record.timeline);
    let mut state = State::first(&record.timeline);
    let mut entries = Vec::with_capacity(record.timeline.len() + turns.len());
    for (place, kept) in record.timeline.iter().enumerate() {
        let before = state.as_ref().filter(|_| place > 0).map(|state| state.facts.clone());
        let step = state.as_mut().and_then(|state| state.apply(&kept.entry));
        let entry = &kept.entry;
        let (kind, from, to) = change(before.as_deref(), &entry.what, parent_id)?;
        let (actor, observed) = (entry.actor.clone(), entry.observed);
        let mut view = EntryView { at: entry.at, kind, from, to, actor, observed, derived: None };
        if let Some(step) = step {
            entries.push(view.clone());
            let (kind, from, to) = change(before.as_deref(), &step, parent_id)?;
            view = EntryView { kind, from, to, derived: entry.what.artifact().map(derive::said), ..view };
        }
        let turn = turns.get(&place).map(|(kind, from, to)| EntryView {
            kind: *kind,
            from: json!(from),
            to: json!(to),
            ..view.clone()
        });
        entries.push(view);
        entries.extend(turn);
    }
    Ok(entries)
}

/// The entries (by their place in the timeline) that finished or reopened the task: which turn it was, and the statuses on
/// both sides of it. Facts at one millisecond count together, as they do everywhere.
fn turns(timeline: &[Kept]) -> BTreeMap<usize, (EntryKind, Option<Status>, Status)> {
    let mut turns = BTreeMap::new();
    let mut place = 0;
    timeline::walk(timeline, |group, before, after| {
        let (was, is) = (before.map(|before| before.facts.status), after.facts.status);
        let kind = match is {
            _ if was == Some(is) => None,
            Status::Done => Some(EntryKind::Completed),
            Status::Cancelled => Some(EntryKind::Cancelled),
            _ => was.filter(|was| was.is_finished()).map(|_| EntryKind::Reopened),
        };
        let caused = |kept: &Kept| match &kept.entry.what {
            What::Created(_) | What::Status { .. } => true,
            What::Evidence(artifact) => artifact.kind == derive::MERGED,
            _ => false,
        };
        if let (Some(kind), Some(last)) = (kind, group.iter().rposition(caused)) {
            turns.insert(place + last, (kind, was, is));
        }
        place += group.len();
    });
    turns
}

/// What a fact changed: its kind, the value before it and the value after it.
fn change(
    before: Option<&Facts>,
    what: &What,
    parent_id: &dyn Fn(&ParentRef) -> Result<SmolStr>,
) -> Result<(EntryKind, Value, Value)> {
    use EntryKind as Kind;
    let old = |value: &dyn Fn(&Facts) -> Value| before.map_or(Value::Null, value);
    let parent = |parent: Option<&ParentRef>| Ok::<_, crate::Error>(json!(parent.map(parent_id).transpose()?));
    Ok(match what {
        What::Created(facts) => (Kind::Created, Value::Null, json!(facts.status)),
        What::Status { status, .. } => (Kind::StatusChanged, old(&|facts| json!(facts.status)), json!(status)),
        What::Blocked(reason) => (Kind::Blocked, Value::Null, said(reason.as_deref())),
        What::Waits(reason) => (Kind::Blocked, Value::Null, json!(reason)),
        What::Free => (Kind::Unblocked, old(&|facts| json!(facts.waits)), Value::Null),
        What::Unblocked => (Kind::Unblocked, old(&|facts| said(facts.flag.as_deref())), Value::Null),
        What::Assigned(to) => (Kind::Assigned, old(&|facts| json!(facts.assignee)), json!(to)),
        What::Estimated(to) => (Kind::EstimateChanged, old(&|facts| json!(facts.estimate)), json!(to)),
        What::Sprints(to) => (Kind::SprintChanged, old(&|facts| json!(facts.sprints)), json!(to)),
        What::Parent(to) => {
            (Kind::ParentChanged, parent(before.and_then(|facts| facts.parent.as_ref()))?, parent(to.as_ref())?)
        }
        What::Titled(to) => (Kind::TitleChanged, old(&|facts| json!(facts.title)), json!(to)),
        What::Typed { task_type, .. } => (Kind::TypeChanged, old(&|facts| json!(facts.task_type)), json!(task_type)),
        What::Prioritised(to) => (Kind::PriorityChanged, old(&|facts| json!(facts.priority)), json!(to)),
        What::Labelled(to) => (Kind::LabelsChanged, old(&|facts| json!(facts.labels)), json!(to)),
        What::Due(to) => (Kind::DueChanged, old(&|facts| json!(facts.due)), json!(to)),
        What::Moved { key, project } => match before.map(|facts| facts.moved(key, project)) {
            Some((from, to)) => (Kind::Moved, json!(from), json!(to)),
            None => (Kind::Moved, Value::Null, json!(key)),
        },
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
