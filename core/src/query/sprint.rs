//! The view of one sprint, with its numbers.

use serde::{Deserialize, Serialize};

use super::viewer::Viewer;
use crate::model::error::Result;
use crate::model::sprint::SprintHistory;
use crate::model::time::Millis;
use crate::model::totals::points;
use crate::model::{SprintRecord, SprintState, StoredEvent, TaskKey};

/// A sprint, as `contextcore sprints --output json` prints it. Amounts are points unless they end in `_tasks`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SprintView {
    /// The source's name in the config.
    pub source: String,
    /// The tool's immutable id.
    pub native_id: String,
    /// The same as `native_id`: sprints have no other key.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its goal.
    pub goal: Option<String>,
    /// The tool's project it belongs to.
    pub project: Option<String>,
    /// The portfolio project, or the tool's project when none includes it.
    pub project_id: Option<String>,
    /// Future, active or closed.
    pub state: SprintState,
    /// When it started, or is planned to start.
    pub start: Option<Millis>,
    /// When it is planned to end.
    pub end: Option<Millis>,
    /// When it was closed.
    pub completed: Option<Millis>,
    /// In the sprint when it started.
    pub committed: f64,
    /// Added after the start.
    pub added: f64,
    /// Removed before the end.
    pub removed: f64,
    /// Net change of the estimates of its members.
    pub reestimated: f64,
    /// In the sprint: committed + added − removed + reestimated.
    pub scope: f64,
    /// In the sprint and done.
    pub completed_points: f64,
    /// In the sprint and unfinished when it closed.
    pub carried_over: f64,
    /// In the sprint and unfinished.
    pub remaining: f64,
    /// Tasks in the sprint when it started.
    pub committed_tasks: i64,
    /// Tasks added after the start.
    pub added_tasks: i64,
    /// Tasks removed before the end.
    pub removed_tasks: i64,
    /// Tasks in the sprint and done.
    pub completed_tasks: i64,
    /// Tasks in the sprint and unfinished when it closed.
    pub carried_over_tasks: i64,
    /// Whether the tool keeps the history of its membership.
    pub exact: bool,
    /// One entry per UTC day, at 24:00 UTC; the last is the completion itself (or now).
    pub burndown: Vec<DayView>,
}

/// A sprint at the end of one day. Points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DayView {
    /// The UTC date.
    pub date: String,
    /// In the sprint and unfinished.
    pub remaining: f64,
    /// In the sprint.
    pub scope: f64,
    /// In the sprint and done.
    pub completed: f64,
    /// What would remain on a straight line from the committed points to zero at the end.
    pub ideal: f64,
}

impl Viewer<'_> {
    /// The history of a sprint, from every task that was ever in it.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Store`] when the store cannot be read.
    pub fn sprint_history(&self, key: &TaskKey, record: &SprintRecord) -> Result<SprintHistory> {
        let mut timelines: Vec<Vec<StoredEvent>> = Vec::new();
        for member in self.store.tasks_of(self.store.members(key)) {
            timelines.push(member?.1.timeline);
        }
        Ok(SprintHistory::new(&key.native_id, &record.facts, timelines.iter().map(Vec::as_slice)))
    }

    pub(super) fn sprint(&self, key: &TaskKey, record: &SprintRecord) -> Result<SprintView> {
        let sprint_history = self.sprint_history(key, record)?;
        let facts = &record.facts;
        let tally = sprint_history.at(sprint_history.until(self.now));
        let (carried_over, carried_over_tasks) =
            if facts.state == SprintState::Closed { (tally.remaining, tally.remaining_tasks) } else { (0, 0) };
        Ok(SprintView {
            source: key.source.to_string(),
            native_id: key.native_id.to_string(),
            id: key.native_id.to_string(),
            name: facts.name.clone(),
            goal: facts.goal.clone(),
            project_id: facts.project.as_ref().map(|project| self.project_id(&key.source, project)),
            project: facts.project.clone(),
            state: facts.state,
            start: facts.start,
            end: facts.end,
            completed: facts.completed,
            committed: points(tally.committed),
            added: points(tally.added),
            removed: points(tally.removed),
            reestimated: points(tally.reestimated),
            scope: points(tally.scope),
            completed_points: points(tally.completed),
            carried_over: points(carried_over),
            remaining: points(tally.remaining),
            committed_tasks: tally.committed_tasks,
            added_tasks: tally.added_tasks,
            removed_tasks: tally.removed_tasks,
            completed_tasks: tally.completed_tasks,
            carried_over_tasks,
            exact: facts.exact,
            burndown: burndown(&sprint_history, self.now),
        })
    }
}

fn burndown(sprint_history: &SprintHistory, now: Millis) -> Vec<DayView> {
    let day = |(date, at): (String, Millis)| {
        let tally = sprint_history.at(at);
        DayView {
            date,
            remaining: points(tally.remaining),
            scope: points(tally.scope),
            completed: points(tally.completed),
            ideal: sprint_history.ideal(at),
        }
    };
    sprint_history.days(now).into_iter().map(day).collect()
}
