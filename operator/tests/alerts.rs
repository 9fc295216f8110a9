//! From a failing request to the one who must know: Prometheus evaluates the rules that are rendered, Alertmanager routes by the
//! configuration that is rendered, and a burning budget reaches the channels of its context and nobody else.
//!
//! Between the two stands the Prometheus operator, which makes the configuration of an Alertmanager from `AlertmanagerConfig`: here
//! by its own code, in the program `alertmanager-config`. Nothing is rendered for the test but the clock: rules are evaluated every
//! second instead of every 30, and alerts fire after two. What happens minute by minute is tested in [`super::promtool`].
//!
//! `tests/cluster/build.sh` and `tests/stack/build.sh` build the programs. Without them these tests say that they were skipped, or
//! fail where `CONTEXTCORE_REQUIRE_CLUSTER` and `CONTEXTCORE_REQUIRE_STACK` are set.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use contextcore_cluster::{Server, Suite, Webhook, free_ports, get, post};
use contextcore_operator::derive::{Derivation, derive};
use contextcore_operator::settings::Settings;
use contextcore_operator::yaml;
use serde_json::{Value, json};

use super::rig;

/// Who can be alerted. `idle` is a channel of a service that is well.
const CHANNELS: [&str; 4] = ["commerce-oncall", "executive-dashboard", "idle", "search"];
/// The platform team's own receiver, for everything that no other takes.
const DEFAULT: &str = "platform";
/// How long an alert may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long a wrong receiver has to show itself.
const QUIET: Duration = Duration::from_secs(3);

struct Programs {
    prometheus: PathBuf,
    alertmanager: PathBuf,
    translator: PathBuf,
}

impl Programs {
    fn find() -> Option<Self> {
        Some(Self {
            prometheus: Suite::Stack.program("prometheus")?,
            alertmanager: Suite::Cluster.program("alertmanager")?,
            translator: Suite::Cluster.program("alertmanager-config")?,
        })
    }
}

fn settings(more: &str) -> Settings {
    let channel = |name: &&str| format!("  {name}: {{webhookConfigs: [{{urlSecret: {{name: {name}, key: url}}}}]}}\n");
    rig::settings(&format!("{more}channels:\n{}", CHANNELS.iter().map(channel).collect::<String>()))
}

/// Two services that burn, one that is well, and one whose channel nobody knows.
fn derivation(more: &str) -> Derivation {
    let spec = |owner: &str, channels: &[&str]| {
        let mut spec = json!({
            "business": {"criticality": "critical", "owner": owner, "value": "revenue-primary"},
            "requirements": {"availability": "99.95"},
        });
        if !channels.is_empty() {
            spec["observability"] = json!({"alertChannels": channels});
        }
        spec
    };
    let contexts = [
        rig::context("commerce", "checkout", &spec("commerce-team", &[])),
        rig::context("commerce", "catalog", &spec("commerce-team", &["idle"])),
        rig::context("search", "api", &spec("search-team", &["search"])),
        rig::context("search", "index", &spec("search-team", &["unknown"])),
    ];
    derive(&contexts, &settings(more))
}

/// The rules of all contexts, on a faster clock.
fn rules(derivation: &Derivation) -> Value {
    let mut groups: Vec<Value> = derivation
        .objects
        .iter()
        .filter(|object| object["kind"] == "PrometheusRule")
        .flat_map(|object| object["spec"]["groups"].as_array().unwrap().clone())
        .collect();
    for group in &mut groups {
        group["interval"] = "1s".into();
        for rule in group["rules"].as_array_mut().unwrap() {
            if rule.get("for").is_some() {
                rule["for"] = "2s".into();
            }
        }
    }
    json!({"groups": groups})
}

/// The configuration of an Alertmanager of the Prometheus operator with this strategy, whose own sends everything to one receiver.
fn configuration(
    translator: &Path,
    derivation: &Derivation,
    hooks: &BTreeMap<&str, Webhook>,
    strategy: &str,
) -> String {
    let own = json!({
        "route": {"receiver": DEFAULT, "group_wait": "0s", "group_by": ["..."]},
        "receivers": [{"name": DEFAULT, "webhook_configs": [{"url": hooks[DEFAULT].url()}]}],
    });
    let secret = |name: &&str, namespace: &Value| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace},
            "data": {"url": STANDARD.encode(hooks[name].url())},
        })
    };
    let mut objects: Vec<Value> = Vec::new();
    for routes in derivation.objects.iter().filter(|object| object["kind"] == "AlertmanagerConfig") {
        objects.extend(CHANNELS.iter().map(|name| secret(name, &routes["metadata"]["namespace"])));
        objects.push(routes.clone());
    }
    let input = json!({
        "alertmanager": {
            "metadata": {"name": "main", "namespace": "monitoring"},
            "spec": {"alertmanagerConfigMatcherStrategy": {"type": strategy}},
        },
        "config": yaml::text(&own),
        "objects": objects,
    });
    let mut command = Command::new(translator);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A running Prometheus and Alertmanager.
