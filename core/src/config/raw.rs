//! The file as it is written: the only place that lists its keys, their defaults and their docs.
//!
//! From these types, and those of the kinds of sources, come the JSON Schema, the check for unknown keys and wrong shapes
//! (see [`super::shape`]), and the values that [`super::validate`] turns into [`super::Config`]. Nothing else uses them. No
//! `flatten`, since it would lose keys' lines; a default is written as a person would write it, so that it is parsed like any
//! other value.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::model::config::{
    AgentsConfig, BlockedConfig, Criticality, GitConfig, GuidanceConfig, Privacy, SecretRef, SemconvConfig, duration,
};
use crate::model::signal::{Protocol, Signal};
use crate::model::{Status, TaskType};

/// Configuration of ContextCore. `config/default.yaml` explains every key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "contextcore.yaml")]
pub(super) struct RawConfig {
    /// The store: a directory, or a schema of a database.
    pub store: super::store::RawStore,
    /// What is sent, how far back and where to.
    pub export: RawExport,
    /// Address and port for health checks, self-metrics and webhooks (`serve` only).
    pub listen: String,
    /// Where the tools' webhook requests come in (`serve` only).
    pub webhooks: RawWebhooks,
    /// Who may report work to `POST /v1/ops` (`serve` only).
    pub ops: RawOps,
    /// Who may ask over the Model Context Protocol, at `/mcp` (`serve` only).
    pub mcp: RawMcp,
    /// A Prometheus that is asked how much of the error budgets is left.
    pub prometheus: RawPrometheus,
    /// Whose guidance for agents binds.
    pub guidance: GuidanceConfig,
    /// What the hooks of `contextcore git install` do.
    pub git: GitConfig,
    /// Which programs count as agents.
    pub agents: AgentsConfig,
    /// How many insights of agents and people are kept, and for how long.
    pub insights: RawInsights,
    /// Which vintage of conventions that may still change is written.
    pub semconv: SemconvConfig,
    /// What personal data leaves the program.
    pub privacy: Privacy,
    /// Portfolio view over native projects.
    pub projects: Vec<RawProject>,
    /// A file, or a directory with `*.yaml` files, that says more about projects, as `contextcore controller render -o projects`
    /// writes it; a relative one is taken from the directory of this file.
    pub projects_file: Option<String>,
    /// The tools to poll.
    pub sources: Vec<RawSource>,
}

/// What is sent, how far back and where to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Export")]
pub(super) struct RawExport {
    /// How far back the first sync replays: a length of time, or `all`.
    #[schemars(regex(pattern = r"^(all|([0-9]+(ms|s|m|h|d|w))+)$"))]
    pub history: String,
    /// Snapshots of the open tree.
    pub snapshot: RawSnapshot,
    /// Metrics.
    pub metrics: RawMetrics,
    /// `sync` ends (exit 4) after this long without any progress towards the backend.
    #[schemars(regex(pattern = duration::PATTERN))]
    pub give_up: String,
    /// The OTLP backend.
    pub otlp: RawOtlp,
}

/// Snapshots of the open tree.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Snapshot")]
pub(super) struct RawSnapshot {
    /// Time between two snapshots.
    #[schemars(regex(pattern = duration::PATTERN))]
    pub interval: String,
}

/// Metrics.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Metrics")]
pub(super) struct RawMetrics {
    /// Time between two pushes of the present values (`serve` only).
    #[schemars(regex(pattern = duration::PATTERN))]
    pub interval: String,
    /// Grid of the values of the past.
    #[schemars(regex(pattern = duration::PATTERN))]
    pub history_step: String,
    /// Above this many open tasks `task.info` is not sent.
    pub task_info_limit: u32,
}

