//! The controller on a real API server. Each test has a namespace, an installation and a Lease of its own.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use contextcore_cluster::{Cluster, Definitions};
use contextcore_operator::controller::outside::{Outside, Sample};
use contextcore_operator::controller::{ContextChange, End, Options, connect, prune, run};
use contextcore_operator::grafana::{Left, ProvisionError, ServiceDashboard};
use contextcore_operator::settings::Settings;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

const CONTEXTS: &str = "projectcontexts.contextcore.io";
const RULES: &str = "prometheusrules.monitoring.coreos.com";
const COLLECTORS: &str = "opentelemetrycollectors.opentelemetry.io";
/// On a machine that builds other things meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);

/// Prometheus and the audit, as a test has them.
#[derive(Default)]
struct Fake {
    changes: Mutex<Vec<ContextChange>>,
    /// Answers by a part of the query.
    series: Vec<(&'static str, Vec<(&'static str, &'static str)>)>,
}

#[async_trait]
impl Outside for Fake {
    fn now(&self) -> jiff::Timestamp {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        jiff::Timestamp::from_millisecond(i64::try_from(now.as_millis()).unwrap()).unwrap()
    }

    async fn query(&self, _: &str, promql: &str) -> Result<Vec<Sample>, String> {
        let found = self.series.iter().filter(|(part, _)| promql.contains(part));
        let sample = |(name, value): &(&str, &str)| Sample {
            labels: [((*name).to_owned(), (*value).to_owned())].into(),
            value: 1.0,
        };
        Ok(found.flat_map(|(_, labels)| labels.iter().map(sample)).collect())
    }

    async fn record(&self, changes: Vec<ContextChange>) {
        self.changes.lock().unwrap().extend(changes);
    }

    async fn provision(&self, _: &[ServiceDashboard], _: &Settings) -> Option<Result<Vec<Left>, ProvisionError>> {
        None
    }
}

/// A controller that runs in this process until it is dropped.
struct Controller {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<End, String>>>,
    settings: mpsc::Sender<Result<Settings, Vec<String>>>,
    fake: Arc<Fake>,
    namespace: String,
}

impl Controller {
    fn start(cluster: &Cluster, namespace: &str, settings: &str) -> Self {
        Self::start_as(cluster.kubeconfig(), namespace, settings, Fake::default())
    }

