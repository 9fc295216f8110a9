//! What follows from what a platform team may choose instead of the default: golden objects, and what holds for them.

use contextcore_operator::derive::{Derivation, derive};
use contextcore_operator::resource::ProjectContext;
use contextcore_operator::yaml;
use serde_json::{Value, json};

use super::rig::{self, SETTINGS, context, contexts, settings};

const BLUEPRINT: &str = include_str!("cases/blueprint.yaml");
const PER_NAMESPACE: &str = "routing: {perNamespace: true}\n";

/// The context of the blueprint, two others in a second namespace, and one whose channels nobody set up.
fn services() -> Vec<ProjectContext> {
    let mut all = contexts(BLUEPRINT);
    let search = json!({"business": {"owner": "search"}, "observability": {"traceSampling": 0.25}});
    all.push(context("search", "api", &search));
    all.push(context(
        "search",
        "index",
        &json!({"observability": {"alertChannels": ["search", "executive-dashboard"]}}),
    ));
    all.push(context("quiet", "batch", &json!({"business": {"owner": "nobody", "criticality": "low"}})));
    all
}

fn chosen(more: &str) -> Derivation {
    derive(&services(), &settings(&format!("{SETTINGS}{more}")))
}

fn golden(derivation: &Derivation, kinds: &[&str]) -> String {
    let is_meant = |object: &&Value| kinds.contains(&object["kind"].as_str().unwrap());
    yaml::stream(&derivation.objects.iter().filter(is_meant).cloned().collect::<Vec<_>>())
}

#[test]
fn consistent_sampling_has_a_pipeline_for_each_rate() {
    let derivation = chosen("sampling: {strategy: consistent}\n");
    let map = derivation.objects.iter().find(|object| object["metadata"]["name"] == "contextcore-collector").unwrap();
    insta::assert_snapshot!("sampling-consistent", yaml::stream(std::slice::from_ref(map)));
    let env = derivation.objects.iter().find(|object| object["metadata"]["name"] == "contextcore-api-env").unwrap();
    assert_eq!(env["data"]["OTEL_TRACES_SAMPLER"], "parentbased_always_on", "a rate here would count twice");
}

#[test]
fn applications_that_sample_themselves_are_given_the_rate_and_collectors_drop_nothing() {
    let gateway = "collector: {mode: managed, exporters: {debug: {}}}\n";
    let derivation = chosen(&format!("sampling: {{strategy: head}}\n{gateway}"));
    let env = derivation.objects.iter().find(|object| object["metadata"]["name"] == "contextcore-api-env").unwrap();
    let given = ["OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"].map(|name| env["data"][name].as_str().unwrap());
    assert_eq!(given, ["parentbased_traceidratio", "0.25"]);
    let config = &rig::object(&derivation, "OpenTelemetryCollector")["spec"]["config"];
    let policies = &config["processors"]["tail_sampling/contextcore"]["policies"];
    assert_eq!(policies, &json!([{"name": "all", "type": "always_sample"}]), "a rate here would count twice");
}

#[test]
fn a_gateway_that_samples_consistently() {
    let gateway = "{mode: managed, replicas: 3, exporters: {otlp/tempo: {endpoint: 'tempo:4317'}, debug: {}}";
    let consistent = "sampling: {strategy: consistent}\n";
    let derivation = chosen(&format!("{consistent}collector: {gateway}}}\n"));
    insta::assert_snapshot!("sampling-consistent-managed", golden(&derivation, &["OpenTelemetryCollector"]));
    let without = chosen(&format!("{consistent}collector: {gateway}, pipelines: {{traces: []}}}}\n"));
    let config = &rig::object(&without, "OpenTelemetryCollector")["spec"]["config"];
    let pipelines: Vec<&String> = config["service"]["pipelines"].as_object().unwrap().keys().collect();
    assert_eq!(pipelines, ["logs", "metrics"]);
    assert_eq!(config["connectors"], Value::Null);
}

#[test]
fn each_namespace_has_routes_for_the_channels_that_it_uses() {
    let derivation = chosen(PER_NAMESPACE);
    insta::assert_snapshot!("routing-per-namespace", golden(&derivation, &["AlertmanagerConfig"]));
    let receivers = |namespace: &str| {
        let all = derivation.objects.iter().filter(|object| object["kind"] == "AlertmanagerConfig");
        let mut own = all.filter(|object| object["metadata"]["namespace"] == namespace);
        let names = |config: &Value| {
            let receivers = config["spec"]["receivers"].as_array().unwrap().iter();
            receivers.map(|receiver| receiver["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        own.next().map(names)
    };
    let wanted = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    assert_eq!(receivers("commerce"), wanted(&["contextcore-none", "commerce-oncall", "executive-dashboard"]));
    assert_eq!(receivers("search"), wanted(&["contextcore-none", "executive-dashboard", "search"]));
    assert_eq!((receivers("quiet"), receivers("monitoring")), (None, None));
}

/// A channel that the limits of a namespace forbid does not come into it by its routes.
#[test]
fn limits_hold_for_the_routes_of_a_namespace() {
    let limited = format!("{SETTINGS}{PER_NAMESPACE}limits: {{namespaces: {{search: {{channels: [search]}}}}}}\n");
    let derivation = derive(&services(), &settings(&limited));
    let text = golden(&derivation, &["AlertmanagerConfig"]);
    let search = text.split("---\n").find(|config| config.contains("namespace: search")).unwrap();
    assert!(!search.contains("executive"), "{search}");
}

/// A day that the pattern lets through and the calendar does not: the alerts stay on, and the context says so.
#[test]
fn alerts_that_end_on_no_day_stay_on() {
    let spec = |until: &str| {
        json!({
            "requirements": {"availability": "99.9"},
            "observability": {"disableAlerts": {"until": until, "reason": "migration"}},
        })
    };
    let derived = |until: &str| derive(&[context("shop", "api", &spec(until))], &settings(""));
    let (wrong, right) = (derived("2027-02-29"), derived("2028-02-29"));
    assert!(
        wrong.outcomes[0].notes[0].contains("disableAlerts.until: 2027-02-29 is not a day"),
        "{:?}",
        wrong.outcomes
    );
    assert!(right.outcomes[0].notes.is_empty());
    let is_muted =
        |derivation: &Derivation| rig::object(derivation, "PrometheusRule").to_string().contains("vector(time())");
    assert!(!is_muted(&wrong) && is_muted(&right));
}
