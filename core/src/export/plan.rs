//! What a drain or a replay sends, and what was sent.

use serde::Serialize;

use crate::model::time::Millis;
use crate::store::Position;

/// What the backends accepted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// Spans.
    pub spans: u64,
    /// Log records.
    pub logs: u64,
    /// Metric points.
    pub points: u64,
}

impl Sent {
    pub(super) fn add(&mut self, other: &Self) {
        self.spans += other.spans;
        self.logs += other.logs;
        self.points += other.points;
    }
}

/// What a drain sends besides history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Present {
    /// Snapshots of projects that are due.
    pub snapshots: bool,
    /// The history grid up to now, and the values now.
    pub metrics: bool,
}

impl Present {
    /// Both, as at the end of a `sync`.
    pub const ALL: Self = Self { snapshots: true, metrics: true };
}

/// The history that a replay sends again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only what became final at this moment or later.
    pub since: Option<Millis>,
    /// Only this source.
    pub source: Option<String>,
    /// Only this project (its id).
    pub project: Option<String>,
}

/// The parameters of one drain or replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// The present moment.
    pub(super) now: Millis,
    /// The history to send again; `None` for a drain, which sends what is new and moves positions.
    pub(super) again: Option<Selection>,
}

impl Plan {
    /// The first journal number to export. What another engine had exported before its store was taken over has the number 0, and is
    /// only sent again.
    pub(super) fn first(&self, position: &Position) -> u64 {
        if self.again.is_some() { 0 } else { position.done + 1 }
    }

    pub(super) fn selection<T>(&self, pick: impl Fn(&Selection) -> Option<T>) -> Option<T> {
        self.again.as_ref().and_then(pick)
    }

    pub(super) fn includes(&self, end: Millis) -> bool {
        self.selection(|selection| selection.since).is_none_or(|since| end >= since)
    }

    pub(super) fn includes_project(&self, project_id: &str) -> bool {
        self.selection(|selection| selection.project.clone()).is_none_or(|only| only == project_id)
    }

    pub(super) fn includes_source(&self, source: &str) -> bool {
        self.selection(|selection| selection.source.clone()).is_none_or(|only| only == source)
    }
}
