//! What surrounds the issues: cycles, projects and initiatives, as plain rows.

use super::workspace::{Workspace, due};
use super::{Kind, number_of, time, uuid};
use crate::world::{Issue, ProjectId, Sprint, SprintState, Stage};
use serde_json::{Value as Json, json};

const DAY: i64 = 24 * 3_600_000;

/// A sprint as a cycle. The world does not say when a sprint was changed: its last change of state counts.
pub(super) fn cycle(root: &Workspace<'_>, sprint: &Sprint) -> Json {
    let team = root.world.board(sprint.board).project;
    let earlier = root.world.sprints.iter().filter(|other| other.id < sprint.id);
    let number = earlier.filter(|other| root.world.board(other.board).project == team).count() + 1;
    let starts = sprint.start.unwrap_or(sprint.created + 14 * DAY);
    let burndown = root.world.truth(root.now).burndown(sprint.id);
    let (scope, done): (Vec<f64>, Vec<f64>) = burndown.iter().map(|burn| (burn.scope, burn.completed)).unzip();
    let updated = [Some(sprint.created), sprint.start, sprint.completed].into_iter().flatten();
    let active = sprint.state == SprintState::Active;
    json!({
        "id": uuid(Kind::Cycle, sprint.id.0),
        "number": number,
        "name": sprint.name,
        "description": sprint.goal,
        "startsAt": time(starts),
        "endsAt": time(sprint.completed.or(sprint.end).unwrap_or(starts + 14 * DAY)),
        "completedAt": sprint.completed.map(time),
        "isActive": active,
        "isFuture": sprint.state == SprintState::Future,
        "isPast": sprint.state == SprintState::Closed,
        "scopeHistory": scope,
        "completedScopeHistory": done,
        "inProgressScopeHistory": [],
        "issueCountHistory": [],
        "completedIssueCountHistory": [],
        "progress": 0.0,
        "team": {"id": uuid(Kind::Team, u32::from(team.0))},
        "inheritedFrom": null,
        "createdAt": time(sprint.created),
        "updatedAt": time(updated.filter(|at| *at <= root.now).max().unwrap_or(sprint.created)),
        "archivedAt": null,
    })
}

/// A sub-team's copy of a cycle.
pub(super) fn copy(cycle: &Json, team: ProjectId) -> Json {
    let mut copy = cycle.clone();
    let id = cycle["id"].as_str().unwrap_or_default();
    copy["id"] = uuid(Kind::Copy, number_of(id)).into();
    copy["team"] = json!({"id": uuid(Kind::Team, u32::from(team.0))});
    copy["inheritedFrom"] = json!({"id": id, "team": cycle["team"]});
    copy
}

/// What projects and initiatives have in common.
fn epic(root: &Workspace<'_>, issue: &Issue) -> Json {
    let truth = root.world.truth(root.now);
    let slug = root.world.key_of(issue.id).to_lowercase();
    json!({
        "id": uuid(Kind::Issue, issue.id.0),
        "name": issue.fields.title,
        "slugId": slug,
        "url": format!("https://linear.app/acme/project/{slug}"),
        "priority": 0,
        "targetDate": due(issue.fields.due),
        "startedAt": truth.started(issue.id).map(time),
        "completedAt": truth.completed(issue.id).map(time),
        "canceledAt": truth.cancelled(issue.id).map(time),
        "createdAt": time(issue.created),
        "updatedAt": time(issue.deleted.unwrap_or(issue.updated)),
        "trashed": issue.deleted.map(|_| true),
        "archivedAt": issue.deleted.map(time),
        "creator": root.user(issue.creator),
    })
}

pub(super) fn project(root: &Workspace<'_>, issue: &Issue) -> Json {
    let (name, kind) = match root.world.truth(root.now).status(issue.id) {
        Stage::Backlog => ("Backlog", "backlog"),
        Stage::Todo => ("Planned", "planned"),
        Stage::InProgress | Stage::InReview => ("In Progress", "started"),
        Stage::Blocked => ("Paused", "paused"),
        Stage::Done => ("Completed", "completed"),
        Stage::Cancelled => ("Canceled", "canceled"),
    };
    let mut row = epic(root, issue);
    row["status"] = json!({"id": kind, "name": name, "type": kind});
    row["lead"] = issue.fields.assignee.map(|id| root.user(id)).into();
    row["teams"] = nodes(vec![team_of(issue)]);
    row["initiatives"] = nodes(issue.fields.parent.iter().map(|id| json!({"id": uuid(Kind::Issue, id.0)})).collect());
    row
}

pub(super) fn initiative(root: &Workspace<'_>, issue: &Issue) -> Json {
    let status = match root.world.truth(root.now).status(issue.id) {
        Stage::Backlog => "Proposed",
        Stage::Todo => "Planned",
        Stage::Done => "Completed",
        Stage::Cancelled => "Canceled",
        _ => "Active",
    };
    let mut row = epic(root, issue);
    row["status"] = status.into();
    row["identifier"] = root.world.key_of(issue.id).into();
    row["owner"] = issue.fields.assignee.map(|id| root.user(id)).into();
    row["leadTeam"] = team_of(issue);
    row["projects"] = nodes(Vec::new());
    row
}

fn team_of(issue: &Issue) -> Json {
    json!({"id": uuid(Kind::Team, u32::from(issue.project().0))})
}

/// A list that needs no paging.
fn nodes(rows: Vec<Json>) -> Json {
    json!({"nodes": rows, "pageInfo": {"hasNextPage": false, "endCursor": null}})
}
