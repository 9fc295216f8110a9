//! `controller doctor`: whether a cluster has what the controller needs, and whether others take up what it writes. Each finding says
//! what to do.

use std::collections::BTreeMap;

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::PostParams;
use kube::{Api, Client, Error};
use serde_json::Value;

use super::guard::DEFINITION;
use super::kinds::Kind;
use super::lease;
use super::listing::{of_kind, of_others, place};
use super::shared;
use super::trouble;
use crate::crd;
use crate::derive::{FRAGMENT, INSTANCE, MANAGED_BY, MANAGER};
use crate::settings::{CollectorMode, GrafanaMode, Settings};
use crate::units;

/// The way of matching that routing needs: the one config for all namespaces is in Alertmanager's own.
const STRATEGY: &str = "OnNamespaceExceptForAlertmanagerNamespace";

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How it is.
    pub level: Level,
    /// What it is, and what to do.
    pub line: String,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// As it should be.
    Good,
    /// It cannot be known, or is off by choice.
    Note,
    /// Something must be done.
    Wrong,
}

fn good(line: impl Into<String>) -> Finding {
    Finding { level: Level::Good, line: line.into() }
}

fn note(line: impl Into<String>) -> Finding {
    Finding { level: Level::Note, line: line.into() }
}

fn wrong(line: impl Into<String>) -> Finding {
    Finding { level: Level::Wrong, line: line.into() }
}

/// Looks at everything.
///
/// # Errors
/// Words for a person when the cluster refuses to answer at all.
pub async fn examine(client: &Client, settings: &Settings, namespace: &str) -> Result<Vec<Finding>, String> {
    let mut findings = definitions(client, settings).await?;
    findings.extend(rights(client, settings, namespace).await?);
    findings.push(running(client, namespace).await);
    findings.extend(collector(client, settings).await);
    findings.extend(prometheus(client, settings).await);
    findings.extend(alertmanager(client, settings).await);
    findings.extend(contexts(client).await);
    Ok(findings)
}

/// Our definition, and those of the operators whose objects we write.
async fn definitions(client: &Client, settings: &Settings) -> Result<Vec<Finding>, String> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let mut findings = vec![match api.get_metadata_opt(DEFINITION).await.map_err(|error| refusal(&error))? {
        None => wrong(format!(
            "{DEFINITION} is not installed: `contextcore controller crd | kubectl apply --server-side -f -`"
        )),
        Some(found) => same_schema(found.metadata.annotations.unwrap_or_default().get(crd::HASH_ANNOTATION)),
    }];
    for kind in needed(settings) {
        let Some(name) = kind.definition() else { continue };
        findings.push(match api.get_metadata_opt(&name).await.map_err(|error| refusal(&error))? {
            Some(_) => good(format!("{name} is installed")),
            None => wrong(format!("{name} is not installed: install the {}; it is noticed at once", kind.operator())),
        });
    }
    Ok(findings)
}

fn refusal(error: &Error) -> String {
    match error {
        Error::Api(status) => format!("{}: ask for the right to get it", status.message),
        other => format!("the API server cannot be reached: {}", trouble::chain(other)),
    }
}

fn same_schema(served: Option<&String>) -> Finding {
    let own = crd::definition();
    let own = own["metadata"]["annotations"][crd::HASH_ANNOTATION].as_str().unwrap_or_default();
    match served {
        Some(served) if served == own => good(format!("{DEFINITION} is installed, with the schema of this program")),
        _ => wrong(format!(
            "{DEFINITION} is installed with another schema than that of this program: `contextcore controller crd | kubectl \
             apply --server-side -f -`"
        )),
    }
}

fn needed(settings: &Settings) -> Vec<Kind> {
    let mut kinds = vec![Kind::PrometheusRule, Kind::ServiceMonitor];
    if !settings.channels.is_empty() {
        kinds.push(Kind::AlertmanagerConfig);
    }
    if settings.grafana.mode() == Some(GrafanaMode::GrafanaOperator) {
        kinds.extend([Kind::GrafanaFolder, Kind::GrafanaDashboard]);
    }
    if settings.collector.mode != CollectorMode::ConfigMap {
        kinds.push(Kind::OpenTelemetryCollector);
    }
    kinds
}

