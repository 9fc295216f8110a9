//! The fold of a timeline: a task at a moment, its phases, and the durations that follow from them.
//!
//! Everything here is a pure function of events and a moment. [`Facts::apply`] is one step of the fold, [`TaskHistory::phases`] cuts
//! a timeline into intervals of one effective status, [`summary`] gives the durations of `model.md`. [`TaskHistory`] serves
//! callers that need several of these. Events of the same millisecond count together: only what holds after all of them
//! is a state of the task.

use std::collections::BTreeMap;
use std::sync::Arc;

use smol_str::SmolStr;

use crate::inference::{self, InferenceState};
use crate::time::Millis;
use crate::{Change, Event, Facts, Status, StoredEvent, TaskType};

impl Facts {
    /// Of a task of which only the key and the project are known.
    #[must_use]
    pub fn unknown(key: &str, project: &str) -> Self {
        Self {
            key: key.into(),
            project: project.into(),
            task_type: TaskType::Task,
            native_type: SmolStr::default(),
            title: SmolStr::default(),
            status: Status::Todo,
            native_status: SmolStr::default(),
            flag: None,
            priority: None,
            assignee: None,
            labels: Vec::new(),
            estimate: None,
            parent: None,
            sprints: Vec::new(),
            due: None,
            blocked_by_links: None,
            progress: None,
            attributes: Vec::new(),
        }
    }

    /// A move as people read it: from key to key, or from project to project where the key stays the same (an issue
    /// that is put into another GitHub project).
    pub fn moved<'a>(&'a self, key: &'a SmolStr, project: &'a SmolStr) -> (&'a SmolStr, &'a SmolStr) {
        if self.key == *key { (&self.project, project) } else { (&self.key, key) }
    }

    /// The status including impediments: while one is raised and the task is not finished, `blocked`.
    pub fn effective_status(&self) -> Status {
        let impeded = self.flag.is_some() || self.blocked_by_links.is_some();
        if impeded && !self.status.is_finished() { Status::Blocked } else { self.status }
    }

    /// Applies one change. [`Change::Created`] replaces everything.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Created(facts) => self.clone_from(facts),
            Change::Status { status, native } => {
                self.status = *status;
                self.native_status.clone_from(native);
            }
            Change::Blocked(reason) => self.flag = Some(reason.clone().unwrap_or_default()),
            Change::Unblocked => self.flag = None,
            Change::BlockedByLinks(reason) => self.blocked_by_links = Some(reason.clone()),
            Change::UnblockedByLinks => self.blocked_by_links = None,
            Change::Assigned(to) => self.assignee.clone_from(to),
            Change::Estimated(to) => self.estimate = *to,
            Change::Sprints(to) => self.sprints.clone_from(to),
            Change::Parent(to) => self.parent.clone_from(to),
            Change::Titled(to) => self.title.clone_from(to),
            Change::Typed { task_type, native } => {
                self.task_type = *task_type;
                self.native_type.clone_from(native);
            }
            Change::Prioritised(to) => self.priority.clone_from(to),
            Change::Labelled(to) => self.labels.clone_from(to),
            Change::Due(to) => self.due.clone_from(to),
            Change::Moved { key, project } => {
                self.key.clone_from(key);
                self.project.clone_from(project);
            }
            Change::Progress(percent) => self.progress = Some(*percent),
            Change::Attributes(changed) => self.set_attributes(changed),
            Change::Commented(_)
            | Change::Linked { .. }
            | Change::Artifact(_)
            | Change::StatusArtifact(_)
            | Change::Deleted
            | Change::Restored => {}
        }
    }

    fn set_attributes(&mut self, changed: &[(SmolStr, Option<SmolStr>)]) {
        for (name, value) in changed {
            self.attributes.retain(|(known, _)| known != name);
            self.attributes.extend(value.clone().map(|value| (name.clone(), value)));
        }
        self.attributes.sort();
    }
}

