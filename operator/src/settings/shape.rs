//! What the JSON Schema of the settings says besides types: patterns, and what goes together. With it the chart refuses at once what
//! [`super::check`] and [`super::read`] refuse when the controller starts; those decide.

use serde_json::{Map, Value, json};

/// A namespace.
pub(super) const NAMESPACE: &str = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$";
/// The value of a label.
pub(super) const LABEL: &str = "^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$";
/// A channel.
pub(super) const CHANNEL: &str = "^[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?$";
/// A web address.
pub(super) const ADDRESS: &str = "^https?://.";
/// Seconds or minutes above 0.
pub(super) const INTERVAL: &str = "^0*[1-9][0-9]*[sm]$";
/// A time above 0 as the collector reads it.
pub(super) const WAIT: &str = r"^([0-9]*[1-9][0-9]*(\.[0-9]*)?|[0-9]+\.[0-9]*[1-9][0-9]*)(ms|s|m)$";
/// How long Prometheus keeps data.
pub(super) const RETENTION: &str = "^0*[1-9][0-9]*[smhdwy]([0-9]+[smhdwy])*$";
/// A uid of Grafana.
pub(super) const UID: &str = "^[A-Za-z0-9_-]{1,31}$";

/// A key that looks so.
pub(super) fn name(pattern: &str) -> Value {
    json!({"pattern": pattern})
}

/// The value of a label, which may be empty.
pub(super) fn label_value() -> Value {
    json!({"type": "string", "pattern": format!("^({})?$", LABEL.trim_start_matches('^').trim_end_matches('$'))})
}

/// The lists of a receiver of `AlertmanagerConfig`, and those that Alertmanager has and its operator may get.
pub(super) const INTEGRATIONS: [&str; 18] = [
    "discordConfigs",
    "emailConfigs",
    "incidentioConfigs",
    "jiraConfigs",
    "mattermostConfigs",
    "msteamsConfigs",
    "msteamsv2Configs",
    "opsgenieConfigs",
    "pagerdutyConfigs",
    "pushoverConfigs",
    "rocketchatConfigs",
    "slackConfigs",
    "snsConfigs",
    "telegramConfigs",
    "victoropsConfigs",
    "webexConfigs",
    "webhookConfigs",
    "wechatConfigs",
];

/// A receiver of `AlertmanagerConfig`: lists, at least one of which has something.
pub(super) fn receiver() -> Value {
    let mut properties = Map::from_iter([("name".to_owned(), json!({}))]);
    properties.extend(INTEGRATIONS.map(|name| (name.to_owned(), json!({"type": "array"}))));
    let reaches = |name: &str| json!({"properties": {name: {"minItems": 1}}, "required": [name]});
    json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "anyOf": INTEGRATIONS.map(reaches),
    })
}

/// A boundary of a histogram.
pub(super) fn bucket() -> Value {
    json!({"type": "number", "exclusiveMinimum": 0})
}

/// A condition on a key, and what must then be so.
fn when(key: &str, value: &Value, then: &Value) -> Value {
    json!({"if": {"properties": {key: {"const": value}}, "required": [key]}, "then": then})
}

/// What goes together in all settings.
pub(super) fn settings() -> Value {
    let attach = json!({"properties": {"mode": {"const": "attach"}}, "required": ["mode"]});
    let consistent = json!({"properties": {"strategy": {"const": "consistent"}}, "required": ["strategy"]});
    json!([{
        "if": {"properties": {"collector": attach}, "required": ["collector"]},
        "then": {"properties": {"sampling": {"not": consistent}}},
    }])
}

/// What the modes of the collector need.
pub(super) fn collector() -> Value {
    let name = json!({"required": ["name"], "properties": {"name": {"type": "string"}}});
    let exporters = json!({"required": ["exporters"], "properties": {"exporters": {"minProperties": 1}}});
    json!([when("mode", &json!("attach"), &name), when("mode", &json!("managed"), &exporters)])
}

/// What an old Prometheus needs.
pub(super) fn prometheus() -> Value {
    let buckets = json!({"required": ["buckets"], "properties": {"buckets": {"minItems": 1}}});
    json!([when("compat", &json!(2), &buckets)])
}
