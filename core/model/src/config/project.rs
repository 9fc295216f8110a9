//! A project of the portfolio, and what is said about its services: what they promise, what could go wrong, where the design is
//! written down, and what people want agents to know.
//!
//! The types of a [`ServiceContext`] are also those of the projects file, spelled as in the `ProjectContext` of Kubernetes.
//! Numbers in it are text with a unit (`"99.95"`, `"200ms"`); [`Requirements`] reads them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A project of the portfolio: native projects of one or more sources under one name.
#[derive(Debug, Clone, PartialEq)]
pub struct ProjectConfig {
    /// Its id: `project.id` and `service.namespace`.
    pub id: String,
    /// Its name for people; the id when nothing gives one.
    pub name: String,
    /// Who answers for it, where known.
    pub owner: Option<String>,
    /// How much hangs on it, where known: the highest of its services.
    pub criticality: Option<Criticality>,
    /// What it is worth to the business, where known, e.g. `revenue-primary`.
    pub value: Option<String>,
    /// The epic that its work belongs to, by the key that people use.
    pub epic: Option<String>,
    /// Pairs of source name and native project. Every source exists.
    pub include: Vec<(String, String)>,
    /// Its repositories, as `OWNER/NAME`.
    pub repositories: Vec<String>,
    /// What is said about its services, in the order of the projects file.
    pub contexts: Vec<ServiceContext>,
}

impl ProjectConfig {
    /// Whether a native project of a source belongs to it.
    pub fn includes(&self, source: &str, native_project: &str) -> bool {
        self.include.iter().any(|(name, native)| name == source && native == native_project)
    }
}

impl ProjectConfig {
    /// What its services must reach: the strictest of each requirement.
    #[must_use]
    pub fn availability(&self) -> Option<f64> {
        self.contexts.iter().filter_map(|context| context.requirements.availability_percent()).reduce(f64::max)
    }

    /// The shortest latency in seconds that any of its services must keep, by quantile.
    #[must_use]
    pub fn latencies(&self) -> Vec<(&'static str, f64)> {
        let mut shortest: BTreeMap<&'static str, f64> = BTreeMap::new();
        for (quantile, seconds) in self.contexts.iter().flat_map(|context| context.requirements.latencies()) {
            shortest.entry(quantile).and_modify(|known| *known = known.min(seconds)).or_insert(seconds);
        }
        shortest.into_iter().collect()
    }

    /// The risks of its services.
    pub fn risks(&self) -> impl Iterator<Item = &Risk> {
        self.contexts.iter().flat_map(|context| &context.risks)
    }
}

/// How much hangs on a project; the first is the highest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Criticality {
    /// The business stops without it.
    Critical,
    /// The business suffers without it.
    High,
    /// It is missed within days.
    Medium,
    /// It can wait.
    Low,
}

impl Criticality {
    /// The word used in the file and in telemetry.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }
}

/// What is said about one service of a project.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceContext {
    /// Where it is said.
    pub origin: Option<Origin>,
    /// Its workloads.
    pub targets: Vec<Target>,
    /// What it promises.
    pub requirements: Requirements,
    /// The objectives that follow.
    pub slos: Vec<Slo>,
    /// What could go wrong.
    pub risks: Vec<Risk>,
    /// Where the design is written down.
    pub design: Design,
    /// What people want agents to know and to obey.
    pub guidance: Guidance,
}

impl ServiceContext {
    /// `namespace/name`, where it comes from Kubernetes.
    #[must_use]
    pub fn place(&self) -> Option<String> {
        self.origin.as_ref().map(Origin::place)
    }
}

/// The `ProjectContext` that an entry of the projects file was made from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Origin {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// How much hangs on this service. The project has the highest of its services.
    pub criticality: Option<Criticality>,
}

impl Origin {
    /// `namespace/name`.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// A workload.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Target {
    /// Its kind, such as `Deployment`.
    pub kind: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Or the labels of the workloads.
    pub selector: Option<Selector>,
    /// Its `service.name` in telemetry.
    pub service: Option<String>,
}

/// Labels that workloads have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Selector {
    /// All of these.
    pub match_labels: BTreeMap<String, String>,
}