/// The OTLP backend.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Otlp")]
pub(super) struct RawOtlp {
    /// Base address for all signals. Absent: `OTEL_EXPORTER_OTLP_ENDPOINT`, else port 4317 (gRPC) or 4318 (HTTP) here.
    pub endpoint: Option<String>,
    /// How OTLP is carried. Absent: `OTEL_EXPORTER_OTLP_PROTOCOL`, else HTTP for an endpoint with a path or port 4318,
    /// else gRPC.
    pub protocol: Option<Protocol>,
    /// Headers of every request, added to `OTEL_EXPORTER_OTLP_HEADERS`; a sensitive value must be a reference.
    pub headers: BTreeMap<String, RawHeader>,
    /// The signals to send.
    pub signals: Vec<Signal>,
    /// Addresses of single signals.
    pub endpoints: RawEndpoints,
    /// TLS towards the backend.
    pub tls: RawTls,
}

/// Addresses of single signals. Absent: `OTEL_EXPORTER_OTLP_<SIGNAL>_ENDPOINT`, else `endpoint`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Endpoints")]
pub(super) struct RawEndpoints {
    /// Where spans go.
    pub traces: Option<RawEndpoint>,
    /// Where log records go.
    pub logs: Option<RawEndpoint>,
    /// Where metric points go.
    pub metrics: Option<RawEndpoint>,
}

/// A base address, to which HTTP adds `/v1/<signal>`; one with a path means HTTP.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "Endpoint")]
pub(super) enum RawEndpoint {
    /// The address alone.
    Url(String),
    /// The address and how to speak to it.
    Target(RawTarget),
}

/// An address and how to speak to it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Target", extend("required" = ["url"]))]
pub(super) struct RawTarget {
    /// The address.
    #[serde(default)]
    #[schemars(required)]
    pub url: Option<String>,
    /// How OTLP is carried there.
    #[serde(default)]
    pub protocol: Option<Protocol>,
}

/// A header's value: text, or a reference where it is a secret.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "Header")]
pub(super) enum RawHeader {
    /// In the open.
    Plain(String),
    /// A reference.
    Secret(SecretRef),
}

/// TLS towards a server. Certificates are always verified.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Tls")]
pub(super) struct RawTls {
    /// PEM file of a private CA to trust besides the usual ones.
    pub ca_file: Option<String>,
}

/// Where the tools' webhook requests come in.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Webhooks")]
pub(super) struct RawWebhooks {
    /// Address and port for webhooks alone, so that nothing else can be reached there. Absent: they come in on `listen`.
    pub listen: Option<String>,
}

/// Who may report work to `POST /v1/ops`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Ops")]
pub(super) struct RawOps {
    /// The token that a request brings as `Authorization: Bearer`. Absent: there is no such address.
    pub token: Option<SecretRef>,
    /// The projects that may be reported for with `token`; `*` is every one.
    pub projects: Vec<String>,
    /// More tokens, each with a name and projects of its own: one for each program or person that reports.
    pub tokens: Vec<RawOpsToken>,
}

/// A token for `POST /v1/ops`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "OpsToken", extend("required" = ["name", "token", "projects"]))]
pub(super) struct RawOpsToken {
    /// Whom it stands for: what an insight says of where a report came from. Tokens of one name count as one.
    #[schemars(required)]
    pub name: Option<String>,
    /// What a request brings as `Authorization: Bearer`.
    #[schemars(required)]
    pub token: Option<SecretRef>,
    /// The projects that it may report for; `*` is every one.
    pub projects: Vec<String>,
    /// Who has it: `agent` (a program) or `human` (a person, whose review confirms an insight).
    pub scope: RawScope,
}

/// Who has a token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "TokenScope")]
pub(super) enum RawScope {
    /// A program.
    #[default]
    Agent,
    /// A person.
    Human,
}

/// How many insights are kept, and for how long.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Insights")]
pub(super) struct RawInsights {
    /// How long insights of a type are kept after they were last reported, such as `progress: 90d`. Only `progress` and `analysis` can
    /// be limited: what is decided, learned or asked is kept.
    pub keep: RawKeep,
    /// How many there may be: at least 1. When there are more, those that are closed go first, the oldest before the others; then
    /// new ones are refused.
    #[schemars(range(min = 1))]
    pub max: u64,
}

