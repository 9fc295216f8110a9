//! Snapshots: a project's open tasks and waiting insights as one trace per tick, because exported spans are final and cannot be updated.
//!
//! A snapshot is sent when something in the project changed since the last one, and at least hourly. Its spans last one
//! interval from the tick, and each links to its task's history anchor.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::context::{ExportContext, ResourceKey};
use super::insights::{self, InsightRender};
use super::lineage::{self, MAX_DEPTH, TimelineCache};
use super::message::{self, Attributes, Link, Outcome, Span};
use super::plan::Sent;
use super::render::RenderContext;
use super::sender::Sender;
use crate::export::otlp::{Batch, MAX_BATCH_BYTES, MAX_BATCH_SPANS, Signal};
use crate::model::error::Result;
use crate::model::ids::{self, Role, TraceId};
use crate::model::insight::InsightRecord;
use crate::model::link;
use crate::model::reported;
use crate::model::semconv as names;
use crate::model::time::{HOUR, MINUTE, Millis};
use crate::model::timeline::{self, Summary};
use crate::model::{Blocker, Status, TaskKey, TaskRecord};
use crate::store::{Store, TASKS_AT_ONCE, Unit};

/// The metadata group that holds each project's last snapshot.
const METADATA_GROUP: &str = "snapshot";
/// The metadata group that holds the moment of each project's newest snapshot, sent or not.
const CLAIMS: &str = "snapshot_claim";
const BATCH_BYTES: usize = MAX_BATCH_BYTES - 64 * 1024;

/// A project's last snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Taken {
    at: Millis,
    /// The journal number it covers.
    seq: u64,
}

/// Sends a snapshot of every project that is due one at `tick`.
pub(super) async fn run(
    sender: &Sender<'_>,
    cache: &TimelineCache<'_>,
    tick: Millis,
    sent: &mut BTreeMap<String, Sent>,
) -> Result<()> {
    let store = sender.store;
    let context = ExportContext::new(sender.config);
    let head = store.head()?;
    let (mut projects, linked) = open_by_project(cache, &context)?;
    let insights = insights::waiting(store, &context, tick)?;
    for project_id in insights.keys() {
        projects.entry(project_id.clone()).or_default();
    }
    let due = due(store, &context, &projects, tick)?;
    if due.is_empty() {
        return Ok(());
    }
    let waiting = Waiting::among(cache, &projects, &linked)?;
    for (project_id, open) in &projects {
        let Some(tick) = due.get(project_id).copied() else { continue };
        let unit = Unit::of_project(project_id);
        let Some(_working) = store.enter(&unit) else { continue };
        let store = store.of(unit);
        claim(&store, project_id, tick)?;
        let open_insights = insights.get(project_id).map(Vec::as_slice).unwrap_or_default();
        let tasks = OpenTasks { open, waiting: &waiting, questions: insights::blocking_questions(open_insights, tick) };
        let mut snapshot =
            Snapshot::new(RenderContext { cache, context: &context }, project_id, (&tasks, open_insights), tick);
        while let Some(batch) = snapshot.next()? {
            sender.wait_for_room(&batch).await?;
            sent.entry(project_id.clone()).or_default().spans += sender.send(project_id, batch).await?;
        }
        let mut transaction = store.begin()?;
        transaction.put_metadata(METADATA_GROUP, project_id, &Taken { at: tick, seq: head })?;
        transaction.commit()?;
    }
    Ok(())
}

/// Where several replicas share the store, a moment is stored before anything of it is sent. Whoever goes on takes another one: a
/// request that is still under way has other ids then.
fn claim(store: &Store, project_id: &str, tick: Millis) -> Result<()> {
    if !store.is_written_by_others() {
        return Ok(());
    }
    let mut transaction = store.begin()?;
    transaction.put_metadata(CLAIMS, project_id, &tick)?;
    transaction.commit().map(drop)
}

/// The open tasks of a project. Their records are read one by one while the spans are rendered: those of a large site
/// would be its whole recent history.
type Open = BTreeSet<TaskKey>;

/// What a snapshot renders.
struct OpenTasks<'a> {
    /// The open tasks of the project.
    open: &'a Open,
    waiting: &'a Waiting,
    /// What each of them waits for besides tasks, by the key that people use.
    questions: BTreeMap<String, BTreeSet<String>>,
}

