//! Small values that the tests of several crates begin with.

use crate::time::Millis;
use crate::{Artifact, Entry, EntryId, Facts, Kept, Status, TaskType, What};

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
        waits: None,
    }
}

/// A fact at this moment, with an id of its own.
pub fn kept(at: i64, what: What) -> Kept {
    let id = EntryId(at.unsigned_abs() * 100 + u64::from(what_number(&what)));
    Kept { entry: Entry { id, at: Millis(at), actor: None, observed: false, what }, seq: 1 }
}

/// A change to this status.
pub fn to(status: Status) -> What {
    What::Status { status, native: status.as_str().into() }
}

/// A piece of evidence of this kind.
pub fn artifact(kind: &str, reference: &str) -> Artifact {
    Artifact {
        kind: kind.into(),
        reference: reference.into(),
        url: format!("https://example.com/{reference}"),
        summary: "build".into(),
    }
}

fn what_number(what: &What) -> u8 {
    match what {
        What::Created(_) => 0,
        What::Status { status, .. } => 10 + *status as u8,
        What::Blocked(_) => 2,
        What::Unblocked => 3,
        _ => 4,
    }
}
