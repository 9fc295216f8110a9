//! Records of what people did: a node with all rows of its lists, and the outline that the sweep itself needs.

use std::collections::BTreeMap;

use contextcore_core::ingest::connector::{RawRecord, Unreadable};
use contextcore_core::{Millis, Result};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::super::api::Api;
use super::super::connection::Rows;
use super::super::lists::continuations;
use super::super::records::{costs_the_record, unreadable};
use super::super::session::ACTIVITY;
use super::progress::ActivityList;
use super::read::CommitNode;
use crate::rewind::unwritable;

/// What the sweep itself needs of a node.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Outline {
    pub(super) id: Option<Box<str>>,
    pub(super) oid: Option<Box<str>>,
    pub(super) state: Option<Box<str>>,
    pub(super) updated_at: Option<Millis>,
    pub(super) committed_date: Option<Millis>,
    pub(super) created_at: Option<Millis>,
    pub(super) head: Rows<CommitNode>,
}

impl Outline {
    pub(super) fn of(node: &RawValue) -> Self {
        serde_json::from_str(node.get()).unwrap_or_default()
    }

    pub(super) fn at(&self) -> Option<Millis> {
        self.updated_at.or(self.committed_date).or(self.created_at)
    }

    /// Open, with checks that are not done or might be done again.
    pub(super) fn is_unsettled(&self) -> bool {
        let checks = self.head.iter().filter_map(|node| node.commit.status_check_rollup.as_ref());
        let open = self.state.as_deref() == Some("OPEN");
        open && checks.into_iter().any(|checks| &*checks.state != "SUCCESS")
    }
}

/// A record: which list it is of, the node as GitHub wrote it, what follows in its lists, and when.
#[derive(Debug, Serialize)]
pub(super) struct RecordText<'a> {
    #[serde(rename = "of")]
    pub(super) what: &'static str,
    pub(super) node: &'a RawValue,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) rest: BTreeMap<&'static str, Vec<Box<RawValue>>>,
    /// When it was read.
    pub(super) seen: Millis,
}

/// A record with all rows of its lists, or why GitHub cannot serve it.
///
/// # Errors
/// As the session's.
pub(in super::super) async fn complete(
    api: &Api,
    list: ActivityList,
    node: &RawValue,
    seen: Millis,
) -> Result<Result<RawRecord, Unreadable>> {
    let outline = Outline::of(node);
    let native_id: String = outline.id.or(outline.oid).unwrap_or_default().into();
    let mut rest: BTreeMap<&'static str, Vec<Box<RawValue>>> = BTreeMap::new();
    let lists = if list == ActivityList::PullRequests { continuations(node, true) } else { Vec::new() };
    for from in lists {
        match api.rest_of(&from).await {
            Ok(rows) => drop(rest.insert(from.list.key(), rows)),
            Err(error) if costs_the_record(&error) => return Ok(Err(unreadable(&native_id, &error.to_string()))),
            Err(error) => return Err(error),
        }
    }
    let json = serde_json::to_string(&RecordText { what: list.record(), node, rest, seen });
    let json = json.map_err(unwritable)?;
    Ok(Ok(RawRecord::new(ACTIVITY, native_id, json)))
}
