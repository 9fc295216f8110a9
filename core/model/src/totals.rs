//! Running totals: sums over finished work, so that metrics need not read it again.
//!
//! Everything here is additive. A task's [`Totals`] is its contribution; a project's is the sum over its tasks, kept in
//! the store and adjusted by the difference whenever a task changes. Sums are whole milliseconds and thousandths of a
//! point, so that the order of adding does not matter. [`Rollup`] is the same along the tree of parents.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::time::{DAY, HOUR, MINUTE, Millis};
use crate::timeline::{State, TaskHistory};
use crate::{SmolStr, Status, TaskType};

/// Upper bounds of histogram buckets in milliseconds, from 15 minutes to 180 days.
pub const BOUNDS: [i64; 14] = [
    15 * MINUTE,
    HOUR,
    4 * HOUR,
    8 * HOUR,
    DAY,
    2 * DAY,
    3 * DAY,
    5 * DAY,
    7 * DAY,
    14 * DAY,
    30 * DAY,
    60 * DAY,
    90 * DAY,
    180 * DAY,
];

/// A cumulative histogram of durations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// The count of each bucket of [`BOUNDS`]; the last is for what is above all bounds.
    pub buckets: Vec<i64>,
    /// The sum of all, in milliseconds.
    pub sum: i64,
}

impl Histogram {
    /// Adds one duration in milliseconds.
    pub fn record(&mut self, duration: i64) {
        self.buckets.resize(BOUNDS.len() + 1, 0);
        let place = BOUNDS.partition_point(|bound| *bound < duration);
        self.buckets[place] += 1;
        self.sum += duration;
    }

    /// The number of durations.
    pub fn count(&self) -> i64 {
        self.buckets.iter().sum()
    }

    fn add(&mut self, other: &Self, sign: i64) {
        self.buckets.resize(BOUNDS.len() + 1, 0);
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += sign * theirs;
        }
        self.sum += sign * other.sum;
    }
}

/// A number of tasks, and their points in thousandths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weight {
    /// Tasks.
    pub tasks: i64,
    /// Points in thousandths; a task without an estimate adds zero.
    pub milli_points: i64,
    /// Tasks without an estimate.
    pub unestimated: i64,
}

impl Weight {
    /// One task with this estimate.
    pub fn of(estimate: Option<f64>) -> Self {
        Self { tasks: 1, milli_points: milli(estimate), unestimated: i64::from(estimate.is_none()) }
    }

    /// Points.
    pub fn points(&self) -> f64 {
        points(self.milli_points)
    }

    /// Adds `sign` times another.
    pub fn add(&mut self, other: &Self, sign: i64) {
        self.tasks += sign * other.tasks;
        self.milli_points += sign * other.milli_points;
        self.unestimated += sign * other.unestimated;
    }
}

/// An estimate in thousandths of a point.
#[expect(clippy::cast_possible_truncation, reason = "estimates are small; a nonsensical one saturates")]
pub fn milli(estimate: Option<f64>) -> i64 {
    (estimate.unwrap_or(0.0) * 1_000.0).round() as i64
}

/// Thousandths of a point as points.
#[expect(clippy::cast_precision_loss, reason = "sums of points are far below 2^53")]
pub fn points(milli_points: i64) -> f64 {
    milli_points as f64 / 1_000.0
}

/// The totals of finished work, per native project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Tasks ever created, by type. Zero for a type that tasks only moved into or changed to.
    pub created: BTreeMap<TaskType, i64>,
    /// Completions ever, by type at that time, with their points.
    pub completed: BTreeMap<TaskType, Weight>,
    /// Created to completed.
    pub lead_time: BTreeMap<TaskType, Histogram>,
    /// Started to completed.
    pub cycle_time: BTreeMap<TaskType, Histogram>,
    /// Blocked until completed.
    pub blocked_time: BTreeMap<TaskType, Histogram>,
    /// Lengths of ended phases.
    pub status_time: BTreeMap<Status, Histogram>,
    /// Finished tasks that still exist, by status and type.
    pub finished: BTreeMap<(Status, TaskType), Weight>,
}

impl Totals {
    /// Adds `sign` times another.
    pub fn add(&mut self, other: &Self, sign: i64) {
        add_map(&mut self.created, &other.created, |mine, theirs| *mine += sign * theirs);
        add_map(&mut self.completed, &other.completed, |mine, theirs| mine.add(theirs, sign));
        add_map(&mut self.lead_time, &other.lead_time, |mine, theirs| mine.add(theirs, sign));
        add_map(&mut self.cycle_time, &other.cycle_time, |mine, theirs| mine.add(theirs, sign));
        add_map(&mut self.blocked_time, &other.blocked_time, |mine, theirs| mine.add(theirs, sign));
        add_map(&mut self.status_time, &other.status_time, |mine, theirs| mine.add(theirs, sign));
        add_map(&mut self.finished, &other.finished, |mine, theirs| mine.add(theirs, sign));
    }
}

