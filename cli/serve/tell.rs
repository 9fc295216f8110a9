//! Telling one signal's backend: after every run of a source, and the present (with metrics, our own as well) at its interval. Each signal has a loop of its
//! own, so that a backend that is down holds up no other; it is tried for ever, and the journal waits.

use contextcore_core::clock;
use std::sync::Arc;
use std::time::Duration;

use contextcore_core::config::OtlpConfig;
use contextcore_core::export::otlp::{RetryPolicy, Signal};
use contextcore_core::export::{Destinations, DrainReport, Exporter, Present};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::failure::Failure;
use crate::self_metrics::SelfMetrics;

/// How long a request under way may still take once we are in a hurry.
pub(super) const STOP_GRACE: Duration = Duration::from_secs(3);

/// The sinks of one signal; cancelling `hurry` cuts them short.
pub(super) fn sinks(engine: &Engine, signal: Signal, hurry: &CancellationToken) -> Result<Destinations, Failure> {
    let mut config: OtlpConfig = engine.config.export.otlp.clone();
    config.targets.retain(|other, _| *other == signal);
    let policy = RetryPolicy { stop_grace: STOP_GRACE, ..RetryPolicy::default() };
    Ok(Destinations::connect(&config, hurry, &policy)?)
}

/// Tells until the engine is cancelled, and then once more what came in last.
pub(super) async fn run(
    engine: Arc<Engine>,
    signal: Signal,
    sinks: Destinations,
    mut news: watch::Receiver<u64>,
    hurry: CancellationToken,
) -> Result<(), Failure> {
    let news_only = Present { snapshots: false, metrics: signal == Signal::Metrics };
    let mut ticks = ticks(&engine, signal);
    let mut nothing_yet = engine.store.head()? == 0;
    let own = Some(&engine.config.export.otlp).filter(|_| signal == Signal::Metrics).and_then(SelfMetrics::start);
    loop {
        let mut own_due = None;
        let present = tokio::select! {
            biased;
            () = engine.cancel.cancelled() => break,
            () = tick(&mut ticks) => {
                own_due = own.as_ref();
                Present { snapshots: signal == Signal::Traces, metrics: signal == Signal::Metrics }
            }
            changed = news.changed() => {
                if changed.is_err() {
                    // Nobody polls any more: the stop is on its way.
                    engine.cancel.cancelled().await;
                    break;
                }
                // The first tick of a new installation found nothing; dashboards shall not stay empty until the next.
                if let Some(ticks) = ticks.as_mut().filter(|_| std::mem::take(&mut nothing_yet)) {
                    ticks.reset_immediately();
                }
                news_only
            }
        };
        let all_taken = drain(&engine, &sinks, &hurry, present).await;
        if let Some(own) = own_due.filter(|_| all_taken) {
            // The totals are in the store: what a stop cuts off is told after the next start.
            engine.cancel.run_until_cancelled(own.push(&engine)).await;
        }
    }
    drain(&engine, &sinks, &hurry, news_only).await;
    Ok(())
}

/// When the present is told: with metrics and, as snapshots, with traces.
fn ticks(engine: &Engine, signal: Signal) -> Option<Interval> {
    let export = &engine.config.export;
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

/// Sends what there is to send; whether the backend took it all.
async fn drain(engine: &Engine, sinks: &Destinations, hurry: &CancellationToken, present: Present) -> bool {
    let replayer = Exporter::new(&engine.store, &engine.config, sinks, &*engine.progress, hurry, true);
    let report = replayer.drain(clock::now(), present).await;
    tell(&report);
    report.errors.is_empty()
}

/// Says in the log what came of it, if there is anything to say.
fn tell(report: &DrainReport) {
    let sent = report.total();
    if sent.spans + sent.logs > 0 {
        tracing::info!(spans = sent.spans, logs = sent.logs, points = sent.points, "told the backends");
    }
    for (signal, error) in &report.errors {
        tracing::warn!(signal = signal.as_str(), "{}; it stays in the journal", error.full());
    }
}
