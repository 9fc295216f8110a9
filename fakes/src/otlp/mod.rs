//! An OTLP backend for tests and the demo: accepts everything over gRPC and HTTP, shows it flat, and fails on request.
//!
//! [`Collector::start`] listens on two ports of the loopback interface and gives a [`Handle`]: what came in
//! ([`Handle::spans`], [`Handle::logs`], [`Handle::points`], [`Handle::requests`]), and what shall go wrong
//! ([`Handle::script`], [`Handle::refuse_for`]). The answers are shaped like those measured on Tempo, Loki and Prometheus.
//! It checks no credentials and keeps nothing beyond its own life.

mod port;
mod serve;
mod view;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::Code;

pub use view::{Attributes, Event, Link, Log, Point, PointKind, PointValue, Span, SpanStatus};

/// The three kinds of telemetry.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Signal {
    Traces,
    Logs,
    Metrics,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Logs, Self::Metrics];

    /// The name in URLs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Logs => "logs",
            Self::Metrics => "metrics",
        }
    }
}

/// Which of its two ports a request came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    Grpc,
    Http,
}

/// How a collector behaves from the start.
#[derive(Clone, Debug)]
pub struct Options {
    /// Keep what was received. Without, it only counts, which is cheap enough for tens of thousands of spans a second.
    pub keep: bool,
    /// Keep the bytes of every stored message, for [`Handle::take_messages`].
    pub record: bool,
    /// The largest message it takes, in bytes once decompressed; 4 MiB as gRPC receivers have it.
    pub max_message: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { keep: true, record: false, max_message: 4 * 1024 * 1024 }
    }
}

/// What shall happen to a request instead of an acceptance.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Refused, nothing stored: an HTTP status or a gRPC code with a text, and when to come back if that is known.
    Refuse { http: u16, grpc: Code, text: String, after: Option<Duration> },
    /// Nothing stored, and any answer at all: a login page, garbage, an odd status. Over gRPC, `body` is the whole body, frames
    /// included, and there are no trailers.
    Answer { status: u16, content_type: Option<&'static str>, body: Bytes },
    /// The first `rejected` items are not stored, and the answer says so.
    Partial { rejected: usize, reason: String },
    /// Stored, but the connection breaks before the answer.
    StoreThenDrop,
    /// The connection breaks, nothing stored.
    Drop,
    /// Stored at once, answered after this long.
    Slow(Duration),
    /// Stored and answered after this long; not stored when the client is gone by then.
    Late(Duration),
}

impl Fault {
    /// HTTP 503 or gRPC UNAVAILABLE, with a time to come back if given.
    pub fn unavailable(after: Option<Duration>) -> Self {
        Self::refuse(503, Code::Unavailable, "upstream is starting", after)
    }

    /// HTTP 429 or gRPC RESOURCE_EXHAUSTED, as Tempo answers above its ingestion rate.
    pub fn rate_limited(after: Option<Duration>) -> Self {
        Self::refuse(
            429,
            Code::ResourceExhausted,
            "RATE_LIMITED: ingestion rate limit (local: 30000000 bytes/s)",
            after,
        )
    }

    /// HTTP 400 or gRPC INVALID_ARGUMENT.
    pub fn bad_request(text: &str) -> Self {
        Self::refuse(400, Code::InvalidArgument, text, None)
    }

    /// HTTP 500 or gRPC INTERNAL.
    pub fn server_error(text: &str) -> Self {
        Self::refuse(500, Code::Internal, text, None)
    }

    /// HTTP 401 or gRPC UNAUTHENTICATED.
    pub fn unauthenticated() -> Self {
        Self::refuse(401, Code::Unauthenticated, "no org id", None)
    }

    /// A login page instead of an answer, as hotels and proxies send it.
    pub fn login_page() -> Self {
        let body = Bytes::from_static(b"<!DOCTYPE html><html><body>Please log in</body></html>");
        Self::Answer { status: 200, content_type: Some("text/html; charset=utf-8"), body }
    }

    /// Any other refusal.
    pub fn refuse(http: u16, grpc: Code, text: &str, after: Option<Duration>) -> Self {
        Self::Refuse { http, grpc, text: text.to_owned(), after }
    }
}

/// One request that was stored, flat. Only the list of its signal is filled.
#[derive(Clone, Debug)]
pub struct Received {
    pub signal: Signal,
    pub at: Instant,
    pub spans: Vec<Span>,
    pub logs: Vec<Log>,
    pub points: Vec<Point>,
}

/// One request that arrived, whatever became of it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub signal: Signal,
    pub protocol: Protocol,
    /// The path it was sent to.
    pub path: String,
    pub headers: http::HeaderMap,
    /// The size of the message, decompressed.
    pub bytes: usize,
    /// Spans, log records or data points.
    pub items: usize,
    pub at: Instant,
}

