//! Series of points of one metric, and the messages of OTLP that they become.

use std::ops::Range;
use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, HistogramDataPoint, Metric, NumberDataPoint, Sum, number_data_point,
};

use crate::export::message::Attributes;
use crate::model::semconv::{self as names, Instrument};
use crate::model::time::Millis;
use crate::model::totals::{BOUNDS, Histogram};

/// A series of points of one metric: its attributes, and its values by moment.
pub(super) struct Points {
    pub(super) metric: names::Metric,
    pub(super) attributes: Attributes,
    pub(super) values: Values,
}

impl Points {
    /// Takes out the value of `now`, if it is the last of several numbers.
    pub(super) fn take_present(&mut self, now: Millis) -> Option<Self> {
        let Values::Numbers(values) = &mut self.values else { return None };
        let present = values.pop_if(|(at, _)| *at == now)?;
        Some(Self { metric: self.metric, attributes: self.attributes.clone(), values: Values::Numbers(vec![present]) })
    }
}

pub(super) enum Values {
    Numbers(Vec<(Millis, f64)>),
    Ages(Ages),
    Histograms(Vec<(Millis, Histogram)>),
}

/// The age of something at some moments of an axis, in seconds. Computed while it is sent, because there is one for
/// every blocked interval of a history.
pub(super) struct Ages {
    pub(super) since: Millis,
    pub(super) moments: Arc<[Millis]>,
    pub(super) places: Range<usize>,
}

impl Iterator for Ages {
    type Item = (Millis, f64);

    fn next(&mut self) -> Option<(Millis, f64)> {
        let at = *self.moments.get(self.places.next()?)?;
        Some((at, at.seconds_since(self.since)))
    }
}

#[expect(clippy::cast_precision_loss, reason = "numbers of tasks are far below 2^53")]
pub(super) fn count(value: i64) -> f64 {
    value as f64
}

impl Points {
    pub(super) fn into_metric(self) -> Metric {
        let Self { metric, attributes, values } = self;
        let attributes = attributes.read();
        let data = match values {
            Values::Numbers(values) => numbers(metric, &attributes, values.into_iter()),
            Values::Ages(ages) => numbers(metric, &attributes, ages),
            Values::Histograms(values) => Data::Histogram(opentelemetry_proto::tonic::metrics::v1::Histogram {
                data_points: values
                    .iter()
                    .map(|(at, histogram)| HistogramDataPoint {
                        attributes: attributes.clone(),
                        explicit_bounds: bounds().collect(),
                        ..histogram_point(*at, histogram)
                    })
                    .collect(),
                aggregation_temporality: AggregationTemporality::Cumulative.into(),
            }),
        };
        Metric {
            name: metric.name.to_owned(),
            description: metric.about.to_owned(),
            unit: metric.unit.to_owned(),
            data: Some(data),
            ..Metric::default()
        }
    }
}

/// The numbers of one series as its metric's instrument has them.
pub(super) fn numbers(
    metric: names::Metric,
    attributes: &[KeyValue],
    values: impl Iterator<Item = (Millis, f64)>,
) -> Data {
    let point = |(at, value): (Millis, f64)| NumberDataPoint {
        attributes: attributes.to_vec(),
        time_unix_nano: at.as_nanos(),
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    };
    let data_points = values.map(point).collect();
    let aggregation_temporality = AggregationTemporality::Cumulative.into();
    match metric.instrument {
        Instrument::Counter => Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic: true }),
        Instrument::Gauge | Instrument::Histogram => Data::Gauge(Gauge { data_points }),
    }
}

/// A point without what all points of its series share.
pub(super) fn histogram_point(at: Millis, histogram: &Histogram) -> HistogramDataPoint {
    let unsigned = |value: &i64| u64::try_from(*value).unwrap_or(0);
    HistogramDataPoint {
        time_unix_nano: at.as_nanos(),
        count: unsigned(&histogram.count()),
        sum: Some(count(histogram.sum) / 1_000.0),
        bucket_counts: histogram.buckets.iter().map(unsigned).collect(),
        ..HistogramDataPoint::default()
    }
}

/// The upper bounds of all histograms' buckets, in seconds.
pub(super) fn bounds() -> impl Iterator<Item = f64> {
    BOUNDS.iter().map(|bound| count(*bound) / 1_000.0)
}

impl Values {
    /// The moments that have a value.
    pub(super) fn moments(&self) -> Box<dyn Iterator<Item = Millis> + '_> {
        match self {
            Self::Numbers(values) => Box::new(values.iter().map(|(at, _)| *at)),
            Self::Ages(ages) => Box::new(ages.moments[ages.places.clone()].iter().copied()),
            Self::Histograms(values) => Box::new(values.iter().map(|(at, _)| *at)),
        }
    }
}

/// Merges metrics of the same name into one message, as OTLP requires.
pub(crate) fn merged(metrics: Vec<Metric>) -> Vec<Metric> {
    let mut merged: Vec<Metric> = Vec::new();
    for metric in metrics {
        match (
            merged.iter_mut().find(|other| other.name == metric.name).and_then(|other| other.data.as_mut()),
            metric.data,
        ) {
            (Some(Data::Gauge(all)), Some(Data::Gauge(more))) => all.data_points.extend(more.data_points),
            (Some(Data::Sum(all)), Some(Data::Sum(more))) => all.data_points.extend(more.data_points),
            (Some(Data::Histogram(all)), Some(Data::Histogram(more))) => all.data_points.extend(more.data_points),
            (_, data) => merged.push(Metric { data, ..metric }),
        }
    }
    merged
}