fn add_map<K: Ord + Clone, V: Default>(mine: &mut BTreeMap<K, V>, theirs: &BTreeMap<K, V>, add: impl Fn(&mut V, &V)) {
    for (key, value) in theirs {
        add(mine.entry(key.clone()).or_default(), value);
    }
}

/// One increment of a project's counters, with its moment, so that counters can be summed up to any time.
#[derive(Debug, Clone, PartialEq)]
pub struct CounterEvent {
    /// When it happened.
    pub at: Millis,
    /// The native project it happened in.
    pub project: SmolStr,
    /// What it counts.
    pub counted: Counted,
}

/// What an event adds to the totals.
#[derive(Debug, Clone, PartialEq)]
pub enum Counted {
    /// A task was created.
    Created(TaskType),
    /// A task was completed. Durations in milliseconds.
    Completed {
        /// Its type at that time.
        task_type: TaskType,
        /// Its estimate at that time.
        estimate: Option<f64>,
        /// Since creation.
        lead: i64,
        /// Since the first start, if it was ever started.
        cycle: Option<i64>,
        /// Blocked before it.
        blocked: i64,
    },
    /// A phase ended after this many milliseconds.
    Phase(Status, i64),
}

impl CounterEvent {
    /// Adds it to the totals.
    pub fn count(&self, totals: &mut Totals) {
        match &self.counted {
            Counted::Created(task_type) => *totals.created.entry(*task_type).or_default() += 1,
            Counted::Phase(status, length) => totals.status_time.entry(*status).or_default().record(*length),
            Counted::Completed { task_type, estimate, lead, cycle, blocked } => {
                totals.completed.entry(*task_type).or_default().add(&Weight::of(*estimate), 1);
                totals.lead_time.entry(*task_type).or_default().record(*lead);
                if let Some(cycle) = cycle {
                    totals.cycle_time.entry(*task_type).or_default().record(*cycle);
                }
                totals.blocked_time.entry(*task_type).or_default().record(*blocked);
            }
        }
    }
}

/// Everything in a timeline that counters count, in the project it happened in. Every completion counts, also one that
/// was undone later, because counters never fall.
pub fn counter_events(history: &TaskHistory) -> Vec<CounterEvent> {
    let (created, phases, started) = (history.created(), history.phases(), history.started());
    let first = &history.snapshots()[0].state.facts;
    let mut all =
        vec![CounterEvent { at: created, project: first.project.clone(), counted: Counted::Created(first.task_type) }];
    for finish in history.finishes().iter().filter(|finish| finish.status == Status::Done) {
        let blocked = phases.iter().filter(|phase| phase.status == Status::Blocked && phase.from < finish.at);
        let counted = Counted::Completed {
            task_type: finish.facts.task_type,
            estimate: finish.facts.estimate,
            lead: finish.at.0 - created.0,
            cycle: started.map(|started| finish.at.0 - started.0).filter(|cycle| *cycle >= 0),
            blocked: blocked.map(|phase| phase.to.unwrap_or(finish.at).min(finish.at).0 - phase.from.0).sum(),
        };
        all.push(CounterEvent { at: finish.at, project: finish.facts.project.clone(), counted });
    }
    for phase in phases.into_iter().filter(|phase| !phase.status.is_finished()) {
        if let Some(to) = phase.to {
            let counted = Counted::Phase(phase.status, to.0 - phase.from.0);
            all.push(CounterEvent { at: to, project: phase.facts.project.clone(), counted });
        }
    }
    all
}

/// The contribution of a task to the totals of each native project it was ever in.
pub fn contribution(history: &TaskHistory) -> BTreeMap<SmolStr, Totals> {
    let mut all: BTreeMap<SmolStr, Totals> = BTreeMap::new();
    for event in counter_events(history) {
        event.count(all.entry(event.project.clone()).or_default());
    }
    // A task that moved in or changed its type was created elsewhere, or as something else. Its project and type get a
    // zero.
    for facts in history.snapshots().iter().map(|snapshot| &snapshot.state.facts) {
        all.entry(facts.project.clone()).or_default().created.entry(facts.task_type).or_default();
    }
    let State { facts, deleted, .. } = &history.last().state;
    let status = facts.effective_status();
    if status.is_finished() && deleted.is_none() {
        let finished = &mut all.entry(facts.project.clone()).or_default().finished;
        finished.entry((status, facts.task_type)).or_default().add(&Weight::of(facts.estimate), 1);
    }
    all
}

