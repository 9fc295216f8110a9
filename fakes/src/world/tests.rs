//! Tests of the world: it is rich, it is the same for a seed, its history leads to its present, and its truth agrees with
//! sums made by hand.

use super::*;
use std::collections::BTreeSet;

const NOW: i64 = 1_795_000_000_000;

fn demo() -> World {
    World::demo(NOW, 6, 1)
}

#[test]
fn a_history_world_has_exactly_the_entries_asked_for() {
    let world = World::history(NOW, 1_000, 20, 50, 150, 1);
    assert_eq!(world.issues().count(), 1_000);
    assert_eq!(world.history_entries(), 22_600);
    let counts: Vec<_> = world.issues().map(|issue| issue.entries().count()).collect();
    assert!(counts.iter().enumerate().all(|(n, count)| *count == if n % 50 == 0 { 150 } else { 20 }));
    assert!(world.issues().all(|issue| issue.last_event() < NOW));
}

#[test]
fn the_same_seed_makes_the_same_world() {
    let text = |seed| format!("{:?}", World::demo(NOW, 3, seed).issues);
    assert_eq!(text(7), text(7));
    assert_ne!(text(7), text(8));
}

#[test]
fn history_leads_from_the_first_values_to_the_present() {
    for world in [demo(), World::history(NOW, 50, 20, 10, 150, 3)] {
        for issue in &world.issues {
            let mut fields = issue.initial();
            issue.events().iter().for_each(|event| event.change.apply(&mut fields));
            // Links to issues deleted since are taken away without a trace.
            if issue.deleted.is_none() && fields.links.len() == issue.fields.links.len() {
                assert_eq!(fields, issue.fields);
            }
            assert!(issue.events().is_sorted_by_key(|event| (event.at, event.id)));
            assert!(issue.updated >= issue.last_event() && issue.updated <= NOW);
        }
        let entries: Vec<_> = world.issues.iter().flat_map(|issue| issue.entries().map(|entry| entry[0].id)).collect();
        assert_eq!(entries.iter().collect::<BTreeSet<_>>().len(), entries.len());
    }
}

#[test]
fn the_orders_are_kept_through_every_kind_of_change() {
    let mut world = demo();
    let ids: Vec<_> = world.issues().map(|issue| issue.id).collect();
    let plat = world.find_project("PLAT").unwrap();
    let mut edit = world.edit(NOW + 5);
    edit.comment(ids[3]);
    edit.move_project(ids[40], plat);
    edit.delete(ids[50]);
    edit.set_parent(ids[60], Some(ids[0]));
    for n in 0..200 {
        world.tick(NOW + 10 + n * HOUR);
    }
    let mut expected: Vec<_> = world.issues().map(|issue| (world.place(issue), issue.id)).collect();
    expected.sort();
    let kept: Vec<_> = world.updated_since(i64::MIN, None).map(|(place, issue)| (place, issue.id)).collect();
    assert_eq!(kept, expected);
    let mut by_key: Vec<_> = world.issues().map(|issue| world.key_order(issue.fields.key)).collect();
    by_key.sort();
    assert_eq!(world.by_key(None).map(|(key, _)| key).collect::<Vec<_>>(), by_key);
    for parent in &ids {
        let scanned: Vec<_> =
            world.issues().filter(|child| child.fields.parent == Some(*parent)).map(|child| child.id).collect();
        assert_eq!(world.children(*parent).map(|child| child.id).collect::<Vec<_>>(), scanned);
    }
}

#[test]
fn the_demo_shows_two_closed_sprints_and_a_year_one_for_every_fortnight() {
    let states = |world: &World| {
        let count = |state| world.sprints.iter().filter(|sprint| sprint.state == state).count();
        [SprintState::Closed, SprintState::Active, SprintState::Future].map(count)
    };
    assert_eq!(states(&demo()), [2, 1, 1]);
    assert_eq!(states(&World::demo(NOW, 12, 1)), [24, 1, 1]);
    assert_eq!(states(&Demo::new(NOW, 6, 1).closed_sprints(9).build()), [9, 1, 1]);
}

#[test]
fn the_demo_has_every_irregularity_of_real_work() {
    for seed in 1..6 {
        let world = World::demo(NOW, 6, seed);
        let truth = world.truth(NOW);
        let count = world.issues().count();
        assert!((300..600).contains(&count), "{count} issues");
        let level = |level| world.issues().filter(|issue| world.issue_type(issue.fields.kind).level == level).count();
        assert_eq!((level(2), level(1)), (1, 6));
        assert!(level(-1) > 20, "{} sub-tasks", level(-1));
        let counts = truth.status_counts();
        assert!(counts[&Stage::Done] * 10 > count * 7, "{counts:?}");
        assert!(counts.len() == 7, "{counts:?}");
        let had = |test: &dyn Fn(&Change) -> bool| {
            world.issues.iter().flat_map(Issue::events).filter(|event| test(&event.change)).count()
        };
        assert!(had(&|change| matches!(change, Change::Status(swap) if swap.from == StatusId::DONE)) > 3);
        assert!(had(&|change| matches!(change, Change::Linked(_))) > 10);
        assert!(had(&|change| matches!(change, Change::Title(_))) > 1);
        assert!(had(&|change| matches!(change, Change::Parent(_))) > 1);
        assert!(had(&|change| matches!(change, Change::Kind(_))) > 0);
        assert_eq!(had(&|change| matches!(change, Change::Moved(_))), 1);
        assert!(world.issues.iter().any(|issue| issue.deleted.is_some()));
        let today = timestamp(NOW).to_zoned(jiff::tz::TimeZone::UTC).date();
        let late =
            |issue: &&Issue| issue.fields.due.is_some_and(|due| due < today) && !truth.status(issue.id).is_finished();
        assert!(world.issues().filter(late).count() > 1);
    }
}

