//! Fingerprints: hashes that a dashboard, a data source and an alert rule carry, of what was written. When the hash no longer
//! matches what Grafana has, somebody changed it there.

use contextcore_dashboards::datasources::DataSource;
use serde_json::{Map, Value, json};

use crate::duration;

/// Where a dashboard keeps its fingerprint. The browser drops fields it does not know when it saves a dashboard.
const DASHBOARD: &str = "contextcoreHash";
/// What Grafana itself writes into a dashboard.
const GRAFANAS: [&str; 3] = ["id", "uid", "version"];
/// Where a data source keeps its fingerprint.
const SOURCE: &str = "contextcoreHash";
/// Where an alert rule keeps it.
const RULE: &str = "contextcore_hash";

/// The dashboard's JSON with its own fingerprint.
pub(super) fn sign_dashboard(mut dashboard: Value) -> Value {
    dashboard[DASHBOARD] = Value::from(dashboard_hash(&dashboard));
    dashboard
}

pub(super) fn stored_dashboard_hash(dashboard: &Value) -> Option<&str> {
    dashboard[DASHBOARD].as_str()
}

/// The hash of a dashboard without its fingerprint and without what Grafana writes into it.
pub(super) fn dashboard_hash(dashboard: &Value) -> String {
    let mut own = dashboard.clone();
    if let Some(fields) = own.as_object_mut() {
        fields.retain(|name, _| name != DASHBOARD && !GRAFANAS.contains(&name.as_str()));
    }
    hash(&own)
}

/// The data source with its own fingerprint.
pub(super) fn sign_source(source: &DataSource) -> DataSource {
    let mut signed = source.clone();
    if let Some(data) = signed.json_data.as_object_mut() {
        data.insert(SOURCE.to_owned(), Value::from(source_hash(source)));
    }
    signed
}

pub(super) fn stored_source_hash(source: &DataSource) -> Option<String> {
    source.json_data.get(SOURCE)?.as_str().map(str::to_owned)
}

pub(super) fn source_hash(source: &DataSource) -> String {
    let mut data = source.json_data.clone();
    if let Some(data) = data.as_object_mut() {
        data.remove(SOURCE);
    }
    hash(&json!([source.name, source.kind, source.url, data]))
}

/// The hash of a value. Equal values have equal hashes: keys are sorted, and numbers compare by value.
fn hash(value: &Value) -> String {
    blake3::hash(canonical(value).to_string().as_bytes()).to_hex()[..12].to_owned()
}

/// `3` and `3.0` are one number, since Grafana does not distinguish them.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.iter().map(canonical).collect(),
        Value::Object(map) => {
            map.iter().map(|(key, value)| (key.clone(), canonical(value))).collect::<Map<_, _>>().into()
        }
        plain => plain.clone(),
    }
}

pub(super) fn sign_rule(mut rule: Value) -> Value {
    let hash = rule_hash(&rule);
    rule["annotations"][RULE] = Value::from(hash);
    rule
}

pub(super) fn stored_rule_hash(rule: &Value) -> Option<String> {
    rule["annotations"][RULE].as_str().map(str::to_owned)
}

/// The hash of the parts of a rule that matter. Grafana adds others.
pub(super) fn rule_hash(rule: &Value) -> String {
    let mut annotations = rule["annotations"].clone();
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.remove(RULE);
    }
    let queries: Vec<Value> = rule["data"].as_array().into_iter().flatten().map(query_parts).collect();
    let parts = ["title", "condition", "noDataState", "execErrState", "labels"].map(|key| rule[key].clone());
    hash(&json!([
        parts,
        annotations,
        queries,
        duration::seconds(rule["for"].as_str().unwrap_or_default()).unwrap_or_default()
    ]))
}

fn query_parts(query: &Value) -> Value {
    let model = &query["model"];
    let conditions = model["conditions"].as_array().into_iter().flatten();
    let evaluators: Vec<&Value> = conditions.map(|condition| &condition["evaluator"]).collect();
    json!([query["refId"], query["datasourceUid"], model["expr"], evaluators])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grafana_writes_into_a_dashboard_is_no_change() {
        let signed = sign_dashboard(json!({"uid": "x", "title": "A", "panels": [{"id": 3}]}));
        let hash = stored_dashboard_hash(&signed).unwrap().to_owned();
        let mut read = signed;
        read["id"] = json!(7);
        read["version"] = json!(2);
        assert_eq!(dashboard_hash(&read), hash);
        read["panels"][0]["id"] = json!(4);
        assert_ne!(dashboard_hash(&read), hash, "the id of a panel is no id of Grafana's");
    }

    #[test]
    fn equal_values_have_equal_hashes() {
        assert_eq!(hash(&json!({"a": 3})), hash(&json!({"a": 3.0})));
        let rule = |pending: &str| json!({"title": "x", "for": pending, "data": [], "annotations": {}});
        assert_eq!(rule_hash(&rule("5m")), rule_hash(&rule("5m0s")));
        assert_ne!(rule_hash(&rule("5m")), rule_hash(&rule("6m")));
    }
}
