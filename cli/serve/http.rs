//! The HTTP endpoints of `serve`. On `listen`: health, readiness, metrics and webhooks. On the store's socket, which only this
//! user can open: the read API, for the commands that read.
//!
//! Lists are sent as newline-delimited JSON while they are read (see [`ListLine`]), so a large store needs little memory here.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use axum::body::{Body, Bytes};
use axum::extract::{FromRef, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use contextcore_core::clock;
use contextcore_core::engine::webhook::{PollTriggers, WebhookState};
use contextcore_core::engine::{Engine, telemetry};
use contextcore_core::http::local::Refusal;
use contextcore_core::query::{List, ListLine, ListQuery, SprintFilter, TaskFilter, TaskSelector, Viewer};
use contextcore_core::{Error, ErrorKind, lock};
use futures::{StreamExt, stream};
use serde::Serialize;
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::connections::{self, Limits};
use super::webhook::{self, Place};
use crate::socket;

/// A source that fails this often in a row makes the service not ready.
const TOO_OFTEN: u64 = 3;

/// What the endpoints answer from. A new configuration replaces it.
#[derive(Clone)]
pub(super) struct Current(Arc<Mutex<(Arc<Engine>, Arc<WebhookState>)>>);

impl Current {
    pub(super) fn new(engine: Arc<Engine>, triggers: PollTriggers) -> Self {
        let webhooks = WebhookState::new(Arc::clone(&engine), triggers);
        Self(Arc::new(Mutex::new((engine, Arc::new(webhooks)))))
    }

    pub(super) fn replace(&self, engine: Arc<Engine>, triggers: PollTriggers) {
        let webhooks = WebhookState::new(Arc::clone(&engine), triggers);
        *lock(&self.0) = (engine, Arc::new(webhooks));
    }

    pub(super) fn engine(&self) -> Arc<Engine> {
        Arc::clone(&lock(&self.0).0)
    }

    pub(super) fn webhooks(&self) -> Arc<WebhookState> {
        Arc::clone(&lock(&self.0).1)
    }
}

impl FromRef<Current> for Arc<Engine> {
    fn from_ref(current: &Current) -> Self {
        current.engine()
    }
}

/// What is answered on `listen`.
pub(super) fn public(current: Current) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/webhooks/{source}", webhook::route(current.clone(), Place::Shared))
        .with_state(current)
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

/// The socket for the commands that read.
pub(super) struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Listens beside this store. This process holds the store, so an existing socket is a leftover and is replaced. Without a
    /// socket the service still does its work; the reason is logged.
    pub(super) fn bind(store: &Path) -> Option<Self> {
        let path = socket::path(store);
        let bound = Self::try_bind(&path);
        if let Err(error) = &bound {
            tracing::warn!(socket = %path.display(), %error, "commands that read cannot use this service");
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

/// Answers the reading commands until `closing`.
pub(super) async fn run_socket(current: Current, socket: Socket, closing: CancellationToken) {
    connections::serve(socket.listener, private(current), Limits::local(), closing).await;
    if let Err(error) = std::fs::remove_file(&socket.path) {
        tracing::debug!(%error, "could not remove the socket");
    }
}

fn private(current: Current) -> Router {
    Router::new()
        .route("/v1/tasks", get(list::<TaskFilter>))
        .route("/v1/sprints", get(list::<SprintFilter>))
        .route("/v1/show", get(show))
        .route("/v1/status", get(status))
        .route("/v1/portfolio", get(portfolio))
        .with_state(current)
}

async fn show(State(engine): State<Arc<Engine>>, Query(selector): Query<TaskSelector>) -> Response {
    view(engine, move |viewer| viewer.show(&selector)).await
}

async fn status(State(engine): State<Arc<Engine>>) -> Response {
    view(engine, |viewer| viewer.status()).await
}

async fn portfolio(State(engine): State<Arc<Engine>>) -> Response {
    view(engine, |viewer| viewer.portfolio()).await
}

async fn view<T: Serialize + Send + 'static>(
    engine: Arc<Engine>,
    read: impl FnOnce(&Viewer<'_>) -> Result<T, Error> + Send + 'static,
) -> Response {
    match blocking(engine, |engine| read(&viewer(engine))).await {
        Ok(view) => Json(view).into_response(),
        Err(error) => refuse(&error),
    }
}

fn viewer(engine: &Engine) -> Viewer<'_> {
    Viewer::new(&engine.store, &engine.config, clock::now())
}

/// Reads the store on a thread that may block.
async fn blocking<T: Send + 'static>(
    engine: Arc<Engine>,
    read: impl FnOnce(&Engine) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(move || read(&engine)).await;
    done.unwrap_or_else(|error| Err(Error::new(ErrorKind::Internal, "read the store").caused_by(error)))
}

/// Lines are sent in chunks of about this many bytes.
const CHUNK: usize = 64 << 10;
/// Chunks that may wait for a slow client before reading pauses.
const CHUNKS_AHEAD: usize = 4;

type Chunks = mpsc::Sender<Result<Bytes, Error>>;

/// Sends a page of a list. An error before the first chunk is an HTTP error; a later one is the last line.
async fn list<F: List>(State(engine): State<Arc<Engine>>, Query(query): Query<ListQuery<F>>) -> Response {
    let (chunks, mut received) = mpsc::channel(CHUNKS_AHEAD);
    drop(tokio::task::spawn_blocking(move || {
        if let Err(error) = send_page(&viewer(&engine), &query, &chunks) {
            // A client that left needs no answer.
            chunks.blocking_send(Err(error)).unwrap_or_default();
        }
    }));
    let mut first = received.recv().await;
    if let Some(Err(error)) = &first {
        return refuse(error);
    }
    let chunks = stream::poll_fn(move |context| match first.take() {
        Some(chunk) => Poll::Ready(Some(chunk)),
        None => received.poll_recv(context),
    });
    let body = chunks.map(|chunk| chunk.or_else(|error| line(&ListLine::Error(refusal(&error))).map(Bytes::from)));
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(body)).into_response()
}