    fn start_as(kubeconfig: PathBuf, namespace: &str, settings: &str, fake: Fake) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (send, updates) = mpsc::channel(1);
        let fake = Arc::new(fake);
        let outside: Arc<dyn Outside> = Arc::clone(&fake) as _;
        let options = Options {
            namespace: namespace.to_owned(),
            watch_namespaces: vec![namespace.to_owned()],
            settings_config_map: None,
            settings: settings_in(namespace, settings),
            listen: "127.0.0.1:0".to_owned(),
            identity: format!("{namespace}-test"),
        };
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            runtime.block_on(async {
                let target = connect::Target { kubeconfig: Some(kubeconfig), ..connect::Target::default() };
                let (client, _) = connect::connect(&target).await?;
                run(client, options, outside, updates, async { drop(stopped.await) }).await
            })
        });
        Self { stop: Some(stop), thread: Some(thread), settings: send, fake, namespace: namespace.to_owned() }
    }

    fn set(&self, settings: &str) {
        self.settings.blocking_send(Ok(settings_in(&self.namespace, settings))).unwrap();
    }

    fn end(mut self) -> Result<End, String> {
        drop(self.stop.take());
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Settings of an installation that is called as its namespace.
fn settings_in(namespace: &str, more: &str) -> Settings {
    Settings::parse("s.yaml", &format!("instance: {namespace}\nnamespace: {namespace}\n{more}")).unwrap()
}

fn cluster(stem: &str) -> Option<(&'static Cluster, String)> {
    let cluster = Cluster::shared()?;
    Definitions::ALL.into_iter().for_each(|definitions| cluster.install(definitions));
    Some((cluster, cluster.namespace(stem)))
}

fn context(name: &str, parts: &Value) -> Value {
    let mut spec = json!({"project": {"id": "shop"}, "business": {"criticality": "high", "owner": "shop-team"}});
    for (key, value) in parts.as_object().unwrap() {
        spec[key] = value.clone();
    }
    json!({"apiVersion": "contextcore.io/v1", "kind": "ProjectContext", "metadata": {"name": name}, "spec": spec})
}

fn with_rules(name: &str) -> Value {
    context(name, &json!({"requirements": {"availability": "99.9"}}))
}

/// Asks until the answer is there.
#[track_caller]
fn until<T>(what: &str, ask: impl Fn() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// A condition of a context: status, reason and message.
fn condition(cluster: &Cluster, namespace: &str, name: &str, kind: &str) -> Option<(String, String, String)> {
    let object = cluster.get(CONTEXTS, namespace, name)?;
    let found = object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)?.clone();
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    (found["observedGeneration"] == object["metadata"]["generation"])
        .then(|| (text("status"), text("reason"), text("message")))
}

#[track_caller]
fn until_condition(cluster: &Cluster, namespace: &str, name: &str, kind: &str, wanted: (&str, &str)) -> String {
    until(
        &format!("{namespace}/{name}: {kind} becomes {wanted:?}, is {:?}", condition(cluster, namespace, name, kind)),
        || {
            let (status, reason, message) = condition(cluster, namespace, name, kind)?;
            ((status.as_str(), reason.as_str()) == wanted).then_some(message)
        },
    )
}

fn events(cluster: &Cluster, namespace: &str) -> Vec<String> {
    let text = cluster.kubectl(&["get", "events.events.k8s.io", "-n", namespace, "-o", "json"]).succeeds();
    let list: Value = serde_json::from_str(&text).unwrap();
    let text = |event: &Value| format!("{} {}", event["reason"].as_str().unwrap(), event["note"].as_str().unwrap());
    list["items"].as_array().unwrap().iter().map(text).collect()
}

#[test]
fn a_context_is_brought_into_force_and_nothing_is_written_when_nothing_changed() {
    let Some((cluster, ns)) = cluster("force") else { return };
    let controller = Controller::start(cluster, &ns, "");
    cluster.apply(&ns, &[with_rules("checkout")]).succeeds();
    until_condition(cluster, &ns, "checkout", "Ready", ("True", "Ready"));
    let object = cluster.get(CONTEXTS, &ns, "checkout").unwrap();
    let rule = cluster.get(RULES, &ns, "contextcore-checkout").unwrap();
    let owner = &rule["metadata"]["ownerReferences"][0];
    assert_eq!((&owner["uid"], &owner["controller"]), (&object["metadata"]["uid"], &json!(true)));
    assert_eq!(rule["metadata"]["labels"]["app.kubernetes.io/managed-by"], "contextcore");
    let shown = ["get", RULES, "contextcore-checkout", "-n", &ns, "--show-managed-fields", "-o", "json"];
    let shown: Value = serde_json::from_str(&cluster.kubectl(&shown).succeeds()).unwrap();
    let managers = shown["metadata"]["managedFields"].as_array().unwrap();
    assert!(
        managers.iter().all(|entry| entry["manager"] == "contextcore" && entry["operation"] == "Apply"),
        "{managers:?}"
    );
    let status = &object["status"];
    assert_eq!(
        status["resources"][0],
        json!({"group": "monitoring.coreos.com", "kind": "PrometheusRule", "namespace": ns, "name": "contextcore-checkout"})
    );
    assert_eq!((&status["sloCount"], &status["derived"]["traceSampling"]), (&json!(1), &json!(0.5)));
    assert!(
        status["conditions"].as_array().unwrap().iter().all(|it| it["lastTransitionTime"].is_string()),
        "{status:#}"
    );
    assert_eq!(events(cluster, &ns).iter().filter(|event| event.starts_with("Ready")).count(), 1);
    // Quiet: no object gets a new version.
    let versions = || {
        let version =
            |kind: &str, name: &str| cluster.get(kind, &ns, name).unwrap()["metadata"]["resourceVersion"].clone();
        [
            version(CONTEXTS, "checkout"),
            version(RULES, "contextcore-checkout"),
            version("configmap", "contextcore-collector"),
        ]
    };
    std::thread::sleep(Duration::from_secs(3));
    let before = versions();
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(versions(), before);
    // An edit reaches all outputs.
    let began = Instant::now();
    let edited = context(
        "checkout",
        &json!({"requirements": {"availability": "99.5"}, "observability": {"traceSampling": 0.25}}),
    );
    cluster.apply(&ns, &[edited]).succeeds();
    until("the edit is in the rule", || {
        cluster.get(RULES, &ns, "contextcore-checkout").filter(|rule| rule.to_string().contains("vector(0.995)"))
    });
    until("the edit is in the fragment", || {
        let map = cluster.get("configmap", &ns, "contextcore-collector")?;
        map["data"].to_string().contains("rate-25").then_some(())
    });
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    until_condition(cluster, &ns, "checkout", "Ready", ("True", "Ready"));
    let changes = controller.fake.changes.lock().unwrap().clone();
    assert_eq!(changes.len(), 2, "{changes:?}");
    assert_eq!(changes[1].paths, ["spec.observability", "spec.requirements.availability"]);
    assert_eq!((changes[1].manager.as_deref(), &changes[1].before), (Some("kubectl"), &changes[0].after));
    // A context that is deleted takes its objects with it, here without a garbage collector.
    cluster.kubectl(&["delete", CONTEXTS, "checkout", "-n", &ns]).succeeds();
    until("the rule is removed", || cluster.get(RULES, &ns, "contextcore-checkout").is_none().then_some(()));
    assert_eq!(controller.end(), Ok(End::Stopped));
    let lease = cluster.get("lease", &ns, "contextcore-controller").unwrap();
    assert_eq!(lease["spec"]["holderIdentity"].as_str().unwrap_or_default(), "", "released");
}

#[test]
fn what_others_write_into_our_objects_is_taken_back() {
    let Some((cluster, ns)) = cluster("foreign") else { return };
    let _controller = Controller::start(cluster, &ns, "");
    cluster.apply(&ns, &[with_rules("a")]).succeeds();
    until_condition(cluster, &ns, "a", "Ready", ("True", "Ready"));
    let theirs = json!({
        "apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule", "metadata": {"name": "contextcore-a"},
        "spec": {"groups": [{"name": "theirs", "rules": []}]},
    });
    let arguments = ["apply", "--server-side", "--force-conflicts", "--field-manager=somebody", "-n", &ns, "-f", "-"];
    cluster.kubectl_with(&arguments, &theirs.to_string()).succeeds();
    until("our groups are back", || {
        let rule = cluster.get(RULES, &ns, "contextcore-a")?;
        rule["spec"].to_string().contains("contextcore-slo-").then_some(())
    });
    // The same by a person, who deletes part of it.
    let patch = r#"{"spec":{"groups":[]}}"#;
    cluster.kubectl(&["patch", RULES, "contextcore-a", "-n", &ns, "--type=merge", "-p", patch]).succeeds();
    until("our groups are back again", || {
        let rule = cluster.get(RULES, &ns, "contextcore-a")?;
        rule["spec"].to_string().contains("contextcore-slo-").then_some(())
    });
    cluster.kubectl(&["delete", RULES, "contextcore-a", "-n", &ns]).succeeds();
    until("the rule is back", || cluster.get(RULES, &ns, "contextcore-a"));
}

#[test]
fn a_name_that_is_taken_is_left_alone_until_it_is_free() {
    let Some((cluster, ns)) = cluster("taken") else { return };
    let theirs = json!({
        "apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule",
        "metadata": {"name": "contextcore-a", "namespace": ns}, "spec": {"groups": []},
    });
    cluster.apply(&ns, &[theirs]).succeeds();
    let _controller = Controller::start(cluster, &ns, "");
    cluster.apply(&ns, &[with_rules("a"), with_rules("b")]).succeeds();
    let message = until_condition(cluster, &ns, "a", "Accepted", ("False", "NameTaken"));
    assert!(message.contains("PrometheusRule") && message.contains("is not ours"), "{message}");
    until_condition(cluster, &ns, "a", "Ready", ("False", "NameTaken"));
    until_condition(cluster, &ns, "b", "Ready", ("True", "Ready"));
    assert_eq!(cluster.get(RULES, &ns, "contextcore-a").unwrap()["spec"]["groups"], json!([]));
}

#[test]
fn an_invalid_context_stops_no_other_and_keeps_its_last_good_outputs() {
    let Some((cluster, ns)) = cluster("invalid") else { return };
    let _controller = Controller::start(cluster, &ns, "");
    cluster.apply(&ns, &[with_rules("a"), with_rules("b")]).succeeds();
    until_condition(cluster, &ns, "a", "Ready", ("True", "Ready"));
    let total = "sum(rate(x[{{window}}]) +";
    let sli = json!({"profile": "custom", "total": total, "errors": "rate(y[{{window}}])"});
    cluster.apply(&ns, &[context("a", &json!({"requirements": {"availability": "99.9", "sli": sli}}))]).succeeds();
    let message = until_condition(cluster, &ns, "a", "Accepted", ("False", "InvalidSLI"));
    assert!(message.contains("spec.requirements.sli.total"), "{message}");
    let edited = context("b", &json!({"requirements": {"availability": "99.5"}}));
    cluster.apply(&ns, &[edited]).succeeds();
    until("b goes on", || {
        cluster.get(RULES, &ns, "contextcore-b").filter(|rule| rule.to_string().contains("vector(0.995)"))
    });
    std::thread::sleep(Duration::from_secs(6));
    let rule = cluster.get(RULES, &ns, "contextcore-a").expect("kept");
    assert!(rule.to_string().contains("vector(0.999)"));
    let fragment = cluster.get("configmap", &ns, "contextcore-collector").unwrap();
    let text = fragment["data"]["contextcore.yaml"].as_str().unwrap();
    assert!(text.contains(r#"attributes["service.name"] == "a""#), "{text}");
    assert!(events(cluster, &ns).iter().any(|event| event.starts_with("InvalidSLI")));
}

#[test]
fn limits_of_a_namespace_hold_and_new_settings_apply_at_once() {
    let Some((cluster, ns)) = cluster("limits") else { return };
    let controller =
        Controller::start(cluster, &ns, "limits: {default: {maxTraceSampling: 0.2, maxCriticality: medium}}\n");
    let asks = context("a", &json!({"business": {"criticality": "critical"}, "observability": {"traceSampling": 1}}));
    cluster.apply(&ns, &[asks]).succeeds();
    until_condition(cluster, &ns, "a", "Ready", ("True", "Ready"));
    let derived = cluster.get(CONTEXTS, &ns, "a").unwrap()["status"]["derived"].clone();
    assert_eq!((&derived["traceSampling"], &derived["sources"]["traceSampling"]), (&json!(0.2), &json!("policy")));
    assert_eq!(derived["alertPriority"], "P3");
    controller.set(&format!("projects: {{shop: {{namespaces: [other]}}}}\nlimits: {{namespaces: {{{ns}: {{}}}}}}\n"));
    let message = until_condition(cluster, &ns, "a", "Accepted", ("False", "NotPermitted"));
    assert!(message.contains("shop may not be used"), "{message}");
    until("nothing is derived any more", || {
        let map = cluster.get("configmap", &ns, "contextcore-collector")?;
        (!map["data"].to_string().contains("project.id")).then_some(())
    });
    controller.set("");
    until_condition(cluster, &ns, "a", "Ready", ("True", "Ready"));
    assert!(events(cluster, &ns).iter().any(|event| event.starts_with("NotPermitted")));
}

#[test]
fn a_right_that_is_missing_is_a_condition_that_names_it() {
    let Some((cluster, ns)) = cluster("rights") else { return };
    let kubeconfig = cluster.kubeconfig_of(&ns, "controller");
    let rule = |groups: &[&str], resources: &[&str], verbs: &[&str]| json!({"apiGroups": groups, "resources": resources, "verbs": verbs});
    let all = ["get", "list", "watch", "create", "patch", "delete"];
    let rules = |verbs: &[&str]| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "controller"},
            "rules": [
                rule(&["contextcore.io"], &["projectcontexts"], &["get", "list", "watch"]),
                rule(&["contextcore.io"], &["projectcontexts/status"], &["patch"]),
                rule(&["contextcore.io"], &["projectcontexts/finalizers"], &["update"]),
                rule(&[""], &["configmaps"], &all),
                rule(&["coordination.k8s.io"], &["leases"], &["get", "create", "update"]),
                rule(&["events.k8s.io"], &["events"], &["create"]),
                rule(&["monitoring.coreos.com"], &["prometheusrules"], verbs),
                rule(&["monitoring.coreos.com"], &["servicemonitors"], &all),
            ],
        })
    };
    let subject = json!([{"kind": "ServiceAccount", "name": "controller", "namespace": ns}]);
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "controller"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "controller"}, "subjects": subject,
    });
    let definitions = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": format!("crds-{ns}")},
        "rules": [rule(&["apiextensions.k8s.io"], &["customresourcedefinitions"], &["list", "watch"])],
    });
    let for_all = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": format!("crds-{ns}")},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": format!("crds-{ns}")}, "subjects": subject,
    });
    cluster.apply(&ns, &[rules(&["get", "list", "watch"]), binding, definitions, for_all]).succeeds();
    let _controller = Controller::start_as(kubeconfig, &ns, "", Fake::default());
    cluster.apply(&ns, &[with_rules("a"), context("plain", &json!({}))]).succeeds();
    let message = until_condition(cluster, &ns, "a", "RulesReady", ("False", "ApplyFailed"));
    assert!(
        message.contains("grant the controller") && message.contains("prometheusrules.monitoring.coreos.com"),
        "{message}"
    );
    until_condition(cluster, &ns, "plain", "Ready", ("True", "Ready"));
    cluster.apply(&ns, &[rules(&all)]).succeeds();
    until_condition(cluster, &ns, "a", "Ready", ("True", "Ready"));
}

