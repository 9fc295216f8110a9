//! How work flowed, by whether agents took part: cycle time, rework and blocked time of what was completed lately. Pure.
//!
//! Tasks are compared only with tasks of the same type and size, since agents are not given the same work as people. A group is
//! shown only when it has [`FEWEST_TASKS`] tasks of [`FEWEST_PEOPLE`] people, so that nobody's work can be read from it. The
//! numbers say how the groups differ and never why.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::agents::{AgentAssisted, assistance};
use crate::time::{DAY, Millis};
use crate::timeline::TaskHistory;
use crate::{SmolStr, Status, StoredEvent, TaskType, string_enum};

/// What was completed within this time is counted, in milliseconds.
pub const WINDOW: i64 = 90 * DAY;
/// The fewest tasks of a group that is shown.
pub const FEWEST_TASKS: usize = 20;
/// The fewest people of a group that is shown.
pub const FEWEST_PEOPLE: usize = 5;
/// The shares of tasks for which a duration is given.
const SHARES: [f64; 2] = [0.5, 0.85];

string_enum! {
    /// How large a task is, by its estimate.
    TaskSize {
        /// It has no estimate.
        Unestimated = "unestimated",
        /// At most 2 points.
        Small = "small",
        /// At most 5 points.
        Medium = "medium",
        /// More than 5 points.
        Large = "large",
    }
}

impl TaskSize {
    /// The size of a task with this estimate.
    #[must_use]
    pub fn of(estimate: Option<f64>) -> Self {
        match estimate {
            None => Self::Unestimated,
            Some(points) if points <= 2.0 => Self::Small,
            Some(points) if points <= 5.0 => Self::Medium,
            Some(_) => Self::Large,
        }
    }
}

/// The tasks that are compared with each other, and whether agents took part in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Group {
    /// Their type at completion.
    pub task_type: TaskType,
    /// Their size at completion.
    pub size: TaskSize,
    /// Whether agents took part.
    pub assisted: AgentAssisted,
}

/// One completed task.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Where it counts.
    pub group: Group,
    /// Started to completed, in milliseconds.
    pub cycle_time: Option<i64>,
    /// Blocked until completed, in milliseconds.
    pub blocked_time: i64,
    /// Whether it was reopened, or sent back from review.
    pub reworked: bool,
    /// Who had it at completion.
    pub person: Option<SmolStr>,
}

/// A task that was completed within the window before `now` and still is; without epics, which are not worked on themselves.
#[must_use]
pub fn sample(history: &TaskHistory, timeline: &[StoredEvent], now: Millis) -> Option<Sample> {
    let history = history.until(now);
    let last = &history.last().state;
    let finish = history.finishes().pop().filter(|finish| finish.status == Status::Done)?;
    let is_counted = last.facts.status == Status::Done
        && last.deleted.is_none()
        && finish.at > now.plus(-WINDOW)
        && finish.facts.task_type != TaskType::Epic;
    if !is_counted {
        return None;
    }
    let blocked = history.phases().into_iter().filter(|phase| phase.status == Status::Blocked);
    let group = Group {
        task_type: finish.facts.task_type,
        size: TaskSize::of(finish.facts.estimate),
        assisted: assistance(timeline, now),
    };
    Some(Sample {
        group,
        cycle_time: history.started().filter(|started| *started <= finish.at).map(|started| finish.at.0 - started.0),
        blocked_time: blocked.map(|phase| phase.to.unwrap_or(finish.at).0 - phase.from.0).sum(),
        reworked: is_reworked(&history),
        person: finish.facts.assignee.clone(),
    })
}

/// Whether it ever went back: from a finished status to another, or from review to earlier work. What lies beneath an impediment
/// counts.
fn is_reworked(history: &TaskHistory) -> bool {
    let rank = |status: Status| match status {
        Status::Backlog | Status::Todo | Status::InProgress => Some(0),
        Status::InReview => Some(1),
        Status::Done | Status::Cancelled => Some(2),
        // A column of that name is no place in the order.
        Status::Blocked => None,
    };
    let ranks: Vec<i32> = history.snapshots().iter().filter_map(|snapshot| rank(snapshot.state.facts.status)).collect();
    ranks.windows(2).any(|pair| pair[1] < pair[0])
}