/// How long insights of a type are kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Keep")]
pub(super) struct RawKeep {
    /// Reports of progress.
    #[schemars(regex(pattern = duration::PATTERN))]
    pub progress: String,
    /// Analyses.
    #[schemars(regex(pattern = duration::PATTERN))]
    pub analysis: String,
}

/// Who may ask over the Model Context Protocol.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Mcp")]
pub(super) struct RawMcp {
    /// Whether `listen` answers on `/mcp`.
    pub enabled: bool,
    /// Names under which clients reach it, as `HOST` or `HOST:PORT`, besides the address of `listen` and localhost.
    pub hosts: Vec<String>,
    /// Who may ask. Without tokens, `listen` must be a loopback address.
    pub tokens: Vec<RawMcpToken>,
}

/// A Prometheus that is asked, not sent to.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Prometheus")]
pub(super) struct RawPrometheus {
    /// Its address, as for Grafana. Absent: nothing is asked.
    pub url: Option<String>,
    /// What a request brings as `Authorization: Bearer`; `USER:PASSWORD` is sent as Basic.
    pub token: Option<SecretRef>,
}

/// A token for `/mcp`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "McpToken", extend("required" = ["name", "token", "projects"]))]
pub(super) struct RawMcpToken {
    /// Its name, for the log.
    #[schemars(required)]
    pub name: Option<String>,
    /// What a request brings as `Authorization: Bearer`.
    #[schemars(required)]
    pub token: Option<SecretRef>,
    /// The projects that it sees; `*` is every one.
    pub projects: Vec<String>,
    /// Whether it may report work and record insights.
    pub write: bool,
    /// The id of the agent that has it. Absent: its name.
    pub agent: Option<String>,
}

/// A project of the portfolio.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Project", extend("required" = ["id"]))]
pub(super) struct RawProject {
    /// Its id: `project.id` and `service.namespace` in telemetry.
    #[schemars(required)]
    pub id: Option<String>,
    /// Its name for people. Absent: the id.
    pub name: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// How much hangs on it.
    pub criticality: Option<Criticality>,
    /// What it is worth to the business, in your own words.
    pub value: Option<String>,
    /// The native projects it is made of. Required unless there is a `projects_file`.
    pub include: Option<Vec<RawInclude>>,
}

/// A native project of a source.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Include", extend("required" = ["source", "project"]))]
pub(super) struct RawInclude {
    /// Name of the source.
    #[schemars(required)]
    pub source: Option<String>,
    /// The native project, written as in the source's `projects`.
    #[schemars(required)]
    pub project: Option<String>,
}

/// A tool to poll: the keys that every kind has. [`super::json_schema::schema`] adds those of each kind.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Source", description = "A tool to poll.", extend("required" = ["name", "kind"]))]
pub(super) struct RawSource {
    /// Unique; becomes part of every id, so it must not change later.
    #[schemars(required, regex(pattern = "^[A-Za-z0-9._-]+$"))]
    pub name: Option<String>,
    /// Which tool it is.
    #[schemars(required)]
    pub kind: Option<String>,
    /// Where the tool answers; may have a path, under which every request is built.
    pub url: Option<String>,
    /// Accepts the tool's requests to `POST /webhooks/{name}` (`serve` only), so that changes are polled at once.
    pub webhook: Option<RawWebhook>,
    /// TLS towards the tool.
    pub tls: RawTls,
    /// Native projects to poll. Absent or empty: all that the token can see.
    pub projects: Vec<String>,
    /// Cron line of five fields, UTC, or `@hourly` and the like (`serve` only).
    pub schedule: String,
    /// The tool's fields by our name for them. Absent: discovered.
    pub fields: BTreeMap<String, String>,
    /// What counts as blocked.
    pub blocked: BlockedConfig,
    /// Let commits, pull requests and CI move the derived status.
    pub derive_status: bool,
    /// An open task without any activity for this long is stale.
    #[schemars(regex(pattern = duration::PATTERN))]
    pub stale_after: String,
    /// Our status for the tool's, by name. Absent: by the tool's own status category.
    pub statuses: BTreeMap<String, Status>,
    /// Our type for the tool's, by name. Absent: by the tool's own types.
    pub types: BTreeMap<String, TaskType>,
}

