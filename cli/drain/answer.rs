//! The socket of a lane's helper: an SDK brings the headers that its backend needs, and asks whether everything has arrived.
//!
//! One JSON object a line each way. Only this user can connect.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use contextcore_core::query::{InsightQuery, InsightSelector, Viewer};
use contextcore_core::{Error, clock, lock};
use contextcore_spool::{Headers, LaneDir, Transport};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::export;
use super::shared::Shared;
use crate::host;

/// Longer paths do not fit a socket on every system.
const LONGEST_PATH: usize = 100;
/// A request is no longer than this.
const LONGEST_REQUEST: u64 = 256 * 1024;
/// How often an answer that waits looks again.
const LOOK: Duration = Duration::from_millis(20);
/// The longest wait for an answer.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// The socket's file, removed when it is dropped.
pub(super) struct Socket {
    path: PathBuf,
    listener: std::os::unix::net::UnixListener,
}

impl Socket {
    /// Listens in the lane. Its lock is held, so an existing file is a leftover. Without a socket the lane is drained all the
    /// same; the reason is logged.
    pub(super) fn bind(lane: &LaneDir) -> Option<Self> {
        let bound = Self::try_bind(lane);
        if let Err(error) = &bound {
            tracing::warn!(lane = lane.name(), %error, "nobody can ask whether everything has arrived");
        }
        bound.ok()
    }

    fn try_bind(lane: &LaneDir) -> std::io::Result<Self> {
        let path = lane.socket();
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let directory = File::open(lane.path())?;
        let listener = if path.as_os_str().len() <= LONGEST_PATH {
            std::os::unix::net::UnixListener::bind(&path)?
        } else {
            // The same file under a short name.
            std::os::unix::net::UnixListener::bind(format!("/proc/self/fd/{}/engine.sock", directory.as_raw_fd()))?
        };
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(Self { path, listener })
    }

    /// What connections come to.
    pub(super) fn listener(&self) -> Option<UnixListener> {
        self.listener.try_clone().and_then(UnixListener::from_std).ok()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "could not remove the socket");
        }
    }
}

/// A request.
#[derive(Debug, Deserialize)]
#[serde(tag = "cmd", rename_all = "snake_case")]
enum Request {
    /// Is anybody there?
    Ping,
    /// The headers of every request to the backend.
    Headers { headers: BTreeMap<String, String> },
    /// Has everything up to these numbers arrived?
    Flush {
        #[serde(default)]
        writers: BTreeMap<String, u64>,
        #[serde(default)]
        timeout_ms: u64,
    },
    /// Which insights are there?
    #[serde(rename = "insight.query")]
    InsightQuery {
        #[serde(default)]
        query: Box<InsightQuery>,
    },
    /// One insight with its history.
    #[serde(rename = "insight.show")]
    InsightShow {
        query: InsightSelector,
        /// The agent that asks, where that is known.
        reader: Option<String>,
    },
    /// Leave the lane to the one that asks.
    Stop,
}

