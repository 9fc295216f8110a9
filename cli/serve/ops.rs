//! `POST /v1/ops`: operations from machines that share no disk with us. Who brings the token may report for its projects; what is
//! acknowledged is on disk, in the spool of the source of kind `sdk`, or in the database that replicas share.
//!
//! The body is NDJSON: a line `{"v":1,"sent":TIME}` if the sender's clock is to be corrected, the header of a writer as a spool has
//! it, the lines of that writer, the next header, and so on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use contextcore_core::config::{OpsConfig, OpsToken, Resolve};
use contextcore_core::model::operation::{self, Envelope, MAX_LINE, Parsed};
use contextcore_core::store::Lease;
use contextcore_core::{Millis, clock, lock};
use contextcore_spool::{Delivery, Header, Origin, StateDir, receive};
use serde::{Deserialize, Serialize};

use super::current::Current;
use super::proof::{Refusal, prove};

/// A body is not larger.
const MAX_BODY: usize = 1 << 20;
/// A request that is not complete by then is cut off.
const READ_LIMIT: Duration = Duration::from_secs(10);
/// Operations a second that a token may report on average, and at once.
const RATE: f64 = 1_000.0;
const BURST: f64 = 20_000.0;
/// A clock that differs by no more is not corrected.
const SKEW: i64 = 5_000;

struct Ops {
    current: Current,
    /// What each token may still report at once, and since when.
    budgets: Mutex<BTreeMap<String, (f64, Instant)>>,
}

/// The route. Says which tokens cannot be read: whoever brings one of them is refused.
pub(super) fn route<S: Clone + Send + Sync + 'static>(current: Current) -> MethodRouter<S> {
    let config = current.engine().config();
    for token in config.ops.iter().flat_map(|ops| &ops.tokens) {
        if let Err(error) = token.token.resolve() {
            tracing::error!(token = token.name, "{}", error.full());
        }
    }
    post(answer).with_state(Arc::new(Ops { current, budgets: Mutex::default() }))
}

/// What is stored of each writer, and what is not.
#[derive(Debug, Default, Serialize)]
struct Answer {
    acked: BTreeMap<String, u64>,
    rejected: Vec<Rejected>,
}

/// A line that is not stored.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Rejected {
    writer: String,
    seq: Option<u64>,
    reason: &'static str,
    kind: Kind,
}

/// Whether a line can ever be stored. Who posts gives up a line only when it cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// It can never be: it is no operation.
    Invalid,
    /// This token may not report it; another one may, or this one later.
    Forbidden,
}

async fn answer(State(ops): State<Arc<Ops>>, request: Request) -> Response {
    match accept(&ops, request).await {
        Ok(answer) => Json(answer).into_response(),
        Err((StatusCode::TOO_MANY_REQUESTS, text)) => {
            (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "2")], format!("{text}\n")).into_response()
        }
        Err((status, text)) => (status, format!("{text}\n")).into_response(),
    }
}

async fn accept(ops: &Ops, request: Request) -> Result<Answer, Refusal> {
    let settings = ops.current.engine().config();
    let Some(config) = &settings.ops else {
        return Err((StatusCode::NOT_FOUND, "set `ops.token` to take operations"));
    };
    let (config, headers) = (config.clone(), request.headers().clone());
    let token = prove(move || proven(&config, &headers).cloned()).await?;
    let source = settings.sources.iter().find(|source| source.takes_reports());
    let place = source.and_then(|source| Some((source.name.clone(), source.location.clone()?)));
    let Some((name, path)) = place else {
        return Err((StatusCode::SERVICE_UNAVAILABLE, "there is no source of kind sdk that could take operations"));
    };
    let body = match tokio::time::timeout(READ_LIMIT, to_bytes(request.into_body(), MAX_BODY)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return Err((StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 1 MiB, or broke off")),
        Err(_) => return Err((StatusCode::REQUEST_TIMEOUT, "the body did not come in time")),
    };
    let batch = read(&String::from_utf8_lossy(&body), clock::now(), &token);
    spend(&ops.budgets, &token.name, batch.writers.iter().map(|(_, lines)| lines.len()).sum())?;
    let (engine, source) = (ops.current.engine(), name.clone());
    let answer = tokio::task::spawn_blocking(move || match engine.store.lease() {
        Some(lease) => deliver(batch, lease, &source),
        None => store(batch, &path),
    });
    let answer = answer.await;
    let failed = (StatusCode::SERVICE_UNAVAILABLE, "the operations could not be written; the log has the reason");
    let answer = answer.map_err(std::io::Error::from).flatten().map_err(|error| {
        tracing::error!(%error, "could not write operations that came in");
        failed
    })?;
    ops.current.webhooks().poll(&name);
    Ok(answer)
}

/// The token that a request brings, proven in a time that says nothing about it. One that cannot be read is no other's fault.
fn proven<'a>(config: &'a OpsConfig, headers: &HeaderMap) -> Result<&'a OpsToken, Refusal> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default().trim();
    let given = blake3::hash(given.as_bytes());
    let mut found = None;
    for token in &config.tokens {
        match token.token.resolve() {
            Ok(known) if blake3::hash(known.expose().as_bytes()) == given => found = Some(token),
            Ok(_) => {}
            Err(error) => tracing::error!(token = token.name, "{}", error.full()),
        }
    }
    found.ok_or((StatusCode::UNAUTHORIZED, "bring a token of `ops` as `Authorization: Bearer TOKEN`"))
}

