//! Small sample values that the tests of several crates start from.

use crate::time::Millis;
use crate::{Artifact, Change, Event, EventId, Facts, Status, StoredEvent, TaskRecord, TaskType};

/// A story in this status.
pub fn facts(status: Status) -> Facts {
    Facts {
        key: "PROJ-1".into(),
        project: "PROJ".into(),
        task_type: TaskType::Story,
        native_type: "Story".into(),
        title: "Checkout".into(),
        status,
        native_status: status.as_str().into(),
        flag: None,
        priority: None,
        assignee: None,
        labels: vec![],
        estimate: None,
        parent: None,
        sprints: vec![],
        due: None,
        blocked_by_links: None,
        progress: None,
        attributes: vec![],
    }
}

/// An event at this moment, with an id of its own.
pub fn stored(at: i64, change: Change) -> StoredEvent {
    let id = EventId(at.unsigned_abs() * 100 + u64::from(change_number(&change)));
    StoredEvent { event: Event { id, at: Millis(at), actor: None, observed: false, change }, seq: 1 }
}

/// A record with this timeline, and nothing else.
pub fn record(timeline: Vec<StoredEvent>) -> TaskRecord {
    TaskRecord { url: String::new(), reporter: None, updated: Millis(0), blockers: vec![], absences: 0, timeline }
}

/// A change to this status.
pub fn to(status: Status) -> Change {
    Change::Status { status, native: status.as_str().into() }
}

/// An artifact of this kind.
pub fn artifact(kind: &str, reference: &str) -> Artifact {
    Artifact {
        kind: kind.into(),
        reference: reference.into(),
        url: format!("https://example.com/{reference}"),
        summary: "build".into(),
    }
}

fn change_number(change: &Change) -> u8 {
    match change {
        Change::Created(_) => 0,
        Change::Status { status, .. } => 10 + *status as u8,
        Change::Blocked(_) => 2,
        Change::Unblocked => 3,
        _ => 4,
    }
}
