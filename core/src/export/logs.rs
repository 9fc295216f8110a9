//! The export of logs: every event, oldest first.
//!
//! A record has the event's time as its time and as its observed time, because a new observed time would defeat Loki's
//! deduplication. Records older than an hour go to a stream of their own (`replay=backfill`), because one live line
//! closes a stream for anything much older.
//!
//! Oldest first means jumping from task to task. So the records to send are first listed as [`PendingRecord`]s, which
//! are small and sorted, and then rendered window by window: each task is folded once per window, and only one window
//! is in memory.

use std::collections::BTreeMap;

use bytes::Bytes;
use opentelemetry_proto::tonic::logs::v1::SeverityNumber;

use super::backend;
use super::context::{ExportContext, ResourceKey};
use super::events::{self, ExportedEvent};
use super::insights::InsightRender;
use super::lineage::{self, TimelineCache};
use super::message::{self, Attributes, Record};
use super::plan::{Plan, Sent};
use super::render;
use super::sender::Sender;
use crate::export::otlp::{Batch, MAX_BATCH_BYTES, Signal};
use crate::model::error::Result;
use crate::model::ids::{self, Role, SpanId, TraceId};
use crate::model::insight::{self, Folded};
use crate::model::reported;
use crate::model::semconv as names;
use crate::model::time::{HOUR, Millis};
use crate::model::timeline;
use crate::model::totals::points;
use crate::model::{SmolStr, SprintRecord, StoredEvent, TaskKey, TaskRecord};
use crate::store::{Item, Position, TASKS_AT_ONCE, Unit};

/// The most records in a request.
const BATCH_RECORDS: usize = 1_000;
const BATCH_BYTES: usize = MAX_BATCH_BYTES - 64 * 1024;
/// The number of records rendered at once, of some 400 bytes each. A task is folded again for each window that has
/// events of it.
const WINDOW: usize = 4 * BATCH_RECORDS;

/// A record to send: when, which stored event, which of its exported events, and whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct PendingRecord {
    at: Millis,
    id: u64,
    place: u8,
    owner: u32,
}

impl PendingRecord {
    fn order(self) -> Vec<u8> {
        let mut order = (self.at.0.cast_unsigned() ^ (1 << 63)).to_be_bytes().to_vec();
        order.extend(self.id.to_be_bytes());
        order.push(self.place);
        order
    }
}

/// The export of one source's logs.
pub(super) struct Logs<'a> {
    sender: &'a Sender<'a>,
    source: &'a str,
    plan: &'a Plan,
    context: ExportContext<'a>,
    cache: &'a TimelineCache<'a>,
    now: Millis,
    owners: Vec<Item>,
}

/// The encoded records of one pending record, each with its resource.
type Records = Vec<(ResourceKey, Bytes)>;

impl<'a> Logs<'a> {
    /// Exports everything new of a source.
    pub(super) async fn run(
        sender: &'a Sender<'a>,
        cache: &'a TimelineCache<'a>,
        source: &'a str,
        plan: &'a Plan,
        sent: &mut Sent,
    ) -> Result<()> {
        let store = sender.store;
        let mut position =
            if plan.again.is_some() { Position::default() } else { store.position(Signal::Logs, source)? };
        let upto = position.upto.unwrap_or(store.sealed(source)?);
        if upto <= position.done {
            return Ok(());
        }
        let mut work = Self {
            sender,
            source,
            plan,
            context: ExportContext::new(sender.config),
            cache,
            now: plan.now,
            owners: Vec::new(),
        };
        let pending = work.pending(plan.first(&position)..=upto)?;
        let start =
            position.after.as_ref().map_or(0, |after| pending.partition_point(|ticket| ticket.order() <= *after));
        for window in pending[start..].chunks(WINDOW) {
            let mut records = work.records(window)?.into_iter();
            let mut rest = window;
            while !rest.is_empty() {
                let (batch, taken) = work.batch(&mut records);
                sent.logs += sender.send_history(source, batch).await?;
                rest = &rest[taken..];
            }
            position.upto = Some(upto);
            position.after = window.last().map(|ticket| ticket.order());
            work.save_position(&position)?;
        }
        work.save_position(&Position { done: upto, upto: None, after: None })
    }

