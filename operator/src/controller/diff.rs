//! `controller render --diff`: what would change in a cluster if the contexts of files were applied there. The API server is asked to
//! apply without doing it, so that defaults and other owners of fields are as they would be.

use std::collections::{BTreeMap, BTreeSet};

use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::ApiResource;
use kube::{Api, Client, Error};
use serde_json::Value;
use similar::TextDiff;

use super::guard;
use super::kinds::{Key, Place};
use super::trouble;
use crate::derive::{HASH_ANNOTATION, Judged, MANAGER, derive};
use crate::resource::ProjectContext;
use crate::settings::Settings;
use crate::yaml;

/// Lines around a change.
const CONTEXT: usize = 3;
/// What the API server counts by itself.
const COUNTED: [&str; 6] = ["managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"];

/// What would change, and what a person should know about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// One text a changed object, as `diff -u` has it.
    pub changed: Vec<String>,
    /// What was not compared, or not as the API server would, and why.
    pub notes: Vec<String>,
}

/// What would change. Objects that the cluster has and the contexts do not ask for are not looked at.
///
/// The contexts of `watched` count as well, or where that is empty those of all namespaces. Who may not list them all sees what
/// follows from the namespaces of the files alone; what all contexts share is left out then.
///
/// # Errors
/// A message for a person.
pub async fn diff(
    client: &Client,
    files: &[ProjectContext],
    settings: &Settings,
    namespace: &str,
    watched: &[String],
) -> Result<Difference, String> {
    let seen = together(client, files, namespace, watched).await?;
    let mut found = Difference::default();
    if let Some(note) = &seen.partial {
        found.notes.push(note.clone());
    }
    for object in &seen.objects(settings) {
        let Some(key) = Key::of(object) else { continue };
        match ask(client, &key, object).await? {
            Answer::Seen { live, applied } => found.changed.extend(compare(&key, live.as_ref(), &applied)),
            Answer::Merged { live, note } => {
                found.changed.extend(compare(&key, Some(&live), &merged(live.clone(), object)));
                found.notes.push(note);
            }
            Answer::Refused(note) => found.notes.push(note),
        }
    }
    Ok(found)
}

/// The contexts that count.
struct Seen {
    contexts: Vec<ProjectContext>,
    /// Namespaces of the files.
    namespaces: BTreeSet<String>,
    /// Why there may be more.
    partial: Option<String>,
}

impl Seen {
    /// What follows from them; only what follows from the contexts of each namespace alone, where there may be more elsewhere.
    fn objects(&self, settings: &Settings) -> Vec<Value> {
        if self.partial.is_none() {
            return derive(&self.contexts, settings).objects;
        }
        let judged = Judged::new(&self.contexts, settings);
        let is_local = |object: &Value| {
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
            object["kind"] == "AlertmanagerConfig" && self.namespaces.contains(namespace)
        };
        let own = (0..judged.len()).flat_map(|index| judged.own(index));
        own.chain(judged.shared().into_iter().filter(is_local)).collect()
    }
}

/// The contexts of the cluster, with those of the files in their places.
async fn together(
    client: &Client,
    files: &[ProjectContext],
    namespace: &str,
    watched: &[String],
) -> Result<Seen, String> {
    let within = |file: &ProjectContext| file.metadata.namespace.clone().unwrap_or_else(|| namespace.to_owned());
    let namespaces: BTreeSet<String> = files.iter().map(within).collect();
    let mut partial = None;
    let mut known = BTreeMap::new();
    if watched.is_empty() {
        match list(client, None).await {
            Ok(all) => known = all,
            Err(Refusal::Forbidden(why)) => {
                partial = Some(format!(
                    "{why}: what all contexts share is not compared; name namespaces with --watch-namespace"
                ));
            }
            Err(Refusal::Other(why)) => return Err(why),
        }
    }
    if !watched.is_empty() || partial.is_some() {
        for place in namespaces.iter().chain(watched).collect::<BTreeSet<_>>() {
            known.extend(list(client, Some(place)).await.map_err(Refusal::humanize)?);
        }
    }
    for file in files {
        let within = within(file);
        let place = Place { namespace: within.clone(), name: file.metadata.name.clone().unwrap_or_default() };
        let mut metadata = known.get(&place).map(|known| known.metadata.clone()).unwrap_or_default();
        metadata.name.clone_from(&file.metadata.name);
        metadata.namespace = Some(within);
        known.insert(place, ProjectContext { metadata, spec: file.spec.clone(), status: None });
    }
    Ok(Seen { contexts: known.into_values().collect(), namespaces, partial })
}

