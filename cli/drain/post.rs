//! Posts operations to the `/v1/ops` of a `serve`, for machines that share no disk with it: all lanes with `contextcore drain --to`,
//! else those that go there.
//!
//! How far a lane was posted is in a file beside it, written after each answer: what is posted again counts once there.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use contextcore_core::config::HeaderValue;
use contextcore_core::http::Auth;
use contextcore_core::http::service::{Reply, Service};
use contextcore_core::{Error, Secret, clock, lock};
use contextcore_spool::{Chunk, Cursor, Destination, Header, Headers, LaneDir, Reader, Resource, SpoolLine};
use http::header::{AUTHORIZATION, HeaderName};
use serde_json::json;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::quiet::Quiet;
use crate::failure::{Exit, Failure};

/// A body is not larger: the other side takes 1 MiB.
const MAX_BODY: usize = 900 * 1024;
/// Enough bytes for the header of a writer, and the end of a line.
const HEADER: usize = 400;
/// Lines posted at once.
const MOST_LINES: usize = 2_000;
/// The file that says how far a lane was posted.
const POSTED: &str = "posted.json";
const LOOK: Duration = Duration::from_millis(500);
/// How long a request may take after the linger is over.
const LAST_POST: Duration = Duration::from_secs(10);
/// The waits after an answer that asks to come again: doubled up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Where operations are posted.
pub(super) struct Post {
    service: Service,
    path: String,
}

impl Post {
    /// The address of `/v1/ops`, and the file with the token.
    pub(super) fn new(url: &str, token_file: &Path) -> Result<Self, Failure> {
        let unread = |error| Failure::usage(format!("read {}: {error}", token_file.display()));
        let token = std::fs::read_to_string(token_file).map_err(unread)?;
        Self::at(url, Auth::Bearer(Secret::new(token.trim())))
    }

    fn at(url: &str, auth: Auth) -> Result<Self, Failure> {
        let url = url.trim().replacen("+ops://", "://", 1);
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(Failure::usage("--to is not an address: write it like https://contextcore.example/v1/ops"));
        };
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let base = format!("{scheme}://{host}");
        let path = if path.is_empty() { "v1/ops".to_owned() } else { path.to_owned() };
        let service = Service::new("contextcore serve", &base, auth, None)?;
        Ok(Self { service, path })
    }

    /// The service to which a lane goes, with the headers of its requests.
    pub(super) fn of_lane(to: &Destination, headers: &Headers) -> Result<Self, Failure> {
        let mut headers = headers.0.clone();
        let auth = headers.remove("authorization").map_or(Auth::None, |value| {
            let (name, value) = (AUTHORIZATION, Secret::new(value));
            Auth::Header { name, value }
        });
        let mut post = Self::at(&to.endpoint, auth)?;
        for (name, value) in headers {
            let unfit = |_| Failure::usage(format!("`{name}` is not the name of a header"));
            let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(unfit)?;
            post.service = post.service.with_header(parsed, &HeaderValue::Given(Secret::new(value)))?;
        }
        Ok(post)
    }

    /// Posts what is in a lane, until nothing has come for the linger. `posted` says how far.
    pub(super) async fn run(
        &self,
        lane: &LaneDir,
        linger: Duration,
        cancel: &CancellationToken,
        (nudge, posted): (&Notify, &Mutex<Cursor>),
        quiet: &mut Quiet,
    ) -> Result<Exit, Failure> {
        let reader = Reader::new(vec![lane.spool()], MOST_LINES);
        let failed = |error: io::Error| Failure::new(Exit::Internal, format!("lane {}: {error}", lane.name()));
        let file = lane.path().join(POSTED);
        let mut cursor = known(&file);
        let patience = if linger.is_zero() { LONGEST_WAIT } else { linger };
        let mut wait = LOOK;
        while !cancel.is_cancelled() {
            lock(posted).clone_from(&cursor);
            quiet.look(&reader);
            reader.finish(&cursor).map_err(failed)?;
            let chunk = reader.read(&cursor).map_err(failed)?;
            let posting = tokio::time::timeout(quiet.left(patience) + LAST_POST, self.post(&chunk)).await;
            let late = |_| Err(Refused::Later("the service did not answer in time".to_owned()));
            let pause = match posting.unwrap_or_else(late) {
                Ok(()) => {
                    wait = LOOK;
                    let some = !chunk.lines.is_empty();
                    if chunk.cursor != cursor {
                        cursor = chunk.cursor;
                        save(&file, &cursor).map_err(failed)?;
                    }
                    if !some && quiet.left(linger).is_zero() && !reader.has_work(&cursor).map_err(failed)? {
                        return Ok(Exit::Done);
                    }
                    if some { Duration::ZERO } else { LOOK }
                }
                Err(Refused::ForGood(text)) => return Err(Failure::new(Exit::Backend, text)),
                Err(Refused::Later(text)) => {
                    tracing::warn!("{text}; it stays in the spool");
                    if quiet.left(patience).is_zero() {
                        break;
                    }
                    wait = (wait * 2).min(LONGEST_WAIT);
                    wait.min(quiet.left(patience)).max(LOOK)
                }
            };
            tokio::select! {
                () = cancel.cancelled() => {}
                () = nudge.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        Ok(Exit::Backend)
    }

    /// Posts a chunk in bodies that are small enough.
    async fn post(&self, chunk: &Chunk) -> Result<(), Refused> {
        let mut rest = chunk.lines.as_slice();
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = rest.iter().take_while(|line| {
                bytes += line.text.len() + HEADER;
                bytes <= MAX_BODY
            });
            let count = fits.count().max(1);
            self.post_lines(&rest[..count]).await?;
            rest = &rest[count..];
        }
        Ok(())
    }

    /// Posts some lines; too many for the other side are posted in halves.
    async fn post_lines(&self, lines: &[SpoolLine]) -> Result<(), Refused> {
        let mut batches = vec![lines];
        while let Some(lines) = batches.pop() {
            let sent = self.service.post_text(&self.path, "application/x-ndjson", body(lines)).await;
            match outcome(sent) {
                Ok(rejected) => rejected.iter().for_each(|one| tracing::warn!("rejected: {one}")),
                Err(Refused::Later(text)) => return Err(Refused::Later(text)),
                Err(Refused::ForGood(text)) if text.starts_with("HTTP 413") && lines.len() > 1 => {
                    let (first, second) = lines.split_at(lines.len() / 2);
                    batches.extend([second, first]);
                }
                Err(refused) => return Err(refused),
            }
        }
        Ok(())
    }
}

