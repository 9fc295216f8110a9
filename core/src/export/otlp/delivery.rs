//! Turns the single attempts of a [`Sink`] into a delivery that ends accepted, permanently rejected, or with an error.
//!
//! Read [`Delivery::deliver`] first. What a failure leads to is decided in [`super::policy`]. [`Delivery::trouble`] is
//! what is wrong with the backend meanwhile.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::answer::hint;
use super::batch::Batch;
use super::policy::{Backend, ProgressDeadline, Refusals, RetryPolicy, Step, answer, step};
use super::reason::Reason;
use super::sink::{Outcome, Sink};
use crate::clock;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::signal::Signal;
use crate::model::time::Millis;

/// Items a backend will never accept: counted, explained, not sent again by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedBatch {
    pub signal: Signal,
    /// The backend's message, with its code.
    pub reason: String,
    /// The setting to look at, if we know it.
    pub hint: Option<String>,
    /// The number of spans, log records or data points.
    pub items: u64,
    /// When it was rejected.
    pub at: Millis,
    /// The request they were in ([`Batch::encode`]). A backend that accepted the rest of it did not say which they are.
    pub request: Bytes,
}

impl RefusedBatch {
    fn append(&mut self, other: &Self) {
        let mut batch = Batch::decode(self.signal, &self.request);
        batch.append(Batch::decode(other.signal, &other.request));
        self.items += other.items;
        self.request = batch.encode();
    }
}

/// Result of delivering a batch. `accepted + rejected` is the number of its items.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Items accepted.
    pub accepted: u64,
    /// Items permanently rejected, by a `partial_success` or with a whole request: the sum over `dead`.
    pub rejected: u64,
    /// The reasons, one entry per rejection.
    pub dead: Vec<RefusedBatch>,
    /// How often a request was sent again.
    pub retries: u64,
}

impl Delivered {
    /// Takes in what became of another batch. What was refused for the same reason is one request.
    pub(crate) fn merge(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.rejected += other.rejected;
        self.retries += other.retries;
        for letter in other.dead {
            match self.dead.iter_mut().find(|known| known.reason == letter.reason && known.hint == letter.hint) {
                Some(known) => known.append(&letter),
                None => self.dead.push(letter),
            }
        }
    }

    /// Counts an accepted batch. Returns how many of its items were accepted.
    fn take(&mut self, outcome: Outcome, batch: &Batch) -> u64 {
        let items = batch.items() as u64;
        let (rejected, reason) = match outcome {
            Outcome::Accepted => (0, None),
            // A backend cannot reject more than it was sent.
            Outcome::Partial { rejected, reason } => (rejected.min(items), Some(reason)),
        };
        self.accepted += items - rejected;
        match reason {
            Some(reason) if rejected > 0 => self.refuse(batch, reason, rejected),
            Some(reason) => {
                tracing::warn!(signal = %batch.signal(), reason, "the backend accepted the batch with a warning")
            }
            None => {}
        }
        items - rejected
    }

    fn refuse(&mut self, batch: &Batch, reason: String, items: u64) {
        let signal = batch.signal();
        let hint = hint(signal, &reason).map(str::to_owned);
        self.rejected += items;
        self.dead.push(RefusedBatch { signal, reason, hint, items, at: clock::now(), request: batch.encode() });
    }
}

/// What is wrong with a backend that accepts nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The first failure since it last accepted something.
    pub since: Millis,
    /// Its last answer, or why there was none.
    pub reason: String,
    /// When it is asked again; `None` when the delivery has ended.
    pub next: Option<Millis>,
}

/// A batch or a part of one on its way.
struct Portion {
    batch: Batch,
    refusals: Refusals,
    /// Whether exactly this was refused already.
    was_refused: bool,
}

impl Portion {
    fn new(batch: Batch, refusals: Refusals) -> Self {
        Self { batch, refusals, was_refused: false }
    }

    /// Whether nothing more can be learned from sending it: it is one item, and it was refused.
    fn is_exhausted(&self) -> bool {
        self.was_refused && self.batch.items() == 1
    }