/// A task at one moment of its timeline: the facts, and whether it exists.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// The facts in force. Shared, so that snapshots in which nothing changed cost nothing.
    pub facts: Arc<Facts>,
    /// When it was deleted, if it was.
    pub deleted: Option<Millis>,
    /// What later artifacts need to know of the earlier ones.
    inference_state: InferenceState,
}

impl State {
    fn of(facts: &Facts) -> Self {
        Self { facts: Arc::new(facts.clone()), deleted: None, inference_state: InferenceState::default() }
    }

    /// The state at the creation, before any other event; `None` when the timeline does not begin with it.
    pub fn first(timeline: &[StoredEvent]) -> Option<Self> {
        first(timeline).map(|(facts, _)| Self::of(facts))
    }

    /// Applies one event. Returns the change that an artifact made, if it moved the task.
    pub fn apply(&mut self, event: &Event) -> Option<Change> {
        match &event.change {
            Change::Deleted => self.deleted = Some(event.at),
            Change::Restored => self.deleted = None,
            Change::StatusArtifact(artifact) => {
                let step = self
                    .deleted
                    .is_none()
                    .then(|| inference::step(&self.facts, &self.inference_state, artifact))
                    .flatten();
                self.inference_state.record(artifact, step.as_ref());
                if let Some(step) = &step {
                    self.change(step);
                }
                return step;
            }
            change if change.changes_facts() => {
                self.change(change);
                if matches!(change, Change::Blocked(_) | Change::Unblocked) {
                    self.inference_state.clear_failed_build();
                }
            }
            _ => {}
        }
        None
    }

    /// Changes the facts. A finished task is no longer blocked by its failed checks.
    fn change(&mut self, change: &Change) {
        let facts = Arc::make_mut(&mut self.facts);
        facts.apply(change);
        if facts.status.is_finished() && self.inference_state.clear_failed_build() {
            facts.flag = None;
        }
    }

    /// The effective status, unless the task is deleted.
    fn status(&self) -> Option<Status> {
        self.deleted.is_none().then(|| self.facts.effective_status())
    }
}

/// The first facts of a task. Every stored timeline begins with [`Change::Created`]; `None` for any other.
pub fn first(timeline: &[StoredEvent]) -> Option<(&Facts, Millis)> {
    timeline.first().and_then(|stored| match &stored.event.change {
        Change::Created(facts) => Some((&**facts, stored.event.at)),
        _ => None,
    })
}

/// The task as it is after its whole timeline.
pub fn last(timeline: &[StoredEvent]) -> Option<State> {
    at(timeline, Millis(i64::MAX))
}

/// The task as it was at `moment`, including the events of that millisecond. Before its creation it is as created.
pub(crate) fn at(timeline: &[StoredEvent], moment: Millis) -> Option<State> {
    let mut state = State::first(timeline)?;
    for stored in timeline[1..].iter().take_while(|stored| stored.event.at <= moment) {
        state.apply(&stored.event);
    }
    Some(state)
}

/// The task as the tool reports it: after its whole timeline, without what was derived from artifacts and links.
pub(crate) fn reported(timeline: &[StoredEvent]) -> Option<State> {
    let mut state = State::first(timeline)?;
    for stored in timeline[1..].iter().filter(|stored| stored.event.change.is_from_tool()) {
        state.apply(&stored.event);
    }
    Some(state)
}

/// The order of a timeline: by time, creation first, derived events last and by id. So the same events make the same
/// timeline in whatever order they arrive; the tool's own events of one millisecond stay in the tool's order.
pub(crate) fn order(stored: &StoredEvent) -> (Millis, bool, Option<crate::EventId>) {
    let Event { at, change, id, .. } = &stored.event;
    (*at, !matches!(change, Change::Created(_)), (!change.is_from_tool()).then_some(*id))
}

