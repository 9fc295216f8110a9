//! What the program runs on: the configuration after validation. Every value is present, in range and of its own type;
//! an `Option` here means that absence itself is a setting, and its doc says which.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::project::{Criticality, ProjectConfig};
use super::schedule::Schedule;
use super::secret_ref::{HeaderValue, SecretRef};
use crate::insight::InsightType;
use crate::signal::{Protocol, Signal};
use crate::time::Millis;
use crate::{Status, TaskType};

/// The whole configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the store task_histories.
    pub store: StoreConfig,
    /// What is sent, how far back and where to.
    pub export: ExportConfig,
    /// Where `serve` listens for health checks and scrapes, and for webhooks unless these have an address of their own.
    pub listen: SocketAddr,
    /// Where webhook requests come in.
    pub webhooks: WebhooksConfig,
    /// Who may report work over HTTP. `None`: nobody.
    pub ops: Option<OpsConfig>,
    /// Who may ask over the Model Context Protocol. `None`: nobody.
    pub mcp: Option<McpConfig>,
    /// A Prometheus that is asked how much of an error budget is left. `None`: nothing is asked.
    pub prometheus: Option<PrometheusConfig>,
    /// Whose guidance for agents binds.
    pub guidance: GuidanceConfig,
    /// What the hooks of `contextcore git install` do.
    pub git: GitConfig,
    /// Which vintage of conventions that may still change is written.
    pub semconv: SemconvConfig,
    /// What personal data leaves the program.
    pub privacy: Privacy,
    /// How many insights are kept, and for how long.
    pub insights: InsightsConfig,
    /// The portfolio view over native projects: those written here in file order, then those of the projects file. Ids are
    /// unique, and no native project is in two of them.
    pub projects: Vec<ProjectConfig>,
    /// `projects` as they are written here, without what the projects file adds.
    pub written_projects: Vec<WrittenProject>,
    /// Where more is said about projects.
    pub projects_file: Option<ProjectsFile>,
    /// The tools to poll, in file order. Names are unique. May be empty: commands that only read need none.
    pub sources: Vec<SourceConfig>,
}

impl Config {
    /// The source of this name.
    pub fn source(&self, name: &str) -> Option<&SourceConfig> {
        self.sources.iter().find(|source| source.name == name)
    }

    /// The portfolio project that a native project belongs to, if any.
    pub fn project_of(&self, source: &str, native_project: &str) -> Option<&ProjectConfig> {
        self.projects.iter().find(|project| project.includes(source, native_project))
    }
}

/// Whose guidance for agents binds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Guidance")]
pub struct GuidanceConfig {
    /// The refs of a repository whose `.contextcore/guidance.yaml` binds: names of branches as the remote `origin` has them, or
    /// whole refs. Empty: the default branch of `origin`.
    pub trusted_refs: Vec<String>,
}

/// What the hooks of `contextcore git install` do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Git")]
pub struct GitConfig {
    /// Whether a commit that names no task, or whose hook fails, is refused.
    pub strict: bool,
}

/// Conventions of OpenTelemetry that may still change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Semconv")]
pub struct SemconvConfig {
    /// The conventions for GenAI as they were on a day, or `off`: then no attribute `gen_ai.*` is on spans and log records. Ours (`agent.*`)
    /// are always there.
    pub gen_ai: GenAi,
}

/// A vintage of the conventions for GenAI.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum GenAi {
    /// As they were then.
    #[default]
    #[serde(rename = "2026-11-26")]
    November2026,
    /// None.
    #[serde(rename = "off")]
    Off,
}

impl GenAi {
    /// Whether any of it is written.
    #[must_use]
    pub const fn is_written(self) -> bool {
        matches!(self, Self::November2026)
    }
}

/// Which programs count as agents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Agents")]
pub struct AgentsConfig {
    /// Agents besides the known ones: the name, the account or the e-mail address that commits and trailers show. A change of the
    /// list reads the sources again.
    pub names: Vec<String>,
}

/// Who may report work over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpsConfig {
    /// The tokens, of which requests have to bring one.
    pub tokens: Vec<OpsToken>,
}

/// A token to report with, and what it proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpsToken {
    /// Whom it stands for. Two tokens of one name are one.
    pub name: String,
    /// The token, read late.
    pub token: SecretRef,
    /// The projects that it may report for; `*` is every one.
    pub projects: Vec<String>,
    /// Whether a person has it, and no program.
    pub human: bool,
}

impl OpsToken {
    /// Whether work in a project may be reported.
    pub fn allows(&self, project: &str) -> bool {
        self.projects.iter().any(|known| known == "*" || known == project)
    }
}

