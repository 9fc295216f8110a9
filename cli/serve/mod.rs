//! `contextcore serve`: polls every source on its schedule, exports as changes are stored, and answers HTTP requests.
//!
//! The loops are the engine's; here are the endpoints: [`http`] for health checks and scrapes, [`webhook`] for the tools. Other
//! commands are answered by [`host`].

mod http;
mod webhook;

use std::sync::Arc;

use async_trait::async_trait;
use contextcore_core::engine::Engine;
use contextcore_core::engine::export_loop::OwnMetrics;
use contextcore_core::engine::serve::Service;
use contextcore_core::engine::webhook::WebhookState;
use tokio::net::TcpListener;

use crate::app::{self, Context};
use crate::failure::{Exit, Failure, Outcome};
use crate::self_metrics::SelfMetrics;
use crate::{host, progress, stop};

pub(crate) async fn run(context: &Context) -> Outcome {
    let config = context.config_for_network()?;
    app::chosen(&config, &[])?;
    let listener = listen(&config.listen).await?;
    let store = app::open_store(&config).await?;
    let engine = Arc::new(app::engine(config, store, progress::lines()));
    let own_metrics = SelfMetrics::start(&engine.config.export.otlp);
    let mut service = Service::start(&engine, own_metrics.map(|own| Box::new(own) as Box<dyn OwnMetrics>))?;
    let webhooks = WebhookState::new(Arc::clone(&engine), service.triggers());
    service.spawn(http::run(Arc::clone(&engine), webhooks, listener));
    if let Some(socket) = host::Socket::bind(engine.store.path()) {
        service.spawn(host::run(Arc::clone(&engine), Some(service.triggers()), socket, engine.cancel.clone()));
    }
    tracing::info!(listen = %engine.config.listen, sources = engine.config.sources.len(), "serving");
    stop::stoppable(&engine.cancel, service.run()).await??;
    Ok(Exit::Done)
}

async fn listen(address: &std::net::SocketAddr) -> Result<TcpListener, Failure> {
    let failed = |error| Failure::usage(format!("listen on {address}: {error}; set `listen` to a free address"));
    TcpListener::bind(address).await.map_err(failed)
}

#[async_trait]
impl OwnMetrics for SelfMetrics {
    async fn push(&self, engine: &Engine) {
        Self::push(self, engine).await;
    }
}
