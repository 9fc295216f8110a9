//! The export of metrics: the history grid up to now, then now. The values come from [`super::series`]; here they
//! become OTLP, in requests that ascend in time.
//!
//! How far the grid was exported is stored per project, after the backend accepted it. So a service that was down fills
//! the gap, and no point is sent twice with different values. The grid goes no further than its sources were read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, HistogramDataPoint, Metric, NumberDataPoint, Sum, number_data_point,
};
use prost::Message;

use super::business;
use super::context::{ExportContext, ResourceKey};
use super::insights;
use super::lineage::TimelineCache;
use super::message::{self, Attributes, Owner};
use super::plan::{Plan, Sent};
use super::sender::Sender;
use super::series::{self, Axis, FLOW_WINDOW, Line, ProjectSeries};
use crate::export::otlp::{Batch, Heading, Kind, MAX_BATCH_BYTES, Signal};
use crate::model::error::Result;
use crate::model::semconv::{self as names, Instrument};
use crate::model::sprint::Tally;
use crate::model::time::{DAY, Millis};
use crate::model::timeline::TaskHistory;
use crate::model::totals::{self, BOUNDS, Histogram, points};
use crate::model::{Facts, SmolStr, SprintRecord, SprintState, Status, TaskKey, TaskRecord, TaskType};
use crate::store::Store;

/// A request is full at this size. Small requests need little memory.
const BATCH_BYTES: usize = MAX_BATCH_BYTES / 4;
/// The approximate overhead of a moment: a resource, and the heading of each metric.
const MOMENT_BYTES: usize = 4_000;
/// The numbers of a closed sprint are repeated in every "now" for this long.
const CLOSED_FOR: i64 = 30 * DAY;
/// Samples that are older than the newest by no more than this are no backfill to Prometheus.
const IN_ORDER: i64 = 3_600_000;
/// The metadata group that holds how far each project's metrics were exported.
const METADATA_GROUP: &str = "metrics";

/// A series of points of one metric: its attributes, and its values by moment.
struct Points {
    metric: names::Metric,
    attributes: Attributes,
    values: Values,
}

impl Points {
    /// Takes out the value of `now`, if it is the last of several numbers.
    fn take_present(&mut self, now: Millis) -> Option<Self> {
        let Values::Numbers(values) = &mut self.values else { return None };
        let present = values.pop_if(|(at, _)| *at == now)?;
        Some(Self { metric: self.metric, attributes: self.attributes.clone(), values: Values::Numbers(vec![present]) })
    }
}

enum Values {
    Numbers(Vec<(Millis, f64)>),
    Ages(Ages),
    Histograms(Vec<(Millis, Histogram)>),
}

/// The age of something at some moments of an axis, in seconds. Computed while it is sent, because there is one for
/// every blocked interval of a history.
struct Ages {
    since: Millis,
    moments: Arc<[Millis]>,
    places: Range<usize>,
}

impl Iterator for Ages {
    type Item = (Millis, f64);

    fn next(&mut self) -> Option<(Millis, f64)> {
        let at = *self.moments.get(self.places.next()?)?;
        Some((at, at.seconds_since(self.since)))
    }
}

/// The metrics of one project.
pub(crate) struct ProjectMetrics {
    pub(crate) project_id: String,
    series: Vec<Points>,
    /// Whether its history is among them. A project that is described before it has tasks has none.
    has_history: bool,
}

/// Exports the metrics of every project up to `plan.now`.
pub(super) async fn run(
    sender: &Sender<'_>,
    cache: &TimelineCache<'_>,
    plan: &Plan,
    sent: &mut BTreeMap<String, Sent>,
) -> Result<()> {
    let now = plan.now;
    let context = ExportContext::new(sender.config);
    let step = i64::try_from(sender.config.export.history_step.as_millis()).unwrap_or(DAY).max(1);
    let read_until = read_until(sender.store, &context, now)?;
    let known_first = OnceLock::new();
    let axis_of = |project: &str| -> Result<Axis> {
        let exported: Option<Millis> =
            if plan.again.is_some() { None } else { sender.store.metadata(METADATA_GROUP, project)? };
        let first = match (exported, sender.config.export.history) {
            // All of the history was exported up to there. The first moment would be read from every task.
            (Some(exported), None) => exported,
            _ => history_start(sender, plan, &known_first)?,
        };
        let read_until = read_until.get(project).copied().unwrap_or(now);
        Ok(Axis::new(Some(exported.unwrap_or(first).max(first).min(now)), step, read_until, now))
    };
    let again = plan.again.is_some();
    let chosen = chosen(sender.store, &context, plan)?;
    let source = plan.selection(|selection| selection.source.clone());
    let projects = collect(cache, &context, now, &axis_of, Scope { everything: again, source: source.as_deref() })?;
    // What is known besides work is of now: a replay has nothing of it.
    let wanted = |project: &ProjectMetrics| {
        chosen.contains(&project.project_id)
            || !again && !project.has_history && plan.includes_project(&project.project_id)
    };
    for project in projects.into_iter().filter(wanted) {
        let (project_id, has_history) = (project.project_id.clone(), project.has_history);
        let resource = context.resource(&ExportContext::project_key(&project_id));
        for series in present_first(project.series, now) {
            let mut packer = Packer::new(resource.clone(), series);
            while let Some(batch) = packer.next() {
                sent.entry(project_id.clone()).or_default().points += sender.send(&project_id, batch).await?;
            }
        }
        if !again && has_history {
            save_exported_until(sender.store, &project_id, read_until.get(&project_id).copied().unwrap_or(now))?;
        }
    }
    Ok(())
}

