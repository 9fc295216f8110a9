//! Sprint numbers: what was committed, added, removed, re-estimated, completed and carried over, at any moment. Pure.
//!
//! A [`SprintHistory`] turns the timelines of all tasks that were ever in a sprint into dated differences. The numbers
//! at a moment are their sum up to it, so the burndown, the metrics on the history grid and the final numbers come from
//! one function.

use crate::time::{DAY, Millis};
use crate::timeline::{State, TaskHistory};
use crate::totals::{milli, points};
use crate::{Change, SmolStr, SprintFacts, SprintState, StoredEvent};

/// The numbers of a sprint at one moment. Points in thousandths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// In it when it started, by the estimates of that moment.
    pub committed: i64,
    /// Added later, by the estimate at the entry.
    pub added: i64,
    /// Removed before the end, by the estimate at the removal.
    pub removed: i64,
    /// Net change of the estimates of members while in it.
    pub reestimated: i64,
    /// In it now: committed + added − removed + reestimated.
    pub scope: i64,
    /// In it and done.
    pub completed: i64,
    /// In it and in no finished status.
    pub remaining: i64,
    /// `committed`, in tasks.
    pub committed_tasks: i64,
    /// `added`, in tasks.
    pub added_tasks: i64,
    /// `removed`, in tasks.
    pub removed_tasks: i64,
    /// `completed`, in tasks.
    pub completed_tasks: i64,
    /// `remaining`, in tasks.
    pub remaining_tasks: i64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.committed += other.committed;
        self.added += other.added;
        self.removed += other.removed;
        self.reestimated += other.reestimated;
        self.scope += other.scope;
        self.completed += other.completed;
        self.remaining += other.remaining;
        self.committed_tasks += other.committed_tasks;
        self.added_tasks += other.added_tasks;
        self.removed_tasks += other.removed_tasks;
        self.completed_tasks += other.completed_tasks;
        self.remaining_tasks += other.remaining_tasks;
    }

    /// Completed of committed, in percent; `None` when nothing was committed.
    pub fn predictability(&self) -> Option<f64> {
        (self.committed > 0).then(|| 100.0 * points(self.completed) / points(self.committed))
    }
}

/// The state of a task in one sprint at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Standing {
    member: bool,
    estimate: i64,
    done: bool,
    finished: bool,
}

impl Standing {
    fn of(state: &State, sprint: &str) -> Self {
        Self {
            member: state.facts.sprints.iter().any(|id| id == sprint),
            estimate: milli(state.facts.estimate),
            done: state.facts.status == crate::Status::Done,
            finished: state.facts.status.is_finished(),
        }
    }

    /// What it adds to the sprint's numbers now.
    fn weight(self) -> Tally {
        let counts = |yes: bool| if self.member && yes { (self.estimate, 1) } else { (0, 0) };
        let (scope, _) = counts(true);
        let (completed, completed_tasks) = counts(self.done);
        let (remaining, remaining_tasks) = counts(!self.finished);
        Tally { scope, completed, completed_tasks, remaining, remaining_tasks, ..Tally::default() }
    }
}

/// The dated differences of one sprint.
#[derive(Debug, Clone)]
pub struct SprintHistory {
    /// When it started, if it has.
    pub start: Option<Millis>,
    /// When it is planned to end.
    pub end: Option<Millis>,
    /// When it was completed; `None` while it runs.
    pub finish: Option<Millis>,
    changes: Vec<(Millis, Tally)>,
}

