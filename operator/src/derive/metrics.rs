//! The metrics interval: a `ServiceMonitor` where Prometheus reads, environment variables where the application exports.

use serde_json::{Map, Value, json};

use super::object::Object;
use super::plan::Plan;
use crate::escape;
use crate::settings::{Settings, Strategy};
use crate::units;

/// Where Prometheus reads the metrics of a context, and how often.
pub(crate) fn service_monitor(plan: &Plan, _: &Settings) -> Option<Object> {
    let subject = &plan.subject;
    let scrape = subject.spec().observability.as_ref()?.scrape.as_ref()?;
    let own = || Map::from_iter([("app.kubernetes.io/name".to_owned(), subject.name.into())]);
    let labels = match &scrape.selector {
        selector if selector.is_empty() => Value::Object(own()),
        selector => json!(selector),
    };
    let endpoint = json!({
        "port": scrape.port,
        "path": scrape.path.as_deref().unwrap_or("/metrics"),
        "interval": plan.policy.derived.metrics_interval,
        "relabelings": [job(plan)],
    });
    let name = format!("contextcore-{}", subject.name);
    let object = Object::new("monitoring.coreos.com/v1", "ServiceMonitor", subject.namespace, &name);
    Some(object.monitoring().with("spec", json!({"selector": {"matchLabels": labels}, "endpoints": [endpoint]})))
}

/// Makes label `job` what it is for exported metrics, which the rules look for.
fn job(plan: &Plan) -> Value {
    match plan.subject.services.as_slice() {
        [service] => {
            let job = escape::replacement(&format!("{}/{service}", plan.subject.namespace));
            json!({"targetLabel": "job", "replacement": job})
        }
        _ => json!({
            "sourceLabels": ["__meta_kubernetes_namespace", "__meta_kubernetes_service_name"],
            "separator": "/",
            "targetLabel": "job",
        }),
    }
}

/// Environment variables for `envFrom`.
pub(crate) fn env(plan: &Plan, settings: &Settings) -> Option<Object> {
    if !settings.env.enabled {
        return None;
    }
    let subject = &plan.subject;
    let interval = units::interval(&plan.policy.derived.metrics_interval).unwrap_or(60) * 1000;
    let attributes = format!(
        "project.id={},service.namespace={}",
        escape::percent(subject.project()),
        escape::percent(subject.namespace)
    );
    let mut data = Map::new();
    let mut set = |name: &str, value: String| data.insert(name.to_owned(), Value::String(value));
    set("OTEL_METRIC_EXPORT_INTERVAL", interval.to_string());
    set("OTEL_RESOURCE_ATTRIBUTES", attributes);
    match settings.sampling.strategy {
        // A rate here times the rate of the collector would be too few, and errors would be lost.
        Strategy::Tail | Strategy::Consistent => {
            set("OTEL_TRACES_SAMPLER", "parentbased_always_on".to_owned());
        }
        Strategy::Head => {
            set("OTEL_TRACES_SAMPLER", "parentbased_traceidratio".to_owned());
            set("OTEL_TRACES_SAMPLER_ARG", units::number(plan.policy.derived.trace_sampling));
        }
    }
    Some(Object::config_map(subject.namespace, &format!("contextcore-{}-env", subject.name), data))
}