/// Inserts an event after everything of the same rank.
pub(crate) fn insert(timeline: &mut Vec<StoredEvent>, stored: StoredEvent) {
    let place = timeline.partition_point(|other| order(other) <= order(&stored));
    timeline.insert(place, stored);
}

/// A task after all events of one millisecond.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The millisecond.
    pub at: Millis,
    /// The greatest journal number among those events.
    pub seq: u64,
    /// The state after them.
    pub state: State,
    /// Whether work had begun after one of them: a tool can take a task through several statuses in one millisecond.
    begun: bool,
}

impl Snapshot {
    /// Applies the events of one millisecond.
    fn after(group: &[StoredEvent], state: &mut State) -> Self {
        let begun = group.iter().fold(false, |begun, stored| {
            state.apply(&stored.event);
            begun || state.facts.status.is_wip(true)
        });
        let seq = group.iter().map(|stored| stored.seq).max().unwrap_or_default();
        let at = group.first().map_or(Millis(0), |stored| stored.event.at);
        Self { at, seq, state: state.clone(), begun }
    }
}

/// A whole timeline, folded once: phases, finishes and durations are read from it.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskHistory {
    /// Oldest first; the first is the creation.
    snapshots: Vec<Snapshot>,
}

impl TaskHistory {
    /// Folds a timeline; `None` when it does not begin with a creation.
    pub fn new(timeline: &[StoredEvent]) -> Option<Self> {
        let mut state = State::first(timeline)?;
        let groups = timeline.chunk_by(|one, next| one.event.at == next.event.at);
        Some(Self { snapshots: groups.map(|group| Snapshot::after(group, &mut state)).collect() })
    }

    /// Its snapshots, oldest first; never empty.
    pub fn snapshots(&self) -> &[Snapshot] {
        &self.snapshots
    }

    /// When the task was created.
    pub fn created(&self) -> Millis {
        self.snapshots[0].at
    }

    /// The snapshot in force at a moment; before the creation, the first.
    pub fn at(&self, moment: Millis) -> &Snapshot {
        &self.snapshots[self.snapshots.partition_point(|snapshot| snapshot.at <= moment).max(1) - 1]
    }

    /// The newest snapshot.
    pub fn last(&self) -> &Snapshot {
        self.at(Millis(i64::MAX))
    }

    /// The same, without the snapshots after a moment; the creation always stays.
    pub fn until(&self, moment: Millis) -> Self {
        let known = self.snapshots.partition_point(|snapshot| snapshot.at <= moment).max(1);
        Self { snapshots: self.snapshots[..known].to_vec() }
    }

    /// Cuts the timeline into phases of one effective status, oldest first. A deleted task has no open phase.
    pub fn phases(&self) -> Vec<Phase> {
        let mut phases: Vec<Phase> = Vec::with_capacity(self.snapshots.len().min(16));
        let mut before: Option<&Snapshot> = None;
        for snapshot in &self.snapshots {
            let (was, now) = (before.and_then(|before| before.state.status()), snapshot.state.status());
            if was != now {
                if let (Some(open), Some(before)) = (phases.last_mut().filter(|phase| phase.to.is_none()), before) {
                    open.to = Some(snapshot.at);
                    open.next = Some(now.map_or("deleted", Status::as_str));
                    open.facts = before.state.facts.clone();
                    open.ended_by = Some(snapshot.seq);
                }
                phases.extend(now.map(|status| Phase::open(status, snapshot)));
            }
            before = Some(snapshot);
        }
        if let Some(open) = phases.last_mut().filter(|phase| phase.to.is_none()) {
            open.facts = self.last().state.facts.clone();
        }
        phases
    }

    /// Every time it was finished, oldest first. Going from cancelled to done counts as finishing again.
    pub fn finishes(&self) -> Vec<Finish> {
        let mut finishes: Vec<Finish> = Vec::new();
        let mut was = None;
        for snapshot in &self.snapshots {
            let status = snapshot.state.facts.status;
            if status.is_finished() && was != Some(status) {
                let cycle = u32::try_from(finishes.len()).unwrap_or(u32::MAX).saturating_add(1);
                let facts = snapshot.state.facts.clone();
                finishes.push(Finish { cycle, at: snapshot.at, status, facts, seq: snapshot.seq });
            }
            was = Some(status);
        }
        finishes
    }

