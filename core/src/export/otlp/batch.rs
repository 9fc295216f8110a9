//! A rendered batch of one signal: its size, and how to halve it while each item keeps its resource and scope.
//!
//! Items (spans, log records, data points) are encoded once, when they are rendered, and stored one after the other as
//! on the wire. So a batch takes little more memory than its bytes, and sending it again costs a copy of those.
//! [`Batch::encode`] adds the envelope around them; [`wire`] has the envelope as messages, to parse requests.

use std::collections::HashSet;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::AggregationTemporality;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use super::protobuf::{begin, field_len};
use crate::model::signal::Signal;

/// The largest request we send, in encoded bytes. Below the 4 MiB that gRPC receivers allow by default.
pub const MAX_BATCH_BYTES: usize = 3 * 1024 * 1024;
/// The most spans in one request.
pub const MAX_BATCH_SPANS: usize = 2_000;

/// The first field of every message of the envelope: the resources of a request, the resource, the scope.
const HEAD: u32 = 1;
/// The second field: the scopes of a resource, the items of a scope.
const ITEMS: u32 = 2;
/// The field of a gauge, sum or histogram that holds its points.
const POINTS: u32 = 1;

/// A trace id on the wire.
pub type TraceId = [u8; 16];

/// The messages of OTLP's envelope, with their contents left encoded: on the wire, a message and bytes are the same.
/// The field numbers are equal for all signals (opentelemetry-proto 1.x).
mod wire {
    use bytes::Bytes;

    /// `Export*ServiceRequest`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Request {
        #[prost(message, repeated, tag = "1")]
        pub(super) resources: Vec<Resources>,
    }

    /// `ResourceSpans`, `ResourceLogs`, `ResourceMetrics`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Resources {
        #[prost(bytes = "bytes", tag = "1")]
        pub(super) resource: Bytes,
        #[prost(message, repeated, tag = "2")]
        pub(super) scopes: Vec<Scope>,
    }

    /// `ScopeSpans`, `ScopeLogs`, `ScopeMetrics`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Scope {
        #[prost(bytes = "bytes", tag = "1")]
        pub(super) scope: Bytes,
        #[prost(bytes = "bytes", repeated, tag = "2")]
        pub(super) items: Vec<Bytes>,
    }

    /// `Metric`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Metric {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(string, tag = "2")]
        pub(super) description: String,
        #[prost(string, tag = "3")]
        pub(super) unit: String,
        #[prost(message, optional, tag = "5")]
        pub(super) gauge: Option<Points>,
        #[prost(message, optional, tag = "7")]
        pub(super) sum: Option<Points>,
        #[prost(message, optional, tag = "9")]
        pub(super) histogram: Option<Points>,
    }

    /// `Gauge`, `Sum`, `Histogram`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Points {
        #[prost(bytes = "bytes", repeated, tag = "1")]
        pub(super) data_points: Vec<Bytes>,
        #[prost(int32, tag = "2")]
        pub(super) temporality: i32,
        #[prost(bool, tag = "3")]
        pub(super) is_monotonic: bool,
    }
}

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A value now; `NumberDataPoint`.
    Gauge,
    /// A cumulative sum that never falls; `NumberDataPoint`.
    Counter,
    /// A cumulative histogram; `HistogramDataPoint`.
    Histogram,
}

/// What all points of a metric share: its name, description and unit, encoded, its kind, and what follows the points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heading {
    encoded: Bytes,
    kind: Kind,
    tail: Bytes,
}

impl Heading {
    pub(crate) fn new(name: &str, description: &str, unit: &str, kind: Kind) -> Self {
        let (name, description, unit) = (name.to_owned(), description.to_owned(), unit.to_owned());
        let encoded = wire::Metric { name, description, unit, ..wire::Metric::default() }.encode_to_vec().into();
        let temporality = if kind == Kind::Gauge { 0 } else { AggregationTemporality::Cumulative.into() };
        let tail = wire::Points { temporality, is_monotonic: kind == Kind::Counter, ..wire::Points::default() };
        Self { encoded, kind, tail: tail.encode_to_vec().into() }
    }

