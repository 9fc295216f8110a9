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
            let reaches = if settings.routing.per_namespace { reads_all } else { routes_all };
            servers.iter().flat_map(|server| [reaches(server), selects(server, &labels)]).collect()
        }
    }
}

/// The one config for all namespaces must not be held to its own.
fn routes_all(server: &Value) -> Finding {
    let name = place(server);
    let strategy = server["spec"]["alertmanagerConfigMatcherStrategy"]["type"].as_str().unwrap_or("OnNamespace");
    if [STRATEGY, "None"].contains(&strategy) {
        return good(format!("Alertmanager {name} routes alerts of all namespaces"));
    }
    wrong(format!(
        "Alertmanager {name} routes only alerts of its own namespace: set \
         spec.alertmanagerConfigMatcherStrategy.type to {STRATEGY}"
    ))
}

/// A config in each namespace must be looked for there. Which namespaces a selector means, only the operator knows.
fn reads_all(server: &Value) -> Finding {
    let name = place(server);
    match &server["spec"]["alertmanagerConfigNamespaceSelector"] {
        Value::Null => wrong(format!(
            "Alertmanager {name} reads AlertmanagerConfigs of its own namespace only: set \
             spec.alertmanagerConfigNamespaceSelector to {{}}, or to labels that all namespaces with contexts have"
        )),
        selector if selector.as_object().is_some_and(serde_json::Map::is_empty) => {
            good(format!("Alertmanager {name} reads AlertmanagerConfigs of all namespaces"))
        }
        selector => note(format!(
            "Alertmanager {name} reads AlertmanagerConfigs of namespaces with {selector}: see that those with contexts are among them"
        )),
    }
}

fn selects(server: &Value, labels: &BTreeMap<String, String>) -> Finding {
    let name = place(server);
    match mismatch(&server["spec"]["alertmanagerConfigSelector"], labels) {
        None => good(format!("Alertmanager {name} selects our AlertmanagerConfig")),
        Some(why) => wrong(format!(
            "Alertmanager {name} does not select our AlertmanagerConfig: its alertmanagerConfigSelector {why}: add the label to \
             `objectLabels` of the settings, or widen the selector"
        )),
    }
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
        assert_eq!(routes_all(&server(STRATEGY)).level, Level::Good);
        assert_eq!(routes_all(&server("OnNamespace")).level, Level::Wrong);
        assert_eq!(routes_all(&json!({})).level, Level::Wrong);
        assert_eq!(selects(&server(STRATEGY), &BTreeMap::new()).level, Level::Good);
        assert_eq!(selects(&json!({}), &BTreeMap::new()).level, Level::Wrong);
    }

    #[test]
    fn where_each_namespace_has_routes_they_must_be_read_there() {
        let server = |selector: Value| json!({"spec": {"alertmanagerConfigNamespaceSelector": selector}});
        assert_eq!(reads_all(&json!({})).level, Level::Wrong);
        assert_eq!(reads_all(&server(json!({}))).level, Level::Good);
        assert_eq!(reads_all(&server(json!({"matchLabels": {"alerts": "yes"}}))).level, Level::Note);
    }
}