    fn halves(self, error: &Error) -> Vec<Self> {
        let Self { batch, refusals, .. } = self;
        tracing::debug!(signal = %batch.signal(), items = batch.items(), answer = answer(error), "sending two halves");
        let halves = batch.halves().into_iter().flat_map(|(first, second)| [first, second]);
        halves.map(|batch| Self::new(batch, refusals.clone())).collect()
    }
}

/// A [`Sink`] with the retry policy around it.
pub struct Delivery {
    sink: Box<dyn Sink>,
    policy: RetryPolicy,
    stop: CancellationToken,
    /// Whether a server error that names the items has outlasted its retries once. The next one is then not retried: a
    /// year of samples that are too old would cost seven seconds per batch.
    known_permanent: AtomicBool,
    /// Requests of which the backend accepted something.
    accepted: AtomicU64,
    trouble: watch::Sender<Option<Trouble>>,
}

impl Delivery {
    /// Delivers to `sink` until `stop` is cancelled, with the waits of the contract.
    pub fn new(sink: Box<dyn Sink>, stop: CancellationToken) -> Self {
        Self::with_policy(sink, stop, RetryPolicy::default())
    }

    /// The same with another policy.
    pub fn with_policy(sink: Box<dyn Sink>, stop: CancellationToken, policy: RetryPolicy) -> Self {
        let (known_permanent, accepted) = (AtomicBool::new(false), AtomicU64::new(0));
        Self { sink, policy, stop, known_permanent, accepted, trouble: watch::Sender::new(None) }
    }

    /// The sink's own description.
    pub fn describe(&self) -> String {
        self.sink.describe()
    }

    /// What is wrong with the backend, as it changes; `None` while it accepts.
    pub fn trouble(&self) -> watch::Receiver<Option<Trouble>> {
        self.trouble.subscribe()
    }

    /// Sends `batch` until every item of it is accepted or permanently rejected.
    ///
    /// # Errors
    /// [`ErrorKind::Export`] when the address or the credential is wrong, or nothing was accepted until the `deadline`;
    /// [`ErrorKind::Cancelled`] after a stop, at the latest after [`RetryPolicy::stop_grace`]. The whole batch must
    /// then be delivered again; [`Error::retry`] says when.
    pub async fn deliver(&self, batch: Batch, deadline: &mut ProgressDeadline) -> Result<Delivered> {
        let mut done = Delivered::default();
        let mut queue = VecDeque::from([Portion::new(batch, Refusals::default())]);
        while let Some(portion) = queue.pop_front() {
            if portion.batch.items() > 0 {
                self.send(portion, &mut queue, deadline, &mut done).await?;
            }
        }
        Ok(done)
    }

    /// Makes one attempt with a portion and, unless it is settled then, puts it back into the queue.
    async fn send(
        &self,
        portion: Portion,
        queue: &mut VecDeque<Portion>,
        deadline: &mut ProgressDeadline,
        done: &mut Delivered,
    ) -> Result<()> {
        deadline.attempt();
        match self.attempt(&portion.batch).await? {
            Ok(outcome) => {
                let accepted = done.take(outcome, &portion.batch);
                self.accepted.fetch_add(u64::from(accepted > 0), Ordering::Relaxed);
                self.settled(portion.batch.signal(), deadline);
                Ok(())
            }
            Err(error) => self.failed(portion, error, queue, deadline, done).await,
        }
    }

    async fn failed(
        &self,
        mut portion: Portion,
        error: Error,
        queue: &mut VecDeque<Portion>,
        deadline: &mut ProgressDeadline,
        done: &mut Delivered,
    ) -> Result<()> {
        deadline.failures = deadline.failures.saturating_add(1);
        let backend = Backend {
            accepted: self.accepted.load(Ordering::Relaxed),
            failures: deadline.failures,
            known_permanent: self.known_permanent.load(Ordering::Relaxed),
        };
        let (signal, items) = (portion.batch.signal(), portion.batch.items());
        portion.was_refused = true;
        let step = step(&self.policy, (signal, items), &mut portion.refusals, backend, &error, rand::random());
        match step {
            Step::Fail => {
                self.note(&error, None);
                return Err(error);
            }
            Step::Reject => {
                self.reject(portion, &error, done);
                self.settled(signal, deadline);
                return Ok(());
            }
            Step::Wait(_) | Step::Defer(_) => done.retries += 1,
            Step::Halve | Step::Split(_) => {}
        }
        let wait = requeue(queue, portion, &step, &error);
        let is_deferred = matches!(step, Step::Defer(_));
        if is_deferred && deadline.leaves_single_items() && queue.iter().all(Portion::is_exhausted) {
            self.note(&error, None);
            return Err(deadline.gave_up(error, wait));
        }
        self.pause(signal, wait, error, deadline).await
    }

