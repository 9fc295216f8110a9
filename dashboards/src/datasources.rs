//! The data sources the dashboards ask, and how they lead to each other: from a span to its events and metrics, from an event
//! and an exemplar to its trace.

use contextcore_model::semconv as names;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::query::label;

/// A data source, as Grafana's API and its file provisioning have it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DataSource {
    /// What everything names it by.
    pub uid: String,
    /// Its name for people.
    pub name: String,
    /// `prometheus`, `tempo` or `loki`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Always `proxy`: Grafana asks, not the browser.
    pub access: String,
    /// Where it is.
    pub url: String,
    /// How it is asked, and where it leads.
    pub json_data: Value,
}

/// The uid of the metrics.
pub const PROMETHEUS: &str = "contextcore-prometheus";
/// The uid of the traces.
pub const TEMPO: &str = "contextcore-tempo";
/// The uid of the events.
pub const LOKI: &str = "contextcore-loki";

/// The uids of the three, which need not be ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uids {
    /// The metrics.
    pub prometheus: String,
    /// The traces.
    pub tempo: String,
    /// The events.
    pub loki: String,
}

impl Default for Uids {
    fn default() -> Self {
        Self { prometheus: PROMETHEUS.to_owned(), tempo: TEMPO.to_owned(), loki: LOKI.to_owned() }
    }
}

impl Uids {
    /// The uid of a kind.
    pub fn of(&self, kind: &str) -> &str {
        match kind {
            "tempo" => &self.tempo,
            "loki" => &self.loki,
            _ => &self.prometheus,
        }
    }
}

/// The data source of a kind (`prometheus`, `tempo`, `loki`) at an address, leading to the others.
pub fn data_source(kind: &str, url: &str, uids: &Uids) -> DataSource {
    let (name, json_data) = match kind {
        "tempo" => ("ContextCore Tempo", tempo(uids)),
        "loki" => ("ContextCore Loki", loki(uids)),
        _ => ("ContextCore Prometheus", prometheus(uids)),
    };
    DataSource {
        uid: uids.of(kind).to_owned(),
        name: name.to_owned(),
        kind: kind.to_owned(),
        access: "proxy".to_owned(),
        url: url.to_owned(),
        json_data,
    }
}

/// POST, because the lists of chosen projects may be long.
fn prometheus(uids: &Uids) -> Value {
    json!({
        "httpMethod": "POST",
        "timeInterval": "60s",
        "exemplarTraceIdDestinations": [{"name": "trace_id", "datasourceUid": uids.tempo}],
    })
}

fn loki(uids: &Uids) -> Value {
    json!({
        "maxLines": 1_000,
        "derivedFields": [{
            "name": "Trace",
            "matcherType": "label",
            "matcherRegex": "trace_id",
            "url": "${__value.raw}",
            "urlDisplayLabel": "Trace of the task",
            "datasourceUid": uids.tempo,
        }],
    })
}

/// The time range must not go along when a trace is looked up by its id: history is older than any range.
fn tempo(uids: &Uids) -> Value {
    let tag = |attribute: &str| format!("${{__span.tags[\"{attribute}\"]}}");
    let (project, task) = (label(names::PROJECT_ID), label(names::TASK_ID));
    let events = format!(
        "{{{}=\"contextcore\", {project}=\"{}\"}} | {task}=\"{}\"",
        label(names::SERVICE_NAME),
        tag(names::PROJECT_ID),
        tag(names::TASK_ID)
    );
    let metric = |name: &str, query: String| json!({"name": name, "query": query});
    let of_project =
        |metric| format!("{}{{{project}=\"{}\"}}", crate::query::prometheus_name(metric), tag(names::PROJECT_ID));
    json!({
        "tracesToLogsV2": {
            "datasourceUid": uids.loki,
            "spanStartTimeShift": "-1h",
            "spanEndTimeShift": "1h",
            "filterByTraceID": false,
            "filterBySpanID": false,
            "customQuery": true,
            "query": events,
        },
        "tracesToMetrics": {
            "datasourceUid": uids.prometheus,
            "spanStartTimeShift": "-1d",
            "spanEndTimeShift": "1d",
            "queries": [
                metric("Blocked tasks of the project", of_project(names::M_TASK_BLOCKED)),
                metric("Work in progress of the project", of_project(names::M_TASK_WIP)),
            ],
        },
        "traceQuery": {"timeShiftEnabled": false},
        "nodeGraph": {"enabled": true},
    })
}

/// A file of Grafana's own provisioning (`provisioning/datasources/`) for data sources at these addresses.
pub fn file(urls: &[(&str, &str)]) -> Value {
    let uids = Uids::default();
    let all: Vec<Value> = urls.iter().map(|(kind, url)| json!(data_source(kind, url, &uids))).collect();
    json!({"apiVersion": 1, "datasources": all})
}
