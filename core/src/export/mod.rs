//! The export: sends what is stored to the backends, each signal at its own pace.
//!
//! [`Exporter::drain`] sends every backend what it does not have yet; [`Exporter::replay`] sends history again without
//! moving any position. Pure functions decide what is sent: `render` turns timelines into final spans, `events` into
//! log records, `series` into numbers. [`ids`](crate::model::ids) gives the same ids to the same facts, and
//! [`semconv`](crate::model::semconv) has every name. What a backend permanently rejects is stored as a dead letter. A
//! position moves only after the backend acknowledged the data.

pub mod canary;
mod context;
mod events;
mod exposition;
pub mod lineage;
mod logs;
mod message;
mod metrics;
pub mod otlp;
mod parts;
mod render;
mod series;
mod snapshot;
mod traces;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::time::Duration;

use lineage::TimelineCache;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, OtlpConfig};
use crate::export::otlp::{
    Admission, Batch, CountingSink, Delivered, Delivery, OtlpTarget, ProgressDeadline, Reason, RetryPolicy, Signal,
    TraceBudget,
};
use crate::lock;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::time::Millis;
use crate::progress::{Progress, Update};
use crate::store::{DeadLetter, Item, Position, Store};

/// The metadata group that holds each signal's export counters.
const EXPORT: &str = "export";

/// The destination of each signal, and what it may still hold in memory.
pub struct Destinations {
    deliveries: BTreeMap<Signal, Delivery>,
    budget: Mutex<TraceBudget>,
    recent_anchors: Mutex<traces::RecentAnchors>,
    since: Instant,
}

impl Destinations {
    /// The destinations in the configuration. Contacts nothing yet. Cancelling `stop` ends every wait.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when an address, header or certificate cannot be used.
    pub fn connect(config: &OtlpConfig, stop: &CancellationToken, policy: &RetryPolicy) -> Result<Self> {
        let mut deliveries = BTreeMap::new();
        for signal in config.targets.keys() {
            let Some(target) = OtlpTarget::of(config, *signal)? else { continue };
            let sink = otlp::connect(&target, *signal)?;
            deliveries.insert(*signal, Delivery::with_policy(sink, stop.clone(), policy.clone()));
        }
        Ok(Self::of(deliveries))
    }

    /// Destinations that accept and count everything, and send nothing.
    pub fn counting(stop: &CancellationToken) -> Self {
        let one = |signal: &Signal| (*signal, Delivery::new(Box::new(CountingSink::default()), stop.clone()));
        let deliveries = Signal::ALL.iter().map(one).collect();
        Self::of(deliveries)
    }

    fn of(deliveries: BTreeMap<Signal, Delivery>) -> Self {
        Self { deliveries, budget: Mutex::default(), recent_anchors: Mutex::default(), since: Instant::now() }
    }

    /// The time for what backends hold in memory. It is monotonic, unlike the wall clock.
    fn time(&self) -> Millis {
        Millis(i64::try_from(self.since.elapsed().as_millis()).unwrap_or(i64::MAX))
    }

    /// The signals that have a destination.
    pub fn signals(&self) -> impl Iterator<Item = Signal> + '_ {
        self.deliveries.keys().copied()
    }
}

/// What the backends accepted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// Spans.
    pub spans: u64,
    /// Log records.
    pub logs: u64,
    /// Metric points.
    pub points: u64,
}

impl Sent {
    fn add(&mut self, other: &Self) {
        self.spans += other.spans;
        self.logs += other.logs;
        self.points += other.points;
    }
}

/// Result of a drain or replay.
#[derive(Debug, Default)]
pub struct DrainReport {
    /// History sent, by source.
    pub by_source: BTreeMap<String, Sent>,
    /// Snapshots and metrics sent, by project id.
    pub by_project: BTreeMap<String, Sent>,
    /// Items permanently rejected.
    pub rejected: u64,
    /// Batches sent again.
    pub retries: u64,
    /// Dead letters written.
    pub dead: u64,
    /// Signals whose backend did not accept everything, and why. The rest is still in the journal.
    pub errors: Vec<(Signal, Error)>,
}

impl DrainReport {
    /// The sum over all sources and projects.
    pub fn total(&self) -> Sent {
        let mut sum = Sent::default();
        self.by_source.values().chain(self.by_project.values()).for_each(|sent| sum.add(sent));
        sum
    }
}

/// What a drain sends besides history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Present {
    /// Snapshots of projects that are due.
    pub snapshots: bool,
    /// The history grid up to now, and the values now.
    pub metrics: bool,
}

impl Present {
    /// Both, as at the end of a `sync`.
    pub const ALL: Self = Self { snapshots: true, metrics: true };
}

/// The history that a replay sends again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only what became final at this moment or later.
    pub since: Option<Millis>,
    /// Only this source.
    pub source: Option<String>,
    /// Only this project (its id).
    pub project: Option<String>,
}