fn spend(budgets: &Mutex<BTreeMap<String, (f64, Instant)>>, token: &str, operations: usize) -> Result<(), Refusal> {
    let mut budgets = lock(budgets);
    let now = Instant::now();
    let budget = budgets.entry(token.to_owned()).or_insert((BURST, now));
    let left = (budget.0 + now.duration_since(budget.1).as_secs_f64() * RATE).min(BURST);
    let wanted = u32::try_from(operations).map_or(f64::MAX, f64::from);
    if wanted > left {
        *budget = (left, now);
        return Err((StatusCode::TOO_MANY_REQUESTS, "too many operations: 1,000 a second on average"));
    }
    *budget = (left - wanted, now);
    Ok(())
}

/// What a body holds.
#[derive(Debug, Default)]
struct Batch {
    /// Writers and their lines.
    writers: Vec<(Header, Vec<String>)>,
    answer: Answer,
}

/// The line that says when a body was sent.
#[derive(Deserialize)]
struct Sent {
    sent: Millis,
}

/// Reads a body. Pure.
fn read(body: &str, now: Millis, token: &OpsToken) -> Batch {
    let mut batch = Batch::default();
    let mut skew = 0;
    let mut header: Option<Header> = None;
    for line in body.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Ok(next) = serde_json::from_str::<Header>(line) {
            // Who sends it is what the token proves, whatever the header says.
            let origin = Origin { who: token.name.clone(), human: token.human };
            let next = Header { origin: Some(origin), ..next };
            batch.writers.push((next.clone(), Vec::new()));
            header = Some(next);
        } else if let Ok(Sent { sent }) = serde_json::from_str(line) {
            let differs = now.0 - sent.0;
            skew = if differs.abs() > SKEW { differs } else { 0 };
        } else {
            take(&mut batch, header.as_ref(), line, skew, token);
        }
    }
    batch.writers.retain(|(_, lines)| !lines.is_empty());
    batch
}

const FORBIDDEN: &str = "the token may not report for this project";

/// The number of a line that is no operation, so that whoever posted it knows which one is meant.
fn number(line: &str) -> Option<u64> {
    serde_json::from_str::<serde_json::Value>(line).ok()?["seq"].as_u64()
}

/// Takes one line, or says why not.
fn take(batch: &mut Batch, header: Option<&Header>, line: &str, skew: i64, token: &OpsToken) {
    let envelope = Envelope::read(line);
    let writer = header.map(|header| header.writer.clone()).unwrap_or_default();
    let seq = envelope.as_ref().map(|envelope| envelope.seq).or_else(|| number(line));
    let refused = match (header, &envelope) {
        (None, _) => Some("no header comes before it"),
        (Some(header), _) if !is_writer(header) => Some("its writer is not 32 hex digits, or its project is empty"),
        (Some(header), _) if !token.allows(&header.project) => Some(FORBIDDEN),
        (_, None) => Some("it is no operation"),
        _ if line.len() >= MAX_LINE => Some("it is longer than 64 KiB"),
        _ => None,
    };
    let corrected = match refused {
        Some(reason) => Err(reason),
        None => corrected(line, skew),
    };
    match (corrected, batch.writers.last_mut(), seq) {
        (Ok(text), Some((_, lines)), Some(seq)) => {
            lines.push(text);
            let acked = batch.answer.acked.entry(writer).or_default();
            *acked = seq.max(*acked);
        }
        (outcome, ..) => {
            let reason = outcome.err().unwrap_or("it is no operation");
            let kind = if reason == FORBIDDEN { Kind::Forbidden } else { Kind::Invalid };
            batch.answer.rejected.push(Rejected { writer, seq, reason, kind });
        }
    }
}

fn is_writer(header: &Header) -> bool {
    let hex = header.writer.len() == 32 && header.writer.bytes().all(|byte| byte.is_ascii_hexdigit());
    hex && !header.project.trim().is_empty()
}

/// A line with its times by our clock. What only a newer program knows stays as it is.
fn corrected(line: &str, skew: i64) -> Result<String, &'static str> {
    let Parsed::Line(mut parsed) = operation::parse(line).map_err(|_| "it is no operation")? else {
        return Ok(line.to_owned());
    };
    if skew == 0 {
        return Ok(line.to_owned());
    }
    parsed.t = parsed.t.plus(skew);
    parsed.at = parsed.at.map(|at| at.plus(skew));
    serde_json::to_string(&parsed).map_err(|_| "it is no operation")
}

/// Leaves a batch to the replica that has the source.
fn deliver(batch: Batch, lease: &Lease, source: &str) -> std::io::Result<Answer> {
    for (header, lines) in batch.writers {
        let text = Delivery { header, lines }.text()?;
        lease.deliver(&delivery_id(), source, &text).map_err(|error| std::io::Error::other(error.full()))?;
    }
    Ok(batch.answer)
}

