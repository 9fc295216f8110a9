//! What the controller costs on a real API server with 500 contexts: `cargo bench --bench controller --features kubernetes`.
//!
//! It prints how long the first pass takes and how much memory it needs, how soon an edit is in all outputs, what is written and asked
//! when nothing changes, and how long a failover takes after `kill -9`. It needs the binaries of `tests/cluster/build.sh`.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on shall fail at once")]

mod rows;

use std::fs;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use contextcore_cluster::{Cluster, Definitions};
use rows::Rows;
use serde_json::{Value, json};

const CONTEXTS: usize = 500;
const NAMESPACES: usize = 10;
/// Where the controllers have their Lease and what all share.
const HOME: &str = "contextcore";
const PATIENCE: Duration = Duration::from_secs(300);
/// How long it is watched while nothing happens.
const IDLE: Duration = Duration::from_secs(60);

/// A controller as a process.
struct Controller(Child);

impl Controller {
    fn start(cluster: &Cluster, name: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_contextcore"));
        command.args(["controller", "run", "--namespace", HOME, "--listen", "127.0.0.1:0", "--identity", name]);
        command.env("KUBECONFIG", cluster.kubeconfig()).stdin(Stdio::null()).stdout(Stdio::null());
        if std::env::var_os("SHOW_LOG").is_none() {
            command.stderr(Stdio::null());
        }
        Self(command.spawn().unwrap())
    }

    /// The most memory that it had, in megabytes.
    fn peak(&self) -> f64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").trim().parse::<f64>().unwrap() / 1024.0
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn context(at: usize, sampling: f64) -> Value {
    let criticality = ["critical", "high", "medium", "low"][at % 4];
    json!({
        "apiVersion": "contextcore.io/v1", "kind": "ProjectContext",
        "metadata": {"name": format!("service-{at}"), "namespace": format!("team-{}", at % NAMESPACES)},
        "spec": {
            "project": {"id": format!("project-{}", at % 50)},
            "business": {"criticality": criticality, "owner": format!("team-{}", at % NAMESPACES)},
            "requirements": {"availability": "99.9", "latencyP99": "300ms"},
            "risks": [{"risk": format!("risk {at}"), "priority": "P2", "mitigation": "a fallback"}],
            "observability": {"traceSampling": sampling},
        },
    })
}

fn until(what: &str, pause: Duration, ask: impl Fn() -> bool) -> Duration {
    let began = Instant::now();
    while !ask() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(pause);
    }
    began.elapsed()
}

/// How many contexts are ready.
fn ready(cluster: &Cluster) -> usize {
    let path = r#"-o=jsonpath={range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}"#;
    let text = cluster.kubectl(&["get", "pctx", "-A", path]).succeeds();
    text.lines().filter(|line| *line == "True").count()
}

/// Whether an edit of one context is in its rules, its sampling, its entry for the sync service, and its status.
fn has_edit(cluster: &Cluster, sampling: &str, objective: &str) -> bool {
    let raw = |path: &str| cluster.kubectl(&["get", "--raw", path]).out;
    let rule = raw("/apis/monitoring.coreos.com/v1/namespaces/team-0/prometheusrules/contextcore-service-0");
    rule.contains(objective)
        && raw(&format!("/api/v1/namespaces/{HOME}/configmaps/contextcore-collector"))
            .contains(&format!("rate-{sampling}"))
        && raw("/apis/contextcore.io/v1/namespaces/team-0/projectcontexts/service-0")
            .contains(&format!("\"objective\":\"{}\"", objective_percent(objective)))
        && raw(&format!(
            "/api/v1/namespaces/{HOME}/configmaps?labelSelector=app.kubernetes.io%2Fmanaged-by%3Dcontextcore"
        ))
        .contains(&format!("availability: \\\"{}\\\"", objective_percent(objective)))
}

fn objective_percent(vector: &str) -> String {
    let ratio: f64 = vector.trim_start_matches("vector(").trim_end_matches(')').parse().unwrap();
    format!("{}", (ratio * 1_000_000.0).round() / 10_000.0)
}

