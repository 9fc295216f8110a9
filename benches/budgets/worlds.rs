//! Worlds too large for a test.

use contextcore_fakes::world::{BoardKind, Draft, StatusId, TypeId, World};

/// The moment of all runs; the fakes' clocks stand still there.
pub(crate) const NOW: i64 = 1_795_000_000_000;

const DAY: i64 = 86_400_000;

/// Closed tasks long done, and open ones in a running sprint, fifty under an epic; epics of closed work are closed too.
pub(crate) fn grown(closed: usize, open: usize) -> World {
    let mut world = World::empty();
    let project = world.add_project("LOAD", "Load", StatusId::TO_DO);
    let board = world.add_board("Load", BoardKind::Scrum, project);
    let sprint = world.add_sprint(board, "Load Sprint 1", "", NOW - 8 * DAY);
    world.edit(NOW - 7 * DAY).start_sprint(sprint, NOW + 7 * DAY);
    let way = [StatusId::SELECTED, StatusId::IN_PROGRESS, StatusId::IN_REVIEW, StatusId::DONE];
    let mut epic = None;
    for n in 0..closed {
        let created = NOW - 380 * DAY + (n as i64 * 300 * DAY) / closed as i64;
        if n % 50 == 0 {
            let id = world.edit(created).add_issue(Draft::new(project, TypeId::EPIC, format!("Closed epic {n}")));
            world.edit(created + 20 * DAY).transition(id, StatusId::DONE);
            epic = Some(id);
        }
        let draft = Draft { parent: epic, ..Draft::new(project, TypeId::STORY, format!("Closed work {n}")) };
        let id = world.edit(created).add_issue(draft);
        world.edit(created + DAY / 2).set_points(id, Some([1.0, 2.0, 3.0, 5.0, 8.0][n % 5]));
        if n % 10 == 0 {
            world.edit(created + 2 * DAY + DAY / 4).flag(id);
            world.edit(created + 2 * DAY + DAY / 2).unflag(id);
        }
        for (step, status) in way.iter().enumerate() {
            world.edit(created + (step as i64 + 1) * DAY).transition(id, *status);
        }
    }
    for n in 0..open {
        let created = NOW - 40 * DAY + n as i64 * 60_000;
        if n % 50 == 0 {
            epic = Some(world.edit(created).add_issue(Draft::new(project, TypeId::EPIC, format!("Open epic {n}"))));
        }
        let draft = Draft { parent: epic, ..Draft::new(project, TypeId::STORY, format!("Open work {n}")) };
        let id = world.edit(created).add_issue(draft);
        world.edit(created + DAY).transition(id, way[n % 3]);
        if n % 20 == 0 {
            world.edit(NOW - 8 * DAY).set_sprint(id, Some(sprint));
        }
    }
    world
}
