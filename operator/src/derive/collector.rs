//! Sampling: two processors for the OpenTelemetry collector.
//!
//! The first says whose telemetry it is, from the namespace and service name that the cluster vouches for; what an application
//! claims itself is overwritten. The second keeps traces at the rate of their service, all errors, and every writing request of
//! services under extended audit. A rate belongs to a service, never to a project: two services of a project may differ. There is
//! one policy a rate, so their number does not grow with that of the services.
//!
//! With the strategy `consistent` the second is replaced by what is in `consistent`.

mod consistent;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::object::Object;
use super::plan::Plan;
use crate::escape;
use crate::resource::Audit;
use crate::settings::{CollectorMode, Settings, Strategy};
use crate::units;
use crate::yaml;

pub(crate) use consistent::{FORWARD, ROUTING};

pub(crate) const TRANSFORM: &str = "transform/contextcore";
pub(crate) const SAMPLING: &str = "tail_sampling/contextcore";
/// Of the gateway only: in a collector of others it is theirs.
const CLAIMS: &str = "transform/claims";
/// What all telemetry passes first in our own gateway.
const ARRIVING: [&str; 4] = ["memory_limiter", CLAIMS, "k8sattributes", TRANSFORM];
/// The ConfigMap with the fragment, and our own collector: never removed while a pipeline could name what is in them.
pub(crate) const FRAGMENT: &str = "contextcore-collector";
pub(crate) const GATEWAY: &str = "contextcore-gateway";
const COLLECTOR_API: &str = "opentelemetry.io/v1beta1";
/// What the policy begins with that only says which fragment a collector has loaded.
pub(crate) const MARKER: &str = "fragment-";
const RATE: &str = "contextcore.sampling";
const AUDIT: &str = "contextcore.audit";
const OTHERS: &str = "others";
const AUDITED: &str = "resource.attributes[\"contextcore.audit\"] == \"extended\" and \
                      IsMatch(span.attributes[\"http.request.method\"], \"^(POST|PUT|PATCH|DELETE)$\")";
/// The block of statements is written once and used three times: a thousand services would not fit a ConfigMap otherwise.
const STATEMENTS: &str = "trace_statements:";

/// What the collector reads, or the processors of an existing collector.
pub(crate) fn object(plans: &[&Plan], settings: &Settings) -> Object {
    match settings.collector.mode {
        CollectorMode::ConfigMap => {
            let text = fragment(plans, settings);
            let data = Map::from_iter([("contextcore.yaml".to_owned(), Value::String(text))]);
            Object::config_map(&settings.namespace, FRAGMENT, data)
        }
        CollectorMode::Attach => {
            let (namespace, name) = settings.collector.attached(&settings.namespace);
            Object::new(COLLECTOR_API, "OpenTelemetryCollector", namespace, name)
                .with("spec", json!({"config": {"processors": processors(plans, settings)}}))
                .foreign()
        }
        CollectorMode::Managed => Object::new(COLLECTOR_API, "OpenTelemetryCollector", &settings.namespace, GATEWAY)
            .with("spec", gateway(plans, settings)),
    }
}

/// Both processors, as the configuration of a collector has them.
fn processors(plans: &[&Plan], settings: &Settings) -> Value {
    json!({TRANSFORM: transform_of_all(plans), SAMPLING: tail_sampling(plans, settings)})
}

fn transform_of_all(plans: &[&Plan]) -> Value {
    let mut transform = transform(plans);
    transform["metric_statements"] = transform["trace_statements"].clone();
    transform["log_statements"] = transform["trace_statements"].clone();
    transform
}

/// A gateway of ours: OTLP in, both processors, and the exporters of the settings out.
fn gateway(plans: &[&Plan], settings: &Settings) -> Value {
    let collector = &settings.collector;
    let mut spec =
        json!({"mode": "deployment", "replicas": collector.replicas, "config": gateway_config(plans, settings)});
    for (field, value) in [("image", &collector.image), ("serviceAccount", &collector.service_account)] {
        if let Some(value) = value {
            spec[field] = value.as_str().into();
        }
    }
    spec
}

