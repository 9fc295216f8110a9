//! What the store keeps beside tasks and sprints: journal items, positions, run status, quarantined records, dead letters.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::TaskKey;
use crate::model::error::ErrorKind;
use crate::model::time::Millis;

/// How far a stream has been read: a value that the connector made and only it understands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cursor(pub serde_json::Value);

/// One thing that changed, as the journal lists it. The events themselves are in the record, under the same journal number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Item {
    /// A task has new events.
    Task(TaskKey),
    /// A sprint started or closed.
    Sprint(TaskKey),
    /// An insight has new reports.
    Insight {
        /// Its project.
        project: String,
        /// Its id.
        id: String,
    },
}

impl Item {
    /// The task, if that is what changed.
    pub(crate) const fn task(&self) -> Option<&TaskKey> {
        match self {
            Self::Task(key) => Some(key),
            _ => None,
        }
    }
}

/// How much of one source has been exported to one signal's backend.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Everything up to this journal number was acknowledged.
    pub done: u64,
    /// The journal number up to which the export under way goes. Its order is fixed, so that it can continue where it stopped.
    pub upto: Option<u64>,
    /// The last item of that export that was acknowledged, in the export's own order.
    pub after: Option<Vec<u8>>,
}

/// A record that could not be understood, or that the tool lists and could not serve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quarantined {
    /// The source.
    pub source: String,
    /// The tool's id, as far as it could be read.
    pub native_id: String,
    /// Why.
    pub reason: String,
    /// When it was last seen.
    pub at: Millis,
    /// The record, cut at 16 KiB; empty when the tool could not serve it.
    pub json: String,
}

impl Quarantined {
    /// Whether the tool could not serve it, so that there was nothing to understand.
    pub fn is_unreadable(&self) -> bool {
        self.json.is_empty()
    }
}

/// Something that a backend permanently refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The signal.
    pub signal: String,
    /// The reason the backend gave.
    pub reason: String,
    /// What to do about it, if known.
    pub hint: Option<String>,
    /// How many spans, log records or points.
    pub items: u64,
    /// When.
    pub at: Millis,
}

/// The state of a source's runs. Stored as JSON.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// When a run last began.
    pub last_attempt: Option<Millis>,
    /// When a run last succeeded.
    pub last_success: Option<Millis>,
    /// The moment until which every change was read: the start of the last run that read all its changes.
    #[serde(default, rename = "heard")]
    pub read_until: Option<Millis>,
    /// When a complete pass (which finds deletions) last succeeded.
    pub last_complete: Option<Millis>,
    /// The last error, cleared by the next success.
    pub last_error: Option<String>,
    /// Its kind.
    pub last_error_kind: Option<ErrorKind>,
    /// Failed runs in a row.
    pub failures: u64,
    /// What a person should know of the last run that could say it, such as what the tool lacks and what is lost by it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// How long the last run took, in seconds.
    #[serde(default)]
    pub last_duration: Option<f64>,
    /// Requests that the tool's rate limit still allows, when the tool reports it.
    #[serde(default)]
    pub rate_limit_remaining: Option<u64>,
    /// How many tasks the tool itself counted when it was last asked.
    pub tool_count: Option<u64>,
    /// What the newest complete pass found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed: Option<Listed>,
    /// The program version that last read again what was quarantined.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reread_by: String,
    /// The reading of each stream that was last begun anew: an upgraded connector that reads more of a stream's records has
    /// another one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub readings: BTreeMap<String, u32>,
    /// Hash of the settings that the cursors were made with. With other settings everything is read again.
    pub settings: u64,
    /// The number of the newest complete pass.
    pub pass: u64,
    /// Totals over all runs, for the counters of our own metrics.
    pub counters: Counters,
}

/// What became of the ids that a complete pass listed: `listed = held + set_aside + unreadable + out_of_scope`, unless
/// something is missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Ids that the tool listed.
    pub listed: u64,
    /// Those whose task the store holds.
    pub held: u64,
    /// Those that could not be understood.
    pub set_aside: u64,
    /// Those that the tool could not serve.
    pub unreadable: u64,
    /// Those that are no tasks of this source.
    pub out_of_scope: u64,
    /// Those that are nowhere, although they were asked for again: always 0, unless there is an error in the program.
    pub missing: u64,
}

/// Running totals of a source's runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Counters {
    /// Requests sent.
    pub requests: u64,
    /// Records read.
    pub records: u64,
    /// New events.
    pub changes: u64,
    /// Waits for a rate limit.
    pub waits: u64,
    /// Errors by kind.
    pub errors: BTreeMap<String, u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names are in every store: a renamed field keeps its name in JSON.
    #[test]
    fn the_stored_names_of_a_source_status_do_not_change() {
        let text = r#"{"last_attempt":"2026-11-18T12:26:40.000Z","last_success":"2026-11-18T12:26:40.001Z",
            "heard":"2026-11-18T12:26:40.002Z","last_complete":"2026-11-18T12:26:40.003Z","last_error":"refused",
            "last_error_kind":"auth","failures":5,"last_duration":0.5,"rate_limit_remaining":6,"tool_count":7,
            "settings":8,"pass":9,"counters":{"requests":1,"records":2,"changes":3,"waits":4,"errors":{"auth":5}}}"#;
        let status: SourceStatus = serde_json::from_str(text).unwrap();
        let read_until = Millis(1_795_004_800_002);
        assert_eq!((status.read_until, status.last_error_kind), (Some(read_until), Some(ErrorKind::Auth)));
        let again: serde_json::Value = serde_json::to_value(&status).unwrap();
        assert_eq!(again, serde_json::from_str::<serde_json::Value>(text).unwrap());
    }
}
