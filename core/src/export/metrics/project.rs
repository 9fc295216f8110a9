//! The series of a project: its work, and what is known of it besides.

use super::points::{Ages, Points, Values, count};
use crate::export::business;
use crate::export::context::ExportContext;
use crate::export::message::Attributes;
use crate::export::series::{self, Line, ProjectSeries};
use crate::model::semconv as names;
use crate::model::time::Millis;
use crate::model::totals::{self, Histogram, points};
use crate::model::{Status, TaskType};

/// All points of a project.
pub(super) fn project_points(project: &ProjectSeries, context: &ExportContext<'_>, project_id: &str) -> Vec<Points> {
    let types = types(project);
    let mut out = Output { project, project_id, first: first_moment(project), types, series: Vec::new() };
    out.by_kind();
    for (metric, line) in [
        (names::M_TASK_WIP, &project.wip),
        (names::M_TASK_BLOCKED, &project.blocked),
        (names::M_TASK_STALE, &project.stale),
        (names::M_TASK_UNESTIMATED, &project.unestimated),
        (names::M_TASK_OVERDUE, &project.overdue),
    ] {
        let zeros = || vec![0; project.axis.moments().len()];
        let values = line.values(&project.axis, 0).unwrap_or_else(zeros);
        out.numbers(metric, Attributes::new(), &values, count);
    }
    out.counters();
    out.histograms();
    out.blocked_ages(context);
    out.wip_ages();
    out.percentages();
    out.info(context);
    out.series
}

/// The types a project ever had: a series that fell to zero must still be exported.
fn types(series: &ProjectSeries) -> Vec<TaskType> {
    let had = |kind: &&TaskType| series.created.contains_key(kind) || series.base.created.contains_key(kind);
    TaskType::ALL.iter().filter(had).copied().collect()
}

/// The first place on the axis at which the project had any task.
fn first_moment(series: &ProjectSeries) -> usize {
    let created = |kind: &TaskType| {
        let base = series.base.created.get(kind).copied().unwrap_or(0);
        let line = series.created.get(kind).cloned().unwrap_or_default();
        line.values(&series.axis, base)?.iter().position(|value| *value != 0)
    };
    // A task that moved in was created elsewhere.
    let there =
        series.count.values().filter_map(|line| line.values(&series.axis, 0)?.iter().position(|value| *value != 0));
    TaskType::ALL.iter().filter_map(created).chain(there).min().unwrap_or(0)
}

struct Output<'a> {
    project: &'a ProjectSeries,
    project_id: &'a str,
    /// The first place on the axis with any data.
    first: usize,
    types: Vec<TaskType>,
    series: Vec<Points>,
}

