//! The retry policy: turns the single attempts of a [`Sink`] into a delivery that ends accepted, as a dead letter, or
//! with an error.
//!
//! Read [`Delivery::deliver`] first. [`step`] is the policy itself: what a failure leads to. Pure. The rules are those
//! of the telemetry contract, section Delivery:
//!
//! - Transient failures are retried, with backoff and jitter or when the backend asked for it, until the
//!   [`ProgressDeadline`].
//! - Traces wait longer after an ambiguous failure, because Tempo stores twice what it receives twice within 30 s.
//! - A 500 is retried a few times only: Prometheus answers so to what it will never accept.
//! - A batch that is too large is halved. What is permanently rejected becomes a [`RefusedBatch`], and the rest
//!   continues.
//! - A wrong address or credential fails at once: no item is to blame, and none may be lost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::answer::{Verdict, hint};
use super::batch::Batch;
use super::sink::{Outcome, Sink};
use crate::model::error::{Error, ErrorKind, Result, Retry};
use crate::model::signal::Signal;
use crate::model::time::Millis;
use crate::{backoff, clock};

/// The times and counts of the retry policy.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// The first wait; each further one is twice as long (1 s).
    pub first_wait: Duration,
    /// The longest wait without a request of the backend (30 s).
    pub longest_wait: Duration,
    /// The least wait before traces are sent again that may have been stored (35 s). Tempo keeps a trace in memory for
    /// up to 30 s, in which it does not notice duplicates.
    pub ambiguous_wait: Duration,
    /// How often a server error (HTTP 500) is retried before the batch becomes a dead letter (3).
    pub server_error_retries: u32,
    /// How long a request in flight may still take after a stop (5 s).
    pub stop_grace: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(30),
            ambiguous_wait: Duration::from_secs(35),
            server_error_retries: 3,
            stop_grace: Duration::from_secs(5),
        }
    }
}

/// How long to continue without progress. Shared by deliveries to the same backend: progress of one is progress of all.
#[derive(Debug)]
pub struct ProgressDeadline {
    give_up: Option<Duration>,
    /// The start of the first attempt since the last success.
    trying_since: Option<Instant>,
}

impl ProgressDeadline {
    /// Gives up when nothing was accepted for `give_up`.
    pub fn new(give_up: Duration) -> Self {
        Self { give_up: Some(give_up), trying_since: None }
    }

    /// Never gives up, for a service that runs until it is stopped.
    pub fn unlimited() -> Self {
        Self { give_up: None, trying_since: None }
    }

    fn attempt(&mut self) {
        self.trying_since.get_or_insert_with(Instant::now);
    }

    fn progress(&mut self) {
        self.trying_since = None;
    }

    fn allows(&self, pause: Duration) -> bool {
        let spent = self.trying_since.map_or(Duration::ZERO, |since| since.elapsed());
        self.give_up.is_none_or(|give_up| spent.saturating_add(pause) <= give_up)
    }
}

impl Default for ProgressDeadline {
    /// Two minutes, the default of `export.give_up`.
    fn default() -> Self {
        Self::new(Duration::from_secs(120))
    }
}

/// Items a backend will never accept: counted, explained, not sent again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    fn take(&mut self, outcome: Outcome, signal: Signal, items: u64) {
        let (rejected, reason) = match outcome {
            Outcome::Accepted => (0, None),
            // A backend cannot reject more than it was sent.
            Outcome::Partial { rejected, reason } => (rejected.min(items), Some(reason)),
        };
        self.accepted += items - rejected;
        match reason {
            Some(reason) if rejected > 0 => self.refuse(signal, reason, rejected),
            Some(reason) => {
                tracing::warn!(signal = signal.as_str(), reason, "the backend accepted the batch with a warning")
            }
            None => {}
        }
    }

    fn refuse(&mut self, signal: Signal, reason: String, items: u64) {
        let hint = hint(signal, &reason).map(str::to_owned);
        tracing::warn!(signal = signal.as_str(), items, reason, hint, "the backend permanently rejected telemetry");
        self.rejected += items;
        self.dead.push(RefusedBatch { signal, reason, hint, items, at: clock::now() });
    }
}

/// A [`Sink`] with the retry policy around it.
pub struct Delivery {
    sink: Box<dyn Sink>,
    policy: RetryPolicy,
    stop: CancellationToken,
    /// Whether a server error with a known text has outlasted its retries once. The next one is then not retried: a
    /// year of samples that are too old would cost seven seconds per batch.
    known_permanent: AtomicBool,
}

