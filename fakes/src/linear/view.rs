//! What Linear has of the fields of an issue, at any moment of its history.

use super::workspace::state_id;
use crate::world::{Category, Fields, IssueId, PriorityId, ProjectId, SprintId, TypeId, UserId, World};
use std::collections::BTreeSet;

/// Labels with this prefix are milestones, which the world does not have.
const MILESTONE: &str = "milestone:";

/// What Linear has of the fields of an issue.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct View {
    pub(super) team: ProjectId,
    pub(super) state: String,
    pub(super) cycle: Option<SprintId>,
    /// The epic it serves.
    pub(super) project: Option<IssueId>,
    /// The issue it is a part of.
    pub(super) parent: Option<IssueId>,
    pub(super) labels: BTreeSet<String>,
    pub(super) milestone: Option<String>,
    pub(super) estimate: Option<f32>,
    pub(super) priority: f64,
    pub(super) assignee: Option<UserId>,
    pub(super) title: String,
    pub(super) due: Option<jiff::civil::Date>,
}

impl View {
    pub(super) fn of(world: &World, fields: &Fields) -> Self {
        let below_epic = |id: &IssueId| world.issue_type(world.issue(*id).fields.kind).level > 0;
        let cancelled = fields.resolution.is_some_and(|id| world.resolutions[usize::from(id.0)].cancels);
        let done = world.status(fields.status).category == Category::Done;
        let status = (!(cancelled && done)).then_some(fields.status);
        let (milestones, labels): (BTreeSet<String>, BTreeSet<String>) =
            fields.labels.iter().cloned().partition(|label| label.starts_with(MILESTONE));
        let blocked = fields.flagged.then(|| "Blocked".to_owned());
        Self {
            team: fields.key.project,
            state: state_id(fields.key.project, status),
            cycle: fields.sprints.last().copied(),
            project: fields.parent.filter(below_epic),
            parent: fields.parent.filter(|id| !below_epic(id)),
            labels: labels.into_iter().chain(label_of(fields.kind).map(str::to_owned)).chain(blocked).collect(),
            milestone: milestones.into_iter().next().map(|label| label[MILESTONE.len()..].to_owned()),
            estimate: fields.points,
            priority: priority(fields.priority),
            assignee: fields.assignee,
            title: fields.title.clone(),
            due: fields.due,
        }
    }
}

/// People say by a label what kind of work it is.
fn label_of(kind: TypeId) -> Option<&'static str> {
    match kind {
        TypeId::BUG => Some("Bug"),
        TypeId::SPIKE => Some("Spike"),
        TypeId::INCIDENT => Some("Incident"),
        TypeId::STORY => Some("Story"),
        _ => None,
    }
}

/// 1 is urgent, 4 low and 0 none, which stands for the lowest.
fn priority(priority: PriorityId) -> f64 {
    match priority {
        PriorityId::LOWEST => 0.0,
        other => f64::from(other.0) + 1.0,
    }
}