fn gateway_config(plans: &[&Plan], settings: &Settings) -> Value {
    let protocols = json!({"grpc": {"endpoint": "0.0.0.0:4317"}, "http": {"endpoint": "0.0.0.0:4318"}});
    let mut config = json!({
        "receivers": {"otlp": {"protocols": protocols}},
        "processors": {
            "memory_limiter": {"check_interval": "1s", "limit_percentage": 80, "spike_limit_percentage": 20},
            CLAIMS: claims(),
            "k8sattributes": {"pod_association": [{"sources": [{"from": "connection"}]}]},
            TRANSFORM: transform_of_all(plans),
            "batch": {},
        },
        "exporters": settings.collector.exporters,
        "service": {"pipelines": {}},
    });
    for signal in ["traces", "metrics", "logs"] {
        let exporters = settings.collector.exporters_of(signal);
        if !exporters.is_empty() {
            config["service"]["pipelines"][signal] =
                pipeline("otlp", &[&ARRIVING[..], &["batch"]].concat(), &exporters);
        }
    }
    sample(&mut config, plans, settings);
    config
}

/// Puts the sampling into the pipeline of traces, if there is one.
fn sample(config: &mut Value, plans: &[&Plan], settings: &Settings) {
    let exporters = settings.collector.exporters_of("traces");
    if settings.sampling.strategy != Strategy::Consistent {
        config["processors"][SAMPLING] = tail_sampling(plans, settings);
        if !exporters.is_empty() {
            let order = [&ARRIVING[..], &[SAMPLING, "batch"]].concat();
            config["service"]["pipelines"]["traces"] = pipeline("otlp", &order, &exporters);
        }
    } else if !exporters.is_empty() {
        let mut parts = consistent::parts(plans, settings);
        parts.pipelines.insert("traces".to_owned(), pipeline("otlp", &ARRIVING, &[ROUTING]));
        parts.pipelines.insert("traces/contextcore".to_owned(), pipeline(FORWARD, &["batch"], &exporters));
        merge(&mut config["processors"], parts.processors);
        merge(&mut config["service"]["pipelines"], parts.pipelines);
        config["connectors"] = parts.connectors;
    }
}

fn pipeline(receiver: &str, processors: &[&str], exporters: &[&str]) -> Value {
    json!({"receivers": [receiver], "processors": processors, "exporters": exporters})
}

fn merge(into: &mut Value, more: Map<String, Value>) {
    more.into_iter().for_each(|(name, value)| into[name] = value);
}

/// Takes away what applications say of their place in the cluster: `k8sattributes` leaves alone what is there already, and an
/// application that names another namespace would be kept and counted as a service there.
fn claims() -> Value {
    let statements = json!(["delete_matching_keys(resource.attributes, \"^k8s[.]\")"]);
    json!({
        "error_mode": "ignore",
        "trace_statements": statements,
        "metric_statements": statements,
        "log_statements": statements,
    })
}

/// The fragment for a second `--config`. Maps of several files are merged, lists are not: it names no pipeline of others.
fn fragment(plans: &[&Plan], settings: &Settings) -> String {
    let who = yaml::text(&json!({"processors": {TRANSFORM: transform(plans)}}));
    let who = who.replacen(STATEMENTS, &format!("{STATEMENTS} &who"), 1);
    let mut text = format!("{who}    metric_statements: *who\n    log_statements: *who\n");
    let indented = |value: &Value| yaml::text(value).lines().map(|line| format!("  {line}\n")).collect::<String>();
    if settings.sampling.strategy == Strategy::Consistent {
        let parts = consistent::parts(plans, settings);
        text.push_str(&indented(&Value::Object(parts.processors)));
        let rest = json!({"connectors": parts.connectors, "service": {"pipelines": parts.pipelines}});
        text.push_str(&yaml::text(&rest));
    } else {
        text.push_str(&indented(&json!({SAMPLING: tail_sampling(plans, settings)})));
    }
    text
}

fn transform(plans: &[&Plan]) -> Value {
    let mut statements = vec![set(RATE, OTHERS), format!("delete_key(attributes, {})", escape::ottl(AUDIT))];
    statements.extend(plans.iter().flat_map(|plan| of_context(plan)));
    json!({"error_mode": "ignore", "trace_statements": [{"context": "resource", "statements": statements}]})
}