    /// The field of `Metric` that holds the points.
    const fn tag(&self) -> u32 {
        match self.kind {
            Kind::Gauge => 5,
            Kind::Counter => 7,
            Kind::Histogram => 9,
        }
    }

    /// The size of the metric with this many bytes of points.
    fn len_over(&self, points: usize) -> usize {
        self.encoded.len() + field_len(self.tag(), points + self.tail.len())
    }

    /// Writes the metric with these points. A message may be written in pieces.
    fn write_over(&self, points: &[u8], to: &mut Vec<u8>) {
        to.extend_from_slice(&self.encoded);
        begin(self.tag(), points.len() + self.tail.len(), to);
        to.extend_from_slice(points);
        to.extend_from_slice(&self.tail);
    }
}

/// Encoded items of one kind: spans, log records, or the points of one metric.
#[derive(Clone, Debug, Default, PartialEq)]
struct Items {
    /// The metric of data points.
    heading: Option<Heading>,
    /// The items in a row, each as a field of the message that holds them.
    framed: Vec<u8>,
    /// The end of each item in `framed`.
    ends: Vec<usize>,
    /// The trace of each span. Empty for the other signals.
    traces: Vec<TraceId>,
}

impl Items {
    /// Adds an item whose bytes `write` appends.
    fn push(&mut self, bytes: usize, write: impl FnOnce(&mut Vec<u8>)) {
        begin(if self.heading.is_some() { POINTS } else { ITEMS }, bytes, &mut self.framed);
        write(&mut self.framed);
        self.ends.push(self.framed.len());
    }

    fn push_encoded(&mut self, item: &[u8]) {
        self.push(item.len(), |framed| framed.extend_from_slice(item));
    }

    fn of(items: &[Bytes]) -> Self {
        let mut all = Self::default();
        all.framed.reserve(items.iter().map(|item| field_len(ITEMS, item.len())).sum());
        items.iter().for_each(|item| all.push_encoded(item));
        all
    }

    /// Moves the first `count` items out.
    fn cut(&mut self, count: usize) -> Self {
        let at = count.checked_sub(1).and_then(|last| self.ends.get(last)).copied().unwrap_or(0);
        let rest = self.framed.split_off(at);
        let traces = self.traces.drain(..count.min(self.traces.len())).collect();
        let ends = self.ends.drain(..count).collect();
        self.ends.iter_mut().for_each(|end| *end -= at);
        Self { heading: self.heading.clone(), framed: std::mem::replace(&mut self.framed, rest), ends, traces }
    }

    fn encoded_len(&self) -> usize {
        match &self.heading {
            Some(heading) => field_len(ITEMS, heading.len_over(self.framed.len())),
            None => self.framed.len(),
        }
    }

    /// Writes the field of the scope: the items, or the metric that holds them.
    fn write(&self, to: &mut Vec<u8>) {
        match &self.heading {
            Some(heading) => {
                begin(ITEMS, heading.len_over(self.framed.len()), to);
                heading.write_over(&self.framed, to);
            }
            None => to.extend_from_slice(&self.framed),
        }
    }
}

/// Everything under one resource and scope.
#[derive(Clone, Debug, PartialEq)]
struct Group {
    /// An encoded `Resource`.
    resource: Bytes,
    /// An encoded `InstrumentationScope`.
    scope: Bytes,
    items: Vec<Items>,
}

impl Group {
    fn len(&self) -> usize {
        self.items.iter().map(|items| items.ends.len()).sum()
    }

    /// Moves the first `count` items out into a group of their own.
    fn cut(&mut self, count: usize) -> Self {
        let items = front(&mut self.items, count, |items| items.ends.len(), Items::cut);
        Self { resource: self.resource.clone(), scope: self.scope.clone(), items }
    }

    fn scope_len(&self) -> usize {
        field_len(HEAD, self.scope.len()) + self.items.iter().map(Items::encoded_len).sum::<usize>()
    }

    fn encoded_len(&self) -> usize {
        field_len(HEAD, self.resource.len()) + field_len(ITEMS, self.scope_len())
    }

