//! One source for ever: run when due or called, never twice at once. A run that takes longer than its schedule swallows what
//! fell due meanwhile; calls that come while it runs make one more run, not many.

use contextcore_core::clock;
use std::sync::Arc;
use std::time::Duration;

use contextcore_core::Millis;
use contextcore_core::config::{Schedule, SourceConfig};
use contextcore_core::ingest::sync::{Options, SourceReport};
use tokio::sync::watch;
use tokio::time::Instant;

use super::webhook::Bell;
use crate::engine::Engine;
use crate::failure::Failure;

/// How long after a call the poll begins.
const SETTLE: Duration = Duration::from_secs(2);
/// A sleep is looked at again this often: the wall clock may jump, and a laptop may have slept as well.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Runs a source until the engine is cancelled.
pub(super) async fn run(
    engine: Arc<Engine>,
    source: SourceConfig,
    bell: Arc<Bell>,
    news: Arc<watch::Sender<u64>>,
) -> Result<(), Failure> {
    let last = engine.store.source_status(&source.name)?.last_success;
    let mut due = first_due(&source.schedule, last, clock::now());
    while let Some(moment) = due {
        tracing::debug!(source = source.name, due = %moment, "next run");
        tokio::select! {
            biased;
            () = engine.cancel.cancelled() => return Ok(()),
            () = until(moment) => {}
            () = called(&bell) => {}
        }
        tell(&engine.sync_one(&source, Options::default()).await);
        news.send_modify(|runs| *runs += 1);
        due = source.schedule.next_after(clock::now());
    }
    tracing::warn!(source = source.name, "its schedule names no moment to come");
    engine.cancel.cancelled().await;
    Ok(())
}

/// Waits for a call, and a little longer: a change often makes several calls, and the tool's search lags behind them.
async fn called(bell: &Bell) {
    bell.heard().await;
    tokio::time::sleep(SETTLE).await;
}

/// When a source is run first: at once if it never was, or if a run fell due while nobody served.
fn first_due(schedule: &Schedule, last_success: Option<Millis>, now: Millis) -> Option<Millis> {
    match last_success {
        None => Some(now),
        Some(last) => schedule.next_after(last).map(|due| due.max(now)),
    }
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
        tokio::time::sleep(wait.min(LOOK_AGAIN)).await;
    }
}

/// Says in the log how a run ended.
fn tell(report: &SourceReport) {
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
    use contextcore_core::model::time::{HOUR, MINUTE};

    #[test]
    fn a_source_runs_at_once_when_it_is_new_or_late_and_else_when_due() {
        let schedule: Schedule = "0 * * * *".parse().unwrap();
        let now = Millis(10 * HOUR + 20 * MINUTE);
        assert_eq!(first_due(&schedule, None, now), Some(now));
        assert_eq!(first_due(&schedule, Some(now.plus(-2 * HOUR)), now), Some(now));
        assert_eq!(first_due(&schedule, Some(now.plus(-MINUTE)), now), Some(Millis(11 * HOUR)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_moment_gone_by_is_not_waited_for() {
        let begun = Instant::now();
        until(Millis(0)).await;
        assert!(begun.elapsed().is_zero());
    }
}
