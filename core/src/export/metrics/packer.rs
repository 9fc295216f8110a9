//! Packs series of points into requests that ascend in time.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use opentelemetry_proto::tonic::metrics::v1::HistogramDataPoint;
use prost::Message;

use super::points::{Points, Values, bounds, histogram_point};
use crate::export::message::{self, Owner};
use crate::export::otlp::{Batch, Heading, Kind, MAX_BATCH_BYTES, Signal};
use crate::model::semconv::Instrument;
use crate::model::time::Millis;

/// A request is full at this size. Small requests need little memory.
const BATCH_BYTES: usize = MAX_BATCH_BYTES / 4;

/// The approximate overhead of a moment: a resource, and the heading of each metric.
const MOMENT_BYTES: usize = 4_000;

/// A series being sent. As a protobuf message may be written in pieces, what all its points share is encoded once and
/// put in front of each.
struct SeriesEncoder {
    heading: Heading,
    shared: Box<[u8]>,
    /// Newest first, so that the next is popped from the end.
    values: Values,
}

impl SeriesEncoder {
    /// A series with its heading, which is shared with those of the same metric through `headings`.
    fn new(points: Points, headings: &mut HashMap<&'static str, Heading>) -> Self {
        let Points { metric, attributes, mut values } = points;
        let mut shared = Vec::new();
        let number = if metric.instrument == Instrument::Counter { Kind::Counter } else { Kind::Gauge };
        let (kind, owner) = match &mut values {
            Values::Ages(_) => (number, Owner::NumberPoint),
            Values::Numbers(values) => {
                values.reverse();
                (number, Owner::NumberPoint)
            }
            Values::Histograms(values) => {
                values.reverse();
                let explicit_bounds = bounds().collect();
                shared = HistogramDataPoint { explicit_bounds, ..HistogramDataPoint::default() }.encode_to_vec();
                (Kind::Histogram, Owner::HistogramPoint)
            }
        };
        attributes.write(owner, &mut shared);
        let heading = || Heading::new(metric.name, metric.about, metric.unit, kind);
        let heading = headings.entry(metric.name).or_insert_with(heading).clone();
        Self { heading, shared: shared.into_boxed_slice(), values }
    }

    /// Adds the next point to a batch; returns its size.
    fn write_next(&mut self, batch: &mut Batch) -> usize {
        let add = |(at, value)| batch.add_point(&self.heading, &self.shared, &message::number_point(at, value));
        let bytes = match &mut self.values {
            Values::Numbers(values) => values.pop().map(add),
            Values::Ages(ages) => ages.next().map(add),
            Values::Histograms(values) => values.pop().map(|(at, value)| {
                batch.add_point(&self.heading, &self.shared, &histogram_point(at, &value).encode_to_vec())
            }),
        };
        bytes.unwrap_or(0)
    }
}

/// Packs series into requests, moment by moment. Only one request is encoded at a time.
///
/// Each moment has a resource of its own, because Prometheus writes a `target_info` sample for every two and a half
/// minutes between the first and the last point of a resource. A year of one series in one resource is 210,000 samples,
/// and every request costs as many again; a resource whose points have one moment costs one.
pub(super) struct Packer {
    resource: Bytes,
    scope: Bytes,
    encoders: Vec<SeriesEncoder>,
    /// The encoders that have a point, by moment.
    due: std::collections::btree_map::IntoIter<Millis, Vec<u32>>,
    /// What is left of a moment that did not fit into the last request.
    rest: Vec<u32>,
}

impl Packer {
    pub(super) fn new(resource: Bytes, series: Vec<Points>) -> Self {
        let mut due: BTreeMap<Millis, Vec<u32>> = BTreeMap::new();
        for (place, points) in (0..).zip(&series) {
            points.values.moments().for_each(|at| due.entry(at).or_default().push(place));
        }
        let mut headings = HashMap::new();
        let encoders = series.into_iter().map(|points| SeriesEncoder::new(points, &mut headings)).collect();
        Self { resource, scope: message::scope(), encoders, due: due.into_iter(), rest: Vec::new() }
    }

    /// The next request, oldest moments first; `None` when all points were packed.
    pub(super) fn next(&mut self) -> Option<Batch> {
        let (mut batch, mut bytes) = (Batch::empty(Signal::Metrics), 0);
        while bytes < BATCH_BYTES {
            let places = match std::mem::take(&mut self.rest) {
                rest if rest.is_empty() => self.due.next().map(|(_, places)| places).unwrap_or_default(),
                rest => rest,
            };
            if places.is_empty() {
                break;
            }
            batch.begin_points(self.resource.clone(), self.scope.clone());
            bytes += MOMENT_BYTES + self.moment(&mut batch, places);
        }
        (batch.items() > 0).then_some(batch)
    }

