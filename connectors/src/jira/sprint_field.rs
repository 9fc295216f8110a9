//! The sprint field of an issue: pure.
//!
//! Cloud writes objects. Data Center writes Java's text of them, such as
//! `com.atlassian.greenhopper.service.sprint.Sprint@1f[id=7,rapidViewId=1,state=ACTIVE,name=Sprint 7,…]`, in which names may hold
//! commas, brackets and line breaks: a key counts only where it is one that was not there yet, with a value it can have.

use std::collections::BTreeSet;

use contextcore_core::model::SmolStr;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::boards::Board;
use super::lenient::List;
use super::reference::Reference;
use super::wire::{Issue, Sprint};

/// An element of the field.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Element {
    Sprint(Sprint),
    Text(String),
}

/// The sprints in a value of the field. One that cannot be read is left out.
fn read(value: &str) -> Vec<Sprint> {
    let elements: List<Element> = serde_json::from_str(value).unwrap_or_default();
    let sprint = |element| match element {
        Element::Sprint(sprint) => Some(sprint),
        Element::Text(text) => parse(&text),
    };
    elements.rows.into_iter().filter_map(sprint).collect()
}

fn value<'a>(reference: &Reference, issue: &'a Issue) -> Option<&'a str> {
    let field = reference.fields.sprint.as_ref()?;
    issue.custom.get(&field.id).map(|value| value.get())
}

/// The sprints an issue is in.
pub(super) fn of(reference: &Reference, issue: &Issue) -> Vec<Sprint> {
    value(reference, issue).map(read).unwrap_or_default()
}

/// The ids of the sprints an issue is in.
pub(super) fn ids(reference: &Reference, issue: &Issue) -> Vec<SmolStr> {
    of(reference, issue).iter().map(|sprint| SmolStr::from(sprint.id.to_string())).collect()
}

/// Sprints of an issue that no board of ours lists: all that is known of them comes from their issues. `skipped` are boards
/// whose sprints could not be listed.
pub(super) fn unlisted(reference: &Reference, skipped: &BTreeSet<u64>, issue: &Issue) -> Vec<Sprint> {
    let is_listed =
        |board: u64| reference.boards.get(&board).is_some_and(Board::may_have_sprints) && !skipped.contains(&board);
    let mut sprints = of(reference, issue);
    sprints.retain(|sprint| !sprint.origin_board_id.is_some_and(is_listed));
    sprints
}

/// The keys of the text that are read, and those that only end another's value, with the name the object has for them.
const KEYS: [(&str, &str); 13] = [
    ("id", "id"),
    ("rapidViewId", "originBoardId"),
    ("state", "state"),
    ("name", "name"),
    ("goal", "goal"),
    ("startDate", "startDate"),
    ("endDate", "endDate"),
    ("completeDate", "completeDate"),
    ("activatedDate", "activatedDate"),
    ("sequence", ""),
    ("autoStartStop", ""),
    ("synced", ""),
    ("incompleteIssuesDestinationId", ""),
];

/// A sprint in Java's text.
fn parse(text: &str) -> Option<Sprint> {
    let inner = text.split_once('[')?.1;
    let inner = inner.rsplit_once(']').map_or(inner, |(inner, _)| inner);
    let mut fields = Map::new();
    let mut marks = marks(inner);
    marks.push((inner.len(), inner.len(), ""));
    for pair in marks.windows(2) {
        let [(_, from, key), (to, ..)] = pair else { continue };
        let value = inner.get(*from..*to).filter(|value| *value != "<null>");
        let name = KEYS.iter().find(|(known, _)| known == key).map(|(_, name)| *name).filter(|name| !name.is_empty());
        if let (Some(name), Some(value)) = (name, value) {
            let number = value.parse::<u64>().ok().filter(|_| matches!(name, "id" | "originBoardId"));
            fields.insert(name.to_owned(), number.map_or_else(|| value.into(), Value::from));
        }
    }
    serde_json::from_value(Value::Object(fields)).ok()
}

/// Where each key stands, where its value begins, and which it is.
fn marks(text: &str) -> Vec<(usize, usize, &'static str)> {
    let mut found: Vec<(usize, usize, &'static str)> = Vec::new();
    let starts = std::iter::once(0).chain(text.match_indices(',').map(|(at, _)| at + 1));
    for start in starts {
        let rest = &text[start..];
        let key = KEYS.iter().map(|(key, _)| *key).find(|key| {
            let value = rest.strip_prefix(key).and_then(|rest| rest.strip_prefix('='));
            value.is_some_and(|value| can_be(key, value)) && !found.iter().any(|(_, _, known)| known == key)
        });
        if let Some(key) = key {
            found.push((start.saturating_sub(1), start + key.len() + 1, key));
        }
    }
    found
}

/// Whether a text may begin with a value of this key.
fn can_be(key: &str, rest: &str) -> bool {
    let value = rest.split(',').next().unwrap_or_default();
    let is_number = |value: &str| !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    match key {
        "name" | "goal" => true,
        "state" => matches!(value.to_ascii_uppercase().as_str(), "ACTIVE" | "CLOSED" | "FUTURE"),
        "autoStartStop" | "synced" => matches!(value, "true" | "false" | "<null>"),
        "id" | "rapidViewId" | "sequence" | "incompleteIssuesDestinationId" => value == "<null>" || is_number(value),
        _ => value == "<null>" || value.get(..4).is_some_and(is_number),
    }
}

#[cfg(test)]
mod tests {
    use contextcore_core::Millis;

    use super::*;

    #[test]
    fn names_may_hold_commas_brackets_and_keys() {
        let name = "A, [B]\nstate=CLOSED,startDate=soon,name=x";
        let text = format!(
            "com.atlassian.greenhopper.service.sprint.Sprint@1f[id=7,rapidViewId=99,state=ACTIVE,name={name},\
             startDate=2026-01-05T09:00:00.000+01:00,endDate=2026-01-16T17:00:00.000+01:00,completeDate=<null>,\
             activatedDate=2026-01-07T09:00:00.000+01:00,sequence=7,goal=ship, [now],autoStartStop=false]"
        );
        let sprint = parse(&text).unwrap();
        assert_eq!((sprint.id, sprint.origin_board_id, &*sprint.state, &*sprint.name), (7, Some(99), "ACTIVE", name));
        assert_eq!(sprint.goal.as_deref(), Some("ship, [now]"));
        assert_eq!(sprint.activated_date, Millis::parse("2026-01-07T08:00:00Z"));
        assert_eq!((sprint.complete_date, sprint.start_date.is_some()), (None, true));
    }

    #[test]
    fn older_servers_write_the_id_last() {
        let text = "Sprint@2[rapidViewId=1,state=CLOSED,name=One,goal=,startDate=<null>,endDate=<null>,completeDate=<null>,id=5]";
        let sprint = parse(text).unwrap();
        assert_eq!((sprint.id, &*sprint.name, sprint.start_date), (5, "One", None));
    }

    #[test]
    fn an_odd_sprint_costs_itself() {
        let value = r#"[null,7,{"id":3,"name":4,"startDate":{}},"no sprint",{"name":"without id"},"S@1[id=9,state=FUTURE,name=N]"]"#;
        assert_eq!(read(value).iter().map(|sprint| sprint.id).collect::<Vec<_>>(), [3, 9]);
        assert!(read("{}").is_empty() && read("null").is_empty());
    }
}