fn send_page<F: List>(viewer: &Viewer<'_>, query: &ListQuery<F>, to: &Chunks) -> Result<(), Error> {
    let send = |chunk: Vec<u8>| {
        to.blocking_send(Ok(chunk.into())).map_err(|_| Error::new(ErrorKind::Cancelled, "send to a client that left"))
    };
    let mut chunk = Vec::new();
    let next_cursor = viewer.each_json(query, |item| {
        chunk.extend(line(&ListLine::Item(item))?);
        if chunk.len() < CHUNK { Ok(()) } else { send(std::mem::take(&mut chunk)) }
    })?;
    chunk.extend(line(&ListLine::End { next_cursor })?);
    send(chunk)
}

fn line(line: &ListLine) -> Result<Vec<u8>, Error> {
    let mut text = serde_json::to_vec(line)
        .map_err(|error| Error::new(ErrorKind::Internal, "write a line of a list").caused_by(error))?;
    text.push(b'\n');
    Ok(text)
}

fn refuse(error: &Error) -> Response {
    let status = match error.kind() {
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Config => StatusCode::BAD_REQUEST,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, Json(refusal(error))).into_response()
}

fn refusal(error: &Error) -> Refusal {
    Refusal { kind: error.kind(), message: error.full() }
}

#[cfg(test)]
mod tests {
    use contextcore_core::http::local::Local;
    use contextcore_core::progress::Quiet;
    use contextcore_core::query::{Cursor, Fields, ListOptions, PortfolioView};
    use serde_json::value::RawValue;
    use tokio::task::JoinSet;

    use super::*;
    use crate::app;
    use crate::failure::{Exit, Failure};
    use crate::fixture;
    use crate::reader::Reader;

    fn engine() -> (Arc<Engine>, tempfile::TempDir) {
        let (store, config, dir) = fixture::world();
        (Arc::new(app::engine(config, store, Box::new(Quiet))), dir)
    }

