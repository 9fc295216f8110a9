//! Replicas that share a store: each works on the units that it holds the leases of, and they agree on who takes which.
//!
//! [`until_joined`] waits until this process may take part; [`run`] then polls the sources it holds, takes what falls to it and
//! gives back what falls to another. A source is given back only after its poll has ended and no export works on it any more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::placement::{self, Changes};
use super::webhook::{PollTrigger, PollTriggers};
use super::{Engine, poll_loop};
use crate::config::{Config, SourceConfig};
use crate::model::error::{Error, ErrorKind, Result};
use crate::store::{Lease, Unit};

/// How often replicas look at what the others hold and want.
const PERIOD: Duration = Duration::from_secs(1);
/// How long work on a unit may go on that is to be given back. What is written later is refused.
const LEAVING: Duration = Duration::from_secs(3);

/// Triggers of every source, of which those of other replicas are passed on.
pub fn triggers(config: &Config) -> PollTriggers {
    config.sources.iter().map(|source| (source.name.clone(), Arc::default())).collect()
}

/// What replicas with this configuration share.
fn units(config: &Config) -> Vec<Unit> {
    Unit::all(config.sources.iter().map(|source| source.name.as_str()))
}

/// Waits until this process may work on its store; false when the engine was cancelled before.
///
/// # Errors
/// [`ErrorKind::Store`] when a newer version of the program changed the tables. A database that does not answer is waited for.
pub async fn until_joined(engine: &Engine, triggers: &PollTriggers) -> Result<bool> {
    let passing = join_all(triggers.iter().map(|(source, trigger)| pass_on(engine, source, trigger)));
    tokio::select! {
        biased;
        () = engine.cancel.cancelled() => Ok(false),
        joined = joined(engine) => joined.map(|()| true),
        _ = passing => Ok(false),
    }
}

async fn joined(engine: &Engine) -> Result<()> {
    let (mut said, units) = (None, units(&engine.config()));
    loop {
        let reason = match engine.store.join(&units) {
            Ok(true) => return Ok(()),
            Ok(false) => match holder(engine) {
                Ok(owner) => format!("standing by: {owner} has the lease of the store"),
                Err(error) if error.context("min_writer").is_some() => return Err(error),
                Err(error) => error.full(),
            },
            Err(error) => error.full(),
        };
        if said.as_ref() != Some(&reason) {
            tracing::warn!("{reason}");
            said = Some(reason);
        }
        tokio::time::sleep(PERIOD).await;
    }
}

fn holder(engine: &Engine) -> Result<String, Error> {
    Ok(engine.store.lease().map(|lease| lease.holder()).transpose()?.map(|holder| holder.owner).unwrap_or_default())
}

/// Passes the triggers of one source on.
async fn pass_on(engine: &Engine, source: &str, trigger: &PollTrigger) {
    loop {
        trigger.wait().await;
        if let Some(Err(error)) = engine.store.lease().map(|lease| lease.wake(source)) {
            tracing::warn!(source, error = %error.full(), "could not pass on that a source shall be read");
        }
    }
}

/// What happens to one source here: it is polled, or its triggers are passed on.
struct Loop {
    polls: bool,
    cancel: CancellationToken,
    /// One task, which ends with this.
    task: JoinSet<Result<()>>,
}

/// The part of a service that works on the units this process holds.
struct Shares {
    engine: Arc<Engine>,
    lease: Arc<Lease>,
    triggers: PollTriggers,
    stored: Arc<watch::Sender<u64>>,
    sources: Vec<SourceConfig>,
    loops: BTreeMap<String, Loop>,
}

/// Works on what this process holds, until the engine is cancelled.
///
/// # Errors
/// As the store's, when a source cannot begin to be polled.
pub(super) async fn run(engine: Arc<Engine>, triggers: PollTriggers, stored: Arc<watch::Sender<u64>>) -> Result<()> {
    let Some(lease) = engine.store.lease().map(Arc::clone) else { return Ok(()) };
    let sources = engine.config().sources.clone();
    let mut shares = Shares { engine, lease, triggers, stored, sources, loops: BTreeMap::new() };
    let cancel = shares.engine.cancel.clone();
    let mut ticks = interval(PERIOD.min(shares.lease.length() / 3));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_failing = false;
    let mut ended = Ok(());
    while ended.is_ok() && cancel.run_until_cancelled(ticks.tick()).await.is_some() {
        match shares.look().await {
            Ok(()) => is_failing = false,
            Err(error) if !std::mem::replace(&mut is_failing, true) => {
                tracing::warn!("could not look at what replicas hold: {}", error.full());
            }
            Err(_) => {}
        }
        ended = shares.follow().await;
    }
    let names: Vec<String> = shares.loops.keys().cloned().collect();
    join_all(shares.stop(&names)).await;
    ended
}

