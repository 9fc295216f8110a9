//! Where telemetry goes: one batch, one attempt, one answer; and the policy that makes a delivery of it.
//!
//! Read [`Sink`] (one attempt) and [`Delivery`] (the retry policy around it) first. [`connect`] makes the OTLP sinks, over
//! gRPC or HTTP/protobuf, [`transport`] only what lies under them; [`TraceBudget`] says when a batch of traces may go. What to send, and moving a signal's position
//! once it was taken, is the replay's business.

mod answer;
mod batch;
mod budget;
mod delivery;
mod grpc;
mod http;
pub(crate) mod protobuf;
mod reason;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use ::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use async_trait::async_trait;
use bytes::Buf;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;

pub use answer::hint;
pub use batch::{Batch, MAX_BATCH_BYTES, MAX_BATCH_SPANS, TraceId, within_limits};
pub(crate) use batch::{Heading, Kind};
pub use budget::{Admission, MAX_LIVE_TRACES, TRACE_WINDOW, TraceBudget};
pub use delivery::{Delivered, Delivery, ProgressDeadline, RefusedBatch, RetryPolicy};
pub use reason::Reason;

use crate::config::{OtlpConfig, Resolve};
use crate::http::redact::KnownSecrets;
use crate::lock;
use crate::model::error::{Error, ErrorKind, Result};
pub use crate::model::signal::{Protocol, Signal};

/// A backend's answer to a batch it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of it.
    Accepted,
    /// All but `rejected` items (OTLP `partial_success`); they must not be sent again. Zero rejected is a mere warning.
    Partial { rejected: u64, reason: String },
}

/// A destination for batches.
///
/// - `export` makes one attempt and never retries; [`Delivery`] does that.
/// - An error has kind [`ErrorKind::Export`]; [`Error::retry`] says whether the same batch may be taken later.
/// - The context `ambiguous` is `"true"` when the batch may have been stored although no answer said so.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Sends `batch` once.
    async fn export(&self, batch: &Batch) -> Result<Outcome>;

    /// What it is and where it sends, for people: `otlp/grpc http://127.0.0.1:4317`. Holds no secret.
    fn describe(&self) -> String;
}

const USER_AGENT: &str = concat!("contextcore/", env!("CARGO_PKG_VERSION"));

/// Where and how to send OTLP.
#[derive(Clone)]
pub struct OtlpTarget {
    /// `http://` or `https://`, without credentials, e.g. `http://127.0.0.1:4317`.
    pub url: String,
    pub protocol: Protocol,
    /// Sent with each request. The values may be secret: they are never printed.
    pub headers: Vec<(String, String)>,
    /// A private CA (PEM) that counts besides the system's.
    pub ca_file: Option<PathBuf>,
    /// How long one request may take.
    pub timeout: Duration,
    /// Whether to compress requests.
    pub gzip: bool,
}

impl OtlpTarget {
    /// Where and how to send `signal`, its headers read now; `None` when it is not sent.
    ///
    /// # Errors
    /// As [`Resolve::resolve`].
    pub fn of(config: &OtlpConfig, signal: Signal) -> Result<Option<Self>> {
        let Some(target) = config.targets.get(&signal) else { return Ok(None) };
        let mut to = Self::new(target.url.clone(), target.protocol);
        for (name, value) in &config.headers {
            to.headers.push((name.clone(), value.resolve()?.expose().to_owned()));
        }
        to.ca_file.clone_from(&config.ca_file);
        Ok(Some(to))
    }

    /// A target without headers, private CA or compression, and 30 s a request.
    pub fn new(url: impl Into<String>, protocol: Protocol) -> Self {
        let timeout = Duration::from_secs(30);
        Self { url: url.into(), protocol, headers: Vec::new(), ca_file: None, timeout, gzip: false }
    }
}

impl fmt::Debug for OtlpTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("OtlpTarget")
            .field("url", &self.url)
            .field("protocol", &self.protocol)
            .field("headers", &names)
            .field("ca_file", &self.ca_file)
            .field("timeout", &self.timeout)
            .field("gzip", &self.gzip)
            .finish()
    }
}

/// The sink for `signal` at `target`. Lazy: nothing is contacted before the first export. Needs a tokio runtime around it.
///
/// # Errors
/// [`ErrorKind::Config`] when the URL, a header or the CA file cannot be used.
pub fn connect(target: &OtlpTarget, signal: Signal) -> Result<Box<dyn Sink>> {
    let url = parse_url(target)?;
    let headers = parse_headers(&target.headers)?;
    Ok(match target.protocol {
        Protocol::Grpc => Box::new(grpc::GrpcSink::new(target, &url, headers, signal)?),
        Protocol::HttpProtobuf => Box::new(http::HttpSink::new(target, &url, headers, signal)?),
    })
}

/// The header values a backend might quote in its answers, whole and without their scheme (`Basic`, `Bearer`).
fn known_secrets(target: &OtlpTarget) -> KnownSecrets {
    let forms = |value: &str| [value.to_owned(), value.rsplit(' ').next().unwrap_or_default().to_owned()];
    KnownSecrets::new(target.headers.iter().flat_map(|(_, value)| forms(value.trim())))
}

