//! Replay: from what is kept to what the backends are told, each signal at its own pace.
//!
//! [`Exporter::drain`] tells every backend what it has not been told; [`Exporter::replay`] tells history again without
//! moving anything. What is sent is decided by pure functions: [`render`](self) turns timelines into final spans, `events`
//! into log records, `board` into numbers; [`ids`] gives the same ids to the same facts for ever, [`semconv`] holds every
//! name. What a backend refused for good is kept as a dead letter, and only then, after its acknowledgement, does the
//! position move.

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

/// The group of notes that holds each signal's export counters.
const EXPORT: &str = "export";

/// Where each signal goes.
pub struct Destinations {
    deliveries: BTreeMap<Signal, Delivery>,
    budget: Mutex<TraceBudget>,
    recent_anchors: Mutex<traces::RecentAnchors>,
    since: Instant,
}

impl Destinations {
    /// The destinations of the configuration. Contacts nothing yet. Cancelling `stop` ends every wait.
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

    /// Destinations that take and count everything, and send nothing.
    pub fn counting(stop: &CancellationToken) -> Self {
        let one = |signal: &Signal| (*signal, Delivery::new(Box::new(CountingSink::default()), stop.clone()));
        let deliveries = Signal::ALL.iter().map(one).collect();
        Self::of(deliveries)
    }

    fn of(deliveries: BTreeMap<Signal, Delivery>) -> Self {
        Self { deliveries, budget: Mutex::default(), recent_anchors: Mutex::default(), since: Instant::now() }
    }

    /// The time by which a backend's memory is reckoned: it never stands still or goes back, as the wall clock may.
    fn time(&self) -> Millis {
        Millis(i64::try_from(self.since.elapsed().as_millis()).unwrap_or(i64::MAX))
    }

    /// The signals that go anywhere.
    pub fn signals(&self) -> impl Iterator<Item = Signal> + '_ {
        self.deliveries.keys().copied()
    }
}

/// What was taken by the backends.
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

/// What a drain came to.
#[derive(Debug, Default)]
pub struct DrainReport {
    /// History told, by source.
    pub by_source: BTreeMap<String, Sent>,
    /// Snapshots and metrics told, by project id.
    pub by_project: BTreeMap<String, Sent>,
    /// Items refused for good.
    pub rejected: u64,
    /// Batches sent again.
    pub retries: u64,
    /// DeadLetter letters written.
    pub dead: u64,
    /// Signals whose backend did not take everything, and why. What remains is still in the journal.
    pub errors: Vec<(Signal, Error)>,
}

impl DrainReport {
    /// Everything taken.
    pub fn total(&self) -> Sent {
        let mut sum = Sent::default();
        self.by_source.values().chain(self.by_project.values()).for_each(|sent| sum.add(sent));
        sum
    }
}

/// Whether a drain also tells the present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Present {
    /// Snapshots of projects that are due one.
    pub snapshots: bool,
    /// The history grid up to now, and now.
    pub metrics: bool,
}

impl Present {
    /// Both: the end of a `sync`.
    pub const ALL: Self = Self { snapshots: true, metrics: true };
}

/// What to tell again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only what became final then or later.
    pub since: Option<Millis>,
    /// Only this source.
    pub source: Option<String>,
    /// Only this project (its id).
    pub project: Option<String>,
}

/// What a drain or replay is about.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Plan {
    /// The moment it is.
    now: Millis,
    /// History to tell again; `None` when what was not told yet is told, and positions move.
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

/// Running totals of a signal's exports, for our own metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportCounters {
    /// Items taken.
    pub sent: u64,
    /// Items refused for good.
    pub rejected: u64,
    /// Those of them whose reason is known, by [`Reason::as_str`]; older versions noted none.
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

    /// What became of a batch.
    fn of(delivered: &Delivered) -> Self {
        let mut reasons = BTreeMap::new();
        for letter in &delivered.dead {
            *reasons.entry(Reason::of(&letter.reason).as_str().to_owned()).or_default() += letter.items;
        }
        Self { sent: delivered.accepted, rejected: delivered.rejected, reasons, retries: delivered.retries }
    }

    /// Items refused for good for this reason.
    pub fn refused(&self, reason: Reason) -> u64 {
        self.reasons.get(reason.as_str()).copied().unwrap_or(0)
    }

    /// Items refused for good by a version that noted no reasons.
    pub fn refused_before(&self) -> u64 {
        self.rejected.saturating_sub(self.reasons.values().sum())
    }
}

