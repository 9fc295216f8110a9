//! The file as a tree, and on which line of it each key stands.
//!
//! YAML becomes a [`serde_json::Value`] that the rest can check, prune and read, plus [`Lines`], so that a rule that
//! only knows a key path can still say where to look. Paths read `sources[0].auth.token`.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;

const NOT_YAML: &str = "is not valid YAML here: look for a missing colon, an unclosed quote or bracket, \
                        or a tab in the indentation";

/// Line numbers (from 1) by key path.
#[derive(Debug, Default)]
pub(super) struct Lines(BTreeMap<String, u64>);

impl Lines {
    /// The line of a key path, or of the nearest enclosing one that is in the file.
    pub(super) fn of(&self, path: &str) -> Option<u64> {
        let mut path = path;
        loop {
            if let Some(line) = self.0.get(path) {
                return Some(*line);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }
}

/// Parses YAML. A file without content is an empty mapping.
///
/// # Errors
/// Line and message when the text is not YAML or repeats a key. It never quotes the text, which may hold a secret.
pub(super) fn parse(text: &str) -> Result<(Value, Lines), (Option<u64>, String)> {
    let options = serde_saphyr::options! { strict_booleans: true };
    let root: Option<Spanned<Node>> =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| syntax(&error))?;
    let mut lines = Lines::default();
    let value = match root {
        Some(root) => locate(root.value, String::new(), &mut lines),
        None => Value::Object(Map::new()),
    };
    Ok((value, lines))
}

fn syntax(error: &serde_saphyr::Error) -> (Option<u64>, String) {
    let error = error.without_snippet();
    let message = match error {
        serde_saphyr::Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("`{key}` is given twice in the same mapping: keep one")
        }
        _ => NOT_YAML.to_owned(),
    };
    (error.location().map(|location| location.line()), message)
}

/// Takes the tree apart into a value and the lines of its keys.
fn locate(node: Node, path: String, lines: &mut Lines) -> Value {
    match node {
        Node::Leaf(value) => value,
        Node::List(items) => {
            let items = items.into_iter().enumerate().map(|(index, item)| {
                let path = format!("{path}[{index}]");
                lines.0.insert(path.clone(), item.referenced.line());
                locate(item.value, path, lines)
            });
            Value::Array(items.collect())
        }
        Node::Map(entries) => {
            let entries = entries.into_iter().map(|(key, value)| {
                let path = join(&path, &key.value);
                lines.0.insert(path.clone(), key.referenced.line());
                (key.value, locate(value, path, lines))
            });
            Value::Object(entries.collect())
        }
    }
}

/// The path of a key within a mapping.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// A YAML node; keys and list items know their line.
enum Node {
    Leaf(Value),
    List(Vec<Spanned<Node>>),
    Map(Vec<(Spanned<String>, Node)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Leaf(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Leaf(Value::Number(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Leaf(Value::Number(value.into())))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Leaf(Number::from_f64(value).map_or(Value::Null, Value::Number)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Leaf(Value::String(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_and_item_knows_its_line() {
        let (value, lines) =
            parse("# top\nstore: {path: ./data}\nsources:\n  - name: a\n    projects:\n      - X\n      - NO\n")
                .unwrap();
        assert_eq!(
            value,
            serde_json::json!({"store": {"path": "./data"}, "sources": [{"name": "a", "projects": ["X", "NO"]}]})
        );
        for (path, line) in
            [("store", 2), ("store.path", 2), ("sources", 3), ("sources[0]", 4), ("sources[0].projects[1]", 7)]
        {
            assert_eq!(lines.of(path), Some(line), "{path}");
        }
        assert_eq!(lines.of("sources[0].auth.token"), Some(4), "a missing key is reported at its parent");
        assert_eq!(lines.of("export"), None);
    }

    #[test]
    fn nothing_at_all_is_an_empty_mapping() {
        for text in ["", "# only a comment\n", "---\n"] {
            assert_eq!(parse(text).unwrap().0, serde_json::json!({}), "{text:?}");
        }
    }

    #[test]
    fn broken_yaml_is_reported_without_quoting_it() {
        for text in [
            "a: 1\nb: 'hunter2\n",
            "a: 1\nb: [hunter2\n",
            "a: 1\nb: c: hunter2\n",
            "a: 1\nb: *hunter2\n",
            "a: 1\n\thunter2: 2\n",
        ] {
            let (line, message) = parse(text).unwrap_err();
            assert!(line.is_some(), "{text:?}");
            assert!(!message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn a_repeated_key_is_named() {
        let (line, message) = parse("listen: a\nstore: {}\nlisten: b\n").unwrap_err();
        assert_eq!((line, message.as_str()), (Some(3), "`listen` is given twice in the same mapping: keep one"));
    }
}
