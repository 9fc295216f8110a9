//! A real API server judges the definition, and the objects that are derived.
//!
//! `tests/cluster/build.sh` builds it. Without it these tests say that they were skipped, or fail where
//! `CONTEXTCORE_REQUIRE_CLUSTER` is set.

use std::collections::BTreeSet;
use std::fs;

use contextcore_cluster::{Cluster, Definitions};
use contextcore_operator::derive::derive;
use contextcore_operator::resource::ProjectContext;
use contextcore_operator::{crd, yaml};
use serde_json::{Value, json};

use super::{cel, property, rig};

const KIND: &str = "projectcontexts.contextcore.io";
/// Settings with which the processors of [`gateway`] are ours.
const ATTACH: &str = "collector: {mode: attach, name: gateway}\n";
/// Settings with which a whole collector is ours.
/// What may be chosen instead of the default.
const OTHERWISE: &str = "sampling: {strategy: consistent}\nrouting: {perNamespace: true}\n\
                         collector: {mode: managed, exporters: {debug: {}}}\n";
const MANAGED: &str = "collector: {mode: managed, exporters: {debug: {}}}\n";
/// Random specs in one server.
const SPECS: usize = 120;

/// The shared server with our definition.
fn cluster() -> Option<&'static Cluster> {
    let cluster = Cluster::shared()?;
    cluster.install(Definitions::ContextCore);
    Some(cluster)
}

/// What a server with all definitions says to objects that only go through its checks.
fn judge(cluster: &Cluster, namespace: &str, objects: &[Value]) -> contextcore_cluster::Answer {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    cluster.kubectl_with(&["create", "--dry-run=server", "--namespace", namespace, "-f", "-"], &list)
}

/// A context of this name without a namespace.
fn named(name: &str, parts: &Value) -> Value {
    let mut object = cel::context(parts);
    object["metadata"] = json!({"name": name});
    object
}

#[test]
fn the_definition_is_structural_and_its_rules_are_within_the_budget() {
    let Some(cluster) = cluster() else { return };
    let found = cluster.get("customresourcedefinitions", "", KIND).unwrap();
    let conditions = found["status"]["conditions"].as_array().unwrap();
    let condition =
        |kind: &str| conditions.iter().find(|found| found["type"] == kind).map(|found| found["status"].clone());
    assert_eq!(condition("Established"), Some("True".into()));
    assert_eq!(condition("NamesAccepted"), Some("True".into()));
    assert_eq!(condition("NonStructuralSchema"), None);
    // Nothing that we wrote was dropped or changed.
    let mut served = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
    let mut ours = crd::schema();
    for schema in [&mut served, &mut ours] {
        schema.as_object_mut().unwrap().remove("description");
    }
    assert!(holds(&served, &ours) && holds(&ours, &served), "{served:#}\n{ours:#}");
}

#[test]
fn the_blueprint_applies_word_for_word() {
    let Some(cluster) = cluster() else { return };
    drop(cluster.kubectl(&["create", "namespace", "commerce"]));
    for text in [include_str!("cases/blueprint.yaml"), include_str!("cases/blueprint-action-5.yaml")] {
        // As a person does, and as a pipeline does.
        cluster.kubectl_with(&["apply", "-f", "-"], text).succeeds();
        let found = cluster.get(KIND, "commerce", "checkout-service").unwrap();
        let wrote: Value = serde_saphyr::from_str(text).unwrap();
        assert!(holds(&found["spec"], &wrote["spec"]), "{found:#}");
        cluster.kubectl(&["delete", KIND, "checkout-service", "--namespace", "commerce"]).succeeds();
        cluster.kubectl_with(&["apply", "--server-side", "-f", "-"], text).succeeds();
        cluster.kubectl(&["delete", "pctx", "checkout-service", "--namespace", "commerce"]).succeeds();
    }
}