#[test]
fn a_collector_of_somebody_else_gets_two_processors_and_a_conflict_is_a_condition() {
    let Some((cluster, ns)) = cluster("attach") else { return };
    let _controller = Controller::start(cluster, &ns, "collector: {mode: attach, name: gateway}\n");
    cluster.apply(&ns, &[context("a", &json!({}))]).succeeds();
    until_condition(cluster, &ns, "a", "SamplingReady", ("False", "CollectorNotFound"));
    let gateway = |processors: Value, order: Value| {
        json!({
            "apiVersion": "opentelemetry.io/v1beta1", "kind": "OpenTelemetryCollector", "metadata": {"name": "gateway"},
            "spec": {"config": {
                "receivers": {"otlp": {"protocols": {"grpc": {}}}}, "exporters": {"debug": {}}, "processors": processors,
                "service": {"pipelines": {"traces": {"receivers": ["otlp"], "processors": order, "exporters": ["debug"]}}},
            }},
        })
    };
    cluster.apply(&ns, &[gateway(json!({"batch": {}}), json!(["batch"]))]).succeeds();
    until_condition(cluster, &ns, "a", "SamplingReady", ("Unknown", "NotAttached"));
    let live = cluster.get(COLLECTORS, &ns, "gateway").unwrap();
    let processors = live["spec"]["config"]["processors"].as_object().unwrap();
    let names: Vec<&str> = processors.keys().map(String::as_str).collect();
    assert_eq!(names, ["batch", "tail_sampling/contextcore", "transform/contextcore"]);
    assert_eq!(live["metadata"].get("labels"), None, "{live:#}");
    let order = json!(["transform/contextcore", "tail_sampling/contextcore", "batch"]);
    cluster.apply(&ns, &[gateway(json!({"batch": {}}), order)]).succeeds();
    until_condition(cluster, &ns, "a", "SamplingReady", ("True", "Applied"));
    // Prune refuses while a pipeline needs them.
    let settings = settings_in(&ns, "collector: {mode: attach, name: gateway}\n");
    let lines = block_on(cluster, |client| async move { prune::prune(&client, &settings, "default", false).await })
        .unwrap_err();
    assert!(lines.iter().any(|line| line.contains("take them out of the pipeline first")), "{lines:?}");
    cluster.kubectl(&["delete", COLLECTORS, "gateway", "-n", &ns]).succeeds();
    // A user who writes the processor keeps it.
    let own = gateway(json!({"batch": {}, "transform/contextcore": {"error_mode": "propagate"}}), json!(["batch"]));
    cluster.apply(&ns, &[own]).succeeds();
    let message = until_condition(cluster, &ns, "a", "SamplingReady", ("False", "ApplyFailed"));
    assert!(message.contains("conflict"), "{message}");
    cluster.kubectl(&["delete", COLLECTORS, "gateway", "-n", &ns]).succeeds();
}

