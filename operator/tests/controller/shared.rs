//! The collector, the rights of the controller, and what is removed.

use super::*;

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
fn a_gateway_of_ours_is_applied_whole_and_changes_at_most_once_a_minute() {
    let Some((cluster, ns)) = cluster("managed") else { return };
    let settings = "collector: {mode: managed, exporters: {debug: {}}}\n";
    cluster.apply(&ns, &[context("a", &json!({"observability": {"traceSampling": 0.25}}))]).succeeds();
    let controller = Controller::start(cluster, &ns, settings);
    until_condition(cluster, &ns, "a", "SamplingReady", ("True", "Applied"));
    let gateway = || cluster.get(COLLECTORS, &ns, "contextcore-gateway").unwrap();
    let live = gateway();
    let config = &live["spec"]["config"];
    let order = [
        "memory_limiter",
        "transform/claims",
        "k8sattributes",
        "transform/contextcore",
        "tail_sampling/contextcore",
        "batch",
    ];
    assert_eq!(config["service"]["pipelines"]["traces"]["processors"], json!(order), "{live:#}");
    assert!(config["processors"]["tail_sampling/contextcore"].to_string().contains("rate-25"), "{live:#}");
    assert_eq!(live["metadata"]["labels"]["contextcore.io/instance"], ns);
    // A second change within the minute waits, and its context says so.
    let edited = context("a", &json!({"observability": {"traceSampling": 0.75}}));
    cluster.apply(&ns, &[edited]).succeeds();
    let message = until_condition(cluster, &ns, "a", "SamplingReady", ("Unknown", "Pending"));
    assert!(message.contains("less than a minute ago"), "{message}");
    assert_eq!(gateway()["metadata"]["generation"], live["metadata"]["generation"]);
    // It stays when the mode changes: somebody sends to it.
    controller.set("");
    until("the fragment is there", || cluster.get("configmap", &ns, "contextcore-collector"));
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(gateway()["metadata"]["uid"], live["metadata"]["uid"]);
    controller.end().unwrap();
    let settings = settings_in(&ns, "");
    let pruned = until("no pipeline names our processors", || {
        let (settings, ns) = (settings.clone(), ns.clone());
        block_on(cluster, |client| async move { prune::prune(&client, &settings, &ns, false).await }).ok()
    });
    assert!(pruned.done.iter().any(|line| line.contains("contextcore-gateway")), "{pruned:?}");
    assert!(cluster.get(COLLECTORS, &ns, "contextcore-gateway").is_none());
}

/// A server of its own, whose definition says that the Prometheus operator is new enough.
#[test]
fn what_the_prometheus_operator_says_of_rules_is_in_the_status() {
    let Some(cluster) = Cluster::start() else { return };
    [Definitions::ContextCore, Definitions::Prometheus].into_iter().for_each(|all| cluster.install(all));
    let ns = cluster.namespace("bindings");
    let free = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let patch = json!([
        {"op": "add", "path": "/metadata/annotations/operator.prometheus.io~1version", "value": "0.93.0"},
        {"op": "add", "path": "/spec/versions/0/subresources", "value": {"status": {}}},
        {"op": "add", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/status", "value": free},
    ]);
    cluster.kubectl(&["patch", "crd", RULES, "--type=json", "-p", &patch.to_string()]).succeeds();
    let _controller = Controller::start(&cluster, &ns, "");
    cluster.apply(&ns, &[with_rules("a")]).succeeds();
    until_condition(&cluster, &ns, "a", "Ready", ("True", "Ready"));
    let say = |status: &str, message: &str| {
        let conditions = json!([{"type": "Accepted", "status": status, "reason": "R", "message": message}]);
        let bindings = json!([{"group": "monitoring.coreos.com", "resource": "prometheuses", "namespace": "monitoring",
            "name": "k8s", "conditions": conditions}]);
        let patch = json!({"status": {"bindings": bindings}}).to_string();
        let arguments =
            ["patch", RULES, "contextcore-a", "-n", &ns, "--subresource=status", "--type=merge", "-p", &patch];
        until("the status is written", || cluster.kubectl(&arguments).ok.then_some(()));
    };
    let until_message = |part: &str| {
        until(part, || condition(&cluster, &ns, "a", "RulesReady").filter(|(_, _, message)| message.contains(part)))
    };
    say("True", "");
    assert_eq!(until_message("accepted by monitoring/k8s").0, "True");
    say("False", "bad expression");
    until_message("refused by monitoring/k8s: bad expression");
}
