//! What the platform team sets, once for all contexts: the table of criticalities, channels, limits, and where things are.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::resource::{Criticality, Placement, Priority};
use crate::yaml;

/// Where the shared outputs are, where nothing says otherwise.
const NAMESPACE: &str = "contextcore";

/// All settings; every one has a default.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Settings {
    /// Label `contextcore.io/instance` of all objects: two installations do not touch each other's.
    pub instance: String,
    /// Namespace of the shared outputs.
    pub namespace: String,
    /// Labels on all objects of the Prometheus operator, for its selectors.
    pub object_labels: BTreeMap<String, String>,
    /// What replaces values of the table of criticalities.
    pub derivation: BTreeMap<Criticality, DerivationOverride>,
    /// Who can be alerted: a name and a receiver of `AlertmanagerConfig` v1alpha1. Empty: no routing.
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
    pub runbook_base_url: Option<String>,
    /// Which further alerts there are.
    pub alerts: Alerts,
    /// How much a namespace may claim.
    pub limits: Limits,
    /// Which namespaces may use a project id. An id that is not listed is free.
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
    pub trace_sampling: Option<f64>,
    /// Interval of metrics.
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
    pub alert_channels: Option<Vec<String>>,
}

/// Where Alertmanager is.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Routing {
    /// Its namespace: the one `AlertmanagerConfig` is there, and so are the secrets of its receivers.
    pub namespace: String,
}

impl Default for Routing {
    fn default() -> Self {
        Self { namespace: "monitoring".to_owned() }
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
pub struct Collector {
    /// How it gets its configuration.
    pub mode: CollectorMode,
    /// Name of the `OpenTelemetryCollector` to attach to.
    pub name: Option<String>,
    /// Its namespace. Absent: that of the shared outputs.
    pub namespace: Option<String>,
    /// Exporters of our gateway, as its configuration has them.
    pub exporters: BTreeMap<String, Value>,
    /// Which of them each signal (`traces`, `metrics`, `logs`) goes to. A signal that is absent goes to all.
    pub pipelines: BTreeMap<Signal, Vec<String>>,
    /// How many instances our gateway has. Tail sampling needs all spans of a trace in one of them.
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
    pub others: f64,
    /// How long to wait for the spans of a trace.
    pub decision_wait: String,
    /// How many traces to hold meanwhile.
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
pub struct Prometheus {
    /// Its major version. Before 3 it cannot interpolate within classic histograms, and boundaries are used as they are.
    pub compat: u8,
    /// Finite boundaries of the classic histograms, in seconds, where all services have the same.
    pub buckets: Vec<f64>,
    /// Its address, where the controller may query it.
    pub url: Option<String>,
}

impl Default for Prometheus {
    fn default() -> Self {
        Self { compat: 3, buckets: Vec::new(), url: None }
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
    pub url: Option<String>,
    /// Address for the controller, where that is another.
    pub api_url: Option<String>,
    /// File with the token of a service account. Absent: the environment variable `GRAFANA_TOKEN`.
    pub token_file: Option<String>,
    /// PEM file of a private CA that Grafana's certificate is from.
    pub ca_file: Option<String>,
    /// Secret with the token. The chart makes `GRAFANA_TOKEN` of it; the controller reads no secrets.
    pub token_secret: Option<SecretKey>,
    /// Uid of the folder of all dashboards. Those within are named after it.
    pub folder_uid: String,
    /// Which Grafanas of the Grafana operator get the dashboards. It cannot be changed later.
    pub instance_selector: Value,
}

/// A key of a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct SecretKey {
    /// The secret.
    pub name: String,
    /// The key in it.
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
            if url.as_ref().is_some_and(|url| !url.starts_with("http://") && !url.starts_with("https://")) {
                add(path, "is no web address: write one such as https://grafana.example");
            }
        }
        let is_uid = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.folder_uid.is_empty() || self.folder_uid.len() > 31 || !self.folder_uid.chars().all(is_uid) {
            add("folderUid", "is no uid: write up to 31 letters, digits, - and _");
        }
        if !self.instance_selector.is_object() {
            add("instanceSelector", "is no label selector: write one such as {matchLabels: {dashboards: grafana}}");
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
    pub absent: Option<String>,
}

/// How much a namespace may claim.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Limits {
    /// Every namespace that is not listed.
    pub default: Limit,
    /// By namespace, instead of the default.
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
    pub max_trace_sampling: Option<f64>,
    /// Shortest interval of metrics.
    pub min_metrics_interval: Option<String>,
    /// Highest criticality.
    pub max_criticality: Option<Criticality>,
    /// The only channels that may be used.
    pub channels: Option<BTreeSet<String>>,
}

/// Who may use a project id.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ProjectLimit {
    /// Contexts in these namespaces.
    pub namespaces: BTreeSet<String>,
}

impl Settings {
    /// Reads settings from YAML.
    ///
    /// # Errors
    /// Lines `file:line: key: what is wrong` when the text is not YAML, has an unknown key or a wrong value.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<String>> {
        Self::parse_in(file, text, NAMESPACE)
    }