fn block_on<T, F: Future<Output = T>>(cluster: &Cluster, work: impl FnOnce(connect::Client) -> F) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let target = connect::Target { kubeconfig: Some(cluster.kubeconfig()), ..connect::Target::default() };
        let (client, _) = connect::connect(&target).await.unwrap();
        work(client).await
    })
}

#[test]
fn prune_removes_one_installation_and_says_what_survives() {
    let Some((cluster, ns)) = cluster("prune") else { return };
    let other = cluster.namespace("prune-other");
    cluster.kubectl(&["create", "configmap", "theirs", "-n", &other]).succeeds();
    let labels = ["app.kubernetes.io/managed-by=contextcore", "contextcore.io/instance=somebody"];
    cluster.kubectl(&["label", "configmap", "theirs", "-n", &other, labels[0], labels[1]]).succeeds();
    let controller = Controller::start(cluster, &ns, "env: {enabled: true}\n");
    cluster.apply(&ns, &[with_rules("a")]).succeeds();
    until_condition(cluster, &ns, "a", "Ready", ("True", "Ready"));
    controller.end().unwrap();
    let pruned = |dry_run| {
        let settings = settings_in(&ns, "");
        let ns = ns.clone();
        block_on(cluster, |client| async move { prune::prune(&client, &settings, &ns, dry_run).await })
    };
    // Another test's collector may name our processors for a moment.
    let dry = until("no pipeline names our processors", || pruned(true).ok());
    assert!(dry.done.iter().any(|line| line.contains("would delete PrometheusRule")), "{dry:?}");
    assert!(cluster.get(RULES, &ns, "contextcore-a").is_some());
    let done = until("no pipeline names our processors", || pruned(false).ok());
    assert!(done.failed.is_empty() && done.warnings.is_empty(), "{done:?}");
    for (kind, name) in
        [(RULES, "contextcore-a"), ("configmap", "contextcore-a-env"), ("configmap", "contextcore-collector")]
    {
        assert!(cluster.get(kind, &ns, name).is_none(), "{kind} {name}");
    }
    assert!(
        done.survives.iter().any(|line| line.contains("theirs") && line.contains("installation somebody")),
        "{done:?}"
    );
    assert!(done.survives.iter().any(|line| line.contains(&format!("ProjectContext {ns}/a"))), "{done:?}");
    assert!(cluster.get("configmap", &other, "theirs").is_some());
}