impl SprintHistory {
    /// The history of sprint `id`, from the timelines of all tasks that were ever in it. Deleted tasks are left out.
    pub fn new<'a>(id: &str, facts: &SprintFacts, members: impl IntoIterator<Item = &'a [StoredEvent]>) -> Self {
        let start = facts.start.filter(|_| facts.state != SprintState::Future);
        let finish = facts.completed.or(facts.end).filter(|_| facts.state == SprintState::Closed);
        let mut history = Self { start, end: facts.end, finish, changes: Vec::new() };
        if let Some(start) = start {
            for timeline in members {
                history.add_member(id, start, timeline);
            }
            history.changes.sort_by_key(|(at, _)| *at);
        }
        history
    }

    fn add_member(&mut self, id: &str, start: Millis, timeline: &[StoredEvent]) {
        let Some(history) = TaskHistory::new(timeline).filter(|history| history.last().state.deleted.is_none()) else {
            return;
        };
        let mut standing = Standing::default();
        if history.created() <= start {
            standing = Standing::of(&history.at(start).state, id);
        }
        if standing.member {
            let weight = standing.weight();
            let tally = Tally { committed: weight.scope, committed_tasks: 1, ..weight };
            self.changes.push((start, tally));
        }
        let finish = self.finish;
        for snapshot in history.snapshots() {
            let at = snapshot.at;
            if at <= start || finish.is_some_and(|finish| at > finish) {
                continue;
            }
            let mut next = Standing::of(&snapshot.state, id);
            if finish == Some(at) {
                // A task that leaves at the very completion was carried over, not removed. One that enters then came
                // too late.
                next.member = standing.member;
            }
            if next != standing {
                self.changes.push((at, difference(standing, next)));
                standing = next;
            }
        }
    }

    /// The numbers at a moment; after the completion, those at the completion.
    pub fn at(&self, moment: Millis) -> Tally {
        let mut tally = Tally::default();
        for (_, change) in self.changes.iter().take_while(|(at, _)| *at <= moment) {
            tally.add(change);
        }
        tally
    }

    /// Every change of scope after the start: when, and the points added (negative: removed).
    pub fn scope_changes(&self) -> Vec<(Millis, i64)> {
        let later = self.changes.iter().filter(|(at, _)| Some(*at) != self.start);
        later.map(|(at, tally)| (*at, tally.scope)).filter(|(_, scope)| *scope != 0).collect()
    }

    /// The ideal remaining points at a moment: a straight line from the committed points at the start to zero at the
    /// end.
    #[expect(clippy::cast_precision_loss, reason = "a sprint is shorter than 2^53 ms")]
    pub fn ideal(&self, moment: Millis) -> f64 {
        let (Some(start), Some(end)) = (self.start, self.end.or(self.finish)) else { return 0.0 };
        let committed = points(self.at(start).committed);
        let left = (end.0 - moment.0).clamp(0, (end.0 - start.0).max(0)) as f64;
        if end <= start { 0.0 } else { committed * left / (end.0 - start.0) as f64 }
    }

    /// The last moment for which there are numbers: the completion, or now.
    pub fn until(&self, now: Millis) -> Millis {
        self.finish.map_or(now, |finish| finish.min(now))
    }

    /// One moment per UTC day from the start: 24:00 UTC of each day. The last is the completion (or now).
    pub fn days(&self, now: Millis) -> Vec<(String, Millis)> {
        let Some(start) = self.start else { return Vec::new() };
        let until = self.until(now);
        if until < start {
            return Vec::new();
        }
        let midnights = (1..).map(|day| Millis((start.0.div_euclid(DAY) + day) * DAY)).take_while(|at| *at < until);
        let full = midnights.map(|at| (Millis(at.0 - DAY).date(), at));
        // A completion at midnight belongs to the day that ends there.
        let last = Millis((until.0 - 1).max(start.0)).date();
        full.chain(std::iter::once((last, until))).collect()
    }
}

fn difference(old: Standing, new: Standing) -> Tally {
    let (was, is) = (old.weight(), new.weight());
    let mut tally = Tally {
        scope: is.scope - was.scope,
        completed: is.completed - was.completed,
        completed_tasks: is.completed_tasks - was.completed_tasks,
        remaining: is.remaining - was.remaining,
        remaining_tasks: is.remaining_tasks - was.remaining_tasks,
        ..Tally::default()
    };
    match (old.member, new.member) {
        (false, true) => (tally.added, tally.added_tasks) = (new.estimate, 1),
        (true, false) => (tally.removed, tally.removed_tasks) = (old.estimate, 1),
        (true, true) => tally.reestimated = new.estimate - old.estimate,
        (false, false) => {}
    }
    tally
}

