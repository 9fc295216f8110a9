//! What a change in a history is about, and what its two values say.

use std::collections::BTreeSet;

use contextcore_core::model::time::HOUR;
use contextcore_core::model::{Change, Facts, ParentRef, SmolStr};
use serde_json::Value as Json;

use super::super::history::Item;
use super::super::reference::Blocking;
use crate::rewind::Side;

/// What a field change is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Status,
    Resolution,
    Sprint,
    Parent,
    Assignee,
    Points,
    Hours,
    Flag,
    Link,
    Priority,
    Type,
    Labels,
    Title,
    Due,
    Key,
}

/// The role of a field that every Jira has.
pub(super) fn system_role(name: &str) -> Option<Role> {
    const ROLES: [(&str, Role); 13] = [
        ("status", Role::Status),
        ("resolution", Role::Resolution),
        ("assignee", Role::Assignee),
        ("priority", Role::Priority),
        ("issuetype", Role::Type),
        ("labels", Role::Labels),
        ("summary", Role::Title),
        ("duedate", Role::Due),
        ("parent", Role::Parent),
        ("issueparentassociation", Role::Parent),
        ("link", Role::Link),
        ("key", Role::Key),
        ("timeoriginalestimate", Role::Hours),
    ];
    ROLES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, role)| *role)
}

/// What a field was before a change, or after it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value<'a> {
    pub(super) id: &'a str,
    pub(super) text: &'a str,
}

impl<'a> Value<'a> {
    pub(super) fn of(item: &'a Item, side: Side) -> Self {
        let (id, text) = match side {
            Side::Before => (&item.from, &item.from_string),
            Side::After => (&item.to, &item.to_string),
        };
        Self { id: id.as_deref().unwrap_or_default(), text: text.as_deref().unwrap_or_default() }
    }

    pub(super) fn is_empty(self) -> bool {
        self.id.is_empty() && self.text.is_empty()
    }

    /// The text, else the id.
    pub(super) fn shown(self) -> &'a str {
        if self.text.is_empty() { self.id } else { self.text }
    }
}

/// What a change is in the common model, after it was taken into the state.
pub(super) fn change_of(blocking: &Blocking, role: Role, facts: &Facts, item: &Item) -> Option<Change> {
    Some(match role {
        Role::Status => status_of(facts),
        Role::Sprint => Change::Sprints(facts.sprints.clone()),
        Role::Parent => Change::Parent(facts.parent.clone()),
        Role::Assignee => Change::Assigned(facts.assignee.clone()),
        Role::Points | Role::Hours => Change::Estimated(facts.estimate),
        Role::Priority => Change::Prioritised(facts.priority.clone()),
        Role::Type => Change::Typed { task_type: facts.task_type, native: facts.native_type.clone() },
        Role::Labels => Change::Labelled(facts.labels.clone()),
        Role::Title => Change::Titled(facts.title.clone()),
        Role::Due => Change::Due(facts.due.clone()),
        Role::Key => Change::Moved { key: facts.key.clone(), project: facts.project.clone() },
        Role::Link => return linked(blocking, item),
        // The flag is handled with the labels, since either may raise it; the resolution with the status.
        Role::Flag | Role::Resolution => return None,
    })
}

/// A link made or removed. The history has only text, in which the inward words say that the other one blocks this one.
pub(super) fn linked(blocking: &Blocking, item: &Item) -> Option<Change> {
    let after = Value::of(item, Side::After);
    let added = !after.is_empty();
    let value = if added { after } else { Value::of(item, Side::Before) };
    let text = value.text.strip_prefix("This issue ").unwrap_or(value.text);
    let blocker = blocking.is_said(text).then(|| value.id.to_owned()).filter(|key| !key.is_empty());
    (!value.is_empty()).then(|| Change::Linked { text: text.to_owned(), blocker, added })
}

pub(super) fn parent(value: Value<'_>) -> Option<ParentRef> {
    let key = (!value.text.is_empty()).then(|| value.text.into());
    (!value.is_empty())
        .then(|| ParentRef { native_id: if value.id.is_empty() { value.text } else { value.id }.into(), key })
}

/// What a flag without a text is called.
const IMPEDIMENT: SmolStr = SmolStr::new_static("Impediment");

/// What a value of the flag field says in a history: any option raises the flag, whatever it is called. Ids are `[10019]`, and of no
/// option an empty text or `[]`.
pub(super) fn flag_value(value: Value<'_>) -> Option<SmolStr> {
    if value.text.is_empty() {
        let has_id = value.id.contains(|c: char| !matches!(c, '[' | ']' | ' '));
        return has_id.then_some(IMPEDIMENT);
    }
    Some(value.text.into())
}

/// What a value of the flag field says today. A configured field may be of another kind than check boxes: one option, or a text.
pub(super) fn flag_in(value: &Json) -> Option<SmolStr> {
    match value {
        Json::Null | Json::Bool(false) => None,
        Json::Bool(true) | Json::Number(_) => Some(IMPEDIMENT),
        Json::String(text) => (!text.trim().is_empty()).then(|| text.into()),
        Json::Array(options) => options.iter().find_map(flag_in),
        Json::Object(option) => Some(option.get("value").and_then(flag_in).unwrap_or(IMPEDIMENT)),
    }
}

/// `7, 9` as a list.
pub(super) fn list(ids: &str) -> Vec<SmolStr> {
    ids.split(',').map(str::trim).filter(|id| !id.is_empty()).map(SmolStr::new).collect()
}

pub(super) fn sorted<'a>(words: impl Iterator<Item = &'a str>) -> Vec<SmolStr> {
    words.collect::<BTreeSet<_>>().into_iter().map(SmolStr::new).collect()
}

/// Seconds as hours.
pub(super) fn hours(seconds: f64) -> f64 {
    seconds * 1_000.0 / f64::from(i32::try_from(HOUR).unwrap_or(i32::MAX))
}

pub(super) fn status_of(facts: &Facts) -> Change {
    Change::Status { status: facts.status, native: facts.native_status.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_value_of_the_flag_field_is_a_flag() {
        for (json, want) in [
            (r#"[{"id":"10019","value":"Hindernis"}]"#, Some("Hindernis")),
            (r#"[null,{"value":"障害"}]"#, Some("障害")),
            (r#"[{"id":"10019"}]"#, Some("Impediment")),
            (r#"{"id":"10019","value":"Obstáculo"}"#, Some("Obstáculo")),
            (r#"["Obstacle"]"#, Some("Obstacle")),
            (r#""Obstacle""#, Some("Obstacle")),
            ("null", None),
            ("[]", None),
            ("[null]", None),
            (r#"" ""#, None),
        ] {
            assert_eq!(flag_in(&serde_json::from_str(json).unwrap()).as_deref(), want, "{json}");
        }
        for (id, text, want) in [
            ("[10019]", "Hindernis", Some("Hindernis")),
            ("[10019]", "", Some("Impediment")),
            ("", "Obstacle", Some("Obstacle")),
            ("[]", "", None),
            ("", "", None),
        ] {
            assert_eq!(flag_value(Value { id, text }).as_deref(), want, "{id} {text}");
        }
    }
}