/// The messages of a batch, each with the name of the object that it is about.
fn messages(text: &str) -> Vec<&str> {
    let starts = ["Error from server", "The ProjectContext"];
    let mut cuts: Vec<usize> = starts.iter().flat_map(|start| text.match_indices(start)).map(|(at, _)| at).collect();
    cuts.sort_unstable();
    let ends = cuts.iter().skip(1).copied().chain([text.len()]);
    cuts.iter().zip(ends).map(|(start, end)| &text[*start..end]).collect()
}

#[test]
fn the_server_refuses_by_the_same_rules_with_the_same_messages() {
    let Some(cluster) = cluster() else { return };
    let cases = cel::refused();
    let objects: Vec<Value> =
        cases.iter().enumerate().map(|(at, (parts, _))| named(&format!("case-{at}"), parts)).collect();
    let answer = judge(cluster, "default", &objects);
    assert_eq!(answer.out, "", "admitted");
    let found = messages(&answer.err);
    assert_eq!(found.len(), cases.len(), "{}", answer.err);
    for (at, (parts, wanted)) in cases.iter().enumerate() {
        let about = format!("\"case-{at}\"");
        let message = found.iter().find(|message| message.contains(&about));
        assert!(message.is_some_and(|text| text.contains(wanted)), "{parts}\nwanted: {wanted}\nfound: {message:?}");
    }
}

#[test]
fn the_server_admits_what_keeps_the_rules_and_no_more() {
    let Some(cluster) = cluster() else { return };
    let cases = cel::admitted();
    let objects: Vec<Value> = cases.iter().enumerate().map(|(at, parts)| named(&format!("case-{at}"), parts)).collect();
    judge(cluster, "default", &objects).succeeds();
    for (parts, _) in cel::misfits() {
        let answer = judge(cluster, "default", &[named("case", &parts)]);
        assert!(!answer.ok, "admitted: {parts}");
    }
    let with_name = |length: usize| {
        let mut object = cel::context(&json!({}));
        object["metadata"] = json!({"name": "a".repeat(length)});
        judge(cluster, "default", &[object])
    };
    assert!(with_name(64).fails().contains("longer than 63 characters"));
    with_name(63).succeeds();
}

#[test]
fn the_project_of_a_context_cannot_change() {
    let Some(cluster) = cluster() else { return };
    let namespace = cluster.namespace("immutable");
    cluster.apply(&namespace, &[named("a", &json!({}))]).succeeds();
    let mut other = named("a", &json!({}));
    other["spec"]["project"]["id"] = "other".into();
    let refused = cluster.apply(&namespace, std::slice::from_ref(&other)).fails();
    assert!(refused.contains("create a new ProjectContext"), "{refused}");
    // The rest may.
    cluster.apply(&namespace, &[named("a", &json!({"business": {"criticality": "low"}}))]).succeeds();
}

/// What a controller would report of a context: what was derived, and that its collector was not found.
fn reported(context: Value) -> Value {
    let context: ProjectContext = serde_json::from_value(context).unwrap();
    let mut status = serde_json::to_value(&derive(&[context], &rig::settings("")).outcomes[0].status).unwrap();
    let conditions = status["conditions"].as_array_mut().unwrap();
    conditions.retain(|condition| condition["type"] != "Ready");
    conditions.push(json!({"type": "Ready", "status": "False", "reason": "CollectorNotFound", "message": "m"}));
    for condition in conditions {
        condition["observedGeneration"] = 1.into();
        condition["lastTransitionTime"] = "2026-11-27T00:00:00Z".into();
    }
    status
}

#[test]
fn the_status_is_stored_whole_and_cannot_be_written_by_accident() {
    let Some(cluster) = cluster() else { return };
    let namespace = cluster.namespace("status");
    let mut object = named("cart", &json!({"requirements": {"availability": "99.9", "latencyP99": "200ms"}}));
    object["status"] = json!({"sloCount": 9});
    cluster.apply(&namespace, &[object]).succeeds();
    let stored = || cluster.get(KIND, &namespace, "cart").unwrap();
    assert_eq!(stored().get("status"), None);

    let status = reported(stored());
    report(cluster, &namespace, "cart", &status);
    // The schema knows every field that is derived.
    assert!(holds(&stored()["status"], &status), "{:#}\n{status:#}", stored());
}