/// The way to a backend, for somebody who speaks OTLP by other means than a [`Sink`] (the OpenTelemetry SDK): TLS, private CA,
/// proxies and headers are seen to, time limits of requests are not.
pub enum Transport {
    /// For gRPC; opened when first needed.
    Grpc {
        /// The connection.
        channel: tonic::transport::Channel,
        /// What goes with every request.
        metadata: tonic::metadata::MetadataMap,
    },
    /// For HTTP with protobuf bodies.
    Http {
        /// The client; it follows no redirect.
        client: reqwest::Client,
        /// What goes with every request.
        headers: HeaderMap,
    },
}

/// The way to `target`. Lazy and needing a runtime like [`connect`].
///
/// # Errors
/// As [`connect`].
pub fn transport(target: &OtlpTarget) -> Result<Transport> {
    let url = parse_url(target)?;
    let headers = parse_headers(&target.headers)?;
    Ok(match target.protocol {
        Protocol::Grpc => Transport::Grpc {
            channel: grpc::channel(target, &url)?,
            metadata: tonic::metadata::MetadataMap::from_headers(headers),
        },
        Protocol::HttpProtobuf => {
            Transport::Http { client: http::client(target, &url)?, headers: http::headers(headers, target.gzip) }
        }
    })
}

/// Reads a target's URL, and refuses what would silently not work.
fn parse_url(target: &OtlpTarget) -> Result<Uri> {
    let refuse = |why: &str| Error::new(ErrorKind::Config, format!("use the OTLP endpoint: {why}"));
    let url: Uri =
        target.url.trim().parse().map_err(|error: ::http::uri::InvalidUri| refuse("it is no URL").caused_by(error))?;
    // Named only once it is known to hold no credential.
    let authority =
        url.authority().ok_or_else(|| refuse("it needs a scheme and a host, e.g. http://127.0.0.1:4317"))?;
    if authority.as_str().contains('@') {
        return Err(refuse("credentials belong in `headers`, not in the URL"));
    }
    let named = |why: &str| refuse(why).with("url", &url);
    if !matches!(url.scheme_str(), Some("http" | "https")) {
        return Err(named("its scheme must be http or https"));
    }
    if target.protocol == Protocol::Grpc && !matches!(url.path(), "" | "/") {
        return Err(named("gRPC has no path; with one, the protocol is http/protobuf"));
    }
    if url.query().is_some() {
        return Err(named("it must not have a query"));
    }
    Ok(url)
}

/// Reads the configured headers; values are marked sensitive, so that no debug output shows them.
fn parse_headers(pairs: &[(String, String)]) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let refuse =
            |what: &str| Error::new(ErrorKind::Config, format!("use an OTLP header: {what}")).with("header", name);
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refuse("its name is not a header name"))?;
        let mut value =
            HeaderValue::from_str(value).map_err(|_| refuse("its value has characters a header cannot hold"))?;
        value.set_sensitive(true);
        headers.append(key, value);
    }
    Ok(headers)
}

/// `partial_success` of an encoded answer: its count and its message, which have the same places in the answers of all three
/// signals. One that cannot be decoded counts as none: the status already said yes.
fn partial(answer: impl Buf) -> Option<(i64, String)> {
    let partial = ExportTraceServiceResponse::decode(answer).ok()?.partial_success?;
    Some((partial.rejected_spans, partial.error_message))
}

/// The outcome an OTLP `partial_success` describes: its (signed) count and its message, in which our own secrets are masked.
fn outcome(partial: Option<(i64, String)>, known: &KnownSecrets) -> Outcome {
    match partial {
        Some((rejected, reason)) if rejected > 0 || !reason.is_empty() => {
            let reason = answer::one_line(&known.mask(&reason));
            Outcome::Partial { rejected: u64::try_from(rejected).unwrap_or(0), reason }
        }
        _ => Outcome::Accepted,
    }
}

/// A sink that takes everything and only counts: for a demo without an endpoint, and for dry runs.
#[derive(Debug, Default)]
pub struct CountingSink {
    items: Mutex<[u64; 3]>,
}

impl CountingSink {
    /// How many items of `signal` it took.
    pub fn count(&self, signal: Signal) -> u64 {
        lock(&self.items)[signal as usize]
    }
}

#[async_trait]
impl Sink for CountingSink {
    async fn export(&self, batch: &Batch) -> Result<Outcome> {
        let mut items = lock(&self.items);
        items[batch.signal() as usize] += batch.items() as u64;
        Ok(Outcome::Accepted)
    }

    fn describe(&self) -> String {
        "counting only".to_owned()
    }
}

/// A shared sink is a sink.
#[async_trait]
impl<S: Sink + ?Sized> Sink for std::sync::Arc<S> {
    async fn export(&self, batch: &Batch) -> Result<Outcome> {
        (**self).export(batch).await
    }

    fn describe(&self) -> String {
        (**self).describe()
    }
}
