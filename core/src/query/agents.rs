//! How work flowed with and without agents, as [`crate::model::agent_flow`] counts it: the numbers of the metrics, project by project.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::viewer::Viewer;
use crate::export::completed_lately;
use crate::model::TaskType;
use crate::model::agent_flow::{AgentFlow, GroupFlow, TaskSize};
use crate::model::agents::AgentAssisted;
use crate::model::error::Result;

/// Which project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentFlowQuery {
    /// A portfolio project, or a native one that none includes; case does not matter. Absent: all of which something was completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
}

/// What was completed in a project in the last 90 days, by whether agents took part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentFlowView {
    /// The project.
    pub project: String,
    /// Tasks completed.
    pub completed: u64,
    /// Those of which it is known whether agents took part.
    pub known: u64,
    /// The same in percent; none without any task.
    pub coverage: Option<f64>,
    /// Tasks in groups that are too small to be shown.
    pub hidden: u64,
    /// The groups that are large enough.
    pub groups: Vec<AgentGroupView>,
}

/// Tasks of one type and size with the same part of agents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentGroupView {
    /// Their type.
    #[serde(rename = "type")]
    pub task_type: TaskType,
    /// Their size.
    pub size: TaskSize,
    /// Whether agents took part.
    pub agent_assisted: AgentAssisted,
    /// How many.
    pub tasks: u64,
    /// Start to completion; none where too few were ever started.
    pub cycle_time: Option<Quantiles>,
    /// How long they were blocked.
    pub blocked_time: Quantiles,
    /// The share that was reopened or sent back from review, in percent.
    pub rework: f64,
}

/// The middle and the long end, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Half of them are no longer.
    pub p50: f64,
    /// 85 % of them are no longer.
    pub p85: f64,
}

impl Viewer<'_> {
    /// How work flowed by whether agents took part, by project.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] when there is no such project, [`crate::ErrorKind::Store`] when the store cannot be read.
    pub fn agent_flow(&self, query: &AgentFlowQuery) -> Result<Vec<AgentFlowView>> {
        let mut samples = BTreeMap::new();
        completed_lately(self.store, self.now, |source, project, sample| {
            samples.entry(self.project_id(source, project)).or_insert_with(Vec::new).push(sample);
        })?;
        let is_meant = |id: &str| query.project.as_ref().is_none_or(|typed| typed.eq_ignore_ascii_case(id));
        let wanted = samples.into_iter().filter(|(id, _)| is_meant(id));
        let found: Vec<_> = wanted.map(|(id, samples)| AgentFlowView::of(id, &AgentFlow::of(&samples))).collect();
        match &query.project {
            Some(typed) if found.is_empty() => {
                self.check_project(Some(typed))?;
                Ok(vec![AgentFlowView::of(typed.clone(), &AgentFlow::default())])
            }
            _ => Ok(found),
        }
    }
}

impl AgentFlowView {
    fn of(project: String, flow: &AgentFlow) -> Self {
        Self {
            project,
            completed: flow.completed,
            known: flow.known,
            coverage: flow.coverage(),
            hidden: flow.hidden,
            groups: flow.groups.iter().map(AgentGroupView::of).collect(),
        }
    }
}

impl AgentGroupView {
    fn of(flow: &GroupFlow) -> Self {
        Self {
            task_type: flow.group.task_type,
            size: flow.group.size,
            agent_assisted: flow.group.assisted,
            tasks: flow.tasks,
            cycle_time: flow.cycle_time.map(Quantiles::of),
            blocked_time: Quantiles::of(flow.blocked_time),
            rework: flow.rework(),
        }
    }
}

impl Quantiles {
    #[expect(clippy::cast_precision_loss, reason = "durations are far below 2^53")]
    fn of([p50, p85]: [i64; 2]) -> Self {
        Self { p50: p50 as f64 / 1_000.0, p85: p85 as f64 / 1_000.0 }
    }
}
