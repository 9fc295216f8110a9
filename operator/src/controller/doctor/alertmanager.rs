//! The doctor on Alertmanager: whether it takes the routes, for alerts of all namespaces.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::listing::place;
use super::finding::{Finding, good, note, wrong};
use super::labels::{labels, mismatch};
use super::scope::Scope;

/// The way of matching that routing needs: the one config for all namespaces is in Alertmanager's own.
const STRATEGY: &str = "OnNamespaceExceptForAlertmanagerNamespace";

/// Whether Alertmanager takes the routes, for alerts of all namespaces.
pub(super) async fn alertmanager(scope: &Scope<'_>) -> Vec<Finding> {
    let settings = scope.settings;
    if settings.channels.is_empty() {
        return vec![note("routing is off: the settings have no `channels`")];
    }
    let namespace = settings.routing.namespace.as_str();
    match scope.of_others("monitoring.coreos.com", "Alertmanager", &[Some(namespace)]).await {
        Err(message) => vec![note(message)],
        Ok(servers) => {
            let servers = servers.unwrap_or_default();
            if servers.is_empty() {
                return vec![wrong(format!(
                    "there is no Alertmanager in namespace {namespace}: correct routing.namespace in the settings"
                ))];
            }
            let labels = labels(settings);
            servers.iter().flat_map(|server| routes(server, &labels)).collect()
        }
    }
}

fn routes(server: &Value, labels: &BTreeMap<String, String>) -> Vec<Finding> {
    let name = place(server);
    let strategy = server["spec"]["alertmanagerConfigMatcherStrategy"]["type"].as_str().unwrap_or("OnNamespace");
    let first = if [STRATEGY, "None"].contains(&strategy) {
        good(format!("Alertmanager {name} routes alerts of all namespaces"))
    } else {
        wrong(format!(
            "Alertmanager {name} routes only alerts of its own namespace: set \
             spec.alertmanagerConfigMatcherStrategy.type to {STRATEGY}"
        ))
    };
    let second = match mismatch(&server["spec"]["alertmanagerConfigSelector"], labels) {
        None => good(format!("Alertmanager {name} selects our AlertmanagerConfig")),
        Some(why) => wrong(format!(
            "Alertmanager {name} does not select our AlertmanagerConfig: its alertmanagerConfigSelector {why}: add the label to \
             `objectLabels` of the settings, or widen the selector"
        )),
    };
    vec![first, second]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::finding::Level;
    use super::*;

    #[test]
    fn an_alertmanager_must_look_beyond_its_namespace() {
        let server = |strategy: &str| {
            json!({
                "metadata": {"name": "main", "namespace": "monitoring"},
                "spec": {"alertmanagerConfigMatcherStrategy": {"type": strategy}, "alertmanagerConfigSelector": {}},
            })
        };
        let levels =
            |server: &Value| routes(server, &BTreeMap::new()).iter().map(|found| found.level).collect::<Vec<_>>();
        assert_eq!(levels(&server(STRATEGY)), [Level::Good, Level::Good]);
        assert_eq!(levels(&server("OnNamespace")), [Level::Wrong, Level::Good]);
        assert_eq!(levels(&json!({})), [Level::Wrong, Level::Wrong]);
    }
}