    /// When work first started: the first entry into in progress, in review, or a workflow status named blocked, which
    /// tools file among those. The blocked *flag* starts nothing.
    pub fn started(&self) -> Option<Millis> {
        self.snapshots.iter().find(|snapshot| snapshot.begun).map(|snapshot| snapshot.at)
    }

    /// Its durations at `now`. It must not hold snapshots after that.
    pub fn summary(&self, now: Millis) -> Summary {
        let (phases, last) = (self.phases(), self.last());
        let mut status_time = BTreeMap::new();
        for phase in phases.iter().filter(|phase| !phase.status.is_finished()) {
            let seconds = phase.to.unwrap_or(now).seconds_since(phase.from).max(0.0);
            *status_time.entry(phase.status).or_insert(0.0) += seconds;
        }
        let finish = self.finishes().pop().filter(|finish| finish.status == last.state.facts.status);
        let finished_as = |status| finish.as_ref().filter(|finish| finish.status == status).map(|finish| finish.at);
        Summary {
            status: last.state.facts.effective_status(),
            status_since: phases.last().map_or(self.created(), |phase| phase.from),
            created: self.created(),
            started: self.started(),
            completed: finished_as(Status::Done),
            cancelled: finished_as(Status::Cancelled),
            blocked_time: status_time.get(&Status::Blocked).copied().unwrap_or(0.0),
            status_time,
            last_activity: last.at,
            state: last.state.clone(),
        }
    }
}

/// An interval of one effective status.
#[derive(Debug, Clone, PartialEq)]
pub struct Phase {
    /// The effective status.
    pub status: Status,
    /// When it was entered.
    pub from: Millis,
    /// When it was left; `None` while it lasts. A finished status has no end.
    pub to: Option<Millis>,
    /// The status that followed, or `deleted`.
    pub next: Option<&'static str>,
    /// The facts in force when it was left (or now).
    pub facts: Arc<Facts>,
    /// Why it was blocked, if it was and a reason is known.
    pub reason: Option<String>,
    /// The journal number of the event that ended it, which the export compares with a signal's position.
    pub ended_by: Option<u64>,
}

impl Phase {
    fn open(status: Status, snapshot: &Snapshot) -> Self {
        let facts = snapshot.state.facts.clone();
        let reason = (status == Status::Blocked).then(|| reason(&facts));
        Self { status, from: snapshot.at, to: None, next: None, facts, reason, ended_by: None }
    }
}

/// The start, end and status of each phase: what [`TaskHistory::phases`] returns without the facts in force, which are most of its
/// cost.
pub fn phase_intervals(timeline: &[StoredEvent]) -> Vec<(Millis, Option<Millis>, Status)> {
    let mut phase_intervals: Vec<(Millis, Option<Millis>, Status)> = Vec::new();
    let Some(mut state) = State::first(timeline) else { return phase_intervals };
    let mut was = None;
    for group in timeline.chunk_by(|one, next| one.event.at == next.event.at) {
        group.iter().for_each(|stored| drop(state.apply(&stored.event)));
        let (at, is) = (group[0].event.at, state.status());
        if was != is {
            if let Some(open) = phase_intervals.last_mut().filter(|(_, until, _)| until.is_none()) {
                open.1 = Some(at);
            }
            phase_intervals.extend(is.map(|status| (at, None, status)));
        }
        was = is;
    }
    phase_intervals
}

/// Why a blocked task is blocked: the flag's reason, else the blockers by link, else the name of the status.
pub fn reason(facts: &Facts) -> String {
    match facts.flag.as_deref() {
        Some("") => "flagged".to_owned(),
        Some(text) => text.to_owned(),
        None => facts.blocked_by_links.as_ref().unwrap_or(&facts.native_status).to_string(),
    }
}

