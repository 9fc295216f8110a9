//! YAML: files as trees whose keys know their lines, and values as text.
//!
//! YAML becomes a [`serde_json::Value`] that the rest can check, prune and read, plus [`Lines`], so that a rule that
//! only knows a key path can still say where to look. Paths read `sources[0].auth.token`.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::{Options, Spanned};

use crate::printable;

const NOT_YAML: &str = "is not valid YAML here: look for a missing colon, an unclosed quote or bracket, \
                        or a tab in the indentation";

/// Why a text cannot be read, and on which line. It never quotes the text, which may hold a secret.
pub type Unreadable = (Option<u64>, String);

/// Line numbers (from 1) by key path; the whole document has the empty one.
#[derive(Clone, Debug, Default)]
pub struct Lines(BTreeMap<String, u64>);

impl Lines {
    /// Every key on one line, for a document that was made from what is there.
    pub fn all_at(line: Option<u64>) -> Self {
        Self(line.map(|line| (String::new(), line)).into_iter().collect())
    }

    /// The line of a key path, or of the nearest enclosing one that is in the file.
    pub fn of(&self, mut path: &str) -> Option<u64> {
        while !path.is_empty() {
            if let Some(line) = self.0.get(path) {
                return Some(*line);
            }
            path = path.rfind(['.', '[']).map_or("", |end| &path[..end]);
        }
        self.0.get("").copied()
    }
}

/// Parses a file of one document. A file without content is an empty mapping.
///
/// # Errors
/// Line and message when the text is not YAML or repeats a key.
pub fn document(text: &str) -> Result<(Value, Lines), Unreadable> {
    let root: Option<Node> = serde_saphyr::from_str_with_options(text, options()).map_err(|error| syntax(&error))?;
    let mut lines = Lines::default();
    let value = root.map_or_else(|| Value::Object(Map::new()), |root| locate(root, String::new(), &mut lines));
    Ok((value, lines))
}

/// Parses a file of several documents. Empty ones are left out, and in mappings what is `null` counts as absent, as in the API
/// server of Kubernetes.
///
/// # Errors
/// Line and message when the text is not YAML or repeats a key.
pub fn documents(text: &str) -> Result<Vec<(Value, Lines)>, Unreadable> {
    let roots: Vec<Spanned<Node>> =
        serde_saphyr::from_multiple_with_options(text, options()).map_err(|error| syntax(&error))?;
    let read = roots.into_iter().map(|root| {
        let mut lines = Lines::all_at(Some(root.referenced.line()));
        (without_nulls(locate(root.value, String::new(), &mut lines)), lines)
    });
    Ok(read.filter(|(value, _)| !value.is_null()).collect())
}

fn options() -> Options {
    serde_saphyr::options! { strict_booleans: true }
}

/// The same without the keys of mappings that have no value.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        leaf => leaf,
    }
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
pub fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// A value as a YAML document. Texts that an older YAML would read as something else are quoted, and lines stay as long as they
/// are: a folded query is hard to read. No character of it acts on a terminal: those that would are escapes of YAML.
#[must_use]
pub fn text(value: &Value) -> String {
    let written = written(value);
    if printable::lines(&written) == written { written } else { escaped(value, &written) }
}

fn written(value: &Value) -> String {
    let options = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX };
    serde_saphyr::to_string_with_options(value, options).unwrap_or_default()
}

/// What the serializer escapes, so that the text around it is quoted.
const QUOTES: char = '\u{fffe}';

/// The same with escapes for what acts and what the serializer leaves as it is, such as marks of direction: they go through it as a
/// word that is nowhere else.
fn escaped(value: &Value, written: &str) -> String {
    let word = (0..).map(|number| format!("char{number}x")).find(|word| !written.contains(word.as_str()));
    let word = word.unwrap_or_default();
    let mark = |text: &str| {
        printable::with_marks(text, |c, out| out.push_str(&format!("{QUOTES}{word}{:08x}", u32::from(c)))).into_owned()
    };
    let (text, mark) = (self::written(&with_texts(value, &mark)), format!("\\uFFFE{word}"));
    let mut parts = text.split(&mark);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (code, rest) = part.split_at(part.len().min(8));
        out.push_str(&code.strip_prefix("0000").map_or_else(|| format!("\\U{code}"), |short| format!("\\u{short}")));
        out.push_str(rest);
    }
    out
}

