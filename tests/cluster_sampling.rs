//! Whether a collector has loaded what the controller wrote for it: a real Collector with the fragment from the API server, a real
//! Prometheus that reads the Collector's own metrics, and the condition that follows.

use std::fs;
use std::path::Path;
use std::process::Command;

use contextcore_cluster::{Cluster, Server, Suite, free_ports, get, post};
use serde_json::{Value, json};

use super::cluster_controller::{HOME, Process, cluster, context, until};

/// A pipeline of a platform team, for each strategy.
const PIPELINES: [(&str, &str); 2] = [
    (
        "tail",
        "{traces: {receivers: [otlp], processors: [transform/contextcore, tail_sampling/contextcore], exporters: [debug]}}",
    ),
    (
        "consistent",
        "{traces: {receivers: [otlp], processors: [transform/contextcore], exporters: [routing/contextcore]}, \
         traces/kept: {receivers: [forward/contextcore], exporters: [debug]}}",
    ),
];

/// Programs that run until the test ends, and where they listen.
struct Stack {
    _servers: [Server; 2],
    otlp: String,
    prometheus: String,
}

impl Stack {
    fn start(folder: &Path, fragment: &str, pipelines: &str, prometheus: &str) -> Option<Self> {
        let programs = [Suite::Stack.program("otelcol")?, Suite::Stack.program("prometheus")?];
        let [otlp, own] = free_ports();
        let base = format!(
            "receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:{otlp}'}}}}}}}}\nexporters: {{debug: {{}}}}\n\
             service:\n  telemetry: {{metrics: {{readers: [{{pull: {{exporter: {{prometheus: {{host: 127.0.0.1, port: {own}}}}}}}}}]}}}}\n  \
             pipelines: {pipelines}\n"
        );
        fs::write(folder.join("base.yaml"), base).unwrap();
        fs::write(folder.join("contextcore.yaml"), fragment).unwrap();
        let scrape = json!({"scrape_configs": [{
            "job_name": "otelcol", "scrape_interval": "1s", "static_configs": [{"targets": [format!("127.0.0.1:{own}")]}],
        }]});
        fs::write(folder.join("prometheus.yaml"), scrape.to_string()).unwrap();
        let mut command = Command::new(&programs[0]);
        command.args(["--config=file:base.yaml", "--config=file:contextcore.yaml"]);
        let otlp = format!("127.0.0.1:{otlp}");
        let collector = start("otelcol", command, folder, &otlp, "/v1/traces", 405);
        let mut command = Command::new(&programs[1]);
        command.args(["--config.file=prometheus.yaml", "--storage.tsdb.path=data"]);
        command.arg(format!("--web.listen-address={prometheus}"));
        let server = start("prometheus", command, folder, prometheus, "/-/ready", 200);
        Some(Self { _servers: [collector, server], otlp, prometheus: prometheus.to_owned() })
    }

    /// One failed request, which every strategy keeps.
    fn trace(&self) {
        let span = json!({
            "traceId": "0123456789abcdef0123456789abcdef", "spanId": "0123456789abcdef", "name": "x", "kind": 2,
            "status": {"code": 2}, "startTimeUnixNano": "1795000000000000000", "endTimeUnixNano": "1795000000100000000",
        });
        let body = json!({"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": [span]}]}]});
        assert_eq!(post(&self.otlp, "/v1/traces", &body).unwrap().status, 200);
    }

    /// Whether Prometheus has what the collector counts of the fragment.
    fn has_metrics(&self) -> bool {
        let path = "/api/v1/label/__name__/values";
        get(&self.prometheus, path).is_ok_and(|reply| {
            reply.body.contains("otelcol_processor_outgoing_items") || reply.body.contains("count_traces_sampled")
        })
    }
}

fn start(name: &'static str, command: Command, folder: &Path, address: &str, path: &str, status: u16) -> Server {
    let mut server = Server::spawn(name, command, folder);
    let is_ready = || get(address, path).is_ok_and(|reply| reply.status == status);
    server.until(is_ready).unwrap_or_else(|error| panic!("{error}"));
    server
}

fn sampling_ready(cluster: &Cluster) -> Option<Value> {
    let context = cluster.get("projectcontexts", "shop", "a")?;
    let conditions = context["status"]["conditions"].as_array()?.clone();
    conditions.into_iter().find(|condition| condition["type"] == "SamplingReady")
}

#[test]
fn a_fragment_that_a_collector_has_loaded_is_said_to_be_applied() {
    let Some(cluster) = cluster() else { return };
    for (at, (strategy, pipelines)) in PIPELINES.into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let [port, prometheus] = free_ports();
        let prometheus = format!("127.0.0.1:{prometheus}");
        let settings = folder.path().join("settings.yaml");
        let text = format!(
            "sampling: {{strategy: {strategy}, decisionWait: 1s}}\nprometheus: {{url: 'http://{prometheus}'}}\n"
        );
        fs::write(&settings, text).unwrap();
        let more = ["--settings", settings.to_str().unwrap()];
        let controller = Process::start_with(&cluster, folder.path(), strategy, port, &more);
        cluster.apply("shop", &[context("a", &format!("99.{at}"))]).succeeds();
        let mut fragment = String::new();
        until("the fragment is there", || {
            let map = cluster.get("configmaps", HOME, "contextcore-collector").unwrap_or_default();
            fragment = map["data"]["contextcore.yaml"].as_str().unwrap_or_default().to_owned();
            fragment.contains("\"shop\"") && fragment.contains("routing/contextcore") == (strategy == "consistent")
        });
        let Some(stack) = Stack::start(folder.path(), &fragment, pipelines, &prometheus) else { return };
        until("the metrics are in Prometheus", || {
            stack.trace();
            stack.has_metrics()
        });
        // Any change lets the controller look again at once, else it does so within a minute.
        cluster.apply("shop", &[context("a", &format!("99.5{at}"))]).succeeds();
        until("the condition follows", || {
            sampling_ready(&cluster).is_some_and(|found| found["status"] == "True" && found["reason"] == "Applied")
        });
        drop(controller);
    }
}