    fn save_position(&self, position: &Position) -> Result<()> {
        if self.plan.again.is_some() {
            return Ok(());
        }
        let store = self.sender.store.of(Unit::source(self.source));
        let mut transaction = store.begin()?;
        if position.after.is_some() {
            backend::note_behind(self.sender.store, &mut transaction, Signal::Logs, self.source)?;
        }
        transaction.put_position(Signal::Logs, self.source, position)?;
        transaction.commit().map(drop)
    }

    /// The records to send, oldest first.
    fn pending(&mut self, seqs: std::ops::RangeInclusive<u64>) -> Result<Vec<PendingRecord>> {
        let horizon = self.sender.horizon(self.plan);
        let mut items: Vec<Item> = Vec::new();
        self.sender.each_changed(Signal::Logs, self.source, &seqs, self.plan, |item| {
            items.push(item);
            Ok(())
        })?;
        items.sort();
        items.dedup();
        let mut pending = Vec::new();
        for (place, item) in items.iter().enumerate() {
            if place % TASKS_AT_ONCE == 0 {
                let next = &items[place..items.len().min(place + TASKS_AT_ONCE)];
                self.cache.read_ahead(&next.iter().filter_map(Item::task).cloned().collect::<Vec<_>>())?;
            }
            let owner = u32::try_from(place).unwrap_or(u32::MAX);
            let fresh = match item {
                Item::Task(key) => self.cache.record(key)?.map(|record| task_pending(key, &record, &seqs, owner)),
                Item::Sprint(key) => self.cache.sprint(key)?.map(|sprint| sprint_pending(&sprint, &seqs, owner)),
                Item::Insight { project, id } => self.insight_pending(project, id, &seqs, owner)?,
            };
            let wanted = |ticket: &PendingRecord| ticket.at >= horizon && self.plan.includes(ticket.at);
            pending.extend(fresh.unwrap_or_default().into_iter().filter(wanted));
        }
        self.owners = items;
        pending.shrink_to_fit();
        pending.sort_unstable();
        Ok(pending)
    }

    /// The next batch, and the number of pending records in it.
    fn batch(&self, records: &mut std::vec::IntoIter<Records>) -> (Batch, usize) {
        let mut streams: BTreeMap<ResourceKey, Vec<Bytes>> = BTreeMap::new();
        let (mut bytes, mut taken) = (0, 0);
        while taken < BATCH_RECORDS
            && (taken == 0 || bytes <= BATCH_BYTES)
            && let Some(of_one) = records.next()
        {
            taken += 1;
            for (resource, record) in of_one {
                bytes += record.len() + 8;
                streams.entry(resource).or_default().push(record);
            }
        }
        let mut batch = Batch::empty(Signal::Logs);
        for (key, records) in streams {
            batch.add_records(self.context.resource(&key), message::scope(), &records);
        }
        (batch, taken)
    }

    /// The records of a window, in its order. Each task is folded once.
    fn records(&self, window: &[PendingRecord]) -> Result<Vec<Records>> {
        let mut by_owner: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (place, ticket) in window.iter().enumerate() {
            by_owner.entry(ticket.owner).or_default().push(place);
        }
        let mut records = vec![Records::new(); window.len()];
        let by_owner: Vec<(&Item, Vec<usize>)> = by_owner
            .into_iter()
            .filter_map(|(owner, places)| Some((self.owners.get(owner as usize)?, places)))
            .collect();
        for page in by_owner.chunks(TASKS_AT_ONCE) {
            let tasks: Vec<TaskKey> = page.iter().filter_map(|(item, _)| item.task()).cloned().collect();
            self.cache.read_ahead(&tasks)?;
            self.cache.read_exported_ahead(&tasks)?;
            for (item, places) in page {
                self.records_of(item, window, places, &mut records)?;
            }
        }
        for (ticket, of_one) in window.iter().zip(&mut records) {
            of_one.retain(|(resource, _)| self.plan.includes_project(&resource.project_id));
            let backfill = self.now.0 - ticket.at.0 > HOUR;
            of_one.iter_mut().for_each(|(resource, _)| resource.backfill = backfill);
        }
        Ok(records)
    }