/// A new name for what is delivered.
pub(super) fn delivery_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// Writes a batch, durably.
fn store(batch: Batch, path: &str) -> std::io::Result<Answer> {
    let lane = StateDir::open(path)?.received()?;
    for (header, lines) in &batch.writers {
        receive(&lane, header, lines)?;
    }
    Ok(batch.answer)
}

#[cfg(test)]
mod tests {
    use contextcore_core::config::SecretRef;

    use super::*;

    const WRITER: &str = "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f";

    fn config(projects: &[&str]) -> OpsToken {
        let projects = projects.iter().map(ToString::to_string).collect();
        OpsToken { name: "ci".into(), token: SecretRef::Env("TOKEN".into()), projects, human: false }
    }

    fn header(project: &str) -> String {
        format!(r#"{{"v":1,"writer":"{WRITER}","project":"{project}"}}"#)
    }

    fn line(seq: u64) -> String {
        format!(r#"{{"v":1,"seq":{seq},"t":"2026-11-26T20:00:00.000Z","op":"task.complete","task":"a"}}"#)
    }

    #[test]
    fn lines_are_taken_for_the_projects_of_the_token_only() {
        let body =
            [line(9), header("shop"), line(1), line(2), "{".into(), r#"{"seq":4}"#.into(), header("other"), line(3)]
                .join("\n");
        let batch = read(&body, Millis(0), &config(&["shop"]));
        assert_eq!(batch.answer.acked, BTreeMap::from([(WRITER.to_owned(), 2)]));
        let reasons: Vec<_> = batch.answer.rejected.iter().map(|one| (one.seq, one.reason, one.kind)).collect();
        assert_eq!(
            reasons,
            [
                (Some(9), "no header comes before it", Kind::Invalid),
                (None, "it is no operation", Kind::Invalid),
                (Some(4), "it is no operation", Kind::Invalid),
                (Some(3), "the token may not report for this project", Kind::Forbidden),
            ]
        );
        assert_eq!(batch.writers.len(), 1);
        assert_eq!(read(&body, Millis(0), &config(&["*"])).answer.acked[WRITER], 3);
    }

    #[test]
    fn a_clock_that_differs_much_is_corrected() {
        let now = Millis::parse("2026-11-26T21:00:00Z").unwrap();
        let sent = |at: &str| format!(r#"{{"v":1,"sent":"{at}"}}"#);
        let times = |at: &str| {
            let body = [sent(at), header("shop"), line(1)].join("\n");
            let text = read(&body, now, &config(&["shop"])).writers[0].1[0].clone();
            serde_json::from_str::<serde_json::Value>(&text).unwrap()["t"].as_str().unwrap().to_owned()
        };
        assert_eq!(times("2026-11-26T20:59:56Z"), "2026-11-26T20:00:00.000Z");
        assert_eq!(times("2026-11-26T20:00:00Z"), "2026-11-26T21:00:00.000Z");
    }

    #[test]
    fn a_token_that_cannot_be_read_is_no_fault_of_the_service() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ci"), "s3cret").unwrap();
        let token = |name: &str| OpsToken {
            token: SecretRef::File(dir.path().join(name)),
            name: name.into(),
            ..config(&["*"])
        };
        let config = OpsConfig { tokens: vec![token("missing"), token("ci")] };
        let headers = |value: &str| HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
        assert_eq!(proven(&config, &headers("Bearer s3cret")).unwrap().name, "ci");
        assert_eq!(proven(&config, &headers("Bearer wrong")).unwrap_err().0, StatusCode::UNAUTHORIZED);
    }

    #[test]
    fn a_token_may_not_report_too_much() {
        let budgets = Mutex::default();
        assert!(spend(&budgets, "ci", 20_000).is_ok());
        assert_eq!(spend(&budgets, "ci", 15_000).unwrap_err().0, StatusCode::TOO_MANY_REQUESTS);
        assert!(spend(&budgets, "other", 20_000).is_ok());
    }

    #[test]
    fn a_batch_says_who_sent_it_whatever_its_header_says() {
        let forged = header("shop").replace("}", r#","origin":{"who":"ada","human":true}}"#);
        let batch = read(&[forged, line(1)].join("\n"), Millis(0), &config(&["shop"]));
        assert_eq!(batch.writers[0].0.origin, Some(Origin { who: "ci".into(), human: false }));
    }

    #[test]
    fn what_is_acknowledged_is_in_the_spool_and_counts_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state").display().to_string();
        for _ in 0..2 {
            let batch = read(&[header("shop"), line(1)].join("\n"), Millis(0), &config(&["shop"]));
            store(batch, &path).unwrap();
        }
        let lane = StateDir::at(&path).received().unwrap();
        let reader = contextcore_spool::Reader::new(vec![lane.spool()], 10);
        let lines = reader.read(&contextcore_spool::Cursor::new()).unwrap().lines;
        assert!(lines.len() == 2 && lines.iter().all(|line| line.writer == WRITER), "{lines:?}");
    }
}