/// Who may ask over the Model Context Protocol, at `/mcp` of `serve`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct McpConfig {
    /// Names of this service besides that of `listen`, as `HOST` or `HOST:PORT`.
    pub hosts: Vec<String>,
    /// The tokens. Without any, everybody who reaches a loopback address may ask.
    pub tokens: Vec<McpToken>,
}

/// A Prometheus that is asked, not sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrometheusConfig {
    /// Its address.
    pub url: String,
    /// What a request brings, read late.
    pub token: Option<SecretRef>,
}

/// A token, and what it is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McpToken {
    /// Its name, for the log.
    pub name: String,
    /// The token, read late.
    pub token: SecretRef,
    /// The projects that it sees; `*` is every one.
    pub projects: Vec<String>,
    /// Whether it may report and record.
    pub write: bool,
    /// The agent that has it; its name when nothing else is said.
    pub agent: String,
}

/// A project as the configuration writes it. What is absent, the projects file may say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WrittenProject {
    /// Its id.
    pub id: String,
    /// Its name for people.
    pub name: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// How much hangs on it.
    pub criticality: Option<Criticality>,
    /// What it is worth to the business.
    pub value: Option<String>,
    /// Pairs of source name and native project.
    pub include: Option<Vec<(String, String)>>,
}

/// Where more is said about projects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectsFile {
    /// A file, or a directory with files.
    pub path: PathBuf,
    /// Since when it cannot be used, so that an earlier state of it is in force.
    pub failing_since: Option<Millis>,
    /// What is wrong with entries that cannot be used, one line each: the others are in force.
    pub unusable: Vec<String>,
    /// What a person should know: the same, where it and the configuration disagree, and what else was left out.
    pub notes: Vec<String>,
}

impl ProjectsFile {
    /// One that was not read yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, failing_since: None, unusable: Vec::new(), notes: Vec::new() }
    }
}

/// Where the tools' webhook requests come in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WebhooksConfig {
    /// An address for them alone. `None`: they come in on [`Config::listen`].
    pub listen: Option<SocketAddr>,
}

/// Where the store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreConfig {
    /// In a directory, which one process at a time may open.
    Directory(PathBuf),
    /// In a database, which several processes may have open.
    Postgres(PostgresConfig),
}

impl StoreConfig {
    /// The directory, if it is in one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Directory(path) => Some(path),
            Self::Postgres(_) => None,
        }
    }

    /// Whether there may be a store: for a database only a look at it shows.
    pub fn may_exist(&self) -> bool {
        self.path().is_none_or(Path::exists)
    }
}

/// A schema of a PostgreSQL database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresConfig {
    /// Where its address is, which holds a password.
    pub url: SecretRef,
    /// The schema.
    pub schema: String,
    /// How long a process that may write keeps that right without renewing it.
    pub lease_ttl: Duration,
}

/// What is sent, how far back and how often.
#[derive(Debug, Clone)]
pub struct ExportConfig {
    /// How far back the first sync replays, in milliseconds. `None` is `all`.
    pub history: Option<i64>,
    /// Time between two snapshots of the open tree; above zero.
    pub snapshot_interval: Duration,
    /// Time between two pushes of the present metric values; above zero.
    pub metrics_interval: Duration,
    /// Grid on which past metrics are exported; above zero.
    pub history_step: Duration,
    /// Above this many open tasks `task.info` is not sent.
    pub task_info_limit: usize,
    /// `sync` ends with exit code 4 after this long without progress towards the backend; above zero.
    pub give_up: Duration,
    /// The backend.
    pub otlp: OtlpConfig,
}

/// The OTLP backend: file keys, `OTEL_EXPORTER_OTLP_*` and defaults, already brought together.
#[derive(Debug, Clone)]
pub struct OtlpConfig {
    /// Where each chosen signal goes; a signal that is not sent has no entry. Never empty.
    pub targets: BTreeMap<Signal, SignalTarget>,
    /// Sent with every request. Names are lower case and unique; values are read late.
    pub headers: Vec<(String, HeaderValue)>,
    /// A PEM file with a private CA to trust besides the usual ones. `None`: the usual ones only.
    pub ca_file: Option<PathBuf>,
}

/// Where one signal goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalTarget {
    /// For gRPC `scheme://host:port`; for HTTP the full address to POST to, e.g. `http://loki:3100/otlp/v1/logs`.
    pub url: String,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// Neither the file nor a variable names an address: this is where a Collector on this machine would be.
    pub is_default: bool,
}