/// The parts of a project's series to send one after the other: all at once, or, where the past is filled in, a present sample
/// before everything else. An empty Prometheus takes the first sample for the present: filled from the past, it would write
/// block after block until it has caught up.
fn present_first(mut series: Vec<Points>, now: Millis) -> Vec<Vec<Points>> {
    let earliest = series.iter().filter_map(|points| points.values.moments().next()).min();
    if earliest.is_none_or(|earliest| now.0 - earliest.0 <= IN_ORDER) {
        return vec![series];
    }
    let present = series.iter_mut().find_map(|points| points.take_present(now));
    present.map(|present| vec![present]).into_iter().chain([series]).collect()
}

/// The first moment of the history, found once.
fn history_start(sender: &Sender<'_>, plan: &Plan, known: &OnceLock<Millis>) -> Result<Millis> {
    match known.get() {
        Some(first) => Ok(*first),
        None => sender.first_moment(plan).map(|first| *known.get_or_init(|| first)),
    }
}

/// The projects to export: all, or those that a replay asks for. A project is in a source that has tasks in it.
fn chosen(store: &Store, context: &ExportContext<'_>, plan: &Plan) -> Result<BTreeSet<String>> {
    let totals = store.totals()?.into_iter().filter(|(source, ..)| plan.includes_source(source));
    let projects = totals.map(|(source, native, _)| context.project_id(&source, &native));
    let insights = insights::numbers(store, context, plan.now)?.into_keys();
    let projects = projects.chain(insights.filter(|_| plan.selection(|selection| selection.source.clone()).is_none()));
    Ok(projects.filter(|project| plan.includes_project(project)).collect())
}

/// What is collected.
#[derive(Debug, Clone, Copy, Default)]
struct Scope<'a> {
    /// Every task, also those that ended long ago.
    everything: bool,
    /// Series of single tasks and sprints are those of this source; numbers of a project are of all its sources.
    source: Option<&'a str>,
}

impl Scope<'_> {
    fn includes(self, key: &TaskKey) -> bool {
        self.source.is_none_or(|source| key.source == source)
    }
}

/// How far each project's sources have been read: the earliest of them. Exporting beyond that would publish a history
/// without the changes that a source has yet to return, and it cannot be corrected.
fn read_until(store: &Store, context: &ExportContext<'_>, now: Millis) -> Result<BTreeMap<String, Millis>> {
    let mut read_until = BTreeMap::new();
    for (source, native, _) in store.totals()? {
        if context.config.sources.iter().all(|configured| configured.name != source) {
            continue;
        }
        let upto = store.source_status(&source)?.read_until.map_or(now, |until| until.min(now));
        read_until
            .entry(context.project_id(&source, &native))
            .and_modify(|known: &mut Millis| *known = upto.min(*known))
            .or_insert(upto);
    }
    Ok(read_until)
}

/// Stores how far a project's grid was exported.
fn save_exported_until(store: &Store, project_id: &str, upto: Millis) -> Result<()> {
    let known: Option<Millis> = store.metadata(METADATA_GROUP, project_id)?;
    if known.is_some_and(|known| known >= upto) {
        return Ok(());
    }
    let mut transaction = store.begin()?;
    transaction.put_metadata(METADATA_GROUP, project_id, &upto)?;
    transaction.commit().map(drop)
}

/// The metrics of every project at `now` alone, e.g. for a scrape.
pub(crate) fn now(store: &Store, context: &ExportContext<'_>, now: Millis) -> Result<Vec<(ResourceKey, Vec<Metric>)>> {
    let axis_of = |_: &str| Ok(Axis::new(None, DAY, now, now));
    let projects = collect(&TimelineCache::new(store), context, now, &axis_of, Scope::default())?;
    Ok(projects
        .into_iter()
        .map(|project| {
            (
                ExportContext::project_key(&project.project_id),
                project.series.into_iter().map(Points::into_metric).collect(),
            )
        })
        .collect())
}

