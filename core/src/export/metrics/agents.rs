//! The series of agent-assisted work: how it flowed, project by project.
//!
//! They need every task that was completed in the last 90 days, which is more than a push reads otherwise. So what they come to
//! is stored, and counted anew when something changed; where that are many tasks, once an hour.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Scope;
use super::points::{Points, Values};
use super::project::of_project;
use crate::export::context::ExportContext;
use crate::export::message::Attributes;
use crate::export::series::ProjectSeries;
use crate::model::agent_flow::{self, AgentFlow, GroupFlow, Sample};
use crate::model::error::Result;
use crate::model::semconv as names;
use crate::model::time::{HOUR, Millis};
use crate::model::timeline::TaskHistory;
use crate::store::Store;

/// The group of metadata that holds the numbers, and their name in it.
const METADATA: (&str, &str) = ("agents", "flow");
/// So many tasks are counted at every change.
const FEW: u64 = 1_000;
/// The names of the quantiles that a group has.
const QUANTILES: [&str; 2] = ["0.5", "0.85"];

/// The numbers of all projects, and what they were counted from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Counted {
    at: Millis,
    /// The newest journal number.
    head: u64,
    /// How many tasks were read.
    read: u64,
    projects: BTreeMap<String, AgentFlow>,
}

impl Counted {
    /// Whether these numbers still do.
    fn is_enough(&self, projects: &BTreeMap<String, ProjectSeries>, head: u64, now: Millis) -> bool {
        let is_young = (self.at.0..self.at.0.saturating_add(HOUR)).contains(&now.0);
        let is_known = projects.keys().all(|id| self.projects.contains_key(id));
        is_young && is_known && (self.head == head || self.read > FEW)
    }
}

/// The series of each of these projects, which are those of now: a replay has none, and they are of all sources.
pub(super) fn points(
    store: &Store,
    context: &ExportContext<'_>,
    projects: &BTreeMap<String, ProjectSeries>,
    now: Millis,
    scope: Scope<'_>,
) -> Result<BTreeMap<String, Vec<Points>>> {
    if scope.everything || scope.source.is_some() || projects.is_empty() {
        return Ok(BTreeMap::new());
    }
    let head = store.head()?;
    let stored: Option<Counted> = store.metadata(METADATA.0, METADATA.1)?;
    let counted = match stored {
        Some(counted) if counted.is_enough(projects, head, now) => counted,
        stored => {
            let counted = Counted { head, ..count(store, context, projects, now)? };
            // What is counted at every change is written when it came to something else: each commit is a change.
            if stored
                .is_none_or(|stored| stored.read > FEW || counted.read > FEW || stored.projects != counted.projects)
            {
                let mut transaction = store.begin()?;
                transaction.put_metadata(METADATA.0, METADATA.1, &counted)?;
                transaction.commit()?;
            }
            counted
        }
    };
    let wanted = counted.projects.into_iter().filter(|(id, _)| projects.contains_key(id));
    Ok(wanted.map(|(id, flow)| (id.clone(), of_flow(&id, &flow, now))).collect())
}

fn count(
    store: &Store,
    context: &ExportContext<'_>,
    projects: &BTreeMap<String, ProjectSeries>,
    now: Millis,
) -> Result<Counted> {
    let mut samples: BTreeMap<String, Vec<Sample>> = projects.keys().map(|id| (id.clone(), Vec::new())).collect();
    let read = completed_lately(store, now, |source, project, sample| {
        if let Some(samples) = samples.get_mut(&context.project_id(source, project)) {
            samples.push(sample);
        }
    })?;
    let projects = samples.into_iter().map(|(id, samples)| (id, AgentFlow::of(&samples))).collect();
    Ok(Counted { at: now, head: 0, read, projects })
}

/// Visits what was completed lately, each with its source and native project. Returns how many tasks were read for it.
pub(crate) fn completed_lately(store: &Store, now: Millis, mut visit: impl FnMut(&str, &str, Sample)) -> Result<u64> {
    let mut read = 0;
    for item in store.tasks_of(store.ended_since(now.plus(-agent_flow::WINDOW))) {
        let (key, record) = item?;
        read += 1;
        let Some(history) = TaskHistory::new(&record.timeline) else { continue };
        if let Some(sample) = agent_flow::sample(&history, &record.timeline, now) {
            visit(&key.source, &history.last().state.facts.project, sample);
        }
    }
    Ok(read)
}

/// The points of one project; none where nothing was completed.
#[expect(clippy::cast_precision_loss, reason = "numbers of tasks are far below 2^53")]
fn of_flow(project_id: &str, flow: &AgentFlow, now: Millis) -> Vec<Points> {
    let Some(coverage) = flow.coverage() else { return Vec::new() };
    let point = |(metric, attributes, value): (names::Metric, Attributes, f64)| {
        of_project(project_id, metric, attributes, Values::Numbers(vec![(now, value)]))
    };
    let whole = [
        (names::M_AGENT_COVERAGE, Attributes::new(), coverage),
        (names::M_AGENT_COMPLETED, Attributes::new(), flow.completed as f64),
        (names::M_AGENT_HIDDEN, Attributes::new(), flow.hidden as f64),
    ];
    whole.into_iter().chain(flow.groups.iter().flat_map(of_group)).map(point).collect()
}

