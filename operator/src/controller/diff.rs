//! `controller render --diff`: what would change in a cluster if the contexts of files were applied there. The API server is asked to
//! apply without doing it, so that defaults and other owners of fields are as they would be.

use std::collections::BTreeMap;

use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::ApiResource;
use kube::{Api, Client, Error};
use serde_json::Value;
use similar::TextDiff;

use super::guard;
use super::kinds::{Key, Place};
use super::trouble;
use crate::derive::{HASH_ANNOTATION, MANAGER, derive};
use crate::resource::ProjectContext;
use crate::settings::Settings;
use crate::yaml;

/// Lines around a change.
const CONTEXT: usize = 3;
/// What the API server counts by itself.
const COUNTED: [&str; 6] = ["managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"];

/// What would change: one text a changed object, as `diff -u` has it. Objects that the cluster has and the contexts do not ask for
/// are not looked at.
///
/// # Errors
/// Words for a person.
pub async fn diff(
    client: &Client,
    files: &[ProjectContext],
    settings: &Settings,
    namespace: &str,
) -> Result<Vec<String>, String> {
    let contexts = together(client, files, namespace).await?;
    let mut changed = Vec::new();
    for object in &derive(&contexts, settings).objects {
        let Some(key) = Key::of(object) else { continue };
        let (live, applied) = ask(client, &key, object).await?;
        changed.extend(compare(&key, live.as_ref(), &applied));
    }
    Ok(changed)
}

/// The contexts of the cluster, with those of the files in their places.
async fn together(client: &Client, files: &[ProjectContext], namespace: &str) -> Result<Vec<ProjectContext>, String> {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &ApiResource::erase::<ProjectContext>(&()));
    let list = match api.list(&kube::api::ListParams::default()).await {
        Ok(list) => list.items,
        Err(Error::Api(status)) if status.code == 404 => Vec::new(),
        Err(Error::Api(status)) => return Err(format!("{}: ask for the right to list them", status.message)),
        Err(other) => return Err(format!("the API server cannot be reached: {}", trouble::chain(&other))),
    };
    let mut all: BTreeMap<Place, ProjectContext> = BTreeMap::new();
    for (place, seen) in list.into_iter().filter_map(guard::read) {
        if let Ok(context) = seen.context {
            all.insert(place, context.as_ref().clone());
        }
    }
    for file in files {
        let within = file.metadata.namespace.clone().unwrap_or_else(|| namespace.to_owned());
        let place = Place { namespace: within.clone(), name: file.metadata.name.clone().unwrap_or_default() };
        let mut metadata = all.get(&place).map(|known| known.metadata.clone()).unwrap_or_default();
        metadata.name.clone_from(&file.metadata.name);
        metadata.namespace = Some(within);
        all.insert(place, ProjectContext { metadata, spec: file.spec.clone(), status: None });
    }
    Ok(all.into_values().collect())
}

/// An object as it is, and as it would be.
async fn ask(client: &Client, key: &Key, object: &Value) -> Result<(Option<Value>, Value), String> {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &key.namespace, &key.kind.resource());
    let value = |object: DynamicObject| serde_json::to_value(object).unwrap_or_default();
    let live = match api.get_opt(&key.name).await {
        Ok(live) => live.map(value),
        Err(error) => return Err(trouble::of_write(key, &error)),
    };
    let params = PatchParams::apply(MANAGER).force().dry_run();
    match api.patch(&key.name, &params, &Patch::Apply(object)).await {
        Ok(applied) => Ok((live, value(applied))),
        // Its namespace or its kind does not exist yet: all of it would be new.
        Err(Error::Api(status)) if status.code == 404 && live.is_none() => Ok((None, object.clone())),
        Err(error) => Err(trouble::of_write(key, &error)),
    }
}

fn compare(key: &Key, live: Option<&Value>, applied: &Value) -> Option<String> {
    let text = |value: Value| yaml::text(&plain(value));
    let before = live.cloned().map(text).unwrap_or_default();
    let after = text(applied.clone());
    let (from, to) = (format!("live {key}"), format!("rendered {key}"));
    let diff = TextDiff::from_lines(&before, &after);
    (before != after).then(|| diff.unified_diff().context_radius(CONTEXT).header(&from, &to).to_string())
}

/// An object without what changes by itself.
fn plain(mut object: Value) -> Value {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        COUNTED.iter().for_each(|field| drop(metadata.remove(*field)));
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove(HASH_ANNOTATION);
            if annotations.is_empty() {
                metadata.remove("annotations");
            }
        }
    }
    if let Some(object) = object.as_object_mut() {
        object.remove("status");
    }
    object
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::kinds::Kind;
    use super::*;

    #[test]
    fn only_what_a_person_wrote_is_compared() {
        let key = Key { kind: Kind::ConfigMap, namespace: "a".into(), name: "b".into() };
        let object = |version: &str, data: &str| {
            json!({
                "metadata": {"name": "b", "resourceVersion": version, "annotations": {HASH_ANNOTATION: version}},
                "data": {"key": data},
            })
        };
        assert_eq!(compare(&key, Some(&object("1", "one")), &object("2", "one")), None);
        let text = compare(&key, Some(&object("1", "one")), &object("2", "two")).unwrap();
        assert!(text.starts_with("--- live ConfigMap a/b\n+++ rendered ConfigMap a/b\n"), "{text}");
        assert!(text.contains("-  key: one\n+  key: two\n"), "{text}");
        assert!(compare(&key, None, &object("1", "one")).unwrap().contains("+  key: one"));
    }
}