    /// Adds the points of a moment as far as there is room. Returns their size.
    fn moment(&mut self, batch: &mut Batch, mut places: Vec<u32>) -> usize {
        let mut bytes = 0;
        for (done, place) in places.iter().enumerate() {
            if bytes >= BATCH_BYTES {
                self.rest = places.split_off(done);
                break;
            }
            let Some(encoder) = self.encoders.get_mut(*place as usize) else { continue };
            bytes += encoder.write_next(batch);
        }
        bytes
    }
}

#[cfg(test)]
pub(super) mod tests {
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    use opentelemetry_proto::tonic::metrics::v1::{Gauge, Sum, number_data_point};

    use super::super::points::count;
    use super::*;
    use crate::export::message::Attributes;
    use crate::model::semconv as names;

    fn series(metric: names::Metric, name: &str, moments: std::ops::Range<i64>) -> Points {
        let values = moments.map(|at| (Millis(at), count(at))).collect();
        let attributes = Attributes::new().text(names::TASK_TYPE, name);
        Points { metric, attributes, values: Values::Numbers(values) }
    }

    /// The requests as a backend decodes them.
    pub(in crate::export::metrics) fn packed(series: Vec<Points>) -> Vec<ExportMetricsServiceRequest> {
        let mut packer = Packer::new(Bytes::from_static(b""), series);
        let batches = std::iter::from_fn(|| packer.next());
        batches.map(|batch| ExportMetricsServiceRequest::decode(batch.encode()).unwrap()).collect()
    }

    /// The moment, metric and value of each point, in the order they are sent.
    pub(in crate::export::metrics) fn points(requests: &[ExportMetricsServiceRequest]) -> Vec<(u64, &str, f64)> {
        let mut all = Vec::new();
        for resource in requests.iter().flat_map(|request| &request.resource_metrics) {
            let mut of_moment = Vec::new();
            for metric in &resource.scope_metrics[0].metrics {
                let Some(Data::Gauge(Gauge { data_points }) | Data::Sum(Sum { data_points, .. })) = &metric.data else {
                    panic!("{metric:?} holds no numbers")
                };
                for point in data_points {
                    let Some(number_data_point::Value::AsDouble(value)) = point.value else { panic!("{point:?}") };
                    assert_eq!(point.attributes.len(), 1, "{point:?}");
                    of_moment.push((point.time_unix_nano / 1_000_000, metric.name.as_str(), value));
                }
            }
            let moments: std::collections::BTreeSet<u64> = of_moment.iter().map(|(at, ..)| *at).collect();
            assert_eq!(moments.len(), 1, "a resource holds the points of one moment");
            all.extend(of_moment);
        }
        all
    }

    #[test]
    fn each_moment_has_its_own_resource_and_moments_ascend() {
        let wip = series(names::M_TASK_WIP, "story", 1..4);
        let late = series(names::M_TASK_WIP, "bug", 3..5);
        let created = series(names::M_TASK_CREATED, "story", 2..4);
        let requests = packed(vec![wip, late, created]);
        assert_eq!(requests.len(), 1);
        let (wip, created) = (names::M_TASK_WIP.name, names::M_TASK_CREATED.name);
        let expected = [
            (1, wip, 1.0),
            (2, wip, 2.0),
            (2, created, 2.0),
            (3, wip, 3.0),
            (3, wip, 3.0),
            (3, created, 3.0),
            (4, wip, 4.0),
        ];
        assert_eq!(points(&requests), expected);
        let named: Vec<usize> =
            requests[0].resource_metrics.iter().map(|moment| moment.scope_metrics[0].metrics.len()).collect();
        assert_eq!(named, [1, 2, 2, 1], "a metric is named once in a moment");
    }

    #[test]
    fn a_long_history_takes_several_requests_and_is_complete() {
        let long = |name: &str| series(names::M_TASK_WIP, name, 0..5_000);
        let requests = packed((0..20).map(|n| long(&n.to_string())).collect());
        assert!(requests.len() > 3, "{} requests", requests.len());
        let points = points(&requests);
        assert!(points.is_sorted_by_key(|(at, ..)| *at));
        assert_eq!(points.len(), 100_000);
        for request in &requests {
            assert!(request.encoded_len() < MAX_BATCH_BYTES / 2, "{} bytes", request.encoded_len());
        }
    }

    #[test]
    fn a_moment_with_very_many_points_takes_several_requests() {
        let requests = packed((0..30_000).map(|n| series(names::M_TASK_WIP, &n.to_string(), 7..8)).collect());
        assert!(requests.len() > 1 && requests.iter().all(|request| request.resource_metrics.len() == 1));
        assert_eq!(points(&requests).len(), 30_000);
    }
}