    fn reject(&self, portion: Portion, error: &Error, done: &mut Delivered) {
        let reason = answer(error);
        let permanent = portion.refusals.server_errors > 0 && Reason::names_items(&reason);
        self.known_permanent.fetch_or(permanent, Ordering::Relaxed);
        let items = portion.batch.items() as u64;
        done.refuse(&portion.batch, reason, items);
    }

    /// Waits before the next attempt, if there is time for it.
    async fn pause(&self, signal: Signal, pause: Duration, error: Error, deadline: &ProgressDeadline) -> Result<()> {
        if pause.is_zero() {
            return Ok(());
        }
        if !deadline.allows(pause) {
            self.note(&error, None);
            return Err(deadline.gave_up(error, pause));
        }
        self.report(signal, pause, &error);
        self.note(&error, Some(pause));
        tokio::select! {
            biased;
            () = self.stop.cancelled() => {
                Err(stopped(signal).caused_by(format!("the last answer of the backend was {}", answer(&error))))
            }
            () = tokio::time::sleep(pause) => Ok(()),
        }
    }

    /// Logs a failure, unless the last one was the same: a backend may be down for days.
    fn report(&self, signal: Signal, pause: Duration, error: &Error) {
        let reason = answer(error);
        if self.trouble.borrow().as_ref().is_some_and(|trouble| trouble.reason == reason) {
            tracing::debug!(%signal, reason, wait = ?pause, "export failed; retrying");
        } else {
            tracing::warn!(%signal, reason, wait = ?pause, "export failed; retrying");
        }
    }

    /// Keeps what is wrong with the backend.
    fn note(&self, error: &Error, pause: Option<Duration>) {
        let now = clock::now();
        let next = pause.map(|pause| now.plus(i64::try_from(pause.as_millis()).unwrap_or(0)));
        self.trouble.send_modify(|trouble| {
            let since = trouble.as_ref().map_or(now, |trouble| trouble.since);
            *trouble = Some(Trouble { since, reason: answer(error), next });
        });
    }

    /// The backend accepted something, or said what is wrong with the items.
    fn settled(&self, signal: Signal, deadline: &mut ProgressDeadline) {
        deadline.progress();
        if self.trouble.send_if_modified(|trouble| trouble.take().is_some()) {
            tracing::info!(%signal, "the backend accepts again");
        }
    }

    /// One attempt. The outer error is a stop.
    async fn attempt(&self, batch: &Batch) -> Result<Result<Outcome>> {
        let signal = batch.signal();
        if self.stop.is_cancelled() {
            return Err(stopped(signal));
        }
        let out_of_time = async {
            self.stop.cancelled().await;
            tokio::time::sleep(self.policy.stop_grace).await;
        };
        tokio::select! {
            biased;
            answer = self.sink.export(batch) => Ok(answer),
            () = out_of_time => Err(stopped(signal).tagged("ambiguous", true)),
        }
    }
}

/// Puts a refused portion, or its halves, back into the queue. Returns how long to wait before the next attempt.
fn requeue(queue: &mut VecDeque<Portion>, portion: Portion, step: &Step, error: &Error) -> Duration {
    match step {
        Step::Defer(wait) => {
            queue.push_back(portion);
            *wait
        }
        Step::Split(wait) => {
            queue.extend(portion.halves(error));
            *wait
        }
        Step::Halve => {
            portion.halves(error).into_iter().rev().for_each(|half| queue.push_front(half));
            Duration::ZERO
        }
        Step::Wait(_) | Step::Reject | Step::Fail => {
            queue.push_front(portion);
            if let Step::Wait(wait) = step { *wait } else { Duration::ZERO }
        }
    }
}

fn stopped(signal: Signal) -> Error {
    Error::new(ErrorKind::Cancelled, format!("export {} stopped on request", signal.as_str()))
}
