//! Annotations on workloads: `project.id` for the collector, for pods that the OpenTelemetry operator injects into, and for other
//! agents. Only contexts that ask for it, and only where the settings allow it; what somebody else wrote is left.

use std::collections::BTreeSet;
use std::time::Duration;

use kube::api::{DynamicObject, ListParams, Patch, PatchParams};
use kube::{Api, Client, Error};
use serde_json::{Map, Value, json};

use super::kinds::Place;
use super::later::Matter;
use super::means::Passes;
use super::results::ObjectState;
use super::trouble;
use super::workload::{Annotated, Workload};
use crate::derive::{MANAGER, Outcome};
use crate::resource::{Annotate, ProjectContext, ResourceReference, Target, TargetKind};

/// Prefix that `k8sattributes` and the OpenTelemetry operator read.
const PREFIX: &str = "resource.opentelemetry.io/";
/// What was found in order is looked at again after this long.
const TRUST: Duration = Duration::from_secs(500);

/// What annotating a context came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) states: Vec<(String, ObjectState)>,
    pub(crate) resources: Vec<ResourceReference>,
    /// Which of the workloads found an older context has.
    pub(crate) conflict: Option<String>,
    /// Pods that start anew because of it.
    pub(crate) restarted: Vec<String>,
}

/// Annotates the workloads of a context, and takes back what it asks for no more.
pub(crate) async fn bring(passes: &Passes, place: &Place, context: &ProjectContext, outcome: &Outcome) -> Report {
    let mode = context.spec.observability.as_ref().map_or(Annotate::None, |said| said.annotate);
    let wanted = format!("{mode:?} {:?} {:?}", annotations(context, outcome), context.spec.targets);
    let matter = Matter::Workloads(place.clone());
    let (known, holds_still) = {
        let world = passes.world.lock();
        let failed = |known: &Annotated| {
            known.conflict.is_some() || known.states.iter().any(|(_, state)| *state != ObjectState::Applied)
        };
        let known = world.annotated.get(place).cloned();
        let is_due = known.as_ref().is_some_and(failed) && world.later.is_due(&matter, passes.clock());
        (known, !is_due)
    };
    let is_trusted = |known: &&Annotated| holds_still && known.wanted == wanted && passes.clock() < known.at + TRUST;
    if let Some(known) = known.as_ref().filter(is_trusted) {
        return Report {
            states: known.states.clone(),
            resources: known.workloads.iter().map(Workload::reference).collect(),
            conflict: known.conflict.clone(),
            restarted: Vec::new(),
        };
    }
    let mut before: BTreeSet<Workload> = known.map(|known| known.workloads).unwrap_or_default();
    before.extend(written(passes, place));
    let mut report = Report::default();
    let mut workloads = BTreeSet::new();
    if mode != Annotate::None {
        for target in targets(context) {
            match find(passes, place, &target).await {
                Ok(found) => {
                    report.states.extend(unmatched(place, &target, &found));
                    workloads.extend(found);
                }
                Err(message) => report.states.push((format!("{} {place}", target.kind), ObjectState::Failed(message))),
            }
        }
    }
    report.conflict = claim(passes, place, &mut workloads);
    for workload in &workloads {
        let body = body(workload, mode, &annotations(context, outcome));
        let state = annotate(passes, workload, body, mode, &mut report.restarted).await;
        report.states.push((workload.to_string(), state));
    }
    for workload in before.difference(&workloads) {
        let is_others = passes.world.lock().owners.release(workload, place);
        if !is_others {
            release_or_later(passes, workload).await;
        }
    }
    later(passes, matter, &workloads, &report);
    report.resources = workloads.iter().map(Workload::reference).collect();
    let done = Annotated {
        wanted,
        at: passes.clock(),
        workloads,
        states: report.states.clone(),
        conflict: report.conflict.clone(),
    };
    passes.world.lock().annotated.insert(place.clone(), done);
    report
}

/// Leaves out what an older context has, with words for it. From a younger one it is taken, and that one looks again.
fn claim(passes: &Passes, place: &Place, workloads: &mut BTreeSet<Workload>) -> Option<String> {
    let mut guard = passes.world.lock();
    let world = &mut *guard;
    let created = world.contexts.get(place).and_then(|seen| seen.created.as_ref());
    let age = created.map_or(i64::MAX, |at| at.0.as_second());
    // After a start of this process, the status says who annotated what.
    for (other, seen) in
        world.contexts.iter().filter(|(other, _)| *other != place && !world.annotated.contains_key(*other))
    {
        let age = seen.created.as_ref().map_or(i64::MAX, |at| at.0.as_second());
        let named = workloads.iter().filter(|workload| seen.status.resources.contains(&workload.reference()));
        for workload in named {
            // Whoever is older has it already, which is as well.
            drop(world.owners.claim(workload, age, other));
        }
    }
    let mut taken = Vec::new();
    workloads.retain(|workload| match world.owners.claim(workload, age, place) {
        Ok(()) => true,
        Err(other) => {
            taken.push(format!("{workload} is claimed by {other}"));
            false
        }
    });
    for (_, annotated) in world.annotated.iter_mut().filter(|(other, _)| *other != place) {
        if annotated.workloads.iter().any(|workload| workloads.contains(workload)) {
            annotated.wanted.clear();
        }
    }
    (!taken.is_empty()).then(|| {
        format!(
            "{}, which is older: narrow the selector, or remove it from spec.targets of one of the two",
            taken.join(", ")
        )
    })
}

