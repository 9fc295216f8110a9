//! What happened to an issue: acts of people, and the changes of fields in them.
//!
//! Changes that say nothing about work (ranks, workflows, remote links) are dropped while they are parsed. What is left keeps
//! its place in Jira's list, which is part of its identity.

use std::fmt;
use std::ops::{Deref, DerefMut};

use contextcore_core::Millis;
use contextcore_core::model::SmolStr;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::lenient::{Maybe, stamp, text, word};
use super::people::shown;

/// One act of one person: one or more changes at one moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct History {
    #[serde(default, deserialize_with = "text")]
    pub(super) id: Option<SmolStr>,
    #[serde(default, deserialize_with = "shown", skip_serializing_if = "Option::is_none")]
    pub(super) author: Option<SmolStr>,
    /// Kept as a number: there are many.
    #[serde(default, deserialize_with = "stamp", serialize_with = "as_number")]
    pub(super) created: Option<Millis>,
    #[serde(default)]
    pub(super) items: Items,
}

impl History {
    /// What of the act a sub-task inherits from its parent, if anything.
    pub(super) fn inherited(&self, is_inherited: impl Fn(&Item) -> bool) -> Option<Self> {
        let kept: Vec<Item> = self.items.iter().filter(|item| is_inherited(item)).cloned().collect();
        let id = self.id.as_ref().map(|id| format!("parent:{id}").into());
        (!kept.is_empty()).then(|| Self { id, items: Items { kept, odd: 0 }, ..self.clone() })
    }
}

/// The changes of an act that matter, numbered by their place in Jira's list.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(transparent)]
pub(super) struct Items {
    kept: Vec<Item>,
    /// Changes that cannot be read, the whole list counting as one.
    #[serde(skip)]
    pub(super) odd: u32,
}

impl Deref for Items {
    type Target = Vec<Item>;

    fn deref(&self) -> &Vec<Item> {
        &self.kept
    }
}

impl DerefMut for Items {
    fn deref_mut(&mut self) -> &mut Vec<Item> {
        &mut self.kept
    }
}

/// One change of one field.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Item {
    /// Its place in the history as Jira gave it, which is part of its identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) n: Option<u32>,
    /// The field's display name at that time.
    #[serde(default, deserialize_with = "word")]
    pub(super) field: SmolStr,
    /// `jira` or `custom`; only read to decide what is kept and what a name means.
    #[serde(default, rename = "fieldtype", deserialize_with = "word", skip_serializing)]
    kind: SmolStr,
    /// Absent for pseudo fields such as links, and for all fields on Data Center.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub(super) field_id: Option<SmolStr>,
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<SmolStr>,
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub(super) from_string: Option<SmolStr>,
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<SmolStr>,
    /// Named after Jira's `toString`.
    #[serde(default, rename = "toString", deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub(super) to_string: Option<SmolStr>,
}

/// Fields of every Jira whose changes are read, by id or by name.
const READ: [&str; 14] = [
    "status",
    "resolution",
    "assignee",
    "priority",
    "issuetype",
    "labels",
    "summary",
    "duedate",
    "parent",
    "timeoriginalestimate",
    "issueparentassociation",
    "link",
    "key",
    "project",
];

impl Item {
    /// Whether it names what changed by ids.
    pub(super) fn has_ids(&self) -> bool {
        let is_empty = |text: &Option<SmolStr>| text.as_ref().is_none_or(|text| text.is_empty());
        let texts = is_empty(&self.from_string) && is_empty(&self.to_string);
        texts || !is_empty(&self.from) || !is_empty(&self.to)
    }

