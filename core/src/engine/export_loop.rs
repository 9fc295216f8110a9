//! Exports one signal: after every run of a source that brought news, and the present (for metrics, those of the program as well) at its
//! interval. Each signal has a loop of its own, so that a backend that is down holds up no other; it is retried without end,
//! and the journal keeps what is not exported.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::Engine;
use crate::clock;
use crate::config::OtlpConfig;
use crate::export::otlp::{RetryPolicy, Signal};
use crate::export::{Destinations, DrainReport, Exporter, Present};
use crate::model::error::Result;

/// How long a request under way may still take after a forced stop.
pub const STOP_GRACE: Duration = Duration::from_secs(3);

/// When an export that failed is tried again, if nothing else causes one before: its backend may be well by then, or its
/// address corrected.
const PROBE: Duration = Duration::from_secs(60);

/// Exports the metrics of the program itself.
#[async_trait]
pub trait OwnMetrics: Send + Sync {
    /// Sends the present values. A failure is logged: the next call sends everything again.
    async fn push(&self, engine: &Engine);
}

/// The exporters of one signal; cancelling `force_stop` cuts them short.
///
/// # Errors
/// As [`Destinations::connect`].
pub fn sinks(engine: &Engine, signal: Signal, force_stop: &CancellationToken) -> Result<Destinations> {
    let mut config: OtlpConfig = engine.config().export.otlp.clone();
    config.targets.retain(|other, _| *other == signal);
    let policy = RetryPolicy { stop_grace: STOP_GRACE, ..RetryPolicy::default() };
    Destinations::connect(&config, force_stop, &policy)
}

/// What one loop exports, where to, and when.
pub struct ExportLoop {
    /// The signal.
    pub signal: Signal,
    /// Where it goes.
    pub sinks: Destinations,
    /// Changes after every run of a source that brought something to export.
    pub stored: watch::Receiver<u64>,
    /// Cuts exporting short.
    pub force_stop: CancellationToken,
    /// The metrics of the program itself, pushed after those of the present.
    pub own_metrics: Option<Box<dyn OwnMetrics>>,
}

impl ExportLoop {
    /// Exports until the engine is cancelled, and then once more what was stored last.
    ///
    /// # Errors
    /// As the store's, when it cannot be read at the start.
    pub async fn run(mut self, engine: Arc<Engine>) -> Result<()> {
        let changes = Present { snapshots: false, metrics: self.signal == Signal::Metrics };
        let now = Present { snapshots: self.signal == Signal::Traces, metrics: self.signal == Signal::Metrics };
        let mut ticks = ticks(&engine, self.signal);
        let mut is_empty = engine.store.head()? == 0;
        let mut failed: Option<(Instant, Present)> = None;
        let mut reported = None;
        loop {
            let (present, is_tick) = tokio::select! {
                biased;
                () = engine.cancel.cancelled() => break,
                () = tick(&mut ticks) => (now, true),
                present = probe(failed) => (present, false),
                changed = self.stored.changed() => {
                    if changed.is_err() {
                        // No poll loop is left: the stop is on its way.
                        engine.cancel.cancelled().await;
                        break;
                    }
                    // The first tick of a new installation found nothing; dashboards must not stay empty until the next.
                    if let Some(ticks) = ticks.as_mut().filter(|_| std::mem::take(&mut is_empty)) {
                        ticks.reset_immediately();
                    }
                    (changes, false)
                }
            };
            let all_accepted = self.drain(&engine, present, &mut reported).await;
            failed = (!all_accepted).then(|| (Instant::now() + PROBE, present));
            if let Some(own) = self.own_metrics.as_ref().filter(|_| is_tick && all_accepted) {
                // The totals are in the store: what a stop cuts off is pushed after the next start.
                engine.cancel.run_until_cancelled(own.push(&engine)).await;
            }
        }
        self.drain(&engine, changes, &mut reported).await;
        Ok(())
    }

    /// Exports the backlog; whether the backend accepted all of it. An error that was `reported` is not logged again.
    async fn drain(&self, engine: &Engine, present: Present, reported: &mut Option<String>) -> bool {
        let (store, config, progress) = (&engine.store, engine.config(), &*engine.progress);
        let replayer = Exporter::new(store, &config, &self.sinks, progress, &self.force_stop, true);
        let report = replayer.drain(clock::now(), present).await;
        log(&report, reported);
        report.errors.is_empty()
    }
}

/// When the present is exported: with metrics and, as snapshots, with traces.
fn ticks(engine: &Engine, signal: Signal) -> Option<Interval> {
    let export = &engine.config().export;
    let period = match signal {
        Signal::Traces => export.snapshot_interval,
        Signal::Metrics => export.metrics_interval,
        Signal::Logs => return None,
    };
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Some(ticks)
}

async fn tick(ticks: &mut Option<Interval>) {
    match ticks {
        Some(ticks) => drop(ticks.tick().await),
        None => std::future::pending().await,
    }
}

/// Waits until a failed export is due again, and returns what it was to send.
async fn probe(failed: Option<(Instant, Present)>) -> Present {
    let Some((due, present)) = failed else { return std::future::pending().await };
    tokio::time::sleep_until(due).await;
    present
}

/// Logs what was sent, and what failed unless that was `reported` already: it is tried again every minute, perhaps for days.
fn log(report: &DrainReport, reported: &mut Option<String>) {
    let sent = report.total();
    if sent.spans + sent.logs > 0 {
        tracing::info!(spans = sent.spans, logs = sent.logs, points = sent.points, "exported");
    }
    let error = report.errors.first().map(|(signal, error)| (signal.as_str(), error.full()));
    if let Some((signal, text)) = error.as_ref().filter(|(_, text)| reported.as_ref() != Some(text)) {
        tracing::warn!(signal, "{text}; it stays in the journal");
    }
    *reported = error.map(|(_, text)| text);
}
