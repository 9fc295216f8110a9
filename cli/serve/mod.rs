//! `contextcore serve`: polls every source on its schedule, exports as changes are stored, and answers HTTP requests.
//!
//! The loops are the engine's. Here are the [`endpoints`]: [`http`] for health checks and scrapes, [`webhook`] for the
//! tools, with the limits of [`crate::connections`]; other commands are answered by [`host`]. SIGHUP reloads the configuration: the loops stop after their
//! current step and start again with the new one, while the endpoints go on answering.

mod current;
mod endpoints;
mod http;
#[cfg(feature = "mcp")]
mod mcp;
mod ops;
mod proof;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contextcore_core::config::Config;
use contextcore_core::engine::export_loop::OwnMetrics;
use contextcore_core::engine::serve::Service;
use contextcore_core::engine::{Engine, replicas};
use contextcore_core::{Error, ErrorKind};
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::current::Current;
use self::endpoints::{Bound, Endpoints};
use crate::app::{self, Context};
use crate::failure::{Exit, Failure, Outcome};
use crate::self_metrics::SelfMetrics;
use crate::{host, progress, stop};

pub(crate) async fn run(context: &Context) -> Outcome {
    stop::within(STOP);
    let config = context.config_for_network()?;
    app::chosen(&config, &[])?;
    let mut endpoints = Endpoints::default();
    let bound = endpoints.bind(&config).await?;
    let store = app::open_shared(&config).await?;
    let engine = Arc::new(app::engine(config, store, progress::lines()));
    let current = Current::new(Arc::clone(&engine), replicas::triggers(&engine.config()));
    let ended = serve(context, Next { engine, bound, began: SERVING }, &current, &mut endpoints).await;
    endpoints.close().await;
    ended.map(|()| Exit::Done)
}

/// A service ends within ten seconds after it was asked to.
const STOP: Duration = Duration::from_millis(9_500);

fn start(engine: &Arc<Engine>) -> Result<Service, Error> {
    let own_metrics = SelfMetrics::start(&engine.config().export.otlp);
    let mut service = Service::start(engine, own_metrics.map(|own| Box::new(own) as Box<dyn OwnMetrics>))?;
    if let Some(socket) = host::Socket::bind(engine.store.path()) {
        service.spawn(host::run(Arc::clone(engine), Some(service.triggers()), socket, engine.cancel.clone()));
    }
    Ok(service)
}

/// Runs the service, one configuration or lease after the other, until it is stopped.
async fn serve(context: &Context, mut next: Next, current: &Current, endpoints: &mut Endpoints) -> Result<(), Failure> {
    let failed = |error| Failure::new(Exit::Internal, format!("listen for signals: {error}"));
    let mut hangups = signal(SignalKind::hangup()).map_err(failed)?;
    loop {
        let Next { engine, bound, began } = next;
        let mut bound = Some(bound);
        if engine.store.is_standby() {
            stand_by(&engine, current);
            endpoints.open(bound.take().unwrap_or_default(), current)?;
            let triggers = current.triggers();
            if !stop::stoppable(&engine.cancel, replicas::until_joined(&engine, &triggers)).await?? {
                return Ok(());
            }
        }
        // After a reload the others are to know which sources this one reads.
        let is_shared = engine.store.lease().is_some_and(|lease| !lease.is_exclusive());
        if is_shared && !stop::stoppable(&engine.cancel, replicas::until_joined(&engine, &current.triggers())).await?? {
            return Ok(());
        }
        let service = start(&engine)?;
        current.replace(Arc::clone(&engine), service.triggers());
        endpoints.open(bound.take().unwrap_or_default(), current)?;
        let config = engine.config();
        tracing::info!(listen = %config.listen, sources = config.sources.len(), "{began}");
        proof::warn_of_unreadable(&config);
        let period = until_reload(context, &engine, service, endpoints, &mut hangups);
        let ended = stop::stoppable(&engine.cancel, period).await?;
        let is_over = stop::requested().is_some() || !matches!(ended, Ok(Some(_)));
        if let Some(lease) = engine.store.lease().filter(|_| is_over) {
            // So that another replica takes over at once, and need not wait for what this one still has to close.
            lease.release();
        }
        match ended? {
            Some(after) if !is_over => next = after,
            _ => return Ok(()),
        }
    }
}

/// What a new configuration runs on.
struct Next {
    engine: Arc<Engine>,
    bound: Bound,
    /// What the log says when it begins.
    began: &'static str,
}

const SERVING: &str = "serving";
const RELOADED: &str = "reloaded the configuration";

/// Runs the service until it ends, or until it has stopped for a new configuration or because it may not write any more. A
/// configuration that cannot be used changes nothing.
async fn until_reload(
    context: &Context,
    engine: &Engine,
    service: Service,
    endpoints: &Endpoints,
    hangups: &mut Signal,
) -> Result<Option<Next>, Failure> {
    let force_stop = service.force_stop();
    let mut run = std::pin::pin!(service.run());
    loop {
        tokio::select! {
            ended = &mut run => return again_after(ended, engine),
            () = lost(engine) => {
                engine.cancel.cancel();
                force_stop.cancel();
                run.await.unwrap_or_else(|error| tracing::warn!("{}", error.full()));
                return Ok(Some(again(engine)));
            }
            Some(()) = hangups.recv() => {}
        }
        match reload(context, engine, endpoints).await {
            Ok(next) => {
                engine.cancel.cancel();
                run.await?;
                return Ok(Some(next));
            }
            Err(failure) => {
                let problems = failure.lines.join("; ");
                tracing::error!("the new configuration cannot be used, the old one stays: {problems}");
            }
        }
    }
}

/// Waits until another process may write to the store.
async fn lost(engine: &Engine) {
    match engine.store.lease() {
        Some(lease) => lease.lost().await,
        None => std::future::pending().await,
    }
}

/// What follows a service that has ended. A database that failed is waited for.
fn again_after(ended: Result<(), Error>, engine: &Engine) -> Result<Option<Next>, Failure> {
    match ended {
        Err(error) if error.kind() == ErrorKind::Store && engine.store.lease().is_some() => {
            tracing::warn!("{}", error.full());
            Ok(Some(again(engine)))
        }
        ended => Ok(ended.map(|()| None)?),
    }
}

/// The same configuration once more, as soon as this process may write.
fn again(engine: &Engine) -> Next {
    let config = Config::clone(&engine.config());
    Next { engine: Arc::new(engine.reloaded(config)), bound: Bound::default(), began: SERVING }
}

/// Lets the endpoints pass on what a replica that may not write is asked for.
fn stand_by(engine: &Arc<Engine>, current: &Current) {
    current.replace(Arc::clone(engine), replicas::triggers(&engine.config()));
}

/// Reads the configuration again and prepares everything that can fail.
async fn reload(context: &Context, engine: &Engine, endpoints: &Endpoints) -> Result<Next, Failure> {
    let config = context.config_for_network()?;
    app::chosen(&config, &[])?;
    if config.store != engine.config().store {
        return Err(Failure::usage("`store` cannot change while `serve` runs: restart it"));
    }
    let bound = endpoints.bind(&config).await?;
    let engine = Arc::new(engine.reloaded(config));
    engine.sinks()?;
    Ok(Next { engine, bound, began: RELOADED })
}

#[async_trait]
impl OwnMetrics for SelfMetrics {
    async fn push(&self, engine: &Engine) {
        Self::push(self, engine).await;
    }
}
