//! The export: sends what is stored to the backends, each signal at its own pace.
//!
//! [`Exporter::drain`] sends every backend what it does not have yet; [`Exporter::replay`] sends history again without
//! moving any position. Pure functions decide what is sent: `render` turns timelines into final spans, `events` into
//! log records, `series` into numbers. [`ids`](crate::model::ids) gives the same ids to the same facts, and
//! [`semconv`](crate::model::semconv) has every name. What a backend permanently rejects is stored as a dead letter. A
//! position moves only after the backend acknowledged the data.

mod ahead;
mod anchors;
mod backend;
mod business;
pub mod calls;
pub mod canary;
mod context;
mod destinations;
mod events;
mod exported;
mod exposition;
#[cfg(test)]
mod finality;
mod insights;
pub mod lineage;
mod logs;
mod message;
mod metrics;
pub mod otlp;
mod parts;
mod plan;
mod render;
mod sender;
mod series;
mod snapshot;
mod traces;

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;

pub use backend::{BackendStatus, backend_status, export_lag, exported_to};
pub use destinations::Destinations;
pub(crate) use exported::inherit;
pub(crate) use metrics::agents::completed_lately;
pub use plan::{Present, Selection, Sent};
pub use sender::{ExportCounters, export_counters};

use crate::config::{Config, SourceConfig};
use crate::model::error::{Error, Result};
use crate::model::signal::Signal;
use crate::model::time::Millis;
use crate::progress::Progress;
use crate::store::{DeadId, DeadLetter, Position, Store, Unit};
use lineage::TimelineCache;
use plan::Plan;
use sender::Sender;

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

/// Result of sending dead letters again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct RetriedDead {
    /// Letters sent.
    pub letters: u64,
    /// Items that the backend accepted.
    pub accepted: u64,
    /// Items that it refused again.
    pub refused: u64,
    /// Letters not sent: their request is not kept, or their signal has no backend any more.
    pub kept: u64,
}

