//! What was received, flat and plain: one value a span, log record or data point, with hex ids and maps of attributes.

use std::collections::BTreeMap;
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, HistogramDataPoint, Metric, NumberDataPoint};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1 as proto;
use prost::Message;
use serde_json::{Map, Value};

use super::Received;

/// Attributes by name. Integers and doubles keep their kind ([`Value::is_i64`], [`Value::is_f64`]).
pub type Attributes = BTreeMap<String, Value>;

/// A span. Times are nanoseconds since 1970; ids are lower-case hex, empty when absent.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    pub resource: Arc<Attributes>,
    pub scope: Arc<str>,
    pub name: String,
    pub trace_id: String,
    pub span_id: String,
    pub parent_span_id: String,
    /// The number OTLP gives a span kind; internal is 1.
    pub kind: i32,
    pub start: u64,
    pub end: u64,
    pub attributes: Attributes,
    pub events: Vec<Event>,
    pub links: Vec<Link>,
    pub status: SpanStatus,
}

/// How a span ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpanStatus {
    Unset,
    Ok,
    Error(String),
}

/// A span event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub name: String,
    pub time: u64,
    pub attributes: Attributes,
}

/// A span link.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    pub trace_id: String,
    pub span_id: String,
    pub attributes: Attributes,
}

/// A log record. Times are nanoseconds since 1970.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    pub resource: Arc<Attributes>,
    pub scope: Arc<str>,
    pub time: u64,
    pub observed_time: u64,
    pub severity: i32,
    pub event_name: String,
    pub body: Value,
    pub attributes: Attributes,
    pub trace_id: String,
    pub span_id: String,
}

/// A data point of a metric. Times are nanoseconds since 1970.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    pub resource: Arc<Attributes>,
    pub scope: Arc<str>,
    pub name: String,
    pub unit: String,
    pub kind: PointKind,
    pub attributes: Attributes,
    pub start: u64,
    pub time: u64,
    pub value: PointValue,
}

/// The kind of metric a point belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PointKind {
    Gauge,
    Sum { monotonic: bool, cumulative: bool },
    Histogram { cumulative: bool },
    ExponentialHistogram { cumulative: bool },
    Summary,
}

/// What a point says.
#[derive(Clone, Debug, PartialEq)]
pub enum PointValue {
    /// A point that carries nothing.
    None,
    Int(i64),
    Double(f64),
    /// `buckets` has one count more than `bounds` has limits; both are empty for the kinds that have none.
    Histogram {
        count: u64,
        sum: f64,
        bounds: Vec<f64>,
        buckets: Vec<u64>,
    },
}

impl PointValue {
    /// The number, or the sum of a histogram.
    #[expect(clippy::cast_precision_loss, reason = "for comparisons in tests, where numbers are small")]
    pub fn as_f64(&self) -> f64 {
        match self {
            Self::None => f64::NAN,
            Self::Int(value) => *value as f64,
            Self::Double(value) => *value,
            Self::Histogram { sum, .. } => *sum,
        }
    }
}

/// An OTLP export request of any signal.
pub(super) trait Export: Message + Default + 'static {
    /// The signal's own `partial_success`.
    type Partial;

    /// Spans, log records or data points.
    fn items(&self) -> usize;
    /// Adds its items to `into`.
    fn flatten(self, into: &mut Received);
    /// A `partial_success` from the number rejected and the reason.
    fn partial(rejected: (i64, String)) -> Self::Partial;
    /// The encoded answer.
    fn reply(rejected: Option<(i64, String)>) -> Vec<u8>;
}

impl Export for ExportTraceServiceRequest {
    type Partial = ExportTracePartialSuccess;

    fn items(&self) -> usize {
        self.resource_spans.iter().flat_map(|resource| &resource.scope_spans).map(|scope| scope.spans.len()).sum()
    }