fn report(cluster: &Cluster, namespace: &str, name: &str, status: &Value) {
    let patch = json!({"status": status}).to_string();
    let arguments = ["patch", KIND, name, "-n", namespace, "--subresource=status", "--type=merge", "-p", &patch];
    cluster.kubectl(&arguments).succeeds();
}

#[test]
fn a_person_sees_what_matters_in_a_row() {
    let Some(cluster) = cluster() else { return };
    let namespace = cluster.namespace("columns");
    let spec = json!({
        "business": {"criticality": "critical", "owner": "shop-team"},
        "requirements": {"availability": "99.9", "latencyP99": "200ms"},
    });
    cluster.apply(&namespace, &[named("cart", &spec)]).succeeds();
    report(cluster, &namespace, "cart", &reported(cluster.get(KIND, &namespace, "cart").unwrap()));
    let row = |arguments: &[&str]| {
        let table = cluster.kubectl(&[&["get", "pctx", "-n", &namespace], arguments].concat()).succeeds();
        table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    let [heads, values] = &row(&[])[..] else { panic!("{:?}", row(&[])) };
    assert_eq!(heads, "NAME PROJECT CRITICALITY OWNER SLOS SAMPLING READY AGE");
    assert!(values.starts_with("cart shop critical shop-team 2 1 False "), "{values}");
    let [heads, values] = &row(&["-o", "wide"])[..] else { panic!("{:?}", row(&["-o", "wide"])) };
    assert_eq!(heads, "NAME PROJECT CRITICALITY OWNER SLOS SAMPLING READY REASON AGE");
    assert!(values.contains(" False CollectorNotFound "), "{values}");
    // By category, too.
    assert!(cluster.kubectl(&["get", "contextcore", "-n", &namespace]).succeeds().contains("cart"));
}

#[test]
fn the_server_explains_every_field() {
    let Some(cluster) = cluster() else { return };
    let explained = |path: &str| cluster.kubectl(&["explain", &format!("projectcontext.{path}")]).succeeds();
    for (path, wanted) in [
        ("spec.business", "criticality"),
        ("spec.requirements.sli", "profile"),
        ("spec.observability.traceSampling", "<number>"),
        ("status.conditions", "lastTransitionTime"),
    ] {
        let text = explained(path);
        assert!(text.contains(wanted) && text.contains("DESCRIPTION"), "{path}:\n{text}");
    }
    let all = cluster.kubectl(&["explain", "projectcontext", "--recursive"]).succeeds();
    assert!(all.contains("latencyP95") && all.contains("agentGuidance"), "{all}");
    assert_eq!(undescribed(&crd::schema()["properties"]["spec"], "spec"), Vec::<String>::new());
}

/// Paths of fields that `kubectl explain` would say nothing about.
fn undescribed(schema: &Value, path: &str) -> Vec<String> {
    let mut found = Vec::new();
    if schema.get("description").is_none() {
        found.push(path.to_owned());
    }
    let schema = schema.get("items").unwrap_or(schema);
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        found.extend(undescribed(field, &format!("{path}.{name}")));
    }
    found
}

/// Installs all definitions, and makes the namespaces that objects name.
fn prepared(objects: &[Value]) -> Option<&'static Cluster> {
    let cluster = Cluster::shared()?;
    Definitions::ALL.into_iter().for_each(|definitions| cluster.install(definitions));
    let namespaces: BTreeSet<&str> =
        objects.iter().filter_map(|object| object["metadata"]["namespace"].as_str()).collect();
    let object = |name: &&str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    let namespaces: Vec<Value> = namespaces.iter().map(object).collect();
    if !namespaces.is_empty() {
        cluster.apply("default", &namespaces).succeeds();
    }
    Some(cluster)
}