/// The parameters of one drain or replay.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Plan {
    /// The present moment.
    now: Millis,
    /// The history to send again; `None` for a drain, which sends what is new and moves positions.
    again: Option<Selection>,
}

impl Plan {
    fn selection<T>(&self, pick: impl Fn(&Selection) -> Option<T>) -> Option<T> {
        self.again.as_ref().and_then(pick)
    }

    fn includes(&self, end: Millis) -> bool {
        self.selection(|selection| selection.since).is_none_or(|since| end >= since)
    }

    fn includes_project(&self, project_id: &str) -> bool {
        self.selection(|selection| selection.project.clone()).is_none_or(|only| only == project_id)
    }

    fn includes_source(&self, source: &str) -> bool {
        self.selection(|selection| selection.source.clone()).is_none_or(|only| only == source)
    }
}

/// Running totals of a signal's export, for the self metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportCounters {
    /// Items accepted.
    pub sent: u64,
    /// Items permanently rejected.
    pub rejected: u64,
    /// Rejected items by [`Reason::as_str`]. Older versions did not count reasons.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reasons: BTreeMap<String, u64>,
    /// Batches sent again.
    pub retries: u64,
}

impl ExportCounters {
    fn add(&mut self, more: &Self) {
        self.sent += more.sent;
        self.rejected += more.rejected;
        self.retries += more.retries;
        for (reason, items) in &more.reasons {
            *self.reasons.entry(reason.clone()).or_default() += items;
        }
    }

    /// The counts of one delivered batch.
    fn of(delivered: &Delivered) -> Self {
        let mut reasons = BTreeMap::new();
        for letter in &delivered.dead {
            *reasons.entry(Reason::of(&letter.reason).as_str().to_owned()).or_default() += letter.items;
        }
        Self { sent: delivered.accepted, rejected: delivered.rejected, reasons, retries: delivered.retries }
    }

    /// Items permanently rejected for this reason.
    pub fn refused(&self, reason: Reason) -> u64 {
        self.reasons.get(reason.as_str()).copied().unwrap_or(0)
    }

    /// Items permanently rejected by a version that did not count reasons.
    pub fn refused_before(&self) -> u64 {
        self.rejected.saturating_sub(self.reasons.values().sum())
    }
}

/// Sends what is stored to the backends.
pub struct Exporter<'a> {
    store: &'a Store,
    config: &'a Config,
    destinations: &'a Destinations,
    progress: &'a dyn Progress,
    cancel: &'a CancellationToken,
    endless: bool,
    deadlines: BTreeMap<Signal, tokio::sync::Mutex<ProgressDeadline>>,
    tally: Mutex<Tally>,
}

impl<'a> Exporter<'a> {
    /// An exporter that gives up on a backend after `export.give_up` without progress, or (`endless`) never.
    pub fn new(
        store: &'a Store,
        config: &'a Config,
        destinations: &'a Destinations,
        progress: &'a dyn Progress,
        cancel: &'a CancellationToken,
        endless: bool,
    ) -> Self {
        let deadlines = |signal: Signal| {
            let deadlines =
                if endless { ProgressDeadline::unlimited() } else { ProgressDeadline::new(config.export.give_up) };
            (signal, tokio::sync::Mutex::new(deadlines))
        };
        let deadlines = destinations.signals().map(deadlines).collect();
        Self { store, config, destinations, progress, cancel, endless, deadlines, tally: Mutex::default() }
    }

    /// Whether it never gives up.
    pub fn is_endless(&self) -> bool {
        self.endless
    }

    /// Sends every backend what it does not have yet. Signals run concurrently, so that one failing backend does not
    /// delay the others.
    pub async fn drain(&self, now: Millis, present: Present) -> DrainReport {
        let report = self.all_signals(&Plan { now, again: None }, present).await;
        if let Err(error) = self.prune() {
            tracing::warn!(error = %error.full(), "prune the journal");
        }
        report
    }

    /// Sends history again, with the same ids. No position moves.
    pub async fn replay(&self, selection: &Selection, now: Millis) -> DrainReport {
        let present = Present { snapshots: false, metrics: true };
        self.all_signals(&Plan { now, again: Some(selection.clone()) }, present).await
    }

