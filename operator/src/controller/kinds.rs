//! The kinds of objects that the controller writes, and where they are defined.

use std::fmt;

use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;

/// A kind of object that we write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// Part of every cluster.
    ConfigMap,
    /// Of the Prometheus operator.
    PrometheusRule,
    /// Of the Prometheus operator.
    ServiceMonitor,
    /// Of the Prometheus operator.
    AlertmanagerConfig,
    /// Of the OpenTelemetry operator.
    OpenTelemetryCollector,
    /// Of the Grafana operator.
    GrafanaFolder,
    /// Of the Grafana operator.
    GrafanaDashboard,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 7] = [
        Self::ConfigMap,
        Self::PrometheusRule,
        Self::ServiceMonitor,
        Self::AlertmanagerConfig,
        Self::OpenTelemetryCollector,
        Self::GrafanaFolder,
        Self::GrafanaDashboard,
    ];

    /// Group, version, name and plural.
    const fn parts(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::ConfigMap => ("", "v1", "ConfigMap", "configmaps"),
            Self::PrometheusRule => ("monitoring.coreos.com", "v1", "PrometheusRule", "prometheusrules"),
            Self::ServiceMonitor => ("monitoring.coreos.com", "v1", "ServiceMonitor", "servicemonitors"),
            Self::AlertmanagerConfig => {
                ("monitoring.coreos.com", "v1alpha1", "AlertmanagerConfig", "alertmanagerconfigs")
            }
            Self::OpenTelemetryCollector => {
                ("opentelemetry.io", "v1beta1", "OpenTelemetryCollector", "opentelemetrycollectors")
            }
            Self::GrafanaFolder => ("grafana.integreatly.org", "v1beta1", "GrafanaFolder", "grafanafolders"),
            Self::GrafanaDashboard => ("grafana.integreatly.org", "v1beta1", "GrafanaDashboard", "grafanadashboards"),
        }
    }

    /// The kind of an object; `None`: we never write such a one.
    #[must_use]
    pub(crate) fn of(object: &Value) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| object["kind"] == kind.parts().2)
    }

    /// Its group; empty for the core.
    #[must_use]
    pub(crate) const fn group(self) -> &'static str {
        self.parts().0
    }

    /// Its name in the paths of the API.
    #[must_use]
    pub(crate) const fn plural(self) -> &'static str {
        self.parts().3
    }

    /// Name of the definition that must be installed; `None` for what every cluster has.
    #[must_use]
    pub(crate) fn definition(self) -> Option<String> {
        let (group, _, _, plural) = self.parts();
        (!group.is_empty()).then(|| format!("{plural}.{group}"))
    }

    /// Who brings the definition.
    #[must_use]
    pub(crate) fn operator(self) -> &'static str {
        match self.group() {
            "monitoring.coreos.com" => "Prometheus operator",
            "opentelemetry.io" => "OpenTelemetry operator",
            "grafana.integreatly.org" => "Grafana operator",
            _ => "cluster",
        }
    }

    /// As a client asks for it.
    #[must_use]
    pub(crate) fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = self.parts();
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.parts().2)
    }
}

/// An object among all that we write.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    /// Its kind.
    pub(crate) kind: Kind,
    /// Its namespace.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) name: String,
}

impl Key {
    /// The key of an object of ours.
    #[must_use]
    pub(crate) fn of(object: &Value) -> Option<Self> {
        let text = |field: &str| object["metadata"][field].as_str().map(str::to_owned);
        Some(Self { kind: Kind::of(object)?, namespace: text("namespace")?, name: text("name")? })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// A context: its namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    /// Its namespace.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) name: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
