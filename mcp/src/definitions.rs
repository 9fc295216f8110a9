//! What tools look like from outside: names, descriptions and schemas, read from `tools.json`. Every client pays for them in each
//! conversation, so they have a budget of their own.

use std::sync::{Arc, LazyLock};

use rmcp::model::{Tool, ToolAnnotations};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// A tool as `tools.json` has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Definition {
    pub(crate) name: String,
    title: String,
    description: String,
    /// Whether it reports or records.
    pub(crate) write: bool,
    idempotent: bool,
    input: Map<String, Value>,
    #[serde(default)]
    required: Vec<String>,
    output: Map<String, Value>,
}

/// The tools, in the order in which they are listed.
pub(crate) static ALL: LazyLock<Vec<Definition>> = LazyLock::new(|| {
    let read = serde_json::from_str(include_str!("tools.json"));
    read.unwrap_or_else(|error| {
        // A test reads the same file, so this cannot happen in a build that passed it.
        tracing::error!(%error, "the definitions of the tools cannot be read");
        Vec::new()
    })
});

impl Definition {
    /// The tool of this name.
    pub(crate) fn of(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|tool| tool.name == name)
    }

    /// The schema of its arguments.
    pub(crate) fn input_schema(&self) -> Map<String, Value> {
        let mut schema = Map::new();
        schema.insert("type".to_owned(), json!("object"));
        schema.insert("properties".to_owned(), Value::Object(self.input.clone()));
        if !self.required.is_empty() {
            schema.insert("required".to_owned(), json!(self.required));
        }
        schema.insert("additionalProperties".to_owned(), json!(false));
        schema
    }

    /// The schema of its answers. What is empty is left out of an answer, so only the time is required.
    pub(crate) fn output_schema(&self) -> Map<String, Value> {
        let mut properties = Map::new();
        properties.insert("as_of".to_owned(), json!({"type": "string"}));
        properties.extend(self.output.iter().map(|(name, kind)| (name.clone(), property(kind))));
        properties.insert("stale".to_owned(), property(&json!("array")));
        properties.insert("omitted".to_owned(), json!({"type": "object", "additionalProperties": {"type": "integer"}}));
        properties.insert("sanitised".to_owned(), json!({"type": "integer"}));
        let schema = json!({"type": "object", "properties": properties, "required": ["as_of"]});
        schema.as_object().cloned().unwrap_or_default()
    }

    /// As the protocol lists it.
    pub(crate) fn tool(&self) -> Tool {
        let hints = ToolAnnotations::with_title(&self.title)
            .read_only(!self.write)
            .idempotent(self.idempotent)
            .destructive(false)
            .open_world(false);
        Tool::new(self.name.clone(), self.description.clone(), Arc::new(self.input_schema()))
            .with_title(&self.title)
            .with_raw_output_schema(Arc::new(self.output_schema()))
            .with_annotations(hints)
    }
}

fn property(kind: &Value) -> Value {
    match kind.as_str() {
        Some("array") => json!({"type": "array", "items": {"type": "object"}}),
        _ => json!({"type": kind}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget;

    #[test]
    fn definitions_stay_within_their_budget() {
        let read: Vec<Definition> = serde_json::from_str(include_str!("tools.json")).unwrap_or_default();
        assert_eq!(read.len(), 10);
        assert_eq!(read.iter().filter(|tool| !tool.write).count(), 5);
        let shown =
            |tool: &Definition| format!("{}{}{}", tool.name, tool.description, Value::Object(tool.input_schema()));
        let tokens: usize = read.iter().map(|tool| budget::tokens(&shown(tool))).sum();
        assert!(tokens <= 2_500, "{tokens}");
        let listed = serde_json::to_string(&read.iter().map(Definition::tool).collect::<Vec<_>>()).unwrap_or_default();
        assert!(listed.len() <= 23_500, "{}", listed.len());
    }
}
