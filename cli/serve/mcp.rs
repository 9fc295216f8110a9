//! `/mcp`: the Model Context Protocol over HTTP. Off unless the configuration says who may ask.
//!
//! A request proves itself by the `Host` it names, the `Origin` it comes from and the token it brings; what it may see and do is that
//! of the token. No state is kept between requests, so replicas behind one name answer alike.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any};
use contextcore_connectors::sdk;
use contextcore_core::config::{Config, McpConfig, McpToken, Resolve};
use contextcore_core::engine::Engine;
use contextcore_core::export::calls::{Call, Calls};
use contextcore_core::http::local::Local;
use contextcore_core::model::operation::Operation;
use contextcore_core::store::Lease;
use contextcore_core::{Error, ErrorKind, Millis, clock, lock};
use contextcore_mcp::{Backend, Caller, Options, Reads, Server, Written, http_config};
use contextcore_spool::{Cursor, Delivery, Origin, StateDir};
use rmcp::transport::streamable_http_server::StreamableHttpService;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::current::Current;
use super::ops;
use super::proof::{Refusal, prove};
use crate::mcp::memory;
use crate::mcp::reads::Stores;
use crate::mcp::spool::Spool;
use crate::reader::Reader;
use crate::socket;

/// How long a request may take. A call ends by itself before ([`contextcore_mcp::PATIENCE`]), with an answer and a record of it; what is left
/// is a body that does not come.
const PATIENCE: Duration = contextcore_mcp::PATIENCE.saturating_add(Duration::from_secs(1));
/// Requests a minute that a token may send.
const A_MINUTE: f64 = 60.0;
/// How long a call waits until what it wrote is stored.
const TAKEN_IN: Duration = Duration::from_millis(2_500);
const PAUSE: Duration = Duration::from_millis(50);
/// How often what was called is sent.
const INTERVAL: Duration = Duration::from_secs(5);

type Service = StreamableHttpService<Server, NeverSessionManager>;

struct Mcp {
    current: Current,
    service: Service,
    /// What each token may still send, and since when.
    budgets: Mutex<BTreeMap<String, (f64, Instant)>>,
    /// Ends with this.
    _sending: Mutex<JoinSet<()>>,
}

/// The route.
pub(super) fn route<S: Clone + Send + Sync + 'static>(current: Current, calls: Arc<Calls>) -> MethodRouter<S> {
    let mut sending = JoinSet::new();
    sending.spawn(send(current.clone(), Arc::clone(&calls)));
    let backend: Arc<dyn Backend> = Arc::new(Served { current: current.clone(), spools: Mutex::default(), calls });
    let server = Server::new(backend, Caller::default(), Options::default());
    let make = move || server.clone().map_err(std::io::Error::other);
    // Hosts and origins are checked here, by the configuration in force.
    let service = StreamableHttpService::new(make, Arc::default(), http_config());
    any(answer).with_state(Arc::new(Mcp { current, service, budgets: Mutex::default(), _sending: Mutex::new(sending) }))
}

/// Sends what was called to where everything else goes.
async fn send(current: Current, calls: Arc<Calls>) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        let config = current.engine().config();
        calls.flush(&config, clock::now()).await;
    }
}

async fn answer(State(mcp): State<Arc<Mcp>>, request: Request) -> Response {
    let (asked, headers) = (Arc::clone(&mcp), request.headers().clone());
    let caller = match prove(move || admit(&asked, &asked.current.engine().config(), &headers)).await {
        Ok(caller) => caller,
        Err(refusal) => return refuse(refusal),
    };
    let (mut parts, body) = request.into_parts();
    parts.extensions.insert(caller);
    let asked = mcp.service.handle(Request::from_parts(parts, body));
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(response) => response.map(Body::new),
        Err(_) => refuse((StatusCode::REQUEST_TIMEOUT, "the request did not come in time")),
    }
}

fn refuse((status, text): Refusal) -> Response {
    let body = format!("{text}\n");
    match status {
        StatusCode::UNAUTHORIZED => (status, [(header::WWW_AUTHENTICATE, "Bearer")], body).into_response(),
        StatusCode::TOO_MANY_REQUESTS => (status, [(header::RETRY_AFTER, "5")], body).into_response(),
        _ => (status, body).into_response(),
    }
}

