//! A replica that may not write: it waits for the lease of the store, and passes on which sources shall be read soon.
//!
//! What the replicas share is in the store. So whichever has the lease polls and exports; the others answer what can be answered by
//! reading.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;

use super::Engine;
use super::webhook::{PollTrigger, PollTriggers};
use crate::config::Config;
use crate::model::error::{Error, Result};

/// How often the lease is asked for, and how often its owner looks for wishes of the others.
const PERIOD: Duration = Duration::from_secs(1);

/// Triggers of every source, which [`until_leased`] passes on to the replica that polls.
pub fn triggers(config: &Config) -> PollTriggers {
    config.sources.iter().map(|source| (source.name.clone(), Arc::default())).collect()
}

/// Waits until this process may write to its store; false when the engine was cancelled before.
///
/// # Errors
/// [`crate::ErrorKind::Store`] when a newer version of the program changed the tables. A database that does not answer is waited for.
pub async fn until_leased(engine: &Engine, triggers: &PollTriggers) -> Result<bool> {
    let passing = join_all(triggers.iter().map(|(source, trigger)| pass_on(engine, source, trigger)));
    tokio::select! {
        biased;
        () = engine.cancel.cancelled() => Ok(false),
        leased = leased(engine) => leased.map(|()| true),
        _ = passing => Ok(false),
    }
}

async fn leased(engine: &Engine) -> Result<()> {
    let mut said = None;
    loop {
        let reason = match engine.store.take_lease() {
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

/// Triggers what other replicas were asked for, until the engine is cancelled.
///
/// # Errors
/// None: a database that does not answer is asked again.
pub async fn listen(engine: Arc<Engine>, triggers: PollTriggers) -> Result<()> {
    let Some(lease) = engine.store.lease() else { return Ok(()) };
    while engine.cancel.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_some() {
        let woken = lease
            .woken()
            .inspect_err(|error| tracing::debug!(error = %error.full(), "could not ask what replicas want"));
        woken.unwrap_or_default().iter().filter_map(|source| triggers.get(source)).for_each(|trigger| trigger.now());
    }
    Ok(())
}