/// Computes every project's series, from its tasks and sprints.
fn collect(
    cache: &TimelineCache<'_>,
    context: &ExportContext<'_>,
    now: Millis,
    axis_of: &dyn Fn(&str) -> Result<Axis>,
    scope: Scope<'_>,
) -> Result<Vec<ProjectMetrics>> {
    let store = cache.store();
    let mut all_series = all_series(store, context, axis_of)?;
    let earliest = all_series.values().filter_map(|series| series.axis.moments().first()).min().copied().unwrap_or(now);
    let all = scope.everything || all_series.values().any(|series| series.axis.moments().len() > 1);
    let mut infos: BTreeMap<String, Vec<Points>> = BTreeMap::new();
    let open = store.open_tasks(None).count();
    let with_info = open <= context.config.export.task_info_limit;
    let mut place = |key: &TaskKey, record: &TaskRecord| -> Result<()> {
        let Some(history) = TaskHistory::new(&record.timeline) else { return Ok(()) };
        place(&mut all_series, context, key, &history, &record.url);
        let snapshot = history.at(now);
        let is_open = snapshot.state.deleted.is_none() && !snapshot.state.facts.status.is_finished();
        if is_open && scope.includes(key) {
            let facts = &snapshot.state.facts;
            let (project, series) = open_task(cache, context, key, &record.url, facts, now, with_info)?;
            infos.entry(project).or_default().extend(series);
        }
        Ok(())
    };
    each_task(store, (!all).then(|| earliest.plus(-FLOW_WINDOW)), &mut place)?;
    let mut sprints = sprint_series(cache, context, &all_series, now, scope)?;
    let mut insights = insight_points(store, context, now, scope)?;
    let mut without_work = without_work(context, &all_series, now);
    let projects = all_series.into_iter().map(|(project_id, series)| {
        let mut series = project_points(&series, context, &project_id);
        series.extend(infos.remove(&project_id).unwrap_or_default());
        series.extend(sprints.remove(&project_id).unwrap_or_default());
        series.extend(insights.remove(&project_id).unwrap_or_default());
        ProjectMetrics { project_id, series, has_history: true }
    });
    let mut projects: Vec<ProjectMetrics> = projects.collect();
    for (project_id, points) in insights {
        without_work.entry(project_id).or_default().extend(points);
    }
    let alone = without_work.into_iter();
    projects.extend(alone.map(|(project_id, series)| ProjectMetrics { project_id, series, has_history: false }));
    Ok(projects)
}

/// The series of insights, which are those of now. They are of all sources.
fn insight_points(
    store: &Store,
    context: &ExportContext<'_>,
    now: Millis,
    scope: Scope<'_>,
) -> Result<BTreeMap<String, Vec<Points>>> {
    if scope.source.is_some() {
        return Ok(BTreeMap::new());
    }
    let numbers = insights::numbers(store, context, now)?.into_iter().map(|(project_id, numbers)| {
        let own = Attributes::new().text(names::PROJECT_ID, &project_id);
        let point = |(metric, attributes, value): insights::Number| Points {
            metric,
            attributes: own.clone().and(&attributes),
            values: Values::Numbers(vec![(now, value)]),
        };
        let points = numbers.into_iter().map(point).collect();
        (project_id, points)
    });
    Ok(numbers.collect())
}

/// What is known of projects that services are described for, and that have no tasks, or none that may be exported yet.
fn without_work(
    context: &ExportContext<'_>,
    all_series: &BTreeMap<String, ProjectSeries>,
    now: Millis,
) -> BTreeMap<String, Vec<Points>> {
    let described = context.config.projects.iter().filter(|project| !project.contexts.is_empty());
    let idle = described.filter(|project| !all_series.contains_key(&project.id));
    idle.map(|project| (project.id.clone(), description(context, &project.id, now))).collect()
}