impl Delivery {
    /// Delivers to `sink` until `stop` is cancelled, with the waits of the contract.
    pub fn new(sink: Box<dyn Sink>, stop: CancellationToken) -> Self {
        Self::with_policy(sink, stop, RetryPolicy::default())
    }

    /// The same with another policy.
    pub fn with_policy(sink: Box<dyn Sink>, stop: CancellationToken, policy: RetryPolicy) -> Self {
        Self { sink, policy, stop, known_permanent: AtomicBool::new(false) }
    }

    /// The sink's own description.
    pub fn describe(&self) -> String {
        self.sink.describe()
    }

    /// Sends `batch` until every item of it is accepted or permanently rejected.
    ///
    /// # Errors
    /// [`ErrorKind::Export`] when the address or the credential is wrong, or nothing was accepted until the `deadline`;
    /// [`ErrorKind::Cancelled`] after a stop, at the latest after [`RetryPolicy::stop_grace`]. The whole batch must
    /// then be delivered again; [`Error::retry`] says when.
    pub async fn deliver(&self, batch: Batch, deadline: &mut ProgressDeadline) -> Result<Delivered> {
        let mut done = Delivered::default();
        let mut waiting = vec![batch];
        while let Some(batch) = waiting.pop() {
            if let Some((first, second)) = self.settle(batch, deadline, &mut done).await? {
                waiting.extend([second, first]);
            }
        }
        Ok(done)
    }

    /// Sends `batch` until it is accepted or permanently rejected, or returns it in two halves.
    async fn settle(
        &self,
        batch: Batch,
        deadline: &mut ProgressDeadline,
        done: &mut Delivered,
    ) -> Result<Option<(Batch, Batch)>> {
        let (signal, items) = (batch.signal(), batch.items());
        if items == 0 {
            return Ok(None);
        }
        let known_permanent = self.known_permanent.load(Ordering::Relaxed);
        let mut failures = Failures { known_permanent, ..Failures::default() };
        loop {
            deadline.attempt();
            let error = match self.attempt(&batch).await? {
                Ok(outcome) => {
                    done.take(outcome, signal, items as u64);
                    break;
                }
                Err(error) => error,
            };
            match step(&self.policy, signal, items, &mut failures, &error, rand::random()) {
                Step::Fail => return Err(error),
                Step::DeadLetter => {
                    self.known_permanent.fetch_or(failures.known_permanent, Ordering::Relaxed);
                    done.refuse(signal, reason(&error), items as u64);
                    break;
                }
                Step::Split => {
                    tracing::info!(%signal, items, "the batch is too large for the backend; sending two halves");
                    return Ok(batch.halves());
                }
                Step::Wait(pause) if deadline.allows(pause) => self.pause(signal, pause, &error).await?,
                Step::Wait(pause) => return Err(gave_up(error, pause, deadline)),
            }
            done.retries += 1;
        }
        deadline.progress();
        Ok(None)
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
            () = out_of_time => Err(stopped(signal).with("ambiguous", true)),
        }
    }

    async fn pause(&self, signal: Signal, pause: Duration, error: &Error) -> Result<()> {
        tracing::warn!(signal = signal.as_str(), reason = reason(error), wait = ?pause, "export failed; retrying");
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(stopped(signal)),
            () = tokio::time::sleep(pause) => Ok(()),
        }
    }
}

/// How often one batch has failed.
#[derive(Debug, Default)]
struct Failures {
    all: u32,
    server_errors: u32,
    /// Whether server errors with a known text are known to be permanent.
    known_permanent: bool,
}

/// What a failure leads to.
#[derive(Debug, PartialEq)]
enum Step {
    Wait(Duration),
    Split,
    DeadLetter,
    Fail,
}

/// The policy: counts `error` among the `failures` of a batch with `items`, and decides what comes next.
fn step(
    policy: &RetryPolicy,
    signal: Signal,
    items: usize,
    failures: &mut Failures,
    error: &Error,
    random: f64,
) -> Step {
    let verdict = Verdict::of(error);
    let known = hint(signal, &reason(error)).is_some();
    let tries = if failures.known_permanent && known { 0 } else { policy.server_error_retries };
    failures.all += 1;
    failures.server_errors += u32::from(verdict == Verdict::RetryBounded);
    match verdict {
        Verdict::Stop => Step::Fail,
        Verdict::Split if items > 1 => Step::Split,
        Verdict::Split | Verdict::DeadLetter => Step::DeadLetter,
        Verdict::RetryBounded if failures.server_errors > tries => {
            failures.known_permanent |= known;
            Step::DeadLetter
        }
        Verdict::Retry | Verdict::RetryBounded => Step::Wait(pause(policy, signal, failures.all, error, random)),
    }
}