/// What a service promises.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Requirements {
    /// Share of requests that succeed, in percent, such as `"99.95"`.
    pub availability: Option<String>,
    /// Share of requests that may fail, in percent; instead of availability.
    pub error_rate: Option<String>,
    /// Half of the requests are answered within this time, such as `50ms`.
    #[serde(rename = "latencyP50")]
    pub latency_p50: Option<String>,
    /// 90 % of the requests are answered within this time.
    #[serde(rename = "latencyP90")]
    pub latency_p90: Option<String>,
    /// 95 % of the requests are answered within this time.
    #[serde(rename = "latencyP95")]
    pub latency_p95: Option<String>,
    /// 99 % of the requests are answered within this time.
    #[serde(rename = "latencyP99")]
    pub latency_p99: Option<String>,
    /// Traffic to expect, such as `100rps`.
    pub throughput: Option<String>,
    /// The period of the objectives.
    pub window: Option<String>,
    /// How many requests must have failed before an alert.
    pub min_bad_events: Option<u32>,
    /// Where the numbers come from.
    pub sli: Option<Sli>,
}

/// Where the numbers of objectives come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Sli {
    /// The instrumentation, such as `otel-http`.
    pub profile: Option<String>,
    /// Label matchers in PromQL.
    pub matchers: Option<String>,
    /// How Prometheus stores the durations: `classic` or `native`.
    pub histogram: Option<String>,
    /// PromQL: rate of failed requests.
    pub errors: Option<String>,
    /// PromQL: rate of all requests.
    pub total: Option<String>,
    /// PromQL: rate of the buckets, or of the histogram, of durations.
    pub latency: Option<String>,
}

impl Requirements {
    /// The latencies that are required: the key, the quantile, and the text.
    pub fn latency_texts(&self) -> impl Iterator<Item = (&'static str, &'static str, &str)> {
        let all = [
            ("latencyP50", "0.5", &self.latency_p50),
            ("latencyP90", "0.9", &self.latency_p90),
            ("latencyP95", "0.95", &self.latency_p95),
            ("latencyP99", "0.99", &self.latency_p99),
        ];
        all.into_iter().filter_map(|(key, quantile, text)| Some((key, quantile, text.as_deref()?)))
    }

    /// Share of requests that must succeed, in percent.
    #[must_use]
    pub fn availability_percent(&self) -> Option<f64> {
        let of_errors = || Some(100.0 - percent(self.error_rate.as_deref()?)?);
        self.availability.as_deref().and_then(percent).or_else(of_errors).map(rounded)
    }

    /// The latencies that are required: the quantile, and the seconds.
    pub fn latencies(&self) -> impl Iterator<Item = (&'static str, f64)> {
        self.latency_texts().filter_map(|(_, quantile, text)| Some((quantile, seconds(text)?)))
    }
}

/// Takes the noise of a subtraction off a percentage with five digits after the point.
fn rounded(percent: f64) -> f64 {
    (percent * 1e5).round() / 1e5
}

/// A percentage as it is written: between 0 and 100, both excluded.
#[must_use]
pub fn percent(text: &str) -> Option<f64> {
    decimal(text).filter(|percent| *percent > 0.0 && *percent < 100.0)
}

/// The seconds of a duration as it is written, such as `200ms` or `1.5s`.
#[must_use]
pub fn seconds(text: &str) -> Option<f64> {
    let milliseconds = text.strip_suffix("ms").map(|number| (number, 1e-3));
    let (number, factor) = milliseconds.or_else(|| Some((text.strip_suffix('s')?, 1.0)))?;
    decimal(number).map(|number| number * factor).filter(|seconds| *seconds > 0.0)
}

/// A number of digits with at most one point.
fn decimal(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(|_| plain)
}

/// An objective that follows from the requirements.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Slo {
    /// `availability`, or `latency_p99` and the like.
    pub name: String,
    /// Share of good requests, in percent.
    pub objective: String,
    /// The period.
    pub window: String,
    /// Share of requests that may be bad, in percent.
    pub error_budget: String,
    /// The instrumentation that it is measured with.
    pub sli: String,
}

/// Something that could go wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Risk {
    /// A short id.
    pub id: Option<String>,
    /// What could go wrong, in a sentence.
    pub risk: String,
    /// What kind of harm it is, such as `security`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// How urgent it is.
    pub priority: RiskPriority,
    /// What is done against it.
    pub mitigation: Option<String>,
    /// Who watches it.
    pub owner: Option<String>,
    /// When the mitigation is due, `YYYY-MM-DD`.
    pub due: Option<String>,
}

/// How urgent a risk is; the first is the most urgent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum RiskPriority {
    /// The most urgent.
    P1,
    /// Urgent.
    P2,
    /// The usual.
    #[default]
    P3,
    /// The least urgent.
    P4,
}

impl RiskPriority {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::P1 => "P1",
            Self::P2 => "P2",
            Self::P3 => "P3",
            Self::P4 => "P4",
        }
    }
}

/// Where the design is written down.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Design {
    /// The decision record: a path in the repository, or a web address.
    pub adr: Option<String>,
    /// More decision records.
    pub adrs: Vec<String>,
    /// The design document.
    pub doc: Option<String>,
    /// The contract of the API.
    pub api_contract: Option<String>,
}