/// Requests about what the controller reads and writes, without watches and the Lease; and how many of them write.
fn requests(cluster: &Cluster) -> (f64, f64) {
    let text = cluster.kubectl(&["get", "--raw", "/metrics"]).succeeds();
    let ours =
        ["projectcontexts", "prometheusrules", "servicemonitors", "configmaps", "events", "customresourcedefinitions"];
    let (mut all, mut writes) = (0.0, 0.0);
    for line in text.lines().filter(|line| line.starts_with("apiserver_request_total{")) {
        let is_ours = ours.iter().any(|name| line.contains(&format!("resource=\"{name}\"")));
        if !is_ours || line.contains("verb=\"WATCH\"") {
            continue;
        }
        let count: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
        all += count;
        if ["POST", "PUT", "PATCH", "APPLY", "DELETE"].iter().any(|verb| line.contains(&format!("verb=\"{verb}\""))) {
            writes += count;
        }
    }
    (all, writes)
}

/// Versions of all that was written.
fn versions(cluster: &Cluster) -> String {
    let path = "-o=jsonpath={range .items[*]}{.metadata.uid}={.metadata.resourceVersion}{\"\\n\"}{end}";
    let of = |kind: &str| {
        cluster.kubectl(&["get", kind, "-A", "-l", "app.kubernetes.io/managed-by=contextcore", path]).succeeds()
    };
    let contexts = cluster.kubectl(&["get", "pctx", "-A", path]).succeeds();
    [of("prometheusrules"), of("configmaps"), contexts].concat()
}

fn edit(cluster: &Cluster, sampling: f64, availability: &str) {
    let mut edited = context(0, sampling);
    edited["spec"]["requirements"]["availability"] = availability.into();
    cluster.apply("team-0", &[edited]).succeeds();
}

fn main() -> ExitCode {
    let Some(cluster) = Cluster::start() else { return ExitCode::SUCCESS };
    [Definitions::ContextCore, Definitions::Prometheus]
        .into_iter()
        .for_each(|definitions| cluster.install(definitions));
    let names = (0..NAMESPACES).map(|at| format!("team-{at}")).chain([HOME.to_owned()]);
    names.for_each(|name| drop(cluster.kubectl(&["create", "namespace", &name]).succeeds()));
    let all: Vec<Value> = (0..CONTEXTS).map(|at| context(at, 0.5)).collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": all}).to_string();
    cluster.kubectl_with(&["apply", "--server-side", "-f", "-"], &list).succeeds();

    let began = Instant::now();
    let first = Controller::start(&cluster, "first");
    until("all contexts are ready", Duration::from_millis(500), || ready(&cluster) == CONTEXTS);
    let pass = began.elapsed();
    let peak = first.peak();

    edit(&cluster, 0.33, "99.77");
    let edit_seen =
        until("the edit is everywhere", Duration::from_millis(50), || has_edit(&cluster, "33", "vector(0.9977)"));

    std::thread::sleep(Duration::from_secs(10));
    let (quiet, (before, wrote)) = (versions(&cluster), requests(&cluster));
    std::thread::sleep(IDLE);
    let (after, writes) = requests(&cluster);
    let changed = if versions(&cluster) == quiet { 0.0 } else { 1.0 };

    let second = Controller::start(&cluster, "second");
    std::thread::sleep(Duration::from_secs(8));
    drop(first);
    edit(&cluster, 0.44, "99.66");
    let failover =
        until("the second took over", Duration::from_millis(100), || has_edit(&cluster, "44", "vector(0.9966)"));
    let lease = cluster.get("lease", HOME, "contextcore-controller").unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], "second");

    let mut rows = Rows::default();
    rows.add("500 contexts, first pass", pass.as_secs_f64(), 20.0, "s");
    rows.add("peak memory of it", peak, 80.0, "MB");
    rows.add("one edit in all outputs", edit_seen.as_secs_f64(), 3.0, "s");
    rows.add("requests while idle", (after - before) * 60.0 / IDLE.as_secs_f64(), 5.0, "/min");
    rows.add("writes while idle", writes - wrote, 0.0, "");
    rows.add("objects changed while idle", changed, 0.0, "");
    rows.add("failover after kill -9", failover.as_secs_f64(), 20.0, "s");
    rows.add("peak memory after failover", second.peak(), 80.0, "MB");
    rows.verdict()
}