struct Stack {
    _servers: [Server; 2],
    prometheus: String,
    alertmanager: String,
    _folder: tempfile::TempDir,
}

impl Stack {
    fn start(programs: &Programs, rules: &Value, configuration: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [prometheus, alertmanager] = free_ports().map(|port| format!("127.0.0.1:{port}"));
        let config = json!({
            "rule_files": ["rules.yaml"],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
        });
        fs::write(folder.path().join("rules.yaml"), yaml::text(rules)).unwrap();
        fs::write(folder.path().join("prometheus.yaml"), yaml::text(&config)).unwrap();
        fs::write(folder.path().join("alertmanager.yaml"), configuration).unwrap();
        let mut command = Command::new(&programs.alertmanager);
        command.args(["--config.file=alertmanager.yaml", "--storage.path=alertmanager", "--cluster.listen-address="]);
        command.arg(format!("--web.listen-address={alertmanager}"));
        let routing = start("alertmanager", command, folder.path(), &alertmanager);
        let mut command = Command::new(&programs.prometheus);
        command.args(["--config.file=prometheus.yaml", "--storage.tsdb.path=prometheus", "--web.enable-otlp-receiver"]);
        command.arg(format!("--web.listen-address={prometheus}"));
        let rules = start("prometheus", command, folder.path(), &prometheus);
        Self { _servers: [rules, routing], prometheus, alertmanager, _folder: folder }
    }

    /// Some minutes of a service: ten requests a second, all with this status.
    #[expect(clippy::disallowed_methods, reason = "Prometheus reads the clock of the machine, and so must this")]
    fn serve(&self, namespace: &str, service: &str, status: &str) {
        let now = u64::try_from(jiff::Timestamp::now().as_second()).unwrap();
        let began = now - 300;
        let point = |at: u64| {
            let count = ((at - began) * 10).to_string();
            json!({
                "attributes": [{"key": "http.response.status_code", "value": {"stringValue": status}}],
                "startTimeUnixNano": format!("{began}000000000"), "timeUnixNano": format!("{at}000000000"),
                "count": count, "sum": 1.0, "explicitBounds": [0.1], "bucketCounts": [count, "0"],
            })
        };
        let points: Vec<Value> = (began..=now).step_by(15).map(point).collect();
        let attribute = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
        let body = json!({"resourceMetrics": [{
            "resource": {"attributes": [attribute("service.namespace", namespace), attribute("service.name", service)]},
            "scopeMetrics": [{"metrics": [{
                "name": "http.server.request.duration", "unit": "s",
                "histogram": {"aggregationTemporality": 2, "dataPoints": points},
            }]}],
        }]});
        let reply = post(&self.prometheus, "/api/v1/otlp/v1/metrics", &body).unwrap();
        assert_eq!(reply.status, 200, "{}", reply.body);
    }
}

fn start(name: &'static str, command: Command, folder: &Path, address: &str) -> Server {
    let mut server = Server::spawn(name, command, folder);
    let is_ready = || get(address, "/-/ready").is_ok_and(|reply| reply.status == 200);
    server.until(is_ready).unwrap_or_else(|error| panic!("{error}"));
    server
}

/// Alerts that a receiver got: name and service.
fn received(hook: &Webhook) -> BTreeSet<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let bodies = hook.bodies();
    let alerts = bodies.iter().flat_map(|body| body["alerts"].as_array().unwrap());
    alerts.map(|alert| (text(&alert["labels"]["alertname"]), text(&alert["labels"]["service"]))).collect()
}

#[test]
fn a_burning_budget_reaches_its_channels_and_nobody_else() {
    reaches_its_channels("", "OnNamespaceExceptForAlertmanagerNamespace");
}

/// The default of the operator, and the strategy with which it adds no matcher of its own.
#[test]
fn with_routes_in_each_namespace_no_strategy_is_needed() {
    for strategy in ["OnNamespace", "None"] {
        reaches_its_channels("routing: {perNamespace: true}\n", strategy);
    }
}

