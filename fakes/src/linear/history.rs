//! What happened to an issue: acts with all they changed, and the time in each state.

use super::view::View;
use super::workspace::{Workspace, due, label_id, milestone_id};
use super::{Kind, time, uuid};
use crate::world::{Change, Event, Issue, IssueId, LinkKind, ProjectId};
use serde_json::{Map, Value as Json, json};

/// One act: an entry of the world's history with the view before and after it.
struct Step<'w> {
    events: &'w [Event],
    before: View,
    after: View,
}

/// All acts of an issue, oldest first.
fn steps<'w>(root: &Workspace<'w>, issue: &'w Issue) -> Vec<Step<'w>> {
    let mut fields = issue.fields.clone();
    let mut steps = Vec::new();
    let mut after = View::of(root.world, &fields);
    for events in issue.entries().rev() {
        events.iter().rev().for_each(|event| event.change.undo(&mut fields));
        let before = View::of(root.world, &fields);
        steps.push(Step { events, before: before.clone(), after });
        after = before;
    }
    steps.reverse();
    steps
}

/// The history of an issue, the newest act first.
pub(super) fn acts(root: &Workspace<'_>, issue: &Issue) -> Vec<Json> {
    let mut rows: Vec<Json> = steps(root, issue).iter().map(|step| act(root, step)).collect();
    let bare = |number: u32, at: i64, name: &str| json!({"id": uuid(Kind::Act, number), "createdAt": time(at), "updatedAt": time(at), name: true});
    match (issue.deleted, root.archived(issue)) {
        (Some(at), _) => rows.push(bare(0x4000_0000 + issue.id.0, at, "trashed")),
        (None, Some(at)) => rows.push(bare(0x2000_0000 + issue.id.0, at, "autoArchived")),
        (None, None) => {}
    }
    rows.extend(delegations(root, issue));
    rows.sort_by(|one, other| one["createdAt"].as_str().cmp(&other["createdAt"].as_str()));
    rows.reverse();
    rows
}

/// The acts by which an issue was delegated.
fn delegations(root: &Workspace<'_>, issue: &Issue) -> Vec<Json> {
    let all = root.world.code_host.delegated.get(&issue.id).into_iter().flatten();
    let mut before: Json = Json::Null;
    let acts = all.enumerate().map(|(n, (at, by, to))| {
        let to: Json = to.map(|id| root.user(id)).into();
        let from = std::mem::replace(&mut before, to.clone());
        let number = 0x6000_0000 + issue.id.0 * 64 + u32::try_from(n).unwrap_or_default();
        json!({"id": uuid(Kind::Act, number), "createdAt": time(*at), "updatedAt": time(*at),
            "actorId": uuid(Kind::User, u32::from(by.0)), "fromDelegate": from, "toDelegate": to})
    });
    acts.collect()
}

/// The agent that works on an issue.
pub(super) fn delegate(root: &Workspace<'_>, issue: &Issue) -> Json {
    let last = root.world.code_host.delegated.get(&issue.id).and_then(|all| all.last());
    last.and_then(|(_, _, to)| *to).map(|id| root.user(id)).into()
}

fn act(root: &Workspace<'_>, step: &Step<'_>) -> Json {
    let Step { events, before, after } = step;
    let (id, at) = (events[0].id, events[0].at);
    let mut row = Map::from_iter([
        ("id".to_owned(), uuid(Kind::Act, id).into()),
        ("createdAt".to_owned(), time(at).into()),
        ("updatedAt".to_owned(), time(at).into()),
    ]);
    actor(root, step, &mut row);
    let mut swap = |name: &str, from: Json, to: Json| {
        if from != to {
            row.insert(format!("from{name}"), from);
            row.insert(format!("to{name}"), to);
        }
    };
    let user = |view: &View| view.assignee.map(|id| uuid(Kind::User, u32::from(id.0))).into();
    let issue = |id: Option<IssueId>| id.map(|id| uuid(Kind::Issue, id.0)).into();
    let cycle = |view: &View| view.cycle.map(|id| uuid(Kind::Cycle, id.0)).into();
    let team = |id: ProjectId| uuid(Kind::Team, u32::from(id.0)).into();
    let milestone = |view: &View| view.milestone.as_ref().map(|name| json!({"id": milestone_id(name)})).into();
    swap("StateId", before.state.clone().into(), after.state.clone().into());
    swap("AssigneeId", user(before), user(after));
    swap("CycleId", cycle(before), cycle(after));
    swap("Estimate", before.estimate.map(f64::from).into(), after.estimate.map(f64::from).into());
    swap("Priority", before.priority.into(), after.priority.into());
    swap("ParentId", issue(before.parent), issue(after.parent));
    swap("ProjectId", issue(before.project), issue(after.project));
    swap("TeamId", team(before.team), team(after.team));
    swap("Title", before.title.clone().into(), after.title.clone().into());
    swap("DueDate", due(before.due), due(after.due));
    swap("ProjectMilestone", milestone(before), milestone(after));
    labels(before, after, &mut row);
    relations(root, events, &mut row);
    Json::Object(row)
}

