//! Polls one source on its schedule: runs when it is due or triggered, never twice at once. A run that takes longer than its
//! schedule skips what fell due meanwhile; triggers that come while it runs cause one more run, not many.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Engine;
use super::webhook::PollTrigger;
use crate::config::{Schedule, SourceConfig};
use crate::ingest::sync::{Options, SourceReport};
use crate::model::error::{Result, Retry};
use crate::model::time::Millis;
use crate::{backoff, clock};

/// How long after a trigger the poll begins: one change often causes several webhook requests, and the tool's search lags
/// behind them.
const SETTLE: Duration = Duration::from_secs(2);
/// How often a sleep compares the clocks: the wall clock may jump, and a laptop may have been suspended.
const RECHECK: Duration = Duration::from_secs(30);

/// Runs a source until `cancel` ends it; `stored` counts those that brought something to export.
///
/// # Errors
/// As the store's, when it cannot be read at the start.
pub async fn run(
    engine: Arc<Engine>,
    source: SourceConfig,
    trigger: Arc<PollTrigger>,
    stored: Arc<watch::Sender<u64>>,
    cancel: CancellationToken,
) -> Result<()> {
    let last = engine.store.source_status(&source.name)?.last_success;
    let mut due = first_due(&source.schedule, last, clock::now());
    while let Some(moment) = due {
        tracing::debug!(source = source.name, due = %moment, "next run");
        tokio::select! {
            biased;
            () = cancel.cancelled() => return Ok(()),
            () = until(moment) => {}
            () = triggered(&trigger) => {}
        }
        let report = engine.sync_until(&source, Options::default(), &cancel).await;
        log(&report);
        if report.sealed {
            stored.send_modify(|runs| *runs += 1);
        }
        due = next_due(&source.schedule, wait_of(&report), clock::now());
    }
    tracing::warn!(source = source.name, "the schedule has no further run");
    cancel.cancelled().await;
    Ok(())
}

async fn triggered(trigger: &PollTrigger) {
    trigger.wait().await;
    tokio::time::sleep(SETTLE).await;
}

/// When a source runs first: at once if it never did, or if a run fell due while no process was running.
fn first_due(schedule: &Schedule, last_success: Option<Millis>, now: Millis) -> Option<Millis> {
    match last_success {
        None => Some(now),
        Some(last) => schedule.next_after(last).map(|due| due.max(now)),
    }
}

/// How long the tool asked to be left alone.
fn wait_of(report: &SourceReport) -> Duration {
    match report.error.as_ref().map(|error| error.retry()) {
        Some(Retry::After(wait)) => backoff::requested(wait),
        _ => Duration::ZERO,
    }
}

/// When a source runs next: by its schedule, and not before the tool wants to be asked again.
fn next_due(schedule: &Schedule, wait: Duration, now: Millis) -> Option<Millis> {
    let earliest = now.plus(i64::try_from(wait.as_millis()).unwrap_or(0));
    schedule.next_after(now).map(|due| due.max(earliest))
}

/// Waits for a moment of the wall clock.
async fn until(moment: Millis) {
    let left = |now: Millis| Duration::from_millis(u64::try_from(moment.0 - now.0).unwrap_or(0));
    let alarm = Instant::now() + left(clock::now());
    loop {
        // Whichever clock gets there first: the wall clock may stand still (`CONTEXTCORE_NOW`).
        let wait = left(clock::now()).min(alarm.saturating_duration_since(Instant::now()));
        if wait.is_zero() {
            return;
        }
        tokio::time::sleep(wait.min(RECHECK)).await;
    }
}

/// Logs the warnings and the error of a run.
fn log(report: &SourceReport) {
    let source = &report.name;
    for warning in &report.warnings {
        tracing::warn!(source, "{warning}");
    }
    if let Some(error) = &report.error {
        tracing::error!(source, kind = error.kind().as_str(), "{}", error.full());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::error::{Error, ErrorKind};
    use crate::model::time::{HOUR, MINUTE};

    #[test]
    fn a_source_runs_at_once_when_it_is_new_or_late_and_else_when_due() {
        let schedule: Schedule = "0 * * * *".parse().unwrap();
        let now = Millis(10 * HOUR + 20 * MINUTE);
        assert_eq!(first_due(&schedule, None, now), Some(now));
        assert_eq!(first_due(&schedule, Some(now.plus(-2 * HOUR)), now), Some(now));
        assert_eq!(first_due(&schedule, Some(now.plus(-MINUTE)), now), Some(Millis(11 * HOUR)));
    }

    #[test]
    fn a_rate_limited_source_is_polled_when_the_tool_allows_it_and_at_the_latest_after_a_quarter_of_an_hour() {
        let schedule: Schedule = "* * * * *".parse().unwrap();
        let next = |wait: Option<Duration>| {
            let retry = wait.map_or(Retry::Backoff, Retry::After);
            let error = Error::new(ErrorKind::RateLimited, "rate limited").with_retry(retry);
            let report = SourceReport { error: Some(error), ..SourceReport::default() };
            next_due(&schedule, wait_of(&report), Millis(0)).unwrap().0
        };
        assert_eq!(next(None), MINUTE);
        assert_eq!(next(Some(Duration::from_secs(1))), MINUTE);
        assert_eq!(next(Some(Duration::from_secs(150))), 150_000);
        assert_eq!(next(Some(Duration::MAX)), 15 * MINUTE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_past_moment_is_not_waited_for() {
        let begun = Instant::now();
        until(Millis(0)).await;
        assert!(begun.elapsed().is_zero());
    }
}