/// Who sends a request, if it may be answered.
fn admit(mcp: &Mcp, config: &Config, headers: &HeaderMap) -> Result<Caller, Refusal> {
    let Some(settings) = &config.mcp else {
        return Err((StatusCode::NOT_FOUND, "set `mcp.enabled` to answer agents here"));
    };
    check_host(settings, config, headers)?;
    let token = match settings.tokens.as_slice() {
        [] if config.listen.ip().is_loopback() => return Ok(local()),
        [] => return Err((StatusCode::FORBIDDEN, "without `mcp.tokens` only a loopback address answers")),
        tokens => proven(tokens, headers)?,
    };
    spend(&mut lock(&mcp.budgets), &token.name, Instant::now())?;
    Ok(of_token(token))
}

/// Somebody on this machine.
fn local() -> Caller {
    Caller { agent: String::new(), write: true, ..Caller::default() }
}

fn of_token(token: &McpToken) -> Caller {
    let only = match token.projects.as_slice() {
        [only] if only != "*" => Some(only.clone()),
        _ => None,
    };
    Caller {
        agent: token.agent.clone(),
        project: only,
        projects: Some(token.projects.clone()),
        write: token.write,
        ..Caller::default()
    }
}

/// The token that a request brings, proven in a time that says nothing about it.
fn proven<'a>(tokens: &'a [McpToken], headers: &HeaderMap) -> Result<&'a McpToken, Refusal> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default().trim();
    let given = blake3::hash(given.as_bytes());
    let mut found = None;
    for token in tokens {
        match token.token.resolve() {
            Ok(known) if blake3::hash(known.expose().as_bytes()) == given => found = Some(token),
            Ok(_) => {}
            Err(error) => tracing::error!(token = token.name, "{}", error.full()),
        }
    }
    found.ok_or((StatusCode::UNAUTHORIZED, "bring a token of `mcp.tokens` as `Authorization: Bearer TOKEN`"))
}

/// Refuses a request that a page of another host may have made a browser send.
fn check_host(settings: &McpConfig, config: &Config, headers: &HeaderMap) -> Result<(), Refusal> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let is_ours = |authority: &str| {
        let host = host_of(authority);
        let listen = [config.listen.ip().to_string(), config.listen.to_string()];
        let known = settings.hosts.iter().map(String::as_str).chain(listen.iter().map(String::as_str));
        let is_loopback = matches!(host, "localhost" | "127.0.0.1" | "::1");
        is_loopback
            || known.into_iter().any(|known| known.eq_ignore_ascii_case(authority) || known.eq_ignore_ascii_case(host))
    };
    if !text(header::HOST).is_some_and(is_ours) {
        return Err((StatusCode::FORBIDDEN, "this host is not served: add it to `mcp.hosts`"));
    }
    let origin = text(header::ORIGIN);
    let of_origin = origin.map(|origin| origin.split_once("://").map_or("", |(_, authority)| authority));
    match of_origin {
        Some(authority) if !is_ours(authority) => {
            Err((StatusCode::FORBIDDEN, "this origin is not served: add it to `mcp.hosts`"))
        }
        _ => Ok(()),
    }
}

/// The host of `HOST:PORT`, without the brackets of an IPv6 address.
fn host_of(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

fn spend(budgets: &mut BTreeMap<String, (f64, Instant)>, name: &str, now: Instant) -> Result<(), Refusal> {
    let (left, since) = budgets.entry(name.to_owned()).or_insert((A_MINUTE, now));
    *left = (*left + now.duration_since(*since).as_secs_f64() * A_MINUTE / 60.0).min(A_MINUTE);
    *since = now;
    if *left < 1.0 {
        return Err((StatusCode::TOO_MANY_REQUESTS, "too many requests: 60 a minute"));
    }
    *left -= 1.0;
    Ok(())
}

/// What this service knows.
struct Served {
    current: Current,
    /// The writers into the spool of a source of kind `sdk`, by its place.
    spools: Mutex<BTreeMap<PathBuf, Arc<Spool>>>,
    calls: Arc<Calls>,
}

impl Served {
    fn engine(&self) -> Arc<Engine> {
        self.current.engine()
    }

    fn spool(&self, path: &str) -> Result<Arc<Spool>, Error> {
        let failed =
            |error: std::io::Error| Error::new(ErrorKind::Store, format!("open the spool {path}")).caused_by(error);
        let mut spools = lock(&self.spools);
        if let Some(known) = spools.get(&PathBuf::from(path)) {
            return Ok(Arc::clone(known));
        }
        let made = Arc::new(Spool::new(StateDir::open(path).map_err(failed)?, None, None));
        spools.insert(path.into(), Arc::clone(&made));
        Ok(made)
    }
}

/// A line that was written, and how to know that it is stored.
enum Line {
    /// The writer and its number.
    OfWriter(String, u64),
    /// A file that is there until it has been read.
    File(PathBuf),
    /// What waits in the database for the replica that has the source.
    Delivered(String),
}

impl Line {
    fn is_stored(&self, engine: &Engine, source: &str) -> Result<bool, Error> {
        if let (Self::Delivered(id), Some(lease)) = (self, engine.store.lease()) {
            return lease.is_taken_in(id);
        }
        let stored = engine.store.cursor(source, sdk::OPERATIONS)?;
        let read: Cursor = stored.and_then(|cursor| serde_json::from_value(cursor.0).ok()).unwrap_or_default();
        Ok(match self {
            Self::OfWriter(writer, seq) => read.has_read(writer, *seq),
            Self::File(path) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                !path.exists() || read.has_read(name.split('.').next().unwrap_or_default(), 1)
            }
            Self::Delivered(_) => false,
        })
    }
}

