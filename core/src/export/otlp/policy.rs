//! The retry policy: what a failure leads to. Pure, but for the clock of [`ProgressDeadline`].
//!
//! Read [`step`] first. The rules are those of the telemetry contract, section Delivery:
//!
//! - Transient failures are retried, with backoff and jitter or when the backend asked for it, until the
//!   [`ProgressDeadline`].
//! - Traces wait longer after an ambiguous failure, because Tempo stores twice what it receives twice within 30 s.
//! - What the backend names as bad ("too old") is permanently rejected. A server error that names it is retried a few
//!   times first: Prometheus answers so to what it will never accept.
//! - A limit that can clear ("stream limit exceeded") is waited for, whatever the code: it says nothing of the items.
//! - Any other refusal may mean an ill backend or a proxy that answers for it. The batch is split until a single item is
//!   left, and that is permanently rejected only once the backend has taken others since: a circuit breaker. Until then
//!   everything waits, and nothing is lost.
//! - A wrong address or credential fails at once: no item is to blame, and none may be lost.

use std::time::Duration;

use tokio::time::Instant;

use super::answer::Verdict;
use super::reason::Reason;
use crate::backoff;
use crate::model::error::{Error, Retry};
use crate::model::signal::Signal;

/// Refusals in a row after which each further one is followed by a wait. Halving a full batch down to one item takes
/// eleven.
const REFUSALS_AT_ONCE: u32 = 12;

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
    /// How often a server error (HTTP 500) is retried before the batch is split, or rejected if the error names it (3).
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
    /// Failures in a row.
    pub(super) failures: u32,
}

impl ProgressDeadline {
    /// Gives up when nothing was accepted for `give_up`.
    pub fn new(give_up: Duration) -> Self {
        Self { give_up: Some(give_up), trying_since: None, failures: 0 }
    }

    /// Never gives up, for a service that runs until it is stopped.
    pub fn unlimited() -> Self {
        Self { give_up: None, trying_since: None, failures: 0 }
    }

    pub(super) fn attempt(&mut self) {
        self.trying_since.get_or_insert_with(Instant::now);
    }

    pub(super) fn progress(&mut self) {
        (self.trying_since, self.failures) = (None, 0);
    }

    pub(super) fn allows(&self, pause: Duration) -> bool {
        let spent = self.trying_since.map_or(Duration::ZERO, |since| since.elapsed());
        self.give_up.is_none_or(|give_up| spent.saturating_add(pause) <= give_up)
    }

    /// Whether single items that the backend keeps refusing are left to the next export. Without a limit they would hold
    /// up everything behind them, and what is behind them may show that the backend takes others.
    pub(super) fn leaves_single_items(&self) -> bool {
        self.give_up.is_none() && self.failures >= REFUSALS_AT_ONCE
    }

    /// The error of a delivery that this deadline ended.
    pub(super) fn gave_up(&self, error: Error, pause: Duration) -> Error {
        let error = error.with_retry(Retry::After(pause));
        match self.give_up {
            Some(limit) => error.with("gave_up_after", format!("{limit:?} without progress")),
            None => error,
        }
    }
}

impl Default for ProgressDeadline {
    /// Two minutes, the default of `export.give_up`.
    fn default() -> Self {
        Self::new(Duration::from_secs(120))
    }
}

/// The refusals of one batch so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Refusals {
    /// Server errors.
    pub(super) server_errors: u32,
    /// How many requests the backend had accepted when it first refused this one.
    pub(super) accepted_before: Option<u64>,
}

/// What is known of the backend.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backend {
    /// Requests it accepted so far.
    pub(super) accepted: u64,
    /// Failures in a row, with this one.
    pub(super) failures: u32,
    /// Whether a server error that named the items has outlasted its retries once.
    pub(super) known_permanent: bool,
}

/// What a failure leads to.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// The same batch again, after this long.
    Wait(Duration),
    /// Its two halves at once, since it is too large.
    Halve,
    /// Its two halves, after this long and after what is waiting already, which may show that the backend is well.
    Split(Duration),
    /// The same item again, after this long and after what is waiting already.
    Defer(Duration),
    /// It is permanently rejected.
    Reject,
    /// The delivery ends.
    Fail,
}

/// The policy: counts `error` among the `refusals` of a batch with `items`, and decides what comes next.
pub(super) fn step(
    policy: &RetryPolicy,
    (signal, items): (Signal, usize),
    refusals: &mut Refusals,
    backend: Backend,
    error: &Error,
    random: f64,
) -> Step {
    let verdict = Verdict::of(error);
    let named = Reason::names_items(&answer(error));
    let pause = pause(policy, signal, backend.failures, error, random);
    let is_server_error = verdict == Verdict::RetryBounded;
    refusals.server_errors += u32::from(is_server_error);
    match verdict {
        Verdict::Stop => return Step::Fail,
        Verdict::Retry => return Step::Wait(pause),
        _ => {}
    }
    let accepted_before = *refusals.accepted_before.get_or_insert(backend.accepted);
    let tries = if named && backend.known_permanent { 0 } else { policy.server_error_retries };
    let at_once = backend.failures < REFUSALS_AT_ONCE && !is_server_error;
    match verdict {
        _ if is_server_error && refusals.server_errors <= tries => Step::Wait(pause),
        Verdict::DeadLetter | Verdict::RetryBounded if named => Step::Reject,
        Verdict::Split if items > 1 => Step::Halve,
        _ if items > 1 => Step::Split(if at_once { Duration::ZERO } else { pause }),
        _ if backend.accepted > accepted_before => Step::Reject,
        _ => Step::Defer(pause),
    }
}

