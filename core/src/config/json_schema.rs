//! The JSON Schema of the file, from the types of [`super::raw`] and those of the kinds of sources.

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use serde_json::{Value, json};

use super::kind::SourceKind;
use super::raw::RawConfig;

/// Takes out defaults that say nothing.
#[derive(Debug, Clone)]
pub(super) struct WithoutNullDefaults;

impl Transform for WithoutNullDefaults {
    fn transform(&mut self, schema: &mut Schema) {
        if schema.get("default").is_some_and(Value::is_null) {
            schema.remove("default");
        }
        transform_subschemas(self, schema);
    }
}

/// The JSON Schema of the file, with a schema of its own for the sources of each kind. An absent `Option` has no default to
/// show.
pub(super) fn schema(kinds: &[SourceKind]) -> Value {
    let settings = SchemaSettings::draft2020_12().with_transform(WithoutNullDefaults);
    let mut generator = settings.into_generator();
    let own: Vec<Schema> = kinds.iter().map(|kind| (kind.keys.schema)(&mut generator)).collect();
    let mut root = generator.into_root_schema_for::<RawConfig>().to_value();
    let sources = kinds.iter().zip(&own).map(|(kind, own)| (definition(kind), source_schema(&root, kind, own)));
    let sources: Vec<(String, Value)> = sources.collect();
    if sources.is_empty() {
        return root;
    }
    let references = sources.iter().map(|(name, _)| json!({"$ref": format!("#/$defs/{name}")}));
    root["properties"]["sources"]["items"] = json!({"oneOf": references.collect::<Vec<_>>()});
    if let Some(definitions) = root["$defs"].as_object_mut() {
        definitions.remove(SOURCE);
        definitions.retain(|name, _| !own.iter().any(|own| name_of(own) == Some(name)));
        definitions.extend(sources);
    }
    root
}

/// The definition of the common keys.
const SOURCE: &str = "Source";

/// The name of the definition of a kind's sources: `JiraSource` for `jira`.
fn definition(kind: &SourceKind) -> String {
    let (first, rest) = kind.name.split_at(kind.name.len().min(1));
    format!("{}{rest}{SOURCE}", first.to_uppercase())
}

/// The name of the definition that a schema refers to.
fn name_of(reference: &Schema) -> Option<&str> {
    reference.get("$ref")?.as_str()?.strip_prefix("#/$defs/")
}

/// The common keys and those of one kind.
fn source_schema(root: &Value, kind: &SourceKind, own: &Schema) -> Value {
    let own = name_of(own).map_or(own.as_value(), |name| &root["$defs"][name]);
    let mut schema = root["$defs"][SOURCE].clone();
    let list = |schema: &Value| schema["required"].as_array().cloned().unwrap_or_default();
    let mut required = list(&schema);
    required.extend(kind.keys.has_url.then(|| "url".into()));
    required.extend(list(own));
    schema["required"] = required.into();
    schema["properties"]["kind"]["const"] = kind.name.into();
    if let Some(properties) = schema["properties"].as_object_mut() {
        if !kind.keys.has_url {
            properties.remove("url");
        }
        properties.extend(own["properties"].as_object().cloned().unwrap_or_default());
    }
    schema
}