    /// The same; the shared outputs are in `namespace` where the text does not say.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_in(file: &str, text: &str, namespace: &str) -> Result<Self, Vec<String>> {
        let at = |line: Option<u64>| line.map_or_else(|| file.to_owned(), |line| format!("{file}:{line}"));
        let mut documents =
            yaml::documents(text).map_err(|(line, message)| vec![format!("{}: {message}", at(line))])?;
        if documents.len() > 1 {
            return Err(vec![format!("{file}: has several documents: keep the settings in one")]);
        }
        let default = || Self { namespace: namespace.to_owned(), ..Self::default() };
        let Some(document) = documents.pop() else { return Ok(default()) };
        let (mut value, lines) = document.into_parts();
        if let Value::Object(map) = &mut value {
            map.entry("namespace").or_insert_with(|| namespace.into());
        }
        let settings: Self = serde_path_to_error::deserialize(value).map_err(|error| {
            // An unknown key of a table has no path of its own.
            let path = error.path().to_string().trim_end_matches(".?").to_owned();
            vec![format!("{}: {path}: {}", at(lines.of(&path)), error.inner())]
        })?;
        let wrong = settings.problems();
        let place = |(path, message): (String, String)| format!("{}: {path}: {message}", at(lines.of(&path)));
        if wrong.is_empty() { Ok(settings) } else { Err(wrong.into_iter().map(place).collect()) }
    }

    /// What the types let through: key path and what to do.
    fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let share = |value: f64| (0.0..=1.0).contains(&value);
        let mut shares = vec![("sampling.others".to_owned(), Some(self.sampling.others))];
        let mut intervals = vec![("alerts.absent".to_owned(), self.alerts.absent.as_deref())];
        for (criticality, row) in &self.derivation {
            shares.push((format!("derivation.{criticality}.traceSampling"), row.trace_sampling));
            intervals.push((format!("derivation.{criticality}.metricsInterval"), row.metrics_interval.as_deref()));
        }
        let named = self.limits.namespaces.iter().map(|(name, limit)| (format!("limits.namespaces.{name}"), limit));
        for (path, limit) in named.chain([("limits.default".to_owned(), &self.limits.default)]) {
            shares.push((format!("{path}.maxTraceSampling"), limit.max_trace_sampling));
            intervals.push((format!("{path}.minMetricsInterval"), limit.min_metrics_interval.as_deref()));
        }
        let wrong_share = |(path, value): (String, Option<f64>)| {
            value.filter(|value| !share(*value)).map(|_| (path, "is a share between 0 and 1, such as 0.1".to_owned()))
        };
        found.extend(shares.into_iter().filter_map(wrong_share));
        let wrong_interval = |(path, value): (String, Option<&str>)| {
            let wrong = value.is_some_and(|value| crate::units::interval(value).is_none());
            wrong.then(|| (path, "is a whole number of seconds or minutes, such as 30s".to_owned()))
        };
        found.extend(intervals.into_iter().filter_map(wrong_interval));
        if self.prometheus.compat < 3 && self.prometheus.buckets.is_empty() {
            let message =
                "before Prometheus 3 the boundaries of the histograms must be known: add `buckets: [0.005, …]`";
            found.push(("prometheus.compat".to_owned(), message.to_owned()));
        }
        found.extend(self.grafana.problems());
        if self.collector.mode == CollectorMode::Attach && self.collector.name.is_none() {
            let message = "needs the `name` of the OpenTelemetryCollector in mode attach";
            found.push(("collector".to_owned(), message.to_owned()));
        }
        found.extend(self.gateway_problems().map(|message| ("collector".to_owned(), message)));
        found
    }
}

impl Settings {
    /// What is wrong with our own gateway.
    fn gateway_problems(&self) -> Option<String> {
        let collector = &self.collector;
        if collector.mode == CollectorMode::Managed && collector.exporters.is_empty() {
            return Some("needs `exporters` in mode managed: where the gateway sends what it received".to_owned());
        }
        let known = |name: &&String| collector.exporters.contains_key(*name);
        let (signal, name) = collector
            .pipelines
            .iter()
            .find_map(|(signal, names)| names.iter().find(|name| !known(name)).map(|name| (signal.as_str(), name)))?;
        Some(format!("pipelines.{signal} names exporter {name}, which is not in `exporters`: add it there"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_the_default() {
        assert_eq!(Settings::parse("s.yaml", "").unwrap(), Settings::default());
        assert_eq!(Settings::parse("s.yaml", "# nothing\n{}\n").unwrap(), Settings::default());
    }

    #[test]
    fn what_is_wrong_says_where() {
        for (text, wanted) in [
            ("limits:\n  default:\n    maxTraceSampling: 2\n", "s.yaml:3: limits.default.maxTraceSampling: is a share"),
            ("sampling: {others: -1}\n", "s.yaml:1: sampling.others: is a share"),
            ("a: 1\n", "s.yaml:1: a: unknown field `a`"),
            (
                "derivation:\n  criticl: {}\n",
                "s.yaml:1: derivation: unknown variant `criticl`, expected one of `critical`",
            ),
            ("derivation: {low: {metricsInterval: soon}}\n", "derivation.low.metricsInterval: is a whole number"),
            ("prometheus:\n  compat: 2\n", "s.yaml:2: prometheus.compat: before Prometheus 3"),
            ("grafana: {mode: url}\n", "s.yaml:1: grafana.mode: needs the `url`"),
            ("grafana: {url: grafana}\n", "s.yaml:1: grafana.url: is no web address"),
            ("grafana: {folderUid: 'a b'}\n", "s.yaml:1: grafana.folderUid: is no uid"),
            ("collector: {mode: attach}\n", "s.yaml:1: collector: needs the `name`"),
            ("collector: {mode: managed}\n", "s.yaml:1: collector: needs `exporters`"),
            ("collector: {exporters: {a: {}}, pipelines: {logs: [b]}}\n", "pipelines.logs names exporter b"),
            ("a: [\n", "not valid YAML"),
        ] {
            let error = Settings::parse("s.yaml", text).unwrap_err().join("\n");
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}