    fn write(&self, to: &mut Vec<u8>) {
        begin(HEAD, self.resource.len(), to);
        to.extend_from_slice(&self.resource);
        begin(ITEMS, self.scope_len(), to);
        begin(HEAD, self.scope.len(), to);
        to.extend_from_slice(&self.scope);
        self.items.iter().for_each(|items| items.write(to));
    }
}

/// Moves the first `count` items out of `parts`: whole parts while they fit, then the front of one by `cut`.
fn front<T>(
    parts: &mut Vec<T>,
    mut count: usize,
    size: impl Fn(&T) -> usize,
    cut: impl Fn(&mut T, usize) -> T,
) -> Vec<T> {
    let mut whole = 0;
    for part in parts.iter() {
        if size(part) > count {
            break;
        }
        count -= size(part);
        whole += 1;
    }
    let mut taken: Vec<T> = parts.drain(..whole).collect();
    taken.extend(parts.first_mut().filter(|_| count > 0).map(|part| cut(part, count)));
    taken
}

/// One request of one signal, ready to send.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    signal: Signal,
    groups: Vec<Group>,
}

impl Batch {
    /// The signal it carries.
    pub const fn signal(&self) -> Signal {
        self.signal
    }

    /// An empty batch, which is enough to test an address and a credential.
    pub const fn empty(signal: Signal) -> Self {
        Self { signal, groups: Vec::new() }
    }

    /// Adds spans that share a resource and a scope (both encoded), each with its trace.
    pub(crate) fn add_spans(
        &mut self,
        resource: Bytes,
        scope: Bytes,
        spans: impl IntoIterator<Item = (TraceId, Bytes)>,
    ) {
        let (traces, spans): (Vec<TraceId>, Vec<Bytes>) = spans.into_iter().unzip();
        self.groups.push(Group { resource, scope, items: vec![Items { traces, ..Items::of(&spans) }] });
    }

    /// Adds log records that share a resource and a scope (all encoded).
    pub(crate) fn add_records(&mut self, resource: Bytes, scope: Bytes, records: &[Bytes]) {
        self.groups.push(Group { resource, scope, items: vec![Items::of(records)] });
    }

    /// Starts a resource for the data points that follow.
    pub(crate) fn begin_points(&mut self, resource: Bytes, scope: Bytes) {
        self.groups.push(Group { resource, scope, items: Vec::new() });
    }

    /// Adds a data point of a metric under the current resource: `shared` and `own`, both encoded. Returns its size.
    pub(crate) fn add_point(&mut self, heading: &Heading, shared: &[u8], own: &[u8]) -> usize {
        let bytes = shared.len() + own.len();
        if let Some(items) = self.of_metric(heading) {
            items.push(bytes, |framed| {
                framed.extend_from_slice(shared);
                framed.extend_from_slice(own);
            });
        }
        bytes
    }

    /// The points of a metric under the current resource.
    fn of_metric(&mut self, heading: &Heading) -> Option<&mut Items> {
        let items = &mut self.groups.last_mut()?.items;
        // Usually the last point was of the same metric.
        let place = items.iter().rposition(|items| items.heading.as_ref() == Some(heading));
        let place = place.unwrap_or_else(|| {
            items.push(Items { heading: Some(heading.clone()), ..Items::default() });
            items.len() - 1
        });
        items.get_mut(place)
    }

    /// The number of spans, log records or data points: the unit in which a backend rejects.
    pub fn items(&self) -> usize {
        self.groups.iter().map(Group::len).sum()
    }

    /// Its size on the wire, uncompressed, in bytes.
    pub fn encoded_len(&self) -> usize {
        self.groups.iter().map(|group| field_len(HEAD, group.encoded_len())).sum()
    }

    /// The `Export*ServiceRequest` of its signal, in protobuf.
    pub fn encode(&self) -> Bytes {
        let mut encoded = Vec::with_capacity(self.encoded_len());
        for group in &self.groups {
            begin(HEAD, group.encoded_len(), &mut encoded);
            group.write(&mut encoded);
        }
        encoded.into()
    }

