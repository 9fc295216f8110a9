//! Nodes that GitHub lists and cannot serve: a bad row in its database, or one that takes longer than a query may.

use serde_json::{Value as Json, json};

/// A node that cannot be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ailing {
    /// Its node id; of a commit its hash.
    pub id: String,
    /// What of it.
    pub part: Part,
    /// How that shows.
    pub sign: Sign,
}

/// What of a node cannot be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Anything but its id and its kind.
    Look,
    /// Its timeline, or of a pull request what people did.
    Timeline,
    /// Its comments.
    Comments,
    /// Anything, even its id.
    Row,
    /// Any page that holds it, whatever is asked of its rows.
    Place,
}

/// How GitHub shows that it cannot serve something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// 502 instead of the whole answer.
    Gateway,
    /// 200 with an error instead of the whole answer.
    GaveUp,
    /// The row of the list is null, with an error whose path names it.
    EmptyRow,
    /// The row has a number in place of a date.
    OddRow,
}

/// What an ailing node makes of an answer.
pub(super) enum Effect {
    Gateway,
    /// Another body.
    Body(Json),
}

const GAVE_UP: &str = "Something went wrong while executing your query on 2026-01-26T18:14:54Z. Please include `C0DE:1` when \
                       reporting this issue.";

/// The failure of a page that holds a node which cannot be passed.
pub(super) const STUCK: &str = "the page cannot be made";

/// What ailing nodes make of an answer, if it holds any.
pub(super) fn strike(body: &Json, ailing: &[Ailing]) -> Option<Effect> {
    if body["errors"].as_array().is_some_and(|errors| errors.iter().any(|error| error["message"] == STUCK)) {
        return Some(Effect::Body(json!({"data": null, "errors": [{"message": GAVE_UP}]})));
    }
    let mut struck = body.clone();
    let mut changed = false;
    for one in ailing {
        let mut found = vec![];
        find(&body["data"], one, &mut vec![], &mut found);
        for path in found {
            match one.sign {
                Sign::Gateway => return Some(Effect::Gateway),
                Sign::GaveUp => return Some(Effect::Body(json!({"data": null, "errors": [{"message": GAVE_UP}]}))),
                Sign::EmptyRow => empty(&mut struck, &path),
                Sign::OddRow => {
                    let node = at(&mut struck["data"], &path);
                    node["updatedAt"] = json!(7);
                }
            }
            changed = true;
        }
    }
    changed.then_some(Effect::Body(struck))
}

/// Makes the row that holds a node null, and says so.
fn empty(body: &mut Json, path: &[Json]) {
    let row = path.iter().rposition(Json::is_number).map_or(path, |at| &path[..=at]);
    *at(&mut body["data"], row) = Json::Null;
    let error = json!({"message": "Something went wrong", "path": row});
    match body["errors"].as_array_mut() {
        Some(errors) => errors.push(error),
        None => body["errors"] = json!([error]),
    }
}

fn at<'j>(json: &'j mut Json, path: &[Json]) -> &'j mut Json {
    path.iter().fold(json, |json, step| match step.as_u64() {
        Some(index) => &mut json[index as usize],
        None => &mut json[step.as_str().unwrap_or_default()],
    })
}

/// The paths to a node wherever the ailing part of it was asked for.
fn find(json: &Json, one: &Ailing, path: &mut Vec<Json>, found: &mut Vec<Vec<Json>>) {
    match json {
        Json::Array(rows) => {
            for (index, row) in rows.iter().enumerate() {
                path.push(index.into());
                find(row, one, path, found);
                path.pop();
            }
        }
        Json::Object(fields) => {
            let is_it = |key: &str| fields.get(key).and_then(Json::as_str) == Some(&one.id);
            if (is_it("id") || is_it("oid")) && one.part.is_in(json) {
                found.push(path.clone());
            }
            for (key, value) in fields {
                path.push(key.as_str().into());
                find(value, one, path, found);
                path.pop();
            }
        }
        _ => {}
    }
}

impl Part {
    fn is_in(self, node: &Json) -> bool {
        let plain = ["id", "oid", "__typename", "type", "isArchived", "updatedAt", "createdAt", "content"];
        match self {
            Self::Look => {
                node.as_object().is_some_and(|fields| fields.keys().any(|key| !plain.contains(&key.as_str())))
            }
            Self::Timeline => node.get("timelineItems").is_some(),
            Self::Comments => node.get("comments").is_some(),
            Self::Row => true,
            // Fails while the page is made.
            Self::Place => false,
        }
    }
}