/// Answers until it is dropped.
pub(super) async fn run(shared: Arc<Shared>, listener: UnixListener) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if is_ours(&stream) => drop(connections.spawn(converse(Arc::clone(&shared), stream))),
                Ok(_) => tracing::warn!("refused a connection of another user"),
                Err(error) => {
                    tracing::debug!(%error, "could not accept a connection");
                    tokio::time::sleep(LOOK).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

fn is_ours(stream: &UnixStream) -> bool {
    stream.peer_cred().is_ok_and(|peer| peer.uid() == rustix::process::geteuid().as_raw())
}

async fn converse(shared: Arc<Shared>, stream: UnixStream) {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read);
    loop {
        let mut line = String::new();
        match (&mut lines).take(LONGEST_REQUEST).read_line(&mut line).await {
            Ok(length) if length > 0 => {}
            _ => return,
        }
        let answer = match serde_json::from_str::<Request>(&line) {
            Ok(request) => answer(&shared, request).await,
            Err(_) => json!({"ok": false, "error": "unknown command"}),
        };
        if write.write_all(format!("{answer}\n").as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn answer(shared: &Shared, request: Request) -> Value {
    match request {
        Request::Ping => {
            let version = env!("CARGO_PKG_VERSION");
            json!({"ok": true, "pid": std::process::id(), "version": version, "error": trouble(shared)})
        }
        Request::Headers { headers } => {
            let headers = Headers(headers.into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect());
            if shared.to.lane(&headers) != shared.lane.name() {
                return json!({"ok": false, "error": "these are not the headers of this lane"});
            }
            shared.headers.send_replace(Some(headers));
            json!({"ok": true})
        }
        Request::Flush { writers, timeout_ms } => flush(shared, &writers, Duration::from_millis(timeout_ms)).await,
        Request::InsightQuery { query } => {
            let reader = query.reader.clone();
            let found = read(shared, move |viewer| viewer.find_insights(&query)).await;
            note_served(shared, found["insights"].as_array().map_or(&[], Vec::as_slice), reader).await;
            found
        }
        Request::InsightShow { query, reader } => {
            let found = read(shared, move |viewer| viewer.insight(&query)).await;
            note_served(shared, std::slice::from_ref(&found), reader).await;
            found
        }
        Request::Stop => {
            shared.cancel.cancel();
            json!({"ok": true})
        }
    }
}

/// Reads the store of the lane: `ok` and the fields of what was found.
async fn read<T: Serialize + Send + 'static>(
    shared: &Shared,
    read: impl FnOnce(&Viewer<'_>) -> Result<T, Error> + Send + 'static,
) -> Value {
    let Some(engine) = lock(&shared.engine).clone() else {
        return json!({"ok": false, "error": "the store is not open yet"});
    };
    let found = host::blocking(engine, |engine| read(&Viewer::new(&engine.store, &engine.config(), clock::now())));
    match found.await.map(|found| serde_json::to_value(found)) {
        Ok(Ok(Value::Object(mut fields))) => {
            fields.insert("ok".to_owned(), true.into());
            Value::Object(fields)
        }
        Ok(_) => json!({"ok": false, "error": "the answer could not be written"}),
        Err(error) => json!({"ok": false, "error": error.full()}),
    }
}

/// Counts insights as given to somebody.
async fn note_served(shared: &Shared, found: &[Value], reader: Option<String>) {
    let Some(engine) = lock(&shared.engine).clone() else { return };
    let ids: Vec<String> = found.iter().filter_map(|insight| insight["id"].as_str().map(str::to_owned)).collect();
    if ids.is_empty() {
        return;
    }
    let noted = host::blocking(engine, move |engine| engine.store.note_served(&ids, reader.as_deref(), clock::now()));
    if let Err(error) = noted.await {
        tracing::debug!(%error, "could not count what was read");
    }
}

/// Waits until everything has arrived.
async fn flush(shared: &Shared, writers: &BTreeMap<String, u64>, timeout: Duration) -> Value {
    let begun = Instant::now();
    shared.nudge.notify_one();
    loop {
        let has_arrived = has_arrived(shared, writers);
        if has_arrived {
            return json!({"ok": true});
        }
        if begun.elapsed() >= timeout.min(LONGEST_WAIT) {
            let stored = lock(&shared.stored);
            let taken: BTreeMap<&String, u64> =
                writers.keys().filter_map(|writer| Some((writer, stored.writers.get(writer)?.seq))).collect();
            return json!({"ok": false, "taken": taken, "reason": "timeout", "error": trouble(shared)});
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Why not everything has arrived: what failed, or what the backend answered last while it is asked again and again.
fn trouble(shared: &Shared) -> Option<String> {
    let engine = lock(&shared.engine).clone();
    shared.trouble.reason().or_else(|| export::refusal(engine.as_deref()?))
}

fn has_arrived(shared: &Shared, writers: &BTreeMap<String, u64>) -> bool {
    let stored = lock(&shared.stored).clone();
    // A writer without files any more was read to its end.
    let is_stored = |(writer, seq): (&String, &u64)| stored.has_read(writer, *seq);
    if !writers.iter().all(is_stored) {
        return false;
    }
    if shared.to.protocol == Transport::Ops {
        // What was posted is on the disk of the service.
        return true;
    }
    let engine = lock(&shared.engine).clone();
    engine.is_some_and(|engine| export::is_done(&engine).unwrap_or(false))
}
