//! The doctor on rights: what the controller does, and whether it is allowed.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client, Error};

use super::super::lease;
use super::super::trouble::refusal;
use super::finding::{Finding, Level, good, note, wrong};
use super::scope::Scope;
use crate::settings::{CollectorMode, GrafanaMode, Settings};

/// A right that the controller needs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Right {
    group: &'static str,
    resource: &'static str,
    subresource: Option<&'static str>,
    verbs: &'static [&'static str],
    at: At,
    /// The only object it is needed for; a role may name it.
    name: Option<&'static str>,
}

/// Where a right is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum At {
    /// In each namespace with contexts.
    Contexts,
    Namespace(String),
    Cluster,
}

const ALL_VERBS: &[&str] = &["get", "list", "watch", "create", "patch", "delete"];

/// A right in each namespace with contexts.
const fn right(group: &'static str, resource: &'static str, verbs: &'static [&'static str]) -> Right {
    Right { group, resource, subresource: None, verbs, at: At::Contexts, name: None }
}

/// The same right in one namespace.
fn within(right: Right, namespace: &str) -> Right {
    Right { at: At::Namespace(namespace.to_owned()), ..right }
}

/// All rights that the controller needs with these settings.
fn needed_rights(settings: &Settings, namespace: &str) -> Vec<Right> {
    let sub = |right: Right, subresource| Right { subresource: Some(subresource), ..right };
    let contexts = || right("contextcore.io", "projectcontexts", &["get", "list", "watch"]);
    let config_maps = || right("", "configmaps", ALL_VERBS);
    let always = [
        contexts(),
        sub(Right { verbs: &["patch"], ..contexts() }, "status"),
        sub(Right { verbs: &["update"], ..contexts() }, "finalizers"),
        right("monitoring.coreos.com", "prometheusrules", ALL_VERBS),
        right("monitoring.coreos.com", "servicemonitors", ALL_VERBS),
        right("events.k8s.io", "events", &["create"]),
        Right { at: At::Cluster, ..right("apiextensions.k8s.io", "customresourcedefinitions", &["list", "watch"]) },
        within(right("coordination.k8s.io", "leases", &["create"]), namespace),
        Right {
            name: Some(lease::NAME),
            ..within(right("coordination.k8s.io", "leases", &["get", "update"]), namespace)
        },
        if settings.env.enabled { config_maps() } else { within(config_maps(), &settings.namespace) },
    ];
    always.into_iter().chain(rights_of_outputs(settings)).collect()
}

/// What outputs need that are written where the settings ask for them.
fn rights_of_outputs(settings: &Settings) -> Vec<Right> {
    let mut rights = Vec::new();
    if !settings.channels.is_empty() {
        let routes = right("monitoring.coreos.com", "alertmanagerconfigs", ALL_VERBS);
        let is_shared = !settings.routing.per_namespace;
        rights.push(if is_shared { within(routes, &settings.routing.namespace) } else { routes });
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

pub(super) async fn rights(scope: &Scope<'_>) -> Result<Vec<Finding>, String> {
    let mut findings = Vec::new();
    for right in needed_rights(scope.settings, scope.namespace) {
        for place in right.places(scope) {
            let mut missing = Vec::new();
            for verb in right.verbs {
                if !is_allowed(scope.client, &right, place, verb).await.map_err(|error| refusal(&error))? {
                    missing.push(*verb);
                }
            }
            if !missing.is_empty() {
                findings.push(right.missing(&missing.join(", "), place, scope.is_narrow()));
            }
        }
    }
    if findings.iter().all(|finding| finding.level != Level::Wrong) {
        findings.push(good("everything that the controller does is allowed"));
    }
    Ok(findings)
}

impl Right {
    /// The namespaces in which it is needed; `None`: in the whole cluster.
    fn places<'a>(&'a self, scope: &Scope<'a>) -> Vec<Option<&'a str>> {
        match &self.at {
            At::Contexts => scope.places(),
            At::Namespace(namespace) => vec![Some(namespace)],
            At::Cluster => vec![None],
        }
    }

    /// What it means that it is missing. Definitions have no namespace: who has rights in some namespaces only can do without.
    fn missing(&self, verbs: &str, place: Option<&str>, is_narrow: bool) -> Finding {
        let words = self.humanize(place);
        if self.at == At::Cluster && is_narrow {
            return note(format!(
                "{verbs} on {words} is not allowed: every kind counts as installed, and one that is installed later needs a restart"
            ));
        }
        wrong(format!("{verbs} on {words} is not allowed: grant it"))
    }

    fn humanize(&self, place: Option<&str>) -> String {
        let part = self.subresource.or(self.name);
        let resource = part.map_or_else(|| self.resource.to_owned(), |part| format!("{}/{part}", self.resource));
        let group = if self.group.is_empty() { String::new() } else { format!(".{}", self.group) };
        match place {
            Some(namespace) => format!("{resource}{group} in namespace {namespace}"),
            None => format!("{resource}{group} in the whole cluster"),
        }
    }
}

async fn is_allowed(client: &Client, right: &Right, place: Option<&str>, verb: &str) -> Result<bool, Error> {
    let attributes = ResourceAttributes {
        group: Some(right.group.to_owned()),
        resource: Some(right.resource.to_owned()),
        subresource: right.subresource.map(str::to_owned),
        namespace: place.map(str::to_owned),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        Settings::parse("s.yaml", text).unwrap()
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
                "annotate: {enabled: true}\nchannels: {a: {webhookConfigs: [{url: x}]}}\ncollector: {mode: attach, name: otel}\nenv: {enabled: true}\n",
            ),
            "contextcore",
        );
        assert!(
            has(&more, "deployments") && has(&more, "alertmanagerconfigs") && has(&more, "opentelemetrycollectors")
        );
        let config_maps = more.iter().find(|right| right.resource == "configmaps").unwrap();
        assert_eq!(
            (&config_maps.at, config_maps.humanize(None).as_str()),
            (&At::Contexts, "configmaps in the whole cluster")
        );
        let own = needed_rights(
            &settings("channels: {a: {webhookConfigs: [{url: x}]}}\nrouting: {perNamespace: true}\n"),
            "contextcore",
        );
        let of_routes = |rights: &[Right]| {
            rights.iter().find(|right| right.resource == "alertmanagerconfigs").map(|right| right.at.clone())
        };
        assert_eq!(of_routes(&more), Some(At::Namespace("monitoring".to_owned())));
        assert_eq!(of_routes(&own), Some(At::Contexts));
        let definitions = plain.iter().find(|right| right.resource == "customresourcedefinitions").unwrap();
        assert_eq!(definitions.missing("list", None, false).level, Level::Wrong);
        assert_eq!(definitions.missing("list", None, true).level, Level::Note);
    }
}