/// Sends what is stored to the backends.
pub struct Exporter<'a> {
    sender: Sender<'a>,
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
        Self { sender: Sender::new(store, config, destinations, progress, cancel, endless) }
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

    /// Sends history again, with the same ids. No position moves. Once all of it was sent, older dead letters of the signal are
    /// removed: what they hold was sent with it, and what was refused again has letters of its own.
    pub async fn replay(&self, selection: &Selection, now: Millis) -> DrainReport {
        let present = Present { snapshots: false, metrics: true };
        let older = self.sender.store.dead_letters_by_id();
        let report = self.all_signals(&Plan { now, again: Some(selection.clone()) }, present).await;
        let removed = older.and_then(|older| self.remove_replayed(&older, selection, &report));
        if let Err(error) = removed {
            tracing::warn!(error = %error.full(), "remove the dead letters that were sent again");
        }
        report
    }

    /// Removes the letters whose signal was sent whole.
    fn remove_replayed(
        &self,
        older: &[(DeadId, DeadLetter)],
        selection: &Selection,
        report: &DrainReport,
    ) -> Result<()> {
        let (store, sources) = (self.sender.store, &self.sender.config.sources);
        let is_left_out = |source: &SourceConfig| !store.owns(&Unit::source(&source.name));
        if *selection != Selection::default() || sources.iter().any(is_left_out) {
            return Ok(());
        }
        // What a source left that is configured no longer is in no replay, and a letter does not say whose it is.
        let is_configured = |name: &str| sources.iter().any(|source| source.name == name);
        if !store.totals()?.iter().all(|(source, ..)| is_configured(source)) {
            return Ok(());
        }
        let has_failed = |signal: Signal| report.errors.iter().any(|(failed, _)| *failed == signal);
        let is_sent = |signal: &Signal| self.sender.destinations.has(*signal) && !has_failed(*signal);
        let sent: Vec<&str> =
            Signal::ALL.iter().filter(|signal| is_sent(signal)).map(|signal| signal.as_str()).collect();
        let mut transaction = store.begin()?;
        let replayed = older.iter().filter(|(_, letter)| sent.contains(&letter.signal.as_str()));
        replayed.for_each(|(id, _)| transaction.remove_dead(*id));
        transaction.commit().map(drop)
    }

    /// Sends the requests of these dead letters again, oldest first. A letter is removed once the backend accepted it; what it
    /// refuses again becomes a new letter. Stops at the first backend that does not answer.
    ///
    /// # Errors
    /// Those of the store; [`crate::ErrorKind::Export`] when a backend accepts nothing.
    pub async fn retry_dead(&self, letters: &[(DeadId, DeadLetter)]) -> Result<RetriedDead> {
        let mut retried = RetriedDead::default();
        let outcome = self.retry_each(letters, &mut retried).await;
        if let Err(error) = self.sender.save_counters() {
            tracing::warn!(error = %error.full(), "store the export counters");
        }
        self.sender.take_tally();
        outcome.map(|()| retried)
    }

    async fn retry_each(&self, letters: &[(DeadId, DeadLetter)], retried: &mut RetriedDead) -> Result<()> {
        for (id, letter) in letters {
            let signal = Signal::ALL.into_iter().find(|signal| signal.as_str() == letter.signal);
            let signal = signal.filter(|signal| self.sender.destinations.has(*signal));
            let (Some(signal), Some(request)) = (signal, self.sender.store.dead_request(*id)?) else {
                retried.kept += 1;
                continue;
            };
            let delivered = self.sender.send_dead(*id, letter.items, signal, &request).await?;
            retried.letters += 1;
            retried.accepted += delivered.accepted;
            retried.refused += delivered.rejected;
        }
        Ok(())
    }

    async fn all_signals(&self, plan: &Plan, present: Present) -> DrainReport {
        let (mut traces, mut logs, mut metrics) =
            (SentBreakdown::default(), SentBreakdown::default(), SentBreakdown::default());
        let cache = TimelineCache::new(self.sender.store);
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
            match outcome {
                // Nothing is left to send, so nothing has stalled either.
                Ok(()) if self.sender.destinations.has(signal) => self.sender.record_trouble(signal, None),
                Ok(()) => {}
                Err(error) => report.errors.push((signal, error)),
            }
        }
        if let Err(error) = self.sender.save_counters() {
            tracing::warn!(error = %error.full(), "store the export counters");
        }
        let tally = self.sender.take_tally();
        (report.rejected, report.retries, report.dead) = (tally.rejected, tally.retries, tally.dead);
        report
    }

    fn sources<'s>(&'s self, plan: &'s Plan) -> impl Iterator<Item = &'s str> {
        self.sender
            .config
            .sources
            .iter()
            .map(|source| source.name.as_str())
            .filter(|source| plan.includes_source(source))
    }

    async fn traces(
        &self,
        cache: &TimelineCache<'_>,
        plan: &Plan,
        present: Present,
        into: &mut SentBreakdown,
    ) -> Result<()> {
        if !self.sender.destinations.has(Signal::Traces) {
            return Ok(());
        }
        for source in self.sources(plan) {
            let unit = Unit::source(source);
            let Some(_working) = self.sender.store.enter(&unit) else { continue };
            let sent = into.by_source.entry(source.to_owned()).or_default();
            for _ in 0..self.rounds(Signal::Traces, source, plan)? {
                let done = traces::Traces::run(&self.sender, cache, source, plan, sent).await;
                self.unless_left(&unit, done)?;
            }
        }
        if present.snapshots {
            snapshot::run(&self.sender, cache, plan.now, &mut into.by_project).await
        } else {
            Ok(())
        }
    }

    async fn logs(&self, cache: &TimelineCache<'_>, plan: &Plan, into: &mut SentBreakdown) -> Result<()> {
        if !self.sender.destinations.has(Signal::Logs) {
            return Ok(());
        }
        for source in self.sources(plan) {
            let unit = Unit::source(source);
            let Some(_working) = self.sender.store.enter(&unit) else { continue };
            let sent = into.by_source.entry(source.to_owned()).or_default();
            for _ in 0..self.rounds(Signal::Logs, source, plan)? {
                let done = logs::Logs::run(&self.sender, cache, source, plan, sent).await;
                self.unless_left(&unit, done)?;
            }
        }
        Ok(())
    }

    /// An export that ended because another replica has the unit now has not failed: that one goes on.
    fn unless_left(&self, unit: &Unit, done: Result<()>) -> Result<()> {
        match done {
            Err(error) if !self.sender.store.owns(unit) => {
                tracing::debug!(error = %error.full(), ?unit, "another replica goes on");
                Ok(())
            }
            done => done,
        }
    }

    /// How often a source has to be exported to reach its seal: an export that was interrupted first ends where it was going.
    fn rounds(&self, signal: Signal, source: &str, plan: &Plan) -> Result<usize> {
        let position = self.sender.store.position(signal, source)?;
        Ok(1 + usize::from(plan.again.is_none() && position.upto.is_some()))
    }

    async fn metrics(
        &self,
        cache: &TimelineCache<'_>,
        plan: &Plan,
        present: Present,
        into: &mut SentBreakdown,
    ) -> Result<()> {
        if !present.metrics || !self.sender.destinations.has(Signal::Metrics) {
            return Ok(());
        }
        let sealed: Vec<(&str, u64)> =
            self.sources(plan).map(|source| Ok((source, self.sender.store.sealed(source)?))).collect::<Result<_>>()?;
        metrics::run(&self.sender, cache, plan, &mut into.by_project).await?;
        if plan.again.is_some() {
            return Ok(());
        }
        for (source, done) in sealed {
            let unit = Unit::source(source);
            let Some(_working) = self.sender.store.enter(&unit) else { continue };
            let position = Position { done, upto: None, after: None };
            if position == self.sender.store.position(Signal::Metrics, source)? {
                continue;
            }
            let store = self.sender.store.of(unit);
            let mut transaction = store.begin()?;
            transaction.put_position(Signal::Metrics, source, &position)?;
            transaction.commit()?;
        }
        Ok(())
    }

    /// Prunes each source's journal behind the slowest signal.
    fn prune(&self) -> Result<()> {
        for source in self.sender.config.sources.iter().map(|source| source.name.as_str()) {
            let unit = Unit::source(source);
            let Some(_working) = self.sender.store.enter(&unit) else { continue };
            let mut slowest = self.sender.store.sealed(source)?;
            // Every configured signal, also those of other exporters: a service has one for each signal.
            for signal in self.sender.config.export.otlp.targets.keys() {
                slowest = slowest.min(self.sender.store.position(*signal, source)?.done);
            }
            if slowest > self.sender.store.pruned(source)? {
                let (store, mut more) = (self.sender.store.of(unit), true);
                while more {
                    let mut transaction = store.begin()?;
                    more = transaction.prune(source, slowest)?;
                    transaction.commit()?;
                }
            }
        }
        Ok(())
    }
}

/// What one signal sent.
#[derive(Debug, Default)]
struct SentBreakdown {
    by_source: BTreeMap<String, Sent>,
    by_project: BTreeMap<String, Sent>,
}

/// The metrics of every project at `now` as a scrape reads them, from the same function as the pushed ones. Of several replicas,
/// each has those of its projects.
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

#[cfg(test)]
mod tests;
