//! Progress events of long work: for a progress bar, a log, or no one.

use crate::model::signal::Signal;

/// Something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// A source's run began; `total` is how many records are expected, when the tool reports it.
    Began {
        /// Records expected.
        total: Option<u64>,
    },
    /// How many records to expect, as the tool reports it.
    Total(u64),
    /// A page was stored.
    Page {
        /// Records on it.
        records: u64,
        /// New events.
        changes: u64,
    },
    /// A backend accepted something.
    Sent {
        /// Which signal.
        signal: Signal,
        /// Spans, log records or points.
        items: u64,
    },
    /// A source's run ended.
    Done,
}

/// Watches long work. Called often and from several tasks: must be quick.
pub trait Progress: Send + Sync {
    /// Handles one event of a source.
    fn event(&self, source: &str, event: Update);
}

/// Ignores every event.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn event(&self, _source: &str, _event: Update) {}
}
