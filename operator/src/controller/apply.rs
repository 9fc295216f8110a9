//! Writes objects to the API server. What to write is decided in [`super::plan`].

use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::core::PartialObjectMeta;
use kube::{Api, Client, Error};
use serde_json::{Value, json};

use super::child::Child;
use super::kinds::{Key, Place};
use super::plan::{self, Wanted};
use super::results::ObjectState;
use super::trouble;
use crate::derive::MANAGER;
use crate::resource::{ProjectContext, ProjectContextStatus};

fn api(client: &Client, key: &Key) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), &key.namespace, &key.kind.resource())
}

/// Applies an object that is ours, and returns what the API server has now. What others wrote into our fields is overwritten.
pub(crate) async fn send(client: &Client, key: &Key, object: &Value) -> Result<Child, ObjectState> {
    let patched =
        api(client, key).patch_metadata(&key.name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(object)).await;
    patched.map(|object| Child::of(&object.metadata)).map_err(|error| state_of(key, &error))
}

/// The same for an object that was not seen, unless somebody else has the name.
pub(crate) async fn create(
    client: &Client,
    wanted: &Wanted,
    object: &Value,
    is_living: &(dyn Fn(&str) -> bool + Sync),
) -> Result<Child, ObjectState> {
    let key = &wanted.key;
    match look(client, key).await.map_err(|error| state_of(key, &error))? {
        Some(child) => match plan::taken(wanted, &child, is_living) {
            Some(message) => Err(ObjectState::Taken(message)),
            None => send(client, key, object).await,
        },
        None => send(client, key, object).await,
    }
}

/// The metadata of an object, if it exists.
pub(crate) async fn look(client: &Client, key: &Key) -> Result<Option<Child>, Error> {
    let found: Option<PartialObjectMeta<DynamicObject>> = api(client, key).get_metadata_opt(&key.name).await?;
    Ok(found.map(|object| Child::of(&object.metadata)))
}

/// An object as it is, if it exists.
pub(crate) async fn get(client: &Client, key: &Key) -> Result<Option<Value>, Error> {
    let found = api(client, key).get_opt(&key.name).await?;
    Ok(found.map(|object| serde_json::to_value(object).unwrap_or_default()))
}

/// Adds our fields to an object of somebody else. A field that somebody else owns is left, and is a conflict.
pub(crate) async fn attach(client: &Client, key: &Key, uid: &str, object: &Value) -> Result<(), Error> {
    let mut object = object.clone();
    // With its UID nothing is created, should it be gone by now.
    object["metadata"]["uid"] = uid.into();
    api(client, key).patch_metadata(&key.name, &PatchParams::apply(MANAGER), &Patch::Apply(&object)).await.map(drop)
}

/// Deletes exactly this object; one that took its name meanwhile stays.
pub(crate) async fn delete(client: &Client, key: &Key, uid: &str) -> Result<(), Error> {
    let only = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
    let params = DeleteParams::background().preconditions(only);
    match api(client, key).delete(&key.name, &params).await {
        Err(Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        other => other.map(drop),
    }
}

/// Writes the status of a context.
pub(crate) async fn write_status(client: &Client, place: &Place, status: &ProjectContextStatus) -> Result<(), Error> {
    let api: Api<ProjectContext> = Api::namespaced(client.clone(), &place.namespace);
    let body = json!({
        "apiVersion": "contextcore.io/v1",
        "kind": "ProjectContext",
        "metadata": {"name": place.name, "namespace": place.namespace},
        "status": status,
    });
    let params = PatchParams::apply(MANAGER).force();
    // The answer is the whole object, which may not be readable: only its metadata is asked for.
    let metadata: Api<PartialObjectMeta<ProjectContext>> = Api::namespaced(api.into_client(), &place.namespace);
    match metadata.patch_status(&place.name, &params, &Patch::Apply(&body)).await {
        Err(Error::Api(status)) if status.code == 404 => Ok(()),
        other => other.map(drop),
    }
}

fn state_of(key: &Key, error: &Error) -> ObjectState {
    let message = trouble::of_write(key, error);
    match error {
        // The definition went away, or serves another version.
        Error::Api(status) if status.code == 404 && !status.message.contains("namespaces") => {
            ObjectState::NotInstalled(message)
        }
        _ => ObjectState::Failed(message),
    }
}
