//! What an agent is given of an error budget: `slos.budget_left` of `get_context`, read from a real Prometheus that records the series
//! of the controller's rules.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::servers::{Alone, Open};

/// How long the first evaluation of the rules may take.
const LIMIT: Duration = Duration::from_secs(60);
const RECORDED: &str = "contextcore:slo_error_budget_remaining:ratio";
const PROJECTS: &str = r#"
projects:
- id: shop
  context: {namespace: commerce, name: checkout}
  targets: [{kind: Deployment, name: checkout, service: checkout-service}]
  requirements: {availability: "99.95", latencyP99: 200ms}
  slos:
  - {name: availability, objective: "99.95", window: 30d, errorBudget: "0.05", sli: otel-http}
  - {name: latency_p99, objective: "99", window: 30d, errorBudget: "1", sli: otel-http}
"#;

/// A rule that records how much is left, as one of the controller is named and labelled.
fn rule(project: &str, namespace: &str, slo: &str, left: f64) -> Value {
    json!({
        "record": RECORDED,
        "expr": format!("vector({left})"),
        "labels": {"project": project, "namespace": namespace, "service": "checkout-service", "slo": slo, "window": "30d"},
    })
}

/// The course of the test.
pub(crate) async fn course(programs: &Open) -> Result<()> {
    let rules = json!({"groups": [{"name": "left", "rules": [
        rule("shop", "commerce", "availability", 0.61),
        rule("shop", "other", "latency_p99", 0.5),
        rule("blog", "commerce", "availability", 0.1),
    ]}]});
    let prometheus = Alone::start(programs, &rules).await?;
    let home = tempfile::tempdir()?;
    fs::write(home.path().join("projects.yaml"), PROJECTS)?;
    let config = json!({
        "store": {"path": "data"}, "projects_file": "projects.yaml", "projects": [{"id": "shop"}],
        "prometheus": {"url": prometheus.url()},
    });
    fs::write(home.path().join("contextcore.yaml"), config.to_string())?;
    let begun = Instant::now();
    let slos = loop {
        let slos = slos(home.path())?;
        if slos[0]["budget_left"].is_number() || begun.elapsed() > LIMIT {
            break slos;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    ensure!(slos[0]["budget_left"] == 0.61, "{slos}");
    ensure!(slos[1]["name"] == "latency_p99" && slos[1]["budget_left"].is_null(), "what is of another service: {slos}");
    ensure!(slos[1]["objective"] == "99% < 200ms", "{slos}");
    drop(prometheus);
    let without = self::slos(home.path())?;
    ensure!(without[0]["objective"] == 99.95 && without[0]["budget_left"].is_null(), "nobody answers: {without}");
    Ok(())
}

/// The objectives in the context that an agent asks for.
fn slos(home: &Path) -> Result<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_contextcore"));
    command.env_clear().env("CONTEXTCORE_STATE_DIR", home.join("state")).env("CONTEXTCORE_DRAIN", "off");
    command.args(["--config", "contextcore.yaml", "mcp"]).current_dir(home);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "stack", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let params = json!({"name": "get_context", "arguments": {"project": "SHOP"}, "_meta": meta});
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    let mut input = child.stdin.take().context("the agent has no input")?;
    writeln!(input, "{request}")?;
    let mut line = String::new();
    let output = child.stdout.take().context("the agent has no output")?;
    std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line)?;
    drop(input);
    child.wait()?;
    let answer: Value = serde_json::from_str(&line)?;
    let slos = answer["result"]["structuredContent"]["slos"].clone();
    ensure!(slos.as_array().is_some_and(|slos| slos.len() == 2), "{answer}");
    Ok(slos)
}
