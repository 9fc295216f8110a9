//! Entries of a line that cannot be read: each costs itself, and is counted.

use contextcore_core::Millis;
use serde::Deserialize;
use serde_json::Value;

use crate::left_out::mend;

/// The lists of texts of a task.
const TEXTS: [&str; 4] = ["labels", "sprints", "blocked_by", "waiting_on"];

/// Takes the entries that cannot be read out of the lists of a task, and lists that are null out of the line. How many entries
/// those were.
pub(super) fn mend_line(
    line: &mut Value,
    is_event: impl Fn(&Value) -> bool,
    is_status: impl Fn(&str) -> bool,
) -> usize {
    let Some(fields) = line.as_object_mut() else { return 0 };
    let lists = TEXTS.into_iter().chain(["timeline"]);
    for list in lists.filter(|list| fields.get(*list).is_some_and(Value::is_null)).collect::<Vec<_>>() {
        fields.remove(list);
    }
    let texts: usize = TEXTS.into_iter().map(|list| mend(fields.get_mut(list), &[], Value::is_string)).sum();
    let entries = mend(fields.get_mut("timeline"), &[], |entry| is_entry(entry, &is_event));
    let Some(timeline) = fields.get_mut("timeline").and_then(Value::as_array_mut) else { return texts + entries };
    let before = timeline.len();
    timeline.retain(|entry| is_known(entry, &is_status));
    texts + entries + before - timeline.len()
}

/// Whether an entry of the timeline can be read. One of which only the time is odd counts as one that can, unless it is a comment:
/// what it changed happened, so it costs the line.
fn is_entry(entry: &Value, is_event: impl Fn(&Value) -> bool) -> bool {
    if !entry["kind"].is_string() {
        return false;
    }
    let is_dated = Millis::deserialize(&entry["at"]).is_ok();
    if is_dated { is_event(entry) } else { entry["kind"] != "commented" }
}

/// Whether the status that an entry leads to is one we know.
fn is_known(entry: &Value, is_status: impl Fn(&str) -> bool) -> bool {
    let is_change = entry["kind"] == "status_changed" && entry["derived"].is_null();
    !is_change || is_status(entry["to"].as_str().unwrap_or_default())
}