/// Objects of the snapshots that a person reviewed, by file.
fn goldens() -> Vec<Vec<Value>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let objects = files.iter().map(|file| {
        let text = fs::read_to_string(file).unwrap();
        let body = text.splitn(3, "---\n").nth(2).unwrap_or_default();
        let documents: Vec<Value> = serde_saphyr::from_multiple(body).unwrap_or_default();
        documents.into_iter().filter(|document| document.get("kind").is_some()).collect()
    });
    objects.filter(|objects: &Vec<Value>| !objects.is_empty()).collect()
}

#[test]
fn every_golden_object_is_accepted() {
    let goldens = goldens();
    assert!(goldens.iter().flatten().count() >= 30, "{}", goldens.len());
    let Some(cluster) = prepared(&goldens.concat()) else { return };
    // One file after the other: several hold the same object in different states.
    for objects in goldens {
        let arguments = ["apply", "--server-side", "-o", "json", "-f", "-"];
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        let stored: Value =
            serde_json::from_str(&cluster.kubectl_with(&arguments, &list.to_string()).succeeds()).unwrap();
        let stored =
            stored.get("items").map_or_else(|| vec![stored.clone()], |items| items.as_array().unwrap().clone());
        assert_eq!(stored.len(), objects.len());
        for (stored, sent) in stored.iter().zip(&objects) {
            assert!(holds(stored, sent), "changed:\n{sent:#}\n{stored:#}");
        }
    }
}

/// The collector of a platform team, with these processors; its pipeline names ours.
fn gateway(processors: &Value) -> Value {
    json!({
        "apiVersion": "opentelemetry.io/v1beta1", "kind": "OpenTelemetryCollector",
        "metadata": {"name": "gateway", "namespace": "contextcore"},
        "spec": {"config": {
            "receivers": {"otlp": {"protocols": {"grpc": {}}}},
            "processors": processors,
            "exporters": {"debug": {}},
            "service": {"pipelines": {"traces": {
                "receivers": ["otlp"],
                "processors": ["transform/contextcore", "tail_sampling/contextcore"],
                "exporters": ["debug"],
            }}},
        }},
    })
}

