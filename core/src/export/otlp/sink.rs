//! One attempt to send one batch: the trait of those that make it, and the outcomes.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::{Buf, Bytes};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use prost::encoding::WireType::{self, LengthDelimited, Varint};
use prost::encoding::{decode_key, decode_varint};

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
/// `None` when it is no `Export*ServiceResponse`: protobuf skips fields that a message does not have, so that any other
/// message, and much garbage, would be decoded as an empty answer.
pub(super) fn partial(mut answer: impl Buf) -> Option<Option<(i64, String)>> {
    let answer = answer.copy_to_bytes(answer.remaining());
    let is_response = has_only(answer.clone(), |tag, wire, content| {
        let is_partial = || has_only(content, |tag, wire, _| matches!((tag, wire), (1, Varint) | (2, LengthDelimited)));
        (tag, wire) == (1, LengthDelimited) && is_partial()
    });
    let partial = ExportTraceServiceResponse::decode(answer).ok().filter(|_| is_response)?.partial_success;
    Some(partial.map(|partial| (partial.rejected_spans, partial.error_message)))
}

/// Whether a message consists of allowed fields, each shown as its tag, its wire type and, for bytes, its content.
fn has_only(mut message: Bytes, allowed: impl Fn(u32, WireType, Bytes) -> bool) -> bool {
    while message.has_remaining() {
        let Ok((tag, wire)) = decode_key(&mut message) else { return false };
        let content = match wire {
            LengthDelimited => {
                let length = decode_varint(&mut message).ok().and_then(|length| usize::try_from(length).ok());
                let Some(length) = length.filter(|length| *length <= message.len()) else { return false };
                message.split_to(length)
            }
            Varint if decode_varint(&mut message).is_ok() => Bytes::new(),
            _ => return false,
        };
        if !allowed(tag, wire, content) {
            return false;
        }
    }
    true
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

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;

    use super::*;

    #[test]
    fn only_an_otlp_answer_is_read() {
        let partial_success =
            Some(ExportTracePartialSuccess { rejected_spans: 3, error_message: "too big".to_owned() });
        let encoded = ExportTraceServiceResponse { partial_success }.encode_to_vec();
        assert_eq!(partial(encoded.as_slice()), Some(Some((3, "too big".to_owned()))));
        assert_eq!(partial(&[][..]), Some(None));
        assert_eq!(partial(&[0x0a, 0][..]), Some(Some((0, String::new()))));
        // Cut, text, a `google.rpc.Status` with a message, and a field that no answer has.
        for garbage in [&encoded[..5], b"hello, world", b"ok", &[0x12, 2, b'n', b'o'], &[0x18, 1]] {
            assert_eq!(partial(garbage), None, "{garbage:?}");
        }
    }
}