    async fn items<F: List>(reader: &Reader, query: &ListQuery<F>) -> Result<(Vec<String>, Option<Cursor>), Failure> {
        let mut items = Vec::new();
        let mut visit = |item: &RawValue| {
            items.push(item.get().to_owned());
            Ok(())
        };
        let next = reader.list(query, &mut visit).await?;
        Ok((items, next))
    }

    #[tokio::test]
    async fn the_socket_answers_as_the_store_does() -> Result<(), Failure> {
        let (engine, _dir) = engine();
        let socket = Socket::bind(engine.store.path()).unwrap();
        let local = Local::new(&socket.path)?;
        let there = Reader::There(Local::new(&socket.path)?);
        let mut serving = JoinSet::new();
        let (current, closing) = (Current::new(Arc::clone(&engine), PollTriggers::new()), CancellationToken::new());
        serving.spawn(run_socket(current, socket, closing.clone()));

        let filter = TaskFilter { status: Some("open".parse().unwrap()), ..TaskFilter::default() };
        let whole = ListQuery { filter: filter.clone(), ..ListQuery::default() };
        let (ids, end) = items(&there, &ListQuery { options: fields("id"), ..whole.clone() }).await?;
        assert_eq!((ids, end), (vec![r#"{"id":"PROJ-7"}"#.to_owned(), r#"{"id":"PROJ-12"}"#.to_owned()], None));
        // Fields that do not depend on the moment of the query.
        let timeless = ListQuery { options: fields("id,title,labels,root,trace_id,timeline"), ..whole };
        let mut near = Vec::new();
        viewer(&engine).each_json(&timeless, |item| {
            near.push(item.get().to_owned());
            Ok::<_, Error>(())
        })?;
        assert_eq!(items(&there, &timeless).await?.0, near);
        let first = ListOptions { limit: "1".parse().ok(), ..fields("id") };
        let (_, cursor) = items(&there, &ListQuery { filter: filter.clone(), options: first.clone() }).await?;
        let second = ListQuery { filter, options: ListOptions { cursor, ..first } };
        assert_eq!(items(&there, &second).await?, (vec![r#"{"id":"PROJ-12"}"#.to_owned()], None));
        assert_eq!(items(&there, &ListQuery::<SprintFilter>::default()).await?.0.len(), 2);

        let select = |key: &str| TaskSelector { key: key.into(), source: None };
        assert_eq!(there.show(&select("PROJ-7")).await?.children.len(), 2);
        assert_eq!(there.show(&select("NONE-1")).await.unwrap_err().exit, Exit::Usage);
        assert_eq!(there.status().await?.sources.len(), 1);
        let portfolio: PortfolioView = local.get("/v1/portfolio", &()).await?;
        assert_eq!(portfolio.projects.len(), 1);

        closing.cancel();
        serving.join_all().await;
        assert!(!socket::path(engine.store.path()).exists(), "a stopped service leaves no socket");
        Ok(())
    }

    fn fields(names: &str) -> ListOptions {
        ListOptions { fields: Some(Fields::from(names.to_owned())), ..ListOptions::default() }
    }

    #[tokio::test]
    async fn unknown_parameters_fields_and_cursors_are_refused() {
        let (engine, _dir) = engine();
        let ask = async |query: &str| {
            let uri: axum::http::Uri = format!("http://x/v1/tasks?{query}").parse().unwrap();
            match Query::<ListQuery<TaskFilter>>::try_from_uri(&uri) {
                Ok(query) => list(State(Arc::clone(&engine)), query).await.status(),
                Err(refused) => refused.into_response().status(),
            }
        };
        assert_eq!(ask("status=open&type=story&limit=2&fields=id,title").await, StatusCode::OK);
        for query in ["colour=red", "limit=0", "limit=many", "fields=id,colour", "cursor=x", "status=doing"] {
            assert_eq!(ask(query).await, StatusCode::BAD_REQUEST, "{query}");
        }
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

    #[tokio::test]
    async fn a_stale_socket_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(socket::path(dir.path()), "left behind").unwrap();
        let socket = Socket::bind(dir.path()).unwrap();
        let mode = std::fs::metadata(&socket.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
