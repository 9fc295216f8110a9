//! Posts operations to the `/v1/ops` of a `serve`, for machines that share no disk with it: all lanes with `contextcore drain --to`,
//! else those that go there.
//!
//! How far a lane was posted is in a file beside it ([`Posted`]), written after each answer: what is posted again counts once there.
//! [`acknowledged`](super::acknowledged) says what an answer settles.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use contextcore_core::config::HeaderValue;
use contextcore_core::http::Auth;
use contextcore_core::http::service::{Reply, Service};
use contextcore_core::{Error, Secret, clock, lock};
use contextcore_spool::{Cursor, Destination, Header, Headers, LaneDir, Reader, Resource, SpoolLine};
use http::header::{AUTHORIZATION, HeaderName};
use serde_json::json;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::acknowledged::{Verdict, verdicts};
use super::posted::Posted;
use super::quiet::Quiet;
use super::shared::Trouble;
use crate::failure::{Exit, Failure};

/// A body is not larger: the other side takes 1 MiB.
const MAX_BODY: usize = 900 * 1024;
/// Enough bytes for the header of a writer, and the end of a line.
const HEADER: usize = 400;
/// Lines posted at once.
const MOST_LINES: usize = 2_000;
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

    /// Posts what is in a lane, until nothing has come for the linger.
    pub(super) async fn run(
        &self,
        lane: &LaneDir,
        linger: Duration,
        cancel: &CancellationToken,
        shown: Shown<'_>,
        quiet: &mut Quiet,
    ) -> Result<Exit, Failure> {
        let reader = Reader::new(vec![lane.spool()], MOST_LINES);
        let failed = |error: io::Error| Failure::new(Exit::Internal, format!("lane {}: {error}", lane.name()));
        let (mut posted, mut warned) = (Posted::of(lane), BTreeSet::new());
        let patience = if linger.is_zero() { LONGEST_WAIT } else { linger };
        let (mut wait, mut without_lines) = (LOOK, 0_u32);
        while !cancel.is_cancelled() {
            lock(shown.posted).clone_from(posted.settled());
            quiet.look(&reader);
            reader.finish(posted.settled()).map_err(failed)?;
            let chunk = reader.read(posted.read()).map_err(failed)?;
            let lines: Vec<_> = chunk.lines.iter().filter(|line| !posted.is_withheld(line)).cloned().collect();
            let mut answered = Vec::new();
            let posting = self.post(&lines, &mut answered);
            let late = |_| Err(Refused::Later("the service did not answer in time".to_owned()));
            let sent = tokio::time::timeout(quiet.left(patience) + LAST_POST, posting).await.unwrap_or_else(late);
            answered.iter().zip(&lines).for_each(|(verdict, line)| self.warn(verdict, line, &mut warned));
            posted.advance(&chunk, &lines, &answered).map_err(failed)?;
            let pause = match sent {
                Ok(()) => {
                    wait = LOOK;
                    match posted.withholds() {
                        true => {
                            let _is_said_already = shown.trouble.set(POSTING, WITHHELD);
                        }
                        false => shown.trouble.clear(POSTING),
                    }
                    without_lines = if chunk.lines.is_empty() { without_lines.saturating_add(1) } else { 0 };
                    if quiet.left(linger).is_zero() && self.is_over(&reader, &posted, without_lines).map_err(failed)? {
                        return Ok(if posted.withholds() { Exit::Backend } else { Exit::Done });
                    }
                    if without_lines == 0 { Duration::ZERO } else { LOOK }
                }
                Err(Refused::ForGood(text)) => return Err(Failure::new(Exit::Backend, text)),
                Err(Refused::Later(text)) => {
                    if shown.trouble.set(POSTING, &text) {
                        tracing::warn!("{text}; it stays in the spool");
                    }
                    if quiet.left(patience).is_zero() {
                        break;
                    }
                    wait = (wait * 2).min(LONGEST_WAIT);
                    wait.min(quiet.left(patience)).max(LOOK)
                }
            };
            tokio::select! {
                () = cancel.cancelled() => {}
                () = shown.nudge.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        Ok(Exit::Backend)
    }

    /// Whether nothing is left to post or to remove. Where lines are withheld, files stay; what can be removed is, in two looks.
    fn is_over(&self, reader: &Reader, posted: &Posted, without_lines: u32) -> io::Result<bool> {
        Ok(match (posted.withholds(), without_lines) {
            (_, 0) => false,
            (false, _) => !reader.has_work(posted.read())?,
            (true, looks) => looks > 1,
        })
    }

    /// Says of a line that it is not stored; of lines that are withheld once for each project.
    fn warn(&self, verdict: &Verdict, line: &SpoolLine, warned: &mut BTreeSet<String>) {
        let SpoolLine { project, text, .. } = line;
        match verdict {
            Verdict::Settled(Some(reason)) => {
                tracing::warn!(project, "{} rejected an operation for good: {reason}: {text:.300}", self.service.url());
            }
            Verdict::Withheld(reason) if warned.insert(project.clone()) => {
                let url = self.service.url();
                tracing::warn!(
                    project,
                    "{url} takes no reports of project {project}: {reason}; they stay in the spool"
                );
            }
            _ => {}
        }
    }

    /// Posts lines in bodies that are small enough, and says one by one what became of them.
    async fn post(&self, lines: &[SpoolLine], answered: &mut Vec<Verdict>) -> Result<(), Refused> {
        let mut rest = lines;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = rest.iter().take_while(|line| {
                bytes += line.text.len() + HEADER;
                bytes <= MAX_BODY
            });
            let count = fits.count().max(1);
            self.post_lines(&rest[..count], answered).await?;
            rest = &rest[count..];
        }
        Ok(())
    }

    /// Posts some lines; too many for the other side are posted in halves.
    async fn post_lines(&self, lines: &[SpoolLine], answered: &mut Vec<Verdict>) -> Result<(), Refused> {
        let mut batches = vec![lines];
        while let Some(lines) = batches.pop() {
            let sent = self.service.post_text(&self.path, "application/x-ndjson", body(lines)).await;
            match outcome(sent) {
                Ok(reply) => {
                    let found = verdicts(&reply.body, lines);
                    let is_whole = !found.contains(&Verdict::Unanswered);
                    answered.extend(found);
                    if !is_whole {
                        return Err(Refused::Later(self.foreign(&reply)));
                    }
                }
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

    /// What is said of an answer that does not name what was posted.
    fn foreign(&self, reply: &Reply) -> String {
        let (url, answer) = (self.service.url(), reply.message());
        format!(
            "{url}/{} answered HTTP {} `{answer}`, which does not acknowledge what was posted: this is not ContextCore's \
             /v1/ops",
            self.path, reply.status
        )
    }
}

/// What others see of posting while it runs.
#[derive(Clone, Copy)]
pub(super) struct Shown<'a> {
    /// Makes the next look come at once.
    pub(super) nudge: &'a Notify,
    /// Up to where everything is settled.
    pub(super) posted: &'a Mutex<Cursor>,
    /// Why not everything is.
    pub(super) trouble: &'a Trouble,
}

/// What is in trouble where posting fails.
const POSTING: &str = "posting";
/// Why a flush is not over while lines are withheld.
const WITHHELD: &str = "the service takes no reports of some projects with this token";

/// Why nothing was taken.
enum Refused {
    /// The same again will not be taken either.
    ForGood(String),
    /// It may be later.
    Later(String),
}

/// An answer that came, or why nothing was taken.
fn outcome(sent: Result<Reply, Error>) -> Result<Reply, Refused> {
    let reply = sent.map_err(|error| Refused::Later(error.full()))?;
    if reply.is_success() {
        return Ok(reply);
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
