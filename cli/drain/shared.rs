//! What the loops of a lane and its socket share.

use std::sync::{Arc, Mutex};

use contextcore_core::engine::Engine;
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
    /// Ends the helper's work on this lane.
    pub(super) cancel: CancellationToken,
}
