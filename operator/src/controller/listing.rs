//! Lists of objects, as commands need them that look once and go.

use kube::api::{DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client, Error};
use serde_json::Value;

use super::kinds::Kind;
use super::trouble;

/// All objects of a kind that have these labels; `None`: the kind is not installed.
///
/// # Errors
/// A message for a person.
pub(super) async fn of_kind(client: &Client, kind: Kind, labels: &str) -> Result<Option<Vec<Value>>, String> {
    within(client, &kind.resource(), None, labels).await
}

/// The same for a kind that we do not write.
///
/// # Errors
/// A message for a person.
pub(super) async fn of_others(
    client: &Client,
    group: &str,
    version: &str,
    kind: &str,
) -> Result<Option<Vec<Value>>, String> {
    within(client, &resource(group, version, kind), None, "").await
}

/// A kind by its name.
pub(super) fn resource(group: &str, version: &str, kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

/// All objects of a kind in a namespace, or in all of them.
///
/// # Errors
/// A message for a person.
pub(super) async fn within(
    client: &Client,
    resource: &ApiResource,
    namespace: Option<&str>,
    labels: &str,
) -> Result<Option<Vec<Value>>, String> {
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        None => Api::all_with(client.clone(), resource),
    };
    match api.list(&ListParams::default().labels(labels)).await {
        Ok(list) => Ok(Some(list.items.into_iter().filter_map(|item| serde_json::to_value(item).ok()).collect())),
        Err(Error::Api(status)) if status.code == 404 => Ok(None),
        Err(Error::Api(status)) => Err(format!("{}: ask for the right to list them", status.message)),
        Err(other) => Err(format!("the API server cannot be reached: {}", trouble::chain(&other))),
    }
}

/// `namespace/name` of an object.
pub(super) fn place(object: &Value) -> String {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    format!("{}/{}", text("namespace"), text("name"))
}
