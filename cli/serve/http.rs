//! The HTTP endpoints of `serve` on `listen`: health, readiness, metrics and webhooks.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use contextcore_core::engine::{Engine, telemetry};
use contextcore_core::export::calls::Calls;
use contextcore_core::export::otlp::Signal;
use contextcore_core::export::{BackendStatus, backend_status};
use contextcore_core::{Error, Millis, clock};

use super::current::Current;
#[cfg(feature = "mcp")]
use super::mcp;
use super::ops;
use super::webhook::{self, Place};
use crate::host::{blocking, refuse};
use crate::humanize;

/// A source that fails this often in a row makes the service not ready.
const TOO_OFTEN: u64 = 3;
/// All that a replica that may not write says of sources and backends.
const STANDS_BY: &str = "# This replica stands by. The process that has the lease of the store has the metrics.\n";

/// What is answered on `listen`.
pub(super) fn public(current: Current) -> Router {
    let calls = Arc::new(Calls::new("tcp", rand::random(), clock::now()));
    let router = Router::new();
    #[cfg(feature = "mcp")]
    let router = router.route("/mcp", mcp::route(current.clone(), Arc::clone(&calls)));
    router
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/v1/ops", ops::route(current.clone()))
        .route("/webhooks/{source}", webhook::route(current.clone(), Place::Shared))
        .layer(Extension(calls))
        .with_state(current)
}

async fn readyz(State(engine): State<Arc<Engine>>) -> Response {
    match blocking(engine, reasons).await {
        Ok(reasons) if reasons.is_empty() => "ready\n".into_response(),
        Ok(reasons) => (StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n").into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", error.full())).into_response(),
    }
}

/// Why the service is not ready, a line each.
fn reasons(engine: &Engine) -> Result<Vec<String>, Error> {
    let mut reasons = Vec::new();
    // A database that can be read may refuse what is written all the same, as one whose disk is full.
    reasons.extend(engine.store.trouble());
    if !reasons.is_empty() {
        return Ok(reasons);
    }
    if engine.store.is_standby() {
        // It answers questions. What is wrong with sources and backends concerns the replica that has the lease.
        return engine.store.head().map(|_| reasons);
    }
    if let Err(error) = engine.store.check_writable() {
        reasons.push(error.full());
    }
    if engine.store.lease().is_some() {
        // A source that fails is no reason to take a replica out of service, nor to hold up the start of the next one.
        return Ok(reasons);
    }
    let config = engine.config();
    for source in &config.sources {
        let status = engine.store.source_status(&source.name)?;
        if status.failures >= TOO_OFTEN {
            let error = status.last_error.unwrap_or_default();
            reasons.push(format!("source {} failed {} times in a row: {error}", source.name, status.failures));
        }
    }
    let now = clock::now();
    for (signal, target) in &config.export.otlp.targets {
        let status = backend_status(&engine.store, *signal)?;
        reasons.extend(
            status.filter(|status| status.is_stalled(now)).map(|status| stalled(*signal, &target.url, &status, now)),
        );
    }
    Ok(reasons)
}

/// Why a signal is not exported.
fn stalled(signal: Signal, url: &str, status: &BackendStatus, now: Millis) -> String {
    let lasting = humanize::duration(now.seconds_since(status.since).max(0.0));
    let next = status.next.filter(|next| *next > now).map(|next| humanize::duration(next.seconds_since(now)));
    let next = next.map(|wait| format!("; asked again in {wait}")).unwrap_or_default();
    format!("{signal}: {url} has accepted nothing for {lasting}: {}{next}", status.reason)
}

async fn metrics(State(engine): State<Arc<Engine>>, Extension(calls): Extension<Arc<Calls>>) -> Response {
    let text = blocking(engine, |engine| {
        if engine.store.is_standby() {
            // The same series from two replicas would count twice.
            return Ok(STANDS_BY.to_owned());
        }
        telemetry::prometheus(&engine.store, &engine.config(), clock::now())
    });
    let text = text.await;
    match text.map(|text| text + &calls.exposition(clock::now())) {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => refuse(&error),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::extract::Request;
    use contextcore_core::engine::webhook::PollTriggers;
    use contextcore_core::progress::Quiet;
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;

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

    /// A request with a token.
    fn request(path: &str) -> Request {
        let request =
            Request::post(path).header(header::HOST, "127.0.0.1").header(header::AUTHORIZATION, "Bearer wrong");
        request.body(Body::from("{}")).unwrap()
    }

    #[test]
    fn secrets_are_read_on_another_thread_than_health_is_answered_on() {
        let (store, _, dir) = fixture::world();
        let secret = dir.path().join("secret");
        std::fs::write(&secret, "hunter2-hunter2").unwrap();
        let file = format!("{{file: '{}'}}", secret.display());
        let text = format!(
            "sources: [{{name: hub, kind: github, url: 'https://example.com', auth: {{token: {file}}}, projects: [acme/1], \
             webhook: {{secret: {file}}}}}]\nops: {{token: {file}, projects: ['*']}}\n\
             mcp: {{enabled: true, tokens: [{{name: ci, token: {file}, projects: ['*'], agent: bot}}]}}"
        );
        let config = contextcore_core::config::parse(&text, "x.yaml", &app::kinds()).unwrap();
        let current = Current::new(
            Arc::new(app::engine(config, store, Box::new(Quiet))),
            PollTriggers::from([("hub".to_owned(), Arc::default())]),
        );
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
        runtime.block_on(async {
            let router = TowerToHyperService::new(public(current));
            let (release, held) = std::sync::mpsc::channel::<()>();
            let holds = tokio::task::spawn_blocking(move || held.recv());
            let mut asked = Vec::new();
            for path in ["/webhooks/hub", "/v1/ops", "/mcp"] {
                let mut answer = Box::pin(router.call(request(path)));
                for _ in 0..10 {
                    assert!(futures::poll!(&mut answer).is_pending(), "{path} read its secret at once");
                    tokio::task::yield_now().await;
                }
                asked.push((path, answer));
            }
            let health = Request::get("/healthz").body(Body::empty()).unwrap();
            assert_eq!(router.call(health).await.unwrap().status(), StatusCode::OK);
            release.send(()).unwrap();
            holds.await.unwrap().unwrap();
            for (path, answer) in asked {
                assert_eq!(answer.await.unwrap().status(), StatusCode::UNAUTHORIZED, "{path}");
            }
        });
    }

    #[test]
    fn a_stalled_signal_says_since_when_why_and_when_it_is_tried_again() {
        let now = fixture::NOW;
        let status = BackendStatus {
            since: now.plus(-720_000),
            reason: "HTTP 503: starting".into(),
            next: Some(now.plus(120_000)),
        };
        assert_eq!(
            stalled(Signal::Logs, "http://loki:3100", &status, now),
            "logs: http://loki:3100 has accepted nothing for 12m: HTTP 503: starting; asked again in 2m"
        );
    }
}
