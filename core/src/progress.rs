//! What long work reports to a progress bar or a log.

use crate::http::Retrying;
use crate::model::signal::Signal;

/// A step of long work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// A source's run began; `total` is how many records are expected, if the tool gives a count.
    Began {
        /// Records expected.
        total: Option<u64>,
    },
    /// How many records the tool says to expect.
    Total(u64),
    /// A page was stored.
    Page {
        /// Records on it.
        records: u64,
        /// New events.
        changes: u64,
    },
    /// The tool failed, and is asked again in a moment.
    Retrying(Retrying),
    /// A backend accepted a batch.
    Sent {
        /// Which signal.
        signal: Signal,
        /// Spans, log records or points.
        items: u64,
    },
    /// A source's run ended.
    Done,
}

/// Receives updates of long work. Called often and from several tasks, so it must return quickly.
pub trait Progress: Send + Sync {
    /// Receives an update.
    fn event(&self, source: &str, event: Update);
}

/// Ignores all updates.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn event(&self, _source: &str, _event: Update) {}
}
