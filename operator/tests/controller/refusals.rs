//! What is not accepted: it stops nobody else, and says what to do.

use super::*;

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
fn a_name_that_becomes_free_is_no_change_of_the_context() {
    let Some((cluster, ns)) = cluster("freed") else { return };
    let controller = Controller::start(cluster, &ns, "");
    cluster.apply(&ns, &[with_rules("a")]).succeeds();
    until_condition(cluster, &ns, "a", "Ready", ("True", "Ready"));
    controller.end().unwrap();
    cluster.kubectl(&["label", RULES, "contextcore-a", "contextcore.io/instance-", "-n", &ns]).succeeds();
    let controller = Controller::start(cluster, &ns, "");
    until_condition(cluster, &ns, "a", "Accepted", ("False", "NameTaken"));
    cluster.kubectl(&["delete", RULES, "contextcore-a", "-n", &ns]).succeeds();
    until_condition(cluster, &ns, "a", "Ready", ("True", "Ready"));
    assert_eq!(*controller.fake.changes.lock().unwrap(), []);
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
fn a_context_that_is_invalid_when_a_controller_starts_stays_in_force_as_it_was() {
    let Some((cluster, ns)) = cluster("restart") else { return };
    let good = json!({"requirements": {"availability": "99.9"}, "observability": {"traceSampling": 0.25}});
    let controller = Controller::start(cluster, &ns, "");
    cluster.apply(&ns, &[context("a", &good), with_rules("b")]).succeeds();
    until_condition(cluster, &ns, "a", "Ready", ("True", "Ready"));
    controller.end().unwrap();
    // Nobody watches while it becomes invalid.
    let sli = json!({"profile": "custom", "total": "sum(rate(x[{{window}}]) +"});
    let bad = context("a", &json!({"requirements": {"latencyP99": "1s", "sli": sli}}));
    cluster.apply(&ns, &[bad]).succeeds();
    let controller = Controller::start(cluster, &ns, "");
    until_condition(cluster, &ns, "a", "Accepted", ("False", "InvalidSLI"));
    // What all share is written anew, and a is in it.
    let edited = context("b", &json!({"observability": {"traceSampling": 0.75}}));
    cluster.apply(&ns, &[edited]).succeeds();
    let fragment = until("the edit of b is in the fragment", || {
        let map = cluster.get("configmap", &ns, "contextcore-collector")?;
        map["data"]["contextcore.yaml"].as_str().filter(|text| text.contains("rate-75")).map(str::to_owned)
    });
    assert!(fragment.contains("rate-25") && fragment.contains(r#"attributes["service.name"] == "a""#), "{fragment}");
    let maps = cluster.kubectl(&["get", "configmaps", "-n", &ns, "-o", "json"]).succeeds();
    assert!(maps.contains(&format!("{ns}.a.yaml")) || maps.contains("name: a"), "{maps}");
    let rule = cluster.get(RULES, &ns, "contextcore-a").expect("kept");
    assert!(rule.to_string().contains("vector(0.999)"));
    // The next good spec is compared with the last good one.
    let mended = json!({"requirements": {"availability": "99.5"}, "observability": {"traceSampling": 0.25}});
    cluster.apply(&ns, &[context("a", &mended)]).succeeds();
    until_condition(cluster, &ns, "a", "Ready", ("True", "Ready"));
    let changes = controller.fake.changes.lock().unwrap().clone();
    let of_a = changes.iter().find(|change| change.name == "a").unwrap();
    assert_eq!(of_a.paths, ["spec.requirements.availability"]);
}
