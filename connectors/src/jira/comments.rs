//! Comments of an issue, and their texts.

use std::collections::BTreeSet;

use contextcore_core::Millis;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::fmt;

use super::lenient::{Entries, Maybe, count, stamp, text};
use super::people::Who;

/// Comments, as many as the search gave.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Comments {
    /// What is no comment is left out and counted.
    #[serde(default)]
    pub(super) comments: Entries<Comment>,
    #[serde(default, deserialize_with = "count")]
    pub(super) total: usize,
}

impl Comments {
    /// Whether these are all there are.
    pub(super) fn is_whole(&self) -> bool {
        self.comments.count() >= self.total
    }

    /// Takes in those of a page that are not here yet: search and list overlap.
    pub(super) fn merge(&mut self, page: Self) {
        self.total = page.total;
        self.comments.odd += page.comments.odd;
        let known: BTreeSet<Box<str>> = self.comments.kept.iter().filter_map(|comment| comment.id.clone()).collect();
        let is_new = |comment: &Comment| comment.id.as_ref().is_none_or(|id| !known.contains(id));
        self.comments.kept.extend(page.comments.kept.into_iter().filter(is_new));
    }

    /// Keeps the texts as plain text, or lets go of them.
    pub(super) fn trim(&mut self, texts: bool) {
        for comment in &mut self.comments.kept {
            let text = comment.text().filter(|_| texts);
            comment.body = text.and_then(|text| serde_json::value::to_raw_value(&text).ok());
        }
    }
}

/// A comment.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Comment {
    #[serde(default, deserialize_with = "text")]
    pub(super) id: Option<Box<str>>,
    #[serde(default, deserialize_with = "somebody")]
    pub(super) author: Option<Who>,
    #[serde(default, deserialize_with = "stamp")]
    pub(super) created: Option<Millis>,
    /// As it came: wiki text on Data Center, a document on Cloud. A record holds it as plain text, or not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<Box<RawValue>>,
}

impl Comment {
    /// Whether it has what every comment needs: an id and a moment.
    pub(super) fn is_dated(&self) -> bool {
        self.id.is_some() && self.created.is_some()
    }

    /// Its text; `None` for an unknown form.
    pub(super) fn text(&self) -> Option<String> {
        let body = self.body.as_deref()?;
        document(&mut serde_json::Deserializer::from_str(body.get())).ok().flatten()
    }
}

/// Reads who it is by, unless that is of an odd shape.
fn somebody<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Who>, D::Error> {
    Ok(Maybe::deserialize(deserializer)?.0)
}

/// Reads a text, or the texts of an Atlassian document, paragraphs on lines of their own.
fn document<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    struct Node {
        #[serde(default, rename = "type")]
        kind: Box<str>,
        text: Option<Box<str>>,
        #[serde(default)]
        content: Vec<Node>,
    }

    fn flatten(node: &Node, out: &mut String) {
        if let Some(text) = &node.text {
            out.push_str(text);
        }
        node.content.iter().for_each(|child| flatten(child, out));
        if matches!(&*node.kind, "paragraph" | "heading" | "hardBreak" | "codeBlock" | "listItem")
            && !out.ends_with('\n')
        {
            out.push('\n');
        }
    }

    struct Document;

    impl<'de> Visitor<'de> for Document {
        type Value = Option<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text or a document")
        }

        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Some(text.to_owned()))
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            let root = Node::deserialize(de::value::MapAccessDeserializer::new(map))?;
            let mut out = String::new();
            flatten(&root, &mut out);
            Ok(Some(out.trim_end().to_owned()))
        }
    }

    deserializer.deserialize_any(Document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_plain_text_on_cloud_and_server() {
        let body =
            |json: &str| serde_json::from_str::<Comment>(&format!(r#"{{"id":"1","body":{json}}}"#)).unwrap().text();
        let document = r#"{"type":"doc","version":1,"content":[
            {"type":"paragraph","content":[{"type":"text","text":"Please "},{"type":"text","text":"review"}]},
            {"type":"paragraph","content":[{"type":"text","text":"Thanks"}]}]}"#;
        assert_eq!(body(document).as_deref(), Some("Please review\nThanks"));
        assert_eq!(body("\"as *wiki* text\"").as_deref(), Some("as *wiki* text"));
    }
}