/// A right that the controller needs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Right {
    group: &'static str,
    resource: &'static str,
    subresource: Option<&'static str>,
    verbs: &'static [&'static str],
    namespace: Option<String>,
    /// The only object it is needed for; a role may name it.
    name: Option<&'static str>,
}

const ALL_VERBS: &[&str] = &["get", "list", "watch", "create", "patch", "delete"];

/// All rights that the controller needs with these settings.
fn needed_rights(settings: &Settings, namespace: &str) -> Vec<Right> {
    let right =
        |group, resource, verbs| Right { group, resource, subresource: None, verbs, namespace: None, name: None };
    let within = |right: Right, namespace: &str| Right { namespace: Some(namespace.to_owned()), ..right };
    let sub = |right: Right, subresource| Right { subresource: Some(subresource), ..right };
    let contexts = || right("contextcore.io", "projectcontexts", &["get", "list", "watch"]);
    let config_maps = || right("", "configmaps", ALL_VERBS);
    let mut rights = vec![
        contexts(),
        sub(Right { verbs: &["patch"], ..contexts() }, "status"),
        sub(Right { verbs: &["update"], ..contexts() }, "finalizers"),
        right("monitoring.coreos.com", "prometheusrules", ALL_VERBS),
        right("monitoring.coreos.com", "servicemonitors", ALL_VERBS),
        right("events.k8s.io", "events", &["create"]),
        right("apiextensions.k8s.io", "customresourcedefinitions", &["list", "watch"]),
        within(right("coordination.k8s.io", "leases", &["create"]), namespace),
        Right {
            name: Some(lease::NAME),
            ..within(right("coordination.k8s.io", "leases", &["get", "update"]), namespace)
        },
        if settings.env.enabled { config_maps() } else { within(config_maps(), &settings.namespace) },
    ];
    if !settings.channels.is_empty() {
        rights.push(within(
            right("monitoring.coreos.com", "alertmanagerconfigs", ALL_VERBS),
            &settings.routing.namespace,
        ));
    }
    let collectors = |verbs| right("opentelemetry.io", "opentelemetrycollectors", verbs);
    match settings.collector.mode {
        CollectorMode::ConfigMap => {}
        CollectorMode::Attach => {
            let (namespace, _) = settings.collector.attached(&settings.namespace);
            rights.push(within(collectors(&["get", "list", "watch", "patch"]), namespace));
        }
        CollectorMode::Managed => rights.push(within(collectors(ALL_VERBS), &settings.namespace)),
    }
    if settings.grafana.mode() == Some(GrafanaMode::GrafanaOperator) {
        rights.push(right("grafana.integreatly.org", "grafanadashboards", ALL_VERBS));
        rights.push(within(right("grafana.integreatly.org", "grafanafolders", ALL_VERBS), &settings.namespace));
    }
    if settings.annotate.enabled {
        for (group, resource) in [
            ("apps", "deployments"),
            ("apps", "statefulsets"),
            ("apps", "daemonsets"),
            ("batch", "jobs"),
            ("batch", "cronjobs"),
        ] {
            rights.push(right(group, resource, &["get", "list", "patch"]));
        }
    }
    rights
}

async fn rights(client: &Client, settings: &Settings, namespace: &str) -> Result<Vec<Finding>, String> {
    let mut findings = Vec::new();
    for right in needed_rights(settings, namespace) {
        let mut missing = Vec::new();
        for verb in right.verbs {
            if !is_allowed(client, &right, verb).await.map_err(|error| refusal(&error))? {
                missing.push(*verb);
            }
        }
        if !missing.is_empty() {
            findings.push(wrong(format!("{} on {} is not allowed: grant it", missing.join(", "), right.words())));
        }
    }
    if findings.is_empty() {
        findings.push(good("everything that the controller does is allowed"));
    }
    Ok(findings)
}