    fn flatten(self, into: &mut Received) {
        for group in self.resource_spans {
            let resource = resource(group.resource);
            for inner in group.scope_spans {
                let scope = scope(inner.scope);
                into.spans.extend(inner.spans.into_iter().map(|one| span(one, &resource, &scope)));
            }
        }
    }

    fn partial((rejected_spans, error_message): (i64, String)) -> Self::Partial {
        ExportTracePartialSuccess { rejected_spans, error_message }
    }

    fn reply(rejected: Option<(i64, String)>) -> Vec<u8> {
        ExportTraceServiceResponse { partial_success: rejected.map(Self::partial) }.encode_to_vec()
    }
}

impl Export for ExportLogsServiceRequest {
    type Partial = ExportLogsPartialSuccess;

    fn items(&self) -> usize {
        self.resource_logs.iter().flat_map(|resource| &resource.scope_logs).map(|scope| scope.log_records.len()).sum()
    }

    fn flatten(self, into: &mut Received) {
        for group in self.resource_logs {
            let resource = resource(group.resource);
            for inner in group.scope_logs {
                let scope = scope(inner.scope);
                into.logs.extend(inner.log_records.into_iter().map(|one| log(one, &resource, &scope)));
            }
        }
    }

    fn partial((rejected_log_records, error_message): (i64, String)) -> Self::Partial {
        ExportLogsPartialSuccess { rejected_log_records, error_message }
    }

    fn reply(rejected: Option<(i64, String)>) -> Vec<u8> {
        ExportLogsServiceResponse { partial_success: rejected.map(Self::partial) }.encode_to_vec()
    }
}

impl Export for ExportMetricsServiceRequest {
    type Partial = ExportMetricsPartialSuccess;

    fn items(&self) -> usize {
        let scopes = self.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
        scopes.flat_map(|scope| &scope.metrics).map(points_in).sum()
    }

    fn flatten(self, into: &mut Received) {
        for group in self.resource_metrics {
            let resource = resource(group.resource);
            for inner in group.scope_metrics {
                let scope = scope(inner.scope);
                for metric in inner.metrics {
                    points(metric, &resource, &scope, &mut into.points);
                }
            }
        }
    }

    fn partial((rejected_data_points, error_message): (i64, String)) -> Self::Partial {
        ExportMetricsPartialSuccess { rejected_data_points, error_message }
    }

    fn reply(rejected: Option<(i64, String)>) -> Vec<u8> {
        ExportMetricsServiceResponse { partial_success: rejected.map(Self::partial) }.encode_to_vec()
    }
}

fn span(from: proto::Span, resource: &Arc<Attributes>, scope: &Arc<str>) -> Span {
    Span {
        resource: resource.clone(),
        scope: scope.clone(),
        name: from.name,
        trace_id: hex(&from.trace_id),
        span_id: hex(&from.span_id),
        parent_span_id: hex(&from.parent_span_id),
        kind: from.kind,
        start: from.start_time_unix_nano,
        end: from.end_time_unix_nano,
        attributes: attributes(from.attributes),
        events: from.events.into_iter().map(event).collect(),
        links: from.links.into_iter().map(link).collect(),
        status: from.status.map_or(SpanStatus::Unset, status),
    }
}

fn event(from: proto::span::Event) -> Event {
    Event { name: from.name, time: from.time_unix_nano, attributes: attributes(from.attributes) }
}

fn link(from: proto::span::Link) -> Link {
    Link { trace_id: hex(&from.trace_id), span_id: hex(&from.span_id), attributes: attributes(from.attributes) }
}

fn status(from: proto::Status) -> SpanStatus {
    match from.code() {
        proto::status::StatusCode::Unset => SpanStatus::Unset,
        proto::status::StatusCode::Ok => SpanStatus::Ok,
        proto::status::StatusCode::Error => SpanStatus::Error(from.message),
    }
}

