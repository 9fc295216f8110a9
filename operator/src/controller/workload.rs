//! Workloads of others that carry our annotations.

use std::collections::BTreeSet;
use std::time::Duration;

use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use super::results::ObjectState;
use crate::resource::ResourceReference;

/// A workload that we annotated.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Workload {
    pub(crate) kind: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// What was done for a context.
#[derive(Clone, Debug)]
pub(crate) struct Annotated {
    /// What was wanted, so that a change is seen.
    pub(crate) wanted: String,
    pub(crate) at: Duration,
    pub(crate) workloads: BTreeSet<Workload>,
    pub(crate) states: Vec<(String, ObjectState)>,
}

impl Workload {
    /// A workload among the resources that a status names.
    pub(crate) fn of(resource: &Value) -> Option<Self> {
        let text = |field: &str| resource[field].as_str().map(str::to_owned);
        let ours = matches!(resource["group"].as_str(), Some("apps" | "batch"));
        ours.then(|| Some(Self { kind: text("kind")?, namespace: text("namespace")?, name: text("name")? })).flatten()
    }

    fn group(&self) -> &'static str {
        if matches!(self.kind.as_str(), "Job" | "CronJob") { "batch" } else { "apps" }
    }

    /// As a client asks for it.
    pub(crate) fn resource(&self) -> ApiResource {
        ApiResource::from_gvk(&GroupVersionKind::gvk(self.group(), "v1", &self.kind))
    }

    /// The object without any field of ours.
    pub(crate) fn empty(&self) -> Value {
        json!({
            "apiVersion": format!("{}/v1", self.group()),
            "kind": self.kind,
            "metadata": {"name": self.name, "namespace": self.namespace},
        })
    }

    /// As a status names it.
    pub(crate) fn reference(&self) -> ResourceReference {
        ResourceReference {
            group: self.group().to_owned(),
            kind: self.kind.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }
}

impl std::fmt::Display for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}