/// Which open task is blocked by which, over all projects, by key and in order.
#[derive(Debug, Default)]
struct Waiting {
    waits_for: BTreeMap<TaskKey, BTreeSet<String>>,
    holds_up: BTreeMap<TaskKey, BTreeSet<String>>,
}

/// An open task with blockers: its id, its key and the links.
type Linked = (TaskKey, String, Vec<Blocker>);

impl Waiting {
    fn among(cache: &TimelineCache<'_>, projects: &BTreeMap<String, Open>, linked: &[Linked]) -> Result<Self> {
        let mut waiting = Self::default();
        for (key, name, blockers) in linked {
            for blocker in blockers {
                let other = known(cache, key, blocker)?;
                let open = other.as_ref().filter(|other| projects.values().any(|open| open.contains(*other)));
                // A blocker in the store counts by its own record; for any other, only the link has its state.
                if open.is_none() && (other.is_some() || blocker.finished) {
                    continue;
                }
                let record = open.map(|open| cache.record(open)).transpose()?.flatten();
                let state = record.as_ref().and_then(|record| timeline::last(&record.timeline));
                let called = state.map_or_else(|| blocker.key.to_string(), |state| state.facts.key.to_string());
                waiting.waits_for.entry(key.clone()).or_default().insert(called);
                if let Some(other) = other {
                    waiting.holds_up.entry(other).or_default().insert(name.clone());
                }
            }
        }
        Ok(waiting)
    }

    /// Adds the attributes with what it waits for and the tasks that it holds up. A blocked task gets them even if
    /// empty, so that a table of blocked tasks always has the columns.
    fn add_to(
        &self,
        attributes: Attributes,
        key: &TaskKey,
        blocked: bool,
        questions: Option<&BTreeSet<String>>,
    ) -> Attributes {
        let mut attributes = attributes;
        let waits_for = [self.waits_for.get(key), questions];
        for (name, all) in [(names::TASK_WAITS_FOR, &waits_for[..]), (names::TASK_HOLDS_UP, &[self.holds_up.get(key)])]
        {
            let all: Vec<&str> = all.iter().copied().flatten().flatten().map(String::as_str).collect();
            if blocked || !all.is_empty() {
                attributes = attributes.text(name, &all.join(", "));
            }
        }
        attributes
    }
}

/// The task that a link to a blocker leads to, if it is in the store.
fn known(cache: &TimelineCache<'_>, key: &TaskKey, blocker: &Blocker) -> Result<Option<TaskKey>> {
    let named = || cache.store().named(&blocker.key);
    let held = |other: TaskKey| Ok(cache.record(&other)?.map(|_| other));
    link::target(&key.source, blocker.native_id.as_deref(), named, held)
}

/// The open tasks of each project, and those of them that have blockers.
fn open_by_project(
    cache: &TimelineCache<'_>,
    context: &ExportContext<'_>,
) -> Result<(BTreeMap<String, Open>, Vec<Linked>)> {
    let (mut projects, mut linked) = (BTreeMap::<String, Open>::new(), Vec::new());
    let store = cache.store();
    for item in store.tasks_of(store.open_tasks(None)) {
        let (key, record) = item?;
        let Some(state) = timeline::last(&record.timeline) else { continue };
        if reported::unstarted_creation(&key, &record).is_some() {
            continue;
        }
        if !record.blockers.is_empty() {
            linked.push((key.clone(), state.facts.key.to_string(), record.blockers.clone()));
        }
        projects.entry(context.project_id(&key.source, &state.facts.project)).or_default().insert(key);
    }
    Ok((projects, linked))
}