#[test]
fn series_that_are_missing_are_named_with_what_was_found() {
    let Some((cluster, ns)) = cluster("series") else { return };
    let fake = Fake { series: vec![("count by (job)", vec![("job", "shop/other")])], ..Fake::default() };
    let settings = "prometheus: {url: 'http://prometheus.invalid:9090'}\n";
    let _controller = Controller::start_as(cluster.kubeconfig(), &ns, settings, fake);
    cluster.apply(&ns, &[with_rules("a"), context("free", &json!({}))]).succeeds();
    let message = until_condition(cluster, &ns, "a", "SLIResolved", ("False", "NoSeries"));
    assert!(message.contains("shop/other"), "{message}");
    until_condition(cluster, &ns, "a", "Ready", ("False", "NoSeries"));
    until_condition(cluster, &ns, "free", "Ready", ("True", "Ready"));
}

#[test]
fn workloads_are_annotated_where_it_is_asked_for_and_allowed() {
    let Some((cluster, ns)) = cluster("annotate") else { return };
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"},
        "spec": {"selector": {"matchLabels": {"app": "a"}}, "template": {
            "metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i"}]},
        }},
    });
    cluster.apply(&ns, &[deployment]).succeeds();
    let controller = Controller::start(cluster, &ns, "annotate: {enabled: true}\n");
    let of = |annotate: &str| context("a", &json!({"observability": {"annotate": annotate}}));
    cluster.apply(&ns, &[of("Workload")]).succeeds();
    let live = || cluster.get("deployment", &ns, "a").unwrap();
    let on = |value: &Value| value["metadata"]["annotations"]["resource.opentelemetry.io/project.id"].clone();
    until("the workload is annotated", || (on(&live()) == "shop").then_some(()));
    assert_eq!(on(&live()["spec"]["template"]), Value::Null);
    cluster.apply(&ns, &[of("PodTemplate")]).succeeds();
    until("the template is annotated", || (on(&live()["spec"]["template"]) == "shop").then_some(()));
    until("it says so", || events(cluster, &ns).iter().any(|event| event.starts_with("PodsRestarted")).then_some(()));
    cluster.apply(&ns, &[of("None")]).succeeds();
    until("both are gone", || (on(&live()).is_null() && on(&live()["spec"]["template"]).is_null()).then_some(()));
    drop(controller);
}

