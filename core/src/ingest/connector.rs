//! The plug-in contract: what a connector of a tool must do, and all it gets to see.
//!
//! A [`Connector`] asks its tool and translates the answers. It never sees the store, the clock or OTLP: where it stands
//! comes in as a [`Cursor`] it made itself, the moment comes in with the [`Run`], and pacing, retries and rate limits are
//! the business of the [`crate::http::Session`] it asks through. The engine in [`crate::ingest::sync`] does the rest.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::config::{Privacy, SourceConfig};
use crate::http::Stats;
use crate::model::error::Result;
use crate::model::observation::Observation;
use crate::model::time::Millis;

/// Where a connector stands in a stream: a value it made and only it understands. Opaque to everybody else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cursor(pub serde_json::Value);

/// One thing a tool lets us poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    /// Its name, unique within the connector; part of the key its cursor is kept under.
    pub name: &'static str,
    /// A finished pass lists *every* task there is ([`Page::seen`]), so that absence means something. Run daily and with
    /// `--full`; the other streams run on every poll.
    pub complete: bool,
}

/// What a connector is told about the run it takes part in.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// The moment the run began.
    pub now: Millis,
    /// Read everything again.
    pub full: bool,
}

/// One step through a stream. Records never come without the cursor that covers them.
#[derive(Debug)]
pub struct Page {
    /// The tool's records, histories included.
    pub records: Vec<RawRecord>,
    /// Native ids that a pass over a `complete` stream saw on this page.
    pub seen: Vec<String>,
    /// Where the stream stands once these records are kept.
    pub cursor: Cursor,
    /// Whether there is more to fetch now.
    pub more: bool,
    /// How many tasks the tool itself counts in this stream's scope, when it was asked.
    pub total: Option<u64>,
    /// Things a person should know that did not stop the page (a skipped board, an incomplete answer).
    pub warnings: Vec<String>,
}

/// A record as the tool gave it (trimmed of what nobody reads, such as avatars), histories included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawRecord {
    /// The stream it came from.
    pub stream: &'static str,
    /// The tool's immutable id, as far as it could be read: names the record in errors.
    pub native_id: String,
    /// The JSON text.
    pub json: String,
}

/// What `contextcore check` shows of a source.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CheckReport {
    /// Who the token is.
    pub identity: String,
    /// Which product answered, e.g. `Jira Cloud` or `Jira Data Center 9.12`.
    pub product: String,
    /// Scopes or rights, where the tool tells them.
    pub scopes: Vec<String>,
    /// Projects the token can see and the source will read: key and name.
    pub projects: Vec<(String, String)>,
    /// Fields found by discovery: meaning, the tool's id, the tool's name.
    pub fields: Vec<(String, String, String)>,
    /// The status mapping: native name, common status, and why.
    pub statuses: Vec<(String, String, String)>,
    /// What a person should look at; each says what to do.
    pub warnings: Vec<String>,
    /// What of the configuration the tool does not have, such as a project: a sync would leave it out. Each says what to do.
    pub problems: Vec<String>,
}

/// One kind of source: its word in the config and how to make a connector for it.
#[derive(Clone, Copy)]
pub struct Registration {
    /// The word in the config, e.g. `jira`.
    pub kind: &'static str,
    /// One line for `--help` and docs.
    pub about: &'static str,
    /// Makes the connector. Resolves the token, sends nothing.
    pub build: fn(&SourceConfig, &Privacy) -> Result<Box<dyn Connector>>,
}

/// A call of a tool to our webhook, not believed yet.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// Its headers.
    pub headers: &'a http::HeaderMap,
    /// Its body, as it came: what is signed is bytes.
    pub body: &'a [u8],
    /// The moment it came.
    pub now: Millis,
}

/// What a call that was proven to come from the tool says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// The tool's id of this delivery: the same again is the same news.
    pub delivery: Option<String>,
    /// The tool's word for what happened, e.g. `issues.labeled`.
    pub event: String,
    /// Whether it is about something a poll would see.
    pub relevant: bool,
}

/// Why a call is not believed; says nothing that would help to forge one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unproven {
    /// No signature came with it.
    Unsigned,
    /// The signature is not of this body and our secret.
    Wrong,
    /// It was sent too long ago, or is dated in the future.
    Stale,
    /// It is signed, but is not what the tool sends.
    Unreadable,
}

/// Proves a call by its signature and reads what it is about. Pure; it never parses what it has not proven.
pub type Webhook = fn(&Call<'_>, secret: &[u8]) -> std::result::Result<Called, Unproven>;

/// A tool we can poll.
#[async_trait]
pub trait Connector: Send + Sync {
    /// What can be polled, in the order it should be.
    fn streams(&self) -> &'static [Stream];

    /// Proves the credential and shows what a sync would do. Sends only reads.
    ///
    /// - A refused credential is [`crate::ErrorKind::Auth`], a missing right [`crate::ErrorKind::Permission`].
    /// - A configured project that does not exist is a warning that names it, unless none exists.
    async fn check(&self, run: &Run) -> Result<CheckReport>;

    /// Opens a run: proves the credential, so that an empty answer can be believed, and brings reference data up to date.
    ///
    /// - `state` is what the last `begin` returned (`None` at first, or when the configuration of the source changed).
    /// - What it returns is kept and given to the next `begin`; reference data younger than a day costs no request.
    async fn begin(&self, state: Option<serde_json::Value>, run: &Run) -> Result<serde_json::Value>;

    /// Fetches what follows `cursor` (`None`: from the start), as many requests as one page needs.
    ///
    /// - A page either holds whole records, complete histories included, or is an error: nothing is half given.
    /// - Polling again with the same cursor gives at least the same records: at-least-once, never at-most-once.
    /// - The cursor moves past a record only when no tie at its position can follow.
    /// - With `run.full` and no cursor it reads everything again.
    async fn poll(&self, stream: &'static str, cursor: Option<&Cursor>, run: &Run) -> Result<Page>;

    /// Translates one record. Synchronous, deterministic, no I/O; reference data comes from the last `begin`.
    ///
    /// - A record that cannot be understood is an error; it is set aside with its reason, and the rest goes on.
    /// - The same record always gives the same observations, with the same entry ids.
    fn normalise(&self, record: &RawRecord) -> Result<Vec<Observation>>;

    /// Configured projects that were read once and that the last `begin` did not find: more likely a lost permission than
    /// the end of them. Nothing of them is closed, and the run ends with an error once everything else is done.
    fn lost(&self) -> Vec<String> {
        Vec::new()
    }

    /// Requests made, waits and what is left of the limits, since the connector was made.
    fn stats(&self) -> Stats;
}