/// One time a task was finished.
#[derive(Debug, Clone, PartialEq)]
pub struct Finish {
    /// 1 for the first time, 2 after it was reopened and finished again, …
    pub cycle: u32,
    /// When it was finished.
    pub at: Millis,
    /// Done or cancelled.
    pub status: Status,
    /// The facts in force then.
    pub facts: Arc<Facts>,
    /// The journal number of the event that finished it.
    pub seq: u64,
}

impl Summary {
    /// How much of a task without descendants is done, in percent: all of a done one, else what was reported of it.
    pub fn leaf_percent(&self) -> f64 {
        if self.status == Status::Done { 100.0 } else { self.state.facts.progress.unwrap_or(0.0) }
    }
}

/// The state and durations of a task at one moment, as `model.md` defines them. Durations are seconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The facts, and whether the task exists.
    pub state: State,
    /// The effective status.
    pub status: Status,
    /// When the effective status was entered.
    pub status_since: Millis,
    /// When it was created.
    pub created: Millis,
    /// When work on it first started.
    pub started: Option<Millis>,
    /// Last entry into done, when it is done.
    pub completed: Option<Millis>,
    /// Last entry into cancelled, when it is cancelled.
    pub cancelled: Option<Millis>,
    /// Seconds in each unfinished effective status.
    pub status_time: BTreeMap<Status, f64>,
    /// Seconds blocked while not finished.
    pub blocked_time: f64,
    /// The time of the last event.
    pub last_activity: Millis,
}

impl Summary {
    /// Whether it is neither finished nor deleted.
    pub fn is_open(&self) -> bool {
        self.state.deleted.is_none() && !self.status.is_finished()
    }

    /// Completed − created, in seconds.
    pub fn lead_time(&self) -> Option<f64> {
        self.completed.map(|completed| completed.seconds_since(self.created))
    }

    /// Completed − started, in seconds; `None` when it never started, or only after it was completed.
    pub fn cycle_time(&self) -> Option<f64> {
        let (completed, started) = (self.completed?, self.started?);
        (started <= completed).then(|| completed.seconds_since(started))
    }
}

