//! `contextcore controller` as processes on a real API server: two of them, the commands that look at a cluster, and what is said
//! where there is none.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use contextcore_cluster::{Cluster, Definitions};
use contextcore_fakes::otlp::{Collector, Fault, Log, Options, Signal};
use serde_json::{Value, json};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const HOME: &str = "contextcore";

pub(crate) struct Process {
    child: Child,
    /// Where it answers probes.
    address: String,
    log: std::path::PathBuf,
}

impl Process {
    pub(crate) fn start(cluster: &Cluster, folder: &Path, name: &str, port: u16) -> Self {
        Self::start_with(cluster, folder, name, port, &[])
    }

    pub(crate) fn start_with(cluster: &Cluster, folder: &Path, name: &str, port: u16, more: &[&str]) -> Self {
        let log = folder.join(format!("{name}.log"));
        let address = format!("127.0.0.1:{port}");
        let mut command = contextcore(cluster.kubeconfig().as_path());
        command.args(["controller", "run", "--namespace", HOME, "--identity", name, "--listen", &address]);
        command.args(more);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap());
        Self { child: command.spawn().unwrap(), address, log }
    }

    fn get(&self, path: &str) -> Option<contextcore_cluster::Reply> {
        contextcore_cluster::get(&self.address, path).ok()
    }

    fn is_ready(&self) -> bool {
        self.get("/readyz").is_some_and(|reply| reply.status == 200)
    }

    pub(crate) fn leads(&self) -> bool {
        self.get("/metrics").is_some_and(|reply| reply.body.contains("contextcore_controller_leader 1"))
    }

    /// Ends it at once, as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Its exit code, once it has one.
    fn ended(&mut self) -> Option<i32> {
        self.child.try_wait().unwrap().and_then(|status| status.code())
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn contextcore(kubeconfig: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_contextcore"));
    command.env("KUBECONFIG", kubeconfig).env_remove("POD_NAMESPACE").env_remove("POD_NAME");
    command
}

fn run(kubeconfig: &Path, arguments: &[&str]) -> Output {
    contextcore(kubeconfig).arg("controller").args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
pub(crate) fn until(what: &str, mut ask: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !ask() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
    began.elapsed()
}

pub(crate) fn context(name: &str, availability: &str) -> Value {
    json!({
        "apiVersion": "contextcore.io/v1", "kind": "ProjectContext", "metadata": {"name": name, "namespace": "shop"},
        "spec": {"project": {"id": "shop"}, "requirements": {"availability": availability}},
    })
}

fn rule_has(cluster: &Cluster, name: &str, part: &str) -> bool {
    let found = cluster.get("prometheusrules.monitoring.coreos.com", "shop", &format!("contextcore-{name}"));
    found.is_some_and(|rule| rule.to_string().contains(part))
}

/// A server of its own: the controllers watch all of it.
pub(crate) fn cluster() -> Option<Cluster> {
    let cluster = Cluster::start()?;
    [Definitions::ContextCore, Definitions::Prometheus, Definitions::OpenTelemetry]
        .into_iter()
        .for_each(|definitions| cluster.install(definitions));
    [HOME, "shop"].into_iter().for_each(|name| drop(cluster.kubectl(&["create", "namespace", name]).succeeds()));
    Some(cluster)
}

#[test]
fn of_two_controllers_one_writes_and_the_other_takes_over_when_it_is_killed() {
    let Some(cluster) = cluster() else { return };
    let folder = tempfile::tempdir().unwrap();
    let [one, two, three] = contextcore_cluster::free_ports();
    let mut first = Process::start(&cluster, folder.path(), "first", one);
    until("the first leads", || first.is_ready() && first.leads());
    let second = Process::start(&cluster, folder.path(), "second", two);
    until("the second is ready", || second.is_ready());
    cluster.apply("shop", &[context("a", "99.9")]).succeeds();
    until("the rule is there", || rule_has(&cluster, "a", "vector(0.999)"));
    assert!(first.leads() && !second.leads(), "{}\n{}", first.log(), second.log());
    assert_eq!(first.get("/healthz").unwrap().status, 200);

    first.kill();
    cluster.apply("shop", &[context("a", "99.5"), context("b", "99.9")]).succeeds();
    let failover =
        until("the second took over", || rule_has(&cluster, "a", "vector(0.995)") && rule_has(&cluster, "b", "vector"));
    assert!(failover < Duration::from_secs(30), "{failover:?}");
    assert!(second.leads(), "{}", second.log());
    // One that stops cleanly gives the Lease back, and the next need not wait for it to expire.
    let third = Process::start(&cluster, folder.path(), "third", three);
    until("the third is ready", || third.is_ready());
    let mut second = second;
    assert!(Command::new("kill").args(["-TERM", &second.child.id().to_string()]).status().unwrap().success());
    until("the second has ended", || second.ended().is_some());
    assert_eq!(second.ended(), Some(0), "{}", second.log());
    let handover = until("the third leads", || third.leads());
    assert!(handover < Duration::from_secs(12), "{handover:?}");
    // One that is robbed of the Lease stops at once.
    let mut third = third;
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "contextcore-controller"},
        "spec": {"holderIdentity": "somebody", "leaseDurationSeconds": 15},
    });
    let arguments = ["apply", "--server-side", "--force-conflicts", "--namespace", HOME, "-f", "-"];
    cluster.kubectl_with(&arguments, &lease.to_string()).succeeds();
    until("the third has ended", || third.ended().is_some());
    assert_eq!(third.ended(), Some(1));
    assert!(third.log().contains("another controller took the Lease"), "{}", third.log());
}