/// Totals since the start. Items count once stored, requests always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub requests: u64,
    pub bytes: u64,
    pub spans: u64,
    pub logs: u64,
    pub points: u64,
}

/// An OTLP backend that lives in this process.
pub struct Collector;

impl Collector {
    /// Starts listening on two free ports of 127.0.0.1. Needs a tokio runtime with I/O and time.
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn start(options: Options) -> std::io::Result<Handle> {
        let state = Arc::new(State::new(options));
        let (http, http_switch) = port::open(Protocol::Http).await?;
        let (grpc, grpc_switch) = port::open(Protocol::Grpc).await?;
        let addresses = (http.address(), grpc.address());
        let mut tasks = JoinSet::new();
        tasks.spawn(serve::http(http, state.clone()));
        tasks.spawn(serve::grpc(grpc, state.clone()));
        Ok(Handle { state, addresses, switches: [http_switch, grpc_switch], _tasks: tasks })
    }
}

/// A running [`Collector`]; it ends when this is dropped.
pub struct Handle {
    state: Arc<State>,
    addresses: (SocketAddr, SocketAddr),
    switches: [port::Switch; 2],
    _tasks: JoinSet<()>,
}

impl Handle {
    /// The base URL for OTLP over HTTP. Any path under it that ends in `/v1/traces`, `/v1/logs` or `/v1/metrics` works.
    pub fn http_url(&self) -> String {
        format!("http://{}", self.addresses.0)
    }

    /// The URL for OTLP over gRPC.
    pub fn grpc_url(&self) -> String {
        format!("http://{}", self.addresses.1)
    }

    /// Faults for the next requests, one each, in this order and after those already asked for.
    pub fn script(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state.lock().script.extend(faults.into_iter().map(|fault| (None, fault)));
    }

    /// The same for the next requests of one signal; the others pass it by.
    pub fn script_for(&self, signal: Signal, faults: impl IntoIterator<Item = Fault>) {
        self.state.lock().script.extend(faults.into_iter().map(|fault| (Some(signal), fault)));
    }

    /// A fault for every request of `signal` that no script covers; `None` ends that.
    pub fn always(&self, signal: Signal, fault: Option<Fault>) {
        self.state.lock().always[signal as usize] = fault;
    }

    /// Closes both ports and every connection, and opens the ports again after `pause`. Returns once they are closed.
    pub async fn refuse_for(&self, pause: Duration) {
        for switch in &self.switches {
            switch.close_for(pause).await;
        }
    }

    /// Every stored request, oldest first.
    pub fn received(&self) -> Vec<Received> {
        self.state.lock().received.clone()
    }

    /// Every request, stored or not, oldest first.
    pub fn requests(&self) -> Vec<Seen> {
        self.state.lock().requests.clone()
    }

    /// Every stored span, in order of arrival.
    pub fn spans(&self) -> Vec<Span> {
        self.state.lock().received.iter().flat_map(|one| one.spans.iter().cloned()).collect()
    }

    /// Every stored log record, in order of arrival.
    pub fn logs(&self) -> Vec<Log> {
        self.state.lock().received.iter().flat_map(|one| one.logs.iter().cloned()).collect()
    }

    /// Every stored data point, in order of arrival.
    pub fn points(&self) -> Vec<Point> {
        self.state.lock().received.iter().flat_map(|one| one.points.iter().cloned()).collect()
    }

    /// The totals so far.
    pub fn counts(&self) -> Counts {
        *self.state.counts.borrow()
    }

    /// Waits until `enough` holds for the totals; false when it did not within `limit`.
    pub async fn wait(&self, limit: Duration, mut enough: impl FnMut(&Counts) -> bool) -> bool {
        let mut counts = self.state.counts.subscribe();
        matches!(tokio::time::timeout(limit, counts.wait_for(|counts| enough(counts))).await, Ok(Ok(_)))
    }

    /// Takes out the stored messages as protobuf, oldest first, so that they can be sent once more. Empty without
    /// [`Options::record`].
    pub fn take_messages(&self) -> Vec<(Signal, Bytes)> {
        std::mem::take(&mut self.state.lock().messages)
    }

    /// Answers a request over HTTP that comes by no connection, for simulations. A body that ends with an error is a connection
    /// that broke.
    pub fn answer(
        &self,
        request: http::Request<Bytes>,
    ) -> impl Future<Output = http::Response<axum::body::Body>> + Send + use<> {
        serve::detached(Arc::clone(&self.state), request.map(axum::body::Body::from))
    }

    /// Forgets what was received; totals and scripts stay.
    pub fn clear(&self) {
        let mut inner = self.state.lock();
        inner.received.clear();
        inner.requests.clear();
    }
}

/// What both servers share.
struct State {
    options: Options,
    inner: Mutex<Inner>,
    counts: watch::Sender<Counts>,
}

