//! The view of one task.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::events::{self, EventView};
use super::viewer::Viewer;
use crate::export::lineage;
use crate::model::agents::{self, AgentAssisted};
use crate::model::blocking::{self, BlockerHistory};
use crate::model::error::Result;
use crate::model::interval::{self, Interval};
use crate::model::time::Millis;
use crate::model::timeline::{self, Summary};
use crate::model::{SmolStr, SprintState, Status, TaskKey, TaskRecord, TaskType};

/// A task, as `contextcore tasks --output json` prints it. Durations are seconds; an absent fact is null.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskView {
    /// The source's name in the config.
    pub source: String,
    /// The kind of tool; null when the configuration no longer has the source.
    pub tool: Option<String>,
    /// The tool's immutable id.
    pub native_id: String,
    /// The key people use.
    pub id: String,
    /// Its page in the tool.
    pub url: String,
    /// The tool's project.
    pub project: String,
    /// The portfolio project, or the tool's project when none includes it.
    pub project_id: String,
    /// The common type.
    #[serde(rename = "type")]
    pub task_type: TaskType,
    /// The tool's own name of the type.
    pub native_type: String,
    /// The title.
    pub title: String,
    /// The effective status.
    pub status: Status,
    /// The tool's own name of the workflow status.
    pub native_status: String,
    /// Whether an impediment holds it up.
    pub blocked: bool,
    /// The priority.
    pub priority: Option<String>,
    /// Who it is assigned to.
    pub assignee: Option<String>,
    /// Who asked for it.
    pub reporter: Option<String>,
    /// Labels, sorted.
    pub labels: Vec<String>,
    /// Points.
    pub estimate: Option<f64>,
    /// The parent's key.
    pub parent: Option<String>,
    /// The key of the epic-level ancestor, or else of the topmost one, or its own.
    pub root: String,
    /// The native id of its active sprint, else of a future one, else of the one closed last.
    pub sprint: Option<String>,
    /// All sprints it is in, by native id.
    pub sprints: Vec<String>,
    /// The due date.
    pub due: Option<String>,
    /// When it was created.
    pub created: Millis,
    /// First entry into a status of the in-progress kind.
    pub started: Option<Millis>,
    /// Last entry into done, when it is done.
    pub completed: Option<Millis>,
    /// Last entry into cancelled, when it is cancelled.
    pub cancelled: Option<Millis>,
    /// The tool's time of the last change.
    pub updated: Millis,
    /// When the tool no longer had it.
    pub deleted: Option<Millis>,
    /// Created to completed.
    pub lead_time: Option<f64>,
    /// Started to completed.
    pub cycle_time: Option<f64>,
    /// How long it was blocked while unfinished.
    pub blocked_time: f64,
    /// How long it was linked to an open blocker while unfinished.
    pub waiting_time: f64,
    /// Time in each unfinished status.
    pub status_time: BTreeMap<Status, f64>,
    /// The keys of all tasks linked as its blockers.
    pub blocked_by: Vec<String>,
    /// The blockers that are still open.
    pub waiting_on: Vec<String>,
    /// How much of its descendants is done, by estimate; of a leaf 0, 100 or what was reported.
    pub percent_complete: f64,
    /// Attributes that its source reports beside these, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// Whether an agent took part, as far as evidence shows.
    #[serde(default)]
    pub agent_assisted: AgentAssisted,
    /// Its direct children.
    pub subtasks: Subtasks,
    /// The history trace that holds it.
    pub trace_id: String,
    /// Its anchor span there.
    pub span_id: String,
    /// Its events, oldest first.
    pub timeline: Vec<EventView>,
}

/// The number of direct children. Cancelled and deleted ones do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subtasks {
    /// All of them.
    pub total: i64,
    /// The done ones.
    pub completed: i64,
}

/// The blockers of a task, and how long it waited for them.
#[derive(Debug, Default)]
struct Waiting {
    blocked_by: Vec<String>,
    waiting_on: Vec<String>,
    /// When it and one of its linked blockers were unfinished; an open interval ends now.
    intervals: Vec<Interval>,
}