    /// Renders what changed at these `places` of the window.
    fn records_of(&self, item: &Item, window: &[PendingRecord], places: &[usize], into: &mut [Records]) -> Result<()> {
        match item {
            Item::Task(key) => self.task_records(key, window, places, into),
            Item::Sprint(key) => places.iter().try_for_each(|place| {
                into[*place] = self.sprint_record(window[*place], key)?.into_iter().collect();
                Ok(())
            }),
            Item::Insight { project, id } => self.insight_records(project, id, window, places, into),
        }
    }

    /// Renders a task's events at these `places` of the window.
    fn task_records(
        &self,
        key: &TaskKey,
        window: &[PendingRecord],
        places: &[usize],
        into: &mut [Records],
    ) -> Result<()> {
        let Some(task) = self.cache.record(key)? else { return Ok(()) };
        let spans = spans(self.cache, key)?;
        let mut asked: Vec<(u64, u8, usize)> =
            places.iter().map(|place| (window[*place].id, window[*place].place, *place)).collect();
        asked.sort_unstable();
        let first = |of: (u64, u8)| asked.partition_point(|(id, place, _)| (*id, *place) < of);
        let wanted = |stored: &StoredEvent| {
            asked.get(first((stored.event.id.0, 0))).is_some_and(|(id, ..)| *id == stored.event.id.0)
        };
        let mut outcome = Ok(());
        events::each(&task.timeline, wanted, |event| {
            let wanted = (event.id.0, event.place);
            let Some((_, _, place)) = asked.get(first(wanted)).filter(|(id, place, _)| (*id, *place) == wanted) else {
                return;
            };
            match self.event_records(key, event, &spans) {
                Ok(records) => into[*place] = records,
                Err(error) => outcome = Err(error),
            }
        });
        outcome
    }

    fn event_records(&self, key: &TaskKey, event: &ExportedEvent<'_>, spans: &[Interval]) -> Result<Records> {
        if !event.is_allowed(&self.context) {
            return Ok(Records::new());
        }
        let attributes = Attributes::new()
            .text(names::TASK_ID, &event.facts.key)
            .text(names::TASK_TYPE, event.facts.task_type.as_str())
            .maybe(names::TASK_TITLE, self.context.title(&event.facts.title))
            .and(&events::attributes(event, &self.context));
        let sprints = match event.name {
            names::TASK_SPRINT_CHANGED => {
                (self.sprint_names(key, &event.sprints_before)?, self.sprint_names(key, &event.facts.sprints)?)
            }
            _ => (None, None),
        };
        let body = events::sentence(event, &self.context, sprints);
        let span = spans.iter().rev().find(|(from, ..)| *from <= event.at).or(spans.first());
        let resource = self.context.resource_key(&key.source, &event.facts.project);
        let mut records = vec![(resource.clone(), record(event.at, event.name, &body, attributes, span))];
        if event.name == names::TASK_SPRINT_CHANGED {
            let changes = self.scope_changes(key, event, span)?;
            records.extend(changes.into_iter().map(|record| (resource.clone(), record)));
        }
        Ok(records)
    }

    /// The names of these sprints; `None` when there are none.
    fn sprint_names(&self, key: &TaskKey, ids: &[SmolStr]) -> Result<Option<String>> {
        let name = |id: &SmolStr| -> Result<String> {
            let known = self.cache.sprint(&TaskKey::new(key.source.as_str(), id.as_str()))?;
            Ok(known.map_or_else(|| id.to_string(), |known| known.facts.name.to_string()))
        };
        let named: Vec<String> = ids.iter().map(name).collect::<Result<_>>()?;
        Ok((!named.is_empty()).then(|| named.join(", ")))
    }

