//! A rendered batch of one signal: how big it is, and how to halve it without losing where its items belong.

use std::collections::HashSet;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, Gauge, Histogram, Metric, ResourceMetrics, ScopeMetrics, Sum, Summary,
};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use prost::Message;

use super::Signal;

/// The largest request we send, in encoded bytes: below the 4 MiB every gRPC receiver allows by default.
pub const MAX_BATCH_BYTES: usize = 3 * 1024 * 1024;
/// The most spans in one request.
pub const MAX_BATCH_SPANS: usize = 2_000;

/// The id of a trace, as it goes on the wire.
pub type TraceId = [u8; 16];

/// One request's worth of one signal, ready to send.
#[derive(Clone, Debug, PartialEq)]
pub enum Batch {
    Traces(ExportTraceServiceRequest),
    Logs(ExportLogsServiceRequest),
    Metrics(ExportMetricsServiceRequest),
}

impl Batch {
    /// Which signal it carries.
    pub const fn signal(&self) -> Signal {
        match self {
            Self::Traces(_) => Signal::Traces,
            Self::Logs(_) => Signal::Logs,
            Self::Metrics(_) => Signal::Metrics,
        }
    }

    /// A batch with nothing in it: enough to prove an address and a credential.
    pub fn empty(signal: Signal) -> Self {
        match signal {
            Signal::Traces => Self::Traces(ExportTraceServiceRequest::default()),
            Signal::Logs => Self::Logs(ExportLogsServiceRequest::default()),
            Signal::Metrics => Self::Metrics(ExportMetricsServiceRequest::default()),
        }
    }

    /// How many spans, log records or data points it holds: the unit in which a backend rejects.
    pub fn items(&self) -> usize {
        match self {
            Self::Traces(request) => request.resource_spans.iter().map(spans_in).sum(),
            Self::Logs(request) => request.resource_logs.iter().map(logs_in).sum(),
            Self::Metrics(request) => request.resource_metrics.iter().map(points_in).sum(),
        }
    }

    /// Its size on the wire, uncompressed, in bytes.
    pub fn encoded_len(&self) -> usize {
        match self {
            Self::Traces(request) => request.encoded_len(),
            Self::Logs(request) => request.encoded_len(),
            Self::Metrics(request) => request.encoded_len(),
        }
    }

    /// The distinct traces its spans belong to; empty for logs and metrics.
    pub fn trace_ids(&self) -> HashSet<TraceId> {
        let Self::Traces(request) = self else { return HashSet::new() };
        let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| &scope.spans).filter_map(|span| span.trace_id.as_slice().try_into().ok()).collect()
    }

    /// Two batches with the first and the second half of the items, each item under a copy of its resource and scope.
    /// `None` when there is nothing left to halve.
    pub(super) fn halves(mut self) -> Option<(Self, Self)> {
        let items = self.items();
        if items < 2 {
            return None;
        }
        let first = self.take(items / 2);
        Some((first, self))
    }

    /// Moves the first `count` items out into a batch of their own.
    fn take(&mut self, count: usize) -> Self {
        match self {
            Self::Traces(request) => Self::Traces(ExportTraceServiceRequest {
                resource_spans: take(&mut request.resource_spans, count, spans_in, take_spans),
            }),
            Self::Logs(request) => Self::Logs(ExportLogsServiceRequest {
                resource_logs: take(&mut request.resource_logs, count, logs_in, take_logs),
            }),
            Self::Metrics(request) => Self::Metrics(ExportMetricsServiceRequest {
                resource_metrics: take(&mut request.resource_metrics, count, points_in, take_metrics),
            }),
        }
    }
}

/// Whether `batch` keeps to the contract's limits ([`MAX_BATCH_BYTES`], [`MAX_BATCH_SPANS`]).
pub fn within_limits(batch: &Batch) -> bool {
    let few_enough = batch.signal() != Signal::Traces || batch.items() <= MAX_BATCH_SPANS;
    few_enough && batch.encoded_len() <= MAX_BATCH_BYTES
}