    /// Whether it is one of the fields that every Jira has and that are read.
    pub(super) fn is_known(&self) -> bool {
        let name = self.field_id.as_deref().unwrap_or(&self.field);
        READ.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// Whether it is of a custom field, and only the name says which.
    pub(super) fn is_custom_without_id(&self) -> bool {
        self.field_id.is_none() && &*self.kind == "custom"
    }

    /// An empty id is none, and some changes have the id where the name should be.
    fn settle_id(&mut self) {
        self.field_id = self.field_id.take().filter(|id| !id.is_empty());
        if self.field_id.is_none() && self.field.starts_with("customfield_") {
            self.field_id = Some(self.field.clone());
        }
    }

    /// Whether anything of ours may be learned from it. A custom field may be one of those that were discovered, which is
    /// decided when the record is made. What has its place already was kept before.
    fn may_be_read(&self) -> bool {
        let custom = self.field_id.as_ref().map_or(&*self.kind == "custom", |id| id.starts_with("customfield_"));
        self.n.is_some() || self.is_known() || (custom && &*self.field != "Rank")
    }
}

fn as_number<S: Serializer>(at: &Option<Millis>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(|at| at.0).serialize(serializer)
}

impl<'de> Deserialize<'de> for Items {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ItemsVisitor)
    }
}

struct ItemsVisitor;

impl<'de> Visitor<'de> for ItemsVisitor {
    type Value = Items;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of changes")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Items { odd: 1, ..Items::default() })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let (mut kept, mut odd) = (Vec::new(), 0);
        let mut place = 0;
        while let Some(Maybe(mut item)) = seq.next_element::<Maybe<Item>>()? {
            odd += u32::from(item.is_none());
            item.iter_mut().for_each(Item::settle_id);
            if let Some(mut item) = item.filter(Item::may_be_read) {
                item.n.get_or_insert(place);
                // Most acts change one field, and thousands of them are held at once.
                if kept.is_empty() {
                    kept.reserve_exact(1);
                }
                kept.push(item);
            }
            place += 1;
        }
        Ok(Items { kept, odd })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Items { odd: 1, ..Items::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(json: &str) -> History {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn moments_come_as_text_seconds_or_milliseconds() {
        let at = |created: &str| history(&format!(r#"{{"id":1,"created":{created},"items":[]}}"#)).created;
        assert_eq!(at("1492070429"), Some(Millis(1_492_070_429_000)));
        assert_eq!(at("1492070429123"), Some(Millis(1_492_070_429_123)));
        assert_eq!(at("1492070429.5"), Some(Millis(1_492_070_429_500)));
        assert_eq!(at("\"2023-02-02T16:18:46.199+0800\""), Some(Millis(1_675_325_926_199)));
        assert_eq!(at("\"soon\""), None);
        assert_eq!(at("null"), None);
    }

    #[test]
    fn an_id_that_is_empty_is_none_and_a_name_may_be_an_id() {
        let history = history(
            r#"{"id":"7","created":1,"items":[{"field":"customfield_10020","fieldtype":"custom","to":"7"},
                {"field":"Takt","fieldId":"","fieldtype":"custom"},{"field":"status","fieldId":""}]}"#,
        );
        let ids: Vec<_> = history.items.iter().map(|item| item.field_id.as_deref()).collect();
        assert_eq!(ids, [Some("customfield_10020"), None, None]);
    }

    #[test]
    fn noise_is_dropped_and_places_are_kept_also_when_read_again() {
        let history = history(
            r#"{"id":"7","author":{"displayName":"Ada","avatarUrls":{"48x48":"x"}},"created":1492070429123,"items":[
                {"field":"Workflow","from":"1","to":"2"},
                {"field":"status","fieldId":"status","from":"1","fromString":"Open","to":"3","toString":"Doing"},
                {"field":"Rank","fieldId":"customfield_10019","toString":"Ranked higher"},
                {"field":"Link","to":"A-2","toString":"This issue blocks A-2"}]}"#,
        );
        let places = |history: &History| history.items.iter().map(|item| item.n).collect::<Vec<_>>();
        assert_eq!(places(&history), [Some(1), Some(3)]);
        let json = serde_json::to_string(&history).unwrap();
        assert!(!json.contains("avatar"), "{json}");
        let again: History = serde_json::from_str(&json).unwrap();
        assert_eq!(places(&again), [Some(1), Some(3)]);
        assert_eq!((again.author.as_deref(), again.created), (Some("Ada"), Some(Millis(1_492_070_429_123))));
    }
}