/// The projects in which something changed since their last snapshot, or whose last one is an hour old, each with the
/// moment of its snapshot. A project is not due while the first pass of one of its sources is incomplete: the snapshot
/// would be partial.
fn due(
    store: &Store,
    context: &ExportContext<'_>,
    projects: &BTreeMap<String, Open>,
    tick: Millis,
) -> Result<BTreeMap<String, Millis>> {
    let mut newest: BTreeMap<String, u64> = BTreeMap::new();
    let mut incomplete = BTreeSet::new();
    for (source, native, seq) in store.changed()? {
        let project_id = context.project_id(&source, &native);
        if store.sealed(&source)? == 0 {
            incomplete.insert(project_id.clone());
        }
        let newest = newest.entry(project_id).or_default();
        *newest = seq.max(*newest);
    }
    let mut due = BTreeMap::new();
    let ours = |project_id: &&String| store.owns(&Unit::of_project(project_id));
    for project_id in projects.keys().filter(ours).filter(|project_id| !incomplete.contains(*project_id)) {
        let changed = newest.get(project_id).copied().unwrap_or(0);
        let taken = store.metadata::<Taken>(METADATA_GROUP, project_id)?;
        if taken.is_none_or(|taken| tick.0 - taken.at.0 >= HOUR || changed > taken.seq) {
            let claimed: Option<Millis> = store.metadata(CLAIMS, project_id)?;
            due.insert(project_id.clone(), moment(claimed.max(taken.map(|taken| taken.at)), tick));
        }
    }
    Ok(due)
}

/// The moment of a snapshot at `tick`: not that of the last one, on a clock that stands still or is set back a little, because
/// the ids follow from it.
fn moment(last: Option<Millis>, tick: Millis) -> Millis {
    let last = last.filter(|at| *at >= tick && at.0 - tick.0 < MINUTE);
    last.map_or(tick, |at| at.plus(1))
}

/// Encoded spans of a request by resource, each with its trace.
type SpansByResource = BTreeMap<ResourceKey, Vec<([u8; 16], Bytes)>>;

/// One project's snapshot while it is sent: one request, or more if it is too large.
struct Snapshot<'a> {
    render: RenderContext<'a>,
    tasks: &'a OpenTasks<'a>,
    /// The tasks not rendered yet, and how many of them were read ahead.
    rest: std::collections::btree_set::Iter<'a, TaskKey>,
    ahead: usize,
    /// The insights not rendered yet.
    insights: std::slice::Iter<'a, InsightRecord>,
    trace: TraceId,
    tick: Millis,
    /// How long each span lasts, in milliseconds.
    interval: i64,
    /// A span that did not fit into the last request.
    leftover: Option<(ResourceKey, Bytes)>,
}

impl<'a> Snapshot<'a> {
    fn new(
        render: RenderContext<'a>,
        project_id: &str,
        (tasks, insights): (&'a OpenTasks<'a>, &'a [InsightRecord]),
        tick: Millis,
    ) -> Self {
        let interval = render.context.config.export.snapshot_interval.as_millis();
        let interval = i64::try_from(interval).unwrap_or(HOUR);
        let trace = ids::snapshot_trace(project_id, tick);
        let (rest, insights) = (tasks.open.iter(), insights.iter());
        Self { render, tasks, rest, insights, ahead: 0, trace, tick, interval, leftover: None }
    }

    /// The next request; `None` when everything was rendered.
    fn next(&mut self) -> Result<Option<Batch>> {
        let mut spans: SpansByResource = BTreeMap::new();
        let (mut count, mut bytes) = (0, 0);
        while let Some((resource, span)) = self.next_span()? {
            let size = span.len() + 8;
            if count >= MAX_BATCH_SPANS || (count > 0 && bytes + size > BATCH_BYTES) {
                self.leftover = Some((resource, span));
                break;
            }
            (count, bytes) = (count + 1, bytes + size);
            spans.entry(resource).or_default().push((self.trace.0, span));
        }
        Ok((count > 0).then(|| request(self.render.context, spans)))
    }

    fn next_key(&mut self) -> Result<Option<&'a TaskKey>> {
        if self.ahead == 0 {
            let keys: Vec<TaskKey> = self.rest.clone().take(TASKS_AT_ONCE).cloned().collect();
            self.render.cache.read_ahead(&keys)?;
            self.render.cache.read_rollups_ahead(&keys)?;
            self.render.cache.read_exported_ahead(&keys)?;
            self.render.cache.read_parts_ahead(&keys)?;
            self.ahead = keys.len();
        }
        self.ahead = self.ahead.saturating_sub(1);
        Ok(self.rest.next())
    }