/// Moves the first `count` items out of `groups`: whole groups as long as they fit, then the front of one by `cut`.
fn take<T>(
    groups: &mut Vec<T>,
    mut count: usize,
    size: impl Fn(&T) -> usize,
    cut: impl Fn(&mut T, usize) -> T,
) -> Vec<T> {
    let mut whole = 0;
    for group in groups.iter() {
        let items = size(group);
        if items > count {
            break;
        }
        count -= items;
        whole += 1;
    }
    let mut taken: Vec<T> = groups.drain(..whole).collect();
    if count > 0
        && let Some(group) = groups.first_mut()
    {
        taken.push(cut(group, count));
    }
    taken
}

fn spans_in(resource: &ResourceSpans) -> usize {
    resource.scope_spans.iter().map(|scope| scope.spans.len()).sum()
}

fn take_spans(from: &mut ResourceSpans, count: usize) -> ResourceSpans {
    let cut = |scope: &mut ScopeSpans, count: usize| ScopeSpans {
        scope: scope.scope.clone(),
        schema_url: scope.schema_url.clone(),
        spans: scope.spans.drain(..count).collect(),
    };
    ResourceSpans {
        resource: from.resource.clone(),
        schema_url: from.schema_url.clone(),
        scope_spans: take(&mut from.scope_spans, count, |scope| scope.spans.len(), cut),
    }
}

fn logs_in(resource: &ResourceLogs) -> usize {
    resource.scope_logs.iter().map(|scope| scope.log_records.len()).sum()
}

fn take_logs(from: &mut ResourceLogs, count: usize) -> ResourceLogs {
    let cut = |scope: &mut ScopeLogs, count: usize| ScopeLogs {
        scope: scope.scope.clone(),
        schema_url: scope.schema_url.clone(),
        log_records: scope.log_records.drain(..count).collect(),
    };
    ResourceLogs {
        resource: from.resource.clone(),
        schema_url: from.schema_url.clone(),
        scope_logs: take(&mut from.scope_logs, count, |scope| scope.log_records.len(), cut),
    }
}

fn points_in(resource: &ResourceMetrics) -> usize {
    resource.scope_metrics.iter().map(points_in_scope).sum()
}

fn points_in_scope(scope: &ScopeMetrics) -> usize {
    scope.metrics.iter().map(points_in_metric).sum()
}

fn points_in_metric(metric: &Metric) -> usize {
    match &metric.data {
        None => 0,
        Some(Data::Gauge(data)) => data.data_points.len(),
        Some(Data::Sum(data)) => data.data_points.len(),
        Some(Data::Histogram(data)) => data.data_points.len(),
        Some(Data::ExponentialHistogram(data)) => data.data_points.len(),
        Some(Data::Summary(data)) => data.data_points.len(),
    }
}

fn take_metrics(from: &mut ResourceMetrics, count: usize) -> ResourceMetrics {
    let cut = |scope: &mut ScopeMetrics, count: usize| ScopeMetrics {
        scope: scope.scope.clone(),
        schema_url: scope.schema_url.clone(),
        metrics: take(&mut scope.metrics, count, points_in_metric, take_points),
    };
    ResourceMetrics {
        resource: from.resource.clone(),
        schema_url: from.schema_url.clone(),
        scope_metrics: take(&mut from.scope_metrics, count, points_in_scope, cut),
    }
}

