//! What all clients share: options, the way of a call into the spool, flushing, and what happens at the end.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use contextcore_model::Millis;
use contextcore_model::operation::Operation;
use contextcore_spool::{Headers, StateDir, Transport};

use crate::environment::{self, Mode, variable};
use crate::recorder::Recorder;
use crate::spool::{Spool, helper};
use crate::tidy::{self, Complaints};

/// Why a client cannot be made, or why an operation was not written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The address of the backend cannot be used.
    Endpoint(String),
    /// There is no directory for the spool, or it is full.
    Spool(String),
    /// The operation lacks what it cannot be without, or a value was changed to fit.
    Invalid(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(text) | Self::Spool(text) | Self::Invalid(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Error {}

type BeforeSend = Arc<dyn Fn(Operation) -> Option<Operation> + Send + Sync>;
type OnError = Arc<dyn Fn(&Error) + Send + Sync>;
type Traceparent = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// The options of a client. What is not given comes from the environment.
#[derive(Clone, Default)]
#[must_use]
pub struct Builder {
    project: Option<String>,
    endpoint: Option<String>,
    protocol: Option<Transport>,
    headers: Headers,
    actor: Option<String>,
    state: Option<PathBuf>,
    is_drained: Option<bool>,
    binary: Option<PathBuf>,
    mode: Option<Mode>,
    before_send: Option<BeforeSend>,
    on_error: Option<OnError>,
    traceparent: Option<Traceparent>,
    recorder: Option<Recorder>,
}

impl Builder {
    /// The project that operations belong to. Default: `CONTEXTCORE_PROJECT`, else what the file `.contextcore/project` here or above
    /// says, else `default`.
    pub fn project(mut self, project: impl Into<String>) -> Self {
        self.project = Some(project.into());
        self
    }

    /// Where telemetry goes, such as `http://tempo:4317`. Default: `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// OTLP over HTTP, whatever the address suggests.
    pub fn http(mut self) -> Self {
        self.protocol = Some(Transport::HttpProtobuf);
        self
    }

    /// OTLP over gRPC, whatever the environment says.
    pub fn grpc(mut self) -> Self {
        self.protocol = Some(Transport::Grpc);
        self
    }

    /// A header of every request, such as `authorization`. It stays in memory and is in no file.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.0.insert(name.trim().to_lowercase(), value.trim().to_owned());
        self
    }

    /// Who does what is reported.
    pub fn actor(mut self, actor: impl Into<String>) -> Self {
        self.actor = Some(actor.into());
        self
    }

    /// Where the spool is. Default: `CONTEXTCORE_STATE_DIR`, else `~/.local/state/contextcore`.
    pub fn state_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.state = Some(path.into());
        self
    }

    /// Whether a helper is started when one is needed. Default: it is, unless `CONTEXTCORE_DRAIN` is `off`.
    pub fn drain(mut self, is_drained: bool) -> Self {
        self.is_drained = Some(is_drained);
        self
    }

    /// The binary of ContextCore, which is started as a helper. Default: `CONTEXTCORE_BIN`.
    pub fn binary(mut self, path: impl Into<PathBuf>) -> Self {
        self.binary = Some(path.into());
        self
    }

    /// Whether anything is written and sent. Default: `CONTEXTCORE_MODE`.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Is given each operation before it is written, and returns it, changed if need be, or `None` to drop it.
    pub fn before_send(mut self, hook: impl Fn(Operation) -> Option<Operation> + Send + Sync + 'static) -> Self {
        self.before_send = Some(Arc::new(hook));
        self
    }

    /// Is given each error: a call that was dropped, and a value that was changed to fit. Without it they are logged, by `tracing`.
    pub fn on_error(mut self, hook: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        self.on_error = Some(Arc::new(hook));
        self
    }

    /// Gives the `traceparent` of the span in which a call is made, so that what is reported leads to it.
    pub fn traceparent(mut self, current: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        self.traceparent = Some(Arc::new(current));
        self
    }

    /// Keeps operations in memory instead of writing them.
    pub fn memory(mut self, recorder: &Recorder) -> Self {
        self.recorder = Some(recorder.clone());
        self
    }

    pub(crate) fn client(self) -> Result<Client, Error> {
        let named = self.project.or_else(|| variable("CONTEXTCORE_PROJECT")).or_else(environment::named_project);
        let project = named.as_deref().and_then(tidy::word).unwrap_or_else(|| "default".to_owned());
        let mode = environment::mode(self.mode);
        let target = environment::target(self.endpoint.as_deref(), self.protocol, &self.headers, variable)
            .map_err(Error::Endpoint)?;
        let is_off = || variable("CONTEXTCORE_DRAIN").is_some_and(|value| value.eq_ignore_ascii_case("off"));
        let sends = mode == Mode::Online && self.is_drained.unwrap_or_else(|| !is_off());
        let binary = self.binary.or_else(|| variable("CONTEXTCORE_BIN").map(PathBuf::from));
        let sink = match (self.recorder, mode) {
            (Some(recorder), _) => Sink::Memory(recorder),
            (None, Mode::Disabled) => Sink::Nothing,
            (None, _) => {
                let failed =
                    |error: std::io::Error| Error::Spool(format!("no directory for the spool can be written: {error}"));
                let state = match self.state {
                    Some(path) => std::path::absolute(path).and_then(StateDir::open),
                    None => StateDir::find(variable),
                };
                Sink::Spool(
                    Spool::open(&state.map_err(failed)?, target, &project, binary.filter(|_| sends), sends)
                        .map_err(failed)?,
                )
            }
        };
        Ok(Client {
            shared: Arc::new(Shared {
                project,
                actor: self.actor,
                sink,
                before_send: self.before_send,
                on_error: self.on_error,
                traceparent: self.traceparent,
                dropped: Arc::default(),
                logged: Mutex::default(),
            }),
            at: None,
        })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("project", &self.project)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

/// Where operations go.
enum Sink {
    Spool(Arc<Spool>),
    Memory(Recorder),
    Nothing,
}

/// What clients that were made together share.
struct Shared {
    project: String,
    actor: Option<String>,
    sink: Sink,
    before_send: Option<BeforeSend>,
    on_error: Option<OnError>,
    traceparent: Option<Traceparent>,
    dropped: Arc<AtomicU64>,
    /// What was logged already.
    logged: Mutex<std::collections::BTreeSet<String>>,
}

/// More different messages than this are noise.
const MOST_LOGGED: usize = 1_000;

/// The base of everything that writes operations.
#[derive(Clone)]
pub(crate) struct Client {
    shared: Arc<Shared>,
    /// When what is reported happened, if not now.
    at: Option<Millis>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("project", &self.shared.project).field("at", &self.at).finish_non_exhaustive()
    }
}

impl Client {
    /// The same client for what happened at another time.
    pub(crate) fn at(&self, at: Option<Millis>) -> Self {
        Self { shared: Arc::clone(&self.shared), at }
    }

    /// The same client for another project. Its dropped calls count with those of this one.
    ///
    /// # Errors
    /// When no directory for its spool can be written.
    #[cfg(feature = "tracing-layer")]
    pub(crate) fn of_project(&self, project: &str) -> Result<Self, Error> {
        let Shared { actor, sink, before_send, on_error, traceparent, dropped, .. } = &*self.shared;
        let sink = match sink {
            Sink::Spool(spool) => Sink::Spool(
                spool.of_project(project).map_err(|error| Error::Spool(format!("project {project}: {error}")))?,
            ),
            Sink::Memory(recorder) => Sink::Memory(recorder.clone()),
            Sink::Nothing => Sink::Nothing,
        };
        let shared = Shared {
            project: project.to_owned(),
            actor: actor.clone(),
            sink,
            before_send: before_send.clone(),
            on_error: on_error.clone(),
            traceparent: traceparent.clone(),
            dropped: Arc::clone(dropped),
            logged: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared), at: self.at })
    }

    pub(crate) fn project(&self) -> &str {
        &self.shared.project
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// The state directory, if something is written.
    pub(crate) fn state(&self) -> Option<&StateDir> {
        match &self.shared.sink {
            Sink::Spool(spool) => Some(&spool.state),
            _ => None,
        }
    }

    /// Writes one operation. False when it was not written.
    pub(crate) fn record(&self, operation: Operation) -> bool {
        self.record_from(operation, None)
    }

    /// As [`Self::record`], for a caller that knows its span.
    pub(crate) fn record_from(&self, operation: Operation, traceparent: Option<String>) -> bool {
        self.written(operation, traceparent).unwrap_or_else(|error| {
            self.drop_call(&error);
            false
        })
    }

    /// Counts a call that is not written.
    pub(crate) fn drop_call(&self, error: &Error) {
        self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        self.report(error, "a call was dropped: ");
    }

    fn written(&self, operation: Operation, traceparent: Option<String>) -> Result<bool, Error> {
        let mut complaints = Complaints::new();
        let tidy = tidy::tidy(operation, &mut complaints);
        complaints.into_iter().for_each(|text| self.report(&Error::Invalid(text), ""));
        let operation = tidy.map_err(Error::Invalid)?;
        let operation = match &self.shared.before_send {
            Some(hook) => hook(operation),
            None => Some(operation),
        };
        let Some(operation) = operation else { return Ok(false) };
        let spool = match &self.shared.sink {
            Sink::Nothing => return Ok(false),
            Sink::Memory(recorder) => {
                recorder.record(operation);
                return Ok(true);
            }
            Sink::Spool(spool) => spool,
        };
        let traceparent = traceparent.or_else(|| self.shared.traceparent.as_ref().and_then(|current| current()));
        let (name, actor) = (operation.name(), self.shared.actor.clone().filter(|actor| !actor.is_empty()));
        let failed = |why: String| Error::Spool(format!("{}: {why}", spool.lane.path().display()));
        match spool.append(self.at, operation, actor, traceparent) {
            Ok(true) => Ok(true),
            Ok(false) => Err(failed(format!("there is no space for it, or {name} does not fit a line"))),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    /// Passes an error on, or logs it once.
    fn report(&self, error: &Error, what: &str) {
        if let Some(hook) = &self.shared.on_error {
            return hook(error);
        }
        let text = format!("{what}{error}");
        if self.is_news(&text) {
            tracing::warn!(target: "contextcore", "{text}");
        }
    }

    /// Whether this was not logged before. Nothing is locked while it is logged: whoever reads the log may make a call of this client.
    fn is_news(&self, text: &str) -> bool {
        let mut logged = self.shared.logged.lock().unwrap_or_else(PoisonError::into_inner);
        logged.len() < MOST_LOGGED && logged.insert(text.to_owned())
    }

    pub(crate) fn flush(&self, timeout: Duration) -> bool {
        let Sink::Spool(spool) = &self.shared.sink else { return true };
        let waiting: u64 = spool.positions().values().sum();
        if waiting == 0 {
            return true;
        }
        spool.sync();
        let flushed = helper::flush(spool, timeout);
        if let Err(why) = &flushed {
            let (project, path) = (self.project(), spool.lane.path().display());
            let log = spool.state.path().join("drain.log");
            let why = why.as_ref().map_or_else(String::new, |why| format!(": {why:.500}; {} has more", log.display()));
            tracing::warn!(target: "contextcore", "{waiting} operations of project {project} are on disk in {path} and not yet accepted{why}");
        }
        flushed.is_ok()
    }
}