impl Right {
    fn words(&self) -> String {
        let part = self.subresource.or(self.name);
        let resource = part.map_or_else(|| self.resource.to_owned(), |part| format!("{}/{part}", self.resource));
        let group = if self.group.is_empty() { String::new() } else { format!(".{}", self.group) };
        match &self.namespace {
            Some(namespace) => format!("{resource}{group} in namespace {namespace}"),
            None => format!("{resource}{group} in the whole cluster"),
        }
    }
}

async fn is_allowed(client: &Client, right: &Right, verb: &str) -> Result<bool, Error> {
    let attributes = ResourceAttributes {
        group: Some(right.group.to_owned()),
        resource: Some(right.resource.to_owned()),
        subresource: right.subresource.map(str::to_owned),
        namespace: right.namespace.clone(),
        name: right.name.map(str::to_owned),
        verb: Some(verb.to_owned()),
        ..ResourceAttributes::default()
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let answer = Api::<SelfSubjectAccessReview>::all(client.clone()).create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

async fn running(client: &Client, namespace: &str) -> Finding {
    match lease::holder(client, namespace).await {
        Ok(Some(holder)) => good(format!("{holder} holds the Lease {namespace}/{} and writes", lease::NAME)),
        Ok(None) => wrong(format!(
            "no controller holds the Lease {namespace}/{}: start `contextcore controller run`, or name its namespace with \
             --namespace",
            lease::NAME
        )),
        Err(error) => note(format!("whether a controller runs is not known: {}", refusal(&error))),
    }
}

/// Whether a collector takes up what is derived.
async fn collector(client: &Client, settings: &Settings) -> Vec<Finding> {
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
            vec![match of_kind(client, Kind::OpenTelemetryCollector, "").await {
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

fn of_verdict(verdict: &super::results::Verdict, collector: &str) -> Finding {
    match verdict.status {
        "True" => good(format!("OpenTelemetryCollector {collector} samples by criticality")),
        _ => wrong(format!("OpenTelemetryCollector {collector} does not use the processors: {}", verdict.message)),
    }
}

/// Whether Prometheus selects our rules and monitors, and keeps data for the periods of the objectives.
async fn prometheus(client: &Client, settings: &Settings) -> Vec<Finding> {
    let servers = match of_others(client, "monitoring.coreos.com", "v1", "Prometheus").await {
        Ok(Some(servers)) if !servers.is_empty() => servers,
        Ok(_) => {
            return vec![note(
                "no Prometheus of the Prometheus operator was found: rules are not compared with selectors",
            )];
        }
        Err(message) => return vec![note(message)],
    };
    let labels = labels(settings);
    let mut findings: Vec<Finding> = servers.iter().flat_map(|server| selection(server, &labels)).collect();
    let longest = match of_others(client, "contextcore.io", "v1", "ProjectContext").await {
        Ok(contexts) => contexts.unwrap_or_default().iter().filter_map(window_days).max(),
        Err(_) => None,
    };
    findings.extend(servers.iter().filter_map(|server| retention(server, longest?)));
    match of_kind(client, Kind::PrometheusRule, &format!("{MANAGED_BY}={MANAGER}")).await {
        Ok(rules) => findings.extend(bound(&rules.unwrap_or_default())),
        Err(message) => findings.push(note(message)),
    }
    findings
}

/// Labels of all our monitoring objects.
fn labels(settings: &Settings) -> BTreeMap<String, String> {
    let mut labels = settings.object_labels.clone();
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels.insert(INSTANCE.to_owned(), settings.instance.clone());
    labels
}

/// Compares the selectors of a Prometheus with our labels.
fn selection(server: &Value, labels: &BTreeMap<String, String>) -> Vec<Finding> {
    let fields = [("ruleSelector", "PrometheusRules"), ("serviceMonitorSelector", "ServiceMonitors")];
    let finding = |(field, what): (&str, &str)| {
        let selector = &server["spec"][field];
        match mismatch(selector, labels) {
            None => good(format!("Prometheus {} selects our {what}", place(server))),
            Some(why) => wrong(format!(
                "Prometheus {} does not select our {what}: its {field} {why}: add the label to `objectLabels` of the settings, or \
                 widen the selector",
                place(server)
            )),
        }
    };
    fields.into_iter().map(finding).collect()
}

/// Why a selector does not match; `None`: it does. An absent selector selects nothing, an empty one everything.
fn mismatch(selector: &Value, labels: &BTreeMap<String, String>) -> Option<String> {
    if selector.is_null() {
        return Some("is absent, which selects nothing".to_owned());
    }
    for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        if labels.get(key).map(String::as_str) != Some(value) {
            return Some(format!("wants {key}: {value}"));
        }
    }
    selector["matchExpressions"].as_array().into_iter().flatten().find_map(|expression| unmet(expression, labels))
}

fn unmet(expression: &Value, labels: &BTreeMap<String, String>) -> Option<String> {
    let key = expression["key"].as_str().unwrap_or_default();
    let operator = expression["operator"].as_str().unwrap_or_default();
    let values: Vec<&str> = expression["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let has = labels.get(key).map(String::as_str);
    let met = match operator {
        "In" => has.is_some_and(|value| values.contains(&value)),
        "NotIn" => !has.is_some_and(|value| values.contains(&value)),
        "Exists" => has.is_some(),
        "DoesNotExist" => has.is_none(),
        _ => true,
    };
    (!met).then(|| format!("wants {key} {operator} {}", values.join(", ")).trim_end().to_owned())
}

/// The period of the objectives of a context, in days.
fn window_days(context: &Value) -> Option<u64> {
    let required = &context["spec"]["requirements"];
    let window = required["window"].as_str().unwrap_or("30d");
    (!required.is_null()).then(|| window.trim_end_matches('d').parse().ok()).flatten()
}

/// Whether a Prometheus keeps data for the longest period.
fn retention(server: &Value, days: u64) -> Option<Finding> {
    let said = server["spec"]["retention"].as_str().unwrap_or("24h");
    let kept = units::retention(said)?;
    (kept < days * 86_400).then(|| {
        wrong(format!(
            "Prometheus {} keeps data for {said}, and objectives are over {days} days: raise spec.retention, or the rest of a budget \
             is of a shorter time",
            place(server)
        ))
    })
}

/// Whether rules are accepted, where the Prometheus operator says so.
fn bound(rules: &[Value]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for rule in rules {
        for binding in rule["status"]["bindings"].as_array().into_iter().flatten() {
            let conditions = binding["conditions"].as_array().into_iter().flatten();
            for refused in conditions.filter(|it| it["type"] == "Accepted" && it["status"] == "False") {
                findings.push(wrong(format!(
                    "PrometheusRule {} was refused by {}/{}: {}",
                    place(rule),
                    binding["namespace"].as_str().unwrap_or_default(),
                    binding["name"].as_str().unwrap_or_default(),
                    refused["message"].as_str().unwrap_or_default()
                )));
            }
        }
    }
    let says = rules.iter().any(|rule| !rule["status"]["bindings"].is_null());
    if findings.is_empty() && says {
        findings.push(good("all rules are accepted"));
    }
    if !says && !rules.is_empty() {
        let line = "the Prometheus operator does not say whether it took the rules (it does from 0.93 on, with \
                    StatusForConfigurationResources)";
        findings.push(note(line));
    }
    findings
}

/// Whether Alertmanager takes the routes, for alerts of all namespaces.
async fn alertmanager(client: &Client, settings: &Settings) -> Vec<Finding> {
    if settings.channels.is_empty() {
        return vec![note("routing is off: the settings have no `channels`")];
    }
    match of_others(client, "monitoring.coreos.com", "v1", "Alertmanager").await {
        Err(message) => vec![note(message)],
        Ok(servers) => {
            let servers = servers.unwrap_or_default();
            let here: Vec<&Value> = servers
                .iter()
                .filter(|server| server["metadata"]["namespace"] == settings.routing.namespace.as_str())
                .collect();
            if here.is_empty() {
                return vec![wrong(format!(
                    "there is no Alertmanager in namespace {}: correct routing.namespace in the settings",
                    settings.routing.namespace
                ))];
            }
            let labels = labels(settings);
            here.into_iter().flat_map(|server| routes(server, &labels)).collect()
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

/// Contexts that are not ready.
async fn contexts(client: &Client) -> Vec<Finding> {
    let contexts = match of_others(client, "contextcore.io", "v1", "ProjectContext").await {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(text: &str) -> Settings {
        Settings::parse("s.yaml", text).unwrap()
    }

    #[test]
    fn selectors_are_compared_with_our_labels() {
        let labels = labels(&settings("objectLabels: {release: stack}\n"));
        let matches = |selector: Value| mismatch(&selector, &labels);
        assert_eq!(matches(json!({})), None);
        assert_eq!(matches(json!({"matchLabels": {"release": "stack"}})), None);
        assert_eq!(matches(json!({"matchLabels": {"release": "other"}})).unwrap(), "wants release: other");
        assert!(matches(Value::Null).unwrap().contains("selects nothing"));
        let expression = |operator: &str| json!({"matchExpressions": [{"key": "release", "operator": operator, "values": ["stack"]}]});
        assert_eq!(matches(expression("In")), None);
        assert_eq!(matches(expression("NotIn")).unwrap(), "wants release NotIn stack");
        assert!(matches(json!({"matchExpressions": [{"key": "x", "operator": "Exists"}]})).is_some());
    }

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

    #[test]
    fn data_must_be_kept_for_the_longest_period() {
        let server = |retention: &str| json!({"metadata": {}, "spec": {"retention": retention}});
        assert_eq!(retention(&server("35d"), 30), None);
        assert_eq!(retention(&server("1y"), 30), None);
        assert!(retention(&server("15d"), 30).unwrap().line.contains("objectives are over 30 days"));
        assert!(retention(&json!({"metadata": {}, "spec": {}}), 7).is_some());
        assert_eq!(window_days(&json!({"spec": {"requirements": {"availability": "99"}}})), Some(30));
        assert_eq!(window_days(&json!({"spec": {}})), None);
    }

    #[test]
    fn rights_follow_the_settings() {
        let plain = needed_rights(&settings(""), "contextcore");
        let has = |rights: &[Right], resource: &str| rights.iter().any(|right| right.resource == resource);
        assert!(has(&plain, "leases") && has(&plain, "prometheusrules"));
        assert!(
            !has(&plain, "deployments")
                && !has(&plain, "alertmanagerconfigs")
                && !has(&plain, "opentelemetrycollectors")
        );
        let more = needed_rights(
            &settings(
                "annotate: {enabled: true}\nchannels: {a: {}}\ncollector: {mode: attach, name: otel}\nenv: {enabled: true}\n",
            ),
            "contextcore",
        );
        assert!(
            has(&more, "deployments") && has(&more, "alertmanagerconfigs") && has(&more, "opentelemetrycollectors")
        );
        let config_maps = more.iter().find(|right| right.resource == "configmaps").unwrap();
        assert_eq!(config_maps.words(), "configmaps in the whole cluster");
    }

    #[test]
    fn a_refused_rule_is_found() {
        let rule = json!({"metadata": {"namespace": "shop", "name": "r"}, "status": {"bindings": [
            {"namespace": "monitoring", "name": "k8s", "conditions": [{"type": "Accepted", "status": "False", "message": "bad"}]},
        ]}});
        assert_eq!(bound(&[rule])[0].line, "PrometheusRule shop/r was refused by monitoring/k8s: bad");
        assert_eq!(bound(&[json!({"metadata": {}})])[0].level, Level::Note);
    }
}
