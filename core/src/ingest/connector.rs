//! The plug-in contract: what a connector of a tool must do, and all it gets to see.
//!
//! A [`Registration`] makes a [`Connector`], which lives as long as the process: it holds the HTTP session with its rate
//! limits, minted tokens and whatever it has learned. Each run opens it, and gets a [`SourceSession`] that can be polled.
//!
//! A connector never sees the store, the clock or OTLP: its position comes in as a [`Cursor`] it made itself, the time comes
//! in with the [`Run`], and pacing, retries and rate limits belong to the [`crate::http::Session`] it sends requests
//! through. The engine in [`crate::ingest::sync`] does the rest.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;

use crate::config::kind::{KindKeys, SourceKind};
use crate::http::Stats;
use crate::model::config::{Privacy, SourceConfig};
use crate::model::error::Result;
use crate::model::guidance::forge::ForgeFile;
use crate::model::observation::Observation;
use crate::model::time::Millis;
pub use crate::store::Cursor;

/// One thing a tool lets us poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    /// Its name, unique within the connector; part of the key its cursor is stored under.
    pub name: &'static str,
    /// A finished pass lists *every* task there is ([`Page::seen`]), so that absence means something. Run daily and with
    /// `--full`; the other streams run on every poll.
    pub complete: bool,
}

/// The run a connector takes part in.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// When the run began.
    pub now: Millis,
    /// Read everything again.
    pub full: bool,
}

/// One step through a stream. Records never come without the cursor that covers them.
#[derive(Debug, Default)]
pub struct Page {
    /// The tool's records, histories included.
    pub records: Vec<RawRecord>,
    /// What belongs on this page and the tool could not serve. The cursor covers it: it is read again by its id.
    pub unreadable: Vec<Unreadable>,
    /// Native ids of the tasks that a pass over a `complete` stream saw on this page.
    pub seen: Vec<String>,
    /// How many rows such a pass saw on this page that are no tasks of the source.
    pub out_of_scope: u64,
    /// Such a pass met a row whose id nobody knows, because the tool fails over it. It may be any task, so what this pass does not
    /// list is asked for by its id.
    pub nameless: bool,
    /// Every sprint that the tool has and that is not closed, where one page lists them all. The engine ends the others.
    pub open_sprints: Option<Vec<String>>,
    /// The stream's cursor once these records are stored.
    pub cursor: Cursor,
    /// Whether there is more to fetch now.
    pub more: bool,
    /// How many tasks the tool itself counts in this stream's scope, when it was asked.
    pub total: Option<u64>,
    /// Things a person should know that did not stop the page (a skipped board, an incomplete answer).
    pub warnings: Vec<String>,
    /// Lists that the tool served before and refuses now. What is exported without them would lack them for good, so the run
    /// ends with an error and exports nothing of its own.
    pub withheld: Vec<String>,
}

/// Something that the tool lists and could not serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The tool's immutable id: that of the record and of its task.
    pub native_id: String,
    /// What the tool answered.
    pub reason: String,
}

/// A record as the tool gave it (without what is never read, such as avatars), histories included.
#[derive(Debug, Clone)]
pub struct RawRecord {
    /// The stream it came from.
    pub stream: &'static str,
    /// The tool's immutable id, as far as it could be read: names the record in errors.
    pub native_id: String,
    content: Content,
}

/// What a record holds.
#[derive(Debug, Clone)]
enum Content {
    Json(String),
    Parsed(Arc<dyn ParsedRecord>),
}

/// A record that its connector had to parse to fetch it whole. It need not be parsed again to be normalised, which is where much
/// of the time of a first synchronisation would go, and its text is only written where somebody wants it.
pub trait ParsedRecord: Any + fmt::Debug + Send + Sync {
    /// The JSON text that the connector parses to this very value.
    ///
    /// # Errors
    /// When it cannot be written.
    fn to_json(&self) -> Result<String>;
}

impl RawRecord {
    /// A record of which only the text is known.
    pub fn new(stream: &'static str, native_id: impl Into<String>, json: impl Into<String>) -> Self {
        Self { stream, native_id: native_id.into(), content: Content::Json(json.into()) }
    }

    /// A record that is parsed already.
    pub fn parsed(stream: &'static str, native_id: impl Into<String>, record: impl ParsedRecord) -> Self {
        Self { stream, native_id: native_id.into(), content: Content::Parsed(Arc::new(record)) }
    }

    /// The JSON text, which is written now if the record is parsed.
    ///
    /// # Errors
    /// [`crate::model::error::ErrorKind::Internal`] when it cannot be written.
    pub fn json(&self) -> Result<Cow<'_, str>> {
        match &self.content {
            Content::Json(json) => Ok(Cow::Borrowed(json)),
            Content::Parsed(record) => record.to_json().map(Cow::Owned),
        }
    }

    /// What the connector parsed; none when there is only a text.
    pub fn as_parsed<T: ParsedRecord>(&self) -> Option<&T> {
        match &self.content {
            Content::Json(_) => None,
            Content::Parsed(record) => (&**record as &dyn Any).downcast_ref(),
        }
    }
}