/// How the tool's webhook requests are proven.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Webhook", extend("required" = ["secret"]))]
pub(super) struct RawWebhook {
    /// What the tool signs its requests with.
    #[schemars(required)]
    pub secret: Option<SecretRef>,
}

/// Takes the keys that only some kinds have out of the sources of a document, an object for each source.
pub(super) fn take_settings(document: &mut Value) -> Vec<Value> {
    let common = schemars::schema_for!(RawSource);
    let is_common = |key: &str| common.as_value()["properties"].get(key).is_some();
    let sources = document.get_mut("sources").and_then(Value::as_array_mut);
    let sources = sources.map(Vec::as_mut_slice).unwrap_or_default();
    let settings = sources.iter_mut().filter_map(Value::as_object_mut).map(|source| {
        let (common, own): (Map<_, _>, Map<_, _>) =
            std::mem::take(source).into_iter().partition(|(key, _)| is_common(key));
        *source = common;
        Value::Object(own)
    });
    settings.collect()
}

impl Default for RawConfig {
    fn default() -> Self {
        Self {
            store: super::store::RawStore::default(),
            export: RawExport::default(),
            listen: "127.0.0.1:9464".to_owned(),
            webhooks: RawWebhooks::default(),
            ops: RawOps::default(),
            mcp: RawMcp::default(),
            prometheus: RawPrometheus::default(),
            guidance: GuidanceConfig::default(),
            git: GitConfig::default(),
            agents: AgentsConfig::default(),
            insights: RawInsights::default(),
            semconv: SemconvConfig::default(),
            privacy: Privacy::default(),
            projects: Vec::new(),
            projects_file: None,
            sources: Vec::new(),
        }
    }
}

impl Default for RawInsights {
    fn default() -> Self {
        Self { keep: RawKeep::default(), max: 100_000 }
    }
}

impl Default for RawKeep {
    fn default() -> Self {
        Self { progress: "90d".to_owned(), analysis: "180d".to_owned() }
    }
}

impl Default for RawExport {
    fn default() -> Self {
        Self {
            history: "400d".to_owned(),
            snapshot: RawSnapshot::default(),
            metrics: RawMetrics::default(),
            give_up: "2m".to_owned(),
            otlp: RawOtlp::default(),
        }
    }
}

impl Default for RawSnapshot {
    fn default() -> Self {
        Self { interval: "15m".to_owned() }
    }
}

impl Default for RawMetrics {
    fn default() -> Self {
        Self { interval: "60s".to_owned(), history_step: "6h".to_owned(), task_info_limit: 5_000 }
    }
}

impl Default for RawOtlp {
    fn default() -> Self {
        Self {
            endpoint: None,
            protocol: None,
            headers: BTreeMap::new(),
            signals: Signal::ALL.to_vec(),
            endpoints: RawEndpoints::default(),
            tls: RawTls::default(),
        }
    }
}

impl Default for RawSource {
    fn default() -> Self {
        Self {
            name: None,
            kind: None,
            url: None,
            webhook: None,
            tls: RawTls::default(),
            projects: Vec::new(),
            schedule: "*/5 * * * *".to_owned(),
            fields: BTreeMap::new(),
            blocked: BlockedConfig::default(),
            derive_status: false,
            stale_after: "14d".to_owned(),
            statuses: BTreeMap::new(),
            types: BTreeMap::new(),
        }
    }
}
