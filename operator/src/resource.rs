//! The `ProjectContext` resource, version v1: what a team writes in `spec`, and what we answer in `status`.
//!
//! The custom resource definition is generated from these types ([`crate::crd`]); the doc comments are its descriptions. Fields
//! are text where Kubernetes has text (`"99.95"`, `"200ms"`): [`crate::derive`] reads them as numbers. Rules in CEL stand beside
//! the fields that they check, and each has a message that says what to do.

mod guidance;
mod observability;
mod requirements;
mod status;
mod terms;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use guidance::{AgentGuidance, Constraint, Focus, GuidanceQuestion, Knowledge, Preference};
pub use observability::{DisableAlerts, Observability, Scrape};
pub use requirements::{Requirements, Sli};
pub use status::{
    ChangedValues, Condition, Derived, ProjectContextStatus, ResourceReference, SloStatus, Sources, UnrecordedChange,
};
pub(crate) use status::{MOST_CHANNELS, MOST_PATHS, MOST_RESOURCES, MOST_UNRECORDED};
pub use terms::{
    Annotate, Audit, Criticality, Histogram, Placement, Priority, Profile, QuestionStatus, RiskType, Severity, Source,
    TargetKind, Window,
};

/// What `owner` and `service` look like: a label value in Kubernetes, plus the slash.
pub(crate) const NAME: &str = "^[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?$";
/// The value of a label in Kubernetes.
pub(crate) const LABEL: &str = "^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$";
/// An id: lower case, so that it fits a label and a file name.
pub(crate) const SLUG: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// Anything but blanks alone.
pub(crate) const SAID: &str = r"[^\s\p{Z}]";
/// A web address.
pub(crate) const URL: &str = r"^https?://[^\s]+$";
/// A day that there is; the 29th of February in any year.
macro_rules! day {
    () => {
        r"\d{4}-((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)|02-(0[1-9]|[12]\d))"
    };
}
/// A day.
pub(crate) const DATE: &str = concat!("^", day!(), "$");
/// A day, or a point in time in UTC.
pub(crate) const TIME: &str = concat!("^", day!(), r"(T([01]\d|2[0-3]):[0-5]\d:[0-5]\dZ)?$");
/// The name of an object in Kubernetes.
const OBJECT_NAME: &str = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";
/// The value of a label, which may be empty.
const LABEL_VALUE: &str = "^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$";
const REPOSITORY: &str = r"^[A-Za-z0-9][-A-Za-z0-9_.]*/[A-Za-z0-9_.][-A-Za-z0-9_.]*$";
const PROJECT_ID: &str = "^[a-z0-9]([-a-z0-9._]{0,61}[a-z0-9])?$";

/// One rule in CEL and what it says when it is broken.
pub(crate) fn rule(rule: &str, message: &str) -> Value {
    json!({"rule": rule, "message": message})
}

/// The same about a field below, such as `.observability.metricsInterval`.
pub(crate) fn rule_of(field: &str, rule: &str, message: &str) -> Value {
    json!({"rule": rule, "message": message, "fieldPath": field})
}

/// A rule that no two items of a list have the same value of a field, for those that have it.
pub(crate) fn unique(field: &str, message: &str) -> Value {
    rule(
        &format!("self.all(a, !has(a.{field}) || self.exists_one(b, has(b.{field}) && b.{field} == a.{field}))"),
        message,
    )
}

/// How much a service, or a group of workloads, matters to the business, and what follows from it for its telemetry.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "contextcore.io",
    version = "v1",
    kind = "ProjectContext",
    namespaced,
    derive = "PartialEq",
    status = "ProjectContextStatus",
    shortname = "pctx",
    category = "contextcore",
    doc = "How much a service matters to the business. Its sampling, metrics interval, alerts and their routing follow from it."
)]
#[schemars(extend("x-kubernetes-validations" = [rule_of(
    ".observability.metricsInterval",
    "!has(self.requirements) || !has(self.observability) || !has(self.observability.metricsInterval) || \
     duration(self.observability.metricsInterval) <= duration('2m')",
    "observability.metricsInterval is above 2m: alerts on requirements would be hours late; write 2m or less",
)]))]
pub struct ProjectContextSpec {
    /// The project that the service belongs to. Several contexts may share one.
    pub project: Project,
    /// What the service is worth, and who answers for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub business: Option<Business>,
    /// What the service promises. Each promise becomes an objective with alerts on its error budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requirements: Option<Requirements>,
    /// What could go wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "atomic", "x-kubernetes-validations" = [
        rule("self.all(a, self.exists_one(b, b.risk == a.risk))", "the same risk is listed twice: keep one"),
        unique("id", "two risks have the same id: give each its own"),
    ]))]
    pub risks: Vec<Risk>,
    /// Where the design is written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub design: Option<Design>,
    /// The workloads. Absent: one workload and service, called as this resource.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic", "x-kubernetes-validations" = [rule(
        "self.all(a, !has(a.name) || self.exists_one(b, has(b.name) && b.kind == a.kind && b.name == a.name))",
        "two targets have the same kind and name: keep one",
    )]))]
    pub targets: Vec<Target>,
    /// What follows from `business` where nothing else is written here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observability: Option<Observability>,
    /// What people want AI agents to know and to obey.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_guidance: Option<AgentGuidance>,
}