/// Who did it. The roll-over of a cycle is Linear's own act.
fn actor(root: &Workspace<'_>, step: &Step<'_>, row: &mut Map<String, Json>) {
    let event = &step.events[0];
    let left = step.before.cycle.filter(|_| step.before.cycle != step.after.cycle);
    let rolled = left.is_some_and(|id| root.world.sprint(id).completed == Some(event.at));
    if rolled {
        row.insert("botActor".to_owned(), json!({"id": null, "name": "Linear", "type": "linear"}));
    } else {
        row.insert("actorId".to_owned(), uuid(Kind::User, u32::from(event.author.0)).into());
    }
}

fn labels(before: &View, after: &View, row: &mut Map<String, Json>) {
    let mut add = |name: &str, ids: Vec<String>| {
        if !ids.is_empty() {
            row.insert(name.to_owned(), ids.into());
        }
    };
    add("addedLabelIds", after.labels.difference(&before.labels).map(|label| label_id(label)).collect());
    add("removedLabelIds", before.labels.difference(&after.labels).map(|label| label_id(label)).collect());
}

/// Links by their two-letter codes: of the blocked side as seen in the wild, of the other by pattern.
fn relations(root: &Workspace<'_>, events: &[Event], row: &mut Map<String, Json>) {
    let code = |kind, outward, made| match (kind, outward, made) {
        (LinkKind::Blocks, false, true) => "ab",
        (LinkKind::Blocks, false, false) => "rb",
        (LinkKind::Blocks, true, true) => "ax",
        (LinkKind::Blocks, true, false) => "rx",
        (LinkKind::Relates, _, true) => "ar",
        (LinkKind::Relates, _, false) => "rr",
    };
    let changes = events.iter().filter_map(|event| match &event.change {
        Change::Linked(link) => Some((link, true)),
        Change::Unlinked(link) => Some((link, false)),
        _ => None,
    });
    let changes = changes.map(|(link, made)| {
        json!({"identifier": root.world.key_of(link.other), "type": code(link.kind, link.outward, made)})
    });
    let changes: Vec<Json> = changes.collect();
    if !changes.is_empty() {
        row.insert("relationChanges".to_owned(), changes.into());
    }
}

/// The intervals in each state, oldest first.
pub(super) fn spans(root: &Workspace<'_>, issue: &Issue) -> Vec<Json> {
    let steps = steps(root, issue);
    let first = steps.first().map_or_else(|| View::of(root.world, &issue.fields), |step| step.before.clone());
    let mut entered = vec![(issue.created, first.state)];
    for step in steps.into_iter().filter(|step| step.before.state != step.after.state) {
        entered.push((step.events[0].at, step.after.state));
    }
    let ends: Vec<Option<i64>> = entered.iter().skip(1).map(|(at, _)| Some(*at)).chain([None]).collect();
    let rows = entered.into_iter().zip(ends).enumerate();
    rows.map(|(n, ((from, state), to))| {
        let number = issue.id.0.wrapping_mul(4_096).wrapping_add(n as u32);
        json!({"id": uuid(Kind::Span, number), "stateId": state, "startedAt": time(from), "endedAt": to.map(time),
            "state": {"id": state}})
    })
    .collect()
}