/// Why nothing was taken.
enum Refused {
    /// The same again will not be taken either.
    ForGood(String),
    /// It may be later.
    Later(String),
}

/// What an answer means: the lines that were rejected, or why nothing was taken.
fn outcome(sent: Result<Reply, Error>) -> Result<Vec<String>, Refused> {
    let reply = sent.map_err(|error| Refused::Later(error.full()))?;
    if reply.is_success() {
        let rejected = reply.json()["rejected"].as_array().cloned().unwrap_or_default();
        return Ok(rejected.iter().map(ToString::to_string).collect());
    }
    let text = format!("HTTP {}: {}", reply.status, reply.message());
    Err(if matches!(reply.status, 408 | 425 | 429 | 500..) { Refused::Later(text) } else { Refused::ForGood(text) })
}

/// A body: when it is sent, and each writer's header with its lines.
fn body(lines: &[SpoolLine]) -> String {
    let mut writers: BTreeMap<(&str, &str), (&Resource, Vec<&str>)> = BTreeMap::new();
    for line in lines {
        let of = writers.entry((&line.writer, &line.project)).or_insert_with(|| (&line.resource, Vec::new()));
        of.1.push(&line.text);
    }
    let mut body = format!("{}\n", json!({"v": 1, "sent": clock::now()}));
    for ((writer, project), (resource, lines)) in writers {
        let header = Header {
            v: 1,
            writer: writer.to_owned(),
            project: project.to_owned(),
            lang: String::new(),
            sdk: String::new(),
            host: String::new(),
            pid: 0,
            resource: resource.clone(),
            origin: None,
        };
        for text in std::iter::once(serde_json::to_string(&header).unwrap_or_default().as_str()).chain(lines) {
            body.push_str(text);
            body.push('\n');
        }
    }
    body
}

fn known(file: &Path) -> Cursor {
    let known = std::fs::read(file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    known.unwrap_or_default()
}

/// Makes a position durable before anything behind it is removed.
fn save(file: &Path, cursor: &Cursor) -> io::Result<()> {
    let directory = file.parent().unwrap_or(Path::new("."));
    let draft = tempfile::NamedTempFile::new_in(directory)?;
    serde_json::to_writer(draft.as_file(), cursor)?;
    draft.as_file().sync_all()?;
    draft.persist(file)?;
    std::fs::File::open(directory)?.sync_all()
}