/// Sums over all descendants of a task that exist and are not cancelled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollup {
    /// All of them.
    pub all: Weight,
    /// Those done.
    pub done: Weight,
    /// Direct children that exist.
    pub children: i64,
    /// Direct children done.
    pub children_done: i64,
}

impl Rollup {
    /// What a task adds to each of its ancestors.
    pub fn own(state: &State) -> Self {
        let mut own = Self::default();
        if state.deleted.is_none() && state.facts.status != Status::Cancelled {
            own.all = Weight::of(state.facts.estimate);
            if state.facts.status == Status::Done {
                own.done = own.all;
            }
        }
        own
    }

    /// Adds `sign` times the descendants of another. Its direct children are not added.
    pub fn add_descendants(&mut self, other: &Self, sign: i64) {
        self.all.add(&other.all, sign);
        self.done.add(&other.done, sign);
    }

    /// Done descendants in percent, by estimate, or by number when any has none; `None` without descendants.
    #[expect(clippy::cast_precision_loss, reason = "numbers of tasks are far below 2^53")]
    pub fn percent_complete(&self) -> Option<f64> {
        let share = |part: i64, whole: i64| 100.0 * part as f64 / whole as f64;
        match self.all {
            Weight { tasks: ..=0, .. } => None,
            Weight { unestimated: 0, milli_points: 1.., .. } => {
                Some(share(self.done.milli_points, self.all.milli_points))
            }
            _ => Some(share(self.done.tasks, self.all.tasks)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{facts, stored, to};
    use crate::{Change, StoredEvent};

    fn timeline() -> Vec<StoredEvent> {
        vec![
            stored(0, Change::Created(Box::new(facts(Status::Todo)))),
            stored(HOUR, to(Status::InProgress)),
            stored(2 * HOUR, Change::Estimated(Some(3.0))),
            stored(DAY, to(Status::Done)),
            stored(2 * DAY, to(Status::InProgress)),
            stored(3 * DAY, to(Status::Done)),
        ]
    }

    #[test]
    fn every_completion_counts_but_a_finished_task_counts_once() {
        let all = contribution(&TaskHistory::new(&timeline()).unwrap());
        let totals = &all["PROJ"];
        assert_eq!(totals.completed[&TaskType::Story], Weight { tasks: 2, milli_points: 6_000, unestimated: 0 });
        assert_eq!(totals.finished[&(Status::Done, TaskType::Story)].tasks, 1);
        assert_eq!(totals.lead_time[&TaskType::Story].sum, DAY + 3 * DAY);
        assert_eq!(totals.cycle_time[&TaskType::Story].count(), 2);
        assert_eq!(totals.status_time[&Status::InProgress].sum, DAY - HOUR + DAY);
    }

    #[test]
    fn projects_moved_into_and_types_changed_to_have_zero_counters() {
        let moved = Change::Moved { key: "OPS-1".into(), project: "OPS".into() };
        let typed = Change::Typed { task_type: TaskType::Bug, native: "Bug".into() };
        let timeline = vec![
            stored(0, Change::Created(Box::new(facts(Status::Todo)))),
            stored(HOUR, moved),
            stored(2 * HOUR, typed),
        ];
        let all = contribution(&TaskHistory::new(&timeline).unwrap());
        assert_eq!(all["PROJ"].created, BTreeMap::from([(TaskType::Story, 1)]));
        assert_eq!(all["OPS"].created, BTreeMap::from([(TaskType::Story, 0), (TaskType::Bug, 0)]));
    }

    #[test]
    fn adding_and_subtracting_restores_the_sum() {
        let one = contribution(&TaskHistory::new(&timeline()).unwrap()).remove("PROJ").unwrap();
        let mut sum = one.clone();
        sum.add(&one, 1);
        sum.add(&one, -1);
        assert_eq!(sum, one);
    }

    #[test]
    fn percent_uses_points_only_when_all_tasks_are_estimated() {
        let mut rollup = Rollup::default();
        assert_eq!(rollup.percent_complete(), None);
        rollup.all = Weight { tasks: 2, milli_points: 8_000, unestimated: 0 };
        rollup.done = Weight { tasks: 1, milli_points: 2_000, unestimated: 0 };
        assert_eq!(rollup.percent_complete(), Some(25.0));
        rollup.all.unestimated = 1;
        assert_eq!(rollup.percent_complete(), Some(50.0));
    }

    #[test]
    fn a_duration_equal_to_a_bound_belongs_to_the_lower_bucket() {
        let mut histogram = Histogram::default();
        histogram.record(HOUR);
        histogram.record(HOUR + 1);
        assert_eq!((histogram.buckets[1], histogram.buckets[2]), (1, 1));
    }
}
