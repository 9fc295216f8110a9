//! The registry of names in Weaver's format, and the names that the SDKs use, are what `semconv.rs` says.
//!
//! `UPDATE_REGISTRY=1 cargo test -p contextcore-model --test registry` writes the files anew.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail at once")]

mod examples;
mod sdk;
mod weaver;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use contextcore_model::semconv::{ATTRIBUTES, EVENTS, METRICS};
use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Compares a committed file, or writes it.
fn fresh(file: &str, text: &str) {
    let path = root().join(file);
    if std::env::var_os("UPDATE_REGISTRY").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == text,
        "{file} is not what the code says: run UPDATE_REGISTRY=1 cargo test -p contextcore-model --test registry"
    );
}

#[test]
fn the_committed_registry_is_fresh() {
    for (name, text) in weaver::files() {
        fresh(&format!("semconv/{name}.yaml"), &text);
    }
}

#[test]
fn the_names_of_the_sdks_are_fresh() {
    fresh("sdk/python/src/contextcore_sdk/_names.py", &sdk::python());
    fresh("sdk/typescript/src/names.ts", &sdk::typescript());
    fresh("sdk/go/names.go", &sdk::go());
}

fn schema(name: &str) -> jsonschema::Validator {
    let text = std::fs::read_to_string(root().join("semconv/schemas").join(name)).unwrap();
    jsonschema::validator_for(&serde_json::from_str(&text).unwrap()).unwrap()
}

fn errors(schema: &jsonschema::Validator, value: &Value) -> Vec<String> {
    schema.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// `semconv/schemas` says in a `$comment` where it differs from Weaver's own: what is committed is what Weaver reads.
#[test]
fn committed_files_obey_the_schemas_as_they_are() {
    let (definitions, manifest) = (schema("semconv.schema.v2.json"), schema("definition-manifest.v2.json"));
    for (name, _) in weaver::files() {
        let text = std::fs::read_to_string(root().join(format!("semconv/{name}.yaml"))).unwrap();
        let value: Value = serde_saphyr::from_str(&text).unwrap();
        let found = errors(if name == "manifest" { &manifest } else { &definitions }, &value);
        assert!(found.is_empty(), "{name}: {found:#?}");
    }
}

#[test]
fn the_schemas_refuse_what_is_wrong() {
    let wrong = json!({ "file_format": "definition/2", "attributes": [{ "key": "a", "type": "text", "brief": "x" }] });
    assert!(!errors(&schema("semconv.schema.v2.json"), &wrong).is_empty());
    let manifest = schema("definition-manifest.v2.json");
    assert!(!errors(&manifest, &json!({ "description": "no address" })).is_empty());
    // Weaver fails on an object.
    assert!(!errors(&manifest, &json!({ "schema_url": { "url": "https://example.com/schemas/1" } })).is_empty());
}

#[test]
fn everything_that_is_emitted_is_in_the_files() {
    let files: Vec<(&str, Value)> =
        weaver::files().into_iter().map(|(name, text)| (name, serde_saphyr::from_str(&text).unwrap())).collect();
    let names = |file: &str, list: &str, key: &str| -> BTreeSet<String> {
        let (_, value) = files.iter().find(|(name, _)| *name == file).unwrap();
        value[list].as_array().unwrap().iter().map(|each| each[key].as_str().unwrap().to_owned()).collect()
    };
    let attributes = names("attributes", "attributes", "key");
    for attribute in ATTRIBUTES {
        assert!(
            attributes.contains(attribute.name) != weaver::is_of_opentelemetry(attribute.name),
            "{}",
            attribute.name
        );
    }
    assert_eq!(names("events", "events", "name"), EVENTS.iter().map(|event| event.name.to_owned()).collect());
    assert_eq!(names("metrics", "metrics", "name"), METRICS.iter().map(|metric| metric.name.to_owned()).collect());
}

#[test]
fn references_lead_to_attributes() {
    fn refs(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|each| refs(each, found));
            }
            Value::Array(items) => items.iter().for_each(|each| refs(each, found)),
            _ => {}
        }
    }
    let known: BTreeSet<&str> = ATTRIBUTES.iter().map(|attribute| attribute.name).collect();
    for (name, text) in weaver::files() {
        let mut found = Vec::new();
        refs(&serde_saphyr::from_str(&text).unwrap(), &mut found);
        let unknown: Vec<_> = found.iter().filter(|each| !known.contains(each.as_str())).collect();
        assert!(unknown.is_empty(), "{name}: {unknown:?}");
    }
}
