//! What we answer: `status`. Conditions follow the manners of the Gateway API.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::terms::{Audit, Placement, Priority, Source};

/// So many objects does a status name. One with more would be refused whole.
pub(crate) const MOST_RESOURCES: usize = 256;
/// So many channels does it name.
pub(crate) const MOST_CHANNELS: usize = 64;

/// So many records of changes does it keep until the backend has them.
pub(crate) const MOST_UNRECORDED: usize = 32;
/// So many paths does a record of a change name.
pub(crate) const MOST_PATHS: usize = 256;

/// What became of the context.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProjectContextStatus {
    /// The generation that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Digest of the spec that was accepted last: changes are recorded against it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub spec_digest: Option<String>,
    /// That spec, as JSON: what follows from it stays in force while a newer one is not accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_spec: Option<String>,
    /// Number of objectives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slo_count: Option<i32>,
    /// What was derived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub derived: Option<Derived>,
    /// The objectives.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub slos: Vec<SloStatus>,
    /// The objects that were made for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MOST_RESOURCES), extend("x-kubernetes-list-type" = "atomic"))]
    pub resources: Vec<ResourceReference>,
    /// Accepted, RulesReady, SamplingReady, DashboardReady, RoutingReady, SLIResolved and Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Changes of the spec that the OTLP backend of the controller does not have yet, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MOST_UNRECORDED), extend("x-kubernetes-list-type" = "atomic"))]
    pub unrecorded: Vec<UnrecordedChange>,
}

/// A change of the spec, as its record `project.context_changed` has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnrecordedChange {
    /// When it was accepted: the time of the record.
    #[schemars(extend("format" = "date-time"))]
    pub at: String,
    /// Id of the project.
    pub project: String,
    /// Generation of the spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// Who sent the change: a program, as the API server names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<String>,
    /// Key paths that differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MOST_PATHS), extend("x-kubernetes-list-type" = "atomic"))]
    pub paths: Vec<String>,
    /// Digest of the spec before. Absent: there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Digest of the spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Both specs, under extended auditing only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<ChangedValues>,
}

/// The spec before a change and after it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangedValues {
    /// The spec before, as JSON; `null` when it is not known.
    pub before: String,
    /// The spec, as JSON.
    pub after: String,
}

/// The values in force, and where each comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Derived {
    /// Share of traces kept.
    pub trace_sampling: f64,
    /// How often metrics are read or exported.
    pub metrics_interval: String,
    /// Priority of the alerts.
    pub alert_priority: Priority,
    /// Who gets the alerts.
    #[schemars(length(max = MOST_CHANNELS), extend("x-kubernetes-list-type" = "atomic"))]
    pub alert_channels: Vec<String>,
    /// Where the dashboard is.
    pub dashboard_placement: Placement,
    /// How much of what changes data is kept.
    pub audit_logging: Audit,
    /// Where each value comes from.
    pub sources: Sources,
}

/// Where each derived value comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sources {
    /// Of `traceSampling`.
    pub trace_sampling: Source,
    /// Of `metricsInterval`.
    pub metrics_interval: Source,
    /// Of `alertPriority`.
    pub alert_priority: Source,
    /// Of `alertChannels`.
    pub alert_channels: Source,
    /// Of `dashboardPlacement`.
    pub dashboard_placement: Source,
    /// Of `auditLogging`.
    pub audit_logging: Source,
}

/// An objective.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SloStatus {
    /// Its name: availability, latency_p99.
    pub name: String,
    /// In percent.
    pub objective: String,
    /// Its period.
    pub window: String,
    /// Share of requests that may be bad, in percent.
    pub error_budget: String,
    /// Where its numbers come from.
    pub sli: String,
}

/// An object in the cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceReference {
    /// Group of its API; empty for the core.
    pub group: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What is the case, why, and since when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it is about.
    #[serde(rename = "type")]
    #[schemars(length(max = 316))]
    pub kind: String,
    /// True, False or Unknown.
    #[schemars(extend("enum" = ["True", "False", "Unknown"]))]
    pub status: String,
    /// Why, in one word.
    #[schemars(length(min = 1, max = 1024))]
    pub reason: String,
    /// Why, for a person.
    #[schemars(length(max = 32768))]
    pub message: String,
    /// The generation that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When `status` changed; whoever writes it to the cluster sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: Option<String>,
}
