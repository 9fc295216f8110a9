//! Sends batches: waits for room, delivers, counts, and stores dead letters. Also finds what changed for a signal.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::backend;
use super::destinations::Destinations;
use super::otlp::{Admission, Batch, Delivered, ProgressDeadline, Reason, RefusedBatch, Trouble};
use super::plan::Plan;
use crate::config::Config;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::insight::InsightRecord;
use crate::model::signal::Signal;
use crate::model::time::Millis;
use crate::model::timeline;
use crate::progress::{Progress, Update};
use crate::store::{DeadId, DeadLetter, Item, Store, Unit};
use crate::{clock, lock};

/// The metadata group that holds each signal's export counters.
const EXPORT: &str = "export";

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

/// A signal's export counters.
///
/// # Errors
/// Those of reading the store.
pub fn export_counters(store: &Store, signal: Signal) -> Result<ExportCounters> {
    Ok(store.metadata(EXPORT, signal.as_str())?.unwrap_or_default())
}

/// What a backend permanently refused for one reason in one run: one line in the log.
#[derive(Debug, Default)]
struct RefusedGroup {
    batches: u64,
    items: u64,
    /// The last message, and what to do about it.
    reason: String,
    hint: Option<String>,
}

/// Counts of one run, for the report.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) rejected: u64,
    pub(super) retries: u64,
    pub(super) dead: u64,
    refused: BTreeMap<(Signal, String), RefusedGroup>,
    /// Not yet added to the totals in the store.
    counters: BTreeMap<Signal, ExportCounters>,
}

/// What the exports of all signals share: the store, the configuration, and sending a batch with everything it entails.
pub(super) struct Sender<'a> {
    pub(super) store: &'a Store,
    pub(super) config: &'a Config,
    pub(super) destinations: &'a Destinations,
    progress: &'a dyn Progress,
    cancel: &'a CancellationToken,
    deadlines: BTreeMap<Signal, tokio::sync::Mutex<ProgressDeadline>>,
    tally: Mutex<Tally>,
}

impl<'a> Sender<'a> {
    /// A sender that gives up on a backend after `export.give_up` without progress, or (`endless`) never.
    pub(super) fn new(
        store: &'a Store,
        config: &'a Config,
        destinations: &'a Destinations,
        progress: &'a dyn Progress,
        cancel: &'a CancellationToken,
        endless: bool,
    ) -> Self {
        let deadline = |signal: Signal| {
            let deadline =
                if endless { ProgressDeadline::unlimited() } else { ProgressDeadline::new(config.export.give_up) };
            (signal, tokio::sync::Mutex::new(deadline))
        };
        let deadlines = destinations.signals().map(deadline).collect();
        Self { store, config, destinations, progress, cancel, deadlines, tally: Mutex::default() }
    }

    /// The moment before which nothing is sent.
    pub(super) fn horizon(&self, plan: &Plan) -> Millis {
        let oldest = self.config.export.history.map_or(Millis(i64::MIN), |history| plan.now.plus(-history));
        plan.selection(|selection| selection.since).map_or(oldest, |since| oldest.min(since))
    }

    /// Where the history grid of a project that was never exported begins.
    pub(super) fn first_moment(&self, plan: &Plan) -> Result<Millis> {
        if let Some(since) = plan.selection(|selection| selection.since) {
            return Ok(since);
        }
        if let Some(history) = self.config.export.history {
            return Ok(plan.now.plus(-history));
        }
        let mut first = plan.now;
        for item in self.store.tasks(None) {
            let created = timeline::first(&item?.1.timeline).map(|(_, created)| created);
            first = created.map_or(first, |created| first.min(created));
        }
        Ok(first)
    }