impl Viewer<'_> {
    /// Reads at once what the views of these tasks need.
    pub(super) fn read_ahead(&self, keys: &[TaskKey]) -> Result<()> {
        self.cache.read_ahead(keys)?;
        self.cache.read_rollups_ahead(keys)?;
        self.cache.read_exported_ahead(keys)?;
        self.cache.read_parts_ahead(keys)
    }

    /// A task; `None` when the store does not hold it.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Store`] when the store cannot be read.
    pub fn task(&self, key: &TaskKey) -> Result<Option<TaskView>> {
        let Some(record) = self.cache.record(key)? else { return Ok(None) };
        // A tool's clock may run a little ahead of ours: its latest event is in the past all the same.
        let last = record.timeline.last().map_or(self.now, |stored| stored.event.at);
        let now = self.now.max(last);
        timeline::summary(&record.timeline, now).map(|summary| self.view(key, &record, summary, now)).transpose()
    }

    fn view(&self, key: &TaskKey, record: &TaskRecord, summary: Summary, now: Millis) -> Result<TaskView> {
        let timeline = events::events(record, &|parent| self.parent_id(&key.source, parent))?;
        let waiting = self.waiting(key, record, now)?;
        let links_block = self.links_block(&key.source);
        let rollup = self.cache.rollup(key)?;
        let leaf = summary.leaf_percent();
        let (lead_time, cycle_time) = (summary.lead_time(), summary.cycle_time());
        let facts = std::sync::Arc::unwrap_or_clone(summary.state.facts);
        let ids = lineage::current(&self.cache, key)?;
        Ok(TaskView {
            tool: self.tool(&key.source),
            project_id: self.project_id(&key.source, &facts.project),
            parent: facts
                .parent
                .as_ref()
                .map(|parent| self.parent_id(&key.source, parent))
                .transpose()?
                .map(Into::into),
            sprint: self.current_sprint(&key.source, &facts.sprints)?,
            percent_complete: rollup.percent_complete().unwrap_or(leaf),
            agent_assisted: agents::assistance(&record.timeline, now),
            subtasks: Subtasks { total: rollup.children, completed: rollup.children_done },
            waiting_time: if links_block { 0.0 } else { interval::seconds(&waiting.intervals) },
            blocked_by: waiting.blocked_by,
            waiting_on: waiting.waiting_on,
            root: self.root_id(key)?.into(),
            source: key.source.to_string(),
            native_id: key.native_id.to_string(),
            url: record.url.clone(),
            reporter: record.reporter.clone(),
            updated: record.updated,
            id: facts.key.into(),
            project: facts.project.into(),
            task_type: facts.task_type,
            native_type: facts.native_type.into(),
            title: facts.title.into(),
            status: summary.status,
            blocked: summary.status == Status::Blocked,
            native_status: facts.native_status.into(),
            priority: facts.priority.map(Into::into),
            assignee: facts.assignee.map(Into::into),
            labels: facts.labels.into_iter().map(Into::into).collect(),
            estimate: facts.estimate,
            sprints: facts.sprints.into_iter().map(Into::into).collect(),
            attributes: facts.attributes.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
            due: facts.due.map(Into::into),
            created: summary.created,
            started: summary.started,
            completed: summary.completed,
            cancelled: summary.cancelled,
            deleted: summary.state.deleted,
            lead_time,
            cycle_time,
            blocked_time: summary.blocked_time,
            status_time: summary.status_time,
            trace_id: ids.map(|(trace, _)| trace.to_string()).unwrap_or_default(),
            span_id: ids.map(|(_, span)| span.to_string()).unwrap_or_default(),
            timeline,
        })
    }

    /// The current sprint among those a task is in.
    fn current_sprint(&self, source: &str, sprints: &[SmolStr]) -> Result<Option<String>> {
        let mut ranked = Vec::new();
        for (place, id) in sprints.iter().enumerate() {
            let record = self.sprint_record(&TaskKey::new(source, id.as_str()))?;
            let rank = match record.as_deref().map(|record| &record.facts) {
                Some(facts) if facts.state == SprintState::Active => (3, facts.start, place),
                // Of future sprints the next one, which is listed first.
                Some(facts) if facts.state == SprintState::Future => (2, None, sprints.len() - place),
                Some(facts) => (1, facts.completed.or(facts.end).or(facts.start), place),
                None => (0, None, place),
            };
            ranked.push((rank, id));
        }
        Ok(ranked.into_iter().max().map(|(_, id)| id.to_string()))
    }

    /// Whether a task that blocks it is unfinished.
    pub(super) fn waits(&self, key: &TaskKey, record: &TaskRecord) -> Result<bool> {
        Ok(!self.waiting(key, record, self.now)?.waiting_on.is_empty())
    }

    fn waiting(&self, key: &TaskKey, record: &TaskRecord, now: Millis) -> Result<Waiting> {
        let all = blocking::blocker_histories(record, now, |id, name| {
            let found = self.linked_task(&key.source, id, name)?;
            Ok(found.map(|known| (known.id.clone(), known.unfinished.clone())))
        })?;
        let names =
            |all: &mut dyn Iterator<Item = &BlockerHistory>| all.map(|blocking| blocking.name.to_string()).collect();
        Ok(Waiting {
            blocked_by: names(&mut all.iter().filter(|blocking| blocking.now)),
            waiting_on: names(&mut all.iter().filter(|blocking| blocking.is_open())),
            intervals: waiting_intervals(record, &all, now),
        })
    }
}

/// When the task and one of its blockers were unfinished while the link between them held, up to `now`.
fn waiting_intervals(record: &TaskRecord, all: &[BlockerHistory], now: Millis) -> Vec<Interval> {
    let Some((_, created)) = timeline::first(&record.timeline) else { return Vec::new() };
    let held = blocking::blocked_intervals(created, all);
    if held.is_empty() {
        return held;
    }
    interval::overlap(&interval::overlap(&held, &interval::unfinished(&record.timeline)), &[(created, now)])
}
