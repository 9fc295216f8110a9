//! Runs the real binary, and reads what it prints: the other side of every comparison.
//!
//! [`Task`] and [`Sprint`] hold what `tasks --output json` and `sprints --output json` print, as the contract names it; no code
//! is shared with the product. What follows from a timeline is in [`crate::timeline`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use contextcore_fakes::jira::Jira;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::servers::{Endpoints, Stack};
use crate::timeline::Expected;

const CONFIG: &str = "contextcore.yaml";
const PROJECTS_FILE: &str = "projects.yaml";

/// A task, as `tasks --output json` prints it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Task {
    pub(crate) native_id: String,
    pub(crate) id: String,
    pub(crate) project_id: String,
    #[serde(rename = "type")]
    pub(crate) task_type: String,
    pub(crate) status: String,
    pub(crate) parent: Option<String>,
    pub(crate) root: String,
    pub(crate) started: Option<Timestamp>,
    pub(crate) completed: Option<Timestamp>,
    pub(crate) deleted: Option<Timestamp>,
    pub(crate) blocked_by: Vec<String>,
    pub(crate) status_time: BTreeMap<String, f64>,
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
    pub(crate) timeline: Vec<Event>,
}

/// An event of a timeline.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Event {
    pub(crate) at: Timestamp,
    pub(crate) kind: String,
    pub(crate) from: Value,
    pub(crate) to: Value,
}

/// A sprint, as `sprints --output json` prints it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Sprint {
    pub(crate) id: String,
    pub(crate) project_id: Option<String>,
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) start: Option<Timestamp>,
    pub(crate) completed: Option<Timestamp>,
    pub(crate) committed: f64,
    pub(crate) completed_points: f64,
    pub(crate) carried_over: f64,
    pub(crate) added: f64,
    pub(crate) removed: f64,
    pub(crate) burndown: Vec<Day>,
}

/// A day of a burndown, at 24:00 UTC; the last is the completion.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Day {
    pub(crate) date: String,
    pub(crate) remaining: f64,
    pub(crate) scope: f64,
    pub(crate) completed: f64,
    pub(crate) ideal: f64,
}

/// What `sync --output json` prints of a run.
#[derive(Deserialize)]
struct Report {
    export: Export,
}

/// What became of the telemetry.
#[derive(Debug, Deserialize)]
pub(crate) struct Export {
    pub(crate) spans: u64,
    pub(crate) logs: u64,
    pub(crate) rejected: u64,
    pub(crate) retries: u64,
}

/// The binary with a configuration and a store of its own.
pub(crate) struct Product {
    /// The name of its source. Projects are named after it, so that several products can share the servers.
    pub(crate) source: String,
    directory: TempDir,
}

impl Product {
    /// Writes the configuration for a Jira with the projects of the sample world, sending traces to `traces`.
    pub(crate) fn new(source: &str, jira: &str, traces: &str, endpoints: &Endpoints) -> Result<Self> {
        Self::with_projects(source, jira, traces, endpoints, &Self::sample_projects(source))
    }

    /// The same, sending all three signals to one address over gRPC.
    pub(crate) fn over_grpc(source: &str, jira: &str, url: &str) -> Result<Self> {
        let here = json!({"url": url, "protocol": "grpc"});
        let endpoints = json!({"traces": here, "logs": here, "metrics": here});
        Self::write(source, jira, &endpoints, &Self::sample_projects(source))
    }

    fn sample_projects(source: &str) -> Value {
        let include = |project: &str| json!({"source": source, "project": project});
        json!([
            {"id": format!("{source}-commerce"), "name": "Commerce", "criticality": "critical", "include": [include("SHOP")]},
            {"id": format!("{source}-platform"), "name": "Platform", "include": [include("PLAT"), include("OPS")]},
        ])
    }

    /// The same with `projects:` of the caller's own.
    pub(crate) fn with_projects(
        source: &str,
        jira: &str,
        traces: &str,
        endpoints: &Endpoints,
        projects: &Value,
    ) -> Result<Self> {
        let endpoints = json!({
            "traces": traces_of(traces, endpoints),
            "logs": endpoints.logs,
            "metrics": endpoints.metrics,
        });
        Self::write(source, jira, &endpoints, projects)
    }