    fn next_span(&mut self) -> Result<Option<(ResourceKey, Bytes)>> {
        if let Some(leftover) = self.leftover.take() {
            return Ok(Some(leftover));
        }
        while let Some(key) = self.next_key()? {
            let Some(record) = self.render.cache.record(key)? else { continue };
            let Some(summary) = timeline::summary(&record.timeline, self.tick) else { continue };
            let span = span(&self.render, key, &record, &summary, self.tasks, self.tick, self.interval)?;
            let resource = self.render.context.resource_key(&key.source, &summary.state.facts.project);
            return Ok(Some((resource, span.encode().into_trace(self.trace))));
        }
        let render = InsightRender { cache: self.render.cache, context: self.render.context };
        let waiting = self.insights.by_ref();
        let next = waiting.find_map(|record| render.snapshot(record, self.tick, self.interval));
        Ok(next.map(|(resource, span)| (resource, span.encode().into_trace(self.trace))))
    }
}

fn request(context: &ExportContext<'_>, spans: SpansByResource) -> Batch {
    let mut batch = Batch::empty(Signal::Traces);
    for (key, spans) in spans {
        batch.add_spans(context.resource(&key), message::scope(), spans);
    }
    batch
}

fn span(
    render: &RenderContext<'_>,
    key: &TaskKey,
    record: &TaskRecord,
    summary: &Summary,
    tasks: &OpenTasks<'_>,
    tick: Millis,
    interval: i64,
) -> Result<Span> {
    let facts = &summary.state.facts;
    let rollup = render.cache.rollup(key)?;
    let blockers: Vec<String> = record.blockers.iter().map(|blocker| blocker.key.clone()).collect();
    let blocked = summary.status == Status::Blocked;
    let stale = tick.0 - summary.last_activity.0 > render.context.stale_after(&key.source);
    let attributes = render
        .identity(Role::Snapshot, key, facts, summary.status, tick)?
        .text(names::TASK_NATIVE_TYPE, &facts.native_type)
        .maybe(names::TASK_REPORTER, render.context.person(record.reporter.as_deref()).as_deref())
        .texts(names::TASK_LABELS, &facts.labels)
        .maybe(names::TASK_URL, Some(record.url.as_str()))
        .maybe(names::TASK_DUE_DATE, facts.due.as_deref())
        .texts(names::TASK_BLOCKED_BY, &blockers)
        .maybe(names::TASK_BLOCKED_REASON, blocked.then(|| timeline::reason(facts)).as_deref())
        .double(names::TASK_PERCENT_COMPLETE, rollup.percent_complete().unwrap_or_else(|| summary.leaf_percent()))
        .own(facts)
        .int(names::TASK_SUBTASK_COUNT, rollup.children)
        .int(names::TASK_SUBTASK_COMPLETED, rollup.children_done)
        .moment(names::TASK_CREATED_AT, Some(summary.created))
        .moment(names::TASK_STARTED_AT, summary.started)
        .double(names::TASK_BLOCKED_TIME, summary.blocked_time)
        .double(names::TASK_STATUS_AGE, tick.seconds_since(summary.status_since).max(0.0))
        .flag(names::TASK_STALE, stale);
    let attributes =
        tasks.waiting.add_to(render.work(attributes, record, tick), key, blocked, tasks.questions.get(&*facts.key));
    let mut links = Vec::new();
    if let Some((trace, anchor)) = lineage::current(render.cache, key)? {
        links.push(Link { trace, span: anchor, kind: "history" });
    }
    links.extend(render.blocker_links(key, &blockers, tick)?);
    let parent = open_ancestor(render.cache, key, tasks.open, tick)?;
    let name = render.context.label(&facts.key, &facts.title);
    Ok(Span {
        parent: parent.map(|parent| span_id(&parent, tick)),
        attributes,
        links,
        outcome: blocked.then(|| Outcome::Blocked(timeline::reason(facts))),
        ..Span::new(span_id(key, tick), name, tick, tick.plus(interval))
    })
}

/// The nearest ancestor in the snapshot. An open task below a finished story still belongs to its epic.
fn open_ancestor(cache: &TimelineCache<'_>, key: &TaskKey, open: &Open, tick: Millis) -> Result<Option<TaskKey>> {
    let mut next = key.clone();
    for _ in 0..MAX_DEPTH {
        let Some(parent) = cache.facts(&next, tick)?.and_then(|facts| facts.parent.clone()) else { break };
        next = TaskKey::new(key.source.as_str(), parent.native_id);
        if open.contains(&next) && next != *key {
            return Ok(Some(next));
        }
    }
    Ok(None)
}

fn span_id(key: &TaskKey, tick: Millis) -> ids::SpanId {
    ids::span(key, Role::Snapshot, tick.0.cast_unsigned())
}
