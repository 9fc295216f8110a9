//! `controller prune`: takes everything out of a cluster that one installation put there. Rules outlive the controller and its chart,
//! because alerts must not end with an upgrade that failed; this is how they go.

use std::collections::BTreeSet;

use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::annotate;
use super::apply;
use super::kinds::{Key, Kind};
use super::lease;
use super::listing::{of_kind, of_others, place};
use super::trouble;
use super::workload::Workload;
use crate::derive::{INSTANCE, MANAGED_BY, MANAGER, SAMPLING, TRANSFORM};
use crate::settings::Settings;

/// What was done, line by line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// What was done, or would be.
    pub done: Vec<String>,
    /// What is still there, and why.
    pub survives: Vec<String>,
    /// What a person should know before.
    pub warnings: Vec<String>,
    /// What could not be done.
    pub failed: Vec<String>,
}

/// Removes all objects of the installation that the settings name.
///
/// # Errors
/// Lines for a person when nothing was removed: a pipeline still names our processors, or a list was refused.
pub async fn prune(
    client: &Client,
    settings: &Settings,
    namespace: &str,
    dry_run: bool,
) -> Result<Pruned, Vec<String>> {
    let one = |line: String| vec![line];
    let collectors = of_kind(client, Kind::OpenTelemetryCollector, "").await.map_err(one)?.unwrap_or_default();
    // A gateway of an installation, ours or another, is deleted whole with its installation.
    let foreign: Vec<&Value> =
        collectors.iter().filter(|collector| collector["metadata"]["labels"][INSTANCE].is_null()).collect();
    let named: Vec<String> = foreign.iter().flat_map(|collector| named_in(collector)).collect();
    if !named.is_empty() {
        return Err(named);
    }
    let mut pruned = Pruned { warnings: warning(client, namespace).await, ..Pruned::default() };
    for collector in foreign.into_iter().filter(|collector| has_ours(collector)) {
        detach(client, collector, dry_run, &mut pruned).await;
    }
    let contexts = of_others(client, "contextcore.io", "v1", "ProjectContext").await.map_err(one)?;
    for context in contexts.iter().flatten() {
        release(client, context, dry_run, &mut pruned).await;
    }
    for kind in Kind::ALL {
        let labels = format!("{MANAGED_BY}={MANAGER}");
        let Some(objects) = of_kind(client, kind, &labels).await.map_err(one)? else { continue };
        for object in objects {
            remove(client, kind, &object, &settings.instance, dry_run, &mut pruned).await;
        }
    }
    if let Some(contexts) = contexts {
        pruned
            .survives
            .extend(contexts.iter().map(|context| format!("ProjectContext {}: delete it yourself", place(context))));
        pruned.survives.push(
            "CustomResourceDefinition projectcontexts.contextcore.io: delete it last, all contexts go with it"
                .to_owned(),
        );
    }
    Ok(pruned)
}

async fn warning(client: &Client, namespace: &str) -> Vec<String> {
    let holder = lease::holder(client, namespace).await.ok().flatten();
    let line = |holder: String| {
        format!(
            "{holder} holds the Lease {namespace}/{}: if this controller still runs, it writes again what is removed here; scale it \
             to zero first",
            lease::NAME
        )
    };
    holder.map(line).into_iter().collect()
}

fn is_instance(object: &Value, instance: &str) -> bool {
    object["metadata"]["labels"][INSTANCE] == instance
}

/// Pipelines that would not start without our processors.
fn named_in(collector: &Value) -> Vec<String> {
    let pipelines = collector["spec"]["config"]["service"]["pipelines"].as_object();
    let mut lines = Vec::new();
    for (pipeline, parts) in pipelines.into_iter().flatten() {
        let processors = parts["processors"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let ours: BTreeSet<&str> = processors.filter(|name| [TRANSFORM, SAMPLING].contains(name)).collect();
        if !ours.is_empty() {
            let names = ours.into_iter().collect::<Vec<_>>().join(" and ");
            lines.push(format!(
                "nothing was removed: pipeline {pipeline} of OpenTelemetryCollector {} names {names} and would not start \
                 without: take them out of the pipeline first",
                place(collector)
            ));
        }
    }
    lines
}

fn has_ours(collector: &Value) -> bool {
    [TRANSFORM, SAMPLING].iter().any(|name| !collector["spec"]["config"]["processors"][*name].is_null())
}

async fn detach(client: &Client, collector: &Value, dry_run: bool, pruned: &mut Pruned) {
    let what = format!("OpenTelemetryCollector {}", place(collector));
    if dry_run {
        pruned.done.push(format!("would take {TRANSFORM} and {SAMPLING} out of {what}"));
        return;
    }
    let metadata = &collector["metadata"];
    let body = json!({
        "apiVersion": collector["apiVersion"],
        "kind": collector["kind"],
        "metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]},
        "spec": {"config": {"processors": {}}},
    });
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let api: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), &text(&metadata["namespace"]), &Kind::OpenTelemetryCollector.resource());
    match api.patch(&text(&metadata["name"]), &PatchParams::apply(MANAGER), &Patch::Apply(&body)).await {
        Ok(left) if has_ours(&serde_json::to_value(&left).unwrap_or_default()) => {
            pruned.survives.push(format!("processors in {what} that somebody else wrote as well"));
        }
        Ok(_) => pruned.done.push(format!("took {TRANSFORM} and {SAMPLING} out of {what}")),
        Err(error) => pruned.failed.push(format!("{what}: {}", trouble::chain(&error))),
    }
}

/// Takes back what was annotated for a context.
async fn release(client: &Client, context: &Value, dry_run: bool, pruned: &mut Pruned) {
    for resource in context["status"]["resources"].as_array().into_iter().flatten() {
        let Some(workload) = Workload::of(resource) else { continue };
        if dry_run {
            pruned.done.push(format!("would take our annotations off {workload}"));
            continue;
        }
        match annotate::release(client, &workload).await {
            Ok(()) => pruned.done.push(format!("took our annotations off {workload}")),
            Err(message) => pruned.failed.push(message),
        }
    }
}

async fn remove(client: &Client, kind: Kind, object: &Value, instance: &str, dry_run: bool, pruned: &mut Pruned) {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    let key = Key { kind, namespace: text("namespace"), name: text("name") };
    if !is_instance(object, instance) {
        let other = object["metadata"]["labels"][INSTANCE].as_str().unwrap_or("none");
        pruned.survives.push(format!("{key}: of installation {other}, not {instance}"));
    } else if dry_run {
        pruned.done.push(format!("would delete {key}"));
    } else {
        match apply::delete(client, &key, &text("uid")).await {
            Ok(()) => pruned.done.push(format!("deleted {key}")),
            Err(error) => pruned.failed.push(trouble::of_write(&key, &error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipeline_that_names_our_processors_is_named() {
        let collector = json!({
            "metadata": {"name": "otel", "namespace": "observability"},
            "spec": {"config": {"service": {"pipelines": {
                "traces": {"processors": ["k8sattributes", TRANSFORM, SAMPLING]},
                "logs": {"processors": ["batch"]},
            }}}},
        });
        let lines = named_in(&collector);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].contains("pipeline traces of OpenTelemetryCollector observability/otel"), "{}", lines[0]);
        assert!(!has_ours(&collector));
    }
}
