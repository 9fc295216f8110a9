//! Worlds for measuring: many plain issues with an exact amount of history.

use super::sample_text::{PLAT, pick};
use super::{
    BoardKind, DAY, Draft, Edit, HOUR, IssueId, MINUTE, PriorityId, SprintId, StatusId, TypeId, UserId, World,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const KINDS: [TypeId; 4] = [TypeId::STORY, TypeId::TASK, TypeId::BUG, TypeId::SPIKE];
/// The way of a status round and round.
const WALK: [StatusId; 6] = [
    StatusId::SELECTED,
    StatusId::IN_PROGRESS,
    StatusId::IN_REVIEW,
    StatusId::IN_PROGRESS,
    StatusId::IN_REVIEW,
    StatusId::DONE,
];
const SPRINTS: i64 = 8;

/// See [`World::history`].
pub(super) fn build(now: i64, issues: usize, each: usize, heavy_every: usize, heavy: usize, seed: u64) -> World {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut world = World::empty();
    let project = world.add_project("LOAD", "Load", StatusId::TO_DO);
    world.add_board("Load", BoardKind::Scrum, project);
    world.unindexed = true;
    let start = now - 180 * DAY;
    sprints(&mut world, start, now);
    for n in 0..issues {
        let entries = if heavy_every > 0 && n % heavy_every == 0 { heavy } else { each };
        let created = start + (now - DAY - start) / issues as i64 * n as i64;
        let kind = pick(&KINDS, &mut rng);
        let draft = Draft::new(project, kind, PLAT.title(kind, &mut rng));
        let author = UserId(rng.random_range(0..10));
        let id = world.edit(created).by(author).add_issue(draft);
        fill(&mut world, id, entries, now, &mut rng);
    }
    world.reindex();
    world
}

/// Eight two-week sprints up to now, the last one active.
fn sprints(world: &mut World, start: i64, now: i64) {
    let board = world.boards[0].id;
    let length = (now - start) / SPRINTS;
    for n in 0..SPRINTS {
        let from = start + n * length;
        let sprint = world.add_sprint(board, &format!("Load Sprint {}", n + 1), "", from - DAY);
        world.edit(from).start_sprint(sprint, from + length);
        if n + 1 < SPRINTS {
            world.edit(from + length - MINUTE).close_sprint(sprint, None);
        }
    }
}

/// Writes exactly `entries` entries, spread over the time from creation to shortly before `now`.
fn fill(world: &mut World, id: IssueId, entries: usize, now: i64, rng: &mut StdRng) {
    let created = world.issue(id).created;
    let room = (now - HOUR - created).max(1);
    for n in 0..entries {
        let at = created + room / (entries as i64 + 1) * (n as i64 + 1);
        let author = UserId(rng.random_range(0..10));
        let mut edit = world.edit(at).by(author);
        step(&mut edit, id, n, rng);
    }
}

/// One entry. Each kind of step changes something every time it comes round, so that none is lost.
fn step(edit: &mut Edit<'_>, id: IssueId, n: usize, rng: &mut StdRng) {
    let (round, place) = (n / 10, n % 10);
    match place {
        0 | 2 | 4 | 6 | 8 => edit.transition(id, WALK[n / 2 % WALK.len()]),
        1 => edit.assign(id, Some(UserId((round % 9) as u16))),
        3 => edit.set_points(id, Some([1.0, 2.0, 3.0, 5.0, 8.0][(id.0 as usize + round) % 5])),
        5 => edit.flag(id),
        7 => edit.unflag(id),
        _ if round == 0 => edit.set_sprint(id, Some(SprintId(rng.random_range(1..=SPRINTS as u32)))),
        _ => edit.set_priority(id, [PriorityId::HIGH, PriorityId::MEDIUM][(round + 1) % 2]),
    }
}
