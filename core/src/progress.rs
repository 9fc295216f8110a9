//! What long work tells whoever watches: a progress bar, a log, or nobody.

use crate::export::otlp::Signal;

/// Something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// A source's run began; `total` is how many records are expected, when the tool told.
    Began {
        /// Records expected.
        total: Option<u64>,
    },
    /// The tool told how many records to expect.
    Total(u64),
    /// A page was kept.
    Page {
        /// Records on it.
        records: u64,
        /// Facts that were new.
        changes: u64,
    },
    /// A backend took something.
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
    /// Takes note.
    fn event(&self, source: &str, event: Update);
}

/// Nobody watches.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn event(&self, _source: &str, _event: Update) {}
}
