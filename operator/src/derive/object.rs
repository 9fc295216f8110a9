//! Kubernetes objects: what all of ours have in common.

use serde_json::{Map, Value, json};

use super::subject::Subject;
use crate::settings::Settings;

/// Label that our objects have, and its value.
pub(crate) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY`], and the field manager of what we apply.
pub(crate) const MANAGER: &str = "contextcore";
/// Label that says whose an object is, where there are several installations.
pub(crate) const INSTANCE: &str = "contextcore.io/instance";
/// Annotation with a hash of the object: one that did not change is not sent.
pub(crate) const HASH_ANNOTATION: &str = "contextcore.io/hash";

/// An object in the making.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    value: Value,
    /// Whether the Prometheus operator selects it by labels.
    is_monitoring: bool,
    /// Somebody else's: nothing but what we add is in it, no label and no annotation.
    is_foreign: bool,
}

impl Object {
    pub(crate) fn new(api_version: &str, kind: &str, namespace: &str, name: &str) -> Self {
        let value = json!({
            "apiVersion": api_version,
            "kind": kind,
            "metadata": {"name": name, "namespace": namespace, "labels": {}},
        });
        Self { value, is_monitoring: false, is_foreign: false }
    }

    pub(crate) fn config_map(namespace: &str, name: &str, data: Map<String, Value>) -> Self {
        Self::new("v1", "ConfigMap", namespace, name).with("data", Value::Object(data))
    }

    /// Adds a field at the top.
    pub(crate) fn with(mut self, field: &str, value: Value) -> Self {
        self.value[field] = value;
        self
    }

    /// Adds a label.
    pub(crate) fn label(mut self, name: &str, value: &str) -> Self {
        self.value["metadata"]["labels"][name] = value.into();
        self
    }

    /// Adds an annotation.
    pub(crate) fn annotation(mut self, name: &str, value: &str) -> Self {
        self.value["metadata"]["annotations"][name] = value.into();
        self
    }

    /// Takes the labels for the selectors of the Prometheus operator.
    pub(crate) fn monitoring(mut self) -> Self {
        self.is_monitoring = true;
        self
    }

    /// Adds to an object of somebody else.
    pub(crate) fn foreign(mut self) -> Self {
        self.is_foreign = true;
        self
    }

    /// Goes with its context, where that is in a cluster.
    pub(crate) fn owned_by(mut self, subject: &Subject) -> Self {
        if let Some(uid) = &subject.context.metadata.uid {
            self.value["metadata"]["ownerReferences"] = json!([{
                "apiVersion": "contextcore.io/v1",
                "kind": "ProjectContext",
                "name": subject.name,
                "uid": uid,
                "controller": true,
                "blockOwnerDeletion": true,
            }]);
        }
        self
    }

    /// The object with labels and hash.
    pub(crate) fn finish(mut self, settings: &Settings) -> Value {
        if self.is_foreign {
            self.value["metadata"] = json!({
                "name": self.value["metadata"]["name"],
                "namespace": self.value["metadata"]["namespace"],
            });
            return self.value;
        }
        let labels = &mut self.value["metadata"]["labels"];
        if self.is_monitoring {
            for (name, value) in &settings.object_labels {
                labels[name] = value.as_str().into();
            }
        }
        labels[MANAGED_BY] = MANAGER.into();
        labels[INSTANCE] = settings.instance.as_str().into();
        let hash = blake3::hash(self.value.to_string().as_bytes()).to_hex();
        self.value["metadata"]["annotations"][HASH_ANNOTATION] = hash.as_str()[..16].into();
        self.value
    }
}