fn take_points(from: &mut Metric, count: usize) -> Metric {
    let data = from.data.as_mut().map(|data| match data {
        Data::Gauge(of) => Data::Gauge(Gauge { data_points: of.data_points.drain(..count).collect() }),
        Data::Sum(of) => Data::Sum(Sum { data_points: of.data_points.drain(..count).collect(), ..*of }),
        Data::Histogram(of) => {
            Data::Histogram(Histogram { data_points: of.data_points.drain(..count).collect(), ..*of })
        }
        Data::ExponentialHistogram(of) => Data::ExponentialHistogram(ExponentialHistogram {
            data_points: of.data_points.drain(..count).collect(),
            ..*of
        }),
        Data::Summary(of) => Data::Summary(Summary { data_points: of.data_points.drain(..count).collect() }),
    });
    Metric {
        name: from.name.clone(),
        description: from.description.clone(),
        unit: from.unit.clone(),
        metadata: from.metadata.clone(),
        data,
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::metrics::v1::{HistogramDataPoint, NumberDataPoint};
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use opentelemetry_proto::tonic::trace::v1::Span;
    use proptest::prelude::*;

    use super::*;

    /// Traces with one resource an inner list, one scope a number, that many spans in it; ids count through.
    fn traces(shape: &[Vec<usize>]) -> Batch {
        let mut next = 0_u64;
        let mut span = || {
            next += 1;
            Span { span_id: next.to_be_bytes().to_vec(), trace_id: vec![1; 16], ..Span::default() }
        };
        let resource_spans = shape.iter().enumerate().map(|(n, scopes)| ResourceSpans {
            resource: Some(Resource { dropped_attributes_count: u32::try_from(n).unwrap(), ..Resource::default() }),
            scope_spans: scopes
                .iter()
                .map(|spans| ScopeSpans {
                    spans: (0..*spans).map(|_| span()).collect(),
                    schema_url: format!("{n}/{spans}"),
                    ..ScopeSpans::default()
                })
                .collect(),
            ..ResourceSpans::default()
        });
        Batch::Traces(ExportTraceServiceRequest { resource_spans: resource_spans.collect() })
    }

    /// Each span with what stands above it.
    fn flat(batch: &Batch) -> Vec<(Vec<u8>, u32, String)> {
        let Batch::Traces(request) = batch else { return Vec::new() };
        let mut all = Vec::new();
        for resource in &request.resource_spans {
            for scope in &resource.scope_spans {
                let above = resource.resource.as_ref().unwrap().dropped_attributes_count;
                all.extend(scope.spans.iter().map(|span| (span.span_id.clone(), above, scope.schema_url.clone())));
            }
        }
        all
    }

    proptest! {
        #[test]
        fn halving_keeps_every_span_in_order_under_its_resource_and_scope(
            shape in proptest::collection::vec(proptest::collection::vec(0_usize..4, 0..4), 0..5)
        ) {
            let whole = traces(&shape);
            let (items, all) = (whole.items(), flat(&whole));
            match whole.halves() {
                None => prop_assert!(items < 2),
                Some((first, second)) => {
                    prop_assert_eq!(first.items(), items / 2);
                    prop_assert_eq!(second.items(), items - items / 2);
                    prop_assert_eq!([flat(&first), flat(&second)].concat(), all);
                }
            }
        }
    }

    #[test]
    fn metrics_of_every_kind_are_halved_by_data_point() {
        let histogram = Histogram { data_points: vec![HistogramDataPoint::default(); 3], aggregation_temporality: 2 };
        let sum =
            Sum { data_points: vec![NumberDataPoint::default(); 3], aggregation_temporality: 2, is_monotonic: true };
        let metric = |name: &str, data| Metric { name: name.to_owned(), data: Some(data), ..Metric::default() };
        let metrics = vec![metric("sum", Data::Sum(sum)), metric("histogram", Data::Histogram(histogram))];
        let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
        let resource_metrics = vec![ResourceMetrics { scope_metrics, ..ResourceMetrics::default() }];
        let whole = Batch::Metrics(ExportMetricsServiceRequest { resource_metrics });
        assert_eq!(whole.items(), 6);
        let (first, second) = whole.halves().unwrap();
        assert_eq!((first.items(), second.items()), (3, 3));
        let (one, two) = second.halves().unwrap();
        let Batch::Metrics(two) = &two else { unreachable!() };
        let Some(Data::Histogram(left)) = &two.resource_metrics[0].scope_metrics[0].metrics[0].data else {
            unreachable!()
        };
        assert_eq!((one.items(), left.data_points.len(), left.aggregation_temporality), (1, 2, 2));
    }

    #[test]
    fn the_limits_count_spans_and_bytes() {
        assert!(within_limits(&traces(&[vec![1_000, 1_000]])));
        assert!(!within_limits(&traces(&[vec![1_000], vec![1_001]])));
        let mut heavy = traces(&[vec![1]]);
        let Batch::Traces(request) = &mut heavy else { unreachable!() };
        request.resource_spans[0].scope_spans[0].spans[0].name = "x".repeat(MAX_BATCH_BYTES);
        assert!(!within_limits(&heavy));
    }

    #[test]
    fn trace_ids_are_distinct() {
        assert_eq!(traces(&[vec![3], vec![2]]).trace_ids(), HashSet::from([[1; 16]]));
    }
}
