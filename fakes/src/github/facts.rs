//! What GitHub says of an issue that follows from the world alone: whether it is closed and why, its labels, its type, and when
//! it was updated.

use crate::world::{CardMismatch, Category, Change, Issue, IssueId, ResolutionId, StatusId, TypeId, World};
use serde_json::{Value as Json, json};

/// What an impediment is called among the labels.
pub(super) const BLOCKED: &str = "blocked";

/// Whether an issue in this status is closed. People may leave one open.
pub(super) fn closes(world: &World, id: IssueId, status: StatusId) -> bool {
    world.status(status).category == Category::Done
        && world.code_host.card_mismatch(id) != Some(CardMismatch::StaysOpen)
}

/// The labels an issue shows.
pub(super) fn labels(issue: &Issue) -> Vec<String> {
    let blocked = issue.fields.flagged.then(|| BLOCKED.to_owned());
    issue.fields.labels.iter().cloned().chain(blocked).collect()
}

/// Why something was closed, in GitHub's words.
pub(super) fn close_reason(world: &World, resolution: Option<ResolutionId>) -> &'static str {
    match resolution {
        Some(ResolutionId::DUPLICATE) => "DUPLICATE",
        Some(id) if world.resolutions[usize::from(id.0)].cancels => "NOT_PLANNED",
        _ => "COMPLETED",
    }
}

/// An issue's type. GitHub has no sub-tasks: they are tasks below something.
pub(super) fn issue_type(world: &World, kind: TypeId) -> Json {
    let kind = if kind == TypeId::SUBTASK { TypeId::TASK } else { kind };
    let found = world.issue_type(kind);
    json!({
        "id": format!("IT_kwDO{:02X}", kind.0), "name": found.name, "description": found.description, "color": "BLUE",
        "isEnabled": true, "isPrivate": false,
    })
}

/// When an issue itself last changed. What lies on its card, its parent and its dependencies does not count.
pub(super) fn issue_updated(world: &World, issue: &Issue) -> i64 {
    let done = |status| closes(world, issue.id, status);
    let counts = |change: &Change| match change {
        Change::Status(swap) => done(swap.from) != done(swap.to),
        Change::Resolution(_)
        | Change::Flagged(_)
        | Change::Title(_)
        | Change::Assignee(_)
        | Change::Labels(_)
        | Change::Kind(_)
        | Change::Moved(_) => true,
        _ => false,
    };
    let event = issue.events().iter().rev().find(|event| counts(&event.change)).map(|event| event.at);
    let comment = world.code_host.commented.get(&issue.id).copied();
    let milestone = world.code_host.milestoned.get(&issue.id).and_then(|moves| moves.last()).map(|(at, ..)| *at);
    [event, comment, milestone].into_iter().flatten().fold(issue.created, i64::max)
}

/// Whether an issue was closed before.
pub(super) fn was_closed(world: &World, issue: &Issue) -> bool {
    let done = |status| closes(world, issue.id, status);
    issue.events().iter().any(|event| matches!(&event.change, Change::Status(swap) if done(swap.to)))
}

/// The organisation's field for estimates.
pub(super) fn estimate_field() -> Json {
    json!({"__typename": "IssueFieldNumber", "id": "IFN_kwDO1", "name": "Estimate", "dataType": "NUMBER"})
}