/// The numbers of one group. Durations are in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupFlow {
    /// Which tasks.
    pub group: Group,
    /// How many.
    pub tasks: u64,
    /// The cycle time that half of them, and 85 % of them, did not exceed; none where too few were ever started.
    pub cycle_time: Option<[i64; 2]>,
    /// The same of the time that they were blocked.
    pub blocked_time: [i64; 2],
    /// How many were reopened or sent back from review.
    pub reworked: u64,
}

/// How work flowed by whether agents took part.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AgentFlow {
    /// Tasks completed within the window.
    pub completed: u64,
    /// Those of which it is known whether agents took part.
    pub known: u64,
    /// Tasks in groups that are too small to be shown.
    pub hidden: u64,
    /// The groups that are large enough, in order.
    pub groups: Vec<GroupFlow>,
}

impl AgentFlow {
    /// What these tasks come to.
    #[must_use]
    pub fn of(samples: &[Sample]) -> Self {
        let mut groups: BTreeMap<Group, Vec<&Sample>> = BTreeMap::new();
        for sample in samples {
            groups.entry(sample.group).or_default().push(sample);
        }
        let count = |samples: &mut dyn Iterator<Item = &Sample>| samples.count() as u64;
        let known = count(&mut samples.iter().filter(|sample| sample.group.assisted != AgentAssisted::Unknown));
        let mut flow = Self { completed: samples.len() as u64, known, ..Self::default() };
        for (group, tasks) in groups {
            if is_large_enough(&tasks) {
                flow.groups.push(GroupFlow::of(group, &tasks));
            } else {
                flow.hidden += tasks.len() as u64;
            }
        }
        flow
    }

    /// The share of completed tasks of which it is known whether agents took part, in percent; none without any task.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "numbers of tasks are far below 2^53")]
    pub fn coverage(&self) -> Option<f64> {
        (self.completed > 0).then(|| 100.0 * self.known as f64 / self.completed as f64)
    }
}

/// Whether so many tasks of so many people are among these that nobody's work can be read from their numbers.
fn is_large_enough(samples: &[&Sample]) -> bool {
    let people: BTreeSet<&SmolStr> = samples.iter().filter_map(|sample| sample.person.as_ref()).collect();
    samples.len() >= FEWEST_TASKS && people.len() >= FEWEST_PEOPLE
}

impl GroupFlow {
    fn of(group: Group, samples: &[&Sample]) -> Self {
        let started: Vec<&Sample> = samples.iter().copied().filter(|sample| sample.cycle_time.is_some()).collect();
        let cycle_times = started.iter().filter_map(|sample| sample.cycle_time).collect();
        Self {
            group,
            tasks: samples.len() as u64,
            cycle_time: is_large_enough(&started).then(|| quantiles(cycle_times)),
            blocked_time: quantiles(samples.iter().map(|sample| sample.blocked_time).collect()),
            reworked: samples.iter().filter(|sample| sample.reworked).count() as u64,
        }
    }

    /// The share that was reopened or sent back from review, in percent.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "numbers of tasks are far below 2^53")]
    pub fn rework(&self) -> f64 {
        100.0 * self.reworked as f64 / self.tasks as f64
    }
}