#[test]
fn attaching_leaves_the_fields_of_others_alone() {
    let derivation = derive(&[rig::context("shop", "cart", &json!({}))], &rig::settings(ATTACH));
    let ours = rig::object(&derivation, "OpenTelemetryCollector");
    let Some(cluster) = prepared(std::slice::from_ref(ours)) else { return };
    let namespace = cluster.namespace("attach");
    let apply = |manager: &str, object: &Value| {
        let mut object = object.clone();
        object["metadata"]["namespace"] = namespace.as_str().into();
        let manager = format!("--field-manager={manager}");
        cluster.kubectl_with(&["apply", "--server-side", &manager, "-f", "-"], &object.to_string())
    };
    apply("platform", &gateway(&json!({"batch": {"timeout": "1s"}}))).succeeds();
    apply("contextcore", ours).succeeds();
    let processors = || {
        let stored = cluster.get("opentelemetrycollectors", &namespace, "gateway").unwrap();
        let processors = stored["spec"]["config"]["processors"].as_object().unwrap().clone();
        processors.keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(processors(), ["batch", "tail_sampling/contextcore", "transform/contextcore"]);
    // The team goes on with its own, and does not need to know of ours.
    apply("platform", &gateway(&json!({"filter": {}}))).succeeds();
    assert_eq!(processors(), ["filter", "tail_sampling/contextcore", "transform/contextcore"]);
    let refused = apply("platform", &gateway(&json!({"tail_sampling/contextcore": {"policies": []}}))).fails();
    assert!(refused.contains("conflict with \"contextcore\""), "{refused}");
}

/// Whether one value has all that the other has: a server adds defaults, and drops what its schema does not know.
fn holds(stored: &Value, sent: &Value) -> bool {
    match (stored, sent) {
        (Value::Object(stored), Value::Object(sent)) => {
            sent.iter().all(|(key, value)| stored.get(key).is_some_and(|stored| holds(stored, value)))
        }
        (Value::Array(stored), Value::Array(sent)) => {
            stored.len() == sent.len() && stored.iter().zip(sent).all(|(stored, sent)| holds(stored, sent))
        }
        // 0 and 0.0 are one number.
        (Value::Number(stored), Value::Number(sent)) => stored.as_f64() == sent.as_f64(),
        _ => stored == sent,
    }
}

/// Whether nothing is derived from it because of a query.
fn is_invalid_sli(object: &Value) -> bool {
    let context = rig::context("n", "a", &object["spec"]);
    let outcome = derive(&[context], &rig::settings("")).outcomes.remove(0);
    !outcome.is_accepted() && outcome.status.conditions[0].reason == "InvalidSLI"
}

/// Random contexts without a namespace: those that we admit, and the others.
fn random() -> [Vec<Value>; 2] {
    let (good, bad): (Vec<_>, Vec<_>) = property::objects(SPECS).into_iter().partition(|(_, is_admitted)| *is_admitted);
    assert!(good.len() >= SPECS / 4, "{} of {SPECS}", good.len());
    let object = |(mut object, _): (Value, bool)| {
        object["metadata"].as_object_mut().unwrap().remove("namespace");
        object
    };
    [good, bad].map(|cases| cases.into_iter().map(object).collect())
}

#[test]
fn any_spec_is_judged_as_by_the_server() {
    let Some(cluster) = cluster() else { return };
    let [good, bad] = random();
    judge(cluster, "default", &good).succeeds();
    let admitted = judge(cluster, "default", &bad).out;
    for object in bad {
        let name = format!("/{} created", object["metadata"]["name"].as_str().unwrap());
        // No rule of a schema parses PromQL: that is found when something is derived.
        assert!(!admitted.contains(&name) || is_invalid_sli(&object), "admitted only by the server: {object:#}");
    }
}

#[test]
fn any_spec_that_is_admitted_renders_what_the_server_accepts() {
    let gateway = gateway(&json!({}));
    let Some(cluster) = prepared(std::slice::from_ref(&gateway)) else { return };
    cluster.apply("contextcore", &[gateway]).succeeds();
    let namespace = cluster.namespace("random");
    let [good, _] = random();
    cluster.apply(&namespace, &good).succeeds();
    let stored = cluster.kubectl(&["get", KIND, "-n", &namespace, "-o", "json"]).succeeds();
    let stored: Value = serde_json::from_str(&stored).unwrap();
    let contexts: Vec<ProjectContext> = serde_json::from_value(stored["items"].clone()).unwrap();
    assert_eq!(contexts.len(), good.len());

    let settings = ["", ATTACH, MANAGED, OTHERWISE].map(|more| rig::settings(&format!("{}{more}", rig::SETTINGS)));
    // One by one, since random contexts claim each other's workloads. What does not depend on them is always the same.
    let mut objects: Vec<Value> = Vec::new();
    for (context, settings) in contexts.iter().flat_map(|context| settings.iter().map(move |with| (context, with))) {
        for object in derive(std::slice::from_ref(context), settings).objects {
            if !objects.contains(&object) {
                objects.push(object);
            }
        }
    }
    prepared(&objects);
    // As the controller sends them; shared objects follow each other.
    let arguments = ["apply", "--server-side", "--field-manager=contextcore", "--force-conflicts", "--dry-run=server"];
    cluster.kubectl_with(&[&arguments[..], &["-f", "-"]].concat(), &yaml::stream(&objects)).succeeds();
}
