//! The shapes Jira answers in, cut down to what is read, and the record they are kept as.
//!
//! Read [`Record`] first: it is the JSON of a raw record of the `issues` stream. The same types read Jira's own answers and
//! the record made of them, so trimming is nothing but reading and writing again: avatars, descriptions and the like
//! are dropped while they are parsed and never held in memory. Histories are in [`super::history`], comments in
//! [`super::comments`]. What the values mean is the business of [`super::normalise`].
//!
//! Cloud and Data Center differ in small things (an account id or a user key, a date as text or as a number, an id as text or
//! as a number), so everything here reads all the forms that were seen.

use std::collections::BTreeMap;
use std::fmt;

use contextcore_core::ingest::connector::ParsedRecord;
use contextcore_core::{Millis, Result};
use serde::de::value::{CowStrDeserializer, MapAccessDeserializer};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::comments::Comments;
use super::history::History;
use super::lenient::{Key, finite, flag, id, stamp, text, whole, word};
use super::people::Who;
use crate::rewind::unwritable;
use crate::vocabulary;

/// A raw record of the `issues` stream: an issue and everything that happened to it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    /// The issue as it is now.
    pub(super) issue: Issue,
    /// What happened to it, in the order the pages came in.
    #[serde(default)]
    pub(super) histories: Vec<History>,
    /// Of a sub-task: what happened to its parent's membership of sprints, which is its own as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) inherited: Vec<History>,
}

impl ParsedRecord for Record {
    fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).map_err(unwritable)
    }
}

/// A raw record of the `sprints` stream.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum SprintRecord {
    /// A sprint as it is now.
    Sprint {
        sprint: Sprint,
        /// The board that listed it; none where it was asked for by itself.
        #[serde(default)]
        board: Option<u64>,
    },
    /// The id of one that was deleted.
    Deleted { deleted: u64 },
}

/// An issue.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Issue {
    #[serde(default, deserialize_with = "text")]
    pub(super) id: Option<Box<str>>,
    #[serde(default, deserialize_with = "text")]
    pub(super) key: Option<Box<str>>,
    #[serde(default)]
    pub(super) fields: Fields,
    /// The custom fields that were asked for, by id, as Jira wrote them. Moved here out of `fields`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) custom: BTreeMap<Box<str>, Box<RawValue>>,
}

/// The fields that every Jira has.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Fields {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) summary: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) issuetype: Option<IssueType>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<StatusValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) resolution: Option<Named>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) priority: Option<Named>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) assignee: Option<Who>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reporter: Option<Who>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) creator: Option<Who>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) labels: Option<Vec<Box<str>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) parent: Option<IssueRef>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) issuelinks: Option<Vec<Link>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) project: Option<Project>,
    #[serde(default, deserialize_with = "stamp", skip_serializing_if = "Option::is_none")]
    pub(super) created: Option<Millis>,
    #[serde(default, deserialize_with = "stamp", skip_serializing_if = "Option::is_none")]
    pub(super) updated: Option<Millis>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) duedate: Option<Box<str>>,
    /// Seconds.
    #[serde(default, deserialize_with = "finite", skip_serializing_if = "Option::is_none")]
    pub(super) timeoriginalestimate: Option<f64>,
    /// Asked for unless `privacy.comments` is `omit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) comment: Option<Comments>,
}

/// Something with an id and a name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Named {
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<Box<str>>,
    #[serde(default)]
    pub(super) name: Box<str>,
}

/// An issue type. Data Center sends neither the level nor the untranslated name.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct IssueType {
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<Box<str>>,
    #[serde(default)]
    pub(super) name: Box<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) untranslated_name: Option<Box<str>>,
    #[serde(default, deserialize_with = "flag")]
    pub(super) subtask: bool,
    #[serde(default, deserialize_with = "whole", skip_serializing_if = "Option::is_none")]
    pub(super) hierarchy_level: Option<i32>,
}

/// A status with its category.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatusValue {
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<Box<str>>,
    #[serde(default)]
    pub(super) name: Box<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) untranslated_name: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) status_category: Option<CategoryValue>,
}

/// A status category.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct CategoryValue {
    /// `new`, `indeterminate`, `done` or `undefined`.
    #[serde(default)]
    pub(super) key: Box<str>,
}

/// Another issue, as parents and links show it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct IssueRef {
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<Box<str>>,
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "IssueRefFields::is_empty")]
    pub(super) fields: IssueRefFields,
}

/// What is known of another issue.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct IssueRefFields {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<StatusValue>,
}

impl IssueRefFields {
    fn is_empty(&self) -> bool {
        self.status.is_none()
    }
}

/// A link to another issue; exactly one of the two ends is given.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Link {
    #[serde(rename = "type")]
    pub(super) kind: LinkKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) inward_issue: Option<IssueRef>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) outward_issue: Option<IssueRef>,
}