/// Whose telemetry that of its services is, and what follows.
fn of_context(plan: &Plan) -> Vec<String> {
    let mut values = vec![("project.id", plan.subject.project().to_owned()), (RATE, rate(plan))];
    if plan.policy.derived.audit_logging == Audit::Extended {
        values.push((AUDIT, Audit::Extended.to_string()));
    }
    let condition = |service: &str| {
        let (namespace, service) = (escape::ottl(plan.subject.namespace), escape::ottl(service));
        format!("attributes[\"k8s.namespace.name\"] == {namespace} and attributes[\"service.name\"] == {service}")
    };
    let of_service = |service: &&str| {
        let condition = condition(service);
        values.iter().map(|(key, value)| format!("{} where {condition}", set(key, value))).collect::<Vec<_>>()
    };
    plan.subject.services.iter().flat_map(of_service).collect()
}

fn set(key: &str, value: &str) -> String {
    format!("set(attributes[{}], {})", escape::ottl(key), escape::ottl(value))
}

/// A rate as it names a policy: in percent.
fn rate(plan: &Plan) -> String {
    units::number(plan.policy.derived.trace_sampling * 100.0)
}

fn tail_sampling(plans: &[&Plan], settings: &Settings) -> Value {
    let sampling = &settings.sampling;
    let mut policies = match sampling.strategy {
        Strategy::Tail => policies(plans, sampling.others),
        // The applications have decided, or other processors do; what arrives is kept.
        Strategy::Head | Strategy::Consistent => vec![json!({"name": "all", "type": "always_sample"})],
    };
    if settings.prometheus.url.is_some() {
        policies.push(marker(plans, &policies));
    }
    json!({
        "decision_wait": sampling.decision_wait,
        "num_traces": sampling.num_traces,
        "decision_cache": {"sampled_cache_size": sampling.num_traces, "non_sampled_cache_size": sampling.num_traces},
        "policies": policies,
    })
}

/// A policy that keeps nothing. Its name is a label of the collector's own metrics, where we can see which fragment is loaded.
fn marker(plans: &[&Plan], policies: &[Value]) -> Value {
    let hash = blake3::hash(format!("{}{policies:?}", transform(plans)).as_bytes()).to_hex();
    let name = format!("{MARKER}{}", &hash.as_str()[..8]);
    json!({"name": name, "type": "probabilistic", "probabilistic": {"sampling_percentage": 0}})
}

/// Name of the marker in an object that was made here.
pub(crate) fn marker_of(object: &Value) -> Option<String> {
    let text = object["data"]["contextcore.yaml"].as_str().map_or_else(|| object["spec"].to_string(), str::to_owned);
    let name = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).find(|word| {
        word.strip_prefix(MARKER).is_some_and(|hash| hash.len() == 8 && hash.chars().all(|c| c.is_ascii_hexdigit()))
    });
    name.map(str::to_owned)
}

fn policies(plans: &[&Plan], others: f64) -> Vec<Value> {
    let mut policies = vec![
        json!({"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}),
        json!({"name": "audit", "type": "ottl_condition", "ottl_condition": {
            "error_mode": "ignore",
            "span": [escape::collector(AUDITED)],
        }}),
    ];
    policies.extend(rates(plans).iter().filter_map(|(percent, rate)| of_rate(rate, *percent)));
    policies.extend(of_rate(OTHERS, others * 100.0));
    policies
}

/// The rates of all services, the highest first: in percent, and as they name a policy.
fn rates(plans: &[&Plan]) -> Vec<(f64, String)> {
    let rates: BTreeSet<String> = plans.iter().map(|plan| rate(plan)).collect();
    let mut rates: Vec<(f64, String)> = rates.into_iter().filter_map(|rate| Some((rate.parse().ok()?, rate))).collect();
    rates.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    rates
}

/// The policy of a rate. Nothing is kept at 0, which needs none.
fn of_rate(name: &str, percent: f64) -> Option<Value> {
    (percent > 0.0).then(|| {
        json!({"name": format!("rate-{name}"), "type": "and", "and": {"and_sub_policy": [
            {"name": "who", "type": "string_attribute", "string_attribute": {"key": RATE, "values": [name]}},
            {"name": "rate", "type": "probabilistic", "probabilistic": {"sampling_percentage": percentage(percent)}},
        ]}})
    })
}

/// A percentage without the noise of binary fractions, whole where it is.
fn percentage(percent: f64) -> Value {
    let text = units::number(percent);
    text.parse::<u64>().map_or_else(|_| json!(text.parse::<f64>().unwrap_or(percent)), Value::from)
}