impl Output<'_> {
    fn push(&mut self, metric: names::Metric, attributes: Attributes, values: Values) {
        self.series.push(of_project(self.project_id, metric, attributes, values));
    }

    fn numbers(&mut self, metric: names::Metric, attributes: Attributes, values: &[i64], as_number: fn(i64) -> f64) {
        let moments = self.project.axis.moments().iter().copied();
        let values = moments.zip(values.iter().map(|value| as_number(*value))).skip(self.first).collect();
        self.push(metric, attributes, Values::Numbers(values));
    }

    fn line(
        &mut self,
        metric: names::Metric,
        attributes: Attributes,
        line: Option<&Line>,
        base: i64,
        as_number: fn(i64) -> f64,
    ) {
        let values = line.and_then(|line| line.values(&self.project.axis, base));
        let values = values.unwrap_or_else(|| vec![base; self.project.axis.moments().len()]);
        self.numbers(metric, attributes, &values, as_number);
    }

    fn by_kind(&mut self) {
        let project = self.project;
        let types = self.types.clone();
        for kind in types.iter().flat_map(|kind| Status::ALL.iter().map(move |status| (*status, *kind))) {
            let (status, task_type) = kind;
            let base = project.base.finished.get(&kind).copied().unwrap_or_default();
            let attributes = || {
                Attributes::new().text(names::TASK_STATUS, status.as_str()).text(names::TASK_TYPE, task_type.as_str())
            };
            self.line(names::M_TASK_COUNT, attributes(), project.count.get(&kind), base.tasks, count);
            self.line(names::M_TASK_POINTS, attributes(), project.points.get(&kind), base.milli_points, points);
        }
    }

    fn counters(&mut self) {
        let project = self.project;
        for task_type in &self.types.clone() {
            let attributes = || Attributes::new().text(names::TASK_TYPE, task_type.as_str());
            let created = project.base.created.get(task_type).copied().unwrap_or(0);
            let completed = project.base.completed.get(task_type).copied().unwrap_or_default();
            self.line(names::M_TASK_CREATED, attributes(), project.created.get(task_type), created, count);
            self.line(names::M_TASK_COMPLETED, attributes(), project.completed.get(task_type), completed.tasks, count);
            let line = project.completed_points.get(task_type);
            self.line(names::M_TASK_COMPLETED_POINTS, attributes(), line, completed.milli_points, points);
        }
    }

    fn histograms(&mut self) {
        let project = self.project;
        for task_type in TaskType::ALL {
            for (metric, base, durations) in [
                (names::M_TASK_LEAD_TIME, &project.base.lead_time, &project.lead_time),
                (names::M_TASK_CYCLE_TIME, &project.base.cycle_time, &project.cycle_time),
                (names::M_TASK_BLOCKED_TIME, &project.base.blocked_time, &project.blocked_time),
            ] {
                let attributes = Attributes::new().text(names::TASK_TYPE, task_type.as_str());
                self.histogram(metric, attributes, base.get(task_type), durations.get(task_type));
            }
        }
        for status in Status::ALL {
            let attributes = Attributes::new().text(names::TASK_STATUS, status.as_str());
            let (base, durations) = (project.base.status_time.get(status), project.status_time.get(status));
            self.histogram(names::M_TASK_STATUS_TIME, attributes, base, durations);
        }
    }

    fn histogram(
        &mut self,
        metric: names::Metric,
        attributes: Attributes,
        base: Option<&Histogram>,
        durations: Option<&Vec<(usize, i64)>>,
    ) {
        if base.is_none_or(|base| base.count() == 0) && durations.is_none() {
            return;
        }
        let moments = self.project.axis.moments().iter().copied();
        let values = moments.zip(series::histograms(&self.project.axis, base, durations));
        let values = values.skip_while(|(_, histogram)| histogram.count() == 0).collect();
        self.push(metric, attributes, Values::Histograms(values));
    }

    fn blocked_ages(&mut self, context: &ExportContext<'_>) {
        for task in &self.project.blocked_tasks {
            let attributes = Attributes::new()
                .text(names::TASK_ID, &task.key)
                .maybe(names::TASK_TITLE, context.title(&task.title))
                .maybe(names::TASK_ASSIGNEE, context.person(task.assignee.as_deref()).as_deref())
                .text(names::EVENT_REASON, &task.reason)
                .text(names::TASK_URL, &task.url);
            let moments = self.project.axis.moments().clone();
            let ages = Ages { since: task.from, moments, places: task.places.clone() };
            self.push(names::M_TASK_BLOCKED_AGE, attributes, Values::Ages(ages));
        }
    }

    fn wip_ages(&mut self) {
        let all = series::wip_ages(&self.project.axis, &self.project.wip_intervals, [0.5, 0.85, 1.0]);
        for (name, ages) in ["0.5", "0.85", "1"].into_iter().zip(all).filter(|(_, ages)| !ages.is_empty()) {
            let attributes = Attributes::new().text(names::QUANTILE, name);
            self.push(names::M_TASK_WIP_AGE, attributes, Values::Numbers(ages));
        }
    }

    /// Progress and flow efficiency, in percent, without the moments at which the divisor is zero.
    fn percentages(&mut self) {
        let project = self.project;
        let moments = || project.axis.moments().iter().copied();
        let progress = moments().zip(project.progress()).filter_map(|(at, (all, done))| {
            let rollup = totals::Rollup { all, done, ..totals::Rollup::default() };
            Some((at, rollup.percent_complete()?))
        });
        let progress: Vec<_> = progress.collect();
        let active =
            project.flow_active.values(&project.axis, 0).unwrap_or_else(|| vec![0; project.axis.moments().len()]);
        let total = project.flow_total.values(&project.axis, 0).unwrap_or_default();
        let flow = moments().zip(active.into_iter().zip(total)).filter(|(_, (_, total))| *total > 0);
        let flow: Vec<_> = flow.map(|(at, (active, total))| (at, 100.0 * count(active) / count(total))).collect();
        for (metric, values) in [(names::M_PROJECT_PERCENT, progress), (names::M_PROJECT_FLOW, flow)] {
            if !values.is_empty() {
                self.push(metric, Attributes::new(), Values::Numbers(values));
            }
        }
    }

    fn info(&mut self, context: &ExportContext<'_>) {
        let Some(now) = self.project.axis.moments().last().copied() else { return };
        self.series.extend(description(context, self.project_id, now));
    }
}