/// What an agent reports, for a spool or the database. That it was this agent, and no name that a client gives itself, is said beside it;
/// `is_proven` if a token stands for it.
fn delivery(project: &str, operation: Operation, (agent, is_proven): (&str, bool)) -> std::io::Result<Delivery> {
    let origin = is_proven.then(|| Origin { who: agent.to_owned(), human: false });
    let actor = Some(agent.to_owned()).filter(|agent| !agent.is_empty());
    Delivery::of((project, "mcp"), origin, (clock::now(), operation.with_evidence_of(agent), actor))
}

/// Writes the operation of an agent that a token stands for.
fn received(path: &str, project: &str, operation: Operation, agent: &str) -> Result<Line, Error> {
    let failed =
        |error: std::io::Error| Error::new(ErrorKind::Store, format!("write to the spool {path}")).caused_by(error);
    let lane = StateDir::open(path).and_then(|state| state.received()).map_err(failed)?;
    let file = delivery(project, operation, (agent, true)).and_then(|delivery| delivery.write(&lane));
    file.map(Line::File).map_err(failed)
}

/// Leaves the operation of an agent to the replica that has the source.
fn delivered(
    lease: &Lease,
    source: &str,
    (project, operation): (&str, Operation),
    by: (&str, bool),
) -> Result<Line, Error> {
    let failed = |error: std::io::Error| Error::new(ErrorKind::Store, "keep what an agent reports").caused_by(error);
    let text = delivery(project, operation, by).and_then(|delivery| delivery.text()).map_err(failed)?;
    let id = ops::delivery_id();
    lease.deliver(&id, source, &text)?;
    Ok(Line::Delivered(id))
}

impl Served {
    fn append(&self, path: &str, project: &str, operation: Operation, by: &str) -> Result<Line, Error> {
        let (writer, seq) = self.spool(path)?.append_unsent(project, operation, by)?;
        Ok(Line::OfWriter(writer, seq))
    }
}