    async fn all_signals(&self, plan: &Plan, present: Present) -> DrainReport {
        let (mut traces, mut logs, mut metrics) =
            (SentBreakdown::default(), SentBreakdown::default(), SentBreakdown::default());
        let cache = TimelineCache::new(self.store);
        let outcomes = tokio::join!(
            self.traces(&cache, plan, present, &mut traces),
            self.logs(&cache, plan, &mut logs),
            self.metrics(&cache, plan, present, &mut metrics),
        );
        let mut report = DrainReport::default();
        for part in [traces, logs, metrics] {
            part.by_source
                .iter()
                .for_each(|(source, sent)| report.by_source.entry(source.clone()).or_default().add(sent));
            part.by_project.iter().for_each(|(id, sent)| report.by_project.entry(id.clone()).or_default().add(sent));
        }
        for (signal, outcome) in Signal::ALL.into_iter().zip([outcomes.0, outcomes.1, outcomes.2]) {
            if let Err(error) = outcome {
                report.errors.push((signal, error));
            }
        }
        if let Err(error) = self.save_counters() {
            tracing::warn!(error = %error.full(), "store the export counters");
        }
        let tally = std::mem::take(&mut *lock(&self.tally));
        (report.rejected, report.retries, report.dead) = (tally.rejected, tally.retries, tally.dead);
        report
    }

    fn sources<'s>(&'s self, plan: &'s Plan) -> impl Iterator<Item = &'s str> {
        self.config.sources.iter().map(|source| source.name.as_str()).filter(|source| plan.includes_source(source))
    }

    async fn traces(
        &self,
        cache: &TimelineCache<'_>,
        plan: &Plan,
        present: Present,
        into: &mut SentBreakdown,
    ) -> Result<()> {
        if !self.destinations.deliveries.contains_key(&Signal::Traces) {
            return Ok(());
        }
        for source in self.sources(plan) {
            traces::Traces::run(self, cache, source, plan, into.by_source.entry(source.to_owned()).or_default())
                .await?;
        }
        if present.snapshots { snapshot::run(self, cache, plan.now, &mut into.by_project).await } else { Ok(()) }
    }

    async fn logs(&self, cache: &TimelineCache<'_>, plan: &Plan, into: &mut SentBreakdown) -> Result<()> {
        if !self.destinations.deliveries.contains_key(&Signal::Logs) {
            return Ok(());
        }
        for source in self.sources(plan) {
            logs::Logs::run(self, cache, source, plan, into.by_source.entry(source.to_owned()).or_default()).await?;
        }
        Ok(())
    }

    async fn metrics(
        &self,
        cache: &TimelineCache<'_>,
        plan: &Plan,
        present: Present,
        into: &mut SentBreakdown,
    ) -> Result<()> {
        if !present.metrics || !self.destinations.deliveries.contains_key(&Signal::Metrics) {
            return Ok(());
        }
        let sealed: Vec<(&str, u64)> =
            self.sources(plan).map(|source| Ok((source, self.store.sealed(source)?))).collect::<Result<_>>()?;
        metrics::run(self, cache, plan, &mut into.by_project).await?;
        if plan.again.is_some() {
            return Ok(());
        }
        let mut transaction = self.store.begin()?;
        for (source, done) in sealed {
            let position = Position { done, upto: None, after: None };
            transaction.put_position(Signal::Metrics, source, &position)?;
        }
        transaction.commit().map(drop)
    }

    /// The moment before which nothing is sent.
    fn horizon(&self, plan: &Plan) -> Millis {
        let oldest = self.config.export.history.map_or(Millis(i64::MIN), |history| plan.now.plus(-history));
        plan.selection(|selection| selection.since).map_or(oldest, |since| oldest.min(since))
    }

    /// Where the history grid of a project that was never exported begins.
    fn first_moment(&self, plan: &Plan) -> Result<Millis> {
        if let Some(since) = plan.selection(|selection| selection.since) {
            return Ok(since);
        }
        if let Some(history) = self.config.export.history {
            return Ok(plan.now.plus(-history));
        }
        let mut first = plan.now;
        for item in self.store.tasks(None) {
            let created = crate::model::timeline::first(&item?.1.timeline).map(|(_, created)| created);
            first = created.map_or(first, |created| first.min(created));
        }
        Ok(first)
    }

    /// Visits everything of a source that changed for a signal: from the journal if it reaches back far enough, else
    /// all tasks and sprints.
    fn each_changed(
        &self,
        signal: Signal,
        source: &str,
        seqs: &RangeInclusive<u64>,
        plan: &Plan,
        mut visit: impl FnMut(Item) -> Result<()>,
    ) -> Result<()> {
        let cut = *seqs.start() <= self.store.pruned(source)?;
        if cut || plan.again.is_some() {
            tracing::debug!(%signal, source, "the journal does not reach back far enough; reading all tasks");
            for key in self.store.task_keys(Some(source)) {
                visit(Item::Task(key?))?;
            }
            for (key, _) in self.store.sprints(Some(source))? {
                visit(Item::Sprint(key))?;
            }
            return Ok(());
        }
        for item in self.store.journal(source, seqs.start() - 1, *seqs.end()) {
            visit(item?.1)?;
        }
        Ok(())
    }

