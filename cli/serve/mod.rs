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
mod webhook;

use std::sync::Arc;

use async_trait::async_trait;
use contextcore_core::Error;
use contextcore_core::engine::Engine;
use contextcore_core::engine::export_loop::OwnMetrics;
use contextcore_core::engine::serve::Service;
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::current::Current;
use self::endpoints::{Bound, Endpoints};
use crate::app::{self, Context};
use crate::failure::{Exit, Failure, Outcome};
use crate::self_metrics::SelfMetrics;
use crate::{host, progress, stop};

pub(crate) async fn run(context: &Context) -> Outcome {
    let config = context.config_for_network()?;
    app::chosen(&config, &[])?;
    let mut endpoints = Endpoints::default();
    let bound = endpoints.bind(&config).await?;
    let store = app::open_store(&config).await?;
    let engine = Arc::new(app::engine(config, store, progress::lines()));
    let service = start(&engine)?;
    let current = Current::new(Arc::clone(&engine), service.triggers());
    endpoints.open(bound, &current)?;
    let config = engine.config();
    tracing::info!(listen = %config.listen, sources = config.sources.len(), "serving");
    let ended = serve(context, engine, service, &current, &mut endpoints).await;
    endpoints.close().await;
    ended.map(|()| Exit::Done)
}

fn start(engine: &Arc<Engine>) -> Result<Service, Error> {
    let own_metrics = SelfMetrics::start(&engine.config().export.otlp);
    let mut service = Service::start(engine, own_metrics.map(|own| Box::new(own) as Box<dyn OwnMetrics>))?;
    if let Some(socket) = host::Socket::bind(engine.store.path()) {
        service.spawn(host::run(Arc::clone(engine), Some(service.triggers()), socket, engine.cancel.clone()));
    }
    Ok(service)
}

/// Runs the service, one configuration after the other, until it is stopped.
async fn serve(
    context: &Context,
    mut engine: Arc<Engine>,
    mut service: Service,
    current: &Current,
    endpoints: &mut Endpoints,
) -> Result<(), Failure> {
    let failed = |error| Failure::new(Exit::Internal, format!("listen for signals: {error}"));
    let mut hangups = signal(SignalKind::hangup()).map_err(failed)?;
    loop {
        let period = until_reload(context, &engine, service, endpoints, &mut hangups);
        let Some(next) = stop::stoppable(&engine.cancel, period).await?? else { return Ok(()) };
        if stop::requested().is_some() {
            return Ok(());
        }
        engine = next.engine;
        service = start(&engine)?;
        current.replace(Arc::clone(&engine), service.triggers());
        endpoints.open(next.bound, current)?;
        tracing::info!(sources = engine.config().sources.len(), "reloaded the configuration");
    }
}

/// What a new configuration runs on.
struct Next {
    engine: Arc<Engine>,
    bound: Bound,
}

/// Runs the service until it ends, or until it has stopped for a new configuration. One that cannot be used changes nothing.
async fn until_reload(
    context: &Context,
    engine: &Engine,
    service: Service,
    endpoints: &Endpoints,
    hangups: &mut Signal,
) -> Result<Option<Next>, Failure> {
    let mut run = std::pin::pin!(service.run());
    loop {
        tokio::select! {
            ended = &mut run => return Ok(ended.map(|()| None)?),
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
    Ok(Next { engine, bound })
}

#[async_trait]
impl OwnMetrics for SelfMetrics {
    async fn push(&self, engine: &Engine) {
        Self::push(self, engine).await;
    }
}
