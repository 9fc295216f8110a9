//! Exports one signal of a lane: what is new at once, the open tasks soon after, and everything once more at the end.

use std::sync::Arc;
use std::time::Duration;

use contextcore_core::engine::{Engine, export_loop};
use contextcore_core::export::otlp::Signal;
use contextcore_core::export::{Destinations, Exporter, Present, backend_status};
use contextcore_core::store::Position;
use contextcore_core::{Error, clock};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::logs::origin;
use super::shared::Shared;

/// Snapshots follow each other no closer than this.
const BETWEEN_SNAPSHOTS: Duration = Duration::from_secs(60);
/// How long after a change the open tasks are sent: changes come in bursts.
const SETTLE: Duration = Duration::from_secs(1);
/// When an export that failed is tried again.
const PROBE: Duration = Duration::from_secs(5);

/// What is said of a signal that the backend refused once as unknown.
const UNDECIDED: &str = "the backend does not know the signal, or the address is wrong";

/// How draining a lane ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Everything was done that could be.
    Done,
    /// The backend does not know this signal, while it takes another.
    Unknown(Signal),
}

/// What one loop exports, and until when.
pub(super) struct SignalLoop {
    engine: Arc<Engine>,
    signal: Signal,
    sinks: Destinations,
    /// Changes after every run of the source.
    stored: watch::Receiver<u64>,
    /// Export once more, and end.
    closing: CancellationToken,
    /// Cuts exporting short.
    force_stop: CancellationToken,
    /// Where it is said that the backend accepts nothing.
    shared: Arc<Shared>,
}

/// When open tasks are sent.
struct Snapshots {
    last: Option<Instant>,
    due: Option<Instant>,
}

impl SignalLoop {
    pub(super) fn new(
        (engine, shared): (&Arc<Engine>, &Arc<Shared>),
        signal: Signal,
        stored: watch::Receiver<u64>,
        closing: &CancellationToken,
        force_stop: &CancellationToken,
    ) -> Result<Self, Error> {
        let sinks = export_loop::sinks(engine, signal, force_stop)?;
        let (closing, force_stop) = (closing.clone(), force_stop.clone());
        let (engine, shared) = (Arc::clone(engine), Arc::clone(shared));
        Ok(Self { engine, signal, sinks, stored, closing, force_stop, shared })
    }

    /// Exports until the lane is closed.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) async fn run(mut self) -> Result<Ended, Error> {
        let mut snapshots = Snapshots { last: None, due: Some(Instant::now() + SETTLE) };
        let (mut is_snapshot, mut unknown) = (false, 0_u32);
        loop {
            let error = self.export(is_snapshot).await;
            if let Some(error) = &error {
                if is_unknown(error) && self.takes_another()? {
                    return Ok(Ended::Unknown(self.signal));
                }
                unknown = if is_unknown(error) { unknown.saturating_add(1) } else { 0 };
                // The other signal may not have been answered yet: what happens to this one is not known before.
                if unknown == 1 && self.engine.config().export.otlp.targets.len() > 1 {
                    self.shared.trouble.set(&self.signal.to_string(), UNDECIDED);
                } else {
                    self.log(error);
                }
            } else {
                unknown = 0;
                self.shared.trouble.clear(&self.signal.to_string());
                snapshots.sent(is_snapshot);
            }
            let next = if error.is_some() { Some(Instant::now() + PROBE) } else { None };
            is_snapshot = tokio::select! {
                biased;
                () = self.closing.cancelled() => break,
                () = at(next) => is_snapshot,
                changed = self.stored.changed(), if error.is_none() => {
                    if changed.is_err() {
                        break;
                    }
                    snapshots.changed();
                    false
                }
                () = at(snapshots.due), if error.is_none() => true,
            };
        }
        drop(self.export(true).await);
        Ok(Ended::Done)
    }

    /// Exports the backlog and, with `snapshot`, the open tasks. Returns why not everything was accepted.
    async fn export(&self, snapshot: bool) -> Option<Error> {
        let Engine { store, progress, .. } = &*self.engine;
        let config = self.engine.config();
        let present = Present { snapshots: snapshot && self.signal == Signal::Traces, metrics: false };
        let exporter = Exporter::new(store, &config, &self.sinks, &**progress, &self.force_stop, true);
        let report = exporter.drain(clock::now(), present).await;
        report.errors.into_iter().next().map(|(_, error)| error)
    }

    fn log(&self, error: &Error) {
        let (signal, text) = (self.signal, error.full());
        if self.shared.trouble.set(&signal.to_string(), &text) {
            tracing::warn!(%signal, "{text}; it stays in the journal");
        }
    }

    /// Whether the backend has accepted another signal, so that its address and our credential are right.
    fn takes_another(&self) -> Result<bool, Error> {
        let config = self.engine.config();
        let source = &config.sources[0].name;
        let targets = &config.export.otlp.targets;
        let Some(ours) = targets.get(&self.signal).map(|target| origin(&target.url)) else { return Ok(false) };
        // Another backend that accepts says nothing of this one.
        let others = targets.iter().filter(|(other, target)| **other != self.signal && origin(&target.url) == ours);
        for (other, _) in others {
            if self.engine.store.position(*other, source)?.done > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Snapshots {
    fn changed(&mut self) {
        let earliest = self.last.map(|last| last + BETWEEN_SNAPSHOTS);
        let soon = Instant::now() + SETTLE;
        self.due = Some(earliest.map_or(soon, |earliest| earliest.max(soon)));
    }

    /// They are also sent from time to time while nothing changes, or they would fade.
    fn sent(&mut self, is_snapshot: bool) {
        if is_snapshot {
            let now = Instant::now();
            (self.last, self.due) = (Some(now), Some(now + Duration::from_secs(15 * 60)));
        }
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Whether the backend answered that it does not know the signal.
fn is_unknown(error: &Error) -> bool {
    let answer = error.context("answer").unwrap_or_default();
    ["gRPC UNIMPLEMENTED", "HTTP 404", "HTTP 405", "HTTP 501"].iter().any(|known| answer.starts_with(known))
}

/// What a backend that accepts nothing answered last, or why there was no answer.
pub(super) fn refusal(engine: &Engine) -> Option<String> {
    let config = engine.config();
    config.export.otlp.targets.iter().find_map(|(signal, target)| {
        let status = backend_status(&engine.store, *signal).ok().flatten()?;
        Some(format!("{} takes no {signal}: {}", target.url, status.reason))
    })
}

/// How far every signal has been exported.
///
/// # Errors
/// When the store cannot be read.
pub(super) fn positions(engine: &Engine) -> Result<Vec<Position>, Error> {
    let config = engine.config();
    let source = &config.sources[0].name;
    config.export.otlp.targets.keys().map(|signal| engine.store.position(*signal, source)).collect()
}

/// Whether every signal has been exported as far as the source is sealed.
///
/// # Errors
/// When the store cannot be read.
pub(super) fn is_done(engine: &Engine) -> Result<bool, Error> {
    let config = engine.config();
    let source = &config.sources[0].name;
    let sealed = engine.store.sealed(source)?;
    for signal in config.export.otlp.targets.keys() {
        if engine.store.position(*signal, source)?.done < sealed {
            return Ok(false);
        }
    }
    Ok(true)
}