    /// Waits until the backend has room for the traces of a batch besides those it still holds.
    async fn wait_for_room(&self, batch: &Batch) -> Result<()> {
        let ids = batch.trace_ids();
        loop {
            let admission = lock(&self.destinations.budget).admit(&ids, self.destinations.time());
            match admission {
                Admission::Go => return Ok(()),
                Admission::Wait(wait) => self.rest(wait).await?,
            }
        }
    }

    async fn rest(&self, wait: Duration) -> Result<()> {
        tokio::select! {
            () = self.cancel.cancelled() => Err(Error::new(ErrorKind::Cancelled, "stopped on request; the next run continues")),
            () = tokio::time::sleep(wait) => Ok(()),
        }
    }

    /// Delivers a batch, counts it, stores dead letters, and returns the number of accepted items.
    async fn send(&self, owner: &str, batch: Batch) -> Result<u64> {
        let signal = batch.signal();
        let (Some(delivery), Some(deadlines)) =
            (self.destinations.deliveries.get(&signal), self.deadlines.get(&signal))
        else {
            return Err(Error::new(ErrorKind::Internal, "send a signal without a destination"));
        };
        let delivered = delivery.deliver(batch, &mut *deadlines.lock().await).await?;
        self.record(signal, &delivered)?;
        self.progress.event(owner, Update::Sent { signal, items: delivered.accepted });
        Ok(delivered.accepted)
    }

    /// Counts the result of a batch, and stores at once what was permanently rejected.
    fn record(&self, signal: Signal, delivered: &Delivered) -> Result<()> {
        {
            let mut tally = lock(&self.tally);
            tally.rejected += delivered.rejected;
            tally.retries += delivered.retries;
            tally.dead += delivered.dead.len() as u64;
            tally.counters.entry(signal).or_default().add(&ExportCounters::of(delivered));
        }
        if delivered.dead.is_empty() {
            return Ok(());
        }
        let mut transaction = self.store.begin()?;
        for letter in &delivered.dead {
            tracing::warn!(%signal, reason = %letter.reason, hint = letter.hint.as_deref(), items = letter.items, "permanently rejected");
            transaction.put_dead(&DeadLetter {
                signal: signal.as_str().to_owned(),
                reason: letter.reason.clone(),
                hint: letter.hint.clone(),
                items: letter.items,
                at: letter.at,
            })?;
        }
        transaction.commit().map(drop)
    }

    /// Adds the counts since the last time to the totals in the store.
    fn save_counters(&self) -> Result<()> {
        let fresh = std::mem::take(&mut lock(&self.tally).counters);
        let mut transaction = self.store.begin()?;
        for (signal, more) in fresh {
            let mut counters: ExportCounters = self.store.metadata(EXPORT, signal.as_str())?.unwrap_or_default();
            counters.add(&more);
            transaction.put_metadata(EXPORT, signal.as_str(), &counters)?;
        }
        transaction.commit().map(drop)
    }

    /// Prunes each source's journal behind the slowest signal.
    fn prune(&self) -> Result<()> {
        for source in self.config.sources.iter().map(|source| source.name.as_str()) {
            let mut slowest = self.store.sealed(source)?;
            // Every configured signal, also those of other exporters: a service has one for each signal.
            for signal in self.config.export.otlp.targets.keys() {
                slowest = slowest.min(self.store.position(*signal, source)?.done);
            }
            if slowest > self.store.pruned(source)? {
                let mut more = true;
                while more {
                    let mut transaction = self.store.begin()?;
                    more = transaction.prune(source, slowest)?;
                    transaction.commit()?;
                }
            }
        }
        Ok(())
    }
}

/// Counts of one run, for the report.
#[derive(Debug, Default)]
struct Tally {
    rejected: u64,
    retries: u64,
    dead: u64,
    /// Not yet added to the totals in the store.
    counters: BTreeMap<Signal, ExportCounters>,
}

/// What one signal sent.
#[derive(Debug, Default)]
struct SentBreakdown {
    by_source: BTreeMap<String, Sent>,
    by_project: BTreeMap<String, Sent>,
}

/// The name that Prometheus gives to an OTLP metric.
pub use exposition::name as exposition_name;

/// A signal's export counters.
///
/// # Errors
/// Those of reading the store.
pub fn export_counters(store: &Store, signal: Signal) -> Result<ExportCounters> {
    Ok(store.metadata(EXPORT, signal.as_str())?.unwrap_or_default())
}

/// The metrics of every project at `now` as a scrape reads them, from the same function as the pushed ones.
///
/// # Errors
/// Those of reading the store.
pub fn scrape(store: &Store, config: &Config, now: Millis) -> Result<String> {
    let context = context::ExportContext::new(config);
    let mut all = Vec::new();
    for (_, metrics) in metrics::now(store, &context, now)? {
        all.extend(metrics);
    }
    Ok(exposition::text(&metrics::merged(all)))
}