/// What `contextcore check` shows of a source.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CheckReport {
    /// Whose token it is.
    pub identity: String,
    /// Which product answered, e.g. `Jira Cloud` or `Jira Data Center 9.12`.
    pub product: String,
    /// Scopes or rights, where the tool names them.
    pub scopes: Vec<String>,
    /// Projects the token can see and the source will read: key and name.
    pub projects: Vec<(String, String)>,
    /// Discovered fields: meaning, the tool's id, the tool's name.
    pub fields: Vec<(String, String, String)>,
    /// The status mapping: native name, common status, and why.
    pub statuses: Vec<(String, String, String)>,
    /// What a person should look at; each says what to do.
    pub warnings: Vec<String>,
    /// What the configuration names and the tool does not have, such as a project: a sync would leave it out. Each says
    /// what to do.
    pub problems: Vec<String>,
}

/// One kind of source: everything the program needs to know about it.
#[derive(Clone, Copy)]
pub struct Registration {
    /// The word in the configuration, e.g. `jira`.
    pub kind: &'static str,
    /// One line for `--help` and docs.
    pub about: &'static str,
    /// Its own keys in the configuration: their schema and the rules for them.
    pub keys: KindKeys,
    /// What `contextcore init` asks.
    pub init: InitHints,
    /// How calls to its webhook are proven; `None` for a tool that makes none.
    pub webhook: Option<WebhookProof>,
    /// Makes the connector. Reads no secret and sends nothing.
    pub build: fn(&SourceConfig, &Privacy) -> Result<Box<dyn Connector>>,
}

impl Registration {
    /// The part of it that reading a configuration needs.
    pub const fn source_kind(&self) -> SourceKind {
        SourceKind { name: self.kind, keys: self.keys }
    }
}

/// What `contextcore init` asks for a kind of source.
#[derive(Debug, Clone, Copy)]
pub struct InitHints {
    /// The questions in order; the first one says where the work is.
    pub questions: &'static [InitQuestion],
    /// Where a person makes a token.
    pub token_page: Option<&'static str>,
}

/// One key that `contextcore init` asks for.
#[derive(Debug, Clone, Copy)]
pub struct InitQuestion {
    /// The key within the source, such as `url` or `auth.email`. The answer for a key that ends in `token` is the name of an
    /// environment variable.
    pub key: &'static str,
    /// The flag that answers it.
    pub flag: &'static str,
    /// The question.
    pub question: &'static str,
    /// The answer when none is given. A `token` without one is `<KIND>_TOKEN`.
    pub default: Option<&'static str>,
    /// Whether it may stay without an answer.
    pub optional: bool,
}

impl InitQuestion {
    /// The question for the address, with the default where the tool has only one.
    pub const fn url(question: &'static str, default: Option<&'static str>) -> Self {
        Self { key: "url", flag: "--url", question, default, optional: false }
    }

    /// The question for the environment variable that holds the token.
    pub const TOKEN: Self = Self {
        key: "auth.token",
        flag: "--token-env",
        question: "Environment variable that holds the token",
        default: None,
        optional: false,
    };
}

/// A request to our webhook whose sender is not proven yet.
#[derive(Debug, Clone, Copy)]
pub struct WebhookCall<'a> {
    /// Its headers.
    pub headers: &'a http::HeaderMap,
    /// Its body as it came: signatures are over bytes.
    pub body: &'a [u8],
    /// When it came.
    pub now: Millis,
}

/// What a request to our webhook says, once it is proven to come from the tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookEvent {
    /// The tool's id of this delivery: the same id again is a repetition.
    pub delivery: Option<String>,
    /// The tool's name for what happened, e.g. `issues.labeled`.
    pub event: String,
    /// Whether it is about something a poll would see.
    pub relevant: bool,
}

/// Why a request to our webhook is refused; says nothing that would help to forge one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookError {
    /// It has no signature.
    Unsigned,
    /// The signature is not of this body and our secret.
    WrongSignature,
    /// It was sent too long ago, or is dated in the future.
    Stale,
    /// It is signed, but is not what the tool sends.
    Malformed,
}

