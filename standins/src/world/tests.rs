//! Tests of the world: it is rich, it is the same for a seed, and its history leads to its present.

use super::*;

const NOW: i64 = 1_795_000_000_000;

#[test]
fn a_history_world_has_exactly_the_entries_asked_for() {
    let world = World::history(NOW, 1_000, 20, 50, 150, 1);
    assert_eq!(world.issues().count(), 1_000);
    assert_eq!(world.history_entries(), 22_600);
}

#[test]
fn a_demo_world_is_rich() {
    let world = World::demo(NOW, 6, 1);
    let count = world.issues().count();
    assert!((250..600).contains(&count), "{count} issues");
    let states = |state| world.sprints.iter().filter(|sprint| sprint.state == state).count();
    assert_eq!((states(SprintState::Closed), states(SprintState::Active), states(SprintState::Future)), (2, 1, 1));
}

#[test]
fn show() {
    for months in [6, 12] {
        let world = World::demo(NOW, months, 1);
        let truth = world.truth(NOW);
        println!("{} {:?} entries {}", world.issues().count(), truth.status_counts(), world.history_entries());
        for sprint in &world.sprints {
            println!("{:?} {} {:?}", sprint.state, sprint.name, truth.sprint(sprint.id));
        }
        for id in truth.blocked() {
            println!(
                "{} {} {:?}",
                world.key_of(id),
                world.issue(id).fields.title,
                (NOW - truth.blocked_since(id).unwrap()) as f64 / DAY as f64
            );
        }
        for w in 0..months * 4 {
            print!(
                "{} ",
                truth.completed_between(NOW - i64::from(w + 1) * 7 * DAY, NOW - i64::from(w) * 7 * DAY).len()
            );
        }
        println!();
    }
}
