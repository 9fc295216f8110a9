//! What a context brings into the cluster, and that it stays there.

use super::*;

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
    // What costs more is an Event; the edit before cost less.
    let cost = |event: &String| event.starts_with("CostRaised");
    assert_eq!(events(cluster, &ns).iter().filter(|event| cost(event)).count(), 0);
    let raised = json!({"requirements": {"availability": "99.5"}, "observability": {"traceSampling": 1.0}});
    cluster.apply(&ns, &[context("checkout", &raised)]).succeeds();
    let event = until("the Event", || events(cluster, &ns).into_iter().find(cost));
    assert_eq!(event, "CostRaised traceSampling 0.25 -> 1: 4 times as many traces");
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
fn a_time_outside_the_boundaries_of_a_histogram_is_a_condition() {
    let Some((cluster, ns)) = cluster("buckets") else { return };
    // As a service has them that reports milliseconds.
    let boundaries = vec![("le", "5"), ("le", "10"), ("le", "10000"), ("le", "+Inf")];
    let series = vec![("count by (le)", boundaries), ("count(", vec![("job", "any")])];
    let settings = "prometheus: {url: 'http://prometheus.invalid:9090'}\n";
    let _controller = Controller::start_as(cluster.kubeconfig(), &ns, settings, Fake { series, ..Fake::default() });
    cluster.apply(&ns, &[context("a", &json!({"requirements": {"latencyP99": "200ms"}}))]).succeeds();
    let message = until_condition(cluster, &ns, "a", "SLIResolved", ("False", "NoBucketAtThreshold"));
    assert!(message.contains("below the first boundary 5"), "{message}");
    until_condition(cluster, &ns, "a", "Ready", ("False", "NoBucketAtThreshold"));
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
    let controller = Controller::start(cluster, &ns, "annotate: {enabled: true}\n");
    let of = |annotate: &str| context("a", &json!({"observability": {"annotate": annotate}}));
    cluster.apply(&ns, &[of("Workload")]).succeeds();
    let message = until_condition(cluster, &ns, "a", "RulesReady", ("False", "ApplyFailed"));
    assert!(message.contains("does not exist"), "{message}");
    // Nobody watches workloads: what comes later is found by trying again.
    cluster.apply(&ns, &[deployment]).succeeds();
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

#[test]
fn each_namespace_has_routes_of_its_own_where_the_settings_say_so() {
    const ROUTES: &str = "alertmanagerconfigs.monitoring.coreos.com";
    let Some((cluster, ns)) = cluster("routes") else { return };
    let main = cluster.namespace("routes-main");
    let taken = json!({
        "apiVersion": "monitoring.coreos.com/v1alpha1", "kind": "AlertmanagerConfig", "metadata": {"name": "contextcore"},
        "spec": {"receivers": [{"name": "theirs"}], "route": {"receiver": "theirs"}},
    });
    cluster.apply(&ns, &[taken, context("a", &json!({}))]).succeeds();
    let settings = |routing: &str| {
        format!("channels: {{shop-oncall: {{webhookConfigs: [{{url: 'http://a'}}]}}}}\nrouting: {{{routing}}}\n")
    };
    let controller = Controller::start(cluster, &ns, &settings("perNamespace: true"));
    let message = until_condition(cluster, &ns, "a", "RoutingReady", ("False", "ApplyFailed"));
    assert!(message.contains(&format!("AlertmanagerConfig {ns}/contextcore exists and is not ours")), "{message}");
    cluster.kubectl(&["delete", ROUTES, "contextcore", "-n", &ns]).succeeds();
    until_condition(cluster, &ns, "a", "RoutingReady", ("True", "Applied"));
    let routes = cluster.get(ROUTES, &ns, "contextcore").unwrap();
    assert!(routes["spec"]["route"]["matchers"].to_string().contains(&ns), "{routes:#}");
    // A context whose channels nobody set up needs no routes.
    let quiet = context("a", &json!({"business": {"owner": "nobody"}}));
    cluster.apply(&ns, &[quiet]).succeeds();
    until("the routes are gone", || cluster.get(ROUTES, &ns, "contextcore").is_none().then_some(()));
    until_condition(cluster, &ns, "a", "RoutingReady", ("True", "Applied"));
    cluster.apply(&ns, &[context("a", &json!({}))]).succeeds();
    until("the routes are back", || cluster.get(ROUTES, &ns, "contextcore"));
    // Whoever goes back to one for all finds no second one.
    controller.set(&settings(&format!("namespace: {main}")));
    until("one for all", || cluster.get(ROUTES, &main, "contextcore"));
    until("none in the namespace", || cluster.get(ROUTES, &ns, "contextcore").is_none().then_some(()));
    until_condition(cluster, &ns, "a", "RoutingReady", ("True", "Applied"));
}