/// What personal data leaves the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Privacy {
    /// Names of people.
    pub assignee: AssigneePrivacy,
    /// Titles of tasks.
    pub title: TitlePrivacy,
    /// Comments on tasks.
    pub comments: CommentPrivacy,
    /// Texts of insights.
    pub insights: InsightPrivacy,
}

/// How many insights are kept, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InsightsConfig {
    /// How long those of a type are kept after they were last reported. Other types are kept for ever.
    pub keep: BTreeMap<InsightType, Duration>,
    /// How many there may be.
    pub max: u64,
}

impl Default for InsightsConfig {
    fn default() -> Self {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        let keep = BTreeMap::from([(InsightType::Progress, days(90)), (InsightType::Analysis, days(180))]);
        Self { keep, max: 100_000 }
    }
}

/// What is exported of insights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InsightPrivacy {
    /// Everything.
    #[default]
    Plain,
    /// Summaries, and no longer texts.
    Summary,
    /// No text: types, states, ids and scopes.
    Omit,
}

/// What is exported of people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AssigneePrivacy {
    /// The name the tool shows.
    #[default]
    Plain,
    /// A stable hash of the person's id.
    Hash,
    /// Nothing.
    Omit,
}

/// What is exported of titles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TitlePrivacy {
    /// The title.
    #[default]
    Plain,
    /// Nothing: the key stands alone.
    Omit,
}

/// What is exported of comments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CommentPrivacy {
    /// Nothing.
    Omit,
    /// That there was one, when and by whom.
    #[default]
    Count,
    /// The text as well.
    Plain,
}

impl CommentPrivacy {
    /// Whether comments are read at all.
    #[must_use]
    pub fn is_read(self) -> bool {
        self != Self::Omit
    }

    /// Whether their texts are read and kept as well.
    #[must_use]
    pub fn has_texts(self) -> bool {
        self == Self::Plain
    }
}

/// A tool to poll.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    /// Unique; part of every id. Letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// Which connector polls it; one of the kinds that were known when the file was read.
    pub kind: String,
    /// Where the tool answers, without a trailing slash; may have a path, under which every request is built. Empty for a
    /// kind without an address.
    pub url: String,
    /// Where the work is, for a kind without an address, such as the path of a file.
    pub location: Option<String>,
    /// The keys of its kind, such as `auth`, as an object: the connector reads them as a type of its own. Secrets in it are
    /// references.
    pub settings: serde_json::Value,
    /// The secret with which the tool signs requests to our webhook, read late. `None`: webhook requests are refused.
    pub webhook: Option<SecretRef>,
    /// A PEM file with a private CA to trust besides the usual ones. `None`: the usual ones only.
    pub tls_ca_file: Option<PathBuf>,
    /// Native projects to poll. Empty: all that the token can see.
    pub projects: Vec<String>,
    /// Native scopes that its kind reads besides projects, such as repositories.
    pub extra_scopes: Vec<String>,
    /// When `serve` polls it.
    pub schedule: Schedule,
    /// The tool's fields by our name for them. One that is absent is discovered. The connector checks the names.
    pub fields: BTreeMap<String, String>,
    /// What counts as blocked.
    pub blocked: BlockedConfig,
    /// Whether commits, pull requests and CI move the status.
    pub derive_status: bool,
    /// An open task without any activity for this long is stale; above zero.
    pub stale_after: Duration,
    /// The tool's statuses by name, where they differ from what the tool's own category says.
    pub statuses: BTreeMap<String, Status>,
    /// The tool's types by name, where they differ from what the connector would say.
    pub types: BTreeMap<String, TaskType>,
    /// Names, accounts and addresses of agents besides the known ones, of the whole configuration.
    pub agents: Vec<String>,
}

impl SourceConfig {
    /// Where its work is, as people read it: the address, or the path.
    pub fn place(&self) -> String {
        self.location.clone().unwrap_or_else(|| self.url.clone())
    }

    /// Everything it is configured to read: projects, and what its kind reads besides. Empty: all that the token can see.
    pub fn scopes(&self) -> impl Iterator<Item = &String> {
        self.projects.iter().chain(&self.extra_scopes)
    }

    /// Whether it takes what code and agents report themselves: the kind that comes with the SDK.
    pub fn takes_reports(&self) -> bool {
        self.kind == "sdk"
    }
}

/// What counts as blocked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BlockedConfig {
    /// Statuses whose name means blocked. Absent: by the tool's own ways. An empty list: none.
    pub statuses: Option<Vec<String>>,
    /// Labels that mean blocked. Absent: by the tool's own ways. An empty list: none.
    pub labels: Option<Vec<String>>,
    /// Whether an open "is blocked by" link counts as blocked rather than as waiting.
    pub links: bool,
}
