//! A file as YAML documents, and on which line of it each key stands.
//!
//! As `core/src/config/document.rs`, for several documents in one file and without the dependencies of core.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;

/// Line numbers (from 1) by key path such as `spec.risks[0].risk`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines(BTreeMap<String, u64>);

impl Lines {
    /// Every key on one line, where what is read was made from it.
    pub(crate) fn all_at(line: Option<u64>) -> Self {
        Self(line.map(|line| (String::new(), line)).into_iter().collect())
    }

    /// The line of a key path, or of the nearest enclosing one that is in the file.
    pub(crate) fn of(&self, path: &str) -> Option<u64> {
        let mut path = path;
        loop {
            if let Some(line) = self.0.get(path) {
                return Some(*line);
            }
            path = path.rfind(['.', '[']).map_or("", |end| &path[..end]);
            if path.is_empty() {
                return self.0.get("").copied();
            }
        }
    }
}

/// One document of a file.
#[derive(Debug)]
pub(crate) struct Document {
    value: Value,
    lines: Lines,
}

impl Document {
    /// What it holds, and where.
    pub(crate) fn into_parts(self) -> (Value, Lines) {
        (self.value, self.lines)
    }
}

/// Parses a file. Empty documents are left out, and in mappings what is `null` counts as absent, as in the API server.
///
/// # Errors
/// Line and message when the text is not YAML or repeats a key.
pub(crate) fn documents(text: &str) -> Result<Vec<Document>, (Option<u64>, String)> {
    let options = serde_saphyr::options! { strict_booleans: true };
    let roots: Vec<Spanned<Node>> =
        serde_saphyr::from_multiple_with_options(text, options).map_err(|error| syntax(&error))?;
    let read = roots.into_iter().map(|root| {
        let mut lines = Lines::default();
        lines.0.insert(String::new(), root.referenced.line());
        Document { value: locate(root.value, String::new(), &mut lines), lines }
    });
    Ok(read.filter(|document| !document.value.is_null()).collect())
}

fn syntax(error: &serde_saphyr::Error) -> (Option<u64>, String) {
    let error = error.without_snippet();
    let message = match error {
        serde_saphyr::Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("`{key}` is given twice in the same mapping: keep one")
        }
        _ => "is not valid YAML here: look for a missing colon, an unclosed quote or bracket, or a tab in the indentation"
            .to_owned(),
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
            let mut map = Map::new();
            for (key, value) in entries {
                let path = if path.is_empty() { key.value.clone() } else { format!("{path}.{}", key.value) };
                lines.0.insert(path.clone(), key.referenced.line());
                let value = locate(value, path, lines);
                if !value.is_null() {
                    map.insert(key.value, value);
                }
            }
            Value::Object(map)
        }
    }
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
    fn keys_of_every_document_know_their_line() {
        let text = "# top\na: 1\n---\nb:\n  - c: {d: 2}\n---\n---\ne: null\n";
        let mut read = documents(text).unwrap().into_iter();
        let (value, lines) = read.next().unwrap().into_parts();
        assert_eq!((value, lines.of("a"), lines.of("z")), (serde_json::json!({"a": 1}), Some(2), Some(2)));
        let (value, lines) = read.next().unwrap().into_parts();
        assert_eq!(value, serde_json::json!({"b": [{"c": {"d": 2}}]}));
        assert_eq!((lines.of("b"), lines.of("b[0].c.d"), lines.of("b[0].x.y")), (Some(4), Some(5), Some(5)));
        assert_eq!(read.next().unwrap().into_parts().0, serde_json::json!({}));
        assert!(read.next().is_none());
    }

    #[test]
    fn what_is_not_yaml_says_where() {
        let (line, message) = documents("a: 1\n---\nb: [1, 2\nc: 3\n").unwrap_err();
        assert!(line.is_some() && message.contains("not valid YAML"), "{line:?} {message}");
        let (line, message) = documents("a: 1\nb: 2\na: 3\n").unwrap_err();
        assert_eq!((line, message.as_str()), (Some(3), "`a` is given twice in the same mapping: keep one"));
    }
}
