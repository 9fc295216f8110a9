//! What happens in the sample world between two runs, so that every kind of change is exported once more.

use anyhow::{Context, Result};
use contextcore_fakes::world::{
    BoardId, BoardKind, Draft, Issue, IssueId, SprintId, SprintState, Stage, StatusId, TypeId, World,
};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// A world of one epic with so many stories that its history takes several requests.
pub(crate) fn large_epic(now: i64) -> World {
    let mut world = World::empty();
    let shop = world.add_project("SHOP", "Checkout", StatusId::TO_DO);
    let epic = world.edit(now - 40 * DAY).add_issue(Draft::new(shop, TypeId::EPIC, "Guest checkout"));
    for n in 0..700 {
        let at = now - 35 * DAY + n * HOUR;
        let draft = Draft { parent: Some(epic), ..Draft::new(shop, TypeId::STORY, "Pay by card") };
        let story = world.edit(at).add_issue(draft);
        world.edit(at + 2 * HOUR).transition(story, StatusId::IN_PROGRESS);
        world.edit(at + 9 * HOUR).transition(story, StatusId::DONE);
    }
    world
}

/// The key of one of the projects of [`portfolio`].
pub(crate) fn portfolio_key(n: usize) -> String {
    format!("P{n:03}")
}

/// A world of many projects, with so many open tasks each and as many that were finished within a quarter; a board and
/// a sprint every two weeks.
pub(crate) fn portfolio(now: i64, projects: usize, open_each: usize) -> World {
    let mut world = World::empty();
    (0..projects).for_each(|n| one_of_many(&mut world, now, n, open_each));
    world
}

fn one_of_many(world: &mut World, now: i64, n: usize, open_each: usize) {
    let key = portfolio_key(n);
    let project = world.add_project(&key, &format!("Project {n}"), StatusId::TO_DO);
    let board = world.add_board(&format!("{key} board"), BoardKind::Scrum, project);
    let sprints: Vec<SprintId> = (0..6).map(|of| sprint_of_many(world, now, board, &key, of)).collect();
    let epics: Vec<IssueId> = (0..5)
        .map(|_| world.edit(now - 90 * DAY).add_issue(Draft::new(project, TypeId::EPIC, "Guest checkout")))
        .collect();
    for task in 0..2 * open_each {
        // Finished ones spread over the quarter; open ones began in the last weeks.
        let (done, age) = if task % 2 == 0 { (true, 85 * task / (2 * open_each)) } else { (false, task % 28) };
        let created = now - (age as i64 + 4) * DAY + (task as i64 % 24) * HOUR;
        let draft = Draft {
            parent: epics.get(task % epics.len()).copied(),
            points: Some((task % 5 + 1) as f32),
            sprint: (task % 4 == 0).then(|| sprints[(age / 14).min(5)]),
            ..Draft::new(project, TypeId::STORY, "Pay by card")
        };
        let issue = world.edit(created).add_issue(draft);
        if done || task % 5 == 0 {
            world.edit(created + 12 * HOUR).transition(issue, StatusId::IN_PROGRESS);
        }
        if done {
            world.edit(created + 3 * DAY).transition(issue, StatusId::DONE);
        } else if task % 40 == 5 {
            world.edit(created + DAY).flag(issue);
        }
    }
}

/// A sprint of two weeks, so many sprints before the running one.
fn sprint_of_many(world: &mut World, now: i64, board: BoardId, key: &str, before: i64) -> SprintId {
    let start = now - 7 * DAY - before * 14 * DAY;
    let sprint = world.add_sprint(board, &format!("{key} sprint {}", 6 - before), "", start - DAY);
    world.edit(start).start_sprint(sprint, start + 14 * DAY);
    if before > 0 {
        world.edit(start + 14 * DAY).close_sprint(sprint, None);
    }
    sprint
}

/// A day's work in a few milliseconds: impediments come and go, work is finished, taken up again, handed to another epic,
/// reported; a sprint ends and the next begins.
pub(crate) fn work(world: &mut World, at: i64) -> Result<()> {
    let below_an_epic = |issue: &Issue| issue.fields.parent.is_some();
    let mut blocked = world.truth(at).blocked();
    let shop = world.find_project("SHOP").context("there is no project SHOP")?;
    // Nothing stays blocked outside the shop: "none" is a number, too.
    blocked.retain(|id| world.issue(*id).project() != shop);
    for id in blocked {
        world.edit(at).unflag(id);
    }
    for id in some(world, at, Stage::InReview, 2, below_an_epic) {
        world.edit(at).transition(id, StatusId::DONE);
    }
    for id in some(world, at, Stage::InProgress, 1, |issue| issue.project() == shop && below_an_epic(issue)) {
        world.edit(at).flag(id);
    }
    for id in some(world, at, Stage::Done, 1, |issue| issue.project() == shop) {
        world.edit(at).transition(id, StatusId::IN_PROGRESS);
    }
    let (from, to) = two_epics(world).context("there are no two epics in the shop")?;
    for id in some(world, at, Stage::Todo, 1, |issue| issue.fields.parent == Some(from)) {
        world.edit(at).set_parent(id, Some(to));
        world.edit(at + 1).transition(id, StatusId::IN_PROGRESS);
    }
    let draft =
        Draft { parent: Some(to), points: Some(3.0), ..Draft::new(shop, TypeId::STORY, "Say why a card was refused") };
    let story = world.edit(at).add_issue(draft);
    world.edit(at + 1).transition(story, StatusId::DONE);
    turn_sprint(world, at + 2)?;
    (0..20).for_each(|n| {
        world.tick(at + 3 + n);
    });
    Ok(())
}

/// Deletes an issue nobody has begun; gives its key.
pub(crate) fn delete_one(world: &mut World, at: i64) -> Result<String> {
    let plain = |issue: &Issue| issue.fields.sprints.is_empty() && issue.fields.links.is_empty();
    let id = *some(world, at, Stage::Todo, 1, plain).first().context("everything was begun")?;
    let key = world.key_of(id);
    world.edit(at).delete(id);
    Ok(key)
}

/// The last issues in a stage that are as wanted, without children.
fn some(world: &World, at: i64, stage: Stage, count: usize, wanted: impl Fn(&Issue) -> bool) -> Vec<IssueId> {
    let truth = world.truth(at);
    let those = world.issues().rev().filter(|issue| truth.status(issue.id) == stage && wanted(issue));
    those.map(|issue| issue.id).filter(|id| world.children(*id).next().is_none()).take(count).collect()
}

fn two_epics(world: &World) -> Option<(IssueId, IssueId)> {
    let parents = world.issues().rev().filter(|issue| world.key_of(issue.id).starts_with("SHOP"));
    let mut epics = parents.filter_map(|issue| issue.fields.parent).filter(|id| is_epic(world, *id));
    let first = epics.next()?;
    Some((first, epics.find(|id| *id != first)?))
}

fn is_epic(world: &World, id: IssueId) -> bool {
    world.issue(id).fields.kind == TypeId::EPIC
}

fn turn_sprint(world: &mut World, at: i64) -> Result<()> {
    let with = |state: SprintState| world.sprints.iter().find(|sprint| sprint.state == state).map(|sprint| sprint.id);
    let (active, future) = with(SprintState::Active).zip(with(SprintState::Future)).context("no sprint to turn")?;
    world.edit(at).close_sprint(active, Some(future));
    world.edit(at + 1).start_sprint(future, at + 14 * DAY);
    Ok(())
}
