//! OTLP: one batch, one attempt, one answer, and the retry policy around them.
//!
//! Read [`Sink`] (one attempt), [`Delivery`] (attempts until it is settled) and `policy` (what a failure leads to) first. [`connect`] makes the sinks, over gRPC or
//! HTTP/protobuf; [`transport`] only the connection. [`TraceBudget`] says when a batch of traces may be sent. What to
//! send, and moving a signal's position, is left to the exporter.

mod answer;
mod batch;
mod budget;
mod delivery;
mod grpc;
mod http;
mod policy;
pub(crate) mod protobuf;
mod reason;
mod sink;
mod target;
#[cfg(test)]
mod tests;

use ::http::HeaderMap;

pub use answer::hint;
pub use batch::{Batch, MAX_BATCH_BYTES, MAX_BATCH_SPANS, TraceId, within_limits};
pub(crate) use batch::{Heading, Kind};
pub use budget::{Admission, MAX_LIVE_TRACES, TRACE_WINDOW, TraceBudget};
pub use delivery::{Delivered, Delivery, RefusedBatch, Trouble};
pub use policy::{ProgressDeadline, RetryPolicy};
pub use reason::Reason;
pub use sink::{CountingSink, Outcome, Sink};
pub use target::OtlpTarget;

use crate::model::error::Result;
pub use crate::model::signal::{Protocol, Signal};
use target::{parse_headers, parse_url};

/// The sink for `signal` at `target`. Contacts nothing before the first export. Needs a tokio runtime.
///
/// # Errors
/// [`crate::ErrorKind::Config`] when the URL, a header or the CA file cannot be used.
pub fn connect(target: &OtlpTarget, signal: Signal) -> Result<Box<dyn Sink>> {
    let url = parse_url(target)?;
    let headers = parse_headers(&target.headers)?;
    Ok(match target.protocol {
        Protocol::Grpc => Box::new(grpc::GrpcSink::new(target, &url, headers, signal)?),
        Protocol::HttpProtobuf => Box::new(http::HttpSink::new(target, &url, headers, signal)?),
    })
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
