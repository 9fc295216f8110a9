//! The export of metrics: the history grid up to now, then now. The values come from [`super::series`]; here they
//! become OTLP, in requests that ascend in time.
//!
//! How far the grid was exported is stored per project, after the backend accepted it ([`grid`]). So a service that was down fills
//! the gap, and no point is sent twice with different values. The grid goes no further than its sources were read.

pub(super) mod agents;
mod grid;
mod open;
mod packer;
mod points;
mod project;
mod sprints;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use bytes::Bytes;
use opentelemetry_proto::tonic::metrics::v1::Metric;

use self::grid::{Exported, read_until};
use self::open::OpenTasks;
use self::packer::Packer;
pub(crate) use self::points::merged;
use self::points::{Points, Values};
use self::project::{description, project_points};
use self::sprints::sprint_series;
use super::context::{ExportContext, ResourceKey};
use super::insights;
use super::lineage::TimelineCache;
use super::message::Attributes;
use super::plan::{Plan, Sent};
use super::sender::Sender;
use super::series::{self, Axis, FLOW_WINDOW, ProjectSeries};
use crate::model::error::Result;
use crate::model::semconv as names;
use crate::model::time::{DAY, Millis};
use crate::model::timeline::TaskHistory;
use crate::model::totals;
use crate::model::{SmolStr, TaskKey, TaskRecord};
use crate::store::{Store, Unit};

/// Samples that are older than the newest by no more than this are no backfill to Prometheus.
const IN_ORDER: i64 = 3_600_000;

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
    let again = plan.again.is_some();
    let mut exported = Exported::read(sender.store, read_until.keys().filter(|_| !again))?;
    let known_first = OnceLock::new();
    let axis_of = |project: &str| -> Result<Axis> {
        let exported = if again { None } else { exported.until(project)? };
        let first = match (exported, sender.config.export.history) {
            // All of the history was exported up to there. The first moment would be read from every task.
            (Some(exported), None) => exported,
            _ => history_start(sender, plan, &known_first)?,
        };
        let read_until = read_until.get(project).copied().unwrap_or(now);
        Ok(Axis::new(Some(exported.unwrap_or(first).max(first).min(now)), step, read_until, now))
    };
    let chosen = chosen(sender.store, &context, plan)?;
    let source = plan.selection(|selection| selection.source.clone());
    let projects = collect(cache, &context, now, &axis_of, Scope { everything: again, source: source.as_deref() })?;
    // What is known besides work is of now: a replay has nothing of it.
    let wanted = |project: &ProjectMetrics| {
        chosen.contains(&project.project_id)
            || !again && !project.has_history && plan.includes_project(&project.project_id)
    };
    let mut ended = Ok(());
    for project in projects.into_iter().filter(wanted) {
        let Some(_working) = sender.store.enter(&Unit::of_project(&project.project_id)) else { continue };
        let (project_id, has_history) = (project.project_id.clone(), project.has_history);
        let parts = present_first(project.series, now);
        let is_backfill = parts.len() > 1;
        let resource = context.resource(&ExportContext::project_key(&project_id));
        ended = send(sender, &project_id, &resource, parts, sent).await;
        if ended.is_ok() && !again && has_history {
            let upto = read_until.get(&project_id).copied().unwrap_or(now);
            ended = exported.note(&project_id, upto, is_backfill);
        }
        if ended.is_err() {
            break;
        }
    }
    // What the backend has counts, whatever failed after it.
    ended.and(exported.save())
}

/// Sends a project's series, part by part, and counts their points.
async fn send(
    sender: &Sender<'_>,
    project_id: &str,
    resource: &Bytes,
    parts: Vec<Vec<Points>>,
    sent: &mut BTreeMap<String, Sent>,
) -> Result<()> {
    for series in parts {
        let mut packer = Packer::new(resource.clone(), series);
        while let Some(batch) = packer.next() {
            sent.entry(project_id.to_owned()).or_default().points += sender.send(project_id, batch).await?;
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

/// The metrics of every project at `now` alone, e.g. for a scrape.
pub(crate) fn now(store: &Store, context: &ExportContext<'_>, now: Millis) -> Result<Vec<(ResourceKey, Vec<Metric>)>> {
    let axis_of = |_: &str| Ok(Axis::new(None, DAY, now, now));
    let projects = collect(&TimelineCache::new(store), context, now, &axis_of, Scope::default())?;
    Ok(projects
        .into_iter()
        .filter(|project| store.owns(&Unit::of_project(&project.project_id)))
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
    let with_info = store.open_tasks(None).count() <= context.config.export.task_info_limit;
    let mut open = OpenTasks::new(cache, context, now, with_info);
    let mut place = |key: &TaskKey, record: &TaskRecord| -> Result<()> {
        let Some(history) = TaskHistory::new(&record.timeline) else { return Ok(()) };
        place(&mut all_series, context, key, &history, &record.url);
        let snapshot = history.at(now);
        let is_open = snapshot.state.deleted.is_none() && !snapshot.state.facts.status.is_finished();
        if is_open && scope.includes(key) { open.add(key, &record.url, &snapshot.state.facts) } else { Ok(()) }
    };
    each_task(store, (!all).then(|| earliest.plus(-FLOW_WINDOW)), &mut place)?;
    let mut infos = open.finish()?;
    let mut sprints = sprint_series(cache, context, &all_series, now, scope.source)?;
    let mut insights = insight_points(store, context, now, scope)?;
    let mut agents = agents::points(store, context, &all_series, now, scope)?;
    let mut without_work = without_work(context, &all_series, now);
    let projects = all_series.into_iter().map(|(project_id, series)| {
        let mut series = project_points(&series, context, &project_id);
        series.extend(infos.remove(&project_id).unwrap_or_default());
        series.extend(sprints.remove(&project_id).unwrap_or_default());
        series.extend(insights.remove(&project_id).unwrap_or_default());
        series.extend(agents.remove(&project_id).unwrap_or_default());
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

/// Visits every task, or with `since` only those that are open or ended then or later.
fn each_task(
    store: &Store,
    since: Option<Millis>,
    visit: &mut dyn FnMut(&TaskKey, &TaskRecord) -> Result<()>,
) -> Result<()> {
    let Some(since) = since else {
        return store.tasks(None).try_for_each(|item| item.and_then(|(key, record)| visit(&key, &record)));
    };
    let keys = store.open_tasks(None).chain(store.ended_since(since));
    store.tasks_of(keys).try_for_each(|item| item.and_then(|(key, record)| visit(&key, &record)))
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
    let mut sealed: BTreeMap<&SmolStr, u64> = BTreeMap::new();
    for (source, native, _) in &all_totals {
        if !sealed.contains_key(source) {
            sealed.insert(source, store.sealed(source)?);
        }
        if sealed.get(source) == Some(&0) {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::packer::tests::{packed, points};
    use super::points::count;
    use super::*;
    use crate::model::{Facts, Status};
    use crate::store::counting::CountingKv;

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
        use crate::model::samples::{facts, record, stored, to};
        let calls = Arc::new(CountingKv::over(Arc::new(crate::store::MemoryKv::default())));
        let store = Store::over(Arc::clone(&calls) as Arc<dyn crate::store::Kv>).unwrap();
        let mut transaction = store.begin().unwrap();
        for (place, source) in sources.iter().enumerate() {
            for task in 0..tasks {
                let first = Facts { project: format!("P{place}").as_str().into(), ..facts(Status::Todo) };
                let timeline = vec![stored(1_000, Change::Created(Box::new(first))), stored(2_000, to(Status::Done))];
                let record = record(timeline);
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
}
