//! What the loops of a lane and its socket share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use contextcore_core::engine::Engine;
use contextcore_core::lock;
use contextcore_spool::{self as spool, Destination, Headers, LaneDir};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// A lane that is drained.
pub(super) struct Shared {
    pub(super) lane: LaneDir,
    pub(super) to: Destination,
    /// The headers of every request, once they are known.
    pub(super) headers: watch::Sender<Option<Headers>>,
    /// Makes the next look at the spool come at once.
    pub(super) nudge: Notify,
    /// What has been stored and sealed.
    pub(super) stored: Mutex<spool::Cursor>,
    /// The engine, while there is one.
    pub(super) engine: Mutex<Option<Arc<Engine>>>,
    /// Why not everything has arrived.
    pub(super) trouble: Trouble,
    /// Ends the helper's work on this lane.
    pub(super) cancel: CancellationToken,
}

/// Why not everything has arrived, by what failed (a signal, for example). Answers of the socket say it.
#[derive(Debug, Default)]
pub(super) struct Trouble(Mutex<BTreeMap<String, String>>);

impl Trouble {
    /// Something fails, for this reason. Returns whether that is news.
    pub(super) fn set(&self, what: &str, why: &str) -> bool {
        lock(&self.0).insert(what.to_owned(), why.to_owned()).is_none_or(|known| known != why)
    }

    /// It does not fail any more.
    pub(super) fn clear(&self, what: &str) {
        lock(&self.0).remove(what);
    }

    /// One of the reasons.
    pub(super) fn reason(&self) -> Option<String> {
        lock(&self.0).values().next().cloned()
    }
}
