//! What is written about telemetry itself: `spec.observability`. All of it is derived where it is absent.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::terms::{Annotate, Audit, Placement, Priority};
use super::{SLUG, TIME, URL, rule_of};

const INTERVAL: &str = r"^\d+[sm]$";

/// What is written about telemetry itself. A field that is absent follows from `business`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [rule_of(
    ".metricsInterval",
    "!has(self.metricsInterval) || (duration(self.metricsInterval) >= duration('1s') && duration(self.metricsInterval) <= duration('10m'))",
    "metricsInterval is between 1s and 10m",
)]))]
pub struct Observability {
    /// Share of traces to keep, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub trace_sampling: Option<f64>,
    /// How often metrics are read or exported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8), regex(pattern = INTERVAL), extend("example" = "30s"))]
    pub metrics_interval: Option<String>,
    /// Who gets the alerts: names of channels in the settings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 63), regex(pattern = SLUG)), extend("x-kubernetes-list-type" = "set"))]
    pub alert_channels: Vec<String>,
    /// Label `priority` of the alerts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert_priority: Option<Priority>,
    /// Where the dashboard goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dashboard_placement: Option<Placement>,
    /// Whether every writing request is kept as a trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_logging: Option<Audit>,
    /// What to do when an alert fires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 500), regex(pattern = URL), extend("example" = "https://runbooks.example/checkout"))]
    pub runbook: Option<String>,
    /// Where Prometheus reads the metrics. Absent: no ServiceMonitor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scrape: Option<Scrape>,
    /// Whether the workloads are annotated.
    #[serde(default)]
    pub annotate: Annotate,
    /// No alerts for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disable_alerts: Option<DisableAlerts>,
}

/// Where Prometheus reads the metrics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Scrape {
    /// Name of the port of the Service.
    #[schemars(length(min = 1, max = 63), extend("example" = "metrics"))]
    pub port: String,
    /// Path. Absent: /metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 500), regex(pattern = r"^/[^\s]*$"), extend("example" = "/metrics"))]
    pub path: Option<String>,
    /// Labels of the Service. Absent: `app.kubernetes.io/name` with the name of this resource.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = {
        "type": "string", "maxLength": 63, "pattern": super::LABEL_VALUE,
    }))]
    pub selector: BTreeMap<String, String>,
}

/// No alerts for a while.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DisableAlerts {
    /// Until when: a day, or a point in time in UTC.
    #[schemars(length(max = 20), regex(pattern = TIME), extend("example" = "2027-01-31T06:00:00Z"))]
    pub until: String,
    /// Why, for those who wonder.
    #[schemars(length(min = 1, max = 200))]
    pub reason: String,
}