    fn write(source: &str, jira: &str, endpoints: &Value, projects: &Value) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("contextcore-product-").tempdir()?;
        std::fs::write(directory.path().join("token"), Jira::TOKEN)?;
        let product = Self { source: source.to_owned(), directory };
        std::fs::write(product.config(), product.config_text(jira, endpoints, projects))?;
        std::fs::write(product.directory.path().join(PROJECTS_FILE), product.described().to_string())?;
        Ok(product)
    }

    /// The id of the project that holds the tool's project SHOP.
    pub(crate) fn commerce(&self) -> String {
        format!("{}-commerce", self.source)
    }

    /// The id of the project that holds the tool's projects PLAT and OPS.
    pub(crate) fn platform(&self) -> String {
        format!("{}-platform", self.source)
    }

    fn config(&self) -> PathBuf {
        self.directory.path().join(CONFIG)
    }

    /// JSON is YAML, and needs no thought about quotes.
    fn config_text(&self, jira: &str, endpoints: &Value, projects: &Value) -> String {
        json!({
            "store": {"path": self.directory.path().join("store")},
            "export": {
                "history": "400d",
                "give_up": "30s",
                "otlp": {"endpoints": endpoints},
            },
            "projects": projects,
            "projects_file": PROJECTS_FILE,
            "sources": [{
                "name": self.source,
                "kind": "jira",
                "url": jira,
                "auth": {"email": Jira::EMAIL, "token": {"file": self.directory.path().join("token")}},
            }],
        })
        .to_string()
    }

    /// What a context says of the commerce project, for the panels about it.
    fn described(&self) -> Value {
        json!({"projects": [{
            "id": self.commerce(),
            "owner": "commerce-team",
            "context": {"namespace": "commerce", "name": "checkout", "criticality": "critical"},
            "requirements": {"availability": "99.95", "latencyP50": "50ms", "latencyP95": "150ms", "latencyP99": "200ms"},
            "risks": [{"risk": "Card numbers leak", "id": "pci", "type": "security", "priority": "P1"}],
            "design": {"doc": "https://docs.example/checkout"},
            "guidance": {"constraints": [{"id": "api", "rule": "Keep the API"}]},
        }]})
    }

    /// Runs `sync`; nothing may have been refused or left over.
    pub(crate) async fn sync(&self, arguments: &[&str]) -> Result<Export> {
        let Report { export } = self.run(&[&["sync", "--output", "json"], arguments].concat()).await?;
        ensure!(
            export.rejected == 0 && export.retries == 0,
            "the backends did not accept everything at once: {export:?}"
        );
        Ok(export)
    }

    /// Runs `replay` for traces and logs; nothing may have been refused. Metrics are left out because half a million samples
    /// that are there already prove little and take long.
    pub(crate) async fn replay(&self) -> Result<Export> {
        let mut config: Value = serde_json::from_slice(&std::fs::read(self.config())?)?;
        config["export"]["otlp"]["signals"] = json!(["traces", "logs"]);
        std::fs::write(self.directory.path().join("replay.yaml"), config.to_string())?;
        let Report { export } = self.run_with("replay.yaml", &["replay", "--output", "json"]).await?;
        ensure!(export.rejected == 0, "the backends refused some of it: {export:?}");
        Ok(export)
    }

    /// Lets the doctor check the servers: every finding must be ok. They need no credential, and get one all the same.
    pub(crate) async fn examine(&self, stack: &Stack) -> Result<String> {
        let token = self.directory.path().join("backend-token");
        std::fs::write(&token, "123456:of-nobody")?;
        let token = token.to_string_lossy();
        let urls = [
            ["--tempo-url", stack.tempo()?.url(), "--tempo-token-file", &token],
            ["--loki-url", stack.loki()?.url(), "--loki-token-file", &token],
            ["--prometheus-url", stack.prometheus.url(), "--prometheus-token-file", &token],
        ];
        self.findings(urls.as_flattened(), 7).await
    }

    /// The same for Prometheus alone.
    pub(crate) async fn examine_prometheus(&self, stack: &Stack) -> Result<String> {
        self.findings(&["--prometheus-url", stack.prometheus.url()], 2).await
    }

    /// Lets the doctor check servers, whatever it finds.
    pub(crate) async fn consult(&self, urls: &[&str]) -> Result<()> {
        let Output { stderr, .. } = self.output(CONFIG, &[&["check", "--output", "json"], urls].concat()).await?;
        let said = String::from_utf8_lossy(&stderr);
        ensure!(!said.contains("panicked"), "the doctor failed: {said}");
        Ok(())
    }

    /// Runs the doctor: it must have at least `least` findings, all of them ok.
    async fn findings(&self, urls: &[&str], least: usize) -> Result<String> {
        let examine = ["check", "--output", "json", "--wait", "60", "--org-id", "anybody"];
        let found: Value = self.run(&[&examine, urls].concat()).await?;
        let found = found["doctor"].as_array().context("the doctor found nothing")?;
        let unwell: Vec<_> = found.iter().filter(|finding| finding["verdict"] != "ok").collect();
        ensure!(found.len() >= least && unwell.is_empty(), "{unwell:#?} among {}", found.len());
        Ok(format!("{} findings", found.len()))
    }

    /// What `tasks` and `sprints` print: what the servers must have.
    pub(crate) async fn expected(&self) -> Result<Expected> {
        let tasks = self.run(&["tasks", "--output", "json"]).await?;
        let sprints = self.run(&["sprints", "--output", "json"]).await?;
        Ok(Expected::new(tasks, sprints))
    }

    async fn run<T: DeserializeOwned>(&self, arguments: &[&str]) -> Result<T> {
        self.run_with(CONFIG, arguments).await
    }

    /// Runs the binary and reads its JSON.
    async fn run_with<T: DeserializeOwned>(&self, config: &str, arguments: &[&str]) -> Result<T> {
        let Output { status, stdout, stderr } = self.output(config, arguments).await?;
        let said = String::from_utf8_lossy(&stderr);
        ensure!(status.success(), "contextcore {arguments:?} ended with {status}\n{said}");
        serde_json::from_slice(&stdout)
            .with_context(|| format!("contextcore {arguments:?} printed no such JSON\n{said}"))
    }

    /// Runs the binary to its end. The fake Jira answers meanwhile, so this thread may not wait.
    async fn output(&self, config: &str, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_contextcore"));
        command.arg("--config").arg(self.directory.path().join(config)).args(arguments);
        command.env_remove("CONTEXTCORE_NOW").env("NO_PROXY", "127.0.0.1");
        Ok(tokio::task::spawn_blocking(move || command.output()).await??)
    }
}

fn traces_of(protocol: &str, endpoints: &Endpoints) -> Value {
    let url = if protocol == "grpc" { &endpoints.traces_grpc } else { &endpoints.traces_http };
    json!({"url": url, "protocol": protocol})
}
