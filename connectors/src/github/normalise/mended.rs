//! Records without the entries of their histories that cannot be read: what those are costs itself, and not the task.

use contextcore_core::Millis;
use serde::Deserialize;
use serde_json::Value;

use super::super::connection::Rows;
use super::super::wire::{Comment, Content, Issue, Node, Record, TimelineItem};
use crate::left_out::{Fits, mend};

/// Who did something, as the entries of the lists name them.
const ACTORS: [&str; 2] = ["actor", "author"];

/// Reads a record, and how many entries of its history cannot be read. Nearly every record can be read as it is; only what cannot
/// is looked into.
///
/// # Errors
/// When it cannot be read without them either.
pub(super) fn record(json: &str) -> serde_json::Result<(Record, usize)> {
    serde_json::from_str(json).map(|record| (record, 0)).or_else(|error| {
        let mut record: Value = serde_json::from_str(json)?;
        let before = record.clone();
        let left_out = mend_record(&mut record);
        if record == before { Err(error) } else { Ok((serde_json::from_value(record)?, left_out)) }
    })
}

fn mend_record(record: &mut Value) -> usize {
    let lists: [(&str, Fits); 6] = [
        ("/events", is_event),
        ("/comments", is_comment),
        ("/node/timelineItems/nodes", is_event),
        ("/node/comments/nodes", is_comment),
        ("/node/content/timelineItems/nodes", is_event),
        ("/node/content/comments/nodes", is_comment),
    ];
    lists.into_iter().map(|(list, fits)| mend(record.pointer_mut(list), &ACTORS, fits)).sum()
}

/// One whose time cannot be read stays, and costs the record: without it, the past would be another one.
fn is_event(row: &Value) -> bool {
    let at = &row["createdAt"];
    let is_of_no_kind = at.is_null() && row["id"].is_null();
    let is_dated = is_of_no_kind || Millis::deserialize(at).is_ok();
    row.is_null() || !is_dated || TimelineItem::deserialize(row).is_ok()
}

fn is_comment(row: &Value) -> bool {
    row.is_null() || Comment::deserialize(row).is_ok()
}

/// A list that did not come and without which the record would be wrong.
pub(super) fn absent_list(record: &Record) -> Option<&'static str> {
    match &record.node {
        Node::Issue(issue) => absent_list_of(issue),
        Node::ProjectV2Item(item) if item.field_values.is_null() => Some("fieldValues.nodes"),
        Node::ProjectV2Item(item) => match &item.content {
            Some(Content::Issue(issue)) => absent_list_of(issue),
            _ => None,
        },
    }
}

fn absent_list_of(issue: &Issue) -> Option<&'static str> {
    let lists = [
        (issue.timeline_items.is_null(), "timelineItems.nodes"),
        (issue.labels.as_ref().is_some_and(Rows::is_null), "labels.nodes"),
        (issue.assignees.is_null(), "assignees.nodes"),
    ];
    lists.into_iter().find_map(|(is_null, list)| is_null.then_some(list))
}
