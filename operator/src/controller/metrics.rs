//! The controller's own metrics, as Prometheus reads them.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::world::World;

/// What `/metrics` says it is.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const SECONDS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 20.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorType {
    error_type: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ObjectLabels {
    kind: String,
    state: &'static str,
}

fn histogram() -> Histogram {
    Histogram::new(SECONDS)
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    duration: Family<Outcome, Histogram>,
    errors: Family<ErrorType, Counter>,
    objects: Family<ObjectLabels, Gauge>,
    queue: Gauge,
    leader: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("contextcore_controller");
        let duration = Family::new_with_constructor(histogram as fn() -> Histogram);
        let errors = Family::default();
        let objects = Family::default();
        let (queue, leader) = (Gauge::default(), Gauge::default());
        registry.register_with_unit(
            "reconcile_duration",
            "How long it took to bring a context, or what all share, into force",
            Unit::Seconds,
            duration.clone(),
        );
        registry.register(
            "errors",
            "Writes that the API server refused, and records of the audit that were lost",
            errors.clone(),
        );
        registry.register("objects", "Objects by kind and state", objects.clone());
        registry.register("queue", "Contexts that wait", queue.clone());
        registry.register("leader", "Whether this process writes (1) or waits (0)", leader.clone());
        Self { registry, duration, errors, objects, queue, leader }
    }

    pub(crate) fn reconciled(&self, took: Duration, result: &'static str) {
        self.duration.get_or_create(&Outcome { result }).observe(took.as_secs_f64());
    }

    pub(crate) fn error(&self, error_type: &str) {
        self.errors.get_or_create(&ErrorType { error_type: error_type.to_owned() }).inc();
    }

    /// The same, several times.
    pub(crate) fn errors(&self, error_type: &str, count: u64) {
        if count > 0 {
            self.errors.get_or_create(&ErrorType { error_type: error_type.to_owned() }).inc_by(count);
        }
    }

    pub(crate) fn queued(&self, count: usize) {
        self.queue.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub(crate) fn dequeued(&self) {
        self.queue.dec();
    }

    /// As text.
    pub(crate) fn text(&self, world: &World) -> String {
        self.leader.set(i64::from(world.is_leader));
        self.objects.clear();
        for ((kind, state), count) in world.results.counts() {
            self.objects.get_or_create(&ObjectLabels { kind: kind.to_string(), state }).set(count);
        }
        let mut text = String::new();
        // Writing to a text cannot fail.
        encode(&mut text, &self.registry).unwrap_or_default();
        text
    }
}

#[cfg(test)]
mod tests {
    use contextcore_model::semconv::{METRICS, exposition_name};

    use super::super::kinds::{Key, Kind};
    use super::super::results::ObjectState;
    use super::*;

    #[test]
    fn names_are_those_of_the_contract() {
        let metrics = Metrics::new();
        metrics.reconciled(Duration::from_millis(3), "ok");
        metrics.error("forbidden");
        metrics.queued(2);
        let text = metrics.text(&World::default());
        for line in [
            "contextcore_controller_reconcile_duration_seconds_count{result=\"ok\"} 1",
            "contextcore_controller_errors_total{error_type=\"forbidden\"} 1",
            "contextcore_controller_queue 2",
            "contextcore_controller_leader 0",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    #[test]
    fn every_metric_is_registered_as_it_is_named() {
        let metrics = Metrics::new();
        metrics.reconciled(Duration::from_millis(3), "ok");
        metrics.error("forbidden");
        let mut world = World::default();
        let key = Key { kind: Kind::ConfigMap, namespace: "a".into(), name: "b".into() };
        world.results.failed(&key, "hash", ObjectState::Failed("no".into()), Duration::ZERO);
        let text = metrics.text(&world);
        let own = METRICS.iter().filter(|metric| metric.name.starts_with("contextcore.controller."));
        let mut count = 0;
        for metric in own {
            // The type line of a counter is without `_total`.
            let name = exposition_name(metric.name, metric.unit, false);
            assert!(text.contains(&format!("# TYPE {name} ")), "{name}\n{text}");
            count += 1;
        }
        assert_eq!(count, text.matches("# TYPE ").count());
    }
}