/// What is known of a project besides its work, at `now`.
fn description(context: &ExportContext<'_>, project_id: &str, now: Millis) -> Vec<Points> {
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

fn of_project(project_id: &str, metric: names::Metric, attributes: Attributes, values: Values) -> Points {
    let attributes = Attributes::new().text(names::PROJECT_ID, project_id).and(&attributes);
    Points { metric, attributes, values }
}

/// Visits every task, or with `since` only those that are open or ended then or later.
fn each_task(
    store: &Store,
    since: Option<Millis>,
    visit: &mut dyn FnMut(&TaskKey, &TaskRecord) -> Result<()>,
) -> Result<()> {
    let Some(since) = since else {
        return store.tasks(None).try_for_each(|item| item.and_then(|(key, record)| visit(&key, &record)));
    };
    for key in store.open_tasks(None).chain(store.ended_since(since)) {
        let key = key?;
        if let Some(record) = store.task(&key)? {
            visit(&key, &record)?;
        }
    }
    Ok(())
}

/// An empty series per project, with the running totals as its base.
fn all_series(
    store: &Store,
    context: &ExportContext<'_>,
    axis_of: &dyn Fn(&str) -> Result<Axis>,
) -> Result<BTreeMap<String, ProjectSeries>> {
    let mut all_series: BTreeMap<String, ProjectSeries> = BTreeMap::new();
    let all_totals = store.totals()?;
    // While the first pass of a source is not complete, exporting would publish a partial history that cannot be corrected.
    let mut incomplete = BTreeSet::new();
    for (source, native, _) in &all_totals {
        if store.sealed(source)? == 0 {
            incomplete.insert(context.project_id(source, native));
        }
    }
    for (source, native, totals) in all_totals {
        let project_id = context.project_id(&source, &native);
        if incomplete.contains(&project_id) {
            continue;
        }
        if !all_series.contains_key(&project_id) {
            all_series.insert(project_id.clone(), ProjectSeries::new(axis_of(&project_id)?));
        }
        if let Some(series) = all_series.get_mut(&project_id) {
            series.base.add(&totals, 1);
        }
    }
    Ok(all_series)
}

/// Adds a task to the series, and subtracts its contribution from their running totals.
fn place(
    all_series: &mut BTreeMap<String, ProjectSeries>,
    context: &ExportContext<'_>,
    key: &TaskKey,
    history: &TaskHistory,
    url: &str,
) {
    for (native, totals) in totals::contribution(history) {
        if let Some(series) = all_series.get_mut(&context.project_id(&key.source, &native)) {
            series.base.add(&totals, -1);
        }
    }
    let stale_after = context.stale_after(&key.source);
    series::place_task(all_series, &|native| context.project_id(&key.source, native), history, url, stale_after);
}

/// The series of one open task: its info, and an open epic's progress.
fn open_task(
    cache: &TimelineCache<'_>,
    context: &ExportContext<'_>,
    key: &TaskKey,
    url: &str,
    facts: &Facts,
    now: Millis,
    with_info: bool,
) -> Result<(String, Vec<Points>)> {
    let one = |metric, attributes: Attributes, value| Points {
        metric,
        attributes,
        values: Values::Numbers(vec![(now, value)]),
    };
    let project_id = context.project_id(&key.source, &facts.project);
    let own = || Attributes::new().text(names::PROJECT_ID, &project_id);
    let mut series = Vec::new();
    if with_info {
        let parent = cache.parent_key(key, facts, now)?;
        let attributes = own()
            .text(names::TASK_ID, &facts.key)
            .maybe(names::TASK_TITLE, context.title(&facts.title))
            .text(names::TASK_TYPE, facts.task_type.as_str())
            .text(names::TASK_STATUS, facts.effective_status().as_str())
            .maybe(names::TASK_ASSIGNEE, context.person(facts.assignee.as_deref()).as_deref())
            .maybe(names::TASK_PARENT_ID, parent.as_deref())
            .maybe(names::SPRINT_ID, facts.sprints.last().map(SmolStr::as_str))
            .text(names::TASK_URL, url);
        series.push(one(names::M_TASK_INFO, attributes, 1.0));
    }
    if facts.task_type == TaskType::Epic {
        let percent = cache.store().rollup(key)?.percent_complete().unwrap_or(0.0);
        let attributes = own().text(names::EPIC_ID, &facts.key).maybe(names::EPIC_TITLE, context.title(&facts.title));
        series.push(one(names::M_EPIC_PERCENT, attributes, percent));
    }
    Ok((project_id, series))
}

/// All points of a project.
fn project_points(project: &ProjectSeries, context: &ExportContext<'_>, project_id: &str) -> Vec<Points> {
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

#[expect(clippy::cast_precision_loss, reason = "numbers of tasks are far below 2^53")]
fn count(value: i64) -> f64 {
    value as f64
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

/// The series of every sprint with data on its project's axis.
fn sprint_series(
    cache: &TimelineCache<'_>,
    context: &ExportContext<'_>,
    all_series: &BTreeMap<String, ProjectSeries>,
    now: Millis,
    scope: Scope<'_>,
) -> Result<BTreeMap<String, Vec<Points>>> {
    let mut all: BTreeMap<String, Vec<Points>> = BTreeMap::new();
    for (key, sprint) in cache.store().sprints(scope.source)? {
        let project_id = context.project_id(&key.source, sprint.facts.project.as_deref().unwrap_or(&key.source));
        let Some(series) = all_series.get(&project_id) else { continue };
        let moments = sprint_moments(&sprint, &series.axis, now);
        if !moments.is_empty() {
            let series = one_sprint(cache, &key, &sprint, &project_id, &moments, now)?;
            all.entry(project_id).or_default().extend(series);
        }
    }
    Ok(all)
}

/// The moments of a sprint's series: those of the axis while it runs, its completion, and every "now" for a while after
/// it.
fn sprint_moments(sprint: &SprintRecord, axis: &Axis, now: Millis) -> Vec<Millis> {
    let facts = &sprint.facts;
    let Some(start) = facts.start.filter(|_| facts.state != SprintState::Future) else { return Vec::new() };
    let finish = facts.completed.or(facts.end).filter(|_| facts.state == SprintState::Closed);
    let until = finish.unwrap_or(now);
    let mut moments: Vec<_> = axis.moments().iter().copied().filter(|at| *at >= start && *at <= until).collect();
    moments.extend(finish.filter(|finish| axis.covers(*finish)));
    moments.extend(finish.filter(|finish| now.0 - finish.0 <= CLOSED_FOR).map(|_| now));
    moments.sort_unstable();
    moments.dedup();
    moments
}

fn one_sprint(
    cache: &TimelineCache<'_>,
    key: &TaskKey,
    sprint: &SprintRecord,
    project_id: &str,
    moments: &[Millis],
    now: Millis,
) -> Result<Vec<Points>> {
    let Some(sprint_history) = cache.sprint_history(key)? else { return Ok(Vec::new()) };
    let own = || {
        Attributes::new()
            .text(names::PROJECT_ID, project_id)
            .text(names::SPRINT_ID, &key.native_id)
            .text(names::SPRINT_NAME, &sprint.facts.name)
    };
    let tallies: Vec<(Millis, Tally)> = moments.iter().map(|at| (*at, sprint_history.at(*at))).collect();
    let numbers =
        |metric, values: Vec<(Millis, f64)>| Points { metric, attributes: own(), values: Values::Numbers(values) };
    type Pick = fn(&Tally) -> i64;
    let picks: [(names::Metric, Pick); 6] = [
        (names::M_SPRINT_PLANNED, |tally| tally.committed),
        (names::M_SPRINT_SCOPE, |tally| tally.scope),
        (names::M_SPRINT_ADDED, |tally| tally.added),
        (names::M_SPRINT_REMOVED, |tally| tally.removed),
        (names::M_SPRINT_COMPLETED, |tally| tally.completed),
        (names::M_SPRINT_REMAINING, |tally| tally.remaining),
    ];
    let mut series: Vec<Points> = picks
        .iter()
        .map(|(metric, pick)| numbers(*metric, tallies.iter().map(|(at, tally)| (*at, points(pick(tally)))).collect()))
        .collect();
    series.push(numbers(names::M_SPRINT_IDEAL, moments.iter().map(|at| (*at, sprint_history.ideal(*at))).collect()));
    let finals = final_numbers(&tallies, sprint_history.finish).into_iter().filter(|(_, values)| !values.is_empty());
    series.extend(finals.map(|(metric, values)| numbers(metric, values)));
    if moments.last() == Some(&now) {
        let attributes = own()
            .text(names::SPRINT_STATE, sprint.facts.state.as_str())
            .maybe(names::SPRINT_START_DATE, sprint.facts.start.map(|at| at.to_string()).as_deref())
            .maybe(names::SPRINT_END_DATE, sprint.facts.end.map(|at| at.to_string()).as_deref());
        let values = Values::Numbers(vec![(now, 1.0)]);
        series.push(Points { metric: names::M_SPRINT_INFO, attributes, values });
    }
    Ok(series)
}

/// The metrics that a sprint has from its completion on.
fn final_numbers(tallies: &[(Millis, Tally)], closed: Option<Millis>) -> [(names::Metric, Vec<(Millis, f64)>); 3] {
    let over = || tallies.iter().filter(|(at, _)| closed.is_some_and(|closed| *at >= closed));
    [
        (names::M_SPRINT_VELOCITY, over().map(|(at, tally)| (*at, points(tally.completed))).collect()),
        (names::M_SPRINT_CARRIED, over().map(|(at, tally)| (*at, points(tally.remaining))).collect()),
        (
            names::M_SPRINT_PREDICTABILITY,
            over().filter_map(|(at, tally)| Some((*at, tally.predictability()?))).collect(),
        ),
    ]
}

impl Points {
    fn into_metric(self) -> Metric {
        let Self { metric, attributes, values } = self;
        let attributes = attributes.read();
        let data = match values {
            Values::Numbers(values) => numbers(metric, &attributes, values.into_iter()),
            Values::Ages(ages) => numbers(metric, &attributes, ages),
            Values::Histograms(values) => Data::Histogram(opentelemetry_proto::tonic::metrics::v1::Histogram {
                data_points: values
                    .iter()
                    .map(|(at, histogram)| HistogramDataPoint {
                        attributes: attributes.clone(),
                        explicit_bounds: bounds().collect(),
                        ..histogram_point(*at, histogram)
                    })
                    .collect(),
                aggregation_temporality: AggregationTemporality::Cumulative.into(),
            }),
        };
        Metric {
            name: metric.name.to_owned(),
            description: metric.about.to_owned(),
            unit: metric.unit.to_owned(),
            data: Some(data),
            ..Metric::default()
        }
    }
}

/// The numbers of one series as its metric's instrument has them.
fn numbers(metric: names::Metric, attributes: &[KeyValue], values: impl Iterator<Item = (Millis, f64)>) -> Data {
    let point = |(at, value): (Millis, f64)| NumberDataPoint {
        attributes: attributes.to_vec(),
        time_unix_nano: at.as_nanos(),
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    };
    let data_points = values.map(point).collect();
    let aggregation_temporality = AggregationTemporality::Cumulative.into();
    match metric.instrument {
        Instrument::Counter => Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic: true }),
        Instrument::Gauge | Instrument::Histogram => Data::Gauge(Gauge { data_points }),
    }
}

/// A point without what all points of its series share.
fn histogram_point(at: Millis, histogram: &Histogram) -> HistogramDataPoint {
    let unsigned = |value: &i64| u64::try_from(*value).unwrap_or(0);
    HistogramDataPoint {
        time_unix_nano: at.as_nanos(),
        count: unsigned(&histogram.count()),
        sum: Some(count(histogram.sum) / 1_000.0),
        bucket_counts: histogram.buckets.iter().map(unsigned).collect(),
        ..HistogramDataPoint::default()
    }
}

/// The upper bounds of all histograms' buckets, in seconds.
fn bounds() -> impl Iterator<Item = f64> {
    BOUNDS.iter().map(|bound| count(*bound) / 1_000.0)
}

/// A series being sent. As a protobuf message may be written in pieces, what all its points share is encoded once and
/// put in front of each.
struct SeriesEncoder {
    heading: Heading,
    shared: Box<[u8]>,
    /// Newest first, so that the next is popped from the end.
    values: Values,
}

impl SeriesEncoder {
    /// A series with its heading, which is shared with those of the same metric through `headings`.
    fn new(points: Points, headings: &mut HashMap<&'static str, Heading>) -> Self {
        let Points { metric, attributes, mut values } = points;
        let mut shared = Vec::new();
        let number = if metric.instrument == Instrument::Counter { Kind::Counter } else { Kind::Gauge };
        let (kind, owner) = match &mut values {
            Values::Ages(_) => (number, Owner::NumberPoint),
            Values::Numbers(values) => {
                values.reverse();
                (number, Owner::NumberPoint)
            }
            Values::Histograms(values) => {
                values.reverse();
                let explicit_bounds = bounds().collect();
                shared = HistogramDataPoint { explicit_bounds, ..HistogramDataPoint::default() }.encode_to_vec();
                (Kind::Histogram, Owner::HistogramPoint)
            }
        };
        attributes.write(owner, &mut shared);
        let heading = || Heading::new(metric.name, metric.about, metric.unit, kind);
        let heading = headings.entry(metric.name).or_insert_with(heading).clone();
        Self { heading, shared: shared.into_boxed_slice(), values }
    }

    /// Adds the next point to a batch; returns its size.
    fn write_next(&mut self, batch: &mut Batch) -> usize {
        let add = |(at, value)| batch.add_point(&self.heading, &self.shared, &message::number_point(at, value));
        let bytes = match &mut self.values {
            Values::Numbers(values) => values.pop().map(add),
            Values::Ages(ages) => ages.next().map(add),
            Values::Histograms(values) => values.pop().map(|(at, value)| {
                batch.add_point(&self.heading, &self.shared, &histogram_point(at, &value).encode_to_vec())
            }),
        };
        bytes.unwrap_or(0)
    }
}

/// Packs series into requests, moment by moment. Only one request is encoded at a time.
///
/// Each moment has a resource of its own, because Prometheus writes a `target_info` sample for every two and a half
/// minutes between the first and the last point of a resource. A year of one series in one resource is 210,000 samples,
/// and every request costs as many again; a resource whose points have one moment costs one.
struct Packer {
    resource: Bytes,
    scope: Bytes,
    encoders: Vec<SeriesEncoder>,
    /// The encoders that have a point, by moment.
    due: std::collections::btree_map::IntoIter<Millis, Vec<u32>>,
    /// What is left of a moment that did not fit into the last request.
    rest: Vec<u32>,
}

impl Packer {
    fn new(resource: Bytes, series: Vec<Points>) -> Self {
        let mut due: BTreeMap<Millis, Vec<u32>> = BTreeMap::new();
        for (place, points) in (0..).zip(&series) {
            points.values.moments().for_each(|at| due.entry(at).or_default().push(place));
        }
        let mut headings = HashMap::new();
        let encoders = series.into_iter().map(|points| SeriesEncoder::new(points, &mut headings)).collect();
        Self { resource, scope: message::scope(), encoders, due: due.into_iter(), rest: Vec::new() }
    }

    /// The next request, oldest moments first; `None` when all points were packed.
    fn next(&mut self) -> Option<Batch> {
        let (mut batch, mut bytes) = (Batch::empty(Signal::Metrics), 0);
        while bytes < BATCH_BYTES {
            let places = match std::mem::take(&mut self.rest) {
                rest if rest.is_empty() => self.due.next().map(|(_, places)| places).unwrap_or_default(),
                rest => rest,
            };
            if places.is_empty() {
                break;
            }
            batch.begin_points(self.resource.clone(), self.scope.clone());
            bytes += MOMENT_BYTES + self.moment(&mut batch, places);
        }
        (batch.items() > 0).then_some(batch)
    }

    /// Adds the points of a moment as far as there is room. Returns their size.
    fn moment(&mut self, batch: &mut Batch, mut places: Vec<u32>) -> usize {
        let mut bytes = 0;
        for (done, place) in places.iter().enumerate() {
            if bytes >= BATCH_BYTES {
                self.rest = places.split_off(done);
                break;
            }
            let Some(encoder) = self.encoders.get_mut(*place as usize) else { continue };
            bytes += encoder.write_next(batch);
        }
        bytes
    }
}

impl Values {
    /// The moments that have a value.
    fn moments(&self) -> Box<dyn Iterator<Item = Millis> + '_> {
        match self {
            Self::Numbers(values) => Box::new(values.iter().map(|(at, _)| *at)),
            Self::Ages(ages) => Box::new(ages.moments[ages.places.clone()].iter().copied()),
            Self::Histograms(values) => Box::new(values.iter().map(|(at, _)| *at)),
        }
    }
}

