//! The socket in the store's directory on which the process that holds the store answers other commands, and which only this
//! user can open: the read API, an export, and, of a `serve`, the request to poll now.
//!
//! Lists are sent as newline-delimited JSON while they are read (see [`ListLine`]), so a large store needs little memory here.

use std::io::{BufWriter, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::Poll;

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use contextcore_core::clock;
use contextcore_core::config::Config;
use contextcore_core::engine::Engine;
use contextcore_core::engine::webhook::PollTriggers;
use contextcore_core::http::local::Refusal;
use contextcore_core::query::{
    AgentFlowQuery, InsightQuery, InsightSelector, List, ListLine, ListQuery, ProjectQuery, SprintFilter, TaskFilter,
    TaskSelector, Viewer,
};
use contextcore_core::{Error, ErrorKind};
use futures::stream;
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::connections::{self, Limits};
use crate::socket;

/// The socket.
pub(crate) struct Socket {
    listener: UnixListener,
    file: SocketFile,
}

/// The file of a socket, removed when it is dropped.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::debug!(%error, "could not remove the socket");
        }
    }
}

impl Socket {
    /// Listens beside this store. This process holds the store, so an existing socket is a leftover and is replaced. Without a
    /// socket the process still does its work; the reason is logged.
    pub(crate) fn bind(store: &Path) -> Option<Self> {
        if store.as_os_str().is_empty() {
            // In a database, which whoever asks reads directly.
            return None;
        }
        let path = socket::path(store);
        let bound = Self::try_bind(&path);
        if let Err(error) = &bound {
            tracing::warn!(socket = %path.display(), %error, "other commands cannot read the store meanwhile");
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
        Ok(Self { listener, file: SocketFile(path.to_owned()) })
    }
}

/// Answers other commands until `stop` is cancelled and what they still read was read, or took too long. With `triggers`, they can ask for polls.
pub(crate) async fn run(
    engine: Arc<Engine>,
    triggers: Option<PollTriggers>,
    socket: Socket,
    stop: CancellationToken,
) -> Result<(), Error> {
    let Socket { listener, file } = socket;
    connections::serve(listener, routes(engine, triggers), Limits::local(), stop).await;
    drop(file);
    Ok(())
}

/// Does `work`, and meanwhile answers other commands.
pub(crate) async fn beside<T>(engine: &Arc<Engine>, work: impl Future<Output = T>) -> T {
    let Some(socket) = Socket::bind(engine.store.path()) else { return work.await };
    let stop = CancellationToken::new();
    let answers = run(Arc::clone(engine), None, socket, stop.clone());
    let work = async {
        let done = work.await;
        stop.cancel();
        done
    };
    tokio::join!(work, answers).0
}

fn routes(engine: Arc<Engine>, triggers: Option<PollTriggers>) -> Router {
    Router::new()
        .route("/v1/tasks", get(list::<TaskFilter>))
        .route("/v1/sprints", get(list::<SprintFilter>))
        .route("/v1/show", get(show))
        .route("/v1/guidance", get(guidance))
        .route("/v1/guidance/files", get(guidance_files))
        .route("/v1/insights", post(insights))
        .route("/v1/insight", get(insight))
        .route("/v1/insights/served", post(served))
        .route("/v1/status", get(status))
        .route("/v1/dead-letters", get(dead_letters))
        .route("/v1/portfolio", get(portfolio))
        .route("/v1/project", get(project))
        .route("/v1/projects", get(projects))
        .route("/v1/agents/flow", get(agent_flow))
        .route("/v1/freshness", get(freshness))
        .route("/v1/verify", get(verify))
        .route("/v1/export", get(export))
        .route("/v1/poll", post(poll).with_state(Arc::new(triggers)))
        .with_state(engine)
}

/// Which sources to poll now, and in the answer which are polled.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PollRequest {
    pub(crate) sources: Vec<String>,
}

async fn poll(State(triggers): State<Arc<Option<PollTriggers>>>, Json(request): Json<PollRequest>) -> Response {
    match trigger(triggers.as_ref().as_ref(), &request) {
        Ok(()) => Json(request).into_response(),
        Err(error) => refuse(&error),
    }
}

fn trigger(triggers: Option<&PollTriggers>, request: &PollRequest) -> Result<(), Error> {
    let Some(triggers) = triggers else {
        let text =
            "open the store: another contextcore holds it, which is no `serve`; wait until it has ended, or stop it";
        return Err(Error::new(ErrorKind::Store, text));
    };
    if let Some(name) = request.sources.iter().find(|name| !triggers.contains_key(name.as_str())) {
        let text = "the running `serve` has no such source; send it SIGHUP, so that it reads the configuration again";
        return Err(Error::new(ErrorKind::Config, text).with("source", name));
    }
    for trigger in request.sources.iter().filter_map(|name| triggers.get(name)) {
        trigger.now();
    }
    Ok(())
}

