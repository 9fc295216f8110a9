//! The status of a context, as far as it follows from the contexts and settings alone. What only the cluster knows stays Unknown
//! with reason Pending.

use serde_json::Value;

use super::plan::Plan;
use super::portfolio::Portfolio;
use super::refusal::Refusal;
use super::subject::Subject;
use super::{Outcome, projects, rules};
use crate::nearest;
use crate::resource::{Condition, ProjectContextStatus, ResourceReference};
use crate::settings::{GrafanaMode, Settings};
use crate::units;

pub(crate) fn outcome(
    subject: &Subject,
    plan: &Result<Plan, Refusal>,
    portfolio: &Portfolio,
    settings: &Settings,
    objects: &[Value],
) -> Outcome {
    let (namespace, name) = (subject.namespace.to_owned(), subject.name.to_owned());
    match plan {
        Err(refusal) => {
            let conditions = vec![
                condition(subject, "Accepted", "False", refusal.reason, &refusal.message),
                condition(subject, "Ready", "False", refusal.reason, &refusal.message),
            ];
            let status = status(subject, conditions);
            Outcome { namespace, name, criticality: subject.criticality(), status, notes: Vec::new() }
        }
        Ok(plan) => {
            let mut notes = plan.notes();
            notes.extend(projects::cut(plan));
            notes.extend(
                rules::without_page(plan)
                    .map(|name| format!("{name}: the objective is too low for a page, only tickets")),
            );
            notes.extend(unknown_derived_channels(plan, settings));
            notes.extend(unreadable_end(plan));
            let conditions = of_accepted(plan, portfolio, settings, &notes);
            let status = ProjectContextStatus {
                slo_count: i32::try_from(plan.objectives.slos.len()).ok(),
                derived: Some(plan.policy.derived.clone()),
                slos: slos(plan),
                resources: resources(plan, objects),
                ..status(subject, conditions)
            };
            Outcome { namespace, name, criticality: plan.policy.criticality, status, notes }
        }
    }
}

fn slos(plan: &Plan) -> Vec<crate::resource::SloStatus> {
    let sli = plan.subject.sli().profile;
    plan.objectives.slos.iter().map(|slo| slo.status(plan.objectives.window, sli.as_str())).collect()
}

fn status(subject: &Subject, conditions: Vec<Condition>) -> ProjectContextStatus {
    ProjectContextStatus {
        observed_generation: subject.context.metadata.generation,
        conditions,
        ..ProjectContextStatus::default()
    }
}

fn condition(subject: &Subject, kind: &str, status: &str, reason: &str, message: &str) -> Condition {
    Condition {
        kind: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: subject.context.metadata.generation,
        last_transition_time: None,
    }
}

fn of_accepted(plan: &Plan, portfolio: &Portfolio, settings: &Settings, notes: &[String]) -> Vec<Condition> {
    let subject = &plan.subject;
    let mut accepted = Vec::new();
    let differs = portfolio.differences(plan);
    if !differs.is_empty() {
        accepted.push(format!(
            "project {} has another {}, from an older context",
            subject.project(),
            differs.join(", ")
        ));
    }
    accepted.extend(notes.iter().cloned());
    let rules = rules_ready(plan);
    let routing = routing_ready(plan, settings);
    let dashboard = dashboard_ready(settings);
    let mut conditions = vec![condition(subject, "Accepted", "True", "Accepted", &accepted.join("; "))];
    let parts = [("RulesReady", rules), ("DashboardReady", dashboard), ("RoutingReady", routing)];
    let failed = parts.iter().find(|(_, (status, ..))| *status == "False").map(|(_, found)| found.clone());
    conditions.extend(
        parts.iter().map(|(kind, (status, reason, message))| condition(subject, kind, status, reason, message)),
    );
    let (status, reason, message) = failed.unwrap_or(("Unknown", "Pending", "not applied yet".to_owned()));
    conditions.push(condition(subject, "Ready", status, reason, &message));
    conditions
}

type Found = (&'static str, &'static str, String);

fn rules_ready(plan: &Plan) -> Found {
    let objectives = &plan.objectives;
    if objectives.slos.is_empty() && objectives.throughput.is_none() {
        return ("True", "NoRequirements", "spec.requirements asks for no objective, so there are no rules".to_owned());
    }
    ("Unknown", "Pending", "not applied yet".to_owned())
}

fn dashboard_ready(settings: &Settings) -> Found {
    match settings.grafana.mode() {
        None | Some(GrafanaMode::None) => {
            ("Unknown", "Disabled", "the settings have neither `grafana.url` nor another `grafana.mode`".to_owned())
        }
        Some(_) => ("Unknown", "Pending", "not applied yet".to_owned()),
    }
}

fn routing_ready(plan: &Plan, settings: &Settings) -> Found {
    if settings.channels.is_empty() {
        return ("Unknown", "Disabled", "the settings have no `channels`".to_owned());
    }
    let said =
        plan.subject.spec().observability.as_ref().map(|said| said.alert_channels.as_slice()).unwrap_or_default();
    if let Some(unknown) = said.iter().find(|channel| !settings.channels.contains_key(*channel)) {
        let known: Vec<&str> = settings.channels.keys().map(String::as_str).collect();
        let message = format!(
            "spec.observability.alertChannels: there is no channel {unknown}: {}",
            nearest::hint(unknown, &known)
        );
        return ("False", "UnknownChannel", message);
    }
    ("Unknown", "Pending", "not applied yet".to_owned())
}

/// Channels that follow from the owner and that nobody set up: worth a word, no failure.
fn unknown_derived_channels(plan: &Plan, settings: &Settings) -> Option<String> {
    let said = plan.subject.spec().observability.as_ref().is_some_and(|said| !said.alert_channels.is_empty());
    if said || settings.channels.is_empty() {
        return None;
    }
    let channels = &plan.policy.derived.alert_channels;
    let unknown: Vec<&str> =
        channels.iter().filter(|channel| !settings.channels.contains_key(*channel)).map(String::as_str).collect();
    (!unknown.is_empty())
        .then(|| format!("nobody set up the channels that follow from the owner: {}", unknown.join(", ")))
}

/// A day that only some years have, in another one. Nobody is then left without alerts.
fn unreadable_end(plan: &Plan) -> Option<String> {
    let until = &plan.subject.spec().observability.as_ref()?.disable_alerts.as_ref()?.until;
    units::until(until).is_none().then(|| {
        format!(
            "spec.observability.disableAlerts.until: {until} is not a day of that year, so the alerts stay on: correct it"
        )
    })
}

/// Objects made for this context alone.
fn resources(plan: &Plan, objects: &[Value]) -> Vec<ResourceReference> {
    let (namespace, name) = plan.subject.place();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let is_own = |object: &&Value| {
        let end = if object["kind"] == "ConfigMap" { "-env" } else { "" };
        object["metadata"]["namespace"] == namespace && object["metadata"]["name"] == format!("contextcore-{name}{end}")
    };
    let reference = |object: &Value| {
        let api = text(&object["apiVersion"]);
        ResourceReference {
            group: api.split_once('/').map(|(group, _)| group.to_owned()).unwrap_or_default(),
            kind: text(&object["kind"]),
            namespace: namespace.to_owned(),
            name: text(&object["metadata"]["name"]),
        }
    };
    objects.iter().filter(is_own).map(reference).collect()
}