    /// The records for changes of scope: the task entered or left a running sprint.
    fn scope_changes(&self, key: &TaskKey, event: &ExportedEvent<'_>, span: Option<&Interval>) -> Result<Vec<Bytes>> {
        let change = crate::model::Change::Sprints(event.facts.sprints.clone());
        let mut records = Vec::new();
        for (sprint, entered) in crate::model::sprint::membership_changes(&event.sprints_before, &change) {
            let Some(known) = self.cache.sprint(&TaskKey::new(key.source.as_str(), sprint))? else { continue };
            let over = known.facts.completed.is_some_and(|completed| event.at >= completed);
            if over || known.facts.start.is_none_or(|start| event.at <= start) {
                continue;
            }
            let by = event.facts.estimate.unwrap_or(0.0) * if entered { 1.0 } else { -1.0 };
            let verb = if entered { "entered" } else { "left" };
            let body = format!("{} {verb} {} ({by:+} points)", event.facts.key, known.facts.name);
            let attributes = Attributes::new()
                .text(names::TASK_ID, &event.facts.key)
                .text(names::SPRINT_ID, sprint)
                .text(names::SPRINT_NAME, &known.facts.name)
                .double(names::SPRINT_SCOPE_CHANGE, by);
            records.push(record(event.at, names::SPRINT_SCOPE_CHANGED, &body, attributes, span));
        }
        Ok(records)
    }

    /// The changes of an insight that this source brought. Their place in the history of the insight is their id.
    fn insight_pending(
        &self,
        project: &str,
        id: &str,
        seqs: &std::ops::RangeInclusive<u64>,
        owner: u32,
    ) -> Result<Option<Vec<PendingRecord>>> {
        let Some(record) = self.sender.store.insight(project, id)? else { return Ok(None) };
        let Some(Folded { entries, .. }) = insight::fold(&record) else { return Ok(None) };
        let changes = entries.iter().enumerate().skip(1).filter(|(_, entry)| {
            let (journal, source) = &entry.journal;
            seqs.contains(journal) && source.as_ref().unwrap_or(&record.source) == self.source
        });
        let pending = changes.map(|(place, entry)| PendingRecord { at: entry.at, id: place as u64, place: 0, owner });
        Ok(Some(pending.collect()))
    }

    fn insight_records(
        &self,
        project: &str,
        id: &str,
        window: &[PendingRecord],
        places: &[usize],
        into: &mut [Records],
    ) -> Result<()> {
        let Some(stored) = self.sender.store.insight(project, id)? else { return Ok(()) };
        let Some(Folded { insight, entries }) = insight::fold(&stored) else { return Ok(()) };
        let render = InsightRender { cache: self.cache, context: &self.context };
        let key = stored.key();
        for place in places {
            let entry = usize::try_from(window[*place].id).ok().and_then(|at| entries.get(at));
            let Some(entry) = entry else { continue };
            let (body, attributes) = render.change(&insight, entry);
            let span = (entry.at, ids::insight_trace(&key), ids::span(&key, Role::Insight, 1));
            let record = record(entry.at, names::INSIGHT_UPDATED, &body, attributes, Some(&span));
            into[*place] = vec![(render.resource(&stored), record)];
        }
        Ok(())
    }

    fn sprint_record(&self, ticket: PendingRecord, key: &TaskKey) -> Result<Option<(ResourceKey, Bytes)>> {
        let Some(sprint) = self.cache.sprint(key)? else { return Ok(None) };
        let Some(sprint_history) = self.cache.sprint_history(key)? else { return Ok(None) };
        let (facts, tally) = (&sprint.facts, sprint_history.at(ticket.at));
        let closed = ticket.place == CLOSED;
        let (name, body) = if closed {
            let done = format!("{} of {} points done", points(tally.completed), points(tally.scope));
            (names::SPRINT_CLOSED, format!("{} closed: {done}", facts.name))
        } else {
            (names::SPRINT_STARTED, format!("{} started with {} points", facts.name, points(tally.committed)))
        };
        let attributes = Attributes::new()
            .text(names::SPRINT_ID, &key.native_id)
            .text(names::SPRINT_NAME, &facts.name)
            .maybe(names::SPRINT_GOAL, facts.goal.as_deref())
            .double(names::SPRINT_PLANNED_POINTS, points(tally.committed))
            .double(names::SPRINT_COMPLETED_POINTS, points(tally.completed));
        let span = (ticket.at, ids::sprint_trace(key), ids::span(key, Role::Sprint, 1));
        let project = facts.project.as_deref().unwrap_or(&key.source);
        let record = record(ticket.at, name, &body, attributes, Some(&span));
        Ok(Some((self.context.resource_key(&key.source, project), record)))
    }
}

