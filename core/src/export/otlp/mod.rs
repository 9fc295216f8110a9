//! OTLP: one batch, one attempt, one answer, and the retry policy around them.
//!
//! Read [`Sink`] (one attempt) and [`Delivery`] (the retry policy) first. [`connect`] makes the sinks, over gRPC or
//! HTTP/protobuf; [`transport`] only the connection. [`TraceBudget`] says when a batch of traces may be sent. What to
//! send, and moving a signal's position, is left to the exporter.

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

/// A backend's answer to a batch that it accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It accepted all of it.
    Accepted,
    /// It accepted all but `rejected` items (OTLP `partial_success`), which must not be sent again. Zero rejected is a
    /// warning.
    Partial { rejected: u64, reason: String },
}

/// A destination for batches.
///
/// - `export` makes one attempt and never retries; [`Delivery`] does that.
/// - An error has kind [`ErrorKind::Export`]; [`Error::retry`] says whether the same batch may be accepted later.
/// - The context `ambiguous` is `"true"` when the batch may have been stored without an answer.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Sends `batch` once.
    async fn export(&self, batch: &Batch) -> Result<Outcome>;

    /// The protocol and address for people, without secrets: `otlp/grpc http://127.0.0.1:4317`.
    fn describe(&self) -> String;
}

const USER_AGENT: &str = concat!("contextcore/", env!("CARGO_PKG_VERSION"));

/// Where and how to send OTLP.
#[derive(Clone)]
pub struct OtlpTarget {
    /// `http://` or `https://`, without credentials, e.g. `http://127.0.0.1:4317`.
    pub url: String,
    pub protocol: Protocol,
    /// Headers of every request. The values may be secret and are never printed.
    pub headers: Vec<(String, String)>,
    /// A PEM file with a private CA to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// The longest time for one request.
    pub timeout: Duration,
    /// Whether to compress requests.
    pub gzip: bool,
}

impl OtlpTarget {
    /// The target of `signal`, with its headers read now; `None` when the signal is not sent.
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

    /// A target without headers, private CA or compression, and with 30 s per request.
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

/// The sink for `signal` at `target`. Contacts nothing before the first export. Needs a tokio runtime.
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

/// The header values that a backend might quote in its answers, whole and without their scheme (`Basic`, `Bearer`).
fn known_secrets(target: &OtlpTarget) -> KnownSecrets {
    let forms = |value: &str| [value.to_owned(), value.rsplit(' ').next().unwrap_or_default().to_owned()];
    KnownSecrets::new(target.headers.iter().flat_map(|(_, value)| forms(value.trim())))
}

/// The connection to a backend, for code that speaks OTLP by other means than a [`Sink`] (the OpenTelemetry SDK). TLS,
/// private CA, proxies and headers are set; timeouts are not.
pub enum Transport {
    /// For gRPC. Opens when first needed.
    Grpc {
        /// The connection.
        channel: tonic::transport::Channel,
        /// The metadata of every request.
        metadata: tonic::metadata::MetadataMap,
    },
    /// For HTTP with protobuf bodies.
    Http {
        /// The client. It follows no redirect.
        client: reqwest::Client,
        /// The headers of every request.
        headers: HeaderMap,
    },
}

/// The connection to `target`. Contacts nothing yet and needs a tokio runtime, like [`connect`].
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

/// Parses a target's URL, and rejects what would silently not work.
fn parse_url(target: &OtlpTarget) -> Result<Uri> {
    let refuse = |why: &str| Error::new(ErrorKind::Config, format!("use the OTLP endpoint: {why}"));
    let url: Uri = target
        .url
        .trim()
        .parse()
        .map_err(|error: ::http::uri::InvalidUri| refuse("it is not a URL").caused_by(error))?;
    // The URL is named only once it is known to hold no credential.
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

/// Parses the configured headers. Values are marked sensitive, so that no debug output shows them.
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

/// The count and the message of `partial_success` in an encoded answer. The fields are the same for all three signals.
/// An answer that cannot be decoded counts as none, because the status was a success.
fn partial(answer: impl Buf) -> Option<(i64, String)> {
    let partial = ExportTraceServiceResponse::decode(answer).ok()?.partial_success?;
    Some((partial.rejected_spans, partial.error_message))
}

/// The outcome that a `partial_success` describes. Our own secrets are masked in its message.
fn outcome(partial: Option<(i64, String)>, known: &KnownSecrets) -> Outcome {
    match partial {
        Some((rejected, reason)) if rejected > 0 || !reason.is_empty() => {
            let reason = answer::one_line(&known.mask(&reason));
            Outcome::Partial { rejected: u64::try_from(rejected).unwrap_or(0), reason }
        }
        _ => Outcome::Accepted,
    }
}

/// A sink that accepts and counts everything, for a demo without an endpoint and for dry runs.
#[derive(Debug, Default)]
pub struct CountingSink {
    items: Mutex<[u64; 3]>,
}

impl CountingSink {
    /// The number of items of `signal` it accepted.
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