    /// Visits everything of a source that changed for a signal: from the journal if it reaches back far enough, else
    /// all tasks and sprints.
    pub(super) fn each_changed(
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
            for record in self.store.insights(None) {
                let InsightRecord { source: of, project, id, .. } = record?;
                if of == source {
                    visit(Item::Insight { project, id })?;
                }
            }
            return Ok(());
        }
        for item in self.store.journal(source, seqs.start() - 1, *seqs.end()) {
            visit(item?.1)?;
        }
        Ok(())
    }

    /// Waits until the backend has room for the traces of a batch besides those it still holds.
    pub(super) async fn wait_for_room(&self, batch: &Batch) -> Result<()> {
        let ids = batch.trace_ids();
        loop {
            let admission = self.destinations.admit(&ids);
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
    pub(super) async fn send(&self, owner: &str, batch: Batch) -> Result<u64> {
        let signal = batch.signal();
        let delivered = self.deliver(batch).await?;
        self.store_dead(&delivered, None)?;
        self.progress.event(owner, Update::Sent { signal, items: delivered.accepted });
        Ok(delivered.accepted)
    }

    /// The same for the history of a source, as long as this process has it.
    pub(super) async fn send_history(&self, source: &str, batch: Batch) -> Result<u64> {
        if self.store.owns(&Unit::source(source)) {
            return self.send(source, batch).await;
        }
        Err(Error::new(ErrorKind::Cancelled, "another replica has the source now, and goes on with it"))
    }

    /// Delivers a batch and counts it. Meanwhile the store has what is wrong with the backend.
    async fn deliver(&self, batch: Batch) -> Result<Delivered> {
        let signal = batch.signal();
        let (Some(delivery), Some(deadline)) = (self.destinations.delivery(signal), self.deadlines.get(&signal)) else {
            return Err(Error::new(ErrorKind::Internal, "send a signal without a destination"));
        };
        let mut trouble = delivery.trouble();
        let mut deadline = deadline.lock().await;
        let delivery = delivery.deliver(batch, &mut deadline);
        tokio::pin!(delivery);
        let delivered = loop {
            tokio::select! {
                biased;
                delivered = &mut delivery => break delivered,
                Ok(()) = trouble.changed() => self.record_trouble(signal, trouble.borrow_and_update().clone().as_ref()),
            }
        };
        if trouble.has_changed().unwrap_or(false) {
            self.record_trouble(signal, trouble.borrow_and_update().clone().as_ref());
        }
        self.count(signal, delivered.as_ref().ok());
        if delivered.as_ref().is_ok_and(|delivered| delivered.accepted > 0) {
            self.record_place(signal);
        }
        delivered
    }

    /// Stores where a signal was accepted. Exporting goes on without it.
    fn record_place(&self, signal: Signal) {
        let Some(place) = self.destinations.new_place(signal) else { return };
        if let Err(error) = backend::record_place(self.store, signal, place) {
            tracing::warn!(%signal, error = %error.full(), "store where a signal is exported");
        }
    }

    /// Stores what is wrong with a backend. Exporting goes on without it.
    pub(super) fn record_trouble(&self, signal: Signal, trouble: Option<&Trouble>) {
        if let Err(error) = backend::record(self.store, self.config, signal, trouble, clock::now()) {
            tracing::warn!(%signal, error = %error.full(), "store the state of a backend");
        }
    }

    /// Counts the result of a batch.
    fn count(&self, signal: Signal, delivered: Option<&Delivered>) {
        let Some(delivered) = delivered else { return };
        let mut tally = lock(&self.tally);
        tally.rejected += delivered.rejected;
        tally.retries += delivered.retries;
        tally.dead += delivered.dead.len() as u64;
        tally.counters.entry(signal).or_default().add(&ExportCounters::of(delivered));
        for letter in &delivered.dead {
            let reason = Reason::of(&letter.reason);
            let text = if reason == Reason::Other { letter.reason.clone() } else { reason.as_str().to_owned() };
            let group = tally.refused.entry((signal, letter.hint.clone().unwrap_or(text))).or_default();
            group.batches += 1;
            group.items += letter.items;
            (group.reason, group.hint) = (letter.reason.clone(), letter.hint.clone());
        }
    }

    /// Stores at once what was permanently refused, and removes the letter that it replaces.
    fn store_dead(&self, delivered: &Delivered, replaced: Option<DeadId>) -> Result<()> {
        if delivered.dead.is_empty() && replaced.is_none() {
            return Ok(());
        }
        let mut transaction = self.store.begin()?;
        replaced.into_iter().for_each(|id| transaction.remove_dead(id));
        for letter in &delivered.dead {
            let RefusedBatch { signal, reason, hint, items, at, request } = letter;
            let signal = signal.as_str().to_owned();
            let (reason, hint) = (reason.clone(), hint.clone());
            transaction.put_dead(&DeadLetter { signal, reason, hint, items: *items, at: *at }, request)?;
        }
        transaction.commit().map(drop)
    }

    /// Sends the request of a dead letter again, of which `refused` items were refused. The letter is removed; what is refused
    /// again becomes a new one.
    ///
    /// A backend that took the rest of a request did not say which items it refused. So each is sent by itself, and the new
    /// letter holds those alone that are refused still: another retry sends nothing else.
    pub(super) async fn send_dead(
        &self,
        id: DeadId,
        refused: u64,
        signal: Signal,
        request: &[u8],
    ) -> Result<Delivered> {
        let batch = Batch::decode(signal, request);
        if signal == Signal::Traces {
            self.wait_for_room(&batch).await?;
        }
        let parts = if refused < batch.items() as u64 { batch.singles() } else { vec![batch] };
        let mut delivered = Delivered::default();
        for part in parts {
            delivered.merge(self.deliver(part).await?);
        }
        self.store_dead(&delivered, Some(id))?;
        Ok(delivered)
    }

    /// Adds the counts since the last time to the totals in the store.
    pub(super) fn save_counters(&self) -> Result<()> {
        let fresh = std::mem::take(&mut lock(&self.tally).counters);
        if fresh.is_empty() {
            return Ok(());
        }
        let mut transaction = self.store.begin()?;
        for (signal, more) in fresh {
            let mut counters: ExportCounters = self.store.metadata(EXPORT, signal.as_str())?.unwrap_or_default();
            counters.add(&more);
            transaction.put_metadata(EXPORT, signal.as_str(), &counters)?;
        }
        transaction.commit().map(drop)
    }

    /// The counts since the last time. Logs what was permanently refused, a line for each reason.
    pub(super) fn take_tally(&self) -> Tally {
        let tally = std::mem::take(&mut *lock(&self.tally));
        for ((signal, _), RefusedGroup { batches, items, reason, hint }) in &tally.refused {
            let hint = hint.as_deref();
            tracing::warn!(%signal, items, batches, reason, hint, "the backend permanently refused telemetry");
        }
        tally
    }
}