fn log(from: LogRecord, resource: &Arc<Attributes>, scope: &Arc<str>) -> Log {
    Log {
        resource: resource.clone(),
        scope: scope.clone(),
        time: from.time_unix_nano,
        observed_time: from.observed_time_unix_nano,
        severity: from.severity_number,
        event_name: from.event_name,
        body: from.body.map_or(Value::Null, value),
        attributes: attributes(from.attributes),
        trace_id: hex(&from.trace_id),
        span_id: hex(&from.span_id),
    }
}

fn points_in(metric: &Metric) -> usize {
    match &metric.data {
        None => 0,
        Some(Data::Gauge(data)) => data.data_points.len(),
        Some(Data::Sum(data)) => data.data_points.len(),
        Some(Data::Histogram(data)) => data.data_points.len(),
        Some(Data::ExponentialHistogram(data)) => data.data_points.len(),
        Some(Data::Summary(data)) => data.data_points.len(),
    }
}

fn points(from: Metric, resource: &Arc<Attributes>, scope: &Arc<str>, into: &mut Vec<Point>) {
    let (name, unit) = (from.name, from.unit);
    let point = |kind, (attributes, start, time, value)| Point {
        resource: resource.clone(),
        scope: scope.clone(),
        name: name.clone(),
        unit: unit.clone(),
        kind,
        attributes,
        start,
        time,
        value,
    };
    match from.data {
        None => {}
        Some(Data::Gauge(data)) => {
            into.extend(data.data_points.into_iter().map(|one| point(PointKind::Gauge, number(one))));
        }
        Some(Data::Sum(data)) => {
            let cumulative = is_cumulative(data.aggregation_temporality);
            let kind = PointKind::Sum { monotonic: data.is_monotonic, cumulative };
            into.extend(data.data_points.into_iter().map(|one| point(kind, number(one))));
        }
        Some(Data::Histogram(data)) => {
            let kind = PointKind::Histogram { cumulative: is_cumulative(data.aggregation_temporality) };
            into.extend(data.data_points.into_iter().map(|one| point(kind, histogram(one))));
        }
        Some(Data::ExponentialHistogram(data)) => {
            let kind = PointKind::ExponentialHistogram { cumulative: is_cumulative(data.aggregation_temporality) };
            into.extend(data.data_points.into_iter().map(|one| {
                let value = counted(one.count, one.sum.unwrap_or(0.0));
                point(kind, (attributes(one.attributes), one.start_time_unix_nano, one.time_unix_nano, value))
            }));
        }
        Some(Data::Summary(data)) => into.extend(data.data_points.into_iter().map(|one| {
            let value = counted(one.count, one.sum);
            point(PointKind::Summary, (attributes(one.attributes), one.start_time_unix_nano, one.time_unix_nano, value))
        })),
    }
}

fn is_cumulative(temporality: i32) -> bool {
    temporality == AggregationTemporality::Cumulative as i32
}

/// The parts of a point that its kind does not decide: attributes, start, time, value.
type Parts = (Attributes, u64, u64, PointValue);

fn number(from: NumberDataPoint) -> Parts {
    let value = match from.value {
        None => PointValue::None,
        Some(Number::AsInt(value)) => PointValue::Int(value),
        Some(Number::AsDouble(value)) => PointValue::Double(value),
    };
    (attributes(from.attributes), from.start_time_unix_nano, from.time_unix_nano, value)
}

fn histogram(from: HistogramDataPoint) -> Parts {
    let value = PointValue::Histogram {
        count: from.count,
        sum: from.sum.unwrap_or(0.0),
        bounds: from.explicit_bounds,
        buckets: from.bucket_counts,
    };
    (attributes(from.attributes), from.start_time_unix_nano, from.time_unix_nano, value)
}

fn counted(count: u64, sum: f64) -> PointValue {
    PointValue::Histogram { count, sum, bounds: Vec::new(), buckets: Vec::new() }
}

fn resource(from: Option<Resource>) -> Arc<Attributes> {
    Arc::new(from.map(|resource| attributes(resource.attributes)).unwrap_or_default())
}