/// A type of links, and its words.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct LinkKind {
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<Box<str>>,
    #[serde(default, deserialize_with = "word")]
    pub(super) name: Box<str>,
    #[serde(default, deserialize_with = "word")]
    pub(super) inward: Box<str>,
}

/// A project.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Project {
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<Box<str>>,
}

/// A sprint, as boards list it, as `GET sprint` gives it and as the sprint field of an issue holds it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sprint {
    #[serde(deserialize_with = "id")]
    pub(super) id: u64,
    #[serde(default, deserialize_with = "word")]
    pub(super) name: Box<str>,
    #[serde(default, deserialize_with = "word")]
    pub(super) state: Box<str>,
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub(super) goal: Option<Box<str>>,
    #[serde(default, deserialize_with = "stamp", skip_serializing_if = "Option::is_none")]
    pub(super) start_date: Option<Millis>,
    /// When it really started, where Jira says so: the other is what was planned.
    #[serde(default, deserialize_with = "stamp", skip_serializing_if = "Option::is_none")]
    pub(super) activated_date: Option<Millis>,
    #[serde(default, deserialize_with = "stamp", skip_serializing_if = "Option::is_none")]
    pub(super) end_date: Option<Millis>,
    #[serde(default, deserialize_with = "stamp", skip_serializing_if = "Option::is_none")]
    pub(super) complete_date: Option<Millis>,
    /// The board it was made on; the sprint field of an issue calls it `boardId`.
    #[serde(default, alias = "boardId", deserialize_with = "whole", skip_serializing_if = "Option::is_none")]
    pub(super) origin_board_id: Option<u64>,
}

impl Sprint {
    /// Whether it has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.state.eq_ignore_ascii_case("closed")
    }
}

impl LinkKind {
    /// Whether its names say that the inward issue blocks the other one.
    pub(super) fn means_blocking(&self) -> bool {
        vocabulary::is_blocked_by(&self.inward.to_lowercase()) || self.name.eq_ignore_ascii_case("blocks")
    }
}

/// An issue as Jira sends it, with custom fields among the others.
#[derive(Debug, Deserialize)]
struct AnsweredIssue {
    #[serde(default, deserialize_with = "text")]
    id: Option<Box<str>>,
    #[serde(default, deserialize_with = "text")]
    key: Option<Box<str>>,
    #[serde(default)]
    fields: AnsweredFields,
}

/// The fields of such an issue: those that every Jira has, and the custom ones as they came.
#[derive(Debug, Default)]
struct AnsweredFields {
    known: Fields,
    custom: BTreeMap<Box<str>, Box<RawValue>>,
}

impl<'de> Deserialize<'de> for AnsweredFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(AnsweredFieldsVisitor)
    }
}

struct AnsweredFieldsVisitor;

impl<'de> Visitor<'de> for AnsweredFieldsVisitor {
    type Value = AnsweredFields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the fields of an issue")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let mut custom = BTreeMap::new();
        let known = Fields::deserialize(MapAccessDeserializer::new(WithoutCustom { map, custom: &mut custom }))?;
        Ok(AnsweredFields { known, custom })
    }
}

/// A map whose custom fields are taken out while it is read.
struct WithoutCustom<'c, A> {
    map: A,
    custom: &'c mut BTreeMap<Box<str>, Box<RawValue>>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for WithoutCustom<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        while let Some(Key(field)) = self.map.next_key::<Key<'de>>()? {
            if !field.starts_with("customfield_") {
                return seed.deserialize(CowStrDeserializer::new(field)).map(Some);
            }
            if let Some(value) = self.map.next_value::<Option<Box<RawValue>>>()? {
                self.custom.insert(field.into(), value);
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

impl Issue {
    /// Whether it is a sub-task.
    pub(super) fn is_subtask(&self) -> bool {
        let kind = self.fields.issuetype.as_ref();
        kind.is_some_and(|kind| kind.subtask || kind.hierarchy_level.is_some_and(|level| level < 0))
    }

    /// Reads an issue of Jira's own answer.
    ///
    /// # Errors
    /// When a field has a shape we do not know; the record is then kept as it came, to be quarantined with the reason.
    pub(super) fn from_answer(json: &str) -> serde_json::Result<Self> {
        let AnsweredIssue { id, key, fields } = serde_json::from_str(json)?;
        Ok(Self { id, key, fields: fields.known, custom: fields.custom })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn custom_fields_move_out_of_the_fields() {
        let issue = Issue::from_answer(
            r#"{"id":"1","key":"A-1","fields":{"summary":"x","customfield_1":{"a":[1]},"customfield_2":null}}"#,
        )
        .unwrap();
        let custom: Vec<_> = issue.custom.iter().map(|(id, value)| (&**id, value.get())).collect();
        assert_eq!(custom, [("customfield_1", r#"{"a":[1]}"#)]);
    }
}