#[test]
fn some_work_is_blocked_right_now_for_different_times() {
    let world = demo();
    let truth = world.truth(NOW);
    let mut ages: Vec<_> =
        truth.blocked().into_iter().map(|id| (NOW - truth.blocked_since(id).unwrap()) / HOUR).collect();
    ages.sort();
    for age in [3, 26, 72, 145, 267] {
        assert!(ages.contains(&age), "{ages:?}");
    }
}

#[test]
fn sprints_add_up() {
    let world = World::demo(NOW, 12, 2);
    let truth = world.truth(NOW);
    let mut whole = SprintTruth::default();
    for sprint in &world.sprints {
        let sum = truth.sprint(sprint.id);
        assert_eq!(sum.committed + sum.added - sum.removed + sum.reestimated, sum.scope);
        let last = truth.burndown(sprint.id).pop();
        assert_eq!(last.map_or(0.0, |burn| burn.scope), sum.scope);
        whole.added += sum.added;
        whole.removed += sum.removed;
        whole.carried_over += sum.carried_over;
        whole.reestimated += sum.reestimated.abs();
    }
    assert!(whole.added > 0.0 && whole.removed > 0.0 && whole.carried_over > 0.0 && whole.reestimated > 0.0);
}

/// A sprint of ten days with a course that can be summed by hand.
fn small() -> (World, SprintId, [IssueId; 5]) {
    let mut world = World::empty();
    let shop = world.add_project("SHOP", "Shop", StatusId::TO_DO);
    let board = world.add_board("Squad", BoardKind::Scrum, shop);
    let sprint = world.add_sprint(board, "One", "", 0);
    let draft = |points| Draft { points, ..Draft::new(shop, TypeId::STORY, "Story") };
    let ids = [Some(5.0), Some(3.0), None, Some(2.0), Some(8.0)].map(|points| world.edit(1).add_issue(draft(points)));
    let [one, two, three, four, five] = ids;
    [one, two, three].into_iter().for_each(|id| world.edit(HOUR).set_sprint(id, Some(sprint)));
    world.edit(DAY).start_sprint(sprint, 11 * DAY);
    world.edit(DAY + HOUR).transition(one, StatusId::IN_PROGRESS);
    world.edit(2 * DAY + HOUR).set_sprint(four, Some(sprint));
    world.edit(3 * DAY + HOUR).set_points(three, Some(1.0));
    world.edit(4 * DAY + HOUR).transition(one, StatusId::DONE);
    world.edit(5 * DAY + HOUR).set_sprint(two, None);
    world.edit(6 * DAY + HOUR).flag(four);
    world.edit(7 * DAY + HOUR).set_sprint(five, Some(sprint));
    world.edit(8 * DAY + HOUR).cancel(five);
    (world, sprint, ids)
}

#[test]
fn sprint_sums_match_a_calculation_by_hand() {
    let (mut world, sprint, _) = small();
    let expected = SprintTruth {
        committed: 8.0,
        added: 10.0,
        removed: 3.0,
        reestimated: 1.0,
        scope: 16.0,
        completed_points: 5.0,
        carried_over: 0.0,
        remaining: 3.0,
        committed_tasks: 3,
        added_tasks: 2,
        removed_tasks: 1,
        completed_tasks: 1,
        carried_over_tasks: 0,
    };
    assert_eq!(world.truth(9 * DAY).sprint(sprint), expected);
    world.edit(10 * DAY).close_sprint(sprint, None);
    let closed = SprintTruth { carried_over: 3.0, carried_over_tasks: 2, ..expected };
    assert_eq!(world.truth(20 * DAY).sprint(sprint), closed);
    // Before it started there is no report, and while it ran nothing was carried over.
    assert_eq!(world.truth(HOUR).sprint(sprint), SprintTruth::default());
    assert_eq!(world.truth(DAY).sprint(sprint).scope, 8.0);
    let burndown = world.truth(20 * DAY).burndown(sprint);
    let shown: Vec<_> = burndown.iter().map(|burn| (burn.remaining, burn.scope, burn.completed)).collect();
    let expected = [
        (8.0, 8.0, 0.0),
        (10.0, 10.0, 0.0),
        (11.0, 11.0, 0.0),
        (6.0, 11.0, 5.0),
        (3.0, 8.0, 5.0),
        (3.0, 8.0, 5.0),
        (11.0, 16.0, 5.0),
        (3.0, 16.0, 5.0),
        (3.0, 16.0, 5.0),
    ];
    assert_eq!(shown, expected);
    assert_eq!(burndown[0].date, jiff::civil::date(1970, 1, 2));
}