fn reaches_its_channels(more: &str, strategy: &str) {
    let Some(programs) = Programs::find() else { return };
    let hooks: BTreeMap<&str, Webhook> =
        CHANNELS.into_iter().chain([DEFAULT]).map(|name| (name, Webhook::listen())).collect();
    let derivation = derivation(more);
    let configuration = configuration(&programs.translator, &derivation, &hooks, strategy);
    let stack = Stack::start(&programs, &rules(&derivation), &configuration);
    for (namespace, service, status) in [
        ("commerce", "checkout", "500"),
        ("commerce", "catalog", "200"),
        ("search", "api", "503"),
        ("search", "index", "500"),
    ] {
        stack.serve(namespace, service, status);
    }
    // Somebody else's alert, which no route of ours may take.
    let foreign = json!([{"labels": {"alertname": "DiskFull", "service": "node", "channel": "search"}}]);
    assert_eq!(post(&stack.alertmanager, "/api/v2/alerts", &foreign).unwrap().status, 200);

    let page = |service: &str| ("ContextCoreErrorBudgetBurn".to_owned(), service.to_owned());
    let wanted = BTreeMap::from([
        ("commerce-oncall", BTreeSet::from([page("checkout")])),
        ("executive-dashboard", BTreeSet::from([page("checkout")])),
        ("idle", BTreeSet::new()),
        ("search", BTreeSet::from([page("api")])),
        (DEFAULT, BTreeSet::from([page("index"), ("DiskFull".to_owned(), "node".to_owned())])),
    ]);
    let found = || hooks.iter().map(|(name, hook)| (*name, received(hook))).collect::<BTreeMap<_, _>>();
    let began = Instant::now();
    while found() != wanted && began.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(200));
    }
    std::thread::sleep(QUIET);
    assert_eq!(found(), wanted, "{configuration}");
    says_what_to_do(&hooks["commerce-oncall"].bodies()[0]["alerts"][0]);
}

/// Who is woken by it sees whose it is, how bad, and for whom.
fn says_what_to_do(alert: &Value) {
    let labels = &alert["labels"];
    assert_eq!(labels["project"], "shop");
    assert_eq!(labels["owner"], "commerce-team");
    assert_eq!(labels["severity"], "critical");
    assert_eq!(labels["priority"], "P1");
    assert_eq!(labels["channels"], ",commerce-oncall,executive-dashboard,");
    let summary = alert["annotations"]["summary"].as_str().unwrap();
    assert!(summary.contains("checkout") && summary.contains("availability"), "{summary}");
}

#[test]
fn only_one_matcher_strategy_lets_alerts_of_other_namespaces_through() {
    let Some(programs) = Programs::find() else { return };
    let hooks: BTreeMap<&str, Webhook> =
        CHANNELS.into_iter().chain([DEFAULT]).map(|name| (name, Webhook::listen())).collect();
    let route = |strategy: &str| {
        let text = configuration(&programs.translator, &derivation(""), &hooks, strategy);
        let config: Value = serde_saphyr::from_str(&text).unwrap();
        config["route"]["routes"][0]["matchers"].to_string()
    };
    // The operator's default holds an AlertmanagerConfig to the alerts of its own namespace, where no service of ours is.
    assert!(route("OnNamespace").contains(r#"namespace=\"monitoring\""#), "{}", route("OnNamespace"));
    let wanted = "OnNamespaceExceptForAlertmanagerNamespace";
    assert!(!route(wanted).contains("namespace="), "{}", route(wanted));
}

/// The shell block of docs/KUBERNETES.md that sends failing traffic, without its line for a port of a cluster.
fn documented_traffic() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/KUBERNETES.md");
    let text = fs::read_to_string(path).unwrap();
    let blocks = text.split("```sh\n").skip(1).map(|block| block.split("   ```").next().unwrap());
    let block = blocks.into_iter().find(|block| block.contains("/api/v1/otlp/v1/metrics")).unwrap();
    let lines = block.lines().map(|line| line.strip_prefix("   ").unwrap_or(line));
    lines.filter(|line| !line.contains("port-forward")).map(|line| format!("{line}\n")).collect()
}

#[test]
fn the_traffic_of_the_documentation_makes_its_alert_fire() {
    let Some(programs) = Programs::find() else { return };
    let hooks: BTreeMap<&str, Webhook> =
        CHANNELS.into_iter().chain([DEFAULT]).map(|name| (name, Webhook::listen())).collect();
    let spec = json!({
        "business": {"criticality": "critical", "owner": "commerce-team"}, "requirements": {"availability": "99.95"},
    });
    let derivation = derive(&[rig::context("commerce", "checkout-service", &spec)], &settings(""));
    let strategy = "OnNamespaceExceptForAlertmanagerNamespace";
    let configuration = configuration(&programs.translator, &derivation, &hooks, strategy);
    let stack = Stack::start(&programs, &rules(&derivation), &configuration);
    let script = documented_traffic();
    // On the same faster clock as the rules, at the address of this Prometheus, and for as long as this test waits.
    let script = script
        .replace("http://localhost:9090", &format!("http://{}", stack.prometheus))
        .replace(
            "while sleep 5",
            &format!("while sleep 1 && [ $(date +%s) -lt $((started + {})) ]", PATIENCE.as_secs()),
        )
        .replace("done &", "done");
    let mut traffic = Command::new("bash").args(["-euc", &script]).stdin(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    let page = ("ContextCoreErrorBudgetBurn".to_owned(), "checkout-service".to_owned());
    let mut found = received(&hooks["commerce-oncall"]);
    while !found.contains(&page) && began.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(200));
        found = received(&hooks["commerce-oncall"]);
    }
    traffic.kill().ok();
    traffic.wait().ok();
    assert_eq!(found, BTreeSet::from([page]), "{script}");
    assert!(received(&hooks[DEFAULT]).is_empty());
}