/// By nearest rank: the smallest value that this share of all values does not exceed.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a small length"
)]
fn quantiles(mut values: Vec<i64>) -> [i64; 2] {
    values.sort_unstable();
    SHARES.map(|share| {
        let rank = (share * values.len() as f64).ceil() as usize;
        values.get(rank.max(1) - 1).copied().unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::artifact;
    use crate::samples::{facts, stored, to};
    use crate::{Change, Facts};

    fn finished(changes: Vec<StoredEvent>) -> Option<Sample> {
        let first = Facts { assignee: Some("Ada".into()), estimate: Some(3.0), ..facts(Status::Todo) };
        let mut timeline = vec![stored(0, Change::Created(Box::new(first)))];
        timeline.extend(changes);
        sample(&TaskHistory::new(&timeline).unwrap(), &timeline, Millis(100))
    }

    #[test]
    fn a_completed_task_is_a_sample_of_its_group() {
        let evidence = Change::Artifact(artifact(AgentAssisted::Assisted, "Claude", ""));
        let found = finished(vec![
            stored(10, to(Status::InProgress)),
            stored(12, evidence),
            stored(20, Change::Blocked(None)),
            stored(25, Change::Unblocked),
            stored(30, to(Status::InReview)),
            stored(40, to(Status::Done)),
        ])
        .unwrap();
        let group = Group { task_type: TaskType::Story, size: TaskSize::Medium, assisted: AgentAssisted::Assisted };
        let want = Sample { group, cycle_time: Some(30), blocked_time: 5, reworked: false, person: Some("Ada".into()) };
        assert_eq!(found, want);
    }

    #[test]
    fn going_back_from_review_or_from_done_is_rework() {
        use Status::{Blocked, Done, InProgress, InReview, Todo};
        let reworked = |statuses: &[Status]| {
            let changes = statuses.iter().zip(1..).map(|(status, at)| stored(at, to(*status))).collect();
            finished(changes).unwrap().reworked
        };
        assert!(!reworked(&[InProgress, InReview, Done]));
        assert!(!reworked(&[InProgress, Todo, InProgress, Done]), "put down before anybody reviewed it");
        assert!(!reworked(&[InProgress, Blocked, InReview, Done]));
        assert!(reworked(&[InProgress, InReview, InProgress, InReview, Done]));
        assert!(reworked(&[InReview, Blocked, InProgress, Done]));
        assert!(reworked(&[InProgress, Done, InProgress, Done]));
    }

    #[test]
    fn what_is_not_completed_lately_is_no_sample() {
        assert_eq!(finished(vec![stored(10, to(Status::InProgress))]), None);
        assert_eq!(finished(vec![stored(10, to(Status::Cancelled))]), None);
        assert_eq!(finished(vec![stored(10, to(Status::Done)), stored(11, to(Status::Todo))]), None);
        assert_eq!(finished(vec![stored(10, to(Status::Done)), stored(11, Change::Deleted)]), None);
        let timeline = [stored(0, Change::Created(Box::new(facts(Status::Todo)))), stored(10, to(Status::Done))];
        let history = TaskHistory::new(&timeline).unwrap();
        assert!(sample(&history, &timeline, Millis(9 + WINDOW)).is_some());
        assert!(sample(&history, &timeline, Millis(10 + WINDOW)).is_none());
    }

    fn samples(count: usize, people: usize, assisted: AgentAssisted) -> Vec<Sample> {
        let group = Group { task_type: TaskType::Bug, size: TaskSize::Small, assisted };
        (0..count)
            .map(|n| Sample {
                group,
                cycle_time: Some(n as i64 + 1),
                blocked_time: 0,
                reworked: n % 4 == 0,
                person: Some(SmolStr::from(format!("person {}", n % people))),
            })
            .collect()
    }

    #[test]
    fn groups_with_too_few_tasks_or_people_are_hidden_and_counted() {
        for (count, people, shown) in [(20, 5, 1), (19, 5, 0), (20, 4, 0), (200, 4, 0)] {
            let flow = AgentFlow::of(&samples(count, people, AgentAssisted::Assisted));
            assert_eq!(flow.groups.len(), shown, "{count} tasks of {people} people");
            assert_eq!(flow.hidden, if shown == 0 { count as u64 } else { 0 });
        }
        let nobody = samples(40, 5, AgentAssisted::None).into_iter().map(|sample| Sample { person: None, ..sample });
        assert!(AgentFlow::of(&nobody.collect::<Vec<_>>()).groups.is_empty(), "nobody is no person");
    }

    #[test]
    fn the_numbers_of_a_group_and_the_coverage() {
        let all = [samples(40, 8, AgentAssisted::Delegated), samples(60, 8, AgentAssisted::Unknown)].concat();
        let flow = AgentFlow::of(&all);
        assert_eq!((flow.completed, flow.known, flow.coverage()), (100, 40, Some(40.0)));
        let delegated = flow.groups.iter().find(|flow| flow.group.assisted == AgentAssisted::Delegated).unwrap();
        assert_eq!((delegated.tasks, delegated.cycle_time, delegated.reworked), (40, Some([20, 34]), 10));
        assert!((delegated.rework() - 25.0).abs() < 1e-9);
        assert_eq!(AgentFlow::of(&[]).coverage(), None);
    }

    #[test]
    fn cycle_times_are_shown_only_of_enough_started_tasks() {
        let mut all = samples(20, 5, AgentAssisted::Assisted);
        all[3].cycle_time = None;
        let flow = AgentFlow::of(&all);
        assert_eq!((flow.groups[0].tasks, flow.groups[0].cycle_time), (20, None));
    }
}
