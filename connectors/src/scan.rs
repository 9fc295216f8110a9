//! The incremental scan: how a stream that can ask its tool for "what changed since" reads every change, and no row twice
//! without need. Pure.
//!
//! Read [`IncrementalScan`] first. A *sweep* lists everything that changed since the watermark less an overlap, page by page.
//! The watermark moves only when the sweep has ended. So a crash, a split into other pages, or a row that changes while it is
//! listed costs a row read again and never loses one. The overlap covers rows that share a moment and clocks that differ; the
//! versions seen in it are remembered, so that a poll without changes gives no rows.
//!
//! What a sweep decides, with `high` the latest change it has listed and `limit` the latest moment the watermark may take:
//!
//! | the sweep | the watermark becomes | the versions given |
//! | --- | --- | --- |
//! | has pages left | what it was | are remembered with the sweep |
//! | was refused and starts again | what it was | are forgotten: they are given again |
//! | ended, but was incomplete | what it was | are remembered: only what was missing is given next |
//! | ended without rows | what it was | (none) |
//! | ended, `high` < watermark | what it was | are remembered |
//! | ended, watermark ≤ `high` ≤ `limit` | `high` | are remembered within the overlap before it |
//! | ended, `limit` < `high` | `limit`: a row dated in the future hides nothing | are remembered within the overlap before it |
//!
//! A row is *new* when this version of it (its id and its time of change) is not remembered:
//!
//! | remembered of this id | the row is |
//! | --- | --- |
//! | nothing | new |
//! | another time of change | new |
//! | the same time of change | not new |
//!
//! Nothing is missed as long as a change shows within the overlap: its delay, and where the oldest change comes first the time
//! that a sweep spends at the end of its list, together stay below it.
//!
//! Lists come in either order. Where the oldest change comes first, a row that changes meanwhile moves to the end of the list
//! and is listed again, so every row raises `high`. Where the newest comes first, it moves in front of the pages still to be
//! read and is missed, so only the first page may raise `high`.

use std::collections::BTreeMap;

use contextcore_core::Millis;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Versions that are remembered at most.
const REMEMBERED: usize = 2_000;

/// Rows by id, each with the time of change it was given with. Stored as a list of pairs, times in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SeenVersions(BTreeMap<Box<str>, Millis>);

impl SeenVersions {
    fn has(&self, id: &str, updated: Millis) -> bool {
        self.0.get(id) == Some(&updated)
    }

    /// Forgets what changed before `from`, and the oldest of what is too much.
    fn trim(&mut self, from: Millis) {
        self.0.retain(|_, updated| *updated >= from);
        if self.0.len() > REMEMBERED {
            let mut times: Vec<Millis> = self.0.values().copied().collect();
            times.sort_unstable();
            let oldest = times[times.len() - REMEMBERED];
            self.0.retain(|_, updated| *updated >= oldest);
        }
    }
}

impl Serialize for SeenVersions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|(id, updated)| (id, updated.0)))
    }
}

impl<'de> Deserialize<'de> for SeenVersions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pairs = Vec::<(Box<str>, i64)>::deserialize(deserializer)?;
        Ok(Self(pairs.into_iter().map(|(id, updated)| (id, Millis(updated))).collect()))
    }
}

/// Stores versions as an object: the time of change by id.
pub(crate) mod by_id {
    use super::{BTreeMap, Deserialize, Deserializer, SeenVersions, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(versions: &SeenVersions, serializer: S) -> Result<S::Ok, S::Error> {
        versions.0.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SeenVersions, D::Error> {
        BTreeMap::deserialize(deserializer).map(SeenVersions)
    }
}

/// How far a list has been read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct IncrementalScan {
    /// Everything that changed before this has been read.
    pub(crate) watermark: Option<Millis>,
    /// The versions given within the overlap before the watermark.
    pub(crate) recent: SeenVersions,
}

/// What one sweep has listed so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sweep {
    /// The latest change listed: what the watermark becomes.
    pub(crate) high: Option<Millis>,
    /// The versions given within the overlap before that.
    pub(crate) fresh: SeenVersions,
    /// Some rows could not be read: the watermark stays, so that they are listed again.
    pub(crate) incomplete: bool,
}

impl Sweep {
    /// Notes that a row with this time of change was listed.
    pub(crate) fn raise(&mut self, updated: Millis) {
        self.high = self.high.max(Some(updated));
    }

    /// Remembers a version as given.
    pub(crate) fn remember(&mut self, id: &str, updated: Millis) {
        self.fresh.0.insert(id.into(), updated);
    }

    /// Forgets versions that no later sweep lists again: those older than `overlap` (in milliseconds) before the latest change.
    pub(crate) fn trim(&mut self, overlap: i64) {
        if let Some(high) = self.high {
            self.fresh.trim(high.plus(-overlap));
        }
    }
}

impl IncrementalScan {
    /// The change from which on the next sweep lists, `overlap` milliseconds before the watermark; none at first.
    pub(crate) fn since(&self, overlap: i64) -> Option<Millis> {
        self.watermark.map(|watermark| watermark.plus(-overlap))
    }

    /// Whether this version of a row has not been given before.
    pub(crate) fn is_new(&self, sweep: &Sweep, id: &str, updated: Millis) -> bool {
        !self.recent.has(id, updated) && !sweep.fresh.has(id, updated)
    }

    /// Moves the versions that a sweep has given so far to those that are remembered for good. Keeps those within `overlap`
    /// milliseconds before the watermark, or before the latest change listed where that is later.
    pub(crate) fn absorb(&mut self, sweep: &mut Sweep, overlap: i64) {
        self.recent.0.append(&mut sweep.fresh.0);
        if let Some(latest) = self.watermark.max(sweep.high) {
            self.recent.trim(latest.plus(-overlap));
        }
    }

    /// Ends a sweep: moves the watermark as the table says, to `limit` at the latest.
    pub(crate) fn settle(&mut self, mut sweep: Sweep, limit: Millis, overlap: i64) {
        self.recent.0.append(&mut sweep.fresh.0);
        if !sweep.incomplete {
            self.watermark = advance(self.watermark, sweep.high, limit);
        }
        if let Some(watermark) = self.watermark {
            self.recent.trim(watermark.plus(-overlap));
        }
        self.recent.trim(Millis(i64::MIN));
    }
}

/// The watermark after a complete sweep: the latest change listed, `limit` at the latest, and never earlier than it was.
pub(crate) fn advance(watermark: Option<Millis>, high: Option<Millis>, limit: Millis) -> Option<Millis> {
    watermark.max(high.map(|high| high.min(limit)))
}

#[cfg(test)]
mod tests;
