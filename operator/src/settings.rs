//! What the platform team sets, once for all contexts: the table of criticalities, channels, limits, and where things are.

mod check;
mod read;
mod shape;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::resource::{Audit, Criticality, Placement, Priority};

/// Where the shared outputs are, where nothing says otherwise.
const NAMESPACE: &str = "contextcore";

/// All settings; every one has a default.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schemars(extend("allOf" = shape::settings()))]
pub struct Settings {
    /// Label `contextcore.io/instance` of all objects: two installations do not touch each other's.
    #[schemars(regex(pattern = shape::LABEL))]
    pub instance: String,
    /// Namespace of the shared outputs.
    #[schemars(regex(pattern = shape::NAMESPACE))]
    pub namespace: String,
    /// Labels on all objects of the Prometheus operator, for its selectors.
    #[schemars(extend("additionalProperties" = shape::label_value()))]
    pub object_labels: BTreeMap<String, String>,
    /// What replaces values of the table of criticalities.
    pub derivation: BTreeMap<Criticality, DerivationOverride>,
    /// Who can be alerted: a name and a receiver of `AlertmanagerConfig` v1alpha1. Empty: no routing.
    #[schemars(extend("propertyNames" = shape::name(shape::CHANNEL), "additionalProperties" = shape::receiver()))]
    pub channels: BTreeMap<String, Value>,
    /// Where Alertmanager is.
    pub routing: Routing,
    /// Where the collector is.
    pub collector: Collector,
    /// How traces are sampled.
    pub sampling: Sampling,
    /// Whether contexts get a ConfigMap for `envFrom`.
    pub env: Env,
    /// Whether workloads are annotated.
    pub annotate: AnnotateWorkloads,
    /// Which Prometheus evaluates the rules.
    pub prometheus: Prometheus,
    /// Where the dashboards are.
    pub grafana: Grafana,
    /// Runbooks are at `<this>/<namespace>/<name>`.
    #[schemars(regex(pattern = shape::ADDRESS))]
    pub runbook_base_url: Option<String>,
    /// Which further alerts there are.
    pub alerts: Alerts,
    /// How much a namespace may claim.
    pub limits: Limits,
    /// Which namespaces may use a project id, and what only it may include. An id that is not listed is free.
    pub projects: BTreeMap<String, ProjectLimit>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            instance: "contextcore".to_owned(),
            namespace: NAMESPACE.to_owned(),
            object_labels: BTreeMap::new(),
            derivation: BTreeMap::new(),
            channels: BTreeMap::new(),
            routing: Routing::default(),
            collector: Collector::default(),
            sampling: Sampling::default(),
            env: Env::default(),
            annotate: AnnotateWorkloads::default(),
            prometheus: Prometheus::default(),
            grafana: Grafana::default(),
            runbook_base_url: None,
            alerts: Alerts::default(),
            limits: Limits::default(),
            projects: BTreeMap::new(),
        }
    }
}

/// Values of a row of the table of criticalities.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct DerivationOverride {
    /// Share of traces kept.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub trace_sampling: Option<f64>,
    /// Interval of metrics.
    #[schemars(regex(pattern = shape::INTERVAL))]
    pub metrics_interval: Option<String>,
    /// Label `priority`.
    pub alert_priority: Option<Priority>,
    /// Label `severity` of pages; an empty text: no page.
    pub page_severity: Option<String>,
    /// Label `severity` of tickets.
    pub ticket_severity: Option<String>,
    /// Folder of the dashboard.
    pub dashboard_placement: Option<Placement>,
    /// Channels, instead of those made from the owner.
    #[schemars(inner(regex(pattern = shape::CHANNEL)))]
    pub alert_channels: Option<Vec<String>>,
}

/// Where Alertmanager is.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Routing {
    /// Its namespace: the one `AlertmanagerConfig` is there, and so are the secrets so are the secrets of its receivers.
    #[schemars(regex(pattern = shape::NAMESPACE))]
    pub namespace: String,
    /// An `AlertmanagerConfig` in each namespace with contexts instead, for its own alerts: the secrets of its receivers are then
    /// there.
    pub per_namespace: bool,
}

impl Default for Routing {
    fn default() -> Self {
        Self { namespace: "monitoring".to_owned(), per_namespace: false }
    }
}

/// How the collector gets its configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CollectorMode {
    /// A ConfigMap with a fragment for a second `--config`.
    #[default]
    ConfigMap,
    /// Two processors of an existing `OpenTelemetryCollector`.
    Attach,
    /// A gateway of ours, `OpenTelemetryCollector` `contextcore-gateway`.
    Managed,
}

