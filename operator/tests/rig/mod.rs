//! What the tests of derivation share: contexts from texts, and the parts of what was derived.

use contextcore_operator::derive::Derivation;
use contextcore_operator::resource::ProjectContext;
use contextcore_operator::settings::Settings;
use contextcore_operator::validate::{Input, read};
use serde_json::{Value, json};

/// Everything set that changes an object.
pub(crate) const SETTINGS: &str = "\
instance: platform
namespace: contextcore
objectLabels: {release: kube-prometheus-stack}
channels:
  commerce-oncall: {pagerdutyConfigs: [{routingKey: {name: pagerduty, key: commerce}}]}
  executive-dashboard: {webhookConfigs: [{urlSecret: {name: executives, key: url}}]}
  search: {slackConfigs: [{apiURL: {name: slack, key: url}, channel: '#search'}]}
env: {enabled: true}
grafana: {url: 'https://grafana.example/'}
runbookBaseUrl: https://runbooks.example
alerts: {absent: 15m}
";

pub(crate) fn settings(text: &str) -> Settings {
    Settings::parse("settings.yaml", text).unwrap()
}

pub(crate) fn contexts(text: &str) -> Vec<ProjectContext> {
    read(&[Input { file: "contexts.yaml".to_owned(), text: text.to_owned() }]).unwrap()
}

/// A context of project `shop` with these parts, unchecked.
pub(crate) fn context(namespace: &str, name: &str, parts: &Value) -> ProjectContext {
    let mut spec = json!({"project": {"id": "shop"}});
    for (key, value) in parts.as_object().unwrap() {
        spec[key] = value.clone();
    }
    serde_json::from_value(json!({
        "apiVersion": "contextcore.io/v1",
        "kind": "ProjectContext",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }))
    .unwrap()
}

/// The first object of a kind.
pub(crate) fn object<'a>(derivation: &'a Derivation, kind: &str) -> &'a Value {
    derivation.objects.iter().find(|object| object["kind"] == kind).unwrap()
}

pub(crate) fn rules(object: &Value) -> Vec<Value> {
    let groups = object["spec"]["groups"].as_array().unwrap();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

pub(crate) fn alerts(object: &Value) -> Vec<Value> {
    rules(object).into_iter().filter(|rule| rule.get("alert").is_some()).collect()
}

/// What the collector reads.
pub(crate) fn fragment(derivation: &Derivation) -> String {
    let map = derivation.objects.iter().find(|object| object["metadata"]["name"] == "contextcore-collector").unwrap();
    map["data"]["contextcore.yaml"].as_str().unwrap().to_owned()
}

/// The fragment as a value, and the names of its policies.
pub(crate) fn policies(fragment: &str) -> (Value, Vec<String>) {
    let value: Value = serde_saphyr::from_str(fragment).unwrap();
    let policies = value["processors"]["tail_sampling/contextcore"]["policies"].as_array().unwrap();
    let names = policies.iter().map(|policy| policy["name"].as_str().unwrap().to_owned()).collect();
    (value, names)
}
