//! What the controller writes of contexts, the sync service reads: the two crates do not know each other.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail at once")]

use std::fs;
use std::path::Path;

use contextcore_core::config::{self, Config, Criticality, ProjectConfig};
use contextcore_operator::derive::{Derivation, derive};
use contextcore_operator::settings::Settings;
use contextcore_operator::validate::{Input, check};
use contextcore_operator::yaml;
use serde_json::json;

/// A context that says everything the sync service reads, and another of the same project.
const CONTEXTS: &str = r#"
apiVersion: contextcore.io/v1
kind: ProjectContext
metadata: {name: checkout, namespace: commerce}
spec:
  project:
    id: shop
    name: "Shop: \"the\" $platform"
    epic: EPIC-1
    include: [{source: jira, project: SHOP}]
    repositories: [acme/checkout]
  business: {criticality: high, owner: shop-team, value: revenue-primary}
  requirements:
    availability: "99.95"
    latencyP50: 50ms
    latencyP90: 100ms
    latencyP95: 150ms
    latencyP99: 200ms
    throughput: 100rps
    window: 28d
    minBadEvents: 7
    sli: {profile: otel-http, matchers: '{http_route!="/healthz"}', histogram: native}
  risks:
    - {risk: "Card numbers leak: {{ no template }}", id: pci, type: data-integrity, priority: P1, mitigation: tokens, owner: sec, due: "2027-01-31"}
    - {risk: "A # bank\nis down"}
  design: {adr: docs/adr/1.md, adrs: ["https://docs.example/2"], doc: "https://docs.example", apiContract: "https://docs.example/api"}
  targets:
    - {kind: Deployment, name: checkout, service: checkout-api}
    - {kind: StatefulSet, selector: {matchLabels: {app: cart}}, service: cart}
  agentGuidance:
    focus: {areas: [src/checkout], reason: launch, until: "2027-01-31"}
    constraints: [{id: no-breaking, rule: Keep the API, scope: "src/**", severity: blocking, reason: r, until: "2027-01-31T00:00:00Z"}]
    preferences: [{id: small, preference: Small changes, reason: r}]
    questions: [{id: why, question: "Why?", priority: P2, context: c, status: open}]
    context: [{topic: t, content: c, source: s}]
---
apiVersion: contextcore.io/v1
kind: ProjectContext
metadata: {name: search, namespace: discovery}
spec:
  project: {id: shop}
  business: {criticality: critical}
"#;

const MAIN: &str = "
projects_file: projects
sources: [{name: jira, kind: jira, url: 'https://a.example', auth: {token: {env: T}}}]
";

fn derived() -> Derivation {
    let input = Input { file: "contexts.yaml".to_owned(), text: CONTEXTS.to_owned() };
    let settings = Settings::default();
    let (derivation, refused) = check(&[input], &settings).unwrap();
    assert!(refused.is_empty(), "{refused:?}");
    derivation
}

/// The configuration with these files in its directory of projects.
fn load(directory: &Path, files: &[(String, String)]) -> Config {
    let projects = directory.join("projects");
    fs::create_dir_all(&projects).unwrap();
    for (name, text) in files {
        fs::write(projects.join(name), text).unwrap();
    }
    let path = directory.join("contextcore.yaml");
    fs::write(&path, MAIN).unwrap();
    config::load(&path, &crate::app::kinds()).unwrap()
}

/// The files of the ConfigMaps, as they are when all of them are mounted at one place.
fn mounted(derivation: &Derivation) -> Vec<(String, String)> {
    let maps = derivation.objects.iter().filter(|object| {
        object["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("contextcore-projects-"))
    });
    let files = maps.flat_map(|map| map["data"].as_object().into_iter().flatten());
    files.map(|(name, text)| (name.clone(), text.as_str().unwrap().to_owned())).collect()
}

fn project(config: &Config) -> &ProjectConfig {
    assert!(config.projects_file.as_ref().unwrap().notes.is_empty(), "{:?}", config.projects_file);
    assert_eq!(config.projects.len(), 1);
    &config.projects[0]
}

#[test]
fn what_the_controller_writes_the_sync_service_reads() {
    let derivation = derived();
    let files = mounted(&derivation);
    assert_eq!(files.len(), 2);
    let directory = tempfile::tempdir().unwrap();
    let config = load(directory.path(), &files);
    let shop = project(&config);
    assert_eq!((shop.name.as_str(), shop.owner.as_deref()), ("Shop: \"the\" $platform", Some("shop-team")));
    assert_eq!((shop.criticality, shop.value.as_deref()), (Some(Criticality::Critical), Some("revenue-primary")));
    assert_eq!(
        (shop.epic.as_deref(), shop.repositories.as_slice()),
        (Some("EPIC-1"), ["acme/checkout".to_owned()].as_slice())
    );
    assert_eq!(shop.include, [("jira".to_owned(), "SHOP".to_owned())]);
    assert_eq!(shop.availability(), Some(99.95));
    assert_eq!(shop.latencies(), [("0.5", 0.05), ("0.9", 0.1), ("0.95", 0.15), ("0.99", 0.2)]);
    let [checkout, search] = shop.contexts.as_slice() else { panic!("{:?}", shop.contexts) };
    assert_eq!(search.place().as_deref(), Some("discovery/search"));
    assert_eq!(checkout.slos.len(), 5);
    assert_eq!((checkout.risks[0].id.as_deref(), checkout.risks[1].risk.as_str()), (Some("pci"), "A # bank\nis down"));
    assert_eq!(checkout.targets.len(), 2);
    // Nothing was lost on the way: what is read is what was written.
    let written = derivation.projects.iter().find(|entry| entry["context"]["name"] == "checkout").unwrap();
    for key in ["requirements", "risks", "design", "guidance", "slos", "targets"] {
        let read = json!(checkout)[key].clone();
        assert!(contains(&read, &written[key]), "{key}: {read:#} lacks something of {:#}", written[key]);
    }
}

/// Whether one value has everything of another. What was read has a null where nothing was written.
fn contains(read: &serde_json::Value, written: &serde_json::Value) -> bool {
    use serde_json::Value;
    match (read, written) {
        (Value::Object(read), Value::Object(written)) => {
            written.iter().all(|(key, value)| read.get(key).is_some_and(|read| contains(read, value)))
        }
        (Value::Array(read), Value::Array(written)) => {
            read.len() == written.len() && read.iter().zip(written).all(|(read, written)| contains(read, written))
        }
        (read, written) => read == written,
    }
}

#[test]
fn one_file_for_people_without_a_cluster_says_the_same() {
    let derivation = derived();
    let directory = tempfile::tempdir().unwrap();
    let whole = vec![("all.yaml".to_owned(), yaml::text(&json!({"projects": derivation.projects})))];
    let other = tempfile::tempdir().unwrap();
    let (one, many) = (load(directory.path(), &whole), load(other.path(), &mounted(&derivation)));
    assert_eq!(project(&one), project(&many));
    let none = derive(&[], &Settings::default());
    assert!(mounted(&none).is_empty());
}