impl Backend for Served {
    fn open(&self) -> Result<Box<dyn Reads + '_>, Error> {
        let engine = self.engine();
        let reader = if engine.store.lease().is_some() {
            let (store, config) = (Arc::clone(&engine.store), Box::new(Config::clone(&engine.config())));
            Reader::Here { store, config, now: clock::now() }
        } else {
            Reader::There(Local::new(&socket::path(engine.store.path()))?)
        };
        let state = StateDir::at(Path::new("/").join(engine.store.path()).join("no-state"));
        Ok(Box::new(Stores::of(reader, (*engine.config()).clone(), state).on(&Handle::current(), None)))
    }

    fn write(&self, project: &str, operation: Operation, by: &str) -> Result<Written, Error> {
        let engine = self.engine();
        let config = engine.config();
        let source = config.sources.iter().find(|source| source.takes_reports());
        let Some((name, path)) = source.and_then(|source| Some((source.name.clone(), source.location.clone()?))) else {
            let text = "keep what agents report: the configuration of this service has no source of kind `sdk`";
            return Err(Error::new(ErrorKind::Config, text));
        };
        let is_proven = config.mcp.as_ref().is_some_and(|settings| !settings.tokens.is_empty());
        let written = match engine.store.lease() {
            Some(lease) => delivered(lease, &name, (project, operation), (by, is_proven))?,
            None if is_proven => received(&path, project, operation, by)?,
            None => self.append(&path, project, operation, by)?,
        };
        self.current.webhooks().poll(&name);
        let begun = Instant::now();
        while begun.elapsed() < TAKEN_IN {
            if written.is_stored(&engine, &name)? {
                return Ok(Written { is_visible: true });
            }
            std::thread::sleep(PAUSE);
        }
        Ok(Written { is_visible: false })
    }

    fn served(&self, ids: Vec<String>, agent: &str) {
        if let Err(error) = self.engine().store.note_served(&ids, Some(agent), clock::now()) {
            tracing::debug!(%error, "could not count what was read");
        }
    }

    fn tasks_near(&self, _: &[String]) -> Option<Vec<String>> {
        // The paths of commits are kept nowhere.
        None
    }

    fn remember(&self, agent: &str, change: &mut dyn FnMut(Option<String>) -> String) -> Result<(), Error> {
        let config = self.engine().config();
        let spool = config.sources.iter().find(|source| source.kind == "sdk");
        match spool.and_then(|source| source.location.as_deref()) {
            Some(path) => memory::change(Path::new(path), agent, change),
            // Nothing can be written here, so nothing need be remembered.
            None => {
                change(None);
                Ok(())
            }
        }
    }

    fn form_key(&self) -> Result<Option<[u8; 32]>, Error> {
        self.engine().store.form_key().map(Some)
    }

    fn use_form(&self, id: &str, until: Millis) -> Result<bool, Error> {
        self.engine().store.use_form(id, clock::now(), until)
    }

    fn called(&self, call: Call) {
        self.calls.add(call);
    }

    fn now(&self) -> Millis {
        clock::now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(more: &str) -> Config {
        let text = format!("listen: 127.0.0.1:9464\n{more}");
        contextcore_core::config::parse(&text, "x.yaml", &crate::app::kinds()).unwrap()
    }

    #[test]
    fn only_hosts_and_origins_of_this_service_are_answered() {
        let config = config("mcp: {enabled: true, hosts: [cc.example, 'other.example:8443']}");
        let settings = config.mcp.clone().unwrap();
        let ask = |host: &str, origin: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            origin.map(|origin| headers.insert(header::ORIGIN, origin.parse().unwrap()));
            check_host(&settings, &config, &headers).is_ok()
        };
        for (host, origin) in [
            ("127.0.0.1:9464", None),
            ("localhost:9464", Some("http://localhost:3000")),
            ("[::1]:9464", None),
            ("cc.example", Some("https://cc.example")),
            ("other.example:8443", None),
        ] {
            assert!(ask(host, origin), "{host} {origin:?}");
        }
        for (host, origin) in [
            ("evil.example", None),
            ("127.0.0.1:9464", Some("https://evil.example")),
            ("127.0.0.1:9464", Some("null")),
            ("localhost.evil.example", None),
            ("other.example", None),
        ] {
            assert!(!ask(host, origin), "{host} {origin:?}");
        }
        assert!(check_host(&settings, &config, &HeaderMap::new()).is_err());
    }

    #[test]
    fn a_token_may_send_60_requests_a_minute() {
        let (mut budgets, now) = (BTreeMap::new(), Instant::now());
        assert!((0..60).all(|_| spend(&mut budgets, "ci", now).is_ok()));
        assert_eq!(spend(&mut budgets, "ci", now).unwrap_err().0, StatusCode::TOO_MANY_REQUESTS);
        assert!(spend(&mut budgets, "other", now).is_ok());
        assert!(spend(&mut budgets, "ci", now + Duration::from_secs(1)).is_ok());
    }

    #[test]
    fn a_token_sees_its_projects_and_writes_only_where_it_may() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, "s3cret-s3cret\n").unwrap();
        let text = format!(
            "mcp: {{enabled: true, tokens: [{{name: ci, token: {{file: '{}'}}, projects: [shop], agent: bot}}]}}",
            file.display()
        );
        let settings = config(&text).mcp.unwrap();
        let mut headers = HeaderMap::new();
        assert_eq!(proven(&settings.tokens, &headers).unwrap_err().0, StatusCode::UNAUTHORIZED);
        headers.insert(header::AUTHORIZATION, "Bearer wrong".parse().unwrap());
        assert_eq!(proven(&settings.tokens, &headers).unwrap_err().0, StatusCode::UNAUTHORIZED);
        headers.insert(header::AUTHORIZATION, "Bearer s3cret-s3cret".parse().unwrap());
        let caller = of_token(proven(&settings.tokens, &headers).unwrap());
        assert_eq!((caller.agent.as_str(), caller.write, caller.project.as_deref()), ("bot", false, Some("shop")));
        assert!(caller.sees("shop") && !caller.sees("blog"));
    }
}
