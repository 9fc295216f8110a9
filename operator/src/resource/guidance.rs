//! What people want AI agents to know and to obey: `spec.agentGuidance`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::terms::{Priority, QuestionStatus, Severity};
use super::{SLUG, TIME, rule, unique};

/// What people want AI agents to know and to obey.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentGuidance {
    /// What matters at the moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub focus: Option<Focus>,
    /// What must not be done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), extend("x-kubernetes-list-type" = "atomic", "x-kubernetes-validations" = [
        unique("id", "two constraints have the same id: give each its own"),
    ]))]
    pub constraints: Vec<Constraint>,
    /// How we like it done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), extend("x-kubernetes-list-type" = "atomic", "x-kubernetes-validations" = [
        unique("id", "two preferences have the same id: give each its own"),
    ]))]
    pub preferences: Vec<Preference>,
    /// What we would like to know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), extend("x-kubernetes-list-type" = "atomic", "x-kubernetes-validations" = [
        unique("id", "two questions have the same id: give each its own"),
    ]))]
    pub questions: Vec<GuidanceQuestion>,
    /// What is good to know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), extend("x-kubernetes-list-type" = "atomic"))]
    pub context: Vec<Knowledge>,
}

/// What matters at the moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Focus {
    /// Paths or topics.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 200)), extend("x-kubernetes-list-type" = "set"))]
    pub areas: Vec<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2000))]
    pub reason: Option<String>,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = TIME), extend("example" = "2027-01-31"))]
    pub until: Option<String>,
}

/// Something that must not be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [rule(
    "!has(self.scope) || !('/' + self.scope + '/').contains('/../')",
    "a scope stays inside the repository: write it without `..`",
)]))]
pub struct Constraint {
    /// A short id.
    #[schemars(length(max = 63), regex(pattern = SLUG), extend("example" = "no-breaking-api"))]
    pub id: String,
    /// The rule, in a sentence.
    #[schemars(length(min = 1, max = 2000))]
    pub rule: String,
    /// The paths it holds for, as a glob. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500), extend("example" = "src/checkout/**"))]
    pub scope: Option<String>,
    /// How binding it is. Absent: blocking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2000))]
    pub reason: Option<String>,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = TIME), extend("example" = "2027-01-31"))]
    pub until: Option<String>,
}

/// How we like something done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Preference {
    /// A short id.
    #[schemars(length(max = 63), regex(pattern = SLUG))]
    pub id: String,
    /// The preference, in a sentence.
    #[schemars(length(min = 1, max = 2000))]
    pub preference: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2000))]
    pub reason: Option<String>,
}

/// What we would like to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GuidanceQuestion {
    /// A short id.
    #[schemars(length(max = 63), regex(pattern = SLUG))]
    pub id: String,
    /// The question.
    #[schemars(length(min = 1, max = 2000))]
    pub question: String,
    /// How urgent the answer is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// What one needs to know to answer it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2000))]
    pub context: Option<String>,
    /// What became of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<QuestionStatus>,
}

/// Something good to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Knowledge {
    /// What it is about.
    #[schemars(length(min = 1, max = 200))]
    pub topic: String,
    /// What there is to know.
    #[schemars(length(min = 1, max = 2000))]
    pub content: String,
    /// Where it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 500))]
    pub source: Option<String>,
}