#[expect(clippy::cast_precision_loss, reason = "durations are far below 2^53")]
fn of_group(flow: &GroupFlow) -> Vec<(names::Metric, Attributes, f64)> {
    let group = || {
        Attributes::new()
            .text(names::TASK_AGENT_ASSISTED, flow.group.assisted.as_str())
            .text(names::TASK_TYPE, flow.group.task_type.as_str())
            .text(names::TASK_SIZE, flow.group.size.as_str())
    };
    let mut all =
        vec![(names::M_AGENT_TASKS, group(), flow.tasks as f64), (names::M_AGENT_REWORK, group(), flow.rework())];
    let durations =
        [(names::M_AGENT_CYCLE_TIME, flow.cycle_time), (names::M_AGENT_BLOCKED_TIME, Some(flow.blocked_time))];
    for (metric, values) in durations {
        let values = QUANTILES.into_iter().zip(values.into_iter().flatten());
        all.extend(values.map(|(name, value)| (metric, group().text(names::QUANTILE, name), value as f64 / 1_000.0)));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::series::Axis;
    use crate::model::agents::{AgentAssisted, artifact};
    use crate::model::samples::{facts, stored, to};
    use crate::model::time::DAY;
    use crate::model::{Change, Facts, Status, TaskKey, TaskRecord};
    use std::sync::Arc;

    use crate::store::MemoryKv;

    const NOW: Millis = Millis(400 * DAY);

    fn put(store: &Store, count: usize, assisted: AgentAssisted) {
        let mut transaction = store.begin().unwrap();
        for n in 0..count {
            let assignee = Some(format!("person {}", n % 6).into());
            let first = Facts { assignee, project: "SHOP".into(), ..facts(Status::Todo) };
            let timeline = vec![
                stored(300 * DAY, Change::Created(Box::new(first))),
                stored(350 * DAY, to(Status::InProgress)),
                stored(351 * DAY, Change::Artifact(artifact(assisted, "Claude", ""))),
                stored(352 * DAY, to(Status::Done)),
            ];
            let (url, blockers) = (String::new(), vec![]);
            let record = TaskRecord { url, reporter: None, updated: NOW, blockers, absences: 0, timeline };
            transaction.put_task(&TaskKey::new("a", format!("{assisted}{n}")), None, &record, true).unwrap();
        }
        transaction.commit().unwrap();
    }

    fn numbers(store: &Store, now: Millis) -> Vec<(String, f64)> {
        let config = crate::config::parse("sources: []", "x.yaml", &[]).unwrap();
        let context = ExportContext::new(&config);
        let axis = Axis::new(None, DAY, now, now);
        let projects = BTreeMap::from([("SHOP".to_owned(), ProjectSeries::new(axis))]);
        let all = points(store, &context, &projects, now, Scope::default()).unwrap();
        let all = all.into_values().flatten().map(Points::into_metric).collect::<Vec<_>>();
        let text = crate::export::exposition::text(&super::super::merged(all));
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| line.rsplit_once(' ').unwrap())
            .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
            .collect()
    }

    fn value(numbers: &[(String, f64)], name: &str) -> Option<f64> {
        numbers.iter().find(|(found, _)| found.starts_with(name)).map(|(_, value)| *value)
    }

    #[test]
    fn groups_that_are_large_enough_have_numbers_and_all_count_for_the_coverage() {
        let store = Store::over(Arc::new(MemoryKv::default())).unwrap();
        put(&store, 30, AgentAssisted::Assisted);
        put(&store, 10, AgentAssisted::Unknown);
        let found = numbers(&store, NOW);
        assert_eq!(value(&found, "agent_assisted_coverage_percent"), Some(75.0));
        assert_eq!(value(&found, "agent_assisted_hidden"), Some(10.0));
        let own = r#"{project_id="SHOP",task_agent_assisted="assisted",task_type="story",task_size="unestimated""#;
        assert_eq!(value(&found, &format!("agent_assisted_tasks{own}")), Some(30.0));
        assert_eq!(
            value(&found, &format!("agent_assisted_cycle_time_seconds{own},quantile=\"0.85\"")),
            Some(2.0 * 86_400.0)
        );
        assert_eq!(value(&found, &format!("agent_assisted_rework_percent{own}")), Some(0.0));
        assert!(!found.iter().any(|(name, _)| name.contains("unknown")), "{found:?}");
    }

    #[test]
    fn the_numbers_follow_a_change_and_time() {
        let store = Store::over(Arc::new(MemoryKv::default())).unwrap();
        put(&store, 30, AgentAssisted::Assisted);
        assert_eq!(value(&numbers(&store, NOW), "agent_assisted_completed"), Some(30.0));
        put(&store, 5, AgentAssisted::Delegated);
        assert_eq!(value(&numbers(&store, NOW), "agent_assisted_completed"), Some(35.0));
        // What others store changes none of them: nothing is written.
        let mut transaction = store.begin().unwrap();
        transaction.put_metadata("test", "", &1).unwrap();
        transaction.commit().unwrap();
        let before = store.metadata::<Counted>(METADATA.0, METADATA.1).unwrap().map(|counted| counted.head);
        assert_ne!(before, Some(store.head().unwrap()));
        assert_eq!(value(&numbers(&store, NOW), "agent_assisted_completed"), Some(35.0));
        let after = store.metadata::<Counted>(METADATA.0, METADATA.1).unwrap().map(|counted| counted.head);
        assert_eq!(after, before);
        assert_eq!(numbers(&store, NOW.plus(90 * DAY)), [], "nothing was completed lately");
    }
}