/// The durations of a task at `now`. Later events are ignored, except that the creation always counts.
pub fn summary(timeline: &[StoredEvent], now: Millis) -> Option<Summary> {
    let known = timeline.partition_point(|stored| stored.event.at <= now).max(1);
    Some(TaskHistory::new(timeline.get(..known)?)?.summary(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{facts, stored, to};

    fn timeline() -> Vec<StoredEvent> {
        vec![
            stored(0, Change::Created(Box::new(facts(Status::Todo)))),
            stored(7_200_000, to(Status::InProgress)),
            stored(10_000_000, Change::Blocked(Some("vendor".into()))),
            stored(11_000_000, to(Status::InReview)),
            stored(12_000_000, Change::Unblocked),
            stored(13_000_000, to(Status::Done)),
        ]
    }

    #[test]
    fn a_timeline_is_cut_into_phases_of_the_effective_status() {
        let cut: Vec<_> = TaskHistory::new(&timeline())
            .unwrap()
            .phases()
            .iter()
            .map(|p| (p.status, p.from.0, p.to.map(|t| t.0), p.next))
            .collect();
        let bare: Vec<_> =
            TaskHistory::new(&timeline()).unwrap().phases().iter().map(|p| (p.from, p.to, p.status)).collect();
        assert_eq!(phase_intervals(&timeline()), bare);
        assert_eq!(
            cut,
            vec![
                (Status::Todo, 0, Some(7_200_000), Some("in_progress")),
                (Status::InProgress, 7_200_000, Some(10_000_000), Some("blocked")),
                (Status::Blocked, 10_000_000, Some(12_000_000), Some("in_review")),
                (Status::InReview, 12_000_000, Some(13_000_000), Some("done")),
                (Status::Done, 13_000_000, None, None),
            ]
        );
    }

    #[test]
    fn durations_follow_from_the_phases() {
        let summary = summary(&timeline(), Millis(20_000_000)).unwrap();
        assert_eq!(summary.started, Some(Millis(7_200_000)));
        assert_eq!(summary.completed, Some(Millis(13_000_000)));
        assert_eq!(summary.lead_time(), Some(13_000.0));
        assert_eq!(summary.cycle_time(), Some(5_800.0));
        assert!((summary.blocked_time - 2_000.0).abs() < 1e-9);
        assert_eq!(summary.status_time.get(&Status::InReview), Some(&1_000.0));
        assert!(!summary.status_time.contains_key(&Status::Done));
    }

    #[test]
    fn a_flag_starts_nothing_and_a_status_named_blocked_does() {
        let mut timeline = vec![
            stored(0, Change::Created(Box::new(facts(Status::Todo)))),
            stored(1_000, Change::Blocked(None)),
            stored(2_000, Change::Unblocked),
        ];
        assert_eq!(summary(&timeline, Millis(4_000)).unwrap().started, None);
        timeline.push(stored(5_000, to(Status::Blocked)));
        assert_eq!(summary(&timeline, Millis(7_000)).unwrap().started, Some(Millis(5_000)));
    }

    #[test]
    fn work_that_began_and_ended_in_one_millisecond_was_begun() {
        let timeline = [
            stored(0, Change::Created(Box::new(facts(Status::Todo)))),
            stored(1_000, to(Status::InProgress)),
            stored(1_000, to(Status::Done)),
        ];
        let summary = summary(&timeline, Millis(4_000)).unwrap();
        assert_eq!((summary.started, summary.cycle_time()), (Some(Millis(1_000)), Some(0.0)));
    }

    #[test]
    fn a_reopened_task_is_not_completed_and_finishes_again_in_the_next_cycle() {
        let mut timeline = timeline();
        timeline.push(stored(14_000_000, to(Status::InProgress)));
        assert_eq!(summary(&timeline, Millis(15_000_000)).unwrap().completed, None);
        timeline.push(stored(16_000_000, to(Status::Cancelled)));
        let cycles: Vec<_> =
            TaskHistory::new(&timeline).unwrap().finishes().iter().map(|f| (f.cycle, f.status)).collect();
        assert_eq!(cycles, vec![(1, Status::Done), (2, Status::Cancelled)]);
        let summary = summary(&timeline, Millis(17_000_000)).unwrap();
        assert_eq!((summary.completed, summary.cancelled), (None, Some(Millis(16_000_000))));
    }

    #[test]
    fn later_events_are_ignored() {
        let summary = summary(&timeline(), Millis(10_500_000)).unwrap();
        assert_eq!((summary.status, summary.completed), (Status::Blocked, None));
        assert!((summary.blocked_time - 500.0).abs() < 1e-9);
    }

    #[test]
    fn a_deleted_task_has_no_open_phase() {
        let mut timeline = timeline();
        timeline.truncate(2);
        timeline.push(stored(8_000_000, Change::Deleted));
        let last = TaskHistory::new(&timeline).unwrap().phases().pop().unwrap();
        assert_eq!((last.status, last.to, last.next), (Status::InProgress, Some(Millis(8_000_000)), Some("deleted")));
    }

    #[test]
    fn events_of_one_millisecond_count_together() {
        let timeline = vec![
            stored(0, Change::Created(Box::new(facts(Status::Todo)))),
            stored(1_000, Change::Blocked(None)),
            stored(2_000, Change::Unblocked),
            stored(2_000, to(Status::Done)),
        ];
        let cut: Vec<_> = TaskHistory::new(&timeline).unwrap().phases().iter().map(|p| p.status).collect();
        assert_eq!(cut, vec![Status::Todo, Status::Blocked, Status::Done]);
    }
}
