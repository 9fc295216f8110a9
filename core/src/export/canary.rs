//! Canaries: a marked span, log record and sample, dated in the past, that `check` sends and reads back.
//!
//! An "ok" is not enough: some backends accept old data and then do not return it from a search. Canaries have a
//! project of their own, and their span a role of its own, so that no dashboard counts them.

use bytes::Bytes;
use opentelemetry_proto::tonic::logs::v1::SeverityNumber;

use super::context::{ExportContext, ResourceKey};
use super::message::{self, Attributes, Record, Span};
use crate::config::Config;
use crate::export::otlp::{Batch, Heading, Kind, Signal};
use crate::model::ids::{SpanId, TraceId};
use crate::model::semconv as names;
use crate::model::time::{HOUR, Millis};

/// The project of canaries.
pub const PROJECT: &str = "contextcore-canary";
/// The source name of canaries.
pub const SOURCE: &str = "contextcore-check";
/// The role of a canary span.
pub const ROLE: &str = "canary";

/// The canaries of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Canary {
    /// The number in all of them.
    mark: u64,
}

impl Canary {
    /// Canaries that differ from those of every other check: they carry the moment of the check.
    pub fn new(now: Millis) -> Self {
        Self { mark: now.0.cast_unsigned() }
    }

    /// The `task.id` of span and record.
    pub fn task_id(self) -> String {
        format!("CANARY-{}", self.mark)
    }

    /// The value of the sample.
    #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
    pub fn value(self) -> f64 {
        (self.mark % 1_000_000_000) as f64
    }

    fn trace(self) -> [u8; 16] {
        let mut id = *b"canary\0\0\0\0\0\0\0\0\0\0";
        id[8..].copy_from_slice(&self.mark.to_be_bytes());
        id
    }

    /// The id of the span's trace, in hexadecimal.
    pub fn trace_id(self) -> String {
        self.trace().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn attributes(self) -> Attributes {
        Attributes::new().text(names::TASK_ID, &self.task_id())
    }

    /// A span of one hour from `at`.
    pub fn span(self, config: &Config, at: Millis) -> Batch {
        let id = SpanId(self.mark.to_be_bytes());
        let attributes = self.attributes().text(names::ROLE, ROLE);
        let span = Span { attributes, ..Span::new(id, self.task_id(), at, at.plus(HOUR)) };
        let span = span.encode().into_trace(TraceId(self.trace()));
        let mut batch = Batch::empty(Signal::Traces);
        batch.add_spans(resource(config, false), message::scope(), [(self.trace(), span)]);
        batch
    }

    /// A log record at `at`, in the stream of back-dated records.
    pub fn record(self, config: &Config, at: Millis) -> Batch {
        let record = Record {
            at,
            severity: SeverityNumber::Info,
            name: names::CANARY,
            body: &format!("{} sent by `contextcore check`", self.task_id()),
            attributes: self.attributes(),
            span: None,
        };
        let mut batch = Batch::empty(Signal::Logs);
        batch.add_records(resource(config, true), message::scope(), &[record.encode()]);
        batch
    }

    /// A sample at `at`.
    pub fn sample(self, config: &Config, at: Millis) -> Batch {
        let point = message::number_point(at, self.value());
        let metric = names::M_CANARY;
        let mut batch = Batch::empty(Signal::Metrics);
        batch.begin_points(resource(config, false), message::scope());
        batch.add_point(&Heading::new(metric.name, metric.about, metric.unit, Kind::Gauge), &[], &point);
        batch
    }
}

fn resource(config: &Config, backfill: bool) -> Bytes {
    ExportContext::new(config).resource(&ResourceKey {
        project_id: PROJECT.into(),
        source: SOURCE.into(),
        backfill,
        is_lasting: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn canaries_of_two_checks_differ() {
        let config = config::parse("{}", "x.yaml", &[]).unwrap();
        let (one, other) = (Canary::new(Millis(1_795_000_000_001)), Canary::new(Millis(1_795_000_000_002)));
        assert_ne!((one.task_id(), one.trace_id()), (other.task_id(), other.trace_id()));
        let at = Millis(1_770_000_000_000);
        assert_eq!(one.trace_id(), "63616e61727900000000".to_owned() + &one.trace_id()[20..]);
        for batch in [one.span(&config, at), one.record(&config, at), one.sample(&config, at)] {
            assert_eq!(batch.items(), 1);
            assert_ne!(batch.encode(), Batch::empty(batch.signal()).encode());
        }
    }
}