/// Merges metrics of the same name into one message, as OTLP requires.
pub(crate) fn merged(metrics: Vec<Metric>) -> Vec<Metric> {
    let mut merged: Vec<Metric> = Vec::new();
    for metric in metrics {
        match (
            merged.iter_mut().find(|other| other.name == metric.name).and_then(|other| other.data.as_mut()),
            metric.data,
        ) {
            (Some(Data::Gauge(all)), Some(Data::Gauge(more))) => all.data_points.extend(more.data_points),
            (Some(Data::Sum(all)), Some(Data::Sum(more))) => all.data_points.extend(more.data_points),
            (Some(Data::Histogram(all)), Some(Data::Histogram(more))) => all.data_points.extend(more.data_points),
            (_, data) => merged.push(Metric { data, ..metric }),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;

    use super::*;
    use crate::store::counting::CountingKv;

    fn series(metric: names::Metric, name: &str, moments: std::ops::Range<i64>) -> Points {
        let values = moments.map(|at| (Millis(at), count(at))).collect();
        let attributes = Attributes::new().text(names::TASK_TYPE, name);
        Points { metric, attributes, values: Values::Numbers(values) }
    }

    /// The requests as a backend decodes them.
    fn packed(series: Vec<Points>) -> Vec<ExportMetricsServiceRequest> {
        let mut packer = Packer::new(Bytes::from_static(b""), series);
        let batches = std::iter::from_fn(|| packer.next());
        batches.map(|batch| ExportMetricsServiceRequest::decode(batch.encode()).unwrap()).collect()
    }

    /// The moment, metric and value of each point, in the order they are sent.
    fn points(requests: &[ExportMetricsServiceRequest]) -> Vec<(u64, &str, f64)> {
        let mut all = Vec::new();
        for resource in requests.iter().flat_map(|request| &request.resource_metrics) {
            let mut of_moment = Vec::new();
            for metric in &resource.scope_metrics[0].metrics {
                let Some(Data::Gauge(Gauge { data_points }) | Data::Sum(Sum { data_points, .. })) = &metric.data else {
                    panic!("{metric:?} holds no numbers")
                };
                for point in data_points {
                    let Some(number_data_point::Value::AsDouble(value)) = point.value else { panic!("{point:?}") };
                    assert_eq!(point.attributes.len(), 1, "{point:?}");
                    of_moment.push((point.time_unix_nano / 1_000_000, metric.name.as_str(), value));
                }
            }
            let moments: std::collections::BTreeSet<u64> = of_moment.iter().map(|(at, ..)| *at).collect();
            assert_eq!(moments.len(), 1, "a resource holds the points of one moment");
            all.extend(of_moment);
        }
        all
    }

    #[test]
    fn a_backfill_begins_with_a_present_sample() {
        let now = 10 * IN_ORDER;
        let of = |moments: &[i64]| {
            let values = moments.iter().map(|at| (Millis(*at), count(*at))).collect();
            let attributes = Attributes::new().text(names::TASK_TYPE, "task");
            Points { metric: names::M_TASK_WIP, attributes, values: Values::Numbers(values) }
        };
        let sent = |moments: &[i64]| -> Vec<i64> {
            let parts = present_first(vec![of(moments)], Millis(now));
            let requests: Vec<_> = parts.into_iter().flat_map(packed).collect();
            points(&requests).into_iter().map(|(at, ..)| i64::try_from(at).unwrap()).collect()
        };
        let (old, recent) = (now - IN_ORDER - 1, now - IN_ORDER);
        assert_eq!(sent(&[old, recent, now]), [now, old, recent]);
        assert_eq!(sent(&[recent, now]), [recent, now], "what is not old stays in order");
        assert_eq!(sent(&[old]), [old]);
    }

    /// A store with this many tasks of each source, which ended long ago, and the calls it gets.
    async fn drained(config: &crate::config::Config, sources: &[&str], tasks: usize) -> (Store, Arc<CountingKv>) {
        use crate::model::Change;
        use crate::model::samples::{facts, stored, to};
        let calls = Arc::new(CountingKv::over(Arc::new(crate::store::MemoryKv::default())));
        let store = Store::over(Arc::clone(&calls) as Arc<dyn crate::store::Kv>).unwrap();
        let mut transaction = store.begin().unwrap();
        for (place, source) in sources.iter().enumerate() {
            for task in 0..tasks {
                let first = Facts { project: format!("P{place}").as_str().into(), ..facts(Status::Todo) };
                let timeline = vec![stored(1_000, Change::Created(Box::new(first))), stored(2_000, to(Status::Done))];
                let record = TaskRecord {
                    url: String::new(),
                    reporter: None,
                    updated: Millis(0),
                    blockers: vec![],
                    absences: 0,
                    timeline,
                };
                transaction.put_task(&TaskKey::new(*source, task.to_string()), None, &record, true).unwrap();
            }
            transaction.seal(source).unwrap();
        }
        transaction.commit().unwrap();
        drain(&store, config, Millis(400 * DAY)).await;
        (store, calls)
    }

    async fn drain(store: &Store, config: &crate::config::Config, now: Millis) {
        let stop = tokio_util::sync::CancellationToken::new();
        let destinations = crate::export::Destinations::counting(&stop);
        let exporter =
            crate::export::Exporter::new(store, config, &destinations, &crate::progress::Quiet, &stop, false);
        let present = crate::export::Present { snapshots: false, metrics: true };
        assert!(exporter.drain(now, present).await.errors.is_empty());
    }

    fn configured(text: &str) -> crate::config::Config {
        crate::config::parse(text, "x.yaml", &[crate::config::kind::unchecked("jira")]).unwrap()
    }

    #[tokio::test]
    async fn with_all_of_the_history_a_drain_without_changes_costs_the_same_however_many_tasks_there_are() {
        let config = configured(
            "sources: [{name: a, kind: jira, url: 'https://a.example', auth: {token: {env: T}}}]\nexport: {history: all}",
        );
        let mut costs = Vec::new();
        for tasks in [10, 3_000] {
            let (store, calls) = drained(&config, &["a"], tasks).await;
            calls.take();
            drain(&store, &config, Millis(400 * DAY + 60_000)).await;
            costs.push(calls.take());
        }
        assert_eq!(costs[0], costs[1], "calls of the store");
    }

    #[tokio::test]
    async fn a_replay_of_one_source_or_project_has_no_points_of_others() {
        let config = configured(
            "sources:\n- {name: a, kind: jira, url: 'https://a.example', auth: {token: {env: T}}}\n\
             - {name: b, kind: jira, url: 'https://b.example', auth: {token: {env: T}}}",
        );
        let (store, _) = drained(&config, &["a", "b"], 2).await;
        let stop = tokio_util::sync::CancellationToken::new();
        let destinations = crate::export::Destinations::counting(&stop);
        let exporter =
            crate::export::Exporter::new(&store, &config, &destinations, &crate::progress::Quiet, &stop, false);
        let projects = async |source: Option<&str>, project: Option<&str>| {
            let (source, project) = (source.map(str::to_owned), project.map(str::to_owned));
            let selection = crate::export::Selection { since: None, source, project };
            let sent = exporter.replay(&selection, Millis(400 * DAY)).await.by_project;
            sent.into_keys().collect::<Vec<_>>()
        };
        assert_eq!(projects(None, None).await, ["P0", "P1"]);
        assert_eq!(projects(Some("b"), None).await, ["P1"]);
        assert_eq!(projects(None, Some("P0")).await, ["P0"]);
        assert_eq!(projects(Some("b"), Some("P0")).await, [""; 0]);
    }

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

    #[test]
    fn each_moment_has_its_own_resource_and_moments_ascend() {
        let wip = series(names::M_TASK_WIP, "story", 1..4);
        let late = series(names::M_TASK_WIP, "bug", 3..5);
        let created = series(names::M_TASK_CREATED, "story", 2..4);
        let requests = packed(vec![wip, late, created]);
        assert_eq!(requests.len(), 1);
        let (wip, created) = (names::M_TASK_WIP.name, names::M_TASK_CREATED.name);
        let expected = [
            (1, wip, 1.0),
            (2, wip, 2.0),
            (2, created, 2.0),
            (3, wip, 3.0),
            (3, wip, 3.0),
            (3, created, 3.0),
            (4, wip, 4.0),
        ];
        assert_eq!(points(&requests), expected);
        let named: Vec<usize> =
            requests[0].resource_metrics.iter().map(|moment| moment.scope_metrics[0].metrics.len()).collect();
        assert_eq!(named, [1, 2, 2, 1], "a metric is named once in a moment");
    }

    #[test]
    fn a_long_history_takes_several_requests_and_is_complete() {
        let long = |name: &str| series(names::M_TASK_WIP, name, 0..5_000);
        let requests = packed((0..20).map(|n| long(&n.to_string())).collect());
        assert!(requests.len() > 3, "{} requests", requests.len());
        let points = points(&requests);
        assert!(points.is_sorted_by_key(|(at, ..)| *at));
        assert_eq!(points.len(), 100_000);
        for request in &requests {
            assert!(request.encoded_len() < MAX_BATCH_BYTES / 2, "{} bytes", request.encoded_len());
        }
    }

    #[test]
    fn a_moment_with_very_many_points_takes_several_requests() {
        let requests = packed((0..30_000).map(|n| series(names::M_TASK_WIP, &n.to_string(), 7..8)).collect());
        assert!(requests.len() > 1 && requests.iter().all(|request| request.resource_metrics.len() == 1));
        assert_eq!(points(&requests).len(), 30_000);
    }
}
