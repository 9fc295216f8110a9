//! Reads contexts as they come from the API server. A spec that cannot be read stops nobody else: what is wrong with it is kept in
//! its place.

use std::sync::Arc;

use kube::api::DynamicObject;
use serde_json::Value;

use super::kinds::Place;
use super::world::SeenContext;
use crate::labels;
use crate::resource::{ProjectContext, ProjectContextStatus};

/// Name of our definition.
pub(crate) const DEFINITION: &str = "projectcontexts.contextcore.io";

/// A context as it was seen; `None`: it has no name, which no API server lets through.
pub(crate) fn read(object: DynamicObject) -> Option<(Place, SeenContext)> {
    let DynamicObject { mut metadata, mut data, .. } = object;
    let place = Place { namespace: metadata.namespace.clone()?, name: metadata.name.clone()? };
    let manager = manager(&metadata);
    metadata.managed_fields = None;
    metadata.annotations = None;
    let status = serde_json::from_value::<ProjectContextStatus>(data["status"].take()).unwrap_or_default();
    let (uid, generation) = (metadata.uid.clone()?, metadata.generation.unwrap_or_default());
    let is_leaving = metadata.deletion_timestamp.is_some();
    let created = metadata.creation_timestamp.clone();
    let context = spec(data["spec"].take())
        .map(|spec| Arc::new(ProjectContext { metadata, spec, status: None }))
        .and_then(|context| {
            labels::problems(&context).first().map_or(Ok(context), |(path, what)| Err(format!("{path}: {what}")))
        });
    Some((place, SeenContext { uid, generation, created, context, status: Arc::new(status), manager, is_leaving }))
}

fn spec<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = match error.path().to_string() {
            path if path == "." => "spec".to_owned(),
            path => format!("spec.{}", path.trim_end_matches(".?")),
        };
        format!(
            "{path}: {}: correct it, and upgrade the definition of ProjectContext if it let this through",
            error.inner()
        )
    })
}

/// Who wrote to the spec last, as a field manager.
fn manager(metadata: &kube::core::ObjectMeta) -> Option<String> {
    let of_spec = metadata.managed_fields.iter().flatten().filter(|entry| {
        entry.subresource.is_none() && entry.fields_v1.as_ref().is_some_and(|fields| fields.0.get("f:spec").is_some())
    });
    of_spec.max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?.manager.clone()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(spec: Value) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "contextcore.io/v1", "kind": "ProjectContext",
            "metadata": {"name": "a", "namespace": "shop", "uid": "u", "generation": 4, "managedFields": [
                {"manager": "helm", "operation": "Apply", "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:spec": {}}},
                {"manager": "kubectl", "operation": "Update", "time": "2026-02-01T00:00:00Z", "fieldsV1": {"f:spec": {}}},
                {"manager": "contextcore", "operation": "Apply", "time": "2026-03-01T00:00:00Z", "subresource": "status",
                 "fieldsV1": {"f:status": {}}},
            ]},
            "spec": spec, "status": {"sloCount": 3},
        }))
        .unwrap()
    }

    #[test]
    fn a_context_is_read_with_who_changed_it() {
        let (place, seen) = read(object(json!({"project": {"id": "p"}}))).unwrap();
        assert_eq!(place.to_string(), "shop/a");
        assert_eq!((seen.manager.as_deref(), seen.generation, seen.status.slo_count), (Some("kubectl"), 4, Some(3)));
        assert_eq!(seen.context.unwrap().spec.project.id, "p");
    }

    #[test]
    fn a_spec_that_cannot_be_read_says_where() {
        let (_, seen) = read(object(json!({"project": {"id": "p"}, "business": {"criticality": "urgent"}}))).unwrap();
        let message = seen.context.unwrap_err();
        assert!(message.starts_with("spec.business.criticality: unknown variant `urgent`"), "{message}");
        assert!(read(object(json!({}))).unwrap().1.context.unwrap_err().contains("missing field `project`"));
    }
}