/// What to say of a selector that matches nothing.
fn unmatched(place: &Place, target: &Target, found: &[Workload]) -> Option<(String, ObjectState)> {
    let selector = target.selector.as_ref().filter(|_| found.is_empty())?;
    let labels: Vec<String> = selector.match_labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let (kind, within, labels) = (target.kind, &place.namespace, labels.join(","));
    let message = format!("no {kind} in {within} has {labels}, so none was annotated: correct spec.targets");
    Some((format!("{kind} {within} with {labels}"), ObjectState::Failed(message)))
}

/// What failed is tried again: the workload may come, or the right to write it. What is annotated has nothing to take back any more.
fn later(passes: &Passes, matter: Matter, workloads: &BTreeSet<Workload>, report: &Report) {
    let mut world = passes.world.lock();
    if report.conflict.is_some() || report.states.iter().any(|(_, state)| *state != ObjectState::Applied) {
        world.later.put_off(matter, passes.clock());
    } else {
        world.later.settle(&matter);
    }
    for workload in workloads {
        world.later.settle(&Matter::Release(workload.clone()));
    }
}

/// Takes the annotations of a context back that is gone.
pub(crate) async fn release_all(passes: &Passes, place: &Place) {
    let known = {
        let mut world = passes.world.lock();
        let known = world.annotated.remove(place);
        world.owners.forget(place);
        known
    };
    for workload in known.into_iter().flat_map(|known| known.workloads) {
        let is_others = passes.world.lock().owners.release(&workload, place);
        if !is_others {
            release_or_later(passes, &workload).await;
        }
    }
}

/// Workloads that the status names: an earlier process annotated them.
fn written(passes: &Passes, place: &Place) -> Vec<Workload> {
    let world = passes.world.lock();
    let resources = world.contexts.get(place).map(|seen| seen.status.resources.clone()).unwrap_or_default();
    let ours = resources.into_iter().filter(|resource| matches!(resource.group.as_str(), "apps" | "batch"));
    ours.map(|found| Workload { kind: found.kind, namespace: found.namespace, name: found.name }).collect()
}

fn annotations(context: &ProjectContext, outcome: &Outcome) -> Map<String, Value> {
    let mut found = Map::new();
    let mut set = |key: &str, value: &str| found.insert(format!("{PREFIX}{key}"), value.into());
    set("project.id", &context.spec.project.id);
    set("business.criticality", outcome.criticality.as_str());
    if let Some(owner) = context.spec.business.as_ref().and_then(|business| business.owner.as_deref()) {
        set("business.owner", owner);
    }
    found
}

fn targets(context: &ProjectContext) -> Vec<Target> {
    if !context.spec.targets.is_empty() {
        return context.spec.targets.clone();
    }
    let name = context.metadata.name.clone();
    vec![Target { kind: TargetKind::Deployment, name, selector: None, service: None }]
}

async fn find(passes: &Passes, place: &Place, target: &Target) -> Result<Vec<Workload>, String> {
    let kind = target.kind.to_string();
    let of = |name: String| Workload { kind: kind.clone(), namespace: place.namespace.clone(), name };
    let Some(selector) = &target.selector else {
        return Ok(target.name.iter().cloned().map(of).collect());
    };
    let labels: Vec<String> = selector.match_labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let list =
        api(&passes.client, &of(String::new())).list_metadata(&ListParams::default().labels(&labels.join(","))).await;
    let list = list.map_err(|error| refusal(&of("*".to_owned()), &error))?;
    Ok(list.items.into_iter().filter_map(|object| object.metadata.name).map(of).collect())
}

/// The fields that are ours.
fn body(workload: &Workload, mode: Annotate, annotations: &Map<String, Value>) -> Value {
    let template = json!({"metadata": {"annotations": annotations}});
    let mut body = workload.empty();
    match (mode, workload.kind.as_str()) {
        (Annotate::PodTemplate, "CronJob") => {
            body["spec"] = json!({"jobTemplate": {"spec": {"template": template}}});
        }
        (Annotate::PodTemplate, _) => body["spec"] = json!({"template": template}),
        _ => body["metadata"]["annotations"] = json!(annotations),
    }
    body
}