/// Where the collector is.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schemars(extend("allOf" = shape::collector()))]
pub struct Collector {
    /// How it gets its configuration.
    pub mode: CollectorMode,
    /// Name of the `OpenTelemetryCollector` to attach to.
    pub name: Option<String>,
    /// Its namespace. Absent: that of the shared outputs.
    #[schemars(regex(pattern = shape::NAMESPACE))]
    pub namespace: Option<String>,
    /// Exporters of our gateway, as its configuration has them.
    pub exporters: BTreeMap<String, Value>,
    /// Which of them each signal (`traces`, `metrics`, `logs`) goes to. A signal that is absent goes to all.
    pub pipelines: BTreeMap<Signal, Vec<String>>,
    /// How many instances our gateway has. Tail sampling needs all spans of a trace in one of them.
    #[schemars(range(min = 1))]
    pub replicas: u16,
    /// Image of our gateway. Absent: that of the OpenTelemetry operator.
    pub image: Option<String>,
    /// Service account of our gateway, which may read pods. Absent: the OpenTelemetry operator makes one.
    pub service_account: Option<String>,
}

impl Default for Collector {
    fn default() -> Self {
        Self {
            mode: CollectorMode::default(),
            name: None,
            namespace: None,
            exporters: BTreeMap::new(),
            pipelines: BTreeMap::new(),
            replicas: 1,
            image: None,
            service_account: None,
        }
    }
}

impl Collector {
    /// Namespace and name of the collector to attach to.
    #[must_use]
    pub fn attached<'a>(&'a self, shared: &'a str) -> (&'a str, &'a str) {
        (self.namespace.as_deref().unwrap_or(shared), self.name.as_deref().unwrap_or_default())
    }

    /// The exporters of a signal.
    #[must_use]
    pub fn exporters_of(&self, signal: &str) -> Vec<&str> {
        let chosen = self.pipelines.iter().find(|(name, _)| name.as_str() == signal).map(|(_, names)| names);
        chosen.map_or_else(
            || self.exporters.keys().map(String::as_str).collect(),
            |names| names.iter().map(String::as_str).collect(),
        )
    }
}

/// A kind of telemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    /// Spans.
    Traces,
    /// Numbers.
    Metrics,
    /// Lines and events.
    Logs,
}

impl Signal {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }
}

/// Whether workloads are annotated, for contexts that ask for it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct AnnotateWorkloads {
    /// They are. The controller then needs to patch workloads.
    pub enabled: bool,
}

/// Where traces are sampled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// In the collector, when a trace is complete: errors and audited requests are all kept.
    #[default]
    Tail,
    /// In each of several collectors alike, by the trace id; what is kept says how probable that was.
    Consistent,
    /// In the application, when it begins.
    Head,
}

/// How traces are sampled.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Sampling {
    /// Where.
    pub strategy: Strategy,
    /// Share of the traces kept of services without a context.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub others: f64,
    /// How long to wait for the spans of a trace.
    #[schemars(regex(pattern = shape::WAIT))]
    pub decision_wait: String,
    /// How many traces to hold meanwhile.
    #[schemars(range(min = 1))]
    pub num_traces: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { strategy: Strategy::Tail, others: 0.05, decision_wait: "10s".to_owned(), num_traces: 100_000 }
    }
}

/// Whether contexts get a ConfigMap for `envFrom`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Env {
    /// They do. The controller then needs to write ConfigMaps in their namespaces.
    pub enabled: bool,
}

/// Which Prometheus evaluates the rules.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schemars(extend("allOf" = shape::prometheus()))]
pub struct Prometheus {
    /// Its major version. Before 3 it cannot interpolate within classic histograms, and boundaries are used as they are.
    #[schemars(range(min = 2, max = 3))]
    pub compat: u8,
    /// Finite boundaries of the classic histograms, in seconds, where all services have the same.
    #[schemars(extend("items" = shape::bucket()))]
    pub buckets: Vec<f64>,
    /// How long it keeps data, where alerts are to say that a budget is of a shorter time than its period: `15d`.
    #[schemars(regex(pattern = shape::RETENTION))]
    pub retention: Option<String>,
    /// Its address, where the controller may query it.
    #[schemars(regex(pattern = shape::ADDRESS))]
    pub url: Option<String>,
}

impl Default for Prometheus {
    fn default() -> Self {
        Self { compat: 3, buckets: Vec::new(), retention: None, url: None }
    }
}

/// How dashboards come to Grafana.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GrafanaMode {
    /// The controller sends them to `url`.
    Url,
    /// `GrafanaFolder` and `GrafanaDashboard` of the Grafana operator.
    GrafanaOperator,
    /// ConfigMaps for the sidecar of Grafana's chart.
    Sidecar,
    /// Not at all.
    None,
}

