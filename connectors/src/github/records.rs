//! Records of tasks: a node with all rows of its lists.

use std::collections::BTreeMap;

use contextcore_core::ingest::connector::{RawRecord, Unreadable};
use contextcore_core::{Error, ErrorKind, Result};
use serde_json::value::RawValue;
use tracing::warn;

use super::answer::{Node, is_divisible};
use super::api::Api;
use super::lists::{List, continuations};
use super::wire::RecordText;
use crate::refusal::confirmed;
use crate::rewind::unwritable;

/// What became of a node.
pub(super) enum Completed {
    Record(RawRecord),
    /// What GitHub could serve of it. It is right, and read again for the rest.
    Short(RawRecord, Unreadable),
    /// A part of its history cannot be served.
    Unreadable(Unreadable),
}

impl Completed {
    /// The record, if there is one, and why it is to be read again.
    pub(super) fn parts(self) -> (Option<RawRecord>, Option<Unreadable>) {
        match self {
            Self::Record(record) => (Some(record), None),
            Self::Short(record, lacks) => (Some(record), Some(lacks)),
            Self::Unreadable(unreadable) => (None, Some(unreadable)),
        }
    }
}

/// Which record a node becomes.
#[derive(Debug, Clone, Copy)]
pub(super) struct About<'a> {
    pub(super) stream: &'static str,
    pub(super) native_id: &'a str,
    /// The node id of the project it was read through.
    pub(super) project: Option<&'a str>,
    /// It was archived while open.
    pub(super) archived: bool,
}

/// A record with its whole history: what did not fit into the node is fetched. Comments that cannot be read cost themselves, and
/// the record is read again.
///
/// # Errors
/// As the session's.
pub(super) async fn complete(api: &Api, about: About<'_>, node: &Node) -> Result<Completed> {
    let mut lacks = node.lacks.clone();
    let mut rest: BTreeMap<&'static str, Vec<Box<RawValue>>> = BTreeMap::new();
    for from in continuations(node, false) {
        match confirmed(|| api.rest_of(&from), || api.proven()).await {
            Ok(rows) => drop(rest.insert(from.list.key(), rows)),
            Err(error) if !costs_the_record(&error) => return Err(error),
            Err(error) if matches!(from.list, List::Comments | List::Linked) => {
                let (id, list) = (about.native_id, from.list.key());
                warn!(id, list, error = error.full(), "a list cannot be read whole");
                // What the token may not see is not there for it.
                let failed = !matches!(error.kind(), ErrorKind::Permission | ErrorKind::NotFound);
                lacks = lacks.or_else(|| failed.then(|| format!("{list} could not be read whole: {error}")));
            }
            Err(error) => return Ok(Completed::Unreadable(unreadable(about.native_id, &error.to_string()))),
        }
    }
    let [events, comments] = [List::Events, List::Comments].map(|list| rest.remove(list.key()).unwrap_or_default());
    let About { project, archived, .. } = about;
    let record = RecordText { project, node, events: &events, comments: &comments, rest, archived };
    let json = serde_json::to_string(&record).map_err(unwritable)?;
    let record = RawRecord::new(about.stream, about.native_id, json);
    Ok(match lacks {
        None => Completed::Record(record),
        Some(reason) => {
            let reason = format!("GitHub could not serve all of it, the rest is kept: {reason}");
            Completed::Short(record, Unreadable { native_id: about.native_id.to_owned(), reason })
        }
    })
}

/// Whether an error is about what was asked for, and not about the session.
pub(super) fn costs_the_record(error: &Error) -> bool {
    is_divisible(error) || matches!(error.kind(), ErrorKind::Permission | ErrorKind::NotFound)
}

pub(super) fn unreadable(native_id: &str, reason: &str) -> Unreadable {
    Unreadable { native_id: native_id.to_owned(), reason: format!("GitHub cannot serve it: {reason}") }
}