    /// The distinct traces its spans belong to; empty for logs and metrics.
    pub fn trace_ids(&self) -> HashSet<TraceId> {
        let items = self.groups.iter().flat_map(|group| &group.items);
        items.flat_map(|items| items.traces.iter().copied()).collect()
    }

    /// Splits it into two batches with the first and the second half of the items, each item under a copy of its
    /// resource and scope. `None` with fewer than two items.
    pub(super) fn halves(mut self) -> Option<(Self, Self)> {
        let items = self.items();
        if items < 2 {
            return None;
        }
        let first = front(&mut self.groups, items / 2, Group::len, Group::cut);
        Some((Self { signal: self.signal, groups: first }, self))
    }

    /// Each of its items in a batch of its own.
    pub(crate) fn singles(self) -> Vec<Self> {
        let (mut left, mut singles) = (vec![self], Vec::new());
        while let Some(batch) = left.pop() {
            match batch.clone().halves() {
                Some((first, second)) => left.extend([second, first]),
                None => singles.push(batch),
            }
        }
        singles
    }

    /// Takes in the items of another batch of the same signal.
    pub(crate) fn append(&mut self, other: Self) {
        self.groups.extend(other.groups);
    }

    /// The batch of a request that [`Batch::encode`] made.
    pub fn decode(signal: Signal, request: &[u8]) -> Self {
        Self::parse(signal, request.to_vec())
    }

    /// Parses an encoded request.
    fn parse(signal: Signal, request: Vec<u8>) -> Self {
        // The request was encoded a moment ago by the crate that defines it.
        let request = wire::Request::decode(Bytes::from(request)).unwrap_or_default();
        let scopes = request.resources.into_iter().flat_map(|of| {
            let resource = of.resource;
            of.scopes.into_iter().map(move |scope| (resource.clone(), scope))
        });
        let mut batch = Self::empty(signal);
        for (resource, wire::Scope { scope, items }) in scopes {
            match signal {
                Signal::Traces => {
                    batch.add_spans(resource, scope, items.into_iter().map(|span| (trace_of(&span), span)))
                }
                Signal::Logs => batch.add_records(resource, scope, &items),
                Signal::Metrics => {
                    batch.begin_points(resource, scope);
                    items
                        .into_iter()
                        .filter_map(|metric| wire::Metric::decode(metric).ok())
                        .for_each(|metric| batch.add_metric(metric));
                }
            }
        }
        batch
    }

    fn add_metric(&mut self, metric: wire::Metric) {
        let (kind, points) = match (metric.gauge, metric.sum, metric.histogram) {
            (_, Some(sum), _) => (Kind::Counter, sum),
            (_, _, Some(histogram)) => (Kind::Histogram, histogram),
            (gauge, ..) => (Kind::Gauge, gauge.unwrap_or_default()),
        };
        let heading = Heading::new(&metric.name, &metric.description, &metric.unit, kind);
        if let Some(items) = self.of_metric(&heading) {
            points.data_points.iter().for_each(|point| items.push_encoded(point));
        }
    }
}

/// The trace of an encoded span; zeros when it has none.
fn trace_of(span: &Bytes) -> TraceId {
    let span = Span::decode(span.clone()).ok();
    span.and_then(|span| span.trace_id.try_into().ok()).unwrap_or_default()
}

impl From<ExportTraceServiceRequest> for Batch {
    fn from(request: ExportTraceServiceRequest) -> Self {
        Self::parse(Signal::Traces, request.encode_to_vec())
    }
}

impl From<ExportLogsServiceRequest> for Batch {
    fn from(request: ExportLogsServiceRequest) -> Self {
        Self::parse(Signal::Logs, request.encode_to_vec())
    }
}

/// Gauges, monotonic cumulative sums and explicit histograms, which are what we send.
impl From<ExportMetricsServiceRequest> for Batch {
    fn from(request: ExportMetricsServiceRequest) -> Self {
        Self::parse(Signal::Metrics, request.encode_to_vec())
    }
}