/// The project that a context belongs to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [json!({
    "rule": "self.id == oldSelf.id",
    "message": "project.id cannot change, because it is part of every trace id: create a new ProjectContext and delete this one",
    "fieldPath": ".id",
})]))]
pub struct Project {
    /// Its id: `project.id` in all telemetry. It cannot be changed.
    #[schemars(length(max = 63), regex(pattern = PROJECT_ID), extend("example" = "commerce-platform"))]
    pub id: String,
    /// Its name for people. Absent: the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub name: Option<String>,
    /// The epic that the work belongs to, by the key that people use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), extend("example" = "EPIC-42"))]
    pub epic: Option<String>,
    /// The native projects of sources that it is made of, as `projects[].include` of the configuration file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub include: Vec<Include>,
    /// Its repositories: which paths an agent means.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(max = 140), regex(pattern = REPOSITORY)))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub repositories: Vec<String>,
}

/// A native project of a source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Include {
    /// Name of the source in the configuration file.
    #[schemars(length(min = 1, max = 128), regex(pattern = SAID))]
    pub source: String,
    /// The native project, such as a key of Jira.
    #[schemars(length(min = 1, max = 256), regex(pattern = SAID))]
    pub project: String,
}

/// What the service is worth, and who answers for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Business {
    /// How much hangs on it. Sampling, metrics interval and the priority of alerts follow.
    #[serde(default)]
    pub criticality: Criticality,
    /// Who answers for it. Alerts carry it, and the default channels are named after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), regex(pattern = NAME), extend("example" = "commerce-team"))]
    pub owner: Option<String>,
    /// What it is for. Known: revenue-primary, revenue-secondary, cost-reduction, compliance, enabler, internal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), regex(pattern = LABEL), extend("example" = "revenue-primary"))]
    pub value: Option<String>,
}

/// Something that could go wrong.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Risk {
    /// What could go wrong, in a sentence.
    #[schemars(length(min = 1, max = 200), regex(pattern = SAID))]
    pub risk: String,
    /// A short id. Absent: made from the sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), regex(pattern = SLUG))]
    pub id: Option<String>,
    /// What kind of harm it is.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<RiskType>,
    /// How urgent it is. With a P1, writing requests are always kept as traces.
    #[serde(default)]
    pub priority: Priority,
    /// What is done against it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 500))]
    pub mitigation: Option<String>,
    /// Who watches it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), regex(pattern = NAME))]
    pub owner: Option<String>,
    /// When the mitigation is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 10), regex(pattern = DATE), extend("example" = "2027-01-31"))]
    pub due: Option<String>,
}

/// Where the design is written down.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Design {
    /// The decision record: a path in the repository, or a web address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500))]
    pub adr: Option<String>,
    /// More decision records.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 500)), extend("x-kubernetes-list-type" = "set"))]
    pub adrs: Vec<String>,
    /// The design document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 500), regex(pattern = URL), extend("example" = "https://docs.example/checkout"))]
    pub doc: Option<String>,
    /// The contract of the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 500), regex(pattern = URL), extend("example" = "https://docs.example/checkout/openapi.yaml"))]
    pub api_contract: Option<String>,
}

/// A workload that belongs to the context.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [rule(
    "has(self.name) != has(self.selector)",
    "a target has either `name` or `selector`: write exactly one of them",
)]))]
pub struct Target {
    /// Its kind.
    pub kind: TargetKind,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = OBJECT_NAME), extend("example" = "checkout-service"))]
    pub name: Option<String>,
    /// Or the labels of the workloads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
    /// Its `service.name` in telemetry. Absent: `name`, or the name of this resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), regex(pattern = NAME), extend("example" = "checkout-service"))]
    pub service: Option<String>,
}

/// Labels that workloads have.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Selector {
    /// All of these.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 16, "additionalProperties" = {
        "type": "string", "maxLength": 63, "pattern": LABEL_VALUE,
    }))]
    pub match_labels: std::collections::BTreeMap<String, String>,
}
