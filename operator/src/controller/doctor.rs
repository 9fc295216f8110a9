//! `controller doctor`: whether a cluster has what the controller needs, and whether others take up what it writes. Each finding says
//! what to do.

mod alertmanager;
mod definitions;
mod finding;
mod labels;
mod leftovers;
mod prometheus;
mod rights;
mod scope;

use kube::Client;
use serde_json::Value;

use super::kinds::Kind;
use super::lease;
use super::listing::{self, place};
use super::results::Verdict;
use super::shared;
use super::trouble;
use crate::derive::FRAGMENT;
use crate::settings::{CollectorMode, Settings};
pub use finding::{Finding, Level};
use finding::{good, note, wrong};
use scope::Scope;

/// Looks at everything; with `watched`, at nothing beyond these namespaces and those that the settings name.
///
/// # Errors
/// A message for a person when the cluster refuses to answer at all.
pub async fn examine(
    client: &Client,
    settings: &Settings,
    namespace: &str,
    watched: &[String],
) -> Result<Vec<Finding>, String> {
    let scope = Scope { client, settings, namespace, watched };
    let mut findings = definitions::definitions(&scope).await?;
    findings.extend(rights::rights(&scope).await?);
    findings.extend(leftovers::leftovers(&scope).await);
    findings.push(running(client, namespace).await);
    findings.extend(collector(&scope).await);
    findings.extend(prometheus::prometheus(&scope).await);
    findings.extend(alertmanager::alertmanager(&scope).await);
    findings.extend(contexts(&scope).await);
    Ok(findings)
}

async fn running(client: &Client, namespace: &str) -> Finding {
    match lease::holder(client, namespace).await {
        Ok(Some(holder)) => good(format!("{holder} holds the Lease {namespace}/{} and writes", lease::NAME)),
        Ok(None) => wrong(format!(
            "no controller holds the Lease {namespace}/{}: start `contextcore controller run`, or name its namespace with \
             --namespace",
            lease::NAME
        )),
        Err(error) => note(format!("whether a controller runs is not known: {}", trouble::refusal(&error))),
    }
}

/// Whether a collector takes up what is derived.
async fn collector(scope: &Scope<'_>) -> Vec<Finding> {
    let settings = scope.settings;
    match settings.collector.mode {
        CollectorMode::ConfigMap => vec![note(format!(
            "collector.mode is configMap: mount ConfigMap {}/{FRAGMENT} and pass it as a second --config; condition SamplingReady \
             says whether a collector loaded it",
            settings.namespace
        ))],
        CollectorMode::Managed => {
            vec![note("collector.mode is managed: the OpenTelemetry operator runs contextcore-gateway")]
        }
        CollectorMode::Attach => {
            let (namespace, name) = settings.collector.attached(&settings.namespace);
            let wanted = format!("{namespace}/{name}");
            vec![match listing::within(scope.client, &Kind::OpenTelemetryCollector.resource(), Some(namespace), "")
                .await
            {
                Err(message) => note(message),
                Ok(list) => match list.unwrap_or_default().iter().find(|collector| place(collector) == wanted) {
                    None => wrong(format!(
                        "OpenTelemetryCollector {wanted} does not exist: create it, or correct collector.name in the settings"
                    )),
                    Some(live) => of_verdict(&shared::attached(live, settings), &wanted),
                },
            }]
        }
    }
}

fn of_verdict(verdict: &Verdict, collector: &str) -> Finding {
    match verdict.status {
        "True" => good(format!("OpenTelemetryCollector {collector} samples by criticality")),
        _ => wrong(format!("OpenTelemetryCollector {collector} does not use the processors: {}", verdict.message)),
    }
}

/// Contexts that are not ready.
async fn contexts(scope: &Scope<'_>) -> Vec<Finding> {
    let contexts = match scope.contexts().await {
        Ok(Some(contexts)) => contexts,
        Ok(None) => return Vec::new(),
        Err(message) => return vec![note(message)],
    };
    let mut findings: Vec<Finding> = contexts.iter().filter_map(unready).collect();
    if findings.is_empty() {
        findings.push(good(format!("{} of {} contexts are ready", contexts.len(), contexts.len())));
    }
    findings
}

fn unready(context: &Value) -> Option<Finding> {
    let conditions = context["status"]["conditions"].as_array();
    let ready = conditions.into_iter().flatten().find(|condition| condition["type"] == "Ready");
    let text = |field: &str| ready.and_then(|ready| ready[field].as_str()).unwrap_or_default();
    match text("status") {
        "True" => None,
        "" => Some(wrong(format!("ProjectContext {} has no status: does a controller run?", place(context)))),
        "Unknown" => Some(note(format!("ProjectContext {}: {} {}", place(context), text("reason"), text("message")))),
        _ => Some(wrong(format!(
            "ProjectContext {} is not ready: {}: {}",
            place(context),
            text("reason"),
            text("message")
        ))),
    }
}