/// Proves a request by its signature and reads what it is about. Pure; it never parses what it has not proven.
pub type WebhookProof = fn(&WebhookCall<'_>, secret: &[u8]) -> std::result::Result<WebhookEvent, WebhookError>;

/// A tool we can poll. One connector serves a source for the life of the process.
#[async_trait]
pub trait Connector: Send + Sync {
    /// What can be polled, in the order it should be.
    fn streams(&self) -> &'static [Stream];

    /// Begins a run: reads the credential again, proves it, so that an empty answer can be believed, and refreshes reference
    /// data.
    ///
    /// - `state` is what [`SourceSession::state`] returned last (`None` at first; when the configuration of the source changed,
    ///   what [`Self::outlives`] left of it). Reference data younger than a day costs no request.
    /// - Sends only reads.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] when the credential cannot be read, [`crate::ErrorKind::Auth`] when it is refused,
    /// [`crate::ErrorKind::Permission`] when it lacks a right; else as the HTTP session's.
    async fn open(&self, state: Option<serde_json::Value>, run: &Run) -> Result<Box<dyn SourceSession>>;

    /// Streams of whose records it reads more than its first version did, each with a number that rises when it does: such a
    /// stream is read again once after an upgrade.
    fn readings(&self) -> &'static [(&'static str, u32)] {
        &[]
    }

    /// What is left of a state when the configuration of the source changed: what the tool does not report again, such as names
    /// that it has forgotten, and ids that go on under another one. Everything else is fetched again.
    fn outlives(&self, _state: serde_json::Value) -> Option<serde_json::Value> {
        None
    }

    /// Requests made, waits and what is left of the limits, since the connector was made.
    fn stats(&self) -> Stats;

    /// The stores of engines that exported the work of this source until now, and will not again: what is in them belongs to this
    /// source from now on. Asked for before each run.
    ///
    /// # Errors
    /// When the disk cannot be read.
    fn former_stores(&self) -> Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }

    /// Takes what was reported to any replica of this service, so that the next run reads it. It may come again.
    ///
    /// # Errors
    /// When the disk cannot be written, or the source takes no reports.
    fn receive(&self, bodies: &[String]) -> Result<()> {
        if bodies.is_empty() {
            return Ok(());
        }
        Err(crate::model::error::Error::new(
            crate::model::error::ErrorKind::Internal,
            "report to a source that takes none",
        ))
    }

    /// Puts one of the [`Connector::former_stores`] out of the way, once everything in it was taken over.
    ///
    /// # Errors
    /// When it cannot be moved.
    fn retire(&self, _store: &Path) -> Result<()> {
        Ok(())
    }
}

/// A connector that was opened for one run.
#[async_trait]
pub trait SourceSession: Send + Sync {
    /// What is stored for the next run: reference data. Asked for when the session was opened, and again after its streams.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Internal`] when it cannot be written as JSON.
    fn state(&self) -> Result<serde_json::Value>;

    /// Shows what a sync would do. Sends only reads. A configured project that does not exist is a problem that names it.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Rejected`] when none of the configured projects exists; else as the HTTP session's.
    async fn check(&self) -> Result<CheckReport>;

    /// Fetches what follows `cursor` (`None`: from the start), with as many requests as one page needs.
    ///
    /// - A page holds whole records, complete histories included: nothing is half given. One record that the tool cannot serve
    ///   is named in [`Page::unreadable`], and the rest goes on.
    /// - Polling again with the same cursor gives at least the same records: at-least-once, never at-most-once.
    /// - The cursor moves past a record only when no tie at its position can follow.
    /// - With `full` in the run and no cursor, or that of [`SourceSession::restart`], it reads everything again.
    ///
    /// # Errors
    /// As the HTTP session's; [`crate::ErrorKind::Protocol`] for an answer that cannot be believed.
    async fn poll(&self, stream: &'static str, cursor: Option<&Cursor>) -> Result<Page>;

    /// Reads records by their ids: what was quarantined or unreadable, and what a complete pass listed and the store lacks. The
    /// page has no cursor.
    ///
    /// What the tool still cannot serve is in [`Page::unreadable`], and what the connector cannot ask for by id as well. An id
    /// of which the page says nothing does not exist any more, or is no task of this source.
    ///
    /// # Errors
    /// As the HTTP session's.
    async fn read_again(&self, ids: &[String]) -> Result<Page> {
        let reason = "the connector cannot read a record by its id";
        let unreadable = ids.iter().map(|id| Unreadable { native_id: id.clone(), reason: reason.to_owned() });
        Ok(Page { unreadable: unreadable.collect(), ..Page::default() })
    }

    /// A quarantined record as it was read, from a tool that gives nothing twice: what the store holds is then the only copy. `None`:
    /// [`Self::read_again`] asks for it.
    fn kept(&self, _native_id: &str, _json: &str) -> Option<RawRecord> {
        None
    }

    /// The cursor with which a stream reads everything again, where it ended with this one: none, unless the connector remembers in
    /// it what a new reading would not come upon, such as sprints that were open and are deleted.
    fn restart(&self, _stream: &'static str, _cursor: &Cursor) -> Option<Cursor> {
        None
    }

    /// Translates one record. Synchronous, deterministic, no I/O; reference data is that of the session.
    ///
    /// - A record that cannot be understood is an error; it is quarantined with its reason, and the rest goes on.
    /// - The same record always gives the same observations, with the same event ids.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Protocol`] for a record that cannot be understood.
    fn normalise(&self, record: &RawRecord) -> Result<Vec<Observation>>;

    /// What is to be said of the records that were translated since the last call, such as entries of their histories that had to
    /// be left out.
    fn remarks(&self) -> Vec<String> {
        Vec::new()
    }

    /// The guidance for agents in the repositories that are configured, each as its default branch has it: whoever writes to another
    /// branch, or to a clone, writes none of it.
    fn guidance(&self) -> Vec<ForgeFile> {
        Vec::new()
    }

    /// Configured projects that were read once and that this session did not find: more likely a lost permission than the
    /// end of them. Nothing of them is closed, and the run ends with an error once everything else is done.
    fn lost(&self) -> Vec<String> {
        Vec::new()
    }
}
