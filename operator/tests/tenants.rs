//! What one tenant cannot take from another: the tasks of its project.

use contextcore_operator::derive::derive;
use contextcore_operator::resource::ProjectContext;
use contextcore_operator::settings::Settings;
use serde_json::{Value, json};

use super::rig::{context, settings};

/// A context of a project that includes native projects of a source called jira.
fn includes(namespace: &str, name: &str, project: &str, native: &[&str], created: &str) -> ProjectContext {
    let pairs: Vec<Value> = native.iter().map(|native| json!({"source": "jira", "project": native})).collect();
    let spec = json!({"project": {"id": project, "include": pairs}, "targets": [{"kind": "Job", "name": name}]});
    let mut context = context(namespace, name, &spec);
    context.metadata.creation_timestamp = Some(serde_json::from_value(json!(created)).unwrap());
    context
}

/// Reason and message of `Accepted` of each.
fn accepted(contexts: &[ProjectContext], settings: &Settings) -> Vec<(String, String)> {
    let found = derive(contexts, settings);
    let of = |outcome: &contextcore_operator::derive::Outcome| {
        let condition = &outcome.status.conditions[0];
        (condition.reason.clone(), condition.message.clone())
    };
    found.outcomes.iter().map(of).collect()
}

#[test]
fn a_native_project_stays_with_the_older_context() {
    let thief = includes("a", "thief", "pay", &["PAY", "SHOP"], "2026-02-01T00:00:00Z");
    let victim = includes("b", "victim", "shop", &["SHOP"], "2026-01-01T00:00:00Z");
    let sister = includes("b", "sister", "shop", &["SHOP"], "2026-03-01T00:00:00Z");
    let all = [thief, victim, sister];
    let found = accepted(&all, &Settings::default());
    assert_eq!(found[0].0, "ConflictingTarget");
    assert_eq!(
        found[0].1,
        "spec.project.include: SHOP of jira belongs to project shop by b/victim, which is older: remove it from one of the two"
    );
    assert_eq!((found[1].0.as_str(), found[2].0.as_str()), ("Accepted", "Accepted"));
    // Nothing of the refused one reaches the sync service.
    let projects = derive(&all, &Settings::default()).projects;
    assert!(projects.iter().all(|entry| entry["id"] == "shop"), "{projects:?}");
}

#[test]
fn a_native_project_that_is_kept_for_a_project_is_nobody_elses() {
    let first = includes("a", "first", "pay", &["SHOP"], "2026-01-01T00:00:00Z");
    let kept = settings("projects: {shop: {namespaces: [b], include: [{source: jira, project: SHOP}]}}\n");
    let found = accepted(std::slice::from_ref(&first), &kept);
    assert_eq!(found[0].0, "NotPermitted");
    assert!(found[0].1.starts_with("spec.project.include: SHOP of jira is kept for project shop:"), "{found:?}");
    let own = includes("b", "own", "shop", &["SHOP"], "2026-02-01T00:00:00Z");
    assert_eq!(accepted(&[own, first], &kept)[1].0, "Accepted");
}