/// Tells the backends what is kept.
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
    /// A exporter that gives up on a backend after `export.give_up` without progress, or (`endless`) never.
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

    /// Tells every backend what it has not been told, signals side by side: one that is down does not hold up the others.
    pub async fn drain(&self, now: Millis, present: Present) -> DrainReport {
        let report = self.all_signals(&Plan { now, again: None }, present).await;
        if let Err(error) = self.prune() {
            tracing::warn!(error = %error.full(), "cut the journal");
        }
        report
    }

    /// Tells history again: the same ids, no position moves.
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
            tracing::warn!(error = %error.full(), "keep the export counters");
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

    /// The moment before which nothing is told.
    fn horizon(&self, plan: &Plan) -> Millis {
        let oldest = self.config.export.history.map_or(Millis(i64::MIN), |history| plan.now.plus(-history));
        plan.selection(|selection| selection.since).map_or(oldest, |since| oldest.min(since))
    }

    /// Where the history grid of a project that was never told begins.
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

    /// Everything of a source that has news for a signal: from the journal while it reaches back far enough, else all.
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
            tracing::debug!(%signal, source, "telling from the tasks themselves");
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

    /// BlockedByLinks until the backend can hold the traces of a batch besides those it still holds.
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
            () = self.cancel.cancelled() => Err(Error::new(ErrorKind::Cancelled, "stopped on request; the next run goes on")),
            () = tokio::time::sleep(wait) => Ok(()),
        }
    }

    /// Delivers a batch, keeps count and dead letters, and returns how many items were taken.
    async fn send(&self, owner: &str, batch: Batch) -> Result<u64> {
        let signal = batch.signal();
        let (Some(delivery), Some(deadlines)) =
            (self.destinations.deliveries.get(&signal), self.deadlines.get(&signal))
        else {
            return Err(Error::new(ErrorKind::Internal, "send a signal that has no sink"));
        };
        let delivered = delivery.deliver(batch, &mut *deadlines.lock().await).await?;
        self.record(signal, &delivered)?;
        self.progress.event(owner, Update::Sent { signal, items: delivered.accepted });
        Ok(delivered.accepted)
    }

    /// Counts what became of a batch; what was refused for good is kept at once.
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
            tracing::warn!(%signal, reason = %letter.reason, hint = letter.hint.as_deref(), items = letter.items, "refused for good");
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

    /// Adds what was counted since the last time to the totals in the store.
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

    /// Cuts each source's journal behind the slowest signal.
    fn prune(&self) -> Result<()> {
        // By the configuration, not by our destinations: a service has a exporter for each signal.
        for source in self.config.sources.iter().map(|source| source.name.as_str()) {
            let mut slowest = self.store.sealed(source)?;
            // Every signal of the configuration, also those that another exporter tells.
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

/// What went wrong on the way, for the report.
#[derive(Debug, Default)]
struct Tally {
    rejected: u64,
    retries: u64,
    dead: u64,
    /// Not yet in the store's totals.
    counters: BTreeMap<Signal, ExportCounters>,
}

/// What one signal told.
#[derive(Debug, Default)]
struct SentBreakdown {
    by_source: BTreeMap<String, Sent>,
    by_project: BTreeMap<String, Sent>,
}

/// The name that Prometheus gives to an OTLP metric.
pub use exposition::name as exposition_name;

/// A signal's export counters.
pub fn export_counters(store: &Store, signal: Signal) -> Result<ExportCounters> {
    Ok(store.metadata(EXPORT, signal.as_str())?.unwrap_or_default())
}

/// The metrics of every project at `now` as a scrape sees them: the same function that is pushed.
pub fn scrape(store: &Store, config: &Config, now: Millis) -> Result<String> {
    let context = context::ExportContext::new(config);
    let mut all = Vec::new();
    for (_, metrics) in metrics::now(store, &context, now)? {
        all.extend(metrics);
    }
    Ok(exposition::text(&metrics::merged(all)))
}
