//! Answers: health, readiness, metrics and webhooks on `listen`; what the reading commands ask on the store's socket, which only this
//! user can open.

use contextcore_core::clock;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use contextcore_core::engine::webhook::WebhookState;
use contextcore_core::engine::{Engine, telemetry};
use contextcore_core::http::local::Refusal;
use contextcore_core::query::{SprintFilter, TaskFilter, Viewer};
use contextcore_core::{Error, ErrorKind};
use serde::Serialize;
use tokio::net::{TcpListener, UnixListener};

use super::webhook;
use crate::reader::{self, Which};
use crate::{show, status};

/// A source that failed this often in a row makes the service not ready.
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
    let text = looking(engine, |engine| telemetry::prometheus(&engine.store, &engine.config, clock::now()));
    match text.await {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => refuse(&error),
    }
}

/// The socket the reading commands ask.
pub(super) struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Listens beside this store. We hold the store, so a socket that is there already was left by somebody who is gone.
    /// Without a socket the service still does its work: the reason is logged.
    pub(super) fn bind(store: &Path) -> Option<Self> {
        let path = reader::socket_path(store);
        let bound = Self::try_bind(&path);
        if let Err(error) = &bound {
            tracing::warn!(socket = %path.display(), %error, "commands that read cannot ask this service");
        }
        bound.ok()
    }

    fn try_bind(path: &Path) -> std::io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path: path.to_owned() })
    }
}

/// Answers the reading commands until the engine is cancelled.
pub(super) async fn run_socket(engine: Arc<Engine>, socket: Socket) -> Result<(), Error> {
    let cancel = engine.cancel.clone();
    let server = axum::serve(socket.listener, private(engine)).with_graceful_shutdown(cancel.cancelled_owned());
    let ended = server.await.map_err(|error| Error::new(ErrorKind::Internal, "answer on the socket").caused_by(error));
    if let Err(error) = std::fs::remove_file(&socket.path) {
        tracing::debug!(%error, "could not remove the socket");
    }
    ended
}

fn private(engine: Arc<Engine>) -> Router {
    Router::new()
        .route("/v1/tasks", get(tasks))
        .route("/v1/sprints", get(sprints))
        .route("/v1/show", get(show))
        .route("/v1/status", get(status))
        .with_state(engine)
}

async fn tasks(State(engine): State<Arc<Engine>>, Query(filter): Query<TaskFilter>) -> Response {
    answer(looking(engine, move |engine| viewer(engine).tasks(&filter)).await)
}

async fn sprints(State(engine): State<Arc<Engine>>, Query(filter): Query<SprintFilter>) -> Response {
    answer(looking(engine, move |engine| viewer(engine).sprints(&filter)).await)
}

async fn show(State(engine): State<Arc<Engine>>, Query(which): Query<Which>) -> Response {
    answer(looking(engine, move |engine| show::look(&engine.store, &engine.config, clock::now(), &which)).await)
}

async fn status(State(engine): State<Arc<Engine>>) -> Response {
    answer(looking(engine, |engine| status::look(&engine.store, &engine.config, clock::now())).await)
}

fn viewer(engine: &Engine) -> Viewer<'_> {
    Viewer::new(&engine.store, &engine.config, clock::now())
}

/// Reads the store where reading may take its time.
async fn looking<T: Send + 'static>(
    engine: Arc<Engine>,
    look: impl FnOnce(&Engine) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(move || look(&engine)).await;
    done.unwrap_or_else(|error| Err(Error::new(ErrorKind::Internal, "look at the store").caused_by(error)))
}

fn answer<T: Serialize>(looked: Result<T, Error>) -> Response {
    match looked {
        Ok(view) => Json(view).into_response(),
        Err(error) => refuse(&error),
    }
}

fn refuse(error: &Error) -> Response {
    let status = match error.kind() {
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Config => StatusCode::BAD_REQUEST,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, Json(Refusal { kind: error.kind(), message: error.full() })).into_response()
}

#[cfg(test)]
mod tests {
    use contextcore_core::http::local::Local;
    use contextcore_core::progress::Quiet;
    use tokio::task::JoinSet;

    use super::*;
    use crate::app;
    use crate::failure::{Exit, Failure, Outcome};
    use crate::fixture;
    use crate::reader::Reader;

    fn engine() -> (Arc<Engine>, tempfile::TempDir) {
        let (store, config, dir) = fixture::world();
        (Arc::new(app::engine(config, store, Box::new(Quiet))), dir)
    }

    #[tokio::test]
    async fn both_ways_of_reading_see_the_same() -> Result<(), Failure> {
        let (engine, _dir) = engine();
        let socket = Socket::bind(engine.store.path()).unwrap();
        let there = Reader::There(Local::new(&socket.path)?);
        let mut serving = JoinSet::new();
        serving.spawn(run_socket(Arc::clone(&engine), socket));

        let filter = TaskFilter { status: Some("open".parse().unwrap()), ..TaskFilter::default() };
        let mut far = Vec::new();
        let mut visit = |task: contextcore_core::query::TaskView| {
            far.push(task.id);
            Ok(())
        };
        there.each_task(&filter, &mut visit).await?;
        let near: Vec<String> = viewer(&engine).tasks(&filter)?.into_iter().map(|task| task.id).collect();
        assert_eq!(far, near);
        assert_eq!(there.sprints(&SprintFilter::default()).await?.len(), 2);
        let which = |key: &str| Which { key: key.into(), source: None };
        assert_eq!(there.show(&which("PROJ-7")).await?.children.len(), 2);
        let unknown: Outcome = there.show(&which("NONE-1")).await.map(|_| Exit::Done);
        assert_eq!(unknown.unwrap_err().exit, Exit::Usage);
        assert_eq!(there.status().await?.sources.len(), 1);

        engine.cancel.cancel();
        serving.join_all().await;
        assert!(!reader::socket_path(engine.store.path()).exists(), "a stopped service leaves no socket");
        Ok(())
    }

    #[tokio::test]
    async fn a_source_that_fails_again_and_again_makes_the_service_not_ready() {
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

    #[tokio::test]
    async fn a_stale_socket_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(reader::socket_path(dir.path()), "left behind").unwrap();
        let socket = Socket::bind(dir.path()).unwrap();
        let mode = std::fs::metadata(&socket.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