/// Whether `batch` keeps the contract's limits ([`MAX_BATCH_BYTES`], [`MAX_BATCH_SPANS`]).
pub fn within_limits(batch: &Batch) -> bool {
    let few_enough = batch.signal() != Signal::Traces || batch.items() <= MAX_BATCH_SPANS;
    few_enough && batch.encoded_len() <= MAX_BATCH_BYTES
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    use opentelemetry_proto::tonic::metrics::v1::{
        Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
    };
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
    use proptest::prelude::*;

    use super::*;

    /// A request of traces: one resource per inner list, one scope per number, with that many spans. Ids are
    /// consecutive.
    fn request(shape: &[Vec<usize>]) -> ExportTraceServiceRequest {
        let mut next = 0_u64;
        let mut span = || {
            next += 1;
            Span { span_id: next.to_be_bytes().to_vec(), trace_id: vec![1; 16], ..Span::default() }
        };
        let resource_spans = shape.iter().enumerate().map(|(n, scopes)| ResourceSpans {
            resource: Some(Resource { dropped_attributes_count: u32::try_from(n + 1).unwrap(), ..Resource::default() }),
            scope_spans: scopes
                .iter()
                .map(|spans| ScopeSpans {
                    spans: (0..*spans).map(|_| span()).collect(),
                    scope: Some(InstrumentationScope { name: format!("{n}/{spans}"), ..Default::default() }),
                    ..ScopeSpans::default()
                })
                .collect(),
            ..ResourceSpans::default()
        });
        ExportTraceServiceRequest { resource_spans: resource_spans.collect() }
    }

    /// Each span of a batch as it is on the wire, with its resource and scope.
    fn flat(batch: &Batch) -> Vec<(Vec<u8>, u32, String)> {
        let request = ExportTraceServiceRequest::decode(batch.encode()).unwrap();
        let mut all = Vec::new();
        for resource in &request.resource_spans {
            for scope in &resource.scope_spans {
                let above = resource.resource.as_ref().unwrap().dropped_attributes_count;
                let name = scope.scope.as_ref().unwrap().name.clone();
                all.extend(scope.spans.iter().map(|span| (span.span_id.clone(), above, name.clone())));
            }
        }
        all
    }

    proptest! {
        #[test]
        fn halving_keeps_every_span_in_order_under_its_resource_and_scope(
            shape in proptest::collection::vec(proptest::collection::vec(0_usize..4, 0..4), 0..5)
        ) {
            let whole = Batch::from(request(&shape));
            let (items, all) = (whole.items(), flat(&whole));
            prop_assert_eq!(items, shape.iter().flatten().sum::<usize>());
            prop_assert_eq!(whole.encode().len(), whole.encoded_len());
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
        let request = ExportMetricsServiceRequest { resource_metrics };
        let whole = Batch::from(request.clone());
        assert_eq!(whole.items(), 6);
        let metrics_of = |batch: &Batch| {
            let mut request = ExportMetricsServiceRequest::decode(batch.encode()).unwrap();
            std::mem::take(&mut request.resource_metrics[0].scope_metrics[0].metrics)
        };
        assert_eq!(metrics_of(&whole), request.resource_metrics[0].scope_metrics[0].metrics);
        let (first, second) = whole.halves().unwrap();
        assert_eq!((first.items(), second.items()), (3, 3));
        let (one, two) = second.halves().unwrap();
        let Some(Data::Histogram(left)) = &metrics_of(&two)[0].data else { panic!("a histogram") };
        assert_eq!((one.items(), left.data_points.len(), left.aggregation_temporality), (1, 2, 2));
    }

    #[test]
    fn the_limits_count_spans_and_bytes() {
        assert!(within_limits(&request(&[vec![1_000, 1_000]]).into()));
        assert!(!within_limits(&request(&[vec![1_000], vec![1_001]]).into()));
        let mut heavy = request(&[vec![1]]);
        heavy.resource_spans[0].scope_spans[0].spans[0].name = "x".repeat(MAX_BATCH_BYTES);
        assert!(!within_limits(&heavy.into()));
    }

    #[test]
    fn trace_ids_are_distinct() {
        assert_eq!(Batch::from(request(&[vec![3], vec![2]])).trace_ids(), HashSet::from([[1; 16]]));
    }
}