/// A server of its own: definitions come and go, and one is looser than ours.
#[test]
fn what_is_installed_later_is_noticed_and_a_spec_that_cannot_be_read_stops_nobody() {
    let Some(cluster) = Cluster::start() else { return };
    let ns = cluster.namespace("later");
    let _controller = Controller::start(&cluster, &ns, "");
    let mut loose = contextcore_operator::crd::definition();
    let schema = &mut loose["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    schema["properties"]["spec"] = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    schema["properties"]["status"] = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    cluster.apply(&ns, &[loose]).succeeds();
    until("it is served", || cluster.kubectl(&["get", CONTEXTS, "-n", &ns]).ok.then_some(()));
    let mut bad = with_rules("bad");
    bad["spec"]["business"]["criticality"] = json!("urgent");
    cluster.apply(&ns, &[with_rules("good"), bad]).succeeds();
    let message = until_condition(&cluster, &ns, "bad", "Accepted", ("False", "InvalidSpec"));
    assert!(message.contains("spec.business.criticality") && message.contains("urgent"), "{message}");
    let message = until_condition(&cluster, &ns, "good", "RulesReady", ("False", "KindNotInstalled"));
    assert!(message.contains("prometheusrules.monitoring.coreos.com is not installed"), "{message}");
    cluster.install(Definitions::Prometheus);
    until_condition(&cluster, &ns, "good", "Ready", ("True", "Ready"));
    assert!(cluster.get(RULES, &ns, "contextcore-good").is_some());
}