/// A span and the start of the interval in which events belong to it.
type Interval = (Millis, TraceId, SpanId);

/// The span of each interval of a task's history: the phase or, once it was finished, the finished task.
fn spans(cache: &TimelineCache<'_>, key: &TaskKey) -> Result<Vec<Interval>> {
    let mut spans = Vec::new();
    let mut cycle = 0;
    let Some(record) = cache.record(key)? else { return Ok(spans) };
    for (from, until, status) in timeline::phase_intervals(&record.timeline) {
        // A span is in the trace of the task's root at the span's end. A finished task's span ends when it was finished.
        let (span, ended) = if status.is_finished() {
            cycle += 1;
            (ids::span(key, Role::Task, cycle), from)
        } else {
            (render::phase_span(key, from), until.unwrap_or(Millis(i64::MAX)))
        };
        if let Some(anchor) = lineage::anchor(cache, key, ended)? {
            spans.push((from, anchor.trace(1), span));
        }
    }
    Ok(spans)
}

const STARTED: u8 = 0;
const CLOSED: u8 = 1;

/// The events of a task that are new. That it was created is known once its start was reported.
fn task_pending(
    key: &TaskKey,
    record: &TaskRecord,
    seqs: &std::ops::RangeInclusive<u64>,
    owner: u32,
) -> Vec<PendingRecord> {
    let unknown = reported::unstarted_creation(key, record).map(|created| created.event.id);
    let fresh = events::places(&record.timeline).into_iter();
    let fresh = fresh.filter(|(_, id, _, seq)| seqs.contains(seq) && Some(*id) != unknown);
    fresh.map(|(at, id, place, _)| PendingRecord { at, id: id.0, place, owner }).collect()
}

/// The start and the close of a sprint, if they are new. One that is open again has no close yet.
fn sprint_pending(sprint: &SprintRecord, seqs: &std::ops::RangeInclusive<u64>, owner: u32) -> Vec<PendingRecord> {
    let fresh = |seq: Option<u64>| seq.is_some_and(|seq| seqs.contains(&seq));
    let facts = &sprint.facts;
    let started = facts.start.filter(|_| facts.has_started() && fresh(sprint.started_seq)).map(|at| (at, STARTED));
    let over = facts.completed.or(facts.end);
    let closed = over.filter(|_| facts.is_over() && fresh(sprint.closed_seq)).map(|at| (at, CLOSED));
    started.into_iter().chain(closed).map(|(at, place)| PendingRecord { at, id: 0, place, owner }).collect()
}

fn record(at: Millis, name: &str, body: &str, attributes: Attributes, span: Option<&Interval>) -> Bytes {
    let severity = if name == names::TASK_BLOCKED { SeverityNumber::Warn } else { SeverityNumber::Info };
    let span = span.map(|(_, trace, span)| (*trace, *span));
    Record { at, severity, name, body, attributes, span }.encode()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{SprintFacts, SprintState};

    #[test]
    fn a_sprint_that_is_open_again_or_has_not_started_is_not_said_to_be_closed_or_started() {
        let facts = SprintFacts {
            name: "Sprint 1".into(),
            goal: None,
            project: None,
            state: SprintState::Closed,
            start: Some(Millis(1)),
            end: Some(Millis(3)),
            completed: Some(Millis(2)),
            exact: true,
        };
        let closed = SprintRecord::next(None, facts.clone(), 1);
        let pending = |state, completed, seq| {
            let next = SprintRecord::next(Some(&closed), SprintFacts { state, completed, ..facts.clone() }, seq);
            sprint_pending(&next, &(0..=9), 0).iter().map(|ticket| (ticket.at.0, ticket.place)).collect::<Vec<_>>()
        };
        assert_eq!(pending(SprintState::Closed, Some(Millis(2)), 2), [(1, STARTED), (2, CLOSED)]);
        assert_eq!(pending(SprintState::Active, None, 2), [(1, STARTED)]);
        assert_eq!(pending(SprintState::Future, None, 2), []);
    }
}