async fn annotate(
    passes: &Passes,
    workload: &Workload,
    mut body: Value,
    mode: Annotate,
    restarted: &mut Vec<String>,
) -> ObjectState {
    if mode == Annotate::PodTemplate && workload.kind == "Job" {
        let message = format!("{workload}: the template of a Job cannot change: use observability.annotate: Workload");
        return ObjectState::Failed(message);
    }
    let live = match api(&passes.client, workload).get_opt(&workload.name).await {
        Ok(Some(live)) => serde_json::to_value(live).unwrap_or_default(),
        Ok(None) => {
            let message = format!("{workload} does not exist, so it was not annotated: correct spec.targets");
            return ObjectState::Failed(message);
        }
        Err(error) => return ObjectState::Failed(refusal(workload, &error)),
    };
    if holds(&live, &body) {
        return ObjectState::Applied;
    }
    body["metadata"]["uid"] = live["metadata"]["uid"].clone();
    let params = PatchParams::apply(MANAGER);
    match api(&passes.client, workload).patch_metadata(&workload.name, &params, &Patch::Apply(&body)).await {
        Ok(_) => {
            if mode == Annotate::PodTemplate {
                restarted.push(workload.to_string());
            }
            ObjectState::Applied
        }
        Err(error) => ObjectState::Failed(refusal(workload, &error)),
    }
}

/// Whether all of ours is in it already.
fn holds(live: &Value, ours: &Value) -> bool {
    match (live, ours) {
        (Value::Object(live), Value::Object(ours)) => {
            ours.iter().all(|(key, value)| live.get(key).is_some_and(|live| holds(live, value)))
        }
        _ => live == ours,
    }
}

/// Takes our fields out again: what a manager applies no more goes.
///
/// # Errors
/// A message for a person.
pub(crate) async fn release(client: &Client, workload: &Workload) -> Result<(), String> {
    let api = api(client, workload);
    let live = api.get_metadata_opt(&workload.name).await.map_err(|error| refusal(workload, &error))?;
    let Some(live) = live else { return Ok(()) };
    let mut body = workload.empty();
    body["metadata"]["uid"] = json!(live.metadata.uid);
    let released = api.patch_metadata(&workload.name, &PatchParams::apply(MANAGER), &Patch::Apply(&body)).await;
    released.map(drop).map_err(|error| refusal(workload, &error))
}

/// Takes our fields out again, or says why not and leaves it to a later pass.
pub(crate) async fn release_or_later(passes: &Passes, workload: &Workload) {
    let matter = Matter::Release(workload.clone());
    let released = release(&passes.client, workload).await;
    let mut world = passes.world.lock();
    match released {
        Ok(()) => world.later.settle(&matter),
        Err(message) => {
            tracing::warn!("{message}");
            world.later.put_off(matter, passes.clock());
        }
    }
}

fn refusal(workload: &Workload, error: &Error) -> String {
    match error {
        Error::Api(status) if status.code == 403 => {
            format!("{}: grant the controller get, list and patch on workloads, or leave annotate off", status.message)
        }
        Error::Api(status) => format!("{workload}: {}", status.message),
        other => format!("{workload}: the API server cannot be reached: {}", trouble::chain(other)),
    }
}

fn api(client: &Client, workload: &Workload) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), &workload.namespace, &workload.resource())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(kind: &str) -> Workload {
        Workload { kind: kind.into(), namespace: "shop".into(), name: "a".into() }
    }

    #[test]
    fn annotations_go_where_the_context_says() {
        let annotations = Map::from_iter([("k".to_owned(), json!("v"))]);
        let at = |kind: &str, mode| body(&workload(kind), mode, &annotations);
        assert_eq!(at("Deployment", Annotate::Workload)["metadata"]["annotations"]["k"], "v");
        assert_eq!(at("Deployment", Annotate::Workload).get("spec"), None);
        assert_eq!(at("Deployment", Annotate::PodTemplate)["spec"]["template"]["metadata"]["annotations"]["k"], "v");
        let cron = at("CronJob", Annotate::PodTemplate);
        assert_eq!(cron["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["annotations"]["k"], "v");
        assert_eq!(at("CronJob", Annotate::Workload)["apiVersion"], "batch/v1");
    }

    #[test]
    fn a_selector_that_matches_nothing_says_so() {
        let target: Target =
            serde_json::from_value(json!({"kind": "Deployment", "selector": {"matchLabels": {"app": "x"}}})).unwrap();
        let place = Place { namespace: "shop".into(), name: "a".into() };
        let (name, state) = unmatched(&place, &target, &[]).unwrap();
        let ObjectState::Failed(message) = state else { panic!() };
        assert!(name.contains("app=x") && message.contains("no Deployment in shop has app=x"), "{name}: {message}");
        assert!(unmatched(&place, &target, &[workload("Deployment")]).is_none());
        let named = Target { name: Some("a".into()), selector: None, ..target };
        assert!(unmatched(&place, &named, &[]).is_none());
    }

    #[test]
    fn what_is_there_already_is_not_written() {
        let ours = json!({"metadata": {"annotations": {"k": "v"}}});
        assert!(holds(&json!({"metadata": {"annotations": {"k": "v", "other": "x"}}, "spec": {}}), &ours));
        assert!(!holds(&json!({"metadata": {"annotations": {"k": "w"}}}), &ours));
        assert!(!holds(&json!({"metadata": {}}), &ours));
    }
}
