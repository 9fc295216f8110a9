//! One attempt to send one batch: the trait of those that make it, and the outcomes.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Buf;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;

use super::answer;
use super::batch::Batch;
use crate::http::redact::KnownSecrets;
use crate::lock;
use crate::model::error::Result;
use crate::model::signal::Signal;

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
/// - `export` makes one attempt and never retries; [`Delivery`](super::Delivery) does that.
/// - An error has kind [`crate::ErrorKind::Export`]; [`crate::Error::retry`] says whether the same batch may be accepted later.
/// - The context `ambiguous` is `"true"` when the batch may have been stored without an answer.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Sends `batch` once.
    async fn export(&self, batch: &Batch) -> Result<Outcome>;

    /// The protocol and address for people, without secrets: `otlp/grpc http://127.0.0.1:4317`.
    fn describe(&self) -> String;
}

/// The count and the message of `partial_success` in an encoded answer. The fields are the same for all three signals.
/// An answer that cannot be decoded counts as none, because the status was a success.
pub(super) fn partial(answer: impl Buf) -> Option<(i64, String)> {
    let partial = ExportTraceServiceResponse::decode(answer).ok()?.partial_success?;
    Some((partial.rejected_spans, partial.error_message))
}

/// The outcome that a `partial_success` describes. Our own secrets are masked in its message.
pub(super) fn outcome(partial: Option<(i64, String)>, known: &KnownSecrets) -> Outcome {
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
impl<S: Sink + ?Sized> Sink for Arc<S> {
    async fn export(&self, batch: &Batch) -> Result<Outcome> {
        (**self).export(batch).await
    }

    fn describe(&self) -> String {
        (**self).describe()
    }
}