/// What is known of a project besides its work, at `now`.
pub(super) fn description(context: &ExportContext<'_>, project_id: &str, now: Millis) -> Vec<Points> {
    let project = context.config.projects.iter().find(|project| project.id == project_id);
    let attributes = Attributes::new()
        .text(names::PROJECT_NAME, project.map_or(project_id, |project| &project.name))
        .maybe(names::BUSINESS_OWNER, project.and_then(|project| project.owner.as_deref()))
        .maybe(names::BUSINESS_CRITICALITY, project.and_then(|project| project.criticality).map(|word| word.as_str()))
        .maybe(names::BUSINESS_VALUE, project.and_then(|project| project.value.as_deref()));
    let info = (names::M_PROJECT_INFO, attributes, 1.0);
    let known = [info].into_iter().chain(project.map(business::points).unwrap_or_default());
    known
        .map(|(metric, attributes, value)| {
            of_project(project_id, metric, attributes, Values::Numbers(vec![(now, value)]))
        })
        .collect()
}

pub(super) fn of_project(project_id: &str, metric: names::Metric, attributes: Attributes, values: Values) -> Points {
    let attributes = Attributes::new().text(names::PROJECT_ID, project_id).and(&attributes);
    Points { metric, attributes, values }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::export::series::Axis;
    use crate::model::time::DAY;
    use crate::model::timeline::TaskHistory;

    #[test]
    fn a_task_that_moved_in_and_changed_its_type_counts_where_it_is() {
        use crate::model::Change;
        use crate::model::samples::{facts, stored};
        use crate::model::time::HOUR;

        let moved = Change::Moved { key: "OPS-1".into(), project: "OPS".into() };
        let typed = Change::Typed { task_type: TaskType::Bug, native: "Bug".into() };
        let created = Change::Created(Box::new(facts(Status::Todo)));
        let timeline = [stored(HOUR, created), stored(2 * HOUR, moved), stored(3 * HOUR, typed)];
        let history = TaskHistory::new(&timeline).unwrap();
        let axis = Axis::new(Some(Millis(0)), HOUR, Millis(4 * HOUR), Millis(4 * HOUR));
        let mut all_series = BTreeMap::from([("OPS".to_owned(), ProjectSeries::new(axis))]);
        series::place_task(&mut all_series, &|native| native.to_owned(), &history, "", DAY);
        let series = all_series.get_mut("OPS").unwrap();
        // The task's part of the running totals: added with all others, and subtracted when the task is placed.
        series.base.add(&totals::contribution(&history)["OPS"], 1);
        series.base.add(&totals::contribution(&history)["OPS"], -1);
        assert_eq!((types(series), first_moment(series)), (vec![TaskType::Story, TaskType::Bug], 1));
    }
}