/// Where the dashboards are, and how they come there.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Grafana {
    /// How. Absent: to `url`, where there is one, else not at all.
    pub mode: Option<GrafanaMode>,
    /// Address for people, in the links of alerts.
    #[schemars(regex(pattern = shape::ADDRESS))]
    pub url: Option<String>,
    /// Address for the controller, where that is another.
    #[schemars(regex(pattern = shape::ADDRESS))]
    pub api_url: Option<String>,
    /// File with the token of a service account. Absent: the environment variable `GRAFANA_TOKEN`.
    pub token_file: Option<String>,
    /// PEM file of a private CA that Grafana's certificate is from.
    pub ca_file: Option<String>,
    /// Secret with the token. The chart makes `GRAFANA_TOKEN` of it; the controller reads no secrets.
    pub token_secret: Option<SecretKey>,
    /// Uid of the folder of all dashboards. Those within are named after it.
    #[schemars(regex(pattern = shape::UID))]
    pub folder_uid: String,
    /// Which Grafanas of the Grafana operator get the dashboards. It cannot be changed later.
    #[schemars(extend("type" = "object"))]
    pub instance_selector: Value,
}

/// A key of a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schemars(extend("required" = ["name", "key"]))]
pub struct SecretKey {
    /// The secret.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The key in it.
    #[schemars(length(min = 1))]
    pub key: String,
}

impl Default for Grafana {
    fn default() -> Self {
        Self {
            mode: None,
            url: None,
            api_url: None,
            token_file: None,
            ca_file: None,
            token_secret: None,
            folder_uid: "contextcore".to_owned(),
            instance_selector: json!({"matchLabels": {"dashboards": "grafana"}}),
        }
    }
}

impl Grafana {
    /// How dashboards come to Grafana; `None`: nobody said so.
    #[must_use]
    pub fn mode(&self) -> Option<GrafanaMode> {
        self.mode.or_else(|| self.address().map(|_| GrafanaMode::Url))
    }

    /// What the types let through.
    fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut add = |path: &str, message: &str| found.push((format!("grafana.{path}"), message.to_owned()));
        if self.mode == Some(GrafanaMode::Url) && self.address().is_none() {
            add("mode", "needs the `url` of Grafana");
        }
        for (path, url) in [("url", &self.url), ("apiUrl", &self.api_url)] {
            if url.as_ref().is_some_and(|url| !check::is_web_address(url)) {
                add(path, "is not a web address: write one such as https://grafana.example");
            }
        }
        let is_uid = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.folder_uid.is_empty() || self.folder_uid.len() > 31 || !self.folder_uid.chars().all(is_uid) {
            add("folderUid", "is not a uid: write up to 31 letters, digits, - and _");
        }
        if !self.instance_selector.is_object() {
            add("instanceSelector", "is not a label selector: write one such as {matchLabels: {dashboards: grafana}}");
        }
        found
    }

    /// The address that the controller sends them to.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        self.api_url.as_deref().or(self.url.as_deref())
    }
}

/// Which further alerts there are.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Alerts {
    /// Alert when a service reported nothing for this long. Off, because it mostly reports what is meant to be silent.
    #[schemars(regex(pattern = shape::INTERVAL))]
    pub absent: Option<String>,
}

/// How much a namespace may claim.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Limits {
    /// Every namespace that is not listed.
    pub default: Limit,
    /// By namespace, instead of the default.
    #[schemars(extend("propertyNames" = shape::name(shape::NAMESPACE)))]
    pub namespaces: BTreeMap<String, Limit>,
}

impl Limits {
    /// The limit of a namespace.
    #[must_use]
    pub fn of(&self, namespace: &str) -> &Limit {
        self.namespaces.get(namespace).unwrap_or(&self.default)
    }
}

/// How much contexts may claim; what is absent is not limited.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Limit {
    /// Highest share of traces.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_trace_sampling: Option<f64>,
    /// Shortest interval of metrics.
    #[schemars(regex(pattern = shape::INTERVAL))]
    pub min_metrics_interval: Option<String>,
    /// Highest criticality.
    pub max_criticality: Option<Criticality>,
    /// Most auditing: `standard` keeps the writing requests of a context no more often than its other traces. `extended`, which keeps
    /// all of them whatever `maxTraceSampling` is, is not limited.
    pub max_audit: Option<Audit>,
    /// The only channels that may be used.
    #[schemars(inner(regex(pattern = shape::CHANNEL)))]
    pub channels: Option<BTreeSet<String>>,
}

/// Who may use a project id, and what is kept for it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ProjectLimit {
    /// Contexts in these namespaces.
    #[schemars(inner(regex(pattern = shape::NAMESPACE)))]
    pub namespaces: BTreeSet<String>,
    /// Native projects of sources that only this project may include.
    pub include: Vec<Native>,
}

/// A native project of a source.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Native {
    /// Name of the source in the configuration file.
    #[schemars(length(min = 1))]
    pub source: String,
    /// The native project, such as a key of Jira.
    #[schemars(length(min = 1))]
    pub project: String,
}