/// The last of them just before the controller stops.
#[tokio::test(flavor = "multi_thread")]
async fn changes_of_contexts_reach_the_backend() {
    let Some(cluster) = cluster() else { return };
    let folder = tempfile::tempdir().unwrap();
    let backend = Collector::start(Options::default()).await.unwrap();
    let [port] = contextcore_cluster::free_ports();
    let mut controller =
        Process::start_with(&cluster, folder.path(), "only", port, &["--otlp-endpoint", &backend.grpc_url()]);
    let with_audit = |availability: &str| {
        let mut context = context("a", availability);
        context["spec"]["observability"] = json!({"auditLogging": "extended"});
        context
    };
    cluster.apply("shop", &[with_audit("99.9")]).succeeds();
    let changes = || -> Vec<_> {
        let is_change = |log: &Log| log.body.to_string().contains("ProjectContext shop/a was");
        backend.logs().into_iter().filter(is_change).collect()
    };
    until("the first record", || changes().len() == 1);
    assert_eq!(changes()[0].resource["project.id"], "shop");
    backend.script_for(Signal::Logs, [Fault::unavailable(None)]);
    cluster.apply("shop", &[with_audit("99.5")]).succeeds();
    until("the change is recorded", || controller.log().matches("project.context_changed").count() >= 2);
    assert!(Command::new("kill").args(["-TERM", &controller.child.id().to_string()]).status().unwrap().success());
    until("it has ended", || controller.ended().is_some());
    assert_eq!(changes().len(), 2, "{}", controller.log());
    let text = format!("{:?}", changes()[1]);
    for part in ["spec.requirements.availability", "99.9", "99.5", "kubectl"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn doctor_says_what_to_do_and_render_what_would_change() {
    let Some(cluster) = cluster() else { return };
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = cluster.kubeconfig();
    let doctor = |more: &[&str]| run(&kubeconfig, &[&["doctor", "--namespace", HOME], more].concat());
    let found = doctor(&[]);
    assert_eq!(found.status.code(), Some(1));
    assert!(text(&found.stdout).contains("no controller holds the Lease"), "{}", text(&found.stdout));
    let [port] = contextcore_cluster::free_ports();
    let controller = Process::start(&cluster, folder.path(), "only", port);
    cluster.apply("shop", &[context("a", "99.9")]).succeeds();
    until("the context is in force", || rule_has(&cluster, "a", "vector(0.999)"));
    until("doctor finds nothing", || doctor(&[]).status.code() == Some(0));
    let prometheus = json!({
        "apiVersion": "monitoring.coreos.com/v1", "kind": "Prometheus", "metadata": {"name": "k8s"},
        "spec": {"ruleSelector": {"matchLabels": {"release": "stack"}}, "serviceMonitorSelector": {}, "retention": "10d"},
    });
    let alertmanager = json!({
        "apiVersion": "monitoring.coreos.com/v1", "kind": "Alertmanager", "metadata": {"name": "main"},
        "spec": {"alertmanagerConfigSelector": {}},
    });
    cluster.apply("shop", &[prometheus, alertmanager]).succeeds();
    let settings = folder.path().join("settings.yaml");
    fs::write(&settings, "channels: {a: {webhookConfigs: [{url: 'http://a'}]}}\nrouting: {namespace: shop}\n").unwrap();
    let found = doctor(&["--settings", settings.to_str().unwrap(), "--as", "system:serviceaccount:shop:nobody"]);
    let refused = text(&found.stderr);
    assert!(refused.contains("cannot") || found.status.code() == Some(1), "{refused}");
    let found = text(&doctor(&["--settings", settings.to_str().unwrap()]).stdout);
    for part in [
        "does not select our PrometheusRules: its ruleSelector wants release: stack",
        "keeps data for 10d, and objectives are over 30 days",
        "alertmanagerConfigMatcherStrategy.type to OnNamespaceExceptForAlertmanagerNamespace",
    ] {
        assert!(found.contains(part), "{part}\n{found}");
    }

    let file = folder.path().join("a.yaml");
    let render = |availability: &str| {
        fs::write(&file, context("a", availability).to_string()).unwrap();
        run(&kubeconfig, &["render", "--diff", "--namespace", HOME, file.to_str().unwrap()])
    };
    let same = render("99.9");
    assert_eq!((same.status.code(), text(&same.stdout)), (Some(0), String::new()), "{}", text(&same.stderr));
    let changed = render("99.5");
    assert_eq!(changed.status.code(), Some(1));
    assert!(text(&changed.stdout).contains("+    - expr: vector(0.995)"), "{}", text(&changed.stdout));
    drop(controller);
    let pruned = run(&kubeconfig, &["prune", "--namespace", HOME]);
    assert_eq!(pruned.status.code(), Some(0), "{}", text(&pruned.stderr));
    assert!(text(&pruned.stdout).contains("deleted PrometheusRule shop/contextcore-a\n"), "{}", text(&pruned.stdout));
    assert!(!rule_has(&cluster, "a", "vector"));
}

/// A team that has rights in its own namespace only still sees what its change would do there.
#[test]
fn a_tenant_sees_what_its_own_change_does() {
    let Some(cluster) = cluster() else { return };
    let folder = tempfile::tempdir().unwrap();
    let [port] = contextcore_cluster::free_ports();
    let settings = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"},
        "data": {"settings.yaml": "objectLabels: {release: stack}\n"},
    });
    cluster.apply(HOME, &[settings]).succeeds();
    let _controller = Process::start_with(&cluster, folder.path(), "all", port, &["--settings-config-map", "settings"]);
    cluster.kubectl(&["create", "namespace", "other"]).succeeds();
    let mut foreign = context("foreign", "99.9");
    foreign["metadata"]["namespace"] = "other".into();
    cluster.apply("shop", &[context("a", "99.9")]).succeeds();
    cluster.apply("other", &[foreign]).succeeds();
    until("the context is in force", || rule_has(&cluster, "a", "vector(0.999)"));

    let may = |name: &str, namespace: &str, verbs: &[&str]| {
        let rules = json!([
            {"apiGroups": ["contextcore.io", "monitoring.coreos.com"], "resources": ["*"], "verbs": verbs},
            {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]},
        ]);
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name}, "rules": rules});
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "shop"}],
        });
        cluster.apply(namespace, &[role, binding]).succeeds();
    };
    may("writer", "shop", &["get", "list", "patch"]);
    may("reader", "shop", &["get", "list"]);
    may("reader", HOME, &["get"]);
    let file = folder.path().join("a.yaml");
    let diff = |account: &str, availability: &str, more: &[&str]| {
        fs::write(&file, context("a", availability).to_string()).unwrap();
        let arguments = [&["render", "--diff", "--namespace", HOME], more, &[file.to_str().unwrap()]].concat();
        let output = run(&cluster.kubeconfig_of("shop", account), &arguments);
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let labels = folder.path().join("settings.yaml");
    fs::write(&labels, "objectLabels: {release: stack}\n").unwrap();
    let with_file = ["--settings", labels.to_str().unwrap()];
    for (account, settings) in [("writer", &with_file), ("reader", &["--settings-config-map", "settings"])] {
        let (code, changed, said) = diff(account, "99.9", settings);
        assert_eq!((code, changed.as_str()), (Some(0), ""), "{account}: {said}");
        assert!(said.contains("what all contexts share is not compared"), "{said}");
        let (code, changed, said) = diff(account, "99.5", settings);
        assert_eq!(code, Some(1), "{account}: {said}");
        assert!(
            changed.contains("PrometheusRule shop/contextcore-a") && changed.contains("+    - expr: vector(0.995)"),
            "{changed}"
        );
        assert!(!changed.contains("ConfigMap") && !changed.contains("foreign"), "{changed}");
        assert_eq!(said.contains("is compared without its defaults"), account == "reader", "{said}");
    }
    // With the namespaces of a controller that watches only those, its shared objects count, as far as they may be read.
    let (code, _, said) = diff("writer", "99.5", &["--watch-namespace", "shop"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("ConfigMap contextcore/contextcore-collector is not compared: "), "{said}");
    let (code, _, said) = diff("writer", "99.5", &["--watch-namespace", "other"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("namespace \"other\"") && said.contains("ask for the right to list them"), "{said}");
}

/// Who may look at two namespaces only, as a team with a controller of its own.
#[test]
fn doctor_asks_for_nothing_beyond_the_namespaces_that_are_watched() {
    let Some(cluster) = cluster() else { return };
    let folder = tempfile::tempdir().unwrap();
    let rules = json!([
        {"apiGroups": ["contextcore.io", "monitoring.coreos.com"], "resources": ["*"], "verbs": ["*"]},
        {"apiGroups": ["", "events.k8s.io"], "resources": ["configmaps", "events"], "verbs": ["*"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["*"]},
    ]);
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "all"}, "rules": rules});
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "all"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "all"},
        "subjects": [{"kind": "ServiceAccount", "name": "team", "namespace": HOME}],
    });
    for namespace in ["shop", HOME] {
        cluster.apply(namespace, &[role.clone(), binding.clone()]).succeeds();
    }
    let narrow = cluster.kubeconfig_of(HOME, "team");
    let arguments = ["doctor", "--namespace", HOME];
    let broad = run(&narrow, &arguments);
    assert_eq!(broad.status.code(), Some(1));
    let [port] = contextcore_cluster::free_ports();
    let _controller = Process::start(&cluster, folder.path(), "narrow", port);
    let mut last = String::new();
    until("doctor finds nothing", || {
        let ran = run(&narrow, &[&arguments[..], &["--watch-namespace", "shop"]].concat());
        last = text(&ran.stdout);
        ran.status.code() == Some(0)
    });
    assert!(last.contains("projectcontexts.contextcore.io is installed; whether with the schema"), "{last}");
    assert!(last.contains("every kind counts as installed"), "{last}");
}

#[test]
fn without_a_cluster_there_is_one_line_and_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let none = run(&folder.path().join("none"), &["run"]);
    assert_eq!((none.status.code(), text(&none.stderr).lines().count()), (Some(2), 1), "{}", text(&none.stderr));
    assert!(text(&none.stderr).starts_with("error: no cluster found: "), "{}", text(&none.stderr));
    let [port] = contextcore_cluster::free_ports();
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c", "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": format!("http://127.0.0.1:{port}")}}],
    });
    let silent = folder.path().join("silent");
    fs::write(&silent, config.to_string()).unwrap();
    for arguments in [&["run"][..], &["doctor"], &["prune"]] {
        let refused = run(&silent, arguments);
        let error = text(&refused.stderr);
        assert_eq!((refused.status.code(), error.lines().count()), (Some(2), 1), "{error}");
        assert!(error.contains("does not answer") && error.contains(&port.to_string()), "{error}");
    }
    let settings = folder.path().join("settings.yaml");
    fs::write(&settings, "limits: {default: {maxTraceSamplin: 1}}\n").unwrap();
    let wrong = run(&silent, &["run", "--settings", settings.to_str().unwrap(), "--context", "nobody"]);
    assert_eq!(wrong.status.code(), Some(2));
}