fn pause(policy: &RetryPolicy, signal: Signal, failures: u32, error: &Error, random: f64) -> Duration {
    let pause = match error.retry() {
        Retry::After(asked) => backoff::requested(backoff::with_jitter(asked.max(policy.first_wait), random)),
        Retry::Backoff | Retry::Never => backoff::delay(policy.first_wait, policy.longest_wait, failures, random),
    };
    let twice_hurts = signal == Signal::Traces && error.context("ambiguous") == Some("true");
    if twice_hurts { pause.max(policy.ambiguous_wait) } else { pause }
}

/// The backend's answer in an error, or without one the error itself.
pub(super) fn answer(error: &Error) -> String {
    error.context("answer").map_or_else(|| error.full(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::error::ErrorKind;

    fn error(verdict: &str, retry: Retry) -> Error {
        Error::new(ErrorKind::Export, "export").with_retry(retry).with("verdict", verdict)
    }

    fn waits(signal: Signal, error: &Error, failures: u32, random: f64) -> Step {
        let backend = Backend { failures, ..Backend::default() };
        step(&RetryPolicy::default(), (signal, 10), &mut Refusals::default(), backend, error, random)
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
    fn a_requested_wait_is_never_shortened_below_a_quarter_of_an_hour() {
        let asked = |wait| error("retry", Retry::After(wait));
        let seconds = Duration::from_secs;
        assert_eq!(waits(Signal::Traces, &asked(seconds(50)), 9, 0.0), Step::Wait(seconds(50)));
        assert_eq!(waits(Signal::Traces, &asked(seconds(50)), 9, 1.0), Step::Wait(seconds(60)));
        for absurd in [seconds(3_600), seconds(u64::MAX), Duration::MAX] {
            for random in [0.0, 1.0] {
                assert_eq!(waits(Signal::Logs, &asked(absurd), 1, random), Step::Wait(backoff::LONGEST_REQUESTED));
            }
        }
    }

    #[test]
    fn ambiguous_traces_wait_at_least_35_seconds() {
        let error = error("retry", Retry::Backoff).with("ambiguous", true);
        assert_eq!(waits(Signal::Traces, &error, 1, 0.5), Step::Wait(Duration::from_secs(35)));
        assert!(matches!(waits(Signal::Metrics, &error, 1, 0.5), Step::Wait(wait) if wait < Duration::from_secs(2)));
    }

    #[test]
    fn other_failures_do_not_use_up_the_retries_of_a_server_error() {
        let (mut refusals, backend) = (Refusals::default(), Backend { failures: 1, ..Backend::default() });
        let mut step =
            |error: &Error| step(&RetryPolicy::default(), (Signal::Metrics, 10), &mut refusals, backend, error, 0.0);
        let bounded = error("retry_bounded", Retry::Backoff).with("answer", "HTTP 500: too old sample");
        let plain = error("retry", Retry::Backoff);
        for _ in 0..3 {
            assert!(matches!(step(&bounded), Step::Wait(_)));
            assert!(matches!(step(&plain), Step::Wait(_)));
        }
        assert_eq!(step(&bounded), Step::Reject);
    }

    #[test]
    fn a_refusal_that_names_nothing_rejects_an_item_only_while_the_backend_takes_others() {
        let policy = RetryPolicy::default();
        for verdict in ["dead_letter", "retry_bounded", "split"] {
            let error = error(verdict, Retry::Never).with("answer", "HTTP 400: Bad Request");
            let mut refusals = Refusals { server_errors: 3, ..Refusals::default() };
            let mut next = |items, accepted, failures| {
                let backend = Backend { accepted, failures, known_permanent: true };
                step(&policy, (Signal::Logs, items), &mut refusals, backend, &error, 0.0)
            };
            assert!(matches!(next(8, 5, 1), Step::Split(_) | Step::Halve), "{verdict}");
            assert!(matches!(next(1, 5, 2), Step::Defer(_)), "{verdict}: nothing was taken since");
            assert!(matches!(next(1, 5, 200), Step::Defer(wait) if wait == policy.longest_wait), "{verdict}");
            assert_eq!(next(1, 6, 1), Step::Reject, "{verdict}");
        }
    }

    #[test]
    fn halving_for_a_backend_that_refuses_everything_slows_down() {
        let error = error("dead_letter", Retry::Never).with("answer", "HTTP 400: Bad Request");
        assert_eq!(waits(Signal::Logs, &error, 2, 0.0), Step::Split(Duration::ZERO));
        assert_eq!(waits(Signal::Logs, &error, 30, 0.0), Step::Split(Duration::from_secs(30)));
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
        assert!(deadline.allows(Duration::from_secs(60)) && !deadline.allows(Duration::MAX));
        assert!(ProgressDeadline::unlimited().allows(Duration::MAX));
    }
}