impl Design {
    /// Every document with what it is: `adr`, `doc` or `api_contract`.
    pub fn documents(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let adrs = self.adr.iter().chain(&self.adrs).map(|place| ("adr", place.as_str()));
        let doc = self.doc.iter().map(|place| ("doc", place.as_str()));
        adrs.chain(doc).chain(self.api_contract.iter().map(|place| ("api_contract", place.as_str())))
    }
}

/// What people want agents to know and to obey.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Guidance {
    /// What matters at the moment.
    pub focus: Option<Focus>,
    /// What must not be done.
    pub constraints: Vec<Constraint>,
    /// How people like it done.
    pub preferences: Vec<Preference>,
    /// What people would like to know.
    pub questions: Vec<Question>,
    /// What is good to know.
    pub context: Vec<Knowledge>,
}

/// One line of a [`Guidance`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuidanceLine<'a> {
    /// `focus`, `constraint`, `preference` or `question`.
    pub kind: &'static str,
    /// Its id; for a focus, a number.
    pub id: &'a str,
    /// What it says.
    pub text: &'a str,
}

impl Guidance {
    /// What fits a line each: everything but the knowledge. Constraints are first, because they bind.
    pub fn lines(&self) -> impl Iterator<Item = GuidanceLine<'_>> {
        let line = |kind, id, text| GuidanceLine { kind, id, text };
        let constraints = self.constraints.iter().map(move |item| line("constraint", &*item.id, &*item.rule));
        let areas = self.focus.iter().flat_map(|focus| &focus.areas);
        let focus = areas.map(move |area| line("focus", area.as_str(), area.as_str()));
        let preferences = self.preferences.iter().map(move |item| line("preference", &*item.id, &*item.preference));
        let questions = self.questions.iter().map(move |item| line("question", &*item.id, &*item.question));
        constraints.chain(focus).chain(preferences).chain(questions)
    }
}

/// What matters at the moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Focus {
    /// Paths or topics.
    pub areas: Vec<String>,
    /// Why.
    pub reason: Option<String>,
    /// Until when.
    pub until: Option<String>,
}

/// Something that must not be done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Constraint {
    /// A short id.
    pub id: String,
    /// The rule, in a sentence.
    pub rule: String,
    /// The paths it holds for, as a glob.
    pub scope: Option<String>,
    /// `blocking`, `warning` or `advisory`.
    pub severity: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Until when.
    pub until: Option<String>,
}

/// How people like something done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Preference {
    /// A short id.
    pub id: String,
    /// The preference, in a sentence.
    pub preference: String,
    /// Why.
    pub reason: Option<String>,
}

/// What people would like to know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Question {
    /// A short id.
    pub id: String,
    /// The question.
    pub question: String,
    /// How urgent the answer is.
    pub priority: Option<String>,
    /// What one needs to know to answer it.
    pub context: Option<String>,
    /// What became of it.
    pub status: Option<String>,
}

/// Something good to know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Knowledge {
    /// What it is about.
    pub topic: String,
    /// What there is to know.
    pub content: String,
    /// Where it comes from.
    pub source: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_read_as_numbers() {
        let text = |text: &str| Some(text.to_owned());
        let by_errors = Requirements { error_rate: text("0.05"), ..Requirements::default() };
        assert_eq!(by_errors.availability_percent(), Some(99.95));
        let odd = Requirements { availability: text("100"), latency_p99: text("1e3s"), ..Requirements::default() };
        assert_eq!((odd.availability_percent(), odd.latencies().count()), (None, 0));
        assert_eq!(
            ["200ms", "1.5s", "0s", "5m", "s", "-1s", "infs"].map(seconds),
            [Some(0.2), Some(1.5), None, None, None, None, None]
        );
    }

    #[test]
    fn a_project_has_the_strictest_requirements_of_its_services() {
        let context = |availability: &str, p99: &str| ServiceContext {
            requirements: Requirements {
                availability: Some(availability.to_owned()),
                latency_p99: Some(p99.to_owned()),
                ..Requirements::default()
            },
            ..ServiceContext::default()
        };
        let project = ProjectConfig {
            id: "shop".to_owned(),
            name: "Shop".to_owned(),
            owner: None,
            criticality: None,
            value: None,
            epic: None,
            include: Vec::new(),
            repositories: Vec::new(),
            contexts: vec![context("99.5", "200ms"), context("99.95", "1s"), ServiceContext::default()],
        };
        assert_eq!(project.availability(), Some(99.95));
        assert_eq!(project.latencies(), [("0.99", 0.2)]);
    }
}