/// Why a list was not had.
enum Refusal {
    Forbidden(String),
    Other(String),
}

impl Refusal {
    fn humanize(self) -> String {
        match self {
            Self::Forbidden(why) => format!("{why}: ask for the right to list them"),
            Self::Other(why) => why,
        }
    }
}

/// The contexts of a namespace, or of all.
async fn list(client: &Client, namespace: Option<&str>) -> Result<BTreeMap<Place, ProjectContext>, Refusal> {
    let resource = ApiResource::erase::<ProjectContext>(&());
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let list = match api.list(&kube::api::ListParams::default()).await {
        Ok(list) => list.items,
        Err(Error::Api(status)) if status.code == 404 => Vec::new(),
        Err(Error::Api(status)) if status.code == 403 => return Err(Refusal::Forbidden(status.message)),
        Err(Error::Api(status)) => return Err(Refusal::Other(status.message)),
        Err(other) => {
            return Err(Refusal::Other(format!("the API server cannot be reached: {}", trouble::chain(&other))));
        }
    };
    let read = list.into_iter().filter_map(guard::read);
    Ok(read.filter_map(|(place, seen)| Some((place, seen.context.ok()?.as_ref().clone()))).collect())
}

/// What the API server says of an object.
enum Answer {
    /// As it is, and as it would be.
    Seen { live: Option<Value>, applied: Value },
    /// As it is. A client without the right to write does not learn what it would be.
    Merged { live: Value, note: String },
    /// Not even that.
    Refused(String),
}

async fn ask(client: &Client, key: &Key, object: &Value) -> Result<Answer, String> {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &key.namespace, &key.kind.resource());
    let value = |object: DynamicObject| serde_json::to_value(object).unwrap_or_default();
    let live = match api.get_opt(&key.name).await {
        Ok(live) => live.map(value),
        Err(Error::Api(status)) if status.code == 403 => {
            return Ok(Answer::Refused(format!("{key} is not compared: {}", status.message)));
        }
        Err(error) => return Err(trouble::of_write(key, &error)),
    };
    let params = PatchParams::apply(MANAGER).force().dry_run();
    match (api.patch(&key.name, &params, &Patch::Apply(object)).await, live) {
        (Ok(applied), live) => Ok(Answer::Seen { live, applied: value(applied) }),
        // Its namespace or its kind does not exist yet, or who asks may not write: all of it would be new.
        (Err(Error::Api(status)), None) if [403, 404].contains(&status.code) => {
            Ok(Answer::Seen { live: None, applied: object.clone() })
        }
        (Err(Error::Api(status)), Some(live)) if status.code == 403 => {
            let note = format!("{key} is compared without its defaults: {}", status.message);
            Ok(Answer::Merged { live, note })
        }
        (Err(error), _) => Err(trouble::of_write(key, &error)),
    }
}

/// What an object would be with these fields, as far as that can be said without the API server: lists are taken whole.
fn merged(mut live: Value, fields: &Value) -> Value {
    match (&mut live, fields) {
        (Value::Object(live), Value::Object(fields)) => {
            for (name, value) in fields {
                let before = live.remove(name).unwrap_or_default();
                live.insert(name.clone(), merged(before, value));
            }
        }
        (Value::Array(live), Value::Array(fields)) if live.len() == fields.len() => {
            for (live, field) in live.iter_mut().zip(fields) {
                *live = merged(live.take(), field);
            }
        }
        (live, fields) => *live = fields.clone(),
    }
    live
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
    fn without_the_server_fields_are_laid_over_what_is_there() {
        let live = json!({"a": 1, "b": {"c": 1, "default": true}, "l": [{"x": 1, "default": 2}], "m": [1, 2]});
        let fields = json!({"b": {"c": 2}, "l": [{"x": 3}], "m": [1], "n": "new"});
        let wanted =
            json!({"a": 1, "b": {"c": 2, "default": true}, "l": [{"x": 3, "default": 2}], "m": [1], "n": "new"});
        assert_eq!(merged(live, &fields), wanted);
    }

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