async fn verify(State(engine): State<Arc<Engine>>) -> Response {
    match blocking(engine, |engine| engine.store.verify()).await {
        Ok(found) => Json(found).into_response(),
        Err(error) => refuse(&error),
    }
}

/// Sends an export. It is complete before the first byte is sent, so that a slow client holds up no writer.
async fn export(State(engine): State<Arc<Engine>>) -> Response {
    streamed(move |chunks| send_export(&engine, chunks), "text/plain").await
}

fn send_export(engine: &Engine, to: &Chunks) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::new(ErrorKind::Store, "write the export").caused_by(error);
    engine.store.check_writable()?;
    let mut file = tempfile::tempfile_in(engine.store.path()).map_err(failed)?;
    let mut out = BufWriter::new(&mut file);
    engine.store.export(&mut out)?;
    out.flush().map_err(failed)?;
    drop(out);
    file.rewind().map_err(failed)?;
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        if (&mut file).take(CHUNK as u64).read_to_end(&mut chunk).map_err(failed)? == 0 {
            return Ok(());
        }
        send(to, chunk)?;
    }
}

async fn show(State(engine): State<Arc<Engine>>, Query(selector): Query<TaskSelector>) -> Response {
    view(engine, move |viewer| viewer.show(&selector)).await
}

async fn guidance(State(engine): State<Arc<Engine>>) -> Response {
    view(engine, |viewer| viewer.guidance()).await
}

async fn guidance_files(State(engine): State<Arc<Engine>>) -> Response {
    view(engine, |viewer| viewer.guidance_files()).await
}

async fn insights(State(engine): State<Arc<Engine>>, Json(query): Json<InsightQuery>) -> Response {
    view(engine, move |viewer| viewer.find_insights(&query)).await
}

async fn insight(State(engine): State<Arc<Engine>>, Query(selector): Query<InsightSelector>) -> Response {
    view(engine, move |viewer| viewer.insight(&selector)).await
}

/// Insights that were given to somebody.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ServedRequest {
    pub(crate) ids: Vec<String>,
    /// To which agent, where that is known.
    pub(crate) agent: Option<String>,
}

async fn served(State(engine): State<Arc<Engine>>, Json(request): Json<ServedRequest>) -> Response {
    let noted =
        blocking(engine, move |engine| engine.store.note_served(&request.ids, request.agent.as_deref(), clock::now()));
    match noted.await {
        Ok(()) => Json(()).into_response(),
        Err(error) => refuse(&error),
    }
}

async fn status(State(engine): State<Arc<Engine>>) -> Response {
    view(engine, |viewer| viewer.status()).await
}

async fn dead_letters(State(engine): State<Arc<Engine>>) -> Response {
    view(engine, |viewer| viewer.dead_letters()).await
}

async fn portfolio(State(engine): State<Arc<Engine>>) -> Response {
    view(engine, |viewer| viewer.portfolio()).await
}

async fn project(State(engine): State<Arc<Engine>>, Query(query): Query<ProjectQuery>) -> Response {
    view(engine, move |viewer| viewer.project(&query)).await
}

async fn projects(State(engine): State<Arc<Engine>>) -> Response {
    view(engine, |viewer| viewer.projects()).await
}

async fn agent_flow(State(engine): State<Arc<Engine>>, Query(query): Query<AgentFlowQuery>) -> Response {
    view(engine, move |viewer| viewer.agent_flow(&query)).await
}

async fn freshness(State(engine): State<Arc<Engine>>) -> Response {
    view(engine, |viewer| viewer.freshness()).await
}

async fn view<T: Serialize + Send + 'static>(
    engine: Arc<Engine>,
    read: impl FnOnce(&Viewer<'_>) -> Result<T, Error> + Send + 'static,
) -> Response {
    match blocking(engine, |engine| read(&viewer(engine, &engine.config()))).await {
        Ok(view) => Json(view).into_response(),
        Err(error) => refuse(&error),
    }
}

fn viewer<'a>(engine: &'a Engine, config: &'a Config) -> Viewer<'a> {
    Viewer::new(&engine.store, config, clock::now())
}

/// Reads the store on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(
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
    let answer = move |chunks: &Chunks| {
        let mut begun = false;
        let sent = send_page(&viewer(&engine, &engine.config()), &query, chunks, &mut begun);
        sent.or_else(|error| if begun { send(chunks, line(&ListLine::Error(refusal(&error)))?) } else { Err(error) })
    };
    streamed(answer, "application/x-ndjson").await
}