impl Shares {
    /// Looks at what the others hold and want, and does this replica's part.
    async fn look(&mut self) -> Result<()> {
        let (rows, held) = (self.lease.survey()?, self.lease.units());
        let Changes { take, give } =
            placement::changes(&self.lease.name(), &rows, &units(&self.engine.config()), &held);
        self.give(give).await;
        self.lease.take(&take)?;
        if !take.is_empty() {
            // What a former owner stored is to be exported now.
            self.stored.send_modify(|count| *count += 1);
        }
        self.answer()
    }

    /// Gives units back, once nobody works on them.
    async fn give(&mut self, units: Vec<Unit>) {
        if units.is_empty() {
            return;
        }
        units.iter().for_each(|unit| self.lease.leave(unit));
        let sources: Vec<String> = units.iter().filter_map(source_of).collect();
        let polls = join_all(self.stop(&sources));
        let until = Instant::now() + LEAVING;
        let work = async {
            polls.await;
            join_all(units.iter().map(|unit| self.lease.left(unit))).await;
        };
        let is_late = tokio::time::timeout_at(until, work).await.is_err();
        tracing::info!(units = units.len(), is_late, "giving units to other replicas");
        sources.iter().for_each(|source| self.engine.forget(source));
        self.lease.give_back(&units);
    }

    /// Stops what happens to these sources. The futures wait for its end.
    fn stop(&mut self, sources: &[String]) -> Vec<impl Future<Output = ()> + use<>> {
        let stopped: Vec<Loop> = sources.iter().filter_map(|source| self.loops.remove(source)).collect();
        stopped.iter().for_each(|stopped| stopped.cancel.cancel());
        stopped.into_iter().map(|stopped| async move { drop(stopped.task.join_all().await) }).collect()
    }

    /// Has each source polled that is held here, and the triggers of each other one passed on.
    async fn follow(&mut self) -> Result<()> {
        for source in self.sources.clone() {
            let polls = self.engine.store.owns(&Unit::source(&source.name));
            if let Some(running) = self.loops.get_mut(&source.name) {
                let ended = running.task.try_join_next();
                if ended.is_none() && running.polls == polls {
                    continue;
                }
                let failed = |error| Error::new(ErrorKind::Internal, "the loop of a source panicked").caused_by(error);
                ended.map_or(Ok(Ok(())), |ended| ended.map_err(failed)).flatten()?;
                join_all(self.stop(std::slice::from_ref(&source.name))).await;
            }
            let begun = self.begin(&source, polls);
            self.loops.insert(source.name, begun);
        }
        Ok(())
    }

    fn begin(&self, source: &SourceConfig, polls: bool) -> Loop {
        let (engine, source) = (Arc::clone(&self.engine), source.clone());
        let (cancel, mut task) = (self.engine.cancel.child_token(), JoinSet::new());
        let trigger = self.triggers.get(&source.name).map(Arc::clone).unwrap_or_default();
        let (stored, ends) = (Arc::clone(&self.stored), cancel.clone());
        if polls {
            tracing::info!(source = source.name, "this replica has the source now");
            task.spawn(poll_loop::run(engine, source, trigger, stored, ends));
        } else {
            task.spawn(async move {
                ends.run_until_cancelled(pass_on(&engine, &source.name, &trigger)).await;
                Ok(())
            });
        }
        Loop { polls, cancel, task }
    }

    /// Does what other replicas ask for of the sources that are held here.
    fn answer(&self) -> Result<()> {
        let mine: Vec<String> = self.lease.units().iter().filter_map(source_of).collect();
        if mine.is_empty() {
            return Ok(());
        }
        let (polls, exports) = self.lease.woken(&mine)?;
        polls.iter().filter_map(|source| self.triggers.get(source)).for_each(|trigger| trigger.now());
        if exports {
            self.stored.send_modify(|count| *count += 1);
        }
        Ok(())
    }
}

fn source_of(unit: &Unit) -> Option<String> {
    match unit {
        Unit::Source(name) => Some(name.to_string()),
        Unit::Projects(_) | Unit::Common => None,
    }
}