fn pause(policy: &RetryPolicy, signal: Signal, failures: u32, error: &Error, random: f64) -> Duration {
    let pause = match error.retry() {
        Retry::After(asked) => backoff::with_jitter(asked.max(policy.first_wait), random),
        Retry::Backoff | Retry::Never => backoff::delay(policy.first_wait, policy.longest_wait, failures, random),
    };
    let twice_hurts = signal == Signal::Traces && error.context("ambiguous") == Some("true");
    if twice_hurts { pause.max(policy.ambiguous_wait) } else { pause }
}

fn reason(error: &Error) -> String {
    error.context("answer").map_or_else(|| error.full(), str::to_owned)
}

fn gave_up(error: Error, pause: Duration, deadline: &ProgressDeadline) -> Error {
    let limit = deadline.give_up.unwrap_or_default();
    error.with_retry(Retry::After(pause)).with("gave_up_after", format!("{limit:?} without progress"))
}

fn stopped(signal: Signal) -> Error {
    Error::new(ErrorKind::Cancelled, format!("export {}", signal.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(verdict: &str, retry: Retry) -> Error {
        Error::new(ErrorKind::Export, "export").with_retry(retry).with("verdict", verdict)
    }

    fn waits(signal: Signal, error: &Error, failures: u32, random: f64) -> Step {
        let mut failures = Failures { all: failures - 1, ..Failures::default() };
        step(&RetryPolicy::default(), signal, 10, &mut failures, error, random)
    }

    #[test]
    fn waits_double_up_to_the_longest_and_jitter_adds_to_them() {
        let error = error("retry", Retry::Backoff);
        for (failures, seconds) in [(1, 1), (2, 2), (3, 4), (5, 16), (6, 30), (40, 30), (u32::MAX, 30)] {
            let least = Duration::from_secs(seconds);
            assert_eq!(waits(Signal::Logs, &error, failures, 0.0), Step::Wait(least));
            assert_eq!(waits(Signal::Logs, &error, failures, 1.0), Step::Wait(least * 6 / 5));
        }
    }

    #[test]
    fn a_requested_wait_is_never_shortened() {
        let error = error("retry", Retry::After(Duration::from_secs(50)));
        assert_eq!(waits(Signal::Traces, &error, 9, 0.0), Step::Wait(Duration::from_secs(50)));
        assert_eq!(waits(Signal::Traces, &error, 9, 1.0), Step::Wait(Duration::from_secs(60)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_absurd_requested_wait_exceeds_the_deadline() {
        let error = error("retry", Retry::After(Duration::MAX));
        assert_eq!(waits(Signal::Logs, &error, 1, 1.0), Step::Wait(Duration::MAX));
        let mut deadline = ProgressDeadline::default();
        deadline.attempt();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!deadline.allows(Duration::MAX));
    }

    #[test]
    fn ambiguous_traces_wait_at_least_35_seconds() {
        let error = error("retry", Retry::Backoff).with("ambiguous", true);
        assert_eq!(waits(Signal::Traces, &error, 1, 0.5), Step::Wait(Duration::from_secs(35)));
        assert!(matches!(waits(Signal::Metrics, &error, 1, 0.5), Step::Wait(wait) if wait < Duration::from_secs(2)));
    }

    #[test]
    fn other_failures_do_not_use_up_the_retries_of_a_server_error() {
        let mut failures = Failures::default();
        let mut step = |error: &Error| step(&RetryPolicy::default(), Signal::Metrics, 10, &mut failures, error, 0.0);
        let (bounded, plain) = (error("retry_bounded", Retry::Backoff), error("retry", Retry::Backoff));
        for _ in 0..3 {
            assert!(matches!(step(&bounded), Step::Wait(_)));
            assert!(matches!(step(&plain), Step::Wait(_)));
        }
        assert_eq!(step(&bounded), Step::DeadLetter);
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_counts_from_the_first_attempt_after_progress() {
        let mut deadline = ProgressDeadline::new(Duration::from_secs(60));
        assert!(deadline.allows(Duration::from_secs(60)));
        deadline.attempt();
        tokio::time::advance(Duration::from_secs(40)).await;
        deadline.attempt();
        assert!(deadline.allows(Duration::from_secs(20)) && !deadline.allows(Duration::from_secs(21)));
        deadline.progress();
        tokio::time::advance(Duration::from_secs(600)).await;
        deadline.attempt();
        assert!(deadline.allows(Duration::from_secs(60)));
        assert!(ProgressDeadline::unlimited().allows(Duration::MAX));
    }
}