fn scope(from: Option<InstrumentationScope>) -> Arc<str> {
    from.map(|scope| scope.name).unwrap_or_default().into()
}

fn attributes(from: Vec<KeyValue>) -> Attributes {
    from.into_iter().map(|pair| (pair.key, pair.value.map_or(Value::Null, value))).collect()
}

fn value(from: AnyValue) -> Value {
    match from.value {
        None | Some(Any::StringValueStrindex(_)) => Value::Null,
        Some(Any::StringValue(text)) => Value::String(text),
        Some(Any::BoolValue(flag)) => Value::Bool(flag),
        Some(Any::IntValue(number)) => Value::from(number),
        Some(Any::DoubleValue(number)) => Value::from(number),
        Some(Any::ArrayValue(list)) => Value::Array(list.values.into_iter().map(value).collect()),
        Some(Any::KvlistValue(list)) => Value::Object(attributes(list.values).into_iter().collect::<Map<_, _>>()),
        Some(Any::BytesValue(bytes)) => Value::String(hex(&bytes)),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use opentelemetry_proto::tonic::common::v1::ArrayValue;
    use opentelemetry_proto::tonic::metrics::v1::{Histogram, ResourceMetrics, ScopeMetrics, Sum};

    use super::super::Signal;
    use super::*;

    fn any(value: Any) -> AnyValue {
        AnyValue { value: Some(value) }
    }

    #[test]
    fn attributes_keep_their_kinds() {
        let labels = ArrayValue { values: vec![any(Any::StringValue("a".into())), any(Any::BoolValue(true))] };
        let pairs = [("points", Any::DoubleValue(3.0)), ("at", Any::IntValue(3)), ("labels", Any::ArrayValue(labels))];
        let pair =
            |(key, value): (&str, Any)| KeyValue { key: key.into(), value: Some(any(value)), ..KeyValue::default() };
        let seen = attributes(pairs.into_iter().map(pair).collect());
        assert!(seen["points"].is_f64() && seen["at"].is_i64());
        assert_eq!(seen["labels"], serde_json::json!(["a", true]));
    }

    #[test]
    fn points_carry_their_metrics_kind_and_buckets() {
        let sum = Sum {
            data_points: vec![NumberDataPoint { value: Some(Number::AsInt(7)), ..NumberDataPoint::default() }],
            aggregation_temporality: AggregationTemporality::Cumulative as i32,
            is_monotonic: true,
        };
        let point = HistogramDataPoint {
            count: 3,
            sum: Some(9.0),
            explicit_bounds: vec![5.0],
            bucket_counts: vec![2, 1],
            ..HistogramDataPoint::default()
        };
        let histogram = Histogram { data_points: vec![point], aggregation_temporality: 1 };
        let metric = |name: &str, data| Metric { name: name.into(), data: Some(data), ..Metric::default() };
        let metrics = vec![metric("completed", Data::Sum(sum)), metric("lead_time", Data::Histogram(histogram))];
        let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
        let resource_metrics = vec![ResourceMetrics { scope_metrics, ..ResourceMetrics::default() }];
        let request = ExportMetricsServiceRequest { resource_metrics };
        assert_eq!(request.items(), 2);

        let (spans, logs, points) = (Vec::new(), Vec::new(), Vec::new());
        let mut seen = Received { signal: Signal::Metrics, at: Instant::now(), spans, logs, points };
        request.flatten(&mut seen);
        assert_eq!(seen.points[0].kind, PointKind::Sum { monotonic: true, cumulative: true });
        assert_eq!(seen.points[0].value.as_f64(), 7.0);
        assert_eq!(seen.points[1].kind, PointKind::Histogram { cumulative: false });
        let value = PointValue::Histogram { count: 3, sum: 9.0, bounds: vec![5.0], buckets: vec![2, 1] };
        assert_eq!(seen.points[1].value, value);
    }
}