/// The sprints that a change puts the task into (`true`) or takes it out of (`false`), given the sprints before it.
pub fn membership_changes<'a>(before: &'a [SmolStr], change: &'a Change) -> Vec<(&'a str, bool)> {
    let Change::Sprints(after) = change else { return Vec::new() };
    let entered = after.iter().filter(|id| !before.contains(id)).map(|id| (id.as_str(), true));
    let left = before.iter().filter(|id| !after.contains(id)).map(|id| (id.as_str(), false));
    entered.chain(left).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{facts, stored, to};
    use crate::time::HOUR;
    use crate::{Facts, SprintRecord, Status};

    const START: i64 = 10 * DAY + 9 * HOUR;

    fn sprint(state: SprintState, completed: Option<i64>) -> SprintFacts {
        SprintFacts {
            name: "Sprint 12".into(),
            goal: None,
            project: None,
            state,
            start: Some(Millis(START)),
            end: Some(Millis(START + 10 * DAY)),
            completed: completed.map(Millis),
            exact: true,
        }
    }

    #[test]
    fn a_sprint_has_a_new_number_whenever_it_starts_or_closes() {
        let (active, closed) = (sprint(SprintState::Active, None), sprint(SprintState::Closed, Some(START)));
        let mut record = None;
        for (seq, facts, numbers) in [
            (1, sprint(SprintState::Future, None), (None, None)),
            (2, active.clone(), (Some(2), None)),
            (3, active.clone(), (Some(2), None)),
            (4, closed.clone(), (Some(2), Some(4))),
            (5, closed.clone(), (Some(2), Some(4))),
            (6, active, (Some(2), Some(4))),
            (7, closed.clone(), (Some(2), Some(7))),
        ] {
            let next = SprintRecord::next(record.as_ref(), facts, seq);
            assert_eq!((next.started_seq, next.closed_seq), numbers, "{seq}");
            record = Some(next);
        }
        let inherited =
            SprintRecord { closed_seq: Some(0), ..SprintRecord::next(None, sprint(SprintState::Active, None), 1) };
        assert_eq!(SprintRecord::next(Some(&inherited), closed, 9).closed_seq, Some(0), "another engine exported it");
    }

    fn task(estimate: f64, member: bool) -> StoredEvent {
        let sprints = if member { vec!["42".into()] } else { vec![] };
        stored(0, Change::Created(Box::new(Facts { estimate: Some(estimate), sprints, ..facts(Status::Todo) })))
    }

    fn closed(tasks: &[Vec<StoredEvent>]) -> Tally {
        let facts = sprint(SprintState::Closed, Some(START + 10 * DAY));
        SprintHistory::new("42", &facts, tasks.iter().map(Vec::as_slice)).at(Millis(i64::MAX))
    }

    #[test]
    fn scope_is_committed_plus_added_minus_removed_plus_reestimated() {
        let into = || Change::Sprints(vec!["42".into()]);
        let tally = closed(&[
            vec![task(5.0, true), stored(START + DAY, to(Status::Done))],
            vec![task(3.0, true), stored(START + DAY, Change::Estimated(Some(8.0)))],
            vec![task(2.0, false), stored(START + 2 * DAY, into())],
            vec![task(1.0, true), stored(START + 3 * DAY, Change::Sprints(vec![]))],
            vec![task(4.0, true), stored(START + 4 * DAY, to(Status::Cancelled))],
        ]);
        assert_eq!((tally.committed, tally.added, tally.removed, tally.reestimated), (13_000, 2_000, 1_000, 5_000));
        assert_eq!(tally.scope, tally.committed + tally.added - tally.removed + tally.reestimated);
        assert_eq!((tally.completed, tally.completed_tasks), (5_000, 1));
        assert_eq!(
            (tally.remaining, tally.remaining_tasks),
            (10_000, 2),
            "cancelled work is neither done nor remaining"
        );
    }

    #[test]
    fn a_task_that_leaves_at_the_completion_was_carried_over() {
        let end = START + 10 * DAY;
        let tally = closed(&[vec![task(5.0, true), stored(end, Change::Sprints(vec!["43".into()]))]]);
        assert_eq!((tally.removed, tally.remaining, tally.remaining_tasks), (0, 5_000, 1));
    }

    #[test]
    fn deleted_tasks_are_left_out() {
        let tally = closed(&[vec![task(5.0, true), stored(START + DAY, Change::Deleted)]]);
        assert_eq!(tally, Tally::default());
    }

    #[test]
    fn a_future_sprint_has_no_numbers() {
        let timeline = vec![task(5.0, true)];
        let history = SprintHistory::new("42", &sprint(SprintState::Future, None), [timeline.as_slice()]);
        assert_eq!(history.at(Millis(i64::MAX)), Tally::default());
        assert!(history.days(Millis(i64::MAX)).is_empty());
    }

    #[test]
    fn the_burndown_has_one_moment_a_day_and_ends_with_the_completion() {
        let timeline = vec![task(20.0, true)];
        let facts = sprint(SprintState::Closed, Some(START + 2 * DAY));
        let history = SprintHistory::new("42", &facts, [timeline.as_slice()]);
        let days: Vec<_> = history.days(Millis(i64::MAX)).into_iter().map(|(date, at)| (date, at.0)).collect();
        assert_eq!(
            days,
            vec![
                ("1970-01-11".to_owned(), 11 * DAY),
                ("1970-01-12".to_owned(), 12 * DAY),
                ("1970-01-13".to_owned(), START + 2 * DAY),
            ]
        );
        assert!((history.ideal(Millis(START + 5 * DAY)) - 10.0).abs() < 1e-9);
        assert!(history.ideal(Millis(START + 50 * DAY)).abs() < 1e-9);
    }
}