#[test]
fn times_match_a_calculation_by_hand() {
    let (mut world, _, [one, two, _, four, _]) = small();
    world.edit(9 * DAY).transition(one, StatusId::IN_REVIEW);
    world.edit(10 * DAY).link(four, two);
    let truth = world.truth(12 * DAY);
    let times = truth.status_times(one);
    assert_eq!(times[&Stage::Todo], DAY + HOUR - 1);
    assert_eq!(times[&Stage::InProgress], 3 * DAY);
    assert_eq!(times[&Stage::Done], 9 * DAY - 4 * DAY - HOUR);
    assert_eq!(times[&Stage::InReview], 3 * DAY);
    assert_eq!((truth.started(one), truth.completed(one)), (Some(DAY + HOUR), None));
    assert_eq!(world.truth(8 * DAY).completed(one), Some(4 * DAY + HOUR));
    assert_eq!(world.truth(8 * DAY).completed_between(4 * DAY, 5 * DAY), [one]);
    assert_eq!((truth.status(four), truth.blocked()), (Stage::Blocked, vec![four]));
    assert_eq!((truth.blocked_since(four), truth.blocked_time(four)), (Some(6 * DAY + HOUR), 6 * DAY - HOUR));
    assert_eq!(truth.waiting_on(two), [four]);
    world.edit(13 * DAY).transition(four, StatusId::DONE);
    assert_eq!(world.truth(14 * DAY).waiting_on(two), []);
    assert_eq!(
        (world.truth(14 * DAY).status(four), world.truth(14 * DAY).blocked_time(four)),
        (Stage::Done, 7 * DAY - HOUR)
    );
}

#[test]
fn epics_know_all_their_descendants() {
    let world = demo();
    let truth = world.truth(NOW);
    let of_type = |kind| world.issues().find(|issue| issue.fields.kind == kind).unwrap().id;
    let initiative = of_type(TypeId::INITIATIVE);
    let below = truth.descendants(initiative);
    let climb = |mut id: IssueId| {
        while let Some(parent) = world.issue(id).fields.parent {
            id = parent;
        }
        id
    };
    let expected: Vec<_> =
        world.issues().map(|issue| issue.id).filter(|id| *id != initiative && climb(*id) == initiative).collect();
    assert_eq!(below, expected);
    assert!(below.len() > 40, "{}", below.len());
}

#[test]
fn ticks_change_issues_and_close_sprints() {
    let mut world = demo();
    let before = world.history_entries();
    let done = world.truth(NOW).status_counts()[&Stage::Done];
    for hour in 0..24 * 30 {
        world.tick(NOW + hour * HOUR);
    }
    assert!(world.history_entries() > before + 200);
    assert!(world.truth(NOW + 30 * DAY).status_counts()[&Stage::Done] > done);
    let closed = world.sprints.iter().filter(|sprint| sprint.state == SprintState::Closed).count();
    assert!(closed >= 4, "{closed} closed");
    assert_eq!(world.sprints.iter().filter(|sprint| sprint.state == SprintState::Active).count(), 1);
}

#[test]
fn a_deleted_issue_has_no_further_history() {
    let (mut world, sprint, [one, two, ..]) = small();
    world.edit(9 * DAY).link(one, two);
    world.edit(9 * DAY).delete(one);
    let events = world.issue(one).events().len();
    world.edit(10 * DAY).comment(one);
    world.edit(10 * DAY).transition(one, StatusId::IN_PROGRESS);
    world.edit(10 * DAY).link(one, two);
    assert_eq!(world.issue(one).events().len(), events);
    assert!(world.issue(two).fields.links.is_empty());
    assert_eq!((world.find("SHOP-1"), world.find("shop-2")), (None, Some(two)));
    assert_eq!(world.truth(10 * DAY).sprint(sprint).committed, 3.0);
}

#[test]
fn comments_are_held_until_they_are_taken_back() {
    let (mut world, _, [one, two, ..]) = small();
    world.edit(9 * DAY).by(UserId(2)).comment(one);
    world.edit(9 * DAY).comment(two);
    world.edit(10 * DAY).comment(one);
    let held: Vec<_> = world.issue(one).comments.iter().map(|comment| (comment.id, comment.at)).collect();
    assert_eq!(held, [(1, 9 * DAY), (3, 10 * DAY)]);
    assert_eq!(world.issue(one).comments[0].author, UserId(2));
    world.edit(11 * DAY).take_back_comment(one);
    assert_eq!((world.issue(one).comments.len(), world.issue(one).updated), (1, 11 * DAY));
}