/// The value with other texts and keys.
fn with_texts(value: &Value, change: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(change(text)),
        Value::Array(items) => items.iter().map(|item| with_texts(item, change)).collect(),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (change(name), with_texts(value, change))).collect())
        }
        other => other.clone(),
    }
}

/// Several documents in one stream.
#[must_use]
pub fn stream(values: &[Value]) -> String {
    values.iter().map(text).collect::<Vec<_>>().join("---\n")
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
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn any_text_comes_back_as_it_was(text in "\\PC*", control in "[\\x00-\\x7f\u{85}\u{2028}]*") {
            let value = serde_json::json!({"k": [text, control, {"nested": format!("{control}\n{text}\n")}]});
            let (read, _) = documents(&super::text(&value)).unwrap().remove(0);
            prop_assert_eq!(read, value);
        }
    }

    proptest! {
        #[test]
        fn whatever_acts_is_an_escape(text in "[\\\\\"#: \n\ta-cuU\u{1b}\u{7f}\u{85}\u{ad}\u{200b}-\u{200d}\u{202e}\u{2028}\u{feff}\u{fffe}\u{e0041}👩]{0,24}") {
            let value = serde_json::json!({&text: [&text, {"nested": format!("{text}\n\u{202e}\n")}], "key\u{202e}": 1});
            let written = super::text(&value);
            prop_assert_eq!(printable::lines(&written), &*written);
            let (read, _) = documents(&written).unwrap().remove(0);
            prop_assert_eq!(read, value, "{}", written);
        }
    }

    #[test]
    fn what_acts_is_written_as_an_escape_of_yaml() {
        let value =
            serde_json::json!({"a": "x\u{202e}y\u{e0041}", "b\u{200b}": "char0x \\uFFFE\u{1b}", "c": "two\nlines"});
        let expected =
            "a: \"x\\u202ey\\U000e0041\"\n\"b\\u200b\": \"char0x \\\\uFFFE\\u001b\"\nc: |-\n  two\n  lines\n";
        assert_eq!(text(&value), expected);
    }

    #[test]
    fn what_looks_like_something_else_is_quoted() {
        for word in
            ["yes", "on", "1e3", "0x12", "012", "~", "null", "1:30", "2026-01-01", "99.95", "", "- a", "# b", "{", "&a"]
        {
            let (read, _) = documents(&text(&serde_json::json!([word]))).unwrap().remove(0);
            assert_eq!(read, serde_json::json!([word]));
        }
        assert!(text(&serde_json::json!({"a": "yes"})).contains('"'), "{}", text(&serde_json::json!({"a": "yes"})));
    }

    #[test]
    fn every_key_and_item_knows_its_line() {
        let (value, lines) =
            document("# top\nstore: {path: ./data}\nsources:\n  - name: a\n    projects:\n      - X\n      - NO\n")
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
            assert_eq!(document(text).unwrap().0, serde_json::json!({}), "{text:?}");
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
            let (line, message) = document(text).unwrap_err();
            assert!(line.is_some(), "{text:?}");
            assert!(!message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn a_repeated_key_is_named() {
        let (line, message) = document("listen: a\nstore: {}\nlisten: b\n").unwrap_err();
        assert_eq!((line, message.as_str()), (Some(3), "`listen` is given twice in the same mapping: keep one"));
    }

    #[test]
    fn keys_of_every_document_know_their_line() {
        let text = "# top\na: 1\n---\nb:\n  - c: {d: 2}\n---\n---\ne: null\n";
        let mut read = documents(text).unwrap().into_iter();
        let (value, lines) = read.next().unwrap();
        assert_eq!((value, lines.of("a"), lines.of("z")), (serde_json::json!({"a": 1}), Some(2), Some(2)));
        let (value, lines) = read.next().unwrap();
        assert_eq!(value, serde_json::json!({"b": [{"c": {"d": 2}}]}));
        assert_eq!((lines.of("b"), lines.of("b[0].c.d"), lines.of("b[0].x.y")), (Some(4), Some(5), Some(5)));
        assert_eq!(read.next().unwrap().0, serde_json::json!({}));
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
