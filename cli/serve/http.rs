//! The HTTP endpoints of `serve` on `listen`: health, readiness, metrics and webhooks.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use contextcore_core::clock;
use contextcore_core::engine::webhook::WebhookState;
use contextcore_core::engine::{Engine, telemetry};
use contextcore_core::{Error, ErrorKind};
use tokio::net::TcpListener;

use super::webhook;
use crate::host::{blocking, refuse};

/// A source that fails this often in a row makes the service not ready.
const TOO_OFTEN: u64 = 3;

/// Answers health checks and scrapes until the engine is cancelled.
pub(super) async fn run(engine: Arc<Engine>, webhooks: WebhookState, listener: TcpListener) -> Result<(), Error> {
    let cancel = engine.cancel.clone();
    let server = axum::serve(listener, public(engine, webhooks)).with_graceful_shutdown(cancel.cancelled_owned());
    server.await.map_err(|error| Error::new(ErrorKind::Internal, "answer on `listen`").caused_by(error))
}

fn public(engine: Arc<Engine>, webhooks: WebhookState) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/webhooks/{source}", webhook::route(webhooks))
        .with_state(engine)
}

async fn readyz(State(engine): State<Arc<Engine>>) -> Response {
    match reasons(&engine) {
        Ok(reasons) if reasons.is_empty() => "ready\n".into_response(),
        Ok(reasons) => (StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n").into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", error.full())).into_response(),
    }
}

/// Why the service is not ready, a line each.
fn reasons(engine: &Engine) -> Result<Vec<String>, Error> {
    let mut reasons = Vec::new();
    if let Err(error) = engine.store.check_writable() {
        reasons.push(error.full());
    }
    for source in &engine.config.sources {
        let status = engine.store.source_status(&source.name)?;
        if status.failures >= TOO_OFTEN {
            let error = status.last_error.unwrap_or_default();
            reasons.push(format!("source {} failed {} times in a row: {error}", source.name, status.failures));
        }
    }
    Ok(reasons)
}

async fn metrics(State(engine): State<Arc<Engine>>) -> Response {
    let text = blocking(engine, |engine| telemetry::prometheus(&engine.store, &engine.config, clock::now())).await;
    match text {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => refuse(&error),
    }
}

#[cfg(test)]
mod tests {
    use contextcore_core::progress::Quiet;

    use super::*;
    use crate::{app, fixture};

    fn engine() -> (Arc<Engine>, tempfile::TempDir) {
        let (store, config, dir) = fixture::world();
        (Arc::new(app::engine(config, store, Box::new(Quiet))), dir)
    }

    #[tokio::test]
    async fn a_source_that_keeps_failing_makes_the_service_not_ready() {
        let (engine, _dir) = engine();
        assert_eq!(reasons(&engine).unwrap(), Vec::<String>::new());
        let mut status = engine.store.source_status("acme").unwrap();
        status.failures = 3;
        status.last_error = Some("log in: refused".into());
        let mut transaction = engine.store.begin().unwrap();
        transaction.put_source_status("acme", &status).unwrap();
        transaction.commit().unwrap();
        assert_eq!(reasons(&engine).unwrap(), ["source acme failed 3 times in a row: log in: refused"]);
        assert_eq!(readyz(State(engine)).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