#[derive(Default)]
struct Inner {
    script: VecDeque<(Option<Signal>, Fault)>,
    always: [Option<Fault>; 3],
    received: Vec<Received>,
    requests: Vec<Seen>,
    messages: Vec<(Signal, Bytes)>,
}

/// What the servers answer.
enum Reply {
    Taken,
    Partial { rejected: i64, reason: String },
    Refused { http: u16, grpc: Code, text: String, after: Option<Duration> },
    Any(serve::AnyAnswer),
}

impl State {
    fn new(options: Options) -> Self {
        Self { options, inner: Mutex::default(), counts: watch::Sender::new(Counts::default()) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Accepts one request, or does what the script says. `cut` breaks the connection it came by.
    async fn receive(&self, message: impl view::Export, seen: Seen, cut: Option<&port::Cut>) -> Reply {
        let (signal, bytes) = (seen.signal, seen.bytes);
        let fault = self.note(seen);
        if bytes > self.options.max_message {
            return too_large(bytes, self.options.max_message);
        }
        match fault {
            Some(Fault::Refuse { http, grpc, text, after }) => return Reply::Refused { http, grpc, text, after },
            Some(Fault::Answer { status, content_type, body }) => {
                return Reply::Any(serve::AnyAnswer { status, content_type, body });
            }
            Some(Fault::Drop) => port::Cut::now(cut),
            Some(Fault::Partial { rejected, reason }) => {
                self.store(signal, message, rejected);
                return Reply::Partial { rejected: i64::try_from(rejected).unwrap_or(i64::MAX), reason };
            }
            Some(Fault::StoreThenDrop) => {
                self.store(signal, message, 0);
                port::Cut::now(cut);
            }
            Some(Fault::Slow(pause)) => {
                self.store(signal, message, 0);
                tokio::time::sleep(pause).await;
            }
            Some(Fault::Late(pause)) => {
                tokio::time::sleep(pause).await;
                self.store(signal, message, 0);
            }
            None => self.store(signal, message, 0),
        }
        Reply::Taken
    }

    /// Counts a request and gives the fault meant for it.
    fn note(&self, seen: Seen) -> Option<Fault> {
        self.counts.send_modify(|counts| {
            counts.requests += 1;
            counts.bytes += seen.bytes as u64;
        });
        let mut inner = self.lock();
        let signal = seen.signal;
        if self.options.keep {
            inner.requests.push(seen);
        }
        let place = inner.script.iter().position(|(only, _)| only.is_none_or(|only| only == signal));
        let scripted = place.and_then(|place| inner.script.remove(place)).map(|(_, fault)| fault);
        scripted.or_else(|| inner.always[signal as usize].clone())
    }

    /// Keeps a message, but for its first `rejected` items.
    fn store(&self, signal: Signal, message: impl view::Export, rejected: usize) {
        let stored = message.items().saturating_sub(rejected) as u64;
        if self.options.record {
            self.lock().messages.push((signal, message.encode_to_vec().into()));
        }
        if self.options.keep {
            let mut one =
                Received { signal, at: Instant::now(), spans: Vec::new(), logs: Vec::new(), points: Vec::new() };
            message.flatten(&mut one);
            one.spans.drain(..rejected.min(one.spans.len()));
            one.logs.drain(..rejected.min(one.logs.len()));
            one.points.drain(..rejected.min(one.points.len()));
            self.lock().received.push(one);
        }
        self.counts.send_modify(|counts| match signal {
            Signal::Traces => counts.spans += stored,
            Signal::Logs => counts.logs += stored,
            Signal::Metrics => counts.points += stored,
        });
    }
}

/// As Go's gRPC and Go's HTTP servers say it.
fn too_large(bytes: usize, limit: usize) -> Reply {
    let text = format!("grpc: received message larger than max ({bytes} vs. {limit})");
    Reply::Refused { http: 413, grpc: Code::ResourceExhausted, text, after: None }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
    use prost::Message;

    use super::*;

    #[tokio::test]
    async fn recorded_messages_are_those_that_were_stored_and_are_taken_once() {
        let collector = Collector::start(Options { record: true, ..Options::default() }).await.unwrap();
        let mut client = TraceServiceClient::connect(collector.grpc_url()).await.unwrap();
        let named = |name: &str| {
            let spans = vec![Span { name: name.to_owned(), span_id: vec![7; 8], ..Span::default() }];
            let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
            let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
            ExportTraceServiceRequest { resource_spans }
        };
        collector.script([Fault::unavailable(None)]);
        client.export(named("refused")).await.unwrap_err();
        client.export(named("stored")).await.unwrap();
        let messages = collector.take_messages();
        assert_eq!(messages, [(Signal::Traces, Bytes::from(named("stored").encode_to_vec()))]);
        assert!(collector.take_messages().is_empty());
    }
}