/// Sends what `answer` writes. Its error is an HTTP error before the first chunk, and later cuts the answer off.
async fn streamed(
    answer: impl FnOnce(&Chunks) -> Result<(), Error> + Send + 'static,
    content_type: &'static str,
) -> Response {
    let (chunks, mut received) = mpsc::channel(CHUNKS_AHEAD);
    drop(tokio::task::spawn_blocking(move || {
        if let Err(error) = answer(&chunks) {
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
    ([(header::CONTENT_TYPE, content_type)], Body::from_stream(chunks)).into_response()
}

fn send(to: &Chunks, chunk: Vec<u8>) -> Result<(), Error> {
    to.blocking_send(Ok(chunk.into())).map_err(|_| Error::new(ErrorKind::Cancelled, "send to a client that left"))
}

fn send_page<F: List>(viewer: &Viewer<'_>, query: &ListQuery<F>, to: &Chunks, begun: &mut bool) -> Result<(), Error> {
    let mut chunk = Vec::new();
    let end = viewer.each_json(query, |item| {
        chunk.extend(line(&ListLine::Item(item))?);
        if chunk.len() < CHUNK {
            return Ok(());
        }
        *begun = true;
        send(to, std::mem::take(&mut chunk))
    })?;
    chunk.extend(line(&ListLine::End { next_cursor: end.next, total: end.total })?);
    send(to, chunk)
}

fn line(line: &ListLine) -> Result<Vec<u8>, Error> {
    let mut text = serde_json::to_vec(line)
        .map_err(|error| Error::new(ErrorKind::Internal, "write a line of a list").caused_by(error))?;
    text.push(b'\n');
    Ok(text)
}

pub(crate) fn refuse(error: &Error) -> Response {
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
        let local = Local::new(&socket.file.0)?;
        let there = Reader::There(Local::new(&socket.file.0)?);
        let mut serving = JoinSet::new();
        serving.spawn(run(Arc::clone(&engine), None, socket, engine.cancel.clone()));

        let filter = TaskFilter { status: Some("open".parse().unwrap()), ..TaskFilter::default() };
        let whole = ListQuery { filter: filter.clone(), ..ListQuery::default() };
        let (ids, end) = items(&there, &ListQuery { options: fields("id"), ..whole.clone() }).await?;
        assert_eq!((ids, end), (vec![r#"{"id":"PROJ-7"}"#.to_owned(), r#"{"id":"PROJ-12"}"#.to_owned()], None));
        // Fields that do not depend on the moment of the query.
        let timeless = ListQuery { options: fields("id,title,labels,root,trace_id,timeline"), ..whole };
        let mut near = Vec::new();
        viewer(&engine, &engine.config()).each_json(&timeless, |item| {
            near.push(item.get().to_owned());
            Ok::<_, Error>(())
        })?;
        assert_eq!(items(&there, &timeless).await?.0, near);
        let first = ListOptions { limit: "1".parse().ok(), ..fields("id") };
        let (_, cursor) = items(&there, &ListQuery { filter: filter.clone(), options: first.clone() }).await?;
        let second = ListQuery { filter, options: ListOptions { cursor, ..first } };
        assert_eq!(items(&there, &second).await?, (vec![r#"{"id":"PROJ-12"}"#.to_owned()], None));
        assert_eq!(items(&there, &ListQuery::<SprintFilter>::default()).await?.0.len(), 2);

        let select = |key: &str| TaskSelector::of(key);
        assert_eq!(there.show(&select("PROJ-7")).await?.children.len(), 2);
        assert_eq!(there.show(&select("NONE-1")).await.unwrap_err().exit, Exit::Usage);
        assert_eq!(there.status().await?.sources.len(), 1);
        let portfolio: PortfolioView = local.get("/v1/portfolio", &()).await?;
        assert_eq!(portfolio.projects.len(), 1);

        engine.cancel.cancel();
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
    async fn polls_are_asked_for_by_name_and_only_of_a_serve() {
        let triggers = PollTriggers::from([("acme".to_owned(), Arc::default())]);
        let request = |name: &str| PollRequest { sources: vec![name.into()] };
        assert!(trigger(Some(&triggers), &request("acme")).is_ok());
        triggers["acme"].wait().await;
        assert_eq!(trigger(Some(&triggers), &request("other")).unwrap_err().kind(), ErrorKind::Config);
        let error = trigger(None, &request("acme")).unwrap_err();
        assert!(error.to_string().contains("wait until it has ended"), "{error}");
    }

    #[tokio::test]
    async fn an_export_through_the_socket_is_whole_and_the_work_goes_on() {
        let (engine, _dir) = engine();
        let truth = engine.store.verify().unwrap();
        let local = Local::new(&socket::path(engine.store.path())).unwrap();
        let (counts, found) = beside(&engine, async {
            let mut text = Vec::new();
            let collect = |bytes: &[u8]| {
                text.extend_from_slice(bytes);
                Ok::<_, Error>(())
            };
            local.bytes("/v1/export", collect).await.unwrap();
            let counts = contextcore_core::store::Store::check_export(&mut text.as_slice()).unwrap();
            (counts, local.get::<contextcore_core::store::Verified>("/v1/verify", &()).await.unwrap())
        })
        .await;
        assert_eq!((counts.tasks, counts.sprints, found), (4, 2, truth));
        assert!(!socket::path(engine.store.path()).exists());
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(socket::path(dir.path()), "left behind").unwrap();
        let socket = Socket::bind(dir.path()).unwrap();
        let mode = std::fs::metadata(&socket.file.0).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
